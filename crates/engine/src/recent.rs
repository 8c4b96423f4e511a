//! What this run has changed in a cluster a moment ago, and whether a look shows it.
//!
//! The APIs that groups are read through are only eventually consistent: a look may show what was
//! before a call that has long been answered, and the next look may go back behind the one before.
//! Whoever decides on such a look does things twice. So a look is believed only if it shows every
//! change of the last [`LAG`]; and after a call on a group of which nobody knows whether it has
//! taken effect, none is believed until every API has had its time to tell. What has not shown by
//! then was undone by somebody else, and that is believed.

use std::collections::BTreeMap;

use refit_model::{
    ClusterState, GroupName, GroupOp, GroupState, ImageId, InstanceId, InstanceState, Lifecycle,
    NodeName, NodeOp, Op, Period, RollTag, TargetHealth, Timestamp,
};

use crate::decision::after;

/// How long an API may go on showing what was before. AWS promises no bound, and has caught up
/// within a few seconds; longer than this would hold up every run that somebody else interferes
/// with.
pub(crate) const LAG: Period = Period::seconds(15);

/// What a call changes: of two calls that change the same, only the later one shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Changes {
    Tag(GroupName),
    Desired(GroupName),
    Template(GroupName),
    TemplateVersions(GroupName, ImageId),
    Process(GroupName, String),
    Protection(InstanceId),
    Target(InstanceId),
    Instance(InstanceId),
    Cordon(NodeName),
    ScaleDown(NodeName),
    OutOfService(NodeName),
    Pod(String),
}

impl Changes {
    /// None: what it changes is not read from an API that lags behind.
    fn of(op: &Op) -> Option<Self> {
        Some(match op {
            Op::Group { group, op } => {
                let group = group.clone();
                match op {
                    GroupOp::Tag { .. } | GroupOp::Untag => Self::Tag(group),
                    GroupOp::RaiseDesired { .. } => Self::Desired(group),
                    GroupOp::SetTemplateVersion { .. } => Self::Template(group),
                    GroupOp::CreateTemplateVersion { image } => {
                        Self::TemplateVersions(group, image.clone())
                    }
                    GroupOp::Suspend { process } | GroupOp::Resume { process } => {
                        Self::Process(group, process.clone())
                    }
                    GroupOp::Protect { instance } | GroupOp::Unprotect { instance } => {
                        Self::Protection(instance.clone())
                    }
                    GroupOp::Register { instance } | GroupOp::Deregister { instance } => {
                        Self::Target(instance.clone())
                    }
                    GroupOp::Terminate { instance, .. } => Self::Instance(instance.clone()),
                }
            }
            Op::Node { node, op } => match op {
                NodeOp::Cordon { .. } | NodeOp::Uncordon => Self::Cordon(node.clone()),
                NodeOp::Evict { pod } => Self::Pod(pod.uid.clone()),
                NodeOp::DisableScaleDown { .. } | NodeOp::EnableScaleDown => {
                    Self::ScaleDown(node.clone())
                }
                NodeOp::TaintOutOfService { .. } | NodeOp::RemoveOutOfService => {
                    Self::OutOfService(node.clone())
                }
            },
            Op::Addon { .. } | Op::HoldLease { .. } | Op::ReleaseLease { .. } => return None,
        })
    }
}

/// The recent changes of one cluster.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    changes: BTreeMap<Changes, (Op, Timestamp)>,
    /// Until when nobody knows what a group is like.
    doubt: Option<Timestamp>,
}

impl Recent {
    /// A call has taken effect.
    pub(crate) fn took_effect(&mut self, op: &Op, now: Timestamp) {
        self.changes.retain(|_, (_, at)| now < after(*at, LAG));
        if let Op::Group { group, op: GroupOp::Terminate { decrement: true, .. } } = op {
            // Desired has fallen since it was raised.
            self.changes.remove(&Changes::Desired(group.clone()));
        }
        if let Some(changes) = Changes::of(op) {
            self.changes.insert(changes, (op.clone(), now));
        }
    }

