//! Nodes whose kubelet does not answer.
//!
//! The pods on such a node never end by themselves, and count as unhealthy against their budgets.
//! So a roll neither drains it nor waits for it for ever: when the kubelet has not answered for
//! `unreachable-timeout`, the instance is terminated. Where volumes are attached to it, the node is
//! tainted as out of service first, so that they are detached at once
//! ([non-graceful node shutdown](https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown)).

use refit_model::{
    GroupName, InstanceState, Lifecycle, NodeName, NodeOp, NodeState, Period, PodOwner, Timestamp,
    WorkloadRef,
};

use super::{Roll, count, on_node};
use crate::decision::{Decision, Wait, after};
use crate::memory::{Current, Memory};

/// How long volumes may take to be detached after the taint. The instance is terminated then
/// anyway, and they are detached with it.
const DETACH: Period = Period::minutes(2);

impl Roll<'_> {
    /// Returns since when the kubelet of an instance has not answered. `None` if it answers.
    fn unreachable_since(&self, instance: &InstanceState) -> Option<Timestamp> {
        self.node(&instance.id).and_then(|(_, node)| node.unreachable_since)
    }

    /// Returns when an instance whose kubelet does not answer is terminated. `None` if it answers.
    pub(super) fn terminated_at(&self, instance: &InstanceState) -> Option<Timestamp> {
        self.unreachable_since(instance).map(|since| after(since, self.unreachable_timeout))
    }

    /// Returns whether the kubelet of an instance has not answered for too long.
    pub(super) fn is_lost(&self, instance: &InstanceState) -> bool {
        self.terminated_at(instance).is_some_and(|at| self.now >= at)
    }

    /// Returns whether the kubelet of an instance does not answer, and still has time to.
    fn may_answer_again(&self, instance: &InstanceState) -> bool {
        self.terminated_at(instance).is_some_and(|at| self.now < at)
    }

    /// Waits for a kubelet that does not answer. `None` if all of them do.
    pub(super) fn wait_for_kubelet(&self, step: &str) -> Option<Decision> {
        let silent = self.instances().filter(|(_, instance)| {
            instance.lifecycle != Lifecycle::Terminating && self.may_answer_again(instance)
        });
        let (_, instance) = silent.min_by_key(|(_, instance)| self.terminated_at(instance))?;
        let (since, until) = (self.unreachable_since(instance)?, self.terminated_at(instance)?);
        let (node, _) = self.node(&instance.id)?;
        let what = format!(
            "the kubelet of {node} to answer again; the instance is terminated after {} without it",
            self.unreachable_timeout
        );
        Some(Decision::wait(step, Wait { what, since, until }))
    }

    /// Returns how many pods of a workload cannot be ready, because the kubelet of their node does
    /// not answer, and are not replaced elsewhere: those of a DaemonSet belong to the node, and a
    /// StatefulSet waits until the old pod is gone.
    pub(super) fn stuck_pods(&self, workload: &WorkloadRef) -> u32 {
        let replaced_elsewhere = workload.kind == "Deployment" || workload.kind == "ReplicaSet";
        let is_silent = |node: &NodeName| {
            self.state.nodes.get(node).is_some_and(|node| node.unreachable_since.is_some())
        };
        count(self.state.pods.iter().filter(|pod| {
            let owned = match &pod.owner {
                PodOwner::Workload(owner) | PodOwner::DaemonSet(owner) => owner == workload,
                PodOwner::Mirror | PodOwner::Nobody => false,
            };
            let stuck = !pod.terminating || !replaced_elsewhere;
            owned && stuck && !pod.ready && pod.node.as_ref().is_some_and(is_silent)
        }))
    }

    /// Terminates an instance whose kubelet does not answer, without a drain.
    pub(super) fn terminate_lost(
        &self,
        memory: &mut Memory,
        current: &Current,
        (group, instance): (&GroupName, &InstanceState),
        (node, state): (&NodeName, &NodeState),
    ) -> Decision {
        let step = format!("terminate {node}, whose kubelet does not answer");
        if !state.unschedulable {
            return Decision::act(
                step,
                vec![on_node(node, NodeOp::Cordon { run: self.run.clone() })],
            );
        }
        let mut volumes = self.state.pods_on(node).filter_map(|pod| pod.volume.as_ref());
        let attached = volumes.next().map(|volume| &volume.claim).or(state.detaching.first());
        if let Some(volume) = attached {
            if !state.annotations.contains_key(NodeOp::OUT_OF_SERVICE_BY) {
                let op = NodeOp::TaintOutOfService { run: self.run.clone() };
                return Decision::act(step, vec![on_node(node, op)]);
            }
            let since = memory.waiting_since("detached", self.now);
            let until = after(since, DETACH);
            if self.now < until {
                let what = format!("volume {volume} to be detached from {node}");
                return Decision::wait(step, Wait { what, since, until });
            }
        }
        if let Some(what) = self.etcd_missing(memory, current) {
            let (since, until) = (current.since, self.drained_until(memory, current));
            if self.now >= until {
                let time = self.drain_time(Self::may_have_waited(memory, current));
                return Self::give_up(format!("waited {time} for {what}"));
            }
            return Decision::wait(step, Wait { what, since, until });
        }
        Decision::act(step, self.terminate(group, &instance.id))
    }
}

