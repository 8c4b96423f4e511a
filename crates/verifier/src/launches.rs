//! What groups launch: a node can come up at any moment, for a scale-up or in place of one that
//! was lost, also in a pool that has none now.

use std::cell::RefCell;
use std::collections::BTreeMap;

use refit_model::{
    ActionKind, Cluster, ClusterState, Fleet, GroupName, ImageId, ImagePattern, ImageState,
    KubeVersion, skew,
};

use crate::nodes::{Nodes, Versions, add};
use crate::order::Order;
use crate::pools;
use crate::stages::{Stage, chain, meet, were_there};

/// Whether what a group launches, until it is pinned or its pool is rolled, fits every apiserver
/// that lives meanwhile. A plan about everything has to bring groups to what is declared.
pub(crate) fn check<'a>(
    cluster: &'a Cluster,
    state: &ClusterState,
    images: &Images<'a>,
    order: &Order<'_>,
    api: &[Stage<Versions<'_>>],
    everything: bool,
    notes: &mut Vec<String>,
) {
    let mut pins: BTreeMap<&GroupName, Vec<(usize, &ImageId)>> = BTreeMap::new();
    for (at, action) in order.actions().iter().enumerate() {
        let ActionKind::PinGroups { images } = &action.kind else { continue };
        for (group, image) in images {
            pins.entry(group).or_default().push((at, image));
        }
    }
    let mut own = Vec::new();
    for pool in &cluster.pools {
        let rolls: Vec<(usize, Option<KubeVersion>)> = order
            .actions()
            .iter()
            .enumerate()
            .filter_map(|(at, action)| match &action.kind {
                ActionKind::NodePoolRoll { pool: name, to, .. } if *name == pool.name => {
                    Some((at, Some(to.clone())))
                }
                _ => None,
            })
            .collect();
        for group in &pool.groups {
            let carries = |image| images.carried(&pool.image, image);
            let now = state.groups.get(group).and_then(|seen| seen.image()).and_then(carries);
            let pinned = pins.remove(group).unwrap_or_default();
            let pinned = pinned.into_iter().map(|(at, image)| (at, carries(image)));
            let moves = pinned.chain(rolls.iter().cloned());
            own.clear();
            let what = format_args!("what group {group} launches");
            chain(&mut own, order, what, now, moves, notes);
            launches(order, group, &own, api, notes);
            let target = &cluster.kubernetes.value;
            let last = own.last().and_then(|stage| stage.value.as_ref());
            if everything
                && pools::is_on_delete(cluster, &pool.name)
                && !last.is_some_and(|last| last.same_release(target))
            {
                notes.push(format!("group {group} does not launch {target} in the end"));
            }
        }
    }
    for group in pins.keys() {
        notes.push(format!("group {group} is pinned, and belongs to no declared pool"));
    }
}

fn launches(
    order: &Order<'_>,
    group: &GroupName,
    own: &[Stage<Option<KubeVersion>>],
    api: &[Stage<Versions<'_>>],
    notes: &mut Vec<String>,
) {
    for launch in own {
        let Some(version) = &launch.value else { continue };
        for api in api.iter().filter(|api| meet(order, launch, api) && !were_there(launch, api)) {
            for server in &api.value {
                if !skew::kubelet_fits(version.minor(), server.minor()) {
                    notes.push(format!(
                        "group {group} may launch nodes of {version} beside an apiserver of {server}"
                    ));
                }
            }
        }
    }
}

/// What images carry. Groups launch the same few.
pub(crate) struct Images<'a> {
    seen: &'a [ImageState],
    /// The versions that the fleet knows.
    available: &'a [KubeVersion],
    /// Those that the cluster runs, and the one that it shall run.
    own: Versions<'a>,
    asked: RefCell<Vec<(&'a ImagePattern, ImageId, Option<KubeVersion>)>>,
}

impl<'a> Images<'a> {
    pub(crate) fn of(
        fleet: &'a Fleet,
        cluster: &'a Cluster,
        state: &'a ClusterState,
        nodes: &Nodes<'a>,
    ) -> Self {
        let mut own = nodes.kubelets();
        add(&mut own, &cluster.kubernetes.value);
        Self { seen: &state.images, available: &fleet.available, own, asked: RefCell::default() }
    }

    /// The version of an image, by its name. What is not there any more cannot be judged, and cannot
    /// be launched either.
    pub(crate) fn carried(
        &self,
        pattern: &'a ImagePattern,
        image: &ImageId,
    ) -> Option<KubeVersion> {
        let mut asked = self.asked.borrow_mut();
        if let Some((.., version)) = asked.iter().find(|(p, i, _)| i == image && *p == pattern) {
            return version.clone();
        }
        let version = self.seen.iter().find(|seen| seen.id == *image).and_then(|seen| {
            let known = self.available.iter().chain(self.own.iter().copied());
            let first = known.filter(|version| pattern.matches(version, &seen.name)).min();
            first.cloned().or_else(|| spelled(pattern, &seen.name))
        });
        asked.push((pattern, image.clone(), version.clone()));
        version
    }
}

/// The version that is spelled in a name, where the pattern wants it.
fn spelled(pattern: &ImagePattern, name: &str) -> Option<KubeVersion> {
    let numbers = name.split(|c: char| !c.is_ascii_digit() && c != '.');
    numbers
        .filter_map(|number| number.trim_matches('.').parse::<KubeVersion>().ok())
        .find(|version| pattern.matches(version, name))
}
