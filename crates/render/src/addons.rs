//! What is known of add-ons: a line each, or a page of one.

use crate::page::Page;
use crate::paint::{Paint, Style};
use crate::words::width;

/// One add-on among others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddonLine {
    /// Its name.
    pub name: String,
    /// What kind of statement its project makes; empty: the catalogue does not know it.
    pub policy: String,
    /// The versions that the catalogue knows.
    pub known: String,
    /// The versions that the fleet has manifests of.
    pub fleet: Vec<String>,
}

/// A table of add-ons, in the order given.
pub fn addons_text(lines: &[AddonLine], style: Style) -> String {
    let mut page = Page::new(style);
    let head = ["ADD-ON", "POLICY", "CATALOGUE", "FLEET"].map(str::to_owned);
    let rows = lines.iter().map(|line| {
        let AddonLine { name, policy, known, fleet } = line;
        [name.clone(), policy.clone(), known.clone(), fleet.join(", ")]
    });
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(rows).collect();
    let mut begins = [0; 4];
    for column in 1..begins.len() {
        let widest = rows.iter().map(|row| width(&row[column - 1])).max().unwrap_or(0);
        begins[column] = begins[column - 1] + widest + 2;
    }
    for (number, row) in rows.iter().enumerate() {
        let paint = if number == 0 { Paint::Dim } else { Paint::Plain };
        page.line(0, begins[3]);
        for (cell, column) in row.iter().zip(begins).filter(|(cell, _)| !cell.is_empty()) {
            page.column(column).words(paint, cell);
        }
    }
    page.finish()
}

/// All that is known of one add-on. Pairs are a version and what is said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddonPage {
    /// Its name.
    pub name: String,
    /// What kind of statement its project makes, in words.
    pub policy: String,
    /// The versions that the fleet has manifests of.
    pub fleet: Vec<(String, String)>,
    /// What could be done about those that it has not.
    pub hints: Vec<String>,
    /// The versions that the catalogue knows.
    pub known: Vec<(String, String)>,
    /// What else an upgrade should know.
    pub notes: Vec<String>,
    /// Where all this was read.
    pub sources: Vec<String>,
}

/// One add-on.
pub fn addon_text(addon: &AddonPage, style: Style) -> String {
    let AddonPage { name, policy, fleet, hints, known, notes, sources } = addon;
    let mut page = Page::new(style);
    page.line(0, 2).put(Paint::Heading, name).space(2).words(Paint::Plain, policy);
    for (title, pairs) in [("Fleet", fleet), ("Catalogue", known)] {
        if pairs.is_empty() {
            continue;
        }
        page.blank();
        page.line(0, 0).put(Paint::Heading, title);
        let widest = pairs.iter().map(|(version, _)| width(version)).max().unwrap_or(0);
        for (version, said) in pairs {
            let column = 2 + widest + 2;
            page.line(2, column).put(Paint::Plain, version).column(column);
            page.words(Paint::Plain, said);
        }
        if title == "Fleet" {
            for hint in hints {
                page.line(2, 4).words(Paint::Dim, hint);
            }
        }
    }
    for (title, lines) in [("Notes", notes), ("Sources", sources)] {
        if lines.is_empty() {
            continue;
        }
        page.blank();
        page.line(0, 0).put(Paint::Heading, title);
        for line in lines {
            page.line(2, 4).words(Paint::Plain, line);
        }
    }
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn addons_are_a_line_each() {
        let lines = [
            AddonLine {
                name: "cert-manager".into(),
                policy: "matrix".into(),
                known: "0.11 to 1.21".into(),
                fleet: texts(&["1.18.4", "1.19.4"]),
            },
            AddonLine {
                name: "dashboard".into(),
                fleet: texts(&["2.7.0"]),
                ..AddonLine::default()
            },
        ];
        insta::assert_snapshot!(addons_text(&lines, Style::default()), @"
        ADD-ON        POLICY  CATALOGUE     FLEET
        cert-manager  matrix  0.11 to 1.21  1.18.4, 1.19.4
        dashboard                           2.7.0
        ");
    }

    #[test]
    fn one_addon_is_a_page() {
        let pair = |version: &str, said: &str| (version.to_owned(), said.to_owned());
        let addon = AddonPage {
            name: "cert-manager".into(),
            policy: "matrix: a lowest and a highest minor for each version".into(),
            fleet: vec![
                pair("1.19.4", ">=1.31, <=1.35, as the catalogue says"),
                pair(
                    "1.20.1",
                    ">=1.33, <=1.37, as addons/cert-manager/addon.toml:18 says; the catalogue says >=1.32, <=1.35",
                ),
            ],
            hints: texts(&[
                "the catalogue knows 1.21.1 for >=1.33, <=1.36: put its manifests into `addons/cert-manager/1.21.1/`",
            ]),
            known: vec![
                pair("1.21", "runs on >=1.33, <=1.36"),
                pair("1.20", "runs on >=1.32, <=1.35"),
            ],
            notes: texts(&["a note"]),
            sources: texts(&["a repository, 2026-08-22"]),
        };
        insta::assert_snapshot!(addon_text(&addon, Style::default()), @"
        cert-manager  matrix: a lowest and a highest minor for each version

        Fleet
          1.19.4  >=1.31, <=1.35, as the catalogue says
          1.20.1  >=1.33, <=1.37, as addons/cert-manager/addon.toml:18 says; the
                  catalogue says >=1.32, <=1.35
          the catalogue knows 1.21.1 for >=1.33, <=1.36: put its manifests into
            `addons/cert-manager/1.21.1/`

        Catalogue
          1.21  runs on >=1.33, <=1.36
          1.20  runs on >=1.32, <=1.35

        Notes
          a note

        Sources
          a repository, 2026-08-22
        ");
    }
}
