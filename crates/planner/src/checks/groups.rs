//! Checks of the Auto Scaling groups whose instances a plan replaces.

use std::collections::BTreeMap;

use refit_model::{
    Cluster, ClusterState, Code, ControlPlane, GroupName, LifecycleHook, Period, Severity,
};

use super::Blocker;
use crate::timeline::Step;

/// Returns the groups whose instances the steps replace, each with how long a new instance may take
/// to be Ready.
fn rolled<'a>(cluster: &'a Cluster, steps: &[Step]) -> BTreeMap<&'a GroupName, Period> {
    let mut rolled = BTreeMap::new();
    for step in steps {
        match step {
            Step::Hop(_) => {
                let ControlPlane { groups, node_ready_timeout, .. } = &cluster.control_plane;
                rolled.extend(groups.iter().map(|group| (group, *node_ready_timeout)));
            }
            Step::Roll { pools, .. } => {
                for pool in cluster.pools.iter().filter(|pool| pools.contains(&pool.name)) {
                    rolled.extend(pool.groups.iter().map(|group| (group, pool.node_ready_timeout)));
                }
            }
        }
    }
    rolled
}

/// Returns a finding for each lifecycle hook that may hold an instance for longer than a roll waits
/// for it.
pub(crate) fn hooks(cluster: &Cluster, state: &ClusterState, steps: &[Step]) -> Vec<Blocker> {
    let mut found = Vec::new();
    for (name, patience) in rolled(cluster, steps) {
        let hooks = state.groups.get(name).into_iter().flat_map(|group| &group.hooks);
        for (hook, LifecycleHook { launching, timeout }) in hooks {
            if *timeout > patience {
                let way = if *launching { "launches" } else { "ends" };
                let evidence = format!(
                    "its lifecycle hook `{hook}` may hold each instance that it {way} for {timeout}, and the roll waits {patience}"
                );
                let hint = "complete the hook sooner, or raise `node-ready-timeout`";
                let held = Blocker::new(Code::RF038, evidence, hint);
                found.push(held.of(name).weighing(Severity::Warning));
            }
        }
    }
    found
}

/// Returns a finding for each group that is rolled and in which somebody suspended a scaling process
/// without which an instance cannot be replaced
/// ([processes](https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html)).
/// refit itself suspends none of these.
pub(crate) fn suspended(cluster: &Cluster, state: &ClusterState, steps: &[Step]) -> Vec<Blocker> {
    let mut found = Vec::new();
    for name in rolled(cluster, steps).into_keys() {
        let Some(group) = state.groups.get(name).filter(|group| !group.instances.is_empty()) else {
            continue;
        };
        let needed = [
            ("Launch", true, "no new instance would be launched"),
            ("Terminate", true, "no replaced instance would be terminated"),
            (
                "AddToLoadBalancer",
                !group.target_groups.is_empty(),
                "new instances would not be registered in its target groups",
            ),
        ];
        for (process, is_needed, outcome) in needed {
            if is_needed && group.suspended.contains(process) {
                let evidence = format!("its scaling process `{process}` is suspended: {outcome}");
                let hint = format!(
                    "find out who suspended it and why, then `aws autoscaling resume-processes --auto-scaling-group-name {name} --scaling-processes {process}`"
                );
                found.push(Blocker::new(Code::RF049, evidence, hint).of(name));
            }
        }
    }
    found
}
