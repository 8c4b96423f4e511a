//! Findings: what planning has to tell, the heaviest first.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{ClusterName, Code, Finding, Severity, Subject};

use crate::page::{Page, more};
use crate::paint::{Paint, Style};
use crate::words::{count, width};

/// The findings alone.
pub fn findings_text(findings: &[Finding], style: Style) -> String {
    let mut page = Page::new(style);
    section(&mut page, findings);
    page.finish()
}

/// Of findings of one kind, so many are told one by one; of more than that only the first ones.
const TOLD_MAX: usize = 2;
/// How many findings of one kind are told where there are more.
const TOLD_FIRST: usize = 3;

/// The section `Findings`; nothing when there is none. Many findings of one kind are one entry, and so are
/// several notes of who decided what add-ons support (RF034) that ask for nothing.
pub(crate) fn section(page: &mut Page, findings: &[Finding]) {
    if page.in_full() {
        return details(page, findings);
    }
    let is_folded = |finding: &&Finding| {
        let Finding { severity, code, subject: _, evidence: _, hint } = finding;
        *severity == Severity::Note && *code == Code::RF034 && hint.is_empty()
    };
    let (folded, shown): (Vec<&Finding>, Vec<&Finding>) = findings.iter().partition(is_folded);
    let folds = groups(folded.iter().copied()).len() > 1;
    let shown = if folds { groups(shown.into_iter()) } else { groups(findings.iter()) };
    if shown.is_empty() && !folds {
        return;
    }
    heading(page);
    for kind in shown.chunk_by(|one, other| one.kind() == other.kind()) {
        if kind.len() > TOLD_MAX {
            many(page, kind);
        } else {
            for group in kind {
                one(page, group);
            }
        }
    }
    if folds {
        fold(page, &folded);
    }
}

/// Findings of one kind that say different things: how many there are, and the first ones.
fn many(page: &mut Page, kind: &[Group<'_>]) {
    let Some(Group { first: Finding { severity, code, .. }, .. }) = kind.first() else { return };
    let hang = line(page, *severity, *code);
    let findings: usize = kind.iter().map(|group| group.clusters.len()).sum();
    let clusters: BTreeSet<&str> =
        kind.iter().flat_map(|group| group.clusters.iter().copied()).collect();
    page.words(Paint::Heading, &format!("{}:", code.title())).space(1);
    let (findings, clusters) = (count(findings, "time"), count(clusters.len(), "cluster"));
    page.words(Paint::Plain, &format!("{findings} in {clusters}"));
    let hints: BTreeSet<&str> = kind.iter().map(|group| group.first.hint.as_str()).collect();
    let (told, rest) = kind.split_at(TOLD_FIRST.min(kind.len()));
    for group in told {
        page.line(hang, hang + 2).words(Paint::Heading, &subject(group)).space(1);
        page.words(Paint::Plain, &group.first.evidence);
        if hints.len() > 1 && !group.first.hint.is_empty() {
            page.line(hang + 2, hang + 2).words(Paint::Dim, &group.first.hint);
        }
        if group.clusters.len() > 1 {
            page.line(hang + 2, hang + 2).put(Paint::Dim, "in").space(1);
            page.names(Paint::Plain, group.clusters.iter().copied());
        }
    }
    let rest: usize = rest.iter().map(|group| group.clusters.len()).sum();
    if rest > 0 {
        page.line(hang, hang + 2).words(Paint::Plain, &more(rest));
    }
    if let (1, Some(hint)) = (hints.len(), hints.first().filter(|hint| !hint.is_empty())) {
        page.line(hang, hang).words(Paint::Dim, hint);
    }
}

/// The section `Findings` with each finding by itself; nothing when there is none.
pub(crate) fn details(page: &mut Page, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    heading(page);
    for group in groups(findings.iter()) {
        one(page, &group);
    }
}

fn heading(page: &mut Page) {
    page.blank();
    page.line(0, 0).put(Paint::Heading, "Findings");
}

/// Notes of who decided what add-ons support, as one line.
fn fold(page: &mut Page, notes: &[&Finding]) {
    let addons: BTreeSet<&str> =
        notes.iter().filter_map(|finding| finding.subject.part.as_deref()).collect();
    let clusters: BTreeSet<&ClusterName> =
        notes.iter().map(|finding| &finding.subject.cluster).collect();
    let subject = match clusters.first() {
        Some(cluster) if clusters.len() == 1 => cluster.to_string(),
        _ => count(clusters.len(), "cluster"),
    };
    let hang = line(page, Severity::Note, Code::RF034);
    page.words(Paint::Heading, &format!("{subject}:")).space(1);
    page.words(Paint::Plain, "the catalogue decided what these add-ons support:").space(1);
    page.names(Paint::Plain, addons.into_iter());
    page.line(hang, hang).words(Paint::Dim, "`refit explain CLUSTER/ADD-ON` shows the sources");
}

/// Findings that say the same about several clusters.
struct Group<'f> {
    first: &'f Finding,
    clusters: Vec<&'f str>,
}

