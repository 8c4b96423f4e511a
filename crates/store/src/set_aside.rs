//! Journals that cannot be read, set aside so that the store can be used without them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{StoreError, UnreadableRun, durable};

/// How many damaged journals of the same name are kept.
const SET_ASIDE_MAX: u32 = 1000;

/// A journal that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it was.
    pub from: PathBuf,
    /// Where it is now.
    pub to: PathBuf,
}

/// Whether a journal may be set aside: one that is damaged, and not one that only a newer refit, or
/// another user, can read.
fn is_damaged(error: &StoreError) -> bool {
    match error {
        StoreError::Damaged { .. } | StoreError::TooLarge { .. } => true,
        StoreError::Io { source, .. } => source.kind() == io::ErrorKind::IsADirectory,
        StoreError::Locked { .. }
        | StoreError::Format { .. }
        | StoreError::NoSuchRun { .. }
        | StoreError::RunExists { .. }
        | StoreError::RunClosed { .. }
        | StoreError::Fenced { .. }
        | StoreError::Append { .. }
        | StoreError::Index { .. } => false,
    }
}

/// Renames a damaged journal, so that it is no journal any more. `None` if it is not damaged but
/// unreadable for another reason: then it stays. The caller holds the store.
///
/// # Errors
/// When it cannot be renamed.
pub fn set_aside(unreadable: &UnreadableRun) -> Result<Option<SetAside>, StoreError> {
    let UnreadableRun { path, error, state: _ } = unreadable;
    if !is_damaged(error) {
        return Ok(None);
    }
    let failed = |source| StoreError::io("set aside", path, source);
    let to = (1..=SET_ASIDE_MAX).map(|n| numbered(path, n)).find(|aside| !aside.exists());
    let to = to.ok_or_else(|| {
        failed(io::Error::other(format!("there already are {SET_ASIDE_MAX} damaged ones")))
    })?;
    fs::rename(path, &to).map_err(failed)?;
    durable::sync_parent(path)?;
    Ok(Some(SetAside { from: path.clone(), to }))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".damaged-{number}"));
    PathBuf::from(name)
}
