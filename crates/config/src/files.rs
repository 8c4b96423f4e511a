//! The files of a fleet, as whoever has a disk offers them.
//!
//! This crate opens nothing itself. It asks a [`Files`] for directories and files by their
//! path relative to the fleet's directory, with `/`.

use std::collections::BTreeMap;

/// Largest TOML file, in bytes. A cluster is about 2 KiB; a fleet of a thousand clusters in
/// one file stays below.
pub const TOML_BYTES_MAX: u64 = 4 << 20;
/// Largest manifest, in bytes. The apiserver takes at most 3 MiB per request, and a file
/// may have several objects.
pub const MANIFEST_BYTES_MAX: u64 = 16 << 20;
/// Most files of a fleet: a thousand clusters, and a thousand versions of add-ons with several
/// files each.
pub const FILES_MAX: usize = 10_000;
/// Most bytes of all files together; they are all held in memory.
pub const TOTAL_BYTES_MAX: u64 = 256 << 20;

/// What a directory's entry is, symbolic links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A file, or something that [`Files::read`] will refuse.
    File,
    /// A directory.
    Directory,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The last part of its path.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// Why a file or directory could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is none.
    #[error("it does not exist")]
    Missing,
    /// It has more bytes than it may have. Nothing of it was read.
    #[error("it has {}; at most {} are read", bytes(*size), bytes(*limit))]
    TooLarge {
        /// How many bytes it has.
        size: u64,
        /// How many it may have.
        limit: u64,
    },
    /// It is a symbolic link to a place outside the repository.
    #[error("it leads out of the repository")]
    LeavesRepository,
    /// It is a directory, a socket, a device; or, when it was listed, no directory.
    #[error("it is not a regular file")]
    NotAFile,
    /// The system said no, with its reason.
    #[error("{0}")]
    Io(String),
}

/// A size as people write it.
fn bytes(count: u64) -> String {
    const MIB: u64 = 1 << 20;
    if count >= MIB { format!("{} MiB", count / MIB) } else { format!("{count} bytes") }
}

/// Where the files come from.
pub trait Files {
    /// The entries of a directory, in any order. `""` is the fleet's directory. A directory
    /// that does not exist is [`FileError::Missing`].
    fn list(&self, directory: &str) -> Result<Vec<Entry>, FileError>;

    /// The bytes of a file. Whoever implements this looks at the size first, and returns
    /// [`FileError::TooLarge`] without reading when it is above `limit`.
    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FileError>;
}

/// Files in memory: for tests, and to check a fleet before it is written.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    files: BTreeMap<String, Result<Vec<u8>, FileError>>,
}

impl MemoryFiles {
    /// No file at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), Ok(content.into()));
    }

    /// Adds or replaces a file that cannot be read.
    pub fn insert_unreadable(&mut self, path: impl Into<String>, error: FileError) {
        self.files.insert(path.into(), Err(error));
    }

    /// Removes a file.
    pub fn remove(&mut self, path: &str) {
        self.files.remove(path);
    }
}

impl<P: Into<String>, C: Into<Vec<u8>>> FromIterator<(P, C)> for MemoryFiles {
    fn from_iter<I: IntoIterator<Item = (P, C)>>(files: I) -> Self {
        let mut memory = Self::new();
        for (path, content) in files {
            memory.insert(path, content);
        }
        memory
    }
}

impl Files for MemoryFiles {
    fn list(&self, directory: &str) -> Result<Vec<Entry>, FileError> {
        if self.files.contains_key(directory) {
            return Err(FileError::NotAFile);
        }
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let mut entries: Vec<Entry> = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix))
            .map(|rest| match rest.split_once('/') {
                Some((name, _)) => Entry { name: name.to_owned(), kind: EntryKind::Directory },
                None => Entry { name: rest.to_owned(), kind: EntryKind::File },
            })
            .collect();
        entries.sort();
        entries.dedup();
        if entries.is_empty() { Err(FileError::Missing) } else { Ok(entries) }
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FileError> {
        let content = self.files.get(path).ok_or(FileError::Missing)?.clone()?;
        let size = content.len() as u64;
        if size > limit { Err(FileError::TooLarge { size, limit }) } else { Ok(content) }
    }
}
