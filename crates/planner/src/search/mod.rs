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
//! ([`cheapest`]), led by what each part would cost alone, and as long as they can get in each
//! other's way ([`settled`]).
//!
//! Nothing in here knows what an add-on or a version is: `crate::parts` does.

mod cheapest;
mod known;
mod layers;
mod rounds;
mod settled;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use cheapest::{Component, Stuck};
pub(crate) use known::Known;
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
pub(crate) fn from_highest(states: States) -> impl Iterator<Item = usize> {
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

impl Failed {
    fn by(stuck: Stuck, parts: &[usize]) -> Self {
        match stuck {
            Stuck::NoWay => Self::NoWay(parts.to_vec()),
            Stuck::TooMany => Self::TooMany(parts.to_vec()),
        }
    }

    pub(crate) fn parts(&self) -> &[usize] {
        let (Self::NoWay(parts) | Self::TooMany(parts)) = self;
        parts
    }
}

impl Problem {
    /// The events of the cheapest way, by phase and in order; those of parts that have nothing
    /// to do with each other stand side by side. If there is none, what each component without a
    /// way failed by.
    pub(crate) fn solve(&self, known: &Known) -> Result<Vec<Vec<Event>>, Vec<Failed>> {
        let components = self.components();
        let solved: Vec<_> = components.iter().map(|parts| known.solved(self, parts)).collect();
        let (mut ways, mut failures) = (Vec::new(), Vec::new());
        for (solved, parts) in solved.iter().zip(&components) {
            match &solved.cheapest {
                Ok(way) => ways.push((Rc::clone(solved), way)),
                Err(stuck) => failures.push(Failed::by(*stuck, parts)),
            }
        }
        if !failures.is_empty() {
            return Err(failures);
        }
        let mut found = rounds::in_rounds(self.phases, &ways);
        for (events, parts) in found.iter_mut().zip(&components) {
            for event in events {
                event.what.place_in(parts);
            }
        }
        Ok(found)
    }

    /// What components failed by.
    pub(crate) fn failures(&self) -> Vec<Failed> {
        let failed = |parts: &Vec<usize>| {
            let stuck = Component::of(self, parts).cheapest().err()?;
            Some(Failed::by(stuck, parts))
        };
        self.components().iter().filter_map(failed).collect()
    }

    /// By state of the one part, the states of the other that it cannot live with; none: they
    /// have nothing to do with each other.
    pub(crate) fn foes(&self, one: usize, other: usize) -> Option<Vec<States>> {
        let table = self.clashes.get(&(one.min(other), one.max(other)))?;
        if one < other {
            return Some(table.clone());
        }
        let states = 0..self.parts[one].steps.len();
        let foes = |state: usize| {
            let rows = table.iter().enumerate();
            rows.filter(|(_, row)| has(**row, state)).map(|(at, _)| only(at)).sum()
        };
        Some(states.map(foes).collect())
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
}
