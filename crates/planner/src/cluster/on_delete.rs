//! Pools whose nodes are replaced when somebody deletes them.
//!
//! refit sees to it that their groups launch what is declared, as soon as the control plane can
//! take it, and never touches their nodes. Where the skew policy would force a roll, somebody has
//! to delete them first.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Because, Code, KubeProxy, KubeVersion, Minor, NodeName, NodePool, NodeState, Severity,
    UpdateStrategy, skew,
};

use super::ClusterPlanner;
use crate::checks::Blocker;
use crate::few::few;
use crate::hops::Hop;
use crate::way::Way;

impl<'a> ClusterPlanner<'a> {
    fn pools_on_delete(&self) -> impl Iterator<Item = &'a NodePool> + use<'a> {
        self.cluster.pools.iter().filter(|pool| pool.update == UpdateStrategy::OnDelete)
    }

    /// What is to be told of such pools: nodes that stand in the way of a hop, images that are
    /// missing, or how many nodes still run another version.
    pub(super) fn on_delete(&self, hops: &[Hop]) -> Vec<Blocker> {
        let mut found = Vec::new();
        for pool in self.pools_on_delete() {
            let target = &self.cluster.kubernetes.value;
            let image = self.images.pins(&pool.groups, &pool.image, target);
            found.extend(image.err().map(|blocker| blocker.of(&pool.name)));
            let nodes = self.oldest_parts(pool);
            let blocker = hops.iter().find_map(|hop| {
                self.too_old(pool, &nodes, hop).or_else(|| self.too_new(pool, hop))
            });
            found.extend(blocker.or_else(|| still_old(pool, &nodes, target)));
        }
        found
    }

    /// The nodes of a pool, each with the older of its kubelet and the kube-proxy of its image.
    fn oldest_parts(&self, pool: &NodePool) -> BTreeMap<&NodeName, &KubeVersion> {
        let nodes = self.nodes_of(pool);
        nodes
            .iter()
            .map(|(name, node)| {
                let oldest = match &node.kube_proxy {
                    KubeProxy::StaticPod(proxy) => proxy.min(&node.kubelet),
                    _ => &node.kubelet,
                };
                (*name, oldest)
            })
            .collect()
    }

    /// Nodes that an apiserver of the hop's minor cannot take.
    fn too_old(
        &self,
        pool: &'a NodePool,
        nodes: &BTreeMap<&NodeName, &KubeVersion>,
        hop: &Hop,
    ) -> Option<Blocker> {
        let minor = hop.to.minor();
        let lags = |version: &KubeVersion| {
            version.minor() < minor && !skew::kubelet_fits(version.minor(), minor)
        };
        let becomes_worse = |version: &KubeVersion| lags(version) && !self.may_stay(version, minor);
        let late: Vec<String> = nodes
            .iter()
            .filter(|(_, version)| becomes_worse(version))
            .map(|(name, version)| format!("{name} ({version})"))
            .collect();
        let evidence = misfits(&late, "old", minor)?;
        let hint = self.how_to_replace(pool, &lags, minor);
        Some(Blocker::new(Code::RF043, evidence, hint).of(&pool.name))
    }

    /// Whether a node may stay as it is beside apiservers of this minor: it fits them, or the hop to them
    /// makes nothing worse.
    fn may_stay(&self, version: &KubeVersion, minor: Minor) -> bool {
        let servers = self.state.control_plane.iter().filter_map(|m| m.api_server.as_ref());
        skew::kubelet_may_stay(version.minor(), minor, servers.map(KubeVersion::minor))
    }

    /// Nodes that are newer than what the control plane goes back to.
    fn too_new(&self, pool: &'a NodePool, hop: &Hop) -> Option<Blocker> {
        let minor = hop.to.minor();
        let newest = |node: &NodeState| match &node.kube_proxy {
            KubeProxy::StaticPod(proxy) => proxy.max(&node.kubelet).clone(),
            _ => node.kubelet.clone(),
        };
        let late: Vec<String> = self
            .nodes_of(pool)
            .iter()
            .map(|(name, node)| (name, newest(node)))
            .filter(|(_, version)| version.minor() > minor && !self.may_stay(version, minor))
            .map(|(name, version)| format!("{name} ({version})"))
            .collect();
        let evidence = misfits(&late, "new", minor)?;
        let hint = match self.launched(pool).last() {
            Some(newest) if newest.minor() > minor => {
                format!("let its groups launch {}, and delete the nodes then", hop.to)
            }
            _ => "delete them; the groups launch older ones in their place".to_owned(),
        };
        Some(Blocker::new(Code::RF043, evidence, hint).of(&pool.name))
    }

    /// What a pool's groups launch, as far as it is known.
    fn launched(&self, pool: &'a NodePool) -> BTreeSet<KubeVersion> {
        let groups = pool.groups.iter().filter_map(|name| self.state.groups.get(name));
        groups
            .filter_map(|group| group.image())
            .filter_map(|image| self.images.carried(&pool.image, image))
            .collect()
    }

    /// What to do before nodes can be deleted: what the groups launch in their place has to fit.
    fn how_to_replace(
        &self,
        pool: &'a NodePool,
        lags: &dyn Fn(&KubeVersion) -> bool,
        minor: Minor,
    ) -> String {
        match self.launched(pool).iter().find(|version| lags(version)) {
            Some(old) => format!(
                "new nodes would be of {old}, too old as well: with `max-version = \"{}\"` the \
                 groups are pointed at a newer version; delete the nodes then",
                minor.previous()
            ),
            None => "delete them; the groups launch newer ones in their place".to_owned(),
        }
    }

    /// Gives back what an interrupted roll has changed on such pools, before anything else.
    pub(super) fn tidy_on_delete(&mut self, way: &Way) {
        let pools: Vec<NodePool> = self.pools_on_delete().cloned().collect();
        let tidying = self.tidying().actions.into_iter().filter(|action| {
            let of = action.kind.groups();
            pools.iter().any(|pool| pool.groups.iter().any(|group| of.contains(group)))
        });
        for action in tidying {
            let sources = self.sources(way);
            let first = self.push(action);
            for source in sources {
                self.tie(first, source, Because::OneAtATime);
            }
        }
    }
}

/// Which nodes do not go with a control plane of that minor; none: all do.
fn misfits(late: &[String], how: &str, minor: Minor) -> Option<String> {
    if late.is_empty() {
        return None;
    }
    let (are, must) = if late.len() == 1 { ("node is", "it") } else { ("nodes are", "they") };
    Some(format!(
        "{} {are} too {how} for a control plane of {minor}, and {must} must be deleted first: {}",
        late.len(),
        few(late)
    ))
}

/// A note when nodes run another version than the declared one, and nothing is in the way.
fn still_old(
    pool: &NodePool,
    nodes: &BTreeMap<&NodeName, &KubeVersion>,
    target: &KubeVersion,
) -> Option<Blocker> {
    let old: Vec<&KubeVersion> =
        nodes.values().copied().filter(|version| !version.same_release(target)).collect();
    if old.is_empty() {
        return None;
    }
    let versions: BTreeSet<String> = old.iter().map(ToString::to_string).collect();
    let evidence = format!(
        "{} of {} nodes run {}, not {target}, until somebody deletes them",
        old.len(),
        nodes.len(),
        versions.into_iter().collect::<Vec<_>>().join(", ")
    );
    let blocker = Blocker::new(Code::RF043, evidence, "");
    Some(blocker.of(&pool.name).weighing(Severity::Note))
}
