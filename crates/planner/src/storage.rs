//! In which versions the objects of an add-on's CustomResourceDefinitions are stored, and what that
//! means for the add-on's next step.
//!
//! An apiserver refuses a definition that no longer lists a version that objects may be stored in.
//! What is stored begins as it was seen. Each move adds the storage version of what it brings; a
//! storage migration leaves the storage version alone. So a step is possible if the next version
//! lists the storage version that is there: whatever else is stored can be migrated to it first.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionKind, Addon, AddonName, AddonRelease, AddonState, AddonVersion, Bounds,
    ClusterName, Code, CrdMigration, Period, Reversibility, StateGuard, Why,
};

use crate::checks::Blocker;
use crate::parts::{Parts, Route};
use crate::support::{release, show_version};
use crate::way::Move;

/// How long a migration takes, unless there are many objects: a hundred a second.
const ESTIMATE: Period = Period::minutes(1);

/// What is stored of one definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfCrd {
    /// The version that its objects are stored in when they are written.
    pub(crate) storage: String,
    /// The versions that they may be stored in.
    pub(crate) stored: BTreeSet<String>,
}

/// What is stored of an add-on's definitions, by name.
pub(crate) type Stored = BTreeMap<String, OfCrd>;

/// Whether an add-on's next version can be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It lists all that may be stored.
    Free,
    /// After these definitions were migrated.
    AfterMigration(BTreeMap<String, CrdMigration>),
    /// It does not list what objects are stored in when they are written.
    Never {
        /// The definition.
        crd: String,
        /// The version that it drops.
        version: String,
    },
}

/// What was seen.
fn observed(live: Option<&AddonState>) -> Stored {
    let crds = live.into_iter().flat_map(|live| &live.crds);
    crds.map(|(name, crd)| {
        let (storage, mut stored) = (crd.storage.clone(), crd.stored.clone());
        stored.insert(storage.clone());
        (name.clone(), OfCrd { storage, stored })
    })
    .collect()
}

/// Whether a version can come next where this is stored.
pub(crate) fn can_step(stored_now: &Stored, to: &AddonRelease) -> Step {
    let mut migrations = BTreeMap::new();
    for (name, crd) in to.crds() {
        let Some(OfCrd { storage, stored }) = stored_now.get(name) else { continue };
        if !crd.lists(storage) {
            return Step::Never { crd: name.clone(), version: storage.clone() };
        }
        if stored.iter().any(|version| !crd.lists(version)) {
            let migration = CrdMigration { from: stored.clone(), to: storage.clone() };
            migrations.insert(name.clone(), migration);
        }
    }
    if migrations.is_empty() { Step::Free } else { Step::AfterMigration(migrations) }
}

/// Takes in that definitions were migrated.
fn migrate(stored: &mut Stored, crds: &BTreeMap<String, CrdMigration>) {
    for (name, CrdMigration { to, .. }) in crds {
        if let Some(crd) = stored.get_mut(name) {
            crd.stored = BTreeSet::from([to.clone()]);
        }
    }
}

/// Takes in that a version was applied. Definitions that it does not have stay with what is stored,
/// unless they are pruned.
fn apply(stored: &mut Stored, addon: Option<&Addon>, to: Option<&AddonRelease>) {
    let prunes = addon.is_some_and(|addon| addon.prune.contains("CustomResourceDefinition"));
    if prunes {
        stored.retain(|name, _| to.is_some_and(|to| to.crds().contains_key(name)));
    }
    for (name, crd) in to.into_iter().flat_map(AddonRelease::crds) {
        let storage = crd.storage.clone();
        let before = stored.remove(name).map(|before| before.stored);
        let mut all = before.unwrap_or_default();
        all.insert(storage.clone());
        stored.insert(name.clone(), OfCrd { storage, stored: all });
    }
}

/// What steps of one add-on are possible in a cluster, as far as stored versions go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Storage<'a> {
    pub(crate) addon: Option<&'a Addon>,
    pub(crate) live: Option<&'a AddonState>,
}

impl Storage<'_> {
    /// Whether the add-on can go from one version, or from nothing, to another. Whatever it went
    /// over before: what counts is the storage version that is there.
    pub(crate) fn step_allowed(
        self,
        from: Option<&AddonVersion>,
        to: &AddonRelease,
        start: Option<&AddonVersion>,
    ) -> bool {
        to.crds().is_empty() || !matches!(self.step(from, to, start), Step::Never { .. })
    }

    fn step(
        self,
        from: Option<&AddonVersion>,
        to: &AddonRelease,
        start: Option<&AddonVersion>,
    ) -> Step {
        let mut stored = observed(self.live);
        if from != start {
            apply(&mut stored, self.addon, from.and_then(|from| release(self.addon, from)));
        }
        can_step(&stored, to)
    }
}

