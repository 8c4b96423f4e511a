//! The world behind the provider traits.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use refit_model::{Action, Addon, AddonName, Cluster, ClusterState, Op, Timestamp, Token};
use refit_provider::{Act, Answer, ErrorClass, Look, Observe, ProviderError};

use crate::world::World;

type Clock = dyn Fn() -> Timestamp + Send + Sync;
type Save = dyn Fn(&World) -> io::Result<()> + Send + Sync;

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

    /// Keeps the world after every operation, and before a look shows what has become of it with
    /// time: what a run has seen, and acts upon, must not be undone when the process is killed.
    #[must_use]
    pub fn saving(
        mut self,
        save: impl Fn(&World) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.save = Some(Arc::new(save));
        self
    }

    /// Does something with the world itself, at the clock's time.
    pub fn with_world<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        f(&mut self.at_now())
    }

    /// Keeps the world.
    ///
    /// # Errors
    /// When the hook cannot.
    pub fn save(&self) -> io::Result<()> {
        let world = self.at_now();
        self.save.as_ref().map_or(Ok(()), |save| save(&world))
    }

    fn at_now(&self) -> MutexGuard<'_, World> {
        // A panic in between is a defect; the world itself is consistent between two events.
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance_to((self.clock)());
        world
    }

    fn change(
        &self,
        f: impl FnOnce(&mut World) -> Result<(), ProviderError>,
    ) -> Result<(), ProviderError> {
        let mut world = self.at_now();
        let answer = f(&mut world);
        self.keep(&world)?;
        answer
    }

    fn look_now(&self, look: Look<'_>) -> Result<ClusterState, ProviderError> {
        let mut world = self.at_now();
        let kept_at = *self.kept_at.lock().unwrap_or_else(PoisonError::into_inner);
        if kept_at != Some(world.now()) {
            self.keep(&world)?;
        }
        world.look(look)
    }

    fn keep(&self, world: &World) -> Result<(), ProviderError> {
        let Some(save) = &self.save else { return Ok(()) };
        save(world).map_err(|error| {
            let text = format!("the simulated world cannot be saved: {error}");
            ProviderError::new(ErrorClass::Permanent, text)
        })?;
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
        Box::pin(async move { self.change(|world| world.submit(cluster, addons, op, token)) })
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
