//! Looking at a whole fleet: bounded, concurrent, and no cluster waits for another.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use refit_model::{ClusterName, ClusterState, Fleet, Observation, Period, Snapshot, Timestamp};
use refit_provider::{ErrorClass, Look, Observe, ProviderError, Scope};

use crate::{CALL_TIMEOUT, Observers};

/// How long to wait before each further look at a cluster that could not be read for a reason
/// that passes. A cluster that stays unreachable costs a plan some seconds and no more.
const AGAIN_AFTER: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3)];
/// However long an API asks to wait.
const LONGEST: Duration = Duration::from_secs(10);

/// Takes a snapshot of these clusters of the fleet, `at_once` of them at a time.
pub async fn observe(
    fleet: &Fleet,
    names: &BTreeSet<ClusterName>,
    observers: &Observers,
    taken_at: Timestamp,
    at_once: usize,
) -> Snapshot {
    let wanted = fleet.clusters.values().filter(|cluster| names.contains(&cluster.name));
    let looks = wanted.map(|cluster| async move {
        let Some(observer) = observers.get(&cluster.name) else {
            let reason = "no provider reads it".to_owned();
            return (cluster.name.clone(), Observation::Unreachable { reason });
        };
        let look = Look { cluster, addons: &fleet.addons, scope: &Scope::Everything };
        let seen = match look_patiently(observer.as_ref(), look).await {
            Ok(state) => Observation::Fresh(Box::new(state)),
            Err(error) => Observation::Unreachable { reason: error.to_string() },
        };
        (cluster.name.clone(), seen)
    });
    let clusters = futures::stream::iter(looks).buffer_unordered(at_once.max(1)).collect().await;
    Snapshot {
        format_version: Snapshot::FORMAT.to_owned(),
        fleet: fleet.name.clone(),
        taken_at,
        clusters,
    }
}

/// A look, and again when what failed passes by itself.
async fn look_patiently(
    observer: &dyn Observe,
    look: Look<'_>,
) -> Result<ClusterState, ProviderError> {
    for after in AGAIN_AFTER {
        match look_once(observer, look).await {
            Err(error) if matches!(error.class, ErrorClass::Transient | ErrorClass::Throttled) => {
                let asked = error.retry_after.map(Period::as_duration);
                tokio::time::sleep(asked.unwrap_or(after).min(LONGEST)).await;
            }
            answer => return answer,
        }
    }
    look_once(observer, look).await
}

async fn look_once(observer: &dyn Observe, look: Look<'_>) -> Result<ClusterState, ProviderError> {
    if let Ok(answer) = tokio::time::timeout(CALL_TIMEOUT, observer.look(look)).await {
        return answer;
    }
    let text = format!("no answer within {} s", CALL_TIMEOUT.as_secs());
    Err(ProviderError::new(ErrorClass::Permanent, text))
}
