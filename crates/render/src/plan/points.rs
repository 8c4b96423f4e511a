//! What cannot be undone.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{ActionKind, AddonName, Reversibility};

use crate::page::Page;
use crate::paint::Paint;
use crate::spread::Spread;
use crate::transitions::Transition;
use crate::way::Way;
use crate::words::{count, digits, join, size};

/// What is lost when a component goes back.
pub(crate) fn lost(kind: &ActionKind, definitions: &BTreeSet<String>, objects: u32) -> String {
    let mut lost = match kind {
        ActionKind::ControlPlaneHop { from, to, .. } => {
            let newest = from.last().map_or_else(String::new, |from| from.minor().to_string());
            format!(
                "loses what {newest} has stored that {} does not know: new fields and kinds",
                to.minor()
            )
        }
        _ => "loses what only the newer version knows".to_owned(),
    };
    if !definitions.is_empty() {
        lost.push_str(&format!(
            "; objects of {} may be of kinds or versions that it does not know",
            join(definitions, ", ")
        ));
    }
    if objects > 0 {
        lost.push_str(&format!("; deletes {}", count(size(objects), "object")));
    }
    lost
}

/// The points of no return of a cluster.
#[derive(Default)]
struct Points<'p> {
    minors: Vec<String>,
    deletes: BTreeMap<&'p AddonName, u32>,
    others: Vec<String>,
    total: usize,
}

impl<'p> Points<'p> {
    fn of(way: &Way<'p>) -> Self {
        let mut points = Self::default();
        for action in &way.actions {
            match (&action.reversible, &action.kind) {
                (Reversibility::Reversible, _) => continue,
                (Reversibility::ControlPlaneMinor, ActionKind::ControlPlaneHop { to, .. }) => {
                    points.minors.push(to.to_string());
                }
                (Reversibility::ControlPlaneMinor, _) => {
                    points.minors.push(action.kind.to_string());
                }
                (Reversibility::StoredVersions, kind) => points.others.push(kind.to_string()),
                (Reversibility::Downgrade { definitions, objects }, kind) => {
                    let lost = lost(kind, definitions, *objects);
                    points.others.push(format!("{kind} ({lost})"));
                }
                (Reversibility::Deletes { objects }, kind) => {
                    if let Some(addon) = kind.addon() {
                        let deleted = points.deletes.entry(addon).or_default();
                        *deleted = deleted.saturating_add(*objects);
                    }
                }
            }
            points.total += 1;
        }
        points
    }
}

/// The section `Points of no return`; nothing when everything can be undone.
pub(super) fn section(page: &mut Page, groups: &[Transition<'_>]) {
    let mut total = 0;
    let mut entries: Vec<(String, Vec<&Transition<'_>>)> = Vec::new();
    for group in groups {
        // Clusters of a group may lose different things, such as numbers of objects.
        let mut minors: Vec<String> = Vec::new();
        let mut deletes: BTreeMap<&AddonName, Spread<u32>> = BTreeMap::new();
        let mut others: Vec<String> = Vec::new();
        for way in &group.ways {
            let points = Points::of(way);
            total += points.total;
            for (all, of_cluster) in [(&mut minors, points.minors), (&mut others, points.others)] {
                for text in of_cluster {
                    if !all.contains(&text) {
                        all.push(text);
                    }
                }
            }
            for (addon, objects) in points.deletes {
                let objects = Spread::of(objects);
                let of_addon = deletes.entry(addon).or_insert(objects);
                *of_addon = of_addon.with(objects);
            }
        }
        let mut parts = Vec::new();
        if !minors.is_empty() {
            parts.push(format!("{} (control plane)", minors.join(", ")));
        }
        for (addon, objects) in deletes {
            let unit = if objects == Spread::of(1) { "object" } else { "objects" };
            let objects = objects.text(|n| digits(size(n)));
            parts.push(format!("{addon} (deletes {objects} {unit})"));
        }
        parts.extend(others);
        if parts.is_empty() {
            continue;
        }
        let text = parts.join(", ");
        match entries.iter_mut().find(|(other, _)| *other == text) {
            Some((_, same)) => same.push(group),
            None => entries.push((text, vec![group])),
        }
    }
    if total == 0 {
        return;
    }
    page.blank();
    page.line(0, 0).put(Paint::Heading, &format!("Points of no return: {}", digits(total)));
    for (text, groups) in entries {
        page.line(2, 4);
        let most = page.columns() / 2;
        if let [group] = groups.as_slice() {
            page.words(Paint::Plain, &group.label_text(most));
        } else {
            let labels: Vec<String> = groups.iter().map(|group| group.listed_label(most)).collect();
            page.names(Paint::Plain, labels.iter().map(String::as_str));
        }
        let clusters: usize = groups.iter().map(|group| group.ways.len()).sum();
        let each = if clusters > 1 { "each " } else { "" };
        page.space(2).words(Paint::Plain, &format!("{each}{text}"));
    }
}

/// Begins a line with the group's first cluster, and how many go the same way.
pub(crate) fn label(page: &mut Page, group: &Transition<'_>) {
    let (name, more) = group.label();
    let most = page.columns() / 2;
    page.line(2, 4).name(Paint::Plain, name, most);
    if !more.is_empty() {
        page.space(1).words(Paint::Plain, &more);
    }
}
