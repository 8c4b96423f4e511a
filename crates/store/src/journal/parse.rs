//! Bytes to records, whatever the bytes are.

use std::path::Path;

use refit_model::{Digest, JournalRecord, RecordKind, RunOutcome, readable};

use super::encode::{Tail, checksum};
use super::{
    BLOB_BYTES_MAX, Envelope, FORMAT, HEAD_BYTES, MAGIC, PLAN, RECORD, RECORD_BYTES_MAX,
    RECORDS_MAX, RunJournal, TornTail, ending, misplaced,
};
use crate::StoreError;

/// How long a version can be in the first line: two numbers of ten digits and a dot.
const VERSION_BYTES_MAX: usize = 21;

/// Why bytes are not a journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// They are damaged, before the end or in what is written when a journal is created.
    #[error("damaged at byte {offset}: {problem}")]
    Damaged {
        /// Where.
        offset: u64,
        /// What is wrong there.
        problem: String,
    },
    /// Another major version, or a newer minor one.
    #[error("format {found}; this refit reads format {FORMAT} and older minors")]
    Format {
        /// The version that they have.
        found: String,
    },
}

impl JournalError {
    fn damaged(offset: usize, problem: impl Into<String>) -> Self {
        Self::Damaged { offset: offset as u64, problem: problem.into() }
    }

    /// The same of a file.
    pub fn at(self, path: &Path) -> StoreError {
        let path = path.to_owned();
        match self {
            Self::Damaged { offset, problem } => StoreError::Damaged { path, offset, problem },
            Self::Format { found } => StoreError::Format { path, found, supported: FORMAT },
        }
    }
}

/// Reads a journal. A torn tail is reported in the result; see the module for what is one.
pub fn parse(bytes: &[u8]) -> Result<RunJournal, JournalError> {
    parse_with_tail(bytes).map(|(journal, _)| journal)
}

/// The same, with what is needed to append to it.
pub(crate) fn parse_with_tail(bytes: &[u8]) -> Result<(RunJournal, Tail), JournalError> {
    let (format, mut offset) = first_line(bytes)?;
    let plan = match frame_at(bytes, offset) {
        Ok(frame) if frame.kind == PLAN => frame,
        Ok(_) => return Err(JournalError::damaged(offset, "the plan should be here")),
        Err(problem) => return Err(JournalError::damaged(offset, problem)),
    };
    offset = plan.end;

    let mut chain = Chain::new(&plan);
    let mut torn = None;
    while offset < bytes.len() {
        match frame_at(bytes, offset) {
            Ok(frame) => {
                chain.take(&frame).map_err(|problem| JournalError::damaged(offset, problem))?;
                offset = frame.end;
            }
            // A journal is created with its first record, so that one cannot be torn.
            Err(problem) if chain.records.is_empty() || chain.was_durable(bytes, offset) => {
                return Err(JournalError::damaged(offset, problem));
            }
            Err(problem) => {
                let (at, rest) = (offset as u64, (bytes.len() - offset) as u64);
                torn = Some(TornTail { offset: at, bytes: rest, problem });
                break;
            }
        }
    }

    let Some(JournalRecord { kind: RecordKind::RunOpened { run, .. }, .. }) = chain.records.first()
    else {
        return Err(JournalError::damaged(offset, "the first record is missing"));
    };
    let (run, bytes) = (run.clone(), offset as u64);
    let Chain { records, plan_digest: _, prev, seq, epoch, closed } = chain;
    let tail = Tail { run: run.clone(), seq, epoch, bytes, closed, prev };
    Ok((RunJournal { run, format, plan: plan.body.to_vec(), records, torn, bytes }, tail))
}

/// The version, and where the first frame begins.
fn first_line(bytes: &[u8]) -> Result<(String, usize), JournalError> {
    let version = bytes
        .strip_prefix(MAGIC.as_bytes())
        .ok_or_else(|| JournalError::damaged(0, "it does not begin like a journal of refit"))?;
    let length = version
        .iter()
        .take(VERSION_BYTES_MAX + 1)
        .position(|byte| *byte == b'\n')
        .ok_or_else(|| JournalError::damaged(MAGIC.len(), "the format's version is cut off"))?;
    let version = String::from_utf8_lossy(&version[..length]).into_owned();
    let a_version = version
        .split_once('.')
        .is_some_and(|(a, b)| a.parse::<u32>().is_ok() && b.parse::<u32>().is_ok());
    if !a_version {
        return Err(JournalError::damaged(MAGIC.len(), "the format's version is no version"));
    }
    if !readable(&version, FORMAT) {
        return Err(JournalError::Format { found: version });
    }
    Ok((version, MAGIC.len() + length + 1))
}

