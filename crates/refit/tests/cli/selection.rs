//! Plans of a part of the fleet: `--cluster`, `--channel`, `--exclude`.

use serde_json::{Value, json};

use crate::support::{Fleet, validate};

/// What the apiservers of a cluster run.
fn runs(fleet: &Fleet, cluster: &str) -> Vec<String> {
    let seen = fleet.observed();
    let members = seen["clusters"][cluster]["fresh"]["control-plane"].as_array().unwrap();
    members.iter().map(|member| member["api-server"].as_str().unwrap().to_owned()).collect()
}

fn listed(plan: &Value) -> Vec<&str> {
    let clusters = plan["plan"]["clusters"].as_array().unwrap();
    clusters.iter().map(|cluster| cluster["name"].as_str().unwrap()).collect()
}

#[test]
fn a_selected_cluster_is_planned_saved_applied_and_done() {
    let fleet = Fleet::quickstart();
    let plan = fleet.run(&["plan", "--cluster", "prod-eu-*", "--format", "json"]).exits(0).json();
    validate("plan.schema.json", &plan);
    assert_eq!(listed(&plan), ["prod-eu-1"]);
    assert_eq!(plan["plan"]["selection"], json!({ "clusters": ["prod-eu-*"] }));
    assert_eq!(plan["plan"]["left-out"], json!(["dev-eu-1", "prod-us-1"]));

    let shown = fleet.run(&["plan", "--cluster", "prod-eu-1", "-o", "canary.plan"]).exits(0);
    let shown = shown.shows(&["1 of 1 cluster (the fleet has 3)"]);
    let shown = shown.shows(&["2 clusters left out: dev-eu-1, prod-us-1"]);
    assert!(!shown.stdout.contains("RF040"), "nothing comes before the canary");
    fleet.run(&["show", "canary.plan"]).exits(0).shows(&["2 clusters left out: "]);

    fleet.apply(&["canary.plan"]).exits(0).says(&["The second plan is empty"]);
    assert_eq!(runs(&fleet, "prod-eu-1"), ["1.36.4"; 3]);
    assert_eq!(runs(&fleet, "prod-us-1"), ["1.35.8"; 3]);
    fleet
        .run(&["plan", "--cluster", "prod-eu-1", "--detailed-exitcode"])
        .exits(0)
        .shows(&["No changes. 1 cluster runs what the files say.", "2 clusters left out"]);
    fleet.run(&["plan", "--detailed-exitcode"]).exits(2);
}

#[test]
fn options_narrow_each_other_and_have_variables() {
    let fleet = Fleet::quickstart();
    let stable = fleet.run(&["plan", "--channel", "stable", "--format", "json"]).exits(0).json();
    assert_eq!(listed(&stable), ["prod-eu-1", "prod-us-1"]);
    let args = ["plan", "--cluster", "*eu-1", "--exclude", "dev-*", "--format", "json"];
    assert_eq!(listed(&fleet.run(&args).exits(0).json()), ["prod-eu-1"]);
    let args = ["plan", "--cluster", "dev-eu-1", "--cluster", "prod-us-1", "--format", "json"];
    assert_eq!(listed(&fleet.run(&args).exits(0).json()), ["dev-eu-1", "prod-us-1"]);
    let mut by_variable = fleet.command(&["plan", "--format", "json"]);
    by_variable.env("REFIT_CHANNEL", "dev,stable").env("REFIT_EXCLUDE", "prod-eu-1");
    let by_variable = crate::support::Ended::of(by_variable).exits(0).json();
    assert_eq!(listed(&by_variable), ["dev-eu-1", "prod-us-1"]);
}

#[test]
fn labels_and_waves_select() {
    let fleet = Fleet::quickstart();
    for (name, region) in [("dev-eu-1", "eu"), ("prod-eu-1", "eu"), ("prod-us-1", "us")] {
        let file = format!("clusters/{name}.toml");
        let text = fleet.read(&file);
        let labels = format!("labels = {{ region = \"{region}\", team = \"shop\" }}\nchannel = ");
        fleet.write(&file, &crate::support::replaced(&text, "channel = ", &labels));
    }
    for (options, taken) in [
        (&["--label", "region=eu"][..], &["dev-eu-1", "prod-eu-1"][..]),
        (&["--label", "region=us,team=shop"], &["prod-us-1"]),
        (&["--channel", "stable", "--wave", "1"], &["prod-eu-1"]),
        (&["--wave", "2"], &["prod-us-1"]),
        (&["--wave", "1,2"], &["dev-eu-1", "prod-eu-1", "prod-us-1"]),
        (&["--label", "region=eu", "--wave", "1", "--exclude", "dev-*"], &["prod-eu-1"]),
        (&["--cluster", "prod-*", "--label", "region=eu"], &["prod-eu-1"]),
    ] {
        let plan = [&["plan", "--format", "json"][..], options].concat();
        assert_eq!(listed(&fleet.run(&plan).exits(0).json()), taken, "{options:?}");
    }
    fleet
        .run(&["plan", "--label", "region=ue"])
        .exits(64)
        .says(&["`--label region=ue`: no cluster in the files has this label", "region=eu"]);
    fleet.run(&["plan", "--label", "region"]).exits(64).says(&["write it as KEY=VALUE"]);
    fleet
        .run(&["plan", "--label", "region=us", "--wave", "1"])
        .exits(64)
        .says(&["no cluster is left by --label region=us --wave 1"]);
    fleet.run(&["plan", "--wave", "7"]).exits(64).says(&["no cluster is left by --wave 7"]);
}

