//! Old runs are removed, and never one that has not ended.

use std::fs;

use refit_model::{RecordKind, RunOutcome};
use refit_store::{NewRun, OpenOptions, RUNS_KEPT, SledStore, StateStore};

use crate::support::Fleet;

/// A fleet with so many runs that have ended, and their ids, the newest first.
fn with_runs(count: usize) -> (Fleet, Vec<String>) {
    let fleet = Fleet::starter();
    for _ in 0..count {
        fleet.apply(&["--auto-approve", "--replace", "dev-1/workers"]).exits(0);
    }
    let runs = runs(&fleet);
    assert_eq!(runs.len(), count);
    (fleet, runs)
}

fn runs(fleet: &Fleet) -> Vec<String> {
    fleet.history().iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn so_many_runs_are_kept() {
    let (fleet, all) = with_runs(4);
    fleet.run(&["state", "prune", "--keep-runs", "2"]).exits(0).says(&["journals of 2 runs"]);
    assert_eq!(runs(&fleet), all[..2]);
    fleet.run(&["state", "prune", "--keep-runs", "2"]).exits(0).says(&["Nothing to remove."]);
    // Nothing of the others is left, and nothing is told as lost.
    let listed = fleet.run(&["state", "list", "--format", "json"]).exits(0).json();
    assert_eq!(listed["blobs"].as_array().unwrap().len(), 2, "{listed}");
    let ended = fleet.apply(&["--auto-approve"]).exits(0);
    assert!(!ended.stderr.contains("lost"), "{}", ended.stderr);
    fleet.run(&["show", &all[3]]).exits(64);
}

#[test]
fn runs_of_a_time_are_kept() {
    let (fleet, all) = with_runs(3);
    fleet.run(&["state", "prune", "--keep", "90d"]).exits(0).says(&["Nothing to remove."]);
    assert_eq!(runs(&fleet), all);
    // Each takes some ten minutes of the simulated fleet's time.
    fleet.run(&["state", "prune", "--keep", "1s"]).exits(0).says(&["Removed the journal"]);
    assert!(runs(&fleet).len() <= 1, "{:?}", runs(&fleet));
}

#[test]
fn a_run_that_has_not_ended_stays() {
    let (fleet, _) = with_runs(1);
    let mut running = fleet.start(&[
        "apply",
        "--auto-approve",
        "--replace",
        "dev-1/workers",
        "--simulation-speed",
        "20",
    ]);
    running.until_it_says("starts");
    let open = fleet.last_run();
    fleet.run(&["state", "prune", "--keep-runs", "0"]).exits(7).says(&["`refit apply` of tester@"]);
    assert!(running.kill());
    fleet.run(&["state", "prune", "--keep-runs", "0"]).exits(0).says(&["journal of 1 run"]);
    assert_eq!(runs(&fleet), [open]);
    for wrong in [&["state", "prune"][..], &["state", "prune", "--keep", "1d", "--keep-runs", "1"]]
    {
        fleet.run(wrong).exits(64);
    }
}

/// Adds so many runs that have ended to the state, the first the oldest.
fn add_runs(fleet: &Fleet, count: usize) {
    let mut store = SledStore::open(&fleet.file("state"), OpenOptions::default()).unwrap();
    for number in 0..count {
        let at = format!("2026-10-01T{:02}:{:02}:00Z", number / 60, number % 60).parse().unwrap();
        let run = format!("20261001T{:02}{:02}00-{number:04}", number / 60, number % 60);
        let run: refit_model::RunId = run.parse().unwrap();
        let first = NewRun {
            run: run.clone(),
            fleet: "my-fleet".parse().unwrap(),
            plan: "0123456789ab".parse().unwrap(),
            plan_bytes: b"a plan".to_vec(),
            who: "tester@host".to_owned(),
            at,
        };
        let handle = store.open_run(first).unwrap();
        let closed = [RecordKind::RunClosed { outcome: RunOutcome::Done }];
        store.append(&run, handle.last_seq, at, &closed).unwrap();
    }
}

#[test]
fn an_apply_keeps_the_newest_500_runs() {
    assert_eq!(RUNS_KEPT, 500, "the documentation says so");
    let fleet = Fleet::starter();
    add_runs(&fleet, RUNS_KEPT + 2);
    let oldest = runs(&fleet).split_off(RUNS_KEPT);
    assert_eq!(oldest.len(), 2);
    fleet.apply(&["--auto-approve"]).exits(0).says(&["Removed the journals of 2 runs"]);
    let left = runs(&fleet);
    assert_eq!(left.len(), RUNS_KEPT + 1, "and the new one");
    assert!(!left.iter().any(|run| oldest.contains(run)), "{oldest:?}");
}

#[test]
fn damaged_journals_that_were_set_aside_are_removed_with_runs_of_their_age() {
    let fleet = Fleet::starter();
    add_runs(&fleet, 3);
    let all = runs(&fleet);
    let aside = |name: &str| fleet.file("state/runs").join(name);
    let old = aside("20260901T000000-0000.journal.damaged-1");
    let new = aside("20261002T000000-0000.journal.damaged-1");
    let other = aside("20260901T000000-0000.journal.copy");
    for path in [&old, &new, &other] {
        fs::write(path, "damaged").unwrap();
    }
    // Each set aside counts as a run of its time.
    let prune = |keep: &str| fleet.run(&["state", "prune", "--keep-runs", keep]).exits(0);
    prune("5").says(&["Nothing to remove."]);
    prune("4").says(&["Removed 1 damaged journal that was set aside, 7 bytes."]);
    assert!(!old.exists() && new.exists());
    prune("2").says(&["Removed the journals of 2 runs"]);
    assert_eq!(runs(&fleet), all[..1]);
    // By age: the simulated fleet is at the beginning of November.
    let prune = |keep: &str| fleet.run(&["state", "prune", "--keep", keep]).exits(0);
    prune("90d").says(&["Nothing to remove."]);
    prune("1d").says(&["the journal of 1 run and 1 damaged journal that was set aside"]);
    assert!(!new.exists() && other.exists() && runs(&fleet).is_empty());
}
