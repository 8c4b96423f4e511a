//! A plan as people review it: by transition, not by cluster.

mod entries;
mod points;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    ActionKind, AddonName, ChannelName, ClusterName, Fleet, Plan, ReleaseName, Reversibility,
    Schedule,
};

pub(crate) use self::points::{label, lost};
use crate::findings;
use crate::order;
use crate::page::Page;
use crate::paint::{Paint, Style};
use crate::span;
use crate::steps::Symbol;
use crate::time::{duration, timestamp};
use crate::transitions::{Transition, transitions};
use crate::words::{count, digits, size};

/// The whole plan. With the fleet, its order of channels, its waves and its number of clusters are known.
pub fn plan_text(plan: &Plan, fleet: Option<&Fleet>, style: Style) -> String {
    let mut page = Page::new(style);
    let schedule = Schedule::of(plan);
    let groups = transitions(plan, &schedule);
    header(&mut page, plan, fleet);
    if plan.is_empty() {
        standing::standing(&mut page, plan);
        page.blank();
        standing::nothing_to_do(&mut page, plan);
        standing::left_out(&mut page, plan);
        findings::section(&mut page, &plan.findings);
        return page.finish();
    }
    legend(&mut page, &groups);
    deletions(&mut page, plan);
    entries::section(&mut page, &groups);
    standing::standing(&mut page, plan);
    standing::left_out(&mut page, plan);
    order::section(&mut page, plan, fleet, &groups);
    points::section(&mut page, &groups);
    span::section(&mut page, plan, &schedule, &groups);
    findings::section(&mut page, &plan.findings);
    footer(&mut page, plan, &groups);
    page.finish()
}

fn header(page: &mut Page, plan: &Plan, fleet: Option<&Fleet>) {
    let rank = |name: &ChannelName| {
        fleet.and_then(|fleet| fleet.channels.iter().position(|channel| channel.name == *name))
    };
    let channels: BTreeSet<(Option<usize>, &ChannelName)> =
        plan.clusters.iter().map(|cluster| (rank(&cluster.channel), &cluster.channel)).collect();
    let releases: BTreeSet<&ReleaseName> =
        plan.clusters.iter().map(|cluster| &cluster.release).collect();
    let seen = plan.clusters.iter().filter(|cluster| cluster.identity.is_some()).count();
    let some = |word: &str, names: Vec<&str>| match names.len() {
        0 => None,
        1 => Some(format!("{word} {}", names.join(""))),
        2..=4 => Some(format!("{word}s {}", names.join(", "))),
        n => Some(format!("{n} {word}s")),
    };
    page.line(0, 12).put(Paint::Heading, "refit plan").space(2);
    page.words(Paint::Heading, plan.fleet.as_str());
    let mut clusters = format!("{} of {}", digits(seen), count(plan.clusters.len(), "cluster"));
    if let Some(fleet) = fleet
        && fleet.clusters.len() > plan.clusters.len()
    {
        clusters.push_str(&format!(" (the fleet has {})", digits(fleet.clusters.len())));
    }
    let facts = [
        some("channel", channels.iter().map(|(_, name)| name.as_str()).collect()),
        some("release", releases.iter().map(|name| name.as_str()).collect()),
        Some(format!("observed {}, {clusters}", timestamp(plan.taken_at))),
    ];
    for fact in facts.into_iter().flatten() {
        page.space(1).put(Paint::Dim, "·").space(1).put(Paint::Plain, &fact);
    }
}

fn legend(page: &mut Page, groups: &[Transition<'_>]) {
    let used: BTreeSet<Symbol> =
        groups.iter().flat_map(|group| &group.lines).map(|line| line.symbol).collect();
    page.line(2, 2);
    for symbol in Symbol::ALL.into_iter().filter(|symbol| used.contains(symbol)) {
        page.put(symbol.paint(), symbol.sign()).space(1);
        page.put(Paint::Dim, symbol.meaning()).space(3);
    }
    let actions = || groups.iter().flat_map(|group| &group.first().actions);
    let has_hop = actions().any(|action| matches!(action.kind, ActionKind::ControlPlaneHop { .. }));
    let has_roll = actions().any(|action| matches!(action.kind, ActionKind::NodePoolRoll { .. }));
    let terms = [
        (has_hop, "hop: control plane to next version"),
        (has_roll, "node roll: replaces a pool's nodes"),
    ];
    if has_hop || has_roll {
        page.line(2, 2);
        for (_, term) in terms.into_iter().filter(|(has, _)| *has) {
            page.put(Paint::Dim, term).space(3);
        }
    }
}

/// What is gone for good stands above everything else.
fn deletions(page: &mut Page, plan: &Plan) {
    let mut by_addon: BTreeMap<&AddonName, usize> = BTreeMap::new();
    let mut clusters: BTreeSet<&ClusterName> = BTreeSet::new();
    for action in &plan.actions {
        let (Reversibility::Deletes { objects } | Reversibility::Downgrade { objects, .. }) =
            &action.reversible
        else {
            continue;
        };
        if let Some(addon) = action.kind.addon().filter(|_| *objects > 0) {
            *by_addon.entry(addon).or_default() += size(*objects);
            clusters.extend(&action.cluster);
        }
    }
    let total: usize = by_addon.values().sum();
    if total == 0 {
        return;
    }
    page.blank();
    let text =
        format!("Deletes {} in {}:", count(total, "object"), count(clusters.len(), "cluster"));
    page.line(0, 2).words(Paint::Bad, &text);
    let parts: Vec<String> =
        by_addon.iter().map(|(addon, objects)| format!("{addon} ({})", digits(*objects))).collect();
    page.space(1).names(Paint::Plain, parts.iter().map(String::as_str));
}

fn footer(page: &mut Page, plan: &Plan, groups: &[Transition<'_>]) {
    let clusters: usize = groups.iter().map(|group| group.ways.len()).sum();
    let actions = plan.actions.iter().filter(|action| action.cluster.is_some()).count();
    page.blank();
    page.line(0, 2).put(Paint::Heading, "Plan").space(1);
    page.put(Paint::Heading, &format!("{}:", plan.id())).space(1);
    page.put(Paint::Plain, &format!("{},", count(clusters, "cluster"))).space(1);
    page.put(Paint::Plain, &format!("{},", count(actions, "action"))).space(1);
    page.words(Paint::Plain, "expected to take").space(1);
    page.put(Paint::Plain, &format!("about {}.", duration(plan.critical_path)));
}
