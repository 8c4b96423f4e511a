//! What stands in a cluster's way, before anything is planned for it.

mod budgets;
mod control_plane;
mod groups;
mod jobs;
mod nodes;
mod undeclared;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use refit_model::{
    Cluster, ClusterState, Code, Finding, KubeProxy, KubeVersion, Minor, NodeName, NodeState,
    Period, PodOwner, PodState, Severity, Subject, skew,
};

use crate::few::few;
use crate::hops::{Hop, is_newer, not_named};
use crate::timeline::PoolNow;

pub(crate) use control_plane::control_plane;
pub(crate) use groups::{hooks, suspended};
pub(crate) use nodes::before_the_start;
pub(crate) use undeclared::skew_of_the_rest;

/// A finding that is not yet about a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Blocker {
    pub(crate) severity: Severity,
    pub(crate) code: Code,
    pub(crate) part: Option<String>,
    pub(crate) evidence: String,
    pub(crate) hint: String,
}

/// Returns the blockers with those that say the same of several nodes as one, which names some of them.
fn grouped_by_node(found: Vec<(&NodeName, Blocker)>) -> Vec<Blocker> {
    let mut groups: Vec<(Blocker, Vec<&str>)> = Vec::new();
    for (node, blocker) in found {
        let same = |other: &&mut (Blocker, Vec<&str>)| {
            (other.0.code, other.0.severity) == (blocker.code, blocker.severity)
                && (&other.0.evidence, &other.0.hint) == (&blocker.evidence, &blocker.hint)
        };
        match groups.iter_mut().find(same) {
            Some((_, nodes)) => nodes.push(node.as_str()),
            None => groups.push((blocker, vec![node.as_str()])),
        }
    }
    let one = |(mut blocker, nodes): (Blocker, Vec<&str>)| {
        if let [node] = nodes.as_slice() {
            return blocker.of(format!("node {node}"));
        }
        let evidence = &blocker.evidence;
        blocker.evidence =
            format!("for each of {} nodes: {evidence} ({})", nodes.len(), few(&nodes));
        blocker.of("nodes")
    };
    groups.into_iter().map(one).collect()
}

impl Blocker {
    pub(crate) fn new(code: Code, evidence: impl Display, hint: impl Display) -> Self {
        Self {
            severity: Severity::Blocked,
            code,
            part: None,
            evidence: evidence.to_string(),
            hint: hint.to_string(),
        }
    }

    pub(crate) fn of(mut self, part: impl Display) -> Self {
        self.part = Some(part.to_string());
        self
    }

