//! When things change on the cheapest way.
//!
//! Add-ons that do not have to wait for each other move in one *round*. Of all ways of the
//! lowest cost one with the fewest rounds is taken, for rounds follow each other and so make
//! the critical path; of those, one whose rounds are late, and within it every add-on moves as
//! late as it can. Rounds are shared by parts that have nothing to do with each other.
//!
//! A phase has one *slot* for rounds, and one more for each kind of pool that some add-on may
//! have to wait for; every slot ends with the rolls of nodes.
//!
//! To find the fewest rounds takes trying. Where it would take too long, the changes stay in the
//! order in which the cheapest way was found ([`layers`](super::layers)): then nothing but the
//! number of rounds may be higher than it must.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::cheapest::{Bound, Cheapest, Component, Config, state};
use super::known::Solved;
use super::{Cost, NEVER, Part, States, Weight, from_highest, has, only};

/// Something that changes in a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) phase: usize,
    /// The slot within the phase.
    pub(crate) slot: usize,
    pub(crate) what: What,
}

/// What changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Add-ons move at the same time, each to a state.
    Round(Vec<(usize, usize)>),
    /// The nodes of pools are replaced, when the slot's rounds are over.
    Roll(usize),
}

impl What {
    /// Names parts as the problem does, which up to here are named by their places among these.
    pub(super) fn place_in(&mut self, parts: &[usize]) {
        match self {
            Self::Round(moved) => moved.iter_mut().for_each(|(part, _)| *part = parts[*part]),
            Self::Roll(part) => *part = parts[*part],
        }
    }
}

/// How many steps are made to find the fewest rounds of a cluster: some tenths of a second.
const STEPS_MAX: usize = 200_000;

/// The slots of all phases, phase by phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots {
    phases: usize,
    /// How many slots a phase has.
    each: usize,
}

impl Slots {
    fn count(self) -> usize {
        self.phases * self.each
    }

    fn phase(self, slot: usize) -> usize {
        slot / self.each
    }

    /// Whether a hop follows the slot, or the end.
    fn ends_phase(self, slot: usize) -> bool {
        (slot + 1).is_multiple_of(self.each)
    }

    /// The best first: late phases, and in a phase the slot before nodes are rolled.
    fn by_preference(self) -> Vec<usize> {
        let phases = (0..self.phases).rev();
        phases.flat_map(|phase| (0..self.each).map(move |slot| phase * self.each + slot)).collect()
    }
}

/// The events of each component's cheapest way, in the fewest rounds.
pub(super) fn in_rounds(phases: usize, components: &[(Rc<Solved>, &Cheapest)]) -> Vec<Vec<Event>> {
    let slots = Slots { phases, each: 1 + bound_pools(components) };
    let moves: usize = components.iter().map(|(_, way)| moves_in(way.cost)).sum();
    // In a round each part moves once at most.
    let least = components
        .iter()
        .map(|(solved, way)| moves_in(way.cost).div_ceil(solved.component.parts.len()));
    let least = least.max().unwrap_or(0);
    let order = slots.by_preference();
    let mut steps = STEPS_MAX;
    // Which component did not take the last rounds: it is asked first, for it may well not take the
    // next ones either.
    let mut stuck = 0;
    let mut found = vec![None; components.len()];
    for count in least..=moves {
        let mut rounds = vec![0_usize; slots.count()];
        spread(&mut rounds, &order, count, &mut |rounds| {
            for at in (stuck..components.len()).chain(0..stuck) {
                let (solved, way) = &components[at];
                found[at] = solved.schedule(way.cost, slots, rounds, &mut steps);
                if found[at].is_none() {
                    stuck = at;
                    return steps == 0;
                }
            }
            true
        });
        if found.iter().all(Option::is_some) {
            return found.iter().flatten().map(|events| events.to_vec()).collect();
        }
        if steps == 0 {
            break;
        }
    }
    components.iter().map(|(solved, way)| solved.component.layered(way)).collect()
}

/// How many kinds of pools are bound to add-ons in one component at most.
fn bound_pools(components: &[(Rc<Solved>, &Cheapest)]) -> usize {
    let parts = components.iter().map(|(solved, _)| &solved.component.parts);
    let pools =
        |parts: &Vec<Bound>| parts.iter().filter(|bound| bound.part.weight != Weight::Move).count();
    parts.filter(|parts| parts.len() > 1).map(pools).max().unwrap_or(0)
}

impl Component {
    /// The events at a cost, with at most so many rounds in each slot; none: there are none, or no
    /// more steps may be made.
    pub(super) fn schedule(
        &self,
        cost: Cost,
        slots: Slots,
        rounds: &[usize],
        steps: &Cell<usize>,
    ) -> Option<Vec<Event>> {
        steps.set(steps.get().saturating_sub(self.parts.len()));
        let alone = self.parts.iter().map(|bound| Alone::of(&bound.part, slots, rounds)).collect();
        let mut schedule = Schedule {
            component: self,
            slots,
            rounds,
            cost,
            alone,
            failed: BTreeMap::new(),
            events: Vec::new(),
            steps,
        };
        let start = vec![0; self.parts.len()];
        schedule.go(0, rounds[0], &start, 0).then_some(schedule.events)
    }
}

