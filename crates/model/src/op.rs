//! Operations: the single calls that an action is made of.
//!
//! Each is idempotent or carries a token, takes seconds, and is journaled before it is sent.
//! Which come next is the engine's decision, made from what it sees; a provider translates
//! one into API calls and knows nothing of the others.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AddonName, AddonVersion, Digest, GroupName, ImageId, InstanceId, NodeName, ObjectKey,
    ObjectRef, Period, RunId,
};

/// An operation's number in its run, from 1.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub struct OpId(pub u64);

impl OpId {
    /// Returns whether it is the number of no operation.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over by reference")]
    fn is_none(&self) -> bool {
        self.0 == 0
    }
}

/// Makes an operation the same operation when it is sent again: a client token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token(pub String);

/// A pod that was seen: by name and UID, so that another pod of that name is never meant.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PodKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What refit changed on a group, kept on the group itself, so that a run from another
/// checkout can give it back: the tag `refit.dev/roll`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct RollTag {
    /// The run that changed it.
    pub run: RunId,
    /// How many instances refit has added to desired and not yet taken away again.
    pub surge: u32,
    /// What desired is, or is about to be, counting the surge.
    pub desired: u32,
    /// The processes that refit suspended.
    pub suspended: BTreeSet<String>,
    /// The last operation of the batch that wrote it. A journal that does not hold this operation
    /// is behind the group: a copy of an earlier time, or one whose end is lost. 0 if unknown.
    #[serde(default, skip_serializing_if = "OpId::is_none")]
    pub op: OpId,
}

impl RollTag {
    /// The tag's key.
    pub const KEY: &str = "refit.dev/roll";
    /// The annotation of a node that refit cordoned: the run.
    pub const CORDONED: &str = "refit.dev/cordoned-by";
}

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// On an Auto Scaling group.
    Group {
        /// The group.
        group: GroupName,
        /// What.
        op: GroupOp,
    },
    /// On a node.
    Node {
        /// The node.
        node: NodeName,
        /// What.
        op: NodeOp,
    },
    /// On an add-on.
    Addon {
        /// The add-on.
        addon: AddonName,
        /// What.
        op: AddonOp,
    },
    /// Takes or renews the cluster's Lease for a run.
    HoldLease {
        /// The run.
        run: RunId,
        /// Who started it.
        holder: String,
        /// For how long from now.
        ttl: Period,
    },
    /// Gives the cluster's Lease back, if the run holds it.
    ReleaseLease {
        /// The run.
        run: RunId,
    },
}

/// A call on an Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GroupOp {
    /// Makes a launch template version with this image from the one that the group launches.
    CreateTemplateVersion {
        /// The image.
        image: ImageId,
    },
    /// Lets the group launch this version of its template, by number.
    SetTemplateVersion {
        /// The version.
        version: u32,
    },
    /// Raises desired, if it still is `from`. It is never lowered by a number.
    RaiseDesired {
        /// What it is.
        from: u32,
        /// What it will be.
        to: u32,
    },
    /// Protects an instance from scale-in.
    Protect {
        /// The instance.
        instance: InstanceId,
    },
    /// Takes that protection away.
    Unprotect {
        /// The instance.
        instance: InstanceId,
    },
    /// Suspends a process such as `AZRebalance`.
    Suspend {
        /// The process.
        process: String,
    },
    /// Resumes it.
    Resume {
        /// The process.
        process: String,
    },
    /// Writes [`RollTag`].
    Tag {
        /// The tag.
        tag: RollTag,
    },
    /// Removes [`RollTag`].
    Untag,
    /// Takes an instance out of the group's target groups.
    Deregister {
        /// The instance.
        instance: InstanceId,
    },
    /// Puts an instance back into the group's target groups.
    Register {
        /// The instance.
        instance: InstanceId,
    },
    /// Ends an instance: `TerminateInstanceInAutoScalingGroup`.
    Terminate {
        /// The instance.
        instance: InstanceId,
        /// Whether desired falls with it, so that the group launches no replacement.
        decrement: bool,
    },
}

/// A call on a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeOp {
    /// Cordons it and annotates it with the run.
    Cordon {
        /// The run.
        run: RunId,
    },
    /// Uncordons it and removes the annotation.
    Uncordon,
    /// Evicts a pod from it through the eviction API.
    Evict {
        /// The pod.
        pod: PodKey,
    },
    /// Keeps the cluster-autoscaler from removing it, and annotates it with the run.
    DisableScaleDown {
        /// The run.
        run: RunId,
    },
    /// Lets the cluster-autoscaler remove it again.
    EnableScaleDown,
    /// Taints it as out of service, so that its pods are deleted and its volumes detached though
    /// its kubelet does not answer
    /// ([docs](https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown)).
    TaintOutOfService {
        /// The run.
        run: RunId,
    },
    /// Removes that taint.
    RemoveOutOfService,
}

