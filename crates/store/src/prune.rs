//! Removes the journals of runs that have ended long ago, so that a state directory does not grow
//! without bound.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use refit_model::{Digest, Period, RunId, Timestamp};

use crate::journal::journal_path;
use crate::{RunSummary, SledStore, StateStore as _, StoreError, durable};

/// How many runs `refit apply` keeps by itself: years of them for most fleets, and a bound for those
/// that apply every few minutes.
pub const RUNS_KEPT: usize = 500;

/// Which runs are kept. Those that have not ended always are.
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
    /// Whether a run that ended, and before which so many newer ones ended, is kept.
    fn keeps(&self, run: &RunSummary, newer: usize) -> bool {
        match self {
            Self::Within { period, now } => {
                let age = now.as_second().saturating_sub(run.last_at.as_second());
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
    /// How many bytes their journals had.
    pub bytes: u64,
}

impl SledStore {
    /// Removes the journals of runs that have ended and are not to be kept, with what the index has of
    /// them. Runs that are open or interrupted, and journals that cannot be read, stay.
    ///
    /// # Errors
    /// When a journal cannot be removed. Those before it are.
    pub fn prune(&mut self, keep: Keep) -> Result<Pruned, StoreError> {
        let list = self.runs()?;
        let ended = list.runs.iter().filter(|run| run.has_ended());
        let gone: Vec<&RunSummary> = ended
            .enumerate()
            .filter(|(newer, run)| !keep.keeps(run, *newer))
            .map(|(_, run)| run)
            .collect();
        let mut pruned = Pruned::default();
        for run in &gone {
            let path = journal_path(self.dir(), &run.run);
            let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", &path, error));
                }
                _ => durable::sync_parent(&path)?,
            }
            pruned.runs.push(run.run.clone());
            pruned.bytes += bytes;
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
