//! Where things are in a plan, looked up once: in a large fleet it takes longer than to judge them.

use std::collections::BTreeMap;

use refit_model::{ActionId, ClusterName, Edge, Plan};

/// The places of a plan's actions.
pub(crate) struct Index<'a> {
    plan: &'a Plan,
    /// By place of an action, the beginning of its id.
    keys: Vec<u128>,
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
            plan,
            keys: plan.actions.iter().map(|action| key(&action.id)).collect(),
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
        let key = key(id);
        let first = self.keys.partition_point(|other| *other < key);
        let alike = self.keys[first..].iter().take_while(|other| **other == key);
        (first..).zip(alike).map(|(at, _)| at).find(|at| self.plan.actions[*at].id == *id)
    }
}

/// Orders ids as their texts do, as far as they differ in their beginnings: numbers are compared
/// faster.
fn key(id: &ActionId) -> u128 {
    id.as_str()
        .bytes()
        .chain(std::iter::repeat(0))
        .take(16)
        .fold(0, |key, b| key << 8 | u128::from(b))
}
