//! One writer at a time: a lock of the operating system, and a note saying who has it.
//!
//! The lock is what counts. It goes with its process however that ends, so there is no stale
//! lock, only a stale note, which the next holder replaces.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use refit_model::{RunId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{StoreError, durable};

/// How often a waiting process looks. People do not notice it, and it costs nothing.
const POLL: Duration = Duration::from_millis(50);

/// How long somebody who is locked out waits for the holder to say who it is. It says so right after
/// it has taken the lock.
const NAMED_MAX: Duration = Duration::from_secs(2);

/// The longest note that is read; a real one has a few hundred bytes.
const NOTE_BYTES_MAX: u64 = 64 * 1024;

/// Who holds a store, in their own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// Who started it: `user@host`.
    pub who: String,
    /// What it does, such as `refit apply acme.plan`.
    pub command: String,
    /// The run that it carries out, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Since when it holds the store.
    pub since: Timestamp,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, who, command, run, since } = self;
        write!(f, "`{command}` of {who} (process {pid}")?;
        if let Some(run) = run {
            write!(f, ", run {run}")?;
        }
        write!(f, ") since {since}")
    }
}

/// What [`unlock`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnlockOutcome {
    /// Nobody held the store, and no note said so.
    NotLocked,
    /// Nobody held the store, and the note that a killed process had left is gone. None when
    /// the note could not be read.
    Removed(Option<Holder>),
    /// A living process holds the store; nothing was changed.
    Held(Option<Holder>),
}

/// Removes the note that a killed process has left in `dir`. The lock of a living process
/// cannot be taken away: end the process.
pub fn unlock(dir: &Path) -> Result<UnlockOutcome, StoreError> {
    if !lock_path(dir).exists() && !note_path(dir).exists() {
        return Ok(UnlockOutcome::NotLocked);
    }
    let Some(_file) = try_lock(dir)? else {
        return Ok(UnlockOutcome::Held(self::holder(dir)));
    };
    let holder = read_note(dir);
    match fs::remove_file(note_path(dir)) {
        Ok(()) => Ok(UnlockOutcome::Removed(holder)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(UnlockOutcome::NotLocked),
        Err(source) => Err(StoreError::io("remove", &note_path(dir), source)),
    }
}

/// Whether a process holds the store now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InUse {
    /// Nobody does.
    No,
    /// This one does. None when it has not said so yet.
    By(Option<Holder>),
}

/// Whether a process holds the store in `dir` now. It writes nothing, and asks for no permission
/// to.
pub fn in_use(dir: &Path) -> Result<InUse, StoreError> {
    let path = lock_path(dir);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(InUse::No),
        Err(source) => return Err(StoreError::io("open", &path, source)),
    };
    // Shared, so that those who ask at the same moment do not take each other for the holder.
    match file.try_lock_shared() {
        Ok(()) => Ok(InUse::No),
        Err(TryLockError::WouldBlock) => Ok(InUse::By(read_note(dir))),
        Err(TryLockError::Error(source)) => Err(StoreError::io("lock", &path, source)),
    }
}

/// Is told once who is waited for.
pub type Waiting = Box<dyn FnOnce(Option<&Holder>)>;

/// The lock, while it is held.
#[derive(Debug)]
pub(crate) struct Lock {
    dir: PathBuf,
    holder: Holder,
    /// Who held it before and did not say that it has ended.
    before: Option<Holder>,
    /// Closing the file gives the lock back.
    _file: File,
}

impl Lock {
    /// Takes the lock, waiting up to `timeout`; `waiting` is called once if it has to wait.
    pub(crate) fn acquire(
        dir: &Path,
        holder: Holder,
        timeout: Duration,
        waiting: Option<Waiting>,
    ) -> Result<Self, StoreError> {
        let begun = Instant::now();
        let mut waiting = waiting;
        let file = loop {
            if let Some(file) = try_lock(dir)? {
                break file;
            }
            if begun.elapsed() >= timeout {
                let holder = self::holder(dir).map(Box::new);
                return Err(StoreError::Locked { dir: dir.to_owned(), holder });
            }
            if let Some(waiting) = waiting.take() {
                waiting(self::holder(dir).as_ref());
            }
            std::thread::sleep(POLL.min(timeout.saturating_sub(begun.elapsed())));
        };
        let before = read_note(dir);
        let lock = Self { dir: dir.to_owned(), holder, before, _file: file };
        lock.write_note()?;
        Ok(lock)
    }

    pub(crate) fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Who held it before, if that process was killed.
    pub(crate) fn before(&self) -> Option<&Holder> {
        self.before.as_ref()
    }

    /// Adds the run to the note.
    pub(crate) fn name_run(&mut self, run: &RunId) -> Result<(), StoreError> {
        self.holder.run = Some(run.clone());
        self.write_note()
    }

    fn write_note(&self) -> Result<(), StoreError> {
        let json = serde_json::to_vec_pretty(&self.holder).expect("a holder has only string keys");
        durable::replace_file(&note_path(&self.dir), &json)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While the lock is still held, so that it cannot be the next holder's note. One that
        // stays is stale, and is replaced.
        let _ = fs::remove_file(note_path(&self.dir));
    }
}

/// Takes the lock without waiting and without leaving a note; none when somebody has it.
pub(crate) fn try_lock(dir: &Path) -> Result<Option<File>, StoreError> {
    let path = lock_path(dir);
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|source| StoreError::io("open", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(StoreError::io("lock", &path, source)),
    }
}

/// Returns who holds the store, for those who are locked out. The note is written right after the
/// lock was taken, so a missing one, or one of a process that has ended, is waited for.
pub(crate) fn holder(dir: &Path) -> Option<Holder> {
    let begun = Instant::now();
    loop {
        let note = read_note(dir);
        let is_current = note.as_ref().is_some_and(|note| !has_ended(note.pid));
        if is_current || begun.elapsed() >= NAMED_MAX {
            return note;
        }
        std::thread::sleep(POLL);
    }
}

/// Whether a process of this machine has ended, as far as that can be told. One of another machine
/// that shares the directory looks the same: it only costs a moment.
fn has_ended(pid: u32) -> bool {
    Path::new("/proc/self").exists() && !Path::new("/proc").join(pid.to_string()).exists()
}

/// Who holds the store, if it is held and the note can be read.
pub(crate) fn read_note(dir: &Path) -> Option<Holder> {
    let path = note_path(dir);
    let metadata = fs::metadata(&path).ok()?;
    if metadata.len() > NOTE_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn lock_path(dir: &Path) -> PathBuf {
    dir.join("lock")
}

fn note_path(dir: &Path) -> PathBuf {
    dir.join("lock.json")
}
