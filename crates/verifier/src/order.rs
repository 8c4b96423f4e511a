//! Which action of a cluster comes before which, by whatever chain of edges.

use refit_model::{Action, ActionId, Edge, Plan};

use crate::index::Index;

/// The order between the actions of one cluster: one bit per pair.
pub(crate) struct Order<'a> {
    actions: Vec<&'a Action>,
    /// Row `i`, bit `j`: action `i` ends before action `j` begins.
    before: Vec<Vec<u64>>,
}

impl<'a> Order<'a> {
    /// Of actions by their places, ascending. None when they form a circle.
    pub(crate) fn new(plan: &'a Plan, index: &Index<'a>, places: &[usize]) -> Option<Self> {
        let actions: Vec<&Action> = places.iter().map(|place| &plan.actions[*place]).collect();
        let own = |place: &usize| places.binary_search(place).ok();
        let next: Vec<Vec<usize>> =
            places.iter().map(|from| index.next[*from].iter().filter_map(own).collect()).collect();
        let sorted = sorted(&next)?;
        let words = actions.len().div_ceil(64);
        let mut before: Vec<Vec<u64>> = vec![vec![0; words]; actions.len()];
        for at in sorted.into_iter().rev() {
            let mut row = std::mem::take(&mut before[at]);
            for to in &next[at] {
                row[to / 64] |= 1 << (to % 64);
                for (word, more) in row.iter_mut().zip(&before[*to]) {
                    *word |= more;
                }
            }
            before[at] = row;
        }
        Some(Self { actions, before })
    }

    pub(crate) fn actions(&self) -> &[&'a Action] {
        &self.actions
    }

    /// Whether action `a` has ended before action `b` begins, in every interleaving.
    pub(crate) fn precedes(&self, a: usize, b: usize) -> bool {
        self.before[a][b / 64] & (1 << (b % 64)) != 0
    }
}

/// The edges that begin at an action: edges are ordered by their ends.
pub(crate) fn edges_from<'a>(
    edges: &'a [Edge],
    id: &'a ActionId,
) -> impl Iterator<Item = &'a Edge> {
    let first = edges.partition_point(|edge| edge.from < *id);
    edges[first..].iter().take_while(move |edge| edge.from == *id)
}

/// An order that the edges allow; none when there is a circle.
fn sorted(next: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut waits: Vec<usize> = vec![0; next.len()];
    for to in next.iter().flatten() {
        waits[*to] += 1;
    }
    let mut ready: Vec<usize> = (0..next.len()).filter(|at| waits[*at] == 0).collect();
    let mut sorted = Vec::new();
    while let Some(at) = ready.pop() {
        sorted.push(at);
        for to in &next[at] {
            waits[*to] -= 1;
            if waits[*to] == 0 {
                ready.push(*to);
            }
        }
    }
    (sorted.len() == next.len()).then_some(sorted)
}

/// What is wrong with the edges of the whole plan, those to the ends of waves included.
pub(crate) fn check(plan: &Plan, index: &Index<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let sorted_by_ends = |edges: &[Edge]| {
        edges.is_sorted_by(|a, b| (&a.from, &a.to, &a.because) < (&b.from, &b.to, &b.because))
    };
    if !sorted_by_ends(&plan.edges) || !sorted_by_ends(&plan.implied) {
        notes.push("its edges are not ordered by their ends, or not unique".into());
    }
    for (edge, _) in plan.edges.iter().zip(&index.ends).filter(|(_, ends)| ends.is_none()) {
        notes.push(format!("an edge ties {} to {}: not both exist", edge.from, edge.to));
    }
    if sorted(&index.next).is_none() {
        notes.push("actions wait for each other in a circle".into());
    }
    for edge in &plan.implied {
        if index.place(&edge.from).is_none() || index.place(&edge.to).is_none() {
            notes.push(format!("{} and {} have a reason, and do not exist", edge.from, edge.to));
        }
    }
    notes
}