impl NodeOp {
    /// The annotation with which the cluster-autoscaler leaves a node alone
    /// ([FAQ](https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md#how-can-i-prevent-cluster-autoscaler-from-scaling-down-a-particular-node)).
    pub const SCALE_DOWN_DISABLED: &str = "cluster-autoscaler.kubernetes.io/scale-down-disabled";
    /// The key of the taint of a node that is out of service.
    pub const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
    /// The annotation of a node that refit has tainted as out of service: the run.
    pub const OUT_OF_SERVICE_BY: &str = "refit.dev/out-of-service-by";
    /// The annotation of a node on which refit has set [`Self::SCALE_DOWN_DISABLED`]: the run.
    pub const SCALE_DOWN_DISABLED_BY: &str = "refit.dev/scale-down-disabled-by";
}

/// A call on an add-on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AddonOp {
    /// Takes the manifests' fields from other managers.
    Adopt {
        /// The version whose manifests count.
        version: AddonVersion,
        /// The managers.
        managers: BTreeSet<String>,
    },
    /// Widens the ApplySet parent and applies every object.
    Apply {
        /// The version.
        version: AddonVersion,
        /// Of the manifests; another digest under that version is refused.
        digest: Digest,
    },
    /// Deletes members that the version does not have, narrows the parent and writes the
    /// digest on it: from then on the add-on is at this version.
    Prune {
        /// The version.
        version: AddonVersion,
        /// Of the manifests.
        digest: Digest,
        /// What is deleted.
        objects: BTreeSet<ObjectRef>,
    },
    /// Writes objects of a CustomResourceDefinition back as they are, so that they are stored in
    /// its storage version. What somebody else writes or deletes meanwhile needs it no more.
    WriteBack {
        /// The definition.
        crd: String,
        /// Its objects.
        objects: BTreeSet<ObjectKey>,
    },
    /// Tells the apiserver that every object of a CustomResourceDefinition is stored in its
    /// storage version: `status.storedVersions`.
    SetStored {
        /// The definition.
        crd: String,
        /// Its storage version; another one is refused.
        version: String,
    },
    /// Deletes these members; with none left to delete, the parent.
    Remove {
        /// What is deleted.
        objects: BTreeSet<ObjectRef>,
    },
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group { group, op } => match op {
                GroupOp::CreateTemplateVersion { image } => {
                    write!(f, "create a launch template version with {image} for {group}")
                }
                GroupOp::SetTemplateVersion { version } => {
                    write!(f, "let {group} launch template version {version}")
                }
                GroupOp::RaiseDesired { from, to } => {
                    write!(f, "raise desired of {group} from {from} to {to}")
                }
                GroupOp::Protect { instance } => write!(f, "protect {instance} from scale-in"),
                GroupOp::Unprotect { instance } => {
                    write!(f, "unprotect {instance} from scale-in")
                }
                GroupOp::Suspend { process } => write!(f, "suspend {process} of {group}"),
                GroupOp::Resume { process } => write!(f, "resume {process} of {group}"),
                GroupOp::Tag { .. } => write!(f, "tag {group}"),
                GroupOp::Untag => write!(f, "remove the tag of {group}"),
                GroupOp::Deregister { instance } => {
                    write!(f, "take {instance} out of its target groups")
                }
                GroupOp::Register { instance } => {
                    write!(f, "put {instance} back into its target groups")
                }
                GroupOp::Terminate { instance, .. } => write!(f, "terminate {instance}"),
            },
            Self::Node { node, op } => match op {
                NodeOp::Cordon { .. } => write!(f, "cordon {node}"),
                NodeOp::Uncordon => write!(f, "uncordon {node}"),
                NodeOp::Evict { pod } => write!(f, "evict {pod} from {node}"),
                NodeOp::DisableScaleDown { .. } => {
                    write!(f, "keep {node} from the cluster-autoscaler")
                }
                NodeOp::EnableScaleDown => {
                    write!(f, "let the cluster-autoscaler remove {node} again")
                }
                NodeOp::TaintOutOfService { .. } => write!(f, "taint {node} as out of service"),
                NodeOp::RemoveOutOfService => {
                    write!(f, "remove the out-of-service taint of {node}")
                }
            },
            Self::Addon { addon, op } => match op {
                AddonOp::Adopt { .. } => write!(f, "adopt {addon}"),
                AddonOp::Apply { version, .. } => write!(f, "apply {addon} {version}"),
                AddonOp::Prune { version, .. } => write!(f, "prune {addon} to {version}"),
                AddonOp::WriteBack { crd, objects } => match objects.len() {
                    1 => write!(f, "write 1 object of {crd} back"),
                    n => write!(f, "write {n} objects of {crd} back"),
                },
                AddonOp::SetStored { crd, version } => {
                    write!(f, "set the stored versions of {crd} to {version}")
                }
                AddonOp::Remove { .. } => write!(f, "remove {addon}"),
            },
            Self::HoldLease { .. } => write!(f, "hold the Lease of the cluster"),
            Self::ReleaseLease { .. } => write!(f, "release the Lease of the cluster"),
        }
    }
}
