//! The graph of actions. `NodeIndex` never leaves this file: outside, an action is its id.

use std::collections::BTreeMap;

use petgraph::algo::toposort;
use petgraph::algo::tred::{dag_to_toposorted_adjacency_list, dag_transitive_reduction_closure};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use refit_model::{Action, ActionId, Because, Edge, Period};

/// Actions and the orders between them.
#[derive(Default)]
pub(crate) struct Graph {
    inner: DiGraph<Action, Because>,
    index: BTreeMap<ActionId, NodeIndex>,
}

impl Graph {
    /// Adds actions, then edges between them or earlier ones.
    pub(crate) fn extend(&mut self, actions: Vec<Action>, edges: Vec<Edge>) {
        for action in actions {
            let id = action.id.clone();
            let node = self.inner.add_node(action);
            let before = self.index.insert(id, node);
            debug_assert!(before.is_none(), "action ids are unique");
        }
        for Edge { from, to, because } in edges {
            if let (Some(from), Some(to)) = (self.index.get(&from), self.index.get(&to)) {
                self.inner.add_edge(*from, *to, because);
            }
        }
    }

    /// The ids on some cycle; none if there is none.
    pub(crate) fn cycle(&self) -> Option<&ActionId> {
        toposort(&self.inner, None).err().map(|cycle| &self.inner[cycle.node_id()].id)
    }

    /// The edges that do not follow from others, and those that do. Of several between the same
    /// two actions the first one stays.
    pub(crate) fn reduce(&self) -> (Vec<Edge>, Vec<Edge>) {
        let Ok(order) = toposort(&self.inner, None) else { return (self.edges(), Vec::new()) };
        let (sorted, places) = dag_to_toposorted_adjacency_list::<_, u32>(&self.inner, &order);
        let (reduction, _) = dag_transitive_reduction_closure(&sorted);
        let place = |id: &ActionId| places[self.index[id].index()];
        let (mut kept, mut implied): (Vec<Edge>, Vec<Edge>) = (Vec::new(), Vec::new());
        for edge in self.edges() {
            let twice =
                kept.last().is_some_and(|last| (&last.from, &last.to) == (&edge.from, &edge.to));
            if !twice && reduction.contains_edge(place(&edge.from), place(&edge.to)) {
                kept.push(edge);
            } else {
                implied.push(edge);
            }
        }
        (kept, implied)
    }

    /// How long the longest chain takes.
    pub(crate) fn critical_path(&self) -> Period {
        let Ok(order) = toposort(&self.inner, None) else { return Period::ZERO };
        let mut ends: Vec<Period> = vec![Period::ZERO; self.inner.node_count()];
        let mut longest = Period::ZERO;
        for node in order {
            let begins = self
                .inner
                .edges_directed(node, petgraph::Direction::Incoming)
                .map(|edge| ends[edge.source().index()])
                .max()
                .unwrap_or_default();
            ends[node.index()] = begins.plus(self.inner[node].estimate);
            longest = longest.max(ends[node.index()]);
        }
        longest
    }

    /// By their ends; each once.
    fn edges(&self) -> Vec<Edge> {
        let mut edges: Vec<Edge> = self
            .inner
            .edge_references()
            .map(|edge| Edge {
                from: self.inner[edge.source()].id.clone(),
                to: self.inner[edge.target()].id.clone(),
                because: edge.weight().clone(),
            })
            .collect();
        edges.sort_by(|a, b| (&a.from, &a.to, &a.because).cmp(&(&b.from, &b.to, &b.because)));
        edges.dedup();
        edges
    }

    /// Actions by id, edges by their ends.
    pub(crate) fn into_parts(self) -> (Vec<Action>, Vec<Edge>) {
        let edges = self.edges();
        let mut actions: Vec<Action> =
            self.inner.into_nodes_edges().0.into_iter().map(|node| node.weight).collect();
        actions.sort_by(|a, b| a.id.cmp(&b.id));
        (actions, edges)
    }
}