    /// Nobody knows whether a call has taken effect.
    pub(crate) fn unsure(&mut self, op: &Op, now: Timestamp) {
        if let Some(changes) = Changes::of(op) {
            self.changes.remove(&changes);
        }
        // What is done to nodes and pods may be done twice.
        if matches!(op, Op::Group { .. }) {
            self.doubt = self.doubt.max(Some(after(now, LAG)));
        }
    }

    /// When every look shows what was done.
    pub(crate) fn settled_at(&self) -> Option<Timestamp> {
        self.changes.values().map(|(_, at)| after(*at, LAG)).chain(self.doubt).max()
    }

    /// Why a look that was begun at this time cannot be believed.
    pub(crate) fn lagging(&self, state: &ClusterState, begun: Timestamp) -> Option<String> {
        if self.doubt.is_some_and(|until| begun < until) {
            return Some("the cluster to show whether a call without an answer went well".into());
        }
        self.changes
            .values()
            .filter(|(_, at)| begun < after(*at, LAG))
            .find(|(op, _)| !shows(state, op))
            .map(|(op, _)| format!("the cluster to show what was done: {op}"))
    }
}

/// Whether a look shows what a call has done, or does not show at all what it was done to.
fn shows(state: &ClusterState, op: &Op) -> bool {
    match op {
        Op::Group { group, op } => {
            state.groups.get(group).is_none_or(|group| shows_on_group(group, op))
        }
        Op::Node { node, op: NodeOp::Cordon { .. } } => {
            state.nodes.get(node).is_none_or(|node| node.unschedulable)
        }
        Op::Node { node, op: NodeOp::Uncordon } => {
            let node = state.nodes.get(node);
            node.is_none_or(|node| !node.annotations.contains_key(RollTag::CORDONED))
        }
        Op::Node { op: NodeOp::Evict { pod: key }, .. } => {
            !state.pods.iter().any(|pod| pod.uid == key.uid && !pod.terminating)
        }
        Op::Node { node, op: NodeOp::DisableScaleDown { .. } } => {
            annotated(state, node, NodeOp::SCALE_DOWN_DISABLED_BY, true)
        }
        Op::Node { node, op: NodeOp::EnableScaleDown } => {
            annotated(state, node, NodeOp::SCALE_DOWN_DISABLED_BY, false)
        }
        Op::Node { node, op: NodeOp::TaintOutOfService { .. } } => {
            annotated(state, node, NodeOp::OUT_OF_SERVICE_BY, true)
        }
        Op::Node { node, op: NodeOp::RemoveOutOfService } => {
            annotated(state, node, NodeOp::OUT_OF_SERVICE_BY, false)
        }
        Op::Addon { .. } | Op::HoldLease { .. } | Op::ReleaseLease { .. } => true,
    }
}

/// Returns whether a node has an annotation, or has it not, as `wanted`; `true` if it is not there.
fn annotated(state: &ClusterState, node: &NodeName, key: &str, wanted: bool) -> bool {
    state.nodes.get(node).is_none_or(|node| node.annotations.contains_key(key) == wanted)
}

fn shows_on_group(group: &GroupState, op: &GroupOp) -> bool {
    let instance = |id: &InstanceId, is: fn(&InstanceState) -> bool| {
        let staying = group.instances.iter().filter(|i| i.lifecycle != Lifecycle::Terminating);
        staying.filter(|instance| instance.id == *id).all(is)
    };
    match op {
        GroupOp::Tag { tag } => {
            let shown = group.tags.get(RollTag::KEY);
            shown.and_then(|shown| serde_json::from_str::<RollTag>(shown).ok()).as_ref()
                == Some(tag)
        }
        GroupOp::Untag => !group.tags.contains_key(RollTag::KEY),
        GroupOp::RaiseDesired { to, .. } => group.desired >= *to,
        GroupOp::SetTemplateVersion { version } => group.template_version == *version,
        GroupOp::CreateTemplateVersion { image } => {
            group.template_images.values().any(|shown| shown == image)
        }
        GroupOp::Suspend { process } => group.suspended.contains(process),
        GroupOp::Resume { process } => !group.suspended.contains(process),
        GroupOp::Protect { instance: id } => instance(id, |instance| instance.protected),
        GroupOp::Unprotect { instance: id } => instance(id, |instance| !instance.protected),
        GroupOp::Deregister { instance: id } => instance(id, |instance| {
            !matches!(instance.target_health, Some(TargetHealth::Initial | TargetHealth::Healthy))
        }),
        GroupOp::Register { instance: id } => instance(id, |instance| {
            !matches!(instance.target_health, Some(TargetHealth::Draining | TargetHealth::Unused))
        }),
        GroupOp::Terminate { instance: id, .. } => instance(id, |_| false),
    }
}

