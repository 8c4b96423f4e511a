//! The index in sled: a line for each run, the blobs, and who opened the store.
//!
//! sled can panic on a damaged file instead of returning an error, and its flush does not sync.
//! So nothing here is the only place of anything that matters, every call is guarded, and an
//! index that fails once is not asked again: it is marked, and made again at the next start.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use refit_model::{Digest, RunId, readable};
use serde::{Deserialize, Serialize};

use crate::{BlobInfo, Holder, RunSummary, StoreError, catalogue};

/// The version of what the index holds. A newer one is refused, like everywhere.
const FORMAT: &str = "1.0";

/// The directory of the index in a state directory.
const NAME: &str = "index.sled";

/// A file beside the index that says that it failed while it was in use.
const SUSPECT: &str = "index.suspect";

/// sled's own default is a gigabyte; a fleet's runs fit into this many times.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// What is wrong with an index that is there and empty, in a store that was opened before.
pub(crate) const EMPTIED: &str = "nothing of what it held can be found in it";

/// How long an index may stay open after its process let go of the store's lock: sled's threads
/// and a probe's process need a moment to end.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// How many damaged indexes are kept aside. Whoever has more has a broken disk.
const QUARANTINED_MAX: u32 = 1000;

/// How many openings of the store are remembered.
const LEASES_MAX: usize = 1000;

/// Tries to open an index in a way that cannot hurt the caller, usually in a child process. It
/// gets the path of the index.
pub type Probe = Box<dyn Fn(&Path) -> ProbeResult>;

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// The index can be read as a whole.
    Sound,
    /// It cannot, or the child ended in any other way than by saying so.
    Damaged {
        /// Why.
        problem: String,
    },
    /// The probe itself could not be made, which says nothing about the index.
    Unavailable {
        /// Why.
        problem: String,
    },
}

/// Reads the whole index at that path, for the child process of a [`Probe`]. A panic of sled
/// becomes a result, as far as that is possible: the child can still be aborted, or hang.
pub fn probe_in_this_process(index: &Path) -> ProbeResult {
    let damaged = |error: StoreError| match error {
        StoreError::Index { problem, .. } => ProbeResult::Damaged { problem },
        error => ProbeResult::Damaged { problem: error.to_string() },
    };
    let Some(dir) = index.parent() else {
        return ProbeResult::Unavailable { problem: "an index has a directory".to_owned() };
    };
    // Nothing is written: an index that has lost its format is the caller's to notice, and a
    // newer one the caller's to refuse.
    let read = Index::open_at(dir, index).and_then(|index| index.read_all());
    read.map_or_else(damaged, |()| ProbeResult::Sound)
}

/// What the index knows of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) summary: RunSummary,
    /// The length of the journal that the summary is of; with another length it is out of date.
    pub(crate) bytes: u64,
    /// The most records that the journal ever had.
    pub(crate) seen: u64,
}

/// One opening of the store for writing.
#[derive(Debug, Serialize, Deserialize)]
struct LeaseEntry {
    epoch: u64,
    holder: Holder,
}

struct Trees {
    db: sled::Db,
    meta: sled::Tree,
    runs: sled::Tree,
    blobs: sled::Tree,
    leases: sled::Tree,
}

pub(crate) struct Index {
    dir: PathBuf,
    path: PathBuf,
    trees: Option<Trees>,
    /// What was the matter when it failed.
    failed: RefCell<Option<String>>,
}

/// Where the index of a state directory is.
pub(crate) fn index_path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

/// Whether an index failed while it was last in use.
pub(crate) fn is_suspect(dir: &Path) -> bool {
    dir.join(SUSPECT).exists()
}

/// Sets the index aside, and says where it is now.
pub(crate) fn quarantine(dir: &Path) -> Result<Option<PathBuf>, StoreError> {
    let path = index_path(dir);
    let mut moved = None;
    if path.exists() {
        let aside = (1..=QUARANTINED_MAX)
            .map(|n| dir.join(format!("{NAME}.damaged-{n}")))
            .find(|aside| !aside.exists())
            .ok_or_else(|| {
                let why = format!("there already are {QUARANTINED_MAX} damaged ones");
                StoreError::io("set aside", &path, io::Error::other(why))
            })?;
        fs::rename(&path, &aside).map_err(|source| StoreError::io("set aside", &path, source))?;
        moved = Some(aside);
    }
    let suspect = dir.join(SUSPECT);
    match fs::remove_file(&suspect) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", &suspect, error))
        }
        _ => Ok(moved),
    }
}

