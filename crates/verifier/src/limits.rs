//! Does an action wait as long as the files say, neither shorter nor longer?
//!
//! How many nodes may be away or surplus at once is checked with the stages.

use refit_model::{Action, ActionKind, Bounds, Cluster, ClusterState, NodePool, Period};

use crate::contents::Against;

/// How long a node may take, by the files.
struct Waits {
    drain_timeout: Period,
    node_ready_timeout: Period,
    node_interval: Period,
    unreachable_timeout: Period,
    wait_complete: Period,
}

impl Waits {
    fn of_control_plane(cluster: &Cluster) -> Self {
        let control_plane = &cluster.control_plane;
        Self {
            drain_timeout: control_plane.drain_timeout,
            node_ready_timeout: control_plane.node_ready_timeout,
            node_interval: Period::ZERO,
            unreachable_timeout: control_plane.unreachable_timeout,
            wait_complete: control_plane.wait_complete,
        }
    }

    fn of_pool(pool: &NodePool) -> Self {
        let NodePool {
            drain_timeout,
            node_ready_timeout,
            node_interval,
            unreachable_timeout,
            wait_complete,
            ..
        } = *pool;
        Self {
            drain_timeout,
            node_ready_timeout,
            node_interval,
            unreachable_timeout,
            wait_complete,
        }
    }

    /// How long one node takes at most.
    fn each(&self) -> Period {
        self.wait_complete
            .plus(self.drain_timeout)
            .plus(self.node_ready_timeout)
            .plus(self.node_interval)
    }

    fn are_those_of(&self, bounds: &Bounds) -> bool {
        match bounds {
            Bounds::None => false,
            Bounds::Rolling {
                surge: _,
                unavailable: _,
                drain_timeout,
                node_ready_timeout,
                node_interval,
                unreachable_timeout,
                wait_complete,
            } => {
                *drain_timeout == self.drain_timeout
                    && *node_ready_timeout == self.node_ready_timeout
                    && *node_interval == self.node_interval
                    && *unreachable_timeout == self.unreachable_timeout
                    && *wait_complete == self.wait_complete
            }
        }
    }
}

/// What is wrong with how long an action may take.
pub(crate) fn check(
    cluster: &Cluster,
    state: &ClusterState,
    action: &Action,
    against: Against,
) -> Option<String> {
    let fits = match &action.kind {
        ActionKind::ControlPlaneHop { instances, .. } => {
            let waits = Waits::of_control_plane(cluster);
            let timeout = waits.each().times((*instances).max(1));
            waits.are_those_of(&action.bounds) && action.timeout == timeout
        }
        // A pool that is not declared is somebody else's note.
        ActionKind::NodePoolRoll { pool, nodes, .. } => cluster.pool(pool).is_none_or(|pool| {
            let waits = Waits::of_pool(pool);
            let timeout = waits.each().times((*nodes).max(1));
            waits.are_those_of(&action.bounds) && action.timeout == timeout
        }),
        ActionKind::TidyUp { pool, groups } => {
            let waits = match pool {
                None => Some(Waits::of_control_plane(cluster)),
                Some(pool) => cluster.pool(pool).map(Waits::of_pool),
            };
            let instances = groups.iter().filter_map(|name| state.groups.get(name));
            let instances = instances.map(|group| group.instances.len()).sum::<usize>();
            let instances = u32::try_from(instances).unwrap_or(u32::MAX);
            waits.is_none_or(|waits| {
                // Tidying up takes no break between two nodes.
                let waits = Waits { node_interval: Period::ZERO, ..waits };
                let timeout = match against {
                    Against::Own => action.timeout == waits.each().times(instances.max(1)),
                    // How many there were is not known any more.
                    Against::Newer => action.timeout >= waits.each(),
                };
                waits.are_those_of(&action.bounds) && timeout
            })
        }
        ActionKind::AddonApply { .. }
        | ActionKind::AddonAdopt { .. }
        | ActionKind::AddonRemove { .. } => is_unbounded(action, Action::ADDON_TIMEOUT),
        ActionKind::StorageMigration { .. } => is_unbounded(action, Action::MIGRATION_TIMEOUT),
        ActionKind::PinGroups { .. } => is_unbounded(action, Action::PIN_TIMEOUT),
        ActionKind::FinishWave { .. } => is_unbounded(action, Action::WAVE_TIMEOUT),
    };
    (!fits).then(|| format!("{}: its timeouts are not what the files say", action.kind))
}

/// The same for the end of a wave.
pub(crate) fn of_wave(action: &Action) -> Option<String> {
    let fits = is_unbounded(action, Action::WAVE_TIMEOUT);
    (!fits).then(|| format!("{}: it waits another time than such an action does", action.kind))
}

fn is_unbounded(action: &Action, timeout: Period) -> bool {
    action.bounds == Bounds::None && action.timeout == timeout
}
