//! How a run ended: what was done, what was not and why, and how to go on.

use std::collections::BTreeMap;

use refit_model::{Action, ActionId, ActionKind, Outcome, Plan, Recap};

use crate::page::Page;
use crate::paint::{Paint, Style};
use crate::words::{NOT_STARTED, count};

/// What became of each cluster, and as the last line the command that continues, if there is
/// something left to do. `outcomes` tells how an action ended, if it is known.
pub fn recap_text(
    plan: &Plan,
    recap: &Recap,
    outcomes: &dyn Fn(&ActionId) -> Option<Outcome>,
    continue_command: &str,
    style: Style,
) -> String {
    let mut page = Page::new(style);
    page.line(0, 2).put(Paint::Heading, "Recap").space(2);
    page.words(Paint::Heading, plan.fleet.as_str()).space(1).put(Paint::Dim, "·").space(1);
    page.put(Paint::Plain, &format!("plan {}", plan.id()));
    let tallies = tallies(plan, recap);
    let mut smooth: BTreeMap<Counts, Vec<&str>> = BTreeMap::new();
    let mut rough: Vec<(&str, &Tally<'_>)> = Vec::new();
    let mut all = Counts::default();
    for (cluster, tally) in &tallies {
        all.add(&tally.counts);
        if tally.is_smooth() {
            smooth.entry(tally.counts.clone()).or_default().push(cluster);
        } else {
            rough.push((cluster, tally));
        }
    }
    // What is done first, what has not begun last.
    for (counts, clusters) in smooth.iter().rev() {
        page.line(2, 4);
        if clusters.len() > 1 {
            page.put(Paint::Heading, &count(clusters.len(), "cluster")).space(2);
            counts.write(&mut page);
            page.words(Paint::Dim, "each");
            page.line(4, 4).names(Paint::Plain, clusters.iter().copied());
        } else {
            page.names(Paint::Heading, clusters.iter().copied()).space(2);
            counts.write(&mut page);
        }
    }
    for (cluster, tally) in rough {
        rough_cluster(&mut page, plan, cluster, tally, outcomes);
    }
    page.blank();
    page.line(0, 2).put(Paint::Heading, "Actions:").space(1);
    all.write(&mut page);
    if all.left() && !continue_command.trim().is_empty() {
        page.line(0, 2).put(Paint::Plain, "To continue:");
        page.line(2, 4).words(Paint::Heading, continue_command);
    }
    page.finish()
}

/// Between clusters: the ends of waves.
const WAVES: &str = "waves";

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Counts {
    done: usize,
    satisfied: usize,
    failed: usize,
    stopped: usize,
    skipped: usize,
    not_started: usize,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        let Self { done, satisfied, failed, stopped, skipped, not_started } = other;
        self.done += done;
        self.satisfied += satisfied;
        self.failed += failed;
        self.stopped += stopped;
        self.skipped += skipped;
        self.not_started += not_started;
    }

    /// Whether something is not as the plan wants it.
    fn left(&self) -> bool {
        let Self { done: _, satisfied: _, failed, stopped, skipped, not_started } = self;
        failed + stopped + skipped + not_started > 0
    }

    fn write(&self, page: &mut Page) {
        let Self { done, satisfied, failed, stopped, skipped, not_started } = self;
        if *self == Self::default() {
            page.put(Paint::Dim, "none");
        }
        let parts: Vec<(Paint, usize, &str)> = [
            (Paint::Good, *done, "done"),
            (Paint::Good, *satisfied, "skipped (already as wanted)"),
            (Paint::Bad, *failed, "failed"),
            (Paint::Change, *stopped, "stopped"),
            (Paint::Dim, skipped + not_started, NOT_STARTED),
        ]
        .into_iter()
        .filter(|(_, n, _)| *n > 0)
        .collect();
        let last = parts.len().saturating_sub(1);
        for (position, (paint, n, what)) in parts.into_iter().enumerate() {
            let comma = if position == last { "" } else { "," };
            page.put(paint, &format!("{n} {what}{comma}")).space(1);
        }
    }
}

#[derive(Default)]
struct Tally<'p> {
    counts: Counts,
    failed: Vec<&'p Action>,
    stopped: Vec<&'p Action>,
    skipped: Vec<&'p Action>,
}

impl Tally<'_> {
    /// Whether the counts say everything.
    fn is_smooth(&self) -> bool {
        let Self { counts: _, failed, stopped, skipped } = self;
        failed.is_empty() && stopped.is_empty() && skipped.is_empty()
    }
}

fn tallies<'p>(plan: &'p Plan, recap: &Recap) -> BTreeMap<&'p str, Tally<'p>> {
    let Recap { done, satisfied, failed, stopped, skipped, not_started } = recap;
    let mut tallies: BTreeMap<&str, Tally<'_>> = BTreeMap::new();
    let mut each = |ids: &[ActionId], add: &dyn Fn(&mut Tally<'p>, &'p Action)| {
        for action in ids.iter().filter_map(|id| plan.action(id)) {
            let failed_wave = failed.contains(&action.id);
            // The end of a wave is no work: only one that keeps others from starting counts.
            if matches!(action.kind, ActionKind::FinishWave { .. }) && !failed_wave {
                continue;
            }
            let cluster = action.cluster.as_ref().map_or(WAVES, |cluster| cluster.as_str());
            add(tallies.entry(cluster).or_default(), action);
        }
    };
    each(done, &|tally, _| tally.counts.done += 1);
    each(satisfied, &|tally, _| tally.counts.satisfied += 1);
    each(failed, &|tally, action| {
        tally.counts.failed += 1;
        tally.failed.push(action);
    });
    each(stopped, &|tally, action| {
        tally.counts.stopped += 1;
        tally.stopped.push(action);
    });
    each(skipped, &|tally, action| {
        tally.counts.skipped += 1;
        tally.skipped.push(action);
    });
    each(not_started, &|tally, _| tally.counts.not_started += 1);
    tallies
}

