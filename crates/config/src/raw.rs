//! The files as they are written.
//!
//! The documentation comments of this module are for users: the JSON Schemas, the completion in
//! editors and `docs/reference/files.md` are made of them. A key stands here only when it is
//! enforced.

use std::collections::BTreeMap;

use refit_model::{
    AddonName, AddonVersion, ChannelName, ClusterName, Code, Day, FleetName, Freeze, GroupName,
    KubeVersion, MaxVersion, Minor, Period, PoolName, ReleaseName, VersionRange, WorkloadRef, Zone,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::text::{At, Quantity, Text};

/// Default of `state.path`.
pub const STATE_PATH: &str = "state";
/// Default of `drain-timeout` and of `node-ready-timeout`: long enough for a pod with a
/// termination grace period of ten minutes, and for a slow image.
pub(crate) const NODE_TIMEOUT: &str = "15m";
/// Default of `unreachable-timeout`.
pub(crate) const UNREACHABLE_TIMEOUT: &str = "10m";
/// Default of `wait-complete`: what a drain evicts, its Job starts again.
pub(crate) const WAIT_COMPLETE: &str = "0s";
/// Most of `wait-complete`: a node that is to be replaced is cordoned all that time.
pub(crate) const WAIT_COMPLETE_MAX: Period = Period::minutes(24 * 60);
/// Default of a simulated Job's `completes-after`.
pub(crate) const COMPLETES_AFTER: &str = "30m";
/// Default of `node-interval`.
pub(crate) const NODE_INTERVAL: &str = "0s";
/// Default of an image's `owner`.
pub(crate) const IMAGE_OWNER: &str = "self";
/// Default of a simulated workload's namespace.
pub(crate) const NAMESPACE: &str = "default";
/// Default of `max-surge`: a node more costs minutes, a node fewer may cost availability.
pub(crate) const MAX_SURGE: u32 = 1;
/// Default of `max-unavailable`.
pub(crate) const MAX_UNAVAILABLE: u32 = 0;
/// Default of `max-failed-clusters`.
pub(crate) const MAX_FAILED_CLUSTERS: u32 = 0;
/// Default of `max-parallel-pools`: what breaks has one cause.
pub(crate) const MAX_PARALLEL_POOLS: u32 = 1;
/// Most replicas of one simulated workload: a simulated pod is a value in memory.
pub(crate) const REPLICAS_MAX: u32 = 10_000;
/// Most instances of one simulated group, for the same reason.
pub(crate) const GROUP_SIZE_MAX: u32 = 1000;

/// `fleet.toml`: the fleet's name, its channels, and the versions that a control plane may run.
///
/// A small fleet may declare its releases, add-ons and clusters here too.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct FleetFile {
    pub(crate) fleet: FleetTable,
    pub(crate) state: Option<StateTable>,
    pub(crate) kubernetes: KubernetesTable,
    /// The channels, in order of promotion.
    #[serde(default)]
    pub(crate) channels: Vec<ChannelTable>,
    /// Releases of a fleet in one file; otherwise each has a file `releases/<name>.toml`.
    #[serde(default)]
    pub(crate) releases: Vec<ReleaseTable>,
    /// Add-ons of a fleet in one file; otherwise each has a file `addons/<name>/addon.toml`.
    /// The manifests are in `addons/<name>/<version>/` either way.
    #[serde(default)]
    pub(crate) addons: Vec<AddonTable>,
    /// Clusters of a fleet in one file; otherwise each has a file `clusters/<name>.toml`.
    #[serde(default)]
    pub(crate) clusters: Vec<ClusterTable>,
}

/// The fleet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct FleetTable {
    /// The fleet's name: letters, digits, `-`, `_`, `.`.
    pub(crate) name: Text<FleetName>,
}

/// Where the history of runs is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct StateTable {
    /// The kind of store.
    #[serde(default)]
    #[schemars(extend("default" = "sled"))]
    #[expect(dead_code, reason = "one kind so far; the shape check refuses any other")]
    pub(crate) store: StoreKind,
    /// The store's directory, relative to `fleet.toml` and below it.
    #[schemars(extend("default" = STATE_PATH))]
    pub(crate) path: Option<At<String>>,
}

/// A kind of store.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StoreKind {
    /// A directory with an embedded database and a journal.
    #[default]
    Sled,
}

