//! The machine itself: events in, effects out.

mod answers;
mod behind;
mod calls;
mod tell;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use refit_model::{
    Action, ActionId, ActionKind, ClusterName, GivingUp, JournalRecord, Op, OpId, OpResult,
    Outcome, Period, Plan, PlanId, Progress, Recap, RecordKind, RunEvent, RunEventKind, RunId,
    RunOutcome, Stop, Timestamp, Token, digest_of,
};

use crate::decision::{Mode, after};
use crate::lease::{self, Lease};
use crate::memory::Memory;
use crate::recent::Recent;
use crate::schedule::{Schedule, Standing};
use crate::worker::{self, Worker};
use crate::{Effect, Event, LookId};

use calls::{Calls, target};

/// How a run is to go.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The run.
    pub run: RunId,
    /// Who started it: `user@host`.
    pub who: String,
    /// How many actions may run at once.
    pub parallelism: u32,
}

/// How long the last calls (giving Leases back) may take.
const GOODBYE_MAX: Period = Period::seconds(15);
/// A decision that only notes something is followed by another one on the same look, at most
/// so often: choosing, counting, giving up.
const NOTES_MAX: usize = 4;

/// Applies one plan.
pub struct Engine {
    plan: Plan,
    plan_id: PlanId,
    settings: Settings,
    schedule: Schedule,
    /// How things stood when nothing could be begun: the schedule's version, how many actions run, and
    /// whether the run is to stop.
    nothing_to_begin: Option<(u64, usize, bool)>,
    workers: BTreeMap<usize, Worker>,
    memories: BTreeMap<ActionId, Memory>,
    leases: BTreeMap<ClusterName, Lease>,
    recent: BTreeMap<ClusterName, Recent>,
    /// Calls of an earlier process that the journal does not say the end of.
    open_calls: Vec<(ClusterName, Op)>,
    /// Calls whose intents the journal has not confirmed, oldest first.
    unconfirmed: VecDeque<Confirm>,
    next_op: u64,
    /// The operations that the journal holds of each cluster, for a run that is resumed.
    journaled: Option<BTreeMap<ClusterName, BTreeSet<OpId>>>,
    next_look: u64,
    /// The calls on each target, for their tokens.
    tokens: BTreeMap<String, Calls>,
    changed: bool,
    stop: Option<Stop>,
    started: bool,
    goodbye: Option<Goodbye>,
    finished: bool,
    /// Collected during a step.
    records: Vec<RecordKind>,
    after_records: Confirm,
    effects: Vec<Effect>,
}

/// What happens when a batch of records is durable.
#[derive(Debug, Default)]
struct Confirm {
    /// These workers may send their calls.
    workers: Vec<usize>,
    /// The run is over.
    finish: Option<RunOutcome>,
}

/// The end of a run.
#[derive(Debug)]
struct Goodbye {
    until: Timestamp,
    calls: Vec<OpId>,
    closing: bool,
}

impl Engine {
    /// A run of `plan` from its beginning.
    pub fn new(plan: Plan, settings: Settings) -> Self {
        Self {
            plan_id: plan.id(),
            schedule: Schedule::new(&plan),
            nothing_to_begin: None,
            plan,
            settings,
            workers: BTreeMap::new(),
            memories: BTreeMap::new(),
            leases: BTreeMap::new(),
            recent: BTreeMap::new(),
            open_calls: Vec::new(),
            unconfirmed: VecDeque::new(),
            next_op: 1,
            journaled: None,
            next_look: 1,
            tokens: BTreeMap::new(),
            changed: false,
            stop: None,
            started: false,
            goodbye: None,
            finished: false,
            records: Vec::new(),
            after_records: Confirm::default(),
            effects: Vec::new(),
        }
    }

