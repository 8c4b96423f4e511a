//! The judge: what refit must never do, checked when it happens.
//!
//! It judges what refit did and what refit's doing led to, and nothing else: a machine that fails
//! or a group that chooses its own victims is no fault of refit's. What changed within the last
//! [`GRACE`] seconds without refit is not held against a call that was decided before.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Addon, AddonName, AddonRelease, AddonVersion, BudgetState, Cluster, ClusterName, GroupName,
    InstanceId, KubeProxy, Minor, NodeName, NodeOp, ObjectRef, Op, Plan, PodKey, PoolName, RollTag,
    RunId, TargetHealth, Timestamp, UpdateStrategy, Zone, skew,
};
use serde::{Deserialize, Serialize};

use crate::addons::may_delete;
use crate::cluster::{ClusterWorld, Group, Instance, Node, Who};
use crate::faults::Faults;
use crate::queue::seconds_between;

/// How old something must be, in seconds, before refit had to know it: a look, a call that is
/// tried again, and a little.
const GRACE: u64 = 30;
/// How long, in seconds, the kubelet of a node must not have answered before its pods count for
/// nothing. Every simulated pool declares more.
const UNREACHABLE: u64 = 300;

/// Something that must never happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Violation {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub cluster: ClusterName,
    /// Which rule was broken.
    pub rule: Rule,
    /// How, in words.
    pub text: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { at, cluster, rule, text } = self;
        write!(f, "{at} {cluster}: {text} ({rule:?})")
    }
}

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// An eviction leaves a PodDisruptionBudget with as many healthy pods as it asks for.
    Budget,
    /// Components that can reach each other keep within the version skew policy.
    Skew,
    /// An add-on's version supports every live apiserver, and every worker's kubelet, and every
    /// live apiserver serves the APIs that it uses.
    AddonRange,
    /// At most one instance of a control plane is missing.
    ControlPlaneMissing,
    /// A control plane with three or more members of etcd keeps its quorum.
    EtcdQuorum,
    /// A pool keeps as many Ready nodes as it had, less what may be unavailable.
    Unavailable,
    /// A pool never wants more nodes than it had, plus what it may surge.
    Surge,
    /// Desired is never lowered by a number.
    DesiredLowered,
    /// A run works on as many pools of a cluster at once as its file allows.
    ParallelPools,
    /// Nodes that somebody else replaces are left alone.
    OnDelete,
    /// Only what a plan names is touched.
    Target,
    /// Only nodes that are cordoned and drained, and out of their target groups, are ended.
    Undrained,
    /// Only pods that are replaced elsewhere are evicted.
    NotEvictable,
    /// The zones of a group are even when its rebalancing is resumed.
    UnevenZones,
    /// The cluster-autoscaler is kept from the new nodes of a roll.
    SurgeRemoved,
    /// What others cordoned stays cordoned.
    ForeignCordon,
    /// An add-on is sealed only when its manifests were applied whole.
    Seal,
    /// Only members are deleted, and only kinds that may be.
    Deletes,
    /// Objects are stored in versions that their CustomResourceDefinition tells and lists.
    StoredVersion,
    /// Nothing is written without the cluster's Lease, where that is asked for.
    Lease,
}

/// What a plan may touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Targets {
    /// The Auto Scaling groups, and the nodes in them.
    pub groups: BTreeMap<ClusterName, BTreeSet<GroupName>>,
    /// The add-ons.
    pub addons: BTreeMap<ClusterName, BTreeSet<AddonName>>,
}

impl Targets {
    /// What the actions of a plan name.
    pub fn of_plan(plan: &Plan) -> Self {
        let mut targets = Self::default();
        for action in &plan.actions {
            let Some(cluster) = &action.cluster else { continue };
            let entry = targets.groups.entry(cluster.clone()).or_default();
            entry.extend(action.kind.groups().into_iter().cloned());
            let entry = targets.addons.entry(cluster.clone()).or_default();
            entry.extend(action.kind.addon().cloned());
        }
        targets
    }
}

/// How far a pool may be from what it had.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Allowance {
    surge: u32,
    unavailable: u32,
    /// How many usable nodes it had when the bound was set.
    had: u32,
}

