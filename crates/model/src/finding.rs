//! Findings: what planning has to tell, with a code that stays.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AddonName, ClusterName, PoolName};

/// A finding's code. The documentation lists them; a code never changes its meaning.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Code {
    /// A cluster could not be read.
    RF001,
    /// The snapshot has no such cluster.
    RF002,
    /// Two clusters of the files are the same cluster.
    RF003,
    /// A node of the cluster is not an instance of a declared group, and blocks a hop.
    RF004,
    /// A declared Auto Scaling group does not exist.
    RF005,
    /// A group uses a feature that refit does not roll.
    RF006,
    /// No image for a version.
    RF007,
    /// A newer image of the same version exists.
    RF008,
    /// A group launches nodes that are newer than the control plane.
    RF009,
    /// No room to surge and nothing may be unavailable.
    RF010,
    /// The control plane is not in a state that an upgrade can start from.
    RF011,
    /// A PodDisruptionBudget never allows an eviction.
    RF012,
    /// A pod is selected by more than one PodDisruptionBudget.
    RF013,
    /// A pod that nobody replaces would be lost.
    RF014,
    /// A live version is newer than the declared one.
    RF015,
    /// No version between two minors is available.
    RF016,
    /// The skew policy is broken now, or would be on the way.
    RF017,
    /// No version of an add-on supports a hop.
    RF018,
    /// An add-on's requirement is not met on the way.
    RF019,
    /// A foreign copy of an add-on has a manager that still writes.
    RF020,
    /// An add-on's fields were changed by hand.
    RF021,
    /// The control plane has a single instance: the API is away while it is replaced.
    RF022,
    /// An HA roll by image is not possible when components talk to every apiserver.
    RF023,
    /// An etcd member is not Ready.
    RF024,
    /// A later wave waits for a cluster that is blocked.
    RF025,
    /// Order constraints of add-ons exclude each other.
    RF026,
    /// The verifier refuses the plan: a defect of refit, please report it.
    RF027,
    /// kube-proxy runs as a DaemonSet that no add-on owns.
    RF028,
    /// A pod's volume lives in a zone that its pool has no other node in.
    RF029,
    /// A pool has no node.
    RF030,
    /// An add-on uses an API that a minor on the way does not serve.
    RF031,
    /// The maintenance of a declared minor ends, or has ended.
    RF032,
    /// An add-on goes to a minor that its project did not test it with.
    RF033,
    /// Who decided which minors an add-on supports, when it is not its file alone.
    RF034,
    /// An add-on is not supported while a hop is under way.
    RF035,
    /// An apiserver emulates an older minor, and something would have to move past it.
    RF036,
    /// The objects of an add-on could not be read.
    RF037,
    /// A lifecycle hook may hold an instance longer than a roll waits for it.
    RF038,
    /// A CustomResourceDefinition would drop a version that objects may be stored in.
    RF039,
    /// A wave that comes first is left out, and is not done.
    RF040,
    /// A cluster is frozen, and something waits for the end of that.
    RF041,
    /// A cluster does not go to its release's version, because of its `max-version`.
    RF042,
    /// Nodes that are replaced when somebody deletes them run another version than declared.
    RF043,
    /// No step from what an add-on is to what it shall be is allowed.
    RF044,
    /// Add-ons that cannot live together would meet on the way.
    RF045,
    /// Add-ons are bound to each other in too many ways to be searched.
    RF046,
    /// Parts that a plan is not about are not what the files say.
    RF047,
    /// Replacing a control-plane instance would cost etcd its quorum.
    RF048,
    /// A scaling process that a roll needs is suspended.
    RF049,
    /// Pods of a PodDisruptionBudget are not healthy, so it allows no eviction now.
    RF050,
    /// Nodes are not Ready, or cordoned by somebody else, before the start.
    RF051,
    /// An instance in service is no node of the cluster.
    RF052,
    /// Pods are terminating, or volumes detaching, before the start.
    RF053,
    /// A roll surges less than its pool declares.
    RF054,
    /// An add-on moves past a version that asks for work by hand.
    RF055,
    /// A later channel gets a version before all earlier ones.
    RF056,
    /// Pods that run to completion or ask not to be evicted are evicted.
    RF057,
    /// A release has changed since it was first applied.
    RF058,
    /// An acceptance matches no finding.
    RF059,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// How much a finding weighs, the heaviest first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing is planned for its subject.
    Blocked,
    /// The check could not run; that blocks as well.
    Unknown,
    /// It may go wrong.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// Whether nothing is planned for the subject.
    pub fn blocks(self) -> bool {
        matches!(self, Self::Blocked | Self::Unknown)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Blocked => "blocked",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// What a finding is about.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Subject {
    /// The cluster.
    pub cluster: ClusterName,
    /// The part of it, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

impl Subject {
    /// The cluster as a whole.
    pub fn cluster(cluster: &ClusterName) -> Self {
        Self { cluster: cluster.clone(), part: None }
    }

    /// One node pool.
    pub fn pool(cluster: &ClusterName, pool: &PoolName) -> Self {
        Self::part(cluster, pool)
    }

    /// One add-on.
    pub fn addon(cluster: &ClusterName, addon: &AddonName) -> Self {
        Self::part(cluster, addon)
    }

    /// Anything else, by the name that people know it by.
    pub fn part(cluster: &ClusterName, part: &(impl fmt::Display + ?Sized)) -> Self {
        Self { cluster: cluster.clone(), part: Some(part.to_string()) }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            Some(part) => write!(f, "{} {part}", self.cluster),
            None => self.cluster.fmt(f),
        }
    }
}

/// Something that planning has to tell.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// Its code.
    pub code: Code,
    /// What it is about.
    pub subject: Subject,
    /// What was seen.
    pub evidence: String,
    /// What to do; empty when nothing needs to be done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}
