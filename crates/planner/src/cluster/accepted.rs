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

/// Findings about what passes by itself.
const PASSING: [Code; 5] = [Code::RF050, Code::RF051, Code::RF052, Code::RF053, Code::RF057];
/// Findings about machines that are replaced.
const OF_DRAINS: [Code; 6] =
    [Code::RF012, Code::RF014, Code::RF022, Code::RF029, Code::RF038, Code::RF048];

/// Which findings a plan would have, if there were any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Those about what the files declare and what runs: the cluster is planned as a whole.
    pub(super) files: bool,
    /// Those about what keeps nodes from being drained: the plan also replaces machines.
    pub(super) drains: bool,
}

impl Known {
    /// Whether a finding that a plan does not have would be no finding of the next plan either, for all
    /// that is known. What passes by itself, such as a Job that runs, may come again.
    fn excludes(self, code: Code) -> bool {
        if PASSING.contains(&code) {
            false
        } else if OF_DRAINS.contains(&code) {
            self.drains
        } else {
            self.files
        }
    }
}

/// Returns a warning for each acceptance of a cluster's file that matches no finding. Which findings there
/// would be is not known of every plan; acceptances that have not ended may be needed by the next one.
pub(super) fn unused(
    cluster: &Cluster,
    blockers: &[Blocker],
    known: Known,
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
        .filter(|accept| !matches(&accept.value))
        .filter(|accept| known.excludes(accept.value.finding) || !accept.value.holds(now));
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
