//! One cluster: from its checks to its actions and the orders between them.

mod accepted;
mod addon_actions;
mod frozen;
mod launches;
mod machines;
mod on_delete;
mod only;
mod pins;
mod tasks;
mod tidying;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use refit_model::{
    Action, ActionId, ActionKind, Actions, Because, Capped, Cluster, ClusterIdentity, ClusterState,
    Code, Edge, Finding, Fleet, GroupName, ImagePolicy, InstanceId, InstanceState, KubeVersion,
    Lifecycle, Minor, NamedNodes, NodeName, NodePool, NodesByGroups, Only, Period, PoolName,
    RollTag, Severity, Timestamp, UpdateStrategy, Why,
};

use crate::Options;
use crate::checks::{self, Blocker};
use crate::graph::{Tie, Ties};
use crate::hops::{self, Hop};
use crate::images::Images;
use crate::knowledge;
use crate::timeline::{PoolNow, Step};
use crate::way::{self, Way, Ways};

use tidying::Tidying;

/// What planning one cluster came to.
pub(crate) struct Planned {
    pub(crate) identity: Option<ClusterIdentity>,
    pub(crate) from: BTreeSet<KubeVersion>,
    pub(crate) actions: Actions,
    pub(crate) edges: Vec<Edge>,
    /// Orders that follow from the edges.
    pub(crate) implied: Vec<Edge>,
    pub(crate) findings: Vec<Finding>,
    /// What kubelets run that none of the actions replaces; empty where there is none.
    pub(crate) kubelets_that_stay: BTreeSet<Minor>,
    /// What can be done even when it is blocked, or frozen.
    pub(crate) tidying: Tidying,
    /// Whether it is frozen, and not what the files say.
    pub(crate) frozen: bool,
}

impl Planned {
    /// Nothing is known of it.
    pub(crate) fn unseen(finding: Finding) -> Self {
        Self {
            identity: None,
            from: BTreeSet::new(),
            actions: Vec::new(),
            edges: Vec::new(),
            implied: Vec::new(),
            findings: vec![finding],
            kubelets_that_stay: BTreeSet::new(),
            tidying: Tidying::default(),
            frozen: false,
        }
    }

    /// It was seen, and something is in the way.
    pub(crate) fn blocked(state: &ClusterState, finding: Finding) -> Self {
        Self {
            identity: Some(state.identity.clone()),
            from: running(state),
            ..Self::unseen(finding)
        }
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity.blocks())
    }

    /// Whether it may be something else than what the files say, and is not to stay so.
    pub(crate) fn is_undone(&self) -> bool {
        !self.frozen && (self.is_blocked() || !self.actions.is_empty())
    }

    /// Whether a release is on its way to it.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_undone() && !self.is_blocked()
    }

    /// Takes everything back that was planned, but for what tidies up.
    pub(crate) fn block(&mut self, finding: Finding) {
        self.findings.push(finding);
        self.only_tidy_up();
    }

    fn only_tidy_up(&mut self) {
        let Tidying { actions, edges } = std::mem::take(&mut self.tidying);
        self.actions = actions;
        self.edges = edges;
        self.implied.clear();
        self.kubelets_that_stay.clear();
    }

    /// The actions that wait for none of the cluster's.
    pub(crate) fn sources(&self) -> Vec<ActionId> {
        let waiting: BTreeSet<&ActionId> = self.edges.iter().map(|edge| &edge.to).collect();
        self.ids(&waiting)
    }

    /// The actions that none of the cluster's waits for.
    pub(crate) fn sinks(&self) -> Vec<ActionId> {
        let waited: BTreeSet<&ActionId> = self.edges.iter().map(|edge| &edge.from).collect();
        self.ids(&waited)
    }

    fn ids(&self, without: &BTreeSet<&ActionId>) -> Vec<ActionId> {
        self.actions
            .iter()
            .map(|action| &action.id)
            .filter(|id| !without.contains(id))
            .copied()
            .collect()
    }
}

/// What the instances of the control plane run: apiservers, and the kubelets beside them.
fn running(state: &ClusterState) -> BTreeSet<KubeVersion> {
    let kubelets = state.nodes.values().filter(|node| node.control_plane).map(|node| &node.kubelet);
    state
        .control_plane
        .iter()
        .filter_map(|m| m.api_server.as_ref())
        .chain(kubelets)
        .cloned()
        .collect()
}

