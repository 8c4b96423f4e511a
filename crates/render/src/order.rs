//! In which order a plan goes: waves over clusters, and actions within a cluster.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionKind, Because, ChannelName, ClusterName, Fleet, Minor, Plan, WavePlan,
};

use crate::page::Page;
use crate::paint::Paint;
use crate::plan::label;
use crate::spread::Spread;
use crate::transitions::Transition;
use crate::way::Way;
use crate::words::{join, width};

/// How many actions of one cluster are listed: more than one cluster of the size that refit is
/// made for has. `refit explain` tells of each.
const LISTED_MAX: usize = 60;

/// The section `Order`; nothing when there is no order to tell of. The order of clusters that make the
/// same steps is told once.
pub(crate) fn section(
    page: &mut Page,
    plan: &Plan,
    fleet: Option<&Fleet>,
    groups: &[Transition<'_>],
) {
    let ordered: Vec<(usize, &Transition<'_>)> = groups
        .iter()
        .enumerate()
        .filter(|(_, group)| group.same_steps_as.is_none() && group.first().actions.len() > 1)
        .collect();
    if plan.waves.is_empty() && ordered.is_empty() {
        return;
    }
    page.blank();
    page.line(0, 0).put(Paint::Heading, "Order");
    waves(page, plan, fleet);
    for (position, (at, group)) in ordered.into_iter().enumerate() {
        if position > 0 || !plan.waves.is_empty() {
            page.blank();
        }
        let same: Vec<&Transition<'_>> =
            groups.iter().filter(|other| other.same_steps_as == Some(at)).collect();
        within(page, group, &same);
    }
}

/// The waves of each channel that has something to do, also those in between and behind that have
/// nothing: who counts waves in the files must find each.
fn waves(page: &mut Page, plan: &Plan, fleet: Option<&Fleet>) {
    let mut channels: Vec<(&ChannelName, BTreeMap<u32, &WavePlan>)> = Vec::new();
    for wave in &plan.waves {
        match channels.iter_mut().find(|(channel, _)| **channel == wave.channel) {
            Some((_, waves)) => {
                waves.insert(wave.wave, wave);
            }
            None => channels.push((&wave.channel, BTreeMap::from([(wave.wave, wave)]))),
        }
    }
    for (channel, waves) in channels {
        let declared = fleet
            .and_then(|fleet| fleet.channels.iter().find(|declared| declared.name == *channel))
            .map_or(0, |declared| u32::try_from(declared.waves.len()).unwrap_or(u32::MAX));
        let last = waves.keys().last().copied().unwrap_or(0);
        let mut number = 1;
        for (at, wave) in &waves {
            empty(page, channel, number, at.saturating_sub(1));
            one(page, wave);
            number = at.saturating_add(1);
        }
        empty(page, channel, last.saturating_add(1), declared);
    }
}

/// Waves without a cluster that has something to do, from the first to the last of them.
fn empty(page: &mut Page, channel: &ChannelName, first: u32, last: u32) {
    if first > last {
        return;
    }
    page.line(2, 4);
    let which =
        if first == last { format!("wave {first}") } else { format!("waves {first} to {last}") };
    page.put(Paint::Plain, &which).space(1).put(Paint::Plain, "of").space(1);
    page.name(Paint::Plain, channel.as_str(), page.columns() / 3).space(2);
    page.put(Paint::Dim, "no cluster has an action in this plan");
}

fn one(page: &mut Page, wave: &WavePlan) {
    page.line(2, 4).put(Paint::Plain, &format!("wave {} of", wave.wave)).space(1);
    page.name(Paint::Plain, wave.channel.as_str(), page.columns() / 3).space(2).hang_here();
    page.names(Paint::Plain, wave.clusters.iter().map(ClusterName::as_str));
    let at_once = wave.max_parallel_clusters.map(|n| format!("at most {n} at once"));
    let budget = match wave.max_failed_clusters {
        0 => "none may fail".to_owned(),
        n => format!("{n} may fail"),
    };
    let limits = at_once.into_iter().chain([budget]);
    page.space(2).put(Paint::Dim, &format!("({})", join(limits, ", ")));
}

/// The order of the actions of a group's first cluster, with the reasons to wait. `same` are the groups
/// that make the same steps.
fn within(page: &mut Page, group: &Transition<'_>, same: &[&Transition<'_>]) {
    let way = group.first();
    label(page, group);
    let all = || std::iter::once(group).chain(same.iter().copied());
    let at_once = all()
        .flat_map(|group| &group.ways)
        .filter_map(|way| way.cluster.parallel_pools.as_ref().map(|pools| pools.at_once));
    if let Some(at_once) = Spread::over(at_once) {
        let at_once = at_once.text(|n| n.to_string());
        page.space(2).put(Paint::Dim, &format!("(at most {at_once} pools at once)"));
    }
    if !same.is_empty() {
        let most = page.columns() / 2;
        let labels: Vec<String> = same.iter().map(|group| group.listed_label(most)).collect();
        page.line(4, 6).words(Paint::Dim, "the same order for").space(1);
        page.names(Paint::Dim, labels.iter().map(String::as_str));
    }
    let pools = group.pools();
    if pools.is_none() || same.iter().any(|other| other.pools() != pools) {
        let text = format!("shown for {}; not every cluster has the same pools", way.cluster.name);
        page.line(4, 6).words(Paint::Dim, &text);
    }
    let digits = way.actions.len().min(LISTED_MAX).to_string().len();
    for (at, action) in way.actions.iter().enumerate().take(LISTED_MAX) {
        let number = format!("{:>digits$}.", at + 1);
        let begin = 4 + width(&number) + 1;
        page.line(begin - 1 - width(number.trim_start()), begin + 2);
        page.put(Paint::Dim, &number).space(1);
        let reasons = reasons(way, at);
        let mut what = action.kind.to_string();
        if at > 0 && way.depths[at] == way.depths[at - 1] {
            what.push_str(&format!(" (in parallel with {at})"));
        }
        if !reasons.is_empty() {
            what.push(',');
        }
        page.words(Paint::Plain, &what);
        page.space(1).words(Paint::Dim, &reasons.join("; "));
    }
    if let Some(more) = way.actions.len().checked_sub(LISTED_MAX).filter(|more| *more > 0) {
        page.line(4, 6).words(Paint::Dim, &format!("and {more} more"));
    }
}

/// `before 4: coredns 1.11.1 supports >=1.29, <=1.32, not 1.33`. The list itself shows that one
/// comes after the other, so only the other reasons are worth a word, and that there are none where an
/// add-on moves in between.
fn reasons(way: &Way<'_>, at: usize) -> Vec<String> {
    let mut by_reason: BTreeMap<(&Because, String), BTreeSet<usize>> = BTreeMap::new();
    let (mut has_reason, mut waits) = (false, false);
    for (first, then, because) in &way.edges {
        let plain = matches!(because, Because::OneAtATime | Because::StepByStep);
        has_reason |= !plain && (*first == at || *then == at);
        waits |= *then == at;
        if *first == at && !plain {
            let text = reason(because, [way.actions[*first], way.actions[*then]]);
            by_reason.entry((because, text)).or_default().insert(then + 1);
        }
    }
    if waits && !has_reason && way.actions[at].kind.addon().is_some() {
        return vec!["as late as possible".to_owned()];
    }
    by_reason
        .into_iter()
        .map(|((_, text), then)| format!("before {}: {text}", join(then, ", ")))
        .collect()
}

/// Returns why one of two actions comes before the other. A rule of the skew policy is told as it binds
/// the kubelets that the plan replaces.
fn reason(because: &Because, actions: [&Action; 2]) -> String {
    if let Because::Skew { rule } = because
        && let Some(kubelet) = actions.into_iter().filter_map(oldest_kubelet).min()
    {
        return rule.for_component(kubelet);
    }
    because.to_string()
}

fn oldest_kubelet(action: &Action) -> Option<Minor> {
    match &action.kind {
        ActionKind::NodePoolRoll { from, .. } => Some(from.first()?.minor()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use refit_model::skew::SkewRule;

    use super::*;
    use crate::sample::{action, hop, roll};

    #[test]
    fn the_skew_policy_is_told_as_it_binds_the_kubelets_of_the_roll() {
        let because = Because::Skew { rule: SkewRule::Kubelet };
        let told = |from: &str| {
            let first = action("eu-1", hop("1.25.1", "1.26.1"));
            let then = action("eu-1", roll("workers", 3, from, "1.26.1"));
            reason(&because, [&first, &then])
        };
        assert!(told("1.24.17").ends_with("at most 2 minors older"), "{}", told("1.24.17"));
        assert!(told("1.25.1").ends_with("at most 3 minors older"), "{}", told("1.25.1"));
    }
}
