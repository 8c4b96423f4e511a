//! Exit codes, and that whatever is refused changes nothing.

use crate::support::{Ended, Fleet, note, refit, replaced};

#[test]
fn a_damaged_plan_is_refused_wherever_the_damage_is() {
    let fleet = Fleet::starter();
    fleet.run(&["plan", "-o", "next.plan"]).exits(0);
    let good = fleet.read("next.plan").into_bytes();
    let before = fleet.files();
    let mut dice = fastrand::Rng::with_seed(7);
    let mut tried = 0;
    while tried < 40 {
        let mut bytes = good.clone();
        let at = dice.usize(..bytes.len());
        // A bit of white space is no content; nor may a flip leave the text as it is.
        if bytes[at].is_ascii_whitespace() {
            continue;
        }
        bytes[at] ^= 1 << dice.u8(..7);
        std::fs::write(fleet.file("next.plan"), &bytes).unwrap();
        for command in [&["apply", "next.plan"][..], &["show", "next.plan"]] {
            let ended = fleet.run(command);
            assert_eq!(ended.code, Some(1), "byte {at}: {ended:?}");
            assert!(ended.stderr.starts_with("error: cannot use next.plan"), "{}", ended.stderr);
            assert_eq!(ended.stdout, "");
        }
        tried += 1;
    }
    std::fs::write(fleet.file("next.plan"), &good).unwrap();
    assert_eq!(fleet.files(), before);
    fleet.run(&["show", "next.plan"]).exits(0);
}

