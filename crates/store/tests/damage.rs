//! What is done about files that are not as they were written.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{a_life, at, new_run, open, options, run, settled};
use proptest::prelude::*;
use refit_store::journal::{FORMAT, JournalError, MAGIC, parse};
use refit_store::{
    AppendError, MemoryStore, RunJournal, SledStore, StateStore as _, StoreError, list, read_run,
    read_runs, show,
};

/// A journal with single records and, at its end, a batch of two.
fn journal() -> Vec<u8> {
    let mut store = MemoryStore::new();
    store.open_run(new_run("r1")).unwrap();
    let kinds = a_life();
    let mut last = 1;
    for kind in &kinds[..3] {
        last = store.append(&run("r1"), last, at(1), std::slice::from_ref(kind)).unwrap();
    }
    store.append(&run("r1"), last, at(2), &kinds[3..5]).unwrap();
    store.journal_bytes(&run("r1")).unwrap()
}

/// Where each frame of a sound journal begins, and where the last one ends.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut offset = MAGIC.len() + FORMAT.len() + 1;
    let mut starts = vec![offset];
    while offset < bytes.len() {
        let length = u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap());
        offset += 8 + length as usize;
        starts.push(offset);
    }
    starts
}

/// Only what was read from the beginning on, never something else.
fn is_prefix(found: &RunJournal, whole: &RunJournal) {
    assert_eq!(found.records[..], whole.records[..found.records.len()]);
    assert_eq!(found.plan, whole.plan);
}

#[test]
fn cut_anywhere_the_journal_ends_earlier() {
    let bytes = journal();
    let whole = parse(&bytes).unwrap();
    let frames = frames(&bytes);
    for length in 0..bytes.len() {
        // The journal is created with the plan and the first record, at once.
        if length < frames[2] {
            assert!(matches!(parse(&bytes[..length]), Err(JournalError::Damaged { .. })));
            continue;
        }
        let found = parse(&bytes[..length]).unwrap();
        is_prefix(&found, &whole);
        let records = frames.iter().filter(|end| **end <= length).count() - 2;
        assert_eq!(found.records.len(), records);
        assert_eq!(found.torn.is_some(), !frames.contains(&length));
        assert_eq!(usize::try_from(found.bytes).unwrap(), frames[records + 1]);
    }
}

#[test]
fn a_flipped_bit_is_a_torn_tail_in_the_last_write_and_damage_before() {
    let bytes = journal();
    let whole = parse(&bytes).unwrap();
    let frames = frames(&bytes);
    let last_write = frames[frames.len() - 3];
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1 << bit;
            let found = parse(&flipped);
            if position >= last_write {
                let found = found.unwrap();
                is_prefix(&found, &whole);
                let torn = found.torn.unwrap();
                let begin = frames.iter().rev().find(|start| **start <= position).unwrap();
                assert_eq!(usize::try_from(torn.offset).unwrap(), *begin);
            } else if position >= frames[0] {
                let Err(JournalError::Damaged { offset, .. }) = found else {
                    panic!("bit {bit} of byte {position} is not noticed: {found:?}")
                };
                let begin = frames.iter().rev().find(|start| **start <= position).unwrap();
                assert_eq!(usize::try_from(offset).unwrap(), *begin);
            } else {
                // `1.0` can become another version, and is refused as such.
                assert!(found.is_err(), "bit {bit} of byte {position} is not noticed");
            }
        }
    }
}

#[test]
fn what_power_cuts_leave_behind_is_a_torn_tail() {
    let bytes = journal();
    let whole = parse(&bytes).unwrap();
    let frames = frames(&bytes);
    // Zeros at the end, and zeros in place of the first record of the last batch.
    for zeros in [1, 7, 8, 9, 4096] {
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + zeros, 0);
        let found = parse(&longer).unwrap();
        assert_eq!(found.records, whole.records);
        assert_eq!(found.torn.unwrap().bytes, zeros as u64);
    }
    let mut holed = bytes.clone();
    holed[frames[frames.len() - 3]..frames[frames.len() - 2]].fill(0);
    assert_eq!(parse(&holed).unwrap().records.len(), whole.records.len() - 2);
}

