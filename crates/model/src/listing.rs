//! What commands list for programs: clusters, runs, the state directory, problems of files, add-ons.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AddonVersion, ChannelName, ClusterName, ClusterStatus, Code, Date, Digest, FleetName,
    JournalRecord, KubeVersion, Minor, PlanId, Policy, ReleaseName, RunId, Source, Timestamp,
};

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

/// A run, as `refit history --format json` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub struct PastRun {
    /// The run.
    pub run: RunId,
    /// The plan that it carried out.
    pub plan: PlanId,
    /// Who began it: `user@host`.
    pub who: String,
    /// When it was begun.
    pub opened_at: Timestamp,
    /// When it ended; none: it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// `open`, or how it ended.
    pub state: String,
}

/// The journal of a run, as `refit show RUN --format json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub struct RunRecords<'a> {
    /// The run.
    pub run: &'a RunId,
    /// Its records, in order.
    pub records: &'a [JournalRecord],
}

/// What is in a state directory, as `refit state list --format json` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub struct StateContents {
    /// The journals, the newest run first.
    pub runs: Vec<StoredRun>,
    /// Plans, snapshots and reports.
    pub blobs: Vec<StoredBlob>,
    /// How many bytes the index has.
    pub index_bytes: u64,
}

/// A journal of a state directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub struct StoredRun {
    /// The journal's file.
    pub file: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// The run.
    pub run: RunId,
    /// How many records it has.
    pub records: u64,
}

/// A plan, snapshot or report of a state directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub struct StoredBlob {
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub bytes: u64,
}

/// A problem of a fleet's files, as `refit validate --format json` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub struct FileProblem<'a> {
    /// `error` or `warning`.
    pub severity: &'static str,
    /// What is wrong.
    pub message: &'a str,
    /// The file, relative to the fleet's directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<&'a str>,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What to do.
    pub hints: &'a [String],
}

/// What is known of add-ons, as `refit addons --format json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub struct AddonListing<'a> {
    /// The day that the catalogue is of.
    pub date: &'a str,
    /// The add-ons, by name.
    pub addons: Vec<ListedAddon<'a>>,
}

/// What is known of one add-on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub struct ListedAddon<'a> {
    /// Its name.
    pub name: &'a str,
    /// The kind of statement that its project makes; none: the catalogue does not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// The statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub says: Option<&'a str>,
    /// What else an upgrade should know.
    pub notes: &'a [String],
    /// Where all this was read.
    pub sources: &'a [Source],
    /// The versions that the catalogue has.
    pub catalogue: Vec<CatalogueVersions<'a>>,
    /// The versions that the fleet has.
    pub fleet: Vec<FleetVersion<'a>>,
}

/// What the catalogue says of some versions of an add-on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub struct CatalogueVersions<'a> {
    /// The versions.
    pub versions: &'a str,
    /// The minors of Kubernetes that they support.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<String>,
    /// The minors that they were tested with.
    pub tested: &'a BTreeSet<Minor>,
    /// The minors that they are installed with.
    pub bundled_with: &'a BTreeSet<Minor>,
    /// The latest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<&'a AddonVersion>,
    /// Where this was read.
    pub source: &'a Source,
}

/// A version of an add-on that a fleet has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub struct FleetVersion<'a> {
    /// The version.
    pub version: &'a AddonVersion,
    /// The minors of API servers that it supports.
    pub kubernetes: String,
    /// The minors of kubelets that it supports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubelets: Option<String>,
    /// What decided: `file` or `catalogue`.
    pub decided_by: &'static str,
    /// The file and line that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Where the catalogue's statement was read, if that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'a Source>,
    /// The APIs that it uses and that are not served by every minor.
    pub apis: Vec<UsedApi<'a>>,
}

/// An API that an add-on uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub struct UsedApi<'a> {
    /// Its group and version.
    pub api: &'a str,
    /// The object that uses it.
    pub object: String,
    /// The file and line of that object.
    pub at: String,
    /// The first minor that serves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introduced: Option<Minor>,
    /// The first minor that does not serve it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<Minor>,
    /// Whether the removal is only planned.
    pub planned: bool,
    /// The API that takes its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<&'a str>,
    /// Where this was read.
    pub source: &'a Source,
}
