//! How a run stands, or stood, told from its journal: the journal is the truth about intent.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::ActionState as State;
use refit_model::{
    Action, ActionId, ActionKind, ActionStanding, Because, ClusterName, ClusterStanding, GivingUp,
    InstanceId, JournalRecord, NodeName, Op, OpId, OpResult, Outcome, Plan, PlanId, Progress,
    Purpose, RecordKind, RunId, RunOutcome, RunStatus, Stop, Timestamp, WaitingOn,
};

use crate::page::Page;
use crate::paint::{Paint, Style};
use crate::progress::{outcome_paint, outcome_text, stop_text, waiting_text};
use crate::recap::reasons;
use crate::time::{ago, between, clock_time, duration, roughly, timestamp};
use crate::way::ways;
use crate::words::{NOT_STARTED, SKIPPED, count, size};

/// What a run's status is told from.
#[derive(Clone, Copy, Debug)]
pub struct StatusInput<'a> {
    /// The run.
    pub run: &'a RunId,
    /// Its plan; without it only what has begun is known, and by id.
    pub plan: Option<&'a Plan>,
    /// Its journal, in order.
    pub records: &'a [JournalRecord],
    /// For telling how long ago something was.
    pub now: Option<Timestamp>,
    /// Who works on it.
    pub worked_on: WorkedOn<'a>,
}

/// Who works on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkedOn<'a> {
    /// A process, as it describes itself.
    By(&'a str),
    /// No process.
    ByNobody,
    /// That was not looked at.
    Unknown,
}

/// Where each cluster stands: what runs and on what it waits, what failed, what is to come.
pub fn status_text(input: &StatusInput<'_>, style: Style) -> String {
    let told = Told::of(input.records);
    let mut page = Page::new(style);
    header(&mut page, input, &told);
    let clusters = by_cluster(input, &told);
    let mut calm: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (cluster, entries) in &clusters {
        let begun = entries.iter().any(|entry| entry.state != State::Waiting);
        let done = entries.iter().filter(|entry| entry.is_done()).count();
        if !begun {
            let after = wave_before(input.plan, &told, entries);
            let after = after.map(|after| format!(", after {after}")).unwrap_or_default();
            calm.entry(format!("not started{after}")).or_default().push(cluster);
        } else if done == entries.len() {
            calm.entry("done".to_owned()).or_default().push(cluster);
        } else {
            busy_cluster(&mut page, input, (cluster, entries), told.closed.is_some());
        }
    }
    for (state, clusters) in &calm {
        page.blank();
        page.line(2, 4).put(Paint::Heading, &count(clusters.len(), "cluster")).space(1);
        page.words(Paint::Plain, &format!("{state}:")).space(1);
        page.names(Paint::Plain, clusters.iter().copied());
    }
    page.finish()
}

