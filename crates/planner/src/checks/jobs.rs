//! Checks of pods that lose work when they are evicted: those that run to completion, and those that
//! ask not to be evicted.

use std::collections::BTreeMap;

use refit_model::{Code, DoNotEvict, NodeName, Period, PodOwner, PodState, Severity, WorkloadRef};

use super::Blocker;

/// What happens to the pods of one workload.
#[derive(Default)]
struct Evicted {
    /// How many run to completion and are evicted at once.
    at_once: usize,
    /// How many run to completion and are waited for.
    waited_for: usize,
    /// How long drains wait for them, the shortest and the longest.
    waits: Option<(Period, Period)>,
    /// How many ask not to be evicted.
    asking: usize,
    /// By which annotation the first of them asks.
    asks_by: Option<DoNotEvict>,
}

/// Returns a finding for each workload with pods on replaced nodes that run to completion or ask not to
/// be evicted.
///
/// `waits` says how long the drains of nodes wait for pods that run to completion, if they do.
pub(super) fn evicted(leaving: &[&PodState], waits: &BTreeMap<&NodeName, Period>) -> Vec<Blocker> {
    let mut by_owner: BTreeMap<String, Evicted> = BTreeMap::new();
    for pod in leaving.iter().filter(|pod| !pod.terminating) {
        if !pod.runs_to_completion() && pod.do_not_evict.is_none() {
            continue;
        }
        let part = match &pod.owner {
            PodOwner::Workload(owner) => part(owner),
            PodOwner::DaemonSet(_) | PodOwner::Mirror | PodOwner::Nobody => {
                format!("{}/{}", pod.namespace, pod.name)
            }
        };
        let found = by_owner.entry(part).or_default();
        if pod.runs_to_completion() {
            match pod.node.as_ref().and_then(|node| waits.get(node)) {
                None => found.at_once += 1,
                Some(&wait) => {
                    found.waited_for += 1;
                    let (least, most) = found.waits.unwrap_or((wait, wait));
                    found.waits = Some((least.min(wait), most.max(wait)));
                }
            }
        }
        if let Some(by) = pod.do_not_evict {
            found.asking += 1;
            found.asks_by.get_or_insert(by);
        }
    }
    by_owner.into_iter().map(|(part, found)| found.blocker().of(part)).collect()
}

/// Returns what a finding about the pods of a workload is about. A CronJob names each of its Jobs after
/// itself and the minute that it was scheduled for, in minutes since 1970: all of them are one, so that a
/// finding about them can be accepted.
fn part(owner: &WorkloadRef) -> String {
    const MINUTES_DIGITS: usize = 8;
    let scheduled = |minute: &str| {
        minute.len() == MINUTES_DIGITS && minute.bytes().all(|byte| byte.is_ascii_digit())
    };
    match owner.name.rsplit_once('-') {
        Some((cron_job, minute)) if owner.kind == "Job" && scheduled(minute) => {
            WorkloadRef::new(&owner.kind, &owner.namespace, &format!("{cron_job}-*")).to_string()
        }
        Some(_) | None => owner.to_string(),
    }
}

impl Evicted {
    fn blocker(&self) -> Blocker {
        let evidence: Vec<String> = [self.of_evicted(), self.of_waited_for(), self.of_asking()]
            .into_iter()
            .flatten()
            .collect();
        let hint = match (self.at_once, self.waited_for) {
            (0, 0) => "move the work beforehand, or accept the finding for a time",
            (0, _) => "raise `wait-complete` if that is too short",
            (_, _) => {
                "apply when the work is done, or let drains wait for it: `wait-complete` in `[drain]` of the cluster, or in `drain` of the pool"
            }
        };
        let severity = if self.at_once > 0 || self.waited_for == 0 {
            Severity::Warning
        } else {
            Severity::Note
        };
        Blocker::new(Code::RF057, evidence.join("; "), hint).weighing(severity)
    }

    fn of_evicted(&self) -> Option<String> {
        match self.at_once {
            0 => None,
            1 => Some("a pod that would run to completion is evicted, and what it has done is lost unless it is saved".to_owned()),
            n => Some(format!("{n} pods that would run to completion are evicted, and what they have done is lost unless it is saved")),
        }
    }

    fn of_waited_for(&self) -> Option<String> {
        let (least, most) = self.waits?;
        let time = if least == most { most.to_string() } else { format!("{least} to {most}") };
        Some(match self.waited_for {
            1 => format!("a drain waits up to {time} for a pod to complete, and evicts it then"),
            n => format!("drains wait up to {time} for {n} pods to complete, and evict them then"),
        })
    }

    fn of_asking(&self) -> Option<String> {
        let annotation = self.asks_by?.annotation();
        Some(match self.asking {
            1 => format!(
                "a pod asks by `{annotation}` not to be evicted, and is evicted all the same"
            ),
            n => format!(
                "{n} pods ask by `{annotation}` not to be evicted, and are evicted all the same"
            ),
        })
    }
}
