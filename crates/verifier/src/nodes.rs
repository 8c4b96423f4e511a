//! The nodes of a cluster with the pools that they are of, found by one look at all of them.

use std::ops::Range;

use refit_model::{Cluster, ClusterState, InstanceId, KubeVersion, NodeState};

/// Versions, each once, ascending.
pub(crate) type Versions<'a> = Vec<&'a KubeVersion>;

/// The nodes of a cluster, each with the pools whose groups have its instance.
pub(crate) struct Nodes<'a> {
    /// The instances of all pools, each with the place of its pool in the cluster's file.
    owners: Vec<(u64, &'a InstanceId, usize)>,
    /// Each node with its owners.
    nodes: Vec<(&'a NodeState, Range<usize>)>,
}

impl<'a> Nodes<'a> {
    pub(crate) fn of(cluster: &Cluster, state: &'a ClusterState) -> Self {
        let mut owners: Vec<(u64, &InstanceId, usize)> = Vec::with_capacity(state.nodes.len());
        for (at, pool) in cluster.pools.iter().enumerate() {
            let groups = pool.groups.iter().filter_map(|name| state.groups.get(name));
            for group in groups {
                owners.extend(group.instances.iter().map(|i| (i.id.tail(), &i.id, at)));
            }
        }
        owners.sort_unstable();
        owners.dedup();
        let tails: Vec<u64> = owners.iter().map(|(tail, ..)| *tail).collect();
        let own = |on: Option<(u64, &InstanceId)>| {
            let Some((tail, id)) = on else { return 0..0 };
            let alike = tails.partition_point(|other| *other < tail);
            let is_before =
                |(other, before, _): &&(u64, &InstanceId, usize)| *other == tail && *before < id;
            let first = alike + owners[alike..].iter().take_while(is_before).count();
            let count = owners[first..].iter().take_while(|(_, other, _)| *other == id).count();
            first..first + count
        };
        // In a large fleet nodes come from memory: a pass that does nothing else meets them faster.
        let on = |node: &'a NodeState| node.instance.as_ref().map(|id| (id.tail(), id));
        let seen: Vec<_> = state.nodes.values().map(|node| (node, on(node))).collect();
        let nodes = seen.into_iter().map(|(node, on)| (node, own(on))).collect();
        Self { owners, nodes }
    }

    /// Each node, with the places of the pools whose groups have its instance.
    pub(crate) fn each(
        &self,
    ) -> impl Iterator<Item = (&'a NodeState, impl Iterator<Item = usize> + '_)> + '_ {
        self.nodes
            .iter()
            .map(|(node, own)| (*node, self.owners[own.clone()].iter().map(|(.., pool)| *pool)))
    }

    /// What all kubelets run.
    pub(crate) fn kubelets(&self) -> Versions<'a> {
        let mut versions = Versions::new();
        self.nodes.iter().for_each(|(node, _)| add(&mut versions, &node.kubelet));
        versions
    }
}

/// Adds a version in its place. There are few, and most of them are there already.
pub(crate) fn add<'a>(versions: &mut Versions<'a>, version: &'a KubeVersion) {
    if let Err(place) = versions.binary_search(&version) {
        versions.insert(place, version);
    }
}
