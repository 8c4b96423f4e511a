//! One running action: it looks, decides, has its calls journaled and sent, and looks again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use refit_model::{
    Action, ActionKind, ClusterName, ClusterState, ErrorClass, Lifecycle, NodeOp, Op, OpId,
    Outcome, Period, PodState, Precheck, RollTag, RunId, Scope, Timestamp, Token, WaitingOn,
};

use crate::decision::{Decision, Mode, Next, POLL, after};
use crate::lease::{self, Lease};
use crate::memory::Memory;
use crate::{LookId, addon, migrate, pin, roll};

/// How long calls or looks may keep failing before the action gives up.
pub(crate) const FAILING_MAX: Period = Period::minutes(10);
/// The longest pause between two attempts.
const PAUSE_MAX: Period = Period::seconds(60);

/// A call that is journaled or about to be.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: OpId,
    pub(crate) op: Op,
    pub(crate) token: Token,
}

/// What people were told of an action last.
#[derive(Debug, PartialEq)]
pub(crate) struct News {
    pub(crate) step: String,
    pub(crate) done: u32,
    /// What it waits for.
    pub(crate) what: Option<String>,
    /// Since when it waits, and how often that was told.
    pub(crate) wait: Option<(Timestamp, u32)>,
    pub(crate) at: Timestamp,
}

/// Failures in a row, of calls or of looks.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    since: Option<Timestamp>,
    times: u32,
    /// Whether a budget refused the last eviction, which is no failure.
    refused: bool,
}

impl Failures {
    /// Returns since when it fails, or `now`.
    pub(crate) fn since(&self, now: Timestamp) -> Timestamp {
        self.since.unwrap_or(now)
    }

    /// Returns whether the last attempt failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.since.is_some()
    }

    /// Takes in that a budget refused an eviction.
    pub(crate) fn refused_by_budget(&mut self) {
        self.refused = true;
    }

    /// Takes in a success. Returns whether the attempt before had failed.
    pub(crate) fn succeeded(&mut self) -> bool {
        std::mem::take(self).is_failing()
    }

    /// Takes in a failure. Returns when to try again, a little later each time, and whether it is
    /// time to give up.
    fn failed(
        &mut self,
        class: ErrorClass,
        retry_after: Option<Period>,
        now: Timestamp,
    ) -> (Timestamp, bool) {
        let since = *self.since.get_or_insert(now);
        let pause = match class {
            ErrorClass::Conflict | ErrorClass::Unknown => {
                Period::seconds(1).times(self.times.max(1))
            }
            ErrorClass::Transient
            | ErrorClass::Throttled
            | ErrorClass::Budget
            | ErrorClass::Permanent => Period::seconds(1).times(1 << self.times.min(6)),
        };
        self.times = self.times.saturating_add(1);
        let pause = retry_after.unwrap_or_else(|| pause.min(PAUSE_MAX));
        (after(now, pause), now >= after(since, FAILING_MAX))
    }
}

/// A running action.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) memory: Memory,
    /// Whether the first look was taken.
    pub(crate) prechecked: bool,
    /// The look that has not been answered, and when it was begun.
    pub(crate) look: Option<(LookId, Timestamp)>,
    /// Whether there is something to do as soon as the cluster's Lease is held.
    pub(crate) awaits_lease: bool,
    /// Journaled, not yet sent.
    pub(crate) queue: VecDeque<Call>,
    /// Sent, not yet answered.
    pub(crate) sent: Vec<Call>,
    /// Of those, what was sent before it began to heal: what comes of it changes nothing any more.
    pub(crate) moot: Vec<OpId>,
    /// Whether the journal has to answer first.
    pub(crate) journaling: bool,
    /// Not before this time again.
    pub(crate) look_at: Timestamp,
    /// Calls that fail.
    pub(crate) calls: Failures,
    /// Looks that fail.
    pub(crate) looks: Failures,
    /// What people were told last.
    pub(crate) told: Option<News>,
    /// How often each wait was told, by when it began.
    pub(crate) waits: BTreeMap<Timestamp, u32>,
    /// The PodDisruptionBudgets over the pods whose evictions were decided last, by UID.
    pub(crate) budgets: BTreeMap<String, String>,
    pub(crate) waiting: Option<WaitingOn>,
    pub(crate) step: String,
}

