//! The spread of a group's instances over its zones.
//!
//! A group whose zones hold different numbers of instances evens them as soon as `AZRebalance` is
//! not suspended: it launches an instance in the emptiest zone and terminates one in the fullest,
//! without a drain
//! ([rebalancing](https://docs.aws.amazon.com/autoscaling/ec2/userguide/auto-scaling-benefits.html#AutoScalingBehavior.InstanceUsage)).
//! A roll therefore chooses the nodes that go so that the zones end even. Where they did not, it
//! moves nodes itself, drained, before it resumes the process.

use std::collections::BTreeMap;

use refit_model::{
    GroupName, GroupOp, GroupState, InstanceState, Lifecycle, Purpose, RollTag, Zone,
};

use super::{REBALANCE, Roll, on_group, tag_of};
use crate::decision::Decision;
use crate::memory::Memory;

/// A group acts when the numbers of instances in two of its zones differ by more than this.
const EVEN: u32 = 1;

/// Returns how many instances each zone of the group holds, without those that are terminating.
pub(super) fn by_zone(group: &GroupState) -> BTreeMap<&Zone, u32> {
    let mut counts: BTreeMap<&Zone, u32> = group.zones.iter().map(|zone| (zone, 0)).collect();
    for instance in staying(group) {
        *counts.entry(&instance.zone).or_default() += 1;
    }
    counts
}

/// Returns by how many instances the fullest zone exceeds the emptiest one.
pub(super) fn spread(group: &GroupState) -> u32 {
    let counts = by_zone(group);
    let fullest = counts.values().max().copied().unwrap_or(0);
    fullest - counts.values().min().copied().unwrap_or(0)
}

/// Returns whether the group would move instances between its zones.
pub(super) fn is_uneven(group: &GroupState) -> bool {
    spread(group) > EVEN
}

/// Returns the instances of the group that are not terminating.
fn staying(group: &GroupState) -> impl Iterator<Item = &InstanceState> {
    group.instances.iter().filter(|instance| instance.lifecycle != Lifecycle::Terminating)
}

/// Returns the zones and their numbers of instances, for messages: `eu-west-1a 3, eu-west-1b 1`.
fn zones_text(group: &GroupState) -> String {
    let counts = by_zone(group);
    let each = counts.iter().map(|(zone, count)| format!("{zone} {count}"));
    each.collect::<Vec<_>>().join(", ")
}

