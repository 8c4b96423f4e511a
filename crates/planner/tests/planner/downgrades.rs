//! Clusters that were named go back: nodes, then add-ons, then the control plane.

use std::collections::BTreeSet;

use refit_model::{
    ActionKind, AddonTarget, Because, ClusterStatus, Code, Fleet, KubeProxy, Milestone, Minor,
    Only, Plan, Provider, Reversibility, ServedVersion, Severity, UpdateStrategy, Written,
};
use refit_planner::{Options, plan};
use refit_simulator::{World, random_fleet};
use refit_verifier::verify;

use crate::bench::{
    Bench, action, ant, at, edges, finding, fleet, has, knows, milestone, n, observe, release,
    requires, status, steps, wants,
};
use crate::cases::stray;
use crate::properties::Numbers;
use crate::storage::lists;

/// `ant`, which may go back, with what is done to its fleet.
fn named(start: &str, goal: &str, change: impl FnOnce(&mut Fleet)) -> Bench {
    let mut fleet = fleet(&[("ant", start, goal)]);
    change(&mut fleet);
    let mut bench = Bench::of(fleet);
    bench.options.downgrade.insert(n("ant"));
    bench
}

/// An add-on that is newer than it is to be.
fn dns(fleet: &mut Fleet) {
    knows(fleet, "dns", &[("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")]);
    has(fleet, "dns", "1.1.0");
    wants(fleet, "dns", "1.0.0");
}

/// An add-on that is newer than it is to be, and whose definition then lists these versions, the first
/// of them as the storage version; before it is `v1` alone.
fn csi(fleet: &mut Fleet, versions: &[&str]) {
    knows(fleet, "csi", &[("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")]);
    lists(fleet, "csi", "1.0.0", &["v1"]);
    lists(fleet, "csi", "1.1.0", versions);
    has(fleet, "csi", "1.1.0");
    wants(fleet, "csi", "1.0.0");
}

fn is_hop(kind: &ActionKind) -> bool {
    matches!(kind, ActionKind::ControlPlaneHop { .. })
}

#[test]
fn nodes_go_back_first_then_add_ons_and_the_control_plane_last() {
    let bench = named("1.33.5", "1.32.5", dns);
    let plan = bench.plan();
    assert_eq!(
        steps(&plan),
        [
            "general 1.33.5 -> 1.32.5",
            "batch 1.33.5 -> 1.32.5",
            "dns 1.1.0 -> 1.0.0",
            "control-plane 1.33.5 -> 1.32.5",
        ]
    );
    let order = "on the way back nodes come first, then add-ons, the control plane last";
    assert_eq!(
        edges(&plan),
        [
            "general 1.33.5 -> 1.32.5 => batch 1.33.5 -> 1.32.5: a cluster changes one thing at a time".to_owned(),
            format!("batch 1.33.5 -> 1.32.5 => dns 1.1.0 -> 1.0.0: {order}"),
            format!("dns 1.1.0 -> 1.0.0 => control-plane 1.33.5 -> 1.32.5: {order}"),
        ]
    );
    assert_eq!(plan.downgrade, BTreeSet::from([n("ant")]));
}

#[test]
fn nothing_goes_back_that_is_not_named_and_the_hint_says_how() {
    let mut bench = named("1.33.5", "1.32.5", dns);
    bench.options.downgrade = BTreeSet::from([n("bee")]);
    let plan = plan(&bench.fleet, &bench.snapshot, &bench.options);
    assert_eq!((status(&plan, "ant"), plan.actions.len()), (ClusterStatus::Blocked, 0));
    let found = finding(&plan, Code::RF015);
    assert!(found.evidence.contains("1.33.5, newer than 1.32.5"), "{found:?}");
    assert!(found.hint.ends_with("name the cluster: `--downgrade ant`"), "{found:?}");

    let mut bench = named("1.33.5", "1.33.5", dns);
    bench.options.downgrade.clear();
    let found = bench.plan();
    assert!(finding(&found, Code::RF015).hint.ends_with("`--downgrade ant`"));
    bench.options.downgrade.insert(n("ant"));
    assert_eq!(bench.steps(), ["dns 1.1.0 -> 1.0.0"]);
}

