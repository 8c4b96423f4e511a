//! Does nothing go back but what was named, as far as it is sure to work, and nodes first?
//!
//! A control plane goes back one minor at most: the storage version of an API does not change before
//! a release knows both the old one and the new one
//! ([deprecation policy, rule 4b](https://kubernetes.io/docs/reference/using-api/deprecation-policy/)),
//! so the minor before reads what is stored, and none before that is sure to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use refit_model::{
    ActionKind, AddonMark, AddonName, AddonVersion, Cluster, ClusterState, Fleet, KubeVersion,
    Milestone, PoolName, Reversibility, VersionRange,
};

use crate::nodes::Versions;
use crate::order::Order;
use crate::pools;
use crate::stages::{Installed, Stage, Stages, leaves_at_once, meet};

/// What is wrong with the ways back of one cluster.
pub(crate) fn check(
    fleet: &Fleet,
    cluster: &Cluster,
    state: &ClusterState,
    order: &Order<'_>,
    stages: &Stages<'_>,
    named: bool,
    notes: &mut Vec<String>,
) {
    let way = Back { fleet, cluster, state, order, stages, named };
    way.control_plane(notes);
    for (name, own) in &stages.pools {
        way.pool(name, own, notes);
    }
    for (name, own) in stages.addons() {
        way.addon(name, own, notes);
    }
    for action in order.actions() {
        let marked = matches!(action.reversible, Reversibility::Downgrade { .. });
        if loses(&action.kind) && !marked {
            notes.push(format!("{}: does not say that it cannot be undone", action.kind));
        }
    }
}

/// Whether an action leads to an older version.
pub(crate) fn goes_back(kind: &ActionKind) -> bool {
    match kind {
        ActionKind::ControlPlaneHop { from, to, .. }
        | ActionKind::NodePoolRoll { from, to, .. } => from.iter().any(|from| is_newer(from, to)),
        ActionKind::AddonApply { from, to, .. } => match from {
            AddonMark::At { version, .. } | AddonMark::Drifted { version, .. } => version > to,
            AddonMark::Foreign { version } => foreign_is_newer(version, to),
            AddonMark::Absent => false,
        },
        ActionKind::AddonAdopt { from, to, .. } => foreign_is_newer(from, to),
        _ => false,
    }
}

/// Whether any action on an add-on leads to an older version.
pub(crate) fn addon_goes_back(order: &Order<'_>, name: &AddonName) -> bool {
    order.on(name).iter().any(|(_, at)| goes_back(&order.actions()[*at].kind))
}

/// Whether what an action leaves does not know all that was there. Patches of one minor do.
fn loses(kind: &ActionKind) -> bool {
    match kind {
        ActionKind::ControlPlaneHop { from, to, .. } => {
            from.iter().any(|from| from.minor() > to.minor())
        }
        ActionKind::NodePoolRoll { .. } => false,
        kind => goes_back(kind),
    }
}

fn foreign_is_newer(found: &str, to: &AddonVersion) -> bool {
    found.parse::<AddonVersion>().is_ok_and(|found| found > *to)
}

fn is_newer(version: &KubeVersion, than: &KubeVersion) -> bool {
    version > than && !version.same_release(than)
}

struct Back<'a> {
    fleet: &'a Fleet,
    cluster: &'a Cluster,
    state: &'a ClusterState,
    order: &'a Order<'a>,
    stages: &'a Stages<'a>,
    named: bool,
}

impl<'a> Back<'a> {
    fn is_on_delete(&self, pool: &PoolName) -> bool {
        pools::is_on_delete(self.cluster, pool)
    }

    fn control_plane(&self, notes: &mut Vec<String>) {
        let api = &self.stages.api;
        for (position, before) in api.iter().enumerate() {
            for (at, after) in api.iter().enumerate().skip(position + 1) {
                let pairs =
                    before.value.iter().flat_map(|x| after.value.iter().map(move |y| (x, y)));
                for (from, to) in pairs.filter(|(from, to)| is_newer(from, to)) {
                    self.steps_back("the control plane", from, to, notes);
                    if to.minor().behind(from.minor()) > 1 {
                        notes.push(format!(
                            "the control plane goes back from {from} to {to} at once"
                        ));
                    }
                    if api.len() > 2 {
                        notes.push(format!(
                            "the control plane goes back from {from} to {to}, and makes another hop"
                        ));
                    }
                    let compatible = self.state.serves.as_ref().map(|serves| serves.min_compatible);
                    if compatible.is_some_and(|oldest| to.minor() < oldest) {
                        notes.push(format!(
                            "the control plane goes back to {to}, which does not go with what is stored"
                        ));
                    }
                    if self.named {
                        self.comes_last(at, to, notes);
                    }
                }
            }
        }
    }