/// The same for programs.
pub fn status_of(input: &StatusInput<'_>) -> RunStatus {
    let told = Told::of(input.records);
    let clusters = by_cluster(input, &told).into_iter().filter_map(|(name, entries)| {
        Some(ClusterStanding {
            // Actions of a run whose plan is not known may belong to no cluster.
            name: name.parse().ok()?,
            done: number(entries.iter().filter(|entry| entry.is_done()).count()),
            total: number(entries.len()),
            actions: entries.iter().map(|entry| standing(input, entry)).collect(),
        })
    });
    RunStatus {
        format_version: RunStatus::FORMAT.to_owned(),
        run: Some(input.run.clone()),
        plan: told.opened.map(|(_, _, plan)| plan.clone()),
        who: told.opened.map(|(_, who, _)| who.to_owned()),
        opened_at: told.opened.map(|(at, ..)| at),
        last_at: told.last,
        outcome: told.closed.map(|(_, outcome)| outcome),
        under_way: match input.worked_on {
            WorkedOn::By(_) => Some(true),
            WorkedOn::ByNobody => Some(false),
            WorkedOn::Unknown => None,
        },
        clusters: clusters.collect(),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn standing(input: &StatusInput<'_>, entry: &Entry<'_>) -> ActionStanding {
    ActionStanding {
        action: *entry.id,
        what: entry.what.clone(),
        state: entry.state,
        started_at: entry.story.and_then(|story| story.started),
        waiting: entry.waiting(input).cloned(),
        ended_at: entry.story.and_then(|story| story.ended).map(|(at, _)| at),
        outcome: entry.outcome().cloned(),
    }
}

/// Every action of a run with when it began, how long it took and how it ended.
pub fn run_text(input: &StatusInput<'_>, style: Style) -> String {
    /// Behind the time of day.
    const STATE: usize = 4 + "00:00:00".len() + 2;
    /// Behind the longest state.
    const WHAT: usize = STATE + NOT_STARTED.len() + 2;
    let told = Told::of(input.records);
    let mut page = Page::new(style);
    header(&mut page, input, &told);
    for (cluster, entries) in &by_cluster(input, &told) {
        page.blank();
        let most = page.columns() / 2;
        page.line(2, 4).name(Paint::Heading, cluster, most);
        for entry in entries {
            let (paint, state) = entry.word(told.closed.is_some());
            page.line(4, WHAT);
            if let Some(started) = entry.story.and_then(|story| story.started) {
                page.put(Paint::Dim, &clock_time(started));
            }
            page.column(STATE).put(paint, state).column(WHAT);
            page.words(Paint::Plain, &entry.what).space(2);
            page.words(Paint::Dim, &entry.facts(input.now).join(", "));
            for reason in reasons(entry.outcome()) {
                page.line(WHAT, WHAT).words(Paint::Plain, &reason);
            }
        }
    }
    page.finish()
}

fn header(page: &mut Page, input: &StatusInput<'_>, told: &Told<'_>) {
    page.line(0, 4).put(Paint::Heading, "run").space(1).put(Paint::Heading, input.run.as_str());
    if let Some(plan) = input.plan {
        page.space(1).put(Paint::Dim, "·").space(1).words(Paint::Plain, plan.fleet.as_str());
    }
    if let Some((at, who, plan)) = told.opened {
        page.space(1).put(Paint::Dim, "·").space(1).put(Paint::Plain, &format!("plan {plan}"));
        page.space(1).put(Paint::Dim, "·").space(1);
        page.words(Paint::Plain, &format!("begun {} by {who}", timestamp(at)));
    }
    for (at, who) in &told.continued {
        page.line(2, 4).words(Paint::Plain, &format!("continued {} by {who}", timestamp(*at)));
    }
    if let Some((at, stop)) = told.stop {
        let text = format!("stop asked {}: {}", timestamp(at), stop_text(stop));
        page.line(2, 4).words(Paint::Change, &text);
    }
    page.line(2, 4);
    match (told.closed, told.last, input.now) {
        (Some((at, outcome)), ..) => {
            let took = told.opened.map(|(opened, ..)| duration(between(opened, at)));
            let took = took.map(|took| format!(" after {took}")).unwrap_or_default();
            let text = format!("ended {}{took}: {}", timestamp(at), outcome_text(outcome));
            page.words(outcome_paint(outcome), &text);
        }
        (None, Some(last), now) => {
            let when = now.map_or_else(|| timestamp(last), |now| ago(last, now));
            let text = match input.worked_on {
                WorkedOn::By(process) => format!("under way: {process}; last entry {when}"),
                WorkedOn::ByNobody => format!(
                    "not ended, and no process works on it: `refit apply` goes on with it; last \
                     entry {when}"
                ),
                WorkedOn::Unknown => format!("not ended, last entry {when}"),
            };
            page.words(Paint::Plain, &text);
        }
        (None, None, _) => {
            page.words(Paint::Plain, "nothing was written down");
        }
    }
}

fn busy_cluster(
    page: &mut Page,
    input: &StatusInput<'_>,
    (cluster, entries): (&str, &[Entry<'_>]),
    ended: bool,
) {
    /// Behind the longest state.
    const HANG: usize = 4 + NOT_STARTED.len() + 2;
    page.blank();
    let most = page.columns() / 2;
    let done = entries.iter().filter(|entry| entry.is_done()).count();
    page.line(2, 4).name(Paint::Heading, cluster, most).space(2);
    page.words(Paint::Plain, &format!("{done} of {} done", count(entries.len(), "action")));
    for entry in entries {
        let (paint, state) = entry.word(ended);
        if entry.is_done() || entry.state == State::Waiting {
            continue;
        }
        page.line(4, HANG).put(paint, state).column(HANG).words(Paint::Plain, &entry.what);
        page.space(2).words(Paint::Dim, &entry.facts(input.now).join(", "));
        for reason in reasons(entry.outcome()) {
            page.line(HANG, HANG).words(Paint::Plain, &reason);
        }
        if entry.state == State::Running
            && let Some(now) =
                entry.story.and_then(|story| story.now(entry.waiting(input), input.now))
        {
            page.line(HANG, HANG).words(Paint::Plain, &now);
        }
    }
    let waiting: Vec<&str> = entries
        .iter()
        .filter(|entry| entry.state == State::Waiting)
        .map(|entry| entry.what.as_str())
        .collect();
    if !waiting.is_empty() {
        page.line(4, HANG)
            .put(Paint::Dim, if ended { NOT_STARTED } else { "waiting" })
            .column(HANG);
        page.names(Paint::Dim, waiting.into_iter());
    }
}

/// Which wave must end before a cluster may begin.
fn wave_before(plan: Option<&Plan>, told: &Told<'_>, entries: &[Entry<'_>]) -> Option<String> {
    let ids: BTreeSet<&ActionId> = entries.iter().map(|entry| entry.id).collect();
    plan?.edges.iter().find_map(|edge| match &*edge.because {
        Because::Wave { channel, wave } if ids.contains(&edge.to) => {
            let ended = told.stories.get(&edge.from).is_some_and(|story| story.ended.is_some());
            (!ended).then(|| format!("wave {wave} of {channel}"))
        }
        _ => None,
    })
}

/// An action with what the journal tells of it.
struct Entry<'a> {
    id: &'a ActionId,
    what: String,
    /// What its nodes are called, and how many there are.
    nodes: Option<(&'static str, u32)>,
    story: Option<&'a Story<'a>>,
    state: State,
}

impl Entry<'_> {
    fn is_done(&self) -> bool {
        matches!(self.state, State::Done | State::Already)
    }

    fn outcome(&self) -> Option<&Outcome> {
        self.story?.ended.map(|(_, outcome)| outcome)
    }

    /// What it waits for, if a process may still do so.
    fn waiting(&self, input: &StatusInput<'_>) -> Option<&WaitingOn> {
        match input.worked_on {
            WorkedOn::By(_) | WorkedOn::Unknown => self.story?.waiting,
            WorkedOn::ByNobody => None,
        }
    }

    /// Returns what the action is doing, in a run that has ended or not.
    fn word(&self, ended: bool) -> (Paint, &'static str) {
        match self.state {
            State::Done => (Paint::Good, "done"),
            State::Already => (Paint::Good, SKIPPED),
            State::Running => (Paint::Change, "running"),
            State::Failed => (Paint::Bad, "failed"),
            State::Stopped => (Paint::Change, "stopped"),
            State::Skipped => (Paint::Change, NOT_STARTED),
            State::Waiting if ended => (Paint::Dim, NOT_STARTED),
            State::Waiting => (Paint::Dim, "waiting"),
        }
    }

    /// How far it is and how long it took, or takes.
    fn facts(&self, now: Option<Timestamp>) -> Vec<String> {
        let mut facts = Vec::new();
        let Some(story) = self.story else { return facts };
        if let Some((unit, total)) = self.nodes
            && (self.state == State::Running || !story.replaced.is_empty())
        {
            let replaced = story.replaced.len();
            let total = count(size(total).max(replaced), unit);
            facts.push(format!("{replaced} of {total} replaced"));
        }
        match (story.started, story.ended, now) {
            (Some(started), Some((ended, _)), _) => {
                facts.push(format!("took {}", duration(between(started, ended))));
            }
            (Some(started), None, Some(now)) => {
                let long = roughly(between(started, now));
                facts.push(format!("since {} ({long})", clock_time(started)));
            }
            (Some(started), None, None) => facts.push(format!("since {}", clock_time(started))),
            (None, ..) => {}
        }
        facts
    }
}

fn by_cluster<'a>(
    input: &StatusInput<'a>,
    told: &'a Told<'a>,
) -> BTreeMap<&'a str, Vec<Entry<'a>>> {
    let mut clusters: BTreeMap<&str, Vec<Entry<'_>>> = BTreeMap::new();
    let Some(plan) = input.plan else {
        for (id, story) in &told.stories {
            let cluster = story.cluster.map_or("actions", ClusterName::as_str);
            clusters.entry(cluster).or_default().push(entry(id, None, Some(story)));
        }
        return clusters;
    };
    for action in &plan.actions {
        let Some(cluster) = &action.cluster else { continue };
        let story = told.stories.get(&action.id);
        clusters.entry(cluster.as_str()).or_default().push(entry(&action.id, Some(action), story));
    }
    let ways = ways(plan);
    let places: BTreeMap<&ActionId, usize> = ways
        .iter()
        .flat_map(|way| way.actions.iter().enumerate().map(|(at, action)| (&action.id, at)))
        .collect();
    for entries in clusters.values_mut() {
        // As they began, then as they will.
        entries.sort_by_cached_key(|entry| {
            let started = entry.story.and_then(|story| story.started);
            (started.is_none(), started, places.get(entry.id).copied(), entry.what.clone())
        });
    }
    clusters
}

fn entry<'a>(id: &'a ActionId, action: Option<&Action>, story: Option<&'a Story<'a>>) -> Entry<'a> {
    let nodes = action.and_then(|action| match &action.kind {
        ActionKind::ControlPlaneHop { instances, .. } => Some(("instance", *instances)),
        ActionKind::NodePoolRoll { nodes, .. } => Some(("node", *nodes)),
        _ => None,
    });
    let state = match story.map(|story| (story.started, story.ended)) {
        Some((_, Some((_, outcome)))) => match outcome {
            Outcome::Done => State::Done,
            Outcome::AlreadySatisfied => State::Already,
            Outcome::Conflict { .. } | Outcome::Failed { .. } => State::Failed,
            Outcome::Stopped | Outcome::StoppedHalfway { .. } => State::Stopped,
            Outcome::Skipped { because_of: _ } => State::Skipped,
        },
        Some((Some(_), None)) => State::Running,
        Some((None, None)) | None => State::Waiting,
    };
    let what = action.map_or_else(|| format!("action {id}"), |action| action.kind.to_string());
    Entry { id, what, nodes, story, state }
}

