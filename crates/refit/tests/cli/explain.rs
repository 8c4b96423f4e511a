//! What one asks about a plan: `explain` and `graph`.

use crate::support::{FAST, Fleet, fits, is_plain, validate, without_ids};

#[test]
fn an_add_on_says_why_each_version_and_when() {
    let fleet = Fleet::quickstart();
    let told = fleet.run(&["explain", "dev-eu-1/cluster-autoscaler"]).exits(0).stdout;
    fits(&told, 80);
    is_plain(&told);
    let (first, _) = told.split_once("\n\n\n").expect("two actions");
    insta::assert_snapshot!(without_ids(first), @"
    cluster-autoscaler 1.35.2 -> 1.36.1  on dev-eu-1 · action 5a9f9cb27931
      · plan ...
      why      cluster-autoscaler 1.35.2 supports >=1.35, <=1.36, and 1.37 is on the
               way (addons/cluster-autoscaler/addon.toml:10)
      expects  1.35.2 (2ee6f1c55126)
      leaves   1.36.1 (1cd79cc6fcae)
      bounds   fails after 20 min
      takes    ~ 2 min (1 min to 20 min)
      undo     by a plan for the earlier state

    Why 1.36.1
      it supports >=1.36, <=1.37 (addons/cluster-autoscaler/addon.toml:14); its
        project says: its minor is that of the control plane; the patch does not
        matter
      while it is there: apiservers of 1.36, 1.37, kubelets of 1.35, 1.36, 1.37
      its release declares 1.37.0 in the set base (releases/2026.11.0.toml:10)
      not 1.35.2  is what is there; supports >=1.35, <=1.36, not 1.37
                  (addons/cluster-autoscaler/addon.toml:10)
      not 1.37.0  supports >=1.37, <=1.38, not 1.36
                  (addons/cluster-autoscaler/addon.toml:18)

    Waits for
      dev-eu-1 control-plane 1.35.8 -> 1.36.4  55a438068cd1
        cluster-autoscaler 1.36.1 supports >=1.36, <=1.37, not 1.35
          (addons/cluster-autoscaler/addon.toml:14)
        after dev-eu-1 cert-manager 1.18.4 -> 1.20.1  3b8b08f6f5fd
          cert-manager 1.18.4 supports >=1.31, <=1.35, not 1.36
            (addons/cert-manager/addon.toml:12)

    Awaited by
      dev-eu-1 control-plane 1.36.4 -> 1.37.2  d38431f7c24a
        cluster-autoscaler 1.35.2 supports >=1.35, <=1.36, not 1.37
          (addons/cluster-autoscaler/addon.toml:10)
    ");
}

#[test]
fn every_action_can_be_explained_from_the_plan_and_from_its_file() {
    let fleet = Fleet::quickstart();
    fleet.run(&["plan", "-o", "next.plan"]).exits(0);
    let plan: serde_json::Value = serde_json::from_str(&fleet.read("next.plan")).unwrap();
    let before = fleet.files();
    let actions = plan["plan"]["actions"].as_array().unwrap();
    assert!(actions.len() > 20);
    for action in actions.iter().step_by(5) {
        let id = action["id"].as_str().unwrap();
        let saved = fleet.run(&["explain", id, "next.plan"]).exits(0);
        assert_eq!(saved.stderr, "");
        fits(&saved.stdout, 80);
        let json = fleet.run(&["explain", id, "next.plan", "--format", "json"]).exits(0);
        validate("explanation.schema.json", &json.json());
        assert_eq!(json.json()["about"]["action"]["action"], *action);
        assert_eq!(json.json()["plan"], plan["id"]);
    }
    for name in ["dev-eu-1", "prod-us-1", "dev-eu-1/workers", "dev-eu-1/control-plane"] {
        let live = fleet.run(&["explain", name]).exits(0).stdout;
        assert_eq!(live, fleet.run(&["explain", name, "next.plan"]).exits(0).stdout);
        let json = fleet.run(&["explain", name, "--format", "json"]).exits(0).json();
        validate("explanation.schema.json", &json);
        assert_eq!(json["with-files"], true);
    }
    assert_eq!(fleet.files(), before, "nothing is written");
}

#[test]
fn a_plan_of_other_files_is_explained_without_them() {
    let fleet = Fleet::starter();
    fleet.run(&["plan", "-o", "next.plan"]).exits(0);
    let file = fleet.read("clusters/dev-1.toml");
    fleet.write("clusters/dev-1.toml", &format!("{file}\n# another line\n"));
    fleet
        .run(&["explain", "dev-1/control-plane", "next.plan"])
        .exits(0)
        .says(&["the plan was made from other files than those here"])
        .shows(&["control-plane 1.35.8 -> 1.36.4", "Without the files"]);
    std::fs::remove_file(fleet.file("fleet.toml")).unwrap();
    let alone = fleet.run(&["explain", "dev-1", "next.plan"]).exits(0);
    assert_eq!(alone.stderr, "");
    fleet.run(&["graph", "next.plan"]).exits(0).shows(&["digraph"]);
}

#[test]
fn what_blocks_a_cluster_is_told() {
    let fleet = Fleet::with_blocked_cluster();
    fleet.run(&["explain", "dev-2"]).exits(0).shows(&["and is blocked", "RF012"]);
    fleet.run(&["graph"]).exits(0).shows(&["\"blocked dev-2\"", "RF012"]);
}

#[test]
fn names_that_name_nothing_are_wrong_usage() {
    let fleet = Fleet::quickstart();
    fleet.run(&["explain", "dve-eu-1"]).exits(64).says(&["did you mean `dev-eu-1`?"]);
    fleet
        .run(&["explain", "dev-eu-1/corends"])
        .exits(64)
        .says(&["did you mean `dev-eu-1/coredns`?", "parts of dev-eu-1: cert-manager, "]);
    fleet.run(&["explain", "zzz"]).exits(64).says(&[
        "`zzz` is neither a cluster nor an action",
        "`refit explain CLUSTER` lists the actions",
    ]);
    fleet.run(&["explain", "dev-eu-1", "missing.plan"]).exits(1).says(&["missing.plan"]);
    fleet.run(&["explain", "dev-eu-1", "fleet.toml"]).exits(1).says(&["not a plan of refit"]);
}

#[test]
fn what_decides_a_plan_goes_with_no_saved_one() {
    let fleet = Fleet::starter();
    fleet.run(&["plan", "-o", "next.plan"]).exits(0);
    for command in [&["explain", "dev-1", "next.plan"][..], &["graph", "next.plan"]] {
        for option in [
            &["--snapshot", "s.json"][..],
            &["--replace", "dev-1/workers"],
            &["--refresh-images"],
            &["--now", "2026-11-21T09:00:00Z"],
            &["--cluster", "dev-1"],
            &["--channel", "dev"],
            &["--exclude", "dev-1"],
        ] {
            fleet.run(&[command, option].concat()).exits(64).says(&["cannot be used with"]);
        }
    }
    // Without one, they do what they do for `refit plan`.
    fleet.run(&["observe", "-o", "s.json"]).exits(0);
    fleet.run(&["apply", "--auto-approve", FAST[0], FAST[1]]).exits(0);
    fleet
        .run(&["explain", "dev-1/workers", "--replace", "dev-1/workers"])
        .exits(0)
        .shows(&["the command asked for it"]);
    fleet
        .run(&["explain", "dev-1/workers", "--snapshot", "s.json"])
        .exits(0)
        .shows(&["workers 1.35.8 -> 1.36.4"]);
    fleet.run(&["explain", "dev-1/workers"]).exits(0).shows(&["does nothing with it"]);
}

#[test]
fn a_graph_has_every_action_and_edge() {
    let fleet = Fleet::quickstart();
    let plan = fleet.run(&["plan", "--format", "json"]).exits(0).json();
    let dot = fleet.run(&["graph"]).exits(0).stdout;
    let mermaid = fleet.run(&["graph", "--format", "mermaid"]).exits(0).stdout;
    assert!(mermaid.starts_with("flowchart LR\n"));
    assert_eq!(dot, fleet.run(&["graph", "--format", "dot"]).exits(0).stdout);
    for action in plan["plan"]["actions"].as_array().unwrap() {
        let id = action["id"].as_str().unwrap();
        assert!(dot.contains(&format!("\"{id}\" [label=")), "{id}");
        assert!(mermaid.contains(&format!("a_{id}")), "{id}");
    }
    let edges = plan["plan"]["edges"].as_array().unwrap();
    let pairs: std::collections::BTreeSet<_> =
        edges.iter().map(|edge| (edge["from"].to_string(), edge["to"].to_string())).collect();
    assert_eq!(dot.lines().filter(|line| line.contains(" -> \"")).count(), pairs.len());
    assert_eq!(mermaid.lines().filter(|line| line.contains("-->")).count(), pairs.len());
}

#[test]
fn what_earlier_runs_took_decides_how_long_a_plan_takes() {
    let fleet = Fleet::quickstart();
    let first = fleet.run(&["plan", "--format", "json"]).exits(0).json();
    assert!(first["plan"]["measured"].is_null(), "nothing has run yet");
    fleet.run(&["plan"]).exits(0).shows(&["Time\n", "nothing was measured in earlier runs yet"]);
    fleet.apply(&["--auto-approve"]).exits(0);
    let again = ["plan", "--replace", "dev-eu-1/workers"];
    fleet.run(&again).exits(0).shows(&["measured in earlier runs: node of a pool"]);
    let second = fleet.run(&[&again[..], &["--format", "json"]].concat()).exits(0).json();
    validate("plan.schema.json", &second);
    let node = &second["plan"]["measured"]["node"];
    assert_eq!(node["samples"], 6, "two pools in each of three clusters");
    assert!(second["plan"]["measured"]["addon-apply"].is_null(), "the plan has no such action");
    fleet
        .run(&["explain", "dev-eu-1/workers", "--replace", "dev-eu-1/workers"])
        .exits(0)
        .shows(&[", from 6 rolls)"]);
    // The same journals give the same plan.
    let third = fleet.run(&[&again[..], &["--format", "json"]].concat()).exits(0).json();
    assert_eq!(second["digest"], third["digest"]);
    // And a snapshot gives the same plan with and without them.
    fleet.run(&["observe", "-o", "s.json"]).exits(0);
    let from = [&again[..], &["--snapshot", "s.json", "--format", "json"]].concat();
    let with = fleet.run(&from).exits(0).json();
    std::fs::remove_dir_all(fleet.file("state/runs")).unwrap();
    let without = fleet.run(&from).exits(0).json();
    assert!(with["plan"]["measured"].is_null());
    assert_eq!(with["digest"], without["digest"]);
}
