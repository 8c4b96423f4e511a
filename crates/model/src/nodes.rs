//! The nodes of groups: a node tells its instance, and a group its instances.

use crate::{ClusterState, GroupName, InstanceId, NodeName, NodeState};

/// Nodes by name.
pub type NamedNodes<'a> = Vec<(&'a NodeName, &'a NodeState)>;

/// Finds the nodes of groups. One after the other it looks at many clusters, so that memory is asked
/// for but once: pieces of more than a kilobyte make the allocator sort what is free.
#[derive(Debug, Default)]
pub struct NodesByGroups<'a> {
    /// The instances of all groups, by the end of their ids, each with the list of its group.
    instances: Vec<(u64, &'a InstanceId, usize)>,
    /// By place of an instance, the end of its id.
    tails: Vec<u64>,
    /// Each node with the end of its instance's id.
    seen: Vec<(&'a NodeName, &'a NodeState, u64)>,
}

impl<'a> NodesByGroups<'a> {
    /// The nodes on the instances of each of these lists of groups, and those on none of them, each
    /// by name: at one look at all.
    pub fn of(
        &mut self,
        state: &'a ClusterState,
        lists: impl IntoIterator<Item = &'a [GroupName]>,
    ) -> (Vec<NamedNodes<'a>>, NamedNodes<'a>) {
        let Self { instances, tails, seen } = self;
        let (mut nodes, mut others) = (Vec::new(), Vec::new());
        instances.clear();
        for (list, groups) in lists.into_iter().enumerate() {
            let groups = groups.iter().filter_map(|name| state.groups.get(name));
            let before = instances.len();
            let own = groups.flat_map(|group| &group.instances);
            instances.extend(own.map(|instance| (instance.id.tail(), &instance.id, list)));
            nodes.push(Vec::with_capacity(instances.len() - before));
        }
        instances.sort_unstable();
        instances.dedup();
        tails.clear();
        tails.extend(instances.iter().map(|(tail, ..)| *tail));
        // In a large fleet nodes come from memory: a pass that does nothing else meets them faster.
        let tail_of = |node: &NodeState| node.instance.as_ref().map_or(0, InstanceId::tail);
        seen.clear();
        seen.extend(state.nodes.iter().map(|(name, node)| (name, node, tail_of(node))));
        for (name, node, tail) in seen.iter().copied() {
            let own = node.instance.iter().flat_map(|id| {
                let first = tails.partition_point(|other| *other < tail);
                let alike = instances[first..].iter().take_while(move |(other, ..)| *other == tail);
                alike.filter(move |(_, other, _)| *other == id).map(|(.., list)| *list)
            });
            let mut is_of_none = true;
            for list in own {
                nodes[list].push((name, node));
                is_of_none = false;
            }
            if is_of_none {
                others.push((name, node));
            }
        }
        (nodes, others)
    }
}
