//! Which versions live when, worked out from a plan alone. A version lives from the beginning of
//! the action that brings it to the end of the action that replaces it.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionKind, AddonMark, AddonName, AddonVersion, ClusterPlan, KubeVersion, Lives, Minor,
    PoolName,
};

use super::Explainer;

/// From the action that begins it to the one that ends it; none: from before the plan, or beyond
/// it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stage {
    pub(super) begins: Option<usize>,
    pub(super) ends: Option<usize>,
}

/// What an add-on is before an action on it, and after; none: absent.
pub(super) fn ends_of(kind: &ActionKind) -> (Option<AddonVersion>, Option<AddonVersion>) {
    match kind {
        ActionKind::AddonApply { from, to, .. } => {
            let from = match from {
                AddonMark::Absent => None,
                AddonMark::At { version, .. } | AddonMark::Drifted { version, .. } => {
                    Some(version.clone())
                }
                AddonMark::Foreign { version } => version.parse().ok(),
            };
            (from, Some(to.clone()))
        }
        ActionKind::AddonAdopt { from, to, .. } => (from.parse().ok(), Some(to.clone())),
        ActionKind::AddonRemove { from, .. } => (Some(from.clone()), None),
        _ => (None, None),
    }
}

impl<'a> Explainer<'a> {
    /// A cluster's actions of a sort, in order.
    pub(super) fn of_cluster(
        &self,
        cluster: &ClusterPlan,
        wanted: impl Fn(&ActionKind) -> bool,
    ) -> Vec<&'a Action> {
        let is_it = |action: &&Action| {
            action.cluster.as_ref() == Some(&cluster.name) && wanted(&action.kind)
        };
        self.order.sorted(self.plan.actions.iter().map(Box::as_ref).filter(is_it).collect())
    }

    pub(super) fn hops(&self, cluster: &ClusterPlan) -> Vec<&'a Action> {
        self.of_cluster(cluster, |kind| matches!(kind, ActionKind::ControlPlaneHop { .. }))
    }

    pub(super) fn moves(&self, cluster: &ClusterPlan, addon: &AddonName) -> Vec<&'a Action> {
        self.of_cluster(cluster, |kind| {
            kind.addon() == Some(addon) && !matches!(kind, ActionKind::StorageMigration { .. })
        })
    }

    /// The stage that an action begins, among the actions on the same component.
    pub(super) fn stage_of(&self, action: &Action, all: &[&Action]) -> Stage {
        let next =
            all.iter().position(|other| other.id == action.id).and_then(|at| all.get(at + 1));
        Stage {
            begins: self.order.place(&action.id),
            ends: next.and_then(|next| self.order.place(&next.id)),
        }
    }

    /// Whether both live at the same time in some order that the plan allows.
    fn meet(&self, one: Stage, other: Stage) -> bool {
        let is_over = |first: Stage, then: Stage| match (first.ends, then.begins) {
            (Some(end), Some(begin)) => self.order.comes_before(end, begin),
            _ => false,
        };
        !is_over(one, other) && !is_over(other, one)
    }

    /// What lives during a stage of an add-on.
    pub(super) fn lives(&self, cluster: &ClusterPlan, stage: Stage) -> Lives {
        let mut lives = Lives::default();
        let hops = self.hops(cluster);
        let first = hops.first().map(|hop| hop.id);
        let before = Stage { begins: None, ends: first.and_then(|id| self.order.place(&id)) };
        if self.meet(before, stage) {
            lives.api_servers.extend(cluster.from.iter().map(KubeVersion::minor));
        }
        for hop in &hops {
            let ActionKind::ControlPlaneHop { to, .. } = &hop.kind else { continue };
            if self.meet(self.stage_of(hop, &hops), stage) {
                lives.api_servers.insert(to.minor());
            }
        }
        // The machines of the control plane have kubelets of the same versions.
        lives.kubelets.clone_from(&lives.api_servers);
        lives.kubelets.extend(&cluster.kubelets_that_stay);
        for rolls in self.rolls(cluster) {
            lives.kubelets.extend(self.kubelets(&rolls, stage));
        }
        lives
    }

    /// The rolls of each pool of a cluster that is rolled.
    fn rolls(&self, cluster: &ClusterPlan) -> Vec<Vec<&'a Action>> {
        let mut rolls: BTreeMap<&'a PoolName, Vec<&'a Action>> = BTreeMap::new();
        let is_roll = |kind: &ActionKind| matches!(kind, ActionKind::NodePoolRoll { .. });
        for action in self.of_cluster(cluster, is_roll) {
            if let ActionKind::NodePoolRoll { pool, .. } = &action.kind {
                rolls.entry(pool).or_default().push(action);
            }
        }
        rolls.into_values().collect()
    }

    /// The kubelets of a pool that live during a stage.
    fn kubelets(&self, rolls: &[&Action], stage: Stage) -> BTreeSet<Minor> {
        let mut minors = BTreeSet::new();
        let first = rolls.first().and_then(|first| self.order.place(&first.id));
        let before = Stage { begins: None, ends: first };
        for (at, roll) in rolls.iter().enumerate() {
            let ActionKind::NodePoolRoll { from, to, .. } = &roll.kind else { continue };
            if at == 0 && self.meet(before, stage) {
                minors.extend(from.iter().map(KubeVersion::minor));
            }
            if self.meet(self.stage_of(roll, rolls), stage) {
                minors.insert(to.minor());
            }
        }
        minors
    }

    /// The versions of an add-on that are there during a stage of another one, none for when it
    /// is absent.
    pub(super) fn there(
        &self,
        cluster: &ClusterPlan,
        addon: &AddonName,
        stage: Stage,
    ) -> BTreeSet<Option<AddonVersion>> {
        let moves = self.moves(cluster, addon);
        let Some(first) = moves.first() else {
            let declared = self.fleet.and_then(|fleet| fleet.clusters.get(&cluster.name));
            let target = declared.and_then(|declared| declared.addons.get(addon));
            return BTreeSet::from([target.map(|target| target.version.value.clone())]);
        };
        let mut there = BTreeSet::new();
        let before = Stage { begins: None, ends: self.order.place(&first.id) };
        if self.meet(before, stage) {
            there.insert(ends_of(&first.kind).0);
        }
        for action in &moves {
            if self.meet(self.stage_of(action, &moves), stage) {
                there.insert(ends_of(&action.kind).1);
            }
        }
        there
    }
}
