//! Settings of groups that are changed for a roll, and given back.

use refit_model::{
    GroupName, GroupOp, GroupState, ImagePin, Lifecycle, NodeOp, Op, OpId, Progress, RollTag,
};

use super::{REBALANCE, Roll, on_group, on_node, tag_of};
use crate::decision::{Decision, Mode};
use crate::memory::Memory;

impl Roll<'_> {
    /// Brings tags in line with what really happened between two calls.
    ///
    /// The tag is written before desired is raised, and corrected after it has fallen with an
    /// instance: so when desired is below the tag's, that much of the surge is not there.
    pub(super) fn correct_tags(&self, memory: &mut Memory) -> Option<Decision> {
        let mut ops = Vec::new();
        for (name, group) in &self.groups {
            let Some(tag) = tag_of(group) else {
                memory.forget_surge(name);
                continue;
            };
            if tag.run != *self.run {
                // Another run has been here since: what this one knew of the surge is over.
                memory.forget_surge(name);
            }
            memory.see_tag(name, tag.surge);
            memory.see_instances(name, |id| {
                let mut staying =
                    group.instances.iter().filter(|i| i.lifecycle != Lifecycle::Terminating);
                staying.any(|instance| instance.id == *id)
            });
            let missing = tag.desired.saturating_sub(group.desired);
            let surge = memory.surge.get(*name).copied();
            let right = RollTag {
                run: self.run.clone(),
                // Somebody may have lowered desired meanwhile: what is below the minimum of the
                // group cannot be surge, and would be refused when it is given back.
                surge: surge
                    .unwrap_or_else(|| tag.surge.saturating_sub(missing))
                    .min(group.desired.saturating_sub(group.min)),
                desired: group.desired,
                suspended: tag.suspended.clone(),
                op: tag.op,
            };
            if right != tag {
                ops.push(on_group(name, GroupOp::Tag { tag: right }));
            }
        }
        (!ops.is_empty()).then(|| Decision::act("take stock", ops))
    }

    /// Templates, tags, suspended processes, protection: all that comes before a node is touched.
    pub(super) fn prepare(&self, memory: &Memory) -> Option<Decision> {
        if self.control_plane && memory.etcd_baseline.is_none() {
            let ready = self.etcd_ready();
            return Some(Decision::note("count etcd members", Progress::EtcdBaseline { ready }));
        }
        if self.mode == Mode::Finish || self.to.is_none() {
            return None;
        }
        let mut ops = Vec::new();
        for (name, group) in &self.groups {
            if let Some(pin) = self.images.get(*name) {
                ops.extend(point_at(name, group, pin));
            }
        }
        if !ops.is_empty() {
            return Some(Decision::act("point the groups at the new image", ops));
        }
        if self.old().is_empty() && self.surplus() == 0 && memory.current.is_none() {
            return None;
        }
        for (name, group) in &self.groups {
            let rebalances = group.zones.len() > 1;
            if tag_of(group).is_none() && (rebalances || !self.control_plane) {
                let suspends = rebalances && !group.suspended.contains(REBALANCE);
                ops.push(on_group(
                    name,
                    GroupOp::Tag {
                        tag: RollTag {
                            run: self.run.clone(),
                            surge: 0,
                            desired: group.desired,
                            suspended: suspends.then(|| REBALANCE.to_owned()).into_iter().collect(),
                            op: OpId::default(),
                        },
                    },
                ));
            }
        }
        if !ops.is_empty() {
            return Some(Decision::act("note the groups' settings on them", ops));
        }
        for (name, group) in &self.groups {
            let Some(tag) = tag_of(group) else { continue };
            for process in tag.suspended.difference(&group.suspended) {
                ops.push(on_group(name, GroupOp::Suspend { process: process.clone() }));
            }
            let fresh = group.instances.iter().filter(|instance| {
                instance.lifecycle == Lifecycle::InService
                    && !instance.protected
                    && !self.is_old(name, instance)
            });
            for instance in fresh {
                ops.push(on_group(name, GroupOp::Protect { instance: instance.id.clone() }));
            }
        }
        ops.extend(self.keep_from_autoscaler());
        (!ops.is_empty()).then(|| Decision::act("protect the new instances", ops))
    }

    /// Returns the calls that keep the cluster-autoscaler from the new nodes of the roll. A surge
    /// node is empty at first, which makes it the first one that the autoscaler would remove; and
    /// protection from scale-in does not cover `TerminateInstanceInAutoScalingGroup`, which it
    /// calls.
    fn keep_from_autoscaler(&self) -> impl Iterator<Item = Op> {
        let new = self.instances().filter(|(group, instance)| {
            instance.lifecycle == Lifecycle::InService && !self.is_old(group, instance)
        });
        let nodes = new.filter_map(|(_, instance)| self.node(&instance.id));
        nodes.filter(|_| !self.control_plane).filter_map(|(name, node)| {
            let marked = node.annotations.contains_key(NodeOp::SCALE_DOWN_DISABLED);
            let op = NodeOp::DisableScaleDown { run: self.run.clone() };
            (!marked).then(|| on_node(name, op))
        })
    }

    /// Returns the calls that give the nodes of a group back to the cluster-autoscaler.
    fn give_to_autoscaler(&self, group: &GroupState) -> impl Iterator<Item = Op> {
        let staying = group.instances.iter().filter(|i| i.lifecycle != Lifecycle::Terminating);
        let nodes = staying.filter_map(|instance| self.node(&instance.id));
        nodes.filter_map(|(name, node)| {
            let marked = node.annotations.contains_key(NodeOp::SCALE_DOWN_DISABLED_BY);
            marked.then(|| on_node(name, NodeOp::EnableScaleDown))
        })
    }

    /// Gives back what was changed on the groups, and none of what somebody else changed. A
    /// group that would terminate a node which is not drained keeps `AZRebalance` suspended, and
    /// its tag, so that the next run goes on from there.
    pub(super) fn give_back(&self, memory: &Memory) -> Option<Decision> {
        let mut ops = Vec::new();
        let mut untag = Vec::new();
        for (name, group) in &self.groups {
            let Some(tag) = tag_of(group) else { continue };
            for instance in group.instances.iter().filter(|instance| instance.protected) {
                if !self.is_old(name, instance) {
                    ops.push(on_group(name, GroupOp::Unprotect { instance: instance.id.clone() }));
                }
            }
            ops.extend(self.give_to_autoscaler(group));
            let uneven = self.would_rebalance(memory, name, group);
            for process in tag.suspended.intersection(&group.suspended) {
                if uneven && process == REBALANCE {
                    continue;
                }
                ops.push(on_group(name, GroupOp::Resume { process: process.clone() }));
            }
            // The tag goes last: it is what another run would give the rest back by. While desired
            // is too high it stays, and the next run takes the surplus away.
            if tag.surge == 0 && !uneven {
                untag.push(on_group(name, GroupOp::Untag));
            }
        }
        let ops = if ops.is_empty() { untag } else { ops };
        (!ops.is_empty()).then(|| Decision::act("give the groups' settings back", ops))
    }
}

/// What makes a group launch the pinned image: another template version, made if there is none.
pub(crate) fn point_at(name: &GroupName, group: &GroupState, pin: &ImagePin) -> Option<Op> {
    if group.image() == Some(&pin.id) {
        return None;
    }
    let version =
        group.template_images.iter().rev().find(|(_, image)| **image == pin.id).map(|(v, _)| *v);
    Some(on_group(
        name,
        match version {
            Some(version) => GroupOp::SetTemplateVersion { version },
            None => GroupOp::CreateTemplateVersion { image: pin.id.clone() },
        },
    ))
}