impl Group<'_> {
    fn kind(&self) -> (Severity, Code) {
        (self.first.severity, self.first.code)
    }
}

fn groups<'f>(findings: impl Iterator<Item = &'f Finding>) -> Vec<Group<'f>> {
    type Key<'f> = (Severity, Code, Option<&'f str>, &'f str, &'f str);
    let mut sorted: Vec<&Finding> = findings.collect();
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
    let Finding { severity, code, subject: _, evidence, hint } = group.first;
    let hang = line(page, *severity, *code);
    page.words(Paint::Heading, &subject(group)).space(1);
    page.words(Paint::Plain, evidence);
    if !hint.is_empty() {
        page.line(hang, hang).words(Paint::Dim, hint);
    }
    if group.clusters.len() > 1 {
        page.line(hang, hang).put(Paint::Dim, "in").space(1);
        page.names(Paint::Plain, group.clusters.iter().copied());
    }
}

/// Returns what findings that say the same are about.
fn subject(group: &Group<'_>) -> String {
    match (&group.first.subject.part, group.clusters.as_slice()) {
        (Some(part), [cluster]) => format!("{cluster} {part}:"),
        (None, [cluster]) => format!("{cluster}:"),
        (Some(part), clusters) => format!("{part} in {}:", count(clusters.len(), "cluster")),
        (None, clusters) => format!("{}:", count(clusters.len(), "cluster")),
    }
}

/// Begins the line of a finding. Returns the column that its text hangs at.
fn line(page: &mut Page, severity: Severity, code: Code) -> usize {
    let paint = match severity {
        Severity::Blocked | Severity::Unknown => Paint::Bad,
        Severity::Warning => Paint::Change,
        Severity::Note => Paint::Dim,
    };
    // As wide as the longest severity, and two spaces on either side.
    let hang = 2 + width("blocked") + 2;
    page.line(2, hang).put(paint, &severity.to_string());
    page.column(hang).put(Paint::Plain, &code.to_string()).space(2);
    hang
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

    #[test]
    fn notes_of_who_decided_are_one_line() {
        let mut sample = Sample::new()
            .finding(Severity::Note, "eu-1", "coredns", "1.8.0 supports any, as it says", "")
            .finding(Severity::Note, "eu-1", "coredns", "1.6.7 supports any, as it says", "")
            .finding(Severity::Note, "eu-1", "ebs-csi", "1.20.0 supports any, as it says", "")
            .finding(Severity::Note, "eu-1", "calico", "its file says otherwise", "check it");
        for finding in &mut sample.plan.findings {
            finding.code = Code::RF034;
        }
        let findings = &sample.plan.findings;
        insta::assert_snapshot!(findings_text(findings, Style::default()), @"
        Findings
          note     RF034  eu-1 calico: its file says otherwise
                   check it
          note     RF034  eu-1: the catalogue decided what these add-ons support:
                   coredns, ebs-csi
                   `refit explain CLUSTER/ADD-ON` shows the sources
        ");
        // One alone is told in full, and so is each in an explanation.
        assert!(findings_text(&findings[..1], Style::default()).contains("1.8.0 supports any"));
        let mut page = Page::new(Style::default());
        details(&mut page, findings);
        assert!(page.finish().contains("1.6.7 supports any"));
    }

    #[test]
    fn many_findings_of_one_kind_are_one_entry() {
        let mut sample = Sample::new();
        for n in 1..=40 {
            let (cluster, text) = (format!("eu-{n:02}"), format!("{n} of {n} must stay healthy"));
            sample = sample.finding(Severity::Blocked, &cluster, "shop/cart", &text, "loosen it");
        }
        let findings = &sample.plan.findings;
        insta::assert_snapshot!(findings_text(findings, Style::default()), @"
        Findings
          blocked  RF012  A PodDisruptionBudget never allows an eviction: 40 times in 40
                   clusters
                   eu-01 shop/cart: 1 of 1 must stay healthy
                   eu-02 shop/cart: 2 of 2 must stay healthy
                   eu-03 shop/cart: 3 of 3 must stay healthy
                   and 37 more; -v lists them
                   loosen it
        ");
        let in_full = findings_text(findings, Style { in_full: true, ..Style::default() });
        assert!((1..=40).all(|n| in_full.contains(&format!("eu-{n:02} shop/cart: {n} of {n}"))));
        // Two are told each by itself.
        let two = findings_text(&findings[..2], Style::default());
        assert_eq!(two.matches("blocked  RF012").count(), 2);
    }
}