/// Versions of Kubernetes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct KubernetesTable {
    /// The versions that a control plane may run, also on its way to another. A release and a
    /// pin name one of them; between hops the newest patch of a minor is used.
    pub(crate) available: Vec<Text<KubeVersion>>,
}

/// A channel: the release that its clusters run, and how it spreads over them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ChannelTable {
    /// The channel's name.
    pub(crate) name: Text<ChannelName>,
    /// The release that the channel's clusters run.
    pub(crate) release: Text<ReleaseName>,
    /// Freezes all clusters of the channel, as `freeze` of a cluster does for one. Where a cluster has
    /// one as well, the one that ends later counts.
    pub(crate) freeze: Option<Text<Freeze>>,
    /// Which clusters change one after the other. What the waves leave out forms a last wave;
    /// without waves all clusters are one.
    #[serde(default)]
    pub(crate) waves: Vec<At<WaveTable>>,
    /// How many of the channel's clusters are worked on at once. Without it only the command's
    /// `--parallelism` limits them.
    #[schemars(range(min = 1))]
    pub(crate) max_parallel_clusters: Option<u32>,
    /// How many clusters of a wave may fail before no further cluster of the channel starts.
    #[schemars(extend("default" = MAX_FAILED_CLUSTERS))]
    pub(crate) max_failed_clusters: Option<u32>,
}

/// A wave: one of `clusters`, `labels` and `percent`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(crate) struct WaveTable {
    /// Clusters of the channel by name.
    #[schemars(length(min = 1))]
    pub(crate) clusters: Option<Vec<Text<ClusterName>>>,
    /// The clusters of the channel that have all of these labels, such as `{ tier = "canary" }`.
    pub(crate) labels: Option<At<BTreeMap<String, String>>>,
    /// So many further clusters, by name, that this share of the channel is reached, rounded up.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) percent: Option<At<u8>>,
}

/// The versions of a set's add-ons, by add-on.
pub(crate) type SetTable = BTreeMap<Text<AddonName>, Text<AddonVersion>>;

/// `releases/<name>.toml`: an immutable bundle of versions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ReleaseFile {
    pub(crate) release: ReleaseHead,
    /// Sets of add-ons with their versions; a cluster names the sets that it runs.
    #[serde(default)]
    pub(crate) addon_sets: BTreeMap<At<String>, SetTable>,
}

/// The release.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ReleaseHead {
    /// The release's name, such as `2026.11.0`.
    pub(crate) name: Text<ReleaseName>,
    /// The version of Kubernetes; one of `kubernetes.available` in `fleet.toml`.
    pub(crate) kubernetes: Text<KubeVersion>,
}

/// A release in `fleet.toml`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ReleaseTable {
    /// The release's name, such as `2026.11.0`.
    pub(crate) name: Text<ReleaseName>,
    /// The version of Kubernetes; one of `kubernetes.available`.
    pub(crate) kubernetes: Text<KubeVersion>,
    /// Sets of add-ons with their versions; a cluster names the sets that it runs.
    #[serde(default)]
    pub(crate) addon_sets: BTreeMap<At<String>, SetTable>,
}

impl From<ReleaseFile> for ReleaseTable {
    fn from(ReleaseFile { release, addon_sets }: ReleaseFile) -> Self {
        Self { name: release.name, kubernetes: release.kubernetes, addon_sets }
    }
}

/// `addons/<name>/addon.toml`: an add-on and its versions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct AddonFile {
    #[serde(default)]
    pub(crate) addon: AddonHead,
    pub(crate) detect: Option<DetectTable>,
    /// The add-on's versions; only what stands here can be installed.
    #[schemars(length(min = 1))]
    pub(crate) versions: Vec<VersionTable>,
}

/// The add-on.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct AddonHead {
    /// The add-on's name; if it is given, it equals the directory's.
    pub(crate) name: Option<Text<AddonName>>,
    /// What the add-on's actions end before: `control-plane`, `nodes`, or an add-on.
    #[serde(default)]
    pub(crate) before: Vec<At<String>>,
    /// What the add-on's actions begin after: `control-plane`, `nodes`, or an add-on.
    #[serde(default)]
    pub(crate) after: Vec<At<String>>,
    /// Kinds that are deleted only when they are named here.
    #[serde(default)]
    pub(crate) prune: Vec<At<PruneKind>>,
    /// Whether a version may live through a hop of the control plane to a minor that it does not
    /// support, if the next version takes its place right after the hop.
    #[serde(default)]
    pub(crate) may_be_unsupported_during_hop: bool,
    /// Whether the add-on moves through every minor between two versions, one after the other.
    #[serde(default)]
    pub(crate) one_minor_at_a_time: bool,
}

