//! Every order has the reason that really asks for it.

use refit_model::Milestone;

use crate::bench::{Bench, ant, edges, fleet, has, knows, n, release, wants};

#[test]
fn hops_and_rolls_are_ordered_by_the_skew_policy() {
    let kubelet =
        "a kubelet is never newer than an apiserver and at most 3 minors older (2 before 1.25)";
    let mut fleet = fleet(&[("ant", "1.31.2", "1.33.5")]);
    let bench = Bench::of(fleet.clone());
    assert_eq!(
        edges(&bench.plan()),
        [
            "control-plane 1.31.2 -> 1.32.5 => control-plane 1.32.5 -> 1.33.5: \
             a control plane goes minor by minor"
                .to_owned(),
            format!("control-plane 1.32.5 -> 1.33.5 => general 1.31.2 -> 1.33.5: {kubelet}"),
            "general 1.31.2 -> 1.33.5 => batch 1.31.2 -> 1.33.5: \
             a cluster changes one thing at a time"
                .to_owned(),
        ],
    );
    // A forced roll: the hop waits for it, for the same reason.
    ant(&mut fleet).pools.truncate(1);
    let mut bench = Bench::of(fleet);
    bench.pool_runs("general", &["1.29.2"]);
    assert_eq!(
        edges(&bench.plan())[..2],
        [
            format!("control-plane 1.31.2 -> 1.32.5 => general 1.29.2 -> 1.32.5: {kubelet}"),
            format!("general 1.29.2 -> 1.32.5 => control-plane 1.32.5 -> 1.33.5: {kubelet}"),
        ],
    );
}

#[test]
fn moves_of_addons_say_what_they_wait_for() {
    let mut fleet = fleet(&[("ant", "1.32.2", "1.33.5")]);
    ant(&mut fleet).pools.clear();
    let old = [("1.0.0", "<=1.32"), ("1.1.0", ">=1.28")];
    let new = [("1.0.0", ">=1.28"), ("1.1.0", ">=1.33")];
    let any = [("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")];
    knows(&mut fleet, "left", &old);
    knows(&mut fleet, "reached", &new);
    knows(&mut fleet, "free", &any);
    knows(&mut fleet, "early", &any).placement.before.insert(Milestone::ControlPlane);
    knows(&mut fleet, "late", &any).placement.after.insert(Milestone::ControlPlane);
    for name in ["left", "reached", "free", "early", "late"] {
        has(&mut fleet, name, "1.0.0");
        wants(&mut fleet, name, "1.1.0");
    }
    let hop = "control-plane 1.32.2 -> 1.33.5";
    let moved = |name: &str| format!("{name} 1.0.0 -> 1.1.0");
    assert_eq!(
        edges(&Bench::of(fleet).plan()),
        [
            format!(
                "{} => {hop}: addons/early/addon.toml places it relative to control-plane",
                moved("early")
            ),
            format!("{} => {hop}: left 1.0.0 supports <=1.32, not 1.33", moved("left")),
            format!("{hop} => {}: a cluster changes one thing at a time", moved("free")),
            format!(
                "{hop} => {}: addons/late/addon.toml places it relative to control-plane",
                moved("late")
            ),
            format!("{hop} => {}: reached 1.1.0 supports >=1.33, not 1.32", moved("reached")),
        ],
    );
}

#[test]
fn kubelet_ranges_and_nodes_have_their_reasons() {
    let mut fleet = fleet(&[("ant", "1.32.2", "1.33.5")]);
    ant(&mut fleet).pools.truncate(1);
    let any = [("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")];
    knows(&mut fleet, "late", &any).placement.after.insert(Milestone::Nodes);
    knows(&mut fleet, "proxy", &any);
    release(&mut fleet, "proxy", "1.1.0").kubelets = Some(n(">=1.33"));
    for name in ["late", "proxy"] {
        has(&mut fleet, name, "1.0.0");
        wants(&mut fleet, name, "1.1.0");
    }
    let roll = "general 1.32.2 -> 1.33.5";
    let found = edges(&Bench::of(fleet.clone()).plan());
    assert_eq!(
        found[1],
        format!(
            "{roll} => late 1.0.0 -> 1.1.0: addons/late/addon.toml places it relative to nodes"
        )
    );
    assert_eq!(
        found[2],
        format!("{roll} => proxy 1.0.0 -> 1.1.0: proxy 1.1.0 supports kubelets >=1.33, not 1.32")
    );
    // And the other way round: gone before the nodes move.
    release(&mut fleet, "proxy", "1.1.0").kubelets = None;
    release(&mut fleet, "proxy", "1.0.0").kubelets = Some(n("<=1.32"));
    let found = edges(&Bench::of(fleet.clone()).plan());
    let because = "proxy 1.0.0 supports kubelets <=1.32, not 1.33";
    let hop = "control-plane 1.32.2 -> 1.33.5";
    // The kubelets of the control plane come first.
    assert!(found.contains(&format!("proxy 1.0.0 -> 1.1.0 => {hop}: {because}")), "{found:#?}");
}

#[test]
fn a_roll_that_takes_kubelets_away_is_the_reason_as_well_as_one_that_brings_them() {
    let mut fleet = fleet(&[("ant", "1.33.5", "1.33.5")]);
    ant(&mut fleet).pools.truncate(1);
    knows(&mut fleet, "proxy", &[("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")]);
    release(&mut fleet, "proxy", "1.0.0").kubelets = Some(n("<=1.33"));
    has(&mut fleet, "proxy", "1.0.0");
    wants(&mut fleet, "proxy", "1.1.0");
    let mut bench = Bench::of(fleet);
    bench.pool_runs("general", &["1.32.2"]);
    release(&mut bench.fleet, "proxy", "1.1.0").kubelets = Some(n(">=1.33"));
    assert_eq!(
        edges(&bench.plan()),
        ["general 1.32.2 -> 1.33.5 => proxy 1.0.0 -> 1.1.0: \
          proxy 1.1.0 supports kubelets >=1.33, not 1.32"]
    );
}

#[test]
fn pins_come_first_or_after_the_last_hop() {
    let mut bench = Bench::ant("1.32.2", "1.33.5");
    ant(&mut bench.fleet).pools.truncate(1);
    let newest = bench.image("1.33.5");
    let group = bench.state().groups.get_mut(&n("ant-general-0")).unwrap();
    group.template_images.insert(2, newest);
    group.template_version = 2;
    assert_eq!(
        edges(&bench.plan())[0],
        "pin the image of 1 groups => control-plane 1.32.2 -> 1.33.5: groups are pinned first",
    );
}
