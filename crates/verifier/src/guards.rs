//! Are an action's id and guards those of what it does?
//!
//! The guards decide whether an action begins and when it is done, so guards of something else would
//! let it act where it should not.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionKind, AddonMark, AddonName, Cluster, GroupName, ImageId, InstanceId, KubeVersion,
    PoolName, RollCause, StateGuard,
};

/// What is wrong with the id and the guards of one of the actions of a cluster.
pub(crate) fn check(cluster: &Cluster, action: &Action, actions: &[&Action]) -> Vec<String> {
    let mut notes = id(action);
    if !fit(cluster, action, actions) {
        notes.push(format!("{}: its guards are not what it does", action.kind));
    }
    notes
}

/// The same for the end of a wave.
pub(crate) fn of_wave(action: &Action) -> Vec<String> {
    let mut notes = id(action);
    if !expects_anything(action) {
        notes.push(format!("{}: its guards are not what it does", action.kind));
    }
    notes
}

fn id(action: &Action) -> Vec<String> {
    if action.id == Action::id_of(action.cluster.as_ref(), &action.kind) {
        return Vec::new();
    }
    vec![format!("{}: its id {} is of something else", action.kind, action.id)]
}

fn expects_anything(action: &Action) -> bool {
    *action.expect == StateGuard::Anything && *action.ensure == StateGuard::Anything
}

fn fit(cluster: &Cluster, action: &Action, actions: &[&Action]) -> bool {
    match &action.kind {
        ActionKind::ControlPlaneHop { from, to, .. } => {
            let machines = Machines {
                groups: &cluster.control_plane.groups,
                from,
                to,
                images: BTreeMap::new(),
                replaced: &BTreeSet::new(),
            };
            machines.fit(action, &versions_of(None, actions))
        }
        ActionKind::NodePoolRoll { pool, from, to, images, cause, replace, .. } => {
            // A pool that is not declared is somebody else's note.
            cluster.pool(pool).is_none_or(|declared| {
                let images = match cause {
                    RollCause::NewerImage => {
                        images.iter().map(|(group, pin)| (group.clone(), pin.id.clone())).collect()
                    }
                    RollCause::Version | RollCause::Asked | RollCause::LeftBehind => {
                        BTreeMap::new()
                    }
                };
                let groups = &declared.groups;
                let machines = Machines { groups, from, to, images, replaced: replace };
                machines.fit(action, &versions_of(Some(pool), actions))
            })
        }
        ActionKind::AddonApply { addon, .. }
        | ActionKind::AddonAdopt { addon, .. }
        | ActionKind::AddonRemove { addon, .. } => of_addon(addon, action, actions),
        ActionKind::PinGroups { images } => {
            let expected = match &*action.expect {
                StateGuard::Launches { images: from } => from.keys().eq(images.keys()),
                StateGuard::Anything
                | StateGuard::Machines { .. }
                | StateGuard::Addon { .. }
                | StateGuard::Stored { .. } => false,
            };
            let wanted = images.iter().map(|(group, id)| (group.clone(), [id.clone()].into()));
            expected && *action.ensure == StateGuard::Launches { images: wanted.collect() }
        }
        ActionKind::TidyUp { .. } | ActionKind::FinishWave { .. } => expects_anything(action),
        // Checked with what it migrates.
        ActionKind::StorageMigration { .. } => true,
    }
}

/// The versions that the control plane, or a pool, is brought to.
fn versions_of<'a>(pool: Option<&PoolName>, actions: &[&'a Action]) -> BTreeSet<&'a KubeVersion> {
    let to = actions.iter().filter_map(|action| match &action.kind {
        ActionKind::ControlPlaneHop { to, .. } if pool.is_none() => Some(to),
        ActionKind::NodePoolRoll { pool: rolled, to, .. } if pool == Some(rolled) => Some(to),
        _ => None,
    });
    to.collect()
}

/// What an action that replaces machines says of them.
struct Machines<'a> {
    groups: &'a [GroupName],
    from: &'a BTreeSet<KubeVersion>,
    to: &'a KubeVersion,
    images: BTreeMap<GroupName, ImageId>,
    replaced: &'a BTreeSet<InstanceId>,
}

impl Machines<'_> {
    /// Whether the guards say the same. When it is done, machines may also run what a later action
    /// brings them to.
    fn fit(&self, action: &Action, later: &BTreeSet<&KubeVersion>) -> bool {
        let own: BTreeSet<&GroupName> = self.groups.iter().collect();
        let are_own = |groups: &BTreeSet<GroupName>| groups.iter().eq(own.iter().copied());
        let (StateGuard::Machines { groups, versions, images, replaced }, after) =
            (&*action.expect, &*action.ensure)
        else {
            return false;
        };
        let expects =
            are_own(groups) && **versions == *self.from && images.is_empty() && replaced.is_empty();
        let StateGuard::Machines { groups, versions, images, replaced } = after else {
            return false;
        };
        let ensures = are_own(groups)
            && versions.contains(self.to)
            && versions.iter().all(|version| later.contains(version))
            && *images == self.images
            && replaced == self.replaced;
        expects && ensures
    }
}

/// Whether the guards of an action on an add-on are about that add-on, and it is done in the state
/// that it or a later action brings.
fn of_addon(name: &AddonName, action: &Action, actions: &[&Action]) -> bool {
    let (StateGuard::Addon { addon: before, .. }, StateGuard::Addon { addon: after, any_of }) =
        (&*action.expect, &*action.ensure)
    else {
        return false;
    };
    let brought: Vec<AddonMark> =
        actions.iter().filter(|a| a.kind.addon() == Some(name)).filter_map(|a| brings(a)).collect();
    before == name
        && after == name
        && brings(action).is_some_and(|own| any_of.contains(&own))
        && any_of.iter().all(|mark| brought.contains(mark))
}

/// The state that an action brings its add-on to.
fn brings(action: &Action) -> Option<AddonMark> {
    match &action.kind {
        ActionKind::AddonApply { to, digest, .. } | ActionKind::AddonAdopt { to, digest, .. } => {
            Some(AddonMark::At { version: to.clone(), digest: *digest })
        }
        ActionKind::AddonRemove { .. } => Some(AddonMark::Absent),
        ActionKind::StorageMigration { .. }
        | ActionKind::PinGroups { .. }
        | ActionKind::ControlPlaneHop { .. }
        | ActionKind::NodePoolRoll { .. }
        | ActionKind::TidyUp { .. }
        | ActionKind::FinishWave { .. } => None,
    }
}
