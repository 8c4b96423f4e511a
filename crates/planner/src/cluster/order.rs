//! The order of a cluster's actions: steps one after the other, add-ons in the slots between them.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::skew::{self, SkewRule};
use refit_model::{
    ActionId, ActionKind, AddonName, AddonVersion, Because, KubeVersion, Milestone, Minor,
    Placement, PoolName, VersionRange, Why,
};

use super::ClusterPlanner;
use super::launches::LatePins;
use crate::hops::is_newer;
use crate::timeline::Step;
use crate::way::{Move, Way};

impl ClusterPlanner<'_> {
    /// Turns steps and moves into actions, and ties each slot to the steps around it. Returns
    /// the actions that nothing follows.
    pub(super) fn build(
        &mut self,
        way: &Way,
        mut late_pins: BTreeMap<usize, LatePins>,
    ) -> Vec<ActionId> {
        let mut before: Vec<ActionId> = Vec::new();
        let mut before_step: Option<&Step> = None;
        let mut last_hop: Option<ActionId> = None;
        let steps = &way.steps;
        for slot in 0..=steps.len() {
            let in_slot = self.build_slot(slot, way);
            for (id, name, _, moved) in first_of_each(&in_slot) {
                for earlier in &before {
                    let because = before_step
                        .map_or(Because::OneAtATime, |step| self.because_after(name, moved, step));
                    self.edge(earlier, id, because);
                }
            }
            self.order_within(way, &in_slot);
            let Some(step) = steps.get(slot) else {
                if !in_slot.is_empty() {
                    before = in_slot.into_iter().map(|(id, ..)| id).collect();
                }
                break;
            };
            let Some(Ends { first, last }) = self.build_step(way, slot, step) else { continue };
            for (id, name, _, moved) in last_of_each(&in_slot) {
                for begins in &first {
                    let because = self.because_before(name, moved, step);
                    self.edge(id, begins, because);
                }
            }
            if in_slot.is_empty() {
                for (earlier, begins) in
                    before.iter().flat_map(|e| first.iter().map(move |b| (e, b)))
                {
                    self.edge(earlier, begins, because_of_steps(before_step, step));
                }
            }
            if let Step::Hop(_) = step {
                if let (Some(late), [hop]) = (late_pins.remove(&slot), first.as_slice()) {
                    self.pin_late(late, last_hop.as_ref(), hop);
                }
                last_hop = last.first().copied();
            }
            before = last;
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

    fn build_slot<'w>(&mut self, slot: usize, way: &'w Way) -> Vec<InSlot<'w>> {
        let mut ids = Vec::new();
        for (name, nth, moved) in way.in_slot(slot) {
            let migration = self.migration(name, nth, moved);
            let Some(action) = self.addon_action(name, moved, nth == 0) else { continue };
            if let Some((migration, because)) = migration {
                self.edge(&migration.id, &action.id, because);
                ids.push((self.push(migration), name, nth, moved));
            }
            ids.push((self.push(action), name, nth, moved));
        }
        ids
    }

    fn order_within(&mut self, way: &Way, in_slot: &[InSlot<'_>]) {
        // A storage migration comes before its move, and what the move waits for before both.
        let all_of = |(name, nth): &(AddonName, usize)| {
            let is_it = |(_, other, which, _): &&InSlot<'_>| *other == name && which == nth;
            in_slot.iter().filter(is_it).map(|(id, ..)| *id).collect::<Vec<_>>()
        };
        for order in &way.orders {
            if let (Some(first), Some(then)) =
                (all_of(&order.first).last(), all_of(&order.then).first())
            {
                self.edge(first, then, order.because.clone());
            }
        }
    }

    /// The actions of a step. Pools follow each other as they are declared, or, where several may
    /// be rolled at once, do not wait for each other: then whoever applies the plan counts them.
    fn build_step(&mut self, way: &Way, slot: usize, step: &Step) -> Option<Ends> {
        match step {
            Step::Hop(hop) => {
                let id = self.control_plane_hop(hop)?;
                Some(Ends { first: vec![id], last: vec![id] })
            }
            Step::Roll { pools, to, before } => {
                let mut rolls: Vec<ActionId> = Vec::new();
                for pool in self.cluster.pools.iter().filter(|pool| pools.contains(&pool.name)) {
                    let early = before.map(|before| Early { way, slot, before });
                    rolls.extend(self.pool_roll(pool, to, early));
                }
                if self.cluster.max_parallel_pools > 1 {
                    return (!rolls.is_empty()).then(|| Ends { first: rolls.clone(), last: rolls });
                }
                for pair in rolls.windows(2) {
                    self.edge(&pair[0], &pair[1], Because::OneAtATime);
                }
                let (first, last) = (*rolls.first()?, *rolls.last()?);
                Some(Ends { first: vec![first], last: vec![last] })
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
        self.range_excludes(name, moved.from.as_ref(), &servers, &kubelets).unwrap_or_else(|| {
            match step {
                Step::Hop(hop) if moved.goes_back() && hop.goes_back() => Because::Downgrade,
                _ => self.placed(name, step, |placement| &placement.before),
            }
        })
    }

    /// Why an add-on's move comes after a step: what the step takes away, or where its file
    /// places it.
    pub(super) fn because_after(&self, name: &AddonName, moved: &Move, step: &Step) -> Because {
        let (servers, kubelets) = match step {
            Step::Hop(hop) => {
                let minors: Vec<Minor> = hop.from.iter().map(KubeVersion::minor).collect();
                (minors.clone(), minors)
            }
            Step::Roll { pools, to, .. } => {
                (Vec::new(), self.rolled_from(pools, to).map(KubeVersion::minor).collect())
            }
        };
        self.range_excludes(name, moved.to.as_ref(), &servers, &kubelets).unwrap_or_else(|| {
            match step {
                Step::Roll { pools, to, .. }
                    if moved.goes_back()
                        && self.rolled_from(pools, to).any(|from| is_newer(from, to)) =>
                {
                    Because::Downgrade
                }
                _ => self.placed(name, step, |placement| &placement.after),
            }
        })
    }

    /// What the nodes ran that a step of the plan has rolled.
    fn rolled_from<'s>(
        &'s self,
        pools: &'s BTreeSet<PoolName>,
        to: &'s KubeVersion,
    ) -> impl Iterator<Item = &'s KubeVersion> {
        let rolls = self.actions.iter().filter_map(move |action| match &action.kind {
            ActionKind::NodePoolRoll { pool, from, to: reached, .. }
                if pools.contains(pool) && reached == to =>
            {
                Some(from)
            }
            _ => None,
        });
        rolls.flatten()
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
        let version = version?;
        let release = self.fleet.addons.get(name)?.versions.get(version)?;
        let named = || (name.clone(), version.clone());
        let outside = |range: &VersionRange<Minor>, minors: &[Minor]| {
            minors.iter().find(|minor| !range.contains(minor)).copied()
        };
        if let Some(minor) = outside(&release.kubernetes, servers) {
            let (supports, (addon, version)) = (release.kubernetes.to_string(), named());
            return Some(Because::AddonCompatibility { addon, version, supports, minor });
        }
        let unserved = |minor: &Minor| Some((release.unserved(*minor).next()?, *minor));
        if let Some((used, minor)) = servers.iter().find_map(unserved) {
            let (api, (addon, version)) = (used.object.api_version.clone(), named());
            return Some(Because::AddonApi { addon, version, api, minor });
        }
        let range = release.kubelets.as_ref()?;
        let minor = outside(range, kubelets)?;
        let (supports, (addon, version)) = (range.to_string(), named());
        Some(Because::AddonKubelets { addon, version, supports, minor })
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

/// The actions of a step that wait for none of its others, and those that none waits for.
struct Ends {
    first: Vec<ActionId>,
    last: Vec<ActionId>,
}

/// An action that moves an add-on in a slot, and which of the add-on's moves it is.
type InSlot<'w> = (ActionId, &'w AddonName, usize, &'w Move);

/// Each add-on's first move of a slot: the others wait for it.
fn first_of_each<'s, 'w>(in_slot: &'s [InSlot<'w>]) -> Vec<&'s InSlot<'w>> {
    let is_first = |at: &usize| in_slot[..*at].iter().all(|(_, name, ..)| *name != in_slot[*at].1);
    (0..in_slot.len()).filter(is_first).map(|at| &in_slot[at]).collect()
}

/// Each add-on's last move of a slot: it waits for the others.
fn last_of_each<'s, 'w>(in_slot: &'s [InSlot<'w>]) -> Vec<&'s InSlot<'w>> {
    let is_last =
        |at: &usize| in_slot[*at + 1..].iter().all(|(_, name, ..)| *name != in_slot[*at].1);
    (0..in_slot.len()).filter(is_last).map(|at| &in_slot[at]).collect()
}

fn because_of_steps(before: Option<&Step>, step: &Step) -> Because {
    match (before, step) {
        (Some(Step::Roll { .. }), Step::Hop(hop)) if hop.goes_back() => Because::Downgrade,
        (Some(Step::Hop(_)), Step::Hop(_)) => Because::Skew { rule: SkewRule::MinorByMinor },
        (Some(Step::Hop(_)), Step::Roll { .. }) | (Some(Step::Roll { .. }), Step::Hop(_)) => {
            Because::Skew { rule: SkewRule::Kubelet }
        }
        _ => Because::OneAtATime,
    }
}
