//! Does each action carry what its cluster's files and snapshot say?
//!
//! A saved plan's digest shows damage and not forgery: whoever edits a plan can compute the digest
//! again. So this is checked against the newer snapshot as well, right before a plan is applied.
//! Then what an action deletes or takes over may be gone, if the action has nothing left to do.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionKind, AddonName, AddonVersion, Cluster, ClusterPlan, ClusterState, ClusterStatus,
    CrdMigration, Digest, Fleet, GroupName, ImageId, ImagePattern, ImagePins, KubeVersion,
    Lifecycle, Minor, NodePool, ObjectRef, Precheck, RollTag, StateGuard,
};

use crate::Case;
use crate::guards;
use crate::launches::Images;
use crate::limits;
use crate::nodes::Nodes;

/// Which snapshot a plan is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// The one that it was made from.
    Own,
    /// A newer one: some actions may be done already, by an earlier run of the same plan.
    Newer,
}

/// Kinds that take more with them than the object: kept unless the add-on's file names them.
const KEPT: [&str; 3] = ["CustomResourceDefinition", "Namespace", "PersistentVolumeClaim"];

/// What is wrong with what a cluster and its actions carry.
pub(crate) fn check(case: &Case<'_>, actions: &[&Action], against: Against) -> Vec<String> {
    let Case { fleet, cluster, state, listed, nodes } = case;
    let seen = Seen { fleet, cluster, state, nodes, against };
    let each = actions.iter().flat_map(|action| {
        let mut notes = seen.of_action(action);
        notes.extend(guards::check(cluster, action, actions));
        notes.extend(limits::check(cluster, state, action, against));
        notes
    });
    // Nodes come and go: the number is about what the plan was made from.
    let planned = listed.status == ClusterStatus::Planned && against == Against::Own;
    let stay = planned.then(|| kubelets_that_stay(cluster, nodes, actions));
    let wrong = stay.filter(|minors| *minors != listed.kubelets_that_stay).map(|minors| {
        let text = |minors: &BTreeSet<Minor>| match minors.len() {
            0 => "nothing".to_owned(),
            _ => minors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        format!(
            "the kubelets that the plan leaves as they are run {}, and it says {}",
            text(&minors),
            text(&listed.kubelets_that_stay)
        )
    });
    each.chain(wrong).chain(heading(cluster, listed)).collect()
}

/// What is wrong with the channel and the release that a plan names for a cluster. Nothing acts by
/// them, but people approve a plan by what it shows.
fn heading(cluster: &Cluster, listed: &ClusterPlan) -> Option<String> {
    let Cluster { channel, release, .. } = cluster;
    let fits = listed.channel == *channel && listed.release == *release;
    (!fits).then(|| {
        format!(
            "is listed in channel {} with release {}, and the files say {channel} and {release}",
            listed.channel, listed.release
        )
    })
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

/// What an action is held against.
struct Seen<'a> {
    fleet: &'a Fleet,
    cluster: &'a Cluster,
    state: &'a ClusterState,
    nodes: &'a Nodes<'a>,
    against: Against,
}

impl Seen<'_> {
    fn of_action(&self, action: &Action) -> Vec<String> {
        let Self { fleet, cluster, state, nodes: _, against } = self;
        // An action of an earlier run of the plan that has nothing left to do touches nothing.
        let is_done =
            *against == Against::Newer && action.precheck(state) == Precheck::AlreadySatisfied;
        match &action.kind {
            ActionKind::ControlPlaneHop { to, images: pins, .. } => {
                let control_plane = &cluster.control_plane;
                images(state, &control_plane.groups, &control_plane.image, to, pins)
            }
            ActionKind::NodePoolRoll { pool, to, images: pins, replace, .. } => {
                let Some(pool) = cluster.pool(pool) else { return Vec::new() };
                let mut notes = images(state, &pool.groups, &pool.image, to, pins);
                if *against == Against::Own && !self.has_instances(pool, replace) {
                    notes.push(format!("{}: it replaces what is not of the pool", action.kind));
                }
                notes
            }
            ActionKind::AddonApply { addon, to, digest, deletes, .. } => {
                let mut notes = manifests(fleet, addon, to, digest);
                if !is_done {
                    notes.extend(deleted(fleet, state, addon, Some(to), deletes));
                }
                notes
            }
            ActionKind::AddonAdopt { addon, to, digest, managers, .. } => {
                let mut notes = manifests(fleet, addon, to, digest);
                let copy = state.addons.get(addon).and_then(|seen| seen.foreign.as_ref());
                if !is_done && !copy.is_some_and(|copy| managers.is_subset(&copy.managers)) {
                    notes.push(format!(
                        "{}: it takes fields of managers that have none",
                        action.kind
                    ));
                }
                notes
            }
            ActionKind::AddonRemove { addon, objects, .. } => {
                if is_done {
                    Vec::new()
                } else {
                    deleted(fleet, state, addon, None, objects)
                }
            }
            ActionKind::StorageMigration { addon, crds, .. } => migrated(action, addon, crds),
            ActionKind::TidyUp { groups, .. } => match against {
                Against::Own => tidied(state, action, groups),
                // What is tidied up already stays as it is.
                Against::Newer => Vec::new(),
            },
            ActionKind::PinGroups { images } => self.pinned(images),
            ActionKind::FinishWave { .. } => {
                vec![format!("{}: it belongs to no cluster", action.kind)]
            }
        }
    }

    fn has_instances(&self, pool: &NodePool, ids: &BTreeSet<refit_model::InstanceId>) -> bool {
        let groups = pool.groups.iter().filter_map(|name| self.state.groups.get(name));
        let own: BTreeSet<_> =
            groups.flat_map(|group| &group.instances).map(|instance| &instance.id).collect();
        ids.iter().all(|id| own.contains(id))
    }

    /// Every group gets an image of its pool's that was seen.
    fn pinned(&self, pins: &BTreeMap<GroupName, ImageId>) -> Vec<String> {
        let Self { fleet, cluster, state, nodes, against: _ } = self;
        let known = Images::of(fleet, cluster, state, nodes);
        let fits = |group: &GroupName, id: &ImageId| {
            let pool = cluster.pools.iter().find(|pool| pool.groups.contains(group));
            // A group of no pool is somebody else's note.
            pool.is_none_or(|pool| {
                let image = state.images.iter().find(|seen| seen.id == *id);
                image.is_some_and(|image| image.architecture == pool.image.architecture)
                    && known.carried(&pool.image, id).is_some()
            })
        };
        let strange = pins.iter().filter(|(group, id)| !fits(group, id));
        strange
            .map(|(group, id)| format!("group {group} is pinned to {id}, no image of its pool"))
            .collect()
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