/// What the judge of one cluster remembers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Judge {
    /// How many instances the control plane has.
    pub(crate) control_plane_size: usize,
    /// The newest minor that an apiserver has run.
    pub(crate) newest: Minor,
    pub(crate) needs_lease: bool,
    allowances: BTreeMap<PoolName, Allowance>,
    /// How many pools may be rolled at once.
    #[serde(default = "one")]
    pub(crate) parallel_pools: u32,
    /// Pools whose nodes are not refit's to replace.
    #[serde(default)]
    pub(crate) on_delete: BTreeSet<PoolName>,
    targets: Option<(BTreeSet<GroupName>, BTreeSet<AddonName>)>,
    /// So that a state that lasts is told once.
    told: BTreeSet<(Rule, String)>,
    /// What was found since the world last asked.
    pub(crate) found: Vec<Violation>,
}

fn one() -> u32 {
    1
}

impl Judge {
    pub(crate) fn new(newest: Minor) -> Self {
        Self {
            control_plane_size: 0,
            newest,
            needs_lease: false,
            allowances: BTreeMap::new(),
            parallel_pools: 1,
            on_delete: BTreeSet::new(),
            targets: None,
            told: BTreeSet::new(),
            found: Vec::new(),
        }
    }

    /// What the cluster's file allows.
    pub(crate) fn declare(&mut self, cluster: &Cluster) {
        self.parallel_pools = cluster.max_parallel_pools;
        let pools = cluster.pools.iter();
        let on_delete = pools.filter(|pool| pool.update == UpdateStrategy::OnDelete);
        self.on_delete = on_delete.map(|pool| pool.name.clone()).collect();
    }

    pub(crate) fn set_targets(&mut self, groups: BTreeSet<GroupName>, addons: BTreeSet<AddonName>) {
        self.targets = Some((groups, addons));
    }
}

impl ClusterWorld {
    pub(crate) fn violate(&mut self, rule: Rule, text: String) {
        if self.judge.told.insert((rule, text.clone())) {
            let (at, cluster) = (self.now, self.name.clone());
            self.judge.found.push(Violation { at, cluster, rule, text });
        }
    }

    /// Whether an instance went down a moment ago, and not because of refit.
    fn was_lost_lately(&self, instance: &Instance) -> bool {
        let node = instance.node.as_ref().and_then(|name| self.nodes.get(name));
        let silent = node.is_some_and(|node| node.kubelet_dead_since.is_some());
        let lost = instance.dead || instance.ended_by.is_some() || silent;
        let recent =
            instance.down_since.is_some_and(|since| seconds_between(since, self.now) < GRACE);
        lost && recent && instance.ended_by != Some(Who::Refit)
    }

    /// Whether the call may be made at all.
    pub(crate) fn judge_target(&mut self, op: &Op) {
        let declared = match (&self.judge.targets, op) {
            (Some((groups, _)), Op::Group { group, .. }) => groups.contains(group),
            (Some((groups, _)), Op::Node { node, .. }) => match self.nodes.get(node) {
                Some(node) => {
                    let instance = node.instance.as_ref().and_then(|id| self.instances.get(id));
                    instance.is_some_and(|instance| groups.contains(&instance.group))
                }
                None => true,
            },
            (Some((_, addons)), Op::Addon { addon, .. }) => addons.contains(addon),
            _ => true,
        };
        if !declared {
            self.violate(Rule::Target, format!("no plan names what this touches: {op}"));
        }
        let writes = !matches!(op, Op::HoldLease { .. } | Op::ReleaseLease { .. });
        let held = self.lease.as_ref().is_some_and(|lease| lease.until > self.now);
        if self.judge.needs_lease && writes && !held {
            self.violate(Rule::Lease, format!("no run holds the Lease: {op}"));
        }
    }

    pub(crate) fn judge_run(&mut self, run: &RunId, does: &str) {
        let other = self.lease.as_ref().filter(|lease| lease.run != *run && lease.until > self.now);
        if let (true, Some(lease)) = (self.judge.needs_lease, other) {
            let text = format!("run {run} {does} while run {} holds the Lease", lease.run);
            self.violate(Rule::Lease, text);
        }
    }

    // Skew and ranges.

