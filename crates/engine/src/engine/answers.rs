//! What answers lead to: looks to decisions, decisions to journaled calls, failures to pauses.

use refit_model::{
    Bounds, CallError, ClusterState, ErrorClass, GivingUp, GroupOp, Op, OpId, OpResult, Outcome,
    Period, Precheck, Progress, RecordKind, RunEventKind, Timestamp, WaitingOn,
};

use super::calls::target;
use super::{Engine, NOTES_MAX};
use crate::LookId;
use crate::decision::{Decision, Mode, Next, POLL, SOON, after};
use crate::recent::LAG;
use crate::worker::{self, Call};

impl Engine {
    pub(super) fn confirmed(&mut self, now: Timestamp) {
        let Some(confirm) = self.unconfirmed.pop_front() else { return };
        for at in confirm.workers {
            if let Some(worker) = self.workers.get_mut(&at) {
                worker.journaling = false;
            }
        }
        if let Some(outcome) = confirm.finish {
            self.end_run(now, outcome);
        }
    }

    pub(super) fn looked(
        &mut self,
        now: Timestamp,
        look: LookId,
        result: Result<Box<ClusterState>, CallError>,
    ) {
        let found = self.workers.iter_mut().find_map(|(at, worker)| match worker.look {
            Some((asked, begun)) if asked == look => Some((*at, begun, worker)),
            _ => None,
        });
        let Some((at, begun, worker)) = found else { return };
        worker.look = None;
        match result {
            Ok(state) => {
                if worker.looks.succeeded() {
                    worker.waiting = None;
                }
                if self.believes(now, at, &state, begun) {
                    self.decide(now, at, &state);
                }
            }
            Err(error) => {
                let hopeless = worker.look_failed(error.class, error.retry_after, now);
                if hopeless || error.class == ErrorClass::Permanent {
                    let reason = format!("the cluster cannot be read: {}", error.message);
                    let left = if worker.memory.started_at.is_some() {
                        vec!["what was half done is put back by the next run".to_owned()]
                    } else {
                        Vec::new()
                    };
                    self.end(now, at, Outcome::Failed { reason, left });
                } else {
                    let what = format!("the cluster to answer: {}", error.message);
                    let since = worker.looks.since(now);
                    let until = after(since, worker::FAILING_MAX);
                    "look at the cluster".clone_into(&mut worker.step);
                    worker.waiting = Some(WaitingOn { what, since, until });
                    self.tell(now, at);
                }
            }
        }
    }

    /// Whether a look shows what this run has changed in the cluster. Otherwise there is another.
    fn believes(
        &mut self,
        now: Timestamp,
        at: usize,
        state: &ClusterState,
        begun: Timestamp,
    ) -> bool {
        // Who has to leave within seconds puts back what there is to see.
        if self.mode() == Mode::Leave {
            return true;
        }
        let Some(cluster) = &self.plan.actions[at].cluster else { return true };
        let recent = self.recent.get(cluster);
        let Some(what) = recent.and_then(|recent| recent.lagging(state, begun)) else {
            return true;
        };
        if let Some(worker) = self.workers.get_mut(&at) {
            worker.look_at = after(now, SOON);
            let since = match &worker.waiting {
                Some(waiting) if waiting.what == what => waiting.since,
                _ => now,
            };
            worker.waiting = Some(WaitingOn { what, since, until: after(since, LAG) });
            self.tell(now, at);
        }
        false
    }

    /// Whether the cluster's Lease is held. Otherwise the action waits for it.
    fn has_lease(&mut self, now: Timestamp, at: usize) -> bool {
        let Some(cluster) = self.plan.actions[at].cluster.clone() else { return true };
        let lease = self.leases.get(&cluster);
        if lease.is_some_and(|lease| lease.allows(now)) {
            return true;
        }
        if let Some(worker) = self.workers.get_mut(&at) {
            worker.wait_for_lease(&cluster, lease, now);
            // The first seconds without it are nothing to tell of.
            if lease.is_some_and(|lease| lease.held_by_other.is_some()) {
                self.tell(now, at);
            }
        }
        false
    }

    pub(super) fn decide(&mut self, now: Timestamp, at: usize, state: &ClusterState) {
        self.compare_with_journal(now, at, state);
        if !self.precheck(now, at, state) {
            return;
        }
        let mode = self.mode();
        // What is chosen and counted now has to hold once it is acted upon: while another run
        // holds the Lease it does not. Who is asked to stop may find that nothing is to be done.
        if mode == Mode::Go && !self.has_lease(now, at) {
            return;
        }
        let mut noted = 0;
        loop {
            let action = &self.plan.actions[at];
            let Some(worker) = self.workers.get_mut(&at) else { return };
            let decision =
                worker::decide(action, &self.settings.run, state, &mut worker.memory, mode, now);
            let Decision { notes, next, step } = decision;
            if !step.is_empty() {
                worker.step = step;
            }
            let only_notes = !notes.is_empty() && next == Next::Do(Vec::new());
            for progress in notes {
                worker.memory.note(&progress, now);
                self.records.push(RecordKind::Progress { action: action.id, progress });
            }
            noted += 1;
            if only_notes && noted < NOTES_MAX {
                continue;
            }
            worker.note_budgets(&next, state);
            match next {
                Next::Do(ops) => {
                    if !ops.is_empty() && !self.has_lease(now, at) {
                        return;
                    }
                    self.queue(now, at, ops);
                }
                Next::Wait(wait) => {
                    // What failed is not needed any more.
                    worker.calls_succeeded();
                    let still =
                        Some(WaitingOn { what: wait.what, since: wait.since, until: wait.until });
                    worker.waiting = still;
                    worker.look_at = after(now, POLL).min(wait.until).max(after(now, SOON));
                }
                Next::End(outcome) => {
                    self.end(now, at, outcome);
                    return;
                }
            }
            break;
        }
        self.tell(now, at);
    }

