//! The default store: journals, an index in sled beside them, and a lock over both.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use refit_model::{Digest, RecordKind, RunId, RunOutcome, Timestamp, whole_seconds};

use crate::catalogue::Catalogue;
use crate::index::{Entry, Index};
use crate::journal::{
    BLOB_BYTES_MAX, JournalWriter, begin, journal_files, journal_path, read_file, read_run,
};
use crate::lock::Lock;
use crate::{
    AppendError, BlobInfo, Continued, Holder, NewRun, Probe, ProbeResult, RunHandle, RunJournal,
    RunList, RunState, RunSummary, StateStore, StoreError, UnreadableRun, Waiting, catalogue,
    durable, index,
};

/// How a store is opened for writing.
#[derive(Default)]
pub struct OpenOptions {
    /// Who opens it: `user@host`. Others are told.
    pub who: String,
    /// What for, such as `refit apply acme.plan`. Others are told.
    pub command: String,
    /// How long to wait for another process.
    pub lock_timeout: Duration,
    /// Tries the index before this process does; see [`Probe`]. Without one, what sled does to
    /// a process when its files are damaged is caught as far as that is possible.
    pub probe: Option<Probe>,
    /// Is told once who is waited for, before waiting.
    pub waiting: Option<Waiting>,
}

/// What had to be put right when a store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// What was wrong with the index, which was then made again from the journals.
    pub problem: Option<String>,
    /// Where the damaged index is now.
    pub quarantined: Option<PathBuf>,
    /// Which blobs the index had and has no more.
    pub lost: Lost,
    /// Whether the file `epoch` had no number in it. It was made again from the journals.
    pub epoch_damaged: bool,
}

/// Blobs that could not be made again: snapshots, reports, plans without a run. Those of runs
/// are in journals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// These, which may be none.
    Known(Vec<BlobInfo>),
    /// These, and maybe others: the list of blobs beside the index is not complete either.
    AtLeast(Vec<BlobInfo>),
}

impl Default for Lost {
    fn default() -> Self {
        Self::Known(Vec::new())
    }
}

/// The store in a directory: see `state/README.md`.
pub struct SledStore {
    // Dropped in this order: the lock goes last.
    writers: BTreeMap<RunId, Writer>,
    index: Index,
    recovery: Recovery,
    epoch: u64,
    dir: PathBuf,
    lock: Lock,
}

struct Writer {
    journal: JournalWriter,
    entry: Entry,
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { writers, index: _, recovery, epoch, dir, lock: _ } = self;
        f.debug_struct("SledStore")
            .field("dir", dir)
            .field("epoch", epoch)
            .field("open", &writers.keys())
            .field("recovery", recovery)
            .finish_non_exhaustive()
    }
}

impl SledStore {
    /// Opens the store in `dir` for writing, and makes the directory if there is none.
    pub fn open(dir: &Path, options: OpenOptions) -> Result<Self, StoreError> {
        let OpenOptions { who, command, lock_timeout, probe, waiting } = options;
        let runs = dir.join("runs");
        fs::create_dir_all(&runs).map_err(|source| StoreError::io("create", &runs, source))?;
        // People read it: a fraction of a second tells them nothing.
        let since = whole_seconds(Timestamp::now());
        let holder = Holder { pid: std::process::id(), who, command, run: None, since };
        let lock = Lock::acquire(dir, holder, lock_timeout, waiting)?;

        durable::remove_unfinished(dir)?;
        durable::remove_unfinished(&runs)?;
        let (index, mut recovery) = open_index(dir, probe.as_ref(), lock.before())?;
        let runs = runs_with(dir, &index)?;
        recovery.lost = lost(dir, &index, recovery.problem.is_some())?;
        // Some runs may be unreadable, and the file may have been deleted: the highest counts.
        let written = runs.runs.iter().map(|run| run.epoch).max().unwrap_or(0);
        recovery.epoch_damaged = epoch_is_damaged(dir)?;
        let known = read_epoch(dir)?.max(index.epoch().unwrap_or(0)).max(written);
        let epoch = known + 1;
        durable::replace_file(&epoch_path(dir), format!("{epoch}\n").as_bytes())?;
        // The index may fail from here on: the journals do without it.
        let _ = index.add_lease(epoch, lock.holder());
        Ok(Self { writers: BTreeMap::new(), index, recovery, epoch, dir: dir.to_owned(), lock })
    }