#[test]
fn patches_of_a_minor_go_back_freely_and_lose_nothing() {
    let bench = named("1.33.5", "1.33.2", |_| {});
    let plan = bench.plan();
    assert_eq!(
        steps(&plan),
        ["general 1.33.5 -> 1.33.2", "batch 1.33.5 -> 1.33.2", "control-plane 1.33.5 -> 1.33.2"]
    );
    assert_eq!(action(&plan, is_hop).reversible, Reversibility::Reversible);
}

#[test]
fn one_minor_is_as_far_as_it_goes() {
    let mut bench = named("1.33.5", "1.31.5", |_| {});
    for only in [None, Some(Only::Nodes), Some(Only::AddOns), Some(Only::ControlPlane)] {
        bench.options.selection.only = only;
        let plan = bench.plan();
        assert_eq!((status(&plan, "ant"), plan.actions.len()), (ClusterStatus::Blocked, 0));
        let found = finding(&plan, Code::RF015);
        assert!(found.evidence.contains("only 1.32 is sure to read what 1.33 has stored"));
        assert_eq!(found.hint, "declare a version of 1.32 and go back to it first");
    }
}

#[test]
fn what_an_apiserver_says_of_its_storage_is_respected() {
    let mut bench = named("1.33.5", "1.32.5", |_| {});
    let plain = ServedVersion::plain(n("1.33.5"));
    bench.state().serves = Some(ServedVersion { min_compatible: n("1.33"), ..plain.clone() });
    let plan = bench.plan();
    assert_eq!(status(&plan, "ant"), ClusterStatus::Blocked);
    let found = finding(&plan, Code::RF015);
    assert!(found.evidence.contains("goes with 1.33 and newer, not with 1.32.5"), "{found:?}");
    bench.state().serves = Some(plain);
    assert!(!bench.plan().is_blocked());
}

#[test]
fn an_emulation_leads_back_to_what_it_emulates() {
    let mut bench = named("1.33.5", "1.32.5", |_| {});
    let plain = ServedVersion::plain(n("1.33.5"));
    let emulates = |minor: &str| {
        let emulated: Minor = n(minor);
        ServedVersion { emulated, min_compatible: emulated.previous(), ..plain.clone() }
    };
    // The nodes are newer than what is emulated, which the plan itself mends.
    bench.state().serves = Some(emulates("1.32"));
    let plan = bench.plan();
    assert!(!plan.is_blocked(), "{:#?}", plan.findings);
    assert_eq!(
        steps(&plan),
        ["general 1.33.5 -> 1.32.5", "batch 1.33.5 -> 1.32.5", "control-plane 1.33.5 -> 1.32.5"]
    );
    bench.options.selection.only = Some(Only::Nodes);
    assert_eq!(bench.steps(), ["general 1.33.5 -> 1.32.5", "batch 1.33.5 -> 1.32.5"]);
    bench.options.selection.only = None;
    // Those of no pool stay as they are.
    stray(&mut bench, "1.33.5");
    let found = bench.plan();
    assert_eq!(finding(&found, Code::RF017).subject.part.as_deref(), Some("node stray"));
    bench.state().nodes.remove(&n("stray"));
    // What emulates an older minor may be emulating it after the hop as well.
    bench.state().serves = Some(emulates("1.31"));
    assert_eq!(finding(&bench.plan(), Code::RF036).hint, "emulate 1.32, or nothing");
    // Without a name nothing goes back, and what is wrong is said.
    bench.options.downgrade.clear();
    bench.state().serves = Some(emulates("1.32"));
    assert_eq!(status(&bench.plan(), "ant"), ClusterStatus::Blocked);
}

/// Lets `ant` be what it is after so many of its four steps: two pools, an add-on, the control plane.
fn after(bench: &mut Bench, done: usize) {
    if done >= 1 {
        bench.pool_runs("general", &["1.32.5"]);
    }
    if done >= 2 {
        bench.pool_runs("batch", &["1.32.5"]);
    }
    if done >= 3 {
        let other = named("1.33.5", "1.32.5", |fleet| {
            dns(fleet);
            has(fleet, "dns", "1.0.0");
        });
        let mut other = other;
        bench.state().addons = other.state().addons.clone();
    }
    if done >= 4 {
        bench.control_plane_runs(&["1.32.5"]);
    }
}

