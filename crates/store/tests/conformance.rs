//! What every store does, checked over both.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{a_life, at, new_run, open, run, settled};
use refit_model::{Digest, RecordKind, RunOutcome, Stop};
use refit_store::{
    AppendError, CrashPoint, MemoryDisk, MemoryStore, RunState, StateStore, StoreError,
};

/// Opens the same place for writing, once more each time.
type Opener<'a> = &'a mut dyn FnMut() -> Box<dyn StateStore>;

fn over_both(check: fn(Opener<'_>)) {
    let disk = MemoryDisk::new();
    check(&mut || Box::new(MemoryStore::open(&disk)));
    let dir = tempfile::tempdir().unwrap();
    check(&mut || Box::new(open(dir.path())));
}

const STOP: RecordKind = RecordKind::StopAsked { stop: Stop::Finish };

#[test]
fn blobs_come_back_by_their_digest() {
    over_both(|open| {
        let mut store = open();
        let large = vec![7; 3_000_000];
        for bytes in [&b""[..], b"snapshot", &large] {
            let digest = store.put_blob(bytes).unwrap();
            assert_eq!(digest, Digest::of_bytes(bytes));
            assert_eq!(store.put_blob(bytes).unwrap(), digest);
            assert_eq!(store.blob(&digest).unwrap().as_deref(), Some(bytes));
        }
        assert_eq!(store.blob(&Digest::of_bytes(b"other")).unwrap(), None);
        drop(store);
        let store = open();
        assert_eq!(store.blob(&Digest::of_bytes(&large)).unwrap(), Some(large));
    });
}

#[test]
fn a_run_is_read_as_it_was_written() {
    over_both(|open| {
        let mut store = open();
        let handle = store.open_run(new_run("r1")).unwrap();
        assert_eq!((handle.last_seq, handle.epoch), (1, store.epoch()));
        let kinds = a_life();
        let mut last = handle.last_seq;
        for (kind, second) in kinds.iter().zip(1..) {
            last = store.append(&handle.run, last, at(second), std::slice::from_ref(kind)).unwrap();
        }
        let journal = store.read_run(&handle.run).unwrap();
        assert_eq!(journal.plan, new_run("r1").plan_bytes);
        assert_eq!(journal.torn, None);
        let read: Vec<_> = journal.records.iter().skip(1).map(|record| &record.kind).collect();
        assert_eq!(read, kinds.iter().collect::<Vec<_>>());
        for (record, second) in journal.records.iter().zip(0_u64..) {
            assert_eq!((record.seq, record.at), (second + 1, at(second.cast_signed())));
            assert_eq!(record.epoch, handle.epoch);
        }
        let RecordKind::RunOpened { plan_digest, .. } = &journal.records[0].kind else {
            panic!("the first record opens the run")
        };
        assert_eq!(store.blob(plan_digest).unwrap(), Some(journal.plan));
    });
}

#[test]
fn a_batch_is_as_good_as_single_records() {
    over_both(|open| {
        let mut store = open();
        store.open_run(new_run("r1")).unwrap();
        assert_eq!(store.append(&run("r1"), 1, at(1), &a_life()).unwrap(), 8);
        assert_eq!(store.read_run(&run("r1")).unwrap().records.len(), 8);
        assert_eq!(store.runs().unwrap().runs[0].records, 8);
    });
}

#[test]
fn an_append_names_the_last_record() {
    over_both(|open| {
        let mut store = open();
        let r1 = store.open_run(new_run("r1")).unwrap().run;
        for wrong in [0, 2, u64::MAX] {
            let error = store.append(&r1, wrong, at(1), &[STOP]).unwrap_err();
            assert!(matches!(error, AppendError::Conflict { actual: 1 }), "{error}");
        }
        assert_eq!(store.append(&r1, 1, at(1), &[]).unwrap(), 1);
        assert_eq!(store.append(&r1, 1, at(1), &[STOP]).unwrap(), 2);
        let error = store.append(&r1, 1, at(1), &[STOP]).unwrap_err();
        assert!(matches!(error, AppendError::Conflict { actual: 2 }), "{error}");
        assert_eq!(store.read_run(&r1).unwrap().records.len(), 2);
    });
}

#[test]
fn only_runs_of_this_process_are_appended_to() {
    over_both(|open| {
        let mut store = open();
        let error = store.append(&run("r1"), 0, at(1), &[STOP]).unwrap_err();
        assert!(matches!(error, AppendError::NotOpen { .. }), "{error}");
        store.open_run(new_run("r1")).unwrap();
        drop(store);
        let mut store = open();
        let error = store.append(&run("r1"), 1, at(1), &[STOP]).unwrap_err();
        assert!(matches!(error, AppendError::NotOpen { .. }), "{error}");
    });
}

#[test]
fn limits_are_kept() {
    over_both(|open| {
        let mut store = open();
        let r1 = store.open_run(new_run("r1")).unwrap().run;
        let error = store.append(&r1, 1, at(1), &[STOP, settled(1, 70_000)]).unwrap_err();
        assert!(matches!(error, AppendError::TooLarge { limit: 65_536, .. }), "{error}");
        assert_eq!(store.read_run(&r1).unwrap().records.len(), 1, "nothing of the batch");
        assert_eq!(store.append(&r1, 1, at(1), &[settled(1, 65_000)]).unwrap(), 2);

        let blob = vec![0; 64 * 1024 * 1024 + 1];
        assert!(matches!(store.put_blob(&blob), Err(StoreError::TooLarge { .. })));
        let first = refit_store::NewRun { plan_bytes: blob, ..new_run("r2") };
        assert!(matches!(store.open_run(first), Err(StoreError::TooLarge { .. })));
        assert!(matches!(store.read_run(&run("r2")), Err(StoreError::NoSuchRun { .. })));
    });
}

#[test]
fn a_run_is_opened_once_and_ends_once() {
    over_both(|open| {
        let mut store = open();
        let r1 = store.open_run(new_run("r1")).unwrap().run;
        assert!(matches!(store.open_run(new_run("r1")), Err(StoreError::RunExists { .. })));
        let closed = RecordKind::RunClosed { outcome: RunOutcome::Done };
        let opened = store.read_run(&r1).unwrap().records[0].kind.clone();
        let continued = RecordKind::RunContinued { who: "eve".into() };
        for kinds in [vec![opened], vec![continued], vec![closed.clone(), STOP]] {
            let error = store.append(&r1, 1, at(1), &kinds).unwrap_err();
            assert!(matches!(error, AppendError::Misplaced { .. }), "{error}");
        }
        assert_eq!(store.append(&r1, 1, at(1), &[STOP, closed]).unwrap(), 3);
        let error = store.append(&r1, 3, at(2), &[STOP]).unwrap_err();
        assert!(matches!(error, AppendError::Closed { outcome: RunOutcome::Done }), "{error}");
        let error = store.continue_run(&r1, "bob@ci", at(3)).unwrap_err();
        assert!(matches!(error, StoreError::RunClosed { .. }), "{error}");
    });
}

#[test]
fn another_process_goes_on_and_the_first_is_fenced_off() {
    over_both(|open| {
        let mut store = open();
        let first = store.epoch();
        store.open_run(new_run("r1")).unwrap();
        store.append(&run("r1"), 1, at(1), &[STOP]).unwrap();
        drop(store);

        let mut store = open();
        assert!(store.epoch() > first);
        let continued = store.continue_run(&run("r1"), "bob@ci", at(9)).unwrap();
        assert_eq!(continued.plan, new_run("r1").plan_bytes);
        assert_eq!((continued.dropped, continued.lost), (None, 0));
        assert_eq!((continued.last_seq, continued.epoch), (3, store.epoch()));
        let last = continued.records.last().unwrap();
        assert_eq!(last.kind, RecordKind::RunContinued { who: "bob@ci".into() });
        assert_eq!((last.epoch, last.seq), (store.epoch(), 3));
        assert_eq!(store.append(&run("r1"), 3, at(10), &[STOP]).unwrap(), 4);
        assert!(matches!(
            store.continue_run(&run("r9"), "bob@ci", at(9)),
            Err(StoreError::NoSuchRun { .. })
        ));
    });
}

#[test]
fn an_interrupted_run_goes_on() {
    over_both(|open| {
        let mut store = open();
        store.open_run(new_run("r1")).unwrap();
        store.append(&run("r1"), 1, at(1), &a_life()).unwrap();
        let interrupted = RunState::Closed { outcome: RunOutcome::Interrupted };
        assert_eq!(store.runs().unwrap().runs[0].state, interrupted);
        drop(store);
        let mut store = open();
        let last = store.continue_run(&run("r1"), "bob@ci", at(9)).unwrap().last_seq;
        assert_eq!(store.runs().unwrap().runs[0].state, RunState::Open);
        store.append(&run("r1"), last, at(10), &[STOP]).unwrap();
    });
}

#[test]
fn runs_are_listed_newest_first() {
    over_both(|open| {
        let mut store = open();
        assert!(store.runs().unwrap().runs.is_empty());
        for (name, second) in [("b", 5), ("c", 7), ("a", 6)] {
            let first = refit_store::NewRun { at: at(second), ..new_run(name) };
            store.open_run(first).unwrap();
        }
        let done = RecordKind::RunClosed { outcome: RunOutcome::Done };
        store.append(&run("a"), 1, at(60), &[done]).unwrap();
        for again in [false, true] {
            if again {
                drop(store);
                store = open();
            }
            let list = store.runs().unwrap();
            assert!(list.unreadable.is_empty());
            let names: Vec<_> = list.runs.iter().map(|summary| summary.run.as_str()).collect();
            assert_eq!(names, ["c", "a", "b"]);
            let a = &list.runs[1];
            assert_eq!((a.records, a.opened_at, a.last_at), (2, at(6), at(60)));
            assert_eq!(a.state, RunState::Closed { outcome: RunOutcome::Done });
            assert_eq!((a.who.as_str(), a.fleet.as_str()), ("ada@laptop", "acme"));
            assert_eq!(list.runs[0].state, RunState::Open);
        }
    });
}

#[test]
fn in_memory_a_second_process_fences_off_the_first() {
    let mut first = MemoryStore::new();
    first.open_run(new_run("r1")).unwrap();
    let mut second = MemoryStore::open(&first.disk());
    let error = first.append(&run("r1"), 1, at(1), &[STOP]).unwrap_err();
    assert!(matches!(error, AppendError::Fenced { newer_epoch: 2 }), "{error}");
    assert!(matches!(first.open_run(new_run("r2")), Err(StoreError::Fenced { .. })));
    assert_eq!(second.continue_run(&run("r1"), "bob@ci", at(2)).unwrap().last_seq, 2);
}

#[test]
fn in_memory_a_crash_in_any_write_loses_nothing_that_was_acknowledged() {
    for point in [CrashPoint::Before, CrashPoint::Partway, CrashPoint::After] {
        for write in 1..=6 {
            let mut store = MemoryStore::crashing_at(&MemoryDisk::new(), write, point);
            let mut acknowledged = 0;
            if store.open_run(new_run("r1")).is_ok() {
                acknowledged = 1;
                while let Ok(seq) = store.append(&run("r1"), acknowledged, at(1), &[STOP, STOP]) {
                    acknowledged = seq;
                }
            }
            assert!(store.has_crashed());
            assert!(store.put_blob(b"x").is_err(), "the dead do nothing");
            store.crash();
            let continued = match store.continue_run(&run("r1"), "bob@ci", at(2)) {
                Ok(continued) => continued,
                Err(error) => {
                    assert!(write == 1 && point != CrashPoint::After, "{error}");
                    continue;
                }
            };
            let there = continued.records.len() as u64 - 1;
            let batch = if write == 1 { 1 } else { 2 };
            match point {
                CrashPoint::Before => assert_eq!(there, acknowledged),
                CrashPoint::Partway => {
                    assert!((acknowledged..acknowledged + batch).contains(&there));
                    assert_eq!(continued.dropped.is_some(), write > 1);
                }
                CrashPoint::After => assert_eq!(there, acknowledged + batch),
            }
            assert!(store.append(&run("r1"), continued.last_seq, at(3), &[STOP]).is_ok());
        }
    }
}

#[test]
fn in_memory_writes_fail_on_demand() {
    let mut store = MemoryStore::new();
    store.open_run(new_run("r1")).unwrap();
    store.fail_next(2);
    for _ in 0..2 {
        let error = store.append(&run("r1"), 1, at(1), &[STOP]).unwrap_err();
        assert!(matches!(error, AppendError::Io { .. }), "{error}");
    }
    assert_eq!(store.append(&run("r1"), 1, at(1), &[STOP]).unwrap(), 2);
}
