//! Stopping, and putting back what is half done.

use refit_model::{
    GivingUp, GroupName, GroupOp, InstanceState, Lifecycle, NodeName, NodeOp, Op, Outcome, Period,
    Purpose, RollTag, TargetHealth, Timestamp,
};

use super::{Roll, on_group, on_node, tag_of};
use crate::decision::{Decision, Wait, after};
use crate::memory::{Current, Memory};

/// How long healing waits for an instance that was asked for, so that it can be taken away again.
/// Auto Scaling launches within seconds where there is capacity.
const LAUNCH: Period = Period::minutes(2);

impl Roll<'_> {
    /// Leaves within seconds: uncordons a node that nothing was evicted from. What else was
    /// changed stands on tags and annotations, and the next run goes on from there.
    pub(super) fn leave(&self, memory: &Memory) -> Decision {
        if let Some(current) = memory.current.as_ref().filter(|current| !current.evicted)
            && let Some(ops) = self.let_go(current)
        {
            return Decision::act("uncordon", ops);
        }
        Decision::end(Outcome::Stopped)
    }

    /// What makes the node that was chosen an ordinary one again.
    pub(super) fn let_go(&self, current: &Current) -> Option<Vec<Op>> {
        let (group, instance) =
            self.instances().find(|(_, instance)| instance.id == current.instance)?;
        let ops = self.make_ordinary(group, instance);
        (!ops.is_empty()).then_some(ops)
    }

    fn make_ordinary(&self, group: &GroupName, instance: &InstanceState) -> Vec<Op> {
        let mut ops = Vec::new();
        if instance.lifecycle == Lifecycle::Terminating {
            return ops;
        }
        if matches!(instance.target_health, Some(TargetHealth::Draining | TargetHealth::Unused)) {
            ops.push(on_group(group, GroupOp::Register { instance: instance.id.clone() }));
        }
        // The annotation goes last: it is what another process would know the node by.
        if let Some(node) = self.cordoned(instance) {
            if self.state.nodes[node].annotations.contains_key(NodeOp::OUT_OF_SERVICE_BY) {
                ops.push(on_node(node, NodeOp::RemoveOutOfService));
            }
            ops.push(on_node(node, NodeOp::Uncordon));
        }
        ops
    }

    /// The node of an instance, if refit has cordoned it.
    fn cordoned(&self, instance: &InstanceState) -> Option<&NodeName> {
        let (name, node) = self.node(&instance.id)?;
        node.annotations.contains_key(RollTag::CORDONED).then_some(name)
    }

    /// Makes those nodes ordinary ones again that another process has cordoned.
    fn let_go_forgotten<'s>(
        &self,
        instances: impl Iterator<Item = (&'s GroupName, &'s InstanceState)>,
    ) -> Option<Decision> {
        let ops: Vec<Op> = instances
            .filter(|(_, instance)| self.cordoned(instance).is_some())
            .flat_map(|(group, instance)| self.make_ordinary(group, instance))
            .collect();
        (!ops.is_empty()).then(|| Decision::act("uncordon", ops))
    }

    /// Nodes that are not replaced stay, but for the one that is just taken away: what a process
    /// that was killed has cordoned as surplus takes pods again.
    pub(super) fn keep_ordinary(&self, memory: &Memory) -> Option<Decision> {
        let going = memory.current.as_ref().map(|current| &current.instance);
        self.let_go_forgotten(self.instances().filter(|(group, instance)| {
            let stays = self.to.is_none() || !self.is_old(group, instance);
            stays && Some(&instance.id) != going
        }))
    }

    /// Returns a group that refit has raised and that has not launched what it was asked for.
    fn launching(&self) -> Option<&GroupName> {
        let mut raised =
            self.groups.iter().filter(|(_, group)| tag_of(group).is_some_and(|tag| tag.surge > 0));
        raised.find(|(_, group)| !Self::is_complete(group)).map(|(name, _)| *name)
    }

    /// Puts back what was changed, then ends with the reason.
    pub(super) fn heal(
        &self,
        memory: &mut Memory,
        why: &GivingUp,
        healing_since: Timestamp,
    ) -> Decision {
        let most = self.wait_complete.plus(self.drain_timeout).plus(self.node_ready_timeout);
        let over = self.now >= after(healing_since, most);
        if let Some(current) = memory.current.clone() {
            let surplus = current.purpose == Purpose::Surplus && current.since >= healing_since;
            let found = self.instances().find(|(_, instance)| instance.id == current.instance);
            if surplus && !over {
                match found {
                    Some((group, instance)) if instance.lifecycle != Lifecycle::Terminating => {
                        match self.drain(memory, &current, group, instance) {
                            Ok(decision) => return decision,
                            Err(stuck) => memory.left.push(format!(
                                "desired of {group} is one more than before: {stuck}"
                            )),
                        }
                    }
                    Some(_) => {
                        let what = format!("instance {} to be gone", current.instance);
                        let until = after(healing_since, most);
                        return Decision::wait(
                            "put back",
                            Wait { what, since: healing_since, until },
                        );
                    }
                    None => {}
                }
            }
            if let Some(ops) = self.let_go(&current) {
                return Decision::act("uncordon", ops);
            }
            memory.current = None;
        }
        if let Some(decision) = self.let_go_forgotten(self.instances()) {
            return decision;
        }
        if !over
            && memory.left.is_empty()
            && let Some(decision) = self.take_surplus_away(memory)
        {
            return decision;
        }
        // An instance that was asked for and has not been launched yet cannot be taken away.
        if let Some(name) = self.launching() {
            let since = memory.waiting_since("launch", self.now);
            let until = after(since, LAUNCH).min(after(healing_since, most));
            if self.now < until {
                let what = format!("{name} to launch the instance that is taken away again");
                return Decision::wait("put back", Wait { what, since, until });
            }
        }
        for (name, group) in &self.groups {
            let surge = tag_of(group).map_or(0, |tag| tag.surge);
            if surge > 0 && memory.left.is_empty() {
                memory.left.push(format!(
                    "desired of {name} is {} and was {}: no new instance could be taken away; the next run does",
                    group.desired,
                    group.desired.saturating_sub(surge)
                ));
            }
        }
        if let Some(decision) = self.give_back(memory) {
            return decision;
        }
        let mut left = memory.left.clone();
        left.extend(self.still_uneven(memory));
        match why {
            GivingUp::Cancelled => Decision::end(Outcome::stopped(left)),
            GivingUp::Failed { reason } => Decision::fail(reason, left),
        }
    }
}
