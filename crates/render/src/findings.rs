//! Findings: what planning has to tell, the heaviest first.

use std::collections::BTreeMap;

use refit_model::{Code, Finding, Severity, Subject};

use crate::page::Page;
use crate::paint::{Paint, Style};
use crate::words::width;

/// The findings alone.
pub fn findings_text(findings: &[Finding], style: Style) -> String {
    let mut page = Page::new(style);
    section(&mut page, findings);
    page.finish()
}

/// The section `Findings`; nothing when there is none.
pub(crate) fn section(page: &mut Page, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    page.blank();
    page.line(0, 0).put(Paint::Heading, "Findings");
    for group in groups(findings) {
        one(page, &group);
    }
}

/// Findings that say the same about several clusters.
struct Group<'f> {
    first: &'f Finding,
    clusters: Vec<&'f str>,
}

fn groups(findings: &[Finding]) -> Vec<Group<'_>> {
    type Key<'f> = (Severity, Code, Option<&'f str>, &'f str, &'f str);
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort();
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut by_key: BTreeMap<Key<'_>, usize> = BTreeMap::new();
    for finding in sorted {
        let Finding { severity, code, subject: Subject { cluster, part }, evidence, hint } =
            finding;
        let key = (*severity, *code, part.as_deref(), evidence.as_str(), hint.as_str());
        if let Some(group) = by_key.get(&key).and_then(|at| groups.get_mut(*at)) {
            group.clusters.push(cluster.as_str());
        } else {
            by_key.insert(key, groups.len());
            groups.push(Group { first: finding, clusters: vec![cluster.as_str()] });
        }
    }
    groups
}

fn one(page: &mut Page, group: &Group<'_>) {
    let Finding { severity, code, subject: Subject { cluster: _, part }, evidence, hint } =
        group.first;
    let paint = match severity {
        Severity::Blocked | Severity::Unknown => Paint::Bad,
        Severity::Warning => Paint::Change,
        Severity::Note => Paint::Dim,
    };
    let severity = severity.to_string();
    // As wide as the longest severity, and two spaces on either side.
    let hang = 2 + width("blocked") + 2;
    page.line(2, hang).put(paint, &severity).column(hang).put(Paint::Plain, &code.to_string());
    page.space(2);
    let end = if part.is_some() { "" } else { ":" };
    page.names(Paint::Heading, group.clusters.iter().copied(), 2, end).space(1);
    if let Some(part) = part {
        page.words(Paint::Heading, &format!("{part}:")).space(1);
    }
    page.words(Paint::Plain, evidence);
    if !hint.is_empty() {
        page.line(hang, hang).words(Paint::Dim, hint);
    }
}
