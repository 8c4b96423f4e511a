//! What a run tells while it runs: lines with times for logs, and texts for progress bars.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionId, ActionKind, Outcome, Period, Plan, PoolName, Recap, RunEvent, RunEventKind,
    RunOutcome, Stop, Timestamp, WaitingOn,
};

use crate::page::Page;
use crate::paint::{Paint, Style};
use crate::recap::reasons;
use crate::time::{between, clock_time, roughly, time_after};
use crate::words::{NOT_STARTED, SKIPPED, clean, count, size};

/// How much of a run is told in lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What begins and ends, each node that is done, and waits by their [schedule].
    ///
    /// [schedule]: WaitingOn::told_by
    Milestones,
    /// Each step, too.
    Steps,
}

/// Turns the events of a run into lines, and remembers enough for bars.
#[derive(Debug)]
pub struct ProgressLines {
    style: Style,
    detail: Detail,
    overall: Overall,
    actions: BTreeMap<ActionId, Known>,
}

/// How far a run is.
#[derive(Debug)]
struct Overall {
    /// How long the plan takes, as it was estimated.
    estimate: Period,
    /// When it began, and when it should end. Not known of a run that goes on after an interruption.
    time: Option<(Timestamp, Timestamp)>,
    actions: usize,
    ended: BTreeSet<ActionId>,
    clusters: usize,
    /// The clusters with actions that have not ended, and how many these are.
    open: BTreeMap<String, usize>,
}

impl Overall {
    fn new(plan: &Plan) -> Self {
        let mut open: BTreeMap<String, usize> = BTreeMap::new();
        for cluster in plan.actions.iter().filter_map(|action| action.cluster.as_ref()) {
            *open.entry(cluster.to_string()).or_default() += 1;
        }
        Self {
            estimate: plan.critical_path,
            time: None,
            actions: open.values().sum(),
            ended: BTreeSet::new(),
            clusters: open.len(),
            open,
        }
    }

    /// An action of a cluster has ended.
    fn end(&mut self, action: ActionId, cluster: &str) {
        if !self.ended.insert(action) {
            return;
        }
        if let Some(left) = self.open.get_mut(cluster) {
            *left -= 1;
            if *left == 0 {
                self.open.remove(cluster);
            }
        }
    }

    /// Such as `3 of 29 actions, 0 of 3 clusters, expected end 10:45:00`.
    fn text(&self) -> String {
        let clusters = self.clusters - self.open.len();
        let mut text = format!(
            "{} of {}, {clusters} of {}",
            self.ended.len(),
            count(self.actions, "action"),
            count(self.clusters, "cluster")
        );
        if let Some((begins, ends)) = self.time {
            text.push_str(&format!(", expected end {}", time_after(begins, ends)));
        }
        text
    }
}

/// The parts of a progress bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BarText {
    /// Cluster and component.
    pub prefix: String,
    /// What is done, and what is waited for.
    pub message: String,
    /// Of nodes, how many are done.
    pub done: u64,
    /// How many there are; 1 for what is not counted in nodes.
    pub total: u64,
}

#[derive(Debug)]
struct Known {
    cluster: Option<String>,
    /// With versions.
    what: String,
    /// Without.
    component: String,
    /// What is counted, and what was done to it, such as `node` and `replaced`. `None` if nothing
    /// is counted.
    unit: Option<(&'static str, &'static str)>,
    extent: u32,
    started: Option<Timestamp>,
    running: Option<Running>,
    told: Option<Running>,
    /// How often each wait of the action was told, by when it began.
    waits: BTreeMap<Timestamp, u32>,
}

#[derive(Clone, Debug, Default)]
struct Running {
    done: u32,
    total: u32,
    step: String,
    waiting: Option<WaitingOn>,
}

impl Running {
    /// Whether there is nothing new for people: that time passes is none.
    fn same(&self, other: &Self) -> bool {
        let Self { done, total, step, waiting } = self;
        let what = |waiting: &Option<WaitingOn>| waiting.as_ref().map(|w| w.what.clone());
        (*done, *total, step) == (other.done, other.total, &other.step)
            && what(waiting) == what(&other.waiting)
    }
}

