//! When things change on the cheapest way.
//!
//! Add-ons that do not have to wait for each other move in one *round*. Of all ways of the
//! lowest cost one with the fewest rounds is taken, for rounds follow each other and so make
//! the critical path; of those, one whose rounds are late, and within it every add-on moves as
//! late as it can. Rounds are shared by parts that have nothing to do with each other.
//!
//! A phase has one *slot* for rounds, and one more for each kind of pool that some add-on may
//! have to wait for; every slot ends with the rolls of nodes.

use std::collections::BTreeMap;

use super::cheapest::state;
use super::{Cost, NEVER, Problem, Weight, from_highest, has};

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

/// How many ways to spread rounds over phases are tried. With ten phases and five rounds there
/// are two thousand.
const SPREADS_MAX: usize = 20_000;

/// How many states a schedule of one component looks at before it gives up a spread.
const LOOKS_MAX: usize = 100_000;

/// The slots of all phases, phase by phase.
#[derive(Clone, Copy, Debug)]
struct Slots {
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

impl Problem {
    /// The events of each component in the fewest rounds, for the costs that they have at least.
    pub(super) fn in_rounds(&self, components: &[Vec<usize>], costs: &[Cost]) -> Vec<Vec<Event>> {
        let slots = Slots { phases: self.phases, each: 1 + self.bound_pools(components) };
        let moves: usize = costs.iter().map(|cost| moves_in(*cost)).sum();
        let order = slots.by_preference();
        let mut tried = 0;
        for count in 0..=moves {
            let mut rounds = vec![0_usize; slots.count()];
            let mut found = None;
            spread(&mut rounds, &order, count, &mut |rounds| {
                tried += 1;
                found = self.spread_over(components, costs, slots, rounds);
                found.is_some() || tried >= SPREADS_MAX
            });
            if let Some(found) = found {
                return found;
            }
            if tried >= SPREADS_MAX {
                break;
            }
        }
        // Every component by itself: each of its moves may be a round of its own.
        let each = components.iter().zip(costs).map(|(component, cost)| {
            let free = vec![moves_in(*cost); slots.count()];
            self.schedule(component, *cost, slots, &free).unwrap_or_default()
        });
        each.collect()
    }

    /// How many kinds of pools are bound to add-ons in one component at most.
    fn bound_pools(&self, components: &[Vec<usize>]) -> usize {
        let pools = |component: &&Vec<usize>| {
            component.iter().filter(|part| self.parts[**part].weight != Weight::Move).count()
        };
        components
            .iter()
            .filter(|component| component.len() > 1)
            .map(|c| pools(&c))
            .max()
            .unwrap_or(0)
    }

    fn spread_over(
        &self,
        components: &[Vec<usize>],
        costs: &[Cost],
        slots: Slots,
        rounds: &[usize],
    ) -> Option<Vec<Vec<Event>>> {
        let each = components.iter().zip(costs);
        each.map(|(component, cost)| self.schedule(component, *cost, slots, rounds)).collect()
    }

    /// The events of one component, with at most so many rounds in each slot.
    fn schedule(
        &self,
        component: &[usize],
        cost: Cost,
        slots: Slots,
        rounds: &[usize],
    ) -> Option<Vec<Event>> {
        let alone = component.iter().map(|part| self.alone_in(*part, slots, rounds)).collect();
        let mut schedule = Schedule {
            problem: self,
            component,
            slots,
            rounds,
            cost,
            alone,
            failed: BTreeMap::new(),
            events: Vec::new(),
            looks: 0,
        };
        let start = vec![0; component.len()];
        schedule.go(0, rounds[0], &start, 0).then_some(schedule.events)
    }

