//! What commands tell programs: where a run stands, and the lines of a log in JSON.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ActionId, ChannelName, ClusterName, ClusterStatus, Code, Date, FleetName, KubeVersion, Outcome,
    PlanId, ReleaseName, RunEvent, RunId, RunOutcome, Timestamp, WaitingOn,
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

/// The clusters of a fleet, as `refit clusters --format json` lists them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClusterList {
    /// The version of this format.
    pub format_version: String,
    /// The fleet.
    pub fleet: FleetName,
    /// When the clusters were observed.
    pub taken_at: Timestamp,
    /// By name.
    pub clusters: Vec<ClusterSummary>,
}

impl ClusterList {
    /// The version of the format.
    pub const FORMAT: &str = "1.0";
}

/// One cluster: what it runs, and what a plan would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClusterSummary {
    /// Its name.
    pub name: ClusterName,
    /// Its channel.
    pub channel: ChannelName,
    /// The release that its channel carries.
    pub release: ReleaseName,
    /// The version of Kubernetes that it is declared to run.
    pub declared: KubeVersion,
    /// The versions of its API servers, the oldest first; empty if it could not be read.
    pub control_plane: Vec<KubeVersion>,
    /// The versions of the kubelets of its nodes; none: it has no nodes, or could not be read.
    /// Control-plane nodes do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<KubeletVersions>,
    /// Its status in the plan.
    pub status: ClusterStatus,
    /// The number of actions that a plan has for it.
    pub pending: u32,
    /// The codes of the findings that block it.
    pub blocked: BTreeSet<Code>,
    /// The freeze that holds now; none: it is not frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<ActiveFreeze>,
}

/// The oldest and the newest version of some kubelets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KubeletVersions {
    /// The oldest.
    pub oldest: KubeVersion,
    /// The newest.
    pub newest: KubeVersion,
}

/// A freeze that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ActiveFreeze {
    /// Its last day, in UTC; none: it has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
    /// The reason; empty if none is given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
