//! The actions of a cluster, made of the tasks of its way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use refit_model::skew::{self, SkewRule};
use refit_model::{Action, AddonName, Because, KubeVersion, Milestone, Minor, PoolName, Why};

use super::ClusterPlanner;
use super::launches::LatePins;
use crate::layout::Task;
use crate::timeline::Step;
use crate::way::Way;

impl ClusterPlanner<'_> {
    /// Makes the action of every task. What cannot be made is a blocker.
    pub(super) fn act(&mut self, way: &Way) {
        self.actions.reserve_exact(way.layout.tasks.len());
        for task in &way.layout.tasks {
            let action = match task {
                Task::Hop { step, to } => match &way.steps[*step] {
                    Step::Hop(hop) => self.control_plane_hop(hop, to),
                    Step::Roll { .. } => None,
                },
                Task::Roll { step, pool, from, to } => self.roll(way, *step, pool, from, to),
                Task::Migration { addon, nth } => self.migration(way, addon, *nth),
                Task::Move { addon, nth, marks } => marks
                    .as_ref()
                    .and_then(|marks| self.addon_action(addon, &way.moves[addon], *nth, marks)),
            };
            self.actions.extend(action.map(Box::new));
        }
    }

    fn roll(
        &mut self,
        way: &Way,
        step: usize,
        pool: &PoolName,
        from: &Arc<BTreeSet<KubeVersion>>,
        after: &Arc<BTreeSet<KubeVersion>>,
    ) -> Option<Action> {
        let Step::Roll { to, before, .. } = &way.steps[step] else { return None };
        let early = before.map(|before| Early { way, slot: step, before });
        self.pool_roll(self.cluster.pool(pool)?, from, after, to, early)
    }

    /// Pins groups between two hops: not before the control plane can take what they then launch, and
    /// not after it cannot take what they launched so far.
    pub(super) fn pin_late(&mut self, way: &Way, mut late_pins: BTreeMap<usize, LatePins>) {
        let mut last_hop: Option<usize> = None;
        for (task, place) in way.layout.tasks.iter().zip(self.first_task..) {
            let Task::Hop { step, .. } = task else { continue };
            if let Some(LatePins { wanted, launched, before }) = late_pins.remove(step) {
                let rule = SkewRule::Kubelet;
                let pin = self.pin_groups(wanted, launched, Why::Skew { rule, before });
                if let Some(after) = last_hop {
                    self.tie(after, pin, Because::Skew { rule });
                }
                self.tie(pin, place, Because::Skew { rule });
            }
            last_hop = Some(place);
        }
    }
}

/// A roll on the way: the slot before it, and the minor of the next hop.
#[derive(Clone, Copy)]
pub(super) struct Early<'w> {
    way: &'w Way,
    slot: usize,
    before: Minor,
}

impl ClusterPlanner<'_> {
    /// What asks for a roll on the way: the skew policy, or an add-on that moves after it.
    pub(super) fn why_early(&self, roll: Early<'_>, from: &BTreeSet<KubeVersion>) -> Why {
        let Early { way, slot, before } = roll;
        let end = self.cluster.kubernetes.value.minor();
        let skew = Why::Skew { rule: SkewRule::Kubelet, before };
        if from.iter().any(|kubelet| !skew::kubelet_fits(kubelet.minor(), end)) {
            return skew;
        }
        let later = way.moves.iter().filter(|(_, moves)| moves.iter().any(|m| m.slot > slot));
        for (name, moves) in later.clone() {
            let to = moves.iter().filter(|moved| moved.slot > slot).find_map(|m| m.to.as_ref());
            let addon = self.fleet.addons.get(name);
            let known = addon.zip(to).and_then(|(addon, to)| Some((to, addon.versions.get(to)?)));
            if let Some((to, release)) = known
                && let Some(range) = &release.kubelets
                && from.iter().any(|kubelet| !range.contains(&kubelet.minor()))
            {
                let (addon, supports) = (name.clone(), range.to_string());
                return Why::AddonKubelets { addon, version: to.clone(), supports };
            }
        }
        let waits = |name: &&AddonName| {
            let addon = self.fleet.addons.get(*name);
            addon.is_some_and(|addon| addon.placement.after.contains(&Milestone::Nodes))
        };
        match later.map(|(name, _)| name).find(waits) {
            Some(addon) => Why::AddonAfterNodes { addon: addon.clone() },
            None => skew,
        }
    }
}
