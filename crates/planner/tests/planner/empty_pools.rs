//! Pools without nodes: there is nothing to roll, and their groups are pointed at what is declared.

use refit_model::{Code, Milestone, RollTag};

use crate::bench::{Bench, finding, fleet, has, knows, n, steps, wants};
use crate::cases::empty;

/// `ant`, one minor behind, whose pool `batch` has no nodes, and an add-on that moves after all nodes.
fn bench() -> Bench {
    let mut fleet = fleet(&[("ant", "1.32.2", "1.33.5")]);
    let addon = knows(&mut fleet, "dns", &[("1.0.0", "any"), ("1.1.0", "any")]);
    addon.placement.after.insert(Milestone::Nodes);
    has(&mut fleet, "dns", "1.0.0");
    wants(&mut fleet, "dns", "1.1.0");
    let mut bench = Bench::of(fleet);
    empty(&mut bench, "batch");
    bench
}

const ALL: [&str; 4] = [
    "control-plane 1.32.2 -> 1.33.5",
    "general 1.32.2 -> 1.33.5",
    "dns 1.0.0 -> 1.1.0",
    "pin the image of 1 groups",
];

#[test]
fn a_pool_without_nodes_is_not_rolled_for_an_add_on_that_waits_for_nodes() {
    let mut bench = bench();
    let plan = bench.plan();
    assert_eq!(steps(&plan), ALL);
    assert_eq!(finding(&plan, Code::RF030).subject.part.as_deref(), Some("batch"));

    // What the plan does was done: the second plan is empty.
    bench.control_plane_runs(&["1.33.5"]);
    bench.pool_runs("general", &["1.33.5"]);
    bench.pool_runs("batch", &["1.33.5"]);
    wants(&mut bench.fleet, "dns", "1.0.0");
    assert_eq!(bench.steps(), [""; 0]);
}

#[test]
fn to_replace_no_nodes_leaves_nothing_for_the_second_plan() {
    let mut bench = bench();
    bench.options.replace.insert((n("ant"), n("batch")));
    let plan = bench.plan();
    assert!(ALL.iter().all(|step| steps(&plan).iter().any(|of| of == step)), "{:?}", steps(&plan));
    assert!(!steps(&plan).iter().any(|step| step.contains("tidy up")));
}

#[test]
fn what_a_run_left_on_an_empty_group_is_tidied_up() {
    let mut bench = bench();
    let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
    group.tags.insert(RollTag::KEY.to_owned(), "{}".to_owned());
    assert!(bench.steps().contains(&"batch 1.33.5, tidy up".to_owned()));
}