    /// Nothing is newer than it shall be when a control plane has gone back, but add-ons that could
    /// not go back any sooner.
    fn comes_last(&self, at: usize, to: &KubeVersion, notes: &mut Vec<String>) {
        let after = &self.stages.api[at];
        for (name, own) in self.stages.pools.iter().filter(|(name, _)| !self.is_on_delete(name)) {
            let late = own.iter().filter(|stage| meet(self.order, *stage, after));
            for version in late.flat_map(|stage| &stage.value).filter(|v| is_newer(v, to)) {
                notes.push(format!(
                    "pool {name}: {version} may live with a control plane that went back to {to}"
                ));
            }
        }
        let first = self.go_first(&self.stages.api[at - 1]);
        for (name, own) in self.stages.addons() {
            let Some(goal) = first.get(name) else { continue };
            for stage in own.iter().filter(|stage| meet(self.order, *stage, after)) {
                let Some(version) = stage.value.as_ref().filter(|version| version > goal) else {
                    continue;
                };
                if !self.may_lag(name, version, stage, at) {
                    notes.push(format!(
                        "{name} {version} may live with a control plane that went back to {to}"
                    ));
                }
            }
        }
    }

    /// The add-ons that go back, with what they go back to, as far as that can be there with these
    /// apiservers, by itself and with what the others can be until then.
    fn go_first(&self, api: &Stage<Versions<'_>>) -> BTreeMap<&'a AddonName, &'a AddonVersion> {
        let mut can: BTreeMap<&AddonName, Vec<Option<&AddonVersion>>> = BTreeMap::new();
        let mut first: BTreeMap<&AddonName, &AddonVersion> = BTreeMap::new();
        for (name, own) in self.stages.addons() {
            let start = own.first().and_then(|stage| stage.value.as_ref());
            let goal = self.goal(name);
            let between = |version: &&AddonVersion| match (start, goal) {
                (Some(start), Some(goal)) => {
                    (start.min(goal)..=start.max(goal)).contains(version) && *version != start
                }
                (None, Some(goal)) => *version <= goal,
                (_, None) => false,
            };
            let known = self.fleet.addons.get(name).into_iter().flat_map(|a| a.versions.keys());
            let known = known.filter(between);
            let known =
                known.filter(|v| self.takes(name, v, api) && self.has_what_it_requires(name, v));
            let removed = goal.is_none().then_some(None);
            let own = std::iter::once(start).chain(known.map(Some)).chain(removed);
            let own: Vec<_> = own.collect();
            if let (Some(start), Some(goal)) = (start, goal)
                && start > goal
                && own.contains(&Some(goal))
            {
                first.insert(name, goal);
            }
            can.insert(name, own);
        }
        while let Some((late, goal)) =
            first.iter().find(|(name, goal)| self.waits(name, goal, &can)).map(|(n, g)| (*n, *g))
        {
            first.remove(late);
            if let Some(own) = can.get_mut(late) {
                own.retain(|version| *version != Some(goal));
            }
        }
        first
    }

    /// Whether the add-ons that a version requires are declared, or were installed by refit.
    fn has_what_it_requires(&self, name: &AddonName, version: &AddonVersion) -> bool {
        let release = self.fleet.addons.get(name).and_then(|addon| addon.versions.get(version));
        let ours = |other: &AddonName| {
            let there = self.state.addons.get(other);
            self.cluster.addons.contains_key(other) || there.is_some_and(|a| a.parent.is_some())
        };
        release.is_some_and(|release| release.requires.keys().all(ours))
    }

