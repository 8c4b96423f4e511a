//! What was observed: the [`Snapshot`].
//!
//! A snapshot is saved whole, so that any plan can be made again from a file,
//! offline, and a bug report replays. A cluster that could not be read says so and
//! blocks itself only. No secret is in it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::distinct::{self, Named};
use crate::{
    AddonName, ClusterName, CrdState, Digest, FleetName, GroupName, ImageId, InstanceId,
    KubeVersion, Minor, NodeName, ObjectRef, Period, RunId, Timestamp, WorkloadRef, Zone,
};

/// Everything that was seen of a fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Snapshot {
    /// The version of this file format.
    pub format_version: String,
    /// The fleet that was observed.
    pub fleet: FleetName,
    /// When; a plan from this snapshot takes it as now.
    pub taken_at: Timestamp,
    /// By name.
    #[serde(deserialize_with = "distinct::map")]
    pub clusters: BTreeMap<ClusterName, Observation>,
}

impl Snapshot {
    /// The version that this code writes. A reader takes the same major and no newer minor.
    pub const FORMAT: &str = "1.4";
}

/// One cluster: what was seen, or why nothing was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Observation {
    /// It was read.
    Fresh(Box<ClusterState>),
    /// It could not be read.
    Unreachable {
        /// In words for a person.
        reason: String,
    },
}

/// The state of a cluster, or of the part of it that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClusterState {
    /// Which cluster this really is.
    pub identity: ClusterIdentity,
    /// What the apiserver that answered says of itself; none: it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<ServedVersion>,
    /// The instances of the control plane.
    #[serde(deserialize_with = "distinct::list")]
    pub control_plane: Vec<ControlPlaneMember>,
    /// The Auto Scaling groups that the cluster's file declares.
    #[serde(deserialize_with = "distinct::map")]
    pub groups: BTreeMap<GroupName, GroupState>,
    /// All nodes, whether a pool declares them or not.
    #[serde(deserialize_with = "distinct::map")]
    pub nodes: BTreeMap<NodeName, NodeState>,
    /// Pods, reduced to what a rollout has to know.
    pub pods: Vec<PodState>,
    /// What owns pods and replaces them.
    pub workloads: Vec<WorkloadState>,
    /// PodDisruptionBudgets.
    pub budgets: Vec<BudgetState>,
    /// The images that the cluster's patterns match.
    #[serde(deserialize_with = "distinct::list")]
    pub images: Vec<ImageState>,
    /// Add-ons that the fleet knows or that refit has installed.
    #[serde(deserialize_with = "distinct::map")]
    pub addons: BTreeMap<AddonName, AddonState>,
    /// The Lease that a run holds while it writes to the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseState>,
}

impl ClusterState {
    /// The instance of that id, and its group.
    pub fn instance(&self, id: &InstanceId) -> Option<(&GroupName, &InstanceState)> {
        self.groups.iter().find_map(|(name, group)| {
            group.instances.iter().find(|instance| instance.id == *id).map(|found| (name, found))
        })
    }

    /// The node that runs on the instance.
    pub fn node_of(&self, id: &InstanceId) -> Option<(&NodeName, &NodeState)> {
        self.nodes.iter().find(|(_, node)| node.instance.as_ref() == Some(id))
    }

    /// The pods on the node.
    pub fn pods_on<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a PodState> {
        self.pods.iter().filter(move |pod| pod.node.as_ref() == Some(node))
    }
}

/// Which cluster this really is: a kubeconfig context is only a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClusterIdentity {
    /// The UID of the namespace `kube-system`.
    pub uid: String,
    /// The account that its machines belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The region that its machines run in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// The version of an apiserver, of which there are three
/// ([KEP-4330](https://github.com/kubernetes/enhancements/tree/master/keps/sig-architecture/4330-compatibility-versions)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServedVersion {
    /// Of its program.
    pub binary: KubeVersion,
    /// The minor that it behaves as: its program's, unless `--emulated-version` says otherwise.
    pub emulated: Minor,
    /// The oldest minor that what it stores and serves goes with.
    pub min_compatible: Minor,
}