/// The versions among many, most of which are the same.
fn distinct<'v>(versions: impl Iterator<Item = &'v KubeVersion>) -> BTreeSet<&'v KubeVersion> {
    let mut found = BTreeSet::new();
    let mut last = None;
    for version in versions.filter(|version| last.replace(*version) != Some(*version)) {
        found.insert(version);
    }
    found
}

/// Plans one cluster.
pub(crate) fn plan<'a>(
    fleet: &'a Fleet,
    cluster: &'a Cluster,
    state: &'a ClusterState,
    options: &'a Options,
    now: Timestamp,
    ways: &'a Ways<'a>,
    nodes: &RefCell<NodesByGroups<'a>>,
) -> Planned {
    let pools = cluster.pools.iter().map(|pool| pool.groups.as_slice());
    let (nodes, unpooled) = nodes.borrow_mut().of(state, pools);
    let names = cluster.pools.iter().map(|pool| &pool.name);
    let api_servers = state.control_plane.iter().filter_map(|member| member.api_server.as_ref());
    let kubelets = state.nodes.values().map(|node| &node.kubelet);
    let cordoned =
        state.nodes.values().filter(|node| node.annotations.contains_key(RollTag::CORDONED));
    let live = running(state);
    let mut planner = ClusterPlanner {
        fleet,
        cluster,
        state,
        options,
        now,
        ways,
        nodes: names.zip(nodes.into_iter().map(Rc::new)).collect(),
        unpooled,
        oldest: live.first().map(KubeVersion::minor),
        images: Images::of(fleet, state, distinct(api_servers.chain(kubelets))),
        cordoned: cordoned.filter_map(|node| node.instance.as_ref()).collect(),
        blockers: Vec::new(),
        actions: Vec::new(),
        first_task: 0,
        ties: Vec::new(),
    };
    let way = planner.run(&live);
    let blocked = planner.is_blocked();
    let mut tidying = planner.tidying();
    let estimate = |action: &mut Box<Action>| action.estimate = options.durations.estimate(action);
    tidying.actions.iter_mut().chain(&mut planner.actions).for_each(estimate);
    let kubelets_that_stay = if blocked || planner.actions.is_empty() {
        BTreeSet::new()
    } else {
        planner.kubelets_that_stay()
    };
    let (edges, implied) = way.map(|way| planner.tied(&way)).unwrap_or_default();
    let complete = !blocked && !planner.actions.is_empty() && options.selection.only.is_none();
    let known = accepted::Known {
        files: complete,
        drains: complete && planner.actions.iter().any(|action| action.kind.rolls()),
    };
    planner.blockers.extend(accepted::unused(cluster, &planner.blockers, known, now));
    let told = |blocker| accepted::told(cluster, blocker, now);
    let findings = planner.blockers.into_iter().map(told).collect();
    let mut planned = Planned {
        identity: Some(state.identity.clone()),
        from: live,
        actions: planner.actions,
        edges,
        implied,
        findings,
        kubelets_that_stay,
        tidying,
        frozen: false,
    };
    if blocked {
        planned.only_tidy_up();
    }
    planned
}

/// Nodes by name.
type Nodes<'a> = Rc<NamedNodes<'a>>;

struct ClusterPlanner<'a> {
    fleet: &'a Fleet,
    cluster: &'a Cluster,
    state: &'a ClusterState,
    options: &'a Options,
    now: Timestamp,
    ways: &'a Ways<'a>,
    nodes: BTreeMap<&'a PoolName, Nodes<'a>>,
    /// The nodes of no pool.
    unpooled: NamedNodes<'a>,
    /// The oldest minor that the control plane runs.
    oldest: Option<Minor>,
    images: Images<'a>,
    /// The instances whose nodes a run that did not end left cordoned.
    cordoned: BTreeSet<&'a InstanceId>,
    blockers: Vec<Blocker>,
    actions: Actions,
    /// The place of the first of the way's tasks among the actions.
    first_task: usize,
    /// Orders that are not the way's: those of groups that are pinned, and of what tidies up.
    ties: Vec<Tie>,
}

