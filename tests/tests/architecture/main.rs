//! What holds the house together: the arrows between crates, the purity of the pure ones, and
//! documents that say what the code says.
//!
//! These tests read the checkout and nothing else. Each rule is a function from text to
//! problems, and has a unit test in which it finds one: a check that cannot fail is a defect.

mod arrows;
mod documents;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout.
fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the package lies in the checkout").to_owned()
}

/// The tracked files, relative to the checkout, in order. What nobody has added yet is not
/// judged.
fn tracked() -> Vec<String> {
    let output = Command::new("git")
        // A checkout that belongs to another user is read all the same.
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .current_dir(root())
        .output()
        .expect("these tests ask git for the files of the checkout");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .expect("paths are UTF-8")
        .split_terminator('\0')
        .filter(|path| root().join(path).is_file())
        .map(str::to_owned)
        .collect()
}

/// The tracked files of one extension.
fn tracked_with(extension: &str) -> Vec<String> {
    let of_kind = |path: &String| Path::new(path).extension().is_some_and(|e| e == extension);
    tracked().into_iter().filter(of_kind).collect()
}

/// The text of a file; none when it is not text.
fn text(path: &str) -> Option<String> {
    String::from_utf8(fs::read(root().join(path)).unwrap_or_default()).ok()
}

/// The text of a file that has to be there.
fn text_of(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Fails with all problems at once.
#[track_caller]
fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n  {}", problems.len(), problems.join("\n  "));
}

/// Whether `word` stands in `text` by itself, not as a part of a longer name.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(part);
        let after = text[at + word.len()..].chars().next().is_some_and(part);
        let (first, last) = (word.chars().next(), word.chars().next_back());
        let goes_on = before && first.is_some_and(part) || after && last.is_some_and(part);
        !goes_on
    })
}

#[test]
fn words_are_not_parts_of_names() {
    assert!(has_word("let x: Instant = y;", "Instant") && has_word("Instant", "Instant"));
    assert!(!has_word("AnInstant Instants Instant_", "Instant"));
    assert!(has_word("std::fs::read", "std::fs") && !has_word("std::fsx", "std::fs"));
    assert!(has_word("std::env::var", "std::env::"));
}
