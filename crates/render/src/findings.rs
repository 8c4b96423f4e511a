//! Findings: what planning has to tell, the heaviest first.

use std::collections::BTreeMap;

use refit_model::{Code, Finding, Severity, Subject};

use crate::page::Page;
use crate::paint::{Paint, Style};
use crate::plan::NAME_LINES;
use crate::words::{count, width};

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
    let subject = match (part, group.clusters.as_slice()) {
        (Some(part), [cluster]) => format!("{cluster} {part}:"),
        (None, [cluster]) => format!("{cluster}:"),
        (Some(part), clusters) => format!("{part} in {}:", count(clusters.len(), "cluster")),
        (None, clusters) => format!("{}:", count(clusters.len(), "cluster")),
    };
    page.words(Paint::Heading, &subject).space(1);
    page.words(Paint::Plain, evidence);
    if !hint.is_empty() {
        page.line(hang, hang).words(Paint::Dim, hint);
    }
    if group.clusters.len() > 1 {
        page.line(hang, hang).put(Paint::Dim, "in").space(1);
        page.names(Paint::Plain, group.clusters.iter().copied(), NAME_LINES, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn findings_that_say_the_same_are_one() {
        let budget = "PodDisruptionBudget allows no disruption";
        let sample = Sample::new()
            .finding(Severity::Note, "eu-1", "workers", "a newer image of 1.34.3 exists", "")
            .finding(Severity::Blocked, "eu-1", "shop/cart", budget, "raise the replicas")
            .finding(Severity::Blocked, "eu-2", "shop/cart", budget, "raise the replicas");
        insta::assert_snapshot!(findings_text(&sample.plan.findings, Style::default()), @"
        Findings
          blocked  RF012  shop/cart in 2 clusters: PodDisruptionBudget allows no
                   disruption
                   raise the replicas
                   in eu-1, eu-2
          note     RF012  eu-1 workers: a newer image of 1.34.3 exists
        ");
        assert_eq!(findings_text(&[], Style::default()), "");
    }
}
