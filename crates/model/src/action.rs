//! Actions: guarded transitions, and the edges between them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::skew::SkewRule;
use crate::{
    ActionId, AddonMark, AddonName, AddonVersion, ChannelName, ClusterName, ClusterState,
    CrdMigration, Digest, GroupName, ImageId, InstanceId, KubeVersion, Location, Milestone, Minor,
    ObjectRef, Period, PoolName, Precheck, ReleaseName, StateGuard,
};

/// One guarded transition of a plan.
///
/// Running it starts with a look: is the state already what it would leave, what it expects,
/// or another one? So an action can be run again at any time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Action {
    /// A digest of cluster, kind and hop: planning again keeps it.
    pub id: ActionId,
    /// The cluster; none for the end of a wave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// What is done.
    pub kind: ActionKind,
    /// The state that it expects to find.
    pub expect: Arc<StateGuard>,
    /// The state that it will leave.
    pub ensure: Arc<StateGuard>,
    /// What it must never exceed.
    pub bounds: Bounds,
    /// After how long it has failed; a storage migration: after how long without any progress.
    pub timeout: Period,
    /// How long it may be expected to take.
    pub estimate: Period,
    /// Whether it can be undone.
    pub reversible: Reversibility,
    /// Why it is there.
    pub why: Why,
}

impl Action {
    /// How long an add-on's workloads may take to roll out.
    pub const ADDON_TIMEOUT: Period = Period::minutes(20);
    /// How long a storage migration may go on without any progress.
    pub const MIGRATION_TIMEOUT: Period = Period::minutes(20);
    /// How long it may take to point groups at an image: a few API calls and their retries.
    pub const PIN_TIMEOUT: Period = Period::minutes(10);
    /// The end of a wave waits for its clusters, whose actions have timeouts of their own.
    pub const WAVE_TIMEOUT: Period = Period::MAX;

    /// The id of an action of this kind on this cluster.
    pub fn id_of(cluster: Option<&ClusterName>, kind: &ActionKind) -> ActionId {
        let mut identity = String::with_capacity(80);
        kind.identify(&mut identity).expect("a string takes everything");
        ActionId::digest_of(&(cluster, identity))
    }

    /// Looks whether the action may start.
    pub fn precheck(&self, live: &ClusterState) -> Precheck {
        StateGuard::precheck(&self.expect, &self.ensure, live)
    }
}