#[test]
fn one_kind_of_parts_is_planned_applied_and_done() {
    let fleet = Fleet::quickstart();
    let only = ["plan", "--only", "add-ons", "--cluster", "dev-eu-1"];
    let shown = fleet.run(&only).exits(0).shows(&[
        "--only add-ons: control planes and nodes stay as they are",
        "RF047",
        "left undone by `--only add-ons`",
    ]);
    assert!(!shown.stdout.contains("rolled"), "{}", shown.stdout);
    fleet
        .run(&["plan", "--only", "addons"])
        .exits(64)
        .says(&["`control-plane`, `nodes` or `add-ons`"]);

    let before = runs(&fleet, "dev-eu-1");
    let apply = ["--auto-approve", "--cluster", "dev-eu-1"];
    fleet.apply(&[&apply[..], &["--only", "add-ons"]].concat()).exits(0);
    assert_eq!(runs(&fleet, "dev-eu-1"), before);
    fleet.run(&[&only[..], &["--detailed-exitcode"]].concat()).exits(0).shows(&["No changes."]);
    for part in ["control-plane", "nodes", "add-ons", "control-plane", "nodes"] {
        fleet.apply(&[&apply[..], &["--only", part]].concat()).exits(0);
    }
    fleet.apply(&apply).exits(0);
    fleet.run(&["plan", "--cluster", "dev-eu-1", "--detailed-exitcode"]).exits(0);
}

#[test]
fn a_wave_that_is_left_out_and_not_done_is_warned_of() {
    let fleet = Fleet::quickstart();
    let later = ["plan", "--exclude", "prod-eu-1", "--channel", "stable"];
    fleet.run(&later).exits(0).shows(&[
        "warning  RF040  prod-us-1: wave 1 of stable comes first, and is not done",
        "select wave 1 as well",
    ]);
    fleet.apply(&["--auto-approve", "--cluster", "prod-eu-1"]).exits(0);
    let shown = fleet.run(&later).exits(0);
    assert!(!shown.stdout.contains("RF040"), "the canary is done: {}", shown.stdout);
}

#[test]
fn what_fits_nothing_is_wrong_usage() {
    let fleet = Fleet::quickstart();
    let before = fleet.files();
    for (command, parts) in [
        (
            &["plan", "--cluster", "prod-eu-2"][..],
            &["`--cluster prod-eu-2`: there is no such cluster", "did you mean `prod-eu-1`?"][..],
        ),
        (&["plan", "--exclude", "staging-*"], &["`--exclude staging-*`", "clusters: `dev-eu-1`"]),
        (&["plan", "--channel", "stabel"], &["no such channel", "did you mean `stable`?"]),
        (
            &["plan", "--channel", "dev", "--exclude", "dev-*"],
            &["no cluster is left by --channel dev --exclude 'dev-*'"],
        ),
        (
            &["plan", "--cluster", "dev-eu-1", "--replace", "prod-eu-1/workers"],
            &["prod-eu-1 is not selected", "--cluster prod-eu-1"],
        ),
        (&["apply", "--auto-approve", "--cluster", "nope"], &["there is no such cluster"]),
    ] {
        fleet.run(command).exits(64).says(parts);
        assert_eq!(fleet.files(), before, "{command:?}");
    }
    fleet.run(&["plan", "-o", "next.plan"]).exits(0);
    let saved = ["apply", "next.plan", "--cluster", "dev-eu-1"];
    fleet.run(&saved).exits(64).says(&["a saved plan knows what it is about"]);
}

#[test]
fn an_unselected_cluster_is_not_looked_at() {
    let fleet = Fleet::quickstart();
    fleet.run(&["observe", "-o", "seen.json"]).exits(0);
    let mut seen: Value = serde_json::from_str(&fleet.read("seen.json")).unwrap();
    seen["clusters"].as_object_mut().unwrap().remove("prod-us-1");
    fleet.write("seen.json", &seen.to_string());
    fleet.run(&["plan", "--snapshot", "seen.json"]).exits(3).shows(&["RF002"]);
    fleet.run(&["plan", "--snapshot", "seen.json", "--exclude", "prod-us-1"]).exits(0);
}

#[test]
fn a_run_of_a_selection_is_gone_on_with_by_the_same_command() {
    let fleet = Fleet::quickstart();
    let args = ["apply", "--auto-approve", "--cluster", "prod-eu-1", "--simulation-speed", "2000"];
    let mut run = fleet.start(&args);
    run.until_it_says("apply --auto-approve --cluster prod-eu-1");
    run.until_lines(12);
    assert!(run.kill(), "it was killed on its way");
    let other = fleet.apply(&["--auto-approve", "--cluster", "dev-eu-1"]).exits(0);
    other.says(&["the selection have changed", "what it left half done in prod-eu-1 stays so"]);
    fleet.apply(&["--auto-approve", "--cluster", "prod-eu-1"]).exits(0);
    fleet.nothing_is_cordoned();
}
