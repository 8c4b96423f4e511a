//! Versions in between that only another add-on asks for.

use refit_model::{ActionKind, ClusterStatus, Code, Fleet, Why};

use crate::bench::{
    Bench, ant, codes, edges, finding, fleet, has, knows, minor, n, release, requires, status,
    wants,
};

/// `proxy` from 1 to 3 beside `dns` from 1 to 3; what requires what is the test's.
fn pair(goal: &str) -> Fleet {
    let mut fleet = fleet(&[("ant", "1.32.2", goal)]);
    ant(&mut fleet).pools.clear();
    let versions = [("1.0.0", ">=1.28"), ("2.0.0", ">=1.28"), ("3.0.0", ">=1.28")];
    for name in ["dns", "proxy"] {
        knows(&mut fleet, name, &versions);
        has(&mut fleet, name, "1.0.0");
        wants(&mut fleet, name, "3.0.0");
    }
    fleet
}

#[test]
fn the_required_one_stops_at_a_version_that_goes_with_both() {
    let mut fleet = pair("1.32.2");
    requires(&mut fleet, "proxy", "1.0.0", "dns", "<=2.0.0");
    requires(&mut fleet, "proxy", "3.0.0", "dns", ">=2.0.0");
    fleet.addons.get_mut(&n("proxy")).unwrap().versions.remove(&n("2.0.0"));
    let bench = Bench::of(fleet.clone());
    assert_eq!(bench.steps(), ["dns 1.0.0 -> 2.0.0", "proxy 1.0.0 -> 3.0.0", "dns 2.0.0 -> 3.0.0"],);
    assert_eq!(
        edges(&bench.plan()),
        [
            "dns 1.0.0 -> 2.0.0 => proxy 1.0.0 -> 3.0.0: proxy requires dns",
            "proxy 1.0.0 -> 3.0.0 => dns 2.0.0 -> 3.0.0: proxy requires dns",
        ],
    );
    // Also between hops, where the other one has to be gone before the next.
    ant(&mut fleet).kubernetes.value = n("1.34.5");
    release(&mut fleet, "proxy", "1.0.0").kubernetes = n("<=1.33");
    assert_eq!(
        Bench::of(fleet).steps(),
        [
            "control-plane 1.32.2 -> 1.33.5",
            "dns 1.0.0 -> 2.0.0",
            "proxy 1.0.0 -> 3.0.0",
            "control-plane 1.33.5 -> 1.34.5",
            "dns 2.0.0 -> 3.0.0",
        ],
    );
}

#[test]
fn the_requiring_one_stops_at_a_version_that_goes_with_both() {
    let mut fleet = pair("1.33.5");
    requires(&mut fleet, "proxy", "1.0.0", "dns", "<=1.0.0");
    requires(&mut fleet, "proxy", "3.0.0", "dns", ">=3.0.0");
    fleet.addons.get_mut(&n("dns")).unwrap().versions.remove(&n("2.0.0"));
    assert_eq!(
        Bench::of(fleet).steps(),
        [
            "control-plane 1.32.2 -> 1.33.5",
            "proxy 1.0.0 -> 2.0.0",
            "dns 1.0.0 -> 3.0.0",
            "proxy 2.0.0 -> 3.0.0",
        ],
    );
}

#[test]
fn of_two_bridges_the_newer_one_is_taken() {
    let mut fleet = pair("1.32.2");
    requires(&mut fleet, "proxy", "1.0.0", "dns", "<=2.5.0");
    requires(&mut fleet, "proxy", "3.0.0", "dns", ">=2.0.0");
    let versions = ["1.0.0", "2.0.0", "2.5.0", "2.6.0", "3.0.0"].map(|v| (v, ">=1.28"));
    knows(&mut fleet, "dns", &versions);
    fleet.addons.get_mut(&n("proxy")).unwrap().versions.remove(&n("2.0.0"));
    assert_eq!(Bench::of(fleet).steps()[0], "dns 1.0.0 -> 2.5.0");
}

#[test]
fn two_bridges_are_taken_where_one_is_not_enough() {
    let mut fleet = pair("1.32.2");
    // 1+1, 2+1, 2+2, 3+2, 3+3 go together.
    requires(&mut fleet, "proxy", "1.0.0", "dns", "<=1.0.0");
    requires(&mut fleet, "proxy", "2.0.0", "dns", "<=2.0.0");
    requires(&mut fleet, "proxy", "3.0.0", "dns", ">=2.0.0");
    assert_eq!(
        Bench::of(fleet).steps(),
        [
            "proxy 1.0.0 -> 2.0.0",
            "dns 1.0.0 -> 2.0.0",
            "proxy 2.0.0 -> 3.0.0",
            "dns 2.0.0 -> 3.0.0",
        ],
    );
}

#[test]
fn without_a_bridge_the_finding_says_what_would_be_one() {
    let mut fleet = pair("1.32.2");
    requires(&mut fleet, "proxy", "1.0.0", "dns", "<=1.0.0");
    for version in ["2.0.0", "3.0.0"] {
        requires(&mut fleet, "proxy", version, "dns", ">=3.0.0");
    }
    let plan = Bench::of(fleet).plan();
    assert_eq!(status(&plan, "ant"), ClusterStatus::Blocked);
    assert_eq!(codes(&plan).len(), 1);
    let found = finding(&plan, Code::RF019);
    assert_eq!(found.hint, "add a version of dns or of proxy that goes with both");
}

/// The skew policy would let the nodes be rolled once, at the end; an add-on does not.
#[test]
fn a_roll_that_an_add_on_needs_says_so() {
    let mut fleet = fleet(&[("ant", "1.31.5", "1.33.5")]);
    ant(&mut fleet).pools.truncate(1);
    knows(&mut fleet, "dns", &[("1.0.0", "<=1.32"), ("2.0.0", ">=1.32")]);
    has(&mut fleet, "dns", "1.0.0");
    wants(&mut fleet, "dns", "2.0.0");
    release(&mut fleet, "dns", "2.0.0").kubelets = Some(n(">=1.32"));
    let plan = Bench::of(fleet.clone()).plan();
    let rolls: Vec<&Why> = plan
        .actions
        .iter()
        .filter(|action| matches!(&action.kind, ActionKind::NodePoolRoll { to, .. } if to.minor() == minor(32)))
        .map(|action| &action.why)
        .collect();
    let (addon, version, supports) = (n("dns"), n("2.0.0"), ">=1.32".to_owned());
    assert_eq!(rolls, [&Why::AddonKubelets { addon, version, supports }]);
}
