//! Releases that a later channel gets before any earlier one.
//!
//! Channels stand in the order of promotion. What a release brings proves itself in the first
//! channels; a version that a later channel gets first has proved itself nowhere.

use refit_model::{Cluster, Code, Finding, Fleet, Release, Severity, Subject};

use crate::few::few;

/// Returns a warning, if the release of a cluster's channel brings a newer version than the releases of
/// all earlier channels. An earlier channel that has gone on to a newer release has no part in it.
pub(crate) fn warn_of_first(fleet: &Fleet, cluster: &Cluster) -> Option<Finding> {
    let at = fleet.channels.iter().position(|channel| channel.name == cluster.channel)?;
    let own = fleet.releases.get(&cluster.release)?;
    let earlier: Vec<&Release> = fleet.channels[..at]
        .iter()
        .filter_map(|channel| fleet.releases.get(&channel.release))
        .collect();
    if earlier.is_empty() {
        return None;
    }
    let mut first = Vec::new();
    if earlier.iter().all(|release| release.kubernetes < own.kubernetes) {
        first.push(format!("Kubernetes {}", own.kubernetes));
    }
    for (addon, version) in own.addon_sets.values().flatten() {
        let known = earlier.iter().flat_map(|release| release.addon_sets.values());
        let mut versions = known.filter_map(|set| set.get(addon)).peekable();
        if versions.peek().is_some() && versions.all(|known| known < version) {
            first.push(format!("{addon} {version}"));
        }
    }
    first.dedup();
    if first.is_empty() {
        return None;
    }
    let names: Vec<&str> = first.iter().map(String::as_str).collect();
    Some(Finding {
        severity: Severity::Warning,
        code: Code::RF056,
        subject: Subject::cluster(&cluster.name),
        evidence: format!(
            "release {} of channel {} brings {}, newer than in every channel before it",
            own.name,
            cluster.channel,
            few(&names)
        ),
        hint: format!(
            "give an earlier channel the release first, and {} when it has proved itself there",
            cluster.channel
        ),
    })
}
