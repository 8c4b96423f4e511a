//! One cluster: from its checks to its actions and the orders between them.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::skew::SkewRule;
use refit_model::{
    Action, ActionId, ActionKind, AddonMark, AddonName, AddonVersion, Because, Bounds, Cluster,
    ClusterIdentity, ClusterState, Code, Edge, Finding, Fleet, GroupName, ImageId, ImagePolicy,
    InstanceId, KubeVersion, Milestone, Minor, NodeName, NodePool, ObjectRef, Period, PoolName,
    Reversibility, RollCause, RollTag, Severity, StateGuard, Why,
};

use crate::addons::{self, Move, Moves};
use crate::checks::{self, Blocker};
use crate::graph::Graph;
use crate::hops::{self, Hop};
use crate::timeline::{self, Moments, PoolNow, Step};
use crate::{Options, images};

/// What planning one cluster came to.
pub(crate) struct Planned {
    pub(crate) identity: Option<ClusterIdentity>,
    pub(crate) from: BTreeSet<KubeVersion>,
    pub(crate) actions: Vec<Action>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) findings: Vec<Finding>,
}

impl Planned {
    /// Nothing is known of it.
    pub(crate) fn unseen(finding: Finding) -> Self {
        Self {
            identity: None,
            from: BTreeSet::new(),
            actions: Vec::new(),
            edges: Vec::new(),
            findings: vec![finding],
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

    /// Takes everything back that was planned.
    pub(crate) fn block(&mut self, finding: Finding) {
        self.findings.push(finding);
        self.actions.clear();
        self.edges.clear();
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
            .cloned()
            .collect()
    }
}

// Estimates, from what such steps take on EC2: an instance boots and joins in some three
// minutes, a control plane instance with its etcd member in some five, a drain takes two.
const NODE_ESTIMATE: Period = Period::minutes(5);
const DRAIN_ESTIMATE: Period = Period::minutes(3);
const CONTROL_PLANE_ESTIMATE: Period = Period::minutes(8);
const ADDON_ESTIMATE: Period = Period::minutes(2);
const PIN_ESTIMATE: Period = Period::seconds(10);
/// How long an add-on's workloads may take to roll out.
const ADDON_TIMEOUT: Period = Period::minutes(20);
/// How long it may take to point a group at an image: a few API calls and their retries.
const PIN_TIMEOUT: Period = Period::minutes(10);

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

/// Plans one cluster.
pub(crate) fn plan(
    fleet: &Fleet,
    cluster: &Cluster,
    state: &ClusterState,
    options: &Options,
) -> Planned {
    let mut planner = ClusterPlanner {
        fleet,
        cluster,
        state,
        options,
        blockers: Vec::new(),
        actions: Vec::new(),
        edges: Vec::new(),
    };
    planner.run();
    let blocked = planner.blockers.iter().any(|blocker| blocker.severity.blocks());
    let findings = planner.blockers.into_iter().map(|blocker| blocker.about(cluster)).collect();
    let (actions, edges) =
        if blocked { (Vec::new(), Vec::new()) } else { (planner.actions, planner.edges) };
    Planned {
        identity: Some(state.identity.clone()),
        from: running(state),
        actions,
        edges,
        findings,
    }
}

struct ClusterPlanner<'a> {
    fleet: &'a Fleet,
    cluster: &'a Cluster,
    state: &'a ClusterState,
    options: &'a Options,
    blockers: Vec<Blocker>,
    actions: Vec<Action>,
    edges: Vec<Edge>,
}

impl ClusterPlanner<'_> {
    fn run(&mut self) {
        self.blockers.extend(checks::machines(self.cluster, self.state));
        if self.is_blocked() {
            return;
        }
        let live = running(self.state);
        let hops = match hops::find(self.fleet, self.cluster, &live) {
            // Nothing to do but to tidy up after a run that did not end.
            Ok(hops) if hops.is_empty() && self.left_behind(&self.cluster.control_plane.groups) => {
                vec![Hop { from: live.clone(), to: self.cluster.kubernetes.value.clone() }]
            }
            Ok(hops) => hops,
            Err(blocker) => {
                self.blockers.push(blocker.of("control-plane"));
                return;
            }
        };
        self.check(&live, &hops);
        let pools = self.pools_now();
        let target = &self.cluster.kubernetes.value;
        let steps = timeline::lay_out(&live, &hops, &pools, target);
        let moments = timeline::moments(self.state, &pools, &steps);
        self.blockers.extend(addons::notes(self.cluster, self.state));
        let moves = addons::moves(self.fleet, self.cluster, self.state, &steps, &moments);
        self.blockers.extend(moves.blockers.iter().cloned());
        if self.is_blocked() {
            return;
        }
        self.check_drains(&steps);
        let first = self.pin_too_new(&live);
        let last = self.build(&steps, &moves, &moments);
        self.pin_stale(&last);
        self.pin_first(first);
        let mut graph = Graph::default();
        graph.extend(self.actions.clone(), self.edges.clone());
        if let Some(id) = graph.cycle() {
            let what = self.actions.iter().find(|action| action.id == *id);
            self.blockers.push(Blocker::new(
                Code::RF026,
                format!(
                    "the orders between add-ons form a circle{}",
                    what.map(|a| format!(" through {}", a.kind)).unwrap_or_default()
                ),
                "loosen `before` or `after` in one of their addon.toml",
            ));
        }
    }