/// A kind whose deletion takes other things with it.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum PruneKind {
    /// With it go all its objects.
    CustomResourceDefinition,
    /// With it goes everything in it.
    Namespace,
    /// With it may go the data.
    PersistentVolumeClaim,
}

impl PruneKind {
    /// The kind as manifests write it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::CustomResourceDefinition => "CustomResourceDefinition",
            Self::Namespace => "Namespace",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
        }
    }
}

/// How a copy of the add-on is recognised that refit did not install.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct DetectTable {
    /// The workload to look for, as `Kind/namespace/name`.
    pub(crate) workload: Text<WorkloadRef>,
    /// The container of the workload whose image tag is the version.
    pub(crate) container: String,
}

/// A version of an add-on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct VersionTable {
    /// The version, as [semantic versioning](https://semver.org) has it.
    pub(crate) version: Text<AddonVersion>,
    /// The minors of the apiserver that the version supports, such as `>=1.29, <=1.33`, or
    /// `any`. Without it refit's catalogue decides, if it knows the version.
    pub(crate) kubernetes: Option<Text<VersionRange<Minor>>>,
    /// The minors of the kubelets that the version supports. Without it: any.
    pub(crate) kubelets: Option<Text<VersionRange<Minor>>>,
    /// The add-ons that the version needs, and in which versions.
    #[serde(default)]
    pub(crate) requires: BTreeMap<Text<AddonName>, Text<VersionRange<AddonVersion>>>,
    /// The add-ons that the version cannot live with, and in which versions.
    #[serde(default)]
    pub(crate) conflicts: BTreeMap<Text<AddonName>, Text<VersionRange<AddonVersion>>>,
    /// The versions that the add-on may come from when it moves up to this one. Without it: any
    /// older one.
    pub(crate) upgrade_from: Option<Text<VersionRange<AddonVersion>>>,
    /// The directory of the manifests below `addons/<name>/`. Without it: the version.
    pub(crate) manifests: Option<At<String>>,
}

/// An add-on in `fleet.toml`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct AddonTable {
    /// The add-on's name, and that of its directory below `addons/`.
    pub(crate) name: Text<AddonName>,
    /// What the add-on's actions end before: `control-plane`, `nodes`, or an add-on.
    #[serde(default)]
    pub(crate) before: Vec<At<String>>,
    /// What the add-on's actions begin after: `control-plane`, `nodes`, or an add-on.
    #[serde(default)]
    pub(crate) after: Vec<At<String>>,
    /// Kinds that are deleted only when they are named here.
    #[serde(default)]
    pub(crate) prune: Vec<At<PruneKind>>,
    /// Whether a version may live through a hop of the control plane to a minor that it does not
    /// support, if the next version takes its place right after the hop.
    #[serde(default)]
    pub(crate) may_be_unsupported_during_hop: bool,
    /// Whether the add-on moves through every minor between two versions, one after the other.
    #[serde(default)]
    pub(crate) one_minor_at_a_time: bool,
    pub(crate) detect: Option<DetectTable>,
    /// The add-on's versions; only what stands here can be installed.
    #[schemars(length(min = 1))]
    pub(crate) versions: Vec<VersionTable>,
}

/// `clusters/<name>.toml`: one cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ClusterFile {
    pub(crate) cluster: ClusterHead,
    #[serde(default)]
    pub(crate) pins: PinsTable,
    /// Findings that are accepted for a time: what blocks does not, and a warning is a note.
    #[serde(default)]
    pub(crate) accept: Vec<AcceptTable>,
    pub(crate) provider: ProviderTable,
    #[serde(default)]
    pub(crate) drain: DrainTable,
    pub(crate) control_plane: ControlPlaneTable,
    /// The cluster's node pools.
    #[serde(default)]
    pub(crate) node_pools: Vec<PoolTable>,
}

