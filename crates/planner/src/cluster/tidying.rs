//! Tidying up after a run that did not end, in a cluster that nothing else can be planned for.

use std::collections::BTreeSet;
use std::sync::Arc;

use refit_model::{
    Action, ActionKind, Actions, Because, Bounds, Edge, GroupName, Period, PoolName, Reversibility,
    StateGuard, Why,
};

use super::ClusterPlanner;
use crate::{bounds, checks};

/// What gives back cordons and settings, and replaces nothing.
#[derive(Default)]
pub(crate) struct Tidying {
    pub(crate) actions: Actions,
    pub(crate) edges: Vec<Edge>,
}

const ESTIMATE: Period = Period::minutes(1);

impl ClusterPlanner<'_> {
    /// Nothing where the machines are not what the file declares: it may be another cluster's
    /// run that did not end.
    pub(super) fn tidying(&self) -> Tidying {
        let mut tidying = Tidying::default();
        if !checks::machines(self.cluster, self.state).is_empty() {
            return tidying;
        }
        let control_plane = &self.cluster.control_plane;
        let allowed = bounds::of_control_plane(control_plane);
        tidying.actions.extend(self.tidy_up(None, &control_plane.groups, allowed));
        for pool in &self.cluster.pools {
            let nodes = u32::try_from(self.nodes_of(pool).len()).unwrap_or(u32::MAX);
            // One node more, if any: only to move a node between the zones of its group.
            let surge = pool.max_surge.of_rounded_up(nodes).min(1);
            let unavailable = pool.max_unavailable.of_rounded_down(nodes);
            // Tidying up takes no break between two nodes.
            let allowed = bounds::of_pool(pool, (surge, unavailable), Period::ZERO);
            tidying.actions.extend(self.tidy_up(Some(&pool.name), &pool.groups, allowed));
        }
        let because = Arc::new(Because::OneAtATime);
        tidying.edges = tidying
            .actions
            .windows(2)
            .map(|pair| Edge { from: pair[0].id, to: pair[1].id, because: because.clone() })
            .collect();
        tidying
    }

    fn tidy_up(
        &self,
        pool: Option<&PoolName>,
        groups: &[GroupName],
        bounds: Bounds,
    ) -> Option<Box<Action>> {
        if !self.left_behind(groups) {
            return None;
        }
        let groups: BTreeSet<GroupName> = groups.iter().cloned().collect();
        // What a run has added is drained, one after the other.
        let instances = groups
            .iter()
            .filter_map(|name| self.state.groups.get(name))
            .map(|group| group.instances.len())
            .sum::<usize>();
        let most = u32::try_from(instances).unwrap_or(u32::MAX);
        let kind = ActionKind::TidyUp { pool: pool.cloned(), groups };
        Some(Box::new(Action {
            id: Action::id_of(Some(&self.cluster.name), &kind),
            cluster: Some(self.cluster.name.clone()),
            kind,
            expect: StateGuard::Anything.into(),
            ensure: StateGuard::Anything.into(),
            timeout: bounds::timeout(&bounds, most),
            bounds,
            estimate: ESTIMATE,
            reversible: Reversibility::Reversible,
            why: Why::LeftBehind,
        }))
    }
}
