//! The releases that were applied, with a digest of what each contained then.
//!
//! They are kept in a file of their own: journals are removed when they are old, and a release may
//! stay in use for longer. The first digest of a release is kept; it is never replaced.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use refit_model::{RecordedRelease, ReleaseName, readable};
use serde::{Deserialize, Serialize};

use crate::{SledStore, StoreError, durable};

/// The version of the file's format. A reader takes the same major and no newer minor.
const FORMAT: &str = "1.0";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RecordedReleases {
    format_version: String,
    releases: BTreeMap<ReleaseName, RecordedRelease>,
}

/// Returns the path of the file in a state directory.
pub fn releases_path(dir: &Path) -> PathBuf {
    dir.join("releases.json")
}

/// Returns the releases that are recorded in a state directory; without the file, none. It needs no
/// lock.
///
/// # Errors
/// When the file cannot be read, is damaged, or was written by a newer refit.
pub fn read_releases(dir: &Path) -> Result<BTreeMap<ReleaseName, RecordedRelease>, StoreError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Head {
        format_version: String,
    }
    let path = releases_path(dir);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(StoreError::io("read", &path, source)),
    };
    let damaged = |error: serde_json::Error| StoreError::Unusable {
        path: path.clone(),
        line: error.line().max(1),
    };
    let head: Head = serde_json::from_slice(&bytes).map_err(damaged)?;
    if !readable(&head.format_version, FORMAT) {
        let found = head.format_version;
        return Err(StoreError::Format { path, found, supported: FORMAT });
    }
    let read: RecordedReleases = serde_json::from_slice(&bytes).map_err(damaged)?;
    Ok(read.releases)
}

impl SledStore {
    /// Records these releases, except those that are recorded already. They are durable when this
    /// returns.
    ///
    /// # Errors
    /// When the file cannot be read or written, or another process has taken over the store.
    pub fn record_releases(
        &mut self,
        releases: BTreeMap<ReleaseName, RecordedRelease>,
    ) -> Result<(), StoreError> {
        self.check_epoch()?;
        let mut recorded = read_releases(self.dir())?;
        let before = recorded.len();
        for (name, release) in releases {
            recorded.entry(name).or_insert(release);
        }
        if recorded.len() == before {
            return Ok(());
        }
        let file = RecordedReleases { format_version: FORMAT.to_owned(), releases: recorded };
        let path = releases_path(self.dir());
        let mut bytes = serde_json::to_vec_pretty(&file)
            .map_err(|error| StoreError::io("write", &path, io::Error::other(error)))?;
        bytes.push(b'\n');
        durable::replace_file(&path, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use refit_model::Digest;

    use super::*;
    use crate::OpenOptions;

    fn release(content: &str, at: &str) -> RecordedRelease {
        RecordedRelease { digest: Digest::of_bytes(content.as_bytes()), at: at.parse().unwrap() }
    }

    #[test]
    fn the_first_digest_of_a_release_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_releases(dir.path()).unwrap().is_empty());
        let mut store = SledStore::open(dir.path(), OpenOptions::default()).unwrap();
        let name = |name: &str| name.parse::<ReleaseName>().unwrap();
        let first = release("one", "2026-11-02T09:00:00Z");
        let second = release("two", "2026-11-03T09:00:00Z");
        store.record_releases([(name("r1"), first.clone())].into()).unwrap();
        let both = [(name("r1"), second.clone()), (name("r2"), second.clone())];
        store.record_releases(both.into()).unwrap();
        // Readers need no lock.
        let read = read_releases(dir.path()).unwrap();
        assert_eq!(read, [(name("r1"), first), (name("r2"), second)].into());
    }

    #[test]
    fn a_damaged_list_is_refused_and_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = releases_path(dir.path());
        for (text, unusable) in [
            ("{\"format-version\": \"1.0\",\n \"releases\": 7}", true),
            ("{\"format-version\": \"2.0\"}", false),
        ] {
            fs::write(&path, text).unwrap();
            let error = read_releases(dir.path()).unwrap_err();
            assert_eq!(matches!(error, StoreError::Unusable { line: 2, .. }), unusable, "{error}");
            let mut store = SledStore::open(dir.path(), OpenOptions::default()).unwrap();
            let some = release("one", "2026-11-02T09:00:00Z");
            store.record_releases([("r1".parse().unwrap(), some)].into()).unwrap_err();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
