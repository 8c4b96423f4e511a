//! What the cheapest way costs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::{Cost, Failed, NEVER, Part, Problem, Weight, from_highest, has};

/// How many states of a component are looked at. Three add-ons with thirty versions each, all
/// bound to each other over ten phases, are within it; what a part would cost alone keeps the
/// search far below it where there is a way.
const LOOKS_MAX: usize = 300_000;

/// What a component's parts are, part by part.
type Config = Vec<u8>;

impl Problem {
    /// What the cheapest way of a component costs.
    pub(super) fn cheapest(&self, component: &[usize]) -> Result<Cost, Failed> {
        let alone: Vec<Vec<Vec<Cost>>> =
            component.iter().map(|part| self.parts[*part].alone()).collect();
        let left = |phase: usize, config: &[u8]| {
            let each =
                config.iter().zip(&alone).map(|(state, part)| part[phase][usize::from(*state)]);
            each.fold(0, Cost::saturating_add)
        };
        let start: Config = vec![0; component.len()];
        let least = left(0, &start);
        if least == NEVER {
            return Err(Failed::NoWay(component.to_vec()));
        }
        if component.len() == 1 {
            return Ok(least);
        }
        let mut spent: BTreeMap<(usize, Config), Cost> = BTreeMap::from([((0, start.clone()), 0)]);
        // Of ways that seem to cost the same, the one that is farthest along.
        let mut open = BinaryHeap::from([Reverse((least, least, 0_usize, start))]);
        let mut looks = 0;
        while let Some(Reverse((sum, rest, phase, config))) = open.pop() {
            let so_far = sum - rest;
            if spent.get(&(phase, config.clone())).is_some_and(|best| *best < so_far) {
                continue;
            }
            if self.is_end(component, phase, &config) {
                return Ok(so_far);
            }
            looks += 1;
            if looks > LOOKS_MAX {
                return Err(Failed::TooMany(component.to_vec()));
            }
            self.each_next(component, phase, &config, &mut |phase, next, cost| {
                let rest = left(phase, &next);
                let so_far = so_far + cost;
                let known = spent.get(&(phase, next.clone())).is_some_and(|best| *best <= so_far);
                if rest != NEVER && !known {
                    spent.insert((phase, next.clone()), so_far);
                    open.push(Reverse((so_far + rest, rest, phase, next)));
                }
            });
        }
        Err(Failed::NoWay(component.to_vec()))
    }

    /// Whether everything is there and done.
    pub(super) fn is_end(&self, component: &[usize], phase: usize, config: &[u8]) -> bool {
        phase + 1 == self.phases
            && component.iter().zip(config).all(|(part, state)| {
                let part = &self.parts[*part];
                has(part.done & part.lives[phase], usize::from(*state))
            })
    }

    /// Whether something lags behind: then only add-ons may change.
    pub(super) fn lags(&self, component: &[usize], phase: usize, config: &[u8]) -> bool {
        component
            .iter()
            .zip(config)
            .any(|(part, state)| !has(self.parts[*part].lives[phase], usize::from(*state)))
    }

    /// Whether everything survives the hop to the next phase.
    pub(super) fn may_hop(&self, component: &[usize], phase: usize, config: &[u8]) -> bool {
        phase + 1 < self.phases
            && component
                .iter()
                .zip(config)
                .all(|(part, state)| self.parts[*part].survives(phase + 1, usize::from(*state)))
    }

    fn each_next(
        &self,
        component: &[usize],
        phase: usize,
        config: &[u8],
        found: &mut impl FnMut(usize, Config, Cost),
    ) {
        let lags = self.lags(component, phase, config);
        if !lags && self.may_hop(component, phase, config) {
            found(phase + 1, config.to_vec(), 0);
        }
        for (at, index) in component.iter().enumerate() {
            let part = &self.parts[*index];
            if (lags && part.weight != Weight::Move) || !self.is_its_turn(*index, config, component)
            {
                continue;
            }
            for to in from_highest(part.next(phase, usize::from(config[at]))) {
                let clashes = component.iter().zip(config).any(|(other, state)| {
                    other != index && self.clash((*index, to), (*other, usize::from(*state)))
                });
                if !clashes {
                    let mut next = config.to_vec();
                    next[at] = state(to);
                    found(phase, next, part.weight.cost());
                }
            }
        }
    }
}

/// A state as it is kept.
pub(super) fn state(state: usize) -> u8 {
    u8::try_from(state).expect("a part has at most 128 states")
}

impl Part {
    /// By phase and state, what the part would cost from there on if there were no other.
    fn alone(&self) -> Vec<Vec<Cost>> {
        let (phases, states) = (self.lives.len(), self.steps.len());
        let mut left = vec![vec![NEVER; states]; phases];
        for phase in (0..phases).rev() {
            for state in (0..states).rev() {
                let mut best = NEVER;
                if has(self.lives[phase], state) {
                    if phase + 1 == phases {
                        best = if has(self.done, state) { 0 } else { NEVER };
                    } else if self.survives(phase + 1, state) {
                        best = left[phase + 1][state];
                    }
                }
                for to in from_highest(self.next(phase, state)) {
                    best = best.min(left[phase][to].saturating_add(self.weight.cost()));
                }
                left[phase][state] = best;
            }
        }
        left
    }
}