/// The cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ClusterHead {
    /// The cluster's name, unique in the fleet.
    pub(crate) name: Text<ClusterName>,
    /// The channel that the cluster follows.
    pub(crate) channel: Text<ChannelName>,
    /// The context of the kubeconfig that reaches the cluster. Without it: the cluster's name.
    /// Not for simulated clusters.
    pub(crate) context: Option<At<String>>,
    /// What the cluster is like, such as `{ tier = "canary" }`, for waves to choose it by.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// Freezes the cluster: `until 2027-01-04, peak season`, or a reason alone. Up to and with that
    /// day (UTC) nothing is planned for it but to tidy up after a run that did not end.
    pub(crate) freeze: Option<Text<Freeze>>,
    /// The highest version of Kubernetes that the cluster may run, a minor such as `1.34` or a
    /// version. Of a newer release it takes the newest available version within.
    pub(crate) max_version: Option<Text<MaxVersion>>,
    /// How many node pools are rolled at once. They begin as they are declared.
    #[schemars(range(min = 1), extend("default" = MAX_PARALLEL_POOLS))]
    pub(crate) max_parallel_pools: Option<u32>,
    /// The add-on sets of the channel's release that the cluster runs.
    #[serde(default)]
    pub(crate) addon_sets: Vec<At<String>>,
}

/// A cluster in `fleet.toml`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ClusterTable {
    /// The cluster's name, unique in the fleet.
    pub(crate) name: Text<ClusterName>,
    /// The channel that the cluster follows.
    pub(crate) channel: Text<ChannelName>,
    /// The context of the kubeconfig that reaches the cluster. Without it: the cluster's name.
    /// Not for simulated clusters.
    pub(crate) context: Option<At<String>>,
    /// What the cluster is like, such as `{ tier = "canary" }`, for waves to choose it by.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// Freezes the cluster: `until 2027-01-04, peak season`, or a reason alone. Up to and with that
    /// day (UTC) nothing is planned for it but to tidy up after a run that did not end.
    pub(crate) freeze: Option<Text<Freeze>>,
    /// The highest version of Kubernetes that the cluster may run, a minor such as `1.34` or a
    /// version. Of a newer release it takes the newest available version within.
    pub(crate) max_version: Option<Text<MaxVersion>>,
    /// How many node pools are rolled at once. They begin as they are declared.
    #[schemars(range(min = 1), extend("default" = MAX_PARALLEL_POOLS))]
    pub(crate) max_parallel_pools: Option<u32>,
    /// The add-on sets of the channel's release that the cluster runs.
    #[serde(default)]
    pub(crate) addon_sets: Vec<At<String>>,
    #[serde(default)]
    pub(crate) pins: PinsTable,
    /// Findings that are accepted for a time: what blocks does not, and a warning is a note.
    #[serde(default)]
    pub(crate) accept: Vec<AcceptTable>,
    pub(crate) provider: ProviderTable,
    #[serde(default)]
    pub(crate) drain: DrainTable,
    pub(crate) control_plane: ControlPlaneTable,
    /// The cluster's node pools.
    #[serde(default)]
    pub(crate) node_pools: Vec<PoolTable>,
}

/// How nodes are drained: those of the whole cluster, or of one pool.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct DrainTable {
    /// How long the drain of a node waits for pods that run to completion, such as those of Jobs,
    /// before it evicts them. `drain-timeout` comes on top. At most a day.
    #[schemars(extend("default" = WAIT_COMPLETE))]
    pub(crate) wait_complete: Option<Text<Period>>,
}

impl From<ClusterFile> for ClusterTable {
    fn from(file: ClusterFile) -> Self {
        let ClusterFile { cluster, pins, accept, provider, drain, control_plane, node_pools } =
            file;
        let ClusterHead {
            name,
            channel,
            context,
            labels,
            freeze,
            max_version,
            max_parallel_pools,
            addon_sets,
        } = cluster;
        Self {
            name,
            channel,
            context,
            labels,
            freeze,
            max_version,
            max_parallel_pools,
            addon_sets,
            pins,
            accept,
            provider,
            drain,
            control_plane,
            node_pools,
        }
    }
}

/// A finding that is accepted for a time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct AcceptTable {
    /// The finding's code, such as `RF012`.
    pub(crate) finding: Text<Code>,
    /// What the finding is about, as plans show it behind the cluster's name: `shop/cart`,
    /// `control-plane`.
    pub(crate) subject: At<String>,
    /// The last day that it is accepted on (UTC).
    pub(crate) until: Text<Day>,
    /// Why it is accepted.
    pub(crate) reason: At<String>,
}

