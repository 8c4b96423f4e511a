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

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionKind, Bounds, ClusterState, ControlPlaneMember, GivingUp, GroupName, GroupOp,
    GroupState, ImagePin, InstanceId, InstanceState, KubeVersion, Lifecycle, NodeName, NodeOp,
    NodeState, Op, Outcome, Period, PodKey, PodOwner, PodState, Progress, Purpose, RollTag, RunId,
    StateGuard, TargetHealth, Timestamp, WorkloadRef, ZonalVolume,
};

use crate::decision::{Decision, Mode, Wait, after};
use crate::memory::{Current, Memory};

/// Two looks so far apart have to agree before the next node: readiness flaps.
const CALM: Period = Period::seconds(10);
/// The process by which a group moves instances between zones, and ends some for it.
const REBALANCE: &str = "AZRebalance";

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
        ActionKind::ControlPlaneHop { images, to, .. } => (images, to, true),
        ActionKind::NodePoolRoll { images, to, .. } => (images, to, false),
        _ => return Decision::fail("this action replaces no instances", Vec::new()),
    };
    let Bounds::Rolling { surge, unavailable, drain_timeout, node_ready_timeout, node_interval } =
        action.bounds
    else {
        return Decision::fail("the action has no bounds", Vec::new());
    };
    let mut groups = BTreeMap::new();
    for name in images.keys() {
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
    };
    roll.decide(memory)
}

struct Roll<'a> {
    action: &'a Action,
    run: &'a RunId,
    state: &'a ClusterState,
    now: Timestamp,
    mode: Mode,
    images: &'a BTreeMap<GroupName, ImagePin>,
    groups: BTreeMap<&'a GroupName, &'a GroupState>,
    to: &'a KubeVersion,
    control_plane: bool,
    surge: u32,
    unavailable: u32,
    drain_timeout: Period,
    node_ready_timeout: Period,
    node_interval: Period,
}

