//! What sets clusters apart from others that go from and to the same versions: their entries
//! have the same heading, and the difference may be one line of many.

use std::collections::BTreeMap;

use refit_model::{ChannelName, ClusterStatus};

use crate::page::Page;
use crate::paint::Paint;
use crate::steps::{Component, Line};
use crate::transitions::Transition;
use crate::way::from_text;
use crate::words::join;

/// How many differences are named.
const NAMED_MAX: usize = 4;

/// From and to which versions a group of a channel goes, as its entry begins.
type Heading = (ChannelName, bool, String, String);

/// The largest group of each heading; of several that are as large, the first.
pub(crate) struct Largest<'g, 'p>(BTreeMap<Heading, &'g Transition<'p>>);

impl<'g, 'p> Largest<'g, 'p> {
    pub(crate) fn of(groups: &'g [Transition<'p>]) -> Self {
        let mut largest: BTreeMap<Heading, &Transition<'p>> = BTreeMap::new();
        for group in groups {
            let found = largest.entry(heading(group)).or_insert(group);
            if group.ways.len() > found.ways.len() {
                *found = group;
            }
        }
        Self(largest)
    }
}

/// A line that says what a group does otherwise than the largest one with the same heading;
/// nothing for that one, or when the two have nothing in common.
pub(crate) fn line(page: &mut Page, group: &Transition<'_>, largest: &Largest<'_, '_>) {
    let alike = largest.0.get(&heading(group));
    let Some(alike) = alike.filter(|alike| alike.label() != group.label()) else { return };
    let Some(mut differences) = differences(group, alike) else { return };
    if let Some(more) = differences.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        differences.truncate(NAMED_MAX);
        differences.push(format!("{more} more"));
    }
    let name = alike.label_text(page.columns() / 3);
    let text = format!("unlike {name}: {}", join(differences, "; "));
    page.line(4, 6).words(Paint::Dim, &text);
}

fn heading(group: &Transition<'_>) -> Heading {
    let cluster = group.first().cluster;
    let blocked = cluster.status == ClusterStatus::Blocked;
    (cluster.channel.clone(), blocked, from_text(cluster), cluster.to.to_string())
}

/// None when they have no component in common: then nobody takes one for the other.
fn differences(group: &Transition<'_>, other: &Transition<'_>) -> Option<Vec<String>> {
    let by_subject = |group: &Transition<'_>| -> BTreeMap<String, Line> {
        group.lines.iter().map(|line| (subject(line), line.clone())).collect()
    };
    let (here, there) = (by_subject(group), by_subject(other));
    if here.keys().all(|subject| !there.contains_key(subject)) {
        return None;
    }
    let mut found = Vec::new();
    for (subject, line) in &here {
        match there.get(subject) {
            None => found.push(format!("{subject} as well")),
            Some(other) if other.key() != line.key() => {
                found.push(format!("{subject} {}", difference(line, other)));
            }
            Some(_) => {}
        }
    }
    found.extend(
        there.keys().filter(|subject| !here.contains_key(*subject)).map(|s| format!("no {s}")),
    );
    if found.is_empty() {
        found.push("the steps come in another order".to_owned());
    }
    Some(found)
}

/// Returns what a line is about. Pools that are told as one are compared as one.
fn subject(line: &Line) -> String {
    match line.component {
        Component::Pools => "node pools".to_owned(),
        Component::Pins
        | Component::ControlPlane
        | Component::Pool(_)
        | Component::Addon(_)
        | Component::Wave => line.subject.clone(),
    }
}

/// The first thing that two lines about the same subject do not share.
fn difference(line: &Line, other: &Line) -> String {
    let first = |line: &Line| line.chain.first().cloned().unwrap_or_default();
    if line.symbol != other.symbol {
        format!("({})", line.symbol.meaning())
    } else if first(line) != first(other) {
        format!("is at {}, not at {}", first(line), first(other))
    } else if line.chain != other.chain {
        "goes over other versions".to_owned()
    } else if line.pinned_at.is_empty() != other.pinned_at.is_empty() {
        let by = if line.pinned_at.is_empty() { "is not pinned" } else { "is pinned" };
        by.to_owned()
    } else if line.may_lose_nodes() != other.may_lose_nodes() {
        let may = if line.may_lose_nodes() { "may" } else { "may not" };
        format!("{may} have fewer nodes than usual")
    } else {
        let missing = |of: &Line, from: &Line| {
            join(of.notes.iter().filter(|note| !from.notes.contains(note)), "; ")
        };
        match (missing(line, other), missing(other, line)) {
            (here, there) if here.is_empty() && there.is_empty() => {
                "loses other objects".to_owned()
            }
            (here, there) if here.is_empty() => format!("(not: {there})"),
            (here, _) => format!("({here})"),
        }
    }
}