/// Versions that this cluster runs instead of its channel's.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct PinsTable {
    /// The version of Kubernetes; one of `kubernetes.available` in `fleet.toml`.
    pub(crate) kubernetes: Option<Text<KubeVersion>>,
    /// Versions of add-ons, which a set of the cluster names.
    #[serde(default)]
    pub(crate) addons: SetTable,
}

/// Who runs the cluster's machines.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend(
    "if" = { "properties": { "kind": { "const": "simulated", "description": "Its keys." } } },
    "then" = { "required": ["zones", "start"] },
    "else" = { "required": ["region"] },
))]
pub(crate) struct ProviderTable {
    /// The kind of provider.
    pub(crate) kind: At<ProviderKind>,
    /// `aws`: the region of the cluster's Auto Scaling groups.
    pub(crate) region: Option<At<String>>,
    /// `aws`: the profile of the shared configuration files to take credentials from, also when
    /// the environment has some. Without it: the default chain (environment, `AWS_PROFILE`, web
    /// identity, instance).
    pub(crate) profile: Option<At<String>>,
    /// `aws`: the role to assume, so that a fleet spans accounts.
    pub(crate) role_arn: Option<At<String>>,
    /// `aws`: the external id that the role asks for.
    pub(crate) external_id: Option<At<String>>,
    /// `simulated`: the zones that the cluster's groups span.
    #[schemars(length(min = 1))]
    pub(crate) zones: Option<At<Vec<Text<Zone>>>>,
    /// `simulated`: what runs before anything was applied.
    pub(crate) start: Option<At<StartTable>>,
}

/// A kind of provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProviderKind {
    /// Auto Scaling groups of EC2, and a cluster that the kubeconfig reaches.
    Aws,
    /// The embedded simulator.
    Simulated,
}

/// What runs in a simulated cluster before anything was applied to it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct StartTable {
    /// The version of control plane and nodes.
    pub(crate) kubernetes: Text<KubeVersion>,
    /// The add-ons that refit has installed, by version.
    #[serde(default)]
    pub(crate) addons: SetTable,
    /// The add-ons that somebody else has installed, by version.
    #[serde(default)]
    pub(crate) foreign_addons: SetTable,
    /// The number of instances per Auto Scaling group. Without it: 1 for a group of the control
    /// plane, 3 for one of a pool.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, GroupSize>")]
    pub(crate) group_sizes: BTreeMap<Text<GroupName>, At<u32>>,
    /// What runs on the nodes.
    #[serde(default)]
    pub(crate) workloads: Vec<WorkloadTable>,
}

/// A number of instances.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct GroupSize(#[schemars(range(max = GROUP_SIZE_MAX))] u32);

/// A workload of a simulated cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct WorkloadTable {
    /// The kind of workload.
    #[serde(default)]
    #[schemars(extend("default" = "Deployment"))]
    pub(crate) kind: WorkloadKind,
    /// The workload's namespace.
    #[schemars(extend("default" = NAMESPACE))]
    pub(crate) namespace: Option<String>,
    /// The workload's name.
    pub(crate) name: At<String>,
    /// How many pods it has.
    #[schemars(range(min = 1, max = REPLICAS_MAX))]
    pub(crate) replicas: u32,
    /// Its PodDisruptionBudget's `minAvailable`: a number, or a percentage such as `"50%"`.
    pub(crate) min_available: Option<At<Quantity>>,
    /// Its PodDisruptionBudget's `maxUnavailable`, instead of `min-available`.
    pub(crate) max_unavailable: Option<At<Quantity>>,
    /// Whether each pod has a volume that lives in one zone.
    #[serde(default)]
    pub(crate) zonal_volumes: bool,
    /// How long each pod of a Job runs until it completes.
    #[schemars(extend("default" = COMPLETES_AFTER))]
    pub(crate) completes_after: Option<Text<Period>>,
}

/// A kind of workload.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub(crate) enum WorkloadKind {
    /// Pods that are alike.
    #[default]
    Deployment,
    /// Pods with names.
    StatefulSet,
    /// Pods that run to completion.
    Job,
}

impl WorkloadKind {
    /// The kind as manifests write it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::Job => "Job",
        }
    }
}

/// Which machine image carries a version of Kubernetes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ImageTable {
    /// The image's name, with `{version}` for the version, and `*` for anything.
    pub(crate) name: At<String>,
    /// The account that owns the image.
    #[schemars(extend("default" = IMAGE_OWNER))]
    pub(crate) owner: Option<String>,
    /// The architecture.
    #[serde(default)]
    #[schemars(extend("default" = "x86_64"))]
    pub(crate) architecture: Architecture,
}

