//! The guides that begin with the fleet of `refit init`, run as they are written.

use std::process::{Command, Stdio};

use crate::support::{Fleet, repository};

/// The blocks of a document that a shell can run.
fn blocks(text: &str) -> Vec<String> {
    let after = text.split("```sh\n").skip(1);
    after.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Runs every block of a guide in the fleet, in its order.
#[track_caller]
fn follow(fleet: &Fleet, guide: &str) {
    let guide = repository().join("docs/guides").join(guide);
    let blocks = blocks(&std::fs::read_to_string(guide).unwrap());
    assert!(blocks.len() >= 2, "{blocks:?}");
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_refit")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    for block in blocks {
        let ended = Command::new("sh")
            .args(["-euc", &block])
            .current_dir(fleet.path())
            .env_clear()
            .env("PATH", format!("{}:{path}", binary.display()))
            .env("USER", "tester")
            .env("REFIT_SIMULATION_SPEED", "100000")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(ended.status.success(), "{block}\n{ended:?}");
    }
}

#[test]
fn the_guide_to_add_a_cluster_works() {
    let fleet = Fleet::starter();
    follow(&fleet, "add-a-cluster.md");
    let list = fleet.run(&["clusters", "--format", "json"]).exits(0).json();
    assert_eq!(list["clusters"][0]["status"], "planned");
    assert_eq!(list["clusters"][1]["status"], "up-to-date");
}

#[test]
fn the_guide_to_add_a_release_works() {
    let fleet = Fleet::starter();
    fleet.apply(&["--auto-approve"]).exits(0);
    follow(&fleet, "add-a-release.md");
    let list = fleet.run(&["clusters", "--format", "json"]).exits(0).json();
    assert_eq!(list["clusters"][0]["control-plane"][0], "1.37.2");
    let plan = fleet.run(&["plan"]).exits(0);
    assert!(!plan.stdout.contains("RF05"), "{}", plan.stdout);
}

#[test]
fn the_guide_to_add_a_channel_works() {
    let fleet = Fleet::starter();
    follow(&fleet, "add-a-channel.md");
    let list = fleet.run(&["clusters", "--format", "json"]).exits(0).json();
    assert_eq!(list["clusters"][0]["channel"], "stable");
}
