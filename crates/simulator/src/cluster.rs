//! One cluster of the world: what is in it. How it behaves stands in the files beside.
//!
//! Every map is ordered and every name is derived from counters, so that the same calls at the
//! same times leave the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    AddonName, AddonVersion, ApplySetParent, ClusterName, Digest, ForeignCopy, GroupName, ImageId,
    InstanceId, KubeVersion, LeaseState, Lifecycle, Minor, NodeName, ObjectRef, PoolName,
    TargetHealth, Timestamp, VersionRange, WorkloadRef, Zone,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::budgets::Budget;
use crate::crds::CrdWorld;
use crate::dice::{Concern, Dice, Span};
use crate::faults::Faults;
use crate::judge::Judge;
use crate::past::Past;
use crate::pods::{Pod, Workload};
use crate::queue::{Event, Queue, later};

/// A cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ClusterWorld {
    pub(crate) name: ClusterName,
    pub(crate) uid: String,
    pub(crate) now: Timestamp,
    pub(crate) queue: Queue,
    pub(crate) dice: Dice,
    pub(crate) faults: Faults,
    pub(crate) meddled: u32,
    pub(crate) zones: Vec<Zone>,
    /// Whether an instance's components talk to its own apiserver.
    pub(crate) local_api: bool,
    /// The members of etcd with the zones that their volumes live in; empty: etcd is external.
    pub(crate) etcd: Vec<EtcdMember>,
    pub(crate) groups: BTreeMap<GroupName, Group>,
    pub(crate) instances: BTreeMap<InstanceId, Instance>,
    pub(crate) instances_made: u64,
    pub(crate) nodes: BTreeMap<NodeName, Node>,
    /// How many pods beside those of DaemonSets a node takes.
    pub(crate) pods_per_node: u32,
    pub(crate) pods: BTreeMap<u64, Pod>,
    pub(crate) pods_made: u64,
    pub(crate) pending: BTreeSet<u64>,
    /// When the scheduler looks next, if that is decided.
    pub(crate) schedule_at: Option<Timestamp>,
    pub(crate) workloads: BTreeMap<WorkloadRef, Workload>,
    pub(crate) volumes: BTreeMap<String, Volume>,
    /// By `namespace/name`.
    pub(crate) budgets: BTreeMap<String, Budget>,
    /// By [`object_key`].
    pub(crate) objects: BTreeMap<String, LiveObject>,
    pub(crate) addons: BTreeMap<AddonName, AddonWorld>,
    /// The CustomResourceDefinitions, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) crds: BTreeMap<String, CrdWorld>,
    pub(crate) images: BTreeMap<ImageId, Image>,
    pub(crate) lease: Option<LeaseState>,
    pub(crate) tokens: Tokens,
    /// What happens as soon as an apiserver answers again.
    pub(crate) waiting_for_api: Vec<Event>,
    pub(crate) judge: Judge,
    /// What looks that lag behind may show, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) past: Vec<Past>,
}

/// A member of etcd: a volume in a zone, and the instance that has it attached.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct EtcdMember {
    pub(crate) zone: Zone,
    pub(crate) on: Option<InstanceId>,
}

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Who {
    /// It was so when the world began.
    Start,
    /// A call through the provider traits.
    Refit,
    /// Somebody by hand.
    Operator,
    /// The group itself.
    Group,
}

/// An Auto Scaling group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Group {
    /// None: the control plane's.
    pub(crate) pool: Option<PoolName>,
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) desired: u32,
    /// What desired is apart from what refit did.
    pub(crate) usual: u32,
    /// How many nodes the cluster-autoscaler has taken from it. Each may have been a surge of
    /// refit's, which is then given back: nobody can tell, and both are right.
    #[serde(default)]
    pub(crate) scaled_down: u32,
    pub(crate) zones: Vec<Zone>,
    pub(crate) template: u32,
    pub(crate) template_by: Who,
    pub(crate) templates: BTreeMap<u32, ImageId>,
    pub(crate) suspended: BTreeSet<String>,
    /// What is suspended apart from what refit did.
    pub(crate) usual_suspended: BTreeSet<String>,
    pub(crate) target_groups: BTreeSet<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) instances: BTreeSet<InstanceId>,
    /// When it looks at itself next, if that is decided.
    pub(crate) tick_at: Option<Timestamp>,
    /// Since when its zones are out of balance, as far as it has noticed.
    pub(crate) unbalanced_since: Option<Timestamp>,
    /// Whether it has launched one instance more to get its zones into balance.
    pub(crate) rebalancing: bool,
    /// Until when there is no capacity for it.
    pub(crate) stuck_until: Option<Timestamp>,
    /// Whether refit has changed something about it.
    pub(crate) touched: bool,
}

