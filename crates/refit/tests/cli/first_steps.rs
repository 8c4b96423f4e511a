//! `init`, and the way from there to an empty plan.

use std::fs;

use crate::support::{Ended, Fleet, refit};

#[test]
fn init_validate_plan_apply_and_nothing_is_left() {
    let fleet = Fleet::starter();
    fleet.run(&["validate"]).exits(0).says(&["The files are fine: 1 cluster"]);
    fleet.run(&["plan"]).exits(0).shows(&[
        "dev-1",
        "control-plane",
        "1.35.8 -> 1.36.4",
        "Points of no return: 1",
    ]);
    fleet.run(&["plan", "--detailed-exitcode"]).exits(2);
    let before = fleet.shape();
    fleet
        .apply(&["--auto-approve"])
        .exits(0)
        .shows(&["Actions: 3 done"])
        .says(&["The second plan is empty"]);
    fleet.nothing_is_left_to_do();
    fleet.is_tidy(&before);
    fleet.apply(&["--auto-approve"]).exits(0).shows(&["No changes."]);
    assert_eq!(fleet.history().len(), 1, "an empty plan makes no run");
}

#[test]
fn init_never_overwrites() {
    let fleet = Fleet::starter();
    fleet.write("clusters/dev-1.toml", "mine");
    for other in ["fleet.toml", "releases/2026.11.0.toml"] {
        fs::remove_file(fleet.file(other)).unwrap();
    }
    let before = fleet.files();
    fleet.run(&["init"]).exits(1).says(&["dev-1.toml exists already; nothing was written"]);
    assert_eq!(fleet.files(), before);
}

#[test]
fn init_makes_git_ignore_the_state_and_plans() {
    let fleet = Fleet::starter();
    let ignored = "# The state of refit, and saved plans.\n/state/\n*.plan\n";
    assert_eq!(fleet.read(".gitignore"), ignored);
    // Lines that are there stay, and none is written twice.
    fleet.write(".gitignore", "target\n*.plan");
    fleet.run(&["init"]).exits(0);
    let once = "target\n*.plan\n# The state of refit, and saved plans.\n/state/\n";
    assert_eq!(fleet.read(".gitignore"), once);
    fleet.run(&["init"]).exits(0);
    assert_eq!(fleet.read(".gitignore"), once);
    // A state directory elsewhere.
    fleet.edit(
        "fleet.toml",
        "[kubernetes]",
        "[state]\nstore = \"sled\"\npath = \"data/acme\"\n\n[kubernetes]",
    );
    fleet.run(&["init"]).exits(0);
    assert!(fleet.read(".gitignore").ends_with("\n/data/acme/\n"), "{}", fleet.read(".gitignore"));
}

#[test]
fn init_adds_a_cluster_to_a_fleet_that_is_there() {
    let fleet = Fleet::starter();
    fleet.edit("fleet.toml", "[[channels]]", "# mine\n[[channels]]");
    let before = fleet.files();
    fleet
        .run(&["init"])
        .exits(0)
        .says(&["dev-2 is a simulated cluster in the channel dev", "wrote ./clusters/dev-2.toml"]);
    let mut after = fleet.files();
    after.remove(&fleet.file("clusters/dev-2.toml")).unwrap();
    assert_eq!(after, before, "every other file is as it was");
    fleet.run(&["validate"]).exits(0).says(&["2 clusters"]);
    fleet.run(&["plan"]).exits(0).shows(&["dev-2", "1.35.8 -> 1.36.4"]);
    // A fleet that cannot be read gets no cluster.
    fleet.edit("fleet.toml", "[[channels]]", "[[chanels]]");
    let before = fleet.files();
    fleet.run(&["init"]).exits(1).says(&["chanels"]);
    assert_eq!(fleet.files(), before);
}

#[test]
fn init_makes_the_directory_that_it_is_given() {
    let above = tempfile::tempdir().unwrap();
    let init = ["--chdir", "new/fleet", "init", "--name", "acme"];
    Ended::of(refit(above.path(), &init)).exits(0).says(&["Next: `refit --chdir new/fleet plan`"]);
    Ended::of(refit(above.path(), &["--chdir", "new/fleet", "plan"]))
        .exits(0)
        .shows(&["refit plan  acme"]);
}

#[test]
fn init_below_a_file_says_so() {
    let above = tempfile::tempdir().unwrap();
    fs::write(above.path().join("file"), "mine").unwrap();
    Ended::of(refit(above.path(), &["--chdir", "file", "init"]))
        .exits(1)
        .says(&["error: ", "file"]);
    assert_eq!(fs::read_to_string(above.path().join("file")).unwrap(), "mine");
}

#[test]
fn a_name_that_cannot_be_one_is_wrong_usage() {
    let above = tempfile::tempdir().unwrap();
    Ended::of(refit(above.path(), &["init", "--name", "No Name!"])).exits(64).says(&["--name"]);
    assert_eq!(fs::read_dir(above.path()).unwrap().count(), 0);
}
