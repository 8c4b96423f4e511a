//! The order of a cluster's actions: steps one after the other, add-ons in the slots between them.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::skew::SkewRule;
use refit_model::{
    ActionId, ActionKind, AddonName, AddonVersion, Because, KubeVersion, Milestone, Minor,
    Placement, PoolName, VersionRange, Why,
};

use super::ClusterPlanner;
use super::launches::LatePins;
use crate::addons::{Move, Moves};
use crate::timeline::Step;

impl ClusterPlanner<'_> {
    /// Turns steps and moves into actions, and ties each slot to the steps around it. Returns
    /// the actions that nothing follows.
    pub(super) fn build(
        &mut self,
        steps: &[Step],
        moves: &Moves,
        mut late_pins: BTreeMap<usize, LatePins>,
    ) -> Vec<ActionId> {
        let mut before: Vec<ActionId> = Vec::new();
        let mut before_step: Option<&Step> = None;
        let mut last_hop: Option<ActionId> = None;
        for slot in 0..=steps.len() {
            let in_slot = self.build_slot(slot, moves);
            for (id, name, moved) in first_of_each(&in_slot) {
                for earlier in &before {
                    let because = before_step
                        .map_or(Because::OneAtATime, |step| self.because_after(name, moved, step));
                    self.edge(earlier, id, because);
                }
            }
            self.order_within(moves, &in_slot);
            let Some(step) = steps.get(slot) else {
                if !in_slot.is_empty() {
                    before = in_slot.into_iter().map(|(id, _, _)| id).collect();
                }
                break;
            };
            let Some((first, last)) = self.build_step(step) else { continue };
            for (id, name, moved) in last_of_each(&in_slot) {
                let because = self.because_before(name, moved, step);
                self.edge(id, &first, because);
            }
            if in_slot.is_empty() {
                for earlier in &before {
                    self.edge(earlier, &first, because_of_steps(before_step, step));
                }
            }
            if let Some(late) = late_pins.remove(&slot) {
                self.pin_late(late, last_hop.as_ref(), &first);
            }
            if matches!(step, Step::Hop(_)) {
                last_hop = Some(last.clone());
            }
            before = vec![last];
            before_step = Some(step);
        }
        before
    }

    /// Pins groups between two hops: not before the control plane can take what they then
    /// launch, and not after it cannot take what they launched so far.
    fn pin_late(&mut self, late: LatePins, after: Option<&ActionId>, hop: &ActionId) {
        let LatePins { wanted, launched, before } = late;
        let rule = SkewRule::Kubelet;
        let id = self.pin_groups(wanted, launched, Why::Skew { rule, before });
        if let Some(after) = after {
            self.edge(after, &id, Because::Skew { rule });
        }
        self.edge(&id, hop, Because::Skew { rule });
    }

    fn build_slot(&mut self, slot: usize, moves: &Moves) -> Vec<InSlot> {
        let mut ids = Vec::new();
        for (name, moved, first) in moves.in_slot(slot) {
            let migration = self.migration(name, moved);
            let Some(action) = self.addon_action(name, moved, first) else { continue };
            if let Some((migration, because)) = migration {
                self.edge(&migration.id, &action.id, because);
                ids.push((self.push(migration), name.clone(), moved.clone()));
            }
            ids.push((self.push(action), name.clone(), moved.clone()));
        }
        ids
    }

    fn order_within(&mut self, moves: &Moves, in_slot: &[InSlot]) {
        // A storage migration comes before its move, and what the move waits for before both.
        let all_of = |(name, part): &(AddonName, usize)| {
            let is_it = |(_, other, moved): &&InSlot| other == name && moved.slot == *part;
            in_slot.iter().filter(is_it).map(|(id, _, _)| id.clone()).collect::<Vec<_>>()
        };
        for order in &moves.orders {
            if let (Some(first), Some(then)) =
                (all_of(&order.first).last(), all_of(&order.then).first())
            {
                self.edge(first, then, order.because.clone());
            }
        }
    }

    /// The first and the last action of a step.
    pub(super) fn build_step(&mut self, step: &Step) -> Option<(ActionId, ActionId)> {
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

    /// Why an add-on's move comes before a step: what the step brings, or where its file places
    /// it.
    pub(super) fn because_before(&self, name: &AddonName, moved: &Move, step: &Step) -> Because {
        let (servers, kubelets) = match step {
            Step::Hop(hop) => (vec![hop.to.minor()], vec![hop.to.minor()]),
            Step::Roll { to, .. } => (Vec::new(), vec![to.minor()]),
        };
        self.range_excludes(name, moved.from.as_ref(), &servers, &kubelets)
            .unwrap_or_else(|| self.placed(name, step, |placement| &placement.before))
    }

    /// Why an add-on's move comes after a step: what the step takes away, or where its file
    /// places it.
    pub(super) fn because_after(&self, name: &AddonName, moved: &Move, step: &Step) -> Because {
        let (servers, kubelets) = match step {
            Step::Hop(hop) => {
                let minors: Vec<Minor> = hop.from.iter().map(KubeVersion::minor).collect();
                (minors.clone(), minors)
            }
            Step::Roll { pools, to, .. } => (Vec::new(), self.rolled_from(pools, to)),
        };
        self.range_excludes(name, moved.to.as_ref(), &servers, &kubelets)
            .unwrap_or_else(|| self.placed(name, step, |placement| &placement.after))
    }

    /// What the nodes ran that a step of the plan has rolled.
    fn rolled_from(&self, pools: &BTreeSet<PoolName>, to: &KubeVersion) -> Vec<Minor> {
        let rolls = self.actions.iter().filter_map(|action| match &action.kind {
            ActionKind::NodePoolRoll { pool, from, to: reached, .. }
                if pools.contains(pool) && reached == to =>
            {
                Some(from)
            }
            _ => None,
        });
        rolls.flatten().map(KubeVersion::minor).collect()
    }

    /// The first of the minors that a version does not support, as an apiserver's or as a
    /// kubelet's.
    fn range_excludes(
        &self,
        name: &AddonName,
        version: Option<&AddonVersion>,
        servers: &[Minor],
        kubelets: &[Minor],
    ) -> Option<Because> {
        let (addon, version) = (name.clone(), version?.clone());
        let release = self.fleet.addons.get(name)?.versions.get(&version)?;
        let outside = |range: &VersionRange<Minor>, minors: &[Minor]| {
            minors.iter().find(|minor| !range.contains(minor)).copied()
        };
        if let Some(minor) = outside(&release.kubernetes, servers) {
            let supports = release.kubernetes.to_string();
            return Some(Because::AddonCompatibility { addon, version, supports, minor });
        }
        let unserved = |minor: &Minor| Some((release.unserved(*minor).next()?, *minor));
        if let Some((used, minor)) = servers.iter().find_map(unserved) {
            let api = used.object.api_version.clone();
            return Some(Because::AddonApi { addon, version, api, minor });
        }
        let range = release.kubelets.as_ref()?;
        let minor = outside(range, kubelets)?;
        Some(Because::AddonKubelets { addon, version, supports: range.to_string(), minor })
    }

    fn placed(
        &self,
        name: &AddonName,
        step: &Step,
        side: impl Fn(&Placement) -> &BTreeSet<Milestone>,
    ) -> Because {
        let milestone = match step {
            Step::Hop(_) => Milestone::ControlPlane,
            Step::Roll { .. } => Milestone::Nodes,
        };
        let addon = self.fleet.addons.get(name);
        if addon.is_some_and(|addon| side(&addon.placement).contains(&milestone)) {
            Because::Placement { addon: name.clone(), milestone }
        } else {
            Because::OneAtATime
        }
    }
}

/// An action that moves an add-on in a slot.
type InSlot = (ActionId, AddonName, Move);

/// Each add-on's first move of a slot: the others wait for it.
fn first_of_each(in_slot: &[InSlot]) -> Vec<&InSlot> {
    let is_first = |at: &usize| in_slot[..*at].iter().all(|(_, name, _)| *name != in_slot[*at].1);
    (0..in_slot.len()).filter(is_first).map(|at| &in_slot[at]).collect()
}

/// Each add-on's last move of a slot: it waits for the others.
fn last_of_each(in_slot: &[InSlot]) -> Vec<&InSlot> {
    let is_last =
        |at: &usize| in_slot[*at + 1..].iter().all(|(_, name, _)| *name != in_slot[*at].1);
    (0..in_slot.len()).filter(is_last).map(|at| &in_slot[at]).collect()
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
