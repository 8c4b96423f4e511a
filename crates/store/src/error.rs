//! What can go wrong, with the operation and the path, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use refit_model::{RunId, RunOutcome};

use crate::Holder;

/// Why the store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("could not {operation} {}", path.display())]
    Io {
        /// What was attempted, as a verb: `write`, `create`.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process holds the store.
    #[error("the store {} is in use{}", dir.display(), held_by(holder.as_deref()))]
    Locked {
        /// The state directory.
        dir: PathBuf,
        /// Who holds it; none when the holder has not said so yet.
        holder: Option<Box<Holder>>,
    },
    /// A file has bytes that nobody wrote there.
    #[error("{} is damaged at byte {offset}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        problem: String,
    },
    /// A file of the state that is not a journal has something else in it than it should.
    #[error("{} is damaged in line {line}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Another major version, or a newer minor one.
    #[error(
        "{} has format {found}; this refit reads format {supported} and older minors",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The version in it.
        found: String,
        /// The newest version that this code reads.
        supported: &'static str,
    },
    /// There is no journal of that run.
    #[error("there is no run {run} in {}", dir.display())]
    NoSuchRun {
        /// The run.
        run: RunId,
        /// The state directory.
        dir: PathBuf,
    },
    /// A run of that id was opened before.
    #[error("there already is a run {run}")]
    RunExists {
        /// The run.
        run: RunId,
    },
    /// The run has ended for good.
    #[error("run {run} has ended ({}) and cannot be continued", outcome_text(*outcome))]
    RunClosed {
        /// The run.
        run: RunId,
        /// How it ended.
        outcome: RunOutcome,
    },
    /// More than a limit of the format.
    #[error("{what} has {bytes} bytes; at most {limit} are allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Another process has opened the store since; this one must not write any more.
    #[error(
        "the store was taken over: this process has epoch {epoch}, the store is at {newer_epoch}"
    )]
    Fenced {
        /// This process's.
        epoch: u64,
        /// The other's.
        newer_epoch: u64,
    },
    /// The record that opens or continues a run could not be written.
    #[error("could not write to the journal of run {run}")]
    Append {
        /// The run.
        run: RunId,
        /// Why not.
        source: AppendError,
    },
    /// The index failed. Journals are not affected; the next start makes the index again.
    #[error("could not {operation} the index {}: {problem}", path.display())]
    Index {
        /// What was attempted, as a verb.
        operation: &'static str,
        /// Where the index is.
        path: PathBuf,
        /// What sled said.
        problem: String,
    },
}

impl StoreError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { operation, path: path.to_owned(), source }
    }

    /// What a person can do about it, as a sentence.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Locked { holder: Some(holder), .. } => Some(format!(
                "wait for process {} to end, or stop it; the lock goes with the process",
                holder.pid
            )),
            Self::Locked { holder: None, .. } => {
                Some("wait for the other process to end; the lock goes with it".to_owned())
            }
            Self::Damaged { path, .. } => Some(format!(
                "restore {0} from a backup; or let `refit apply --set-aside-damaged` set it aside and \
                 begin a new run, which looks at every cluster before it acts",
                path.display()
            )),
            Self::Unusable { path, .. } => {
                Some(format!("restore {0} from a backup, or remove it", path.display()))
            }
            Self::Format { path, .. } => Some(format!(
                "use the version of refit that wrote {}, or a newer one",
                path.display()
            )),
            Self::Index { .. } => Some(
                "run the command again: the index is set aside and made again from the journals"
                    .to_owned(),
            ),
            Self::RunClosed { .. } => Some("apply the plan as a new run".to_owned()),
            Self::Fenced { .. } => {
                Some("stop this process; `refit status` shows who goes on with the run".to_owned())
            }
            Self::Io { path, source, .. } => match source.kind() {
                io::ErrorKind::IsADirectory => Some(format!(
                    "{} must be a file: move the directory away that is in its place",
                    path.display()
                )),
                io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => Some(format!(
                    "{} and what is above it must be directories: move the file away that is in \
                     their place",
                    path.display()
                )),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("free some space and run the same command again".to_owned())
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some("the state directory must be writable for the user of refit".to_owned())
                }
                _ => None,
            },
            Self::NoSuchRun { .. }
            | Self::RunExists { .. }
            | Self::TooLarge { .. }
            | Self::Append { .. } => None,
        }
    }
}

/// Why records were not appended. Unless it is [`AppendError::Io`], nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The journal is not where the caller thinks.
    #[error("the journal's last record is {actual}, which is not what the writer expected")]
    Conflict {
        /// The sequence number of its last record.
        actual: u64,
    },
    /// Another process has opened the store since; this one must not write, nor act.
    #[error("another process has taken over, with epoch {newer_epoch}")]
    Fenced {
        /// The other's epoch.
        newer_epoch: u64,
    },
    /// More than a limit of the format.
    #[error("{what} would be {size}; the limit is {limit}")]
    TooLarge {
        /// What is too large: a record in bytes, a journal in records or in bytes.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// This process has neither opened nor continued the run.
    #[error("run {run} is not open for writing in this process")]
    NotOpen {
        /// The run.
        run: RunId,
    },
    /// The run has ended.
    #[error("the run has ended ({})", outcome_text(*outcome))]
    Closed {
        /// How.
        outcome: RunOutcome,
    },
    /// A record that only the store itself writes, or that follows the run's end.
    #[error("a {kind} record does not belong here")]
    Misplaced {
        /// Its kind.
        kind: &'static str,
    },
    /// The operating system refused. The records may be there or not: read the journal again
    /// before anything is done that depends on it.
    #[error("could not {operation} {}", path.display())]
    Io {
        /// What was attempted, as a verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn outcome_text(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Done => "done",
        RunOutcome::Partly => "partly applied",
        RunOutcome::Failed => "failed",
        RunOutcome::Stale => "stale",
        RunOutcome::Interrupted => "interrupted",
    }
}

fn held_by(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| " by another process".to_owned(), |holder| format!(" by {holder}"))
}