impl<'a> ClusterPlanner<'a> {
    /// The nodes of a pool.
    fn nodes_of(&self, pool: &NodePool) -> Nodes<'a> {
        self.nodes.get(&pool.name).cloned().unwrap_or_default()
    }

    /// Makes the actions. Returns the way; none where something stands in it.
    fn run(&mut self, live: &BTreeSet<KubeVersion>) -> Option<Rc<Way>> {
        self.blockers.extend(frozen::capped(self.cluster));
        self.blockers.extend(checks::machines(self.cluster, self.state));
        if self.is_blocked() {
            return None;
        }
        let mut hops = match self.hops(live) {
            Ok(hops) => hops,
            Err(blocker) => {
                self.blockers.push(blocker.of("control-plane"));
                return None;
            }
        };
        let pools = self.pools_now(live);
        let way = self.way(live, &mut hops, &pools);
        self.check(&hops, &pools);
        let deleted = self.on_delete(&hops);
        self.blockers.extend(deleted);
        self.blockers.extend(knowledge::end_of_life(self.fleet, self.cluster, self.now));
        self.blockers.extend(way::notes(self.cluster, self.state));
        let way = match way {
            Ok(way) if !self.is_blocked() => way,
            Ok(_) => return None,
            Err(blockers) => {
                self.blockers.extend(blockers);
                return None;
            }
        };
        if !way.stuck.is_empty() {
            self.blockers.extend(way.stuck.iter().cloned());
            return None;
        }
        self.blockers.extend(way.notes.iter().cloned());
        self.blockers.extend(self.left_undone(&hops, &pools, &way));
        self.check_drains(&way.steps);
        let held = checks::hooks(self.cluster, self.state, &way.steps);
        self.blockers.extend(held);
        let suspended = checks::suspended(self.cluster, self.state, &way.steps);
        self.blockers.extend(suspended);
        if !way.steps.is_empty() {
            self.blockers.extend(checks::before_the_start(self.state));
        }
        let first = self.pin_too_new(live);
        let on_the_way = self.launches_misfits(live, &way.steps);
        self.first_task = self.actions.len();
        self.act(&way);
        let made = self.actions.len() - self.first_task;
        if self.is_blocked() || made < way.layout.tasks.len() {
            return None;
        }
        if let Some(task) = way.layout.circle {
            self.blockers.push(Blocker::new(
                Code::RF026,
                format!(
                    "the orders between add-ons form a circle through {}",
                    self.actions[self.first_task + task].kind
                ),
                "loosen `before` or `after` in one of their addon.toml",
            ));
            return None;
        }
        self.pin_late(&way, on_the_way);
        if self.rolls_nodes(live) {
            let last: Vec<usize> = way.layout.last.iter().map(|t| self.first_task + t).collect();
            self.pin_stale(&last);
        }
        self.tidy_on_delete(&way);
        self.pin_first(first, &way);
        Some(way)
    }

    /// The orders between the actions, those that follow from others apart.
    fn tied(&self, way: &Way) -> (Vec<Edge>, Vec<Edge>) {
        let of_way = &way.layout.ties;
        let only_tasks = self.actions.len() == way.layout.tasks.len();
        let more = (!only_tasks).then(|| {
            let moved = of_way.kept.iter().chain(&of_way.implied).map(|tie| {
                let (from, to) = (self.first_task + tie.from, self.first_task + tie.to);
                Tie { from, to, because: tie.because.clone() }
            });
            let all = moved.chain(self.ties.iter().cloned()).collect();
            Ties::of(self.actions.len(), all)
                .expect("pins and tidying up wait for nothing after them")
        });
        let ties = more.as_ref().unwrap_or(of_way);
        let edge = |Tie { from, to, because }: &Tie| {
            let [from, to] = [from, to].map(|place| self.actions[*place].id);
            Edge { from, to, because: because.clone() }
        };
        let [kept, implied] =
            [&ties.kept, &ties.implied].map(|ties| ties.iter().map(edge).collect());
        (kept, implied)
    }

    /// The places of the actions that wait for none.
    fn sources(&self, way: &Way) -> Vec<usize> {
        let of_way = way.layout.ties.kept.iter().map(|tie| self.first_task + tie.to);
        let mut waits = vec![false; self.actions.len()];
        for place in of_way.chain(self.ties.iter().map(|tie| tie.to)) {
            waits[place] = true;
        }
        (0..waits.len()).filter(|place| !waits[*place]).collect()
    }

    /// What the kubelets of the nodes run that no action replaces.
    fn kubelets_that_stay(&self) -> BTreeSet<Minor> {
        let is_rolled = |pool: &PoolName| {
            self.actions.iter().any(|action| {
                matches!(&action.kind, ActionKind::NodePoolRoll { pool: rolled, .. } if rolled == pool)
            })
        };
        let pools = self.nodes.iter().filter(|(pool, _)| !is_rolled(pool));
        let nodes = pools.flat_map(|(_, nodes)| nodes.iter()).chain(&self.unpooled);
        let workers = nodes.filter(|(_, node)| !node.control_plane);
        workers.map(|(_, node)| node.kubelet.minor()).collect()
    }

    /// The hops that a plan of this kind may make, and one that only tidies up after a run that did
    /// not end.
    fn hops(&self, live: &BTreeSet<KubeVersion>) -> Result<Vec<Hop>, Blocker> {
        let named = self.may_go_back();
        if !self.changes(Only::ControlPlane) {
            // Nodes and add-ons do not go where the control plane cannot follow.
            if named {
                hops::check_back(self.cluster, self.state, live, named)?;
            }
            return Ok(Vec::new());
        }
        let mut hops = hops::find(self.fleet, self.cluster, self.state, live, named)?;
        if hops.is_empty() && self.left_behind(&self.cluster.control_plane.groups) {
            hops.push(Hop { from: live.clone().into(), to: self.cluster.kubernetes.value.clone() });
        }
        Ok(hops)
    }

    /// Whether the cluster was named to go back to older versions.
    fn may_go_back(&self) -> bool {
        self.options.downgrade.contains(&self.cluster.name)
    }

    fn is_blocked(&self) -> bool {
        self.blockers.iter().any(|blocker| accepted::blocks(self.cluster, blocker, self.now))
    }

    fn check(&mut self, hops: &[Hop], pools: &[PoolNow]) {
        let instances = self.control_plane_size();
        self.blockers.extend(checks::control_plane(self.cluster, self.state, hops, instances));
        let named = self.may_go_back();
        let pooled =
            |name: &NodeName| self.unpooled.binary_search_by_key(&name, |(name, _)| name).is_err();
        let rolled = |name: &NodeName| {
            let rolled = pools.iter().filter(|pool| !pool.stays);
            let nodes = rolled.filter_map(|pool| self.nodes.get(&pool.name));
            nodes.flat_map(|nodes| nodes.iter()).any(|(node, _)| *node == name)
        };
        let now = checks::skew_now(self.cluster, self.state, hops, pooled, rolled, named);
        let rest = checks::skew_of_the_rest(self.cluster, self.state, hops, pooled);
        let target = &self.cluster.kubernetes.value;
        let goes_back = |name: &NodeName| named && pooled(name);
        let emulation = checks::emulation(self.state, hops, pools, target, goes_back);
        self.blockers.extend(now.into_iter().chain(rest).chain(emulation));
    }

    fn control_plane_size(&self) -> u32 {
        u32::try_from(self.state.control_plane.len()).unwrap_or(u32::MAX)
    }

    fn instances_of<'p>(
        &'p self,
        pool: &'p NodePool,
    ) -> impl Iterator<Item = &'p refit_model::InstanceState> {
        pool.groups
            .iter()
            .filter_map(|group| self.state.groups.get(group))
            .flat_map(|group| &group.instances)
    }

    fn pools_now(&mut self, live: &BTreeSet<KubeVersion>) -> Rc<[PoolNow]> {
        let rolls = self.rolls_nodes(live);
        let mut found = Vec::new();
        for pool in &self.cluster.pools {
            let nodes = self.nodes_of(pool);
            let all = nodes.iter().flat_map(|(_, node)| checks::runs(node));
            let all = distinct(all.map(|(_, version)| version));
            let kubelets = distinct(nodes.iter().map(|(_, node)| &node.kubelet));
            let beside = all != kubelets;
            let own = |versions: BTreeSet<&KubeVersion>| {
                Arc::new(versions.into_iter().cloned().collect())
            };
            let kubelets = own(kubelets);
            let runs = if beside { own(all) } else { Arc::clone(&kubelets) };
            let nodes = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            if nodes == 0 {
                self.blockers.push(
                    Blocker::new(Code::RF030, "has no node", "")
                        .of(&pool.name)
                        .weighing(Severity::Note),
                );
            }
            let asked =
                self.options.replace.contains(&(self.cluster.name.clone(), pool.name.clone()));
            found.push(PoolNow {
                name: pool.name.clone(),
                runs,
                kubelets,
                nodes,
                stays: pool.update == UpdateStrategy::OnDelete || !rolls,
                forced: asked || self.wants_newer_image(pool) || self.left_behind(&pool.groups),
            });
        }
        for blocker in self.newer_images() {
            self.blockers.push(blocker);
        }
        found.into()
    }

    /// Whether an instance runs another image than the newest of the cluster's version, and the
    /// pool or the command says that this is a change.
    fn wants_newer_image(&self, pool: &'a NodePool) -> bool {
        (pool.images == ImagePolicy::Newest || self.options.refresh_images)
            && self.behind_newest_image(pool)
    }

    /// Whether a run that did not end left its tag on a group, or a node cordoned. A machine that
    /// is on its way out takes its cordon with it.
    fn left_behind(&self, groups: &[GroupName]) -> bool {
        let cordoned = |instance: &InstanceState| self.cordoned.contains(&instance.id);
        groups.iter().filter_map(|name| self.state.groups.get(name)).any(|group| {
            let mut staying =
                group.instances.iter().filter(|i| i.lifecycle != Lifecycle::Terminating);
            group.tags.contains_key(RollTag::KEY) || staying.any(cordoned)
        })
    }

    fn behind_newest_image(&self, pool: &'a NodePool) -> bool {
        let target = &self.cluster.kubernetes.value;
        let Some(newest) = self.images.newest(&pool.image, target) else { return false };
        if pool.update == UpdateStrategy::OnDelete {
            let groups = pool.groups.iter().filter_map(|name| self.state.groups.get(name));
            return groups.filter_map(|group| group.image()).any(|image| *image != newest.id);
        }
        self.instances_of(pool).any(|instance| instance.image != newest.id)
    }

    /// A note for each pool that runs the right version from an older image.
    fn newer_images(&self) -> Vec<Blocker> {
        let target = &self.cluster.kubernetes.value;
        self.cluster
            .pools
            .iter()
            .filter(|pool| {
                let nodes = self.nodes_of(pool);
                let current = nodes.iter().all(|(_, node)| node.kubelet.same_release(target));
                current && self.behind_newest_image(pool) && !self.wants_newer_image(pool)
            })
            .map(|pool| {
                Blocker::new(
                    Code::RF008,
                    format!("a newer image of {target} exists"),
                    "`--refresh-images`, or `images = \"newest\"` of the pool, makes it a change",
                )
                .of(&pool.name)
                .weighing(Severity::Note)
            })
            .collect()
    }

    fn check_drains(&mut self, steps: &[Step]) {
        let hops = steps.iter().any(|step| matches!(step, Step::Hop(_)));
        let rolled = steps.iter().filter_map(|step| match step {
            Step::Roll { pools, .. } => Some(pools),
            Step::Hop(_) => None,
        });
        let rolled: BTreeSet<&PoolName> = rolled.flatten().collect();
        let mut replaced: Vec<&NodeName> = Vec::new();
        let mut waits: BTreeMap<&NodeName, Period> = BTreeMap::new();
        let mut replace = |nodes: &mut dyn Iterator<Item = &'a NodeName>, wait: Period| {
            let from = replaced.len();
            replaced.extend(nodes);
            if !wait.is_zero() {
                waits.extend(replaced[from..].iter().map(|node| (*node, wait)));
            }
        };
        for pool in self.cluster.pools.iter().filter(|pool| rolled.contains(&pool.name)) {
            if let Some(nodes) = self.nodes.get(&pool.name) {
                replace(&mut nodes.iter().map(|(name, _)| *name), pool.wait_complete);
            }
        }
        if hops {
            let nodes = self.state.nodes.iter().filter(|(_, node)| node.control_plane);
            let wait = self.cluster.control_plane.wait_complete;
            replace(&mut nodes.map(|(name, _)| name), wait);
        }
        replaced.sort_unstable();
        let found = checks::drains(self.cluster, self.state, &replaced, &waits);
        self.blockers.extend(found);
    }

    /// The reason that a declared version gives.
    fn declared(&self) -> Why {
        let target = &self.cluster.kubernetes;
        if let Some(Capped { max, .. }) = &self.cluster.capped {
            Why::Capped { max: max.value.to_string(), at: max.at.clone() }
        } else if target.pinned {
            Why::Pin { at: target.at.clone() }
        } else {
            Why::Release { release: self.cluster.release.clone(), at: target.at.clone() }
        }
    }

    /// Adds an action, and returns its place.
    fn push(&mut self, action: impl Into<Box<Action>>) -> usize {
        self.actions.push(action.into());
        self.actions.len() - 1
    }

    fn tie(&mut self, from: usize, to: usize, because: Because) {
        self.ties.push(Tie { from, to, because: because.into() });
    }
}