/// What the journal tells of one action.
#[derive(Default)]
struct Story<'a> {
    cluster: Option<&'a ClusterName>,
    started: Option<Timestamp>,
    ended: Option<(Timestamp, &'a Outcome)>,
    replaced: BTreeSet<&'a InstanceId>,
    surplus: BTreeSet<&'a InstanceId>,
    /// The instances that are being replaced, and their nodes.
    current: BTreeMap<&'a InstanceId, Option<&'a NodeName>>,
    last: Option<(Timestamp, OpId, &'a Op)>,
    answer: Option<&'a OpResult>,
    healing: Option<&'a GivingUp>,
    /// What it has waited for, until something else was done.
    waiting: Option<&'a WaitingOn>,
}

impl Story<'_> {
    /// What it does at the moment: its node, its last call, and how that was answered.
    fn now(&self, waiting: Option<&WaitingOn>, now: Option<Timestamp>) -> Option<String> {
        let mut parts = Vec::new();
        match self.healing {
            Some(GivingUp::Failed { reason }) => {
                parts.push(format!("gives up and puts things back: {reason}"));
            }
            Some(GivingUp::Cancelled) => parts.push("cancelled, puts things back".to_owned()),
            None => {}
        }
        let nodes: Vec<&str> = self
            .current
            .iter()
            .map(|(instance, node)| node.map_or(instance.as_str(), NodeName::as_str))
            .collect();
        if !nodes.is_empty() {
            parts.push(format!("replaces {}", nodes.join(", ")));
        }
        if let Some((at, _, op)) = self.last {
            let when = now.map_or_else(|| format!("at {}", clock_time(at)), |now| ago(at, now));
            let answer = match self.answer {
                None => ", not answered yet".to_owned(),
                Some(OpResult::Ok) => String::new(),
                Some(OpResult::Refused { reason }) => format!(", refused: {reason}"),
                Some(OpResult::Unknown { reason }) => format!(", outcome unknown: {reason}"),
            };
            parts.push(format!("last: {op}, {when}{answer}"));
        }
        if let Some(waiting) = waiting {
            parts.push(waiting_text(waiting, now));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// What the journal tells of a run.
#[derive(Default)]
struct Told<'a> {
    opened: Option<(Timestamp, &'a str, &'a PlanId)>,
    continued: Vec<(Timestamp, &'a str)>,
    stop: Option<(Timestamp, Stop)>,
    closed: Option<(Timestamp, RunOutcome)>,
    last: Option<Timestamp>,
    stories: BTreeMap<&'a ActionId, Story<'a>>,
}

impl<'a> Told<'a> {
    fn of(records: &'a [JournalRecord]) -> Self {
        let mut told = Self::default();
        let mut owners: BTreeMap<OpId, &ActionId> = BTreeMap::new();
        for JournalRecord { seq: _, epoch: _, at, kind } in records {
            told.last = Some(*at);
            match kind {
                RecordKind::RunOpened { run: _, fleet: _, plan, plan_digest: _, who } => {
                    told.opened = Some((*at, who, plan));
                }
                RecordKind::RunContinued { who } => {
                    told.continued.push((*at, who));
                    // Who goes on with a run does not go on with its stop, and takes up again what
                    // has not succeeded.
                    told.stop = None;
                    told.closed = None;
                    for story in told.stories.values_mut() {
                        story.waiting = None;
                        if story.ended.is_some_and(|(_, outcome)| !outcome.is_success()) {
                            story.started = None;
                            story.ended = None;
                        }
                    }
                }
                RecordKind::ActionStarted { action } => {
                    let story = told.stories.entry(action).or_default();
                    story.started = story.started.or(Some(*at));
                    story.ended = None;
                }
                RecordKind::Intent { op, action, cluster, token: _, call } => {
                    owners.insert(*op, action);
                    let story = told.stories.entry(action).or_default();
                    story.cluster = Some(cluster);
                    story.last = Some((*at, *op, call));
                    story.answer = None;
                    story.waiting = None;
                }
                RecordKind::Settled { op, result } => {
                    let story = owners.get(op).and_then(|action| told.stories.get_mut(action));
                    if let Some(story) = story
                        && story.last.is_some_and(|(_, last, _)| last == *op)
                    {
                        story.answer = Some(result);
                    }
                }
                RecordKind::Progress { action, progress } => {
                    told.stories.entry(action).or_default().goes_on(progress);
                }
                RecordKind::ActionEnded { action, outcome } => {
                    let story = told.stories.entry(action).or_default();
                    story.ended = Some((*at, outcome));
                    story.waiting = None;
                    story.current.clear();
                }
                RecordKind::StopAsked { stop } => told.stop = Some((*at, *stop)),
                RecordKind::RunClosed { outcome } => told.closed = Some((*at, *outcome)),
            }
        }
        told
    }
}

impl<'a> Story<'a> {
    fn goes_on(&mut self, progress: &'a Progress) {
        self.waiting = None;
        match progress {
            Progress::Waiting { on } => self.waiting = Some(on),
            Progress::EtcdBaseline { ready: _ } => {}
            Progress::NodeChosen { instance, node, purpose, baseline: _ } => {
                self.current.insert(instance, node.as_ref());
                match purpose {
                    Purpose::Replace => {}
                    Purpose::Surplus | Purpose::Move => {
                        self.surplus.insert(instance);
                    }
                }
            }
            Progress::NodeDone { instance } => {
                self.current.remove(instance);
                // An instance that was one too many was not replaced by another.
                if !self.surplus.contains(instance) {
                    self.replaced.insert(instance);
                }
            }
            Progress::JournalBehind { op: _ } => {
                self.current.clear();
                self.healing = None;
            }
            Progress::Healing { why } => self.healing = Some(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use refit_model::{Digest, NodeOp, PodKey, Token};

    use super::*;
    use crate::sample::Sample;

    fn records(sample: &Sample) -> Vec<JournalRecord> {
        let (hop, dns, roll) = (
            sample.id("eu-1", "-> 1.32.9"),
            sample.id("eu-1", "coredns"),
            sample.id("eu-1", "workers"),
        );
        let instance = |n: u32| -> InstanceId { format!("i-{n}").parse().unwrap() };
        let chosen = |n, purpose| RecordKind::Progress {
            action: roll,
            progress: Progress::NodeChosen {
                instance: instance(n),
                node: Some(format!("ip-10-0-1-{n}").parse().unwrap()),
                purpose,
                baseline: BTreeMap::new(),
            },
        };
        let done = |n| RecordKind::Progress {
            action: roll,
            progress: Progress::NodeDone { instance: instance(n) },
        };
        let pod = PodKey { namespace: "shop".into(), name: "cart-0".into(), uid: "u".into() };
        let kinds = vec![
            RecordKind::RunOpened {
                run: "r-1".parse().unwrap(),
                fleet: "acme".parse().unwrap(),
                plan: sample.plan.id(),
                plan_digest: Digest::of_bytes(b""),
                who: "ana@laptop".into(),
            },
            RecordKind::ActionStarted { action: hop },
            RecordKind::ActionEnded { action: hop, outcome: Outcome::Done },
            RecordKind::ActionStarted { action: dns },
            RecordKind::ActionEnded {
                action: dns,
                outcome: Outcome::Failed { reason: "not ready".into(), left: vec!["a Job".into()] },
            },
            RecordKind::ActionStarted { action: roll },
            chosen(1, Purpose::Replace),
            done(1),
            chosen(2, Purpose::Surplus),
            done(2),
            chosen(7, Purpose::Replace),
            RecordKind::Intent {
                op: OpId(9),
                action: roll,
                cluster: "eu-1".parse().unwrap(),
                token: Token("t".into()),
                call: Op::Node { node: "ip-10-0-1-7".parse().unwrap(), op: NodeOp::Evict { pod } },
            },
            RecordKind::Settled {
                op: OpId(9),
                result: OpResult::Refused { reason: "the budget".into() },
            },
            RecordKind::StopAsked { stop: Stop::Finish },
        ];
        let start: Timestamp = "2026-11-02T09:14:00Z".parse().unwrap();
        (1..)
            .zip(kinds)
            .map(|(seq, kind)| {
                let minutes = i64::try_from(seq).unwrap();
                let at = Timestamp::from_second(start.as_second() + 60 * minutes).unwrap();
                JournalRecord { seq, epoch: 1, at, kind }
            })
            .collect()
    }

    #[test]
    fn a_status_is_told_from_the_journal() {
        let sample = Sample::new().example("eu-1").example("eu-2");
        let records = records(&sample);
        let run: RunId = "r-1".parse().unwrap();
        let now = Some("2026-11-02T09:30:00Z".parse().unwrap());
        let input = StatusInput {
            run: &run,
            plan: Some(&sample.plan),
            records: &records,
            now,
            worked_on: WorkedOn::Unknown,
        };
        insta::assert_snapshot!(status_text(&input, Style::default()), @"
        run r-1 · acme · plan 1d6fe0eec27b · begun 2026-11-02 09:15:00 UTC by ana@laptop
          stop asked 2026-11-02 09:28:00 UTC: finishes the nodes under way and starts
            nothing
          not ended, last entry 2 min ago

          eu-1  1 of 8 actions done
            failed       coredns 1.11.1 -> 1.12.4  took 1 min
                         not ready
                         left: a Job
            running      workers 1.31.13 -> 1.34.3  1 of 42 nodes replaced, since
                         09:20:00 (10 min)
                         replaces ip-10-0-1-7; last: evict shop/cart-0 from ip-10-0-1-7,
                         4 min ago, refused: the budget
            waiting      control-plane 1.32.9 -> 1.33.5, control-plane 1.33.5 -> 1.34.3,
                         gateway-api install 1.4.0, metrics-server adopt 0.7.2 as 0.8.1,
                         kube-dns-legacy remove 1.0.0

          1 cluster not started: eu-2
        ");
        let without = StatusInput { plan: None, now: None, ..input };
        insta::assert_snapshot!(status_text(&without, Style::default()), @"
        run r-1 · plan 1d6fe0eec27b · begun 2026-11-02 09:15:00 UTC by ana@laptop
          stop asked 2026-11-02 09:28:00 UTC: finishes the nodes under way and starts
            nothing
          not ended, last entry 2026-11-02 09:28:00 UTC

          actions  1 of 2 actions done
            failed       action fc176dd97a51  took 1 min
                         not ready
                         left: a Job

          eu-1  0 of 1 action done
            running      action 392d88eb6a4d  since 09:20:00
                         replaces ip-10-0-1-7; last: evict shop/cart-0 from ip-10-0-1-7,
                         at 09:26:00, refused: the budget
        ");
    }

    #[test]
    fn a_run_lists_its_actions() {
        let sample = Sample::new().example("eu-1");
        let records = records(&sample);
        let run: RunId = "r-1".parse().unwrap();
        let input = StatusInput {
            run: &run,
            plan: Some(&sample.plan),
            records: &records,
            now: None,
            worked_on: WorkedOn::Unknown,
        };
        insta::assert_snapshot!(run_text(&input, Style::default()), @"
        run r-1 · acme · plan edd3966c20f3 · begun 2026-11-02 09:15:00 UTC by ana@laptop
          stop asked 2026-11-02 09:28:00 UTC: finishes the nodes under way and starts
            nothing
          not ended, last entry 2026-11-02 09:28:00 UTC

          eu-1
            09:16:00  done         control-plane 1.31.13 -> 1.32.9  took 1 min
            09:18:00  failed       coredns 1.11.1 -> 1.12.4  took 1 min
                                   not ready
                                   left: a Job
            09:20:00  running      workers 1.31.13 -> 1.34.3  1 of 42 nodes replaced,
                                   since 09:20:00
                      waiting      control-plane 1.32.9 -> 1.33.5
                      waiting      control-plane 1.33.5 -> 1.34.3
                      waiting      gateway-api install 1.4.0
                      waiting      metrics-server adopt 0.7.2 as 0.8.1
                      waiting      kube-dns-legacy remove 1.0.0
        ");
    }

    fn told(records: &[JournalRecord], sample: &Sample, worked_on: WorkedOn<'_>) -> String {
        let run = "r-1".parse().unwrap();
        let now = records.last().map(|record| record.at + std::time::Duration::from_hours(3));
        let input = StatusInput { run: &run, plan: Some(&sample.plan), records, now, worked_on };
        status_text(&input, Style::default())
    }

    /// The lock knows whether a process is at it; the journal does not.
    #[test]
    fn a_run_that_no_process_works_on_is_told_apart() {
        let sample = Sample::new().example("eu-1");
        let records = records(&sample);
        let dead = told(&records, &sample, WorkedOn::ByNobody);
        assert!(dead.contains("no process works on it: `refit apply` goes on"), "{dead}");
        assert!(dead.contains("3 h ago"), "{dead}");
        let alive = told(&records, &sample, WorkedOn::By("`refit apply` of ana@ci (process 7)"));
        assert!(alive.contains("under way: `refit apply` of ana@ci (process 7)"), "{alive}");
    }

    /// Neither the end of the process before nor what it left unfinished is the run's standing.
    #[test]
    fn a_run_that_is_continued_is_not_ended() {
        let sample = Sample::new().example("eu-1");
        let mut records = records(&sample);
        let last = records.last().unwrap().clone();
        let stopped = RecordKind::ActionEnded {
            action: sample.id("eu-1", "workers"),
            outcome: Outcome::Stopped,
        };
        let closed = RecordKind::RunClosed { outcome: RunOutcome::Interrupted };
        let continued = RecordKind::RunContinued { who: "ana@ci".to_owned() };
        for kind in [stopped, closed, continued] {
            records.push(JournalRecord { seq: records.len() as u64 + 1, kind, ..last.clone() });
        }
        let text = told(&records, &sample, WorkedOn::By("a process"));
        assert!(text.contains("under way: a process"), "{text}");
        assert!(!text.contains("stopped") && !text.contains("interrupted"), "{text}");
    }
}
