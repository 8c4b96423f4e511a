//! What `refit explain` tells of a plan: of a cluster, or of actions. Data; `refit-render` makes
//! prose of it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Action, ActionId, AddonName, AddonVersion, Because, ChannelName, Claim, ClusterName,
    ClusterPlan, Finding, FleetName, KubeVersion, Location, Minor, ObjectRef, Origin, PlanId,
    PoolName, Served, Span, VersionRange,
};

/// Why a plan is as it is, for one cluster or for some actions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Explanation {
    /// The version of this format.
    pub format_version: String,
    /// The fleet.
    pub fleet: FleetName,
    /// The plan.
    pub plan: PlanId,
    /// Whether the files were at hand that the plan was made from. Without them nothing is told
    /// of what was not chosen, nor of who says what.
    pub with_files: bool,
    /// What is explained.
    pub about: About,
}

impl Explanation {
    /// The version of the format.
    pub const FORMAT: &str = "2.0";
}

/// What is explained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// A cluster.
    Cluster(Box<ClusterExplanation>),
    /// A part of a cluster: its control plane, a node pool, an add-on.
    Part {
        /// The cluster.
        cluster: ClusterName,
        /// The part.
        part: String,
        /// What planning has to tell of the part.
        findings: Vec<Finding>,
        /// Its actions, in order; empty when nothing is to be done.
        actions: Vec<ActionExplanation>,
    },
    /// One action.
    Action(Box<ActionExplanation>),
}

/// An action, as far as others are told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ActionRef {
    /// Its id.
    pub id: ActionId,
    /// Its cluster; none for the end of a wave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// What it does, in words.
    pub what: String,
}

/// A cluster and its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClusterExplanation {
    /// Where it stands.
    pub cluster: ClusterPlan,
    /// Where its version of Kubernetes is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared_at: Option<Location>,
    /// What planning has to tell of it, the heaviest first.
    pub findings: Vec<Finding>,
    /// Its wave, if the plan has something to do in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<WaveExplanation>,
    /// How long it may be expected to take, once it has begun.
    pub takes: Span,
    /// Its actions in order: none begins before one that stands earlier has ended, unless both
    /// have the same `depth`.
    pub way: Vec<WayStep>,
}

/// One action of a cluster's way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WayStep {
    /// The action.
    pub action: ActionRef,
    /// How many actions of the cluster are in the longest chain before it.
    pub depth: u32,
    /// Why it waits for others of the cluster.
    pub waits_for: Vec<Link>,
}

/// A wave, and those that it waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WaveExplanation {
    /// The channel.
    pub channel: ChannelName,
    /// From 1.
    pub wave: u32,
    /// How many clusters of the channel may be worked on at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel_clusters: Option<u32>,
    /// After how many failed clusters no further one of the wave starts.
    pub max_failed_clusters: u32,
    /// The waves that end first, in order.
    pub after: Vec<EarlierWave>,
}

/// A wave that ends first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EarlierWave {
    /// From 1.
    pub wave: u32,
    /// The action that ends it.
    pub end: ActionId,
    /// Its clusters that have something to do.
    pub clusters: BTreeSet<ClusterName>,
    /// How many of them may fail.
    pub max_failed_clusters: u32,
}

/// An action, and everything that there is to tell of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ActionExplanation {
    /// The action, with why it is there, what it expects and leaves, its bounds, and whether it
    /// can be undone.
    pub action: Action,
    /// How long it may be expected to take.
    pub takes: Span,
    /// How many earlier actions that rests on; 0: on none, but on its bounds.
    pub measured: u32,
    /// The actions that end before it begins.
    pub waits_for: Vec<Wait>,
    /// The actions that begin after it has ended.
    pub awaited_by: Vec<Link>,
    /// Why this version, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<Choice>,
}

/// An action that is waited for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Wait {
    /// The action, and why it is waited for.
    pub link: Link,
    /// What that one waits for in turn, and so on to an action that waits for none: of several
    /// ways back the one that takes longest.
    pub chain: Vec<Link>,
}

/// An action, and why another one and it follow each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Link {
    /// The action.
    pub action: ActionRef,
    /// Why; never empty.
    pub because: Vec<Reason>,
}

/// A reason, and who says what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Reason {
    /// The reason.
    pub because: Because,
    /// Who says what it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said_by: Option<Origin>,
}

/// Why this version, or why now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// The version of an add-on.
    Addon(Box<AddonChoice>),
    /// The patch that a control plane goes to.
    Patch {
        /// Why that one.
        why: WhyPatch,
        /// What else `available` has of that minor, ascending.
        others: Vec<KubeVersion>,
    },
    /// The moment of a roll.
    Moment {
        /// The pool.
        pool: PoolName,
        /// Why it does not begin earlier; none: nothing comes before it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        earlier: Option<WhyNotEarlier>,
        /// Why it is not later.
        later: WhyNotLater,
    },
}

/// Why a control plane goes to a patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhyPatch {
    /// It is declared for the cluster.
    Declared {
        /// Where.
        at: Location,
        /// Whether by a pin of the cluster.
        pinned: bool,
    },
    /// It is the newest version that the cluster's `max-version` allows.
    Capped {
        /// Where that was written.
        at: Location,
    },
    /// It is the newest of its minor in `available` of `[kubernetes]`.
    Newest,
    /// An earlier run has begun to bring it.
    HalfDone,
}

