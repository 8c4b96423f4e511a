//! Saved plans that somebody edited, and computed the digest of again: held against the clusters as
//! they are right before the plan is applied.

use refit_model::{
    Action, ActionKind, Bounds, ClusterName, ClusterState, ClusterStatus, ObjectRef, Observation,
    Period, Plan, StateGuard,
};
use refit_verifier::{Note, verify_again};

use crate::bench::{Bench, is_hop, is_roll, plans};

const SEEDS: u64 = 150;

/// What the verifier says about an edited plan, and that it says nothing about the plan as it was.
#[track_caller]
fn refuses(bench: &Bench, text: &str, edit: impl FnOnce(&mut Plan)) {
    let again = |plan: &Plan| verify_again(&bench.fleet, &bench.snapshot, plan);
    assert_eq!(again(&bench.plan), [], "seed {}", bench.seed);
    let mut plan = bench.plan.clone();
    edit(&mut plan);
    let notes: Vec<String> = again(&plan).iter().map(ToString::to_string).collect();
    assert!(
        notes.iter().any(|note| note.contains(text)),
        "seed {}: no `{text}` in {notes:#?}",
        bench.seed
    );
}

fn coredns() -> ObjectRef {
    ObjectRef {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: Some("kube-system".to_owned()),
        name: "coredns".to_owned(),
    }
}

fn state<'b>(bench: &'b mut Bench, name: &ClusterName) -> &'b mut ClusterState {
    match bench.snapshot.clusters.get_mut(name) {
        Some(Observation::Fresh(state)) => state,
        _ => panic!("{name} was not seen"),
    }
}

/// Plans that remove an add-on that no set names any more.
fn removing() -> Vec<(Bench, usize)> {
    let mut found = Vec::new();
    for mut bench in plans(SEEDS) {
        for name in bench.fleet.clusters.keys().cloned().collect::<Vec<_>>() {
            let ours = |name: &_, state: &ClusterState| {
                state.addons.get(name).is_some_and(|addon| addon.parent.is_some())
            };
            let seen = state(&mut bench, &name).clone();
            let cluster = bench.fleet.clusters.get_mut(&name).unwrap();
            let installed = cluster.addons.keys().find(|name| ours(*name, &seen)).cloned();
            if let Some(addon) = installed {
                cluster.addons.remove(&addon);
            }
        }
        let bench = Bench::planned(bench.seed, bench.fleet, bench.snapshot);
        let removes = |action: &Action| matches!(action.kind, ActionKind::AddonRemove { .. });
        found.extend(bench.actions(removes).into_iter().map(|at| (bench.clone(), at)));
    }
    assert!(found.len() > 20, "{} plans remove something", found.len());
    found
}

