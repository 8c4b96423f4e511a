//! What the cheapest way of a component costs, and one such way.
//!
//! A* over what the parts are, phase by phase, led by what each part would cost alone. Parts that
//! cannot get in each other's way any more are left out ([`settled`](super::settled)), so that
//! the search is about those that can.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::settled::Settled;
use super::{Cost, NEVER, Part, Problem, States, Weight, from_highest, has, only};

/// How many states of a component are looked at.
const LOOKS_MAX: usize = 100_000;
/// How many are kept. A component of thirty parts takes a few hundred bytes for each.
const NODES_MAX: usize = 400_000;

/// What a component's parts are, part by part.
pub(super) type Config = Vec<u8>;

/// In a [`Config`], a part whose way is settled and bothers nobody.
pub(super) const OUT: u8 = u8::MAX;

/// A cheapest way.
#[derive(Clone, Debug)]
pub(super) struct Cheapest {
    pub(super) cost: Cost,
    /// By phase, which parts (by their places) change to which states, one after the other.
    pub(super) changes: Vec<Vec<(usize, usize)>>,
}

/// A part among those of its component.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) part: Part,
    /// By phase and state, what it would cost from there on if there were no other.
    pub(super) alone: Vec<Vec<Cost>>,
    /// By phase and state, what it can be from there on.
    pub(super) reach: Vec<Vec<States>>,
    /// By place of another part and own state, which of its states it cannot live with.
    pub(super) foes: Vec<Option<Vec<States>>>,
    /// The places of those that are done before it changes.
    pub(super) after: Vec<usize>,
    /// The places of those that change after it is done.
    pub(super) before: Vec<usize>,
}

/// A component that is searched: it knows its parts by their places in it.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) phases: usize,
    pub(super) parts: Vec<Bound>,
}

/// Why a component has no cheapest way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stuck {
    /// There is none.
    NoWay,
    /// There are too many to look at.
    TooMany,
}

/// What happened last on the way to a node, and what that settled.
#[derive(Clone, Debug)]
struct Arrival {
    /// Where from; none: from the beginning.
    from: Option<usize>,
    change: Option<(usize, usize)>,
    settled: Vec<Settled>,
}

/// What a way over a node costs at least, how much of that from there on, its phase and config,
/// and how it was arrived at.
type Open = (Cost, Cost, usize, Config, usize);

/// Nodes of the search as they are known so far.
#[derive(Default)]
struct Nodes {
    arrivals: Vec<Arrival>,
    spent: BTreeMap<(usize, Config), Cost>,
    /// By what the whole way costs at least.
    open: BinaryHeap<Reverse<Open>>,
}

impl Component {
    /// The cheapest way.
    pub(super) fn cheapest(&self) -> Result<Cheapest, Stuck> {
        let mut nodes = Nodes::default();
        nodes.arrive(self, 0, vec![0; self.parts.len()], 0, None, None);
        let mut looks = 0;
        // Of ways that seem to cost the same, the one that is farthest along.
        while let Some(Reverse((sum, rest, phase, config, arrival))) = nodes.open.pop() {
            let so_far = sum - rest;
            let key = (phase, config);
            if nodes.spent.get(&key).is_some_and(|best| *best < so_far) {
                continue;
            }
            let (_, config) = key;
            if self.is_end(phase, &config) {
                let changes = self.changes(nodes.way_to(arrival));
                return Ok(Cheapest { cost: so_far, changes });
            }
            looks += 1;
            if looks > LOOKS_MAX || nodes.arrivals.len() > NODES_MAX {
                return Err(Stuck::TooMany);
            }
            self.each_next(phase, &config, &mut |phase, next, cost, change| {
                nodes.arrive(self, phase, next, so_far + cost, Some(arrival), change);
            });
        }
        Err(Stuck::NoWay)
    }
}

