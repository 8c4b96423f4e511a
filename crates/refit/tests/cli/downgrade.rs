//! Going back: refused unless a cluster is named for it, then nodes, add-ons and the control plane.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Ended, Fleet, validate};

/// The development cluster of the quickstart, which is a release ahead of what is then declared.
const AHEAD: [&str; 2] = ["--cluster", "dev-eu-1"];

fn ahead() -> Fleet {
    let fleet = Fleet::quickstart();
    fleet.apply(&[&["--auto-approve"][..], &AHEAD].concat()).exits(0);
    fleet.edit("fleet.toml", r#"release = "2026.11.0""#, r#"release = "2026.10.0""#);
    fleet
}

/// What runs: the control plane and nodes by their kubelets, and some add-ons.
fn runs(fleet: &Fleet) -> (BTreeSet<String>, [String; 2]) {
    let seen = fleet.observed()["clusters"]["dev-eu-1"]["fresh"].clone();
    // A node may outlive its instance for a while.
    let nodes = seen["nodes"].as_object().unwrap().values();
    let nodes = nodes.filter(|node| !node["instance"].is_null());
    let kubelets = nodes.map(|node| node["kubelet"].as_str().unwrap().to_owned()).collect();
    let addon = |name: &str| seen["addons"][name]["parent"]["version"].as_str().unwrap().to_owned();
    (kubelets, [addon("cert-manager"), addon("cluster-autoscaler")])
}

fn versions(kubelet: &str, addons: [&str; 2]) -> (BTreeSet<String>, [String; 2]) {
    (BTreeSet::from([kubelet.to_owned()]), addons.map(str::to_owned))
}

/// Whether it shows all of this, wherever its lines break.
#[track_caller]
fn shows(ended: &Ended, parts: &[&str]) {
    let text = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        assert!(text.contains(part), "`{part}` is not there: {ended:?}");
    }
}

#[test]
fn a_cluster_goes_back_when_it_is_named_and_only_then() {
    let fleet = ahead();
    let before = (fleet.shape(), runs(&fleet));
    assert_eq!(before.1, versions("1.37.2", ["1.20.1", "1.37.0"]));
    let blocked = fleet.run(&[&["plan"][..], &AHEAD].concat()).exits(3);
    shows(&blocked, &["RF015", "1.37.2, newer than 1.36.4", "--downgrade dev-eu-1"]);
    fleet.apply(&[&["--auto-approve"][..], &AHEAD].concat()).exits(3);
    assert_eq!(runs(&fleet), before.1, "nothing was done");

    let down = [&["plan", "--downgrade", "dev-eu-1"][..], &AHEAD].concat();
    let plan = fleet.run(&[&down[..], &["--format", "json"]].concat()).exits(0).json();
    validate("plan.schema.json", &plan);
    assert_eq!(plan["plan"]["downgrade"], json!(["dev-eu-1"]));
    let lost = [
        "1.37.2 -> 1.36.4",
        "downgrade",
        "Points of no return: 3",
        "loses what 1.37 has stored that 1.36 does not know",
    ];
    shows(&fleet.run(&down).exits(0), &lost);
    let mut by_variable = fleet.command(&[&["plan", "--format", "json"][..], &AHEAD].concat());
    by_variable.env("REFIT_DOWNGRADE", "dev-eu-1");
    assert_eq!(Ended::of(by_variable).exits(0).json()["id"], plan["id"]);
    let explained = [&["explain", "dev-eu-1/workers", "--downgrade", "dev-eu-1"][..], &AHEAD];
    shows(&fleet.run(&explained.concat()).exits(0), &["go back first"]);

    let apply = [&["--auto-approve", "--downgrade", "dev-eu-1"][..], &AHEAD].concat();
    let applied = fleet.apply(&apply).exits(0);
    let command = "refit apply --auto-approve --cluster dev-eu-1 --downgrade dev-eu-1";
    applied.says(&[command, "The second plan is empty"]);
    assert_eq!(runs(&fleet), versions("1.36.4", ["1.19.4", "1.36.1"]));
    fleet.run(&[&["plan", "--detailed-exitcode"][..], &AHEAD].concat()).exits(0);
    fleet.is_tidy(&before.0);
}