    /// An apiserver has begun to answer.
    pub(crate) fn judge_api_server(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get(id) else { return };
        let (api, judged) = (instance.version.minor(), instance.judged);
        if !judged {
            self.judge.newest = self.judge.newest.max(api);
            return;
        }
        let mut broken: Vec<String> = Vec::new();
        let before = self.judge.newest;
        if api > before.next() {
            broken.push(format!("the control plane goes from {before} to {api}"));
        }
        self.judge.newest = before.max(api);
        for other in self.live_minors() {
            if !skew::api_servers_fit(api, other) {
                broken.push(format!("apiservers of {other} and {api} serve at once"));
            }
        }
        for (name, node) in &self.nodes {
            // Of a machine that is gone the Node stays for a while, and talks to nobody.
            let runs = |id| self.instances.get(id).is_some_and(|machine| !machine.dead);
            let gone = node.instance.as_ref().is_some_and(|id| !runs(id));
            if gone || (node.control_plane && self.local_api) {
                continue;
            }
            let kubelet = node.kubelet.minor();
            // What others have broken may stay broken, if it becomes no worse.
            let machine = node.instance.as_ref().and_then(|id| self.instances.get(id));
            let fits = match machine {
                Some(machine) if machine.judged => skew::kubelet_fits(kubelet, api),
                _ => skew::kubelet_may_stay(kubelet, api, [before]),
            };
            if !fits {
                broken.push(format!("{name}: kubelet {kubelet} talks to an apiserver of {api}"));
            }
            if let KubeProxy::DaemonSet(version) = self.kube_proxy(node)
                && !skew::kube_proxy_fits(version.minor(), api)
            {
                broken.push(format!("{name}: kube-proxy {version} talks to an apiserver of {api}"));
            }
        }
        if !self.local_api {
            let others = self.instances.values().filter(|other| other.api_up);
            for other in others.map(|other| other.version.minor()) {
                if !skew::controller_fits(other, api) || !skew::controller_fits(api, other) {
                    broken.push(format!("controllers of {other} and {api} reach each apiserver"));
                }
            }
        }
        for text in broken {
            self.violate(Rule::Skew, text);
        }
        self.judge_all_addons();
    }

    /// The node of an instance has registered.
    pub(crate) fn judge_node(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get(id) else { return };
        if instance.control_plane && self.local_api {
            return;
        }
        let (kubelet, judged) = (instance.version.minor(), instance.judged);
        if !judged {
            self.excuse_addons();
            return;
        }
        for api in self.live_minors() {
            if !skew::kubelet_fits(kubelet, api) {
                let text = format!("{id}: a new kubelet {kubelet} talks to an apiserver of {api}");
                self.violate(Rule::Skew, text);
            }
        }
        self.judge_all_addons();
    }

    /// What does not fit a node that others have launched is not refit's fault.
    fn excuse_addons(&mut self) {
        let misfits = |name: &&AddonName| self.addon_misfit(name).is_some();
        let names: Vec<AddonName> = self.addons.keys().filter(misfits).cloned().collect();
        for name in names {
            if let Some(addon) = self.addons.get_mut(&name)
                && let Some(running) = &mut addon.running
            {
                running.judged = false;
            }
        }
    }

    fn judge_all_addons(&mut self) {
        let names: Vec<AddonName> = self.addons.keys().cloned().collect();
        for name in names {
            self.judge_addon(&name);
        }
    }

    pub(crate) fn judge_addon(&mut self, name: &AddonName) {
        let running = self.addons.get(name).and_then(|addon| addon.running.as_ref());
        if running.is_some_and(|running| running.judged)
            && let Some(text) = self.addon_misfit(name)
        {
            self.violate(Rule::AddonRange, text);
        }
    }

    /// What the add-on's running version does not support.
    pub(crate) fn addon_misfit(&self, name: &AddonName) -> Option<String> {
        let running = self.addons.get(name)?.running.as_ref()?;
        let range = &running.kubernetes;
        // Where its file allows it, a version moves right after the hop: it may be one behind.
        let late = |minor: Minor| {
            running.may_be_late && range.high().is_some_and(|high| high.next() == minor)
        };
        let version = &running.version;
        let gone = |minor: &Minor| running.apis.iter().any(|served| !served.contains(minor));
        if let Some(minor) = self.live_minors().into_iter().find(gone) {
            return Some(format!("{name} {version} uses an API that {minor} does not serve"));
        }
        if let Some(minor) =
            self.live_minors().into_iter().find(|minor| !range.contains(minor) && !late(*minor))
        {
            return Some(format!("{name} {version} supports {range}; an apiserver runs {minor}"));
        }
        let kubelets = running.kubelets.as_ref()?;
        let workers = self.nodes.values().filter(|node| !node.control_plane);
        let minor = workers.map(|node| node.kubelet.minor()).find(|m| !kubelets.contains(m))?;
        Some(format!("{name} {version} supports kubelets {kubelets}; one is {minor}"))
    }