#[test]
fn what_is_half_done_goes_on_and_ends() {
    for done in 0..=4 {
        let mut bench = named("1.33.5", "1.32.5", dns);
        after(&mut bench, done);
        assert_eq!(bench.steps().len(), 4 - done, "{done}");
        // By itself it does not go on.
        bench.options.downgrade.clear();
        assert_eq!(bench.plan().is_blocked(), done < 4, "{done}");
    }
    let mut bench = named("1.33.5", "1.32.5", |_| {});
    bench.pool_runs("general", &["1.33.5", "1.32.5"]);
    assert_eq!(
        bench.steps(),
        [
            "general 1.32.5/1.33.5 -> 1.32.5",
            "batch 1.33.5 -> 1.32.5",
            "control-plane 1.33.5 -> 1.32.5",
        ]
    );
    after(&mut bench, 2);
    bench.control_plane_runs(&["1.32.5", "1.33.5", "1.33.5"]);
    assert_eq!(bench.steps(), ["control-plane 1.32.5/1.33.5 -> 1.32.5"]);
    // Also where it was an upgrade that is half done.
    let mut bench = named("1.32.2", "1.32.2", |_| {});
    bench.control_plane_runs(&["1.33.5", "1.32.2", "1.32.2"]);
    assert_eq!(bench.steps(), ["control-plane 1.32.2/1.33.5 -> 1.32.2"]);
}

#[test]
fn what_is_lost_is_marked() {
    let bench = named("1.33.5", "1.32.5", |fleet| {
        csi(fleet, &["v1", "v2"]);
    });
    let plan = bench.plan();
    let hop = action(&plan, is_hop);
    let nothing = Reversibility::Downgrade { definitions: BTreeSet::new(), objects: 0 };
    assert_eq!(hop.reversible, nothing);
    let lost = BTreeSet::from(["volumes.acme.example".to_owned()]);
    let is_apply = |kind: &ActionKind| matches!(kind, ActionKind::AddonApply { .. });
    // The ConfigMap of 1.1.0 is not one of 1.0.0.
    let expected = Reversibility::Downgrade { definitions: lost, objects: 1 };
    assert_eq!(action(&plan, is_apply).reversible, expected);
    let roll = action(&plan, |kind| matches!(kind, ActionKind::NodePoolRoll { .. }));
    assert_eq!(roll.reversible, Reversibility::Reversible);
}

#[test]
fn nodes_that_nobody_rolls_are_in_the_way() {
    for (kubelet, goal, codes) in [
        ("1.33.5", "1.32.5", &[Code::RF004, Code::RF015][..]),
        ("1.33.5", "1.33.2", &[Code::RF015]),
        ("1.32.2", "1.32.5", &[]),
    ] {
        let mut bench = named("1.33.5", goal, |_| {});
        stray(&mut bench, kubelet);
        let found = bench.plan();
        for code in codes {
            assert_eq!(finding(&found, *code).subject.part.as_deref(), Some("node stray"));
        }
        assert_eq!(found.is_blocked(), !codes.is_empty(), "{kubelet} {goal}");
    }
}

#[test]
fn nodes_on_delete_have_to_be_deleted_first() {
    let on_delete = |fleet: &mut Fleet| ant(fleet).pools[1].update = UpdateStrategy::OnDelete;
    let mut bench = named("1.33.5", "1.32.5", on_delete);
    let plan = bench.plan();
    let found = finding(&plan, Code::RF043);
    assert_eq!(found.severity, Severity::Blocked);
    assert!(found.evidence.starts_with("2 nodes are too new for a control plane of 1.32"));
    assert_eq!(found.hint, "let its groups launch 1.32.5, and delete the nodes then");
    bench.pool_runs("batch", &["1.33.5", "1.32.5"]);
    let plan = bench.plan();
    let found = finding(&plan, Code::RF043);
    assert_eq!(found.hint, "delete them; the groups launch older ones in their place");
    bench.pool_runs("batch", &["1.32.5"]);
    assert_eq!(bench.steps(), ["general 1.33.5 -> 1.32.5", "control-plane 1.33.5 -> 1.32.5"]);
    // A patch is no matter of skew.
    let bench = named("1.33.5", "1.33.2", on_delete);
    assert!(!bench.plan().is_blocked());
}

