//! Plans with one thing changed.

use refit_model::{
    Action, ActionKind, Bounds, ClusterStatus, Code, Digest, Edge, KubeVersion, Observation,
    ParallelPools, Plan, ServedVersion,
};
use refit_verifier::{Note, verify_again};

use crate::bench::{Bench, is_hop, is_roll, plans, without};

const SEEDS: u64 = 150;

#[test]
fn every_action_is_needed() {
    for bench in plans(SEEDS) {
        for action in &bench.plan.actions {
            if let ActionKind::PinGroups { .. } = action.kind {
                continue; // The next plan sees to it.
            }
            let notes = bench.notes(|plan| without(plan, &action.id));
            assert!(!notes.is_empty(), "seed {}: nobody misses {}", bench.seed, action.kind);
        }
    }
}

#[test]
fn a_cluster_that_nothing_is_done_for_is_missed() {
    for bench in plans(SEEDS) {
        for cluster in bench.clusters() {
            for status in [ClusterStatus::Planned, ClusterStatus::UpToDate] {
                let notes = bench.notes(|plan| {
                    let own: Vec<_> = plan
                        .actions
                        .iter()
                        .filter(|action| action.cluster.as_ref() == Some(&cluster))
                        .map(|action| action.id)
                        .collect();
                    for id in &own {
                        without(plan, id);
                    }
                    for wave in &mut plan.waves {
                        wave.clusters.remove(&cluster);
                    }
                    let mut listed = plan.clusters.iter_mut();
                    listed.find(|listed| listed.name == cluster).unwrap().status = status;
                });
                assert!(!notes.is_empty(), "seed {}: nobody misses {cluster}", bench.seed);
            }
            bench.notes_that("is declared and selected, and not listed", |plan| {
                plan.actions.retain(|action| action.cluster.as_ref() != Some(&cluster));
                plan.clusters.retain(|listed| listed.name != cluster);
            });
        }
    }
}

#[test]
fn a_cluster_has_five_thousand_actions_at_most() {
    let bench = plans(SEEDS).next().unwrap();
    let one = bench.plan.actions.iter().find(|action| action.cluster.is_some()).unwrap();
    let fill = |plan: &mut Plan, count: usize| {
        let own = plan.actions.iter().filter(|action| action.cluster == one.cluster).count();
        for number in 0..count - own {
            let id = format!("z{number:05}").parse().unwrap();
            plan.actions.push(Box::new(Action { id, ..Action::clone(one) }));
        }
    };
    let too_many = "has more than 5000 actions";
    bench.notes_that(too_many, |plan| fill(plan, 5_001));
    let notes = bench.notes(|plan| fill(plan, 5_000));
    assert!(!notes.iter().any(|note| note.contains(too_many)), "{:?}", &notes[..1]);
    assert!(notes.iter().any(|note| note.contains("may run at once")), "{:?}", &notes[..1]);
}

/// The first node of each pool that is rolled is left behind, or brought ahead, by somebody else.
fn broken(bench: Bench, ahead: bool) -> Bench {
    let Bench { seed, fleet, mut snapshot, plan } = bench;
    for action in &plan.actions {
        let ActionKind::NodePoolRoll { pool, .. } = &action.kind else { continue };
        let cluster = &fleet.clusters[action.cluster.as_ref().unwrap()];
        let Some(Observation::Fresh(state)) = snapshot.clusters.get_mut(&cluster.name) else {
            continue;
        };
        let servers = state.control_plane.iter().filter_map(|member| member.api_server.as_ref());
        let oldest = servers.min().unwrap().minor();
        let behind = (0..4).fold(oldest, |minor, _| minor.previous());
        let odd = if ahead {
            cluster.kubernetes.value.clone()
        } else {
            format!("{behind}.1").parse().unwrap()
        };
        let group = &cluster.pool(pool).unwrap().groups[0];
        let Some(instance) = state.groups[group].instances.first() else { continue };
        let mut nodes = state.nodes.values_mut();
        let node = nodes.find(|node| node.instance.as_ref() == Some(&instance.id));
        node.unwrap().kubelet = odd;
    }
    Bench::planned(seed, fleet, snapshot)
}

