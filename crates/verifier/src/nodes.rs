//! The nodes of a cluster with the pools that they are of, found by one look at all of them.

use std::ops::Range;

use refit_model::{Cluster, ClusterState, InstanceId, KubeVersion, NodeState};

/// Versions, each once, ascending.
pub(crate) type Versions<'a> = Vec<&'a KubeVersion>;

/// An instance of a pool, by the end of its id: the place of the pool in the cluster's file.
type Owner<'a> = (u64, &'a InstanceId, usize);

/// The nodes of a cluster, each with the pools whose groups have its instance. One after the other, it
/// is there for many clusters, so that memory is asked for but once.
#[derive(Default)]
pub(crate) struct Nodes<'a> {
    /// The instances of all pools.
    owners: Vec<Owner<'a>>,
    /// By place of an owner, the end of its id.
    tails: Vec<u64>,
    /// Each node with the end of its instance's id, and its owners.
    found: Vec<(&'a NodeState, u64, Range<usize>)>,
}

impl<'a> Nodes<'a> {
    /// Of no other cluster any more but this one.
    pub(crate) fn look_at(&mut self, cluster: &Cluster, state: &'a ClusterState) {
        let Self { owners, tails, found } = self;
        owners.clear();
        for (at, pool) in cluster.pools.iter().enumerate() {
            let groups = pool.groups.iter().filter_map(|name| state.groups.get(name));
            for group in groups {
                owners.extend(group.instances.iter().map(|i| (i.id.tail(), &i.id, at)));
            }
        }
        owners.sort_unstable();
        owners.dedup();
        tails.clear();
        tails.extend(owners.iter().map(|(tail, ..)| *tail));
        // In a large fleet nodes come from memory: a pass that does nothing else meets them faster.
        let tail_of = |node: &NodeState| node.instance.as_ref().map_or(0, InstanceId::tail);
        found.clear();
        found.extend(state.nodes.values().map(|node| (node, tail_of(node), 0..0)));
        for (node, tail, own) in found {
            let Some(id) = &node.instance else { continue };
            let alike = tails.partition_point(|other| *other < *tail);
            let is_before = |(other, before, _): &&Owner<'_>| *other == *tail && *before < id;
            let first = alike + owners[alike..].iter().take_while(is_before).count();
            let count = owners[first..].iter().take_while(|(_, other, _)| *other == id).count();
            *own = first..first + count;
        }
    }

    /// Each node, with the places of the pools whose groups have its instance.
    pub(crate) fn each(
        &self,
    ) -> impl Iterator<Item = (&'a NodeState, impl Iterator<Item = usize> + '_)> + '_ {
        self.found
            .iter()
            .map(|(node, _, own)| (*node, self.owners[own.clone()].iter().map(|(.., pool)| *pool)))
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
