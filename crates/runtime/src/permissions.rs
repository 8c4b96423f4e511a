//! Asking, before anything is written, whether everything may be.

use std::collections::BTreeMap;

use futures::StreamExt;
use refit_model::{Action, ClusterName, Fleet, Plan};

use crate::{Actors, CALL_TIMEOUT};

/// What a plan takes and is not permitted, by cluster, of `at_once` clusters at a time. A cluster
/// that cannot be asked is left out: it cannot be written to either.
pub async fn missing_permissions(
    fleet: &Fleet,
    plan: &Plan,
    actors: &Actors,
    at_once: usize,
) -> BTreeMap<ClusterName, Vec<String>> {
    let mut actions: BTreeMap<&ClusterName, Vec<&Action>> = BTreeMap::new();
    for action in &plan.actions {
        if let Some(cluster) = &action.cluster {
            actions.entry(cluster).or_default().push(action);
        }
    }
    let questions = actions.iter().filter_map(|(name, actions)| {
        let actor = actors.get(*name)?;
        Some(async move {
            let asked = actor.missing(&fleet.addons, actions);
            let missing = tokio::time::timeout(CALL_TIMEOUT, asked).await.ok()?.ok()?;
            Some(((*name).clone(), missing))
        })
    });
    futures::stream::iter(questions)
        .buffer_unordered(at_once.max(1))
        .filter_map(|answer| async { answer.filter(|(_, missing)| !missing.is_empty()) })
        .collect()
        .await
}
