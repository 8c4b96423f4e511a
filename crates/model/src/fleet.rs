//! What users declare, validated: the [`Fleet`].
//!
//! `refit-config` makes it from TOML. Every reference in it holds: a cluster's
//! channel, release, add-on sets and versions exist, and each value that a plan
//! may have to explain carries the place where it was written.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Acceptance, Addon, AddonName, AddonVersion, Capped, ChannelName, ClusterName, Date, Digest,
    FleetName, Freeze, GroupName, IntOrPercent, KubeVersion, Minor, Period, PoolName, ReleaseName,
    Source, Timestamp, Written, Zone, digest_of,
};

/// Where something was written: a file relative to the fleet's directory, and a line from 1.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub struct Location {
    /// Relative to the fleet's directory, with `/`.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Everything that is declared.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The fleet's name.
    pub name: FleetName,
    /// The digest of all files that were read, manifests included.
    pub digest: Digest,
    /// Where the state is kept, relative to the fleet's directory.
    pub state_path: String,
    /// The versions that a control plane may run on its way, ascending.
    pub available: Vec<KubeVersion>,
    /// In order of promotion.
    pub channels: Vec<Channel>,
    /// By name.
    pub releases: BTreeMap<ReleaseName, Release>,
    /// By name.
    pub addons: BTreeMap<AddonName, Addon>,
    /// When the maintenance of a minor ends, as far as it is known.
    pub end_of_life: BTreeMap<Minor, EndOfLife>,
    /// By name.
    pub clusters: BTreeMap<ClusterName, Cluster>,
}

/// When the maintenance of a minor of Kubernetes ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndOfLife {
    /// The day, in UTC.
    pub on: Date,
    /// Where it was read.
    pub source: Source,
}

impl EndOfLife {
    /// How many whole days of maintenance are left, the last one included; negative when it is
    /// over.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        let today = jiff::tz::Offset::UTC.to_datetime(now).date();
        let days = |date: Date| date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24;
        days(self.on) - days(today)
    }
}

impl Fleet {
    /// The channel of that name.
    pub fn channel(&self, name: &ChannelName) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.name == *name)
    }

    /// The newest patch of the minor that a control plane may run on its way.
    pub fn newest_patch(&self, minor: Minor) -> Option<&KubeVersion> {
        self.available.iter().filter(|version| version.minor() == minor).max()
    }
}

/// A channel: the release that its clusters run, and how it spreads over them.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// The release that it carries.
    pub release: ReleaseName,
    /// In order; never empty: without any in the files there is one of 100 %.
    pub waves: Vec<WaveSpec>,
    /// How many clusters of it may be worked on at once; none: no limit but `--parallelism`.
    pub max_parallel_clusters: Option<u32>,
    /// After how many failed clusters of one wave the next wave still starts.
    pub max_failed_clusters: u32,
}

/// Which clusters of a channel a wave takes, of those that no wave before it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaveSpec {
    /// These.
    Clusters(BTreeSet<ClusterName>),
    /// Those that have all of these labels.
    Labels(BTreeMap<String, String>),
    /// So many that this share of the channel is reached, by name, rounded up.
    Percent(u8),
}

/// An immutable bundle of versions.
#[derive(Clone, Debug)]
pub struct Release {
    /// Its name.
    pub name: ReleaseName,
    /// The version of Kubernetes.
    pub kubernetes: KubeVersion,
    /// Per set, the version of each add-on in it.
    pub addon_sets: BTreeMap<String, BTreeMap<AddonName, AddonVersion>>,
    /// Where the release was written.
    pub at: Location,
}

impl Release {
    /// The digest of what the release contains: the version of Kubernetes, and the versions of the
    /// add-ons of each set. Its name, its place, comments and the order of lines do not count.
    pub fn content_digest(&self) -> Digest {
        let Self { name: _, kubernetes, addon_sets, at: _ } = self;
        digest_of(&(kubernetes, addon_sets))
    }
}

/// What is recorded of a release when a run begins to apply it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RecordedRelease {
    /// The digest of what it contained.
    pub digest: Digest,
    /// When it was recorded.
    pub at: Timestamp,
}

/// A wanted value, who asked for it, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Target<T> {
    /// The value.
    pub value: T,
    /// Whether a pin of the cluster, or its `max-version`, decided instead of its channel's
    /// release.
    pub pinned: bool,
    /// Where the value was written.
    pub at: Location,
}

/// The version of an add-on that a cluster should run, and the set that brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddonTarget {
    /// The version.
    pub version: Target<AddonVersion>,
    /// The first of the cluster's sets that names the add-on.
    pub set: String,
}