    fn goal(&self, name: &AddonName) -> Option<&'a AddonVersion> {
        self.cluster.addons.get(name).map(|target| &target.version.value)
    }

    /// Whether an add-on can be what is declared only when another one is something that it cannot be
    /// yet.
    fn waits(
        &self,
        name: &AddonName,
        goal: &AddonVersion,
        can: &BTreeMap<&AddonName, Vec<Option<&AddonVersion>>>,
    ) -> bool {
        can.iter().filter(|(other, _)| **other != name).any(|(other, versions)| {
            let fits = |there: Option<&AddonVersion>| {
                self.goes_with(name, Some(goal), other, there)
                    && self.goes_with(other, there, name, Some(goal))
            };
            let not_done = !versions.contains(&self.goal(other));
            !versions.iter().copied().any(fits) || (not_done && self.comes_before(other, name))
        })
    }

    /// Whether a version's own file lets it live with what is there of another add-on.
    fn goes_with(
        &self,
        name: &AddonName,
        version: Option<&AddonVersion>,
        other: &AddonName,
        there: Option<&AddonVersion>,
    ) -> bool {
        let addon = self.fleet.addons.get(name);
        let Some(release) = addon.zip(version).and_then(|(addon, v)| addon.versions.get(v)) else {
            return true;
        };
        let is_in = |range: &VersionRange<AddonVersion>| there.is_some_and(|v| range.contains(v));
        release.requires.get(other).is_none_or(is_in)
            && !release.conflicts.get(other).is_some_and(is_in)
    }

    /// Whether a file has the one move before the other. Where both go back, they do so the other way
    /// round.
    fn comes_before(&self, one: &AddonName, other: &AddonName) -> bool {
        let back = |name: &AddonName| addon_goes_back(self.order, name);
        let (first, then) = if back(one) && back(other) { (other, one) } else { (one, other) };
        let placement = |name| self.fleet.addons.get(name).map(|addon| &addon.placement);
        let names = |side: &BTreeSet<Milestone>, wanted: &AddonName| {
            side.iter().any(|milestone| matches!(milestone, Milestone::Addon(n) if n == wanted))
        };
        placement(first).is_some_and(|placement| names(&placement.before, then))
            || placement(then).is_some_and(|placement| names(&placement.after, first))
    }

    /// Whether a version can be there with these apiservers, and with the kubelets beside them.
    fn takes(&self, name: &AddonName, version: &AddonVersion, api: &Stage<Versions<'_>>) -> bool {
        let release = self.fleet.addons.get(name).and_then(|addon| addon.versions.get(version));
        release.is_some_and(|release| {
            let loose = self.stages.loose.iter().flat_map(|stage| &stage.value);
            let mut kubelets = api.value.iter().chain(loose).map(|version| version.minor());
            let range = release.kubelets.as_ref();
            range.is_none_or(|range| kubelets.all(|minor| range.contains(&minor)))
                && api.value.iter().map(|version| version.minor()).all(|minor| {
                    release.kubernetes.contains(&minor)
                        && release.known.apis.iter().all(|used| used.served.is_in(minor))
                })
        })
    }

    /// Whether an add-on may be replaced right after the hop, as it does not support both sides.
    fn may_lag(
        &self,
        name: &AddonName,
        version: &AddonVersion,
        stage: &Stage<Installed>,
        at: usize,
    ) -> bool {
        let Some(addon) = self.fleet.addons.get(name) else { return false };
        let Some(release) = addon.versions.get(version) else { return false };
        let (before, after) = (&self.stages.api[at - 1], &self.stages.api[at]);
        let supports = |server: &&KubeVersion| release.kubernetes.contains(&server.minor());
        addon.may_be_unsupported_during_hop
            && !after.value.iter().all(supports)
            && leaves_at_once(self.order, stage, before, after, &release.kubernetes)
    }

    fn pool(&self, name: &PoolName, own: &[Stage<Versions<'_>>], notes: &mut Vec<String>) {
        for pair in own.windows(2) {
            if let (Some(from), Some(to)) = (pair[0].value.last(), pair[1].value.first())
                && is_newer(from, to)
            {
                self.steps_back(&format!("pool {name}"), from, to, notes);
            }
        }
    }

    /// A step back of machines: of what was named, to what is declared.
    fn steps_back(
        &self,
        what: &str,
        from: &KubeVersion,
        to: &KubeVersion,
        notes: &mut Vec<String>,
    ) {
        let target = &self.cluster.kubernetes.value;
        self.must_be_named(what, from, to, notes);
        if self.named && is_newer(target, to) {
            notes.push(format!("{what} goes back to {to}, and {target} is declared"));
        }
    }

    fn addon(&self, name: &AddonName, own: &[Stage<Installed>], notes: &mut Vec<String>) {
        let target = &self.cluster.kubernetes.value;
        for pair in own.windows(2) {
            let (Some(from), Some(to)) = (&pair[0].value, &pair[1].value) else { continue };
            if to >= from {
                continue;
            }
            self.must_be_named(name.as_str(), from, to, notes);
            let goal = self.cluster.addons.get(name).map(|target| &target.version.value);
            if let Some(goal) = goal.filter(|goal| *goal > to && self.named) {
                notes.push(format!("{name} goes back to {to}, and {goal} is declared"));
            }
            for (pool, own) in self.stages.pools.iter().filter(|(name, _)| !self.is_on_delete(name))
            {
                let there = own.iter().filter(|stage| meet(self.order, *stage, &pair[1]));
                if there.flat_map(|stage| &stage.value).any(|v| is_newer(v, target)) {
                    notes.push(format!("{name} goes back to {to} before pool {pool} does"));
                }
            }
        }
    }

    fn must_be_named(
        &self,
        what: &str,
        from: &impl Display,
        to: &impl Display,
        notes: &mut Vec<String>,
    ) {
        if !self.named {
            notes.push(format!("{what} goes back from {from} to {to}"));
        }
    }
}
