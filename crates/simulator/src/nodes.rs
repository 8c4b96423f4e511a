//! Machines and the nodes that they become.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use refit_model::{InstanceId, KubeProxy, KubeVersion, Lifecycle, NodeName, WorkloadRef};

use crate::cluster::{ClusterWorld, Instance, Node};
use crate::dice::{Concern, Span};
use crate::queue::Event;

/// How long a machine boots once its instance is in service.
const BOOT: Span = (15, 45);
/// How long after booting the kubelet registers its node.
const REGISTER: Span = (5, 20);
/// How long a registered node takes to be Ready: network, images of the DaemonSets.
const BECOME_READY: Span = (5, 30);
/// How long the node object outlives its machine.
const NODE_OUTLIVES: Span = (5, 20);

/// The DaemonSet that runs kube-proxy, in clusters where it is no static pod.
static KUBE_PROXY: LazyLock<WorkloadRef> =
    LazyLock::new(|| WorkloadRef::new("DaemonSet", "kube-system", "kube-proxy"));

impl ClusterWorld {
    pub(crate) fn boot_begins(&mut self, id: &InstanceId) {
        self.after(Concern::Boot, BOOT, Event::Boots(id.clone()));
    }

    pub(crate) fn boots(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.dead || instance.lifecycle == Lifecycle::Terminating {
            return;
        }
        instance.booted = true;
        if instance.control_plane {
            self.control_plane_boots(id);
        }
        self.after(Concern::Boot, REGISTER, Event::Registers(id.clone()));
    }

    pub(crate) fn registers(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get(id) else { return };
        if instance.dead || instance.lifecycle == Lifecycle::Terminating || instance.node.is_some()
        {
            return;
        }
        let Some(name) = self.add_node(id) else { return };
        let ready = Event::NodeReady(name);
        if self.dice.chance(Concern::NeverReady, self.faults.never_ready) {
            if let Some(instance) = self.instances.get_mut(id) {
                instance.held_back.push(ready);
            }
        } else {
            self.after(Concern::Boot, BECOME_READY, ready);
        }
        self.judge_node(id);
    }

    /// Adds the node of an instance, not Ready.
    pub(crate) fn add_node(&mut self, id: &InstanceId) -> Option<NodeName> {
        let instance = self.instances.get_mut(id)?;
        // Names of machines are numbers in a network, as in a real account.
        let number = u64::from_str_radix(id.as_str().get(10..)?, 16).ok()?;
        let name = format!("ip-10-{}-{}-{}", number >> 16, (number >> 8) & 255, number & 255);
        let name: NodeName = name.parse().ok()?;
        instance.node = Some(name.clone());
        let node = Node {
            instance: Some(id.clone()),
            zone: Some(instance.zone.clone()),
            kubelet: instance.version.clone(),
            registered_at: Some(self.now),
            ready: false,
            ready_since: None,
            unready_since: Some(self.now),
            kubelet_dead_since: None,
            unschedulable: false,
            cordoned_by_hand: false,
            control_plane: instance.control_plane,
            annotations: BTreeMap::new(),
            pods: BTreeSet::new(),
            load: 0,
            capacity: self.pods_per_node,
        };
        self.nodes.insert(name.clone(), node);
        Some(name)
    }

    pub(crate) fn node_ready(&mut self, name: &NodeName) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        if node.kubelet_dead_since.is_some() {
            return; // A kubelet that has died tells nothing.
        }
        let instance = node.instance.clone();
        if let Some(id) = &instance {
            let Some(instance) = self.instances.get_mut(id) else { return };
            if instance.dead {
                return;
            }
            if !instance.control_plane && instance.lifecycle == Lifecycle::InService {
                instance.down_since = None;
            }
        }
        if !node.ready {
            node.ready_since = Some(self.now);
        }
        node.ready = true;
        node.unready_since = None;
        let daemons: Vec<WorkloadRef> =
            self.workloads.keys().filter(|found| found.kind == "DaemonSet").cloned().collect();
        for daemon in daemons {
            self.reconcile(&daemon);
        }
        self.request_schedule();
    }

    /// The machine is shut down, or has failed: nothing on it runs any more.
    pub(crate) fn stops(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.dead {
            return;
        }
        instance.dead = true;
        instance.api_up = false;
        instance.etcd_ready = false;
        instance.down_since.get_or_insert(self.now);
        let Some(name) = instance.node.clone() else { return };
        self.node_dies(&name);
    }

    pub(crate) fn node_dies(&mut self, name: &NodeName) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        node.ready = false;
        node.ready_since = None;
        node.unready_since.get_or_insert(self.now);
        let pods: Vec<u64> = node.pods.iter().copied().collect();
        for pod in pods {
            self.set_ready(pod, false);
        }
    }

    /// The instance of a node has ended: the node object follows.
    pub(crate) fn node_of_ended(&mut self, instance: &Instance) {
        if let Some(node) = &instance.node {
            self.after(Concern::Boot, NODE_OUTLIVES, Event::NodeGone(node.clone()));
        }
    }

    /// Removes the node object; the pods that were bound to it are collected.
    pub(crate) fn node_gone(&mut self, name: &NodeName) {
        let Some(node) = self.nodes.remove(name) else { return };
        let mut owners: BTreeSet<WorkloadRef> = BTreeSet::new();
        for pod in node.pods {
            owners.extend(self.remove_pod(pod));
        }
        for owner in owners {
            self.reconcile(&owner);
        }
        if let Some(instance) = node.instance.and_then(|id| self.instances.get_mut(&id)) {
            instance.node = None;
        }
    }

    /// The kube-proxy of a node: a pod of the DaemonSet, where there is one, or the one that the
    /// image brings.
    pub(crate) fn kube_proxy(&self, node: &Node) -> KubeProxy {
        let daemon = &*KUBE_PROXY;
        if !self.workloads.contains_key(daemon) {
            return KubeProxy::StaticPod(node.kubelet.clone());
        }
        let pod = node
            .pods
            .iter()
            .filter_map(|pod| self.pods.get(pod))
            .find(|pod| pod.owner.as_ref() == Some(daemon));
        let version: Option<KubeVersion> = pod.and_then(|pod| pod.image_tag().parse().ok());
        version.map_or(KubeProxy::None, KubeProxy::DaemonSet)
    }
}