impl Worker {
    pub(crate) fn new(memory: Memory, now: Timestamp) -> Self {
        Self {
            memory,
            prechecked: false,
            look: None,
            awaits_lease: false,
            queue: VecDeque::new(),
            sent: Vec::new(),
            moot: Vec::new(),
            journaling: false,
            look_at: now,
            calls: Failures::default(),
            looks: Failures::default(),
            told: None,
            waits: BTreeMap::new(),
            budgets: BTreeMap::new(),
            waiting: None,
            step: "look".to_owned(),
        }
    }

    /// Whether it neither waits for the journal nor for an answer.
    pub(crate) fn is_idle(&self) -> bool {
        self.look.is_none() && self.queue.is_empty() && self.sent.is_empty() && !self.journaling
    }

    /// Does nothing until the cluster's Lease is held, and then looks first: whoever held it may
    /// have changed everything.
    pub(crate) fn wait_for_lease(
        &mut self,
        cluster: &ClusterName,
        lease: Option<&Lease>,
        now: Timestamp,
    ) {
        let what = match lease.and_then(|lease| lease.held_by_other.as_ref()) {
            Some(holder) => format!("the Lease of {cluster}: {holder}"),
            None => format!("the Lease of {cluster}"),
        };
        let since = self.waiting.as_ref().filter(|_| self.awaits_lease).map_or(now, |w| w.since);
        self.awaits_lease = true;
        self.look_at = after(now, POLL);
        self.waiting = Some(WaitingOn { what, since, until: after(since, lease::WAIT_MAX) });
    }

    /// Keeps which budgets are over the pods that are about to be evicted.
    pub(crate) fn note_budgets(&mut self, next: &Next, state: &ClusterState) {
        let Next::Do(ops) = next else { return };
        let uids: BTreeSet<&str> = ops.iter().filter_map(evicted).collect();
        if uids.is_empty() {
            return;
        }
        let pods = state.pods.iter().filter(|pod| uids.contains(pod.uid.as_str()));
        let budget = |pod: &PodState| {
            let first = pod.budgets.first()?;
            Some((pod.uid.clone(), format!("{}/{first}", pod.namespace)))
        };
        self.budgets = pods.filter_map(budget).collect();
    }

    /// Returns the budget over the pod that a call evicts.
    pub(crate) fn budget_over(&self, op: &Op) -> Option<&str> {
        self.budgets.get(evicted(op)?).map(String::as_str)
    }

    /// Takes in that all calls of a batch went well, or that they are not needed any more.
    pub(crate) fn calls_succeeded(&mut self) {
        self.calls.succeeded();
    }

    /// Returns whether the last call failed, or was refused by a budget, and is tried again.
    pub(crate) fn tries_again(&self) -> bool {
        self.calls.is_failing() || self.calls.refused
    }

    /// Takes in that a call failed. Returns whether it is time to give up.
    #[must_use = "who gives up must end the action"]
    pub(crate) fn call_failed(
        &mut self,
        class: ErrorClass,
        retry_after: Option<Period>,
        now: Timestamp,
    ) -> bool {
        let (at, hopeless) = self.calls.failed(class, retry_after, now);
        self.look_at = self.look_at.max(at);
        hopeless
    }

    /// Takes in that a look failed. Returns whether it is time to give up.
    #[must_use = "who gives up must end the action"]
    pub(crate) fn look_failed(
        &mut self,
        class: ErrorClass,
        retry_after: Option<Period>,
        now: Timestamp,
    ) -> bool {
        let (at, hopeless) = self.looks.failed(class, retry_after, now);
        self.look_at = self.look_at.max(at);
        hopeless
    }
}

/// How much of the cluster an action has to see.
pub(crate) fn scope(action: &Action, memory: &Memory) -> Scope {
    match &action.kind {
        // They are listed once.
        ActionKind::StorageMigration { addon, crds, .. } if memory.unwritten.is_none() => {
            Scope::Objects { addon: addon.clone(), crds: crds.keys().cloned().collect() }
        }
        ActionKind::ControlPlaneHop { .. } | ActionKind::TidyUp { pool: None, .. } => {
            Scope::ControlPlane
        }
        ActionKind::NodePoolRoll { pool, .. } | ActionKind::TidyUp { pool: Some(pool), .. } => {
            Scope::Pool(pool.clone())
        }
        ActionKind::AddonApply { addon, .. }
        | ActionKind::AddonAdopt { addon, .. }
        | ActionKind::StorageMigration { addon, .. }
        | ActionKind::AddonRemove { addon, .. } => Scope::Addon(addon.clone()),
        ActionKind::PinGroups { .. } | ActionKind::FinishWave { .. } => Scope::Everything,
    }
}

