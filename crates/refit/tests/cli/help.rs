//! What refit says about itself.

use crate::support::{Ended, fits, note, refit};

/// The commands whose help has examples.
const COMMANDS: [&str; 12] = [
    "init",
    "validate",
    "observe",
    "plan",
    "clusters",
    "show",
    "explain",
    "graph",
    "apply",
    "addons",
    "completions",
    "man",
];

pub(crate) fn run(args: &[&str]) -> Ended {
    Ended::of(refit(&std::env::temp_dir(), args))
}

/// The commands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|name| name != "help")
        .collect()
}

pub(crate) fn walk(path: &[String], found: &mut Vec<Vec<String>>) {
    for flag in ["--help", "-h"] {
        let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
        args.push(flag);
        let help = run(&args).exits(0);
        assert!(help.stdout.contains("Usage: refit"), "{path:?}: {}", help.stdout);
        assert_eq!(help.stderr, "");
        fits(&help.stdout, 100);
        if flag == "--help" {
            found.push(path.to_vec());
            for name in listed(&help.stdout) {
                walk(&[path, &[name]].concat(), found);
            }
        }
    }
}

#[test]
fn every_command_has_help_and_works() {
    let mut found = Vec::new();
    walk(&[], &mut found);
    let names: Vec<String> = found.iter().map(|path| path.join(" ")).collect();
    assert_eq!(
        names,
        [
            "",
            "init",
            "validate",
            "observe",
            "plan",
            "clusters",
            "show",
            "explain",
            "graph",
            "apply",
            "addons",
            "status",
            "history",
            "state",
            "state list",
            "state show",
            "state prune",
            "state unlock",
            "permissions",
            "permissions kubernetes",
            "permissions aws",
            "completions",
            "man",
        ]
    );
    for name in COMMANDS {
        let help = run(&[name, "--help"]);
        assert!(help.stdout.contains("Example"), "{name} has no example");
    }
}

#[test]
fn examples_in_help_are_commands_that_parse() {
    for name in [""].into_iter().chain(COMMANDS) {
        let args: Vec<&str> = [name, "--help"].into_iter().filter(|arg| !arg.is_empty()).collect();
        let help = run(&args).exits(0).stdout;
        let mut examples = 0;
        for line in help.lines().filter_map(|line| line.strip_prefix("  refit ")) {
            let command = line.split("  ").next().unwrap();
            let command = command.split(['|', '>', '&']).next().unwrap();
            let mut words: Vec<&str> = command.split_whitespace().collect();
            // With `--help` behind it, a command is parsed as far as its names go.
            words.push("--help");
            let ended = run(&words);
            assert_eq!(ended.code, Some(0), "{line}: {}", ended.stderr);
            examples += 1;
        }
        assert!(examples > 0, "{name:?} has no example");
    }
}

#[test]
fn without_a_command_it_shows_what_there_is() {
    run(&[]).exits(64).says(&["Usage: refit", "plan"]);
    run(&["state"]).exits(64).says(&["list", "unlock"]);
    let version = run(&["--version"]).exits(0);
    assert_eq!(version.stdout, concat!("refit ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).exits(0);
        for word in ["apply", "auto-approve", "unlock"] {
            assert!(script.stdout.contains(word), "{shell}: {word}");
        }
        assert!(!script.stdout.contains("probe"), "{shell} offers what is no command");
    }
    run(&["completions", "tcsh"]).exits(64).says(&["invalid value 'tcsh'"]);
}

#[test]
fn bash_accepts_its_completions() {
    let script = run(&["completions", "bash"]).exits(0).stdout;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("refit.bash");
    std::fs::write(&file, script).unwrap();
    match std::process::Command::new("bash").arg("-n").arg(&file).output() {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => note(&format!("not tested, because there is no bash: {error}")),
    }
}

#[test]
fn manual_pages_are_written() {
    let page = run(&["man"]).exits(0);
    assert!(page.stdout.contains(".TH refit 1"), "{}", page.stdout);
    assert!(page.stdout.contains("apply"));
    assert!(!page.stdout.contains("probe"), "the manual lists a hidden command");
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().join("man1");
    run(&["man", "-o", into.to_str().unwrap()]).exits(0);
    let mut names: Vec<String> = std::fs::read_dir(&into)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(
        names.contains(&"refit.1".to_owned()) && names.contains(&"refit-apply.1".to_owned()),
        "{names:?}"
    );
}
