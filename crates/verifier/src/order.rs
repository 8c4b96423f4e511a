//! Which action of a cluster comes before which, by whatever chain of edges.

use refit_model::{Action, AddonName, Edge, Plan};

use crate::index::{Index, Lists, at};

/// The order between the actions of one cluster: one bit per pair.
pub(crate) struct Order<'a> {
    /// Where they are in the plan, ascending.
    places: &'a [u32],
    actions: Vec<&'a Action>,
    /// Those on add-ons, by add-on.
    on_addons: Vec<(&'a AddonName, usize)>,
    /// How many words a row has.
    words: usize,
    /// Row `i`, bit `j`: action `i` ends before action `j` begins.
    before: Vec<u64>,
}

impl<'a> Order<'a> {
    /// Of actions by their places, ascending. None when they form a circle.
    pub(crate) fn new(plan: &'a Plan, index: &'a Index<'a>, places: &'a [u32]) -> Option<Self> {
        let actions: Vec<&Action> = places.iter().map(|place| &*plan.actions[at(*place)]).collect();
        let addons = actions.iter().enumerate();
        let addons = addons.filter_map(|(at, action)| Some((action.kind.addon()?, at)));
        let mut on_addons: Vec<(&AddonName, usize)> = Vec::with_capacity(actions.len());
        on_addons.extend(addons);
        on_addons.sort_unstable();
        let words = actions.len().div_ceil(64);
        let before = vec![0; words * actions.len()];
        let mut order = Self { places, actions, on_addons, words, before };
        let waiting = |from: &u32| index.next.get(at(*from)).iter();
        let mut own = Vec::with_capacity(places.iter().map(|from| waiting(from).len()).sum());
        for (from, one) in places.iter().zip(0..) {
            own.extend(waiting(from).filter_map(|to| Some((one, order.own(*to)?))));
        }
        let next = Lists::of(places.len(), own.iter().copied());
        for one in sorted(&next)?.into_iter().rev() {
            for other in next.get(one).iter().map(|other| at(*other)) {
                order.before[one * words + other / 64] |= 1 << (other % 64);
                for word in 0..words {
                    order.before[one * words + word] |= order.before[other * words + word];
                }
            }
        }
        Some(order)
    }

    pub(crate) fn actions(&self) -> &[&'a Action] {
        &self.actions
    }

    /// The actions on add-ons, by add-on.
    pub(crate) fn on_addons(&self) -> &[(&'a AddonName, usize)] {
        &self.on_addons
    }

    /// The actions on an add-on.
    pub(crate) fn on(&self, addon: &AddonName) -> &[(&'a AddonName, usize)] {
        let first = self.on_addons.partition_point(|(name, _)| *name < addon);
        let count = self.on_addons[first..].iter().take_while(|(name, _)| *name == addon).count();
        &self.on_addons[first..first + count]
    }

    /// Where the actions are in the plan, ascending.
    pub(crate) fn places(&self) -> &'a [u32] {
        self.places
    }

    /// Which of the actions is at a place of the plan.
    pub(crate) fn own(&self, place: u32) -> Option<u32> {
        u32::try_from(self.places.binary_search(&place).ok()?).ok()
    }

    /// Whether action `a` has ended before action `b` begins, in every interleaving.
    pub(crate) fn precedes(&self, a: usize, b: usize) -> bool {
        self.before[a * self.words + b / 64] & (1 << (b % 64)) != 0
    }
}

/// An order that the edges allow; none when there is a circle.
fn sorted(next: &Lists<u32>) -> Option<Vec<usize>> {
    let mut waits: Vec<u32> = vec![0; next.len()];
    for to in next.items() {
        waits[at(*to)] += 1;
    }
    let mut sorted: Vec<usize> = Vec::with_capacity(next.len());
    sorted.extend((0..next.len()).filter(|place| waits[*place] == 0));
    let mut done = 0;
    while let Some(place) = sorted.get(done) {
        done += 1;
        for to in next.get(*place) {
            let to = at(*to);
            waits[to] -= 1;
            if waits[to] == 0 {
                sorted.push(to);
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
    let implied = plan.implied.iter().zip(&index.implied_ends);
    for (edge, _) in implied.filter(|(_, ends)| ends.is_none()) {
        notes.push(format!("{} and {} have a reason, and do not exist", edge.from, edge.to));
    }
    notes
}
