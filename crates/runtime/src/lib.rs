//! The tokio driver: it carries out what the engine asks for, and reports back.
//!
//! There is no policy here. Retries, orders, bounds and stops are the engine's; the driver
//! journals, looks, sends, waits and passes events on. A call that does not answer in time is
//! one whose result is unknown.

mod clock;
mod drive;
mod observe;
mod permissions;

pub use clock::{Clock, SimulatedClock, SystemClock};
pub use drive::{Drive, DriveError, Report};
pub use observe::observe;
pub use permissions::missing_permissions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use refit_model::{ClusterName, RunEvent};
use refit_provider::{Act, Observe};

/// How long a single look or call may take. An API that does not answer within a minute is
/// not going to; the engine looks again.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// Who reads which cluster.
pub type Observers = BTreeMap<ClusterName, Arc<dyn Observe>>;
/// Who changes which cluster.
pub type Actors = BTreeMap<ClusterName, Arc<dyn Act>>;

/// Somebody who is told what happens in a run.
pub trait Reporter {
    /// Takes in an event.
    fn event(&mut self, event: &RunEvent);
}
