//! Actions that replace machines: hops of the control plane, rolls of node pools.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use refit_model::{
    Action, ActionKind, Code, GroupName, ImageId, InstanceId, KubeVersion, NodeName, NodePool,
    Period, Reversibility, RollCause, RollTag, Severity, StateGuard, Why,
};

use super::ClusterPlanner;
use super::tasks::Early;
use crate::bounds;
use crate::checks::Blocker;
use crate::hops::Hop;

// Estimates, from what such steps take on EC2: an instance boots and joins in some three
// minutes, a control plane instance with its etcd member in some five, a drain takes two.
const NODE_ESTIMATE: Period = Period::minutes(5);
const DRAIN_ESTIMATE: Period = Period::minutes(3);
const CONTROL_PLANE_ESTIMATE: Period = Period::minutes(8);

impl<'a> ClusterPlanner<'a> {
    pub(super) fn control_plane_hop(
        &mut self,
        hop: &Hop,
        after: &Arc<BTreeSet<KubeVersion>>,
    ) -> Option<Action> {
        let control_plane = &self.cluster.control_plane;
        let images = self.images.pins(&control_plane.groups, &control_plane.image, &hop.to);
        let images = match images {
            Ok(images) => images,
            Err(blocker) => {
                self.blockers.push(blocker.of("control-plane"));
                return None;
            }
        };
        let instances = self.control_plane_size();
        let groups = Arc::new(control_plane.groups.iter().cloned().collect());
        let kind = ActionKind::ControlPlaneHop {
            from: hop.from.clone(),
            to: hop.to.clone(),
            images,
            instances,
        };
        let mut minors = hop.from.iter().map(KubeVersion::minor);
        let reversible = if minors.clone().any(|from| from > hop.to.minor()) {
            Reversibility::Downgrade { definitions: BTreeSet::new(), objects: 0 }
        } else if minors.any(|from| from < hop.to.minor()) {
            Reversibility::ControlPlaneMinor
        } else {
            Reversibility::Reversible
        };
        let allowed = bounds::of_control_plane(control_plane);
        Some(Action {
            id: Action::id_of(Some(&self.cluster.name), &kind),
            cluster: Some(self.cluster.name.clone()),
            kind,
            expect: machines(&groups, &hop.from, BTreeSet::new()).into(),
            ensure: machines(&groups, after, BTreeSet::new()).into(),
            timeout: bounds::timeout(&allowed, instances),
            bounds: allowed,
            estimate: CONTROL_PLANE_ESTIMATE.times(instances.max(1)),
            reversible,
            why: self.declared(),
        })
    }