#[cfg(test)]
mod tests {
    use refit_model::{OpId, PodKey, PodOwner, PodState, RestartPolicy};

    use super::*;
    use crate::bench::{at, group, instance, node, pool};

    type Change = fn(&mut ClusterState);

    fn group_of(state: &mut ClusterState) -> &mut GroupState {
        state.groups.get_mut(&group()).unwrap()
    }

    fn first(state: &mut ClusterState) -> &mut InstanceState {
        &mut group_of(state).instances[0]
    }

    fn tag() -> RollTag {
        let run = "run-1".parse().unwrap();
        RollTag { run, surge: 1, desired: 4, suspended: [].into(), op: OpId::default() }
    }

    fn pod() -> PodState {
        PodState {
            namespace: "apps".to_owned(),
            name: "web".to_owned(),
            uid: "1".to_owned(),
            node: Some(node(1)),
            ready: true,
            terminating: false,
            owner: PodOwner::Nobody,
            budgets: [].into(),
            volume: None,
            critical: false,
            restart_policy: RestartPolicy::Always,
            do_not_evict: None,
        }
    }

    fn write_tag(state: &mut ClusterState) {
        let text = serde_json::to_string(&tag()).unwrap();
        group_of(state).tags.insert(RollTag::KEY.to_owned(), text);
    }

    fn cordon(state: &mut ClusterState) {
        let node = state.nodes.get_mut(&node(1)).unwrap();
        node.unschedulable = true;
        node.annotations.insert(RollTag::CORDONED.to_owned(), "run-1".to_owned());
    }

    fn mark(state: &mut ClusterState) {
        let node = state.nodes.get_mut(&node(1)).unwrap();
        node.annotations.insert(NodeOp::SCALE_DOWN_DISABLED_BY.to_owned(), "run-1".to_owned());
    }

    fn taint(state: &mut ClusterState) {
        let node = state.nodes.get_mut(&node(1)).unwrap();
        node.annotations.insert(NodeOp::OUT_OF_SERVICE_BY.to_owned(), "run-1".to_owned());
    }