#[test]
fn an_object_added_to_a_removal_list_is_refused() {
    for (bench, at) in removing() {
        refuses(&bench, "deletes Deployment kube-system/coredns", |plan| {
            let ActionKind::AddonRemove { objects, .. } = &mut plan.actions[at].kind else {
                panic!("no removal")
            };
            objects.insert(coredns());
        });
    }
    let mut seen = 0;
    for bench in plans(SEEDS) {
        for at in bench.actions(|a| matches!(a.kind, ActionKind::AddonApply { .. })) {
            refuses(&bench, "deletes Deployment kube-system/coredns", |plan| {
                if let ActionKind::AddonApply { deletes, .. } = &mut plan.actions[at].kind {
                    deletes.insert(coredns());
                }
            });
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

/// A run that removed the add-on, and failed elsewhere: the same plan goes on.
#[test]
fn what_was_removed_already_may_be_gone() {
    for (mut bench, at) in removing() {
        let action = &bench.plan.actions[at];
        let (cluster, addon) =
            (action.cluster.clone().unwrap(), action.kind.addon().unwrap().clone());
        bench.fleet.addons.remove(&addon);
        state(&mut bench, &cluster).addons.remove(&addon);
        let notes = verify_again(&bench.fleet, &bench.snapshot, &bench.plan);
        let wrong = |note: &Note| {
            note.cluster.as_ref() == Some(&cluster)
                && note.text.starts_with(&format!("{addon} deletes"))
        };
        assert!(!notes.iter().any(wrong), "seed {}: {notes:#?}", bench.seed);
    }
}

#[test]
fn swapped_images_are_refused() {
    let mut swapped = 0;
    for bench in plans(SEEDS) {
        for at in bench.actions(|action| is_hop(action) || is_roll(action)) {
            let action = &bench.plan.actions[at];
            let Some(Observation::Fresh(state)) =
                bench.snapshot.clusters.get(action.cluster.as_ref().unwrap())
            else {
                panic!("not seen")
            };
            let (ActionKind::ControlPlaneHop { images, .. }
            | ActionKind::NodePoolRoll { images, .. }) = &action.kind
            else {
                panic!("neither hop nor roll")
            };
            let (group, pin) = images.first_key_value().unwrap();
            let other = state.images.iter().find(|image| image.name != pin.name).unwrap();
            refuses(&bench, "no image of", |plan| {
                let (ActionKind::ControlPlaneHop { images, .. }
                | ActionKind::NodePoolRoll { images, .. }) = &mut plan.actions[at].kind
                else {
                    panic!("neither hop nor roll")
                };
                let mut another = refit_model::ImagePin::clone(pin);
                another.id = other.id.clone();
                images.insert(group.clone(), another.into());
            });
            swapped += 1;
        }
        for at in bench.actions(|action| matches!(action.kind, ActionKind::PinGroups { .. })) {
            refuses(&bench, "no image of its pool", |plan| {
                let action = &mut plan.actions[at];
                let ActionKind::PinGroups { images } = &mut action.kind else { panic!("no pin") };
                *images.values_mut().next().unwrap() = "ami-stranger".parse().unwrap();
            });
        }
    }
    assert!(swapped > 100, "{swapped}");
}

#[test]
fn shorter_and_longer_waits_are_refused() {
    let second = Period::seconds(1);
    let mut seen = 0;
    for bench in plans(SEEDS) {
        for at in 0..bench.plan.actions.len() {
            refuses(&bench, "", |plan| plan.actions[at].timeout = second);
            let bounds = |edit: fn(&mut Period, &mut Period, &mut Period, &mut Period)| {
                let Bounds::Rolling { .. } = &bench.plan.actions[at].bounds else { return 0 };
                refuses(&bench, "its timeouts are not what the files say", |plan| {
                    if let Bounds::Rolling {
                        drain_timeout,
                        node_ready_timeout,
                        node_interval,
                        wait_complete,
                        ..
                    } = &mut plan.actions[at].bounds
                    {
                        edit(drain_timeout, node_ready_timeout, node_interval, wait_complete);
                    }
                });
                1
            };
            seen += bounds(|drain, _, _, _| *drain = Period::seconds(1));
            seen += bounds(|_, ready, _, _| *ready = ready.plus(Period::seconds(1)));
            seen += bounds(|_, _, interval, _| *interval = interval.plus(Period::seconds(1)));
            seen += bounds(|_, _, _, complete| *complete = complete.plus(Period::seconds(1)));
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn another_channel_or_release_is_refused() {
    for bench in plans(SEEDS) {
        for at in 0..bench.plan.clusters.len() {
            if bench.plan.clusters[at].status != ClusterStatus::Planned {
                continue;
            }
            refuses(&bench, "with release another, and the files say", |plan| {
                plan.clusters[at].release = "another".parse().unwrap();
            });
            refuses(&bench, "is listed in channel another", |plan| {
                plan.clusters[at].channel = "another".parse().unwrap();
            });
        }
    }
}

#[test]
fn ids_and_guards_of_something_else_are_refused() {
    let mut replacing = 0;
    for bench in plans(SEEDS) {
        for at in 0..bench.plan.actions.len() {
            let action = &bench.plan.actions[at];
            if at == 0 {
                refuses(&bench, "is of something else", |plan| {
                    plan.actions[at].id = "000000000000".parse().unwrap();
                });
            }
            let strange = StateGuard::Launches { images: [].into() };
            refuses(&bench, "its guards are not what it does", |plan| {
                plan.actions[at].ensure = strange.clone().into();
            });
            refuses(&bench, "its guards are not what it does", |plan| {
                plan.actions[at].expect = strange.into();
            });
            if is_hop(action) || is_roll(action) {
                replacing += 1;
                refuses(&bench, "its guards are not what it does", |plan| {
                    let guard = StateGuard::clone(&plan.actions[at].ensure);
                    let StateGuard::Machines { groups, versions, images, .. } = guard else {
                        panic!("no machines")
                    };
                    let replaced = ["i-somebody".parse().unwrap()].into();
                    plan.actions[at].ensure =
                        StateGuard::Machines { groups, versions, images, replaced }.into();
                });
            }
        }
    }
    assert!(replacing > 50, "{replacing}");
}

#[test]
fn what_belongs_to_no_cluster_changes_none() {
    for bench in plans(SEEDS) {
        refuses(&bench, "it belongs to no cluster", |plan| {
            let at = plan.actions.iter().position(|action| action.cluster.is_some()).unwrap();
            plan.actions[at].cluster = None;
        });
    }
}