#[test]
fn what_is_broken_from_the_beginning_may_not_become_worse() {
    let (mut older, mut newer) = (0, 0);
    let hop_over = |action: &Action| match &action.kind {
        ActionKind::ControlPlaneHop { from, to, .. } => {
            from.iter().all(|from| from.minor() < to.minor())
        }
        _ => false,
    };
    let worse = "may live with an apiserver of";
    for bench in plans(SEEDS).map(|bench| broken(bench, false)) {
        // Nothing waits for the rolls of what is too old.
        if bench.actions(hop_over).is_empty() || bench.actions(is_roll).is_empty() {
            continue;
        }
        let rolled: Vec<_> =
            bench.actions(is_roll).iter().map(|at| bench.plan.actions[*at].id).collect();
        bench.notes_that(worse, |plan| plan.edges.retain(|edge| !rolled.contains(&edge.from)));
        older += 1;
    }
    for bench in plans(SEEDS).map(|bench| broken(bench, true)) {
        // The control plane goes away from what is newer.
        for at in bench.actions(hop_over) {
            let action = &bench.plan.actions[at];
            let cluster = action.cluster.as_ref().unwrap();
            let ActionKind::ControlPlaneHop { from, .. } = &action.kind else { continue };
            let Some(Observation::Fresh(state)) = bench.snapshot.clusters.get(cluster) else {
                continue;
            };
            let is_first =
                state.control_plane.iter().any(|m| m.api_server.as_ref() == from.first());
            let is_ahead = bench
                .plan
                .findings
                .iter()
                .any(|found| found.code == Code::RF017 && found.subject.cluster == *cluster);
            if is_first && is_ahead {
                let away = from.first().unwrap().minor().previous();
                bench.notes_that(worse, |plan| {
                    if let ActionKind::ControlPlaneHop { to, .. } = &mut plan.actions[at].kind {
                        *to = format!("{away}.1").parse().unwrap();
                    }
                });
                newer += 1;
            }
        }
    }
    assert!(older > 20 && newer > 20, "{older} {newer}");
}

#[test]
fn what_is_selected_is_listed_and_nothing_else() {
    for bench in plans(SEEDS).filter(|bench| bench.plan.clusters.len() > 1) {
        let name = bench.plan.clusters[0].name.clone();
        let exclude = std::collections::BTreeSet::from([name.to_string()]);
        bench.notes_that("is listed, and not selected", |plan| {
            plan.selection.exclude = exclude.clone();
            plan.left_out.insert(name.clone());
        });
        bench.notes_that("is left out, and selected", |plan| {
            plan.left_out.insert(name.clone());
        });
        bench.notes_that("is left out, and not declared", |plan| {
            plan.left_out.insert("nowhere".parse().unwrap());
        });
    }
}

#[test]
fn a_minor_is_not_skipped() {
    let mut skipped = 0;
    for bench in plans(SEEDS) {
        for cluster in bench.clusters() {
            let mut hops =
                bench.actions(|action| is_hop(action) && action.cluster.as_ref() == Some(&cluster));
            let to = |at: usize| match &bench.plan.actions[at].kind {
                ActionKind::ControlPlaneHop { to, .. } => to.clone(),
                _ => panic!("not a hop"),
            };
            hops.sort_by_key(|at| to(*at));
            let [first, second, ..] = hops[..] else { continue };
            let id = bench.plan.actions[first].id;
            bench.notes_that("skips a minor", |plan| without(plan, &id));
            bench.notes_that("goes back", |plan| {
                let (early, late) = (to(first), to(second));
                for (at, version) in [(first, late), (second, early)] {
                    if let ActionKind::ControlPlaneHop { to, .. } = &mut plan.actions[at].kind {
                        *to = version;
                    }
                }
            });
            skipped += 1;
        }
    }
    assert!(skipped > 30, "{skipped}");
}

#[test]
fn nothing_goes_back() {
    let old = KubeVersion::new(1, 20, 0);
    for bench in plans(SEEDS) {
        for at in bench.actions(|action| is_roll(action) || is_hop(action)) {
            bench.notes_that("goes back", |plan| {
                let (ActionKind::ControlPlaneHop { to, .. } | ActionKind::NodePoolRoll { to, .. }) =
                    &mut plan.actions[at].kind
                else {
                    panic!("neither hop nor roll")
                };
                *to = old.clone();
            });
        }
        let brings = |action: &Action| {
            matches!(action.kind, ActionKind::AddonApply { .. } | ActionKind::AddonAdopt { .. })
        };
        for at in bench.actions(brings) {
            let notes = bench.notes(|plan| match &mut plan.actions[at].kind {
                ActionKind::AddonApply { to, .. } | ActionKind::AddonAdopt { to, .. } => {
                    *to = "0.0.1".parse().unwrap();
                }
                _ => {}
            });
            assert!(!notes.is_empty(), "seed {}", bench.seed);
        }
    }
}