impl ServedVersion {
    /// The version of an apiserver that emulates nothing.
    pub fn plain(binary: KubeVersion) -> Self {
        let emulated = binary.minor();
        Self { binary, emulated, min_compatible: emulated.previous() }
    }

    /// The older minor that it behaves as, if it does.
    pub fn emulates(&self) -> Option<Minor> {
        (self.emulated != self.binary.minor()).then_some(self.emulated)
    }
}

/// One instance of a control plane. Its kubelet stands among the nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ControlPlaneMember {
    /// The instance.
    pub instance: InstanceId,
    /// What its apiserver says; none: it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server: Option<KubeVersion>,
    /// From its mirror pod; none: it does not run there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller_manager: Option<KubeVersion>,
    /// From its mirror pod; none: it does not run there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<KubeVersion>,
    /// Whether its member of etcd is Ready; none: etcd is external.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd_ready: Option<bool>,
}

/// Where an instance stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lifecycle {
    /// Launched, not yet in service.
    Pending,
    /// In service.
    InService,
    /// On its way out.
    Terminating,
}

/// Where a target stands in its target groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TargetHealth {
    /// Being registered.
    Initial,
    /// Takes traffic in all of them.
    Healthy,
    /// Being deregistered from at least one.
    Draining,
    /// Registered in none.
    Unused,
}

/// An Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GroupState {
    /// The fewest instances it may have.
    pub min: u32,
    /// The most instances it may have.
    pub max: u32,
    /// How many it should have.
    pub desired: u32,
    /// The zones that it launches into.
    pub zones: BTreeSet<Zone>,
    /// The launch template version that it launches, `$Latest` and `$Default` resolved.
    pub template_version: u32,
    /// The image of every version of its launch template that is known.
    pub template_images: BTreeMap<u32, ImageId>,
    /// The suspended processes.
    pub suspended: BTreeSet<String>,
    /// The target groups that the group itself is attached to.
    pub target_groups: BTreeSet<String>,
    /// Its instances.
    #[serde(deserialize_with = "distinct::list")]
    pub instances: Vec<InstanceState>,
    /// The tags that begin with `refit.dev/`.
    pub tags: BTreeMap<String, String>,
    /// Its lifecycle hooks, by name, as far as they were asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<String, LifecycleHook>,
    /// Features that refit refuses to roll, by name: `launch configuration`, `warm pool` ...
    pub refused: BTreeSet<String>,
}

/// What holds an instance on its way in or out until somebody completes it, or its time is over
/// ([lifecycle hooks](https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LifecycleHook {
    /// On its way in; otherwise on its way out.
    pub launching: bool,
    /// How long it holds an instance at most, if nobody asks for more.
    pub timeout: Period,
}

impl GroupState {
    /// The image that the group launches.
    pub fn image(&self) -> Option<&ImageId> {
        self.template_images.get(&self.template_version)
    }
}

/// An instance of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct InstanceState {
    /// Its id.
    pub id: InstanceId,
    /// Where it runs.
    pub zone: Zone,
    /// Where it stands in its life.
    pub lifecycle: Lifecycle,
    /// The launch template version that it says it was launched from.
    pub template_version: u32,
    /// The image that it really runs.
    pub image: ImageId,
    /// Whether it is protected from scale-in.
    pub protected: bool,
    /// In the group's target groups; none: the group has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_health: Option<TargetHealth>,
}

/// How kube-proxy runs on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KubeProxy {
    /// It does not.
    None,
    /// As a static pod, so it comes with the image.
    StaticPod(KubeVersion),
    /// As a pod of a DaemonSet, so it is upgraded like an add-on.
    DaemonSet(KubeVersion),
}

