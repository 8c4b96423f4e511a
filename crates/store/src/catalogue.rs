//! A list of the blobs beside the index, so that what a damaged index has lost can be named.
//!
//! sled takes rubbish at the beginning of its file for an empty database, and stops reading at
//! damage further on, both without an error. What it held can then only be told by somebody
//! else: a text file with a line for each blob, synced before the blob counts as kept.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use refit_model::Digest;

use crate::{BlobInfo, StoreError, durable};

/// The file in a state directory.
const NAME: &str = "index.blobs";

/// The longest list that is read: half a million blobs. A longer one is none of refit's.
const BYTES_MAX: u64 = 40 * 1024 * 1024;

/// What the list says.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    /// The blobs and their sizes.
    pub(crate) blobs: BTreeMap<Digest, u64>,
    /// Whether it says all: it is there, and every line of it can be understood.
    pub(crate) complete: bool,
}

/// Reads the list. A line that cannot be understood, such as one that was cut off, is left out.
pub(crate) fn read(dir: &Path) -> Result<Catalogue, StoreError> {
    let path = path(dir);
    let bytes = match fs::metadata(&path) {
        Ok(metadata) if metadata.len() > BYTES_MAX => return Ok(Catalogue::default()),
        Ok(_) => fs::read(&path).map_err(|source| StoreError::io("read", &path, source))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Catalogue::default()),
        Err(source) => return Err(StoreError::io("read", &path, source)),
    };
    let mut catalogue = Catalogue { blobs: BTreeMap::new(), complete: true };
    for line in String::from_utf8_lossy(&bytes).lines() {
        let blob = line
            .split_once(' ')
            .and_then(|(digest, bytes)| Some((digest.parse().ok()?, bytes.parse().ok()?)));
        match blob {
            Some((digest, bytes)) => drop(catalogue.blobs.insert(digest, bytes)),
            None => catalogue.complete = false,
        }
    }
    Ok(catalogue)
}

/// Adds a blob that the index has taken.
pub(crate) fn add(dir: &Path, digest: &Digest, bytes: u64) -> Result<(), StoreError> {
    let path = path(dir);
    let new = !path.exists();
    File::options()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|mut file| {
            file.write_all(format!("{digest} {bytes}\n").as_bytes())?;
            file.sync_data()
        })
        .map_err(|source| StoreError::io("write", &path, source))?;
    if new { durable::sync_parent(&path) } else { Ok(()) }
}

/// Writes the whole list anew.
pub(crate) fn write(dir: &Path, blobs: &[BlobInfo]) -> Result<(), StoreError> {
    let mut text = String::new();
    for BlobInfo { digest, bytes } in blobs {
        text.push_str(&format!("{digest} {bytes}\n"));
    }
    durable::replace_file(&path(dir), text.as_bytes())
}

fn path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}