    /// What had to be put right when it was opened, to be reported.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The state directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The epoch of the process that has taken over, if one has: it can, when somebody deleted
    /// the lock's file, or where the file system does not know locks.
    fn newer_epoch(&self) -> Result<Option<u64>, StoreError> {
        // Gone with the whole directory, it is an error: nothing could be kept any more.
        let path = epoch_path(&self.dir);
        let bytes = fs::read(&path).map_err(|source| StoreError::io("read", &path, source))?;
        Ok(parse_epoch(&bytes).filter(|found| *found > self.epoch))
    }

    pub(crate) fn check_epoch(&self) -> Result<(), StoreError> {
        match self.newer_epoch()? {
            Some(newer_epoch) => Err(StoreError::Fenced { epoch: self.epoch, newer_epoch }),
            None => Ok(()),
        }
    }

    fn keep(&mut self, journal: JournalWriter, entry: Entry, plan: &[u8]) {
        let run = entry.summary.run.clone();
        // The journal is durable. What the index or the note does not take is made again later.
        let _ = self.index.put_blob(&entry.summary.plan_digest, plan);
        let _ = self.index.set_entry(&entry);
        let _ = self.lock.name_run(&run);
        self.writers.insert(run, Writer { journal, entry });
    }

    /// Makes the index forget runs and plans. It fails without harm: the journals are gone, and what
    /// the index has of them is dropped at the next start.
    pub(crate) fn forget(&self, runs: &BTreeSet<&RunId>, plans: &BTreeSet<Digest>) {
        let _ = self.index.retain(|run| !runs.iter().any(|gone| gone.as_str() == run));
        let _ = self.index.remove_blobs(plans);
    }

    /// The plan of that digest from a journal.
    fn plan(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        for path in journal_files(&self.dir)? {
            if let Ok((journal, _)) = read_file(&path)
                && Digest::of_bytes(&journal.plan) == *digest
            {
                return Ok(Some(journal.plan));
            }
        }
        Ok(None)
    }
}

impl StateStore for SledStore {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn put_blob(&mut self, bytes: &[u8]) -> Result<Digest, StoreError> {
        check_blob(bytes)?;
        self.check_epoch()?;
        let digest = Digest::of_bytes(bytes);
        self.index.put_blob(&digest, bytes)?;
        Ok(digest)
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        match self.index.blob(digest) {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => self.plan(digest),
            Err(error) => self.plan(digest)?.map_or(Err(error), |plan| Ok(Some(plan))),
        }
    }

    fn open_run(&mut self, first: NewRun) -> Result<RunHandle, StoreError> {
        self.check_epoch()?;
        let path = journal_path(&self.dir, &first.run);
        if path.exists() {
            return Err(StoreError::RunExists { run: first.run });
        }
        let (bytes, tail) = begin(&first, self.epoch)?;
        let summary = RunSummary {
            run: first.run.clone(),
            fleet: first.fleet,
            plan: first.plan,
            plan_digest: Digest::of_bytes(&first.plan_bytes),
            who: first.who,
            opened_at: first.at,
            last_at: first.at,
            state: RunState::Open,
            records: tail.seq,
            epoch: self.epoch,
        };
        let entry = Entry { summary, bytes: tail.bytes, seen: tail.seq };
        let journal = JournalWriter::create(path, &bytes, tail)?;
        self.keep(journal, entry, &first.plan_bytes);
        Ok(RunHandle { run: first.run, epoch: self.epoch, last_seq: 1 })
    }

