//! Actions that point groups at an image without replacing anything.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::skew::{self, SkewRule};
use refit_model::{
    Action, ActionKind, Because, Bounds, Code, GroupName, ImageId, KubeVersion, NodePool, Period,
    PoolName, Reversibility, StateGuard, UpdateStrategy, Why,
};

use super::ClusterPlanner;
use crate::checks::Blocker;
use crate::way::Way;

const PIN_ESTIMATE: Period = Period::seconds(10);

/// What groups are to launch, and what they launch until then.
#[derive(Default)]
struct Pins {
    wanted: BTreeMap<GroupName, ImageId>,
    launched: BTreeMap<GroupName, BTreeSet<ImageId>>,
}

impl ClusterPlanner<'_> {
    /// Pins pools whose groups launch nodes that their control plane cannot take yet.
    pub(super) fn pin_too_new(&mut self, live: &BTreeSet<KubeVersion>) -> Option<usize> {
        let oldest = live.first()?.clone();
        let mut wanted: BTreeMap<GroupName, ImageId> = BTreeMap::new();
        let mut launched: BTreeMap<GroupName, BTreeSet<ImageId>> = BTreeMap::new();
        for pool in &self.cluster.pools {
            for name in &pool.groups {
                let Some(image) = self.state.groups.get(name).and_then(|group| group.image())
                else {
                    continue;
                };
                let version = self.images.carried(&pool.image, image);
                if version.is_none_or(|version| version.minor() <= oldest.minor()) {
                    continue;
                }
                let running = self.pool_version(pool, live).unwrap_or_else(|| oldest.clone());
                match self.images.newest(&pool.image, &running) {
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
    fn pool_version(&self, pool: &NodePool, live: &BTreeSet<KubeVersion>) -> Option<KubeVersion> {
        let nodes = self.nodes_of(pool);
        let kubelets = nodes.iter().map(|(_, node)| &node.kubelet);
        let fits = |kubelet: &&KubeVersion| {
            live.iter().all(|server| skew::kubelet_fits(kubelet.minor(), server.minor()))
        };
        kubelets.filter(fits).max().cloned()
    }

    /// Pins pools whose nodes are right, but whose groups would launch something else: a roll that has
    /// no node to replace leaves its groups' templates as they are.
    pub(super) fn pin_stale(&mut self, last: &[usize]) {
        let target = self.cluster.kubernetes.value.clone();
        let rolled: BTreeSet<PoolName> = self
            .actions
            .iter()
            .filter_map(|action| match &action.kind {
                ActionKind::NodePoolRoll { pool, to, nodes, .. } if *to == target && *nodes > 0 => {
                    Some(pool.clone())
                }
                _ => None,
            })
            .collect();
        let (mut stale, mut on_delete) = (Pins::default(), Pins::default());
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
            let Some(newest) = self.images.newest(&pool.image, &target) else { continue };
            let of_its_own = pool.update == UpdateStrategy::OnDelete;
            let newer = of_its_own && self.wants_newer_image(pool);
            for name in &pool.groups {
                let Some(group) = self.state.groups.get(name) else { continue };
                let Some(image) = pinned.get(name).or_else(|| group.image()) else { continue };
                let launches = self.images.is_of(&pool.image, image, &target);
                if !launches || (newer && *image != newest.id) {
                    let pins = if of_its_own { &mut on_delete } else { &mut stale };
                    pins.wanted.insert(name.clone(), newest.id.clone());
                    pins.launched.insert(name.clone(), BTreeSet::from([image.clone()]));
                }
            }
        }
        for (Pins { wanted, launched }, why) in
            [(stale, self.declared()), (on_delete, Why::OnDelete)]
        {
            if wanted.is_empty() {
                continue;
            }
            let id = self.pin_groups(wanted, launched, why);
            for earlier in last {
                self.tie(*earlier, id, Because::Skew { rule: SkewRule::Kubelet });
            }
        }
    }

    pub(super) fn pin_groups(
        &mut self,
        wanted: BTreeMap<GroupName, ImageId>,
        launched: BTreeMap<GroupName, BTreeSet<ImageId>>,
        why: Why,
    ) -> usize {
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
            expect: StateGuard::Launches { images: launched }.into(),
            ensure: ensure.into(),
            bounds: Bounds::None,
            timeout: Action::PIN_TIMEOUT,
            estimate: PIN_ESTIMATE,
            reversible: Reversibility::Reversible,
            why,
        })
    }

    /// Puts the first pin before everything else.
    pub(super) fn pin_first(&mut self, first: Option<usize>, way: &Way) {
        let Some(first) = first else { return };
        for source in self.sources(way).into_iter().filter(|source| *source != first) {
            self.tie(first, source, Because::PinFirst);
        }
    }
}
