//! Looking at a whole fleet: bounded, concurrent, and no cluster waits for another.

use futures::StreamExt;
use refit_model::{Fleet, Observation, Snapshot, Timestamp};
use refit_provider::{Look, Scope};

use crate::{CALL_TIMEOUT, Observers};

/// Takes a snapshot: every cluster of the fleet, `at_once` of them at a time.
pub async fn observe(
    fleet: &Fleet,
    observers: &Observers,
    taken_at: Timestamp,
    at_once: usize,
) -> Snapshot {
    let looks = fleet.clusters.values().map(|cluster| async move {
        let Some(observer) = observers.get(&cluster.name) else {
            let reason = "no provider reads it".to_owned();
            return (cluster.name.clone(), Observation::Unreachable { reason });
        };
        let look = Look { cluster, addons: &fleet.addons, scope: &Scope::Everything };
        let seen = match tokio::time::timeout(CALL_TIMEOUT, observer.look(look)).await {
            Ok(Ok(state)) => Observation::Fresh(Box::new(state)),
            Ok(Err(error)) => Observation::Unreachable { reason: error.to_string() },
            Err(_) => Observation::Unreachable {
                reason: format!("no answer within {} s", CALL_TIMEOUT.as_secs()),
            },
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
