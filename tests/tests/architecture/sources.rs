//! What must not stand in a source file.

use std::collections::BTreeSet;

use crate::arrows::PURE;
use crate::{assert_none, has_word, root, text, text_of, tracked, tracked_with};

/// Beyond this a file tells more than one story.
const LINES_MAX: usize = 800;

/// Files that are longer, and still have to be split. An entry that is short enough again fails
/// as well, so the list only shrinks.
const LONG: [&str; 0] = [];

/// What pure code does not say, and why. clippy's `disallowed-*` looks at the same from the side
/// of the types; this scan also finds what those lists do not name.
const BANS: [(&str, &str); 18] = [
    ("std::fs", "no files"),
    ("std::env::", "no environment"),
    ("std::net", "no sockets"),
    ("std::process", "no processes"),
    ("std::thread", "no threads"),
    ("std::{", "one `use` for each module of std, so that this scan sees it"),
    ("SystemTime", "no clock: take `now`"),
    ("Instant", "no clock: take `now`"),
    ("Timestamp::now", "no clock: take `now`"),
    ("Zoned::now", "no clock: take `now`"),
    ("HashMap", "its order is random: use BTreeMap"),
    ("HashSet", "its order is random: use BTreeSet"),
    ("RandomState", "no chance"),
    ("println!", "no printing: return text"),
    ("print!", "no printing: return text"),
    ("eprintln!", "no printing: return text"),
    ("eprint!", "no printing: return text"),
    ("tokio::", "no runtime"),
];

/// A line of code: its number from 1, and its text.
type Line<'a> = (usize, &'a str);

/// The code of a file, without its tests and without lines of comment, and the names of modules
/// that are tests and have a file of their own.
///
/// It counts on rustfmt: an item ends at the first line that closes a brace as far left as the
/// item begins.
fn production(source: &str) -> (Vec<Line<'_>>, Vec<String>) {
    let mut code = Vec::new();
    let mut test_modules = Vec::new();
    let mut lines = (1..).zip(source.lines()).peekable();
    while let Some((number, line)) = lines.next() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("//") {
            continue;
        }
        if trimmed != "#[cfg(test)]" {
            code.push((number, line));
            continue;
        }
        let indent = &line[..line.len() - trimmed.len()];
        let close = format!("{indent}}}");
        while lines.peek().is_some_and(|(_, next)| next.trim_start().starts_with("#[")) {
            lines.next();
        }
        let Some((_, first)) = lines.next() else { break };
        if let Some(module) = first.trim().strip_suffix(';')
            && let Some(name) = module.rsplit("mod ").next()
        {
            test_modules.push(name.to_owned());
        }
        if !first.ends_with([';', '}']) {
            lines.by_ref().find(|(_, next)| next.starts_with(&close));
        }
    }
    (code, test_modules)
}

/// What a pure file says and must not.
fn impure_lines(path: &str, source: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in production(source).0 {
        for (ban, reason) in BANS {
            if has_word(line, ban) {
                problems.push(format!("{path}:{number}: `{ban}` in a pure crate ({reason})"));
            }
        }
    }
    problems
}

/// Lints are expected, with a reason, not allowed. What several test binaries share is the
/// exception: a lint that one of them meets, another does not.
fn allowed_lints(path: &str, source: &str) -> Vec<String> {
    if path.contains("/tests/common/") {
        return Vec::new();
    }
    let attribute = |line: &&str| line.starts_with("#[") || line.starts_with("#![");
    (1..)
        .zip(source.lines().map(str::trim_start))
        .filter(|(_, line)| attribute(line) && has_word(line, "allow("))
        .map(|(number, _)| {
            format!("{path}:{number}: use `#[expect(lint, reason = \"...\")]` instead of allow")
        })
        .collect()
}

fn long_files(lengths: &[(String, usize)], long: &[&str]) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, lines) in lengths {
        let listed = long.contains(&path.as_str());
        if *lines > LINES_MAX && !listed {
            problems.push(format!("{path} has {lines} lines, at most {LINES_MAX}: split it"));
        } else if *lines <= LINES_MAX && listed {
            problems.push(format!("{path} is short enough again: take it off the list LONG"));
        }
    }
    let known: BTreeSet<&str> = lengths.iter().map(|(path, _)| path.as_str()).collect();
    let gone = long.iter().filter(|path| !known.contains(*path));
    problems.extend(gone.map(|path| format!("{path} does not exist: take it off the list LONG")));
    problems
}

/// Mentions of places that only the machine of its author has.
fn foreign_places(path: &str, text: &str) -> Vec<String> {
    // In two halves, so that this file does not find itself.
    let places = [
        concat!("..", "/shared"),
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
    ];
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        // Only where a path begins: the same letters may end another one.
        let begins = |place: &str| {
            line.match_indices(place).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || "-_.*}".contains(c))
            })
        };
        for place in places.iter().filter(|place| begins(place)) {
            problems.push(format!("{path}:{number}: `{place}` is no place of this repository"));
        }
    }
    problems
}

fn rust_files() -> Vec<String> {
    let files: Vec<String> = tracked_with("rs");
    assert!(files.len() > 50, "git lists too few files to be this repository: {files:?}");
    files
}

