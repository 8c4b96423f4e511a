//! Journals that cannot be read, set aside so that the store can be used without them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use refit_model::Timestamp;

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
        | StoreError::Unusable { .. }
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

/// A damaged journal that was set aside earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Aside {
    pub(crate) path: PathBuf,
    /// When its run was begun; where its name does not tell, when the file was last written.
    pub(crate) begun_at: Timestamp,
}

/// Returns the damaged journals of a state directory that were set aside. Directories that were in the
/// place of a journal are not among them.
///
/// # Errors
/// When the directory cannot be read.
pub(crate) fn list_set_aside(dir: &Path) -> Result<Vec<Aside>, StoreError> {
    let runs = dir.join("runs");
    let failed = |source| StoreError::io("list", &runs, source);
    let mut found = Vec::new();
    for entry in fs::read_dir(&runs).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some((run, rest)) = name.to_str().and_then(|name| name.split_once('.')) else {
            continue;
        };
        let is_aside = rest.strip_prefix("journal.damaged-").is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
        });
        if !is_aside || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        let written = || {
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok()?;
            Timestamp::try_from(modified).ok()
        };
        if let Some(begun_at) = begun_at(run).or_else(written) {
            found.push(Aside { path, begun_at });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Returns when a run was begun, from its id: `20261102T091402-3f9a`.
fn begun_at(run: &str) -> Option<Timestamp> {
    let (time, _) = run.split_once('-')?;
    if time.len() == "20261102T091402".len() { format!("{time}Z").parse().ok() } else { None }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".damaged-{number}"));
    PathBuf::from(name)
}
