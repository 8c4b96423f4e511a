//! The graph of a cluster's actions. `NodeIndex` never leaves this file: outside, an action is its
//! id.

use petgraph::Direction::Incoming;
use petgraph::algo::toposort;
use petgraph::algo::tred::{dag_to_toposorted_adjacency_list, dag_transitive_reduction_closure};
use petgraph::graph::{DiGraph, NodeIndex};
use refit_model::{Action, ActionId, Edge, Period};

/// Actions by their places, and for each edge its ends.
struct Graph<'a> {
    inner: DiGraph<&'a Action, ()>,
    ends: Vec<Option<(NodeIndex, NodeIndex)>>,
}

impl<'a> Graph<'a> {
    /// An edge that does not lie between two of the actions has no ends.
    fn new(actions: &'a [Action], edges: &[Edge]) -> Self {
        let mut inner = DiGraph::with_capacity(actions.len(), edges.len());
        let mut index: Vec<(ActionId, NodeIndex)> =
            actions.iter().map(|action| (action.id, inner.add_node(action))).collect();
        index.sort_unstable();
        debug_assert!(index.is_sorted_by(|(a, _), (b, _)| a < b), "action ids are unique");
        let place = |id: &ActionId| {
            let found = index.binary_search_by_key(id, |(id, _)| *id).ok()?;
            index.get(found).map(|(_, node)| *node)
        };
        let ends = edges.iter().map(|edge| place(&edge.from).zip(place(&edge.to)));
        let ends: Vec<_> = ends.collect();
        for (from, to) in ends.iter().flatten() {
            inner.add_edge(*from, *to, ());
        }
        Self { inner, ends }
    }
}

/// The edges that do not follow from others, and those that do, both by their ends. Of several
/// between the same two actions the first one stays. If there is a cycle, an action on it.
pub(crate) fn reduce(
    actions: &[Action],
    mut edges: Vec<Edge>,
) -> Result<(Vec<Edge>, Vec<Edge>), &Action> {
    edges.sort_by(|a, b| (&a.from, &a.to, &a.because).cmp(&(&b.from, &b.to, &b.because)));
    edges.dedup();
    let Graph { inner, ends } = Graph::new(actions, &edges);
    let order = toposort(&inner, None).map_err(|cycle| inner[cycle.node_id()])?;
    let (sorted, places) = dag_to_toposorted_adjacency_list::<_, u32>(&inner, &order);
    let (reduction, _) = dag_transitive_reduction_closure(&sorted);
    let (mut kept, mut implied): (Vec<Edge>, Vec<Edge>) = (Vec::new(), Vec::new());
    for (edge, ends) in edges.into_iter().zip(ends) {
        let Some((from, to)) = ends else { continue };
        let twice =
            kept.last().is_some_and(|last| (&last.from, &last.to) == (&edge.from, &edge.to));
        if !twice && reduction.contains_edge(places[from.index()], places[to.index()]) {
            kept.push(edge);
        } else {
            implied.push(edge);
        }
    }
    Ok((kept, implied))
}

/// How long the longest chain takes.
pub(crate) fn longest(actions: &[Action], edges: &[Edge]) -> Period {
    let Graph { inner, .. } = Graph::new(actions, edges);
    let Ok(order) = toposort(&inner, None) else { return Period::ZERO };
    let mut ends: Vec<Period> = vec![Period::ZERO; inner.node_count()];
    for node in order {
        let before = inner.neighbors_directed(node, Incoming).map(|from| ends[from.index()]).max();
        ends[node.index()] = before.unwrap_or_default().plus(inner[node].estimate);
    }
    ends.into_iter().max().unwrap_or_default()
}