#[test]
fn nodes_are_not_rolled_ahead_of_their_apiservers() {
    for bench in plans(SEEDS) {
        for at in bench.actions(is_roll) {
            bench.notes_that("may live with an apiserver", |plan| {
                if let ActionKind::NodePoolRoll { to, .. } = &mut plan.actions[at].kind {
                    *to = KubeVersion::new(1, to.minor().minor + 1, 0);
                }
            });
        }
    }
}

#[test]
fn bounds_are_those_of_the_files() {
    for bench in plans(SEEDS) {
        for at in bench.actions(|action| is_roll(action) || is_hop(action)) {
            let set = |more_surge: u32, more_missing: u32| {
                bench.notes(|plan| {
                    if let Bounds::Rolling { surge, unavailable, .. } = &mut plan.actions[at].bounds
                    {
                        *surge += more_surge;
                        *unavailable += more_missing;
                    }
                })
            };
            assert!(!set(1, 0).is_empty() && !set(0, 1).is_empty(), "seed {}", bench.seed);
            assert!(set(0, 0).is_empty());
            assert!(!bench.notes(|plan| plan.actions[at].bounds = Bounds::None).is_empty());
            assert!(
                !bench
                    .notes(|plan| {
                        if let Bounds::Rolling { surge, unavailable, .. } =
                            &mut plan.actions[at].bounds
                        {
                            (*surge, *unavailable) = (0, 0);
                        }
                    })
                    .is_empty()
            );
        }
    }
}

#[test]
fn clusters_are_who_they_were() {
    for bench in plans(SEEDS) {
        for cluster in bench.clusters() {
            let listed = bench.plan.clusters.iter().position(|c| c.name == cluster).unwrap();
            bench.notes_that("another identity", |plan| {
                plan.clusters[listed].identity.as_mut().unwrap().uid.push('0');
            });
            bench.notes_that("another identity", |plan| plan.clusters[listed].identity = None);
            bench.notes_that("not listed as planned", |plan| {
                plan.clusters[listed].status = ClusterStatus::Blocked;
            });
        }
    }
}

#[test]
fn a_plan_is_of_its_files_and_its_snapshot() {
    let bench = plans(SEEDS).next().unwrap();
    bench.notes_that("other files", |plan| plan.config_digest = Digest::of_bytes(b"x"));
    bench.notes_that("another snapshot", |plan| plan.snapshot_digest = Digest::of_bytes(b"x"));
}

#[test]
fn actions_are_ordered_and_unique() {
    for bench in plans(SEEDS).filter(|bench| bench.plan.actions.len() > 1) {
        bench.notes_that("not ordered by id, or not unique", |plan| plan.actions.reverse());
        bench.notes_that("not ordered by id, or not unique", |plan| {
            let again = plan.actions[0].clone();
            plan.actions.insert(0, again);
        });
    }
}

#[test]
fn actions_do_not_wait_for_themselves_or_in_a_circle() {
    for bench in plans(SEEDS) {
        for edge in &bench.plan.edges {
            let from = bench.plan.action(&edge.from).unwrap();
            let to = bench.plan.action(&edge.to).unwrap();
            if from.cluster != to.cluster || from.cluster.is_none() {
                continue;
            }
            bench.notes_that("in a circle", |plan| {
                let because = edge.because.clone();
                plan.edges.push(Edge { from: edge.to, to: edge.from, because });
                crate::bench::sort(plan);
            });
        }
    }
}

#[test]
fn clusters_of_a_plan_are_told_apart() {
    let mut strangers = 0;
    for bench in plans(SEEDS) {
        let first = bench.actions(|action| action.cluster.is_some())[0];
        bench.notes_that("declared, seen and listed", |plan| {
            plan.actions[first].cluster = Some("nobody".parse().unwrap());
        });
        for other in bench.clusters() {
            if Some(&other) == bench.plan.actions[first].cluster.as_ref() {
                continue;
            }
            let notes = bench.notes(|plan| plan.actions[first].cluster = Some(other.clone()));
            assert!(!notes.is_empty(), "seed {}", bench.seed);
            let theirs = bench.actions(|action| action.cluster.as_ref() == Some(&other))[0];
            bench.notes_that("waits for another cluster's", |plan| {
                let (from, to) = (plan.actions[first].id, plan.actions[theirs].id);
                plan.edges.push(Edge {
                    from,
                    to,
                    because: refit_model::Because::OneAtATime.into(),
                });
                crate::bench::sort(plan);
            });
            strangers += 1;
        }
    }
    assert!(strangers > 30, "{strangers}");
}

