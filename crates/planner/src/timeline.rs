//! What the control plane runs on the way, and the order of the large steps.

use std::collections::BTreeSet;
use std::sync::Arc;

use refit_model::{ClusterState, KubeVersion, Minor, NodeState, PoolName};

use crate::hops::{self, Hop};

/// A large step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The control plane moves.
    Hop(Hop),
    /// These pools' nodes move to this version; `before` names the minor of the next hop, none
    /// for rolls after the last one, and for those before a hop back: they are the last, too.
    Roll { pools: BTreeSet<PoolName>, to: KubeVersion, before: Option<Minor> },
}

/// A pool as the search needs it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PoolNow {
    pub(crate) name: PoolName,
    /// What its kubelets, and the kube-proxies that come with its images, run.
    pub(crate) runs: Arc<BTreeSet<KubeVersion>>,
    /// What its kubelets alone run.
    pub(crate) kubelets: Arc<BTreeSet<KubeVersion>>,
    /// How many nodes it has.
    pub(crate) nodes: u32,
    /// Whether its nodes must be replaced even when they run the right version.
    pub(crate) forced: bool,
    /// Whether its nodes are replaced by somebody else, and so stay as they are.
    pub(crate) stays: bool,
}

impl PoolNow {
    /// Whether a node runs something newer than that.
    pub(crate) fn is_newer_than(&self, target: &KubeVersion) -> bool {
        self.runs.iter().any(|version| hops::is_newer(version, target))
    }
}

/// A time in which the control plane stays as it is: before the first hop, between two of them,
/// or after the last one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Phase {
    /// The hop that leads here; none for what was found.
    pub(crate) hop: Option<Hop>,
    /// What nodes are rolled to in it: what all apiservers can take, also those of a hop back.
    pub(crate) version: KubeVersion,
    /// What apiservers run: more than one minor where a hop was left half done.
    pub(crate) api_servers: BTreeSet<Minor>,
    /// What the kubelets on the control plane's instances run.
    pub(crate) beside: BTreeSet<Minor>,
}

impl Phase {
    /// Whether it comes after a hop back.
    pub(crate) fn is_back(&self) -> bool {
        self.hop.as_ref().is_some_and(Hop::goes_back)
    }
}

/// The phases from what runs over the hops; there is at least one.
pub(crate) fn phases(
    state: &ClusterState,
    live: &BTreeSet<KubeVersion>,
    hops: &[Hop],
    pools: &[PoolNow],
    target: &KubeVersion,
) -> Vec<Phase> {
    let servers = state.control_plane.iter().filter_map(|member| member.api_server.as_ref());
    let beside = state.nodes.values().filter(|node| node.control_plane).map(kubelet);
    // On the way back nodes are rolled first, to what apiservers then go to.
    let rolled_to = match hops.first() {
        None => target,
        Some(hop) if hop.goes_back() => &hop.to,
        Some(_) => newest_patch(live.first().unwrap_or(target), pools, target),
    };
    let first = Phase {
        hop: None,
        version: rolled_to.clone(),
        api_servers: servers.map(KubeVersion::minor).collect(),
        beside: beside.collect(),
    };
    let after = hops.iter().map(|hop| Phase {
        hop: Some(hop.clone()),
        version: hop.to.clone(),
        api_servers: BTreeSet::from([hop.to.minor()]),
        beside: BTreeSet::from([hop.to.minor()]),
    });
    std::iter::once(first).chain(after).collect()
}

/// What nodes are rolled to on the way from a version: a later patch of its minor, where nodes run
/// one, for none of them goes back. The skew policy asks for minors only.
fn newest_patch<'a>(
    oldest: &'a KubeVersion,
    pools: &'a [PoolNow],
    target: &KubeVersion,
) -> &'a KubeVersion {
    let on_the_way = oldest.minor() < target.minor();
    let rolled = pools.iter().filter(|pool| on_the_way && !pool.stays);
    let patches = rolled.flat_map(|pool| &*pool.runs).filter(|v| v.minor() == oldest.minor());
    patches.fold(oldest, |newest, patch| newest.max(patch))
}

/// What runs on nodes that no pool and no control plane owns, as far as it is known.
pub(crate) fn loose(state: &ClusterState) -> BTreeSet<Minor> {
    let loose = state.nodes.values().filter(|node| !node.control_plane && node.instance.is_none());
    loose.map(kubelet).collect()
}

fn kubelet(node: &NodeState) -> Minor {
    node.kubelet.minor()
}
