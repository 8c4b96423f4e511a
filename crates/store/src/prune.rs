//! Removes the journals of runs that have ended long ago, so that a state directory does not grow
//! without bound.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use refit_model::{Digest, Period, RunId, Timestamp};

use crate::journal::journal_path;
use crate::set_aside::{Aside, list_set_aside};
use crate::{RunSummary, SledStore, StateStore as _, StoreError, durable};

/// How many runs `refit apply` keeps by itself: years of them for most fleets, and a bound for those
/// that apply every few minutes.
pub const RUNS_KEPT: usize = 500;

/// Which runs are kept. Those that have not ended always are. A damaged journal that was set aside
/// counts as a run that has ended, at the time that its name says it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Those that ended within this time before `now`.
    Within {
        /// How long.
        period: Period,
        /// The time that it is counted back from.
        now: Timestamp,
    },
    /// So many of those that ended, the newest.
    Newest(usize),
}

impl Keep {
    /// Whether a run that ended at `ended`, and after which so many others were begun, is kept.
    fn keeps(&self, ended: Timestamp, newer: usize) -> bool {
        match self {
            Self::Within { period, now } => {
                let age = now.as_second().saturating_sub(ended.as_second());
                age <= i64::from(period.as_secs())
            }
            Self::Newest(count) => newer < *count,
        }
    }
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The runs.
    pub runs: Vec<RunId>,
    /// How many damaged journals that had been set aside.
    pub set_aside: usize,
    /// How many bytes all of them had.
    pub bytes: u64,
}

impl Pruned {
    /// Whether nothing was removed.
    pub fn is_empty(&self) -> bool {
        let Self { runs, set_aside, bytes: _ } = self;
        runs.is_empty() && *set_aside == 0
    }
}

/// What can be removed.
enum Ended<'a> {
    Run(&'a RunSummary),
    Aside(&'a Aside),
}

impl Ended<'_> {
    fn begun_at(&self) -> Timestamp {
        match self {
            Self::Run(run) => run.opened_at,
            Self::Aside(aside) => aside.begun_at,
        }
    }

    fn ended_at(&self) -> Timestamp {
        match self {
            Self::Run(run) => run.last_at,
            Self::Aside(aside) => aside.begun_at,
        }
    }
}

/// Removes a file, and returns how many bytes it had.
fn remove(path: &Path) -> Result<u64, StoreError> {
    let bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path, error))
        }
        Ok(()) | Err(_) => durable::sync_parent(path).map(|()| bytes),
    }
}

impl SledStore {
    /// Removes the journals of runs that have ended and are not to be kept, with what the index has of
    /// them, and damaged journals that were set aside, by the same rule. Runs that are open or
    /// interrupted, and journals that cannot be read and were not set aside, stay.
    ///
    /// # Errors
    /// When a journal cannot be removed. Those before it are.
    pub fn prune(&mut self, keep: Keep) -> Result<Pruned, StoreError> {
        let list = self.runs()?;
        let aside = list_set_aside(self.dir())?;
        let ended = list.runs.iter().filter(|run| run.has_ended()).map(Ended::Run);
        let mut ended: Vec<Ended<'_>> = ended.chain(aside.iter().map(Ended::Aside)).collect();
        // The newest first. Runs of the same time stay in their order.
        ended.sort_by_key(|ended| std::cmp::Reverse(ended.begun_at()));
        let mut pruned = Pruned::default();
        let mut gone: Vec<&RunSummary> = Vec::new();
        for (newer, ended) in ended.iter().enumerate() {
            if keep.keeps(ended.ended_at(), newer) {
                continue;
            }
            match ended {
                Ended::Run(run) => {
                    pruned.bytes += remove(&journal_path(self.dir(), &run.run))?;
                    pruned.runs.push(run.run.clone());
                    gone.push(run);
                }
                Ended::Aside(aside) => {
                    pruned.bytes += remove(&aside.path)?;
                    pruned.set_aside += 1;
                }
            }
        }
        if !gone.is_empty() {
            let names: BTreeSet<&RunId> = gone.iter().map(|run| &run.run).collect();
            let stay = list.runs.iter().filter(|run| !names.contains(&run.run));
            let used: BTreeSet<Digest> = stay.map(|run| run.plan_digest).collect();
            let plans: BTreeSet<Digest> = gone.iter().map(|run| run.plan_digest).collect();
            self.forget(&names, &plans.difference(&used).copied().collect());
        }
        Ok(pruned)
    }
}
