//! refit on a terminal: the question that `apply` asks, colours, bars, and widths.

use std::process::{Command, Stdio};

use rexpect::process::{Signal, WaitStatus};
use rexpect::session::{PtySession, spawn_command};

use crate::support::{FAST, Fleet, fits, is_plain};

/// Longer than any of these commands takes.
const TIMEOUT_MS: u64 = 120_000;

const QUESTION: &str = "Carry out this plan? Only `yes` is taken for yes: ";

fn on_terminal(command: Command) -> PtySession {
    let mut command = if is_deaf() { listening(&command) } else { command };
    command.env("TERM", "xterm-256color").stdin(Stdio::inherit());
    spawn_command(command, Some(TIMEOUT_MS)).unwrap()
}

/// Whether Ctrl-C is ignored here, and so by every child: a shell starts commands in the
/// background so.
fn is_deaf() -> bool {
    const SIGINT: u64 = 1 << 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & SIGINT != 0)
}

/// The same command, as somebody at a terminal would have started it.
fn listening(command: &Command) -> Command {
    let mut listening = Command::new("env");
    listening.arg("--default-signal=INT").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => listening.env(name, value),
            None => listening.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        listening.current_dir(directory);
    }
    listening
}

/// `refit apply` up to its question; and what it had shown before.
fn asked(fleet: &Fleet) -> (PtySession, String) {
    let mut session = on_terminal(fleet.command(&[&["apply"][..], &FAST].concat()));
    let before = session.exp_string(QUESTION).unwrap();
    (session, before)
}

/// The rest of what it shows, and how it ends.
fn ended(mut session: PtySession) -> (String, WaitStatus) {
    let rest = session.exp_eof().unwrap();
    let status = session.process().wait().unwrap();
    (rest, status)
}

#[track_caller]
fn exited(status: WaitStatus, code: i32) {
    assert!(matches!(status, WaitStatus::Exited(_, found) if found == code), "{status:?}");
}

/// What a command shows on a terminal.
fn shown(command: Command) -> String {
    ended(on_terminal(command)).0
}

#[test]
fn yes_carries_the_plan_out() {
    let fleet = Fleet::starter();
    let (mut session, before) = asked(&fleet);
    assert!(before.contains("workers"), "the plan is shown first:\n{before}");
    session.send_line("yes").unwrap();
    let (rest, status) = ended(session);
    exited(status, 0);
    assert!(rest.contains("The second plan is empty"), "{rest}");
    assert_eq!(fleet.history()[0]["state"], "done");
    fleet.nothing_is_left_to_do();
}

#[test]
fn anything_else_does_not() {
    let fleet = Fleet::starter();
    for answer in ["no", "y", "YES", "", "yes please"] {
        let (mut session, _) = asked(&fleet);
        session.send_line(answer).unwrap();
        let (rest, status) = ended(session);
        exited(status, 1);
        assert!(rest.contains("Not approved; nothing was done."), "{answer}: {rest}");
    }
    // The end of the input is no yes either.
    let (mut session, _) = asked(&fleet);
    session.send_control('d').unwrap();
    exited(ended(session).1, 1);
    assert!(fleet.history().is_empty());
}

#[test]
fn ctrl_c_at_the_question_leaves_without_a_run() {
    let fleet = Fleet::starter();
    let before = fleet.shape();
    let (mut session, _) = asked(&fleet);
    session.send_control('c').unwrap();
    session.exp_eof().unwrap();
    let status = session.process().wait().unwrap();
    let interrupted =
        matches!(status, WaitStatus::Exited(_, 130) | WaitStatus::Signaled(_, Signal::SIGINT, _));
    assert!(interrupted, "{status:?}");
    assert!(fleet.history().is_empty());
    fleet.is_tidy(&before);
    // It holds nothing: the next one asks again.
    asked(&fleet).0.send_control('c').unwrap();
}

