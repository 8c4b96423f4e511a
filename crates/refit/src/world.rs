//! The simulated fleet: its world lives in files of the state directory.
//!
//! `world.json` has what is not of one cluster, and `world/CLUSTER.json` one cluster each. A call
//! writes its cluster's file again, and no other. The process may be killed between any two writes:
//! a cluster's file is written before `world.json`, and a cluster that lags behind is brought to the
//! present when it is read. Without `world.json` the fleet begins anew, whatever else is there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use refit_model::{Fleet, Provider, Timestamp};
use refit_runtime::{Actors, Clock, Observers};
use refit_simulator::{Simulated, World, WorldFile, WorldFileError};

use crate::disk;
use crate::exit::{Exit, Failure};

/// The world's own file in the state directory.
const HEAD: &str = "world.json";
/// The directory with a file for each cluster, beside it.
const CLUSTERS: &str = "world";
/// When a world begins: a fixed time, so that a fleet that nobody has touched gives the same
/// plan everywhere.
const BEGINNING: &str = "2026-11-02T09:00:00Z";

/// The world of a fleet.
pub(crate) struct SimulatedFleet {
    world: World,
    files: WorldFiles,
}

/// Where a world is kept.
struct WorldFiles {
    head: PathBuf,
    clusters: PathBuf,
    /// Whether the files of clusters that are there belong to this world.
    are_its_own: bool,
}

impl WorldFiles {
    fn of(state: &Path) -> Self {
        let (head, clusters) = (state.join(HEAD), state.join(CLUSTERS));
        Self { head, clusters, are_its_own: false }
    }

    /// Reads the world's own file. `None` if there is none: the world begins anew.
    fn read_head(&self) -> Result<Option<Vec<u8>>, Failure> {
        if self.head.is_dir() {
            let text = format!("cannot read {}: it is a directory", self.head.display());
            return Err(Failure::new(Exit::Failed, text)
                .hint("move the directory away to let the simulated fleet begin anew"));
        }
        self.head.exists().then(|| disk::read(&self.head)).transpose()
    }

    fn unusable(&self, error: &WorldFileError) -> Failure {
        Failure::new(Exit::Failed, format!("cannot use {}", self.head.display()))
            .because(error)
            .hint("remove the file to let the simulated fleet begin anew")
    }

    fn read(&mut self) -> Result<Option<World>, Failure> {
        let Some(head) = self.read_head()? else { return Ok(None) };
        if World::is_whole(&head).map_err(|error| self.unusable(&error))? {
            return World::from_bytes(&head).map(Some).map_err(|error| self.unusable(&error));
        }
        let mut world = World::from_head(&head).map_err(|error| self.unusable(&error))?;
        self.are_its_own = true;
        for path in self.cluster_files()? {
            let unusable = |failure: Failure| {
                failure.hint("remove the file to let this simulated cluster begin anew")
            };
            let text = || format!("cannot use {}", path.display());
            let bytes = disk::read(&path).map_err(unusable)?;
            let name = world
                .read_cluster(&bytes)
                .map_err(|error| unusable(Failure::new(Exit::Failed, text()).because(&error)))?;
            if self.cluster_file(name.as_str()) != path {
                let text = format!("{}: it is the file of the cluster {name}", text());
                return Err(unusable(Failure::new(Exit::Failed, text)));
            }
        }
        // A cluster whose file was written long ago has its past to catch up with.
        world.advance_to(world.now());
        Ok(Some(world))
    }

    fn cluster_file(&self, name: &str) -> PathBuf {
        self.clusters.join(format!("{name}.json"))
    }

    fn cluster_files(&self) -> Result<BTreeSet<PathBuf>, Failure> {
        let failed = |error: &io::Error| {
            let text = format!("cannot read {}", self.clusters.display());
            Failure::new(Exit::Failed, text)
                .because(error)
                .hint("move it away to let the simulated clusters begin anew")
        };
        let entries = match fs::read_dir(&self.clusters) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(failed(&error)),
        };
        let mut files = BTreeSet::new();
        for entry in entries {
            let path = entry.map_err(|error| failed(&error))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                files.insert(path);
            }
        }
        Ok(files)
    }

    /// Makes room for the files of clusters.
    fn prepare(&self) -> io::Result<()> {
        if !self.are_its_own {
            match fs::remove_dir_all(&self.clusters) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        fs::create_dir_all(&self.clusters)?;
        refit_store::remove_unfinished(&self.clusters).map_err(disk::io_error)
    }

    fn path_of(&self, file: &WorldFile) -> PathBuf {
        match file {
            WorldFile::Cluster(name, _) => self.cluster_file(name.as_str()),
            WorldFile::Head(_) => self.head.clone(),
        }
    }
}

