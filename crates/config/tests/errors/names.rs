//! Names: declared twice, or not at all.

use insta::assert_snapshot;
use refit_config::load;

use crate::{fleet, plus, replace, with};

#[test]
fn two_clusters_of_one_name() {
    assert_snapshot!(with("clusters/b.toml", r#"name = "b""#, r#"name = "a""#), @r#"
    error: there are two clusters called `a`
     --> clusters/b.toml:3:8
      |
    3 | name = "a"
      |        ^^^ again here
      |
     ::: clusters/a.toml:3:8
      |
    3 | name = "a"
      |        --- first here
      |
      = help: rename one of them
    "#);
}

#[test]
fn two_channels_of_one_name() {
    assert_snapshot!(with("fleet.toml", r#"name = "stable""#, r#"name = "dev""#), @r#"
    error: there is no channel `stable`
     --> clusters/b.toml:4:11
      |
    4 | channel = "stable"
      |           ^^^^^^^^ no such channel
      |
      = help: channels: `dev`
    error: there are two channels called `dev`
      --> fleet.toml:13:8
       |
     9 | name = "dev"
       |        ----- first here
    ...
    13 | name = "dev"
       |        ^^^^^ again here
       |
       = help: rename one of them
    "#);
}

#[test]
fn two_releases_of_one_name() {
    assert_snapshot!(plus("releases/r2.toml", r#"[release]
name = "r1"
kubernetes = "1.35.1"
[addon-sets]
base = {}
more = {}
"#), @r#"
    error: there are two releases called `r1`
     --> releases/r2.toml:2:8
      |
    2 | name = "r1"
      |        ^^^^ again here
      |
     ::: releases/r1.toml:3:8
      |
    3 | name = "r1"
      |        ---- first here
      |
      = help: rename one of them
    "#);
}

#[test]
fn two_pools_of_one_name() {
    assert_snapshot!(with("clusters/a.toml", "max-surge = 1", r#"max-surge = 1

[[node-pools]]
name = "workers"
auto-scaling-groups = ["a-other"]
image = { name = "k8s-{version}" }"#), @r#"
    error: there are two node pools of a called `workers`
      --> clusters/a.toml:25:8
       |
    19 | name = "workers"
       |        --------- first here
    ...
    25 | name = "workers"
       |        ^^^^^^^^^ again here
       |
       = help: rename one of them
    "#);
}

#[test]
fn two_addons_of_one_name() {
    assert_snapshot!(with("fleet.toml", "[[channels]]", r#"[[addons]]
name = "coredns"
versions = [{ version = "1.2.0", kubernetes = ">=1.35" }]

[[channels]]"#), @r#"
    error: there are two add-ons called `coredns`
     --> addons/coredns/addon.toml
      |
     ::: fleet.toml:9:8
      |
    9 | name = "coredns"
      |        --------- first here
      |
      = help: rename one of them
    warning: no version of `coredns` uses the directory `addons/coredns/1.1.0`
    --> fleet.toml
     = help: declare the version in `versions`, or remove the directory
    "#);
}

#[test]
fn an_addon_in_the_wrong_directory() {
    assert_snapshot!(with("addons/coredns/addon.toml", "[[versions]]", r#"[addon]
name = "dns"

[[versions]]"#), @r#"
    error: the add-on `dns` is in the directory `coredns`
     --> addons/coredns/addon.toml:3:8
      |
    3 | name = "dns"
      |        ^^^^^ should be `coredns`
      |
      = help: rename one of them, or leave `name` out
    "#);
}

#[test]
fn an_unknown_channel() {
    assert_snapshot!(with("clusters/a.toml", r#""dev""#, r#""devv""#), @r#"
    error: there is no channel `devv`
     --> clusters/a.toml:4:11
      |
    4 | channel = "devv"
      |           ^^^^^^ no such channel
      |
      = help: did you mean `dev`?
      = help: channels: `dev`, `stable`
    "#);
}

#[test]
fn an_unknown_release() {
    assert_snapshot!(with("fleet.toml", r#""r1""#, r#""2026.1""#), @r#"
    error: there is no release `2026.1`
      --> fleet.toml:10:11
       |
    10 | release = "2026.1"
       |           ^^^^^^^^ no such release
       |
       = help: releases: `r1`
    "#);
}

#[test]
fn an_unknown_addon_set() {
    assert_snapshot!(with("clusters/a.toml", r#""base""#, r#""bsae""#), @r#"
    error: the release r1 has no add-on set `bsae`
     --> clusters/a.toml:5:15
      |
    5 | addon-sets = ["bsae", "more"]
      |               ^^^^^^ no such set
      |
     ::: releases/r1.toml:3:8
      |
    3 | name = "r1"
      |        ---- the release
      |
      = help: did you mean `base`?
      = help: its sets: `base`, `more`
    "#);
}

#[test]
fn an_unknown_addon() {
    assert_snapshot!(with("releases/r1.toml", "coredns =", "corednss ="), @r#"
    error: there is no add-on `corednss`
     --> releases/r1.toml:7:1
      |
    7 | corednss = "1.2.0"
      | ^^^^^^^^ no such add-on
      |
      = help: did you mean `coredns`?
      = help: add-ons: `coredns`, `ingress`
      = help: an add-on is declared in `addons/corednss/addon.toml`
    "#);
}

#[test]
fn a_wave_with_a_cluster_of_another_channel() {
    assert_snapshot!(with("fleet.toml", r#"release = "r1""#, r#"release = "r1"
waves = [{ clusters = ["b"] }]"#), @r#"
    error: b does not follow the channel dev
      --> fleet.toml:11:24
       |
    11 | waves = [{ clusters = ["b"] }]
       |                        ^^^ in a wave of dev
       |
      ::: clusters/b.toml:4:11
       |
     4 | channel = "stable"
       |           -------- follows this channel
       |
       = help: remove it from the waves of dev
    "#);
}

#[test]
fn a_wave_after_all_are_taken() {
    assert_snapshot!(with("fleet.toml", r#"release = "r1""#, r#"release = "r1"
waves = [{ percent = 100 }, { percent = 50 }]"#), @r#"
    error: no cluster is left for this wave
      --> fleet.toml:11:29
       |
    11 | waves = [{ percent = 100 }, { percent = 50 }]
       |                      ---    ^^^^^^^^^^^^^^^^ takes nothing
       |                      |
       |                      takes all that are left
       |
       = help: remove it, or put it before the wave of 100 %
    "#);
}

#[test]
fn a_group_used_twice() {
    assert_snapshot!(with("clusters/b.toml", r#""b-workers""#, r#""a-workers""#), @r#"
    error: the group `a-workers` is used twice
      --> clusters/b.toml:20:24
       |
    20 | auto-scaling-groups = ["a-workers"]
       |                        ^^^^^^^^^^^ by b/workers
       |
      ::: clusters/a.toml:20:24
       |
    20 | auto-scaling-groups = ["a-workers"]
       |                        ----------- by a/workers
       |
       = help: a group belongs to one pool of one cluster
    "#);
}

#[test]
fn waves_that_name_every_cluster_need_no_last_one() {
    let waves = |text: &str| {
        let mut files = fleet();
        let written = format!("release = \"r1\"\nwaves = {text}");
        replace(&mut files, "fleet.toml", "release = \"r1\"", &written);
        load(&files).fleet.unwrap().channels[0].waves.len()
    };
    assert_eq!(waves("[{ clusters = [\"a\"] }]"), 1);
    assert_eq!(waves("[{ percent = 25 }]"), 2);
    assert_eq!(waves("[{ percent = 100 }]"), 1);
    assert_eq!(waves("[]"), 1);
}

/// One mistake, one error: the copy has the same groups, and they are not told.
#[test]
fn a_copy_of_a_cluster() {
    let told = plus("clusters/copy.toml", &crate::cluster("a", "dev"));
    assert!(told.contains("there are two clusters called `a`"), "{told}");
    assert_eq!(told.matches("error:").count(), 1, "{told}");
}

#[test]
fn an_empty_name_in_a_list() {
    let told = with(
        "clusters/a.toml",
        r#"addon-sets = ["base", "more"]"#,
        r#"addon-sets = ["", "base", "more"]"#,
    );
    assert!(told.contains("an entry of `addon-sets` is empty"), "{told}");
    assert!(!told.contains("``"), "{told}");
}

#[test]
fn a_misspelled_key_at_the_wrong_level() {
    let told = with("clusters/a.toml", "[cluster]", "chanel = \"dev\"\n[cluster]");
    assert!(told.contains("did you mean `channel`, which belongs to `[cluster]`?"), "{told}");
    let told = with("clusters/a.toml", "[cluster]", "channel = \"dev\"\n[cluster]");
    assert!(told.contains("`channel` belongs to `[cluster]`"), "{told}");
}

/// A suggestion that is followed must not be an upgrade or a downgrade by a minor.
#[test]
fn a_version_is_suggested_within_its_minor() {
    let told = |version: &str| {
        with("releases/r1.toml", "coredns = \"1.2.0\"", &format!("coredns = \"{version}\""))
    };
    let near = told("1.2.1");
    assert!(near.contains("did you mean `1.2.0`?"), "{near}");
    let far = told("1.3.0");
    assert!(!far.contains("did you mean") && far.contains("versions with manifests"), "{far}");
}