/// What a part would cost if there were no other.
struct Alone {
    states: usize,
    /// By slot, where its costs begin.
    begins: Vec<usize>,
    /// By slot, rounds that are left in it, and state: what it would cost from there on.
    costs: Vec<Cost>,
}

impl Alone {
    fn of(part: &Part, slots: Slots, rounds: &[usize]) -> Self {
        let states = part.steps.len();
        let mut length = 0;
        let begins = rounds.iter().map(|rounds| {
            let begin = length;
            length += (rounds + 1) * states;
            begin
        });
        let begins = begins.collect();
        let mut alone = Self { states, begins, costs: vec![NEVER; length] };
        let weight = part.weight.cost();
        for slot in (0..slots.count()).rev() {
            let phase = slots.phase(slot);
            // The states that it may leave the slot in.
            let stays = part.lives[phase]
                & match (slot + 1 == slots.count(), slots.ends_phase(slot)) {
                    (true, _) => part.done,
                    (false, true) => part.lives[phase + 1] | part.lags[phase + 1],
                    (false, false) => States::MAX,
                };
            for rest in 0..=rounds[slot] {
                let after = match part.weight {
                    Weight::Move => rest.checked_sub(1),
                    Weight::Nodes(_) => Some(rest),
                };
                for state in (0..states).rev() {
                    let mut best = match rounds.get(slot + 1) {
                        _ if !has(stays, state) => NEVER,
                        None => 0,
                        Some(rounds) => alone.cost(slot + 1, *rounds, state),
                    };
                    if let Some(after) = after {
                        for to in from_highest(part.next(phase, state)) {
                            let cost = alone.cost(slot, after, to);
                            best = best.min(cost.saturating_add(weight));
                        }
                    }
                    let place = alone.place(slot, rest, state);
                    alone.costs[place] = best;
                }
            }
        }
        alone
    }

    fn place(&self, slot: usize, left: usize, state: usize) -> usize {
        self.begins[slot] + left * self.states + state
    }

    fn cost(&self, slot: usize, left: usize, state: usize) -> Cost {
        self.costs[self.place(slot, left, state)]
    }
}

/// How many moves of add-ons are in a cost.
fn moves_in(cost: Cost) -> usize {
    usize::try_from(cost % super::NODE).expect("fewer moves than fit into a cost")
}

/// All ways to spread `count` rounds over slots, those with the most in the first ones first,
/// until one is taken.
fn spread(
    rounds: &mut Vec<usize>,
    slots: &[usize],
    count: usize,
    take: &mut impl FnMut(&[usize]) -> bool,
) -> bool {
    let [first, rest @ ..] = slots else { return false };
    if rest.is_empty() {
        rounds[*first] = count;
        return take(rounds);
    }
    for here in (0..=count).rev() {
        rounds[*first] = here;
        if spread(rounds, rest, count - here, take) {
            return true;
        }
    }
    false
}

/// A search for the events of one component, depth first.
struct Schedule<'a> {
    component: &'a Component,
    slots: Slots,
    rounds: &'a [usize],
    cost: Cost,
    alone: Vec<Alone>,
    /// What did not lead anywhere, and how little had been spent.
    failed: BTreeMap<(usize, usize, Config), Cost>,
    events: Vec<Event>,
    /// How many steps may still be made.
    steps: &'a Cell<usize>,
}

/// A round that is being decided on, part by part.
struct Round<'a> {
    slot: usize,
    /// How many rounds the slot has after it.
    left: usize,
    before: &'a [u8],
    after: Config,
    spent: Cost,
    /// By part, what it and those after it cost at least.
    least: Vec<Cost>,
}

