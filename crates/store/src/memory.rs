//! A store in memory, for tests and simulation: the same bytes as in a file, and crashes on
//! demand.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use refit_model::{Digest, RecordKind, RunId, Timestamp};

use crate::journal::{Tail, begin, parse, parse_with_tail};
use crate::sled_store::{check_blob, check_can_continue};
use crate::{
    AppendError, Continued, NewRun, RunHandle, RunJournal, RunList, RunSummary, StateStore,
    StoreError, UnreadableRun,
};

/// What a process in the simulation leaves behind: everything that it was told is durable.
/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    epoch: u64,
    blobs: BTreeMap<Digest, Vec<u8>>,
    journals: BTreeMap<RunId, Vec<u8>>,
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        // No call leaves the disk half changed, so a panic elsewhere does not matter.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where in a write to the journal a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// Nothing of it is on the disk.
    Before,
    /// Two thirds of its bytes are: whole records first, then usually a torn one.
    Partway,
    /// All of it is, and nobody was told.
    After,
}

/// A store in memory.
///
/// A write to a journal (opening, continuing, appending) can be made to fail or to be the last
/// thing that the process does. After a crash every call fails, until [`crash`](Self::crash)
/// opens the disk again.
#[derive(Debug)]
pub struct MemoryStore {
    disk: MemoryDisk,
    epoch: u64,
    tails: BTreeMap<RunId, Tail>,
    crash_in: Option<(u64, CrashPoint)>,
    fail_next: u64,
    crashed: bool,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// A store on a new disk.
    pub fn new() -> Self {
        Self::open(&MemoryDisk::new())
    }

    /// Opens a disk for writing. Whoever had it open before is fenced off.
    pub fn open(disk: &MemoryDisk) -> Self {
        let epoch = {
            let mut disk = disk.lock();
            disk.epoch += 1;
            disk.epoch
        };
        Self {
            disk: disk.clone(),
            epoch,
            tails: BTreeMap::new(),
            crash_in: None,
            fail_next: 0,
            crashed: false,
        }
    }

    /// A store on that disk whose process dies in its `write`th write to a journal, from 1.
    pub fn crashing_at(disk: &MemoryDisk, write: u64, point: CrashPoint) -> Self {
        Self { crash_in: Some((write, point)), ..Self::open(disk) }
    }

    /// The disk, to be opened by another process.
    pub fn disk(&self) -> MemoryDisk {
        self.disk.clone()
    }

    /// Lets the next `writes` writes to a journal fail without effect, as on a full disk.
    pub fn fail_next(&mut self, writes: u64) {
        self.fail_next = writes;
    }

    /// Whether the process has died in a write.
    pub fn has_crashed(&self) -> bool {
        self.crashed
    }

    /// Lets the process die now, if it has not, and starts another on the same disk. Nothing
    /// durable is lost; runs have to be continued.
    pub fn crash(&mut self) {
        *self = Self::open(&self.disk);
    }

    /// The bytes of a run's journal, as they would be in its file.
    pub fn journal_bytes(&self, run: &RunId) -> Option<Vec<u8>> {
        self.disk.lock().journals.get(run).cloned()
    }

    /// Writes at the end of a journal, if nothing was arranged to happen in this write.
    fn write(&mut self, run: &RunId, offset: u64, bytes: &[u8], whole: bool) -> io::Result<()> {
        if self.fail_next > 0 {
            self.fail_next -= 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut kept = bytes;
        match &mut self.crash_in {
            Some((1, point)) => {
                self.crashed = true;
                kept = match point {
                    CrashPoint::After => bytes,
                    // A new journal gets its name when it is whole.
                    CrashPoint::Partway if !whole => &bytes[..bytes.len() * 2 / 3],
                    CrashPoint::Before | CrashPoint::Partway => &[],
                };
            }
            Some((left, _)) => *left -= 1,
            None => {}
        }
        if !kept.is_empty() {
            let mut disk = self.disk.lock();
            let journal = disk.journals.entry(run.clone()).or_default();
            journal.truncate(usize::try_from(offset).unwrap_or(usize::MAX));
            journal.extend_from_slice(kept);
        }
        if self.crashed { Err(dead()) } else { Ok(()) }
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.crashed {
            return Err(StoreError::io("use", memory(), dead()));
        }
        let newer_epoch = self.disk.lock().epoch;
        if newer_epoch > self.epoch {
            return Err(StoreError::Fenced { epoch: self.epoch, newer_epoch });
        }
        Ok(())
    }

    fn journal(&self, run: &RunId) -> Result<(RunJournal, Tail), StoreError> {
        let disk = self.disk.lock();
        let Some(bytes) = disk.journals.get(run) else {
            return Err(StoreError::NoSuchRun { run: run.clone(), dir: memory().to_owned() });
        };
        parse_with_tail(bytes).map_err(|error| error.at(&memory().join(run.as_str())))
    }
}

impl StateStore for MemoryStore {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn put_blob(&mut self, bytes: &[u8]) -> Result<Digest, StoreError> {
        check_blob(bytes)?;
        self.check()?;
        let digest = Digest::of_bytes(bytes);
        self.disk.lock().blobs.entry(digest).or_insert_with(|| bytes.to_vec());
        Ok(digest)
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let disk = self.disk.lock();
        let blob = disk.blobs.get(digest).cloned();
        // A process that died just after it had opened a run has left the plan in its journal.
        Ok(blob.or_else(|| {
            let journals = disk.journals.values().filter_map(|bytes| parse(bytes).ok());
            journals.map(|journal| journal.plan).find(|plan| Digest::of_bytes(plan) == *digest)
        }))
    }

