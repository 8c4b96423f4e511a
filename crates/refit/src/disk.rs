//! Files: a fleet's, read with limits and never from outside of it; and results, written whole
//! or not at all.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use refit_config::{Entry, EntryKind, FileError, Files};
use refit_store::StoreError;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::exit::{Exit, Failure};

/// Plans and snapshots are read whole; a fleet of a thousand clusters has some 50 MB.
const INPUT_BYTES_MAX: u64 = 1 << 30;

/// The files of a fleet below its directory.
pub(crate) struct Disk {
    root: PathBuf,
    /// Where the directory really is: a file that really is elsewhere is none of the fleet's.
    real_root: PathBuf,
}

impl Disk {
    /// # Errors
    /// When there is no such directory.
    pub(crate) fn new(root: &Path) -> Result<Self, Failure> {
        let real_root = fs::canonicalize(root).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot open directory {}", root.display()))
                .because(&error)
        })?;
        if !real_root.is_dir() {
            let text = format!("cannot open directory {}: it is a file", root.display());
            return Err(Failure::new(Exit::Failed, text)
                .hint("give the directory of the fleet, the one that has fleet.toml in it"));
        }
        // The repository may begin above the fleet's directory.
        let real_root = repository(&real_root).unwrap_or(real_root);
        Ok(Self { root: root.to_owned(), real_root })
    }

    fn locate(&self, path: &str) -> Result<PathBuf, FileError> {
        let relative = Path::new(path);
        if relative.components().any(|part| !matches!(part, Component::Normal(_)))
            && !path.is_empty()
        {
            return Err(FileError::LeavesRepository);
        }
        let full = self.root.join(relative);
        let real = fs::canonicalize(&full).map_err(|error| file_error(&error))?;
        if real.starts_with(&self.real_root) { Ok(full) } else { Err(FileError::LeavesRepository) }
    }
}

/// The directory above that is a git checkout.
fn repository(directory: &Path) -> Option<PathBuf> {
    directory.ancestors().find(|above| above.join(".git").exists()).map(Path::to_owned)
}

fn file_error(error: &io::Error) -> FileError {
    match error.kind() {
        io::ErrorKind::NotFound => FileError::Missing,
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => FileError::NotAFile,
        _ => FileError::Io(error.to_string()),
    }
}

impl Files for Disk {
    fn list(&self, directory: &str) -> Result<Vec<Entry>, FileError> {
        let full = self.locate(directory)?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(full).map_err(|error| file_error(&error))? {
            let entry = entry.map_err(|error| file_error(&error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = match fs::metadata(entry.path()) {
                Ok(metadata) if metadata.is_dir() => EntryKind::Directory,
                _ => EntryKind::File,
            };
            entries.push(Entry { name, kind });
        }
        Ok(entries)
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FileError> {
        let full = self.locate(path)?;
        let metadata = fs::metadata(&full).map_err(|error| file_error(&error))?;
        if !metadata.is_file() {
            return Err(FileError::NotAFile);
        }
        if metadata.len() > limit {
            return Err(FileError::TooLarge { size: metadata.len(), limit });
        }
        read_limited(&full, limit).map_err(|error| file_error(&error))
    }
}

fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a plan, a snapshot, a world.
///
/// # Errors
/// When it cannot be read, or is too large to be one.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let fail = |error: &io::Error| {
        Failure::new(Exit::Failed, format!("cannot read {}", path.display())).because(error)
    };
    let metadata = fs::metadata(path).map_err(|error| fail(&error))?;
    if metadata.is_dir() {
        return Err(Failure::new(
            Exit::Failed,
            format!("cannot read {}: it is a directory", path.display()),
        ));
    }
    let size = metadata.len();
    if size > INPUT_BYTES_MAX {
        return Err(Failure::new(
            Exit::Failed,
            format!("{} has {size} bytes; at most {INPUT_BYTES_MAX} are read", path.display()),
        ));
    }
    read_limited(path, INPUT_BYTES_MAX).map_err(|error| fail(&error))
}

/// Writes a file whole or not at all: what was there stays until the new one is complete.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    refit_store::replace_file(path, bytes).map_err(io_error)
}

/// Returns what the operating system said; whoever shows it names the file.
pub(crate) fn io_error(error: StoreError) -> io::Error {
    match error {
        StoreError::Io { source, .. } => source,
        error => io::Error::other(error),
    }
}

/// Where a result goes that somebody asked for with an option.
pub(crate) enum Output {
    /// A file that is replaced.
    File(PathBuf),
    /// A device or a pipe, which is written to and stays what it is.
    Stream(PathBuf),
}

impl Output {
    /// Looks whether a plan or a snapshot may be written there. A file that is there is replaced if
    /// it is empty, or a plan or a snapshot itself; anything else is somebody's work.
    ///
    /// # Errors
    /// When it is a directory, or a file of something else.
    pub(crate) fn of(path: &Path) -> Result<Self, Failure> {
        Self::replacing(path, is_result, "neither a plan nor a snapshot of refit")
    }

    /// The same for a file of events.
    ///
    /// # Errors
    /// When it is a directory, or a file of something else.
    pub(crate) fn of_events(path: &Path) -> Result<Self, Failure> {
        Self::replacing(path, is_events, "not a file of refit's events")
    }

    fn replacing(path: &Path, is_own: fn(&[u8]) -> bool, other: &str) -> Result<Self, Failure> {
        let cannot = || format!("cannot write {}", path.display());
        // Whether it can be made shows when it is.
        let Ok(metadata) = fs::metadata(path) else { return Ok(Self::File(path.to_owned())) };
        if metadata.is_dir() {
            return Err(Failure::new(Exit::Failed, format!("{}: it is a directory", cannot())));
        }
        if !metadata.is_file() {
            return Ok(Self::Stream(path.to_owned()));
        }
        if metadata.len() > 0 && !is_own(&read(path)?) {
            return Err(Failure::new(
                Exit::Failed,
                format!("{} exists and is {other}; it was not replaced", path.display()),
            )
            .hint("give another name, or remove the file first"));
        }
        // A link stays a link.
        let target = fs::canonicalize(path)
            .map_err(|error| Failure::new(Exit::Failed, cannot()).because(&error))?;
        Ok(Self::File(target))
    }

    /// Writes the result.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save(&self, bytes: &[u8]) -> Result<(), Failure> {
        let (path, saved) = match self {
            Self::File(path) => (path, write(path, bytes)),
            Self::Stream(path) => {
                let stream = fs::File::options().write(true).open(path);
                (path, stream.and_then(|mut stream| stream.write_all(bytes)))
            }
        };
        saved.map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot write {}", path.display())).because(&error)
        })
    }
}

/// Whether a file is a plan or a snapshot, of whatever version.
fn is_result(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Head {
        #[serde(rename = "format-version")]
        _format: String,
        plan: Option<IgnoredAny>,
        digest: Option<IgnoredAny>,
        clusters: Option<IgnoredAny>,
        taken_at: Option<IgnoredAny>,
    }
    serde_json::from_slice(bytes).is_ok_and(|head: Head| {
        (head.plan.is_some() && head.digest.is_some())
            || (head.clusters.is_some() && head.taken_at.is_some())
    })
}

/// Whether a file begins with an event of a run.
fn is_events(bytes: &[u8]) -> bool {
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    serde_json::from_slice::<refit_model::RunEvent>(first).is_ok()
}

/// Writes a page of a manual.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn save(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write(path, bytes).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot write {}", path.display())).because(&error)
    })
}
