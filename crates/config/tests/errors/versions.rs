//! Versions and other values, and which fit together.

use insta::assert_snapshot;

use crate::with;

#[test]
fn an_unknown_addon_version() {
    assert_snapshot!(with("releases/r1.toml", r#""1.2.0""#, r#""1.3.0""#), @r#"
    error: coredns has no version 1.3.0
     --> releases/r1.toml:7:11
      |
    7 | coredns = "1.3.0"
      |           ^^^^^^^ not in `addons/coredns/addon.toml`
      |
      = help: versions with manifests: `1.1.0`, `1.2.0`
    "#);
}

#[test]
fn a_version_that_is_none() {
    assert_snapshot!(with("releases/r1.toml", r#""1.35.1""#, r#""latest""#), @r#"
    error: `latest` is not a Kubernetes version such as `1.34.3`
     --> releases/r1.toml:4:14
      |
    4 | kubernetes = "latest"
      |              ^^^^^^^^
    "#);
}

#[test]
fn a_version_that_is_not_available() {
    assert_snapshot!(with("releases/r1.toml", r#""1.35.1""#, r#""1.35.9""#), @r#"
    error: Kubernetes 1.35.9 is not available to this fleet
     --> releases/r1.toml:4:14
      |
    4 | kubernetes = "1.35.9"
      |              ^^^^^^^^ not in `kubernetes.available` of fleet.toml
      |
      = help: available: 1.34.3, 1.35.1
      = help: or add it there
    "#);
}

#[test]
fn a_pin_that_is_not_available() {
    assert_snapshot!(with("clusters/a.toml", "[provider]", r#"[pins]
kubernetes = "1.33.0"

[provider]"#), @r#"
    error: Kubernetes 1.33.0 is not available to this fleet
     --> clusters/a.toml:8:14
      |
    8 | kubernetes = "1.33.0"
      |              ^^^^^^^^ not in `kubernetes.available` of fleet.toml
      |
      = help: available: 1.34.3, 1.35.1
      = help: or add it there
    "#);
}

#[test]
fn a_version_available_twice() {
    assert_snapshot!(with("fleet.toml", r#""1.35.1"]"#, r#""1.35.1", "1.34.3"]"#), @r#"
    error: 1.34.3 is available twice
     --> fleet.toml:6:34
      |
    6 | available = ["1.34.3", "1.35.1", "1.34.3"]
      |              -------- first here ^^^^^^^^ again here
      |
      = help: remove one of them
    "#);
}

#[test]
fn an_empty_range() {
    assert_snapshot!(with("addons/coredns/addon.toml", r#"">=1.30, <=1.34""#, r#""""#), @r#"
    error: the range is empty
     --> addons/coredns/addon.toml:4:14
      |
    4 | kubernetes = ""
      |              ^^
      |
      = help: a range is written as `>=1.29, <=1.33`
    "#);
}

#[test]
fn a_contradictory_range() {
    assert_snapshot!(with("addons/coredns/addon.toml", r#"">=1.30, <=1.34""#, r#"">=1.34, <1.34""#), @r#"
    error: nothing is in `>=1.34, <1.34`: its bounds contradict each other
     --> addons/coredns/addon.toml:4:14
      |
    4 | kubernetes = ">=1.34, <1.34"
      |              ^^^^^^^^^^^^^^^
      |
      = help: a range is written as `>=1.29, <=1.33`
    "#);
}

#[test]
fn a_requirement_circle() {
    assert_snapshot!(with("addons/coredns/addon.toml", r#"kubernetes = ">=1.34, <=1.35""#, r#"kubernetes = ">=1.34, <=1.35"
requires = { ingress = ">=3.0.0" }"#), @r#"
    error: add-ons require each other in a circle
     --> addons/coredns/addon.toml:9:24
      |
    9 | requires = { ingress = ">=3.0.0" }
      |                        ^^^^^^^^^ part of the circle
      |
      = help: the circle: coredns 1.2.0 -> ingress 3.0.0 -> coredns 1.2.0
      = help: remove one of the requirements; none of them could be the first
    "#);
}

#[test]
fn an_order_circle() {
    assert_snapshot!(with("addons/coredns/addon.toml", "[[versions]]", r#"[addon]
after = ["nodes"]
before = ["control-plane"]

[[versions]]"#), @r#"
    error: the order of add-ons is a circle
     --> addons/coredns/addon.toml:4:11
      |
    4 | before = ["control-plane"]
      |           ^^^^^^^^^^^^^^^ part of the circle
      |
      = help: the circle, each before the next: coredns -> control-plane -> nodes -> coredns
      = help: remove one of the `before` or `after`
    "#);
}

#[test]
fn a_requirement_on_an_unknown_addon() {
    assert_snapshot!(with("addons/ingress/addon.toml", "coredns =", "core-dns ="), @r#"
    error: there is no add-on `core-dns`
     --> addons/ingress/addon.toml:5:14
      |
    5 | requires = { core-dns = ">=1.2.0" }
      |              ^^^^^^^^ no such add-on
      |
      = help: did you mean `coredns`?
      = help: add-ons: `coredns`, `ingress`
      = help: an add-on is declared in `addons/core-dns/addon.toml`
    "#);
}

#[test]
fn a_requirement_that_no_version_meets() {
    assert_snapshot!(with("addons/ingress/addon.toml", ">=1.2.0", ">=2.0.0"), @r#"
    error: no version of coredns is >=2.0.0
     --> addons/ingress/addon.toml:5:24
      |
    5 | requires = { coredns = ">=2.0.0" }
      |                        ^^^^^^^^^ can never hold
      |
      = help: versions with manifests: 1.1.0, 1.2.0
    "#);
}

#[test]
fn two_sets_that_disagree() {
    assert_snapshot!(with("releases/r1.toml", r#"ingress = "3.0.0""#, r#"ingress = "3.0.0"
coredns = "1.1.0""#), @r#"
    error: a would run coredns in two versions, 1.2.0 and 1.1.0
      --> clusters/a.toml:5:23
       |
     5 | addon-sets = ["base", "more"]
       |                       ^^^^^^ the set more brings 1.1.0
       |
      ::: releases/r1.toml:7:11
       |
     7 | coredns = "1.2.0"
       |           ------- in the set base
    ...
    11 | coredns = "1.1.0"
       |           ------- in the set more
       |
       = help: use one of the sets, or give both the same version
    error: coredns 1.1.0 supports Kubernetes >=1.30, <=1.34, not 1.35
      --> releases/r1.toml:11:11
       |
    11 | coredns = "1.1.0"
       |           ^^^^^^^ with Kubernetes 1.35.1
       |
       = help: versions that support 1.35: 1.2.0
    "#);
}

#[test]
fn a_release_whose_addon_does_not_support_it() {
    assert_snapshot!(with("releases/r1.toml", r#"coredns = "1.2.0""#, r#"coredns = "1.1.0""#), @r#"
    error: coredns 1.1.0 supports Kubernetes >=1.30, <=1.34, not 1.35
     --> releases/r1.toml:7:11
      |
    7 | coredns = "1.1.0"
      |           ^^^^^^^ with Kubernetes 1.35.1
      |
      = help: versions that support 1.35: 1.2.0
    error: ingress 3.0.0 requires coredns >=1.2.0
      --> releases/r1.toml:10:11
       |
    10 | ingress = "3.0.0"
       |           ^^^^^^^ the release has coredns 1.1.0
       |
       = help: add a version of coredns that is >=1.2.0 to a set
    "#);
}

#[test]
fn a_release_without_what_an_addon_requires() {
    assert_snapshot!(with("releases/r1.toml", r#"coredns = "1.2.0""#, ""), @r#"
    error: ingress 3.0.0 requires coredns >=1.2.0
      --> releases/r1.toml:10:11
       |
    10 | ingress = "3.0.0"
       |           ^^^^^^^ the release has no coredns
       |
       = help: add a version of coredns that is >=1.2.0 to a set
    "#);
}

#[test]
fn a_cluster_without_what_an_addon_requires() {
    assert_snapshot!(with("clusters/a.toml", r#""base", "#, ""), @r#"
    error: ingress 3.0.0 of a requires coredns >=1.2.0
     --> clusters/a.toml:5:15
      |
    5 | addon-sets = ["more"]
      |               ^^^^^^ no add-on set of the cluster has coredns
      |
      = help: add the set that has coredns
    "#);
}

#[test]
fn a_pin_of_an_addon_in_no_set() {
    assert_snapshot!(with("clusters/a.toml", "addon-sets = [\"base\", \"more\"]\n", "addon-sets = [\"base\"]\n\n[pins.addons]\ningress = \"3.0.0\"\n"), @r#"
    error: the pin of ingress has no effect
     --> clusters/a.toml:8:11
      |
    8 | ingress = "3.0.0"
      |           ^^^^^^^ no add-on set of the cluster names ingress
      |
      = help: remove the pin, or add the set that has it
    "#);
}

#[test]
fn a_pin_that_does_not_fit() {
    assert_snapshot!(with("clusters/a.toml", "[provider]", r#"[pins.addons]
coredns = "1.1.0"

[provider]"#), @r#"
    error: coredns 1.1.0 supports Kubernetes >=1.30, <=1.34, not 1.35
     --> clusters/a.toml:8:11
      |
    8 | coredns = "1.1.0"
      |           ^^^^^^^ a would run coredns 1.1.0
      |
      = help: versions that support 1.35: 1.2.0
    error: ingress 3.0.0 of a requires coredns >=1.2.0
     --> clusters/a.toml:8:11
      |
    8 | coredns = "1.1.0"
      |           ^^^^^^^ the cluster would run coredns 1.1.0
      |
      = help: give coredns another version
    "#);
}

#[test]
fn a_bad_duration() {
    assert_snapshot!(with("clusters/a.toml", "max-surge = 1", r#"drain-timeout = "15 minutes""#), @r#"
    error: `15 minutes` is not a duration: write it as `90s`, `15m`, `1h30m` or `2d`
      --> clusters/a.toml:22:17
       |
    22 | drain-timeout = "15 minutes"
       |                 ^^^^^^^^^^^^
    "#);
}

#[test]
fn a_bad_percentage() {
    assert_snapshot!(with("clusters/a.toml", "max-surge = 1", r#"max-surge = "110%""#), @r#"
    error: `110%` is neither a number such as `3` nor a percentage such as `"10%"`
      --> clusters/a.toml:22:13
       |
    22 | max-surge = "110%"
       |             ^^^^^^
    "#);
}

#[test]
fn no_surge_and_nothing_unavailable() {
    assert_snapshot!(with("clusters/a.toml", "max-surge = 1", r#"max-surge = 0
max-unavailable = "0%""#), @r#"
    error: no node of `workers` could ever be replaced
      --> clusters/a.toml:22:13
       |
    22 | max-surge = 0
       |             ^ no node more
    23 | max-unavailable = "0%"
       |                   ---- and no node fewer
       |
       = help: make one of `max-surge` and `max-unavailable` at least 1
    "#);
}

#[test]
fn an_image_without_a_version() {
    assert_snapshot!(with("clusters/a.toml", r#""k8s-{version}""#, r#""k8s-*""#), @r#"
    error: the image's name does not say where the version is
      --> clusters/a.toml:16:18
       |
    16 | image = { name = "k8s-*" }
       |                  ^^^^^^^ no `{version}`
       |
       = help: write `{version}` for the version, such as "acme-k8s-{version}-*"
    "#);
}

#[test]
fn an_image_with_an_unknown_placeholder() {
    assert_snapshot!(with("clusters/a.toml", r#""k8s-{version}""#, r#""k8s-{version}-{arch}""#), @r#"
    error: the image's name has the unknown placeholder `{arch}`
      --> clusters/a.toml:16:18
       |
    16 | image = { name = "k8s-{version}-{arch}" }
       |                  ^^^^^^^^^^^^^^^^^^^^^^ unknown
       |
       = help: write `{version}` for the version, such as "acme-k8s-{version}-*"
    "#);
}

#[test]
fn a_state_outside() {
    assert_snapshot!(with("fleet.toml", "[kubernetes]", r#"[state]
path = "../state"

[kubernetes]"#), @r#"
    error: the state's path `../state` is not below the fleet's directory
     --> fleet.toml:6:8
      |
    6 | path = "../state"
      |        ^^^^^^^^^^
      |
      = help: write a relative path such as "state"
    "#);
}

#[test]
fn an_addon_that_conflicts_with_itself() {
    assert_snapshot!(with(
        "addons/ingress/addon.toml",
        r#"requires = { coredns = ">=1.2.0" }"#,
        r#"conflicts = { ingress = "any" }"#
    ), @r#"
    error: ingress conflicts with itself
     --> addons/ingress/addon.toml:5:15
      |
    5 | conflicts = { ingress = "any" }
      |               ^^^^^^^
      |
      = help: remove the conflict; two versions of an add-on are never installed
    "#);
}

#[test]
fn a_conflict_with_an_addon_that_there_is_not() {
    assert_snapshot!(with(
        "addons/ingress/addon.toml",
        r#"requires = { coredns = ">=1.2.0" }"#,
        r#"conflicts = { core-dns = ">=1.2.0" }"#
    ), @r#"
    error: there is no add-on `core-dns`
     --> addons/ingress/addon.toml:5:15
      |
    5 | conflicts = { core-dns = ">=1.2.0" }
      |               ^^^^^^^^ no such add-on
      |
      = help: did you mean `coredns`?
      = help: add-ons: `coredns`, `ingress`
      = help: an add-on is declared in `addons/core-dns/addon.toml`
    "#);
}

#[test]
fn a_cluster_with_addons_that_conflict() {
    assert_snapshot!(with(
        "addons/ingress/addon.toml",
        r#"requires = { coredns = ">=1.2.0" }"#,
        r#"conflicts = { coredns = ">=1.2.0" }"#
    ), @r#"
    error: ingress 3.0.0 of a conflicts with coredns >=1.2.0
     --> clusters/a.toml:5:15
      |
    5 | addon-sets = ["base", "more"]
      |               ^^^^^^^^^^^^^^ the cluster would run coredns 1.2.0
      |
      = help: give ingress or coredns another version
    error: ingress 3.0.0 of b conflicts with coredns >=1.2.0
     --> clusters/b.toml:5:15
      |
    5 | addon-sets = ["base", "more"]
      |               ^^^^^^^^^^^^^^ the cluster would run coredns 1.2.0
      |
      = help: give ingress or coredns another version
    "#);
}

#[test]
fn a_range_of_steps_that_is_none() {
    assert_snapshot!(with(
        "addons/ingress/addon.toml",
        r#"requires = { coredns = ">=1.2.0" }"#,
        r#"upgrade-from = "2.x.y""#
    ), @r#"
    error: cannot read `2.x.y`: write comparators such as `>=1.29, <=1.33`, or `any` by itself
     --> addons/ingress/addon.toml:5:16
      |
    5 | upgrade-from = "2.x.y"
      |                ^^^^^^^
      |
      = help: a range is written as `>=1.2.0, <2.0.0`
    "#);
}