    fn is_blocked(&self) -> bool {
        self.blockers.iter().any(|blocker| blocker.severity.blocks())
    }

    fn check(&mut self, live: &BTreeSet<KubeVersion>, hops: &[Hop]) {
        let instances = self.control_plane_size();
        self.blockers.extend(checks::control_plane(self.cluster, self.state, hops, instances));
        self.blockers.extend(checks::skew_now(self.cluster, self.state, live));
        let pool_groups: BTreeSet<&GroupName> =
            self.cluster.pools.iter().flat_map(|pool| &pool.groups).collect();
        self.blockers.extend(checks::skew_of_the_rest(
            self.cluster,
            self.state,
            hops,
            &pool_groups,
        ));
    }

    fn control_plane_size(&self) -> u32 {
        u32::try_from(self.state.control_plane.len()).unwrap_or(u32::MAX)
    }

    /// The nodes of a pool.
    fn nodes_of(&self, pool: &NodePool) -> BTreeSet<&NodeName> {
        let instances: BTreeSet<&InstanceId> = self.instances_of(pool).map(|i| &i.id).collect();
        self.state
            .nodes
            .iter()
            .filter(|(_, node)| node.instance.as_ref().is_some_and(|id| instances.contains(id)))
            .map(|(name, _)| name)
            .collect()
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

    fn pools_now(&mut self) -> Vec<PoolNow> {
        let mut found = Vec::new();
        for pool in &self.cluster.pools {
            let nodes = self.nodes_of(pool);
            let mut runs = BTreeSet::new();
            for name in &nodes {
                let Some(node) = self.state.nodes.get(*name) else { continue };
                runs.insert(node.kubelet.clone());
                if let refit_model::KubeProxy::StaticPod(version) = &node.kube_proxy {
                    runs.insert(version.clone());
                }
            }
            if nodes.is_empty() {
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
                forced: asked || self.wants_newer_image(pool) || self.left_behind(&pool.groups),
            });
        }
        for blocker in self.newer_images() {
            self.blockers.push(blocker);
        }
        found
    }

    /// Whether an instance runs another image than the newest of the cluster's version, and the
    /// pool or the command says that this is a change.
    fn wants_newer_image(&self, pool: &NodePool) -> bool {
        (pool.images == ImagePolicy::Newest || self.options.refresh_images)
            && self.behind_newest_image(pool)
    }

    /// Whether a run that did not end left its tag on a group, or a node cordoned.
    fn left_behind(&self, groups: &[GroupName]) -> bool {
        groups.iter().filter_map(|name| self.state.groups.get(name)).any(|group| {
            group.tags.contains_key(RollTag::KEY)
                || group.instances.iter().any(|instance| {
                    self.state
                        .node_of(&instance.id)
                        .is_some_and(|(_, node)| node.annotations.contains_key(RollTag::CORDONED))
                })
        })
    }