impl Nodes {
    fn arrive(
        &mut self,
        bound: &Component,
        phase: usize,
        mut config: Config,
        mut cost: Cost,
        from: Option<usize>,
        change: Option<(usize, usize)>,
    ) {
        if bound.left(phase, &config) == NEVER {
            return;
        }
        let settled = bound.settle(phase, &mut config);
        cost += settled.iter().map(|settled| settled.cost).sum::<Cost>();
        let rest = bound.left(phase, &config);
        let key = (phase, config);
        if self.spent.get(&key).is_some_and(|best| *best <= cost) {
            return;
        }
        self.spent.insert(key.clone(), cost);
        self.open.push(Reverse((cost + rest, rest, key.0, key.1, self.arrivals.len())));
        self.arrivals.push(Arrival { from, change, settled });
    }

    /// All arrivals on the way to one, the first one first.
    fn way_to(&self, last: usize) -> Vec<&Arrival> {
        let mut way: Vec<&Arrival> = std::iter::successors(Some(&self.arrivals[last]), |arrival| {
            arrival.from.map(|from| &self.arrivals[from])
        })
        .collect();
        way.reverse();
        way
    }
}

impl Component {
    pub(super) fn of(problem: &Problem, component: &[usize]) -> Self {
        let place = |part: usize| component.iter().position(|other| *other == part);
        let mut parts: Vec<Bound> = component
            .iter()
            .map(|index| {
                let part = problem.parts[*index].clone();
                let alone = part.costs(States::MAX, part.done);
                let reach = part.reach(&alone);
                let foes = component.iter().map(|other| problem.foes(*index, *other)).collect();
                let (after, before) = (Vec::new(), Vec::new());
                Bound { part, alone, reach, foes, after, before }
            })
            .collect();
        for (first, then) in &problem.orders {
            if let (Some(first), Some(then)) = (place(*first), place(*then)) {
                parts[first].before.push(then);
                parts[then].after.push(first);
            }
        }
        Self { phases: problem.phases, parts }
    }

    /// The parts that are not settled, each with its place and its state.
    pub(super) fn open<'c>(
        &'c self,
        config: &'c [u8],
    ) -> impl Iterator<Item = (usize, usize, &'c Bound)> {
        let all = config.iter().zip(&self.parts).enumerate();
        all.filter(|(_, (state, _))| **state != OUT)
            .map(|(at, (state, part))| (at, usize::from(*state), part))
    }

    /// What the open parts would cost if each were alone.
    fn left(&self, phase: usize, config: &[u8]) -> Cost {
        let each = self.open(config).map(|(_, state, part)| part.alone[phase][state]);
        each.fold(0, Cost::saturating_add)
    }

    /// Whether everything is there and done.
    pub(super) fn is_end(&self, phase: usize, config: &[u8]) -> bool {
        let mut open = self.open(config).peekable();
        open.peek().is_none()
            || phase + 1 == self.phases
                && open
                    .all(|(_, state, Bound { part, .. })| has(part.done & part.lives[phase], state))
    }

    /// Whether something lags behind: then only add-ons may change.
    pub(super) fn lags(&self, phase: usize, config: &[u8]) -> bool {
        self.open(config).any(|(_, state, bound)| !has(bound.part.lives[phase], state))
    }

    /// Whether everything survives the hop to the next phase.
    pub(super) fn may_hop(&self, phase: usize, config: &[u8]) -> bool {
        let mut open = self.open(config);
        phase + 1 < self.phases
            && open.all(|(_, state, bound)| bound.part.survives(phase + 1, state))
    }

    /// Whether what comes before a part is done.
    pub(super) fn is_its_turn(&self, at: usize, config: &[u8]) -> bool {
        self.parts[at].after.iter().all(|first| {
            config[*first] == OUT || has(self.parts[*first].part.done, usize::from(config[*first]))
        })
    }

    fn each_next(
        &self,
        phase: usize,
        config: &[u8],
        found: &mut impl FnMut(usize, Config, Cost, Option<(usize, usize)>),
    ) {
        let lags = self.lags(phase, config);
        let mut change = |at: usize, to: usize| {
            let mut next = config.to_vec();
            next[at] = state(to);
            found(phase, next, self.parts[at].part.weight.cost(), Some((at, to)));
        };
        let may_change = |at: usize, bound: &Bound| {
            (!lags || bound.part.weight == Weight::Move) && self.is_its_turn(at, config)
        };
        let first = self.open(config).find_map(|(at, _, bound)| {
            let to = may_change(at, bound).then(|| self.no_regret(phase, config, at))??;
            Some((at, to))
        });
        if let Some((at, to)) = first {
            return change(at, to);
        }
        for (at, now, bound) in self.open(config).filter(|(at, _, bound)| may_change(*at, bound)) {
            for to in from_highest(bound.part.next(phase, now)) {
                let mut others = self.open(config).filter(|(other, ..)| *other != at);
                if others.all(|(other, state, _)| !bound.clash(to, other, only(state))) {
                    change(at, to);
                }
            }
        }
        if !lags && self.may_hop(phase, config) {
            found(phase + 1, config.to_vec(), 0, None);
        }
    }

    /// The changes of a way by phase, with those of the parts that were settled on it.
    fn changes(&self, way: Vec<&Arrival>) -> Vec<Vec<(usize, usize)>> {
        let mut early = vec![Vec::new(); self.phases];
        let mut own = vec![Vec::new(); self.phases];
        let mut late = vec![Vec::new(); self.phases];
        let mut at_last = Vec::new();
        let mut now = 0;
        for Arrival { from, change, settled } in way {
            match change {
                Some((at, to)) => own[now].push((*at, *to)),
                None if from.is_some() => now += 1,
                None => {}
            }
            for Settled { at, path, last, .. } in settled {
                for (phase, to) in path {
                    let of_phase = if self.parts[*at].part.weight != Weight::Move {
                        &mut late[*phase]
                    } else if *phase == now {
                        &mut own[*phase]
                    } else {
                        &mut early[*phase]
                    };
                    of_phase.push((*at, *to));
                }
                at_last.extend(last.map(|to| (*at, to)));
            }
        }
        // Who was settled first waits for those that were settled after it.
        late[self.phases - 1].extend(at_last.into_iter().rev());
        let phases = early.into_iter().zip(own).zip(late);
        phases.map(|((early, own), late)| [early, own, late].concat()).collect()
    }
}

