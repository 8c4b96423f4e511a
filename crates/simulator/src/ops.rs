//! Calls: what an [`Op`] does to the world, and how the APIs answer.
//!
//! Answers have the classes that the real ones are sorted into: a gone instance that was to go is
//! fine, a budget says no by name, desired that moved meanwhile is a conflict.

use std::collections::BTreeMap;

use refit_model::{
    Addon, AddonName, GroupName, GroupOp, InstanceId, LeaseState, Lifecycle, NodeName, NodeOp, Op,
    Period, PodKey, RollTag, RunId, Timestamp, Token, UnhealthyPodEvictionPolicy,
};
use refit_provider::{ErrorClass, ProviderError};

use crate::cluster::{ClusterWorld, Who};
use crate::dice::hash;
use crate::faults::CallFault;
use crate::groups::SOON;

type Done = Result<(), ProviderError>;

fn refuse(class: ErrorClass, message: impl std::fmt::Display) -> Done {
    Err(ProviderError::new(class, message))
}

impl ClusterWorld {
    /// One call, with what may go wrong on its way.
    pub(crate) fn submit(
        &mut self,
        addons: &BTreeMap<AddonName, Addon>,
        op: &Op,
        token: &Token,
    ) -> Done {
        self.remember();
        let fault = self.call_fault(op);
        self.meddle_after_call();
        let lost = |op: &Op| refuse(ErrorClass::Unknown, format!("{op}: no answer came back"));
        match fault {
            CallFault::Refused(error) => Err(error),
            CallFault::LostCall if self.ends_a_dead_machine(op) => {
                let _unheard = self.execute(addons, op, token, false);
                lost(op)
            }
            CallFault::LostCall => {
                self.note_lost_end(op);
                lost(op)
            }
            CallFault::LostAnswer => {
                // Whatever the answer was, nobody heard it.
                let _unheard = self.execute(addons, op, token, false);
                lost(op)
            }
            CallFault::Partial => self.execute(addons, op, token, true),
            CallFault::None => self.execute(addons, op, token, false),
        }
    }

    /// Whether the call ends an instance whose machine has failed. Such a call is not lost: see
    /// [`Self::note_lost_end`].
    fn ends_a_dead_machine(&self, op: &Op) -> bool {
        ended_by(op).is_some_and(|id| self.instances.get(id).is_some_and(|found| found.dead))
    }

    /// Keeps the machine of the instance from failing afterwards. An instance that fails while the
    /// call that was to end it is lost looks to its caller as if that call had taken effect and
    /// somebody had raised desired by one: no look can tell the two apart.
    fn note_lost_end(&mut self, op: &Op) {
        if let Some(instance) = ended_by(op).and_then(|id| self.instances.get_mut(id)) {
            instance.end_was_lost = true;
        }
    }

    fn execute(
        &mut self,
        addons: &BTreeMap<AddonName, Addon>,
        op: &Op,
        token: &Token,
        half: bool,
    ) -> Done {
        self.judge_target(op);
        match op {
            Op::Group { group, op: call } => {
                // Auto Scaling is another API: it answers whatever the cluster does.
                let digest = hash(op.to_string().as_bytes());
                match self.tokens.used_for(&token.0) {
                    Some(used_for) if used_for == digest => return Ok(()),
                    Some(_) => {
                        return refuse(
                            ErrorClass::Permanent,
                            format!("{op}: IdempotentParameterMismatch: the token was used before"),
                        );
                    }
                    None => {}
                }
                self.group_op(group, call)?;
                self.tokens.remember(&token.0, digest);
                Ok(())
            }
            _ if !self.api_answers() => refuse(
                ErrorClass::Transient,
                format!("{op}: connection refused: no apiserver of {} answers", self.name),
            ),
            Op::Node { node, op } => self.node_op(node, op),
            Op::Addon { addon, op } => self.addon_op(addons, addon, op, half),
            Op::HoldLease { run, holder, ttl } => self.hold_lease(run, holder, *ttl),
            Op::ReleaseLease { run } => {
                if self.lease.as_ref().is_some_and(|lease| lease.run == *run) {
                    self.lease = None;
                }
                Ok(())
            }
        }
    }

    fn hold_lease(&mut self, run: &RunId, holder: &str, ttl: Period) -> Done {
        if let Some(lease) = &self.lease
            && lease.run != *run
            && lease.until > self.now
        {
            let LeaseState { run, holder, until } = lease;
            return refuse(
                ErrorClass::Conflict,
                format!("run {run} of {holder} holds the Lease of {} until {until}", self.name),
            );
        }
        let until = self.now.checked_add(ttl.as_duration()).unwrap_or(Timestamp::MAX);
        self.lease = Some(LeaseState { run: run.clone(), holder: holder.to_owned(), until });
        Ok(())
    }

