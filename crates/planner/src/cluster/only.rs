//! A plan about one kind of parts only: the others stay as they are, and what that leaves undone is
//! told.

use std::collections::BTreeSet;
use std::rc::Rc;

use refit_model::{
    AddonMark, AddonName, AddonVersion, Code, KubeVersion, Minor, Only, Severity, UpdateStrategy,
    skew,
};

use super::ClusterPlanner;
use crate::checks::{self, Blocker};
use crate::few::few;
use crate::hops::Hop;
use crate::situation::Situation;
use crate::timeline::{self, PoolNow};
use crate::way::Way;

impl ClusterPlanner<'_> {
    /// Whether a plan may change parts of a kind.
    pub(super) fn changes(&self, kind: Only) -> bool {
        self.options.selection.only.is_none_or(|only| only == kind)
    }

    /// Whether nodes may be rolled: when the plan is about nothing but them, as soon as every
    /// apiserver can take what is declared, on the way back before it goes there.
    pub(super) fn rolls_nodes(&self, live: &BTreeSet<KubeVersion>) -> bool {
        let target = self.cluster.kubernetes.value.minor();
        let takes = |version: &KubeVersion| {
            version.minor() == target || (self.may_go_back() && version.minor() > target)
        };
        match self.options.selection.only {
            None => true,
            Some(only) => only == Only::Nodes && live.iter().all(takes),
        }
    }

    /// The cheapest way, or why there is none. Where the plan is not about everything, as much of it
    /// as there is a way for: as many hops as pools and add-ons let, or as many add-ons.
    pub(super) fn way(
        &self,
        live: &BTreeSet<KubeVersion>,
        hops: &mut Vec<Hop>,
        pools: &Rc<[PoolNow]>,
    ) -> Result<Rc<Way>, Vec<Blocker>> {
        let target = &self.cluster.kubernetes.value;
        let named = self.may_go_back();
        let try_with = |hops: &[Hop], stay: &BTreeSet<AddonName>| {
            let phases = timeline::phases(self.state, live, hops, pools, target);
            let situation = Situation::of(
                self.cluster,
                self.state,
                phases,
                pools,
                stay,
                named,
                self.ways.room(),
            );
            self.ways.cheapest(self.fleet, self.cluster, situation)
        };
        let Some(only) = self.options.selection.only else {
            return try_with(hops, &BTreeSet::new());
        };
        let (newer, servers) = (self.newer_addons(), checks::api_servers(self.state));
        let mut stay = match only {
            Only::ControlPlane | Only::Nodes => self.all_addons(),
            // On the way back add-ons come after nodes.
            Only::AddOns if self.waits_for_nodes(pools) => newer.clone(),
            Only::AddOns => BTreeSet::new(),
        };
        loop {
            // And the control plane comes after both.
            let first = |name: &AddonName| self.goes_first(name, live);
            let too_early = |hop: &Hop| {
                hop.goes_back() && (newer.iter().any(first) || self.waits_for_nodes(pools))
            };
            let fits = !hops.iter().any(too_early)
                && pools.iter().all(|pool| hops.iter().all(|hop| takes(hop, pool, &servers)));
            let found = if fits { try_with(hops, &stay) } else { Err(Vec::new()) };
            let Err(blockers) = found else { return found };
            if hops.pop().is_some() {
                continue;
            }
            let all = self.all_addons();
            if stay == all {
                return Err(blockers);
            }
            let named = blockers.iter().filter_map(|blocker| blocker.part.as_ref()?.parse().ok());
            let before = stay.len();
            stay.extend(named.filter(|name| all.contains(name)));
            if stay.len() == before {
                stay = all;
            }
        }
    }

    /// The add-ons that are newer than declared.
    fn newer_addons(&self) -> BTreeSet<AddonName> {
        let newer = self.cluster.addons.iter().filter(|(name, wanted)| {
            let wanted = &wanted.version.value;
            match AddonMark::of(self.state, name) {
                AddonMark::At { version, .. } | AddonMark::Drifted { version, .. } => {
                    version > *wanted
                }
                AddonMark::Foreign { version } => {
                    version.parse::<AddonVersion>().is_ok_and(|version| version > *wanted)
                }
                AddonMark::Absent => false,
            }
        });
        newer.map(|(name, _)| name.clone()).collect()
    }

    /// Whether what is declared of an add-on can be there with the control plane as it is.
    fn goes_first(&self, name: &AddonName, live: &BTreeSet<KubeVersion>) -> bool {
        let wanted = self.cluster.addons.get(name).map(|target| &target.version.value);
        let release = wanted.and_then(|to| self.fleet.addons.get(name)?.versions.get(to));
        release.is_some_and(|release| {
            live.iter().map(KubeVersion::minor).all(|minor| {
                release.kubernetes.contains(&minor) && release.unserved(minor).next().is_none()
            })
        })
    }

    /// Whether nodes that refit replaces are newer than declared.
    fn waits_for_nodes(&self, pools: &[PoolNow]) -> bool {
        let target = &self.cluster.kubernetes.value;
        pools.iter().any(|pool| {
            let declared = self.cluster.pool(&pool.name);
            declared.is_some_and(|declared| declared.update == UpdateStrategy::Roll)
                && pool.is_newer_than(target)
        })
    }

    fn all_addons(&self) -> BTreeSet<AddonName> {
        self.cluster.addons.keys().chain(self.state.addons.keys()).cloned().collect()
    }

    /// What the plan leaves undone because of what it is about.
    pub(super) fn left_undone(
        &self,
        hops: &[Hop],
        pools: &[PoolNow],
        way: &Way,
    ) -> Option<Blocker> {
        let only = self.options.selection.only?;
        let target = &self.cluster.kubernetes.value;
        let live = super::running(self.state);
        let mut left: Vec<String> = Vec::new();
        let reached = hops.last().map(|hop| &hop.to).or(live.first());
        if let Some(reached) = reached.filter(|reached| !reached.same_release(target)) {
            left.push(format!("the control plane stays at {reached}"));
        }
        let old = pools.iter().filter(|pool| {
            pool.stays && pool.runs.iter().any(|version| !version.same_release(target))
        });
        left.extend(listed("nodes of", &old.map(|pool| pool.name.as_str()).collect::<Vec<_>>()));
        let undone = self.cluster.addons.iter().filter(|(name, wanted)| {
            let last = way.moves.get(*name).and_then(|moves| moves.last());
            let wanted = &wanted.version.value;
            match (last, AddonMark::of(self.state, name)) {
                (Some(moved), _) => moved.to.as_ref() != Some(wanted),
                (None, AddonMark::At { version, .. }) => version != *wanted,
                (None, _) => true,
            }
        });
        let removed = self.state.addons.iter().filter(|(name, addon)| {
            let stays = !way.moves.contains_key(*name);
            addon.parent.is_some() && stays && !self.cluster.addons.contains_key(*name)
        });
        let names = undone.map(|(name, _)| name).chain(removed.map(|(name, _)| name));
        left.extend(listed("add-ons", &names.map(AddonName::as_str).collect::<Vec<_>>()));
        let evidence = format!("left undone by `--only {only}`: {}", left.join("; "));
        let blocker = Blocker::new(Code::RF047, evidence, "plan again without it");
        (!left.is_empty()).then(|| blocker.weighing(Severity::Note))
    }
}

/// Whether apiservers of a hop's minor can take what a pool that stays runs, or are no further from it
/// than those that there are.
fn takes(hop: &Hop, pool: &PoolNow, now: &BTreeSet<Minor>) -> bool {
    let mut kubelets = pool.runs.iter().map(KubeVersion::minor);
    let may_stay = |kubelet| skew::kubelet_may_stay(kubelet, hop.to.minor(), now.iter().copied());
    !pool.stays || kubelets.all(may_stay)
}

fn listed(what: &str, names: &[&str]) -> Option<String> {
    (!names.is_empty()).then(|| format!("{what} {}", few(names)))
}