/// What an action does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActionKind {
    /// Lets groups launch what their control plane already can take, before anything else.
    PinGroups {
        /// The image that each group must launch.
        images: BTreeMap<GroupName, ImageId>,
    },
    /// Replaces the control plane's instances, one at a time.
    ControlPlaneHop {
        /// What it runs before.
        from: Arc<BTreeSet<KubeVersion>>,
        /// What it runs after.
        to: KubeVersion,
        /// The image of each group.
        images: ImagePins,
        /// How many instances there were when the plan was made.
        instances: u32,
    },
    /// Replaces a pool's nodes within bounds.
    NodePoolRoll {
        /// The pool.
        pool: PoolName,
        /// What its nodes run before.
        from: Arc<BTreeSet<KubeVersion>>,
        /// What they run after.
        to: KubeVersion,
        /// The image of each group.
        images: ImagePins,
        /// How many nodes there were when the plan was made.
        nodes: u32,
        /// What makes the roll necessary.
        cause: RollCause,
        /// With [`RollCause::Asked`]: the instances that are to be replaced.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        replace: BTreeSet<InstanceId>,
    },
    /// Gives back what a run that did not end has changed on machines, and replaces none: for
    /// clusters that nothing else can be planned for.
    TidyUp {
        /// The pool; none: the control plane.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pool: Option<PoolName>,
        /// Its groups.
        groups: BTreeSet<GroupName>,
    },
    /// Installs an add-on, or moves it to another version, or repairs it.
    AddonApply {
        /// The add-on.
        addon: AddonName,
        /// What is there.
        from: AddonMark,
        /// What will be there.
        to: AddonVersion,
        /// Of the manifests.
        digest: Digest,
        /// What is there and not in the manifests, and is deleted.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        deletes: BTreeSet<ObjectRef>,
    },
    /// Takes over a copy that somebody else installed, then applies.
    AddonAdopt {
        /// The add-on.
        addon: AddonName,
        /// The foreign copy's version.
        from: String,
        /// What will be there.
        to: AddonVersion,
        /// Of the manifests.
        digest: Digest,
        /// The field managers whose fields are taken.
        managers: BTreeSet<String>,
    },
    /// Writes all objects of CustomResourceDefinitions back as they are, so that they are stored in
    /// the storage version, and no definition has to list an older one any more.
    StorageMigration {
        /// The add-on that the definitions are of.
        addon: AddonName,
        /// The version that does not list what is stored, and comes next.
        before: AddonVersion,
        /// The definitions, by name.
        crds: BTreeMap<String, CrdMigration>,
    },
    /// Removes an add-on that refit installed and that no set names any more.
    AddonRemove {
        /// The add-on.
        addon: AddonName,
        /// The version that is there.
        from: AddonVersion,
        /// What is deleted.
        objects: BTreeSet<ObjectRef>,
        /// What is kept, because its kind is not named in the add-on's `prune`.
        kept: BTreeSet<ObjectRef>,
    },
    /// Waits until a wave's clusters are done.
    FinishWave {
        /// The channel.
        channel: ChannelName,
        /// The wave, from 1.
        wave: u32,
        /// How many of its clusters may have failed when the plan has run.
        max_failed_clusters: u32,
    },
}

impl ActionKind {
    /// What an action's id is made of: the target, the kind and the hop, nothing that churns.
    fn identify(&self, f: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::PinGroups { images } => {
                f.write_str("pin ")?;
                images.iter().enumerate().try_for_each(|(at, (group, image))| {
                    write!(f, "{}{group}={image}", if at == 0 { "" } else { "," })
                })
            }
            Self::ControlPlaneHop { to, .. } => write!(f, "control-plane {to}"),
            Self::NodePoolRoll { pool, to, cause, .. } => write!(f, "pool {pool} {to} {cause:?}"),
            Self::TidyUp { pool: Some(pool), .. } => write!(f, "tidy up pool {pool}"),
            Self::TidyUp { pool: None, .. } => f.write_str("tidy up control-plane"),
            Self::AddonApply { addon, to, digest, from, .. } => {
                let drifted = matches!(from, AddonMark::Drifted { .. });
                write!(f, "addon {addon} {to} {digest:.12} {drifted}")
            }
            Self::AddonAdopt { addon, to, .. } => write!(f, "adopt {addon} {to}"),
            Self::StorageMigration { addon, before, .. } => {
                write!(f, "migrate {addon} before {before}")
            }
            Self::AddonRemove { addon, .. } => write!(f, "remove {addon}"),
            Self::FinishWave { channel, wave, .. } => write!(f, "wave {channel} {wave}"),
        }
    }

    /// Whether machines are worked on, one after the other.
    pub fn rolls(&self) -> bool {
        matches!(
            self,
            Self::ControlPlaneHop { .. } | Self::NodePoolRoll { .. } | Self::TidyUp { .. }
        )
    }

    /// The Auto Scaling groups that the action works on.
    pub fn groups(&self) -> BTreeSet<&GroupName> {
        match self {
            Self::PinGroups { images } => images.keys().collect(),
            Self::ControlPlaneHop { images, .. } | Self::NodePoolRoll { images, .. } => {
                images.keys().collect()
            }
            Self::TidyUp { groups, .. } => groups.iter().collect(),
            _ => BTreeSet::new(),
        }
    }

    /// The add-on that the action works on.
    pub fn addon(&self) -> Option<&AddonName> {
        match self {
            Self::AddonApply { addon, .. }
            | Self::AddonAdopt { addon, .. }
            | Self::StorageMigration { addon, .. }
            | Self::AddonRemove { addon, .. } => Some(addon),
            _ => None,
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PinGroups { images } => write!(f, "pin the image of {} groups", images.len()),
            Self::ControlPlaneHop { from, to, .. } => {
                write!(f, "control-plane {} -> {to}", versions(from))
            }
            Self::NodePoolRoll { pool, from, to, cause: RollCause::Version, .. } => {
                write!(f, "{pool} {} -> {to}", versions(from))
            }
            Self::NodePoolRoll { pool, to, cause: RollCause::LeftBehind, .. } => {
                write!(f, "{pool} {to}, tidy up")
            }
            Self::NodePoolRoll { pool, to, .. } => write!(f, "{pool} {to}, new nodes"),
            Self::TidyUp { pool: Some(pool), .. } => write!(f, "{pool}, tidy up"),
            Self::TidyUp { pool: None, .. } => f.write_str("control-plane, tidy up"),
            Self::AddonApply { addon, from, to, .. } => match from {
                AddonMark::Absent => write!(f, "{addon} install {to}"),
                AddonMark::Drifted { version, .. } if version == to => {
                    write!(f, "{addon} {to} repair")
                }
                AddonMark::At { version, .. } | AddonMark::Drifted { version, .. } => {
                    write!(f, "{addon} {version} -> {to}")
                }
                AddonMark::Foreign { version } => write!(f, "{addon} {version} -> {to}"),
            },
            Self::AddonAdopt { addon, from, to, .. } => write!(f, "{addon} adopt {from} as {to}"),
            Self::StorageMigration { addon, crds, .. } => {
                write!(f, "{addon} {}", migration_text(crds))
            }
            Self::AddonRemove { addon, from, .. } => write!(f, "{addon} remove {from}"),
            Self::FinishWave { channel, wave, .. } => write!(f, "end of wave {wave} of {channel}"),
        }
    }
}