fn rough_cluster(
    page: &mut Page,
    plan: &Plan,
    cluster: &str,
    tally: &Tally<'_>,
    outcomes: &dyn Fn(&ActionId) -> Option<Outcome>,
) {
    /// Behind the longest of the words at a line's beginning.
    const HANG: usize = 4 + NOT_STARTED.len() + 2;
    let most = page.columns() / 2;
    page.line(2, 4).name(Paint::Heading, cluster, most).space(2);
    tally.counts.write(page);
    for action in &tally.failed {
        page.line(4, HANG).put(Paint::Bad, "failed").column(HANG);
        page.words(Paint::Plain, &action.kind.to_string());
        for line in reasons(outcomes(&action.id).as_ref()) {
            page.line(HANG, HANG).words(Paint::Plain, &line);
        }
    }
    for action in &tally.stopped {
        page.line(4, HANG).put(Paint::Change, "stopped").column(HANG);
        page.words(Paint::Plain, &action.kind.to_string());
    }
    let mut roots: BTreeMap<String, usize> = BTreeMap::new();
    for action in &tally.skipped {
        *roots.entry(root(plan, action, outcomes)).or_default() += 1;
    }
    for (because, n) in roots {
        page.line(4, HANG).put(Paint::Change, NOT_STARTED).column(HANG);
        page.words(Paint::Plain, &format!("{} {because}", count(n, "action")));
    }
}

/// Why something failed and what is left of it, a line each.
pub(crate) fn reasons(outcome: Option<&Outcome>) -> Vec<String> {
    match outcome {
        Some(Outcome::Failed { reason, left }) => {
            let left = left.iter().map(|left| format!("left: {left}"));
            std::iter::once(reason.clone()).chain(left).collect()
        }
        Some(Outcome::StoppedHalfway { left }) => {
            left.iter().map(|left| format!("left: {left}")).collect()
        }
        Some(Outcome::Conflict { expected, found }) => {
            vec![format!("not begun: expected {expected}, found {found}")]
        }
        Some(
            Outcome::Done | Outcome::AlreadySatisfied | Outcome::Stopped | Outcome::Skipped { .. },
        )
        | None => Vec::new(),
    }
}

/// Returns why an action was not started: what it waited for may not have been started either.
fn root(plan: &Plan, action: &Action, outcomes: &dyn Fn(&ActionId) -> Option<Outcome>) -> String {
    let mut cause: Option<ActionId> = None;
    let mut at = action.id;
    // No chain of reasons is longer than the plan.
    for _ in 0..plan.actions.len() {
        let Some(Outcome::Skipped { because_of }) = outcomes(&at) else { break };
        at = because_of;
        cause = Some(because_of);
    }
    let Some(cause) = cause else { return "whose predecessors did not succeed".to_owned() };
    match plan.action(&cause) {
        Some(found) if found.cluster == action.cluster => format!("because of {}", found.kind),
        Some(found) => match &found.cluster {
            Some(cluster) => format!("because of {cluster}: {}", found.kind),
            None => format!("because of the {}", found.kind),
        },
        None => format!("because of {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn a_recap_names_the_cause_once_and_ends_in_the_command() {
        let sample = Sample::new().example("eu-1").example("eu-2").example("eu-3").example("eu-4");
        let plan = &sample.plan;
        let roll = sample.id("eu-2", "workers");
        let gateway = sample.id("eu-2", "gateway-api");
        let metrics = sample.id("eu-2", "metrics-server");
        let of = |cluster: &str| {
            let actions = plan
                .actions
                .iter()
                .filter(|a| a.cluster.as_ref().is_some_and(|name| name.as_str() == cluster));
            actions.map(|action| action.id).collect::<Vec<_>>()
        };
        let ended = [roll, gateway, metrics];
        let mut done = [of("eu-1"), of("eu-3")].concat();
        done.extend(of("eu-2").into_iter().filter(|id| !ended.contains(id)));
        let recap = Recap {
            done,
            failed: vec![roll],
            skipped: vec![gateway, metrics],
            not_started: of("eu-4"),
            ..Recap::default()
        };
        let outcomes = |id: &ActionId| {
            if *id == roll {
                Some(Outcome::Failed {
                    reason: "the drain took longer than 15m: it waited for pod shop/cart-0, PodDisruptionBudget shop/cart allows no disruption".into(),
                    left: vec!["node ip-10-0-1-7 is cordoned".into()],
                })
            } else if *id == gateway {
                Some(Outcome::Skipped { because_of: roll })
            } else if *id == metrics {
                Some(Outcome::Skipped { because_of: gateway })
            } else {
                None
            }
        };
        let text = recap_text(plan, &recap, &outcomes, "refit apply beta.plan", Style::default());
        insta::assert_snapshot!(text, @"
        Recap  acme · plan 2c6a11865193
          2 clusters  8 done each
            eu-1, eu-3
          eu-4  8 not started
          eu-2  5 done, 1 failed, 2 not started
            failed       workers 1.31.13 -> 1.34.3
                         the drain took longer than 15m: it waited for pod shop/cart-0,
                         PodDisruptionBudget shop/cart allows no disruption
                         left: node ip-10-0-1-7 is cordoned
            not started  2 actions because of workers 1.31.13 -> 1.34.3

        Actions: 21 done, 1 failed, 10 not started
        To continue:
          refit apply beta.plan
        ");
        let nothing =
            recap_text(plan, &Recap::default(), &outcomes, "refit apply", Style::default());
        assert!(!nothing.contains("continue"));
    }
}
