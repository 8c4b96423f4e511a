//! The simulated fleet: its world lives in a file of the state directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use refit_model::{Fleet, Provider, Timestamp};
use refit_runtime::{Actors, Clock, Observers};
use refit_simulator::{Simulated, World};

use crate::disk;
use crate::exit::{Exit, Failure};

/// The world's file in the state directory.
const FILE: &str = "world.json";
/// When a world begins: a fixed time, so that a fleet that nobody has touched gives the same
/// plan everywhere.
const BEGINNING: &str = "2026-11-02T09:00:00Z";

/// The world of a fleet.
pub(crate) struct SimulatedFleet {
    world: World,
    file: PathBuf,
}

impl SimulatedFleet {
    /// Reads the world, or makes one as the files say that it begins. Writes nothing.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn open(fleet: &Fleet, state: &Path) -> Result<Self, Failure> {
        let file = state.join(FILE);
        if file.is_dir() {
            let text = format!("cannot read {}: it is a directory", file.display());
            return Err(Failure::new(Exit::Failed, text)
                .hint("move the directory away to let the simulated fleet begin anew"));
        }
        let mut world = if file.exists() {
            World::from_bytes(&disk::read(&file)?).map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot use {}", file.display()))
                    .because(&error)
                    .hint("remove the file to let the simulated fleet begin anew")
            })?
        } else {
            let beginning = BEGINNING.parse().expect("the constant is a timestamp");
            World::new(beginning, seed(fleet))
        };
        world.add_fleet(fleet);
        Ok(Self { world, file })
    }

    /// What time it is there.
    pub(crate) fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// For looking only: time stands still, and nothing is written.
    pub(crate) fn observers(self, fleet: &Fleet) -> Observers {
        let now = self.world.now();
        observers(fleet, &Arc::new(Simulated::new(self.world, move || now)))
    }

    /// For a run: time passes, and the world is saved with every change.
    pub(crate) fn live(self, fleet: &Fleet, clock: Arc<dyn Clock>) -> (Observers, Actors, Keeper) {
        let Self { world, file } = self;
        let simulated = Simulated::new(world, move || clock.now())
            .saving(move |world| disk::write(&file, &world.to_bytes()));
        let simulated = Arc::new(simulated);
        let actors = fleet
            .clusters
            .keys()
            .map(|name| (name.clone(), Arc::clone(&simulated) as Arc<dyn refit_provider::Act>))
            .collect();
        (observers(fleet, &simulated), actors, Keeper(simulated))
    }
}

/// Saves the world when a run is over.
pub(crate) struct Keeper(Arc<Simulated>);

impl Keeper {
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn keep(&self) -> Result<(), Failure> {
        self.0.save().map_err(|error| {
            Failure::new(Exit::Failed, "cannot save the simulated fleet").because(&error)
        })
    }
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