    // Machines.

    pub(crate) fn judge_desired(&mut self, name: &GroupName, from: u32, to: u32) {
        if to < from {
            let text = format!("desired of {name} is lowered from {from} to {to}");
            self.violate(Rule::DesiredLowered, text);
        }
        let Some(group) = self.groups.get(name) else { return };
        let Some(pool) = group.pool.clone() else {
            if to > group.usual {
                let text = format!("{name}: a control plane is rolled without surge");
                self.violate(Rule::Surge, text);
            }
            return;
        };
        let Some(allowance) = self.judge.allowances.get(&pool) else { return };
        let of_pool = || self.groups.values().filter(|group| group.pool.as_ref() == Some(&pool));
        let desired: u32 = of_pool().map(|group| group.desired).sum();
        let usual: u32 = of_pool().map(|group| group.usual + group.scaled_down).sum();
        let most = usual + allowance.surge;
        if desired > most {
            let text = format!("pool {pool} wants {desired} nodes; {most} are allowed");
            self.violate(Rule::Surge, text);
        }
    }

    /// A run has begun to work on a pool: it has tagged a group, or cordoned a node.
    pub(crate) fn judge_pools_at_once(&mut self, run: &RunId) {
        let tagged = self.groups.values().filter(|group| {
            let tag = group.tags.get(RollTag::KEY);
            let tag = tag.and_then(|tag| serde_json::from_str::<RollTag>(tag).ok());
            tag.is_some_and(|tag| tag.run == *run)
        });
        let cordoned = self.nodes.values().filter_map(|node| {
            let by = node.annotations.get(RollTag::CORDONED)?;
            let instance = self.instances.get(node.instance.as_ref()?)?;
            (*by == run.to_string()).then(|| self.groups.get(&instance.group)).flatten()
        });
        let pools: BTreeSet<&PoolName> =
            tagged.chain(cordoned).filter_map(|group| group.pool.as_ref()).collect();
        let most = self.judge.parallel_pools as usize;
        if pools.len() > most {
            let names: Vec<&str> = pools.into_iter().map(PoolName::as_str).collect();
            let text = format!("{} are rolled at once; {most} may be", names.join(", "));
            self.violate(Rule::ParallelPools, text);
        }
    }

    /// Sets how far a pool may be from what it has now.
    pub(crate) fn allow(&mut self, pool: &PoolName, surge: u32, unavailable: u32) {
        // What an earlier run has added and not taken away yet is not what the pool has.
        let of_pool = self.groups.values().filter(|group| group.pool.as_ref() == Some(pool));
        let usual = of_pool.map(|group| self.surely_usual(group)).sum();
        let had = self.usable_nodes(pool).min(usual);
        self.judge.allowances.insert(pool.clone(), Allowance { surge, unavailable, had });
    }

    /// How many nodes a group has usually, as far as anybody can tell. A run that was killed after
    /// it had taken a node away, and before it corrected its tag, leaves a tag that claims one
    /// too many. Where an operator raises desired by just as much before the next run looks,
    /// nothing in the world tells whose it is, and taking it for refit's own is no fault.
    fn surely_usual(&self, group: &Group) -> u32 {
        let tag = group.tags.get(RollTag::KEY).filter(|_| self.meddled > 0);
        let Some(tag) = tag.and_then(|tag| serde_json::from_str::<RollTag>(tag).ok()) else {
            return group.usual;
        };
        let claimed = tag.surge.saturating_sub(tag.desired.saturating_sub(group.desired));
        group.usual.min(group.desired.saturating_sub(claimed))
    }

    /// Ready nodes of a pool that refit has not cordoned. One that was lost a moment ago counts.
    fn usable_nodes(&self, pool: &PoolName) -> u32 {
        let of_pool = |instance: &Instance| {
            let group = self.groups.get(&instance.group);
            group.is_some_and(|group| group.pool.as_ref() == Some(pool))
        };
        let count = self.nodes.values().filter(|node| {
            let instance = node.instance.as_ref().and_then(|id| self.instances.get(id));
            instance.is_some_and(|instance| {
                let lost_lately = self.was_lost_lately(instance);
                let here = (node.ready && instance.is_active()) || lost_lately;
                of_pool(instance) && here && !node.annotations.contains_key(RollTag::CORDONED)
            })
        });
        u32::try_from(count.count()).unwrap_or(u32::MAX)
    }

