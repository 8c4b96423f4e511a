//! Releases that were changed in place.
//!
//! A release is immutable: its name stands for what was tried out in earlier channels. When its file
//! changes after it was applied, the same name stands for two things, in different clusters.

use std::collections::BTreeMap;

use refit_model::{
    Cluster, Code, Finding, Fleet, Release, ReleaseName, Severity, Subject, Timestamp,
};

use crate::Options;

/// The releases that contain something else than when they were first applied, and when that was.
pub(crate) type Changed<'f> = BTreeMap<&'f ReleaseName, (&'f Release, Timestamp)>;

/// Returns the releases of a fleet that have changed since they were first applied.
pub(crate) fn changed<'f>(fleet: &'f Fleet, options: &Options) -> Changed<'f> {
    let changed = fleet.releases.iter().filter_map(|(name, release)| {
        let recorded = options.recorded_releases.get(name)?;
        (recorded.digest != release.content_digest()).then_some((name, (release, recorded.at)))
    });
    changed.collect()
}

/// Returns a warning, if the release of a cluster's channel is one of them.
pub(crate) fn warn_of_changed(changed: &Changed<'_>, cluster: &Cluster) -> Option<Finding> {
    let (release, at) = changed.get(&cluster.release)?;
    Some(Finding {
        severity: Severity::Warning,
        code: Code::RF058,
        subject: Subject::cluster(&cluster.name),
        evidence: format!(
            "release {} ({}) has changed since it was first applied, at {at}",
            release.name, release.at
        ),
        hint: format!(
            "restore {}, write the new versions into a release with another name, and set `release` of \
             channel {} to that",
            release.at.file, cluster.channel
        ),
    })
}
