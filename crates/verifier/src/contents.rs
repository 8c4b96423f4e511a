//! Does each action carry what its cluster's files and snapshot say?
//!
//! A saved plan proves by its digest that nobody changed it, so this looks only at the plan's
//! own snapshot: what an action deletes may be gone in a newer one.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionKind, AddonName, AddonVersion, Cluster, ClusterState, ClusterStatus,
    CrdMigration, Digest, Fleet, GroupName, ImagePattern, ImagePins, KubeVersion, Lifecycle, Minor,
    NodePool, ObjectRef, RollTag, StateGuard,
};

use crate::Case;
use crate::nodes::Nodes;

/// Kinds that take more with them than the object: kept unless the add-on's file names them.
const KEPT: [&str; 3] = ["CustomResourceDefinition", "Namespace", "PersistentVolumeClaim"];

/// What is wrong with what a cluster and its actions carry.
pub(crate) fn check(case: &Case<'_>, actions: &[&Action]) -> Vec<String> {
    let Case { fleet, cluster, state, listed, nodes } = case;
    let each = actions.iter().flat_map(|action| of_action(fleet, cluster, state, action));
    let planned = listed.status == ClusterStatus::Planned;
    let stay = planned.then(|| kubelets_that_stay(cluster, nodes, actions));
    let wrong = stay.filter(|minors| *minors != listed.kubelets_that_stay).map(|minors| {
        format!("the kubelets that stay run {minors:?}, not {:?}", listed.kubelets_that_stay)
    });
    each.chain(wrong).collect()
}

/// What the kubelets run that none of the actions replaces.
fn kubelets_that_stay(
    cluster: &Cluster,
    nodes: &Nodes<'_>,
    actions: &[&Action],
) -> BTreeSet<Minor> {
    let rolls = |pool: &NodePool| {
        actions.iter().any(|action| {
            matches!(&action.kind, ActionKind::NodePoolRoll { pool: rolled, .. } if *rolled == pool.name)
        })
    };
    let rolled: Vec<bool> = cluster.pools.iter().map(rolls).collect();
    let mut stay = BTreeSet::new();
    for (node, mut own) in nodes.each().filter(|(node, _)| !node.control_plane) {
        if !own.any(|pool| rolled[pool]) {
            stay.insert(node.kubelet.minor());
        }
    }
    stay
}

fn of_action(
    fleet: &Fleet,
    cluster: &Cluster,
    state: &ClusterState,
    action: &Action,
) -> Vec<String> {
    match &action.kind {
        ActionKind::ControlPlaneHop { to, images: pins, .. } => {
            let control_plane = &cluster.control_plane;
            images(state, &control_plane.groups, &control_plane.image, to, pins)
        }
        ActionKind::NodePoolRoll { pool, to, images: pins, .. } => cluster
            .pool(pool)
            .map(|pool| images(state, &pool.groups, &pool.image, to, pins))
            .unwrap_or_default(),
        ActionKind::AddonApply { addon, to, digest, deletes, .. } => {
            let mut notes = manifests(fleet, addon, to, digest);
            notes.extend(deleted(fleet, state, addon, Some(to), deletes));
            notes
        }
        ActionKind::AddonAdopt { addon, to, digest, .. } => manifests(fleet, addon, to, digest),
        ActionKind::AddonRemove { addon, objects, .. } => {
            deleted(fleet, state, addon, None, objects)
        }
        ActionKind::StorageMigration { addon, crds, .. } => migrated(action, addon, crds),
        ActionKind::TidyUp { groups, .. } => tidied(state, action, groups),
        ActionKind::PinGroups { .. } | ActionKind::FinishWave { .. } => Vec::new(),
    }
}