    /// A run that goes on from its journal. What has succeeded stays so; everything else is
    /// looked at again. The time in which no process ran it counts for no deadline.
    pub fn resume(plan: Plan, settings: Settings, records: &[JournalRecord]) -> Self {
        let mut engine = Self::new(plan, settings);
        let mut calls: BTreeMap<OpId, (ActionId, ClusterName, Op)> = BTreeMap::new();
        let mut journaled: BTreeMap<ClusterName, BTreeSet<OpId>> = BTreeMap::new();
        let mut before = None;
        for record in records {
            match &record.kind {
                RecordKind::ActionStarted { action } => {
                    let memory = engine.memories.entry(*action).or_default();
                    memory.begin_anew();
                    memory.started_at = Some(record.at);
                }
                RecordKind::Intent { op, action, cluster, call, .. } => {
                    engine.next_op = engine.next_op.max(op.0 + 1);
                    engine.memories.entry(*action).or_default().intend(call);
                    engine.tokens.entry(target(cluster, call)).or_default().next(call, *op);
                    journaled.entry(cluster.clone()).or_default().insert(*op);
                    calls.insert(*op, (*action, cluster.clone(), call.clone()));
                }
                RecordKind::Settled { op, result } => {
                    if let Some((action, cluster, call)) = calls.remove(op) {
                        engine.settled_before((action, cluster, call), result, record.at);
                    }
                }
                RecordKind::Progress { action, progress } => {
                    if let Progress::JournalBehind { op } = progress
                        && let Some(cluster) = engine.cluster_of(action)
                    {
                        engine.next_op = engine.next_op.max(op.0 + 1);
                        journaled.entry(cluster).or_default().insert(*op);
                    }
                    engine.memories.entry(*action).or_default().note(progress, record.at);
                }
                RecordKind::ActionEnded { action, outcome } => {
                    let at = engine.plan.actions.iter().position(|a| a.id == *action);
                    match at {
                        Some(at) if outcome.is_success() => {
                            engine.schedule.end(&engine.plan, at, outcome.clone());
                        }
                        // What healing has put back stays put back.
                        Some(_) if !outcome.is_stopped() => {
                            if let Some(memory) = engine.memories.get_mut(action) {
                                memory.begin_anew();
                            }
                        }
                        _ => engine.take_heart(),
                    }
                }
                RecordKind::RunContinued { .. } => {
                    engine.take_heart();
                    // Who sent them was gone by then: every API has from then on to tell, however
                    // often the run is killed again.
                    for (_, cluster, call) in std::mem::take(&mut calls).into_values() {
                        engine.recent.entry(cluster).or_default().unsure(&call, record.at);
                    }
                    let paused = record.at.duration_since(before.unwrap_or(record.at));
                    let paused = Duration::try_from(paused).unwrap_or_default();
                    engine.memories.values_mut().for_each(|memory| memory.paused(paused));
                }
                RecordKind::RunOpened { .. }
                | RecordKind::StopAsked { .. }
                | RecordKind::RunClosed { .. } => {}
            }
            before = Some(record.at);
        }
        engine.open_calls = calls.into_values().map(|(_, cluster, call)| (cluster, call)).collect();
        // Resuming is going on, whether or not the last record says so.
        engine.take_heart();
        engine.journaled = Some(journaled);
        engine
    }

    fn cluster_of(&self, action: &ActionId) -> Option<ClusterName> {
        self.plan.action(action)?.cluster.clone()
    }

    /// Takes in what the journal says of a call's end.
    fn settled_before(
        &mut self,
        (action, cluster, call): (ActionId, ClusterName, Op),
        result: &OpResult,
        at: Timestamp,
    ) {
        let recent = self.recent.entry(cluster.clone()).or_default();
        if matches!(result, OpResult::Unknown { .. }) {
            recent.unsure(&call, at);
            return;
        }
        let memory = self.memories.entry(action).or_default();
        if *result == OpResult::Ok {
            self.changed = true;
            recent.took_effect(&call, at);
            memory.settle(&call);
        } else {
            memory.refused(&call);
        }
        self.tokens.entry(target(&cluster, &call)).or_default().answered();
    }

    /// What was cancelled goes on when the run is continued.
    fn take_heart(&mut self) {
        for memory in self.memories.values_mut() {
            if matches!(memory.healing, Some((GivingUp::Cancelled, _))) {
                memory.healing = None;
                memory.current = None;
            }
        }
    }

    /// The plan that is applied.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where the run stands.
    pub fn recap(&self) -> Recap {
        let mut recap = Recap::default();
        for (action, standing) in self.plan.actions.iter().zip(self.schedule.standing()) {
            if matches!(action.kind, ActionKind::FinishWave { .. }) {
                continue;
            }
            let list = match standing {
                Standing::Ended(Outcome::Done) => &mut recap.done,
                Standing::Ended(Outcome::AlreadySatisfied) => &mut recap.satisfied,
                Standing::Ended(Outcome::Failed { .. } | Outcome::Conflict { .. }) => {
                    &mut recap.failed
                }
                Standing::Ended(Outcome::Stopped | Outcome::StoppedHalfway { .. }) => {
                    &mut recap.stopped
                }
                Standing::Ended(Outcome::Skipped { .. }) => &mut recap.skipped,
                Standing::Waiting | Standing::Running => &mut recap.not_started,
            };
            list.push(action.id);
        }
        recap
    }

