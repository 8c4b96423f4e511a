//! Small files that are there whole or not at all.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::StoreError;

/// What a file has at the end of its name while it is being written. Whoever finds one may
/// delete it: nothing refers to it.
pub(crate) const UNFINISHED: &str = "new";

/// Where a file is written before it gets its name.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(UNFINISHED);
    PathBuf::from(name)
}

/// Writes the file beside its place, syncs it, moves it there, and syncs the directory: after a
/// crash the old content or the new one is there, never a part.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let beside = unfinished(path);
    let mut file =
        File::create(&beside).map_err(|source| StoreError::io("create", &beside, source))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|source| StoreError::io("write", &beside, source))?;
    drop(file);
    fs::rename(&beside, path).map_err(|source| StoreError::io("create", path, source))?;
    sync_parent(path)
}

/// Makes a new or removed name in the path's directory durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    // Elsewhere a directory cannot be opened as a file, and renames are journaled.
    if cfg!(unix) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        File::open(parent)
            .and_then(|directory| directory.sync_all())
            .map_err(|source| StoreError::io("sync", parent, source))?;
    }
    Ok(())
}
