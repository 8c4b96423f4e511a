//! Plans that go back, with one thing changed.

use std::collections::BTreeSet;

use refit_model::{
    ActionKind, AddonMark, AddonTarget, AddonVersion, Because, ClusterName, Edge, KubeVersion,
    Observation, Provider, Reversibility, ServedVersion, Snapshot,
};
use refit_planner::{Options, plan};
use refit_provider::{Look, Scope};
use refit_simulator::{World, random_fleet};
use refit_verifier::verify;

use crate::bench::{Bench, is_hop, is_roll, sort, without};

/// Random fleets that run what they once declared, and declare the minor before and older add-ons
/// now; all of their clusters are named.
fn ahead(seed: u64) -> Bench {
    let (mut fleet, _) = random_fleet(seed);
    let goal = fleet.clusters.values().next().unwrap().kubernetes.value.minor().previous();
    let older = fleet.newest_patch(goal).unwrap().clone();
    let addons = fleet.addons.clone();
    for cluster in fleet.clusters.values_mut() {
        let Provider::Simulated(start) = &mut cluster.provider else { panic!("it is simulated") };
        start.kubernetes = cluster.kubernetes.value.clone();
        start.foreign_addons.clear();
        start.addons.clear();
        for (name, AddonTarget { version, .. }) in &mut cluster.addons {
            start.addons.insert(name.clone(), version.value.clone());
            let known: Vec<&AddonVersion> = addons[name].versions.keys().collect();
            version.value = known[known.len().saturating_sub(2)].clone();
        }
        cluster.kubernetes.value = older.clone();
    }
    let mut world = World::new("2026-11-02T09:00:00Z".parse().unwrap(), seed);
    world.add_fleet(&fleet);
    let mut look = |cluster| {
        let look = Look { cluster, addons: &fleet.addons, scope: &Scope::Everything };
        Observation::Fresh(Box::new(world.look(look).unwrap()))
    };
    let clusters =
        fleet.clusters.values().map(|cluster| (cluster.name.clone(), look(cluster))).collect();
    let snapshot = Snapshot {
        format_version: Snapshot::FORMAT.to_owned(),
        fleet: fleet.name.clone(),
        taken_at: world.now(),
        clusters,
    };
    let downgrade = fleet.clusters.keys().cloned().collect();
    let plan = plan(&fleet, &snapshot, &Options { downgrade, ..Options::default() });
    assert_eq!(verify(&fleet, &snapshot, &plan), [], "seed {seed}");
    Bench { seed, fleet, snapshot, plan }
}

fn plans() -> impl Iterator<Item = Bench> {
    (0..80).map(ahead).filter(|bench| !bench.actions(is_hop).is_empty())
}

fn cluster_of(bench: &Bench, at: usize) -> ClusterName {
    bench.plan.actions[at].cluster.clone().unwrap()
}