    fn judge_unavailable(&mut self, group: &GroupName, what: &str) {
        let Some(pool) = self.groups.get(group).and_then(|group| group.pool.clone()) else {
            return;
        };
        let Some(allowance) = self.judge.allowances.get(&pool) else { return };
        let least = allowance.had.saturating_sub(allowance.unavailable);
        let usable = self.usable_nodes(&pool);
        if usable < least {
            let text = format!("{what} leaves pool {pool} {usable} nodes of at least {least}");
            self.violate(Rule::Unavailable, text);
        }
    }

    /// The cluster-autoscaler is about to remove a node of a pool, which then has one fewer. Where
    /// no other fault delays it, a run at work has kept the autoscaler from the nodes that it has
    /// launched.
    pub(crate) fn judge_scale_down(&mut self, pool: &PoolName, name: &NodeName) {
        if let Some(allowance) = self.judge.allowances.get_mut(pool) {
            allowance.had = allowance.had.saturating_sub(1);
        }
        let only = Faults { autoscaler: self.faults.autoscaler, ..Faults::none() };
        let at_work = self.lease.as_ref().is_some_and(|lease| lease.until > self.now);
        let instance = self.nodes.get(name).and_then(|node| node.instance.as_ref());
        let of_roll = instance.and_then(|id| self.instances.get(id)).is_some_and(|instance| {
            let group = self.groups.get(&instance.group);
            group.is_some_and(|group| group.tags.contains_key(RollTag::KEY)) && instance.protected
        });
        if self.faults == only && at_work && of_roll {
            let text = format!("the cluster-autoscaler removes {name}, a new node of a roll");
            self.violate(Rule::SurgeRemoved, text);
        }
    }

    /// The process `AZRebalance` of a group is about to be resumed. What the group has not launched
    /// yet goes to its emptiest zones.
    pub(crate) fn judge_rebalancing(&mut self, name: &GroupName) {
        let Some(group) = self.groups.get(name).filter(|group| group.pool.is_some()) else {
            return;
        };
        let instances = || group.instances.iter().filter_map(|id| self.instances.get(id));
        if instances().any(|instance| self.was_lost_lately(instance)) {
            return;
        }
        let mut counts: BTreeMap<&Zone, u32> = group.zones.iter().map(|zone| (zone, 0)).collect();
        let mut missing = group.desired;
        for instance in instances() {
            if instance.is_active() {
                *counts.entry(&instance.zone).or_default() += 1;
                missing = missing.saturating_sub(1);
            }
        }
        for _ in 0..missing {
            if let Some(emptiest) = counts.values_mut().min() {
                *emptiest += 1;
            }
        }
        let fullest = counts.values().max().copied().unwrap_or(0);
        let emptiest = counts.values().min().copied().unwrap_or(0);
        if fullest > emptiest + 1 {
            let text = format!(
                "{name} rebalances its zones again, of which one holds {fullest} instances and \
                 another {emptiest}"
            );
            self.violate(Rule::UnevenZones, text);
        }
    }

    pub(crate) fn judge_cordon(&mut self, name: &NodeName) {
        let instance = self.nodes.get(name).and_then(|node| node.instance.as_ref());
        let group = instance.and_then(|id| self.groups.get(&self.instances.get(id)?.group));
        let pool = group.and_then(|group| group.pool.clone());
        if let Some(pool) = pool.filter(|pool| self.judge.on_delete.contains(pool)) {
            let text = format!("{name} of {pool} is cordoned, and is not refit's to replace");
            self.violate(Rule::OnDelete, text);
        }
        let Some(node) = self.nodes.get(name).filter(|node| node.ready) else { return };
        // Who cordoned one that was of no use may not have known that it has come up.
        if node.ready_since.is_some_and(|since| seconds_between(since, self.now) < GRACE) {
            return;
        }
        let instance = node.instance.as_ref().and_then(|id| self.instances.get(id));
        // What ends anyway is not made unavailable by being cordoned.
        if let Some(instance) = instance.filter(|instance| instance.is_active()) {
            let group = instance.group.clone();
            self.judge_unavailable(&group, &format!("cordoning {name}"));
        }
    }

    pub(crate) fn judge_uncordon(&mut self, name: &NodeName) {
        let text = format!("{name} was cordoned by somebody else, and is uncordoned");
        self.violate(Rule::ForeignCordon, text);
    }

