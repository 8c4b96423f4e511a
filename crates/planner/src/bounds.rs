//! How long machines may take to be replaced, and how many at once.

use refit_model::{Bounds, ControlPlane, NodePool, Period};

/// Returns the bounds of the instances of a control plane, which are replaced one at a time.
pub(crate) fn of_control_plane(control_plane: &ControlPlane) -> Bounds {
    Bounds::Rolling {
        surge: 0,
        unavailable: 1,
        drain_timeout: control_plane.drain_timeout,
        node_ready_timeout: control_plane.node_ready_timeout,
        node_interval: Period::ZERO,
        unreachable_timeout: control_plane.unreachable_timeout,
        wait_complete: control_plane.wait_complete,
    }
}

/// Returns the bounds of the nodes of a pool.
pub(crate) fn of_pool(
    pool: &NodePool,
    (surge, unavailable): (u32, u32),
    node_interval: Period,
) -> Bounds {
    Bounds::Rolling {
        surge,
        unavailable,
        drain_timeout: pool.drain_timeout,
        node_ready_timeout: pool.node_ready_timeout,
        node_interval,
        unreachable_timeout: pool.unreachable_timeout,
        wait_complete: pool.wait_complete,
    }
}

/// Returns how long so many machines may take at most, one after the other.
pub(crate) fn timeout(bounds: &Bounds, machines: u32) -> Period {
    match bounds {
        Bounds::None => Period::ZERO,
        Bounds::Rolling {
            surge: _,
            unavailable: _,
            drain_timeout,
            node_ready_timeout,
            node_interval,
            unreachable_timeout: _,
            wait_complete,
        } => {
            let drain = wait_complete.plus(*drain_timeout);
            drain.plus(*node_ready_timeout).plus(*node_interval).times(machines.max(1))
        }
    }
}