#[test]
fn groups_without_nodes_launch_what_the_control_plane_goes_back_to() {
    let mut bench = named("1.33.5", "1.32.5", |fleet| {
        let Provider::Simulated(start) = &mut ant(fleet).provider else { panic!() };
        start.group_sizes.insert(n("ant-batch-0"), 0);
    });
    let plan = bench.plan();
    assert_eq!(
        steps(&plan),
        ["general 1.33.5 -> 1.32.5", "pin the image of 1 groups", "control-plane 1.33.5 -> 1.32.5"]
    );
    let image = bench.image("1.32.5");
    let pin = action(&plan, |kind| matches!(kind, ActionKind::PinGroups { .. }));
    let ActionKind::PinGroups { images } = &pin.kind else { panic!() };
    assert_eq!(images[&n("ant-batch-0")], image);
}

#[test]
fn add_ons_go_back_step_by_step_within_all_their_rules() {
    let mut bench = named("1.33.5", "1.32.5", |fleet| {
        let dns = knows(
            fleet,
            "dns",
            &[("1.0.0", "<=1.32"), ("1.1.0", ">=1.31, <=1.33"), ("1.2.0", ">=1.33")],
        );
        dns.one_minor_at_a_time = true;
        has(fleet, "dns", "1.2.0");
        wants(fleet, "dns", "1.0.0");
    });
    // 1.0.0 does not support 1.33, and so comes after the hop; 1.1.0 supports both sides.
    assert_eq!(
        bench.steps()[2..],
        ["dns 1.2.0 -> 1.1.0", "control-plane 1.33.5 -> 1.32.5", "dns 1.1.0 -> 1.0.0"]
    );
    let mut without = bench.clone();
    without.fleet.addons.get_mut(&n("dns")).unwrap().versions.remove(&n("1.1.0"));
    let plan = without.plan();
    assert_eq!(finding(&plan, Code::RF018).subject.part.as_deref(), Some("dns"));
    release(&mut bench.fleet, "dns", "1.0.0").kubernetes = n("<=1.33");
    // What it may be upgraded from says nothing of the way back.
    release(&mut bench.fleet, "dns", "1.0.0").upgrade_from = Some(n(">=3.0.0"));
    assert_eq!(
        bench.steps()[2..],
        ["dns 1.2.0 -> 1.1.0", "dns 1.1.0 -> 1.0.0", "control-plane 1.33.5 -> 1.32.5"]
    );
    bench.fleet.addons.get_mut(&n("dns")).unwrap().one_minor_at_a_time = false;
    assert_eq!(bench.steps()[2..], ["dns 1.2.0 -> 1.0.0", "control-plane 1.33.5 -> 1.32.5"]);
}

#[test]
fn an_add_on_that_serves_one_minor_goes_back_right_after_the_hop() {
    let bench = named("1.33.5", "1.32.5", |fleet| {
        let dns = knows(fleet, "dns", &[("1.0.0", "<=1.32"), ("1.1.0", ">=1.33")]);
        dns.may_be_unsupported_during_hop = true;
        has(fleet, "dns", "1.1.0");
        wants(fleet, "dns", "1.0.0");
    });
    assert_eq!(bench.steps()[2..], ["control-plane 1.33.5 -> 1.32.5", "dns 1.1.0 -> 1.0.0"]);
    // One that supports both sides does not wait.
    let mut bench = bench;
    release(&mut bench.fleet, "dns", "1.1.0").kubernetes = n(">=1.32");
    release(&mut bench.fleet, "dns", "1.0.0").kubernetes = n(">=1.32");
    assert_eq!(bench.steps()[2..], ["dns 1.1.0 -> 1.0.0", "control-plane 1.33.5 -> 1.32.5"]);
}

/// `mesh` serves both minors in both versions, and its older one goes with an older `dns` only, which
/// does not serve 1.33.
fn mesh_and_dns(fleet: &mut Fleet) {
    knows(fleet, "dns", &[("1.0.0", "<=1.32"), ("1.1.0", ">=1.32")]);
    knows(fleet, "mesh", &[("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")]);
    for name in ["dns", "mesh"] {
        has(fleet, name, "1.1.0");
        wants(fleet, name, "1.0.0");
    }
}

