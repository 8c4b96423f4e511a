//! The trait of every store, and the plain data that goes in and out.

use std::path::PathBuf;

use refit_model::{
    Digest, FleetName, JournalRecord, PlanId, RecordKind, RunId, RunOutcome, Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AppendError, RunJournal, StoreError, TornTail};

/// Where runs, plans, snapshots and reports are kept.
///
/// One process at a time writes; each that opens a store for writing has a higher
/// [`epoch`](Self::epoch) than all before it, and a store refuses what an older one writes.
pub trait StateStore: Send {
    /// The fencing epoch of this opening of the store.
    fn epoch(&self) -> u64;

    /// Keeps these bytes under their digest. Blobs outlive the process but, other than a plan
    /// that a run was opened with, not every power cut: what is needed must be in a journal.
    fn put_blob(&mut self, bytes: &[u8]) -> Result<Digest, StoreError>;

    /// The bytes of that digest, if they are here.
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Begins a run: its journal holds the plan and a first [`RecordKind::RunOpened`], and is
    /// durable, when this returns.
    fn open_run(&mut self, first: NewRun) -> Result<RunHandle, StoreError>;

    /// Goes on with a run that is open, or that was closed as
    /// [`Interrupted`](RunOutcome::Interrupted): reads its journal, drops a torn tail and says
    /// so, and appends [`RecordKind::RunContinued`] with this opening's epoch.
    fn continue_run(
        &mut self,
        run: &RunId,
        who: &str,
        at: Timestamp,
    ) -> Result<Continued, StoreError>;

    /// Appends to a run that this process has opened or continued, if its last record is
    /// `after`, and returns the new last record's number. The records are durable when this
    /// returns. After a crash in between, the first few of them may be there, each whole.
    fn append(
        &mut self,
        run: &RunId,
        after: u64,
        at: Timestamp,
        kinds: &[RecordKind],
    ) -> Result<u64, AppendError>;

    /// Everything in a run's journal.
    fn read_run(&self, run: &RunId) -> Result<RunJournal, StoreError>;

    /// Every run, the newest first.
    fn runs(&self) -> Result<RunList, StoreError>;
}

/// A run that is to begin.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id, which no run has had.
    pub run: RunId,
    /// The fleet.
    pub fleet: FleetName,
    /// The plan that is carried out.
    pub plan: PlanId,
    /// That plan, as a file. The digest of these bytes is its address as a blob.
    pub plan_bytes: Vec<u8>,
    /// Who begins it: `user@host`.
    pub who: String,
    /// When, by the run's clock.
    pub at: Timestamp,
}

/// A run that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunHandle {
    /// The run.
    pub run: RunId,
    /// The epoch that its records have from now on.
    pub epoch: u64,
    /// Its last record's number: what the first append has to name.
    pub last_seq: u64,
}

/// A run that was gone on with.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a dropped tail has to be reported"]
pub struct Continued {
    /// The plan, as it was given to [`StateStore::open_run`].
    pub plan: Vec<u8>,
    /// Every record, the last of them the new [`RecordKind::RunContinued`].
    pub records: Vec<JournalRecord>,
    /// What stood behind the last whole record and was dropped.
    pub dropped: Option<TornTail>,
    /// How many records the index had seen that the journal no longer has: more than 0 means
    /// that the disk lost what it had promised to keep, or that an older copy was restored.
    pub lost: u64,
    /// The epoch that its records have from now on.
    pub epoch: u64,
    /// Its last record's number: what the next append has to name.
    pub last_seq: u64,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// It goes on, or was killed.
    Open,
    /// It has ended.
    Closed {
        /// How.
        outcome: RunOutcome,
    },
}

/// A run in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// The fleet.
    pub fleet: FleetName,
    /// The plan that is carried out.
    pub plan: PlanId,
    /// Of that plan's file: its address as a blob.
    pub plan_digest: Digest,
    /// Who began it.
    pub who: String,
    /// When it was begun.
    pub opened_at: Timestamp,
    /// When its last record was written.
    pub last_at: Timestamp,
    /// Where it stands.
    pub state: RunState,
    /// How many records it has.
    pub records: u64,
    /// The epoch of the last record.
    pub epoch: u64,
}

impl RunSummary {
    /// What the journal says in a line. None for a journal without its first record, which no
    /// reader returns.
    pub fn of(journal: &RunJournal) -> Option<Self> {
        let (first, last) = (journal.records.first()?, journal.records.last()?);
        let RecordKind::RunOpened { run, fleet, plan, plan_digest, who } = &first.kind else {
            return None;
        };
        let mut summary = Self {
            run: run.clone(),
            fleet: fleet.clone(),
            plan: plan.clone(),
            plan_digest: *plan_digest,
            who: who.clone(),
            opened_at: first.at,
            last_at: last.at,
            state: RunState::Open,
            records: 0,
            epoch: 0,
        };
        summary.follow(last.seq, last.epoch, last.at, &last.kind);
        Some(summary)
    }

    /// Whether the run has ended for good, and can never be continued.
    pub fn has_ended(&self) -> bool {
        match self.state {
            RunState::Open => false,
            RunState::Closed { outcome } => outcome != RunOutcome::Interrupted,
        }
    }

    /// The summary after one more record.
    pub(crate) fn follow(&mut self, seq: u64, epoch: u64, at: Timestamp, kind: &RecordKind) {
        self.records = seq;
        self.epoch = epoch;
        self.last_at = at;
        self.state = match kind {
            RecordKind::RunClosed { outcome } => RunState::Closed { outcome: *outcome },
            _ => RunState::Open,
        };
    }
}

/// Every run of a store.
#[derive(Debug, Default)]
pub struct RunList {
    /// The newest first.
    pub runs: Vec<RunSummary>,
    /// Journals that cannot be read, by name.
    pub unreadable: Vec<UnreadableRun>,
}

impl RunList {
    pub(crate) fn sort(&mut self) {
        self.runs.sort_by(|a, b| (b.opened_at, &b.run).cmp(&(a.opened_at, &a.run)));
        self.unreadable.sort_by(|a, b| a.path.cmp(&b.path));
    }
}

/// A journal that cannot be read.
#[derive(Debug)]
pub struct UnreadableRun {
    /// Its file.
    pub path: PathBuf,
    /// Why not.
    pub error: StoreError,
    /// Where the run stood when it was last read; none when nobody knows.
    pub state: Option<RunState>,
}

impl UnreadableRun {
    /// Whether the run may go on: unless it is known to have ended for good.
    pub fn may_be_open(&self) -> bool {
        match self.state {
            Some(RunState::Closed { outcome }) => outcome == RunOutcome::Interrupted,
            Some(RunState::Open) | None => true,
        }
    }
}
