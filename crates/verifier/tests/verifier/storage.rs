//! Versions that objects are stored in: no plan applies a definition that drops one of them.

use refit_model::{Action, ActionKind, CrdMigration, Observation};
use refit_verifier::verify_again;

use crate::bench::{Bench, plans, without};

const SEEDS: u64 = 2_000;

fn migrates(action: &Action) -> bool {
    matches!(action.kind, ActionKind::StorageMigration { .. })
}

fn migrating() -> Vec<(Bench, usize)> {
    let each = |bench: Bench| {
        let found = bench.actions(migrates);
        found.into_iter().map(move |at| (bench.clone(), at))
    };
    let found: Vec<(Bench, usize)> = plans(SEEDS).flat_map(each).take(40).collect();
    assert!(found.len() > 15, "{} plans migrate something", found.len());
    found
}

#[test]
fn a_migration_is_needed_and_comes_before_what_needs_it() {
    for (bench, at) in migrating() {
        let id = bench.plan.actions[at].id;
        bench.notes_that("which may be stored", |plan| without(plan, &id));
        bench.notes_that("may run at once", |plan| plan.edges.retain(|edge| edge.from != id));
    }
}

#[test]
fn a_migration_is_to_what_is_stored_from_then_on() {
    for (bench, at) in migrating() {
        let change = |change: fn(&mut CrdMigration)| {
            bench.notes(|plan| {
                if let ActionKind::StorageMigration { crds, .. } = &mut plan.actions[at].kind {
                    crds.values_mut().for_each(change);
                }
            })
        };
        let notes = change(|crd| "v9".clone_into(&mut crd.to));
        assert!(notes.iter().any(|note| note.contains("are migrated to v9")), "{notes:#?}");
        assert!(notes.iter().any(|note| note.contains("its guards are not")), "{notes:#?}");
        let notes = change(|crd| crd.from.clear());
        assert!(notes.iter().any(|note| note.contains("may be stored in")), "{notes:#?}");
        bench.notes_that("does not come next", |plan| {
            if let ActionKind::StorageMigration { before, .. } = &mut plan.actions[at].kind {
                *before = "99.0.0".parse().unwrap();
            }
        });
    }
}

/// Somebody stores another version since, or the migration was done.
#[test]
fn a_saved_plan_is_held_against_what_is_stored_now() {
    for (bench, at) in migrating() {
        let action = &bench.plan.actions[at];
        let ActionKind::StorageMigration { addon, crds, .. } = &action.kind else { panic!() };
        for (stored, holds) in [("v1", true), ("v0", false)] {
            let mut bench = bench.clone();
            let cluster = action.cluster.as_ref().unwrap();
            let seen = bench.snapshot.clusters.get_mut(cluster).unwrap();
            let Observation::Fresh(state) = seen else { panic!("not seen") };
            let seen = &mut state.addons.get_mut(addon).unwrap().crds;
            for name in crds.keys() {
                let Some(crd) = seen.get_mut(name).filter(|crd| crd.storage == "v1") else {
                    continue;
                };
                crd.stored = [stored.to_owned(), "v1".to_owned()].into();
                let notes = verify_again(&bench.fleet, &bench.snapshot, &bench.plan);
                assert_eq!(notes.is_empty(), holds, "seed {}: {notes:#?}", bench.seed);
                break;
            }
        }
    }
}
