//! Documents that say what the code says: links, findings, exit codes, commands.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use refit_model::Code;

use crate::{assert_none, root, text_of, tracked, tracked_with};

/// A line of Markdown: its number, its text, and whether it stands in a block of code.
fn lines(markdown: &str) -> impl Iterator<Item = (usize, &str, bool)> {
    let mut code = false;
    (1..).zip(markdown.lines()).map(move |(number, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        (number, line, code || fence)
    })
}

/// The targets of a document's links.
fn links(markdown: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line, _) in lines(markdown).filter(|(_, _, code)| !code) {
        for (at, _) in line.match_indices("](") {
            let target = line[at + 2..].split([')', ' ']).next().unwrap_or_default();
            found.push((number, target.to_owned()));
        }
        if line.starts_with('[')
            && let Some((_, target)) = line.split_once("]: ")
        {
            found.push((number, target.trim().to_owned()));
        }
    }
    found
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

fn anchors(markdown: &str) -> BTreeSet<String> {
    lines(markdown)
        .filter(|(_, line, code)| !code && line.starts_with('#'))
        .map(|(_, line, _)| anchor(line))
        .collect()
}

/// A link's target as a path of the repository; none when it leads out of it.
fn resolve(document: &str, target: &str) -> Option<String> {
    let from = Path::new(document).parent().unwrap_or(Path::new(""));
    let mut path = PathBuf::new();
    for part in from.join(target).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    path.to_str().map(str::to_owned)
}

/// Links of a document that lead nowhere. `read` gives the text of a file, or an empty one for a
/// directory; none for what does not exist.
fn broken_links(
    document: &str,
    markdown: &str,
    read: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, target) in links(markdown) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (file, fragment) = target.split_once('#').unwrap_or((&target, ""));
        let text = if file.is_empty() {
            Some(markdown.to_owned())
        } else {
            resolve(document, file).and_then(|path| read(&path))
        };
        match text {
            None => problems.push(format!("{document}:{number}: `{target}` does not exist")),
            Some(text) if !fragment.is_empty() && !anchors(&text).contains(fragment) => {
                problems.push(format!("{document}:{number}: no heading for `{target}`"));
            }
            Some(_) => {}
        }
    }
    problems
}

/// The codes of findings in a text.
fn codes(text: &str) -> BTreeSet<String> {
    text.match_indices("RF")
        .filter_map(|(at, _)| text.get(at..at + 5))
        .filter(|code| code[2..].bytes().all(|byte| byte.is_ascii_digit()))
        .map(str::to_owned)
        .collect()
}

/// The codes that a document has a heading for.
fn documented_codes(markdown: &str) -> BTreeSet<String> {
    lines(markdown)
        .filter(|(_, line, code)| !code && line.starts_with('#'))
        .flat_map(|(_, line, _)| codes(line))
        .collect()
}

/// The numbers of the enum of exit codes.
fn exit_codes(source: &str) -> BTreeSet<String> {
    source
        .lines()
        .filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = "))
        .filter(|(name, _)| name.chars().all(char::is_alphanumeric))
        .map(|(_, number)| number.to_owned())
        .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        .collect()
}

/// The numbers in the first column of a document's tables.
fn documented_exit_codes(markdown: &str) -> BTreeSet<String> {
    markdown
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .map(|cell| cell.trim().to_owned())
        .filter(|cell| !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit()))
        .collect()
}

/// The commands of the enum of commands, as they are typed.
fn commands(source: &str) -> BTreeSet<String> {
    let body = source
        .split("enum Command {")
        .nth(1)
        .and_then(|rest| rest.split("\n}").next())
        .expect("the command line has an enum of commands");
    body.lines()
        .filter_map(|line| line.trim().split_once('(').map(|(name, _)| name))
        .filter(|name| !name.is_empty() && name.chars().all(char::is_alphanumeric))
        .map(|name| {
            let mut typed = String::new();
            for c in name.chars() {
                if c.is_uppercase() && !typed.is_empty() {
                    typed.push('-');
                }
                typed.push(c.to_ascii_lowercase());
            }
            typed
        })
        .collect()
}

/// The command in what stands behind `refit `: options come before it, `--chdir` with a value.
fn command_of(arguments: &str) -> Option<&str> {
    let mut words = arguments.split_whitespace();
    while let Some(word) = words.next() {
        if word == "--chdir" {
            words.next();
        } else if !word.starts_with('-') {
            return Some(word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()));
        } else if ["--version", "--help"].contains(&word.trim_end_matches('`')) {
            return None;
        }
    }
    None
}

/// Commands that a document shows and that do not exist.
fn unknown_commands(document: &str, markdown: &str, known: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line, code) in lines(markdown) {
        let mut shown: Vec<&str> = Vec::new();
        if code {
            let line = line.trim().trim_start_matches("- ").trim_start_matches("run: ");
            shown.extend(line.trim_start_matches("$ ").strip_prefix("refit "));
        } else {
            shown.extend(
                line.split('`').skip(1).step_by(2).filter_map(|s| s.strip_prefix("refit ")),
            );
        }
        for command in shown.into_iter().filter_map(command_of) {
            if !known.contains(command) {
                problems.push(format!("{document}:{number}: there is no `refit {command}`"));
            }
        }
    }
    problems
}

fn documents() -> Vec<String> {
    let found: Vec<String> = tracked_with("md");
    assert!(found.iter().any(|path| path == "state/README.md"), "{found:?}");
    found
}

