//! What is damaged in a state directory, or in the place of its files.

use std::fs;

use crate::support::{Fleet, refit};

/// A fleet whose only run was killed, and whose journal is damaged since.
fn damaged() -> (Fleet, String) {
    let fleet = Fleet::starter();
    let mut running = fleet.start(&["apply", "--auto-approve", "--simulation-speed", "20"]);
    running.until_it_says("control-plane 1.35.8 -> 1.36.4  starts");
    let run = fleet.last_run();
    assert!(running.kill());
    let path = fleet.file(&format!("state/runs/{run}.journal"));
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    fs::write(&path, bytes).unwrap();
    (fleet, run)
}

#[test]
fn a_damaged_journal_of_an_open_run_is_not_passed_over() {
    let (fleet, run) = damaged();
    let named = format!("the journal of run {run}, which may not have ended, cannot be read");
    for command in [&["status"][..], &["history"], &["state", "list"]] {
        let ended = fleet.run(command).exits(1).says(&[&named, "is damaged at byte"]);
        assert!(!ended.stderr.contains("No run yet."), "{command:?}: {}", ended.stderr);
    }
    let world = fleet.observed();
    fleet.apply(&["--auto-approve"]).exits(1).says(&[
        &named,
        "nothing was done",
        "`--set-aside-damaged` goes on without it",
    ]);
    assert_eq!(fleet.observed(), world);

    let aside = format!("state/runs/{run}.journal.damaged-1");
    fleet
        .apply(&["--auto-approve", "--set-aside-damaged"])
        .exits(0)
        .says(&["is damaged and was set aside", &aside]);
    assert!(fleet.file(&aside).is_file());
    fleet.nothing_is_left_to_do();
    fleet.run(&["status"]).exits(0);
}

#[test]
fn a_damaged_journal_of_a_run_that_ended_stops_nothing() {
    let fleet = Fleet::starter();
    fleet.apply(&["--auto-approve"]).exits(0);
    let run = fleet.last_run();
    let path = fleet.file(&format!("state/runs/{run}.journal"));
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    // Of a run that has ended, the index is believed as long as the file has its length.
    bytes.push(0);
    fs::write(&path, bytes).unwrap();
    fleet.apply(&["--auto-approve"]).exits(0).says(&[
        "warning: ",
        &format!("the journal of run {run}, which has ended, cannot be read"),
    ]);
    fleet.run(&["history"]).exits(1).says(&[&run]);
}

#[test]
fn an_epoch_that_is_no_number_is_made_again_and_told() {
    for bytes in [&[0xff, 0xfe, 0x00][..], b"many", b""] {
        let fleet = Fleet::starter();
        fleet.apply(&["--auto-approve"]).exits(0);
        fs::write(fleet.file("state/epoch"), bytes).unwrap();
        fleet.apply(&["--auto-approve"]).exits(0).says(&["the file `epoch`", "was damaged"]);
        assert_eq!(fleet.read("state/epoch"), "2\n");
        let again = fleet.apply(&["--auto-approve"]).exits(0);
        assert!(!again.stderr.contains("epoch"), "{}", again.stderr);
    }
}

#[test]
fn a_directory_in_place_of_a_file_is_named_with_the_cure() {
    let fleet = Fleet::starter();
    fleet.apply(&["--auto-approve"]).exits(0);
    let run = format!("runs/{}.journal", fleet.last_run());
    let names = ["epoch", "lock", "lock.json", "index.blobs", "index.suspect", "world.json", &run];
    for name in names.into_iter().chain(["world/dev-1.json"]) {
        let path = fleet.file(&format!("state/{name}"));
        let kept = fs::read(&path).ok();
        fs::remove_file(&path).ok();
        fs::create_dir(&path).unwrap();
        // A journal of a run that has ended is in nobody's way, and told all the same.
        let command = if name == run { &["status"][..] } else { &["apply", "--auto-approve"] };
        let ended = fleet.run(command).exits(1);
        assert!(ended.stderr.contains(name), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains("hint: "), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains("directory"), "{name}: {}", ended.stderr);
        fs::remove_dir(&path).unwrap();
        if let Some(kept) = kept {
            fs::write(&path, kept).unwrap();
        }
    }
    for name in ["runs", "index.sled", "world"] {
        let path = fleet.file(&format!("state/{name}"));
        let kept = fleet.file("kept");
        fs::rename(&path, &kept).unwrap();
        fs::write(&path, "a file").unwrap();
        let ended = fleet.apply(&["--auto-approve"]).exits(1);
        assert!(ended.stderr.contains(name), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains("hint: "), "{name}: {}", ended.stderr);
        fs::remove_file(&path).unwrap();
        fs::rename(&kept, &path).unwrap();
    }
    fleet.apply(&["--auto-approve"]).exits(0);
}

#[test]
fn what_killed_writes_left_is_cleaned() {
    let fleet = Fleet::starter();
    fleet.apply(&["--auto-approve"]).exits(0);
    let left = [
        "state/.tmpAb12Cd",
        "state/world.json.new",
        "state/world/dev-1.json.new",
        "state/runs/r.journal.new",
    ];
    for name in left {
        fleet.write(name, "half");
    }
    fleet.apply(&["--auto-approve"]).exits(0);
    for name in left {
        assert!(!fleet.file(name).exists(), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn the_umask_decides_who_may_read_results() {
    use std::os::unix::fs::PermissionsExt;
    for (umask, mode) in [("027", 0o640), ("077", 0o600), ("022", 0o644)] {
        let fleet = Fleet::starter();
        let script = format!(
            "umask {umask}; {0} plan -o next.plan && {0} observe -o seen.json && {0} apply \
             --auto-approve --simulation-speed 100000",
            env!("CARGO_BIN_EXE_refit")
        );
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script]).current_dir(fleet.path());
        let ended = shell.output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
        for file in
            ["next.plan", "seen.json", "state/world.json", "state/world/dev-1.json", "state/epoch"]
        {
            let found = fs::metadata(fleet.file(file)).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{file} with umask {umask}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn few_open_files_are_an_error_and_no_panic() {
    let fleet = Fleet::starter();
    for limit in 5..=20 {
        for command in ["plan", "apply --auto-approve --simulation-speed 100000"] {
            let script =
                format!("ulimit -n {limit}; exec {} {command}", env!("CARGO_BIN_EXE_refit"));
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &script]).current_dir(fleet.path());
            let ended = shell.output().unwrap();
            let stderr = String::from_utf8_lossy(&ended.stderr);
            assert!(!stderr.contains("panicked"), "{limit} {command}: {stderr}");
            assert!(matches!(ended.status.code(), Some(0 | 1)), "{limit} {command}: {ended:?}");
            if limit == 8 {
                assert!(stderr.contains("ulimit -n 1024"), "{stderr}");
            }
        }
    }
    assert!(refit(fleet.path(), &["plan"]).status().unwrap().success());
}

/// Nothing lies between taking the lock and saying who has it that somebody could see.
#[test]
fn whoever_is_locked_out_is_told_by_whom() {
    let fleet = Fleet::starter();
    let mut running = fleet.start(&["apply", "--auto-approve", "--simulation-speed", "20"]);
    running.until_it_says("starts");
    let process = format!("process {}", running.id());
    // The holder writes its name a moment later than it takes the lock.
    let note = fleet.read("state/lock.json");
    fs::remove_file(fleet.file("state/lock.json")).unwrap();
    let path = fleet.file("state/lock.json");
    let late = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        fs::write(path, note).unwrap();
    });
    fleet.apply(&["--auto-approve"]).exits(7).says(&["`refit apply` of tester@", &process]);
    late.join().unwrap();
}
