//! Planning: what is declared and what was seen become the whole way between them.
//!
//! [`plan()`] is pure and deterministic. Per cluster it fixes the hops of the control plane
//! (`hops`), lets pools be rolled as late as the skew policy allows (`timeline`), moves
//! add-ons where their ranges ask for it (`addons`), and ties the actions together (`graph`),
//! a reason on every edge. Waves tie clusters together. What stands in the way is a finding,
//! and blocks its own cluster only.
//!
//! The planner does not check itself: `refit-verifier` does, and shares nothing with it but
//! the vocabulary.

mod addons;
mod checks;
mod cluster;
mod graph;
mod hops;
mod images;
mod knowledge;
mod storage;
mod support;
mod timeline;
mod waves;

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    ClusterName, ClusterPlan, ClusterStatus, Code, Finding, Fleet, Observation, Plan, PoolName,
    Severity, Snapshot, Subject, Timestamp, digest_of,
};

use crate::cluster::Planned;

/// What a command asks of a plan beside the files.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Pools whose nodes are all replaced, whatever they run (`--replace CLUSTER/POOL`).
    pub replace: BTreeSet<(ClusterName, PoolName)>,
    /// Whether newer images of the same version are a change everywhere (`--refresh-images`).
    pub refresh_images: bool,
    /// The time that what ends is held against (`--now`); none: when the snapshot was taken.
    pub now: Option<Timestamp>,
    /// The version of refit, for the plan to carry.
    pub made_with: String,
}

/// Works out the plan. Never fails: what cannot be planned is a finding, and blocks its own
/// cluster.
pub fn plan(fleet: &Fleet, snapshot: &Snapshot, options: &Options) -> Plan {
    let twins = twins(snapshot);
    let now = options.now.unwrap_or(snapshot.taken_at);
    let planned: BTreeMap<ClusterName, Planned> = fleet
        .clusters
        .iter()
        .map(|(name, cluster)| {
            let planned = match snapshot.clusters.get(name) {
                Some(Observation::Fresh(state)) => match twins.get(name) {
                    Some(twin) => Planned::blocked(state, same_cluster(name, twin)),
                    None => cluster::plan(fleet, cluster, state, options, now),
                },
                Some(Observation::Unreachable { reason }) => {
                    Planned::unseen(unreachable(name, reason))
                }
                None => Planned::unseen(missing(name)),
            };
            (name.clone(), planned)
        })
        .collect();

    let tied = waves::tie(fleet, planned);
    let mut findings: Vec<Finding> = Vec::new();
    let mut clusters = Vec::new();
    let mut graph = tied.graph;
    for (name, planned) in tied.clusters {
        let Some(cluster) = fleet.clusters.get(&name) else { continue };
        let blocked = planned.is_blocked();
        clusters.push(ClusterPlan {
            name,
            channel: cluster.channel.clone(),
            release: cluster.release.clone(),
            identity: planned.identity,
            status: if blocked {
                ClusterStatus::Blocked
            } else if planned.actions.is_empty() {
                ClusterStatus::UpToDate
            } else {
                ClusterStatus::Planned
            },
            from: planned.from,
            to: cluster.kubernetes.value.clone(),
        });
        findings.extend(planned.findings);
        graph.extend(planned.actions, planned.edges);
    }
    findings.sort();
    findings.dedup();
    let critical_path = graph.critical_path();
    let (actions, edges) = graph.into_parts();
    Plan {
        fleet: fleet.name.clone(),
        made_with: options.made_with.clone(),
        taken_at: snapshot.taken_at,
        config_digest: fleet.digest.clone(),
        snapshot_digest: digest_of(snapshot),
        clusters,
        waves: tied.waves,
        actions,
        edges,
        findings,
        critical_path,
    }
}

/// Clusters of the snapshot that have the UID of another one, with that one's name.
fn twins(snapshot: &Snapshot) -> BTreeMap<ClusterName, ClusterName> {
    let mut by_uid: BTreeMap<&str, Vec<&ClusterName>> = BTreeMap::new();
    for (name, observation) in &snapshot.clusters {
        if let Observation::Fresh(state) = observation {
            by_uid.entry(&state.identity.uid).or_default().push(name);
        }
    }
    let mut twins = BTreeMap::new();
    for names in by_uid.values().filter(|names| names.len() > 1) {
        for name in names {
            if let Some(other) = names.iter().find(|other| other != &name) {
                twins.insert((*name).clone(), (*other).clone());
            }
        }
    }
    twins
}

fn same_cluster(name: &ClusterName, twin: &ClusterName) -> Finding {
    Finding {
        severity: Severity::Blocked,
        code: Code::RF003,
        subject: Subject::cluster(name),
        evidence: format!("is the same cluster as {twin}: both have one UID of kube-system"),
        hint: "let each cluster file reach a cluster of its own".into(),
    }
}

fn unreachable(name: &ClusterName, reason: &str) -> Finding {
    Finding {
        severity: Severity::Unknown,
        code: Code::RF001,
        subject: Subject::cluster(name),
        evidence: format!("could not be read: {reason}"),
        hint: String::new(),
    }
}

fn missing(name: &ClusterName) -> Finding {
    Finding {
        severity: Severity::Unknown,
        code: Code::RF002,
        subject: Subject::cluster(name),
        evidence: "is not in the snapshot".into(),
        hint: "take a new snapshot with `refit observe`".into(),
    }
}
