//! Being asked to stop: gently, less gently, by a machine.

use std::time::{Duration, Instant};

use crate::support::{Ended, Fleet, Running};

/// A run that has begun to replace nodes, and has minutes of its own to go.
fn rolling(fleet: &Fleet, args: &[&str]) -> Running {
    let slow = ["apply", "--auto-approve", "--simulation-speed", "100", "-v"];
    let mut running = fleet.start(&[&slow, args].concat());
    running.until_it_says("of 3 instances replaced");
    running
}

/// Every signal ends in a run that the same command finishes.
fn goes_on(
    fleet: &Fleet,
    stopped: &Ended,
    before: &std::collections::BTreeMap<String, serde_json::Value>,
) {
    assert!(stopped.stdout.contains("refit apply --auto-approve"), "{}", stopped.stdout);
    let run = fleet.last_run();
    fleet.run(&["status"]).exits(0).shows(&[&run]);
    fleet.apply(&["--auto-approve"]).exits(0).says(&["The second plan is empty"]);
    fleet.nothing_is_left_to_do();
    fleet.is_tidy(before);
}

#[test]
fn one_interrupt_finishes_the_node() {
    let fleet = Fleet::starter();
    let before = fleet.shape();
    let running = rolling(&fleet, &[]);
    running.signal("INT");
    let stopped = running.ends().exits(130);
    fleet.nothing_is_cordoned();
    fleet.run(&["plan", "--detailed-exitcode"]).exits(2);
    let run = fleet.last_run();
    assert!(stopped.stderr.contains("interrupted"), "{}", stopped.stderr);
    goes_on(&fleet, &stopped, &before);
    assert_eq!(fleet.history().len(), 1);
    assert_eq!(fleet.last_run(), run, "the same run went on");
}

#[test]
fn two_interrupts_put_things_back() {
    let fleet = Fleet::starter();
    let before = fleet.shape();
    let mut running = rolling(&fleet, &[]);
    running.signal("INT");
    running.until_it_says("stop: ");
    running.signal("INT");
    let stopped = running.ends().exits(130);
    fleet.nothing_is_cordoned();
    goes_on(&fleet, &stopped, &before);
}

#[test]
fn three_interrupts_leave_at_once() {
    let fleet = Fleet::starter();
    let before = fleet.shape();
    let mut running = rolling(&fleet, &[]);
    // One at a time: signals that wait are merged.
    for asked in 1..=3 {
        running.signal("INT");
        let begun = Instant::now();
        while asked < 3
            && running.stderr().matches("stop: ").count() < asked
            && begun.elapsed() < Duration::from_secs(5)
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    assert_eq!(running.wait().code(), Some(130));
    fleet.apply(&["--auto-approve"]).exits(0);
    fleet.nothing_is_left_to_do();
    fleet.is_tidy(&before);
}

#[test]
fn a_termination_leaves_within_its_grace() {
    leaves_within_its_grace("TERM");
}

/// A terminal that is closed, or a connection that breaks.
#[test]
fn a_hangup_leaves_within_its_grace() {
    leaves_within_its_grace("HUP");
}

fn leaves_within_its_grace(signal: &str) {
    let fleet = Fleet::starter();
    let before = fleet.shape();
    let running = rolling(&fleet, &["--grace", "3s"]);
    let asked = Instant::now();
    running.signal(signal);
    let stopped = running.ends().exits(130);
    assert!(asked.elapsed() < Duration::from_secs(6), "it took {:?}", asked.elapsed());
    fleet.run(&["status"]).exits(0).shows(&["not ended"]);
    let run = fleet.last_run();
    goes_on(&fleet, &stopped, &before);
    assert_eq!(fleet.last_run(), run, "the same run went on");
}

/// Before a run begins there is nothing to finish: a signal ends refit at once, and says so.
#[cfg(unix)]
#[test]
fn a_signal_before_the_run_begins_ends_refit_with_130() {
    let fleet = Fleet::starter();
    let mut holder = fleet.start(&["apply", "--auto-approve", "--simulation-speed", "20"]);
    holder.until_it_says("starts");
    for name in ["INT", "TERM", "HUP"] {
        let mut waiting = fleet.start(&["apply", "--auto-approve", "--lock-timeout", "60s"]);
        waiting.until_it_says("Waiting for the lock");
        waiting.signal(name);
        assert_eq!(waiting.wait().code(), Some(130), "{name}: {}", waiting.stderr());
        assert!(waiting.stderr().contains("Interrupted; nothing was done."), "{name}");
    }
    assert!(holder.kill());
}