impl KubeProxy {
    /// The version that runs.
    pub fn version(&self) -> Option<&KubeVersion> {
        match self {
            Self::None => None,
            Self::StaticPod(version) | Self::DaemonSet(version) => Some(version),
        }
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NodeState {
    /// From its provider id; none: it is not an instance of a declared group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// From its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// Its kubelet.
    pub kubelet: KubeVersion,
    /// Its kube-proxy.
    pub kube_proxy: KubeProxy,
    /// Its condition Ready.
    pub ready: bool,
    /// Since when its kubelet has not answered the control plane: its condition Ready is Unknown.
    /// `None` if it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable_since: Option<Timestamp>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Whether it is an instance of the control plane.
    pub control_plane: bool,
    /// Its taints, `key=value:effect`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub taints: BTreeSet<String>,
    /// Its container runtime, `containerd://2.2.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// PersistentVolumes that are attached to it and that no pod on it uses any more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub detaching: BTreeSet<String>,
    /// The annotations that begin with `refit.dev/`, and the cluster-autoscaler's
    /// [`scale-down-disabled`](crate::NodeOp::SCALE_DOWN_DISABLED).
    pub annotations: BTreeMap<String, String>,
}

/// Who replaces a pod when it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PodOwner {
    /// A workload, on another node.
    Workload(WorkloadRef),
    /// A DaemonSet: the pod belongs to its node and is not evicted.
    DaemonSet(WorkloadRef),
    /// A static pod's mirror: it belongs to its node and is not evicted.
    Mirror,
    /// Nobody: evicted, it is gone.
    Nobody,
}

/// When the kubelet starts a pod's containers again (`spec.restartPolicy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Whenever they end: the pod does not complete.
    #[default]
    Always,
    /// When they fail: the pod runs to completion.
    OnFailure,
    /// Not at all: the pod runs to completion.
    Never,
}

impl RestartPolicy {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_always(&self) -> bool {
        matches!(self, Self::Always)
    }
}

/// An annotation by which a pod asks autoscalers not to evict it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum DoNotEvict {
    /// `cluster-autoscaler.kubernetes.io/safe-to-evict: "false"`.
    ClusterAutoscaler,
    /// `karpenter.sh/do-not-disrupt: "true"`, or how long.
    Karpenter,
}

impl DoNotEvict {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::ClusterAutoscaler, Self::Karpenter];

    /// Returns the annotation's key.
    pub fn annotation(self) -> &'static str {
        match self {
            Self::ClusterAutoscaler => "cluster-autoscaler.kubernetes.io/safe-to-evict",
            Self::Karpenter => "karpenter.sh/do-not-disrupt",
        }
    }

    /// Returns whether the annotation with this value asks for it. Karpenter takes `true` and a
    /// duration.
    pub fn is_asked_by(self, value: &str) -> bool {
        match self {
            Self::ClusterAutoscaler => value == "false",
            Self::Karpenter => value != "false",
        }
    }
}

/// A volume that can be attached in one zone only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ZonalVolume {
    /// The PersistentVolumeClaim's name.
    pub claim: String,
    /// Where it lives.
    pub zone: Zone,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PodState {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: a pod of the same name with another UID is another pod.
    pub uid: String,
    /// Where it runs; none: it waits for a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// Its condition Ready.
    pub ready: bool,
    /// Whether it is on its way out.
    pub terminating: bool,
    /// Who replaces it.
    pub owner: PodOwner,
    /// The names of the PodDisruptionBudgets that select it.
    pub budgets: BTreeSet<String>,
    /// The zonal volume that it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<ZonalVolume>,
    /// Whether it has one of the `system-*-critical` priority classes.
    pub critical: bool,
    /// Whether it runs to completion.
    #[serde(default, skip_serializing_if = "RestartPolicy::is_always")]
    pub restart_policy: RestartPolicy,
    /// By which annotation it asks not to be evicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub do_not_evict: Option<DoNotEvict>,
}

impl PodState {
    /// Returns whether it completes by itself, as a pod of a Job does. Snapshots of earlier versions
    /// tell it by the owner only.
    pub fn runs_to_completion(&self) -> bool {
        match self.restart_policy {
            RestartPolicy::OnFailure | RestartPolicy::Never => true,
            RestartPolicy::Always => match &self.owner {
                PodOwner::Workload(owner) => owner.kind == "Job",
                PodOwner::DaemonSet(_) | PodOwner::Mirror | PodOwner::Nobody => false,
            },
        }
    }
}

/// A workload's readiness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WorkloadState {
    /// Which one.
    pub workload: WorkloadRef,
    /// How many pods it should have.
    pub replicas: u32,
    /// How many of them are Ready.
    pub ready: u32,
    /// Whether its pods have one of the `system-*-critical` priority classes.
    pub critical: bool,
}

