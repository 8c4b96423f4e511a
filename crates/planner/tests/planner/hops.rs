//! Control planes and pools: which hops and rolls, in which order.

use refit_model::skew::SkewRule;
use refit_model::{
    ActionKind, Bounds, IntOrPercent, Lifecycle, Reversibility, RollCause, RollTag, Why,
};

use crate::bench::{Bench, action, ant, codes, fleet, minor, n, steps};

fn is_hop(kind: &ActionKind) -> bool {
    matches!(kind, ActionKind::ControlPlaneHop { .. })
}

fn is_roll(kind: &ActionKind) -> bool {
    matches!(kind, ActionKind::NodePoolRoll { .. })
}

#[test]
fn three_minors_are_three_hops_and_one_roll() {
    assert_eq!(
        Bench::ant("1.30.2", "1.33.5").steps(),
        [
            "control-plane 1.30.2 -> 1.31.5",
            "control-plane 1.31.5 -> 1.32.5",
            "control-plane 1.32.5 -> 1.33.5",
            "general 1.30.2 -> 1.33.5",
            "batch 1.30.2 -> 1.33.5",
        ],
    );
}

#[test]
fn six_minors_are_six_hops_and_two_rolls() {
    let bench = Bench::ant("1.28.2", "1.34.2");
    assert_eq!(
        bench.steps(),
        [
            "control-plane 1.28.2 -> 1.29.5",
            "control-plane 1.29.5 -> 1.30.5",
            "control-plane 1.30.5 -> 1.31.5",
            "general 1.28.2 -> 1.31.5",
            "batch 1.28.2 -> 1.31.5",
            "control-plane 1.31.5 -> 1.32.5",
            "control-plane 1.32.5 -> 1.33.5",
            "control-plane 1.33.5 -> 1.34.2",
            "general 1.31.5 -> 1.34.2",
            "batch 1.31.5 -> 1.34.2",
        ],
    );
    let plan = bench.plan();
    let forced = action(&plan, is_roll);
    assert_eq!(forced.why, Why::Skew { rule: SkewRule::Kubelet, before: minor(32) });
}

#[test]
fn kubelets_of_1_24_may_lag_two_minors_only() {
    let bench = Bench::ant("1.24.2", "1.27.5");
    let hops_before_the_first_roll = bench.steps().iter().position(|step| !step.contains("plane"));
    assert_eq!(hops_before_the_first_roll, Some(2));
    let bench = Bench::ant("1.25.2", "1.28.5");
    let hops_before_the_first_roll = bench.steps().iter().position(|step| !step.contains("plane"));
    assert_eq!(hops_before_the_first_roll, Some(3));
}

#[test]
fn a_patch_only_release_rolls_the_control_plane_then_nodes() {
    let bench = Bench::ant("1.33.2", "1.33.5");
    assert_eq!(
        bench.steps(),
        ["control-plane 1.33.2 -> 1.33.5", "general 1.33.2 -> 1.33.5", "batch 1.33.2 -> 1.33.5",],
    );
    let plan = bench.plan();
    assert_eq!(action(&plan, is_hop).reversible, Reversibility::Reversible);
    let minors = Bench::ant("1.32.2", "1.33.5").plan();
    assert_eq!(action(&minors, is_hop).reversible, Reversibility::ControlPlaneMinor);
}

#[test]
fn the_newest_available_patch_is_used_in_between_and_the_declared_one_at_the_end() {
    let mut fleet = fleet(&[("ant", "1.31.2", "1.33.2")]);
    fleet.available.retain(|version| *version != n("1.32.5"));
    fleet.available.push(n("1.32.3"));
    assert_eq!(
        Bench::of(fleet).steps()[..2],
        ["control-plane 1.31.2 -> 1.32.3", "control-plane 1.32.3 -> 1.33.2"],
    );
}

#[test]
fn nothing_is_planned_for_what_is_as_declared() {
    let plan = Bench::ant("1.33.5", "1.33.5").plan();
    assert!(plan.is_empty() && plan.findings.is_empty() && plan.waves.is_empty());
}

#[test]
fn a_half_done_control_plane_is_finished_first() {
    let mut bench = Bench::ant("1.31.2", "1.33.5");
    // Not the newest patch of its minor: finishing is to where it was going.
    bench.control_plane_runs(&["1.31.2", "1.32.2", "1.31.2"]);
    assert_eq!(
        bench.steps()[..2],
        ["control-plane 1.31.2/1.32.2 -> 1.32.2", "control-plane 1.32.2 -> 1.33.5"],
    );
}

#[test]
fn the_last_hop_goes_on_where_it_was_left() {
    let mut bench = Bench::ant("1.32.2", "1.33.5");
    bench.control_plane_runs(&["1.33.5", "1.32.2", "1.32.2"]);
    assert_eq!(bench.steps()[0], "control-plane 1.32.2/1.33.5 -> 1.33.5");
    // To another patch than it was going to: one hop for both.
    bench.control_plane_runs(&["1.33.2", "1.32.2", "1.32.2"]);
    assert_eq!(bench.steps()[0], "control-plane 1.32.2/1.33.2 -> 1.33.5");
    assert_eq!(bench.steps().len(), 3);
}