impl SimulatedFleet {
    /// Reads the world, or makes one as the files say that it begins. Writes nothing.
    ///
    /// # Errors
    /// When a file of it cannot be read.
    pub(crate) fn open(fleet: &Fleet, state: &Path) -> Result<Self, Failure> {
        let mut files = WorldFiles::of(state);
        let mut world = match files.read()? {
            Some(world) => world,
            None => World::new(beginning(), seed(fleet)),
        };
        world.add_fleet(fleet);
        Ok(Self { world, files })
    }

    /// What time it is there.
    pub(crate) fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// What time it is in the world that is kept in that directory. Reads no cluster.
    ///
    /// # Errors
    /// When the world's own file cannot be read.
    pub(crate) fn time(state: &Path) -> Result<Timestamp, Failure> {
        let files = WorldFiles::of(state);
        let Some(head) = files.read_head()? else { return Ok(beginning()) };
        World::time_of(&head).map_err(|error| files.unusable(&error))
    }

    /// For looking only: time stands still, and nothing is written.
    pub(crate) fn observers(self, fleet: &Fleet) -> Observers {
        let now = self.world.now();
        observers(fleet, &Arc::new(Simulated::new(self.world, move || now)))
    }

    /// For a run: time passes, and every change is saved.
    ///
    /// # Errors
    /// When there is no room for the world's files.
    pub(crate) fn live(
        self,
        fleet: &Fleet,
        clock: Arc<dyn Clock>,
    ) -> Result<(Observers, Actors, Keeper), Failure> {
        let Self { world, files } = self;
        files.prepare().map_err(|error| {
            let text = format!("cannot write {}", files.clusters.display());
            Failure::new(Exit::Failed, text).because(&error)
        })?;
        let written: Arc<Mutex<BTreeSet<PathBuf>>> = Arc::default();
        let also_written = Arc::clone(&written);
        let simulated = Simulated::new(world, move || clock.now()).saving(move |changed| {
            for file in changed {
                let (WorldFile::Cluster(_, bytes) | WorldFile::Head(bytes)) = file;
                let path = files.path_of(file);
                refit_store::replace_file_unsynced(&path, bytes).map_err(disk::io_error)?;
                also_written.lock().unwrap_or_else(PoisonError::into_inner).insert(path);
            }
            Ok(())
        });
        let simulated = Arc::new(simulated);
        let actors = fleet
            .clusters
            .keys()
            .map(|name| (name.clone(), Arc::clone(&simulated) as Arc<dyn refit_provider::Act>))
            .collect();
        Ok((observers(fleet, &simulated), actors, Keeper { simulated, written }))
    }
}

/// Saves the world when a run is over.
pub(crate) struct Keeper {
    simulated: Arc<Simulated>,
    /// The files that were written and may not be on the disk yet. A run does not wait for the disk
    /// at each step: a killed process loses nothing by that, and a simulated fleet that loses its
    /// last seconds in a power failure can begin anew.
    written: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Keeper {
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn keep(&self) -> Result<(), Failure> {
        let failed = |error: &io::Error| {
            Failure::new(Exit::Failed, "cannot save the simulated fleet").because(error)
        };
        self.simulated.save().map_err(|error| failed(&error))?;
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        refit_store::sync_files(&*written).map_err(|error| failed(&disk::io_error(error)))
    }
}

fn beginning() -> Timestamp {
    BEGINNING.parse().expect("the constant is a timestamp")
}

fn observers(fleet: &Fleet, simulated: &Arc<Simulated>) -> Observers {
    fleet
        .clusters
        .values()
        .filter(|cluster| matches!(cluster.provider, Provider::Simulated(_)))
        .map(|cluster| {
            let observer = Arc::clone(simulated) as Arc<dyn refit_provider::Observe>;
            (cluster.name.clone(), observer)
        })
        .collect()
}

/// A fleet's name decides the chances of its world.
fn seed(fleet: &Fleet) -> u64 {
    fleet.name.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