/// One cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// The channel that it follows.
    pub channel: ChannelName,
    /// What its file says of it, for waves to choose by.
    pub labels: BTreeMap<String, String>,
    /// The channel's release.
    pub release: ReleaseName,
    /// The version of Kubernetes that it should run.
    pub kubernetes: Target<KubeVersion>,
    /// What its release declares instead, if its `max-version` keeps it from that.
    pub capped: Option<Capped>,
    /// A time in which nothing is planned for it.
    pub freeze: Option<Written<Freeze>>,
    /// Findings that are accepted for a time.
    pub accepts: Vec<Written<Acceptance>>,
    /// The add-ons that it should run.
    pub addons: BTreeMap<AddonName, AddonTarget>,
    /// Who runs its machines.
    pub provider: Provider,
    /// Its control plane.
    pub control_plane: ControlPlane,
    /// Its node pools, as declared.
    pub pools: Vec<NodePool>,
    /// How many of them may be rolled at once.
    pub max_parallel_pools: u32,
    /// Where the cluster was written.
    pub at: Location,
}

impl Cluster {
    /// Whether it has all of these labels.
    pub fn has_labels(&self, wanted: &BTreeMap<String, String>) -> bool {
        wanted.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }

    /// The pool of that name.
    pub fn pool(&self, name: &PoolName) -> Option<&NodePool> {
        self.pools.iter().find(|pool| pool.name == *name)
    }
}

/// Who runs a cluster's machines.
#[derive(Clone, Debug, PartialEq)]
pub enum Provider {
    /// Auto Scaling groups of EC2, and a cluster that the kubeconfig reaches.
    Aws(AwsCluster),
    /// The embedded simulator.
    Simulated(SimulatedStart),
}

/// Where a cluster on EC2 Auto Scaling is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsCluster {
    /// The context of the kubeconfig.
    pub context: String,
    /// The region of its groups.
    pub region: String,
    /// The profile of the shared configuration files; none: the default chain.
    pub profile: Option<String>,
    /// The role to assume.
    pub role_arn: Option<String>,
    /// The external id that the role asks for.
    pub external_id: Option<String>,
}

/// What runs in a simulated cluster before anything was applied to it.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedStart {
    /// The zones that its groups span.
    pub zones: Vec<Zone>,
    /// What control plane and nodes run.
    pub kubernetes: KubeVersion,
    /// The add-ons that refit has installed, by version.
    pub addons: BTreeMap<AddonName, AddonVersion>,
    /// The add-ons that somebody else has installed.
    pub foreign_addons: BTreeMap<AddonName, AddonVersion>,
    /// Number of instances per group; a group of the control plane has one if it is not named,
    /// one of a pool three.
    pub group_sizes: BTreeMap<GroupName, u32>,
    /// What runs on the nodes.
    pub workloads: Vec<SimulatedWorkload>,
}

/// A workload of a simulated cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedWorkload {
    /// `Deployment`, `StatefulSet` or `Job`, namespace and name.
    pub workload: crate::WorkloadRef,
    /// How many pods.
    pub replicas: u32,
    /// Its PodDisruptionBudget, if it has one.
    pub budget: Option<WorkloadBudget>,
    /// Whether each pod has a volume that lives in one zone.
    pub zonal_volumes: bool,
    /// How long each pod of a Job runs until it completes.
    pub completes_after: Period,
}

/// What a PodDisruptionBudget allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadBudget {
    /// At least so many stay available; a percentage rounds up.
    MinAvailable(IntOrPercent),
    /// At most so many are unavailable; a percentage rounds up.
    MaxUnavailable(IntOrPercent),
}

/// How the members of etcd live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EtcdLayout {
    /// On volumes that a replacement attaches again (kops' etcd-manager).
    Volumes,
    /// On machines that refit does not touch.
    External,
}

/// A cluster's control plane.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    /// Its Auto Scaling groups.
    pub groups: Vec<GroupName>,
    /// Which image carries which version.
    pub image: ImagePattern,
    /// How etcd's members live.
    pub etcd: EtcdLayout,
    /// Whether kubelet, controller-manager and scheduler of an instance talk to the apiserver
    /// of that instance (the kops layout), and are bound by the skew policy to that one only.
    pub local_api: bool,
    /// How long the drain of one instance may take.
    pub drain_timeout: Period,
    /// How long one replacement may take to be Ready, its etcd member included.
    pub node_ready_timeout: Period,
    /// How long the kubelet of an instance may not answer before the instance is terminated
    /// without a drain.
    pub unreachable_timeout: Period,
    /// How long the drain of one instance waits for pods that run to completion before it evicts
    /// them.
    pub wait_complete: Period,
}

