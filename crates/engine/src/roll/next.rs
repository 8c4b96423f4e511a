//! Which node goes next, what is launched ahead of it, and when all is done.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    GroupName, GroupOp, InstanceState, Lifecycle, Op, Outcome, PodOwner, Progress, Purpose,
    RollTag, TargetHealth, WorkloadRef, ZonalVolume, Zone,
};

use super::{Roll, count, on_group, tag_of, zones};
use crate::decision::{Decision, Mode, Wait, after};
use crate::memory::Memory;
use crate::worker::extent;

impl Roll<'_> {
    /// Chooses the next node, launches ahead, or finds that all is done.
    pub(super) fn next(&self, memory: &mut Memory) -> Decision {
        let old = self.old();
        let step = self.progress(memory, old.len());
        if old.is_empty() {
            return self.finish(memory);
        }
        let stopping = self.mode == Mode::Finish;
        if stopping && self.surplus() == 0 {
            return self
                .give_back(memory)
                .unwrap_or_else(|| Decision::end(Outcome::stopped(self.still_uneven(memory))));
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
        // A node whose kubelet does not answer goes first, and is not drained. Its pods count as
        // unhealthy against their budgets, so until its time is over no other node is drained.
        if let Some((_, lost)) = candidates.iter().find(|(_, instance)| self.is_lost(instance)) {
            return self.choose(lost, Purpose::Replace, &step);
        }
        if let Some(decision) = self.wait_for_kubelet(&step) {
            return decision;
        }
        let Some((group, first)) = candidates.first() else {
            return self.wait_for_instances(memory, &step);
        };
        // A volume that has nowhere to go yet lets others go first: their replacements may come
        // up in its zone.
        let easy = |(_, instance): &&(&GroupName, &InstanceState)| {
            self.may_go(instance) && self.stuck_volume(instance).is_none()
        };
        // Replacements are launched before anything is drained, also where a node may be missing:
        // pods that are evicted then have a place to go to.
        if !stopping && let Some(decision) = self.launch_ahead(memory, &candidates, &step) {
            return decision;
        }
        if let Some((_, instance)) = candidates.iter().find(easy) {
            return self.choose(instance, Purpose::Replace, &step);
        }
        if self.may_go(first) {
            return self.zonal(memory, group, first, &step);
        }
        if !stopping && let Some(decision) = self.launch_ahead(memory, &candidates, &step) {
            return decision;
        }
        self.wait_for_instances(memory, &step)
    }

    pub(super) fn progress(&self, memory: &Memory, old: usize) -> String {
        // As many as the plan says, unless there are more by now: a total that falls while nodes
        // come and go cannot be compared with the lines before.
        let (done, planned) = extent(self.action, memory);
        let total = planned.max(done + u32::try_from(old).unwrap_or(u32::MAX));
        let what = if self.control_plane { "control plane instances" } else { "nodes" };
        format!("{done} of {total} {what} replaced")
    }

    pub(super) fn too_early(&self, memory: &Memory) -> Option<Wait> {
        let last = memory.last_done_at?;
        let until = after(last, self.node_interval);
        (self.now < until).then(|| Wait {
            what: format!("the interval of {} between nodes", self.node_interval),
            since: last,
            until,
        })
    }

    /// Returns the old instances in the order in which they go: those that refit has cordoned
    /// already, then those that are not up, then those in zones where the fewest new instances
    /// run, then those in the fullest zones.
    ///
    /// A group launches into its emptiest zone. An old instance that goes where few new ones run
    /// makes that zone the emptiest, so that the next new one is launched there and the zones end
    /// even.
    pub(super) fn candidates<'s>(
        &self,
        old: &[(&'s GroupName, &'s InstanceState)],
    ) -> Vec<(&'s GroupName, &'s InstanceState)> {
        let mut new: BTreeMap<(&GroupName, &Zone), usize> = BTreeMap::new();
        for (name, group) in &self.groups {
            for instance in &group.instances {
                let stays = instance.lifecycle != Lifecycle::Terminating;
                if stays && !self.is_old(name, instance) {
                    *new.entry((name, &instance.zone)).or_default() += 1;
                }
            }
        }
        let all: BTreeMap<&GroupName, BTreeMap<&Zone, u32>> =
            self.groups.iter().map(|(name, group)| (*name, zones::by_zone(group))).collect();
        let mut candidates: Vec<(&GroupName, &InstanceState)> = old.to_vec();
        candidates.sort_by_key(|(group, instance)| {
            let node = self.node(&instance.id).map(|(_, node)| node);
            let ours = node.is_some_and(|n| n.annotations.contains_key(RollTag::CORDONED));
            let spare = tag_of(self.groups[*group]).map_or(0, |tag| tag.surge);
            let new = new.get(&(*group, &instance.zone)).copied().unwrap_or(0);
            let crowd = all[*group].get(&instance.zone).copied().unwrap_or(0);
            (
                !ours,
                self.is_up(instance),
                std::cmp::Reverse(spare),
                new,
                std::cmp::Reverse(crowd),
                instance.id.clone(),
            )
        });
        candidates
    }

    pub(super) fn choose(
        &self,
        instance: &InstanceState,
        purpose: Purpose,
        step: &str,
    ) -> Decision {
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
    pub(super) fn launch_ahead(
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
    pub(super) fn wait_for_instances(&self, memory: &mut Memory, step: &str) -> Decision {
        let what = self.missing();
        let since = memory.waiting_since(&format!("up {}", self.wanted()), self.now);
        let until = after(since, self.node_ready_timeout);
        if self.now >= until {
            return Self::give_up(format!("waited {} for {what}", self.node_ready_timeout));
        }
        Decision::wait(step, Wait { what, since, until })
    }

    /// In words, which instance or capacity is missing.
    pub(super) fn missing(&self) -> String {
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
    pub(super) fn stuck_volume(&self, instance: &InstanceState) -> Option<&ZonalVolume> {
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
    pub(super) fn zonal(
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
            // Another attempt would end alike: nobody can tell a group where to launch.
            _ => Self::give_up(format!(
                "no new node came up in the zone within the bounds: there has to be {what}. Raise \
                 `max-surge` of the pool, so that a new node comes up in each zone, or give it one \
                 Auto Scaling group for each zone"
            )),
        }
    }

    /// All instances are new: waits until they are up, gives everything back, ends.
    pub(super) fn finish(&self, memory: &mut Memory) -> Decision {
        if self.to.is_none() {
            return self.tidy_up(memory);
        }
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
        if let Some(decision) = self.take_surplus_away(memory) {
            return decision;
        }
        if self.surplus() > 0 {
            // Nothing is spare yet: a launch that was asked for has not come.
            return self.wait_for_instances(memory, &step);
        }
        if self.mode == Mode::Go
            && let Some(decision) = self.even_zones(memory)
        {
            return decision;
        }
        if let Some(decision) = self.give_back(memory) {
            return decision;
        }
        if let Some(decision) = self.end_over_uneven_zones(memory) {
            return decision;
        }
        if self.action.ensure.holds(self.state) {
            Decision::end(Outcome::Done)
        } else {
            self.wait_for_instances(memory, &step)
        }
    }

    /// Whether nothing on an instance would be lost or stuck. A cluster may be blocked for just
    /// that; where it is not, the plan has looked already.
    pub(super) fn is_free_to_go(&self, instance: &InstanceState) -> bool {
        let lost = self.node(&instance.id).is_some_and(|(node, _)| {
            self.pods(node).any(|pod| matches!(pod.owner, PodOwner::Nobody))
        });
        !lost && self.stuck_volume(instance).is_none()
    }

    /// Nothing is to be replaced: takes away what is one more than usual, gives everything back,
    /// ends. What is not up is none of its business, unless it keeps the surplus here.
    fn tidy_up(&self, memory: &mut Memory) -> Decision {
        if let Some(decision) = self.take_surplus_away(memory) {
            return decision;
        }
        if self.surplus() == 0
            && self.mode == Mode::Go
            && let Some(decision) = self.even_zones(memory)
        {
            return decision;
        }
        if let Some(decision) = self.give_back(memory) {
            return decision;
        }
        if self.surplus() > 0 {
            if self.up() >= self.wanted() {
                let what = "a pod that would be lost or stuck is on every new node";
                return Self::give_up(format!("the surplus cannot be taken away: {what}"));
            }
            return self.wait_for_instances(memory, "take the surplus away");
        }
        self.end_over_uneven_zones(memory).unwrap_or_else(|| Decision::end(Outcome::Done))
    }

    /// Ends the roll, if zones stay uneven that the group would even by itself. `None` otherwise.
    fn end_over_uneven_zones(&self, memory: &Memory) -> Option<Decision> {
        let uneven = self.still_uneven(memory).into_iter().next()?;
        Some(match self.mode {
            Mode::Go => Self::give_up(uneven),
            Mode::Finish | Mode::Cancel | Mode::Leave => {
                Decision::end(Outcome::stopped(vec![uneven]))
            }
        })
    }

    /// Chooses a new node that is one more than usual: one that never came up before any other,
    /// then one in the fullest zone, and none that the pool cannot do without. Where zones are
    /// uneven and nothing is to be replaced, that may be an old node of the fullest zone.
    pub(super) fn take_surplus_away(&self, memory: &mut Memory) -> Option<Decision> {
        let (name, group) =
            self.groups.iter().find(|(_, group)| tag_of(group).is_some_and(|tag| tag.surge > 0))?;
        let spare = group
            .instances
            .iter()
            .filter(|instance| instance.lifecycle != Lifecycle::Terminating)
            .filter(|instance| {
                let evens = self.to.is_none()
                    && zones::is_uneven(group)
                    && Self::in_fullest_zone(group, instance);
                !self.is_old(name, instance) || evens
            })
            .filter(|instance| self.may_go(instance))
            .filter(|instance| self.to.is_some() || self.is_free_to_go(instance))
            .min_by_key(|instance| {
                let pods = self.node(&instance.id).map_or(0, |(node, _)| self.pods(node).count());
                let fullest = Self::in_fullest_zone(group, instance);
                (self.is_up(instance), !fullest, pods, instance.id.clone())
            })?;
        if !self.is_up(spare) {
            // It goes because it never came up: that says nothing of where the group can launch.
            memory.moved.remove(*name);
        }
        Some(self.choose(spare, Purpose::Surplus, "take the surplus node away"))
    }
}
