//! Time: the system's, or one that runs faster, for simulated fleets.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use refit_model::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};

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

/// A time that begins at a given moment and runs `speed` times as fast.
#[derive(Clone, Copy, Debug)]
pub struct ScaledClock {
    start: Timestamp,
    origin: Instant,
    speed: u32,
}

impl ScaledClock {
    /// Begins now, showing `start`.
    pub fn new(start: Timestamp, speed: u32) -> Self {
        Self { start, origin: Instant::now(), speed: speed.max(1) }
    }
}

impl Clock for ScaledClock {
    fn now(&self) -> Timestamp {
        let passed = self.origin.elapsed().saturating_mul(self.speed);
        self.start.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let shown = Duration::try_from(at.duration_since(self.start)).unwrap_or_default();
        // A tick later: rounding down would wake a moment too early, over and over.
        let real = shown / self.speed + Duration::from_micros(1);
        let end = self.origin.checked_add(real);
        Box::pin(async move {
            match end {
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        })
    }
}