#[test]
fn frames_that_were_moved_or_removed_are_noticed() {
    let bytes = journal();
    let starts = frames(&bytes);
    let frame = |n: usize| &bytes[starts[n]..starts[n + 1]];
    let head = &bytes[..starts[2]];
    let cases: [(&str, Vec<&[u8]>); 4] = [
        ("removed", vec![frame(3), frame(4)]),
        ("swapped", vec![frame(3), frame(2)]),
        ("twice", vec![frame(2), frame(2)]),
        ("another plan", vec![frame(0)]),
    ];
    for (case, tail) in cases {
        let bytes = [head, &tail.concat()].concat();
        assert!(matches!(parse(&bytes), Err(JournalError::Damaged { .. })), "{case}");
    }
    let mut other = MemoryStore::new();
    other.open_run(refit_store::NewRun { plan_bytes: b"other".to_vec(), ..new_run("r1") }).unwrap();
    let other = other.journal_bytes(&run("r1")).unwrap();
    let end = frames(&other)[1];
    let mixed = [&other[..end], &bytes[starts[1]..]].concat();
    assert!(matches!(parse(&mixed), Err(JournalError::Damaged { .. })), "another run's plan");
}

#[test]
fn versions_are_told() {
    let bytes = journal();
    let with = |version: &str| {
        [format!("{MAGIC}{version}\n").as_bytes(), &bytes[frames(&bytes)[0]..]].concat()
    };
    for newer in ["1.1", "2.0", "0.9"] {
        let error = parse(&with(newer)).unwrap_err();
        assert_eq!(error, JournalError::Format { found: newer.into() });
        assert!(error.to_string().contains(newer) && error.to_string().contains(FORMAT));
    }
    for no_version in ["", "1", "one.two", "1.0.0", "99999999999999999999999.0"] {
        assert!(matches!(parse(&with(no_version)), Err(JournalError::Damaged { .. })));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
        let _ = parse(&[format!("{MAGIC}{FORMAT}\n").as_bytes(), &bytes].concat());
        let _ = parse(&[&journal()[..], &bytes].concat());
    }

    #[test]
    fn no_edit_makes_the_reader_panic_or_invent(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let bytes = journal();
        let mut edited = bytes.clone();
        for (index, byte) in edits {
            *index.get_mut(&mut edited) = byte;
        }
        if let Ok(found) = parse(&edited) {
            is_prefix(&found, &parse(&bytes).unwrap());
        }
    }
}

fn journal_file(dir: &Path) -> PathBuf {
    dir.join("runs/r1.journal")
}

/// A state directory with one run of three records.
fn state() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.open_run(new_run("r1")).unwrap();
    store.append(&run("r1"), 1, at(1), &[settled(1, 100)]).unwrap();
    store.append(&run("r1"), 2, at(2), &[settled(2, 100)]).unwrap();
    drop(store);
    dir
}

#[test]
fn a_torn_tail_is_dropped_and_reported_when_the_run_goes_on() {
    let dir = state();
    let bytes = fs::read(journal_file(dir.path())).unwrap();
    fs::write(journal_file(dir.path()), &bytes[..bytes.len() - 5]).unwrap();

    let seen = read_run(dir.path(), &run("r1")).unwrap();
    assert_eq!((seen.records.len(), seen.torn.is_some()), (2, true));
    assert_eq!(read_runs(dir.path()).unwrap().runs[0].records, 2);

    let mut store = open(dir.path());
    let continued = store.continue_run(&run("r1"), "bob@ci", at(9)).unwrap();
    assert_eq!(continued.records.len(), 3);
    assert_eq!(continued.dropped, seen.torn);
    assert_eq!(continued.lost, 1, "the index had seen the third record");
    store.append(&run("r1"), 3, at(10), &[settled(3, 1)]).unwrap();
    drop(store);
    assert_eq!(read_run(dir.path(), &run("r1")).unwrap().torn, None);
    let again = open(dir.path()).continue_run(&run("r1"), "bob@ci", at(11)).unwrap();
    assert_eq!((again.dropped, again.lost, again.last_seq), (None, 0, 5));
}