    /// Before an instance is ended.
    pub(crate) fn judge_terminate(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get(id) else { return };
        if instance.dead {
            return; // Nothing that runs there can be asked any more.
        }
        let node = instance.node.as_ref().and_then(|name| self.nodes.get(name));
        if node
            .and_then(|node| node.unreachable_since(self.now))
            .is_some_and(|since| seconds_between(since, self.now) >= UNREACHABLE)
        {
            return; // Nothing on it would ever end.
        }
        let mut broken: Vec<String> = Vec::new();
        if let Some(target) = instance.target.filter(|_| instance.api_up)
            && target != TargetHealth::Unused
        {
            broken.push(format!("{id} is ended while its target groups have it as {target:?}"));
        }
        let named = instance.node.as_ref().and_then(|name| Some((name, self.nodes.get(name)?)));
        // Who ended a machine that was no node may not have known that it has become one.
        let is_new = |node: &Node| {
            node.registered_at.is_some_and(|at| seconds_between(at, self.now) < GRACE)
                && !node.unschedulable
        };
        if let Some((name, node)) = named.filter(|(_, node)| !is_new(node)) {
            if !node.unschedulable {
                broken.push(format!("{name} is ended and was not cordoned"));
            }
            let left = node.pods.iter().filter_map(|pod| self.pods.get(pod));
            if let Some(pod) = left.into_iter().find(|pod| !pod.is_daemon()) {
                let PodKey { namespace, name: pod, .. } = PodKey {
                    namespace: pod.namespace.clone(),
                    name: pod.name.clone(),
                    uid: String::new(),
                };
                broken.push(format!("{name} is ended with {namespace}/{pod} on it"));
            }
            if let Some(volume) = self.attached_to(name).next() {
                broken.push(format!("{name} is ended with {volume} attached to it"));
            }
        }
        for text in broken {
            self.violate(Rule::Undrained, text);
        }
    }

    /// A node is tainted as out of service, which deletes its pods and detaches its volumes.
    pub(crate) fn judge_out_of_service(&mut self, name: &NodeName) {
        let Some(node) = self.nodes.get(name) else { return };
        let long = node
            .unreachable_since(self.now)
            .is_some_and(|since| seconds_between(since, self.now) >= UNREACHABLE);
        if !long {
            let text = format!("{name} is tainted as out of service, and its kubelet may answer");
            self.violate(Rule::Undrained, text);
        }
    }

    /// After the end of an instance has begun.
    pub(crate) fn judge_after_terminate(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get(id) else { return };
        let was_up = instance.down_since == Some(self.now);
        let (group, control_plane) = (instance.group.clone(), instance.control_plane);
        let had_etcd = instance.etcd_ready;
        if !was_up {
            return; // It did not do its work before either.
        }
        // One that refit has cordoned was judged then: it carries nothing any more.
        let cordoned = self.nodes.values().any(|node| {
            node.instance.as_ref() == Some(id) && node.annotations.contains_key(RollTag::CORDONED)
        });
        if !control_plane && !cordoned {
            self.judge_unavailable(&group, &format!("ending {id}"));
            return;
        }
        let here = |instance: &Instance| {
            instance.ended_by != Some(Who::Refit)
                && (instance.down_since.is_none() || self.was_lost_lately(instance))
        };
        let members = self.instances.values().filter(|instance| instance.control_plane);
        let up = members.filter(|instance| here(instance)).count();
        let size = self.judge.control_plane_size;
        let etcd_keeps = self
            .instances
            .values()
            .filter(|instance| {
                instance.control_plane
                    && instance.ended_by != Some(Who::Refit)
                    && (instance.etcd_ready || self.was_lost_lately(instance))
            })
            .count();
        if up + 1 < size {
            let text = format!("{id} is ended while only {up} of {size} others work");
            self.violate(Rule::ControlPlaneMissing, text);
        }
        // With fewer than three members every replacement costs the quorum.
        if had_etcd && self.etcd.len() >= 3 && etcd_keeps < self.etcd_quorum() {
            let text = format!("{id} is ended, which leaves etcd {etcd_keeps} members");
            self.violate(Rule::EtcdQuorum, text);
        }
    }

    // Pods.

    pub(crate) fn judge_daemon_evicted(&mut self, pod: &PodKey) {
        self.violate(Rule::NotEvictable, format!("{pod} belongs to its node, and is evicted"));
    }

