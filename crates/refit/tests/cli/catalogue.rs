//! `addons`, and plans in which the catalogue or an API decides.

use crate::support::{Ended, Fleet, fits, is_plain, refit};

/// The starter without the ranges of its add-on.
fn without_ranges() -> Fleet {
    let fleet = Fleet::starter();
    fleet.edit("addons/metrics-server/addon.toml", "kubernetes = \">=1.31, <=1.35\"\n", "");
    fleet.edit("addons/metrics-server/addon.toml", "kubernetes = \">=1.34, <=1.37\"\n", "");
    fleet
}

/// One more object in a version of the starter's add-on.
fn object(fleet: &Fleet, version: &str, api: &str, kind: &str) {
    let name = format!("addons/metrics-server/{version}/metrics-server.yaml");
    let text = fleet.read(&name);
    let more = format!(
        "---\napiVersion: {api}\nkind: {kind}\nmetadata:\n  name: metrics-server\n  namespace: kube-system\n"
    );
    fleet.write(&name, &(text + &more));
}

/// The section of findings, without what follows it.
fn findings(plan: &Ended) -> &str {
    let begins = plan.stdout.find("\nFindings\n").expect("the plan has findings");
    plan.stdout[begins + 1..].split("\n\n").next().unwrap()
}

#[test]
fn the_catalogue_is_shown_without_a_fleet() {
    let nowhere = tempfile::tempdir().unwrap();
    let list = Ended::of(refit(nowhere.path(), &["addons"])).exits(0);
    fits(&list.stdout, 80);
    is_plain(&list.stdout);
    assert!(list.stdout.starts_with("ADD-ON"), "{}", list.stdout);
    assert_eq!(list.stdout.lines().count(), 22);
    let list = list.says(&["The catalogue is of 2026-11-21."]);
    assert!(list.stdout.contains("\ncert-manager "), "{}", list.stdout);
    let one = Ended::of(refit(nowhere.path(), &["addons", "kube-proxy"])).exits(0);
    fits(&one.stdout, 80);
    insta::assert_snapshot!(one.stdout, @"
    kube-proxy  skew: never newer than an apiserver and at most 3 minors older (2
      before 1.25), and as far from the kubelet beside it

    Notes
      ipvs is deprecated from 1.35 on; nftables is to follow (KEP-5495)

    Sources
      kubernetes/website content/en/releases/version-skew-policy.md @01bc0975,
        2026-08-22
    ");
    Ended::of(refit(nowhere.path(), &["addons", "nothing"]))
        .exits(64)
        .says(&["neither the catalogue nor the fleet knows `nothing`", "`refit addons` lists"]);
}

#[test]
fn within_a_fleet_it_says_what_decides_each_range() {
    let fleet = Fleet::quickstart();
    fleet.run(&["addons"]).exits(0).shows(&["1.18.4, 1.19.4,", "dashboard"]);
    fleet.run(&["addons", "dashboard"]).exits(0).shows(&["the catalogue does not know it"]);
    let page = fleet.run(&["addons", "cert-manager"]).exits(0);
    fits(&page.stdout, 80);
    let page =
        page.shows(&["1.20.1  >=1.33, <=1.37, as addons/cert-manager/addon.toml:", "1.21.1"]);
    assert_eq!(page.stdout, fleet.run(&["addons", "cert-manager"]).stdout);

    let fleet = without_ranges();
    let json = fleet.run(&["addons", "metrics-server", "--format", "json"]).exits(0).json();
    let addon = &json["addons"][0];
    assert_eq!(addon["policy"], "minimum");
    assert_eq!(addon["fleet"][1]["version"], "0.8.1");
    assert_eq!(addon["fleet"][1]["kubernetes"], ">=1.31");
    assert_eq!(addon["fleet"][1]["decided-by"], "catalogue");
    assert_eq!(addon["fleet"][1]["source"]["read"], "2026-08-04");
    assert_eq!(addon["catalogue"][0]["versions"], "0.9");
}

#[test]
fn a_fleet_with_problems_is_left_out() {
    let fleet = Fleet::starter();
    fleet.edit("addons/metrics-server/addon.toml", "0.8.1", "0.9.9");
    fleet
        .run(&["addons", "metrics-server"])
        .exits(0)
        .says(&["only the catalogue is shown", "`refit validate`"])
        .shows(&["runs on >=1.34"]);
}

#[test]
fn the_plan_says_that_the_catalogue_decided() {
    let fleet = without_ranges();
    let plan = fleet.run(&["plan"]).exits(0);
    assert_eq!(plan.stdout, fleet.run(&["plan"]).exits(0).stdout);
    insta::assert_snapshot!(findings(&plan), @"
    Findings
      note     RF034  dev-1: the catalogue decided what these add-ons support:
               metrics-server
               `refit explain CLUSTER/ADD-ON` shows the sources
    ");
    let explained = fleet.run(&["explain", "dev-1/metrics-server"]).exits(0);
    explained.shows(&["0.7.2 supports >=1.27, as the catalogue", "README.md @5ed5d3a2"]);
    fleet.apply(&["--auto-approve"]).exits(0);
    fleet.nothing_is_left_to_do();
}

#[test]
fn an_api_that_goes_moves_the_addon_or_blocks_with_its_object() {
    let fleet = without_ranges();
    object(&fleet, "0.7.2", "scheduling.k8s.io/v1alpha1", "Workload");
    let plan = fleet.run(&["plan"]).exits(0);
    plan.shows(&["before 1.36 (0.7.2 uses", "scheduling.k8s.io/v1alpha1"]);
    object(&fleet, "0.8.1", "scheduling.k8s.io/v1alpha1", "Workload");
    let blocked = fleet.run(&["plan"]).exits(3);
    insta::assert_snapshot!(findings(&blocked), @"
    Findings
      blocked  RF031  dev-1 metrics-server: cannot reach 1.36.4: Workload
               kube-system/metrics-server
               (addons/metrics-server/0.7.2/metrics-server.yaml:31) uses
               scheduling.k8s.io/v1alpha1, which 1.36 does not serve (gone from 1.36
               on); Workload kube-system/metrics-server
               (addons/metrics-server/0.8.1/metrics-server.yaml:31) uses
               scheduling.k8s.io/v1alpha1, which 1.36 does not serve (gone from 1.36
               on)
               add a version without these objects to addons/metrics-server
    ");
    blocked.says(&["warning: Workload kube-system/metrics-server uses", "this object"]);
    fleet.apply(&["--auto-approve"]).exits(3);
}

#[test]
fn an_addon_for_one_minor_is_upgraded_in_its_window() {
    let fleet = Fleet::quickstart();
    for (version, range) in
        [("1.35.2", ">=1.35, <=1.36"), ("1.36.1", ">=1.36, <=1.37"), ("1.37.0", ">=1.37, <=1.38")]
    {
        let written = format!("version = \"{version}\"\nkubernetes = \"{range}\"\n");
        fleet.edit(
            "addons/cluster-autoscaler/addon.toml",
            &written,
            &format!("version = \"{version}\"\n"),
        );
    }
    fleet.run(&["plan"]).exits(3).shows(&["may-be-unsupported-during-hop"]);
    fleet.edit(
        "addons/cluster-autoscaler/addon.toml",
        "[detect]",
        "[addon]\nmay-be-unsupported-during-hop = true\n\n[detect]",
    );
    fleet.run(&["plan"]).exits(0).shows(&["warning  RF035"]);
    fleet.apply(&["--auto-approve"]).exits(0);
    fleet.nothing_is_left_to_do();
}

#[test]
fn the_end_of_a_minor_is_held_against_the_given_time() {
    let fleet = Fleet::starter();
    let plan = |now: &str| fleet.run(&["plan", "--now", now]).exits(0).stdout;
    assert!(!plan("2026-01-01T00:00:00Z").contains("RF032"));
    let late = plan("2028-01-01T00:00:00Z");
    assert!(late.contains("warning  RF032") && late.contains("2027-06-28"), "{late}");
    fleet.run(&["plan", "--now", "tomorrow"]).exits(64).says(&["--now"]);
}