#[test]
fn clusters_are_in_their_waves() {
    let mut moved = 0;
    for bench in plans(SEEDS) {
        bench.notes_that("is in no wave", |plan| plan.waves.clear());
        for at in 0..bench.plan.waves.len() {
            for to in (0..bench.plan.waves.len()).filter(|to| *to != at) {
                for cluster in &bench.plan.waves[at].clusters {
                    let notes = bench.notes(|plan| {
                        plan.waves[at].clusters.remove(cluster);
                        plan.waves[to].clusters.insert(cluster.clone());
                    });
                    assert!(!notes.is_empty(), "seed {}: {cluster} in wave {to}", bench.seed);
                    moved += 1;
                }
            }
        }
    }
    assert!(moved > 30, "{moved}");
}

#[test]
fn pins_do_not_launch_what_is_too_new() {
    let mut pins = 0;
    for bench in plans(SEEDS) {
        for at in bench.actions(is_hop) {
            let hop = &bench.plan.actions[at];
            let ActionKind::ControlPlaneHop { from, images, to, .. } = &hop.kind else { continue };
            if from.iter().any(|version| version.minor() == to.minor()) {
                continue;
            }
            let cluster = &bench.fleet.clusters[hop.cluster.as_ref().unwrap()];
            let group = cluster.pools[0].groups[0].clone();
            let image = images.values().next().unwrap().id.clone();
            bench.notes_that("may launch nodes of", |plan| {
                let images = [(group, image)].into();
                let mut pin = hop.clone();
                pin.kind = ActionKind::PinGroups { images };
                pin.id = refit_model::Action::id_of(pin.cluster.as_ref(), &pin.kind);
                plan.actions.push(pin);
                plan.actions.sort_by_key(|a| a.id);
            });
            pins += 1;
        }
    }
    assert!(pins > 30, "{pins}");
}

#[test]
fn nothing_moves_past_what_is_emulated() {
    let mut moved = 0;
    for mut bench in plans(SEEDS) {
        for cluster in bench.clusters() {
            let hops =
                bench.actions(|action| is_hop(action) && action.cluster.as_ref() == Some(&cluster));
            let Some(Observation::Fresh(state)) = bench.snapshot.clusters.get_mut(&cluster) else {
                continue;
            };
            let binary = state.control_plane.iter().find_map(|member| member.api_server.clone());
            let (Some(binary), false) = (binary, hops.is_empty()) else { continue };
            let emulated = binary.minor().previous();
            let min_compatible = emulated.previous();
            state.serves = Some(ServedVersion { binary, emulated, min_compatible });
            let notes = verify_again(&bench.fleet, &bench.snapshot, &bench.plan);
            let text = format!("the control plane moves while it emulates {emulated}");
            let found = |note: &Note| note.cluster.as_ref() == Some(&cluster) && note.text == text;
            assert!(notes.iter().any(found), "seed {}: {notes:#?}", bench.seed);
            moved += 1;
        }
    }
    assert!(moved > 50, "{moved}");
}

#[test]
fn pools_are_rolled_one_after_the_other_unless_the_file_allows_more() {
    let mut seen = (0, 0);
    for bench in plans(SEEDS) {
        for (at, listed) in bench.plan.clusters.iter().enumerate() {
            let rolls = bench.actions(|a| a.cluster.as_ref() == Some(&listed.name) && is_roll(a));
            if rolls.is_empty() || listed.status != ClusterStatus::Planned {
                continue;
            }
            let most = bench.fleet.clusters[&listed.name].max_parallel_pools;
            bench.notes_that("rolled at once in another way than its file says", |plan| {
                let pools = &mut plan.clusters[at].parallel_pools;
                *pools = match pools.take() {
                    None => Some(ParallelPools { at_once: 2, order: Vec::new() }),
                    Some(pools) => Some(ParallelPools { at_once: pools.at_once + 1, ..pools }),
                };
            });
            let ids: Vec<_> = rolls.iter().map(|at| bench.plan.actions[*at].id).collect();
            let between = |edge: &Edge| ids.contains(&edge.from) && ids.contains(&edge.to);
            if most == 1 && bench.plan.edges.iter().any(between) {
                bench.notes_that("may run at once", |plan| plan.edges.retain(|e| !between(e)));
                seen.0 += 1;
            } else if rolls.len() > 1 && most > 1 {
                seen.1 += 1;
            }
        }
    }
    assert!(seen.0 > 5 && seen.1 > 5, "{seen:?}");
}
