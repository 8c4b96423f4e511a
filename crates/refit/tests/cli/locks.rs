//! One process writes at a time, and everybody may look.

use crate::support::Fleet;

const SLOW: [&str; 4] = ["apply", "--auto-approve", "--simulation-speed", "20"];

#[test]
fn a_second_apply_names_the_holder_and_looking_goes_on() {
    let fleet = Fleet::starter();
    let mut running = fleet.start(&SLOW);
    running.until_it_says("control-plane 1.35.8 -> 1.36.4  starts");
    let process = format!("process {}", running.id());
    let run = fleet.last_run();
    for command in [&["apply", "--auto-approve"][..], &["state", "unlock"]] {
        let refused =
            fleet.run(command).exits(7).says(&["`refit apply` of tester@", &process, &run]);
        assert_eq!(refused.stdout, "");
    }
    fleet
        .run(&["apply", "--auto-approve", "--lock-timeout", "1s"])
        .exits(7)
        .says(&["Waiting for the lock", &process]);
    fleet.run(&["status"]).exits(0).shows(&[&run, "under way", "running"]);
    fleet.run(&["history"]).exits(0).shows(&[&run]);
    fleet.run(&["show", &run]).exits(0).shows(&[&run]);
    fleet.run(&["state", "list"]).exits(0).shows(&[&run]).says(&["Locked by", &process]);
    // An apiserver that is just being replaced blocks a new plan.
    let plan = fleet.run(&["plan"]).shows(&["dev-1"]);
    let hint = "hint: a run is in progress";
    assert!(matches!(plan.code, Some(0 | 3)), "{plan:?}");
    assert_eq!(plan.code == Some(3), plan.stderr.contains(hint), "{plan:?}");
    fleet.run(&["observe"]).exits(0);
    fleet.run(&["validate"]).exits(0);

    // The lock goes with its process, however that ends.
    assert!(running.kill());
    fleet.run(&["state", "unlock"]).exits(0).says(&["Removed what was left of the lock", &process]);
    fleet.run(&["state", "unlock"]).exits(0).says(&["Nothing is locked."]);
    fleet.apply(&["--auto-approve"]).exits(0).says(&["Continuing run", &run]);
}

#[test]
fn a_dead_process_holds_nothing() {
    let fleet = Fleet::starter();
    let mut running = fleet.start(&SLOW);
    running.until_it_says("starts");
    assert!(running.kill());
    fleet.apply(&["--auto-approve"]).exits(0).says(&["Continuing run"]);
    fleet.nothing_is_left_to_do();
}

#[test]
fn an_apply_waits_for_the_lock_when_asked_to() {
    let fleet = Fleet::starter();
    let mut first = fleet.start(&["apply", "--auto-approve", "--simulation-speed", "1000"]);
    first.until_it_says("starts");
    let second = fleet.apply(&["--auto-approve", "--lock-timeout", "60s"]).exits(0);
    assert!(second.stderr.contains("Waiting for the lock that `refit apply` of tester@"));
    assert!(second.stdout.contains("No changes."), "{}", second.stdout);
    first.ends().exits(0);
    assert_eq!(fleet.history().len(), 1);
}

#[test]
fn a_plan_that_is_blocked_while_a_run_lives_says_so() {
    let fleet = Fleet::with_blocked_cluster();
    let alone = fleet.run(&["plan"]).exits(3);
    assert!(!alone.stderr.contains("in progress"), "{}", alone.stderr);
    let mut running = fleet.start(&SLOW);
    running.until_it_says("starts");
    let run = fleet.last_run();
    let process = format!("process {}", running.id());
    fleet.run(&["plan"]).exits(3).says(&[
        "hint: a run is in progress, and what blocks may be its doing: `refit apply` of tester@",
        &process,
        &run,
        ") since 20",
        "`refit status` shows how far it is",
    ]);
    let snapshot = fleet.run(&["observe", "-o", "seen.json"]).exits(0);
    assert!(!snapshot.stderr.contains("in progress"), "{}", snapshot.stderr);
    let offline = fleet.run(&["plan", "--snapshot", "seen.json"]).exits(3);
    assert!(!offline.stderr.contains("in progress"), "a snapshot may be of another time");
    assert!(running.kill());
    let dead = fleet.run(&["plan"]).exits(3);
    assert!(!dead.stderr.contains("in progress"), "{}", dead.stderr);
}