impl Roll<'_> {
    /// Returns whether the group has as many instances as it wants, all of them launched.
    pub(super) fn is_complete(group: &GroupState) -> bool {
        u32::try_from(staying(group).count()).is_ok_and(|count| count >= group.desired)
    }

    /// Returns whether the instance is in the zone of its group that holds the most.
    pub(super) fn in_fullest_zone(group: &GroupState, instance: &InstanceState) -> bool {
        let counts = by_zone(group);
        counts.get(&instance.zone).copied() == counts.values().max().copied()
    }

    /// Returns whether `AZRebalance` would terminate a node that was not drained, if it were
    /// resumed now. A control plane never moves: the volumes of its etcd members are zonal.
    pub(super) fn would_rebalance(
        &self,
        memory: &Memory,
        name: &GroupName,
        group: &GroupState,
    ) -> bool {
        let suspended_by_refit = tag_of(group).is_some_and(|tag| tag.suspended.contains(REBALANCE))
            && group.suspended.contains(REBALANCE);
        suspended_by_refit
            && !self.control_plane
            && is_uneven(group)
            && !Self::is_as_even_as_possible(memory, name, group)
    }

    /// Returns whether the group placed the last instance that it was asked for in a zone where
    /// it evened nothing. It would do no better by itself: the emptiest zone has no capacity.
    fn is_as_even_as_possible(memory: &Memory, name: &GroupName, group: &GroupState) -> bool {
        memory.moved.get(name).is_some_and(|before| spread(group) >= *before)
    }

    /// Moves one node from the fullest zone of a group to its emptiest, drained, as long as the
    /// group would do so itself without a drain. Returns `None` if the zones are even, or cannot
    /// be made so within the bounds.
    pub(super) fn even_zones(&self, memory: &mut Memory) -> Option<Decision> {
        let uneven: Vec<(&GroupName, &GroupState)> = self
            .groups
            .iter()
            .map(|(name, group)| (*name, *group))
            .filter(|(name, group)| self.would_rebalance(memory, name, group))
            .collect();
        for (name, group) in uneven {
            let step = format!("even the zones of {name} ({})", zones_text(group));
            if self.surge > self.surplus() && group.desired < group.max {
                let tag = tag_of(group)?;
                let to = group.desired + 1;
                let tag = RollTag { surge: tag.surge + 1, desired: to, ..tag };
                let raise = GroupOp::RaiseDesired { from: group.desired, to };
                memory.moved.insert(name.clone(), spread(group));
                let ops = vec![on_group(name, GroupOp::Tag { tag }), on_group(name, raise)];
                return Some(Decision::act(step, ops));
            }
            if self.unavailable == 0 {
                continue;
            }
            let victim = staying(group)
                .filter(|instance| Self::in_fullest_zone(group, instance))
                .filter(|instance| self.may_go(instance) && self.is_free_to_go(instance))
                .min_by_key(|instance| (self.is_up(instance), instance.id.clone()));
            if let Some(victim) = victim {
                memory.moved.insert(name.clone(), spread(group));
                return Some(self.choose(victim, Purpose::Move, &step));
            }
        }
        None
    }

    /// Returns, for each group whose zones are uneven and whose rebalancing stays suspended for
    /// that, a sentence that says so.
    pub(super) fn still_uneven(&self, memory: &Memory) -> Vec<String> {
        let kept =
            self.groups.iter().filter(|(name, group)| self.would_rebalance(memory, name, group));
        kept.map(|(name, group)| {
            format!(
                "{REBALANCE} of {name} stays suspended: its zones are uneven ({}), and the group \
                 would terminate a node that is not drained; the next run evens them",
                zones_text(group)
            )
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use refit_model::{ClusterState, NodeOp, Op, OpId, Outcome, Progress};

    use super::*;
    use crate::bench::{at, group, instance, node, pool, roll, settings};
    use crate::decision::{Mode, Next};
    use crate::roll::decide;

    /// Puts the instances into zones, by their numbers from 1, and suspends rebalancing as a roll
    /// does.
    fn spread_over(state: &mut ClusterState, zones: &[&str], surge: u32) {
        let tagged = state.groups.get_mut(&group()).unwrap();
        tagged.zones = ["a", "b"].map(|zone| zone.parse().unwrap()).into();
        tagged.suspended.insert(REBALANCE.to_owned());
        let tag = RollTag {
            run: settings().run,
            surge,
            desired: tagged.desired,
            suspended: [REBALANCE.to_owned()].into(),
            op: OpId::default(),
        };
        tagged.tags.insert(RollTag::KEY.to_owned(), serde_json::to_string(&tag).unwrap());
        for (instance, zone) in tagged.instances.iter_mut().zip(zones) {
            instance.zone = zone.parse().unwrap();
            // Protection is given back together with the processes; here the zones are tested.
            instance.protected = false;
        }
        for (number, zone) in (1..).zip(zones) {
            state.nodes.get_mut(&node(number)).unwrap().zone = Some(zone.parse().unwrap());
        }
    }

    /// Protects the instances and their nodes, as a roll does before it goes on.
    fn protect_all(state: &mut ClusterState) {
        for node in state.nodes.values_mut() {
            node.annotations.insert(NodeOp::SCALE_DOWN_DISABLED.to_owned(), "true".to_owned());
        }
        let instances = &mut state.groups.get_mut(&group()).unwrap().instances;
        for instance in instances {
            instance.protected = true;
        }
    }

    /// Decides until something is sent, waited for or ended; the notes on the way are taken in.
    fn next(state: &ClusterState, memory: &mut Memory, surge: u32, mode: Mode) -> Next {
        memory.started_at = Some(at(0));
        loop {
            let unavailable = u32::from(surge == 0);
            let action = roll(surge, unavailable);
            let decision = decide(&action, &settings().run, state, memory, mode, at(60));
            if decision.notes.is_empty() {
                return decision.next;
            }
            for note in &decision.notes {
                memory.note(note, at(60));
                if matches!(note, Progress::NodeChosen { .. }) {
                    return decision.next;
                }
            }
        }
    }

    fn group_ops(next: &Next) -> Vec<GroupOp> {
        let Next::Do(ops) = next else { return Vec::new() };
        let group_op = |op: &Op| match op {
            Op::Group { op, .. } => Some(op.clone()),
            Op::Node { .. } | Op::Addon { .. } | Op::HoldLease { .. } | Op::ReleaseLease { .. } => {
                None
            }
        };
        ops.iter().filter_map(group_op).collect()
    }

    fn resume() -> GroupOp {
        GroupOp::Resume { process: REBALANCE.to_owned() }
    }

    /// The group has launched the first new instance in zone a. An old one of zone b goes, so that
    /// the next new one is launched there.
    #[test]
    fn an_old_node_goes_where_the_fewest_new_ones_run() {
        let mut state = pool(4, 1);
        spread_over(&mut state, &["a", "a", "b", "b", "a"], 1);
        protect_all(&mut state);
        let mut memory = Memory::default();
        next(&state, &mut memory, 1, Mode::Go);
        assert_eq!(memory.current.unwrap().instance, instance(3));
    }

    /// All nodes are new, three in zone a and one in zone b: one more is launched, one of zone a
    /// goes, and only then the group rebalances by itself again.
    #[test]
    fn a_node_is_moved_before_rebalancing_is_resumed() {
        let mut state = pool(0, 4);
        spread_over(&mut state, &["a", "a", "a", "b"], 0);
        let mut memory = Memory::default();
        let ops = group_ops(&next(&state, &mut memory, 1, Mode::Go));
        let raise = GroupOp::RaiseDesired { from: 4, to: 5 };
        assert!(matches!(&ops[..], [GroupOp::Tag { tag }, op] if tag.surge == 1 && *op == raise));

        let mut state = pool(0, 5);
        spread_over(&mut state, &["b", "a", "a", "a", "b"], 1);
        protect_all(&mut state);
        next(&state, &mut memory, 1, Mode::Go);
        let current = memory.current.take().unwrap();
        assert_eq!((current.instance, current.purpose), (instance(2), Purpose::Surplus));

        let mut state = pool(0, 4);
        spread_over(&mut state, &["b", "b", "a", "a"], 0);
        assert_eq!(group_ops(&next(&state, &mut memory, 1, Mode::Go)), [resume()]);
    }

    /// The emptiest zone has no capacity: the group has launched the instance elsewhere, as it
    /// would do by itself. The roll does not try for ever.
    #[test]
    fn zones_that_cannot_be_evened_are_left_to_the_group() {
        let mut state = pool(0, 4);
        spread_over(&mut state, &["a", "a", "a", "b"], 0);
        let mut memory = Memory::default();
        assert_eq!(group_ops(&next(&state, &mut memory, 1, Mode::Go)).len(), 2);
        assert_eq!(group_ops(&next(&state, &mut memory, 1, Mode::Go)), [resume()]);
    }

    /// Without surge a node is moved within what may be unavailable, and it does not count as a
    /// replaced one.
    #[test]
    fn a_pool_without_surge_moves_a_node_within_its_bounds() {
        let mut state = pool(0, 4);
        spread_over(&mut state, &["b", "a", "a", "a"], 0);
        let mut memory = Memory::default();
        next(&state, &mut memory, 0, Mode::Go);
        let current = memory.current.clone().unwrap();
        assert_eq!((&current.instance, current.purpose), (&instance(2), Purpose::Move));
        memory.note(&Progress::NodeDone { instance: instance(2) }, at(90));
        assert!(memory.done.is_empty());
    }

    /// A run that is stopped or cancelled in between leaves rebalancing suspended, and says so.
    #[test]
    fn a_stopped_roll_does_not_resume_rebalancing_over_uneven_zones() {
        for mode in [Mode::Finish, Mode::Cancel] {
            let mut state = pool(1, 3);
            spread_over(&mut state, &["b", "a", "a", "a"], 0);
            let Next::End(outcome) = next(&state, &mut Memory::default(), 1, mode) else {
                panic!("{mode:?}")
            };
            let Outcome::StoppedHalfway { left } = outcome else { panic!("{outcome:?}") };
            assert!(left[0].starts_with("AZRebalance of general-0 stays suspended"), "{left:?}");
        }
        // Over even zones it is resumed.
        let mut state = pool(1, 3);
        spread_over(&mut state, &["b", "a", "a", "b"], 0);
        for mode in [Mode::Finish, Mode::Cancel] {
            let ops = group_ops(&next(&state, &mut Memory::default(), 1, mode));
            assert_eq!(ops, [resume()], "{mode:?}");
        }
    }
}
