//! How instances are replaced: those of a node pool within its bounds, those of a control
//! plane one at a time.
//!
//! [`decide`] is level-triggered: it looks at the world and at the action's memory and names
//! the next calls. So it does not matter whether the process that looks is the one that acted.
//!
//! Nodes are cordoned one after the other ("ready, then next"); surge launches replacements
//! ahead, and unavailable lets the next node go before a replacement has come. Desired is
//! raised by a number and never lowered by one: surge goes back only by terminating, with
//! decrement, a node that was drained.

mod drain;
mod heal;
mod next;
mod settings;
#[cfg(test)]
mod tests;
mod unreachable;
mod zones;

pub(crate) use settings::point_at;

use std::collections::BTreeMap;

use refit_model::{
    Action, ActionKind, Bounds, ClusterState, ControlPlaneMember, GivingUp, GroupName, GroupOp,
    GroupState, ImagePins, InstanceId, InstanceState, KubeVersion, Lifecycle, NodeName, NodeOp,
    NodeState, Op, Period, PodOwner, PodState, Progress, RollTag, RunId, StateGuard, TargetHealth,
    Timestamp,
};

use crate::decision::{Decision, Mode, after};
use crate::memory::Memory;

/// Two looks so far apart have to agree before the next node: readiness flaps.
const CALM: Period = Period::seconds(10);
/// The process by which a group moves instances between zones, and ends some for it.
const REBALANCE: &str = "AZRebalance";

/// Who tidies up replaces nothing, and so needs no image.
static NONE: ImagePins = BTreeMap::new();

/// Decides what comes next for a roll.
pub(crate) fn decide(
    action: &Action,
    run: &RunId,
    state: &ClusterState,
    memory: &mut Memory,
    mode: Mode,
    now: Timestamp,
) -> Decision {
    let (images, to, control_plane) = match &action.kind {
        ActionKind::ControlPlaneHop { images, to, .. } => (images, Some(to), true),
        ActionKind::NodePoolRoll { images, to, .. } => (images, Some(to), false),
        ActionKind::TidyUp { pool, .. } => (&NONE, None, pool.is_none()),
        _ => return Decision::fail("this action replaces no instances", Vec::new()),
    };
    let Bounds::Rolling {
        surge,
        unavailable,
        drain_timeout,
        node_ready_timeout,
        node_interval,
        unreachable_timeout,
        wait_complete,
    } = action.bounds
    else {
        return Decision::fail("the action has no bounds", Vec::new());
    };
    let mut groups = BTreeMap::new();
    for name in action.kind.groups() {
        let Some(group) = state.groups.get(name) else {
            let reason = format!("Auto Scaling group `{name}` does not exist any more");
            return Decision::fail(reason, memory.left.clone());
        };
        groups.insert(name, group);
    }
    let roll = Roll {
        action,
        run,
        state,
        now,
        mode,
        images,
        groups,
        to,
        control_plane,
        surge,
        unavailable,
        drain_timeout,
        node_ready_timeout,
        node_interval,
        unreachable_timeout,
        wait_complete,
    };
    roll.decide(memory)
}

struct Roll<'a> {
    action: &'a Action,
    run: &'a RunId,
    state: &'a ClusterState,
    now: Timestamp,
    mode: Mode,
    images: &'a ImagePins,
    groups: BTreeMap<&'a GroupName, &'a GroupState>,
    /// What is to run; none: nothing is replaced, only what was changed is given back.
    to: Option<&'a KubeVersion>,
    control_plane: bool,
    surge: u32,
    unavailable: u32,
    drain_timeout: Period,
    node_ready_timeout: Period,
    node_interval: Period,
    unreachable_timeout: Period,
    wait_complete: Period,
}

/// The tag that refit has put on the group.
pub(crate) fn tag_of(group: &GroupState) -> Option<RollTag> {
    serde_json::from_str(group.tags.get(RollTag::KEY)?).ok()
}

fn on_group(group: &GroupName, op: GroupOp) -> Op {
    Op::Group { group: group.clone(), op }
}

fn on_node(node: &NodeName, op: NodeOp) -> Op {
    Op::Node { node: node.clone(), op }
}