/// Why a roll does not begin earlier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhyNotEarlier {
    /// Before that hop, its nodes would be newer than an apiserver.
    TooNew {
        /// The hop.
        hop: ActionRef,
        /// The oldest apiserver before it.
        #[serde(rename = "api-server")]
        api_server: KubeVersion,
    },
    /// Nothing but the order: a cluster changes one thing at a time.
    OneAtATime {
        /// What comes first.
        after: ActionRef,
    },
}

/// Why a roll is not later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhyNotLater {
    /// After that hop, its nodes would be further behind than they may.
    TooOld {
        /// The hop.
        hop: ActionRef,
        /// What the nodes run.
        kubelet: KubeVersion,
        /// How many minors it may be behind.
        #[serde(rename = "at-most")]
        at_most: u16,
    },
    /// That hop goes back, and nodes go back before it.
    GoesBack {
        /// The hop.
        hop: ActionRef,
        /// What the nodes run.
        kubelet: KubeVersion,
    },
    /// No hop comes after it.
    Last,
    /// An add-on that moves after it needs its nodes to be rolled.
    ForAddon {
        /// The add-on.
        addon: AddonName,
    },
    /// Nothing forces it: no rule would be broken by a later roll.
    Free {
        /// The hop that comes after it.
        hop: ActionRef,
    },
}

/// The version of an add-on, and the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AddonChoice {
    /// The add-on.
    pub addon: AddonName,
    /// The version that the action brings.
    pub chosen: AddonVersion,
    /// What is known of it; none: its manifests are not in the repository any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<Support>,
    /// What is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<DeclaredVersion>,
    /// What lives from the beginning of the action to the end of the add-on's next one.
    pub lives: Lives,
    /// Every other version with manifests in the repository, ascending.
    pub others: Vec<OtherVersion>,
}

/// A version of an add-on that is declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DeclaredVersion {
    /// The version.
    pub version: AddonVersion,
    /// Where it is declared.
    pub at: Location,
    /// Whether by a pin of the cluster.
    pub pinned: bool,
    /// The set that names the add-on.
    pub set: String,
}

/// What lives at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lives {
    /// The minors of apiservers.
    pub api_servers: BTreeSet<Minor>,
    /// The minors of kubelets.
    pub kubelets: BTreeSet<Minor>,
}

/// What a version of an add-on supports, and who says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Support {
    /// The apiservers.
    pub kubernetes: VersionRange<Minor>,
    /// The kubelets; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubelets: Option<VersionRange<Minor>>,
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said_by: Option<Origin>,
    /// What the catalogue says of it, whoever decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

/// A version that was not chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OtherVersion {
    /// The version.
    pub version: AddonVersion,
    /// What it supports.
    pub support: Support,
    /// Why not; never empty.
    pub why_not: Vec<WhyNot>,
}

/// Why a version was not chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhyNot {
    /// It is what is there.
    IsThere,
    /// It is older than what is there, and nothing goes back by itself.
    Older {
        /// What is there.
        there: AddonVersion,
    },
    /// It is newer than what is declared.
    Newer,
    /// It does not support apiservers that live then.
    ApiServers {
        /// Their minors.
        minors: BTreeSet<Minor>,
    },
    /// It does not support kubelets that live then.
    Kubelets {
        /// Their minors.
        minors: BTreeSet<Minor>,
    },
    /// It has an object whose API an apiserver that lives then does not serve.
    NotServed {
        /// The object.
        object: ObjectRef,
        /// Where it was written.
        at: Location,
        /// The minor that does not serve it.
        minor: Minor,
        /// When its API is served.
        served: Served,
    },
    /// What it requires is not there then.
    Requires {
        /// The add-on that it requires.
        addon: AddonName,
        /// In which versions.
        range: VersionRange<AddonVersion>,
        /// The versions that are there then; empty: none.
        there: BTreeSet<AddonVersion>,
    },
    /// An add-on that is there then does not go with it.
    RequiredBy {
        /// That add-on.
        addon: AddonName,
        /// Its version.
        version: AddonVersion,
        /// What it requires.
        range: VersionRange<AddonVersion>,
    },
    /// It and an add-on that is there then cannot live together.
    Conflicts {
        /// That add-on.
        addon: AddonName,
        /// Its version.
        version: AddonVersion,
    },
    /// Its file does not let the add-on go to it from what is there.
    NoStep {
        /// What is there.
        from: AddonVersion,
    },
    /// It does not list the version that objects are stored in.
    DropsStored {
        /// The CustomResourceDefinition.
        crd: String,
        /// The version that objects are stored in.
        stored: String,
    },
    /// No step leads from it to the version that comes next.
    NoStepOn {
        /// That version.
        to: AddonVersion,
    },
    /// It is not what is declared, and nothing asks for a version in between.
    NotDeclared,
    /// It would do as a version in between, and the chosen one is newer.
    OlderBridge,
    /// It fits by itself. With it, the add-ons of the cluster would need more moves, or have no
    /// order.
    NoPlace,
}