    /// The first look: is it the right cluster, and is there something to do? Whether to go on.
    pub(super) fn precheck(&mut self, now: Timestamp, at: usize, state: &ClusterState) -> bool {
        let Some(worker) = self.workers.get(&at) else { return false };
        if worker.prechecked {
            return true;
        }
        let action = self.action(at).clone();
        let planned = action.cluster.as_ref().and_then(|cluster| self.plan.cluster(cluster));
        let outcome = match planned.and_then(|planned| planned.identity.as_ref()) {
            Some(identity) if *identity != state.identity => Some(Outcome::Conflict {
                expected: format!("the cluster with UID {}", identity.uid),
                found: format!("the cluster with UID {}", state.identity.uid),
            }),
            _ => match worker::precheck(&action, state) {
                Precheck::AlreadySatisfied => Some(Outcome::AlreadySatisfied),
                Precheck::Conflict { expected, found } => {
                    Some(Outcome::Conflict { expected, found })
                }
                Precheck::Ready => None,
            },
        };
        if let Some(outcome) = outcome {
            self.end(now, at, outcome);
            return false;
        }
        if self.stop.is_some() && worker.memory.started_at.is_none() {
            // It has not begun anything: as if it had never been looked at.
            self.workers.remove(&at);
            self.schedule.wait_again(at);
            return false;
        }
        if let Some(worker) = self.workers.get_mut(&at) {
            worker.prechecked = true;
            if worker.memory.started_at.is_none() {
                worker.memory.started_at = Some(now);
                self.records.push(RecordKind::ActionStarted { action: action.id });
            }
        }
        self.emit(
            now,
            RunEventKind::ActionStarted {
                action: action.id,
                cluster: action.cluster.clone(),
                what: action.kind.to_string(),
            },
        );
        true
    }

    /// Journals calls; they are sent when that is durable.
    pub(super) fn queue(&mut self, now: Timestamp, at: usize, ops: Vec<Op>) {
        let action = self.action(at).id;
        let Some(cluster) = self.action(at).cluster.clone() else { return };
        let mut calls = Vec::new();
        let last = OpId((self.next_op + ops.len() as u64).saturating_sub(1));
        for mut call in ops {
            let op = self.next_op();
            if let Op::Group { op: GroupOp::Tag { tag }, .. } = &mut call {
                // What follows a tag in its batch is recognised by it, too.
                tag.op = last;
            }
            let token = self.token(&cluster, &call, op);
            self.records.push(RecordKind::Intent {
                op,
                action,
                cluster: cluster.clone(),
                token: token.clone(),
                call: call.clone(),
            });
            calls.push(Call { id: op, op: call, token });
        }
        let Some(worker) = self.workers.get_mut(&at) else { return };
        if !worker.tries_again() {
            worker.waiting = None;
        }
        worker.look_at = after(now, SOON);
        if calls.is_empty() {
            return;
        }
        for call in &calls {
            worker.memory.intend(&call.op);
        }
        worker.queue.extend(calls);
        worker.journaling = true;
        self.after_records.workers.push(at);
    }

    pub(super) fn settled(&mut self, now: Timestamp, op: OpId, result: Result<(), CallError>) {
        if let Some(goodbye) = &mut self.goodbye
            && goodbye.calls.contains(&op)
        {
            goodbye.calls.retain(|call| *call != op);
            return;
        }
        if let Some(lease) = self.leases.values_mut().find(|lease| lease.is_asked_by(op)) {
            lease.answer(result, now);
            if lease.allows(now) {
                self.look_with_lease(now);
            }
            return;
        }
        let found =
            self.workers.iter().find(|(_, worker)| worker.sent.iter().any(|call| call.id == op));
        let Some((at, _)) = found else { return };
        let at = *at;
        let cluster = self.action(at).cluster.clone();
        let Some(worker) = self.workers.get_mut(&at) else { return };
        let Some(position) = worker.sent.iter().position(|call| call.id == op) else { return };
        let call = worker.sent.remove(position);
        let record = match &result {
            Ok(()) => OpResult::Ok,
            Err(error) if error.class == ErrorClass::Unknown => {
                OpResult::Unknown { reason: error.message.clone() }
            }
            Err(error) => OpResult::Refused { reason: error.message.clone() },
        };
        if let Some(cluster) = cluster {
            let recent = self.recent.entry(cluster.clone()).or_default();
            match &record {
                OpResult::Ok => recent.took_effect(&call.op, now),
                OpResult::Unknown { .. } => recent.unsure(&call.op, now),
                OpResult::Refused { .. } => {}
            }
            if !matches!(record, OpResult::Unknown { .. }) {
                self.tokens.entry(target(&cluster, &call.op)).or_default().answered();
            }
        }
        self.records.push(RecordKind::Settled { op, result: record });
        match result {
            Ok(()) => {
                self.changed = true;
                worker.memory.settle(&call.op);
                // A batch that is sent again begins with what went well before.
                if worker.queue.is_empty() && worker.sent.is_empty() {
                    worker.calls_succeeded();
                }
            }
            Err(error) => self.refused(now, at, &call, error),
        }
    }