    fn group_op(&mut self, name: &GroupName, op: &GroupOp) -> Done {
        let Some(group) = self.groups.get_mut(name) else {
            return refuse(
                ErrorClass::Permanent,
                format!("ValidationError: AutoScalingGroup name not found - {name}"),
            );
        };
        group.touched = true;
        match op {
            GroupOp::CreateTemplateVersion { image } => {
                if !self.images.contains_key(image) {
                    return refuse(
                        ErrorClass::Permanent,
                        format!("InvalidAMIID.NotFound: the image id '{image}' does not exist"),
                    );
                }
                let next = group.templates.last_key_value().map_or(0, |(last, _)| *last) + 1;
                group.templates.insert(next, image.clone());
                Ok(())
            }
            GroupOp::SetTemplateVersion { version } => {
                if !group.templates.contains_key(version) {
                    return refuse(
                        ErrorClass::Permanent,
                        format!("InvalidLaunchTemplateId.VersionNotFound: {name} has no {version}"),
                    );
                }
                if group.template != *version {
                    group.template = *version;
                    group.template_by = Who::Refit;
                }
                Ok(())
            }
            GroupOp::RaiseDesired { from, to } => self.raise_desired(name, *from, *to),
            GroupOp::Suspend { process } => {
                group.suspended.insert(process.clone());
                Ok(())
            }
            GroupOp::Resume { process } => {
                group.suspended.remove(process);
                if process == "AZRebalance" {
                    self.judge_rebalancing(name);
                }
                self.request_tick(name, SOON);
                Ok(())
            }
            GroupOp::Tag { tag } => {
                let text = serde_json::to_string(tag).unwrap_or_default();
                group.tags.insert(RollTag::KEY.to_owned(), text);
                let run = tag.run.clone();
                self.judge_run(&run, "tags a group");
                self.judge_pools_at_once(&run);
                Ok(())
            }
            GroupOp::Untag => {
                group.tags.remove(RollTag::KEY);
                Ok(())
            }
            GroupOp::Protect { instance }
            | GroupOp::Unprotect { instance }
            | GroupOp::Deregister { instance }
            | GroupOp::Register { instance } => self.instance_op(name, instance, op),
            GroupOp::Terminate { instance, decrement } => {
                self.terminate(name, instance, *decrement)
            }
        }
    }

    fn raise_desired(&mut self, name: &GroupName, from: u32, to: u32) -> Done {
        let Some(group) = self.groups.get_mut(name) else { return Ok(()) };
        if group.desired != from {
            return refuse(
                ErrorClass::Conflict,
                format!("desired of {name} is {}, not {from}", group.desired),
            );
        }
        if to < group.min || to > group.max {
            let bound = if to > group.max {
                ("above max value", group.max)
            } else {
                ("below min value", group.min)
            };
            return refuse(
                ErrorClass::Permanent,
                format!(
                    "ValidationError: New SetDesiredCapacity value {to} is {} {} for the AutoScalingGroup {name}.",
                    bound.0, bound.1
                ),
            );
        }
        group.desired = to;
        self.judge_desired(name, from, to);
        self.request_tick(name, SOON);
        Ok(())
    }