    pub(crate) fn weighing(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    pub(crate) fn about(self, cluster: &Cluster) -> Finding {
        Finding {
            severity: self.severity,
            code: self.code,
            subject: Subject { cluster: cluster.name.clone(), part: self.part },
            evidence: self.evidence,
            hint: self.hint,
        }
    }
}

/// Whether the cluster's machines are what its file declares.
pub(crate) fn machines(cluster: &Cluster, state: &ClusterState) -> Vec<Blocker> {
    let mut found = Vec::new();
    let declared =
        cluster.control_plane.groups.iter().chain(cluster.pools.iter().flat_map(|p| &p.groups));
    for name in declared {
        match state.groups.get(name) {
            None => found.push(
                Blocker::new(
                    Code::RF005,
                    "this Auto Scaling group does not exist",
                    format!("correct `auto-scaling-groups` ({})", cluster.at),
                )
                .of(name),
            ),
            Some(group) => found.extend(group.refused.iter().map(|feature| {
                Blocker::new(
                    Code::RF006,
                    format!("uses {feature}, which refit does not roll"),
                    "remove the feature from the group",
                )
                .of(name)
            })),
        }
    }
    let members: BTreeSet<_> = state.control_plane.iter().map(|member| &member.instance).collect();
    let ours = cluster
        .control_plane
        .groups
        .iter()
        .filter_map(|name| state.groups.get(name))
        .flat_map(|group| &group.instances)
        .any(|instance| members.contains(&instance.id));
    if found.is_empty() && !ours {
        found.push(Blocker::new(
            Code::RF011,
            "none of its control plane's instances belongs to the declared groups: this may be another cluster",
            "check which cluster the file reaches",
        ));
    }
    found
}

/// The minors of all apiservers.
pub(crate) fn api_servers(state: &ClusterState) -> BTreeSet<Minor> {
    let servers = state.control_plane.iter().filter_map(|member| member.api_server.as_ref());
    servers.map(KubeVersion::minor).collect()
}

/// Whether an emulation of an older minor stands in the way: nodes must not be newer than what is
/// emulated, and nobody can tell what the next image's apiserver will emulate
/// ([KEP-4330](https://github.com/kubernetes/enhancements/tree/master/keps/sig-architecture/4330-compatibility-versions)).
/// Back to the very minor that is emulated the control plane may go: it is what the emulation is for,
/// and the nodes of a cluster that was named (`goes_back`) go to the declared version before.
pub(crate) fn emulation(
    state: &ClusterState,
    hops: &[Hop],
    pools: &[PoolNow],
    target: &KubeVersion,
    goes_back: impl Fn(&NodeName) -> bool,
) -> Vec<Blocker> {
    let Some((serves, emulated)) =
        state.serves.as_ref().and_then(|serves| Some((serves, serves.emulates()?)))
    else {
        return Vec::new();
    };
    let mut of_nodes = Vec::new();
    for (name, node) in state.nodes.iter().filter(|(_, node)| !node.control_plane) {
        let mended = goes_back(name) && skew::kubelet_fits(target.minor(), emulated);
        if !skew::kubelet_fits(node.kubelet.minor(), emulated) && !mended {
            of_nodes.push((
                name,
                Blocker::new(
                    Code::RF017,
                    format!(
                        "its kubelet {} does not fit the apiserver {}, which emulates {emulated}",
                        node.kubelet, serves.binary
                    ),
                    "bring it within the skew policy by hand",
                ),
            ));
        }
    }
    let mut found = grouped_by_node(of_nodes);
    let rolls = |pool: &PoolNow| {
        !pool.stays && (pool.forced || pool.runs.iter().any(|v| !v.same_release(target)))
    };
    let ends_it = |hop: &Hop| hop.goes_back() && hop.to.minor() == emulated;
    let past = !hops.iter().all(ends_it) || (target.minor() > emulated && pools.iter().any(rolls));
    if past {
        found.push(
            Blocker::new(
                Code::RF036,
                format!("the apiserver {} emulates {emulated}", serves.binary),
                if hops.iter().any(Hop::goes_back) {
                    format!("emulate {}, or nothing", target.minor())
                } else {
                    "end the emulation first: take `--emulated-version` out of the apiserver's flags"
                        .to_owned()
                },
            )
            .of("control-plane"),
        );
    }
    found
}

/// What runs on a node and comes with its image.
pub(crate) fn runs(node: &NodeState) -> impl Iterator<Item = (&'static str, &KubeVersion)> + Clone {
    let proxy = match &node.kube_proxy {
        KubeProxy::StaticPod(version) => Some(("kube-proxy", version)),
        _ => None,
    };
    std::iter::once(("kubelet", &node.kubelet)).chain(proxy)
}

/// Whether skew holds now. What is broken already is told, and who mends it: a roll, where one comes
/// to the node (`rolled`), or hops up to what it runs. Nodes of pools may be newer than declared in a
/// cluster that was named to go back.
pub(crate) fn skew_now(
    cluster: &Cluster,
    state: &ClusterState,
    hops: &[Hop],
    pooled: impl Fn(&NodeName) -> bool,
    rolled: impl Fn(&NodeName) -> bool,
    named: bool,
) -> Vec<Blocker> {
    let mut found = Vec::new();
    let target = &cluster.kubernetes.value;
    let api_servers: BTreeSet<&KubeVersion> =
        state.control_plane.iter().filter_map(|member| member.api_server.as_ref()).collect();
    for (name, node) in state.nodes.iter().filter(|(name, n)| !n.control_plane || pooled(name)) {
        let mut parts = runs(node);
        if let Some((part, version)) = parts.clone().find(|(_, v)| is_newer(v, target))
            && !(named && pooled(name))
        {
            let own = if part == "kubelet" { "" } else { "its kube-proxy " };
            let newer = if named {
                Blocker::new(
                    Code::RF015,
                    format!(
                        "belongs to no declared pool and {own}runs {version}, newer than {target}"
                    ),
                    "declare its pool, or replace the node",
                )
            } else {
                not_named(cluster, format!("{own}runs {version}, newer than {target}"))
            };
            found.push((name, newer));
        } else if let Some((part, version, api)) = parts.find_map(|(part, version)| {
            let misfit = |api: &&&KubeVersion| !skew::kubelet_fits(version.minor(), api.minor());
            api_servers.iter().find(misfit).map(|api| (part, version, api))
        }) {
            let hint = if version > api && hops.iter().any(|hop| hop.to > **api) {
                "every hop brings the control plane nearer to it"
            } else if rolled(name) {
                "the plan replaces it"
            } else {
                "replace the node"
            };
            let evidence = format!("its {part} {version} does not fit the apiserver {api}");
            let misfit = Blocker::new(Code::RF017, evidence, hint);
            found.push((name, misfit.weighing(Severity::Warning)));
        }
    }
    grouped_by_node(found)
}

/// Whether the nodes that are replaced can be drained at all. `waits` says how long their drains wait
/// for pods that run to completion, if they do.
pub(crate) fn drains(
    cluster: &Cluster,
    state: &ClusterState,
    replaced: &[&NodeName],
    waits: &BTreeMap<&NodeName, Period>,
) -> Vec<Blocker> {
    let mut found = Vec::new();
    let leaving: Vec<&PodState> = state
        .pods
        .iter()
        .filter(|pod| matches!(pod.owner, PodOwner::Workload(_) | PodOwner::Nobody))
        .filter(|pod| pod.node.as_ref().is_some_and(|node| replaced.binary_search(&node).is_ok()))
        .collect();
    found.extend(budgets::forbidding(state, &leaving));
    found.extend(nodes::leaving_already(state, replaced, &leaving));
    found.extend(jobs::evicted(&leaving, waits));
    for pod in &leaving {
        let part = format!("{}/{}", pod.namespace, pod.name);
        if pod.budgets.len() > 1 {
            let names: Vec<&str> = pod.budgets.iter().map(String::as_str).collect();
            found.push(
                Blocker::new(
                    Code::RF013,
                    format!(
                        "is selected by more than one PodDisruptionBudget ({}): it can never be evicted",
                        names.join(", ")
                    ),
                    format!(
                        "let one budget select it{}",
                        meanwhile(state, std::iter::once(*pod))
                    ),
                )
                .of(&part),
            );
        }
        if pod.owner == PodOwner::Nobody {
            found.push(
                Blocker::new(
                    Code::RF014,
                    "has no owner: evicted, it is gone",
                    format!(
                        "delete it, or let a workload own it{}",
                        meanwhile(state, std::iter::once(*pod))
                    ),
                )
                .of(&part),
            );
        }
        found.extend(zonal(cluster, state, pod).map(|blocker| blocker.of(&part)));
    }
    found
}

/// Returns which parts of a plan do not drain the nodes of these pods, for a hint.
fn meanwhile<'p>(
    state: &ClusterState,
    mut pods: impl Iterator<Item = &'p PodState>,
) -> &'static str {
    let on_control_plane = pods.any(|pod| {
        let node = pod.node.as_ref().and_then(|name| state.nodes.get(name));
        node.is_some_and(|node| node.control_plane)
    });
    if on_control_plane {
        "; until then `--only add-ons` goes on without a drain"
    } else {
        "; until then `--only control-plane` and `--only add-ons` go on without these drains"
    }
}

