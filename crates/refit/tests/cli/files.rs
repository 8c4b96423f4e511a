//! Wrong files, as the binary shows them.

use std::fs;

use crate::support::Fleet;

#[test]
fn an_unknown_key_is_shown_with_its_line_and_a_suggestion() {
    let fleet = Fleet::starter();
    fleet.edit("clusters/dev-1.toml", "addon-sets =", "addon-set =");
    let ended = fleet.run(&["validate"]).exits(1);
    insta::assert_snapshot!(ended.stderr, @r#"
    error: unknown key `addon-set` in `[cluster]`
     --> clusters/dev-1.toml:6:1
      |
    6 | addon-set = ["base"]
      | ^^^^^^^^^ not a key of refit
      |
      = help: did you mean `addon-sets`?

    error: 1 problem in the fleet's files; nothing was done
    "#);
    assert_eq!(ended.stdout, "");
}

#[test]
fn every_problem_is_shown_at_once_by_every_command() {
    let fleet = Fleet::starter();
    fleet.edit("clusters/dev-1.toml", "addon-sets =", "addon-set =");
    fleet.edit("releases/2026.11.0.toml", r#""1.36.4""#, r#""1.36.x""#);
    fleet.edit("fleet.toml", "[kubernetes]", "[kubernetes]\nsince = 1");
    let before = fleet.files();
    let places =
        ["clusters/dev-1.toml:6:1", "releases/2026.11.0.toml:6:14", "fleet.toml:8:1", "3 problems"];
    for command in ["validate", "plan", "observe", "apply", "status", "history"] {
        let ended = fleet.run(&[command]).exits(1).says(&places);
        assert_eq!(ended.stdout, "", "{command}");
        assert_eq!(fleet.files(), before, "{command}");
    }
    let problems = fleet.run(&["validate", "--format", "json"]).exits(1).json();
    let problems = problems.as_array().unwrap();
    assert_eq!(problems.len(), 3);
    let unknown = problems.iter().find(|p| p["file"] == "clusters/dev-1.toml").unwrap();
    assert_eq!((unknown["line"].as_u64(), unknown["column"].as_u64()), (Some(6), Some(1)));
    assert_eq!(unknown["severity"], "error");
    assert_eq!(unknown["hints"][0], "did you mean `addon-sets`?");
}

#[test]
fn a_file_that_is_not_toml_is_shown_where_it_breaks() {
    let fleet = Fleet::starter();
    fleet.edit("fleet.toml", r#"name = "my-fleet""#, r#"name = "my-fleet"#);
    fleet.run(&["plan"]).exits(1).says(&["--> fleet.toml:5:"]);
    fs::write(fleet.file("fleet.toml"), [0xff, 0xfe, 0]).unwrap();
    fleet.run(&["plan"]).exits(1).says(&["fleet.toml"]);
}

#[test]
fn a_file_of_a_hundred_megabytes_is_not_read() {
    let fleet = Fleet::starter();
    let file = fs::File::create(fleet.file("clusters/dev-2.toml")).unwrap();
    file.set_len(100 << 20).unwrap();
    let begun = std::time::Instant::now();
    fleet.run(&["plan"]).exits(1).says(&["clusters/dev-2.toml", "100 MiB", "at most 4 MiB"]);
    assert!(begun.elapsed().as_secs() < 5);
    let plan = fs::File::create(fleet.file("huge.plan")).unwrap();
    plan.set_len(3 << 30).unwrap();
    fs::remove_file(fleet.file("clusters/dev-2.toml")).unwrap();
    fleet.run(&["apply", "huge.plan"]).exits(1).says(&["huge.plan has 3221225472 bytes"]);
}

#[cfg(unix)]
#[test]
fn a_link_that_leaves_the_repository_is_not_followed() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().unwrap();
    let fleet = Fleet::starter();
    let cluster = fleet.file("clusters/dev-1.toml");
    let elsewhere = outside.path().join("dev-1.toml");
    fs::copy(&cluster, &elsewhere).unwrap();
    fs::remove_file(&cluster).unwrap();
    symlink(&elsewhere, &cluster).unwrap();
    fleet.run(&["plan"]).exits(1).says(&["clusters/dev-1.toml", "repository"]);
    // Within the fleet a link is a file like any other.
    fs::remove_file(&cluster).unwrap();
    fs::copy(&elsewhere, fleet.file("dev-1.shared")).unwrap();
    symlink("../dev-1.shared", &cluster).unwrap();
    fleet.run(&["plan"]).exits(0).shows(&["dev-1"]);
}
