//! The graph of a cluster's actions. `NodeIndex` never leaves this file: outside, an action is its
//! place among them, until it has an id.

use std::sync::Arc;

use petgraph::algo::toposort;
use petgraph::algo::tred::{dag_to_toposorted_adjacency_list, dag_transitive_reduction_closure};
use petgraph::graph::{DiGraph, NodeIndex};
use refit_model::Because;

/// An order between two actions, each by its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tie {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) because: Arc<Because>,
}

/// All orders between the actions of a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ties {
    /// Those that do not follow from others, by their ends.
    pub(crate) kept: Vec<Tie>,
    /// Those that do, by their ends.
    pub(crate) implied: Vec<Tie>,
}

impl Ties {
    /// Those between so many actions. Of several between the same two the first one stays. If there is
    /// a cycle, a place on it.
    pub(crate) fn of(count: usize, mut ties: Vec<Tie>) -> Result<Self, usize> {
        ties.sort();
        ties.dedup();
        let mut graph: DiGraph<(), ()> = DiGraph::with_capacity(count, ties.len());
        for _ in 0..count {
            graph.add_node(());
        }
        for Tie { from, to, .. } in &ties {
            graph.add_edge(NodeIndex::new(*from), NodeIndex::new(*to), ());
        }
        let order = toposort(&graph, None).map_err(|cycle| cycle.node_id().index())?;
        let (adjacent, places) = dag_to_toposorted_adjacency_list::<_, u32>(&graph, &order);
        let (reduction, _) = dag_transitive_reduction_closure(&adjacent);
        let mut found = Self::default();
        for tie in ties {
            let twice = found.kept.last().is_some_and(|l| (l.from, l.to) == (tie.from, tie.to));
            if !twice && reduction.contains_edge(places[tie.from], places[tie.to]) {
                found.kept.push(tie);
            } else {
                found.implied.push(tie);
            }
        }
        Ok(found)
    }
}
