//! What is broken before the plan begins may stay so, if it becomes no worse: for every rule.

use refit_model::{ClusterStatus, Code, Severity, UpdateStrategy};

use crate::bench::{
    Bench, ant, codes, finding, fleet, has, knows, n, release, requires, status, steps, wants,
};

/// `ant`, whose pool `batch` is updated on delete.
fn on_delete(start: &str, goal: &str) -> Bench {
    let mut fleet = fleet(&[("ant", start, goal)]);
    ant(&mut fleet).pools[1].update = UpdateStrategy::OnDelete;
    Bench::of(fleet)
}

#[test]
fn a_node_that_nobody_replaces_may_be_newer_than_the_next_hop_as_well() {
    let mut bench = on_delete("1.29.2", "1.31.5");
    bench.pool_runs("batch", &["1.31.5"]);
    let plan = bench.plan();
    assert!(!plan.is_blocked(), "{:#?}", plan.findings);
    assert!(!codes(&plan).contains(&Code::RF043));
    assert_eq!(finding(&plan, Code::RF017).severity, Severity::Warning);
}

#[test]
fn a_hop_that_somebody_began_may_be_finished_beside_nodes_that_are_too_old_already() {
    let mut bench = on_delete("1.36.2", "1.36.5");
    bench.control_plane_runs(&["1.36.5", "1.35.5"]);
    bench.pool_runs("general", &["1.35.5"]);
    bench.pool_runs("batch", &["1.32.2"]);
    let plan = bench.plan();
    assert!(steps(&plan).contains(&"control-plane 1.35.5/1.36.5 -> 1.36.5".to_owned()));
    assert_eq!(finding(&plan, Code::RF043).severity, Severity::Note);
    assert_eq!(finding(&plan, Code::RF017).severity, Severity::Warning);

    // Nobody began it: then these nodes are in the way.
    bench.control_plane_runs(&["1.35.5"]);
    let plan = bench.plan();
    assert_eq!(status(&plan, "ant"), ClusterStatus::Blocked);
    assert_eq!(finding(&plan, Code::RF043).severity, Severity::Blocked);
}

/// `ant` on its way from 1.31 to 1.32, with an add-on that is to stay at its only version.
fn half_done(supports: &str, kubelets: Option<&str>) -> Bench {
    let mut fleet = fleet(&[("ant", "1.31.2", "1.32.5")]);
    knows(&mut fleet, "cni", &[("1.0.0", supports)]);
    release(&mut fleet, "cni", "1.0.0").kubelets = kubelets.map(n);
    has(&mut fleet, "cni", "1.0.0");
    wants(&mut fleet, "cni", "1.0.0");
    let mut bench = Bench::of(fleet);
    bench.control_plane_runs(&["1.31.2", "1.32.5"]);
    bench
}

#[test]
fn a_hop_that_somebody_began_may_be_finished_beside_add_ons_that_do_not_support_it() {
    for (supports, kubelets) in [("<=1.31", None), (">=1.30", Some("<=1.31")), (">=1.34", None)] {
        let mut bench = half_done(supports, kubelets);
        // The nodes are replaced already, so that the add-on does not fit them from the beginning.
        for pool in ["general", "batch"] {
            bench.pool_runs(pool, &["1.32.5", "1.31.2"]);
        }
        let plan = bench.plan();
        assert!(!plan.is_blocked(), "{:#?}", plan.findings);
        assert_eq!(steps(&plan)[0], "control-plane 1.31.2/1.32.5 -> 1.32.5");
        let told = finding(&plan, Code::RF018);
        assert_eq!((told.severity, told.subject.part.as_deref()), (Severity::Warning, Some("cni")));
    }
}

#[test]
fn what_goes_further_away_from_a_range_is_in_the_way() {
    // Nobody began the hop, or what it leads to is further away than all that there is.
    let mut bench = half_done("<=1.31", None);
    bench.control_plane_runs(&["1.31.2"]);
    assert_eq!(finding(&bench.plan(), Code::RF018).severity, Severity::Blocked);
    let mut bench = half_done("<=1.30", None);
    ant(&mut bench.fleet).kubernetes.value = n("1.33.5");
    assert_eq!(finding(&bench.plan(), Code::RF018).severity, Severity::Blocked);
    // Nodes of one pool that would become too new for an add-on.
    let bench = half_done(">=1.30", Some("<=1.31"));
    assert_eq!(status(&bench.plan(), "ant"), ClusterStatus::Blocked);
    // What goes together is told nothing.
    let bench = half_done(">=1.30", Some("<=1.32"));
    assert!(!codes(&bench.plan()).contains(&Code::RF018));
}

#[test]
fn a_requirement_that_is_not_met_may_stay_so_while_the_other_one_comes_nearer() {
    let mut files = fleet(&[("ant", "1.33.5", "1.33.5")]);
    let versions = [("1.0.0", ">=1.28"), ("2.0.0", ">=1.28"), ("3.0.0", ">=1.28")];
    for name in ["cni", "dns"] {
        knows(&mut files, name, &versions);
        has(&mut files, name, "1.0.0");
        wants(&mut files, name, "2.0.0");
    }
    requires(&mut files, "dns", "1.0.0", "cni", ">=3.0.0");
    requires(&mut files, "dns", "2.0.0", "cni", ">=2.0.0");
    let bench = Bench::of(files.clone());
    assert_eq!(bench.steps(), ["cni 1.0.0 -> 2.0.0", "dns 1.0.0 -> 2.0.0"]);

    // It was met, and would not be any more.
    requires(&mut files, "dns", "1.0.0", "cni", "<=1.0.0");
    let bench = Bench::of(files);
    assert_eq!(status(&bench.plan(), "ant"), ClusterStatus::Blocked);
}