    pub(super) fn pool_roll(
        &mut self,
        pool: &'a NodePool,
        from: &Arc<BTreeSet<KubeVersion>>,
        after: &Arc<BTreeSet<KubeVersion>>,
        to: &KubeVersion,
        early: Option<Early<'_>>,
    ) -> Option<Action> {
        let images = match self.images.pins(&pool.groups, &pool.image, to) {
            Ok(images) => images,
            Err(blocker) => {
                self.blockers.push(blocker.of(&pool.name));
                return None;
            }
        };
        let found = self.nodes_of(pool);
        let nodes = u32::try_from(found.len()).unwrap_or(u32::MAX);
        let asked = self.options.replace.contains(&(self.cluster.name.clone(), pool.name.clone()));
        let cause = if early.is_some() || from.iter().any(|from| !from.same_release(to)) {
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
        let surge = self.within_maximum(pool, surge, unavailable);
        let groups = Arc::new(pool.groups.iter().cloned().collect());
        let wanted_images: BTreeMap<GroupName, ImageId> = if cause == RollCause::NewerImage {
            images.iter().map(|(group, pin)| (group.clone(), pin.id.clone())).collect()
        } else {
            BTreeMap::new()
        };
        let mut ensure = machines(&groups, after, replace.clone());
        if let StateGuard::Machines { images, .. } = &mut ensure {
            *images = wanted_images;
        }
        let expect = machines(&groups, from, BTreeSet::new());
        let why = match (early, cause) {
            (Some(early), _) => self.why_early(early, from),
            (None, RollCause::Version) => self.declared(),
            (None, RollCause::NewerImage) => Why::NewerImage,
            (None, RollCause::Asked) => Why::Asked,
            (None, RollCause::LeftBehind) => Why::LeftBehind,
        };
        let kind = ActionKind::NodePoolRoll {
            pool: pool.name.clone(),
            from: from.clone(),
            to: to.clone(),
            images,
            nodes,
            cause,
            replace,
        };
        let allowed = bounds::of_pool(pool, (surge, unavailable), pool.node_interval);
        Some(Action {
            id: Action::id_of(Some(&self.cluster.name), &kind),
            cluster: Some(self.cluster.name.clone()),
            kind,
            expect: expect.into(),
            ensure: ensure.into(),
            timeout: bounds::timeout(&allowed, nodes),
            bounds: allowed,
            // Nodes are drained one after the other; surge only hides how long one takes to boot.
            estimate: if surge > 1 { DRAIN_ESTIMATE } else { NODE_ESTIMATE }
                .plus(pool.node_interval)
                .times(nodes.max(1)),
            reversible: Reversibility::Reversible,
            why,
        })
    }

    /// Returns how far the roll of a pool can surge: as declared, or less where the maxima of its groups
    /// leave less room, which is told. A group that a run has raised already has its surge.
    fn within_maximum(&mut self, pool: &NodePool, declared: u32, unavailable: u32) -> u32 {
        let groups =
            pool.groups.iter().filter_map(|name| Some((name, self.state.groups.get(name)?)));
        let rolled: Vec<_> = groups.filter(|(_, group)| !group.instances.is_empty()).collect();
        let room = rolled.iter().fold(0_u32, |room, (_, group)| {
            room.saturating_add(group.max.saturating_sub(group.desired))
        });
        let surging = rolled.iter().any(|(_, group)| group.tags.contains_key(RollTag::KEY));
        // Without any room, and if nothing may be unavailable, the roll is blocked (RF010).
        let is_blocked = room == 0 && unavailable == 0;
        if room >= declared || surging || is_blocked || rolled.is_empty() {
            return declared;
        }
        let full: Vec<String> = rolled
            .iter()
            .map(|(name, group)| format!("{name} has {} of at most {}", group.desired, group.max))
            .collect();
        let evidence = format!("surges {room} instead of {declared}: {}", crate::few::few(&full));
        let hint = "raise the maximum of its groups for a faster roll";
        let told = Blocker::new(Code::RF054, evidence, hint);
        // A pool that is rolled more than once is told once.
        let told = told.of(&pool.name).weighing(Severity::Note);
        let is_told = |blocker: &Blocker| blocker.code == told.code && blocker.part == told.part;
        if !self.blockers.iter().any(is_told) {
            self.blockers.push(told);
        }
        room
    }

    pub(super) fn check_headroom(&mut self, pool: &NodePool, surge: u32, unavailable: u32) {
        let workers = || self.state.nodes.values().filter(|node| !node.control_plane).count();
        if surge == 0 && workers() == 1 {
            let on_worker = |name: &NodeName| {
                self.state.nodes.get(name).is_some_and(|node| !node.control_plane)
            };
            let guarded = self
                .state
                .pods
                .iter()
                .filter(|pod| !pod.budgets.is_empty() && pod.node.as_ref().is_some_and(on_worker))
                .min_by_key(|pod| (&pod.namespace, &pod.name));
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
}

fn machines(
    groups: &Arc<BTreeSet<GroupName>>,
    versions: &Arc<BTreeSet<KubeVersion>>,
    replaced: BTreeSet<InstanceId>,
) -> StateGuard {
    StateGuard::Machines {
        groups: groups.clone(),
        versions: versions.clone(),
        images: BTreeMap::new(),
        replaced,
    }
}
