//! May this be tidied up? Of a cluster that is blocked nothing else is touched.

use std::collections::BTreeSet;

use refit_model::{
    ActionKind, Bounds, Cluster, ClusterName, ClusterState, GroupName, Observation, Snapshot,
};

use crate::order::Order;

/// What is wrong with the actions of a blocked cluster, which all tidy up.
pub(crate) fn check(
    name: &ClusterName,
    cluster: &Cluster,
    state: &ClusterState,
    snapshot: &Snapshot,
    order: &Order<'_>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let twin = snapshot.clusters.iter().find(|(other, seen)| {
        *other != name
            && matches!(seen, Observation::Fresh(seen) if seen.identity.uid == state.identity.uid)
    });
    if let Some((twin, _)) = twin {
        notes.push(format!("is tidied up, and may be {twin}"));
    }
    let ours = |group: &GroupName| {
        state.groups.get(group).is_some_and(|group| {
            group.instances.iter().any(|instance| {
                state.control_plane.iter().any(|member| member.instance == instance.id)
            })
        })
    };
    if !cluster.control_plane.groups.iter().any(ours) {
        notes.push("is tidied up, and may be another cluster".to_owned());
    }
    for (at, action) in order.actions().iter().enumerate() {
        let ActionKind::TidyUp { pool, groups } = &action.kind else { continue };
        let declared = match pool {
            None => Some((&cluster.control_plane.groups, (0, 1))),
            Some(pool) => cluster.pool(pool).map(|pool| {
                let nodes = pool.groups.iter().filter_map(|group| state.groups.get(group));
                let nodes = nodes.map(|group| group.instances.len()).sum::<usize>();
                let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
                let surge = pool.max_surge.of_rounded_up(nodes).min(1);
                (&pool.groups, (surge, pool.max_unavailable.of_rounded_down(nodes)))
            }),
        };
        let Some((declared, (may_surge, may_miss))) = declared else {
            notes.push(format!("{}: there is no such pool", action.kind));
            continue;
        };
        if !declared.iter().collect::<BTreeSet<_>>().into_iter().eq(groups.iter()) {
            notes.push(format!("{}: its groups are not the declared ones", action.kind));
        }
        match action.bounds {
            Bounds::Rolling { surge, unavailable, .. }
                if surge <= may_surge && unavailable <= may_miss => {}
            Bounds::Rolling { .. } | Bounds::None => {
                notes.push(format!("{} has no bounds that fit it", action.kind));
            }
        }
        if (at + 1..order.actions().len())
            .any(|other| !order.precedes(at, other) && !order.precedes(other, at))
        {
            notes.push(format!("{} is not done one at a time", action.kind));
        }
    }
    notes
}