/// The migrations that come right before moves, by add-on and which of its moves it is.
pub(crate) type Migrations = BTreeMap<(AddonName, usize), BTreeMap<String, CrdMigration>>;

/// Goes along the moves of every add-on: which migrations they take, or why one cannot be made.
pub(crate) fn migrations(
    parts: &Parts<'_>,
    moves: &BTreeMap<AddonName, Vec<Move>>,
) -> Result<Migrations, Vec<Blocker>> {
    let mut found = Migrations::new();
    let mut blockers = Vec::new();
    for (_, Route { name, addon, live, .. }) in parts.routes() {
        let (addon, moves) = (*addon, moves.get(name).map(Vec::as_slice).unwrap_or_default());
        let mut stored = observed(*live);
        for (nth, Move { to, .. }) in moves.iter().enumerate() {
            let to_release = to.as_ref().and_then(|to| release(addon, to));
            match to_release.map_or(Step::Free, |to| can_step(&stored, to)) {
                Step::Free => {}
                Step::AfterMigration(crds) => {
                    migrate(&mut stored, &crds);
                    found.insert((name.clone(), nth), crds);
                }
                Step::Never { crd, version } => {
                    blockers.push(dropped(name, &crd, &version, to.as_ref()));
                    break;
                }
            }
            apply(&mut stored, addon, to_release);
        }
    }
    if blockers.is_empty() { Ok(found) } else { Err(blockers) }
}

/// Why there is no way for an add-on, when it is stored versions that are in it: the first version
/// that nothing leads to; or else, where only no moment is left for it, the first step that cannot
/// be made.
pub(crate) fn no_way(
    name: &AddonName,
    storage: Storage<'_>,
    start: Option<&AddonVersion>,
    goal: Option<&AddonVersion>,
) -> Option<Blocker> {
    let back = start.zip(goal).is_some_and(|(start, goal)| start > goal);
    let comes_after = |version: &AddonVersion, other: &AddonVersion| {
        if back { version < other } else { version > other }
    };
    let on_the_way = |version: &&AddonVersion| {
        start.is_none_or(|start| comes_after(version, start))
            && goal.is_none_or(|goal| *version == goal || comes_after(goal, version))
    };
    let versions = storage.addon.into_iter().flat_map(|addon| addon.versions.keys());
    let mut versions: Vec<&AddonVersion> = versions.filter(on_the_way).collect();
    if back {
        versions.reverse();
    }
    let allowed = |from: Option<&AddonVersion>, to: &AddonVersion| {
        release(storage.addon, to).is_none_or(|to| storage.step_allowed(from, to, start))
    };
    let mut reached: Vec<Option<&AddonVersion>> = vec![start];
    for version in &versions {
        if reached.iter().any(|from| allowed(*from, version)) {
            reached.push(Some(version));
        }
    }
    // It may be there already, with other manifests.
    let again = goal.filter(|_| start == goal).map(|goal| (start, goal));
    let beyond = versions.iter().find(|version| !reached.contains(&Some(**version)));
    let last = reached.last().copied().flatten();
    let blocked = beyond.map(|beyond| (last, *beyond)).or_else(|| {
        let pairs = reached.iter().flat_map(|from| versions.iter().map(move |to| (*from, *to)));
        let mut ahead = pairs.filter(|(from, to)| from.is_none_or(|from| comes_after(to, from)));
        ahead.find(|(from, to)| !allowed(*from, to))
    });
    let (from, to) = blocked.or(again)?;
    match storage.step(from, release(storage.addon, to)?, start) {
        Step::Never { crd, version } => Some(dropped(name, &crd, &version, Some(to))),
        _ => None,
    }
}

fn dropped(name: &AddonName, crd: &str, stored: &str, to: Option<&AddonVersion>) -> Blocker {
    let to = show_version(to);
    Blocker::new(
        Code::RF039,
        format!("objects of {crd} are stored in {stored}, which {to} does not list"),
        format!(
            "add a version to addons/{name} that lists {stored} and stores objects in a version \
             that {to} lists: objects are migrated to that one there"
        ),
    )
    .of(name)
}

/// A definition, and a version that its objects may be stored in and that a release does not list.
pub(crate) fn left_behind(
    release: &AddonRelease,
    crds: &BTreeMap<String, CrdMigration>,
) -> Option<(String, String)> {
    crds.iter().find_map(|(name, CrdMigration { from, .. })| {
        let listed = release.crds().get(name)?;
        Some((name.clone(), from.iter().find(|version| !listed.lists(version))?.clone()))
    })
}

