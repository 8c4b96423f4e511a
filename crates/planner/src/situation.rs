//! What the way of a cluster depends on. Clusters in the same situation make the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use refit_model::{
    AddonMark, AddonName, AddonState, AddonVersion, Cluster, ClusterState, CrdState, KubeVersion,
    Minor,
};

use crate::timeline::{self, Phase, PoolNow};

/// The situation of a cluster, as it was seen and as it is declared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Situation<'a> {
    pub(crate) phases: Vec<Phase>,
    /// All pools, in the order in which they are declared.
    pub(crate) pools: Rc<[PoolNow]>,
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
    /// Its definitions, if there are any: read but once, for in a large fleet it comes from memory.
    crds: Option<&'a BTreeMap<String, CrdState>>,
    pub(crate) mark: AddonMark,
    pub(crate) goal: Option<&'a AddonVersion>,
    /// Whether the plan leaves it as it is.
    pub(crate) stays: bool,
}

impl Seen<'_> {
    /// Who else still writes to a copy that refit did not install.
    pub(crate) fn manager(&self) -> Option<&String> {
        let AddonMark::Foreign { .. } = self.mark else { return None };
        self.live?.foreign.as_ref()?.live_managers.first()
    }
}

/// As far as the way depends on it.
impl PartialEq for Seen<'_> {
    fn eq(&self, other: &Self) -> bool {
        let Self { name, crds, mark, goal, stays, live: _ } = self;
        (stays, mark, goal, name) == (&other.stays, &other.mark, &other.goal, &other.name)
            && *crds == other.crds
            && self.manager() == other.manager()
    }
}

impl<'a> Situation<'a> {
    /// The situation before these phases. Some add-ons stay as they are. `room` is where add-ons can
    /// be put.
    pub(crate) fn of(
        cluster: &'a Cluster,
        state: &'a ClusterState,
        phases: Vec<Phase>,
        pools: &Rc<[PoolNow]>,
        stay: &BTreeSet<AddonName>,
        named: bool,
        mut room: Vec<Seen<'a>>,
    ) -> Self {
        let installed = state.addons.iter().filter(|(_, addon)| addon.parent.is_some());
        let others = installed.map(|(name, _)| name).filter(|n| !cluster.addons.contains_key(*n));
        let mut names: Vec<&AddonName> = cluster.addons.keys().chain(others).collect();
        names.sort_unstable();
        let seen = |name: &'a AddonName| {
            let live = state.addons.get(name);
            Seen {
                name,
                live,
                crds: live.map(|live| &live.crds).filter(|crds| !crds.is_empty()),
                mark: live.map_or(AddonMark::Absent, AddonMark::of_state),
                goal: cluster.addons.get(name).map(|target| &target.version.value),
                stays: stay.contains(name),
            }
        };
        room.clear();
        room.extend(names.into_iter().map(seen));
        Self {
            phases,
            pools: Rc::clone(pools),
            at_once: cluster.max_parallel_pools > 1,
            target: &cluster.kubernetes.value,
            loose: timeline::loose(state),
            addons: room,
            named,
        }
    }

    /// A number that is the same for the same situation.
    pub(crate) fn number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.phases.len().hash(&mut hasher);
        for pool in &*self.pools {
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
