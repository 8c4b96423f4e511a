//! Releases that a later channel gets before any earlier one.
//!
//! Channels stand in the order of promotion. What a release brings proves itself in the first
//! channels; a version that a later channel gets first has proved itself nowhere.

use std::collections::BTreeMap;

use refit_model::{ChannelName, Cluster, Code, Finding, Fleet, Release, Severity, Subject};

use crate::few::few;

/// The channels whose release brings newer versions than the releases of all earlier channels, with
/// the names of what is newer. An earlier channel that has gone on to a newer release has no part in it.
pub(crate) type First<'f> = BTreeMap<&'f ChannelName, Vec<String>>;

/// Returns the channels of a fleet that get a version before all earlier ones.
pub(crate) fn first(fleet: &Fleet) -> First<'_> {
    let mut earlier: Vec<&Release> = Vec::new();
    let mut first = First::new();
    for channel in &fleet.channels {
        let Some(own) = fleet.releases.get(&channel.release) else { continue };
        let newer = newer(own, &earlier);
        if !newer.is_empty() {
            first.insert(&channel.name, newer);
        }
        earlier.push(own);
    }
    first
}

/// Returns what a release has newer than all of the earlier ones.
fn newer(own: &Release, earlier: &[&Release]) -> Vec<String> {
    let mut first = Vec::new();
    if earlier.is_empty() {
        return first;
    }
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
    first
}

/// Returns a warning, if the channel of a cluster is one of them.
pub(crate) fn warn_of_first(first: &First<'_>, cluster: &Cluster) -> Option<Finding> {
    let newer = first.get(&cluster.channel)?;
    Some(Finding {
        severity: Severity::Warning,
        code: Code::RF056,
        subject: Subject::cluster(&cluster.name),
        evidence: format!(
            "release {} of channel {} brings {}, newer than in every channel before it",
            cluster.release,
            cluster.channel,
            few(newer)
        ),
        hint: format!(
            "give an earlier channel the release first, and {} when it has proved itself there",
            cluster.channel
        ),
    })
}
