//! Releases that were changed in place.
//!
//! A release is immutable: its name stands for what was tried out in earlier channels. When its file
//! changes after it was applied, the same name stands for two things, in different clusters.

use refit_model::{Cluster, Code, Finding, Fleet, RecordedRelease, Severity, Subject};

use crate::Options;

/// Returns a warning, if the release of a cluster's channel contains something else than it did when it
/// was first applied.
pub(crate) fn warn_of_changed(
    fleet: &Fleet,
    cluster: &Cluster,
    options: &Options,
) -> Option<Finding> {
    let release = fleet.releases.get(&cluster.release)?;
    let RecordedRelease { digest, at } = options.recorded_releases.get(&release.name)?;
    if *digest == release.content_digest() {
        return None;
    }
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
