//! What is in a state directory, for people: `refit state list` and `refit state show`.
//!
//! Everything but the blobs is read without the lock.

use std::fs;
use std::path::{Path, PathBuf};

use refit_model::{Digest, RunId};

use crate::index::{self, Index};
use crate::journal::{journal_files, journal_path, read_file};
use crate::sled_store::read_epoch;
use crate::{
    Holder, Probe, ProbeResult, RunJournal, RunSummary, StoreError, UnreadableRun, lock, read_run,
};

/// The shortest beginning of a digest that names a blob, in digits.
const PREFIX_MIN: usize = 6;

/// What is in a state directory.
#[derive(Debug)]
pub struct StateListing {
    /// The directory.
    pub dir: PathBuf,
    /// The epoch of the last process that opened it for writing; 0 for none.
    pub epoch: u64,
    /// Who holds it, when somebody does and has said so.
    pub holder: Option<Holder>,
    /// The journals, the newest first.
    pub journals: Vec<JournalFile>,
    /// Journals that cannot be read.
    pub unreadable: Vec<UnreadableRun>,
    /// The blobs.
    pub blobs: BlobListing,
    /// How many bytes the index takes.
    pub index_bytes: u64,
    /// Damaged indexes that were set aside. They can be deleted.
    pub quarantined: Vec<Quarantined>,
}

/// A journal.
#[derive(Clone, Debug)]
pub struct JournalFile {
    /// Its file.
    pub path: PathBuf,
    /// How many bytes it has, with what is torn.
    pub bytes: u64,
    /// Its run.
    pub summary: RunSummary,
}

/// The blobs of a store, which can only be listed while nobody writes.
#[derive(Debug)]
pub enum BlobListing {
    /// These, by digest.
    Listed(Vec<BlobInfo>),
    /// Another process holds the store.
    InUse,
    /// The index is damaged. The next process that writes makes it again.
    Unreadable {
        /// What is wrong.
        problem: String,
    },
}

/// A blob.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobInfo {
    /// Its digest.
    pub digest: Digest,
    /// How many bytes it has.
    pub bytes: u64,
}

/// A damaged index that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Where.
    pub path: PathBuf,
    /// How many bytes it takes.
    pub bytes: u64,
}

/// What [`show`] found under a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// A run's journal.
    Run(Box<RunJournal>),
    /// A blob: a plan, a snapshot or a report.
    Blob {
        /// Its digest.
        digest: Digest,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Several blobs begin like that.
    Ambiguous(Vec<Digest>),
}

/// Lists what is in a state directory. An empty or missing one is listed as such.
pub fn list(dir: &Path, probe: Option<&Probe>) -> Result<StateListing, StoreError> {
    let mut listing = StateListing {
        dir: dir.to_owned(),
        epoch: read_epoch(dir)?,
        holder: None,
        journals: Vec::new(),
        unreadable: Vec::new(),
        blobs: BlobListing::Listed(Vec::new()),
        index_bytes: size(&index::index_path(dir)),
        quarantined: Vec::new(),
    };
    for path in journal_files(dir)? {
        match read_file(&path) {
            Ok((journal, _)) => {
                let bytes = journal.bytes + journal.torn.as_ref().map_or(0, |torn| torn.bytes);
                let summary = RunSummary::of(&journal);
                listing.journals.extend(summary.map(|summary| JournalFile {
                    path,
                    bytes,
                    summary,
                }));
            }
            Err(error) => listing.unreadable.push(UnreadableRun { path, error, state: None }),
        }
    }
    listing.journals.sort_by(|a, b| {
        (b.summary.opened_at, &b.summary.run).cmp(&(a.summary.opened_at, &a.summary.run))
    });
    for path in index::quarantined(dir) {
        listing.quarantined.push(Quarantined { bytes: size(&path), path });
    }
    listing.blobs = match with_index(dir, probe, Index::blobs)? {
        Ok(blobs) => BlobListing::Listed(blobs),
        Err(unlisted) => unlisted,
    };
    if matches!(listing.blobs, BlobListing::InUse) {
        listing.holder = lock::read_note(dir);
    }
    Ok(listing)
}

/// Finds a run by its id, or a blob by its digest or the beginning of it. A plan that a run was
/// opened with is found while another process writes, too.
pub fn show(dir: &Path, name: &str, probe: Option<&Probe>) -> Result<Option<Shown>, StoreError> {
    if let Ok(run) = name.parse::<RunId>()
        && journal_path(dir, &run).exists()
    {
        return read_run(dir, &run).map(|journal| Some(Shown::Run(Box::new(journal))));
    }
    if name.len() < PREFIX_MIN {
        return Ok(None);
    }
    for path in journal_files(dir)? {
        let Ok((journal, _)) = read_file(&path) else { continue };
        let digest = Digest::of_bytes(&journal.plan);
        if digest.to_string().starts_with(name) {
            return Ok(Some(Shown::Blob { digest, bytes: journal.plan }));
        }
    }
    let found = with_index(dir, probe, |index| {
        let mut digests = Vec::new();
        for BlobInfo { digest, bytes: _ } in index.blobs()? {
            if digest.to_string().starts_with(name) {
                digests.push(digest);
            }
        }
        match &digests[..] {
            [] => Ok(None),
            [digest] => {
                let blob = index.blob(digest)?;
                Ok(blob.map(|bytes| Shown::Blob { digest: *digest, bytes }))
            }
            _ => Ok(Some(Shown::Ambiguous(digests))),
        }
    })?;
    match found {
        Ok(found) => Ok(found),
        Err(BlobListing::Unreadable { problem }) => {
            let path = index::index_path(dir);
            Err(StoreError::Index { operation: "read", path, problem })
        }
        Err(_) => {
            let holder = lock::holder(dir).map(Box::new);
            Err(StoreError::Locked { dir: dir.to_owned(), holder })
        }
    }
}

/// Does something with the index while nobody writes; else says why not.
fn with_index<T: Default>(
    dir: &Path,
    probe: Option<&Probe>,
    read: impl FnOnce(&Index) -> Result<T, StoreError>,
) -> Result<Result<T, BlobListing>, StoreError> {
    let path = index::index_path(dir);
    if !path.exists() {
        return Ok(Ok(T::default()));
    }
    let _lock = match lock::try_lock(dir) {
        Ok(Some(lock)) => lock,
        Ok(None) => return Ok(Err(BlobListing::InUse)),
        // sled cannot read without writing, so where nobody may write, blobs are out of reach.
        Err(error) => return Ok(Err(BlobListing::Unreadable { problem: error.to_string() })),
    };
    index::wait_until_free(dir, None)?;
    if let Some(probe) = probe
        && let ProbeResult::Damaged { problem } = probe(&path)
    {
        return Ok(Err(BlobListing::Unreadable { problem }));
    }
    let opened = Index::open(dir, read_epoch(dir)? > 0);
    match opened.and_then(|index| index.as_ref().map(read).transpose()) {
        Ok(Some(value)) => Ok(Ok(value)),
        Ok(None) => Ok(Err(BlobListing::Unreadable { problem: index::EMPTIED.to_owned() })),
        Err(StoreError::Index { problem, .. }) => Ok(Err(BlobListing::Unreadable { problem })),
        Err(error) => Err(error),
    }
}

/// The bytes of a file, or of everything in a directory. What vanishes meanwhile counts nothing.
fn size(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size(&entry.path())).sum()
}
