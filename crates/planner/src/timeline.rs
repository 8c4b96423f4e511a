//! The order of the large steps: hops of the control plane, and rolls of the nodes as late as
//! the skew policy allows. Between the steps are slots, in which add-ons move.

use std::collections::BTreeSet;

use refit_model::{ClusterState, KubeVersion, Minor, NodeState, PoolName, skew};

use crate::hops::Hop;

/// A large step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The control plane moves.
    Hop(Hop),
    /// These pools' nodes move to this version; `before` names the minor that cannot be
    /// reached otherwise, none for the last roll.
    Roll { pools: BTreeSet<PoolName>, to: KubeVersion, before: Option<Minor> },
}

/// A pool as the timeline needs it.
#[derive(Clone, Debug)]
pub(crate) struct PoolNow {
    pub(crate) name: PoolName,
    /// What its kubelets, and the kube-proxies that come with its images, run.
    pub(crate) runs: BTreeSet<KubeVersion>,
    /// Whether its nodes must be replaced even when they run the right version.
    pub(crate) forced: bool,
}

/// Lays hops and rolls out, one after the other.
///
/// A roll that skew forces happens right before the hop that forces it, to the version that
/// the control plane then has; so a pool is rolled as seldom as possible (each forced roll
/// brings it as far as any roll at that point could).
pub(crate) fn lay_out(
    control_plane: &BTreeSet<KubeVersion>,
    hops: &[Hop],
    pools: &[PoolNow],
    target: &KubeVersion,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut pools: Vec<PoolNow> = pools.to_vec();
    let mut oldest = control_plane.first().cloned();
    for hop in hops {
        let minor = hop.to.minor();
        if let Some(now) = &oldest {
            let mut late = BTreeSet::new();
            for pool in &mut pools {
                let lags = pool.runs.iter().any(|v| !skew::kubelet_fits(v.minor(), minor));
                if lags && pool.runs.iter().all(|v| v.minor() <= now.minor()) {
                    late.insert(pool.name.clone());
                    pool.runs = BTreeSet::from([now.clone()]);
                    pool.forced = false;
                }
            }
            if !late.is_empty() {
                steps.push(Step::Roll { pools: late, to: now.clone(), before: Some(minor) });
            }
        }
        steps.push(Step::Hop(hop.clone()));
        oldest = Some(hop.to.clone());
    }
    let last: BTreeSet<PoolName> = pools
        .iter()
        .filter(|pool| pool.forced || pool.runs.iter().any(|v| !v.same_release(target)))
        .map(|pool| pool.name.clone())
        .collect();
    if !last.is_empty() {
        steps.push(Step::Roll { pools: last, to: target.clone(), before: None });
    }
    steps
}

/// Minors that live at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) api_servers: BTreeSet<Minor>,
    pub(crate) kubelets: BTreeSet<Minor>,
}

impl Live {
    fn with(&self, other: &Self) -> Self {
        Self {
            api_servers: &self.api_servers | &other.api_servers,
            kubelets: &self.kubelets | &other.kubelets,
        }
    }
}

/// What lives in each slot and during each step: `slots` has one entry more than `steps`.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(crate) slots: Vec<Live>,
    pub(crate) steps: Vec<Live>,
}

impl Moments {
    /// The same with each slot in `parts`, so that an add-on can move more than once in it.
    /// Nothing happens between the parts.
    pub(crate) fn divided(&self, parts: usize) -> Self {
        let mut slots = Vec::new();
        let mut steps = Vec::new();
        for (at, slot) in self.slots.iter().enumerate() {
            for part in 0..parts {
                slots.push(slot.clone());
                if part + 1 < parts {
                    steps.push(slot.clone());
                }
            }
            steps.extend(self.steps.get(at).cloned());
        }
        Self { slots, steps }
    }
}

/// What lives when, for add-ons to be held against.
pub(crate) fn moments(state: &ClusterState, pools: &[PoolNow], steps: &[Step]) -> Moments {
    let api_servers: BTreeSet<Minor> = state
        .control_plane
        .iter()
        .filter_map(|member| member.api_server.as_ref())
        .map(KubeVersion::minor)
        .collect();
    let mut control: BTreeSet<Minor> =
        state.nodes.values().filter(|node| node.control_plane).map(kubelet).collect();
    let in_pools: BTreeSet<Minor> =
        pools.iter().flat_map(|pool| &pool.runs).map(KubeVersion::minor).collect();
    let loose: BTreeSet<Minor> = state
        .nodes
        .values()
        .filter(|node| !node.control_plane && node.instance.is_none())
        .map(kubelet)
        .collect();
    let mut by_pool: Vec<(PoolName, BTreeSet<Minor>)> = pools
        .iter()
        .map(|pool| (pool.name.clone(), pool.runs.iter().map(KubeVersion::minor).collect()))
        .collect();

    let mut now = Live { api_servers, kubelets: &(&control | &in_pools) | &loose };
    let mut slots = vec![now.clone()];
    let mut during = Vec::new();
    for step in steps {
        match step {
            Step::Hop(hop) => {
                now.api_servers = BTreeSet::from([hop.to.minor()]);
                control = BTreeSet::from([hop.to.minor()]);
            }
            Step::Roll { pools, to, .. } => {
                for (name, minors) in &mut by_pool {
                    if pools.contains(name) {
                        *minors = BTreeSet::from([to.minor()]);
                    }
                }
            }
        }
        now.kubelets = by_pool.iter().flat_map(|(_, minors)| minors).copied().collect();
        now.kubelets.extend(&control);
        now.kubelets.extend(&loose);
        let before = slots.last().cloned().unwrap_or_default();
        during.push(before.with(&now));
        slots.push(now.clone());
    }
    Moments { slots, steps: during }
}

fn kubelet(node: &NodeState) -> Minor {
    node.kubelet.minor()
}
