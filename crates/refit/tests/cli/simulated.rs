//! The files of a simulated fleet: one for each cluster, and one for what they have in common.

use std::fs;

use serde_json::{Value, json};

use crate::support::Fleet;

fn applied() -> Fleet {
    let fleet = Fleet::starter();
    fleet.apply(&["--auto-approve"]).exits(0);
    fleet
}

fn parsed(fleet: &Fleet, file: &str) -> Value {
    serde_json::from_str(&fleet.read(file)).unwrap()
}

#[test]
fn a_damaged_world_is_an_error() {
    for (file, begins_anew) in [
        ("state/world.json", "remove the file to let the simulated fleet begin anew"),
        ("state/world/dev-1.json", "remove the file to let this simulated cluster begin anew"),
    ] {
        let fleet = applied();
        let whole = fleet.read(file);
        let newer = whole.replace("\"format-version\":\"2.0\"", "\"format-version\":\"9.0\"");
        for damaged in ["{", "", &whole[..whole.len() / 2], "{\"format-version\":\"2.0\"}", &newer]
        {
            fleet.write(file, damaged);
            let before = fleet.files()[&fleet.file(file)].clone();
            for command in [&["plan"][..], &["observe"], &["apply", "--auto-approve"]] {
                fleet
                    .run(command)
                    .exits(1)
                    .says(&[&format!("cannot use ./{file}"), &format!("hint: {begins_anew}")]);
            }
            assert_eq!(fleet.files()[&fleet.file(file)], before, "it is as it was");
        }
        fs::remove_file(fleet.file(file)).unwrap();
        fleet.apply(&["--auto-approve"]).exits(0).says(&["3 done"]);
    }
}

#[test]
fn a_file_with_the_name_of_another_cluster_is_an_error() {
    let fleet = applied();
    fs::copy(fleet.file("state/world/dev-1.json"), fleet.file("state/world/dev-2.json")).unwrap();
    fleet
        .run(&["plan"])
        .exits(1)
        .says(&["cannot use ./state/world/dev-2.json: it is the file of the cluster dev-1"]);
}

#[test]
fn a_world_in_one_file_is_read_and_becomes_several() {
    let fleet = applied();
    let (mut whole, cluster) =
        (parsed(&fleet, "state/world.json"), parsed(&fleet, "state/world/dev-1.json"));
    let before = fleet.observed();
    // As it was written before each cluster had a file.
    whole["format-version"] = json!("1.2");
    whole["clusters"] = json!({ "dev-1": cluster["cluster"] });
    fs::remove_dir_all(fleet.file("state/world")).unwrap();
    fleet.write("state/world.json", &whole.to_string());
    assert_eq!(fleet.observed(), before);
    fleet.run(&["status"]).exits(0);
    fleet.nothing_is_left_to_do();
    fleet.edit("releases/2026.11.0.toml", "1.36.4", "1.37.2");
    fleet.apply(&["--auto-approve"]).exits(0);
    fleet.nothing_is_left_to_do();
    assert!(parsed(&fleet, "state/world.json").get("clusters").is_none());
    assert_eq!(parsed(&fleet, "state/world/dev-1.json")["format-version"], "2.0");
}

#[test]
fn files_of_clusters_are_nothing_without_the_world() {
    let fleet = applied();
    fs::copy(fleet.file("state/world/dev-1.json"), fleet.file("state/world/gone.json")).unwrap();
    fs::remove_file(fleet.file("state/world.json")).unwrap();
    fleet.apply(&["--auto-approve"]).exits(0).says(&["3 done"]);
    assert!(!fleet.file("state/world/gone.json").exists());
}

#[test]
fn what_is_done_in_one_cluster_writes_no_other() {
    let fleet = Fleet::starter();
    let second = fleet.read("clusters/dev-1.toml").replace("dev-1", "dev-2");
    fleet.write("clusters/dev-2.toml", &second);
    fleet.apply(&["--auto-approve", "--cluster", "dev-1"]).exits(0);
    let before = fleet.files();
    fleet.apply(&["--auto-approve", "--cluster", "dev-2"]).exits(0);
    let after = fleet.files();
    let changed = |name: &str| before[&fleet.file(name)] != after[&fleet.file(name)];
    assert!(changed("state/world/dev-2.json"));
    assert!(!changed("state/world/dev-1.json"));
}