    fn continue_run(
        &mut self,
        run: &RunId,
        who: &str,
        at: Timestamp,
    ) -> Result<Continued, StoreError> {
        self.check_epoch()?;
        let path = journal_path(&self.dir, run);
        if !path.exists() {
            return Err(StoreError::NoSuchRun { run: run.clone(), dir: self.dir.clone() });
        }
        let seen = match self.writers.remove(run) {
            Some(writer) => writer.entry.seen,
            None => self.index.entry(run).ok().flatten().map_or(0, |entry| entry.seen),
        };
        let (found, tail) = read_file(&path)?;
        check_can_continue(&found)?;
        let mut journal = JournalWriter::reopen(path.clone(), tail, found.torn.is_some())?;
        let lost = seen.saturating_sub(found.records.len() as u64);
        let continued = RecordKind::RunContinued { who: who.to_owned() };
        journal
            .append(self.epoch, at, std::slice::from_ref(&continued))
            .map_err(|source| StoreError::Append { run: run.clone(), source })?;

        // Read again rather than put together: what is returned is what is on the disk.
        let dropped = found.torn;
        let (found, tail) = read_file(&path)?;
        let Some(summary) = RunSummary::of(&found) else {
            return Err(StoreError::NoSuchRun { run: run.clone(), dir: self.dir.clone() });
        };
        let entry = Entry { summary, bytes: tail.bytes, seen: tail.seq };
        self.keep(journal, entry, &found.plan);
        let (plan, records) = (found.plan, found.records);
        Ok(Continued { plan, records, dropped, lost, epoch: self.epoch, last_seq: tail.seq })
    }

    fn append(
        &mut self,
        run: &RunId,
        after: u64,
        at: Timestamp,
        kinds: &[RecordKind],
    ) -> Result<u64, AppendError> {
        let newer = self.newer_epoch();
        let Some(Writer { journal, entry }) = self.writers.get_mut(run) else {
            return Err(AppendError::NotOpen { run: run.clone() });
        };
        match newer {
            Ok(None) => {}
            Ok(Some(newer_epoch)) => return Err(AppendError::Fenced { newer_epoch }),
            Err(StoreError::Io { operation, path, source }) => {
                return Err(AppendError::Io { operation, path, source });
            }
            Err(error) => {
                let (path, source) = (epoch_path(&self.dir), io::Error::other(error));
                return Err(AppendError::Io { operation: "read", path, source });
            }
        }
        journal.check_place()?;
        journal.tail().check(after, kinds)?;
        let Some(last) = kinds.last() else {
            return Ok(after);
        };
        let seq = journal.append(self.epoch, at, kinds)?;
        entry.summary.follow(seq, self.epoch, at, last);
        (entry.bytes, entry.seen) = (journal.tail().bytes, seq);
        // The records are durable; an index that fails now is made again at the next start.
        let _ = self.index.set_entry(entry);
        Ok(seq)
    }

    fn read_run(&self, run: &RunId) -> Result<RunJournal, StoreError> {
        read_run(&self.dir, run)
    }

    fn runs(&self) -> Result<RunList, StoreError> {
        runs_with(&self.dir, &self.index)
    }
}

/// Only what is open, or was interrupted, goes on.
pub(crate) fn check_can_continue(journal: &RunJournal) -> Result<(), StoreError> {
    match RunSummary::of(journal).map(|summary| summary.state) {
        Some(RunState::Closed { outcome }) if outcome != RunOutcome::Interrupted => {
            Err(StoreError::RunClosed { run: journal.run.clone(), outcome })
        }
        _ => Ok(()),
    }
}

/// Refuses a blob that is too large.
pub(crate) fn check_blob(bytes: &[u8]) -> Result<(), StoreError> {
    let (size, limit) = (bytes.len() as u64, BLOB_BYTES_MAX as u64);
    if size > limit {
        return Err(StoreError::TooLarge { what: "a blob", bytes: size, limit });
    }
    Ok(())
}

/// Opens the index; a damaged one is set aside first, and an empty one takes its place.
/// `before` is who held the store before this process, and may not have ended completely.
fn open_index(
    dir: &Path,
    probe: Option<&Probe>,
    before: Option<&Holder>,
) -> Result<(Index, Recovery), StoreError> {
    let path = index::index_path(dir);
    // Its number is written when the index has been opened.
    let has_lived = read_epoch(dir)? > 0;
    let mut problem = None;
    if index::is_suspect(dir) {
        // Nothing is waited for: it may be this very process that cannot let go of it.
        problem = Some("it failed when it was last in use".to_owned());
    } else {
        index::wait_until_free(dir, before)?;
        if let Some(probe) = probe
            && path.exists()
        {
            if let ProbeResult::Damaged { problem: found } = probe(&path) {
                problem = Some(found);
            }
            // A child that was given up may still be about to end.
            index::wait_until_free(dir, before)?;
        }
    }
    if problem.is_none() {
        match Index::open(dir, has_lived) {
            Ok(Some(index)) => return Ok((index, Recovery::default())),
            Ok(None) => {
                problem = Some(index::EMPTIED.to_owned());
                // It has just been closed, and must not write to the one that takes its place.
                index::wait_until_free(dir, before)?;
            }
            Err(StoreError::Index { problem: found, .. }) => problem = Some(found),
            Err(error) => return Err(error),
        }
    }
    let quarantined = index::quarantine(dir)?;
    let Some(index) = Index::open(dir, has_lived)? else {
        let problem = "somebody else has made one meanwhile".to_owned();
        return Err(StoreError::Index { operation: "make", path, problem });
    };
    Ok((index, Recovery { problem, quarantined, ..Recovery::default() }))
}

