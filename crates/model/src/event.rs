//! What a run tells while it runs. Progress bars, lines and `--events` are made of these.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ActionId, ClusterName, Outcome, PlanId, RunId, RunOutcome, Stop, Timestamp};

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RunEvent {
    /// When, by the run's clock.
    pub at: Timestamp,
    /// What.
    pub kind: RunEventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunEventKind {
    /// A run began.
    RunStarted {
        /// The version of the event format.
        #[serde(rename = "format-version")]
        format_version: String,
        /// The run.
        run: RunId,
        /// The plan.
        plan: PlanId,
        /// How many actions it has.
        actions: u32,
        /// Whether an earlier process began it.
        continued: bool,
    },
    /// An action began.
    ActionStarted {
        /// The action.
        action: ActionId,
        /// Its cluster.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cluster: Option<ClusterName>,
        /// In words.
        what: String,
    },
    /// An action got on.
    ActionProgress {
        /// The action.
        action: ActionId,
        /// Of its nodes or objects, how many are done.
        done: u32,
        /// How many there are.
        total: u32,
        /// What is being done.
        step: String,
        /// What is waited for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waiting: Option<WaitingOn>,
    },
    /// An action ended.
    ActionEnded {
        /// The action.
        action: ActionId,
        /// How.
        outcome: Outcome,
    },
    /// Something that people should know.
    Warning {
        /// In words.
        text: String,
    },
    /// Somebody asked the run to stop.
    StopAsked {
        /// How soon.
        stop: Stop,
    },
    /// The run ended.
    RunEnded {
        /// How.
        outcome: RunOutcome,
        /// What was done and what was not.
        recap: Recap,
    },
}

impl RunEvent {
    /// The version of the event format.
    pub const FORMAT: &str = "2.0";
}

/// What an action waits for: a name and a reason, never just "waiting".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WaitingOn {
    /// For what, in words that name it.
    pub what: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when at most.
    pub until: Timestamp,
}

impl WaitingOn {
    /// Returns how often the wait has been told by a time: after 30 seconds, 2, 5 and 10 minutes,
    /// and every ten minutes from then on. 0 before that.
    pub fn told_by(&self, at: Timestamp) -> u32 {
        const FIRST: [i64; 3] = [30, 120, 300];
        const THEN: i64 = 600;
        let seconds = at.as_second().saturating_sub(self.since.as_second()).max(0);
        let first = FIRST.into_iter().filter(|after| seconds >= *after).map(|_| 1).sum::<u32>();
        first.saturating_add(u32::try_from(seconds / THEN).unwrap_or(u32::MAX))
    }
}

/// What a run did and did not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Recap {
    /// Done by this run.
    pub done: Vec<ActionId>,
    /// Already as wanted.
    pub satisfied: Vec<ActionId>,
    /// Failed, or in conflict.
    pub failed: Vec<ActionId>,
    /// Stopped part-way.
    pub stopped: Vec<ActionId>,
    /// Not begun, because something before it did not succeed.
    pub skipped: Vec<ActionId>,
    /// Not begun for another reason.
    pub not_started: Vec<ActionId>,
}

impl fmt::Display for WaitingOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
