//! What groups may launch while the control plane moves.

use std::collections::BTreeSet;

use refit_model::skew::SkewRule;
use refit_model::{ActionKind, Code, ImageId, ImageState, Why};

use crate::bench::{Bench, ant, codes, edges, finding, minor, n, ordered};

const GROUP: &str = "ant-batch-0";

/// `ant`, whose pool `batch` has no node, and launches nodes of that version.
fn empty(start: &str, goal: &str, launches: &str) -> Bench {
    let mut bench = Bench::ant(start, goal);
    for node in bench.nodes("batch") {
        bench.state().nodes.remove(&node);
        bench.state().pods.retain(|pod| pod.node.as_ref() != Some(&node));
    }
    let image = bench.image(launches);
    let group = bench.state().groups.get_mut(&n(GROUP)).unwrap();
    group.instances.clear();
    group.template_images.insert(group.template_version, image);
    bench
}

/// The images that the group is pointed at, in order.
fn pinned(bench: &Bench) -> Vec<ImageId> {
    let plan = bench.plan();
    ordered(&plan)
        .iter()
        .filter_map(|action| match &action.kind {
            ActionKind::PinGroups { images } => images.get(&n(GROUP)).cloned(),
            _ => None,
        })
        .collect()
}

const PIN: &str = "pin the image of 1 groups";

#[test]
fn an_empty_pool_is_pinned_on_a_long_way_before_its_image_is_too_old() {
    let mut bench = empty("1.29.2", "1.36.5", "1.29.2");
    assert_eq!(
        bench.steps(),
        [
            "control-plane 1.29.2 -> 1.30.5",
            "control-plane 1.30.5 -> 1.31.5",
            "control-plane 1.31.5 -> 1.32.5",
            "general 1.29.2 -> 1.32.5",
            PIN,
            "control-plane 1.32.5 -> 1.33.5",
            "control-plane 1.33.5 -> 1.34.5",
            "control-plane 1.34.5 -> 1.35.5",
            "general 1.32.5 -> 1.35.5",
            PIN,
            "control-plane 1.35.5 -> 1.36.5",
            "general 1.35.5 -> 1.36.5",
            PIN,
        ],
    );
    let images = ["1.32.5", "1.35.5", "1.36.5"].map(|version| bench.image(version));
    assert_eq!(pinned(&bench), images);
    let plan = bench.plan();
    let pin = ordered(&plan)[4];
    assert_eq!(pin.why, Why::Skew { rule: SkewRule::Kubelet, before: minor(33) });
    let kubelet =
        "a kubelet is never newer than an apiserver and at most 3 minors older (2 before 1.25)";
    let edges = edges(&plan);
    for (from, to) in [
        ("control-plane 1.31.5 -> 1.32.5", PIN),
        (PIN, "control-plane 1.32.5 -> 1.33.5"),
        ("control-plane 1.34.5 -> 1.35.5", PIN),
        (PIN, "control-plane 1.35.5 -> 1.36.5"),
    ] {
        assert!(edges.contains(&format!("{from} => {to}: {kubelet}")), "{edges:#?}");
    }
}

#[test]
fn an_empty_pool_that_is_too_old_already_is_pinned_before_everything() {
    // 1.24 may be two behind, and is seven.
    let mut bench = empty("1.31.2", "1.32.5", "1.24.2");
    assert_eq!(bench.steps()[..2], [PIN, "control-plane 1.31.2 -> 1.32.5"]);
    let images = ["1.31.2", "1.32.5"].map(|version| bench.image(version));
    assert_eq!(pinned(&bench), images);
}

#[test]
fn a_version_that_the_fleet_does_not_know_is_read_off_the_images_name() {
    let mut bench = empty("1.31.2", "1.32.5", "1.24.2");
    let old = bench.image("1.24.2");
    let image = bench.state().images.iter_mut().find(|image| image.id == old).unwrap();
    image.name = "acme-k8s-1.28.11-20240101".to_owned();
    assert_eq!(bench.steps()[..2], [PIN, "control-plane 1.31.2 -> 1.32.5"]);
    let image = bench.state().images.iter_mut().find(|image| image.id == old).unwrap();
    image.name = "acme-k8s-1.29.11-20240101".to_owned();
    assert_eq!(bench.steps()[0], "control-plane 1.31.2 -> 1.32.5", "that one may live on");
    let image = bench.state().images.iter_mut().find(|image| image.id == old).unwrap();
    image.name = "acme-k8s-1.37.0-20270101".to_owned();
    assert_eq!(bench.steps()[..2], [PIN, "control-plane 1.31.2 -> 1.32.5"]);
    bench.state().images.retain(|image| image.id != old);
    assert_eq!(bench.steps()[0], "control-plane 1.31.2 -> 1.32.5", "nobody can launch it");
}

#[test]
fn groups_whose_template_is_older_than_their_nodes_are_pinned_too() {
    let mut bench = Bench::ant("1.31.2", "1.33.5");
    let old = bench.image("1.29.2");
    let group = bench.state().groups.get_mut(&n(GROUP)).unwrap();
    group.template_images.insert(group.template_version, old);
    let image = bench.image("1.32.5");
    assert_eq!(pinned(&bench), [image]);
    let steps = bench.steps();
    assert_eq!(
        steps[..3],
        ["control-plane 1.31.2 -> 1.32.5", PIN, "control-plane 1.32.5 -> 1.33.5"]
    );
}

#[test]
fn an_older_image_that_fits_is_taken_where_there_is_none_of_the_version() {
    let mut bench = empty("1.29.2", "1.33.5", "1.29.2");
    // The pool has images of its own, of fewer versions than the control plane.
    ant(&mut bench.fleet).pools[1].image.architecture = "arm64".to_owned();
    let mut arm = |versions: &[&str]| {
        let ids: Vec<ImageId> = versions.iter().map(|version| bench.image(version)).collect();
        let state = bench.state();
        state.images.retain(|image| image.architecture != "arm64");
        for image in state.images.clone().into_iter().filter(|image| ids.contains(&image.id)) {
            let (id, architecture) = (n(&format!("{}-arm", image.id)), "arm64".to_owned());
            state.images.push(ImageState { id, architecture, ..image });
        }
        let group = state.groups.get_mut(&n(GROUP)).unwrap();
        let launched = n(&format!("{}-arm", ids[0]));
        group.template_images.insert(group.template_version, launched);
        bench.clone()
    };
    let mut some = arm(&["1.29.2", "1.30.5", "1.31.2", "1.33.5"]);
    let images = ["1.31.2", "1.33.5"].map(|version| n(&format!("{}-arm", some.image(version))));
    assert_eq!(pinned(&some), images);

    // Where none fits the cluster cannot go: a scale-up would break the policy.
    let plan = arm(&["1.29.2", "1.33.5"]).plan();
    assert_eq!(codes(&plan), BTreeSet::from([Code::RF007, Code::RF030]));
    let evidence = &finding(&plan, Code::RF007).evidence;
    let expected = "launches nodes of 1.29.2, too old for 1.33, and no image matches";
    assert!(evidence.starts_with(expected), "{evidence}");
}