    /// By slot, rounds that are left in it, and state: what the part would cost from there on.
    fn alone_in(&self, part: usize, slots: Slots, rounds: &[usize]) -> Vec<Vec<Vec<Cost>>> {
        let part = &self.parts[part];
        let states = part.steps.len();
        let mut left: Vec<Vec<Vec<Cost>>> =
            rounds.iter().map(|rounds| vec![vec![NEVER; states]; rounds + 1]).collect();
        for slot in (0..slots.count()).rev() {
            let phase = slots.phase(slot);
            for rest in 0..=rounds[slot] {
                for state in (0..states).rev() {
                    let mut best = NEVER;
                    if has(part.lives[phase], state) {
                        best = if slot + 1 == slots.count() {
                            if has(part.done, state) { 0 } else { NEVER }
                        } else if slots.ends_phase(slot) && !part.survives(phase + 1, state) {
                            NEVER
                        } else {
                            left[slot + 1][rounds[slot + 1]][state]
                        };
                    }
                    let after = match part.weight {
                        Weight::Move => rest.checked_sub(1),
                        Weight::Nodes(_) => Some(rest),
                    };
                    if let Some(after) = after {
                        for to in from_highest(part.next(phase, state)) {
                            let rest = left[slot][after][to];
                            best = best.min(rest.saturating_add(part.weight.cost()));
                        }
                    }
                    left[slot][rest][state] = best;
                }
            }
        }
        left
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
    problem: &'a Problem,
    component: &'a [usize],
    slots: Slots,
    rounds: &'a [usize],
    cost: Cost,
    alone: Vec<Vec<Vec<Vec<Cost>>>>,
    /// What did not lead anywhere, and how little had been spent.
    failed: BTreeMap<(usize, usize, Vec<u8>), Cost>,
    events: Vec<Event>,
    looks: usize,
}

impl Schedule<'_> {
    /// Whether there is a way on from here, whose events are then kept.
    fn go(&mut self, slot: usize, left: usize, config: &[u8], spent: Cost) -> bool {
        let each = config.iter().zip(&self.alone);
        let rest = each
            .map(|(state, alone)| alone[slot][left][usize::from(*state)])
            .fold(0, Cost::saturating_add);
        if spent.saturating_add(rest) > self.cost || self.looks > LOOKS_MAX {
            return false;
        }
        let key = (slot, left, config.to_vec());
        if self.failed.get(&key).is_some_and(|least| *least <= spent) {
            return false;
        }
        self.looks += 1;
        let lags = self.problem.lags(self.component, self.slots.phase(slot), config);
        let found = (!lags && self.leave(slot, config, spent))
            || (left > 0 && self.round(slot, left, config, &mut config.to_vec(), spent, 0))
            || (!lags && self.roll(slot, config, spent));
        if !found {
            self.failed.insert(key, spent);
        }
        found
    }

    /// Goes on to the next slot, or ends.
    fn leave(&mut self, slot: usize, config: &[u8], spent: Cost) -> bool {
        let (problem, component) = (self.problem, self.component);
        let phase = self.slots.phase(slot);
        if slot + 1 == self.slots.count() {
            return problem.is_end(component, phase, config);
        }
        let stays = !self.slots.ends_phase(slot);
        (stays || problem.may_hop(component, phase, config))
            && self.go(slot + 1, self.rounds[slot + 1], config, spent)
    }

    /// Decides for each part from `at` on whether it moves in this round.
    fn round(
        &mut self,
        slot: usize,
        left: usize,
        before: &[u8],
        after: &mut Vec<u8>,
        spent: Cost,
        at: usize,
    ) -> bool {
        let problem = self.problem;
        let Some(index) = self.component.get(at).copied() else {
            return self.end_round(slot, left, before, after, spent);
        };
        let now = usize::from(before[at]);
        let part = &problem.parts[index];
        let moves =
            part.weight == Weight::Move && problem.is_its_turn(index, before, self.component);
        let targets = if moves { part.next(self.slots.phase(slot), now) } else { 0 };
        for to in std::iter::once(now).chain(from_highest(targets)) {
            if self.alone[at][slot][left - 1][to] == NEVER {
                continue;
            }
            let goes = (0..at).all(|other| {
                let there = [before[other], after[other]].map(usize::from);
                let both = [now, to];
                both.iter().all(|here| {
                    there.iter().all(|there| {
                        (*here == now && *there == usize::from(before[other]))
                            || !problem.clash((index, *here), (self.component[other], *there))
                    })
                })
            });
            if goes {
                after[at] = state(to);
                let cost = if to == now { spent } else { spent + part.weight.cost() };
                if self.round(slot, left, before, after, cost, at + 1) {
                    return true;
                }
            }
        }
        after[at] = before[at];
        false
    }

    fn end_round(
        &mut self,
        slot: usize,
        left: usize,
        before: &[u8],
        after: &[u8],
        spent: Cost,
    ) -> bool {
        let moved: Vec<(usize, usize)> = self
            .component
            .iter()
            .zip(before.iter().zip(after))
            .filter(|(_, (before, after))| before != after)
            .map(|(part, (_, after))| (*part, usize::from(*after)))
            .collect();
        if moved.is_empty() {
            return false;
        }
        self.note(slot, What::Round(moved));
        self.go(slot, left - 1, after, spent) || self.undo()
    }

    /// Ends the slot's rounds with the roll of pools, and goes on to the next slot, or ends.
    fn roll(&mut self, slot: usize, config: &[u8], spent: Cost) -> bool {
        let problem = self.problem;
        let phase = self.slots.phase(slot);
        for (at, index) in self.component.iter().enumerate() {
            let part = &problem.parts[*index];
            let pool = part.weight != Weight::Move;
            if !pool || !problem.is_its_turn(*index, config, self.component) {
                continue;
            }
            for to in from_highest(part.next(phase, usize::from(config[at]))) {
                let clashes = self.component.iter().zip(config).any(|(other, state)| {
                    other != index && problem.clash((*index, to), (*other, usize::from(*state)))
                });
                let cost = spent + part.weight.cost();
                if clashes || cost > self.cost {
                    continue;
                }
                let mut next = config.to_vec();
                next[at] = state(to);
                self.note(slot, What::Roll(*index));
                if self.leave(slot, &next, cost) || self.roll(slot, &next, cost) || self.undo() {
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
