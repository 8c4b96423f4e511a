//! Findings that a cluster's file accepts for a time (`[[accept]]`).

use refit_model::{Acceptance, Cluster, Code, Finding, Severity, Timestamp, Written};

use crate::checks::Blocker;

/// Returns the acceptance that a cluster's file has for a finding, whether it still counts or not.
fn written<'c>(cluster: &'c Cluster, blocker: &Blocker) -> Option<&'c Written<Acceptance>> {
    let mut all = cluster.accepts.iter().filter(|accept| {
        accept.value.covers(blocker.code, blocker.part.as_deref())
            && blocker.code.may_be_accepted(blocker.severity)
    });
    // Of several the one that lasts longest.
    let first = all.next()?;
    Some(
        all.fold(first, |best, next| if next.value.until > best.value.until { next } else { best }),
    )
}

/// Whether a finding keeps the cluster from being planned: it blocks, and is not accepted.
pub(super) fn blocks(cluster: &Cluster, blocker: &Blocker, now: Timestamp) -> bool {
    let is_accepted = || written(cluster, blocker).is_some_and(|accept| accept.value.holds(now));
    blocker.severity.blocks() && !is_accepted()
}

/// Returns the finding of a cluster as plans tell it: what is accepted is a note with the reason, and
/// where an acceptance has ended, the hint says so.
pub(super) fn told(cluster: &Cluster, blocker: Blocker, now: Timestamp) -> Finding {
    let accept = written(cluster, &blocker);
    let mut finding = blocker.about(cluster);
    let Some(Written { value, at }) = accept else { return finding };
    let Acceptance { until, reason, .. } = value;
    if value.holds(now) {
        finding.evidence =
            format!("{}; accepted until the end of {until}: {reason} ({at})", finding.evidence);
        finding.severity = Severity::Note;
        finding.hint.clear();
    } else {
        let ended = format!("it was accepted until the end of {until} ({at})");
        finding.hint = match finding.hint.as_str() {
            "" => ended,
            hint => format!("{hint}; {ended}"),
        };
    }
    finding
}

/// Returns a warning for each acceptance of a cluster's file that matches no finding. Which findings there
/// would be is only known of a cluster that is planned as a whole (`complete`); of others, acceptances
/// that have not ended may be needed by the next plan.
pub(super) fn unused(
    cluster: &Cluster,
    blockers: &[Blocker],
    complete: bool,
    now: Timestamp,
) -> Vec<Blocker> {
    let matches = |accept: &Acceptance| {
        blockers.iter().any(|blocker| {
            accept.covers(blocker.code, blocker.part.as_deref())
                && blocker.code.may_be_accepted(blocker.severity)
        })
    };
    let unused = cluster
        .accepts
        .iter()
        .filter(|accept| !matches(&accept.value) && (complete || !accept.value.holds(now)));
    let warning = |accept: &Written<Acceptance>| {
        let Written { value: Acceptance { finding, subject, until, reason: _ }, at } = accept;
        Blocker::new(
            Code::RF059,
            format!("accepts {finding} of {subject} until the end of {until} ({at}), and there is no such finding"),
            format!("remove this `[[accept]]` from {}, or correct its `finding` and `subject`", at.file),
        )
        .weighing(Severity::Warning)
    };
    unused.map(warning).collect()
}