#[test]
fn plans_of_newer_formats_and_files_that_are_no_plans_are_refused() {
    let fleet = Fleet::starter();
    fleet.run(&["plan", "-o", "next.plan"]).exits(0);
    let newer = replaced(
        &fleet.read("next.plan"),
        r#""format-version": "1.4""#,
        r#""format-version": "1.5""#,
    );
    fleet.write("newer.plan", &newer);
    let before = fleet.files();
    let ended = fleet.run(&["apply", "newer.plan"]).exits(1);
    insta::assert_snapshot!(ended.stderr, @r"
    error: cannot use newer.plan
      caused by: the plan has format 1.5; this refit reads format 1.4 and older minors
    hint: use the refit that made it, or plan again
    ");
    for command in ["apply", "show"] {
        fleet.run(&[command, "fleet.toml"]).exits(1).says(&[
            "cannot use fleet.toml",
            "this is not a plan of refit",
            "hint: make one with `refit plan -o FILE`",
        ]);
    }
    fleet.run(&["apply", "missing.plan"]).exits(1).says(&["cannot read missing.plan"]);
    fleet.run(&["apply", "clusters"]).exits(1).says(&["cannot read clusters: it is a directory"]);
    assert_eq!(fleet.files(), before);
}

#[test]
fn a_plan_from_other_files_or_another_fleet_is_stale() {
    let fleet = Fleet::starter();
    fleet.run(&["plan", "-o", "next.plan"]).exits(0);
    let other = Fleet::starter();
    other.edit("fleet.toml", r#""my-fleet""#, r#""your-fleet""#);
    std::fs::copy(fleet.file("next.plan"), other.file("next.plan")).unwrap();
    let before = other.files();
    other
        .apply(&["next.plan"])
        .exits(5)
        .says(&["is a plan for the fleet my-fleet, not for your-fleet"]);
    assert_eq!(other.files(), before);

    fleet.edit("clusters/dev-1.toml", "max-surge = 1", "max-surge = 2");
    let before = fleet.files();
    fleet.apply(&["next.plan"]).exits(5).says(&[
        "next.plan was made from other files than these; nothing was done",
        "hint: plan again: `refit plan -o next.plan`",
    ]);
    assert_eq!(fleet.files(), before);
    fleet.edit("clusters/dev-1.toml", "max-surge = 2", "max-surge = 1");
    fleet.apply(&["next.plan"]).exits(0);
}

#[test]
fn snapshots_of_other_fleets_and_what_is_none_are_refused() {
    let fleet = Fleet::starter();
    fleet.run(&["observe", "-o", "seen.json"]).exits(0);
    let seen = fleet.read("seen.json");
    fleet.write("other.json", &replaced(&seen, r#""fleet": "my-fleet""#, r#""fleet": "another""#));
    fleet.write(
        "newer.json",
        &replaced(&seen, r#""format-version": "1.4""#, r#""format-version": "2.0""#),
    );
    fleet.run(&["plan", "--snapshot", "other.json"]).exits(5).says(&["is of the fleet another"]);
    fleet.run(&["plan", "--snapshot", "newer.json"]).exits(1).says(&["has format 2.0"]);
    fleet.run(&["plan", "--snapshot", "fleet.toml"]).exits(1).says(&["is not a snapshot of refit"]);
    fleet.run(&["plan", "--snapshot", "seen.json"]).exits(0);
}

#[test]
fn nothing_is_asked_without_a_terminal() {
    let fleet = Fleet::starter();
    let before = fleet.files();
    fleet.run(&["apply"]).exits(64).says(&[
        "nobody is there to approve",
        "hint: or approve in advance: `refit apply --auto-approve`",
    ]);
    assert_eq!(fleet.files(), before);
}

#[test]
fn wrong_usage_is_64() {
    let fleet = Fleet::starter();
    let before = fleet.files();
    for (command, part) in [
        (&["nope"][..], "unrecognized subcommand 'nope'"),
        (&["plan", "--nope"], "unexpected argument '--nope'"),
        (&["-q", "-v", "plan"], "cannot be used with"),
        (&["plan", "--format", "yaml"], "invalid value 'yaml'"),
        (&["plan", "--replace", "dev-1"], "write it as CLUSTER/POOL"),
        (&["plan", "--replace", "dev-1/nope"], "there is no such pool in the files"),
        (&["plan", "--replace", "nope/workers"], "there is no such pool in the files"),
        (&["apply", "--auto-approve", "--replace", "dev-1/nope"], "there is no such pool"),
        (&["apply", "--simulation-speed", "0"], "--simulation-speed"),
        (&["apply", "--lock-timeout", "soon"], "--lock-timeout"),
        (&["show"], "<FILE|RUN>"),
        (&["show", "nope"], "`nope` is neither a file nor a run"),
        (&["state", "show", "nope"], "neither a run nor a blob `nope`"),
        (&["addons", "nope"], "neither the catalogue nor the fleet knows `nope`"),
        (&["explain", "nope"], "`nope` is neither a cluster nor an action"),
        (&["plan", "--cluster", ""], "`--cluster` has an empty name"),
        (&["plan", "--now", "tomorrow"], "write a date and time as `2026-11-21T09:00:00Z`"),
        (&["plan", "--parallelism", "ten"], "write a whole number from 1 to 1000"),
        (&["apply", "--simulation-speed", "100001"], "write a whole number from 1 to 100000"),
        (&["plan", "-out=x"], "hint: write `-o x`"),
        (&["apply", "-auto-approve"], "hint: write `--auto-approve`"),
    ] {
        let ended = fleet.run(command);
        assert_eq!(ended.code, Some(64), "{command:?}: {ended:?}");
        assert!(ended.stderr.contains(part), "{command:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{command:?}");
        assert_eq!(fleet.files(), before, "{command:?}");
    }
}

#[test]
fn without_a_fleet_there_is_nothing_to_plan() {
    let empty = tempfile::tempdir().unwrap();
    for command in ["validate", "plan", "observe", "apply", "status", "history"] {
        Ended::of(refit(empty.path(), &[command])).exits(1).says(&["fleet.toml"]);
    }
    Ended::of(refit(empty.path(), &["--chdir", "nowhere", "plan"]))
        .exits(1)
        .says(&["cannot open directory nowhere"]);
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn variables_are_read_as_strictly_as_options() {
    let fleet = Fleet::starter();
    let before = fleet.files();
    let with = |variables: &[(&str, &str)], args: &[&str]| {
        let mut command = fleet.command(args);
        command.envs(variables.iter().copied());
        Ended::of(command)
    };
    with(&[("REFIT_CLUSTRE", "dev-1")], &["plan"]).exits(64).says(&[
        "the environment variable `REFIT_CLUSTRE` is not one of refit's; nothing was done",
        "hint: did you mean `REFIT_CLUSTER`?",
    ]);
    with(&[("REFIT_OUTPUT", "x")], &["plan"]).exits(64).says(&["`REFIT_PLAN_OUTPUT`"]);
    with(&[("REFIT_PLAN_OUTPUT", "x.plan"), ("REFIT_OBSERVE_OUTPUT", "s.json")], &["observe"])
        .exits(0);
    assert!(fleet.file("s.json").exists() && !fleet.file("x.plan").exists());
    std::fs::remove_file(fleet.file("s.json")).unwrap();
    for yes in ["1", "true", "YES", "on"] {
        with(&[("REFIT_DETAILED_EXITCODE", yes)], &["plan"]).exits(2);
    }
    for no in ["0", "false", "No", "off", ""] {
        with(&[("REFIT_DETAILED_EXITCODE", no)], &["plan"]).exits(0);
        with(&[("REFIT_QUIET", no)], &["-v", "plan"]).exits(0);
    }
    with(&[("REFIT_QUIET", "maybe")], &["plan"]).exits(64).says(&["write 1, true, yes or on"]);
    assert_eq!(fleet.files(), before);
}

#[test]
fn what_is_no_snapshot_is_told_in_plain_words() {
    let fleet = Fleet::starter();
    for (text, part) in [
        ("{}", "it has no `format-version`"),
        ("{", "it is not JSON, from line 1 on"),
        ("[1]", "line 1 is not what a snapshot has there"),
        (
            "{\"format-version\": \"1.2\",\n \"fleet\": 7}",
            "line 2 is not what a snapshot has there",
        ),
    ] {
        fleet.write("s.json", text);
        let ended = fleet.run(&["plan", "--snapshot", "s.json"]).exits(1).says(&[part]);
        for word in ["missing field", "column", "expected", "invalid type"] {
            assert!(!ended.stderr.contains(word), "{}", ended.stderr);
        }
    }
    fleet.run(&["plan", "--chdir", "fleet.toml"]).exits(1).says(&["it is a file"]);
}

#[test]
fn a_blocked_cluster_stops_itself_only() {
    let fleet = Fleet::with_blocked_cluster();
    let planned = fleet.run(&["plan", "-o", "next.plan"]).exits(3).shows(&[
        "blocked  RF012  dev-2 shop/cart",
        "dev-1",
        "3 actions",
    ]);
    assert!(planned.stdout.contains("1 cluster blocked, see Findings: dev-2"));
    fleet.run(&["plan", "--detailed-exitcode"]).exits(3);
    let before = fleet.shape();
    fleet.apply(&["next.plan"]).exits(3).shows(&["dev-1  3 done"]);
    fleet.is_tidy(&before);
    let seen = fleet.observed();
    let runs = |cluster: &str| {
        let members = seen["clusters"][cluster]["fresh"]["control-plane"].as_array().unwrap();
        members.iter().map(|m| m["api-server"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(runs("dev-1"), ["1.36.4"; 3]);
    assert_eq!(runs("dev-2"), ["1.35.8"; 3]);
}

#[test]
fn results_that_cannot_be_written_change_nothing() {
    let fleet = Fleet::starter();
    let before = fleet.files();
    for (command, part) in [
        (&["plan", "-o", "missing/next.plan"][..], "cannot write missing/next.plan"),
        (&["plan", "-o", "fleet.toml/next.plan"], "cannot write fleet.toml/next.plan"),
        (&["observe", "-o", "missing/seen.json"], "cannot write missing/seen.json"),
        (&["apply", "--auto-approve", "--events", "missing/events"], "cannot write missing/events"),
        (&["apply", "--auto-approve", "--events", "fleet.toml/e"], "cannot write fleet.toml/e"),
        (&["man", "-o", "fleet.toml/man"], "cannot write fleet.toml/man"),
    ] {
        let ended = fleet.run(command);
        assert_eq!(ended.code, Some(1), "{command:?}: {ended:?}");
        assert!(ended.stderr.contains(part), "{command:?}: {}", ended.stderr);
        assert_eq!(fleet.files(), before, "{command:?}");
    }
}

#[test]
fn a_state_directory_that_cannot_be_is_an_error() {
    let fleet = Fleet::starter();
    fleet.write("state", "a file where the directory should be");
    let before = fleet.files();
    let ended = fleet.apply(&["--auto-approve"]).exits(1);
    assert!(ended.stderr.contains("error: ") && ended.stderr.contains("state"), "{}", ended.stderr);
    assert_eq!(fleet.files(), before);
}

#[cfg(unix)]
#[test]
fn a_state_directory_that_may_not_be_written_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    let fleet = Fleet::starter();
    let state = fleet.file("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(state.join("probe"), "").is_ok() {
        // Root may write everywhere: the case below a regular file stands for this one there.
        note("not tested, because this user may write into read-only directories");
        return;
    }
    fleet.apply(&["--auto-approve"]).exits(1).says(&["error: ", "state"]);
    fleet.run(&["plan"]).exits(0);
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0);
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o755)).unwrap();
    fleet.apply(&["--auto-approve"]).exits(0);
}

#[test]
fn an_empty_name_is_told_with_its_place() {
    let fleet = Fleet::starter();
    for (command, part) in [
        (&["explain", ""][..], "<ACTION|CLUSTER>"),
        (&["show", ""], "<FILE|RUN>"),
        (&["state", "show", ""], "<RUN|DIGEST>"),
        (&["addons", ""], "[NAME]"),
        (&["plan", "--downgrade", ""], "name the cluster that may go back"),
        (&["plan", "--exclude", "dev-9,"], "--exclude"),
        (&["plan", "--channel", "dev,"], "a channel name is empty"),
        (&["apply", "--grace", ""], "'--grace <DURATION>': an empty text is not a duration"),
    ] {
        let ended = fleet.run(command).exits(64).says(&[part]);
        assert!(!ended.stderr.contains("``"), "{}", ended.stderr);
    }
}