#[test]
fn ctrl_c_in_a_run_stops_it_and_the_same_command_goes_on_without_asking() {
    let fleet = Fleet::starter();
    let command = fleet.command(&["apply", "--simulation-speed", "50"]);
    let mut session = on_terminal(command);
    session.exp_string(QUESTION).unwrap();
    session.send_line("yes").unwrap();
    session.exp_string("cordon").unwrap();
    session.send_control('c').unwrap();
    exited(ended(session).1, 130);
    let mut session = on_terminal(fleet.command(&[&["apply"][..], &FAST].concat()));
    session.exp_string("Continuing run").unwrap();
    exited(ended(session).1, 0);
    assert_eq!(fleet.history().len(), 1);
    fleet.nothing_is_left_to_do();
}

/// Whether there is a colour: an escape sequence that ends in `m`.
fn is_colored(text: &str) -> bool {
    text.split("\u{1b}[").skip(1).any(|rest| {
        rest.find(|c: char| !c.is_ascii_digit() && c != ';').is_some_and(|at| {
            rest[at..].starts_with('m') && !rest[..at].is_empty() && &rest[..at] != "0"
        })
    })
}

/// Whether a cursor is moved or a line erased, as bars do.
fn is_drawn(text: &str) -> bool {
    ["\u{1b}[1A", "\u{1b}[2K", "\u{1b}[1B", "\u{1b}[K"].iter().any(|part| text.contains(part))
}

#[test]
fn colours_are_for_terminals_and_for_those_who_want_them() {
    let fleet = Fleet::starter();
    let plan = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = fleet.command(&[&["plan"][..], args].concat());
        command.envs(variables.iter().copied());
        shown(command)
    };
    assert!(is_colored(&plan(&[], &[])));
    for plain in [plan(&["--color", "never"], &[]), plan(&[], &[("NO_COLOR", "1")])] {
        assert!(plain.contains("workers"), "{plain}");
        is_plain(&plain);
    }
    is_plain(&fleet.run(&["plan"]).exits(0).stdout);
    assert!(is_colored(&fleet.run(&["plan", "--color", "always"]).exits(0).stdout));

    let error = fleet.command(&["show", "nothing"]);
    assert!(is_colored(&shown(error)));
    is_plain(&fleet.run(&["show", "nothing"]).exits(64).stderr);
}

#[test]
fn bars_are_for_terminals_only() {
    let args = [&["apply", "--auto-approve"][..], &FAST].concat();
    let drawn = shown(Fleet::starter().command(&args));
    assert!(is_drawn(&drawn), "{drawn:?}");
    let quiet = shown(Fleet::starter().command(&[&args[..], &["--quiet"]].concat()));
    assert!(!is_drawn(&quiet), "{quiet:?}");
    let events = [&args[..], &["--log-format", "json"]].concat();
    assert!(!is_drawn(&shown(Fleet::starter().command(&events))));
    let elsewhere = Fleet::starter().run(&args).exits(0);
    assert!(!elsewhere.stderr.contains('\r'));
    is_plain(&elsewhere.stderr);
}

#[test]
fn messages_wrap_on_a_terminal_and_nowhere_else() {
    let fleet = Fleet::starter();
    let long = "a name that is longer than a line of any terminal ".repeat(3);
    for (columns, most) in [("70", 70), ("90", 90), ("300", 100)] {
        let mut command = fleet.command(&["show", &long, "--color", "never"]);
        command.env("COLUMNS", columns);
        let text = shown(command).replace('\r', "");
        assert!(text.starts_with("error: `a name"), "{text}");
        fits(&text, most);
        assert!(text.lines().any(|line| line.chars().count() > most - 20), "{text}");
    }
    let elsewhere = fleet.run(&["show", &long]).exits(64);
    assert_eq!(elsewhere.stderr.lines().count(), 2, "{}", elsewhere.stderr);
    assert!(elsewhere.stderr.contains(&long), "it can be searched for");
}

/// A plan uses the width of the terminal, and 80 columns elsewhere.
#[test]
fn plans_are_as_wide_as_the_terminal() {
    let fleet = Fleet::quickstart();
    let widest = |columns: &str| {
        let mut command = fleet.command(&["plan", "--color", "never"]);
        command.env("COLUMNS", columns);
        let text = shown(command).replace('\r', "");
        text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
    };
    assert!(widest("70") <= 70);
    assert!((101..=160).contains(&widest("160")), "{}", widest("160"));
    fits(&fleet.run(&["plan"]).exits(0).stdout, 80);
}