#[test]
fn an_add_on_waits_for_one_that_goes_back_after_the_hop() {
    let hop = "control-plane 1.33.5 -> 1.32.5";
    let [dns, mesh] = ["dns 1.1.0 -> 1.0.0", "mesh 1.1.0 -> 1.0.0"];
    let free = named("1.33.5", "1.32.5", mesh_and_dns);
    assert_eq!(free.steps()[2..], [mesh, hop, dns]);

    let mut bound = free.clone();
    requires(&mut bound.fleet, "mesh", "1.0.0", "dns", "<1.1.0");
    assert_eq!(bound.steps()[2..], [hop, dns, mesh]);
    // A version of the other one that serves both minors lets it go first.
    let mut bridged = bound.clone();
    knows(
        &mut bridged.fleet,
        "dns",
        &[("1.0.0", "<=1.32"), ("1.0.5", ">=1.32, <=1.33"), ("1.1.0", ">=1.32")],
    );
    assert_eq!(bridged.steps()[2..], ["dns 1.1.0 -> 1.0.5", mesh, hop, "dns 1.0.5 -> 1.0.0"]);
    // Half done it goes on.
    bound.pool_runs("general", &["1.32.5"]);
    bound.pool_runs("batch", &["1.32.5"]);
    bound.control_plane_runs(&["1.32.5"]);
    assert_eq!(bound.steps(), [dns, mesh]);

    let mut clashes = free.clone();
    release(&mut clashes.fleet, "mesh", "1.0.0").conflicts.insert(n("dns"), n(">=1.1.0"));
    assert_eq!(clashes.steps()[2..], [hop, dns, mesh]);

    let mut ordered = free;
    ordered.fleet.addons.get_mut(&n("mesh")).unwrap().placement.before =
        BTreeSet::from([milestone("dns")]);
    assert_eq!(ordered.steps()[2..], [hop, dns, mesh]);
}

#[test]
fn an_add_on_that_does_not_take_the_kubelets_beside_the_control_plane_goes_back_after_it() {
    let mut bench = named("1.33.5", "1.32.5", dns);
    release(&mut bench.fleet, "dns", "1.0.0").kubelets = Some(n("<=1.32"));
    assert_eq!(bench.steps()[2..], ["control-plane 1.33.5 -> 1.32.5", "dns 1.1.0 -> 1.0.0"]);
}

/// Three add-ons that go back, with some ranges, and bound to each other in some way.
fn bound(seed: u64) -> Bench {
    let mut numbers = Numbers::new(seed ^ 0x0b0d);
    let mut bench = named("1.33.5", "1.32.5", |fleet| {
        for name in ["cni", "dns", "mesh"] {
            let ranges = ["<=1.32", ">=1.32", ">=1.28", ">=1.28"];
            let mut range = || ranges[numbers.below(ranges.len())];
            knows(fleet, name, &[("1.0.0", range()), ("1.1.0", range()), ("1.2.0", ">=1.32")]);
            has(fleet, name, "1.2.0");
            wants(fleet, name, "1.0.0");
        }
    });
    relate(seed, &mut bench.fleet);
    bench
}

#[test]
fn small_ways_back_hold_or_are_blocked() {
    let (mut blocked, mut waits) = (0, 0);
    for seed in 0..400 {
        let bench = bound(seed);
        let plan = bench.plan();
        if plan.is_blocked() {
            blocked += 1;
            continue;
        }
        let steps = steps(&plan);
        let hop = steps.iter().position(|step| step.starts_with("control-plane")).unwrap();
        // What its own range lets go first may have to wait for another one.
        let late =
            steps[hop + 1..].iter().filter_map(|step| step.split_once(' ')).filter(|(name, _)| {
                let goal = &bench.fleet.addons[&n(name)].versions[&n("1.0.0")];
                goal.kubernetes.contains(&n("1.33"))
            });
        waits += late.count();
    }
    assert!(blocked > 20 && blocked < 200 && waits > 20, "{blocked} {waits}");
}

