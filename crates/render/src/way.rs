//! A cluster's way through a plan: its actions in order, and what orders them.

use std::collections::BTreeMap;

use refit_model::{Action, ActionId, Because, ClusterName, ClusterPlan, ClusterStatus, Plan};

use crate::words::join;

/// The way of one cluster.
pub(crate) struct Way<'p> {
    pub(crate) cluster: &'p ClusterPlan,
    /// None begins before one that stands earlier has ended, unless both have the same depth.
    pub(crate) actions: Vec<&'p Action>,
    /// How many actions are in the longest chain before each.
    pub(crate) depths: Vec<usize>,
    /// By position in `actions`.
    pub(crate) edges: Vec<(usize, usize, &'p Because)>,
}

/// `1.31.13`, `1.31.13/1.32.9` while a control plane is between two, `unknown`.
pub(crate) fn from_text(cluster: &ClusterPlan) -> String {
    if cluster.from.is_empty() { "unknown".to_owned() } else { join(&cluster.from, "/") }
}

/// The way of each cluster that has something to do.
pub(crate) fn ways(plan: &Plan) -> Vec<Way<'_>> {
    let mut actions: BTreeMap<&ClusterName, Vec<&Action>> = BTreeMap::new();
    let mut clusters: BTreeMap<&ActionId, &ClusterName> = BTreeMap::new();
    for action in &plan.actions {
        if let Some(cluster) = &action.cluster {
            actions.entry(cluster).or_default().push(action);
            clusters.insert(&action.id, cluster);
        }
    }
    let mut edges: BTreeMap<&ClusterName, Vec<(&ActionId, &ActionId, &Because)>> = BTreeMap::new();
    for edge in &plan.edges {
        let (from, to) = (clusters.get(&edge.from), clusters.get(&edge.to));
        if let (Some(from), Some(to)) = (from, to)
            && from == to
        {
            edges.entry(from).or_default().push((&edge.from, &edge.to, &edge.because));
        }
    }
    plan.clusters
        .iter()
        .filter_map(|cluster| {
            let actions = actions.remove(&cluster.name);
            // Even where a cluster is blocked, something may have to be given back.
            let busy = cluster.status == ClusterStatus::Planned || actions.is_some();
            let edges = edges.remove(&cluster.name).unwrap_or_default();
            busy.then(|| lay_out(cluster, &actions.unwrap_or_default(), &edges))
        })
        .collect()
}

fn lay_out<'p>(
    cluster: &'p ClusterPlan,
    actions: &[&'p Action],
    edges: &[(&'p ActionId, &'p ActionId, &'p Because)],
) -> Way<'p> {
    let index: BTreeMap<&ActionId, usize> =
        actions.iter().enumerate().map(|(at, action)| (&action.id, at)).collect();
    let edges: Vec<(usize, usize, &Because)> = edges
        .iter()
        .filter_map(|(from, to, because)| Some((*index.get(from)?, *index.get(to)?, *because)))
        .collect();
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); actions.len()];
    let mut waits: Vec<usize> = vec![0; actions.len()];
    for (from, to, _) in &edges {
        after[*from].push(*to);
        waits[*to] += 1;
    }
    let mut depths: Vec<usize> = vec![0; actions.len()];
    let mut ready: Vec<usize> = (0..actions.len()).filter(|at| waits[*at] == 0).collect();
    while let Some(at) = ready.pop() {
        for next in &after[at] {
            depths[*next] = depths[*next].max(depths[at] + 1);
            waits[*next] -= 1;
            if waits[*next] == 0 {
                ready.push(*next);
            }
        }
    }
    // Actions on a circle never get ready; a plan has none, but a page must not depend on it.
    let mut order: Vec<usize> = (0..actions.len()).collect();
    order.sort_by_cached_key(|at| (depths[*at], actions[*at].kind.to_string()));
    let mut place = vec![0; actions.len()];
    for (position, at) in order.iter().enumerate() {
        place[*at] = position;
    }
    let mut edges: Vec<(usize, usize, &Because)> =
        edges.iter().map(|(from, to, because)| (place[*from], place[*to], *because)).collect();
    edges.sort();
    Way {
        cluster,
        actions: order.iter().map(|at| actions[*at]).collect(),
        depths: order.iter().map(|at| depths[*at]).collect(),
        edges,
    }
}
