//! Planning: what is declared and what was seen become the whole way between them.
//!
//! [`plan()`] is pure and deterministic. Per cluster it fixes the hops of the control plane
//! (`hops`), finds the cheapest way of its pools and add-ons along them (`parts`, `search`),
//! or says why there is none (`no_way`), lays it out (`way`, `layout`), and ties what is done together
//! (`graph`), a reason on every edge. Clusters in the same situation (`situation`) share all of that; of
//! its own each has its actions (`cluster`). Waves tie clusters together. What stands in the way is a
//! finding, and blocks its own cluster only.
//!
//! The planner does not check itself: `refit-verifier` does, and shares nothing with it but
//! the vocabulary.

mod bounds;
mod checks;
mod cluster;
mod common;
mod explain;
mod few;
mod graph;
mod hops;
mod images;
mod knowledge;
mod layout;
mod no_way;
mod parts;
mod promotion;
mod releases;
mod search;
mod situation;
mod storage;
mod support;
mod timeline;
mod waves;
mod way;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    ActionId, Cluster, ClusterName, ClusterPlan, ClusterStatus, Code, Digest, Durations, Edge,
    Finding, Fleet, NodesByGroups, Observation, ParallelPools, Period, Plan, PoolName,
    RecordedRelease, ReleaseName, Schedule, Selection, Severity, Snapshot, Subject, Timestamp,
    digest_of,
};

pub use crate::explain::{UnknownName, WhyUnknown, explain};

use crate::cluster::Planned;
use crate::way::Ways;

pub use crate::waves::{assign, needed};

/// What a command asks of a plan beside the files.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Pools whose nodes are all replaced, whatever they run (`--replace CLUSTER/POOL`).
    pub replace: BTreeSet<(ClusterName, PoolName)>,
    /// Clusters that may go back to older versions (`--downgrade CLUSTER`).
    pub downgrade: BTreeSet<ClusterName>,
    /// Which clusters it is about (`--cluster`, `--channel`, `--exclude`).
    pub selection: Selection,
    /// Whether newer images of the same version are a change everywhere (`--refresh-images`).
    pub refresh_images: bool,
    /// The time that what ends is held against (`--now`); none: when the snapshot was taken.
    pub now: Option<Timestamp>,
    /// The releases that were applied before, with the digest of what each contained then.
    pub recorded_releases: BTreeMap<ReleaseName, RecordedRelease>,
    /// What earlier runs took: estimates follow it.
    pub durations: Durations,
    /// The snapshot's digest, where it is known; none: it is computed.
    pub snapshot_digest: Option<Digest>,
    /// The version of refit, for the plan to carry.
    pub made_with: String,
}

