//! Files that are there whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::StoreError;

/// What a file has at the end of its name while it is being written. Whoever finds one may
/// delete it: nothing refers to it.
pub(crate) const UNFINISHED: &str = "new";

/// How often a file is opened anew that another process has just given its final name.
const ATTEMPTS_MAX: u32 = 10;

/// Where a file is written before it gets its name.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(UNFINISHED);
    PathBuf::from(name)
}

/// Replaces a file durably: writes `PATH.new`, syncs it, renames it, and syncs the directory. After
/// a crash the old content or the new one is there, never a part. A `PATH.new` that a killed process
/// has left is used again. The permissions of a new file are those of the umask; those of a file
/// that was there are kept.
///
/// # Errors
/// When it cannot be written, or another process is writing it.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    replace(path, bytes, true)?;
    sync_parent(path)
}

/// Replaces a file as [`replace_file`] does, without waiting for the disk. When the process is
/// killed, the old content or the new one is there, never a part. After a power failure that is
/// only certain of files that [`sync_files`] has synced since.
///
/// # Errors
/// When it cannot be written, or another process is writing it.
pub fn replace_file_unsynced(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    replace(path, bytes, false)
}

/// Makes files durable that [`replace_file_unsynced`] wrote, and their names in their directories.
///
/// # Errors
/// When one of them cannot be opened or synced.
pub fn sync_files<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), StoreError> {
    let mut directories = BTreeMap::new();
    for path in paths {
        File::open(path)
            .and_then(|file| file.sync_all())
            .map_err(|source| StoreError::io("sync", path, source))?;
        directories.insert(path.parent(), path);
    }
    directories.into_values().try_for_each(|path| sync_parent(path))
}

fn replace(path: &Path, bytes: &[u8], sync: bool) -> Result<(), StoreError> {
    let beside = unfinished(path);
    let mut file = open_unfinished(&beside)?;
    let replaced = write(&mut file, path, &beside, bytes, sync);
    if replaced.is_err() {
        // What is half written is of no use, and the error is the one that counts.
        let _ = fs::remove_file(&beside);
    }
    replaced
}

fn write(
    file: &mut File,
    path: &Path,
    beside: &Path,
    bytes: &[u8],
    sync: bool,
) -> Result<(), StoreError> {
    if let Ok(metadata) = fs::metadata(path)
        && metadata.is_file()
    {
        file.set_permissions(metadata.permissions())
            .map_err(|source| StoreError::io("set the permissions of", beside, source))?;
    }
    file.set_len(0)
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| if sync { file.sync_all() } else { Ok(()) })
        .map_err(|source| StoreError::io("write", beside, source))?;
    fs::rename(beside, path).map_err(|source| StoreError::io("replace", path, source))
}

/// Opens the unfinished file, locked: two processes that write the same file at once would mix.
fn open_unfinished(beside: &Path) -> Result<File, StoreError> {
    let failed = |source| StoreError::io("create", beside, source);
    for _ in 0..ATTEMPTS_MAX {
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(false).open(beside).map_err(failed)?;
        match file.try_lock() {
            Ok(()) if is_at(&file, beside) => return Ok(file),
            // It got its final name between opening and locking.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let why = io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    "another process is writing the same file",
                );
                return Err(failed(why));
            }
            // A file system without locks.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
    Err(failed(io::Error::new(io::ErrorKind::ResourceBusy, "other processes keep replacing it")))
}

/// Whether the open file still has that name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => identity(open) == identity(named),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

/// Removes what killed processes have left half written in a directory. Nothing refers to it.
///
/// # Errors
/// When the directory cannot be read, or a file in it cannot be removed.
pub fn remove_unfinished(directory: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::io("list", directory, source);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        // Earlier versions wrote `.tmpXXXXXX`.
        let temporary = entry.file_name().to_string_lossy().starts_with(".tmp");
        let unfinished = path.extension().is_some_and(|extension| extension == UNFINISHED);
        if is_file && (temporary || unfinished) {
            fs::remove_file(&path).map_err(|source| StoreError::io("remove", &path, source))?;
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        // A killed process has left a longer one.
        fs::write(unfinished(&path), b"something that was never finished").unwrap();
        for bytes in [&b"one"[..], b"two and more", b""] {
            replace_file(&path, bytes).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
        let directory = dir.path().join("directory");
        fs::create_dir(&directory).unwrap();
        replace_file(&directory, b"x").unwrap_err();
        assert!(!unfinished(&directory).exists(), "nothing half written stays");
    }

    #[test]
    fn two_writers_of_the_same_file_do_not_mix() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let other = open_unfinished(&unfinished(&path)).unwrap();
        let error = replace_file(&path, b"x").unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        drop(other);
        std::thread::scope(|scope| {
            for byte in b'a'..b'e' {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        replace_file(path, &[byte; 1000]).ok();
                    }
                });
            }
        });
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() == 1000 && bytes.iter().all(|byte| *byte == bytes[0]));
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_the_umask_or_of_the_file_that_was_there() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (plain, own) = (dir.path().join("plain"), dir.path().join("own"));
        File::create(&plain).unwrap();
        replace_file(&own, b"x").unwrap();
        assert_eq!(mode(&own), mode(&plain));
        fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).unwrap();
        replace_file(&own, b"y").unwrap();
        assert_eq!(mode(&own), 0o600);
    }

    #[test]
    fn what_killed_writes_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".tmpAb12Cd", "epoch.new", "epoch", "README.md", "r1.journal"] {
            fs::write(dir.path().join(name), b"x").unwrap();
        }
        fs::create_dir(dir.path().join("directory.new")).unwrap();
        remove_unfinished(dir.path()).unwrap();
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["README.md", "directory.new", "epoch", "r1.journal"]);
    }
}
