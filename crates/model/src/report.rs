//! What commands tell programs: where a run stands, and the lines of a log in JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ActionId, ClusterName, Outcome, PlanId, RunEvent, RunId, RunOutcome, Timestamp, WaitingOn,
};

/// A line of `--log-format json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LogLine {
    /// An event of a run.
    Event(RunEvent),
    /// Something that is said to people.
    Message(LogMessage),
}

/// A message, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LogMessage {
    /// How much it matters.
    pub level: LogLevel,
    /// In words.
    pub message: String,
    /// Why it happened, the nearest cause first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Good to know.
    Info,
    /// What to do.
    Hint,
    /// Something may be wrong.
    Warning,
    /// Something is wrong.
    Error,
}

/// Where a run stands, as `refit status --format json` tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RunStatus {
    /// The version of this format.
    pub format_version: String,
    /// The run; none when there was none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Its plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanId>,
    /// Who began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// When it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Timestamp>,
    /// When its last record was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
    /// How it ended; none: it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RunOutcome>,
    /// Whether a process works on it; none: there was no run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_way: Option<bool>,
    /// By name.
    pub clusters: Vec<ClusterStanding>,
}

impl RunStatus {
    /// The version of the format.
    pub const FORMAT: &str = "1.0";
}

/// Where a cluster stands in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClusterStanding {
    /// The cluster.
    pub name: ClusterName,
    /// How many of its actions are done, or were already.
    pub done: u32,
    /// How many it has.
    pub total: u32,
    /// As they began, then as they will.
    pub actions: Vec<ActionStanding>,
}

/// Where an action stands in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ActionStanding {
    /// The action.
    pub action: ActionId,
    /// In words.
    pub what: String,
    /// Where it stands.
    pub state: ActionState,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// What it waits for, if it has for 30 seconds or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingOn>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// Where an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActionState {
    /// It was carried out.
    Done,
    /// Its cluster was already as it would leave it.
    Already,
    /// It has begun and not ended.
    Running,
    /// It failed, or found what it does not expect.
    Failed,
    /// It was stopped part-way.
    Stopped,
    /// Something before it did not succeed.
    Skipped,
    /// It has not begun.
    Waiting,
}
