//! Pools whose nodes are replaced when somebody deletes them.

use refit_model::{ActionKind, ClusterStatus, Code, RollTag, Severity, UpdateStrategy, Why};

use crate::bench::{Bench, action, ant, finding, fleet, n, status, steps};

/// `ant`, whose pool `batch` is updated on delete.
fn bench(start: &str, goal: &str) -> Bench {
    let mut fleet = fleet(&[("ant", start, goal)]);
    ant(&mut fleet).pools[1].update = UpdateStrategy::OnDelete;
    Bench::of(fleet)
}

/// What the plan does to `ant` was done, by hand.
fn done(bench: &mut Bench, pins: &str) {
    let image = bench.image(pins);
    let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
    group.template_version += 1;
    group.template_images.insert(group.template_version, image);
}

#[test]
fn its_groups_are_pointed_at_the_version_and_its_nodes_left_alone() {
    let mut bench = bench("1.32.2", "1.33.5");
    let plan = bench.plan();
    assert_eq!(
        steps(&plan),
        ["control-plane 1.32.2 -> 1.33.5", "general 1.32.2 -> 1.33.5", "pin the image of 1 groups",],
    );
    let pin = action(&plan, |kind| matches!(kind, ActionKind::PinGroups { .. }));
    assert_eq!(pin.why, Why::OnDelete);
    let note = finding(&plan, Code::RF043);
    assert_eq!((note.severity, note.subject.part.as_deref()), (Severity::Note, Some("batch")));
    assert_eq!(note.evidence, "2 of 2 nodes run 1.32.2, not 1.33.5, until somebody deletes them",);

    bench.control_plane_runs(&["1.33.5"]);
    bench.pool_runs("general", &["1.33.5"]);
    done(&mut bench, "1.33.5");
    let second = bench.plan();
    assert_eq!(steps(&second), [""; 0]);
    assert_eq!(status(&second, "ant"), ClusterStatus::UpToDate);
    assert_eq!(finding(&second, Code::RF043).severity, Severity::Note);
    bench.pool_runs("batch", &["1.32.2", "1.33.5"]);
    let third = bench.plan();
    assert!(finding(&third, Code::RF043).evidence.starts_with("1 of 2 nodes run 1.32.2,"));
}

#[test]
fn nodes_that_skew_would_force_to_roll_block_by_name() {
    let mut bench = bench("1.29.2", "1.33.5");
    let plan = bench.plan();
    assert_eq!(status(&plan, "ant"), ClusterStatus::Blocked);
    let found = finding(&plan, Code::RF043);
    assert_eq!(found.severity, Severity::Blocked);
    let [a, b] = [0, 1].map(|at| bench.nodes("batch")[at].clone());
    assert_eq!(
        found.evidence,
        format!(
            "2 nodes are too old for a control plane of 1.33, and they must be deleted first: \
             {a} (1.29.2), {b} (1.29.2)"
        ),
    );
    // A new node would be as old: first the groups have to launch something newer.
    assert!(found.hint.contains("`max-version = \"1.32\"`"), "{}", found.hint);
    bench.control_plane_runs(&["1.32.5"]);
    bench.pool_runs("general", &["1.32.5"]);
    done(&mut bench, "1.32.5");
    let plan = bench.plan();
    assert!(finding(&plan, Code::RF043).hint.starts_with("delete them"));
    bench.pool_runs("batch", &["1.32.5"]);
    assert!(!bench.plan().is_blocked());
}

#[test]
fn the_way_that_the_hint_names_works() {
    let mut bench = bench("1.29.2", "1.32.5");
    let plan = bench.plan();
    assert!(!plan.is_blocked(), "three minors are within the skew policy");
    assert_eq!(steps(&plan).last().unwrap(), "pin the image of 1 groups");
    done(&mut bench, "1.30.2");
    assert!(!bench.plan().is_blocked());
}

#[test]
fn what_a_roll_left_behind_is_tidied_up_without_one() {
    let mut bench = bench("1.33.5", "1.33.5");
    let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
    group.tags.insert(RollTag::KEY.to_owned(), "{}".to_owned());
    assert_eq!(bench.steps(), ["batch, tidy up"]);
}

#[test]
fn without_an_image_of_the_version_it_is_blocked() {
    let mut bench = bench("1.32.2", "1.33.5");
    bench.state().images.retain(|image| !image.name.contains("1.33.5"));
    assert_eq!(status(&bench.plan(), "ant"), ClusterStatus::Blocked);
}
