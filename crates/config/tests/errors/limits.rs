//! What a cluster's file says of it: `freeze`, `max-version` and `labels`.

use insta::assert_snapshot;
use refit_config::load;
use refit_model::{Period, WaveSpec};

use crate::{fleet, replace, told, with};

/// The cluster with more keys in `[cluster]`.
fn cluster(keys: &str) -> String {
    with("clusters/a.toml", "channel = \"dev\"", &format!("channel = \"dev\"\n{keys}"))
}

#[test]
fn a_freeze_that_says_neither_when_nor_why() {
    assert_snapshot!(cluster(r#"freeze = "until soon, peak season""#), @r#"
    error: `soon` is not a day such as `2027-01-04`
     --> clusters/a.toml:5:10
      |
    5 | freeze = "until soon, peak season"
      |          ^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write `until 2027-01-04, peak season`, or a reason alone
    "#);
    assert_snapshot!(cluster(r#"freeze = " ""#), @r#"
    error: a freeze says until when, or why
     --> clusters/a.toml:5:10
      |
    5 | freeze = " "
      |          ^^^
      |
      = help: write `until 2027-01-04, peak season`, or a reason alone
    "#);
}

#[test]
fn a_pin_above_the_highest_version() {
    let mut files = fleet();
    let keys = "channel = \"dev\"\nmax-version = \"1.34\"";
    replace(&mut files, "clusters/a.toml", "channel = \"dev\"", keys);
    let pin = "[pins]\nkubernetes = \"1.35.1\"\n\n[provider]";
    replace(&mut files, "clusters/a.toml", "[provider]", pin);
    assert_snapshot!(told(&files), @r#"
    error: `a` is pinned to 1.35.1, above its `max-version`
     --> clusters/a.toml:9:14
      |
    5 | max-version = "1.34"
      |               ------ at most 1.34
    ...
    9 | kubernetes = "1.35.1"
      |              ^^^^^^^^ pinned here
      |
      = help: lower the pin, or raise `max-version`
    "#);
}

#[test]
fn a_highest_version_that_nothing_is_within() {
    assert_snapshot!(cluster(r#"max-version = "1.33""#), @r#"
    error: no available version is within 1.33
     --> clusters/a.toml:5:15
      |
    5 | max-version = "1.33"
      |               ^^^^^^ not in `kubernetes.available` of fleet.toml
      |
      = help: available: 1.34.3, 1.35.1
    "#);
    assert_snapshot!(cluster(r#"max-version = "latest""#), @r#"
    error: `latest` is not a Kubernetes version such as `1.34.3`
     --> clusters/a.toml:5:15
      |
    5 | max-version = "latest"
      |               ^^^^^^^^
    "#);
}

#[test]
fn add_ons_that_do_not_support_the_lower_version_point_at_it() {
    let mut files = fleet();
    let keys = "channel = \"dev\"\nmax-version = \"1.34\"";
    replace(&mut files, "clusters/a.toml", "channel = \"dev\"", keys);
    replace(&mut files, "addons/ingress/addon.toml", ">=1.34, <=1.35", ">=1.35, <=1.35");
    assert_snapshot!(told(&files), @r#"
    error: ingress 3.0.0 supports Kubernetes =1.35, not 1.34
     --> clusters/a.toml:5:15
      |
    5 | max-version = "1.34"
      |               ^^^^^^ a would run ingress 3.0.0
      |
      = help: no version of ingress with manifests supports 1.34
    "#);
}

#[test]
fn the_newest_available_version_within_is_taken() {
    let of = |keys: &str| {
        let mut files = fleet();
        let keys = format!("channel = \"dev\"\n{keys}");
        replace(&mut files, "clusters/a.toml", "channel = \"dev\"", &keys);
        let fleet = load(&files).fleet.unwrap();
        fleet.clusters[&"a".parse().unwrap()].clone()
    };
    let capped = of("max-version = \"1.34\"");
    assert_eq!(capped.kubernetes.value, "1.34.3".parse().unwrap());
    assert_eq!(capped.kubernetes.at.to_string(), "clusters/a.toml:5");
    let why = capped.capped.unwrap();
    assert_eq!(
        (why.max.value, why.wanted.value),
        ("1.34".parse().unwrap(), "1.35.1".parse().unwrap())
    );
    assert_eq!(why.wanted.at.to_string(), "releases/r1.toml:4");
    for roomy in ["max-version = \"1.35\"", "max-version = \"1.35.1\"", "max-version = \"1.40\""] {
        let free = of(roomy);
        assert_eq!(
            (free.kubernetes.value, free.capped),
            ("1.35.1".parse().unwrap(), None),
            "{roomy}"
        );
    }
    let frozen = of("freeze = \"until 2027-01-04, peak season\"").freeze.unwrap();
    assert_eq!((frozen.value.reason.as_str(), frozen.at.line), ("peak season", 5));
}

/// The fleet with these waves in the channel `dev`.
fn waves(waves: &str) -> String {
    with("fleet.toml", "release = \"r1\"", &format!("release = \"r1\"\nwaves = {waves}"))
}

#[test]
fn a_wave_of_labels_that_no_cluster_has() {
    assert_snapshot!(waves("[{ labels = { tier = \"canary\" } }]"), @r#"
    error: no cluster of dev has the labels tier = "canary"
      --> fleet.toml:11:21
       |
    11 | waves = [{ labels = { tier = "canary" } }]
       |                     ^^^^^^^^^^^^^^^^^^^ takes nothing
       |
       = help: there are no labels on its clusters yet
    "#);
    assert_snapshot!(waves("[{ labels = {} }]"), @r#"
    error: the wave names no label
      --> fleet.toml:11:21
       |
    11 | waves = [{ labels = {} }]
       |                     ^^ would be every cluster
       |
       = help: write `{ labels = { tier = "canary" } }`, or `{ percent = 100 }`
    "#);
    assert_snapshot!(waves("[{ labels = { tier = \"canary\" }, percent = 20 }]"), @r#"
    error: `[[channels.waves]]` needs exactly one of `clusters` and `labels` and `percent`
      --> fleet.toml:11:10
       |
    11 | waves = [{ labels = { tier = "canary" }, percent = 20 }]
       |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ has more than one
    "#);
}

#[test]
fn what_no_wave_of_labels_takes_is_the_last_wave() {
    let of = |waves: &str| {
        let mut files = fleet();
        let keys = "channel = \"dev\"\nlabels = { tier = \"canary\" }";
        replace(&mut files, "clusters/a.toml", "channel = \"dev\"", keys);
        let waves = format!("release = \"r1\"\nwaves = {waves}");
        replace(&mut files, "fleet.toml", "release = \"r1\"", &waves);
        load(&files).fleet.unwrap().channels[0].waves.clone()
    };
    let canary = || WaveSpec::Labels([("tier".to_owned(), "canary".to_owned())].into());
    assert_eq!(of("[{ labels = { tier = \"canary\" } }]"), [canary()]);
    let mut files = fleet();
    for (name, tier) in [("a", "canary"), ("b", "other")] {
        let path = format!("clusters/{name}.toml");
        let keys = format!("addon-sets = [\"base\", \"more\"]\nlabels = {{ tier = \"{tier}\" }}");
        replace(&mut files, &path, "addon-sets = [\"base\", \"more\"]", &keys);
    }
    replace(&mut files, "clusters/b.toml", "\"stable\"", "\"dev\"");
    let waves = "release = \"r1\"\nwaves = [{ labels = { tier = \"canary\" } }]";
    replace(&mut files, "fleet.toml", "release = \"r1\"", waves);
    let waves = load(&files).fleet.unwrap().channels[0].waves.clone();
    assert_eq!(waves, [canary(), WaveSpec::Percent(100)]);
}

#[test]
fn what_means_nothing_where_nothing_is_rolled() {
    assert_snapshot!(with("clusters/a.toml", "max-surge = 1", "max-surge = 1\nupdate-strategy = \"on-delete\""), @r#"
    error: `max-surge` has no effect on `workers`
      --> clusters/a.toml:22:13
       |
    22 | max-surge = 1
       |             ^ `update-strategy = "on-delete"` rolls nothing
       |
       = help: remove it
    "#);
}

#[test]
fn a_drain_that_waits_longer_than_a_day() {
    let drain = "[drain]\nwait-complete = \"2d\"\n\n[control-plane]";
    assert_snapshot!(with("clusters/a.toml", "[control-plane]", drain), @r#"
    error: `2d` is too long for `wait-complete`
      --> clusters/a.toml:15:17
       |
    15 | wait-complete = "2d"
       |                 ^^^^ at most a day (`24h`)
       |
       = help: the node that waits is cordoned all that time; let longer Jobs save their progress, or apply when they are done
    "#);
    let mut files = fleet();
    let pool = "[[node-pools]]\ndrain = { wait-complete = \"25h\" }";
    replace(&mut files, "clusters/a.toml", "[[node-pools]]", pool);
    assert_snapshot!(told(&files), @r#"
    error: `25h` is too long for `wait-complete`
      --> clusters/a.toml:19:27
       |
    19 | drain = { wait-complete = "25h" }
       |                           ^^^^^ at most a day (`24h`)
       |
       = help: the node that waits is cordoned all that time; let longer Jobs save their progress, or apply when they are done
    "#);
}

#[test]
fn a_pool_has_its_own_wait_or_that_of_its_cluster() {
    let mut files = fleet();
    let drain = "[drain]\nwait-complete = \"30m\"\n\n[control-plane]";
    replace(&mut files, "clusters/a.toml", "[control-plane]", drain);
    let waits = |files: &_| {
        let fleet = load(files).fleet.unwrap();
        let cluster = fleet.clusters.values().next().unwrap().clone();
        (cluster.control_plane.wait_complete, cluster.pools[0].wait_complete)
    };
    assert_eq!(waits(&files), (Period::minutes(30), Period::minutes(30)));
    let pool = "[[node-pools]]\ndrain = { wait-complete = \"2h\" }";
    replace(&mut files, "clusters/a.toml", "[[node-pools]]", pool);
    assert_eq!(waits(&files), (Period::minutes(30), Period::minutes(120)));
}

#[test]
fn a_deployment_does_not_complete() {
    let workload = "[[provider.start.workloads]]\nname = \"web\"\nreplicas = 1\n\
                    completes-after = \"5m\"\n\n[control-plane]";
    assert_snapshot!(with("clusters/a.toml", "[control-plane]", workload), @r#"
    error: a Deployment does not complete
      --> clusters/a.toml:17:19
       |
    17 | completes-after = "5m"
       |                   ^^^^
       |
       = help: remove `completes-after`, or write `kind = "Job"`
    "#);
}
