//! Pods, the workloads that own them, and the scheduler.
//!
//! A Deployment makes a new pod as soon as one is on its way out; a StatefulSet waits until the
//! old one is gone, starts in order, and its pod goes back to the zone of its volume; a DaemonSet
//! has one pod per node. A changed template rolls: one more, then one fewer. A Job makes a new pod
//! for each that is on its way out before it has completed.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{NodeName, Period, WorkloadRef};
use serde::{Deserialize, Serialize};

use crate::cluster::{ClusterWorld, Volume};
use crate::dice::{Concern, Span, hash, mix};
use crate::queue::{Event, later};

/// How long a pod takes to be Ready once it has a place.
const START: Span = (2, 8);
/// How long when it is slow.
const SLOW_START: Span = (60, 240);
/// How long a pod takes to end.
const GRACE: Span = (2, 10);
/// How long a volume takes to be detached from a node.
const DETACH: Span = (5, 15);

/// A pod.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    /// None: nobody replaces it.
    pub(crate) owner: Option<WorkloadRef>,
    /// Which of a StatefulSet's pods it is.
    pub(crate) ordinal: Option<u32>,
    /// Of the template that it was made from.
    pub(crate) revision: u64,
    pub(crate) image: String,
    pub(crate) node: Option<NodeName>,
    pub(crate) ready: bool,
    pub(crate) terminating: bool,
    pub(crate) claim: Option<String>,
    pub(crate) critical: bool,
}

impl Pod {
    /// As the disruption controller counts.
    pub(crate) fn is_healthy(&self) -> bool {
        self.ready && !self.terminating
    }

    pub(crate) fn is_daemon(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.kind == "DaemonSet")
    }

    /// The tag of its image.
    pub(crate) fn image_tag(&self) -> &str {
        self.image.rsplit_once(':').map_or("", |(_, tag)| tag)
    }
}

