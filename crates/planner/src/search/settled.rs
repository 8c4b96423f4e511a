//! Parts that cannot get in the way of others any more.
//!
//! A part costs at least what it would cost alone. Where it can go its way for that, over states
//! that go with all that the others can still become, then whatever the others do, that is its
//! way: it is *settled*, and the search goes on without it. That is also so where only its last
//! change has to wait until all others are done. And where its next change leads to such a way,
//! that change can come first without regret.

use super::cheapest::{Component, OUT};
use super::{Cost, NEVER, Part, States, from_highest, has, only};

/// A part whose way is settled.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    /// Its place in the component.
    pub(super) at: usize,
    pub(super) cost: Cost,
    /// What it changes to, and in which phase.
    pub(super) path: Vec<(usize, usize)>,
    /// What it changes to when all others are done.
    pub(super) last: Option<usize>,
}

impl Component {
    /// Settles all parts that can be.
    pub(super) fn settle(&self, phase: usize, config: &mut [u8]) -> Vec<Settled> {
        let mut all = Vec::new();
        loop {
            let before = all.len();
            for at in 0..config.len() {
                if config[at] != OUT
                    && let Some(settled) = self.settled(phase, config, at)
                {
                    config[at] = OUT;
                    all.push(settled);
                }
            }
            if all.len() == before {
                return all;
            }
        }
    }

    fn settled(&self, phase: usize, config: &[u8], at: usize) -> Option<Settled> {
        let (bound, state) = (&self.parts[at], usize::from(config[at]));
        let cost = bound.alone[phase][state];
        let is_done = cost == 0 && has(bound.part.done, state);
        if !is_done && self.is_waited_for(config, at) {
            return None;
        }
        let safe = self.safe(phase, config, at);
        if cost == NEVER || !has(safe, state) {
            return None;
        }
        let its_turn = self.is_its_turn(at, config);
        if its_turn || cost == 0 {
            let costs = bound.part.costs(safe, bound.part.done);
            if costs[phase][state] == cost {
                let path = bound.part.path(&costs, safe, phase, state);
                return Some(Settled { at, cost, path, last: None });
            }
        }
        let within = if its_turn { safe } else { only(state) };
        let finals = self.finals(at);
        let last = self.phases - 1;
        let leads = |state: usize| bound.part.next(last, state) & finals;
        let ends = from_highest(within).filter(|state| leads(*state) != 0).map(only).sum();
        let costs = bound.part.costs(within, ends);
        if costs[phase][state].saturating_add(bound.part.weight.cost()) != cost {
            return None;
        }
        let path = bound.part.path(&costs, within, phase, state);
        let stays = path.last().map_or(state, |(_, to)| *to);
        Some(Settled { at, cost, path, last: from_highest(leads(stays)).next() })
    }

    /// A change of a part that nothing speaks against, now or later.
    pub(super) fn no_regret(&self, phase: usize, config: &[u8], at: usize) -> Option<usize> {
        let (bound, state) = (&self.parts[at], usize::from(config[at]));
        let left = bound.alone[phase][state];
        let safe = self.safe(phase, config, at);
        let mut targets = bound.part.next(phase, state) & safe;
        if left == 0 || targets == 0 {
            return None;
        }
        let costs = bound.part.costs(safe, bound.part.done);
        if self.is_waited_for(config, at) {
            // It has to be done with it: a later end may be too late for who waits.
            targets &= bound.part.done;
        }
        from_highest(targets).find(|to| {
            let rest = costs[phase][*to];
            let ends = !self.is_waited_for(config, at) || rest == 0;
            ends && rest.saturating_add(bound.part.weight.cost()) == left
        })
    }

    /// Whether somebody that is not settled changes only when the part is done.
    fn is_waited_for(&self, config: &[u8], at: usize) -> bool {
        self.parts[at].before.iter().any(|then| config[*then] != OUT)
    }

    /// What a part can be from now on that goes with all that the others can be.
    fn safe(&self, phase: usize, config: &[u8], at: usize) -> States {
        let bound = &self.parts[at];
        let mut safe = bound.reach[phase][usize::from(config[at])];
        for (other, state, there) in self.open(config).filter(|(other, ..)| *other != at) {
            let Some(foes) = &bound.foes[other] else { continue };
            let reach = there.reach[phase][state];
            for state in from_highest(safe) {
                if foes[state] & reach != 0 {
                    safe &= !only(state);
                }
            }
        }
        safe
    }

    /// What a part may become when all others are done.
    fn finals(&self, at: usize) -> States {
        let (bound, last) = (&self.parts[at], self.phases - 1);
        let mut finals = bound.part.done & bound.part.lives[last];
        for (other, there) in self.parts.iter().enumerate() {
            let done = there.part.done & there.part.lives[last];
            for state in from_highest(finals) {
                if bound.clash(state, other, done) {
                    finals &= !only(state);
                }
            }
        }
        finals
    }
}

impl Part {
    /// The changes of the cheapest way by these costs, each as late as it can be.
    fn path(
        &self,
        costs: &[Vec<Cost>],
        within: States,
        phase: usize,
        state: usize,
    ) -> Vec<(usize, usize)> {
        let (mut phase, mut state) = (phase, state);
        let mut path = Vec::new();
        while costs[phase][state] != 0 {
            let left = costs[phase][state];
            let stays = has(self.lives[phase], state)
                && costs
                    .get(phase + 1)
                    .is_some_and(|next| self.survives(phase + 1, state) && next[state] == left);
            if stays {
                phase += 1;
                continue;
            }
            let rest = |to: &usize| costs[phase][*to].saturating_add(self.weight.cost()) == left;
            let Some(to) = from_highest(self.next(phase, state) & within).find(rest) else {
                break;
            };
            path.push((phase, to));
            state = to;
        }
        path
    }
}