    fn instance_op(&mut self, name: &GroupName, id: &InstanceId, op: &GroupOp) -> Done {
        let found = self.instances.get_mut(id).filter(|instance| instance.group == *name);
        let Some(instance) = found else {
            // Giving back to what is gone is done; the rest has nothing to act on.
            return match op {
                GroupOp::Unprotect { .. } | GroupOp::Deregister { .. } => Ok(()),
                _ => refuse(ErrorClass::Conflict, format!("ValidationError: {id} not found")),
            };
        };
        match op {
            GroupOp::Protect { .. } if instance.lifecycle != Lifecycle::InService => {
                return refuse(
                    ErrorClass::Conflict,
                    format!("ValidationError: the instance {id} is not in InService"),
                );
            }
            GroupOp::Protect { .. } => instance.protected = true,
            GroupOp::Unprotect { .. } => {
                instance.protected = false;
                self.request_tick(name, SOON);
            }
            GroupOp::Deregister { .. } => self.deregister_target(id),
            GroupOp::Register { .. } => {
                if instance.lifecycle == Lifecycle::Terminating {
                    return refuse(ErrorClass::Conflict, format!("InvalidTarget: {id} terminates"));
                }
                let attached =
                    self.groups.get(name).is_some_and(|group| !group.target_groups.is_empty());
                if attached {
                    self.register_target(id);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn terminate(&mut self, name: &GroupName, id: &InstanceId, decrement: bool) -> Done {
        let found = self.instances.get(id).filter(|instance| instance.group == *name);
        if found.is_none_or(|instance| instance.lifecycle == Lifecycle::Terminating) {
            // Gone is what was wanted, but desired has not fallen with it.
            return if decrement {
                let text = format!("ValidationError: Instance Id not found - {id}");
                refuse(ErrorClass::Conflict, text)
            } else {
                Ok(())
            };
        }
        let Some(group) = self.groups.get_mut(name) else { return Ok(()) };
        if decrement {
            if group.desired <= group.min {
                return refuse(
                    ErrorClass::Permanent,
                    format!(
                        "ValidationError: Currently, desired equals min size ({}) of {name}. Terminating instance without replacement would violate group's min size constraint.",
                        group.min
                    ),
                );
            }
            group.desired -= 1;
        }
        self.judge_terminate(id);
        self.end_instance(id, Who::Refit);
        self.judge_after_terminate(id);
        Ok(())
    }

    fn node_op(&mut self, name: &NodeName, op: &NodeOp) -> Done {
        match op {
            NodeOp::Cordon { run } => {
                let Some(node) = self.nodes.get_mut(name) else {
                    return refuse(ErrorClass::Conflict, format!("nodes \"{name}\" not found"));
                };
                if node.unschedulable && !node.annotations.contains_key(RollTag::CORDONED) {
                    node.cordoned_by_hand = true;
                }
                node.unschedulable = true;
                node.annotations.insert(RollTag::CORDONED.to_owned(), run.to_string());
                self.judge_run(run, "cordons a node");
                self.judge_cordon(name);
                Ok(())
            }
            NodeOp::Uncordon => {
                let Some(node) = self.nodes.get_mut(name) else { return Ok(()) };
                node.unschedulable = false;
                node.annotations.remove(RollTag::CORDONED);
                if std::mem::take(&mut node.cordoned_by_hand) {
                    self.judge_uncordon(name);
                }
                self.request_schedule();
                Ok(())
            }
            NodeOp::Evict { pod } => self.evict(pod),
            NodeOp::DisableScaleDown { run } => {
                let Some(node) = self.nodes.get_mut(name) else { return Ok(()) };
                let annotations = &mut node.annotations;
                annotations.insert(NodeOp::SCALE_DOWN_DISABLED.to_owned(), "true".to_owned());
                annotations.insert(NodeOp::SCALE_DOWN_DISABLED_BY.to_owned(), run.to_string());
                Ok(())
            }
            NodeOp::TaintOutOfService { run } => {
                let Some(node) = self.nodes.get_mut(name) else { return Ok(()) };
                let key = NodeOp::OUT_OF_SERVICE_BY.to_owned();
                node.annotations.insert(key, run.to_string());
                self.judge_out_of_service(name);
                self.out_of_service(name);
                Ok(())
            }
            NodeOp::RemoveOutOfService => {
                let Some(node) = self.nodes.get_mut(name) else { return Ok(()) };
                node.annotations.remove(NodeOp::OUT_OF_SERVICE_BY);
                Ok(())
            }
            NodeOp::EnableScaleDown => {
                let Some(node) = self.nodes.get_mut(name) else { return Ok(()) };
                node.annotations.remove(NodeOp::SCALE_DOWN_DISABLED);
                node.annotations.remove(NodeOp::SCALE_DOWN_DISABLED_BY);
                Ok(())
            }
        }
    }

    /// The eviction API ([docs](https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/)).
    fn evict(&mut self, key: &PodKey) -> Done {
        let Some((id, pod)) = self.pod_of_uid(&key.uid) else { return Ok(()) };
        if pod.name != key.name || pod.namespace != key.namespace || pod.terminating {
            return Ok(());
        }
        let waits_for_a_place = pod.node.is_none();
        let (ready, daemon) = (pod.ready, pod.is_daemon());
        let budgets = self.budgets_over(id);
        if !waits_for_a_place {
            if budgets.len() > 1 {
                return refuse(
                    ErrorClass::Permanent,
                    format!(
                        "status 500: evict {key}: this pod has more than one PodDisruptionBudget, which the eviction subresource does not support"
                    ),
                );
            }
            if let Some(budget) = budgets.first() {
                // A pod that is not Ready may go when the others are enough by themselves, or always,
                // as the budget's unhealthyPodEvictionPolicy says.
                let unhealthy_may_go = !ready
                    && match budget.unhealthy_pod_eviction_policy {
                        UnhealthyPodEvictionPolicy::AlwaysAllow => true,
                        UnhealthyPodEvictionPolicy::IfHealthyBudget => {
                            budget.desired_healthy > 0
                                && budget.current_healthy >= budget.desired_healthy
                        }
                    };
                if budget.disruptions_allowed == 0 && !unhealthy_may_go {
                    return refuse(
                        ErrorClass::Budget,
                        format!(
                            "Cannot evict pod as it would violate the pod's disruption budget: {}/{}",
                            budget.namespace, budget.name
                        ),
                    );
                }
            }
        }
        if daemon {
            self.judge_daemon_evicted(key);
        }
        self.end_pod_and_replace(id);
        self.judge_eviction(key, &budgets);
        Ok(())
    }
}

/// Returns the instance that the call ends, and desired of its group with it.
fn ended_by(op: &Op) -> Option<&InstanceId> {
    match op {
        Op::Group { op: GroupOp::Terminate { instance, decrement: true }, .. } => Some(instance),
        Op::Group { .. }
        | Op::Node { .. }
        | Op::Addon { .. }
        | Op::HoldLease { .. }
        | Op::ReleaseLease { .. } => None,
    }
}