    /// Each call with what a look shows before it, and what after it.
    fn calls() -> Vec<(Op, Change, Change)> {
        let on_group = |op| Op::Group { group: group(), op };
        let on_node = |op| Op::Node { node: node(1), op };
        let id = || instance(1);
        let key = PodKey { namespace: "apps".into(), name: "web".into(), uid: "1".into() };
        let nothing: Change = |_| {};
        vec![
            (on_group(GroupOp::Tag { tag: tag() }), nothing, write_tag),
            (on_group(GroupOp::Untag), write_tag, nothing),
            (on_group(GroupOp::RaiseDesired { from: 3, to: 4 }), nothing, |s| {
                group_of(s).desired = 4;
            }),
            (on_group(GroupOp::SetTemplateVersion { version: 3 }), nothing, |s| {
                group_of(s).template_version = 3;
            }),
            (
                on_group(GroupOp::CreateTemplateVersion { image: "ami-9".parse().unwrap() }),
                nothing,
                |s| {
                    group_of(s).template_images.insert(3, "ami-9".parse().unwrap());
                },
            ),
            (on_group(GroupOp::Suspend { process: "AZRebalance".into() }), nothing, |s| {
                group_of(s).suspended.insert("AZRebalance".into());
            }),
            (
                on_group(GroupOp::Resume { process: "AZRebalance".into() }),
                |s| {
                    group_of(s).suspended.insert("AZRebalance".into());
                },
                nothing,
            ),
            (on_group(GroupOp::Protect { instance: id() }), nothing, |s| {
                first(s).protected = true;
            }),
            (
                on_group(GroupOp::Unprotect { instance: id() }),
                |s| first(s).protected = true,
                nothing,
            ),
            (
                on_group(GroupOp::Deregister { instance: id() }),
                |s| first(s).target_health = Some(TargetHealth::Healthy),
                |s| first(s).target_health = Some(TargetHealth::Draining),
            ),
            (
                on_group(GroupOp::Register { instance: id() }),
                |s| first(s).target_health = Some(TargetHealth::Unused),
                |s| first(s).target_health = Some(TargetHealth::Initial),
            ),
            (on_group(GroupOp::Terminate { instance: id(), decrement: false }), nothing, |s| {
                first(s).lifecycle = Lifecycle::Terminating;
            }),
            (on_group(GroupOp::Terminate { instance: id(), decrement: true }), nothing, |s| {
                group_of(s).instances.remove(0);
            }),
            (on_node(NodeOp::Cordon { run: "run-1".parse().unwrap() }), nothing, cordon),
            (on_node(NodeOp::Uncordon), cordon, nothing),
            (on_node(NodeOp::DisableScaleDown { run: "run-1".parse().unwrap() }), nothing, mark),
            (on_node(NodeOp::EnableScaleDown), mark, nothing),
            (on_node(NodeOp::TaintOutOfService { run: "run-1".parse().unwrap() }), nothing, taint),
            (on_node(NodeOp::RemoveOutOfService), taint, nothing),
            (
                on_node(NodeOp::Evict { pod: key }),
                |s| s.pods.push(pod()),
                |s| {
                    s.pods.push(PodState { terminating: true, ..pod() });
                },
            ),
        ]
    }

    #[test]
    fn a_look_is_believed_when_it_shows_what_was_done() {
        for (op, before, after_it) in calls() {
            let (mut old, mut new) = (pool(3, 0), pool(3, 0));
            before(&mut old);
            after_it(&mut new);
            let mut recent = Recent::default();
            assert_eq!(recent.lagging(&old, at(0)), None, "{op}");
            recent.took_effect(&op, at(0));
            assert!(recent.lagging(&old, at(14)).is_some(), "{op}");
            assert_eq!(recent.lagging(&new, at(1)), None, "{op}");
            assert_eq!(recent.lagging(&old, at(15)), None, "{op}: it was undone");
            // Another look does not show what it was done to at all.
            let mut other = pool(0, 0);
            other.groups.clear();
            assert_eq!(recent.lagging(&other, at(1)), None, "{op}");
        }
    }

    #[test]
    fn only_the_last_of_two_changes_shows() {
        let all = calls();
        let done = |recent: &mut Recent, at_call: usize, seconds| {
            recent.took_effect(&all[at_call].0, at(seconds));
        };
        let mut recent = Recent::default();
        done(&mut recent, 0, 0);
        done(&mut recent, 1, 1);
        assert_eq!(recent.lagging(&pool(3, 0), at(2)), None, "tagged and untagged");

        // Raised, and one taken away again: desired is what it was.
        let mut recent = Recent::default();
        done(&mut recent, 2, 0);
        done(&mut recent, 12, 1);
        let mut state = pool(3, 0);
        group_of(&mut state).instances.remove(0);
        assert_eq!(recent.lagging(&state, at(2)), None);
    }

    #[test]
    fn after_a_lost_answer_everything_is_in_doubt_for_a_while() {
        for (op, ..) in calls() {
            let mut recent = Recent::default();
            recent.unsure(&op, at(0));
            let doubted = recent.lagging(&pool(3, 0), at(14)).is_some();
            assert_eq!(doubted, matches!(op, Op::Group { .. }), "{op}");
            assert_eq!(recent.lagging(&pool(3, 0), at(15)), None, "{op}");
        }
    }
}