impl Bound {
    /// Whether a state of it cannot live with one of these of another.
    pub(super) fn clash(&self, state: usize, other: usize, states: States) -> bool {
        self.foes[other].as_ref().is_some_and(|foes| foes[state] & states != 0)
    }
}

/// A state as it is kept.
pub(super) fn state(state: usize) -> u8 {
    u8::try_from(state).expect("a part has at most 128 states")
}

impl Part {
    /// By phase and state, what the part would cost if there were no other, from there on to one
    /// of these ends, through no other states than these.
    pub(super) fn costs(&self, within: States, ends: States) -> Vec<Vec<Cost>> {
        let (phases, states) = (self.lives.len(), self.steps.len());
        let mut left = vec![vec![NEVER; states]; phases];
        for phase in (0..phases).rev() {
            for state in (0..states).rev().filter(|state| has(within, *state)) {
                let mut best = NEVER;
                if has(self.lives[phase], state) {
                    if phase + 1 == phases {
                        best = if has(ends, state) { 0 } else { NEVER };
                    } else if self.survives(phase + 1, state) {
                        best = left[phase + 1][state];
                    }
                }
                for to in from_highest(self.next(phase, state) & within) {
                    best = best.min(left[phase][to].saturating_add(self.weight.cost()));
                }
                left[phase][state] = best;
            }
        }
        left
    }

    /// By phase and state, all that the part can be from there on, where it can still end.
    fn reach(&self, alone: &[Vec<Cost>]) -> Vec<Vec<States>> {
        let (phases, states) = (self.lives.len(), self.steps.len());
        let mut reach = vec![vec![0; states]; phases];
        for phase in (0..phases).rev() {
            for state in (0..states).rev() {
                let mut all = only(state);
                if phase + 1 < phases && alone[phase + 1][state] != NEVER {
                    all |= reach[phase + 1][state];
                }
                for to in from_highest(self.next(phase, state)) {
                    if alone[phase][to] != NEVER {
                        all |= reach[phase][to];
                    }
                }
                reach[phase][state] = all;
            }
        }
        reach
    }
}
