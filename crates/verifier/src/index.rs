//! Where things are in a plan, looked up once: in a large fleet it takes longer than to judge them.

use std::collections::BTreeMap;

use refit_model::{ActionId, ClusterName, Edge, Plan};

/// The places of a plan's actions.
pub(crate) struct Index<'a> {
    /// By place, the ids of the actions: the actions themselves are far apart.
    pub(crate) ids: Vec<ActionId>,
    /// By cluster, the places of its actions, ascending.
    pub(crate) by_cluster: BTreeMap<&'a ClusterName, Vec<usize>>,
    /// By edge, the places of its ends; none: one of them does not exist.
    pub(crate) ends: Vec<Option<(usize, usize)>>,
    /// By place of an action, those that wait for it.
    pub(crate) next: Vec<Vec<usize>>,
}

impl<'a> Index<'a> {
    /// Of a plan whose actions are ordered by their ids.
    pub(crate) fn of(plan: &'a Plan) -> Self {
        let mut index = Self {
            ids: plan.actions.iter().map(|action| action.id).collect(),
            by_cluster: BTreeMap::new(),
            ends: Vec::with_capacity(plan.edges.len()),
            next: vec![Vec::new(); plan.actions.len()],
        };
        for (place, action) in plan.actions.iter().enumerate() {
            if let Some(cluster) = &action.cluster {
                index.by_cluster.entry(cluster).or_default().push(place);
            }
        }
        for Edge { from, to, .. } in &plan.edges {
            let ends = index.place(from).zip(index.place(to));
            if let Some((from, to)) = ends {
                index.next[from].push(to);
            }
            index.ends.push(ends);
        }
        index
    }

    pub(crate) fn place(&self, id: &ActionId) -> Option<usize> {
        self.ids.binary_search(id).ok()
    }
}
