//! The same inputs give the same bytes, and what has nothing to do with each other stays apart.

use refit_model::{
    Action, ActionKind, ClusterState, Digest, Observation, Plan, SavedPlan, Schedule, Snapshot,
    Work,
};
use refit_planner::{Options, plan};
use refit_simulator::random_fleet;
use serde_json::json;

use crate::bench::{Bench, action, fleet, n, observe};

/// The plan's bytes, apart from the digest of the snapshot, which knows the order of everything.
fn bytes(mut plan: Plan) -> Vec<u8> {
    plan.snapshot_digest = Digest::of_bytes(b"");
    SavedPlan::new(plan).to_bytes()
}

fn states(snapshot: &mut Snapshot) -> impl Iterator<Item = &mut ClusterState> {
    snapshot.clusters.values_mut().filter_map(|seen| match seen {
        Observation::Fresh(state) => Some(&mut **state),
        Observation::Unreachable { .. } => None,
    })
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    for seed in 0..60 {
        let (fleet, mut world) = random_fleet(seed);
        let snapshot = observe(&fleet, &mut world);
        let (fleet_again, mut world) = random_fleet(seed);
        let again = observe(&fleet_again, &mut world);
        let options = Options::default();
        assert_eq!(
            SavedPlan::new(plan(&fleet, &snapshot, &options)).to_bytes(),
            SavedPlan::new(plan(&fleet_again, &again, &options)).to_bytes(),
        );
    }
}

#[test]
fn the_order_in_which_things_were_listed_does_not_matter() {
    for seed in 0..200 {
        let (fleet, mut world) = random_fleet(seed);
        let mut snapshot = observe(&fleet, &mut world);
        let before = bytes(plan(&fleet, &snapshot, &Options::default()));
        for state in states(&mut snapshot) {
            state.control_plane.reverse();
            state.pods.reverse();
            state.workloads.reverse();
            state.budgets.reverse();
            state.images.reverse();
            for group in state.groups.values_mut() {
                group.instances.reverse();
            }
        }
        assert!(before == bytes(plan(&fleet, &snapshot, &Options::default())), "seed {seed}");
    }
}

#[test]
fn clusters_that_have_nothing_to_do_with_it_change_no_action() {
    let actions = |clusters: &[(&str, &str, &str)]| -> Vec<Box<Action>> {
        let plan = Bench::of(fleet(clusters)).plan();
        plan.actions.into_iter().filter(|action| action.cluster == Some(n("ant"))).collect()
    };
    let alone = actions(&[("ant", "1.30.2", "1.33.5")]);
    let among = actions(&[
        ("aaa", "1.31.2", "1.33.5"),
        ("ant", "1.30.2", "1.33.5"),
        ("bee", "1.30.2", "1.33.5"),
    ]);
    assert!(!alone.is_empty());
    assert_eq!(alone, among);
}

#[test]
fn ids_of_what_is_left_stay_when_a_part_is_done() {
    let before = Bench::ant("1.31.2", "1.33.5").plan();
    let mut bench = Bench::ant("1.31.2", "1.33.5");
    bench.control_plane_runs(&["1.32.5"]);
    let after = bench.plan();
    assert_eq!(after.actions.len(), before.actions.len() - 1);
    for action in &after.actions {
        assert!(before.action(&action.id).is_some(), "{} has another id", action.kind);
    }
}

#[test]
fn one_cluster_out_of_reach_changes_nothing_for_the_others() {
    for seed in 0..100 {
        let (mut fleet, mut world) = random_fleet(seed);
        // Waves tie clusters together, so they are all in one.
        for channel in &mut fleet.channels {
            channel.waves = vec![refit_model::WaveSpec::Percent(100)];
        }
        let snapshot = observe(&fleet, &mut world);
        let whole = plan(&fleet, &snapshot, &Options::default());
        for lost in fleet.clusters.keys() {
            let mut partial = snapshot.clone();
            let reason = "connection refused".to_owned();
            partial.clusters.insert(lost.clone(), Observation::Unreachable { reason });
            let plan = plan(&fleet, &partial, &Options::default());
            let others =
                whole.actions.iter().filter(|action| action.cluster.as_ref() != Some(lost));
            assert!(others.eq(&plan.actions), "seed {seed} without {lost}");
        }
    }
}

#[test]
fn what_was_measured_is_an_input() {
    let mut bench = Bench::of(fleet(&[("ant", "1.32.2", "1.33.5")]));
    let before = bench.plan();
    assert!(before.measured.is_empty());
    bench.options.durations = serde_json::from_value(json!({
        "node": { "samples": 4, "low": "2m", "middle": "3m", "high": "9m" },
        "addon-adopt": { "samples": 3, "low": "1m", "middle": "1m", "high": "1m" },
    }))
    .unwrap();
    let plan = bench.plan();
    assert_eq!(plan, bench.plan());
    assert_ne!(plan.id(), before.id());
    let works: Vec<Work> = plan.measured.iter().map(|(work, _)| work).collect();
    assert_eq!(works, [Work::Node], "the plan adopts nothing");
    let roll = |plan: &Plan| {
        let is_it = |kind: &ActionKind| kind.to_string().starts_with("general ");
        action(plan, is_it).estimate
    };
    // Three nodes with 30 seconds after each.
    assert_eq!(roll(&plan), n("10m30s"));
    assert_ne!(roll(&before), roll(&plan));
    let ends = |plan: &Plan| Schedule::of(plan).whole.middle;
    assert_eq!((ends(&plan), ends(&before)), (plan.critical_path, before.critical_path));
    // Everything but the estimates is as it was.
    let mut same = plan.clone();
    same.measured = before.measured.clone();
    same.critical_path = before.critical_path;
    for (action, before) in same.actions.iter_mut().zip(&before.actions) {
        action.estimate = before.estimate;
    }
    assert_eq!(same, before);
}