/// `migrate 3 CRDs to v1`.
fn migration_text(crds: &BTreeMap<String, CrdMigration>) -> String {
    let to: BTreeSet<&str> = crds.values().map(|crd| crd.to.as_str()).collect();
    let to = to.into_iter().collect::<Vec<_>>().join(", ");
    match crds.len() {
        1 => format!("migrate 1 CRD to {to}"),
        n => format!("migrate {n} CRDs to {to}"),
    }
}

fn versions(set: &BTreeSet<KubeVersion>) -> String {
    set.iter().map(ToString::to_string).collect::<Vec<_>>().join("/")
}

/// What makes a roll of a pool necessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RollCause {
    /// Another version.
    Version,
    /// A newer image of the same version, where the pool or the command asks for it.
    NewerImage,
    /// The command asked for it.
    Asked,
    /// A run that did not end left cordons or settings behind.
    LeftBehind,
}

/// The image of each group. Many groups have the same.
pub type ImagePins = BTreeMap<GroupName, Arc<ImagePin>>;

/// An image as it was found when the plan was made; a run keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ImagePin {
    /// Its id.
    pub id: ImageId,
    /// Its name.
    pub name: String,
}

/// What an action must never exceed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Bounds {
    /// There is nothing to bound.
    None,
    /// Of machines that are replaced.
    Rolling {
        /// Nodes more than usual, at any moment.
        surge: u32,
        /// Nodes fewer than usual, at any moment.
        unavailable: u32,
        /// How long the drain of one node may take.
        drain_timeout: Period,
        /// How long a new node may take to be Ready.
        node_ready_timeout: Period,
        /// How long to wait after a node before the next.
        node_interval: Period,
        /// How long the kubelet of a node may not answer before the node is terminated without a
        /// drain.
        #[serde(default = "default_unreachable_timeout")]
        unreachable_timeout: Period,
        /// How long the drain of one node waits for pods that run to completion before it evicts
        /// them. The time for the drain comes on top.
        #[serde(default, rename = "wait-complete", skip_serializing_if = "Period::is_zero")]
        wait_complete: Period,
    },
}