    fn behind_newest_image(&self, pool: &NodePool) -> bool {
        let target = &self.cluster.kubernetes.value;
        let Some(newest) = images::newest(self.state, &pool.image, target) else { return false };
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
                let current = nodes.iter().all(|name| {
                    self.state.nodes.get(*name).is_some_and(|n| n.kubelet.same_release(target))
                });
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
        let mut nodes: BTreeSet<&NodeName> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Hop(_) => nodes.extend(
                    self.state.nodes.iter().filter(|(_, node)| node.control_plane).map(|(n, _)| n),
                ),
                Step::Roll { pools, .. } => {
                    for pool in self.cluster.pools.iter().filter(|p| pools.contains(&p.name)) {
                        nodes.extend(self.nodes_of(pool));
                    }
                }
            }
        }
        let found = checks::drains(self.cluster, self.state, &nodes);
        self.blockers.extend(found);
    }

    /// The reason that a declared version gives.
    fn declared(&self) -> Why {
        let target = &self.cluster.kubernetes;
        if target.pinned {
            Why::Pin { at: target.at.clone() }
        } else {
            Why::Release { release: self.cluster.release.clone(), at: target.at.clone() }
        }
    }

    fn push(&mut self, action: Action) -> ActionId {
        let id = action.id.clone();
        self.actions.push(action);
        id
    }

    fn edge(&mut self, from: &ActionId, to: &ActionId, because: Because) {
        self.edges.push(Edge { from: from.clone(), to: to.clone(), because });
    }

    /// Turns steps and moves into actions, and ties each slot to the steps around it. Returns
    /// the actions that nothing follows.
    fn build(&mut self, steps: &[Step], moves: &Moves, moments: &Moments) -> Vec<ActionId> {
        let mut before: Vec<ActionId> = Vec::new();
        let mut before_step: Option<&Step> = None;
        for slot in 0..=steps.len() {
            let in_slot = self.build_slot(slot, moves);
            for (id, name, moved) in &in_slot {
                for earlier in &before {
                    let because = before_step
                        .map_or(Because::OneAtATime, |step| self.because_after(name, moved, step));
                    self.edge(earlier, id, because);
                }
            }
            self.order_within(slot, moves, &in_slot);
            let Some(step) = steps.get(slot) else {
                if !in_slot.is_empty() {
                    before = in_slot.into_iter().map(|(id, _, _)| id).collect();
                }
                break;
            };
            let Some((first, last)) = self.build_step(step) else { continue };
            for (id, name, moved) in &in_slot {
                let because = self.because_before(name, moved, step, moments, slot);
                self.edge(id, &first, because);
            }
            if in_slot.is_empty() {
                for earlier in &before {
                    self.edge(earlier, &first, because_of_steps(before_step, step));
                }
            }
            before = vec![last];
            before_step = Some(step);
        }
        before
    }

    fn build_slot(&mut self, slot: usize, moves: &Moves) -> Vec<(ActionId, AddonName, Move)> {
        let mut ids = Vec::new();
        for (name, all) in &moves.by_addon {
            for (position, moved) in all.iter().enumerate().filter(|(_, moved)| moved.slot == slot)
            {
                let first = position == 0;
                if let Some(action) = self.addon_action(name, moved, first) {
                    ids.push((self.push(action), name.clone(), moved.clone()));
                }
            }
        }
        ids
    }

    fn order_within(
        &mut self,
        slot: usize,
        moves: &Moves,
        in_slot: &[(ActionId, AddonName, Move)],
    ) {
        let id_of = |name: &AddonName| {
            in_slot.iter().find(|(_, other, _)| other == name).map(|(id, _, _)| id.clone())
        };
        for order in moves.orders.iter().filter(|order| order.slot == slot) {
            if let (Some(first), Some(then)) = (id_of(&order.first), id_of(&order.then)) {
                self.edge(&first, &then, order.because.clone());
            }
        }
    }

    /// The first and the last action of a step.
    fn build_step(&mut self, step: &Step) -> Option<(ActionId, ActionId)> {
        match step {
            Step::Hop(hop) => {
                let id = self.control_plane_hop(hop)?;
                Some((id.clone(), id))
            }
            Step::Roll { pools, to, before } => {
                let mut ends: Option<(ActionId, ActionId)> = None;
                for pool in self.cluster.pools.iter().filter(|pool| pools.contains(&pool.name)) {
                    let Some(id) = self.pool_roll(pool, to, *before) else { continue };
                    ends = Some(match ends {
                        None => (id.clone(), id),
                        Some((first, last)) => {
                            self.edge(&last, &id, Because::OneAtATime);
                            (first, id)
                        }
                    });
                }
                ends
            }
        }
    }

    fn control_plane_hop(&mut self, hop: &Hop) -> Option<ActionId> {
        let control_plane = &self.cluster.control_plane;
        let images = images::pins(self.state, &control_plane.groups, &control_plane.image, &hop.to);
        let images = match images {
            Ok(images) => images,
            Err(blocker) => {
                self.blockers.push(blocker.of("control-plane"));
                return None;
            }
        };
        let instances = self.control_plane_size();
        let groups: BTreeSet<GroupName> = control_plane.groups.iter().cloned().collect();
        let kind = ActionKind::ControlPlaneHop {
            from: hop.from.clone(),
            to: hop.to.clone(),
            images,
            instances,
        };
        let minor_changes = hop.from.iter().any(|from| from.minor() != hop.to.minor());
        let each = control_plane.drain_timeout.plus(control_plane.node_ready_timeout);
        Some(self.push(Action {
            id: Action::id_of(Some(&self.cluster.name), &kind),
            cluster: Some(self.cluster.name.clone()),
            kind,
            expect: machines(&groups, &hop.from, BTreeSet::new()),
            ensure: machines(&groups, &BTreeSet::from([hop.to.clone()]), BTreeSet::new()),
            bounds: Bounds::Rolling {
                surge: 0,
                unavailable: 1,
                drain_timeout: control_plane.drain_timeout,
                node_ready_timeout: control_plane.node_ready_timeout,
                node_interval: Period::ZERO,
            },
            timeout: each.times(instances.max(1)),
            estimate: CONTROL_PLANE_ESTIMATE.times(instances.max(1)),
            reversible: if minor_changes {
                Reversibility::ControlPlaneMinor
            } else {
                Reversibility::Reversible
            },
            why: self.declared(),
        }))
    }

    fn pool_roll(
        &mut self,
        pool: &NodePool,
        to: &KubeVersion,
        before: Option<Minor>,
    ) -> Option<ActionId> {
        let images = match images::pins(self.state, &pool.groups, &pool.image, to) {
            Ok(images) => images,
            Err(blocker) => {
                self.blockers.push(blocker.of(&pool.name));
                return None;
            }
        };
        let names = self.nodes_of(pool);
        let nodes = u32::try_from(names.len()).unwrap_or(u32::MAX);
        let from: BTreeSet<KubeVersion> = self.runs_before(pool, to, &names);
        let asked = self.options.replace.contains(&(self.cluster.name.clone(), pool.name.clone()));
        let cause = if before.is_some() || from.iter().any(|from| !from.same_release(to)) {
            RollCause::Version
        } else if asked {
            RollCause::Asked
        } else if self.wants_newer_image(pool) {
            RollCause::NewerImage
        } else {
            RollCause::LeftBehind
        };
        let replace: BTreeSet<InstanceId> = if cause == RollCause::Asked {
            self.instances_of(pool).map(|instance| instance.id.clone()).collect()
        } else {
            BTreeSet::new()
        };
        let surge = pool.max_surge.of_rounded_up(nodes);
        let mut unavailable = pool.max_unavailable.of_rounded_down(nodes);
        if surge == 0 && unavailable == 0 {
            // As for Deployments: a percentage that rounds down to none means one.
            unavailable = 1;
        }
        self.check_headroom(pool, surge, unavailable);
        let groups: BTreeSet<GroupName> = pool.groups.iter().cloned().collect();
        let wanted_images: BTreeMap<GroupName, ImageId> = if cause == RollCause::NewerImage {
            images.iter().map(|(group, pin)| (group.clone(), pin.id.clone())).collect()
        } else {
            BTreeMap::new()
        };
        let mut ensure = machines(&groups, &BTreeSet::from([to.clone()]), replace.clone());
        if let StateGuard::Machines { images, .. } = &mut ensure {
            *images = wanted_images;
        }
        let expect = machines(&groups, &from, BTreeSet::new());
        let kind = ActionKind::NodePoolRoll {
            pool: pool.name.clone(),
            from,
            to: to.clone(),
            images,
            nodes,
            cause,
            replace,
        };
        let each = pool.drain_timeout.plus(pool.node_ready_timeout).plus(pool.node_interval);
        Some(
            self.push(Action {
                id: Action::id_of(Some(&self.cluster.name), &kind),
                cluster: Some(self.cluster.name.clone()),
                kind,
                expect,
                ensure,
                bounds: Bounds::Rolling {
                    surge,
                    unavailable,
                    drain_timeout: pool.drain_timeout,
                    node_ready_timeout: pool.node_ready_timeout,
                    node_interval: pool.node_interval,
                },
                timeout: each.times(nodes.max(1)),
                // Nodes are drained one after the other; surge only hides how long one takes to boot.
                estimate: if surge > 1 { DRAIN_ESTIMATE } else { NODE_ESTIMATE }
                    .plus(pool.node_interval)
                    .times(nodes.max(1)),
                reversible: Reversibility::Reversible,
                why: match (before, cause) {
                    (Some(before), _) => Why::Skew { rule: SkewRule::Kubelet, before },
                    (None, RollCause::Version) => self.declared(),
                    (None, RollCause::NewerImage) => Why::NewerImage,
                    (None, RollCause::Asked) => Why::Asked,
                    (None, RollCause::LeftBehind) => Why::LeftBehind,
                },
            }),
        )
    }

    /// What the pool's nodes run when a roll begins: what they run now, unless an earlier roll
    /// of this plan has changed it.
    fn runs_before(
        &self,
        pool: &NodePool,
        to: &KubeVersion,
        names: &BTreeSet<&NodeName>,
    ) -> BTreeSet<KubeVersion> {
        let earlier = self.actions.iter().rev().find_map(|action| match &action.kind {
            ActionKind::NodePoolRoll { pool: other, to, .. } if *other == pool.name => Some(to),
            _ => None,
        });
        let mut from: BTreeSet<KubeVersion> = match earlier {
            Some(earlier) => BTreeSet::from([earlier.clone()]),
            None => names
                .iter()
                .filter_map(|name| self.state.nodes.get(*name))
                .map(|node| node.kubelet.clone())
                .collect(),
        };
        if from.is_empty() {
            from.insert(to.clone());
        }
        from
    }

    fn check_headroom(&mut self, pool: &NodePool, surge: u32, unavailable: u32) {
        let workers = self.state.nodes.values().filter(|node| !node.control_plane).count();
        if surge == 0 && workers == 1 {
            let guarded = self.state.pods.iter().find(|pod| {
                !pod.budgets.is_empty()
                    && pod.node.as_ref().is_some_and(|node| !self.state.nodes[node].control_plane)
            });
            if let Some(pod) = guarded {
                self.blockers.push(
                    Blocker::new(
                        Code::RF010,
                        format!(
                            "is the cluster's only node and may not surge: pods under a PodDisruptionBudget, such as {}/{}, have nowhere to go",
                            pod.namespace, pod.name
                        ),
                        "allow the pool `max-surge`",
                    )
                    .of(&pool.name),
                );
            }
        }
        if surge == 0 || unavailable > 0 {
            return;
        }
        for name in &pool.groups {
            let Some(group) = self.state.groups.get(name) else { continue };
            let surging = group.tags.contains_key(RollTag::KEY);
            if group.desired > 0 && group.desired >= group.max && !surging {
                self.blockers.push(
                    Blocker::new(
                        Code::RF010,
                        format!(
                            "desired of {name} is its maximum ({}), so there is no room to surge, and nothing may be unavailable",
                            group.max
                        ),
                        "raise the group's maximum, or allow `max-unavailable`",
                    )
                    .of(&pool.name),
                );
            }
        }
    }

    fn addon_action(&mut self, name: &AddonName, moved: &Move, first: bool) -> Option<Action> {
        let mark = AddonMark::of(self.state, name);
        let live = self.state.addons.get(name);
        let release = |version: &AddonVersion| {
            self.fleet.addons.get(name).and_then(|addon| addon.versions.get(version))
        };
        let from_mark = if first {
            mark
        } else {
            match &moved.from {
                None => AddonMark::Absent,
                Some(version) => AddonMark::At {
                    version: version.clone(),
                    digest: release(version)?.manifests.digest().clone(),
                },
            }
        };
        let why = self.why_addon(name, moved, &from_mark);
        let (kind, ensure, reversible) = if let Some(to) = &moved.to {
            let digest = release(to)?.manifests.digest().clone();
            let mark = AddonMark::At { version: to.clone(), digest: digest.clone() };
            let deletes = self.pruned(name, if first { None } else { moved.from.as_ref() }, to);
            let reversible = match u32::try_from(deletes.len()).unwrap_or(u32::MAX) {
                0 => Reversibility::Reversible,
                objects => Reversibility::Deletes { objects },
            };
            let kind = match (&from_mark, live.and_then(|live| live.foreign.as_ref())) {
                (AddonMark::Foreign { version }, Some(copy)) => ActionKind::AddonAdopt {
                    addon: name.clone(),
                    from: version.clone(),
                    to: to.clone(),
                    digest,
                    managers: copy.managers.clone(),
                },
                _ => ActionKind::AddonApply {
                    addon: name.clone(),
                    from: from_mark.clone(),
                    to: to.clone(),
                    digest,
                    deletes,
                },
            };
            (kind, StateGuard::addon(name, mark), reversible)
        } else {
            let (objects, kept) = self.removed(name);
            let count = u32::try_from(objects.len()).unwrap_or(u32::MAX);
            let kind = ActionKind::AddonRemove {
                addon: name.clone(),
                from: moved.from.clone()?,
                objects,
                kept,
            };
            let ensure = StateGuard::addon(name, AddonMark::Absent);
            (kind, ensure, Reversibility::Deletes { objects: count })
        };
        Some(Action {
            id: Action::id_of(Some(&self.cluster.name), &kind),
            cluster: Some(self.cluster.name.clone()),
            kind,
            expect: StateGuard::addon(name, from_mark),
            ensure,
            bounds: Bounds::None,
            timeout: ADDON_TIMEOUT,
            estimate: ADDON_ESTIMATE,
            reversible,
            why,
        })
    }

    /// What removing an add-on deletes, and what of it is kept.
    fn removed(&self, name: &AddonName) -> (BTreeSet<ObjectRef>, BTreeSet<ObjectRef>) {
        let members = self.state.addons.get(name).map(|addon| addon.members.clone());
        members.unwrap_or_default().into_iter().partition(|object| self.may_prune(name, object))
    }

    /// Whether refit may delete an object of this kind by itself.
    fn may_prune(&self, name: &AddonName, object: &ObjectRef) -> bool {
        /// Deleting one of these takes more with it than the object.
        const KEPT: [&str; 3] = ["CustomResourceDefinition", "Namespace", "PersistentVolumeClaim"];
        let prune = self.fleet.addons.get(name).map(|addon| &addon.prune);
        !KEPT.contains(&object.kind.as_str())
            || prune.is_some_and(|kinds| kinds.contains(&object.kind))
    }

    /// What is there before a move and not in the manifests of `to`: the ApplySet's members, or
    /// the objects of the version that an earlier move of this plan has brought.
    fn pruned(
        &self,
        name: &AddonName,
        from: Option<&AddonVersion>,
        to: &AddonVersion,
    ) -> BTreeSet<ObjectRef> {
        let versions = self.fleet.addons.get(name).map(|addon| &addon.versions);
        let objects = |version: &AddonVersion| {
            versions
                .and_then(|versions| versions.get(version))
                .map(|release| release.manifests.objects())
                .unwrap_or_default()
        };
        let there: BTreeSet<ObjectRef> = match from {
            Some(from) => objects(from).iter().map(|manifest| manifest.object.clone()).collect(),
            None => self.state.addons.get(name).map(|a| a.members.clone()).unwrap_or_default(),
        };
        let stays: BTreeSet<_> =
            objects(to).iter().map(|manifest| manifest.object.identity()).collect();
        there
            .iter()
            .filter(|object| !stays.contains(&object.identity()) && self.may_prune(name, object))
            .cloned()
            .collect()
    }

    fn why_addon(&self, name: &AddonName, moved: &Move, from: &AddonMark) -> Why {
        let Some(target) = self.cluster.addons.get(name) else { return Why::Unlisted };
        if let (AddonMark::Drifted { .. }, true) = (from, moved.from == moved.to) {
            let drift = self.state.addons.get(name).map(|addon| &addon.drift);
            let fields = drift
                .into_iter()
                .flatten()
                .take(5)
                .map(|drift| format!("{} {}", drift.object, drift.field))
                .collect();
            return Why::Drift { fields };
        }
        let goal = target.version.value == *moved.to.as_ref().unwrap_or(&target.version.value);
        if !goal && let Some((minor, supports)) = self.forced_by(name, moved) {
            return Why::AddonRange { minor, supports };
        }
        if target.version.pinned {
            Why::Pin { at: target.version.at.clone() }
        } else {
            Why::Release { release: self.cluster.release.clone(), at: target.version.at.clone() }
        }
    }

    /// The minor up to the target that the version that is there does not support.
    fn forced_by(&self, name: &AddonName, moved: &Move) -> Option<(Minor, String)> {
        let from = moved.from.as_ref()?;
        let range = &self.fleet.addons.get(name)?.versions.get(from)?.kubernetes;
        let oldest = running(self.state).first()?.minor();
        let target = self.cluster.kubernetes.value.minor();
        let mut minor = oldest;
        while minor <= target {
            if !range.contains(&minor) {
                return Some((minor, range.to_string()));
            }
            minor = minor.next();
        }
        None
    }

    fn range_of(
        &self,
        name: &AddonName,
        version: Option<&AddonVersion>,
    ) -> Option<(AddonVersion, String)> {
        let version = version?;
        let release = self.fleet.addons.get(name)?.versions.get(version)?;
        Some((version.clone(), release.kubernetes.to_string()))
    }

    /// Why an add-on's move comes before a step.
    fn because_before(
        &self,
        name: &AddonName,
        moved: &Move,
        step: &Step,
        moments: &Moments,
        slot: usize,
    ) -> Because {
        if let (Step::Hop(hop), Some((version, supports))) =
            (step, self.range_of(name, moved.from.as_ref()))
        {
            let minor = hop.to.minor();
            let fits = self.fleet.addons.get(name).and_then(|a| a.versions.get(&version));
            let during = moments.steps.get(slot);
            if fits.is_some_and(|release| !release.kubernetes.contains(&minor)) && during.is_some()
            {
                return Because::AddonCompatibility {
                    addon: name.clone(),
                    version,
                    supports,
                    minor,
                };
            }
        }
        let milestone = match step {
            Step::Hop(_) => Milestone::ControlPlane,
            Step::Roll { .. } => Milestone::Nodes,
        };
        let placed =
            self.fleet.addons.get(name).is_some_and(|a| a.placement.before.contains(&milestone));
        if placed {
            Because::Placement { addon: name.clone(), milestone }
        } else {
            Because::OneAtATime
        }
    }

    /// Why an add-on's move comes after a step.
    fn because_after(&self, name: &AddonName, moved: &Move, step: &Step) -> Because {
        if let (Step::Hop(hop), Some((version, supports))) =
            (step, self.range_of(name, moved.to.as_ref()))
        {
            let release = self.fleet.addons.get(name).and_then(|a| a.versions.get(&version));
            let missing =
                hop.from.iter().map(KubeVersion::minor).find(|minor| {
                    release.is_some_and(|release| !release.kubernetes.contains(minor))
                });
            if let Some(minor) = missing {
                return Because::AddonCompatibility {
                    addon: name.clone(),
                    version,
                    supports,
                    minor,
                };
            }
        }
        let milestone = match step {
            Step::Hop(_) => Milestone::ControlPlane,
            Step::Roll { .. } => Milestone::Nodes,
        };
        let placed =
            self.fleet.addons.get(name).is_some_and(|a| a.placement.after.contains(&milestone));
        if placed {
            Because::Placement { addon: name.clone(), milestone }
        } else {
            Because::OneAtATime
        }
    }

    /// Pins pools whose groups launch nodes that their control plane cannot take yet.
    fn pin_too_new(&mut self, live: &BTreeSet<KubeVersion>) -> Option<ActionId> {
        let oldest = live.first()?.clone();
        let known: BTreeSet<KubeVersion> =
            self.fleet.available.iter().chain(live).cloned().collect();
        let mut wanted: BTreeMap<GroupName, ImageId> = BTreeMap::new();
        let mut launched: BTreeMap<GroupName, BTreeSet<ImageId>> = BTreeMap::new();
        for pool in &self.cluster.pools {
            for name in &pool.groups {
                let Some(image) = self.state.groups.get(name).and_then(|group| group.image())
                else {
                    continue;
                };
                let version = images::version_of(self.state, &pool.image, image, known.iter());
                if version.is_none_or(|version| version.minor() <= oldest.minor()) {
                    continue;
                }
                let running = self.pool_version(pool, &oldest);
                match images::newest(self.state, &pool.image, &running) {
                    Some(pin) => {
                        wanted.insert(name.clone(), pin.id.clone());
                        launched.insert(name.clone(), BTreeSet::from([image.clone()]));
                    }
                    None => self.blockers.push(
                        Blocker::new(
                            Code::RF009,
                            format!(
                                "launches nodes that are newer than the control plane ({oldest}), and there is no image for {running} to pin it to"
                            ),
                            "let the group launch an image that the control plane can take",
                        )
                        .of(name),
                    ),
                }
            }
        }
        (!wanted.is_empty()).then(|| self.pin_groups(wanted, launched, Why::LaunchesTooNew))
    }

    /// What the pool's newest nodes run, as far as the control plane can take it.
    fn pool_version(&self, pool: &NodePool, oldest: &KubeVersion) -> KubeVersion {
        self.nodes_of(pool)
            .iter()
            .filter_map(|name| self.state.nodes.get(*name))
            .map(|node| node.kubelet.clone())
            .filter(|kubelet| kubelet.minor() <= oldest.minor())
            .max()
            .unwrap_or_else(|| oldest.clone())
    }

    /// Pins pools whose nodes are right, but whose groups would launch something else.
    fn pin_stale(&mut self, last: &[ActionId]) {
        let target = self.cluster.kubernetes.value.clone();
        let rolled: BTreeSet<PoolName> = self
            .actions
            .iter()
            .filter_map(|action| match &action.kind {
                ActionKind::NodePoolRoll { pool, to, .. } if *to == target => Some(pool.clone()),
                _ => None,
            })
            .collect();
        let mut wanted: BTreeMap<GroupName, ImageId> = BTreeMap::new();
        let mut launched: BTreeMap<GroupName, BTreeSet<ImageId>> = BTreeMap::new();
        let pinned: BTreeMap<GroupName, ImageId> = self
            .actions
            .iter()
            .filter_map(|action| match &action.kind {
                ActionKind::PinGroups { images } => Some(images.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        for pool in self.cluster.pools.iter().filter(|pool| !rolled.contains(&pool.name)) {
            let Some(newest) = images::newest(self.state, &pool.image, &target) else { continue };
            for name in &pool.groups {
                let Some(group) = self.state.groups.get(name) else { continue };
                let Some(image) = pinned.get(name).or_else(|| group.image()) else { continue };
                let launches =
                    images::version_of(self.state, &pool.image, image, std::iter::once(&target));
                if launches.is_none() {
                    wanted.insert(name.clone(), newest.id.clone());
                    launched.insert(name.clone(), BTreeSet::from([image.clone()]));
                }
            }
        }
        if wanted.is_empty() {
            return;
        }
        let why = self.declared();
        let id = self.pin_groups(wanted, launched, why);
        for earlier in last {
            self.edge(earlier, &id, Because::Skew { rule: SkewRule::Kubelet });
        }
    }

    fn pin_groups(
        &mut self,
        wanted: BTreeMap<GroupName, ImageId>,
        launched: BTreeMap<GroupName, BTreeSet<ImageId>>,
        why: Why,
    ) -> ActionId {
        let ensure = StateGuard::Launches {
            images: wanted
                .iter()
                .map(|(group, image)| (group.clone(), BTreeSet::from([image.clone()])))
                .collect(),
        };
        let kind = ActionKind::PinGroups { images: wanted };
        self.push(Action {
            id: Action::id_of(Some(&self.cluster.name), &kind),
            cluster: Some(self.cluster.name.clone()),
            kind,
            expect: StateGuard::Launches { images: launched },
            ensure,
            bounds: Bounds::None,
            timeout: PIN_TIMEOUT,
            estimate: PIN_ESTIMATE,
            reversible: Reversibility::Reversible,
            why,
        })
    }

    /// Puts the first pin before everything else.
    fn pin_first(&mut self, first: Option<ActionId>) {
        let Some(first) = first else { return };
        let waiting: BTreeSet<&ActionId> = self.edges.iter().map(|edge| &edge.to).collect();
        let sources: Vec<ActionId> = self
            .actions
            .iter()
            .map(|action| &action.id)
            .filter(|id| **id != first && !waiting.contains(id))
            .cloned()
            .collect();
        for source in sources {
            self.edge(&first, &source, Because::PinFirst);
        }
    }
}

fn machines(
    groups: &BTreeSet<GroupName>,
    versions: &BTreeSet<KubeVersion>,
    replaced: BTreeSet<InstanceId>,
) -> StateGuard {
    StateGuard::Machines {
        groups: groups.clone(),
        versions: versions.clone(),
        images: BTreeMap::new(),
        replaced,
    }
}

fn because_of_steps(before: Option<&Step>, step: &Step) -> Because {
    match (before, step) {
        (Some(Step::Hop(_)), Step::Hop(_)) => Because::Skew { rule: SkewRule::MinorByMinor },
        (Some(Step::Hop(_)), Step::Roll { .. }) | (Some(Step::Roll { .. }), Step::Hop(_)) => {
            Because::Skew { rule: SkewRule::Kubelet }
        }
        _ => Because::OneAtATime,
    }
}
