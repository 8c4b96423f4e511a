//! Files: a fleet's, read with limits and never from outside of it; and results, written whole
//! or not at all.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use refit_config::{Entry, EntryKind, FileError, Files};

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
    let size = fs::metadata(path).map_err(|error| fail(&error))?.len();
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
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    set_ordinary_permissions(file.as_file())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Temporary files are the owner's alone; results are as readable as any file.
#[cfg(unix)]
fn set_ordinary_permissions(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_ordinary_permissions(_file: &fs::File) -> io::Result<()> {
    Ok(())
}

/// Writes a result that somebody asked for.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn save(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write(path, bytes).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot write {}", path.display())).because(&error)
    })
}
