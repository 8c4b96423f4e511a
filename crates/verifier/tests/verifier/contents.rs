//! What actions carry, and edges and limits beyond one cluster.

use std::collections::BTreeSet;

use refit_model::{
    Action, ActionKind, AddonMark, Because, ClusterName, ClusterPlan, ClusterStatus, Digest, Edge,
    ImagePin, ImageState, KubeProxy, KubeVersion, Minor, ObjectRef, Observation, Why, digest_of,
};
use refit_verifier::verify;

use crate::bench::{Bench, is_hop, is_roll, plans, sort, without};

const SEEDS: u64 = 150;

#[test]
fn images_are_of_the_version_and_for_every_group() {
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
            let mut another = ImagePin::clone(pin);
            another.id = other.id.clone();
            let mut named = another.clone();
            named.name.clone_from(&other.name);
            let mut stranger = ImagePin::clone(pin);
            stranger.id = "ami-stranger".parse().unwrap();
            for pin in [Some(another), Some(named), Some(stranger), None] {
                let notes = bench.notes(|plan| {
                    let (ActionKind::ControlPlaneHop { images, .. }
                    | ActionKind::NodePoolRoll { images, .. }) = &mut plan.actions[at].kind
                    else {
                        panic!("neither hop nor roll")
                    };
                    match pin {
                        Some(pin) => images.insert(group.clone(), pin.into()),
                        None => images.remove(group),
                    };
                });
                assert!(!notes.is_empty(), "seed {}", bench.seed);
            }
        }
    }
}

#[test]
fn kubelets_that_stay_are_those_that_nothing_replaces() {
    let mut checked = 0;
    for bench in plans(SEEDS) {
        let planned = |listed: &ClusterPlan| listed.status == ClusterStatus::Planned;
        let Some(at) = bench.plan.clusters.iter().position(planned) else { continue };
        let has_roll = |action: &Action| {
            is_roll(action) && action.cluster.as_ref() == Some(&bench.plan.clusters[at].name)
        };
        bench.notes_that("the kubelets that the plan leaves as they are run", |plan| {
            plan.clusters[at].kubelets_that_stay.insert(Minor::new(1, 20));
        });
        if !bench.plan.clusters[at].kubelets_that_stay.is_empty() {
            bench.notes_that("the kubelets that the plan leaves as they are run", |plan| {
                plan.clusters[at].kubelets_that_stay.clear();
            });
        }
        checked += bench.actions(has_roll).len();
    }
    assert!(checked > 50, "{checked}");
}

fn brings(action: &Action) -> bool {
    matches!(action.kind, ActionKind::AddonApply { .. } | ActionKind::AddonAdopt { .. })
}

