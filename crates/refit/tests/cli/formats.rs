//! Every command that prints JSON, by a schema.

use std::collections::BTreeSet;

use crate::help;
use crate::support::{Fleet, validate};

/// The commands that print JSON with `--format json`, and the schemas of that.
const FORMATS: [(&str, &str); 13] = [
    ("validate", "problems.schema.json"),
    ("plan", "plan.schema.json"),
    ("clusters", "clusters.schema.json"),
    ("show next.plan", "plan.schema.json"),
    ("show RUN", "run.schema.json"),
    ("explain dev-1", "explanation.schema.json"),
    ("explain dev-1/workers", "explanation.schema.json"),
    ("addons", "addons.schema.json"),
    ("addons metrics-server", "addons.schema.json"),
    ("addons cert-manager", "addons.schema.json"),
    ("status", "status.schema.json"),
    ("history", "history.schema.json"),
    ("state list", "state.schema.json"),
];

/// Whether the help of a command offers JSON for its `--format`.
fn offers_json(help: &str) -> bool {
    help.split_once("--format <FORMAT>").is_some_and(|(_, rest)| {
        let end = rest.find("\n      --").unwrap_or(rest.len());
        rest[..end].contains("json")
    })
}

#[test]
fn every_output_in_json_follows_a_schema() {
    let fleet = Fleet::with_blocked_cluster();
    fleet.run(&["plan", "-o", "next.plan"]).exits(3);
    let check = |with_runs: bool| {
        for (command, schema) in FORMATS {
            let run;
            let mut args: Vec<&str> = command.split(' ').collect();
            if command == "show RUN" {
                if !with_runs {
                    continue;
                }
                run = fleet.last_run();
                args[1] = &run;
            }
            args.extend(["--format", "json"]);
            let json = fleet.run(&args).json();
            validate(schema, &json);
            if with_runs && command == "history" {
                assert_eq!(json.as_array().unwrap().len(), 1);
            }
        }
    };
    check(false);
    fleet.apply(&["--auto-approve"]).exits(3);
    check(true);
    // A file with a problem that has a line, and one that is not there at all.
    fleet.edit("fleet.toml", "[kubernetes]", "[kubernetes]\nsince = 1");
    std::fs::remove_file(fleet.file("releases/2026.11.0.toml")).unwrap();
    let problems = fleet.run(&["validate", "--format", "json"]).exits(1).json();
    assert!(problems.as_array().unwrap().len() >= 2, "{problems}");
    validate("problems.schema.json", &problems);
}

#[test]
fn every_command_that_offers_json_is_checked() {
    let mut commands = Vec::new();
    help::walk(&[], &mut commands);
    let offering: BTreeSet<String> = commands
        .iter()
        .filter(|path| !path.is_empty())
        .filter(|path| {
            let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
            args.push("-h");
            offers_json(&help::run(&args).exits(0).stdout)
        })
        .map(|path| path.join(" "))
        .collect();
    let checked: BTreeSet<String> = FORMATS
        .iter()
        .map(|(command, _)| match *command {
            "state list" => "state list".to_owned(),
            command => command.split(' ').next().unwrap().to_owned(),
        })
        .collect();
    assert_eq!(offering, checked);
}
