//! Looks that lag behind: what an API that is only eventually consistent still shows.
//!
//! Each of the two places that a look reads is consistent in itself, and may be some seconds old,
//! on its own or together with the other. Two looks in a row may go back in time. What a call did
//! may therefore not show yet, and may vanish again; it never takes longer than [`LAG_MAX`].
//! Leases and the objects of add-ons are always read as they are: the Kubernetes API promises that
//! of single objects.

use std::collections::BTreeMap;
use std::mem::swap;

use refit_model::{GroupName, InstanceId, NodeName, Timestamp, WorkloadRef};
use serde::{Deserialize, Serialize};

use crate::budgets::Budget;
use crate::cluster::{ClusterWorld, Group, Instance, Node, Volume};
use crate::dice::Concern;
use crate::pods::{Pod, Workload};
use crate::queue::seconds_between;

/// How old, in seconds, what a look shows may be.
const LAG_MAX: u64 = 8;

/// What there was, as far as looks may lag behind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Past {
    at: Timestamp,
    groups: BTreeMap<GroupName, Group>,
    instances: BTreeMap<InstanceId, Instance>,
    nodes: BTreeMap<NodeName, Node>,
    pods: BTreeMap<u64, Pod>,
    workloads: BTreeMap<WorkloadRef, Workload>,
    volumes: BTreeMap<String, Volume>,
    budgets: BTreeMap<String, Budget>,
}

/// Which past a look shows of each place; none: the present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) cluster: Option<usize>,
    pub(crate) machines: Option<usize>,
}

impl View {
    pub(crate) fn is_past(self) -> bool {
        self != Self::default()
    }
}

impl ClusterWorld {
    /// Keeps what there is now, before a call changes it, for looks that come later. Where no look
    /// lags behind nothing is kept.
    pub(crate) fn remember(&mut self) {
        if self.faults.stale_looks == 0 {
            return;
        }
        let now = self.now;
        self.past.retain(|past| seconds_between(past.at, now) <= LAG_MAX);
        // One for each second is enough, and bounds how many there are.
        if self.past.last().is_some_and(|last| seconds_between(last.at, now) == 0) {
            return;
        }
        self.past.push(Past {
            at: now,
            groups: self.groups.clone(),
            instances: self.instances.clone(),
            nodes: self.nodes.clone(),
            pods: self.pods.clone(),
            workloads: self.workloads.clone(),
            volumes: self.volumes.clone(),
            budgets: self.budgets.clone(),
        });
    }

    /// What the next look shows.
    pub(crate) fn view(&mut self) -> View {
        if self.past.is_empty() || !self.dice.chance(Concern::Past, self.faults.stale_looks) {
            return View::default();
        }
        let kept = self.past.len();
        let (which, cluster, machines) = self
            .dice
            .draw(Concern::Past, |rng| (rng.u8(0..4), rng.usize(0..kept), rng.usize(0..kept)));
        match which {
            0 => View { cluster: Some(cluster), machines: None },
            1 => View { cluster: Some(cluster), machines: Some(machines) },
            // Auto Scaling is the one that lags most.
            _ => View { cluster: None, machines: Some(machines) },
        }
    }

    /// Reads the world as it was then.
    pub(crate) fn seen_in<T>(&mut self, past: Option<usize>, read: impl FnOnce(&Self) -> T) -> T {
        let Some(at) = past.filter(|at| *at < self.past.len()) else { return read(self) };
        let mut then = self.past.remove(at);
        then.swap_with(self);
        let seen = read(self);
        then.swap_with(self);
        self.past.insert(at, then);
        seen
    }
}

impl Past {
    fn swap_with(&mut self, cluster: &mut ClusterWorld) {
        let Self { at: _, groups, instances, nodes, pods, workloads, volumes, budgets } = self;
        swap(groups, &mut cluster.groups);
        swap(instances, &mut cluster.instances);
        swap(nodes, &mut cluster.nodes);
        swap(pods, &mut cluster.pods);
        swap(workloads, &mut cluster.workloads);
        swap(volumes, &mut cluster.volumes);
        swap(budgets, &mut cluster.budgets);
    }
}
