//! What was found for components that look the same.
//!
//! Clusters of a fleet have the same add-ons at the same few versions, so that most of their
//! components are the same numbers. Nothing depends on who comes first: what is known is what would
//! have been found, for as many steps as that would have taken.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::cheapest::{Cheapest, Component, Stuck};
use super::rounds::{Event, Slots};
use super::{Cost, Problem, States, Weight};

/// Components that were searched before, each by the numbers that it is.
#[derive(Debug, Default)]
pub(crate) struct Known(RefCell<BTreeMap<Vec<States>, Rc<Solved>>>);

/// By rounds: the events, if there are any, and how many steps it took to find out.
type Schedules = BTreeMap<Vec<usize>, (Option<Rc<[Event]>>, usize)>;

/// A component, and what is known of it.
#[derive(Debug)]
pub(super) struct Solved {
    pub(super) component: Component,
    pub(super) cheapest: Result<Cheapest, Stuck>,
    schedules: RefCell<Schedules>,
}

impl Known {
    pub(super) fn solved(&self, problem: &Problem, parts: &[usize]) -> Rc<Solved> {
        let key = problem.numbers(parts);
        if let Some(known) = self.0.borrow().get(&key) {
            return Rc::clone(known);
        }
        let component = Component::of(problem, parts);
        let cheapest = component.cheapest();
        let solved = Rc::new(Solved { component, cheapest, schedules: RefCell::default() });
        self.0.borrow_mut().insert(key, Rc::clone(&solved));
        solved
    }
}

impl Solved {
    /// The events at the lowest cost, with at most so many rounds in each slot; none: there are
    /// none, or no more steps may be made.
    pub(super) fn schedule(
        &self,
        cost: Cost,
        slots: Slots,
        rounds: &[usize],
        steps: &mut usize,
    ) -> Option<Rc<[Event]>> {
        if let Some((events, took)) = self.schedules.borrow().get(rounds) {
            *steps = steps.saturating_sub(*took);
            return events.clone().filter(|_| *steps > 0);
        }
        let left = Cell::new(*steps);
        let events = self.component.schedule(cost, slots, rounds, &left).map(Rc::from);
        let took = *steps - left.get();
        *steps = left.get();
        // Where the steps ran out, nothing was found out.
        if *steps > 0 {
            self.schedules.borrow_mut().insert(rounds.to_vec(), (events.clone(), took));
        }
        events
    }
}

impl Problem {
    /// All that decides on the way of these parts.
    fn numbers(&self, parts: &[usize]) -> Vec<States> {
        let mut numbers = vec![self.phases as States, parts.len() as States];
        for part in parts.iter().map(|part| &self.parts[*part]) {
            numbers.extend(match part.weight {
                Weight::Move => [0, 0],
                Weight::Nodes(nodes) => [1, States::from(nodes)],
            });
            numbers.push(part.done);
            numbers.push(part.steps.len() as States);
            let by_phase = part.lives.iter().chain(&part.lags).chain(&part.opens);
            numbers.extend(by_phase.chain(&part.steps));
        }
        for (at, one) in parts.iter().enumerate() {
            for (with, other) in parts.iter().enumerate() {
                let pair = [at as States, with as States];
                if let Some(table) = self.clashes.get(&(*one, *other)) {
                    numbers.extend([[0; 2], pair].concat());
                    numbers.extend(table);
                }
                if self.orders.contains(&(*one, *other)) {
                    numbers.extend([[1; 2], pair].concat());
                }
            }
        }
        numbers
    }
}
