//! What every released version of refit wrote can be read, and is still written like that.
//!
//! A fixture never changes once its version is released. Before that,
//! `cargo test -p refit-store --test fixtures -- --ignored` makes it again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{at, new_run, open, run};
use refit_model::{JournalRecord, RecordKind, RunOutcome};
use refit_store::{MemoryStore, NewRun, RunState, StateStore as _, read_run, read_runs};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/1.0").join(name)
}

/// What the fixture's journal says, as text: the test knows no more than a reader would.
fn records() -> Vec<JournalRecord> {
    serde_json::from_str(&fs::read_to_string(fixture("records.json")).unwrap()).unwrap()
}

fn first() -> NewRun {
    NewRun { plan_bytes: b"{\"format-version\":\"1.0\"}\n".to_vec(), ..new_run("r1") }
}

/// The same journal, written by this version: each record alone, the continuing one by a second
/// process.
fn written_now(records: &[JournalRecord]) -> Vec<u8> {
    let mut store = MemoryStore::new();
    let mut last = store.open_run(first()).unwrap().last_seq;
    for record in &records[1..] {
        last = match &record.kind {
            RecordKind::RunContinued { who } => {
                store.crash();
                store.continue_run(&run("r1"), who, record.at).unwrap().last_seq
            }
            kind => store.append(&run("r1"), last, record.at, std::slice::from_ref(kind)).unwrap(),
        };
    }
    store.journal_bytes(&run("r1")).unwrap()
}

#[test]
fn format_1_0_is_read() {
    let journal = read_run(&fixture("state"), &run("r1")).unwrap();
    assert_eq!((journal.format.as_str(), journal.torn), ("1.0", None));
    assert_eq!(journal.plan, first().plan_bytes);
    assert_eq!(journal.records, records());
    let runs = read_runs(&fixture("state")).unwrap();
    assert_eq!(runs.runs[0].state, RunState::Closed { outcome: RunOutcome::Interrupted });
}

#[test]
fn every_kind_of_record_is_in_the_fixture() {
    for kind in ALL {
        let there = |record: &JournalRecord| kind_of(&record.kind) == kind;
        assert!(records().iter().any(there), "no {kind} in records.json");
    }
}

const ALL: [&str; 9] = [
    "run-opened",
    "run-continued",
    "action-started",
    "intent",
    "settled",
    "progress",
    "action-ended",
    "stop-asked",
    "run-closed",
];

/// A new kind of record does not compile until somebody has thought of the fixture.
fn kind_of(kind: &RecordKind) -> &'static str {
    match kind {
        RecordKind::RunOpened { .. } => "run-opened",
        RecordKind::RunContinued { .. } => "run-continued",
        RecordKind::ActionStarted { .. } => "action-started",
        RecordKind::Intent { .. } => "intent",
        RecordKind::Settled { .. } => "settled",
        RecordKind::Progress { .. } => "progress",
        RecordKind::ActionEnded { .. } => "action-ended",
        RecordKind::StopAsked { .. } => "stop-asked",
        RecordKind::RunClosed { .. } => "run-closed",
    }
}

#[test]
fn format_1_0_is_written_as_it_was() {
    let there = fs::read(fixture("state/runs/r1.journal")).unwrap();
    assert!(written_now(&records()) == there, "the format has changed without a new version");
}

#[test]
fn format_1_0_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("runs")).unwrap();
    let name = "runs/r1.journal";
    fs::copy(fixture("state").join(name), dir.path().join(name)).unwrap();
    let mut store = open(dir.path());
    assert!(store.epoch() > 2, "higher than any in the journal");
    let before = records().len() as u64;
    let continued = store.continue_run(&run("r1"), "bob@ci", at(99)).unwrap();
    assert_eq!(continued.last_seq, before + 1);
}

#[test]
#[ignore = "writes the fixture of a version that is not released yet"]
fn make_again() {
    let runs = fixture("state/runs");
    fs::create_dir_all(&runs).unwrap();
    fs::write(runs.join("r1.journal"), written_now(&records())).unwrap();
}