impl Known {
    fn new(action: &Action) -> Self {
        let (component, unit, extent) = match &action.kind {
            ActionKind::PinGroups { images: _ } => ("launch images".to_owned(), None, 1),
            ActionKind::ControlPlaneHop { instances, .. } => {
                ("control-plane".to_owned(), Some(("instance", "replaced")), *instances)
            }
            ActionKind::NodePoolRoll { pool, nodes, .. } => {
                (pool.to_string(), Some(("node", "replaced")), *nodes)
            }
            ActionKind::TidyUp { pool, .. } => {
                (pool.as_ref().map_or("control-plane", PoolName::as_str).to_owned(), None, 1)
            }
            ActionKind::AddonApply { addon, .. }
            | ActionKind::AddonAdopt { addon, .. }
            | ActionKind::AddonRemove { addon, .. } => (addon.to_string(), None, 1),
            ActionKind::StorageMigration { addon, .. } => {
                (addon.to_string(), Some(("object", "written back")), 0)
            }
            ActionKind::FinishWave { channel, wave, .. } => {
                (format!("wave {wave} of {channel}"), None, 1)
            }
        };
        Self {
            cluster: action.cluster.as_ref().map(ToString::to_string),
            what: action.kind.to_string(),
            component,
            unit,
            extent,
            started: None,
            running: None,
            told: None,
            waits: BTreeMap::new(),
        }
    }

    /// What it does, in words: how far it is, the step, and what it waits for.
    fn message(&self, running: &Running, at: Option<Timestamp>) -> String {
        let mut parts = Vec::new();
        if let Some((unit, done_to_it)) = self.unit
            && running.total > 0
            && !running.step.contains(done_to_it)
        {
            let units = count(size(running.total), unit);
            parts.push(format!("{} of {units} {done_to_it}", running.done));
        }
        if !running.step.trim().is_empty() {
            parts.push(clean(&running.step));
        }
        if let Some(waiting) = &running.waiting {
            parts.push(match at {
                Some(_) => waiting_text(waiting, at),
                None => format!("waits: {}", clean(&waiting.what)),
            });
        }
        parts.join(", ")
    }
}

impl ProgressLines {
    /// For the events of a run of this plan.
    pub fn new(plan: &Plan, detail: Detail, style: Style) -> Self {
        let actions = plan.actions.iter().map(|action| (action.id, Known::new(action)));
        Self { style, detail, overall: Overall::new(plan), actions: actions.collect() }
    }

    /// The line for an event, with a newline at its end; none when it is no news.
    pub fn line(&mut self, event: &RunEvent) -> Option<String> {
        let RunEvent { at, kind } = event;
        let (subject, paint, text) = match kind {
            RunEventKind::RunStarted { format_version: _, run, plan, actions, continued } => {
                if !*continued {
                    let ends = at.checked_add(self.overall.estimate.as_duration()).ok();
                    self.overall.time = ends.map(|ends| (*at, ends));
                }
                let begins = if *continued { "goes on with" } else { "carries out" };
                let actions = count(size(*actions), "action");
                (None, Paint::Plain, format!("run {run} {begins} plan {plan}, {actions}"))
            }
            RunEventKind::ActionStarted { action, cluster, what } => {
                let known = self.known(action, cluster.as_ref().map(ToString::to_string), what);
                known.started = Some(*at);
                let running = Running { total: known.extent, ..Running::default() };
                known.running = Some(running);
                (Some(action), Paint::Plain, "starts".to_owned())
            }
            RunEventKind::ActionProgress { action, done, total, step, waiting } => {
                let running = Running {
                    done: *done,
                    total: *total,
                    step: step.clone(),
                    waiting: waiting.clone(),
                };
                (Some(action), Paint::Plain, self.progress(*at, action, running)?)
            }
            RunEventKind::ActionEnded { action, outcome } => {
                let known = self.actions.get(action);
                if let Some(cluster) = known.and_then(|known| known.cluster.as_deref()) {
                    self.overall.end(*action, cluster);
                }
                let (paint, text) = self.ended(*at, action, outcome);
                let text = match outcome {
                    Outcome::Done | Outcome::AlreadySatisfied => {
                        format!("{text} ({})", self.overall.text())
                    }
                    Outcome::Conflict { .. }
                    | Outcome::Failed { .. }
                    | Outcome::Stopped
                    | Outcome::StoppedHalfway { .. }
                    | Outcome::Skipped { .. } => text,
                };
                (Some(action), paint, text)
            }
            RunEventKind::Warning { text } => (None, Paint::Change, format!("warning: {text}")),
            RunEventKind::StopAsked { stop } => {
                let text = format!("stop: {}{}", stop_text(*stop), next_stop_text(*stop));
                (None, Paint::Change, text)
            }
            RunEventKind::RunEnded { outcome, recap } => {
                (None, outcome_paint(*outcome), ended_text(*outcome, recap))
            }
        };
        let mut page = Page::new(self.style);
        page.line(0, 10).put(Paint::Dim, &clock_time(*at)).space(2);
        if let Some(id) = subject {
            if let Some(known) = self.actions.get(id) {
                let most = page.columns() / 3;
                if let Some(cluster) = &known.cluster {
                    page.name(Paint::Heading, cluster, most).space(2);
                }
                page.words(Paint::Plain, &known.what).space(2);
            } else {
                page.put(Paint::Plain, id.as_str()).space(2);
            }
        }
        page.words(paint, &text);
        Some(page.finish())
    }