#[test]
fn two_patches_of_one_minor_need_no_hop_of_their_own() {
    let mut bench = Bench::ant("1.32.2", "1.33.5");
    bench.control_plane_runs(&["1.32.5", "1.32.2", "1.32.2"]);
    assert_eq!(bench.steps()[0], "control-plane 1.32.2/1.32.5 -> 1.33.5");
}

#[test]
fn an_instance_whose_kubelet_alone_is_behind_is_still_to_be_replaced() {
    let mut bench = Bench::ant("1.33.5", "1.33.5");
    let node = bench.state().nodes.values_mut().find(|node| node.control_plane).unwrap();
    node.kubelet = n("1.33.2");
    assert_eq!(bench.steps(), ["control-plane 1.33.2/1.33.5 -> 1.33.5"]);
}

#[test]
fn a_half_done_pool_goes_on() {
    let mut bench = Bench::ant("1.33.5", "1.33.5");
    bench.pool_runs("general", &["1.32.2", "1.33.5"]);
    assert_eq!(bench.steps(), ["general 1.32.2/1.33.5 -> 1.33.5"]);
}

#[test]
fn only_the_pools_that_lag_are_rolled_on_the_way() {
    let mut bench = Bench::ant("1.30.2", "1.32.5");
    bench.pool_runs("batch", &["1.28.2", "1.30.2"]);
    assert_eq!(
        bench.steps(),
        [
            "control-plane 1.30.2 -> 1.31.5",
            "batch 1.28.2/1.30.2 -> 1.31.5",
            "control-plane 1.31.5 -> 1.32.5",
            "general 1.30.2 -> 1.32.5",
            "batch 1.31.5 -> 1.32.5",
        ],
    );
}

#[test]
fn kube_proxies_of_the_image_lag_like_kubelets() {
    let mut bench = Bench::ant("1.30.2", "1.32.5");
    let node = bench.nodes("batch")[0].clone();
    let proxy = refit_model::KubeProxy::StaticPod(n("1.28.2"));
    bench.state().nodes.get_mut(&node).unwrap().kube_proxy = proxy;
    assert_eq!(bench.steps()[1], "batch 1.30.2 -> 1.31.5");
}

#[test]
fn bounds_are_those_of_the_pool_and_the_control_plane_goes_one_by_one() {
    let mut fleet = fleet(&[("ant", "1.32.2", "1.33.5")]);
    ant(&mut fleet).pools[0].max_surge = IntOrPercent::Percent(34);
    ant(&mut fleet).pools[0].max_unavailable = IntOrPercent::Percent(60);
    ant(&mut fleet).pools[1].max_surge = IntOrPercent::Int(0);
    ant(&mut fleet).pools[1].max_unavailable = IntOrPercent::Percent(1);
    let plan = Bench::of(fleet).plan();
    let bounds: Vec<(String, u32, u32)> = crate::bench::ordered(&plan)
        .into_iter()
        .filter_map(|action| match action.bounds {
            Bounds::Rolling { surge, unavailable, .. } => {
                Some((action.kind.to_string(), surge, unavailable))
            }
            Bounds::None => None,
        })
        .collect();
    let bounds: Vec<(&str, u32, u32)> =
        bounds.iter().map(|(a, b, c)| (a.as_str(), *b, *c)).collect();
    assert_eq!(
        bounds,
        [
            ("control-plane 1.32.2 -> 1.33.5", 0, 1),
            // Surge rounds up, unavailable rounds down ...
            ("general 1.32.2 -> 1.33.5", 2, 1),
            // ... but never to a roll that can replace nothing.
            ("batch 1.32.2 -> 1.33.5", 0, 1),
        ],
    );
}

#[test]
fn a_pin_of_the_cluster_is_the_reason_where_it_decides() {
    let mut fleet = fleet(&[("ant", "1.32.2", "1.33.5")]);
    let plan = Bench::of(fleet.clone()).plan();
    assert!(plan.actions.iter().all(|action| matches!(action.why, Why::Release { .. })));
    ant(&mut fleet).kubernetes.pinned = true;
    let plan = Bench::of(fleet).plan();
    assert!(plan.actions.iter().all(|action| matches!(action.why, Why::Pin { .. })));
}

#[test]
fn nodes_are_replaced_when_the_command_asks_for_it() {
    let mut bench = Bench::ant("1.33.5", "1.33.5");
    bench.options.replace.insert((n("ant"), n("general")));
    let plan = bench.plan();
    assert_eq!(steps(&plan), ["general 1.33.5, new nodes"]);
    let ActionKind::NodePoolRoll { cause, replace, nodes, .. } = &plan.actions[0].kind else {
        panic!("not a roll");
    };
    assert_eq!((*cause, replace.len(), *nodes), (RollCause::Asked, 3, 3));
    assert_eq!(plan.actions[0].why, Why::Asked);
}

