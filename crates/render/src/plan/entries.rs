//! The entry of a transition: its clusters, from where to where they go, and a line for each component.

use std::collections::BTreeSet;

use refit_model::{ClusterStatus, Severity};

use crate::page::Page;
use crate::paint::Paint;
use crate::steps::{self, Component, Line};
use crate::time::duration;
use crate::transitions::Transition;
use crate::unlike::{self, Largest};
use crate::way::from_text;
use crate::words::{count, digits, join, shorten, size, width};

/// All entries. A group that makes the same steps as an earlier one refers to that.
pub(super) fn section(page: &mut Page, groups: &[Transition<'_>]) {
    let largest = Largest::of(groups);
    for group in groups {
        page.blank();
        heading(page, group);
        let earlier = group.same_steps_as.and_then(|at| groups.get(at));
        if let Some(earlier) = earlier {
            let sizes: Vec<&Line> = group.lines.iter().filter(|line| has_sizes(line)).collect();
            components(page, &sizes, group.ways.len());
            let label = earlier.label_text(page.columns() / 3);
            let same = if sizes.is_empty() {
                format!("the same steps as {label}")
            } else {
                format!("all other steps as for {label}")
            };
            page.line(4, 6).words(Paint::Dim, &same);
        } else {
            let lines: Vec<&Line> = group.lines.iter().collect();
            components(page, &lines, group.ways.len());
            unlike::line(page, group, &largest);
        }
        if group.differs_in_findings {
            findings(page, group);
        }
    }
}

/// Whether the numbers of a line are the group's own, whatever group it makes the same steps as.
fn has_sizes(line: &Line) -> bool {
    match line.component {
        Component::Pins | Component::Pool(_) | Component::Pools => true,
        Component::ControlPlane | Component::Addon(_) | Component::Wave => line.objects.is_some(),
    }
}

fn findings(page: &mut Page, group: &Transition<'_>) {
    let told: Vec<String> =
        group.findings.iter().map(|(severity, code)| format!("{code} ({severity})")).collect();
    let worst = group.findings.iter().map(|(severity, _)| *severity).min();
    let paint = match worst {
        Some(Severity::Blocked | Severity::Unknown) => Paint::Bad,
        Some(Severity::Warning) => Paint::Change,
        Some(Severity::Note) | None => Paint::Dim,
    };
    let text = if told.is_empty() { "no warnings".to_owned() } else { join(told, ", ") };
    page.line(4, 6).words(paint, &format!("findings: {text}"));
}

fn heading(page: &mut Page, group: &Transition<'_>) {
    let way = group.first();
    page.line(2, 6);
    match group.ways.len() {
        1 => {
            page.name(Paint::Heading, way.cluster.name.as_str(), page.columns() / 2).space(2);
        }
        n => {
            page.put(Paint::Heading, &count(n, "cluster")).space(1).put(Paint::Heading, "of");
            let most = page.columns() / 2;
            page.space(1).name(Paint::Heading, group.channel().as_str(), most);
            let nodes = group.nodes();
            if nodes.most > 0 {
                let each = nodes.text(|n| digits(size(n)));
                let unit = if each == "1" { "node" } else { "nodes" };
                let all = digits(group.nodes_in_all());
                page.space(1).words(
                    Paint::Plain,
                    &format!("({each} {unit} to replace in each, {all} in all)"),
                );
            }
            page.line(4, 6);
        }
    }
    let from = from_text(way.cluster);
    match way.cluster.status {
        ClusterStatus::Blocked => {
            page.put(Paint::Plain, &from).space(1).put(Paint::Bad, "blocked");
        }
        ClusterStatus::Frozen => {
            page.put(Paint::Plain, &from).space(1).put(Paint::Change, "frozen");
        }
        ClusterStatus::Planned | ClusterStatus::UpToDate => {
            versions(page, &from, &way.cluster.to.to_string());
        }
    }
    page.space(2).words(Paint::Plain, &steps::summary(&group.works).join(", "));
    page.space(2).put(Paint::Dim, &format!("~ {}", group.takes.expected.text(duration)));
    if group.ways.len() > 1 {
        page.line(4, 4).names(Paint::Plain, group.names());
    }
}

fn versions(page: &mut Page, from: &str, to: &str) {
    page.put(Paint::Plain, from);
    if from != to {
        page.space(1).put(Paint::Dim, "->").space(1).put(Paint::Plain, to);
    }
}

fn components(page: &mut Page, lines: &[&Line], clusters: usize) {
    /// Where subjects begin: an indent of four, the symbol, a space.
    const SUBJECT: usize = 6;
    /// Fewer columns than this do not hold a sentence.
    const NOTE_MIN: usize = 26;
    let name_most = page.columns() / 3;
    let count = |line: &Line| {
        line.count.map(|count| format!("({})", count.text(|n| digits(size(n))))).unwrap_or_default()
    };
    let subject_width = |line: &&Line| {
        let count = count(line);
        let count = if count.is_empty() { 0 } else { 1 + width(&count) };
        width(&shorten(&line.subject, name_most)) + count
    };
    let chain_at = SUBJECT + lines.iter().map(subject_width).max().unwrap_or(0) + 2;
    let chain_width = |line: &Line| width(&line.chain.join(" -> "));
    let note_columns: BTreeSet<usize> = lines
        .iter()
        .filter(|line| !line.remarks(clusters).is_empty())
        .map(|line| chain_at + chain_width(line) + 2)
        .filter(|at| at + NOTE_MIN <= page.columns())
        .collect();
    let note_at = note_columns.last().copied().unwrap_or(chain_at);
    for line in lines {
        page.line(4, chain_at).put(line.symbol.paint(), line.symbol.sign()).space(1);
        page.name(Paint::Plain, &line.subject, name_most);
        page.space(1).put(Paint::Plain, &count(line));
        page.column(chain_at);
        for (position, version) in line.chain.iter().enumerate() {
            if position > 0 {
                page.space(1).put(Paint::Dim, "->").space(1);
            }
            page.put(Paint::Plain, version);
        }
        let text = line.remarks(clusters);
        // In the column of notes; where that wraps, right behind the versions; where that wraps
        // too, back in the column, or below the versions when these reach past it.
        let after = chain_at + chain_width(line) + 2;
        let fits = |column: usize| column + width(&text) <= page.columns();
        match (after <= note_at, fits(note_at), fits(after)) {
            (true, true, _) | (true, false, false) => page.column(note_at).hang(note_at),
            (_, _, true) => page.column(0),
            (false, _, false) => page.line(chain_at, chain_at),
        };
        page.words(Paint::Dim, &text);
    }
}