    /// How far the run is: how many actions and clusters are through, and when all should be.
    pub fn overall(&self) -> BarText {
        BarText {
            prefix: "run".to_owned(),
            message: self.overall.text(),
            done: self.overall.ended.len() as u64,
            total: (self.overall.actions as u64).max(1),
        }
    }

    /// What a progress bar of the action shows now; none when it does not run.
    pub fn bar(&self, action: &ActionId) -> Option<BarText> {
        let known = self.actions.get(action)?;
        let running = known.running.as_ref()?;
        let cluster = known.cluster.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
        // The bar itself shows how far it is.
        let told = Running { total: 0, ..running.clone() };
        Some(BarText {
            prefix: clean(&format!("{cluster}{}", known.component)),
            message: known.message(&told, None),
            done: running.done.into(),
            total: running.total.max(1).into(),
        })
    }

    fn known(&mut self, id: &ActionId, cluster: Option<String>, what: &str) -> &mut Known {
        self.actions.entry(*id).or_insert_with(|| Known {
            cluster,
            what: what.to_owned(),
            component: what.to_owned(),
            unit: None,
            extent: 1,
            started: None,
            running: None,
            told: None,
            waits: BTreeMap::new(),
        })
    }

    fn progress(&mut self, at: Timestamp, id: &ActionId, running: Running) -> Option<String> {
        let detail = self.detail;
        let known = self.known(id, None, id.as_str());
        known.running = Some(running.clone());
        let before = known.told.as_ref();
        let news = match detail {
            Detail::Milestones => running.done != before.map_or(0, |told| told.done),
            Detail::Steps => before.is_none_or(|told| !told.same(&running)),
        };
        let wait = running.waiting.as_ref().map(|waiting| (waiting.since, waiting.told_by(at)));
        let due = wait
            .is_some_and(|(since, times)| times > known.waits.get(&since).copied().unwrap_or(0));
        if !news && !due {
            return None;
        }
        if running.done != before.map_or(0, |told| told.done) {
            known.waits.clear();
        }
        known.waits.extend(wait);
        let text = known.message(&running, Some(at));
        known.told = Some(running);
        (!text.is_empty()).then_some(text)
    }

    fn ended(&mut self, at: Timestamp, id: &ActionId, outcome: &Outcome) -> (Paint, String) {
        let because = match outcome {
            Outcome::Skipped { because_of } => Some(self.name_of(because_of)),
            _ => None,
        };
        let known = self.known(id, None, id.as_str());
        known.running = None;
        known.told = None;
        let took = known.started.map(|started| between(started, at));
        let took = took.filter(|period| period.as_secs() > 0);
        let took = took.map(|period| format!(" in {}", roughly(period))).unwrap_or_default();
        match outcome {
            Outcome::Done => (Paint::Good, format!("done{took}")),
            Outcome::AlreadySatisfied => (Paint::Good, format!("{SKIPPED}: already as wanted")),
            Outcome::Failed { .. } => {
                (Paint::Bad, format!("failed: {}", reasons(Some(outcome)).join("; ")))
            }
            Outcome::Conflict { .. } => (Paint::Bad, reasons(Some(outcome)).join("; ")),
            Outcome::Stopped => (Paint::Change, "stopped".to_owned()),
            Outcome::StoppedHalfway { .. } => {
                (Paint::Change, format!("stopped; {}", reasons(Some(outcome)).join("; ")))
            }
            Outcome::Skipped { .. } => {
                (Paint::Change, format!("{NOT_STARTED} because of {}", because.unwrap_or_default()))
            }
        }
    }

    fn name_of(&self, id: &ActionId) -> String {
        match self.actions.get(id) {
            Some(Known { cluster: Some(cluster), what, .. }) => format!("{cluster} {what}"),
            Some(Known { what, .. }) => what.clone(),
            None => id.to_string(),
        }
    }
}