#[test]
fn a_saved_plan_carries_who_was_named() {
    let fleet = ahead();
    let save = [&["plan", "--downgrade", "dev-eu-1", "-o", "back.plan"][..], &AHEAD].concat();
    fleet.run(&save).exits(0);
    fleet
        .run(&["apply", "back.plan", "--downgrade", "dev-eu-1"])
        .exits(64)
        .says(&["a saved plan knows what it is about", "`--downgrade`"]);
    fleet
        .run(&["explain", "dev-eu-1", "back.plan", "--downgrade", "dev-eu-1"])
        .exits(64)
        .says(&["cannot be used with"]);
    fleet.apply(&["back.plan"]).exits(0).says(&["The second plan is empty"]);
    assert_eq!(runs(&fleet), versions("1.36.4", ["1.19.4", "1.36.1"]));
}

#[test]
fn a_name_that_is_none_is_wrong_usage() {
    let fleet = Fleet::quickstart();
    fleet
        .run(&["plan", "--downgrade", "dev-eu-2"])
        .exits(64)
        .says(&["`--downgrade dev-eu-2`: there is no such cluster", "did you mean `dev-eu-1`?"]);
    fleet
        .run(&["plan", "--cluster", "prod-eu-1", "--downgrade", "dev-eu-1"])
        .exits(64)
        .says(&["dev-eu-1 is not selected", "--cluster dev-eu-1"]);
}

#[test]
fn a_pattern_is_of_the_clusters_that_are_selected() {
    let fleet = ahead();
    for options in [
        &["--downgrade", "dev-*"][..],
        &["--downgrade", "*", "--channel", "dev"],
        &["--downgrade", "*-eu-1", "--exclude", "prod-*"],
    ] {
        let plan = [&["plan", "--format", "json"][..], options].concat();
        let plan = fleet.run(&plan).exits(0).json();
        assert_eq!(plan["plan"]["downgrade"], json!(["dev-eu-1"]), "{options:?}");
    }
    fleet
        .run(&["plan", "--downgrade", "test-*"])
        .exits(64)
        .says(&["`--downgrade test-*`: there is no such cluster"]);
    fleet
        .run(&["plan", "--downgrade", "prod-*", "--channel", "dev"])
        .exits(64)
        .says(&["`--downgrade prod-*`: no such cluster is selected"]);
}

#[test]
fn killed_half_way_it_goes_on_and_ends() {
    for part in ["workers 1.37.2 -> 1.36.4  starts", "control-plane 1.37.2 -> 1.36.4  starts"] {
        let fleet = ahead();
        let before = fleet.shape();
        let apply = [&["--auto-approve", "--downgrade", "dev-eu-1"][..], &AHEAD].concat();
        let slow = ["--simulation-speed", "300"];
        let mut running = fleet.start(&[&["apply"][..], &apply, &slow].concat());
        running.until_it_says(part);
        assert!(running.kill());
        fleet.apply(&apply).exits(0).says(&["Continuing run"]);
        let history = fleet.history();
        assert_eq!((history.len(), &history[0]["state"]), (2, &Value::from("done")));
        assert_eq!(runs(&fleet), versions("1.36.4", ["1.19.4", "1.36.1"]));
        fleet.is_tidy(&before);
    }
}

#[test]
fn a_run_back_is_gone_on_with_by_name_only() {
    let fleet = ahead();
    let before = fleet.shape();
    let apply = [&["--auto-approve", "--downgrade", "dev-eu-1"][..], &AHEAD].concat();
    let mut running =
        fleet.start(&[&["apply"][..], &apply, &["--simulation-speed", "300"]].concat());
    running.until_it_says("workers 1.37.2 -> 1.36.4  starts");
    assert!(running.kill());
    // Without the name it is closed: nothing goes on but what gives back cordons and settings.
    let unnamed = fleet.apply(&[&["--auto-approve"][..], &AHEAD].concat()).exits(3);
    shows(&unnamed.says(&["it is closed"]), &["--downgrade dev-eu-1"]);
    fleet.apply(&apply).exits(0).says(&["The second plan is empty"]);
    assert_eq!(runs(&fleet), versions("1.36.4", ["1.19.4", "1.36.1"]));
    fleet.is_tidy(&before);
}
