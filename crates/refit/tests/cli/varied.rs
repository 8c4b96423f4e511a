//! A large fleet whose clusters differ in size: its plan is reviewed by transition.

use std::fs;

use crate::support::{Fleet, fits};

/// How many clusters there are in the channel dev, and in all.
const DEV: usize = 20;
const CLUSTERS: usize = 120;

fn name(number: usize) -> String {
    if number <= DEV { format!("dev-{number:03}") } else { format!("prod-{number:03}") }
}

/// 120 clusters of two channels with nodes in varied numbers. Every seventh calls a pool otherwise, and
/// every twentieth of stable has a budget that never allows an eviction.
fn varied() -> Fleet {
    let fleet = Fleet::quickstart();
    let model = fleet.read("clusters/prod-eu-1.toml").replace("# The canary of its channel.\n", "");
    for entry in fs::read_dir(fleet.file("clusters")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for number in 1..=CLUSTERS {
        let name = name(number);
        let mut text = String::new();
        for line in model.replace("prod-eu-1", &name).lines() {
            match line.split_once(" = ").filter(|_| line.starts_with(&name)) {
                Some((group, _)) => {
                    let zone = group.bytes().last().map_or(0, usize::from);
                    let nodes = if group.contains("-workers-") {
                        1 + (number * number * 7 + zone * (number + 3)) % 12
                    } else {
                        1 + (number * 5 + zone) % 3
                    };
                    text.push_str(&format!("{group} = {nodes}\n"));
                }
                None => text.push_str(&format!("{line}\n")),
            }
        }
        if number <= DEV {
            text = text.replace("channel = \"stable\"", "channel = \"dev\"");
        }
        if number % 7 == 0 {
            text = text.replace("name = \"workers\"", "name = \"general\"");
        }
        if number > DEV && number % 20 == 0 {
            text = text.replace("min-available = \"75%\"", "min-available = \"100%\"");
        }
        fleet.write(&format!("clusters/{name}.toml"), &text);
    }
    fleet.edit("fleet.toml", "clusters = [\"prod-eu-1\"]", "clusters = [\"prod-021\"]");
    let limit = "max-parallel-clusters = 2";
    fleet.edit("fleet.toml", "{ percent = 100 }", "{ percent = 1 }, { percent = 100 }");
    fleet.edit("fleet.toml", limit, "max-parallel-clusters = 10\nmax-failed-clusters = 10");
    fleet
}

#[test]
fn a_large_varied_fleet_is_read_by_transition() {
    let fleet = varied();
    let plan = fleet.run(&["plan", "-o", "next.plan"]).exits(3);
    let lines = plan.stdout.lines().count();
    assert!(lines < 150, "{lines} lines:\n{}", plan.stdout);
    fits(&plan.stdout, 80);
    let plan = plan.shows(&[
        "20 clusters of dev (",
        "95 clusters of stable (",
        " nodes to replace in each, ",
        "prod-021, prod-022, prod-023 and 92 more; -v lists them",
        // The order of a transition is told once, and a wave that has nothing to do is said.
        "  dev-001 and 19 more\n",
        "wave 1 of stable  prod-021  (",
        "wave 2 of stable  no cluster has an action in this plan\n",
        // What blocks is counted.
        "5 clusters blocked, see Findings: prod-040, prod-060, prod-080, prod-100,",
        "blocked  RF012  shop/cart in 5 clusters",
        "expected to take",
    ]);
    assert_eq!(plan.stdout.matches("control-plane 1.35.8 -> 1.36.4").count(), 2);

    // Every name is there with -v, in a saved plan as well, and the plan is the same.
    let in_full = fleet.run(&["plan", "-v"]).exits(3).stdout;
    assert!(!in_full.contains("-v lists them"), "{in_full}");
    for number in 1..=CLUSTERS {
        assert!(in_full.contains(&name(number)), "{} is not named", name(number));
    }
    assert_eq!(fleet.run(&["show", "next.plan"]).exits(0).stdout, plan.stdout);
    fleet.run(&["show", "next.plan", "-v"]).exits(0).shows(&["prod-119"]);
    let json = |args: &[&str]| fleet.run(args).exits(3).stdout;
    assert_eq!(json(&["plan", "--format", "json"]), json(&["plan", "-v", "--format", "json"]));
}

/// What a cluster alone does differently is not lost among the others.
#[test]
fn a_cluster_that_goes_another_way_stands_apart() {
    let fleet = varied();
    fleet.edit(
        "clusters/prod-076.toml",
        "metrics-server = \"0.7.2\"\n",
        "\n[provider.start.foreign-addons]\nmetrics-server = \"0.7.2\"\n",
    );
    fleet.run(&["plan"]).exits(3).shows(&[
        "94 clusters of stable (",
        "  prod-076  1.35.8 -> 1.36.4",
        "! metrics-server",
        "unlike prod-021 and 93 more: metrics-server (take over what somebody else",
    ]);
}
