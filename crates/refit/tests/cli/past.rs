//! What is told of past runs, and what damage to the store does.

use std::fs;
use std::io::Write;
use std::time::Duration;

use refit_store::{OpenOptions, SledStore, StateStore as _};

use crate::support::Fleet;

fn applied() -> Fleet {
    let fleet = Fleet::starter();
    fleet.apply(&["--auto-approve"]).exits(0);
    fleet
}

#[test]
fn runs_are_listed_and_shown() {
    let fleet = applied();
    let again = fleet.apply(&["--auto-approve", "--replace", "dev-1/workers"]).exits(0);
    let goes_on = "refit apply --auto-approve --replace dev-1/workers";
    assert!(again.stderr.contains(goes_on), "{}", again.stderr);
    let history = fleet.history();
    assert_eq!(history.len(), 2);
    let ids: Vec<&str> = history.iter().map(|run| run["run"].as_str().unwrap()).collect();
    assert_ne!(ids[0], ids[1]);
    let text = fleet.run(&["history"]).exits(0);
    for (id, run) in ids.iter().zip(&history) {
        assert_eq!(run["state"], "done");
        assert!(run["who"].as_str().unwrap().starts_with("tester@"), "{run}");
        assert!(text.stdout.contains(id));
        fleet.run(&["show", id]).exits(0).shows(&[id, "dev-1"]);
        let shown = fleet.run(&["show", id, "--format", "json"]).exits(0).json();
        assert_eq!(shown["run"], **id);
        let records = shown["records"].as_array().unwrap();
        assert!(records[0]["kind"].get("run-opened").is_some());
        assert_eq!(records.last().unwrap()["kind"]["run-closed"]["outcome"], "done");
        assert_eq!(fleet.run(&["state", "show", id]).exits(0).json(), shown);
    }
    fleet.run(&["status"]).exits(0).shows(&[ids[0], "done"]);
    let status = fleet.run(&["status", "--format", "json"]).exits(0).json();
    assert_eq!(status["run"], ids[0]);
    let listed = fleet.run(&["state", "list", "--format", "json"]).exits(0).json();
    assert_eq!(listed["runs"].as_array().unwrap().len(), 2);
    let blobs = listed["blobs"].as_array().unwrap();
    assert!(!blobs.is_empty());
    for blob in blobs {
        let digest = blob["digest"].as_str().unwrap();
        let whole = fleet.run(&["state", "show", digest]).exits(0).stdout;
        assert_eq!(whole.len() as u64, blob["bytes"].as_u64().unwrap());
        assert_eq!(fleet.run(&["state", "show", &digest[..12]]).exits(0).stdout, whole);
    }
}

#[test]
fn names_that_nothing_has_are_errors() {
    let fleet = applied();
    for name in ["20261102T090000-00000000", "nope", "../fleet", "a b"] {
        let shown = fleet.run(&["show", name]).exits(64).says(&["is neither a file nor a run"]);
        assert_eq!(shown.stdout, "");
        let shown =
            fleet.run(&["state", "show", name]).exits(64).says(&["neither a run nor a blob"]);
        assert_eq!(shown.stdout, "");
    }
    fleet.run(&["show", ""]).exits(64).says(&["a value is required for '<FILE|RUN>'"]);
}

#[test]
fn before_the_first_run_there_is_nothing_to_show() {
    let fleet = Fleet::starter();
    for command in ["status", "history"] {
        let ended = fleet.run(&[command]).exits(0).says(&["No run yet."]);
        assert_eq!(ended.stdout, "");
    }
    assert_eq!(fleet.history(), Vec::<serde_json::Value>::new());
}

/// Keeps a blob in the index, as a future command may keep a snapshot.
fn keep(fleet: &Fleet, bytes: &[u8]) -> refit_model::Digest {
    let options = OpenOptions { lock_timeout: Duration::from_mins(1), ..OpenOptions::default() };
    let mut store = SledStore::open(&fleet.file("state"), options).unwrap();
    store.put_blob(bytes).unwrap()
}

