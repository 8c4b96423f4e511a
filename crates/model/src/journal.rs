//! What a run writes down: intent before each act, result after it, and how it ended.
//!
//! The journal is the truth about intent, the world is the truth about state.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ActionId, ClusterName, Digest, FleetName, InstanceId, NodeName, Op, OpId, PlanId, RunId,
    Timestamp, Token, WaitingOn, WorkloadRef,
};

/// One entry of a run's journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct JournalRecord {
    /// Its number in the run, from 1, without gaps.
    pub seq: u64,
    /// The fencing epoch of the process that wrote it; it never falls.
    pub epoch: u64,
    /// When it was written, by the run's clock.
    pub at: Timestamp,
    /// What happened.
    pub kind: RecordKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecordKind {
    /// The run begins. Always the first record.
    RunOpened {
        /// The run.
        run: RunId,
        /// The fleet.
        fleet: FleetName,
        /// The plan that is carried out.
        plan: PlanId,
        /// Of that plan's file: its bytes are in the store under this digest.
        plan_digest: Digest,
        /// Who started it: `user@host`.
        who: String,
    },
    /// Another process goes on with the run.
    RunContinued {
        /// Who.
        who: String,
    },
    /// An action has begun.
    ActionStarted {
        /// The action.
        action: ActionId,
    },
    /// An operation is about to be sent. Only durable intents are sent.
    Intent {
        /// The operation's number.
        op: OpId,
        /// The action that it belongs to.
        action: ActionId,
        /// The cluster.
        cluster: ClusterName,
        /// Its token.
        token: Token,
        /// The call.
        call: Op,
    },
    /// An operation has been answered.
    Settled {
        /// The operation's number.
        op: OpId,
        /// How.
        result: OpResult,
    },
    /// What an action has chosen or reached, so that it need not be found out again.
    Progress {
        /// The action.
        action: ActionId,
        /// What.
        progress: Progress,
    },
    /// An action has ended.
    ActionEnded {
        /// The action.
        action: ActionId,
        /// How.
        outcome: Outcome,
    },
    /// Somebody asked the run to stop.
    StopAsked {
        /// How soon.
        stop: Stop,
    },
    /// The run has ended. Always the last record; a run that was interrupted has none.
    RunClosed {
        /// How.
        outcome: RunOutcome,
    },
}

/// How an operation was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OpResult {
    /// It took effect, or already had.
    Ok,
    /// It did not take effect.
    Refused {
        /// In words.
        reason: String,
    },
    /// Nobody knows whether it took effect: only another look can tell.
    Unknown {
        /// In words.
        reason: String,
    },
}

/// What an action has chosen or reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// How many members of etcd were Ready when the action began.
    EtcdBaseline {
        /// So many.
        ready: u32,
    },
    /// This instance is replaced next. Saved before it is touched.
    NodeChosen {
        /// The instance.
        instance: InstanceId,
        /// Its node, if it has one yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<NodeName>,
        /// Why it has to go.
        purpose: Purpose,
        /// The readiness that each workload with a pod there has, and the system-critical ones.
        baseline: BTreeMap<WorkloadRef, u32>,
    },
    /// The instance is gone, and what ran there is back.
    NodeDone {
        /// The instance.
        instance: InstanceId,
    },
    /// A group carries an operation of this run that the journal does not hold. What the journal
    /// said of the action before does not count any more: the groups themselves say it.
    JournalBehind {
        /// The operation.
        op: OpId,
    },
    /// It has waited for this for a while.
    Waiting {
        /// For what, since when, and until when at most.
        on: WaitingOn,
    },
    /// The action gives up and puts things back.
    Healing {
        /// Why.
        why: GivingUp,
    },
}

/// Why an action gives up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GivingUp {
    /// It cannot go on.
    Failed {
        /// In words.
        reason: String,
    },
    /// Somebody cancelled the run.
    Cancelled,
}

/// Why an instance has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Its replacement takes its place.
    Replace,
    /// It is one more than usual, and the action gives up or is over.
    Surplus,
    /// It is moved to another zone, so that the zones of its group are even.
    Move,
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The state is what it was to leave.
    Done,
    /// The state already was.
    AlreadySatisfied,
    /// It was not begun, because the state was neither expected nor wanted.
    Conflict {
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// It failed, and what it had changed was put back or is named.
    Failed {
        /// What went wrong, and what it waited for.
        reason: String,
        /// What could not be put back.
        left: Vec<String>,
    },
    /// It was stopped between two nodes; the same command goes on.
    Stopped,
    /// It was stopped, and not everything that it had changed is put back yet; the same command
    /// goes on.
    StoppedHalfway {
        /// What is not put back yet.
        left: Vec<String>,
    },
    /// It was never begun.
    Skipped {
        /// The action whose end is the reason.
        because_of: ActionId,
    },
}

impl Outcome {
    /// Returns the outcome of an action that was stopped and could not put `left` back.
    pub fn stopped(left: Vec<String>) -> Self {
        if left.is_empty() { Self::Stopped } else { Self::StoppedHalfway { left } }
    }

    /// Returns whether somebody stopped the action.
    pub fn is_stopped(&self) -> bool {
        match self {
            Self::Stopped | Self::StoppedHalfway { .. } => true,
            Self::Done
            | Self::AlreadySatisfied
            | Self::Conflict { .. }
            | Self::Failed { .. }
            | Self::Skipped { .. } => false,
        }
    }

    /// Whether the state is what the action was to leave.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Done | Self::AlreadySatisfied)
    }
}

/// How soon a run is asked to stop.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// Finish the nodes that are being replaced, start nothing: the first SIGINT.
    Finish,
    /// Put back what is half done: the second SIGINT.
    Cancel,
    /// Start no further eviction, uncordon nodes that nothing was evicted from, and leave:
    /// SIGTERM, as CI sends it seconds before it kills.
    Leave,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunOutcome {
    /// Every action is done.
    Done,
    /// Nothing was done, and something failed.
    Failed,
    /// Something was done, and something was not.
    Partly,
    /// The world was not what the plan expects.
    Stale,
    /// Somebody stopped it; it can be continued.
    Interrupted,
}