/// For what something waits, for how long, since and until when.
pub(crate) fn waiting_text(waiting: &WaitingOn, at: Option<Timestamp>) -> String {
    let WaitingOn { what, since, until } = waiting;
    let long = at.map(|at| between(*since, at)).filter(|period| period.as_secs() > 0);
    let long = long.map(|period| format!(" {}", roughly(period))).unwrap_or_default();
    let (since, until) = (clock_time(*since), time_after(*since, *until));
    format!("waits{long} (since {since}, until {until} at most): {}", clean(what))
}

/// What a stop does.
pub(crate) fn stop_text(stop: Stop) -> &'static str {
    match stop {
        Stop::Finish => "finishes the nodes under way and starts nothing",
        Stop::Cancel => "puts back what is half done",
        Stop::Leave => "starts no further eviction and leaves",
    }
}

/// What another signal does after a stop.
fn next_stop_text(stop: Stop) -> &'static str {
    match stop {
        Stop::Finish => "; Ctrl-C again puts back what is half done",
        Stop::Cancel => "; Ctrl-C again starts no further eviction and leaves",
        Stop::Leave => "",
    }
}

/// How a run ended, in a word or two.
pub(crate) fn outcome_text(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Done => "done",
        RunOutcome::Failed => "failed",
        RunOutcome::Partly => "partly applied",
        RunOutcome::Stale => "stale",
        RunOutcome::Interrupted => "interrupted",
    }
}

pub(crate) fn outcome_paint(outcome: RunOutcome) -> Paint {
    match outcome {
        RunOutcome::Done => Paint::Good,
        RunOutcome::Failed | RunOutcome::Stale => Paint::Bad,
        RunOutcome::Partly | RunOutcome::Interrupted => Paint::Change,
    }
}