#[test]
fn a_damaged_index_is_set_aside_made_again_and_what_is_lost_is_named() {
    let fleet = applied();
    let run = fleet.last_run();
    let blob = keep(&fleet, b"a snapshot");
    // What sled takes for an empty database: not its own file, and no summary of it.
    for entry in fs::read_dir(fleet.file("state/index.sled")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("snap.") {
            fs::remove_file(path).unwrap();
        }
    }
    fleet.write("state/index.sled/db", "garbage");
    fleet.run(&["history"]).exits(0).shows(&[&run]);
    let listed = fleet.run(&["state", "list"]).exits(0).shows(&[&run]);
    assert!(listed.stderr.contains("The index cannot be read"), "{}", listed.stderr);

    let roll = ["--auto-approve", "--replace", "dev-1/workers"];
    let ended = fleet.apply(&roll).exits(0);
    let named = format!("lost: {} (10 bytes)", blob.short());
    for part in [
        "warning: the index of the state store was damaged and was made again from the journals",
        "hint: the damaged index is kept as ./state/index.sled.damaged-1",
        "warning: 1 snapshot, plan or report that no journal holds is lost",
        &named,
        "hint: runs and their plans are not affected",
    ] {
        assert!(ended.stderr.contains(part), "`{part}` is not in:\n{}", ended.stderr);
    }
    assert!(fleet.file("state/index.sled.damaged-1/db").exists());
    let plan = fleet.run(&["state", "list", "--format", "json"]).exits(0).json();
    assert_eq!(plan["runs"].as_array().unwrap().len(), 2);
    assert_eq!(plan["blobs"].as_array().unwrap().len(), 2, "the plans of both runs");
    let again = fleet.apply(&roll).exits(0);
    assert!(!again.stderr.contains("warning:"), "it is told once:\n{}", again.stderr);
    assert_eq!(fleet.history().len(), 3);
}

#[test]
fn an_index_full_of_noise_is_set_aside_too() {
    let fleet = applied();
    let index = fleet.file("state/index.sled/db");
    let size = usize::try_from(fs::metadata(&index).unwrap().len()).unwrap();
    let mut noise = vec![0; size];
    fastrand::Rng::with_seed(3).fill(&mut noise);
    fs::write(&index, noise).unwrap();
    let ended = fleet.apply(&["--auto-approve", "--replace", "dev-1/workers"]).exits(0);
    assert!(ended.stderr.contains("index.sled.damaged-1"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("lost"), "nothing was: {}", ended.stderr);
}

#[test]
fn a_torn_journal_goes_on_where_it_was_whole() {
    let fleet = Fleet::starter();
    let before = fleet.shape();
    let mut running = fleet.start(&["apply", "--auto-approve", "--simulation-speed", "100"]);
    running.until_it_says("control-plane 1.35.8 -> 1.36.4  starts");
    assert!(running.kill());
    let run = fleet.last_run();
    let journal = fleet.file(&format!("state/runs/{run}.journal"));
    let mut file = fs::OpenOptions::new().append(true).open(journal).unwrap();
    file.write_all(&[200, 1, 0, 0, 7, 7, 7, 7, b'R', b'{']).unwrap();
    drop(file);
    fleet.run(&["status"]).exits(0).shows(&[&run, "not ended"]);
    fleet.apply(&["--auto-approve"]).exits(0).says(&[
        "warning: the last 10 bytes of the journal of run",
        "were not complete and were dropped",
        "Continuing run",
    ]);
    fleet.nothing_is_left_to_do();
    fleet.is_tidy(&before);
}

#[test]
fn a_damaged_journal_is_named_and_hides_no_other() {
    let fleet = applied();
    let damaged = fleet.last_run();
    fleet.apply(&["--auto-approve", "--replace", "dev-1/workers"]).exits(0);
    let whole = fleet.last_run();
    let journal = fleet.file(&format!("state/runs/{damaged}.journal"));
    let mut bytes = fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(&journal, bytes).unwrap();
    fleet.run(&["history"]).exits(1).shows(&[&whole]).says(&["error: ", &damaged]);
    fleet.run(&["show", &damaged]).exits(1).says(&["error: ", &damaged]);
    fleet.run(&["show", &whole]).exits(0);
}
