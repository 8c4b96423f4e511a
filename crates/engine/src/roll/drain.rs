//! The node that has to go: drained, ended, and waited for until what ran there is back.

use refit_model::{
    GroupName, GroupOp, InstanceState, Lifecycle, NodeOp, PodKey, PodState, Progress, TargetHealth,
    Timestamp,
};

use super::{CALM, Roll, on_group, on_node};
use crate::decision::{Decision, Wait, after};
use crate::memory::{Current, Memory};
use crate::recent::LAG;

impl Roll<'_> {
    pub(super) fn replace(&self, memory: &mut Memory, current: &Current) -> Decision {
        let found = self.instances().find(|(_, instance)| instance.id == current.instance);
        match found {
            Some((group, instance)) if instance.lifecycle != Lifecycle::Terminating => {
                if !current.evicted && self.is_untouched(instance) && !self.may_go(instance) {
                    // Since it was chosen it has come up, or another node has gone down.
                    memory.current = None;
                    return self.next(memory);
                }
                match self.drain(memory, current, group, instance) {
                    Ok(decision) => decision,
                    Err(reason) => Self::give_up(reason),
                }
            }
            _ => self.settle(memory, current),
        }
    }

    /// Whether the node of an instance that was chosen takes pods as before.
    fn is_untouched(&self, instance: &InstanceState) -> bool {
        self.node(&instance.id).is_some_and(|(_, node)| !node.unschedulable)
    }

    /// Cordon, deregister, evict, terminate. `Err` when its time is over.
    pub(super) fn drain(
        &self,
        memory: &mut Memory,
        current: &Current,
        group: &GroupName,
        instance: &InstanceState,
    ) -> Result<Decision, String> {
        if self.is_lost(instance)
            && let Some(node) = self.node(&instance.id)
        {
            return Ok(self.terminate_lost(memory, current, (group, instance), node));
        }
        let evicts_all_at = after(current.since, self.wait_complete);
        let until = self.drained_until(memory, current);
        let waited = Self::may_have_waited(memory, current);
        // A kubelet that has gone silent in the middle gets its time, too.
        let until = self.terminated_at(instance).map_or(until, |at| until.max(at));
        let wait = |what: String| -> Result<Decision, String> {
            if self.now >= until {
                return Err(format!(
                    "the drain took longer than {}: it waited for {what}",
                    self.drain_time(waited)
                ));
            }
            let step = match &current.node {
                Some(node) => format!("drain {node}"),
                None => format!("replace {}", current.instance),
            };
            Ok(Decision::wait(step, Wait { what, since: current.since, until }))
        };
        if let Some((node, state)) = self.node(&instance.id) {
            memory.stop_waiting("node");
            if !state.unschedulable {
                if !self.may_go(instance) {
                    return wait(format!("other nodes to be Ready before {node} goes"));
                }
                let op = NodeOp::Cordon { run: self.run.clone() };
                return Ok(Decision::act(format!("cordon {node}"), vec![on_node(node, op)]));
            }
            match instance.target_health {
                None | Some(TargetHealth::Unused) => {}
                Some(TargetHealth::Draining) => {
                    return wait(format!("the target groups to let go of {}", instance.id));
                }
                Some(TargetHealth::Initial | TargetHealth::Healthy) => {
                    let op = GroupOp::Deregister { instance: instance.id.clone() };
                    return Ok(Decision::act(
                        format!("take {} out of its target groups", instance.id),
                        vec![on_group(group, op)],
                    ));
                }
            }
            let (going, staying): (Vec<&PodState>, Vec<&PodState>) =
                self.pods(node).partition(|pod| pod.terminating);
            let (completing, evicted): (Vec<&PodState>, Vec<&PodState>) = staying
                .into_iter()
                .partition(|pod| self.now < evicts_all_at && pod.runs_to_completion());
            if !completing.is_empty() {
                memory.saw_completing(self.now);
            }
            if !evicted.is_empty() {
                // The time for pods that run to completion is not that of the others.
                let own = after(current.since, self.drain_timeout);
                let over = evicted.iter().any(|pod| !pod.runs_to_completion()) && self.now >= own;
                let last = after(evicts_all_at, self.drain_timeout);
                if over || self.now >= last {
                    return Err(format!(
                        "the drain of {node} took longer than {}: {}",
                        self.drain_time(!over),
                        self.why_stuck(&evicted)
                    ));
                }
                let ops = evicted
                    .iter()
                    .map(|pod| {
                        let pod = PodKey {
                            namespace: pod.namespace.clone(),
                            name: pod.name.clone(),
                            uid: pod.uid.clone(),
                        };
                        on_node(node, NodeOp::Evict { pod })
                    })
                    .collect();
                return Ok(Decision::act(format!("drain {node}"), ops));
            }
            if let Some(pod) = completing.first() {
                let what = match completing.len() {
                    1 => format!("pod {}/{} to complete", pod.namespace, pod.name),
                    n => format!("{n} pods to complete, such as {}/{}", pod.namespace, pod.name),
                };
                let wait = Wait { what, since: current.since, until: evicts_all_at };
                return Ok(Decision::wait(format!("drain {node}"), wait));
            }
            if let Some(pod) = going.first() {
                return wait(format!("pod {}/{} to end", pod.namespace, pod.name));
            }
            // A volume that is still attached when its machine ends is away for minutes.
            if let Some(volume) = state.detaching.first() {
                return wait(format!("volume {volume} to be detached from {node}"));
            }
        }
        if let (None, Some(node)) = (self.node(&instance.id), &current.node) {
            // Somebody deleted it, or a look lags behind its registration: then nothing on it has
            // been drained.
            let since = memory.waiting_since("node", self.now);
            if self.now < after(since, LAG) {
                return wait(format!("node {node} to show again, or to stay away"));
            }
        }
        if let Some(missing) = self.etcd_missing(memory, current) {
            return wait(missing);
        }
        let ops = self.terminate(group, &instance.id);
        Ok(Decision::act(format!("terminate {}", instance.id), ops))
    }

    /// Returns until when the drain of a node may take: its own time, counted from when the last pod was
    /// seen that the drain waited for to complete. A process that goes on with a drain does not know when
    /// that was, and allows the longest.
    pub(super) fn drained_until(&self, memory: &Memory, current: &Current) -> Timestamp {
        let begins = match memory.completing_seen_at() {
            Some(at) => at,
            None if current.is_resumed => after(current.since, self.wait_complete),
            None => current.since,
        };
        after(begins, self.drain_timeout)
    }

    /// Returns whether the drain of a node may have waited for a pod to complete.
    pub(super) fn may_have_waited(memory: &Memory, current: &Current) -> bool {
        current.is_resumed || memory.completing_seen_at().is_some()
    }

    /// Returns how long a drain may take, for a message: `waited` if it waited for pods to complete.
    pub(super) fn drain_time(&self, waited: bool) -> String {
        if !waited || self.wait_complete.is_zero() {
            return self.drain_timeout.to_string();
        }
        format!(
            "{} (`wait-complete`) and {} (`drain-timeout`)",
            self.wait_complete, self.drain_timeout
        )
    }

    pub(super) fn why_stuck(&self, pods: &[&PodState]) -> String {
        let Some(pod) = pods.first() else { return "nothing is left".to_owned() };
        let shut = self.state.budgets.iter().find(|budget| {
            budget.namespace == pod.namespace
                && pod.budgets.contains(&budget.name)
                && budget.disruptions_allowed == 0
        });
        let more = match pods.len() {
            1 => String::new(),
            n => format!(", and {} more pods", n - 1),
        };
        let homeless = shut.and_then(|budget| {
            self.state.pods.iter().find(|pod| {
                pod.node.is_none()
                    && pod.namespace == budget.namespace
                    && pod.budgets.contains(&budget.name)
            })
        });
        let more = match homeless {
            Some(pod) => {
                format!("{more}; pod {}/{} waits for a node with room", pod.namespace, pod.name)
            }
            None => more,
        };
        match shut {
            Some(budget) => format!(
                "pod {}/{} may not be evicted, PodDisruptionBudget {}/{} allows no disruption ({} of {} healthy, {} must be){more}",
                pod.namespace,
                pod.name,
                budget.namespace,
                budget.name,
                budget.current_healthy,
                budget.expected_pods,
                budget.desired_healthy
            ),
            None => format!("pod {}/{} is still there{more}", pod.namespace, pod.name),
        }
    }

    /// What etcd lacks for an instance to go.
    pub(super) fn etcd_missing(&self, memory: &Memory, current: &Current) -> Option<String> {
        if !self.control_plane {
            return None;
        }
        let baseline = memory.etcd_baseline.unwrap_or(0);
        let ready = self.etcd_ready();
        let own = self.member(&current.instance).and_then(|member| member.etcd_ready);
        // A member that is broken itself may be the one that is replaced.
        let needed = if own == Some(false) { baseline.saturating_sub(1) } else { baseline };
        (ready < needed).then(|| format!("etcd members to be Ready ({ready} of {needed})"))
    }

    /// The instance is on its way out or gone: waits until what ran there is back, and stays so.
    pub(super) fn settle(&self, memory: &mut Memory, current: &Current) -> Decision {
        let step = format!(
            "replace {}",
            current.node.as_ref().map_or(current.instance.as_str(), |n| n.as_str())
        );
        let gone_at = memory.waiting_since("settle", self.now);
        let until = after(gone_at, self.node_ready_timeout);
        if let Some(what) = self.unsettled(memory, current) {
            memory.stop_waiting("calm");
            if self.now >= until {
                return Self::give_up(format!("waited {} for {what}", self.node_ready_timeout));
            }
            return Decision::wait(step, Wait { what, since: gone_at, until });
        }
        let calm = memory.waiting_since("calm", self.now);
        if self.now < after(calm, CALM) {
            let what = "the workloads to stay ready".to_owned();
            return Decision::wait(step, Wait { what, since: calm, until: after(calm, CALM) });
        }
        Decision::note(step, Progress::NodeDone { instance: current.instance.clone() })
    }

    pub(super) fn unsettled(&self, memory: &Memory, current: &Current) -> Option<String> {
        if self.instances().any(|(_, instance)| instance.id == current.instance) {
            return Some(format!("instance {} to be gone", current.instance));
        }
        if let Some(node) = &current.node
            && self.state.nodes.get(node).is_some_and(|state| {
                state.instance.is_none() || state.instance.as_ref() == Some(&current.instance)
            })
        {
            return Some(format!("node {node} to be gone"));
        }
        for state in &self.state.workloads {
            let Some(before) = current.baseline.get(&state.workload) else { continue };
            let wanted = (*before).min(state.replicas);
            let wanted = wanted.saturating_sub(self.stuck_pods(&state.workload));
            if state.ready < wanted {
                return Some(format!(
                    "{} to be ready again ({} of {wanted})",
                    state.workload, state.ready
                ));
            }
        }
        if self.control_plane {
            let baseline = memory.etcd_baseline.unwrap_or(0);
            let ready = self.etcd_ready();
            if ready < baseline {
                return Some(format!("etcd members to be Ready ({ready} of {baseline})"));
            }
            if self.up() < self.wanted() {
                return Some(self.missing());
            }
        }
        None
    }
}