#[test]
fn orders_of_files_are_turned_around() {
    let change = |fleet: &mut Fleet| {
        for name in ["dns", "cni"] {
            knows(fleet, name, &[("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")]);
            has(fleet, name, "1.1.0");
            wants(fleet, name, "1.0.0");
        }
        let placement = &mut fleet.addons.get_mut(&n("cni")).unwrap().placement;
        placement.before = BTreeSet::from([Milestone::Nodes, milestone("dns")]);
        let placement = &mut fleet.addons.get_mut(&n("dns")).unwrap().placement;
        placement.after = BTreeSet::from([Milestone::ControlPlane]);
    };
    let mut bench = named("1.33.5", "1.32.5", change);
    assert_eq!(
        bench.steps()[2..],
        ["dns 1.1.0 -> 1.0.0", "cni 1.1.0 -> 1.0.0", "control-plane 1.33.5 -> 1.32.5"]
    );
    // One that goes up anyway keeps to its file.
    ant(&mut bench.fleet).addons.get_mut(&n("cni")).unwrap().version.value = n("1.1.0");
    knows(&mut bench.fleet, "cni", &[("1.1.0", ">=1.28"), ("1.2.0", ">=1.28")]).placement.before =
        BTreeSet::from([Milestone::Nodes]);
    ant(&mut bench.fleet).addons.get_mut(&n("cni")).unwrap().version.value = n("1.2.0");
    let steps = bench.steps();
    assert_eq!(
        (steps[0].as_str(), steps[3].as_str()),
        ("cni 1.1.0 -> 1.2.0", "dns 1.1.0 -> 1.0.0")
    );
}

#[test]
fn what_one_add_on_requires_of_another_holds_on_the_way_back() {
    let bench = named("1.33.5", "1.33.5", |fleet| {
        for name in ["dns", "mesh"] {
            knows(fleet, name, &[("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")]);
            has(fleet, name, "1.1.0");
            wants(fleet, name, "1.0.0");
        }
        requires(fleet, "mesh", "1.1.0", "dns", ">=1.1.0");
        requires(fleet, "mesh", "1.0.0", "dns", ">=1.0.0");
    });
    assert_eq!(bench.steps(), ["mesh 1.1.0 -> 1.0.0", "dns 1.1.0 -> 1.0.0"]);
}

#[test]
fn stored_versions_have_to_be_listed_on_the_way_back() {
    let stores = |versions: &'static [&'static str]| {
        named("1.33.5", "1.33.5", move |fleet| csi(fleet, versions))
    };
    // What may be stored in v2 is written back first.
    let steps = stores(&["v1", "v2"]).steps();
    assert_eq!(steps, ["csi migrate 1 CRD to v1", "csi 1.1.0 -> 1.0.0"]);
    let plan = stores(&["v2", "v1"]).plan();
    let found = finding(&plan, Code::RF039);
    assert!(found.evidence.contains("stored in v2, which 1.0.0 does not list"), "{found:?}");
}

#[test]
fn parts_go_back_in_their_order_too() {
    let mut bench = named("1.33.5", "1.32.5", dns);
    let only = |bench: &mut Bench, only: Only| {
        bench.options.selection.only = Some(only);
        bench.steps()
    };
    // The control plane and add-ons wait for the nodes, and it for them.
    assert_eq!(only(&mut bench, Only::ControlPlane), [""; 0]);
    assert_eq!(only(&mut bench, Only::AddOns), [""; 0]);
    assert!(finding(&bench.plan(), Code::RF047).evidence.contains("add-ons dns"));
    assert_eq!(
        only(&mut bench, Only::Nodes),
        ["general 1.33.5 -> 1.32.5", "batch 1.33.5 -> 1.32.5"]
    );
    after(&mut bench, 2);
    assert_eq!(only(&mut bench, Only::ControlPlane), [""; 0]);
    assert_eq!(only(&mut bench, Only::AddOns), ["dns 1.1.0 -> 1.0.0"]);
    after(&mut bench, 3);
    assert_eq!(only(&mut bench, Only::ControlPlane), ["control-plane 1.33.5 -> 1.32.5"]);
}

#[test]
fn a_frozen_cluster_does_not_go_back() {
    let bench = named("1.33.5", "1.32.5", |fleet| {
        let freeze = Written { value: n("until 2099-01-01"), at: at("clusters/ant.toml") };
        ant(fleet).freeze = Some(freeze);
    });
    let plan = bench.plan();
    assert_eq!((status(&plan, "ant"), plan.actions.len()), (ClusterStatus::Frozen, 0));
}

