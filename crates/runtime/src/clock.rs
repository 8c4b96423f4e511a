//! Time: the system's, or that of a simulated fleet, which runs faster.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use refit_model::Timestamp;
use tokio::time::sleep;

/// Tells the time, and waits for it.
pub trait Clock: Send + Sync {
    /// What time it is.
    fn now(&self) -> Timestamp;
    /// Ends at that time.
    fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The system's time.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let left = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
        Box::pin(sleep(left))
    }
}

/// The time of a simulated fleet. It passes only while a run waits, so that how fast the machine
/// is, and what else it does, changes nothing but how long the run takes.
#[derive(Clone, Debug)]
pub struct SimulatedClock {
    now: Arc<Mutex<Timestamp>>,
    speed: u32,
}

impl SimulatedClock {
    /// Shows `start`; a wait takes a `speed`th of real time.
    pub fn new(start: Timestamp, speed: u32) -> Self {
        Self { now: Arc::new(Mutex::new(start)), speed: speed.max(1) }
    }

    /// Lets time pass at once: what is on its way arrives.
    pub fn pass(&self, time: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.checked_add(time).unwrap_or(*now);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let clock = self.clone();
        Box::pin(async move {
            let left = Duration::try_from(at.duration_since(clock.now())).unwrap_or_default();
            sleep(left / clock.speed).await;
            let mut now = clock.now.lock().unwrap_or_else(PoisonError::into_inner);
            *now = at.max(*now);
        })
    }
}