#[test]
fn damage_in_the_middle_is_refused_with_the_place_and_what_to_do() {
    let dir = state();
    let path = journal_file(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    let second = frames(&bytes)[2];
    bytes[second + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let mut store = open(dir.path());
    for error in [
        store.read_run(&run("r1")).unwrap_err(),
        store.continue_run(&run("r1"), "bob@ci", at(9)).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("r1.journal is damaged at byte"), "{text}");
        assert!(text.contains(&second.to_string()), "{text}");
        assert!(error.hint().unwrap().contains("backup"));
    }
    assert_eq!(fs::read(&path).unwrap(), bytes, "nothing was touched");
    let runs = read_runs(dir.path()).unwrap();
    assert_eq!((runs.runs.len(), runs.unreadable.len()), (0, 1));
    assert!(store.open_run(new_run("r2")).is_ok(), "other runs are not affected");
}

#[test]
fn a_journal_under_another_name_is_refused() {
    let dir = state();
    fs::copy(journal_file(dir.path()), dir.path().join("runs/r2.journal")).unwrap();
    let error = read_run(dir.path(), &run("r2")).unwrap_err();
    assert!(error.to_string().contains("the journal of run r1"), "{error}");
}

#[test]
fn a_journal_that_changes_or_goes_under_the_writer_stops_it() {
    let dir = state();
    let mut store = open(dir.path());
    let _ = store.continue_run(&run("r1"), "bob@ci", at(9)).unwrap();
    let path = journal_file(dir.path());
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..frames(&bytes)[3]]).unwrap();
    let error = store.append(&run("r1"), 4, at(10), &[settled(3, 1)]).unwrap_err();
    assert!(matches!(error, AppendError::Conflict { actual: 2 }), "{error}");
    fs::remove_file(&path).unwrap();
    let error = store.append(&run("r1"), 4, at(10), &[settled(3, 1)]).unwrap_err();
    assert!(matches!(error, AppendError::Io { .. }), "{error}");
}

#[test]
fn whoever_deletes_the_lock_cannot_have_two_writers() {
    let dir = state();
    let mut first = open(dir.path());
    let _ = first.continue_run(&run("r1"), "ada@laptop", at(9)).unwrap();
    fs::remove_file(dir.path().join("lock")).unwrap();
    // The second cannot have the index too; it is enough that it has become the newer one.
    let epoch = first.epoch() + 1;
    fs::write(dir.path().join("epoch"), format!("{epoch}\n")).unwrap();
    let error = first.append(&run("r1"), 4, at(10), &[settled(3, 1)]).unwrap_err();
    assert!(matches!(error, AppendError::Fenced { newer_epoch } if newer_epoch == epoch));
    assert!(matches!(first.open_run(new_run("r2")), Err(StoreError::Fenced { .. })));
}

#[test]
fn the_epoch_grows_without_its_file() {
    let dir = state();
    let mut store = open(dir.path());
    let _ = store.continue_run(&run("r1"), "ada@laptop", at(9)).unwrap();
    let epoch = store.epoch();
    drop(store);
    for content in [None, Some("not a number"), Some("0")] {
        fs::remove_file(dir.path().join("epoch")).unwrap();
        fs::remove_dir_all(dir.path().join("index.sled")).unwrap();
        if let Some(content) = content {
            fs::write(dir.path().join("epoch"), content).unwrap();
        }
        assert!(open(dir.path()).epoch() > epoch);
    }
}

#[test]
fn directories_that_are_missing_or_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("a/b/state");
    assert!(read_runs(&missing).unwrap().runs.is_empty());
    assert!(matches!(read_run(&missing, &run("r1")), Err(StoreError::NoSuchRun { .. })));
    assert!(list(&missing, None).unwrap().journals.is_empty());
    assert!(show(&missing, "r1", None).unwrap().is_none());
    assert!(!missing.exists(), "readers create nothing");
    drop(open(&missing));
    assert!(missing.exists());

    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = SledStore::open(&file, options()).unwrap_err();
    assert!(error.to_string().starts_with("could not create "), "{error}");
    assert!(error.to_string().contains("file"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_read_only_directory_is_read_and_not_written() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = state();
    let set = |mode| {
        for path in [dir.path().to_owned(), dir.path().join("runs"), dir.path().join("lock")] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set(0o555);
    // For root, modes mean nothing.
    if fs::write(dir.path().join("can-write"), "").is_err() {
        let error = SledStore::open(dir.path(), options()).unwrap_err();
        assert!(error.hint().unwrap().contains("writable"), "{error}");
        assert_eq!(read_runs(dir.path()).unwrap().runs.len(), 1);
        assert_eq!(list(dir.path(), None).unwrap().journals.len(), 1);
    }
    set(0o755);
}
