//! The nodes of a cluster with the pools that they are of, found by one look at all of them.

#![expect(clippy::disallowed_types, reason = "a hash map is asked here, and never gone through")]

use std::collections::{BTreeSet, HashMap};

use refit_model::{Cluster, ClusterState, InstanceId, KubeVersion, NodeState};

/// Versions, each once, ascending.
pub(crate) type Versions<'a> = Vec<&'a KubeVersion>;

/// The pools of a machine, by their places in the cluster's file: mostly one, or none.
#[derive(Clone, Default)]
pub(crate) struct Owners {
    first: Option<usize>,
    others: Vec<usize>,
}

impl Owners {
    fn add(&mut self, pool: usize) {
        match self.first {
            None => self.first = Some(pool),
            Some(first) if first == pool || self.others.contains(&pool) => {}
            Some(_) => self.others.push(pool),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.first.iter().chain(&self.others).copied()
    }
}

/// The nodes of a cluster, each with the pools whose groups have its instance.
pub(crate) struct Nodes<'a>(Vec<(&'a NodeState, Owners)>);

impl<'a> Nodes<'a> {
    pub(crate) fn of(cluster: &Cluster, state: &'a ClusterState) -> Self {
        let mut owners: HashMap<&InstanceId, Owners> = HashMap::with_capacity(state.nodes.len());
        for (at, pool) in cluster.pools.iter().enumerate() {
            let groups = pool.groups.iter().filter_map(|name| state.groups.get(name));
            for instance in groups.flat_map(|group| &group.instances) {
                owners.entry(&instance.id).or_default().add(at);
            }
        }
        let own = |node: &NodeState| {
            let own = node.instance.as_ref().and_then(|id| owners.get(id));
            own.cloned().unwrap_or_default()
        };
        Self(state.nodes.values().map(|node| (node, own(node))).collect())
    }

    pub(crate) fn each(&self) -> &[(&'a NodeState, Owners)] {
        &self.0
    }

    /// What all kubelets run.
    pub(crate) fn kubelets(&self) -> BTreeSet<&'a KubeVersion> {
        let mut versions = Versions::new();
        self.0.iter().for_each(|(node, _)| add(&mut versions, &node.kubelet));
        versions.into_iter().collect()
    }
}

/// Adds a version in its place. There are few, and most of them are there already.
pub(crate) fn add<'a>(versions: &mut Versions<'a>, version: &'a KubeVersion) {
    if let Err(place) = versions.binary_search(&version) {
        versions.insert(place, version);
    }
}