/// It expects what it says, and leaves the version that it says.
fn migrated(
    action: &Action,
    addon: &AddonName,
    crds: &BTreeMap<String, CrdMigration>,
) -> Vec<String> {
    let guard = |versions: fn(&CrdMigration) -> BTreeSet<String>| StateGuard::Stored {
        addon: addon.clone(),
        crds: crds.iter().map(|(name, crd)| (name.clone(), versions(crd))).collect(),
    };
    let (expect, ensure) = (guard(|crd| crd.from.clone()), guard(|crd| [crd.to.clone()].into()));
    if !crds.is_empty() && *action.expect == expect && *action.ensure == ensure {
        return Vec::new();
    }
    vec![format!("{}: its guards are not what it does", action.kind)]
}

/// Only where a run has left its mark is anything given back.
fn tidied(state: &ClusterState, action: &Action, groups: &BTreeSet<GroupName>) -> Vec<String> {
    let instances = |name: &GroupName| {
        let group = state.groups.get(name);
        let instances = group.into_iter().flat_map(|group| &group.instances);
        instances.filter(|i| i.lifecycle != Lifecycle::Terminating).map(|i| &i.id)
    };
    let ids: BTreeSet<_> = groups.iter().flat_map(instances).collect();
    let tagged = groups
        .iter()
        .filter_map(|name| state.groups.get(name))
        .any(|group| group.tags.contains_key(RollTag::KEY));
    let cordoned = state.nodes.values().any(|node| {
        node.instance.as_ref().is_some_and(|id| ids.contains(id))
            && node.annotations.contains_key(RollTag::CORDONED)
    });
    if tagged || cordoned {
        return Vec::new();
    }
    vec![format!("{}: no run has left anything there", action.kind)]
}

/// Every group has an image that was seen, and that carries the version.
fn images(
    state: &ClusterState,
    groups: &[GroupName],
    pattern: &ImagePattern,
    to: &KubeVersion,
    pins: &ImagePins,
) -> Vec<String> {
    let mut notes = Vec::new();
    let all_are = groups.iter().all(|group| pins.contains_key(group));
    if !all_are || pins.keys().any(|group| !groups.contains(group)) {
        notes.push(format!("the images for {to} are not those of the declared groups"));
    }
    for (group, pin) in pins {
        let seen = state.images.iter().find(|seen| seen.id == pin.id);
        let fits = |name: &str| name == pin.name && pattern.matches(to, name);
        if !seen.is_some_and(|seen| fits(&seen.name) && seen.architecture == pattern.architecture) {
            notes.push(format!("group {group} gets {} ({}), no image of {to}", pin.id, pin.name));
        }
    }
    notes
}

fn manifests(fleet: &Fleet, name: &AddonName, to: &AddonVersion, digest: &Digest) -> Vec<String> {
    let release = fleet.addons.get(name).and_then(|addon| addon.versions.get(to));
    if release.is_some_and(|release| release.manifests.digest() == digest) {
        return Vec::new();
    }
    vec![format!("{name} {to} is not what the files say")]
}

/// Only what belongs to the add-on is deleted, nothing that stays, and no kind that is kept.
fn deleted(
    fleet: &Fleet,
    state: &ClusterState,
    name: &AddonName,
    to: Option<&AddonVersion>,
    objects: &BTreeSet<ObjectRef>,
) -> Vec<String> {
    if objects.is_empty() {
        return Vec::new();
    }
    let addon = fleet.addons.get(name);
    let members = state.addons.get(name).map(|addon| &addon.members);
    let releases = || addon.into_iter().flat_map(|addon| &addon.versions);
    let belongs = |object: &ObjectRef| {
        members.is_some_and(|members| members.contains(object))
            || releases().any(|(_, r)| r.manifests.objects().iter().any(|m| m.object == *object))
    };
    let stays = |object: &ObjectRef| {
        releases().filter(|(version, _)| Some(*version) == to).any(|(_, release)| {
            release.manifests.objects().iter().any(|m| m.object.same_object(object))
        })
    };
    let kept = |object: &ObjectRef| {
        KEPT.contains(&object.kind.as_str())
            && !addon.is_some_and(|addon| addon.prune.contains(&object.kind))
    };
    objects
        .iter()
        .filter(|object| !belongs(object) || stays(object) || kept(object))
        .map(|object| format!("{name} deletes {object}, which it may not"))
        .collect()
}
