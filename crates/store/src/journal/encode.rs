//! Records to bytes.

use refit_model::{Digest, JournalRecord, RecordKind, RunId, RunOutcome, Timestamp};

use super::{
    BLOB_BYTES_MAX, Envelope, FORMAT, HEAD_BYTES, JOURNAL_BYTES_MAX, MAGIC, PLAN, RECORD,
    RECORD_BYTES_MAX, RECORDS_MAX, ending,
};
use crate::{AppendError, NewRun, StoreError};

/// The end of a journal: all that the next record needs to know of those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) run: RunId,
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    pub(crate) bytes: u64,
    pub(crate) closed: Option<RunOutcome>,
    pub(super) prev: String,
}

/// The bytes of a whole new journal, with the plan and the first record.
pub(crate) fn begin(first: &NewRun, epoch: u64) -> Result<(Vec<u8>, Tail), StoreError> {
    let NewRun { run, fleet, plan, plan_bytes, who, at } = first;
    if plan_bytes.len() > BLOB_BYTES_MAX {
        return Err(StoreError::TooLarge {
            what: "the plan",
            bytes: plan_bytes.len() as u64,
            limit: BLOB_BYTES_MAX as u64,
        });
    }
    let mut bytes = format!("{MAGIC}{FORMAT}\n").into_bytes();
    let prev = frame(&mut bytes, PLAN, plan_bytes);
    let tail = Tail {
        run: run.clone(),
        seq: 0,
        epoch,
        bytes: bytes.len() as u64,
        closed: None,
        prev: prev.short(),
    };
    let opened = RecordKind::RunOpened {
        run: run.clone(),
        fleet: fleet.clone(),
        plan: plan.clone(),
        plan_digest: Digest::of_bytes(plan_bytes),
        who: who.clone(),
    };
    let (record, tail) = tail
        .encode(epoch, *at, std::slice::from_ref(&opened))
        .map_err(|source| StoreError::Append { run: run.clone(), source })?;
    bytes.extend_from_slice(&record);
    Ok((bytes, tail))
}

impl Tail {
    /// The frames of these records, to be written at [`Tail::bytes`], and the end after them.
    pub(crate) fn encode(
        &self,
        epoch: u64,
        at: Timestamp,
        kinds: &[RecordKind],
    ) -> Result<(Vec<u8>, Self), AppendError> {
        let mut bytes = Vec::new();
        let mut tail = self.clone();
        tail.epoch = epoch;
        for kind in kinds {
            tail.seq += 1;
            within("the journal, in records,", tail.seq, RECORDS_MAX)?;
            let record = JournalRecord { seq: tail.seq, epoch, at, kind: kind.clone() };
            let envelope = Envelope { prev: tail.prev, after: self.seq, record };
            let json = serde_json::to_vec(&envelope).expect("a record has only string keys");
            within("a record, in bytes,", json.len() as u64 + 1, RECORD_BYTES_MAX as u64)?;
            tail.prev = frame(&mut bytes, RECORD, &json).short();
            tail.closed = ending(kind);
        }
        tail.bytes += bytes.len() as u64;
        within("the journal, in bytes,", tail.bytes, JOURNAL_BYTES_MAX)?;
        Ok((bytes, tail))
    }

    /// Whether the engine may append these: only the store itself opens and continues runs, and
    /// nothing follows the end.
    pub(crate) fn check(&self, after: u64, kinds: &[RecordKind]) -> Result<(), AppendError> {
        if after != self.seq {
            return Err(AppendError::Conflict { actual: self.seq });
        }
        if let Some(outcome) = self.closed {
            return Err(AppendError::Closed { outcome });
        }
        for (index, kind) in kinds.iter().enumerate() {
            let misplaced = match kind {
                RecordKind::RunOpened { .. } => Some("run-opened"),
                RecordKind::RunContinued { .. } => Some("run-continued"),
                RecordKind::RunClosed { .. } if index + 1 < kinds.len() => Some("run-closed"),
                _ => None,
            };
            if let Some(kind) = misplaced {
                return Err(AppendError::Misplaced { kind });
            }
        }
        Ok(())
    }
}

fn within(what: &'static str, size: u64, limit: u64) -> Result<(), AppendError> {
    if size > limit { Err(AppendError::TooLarge { what, size, limit }) } else { Ok(()) }
}

/// Appends a frame and returns the digest of its payload.
fn frame(bytes: &mut Vec<u8>, kind: u8, body: &[u8]) -> Digest {
    let start = bytes.len();
    let length = u32::try_from(body.len() + 1).expect("bodies are at most 64 MiB");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.push(kind);
    bytes.extend_from_slice(body);
    let payload = start + HEAD_BYTES;
    let sum = checksum(length, &bytes[payload..]);
    bytes[start + 4..payload].copy_from_slice(&sum.to_le_bytes());
    Digest::of_bytes(&bytes[payload..])
}

/// Over the length too: a frame of zeros, which file systems leave after a power cut, would
/// otherwise be a whole frame of no bytes.
pub(super) fn checksum(length: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}
