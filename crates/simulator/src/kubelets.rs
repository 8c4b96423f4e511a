//! Kubelets that die while their machine runs.
//!
//! Their node is not Ready any more, and nothing on it ends: a pod that is deleted stays
//! terminating until the kubelet answers again, the node goes, or the node is tainted as out of
//! service
//! ([non-graceful node shutdown](https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown)).

use refit_model::{NodeName, NodeOp, Timestamp};

use crate::cluster::{ClusterWorld, Node};
use crate::dice::Concern;
use crate::groups::SOON;
use crate::queue::{Event, later};

/// How long the control plane waits for a kubelet before it sets the condition Ready to Unknown, in
/// seconds: `--node-monitor-grace-period`.
const MONITOR_GRACE: u32 = 40;
/// How long after that the pods of the node are deleted, in seconds: `tolerationSeconds` of the
/// taint `node.kubernetes.io/unreachable`, as it is added to every pod.
const TOLERATED: u32 = 300;

impl Node {
    /// Returns since when the control plane takes the kubelet for unreachable.
    pub(crate) fn unreachable_since(&self, now: Timestamp) -> Option<Timestamp> {
        let noticed = later(self.kubelet_dead_since?, MONITOR_GRACE);
        (noticed <= now).then_some(noticed)
    }

    /// Returns whether a pod that is deleted from the node ends.
    pub(crate) fn ends_pods(&self) -> bool {
        self.kubelet_dead_since.is_none()
            || self.annotations.contains_key(NodeOp::OUT_OF_SERVICE_BY)
    }
}

impl ClusterWorld {
    /// The kubelet of a node dies.
    pub(crate) fn kill_kubelet(&mut self, name: &NodeName) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let Some(instance) = node.instance.as_ref().and_then(|id| self.instances.get_mut(id))
        else {
            return;
        };
        if instance.dead || node.kubelet_dead_since.is_some() {
            return;
        }
        node.kubelet_dead_since = Some(self.now);
        instance.down_since.get_or_insert(self.now);
        instance.held_back.push(Event::KubeletBack(name.clone()));
        self.node_dies(name);
        let at = later(self.now, MONITOR_GRACE + TOLERATED);
        self.queue.push(at, Event::TaintEviction(name.clone()));
    }

    /// The node controller deletes the pods of a node that is still unreachable.
    pub(crate) fn taint_eviction(&mut self, name: &NodeName) {
        let unreachable = |node: &Node| node.unreachable_since(self.now).is_some();
        if self.nodes.get(name).is_some_and(unreachable) {
            self.delete_pods(name);
        }
    }

    /// The kubelet of a node answers again, and ends what was deleted meanwhile.
    pub(crate) fn kubelet_back(&mut self, name: &NodeName) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        if node.kubelet_dead_since.take().is_none() {
            return;
        }
        let pods: Vec<u64> = node.pods.iter().copied().collect();
        self.release_pods(name);
        self.node_ready(name);
        for pod in pods {
            if self.pods.get(&pod).is_some_and(|pod| !pod.terminating) {
                self.pod_ready(pod);
            }
        }
    }

    /// A node is tainted as out of service: its pods are deleted and end.
    pub(crate) fn out_of_service(&mut self, name: &NodeName) {
        self.delete_pods(name);
        self.release_pods(name);
    }

    fn delete_pods(&mut self, name: &NodeName) {
        let Some(node) = self.nodes.get(name) else { return };
        let pods: Vec<u64> = node.pods.iter().copied().collect();
        for pod in pods {
            if self.pods.get(&pod).is_some_and(|pod| !pod.is_daemon()) {
                self.end_pod_and_replace(pod);
            }
        }
    }

    /// Ends the pods that a dead kubelet has held back.
    fn release_pods(&mut self, name: &NodeName) {
        let id = self.nodes.get(name).and_then(|node| node.instance.clone());
        let Some(instance) = id.and_then(|id| self.instances.get_mut(&id)) else { return };
        let held = std::mem::take(&mut instance.held_back);
        let (ending, other): (Vec<Event>, Vec<Event>) =
            held.into_iter().partition(|event| matches!(event, Event::PodGone(_)));
        instance.held_back = other;
        for event in ending {
            self.after(Concern::Pods, SOON, event);
        }
    }
}
