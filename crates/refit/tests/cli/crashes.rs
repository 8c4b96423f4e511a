//! Killed at any moment, then started again: the same run goes on, and everything is put back.

use std::time::Duration;

use crate::support::{Fleet, Running};

/// Slow enough that a kill hits a run in its middle, fast enough for a test.
const SPEED: [&str; 2] = ["--simulation-speed", "1000"];

fn begin(fleet: &Fleet, args: &[&str]) -> Running {
    fleet.start(&[&["apply", "-v"], args, &SPEED].concat())
}

/// Kills it after a number of lines and a moment that the dice decide. The lines, because how
/// long anything takes says nothing on a machine that does other things, too.
fn kill_somewhere(mut running: Running, lines: usize, dice: &mut fastrand::Rng) {
    running.until_lines(lines);
    std::thread::sleep(Duration::from_micros(dice.u64(..15_000)));
    running.kill();
}

/// The run that is open, if there is one.
fn open_run(fleet: &Fleet) -> Option<String> {
    let history = fleet.history();
    let open = history.iter().find(|run| run["state"] == "open")?;
    Some(open["run"].as_str().unwrap().to_owned())
}

/// Kills the command up to `kills` times, at moments that the seed decides. How many of these
/// hit a run that was open.
fn killed_and_continued(seed: u64, kills: u32, args: &[&str]) -> u32 {
    let mut dice = fastrand::Rng::with_seed(seed);
    let fleet = Fleet::starter();
    let before = fleet.shape();
    if let Some(file) = args.first().filter(|file| !file.starts_with('-')) {
        fleet.run(&["plan", "-o", file]).exits(0);
    }
    let mut hits = 0;
    for _ in 0..kills {
        let running = begin(&fleet, args);
        let lines = dice.usize(..20);
        kill_somewhere(running, lines, &mut dice);
        // Whatever the kill hit, the command that looks still can.
        fleet.run(&["status"]).exits(0);
        let Some(open) = open_run(&fleet) else { continue };
        hits += 1;
        let ended = fleet.run(&["show", &open]).exits(0);
        assert!(ended.stdout.contains(&open));
    }
    let open = open_run(&fleet);
    let ended = fleet.apply(args).exits(0);
    if let Some(open) = &open {
        assert!(ended.stderr.contains(&format!("Continuing run {open}")), "{}", ended.stderr);
        let history = fleet.history();
        assert_eq!(
            history.len(),
            1,
            "seed {seed}: one run, however often it was killed: {history:#?}"
        );
        assert_eq!(history[0]["state"], "done");
    }
    fleet.nothing_is_left_to_do();
    fleet.is_tidy(&before);
    hits
}

#[test]
fn the_same_command_goes_on_with_the_run() {
    let hits: u32 = (0..6).map(|seed| killed_and_continued(seed, 2, &["--auto-approve"])).sum();
    assert!(hits >= 6, "only {hits} of 12 kills hit an open run");
}

#[test]
fn killed_over_and_over_it_still_ends() {
    let hits: u32 = (100..102).map(|seed| killed_and_continued(seed, 8, &["--auto-approve"])).sum();
    assert!(hits >= 4, "only {hits} of 16 kills hit an open run");
}

#[test]
fn the_same_plan_file_goes_on_with_the_run() {
    let hits: u32 = (200..205).map(|seed| killed_and_continued(seed, 2, &["next.plan"])).sum();
    assert!(hits >= 3, "only {hits} of 10 kills hit an open run");
}

#[test]
fn without_the_journal_everything_is_put_back_all_the_same() {
    let mut hits = 0;
    for seed in 300..306 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let fleet = Fleet::starter();
        let before = fleet.shape();
        let running = begin(&fleet, &["--auto-approve"]);
        let lines = dice.usize(5..40);
        kill_somewhere(running, lines, &mut dice);
        if open_run(&fleet).is_none() {
            continue;
        }
        hits += 1;
        std::fs::remove_dir_all(fleet.file("state/runs")).unwrap();
        std::fs::remove_dir_all(fleet.file("state/index.sled")).unwrap();
        assert!(fleet.history().is_empty());
        // An apiserver that is just being replaced blocks the plan until it answers.
        let blocked = (0..20)
            .map(|_| fleet.apply(&["--auto-approve"]))
            .take_while(|ended| ended.code == Some(3))
            .count();
        assert!(blocked < 20, "seed {seed}: blocked for twenty minutes");
        fleet.nothing_is_left_to_do();
        fleet.is_tidy(&before);
    }
    assert!(hits >= 2, "only {hits} of 6 kills hit an open run");
}

/// The copy of the journal is from a while before the kill, as a backup is: what the clusters carry
/// beats it, and they end as if it had never been taken.
#[test]
fn a_journal_that_was_restored_from_a_copy_is_set_aside() {
    let mut told = 0;
    for seed in 400..406 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let fleet = Fleet::starter();
        let before = fleet.shape();
        let mut running = begin(&fleet, &["--auto-approve"]);
        running.until_it_says("workers 1.35.8 -> 1.36.4  starts");
        running.until_lines(running.stderr().lines().count() + dice.usize(3..10));
        let copy = fleet.file("copy");
        std::fs::create_dir(&copy).unwrap();
        let files = |directory: &str| {
            let entries = std::fs::read_dir(fleet.file(directory)).unwrap();
            entries.map(|entry| entry.unwrap()).collect::<Vec<_>>()
        };
        for file in files("state/runs") {
            std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
        running.until_lines(running.stderr().lines().count() + dice.usize(12..25));
        if !running.kill() {
            continue;
        }
        for file in files("copy") {
            let name = file.file_name().into_string().unwrap();
            std::fs::copy(file.path(), fleet.file(&format!("state/runs/{name}"))).unwrap();
        }
        std::fs::remove_dir_all(fleet.file("state/index.sled")).unwrap();
        let ended = fleet.apply(&["--auto-approve"]).exits(0).says(&["Continuing run"]);
        told += u32::from(ended.stderr.contains("it does not hold operation"));
        fleet.nothing_is_left_to_do();
        fleet.is_tidy(&before);
    }
    assert!(told >= 2, "only {told} of 6 journals were behind the clusters");
}

/// The lock says whether a process is at it, the journal does not.
#[test]
fn the_status_says_whether_a_process_works_on_the_run() {
    let fleet = Fleet::starter();
    let mut running = fleet.start(&["apply", "--auto-approve", "--simulation-speed", "200"]);
    running.until_it_says("workers 1.35.8 -> 1.36.4  starts");
    fleet.run(&["status"]).exits(0).shows(&["under way: `refit apply"]);
    assert!(running.kill());
    fleet.run(&["status"]).exits(0).shows(&["not ended, and no process works on it"]);
    let status = fleet.run(&["status", "--format", "json"]).exits(0).json();
    crate::support::validate("status.schema.json", &status);
    assert_eq!(status["under-way"], false);
}

#[test]
fn a_run_of_other_files_is_closed_and_its_remains_are_put_back() {
    let fleet = Fleet::starter();
    let before = fleet.shape();
    let mut running = fleet.start(&["apply", "--auto-approve", "--simulation-speed", "200"]);
    running.until_it_says("workers 1.35.8 -> 1.36.4  starts");
    assert!(running.kill());
    fleet.edit("clusters/dev-1.toml", "max-surge = 1", "max-surge = 2");
    fleet.apply(&["--auto-approve"]).exits(0).says(&["it is closed"]);
    let history = fleet.history();
    assert_eq!(history.len(), 2);
    assert_eq!(history[1]["state"], "partly");
    fleet.nothing_is_left_to_do();
    fleet.is_tidy(&before);
}
