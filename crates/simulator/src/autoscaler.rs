//! The cluster-autoscaler: it removes nodes that nothing runs on.
//!
//! It calls `TerminateInstanceInAutoScalingGroup` with decrement, which protection from scale-in
//! does not cover. It leaves a node alone that is annotated with `scale-down-disabled`, and never
//! goes below the minimum of a group
//! ([FAQ](https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md#how-does-scale-down-work)).

use refit_model::{GroupName, InstanceId, NodeName, NodeOp};

use crate::cluster::{ClusterWorld, Who};
use crate::queue::seconds_between;

/// How long a node has been there before the autoscaler considers it, in seconds. The real one
/// waits ten minutes after a scale-up; here it is eager, so that a mark that comes late shows.
const AFTER_ADD: u64 = 60;

impl ClusterWorld {
    /// Removes the first node that nothing but DaemonSets runs on, and that may be removed.
    pub(crate) fn scale_down(&mut self) -> Option<NodeName> {
        let (node, instance, group) = self.unneeded()?;
        let found = self.groups.get_mut(&group)?;
        found.desired -= 1;
        if found.usual > found.min {
            found.usual -= 1;
            found.scaled_down += 1;
        }
        let pool = found.pool.clone();
        if let Some(pool) = pool {
            self.judge_scale_down(&pool, &node);
        }
        self.end_instance(&instance, Who::Operator);
        Some(node)
    }

    fn unneeded(&self) -> Option<(NodeName, InstanceId, GroupName)> {
        self.nodes.iter().find_map(|(name, node)| {
            let id = node.instance.as_ref()?;
            let instance = self.instances.get(id)?;
            let group = self.groups.get(&instance.group)?;
            let old_enough =
                node.ready_since.is_some_and(|since| seconds_between(since, self.now) >= AFTER_ADD);
            let unneeded = node.ready
                && old_enough
                && node.load == 0
                && !node.unschedulable
                && !node.annotations.contains_key(NodeOp::SCALE_DOWN_DISABLED);
            let may_go = instance.is_active() && group.pool.is_some() && group.desired > group.min;
            (unneeded && may_go).then(|| (name.clone(), id.clone(), instance.group.clone()))
        })
    }
}