impl Roll<'_> {
    fn decide(&self, memory: &mut Memory) -> Decision {
        if let Some(decision) = self.correct_tags(memory) {
            return decision;
        }
        if self.mode == Mode::Leave {
            return self.leave(memory);
        }
        if memory.healing.is_none() && self.mode == Mode::Cancel {
            return Decision::note("cancel", Progress::Healing { why: GivingUp::Cancelled });
        }
        if let Some((why, since)) = memory.healing.clone() {
            return self.heal(memory, &why, since);
        }
        if let Some(started) = memory.started_at
            && self.now > after(started, self.action.timeout)
        {
            return Self::give_up(format!("not done after {}", self.action.timeout));
        }
        if let Some(decision) = self.keep_ordinary(memory) {
            return decision;
        }
        if let Some(decision) = self.prepare(memory) {
            return decision;
        }
        if self.up() >= self.wanted() {
            memory.stop_waiting(&format!("up {}", self.wanted()));
        }
        if let Some(current) = memory.current.clone() {
            return self.replace(memory, &current);
        }
        self.next(memory)
    }

    /// Returns the calls that terminate an instance. Where desired falls with it, the tag is written
    /// again before: a journal that lacks the termination then lacks the tag, too.
    fn terminate(&self, name: &GroupName, instance: &InstanceId) -> Vec<Op> {
        let tag = tag_of(self.groups[name]).filter(|tag| tag.surge > 0);
        let decrement = tag.is_some();
        let op = GroupOp::Terminate { instance: instance.clone(), decrement };
        let tag = tag.map(|tag| on_group(name, GroupOp::Tag { tag }));
        tag.into_iter().chain([on_group(name, op)]).collect()
    }

    /// Fails, after what was changed has been put back.
    fn give_up(reason: String) -> Decision {
        Decision::note("give up", Progress::Healing { why: GivingUp::Failed { reason } })
    }

    fn instances(&self) -> impl Iterator<Item = (&GroupName, &InstanceState)> {
        self.groups
            .iter()
            .flat_map(|(name, group)| group.instances.iter().map(move |instance| (*name, instance)))
    }

    fn node(&self, id: &InstanceId) -> Option<(&NodeName, &NodeState)> {
        self.state.node_of(id)
    }

    fn member(&self, id: &InstanceId) -> Option<&ControlPlaneMember> {
        self.state.control_plane.iter().find(|member| member.instance == *id)
    }

    /// Whether an instance is not yet what the action leaves.
    fn is_old(&self, group: &GroupName, instance: &InstanceState) -> bool {
        let Some(to) = self.to else {
            // A group is pointed at its new image before anything new is launched.
            let launches = self.groups.get(group).and_then(|group| group.image());
            return launches != Some(&instance.image);
        };
        let pin = self.images.get(group).map(|pin| &pin.id);
        let StateGuard::Machines { images, replaced, .. } = &*self.action.ensure else {
            return false;
        };
        if replaced.contains(&instance.id) {
            return true;
        }
        if images.get(group).is_some_and(|image| *image != instance.image) {
            return true;
        }
        let runs_other = match self.node(&instance.id) {
            None => pin != Some(&instance.image),
            Some((_, node)) => !node.kubelet.same_release(to),
        };
        let serves_other = self
            .member(&instance.id)
            .and_then(|member| member.api_server.as_ref())
            .is_some_and(|version| !version.same_release(to));
        runs_other || serves_other
    }

    /// Returns the instances that are still to be replaced: those that are not yet what the action
    /// leaves, and those whose kubelet does not answer any more.
    fn old(&self) -> Vec<(&GroupName, &InstanceState)> {
        if self.to.is_none() {
            return Vec::new();
        }
        self.instances()
            .filter(|(_, instance)| instance.lifecycle != Lifecycle::Terminating)
            .filter(|(group, instance)| self.is_old(group, instance) || self.is_lost(instance))
            .collect()
    }

    /// Whether an instance carries its share: in service, its node Ready, healthy where it has
    /// to be.
    fn is_up(&self, instance: &InstanceState) -> bool {
        let node = self.node(&instance.id).is_some_and(|(_, node)| node.ready);
        let serves = !self.control_plane
            || self.member(&instance.id).is_some_and(|member| {
                member.api_server.is_some() && member.etcd_ready != Some(false)
            });
        let target = matches!(instance.target_health, None | Some(TargetHealth::Healthy));
        instance.lifecycle == Lifecycle::InService && node && serves && target
    }

    fn up(&self) -> u32 {
        count(self.instances().filter(|(_, instance)| self.is_up(instance)))
    }

    fn surplus(&self) -> u32 {
        self.groups.values().filter_map(|group| tag_of(group)).map(|tag| tag.surge).sum()
    }

    /// How many instances there should be, without what refit has added.
    fn base(&self) -> u32 {
        self.wanted().saturating_sub(self.surplus())
    }

    /// How many instances there should be, with what refit has added.
    fn wanted(&self) -> u32 {
        self.groups.values().map(|group| group.desired).sum()
    }

    /// Whether an instance can be missed: it carries no share, or enough others do.
    fn may_go(&self, instance: &InstanceState) -> bool {
        let least = self.base().saturating_sub(self.unavailable);
        !self.is_up(instance) || self.up() > least
    }

    fn etcd_ready(&self) -> u32 {
        count(self.state.control_plane.iter().filter(|member| member.etcd_ready == Some(true)))
    }

    fn pods<'s>(&'s self, node: &'s NodeName) -> impl Iterator<Item = &'s PodState> {
        self.state
            .pods_on(node)
            .filter(|pod| matches!(pod.owner, PodOwner::Workload(_) | PodOwner::Nobody))
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