/// What makes pods.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, as the APIs have it")]
pub(crate) struct Workload {
    pub(crate) replicas: u32,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) critical: bool,
    pub(crate) zonal_volumes: bool,
    /// Of its template.
    pub(crate) revision: u64,
    pub(crate) image: String,
    /// How long each of its pods runs until it completes, if it is a Job.
    #[serde(default)]
    pub(crate) completes_after: Period,
    /// Its pods run and are never Ready.
    pub(crate) never_ready: bool,
    /// It is deleted, and there as long as its pods are.
    pub(crate) deleted: bool,
    pub(crate) pods: BTreeSet<u64>,
    /// How many of them are Ready and not on their way out.
    pub(crate) ready: u32,
    /// The budgets that select its pods, by `namespace/name`.
    pub(crate) budgets: BTreeSet<String>,
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl ClusterWorld {
    /// Makes the workload's pods what they should be, as far as that can be begun now.
    pub(crate) fn reconcile(&mut self, of: &WorkloadRef) {
        let Some(workload) = self.workloads.get(of) else { return };
        if workload.deleted {
            for pod in self.active_pods(of) {
                self.end_pod(pod);
            }
            if self.workloads.get(of).is_some_and(|workload| workload.pods.is_empty()) {
                self.workloads.remove(of);
                self.match_budgets();
            }
            return;
        }
        match of.kind.as_str() {
            "DaemonSet" => self.reconcile_daemon_set(of),
            "StatefulSet" => self.reconcile_stateful_set(of),
            _ => self.reconcile_deployment(of),
        }
    }

    fn active_pods(&self, of: &WorkloadRef) -> Vec<u64> {
        let pods = self.workloads.get(of).into_iter().flat_map(|workload| &workload.pods);
        pods.copied().filter(|id| self.pods.get(id).is_some_and(|pod| !pod.terminating)).collect()
    }

    fn reconcile_deployment(&mut self, of: &WorkloadRef) {
        let Some(workload) = self.workloads.get(of) else { return };
        let (replicas, revision) = (workload.replicas, workload.revision);
        let mut available = workload.ready;
        let active = self.active_pods(of);
        let (new, old): (Vec<u64>, Vec<u64>) = active
            .iter()
            .partition(|id| self.pods.get(id).is_some_and(|pod| pod.revision == revision));
        let (current, total) = (to_u32(new.len()), to_u32(active.len()));
        let surge = u32::from(!old.is_empty());
        let missing =
            (replicas + surge).saturating_sub(total).min(replicas.saturating_sub(current));
        for _ in 0..missing {
            self.create_pod(of, None, None);
        }
        let mut ended = false;
        for id in old {
            let ready = self.pods.get(&id).is_some_and(|pod| pod.ready);
            if !ready || available > replicas {
                available -= u32::from(ready);
                self.end_pod(id);
                ended = true;
            }
        }
        let mut surplus = new;
        surplus.sort_by_key(|id| (self.pods.get(id).is_some_and(|pod| pod.ready), *id));
        for id in surplus.into_iter().take(current.saturating_sub(replicas) as usize) {
            self.end_pod(id);
        }
        if ended {
            // Each round ends pods of an old revision, of which there are only so many.
            self.reconcile_deployment(of);
        }
    }

    fn reconcile_stateful_set(&mut self, of: &WorkloadRef) {
        let Some(workload) = self.workloads.get(of) else { return };
        let (replicas, revision) = (workload.replicas, workload.revision);
        let mut by_ordinal: BTreeMap<u32, (u64, bool, bool)> = BTreeMap::new();
        for id in &workload.pods {
            if let Some(pod) = self.pods.get(id) {
                let current = pod.revision == revision;
                by_ordinal.insert(pod.ordinal.unwrap_or(0), (*id, pod.is_healthy(), current));
            }
        }
        for ordinal in 0..replicas {
            match by_ordinal.get(&ordinal) {
                None => {
                    self.create_pod(of, Some(ordinal), None);
                    return; // In order: the next one when this one is Ready.
                }
                // A broken pod of an old template is replaced, or an upgrade could not repair it.
                Some((id, false, false)) => {
                    self.end_pod(*id);
                    return;
                }
                Some((_, false, true)) => return,
                Some((_, true, _)) => {}
            }
        }
        let surplus = by_ordinal.iter().rev().find(|(ordinal, _)| **ordinal >= replicas);
        let outdated = by_ordinal.values().rev().find(|(_, _, current)| !current);
        if let Some(id) = surplus.map(|(_, (id, ..))| *id).or(outdated.map(|(id, ..)| *id)) {
            self.end_pod(id);
        }
    }

    fn reconcile_daemon_set(&mut self, of: &WorkloadRef) {
        let Some(workload) = self.workloads.get(of) else { return };
        let revision = workload.revision;
        let mut taken: BTreeSet<&NodeName> = BTreeSet::new();
        let mut outdated: Option<u64> = None;
        let mut all_ready = true;
        for (id, pod) in workload.pods.iter().filter_map(|id| Some((id, self.pods.get(id)?))) {
            taken.extend(&pod.node);
            let node_ready =
                pod.node.as_ref().and_then(|name| self.nodes.get(name)).is_some_and(|n| n.ready);
            all_ready &= pod.is_healthy() || !node_ready;
            if pod.revision != revision && !pod.terminating && node_ready {
                outdated = Some(*id);
            }
        }
        let bare: Vec<NodeName> = self
            .nodes
            .iter()
            .filter(|(name, node)| node.ready && !taken.contains(name))
            .map(|(name, _)| name.clone())
            .collect();
        all_ready &= bare.is_empty();
        for node in bare {
            self.create_pod(of, None, Some(&node));
        }
        if let Some(id) = outdated {
            let broken = self.pods.get(&id).is_some_and(|pod| !pod.ready);
            if all_ready || broken {
                self.end_pod(id);
            }
        }
    }

    /// Makes a pod; with a node it is bound there, otherwise it waits for the scheduler.
    fn create_pod(&mut self, of: &WorkloadRef, ordinal: Option<u32>, node: Option<&NodeName>) {
        let Some(workload) = self.workloads.get_mut(of) else { return };
        self.pods_made += 1;
        let id = self.pods_made;
        let name = match ordinal {
            Some(ordinal) => format!("{}-{ordinal}", of.name),
            None if of.kind == "DaemonSet" => format!("{}-{}", of.name, suffix(id)),
            None => {
                format!("{}-{:08x}-{}", of.name, workload.revision & 0xffff_ffff, suffix(id))
            }
        };
        let claim = ordinal
            .filter(|_| workload.zonal_volumes)
            .map(|ordinal| format!("{}/data-{}-{ordinal}", of.namespace, of.name));
        let pod = Pod {
            namespace: of.namespace.clone(),
            name,
            uid: uid(&self.uid, id),
            owner: Some(of.clone()),
            ordinal,
            revision: workload.revision,
            image: workload.image.clone(),
            node: None,
            ready: false,
            terminating: false,
            claim,
            critical: workload.critical,
        };
        workload.pods.insert(id);
        self.insert_pod(id, pod, node);
    }

    fn insert_pod(&mut self, id: u64, pod: Pod, node: Option<&NodeName>) {
        self.pods.insert(id, pod);
        if let Some(node) = node {
            self.bind(id, node);
        } else {
            self.pending.insert(id);
            self.request_schedule();
        }
    }

    /// Adds a pod that nobody replaces, Ready on its node.
    pub(crate) fn add_bare_pod(&mut self, namespace: &str, name: &str, node: &NodeName) {
        self.pods_made += 1;
        let id = self.pods_made;
        let pod = Pod {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid(&self.uid, id),
            owner: None,
            ordinal: None,
            revision: 0,
            image: String::new(),
            node: None,
            ready: true,
            terminating: false,
            claim: None,
            critical: false,
        };
        self.insert_pod(id, pod, Some(node));
    }

    /// The pod of that UID.
    pub(crate) fn pod_of_uid(&self, uid: &str) -> Option<(u64, &Pod)> {
        let id = u64::from_str_radix(uid.rsplit_once('-')?.1, 16).ok()?;
        self.pods.get(&id).filter(|pod| pod.uid == uid).map(|pod| (id, pod))
    }

    pub(crate) fn request_schedule(&mut self) {
        let at = later(self.now, 1);
        if !self.pending.is_empty() && self.schedule_at.is_none_or(|planned| planned > at) {
            self.schedule_at = Some(at);
            self.queue.push(at, Event::Schedule);
        }
    }

    /// Gives every pod that waits a place, where there is one: few of its siblings first, then
    /// few pods at all.
    pub(crate) fn schedule(&mut self) {
        self.schedule_at = None;
        let pending: Vec<u64> = self.pending.iter().copied().collect();
        for id in pending {
            if let Some(node) = self.place_for(id) {
                self.bind(id, &node);
            }
        }
    }

    fn place_for(&self, id: u64) -> Option<NodeName> {
        let pod = self.pods.get(&id)?;
        let zone = pod.claim.as_ref().and_then(|claim| self.volumes.get(claim)?.zone.as_ref());
        let mut siblings: BTreeMap<&NodeName, u32> = BTreeMap::new();
        if let Some(workload) = pod.owner.as_ref().and_then(|owner| self.workloads.get(owner)) {
            for sibling in workload.pods.iter().filter_map(|id| self.pods.get(id)) {
                if let Some(node) = &sibling.node {
                    *siblings.entry(node).or_default() += 1;
                }
            }
        }
        self.nodes
            .iter()
            .filter(|(_, node)| {
                node.ready
                    && !node.unschedulable
                    && !node.control_plane
                    && node.load < node.capacity
                    && (zone.is_none() || node.zone.as_ref() == zone)
            })
            .min_by_key(|(name, node)| (siblings.get(name).copied().unwrap_or(0), node.load))
            .map(|(name, _)| name.clone())
    }

    fn bind(&mut self, id: u64, to: &NodeName) {
        let (Some(pod), Some(node)) = (self.pods.get_mut(&id), self.nodes.get_mut(to)) else {
            return;
        };
        self.pending.remove(&id);
        pod.node = Some(to.clone());
        node.pods.insert(id);
        node.load += u32::from(!pod.is_daemon());
        let mut from = self.now;
        if let Some(claim) = &pod.claim {
            let now = self.now;
            let volume = self.volumes.entry(claim.clone()).or_insert_with(|| Volume {
                zone: None,
                free_at: now,
                left: None,
            });
            // The volume is made where its pod is placed first, and stays there.
            if volume.zone.is_none() {
                volume.zone.clone_from(&node.zone);
            }
            from = from.max(volume.free_at);
        }
        let slow = self.dice.chance(Concern::SlowPod, self.faults.slow_pods);
        let start = self.dice.seconds(Concern::Pods, if slow { SLOW_START } else { START });
        self.queue.push(later(from, start), Event::PodReady(id));
    }

    pub(crate) fn pod_ready(&mut self, id: u64) {
        let Some(pod) = self.pods.get(&id) else { return };
        let owner = pod.owner.clone();
        let broken = owner
            .as_ref()
            .and_then(|owner| self.workloads.get(owner))
            .is_some_and(|workload| workload.never_ready);
        let on_ready_node =
            pod.node.as_ref().and_then(|node| self.nodes.get(node)).is_some_and(|node| node.ready);
        if broken || pod.terminating || !on_ready_node {
            return;
        }
        self.set_ready(id, true);
        if let Some(owner) = owner {
            self.reconcile(&owner);
        }
        self.let_complete(id);
    }

    /// A pod of a Job runs for its time from now on.
    fn let_complete(&mut self, id: u64) {
        let owner = self.pods.get(&id).and_then(|pod| pod.owner.as_ref());
        let Some(of) = owner.filter(|owner| owner.kind == "Job") else { return };
        let Some(workload) = self.workloads.get(of) else { return };
        let seconds = workload.completes_after.as_secs();
        self.queue.push(later(self.now, seconds), Event::PodCompletes(id));
    }

    /// A pod of a Job has run for its time: the Job needs one fewer.
    pub(crate) fn pod_completes(&mut self, id: u64) {
        let Some(pod) = self.pods.get(&id).filter(|pod| pod.is_healthy()) else { return };
        let workload = pod.owner.as_ref().and_then(|owner| self.workloads.get_mut(owner));
        if let Some(workload) = workload {
            workload.replicas = workload.replicas.saturating_sub(1);
        }
        self.remove_pod(id);
        self.request_schedule();
    }

    /// Sets a pod's readiness and keeps its workload's count.
    pub(crate) fn set_ready(&mut self, id: u64, ready: bool) {
        self.change_pod(id, |pod| pod.ready = ready);
    }

    fn change_pod(&mut self, id: u64, change: impl FnOnce(&mut Pod)) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let before = u32::from(pod.is_healthy());
        change(pod);
        let after = u32::from(pod.is_healthy());
        let owner = pod.owner.as_ref().and_then(|owner| self.workloads.get_mut(owner));
        if let Some(workload) = owner {
            workload.ready = workload.ready + after - before;
        }
    }

    /// The pod is on its way out. A pod without a place is gone at once.
    fn end_pod(&mut self, id: u64) {
        let Some(pod) = self.pods.get(&id) else { return };
        if pod.terminating {
            return;
        }
        if pod.node.is_none() {
            self.remove_pod(id);
            return;
        }
        self.change_pod(id, |pod| pod.terminating = true);
        self.after(Concern::Pods, GRACE, Event::PodGone(id));
    }

    /// Ends a pod and lets its workload make another.
    pub(crate) fn end_pod_and_replace(&mut self, id: u64) {
        let owner = self.pods.get(&id).and_then(|pod| pod.owner.clone());
        self.end_pod(id);
        if let Some(owner) = owner {
            self.reconcile(&owner);
        }
    }

    pub(crate) fn pod_gone(&mut self, id: u64) {
        // A dead kubelet ends nothing.
        let node = self.pods.get(&id).and_then(|pod| pod.node.as_ref());
        if let Some(node) = node.and_then(|name| self.nodes.get(name)).filter(|n| !n.ends_pods())
            && let Some(instance) = node.instance.as_ref().and_then(|i| self.instances.get_mut(i))
            && !instance.dead
        {
            instance.held_back.push(Event::PodGone(id));
            return;
        }
        if let Some(owner) = self.remove_pod(id) {
            self.reconcile(&owner);
        }
        self.request_schedule();
    }

    /// Forgets a pod; its owner is returned.
    pub(crate) fn remove_pod(&mut self, id: u64) -> Option<WorkloadRef> {
        self.set_ready(id, false);
        let pod = self.pods.remove(&id)?;
        self.pending.remove(&id);
        let load = u32::from(!pod.is_daemon());
        if let Some(node) = pod.node.as_ref().and_then(|node| self.nodes.get_mut(node))
            && node.pods.remove(&id)
        {
            node.load -= load;
        }
        if let Some(volume) = pod.claim.as_ref().and_then(|claim| self.volumes.get_mut(claim))
            && pod.node.is_some()
        {
            let seconds = self.dice.seconds(Concern::Volumes, DETACH);
            volume.free_at = later(self.now, seconds);
            volume.left.clone_from(&pod.node);
        }
        if let Some(owner) = &pod.owner
            && let Some(workload) = self.workloads.get_mut(owner)
        {
            workload.pods.remove(&id);
        }
        pod.owner
    }

    /// Starts what was there before the world began: every pod that finds a place is Ready.
    pub(crate) fn settle(&mut self) {
        loop {
            self.schedule();
            let starting: Vec<u64> = self
                .pods
                .iter()
                .filter(|(_, pod)| pod.node.is_some() && !pod.ready)
                .map(|(id, _)| *id)
                .collect();
            let before = self.pods_made;
            for pod in &starting {
                self.pod_ready(*pod);
            }
            let progress = starting.iter().any(|id| self.pods.get(id).is_some_and(|pod| pod.ready));
            if !progress && before == self.pods_made {
                break;
            }
        }
        self.queue.clear();
        self.schedule_at = None;
        let running: Vec<u64> =
            self.pods.iter().filter(|(_, pod)| pod.ready).map(|(id, _)| *id).collect();
        for id in running {
            self.let_complete(id);
        }
    }
}

/// Five letters, as Kubernetes makes them: none that could spell a word.
fn suffix(id: u64) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut rest = mix(id);
    (0..5)
        .map(|_| {
            let letter = LETTERS[usize::try_from(rest % LETTERS.len() as u64).unwrap_or(0)];
            rest /= LETTERS.len() as u64;
            char::from(letter)
        })
        .collect()
}

fn uid(cluster: &str, id: u64) -> String {
    let salt = hash(cluster.as_bytes());
    format!("{:08x}-{:04x}-4000-8000-{id:012x}", salt & 0xffff_ffff, (salt >> 32) & 0xffff)
}