/// What the first look says. What an earlier run has left behind is work, even when the
/// versions are right already.
pub(crate) fn precheck(action: &Action, state: &ClusterState) -> Precheck {
    match action.precheck(state) {
        Precheck::AlreadySatisfied
            if left_behind(action, state) || launches_another(action, state) =>
        {
            Precheck::Ready
        }
        other => other,
    }
}

/// Returns whether a group of a roll launches another image than the one that it is rolled to. Where
/// its only instance has just failed, nothing else shows that.
fn launches_another(action: &Action, state: &ClusterState) -> bool {
    let images = match &action.kind {
        ActionKind::ControlPlaneHop { images, .. } | ActionKind::NodePoolRoll { images, .. } => {
            images
        }
        ActionKind::PinGroups { .. }
        | ActionKind::TidyUp { .. }
        | ActionKind::AddonApply { .. }
        | ActionKind::AddonAdopt { .. }
        | ActionKind::AddonRemove { .. }
        | ActionKind::StorageMigration { .. }
        | ActionKind::FinishWave { .. } => return false,
    };
    images.iter().any(|(name, pin)| {
        let group = state.groups.get(name);
        group.is_some_and(|group| roll::point_at(name, group, pin).is_some())
    })
}

fn left_behind(action: &Action, state: &ClusterState) -> bool {
    if !action.kind.rolls() {
        return false;
    }
    action.kind.groups().into_iter().filter_map(|name| state.groups.get(name)).any(|group| {
        let cordoned = |id| {
            state
                .node_of(id)
                .is_some_and(|(_, node)| node.annotations.contains_key(RollTag::CORDONED))
        };
        // What is on its way out takes its cordon with it.
        let mut staying = group.instances.iter().filter(|i| i.lifecycle != Lifecycle::Terminating);
        group.tags.contains_key(RollTag::KEY) || staying.any(|instance| cordoned(&instance.id))
    })
}

/// Decides what comes next.
pub(crate) fn decide(
    action: &Action,
    run: &RunId,
    state: &ClusterState,
    memory: &mut Memory,
    mode: Mode,
    now: Timestamp,
) -> Decision {
    match &action.kind {
        ActionKind::ControlPlaneHop { .. }
        | ActionKind::NodePoolRoll { .. }
        | ActionKind::TidyUp { .. } => roll::decide(action, run, state, memory, mode, now),
        ActionKind::AddonApply { .. }
        | ActionKind::AddonAdopt { .. }
        | ActionKind::AddonRemove { .. } => addon::decide(action, state, memory, mode, now),
        ActionKind::StorageMigration { .. } => migrate::decide(action, state, memory, mode, now),
        ActionKind::PinGroups { .. } => pin::decide(action, state, memory, mode, now),
        ActionKind::FinishWave { .. } => Decision::end(Outcome::Done),
    }
}

/// How much of an action is done, of how much.
pub(crate) fn extent(action: &Action, memory: &Memory) -> (u32, u32) {
    let done = u32::try_from(memory.done.len()).unwrap_or(u32::MAX);
    match &action.kind {
        ActionKind::ControlPlaneHop { instances, .. } => (done, (*instances).max(done)),
        ActionKind::NodePoolRoll { nodes, .. } => (done, (*nodes).max(done)),
        ActionKind::StorageMigration { .. } => memory.written_back(),
        _ => (0, 1),
    }
}

/// Returns whether a call is an eviction: those of one drain are sent at once, everything else in
/// turn.
pub(crate) fn is_eviction(op: &Op) -> bool {
    evicted(op).is_some()
}

/// Returns the UID of the pod that a call evicts.
fn evicted(op: &Op) -> Option<&str> {
    match op {
        Op::Node { op: NodeOp::Evict { pod }, .. } => Some(&pod.uid),
        Op::Node { .. }
        | Op::Group { .. }
        | Op::Addon { .. }
        | Op::HoldLease { .. }
        | Op::ReleaseLease { .. } => None,
    }
}