#[test]
fn newer_images_are_a_change_where_pool_or_command_says_so() {
    let newer = |bench: &mut Bench| {
        let id = bench.image("1.33.5");
        let images = &mut bench.state().images;
        let mut image = images.iter().find(|image| image.id == id).unwrap().clone();
        image.id = n("ami-newer");
        image.name = "acme-k8s-1.33.5-20261101".into();
        image.created = n("2026-11-01T00:00:00Z");
        images.push(image);
    };
    let mut files = fleet(&[("ant", "1.33.5", "1.33.5")]);
    ant(&mut files).pools[1].images = refit_model::ImagePolicy::Newest;
    let mut bench = Bench::of(files);
    newer(&mut bench);
    assert_eq!(bench.steps(), ["batch 1.33.5, new nodes"]);
    bench.options.refresh_images = true;
    let plan = bench.plan();
    assert_eq!(steps(&plan), ["general 1.33.5, new nodes", "batch 1.33.5, new nodes"]);
    assert!(plan.actions.iter().all(|action| action.why == Why::NewerImage));
    assert!(codes(&plan).is_empty(), "what is a change is no note");
}

#[test]
fn what_a_run_left_behind_is_tidied_up() {
    let mut bench = Bench::ant("1.33.5", "1.33.5");
    let tag = |bench: &mut Bench, group: &str| {
        let group = bench.state().groups.get_mut(&n(group)).unwrap();
        group.tags.insert(RollTag::KEY.to_owned(), "{}".to_owned());
    };
    tag(&mut bench, "ant-batch-0");
    assert_eq!(bench.steps(), ["batch 1.33.5, tidy up"]);
    tag(&mut bench, "ant-control-plane");
    assert_eq!(bench.steps(), ["control-plane 1.33.5 -> 1.33.5", "batch 1.33.5, tidy up"]);

    let mut bench = Bench::ant("1.33.5", "1.33.5");
    let node = bench.nodes("general")[1].clone();
    let cordoned = bench.state().nodes.get_mut(&node).unwrap();
    cordoned.annotations.insert(RollTag::CORDONED.to_owned(), "run".to_owned());
    assert_eq!(bench.steps(), ["general 1.33.5, tidy up"]);
    // Its machine is on its way out, and takes the cordon with it.
    let machine = bench.state().nodes[&node].instance.clone();
    let instances = bench.state().groups.values_mut().flat_map(|group| &mut group.instances);
    for instance in instances.filter(|instance| machine.as_ref() == Some(&instance.id)) {
        instance.lifecycle = Lifecycle::Terminating;
    }
    assert_eq!(bench.steps(), [""; 0]);
}

#[test]
fn groups_that_launch_too_new_nodes_are_pinned_before_anything_else() {
    let mut bench = Bench::ant("1.31.2", "1.33.5");
    let newest = bench.image("1.33.5");
    let group = bench.state().groups.get_mut(&n("ant-general-0")).unwrap();
    group.template_images.insert(2, newest);
    group.template_version = 2;
    let plan = bench.plan();
    assert_eq!(steps(&plan)[..2], ["pin the image of 1 groups", "control-plane 1.31.2 -> 1.32.5"]);
    let pin = action(&plan, |kind| matches!(kind, ActionKind::PinGroups { .. }));
    assert_eq!(pin.why, Why::LaunchesTooNew);
    let ActionKind::PinGroups { images } = &pin.kind else { panic!("not a pin") };
    assert_eq!(images[&n("ant-general-0")], bench.image("1.31.2"));
}

#[test]
fn groups_whose_nodes_are_right_are_pointed_at_what_runs() {
    let mut bench = Bench::ant("1.33.5", "1.33.5");
    let old = bench.image("1.32.2");
    let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
    group.template_images.insert(2, old);
    group.template_version = 2;
    let plan = bench.plan();
    assert_eq!(steps(&plan), ["pin the image of 1 groups"]);
    let ActionKind::PinGroups { images } = &plan.actions[0].kind else { panic!("not a pin") };
    assert_eq!(images[&n("ant-batch-0")], bench.image("1.33.5"));
}

#[test]
fn an_empty_pool_is_pinned_at_the_end_only() {
    let mut bench = Bench::ant("1.32.2", "1.33.5");
    for node in bench.nodes("batch") {
        bench.state().nodes.remove(&node);
        bench.state().pods.retain(|pod| pod.node.as_ref() != Some(&node));
    }
    bench.state().groups.get_mut(&n("ant-batch-0")).unwrap().instances.clear();
    assert_eq!(
        bench.steps(),
        ["control-plane 1.32.2 -> 1.33.5", "general 1.32.2 -> 1.33.5", "pin the image of 1 groups",],
    );
}

/// A patch of the kubelet may be newer than the apiserver's: the policy asks for minors.
#[test]
fn on_the_way_no_node_goes_back_to_an_older_patch() {
    let mut bench = Bench::ant("1.33.2", "1.34.5");
    bench.pool_runs("batch", &["1.30.2", "1.33.5"]);
    assert_eq!(
        bench.steps(),
        [
            "batch 1.30.2/1.33.5 -> 1.33.5",
            "control-plane 1.33.2 -> 1.34.5",
            "general 1.33.2 -> 1.34.5",
            "batch 1.33.5 -> 1.34.5",
        ]
    );
}
