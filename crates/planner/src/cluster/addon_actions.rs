//! Actions on add-ons: what each does, what it deletes, and why it is there.

use std::collections::BTreeSet;

use refit_model::{
    Action, ActionKind, Addon, AddonMark, AddonName, AddonRelease, AddonState, AddonTarget,
    AddonVersion, Bounds, ObjectRef, Period, Reversibility, Why,
};

use super::ClusterPlanner;
use crate::layout::Marks;
use crate::storage;
use crate::support::{Version, release};
use crate::way::{Move, Way};

/// What an add-on takes from its apply to its rollout, unless its pods are slow.
const ADDON_ESTIMATE: Period = Period::minutes(2);

impl<'a> ClusterPlanner<'a> {
    pub(super) fn addon_action(
        &mut self,
        name: &AddonName,
        moves: &[Move],
        nth: usize,
        marks: &Marks,
    ) -> Option<Action> {
        let moved = moves.get(nth)?;
        let Marks { before, expect, ensure } = marks;
        let here = self.addon(name);
        let why = here.why(self, moved, before);
        let (kind, reversible) = if let Some(to) = &moved.to {
            let release = here.release(to)?;
            let digest = *release.manifests.digest();
            let deletes = here.pruned(if nth == 0 { None } else { moved.from.as_ref() }, release);
            let reversible = match u32::try_from(deletes.len()).unwrap_or(u32::MAX) {
                objects if moved.goes_back() => {
                    Reversibility::Downgrade { definitions: here.untended(moved), objects }
                }
                0 => Reversibility::Reversible,
                objects => Reversibility::Deletes { objects },
            };
            let kind = match (before, here.seen.and_then(|seen| seen.foreign.as_ref())) {
                (AddonMark::Foreign { version }, Some(copy)) => ActionKind::AddonAdopt {
                    addon: name.clone(),
                    from: version.clone(),
                    to: to.clone(),
                    digest,
                    managers: copy.managers.clone(),
                },
                _ => ActionKind::AddonApply {
                    addon: name.clone(),
                    from: before.clone(),
                    to: to.clone(),
                    digest,
                    deletes,
                },
            };
            (kind, reversible)
        } else {
            let (objects, kept) = here.removed();
            let count = u32::try_from(objects.len()).unwrap_or(u32::MAX);
            let kind = ActionKind::AddonRemove {
                addon: name.clone(),
                from: moved.from.clone()?,
                objects,
                kept,
            };
            (kind, Reversibility::Deletes { objects: count })
        };
        Some(Action {
            id: Action::id_of(Some(&self.cluster.name), &kind),
            cluster: Some(self.cluster.name.clone()),
            kind,
            expect: expect.clone(),
            ensure: ensure.clone(),
            bounds: Bounds::None,
            timeout: Action::ADDON_TIMEOUT,
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

    fn addon(&self, name: &AddonName) -> Here<'a> {
        Here {
            known: self.fleet.addons.get(name),
            seen: self.state.addons.get(name),
            declared: self.cluster.addons.get(name),
        }
    }
}

/// An add-on in a cluster.
struct Here<'a> {
    known: Option<&'a Addon>,
    seen: Option<&'a AddonState>,
    declared: Option<&'a AddonTarget>,
}

impl<'a> Here<'a> {
    fn release(&self, version: &AddonVersion) -> Option<&'a AddonRelease> {
        release(self.known, version)
    }

    /// What removing it deletes, and what of it is kept.
    fn removed(&self) -> (BTreeSet<ObjectRef>, BTreeSet<ObjectRef>) {
        let members = self.seen.map(|seen| seen.members.clone()).unwrap_or_default();
        members.into_iter().partition(|object| self.may_prune(object))
    }

    /// Whether refit may delete an object of this kind by itself.
    fn may_prune(&self, object: &ObjectRef) -> bool {
        /// Deleting one of these takes more with it than the object.
        const KEPT: [&str; 3] = ["CustomResourceDefinition", "Namespace", "PersistentVolumeClaim"];
        !KEPT.contains(&object.kind.as_str())
            || self.known.is_some_and(|addon| addon.prune.contains(&object.kind))
    }

    /// What is there before a move and not in the manifests of where it goes: the ApplySet's members,
    /// or the objects of the version that an earlier move of this plan has brought.
    fn pruned(&self, from: Option<&AddonVersion>, to: &AddonRelease) -> BTreeSet<ObjectRef> {
        let there: Vec<&ObjectRef> = match from.map(|from| self.release(from)) {
            Some(from) => {
                let objects = from.map(|from| from.manifests.objects()).unwrap_or_default();
                objects.iter().map(|manifest| &manifest.object).collect()
            }
            None => self.seen.into_iter().flat_map(|seen| &seen.members).collect(),
        };
        if there.is_empty() {
            return BTreeSet::new();
        }
        let objects = to.manifests.objects().iter();
        let stays: BTreeSet<_> = objects.map(|manifest| manifest.object.identity()).collect();
        there
            .into_iter()
            .filter(|object| !stays.contains(&object.identity()) && self.may_prune(object))
            .cloned()
            .collect()
    }

    /// The definitions that stay when it goes back, and that the older version does not have, or of
    /// which it does not list every version.
    fn untended(&self, moved: &Move) -> BTreeSet<String> {
        let crds = |version: &Version| {
            let release = version.as_ref().and_then(|version| self.release(version));
            release.map(|release| release.crds().clone()).unwrap_or_default()
        };
        let pruned = self.known.is_some_and(|a| a.prune.contains("CustomResourceDefinition"));
        let (newer, older) = (crds(&moved.from), crds(&moved.to));
        let lost = newer.into_iter().filter(|(crd, newer)| match older.get(crd) {
            None => !pruned,
            Some(older) => newer.versions.keys().any(|version| !older.lists(version)),
        });
        lost.map(|(crd, _)| crd).collect()
    }

    fn why(&self, planner: &ClusterPlanner<'_>, moved: &Move, from: &AddonMark) -> Why {
        let Some(AddonTarget { version: wanted, .. }) = self.declared else {
            return Why::Unlisted;
        };
        if let (AddonMark::Drifted { .. }, true) = (from, moved.from == moved.to) {
            let drift = self.seen.map(|seen| &seen.drift);
            let fields = drift
                .into_iter()
                .flatten()
                .take(5)
                .map(|drift| format!("{} {}", drift.object, drift.field))
                .collect();
            return Why::Drift { fields };
        }
        let at = wanted.at.clone();
        if moved.to.as_ref().is_some_and(|to| *to != wanted.value) {
            let bridge = Why::Bridge { to: wanted.value.clone(), at };
            return self.forced_by(planner, moved).unwrap_or(bridge);
        }
        if wanted.pinned {
            Why::Pin { at }
        } else {
            Why::Release { release: planner.cluster.release.clone(), at }
        }
    }

    /// The first minor up to the target that the version that is there does not support, or
    /// that does not serve what it uses.
    fn forced_by(&self, planner: &ClusterPlanner<'_>, moved: &Move) -> Option<Why> {
        let release = self.release(moved.from.as_ref()?)?;
        let range = &release.kubernetes;
        let target = planner.cluster.kubernetes.value.minor();
        let mut minor = planner.oldest?;
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