/// A node pool.
#[derive(Clone, Debug)]
pub struct NodePool {
    /// Its name.
    pub name: PoolName,
    /// Its Auto Scaling groups.
    pub groups: Vec<GroupName>,
    /// Which image carries which version.
    pub image: ImagePattern,
    /// Who replaces its nodes.
    pub update: UpdateStrategy,
    /// Whether a newer image of the same version is a change.
    pub images: ImagePolicy,
    /// How many nodes more than usual there may be.
    pub max_surge: IntOrPercent,
    /// How many nodes fewer than usual there may be.
    pub max_unavailable: IntOrPercent,
    /// How long the drain of one node may take.
    pub drain_timeout: Period,
    /// How long a new node may take to be Ready.
    pub node_ready_timeout: Period,
    /// How long the kubelet of a node may not answer before the node is terminated without a drain.
    pub unreachable_timeout: Period,
    /// How long the drain of one node waits for pods that run to completion before it evicts them.
    pub wait_complete: Period,
    /// How long to wait after a node before the next.
    pub node_interval: Period,
}

/// Who replaces the nodes of a pool when they are to run another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateStrategy {
    /// refit does.
    Roll,
    /// Somebody else does, by deleting them: refit only sees to what their groups launch.
    OnDelete,
}

/// Which image carries a version of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImagePattern {
    /// With `{version}`, and `*` for anything.
    pub name: String,
    /// The account that owns the image, or `self`.
    pub owner: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
}

impl ImagePattern {
    /// Whether `name` is an image of `version`: 1.34.31 is not 1.34.3, whatever the pattern has after
    /// it.
    pub fn matches(&self, version: &KubeVersion, name: &str) -> bool {
        let literal = self.name.bytes().take_while(|byte| !matches!(byte, b'*' | b'{')).count();
        let (literal, pattern) = self.name.split_at(literal);
        let Some(name) = name.strip_prefix(literal) else { return false };
        let (pattern, name) = match pattern.strip_prefix("{version}") {
            None => (pattern, Some(name.as_bytes())),
            Some(rest) => (rest, version.strip_from(name.as_bytes())),
        };
        name.is_some_and(|name| glob(spelled(pattern, version).as_bytes(), name))
    }
}

/// A pattern with the version in its place.
fn spelled<'a>(pattern: &'a str, version: &KubeVersion) -> Cow<'a, str> {
    if pattern.contains('{') {
        Cow::Owned(pattern.replace("{version}", &version.plain()))
    } else {
        Cow::Borrowed(pattern)
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for anything. Linear backtracking.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            p = star_p + 1;
            t = star_t + 1;
            star = Some((star_p, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Whether a newer image of the same version is a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagePolicy {
    /// It is a note; nodes are replaced when their version changes.
    SameVersion,
    /// It is a change.
    Newest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_belongs_to_one_version() {
        let pattern = ImagePattern {
            name: "acme-k8s-{version}-*".into(),
            owner: "self".into(),
            architecture: "x86_64".into(),
        };
        let version = KubeVersion::new(1, 34, 3);
        assert!(pattern.matches(&version, "acme-k8s-1.34.3-20261101"));
        assert!(!pattern.matches(&version, "acme-k8s-1.34.31-20261101"));
        assert!(!pattern.matches(&version, "acme-k8s-1.33.3-20261101"));
        let loose = ImagePattern { name: "acme-k8s-{version}*".into(), ..pattern };
        for (name, is_it) in [
            ("acme-k8s-1.34.3", true),
            ("acme-k8s-1.34.3-20261101", true),
            ("acme-k8s-1.34.31-20261101", false),
            ("acme-k8s-1.34", false),
            ("other-1.34.3", false),
        ] {
            assert_eq!(loose.matches(&version, name), is_it, "{name}");
        }
        let twice = ImagePattern { name: "*-{version}-k8s-{version}".into(), ..loose };
        assert!(twice.matches(&version, "acme-1.34.3-k8s-1.34.3"));
        assert!(!twice.matches(&version, "acme-1.34.3-k8s-1.34.2"));
        assert!(glob(b"a*b*c", b"a-b-b-c") && !glob(b"a*b*c", b"a-b-b-d"));
        assert!(glob(b"*", b"") && glob(b"**", b"x") && !glob(b"", b"x"));
    }
}