/// Whether a pod's zonal volume has somewhere to go.
fn zonal(cluster: &Cluster, state: &ClusterState, pod: &PodState) -> Option<Blocker> {
    let volume = pod.volume.as_ref()?;
    let zone = &volume.zone;
    if !state.groups.values().any(|group| group.zones.contains(zone)) {
        return Some(Blocker::new(
            Code::RF029,
            format!(
                "its volume {} lives in {zone}, where no declared group launches",
                volume.claim
            ),
            "let a group of its pool span that zone",
        ));
    }
    let group_of = |node: &NodeState| {
        let (name, _) = state.instance(node.instance.as_ref()?)?;
        let pool = cluster.pools.iter().position(|pool| pool.groups.contains(name));
        Some((state.groups[name].zones.len(), pool))
    };
    let own = state.nodes.get(pod.node.as_ref()?)?;
    let (zones, pool) = group_of(own)?;
    let elsewhere = state.nodes.iter().any(|(name, node)| {
        pod.node.as_ref() != Some(name)
            && node.ready
            && !node.unschedulable
            && node.zone.as_ref() == Some(zone)
            && group_of(node).is_some_and(|(_, other)| other == pool)
    });
    if elsewhere || zones == 1 {
        return None;
    }
    let warning = Blocker::new(
        Code::RF029,
        format!(
            "its volume {} lives in {zone}, where no other node could take it, and its group cannot be told to launch there",
            volume.claim
        ),
        "give each zone a group of its own, or the pool more surge",
    );
    Some(warning.weighing(Severity::Warning))
}
