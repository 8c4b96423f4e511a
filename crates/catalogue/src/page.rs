//! The catalogue as a page of the documentation.

use std::fmt::Write as _;

use crate::addons::{Entry, Row, addons, date, join};

/// `docs/reference/catalogue.md`: every add-on with what its project says, and where.
pub fn page() -> String {
    let mut page = format!(
        "\
<!-- Generated from crates/catalogue/data by `cargo regenerate`. Do not edit. -->

# The catalogue of add-ons

What refit knows about the versions of Kubernetes that add-ons run on, as of {}. It decides where
an `addon.toml` gives no `kubernetes` range; [Add-ons](../concepts/add-ons.md#the-catalogue) has
the rules. `refit addons` shows it in a terminal, and beside it what a fleet has.

Each statement was read in the first of its sources, unless its version names another one.
",
        date()
    );
    for entry in addons() {
        section(&mut page, entry);
    }
    page
}

fn section(page: &mut String, entry: &Entry) {
    let Entry { name, policy, says, sources, notes, facts: _, rows } = entry;
    let _ = write!(page, "\n## {name}\n\nPolicy: `{policy}`.");
    if !says.is_empty() {
        let _ = write!(page, " {}.", capital(says));
    }
    page.push_str("\n\n");
    for (position, source) in (1..).zip(sources) {
        let _ = writeln!(page, "{position}. {source}");
    }
    if !notes.is_empty() {
        page.push('\n');
    }
    for note in notes {
        let _ = writeln!(page, "- {}.", capital(note));
    }
    if rows.iter().any(says_something) {
        page.push_str("\n| versions | what is said | source |\n|---|---|---|\n");
    }
    for row in rows.iter().filter(|row| says_something(row)) {
        let position = sources.iter().position(|source| *source == row.source).unwrap_or(0) + 1;
        let _ = writeln!(page, "| `{}` | {} | {position} |", row.versions, row.said());
    }
}

fn says_something(row: &Row) -> bool {
    !row.said().is_empty()
}

impl Row {
    /// What is said of the versions, in words.
    pub fn said(&self) -> String {
        let mut said = Vec::new();
        if let Some(range) = &self.kubernetes {
            said.push(format!("runs on {range}"));
        }
        if !self.tested.is_empty() {
            said.push(format!("tested with {}", join(&self.tested)));
        }
        if !self.bundled_with.is_empty() {
            said.push(format!("kubeadm installs it with {}", join(&self.bundled_with)));
        }
        said.join("; ")
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_addon_and_source() {
        let page = page();
        for entry in addons() {
            assert!(page.contains(&format!("\n## {}\n", entry.name)), "{}", entry.name);
            for source in &entry.sources {
                assert!(page.contains(&source.to_string()), "{source}");
            }
        }
        assert!(page.contains("| `1.20` | runs on >=1.32, <=1.35 | 1 |"), "{page}");
    }
}