/// An instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, as the APIs have it")]
pub(crate) struct Instance {
    pub(crate) group: GroupName,
    pub(crate) zone: Zone,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) template: u32,
    pub(crate) image: ImageId,
    pub(crate) version: KubeVersion,
    pub(crate) control_plane: bool,
    pub(crate) protected: bool,
    pub(crate) target: Option<TargetHealth>,
    /// Counts registrations, so that what was decided for an earlier one does not happen.
    pub(crate) target_epoch: u32,
    pub(crate) booted: bool,
    /// Its machine has failed or is shut down.
    pub(crate) dead: bool,
    pub(crate) node: Option<NodeName>,
    pub(crate) api_up: bool,
    pub(crate) etcd_ready: bool,
    /// Its member of etcd or its node would be up by now, if a fault did not keep it.
    pub(crate) held_back: Vec<Event>,
    /// Since when it does not do its work; none: it does.
    pub(crate) down_since: Option<Timestamp>,
    pub(crate) ended_by: Option<Who>,
    /// Whether a call that was to end it was lost on its way.
    #[serde(default)]
    pub(crate) end_was_lost: bool,
    /// Whether what it runs is refit's doing.
    pub(crate) judged: bool,
}

/// A node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, as the APIs have it")]
pub(crate) struct Node {
    pub(crate) instance: Option<InstanceId>,
    pub(crate) zone: Option<Zone>,
    pub(crate) kubelet: KubeVersion,
    /// When it registered; none: it was there from the start.
    #[serde(default)]
    pub(crate) registered_at: Option<Timestamp>,
    pub(crate) ready: bool,
    /// Since when it is Ready; none: it is not, or was so from the start.
    #[serde(default)]
    pub(crate) ready_since: Option<Timestamp>,
    pub(crate) unready_since: Option<Timestamp>,
    /// Since when its kubelet is dead, though its machine runs. `None` if it is not.
    #[serde(default)]
    pub(crate) kubelet_dead_since: Option<Timestamp>,
    pub(crate) unschedulable: bool,
    /// Whether somebody had cordoned it before refit did.
    pub(crate) cordoned_by_hand: bool,
    pub(crate) control_plane: bool,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) pods: BTreeSet<u64>,
    /// How many pods beside those of DaemonSets it has.
    pub(crate) load: u32,
    pub(crate) capacity: u32,
}

/// A volume that can be attached in one zone, to one node at a time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Volume {
    /// None until a pod that claims it is placed for the first time.
    pub(crate) zone: Option<Zone>,
    /// When the last node has detached it.
    pub(crate) free_at: Timestamp,
    /// That node.
    #[serde(default)]
    pub(crate) left: Option<NodeName>,
}

/// An object of an add-on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct LiveObject {
    pub(crate) object: ObjectRef,
    pub(crate) value: Value,
    /// What refit applied last; none: it is not refit's.
    pub(crate) applied: Option<Value>,
    /// Fields of it that have another value now, and who changed them.
    pub(crate) drift: BTreeMap<String, Option<String>>,
}

/// An add-on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct AddonWorld {
    pub(crate) parent: Option<ApplySetParent>,
    pub(crate) members: BTreeSet<ObjectRef>,
    pub(crate) foreign: Option<ForeignCopy>,
    /// What is being applied, until it is sealed.
    pub(crate) applying: Option<(AddonVersion, Digest)>,
    /// Whether every object of that was applied.
    pub(crate) applied_whole: bool,
    /// What runs, for the judge.
    pub(crate) running: Option<Running>,
}

