//! Checks of nodes before the start: what a roll or a hop would meet on them.

use std::collections::BTreeSet;

use refit_model::{
    ClusterState, Code, InstanceId, Lifecycle, NodeName, NodeState, PodState, RollTag, Severity,
};

use super::Blocker;
use crate::few::few;

/// Returns findings about nodes that are not as a plan which replaces machines expects them: their
/// kubelet does not answer, or they are not Ready, cordoned by somebody else, or missing although their instance is in service. Nodes whose
/// machines are being terminated do not count.
pub(crate) fn before_the_start(state: &ClusterState) -> Vec<Blocker> {
    let mut found = Vec::new();
    let ending: BTreeSet<&InstanceId> = state
        .groups
        .values()
        .flat_map(|group| &group.instances)
        .filter(|instance| instance.lifecycle == Lifecycle::Terminating)
        .map(|instance| &instance.id)
        .collect();
    let stays = |node: &NodeState| !node.instance.as_ref().is_some_and(|id| ending.contains(id));
    let names = |is: &dyn Fn(&NodeState) -> bool| -> Vec<&str> {
        let nodes = state.nodes.iter().filter(|(_, node)| stays(node) && is(node));
        nodes.map(|(name, _)| name.as_str()).collect()
    };
    let silent = names(&|node| node.unreachable_since.is_some());
    if !silent.is_empty() {
        let (has_or_have, kubelet_or_kubelets) =
            if silent.len() == 1 { ("has", "its kubelet") } else { ("have", "their kubelets") };
        found.push(about_nodes(
            &silent,
            format!(
                "{has_or_have} not answered before the start: {kubelet_or_kubelets} would end no pod, so a roll terminates {} without a drain after `unreachable-timeout`",
                it_or_them(&silent)
            ),
            "bring each back before the plan is applied, if what runs there has to be drained",
        ));
    }
    let not_ready = names(&|node| !node.ready && node.unreachable_since.is_none());
    if !not_ready.is_empty() {
        found.push(about_nodes(
            &not_ready,
            format!(
                "{} not Ready before the start, and pods on {} count as unavailable, for PodDisruptionBudgets too",
                is_or_are(&not_ready),
                it_or_them(&not_ready)
            ),
            "bring each back, or replace it, before the plan is applied",
        ));
    }
    let cordoned =
        names(&|node| node.unschedulable && !node.annotations.contains_key(RollTag::CORDONED));
    if !cordoned.is_empty() {
        found.push(about_nodes(
            &cordoned,
            format!(
                "{} cordoned, and not by refit: no pod is scheduled there, and another tool may be draining {}",
                is_or_are(&cordoned),
                it_or_them(&cordoned)
            ),
            "find out who cordoned each and why, and uncordon it or let that tool finish before the plan is applied",
        ));
    }
    found.extend(never_joined(state));
    found
}

fn about_nodes(names: &[&str], said: String, hint: &str) -> Blocker {
    let (part, evidence) = match names {
        [one] => (format!("node {one}"), said),
        many => ("nodes".to_owned(), format!("{} {said}: {}", many.len(), few(many))),
    };
    Blocker::new(Code::RF051, evidence, hint).of(part).weighing(Severity::Warning)
}

fn is_or_are(names: &[&str]) -> &'static str {
    if names.len() == 1 { "is" } else { "are" }
}

fn it_or_them(names: &[&str]) -> &'static str {
    if names.len() == 1 { "it" } else { "them" }
}

/// Returns a finding for each group with instances in service that are no nodes: what keeps them from
/// joining may keep new ones from it, too.
fn never_joined(state: &ClusterState) -> Vec<Blocker> {
    let joined: BTreeSet<&InstanceId> =
        state.nodes.values().filter_map(|node| node.instance.as_ref()).collect();
    let mut found = Vec::new();
    for (name, group) in &state.groups {
        let in_service = group.instances.iter().filter(|i| i.lifecycle == Lifecycle::InService);
        let missing: Vec<&str> = in_service
            .filter(|instance| !joined.contains(&instance.id))
            .map(|instance| instance.id.as_str())
            .collect();
        if missing.is_empty() {
            continue;
        }
        let evidence = match missing.as_slice() {
            [one] => format!("its instance {one} is in service and is no node of the cluster"),
            many => format!(
                "{} of its instances are in service and are no nodes of the cluster: {}",
                many.len(),
                few(many)
            ),
        };
        let hint = "unless they are still booting, read their console output and the log of their kubelet: new instances may fail in the same way";
        found.push(Blocker::new(Code::RF052, evidence, hint).of(name).weighing(Severity::Warning));
    }
    found
}

/// Returns findings about what is leaving the nodes that a plan replaces already: pods that are
/// terminating and volumes that no pod uses any more. A drain waits for both.
pub(super) fn leaving_already(
    state: &ClusterState,
    replaced: &[&NodeName],
    leaving: &[&PodState],
) -> Vec<Blocker> {
    let mut found = Vec::new();
    let terminating: Vec<String> = leaving
        .iter()
        .filter(|pod| pod.terminating)
        .map(|pod| format!("{}/{}", pod.namespace, pod.name))
        .collect();
    if !terminating.is_empty() {
        let evidence = match terminating.as_slice() {
            [one] => format!(
                "{one} is terminating before the start, and the drain of its node waits for it"
            ),
            many => format!(
                "{} are terminating before the start, and the drains of their nodes wait for them: {}",
                many.len(),
                few(many)
            ),
        };
        let hint = "if they do not end within minutes, look for finalizers, a preStop hook that hangs, or a kubelet that does not answer";
        found
            .push(Blocker::new(Code::RF053, evidence, hint).of("pods").weighing(Severity::Warning));
    }
    let detaching: Vec<String> = replaced
        .iter()
        .filter_map(|name| Some((name, state.nodes.get(*name)?)))
        .flat_map(|(name, node)| {
            node.detaching.iter().map(move |volume| format!("{volume} ({name})"))
        })
        .collect();
    if !detaching.is_empty() {
        let evidence = match detaching.as_slice() {
            [one] => format!(
                "{one} is attached to a node on which no pod uses it, and the drain waits until it is detached"
            ),
            many => format!(
                "{} are attached to nodes on which no pod uses them, and the drains wait until they are detached: {}",
                many.len(),
                few(many)
            ),
        };
        let hint = "if they are not detached within minutes, look at their VolumeAttachments and at the CSI driver";
        found.push(
            Blocker::new(Code::RF053, evidence, hint).of("volumes").weighing(Severity::Warning),
        );
    }
    found
}