/// The action that migrates before the move to `to`.
pub(crate) fn action(
    cluster: &ClusterName,
    addon: &AddonName,
    to: &AddonVersion,
    release: &AddonRelease,
    crds: &BTreeMap<String, CrdMigration>,
) -> Option<Action> {
    let (crd, stored) = left_behind(release, crds)?;
    let guard = |versions: &dyn Fn(&CrdMigration) -> BTreeSet<String>| StateGuard::Stored {
        addon: addon.clone(),
        crds: crds.iter().map(|(name, crd)| (name.clone(), versions(crd))).collect(),
    };
    let kind = ActionKind::StorageMigration {
        addon: addon.clone(),
        before: to.clone(),
        crds: crds.clone(),
    };
    let why = Why::StoredVersion { crd, stored, dropped_by: to.clone() };
    Some(Action {
        id: Action::id_of(Some(cluster), &kind),
        cluster: Some(cluster.clone()),
        kind,
        expect: guard(&|crd| crd.from.clone()).into(),
        ensure: guard(&|crd| BTreeSet::from([crd.to.clone()])).into(),
        bounds: Bounds::None,
        timeout: Action::MIGRATION_TIMEOUT,
        estimate: ESTIMATE,
        reversible: Reversibility::StoredVersions,
        why,
    })
}

#[cfg(test)]
mod tests {
    use refit_model::{Known, Manifest, ManifestSet, ObjectRef, VersionRange};
    use serde_json::json;

    use super::*;

    const CRD: &str = "volumes.acme.example";

    /// A version whose definition lists these, the first of them as the storage version.
    fn lists(versions: &[&str]) -> AddonRelease {
        let listed: Vec<_> = versions
            .iter()
            .map(|name| json!({ "name": name, "served": true, "storage": name == &versions[0] }))
            .collect();
        let value = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": CRD },
            "spec": {
                "group": "acme.example", "names": { "plural": "volumes" }, "versions": listed,
            },
        });
        let object = ObjectRef {
            api_version: "apiextensions.k8s.io/v1".into(),
            kind: "CustomResourceDefinition".into(),
            namespace: None,
            name: CRD.into(),
        };
        AddonRelease {
            kubernetes: VersionRange::any(),
            kubelets: None,
            requires: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            upgrade_from: None,
            manifests: ManifestSet::new(vec![Manifest { object, value, file: String::new() }]),
            known: Known::default(),
        }
    }

    fn set(versions: &[&str]) -> BTreeSet<String> {
        versions.iter().map(|version| (*version).to_owned()).collect()
    }

    /// All small cases: what is stored, with its storage version, and what the next version lists.
    #[test]
    fn a_step_is_possible_if_the_storage_version_stays_listed() {
        let all = ["v1", "v2", "v3"];
        let subsets = || {
            (1..8_usize).map(|bits| {
                (0..3).filter(|bit| bits & (1 << bit) != 0).map(|bit| all[bit]).collect::<Vec<_>>()
            })
        };
        let mut seen = BTreeSet::new();
        for stored in subsets() {
            for storage in &stored {
                let storage = (*storage).to_owned();
                let now = OfCrd { storage: storage.clone(), stored: set(&stored) };
                let now = Stored::from([(CRD.to_owned(), now)]);
                for listed in subsets() {
                    let to = lists(&listed);
                    let step = can_step(&now, &to);
                    let lists_all = stored.iter().all(|version| listed.contains(version));
                    let expected = if !listed.contains(&storage.as_str()) {
                        Step::Never { crd: CRD.into(), version: storage.clone() }
                    } else if lists_all {
                        Step::Free
                    } else {
                        let migration = CrdMigration { from: set(&stored), to: storage.clone() };
                        Step::AfterMigration([(CRD.to_owned(), migration)].into())
                    };
                    assert_eq!(step, expected, "{now:?} to {listed:?}");
                    seen.insert(match &step {
                        Step::Free => "free",
                        Step::AfterMigration(_) => "migration",
                        Step::Never { .. } => "never",
                    });
                    // A migration makes the step free, and the step adds its storage version.
                    let mut after = now.clone();
                    if let Step::AfterMigration(crds) = &step {
                        migrate(&mut after, crds);
                        assert_eq!(can_step(&after, &to), Step::Free);
                    }
                    apply(&mut after, None, Some(&to));
                    assert_eq!(after[CRD].storage, listed[0]);
                    assert!(after[CRD].stored.contains(listed[0]));
                }
            }
        }
        assert_eq!(seen, ["free", "migration", "never"].into());
    }

    #[test]
    fn a_definition_that_is_new_or_left_alone_asks_for_nothing() {
        assert_eq!(can_step(&Stored::new(), &lists(&["v1"])), Step::Free);
        let now = OfCrd { storage: "v1".into(), stored: set(&["v1"]) };
        let other = Stored::from([("other.acme.example".to_owned(), now)]);
        assert_eq!(can_step(&other, &lists(&["v2"])), Step::Free);
    }
}
