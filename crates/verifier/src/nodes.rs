//! The nodes of a cluster with the pools that they are of, found by one look at all of them.

use std::ops::Range;

use refit_model::{Cluster, ClusterState, InstanceId, KubeVersion, NodeState};

/// Versions, each once, ascending.
pub(crate) type Versions<'a> = Vec<&'a KubeVersion>;

/// An instance of a pool: the place of the pool in the cluster's file.
type Owner<'a> = (&'a InstanceId, usize);

/// The nodes of a cluster, each with the pools whose groups have its instance. One after the other, it
/// is there for many clusters, so that memory is asked for but once.
#[derive(Default)]
pub(crate) struct Nodes<'a> {
    /// The instances of all pools.
    owners: Vec<Owner<'a>>,
    /// The ends of their ids, each before the place of its owner: numbers are sorted faster than
    /// texts.
    ends: Vec<u128>,
    /// Each node with the end of its instance's id, and its pools.
    found: Vec<(&'a NodeState, u64, Range<usize>)>,
    /// The pools of all nodes.
    pools: Vec<usize>,
}

impl<'a> Nodes<'a> {
    /// Of no other cluster any more but this one.
    pub(crate) fn look_at(&mut self, cluster: &Cluster, state: &'a ClusterState) {
        let Self { owners, ends, found, pools } = self;
        owners.clear();
        for (at, pool) in cluster.pools.iter().enumerate() {
            let groups = pool.groups.iter().filter_map(|name| state.groups.get(name));
            for group in groups {
                owners.extend(group.instances.iter().map(|instance| (&instance.id, at)));
            }
        }
        let end_of = |tail: u64| u128::from(tail) << 64;
        ends.clear();
        ends.extend((0_u128..).zip(&*owners).map(|(place, (id, _))| end_of(id.tail()) | place));
        ends.sort_unstable();
        // In a large fleet nodes come from memory: a pass that does nothing else meets them faster.
        let tail_of = |node: &NodeState| node.instance.as_ref().map_or(0, InstanceId::tail);
        found.clear();
        found.extend(state.nodes.values().map(|node| (node, tail_of(node), 0..0)));
        pools.clear();
        for (node, tail, own) in found {
            let begin = pools.len();
            let first = ends.partition_point(|end| *end < end_of(*tail));
            let alike = ends[first..].iter().take_while(|end| **end >> 64 == u128::from(*tail));
            let owner = |end: &u128| owners.get(usize::try_from(end & u128::from(u64::MAX)).ok()?);
            let is_it = |(id, _): &&Owner<'_>| node.instance.as_ref() == Some(*id);
            for (_, pool) in alike.filter_map(owner).filter(is_it) {
                if !pools[begin..].contains(pool) {
                    pools.push(*pool);
                }
            }
            *own = begin..pools.len();
        }
    }

    /// Each node, with the places of the pools whose groups have its instance.
    pub(crate) fn each(
        &self,
    ) -> impl Iterator<Item = (&'a NodeState, impl Iterator<Item = usize> + '_)> + '_ {
        self.found.iter().map(|(node, _, own)| (*node, self.pools[own.clone()].iter().copied()))
    }

    /// What all kubelets run.
    pub(crate) fn kubelets(&self) -> Versions<'a> {
        let mut versions = Versions::new();
        self.found.iter().for_each(|(node, ..)| add(&mut versions, &node.kubelet));
        versions
    }
}

/// Adds a version in its place. There are few, and most of them are there already.
pub(crate) fn add<'a>(versions: &mut Versions<'a>, version: &'a KubeVersion) {
    if !versions.contains(&version) {
        let place = versions.partition_point(|other| *other < version);
        versions.insert(place, version);
    }
}
