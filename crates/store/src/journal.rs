//! The journal of a run: its format, and what a reader gets.
//!
//! A journal is one file: a line that names the format, a frame with the plan, and a frame for
//! each record. It is created whole, with the plan and the first record, and only ever grows
//! at its end. So:
//!
//! - damage at the very end is a write that was cut off: dropped and reported;
//! - damage anywhere else is a disk's or a person's doing: nothing is guessed, the file is
//!   refused with the place of the damage.
//!
//! The two are told apart by what follows. Each record says which record was the last durable
//! one when it was written (`after`). A broken frame that is followed by a whole record which
//! knew it to be durable is damage; anything else is a tail, including the frames of one batch
//! whose pages reached the disk out of order.
//!
//! Each record carries the hash of the frame before it, so a frame that was removed, moved or
//! replaced is noticed although its checksum fits.

mod encode;
mod file;
mod parse;

pub(crate) use encode::{Tail, begin};
pub(crate) use file::{JournalWriter, journal_files, journal_path, read_file};
pub use file::{read_run, read_runs};
pub(crate) use parse::parse_with_tail;
pub use parse::{JournalError, parse};

use refit_model::{JournalRecord, RecordKind, RunId, RunOutcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version that this code writes. A reader takes the same major and no newer minor.
pub const FORMAT: &str = "1.0";

/// What every journal begins with; the version and a line feed follow.
pub const MAGIC: &str = "refit-journal ";

/// The largest payload of a record's frame. The largest record is a chosen node with the
/// readiness of every workload on it: 250 pods of 200 bytes are 50 KB. Whatever is larger does
/// not belong into a journal.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

/// The largest blob. A plan for a thousand clusters is about 10 MB, its snapshot 30 MB.
pub const BLOB_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most records of a run. A thousand clusters with a hundred nodes and ten records for each
/// node reach it; beyond that, a plan is better split than replayed.
pub const RECORDS_MAX: u64 = 1_000_000;

/// The largest journal. It is read into memory as a whole; a million usual records of 300 bytes
/// and the largest plan are a third of this.
pub const JOURNAL_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The bytes before a frame's payload: its length and its checksum.
const HEAD_BYTES: usize = 8;

/// The first byte of a payload that is the plan.
const PLAN: u8 = b'P';

/// The first byte of a payload that is a record.
const RECORD: u8 = b'R';

/// A record with what ties it to the one before, as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<R> {
    /// The first 12 digits of the SHA-256 of the payload before this one.
    prev: String,
    /// The last record that was durable when this one was written.
    after: u64,
    /// The record.
    record: R,
}

/// Everything in a journal.
#[derive(Clone, Debug, PartialEq)]
pub struct RunJournal {
    /// The run.
    pub run: RunId,
    /// The format's version in the file.
    pub format: String,
    /// The plan, as a file.
    pub plan: Vec<u8>,
    /// Every whole record. There is at least one.
    pub records: Vec<JournalRecord>,
    /// What follows the last whole record. While a run lives that can be a record that is just
    /// being written.
    pub torn: Option<TornTail>,
    /// How many bytes of the file are whole.
    pub bytes: u64,
}

/// The end of a journal that is not a whole record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct TornTail {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// Whether that record can stand there: the first opens the run and no other does, and only an
/// interruption can be followed by anything, namely by going on.
fn misplaced(seq: u64, closed: Option<RunOutcome>, kind: &RecordKind) -> Option<&'static str> {
    match (seq, kind, closed) {
        (1, RecordKind::RunOpened { .. }, _) => None,
        (1, ..) => Some("the first record does not open the run"),
        (_, RecordKind::RunOpened { .. }, _) => Some("the run is opened a second time"),
        (_, RecordKind::RunContinued { .. }, Some(RunOutcome::Interrupted)) | (_, _, None) => None,
        (_, _, Some(_)) => Some("a record follows the end of the run"),
    }
}

/// How the run has ended, after that record.
fn ending(kind: &RecordKind) -> Option<RunOutcome> {
    match kind {
        RecordKind::RunClosed { outcome } => Some(*outcome),
        _ => None,
    }
}