#[cfg(test)]
mod tests {
    use refit_model::{
        ClusterState, GroupOp, Op, PodOwner, PodState, Progress, RestartPolicy, ZonalVolume,
    };

    use super::*;
    use crate::bench::{at, group, instance, node, pool, roll, settings};
    use crate::decision::{Mode, Next};
    use crate::roll::{decide, on_group};

    /// A pool of three old nodes; the kubelet of the first has not answered since the beginning.
    fn silent() -> ClusterState {
        let mut state = pool(3, 0);
        let first = state.nodes.get_mut(&node(1)).unwrap();
        first.ready = false;
        first.unreachable_since = Some(at(0));
        for node in state.nodes.values_mut() {
            node.annotations.insert(NodeOp::SCALE_DOWN_DISABLED.to_owned(), "true".to_owned());
        }
        let tagged = state.groups.get_mut(&group()).unwrap();
        let tag = refit_model::RollTag {
            run: settings().run,
            surge: 0,
            desired: tagged.desired,
            suspended: [].into(),
            op: refit_model::OpId::default(),
        };
        let text = serde_json::to_string(&tag).unwrap();
        tagged.tags.insert(refit_model::RollTag::KEY.to_owned(), text);
        state
    }

    fn pod(volume: bool) -> PodState {
        let zone = "eu-west-1a".parse().unwrap();
        PodState {
            namespace: "apps".to_owned(),
            name: "web".to_owned(),
            uid: "1".to_owned(),
            node: Some(node(1)),
            ready: false,
            terminating: true,
            owner: PodOwner::Nobody,
            budgets: [].into(),
            volume: volume.then(|| ZonalVolume { claim: "data".to_owned(), zone }),
            critical: false,
            restart_policy: RestartPolicy::Always,
            do_not_evict: None,
        }
    }

    fn next(state: &ClusterState, memory: &mut Memory, seconds: i64) -> Decision {
        memory.started_at = Some(at(0));
        decide(&roll(1, 0), &settings().run, state, memory, Mode::Go, at(seconds))
    }

    fn chosen(decision: &Decision) -> Option<&refit_model::InstanceId> {
        decision.notes.iter().find_map(|note| match note {
            Progress::NodeChosen { instance, .. } => Some(instance),
            Progress::EtcdBaseline { .. }
            | Progress::NodeDone { .. }
            | Progress::JournalBehind { .. }
            | Progress::Waiting { .. }
            | Progress::Healing { .. } => None,
        })
    }

    /// Ten minutes are the bound of the test's roll. Until then no other node is drained: the pods on
    /// the silent one count as unhealthy against their budgets.
    #[test]
    fn a_silent_kubelet_gets_its_time() {
        let mut memory = Memory::default();
        let Next::Wait(wait) = next(&silent(), &mut memory, 599).next else { panic!() };
        assert_eq!((wait.since, wait.until), (at(0), at(600)));
        assert!(wait.what.contains("the kubelet of ip-01"), "{}", wait.what);
        assert_eq!(chosen(&next(&silent(), &mut memory, 600)), Some(&instance(1)));
    }

    /// Its pods never end, and nothing is evicted: after its time it is cordoned and terminated,
    /// before any other node is touched and without a node launched ahead.
    #[test]
    fn a_lost_node_is_terminated_without_a_drain() {
        let mut state = silent();
        state.pods.push(pod(false));
        let mut memory = Memory::default();
        let decision = next(&state, &mut memory, 600);
        assert_eq!(chosen(&decision), Some(&instance(1)));
        memory.note(&decision.notes[0], at(600));
        state.nodes.get_mut(&node(1)).unwrap().unschedulable = true;
        let op = GroupOp::Terminate { instance: instance(1), decrement: false };
        let terminated = Next::Do(vec![on_group(&group(), op)]);
        assert_eq!(next(&state, &mut memory, 601).next, terminated);

        // With a volume, it is tainted before, and gets a while to let go of it.
        state.pods[0] = pod(true);
        let taint = NodeOp::TaintOutOfService { run: settings().run };
        let Next::Do(ops) = next(&state, &mut memory, 601).next else { panic!() };
        assert_eq!(ops, [Op::Node { node: node(1), op: taint }]);
        let annotations = &mut state.nodes.get_mut(&node(1)).unwrap().annotations;
        annotations.insert(NodeOp::OUT_OF_SERVICE_BY.to_owned(), "run-1".to_owned());
        assert!(matches!(next(&state, &mut memory, 602).next, Next::Wait(_)));
        assert_eq!(next(&state, &mut memory, 722).next, terminated);
    }

    /// A new node whose kubelet dies while others are replaced is replaced too.
    #[test]
    fn a_new_node_that_is_lost_is_replaced() {
        let mut state = silent();
        for number in [1, 2, 3] {
            state.nodes.get_mut(&node(number)).unwrap().kubelet = crate::bench::NEW.clone();
        }
        for instance in &mut state.groups.get_mut(&group()).unwrap().instances {
            instance.protected = true;
        }
        let decision = next(&state, &mut Memory::default(), 600);
        assert_eq!(chosen(&decision), Some(&instance(1)));
    }
}