/// The indexes that were set aside, by number.
pub(crate) fn quarantined(dir: &Path) -> Vec<PathBuf> {
    (1..=QUARANTINED_MAX)
        .map(|n| dir.join(format!("{NAME}.damaged-{n}")))
        .filter(|aside| aside.exists())
        .collect()
}

/// Waits until no other process has the index open, which outlives the store's lock by a moment.
/// sled reports it as an error like any other, which must not be taken for damage.
/// `before` is who held the store before, if that is known.
pub(crate) fn wait_until_free(dir: &Path, before: Option<&Holder>) -> Result<(), StoreError> {
    let path = index_path(dir).join("db");
    let begun = Instant::now();
    loop {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(StoreError::io("open", &path, source)),
        };
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if begun.elapsed() < BUSY_MAX => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                let holder = before.cloned().map(Box::new);
                return Err(StoreError::Locked { dir: dir.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(StoreError::io("lock", &path, source)),
        }
    }
}

impl Index {
    /// Opens the index, and makes a new one if there is none. `has_lived` says whether the store
    /// was opened before. An index that is there and empty has then lost what it held, for its
    /// format is kept before anything else is: none is returned.
    pub(crate) fn open(dir: &Path, has_lived: bool) -> Result<Option<Self>, StoreError> {
        let path = index_path(dir);
        let was_there = path.exists();
        let index = Self::open_at(dir, &path)?;
        match index.format()? {
            Some(found) if !readable(&found, FORMAT) => {
                return Err(StoreError::Format { path, found, supported: FORMAT });
            }
            Some(_) => {}
            None if was_there && has_lived => return Ok(None),
            None => index.guarded("write", |trees| {
                trees.meta.insert("format", FORMAT)?;
                trees.db.flush().map(drop)
            })?,
        }
        Ok(Some(index))
    }