    /// Whoever waits for a Lease that is held now looks at once.
    fn look_with_lease(&mut self, now: Timestamp) {
        for (at, worker) in &mut self.workers {
            let cluster = self.plan.actions[*at].cluster.as_ref();
            let lease = cluster.and_then(|cluster| self.leases.get(cluster));
            if worker.awaits_lease && lease.is_some_and(|lease| lease.allows(now)) {
                worker.awaits_lease = false;
                worker.waiting = None;
                // One that is on its way was begun when the cluster was somebody else's.
                worker.look = None;
                worker.look_at = now;
            }
        }
    }

    pub(super) fn refused(&mut self, now: Timestamp, at: usize, call: &Call, error: CallError) {
        let action = self.action(at).id;
        let rolls = self.action(at).kind.rolls();
        let (wait_complete, drain_timeout) = match self.action(at).bounds {
            Bounds::Rolling { wait_complete, drain_timeout, .. } => (wait_complete, drain_timeout),
            Bounds::None => (Period::ZERO, self.action(at).timeout),
        };
        let Some(worker) = self.workers.get_mut(&at) else { return };
        if error.class == ErrorClass::Unknown {
            worker.memory.lost(&call.op);
        } else {
            worker.memory.refused(&call.op);
        }
        if worker.moot.contains(&call.id) {
            return;
        }
        // What was to come after it was decided in the belief that it goes well.
        for queued in std::mem::take(&mut worker.queue) {
            if worker::is_eviction(&queued.op) {
                worker.queue.push_back(queued);
            } else {
                worker.memory.unsent(&queued.op, &call.op);
            }
        }
        if error.class == ErrorClass::Budget {
            worker.look_at = after(now, error.retry_after.unwrap_or(POLL));
            let (since, until) = match &worker.memory.current {
                Some(current) => {
                    // A pod that the drain has waited for has the time of the drain still to come.
                    let until = after(current.since, drain_timeout);
                    let waited = if now < until { Period::ZERO } else { wait_complete };
                    (current.since, after(until, waited))
                }
                None => (now, after(now, drain_timeout)),
            };
            let what = match worker.budget_over(&call.op) {
                Some(budget) => format!("PodDisruptionBudget {budget}: {}", error.message),
                None => error.message,
            };
            worker.waiting = Some(WaitingOn { what, since, until });
            worker.calls.refused_by_budget();
            self.tell(now, at);
            return;
        }
        let hopeless = worker.call_failed(error.class, error.retry_after, now);
        if error.class != ErrorClass::Permanent && !hopeless {
            let what = format!("another attempt to {}: {}", call.op, error.message);
            let since = worker.calls.since(now);
            let until = after(since, worker::FAILING_MAX);
            worker.waiting = Some(WaitingOn { what, since, until });
            self.tell(now, at);
            return;
        }
        let reason = format!("could not {}: {}", call.op, error.message);
        let healing = worker.memory.healing.is_some();
        if rolls && !healing {
            worker.calls_succeeded();
            worker.look_at = now;
            worker.queue.clear();
            worker.moot = worker.sent.iter().map(|sent| sent.id).collect();
            let progress = Progress::Healing { why: GivingUp::Failed { reason } };
            worker.memory.note(&progress, now);
            self.records.push(RecordKind::Progress { action, progress });
        } else {
            let mut left = worker.memory.left.clone();
            let reason = match &worker.memory.healing {
                Some((GivingUp::Failed { reason: first }, _)) => {
                    left.push(reason);
                    first.clone()
                }
                _ => reason,
            };
            self.end(now, at, Outcome::Failed { reason, left });
        }
    }

    pub(super) fn end(&mut self, now: Timestamp, at: usize, outcome: Outcome) {
        self.workers.remove(&at);
        let action = self.action(at).id;
        self.records.push(RecordKind::ActionEnded { action, outcome: outcome.clone() });
        self.emit(now, RunEventKind::ActionEnded { action, outcome: outcome.clone() });
        self.schedule.end(&self.plan, at, outcome);
    }
}
