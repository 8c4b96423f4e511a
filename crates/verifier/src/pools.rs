//! May these pools be rolled, and at once?

use refit_model::{ActionKind, Cluster, ClusterPlan, PoolName, UpdateStrategy};

use crate::order::Order;

/// Whether the pool's nodes are replaced by somebody else.
pub(crate) fn is_on_delete(cluster: &Cluster, pool: &PoolName) -> bool {
    cluster.pool(pool).is_some_and(|pool| pool.update == UpdateStrategy::OnDelete)
}

/// One pool after the other, unless the file allows more; then the plan has to carry how many,
/// and which begins first, because whoever applies it counts.
pub(crate) fn check(
    cluster: &Cluster,
    listed: &ClusterPlan,
    order: &Order<'_>,
    notes: &mut Vec<String>,
) {
    for action in order.actions() {
        if let ActionKind::NodePoolRoll { pool, .. } = &action.kind
            && is_on_delete(cluster, pool)
        {
            notes.push(format!("pool {pool} is rolled, and its nodes are not refit's to replace"));
        }
    }
    let declared = cluster.pools.iter().map(|pool| &pool.name);
    let carried = match &listed.parallel_pools {
        None => cluster.max_parallel_pools <= 1,
        Some(listed) => {
            cluster.max_parallel_pools > 1
                && listed.at_once == cluster.max_parallel_pools
                && listed.order.iter().eq(declared)
        }
    };
    if !carried {
        notes.push("its pools may be rolled at once in another way than its file says".to_owned());
    }
    if cluster.max_parallel_pools > 1 {
        return;
    }
    let rolls: Vec<usize> = (0..order.actions().len())
        .filter(|at| matches!(order.actions()[*at].kind, ActionKind::NodePoolRoll { .. }))
        .collect();
    for (position, a) in rolls.iter().enumerate() {
        for b in &rolls[position + 1..] {
            if !order.precedes(*a, *b) && !order.precedes(*b, *a) {
                let (a, b) = (&order.actions()[*a].kind, &order.actions()[*b].kind);
                notes.push(format!("{a} and {b} may run at once"));
            }
        }
    }
}
