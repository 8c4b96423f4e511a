//! The changes of a way as they are, in as few rounds as that order allows.
//!
//! For what is bound to each other in too many ways to try all rounds.

use super::cheapest::{Cheapest, Component, state};
use super::rounds::{Event, What};
use super::{Weight, only};

/// A round that is being filled.
#[derive(Default)]
struct Round {
    /// What the parts were when it began.
    before: Vec<u8>,
    /// Which parts move, by their places.
    moved: Vec<(usize, usize)>,
}

impl Component {
    /// The events of a way. Moves that stand next to each other are one round, as far as whatever
    /// of them comes first goes together.
    pub(super) fn layered(&self, way: &Cheapest) -> Vec<Event> {
        let mut events = Vec::new();
        let mut config = vec![0; self.parts.len()];
        for (phase, changes) in way.changes.iter().enumerate() {
            let mut slot = 0;
            let mut rolled = false;
            let mut round = Round::default();
            for (at, to) in changes {
                let is_move = self.parts[*at].part.weight == Weight::Move;
                if !is_move || rolled || !self.joins(&round, *at, *to) {
                    events.extend(end(&mut round, phase, slot));
                }
                if is_move {
                    slot += usize::from(std::mem::take(&mut rolled));
                    if round.moved.is_empty() {
                        round.before.clone_from(&config);
                    }
                    round.moved.push((*at, *to));
                } else {
                    rolled = true;
                    let what = What::Roll(*at);
                    events.push(Event { phase, slot, what });
                }
                config[*at] = state(*to);
            }
            events.extend(end(&mut round, phase, slot));
        }
        events
    }

    /// Whether a move may be in a round: it goes with what the others there were and will be.
    fn joins(&self, round: &Round, at: usize, to: usize) -> bool {
        round.moved.is_empty()
            || self.is_its_turn(at, &round.before)
                && round.moved.iter().all(|(other, will_be)| {
                    let was = usize::from(round.before[*other]);
                    let now = usize::from(round.before[at]);
                    *other != at
                        && !self.parts[at].clash(to, *other, only(was) | only(*will_be))
                        && !self.parts[at].clash(now, *other, only(*will_be))
                })
    }
}

fn end(round: &mut Round, phase: usize, slot: usize) -> Option<Event> {
    let moved = std::mem::take(round).moved;
    (!moved.is_empty()).then_some(Event { phase, slot, what: What::Round(moved) })
}
