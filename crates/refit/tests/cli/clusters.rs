//! `clusters`: a line for each cluster.

use serde_json::{Value, json};

use crate::support::{Fleet, validate};

fn row<'a>(list: &'a Value, name: &str) -> &'a Value {
    let clusters = list["clusters"].as_array().unwrap();
    clusters.iter().find(|cluster| cluster["name"] == name).unwrap()
}

#[test]
fn clusters_show_what_runs_and_what_is_pending() {
    let fleet = Fleet::quickstart();
    let before = fleet.files();
    let shown = fleet.run(&["clusters"]).exits(0);
    assert!(shown.stdout.contains("dev-eu-1"), "{}", shown.stdout);
    let list = fleet.run(&["clusters", "--format", "json"]).exits(0).json();
    validate("clusters.schema.json", &list);
    let cluster = row(&list, "dev-eu-1");
    assert_eq!(cluster["control-plane"], json!(["1.35.8"]));
    assert_eq!(cluster["nodes"], json!({ "oldest": "1.35.8", "newest": "1.35.8" }));
    assert_eq!(cluster["channel"], "dev");
    assert_eq!(cluster["declared"], "1.37.2");
    // As many actions as a plan has.
    let plan = fleet.run(&["plan", "--format", "json"]).exits(0).json();
    let actions = plan["plan"]["actions"].as_array().unwrap();
    let its = actions.iter().filter(|action| action["cluster"] == "dev-eu-1").count();
    assert!(its > 0);
    assert_eq!(cluster["pending"], its);
    assert_eq!(fleet.files(), before, "it wrote something");

    fleet.apply(&["--auto-approve"]).exits(0);
    let list = fleet.run(&["clusters", "--format", "json"]).exits(0).json();
    let cluster = row(&list, "dev-eu-1");
    assert_eq!(cluster["status"], "up-to-date");
    assert_eq!(cluster["pending"], 0);
    assert_eq!(cluster["control-plane"], json!(["1.37.2"]));
}

#[test]
fn clusters_that_are_blocked_frozen_or_unknown_are_listed() {
    let fleet = Fleet::with_blocked_cluster();
    let third = fleet.read("clusters/dev-1.toml").replace("dev-1", "dev-3");
    let freeze = "channel = \"dev\"\nfreeze = \"until 2030-01-31, sale\"\n";
    fleet.write("clusters/dev-3.toml", &third.replacen("channel = \"dev\"\n", freeze, 1));
    let list = fleet.run(&["clusters", "--format", "json"]).exits(0).json();
    validate("clusters.schema.json", &list);
    assert_eq!(row(&list, "dev-1")["blocked"], json!([]));
    assert_eq!(row(&list, "dev-2")["blocked"], json!(["RF012"]));
    assert_eq!(row(&list, "dev-2")["pending"], 0);
    assert_eq!(row(&list, "dev-3")["frozen"], json!({ "until": "2030-01-31", "reason": "sale" }));
    assert_eq!(row(&list, "dev-3")["pending"], 0);
    fleet.run(&["clusters"]).exits(0).shows(&["RF012", "until 2030-01-31"]);

    // A cluster that the snapshot lacks.
    let mut seen = fleet.observed();
    seen["clusters"].as_object_mut().unwrap().remove("dev-1");
    fleet.write("seen.json", &seen.to_string());
    let args = ["clusters", "--snapshot", "seen.json", "--format", "json"];
    let list = fleet.run(&args).exits(0).json();
    assert_eq!(row(&list, "dev-1")["blocked"], json!(["RF002"]));
    assert_eq!(row(&list, "dev-1")["control-plane"], json!([]));
}

#[test]
fn clusters_are_selected_as_those_of_a_plan() {
    let fleet = Fleet::quickstart();
    for (options, expected) in [
        (&["--cluster", "prod-*"][..], &["prod-eu-1", "prod-us-1"][..]),
        (&["--channel", "dev"], &["dev-eu-1"]),
        (&["--channel", "stable", "--wave", "1"], &["prod-eu-1"]),
        (&["--exclude", "prod-*"], &["dev-eu-1"]),
    ] {
        let args = [&["clusters", "--format", "json"], options].concat();
        let list = fleet.run(&args).exits(0).json();
        let names: Vec<&str> = list["clusters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cluster| cluster["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, expected, "{options:?}");
    }
    fleet.run(&["clusters", "--channel", "stabel"]).exits(64).says(&["did you mean `stable`?"]);
}