fn difference(what: &str, a: &BTreeSet<String>, b: &BTreeSet<String>) -> Vec<String> {
    a.difference(b).map(|entry| format!("{entry} {what}")).collect()
}

#[test]
fn links_lead_somewhere() {
    let tracked: BTreeSet<String> = tracked().into_iter().collect();
    let read = |path: &str| {
        let directory = format!("{path}/");
        let is_directory = path.is_empty() || tracked.iter().any(|t| t.starts_with(&directory));
        if is_directory {
            return Some(String::new());
        }
        tracked.contains(path).then(|| crate::text(path).unwrap_or_default())
    };
    let problems: Vec<String> =
        documents().iter().flat_map(|path| broken_links(path, &text_of(path), read)).collect();
    assert_none(&problems);
}

#[test]
fn every_finding_is_documented() {
    let known = codes(&text_of("crates/model/src/finding.rs"));
    assert!(known.len() >= 30, "{known:?}");
    let documented = documented_codes(&text_of("docs/reference/findings.md"));
    let mut problems = difference("is not in docs/reference/findings.md", &known, &documented);
    problems.extend(difference("is documented and does not exist", &documented, &known));
    let listed: BTreeSet<String> = Code::ALL.iter().map(ToString::to_string).collect();
    problems.extend(difference("is not in Code::ALL", &known, &listed));
    let page = text_of("docs/reference/findings.md");
    for code in Code::ALL {
        let heading = format!("### {code}: {}", code.title());
        if !page.lines().any(|line| line == heading) {
            problems.push(format!("docs/reference/findings.md has no line `{heading}`"));
        }
    }
    assert_none(&problems);
}

#[test]
fn every_exit_code_is_documented() {
    let known = exit_codes(&text_of("crates/refit/src/exit.rs"));
    assert!(known.contains("0") && known.contains("130"), "{known:?}");
    let documented = documented_exit_codes(&text_of("docs/reference/exit-codes.md"));
    let mut problems = difference("is not in docs/reference/exit-codes.md", &known, &documented);
    problems.extend(difference("is documented and is no exit code", &documented, &known));
    assert_none(&problems);
}

#[test]
fn every_command_that_is_shown_exists() {
    let known = commands(&text_of("crates/refit/src/cli.rs"));
    assert!(known.contains("plan") && known.contains("apply"), "{known:?}");
    let problems: Vec<String> = documents()
        .iter()
        .flat_map(|path| unknown_commands(path, &text_of(path), &known))
        .collect();
    assert_none(&problems);
}

#[test]
fn the_license_is_there() {
    assert!(root().join("LICENSE").is_file());
    assert!(text_of("Cargo.toml").contains("license = \"Apache-2.0\""));
    assert!(text_of("LICENSE").contains("Version 2.0, January 2004"));
}

#[cfg(test)]
mod failing {
    use super::*;

    fn set(entries: &[&str]) -> BTreeSet<String> {
        entries.iter().map(|entry| (*entry).to_owned()).collect()
    }

    #[test]
    fn broken_links_are_found() {
        let markdown = "# A title, here\n[a](b.md) [c](../c.md#the-end) [d](d.md)\n\
            [e](https://x/y) [f](#a-title-here) [g](#nowhere) [h](/etc) [i](../../i)\n\
            ```\n[j](j.md)\n```\n[k]: k.md\n[l](../c.md#the-start \"title\")\n";
        let read = |path: &str| match path {
            "docs/b.md" => Some(String::new()),
            "c.md" => Some("## The end\n".to_owned()),
            _ => None,
        };
        let found = broken_links("docs/a.md", markdown, read);
        let targets: Vec<&str> =
            found.iter().filter_map(|problem| problem.split('`').nth(1)).collect();
        assert_eq!(targets, ["d.md", "#nowhere", "/etc", "../../i", "k.md", "../c.md#the-start"]);
    }

    #[test]
    fn codes_are_compared_both_ways() {
        let known = codes("    RF001,\n    RF002,\n    RFC, RF12x");
        let documented = documented_codes("## RF001: a\nRF002 in passing\n## RF003: b\n");
        assert_eq!(difference("x", &known, &documented), ["RF002 x"]);
        assert_eq!(difference("x", &documented, &known), ["RF003 x"]);
    }

    #[test]
    fn exit_codes_are_compared_both_ways() {
        let known = exit_codes("    Done = 0,\n    Failed = 1,\n    let x = 5;\n");
        let documented = documented_exit_codes("| code | x |\n|---|---|\n| 0 | done |\n| 4 | y |");
        assert_eq!(known, set(&["0", "1"]));
        assert_eq!(documented, set(&["0", "4"]));
    }

    #[test]
    fn commands_that_do_not_exist_are_found() {
        let source = "enum Command {\n    /// Text (more)\n    Plan(PlanOptions),\n    \
            #[command(name = \"x\")]\n    ProbeIndex(ProbeIndex),\n}\nenum Other { A(B) }";
        let known = commands(source);
        assert_eq!(known, set(&["plan", "probe-index"]));
        let markdown = "`refit plan -o x` `refit promote a` refit drift\n```\n$ refit --chdir a plan\n\
            - run: refit diff a\nrefit --version\nrefit probe-index x\n```\n`refit`\n";
        let found = unknown_commands("a.md", markdown, &known);
        assert_eq!(
            found,
            ["a.md:1: there is no `refit promote`", "a.md:4: there is no `refit diff`"]
        );
    }
}
