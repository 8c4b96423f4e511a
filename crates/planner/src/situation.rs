//! What the way of a cluster depends on. Clusters in the same situation make the same way.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use refit_model::{
    AddonMark, AddonName, AddonState, AddonVersion, Cluster, ClusterState, KubeVersion, Minor,
};

use crate::timeline::{self, Phase, PoolNow};

/// The situation of a cluster, as it was seen and as it is declared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Situation<'a> {
    pub(crate) phases: Vec<Phase>,
    /// All pools, in the order in which they are declared.
    pub(crate) pools: Vec<PoolNow>,
    /// Whether several pools may be rolled at once.
    pub(crate) at_once: bool,
    pub(crate) target: &'a KubeVersion,
    /// What runs on nodes that no pool and no control plane owns.
    pub(crate) loose: BTreeSet<Minor>,
    /// By name, those that are declared or that refit installed.
    pub(crate) addons: Vec<Seen<'a>>,
    /// Whether the cluster was named to go back.
    pub(crate) named: bool,
}

/// An add-on, as it was seen and as it is declared.
#[derive(Clone, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) name: &'a AddonName,
    pub(crate) live: Option<&'a AddonState>,
    pub(crate) mark: AddonMark,
    pub(crate) goal: Option<&'a AddonVersion>,
    /// Whether the plan leaves it as it is.
    pub(crate) stays: bool,
}

impl Seen<'_> {
    /// Who else still writes to a copy that refit did not install.
    pub(crate) fn manager(&self) -> Option<&String> {
        let copy = self.live?.foreign.as_ref()?;
        copy.live_managers.first().filter(|_| matches!(self.mark, AddonMark::Foreign { .. }))
    }
}

/// As far as the way depends on it.
impl PartialEq for Seen<'_> {
    fn eq(&self, other: &Self) -> bool {
        let Self { name, live, mark, goal, stays } = self;
        (stays, mark, goal, name) == (&other.stays, &other.mark, &other.goal, &other.name)
            && live.map(|live| &live.crds) == other.live.map(|live| &live.crds)
            && self.manager() == other.manager()
    }
}

impl<'a> Situation<'a> {
    /// The situation before these phases. Some add-ons stay as they are.
    pub(crate) fn of(
        cluster: &'a Cluster,
        state: &'a ClusterState,
        phases: Vec<Phase>,
        pools: &[PoolNow],
        stay: &BTreeSet<AddonName>,
        named: bool,
    ) -> Self {
        let installed = state.addons.iter().filter(|(_, addon)| addon.parent.is_some());
        let others = installed.map(|(name, _)| name).filter(|n| !cluster.addons.contains_key(*n));
        let mut names: Vec<&AddonName> = cluster.addons.keys().chain(others).collect();
        names.sort_unstable();
        let seen = |name: &'a AddonName| Seen {
            name,
            live: state.addons.get(name),
            mark: AddonMark::of(state, name),
            goal: cluster.addons.get(name).map(|target| &target.version.value),
            stays: stay.contains(name),
        };
        Self {
            phases,
            pools: pools.to_vec(),
            at_once: cluster.max_parallel_pools > 1,
            target: &cluster.kubernetes.value,
            loose: timeline::loose(state),
            addons: names.into_iter().map(seen).collect(),
            named,
        }
    }

    /// A number that is the same for the same situation.
    pub(crate) fn number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.phases.len().hash(&mut hasher);
        for pool in &self.pools {
            (pool.nodes, &pool.runs).hash(&mut hasher);
        }
        for Seen { mark, .. } in &self.addons {
            if let AddonMark::At { version, .. } | AddonMark::Drifted { version, .. } = mark {
                version.hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}
