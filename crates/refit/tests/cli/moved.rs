//! The files or the clusters are not what they were when the plan was made.

use crate::support::{Fleet, replaced};

/// The next release, which needs one hop more.
fn next_release(fleet: &Fleet) {
    let release = fleet.read("releases/2026.11.0.toml");
    let release = replaced(&release, "2026.11.0", "2026.12.0");
    fleet.write("releases/2026.12.0.toml", &replaced(&release, "1.36.4", "1.37.2"));
    fleet.edit("fleet.toml", r#"release = "2026.11.0""#, r#"release = "2026.12.0""#);
}

#[test]
fn another_release_is_another_way() {
    let fleet = Fleet::starter();
    let old = fleet.run(&["plan"]).exits(0);
    assert!(!old.stdout.contains("1.37.2"));
    next_release(&fleet);
    fleet.run(&["plan"]).exits(0).shows(&["1.35.8 -> 1.36.4 -> 1.37.2", "release 2026.12.0"]);
    fleet.apply(&["--auto-approve"]).exits(0);
    fleet.nothing_is_left_to_do();
}

#[test]
fn a_plan_from_before_is_stale_by_its_files_and_by_the_clusters() {
    let fleet = Fleet::starter();
    fleet.run(&["plan", "-o", "old.plan"]).exits(0);
    let old = fleet.read("fleet.toml");
    next_release(&fleet);
    fleet.apply(&["--auto-approve"]).exits(0);
    fleet.apply(&["old.plan"]).exits(5).says(&["was made from other files"]);

    // With the old files, it is the clusters that are ahead: never a downgrade.
    fleet.write("fleet.toml", &old);
    std::fs::remove_file(fleet.file("releases/2026.12.0.toml")).unwrap();
    let before = fleet.observed();
    let runs = fleet.history().len();
    fleet.apply(&["old.plan"]).exits(5).says(&["nothing was done"]);
    assert_eq!(fleet.observed(), before);
    assert_eq!(fleet.history().len(), runs);
    let plan = fleet.run(&["plan", "--format", "json"]);
    assert_eq!(plan.json()["plan"]["actions"], serde_json::json!([]), "no downgrade is planned");
}

#[test]
fn a_cluster_that_no_file_names_is_left_alone() {
    let fleet = Fleet::with_blocked_cluster();
    fleet.edit("clusters/dev-2.toml", "min-available = 4", "min-available = 3");
    // Both are there, and what one does to the other's world is seen.
    fleet.apply(&["--auto-approve", "--replace", "dev-1/workers"]).exits(0);
    next_release(&fleet);
    let cluster = fleet.read("clusters/dev-2.toml");
    let before = fleet.observed()["clusters"]["dev-2"].clone();
    std::fs::remove_file(fleet.file("clusters/dev-2.toml")).unwrap();
    let plan = fleet.run(&["plan"]).exits(0);
    assert!(!plan.stdout.contains("dev-2"), "{}", plan.stdout);
    fleet.apply(&["--auto-approve"]).exits(0).shows(&["dev-1"]);
    fleet.write("clusters/dev-2.toml", &cluster);
    let after = fleet.observed()["clusters"]["dev-2"].clone();
    for part in ["control-plane", "groups", "nodes", "addons"] {
        assert_eq!(after["fresh"][part], before["fresh"][part], "{part}");
    }
    fleet.run(&["plan"]).exits(0).shows(&["dev-2", "1.36.4 -> 1.37.2"]);
}

#[test]
fn a_pool_is_replaced_when_asked_for() {
    let fleet = Fleet::starter();
    fleet.apply(&["--auto-approve"]).exits(0);
    let before = fleet.shape();
    let nodes = || {
        let seen = fleet.observed();
        let nodes = seen["clusters"]["dev-1"]["fresh"]["nodes"].as_object().unwrap().clone();
        nodes
            .into_iter()
            .filter(|(_, node)| node["control-plane"] == false && !node["instance"].is_null())
            .map(|(_, node)| node["instance"].as_str().unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let old = nodes();
    fleet.apply(&["--auto-approve", "--replace", "dev-1/workers"]).exits(0);
    assert!(old.is_disjoint(&nodes()), "some nodes are the same");
    fleet.is_tidy(&before);
    fleet.nothing_is_left_to_do();
}