/// A PodDisruptionBudget, as its status has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BudgetState {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How many pods may be evicted now.
    pub disruptions_allowed: u32,
    /// How many pods are healthy.
    pub current_healthy: u32,
    /// How many must stay healthy.
    pub desired_healthy: u32,
    /// How many pods it selects.
    pub expected_pods: u32,
    /// When its pods that are not Ready may be evicted.
    #[serde(default, skip_serializing_if = "UnhealthyPodEvictionPolicy::is_default")]
    pub unhealthy_pod_eviction_policy: UnhealthyPodEvictionPolicy,
}

/// When a PodDisruptionBudget lets pods be evicted that run and are not Ready
/// ([policy](https://kubernetes.io/docs/tasks/run-application/configure-pdb/#unhealthy-pod-eviction-policy)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnhealthyPodEvictionPolicy {
    /// If as many pods are healthy as must be. The default.
    #[default]
    IfHealthyBudget,
    /// Always.
    AlwaysAllow,
}

impl UnhealthyPodEvictionPolicy {
    /// Whether it is what the API takes where a budget says nothing.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl BudgetState {
    /// Whether it allows no eviction even when every pod is healthy.
    pub fn never_allows(&self) -> bool {
        self.expected_pods > 0 && self.desired_healthy >= self.expected_pods
    }
}

/// A machine image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ImageState {
    /// Its id.
    pub id: ImageId,
    /// Its name.
    pub name: String,
    /// Who owns it.
    pub owner: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// When it was made.
    pub created: Timestamp,
}

/// What of an add-on is in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AddonState {
    /// The ApplySet parent that refit wrote; none: refit has not installed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ApplySetParent>,
    /// A copy that somebody else installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<ForeignCopy>,
    /// Fields that refit set and that have another value now.
    pub drift: Vec<FieldDrift>,
    /// The objects that the ApplySet has as members.
    pub members: BTreeSet<ObjectRef>,
    /// The live objects that one of the add-on's declared versions names, or that are members,
    /// reduced to the fields that refit owns or would own, secrets redacted.
    #[schemars(with = "Vec<(ObjectRef, Value)>")]
    pub live: Vec<(ObjectRef, Value)>,
    /// Its CustomResourceDefinitions, by name: those that one of its declared versions names, or
    /// that are members.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub crds: BTreeMap<String, CrdState>,
    /// What keeps its workloads from being rolled out; none: they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<String>,
    /// Why its objects could not be read; none: they were. A broken APIService hurts the add-ons
    /// with objects of its group, and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// What stands on an ApplySet parent
/// ([KEP-3659](https://github.com/kubernetes/enhancements/tree/master/keps/sig-cli/3659-kubectl-apply-prune)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ApplySetParent {
    /// The digest of the manifests that were applied whole.
    pub digest: Digest,
    /// The version that they are of.
    pub version: crate::AddonVersion,
}

/// A copy of an add-on that refit did not install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ForeignCopy {
    /// The image tag of the detected container.
    pub version: String,
    /// The workload that was found.
    pub workload: WorkloadRef,
    /// The field managers that were found on its objects.
    pub managers: BTreeSet<String>,
    /// Of these, those that still write: `argocd-controller`, `helm` ...
    pub live_managers: BTreeSet<String>,
}

/// A field that refit set and that somebody changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FieldDrift {
    /// The object.
    pub object: ObjectRef,
    /// The field, as `.spec.replicas`.
    pub field: String,
    /// Who changed it, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
}

/// A run's Lease in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LeaseState {
    /// The run that holds it.
    pub run: RunId,
    /// Who started the run: `user@host`.
    pub holder: String,
    /// Until when, unless it is renewed.
    pub until: Timestamp,
}

impl Named for ControlPlaneMember {
    const WHAT: &'static str = "the instance";
    type Name = InstanceId;

    fn name(&self) -> &InstanceId {
        &self.instance
    }
}

impl Named for InstanceState {
    const WHAT: &'static str = "the instance";
    type Name = InstanceId;

    fn name(&self) -> &InstanceId {
        &self.id
    }
}

impl Named for ImageState {
    const WHAT: &'static str = "the image";
    type Name = ImageId;

    fn name(&self) -> &ImageId {
        &self.id
    }
}
