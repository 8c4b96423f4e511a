//! The nodes of groups: a node tells its instance, and a group its instances.

use crate::{ClusterState, GroupName, InstanceId, NodeName, NodeState};

/// Nodes by name.
pub type NamedNodes<'a> = Vec<(&'a NodeName, &'a NodeState)>;

/// Finds the nodes of groups. One after the other it looks at many clusters, so that memory is asked
/// for but once: pieces of more than a kilobyte make the allocator sort what is free.
#[derive(Debug, Default)]
pub struct NodesByGroups<'a> {
    /// The instances of all groups, each with the list of its group.
    instances: Vec<(&'a InstanceId, usize)>,
    /// Their places, each behind the end of its instance's id: numbers are sorted fast.
    places: Vec<u128>,
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
        let Self { instances, places, seen } = self;
        let (mut nodes, mut others) = (Vec::<NamedNodes<'a>>::new(), NamedNodes::new());
        instances.clear();
        for (list, groups) in lists.into_iter().enumerate() {
            let groups = groups.iter().filter_map(|name| state.groups.get(name));
            let before = instances.len();
            let own = groups.flat_map(|group| &group.instances);
            instances.extend(own.map(|instance| (&instance.id, list)));
            nodes.push(Vec::with_capacity(instances.len() - before));
        }
        places.clear();
        places.extend(instances.iter().zip(0..).map(|((id, _), place)| number(id.tail(), place)));
        places.sort_unstable();
        // In a large fleet nodes come from memory: a pass that does nothing else meets them faster.
        let tail_of = |node: &NodeState| node.instance.as_ref().map_or(0, InstanceId::tail);
        seen.clear();
        seen.extend(state.nodes.iter().map(|(name, node)| (name, node, tail_of(node))));
        for (name, node, tail) in seen.iter().copied() {
            let own = node.instance.iter().flat_map(|id| {
                let first = places.partition_point(|other| *other < number(tail, 0));
                let alike =
                    places[first..].iter().take_while(move |other| *other >> 64 == tail.into());
                let alike =
                    alike.filter_map(|place| instances.get(usize::try_from(place & PLACE).ok()?));
                alike.filter(move |(other, _)| *other == id).map(|(_, list)| *list)
            });
            let mut is_of_none = true;
            for list in own {
                // A group may be named twice.
                if nodes[list].last().is_none_or(|(last, _)| !std::ptr::eq(*last, name)) {
                    nodes[list].push((name, node));
                }
                is_of_none = false;
            }
            if is_of_none {
                others.push((name, node));
            }
        }
        (nodes, others)
    }
}

/// The bits of a place.
const PLACE: u128 = u64::MAX as u128;

/// A place behind the end of an id.
fn number(tail: u64, place: u64) -> u128 {
    u128::from(tail) << 64 | u128::from(place)
}
