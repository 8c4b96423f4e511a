//! Applying a plan, as a state machine without I/O: `step(now, event) -> effects`.
//!
//! The engine decides; whoever drives it carries its effects out and reports back. The tokio
//! runtime and the simulator's seed runner are two small loops around the same [`Engine`], so
//! what simulation proves is what users run.
//!
//! What it holds to:
//! - No call is sent before its intent is durable ([`Effect::Journal`], [`Event::Journaled`]).
//! - Each call follows a look that shows that it is needed. One whose result is unknown is not
//!   repeated before another look.
//! - No look is believed that does not show what was changed a moment ago.
//! - Nothing is written to a cluster without its Lease, and a lost Lease stops that at once.
//! - Every wait says what it waits for, and ends.
//! - A failure stops its own cluster, and past the wave's budget the start of further ones.

mod addon;
#[cfg(test)]
mod bench;
mod decision;
mod engine;
mod lease;
mod memory;
mod migrate;
mod pin;
mod recent;
mod roll;
mod schedule;
mod worker;

pub use engine::{Engine, Settings};

use refit_model::{
    CallError, ClusterName, ClusterState, Op, OpId, RecordKind, RunEvent, RunOutcome, Scope, Stop,
    Timestamp, Token,
};

/// Numbers a look, so that its answer finds whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LookId(pub u64);

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// The records of the oldest [`Effect::Journal`] without an answer are durable.
    Journaled,
    /// They could not be written: nothing may be done any more.
    JournalFailed {
        /// In words.
        reason: String,
    },
    /// A look was answered.
    Looked {
        /// Which.
        look: LookId,
        /// With what.
        result: Result<Box<ClusterState>, CallError>,
    },
    /// A call was answered.
    Settled {
        /// Which.
        op: OpId,
        /// With what.
        result: Result<(), CallError>,
    },
    /// Somebody asks the run to stop.
    Stop(Stop),
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Write these records, durably, and answer.
    Journal(Vec<RecordKind>),
    /// Look at a cluster, and answer.
    Look {
        /// Which look.
        look: LookId,
        /// At which cluster.
        cluster: ClusterName,
        /// At how much of it.
        scope: Scope,
    },
    /// Send a call, and answer.
    Submit {
        /// Which call.
        op: OpId,
        /// To which cluster.
        cluster: ClusterName,
        /// The call.
        call: Op,
        /// Its token.
        token: Token,
    },
    /// Tell people.
    Emit(RunEvent),
    /// Send [`Event::Tick`] at this time, if nothing happens before.
    WakeAt(Timestamp),
    /// The run is over.
    Finish(RunOutcome),
}
