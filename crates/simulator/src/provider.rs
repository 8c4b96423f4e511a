//! The world behind the provider traits.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use refit_model::{
    Action, Addon, AddonName, Cluster, ClusterName, ClusterState, Op, Timestamp, Token,
};
use refit_provider::{Act, Answer, ErrorClass, Look, Observe, ProviderError};

use crate::files::WorldFile;
use crate::world::World;

type Clock = dyn Fn() -> Timestamp + Send + Sync;
type Save = dyn Fn(&[WorldFile]) -> io::Result<()> + Send + Sync;

/// A [`World`] behind [`Observe`] and [`Act`], with a clock, and a hook that keeps the world.
#[derive(Clone)]
pub struct Simulated {
    world: Arc<Mutex<World>>,
    clock: Arc<Clock>,
    save: Option<Arc<Save>>,
    /// The time at which the world was kept last.
    kept_at: Arc<Mutex<Option<Timestamp>>>,
}

impl Simulated {
    /// A world that lives by this clock.
    pub fn new(world: World, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            world: Arc::new(Mutex::new(world)),
            clock: Arc::new(clock),
            save: None,
            kept_at: Arc::default(),
        }
    }

    /// Writes what has changed after every operation, and before a look shows what has become of a
    /// cluster with time: what a run has seen, and acts upon, must not be undone when the process is
    /// killed. The hook gets the files that are to be written, in order, and none if nothing changed.
    #[must_use]
    pub fn saving(
        mut self,
        save: impl Fn(&[WorldFile]) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.save = Some(Arc::new(save));
        self
    }

    /// Does something with the world itself, at the clock's time.
    pub fn with_world<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        f(&mut self.at_now())
    }

    /// Writes what has changed.
    ///
    /// # Errors
    /// When the hook cannot.
    pub fn save(&self) -> io::Result<()> {
        self.write(&mut self.at_now())
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        // A panic in between is a defect; the world itself is consistent between two events.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at_now(&self) -> MutexGuard<'_, World> {
        let mut world = self.lock();
        world.advance_to((self.clock)());
        world
    }

    /// The world, in which that cluster is brought to the present.
    fn with_cluster_at_now(&self, cluster: &ClusterName) -> MutexGuard<'_, World> {
        let mut world = self.lock();
        world.advance_one_to(cluster, (self.clock)());
        world
    }

    fn submit_now(
        &self,
        cluster: &Cluster,
        addons: &BTreeMap<AddonName, Addon>,
        op: &Op,
        token: &Token,
    ) -> Result<(), ProviderError> {
        let mut world = self.with_cluster_at_now(&cluster.name);
        let answer = world.submit(cluster, addons, op, token);
        self.keep(&mut world)?;
        answer
    }

    fn look_now(&self, look: Look<'_>) -> Result<ClusterState, ProviderError> {
        let mut world = self.with_cluster_at_now(&look.cluster.name);
        let kept_at = *self.kept_at.lock().unwrap_or_else(PoisonError::into_inner);
        if kept_at != Some(world.now()) {
            self.keep(&mut world)?;
        }
        world.look(look)
    }

    fn keep(&self, world: &mut World) -> Result<(), ProviderError> {
        self.write(world).map_err(|error| {
            let text = format!("the simulated world cannot be saved: {error}");
            ProviderError::new(ErrorClass::Permanent, text)
        })
    }

    fn write(&self, world: &mut World) -> io::Result<()> {
        let Some(save) = &self.save else { return Ok(()) };
        let files = world.unsaved();
        if !files.is_empty() {
            save(&files)?;
            world.saved(files);
        }
        *self.kept_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(world.now());
        Ok(())
    }
}

impl Observe for Simulated {
    fn look<'a>(&'a self, look: Look<'a>) -> Answer<'a, ClusterState> {
        Box::pin(async move { self.look_now(look) })
    }
}

impl Act for Simulated {
    fn submit<'a>(
        &'a self,
        cluster: &'a Cluster,
        addons: &'a BTreeMap<AddonName, Addon>,
        op: &'a Op,
        token: &'a Token,
    ) -> Answer<'a, ()> {
        Box::pin(async move { self.submit_now(cluster, addons, op, token) })
    }

    /// Everybody may do everything here.
    fn missing<'a>(
        &'a self,
        _addons: &'a BTreeMap<AddonName, Addon>,
        _actions: &'a [&'a Action],
    ) -> Answer<'a, Vec<String>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
