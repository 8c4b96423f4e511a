//! What the suites share: a run to open, records of every kind, and directories.
#![expect(clippy::unwrap_used, reason = "a fixture that cannot be made fails its test")]
#![allow(dead_code, reason = "each suite uses its part")]
#![allow(clippy::allow_attributes, reason = "`expect` would fail in the suites that use all")]

use std::path::Path;
use std::time::Duration;

use refit_model::{OpId, OpResult, Outcome, RecordKind, RunId, RunOutcome, Stop, Timestamp};
use refit_store::{NewRun, OpenOptions, SledStore};

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_793_610_000 + second).unwrap()
}

pub(crate) fn run(name: &str) -> RunId {
    name.parse().unwrap()
}

pub(crate) fn new_run(name: &str) -> NewRun {
    NewRun {
        run: run(name),
        fleet: "acme".parse().unwrap(),
        plan: "0123456789ab".parse().unwrap(),
        plan_bytes: format!("{{\"plan\":\"of {name}\"}}\n").into_bytes(),
        who: "ada@laptop".into(),
        at: at(0),
    }
}

/// Records as the engine writes them, ending in an interruption.
pub(crate) fn a_life() -> Vec<RecordKind> {
    let action = || "a1".parse().unwrap();
    vec![
        RecordKind::ActionStarted { action: action() },
        RecordKind::Settled { op: OpId(1), result: OpResult::Unknown { reason: "timeout".into() } },
        RecordKind::Settled { op: OpId(2), result: OpResult::Ok },
        RecordKind::ActionEnded { action: action(), outcome: Outcome::AlreadySatisfied },
        RecordKind::ActionEnded { action: action(), outcome: Outcome::Done },
        RecordKind::StopAsked { stop: Stop::Finish },
        RecordKind::RunClosed { outcome: RunOutcome::Interrupted },
    ]
}

/// A record of about so many bytes.
pub(crate) fn settled(op: u64, bytes: usize) -> RecordKind {
    RecordKind::Settled { op: OpId(op), result: OpResult::Refused { reason: "x".repeat(bytes) } }
}

pub(crate) fn options() -> OpenOptions {
    OpenOptions {
        who: "ada@laptop".into(),
        command: "refit apply acme.plan".into(),
        lock_timeout: Duration::from_secs(20),
        ..OpenOptions::default()
    }
}

pub(crate) fn open(dir: &Path) -> SledStore {
    SledStore::open(dir, options()).unwrap()
}

/// Numbers that look random, the same in each test run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
