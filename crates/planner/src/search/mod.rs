//! The cheapest way of a cluster's parts from what they are to what they shall be.
//!
//! A way leads through *phases*, one for each version that the control plane runs on it. In a
//! phase the parts, add-ons and node pools, change one after the other; between two phases is a
//! hop. While anything changes, what was there and what comes are both alive, so a change is
//! possible exactly when what lives before it goes together and what lives after it does: a way
//! is a path through the states that go together.
//!
//! The cost is lexicographic: nodes that are replaced, moves of add-ons, then how many moves
//! have to wait for each other ([`rounds`]). Parts that have nothing to do with each other are
//! searched apart ([`Problem::components`]), those that do are searched together by A*
//! ([`cheapest`]), led by what each part would cost alone.
//!
//! Nothing in here knows what an add-on or a version is: `crate::parts` does.

mod cheapest;
mod rounds;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use rounds::{Event, What};

/// A set of a part's states: bit `s` stands for state `s`.
pub(crate) type States = u128;

/// As many states as fit into [`States`].
pub(crate) const STATES_MAX: usize = 128;

/// A single state.
pub(crate) fn only(state: usize) -> States {
    1 << state
}

fn has(states: States, state: usize) -> bool {
    states & only(state) != 0
}

/// The states of a set, the highest first: of two versions the newer one.
fn from_highest(states: States) -> impl Iterator<Item = usize> {
    let mut rest = states;
    std::iter::from_fn(move || {
        let highest = STATES_MAX.checked_sub(1 + rest.leading_zeros() as usize)?;
        rest &= !only(highest);
        Some(highest)
    })
}

/// What a change of a part costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// A move of an add-on.
    Move,
    /// The nodes of pools.
    Nodes(u32),
}

/// A sum of costs: nodes above moves.
pub(crate) type Cost = u64;

/// No way.
const NEVER: Cost = Cost::MAX;

/// More moves than this in one cluster would run over into the nodes.
const NODE: Cost = 1 << 24;

impl Weight {
    fn cost(self) -> Cost {
        match self {
            Self::Move => 1,
            Self::Nodes(nodes) => Cost::from(nodes) * NODE,
        }
    }
}

/// A part that changes. State 0 is what was found; changes lead to higher states only.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) weight: Weight,
    /// By phase, the states that can be there in it.
    pub(crate) lives: Vec<States>,
    /// By phase, the states that can be there right after the hop to it, if they are left
    /// before anything but add-ons changes.
    pub(crate) lags: Vec<States>,
    /// By phase, the states that can be reached in it.
    pub(crate) opens: Vec<States>,
    /// By state, those that a change can lead to.
    pub(crate) steps: Vec<States>,
    /// The states that it may end in.
    pub(crate) done: States,
}

impl Part {
    /// Where a change in a phase can lead to.
    fn next(&self, phase: usize, state: usize) -> States {
        self.steps[state] & self.opens[phase] & self.lives[phase]
    }

    /// Whether a state survives the hop to a phase.
    fn survives(&self, phase: usize, state: usize) -> bool {
        has(self.lives[phase] | self.lags[phase], state)
    }
}

/// All parts of a cluster, and what binds them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Problem {
    /// How many phases there are; at least one.
    pub(crate) phases: usize,
    pub(crate) parts: Vec<Part>,
    /// For two parts, the lower one first: by state of the first, the states of the second that
    /// it cannot live with.
    pub(crate) clashes: BTreeMap<(usize, usize), Vec<States>>,
    /// The first one is done before the second one changes.
    pub(crate) orders: BTreeSet<(usize, usize)>,
}

/// Why there is no solution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// These parts have no way together.
    NoWay(Vec<usize>),
    /// These parts are bound to each other in too many ways to be searched.
    TooMany(Vec<usize>),
}

impl Problem {
    /// The events of the cheapest way, by phase and in order; those of parts that have nothing
    /// to do with each other stand side by side.
    pub(crate) fn solve(&self) -> Result<Vec<Vec<Event>>, Failed> {
        let components = self.components();
        let mut costs = Vec::new();
        for component in &components {
            costs.push(self.cheapest(component)?);
        }
        Ok(self.in_rounds(&components, &costs))
    }

    /// The components that have no way.
    pub(crate) fn stuck(&self) -> Vec<Vec<usize>> {
        let mut components = self.components();
        components.retain(|component| self.cheapest(component).is_err());
        components
    }

    fn clash(&self, a: (usize, usize), b: (usize, usize)) -> bool {
        let ((one, at), (two, with)) = if a.0 < b.0 { (a, b) } else { (b, a) };
        self.clashes.get(&(one, two)).is_some_and(|clashes| has(clashes[at], with))
    }

    /// The parts that are bound to each other, directly or over others.
    pub(crate) fn components(&self) -> Vec<Vec<usize>> {
        let mut root: Vec<usize> = (0..self.parts.len()).collect();
        let find = |root: &[usize], mut at: usize| {
            while root[at] != at {
                at = root[at];
            }
            at
        };
        for (a, b) in self.clashes.keys().chain(&self.orders) {
            let (a, b) = (find(&root, *a), find(&root, *b));
            root[a.max(b)] = a.min(b);
        }
        let mut components: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for part in 0..self.parts.len() {
            components.entry(find(&root, part)).or_default().push(part);
        }
        components.into_values().collect()
    }

    /// Whether a part's turn has come: what is to be done before it is.
    fn is_its_turn(&self, part: usize, states: &[u8], component: &[usize]) -> bool {
        self.orders.iter().filter(|(_, then)| *then == part).all(|(first, _)| {
            let at = component.iter().position(|other| other == first);
            at.is_none_or(|at| has(self.parts[*first].done, usize::from(states[at])))
        })
    }
}
