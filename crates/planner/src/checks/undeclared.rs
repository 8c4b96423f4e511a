//! Checks of what a hop meets that is not in the files: nodes of no pool, and a kube-proxy that no
//! add-on owns.

use std::collections::BTreeSet;

use refit_model::{Cluster, ClusterState, Code, KubeProxy, KubeVersion, Minor, NodeName, skew};

use super::{Blocker, api_servers};
use crate::few::few;
use crate::hops::Hop;

/// Returns findings if nodes that no pool declares, or a kube-proxy that no add-on owns, fit one of the
/// hops no longer.
pub(crate) fn skew_of_the_rest(
    cluster: &Cluster,
    state: &ClusterState,
    hops: &[Hop],
    pooled: impl Fn(&NodeName) -> bool,
) -> Vec<Blocker> {
    let at_first = api_servers(state);
    let survives = |version: &KubeVersion, minor: Minor| {
        skew::kubelet_may_stay(version.minor(), minor, at_first.iter().copied())
    };
    let mut found = Vec::new();
    let undeclared: Vec<(&NodeName, &KubeVersion)> = state
        .nodes
        .iter()
        .filter(|(name, node)| !node.control_plane && !pooled(name))
        .map(|(name, node)| (name, &node.kubelet))
        .collect();
    found.extend(nodes(&undeclared, hops, survives));
    let proxy_is_ours = cluster.addons.keys().any(|addon| addon.as_str() == "kube-proxy");
    let proxies = state.nodes.iter().filter_map(|(name, node)| match &node.kube_proxy {
        KubeProxy::DaemonSet(version) if !proxy_is_ours => Some((name, version)),
        KubeProxy::DaemonSet(_) | KubeProxy::StaticPod(_) | KubeProxy::None => None,
    });
    let mut misfits = hops.iter().flat_map(|hop| {
        let minor = hop.to.minor();
        let misfits = proxies.clone().filter(move |(_, version)| !survives(version, minor));
        misfits.map(move |(name, version)| (name, version, minor))
    });
    found.extend(misfits.next().map(|(name, version, minor)| {
        Blocker::new(
            Code::RF028,
            format!(
                "kube-proxy {version} of node {name} comes from a DaemonSet that no add-on owns, and does not fit apiservers of {minor}"
            ),
            "make kube-proxy an add-on of the fleet",
        )
        .of("kube-proxy")
    }));
    found
}

/// Returns one finding for all nodes of no pool that a hop would leave outside of the skew policy, with
/// the highest minor that all of them allow.
fn nodes(
    undeclared: &[(&NodeName, &KubeVersion)],
    hops: &[Hop],
    survives: impl Fn(&KubeVersion, Minor) -> bool,
) -> Option<Blocker> {
    let all_survive =
        |hop: &&Hop| undeclared.iter().all(|(_, kubelet)| survives(kubelet, hop.to.minor()));
    let allowed = hops.iter().take_while(all_survive).last();
    let first_misfit = hops.iter().find(|hop| !all_survive(hop))?;
    let last = hops.last()?.to.minor();
    let misfits: Vec<&(&NodeName, &KubeVersion)> = undeclared
        .iter()
        .filter(|(_, kubelet)| hops.iter().any(|hop| !survives(kubelet, hop.to.minor())))
        .collect();
    let versions: BTreeSet<&KubeVersion> = misfits.iter().map(|(_, kubelet)| *kubelet).collect();
    let versions: Vec<String> = versions.into_iter().map(ToString::to_string).collect();
    let (versions, minor) = (few(&versions), first_misfit.to.minor());
    let names: Vec<&str> = misfits.iter().map(|(name, _)| name.as_str()).collect();
    let replace = match names.len() {
        1 => "declare its pool, or replace the node",
        _ => "declare their pools, or replace the nodes",
    };
    // The way back is not bounded by a highest version.
    let hint = match allowed.filter(|hop| !hop.goes_back() && hop.to.minor() < last) {
        Some(hop) => format!(
            "{replace}; until then `max-version = \"{}\"` takes the control plane as far as {} {}",
            hop.to.minor(),
            if names.len() == 1 { "it" } else { "they" },
            if names.len() == 1 { "allows" } else { "allow" },
        ),
        None => replace.to_owned(),
    };
    let (part, evidence) = match names.as_slice() {
        [name] => (
            format!("node {name}"),
            format!(
                "belongs to no declared pool and runs {versions}, which does not fit apiservers of {minor}"
            ),
        ),
        _ => (
            "nodes".to_owned(),
            format!(
                "{} nodes belong to no declared pool and run {versions}, which does not fit apiservers of {minor}: {}",
                names.len(),
                few(&names)
            ),
        ),
    };
    Some(Blocker::new(Code::RF004, evidence, hint).of(part))
}
