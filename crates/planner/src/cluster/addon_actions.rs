//! Actions on add-ons: what each does, what it deletes, and why it is there.

use std::collections::BTreeSet;

use refit_model::{
    Action, ActionKind, AddonMark, AddonName, AddonVersion, Bounds, ObjectRef, Period,
    Reversibility, StateGuard, Why,
};

use super::{ClusterPlanner, running};
use crate::storage;
use crate::way::{Move, Way};

/// What an add-on takes from its apply to its rollout, unless its pods are slow.
const ADDON_ESTIMATE: Period = Period::minutes(2);
/// How long an add-on's workloads may take to roll out.
const ADDON_TIMEOUT: Period = Period::minutes(20);

impl ClusterPlanner<'_> {
    pub(super) fn addon_action(
        &mut self,
        name: &AddonName,
        moved: &Move,
        first: bool,
    ) -> Option<Action> {
        let mark = AddonMark::of(self.state, name);
        let live = self.state.addons.get(name);
        let release = |version: &AddonVersion| {
            self.fleet.addons.get(name).and_then(|addon| addon.versions.get(version))
        };
        let from_mark = if first {
            mark
        } else {
            match &moved.from {
                None => AddonMark::Absent,
                Some(version) => AddonMark::At {
                    version: version.clone(),
                    digest: release(version)?.manifests.digest().clone(),
                },
            }
        };
        let why = self.why_addon(name, moved, &from_mark);
        let (kind, ensure, reversible) = if let Some(to) = &moved.to {
            let digest = release(to)?.manifests.digest().clone();
            let mark = AddonMark::At { version: to.clone(), digest: digest.clone() };
            let deletes = self.pruned(name, if first { None } else { moved.from.as_ref() }, to);
            let reversible = match u32::try_from(deletes.len()).unwrap_or(u32::MAX) {
                objects if moved.goes_back() => {
                    Reversibility::Downgrade { definitions: self.untended(name, moved), objects }
                }
                0 => Reversibility::Reversible,
                objects => Reversibility::Deletes { objects },
            };
            let kind = match (&from_mark, live.and_then(|live| live.foreign.as_ref())) {
                (AddonMark::Foreign { version }, Some(copy)) => ActionKind::AddonAdopt {
                    addon: name.clone(),
                    from: version.clone(),
                    to: to.clone(),
                    digest,
                    managers: copy.managers.clone(),
                },
                _ => ActionKind::AddonApply {
                    addon: name.clone(),
                    from: from_mark.clone(),
                    to: to.clone(),
                    digest,
                    deletes,
                },
            };
            (kind, StateGuard::addon(name, mark), reversible)
        } else {
            let (objects, kept) = self.removed(name);
            let count = u32::try_from(objects.len()).unwrap_or(u32::MAX);
            let kind = ActionKind::AddonRemove {
                addon: name.clone(),
                from: moved.from.clone()?,
                objects,
                kept,
            };
            let ensure = StateGuard::addon(name, AddonMark::Absent);
            (kind, ensure, Reversibility::Deletes { objects: count })
        };
        Some(Action {
            id: Action::id_of(Some(&self.cluster.name), &kind),
            cluster: Some(self.cluster.name.clone()),
            kind,
            expect: StateGuard::addon(name, from_mark),
            ensure,
            bounds: Bounds::None,
            timeout: ADDON_TIMEOUT,
            estimate: ADDON_ESTIMATE,
            reversible,
            why,
        })
    }

    /// What migrates the objects that a move would leave without their version.
    pub(super) fn migration(&self, way: &Way, name: &AddonName, nth: usize) -> Option<Action> {
        let crds = way.migrations.get(&(name.clone(), nth))?;
        let to = way.moves.get(name)?.get(nth)?.to.as_ref()?;
        let release = self.fleet.addons.get(name)?.versions.get(to)?;
        storage::action(&self.cluster.name, name, to, release, crds)
    }

    /// What removing an add-on deletes, and what of it is kept.
    pub(super) fn removed(&self, name: &AddonName) -> (BTreeSet<ObjectRef>, BTreeSet<ObjectRef>) {
        let members = self.state.addons.get(name).map(|addon| addon.members.clone());
        members.unwrap_or_default().into_iter().partition(|object| self.may_prune(name, object))
    }

    /// Whether refit may delete an object of this kind by itself.
    pub(super) fn may_prune(&self, name: &AddonName, object: &ObjectRef) -> bool {
        /// Deleting one of these takes more with it than the object.
        const KEPT: [&str; 3] = ["CustomResourceDefinition", "Namespace", "PersistentVolumeClaim"];
        let prune = self.fleet.addons.get(name).map(|addon| &addon.prune);
        !KEPT.contains(&object.kind.as_str())
            || prune.is_some_and(|kinds| kinds.contains(&object.kind))
    }

    /// What is there before a move and not in the manifests of `to`: the ApplySet's members, or
    /// the objects of the version that an earlier move of this plan has brought.
    pub(super) fn pruned(
        &self,
        name: &AddonName,
        from: Option<&AddonVersion>,
        to: &AddonVersion,
    ) -> BTreeSet<ObjectRef> {
        let versions = self.fleet.addons.get(name).map(|addon| &addon.versions);
        let objects = |version: &AddonVersion| {
            versions
                .and_then(|versions| versions.get(version))
                .map(|release| release.manifests.objects())
                .unwrap_or_default()
        };
        let there: Vec<&ObjectRef> = match from {
            Some(from) => objects(from).iter().map(|manifest| &manifest.object).collect(),
            None => self.state.addons.get(name).into_iter().flat_map(|a| &a.members).collect(),
        };
        if there.is_empty() {
            return BTreeSet::new();
        }
        let stays: BTreeSet<_> =
            objects(to).iter().map(|manifest| manifest.object.identity()).collect();
        there
            .into_iter()
            .filter(|object| !stays.contains(&object.identity()) && self.may_prune(name, object))
            .cloned()
            .collect()
    }

    /// The definitions that stay when an add-on goes back, and that the older version does not have,
    /// or of which it does not list every version.
    fn untended(&self, name: &AddonName, moved: &Move) -> BTreeSet<String> {
        let addon = self.fleet.addons.get(name);
        let crds = |version: &Option<AddonVersion>| {
            let release = addon.zip(version.as_ref()).and_then(|(a, v)| a.versions.get(v));
            release.map(|release| release.crds().clone()).unwrap_or_default()
        };
        let pruned = addon.is_some_and(|addon| addon.prune.contains("CustomResourceDefinition"));
        let (newer, older) = (crds(&moved.from), crds(&moved.to));
        let lost = newer.into_iter().filter(|(crd, newer)| match older.get(crd) {
            None => !pruned,
            Some(older) => newer.versions.keys().any(|version| !older.lists(version)),
        });
        lost.map(|(crd, _)| crd).collect()
    }

    pub(super) fn why_addon(&self, name: &AddonName, moved: &Move, from: &AddonMark) -> Why {
        let Some(target) = self.cluster.addons.get(name) else { return Why::Unlisted };
        if let (AddonMark::Drifted { .. }, true) = (from, moved.from == moved.to) {
            let drift = self.state.addons.get(name).map(|addon| &addon.drift);
            let fields = drift
                .into_iter()
                .flatten()
                .take(5)
                .map(|drift| format!("{} {}", drift.object, drift.field))
                .collect();
            return Why::Drift { fields };
        }
        let goal = target.version.value == *moved.to.as_ref().unwrap_or(&target.version.value);
        if !goal {
            let (to, at) = (target.version.value.clone(), target.version.at.clone());
            return self.forced_by(name, moved).unwrap_or(Why::Bridge { to, at });
        }
        if target.version.pinned {
            Why::Pin { at: target.version.at.clone() }
        } else {
            Why::Release { release: self.cluster.release.clone(), at: target.version.at.clone() }
        }
    }

    /// The first minor up to the target that the version that is there does not support, or
    /// that does not serve what it uses.
    pub(super) fn forced_by(&self, name: &AddonName, moved: &Move) -> Option<Why> {
        let from = moved.from.as_ref()?;
        let release = self.fleet.addons.get(name)?.versions.get(from)?;
        let range = &release.kubernetes;
        let target = self.cluster.kubernetes.value.minor();
        let mut minor = running(self.state).first()?.minor();
        while minor <= target {
            if !range.contains(&minor) {
                return Some(Why::AddonRange { minor, supports: range.to_string() });
            }
            if let Some(used) = release.unserved(minor).next() {
                return Some(Why::AddonApi { minor, api: used.object.api_version.clone() });
            }
            minor = minor.next();
        }
        None
    }
}
