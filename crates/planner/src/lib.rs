//! Fleet and snapshot to plan.
