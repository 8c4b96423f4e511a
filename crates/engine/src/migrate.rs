//! How the objects of CustomResourceDefinitions come to be stored in the storage version.
//!
//! The first look lists them. Each is written back as it is, some at a time, and then the apiserver
//! is told that nothing is stored in an older version any more. What somebody creates or writes
//! meanwhile is stored in the storage version by itself, so the list is not made again. What was
//! written back stands in the journal: whoever continues goes on with the rest.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionKind, AddonName, AddonOp, ClusterState, CrdMigration, CrdState, ObjectKey, Op,
    Outcome, Timestamp,
};

use crate::decision::{Decision, Mode, after};
use crate::memory::Memory;

/// How many objects one call writes back: a few seconds' work.
const BATCH: usize = 100;
/// How many calls are made before another look: so soon a stop is noticed.
const CALLS: usize = 5;

/// Decides what comes next for a storage migration.
pub(crate) fn decide(
    action: &Action,
    state: &ClusterState,
    memory: &mut Memory,
    mode: Mode,
    now: Timestamp,
) -> Decision {
    let ActionKind::StorageMigration { addon, crds, .. } = &action.kind else {
        return Decision::fail("this action migrates nothing", Vec::new());
    };
    if action.ensure.holds(state) {
        return Decision::end(Outcome::Done);
    }
    if mode != Mode::Go {
        // Objects in both versions are what the definitions allow until the end.
        return Decision::end(Outcome::Stopped);
    }
    let nothing = BTreeMap::new();
    let live = state.addons.get(addon).map_or(&nothing, |addon| &addon.crds);
    if let Some(reason) = other_storage(crds, live) {
        return Decision::fail(reason, Vec::new());
    }
    let unwritten = match &mut memory.unwritten {
        Some(unwritten) => unwritten,
        None => match found(crds, live, &memory.written) {
            Some(found) => memory.unwritten.insert(found),
            None => return Decision::act("list objects", Vec::new()),
        },
    };
    let left: usize = unwritten.values().map(BTreeSet::len).sum();
    let batches = batches(addon, unwritten);
    // However many there are: it fails when it gets no further.
    let step = format!("{left} left");
    if !memory.waits.contains_key(&step) {
        memory.waits.clear();
    }
    let until = after(memory.waiting_since(&step, now), action.timeout);
    if now >= until {
        return Decision::fail(
            format!("{left} objects are not written back yet"),
            vec!["objects are stored in both versions; the next run begins anew".to_owned()],
        );
    }
    if left > 0 {
        return Decision::act("write objects back", batches);
    }
    let to_do = crds.iter().filter(|(name, migration)| {
        live.get(*name).is_some_and(|crd| crd.stored.iter().any(|stored| *stored != migration.to))
    });
    let ops = to_do.map(|(crd, migration)| {
        on(addon, AddonOp::SetStored { crd: crd.clone(), version: migration.to.clone() })
    });
    Decision::act("set the stored versions", ops.collect())
}

/// What a definition that stores objects in another version than the plan says, if one does.
fn other_storage(
    crds: &BTreeMap<String, CrdMigration>,
    live: &BTreeMap<String, CrdState>,
) -> Option<String> {
    crds.iter().find_map(|(name, migration)| {
        let storage = &live.get(name)?.storage;
        let to = &migration.to;
        (storage != to).then(|| format!("{name} stores objects in {storage}, not in {to}"))
    })
}

/// What is to be written back; none: the look does not show it.
fn found(
    crds: &BTreeMap<String, CrdMigration>,
    live: &BTreeMap<String, CrdState>,
    written: &BTreeMap<String, BTreeSet<ObjectKey>>,
) -> Option<BTreeMap<String, BTreeSet<ObjectKey>>> {
    let nothing = BTreeSet::new();
    crds.keys()
        .filter_map(|name| Some((name, live.get(name)?)))
        .map(|(name, crd)| {
            let written = written.get(name).unwrap_or(&nothing);
            Some((name.clone(), crd.objects.as_ref()?.difference(written).cloned().collect()))
        })
        .collect()
}

fn batches(addon: &AddonName, unwritten: &BTreeMap<String, BTreeSet<ObjectKey>>) -> Vec<Op> {
    let all = unwritten.iter().flat_map(|(crd, objects)| {
        let mut rest = objects.iter();
        let batches = std::iter::from_fn(move || {
            let batch: BTreeSet<ObjectKey> = rest.by_ref().take(BATCH).cloned().collect();
            (!batch.is_empty()).then_some(batch)
        });
        batches.map(|objects| AddonOp::WriteBack { crd: crd.clone(), objects })
    });
    all.take(CALLS).map(|op| on(addon, op)).collect()
}

fn on(addon: &AddonName, op: AddonOp) -> Op {
    Op::Addon { addon: addon.clone(), op }
}

#[cfg(test)]
mod tests {
    use refit_model::{AddonState, Bounds, Period, Reversibility, StateGuard, Why};

    use super::*;
    use crate::bench::{at, pool};
    use crate::decision::Next;

    const CRD: &str = "volumes.acme.example";

    fn set(versions: &[&str]) -> BTreeSet<String> {
        versions.iter().map(|version| (*version).to_owned()).collect()
    }