/// A random fleet that runs what it once declared, and declares something older now; some of its
/// nodes and instances went there already.
fn ahead(seed: u64) -> Bench {
    let (mut fleet, _) = random_fleet(seed);
    let mut numbers = Numbers::new(seed ^ 0x00d0_3700);
    let (available, addons) = (fleet.available.clone(), fleet.addons.clone());
    for cluster in fleet.clusters.values_mut() {
        let Provider::Simulated(start) = &mut cluster.provider else { panic!() };
        start.kubernetes = cluster.kubernetes.value.clone();
        start.foreign_addons.clear();
        start.addons = cluster
            .addons
            .iter()
            .map(|(name, target)| (name.clone(), target.version.value.clone()))
            .collect();
        let last = available.len() - 1;
        cluster.kubernetes.value = available[last - numbers.below(available.len().min(5))].clone();
        for (name, AddonTarget { version, .. }) in &mut cluster.addons {
            let known: Vec<_> = addons[name].versions.keys().cloned().collect();
            if numbers.below(2) == 0 {
                version.value = known[numbers.below(known.len())].clone();
            }
        }
    }
    let mut world = World::new(n("2026-11-02T09:00:00Z"), seed);
    world.add_fleet(&fleet);
    let mut snapshot = observe(&fleet, &mut world);
    for (name, cluster) in &fleet.clusters {
        let Some(refit_model::Observation::Fresh(state)) = snapshot.clusters.get_mut(name) else {
            continue;
        };
        let goal = &cluster.kubernetes.value;
        for node in state.nodes.values_mut().filter(|node| !node.control_plane) {
            if numbers.below(4) == 0 && node.kubelet.minor().behind(goal.minor()) == 0 {
                node.kubelet = goal.clone();
                if let KubeProxy::StaticPod(proxy) = &mut node.kube_proxy {
                    *proxy = goal.clone();
                }
            }
        }
    }
    let downgrade = fleet.clusters.keys().filter(|_| numbers.below(4) > 0).cloned().collect();
    Bench { fleet, snapshot, options: Options { downgrade, ..Options::default() } }
}

/// Lets add-ons of a fleet require each other, conflict, and wait for each other.
fn relate(seed: u64, fleet: &mut Fleet) {
    let mut numbers = Numbers::new(seed ^ 0x4e1a);
    let names: Vec<_> = fleet.addons.keys().cloned().collect();
    for name in &names {
        let other = &names[numbers.below(names.len())];
        if other == name {
            continue;
        }
        let versions: Vec<_> = fleet.addons[other].versions.keys().cloned().collect();
        let addon = fleet.addons.get_mut(name).unwrap();
        if numbers.below(4) == 0 {
            addon.placement.before.insert(Milestone::Addon(other.clone()));
        }
        for release in addon.versions.values_mut() {
            let at = &versions[numbers.below(versions.len())];
            match numbers.below(4) {
                0 => drop(release.requires.insert(other.clone(), n(&format!("<={at}")))),
                1 => drop(release.conflicts.insert(other.clone(), n(&format!(">{at}")))),
                _ => {}
            }
        }
    }
}

fn goes_back(plan: &Plan) -> usize {
    let of = |reason: &Because| *reason == Because::Downgrade;
    usize::from(plan.edges.iter().any(|edge| of(&edge.because)))
}

#[test]
fn random_ways_back_hold_or_are_blocked() {
    let (mut hops, mut ordered, mut blocked) = (0, 0, 0);
    for seed in 0..1200 {
        let mut bench = ahead(seed / 2);
        if seed % 2 == 1 {
            relate(seed, &mut bench.fleet);
        }
        for only in [None, Some(Only::Nodes), Some(Only::AddOns), Some(Only::ControlPlane)] {
            bench.options.selection.only = only;
            let plan = plan(&bench.fleet, &bench.snapshot, &bench.options);
            let notes = verify(&bench.fleet, &bench.snapshot, &plan);
            assert_eq!(notes, [], "{seed} {only:?} {:#?} {:#?}", steps(&plan), plan.findings);
            let back = |kind: &ActionKind| match kind {
                ActionKind::ControlPlaneHop { from, to, .. } => from.last() > Some(to),
                _ => false,
            };
            hops += plan.actions.iter().filter(|action| back(&action.kind)).count();
            ordered += goes_back(&plan);
            blocked += plan.findings.iter().filter(|found| found.code == Code::RF015).count();
            for listed in plan.clusters.iter().filter(|c| c.status == ClusterStatus::Blocked) {
                let mut own = plan.findings.iter().filter(|f| f.subject.cluster == listed.name);
                assert!(own.any(|found| found.severity.blocks()), "{seed}");
            }
        }
    }
    assert!(hops > 100 && ordered > 50 && blocked > 100, "{hops} {ordered} {blocked}");
}
