//! A process that is killed while it appends loses nothing that it was told is durable.
//!
//! The test starts itself again as the process to be killed; `child` is that process's part.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Dice, at, new_run, open, options, run, settled};
use refit_model::RecordKind;
use refit_store::{AppendError, SledStore, StateStore as _, StoreError, UnlockOutcome, unlock};

/// Tells the child where the store is and what to do.
const DIR: &str = "REFIT_TEST_STORE_DIR";
const ROUNDS: u64 = 30;

fn child(dir: &Path, filter: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", filter, "--nocapture"]).env(DIR, dir).stdout(Stdio::piped());
    command
}

/// Lines that the test reads; libtest's own output has none of these words.
fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

#[test]
fn child_appends() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let mut store = open(Path::new(&dir));
    let r1 = run("r1");
    let mut last = match store.continue_run(&r1, "ada@laptop", at(1)) {
        Ok(continued) => continued.last_seq,
        Err(StoreError::NoSuchRun { .. }) => store.open_run(new_run("r1")).unwrap().last_seq,
        Err(error) => panic!("{error}"),
    };
    tell(&format!("ack {last}"));
    for op in last.. {
        // Sizes that cross pages now and then, and batches of one to three.
        let size = usize::try_from(op * 7919 % 6000).unwrap();
        let batch: Vec<_> = (0..=op % 3).map(|_| settled(op, size)).collect();
        last = store.append(&r1, last, at(2), &batch).unwrap();
        tell(&format!("ack {last}"));
    }
}

#[test]
fn nothing_acknowledged_is_lost_to_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice(1);
    let (mut torn, mut records) = (0, 0);
    for round in 0..ROUNDS {
        let mut process = child(dir.path(), "child_appends").spawn().unwrap();
        let mut acknowledged = 0;
        let wanted = 1 + dice.below(60);
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while seen < wanted {
            let line = lines.next().expect("the child goes on until it is killed").unwrap();
            if let Some(seq) = line.strip_prefix("ack ") {
                acknowledged = seq.parse().unwrap();
                seen += 1;
            }
        }
        std::thread::sleep(Duration::from_micros(dice.below(2000)));
        process.kill().unwrap();
        process.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            if let Some(seq) = line.strip_prefix("ack ") {
                acknowledged = seq.parse().unwrap_or(acknowledged);
            }
        }

        // As `status` sees it, without a lock.
        let journal = refit_store::read_run(dir.path(), &run("r1")).unwrap();
        let there = journal.records.len() as u64;
        assert!(there >= acknowledged, "round {round}: {there} of {acknowledged} are there");
        torn += u64::from(journal.torn.is_some());

        // As the next apply sees it: the lock is free, whatever the note says.
        if round % 3 == 0 {
            let store = SledStore::open(
                dir.path(),
                refit_store::OpenOptions { lock_timeout: Duration::ZERO, ..options() },
            )
            .unwrap();
            assert_eq!(*store.recovery(), refit_store::Recovery::default());
            assert_eq!(store.runs().unwrap().runs[0].records, there);
            assert_eq!(store.read_run(&run("r1")).unwrap().records, journal.records);
        }
        records = there;
    }
    assert!(records > ROUNDS, "{records} records, {torn} torn tails");
}

#[test]
fn child_holds_the_store() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let mut store = open(Path::new(&dir));
    store.open_run(new_run("r1")).unwrap();
    tell("holding");
    std::thread::sleep(Duration::from_mins(1));
}

#[test]
fn a_killed_holder_is_named_while_it_lives_and_not_in_the_way_after() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = child(dir.path(), "child_holds_the_store").spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "holding"));

    let impatient = || refit_store::OpenOptions { lock_timeout: Duration::ZERO, ..options() };
    let error = SledStore::open(dir.path(), impatient()).unwrap_err();
    let text = error.to_string();
    let StoreError::Locked { holder: Some(holder), .. } = error else { panic!("{text}") };
    assert_eq!((holder.pid, &holder.run), (process.id(), &Some(run("r1"))));
    assert!(text.contains("`refit apply acme.plan` of ada@laptop"), "{text}");
    assert_eq!(unlock(dir.path()).unwrap(), UnlockOutcome::Held(Some(*holder.clone())));
    let listing = refit_store::list(dir.path(), None).unwrap();
    assert_eq!(listing.holder, Some(*holder.clone()));
    assert_eq!(listing.journals.len(), 1, "journals are read without the lock");
    let plan = refit_model::Digest::of_bytes(&new_run("r1").plan_bytes);
    let shown = refit_store::show(dir.path(), &plan.short(), None).unwrap();
    assert!(matches!(shown, Some(refit_store::Shown::Blob { .. })));

    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(unlock(dir.path()).unwrap(), UnlockOutcome::Removed(Some(*holder)));
    assert_eq!(unlock(dir.path()).unwrap(), UnlockOutcome::NotLocked);
    let mut store = SledStore::open(dir.path(), impatient()).unwrap();
    assert_eq!(store.continue_run(&run("r1"), "bob@ci", at(2)).unwrap().last_seq, 2);
}

#[test]
fn child_fills_the_disk() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let mut store = open(Path::new(&dir));
    let mut last = store.open_run(new_run("r1")).unwrap().last_seq;
    loop {
        match store.append(&run("r1"), last, at(2), &[settled(last, 60_000)]) {
            Ok(seq) => last = seq,
            Err(AppendError::Io { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    // The journal is as it was, so what is small enough still fits.
    let stop = RecordKind::StopAsked { stop: refit_model::Stop::Finish };
    if let Ok(seq) = store.append(&run("r1"), last, at(3), &[stop]) {
        last = seq;
    }
    tell(&format!("full {last}"));
}

#[test]
fn a_full_disk_is_an_error_and_nothing_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    // A file cannot grow beyond 8000 blocks of 512 bytes: what a full disk does to one file.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8000; exec \"$@\"", "sh"])
        .arg(program)
        .args(["--exact", "child_fills_the_disk", "--nocapture"])
        .env(DIR, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let full = text.lines().find_map(|line| line.strip_prefix("full "));
    let last: usize = full.unwrap_or_else(|| panic!("{output:?}")).parse().unwrap();
    assert!(last > 10);
    let journal = refit_store::read_run(dir.path(), &run("r1")).unwrap();
    assert_eq!((journal.records.len(), journal.torn), (last, None));
    let mut store = open(dir.path());
    assert_eq!(store.continue_run(&run("r1"), "bob@ci", at(9)).unwrap().lost, 0);
}