/// Returns the bound of plans that were made before there was one.
fn default_unreachable_timeout() -> Period {
    Period::minutes(10)
}

/// Whether an action can be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reversibility {
    /// By a plan for the earlier state.
    Reversible,
    /// An apiserver of the earlier minor may not read what the new one has stored.
    ControlPlaneMinor,
    /// Nothing writes the objects back in an older version. What lists the version that they are
    /// stored in then reads them.
    StoredVersions,
    /// It goes back itself: what only the newer version knows is lost, and a plan for the newer
    /// version does not bring it back.
    Downgrade {
        /// CustomResourceDefinitions that stay, and that the older version does not have, or of
        /// which it does not list every version.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        definitions: BTreeSet<String>,
        /// How many objects are deleted, and what lives in them.
        objects: u32,
    },
    /// These objects, and what lives in them, are gone.
    Deletes {
        /// How many objects.
        objects: u32,
    },
}

/// Why an action is in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// A release asks for it.
    Release {
        /// The release.
        release: ReleaseName,
        /// Where it was written.
        at: Location,
    },
    /// A pin of the cluster asks for it.
    Pin {
        /// Where it was written.
        at: Location,
    },
    /// It is the newest version that the cluster's `max-version` allows.
    Capped {
        /// `max-version`.
        max: String,
        /// Where it was written.
        at: Location,
    },
    /// The skew policy asks for it on the way.
    Skew {
        /// The rule.
        rule: SkewRule,
        /// The minor that cannot be reached without it.
        before: Minor,
    },
    /// An add-on moves on the way to a version that does not support what the nodes run.
    AddonKubelets {
        /// The add-on.
        addon: AddonName,
        /// The version that it moves to.
        version: AddonVersion,
        /// The kubelets that it supports.
        supports: String,
    },
    /// The file of an add-on that moves on the way has it move after the nodes.
    AddonAfterNodes {
        /// The add-on.
        addon: AddonName,
    },
    /// The version that is there does not support a minor on the way.
    AddonRange {
        /// The minor.
        minor: Minor,
        /// The range of the version that is there.
        supports: String,
    },
    /// The version that is there uses an API that a minor on the way does not serve.
    AddonApi {
        /// The minor.
        minor: Minor,
        /// The API.
        api: String,
    },
    /// Objects may be stored in a version that the next version of the add-on does not list.
    StoredVersion {
        /// The CustomResourceDefinition.
        crd: String,
        /// The version that is stored.
        stored: String,
        /// The version of the add-on that does not list it.
        dropped_by: AddonVersion,
    },
    /// It is a version on the way to the declared one.
    Bridge {
        /// The declared version.
        to: AddonVersion,
        /// Where it was written.
        at: Location,
    },
    /// No add-on set names it any more.
    Unlisted,
    /// Somebody changed fields that refit had set.
    Drift {
        /// Which, at most a few.
        fields: Vec<String>,
    },
    /// A newer image exists, and the pool or the command asks for it.
    NewerImage,
    /// The command asked for it.
    Asked,
    /// A run that did not end left cordons or settings behind.
    LeftBehind,
    /// A group would launch nodes that are newer than the control plane.
    LaunchesTooNew,
    /// The channel's waves ask for it.
    Waves,
    /// The nodes of the groups are replaced when somebody deletes them, and new ones are to run
    /// what is declared.
    OnDelete,
}

/// An order between two actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Edge {
    /// Ends first.
    pub from: ActionId,
    /// Begins then.
    pub to: ActionId,
    /// Why. Clusters that make the same way share it.
    pub because: Arc<Because>,
}

