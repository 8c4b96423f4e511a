//! Journals as files: one writer that syncs, and readers that need no lock.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use refit_model::{RecordKind, RunId, Timestamp};

use super::{JOURNAL_BYTES_MAX, RunJournal, Tail, parse_with_tail};
use crate::{AppendError, RunList, RunSummary, StoreError, UnreadableRun, durable};

/// The directory of the journals in a state directory.
const RUNS: &str = "runs";
/// What a journal's name ends with.
const EXTENSION: &str = "journal";

/// Where the journal of a run is.
pub(crate) fn journal_path(dir: &Path, run: &RunId) -> PathBuf {
    dir.join(RUNS).join(format!("{run}.{EXTENSION}"))
}

/// Everything in the journal of a run of the state directory `dir`. It needs no lock.
pub fn read_run(dir: &Path, run: &RunId) -> Result<RunJournal, StoreError> {
    let path = journal_path(dir, run);
    match read_file(&path) {
        Ok((journal, _)) => Ok(journal),
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Err(StoreError::NoSuchRun { run: run.clone(), dir: dir.to_owned() })
        }
        Err(error) => Err(error),
    }
}

/// Every run of the state directory `dir`, the newest first. It needs no lock, takes the runs
/// as they are at this moment, and finds none where there is no such directory.
pub fn read_runs(dir: &Path) -> Result<RunList, StoreError> {
    let mut list = RunList::default();
    for path in journal_files(dir)? {
        match read_file(&path).map(|(journal, _)| RunSummary::of(&journal)) {
            Ok(summary) => list.runs.extend(summary),
            Err(error) => list.unreadable.push(UnreadableRun { path, error, state: None }),
        }
    }
    list.sort();
    Ok(list)
}

