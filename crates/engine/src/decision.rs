//! What a procedure decides after a look: the next calls, what it waits for, or its end.

use refit_model::{Op, Outcome, Period, Progress, Timestamp};

/// How soon the action is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// Not at all.
    Go,
    /// After the node that is being replaced.
    Finish,
    /// Now, putting back what is half done.
    Cancel,
    /// Now, leaving nothing cordoned that nothing was evicted from.
    Leave,
}

/// How often an action looks while it waits.
pub(crate) const POLL: Period = Period::seconds(5);
/// How soon it looks again after its calls were answered.
pub(crate) const SOON: Period = Period::seconds(1);

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    /// These calls, all at once.
    Do(Vec<Op>),
    /// Nothing but another look, at the latest after [`POLL`].
    Wait(Wait),
    /// The action has ended.
    End(Outcome),
}

/// What is waited for: shown to people, and bounded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wait {
    pub(crate) what: String,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
}

/// A decision.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decision {
    /// What has been chosen or reached; journaled before anything else.
    pub(crate) notes: Vec<Progress>,
    pub(crate) next: Next,
    /// What is being done, in words.
    pub(crate) step: String,
}

impl Decision {
    pub(crate) fn act(step: impl Into<String>, ops: Vec<Op>) -> Self {
        Self { notes: Vec::new(), next: Next::Do(ops), step: step.into() }
    }

    pub(crate) fn end(outcome: Outcome) -> Self {
        Self { notes: Vec::new(), next: Next::End(outcome), step: String::new() }
    }

    pub(crate) fn fail(reason: impl Into<String>, left: Vec<String>) -> Self {
        Self::end(Outcome::Failed { reason: reason.into(), left })
    }

    /// Something was chosen or reached; look again at once.
    pub(crate) fn note(step: impl Into<String>, note: Progress) -> Self {
        Self { notes: vec![note], next: Next::Do(Vec::new()), step: step.into() }
    }

    pub(crate) fn wait(step: impl Into<String>, wait: Wait) -> Self {
        Self { notes: Vec::new(), next: Next::Wait(wait), step: step.into() }
    }
}

/// `at` and so much later.
pub(crate) fn after(at: Timestamp, period: Period) -> Timestamp {
    at.checked_add(period.as_duration()).unwrap_or(Timestamp::MAX)
}