struct Frame<'a> {
    kind: u8,
    body: &'a [u8],
    /// Kind and body.
    payload: &'a [u8],
    end: usize,
}

/// The frame that begins there, or what is wrong with it.
fn frame_at(bytes: &[u8], offset: usize) -> Result<Frame<'_>, String> {
    let rest = bytes.get(offset..).unwrap_or_default();
    let (head, rest) = rest
        .split_first_chunk::<HEAD_BYTES>()
        .ok_or_else(|| format!("a frame is cut off after {} bytes of its head", rest.len()))?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let sum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    let size = length as usize;
    if size == 0 || size > BLOB_BYTES_MAX + 1 {
        return Err(format!("a frame of {size} bytes cannot be"));
    }
    let payload = rest
        .get(..size)
        .ok_or_else(|| format!("a frame is cut off: {} of {size} bytes are there", rest.len()))?;
    let (kind, body) = (payload[0], &payload[1..]);
    // Before the checksum, so that a search through foreign bytes stays cheap.
    match kind {
        PLAN => {}
        RECORD if size <= RECORD_BYTES_MAX => {}
        RECORD => return Err(format!("a record of {size} bytes cannot be")),
        _ => return Err(format!("a frame of kind {kind:#04x} cannot be")),
    }
    if checksum(length, payload) != sum {
        return Err("the checksum of a frame does not fit".to_owned());
    }
    Ok(Frame { kind, body, payload, end: offset + HEAD_BYTES + size })
}

/// The records so far, each checked against those before it.
struct Chain {
    records: Vec<JournalRecord>,
    plan_digest: Digest,
    prev: String,
    seq: u64,
    epoch: u64,
    closed: Option<RunOutcome>,
}

impl Chain {
    fn new(plan: &Frame<'_>) -> Self {
        Self {
            records: Vec::new(),
            plan_digest: Digest::of_bytes(plan.body),
            prev: Digest::of_bytes(plan.payload).short(),
            seq: 0,
            epoch: 0,
            closed: None,
        }
    }

    /// Takes a whole frame. What it refuses is no torn write: its checksum fits.
    fn take(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        if frame.kind != RECORD {
            return Err("a second plan".to_owned());
        }
        let Envelope { prev, after, record } =
            serde_json::from_slice::<Envelope<JournalRecord>>(frame.body)
                .map_err(|error| format!("a record that cannot be understood: {error}"))?;
        let seq = self.seq + 1;
        if seq > RECORDS_MAX {
            return Err(format!("more than {RECORDS_MAX} records"));
        }
        if record.seq != seq || after >= seq {
            return Err(format!("record {} where {seq} should be", record.seq));
        }
        if prev != self.prev {
            return Err(format!("record {seq} does not belong to what stands before it"));
        }
        if record.epoch < self.epoch {
            return Err(format!(
                "record {seq} was written by epoch {} after epoch {} had taken over",
                record.epoch, self.epoch
            ));
        }
        if let Some(problem) = misplaced(seq, self.closed, &record.kind) {
            return Err(format!("{problem} (record {seq})"));
        }
        if let RecordKind::RunOpened { plan_digest, .. } = &record.kind
            && *plan_digest != self.plan_digest
        {
            return Err("the plan is not the one that the run was opened with".to_owned());
        }
        Digest::of_bytes(frame.payload).short().clone_into(&mut self.prev);
        (self.seq, self.epoch, self.closed) = (seq, record.epoch, ending(&record.kind));
        self.records.push(record);
        Ok(())
    }

    /// Whether the broken frame at `broken` was durable once: whether a whole record follows
    /// that was written after it had been synced.
    fn was_durable(&self, bytes: &[u8], broken: usize) -> bool {
        let mut offset = broken + 1;
        while offset + HEAD_BYTES < bytes.len() {
            match frame_at(bytes, offset) {
                Ok(frame) if frame.kind == RECORD => {
                    match serde_json::from_slice::<Envelope<serde::de::IgnoredAny>>(frame.body) {
                        Ok(envelope) if envelope.after <= self.seq => offset = frame.end,
                        _ => return true,
                    }
                }
                _ => offset += 1,
            }
        }
        false
    }
}