/// An architecture of machines.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub(crate) enum Architecture {
    /// Intel and AMD.
    #[default]
    #[serde(rename = "x86_64")]
    X86,
    /// ARM.
    #[serde(rename = "arm64")]
    Arm,
}

impl Architecture {
    /// The architecture as EC2 writes it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "arm64",
        }
    }
}

/// The control plane.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ControlPlaneTable {
    /// The control plane's Auto Scaling groups.
    #[schemars(length(min = 1))]
    pub(crate) auto_scaling_groups: Vec<Text<GroupName>>,
    pub(crate) image: ImageTable,
    /// How etcd's members live.
    #[serde(default)]
    #[schemars(extend("default" = "volumes"))]
    pub(crate) etcd: Etcd,
    /// Whether kubelet, controller-manager and scheduler of an instance talk to the apiserver of
    /// that instance, as with kops.
    #[schemars(extend("default" = true))]
    pub(crate) local_api: Option<bool>,
    /// How long the drain of one instance may take.
    #[schemars(extend("default" = NODE_TIMEOUT))]
    pub(crate) drain_timeout: Option<Text<Period>>,
    /// How long a new instance may take to be ready, its etcd member included.
    #[schemars(extend("default" = NODE_TIMEOUT))]
    pub(crate) node_ready_timeout: Option<Text<Period>>,
    /// How long the kubelet of an instance may not answer before it is terminated without a drain.
    #[schemars(extend("default" = UNREACHABLE_TIMEOUT))]
    pub(crate) unreachable_timeout: Option<Text<Period>>,
}

/// How etcd's members live.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Etcd {
    /// On volumes that a new instance attaches again, as with kops' etcd-manager.
    #[default]
    Volumes,
    /// On machines that refit does not touch.
    External,
}

/// A node pool.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct PoolTable {
    /// The pool's name, unique in the cluster.
    pub(crate) name: Text<PoolName>,
    /// The pool's Auto Scaling groups.
    #[schemars(length(min = 1))]
    pub(crate) auto_scaling_groups: Vec<Text<GroupName>>,
    pub(crate) image: ImageTable,
    /// Who replaces the pool's nodes.
    #[serde(default)]
    #[schemars(extend("default" = "roll"))]
    pub(crate) update_strategy: Update,
    /// Whether a newer image of the same version is a change.
    #[serde(default)]
    #[schemars(extend("default" = "same-version"))]
    pub(crate) images: Images,
    /// How many nodes more than usual there may be: a number, or a percentage such as `"10%"`,
    /// rounded up.
    #[schemars(extend("default" = MAX_SURGE))]
    pub(crate) max_surge: Option<At<Quantity>>,
    /// How many nodes fewer than usual there may be: a number, or a percentage such as `"10%"`,
    /// rounded down. Not zero together with `max-surge`.
    #[schemars(extend("default" = MAX_UNAVAILABLE))]
    pub(crate) max_unavailable: Option<At<Quantity>>,
    /// How long the drain of one node may take.
    #[schemars(extend("default" = NODE_TIMEOUT))]
    pub(crate) drain_timeout: Option<Text<Period>>,
    /// How long a new node may take to be ready.
    #[schemars(extend("default" = NODE_TIMEOUT))]
    pub(crate) node_ready_timeout: Option<Text<Period>>,
    /// How long to wait after a node before the next.
    #[schemars(extend("default" = NODE_INTERVAL))]
    pub(crate) node_interval: Option<Text<Period>>,
    /// How long the kubelet of a node may not answer before a roll terminates the node without a
    /// drain.
    #[schemars(extend("default" = UNREACHABLE_TIMEOUT))]
    pub(crate) unreachable_timeout: Option<Text<Period>>,
    /// How its nodes are drained, where that differs from the cluster's `drain`.
    #[serde(default)]
    pub(crate) drain: DrainTable,
}

/// Who replaces a pool's nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Update {
    /// refit does, within the pool's bounds.
    #[default]
    Roll,
    /// Somebody else does, by deleting them. refit only points the groups at the new version.
    OnDelete,
}

/// Whether a newer image of the same version is a change.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Images {
    /// It is a note; nodes are replaced when their version changes.
    #[default]
    SameVersion,
    /// It is a change.
    Newest,
}
