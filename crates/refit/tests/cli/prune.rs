//! Old runs are removed, and never one that has not ended.

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
