//! Checks of pods that lose work when they are evicted: those that run to completion, and those that
//! ask not to be evicted.

use std::collections::BTreeMap;

use refit_model::{
    Cluster, ClusterState, Code, DoNotEvict, NodeState, Period, PodOwner, PodState, Severity,
};

use super::Blocker;

/// What happens to the pods of one workload.
#[derive(Default)]
struct Evicted {
    /// How many run to completion.
    completing: usize,
    /// How long their drains wait for them, from the shortest to the longest.
    waits: Option<(Period, Period)>,
    /// How many ask not to be evicted.
    asking: usize,
    /// By which annotation the first of them asks.
    asks_by: Option<DoNotEvict>,
}

/// Returns a finding for each workload with pods on replaced nodes that run to completion or ask not to
/// be evicted.
pub(super) fn evicted(
    cluster: &Cluster,
    state: &ClusterState,
    leaving: &[&PodState],
) -> Vec<Blocker> {
    let mut by_owner: BTreeMap<String, Evicted> = BTreeMap::new();
    for pod in leaving.iter().filter(|pod| !pod.terminating) {
        if !pod.runs_to_completion() && pod.do_not_evict.is_none() {
            continue;
        }
        let part = match &pod.owner {
            PodOwner::Workload(owner) => owner.to_string(),
            PodOwner::DaemonSet(_) | PodOwner::Mirror | PodOwner::Nobody => {
                format!("{}/{}", pod.namespace, pod.name)
            }
        };
        let found = by_owner.entry(part).or_default();
        if pod.runs_to_completion() {
            found.completing += 1;
            let node = pod.node.as_ref().and_then(|name| state.nodes.get(name));
            let wait = node.map_or(Period::ZERO, |node| wait_complete(cluster, state, node));
            let (least, most) = found.waits.unwrap_or((wait, wait));
            found.waits = Some((least.min(wait), most.max(wait)));
        }
        if let Some(by) = pod.do_not_evict {
            found.asking += 1;
            found.asks_by.get_or_insert(by);
        }
    }
    by_owner.into_iter().map(|(part, found)| found.blocker().of(part)).collect()
}

/// Returns how long the drain of a node waits for pods that run to completion.
fn wait_complete(cluster: &Cluster, state: &ClusterState, node: &NodeState) -> Period {
    if node.control_plane {
        return cluster.control_plane.wait_complete;
    }
    let Some(instance) = &node.instance else { return Period::ZERO };
    let groups = state.groups.iter();
    let holds = groups
        .filter(|(_, group)| group.instances.iter().any(|found| found.id == *instance))
        .map(|(name, _)| name);
    let pools =
        holds.filter_map(|name| cluster.pools.iter().find(|pool| pool.groups.contains(name)));
    pools.map(|pool| pool.wait_complete).next().unwrap_or(Period::ZERO)
}

impl Evicted {
    fn blocker(&self) -> Blocker {
        let Self { completing, waits, asking, asks_by } = self;
        let annotation = asks_by.map(DoNotEvict::annotation);
        let asked = |annotation: &str| match asking {
            1 => format!("a pod asks by `{annotation}` not to be evicted"),
            n => format!("{n} pods ask by `{annotation}` not to be evicted"),
        };
        let (evidence, hint, severity) = match (completing, waits, annotation) {
            (0, _, Some(annotation)) => (
                format!("{}, and the drain evicts it all the same", asked(annotation)),
                "move the work beforehand, or accept the finding for a time",
                Severity::Warning,
            ),
            (completing, Some((Period::ZERO, _)) | None, annotation) => {
                let (pods, are) = if *completing == 1 { ("a pod", "is") } else { ("pods", "are") };
                let count = if *completing == 1 { String::new() } else { format!("{completing} ") };
                let too = annotation
                    .map_or(String::new(), |annotation| format!("; {}", asked(annotation)));
                (
                    format!(
                        "{count}{pods} that would run to completion {are} evicted, and what {} done is lost unless it is saved{too}",
                        if *completing == 1 { "it has" } else { "they have" }
                    ),
                    "apply when the work is done, or let drains wait for it: `wait-complete` in `[drain]` of the cluster, or in `drain` of the pool",
                    Severity::Warning,
                )
            }
            (completing, Some((least, most)), annotation) => {
                let time =
                    if least == most { most.to_string() } else { format!("{least} to {most}") };
                let (pods, complete) =
                    if *completing == 1 { ("a pod", "it") } else { ("pods", "they") };
                let count = if *completing == 1 { String::new() } else { format!("{completing} ") };
                let too = annotation
                    .map_or(String::new(), |annotation| format!("; {}", asked(annotation)));
                (
                    format!(
                        "drains wait up to {time} for {count}{pods} to complete, and evict {} then{too}",
                        if complete == "it" { "it" } else { "them" }
                    ),
                    "raise `wait-complete` if that is too short",
                    Severity::Note,
                )
            }
        };
        Blocker::new(Code::RF057, evidence, hint).weighing(severity)
    }
}
