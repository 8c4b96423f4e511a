//! A release that has changed since it was applied.

use crate::support::Fleet;

const RELEASE: &str = "releases/2026.11.0.toml";

#[test]
fn a_release_that_changed_in_place_is_a_warning() {
    let fleet = Fleet::starter();
    // Before it is applied, it may change as often as one likes.
    fleet.edit(RELEASE, "kubernetes = \"1.36.4\"", "kubernetes = \"1.35.8\"");
    let plan = fleet.run(&["plan"]).exits(0);
    assert!(!plan.stdout.contains("RF058"), "{}", plan.stdout);
    fleet.apply(&["--auto-approve"]).exits(0);
    assert!(fleet.read("state/releases.json").contains("\"2026.11.0\""));
    fleet.nothing_is_left_to_do();

    // Comments and the order of lines do not count.
    let text = fleet.read(RELEASE);
    let (head, sets) = text.split_once("[addon-sets.base]").unwrap();
    fleet.write(RELEASE, &format!("# New.\n[addon-sets.base]\n{sets}\n{head}"));
    let plan = fleet.run(&["plan"]).exits(0);
    assert!(!plan.stdout.contains("RF058"), "{}", plan.stdout);

    fleet.write(RELEASE, &text.replace("1.35.8", "1.36.4"));
    let parts = ["warning  RF058  dev-1", "release 2026.11.0 (releases/2026.11.0.toml:"];
    fleet.run(&["plan"]).exits(0).shows(&parts).shows(&["restore releases/2026.11.0.toml"]);
    // It stays one after the changed release was applied.
    fleet.apply(&["--auto-approve"]).exits(0).shows(&["RF058"]);
    fleet.run(&["plan"]).exits(0).shows(&["RF058"]);
    // A plan from a saved snapshot is the same everywhere, with this state directory or without.
    fleet.run(&["observe", "-o", "seen.json"]).exits(0);
    let plan = fleet.run(&["plan", "--snapshot", "seen.json"]).exits(0);
    assert!(!plan.stdout.contains("RF058"), "{}", plan.stdout);

    // What the hint says ends it.
    fleet.write("releases/next.toml", &fleet.read(RELEASE).replace("\"2026.11.0\"", "\"next\""));
    fleet.write(RELEASE, &text);
    fleet.edit("fleet.toml", "release = \"2026.11.0\"", "release = \"next\"");
    let plan = fleet.run(&["plan"]).exits(0);
    assert!(!plan.stdout.contains("RF058"), "{}", plan.stdout);
}

#[test]
fn a_damaged_list_of_releases_is_named_and_stops_nothing() {
    let fleet = Fleet::starter();
    fleet.apply(&["--auto-approve"]).exits(0);
    fleet.write("state/releases.json", "{");
    let parts = ["releases.json is damaged in line 1", "or remove it"];
    fleet.run(&["plan"]).exits(0).says(&parts);
    fleet.apply(&["--auto-approve", "--replace", "dev-1/workers"]).exits(0).says(&parts);
    assert_eq!(fleet.read("state/releases.json"), "{");
}
