//! What comes before what in a plan, and the ways back through its edges.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{Action, ActionId, ActionKind, Because, Period, Plan, WavePlan};

/// The reasons of the edges between two actions.
type Reasons<'a> = BTreeSet<&'a Because>;

/// The actions of a plan by position, and the edges between them in both directions.
pub(super) struct Order<'a> {
    actions: Vec<&'a Action>,
    places: BTreeMap<&'a ActionId, usize>,
    before: Vec<BTreeMap<usize, Reasons<'a>>>,
    after: Vec<BTreeMap<usize, Reasons<'a>>>,
    /// When each may be expected to end, from the beginning of the plan on.
    ends: Vec<Period>,
    /// Positions, none before one that it waits for.
    sequence: Vec<usize>,
}

impl<'a> Order<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        let actions: Vec<&Action> = plan.actions.iter().map(Box::as_ref).collect();
        let places: BTreeMap<&ActionId, usize> =
            actions.iter().enumerate().map(|(at, action)| (&action.id, at)).collect();
        let mut before = vec![BTreeMap::<usize, Reasons<'a>>::new(); actions.len()];
        let mut after = before.clone();
        // What follows from other orders has a reason of its own.
        for edge in plan.edges.iter().chain(&plan.implied) {
            if let (Some(from), Some(to)) = (places.get(&edge.from), places.get(&edge.to)) {
                before[*to].entry(*from).or_default().insert(&edge.because);
                after[*from].entry(*to).or_default().insert(&edge.because);
            }
        }
        let sequence = sequence(&before, &after);
        let mut ends = vec![Period::ZERO; actions.len()];
        for at in &sequence {
            let begins = before[*at].keys().map(|from| ends[*from]).max().unwrap_or_default();
            ends[*at] = begins.plus(actions[*at].estimate);
        }
        Self { actions, places, before, after, ends, sequence }
    }

    pub(super) fn place(&self, id: &ActionId) -> Option<usize> {
        self.places.get(id).copied()
    }

    pub(super) fn action(&self, at: usize) -> &'a Action {
        self.actions[at]
    }

    /// What has to end first, by id.
    pub(super) fn before(&self, at: usize) -> impl Iterator<Item = (usize, &Reasons<'a>)> {
        self.before[at].iter().map(|(from, because)| (*from, because))
    }

    /// What begins then, by id.
    pub(super) fn after(&self, at: usize) -> impl Iterator<Item = (usize, &Reasons<'a>)> {
        self.after[at].iter().map(|(to, because)| (*to, because))
    }

    /// The way from an action back to one that waits for none: of several, the one that takes
    /// longest.
    pub(super) fn chain(&self, at: usize) -> Vec<(usize, &Reasons<'a>)> {
        let mut chain: Vec<(usize, &Reasons<'a>)> = Vec::new();
        let mut here = at;
        // A plan has no circle; the bound is for one that somebody made by hand.
        while chain.len() < self.actions.len() {
            let longest = self.before(here).max_by_key(|(from, _)| (self.ends[*from], *from));
            let Some((from, because)) = longest else { break };
            chain.push((from, because));
            here = from;
        }
        chain
    }

    /// The actions, none before one that it waits for; of those that may begin, by their text.
    pub(super) fn sorted(&self, mut actions: Vec<&'a Action>) -> Vec<&'a Action> {
        let depths = self.depths(&actions);
        let depth = |action: &Action| self.place(&action.id).and_then(|at| depths.get(&at));
        actions.sort_by_cached_key(|action| (depth(action).copied(), action.kind.to_string()));
        actions
    }

    /// How many of these actions are in the longest chain before each of them, whatever lies
    /// between.
    pub(super) fn depths(&self, actions: &[&Action]) -> BTreeMap<usize, usize> {
        let here: BTreeSet<usize> =
            actions.iter().filter_map(|action| self.place(&action.id)).collect();
        let mut depths = vec![0_usize; self.actions.len()];
        for at in &self.sequence {
            let before = self.before[*at].keys();
            let behind = |from: &usize| depths[*from] + usize::from(here.contains(from));
            depths[*at] = before.map(behind).max().unwrap_or(0);
        }
        here.into_iter().map(|at| (at, depths[at])).collect()
    }

    /// Whether `first` has ended before `then` begins, in every order that the plan allows.
    pub(super) fn comes_before(&self, first: usize, then: usize) -> bool {
        let mut seen: BTreeSet<usize> = BTreeSet::new();
        let mut open = vec![then];
        while let Some(at) = open.pop() {
            for from in self.before[at].keys() {
                if *from == first {
                    return true;
                }
                if seen.insert(*from) {
                    open.push(*from);
                }
            }
        }
        false
    }

    /// The action that ends a wave.
    pub(super) fn end_of(&self, earlier: &WavePlan) -> Option<&'a ActionId> {
        let ends = |action: &&&Action| {
            matches!(
                &action.kind,
                ActionKind::FinishWave { channel, wave, .. }
                    if *channel == earlier.channel && *wave == earlier.wave
            )
        };
        self.actions.iter().find(ends).map(|action| &action.id)
    }
}

/// Positions, none before one that it waits for. What is on a circle comes last: a plan has none.
fn sequence<'a>(
    before: &[BTreeMap<usize, Reasons<'a>>],
    after: &[BTreeMap<usize, Reasons<'a>>],
) -> Vec<usize> {
    let mut waits: Vec<usize> = before.iter().map(BTreeMap::len).collect();
    let mut sequence: Vec<usize> = (0..before.len()).filter(|at| waits[*at] == 0).collect();
    let mut next = 0;
    while let Some(at) = sequence.get(next).copied() {
        next += 1;
        for to in after[at].keys() {
            waits[*to] -= 1;
            if waits[*to] == 0 {
                sequence.push(*to);
            }
        }
    }
    sequence.extend((0..before.len()).filter(|at| waits[*at] > 0));
    sequence
}