/// Why one action waits for another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// The skew policy.
    Skew {
        /// The rule.
        rule: SkewRule,
    },
    /// An add-on's version does not support a minor.
    AddonCompatibility {
        /// The add-on.
        addon: AddonName,
        /// The version.
        version: AddonVersion,
        /// What it supports.
        supports: String,
        /// The minor that it does not.
        minor: Minor,
    },
    /// An add-on's version does not support kubelets of a minor.
    AddonKubelets {
        /// The add-on.
        addon: AddonName,
        /// The version.
        version: AddonVersion,
        /// The kubelets that it supports.
        supports: String,
        /// The minor that it does not.
        minor: Minor,
    },
    /// An add-on's version uses an API that a minor does not serve.
    AddonApi {
        /// The add-on.
        addon: AddonName,
        /// The version.
        version: AddonVersion,
        /// The API.
        api: String,
        /// The minor that does not serve it.
        minor: Minor,
    },
    /// Clusters need an add-on from a minor on, so that it is installed before.
    AddonNeeded {
        /// The add-on.
        addon: AddonName,
        /// The first minor that needs it.
        minor: Minor,
    },
    /// One add-on requires another.
    AddonDependency {
        /// The add-on that requires.
        addon: AddonName,
        /// The add-on that is required.
        requires: AddonName,
    },
    /// Two add-ons do not live together in some of their versions.
    AddonConflict {
        /// The add-on whose file says so.
        addon: AddonName,
        /// The other one.
        conflicts: AddonName,
    },
    /// `addon.toml` says so.
    Placement {
        /// The add-on whose file says so.
        addon: AddonName,
        /// In relation to what.
        milestone: Milestone,
    },
    /// An add-on's version does not list a version that objects may be stored in.
    StoredVersion {
        /// The add-on.
        addon: AddonName,
        /// Its version.
        version: AddonVersion,
        /// The CustomResourceDefinition.
        crd: String,
        /// The version that is stored.
        stored: String,
    },
    /// The same add-on moves step by step, over a version that another one asks for.
    StepByStep,
    /// A cluster changes one thing at a time, so that what breaks has one cause.
    OneAtATime,
    /// On the way back nodes come first, then add-ons, and the control plane last.
    Downgrade,
    /// A group is pinned before anything could make it launch a node.
    PinFirst,
    /// An earlier wave of the channel comes first.
    Wave {
        /// The channel.
        channel: ChannelName,
        /// The wave that is waited for, from 1.
        wave: u32,
    },
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skew { rule } => rule.fmt(f),
            Self::AddonCompatibility { addon, version, supports, minor } => {
                write!(f, "{addon} {version} supports {supports}, not {minor}")
            }
            Self::AddonKubelets { addon, version, supports, minor } => {
                write!(f, "{addon} {version} supports kubelets {supports}, not {minor}")
            }
            Self::AddonApi { addon, version, api, minor } => {
                write!(f, "{addon} {version} uses {api}, which {minor} does not serve")
            }
            Self::AddonNeeded { addon, minor } => {
                write!(f, "{addon} has to be there before {minor}")
            }
            Self::AddonDependency { addon, requires } => write!(f, "{addon} requires {requires}"),
            Self::AddonConflict { addon, conflicts } => {
                write!(f, "{addon} conflicts with {conflicts}")
            }
            Self::Placement { addon, milestone } => {
                write!(f, "addons/{addon}/addon.toml places it relative to {milestone}")
            }
            Self::StoredVersion { addon, version, crd, stored } => {
                write!(f, "{addon} {version} does not list {stored} of {crd}, which is stored")
            }
            Self::StepByStep => f.write_str("one step after the other"),
            Self::OneAtATime => f.write_str("a cluster changes one thing at a time"),
            Self::Downgrade => f.write_str(
                "on the way back nodes come first, then add-ons, the control plane last",
            ),
            Self::PinFirst => f.write_str("groups are pinned first"),
            Self::Wave { channel, wave } => write!(f, "wave {wave} of {channel} comes first"),
        }
    }
}