/// The files of a crate that are compiled outside of its tests.
fn production_files(name: &str, files: &[String]) -> Vec<String> {
    let source = format!("crates/{name}/src/");
    let own: Vec<&String> = files.iter().filter(|path| path.starts_with(&source)).collect();
    assert!(!own.is_empty(), "crates/{name} has no source");
    let mut tests: Vec<String> = Vec::new();
    for path in &own {
        let directory = match path.rsplit_once('/') {
            Some((directory, "lib.rs" | "main.rs" | "mod.rs")) => directory,
            _ => path.trim_end_matches(".rs"),
        };
        for module in production(&text_of(path)).1 {
            tests.push(format!("{directory}/{module}.rs"));
            tests.push(format!("{directory}/{module}/"));
        }
    }
    own.into_iter()
        .filter(|path| !tests.iter().any(|test| path.starts_with(test.as_str())))
        .cloned()
        .collect()
}

#[test]
fn pure_crates_are_pure() {
    let files = rust_files();
    let problems: Vec<String> = PURE
        .iter()
        .flat_map(|name| production_files(name, &files))
        .flat_map(|path| impure_lines(&path, &text_of(&path)))
        .collect();
    assert_none(&problems);
}

#[test]
fn no_lint_is_allowed_in_passing() {
    let problems: Vec<String> =
        rust_files().iter().flat_map(|path| allowed_lints(path, &text_of(path))).collect();
    assert_none(&problems);
}

#[test]
fn a_file_tells_one_story() {
    let lengths: Vec<(String, usize)> = rust_files()
        .into_iter()
        .map(|path| {
            let lines = text_of(&path).lines().count();
            (path, lines)
        })
        .collect();
    assert_none(&long_files(&lengths, &LONG));
}

#[test]
fn nothing_speaks_of_the_machine_it_was_written_on() {
    let problems: Vec<String> = tracked()
        .iter()
        .filter_map(|path| Some((path, text(path)?)))
        .flat_map(|(path, text)| foreign_places(path, &text))
        .collect();
    assert_none(&problems);
}

#[test]
fn generated_state_is_not_tracked() {
    assert_none(&tracked_with("plan"));
    assert!(!tracked().iter().any(|path| path.starts_with("target/")));
    assert!(root().join("Cargo.lock").is_file(), "the lock file belongs to the repository");
}

#[cfg(test)]
mod failing {
    use super::*;

    const SOURCE: &str = r#"//! Nothing like std::fs here.
use std::collections::HashMap;

/// Not an Instant.
fn now() -> std::time::Instant {
    println!("{}", std::env::var("X"));
}

#[cfg(test)]
#[expect(dead_code)]
mod tests {
    use std::fs;

    fn f() {
        println!("}");
    }
}

#[cfg(test)]
mod elsewhere;

#[cfg(test)]
use std::net::{
    TcpStream,
};

fn after(clock: &Instants) { std::thread::sleep(x) }
"#;

    #[test]
    fn impurities_are_found_outside_of_tests() {
        let found = impure_lines("a.rs", SOURCE);
        let places: Vec<&str> =
            found.iter().filter_map(|problem| problem.split(" in a pure").next()).collect();
        assert_eq!(
            places,
            [
                "a.rs:2: `HashMap`",
                "a.rs:5: `Instant`",
                "a.rs:6: `std::env::`",
                "a.rs:6: `println!`",
                "a.rs:27: `std::thread`",
            ]
        );
        assert_eq!(production(SOURCE).1, ["elsewhere"]);
    }

    #[test]
    fn every_ban_can_be_found() {
        for (ban, _) in BANS {
            assert!(!impure_lines("a.rs", &format!("    {ban} x")).is_empty(), "{ban}");
        }
    }

    #[test]
    fn an_allowed_lint_is_found() {
        let source = format!("{}clippy::x)]\nfn f() {{}}\n// {0}\n", concat!("#[", "allow("));
        assert_eq!(allowed_lints("a.rs", &source).len(), 1);
        let inner = format!("{}x))]", concat!("#![cfg_attr(test, ", "allow("));
        assert_eq!(allowed_lints("a.rs", &inner).len(), 1);
        assert!(allowed_lints("a.rs", "#[expect(x, reason = \"y\")]").is_empty());
        assert!(allowed_lints("crates/x/tests/common/mod.rs", &source).is_empty());
    }

    #[test]
    fn long_files_and_stale_exceptions_are_found() {
        let lengths = [("a.rs".to_owned(), 801), ("b.rs".to_owned(), 900), ("c.rs".to_owned(), 5)];
        assert_eq!(long_files(&lengths, &["b.rs"]).len(), 1);
        assert_eq!(long_files(&lengths, &["a.rs", "b.rs", "c.rs", "d.rs"]).len(), 2);
    }

    #[test]
    fn foreign_places_are_found() {
        let text = format!("see {}x\ncd {}y", concat!("`..", "/shared/"), concat!("/wo", "rk/"));
        assert_eq!(foreign_places("a.md", &text).len(), 2);
        assert!(foreign_places("a.md", "a/work/b, net/home/x").is_empty());
    }
}