    pub(crate) fn judge_eviction(&mut self, pod: &PodKey, before: &[BudgetState]) {
        for was in before {
            let key = format!("{}/{}", was.namespace, was.name);
            let Some(now) = self.budgets.get(&key).map(|budget| self.budget_status(budget)) else {
                continue;
            };
            if now.current_healthy < was.current_healthy
                && now.current_healthy < now.desired_healthy
            {
                let (left, least) = (now.current_healthy, now.desired_healthy);
                let text = format!("evicting {pod} leaves {key} {left} of {least} healthy pods");
                self.violate(Rule::Budget, text);
            }
        }
    }

    // Add-ons.

    pub(crate) fn judge_seal(
        &mut self,
        name: &AddonName,
        version: &AddonVersion,
        release: &AddonRelease,
    ) {
        let addon = self.addons.get(name);
        let digest = release.manifests.digest();
        let fits = addon.is_some_and(|addon| {
            let sealed = addon.parent.as_ref().filter(|_| addon.applying.is_none());
            let applied = addon.applying.as_ref().filter(|_| addon.applied_whole);
            applied.is_some_and(|(v, d)| v == version && d == digest)
                || sealed
                    .is_some_and(|parent| parent.version == *version && parent.digest == *digest)
        });
        if !fits {
            self.violate(Rule::Seal, format!("{name} {version} is sealed and was not applied"));
        }
    }

    pub(crate) fn judge_prune(
        &mut self,
        name: &AddonName,
        release: &AddonRelease,
        objects: &BTreeSet<ObjectRef>,
    ) {
        let kept = release.manifests.objects().iter().map(|manifest| &manifest.object);
        let wrong: Vec<String> = kept
            .filter(|kept| objects.iter().any(|object| object.same_object(kept)))
            .map(|object| format!("{name}: {object} is deleted, and the version has it"))
            .collect();
        for text in wrong {
            self.violate(Rule::Deletes, text);
        }
    }

    pub(crate) fn judge_deletes(
        &mut self,
        addon: Option<&Addon>,
        name: &AddonName,
        objects: &BTreeSet<ObjectRef>,
    ) {
        let empty = BTreeSet::new();
        let members = self.addons.get(name).map_or(&empty, |addon| &addon.members);
        let mut wrong: Vec<String> = Vec::new();
        for object in objects {
            let live = self.objects.contains_key(&crate::cluster::object_key(object));
            if live && !members.contains(object) {
                wrong.push(format!("{name}: {object} is deleted, and is no member"));
            }
            if !may_delete(addon, object) {
                wrong.push(format!("{name}: {object} is of a kind that is kept"));
            }
        }
        for text in wrong {
            self.violate(Rule::Deletes, text);
        }
    }

    /// What still differs from the beginning, apart from what operators did.
    pub(crate) fn settings_given_back(&self, differs: &mut Vec<String>) {
        let cluster = &self.name;
        let mut differ = |text: String| differs.push(format!("{cluster}: {text}"));
        for (name, group) in &self.groups {
            let usual = group.usual..=group.usual + group.scaled_down;
            if !usual.contains(&group.desired) {
                differ(format!("desired of {name} is {}, was {}", group.desired, group.usual));
            }
            if group.suspended != group.usual_suspended {
                differ(format!(
                    "{name} has suspended {:?}, had {:?}",
                    group.suspended, group.usual_suspended
                ));
            }
            for key in group.tags.keys() {
                differ(format!("{name} has the tag {key}"));
            }
        }
        for (id, instance) in self.instances.iter().filter(|(_, instance)| instance.is_active()) {
            if instance.protected {
                differ(format!("{id} is protected from scale-in"));
            }
            if matches!(instance.target, Some(TargetHealth::Draining | TargetHealth::Unused)) {
                differ(format!("{id} is not in its target groups"));
            }
        }
        for (name, node) in &self.nodes {
            if node.annotations.contains_key(RollTag::CORDONED) {
                differ(format!("{name} is cordoned by refit"));
            }
            if node.annotations.contains_key(NodeOp::SCALE_DOWN_DISABLED_BY) {
                differ(format!("{name} is kept from the cluster-autoscaler"));
            }
        }
        if let Some(lease) = self.lease.as_ref().filter(|lease| lease.until > self.now) {
            differ(format!("run {} holds the Lease", lease.run));
        }
    }
}