    /// How an action ended, if it has.
    pub fn outcome(&self, id: &ActionId) -> Option<&Outcome> {
        let at = self.plan.actions.binary_search_by(|action| action.id.cmp(id)).ok()?;
        match &self.schedule.standing()[at] {
            Standing::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Takes in what has happened and says what is to be done.
    pub fn step(&mut self, now: Timestamp, event: Event) -> Vec<Effect> {
        if self.finished {
            return Vec::new();
        }
        if !self.started {
            self.started = true;
            // The process before was killed, perhaps this moment, while they were on their way.
            for (cluster, call) in std::mem::take(&mut self.open_calls) {
                self.recent.entry(cluster).or_default().unsure(&call, now);
            }
            self.emit(
                now,
                RunEventKind::RunStarted {
                    format_version: RunEvent::FORMAT.to_owned(),
                    run: self.settings.run.clone(),
                    plan: self.plan_id.clone(),
                    actions: self.real_actions(),
                    continued: !self.memories.is_empty() || self.changed,
                },
            );
        }
        match event {
            Event::Journaled => self.confirmed(now),
            Event::JournalFailed { reason } => {
                self.emit(
                    now,
                    RunEventKind::Warning {
                        text: format!("the journal cannot be written: {reason}"),
                    },
                );
                self.end_run(now, RunOutcome::Interrupted);
            }
            Event::Looked { look, result } => self.looked(now, look, result),
            Event::Settled { op, result } => self.settled(now, op, result),
            Event::Stop(stop) => self.ask_to_stop(now, stop),
            Event::Tick => {}
        }
        if !self.finished {
            self.drive(now);
        }
        self.flush();
        std::mem::take(&mut self.effects)
    }

    // ---- Small things ----------------------------------------------------------------------

    fn emit(&mut self, at: Timestamp, kind: RunEventKind) {
        self.effects.push(Effect::Emit(RunEvent { at, kind }));
    }

    /// Hands the collected records over to the journal.
    fn flush(&mut self) {
        if self.records.is_empty() {
            debug_assert!(
                self.after_records.workers.is_empty() && self.after_records.finish.is_none()
            );
            return;
        }
        let records = std::mem::take(&mut self.records);
        // The journal comes before what people are told, and before looks.
        self.effects.insert(0, Effect::Journal(records));
        self.unconfirmed.push_back(std::mem::take(&mut self.after_records));
    }

    fn mode(&self) -> Mode {
        match self.stop {
            None => Mode::Go,
            Some(Stop::Finish) => Mode::Finish,
            Some(Stop::Cancel) => Mode::Cancel,
            Some(Stop::Leave) => Mode::Leave,
        }
    }

    /// How many actions do something: the ends of waves only wait.
    fn real_actions(&self) -> u32 {
        let kinds = self.plan.actions.iter().map(|action| &action.kind);
        let does = kinds.filter(|kind| !matches!(kind, ActionKind::FinishWave { .. }));
        u32::try_from(does.count()).unwrap_or(u32::MAX)
    }

    fn action(&self, at: usize) -> &Action {
        &self.plan.actions[at]
    }

    fn ask_to_stop(&mut self, now: Timestamp, stop: Stop) {
        if self.stop.is_some_and(|before| before >= stop) {
            return;
        }
        self.stop = Some(stop);
        self.records.push(RecordKind::StopAsked { stop });
        self.emit(now, RunEventKind::StopAsked { stop });
        for worker in self.workers.values_mut() {
            worker.look_at = now;
        }
    }

    fn next_op(&mut self) -> OpId {
        let op = OpId(self.next_op);
        self.next_op += 1;
        op
    }

    fn token(&mut self, cluster: &ClusterName, call: &Op, op: OpId) -> Token {
        let first = self.tokens.entry(target(cluster, call)).or_default().next(call, op);
        let digest = digest_of(&(&self.settings.run, cluster, call, first));
        Token(format!("{digest:.32}"))
    }

    // ---- Driving ---------------------------------------------------------------------------

    fn drive(&mut self, now: Timestamp) {
        self.give_up_on_leases(now);
        self.begin(now);
        self.renew_leases(now);
        self.send_queued(now);
        self.take_looks(now);
        // Only the end of an action lets another one begin: where none runs after that, none will.
        if self.workers.is_empty() {
            self.say_goodbye(now);
        }
        if !self.finished
            && let Some(at) = self.wake_at(now)
        {
            self.effects.push(Effect::WakeAt(at));
        }
    }

    /// Begins what may be begun. Most events change nothing of that, and the actions are many.
    fn begin(&mut self, now: Timestamp) {
        let seen = |engine: &Self| {
            (engine.schedule.version(), engine.workers.len(), engine.stop.is_some())
        };
        if self.nothing_to_begin == Some(seen(self)) {
            return;
        }
        loop {
            let (ready, hopeless) = self.schedule.look(&self.plan);
            let mut moved = false;
            for (at, because_of) in hopeless {
                self.schedule.end(&self.plan, at, Outcome::Skipped { because_of });
                moved = true;
            }
            for at in ready {
                let is_wave = matches!(self.action(at).kind, ActionKind::FinishWave { .. });
                if is_wave {
                    self.schedule.end(&self.plan, at, Outcome::Done);
                    moved = true;
                    continue;
                }
                let room = self.workers.len() < self.settings.parallelism.max(1) as usize;
                if self.stop.is_some() || !room {
                    continue;
                }
                let memory = self.memories.get(&self.action(at).id).cloned().unwrap_or_default();
                self.workers.insert(at, Worker::new(memory, now));
                self.schedule.begin(at);
                moved = true;
            }
            if !moved {
                self.nothing_to_begin = Some(seen(self));
                return;
            }
        }
    }

    fn busy_clusters(&self) -> Vec<ClusterName> {
        let mut names: Vec<ClusterName> = self
            .workers
            .iter()
            // Nobody needs a Lease for a first look.
            .filter(|(_, worker)| worker.prechecked)
            .filter_map(|(at, _)| self.action(*at).cluster.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn renew_leases(&mut self, now: Timestamp) {
        for cluster in self.busy_clusters() {
            if self.leases.entry(cluster.clone()).or_default().is_due(now) {
                let op = self.next_op();
                let call = Op::HoldLease {
                    run: self.settings.run.clone(),
                    holder: self.settings.who.clone(),
                    ttl: lease::TTL,
                };
                let token = Token(format!("lease-{}", op.0));
                if let Some(lease) = self.leases.get_mut(&cluster) {
                    lease.ask(op, now);
                }
                self.effects.push(Effect::Submit { op, cluster, call, token });
            }
        }
    }

    /// A Lease that cannot be had, or was lost, ends everything in its cluster.
    fn give_up_on_leases(&mut self, now: Timestamp) {
        let refused: Vec<(ClusterName, String)> = self
            .leases
            .iter()
            .filter_map(|(name, lease)| Some((name.clone(), lease.refused.clone()?)))
            .collect();
        for (cluster, reason) in refused {
            let ours: Vec<usize> = self
                .workers
                .keys()
                .copied()
                .filter(|at| self.action(*at).cluster.as_ref() == Some(&cluster))
                .collect();
            for at in ours {
                // Without the Lease nothing may be put back either: the next run does.
                let left = vec!["what was half done is put back by the next run".to_owned()];
                self.end(now, at, Outcome::Failed { reason: reason.clone(), left });
            }
        }
    }

    /// Sends journaled calls: evictions all at once, everything else one after the other.
    fn send_queued(&mut self, now: Timestamp) {
        for (at, worker) in &mut self.workers {
            let Some(cluster) = &self.plan.actions[*at].cluster else { continue };
            let held = self.leases.get(cluster);
            if worker.journaling || worker.queue.is_empty() {
                continue;
            }
            if !held.is_some_and(|lease| lease.allows(now)) {
                // By the time that it is held again the look that led to these calls is old.
                for call in worker.queue.drain(..) {
                    worker.memory.refused(&call.op);
                }
                worker.wait_for_lease(cluster, held, now);
                continue;
            }
            while let Some(call) = worker.queue.front() {
                let together = worker::is_eviction(&call.op)
                    && worker.sent.iter().all(|sent| worker::is_eviction(&sent.op));
                if !worker.sent.is_empty() && !together {
                    break;
                }
                let Some(call) = worker.queue.pop_front() else { break };
                self.effects.push(Effect::Submit {
                    op: call.id,
                    cluster: cluster.clone(),
                    call: call.op.clone(),
                    token: call.token.clone(),
                });
                worker.sent.push(call);
            }
        }
    }

    fn take_looks(&mut self, now: Timestamp) {
        let due: Vec<usize> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.is_idle() && worker.look_at <= now)
            .map(|(at, _)| *at)
            .collect();
        for at in due {
            let Some(cluster) = self.action(at).cluster.clone() else { continue };
            let Some(worker) = self.workers.get(&at) else { continue };
            let scope = worker::scope(self.action(at), &worker.memory);
            let look = LookId(self.next_look);
            self.next_look += 1;
            if let Some(worker) = self.workers.get_mut(&at) {
                worker.look = Some((look, now));
            }
            self.effects.push(Effect::Look { look, cluster, scope });
        }
    }

    /// When something is due next.
    fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let looks = self.workers.values().filter(|w| w.is_idle()).map(|w| w.look_at);
        let leases = self
            .busy_clusters()
            .into_iter()
            .filter_map(|cluster| self.leases.get(&cluster).and_then(|lease| lease.due_at(now)));
        let goodbye = self.goodbye.iter().map(|goodbye| goodbye.until);
        looks.chain(leases).chain(goodbye).min().map(|at| at.max(now))
    }

    // ---- The end ---------------------------------------------------------------------------

    fn say_goodbye(&mut self, now: Timestamp) {
        if self.goodbye.is_none() {
            let held: Vec<ClusterName> = self
                .leases
                .iter_mut()
                .filter_map(|(name, lease)| lease.release().then(|| name.clone()))
                .collect();
            let mut calls = Vec::new();
            for cluster in held {
                let op = self.next_op();
                calls.push(op);
                let call = self.farewell(&cluster, now);
                let token = Token(format!("lease-{}", op.0));
                self.effects.push(Effect::Submit { op, cluster, call, token });
            }
            self.goodbye = Some(Goodbye { until: after(now, GOODBYE_MAX), calls, closing: false });
        }
        let outcome = self.run_outcome();
        let Some(goodbye) = &mut self.goodbye else { return };
        if goodbye.closing || (!goodbye.calls.is_empty() && now < goodbye.until) {
            return;
        }
        goodbye.closing = true;
        if outcome == RunOutcome::Interrupted {
            // The run stays open: the same command goes on with it.
            self.end_run(now, outcome);
        } else {
            self.records.push(RecordKind::RunClosed { outcome });
            self.after_records.finish = Some(outcome);
        }
    }

    /// What is done with a Lease in the end. Where something is left to do, whoever does it must
    /// not begin with a look that does not show yet what was done here, and what this run remembers
    /// of it is gone with its journal: so for that long the Lease stays.
    fn farewell(&self, cluster: &ClusterName, now: Timestamp) -> Op {
        let run = self.settings.run.clone();
        let standing = self.plan.actions.iter().zip(self.schedule.standing());
        let done = standing
            .filter(|(action, _)| action.cluster.as_ref() == Some(cluster))
            .all(|(_, standing)| matches!(standing, Standing::Ended(end) if end.is_success()));
        let settled_at = self.recent.get(cluster).and_then(Recent::settled_at);
        match settled_at.filter(|at| !done && *at > now) {
            None => Op::ReleaseLease { run },
            Some(at) => {
                let seconds = at.duration_since(now).as_secs() + 1;
                let ttl = Period::seconds(u32::try_from(seconds).unwrap_or_default());
                Op::HoldLease { run, holder: self.settings.who.clone(), ttl }
            }
        }
    }

    fn run_outcome(&self) -> RunOutcome {
        let ended = || {
            self.schedule.standing().iter().filter_map(|standing| match standing {
                Standing::Ended(outcome) => Some(outcome),
                _ => None,
            })
        };
        let all = ended().count() == self.schedule.standing().len();
        if all && ended().all(Outcome::is_success) {
            return RunOutcome::Done;
        }
        if self.stop.is_some() || !all {
            return RunOutcome::Interrupted;
        }
        let waves = self.plan.actions.iter().zip(self.schedule.standing());
        let done = waves
            .filter(|(action, _)| !matches!(action.kind, ActionKind::FinishWave { .. }))
            .any(|(_, standing)| *standing == Standing::Ended(Outcome::Done));
        let failed = ended().any(|outcome| matches!(outcome, Outcome::Failed { .. }));
        match (done || self.changed, failed) {
            (true, _) => RunOutcome::Partly,
            (false, true) => RunOutcome::Failed,
            (false, false) => RunOutcome::Stale,
        }
    }

    fn end_run(&mut self, now: Timestamp, outcome: RunOutcome) {
        self.finished = true;
        self.records.clear();
        self.after_records = Confirm::default();
        let recap = self.recap();
        self.emit(now, RunEventKind::RunEnded { outcome, recap });
        self.effects.push(Effect::Finish(outcome));
    }
}
