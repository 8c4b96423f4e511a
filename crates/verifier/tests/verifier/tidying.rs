//! Clusters that are blocked, and what is given back in them.

use refit_model::{
    ActionKind, Bounds, ClusterName, ClusterState, ClusterStatus, Lifecycle, Observation, RollTag,
};
use refit_verifier::verify;

use crate::bench::Bench;

/// Plans of random fleets in which a run has left its tag on every group of a blocked cluster.
fn left_behind() -> Vec<(Bench, ClusterName)> {
    let mut found = Vec::new();
    for mut bench in (0..200).map(Bench::of) {
        let blocked = |name: &ClusterName| {
            bench.plan.cluster(name).is_some_and(|c| c.status == ClusterStatus::Blocked)
        };
        let Some(name) = bench.fleet.clusters.keys().find(|name| blocked(name)).cloned() else {
            continue;
        };
        for group in state(&mut bench, &name).groups.values_mut() {
            group.tags.insert(RollTag::KEY.to_owned(), "{}".to_owned());
        }
        let bench = Bench::planned(bench.seed, bench.fleet, bench.snapshot);
        // What is seen otherwise may also change what is in the way.
        let listed = bench.plan.cluster(&name).unwrap();
        let tidied = !places(&bench, &name).is_empty();
        if listed.status == ClusterStatus::Blocked && tidied {
            found.push((bench, name));
        }
    }
    found
}

fn state<'b>(bench: &'b mut Bench, name: &ClusterName) -> &'b mut ClusterState {
    match bench.snapshot.clusters.get_mut(name) {
        Some(Observation::Fresh(state)) => state,
        _ => panic!("{name} was not seen"),
    }
}

fn places(bench: &Bench, name: &ClusterName) -> Vec<usize> {
    bench.actions(|action| action.cluster.as_ref() == Some(name))
}

#[test]
fn a_blocked_cluster_is_tidied_up_as_its_file_says() {
    let mut several = 0;
    let all = left_behind();
    assert!(all.len() > 10, "{} plans", all.len());
    for (bench, name) in &all {
        let places = places(bench, name);
        for at in &places {
            assert!(matches!(bench.plan.actions[*at].kind, ActionKind::TidyUp { .. }));
            bench.notes_that("no bounds that fit", |plan| {
                if let Bounds::Rolling { surge, .. } = &mut plan.actions[*at].bounds {
                    *surge += 1;
                }
            });
            bench.notes_that("no bounds that fit", |plan| {
                if let Bounds::Rolling { unavailable, .. } = &mut plan.actions[*at].bounds {
                    *unavailable += 1;
                }
            });
            bench.notes_that("not the declared ones", |plan| {
                if let ActionKind::TidyUp { groups, .. } = &mut plan.actions[*at].kind {
                    groups.insert("another".parse().unwrap());
                }
            });
            bench.notes_that("no such pool", |plan| {
                if let ActionKind::TidyUp { pool, .. } = &mut plan.actions[*at].kind {
                    *pool = Some("another".parse().unwrap());
                }
            });
        }
        let listed = bench.plan.clusters.iter().position(|c| c.name == *name).unwrap();
        bench.notes_that("it is not blocked", |plan| {
            plan.clusters[listed].status = ClusterStatus::Planned;
        });
        if places.len() > 1 {
            several += 1;
            bench.notes_that("one at a time", |plan| plan.edges.clear());
        }
    }
    assert!(several > 0);
}

#[test]
fn nothing_is_tidied_up_where_it_may_be_another_cluster_or_nothing_is_left() {
    for (bench, name) in left_behind() {
        let says = |change: fn(&mut ClusterState), text: &str| {
            let mut bench = bench.clone();
            change(state(&mut bench, &name));
            let notes = verify(&bench.fleet, &bench.snapshot, &bench.plan);
            let said = notes.iter().any(|note| note.to_string().contains(text));
            assert!(said, "seed {}: no `{text}` in {notes:#?}", bench.seed);
        };
        says(|state| state.control_plane.clear(), "may be another cluster");
        says(
            |state| state.groups.values_mut().for_each(|group| group.tags.clear()),
            "no run has left anything there",
        );
        says(
            |state| {
                // What is on its way out takes its cordon with it.
                for group in state.groups.values_mut() {
                    group.tags.clear();
                    group.instances.iter_mut().for_each(|i| i.lifecycle = Lifecycle::Terminating);
                }
                for node in state.nodes.values_mut() {
                    node.annotations.insert(RollTag::CORDONED.to_owned(), "run".to_owned());
                }
            },
            "no run has left anything there",
        );
        let mut twins = bench.clone();
        let twin = state(&mut twins, &name).clone();
        let other = "twin".parse().unwrap();
        twins.snapshot.clusters.insert(other, Observation::Fresh(Box::new(twin)));
        let notes = verify(&twins.fleet, &twins.snapshot, &twins.plan);
        assert!(notes.iter().any(|note| note.to_string().contains("may be twin")), "{notes:#?}");
    }
}
