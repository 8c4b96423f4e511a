//! Frozen clusters, clusters with a highest version, waves by labels, pools at once.

use crate::support::{Fleet, validate};

const CANARY: &str = "clusters/prod-eu-1.toml";

fn with(keys: &str) -> Fleet {
    let fleet = Fleet::quickstart();
    fleet.edit(CANARY, "channel = \"stable\"", &format!("channel = \"stable\"\n{keys}"));
    fleet
}

#[test]
fn a_frozen_cluster_waits_and_nobody_waits_for_it() {
    let fleet = with("freeze = \"until 2026-12-31, peak season\"");
    let json = fleet.run(&["plan", "--format", "json"]).exits(0).json();
    validate("plan.schema.json", &json);
    fleet.run(&["plan", "-o", "next.plan"]).exits(0).shows(&[
        "1 cluster frozen, see Findings: prod-eu-1",
        "note     RF041  prod-eu-1: is frozen until the end of 2026-12-31: peak season",
        "(clusters/prod-eu-1.toml:7)",
        "wave 2 of stable  prod-us-1",
    ]);
    fleet.apply(&["next.plan"]).exits(0).says(&["The second plan is empty"]);
    let rest = fleet.run(&["plan", "--detailed-exitcode"]).exits(0);
    rest.shows(&["No changes. 2 clusters run what the files say. 1 cluster is frozen."]);

    // A saved plan keeps the time that it was made for.
    let later =
        ["plan", "--now", "2027-01-01T00:00:00Z", "--detailed-exitcode", "-o", "later.plan"];
    fleet.run(&later).exits(2);
    fleet.apply(&["later.plan"]).exits(0);
    fleet.nothing_is_left_to_do();
}

/// The freeze of a channel is one of all its clusters; of two, the one that ends later counts.
#[test]
fn a_channel_freezes_its_clusters() {
    let fleet = with("freeze = \"until 2026-11-30, peak season\"");
    let stable = "name = \"stable\"\n";
    fleet.edit("fleet.toml", stable, &format!("{stable}freeze = \"until 2026-12-31, audit\"\n"));
    fleet.run(&["plan"]).exits(0).shows(&[
        "2 clusters frozen",
        "prod-eu-1: is frozen until the end of 2026-12-31: audit",
        "prod-us-1: is frozen until the end of 2026-12-31: audit",
        "wave 1 of dev  dev-eu-1",
    ]);
    fleet.edit("fleet.toml", "until 2026-12-31, audit", "until 2026-11-29, audit");
    let plan = fleet.run(&["plan"]).exits(0);
    plan.shows(&["prod-eu-1: is frozen until the end of 2026-11-30: peak season"]);
    fleet.edit("fleet.toml", "until 2026-11-29, audit", "");
    fleet.run(&["validate"]).exits(1).says(&["fleet.toml"]);
}

#[test]
fn what_a_killed_run_left_is_put_back_in_a_frozen_cluster() {
    let fleet = Fleet::starter();
    let before = fleet.shape();
    let args = ["-v", "apply", "--auto-approve", "--simulation-speed", "200"];
    let mut running = fleet.start(&args);
    running.until_it_says("workers 1.35.8 -> 1.36.4  starts");
    // A few steps on it has changed something.
    running.until_lines(running.stderr().lines().count() + 4);
    assert!(running.kill());
    let keys = "channel = \"dev\"\nfreeze = \"peak season\"";
    fleet.edit("clusters/dev-1.toml", "channel = \"dev\"", keys);
    let tidied = fleet.apply(&["--auto-approve"]).exits(0).says(&["it is closed"]);
    tidied.shows(&["dev-1  1.36.4 frozen", "tidy up after a run that did not end"]);
    fleet.is_tidy(&before);
    fleet.run(&["plan"]).exits(0).shows(&["RF041", "workers 1.35.8"]);
}