/// The version of an add-on that runs, and what it supports.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Running {
    pub(crate) version: AddonVersion,
    pub(crate) kubernetes: VersionRange<Minor>,
    pub(crate) kubelets: Option<VersionRange<Minor>>,
    /// The minors that serve each API that it uses and that comes or goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) apis: Vec<VersionRange<Minor>>,
    /// Whether it may stay through a hop to the next minor.
    #[serde(default)]
    pub(crate) may_be_late: bool,
    /// Whether it fitted when refit first saw it, or refit chose it.
    pub(crate) judged: bool,
}

/// A machine image.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) pattern: String,
    pub(crate) owner: String,
    pub(crate) architecture: String,
    pub(crate) version: KubeVersion,
    pub(crate) created: Timestamp,
}

/// How many client tokens are remembered. The real APIs forget as well, after hours or days.
const TOKENS_MAX: usize = 4096;

/// The client tokens of calls that took effect.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Tokens {
    made: u64,
    /// By token: its number, and a digest of the call that it was used for.
    by_token: BTreeMap<String, (u64, u64)>,
    by_age: BTreeMap<u64, String>,
}

impl Tokens {
    /// The digest of the call that the token was used for.
    pub(crate) fn used_for(&self, token: &str) -> Option<u64> {
        self.by_token.get(token).map(|(_, call)| *call)
    }

    pub(crate) fn remember(&mut self, token: &str, call: u64) {
        self.made += 1;
        self.by_token.insert(token.to_owned(), (self.made, call));
        self.by_age.insert(self.made, token.to_owned());
        if self.by_age.len() > TOKENS_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_token.remove(&oldest);
        }
    }
}

/// An object's identity as a key: group, kind, namespace, name.
pub(crate) fn object_key(object: &ObjectRef) -> String {
    let (group, kind, namespace, name) = object.identity();
    format!("{group}/{kind}/{}/{name}", namespace.unwrap_or_default())
}

impl ClusterWorld {
    /// Lets time pass, and everything happen that is due.
    pub(crate) fn advance_to(&mut self, to: Timestamp) {
        while let Some((at, event)) = self.queue.pop_due(to) {
            self.now = self.now.max(at);
            self.happen(event);
        }
        self.now = self.now.max(to);
    }

    /// Decides that something happens in so many seconds.
    pub(crate) fn after(&mut self, concern: Concern, span: Span, event: Event) {
        let seconds = self.dice.seconds(concern, span);
        self.queue.push(later(self.now, seconds), event);
    }

    fn happen(&mut self, event: Event) {
        if event.needs_api() && !self.api_answers() {
            self.waiting_for_api.push(event);
            return;
        }
        match event {
            Event::GroupTick(group) => self.group_tick(&group),
            Event::InService(id) => self.in_service(&id),
            Event::Boots(id) => self.boots(&id),
            Event::EtcdUp(id) => self.etcd_up(&id),
            Event::ApiUp(id) => self.api_up(&id),
            Event::Registers(id) => self.registers(&id),
            Event::NodeReady(node) => self.node_ready(&node),
            Event::Stops(id) => self.stops(&id),
            Event::Gone(id) => self.gone(&id),
            Event::NodeGone(node) => self.node_gone(&node),
            Event::TargetHealthy(id, epoch) => self.target_healthy(&id, epoch),
            Event::TargetDrained(id, epoch) => self.target_drained(&id, epoch),
            Event::Schedule => self.schedule(),
            Event::PodReady(pod) => self.pod_ready(pod),
            Event::PodCompletes(pod) => self.pod_completes(pod),
            Event::PodGone(pod) => self.pod_gone(pod),
            Event::TaintEviction(node) => self.taint_eviction(&node),
            Event::KubeletBack(node) => self.kubelet_back(&node),
            Event::Meddle(what) => self.meddle(what),
        }
    }
}
