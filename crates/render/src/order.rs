//! In which order a plan goes: waves over clusters, and actions within a cluster.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{Action, ActionKind, Because, ChannelName, ClusterName, Minor, Plan};

use crate::page::Page;
use crate::paint::Paint;
use crate::plan::{NAME_LINES, label};
use crate::way::{Transition, Way};
use crate::words::{join, width};

/// How many actions of one cluster are listed: more than one cluster of the size that refit is
/// made for has. `refit explain` tells of each.
const LISTED_MAX: usize = 60;

/// The section `Order`; nothing when there is no order to tell of.
pub(crate) fn section(page: &mut Page, plan: &Plan, groups: &[Transition<'_>]) {
    let ordered: Vec<&Transition<'_>> =
        groups.iter().filter(|group| group.first().actions.len() > 1).collect();
    if plan.waves.is_empty() && ordered.is_empty() {
        return;
    }
    page.blank();
    page.line(0, 0).put(Paint::Heading, "Order");
    waves(page, plan);
    for (position, group) in ordered.into_iter().enumerate() {
        if position > 0 || !plan.waves.is_empty() {
            page.blank();
        }
        within(page, group);
    }
}

fn waves(page: &mut Page, plan: &Plan) {
    let channels: BTreeSet<&ChannelName> = plan.waves.iter().map(|wave| &wave.channel).collect();
    for wave in &plan.waves {
        page.line(2, 4);
        if channels.len() > 1 {
            page.name(Paint::Plain, wave.channel.as_str(), page.columns() / 3).space(1);
        }
        page.put(Paint::Plain, &format!("wave {}", wave.wave)).space(2).hang_here();
        page.names(Paint::Plain, wave.clusters.iter().map(ClusterName::as_str), NAME_LINES, "");
        let at_once = wave.max_parallel_clusters.map(|n| format!("at most {n} at once"));
        let budget = match wave.max_failed_clusters {
            0 => "none may fail".to_owned(),
            n => format!("{n} may fail"),
        };
        let limits = at_once.into_iter().chain([budget]);
        page.space(2).put(Paint::Dim, &format!("({})", join(limits, ", ")));
    }
}

/// The order of the actions of a group's first cluster, with the reasons to wait.
fn within(page: &mut Page, group: &Transition<'_>) {
    let way = group.first();
    label(page, group);
    if let Some(pools) = &way.cluster.parallel_pools {
        page.space(2).put(Paint::Dim, &format!("(at most {} pools at once)", pools.at_once));
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
            what.push_str(&format!(" (does not wait for {at})"));
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