fn ended_text(outcome: RunOutcome, recap: &Recap) -> String {
    let Recap { done, satisfied, failed, stopped, skipped, not_started } = recap;
    let mut text = format!("run ended: {}", outcome_text(outcome));
    for (n, what) in [
        (done.len(), "done"),
        (satisfied.len(), "skipped (already as wanted)"),
        (failed.len(), "failed"),
        (stopped.len(), "stopped"),
        (skipped.len() + not_started.len(), NOT_STARTED),
    ] {
        if n > 0 {
            text.push_str(&format!(", {n} {what}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn lines_tell_news_once() {
        let sample = Sample::new().example("prod-eu-1");
        let workers = sample.id("prod-eu-1", "workers");
        let dns = sample.id("prod-eu-1", "kube-dns-legacy");
        let start: Timestamp = "2026-11-02T09:14:00Z".parse().unwrap();
        let mut lines = ProgressLines::new(&sample.plan, Detail::Steps, Style::default());
        let mut log = String::new();
        let mut tell = |seconds: i64, kind: RunEventKind| {
            let at = Timestamp::from_second(start.as_second() + seconds).unwrap();
            if let Some(line) = lines.line(&RunEvent { at, kind }) {
                log.push_str(&line);
            }
            lines.bar(&workers)
        };
        let progress = |waits: bool| {
            RunEventKind::ActionProgress {
            action: workers,
            done: 3,
            total: 42,
            step: "drain ip-10-0-1-7".into(),
            waiting: waits.then(|| WaitingOn {
                what: "pod shop/cart-0 may not be evicted, PodDisruptionBudget shop/cart allows no disruption".into(),
                since: start,
                until: start + std::time::Duration::from_mins(10),
            }),
        }
        };
        let cluster = Some("prod-eu-1".parse().unwrap());
        tell(0, RunEventKind::ActionStarted { action: workers, cluster, what: String::new() });
        tell(5, progress(false));
        tell(120, progress(true));
        tell(180, progress(true));
        let bar = tell(420, progress(true)).unwrap();
        let failed =
            Outcome::Failed { reason: "not done after 10m".into(), left: vec!["node a".into()] };
        let gone = tell(600, RunEventKind::ActionEnded { action: workers, outcome: failed });
        let outcome = Outcome::Skipped { because_of: workers };
        tell(600, RunEventKind::ActionEnded { action: dns, outcome });
        tell(601, RunEventKind::StopAsked { stop: Stop::Finish });
        let recap = Recap { failed: vec![workers], ..Recap::default() };
        tell(602, RunEventKind::RunEnded { outcome: RunOutcome::Partly, recap });
        assert_eq!((bar.prefix.as_str(), bar.done, bar.total), ("prod-eu-1 workers", 3, 42));
        assert!(bar.message.starts_with("drain ip-10-0-1-7, waits: pod shop/cart-0"), "{bar:?}");
        assert_eq!(gone, None);
        insta::assert_snapshot!(log, @"
        09:14:00  prod-eu-1  workers 1.31.13 -> 1.34.3  starts
        09:14:05  prod-eu-1  workers 1.31.13 -> 1.34.3  3 of 42 nodes replaced, drain
                  ip-10-0-1-7
        09:16:00  prod-eu-1  workers 1.31.13 -> 1.34.3  3 of 42 nodes replaced, drain
                  ip-10-0-1-7, waits 2 min (since 09:14:00, until 09:24:00 at most): pod
                  shop/cart-0 may not be evicted, PodDisruptionBudget shop/cart allows
                  no disruption
        09:21:00  prod-eu-1  workers 1.31.13 -> 1.34.3  3 of 42 nodes replaced, drain
                  ip-10-0-1-7, waits 7 min (since 09:14:00, until 09:24:00 at most): pod
                  shop/cart-0 may not be evicted, PodDisruptionBudget shop/cart allows
                  no disruption
        09:24:00  prod-eu-1  workers 1.31.13 -> 1.34.3  failed: not done after 10m;
                  left: node a
        09:24:00  prod-eu-1  kube-dns-legacy remove 1.0.0  not started because of
                  prod-eu-1 workers 1.31.13 -> 1.34.3
        09:24:01  stop: finishes the nodes under way and starts nothing; Ctrl-C again
                  puts back what is half done
        09:24:02  run ended: partly applied, 1 failed
        ");
    }

    /// Two pods of one budget are refused in turn for half an hour: a log says so after 30 seconds,
    /// 2, 5, 10, 20 and 30 minutes.
    #[test]
    fn a_wait_is_told_by_its_schedule_whatever_its_words() {
        let sample = Sample::new().example("prod-eu-1");
        let workers = sample.id("prod-eu-1", "workers");
        let start: Timestamp = "2026-11-02T09:14:00Z".parse().unwrap();
        let mut lines = ProgressLines::new(&sample.plan, Detail::Milestones, Style::default());
        let mut told = Vec::new();
        for second in (0..=1800).step_by(5) {
            let at = start + std::time::Duration::from_secs(second);
            let waiting = WaitingOn {
                what: format!("PodDisruptionBudget shop/cart: pod cart-{}", second % 2),
                since: start,
                until: start + std::time::Duration::from_mins(40),
            };
            let kind = RunEventKind::ActionProgress {
                action: workers,
                done: 0,
                total: 42,
                step: "drain ip-10-0-1-7".into(),
                waiting: Some(waiting),
            };
            if lines.line(&RunEvent { at, kind }).is_some() {
                told.push(second);
            }
        }
        assert_eq!(told, [30, 120, 300, 600, 1200, 1800]);
    }

    /// The end of an action says how far the run is, and when it should end. Another Ctrl-C is named
    /// as long as there is one that does more.
    #[test]
    fn the_end_of_an_action_says_how_far_the_run_is() {
        let sample = Sample::new().example("prod-eu-1");
        let dns = sample.id("prod-eu-1", "kube-dns-legacy");
        let at: Timestamp = "2026-11-02T09:14:00Z".parse().unwrap();
        let mut lines = ProgressLines::new(&sample.plan, Detail::Milestones, Style::default());
        let mut line =
            |kind| lines.line(&RunEvent { at, kind }).unwrap().replace("\n          ", " ");
        line(RunEventKind::RunStarted {
            format_version: RunEvent::FORMAT.to_owned(),
            run: "r-1".parse().unwrap(),
            plan: sample.plan.id(),
            actions: 7,
            continued: false,
        });
        let done = line(RunEventKind::ActionEnded { action: dns, outcome: Outcome::Done });
        let actions = sample.plan.actions.len();
        let expected = format!("done (1 of {actions} actions, 0 of 1 cluster, expected end ");
        assert!(done.contains(&expected), "{done}");
        let stop = line(RunEventKind::StopAsked { stop: Stop::Cancel });
        assert!(stop.contains("Ctrl-C again starts no further eviction"), "{stop}");
        let stop = line(RunEventKind::StopAsked { stop: Stop::Leave });
        assert!(!stop.contains("again"), "{stop}");
    }
}
