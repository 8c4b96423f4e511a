//! The world as files: a small one for the whole world, and one for each cluster.
//!
//! A call changes one cluster, so one file is written again. Time changes every cluster, but what
//! time does is decided: a cluster that is read as it was and brought to the present is the same as
//! one that was written in the present. So only the world's own file follows the time.

use std::collections::BTreeSet;

use refit_model::{ClusterName, Timestamp, readable};
use serde::{Deserialize, Serialize};

use crate::cluster::ClusterWorld;
use crate::faults::Faults;
use crate::judge::Violation;
use crate::world::{World, WorldFileError};

/// One of the files that a world is kept in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorldFile {
    /// One cluster.
    Cluster(ClusterName, Vec<u8>),
    /// What is not of one cluster: the time, the seed, what the judge has found.
    Head(Vec<u8>),
}

/// What a world knows of its files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unsaved {
    /// The clusters that have changed since their files were written.
    pub(crate) clusters: BTreeSet<ClusterName>,
    /// The content of the world's own file.
    head: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Head {
    format_version: String,
    seed: u64,
    now: Timestamp,
    faults: Faults,
    violations: Vec<Violation>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterFile<'a> {
    format_version: &'static str,
    cluster: &'a ClusterWorld,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ReadClusterFile {
    #[serde(rename = "format-version")]
    _format_version: String,
    cluster: ClusterWorld,
}

/// Parses a file whose format is checked first.
fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, WorldFileError> {
    let found = format_of(bytes)?;
    if !readable(&found, World::FILES_FORMAT) {
        return Err(WorldFileError::Format { found });
    }
    serde_json::from_slice(bytes).map_err(WorldFileError::NotAWorld)
}

fn format_of(bytes: &[u8]) -> Result<String, WorldFileError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Versioned {
        format_version: String,
    }
    let found: Versioned = serde_json::from_slice(bytes).map_err(WorldFileError::NotAWorld)?;
    Ok(found.format_version)
}

impl World {
    /// The version of the files that this code writes, each of which carries it. A reader takes the
    /// same major and no newer minor. Before 2.0 the world was one file, see [`World::FORMAT`].
    pub const FILES_FORMAT: &str = "2.0";

    /// Returns whether the file is a whole world, as versions before 2.0 wrote it.
    ///
    /// # Errors
    /// When it is no file of a world.
    pub fn is_whole(head: &[u8]) -> Result<bool, WorldFileError> {
        Ok(readable(&format_of(head)?, Self::FORMAT))
    }

    /// Returns the time in the world's own file, without reading its clusters.
    ///
    /// # Errors
    /// See [`WorldFileError`].
    pub fn time_of(head: &[u8]) -> Result<Timestamp, WorldFileError> {
        #[derive(Deserialize)]
        struct Time {
            now: Timestamp,
        }
        if Self::is_whole(head)? {
            let time: Time = serde_json::from_slice(head).map_err(WorldFileError::NotAWorld)?;
            return Ok(time.now);
        }
        Ok(parse::<Head>(head)?.now)
    }

    /// Reads the world's own file. Its clusters are added with [`World::read_cluster`].
    ///
    /// # Errors
    /// See [`WorldFileError`].
    pub fn from_head(bytes: &[u8]) -> Result<Self, WorldFileError> {
        let Head { format_version: _, seed, now, faults, violations } = parse(bytes)?;
        let mut world = Self::new(now, seed);
        (world.faults, world.violations) = (faults, violations);
        world.unsaved.head = bytes.to_vec();
        Ok(world)
    }

    /// Reads a cluster's file, and brings the cluster to the present.
    ///
    /// # Errors
    /// See [`WorldFileError`].
    pub fn read_cluster(&mut self, bytes: &[u8]) -> Result<ClusterName, WorldFileError> {
        let ReadClusterFile { _format_version: _, cluster } = parse(bytes)?;
        let name = cluster.name.clone();
        // The cluster's file was written, and the process killed before it wrote the time.
        let now = self.now.max(cluster.now);
        self.clusters.insert(name.clone(), cluster);
        self.now = now;
        Ok(name)
    }

    /// Returns the files that have to be written so that the world can be read again, in the order
    /// in which they have to be. Between two of them the process may be killed.
    pub fn unsaved(&self) -> Vec<WorldFile> {
        let mut files = Vec::new();
        for name in &self.unsaved.clusters {
            let Some(cluster) = self.clusters.get(name) else { continue };
            let file = ClusterFile { format_version: Self::FILES_FORMAT, cluster };
            let bytes = serde_json::to_vec(&file).expect("a world has only string keys");
            files.push(WorldFile::Cluster(name.clone(), bytes));
        }
        let head = Head {
            format_version: Self::FILES_FORMAT.to_owned(),
            seed: self.seed,
            now: self.now,
            faults: self.faults.clone(),
            violations: self.violations.clone(),
        };
        let head = serde_json::to_vec(&head).expect("a world has only string keys");
        if head != self.unsaved.head {
            files.push(WorldFile::Head(head));
        }
        files
    }

    /// Notes that these files were written.
    pub fn saved(&mut self, files: Vec<WorldFile>) {
        for file in files {
            match file {
                WorldFile::Cluster(name, _) => {
                    self.unsaved.clusters.remove(&name);
                }
                WorldFile::Head(bytes) => self.unsaved.head = bytes,
            }
        }
    }
}