/// The tag that refit has put on the group.
fn tag_of(group: &GroupState) -> Option<RollTag> {
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

    /// Fails, after what was changed has been put back.
    fn give_up(reason: String) -> Decision {
        Decision::note("give up", Progress::Healing { why: GivingUp::Failed { reason } })
    }

    // ---- What is there -------------------------------------------------------------------

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
        let pin = self.images.get(group).map(|pin| &pin.id);
        let StateGuard::Machines { images, replaced, .. } = &self.action.ensure else {
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
            Some((_, node)) => !node.kubelet.same_release(self.to),
        };
        let serves_other = self
            .member(&instance.id)
            .and_then(|member| member.api_server.as_ref())
            .is_some_and(|version| !version.same_release(self.to));
        runs_other || serves_other
    }

    fn old(&self) -> Vec<(&GroupName, &InstanceState)> {
        self.instances()
            .filter(|(_, instance)| instance.lifecycle != Lifecycle::Terminating)
            .filter(|(group, instance)| self.is_old(group, instance))
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

    fn etcd_ready(&self) -> u32 {
        count(self.state.control_plane.iter().filter(|member| member.etcd_ready == Some(true)))
    }

    fn pods<'s>(&'s self, node: &'s NodeName) -> impl Iterator<Item = &'s PodState> {
        self.state
            .pods_on(node)
            .filter(|pod| matches!(pod.owner, PodOwner::Workload(_) | PodOwner::Nobody))
    }

    // ---- Settings that are changed and given back ----------------------------------------

    /// Brings tags in line with what really happened between two calls.
    ///
    /// The tag is written before desired is raised, and corrected after it has fallen with an
    /// instance: so when desired is below the tag's, that much of the surge is not there.
    fn correct_tags(&self, memory: &Memory) -> Option<Decision> {
        let mut ops = Vec::new();
        for (name, group) in &self.groups {
            let Some(tag) = tag_of(group) else { continue };
            let missing = tag.desired.saturating_sub(group.desired);
            let surge = memory.surge.get(*name).copied();
            let right = RollTag {
                run: self.run.clone(),
                surge: surge.unwrap_or_else(|| tag.surge.saturating_sub(missing)),
                desired: group.desired,
                suspended: tag.suspended.clone(),
            };
            if right != tag {
                ops.push(on_group(name, GroupOp::Tag { tag: right }));
            }
        }
        (!ops.is_empty()).then(|| Decision::act("take stock", ops))
    }

    /// Templates, tags, suspended processes, protection: all that comes before a node is touched.
    fn prepare(&self, memory: &Memory) -> Option<Decision> {
        if self.control_plane && memory.etcd_baseline.is_none() {
            let ready = self.etcd_ready();
            return Some(Decision::note("count etcd members", Progress::EtcdBaseline { ready }));
        }
        if self.mode == Mode::Finish {
            return None;
        }
        if self.old().is_empty() && self.surplus() == 0 && memory.current.is_none() {
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
        (!ops.is_empty()).then(|| Decision::act("protect the new instances", ops))
    }

    /// Gives back what was changed on the groups, and none of what somebody else changed.
    fn give_back(&self) -> Option<Decision> {
        let mut ops = Vec::new();
        let mut untag = Vec::new();
        for (name, group) in &self.groups {
            let Some(tag) = tag_of(group) else { continue };
            for instance in group.instances.iter().filter(|instance| instance.protected) {
                if !self.is_old(name, instance) {
                    ops.push(on_group(name, GroupOp::Unprotect { instance: instance.id.clone() }));
                }
            }
            for process in tag.suspended.intersection(&group.suspended) {
                ops.push(on_group(name, GroupOp::Resume { process: process.clone() }));
            }
            // The tag goes last: it is what another run would give the rest back by. While desired
            // is too high it stays, and the next run takes the surplus away.
            if tag.surge == 0 {
                untag.push(on_group(name, GroupOp::Untag));
            }
        }
        let ops = if ops.is_empty() { untag } else { ops };
        (!ops.is_empty()).then(|| Decision::act("give the groups' settings back", ops))
    }

    // ---- One node after the other ---------------------------------------------------------

    /// Chooses the next node, launches ahead, or finds that all is done.
    fn next(&self, memory: &mut Memory) -> Decision {
        let old = self.old();
        let step = self.progress(memory, old.len());
        if old.is_empty() {
            return self.finish(memory);
        }
        let stopping = self.mode == Mode::Finish;
        if stopping && self.surplus() == 0 {
            return self.give_back().unwrap_or_else(|| Decision::end(Outcome::Stopped));
        }
        if let Some(wait) = self.too_early(memory) {
            return Decision::wait(step, wait);
        }
        let mut candidates = self.candidates(&old);
        // One that has just been launched gets its time to become a node: until then nobody
        // knows whether something would have to be drained.
        candidates.retain(|(_, instance)| {
            self.node(&instance.id).is_some() || {
                let since = memory.waiting_since(&format!("node {}", instance.id), self.now);
                self.now >= after(since, self.node_ready_timeout)
            }
        });
        let Some((group, first)) = candidates.first() else {
            return self.wait_for_instances(memory, &step);
        };
        let may_go = |instance: &InstanceState| {
            let up = self.is_up(instance);
            let left = self.up().saturating_sub(u32::from(up));
            !up || left >= self.base().saturating_sub(self.unavailable)
        };
        // A volume that has nowhere to go yet lets others go first: their replacements may come
        // up in its zone.
        let easy = |(_, instance): &&(&GroupName, &InstanceState)| {
            may_go(instance) && self.stuck_volume(instance).is_none()
        };
        // Replacements are launched before anything is drained, also where a node may be missing:
        // pods that are evicted then have a place to go to.
        if !stopping && let Some(decision) = self.launch_ahead(memory, &candidates, &step) {
            return decision;
        }
        if let Some((_, instance)) = candidates.iter().find(easy) {
            return self.choose(instance, Purpose::Replace, &step);
        }
        if may_go(first) {
            return self.zonal(memory, group, first, &step);
        }
        if !stopping && let Some(decision) = self.launch_ahead(memory, &candidates, &step) {
            return decision;
        }
        self.wait_for_instances(memory, &step)
    }

    fn progress(&self, memory: &Memory, old: usize) -> String {
        let total = memory.done.len() + old;
        let what = if self.control_plane { "control plane instances" } else { "nodes" };
        format!("{} of {total} {what} replaced", memory.done.len())
    }

    fn too_early(&self, memory: &Memory) -> Option<Wait> {
        let last = memory.last_done_at?;
        let until = after(last, self.node_interval);
        (self.now < until).then(|| Wait {
            what: format!("the interval of {} between nodes", self.node_interval),
            since: last,
            until,
        })
    }

    /// Old instances in the order in which they go: those that refit has cordoned already, then
    /// those that are of no use, then the fullest zone first.
    fn candidates<'s>(
        &self,
        old: &[(&'s GroupName, &'s InstanceState)],
    ) -> Vec<(&'s GroupName, &'s InstanceState)> {
        let mut per_zone: BTreeMap<(&GroupName, &str), usize> = BTreeMap::new();
        for (group, instance) in old {
            *per_zone.entry((group, instance.zone.as_str())).or_default() += 1;
        }
        let mut candidates: Vec<(&GroupName, &InstanceState)> = old.to_vec();
        candidates.sort_by_key(|(group, instance)| {
            let node = self.node(&instance.id).map(|(_, node)| node);
            let ours = node.is_some_and(|n| n.annotations.contains_key(RollTag::CORDONED));
            let spare = tag_of(self.groups[*group]).map_or(0, |tag| tag.surge);
            let crowd = per_zone.get(&(*group, instance.zone.as_str())).copied().unwrap_or(0);
            (
                !ours,
                self.is_up(instance),
                std::cmp::Reverse(spare),
                std::cmp::Reverse(crowd),
                instance.id.clone(),
            )
        });
        candidates
    }

    fn choose(&self, instance: &InstanceState, purpose: Purpose, step: &str) -> Decision {
        let node = self.node(&instance.id);
        let mut baseline: BTreeMap<WorkloadRef, u32> = BTreeMap::new();
        let on_node: BTreeSet<&WorkloadRef> = node
            .iter()
            .flat_map(|(name, _)| self.pods(name))
            .filter_map(|pod| match &pod.owner {
                PodOwner::Workload(workload) => Some(workload),
                _ => None,
            })
            .collect();
        for state in &self.state.workloads {
            let concerned = on_node.contains(&state.workload) || state.critical;
            // What is broken already does not count.
            if concerned && state.ready > 0 {
                baseline.insert(state.workload.clone(), state.ready);
            }
        }
        let note = Progress::NodeChosen {
            instance: instance.id.clone(),
            node: node.map(|(name, _)| name.clone()),
            purpose,
            baseline,
        };
        Decision::note(step, note)
    }

    /// Raises desired, as far as bounds and the group's maximum allow.
    fn launch_ahead(
        &self,
        memory: &Memory,
        candidates: &[(&GroupName, &InstanceState)],
        step: &str,
    ) -> Option<Decision> {
        // The first node goes alone: what is wrong with the new image shows there.
        let allowed = if memory.done.is_empty() { self.surge.min(1) } else { self.surge };
        let mut room = allowed.saturating_sub(self.surplus());
        let mut per_group: BTreeMap<&GroupName, u32> = BTreeMap::new();
        for (group, _) in candidates {
            *per_group.entry(group).or_default() += 1;
        }
        let mut tags = Vec::new();
        let mut raises = Vec::new();
        for (name, old) in per_group {
            let group = self.groups[name];
            let tag = tag_of(group)?;
            let wanted = old.saturating_sub(tag.surge);
            let more = wanted.min(room).min(group.max.saturating_sub(group.desired));
            if more == 0 {
                continue;
            }
            room -= more;
            let to = group.desired + more;
            let tag = RollTag { surge: tag.surge + more, desired: to, ..tag };
            tags.push(on_group(name, GroupOp::Tag { tag }));
            raises.push(on_group(name, GroupOp::RaiseDesired { from: group.desired, to }));
        }
        // The tag must stand before desired is raised: both are sent, in this order.
        let ops: Vec<Op> = tags.into_iter().chain(raises).collect();
        (!ops.is_empty()).then(|| Decision::act(step.to_owned(), ops))
    }

    /// Waits until every wanted instance is up, within its time.
    fn wait_for_instances(&self, memory: &mut Memory, step: &str) -> Decision {
        let what = self.missing();
        let since = memory.waiting_since(&format!("up {}", self.wanted()), self.now);
        let until = after(since, self.node_ready_timeout);
        if self.now >= until {
            return Self::give_up(format!("waited {} for {what}", self.node_ready_timeout));
        }
        Decision::wait(step, Wait { what, since, until })
    }

    /// In words, which instance or capacity is missing.
    fn missing(&self) -> String {
        for (name, group) in &self.groups {
            for instance in &group.instances {
                if self.is_up(instance) || instance.lifecycle == Lifecycle::Terminating {
                    continue;
                }
                let id = &instance.id;
                return match (instance.lifecycle, self.node(id), instance.target_health) {
                    (Lifecycle::Pending, ..) => format!("instance {id} to be in service"),
                    (_, None, _) => format!("instance {id} to become a node"),
                    (_, Some((node, state)), _) if !state.ready => {
                        format!("node {node} to be Ready")
                    }
                    (_, _, Some(health)) if health != TargetHealth::Healthy => {
                        format!("instance {id} to be healthy in its target groups")
                    }
                    _ => match self.member(id) {
                        Some(member) if member.etcd_ready == Some(false) => {
                            format!("the etcd member of {id} to be Ready")
                        }
                        _ => format!("the apiserver of {id}"),
                    },
                };
            }
            let there =
                count(group.instances.iter().filter(|i| i.lifecycle != Lifecycle::Terminating));
            if there < group.desired {
                return format!("{name} to launch an instance ({there} of {})", group.desired);
            }
        }
        "enough nodes to be Ready".to_owned()
    }

    /// A zonal volume of a pod on the instance that no other node of its zone could take.
    fn stuck_volume(&self, instance: &InstanceState) -> Option<&ZonalVolume> {
        let (node, _) = self.node(&instance.id)?;
        self.pods(node).filter_map(|pod| pod.volume.as_ref()).find(|volume| {
            !self.state.nodes.iter().any(|(name, other)| {
                name != node
                    && !other.control_plane
                    && other.ready
                    && !other.unschedulable
                    && other.zone.as_ref() == Some(&volume.zone)
            })
        })
    }

    /// A pod with a zonal volume needs another node in its zone before its own is drained: more
    /// nodes are launched, within the bounds, until there is one.
    fn zonal(
        &self,
        memory: &mut Memory,
        group: &GroupName,
        instance: &InstanceState,
        step: &str,
    ) -> Decision {
        let (Some((node, _)), Some(volume)) =
            (self.node(&instance.id), self.stuck_volume(instance))
        else {
            return self.choose(instance, Purpose::Replace, step);
        };
        let what = format!(
            "a node in {} for volume {} of {node}, before {node} is drained",
            volume.zone, volume.claim
        );
        let state = self.groups[group];
        if self.up() < self.wanted() {
            let since = memory.waiting_since("zone", self.now);
            let until = after(since, self.node_ready_timeout);
            if self.now >= until {
                return Self::give_up(format!("waited {} for {what}", self.node_ready_timeout));
            }
            return Decision::wait(step, Wait { what, since, until });
        }
        let room = self.surplus() < self.surge && state.desired < state.max;
        match tag_of(state) {
            Some(tag) if room && self.mode == Mode::Go => {
                let to = state.desired + 1;
                let tag = RollTag { surge: tag.surge + 1, desired: to, ..tag };
                let raise = GroupOp::RaiseDesired { from: state.desired, to };
                Decision::act(
                    step,
                    vec![on_group(group, GroupOp::Tag { tag }), on_group(group, raise)],
                )
            }
            _ => Self::give_up(format!(
                "no new node came up in the zone within the bounds: there has to be {what}"
            )),
        }
    }

    /// All instances are new: waits until they are up, gives everything back, ends.
    fn finish(&self, memory: &mut Memory) -> Decision {
        let step = self.progress(memory, 0);
        let leaving =
            self.instances().find(|(_, instance)| instance.lifecycle == Lifecycle::Terminating);
        if let Some((_, instance)) = leaving {
            let since = memory.waiting_since("gone", self.now);
            let until = after(since, self.node_ready_timeout);
            let what = format!("instance {} to be gone", instance.id);
            if self.now >= until {
                return Self::give_up(format!("waited {} for {what}", self.node_ready_timeout));
            }
            return Decision::wait(step, Wait { what, since, until });
        }
        if self.up() < self.wanted() {
            return self.wait_for_instances(memory, &step);
        }
        if let Some(decision) = self.take_surplus_away() {
            return decision;
        }
        if let Some(decision) = self.give_back() {
            return decision;
        }
        if self.action.ensure.holds(self.state) {
            Decision::end(Outcome::Done)
        } else {
            self.wait_for_instances(memory, &step)
        }
    }

    /// Chooses a new node that is one more than usual: one that never came up before any other,
    /// and none that the pool cannot do without.
    fn take_surplus_away(&self) -> Option<Decision> {
        let (name, group) =
            self.groups.iter().find(|(_, group)| tag_of(group).is_some_and(|tag| tag.surge > 0))?;
        let spare = group
            .instances
            .iter()
            .filter(|instance| instance.lifecycle != Lifecycle::Terminating)
            .filter(|instance| !self.is_old(name, instance))
            .filter(|instance| {
                let least = self.base().saturating_sub(self.unavailable);
                !self.is_up(instance) || self.up() > least
            })
            .min_by_key(|instance| {
                let pods = self.node(&instance.id).map_or(0, |(node, _)| self.pods(node).count());
                (self.is_up(instance), pods, instance.id.clone())
            })?;
        Some(self.choose(spare, Purpose::Surplus, "take the surplus node away"))
    }

    // ---- The node that has to go ----------------------------------------------------------

    fn replace(&self, memory: &mut Memory, current: &Current) -> Decision {
        let found = self.instances().find(|(_, instance)| instance.id == current.instance);
        match found {
            Some((group, instance)) if instance.lifecycle != Lifecycle::Terminating => {
                match self.drain(memory, current, group, instance) {
                    Ok(decision) => decision,
                    Err(reason) => Self::give_up(reason),
                }
            }
            _ => self.settle(memory, current),
        }
    }

    /// Cordon, deregister, evict, terminate. `Err` when its time is over.
    fn drain(
        &self,
        memory: &Memory,
        current: &Current,
        group: &GroupName,
        instance: &InstanceState,
    ) -> Result<Decision, String> {
        let until = after(current.since, self.drain_timeout);
        let wait = |what: String| -> Result<Decision, String> {
            if self.now >= until {
                return Err(format!(
                    "the drain took longer than {}: it waited for {what}",
                    self.drain_timeout
                ));
            }
            let step = match &current.node {
                Some(node) => format!("drain {node}"),
                None => format!("replace {}", current.instance),
            };
            Ok(Decision::wait(step, Wait { what, since: current.since, until }))
        };
        if let Some((node, state)) = self.node(&instance.id) {
            if !state.unschedulable {
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
            if !staying.is_empty() {
                if self.now >= until {
                    return Err(format!(
                        "the drain of {node} took longer than {}: {}",
                        self.drain_timeout,
                        self.why_stuck(&staying)
                    ));
                }
                let ops = staying
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
            if let Some(pod) = going.first() {
                return wait(format!("pod {}/{} to end", pod.namespace, pod.name));
            }
        }
        if let Some(missing) = self.etcd_missing(memory, current) {
            return wait(missing);
        }
        let decrement = tag_of(self.groups[group]).is_some_and(|tag| tag.surge > 0);
        let op = GroupOp::Terminate { instance: instance.id.clone(), decrement };
        Ok(Decision::act(format!("terminate {}", instance.id), vec![on_group(group, op)]))
    }

    fn why_stuck(&self, pods: &[&PodState]) -> String {
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
    fn etcd_missing(&self, memory: &Memory, current: &Current) -> Option<String> {
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
    fn settle(&self, memory: &mut Memory, current: &Current) -> Decision {
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

    fn unsettled(&self, memory: &Memory, current: &Current) -> Option<String> {
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

    // ---- Stopping and putting back --------------------------------------------------------

    /// Leaves within seconds: uncordons a node that nothing was evicted from. What else was
    /// changed stands on tags and annotations, and the next run goes on from there.
    fn leave(&self, memory: &Memory) -> Decision {
        if let Some(current) = memory.current.as_ref().filter(|current| !current.evicted)
            && let Some(ops) = self.let_go(current)
        {
            return Decision::act("uncordon", ops);
        }
        Decision::end(Outcome::Stopped)
    }

    /// What makes a node that was chosen an ordinary one again.
    fn let_go(&self, current: &Current) -> Option<Vec<Op>> {
        let (group, instance) =
            self.instances().find(|(_, instance)| instance.id == current.instance)?;
        if instance.lifecycle == Lifecycle::Terminating {
            return None;
        }
        let mut ops = Vec::new();
        if let Some((node, state)) = self.node(&instance.id)
            && state.annotations.contains_key(RollTag::CORDONED)
        {
            ops.push(on_node(node, NodeOp::Uncordon));
        }
        if matches!(instance.target_health, Some(TargetHealth::Draining | TargetHealth::Unused)) {
            ops.push(on_group(group, GroupOp::Register { instance: instance.id.clone() }));
        }
        (!ops.is_empty()).then_some(ops)
    }

    /// Puts back what was changed, then ends with the reason.
    fn heal(&self, memory: &mut Memory, why: &GivingUp, since: Timestamp) -> Decision {
        let over = self.now >= after(since, self.drain_timeout.plus(self.node_ready_timeout));
        if let Some(current) = memory.current.clone() {
            let surplus = current.purpose == Purpose::Surplus && current.since >= since;
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
                        let until = after(since, self.drain_timeout.plus(self.node_ready_timeout));
                        return Decision::wait("put back", Wait { what, since, until });
                    }
                    None => {}
                }
            }
            if let Some(ops) = self.let_go(&current) {
                return Decision::act("uncordon", ops);
            }
            memory.current = None;
        }
        // Nodes that refit cordoned and does not remember, after a crash.
        let cordoned: Vec<Op> = self
            .instances()
            .filter(|(_, instance)| instance.lifecycle != Lifecycle::Terminating)
            .filter_map(|(_, instance)| self.node(&instance.id))
            .filter(|(_, node)| node.annotations.contains_key(RollTag::CORDONED))
            .map(|(name, _)| on_node(name, NodeOp::Uncordon))
            .collect();
        if !cordoned.is_empty() {
            return Decision::act("uncordon", cordoned);
        }
        if !over
            && memory.left.is_empty()
            && let Some(decision) = self.take_surplus_away()
        {
            return decision;
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
        if let Some(decision) = self.give_back() {
            return decision;
        }
        match why {
            GivingUp::Cancelled if memory.left.is_empty() => Decision::end(Outcome::Stopped),
            GivingUp::Cancelled => Decision::fail("cancelled", memory.left.clone()),
            GivingUp::Failed { reason } => Decision::fail(reason, memory.left.clone()),
        }
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

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