#[test]
fn a_cluster_goes_no_further_than_its_highest_version() {
    let fleet = Fleet::starter();
    let keys = "channel = \"dev\"\nmax-version = \"1.35\"";
    fleet.edit("clusters/dev-1.toml", "channel = \"dev\"", keys);
    // The add-on moves; the control plane and the nodes do not.
    fleet.run(&["plan", "--detailed-exitcode"]).exits(2).shows(&[
        "dev-1  1.35.8  1 add-on",
        "RF042",
        "`max-version` is 1.35",
        "the release declares 1.36.4",
    ]);
}

#[test]
fn a_wave_is_chosen_by_labels() {
    let fleet = Fleet::quickstart();
    let us = "clusters/prod-us-1.toml";
    fleet.edit(us, "channel = \"stable\"", "channel = \"stable\"\nlabels = { tier = \"canary\" }");
    let canary = "{ labels = { tier = \"canary\" } }";
    fleet.edit("fleet.toml", "{ clusters = [\"prod-eu-1\"] }", canary);
    fleet
        .run(&["plan"])
        .exits(0)
        .shows(&["wave 1 of stable  prod-us-1", "wave 2 of stable  prod-eu-1"]);
    fleet.edit("fleet.toml", "\"canary\"", "\"canari\"");
    let error = fleet.run(&["validate"]).exits(1);
    error.says(&["no cluster of stable has the labels tier = \"canari\"", "did you mean"]);
}

#[test]
fn two_pools_are_rolled_at_once() {
    let fleet = with("max-parallel-pools = 2");
    let before = fleet.shape();
    let only = ["--cluster", "prod-eu-1"];
    let plan = fleet.run(&[&["plan", "--format", "json"][..], &only].concat()).exits(0).json();
    let listed = &plan["plan"]["clusters"][0]["parallel-pools"];
    assert_eq!(*listed, serde_json::json!({ "at-once": 2, "order": ["workers", "stateful"] }));
    let shown = fleet.run(&[&["plan", "-o", "next.plan"][..], &only].concat()).exits(0);
    shown.shows(&["(at most 2 pools at once)", "(in parallel with"]);
    let applied = fleet.apply(&["next.plan"]).exits(0);
    let at = |text: &str| applied.stderr.find(text).unwrap_or_else(|| panic!("no `{text}`"));
    let pool = |pool: &str, what: &str| at(&format!("{pool} 1.35.8 -> 1.36.4  {what}"));
    assert!(pool("workers", "starts") < pool("stateful", "starts"), "as declared");
    assert!(pool("stateful", "starts") < pool("workers", "done"), "{}", applied.stderr);
    fleet.is_tidy(&before);
    fleet.run(&["plan", "--detailed-exitcode", "--cluster", "prod-eu-1"]).exits(0);
}

#[test]
fn a_pool_that_is_updated_on_delete_keeps_its_nodes() {
    let fleet = Fleet::starter();
    let before = fleet.shape();
    fleet.edit("clusters/dev-1.toml", "max-surge = 1", "update-strategy = \"on-delete\"");
    let kubelets = |fleet: &Fleet| {
        let seen = fleet.observed();
        let nodes = seen["clusters"]["dev-1"]["fresh"]["nodes"].as_object().unwrap().clone();
        let workers = nodes.into_values().filter(|node| node["control-plane"] == false);
        workers.map(|node| node["kubelet"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    fleet.run(&["plan", "-o", "next.plan"]).exits(0).shows(&[
        "launch images (1)",
        "that are there stay until they are",
        "RF043  dev-1 workers: 4 of 4 nodes run 1.35.8, not 1.36.4",
    ]);
    fleet.apply(&["next.plan"]).exits(0).says(&["The second plan is empty"]);
    assert_eq!(kubelets(&fleet), ["1.35.8"; 4]);
    fleet.run(&["plan", "--detailed-exitcode"]).exits(0).shows(&["RF043"]);
    fleet.is_tidy(&before);
    let replace = ["plan", "--replace", "dev-1/workers"];
    fleet.run(&replace).exits(64).says(&["its nodes are replaced when they are deleted"]);
}
