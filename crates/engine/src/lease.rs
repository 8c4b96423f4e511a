//! A cluster's Lease: nothing is written to a cluster without it.

use refit_model::{CallError, ErrorClass, OpId, Period, Timestamp};

use crate::decision::after;

/// For how long a Lease is taken. Long enough to survive a slow API, short enough that the
/// next run need not wait long for one that was killed.
pub(crate) const TTL: Period = Period::seconds(60);
/// It is renewed this long after it was taken.
const RENEW_AFTER: Period = Period::seconds(20);
/// Nothing is sent when less than this is left: the call itself takes time.
const MARGIN: Period = Period::seconds(10);
/// How long to wait before asking again.
const RETRY: Period = Period::seconds(5);
/// How long to wait for another run to let go.
pub(crate) const WAIT_MAX: Period = Period::minutes(10);

/// The Lease of one cluster, as this run has it.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// Until when it is surely ours.
    until: Option<Timestamp>,
    /// When it was asked for, and by which call.
    asked: Option<(OpId, Timestamp)>,
    /// Not before this time again.
    not_before: Option<Timestamp>,
    /// Since when it is wanted and not had.
    wanted_since: Option<Timestamp>,
    /// Why it cannot be had.
    pub(crate) refused: Option<String>,
    /// Who holds it, while it is waited for.
    pub(crate) held_by_other: Option<String>,
    released: bool,
}

impl Lease {
    /// Whether a call may be sent now.
    pub(crate) fn allows(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| after(now, MARGIN) < until)
    }

    /// Whether it has to be asked for now.
    pub(crate) fn is_due(&mut self, now: Timestamp) -> bool {
        if self.asked.is_some() || self.refused.is_some() || self.released {
            return false;
        }
        if self.until.is_none() {
            self.wanted_since.get_or_insert(now);
        }
        let renew = self.until.is_none_or(|until| after(now, TTL) >= after(until, RENEW_AFTER));
        renew && self.not_before.is_none_or(|at| now >= at)
    }

    /// When it has to be asked for next.
    pub(crate) fn due_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.asked.is_some() || self.refused.is_some() || self.released {
            return None;
        }
        let renew = match self.until {
            None => now,
            Some(until) => {
                let taken = until.checked_sub(TTL.as_duration()).unwrap_or(until);
                after(taken, RENEW_AFTER)
            }
        };
        Some(self.not_before.map_or(renew, |at| at.max(renew)).max(now))
    }

    pub(crate) fn ask(&mut self, op: OpId, now: Timestamp) {
        self.asked = Some((op, now));
    }

    pub(crate) fn is_asked_by(&self, op: OpId) -> bool {
        self.asked.is_some_and(|(asked, _)| asked == op)
    }

    /// Lets go of it; whether it is ours as far as we know, and has to be given back.
    pub(crate) fn release(&mut self) -> bool {
        let ours = self.until.is_some() && !self.released;
        self.released = true;
        ours
    }

    /// Takes in an answer.
    pub(crate) fn answer(&mut self, result: Result<(), CallError>, now: Timestamp) {
        let Some((_, asked_at)) = self.asked.take() else { return };
        match result {
            Ok(()) => {
                // It runs from when it was asked for, not from when the answer came.
                self.until = Some(after(asked_at, TTL));
                self.wanted_since = None;
                self.held_by_other = None;
                self.not_before = None;
            }
            Err(error) => {
                self.not_before = Some(after(now, error.retry_after.unwrap_or(RETRY)));
                match error.class {
                    ErrorClass::Conflict if self.until.is_some() => {
                        self.until = None;
                        self.refused =
                            Some(format!("lost the Lease of the cluster: {}", error.message));
                    }
                    ErrorClass::Conflict => {
                        self.held_by_other = Some(error.message.clone());
                        let since = self.wanted_since.unwrap_or(now);
                        if now >= after(since, WAIT_MAX) {
                            self.refused = Some(format!(
                                "waited {WAIT_MAX} for the Lease of the cluster: {}",
                                error.message
                            ));
                        }
                    }
                    ErrorClass::Permanent => self.refused = Some(error.message),
                    ErrorClass::Transient
                    | ErrorClass::Throttled
                    | ErrorClass::Budget
                    | ErrorClass::Unknown => {
                        if self.until.is_some_and(|until| now >= until) {
                            self.until = None;
                            self.wanted_since = Some(now);
                        }
                        let since = self.wanted_since.unwrap_or(now);
                        if self.until.is_none() && now >= after(since, WAIT_MAX) {
                            self.refused = Some(format!(
                                "could not take the Lease of the cluster: {}",
                                error.message
                            ));
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    #[test]
    fn it_counts_from_when_it_was_asked_for() {
        let mut lease = Lease::default();
        assert!(lease.is_due(at(0)) && !lease.allows(at(0)));
        lease.ask(OpId(1), at(0));
        assert!(!lease.is_due(at(30)));
        lease.answer(Ok(()), at(30));
        assert!(lease.allows(at(49)) && !lease.allows(at(50)));
    }

    #[test]
    fn it_is_renewed_in_time_and_lost_for_good() {
        let mut lease = Lease::default();
        lease.ask(OpId(1), at(0));
        lease.answer(Ok(()), at(0));
        assert!(!lease.is_due(at(19)) && lease.is_due(at(20)));
        assert_eq!(lease.due_at(at(1)), Some(at(20)));
        lease.ask(OpId(2), at(20));
        lease.answer(Err(CallError::new(ErrorClass::Conflict, "taken")), at(21));
        assert!(!lease.allows(at(21)) && lease.refused.is_some() && !lease.is_due(at(60)));
    }

    #[test]
    fn another_holder_is_waited_for_but_not_forever() {
        let mut lease = Lease::default();
        for second in (0..=600).step_by(10) {
            assert!(lease.refused.is_none());
            assert!(lease.is_due(at(second)));
            lease.ask(OpId(1), at(second));
            lease.answer(Err(CallError::new(ErrorClass::Conflict, "held by a@b")), at(second));
        }
        assert!(lease.refused.as_deref().unwrap().contains("held by a@b"));
    }
}