/// Works out the plan. Never fails: what cannot be planned is a finding, and blocks its own
/// cluster.
pub fn plan(fleet: &Fleet, snapshot: &Snapshot, options: &Options) -> Plan {
    let planner = Planner {
        fleet,
        snapshot,
        options,
        now: options.now.unwrap_or(snapshot.taken_at),
        twins: twins(snapshot),
        ways: Ways::default(),
        nodes: RefCell::default(),
    };
    let (taken, left_out): (Vec<&Cluster>, Vec<&Cluster>) = fleet
        .clusters
        .values()
        .partition(|cluster| options.selection.takes(&cluster.name, &cluster.channel));
    let planned: BTreeMap<ClusterName, Planned> =
        taken.iter().map(|cluster| (cluster.name.clone(), planner.plan(cluster))).collect();
    let needed = waves::needed(fleet, &options.selection);
    let undone: BTreeSet<ClusterName> = left_out
        .iter()
        .filter(|cluster| needed.contains(&cluster.name) && planner.plan(cluster).is_undone())
        .map(|cluster| cluster.name.clone())
        .collect();

    let tied = waves::tie(fleet, planned, &undone);
    let mut findings: Vec<Finding> = Vec::new();
    let mut clusters = Vec::new();
    let mut actions = vec![tied.ends];
    let (mut edges, mut implied): (Vec<Vec<Edge>>, Vec<Vec<Edge>>) = (Vec::new(), Vec::new());
    let (first, changed) = (promotion::first(fleet), releases::changed(fleet, options));
    for (name, planned) in tied.clusters {
        let Some(cluster) = fleet.clusters.get(&name) else { continue };
        let blocked = planned.is_blocked();
        let own = planned.actions;
        clusters.push(ClusterPlan {
            name,
            channel: cluster.channel.clone(),
            release: cluster.release.clone(),
            identity: planned.identity,
            status: if planned.frozen {
                ClusterStatus::Frozen
            } else if blocked {
                ClusterStatus::Blocked
            } else if own.is_empty() {
                ClusterStatus::UpToDate
            } else {
                ClusterStatus::Planned
            },
            from: planned.from,
            to: cluster.kubernetes.value.clone(),
            parallel_pools: (cluster.max_parallel_pools > 1).then(|| ParallelPools {
                at_once: cluster.max_parallel_pools,
                order: cluster.pools.iter().map(|pool| pool.name.clone()).collect(),
            }),
            kubelets_that_stay: planned.kubelets_that_stay,
        });
        if !blocked && !own.is_empty() {
            findings.extend(promotion::warn_of_first(&first, cluster));
        }
        findings.extend(releases::warn_of_changed(&changed, cluster));
        findings.extend(planned.findings);
        implied.push(planned.implied);
        edges.push(planned.edges);
        actions.push(own);
    }
    findings.sort();
    findings.dedup();
    let [edges, implied] =
        [edges, implied].map(|lists| in_order(lists, |e| e.from, |e| (e.from, e.to)));
    let actions = in_order(actions, |action| action.id, |action| action.id);
    let measured = options.durations.only(actions.iter().map(|action| &action.kind));
    let mut plan = Plan {
        fleet: fleet.name.clone(),
        made_with: options.made_with.clone(),
        taken_at: snapshot.taken_at,
        now: options.now,
        config_digest: fleet.digest,
        snapshot_digest: options.snapshot_digest.unwrap_or_else(|| digest_of(snapshot)),
        selection: options.selection.clone(),
        left_out: left_out.into_iter().map(|cluster| cluster.name.clone()).collect(),
        downgrade: options.downgrade.clone(),
        clusters,
        critical_path: Period::ZERO,
        waves: tied.waves,
        actions,
        edges,
        implied,
        findings,
        measured,
    };
    plan.critical_path = Schedule::of(&plan).whole.middle;
    plan
}

/// All items of some lists, by an id and what else is ordered, those with the same as they come. As
/// numbers their places are sorted faster than they themselves are.
fn in_order<T, K: Ord>(
    lists: Vec<Vec<T>>,
    id: impl Fn(&T) -> ActionId,
    key: impl Fn(&T) -> K,
) -> Vec<T> {
    let mut all: Vec<Option<T>> = Vec::with_capacity(lists.iter().map(Vec::len).sum());
    for list in lists {
        all.extend(list.into_iter().map(Some));
    }
    let number = |(place, item): (u64, &Option<T>)| {
        let head = item.as_ref().map_or(0, |item| id(item).head());
        u128::from(head) << 64 | u128::from(place)
    };
    let mut places: Vec<u128> = (0..).zip(&all).map(number).collect();
    places.sort_unstable();
    let place = |number: &u128| usize::try_from(number & u128::from(u64::MAX));
    let mut sorted: Vec<T> = Vec::with_capacity(all.len());
    for alike in places.chunk_by(|one, other| one >> 64 == other >> 64) {
        let first = sorted.len();
        sorted.extend(alike.iter().filter_map(|number| all[place(number).ok()?].take()));
        sorted[first..].sort_by_key(&key);
    }
    sorted
}

/// What is the same for all clusters of a plan.
struct Planner<'a> {
    fleet: &'a Fleet,
    snapshot: &'a Snapshot,
    options: &'a Options,
    now: Timestamp,
    twins: BTreeMap<ClusterName, ClusterName>,
    ways: Ways<'a>,
    nodes: RefCell<NodesByGroups<'a>>,
}

impl<'a> Planner<'a> {
    fn plan(&'a self, cluster: &'a Cluster) -> Planned {
        let planned = self.thawed(cluster);
        match &cluster.freeze {
            Some(freeze) if freeze.value.holds(self.now) => planned.frozen(&cluster.name, freeze),
            _ => planned,
        }
    }

    /// As if nothing was frozen.
    fn thawed(&'a self, cluster: &'a Cluster) -> Planned {
        let name = &cluster.name;
        match self.snapshot.clusters.get(name) {
            Some(Observation::Fresh(state)) => {
                let Self { fleet, options, now, .. } = *self;
                self.twins.get(name).map_or_else(
                    || cluster::plan(fleet, cluster, state, options, now, &self.ways, &self.nodes),
                    |twin| Planned::blocked(state, same_cluster(name, twin)),
                )
            }
            Some(Observation::Unreachable { reason }) => Planned::unseen(unreachable(name, reason)),
            None => Planned::unseen(missing(name)),
        }
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
