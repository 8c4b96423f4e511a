//! The order of a cluster's actions: steps one after the other, add-ons in the slots between them.

use refit_model::skew::SkewRule;
use std::collections::BTreeSet;

use refit_model::{
    ActionId, AddonName, AddonVersion, Because, KubeVersion, Milestone, Minor, Placement,
};

use super::ClusterPlanner;
use crate::addons::{Move, Moves};
use crate::timeline::Step;

impl ClusterPlanner<'_> {
    /// Turns steps and moves into actions, and ties each slot to the steps around it. Returns
    /// the actions that nothing follows.
    pub(super) fn build(&mut self, steps: &[Step], moves: &Moves) -> Vec<ActionId> {
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
                let because = self.because_before(name, moved, step);
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

    pub(super) fn build_slot(
        &mut self,
        slot: usize,
        moves: &Moves,
    ) -> Vec<(ActionId, AddonName, Move)> {
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

    pub(super) fn order_within(
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

    /// Why an add-on's move comes before a step: the step's minor, or where its file places it.
    pub(super) fn because_before(&self, name: &AddonName, moved: &Move, step: &Step) -> Because {
        let minors = match step {
            Step::Hop(hop) => vec![hop.to.minor()],
            Step::Roll { .. } => Vec::new(),
        };
        self.range_excludes(name, moved.from.as_ref(), &minors)
            .unwrap_or_else(|| self.placed(name, step, |placement| &placement.before))
    }

    /// Why an add-on's move comes after a step: the minors before it, or where its file places it.
    pub(super) fn because_after(&self, name: &AddonName, moved: &Move, step: &Step) -> Because {
        let minors = match step {
            Step::Hop(hop) => hop.from.iter().map(KubeVersion::minor).collect(),
            Step::Roll { .. } => Vec::new(),
        };
        self.range_excludes(name, moved.to.as_ref(), &minors)
            .unwrap_or_else(|| self.placed(name, step, |placement| &placement.after))
    }

    /// The first of the minors that a version does not support.
    fn range_excludes(
        &self,
        name: &AddonName,
        version: Option<&AddonVersion>,
        minors: &[Minor],
    ) -> Option<Because> {
        let (version, supports) = self.range_of(name, version)?;
        let range = &self.fleet.addons.get(name)?.versions.get(&version)?.kubernetes;
        let minor = *minors.iter().find(|minor| !range.contains(minor))?;
        Some(Because::AddonCompatibility { addon: name.clone(), version, supports, minor })
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

fn because_of_steps(before: Option<&Step>, step: &Step) -> Because {
    match (before, step) {
        (Some(Step::Hop(_)), Step::Hop(_)) => Because::Skew { rule: SkewRule::MinorByMinor },
        (Some(Step::Hop(_)), Step::Roll { .. }) | (Some(Step::Roll { .. }), Step::Hop(_)) => {
            Because::Skew { rule: SkewRule::Kubelet }
        }
        _ => Because::OneAtATime,
    }
}