/// Which blobs were kept once and are not there any more, now that those of journals are. It is
/// told once: the list is then put right.
fn lost(dir: &Path, index: &Index, made_again: bool) -> Result<Lost, StoreError> {
    let Catalogue { blobs, complete } = catalogue::read(dir)?;
    let mut lost = Vec::new();
    for (digest, bytes) in blobs {
        // An index that fails now is asked again at the next start.
        let Ok(there) = index.has_blob(&digest) else { return Ok(Lost::default()) };
        if !there {
            lost.push(BlobInfo { digest, bytes });
        }
    }
    if (!lost.is_empty() || !complete)
        && let Ok(blobs) = index.blobs()
    {
        catalogue::write(dir, &blobs)?;
    }
    Ok(if made_again && !complete { Lost::AtLeast(lost) } else { Lost::Known(lost) })
}

/// Every run: from the index where it is up to date, else from the journal, and then the index
/// is put right. With an empty index this is what makes it again.
fn runs_with(dir: &Path, index: &Index) -> Result<RunList, StoreError> {
    let mut list = RunList::default();
    let files = journal_files(dir)?;
    for path in files {
        match summary_with(&path, index) {
            Ok(summary) => list.runs.extend(summary),
            Err(error) => {
                let known = run_of(&path).and_then(|run| index.entry(&run).ok().flatten());
                let state = known.map(|known| known.summary.state);
                list.unreadable.push(UnreadableRun { path, error, state });
            }
        }
    }
    list.sort();
    // Nothing of a run stays when its journal was deleted. Unreadable ones may come back.
    if list.unreadable.is_empty() {
        let _ = index.retain(|run| list.runs.iter().any(|known| known.run.as_str() == run));
    }
    Ok(list)
}

/// The run that a journal's name says it is of.
pub(crate) fn run_of(path: &Path) -> Option<RunId> {
    path.file_stem()?.to_str()?.parse().ok()
}

fn summary_with(path: &Path, index: &Index) -> Result<Option<RunSummary>, StoreError> {
    let metadata = fs::metadata(path).map_err(|source| StoreError::io("read", path, source))?;
    let known = run_of(path).and_then(|run| index.entry(&run).ok().flatten());
    if let Some(Entry { summary, bytes, seen: _ }) = &known
        && *bytes == metadata.len()
        // Of one that may go on, damage has to show.
        && summary.has_ended()
        && index.has_blob(&summary.plan_digest).unwrap_or(false)
    {
        return Ok(Some(summary.clone()));
    }
    let (journal, tail) = read_file(path)?;
    let summary = RunSummary::of(&journal);
    if let Some(summary) = &summary {
        let seen = known.map_or(0, |known| known.seen).max(tail.seq);
        let _ = index.put_blob(&summary.plan_digest, &journal.plan);
        let _ = index.set_entry(&Entry { summary: summary.clone(), bytes: tail.bytes, seen });
    }
    Ok(summary)
}

fn epoch_path(dir: &Path) -> PathBuf {
    dir.join("epoch")
}

/// The epoch of the last opening; 0 when there was none, or its file cannot be understood.
pub(crate) fn read_epoch(dir: &Path) -> Result<u64, StoreError> {
    Ok(epoch_bytes(dir)?.and_then(|bytes| parse_epoch(&bytes)).unwrap_or(0))
}

/// Whether there is a file for the epoch, and no number in it.
fn epoch_is_damaged(dir: &Path) -> Result<bool, StoreError> {
    Ok(epoch_bytes(dir)?.is_some_and(|bytes| parse_epoch(&bytes).is_none()))
}

/// What the epoch's file has; none: there is no such file.
fn epoch_bytes(dir: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let path = epoch_path(dir);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::io("read", &path, source)),
    }
}

fn parse_epoch(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok()
}