#[test]
fn manifests_are_those_of_the_files() {
    let mut seen = 0;
    for bench in plans(SEEDS) {
        for at in bench.actions(brings) {
            bench.notes_that("is not what the files say", |plan| {
                match &mut plan.actions[at].kind {
                    ActionKind::AddonApply { digest, .. }
                    | ActionKind::AddonAdopt { digest, .. } => {
                        *digest = Digest::of_bytes(b"x");
                    }
                    _ => panic!("a random fleet removes no add-on"),
                }
            });
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn only_what_belongs_to_the_addon_is_deleted() {
    let object = |api_version: &str, kind: &str, namespace: Option<&str>, name: &str| ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    };
    let mut seen = 0;
    for bench in plans(SEEDS) {
        for at in bench.actions(|a| matches!(a.kind, ActionKind::AddonApply { .. })) {
            let action = &bench.plan.actions[at];
            let addon = &bench.fleet.addons[action.kind.addon().unwrap()];
            let ActionKind::AddonApply { to, .. } = &action.kind else { panic!("no apply") };
            let stays = addon.versions[to].manifests.objects()[0].object.clone();
            let strangers = [
                object("v1", "Namespace", None, "default"),
                object("v1", "ConfigMap", Some("apps"), "of-somebody-else"),
                stays,
            ];
            for stranger in strangers {
                bench.notes_that("which it may not", |plan| {
                    if let ActionKind::AddonApply { deletes, .. } = &mut plan.actions[at].kind {
                        deletes.insert(stranger);
                    }
                });
            }
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn kinds_that_take_more_with_them_are_kept() {
    let crd = ObjectRef {
        api_version: "apiextensions.k8s.io/v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        namespace: None,
        name: "olds.acme.example".to_owned(),
    };
    let (mut kept, mut deleted) = (0, 0);
    for mut bench in plans(SEEDS) {
        for seen in bench.snapshot.clusters.values_mut() {
            let Observation::Fresh(state) = seen else { panic!("not seen") };
            for addon in state.addons.values_mut().filter(|addon| addon.parent.is_some()) {
                addon.members.insert(crd.clone());
            }
        }
        let bench = Bench::planned(bench.seed, bench.fleet, bench.snapshot);
        for at in bench.actions(|a| matches!(a.kind, ActionKind::AddonApply { .. })) {
            let addon = &bench.fleet.addons[bench.plan.actions[at].kind.addon().unwrap()];
            let notes = bench.notes(|plan| {
                if let ActionKind::AddonApply { deletes, from, .. } = &mut plan.actions[at].kind
                    && *from != AddonMark::Absent
                {
                    deletes.insert(crd.clone());
                }
            });
            if addon.prune.contains(&crd.kind) {
                assert!(notes.is_empty(), "seed {}: {notes:?}", bench.seed);
                deleted += 1;
            } else {
                kept += usize::from(!notes.is_empty());
            }
        }
    }
    assert!(kept > 5 && deleted > 5, "{kept} {deleted}");
}

#[test]
fn every_edge_ties_two_actions_of_the_plan() {
    for bench in plans(SEEDS) {
        bench.notes_that("not both exist", |plan| {
            let to = plan.actions[0].id;
            let from = "ffffffffffff".parse().unwrap();
            plan.edges.push(Edge { from, to, because: Because::OneAtATime.into() });
            sort(plan);
        });
    }
}

#[test]
fn the_end_of_a_wave_is_not_waited_for_by_the_wave() {
    let mut circles = 0;
    for bench in plans(SEEDS) {
        let ends: Vec<_> = bench.plan.actions.iter().filter(|a| a.cluster.is_none()).collect();
        for edge in bench.plan.edges.iter().filter(|e| ends.iter().any(|end| end.id == e.to)) {
            bench.notes_that("in a circle", |plan| {
                let (from, to) = (edge.to, edge.from);
                plan.edges.push(Edge { from, to, because: Because::OneAtATime.into() });
                sort(plan);
            });
            circles += 1;
        }
    }
    assert!(circles > 10, "{circles}");
}

#[test]
fn waves_have_the_limits_of_their_channel() {
    for bench in plans(SEEDS) {
        for at in 0..bench.plan.waves.len() {
            bench.notes_that("other limits", |plan| plan.waves[at].max_failed_clusters += 1);
            bench.notes_that("other limits", |plan| {
                plan.waves[at].max_parallel_clusters = Some(77);
            });
        }
        for at in bench.actions(|action| action.cluster.is_none()) {
            bench.notes_that("other limits", |plan| {
                if let ActionKind::FinishWave { max_failed_clusters, .. } =
                    &mut plan.actions[at].kind
                {
                    *max_failed_clusters += 1;
                }
            });
        }
    }
}

#[test]
fn a_daemon_set_of_kube_proxy_is_bound_by_the_skew_policy() {
    let mut checked = 0;
    for mut bench in plans(SEEDS) {
        for cluster in bench.clusters() {
            let Some(Observation::Fresh(state)) = bench.snapshot.clusters.get_mut(&cluster) else {
                panic!("not seen")
            };
            let now = state.control_plane[0].api_server.clone().unwrap().minor();
            if bench.fleet.clusters[&cluster].kubernetes.value.minor() == now {
                continue;
            }
            // As far behind as it may be, so that the first hop is too much.
            let proxy = KubeVersion::new(1, now.minor - 3, 0);
            for node in state.nodes.values_mut() {
                node.kube_proxy = KubeProxy::DaemonSet(proxy.clone());
            }
            let mut plan = bench.plan.clone();
            plan.snapshot_digest = digest_of(&bench.snapshot);
            let notes = verify(&bench.fleet, &bench.snapshot, &plan);
            let text = format!("kube-proxy of no add-on: {proxy} may live");
            assert!(
                notes.iter().any(|note| note.text.starts_with(&text)),
                "seed {}: {notes:?}",
                bench.seed
            );
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}

/// The same fleet, where a pool of the cluster has no nodes, and launches an image of that minor.
fn emptied(bench: &Bench, cluster: &ClusterName, minor: u16) -> Option<Bench> {
    let pool = bench.fleet.clusters[cluster].pools.first()?;
    let mut snapshot = bench.snapshot.clone();
    let Some(Observation::Fresh(state)) = snapshot.clusters.get_mut(cluster) else {
        panic!("not seen")
    };
    let name = pool.image.name.replace("{version}", &format!("1.{minor}.0")).replace('*', "old");
    let like = state.images.iter().find(|image| image.architecture == pool.image.architecture)?;
    let old = ImageState { id: "ami-old".parse().unwrap(), name, ..like.clone() };
    for name in &pool.groups {
        let group = state.groups.get_mut(name)?;
        let gone: Vec<_> = std::mem::take(&mut group.instances);
        group.template_images.insert(group.template_version, old.id.clone());
        state.nodes.retain(|_, node| {
            node.instance.as_ref().is_none_or(|id| gone.iter().all(|other| other.id != *id))
        });
    }
    state.images.push(old);
    let nodes: BTreeSet<_> = state.nodes.keys().cloned().collect();
    state.pods.retain(|pod| pod.node.as_ref().is_none_or(|node| nodes.contains(node)));
    Some(Bench::planned(bench.seed, bench.fleet.clone(), snapshot))
}

#[test]
fn what_a_pool_without_nodes_may_launch_is_bound_by_the_skew_policy() {
    let mut checked = 0;
    for bench in plans(SEEDS) {
        for at in bench.actions(is_hop) {
            let action = &bench.plan.actions[at];
            let (Some(cluster), ActionKind::ControlPlaneHop { from, to, .. }) =
                (&action.cluster, &action.kind)
            else {
                panic!("not a hop")
            };
            // It goes with what is there, and not with what the hop brings.
            let minor = from.last().unwrap().minor().minor.saturating_sub(3);
            if minor < 25 || from.iter().any(|from| from.minor() == to.minor()) {
                continue;
            }
            let Some(empty) = emptied(&bench, cluster, minor) else { continue };
            let pins = empty.actions(|action| {
                action.cluster.as_ref() == Some(cluster)
                    && matches!(action.kind, ActionKind::PinGroups { .. })
                    && matches!(action.why, Why::Skew { .. })
            });
            for at in pins {
                let id = empty.plan.actions[at].id;
                empty.notes_that("may launch nodes of", |plan| without(plan, &id));
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "{checked}");
}