/// The journals of a state directory, by name.
pub(crate) fn journal_files(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let runs = dir.join(RUNS);
    let failed = |source| StoreError::io("list", &runs, source);
    let entries = match fs::read_dir(&runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads a journal, and checks that it is the one that its name says.
pub(crate) fn read_file(path: &Path) -> Result<(RunJournal, Tail), StoreError> {
    let failed = |source| StoreError::io("read", path, source);
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > JOURNAL_BYTES_MAX {
        let limit = JOURNAL_BYTES_MAX;
        return Err(StoreError::TooLarge { what: "a journal", bytes, limit });
    }
    let bytes = fs::read(path).map_err(failed)?;
    let (journal, tail) = parse_with_tail(&bytes).map_err(|error| error.at(path))?;
    if path.file_stem().is_none_or(|stem| stem != journal.run.as_str()) {
        let problem = format!("it is the journal of run {}, under another name", journal.run);
        return Err(StoreError::Damaged { path: path.to_owned(), offset: 0, problem });
    }
    Ok((journal, tail))
}

/// What a journal is written to; tests put a disk there that fails.
pub(crate) trait Medium {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Medium for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(offset))?;
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// The end of a journal that is open for writing.
#[derive(Debug)]
pub(crate) struct JournalWriter<M = File> {
    path: PathBuf,
    medium: M,
    tail: Tail,
    /// Set when nobody knows what is on the disk. Nothing is appended then: a kernel that
    /// failed to sync may have forgotten the pages, and a second sync would succeed wrongly.
    broken: bool,
}

impl JournalWriter<File> {
    /// Creates a journal with these bytes, whole or not at all.
    pub(crate) fn create(path: PathBuf, bytes: &[u8], tail: Tail) -> Result<Self, StoreError> {
        durable::replace_file(&path, bytes)?;
        let medium = open(&path)?;
        Ok(Self { path, medium, tail, broken: false })
    }

    /// Opens a journal to go on with it, and cuts off what is torn, durably.
    pub(crate) fn reopen(path: PathBuf, tail: Tail, torn: bool) -> Result<Self, StoreError> {
        let mut medium = open(&path)?;
        if torn {
            medium
                .cut(tail.bytes)
                .and_then(|()| medium.sync_all())
                .map_err(|source| StoreError::io("cut the torn end of", &path, source))?;
        }
        Ok(Self { path, medium, tail, broken: false })
    }

    /// Whether the file is still the one that was written: somebody may have deleted or
    /// restored it, and appending to a file without a name would keep nothing.
    pub(crate) fn check_place(&self) -> Result<(), AppendError> {
        let found = fs::metadata(&self.path).map_err(|source| self.failed("find", source))?;
        if found.len() == self.tail.bytes {
            return Ok(());
        }
        match read_file(&self.path) {
            Ok((_, tail)) => Err(AppendError::Conflict { actual: tail.seq }),
            Err(error) => Err(self.failed("read", io::Error::other(error))),
        }
    }
}

impl<M: Medium> JournalWriter<M> {
    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Appends, and returns when the records are durable.
    pub(crate) fn append(
        &mut self,
        epoch: u64,
        at: Timestamp,
        kinds: &[RecordKind],
    ) -> Result<u64, AppendError> {
        if self.broken {
            let why = "an earlier write failed, and what is on the disk is not known";
            return Err(self.failed("write", io::Error::other(why)));
        }
        let (bytes, tail) = self.tail.encode(epoch, at, kinds)?;
        if let Err(source) = self.medium.write_at(self.tail.bytes, &bytes) {
            // A full disk takes a part. Without it the journal is as it was, and goes on.
            let back = self.medium.cut(self.tail.bytes).and_then(|()| self.medium.sync());
            self.broken = back.is_err();
            return Err(self.failed("write", source));
        }
        if let Err(source) = self.medium.sync() {
            self.broken = true;
            return Err(self.failed("sync", source));
        }
        self.tail = tail;
        Ok(self.tail.seq)
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> AppendError {
        AppendError::Io { operation, path: self.path.clone(), source }
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    File::options()
        .write(true)
        .open(path)
        .map_err(|source| StoreError::io("open for writing", path, source))
}

#[cfg(test)]
mod tests {
    use refit_model::{RecordKind, Stop};

    use super::*;
    use crate::NewRun;
    use crate::journal::{begin, parse};

    /// A disk of so many bytes that can forget how to sync.
    #[derive(Debug)]
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
        syncs: bool,
        cuts: bool,
    }

    impl Medium for Disk {
        fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            assert_eq!(self.bytes.len() as u64, offset);
            let fits = bytes.len().min(self.room - self.bytes.len());
            self.bytes.extend_from_slice(&bytes[..fits]);
            if fits == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
        }

        fn sync(&mut self) -> io::Result<()> {
            if self.syncs { Ok(()) } else { Err(io::Error::other("sync")) }
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            if !self.cuts {
                return Err(io::Error::other("cut"));
            }
            self.bytes.truncate(usize::try_from(length).unwrap());
            Ok(())
        }
    }

    const STOP: RecordKind = RecordKind::StopAsked { stop: Stop::Finish };

    fn writer(room: usize) -> JournalWriter<Disk> {
        let first = NewRun {
            run: "r1".parse().unwrap(),
            fleet: "acme".parse().unwrap(),
            plan: "p1".parse().unwrap(),
            plan_bytes: b"plan".to_vec(),
            who: "ada@host".into(),
            at: Timestamp::UNIX_EPOCH,
        };
        let (bytes, tail) = begin(&first, 1).unwrap();
        let medium = Disk { room: bytes.len() + room, bytes, syncs: true, cuts: true };
        JournalWriter { path: "r1.journal".into(), medium, tail, broken: false }
    }

    #[test]
    fn a_full_disk_leaves_the_journal_as_it_was() {
        for room in 0..600 {
            let mut writer = writer(room);
            let mut acknowledged = 1;
            while let Ok(seq) = writer.append(1, Timestamp::UNIX_EPOCH, &[STOP]) {
                acknowledged = seq;
            }
            let journal = parse(&writer.medium.bytes).unwrap();
            assert_eq!(journal.records.len() as u64, acknowledged);
            assert_eq!(journal.torn, None);
            writer.medium.room += 1000;
            let seq = writer.append(1, Timestamp::UNIX_EPOCH, &[STOP]).unwrap();
            assert_eq!(seq, acknowledged + 1, "with room again it goes on");
        }
    }

    #[test]
    fn a_failed_sync_or_cut_ends_the_writer() {
        for (syncs, cuts, room) in [(false, true, 1000), (true, false, 20)] {
            let mut writer = writer(room);
            (writer.medium.syncs, writer.medium.cuts) = (syncs, cuts);
            writer.append(1, Timestamp::UNIX_EPOCH, &[STOP]).unwrap_err();
            (writer.medium.syncs, writer.medium.cuts) = (true, true);
            writer.medium.room = 10_000;
            let error = writer.append(1, Timestamp::UNIX_EPOCH, &[STOP]).unwrap_err();
            assert!(matches!(error, AppendError::Io { .. }), "{error}");
        }
    }
}
