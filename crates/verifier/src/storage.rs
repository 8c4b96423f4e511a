//! Is every version that objects may be stored in listed by what is applied next?
//!
//! The actions on one add-on come one after the other, so what is stored is told by going along
//! them: what was seen, and the storage version of each version that is applied; after a migration
//! its version alone.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    ActionKind, Addon, AddonMark, AddonName, AddonRelease, AddonVersion, ClusterState,
    CrdMigration, Fleet,
};

use crate::order::Order;

/// By definition: the storage version, and what may be stored.
type Stored = BTreeMap<String, (String, BTreeSet<String>)>;

/// What is wrong with the add-ons' actions of a cluster.
pub(crate) fn check(
    fleet: &Fleet,
    state: &ClusterState,
    order: &Order<'_>,
    notes: &mut Vec<String>,
) {
    for own in order.on_addons().chunk_by(|(one, _), (other, _)| one == other) {
        let [(name, _), ..] = own else { continue };
        let mut places: Vec<usize> = own.iter().map(|(_, at)| *at).collect();
        let before = |at: &usize| own.iter().filter(|(_, it)| order.precedes(*it, *at)).count();
        places.sort_by_key(before);
        if places.windows(2).any(|pair| !order.precedes(pair[0], pair[1])) {
            notes.push(format!("two actions on {name} may run at once"));
            continue;
        }
        let kinds: Vec<&ActionKind> = places.iter().map(|at| &order.actions()[*at].kind).collect();
        // Of a plan that was begun, what comes after what was done counts.
        let now = AddonMark::of(state, name);
        let done = kinds.iter().rposition(|kind| reaches(kind, &now)).map_or(0, |last| last + 1);
        let addon = fleet.addons.get(name);
        Walk { name, addon, stored: seen(state, name) }.along(&kinds[done..], notes);
    }
}

/// Whether an action leaves what is there now.
fn reaches(kind: &ActionKind, now: &AddonMark) -> bool {
    let (ActionKind::AddonApply { to, digest, .. } | ActionKind::AddonAdopt { to, digest, .. }) =
        kind
    else {
        return false;
    };
    match now {
        AddonMark::At { version, digest: found }
        | AddonMark::Drifted { version, digest: found } => version == to && found == digest,
        AddonMark::Absent | AddonMark::Foreign { .. } => false,
    }
}

fn seen(state: &ClusterState, name: &AddonName) -> Stored {
    let crds = state.addons.get(name).into_iter().flat_map(|addon| &addon.crds);
    crds.map(|(name, crd)| (name.clone(), (crd.storage.clone(), crd.stored.clone()))).collect()
}

/// One add-on on its way.
struct Walk<'a> {
    name: &'a AddonName,
    addon: Option<&'a Addon>,
    stored: Stored,
}

impl Walk<'_> {
    fn along(mut self, kinds: &[&ActionKind], notes: &mut Vec<String>) {
        for (at, kind) in kinds.iter().enumerate() {
            match kind {
                ActionKind::StorageMigration { before, crds, .. } => {
                    let next = kinds.get(at + 1).copied();
                    if next.and_then(brings) != Some(before) {
                        notes.push(format!("{kind}: {before} does not come next"));
                    }
                    self.migrate(crds, notes);
                }
                kind => self.apply(brings(kind), notes),
            }
        }
    }

    fn migrate(&mut self, crds: &BTreeMap<String, CrdMigration>, notes: &mut Vec<String>) {
        for (crd, CrdMigration { from, to }) in crds {
            let Some((storage, stored)) = self.stored.get_mut(crd) else { continue };
            if storage != to {
                let text =
                    format!("objects of {crd} are migrated to {to}, and stored in {storage}");
                notes.push(text);
            }
            if let Some(other) = stored.iter().find(|other| *other != to && !from.contains(*other))
            {
                notes.push(format!("{crd} is migrated, and may be stored in {other}, too"));
            }
            *stored = BTreeSet::from([to.clone()]);
        }
    }

    fn apply(&mut self, to: Option<&AddonVersion>, notes: &mut Vec<String>) {
        let addon = self.addon;
        let release = to.and_then(|to| addon?.versions.get(to));
        let crds = release.into_iter().flat_map(AddonRelease::crds);
        for (name, crd) in crds.clone() {
            let (storage, stored) = self.stored.entry(name.clone()).or_default();
            if let (Some(to), Some(lost)) = (to, stored.iter().find(|v| !crd.lists(v))) {
                notes.push(format!(
                    "{} {to} does not list {lost} of {name}, which may be stored",
                    self.name
                ));
            }
            storage.clone_from(&crd.storage);
            stored.insert(crd.storage.clone());
        }
        // Whatever it does not name may be deleted, with all that is stored of it.
        if addon.is_some_and(|addon| addon.prune.contains("CustomResourceDefinition")) {
            let named: BTreeSet<&String> = crds.map(|(name, _)| name).collect();
            self.stored.retain(|name, _| named.contains(name));
        }
    }
}

/// The version that an action brings.
fn brings(kind: &ActionKind) -> Option<&AddonVersion> {
    match kind {
        ActionKind::AddonApply { to, .. } | ActionKind::AddonAdopt { to, .. } => Some(to),
        _ => None,
    }
}
