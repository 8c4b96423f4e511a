//! The index is made again when sled's files are damaged, and nobody panics.
//!
//! The probe is this test's binary, started again; `child_probes` is its part.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Dice, at, new_run, open, options, run, settled};
use refit_model::Digest;
use refit_store::{
    BlobListing, Lost, OpenOptions, Probe, ProbeResult, Recovery, SledStore, StateStore as _, list,
    probe_in_this_process, show,
};

const INDEX: &str = "REFIT_TEST_STORE_INDEX";
const RUNS: usize = 20;

#[test]
fn child_probes() {
    let Some(index) = std::env::var_os(INDEX) else { return };
    assert_eq!(probe_in_this_process(Path::new(&index)), ProbeResult::Sound);
}

fn probe() -> Probe {
    Box::new(|index| {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_probes"])
            .env(INDEX, index)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        if status.success() {
            ProbeResult::Sound
        } else {
            ProbeResult::Damaged { problem: format!("the probe ended with {status}") }
        }
    })
}

/// A state directory with runs, and blobs that fill some of sled's segments.
fn state() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    for n in 0..RUNS {
        let handle = store.open_run(new_run(&format!("r{n}"))).unwrap();
        for seq in 1..6 {
            store.append(&handle.run, seq, at(1), &[settled(seq, 500)]).unwrap();
        }
    }
    let mut dice = Dice(3);
    let small = std::iter::repeat_n(0, 600).map(|_: u32| 1000);
    for size in small.chain([10, 30_000, 400_000, 900_000]) {
        let bytes: Vec<u8> = (0..size).map(|_| dice.below(256).to_le_bytes()[0]).collect();
        store.put_blob(&bytes).unwrap();
    }
    drop(store);
    dir
}

/// Waits for sled's threads, which end a moment after the store was dropped, by opening again.
fn settle(dir: &Path) {
    drop(open(dir));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, to).map(drop).unwrap() }
    }
}

