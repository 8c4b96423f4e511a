//! The fleet that everybody tries first.

use std::fs;

use serde_json::Value;

use crate::support::{Fleet, fits, is_plain, validate};

#[test]
fn two_plans_are_the_same_to_the_byte() {
    let fleet = Fleet::quickstart();
    for format in ["text", "json"] {
        let plan = || fleet.run(&["plan", "--format", format]).exits(0).stdout;
        let first = plan();
        assert!(first.contains("prod-us-1"));
        assert_eq!(first, plan(), "{format}");
    }
    fleet.run(&["plan", "-o", "a.plan"]).exits(0);
    fleet.run(&["plan", "-o", "b.plan"]).exits(0);
    assert_eq!(fleet.read("a.plan"), fleet.read("b.plan"));
    assert_eq!(fleet.run(&["plan", "--format", "json"]).stdout, fleet.read("a.plan"));
    assert_eq!(fleet.run(&["show", "a.plan", "--format", "json"]).stdout, fleet.read("a.plan"));
}

#[test]
fn plans_and_snapshots_follow_their_schemas() {
    let fleet = Fleet::quickstart();
    let plan = fleet.run(&["plan", "--format", "json"]).exits(0).json();
    validate("plan.schema.json", &plan);
    let seen = fleet.run(&["observe"]).exits(0).json();
    validate("snapshot.schema.json", &seen);
    fleet.run(&["observe", "-o", "seen.json"]).exits(0).says(&["3 clusters to seen.json"]);
    assert_eq!(serde_json::from_str::<Value>(&fleet.read("seen.json")).unwrap(), seen);
    let offline = fleet.run(&["plan", "--snapshot", "seen.json", "--format", "json"]).exits(0);
    assert_eq!(offline.json()["id"], plan["id"]);
    assert_eq!(offline.json(), plan);
}

#[test]
fn it_is_applied_and_nothing_is_left() {
    let fleet = Fleet::quickstart();
    let before = fleet.shape();
    fleet.run(&["plan", "-o", "next.plan"]).exits(0);
    let applied = fleet.apply(&["next.plan", "--events", "events.jsonl"]).exits(0);
    fleet.nothing_is_left_to_do();
    fleet.is_tidy(&before);

    let plan: Value = serde_json::from_str(&fleet.read("next.plan")).unwrap();
    let actions = plan["plan"]["actions"].as_array().unwrap();
    let events: Vec<Value> = fleet
        .read("events.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for event in &events {
        validate("event.schema.json", event);
    }
    let ended: Vec<&Value> =
        events.iter().filter_map(|event| event["kind"].get("action-ended")).collect();
    // The end of a wave is an action of no cluster, and no event.
    for action in actions.iter().filter(|action| action["cluster"].is_string()) {
        let ends: Vec<_> = ended.iter().filter(|end| end["action"] == action["id"]).collect();
        assert_eq!(ends.len(), 1, "{}", action["id"]);
        assert_eq!(ends[0]["outcome"], "done");
    }
    assert!(events[0]["kind"].get("run-started").is_some());
    assert_eq!(events.last().unwrap()["kind"]["run-ended"]["outcome"], "done");

    fits(&applied.stdout, 80);
    is_plain(&applied.stdout);
    is_plain(&applied.stderr);
    let run = fleet.last_run();
    for command in [
        &["status"][..],
        &["history"],
        &["show", &run],
        &["show", "next.plan"],
        &["state", "list"],
        &["plan"],
    ] {
        let ended = fleet.run(command).exits(0);
        assert!(!ended.stdout.is_empty(), "{command:?}");
        fits(&ended.stdout, 80);
        fits(&ended.stderr, 80);
        is_plain(&ended.stdout);
    }
}

#[test]
fn colour_only_where_it_is_asked_for() {
    let fleet = Fleet::quickstart();
    let plan = |color: &str, no_color: Option<&str>| {
        let mut command = fleet.command(&["plan", "--diff", "--color", color]);
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        let output = command.output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let plain = plan("auto", None);
    is_plain(&plain);
    fits(&plain, 80);
    assert_eq!(plan("never", None), plain);
    assert_eq!(plan("auto", Some("1")), plain);
    let colored = plan("always", None);
    assert!(colored.contains("\u{1b}["), "{colored:?}");
    assert_eq!(plan("always", Some("1")), colored, "an option counts more than a variable");
    let stripped = strip(&colored);
    assert_eq!(stripped, plain, "colour changes nothing else");
}

/// Without escape sequences of colour.
fn strip(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').unwrap().1)
}

#[test]
fn data_goes_to_stdout_and_talk_to_stderr() {
    let fleet = Fleet::quickstart();
    let plan = fleet.run(&["plan"]).exits(0);
    assert_eq!(plan.stderr, "");
    let saved = fleet.run(&["plan", "-o", "next.plan"]).exits(0);
    assert_eq!(saved.stdout, plan.stdout);
    insta::assert_snapshot!(saved.stderr, @"Saved. `refit apply next.plan` carries it out.");
    let quiet = fleet.run(&["-q", "plan", "-o", "next.plan"]).exits(0);
    assert_eq!((quiet.stdout, quiet.stderr.as_str()), (plan.stdout, ""));
    let valid = fleet.run(&["validate"]).exits(0);
    assert_eq!(valid.stdout, "");
    insta::assert_snapshot!(valid.stderr, @"The files are fine: 3 clusters, 2 releases, 6 add-ons.");
    assert_eq!(fleet.run(&["-q", "validate"]).exits(0).stderr, "");
    let json = fleet.run(&["validate", "--format", "json"]).exits(0);
    assert_eq!(json.json(), Value::Array(Vec::new()));
}

#[test]
fn a_quiet_apply_says_only_its_results_and_json_logs_are_events() {
    let fleet = Fleet::starter();
    let quiet = fleet.apply(&["-q", "--auto-approve"]).exits(0).shows(&["Actions: 3 done"]);
    assert_eq!(quiet.stderr, "");

    let fleet = Fleet::starter();
    let logged = fleet.apply(&["--auto-approve", "--log-format", "json"]).exits(0);
    let events: Vec<Value> = logged
        .stderr
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        // The others are messages.
        .filter(|line| line.get("kind").is_some())
        .collect();
    assert!(events.len() > 10, "{}", logged.stderr);
    for event in &events {
        validate("event.schema.json", event);
    }
}

#[test]
fn planning_and_looking_write_nothing() {
    let fleet = Fleet::quickstart();
    let before = fleet.files();
    for command in [
        &["validate"][..],
        &["plan"],
        &["plan", "--diff"],
        &["observe"],
        &["status"],
        &["history"],
        &["state", "list"],
        &["state", "unlock"],
    ] {
        fleet.run(command).exits(0);
        assert_eq!(fleet.files(), before, "{command:?}");
    }
    fleet.run(&["show", "20261102T090000-00000000"]).exits(64);
    fleet.run(&["apply"]).exits(64);
    assert!(!fs::exists(fleet.file("state")).unwrap());
    assert_eq!(fleet.files(), before);
}