    fn open_at(dir: &Path, path: &Path) -> Result<Self, StoreError> {
        let mut index = Self {
            dir: dir.to_owned(),
            path: path.to_owned(),
            trees: None,
            failed: RefCell::new(None),
        };
        let opened = catch_unwind(|| -> sled::Result<Trees> {
            let db = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).open()?;
            Ok(Trees {
                meta: db.open_tree("meta")?,
                runs: db.open_tree("runs")?,
                blobs: db.open_tree("blobs")?,
                leases: db.open_tree("leases")?,
                db,
            })
        });
        match opened {
            Ok(Ok(trees)) => index.trees = Some(trees),
            // These are not the index's fault, and a new index would meet them too.
            Ok(Err(sled::Error::Io(source))) if is_environment(&source) => {
                return Err(StoreError::io("open", path, source));
            }
            Ok(Err(error)) => return Err(index.error("open", error.to_string())),
            Err(panic) => return Err(index.error("open", panic_text(panic.as_ref()))),
        }
        Ok(index)
    }

    fn format(&self) -> Result<Option<String>, StoreError> {
        let found = self.guarded("read", |trees| trees.meta.get("format"))?;
        Ok(found.map(|found| String::from_utf8_lossy(&found).into_owned()))
    }

    /// Whether it failed, and is not asked any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.borrow().is_some()
    }

    pub(crate) fn entry(&self, run: &RunId) -> Result<Option<Entry>, StoreError> {
        let value = self.guarded("read", |trees| trees.runs.get(run.as_str()))?;
        // An entry that cannot be understood is as good as none: it is made again.
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    pub(crate) fn set_entry(&self, entry: &Entry) -> Result<(), StoreError> {
        let json = serde_json::to_vec(entry).expect("an entry has only string keys");
        let run = entry.summary.run.as_str();
        self.guarded("write", |trees| trees.runs.insert(run, json).map(drop))
    }

    /// Forgets the runs that are not among these.
    pub(crate) fn retain(&self, keep: impl Fn(&str) -> bool) -> Result<(), StoreError> {
        self.guarded("write", |trees| {
            for key in trees.runs.iter().keys() {
                let key = key?;
                if !keep(&String::from_utf8_lossy(&key)) {
                    trees.runs.remove(key)?;
                }
            }
            Ok(())
        })
    }

    pub(crate) fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let is_new = self.guarded("write", |trees| {
            let key = digest.to_string();
            let is_new = !trees.blobs.contains_key(&key)?;
            if is_new {
                trees.blobs.insert(&*key, bytes)?;
                // So that it outlives the process; sled does not promise more.
                trees.db.flush()?;
            }
            Ok(is_new)
        })?;
        if is_new { catalogue::add(&self.dir, digest, bytes.len() as u64) } else { Ok(()) }
    }

    /// Removes blobs, and their lines from the list beside the index.
    pub(crate) fn remove_blobs(&self, digests: &BTreeSet<Digest>) -> Result<(), StoreError> {
        // The list first: what it names and the index does not have is told as lost.
        let mut listed = catalogue::read(&self.dir)?.blobs;
        listed.retain(|digest, _| !digests.contains(digest));
        let listed: Vec<BlobInfo> =
            listed.into_iter().map(|(digest, bytes)| BlobInfo { digest, bytes }).collect();
        catalogue::write(&self.dir, &listed)?;
        self.guarded("write", |trees| {
            for digest in digests {
                trees.blobs.remove(digest.to_string())?;
            }
            trees.db.flush().map(drop)
        })
    }

    pub(crate) fn has_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.guarded("read", |trees| trees.blobs.contains_key(digest.to_string()))
    }

    pub(crate) fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.guarded("read", |trees| trees.blobs.get(digest.to_string()))?;
        match value {
            Some(value) if Digest::of_bytes(&value) != *digest => {
                Err(self.fail("read", format!("the content of {} was changed", digest.short())))
            }
            value => Ok(value.map(|value| value.to_vec())),
        }
    }

    /// Every blob.
    pub(crate) fn blobs(&self) -> Result<Vec<BlobInfo>, StoreError> {
        self.guarded("read", |trees| {
            let mut blobs = Vec::new();
            for item in &trees.blobs {
                let (key, value) = item?;
                if let Ok(digest) = String::from_utf8_lossy(&key).parse() {
                    blobs.push(BlobInfo { digest, bytes: value.len() as u64 });
                }
            }
            Ok(blobs)
        })
    }

    /// The epoch of the last opening that it knows of.
    pub(crate) fn epoch(&self) -> Result<u64, StoreError> {
        let last = self.guarded("read", |trees| trees.leases.last())?;
        Ok(last.map_or(0, |(key, _)| {
            key.as_ref().try_into().map_or(0, |bytes: [u8; 8]| u64::from_be_bytes(bytes))
        }))
    }

    /// Remembers an opening, and forgets those of long ago.
    pub(crate) fn add_lease(&self, epoch: u64, holder: &Holder) -> Result<(), StoreError> {
        let lease = LeaseEntry { epoch, holder: holder.clone() };
        let json = serde_json::to_vec(&lease).expect("a lease has only string keys");
        self.guarded("write", |trees| {
            trees.leases.insert(epoch.to_be_bytes(), json)?;
            while trees.leases.len() > LEASES_MAX {
                trees.leases.pop_min()?;
            }
            Ok(())
        })
    }

    /// Reads everything, so that damage shows now.
    pub(crate) fn read_all(&self) -> Result<(), StoreError> {
        self.guarded("read", |trees| {
            for tree in [&trees.meta, &trees.runs, &trees.leases] {
                for item in tree {
                    item?;
                }
            }
            Ok(())
        })?;
        for blob in self.blobs()? {
            self.blob(&blob.digest)?;
        }
        Ok(())
    }

    fn guarded<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&Trees) -> sled::Result<T>,
    ) -> Result<T, StoreError> {
        if let Some(problem) = &*self.failed.borrow() {
            return Err(self.error(operation, problem.clone()));
        }
        let trees = self.trees.as_ref().expect("an open index has trees until it is dropped");
        match catch_unwind(AssertUnwindSafe(|| call(trees))) {
            Ok(Ok(value)) => Ok(value),
            // A full disk says nothing about what is on it: the next start may find it sound.
            Ok(Err(sled::Error::Io(error))) if is_environment(&error) => {
                *self.failed.borrow_mut() = Some(error.to_string());
                Err(self.error(operation, error.to_string()))
            }
            Ok(Err(error)) => Err(self.fail(operation, error.to_string())),
            Err(panic) => Err(self.fail(operation, panic_text(panic.as_ref()))),
        }
    }

    fn fail(&self, operation: &'static str, problem: String) -> StoreError {
        // If the mark cannot be written either, the next start probes, and finds out itself.
        let _ = fs::write(self.dir.join(SUSPECT), &problem);
        *self.failed.borrow_mut() = Some(problem.clone());
        self.error(operation, problem)
    }

    fn error(&self, operation: &'static str, problem: String) -> StoreError {
        StoreError::Index { operation, path: self.path.clone(), problem }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let trees = self.trees.take();
        if self.has_failed() {
            // Closing it would touch the damage again. The process is about to end.
            std::mem::forget(trees);
        } else if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(trees))) {
            self.fail("close", panic_text(panic.as_ref()));
        }
    }
}

/// Whether the directory or the disk is what stands in the way.
fn is_environment(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge
    )
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without words");
    format!("sled gave up: {text}")
}