    fn open_run(&mut self, first: NewRun) -> Result<RunHandle, StoreError> {
        self.check()?;
        if self.disk.lock().journals.contains_key(&first.run) {
            return Err(StoreError::RunExists { run: first.run });
        }
        let (bytes, tail) = begin(&first, self.epoch)?;
        self.write(&first.run, 0, &bytes, true).map_err(|source| {
            StoreError::io("create", &memory().join(first.run.as_str()), source)
        })?;
        self.put_blob(&first.plan_bytes)?;
        self.tails.insert(first.run.clone(), tail);
        Ok(RunHandle { run: first.run, epoch: self.epoch, last_seq: 1 })
    }

    fn continue_run(
        &mut self,
        run: &RunId,
        who: &str,
        at: Timestamp,
    ) -> Result<Continued, StoreError> {
        self.check()?;
        let (found, tail) = self.journal(run)?;
        check_can_continue(&found)?;
        let dropped = found.torn;
        let kind = RecordKind::RunContinued { who: who.to_owned() };
        let append = |source| StoreError::Append { run: run.clone(), source };
        let (bytes, next) =
            tail.encode(self.epoch, at, std::slice::from_ref(&kind)).map_err(append)?;
        self.write(run, tail.bytes, &bytes, false).map_err(|source| append(failed(run, source)))?;
        self.put_blob(&found.plan)?;
        let (found, _) = self.journal(run)?;
        let last_seq = next.seq;
        self.tails.insert(run.clone(), next);
        let (plan, records) = (found.plan, found.records);
        Ok(Continued { plan, records, dropped, lost: 0, epoch: self.epoch, last_seq })
    }

    fn append(
        &mut self,
        run: &RunId,
        after: u64,
        at: Timestamp,
        kinds: &[RecordKind],
    ) -> Result<u64, AppendError> {
        match self.check() {
            Ok(()) => {}
            Err(StoreError::Fenced { newer_epoch, .. }) => {
                return Err(AppendError::Fenced { newer_epoch });
            }
            Err(_) => return Err(failed(run, dead())),
        }
        let Some(tail) = self.tails.get(run).cloned() else {
            return Err(AppendError::NotOpen { run: run.clone() });
        };
        tail.check(after, kinds)?;
        if kinds.is_empty() {
            return Ok(after);
        }
        let (bytes, next) = tail.encode(self.epoch, at, kinds)?;
        self.write(run, tail.bytes, &bytes, false).map_err(|source| failed(run, source))?;
        let seq = next.seq;
        self.tails.insert(run.clone(), next);
        Ok(seq)
    }

    fn read_run(&self, run: &RunId) -> Result<RunJournal, StoreError> {
        self.journal(run).map(|(journal, _)| journal)
    }

    fn runs(&self) -> Result<RunList, StoreError> {
        let mut list = RunList::default();
        for (run, bytes) in &self.disk.lock().journals {
            match parse(bytes) {
                Ok(journal) => list.runs.extend(RunSummary::of(&journal)),
                Err(error) => {
                    let path = memory().join(run.as_str());
                    list.unreadable.push(UnreadableRun {
                        error: error.at(&path),
                        path,
                        state: None,
                    });
                }
            }
        }
        list.sort();
        Ok(list)
    }
}

/// What errors name as the place.
fn memory() -> &'static Path {
    Path::new("memory")
}

fn dead() -> io::Error {
    io::Error::other("the process has died")
}

fn failed(run: &RunId, source: io::Error) -> AppendError {
    let path: PathBuf = memory().join(run.as_str());
    AppendError::Io { operation: "write", path, source }
}