impl Schedule<'_> {
    /// Whether one more step may be made.
    fn may_step(&self) -> bool {
        self.steps.set(self.steps.get().saturating_sub(1));
        self.steps.get() > 0
    }

    /// Whether there is a way on from here, whose events are then kept.
    fn go(&mut self, slot: usize, left: usize, config: &[u8], spent: Cost) -> bool {
        let each = config.iter().zip(&self.alone);
        let rest = each
            .map(|(state, alone)| alone.cost(slot, left, usize::from(*state)))
            .fold(0, Cost::saturating_add);
        if spent.saturating_add(rest) > self.cost || !self.may_step() {
            return false;
        }
        let key = (slot, left, config.to_vec());
        if self.failed.get(&key).is_some_and(|least| *least <= spent) {
            return false;
        }
        let lags = self.component.lags(self.slots.phase(slot), config);
        let found = (!lags && self.leave(slot, config, spent))
            || (left > 0 && self.begin_round(slot, left - 1, config, spent))
            || (!lags && self.roll(slot, config, spent, 0));
        if !found {
            self.failed.insert(key, spent);
        }
        found
    }

    /// Goes on to the next slot, or ends.
    fn leave(&mut self, slot: usize, config: &[u8], spent: Cost) -> bool {
        let phase = self.slots.phase(slot);
        if slot + 1 == self.slots.count() {
            return self.component.is_end(phase, config);
        }
        let stays = !self.slots.ends_phase(slot);
        (stays || self.component.may_hop(phase, config))
            && self.go(slot + 1, self.rounds[slot + 1], config, spent)
    }

    /// The states that a part may be in after a round: what it is, then others.
    fn options(
        &self,
        slot: usize,
        before: &[u8],
        at: usize,
    ) -> impl Iterator<Item = usize> + use<> {
        let (part, now) = (&self.component.parts[at].part, usize::from(before[at]));
        let moves = part.weight == Weight::Move && self.component.is_its_turn(at, before);
        let targets = if moves { part.next(self.slots.phase(slot), now) } else { 0 };
        std::iter::once(now).chain(from_highest(targets))
    }

    /// What a part costs from here on if it is in a state after a round.
    fn priced(&self, round: &Round<'_>, at: usize, to: usize) -> Cost {
        let moved = to != usize::from(round.before[at]);
        let weight = if moved { self.component.parts[at].part.weight.cost() } else { 0 };
        self.alone[at].cost(round.slot, round.left, to).saturating_add(weight)
    }

    fn begin_round(&mut self, slot: usize, left: usize, before: &[u8], spent: Cost) -> bool {
        let after = before.to_vec();
        let mut round =
            Round { slot, left, before, after, spent, least: vec![0; before.len() + 1] };
        for at in (0..before.len()).rev() {
            let prices = self.options(slot, before, at).map(|to| self.priced(&round, at, to));
            let cheapest = prices.min().unwrap_or(NEVER);
            round.least[at] = round.least[at + 1].saturating_add(cheapest);
        }
        self.round(&mut round, 0, spent)
    }

    /// Decides for each part from `at` on whether it moves in this round. `sure` is what is spent,
    /// and what the parts before it cost at least.
    fn round(&mut self, round: &mut Round<'_>, at: usize, sure: Cost) -> bool {
        if sure.saturating_add(round.least[at]) > self.cost || !self.may_step() {
            return false;
        }
        if at == round.before.len() {
            return self.end_round(round);
        }
        let now = usize::from(round.before[at]);
        for to in self.options(round.slot, round.before, at) {
            let price = self.priced(round, at, to);
            if price == NEVER || !self.goes_with(round, at, now, to) {
                continue;
            }
            round.after[at] = state(to);
            if self.round(round, at + 1, sure.saturating_add(price)) {
                return true;
            }
        }
        round.after[at] = round.before[at];
        false
    }

    /// Whether a part can be in a state after the round, and in the one before it until then, with
    /// what the parts before it do.
    fn goes_with(&self, round: &Round<'_>, at: usize, now: usize, to: usize) -> bool {
        let bound = &self.component.parts[at];
        (0..at).all(|other| {
            let [was, will_be] =
                [round.before[other], round.after[other]].map(|state| only(usize::from(state)));
            let new = if will_be == was { 0 } else { will_be };
            !bound.clash(now, other, new) && (to == now || !bound.clash(to, other, was | new))
        })
    }

    fn end_round(&mut self, round: &Round<'_>) -> bool {
        let Round { slot, left, before, after, spent, .. } = round;
        let parts = before.iter().zip(after).enumerate();
        let changed = parts.filter(|(_, (before, after))| before != after);
        let moved: Vec<_> = changed.map(|(at, (_, to))| (at, usize::from(*to))).collect();
        if moved.is_empty() {
            return false;
        }
        let cost: Cost =
            moved.iter().map(|(at, _)| self.component.parts[*at].part.weight.cost()).sum();
        self.note(*slot, What::Round(moved));
        self.go(*slot, *left, after, spent + cost) || self.undo()
    }

    /// Ends the slot's rounds with the roll of pools, and goes on to the next slot, or ends. In
    /// which order pools are rolled in a slot makes no difference.
    fn roll(&mut self, slot: usize, config: &[u8], spent: Cost, first: usize) -> bool {
        let phase = self.slots.phase(slot);
        for at in first..config.len() {
            let bound = &self.component.parts[at];
            let pool = bound.part.weight != Weight::Move;
            if !pool || !self.component.is_its_turn(at, config) {
                continue;
            }
            for to in from_highest(bound.part.next(phase, usize::from(config[at]))) {
                let mut others = self.component.open(config);
                let clashes = others.any(|(other, state, _)| bound.clash(to, other, only(state)));
                let cost = spent + bound.part.weight.cost();
                if clashes || cost > self.cost || !self.may_step() {
                    continue;
                }
                let mut next = config.to_vec();
                next[at] = state(to);
                self.note(slot, What::Roll(at));
                if self.leave(slot, &next, cost)
                    || self.roll(slot, &next, cost, at + 1)
                    || self.undo()
                {
                    return true;
                }
            }
        }
        false
    }

    fn note(&mut self, slot: usize, what: What) {
        let Slots { each, .. } = self.slots;
        self.events.push(Event { phase: slot / each, slot: slot % each, what });
    }

    fn undo(&mut self) -> bool {
        self.events.pop();
        false
    }
}