#[test]
fn what_is_not_named_does_not_go_back() {
    let mut checked = 0;
    for bench in plans() {
        bench.notes_that("goes back from", |plan| plan.downgrade.clear());
        let nobody: ClusterName = "nobody".parse().unwrap();
        bench.notes_that("named to go back, and not declared", |plan| {
            plan.downgrade.insert(nobody.clone());
        });
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn one_minor_is_as_far_as_it_goes() {
    for bench in plans() {
        for at in bench.actions(is_hop) {
            let ActionKind::ControlPlaneHop { to, .. } = &bench.plan.actions[at].kind else {
                panic!("it is a hop")
            };
            let minor = to.minor().previous();
            let far = KubeVersion::new(minor.major, minor.minor, 1);
            for text in ["at once", "is declared"] {
                bench.notes_that(text, |plan| match &mut plan.actions[at].kind {
                    ActionKind::ControlPlaneHop { to, .. } => *to = far.clone(),
                    _ => panic!("it is a hop"),
                });
            }
            let mut stored = bench.clone();
            let name = cluster_of(&bench, at);
            let Some(Observation::Fresh(state)) = stored.snapshot.clusters.get_mut(&name) else {
                panic!("it was seen")
            };
            let newest = state.control_plane[0].api_server.clone().unwrap();
            let min_compatible = newest.minor();
            state.serves =
                Some(ServedVersion { min_compatible, ..ServedVersion::plain(newest.clone()) });
            stored.notes_that("does not go with what is stored", |_| {});
        }
    }
}

#[test]
fn nodes_and_add_ons_are_not_left_behind_newer_than_the_control_plane() {
    let mut checked = (0, 0);
    for bench in plans() {
        for at in bench.actions(|action| is_roll(action) || action.kind.addon().is_some()) {
            let action = &bench.plan.actions[at];
            let (id, text) = match &action.kind {
                ActionKind::NodePoolRoll { .. } => (action.id, "that went back"),
                ActionKind::AddonApply { from, to, .. } => match from {
                    AddonMark::At { version, .. } if version > to => (action.id, "does not reach"),
                    _ => continue,
                },
                _ => continue,
            };
            if is_roll(action) {
                checked.0 += 1;
            } else {
                checked.1 += 1;
            }
            bench.notes_that(text, |plan| without(plan, &id));
        }
    }
    assert!(checked.0 > 30 && checked.1 > 10, "{checked:?}");
}

#[test]
fn the_control_plane_waits_for_all_that_goes_back() {
    let mut checked = 0;
    for bench in plans() {
        for at in bench.actions(is_hop) {
            let hop = bench.plan.actions[at].id;
            let before: Vec<Edge> =
                bench.plan.edges.iter().filter(|edge| edge.to == hop).cloned().collect();
            // The other way round: the hop first, and then what it waited for.
            let own: BTreeSet<_> = bench
                .actions(|action| {
                    action.cluster == bench.plan.actions[at].cluster && action.id != hop
                })
                .into_iter()
                .map(|at| bench.plan.actions[at].id)
                .collect();
            if before.iter().all(|edge| !own.contains(&edge.from)) {
                continue;
            }
            bench.notes_that("that went back", |plan| {
                plan.edges.retain(|edge| edge.from != hop && edge.to != hop);
                let because = before[0].because.clone();
                plan.edges.extend(own.iter().map(|id| Edge {
                    from: hop,
                    to: *id,
                    because: because.clone(),
                }));
                sort(plan);
            });
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn add_ons_wait_for_nodes() {
    let mut checked = 0;
    for bench in plans() {
        let back = bench.actions(|action| match &action.kind {
            ActionKind::AddonApply { from: AddonMark::At { version, .. }, to, .. } => version > to,
            _ => false,
        });
        for at in back {
            let id = bench.plan.actions[at].id;
            let own = cluster_of(&bench, at);
            let rolls =
                bench.actions(|action| is_roll(action) && action.cluster.as_ref() == Some(&own));
            if rolls.is_empty() {
                continue;
            }
            bench.notes_that("before pool", |plan| {
                plan.edges.retain(|edge| edge.to != id);
                sort(plan);
            });
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked}");
}

#[test]
fn what_cannot_be_undone_says_so() {
    for bench in plans() {
        for at in bench.actions(|a| matches!(a.reversible, Reversibility::Downgrade { .. })) {
            for said in [Reversibility::Reversible, Reversibility::ControlPlaneMinor] {
                bench.notes_that("does not say that it cannot be undone", |plan| {
                    plan.actions[at].reversible = said.clone();
                });
            }
        }
    }
}

#[test]
fn orders_of_the_way_back_cannot_be_dropped() {
    let mut checked = 0;
    for bench in plans() {
        let orders = bench.plan.edges.iter().filter(|edge| *edge.because == Because::Downgrade);
        for edge in orders {
            let notes = bench.notes(|plan| {
                plan.edges.retain(|other| other != edge);
                plan.implied.clear();
            });
            assert!(!notes.is_empty(), "seed {}: nobody misses {edge:?}", bench.seed);
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}