    fn migration() -> Action {
        let addon: AddonName = "csi".parse().unwrap();
        let guard = |versions: &[&str]| StateGuard::Stored {
            addon: addon.clone(),
            crds: BTreeMap::from([(CRD.to_owned(), set(versions))]),
        };
        let (expect, ensure) = (guard(&["v1", "v1beta1"]), guard(&["v1"]));
        let from = set(&["v1", "v1beta1"]);
        let crds = BTreeMap::from([(CRD.to_owned(), CrdMigration { from, to: "v1".to_owned() })]);
        let kind = ActionKind::StorageMigration { addon, before: "2.0.0".parse().unwrap(), crds };
        Action {
            id: Action::id_of(None, &kind),
            cluster: None,
            kind,
            expect: expect.into(),
            ensure: ensure.into(),
            bounds: Bounds::None,
            timeout: Period::minutes(10),
            estimate: Period::minutes(1),
            reversible: Reversibility::StoredVersions,
            why: Why::Unlisted,
        }
    }

    fn key(number: usize) -> ObjectKey {
        ObjectKey { namespace: Some("apps".to_owned()), name: format!("volume-{number:04}") }
    }

    fn state(objects: Option<usize>, stored: &[&str]) -> ClusterState {
        let objects = objects.map(|count| (0..count).map(key).collect());
        let crd = CrdState { storage: "v1".to_owned(), stored: set(stored), objects };
        let crds = BTreeMap::from([(CRD.to_owned(), crd)]);
        let mut state = pool(0, 0);
        state.addons.insert("csi".parse().unwrap(), AddonState { crds, ..AddonState::default() });
        state
    }

    fn next(state: &ClusterState, memory: &mut Memory, mode: Mode) -> Next {
        decide(&migration(), state, memory, mode, at(0)).next
    }

    fn ops(next: Next) -> Vec<AddonOp> {
        let Next::Do(ops) = next else { panic!("{next:?}") };
        let of_addon = ops.into_iter().map(|op| match op {
            Op::Addon { op, .. } => op,
            op => panic!("{op}"),
        });
        of_addon.collect()
    }

    #[test]
    fn every_object_is_written_back_once_and_then_the_versions_are_set() {
        let both = ["v1", "v1beta1"];
        let mut memory = Memory::default();
        assert_eq!(ops(next(&state(None, &both), &mut memory, Mode::Go)), [], "it lists first");
        let mut first = ops(next(&state(Some(720), &both), &mut memory, Mode::Go));
        assert_eq!(first.len(), CALLS);
        let mut seen = BTreeSet::new();
        let mut rounds = 0;
        // Later looks list nothing, and somebody creates objects all the time.
        while let Some(AddonOp::WriteBack { .. }) = first.first() {
            for op in first {
                let AddonOp::WriteBack { objects, .. } = &op else { panic!("{op:?}") };
                assert!(objects.len() <= BATCH);
                assert!(objects.iter().all(|object| seen.insert(object.clone())), "once");
                memory.settle(&Op::Addon { addon: "csi".parse().unwrap(), op });
            }
            rounds += 1;
            first = ops(next(&state(None, &both), &mut memory, Mode::Go));
        }
        assert_eq!((seen.len(), rounds), (720, 2));
        let set = AddonOp::SetStored { crd: CRD.to_owned(), version: "v1".to_owned() };
        assert_eq!(first, [set]);
        let done = next(&state(None, &["v1"]), &mut memory, Mode::Go);
        assert_eq!(done, Next::End(Outcome::Done));
    }

    #[test]
    fn what_stands_in_the_journal_is_not_written_again() {
        let mut memory = Memory::default();
        let objects: BTreeSet<ObjectKey> = (0..3).map(key).collect();
        let op = AddonOp::WriteBack { crd: CRD.to_owned(), objects };
        memory.settle(&Op::Addon { addon: "csi".parse().unwrap(), op });
        let rest = ops(next(&state(Some(5), &["v1beta1"]), &mut memory, Mode::Go));
        let objects = (3..5).map(key).collect();
        assert_eq!(rest, [AddonOp::WriteBack { crd: CRD.to_owned(), objects }]);
    }

    /// It may take days, as long as it gets on.
    #[test]
    fn it_fails_when_it_gets_no_further() {
        let both = ["v1", "v1beta1"];
        let mut memory = Memory { started_at: Some(at(0)), ..Memory::default() };
        let mut now = 0;
        let decide_at = |memory: &mut Memory, now| {
            decide(&migration(), &state(Some(1_200), &both), memory, Mode::Go, at(now)).next
        };
        for _ in 0..2 {
            let first = ops(decide_at(&mut memory, now)).swap_remove(0);
            memory.settle(&Op::Addon { addon: "csi".parse().unwrap(), op: first });
            now += 9 * 60;
        }
        assert_eq!(ops(decide_at(&mut memory, now)).len(), CALLS, "18 minutes later");
        let Next::End(Outcome::Failed { reason, .. }) = decide_at(&mut memory, now + 10 * 60)
        else {
            panic!("nothing was written for ten minutes");
        };
        assert_eq!(reason, "1000 objects are not written back yet");
    }

    #[test]
    fn it_stops_between_two_calls() {
        let seen = state(Some(5), &["v1beta1"]);
        for mode in [Mode::Finish, Mode::Cancel, Mode::Leave] {
            let next = next(&seen, &mut Memory::default(), mode);
            assert_eq!(next, Next::End(Outcome::Stopped));
        }
    }

    #[test]
    fn another_storage_version_is_not_migrated_to() {
        let mut seen = state(Some(5), &["v1beta1"]);
        let addon = seen.addons.values_mut().next().unwrap();
        addon.crds.get_mut(CRD).unwrap().storage = "v1beta1".to_owned();
        let next = next(&seen, &mut Memory::default(), Mode::Go);
        let Next::End(Outcome::Failed { reason, .. }) = next else { panic!("{next:?}") };
        assert_eq!(reason, "volumes.acme.example stores objects in v1beta1, not in v1");
    }
}