/// The largest file of sled.
fn largest(dir: &Path) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(dir.join("index.sled"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort_by_key(|path| fs::metadata(path).unwrap().len());
    files.pop().unwrap()
}

fn everything_of_the_runs_is_there(dir: &Path, probe: Option<Probe>) -> bool {
    let mut store = SledStore::open(dir, OpenOptions { probe, ..options() }).unwrap();
    let runs = store.runs().unwrap();
    assert_eq!((runs.runs.len(), runs.unreadable.len()), (RUNS, 0));
    for n in 0..RUNS {
        let first = new_run(&format!("r{n}"));
        let plan = store.blob(&Digest::of_bytes(&first.plan_bytes)).unwrap();
        assert_eq!(plan, Some(first.plan_bytes));
        assert_eq!(store.read_run(&first.run).unwrap().records.len(), 6);
    }
    let continued = store.continue_run(&run("r0"), "bob@ci", at(9)).unwrap();
    assert_eq!((continued.lost, continued.last_seq), (0, 7));
    store.append(&run("r0"), 7, at(10), &[settled(7, 10)]).unwrap();
    let recovery = store.recovery().clone();
    if let Some(aside) = &recovery.quarantined {
        assert!(aside.exists() && recovery.problem.is_some());
        assert!(store.put_blob(b"a new index takes blobs").is_ok());
    }
    recovery.quarantined.is_some()
}

/// Copies the directory and damages sled's log: a hole of zeros, or the end cut off.
fn damaged(sound: &Path, dice: &mut Dice, hole: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(sound, dir.path());
    let path = largest(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    let begin = usize::try_from(dice.below(bytes.len() as u64)).unwrap();
    if hole {
        let end = (begin + (512 << dice.below(8))).min(bytes.len());
        bytes[begin..end].fill(0);
    } else {
        bytes.truncate(begin);
    }
    fs::write(&path, bytes).unwrap();
    dir
}

#[test]
fn a_damaged_index_is_set_aside_and_made_again() {
    let sound = state();
    settle(sound.path());
    let mut dice = Dice(5);
    let mut made_again = 0;
    for round in 0..16 {
        let dir = damaged(sound.path(), &mut dice, round % 2 == 0);
        made_again += u32::from(everything_of_the_runs_is_there(dir.path(), Some(probe())));
        let store = SledStore::open(dir.path(), OpenOptions { probe: Some(probe()), ..options() });
        assert_eq!(store.unwrap().recovery().quarantined, None, "what was made again is sound");
    }
    assert!(made_again > 2, "{made_again} rounds damaged anything that sled minds");
}

#[test]
fn without_a_probe_damage_does_not_panic_either() {
    let sound = state();
    settle(sound.path());
    let mut dice = Dice(7);
    for _ in 0..10 {
        let dir = damaged(sound.path(), &mut dice, true);
        // Damage may show only while the index is in use: then it is made again the next time.
        everything_of_the_runs_is_there(dir.path(), None);
        let store = open(dir.path());
        assert_eq!(store.runs().unwrap().runs.len(), RUNS);
    }
}

#[test]
fn without_a_probe_an_index_of_rubbish_is_made_again_too() {
    let sound = state();
    settle(sound.path());
    for content in [&b"rubbish"[..], &[0xff; 3000], &[]] {
        let dir = tempfile::tempdir().unwrap();
        copy(sound.path(), dir.path());
        for name in ["db", "conf"] {
            fs::write(dir.path().join("index.sled").join(name), content).unwrap();
        }
        everything_of_the_runs_is_there(dir.path(), None);
    }
    let dir = tempfile::tempdir().unwrap();
    copy(sound.path(), dir.path());
    fs::remove_dir_all(dir.path().join("index.sled")).unwrap();
    assert!(!everything_of_the_runs_is_there(dir.path(), None), "a missing index is just made");
}

/// Overwrites sled's file with something else, once it is closed; with or without sled's own
/// summary of it, without which rubbish looks like an empty database.
fn rubbish(dir: &Path, content: &[u8], keep_summary: bool) {
    settle(dir);
    fs::write(dir.join("index.sled/db"), content).unwrap();
    if keep_summary {
        return;
    }
    for entry in fs::read_dir(dir.join("index.sled")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("snap.") {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn an_index_that_sled_takes_for_empty_is_set_aside_and_what_is_gone_is_named() {
    for (with_probe, keep_summary) in [(true, true), (true, false), (false, true), (false, false)] {
        for content in [b"garbage".to_vec(), vec![0x5a; 100_000], vec![0; 600_000], vec![]] {
            let dir = tempfile::tempdir().unwrap();
            let mut store = open(dir.path());
            store.open_run(new_run("r1")).unwrap();
            let snapshot = store.put_blob(b"a snapshot").unwrap();
            drop(store);
            rubbish(dir.path(), &content, keep_summary);
            let options = || OpenOptions { probe: with_probe.then(probe), ..options() };

            let listed = list(dir.path(), with_probe.then(probe).as_ref()).unwrap();
            assert!(matches!(listed.blobs, BlobListing::Unreadable { .. }), "{:?}", listed.blobs);

            let store = SledStore::open(dir.path(), options()).unwrap();
            let recovery = store.recovery().clone();
            assert!(recovery.problem.is_some());
            assert!(recovery.quarantined.unwrap().join("db").exists());
            let gone = refit_store::BlobInfo { digest: snapshot, bytes: 10 };
            assert_eq!(recovery.lost, Lost::Known(vec![gone]), "the plan is made again");
            let plan = Digest::of_bytes(&new_run("r1").plan_bytes);
            assert_eq!(store.blob(&plan).unwrap(), Some(new_run("r1").plan_bytes));
            assert_eq!(store.runs().unwrap().runs.len(), 1);
            drop(store);

            let mut store = SledStore::open(dir.path(), options()).unwrap();
            assert_eq!(*store.recovery(), Recovery::default(), "it is told once");
            assert_eq!(store.put_blob(b"a snapshot").unwrap(), snapshot, "and can be kept again");
        }
    }
}

#[test]
fn without_its_list_of_blobs_nobody_knows_what_a_damaged_index_held() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).put_blob(b"a snapshot").unwrap();
    rubbish(dir.path(), b"garbage", false);
    fs::remove_file(dir.path().join("index.blobs")).unwrap();
    assert_eq!(open(dir.path()).recovery().lost, Lost::AtLeast(Vec::new()));

    let listed = open(dir.path()).put_blob(b"a report").unwrap();
    rubbish(dir.path(), b"garbage", false);
    let text = fs::read_to_string(dir.path().join("index.blobs")).unwrap();
    fs::write(dir.path().join("index.blobs"), format!("{text}no digest 3\n\u{0}")).unwrap();
    let gone = refit_store::BlobInfo { digest: listed, bytes: 8 };
    assert_eq!(open(dir.path()).recovery().lost, Lost::AtLeast(vec![gone]));
    assert_eq!(*open(dir.path()).recovery(), Recovery::default());
}

#[test]
fn blobs_that_sled_dropped_without_a_word_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let kept = store.put_blob(b"a snapshot").unwrap();
    drop(store);
    let other = Digest::of_bytes(b"another");
    let path = dir.path().join("index.blobs");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{other} 7\n")).unwrap();
    let store = open(dir.path());
    let lost = Lost::Known(vec![refit_store::BlobInfo { digest: other, bytes: 7 }]);
    assert_eq!(*store.recovery(), Recovery { lost, ..Recovery::default() });
    assert!(store.blob(&kept).unwrap().is_some(), "the index itself is sound");
}

#[test]
fn a_probe_that_finds_damage_or_cannot_run() {
    let dir = state();
    let unavailable: Probe = Box::new(|_| ProbeResult::Unavailable { problem: "no exec".into() });
    assert!(!everything_of_the_runs_is_there(dir.path(), Some(unavailable)));
    let damaged: Probe = Box::new(|_| ProbeResult::Damaged { problem: "signal 6".into() });
    let store = SledStore::open(dir.path(), OpenOptions { probe: Some(damaged), ..options() });
    let store = store.unwrap();
    assert_eq!(store.recovery().problem.as_deref(), Some("signal 6"));
    assert_eq!(store.runs().unwrap().runs.len(), RUNS);
    drop(store);
    let listing = list(dir.path(), Some(&probe())).unwrap();
    assert_eq!(listing.quarantined.len(), 1);
    assert_eq!(listing.journals.len(), RUNS);
    let BlobListing::Listed(blobs) = listing.blobs else { panic!("{:?}", listing.blobs) };
    assert_eq!(blobs.len(), RUNS, "the plans, and no other blobs");
}

#[test]
fn an_index_that_failed_in_use_is_made_again() {
    let dir = state();
    fs::write(dir.path().join("index.suspect"), "it failed").unwrap();
    assert!(everything_of_the_runs_is_there(dir.path(), None));
    assert!(!dir.path().join("index.suspect").exists());
}

#[test]
fn the_index_follows_journals_that_come_and_go() {
    let dir = state();
    fs::remove_file(dir.path().join("runs/r3.journal")).unwrap();
    fs::write(dir.path().join("runs/r9.journal.new"), "half").unwrap();
    let store = open(dir.path());
    assert_eq!(store.runs().unwrap().runs.len(), RUNS - 1);
    assert!(!dir.path().join("runs/r9.journal.new").exists());
}

#[test]
fn a_newer_index_is_refused() {
    let dir = state();
    settle(dir.path());
    let index = dir.path().join("index.sled");
    for attempt in 0.. {
        match sled::open(&index) {
            Ok(db) => {
                db.open_tree("meta").unwrap().insert("format", "1.1").unwrap();
                db.flush().unwrap();
                break;
            }
            Err(error) => assert!(attempt < 500, "{error}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let open = SledStore::open(dir.path(), OpenOptions { probe: Some(probe()), ..options() });
    let text = open.unwrap_err().to_string();
    assert!(text.contains("format 1.1") && text.contains("format 1.0"), "{text}");
    assert!(index.exists(), "it is not set aside");
}

#[test]
fn blobs_are_shown_by_the_beginning_of_their_digest() {
    let dir = state();
    let digest = open(dir.path()).put_blob(b"a snapshot").unwrap();
    let shown = show(dir.path(), &digest.short(), Some(&probe())).unwrap();
    let expected = refit_store::Shown::Blob { digest, bytes: b"a snapshot".to_vec() };
    assert_eq!(shown, Some(expected));
    assert_eq!(show(dir.path(), "ffffffffffff", None).unwrap(), None);
    let shown = show(dir.path(), "r7", None).unwrap();
    assert!(matches!(shown, Some(refit_store::Shown::Run(journal)) if journal.run == run("r7")));
}
