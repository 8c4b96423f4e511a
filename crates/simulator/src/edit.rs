//! What operators do by hand, and what simply happens to machines.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    AddonName, GroupName, ImageId, InstanceId, KubeVersion, LeaseState, NodeName, ObjectRef,
    PoolName, UnhealthyPodEvictionPolicy, WorkloadBudget, WorkloadRef,
};
use serde_json::Value;

use crate::budgets::Budget;
use crate::cluster::{ClusterWorld, Group, Instance, Node, Who, object_key};
use crate::dice::Concern;
use crate::groups::{HEALTH_CHECK, SCALE_IN, SOON};
use crate::pods::Workload;
use crate::queue::{Event, Meddling};

/// Something that is done by hand.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// `kubectl cordon`.
    Cordon(NodeName),
    /// `kubectl uncordon`.
    Uncordon(NodeName),
    /// `kubectl delete node`: the machine stays.
    DeleteNode(NodeName),
    /// A node that is no instance of any group.
    AddNode {
        /// Its name.
        node: NodeName,
        /// Its kubelet.
        kubelet: KubeVersion,
    },
    /// The machine fails; its group will notice.
    KillInstance(InstanceId),
    /// The kubelet of a node dies, and its machine goes on.
    KillKubelet(NodeName),
    /// Another number of instances.
    SetDesired {
        /// The group.
        group: GroupName,
        /// How many.
        desired: u32,
    },
    /// Other bounds.
    SetBounds {
        /// The group.
        group: GroupName,
        /// The fewest instances.
        min: u32,
        /// The most instances.
        max: u32,
    },
    /// Another image, as a new template version.
    SetImage {
        /// The group.
        group: GroupName,
        /// The image.
        image: ImageId,
    },
    /// Suspends a process of a group, or resumes it.
    Suspend {
        /// The group.
        group: GroupName,
        /// Such as `AZRebalance`.
        process: String,
        /// Whether it is suspended afterwards.
        suspended: bool,
    },
    /// Changes a field of a live object.
    SetField {
        /// The object.
        object: ObjectRef,
        /// Such as `.spec.replicas` or `.spec.template.spec.containers[0].image`.
        field: String,
        /// The new value.
        value: Value,
        /// The field manager.
        manager: String,
    },
    /// Deletes an object of an add-on.
    DeleteObject(ObjectRef),
    /// A manager writes an add-on's fields again and again, or stops doing so.
    LiveManager {
        /// The add-on.
        addon: AddonName,
        /// Such as `argocd-controller`.
        manager: String,
        /// Whether it does.
        writes: bool,
    },
    /// Sets the budget over a workload, named as the workload; none removes it.
    SetBudget {
        /// The workload.
        workload: WorkloadRef,
        /// What it allows.
        budget: Option<WorkloadBudget>,
    },
    /// Sets when the budget over a workload, named as the workload, lets pods that are not Ready be
    /// evicted.
    SetUnhealthyPodEvictionPolicy {
        /// The workload.
        workload: WorkloadRef,
        /// The policy.
        policy: UnhealthyPodEvictionPolicy,
    },
    /// One more budget over the same pods, under another name.
    AddBudget {
        /// The workload.
        workload: WorkloadRef,
        /// The budget's name.
        name: String,
        /// What it allows.
        budget: WorkloadBudget,
    },
    /// A workload's pods are never Ready, or may be again.
    NeverReady {
        /// The workload.
        workload: WorkloadRef,
        /// Whether they are.
        never: bool,
    },
    /// Another number of pods.
    Scale {
        /// The workload.
        workload: WorkloadRef,
        /// How many.
        replicas: u32,
    },
    /// A pod that nobody replaces.
    AddPod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Where it runs.
        node: NodeName,
    },
    /// Somebody holds the cluster's Lease, or nobody does.
    SetLease(Option<LeaseState>),
}

/// Why something cannot be done by hand: what it names is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cluster} has no {what}")]
pub struct NoSuchThing {
    pub(crate) cluster: String,
    pub(crate) what: String,
}

impl ClusterWorld {
    fn missing(&self, what: impl std::fmt::Display) -> NoSuchThing {
        NoSuchThing { cluster: self.name.to_string(), what: what.to_string() }
    }

    fn group_mut(&mut self, name: &GroupName) -> Result<&mut Group, NoSuchThing> {
        let missing = self.missing(format!("group {name}"));
        self.groups.get_mut(name).ok_or(missing)
    }

    fn node_mut(&mut self, name: &NodeName) -> Result<&mut Node, NoSuchThing> {
        let missing = self.missing(format!("node {name}"));
        self.nodes.get_mut(name).ok_or(missing)
    }

    fn workload_mut(&mut self, of: &WorkloadRef) -> Result<&mut Workload, NoSuchThing> {
        let missing = self.missing(format!("workload {of}"));
        self.workloads.get_mut(of).ok_or(missing)
    }

    pub(crate) fn edit(&mut self, edit: Edit) -> Result<(), NoSuchThing> {
        match edit {
            Edit::Cordon(node) => {
                let node = self.node_mut(&node)?;
                node.cordoned_by_hand |= !node.unschedulable;
                node.unschedulable = true;
            }
            Edit::Uncordon(node) => {
                let node = self.node_mut(&node)?;
                node.cordoned_by_hand = false;
                node.unschedulable = false;
                self.request_schedule();
            }
            Edit::DeleteNode(node) => {
                self.node_mut(&node)?;
                self.node_gone(&node);
            }
            Edit::AddNode { node, kubelet } => self.add_stray_node(&node, kubelet),
            Edit::KillKubelet(name) => {
                self.node_mut(&name)?;
                self.kill_kubelet(&name);
            }
            Edit::KillInstance(id) => {
                let missing = self.missing(format!("instance {id}"));
                let group = self.instances.get(&id).ok_or(missing)?.group.clone();
                self.stops(&id);
                self.request_tick(&group, HEALTH_CHECK);
            }
            Edit::SetDesired { group: name, desired } => {
                let group = self.group_mut(&name)?;
                let wanted = desired.clamp(group.min, group.max);
                group.usual = (group.usual + wanted).saturating_sub(group.desired);
                let span = if wanted < group.desired { SCALE_IN } else { SOON };
                group.desired = wanted;
                self.request_tick(&name, span);
            }
            Edit::SetBounds { group, min, max } => {
                let group = self.group_mut(&group)?;
                (group.min, group.max) = (min.min(group.desired), max.max(group.desired));
            }
            Edit::SetImage { group, image } => {
                let missing = self.missing(format!("image {image}"));
                if !self.images.contains_key(&image) {
                    return Err(missing);
                }
                let group = self.group_mut(&group)?;
                let next = group.templates.last_key_value().map_or(0, |(last, _)| *last) + 1;
                group.templates.insert(next, image);
                group.template = next;
                group.template_by = Who::Operator;
            }
            Edit::Suspend { group: name, process, suspended } => {
                let group = self.group_mut(&name)?;
                if suspended {
                    group.usual_suspended.insert(process.clone());
                    group.suspended.insert(process);
                } else {
                    group.usual_suspended.remove(&process);
                    group.suspended.remove(&process);
                    self.request_tick(&name, SOON);
                }
            }
            Edit::SetField { object, field, value, manager } => {
                self.set_field(&object, &field, &value, manager)?;
            }
            Edit::DeleteObject(object) => {
                let missing = self.missing(&object);
                let key = object_key(&object);
                self.objects.get(&key).ok_or(missing)?;
                self.remove_object(&key);
            }
            Edit::LiveManager { addon, manager, writes } => {
                let missing = self.missing(format!("foreign copy of {addon}"));
                let found = self.addons.get_mut(&addon).and_then(|addon| addon.foreign.as_mut());
                let foreign = found.ok_or(missing)?;
                if writes {
                    foreign.managers.insert(manager.clone());
                    foreign.live_managers.insert(manager);
                } else {
                    foreign.live_managers.remove(&manager);
                }
            }
            Edit::SetBudget { workload, budget } => {
                let name = workload.name.clone();
                self.set_budget(&workload, name, budget)?;
            }
            Edit::SetUnhealthyPodEvictionPolicy { workload, policy } => {
                let key = format!("{}/{}", workload.namespace, workload.name);
                if let Some(budget) = self.budgets.get_mut(&key) {
                    budget.unhealthy = policy;
                }
            }
            Edit::AddBudget { workload, name, budget } => {
                self.set_budget(&workload, name, Some(budget))?;
            }
            Edit::NeverReady { workload, never } => self.set_never_ready(&workload, never)?,
            Edit::Scale { workload, replicas } => {
                self.workload_mut(&workload)?.replicas = replicas;
                self.reconcile(&workload);
            }
            Edit::AddPod { namespace, name, node } => {
                self.node_mut(&node)?;
                self.add_bare_pod(&namespace, &name, &node);
            }
            Edit::SetLease(lease) => self.lease = lease,
        }
        Ok(())
    }

    fn add_stray_node(&mut self, name: &NodeName, kubelet: KubeVersion) {
        let node = Node {
            registered_at: Some(self.now),
            instance: None,
            zone: self.zones.first().cloned(),
            kubelet,
            ready: false,
            ready_since: None,
            unready_since: Some(self.now),
            kubelet_dead_since: None,
            unschedulable: false,
            cordoned_by_hand: false,
            control_plane: false,
            annotations: BTreeMap::new(),
            pods: BTreeSet::new(),
            load: 0,
            capacity: self.pods_per_node,
        };
        self.nodes.insert(name.clone(), node);
        self.node_ready(name);
    }

    fn set_field(
        &mut self,
        object: &ObjectRef,
        field: &str,
        value: &Value,
        manager: String,
    ) -> Result<(), NoSuchThing> {
        let missing = self.missing(format!("field {field} of {object}"));
        let key = object_key(object);
        let live = self.objects.get_mut(&key).ok_or_else(|| missing.clone())?;
        let pointer = field.replace(['.', '['], "/").replace(']', "");
        let (parent, last) = pointer.rsplit_once('/').ok_or_else(|| missing.clone())?;
        match live.value.pointer_mut(parent) {
            Some(Value::Object(parent)) => {
                parent.insert(last.to_owned(), value.clone());
            }
            Some(Value::Array(parent)) => {
                let index = last.parse::<usize>().ok();
                let entry = index.and_then(|index| parent.get_mut(index)).ok_or(missing)?;
                *entry = value.clone();
            }
            _ => return Err(missing),
        }
        // Only a field that refit set can drift.
        let applied = live.applied.as_ref().and_then(|applied| applied.pointer(&pointer));
        if applied.is_some_and(|applied| applied != value) {
            live.drift.insert(field.to_owned(), Some(manager));
        } else {
            live.drift.remove(field);
        }
        self.sync_object(&key);
        Ok(())
    }

    fn set_budget(
        &mut self,
        of: &WorkloadRef,
        name: String,
        budget: Option<WorkloadBudget>,
    ) -> Result<(), NoSuchThing> {
        let selector = self.workload_mut(of)?.labels.clone();
        let namespace = of.namespace.clone();
        let key = format!("{namespace}/{name}");
        match budget {
            None => {
                self.budgets.remove(&key);
            }
            Some(budget) => {
                let rule = budget.into();
                let selects = Vec::new();
                let unhealthy = UnhealthyPodEvictionPolicy::default();
                let budget = Budget { namespace, name, rule, unhealthy, selector, selects };
                self.budgets.insert(key, budget);
            }
        }
        self.match_budgets();
        Ok(())
    }

    fn set_never_ready(&mut self, of: &WorkloadRef, never: bool) -> Result<(), NoSuchThing> {
        let workload = self.workload_mut(of)?;
        workload.never_ready = never;
        let pods: Vec<u64> = workload.pods.iter().copied().collect();
        for pod in pods {
            if never {
                self.set_ready(pod, false);
            } else {
                self.after(Concern::Pods, SOON, Event::PodReady(pod));
            }
        }
        Ok(())
    }

    /// Somebody gets in between a run, with something that happens every day.
    pub(crate) fn meddle(&mut self, what: Meddling) {
        if self.faults.is_none() {
            return; // What was about to go wrong does not any more.
        }
        if matches!(what, Meddling::ScaleDown) {
            if self.scale_down().is_none() {
                self.meddled = self.meddled.saturating_sub(1);
            }
            return;
        }
        let Some(pool) = self.pick_pool() else { return };
        let in_pool = |instance: &Instance| {
            let group = self.groups.get(&instance.group);
            group.is_some_and(|group| group.pool.as_ref() == Some(&pool)) && instance.is_active()
        };
        let candidates: Vec<(InstanceId, GroupName, Option<NodeName>)> = self
            .instances
            .iter()
            .filter(|(_, instance)| in_pool(instance) && !instance.dead)
            .map(|(id, instance)| (id.clone(), instance.group.clone(), instance.node.clone()))
            .collect();
        let chosen = self.dice.draw(Concern::Meddling, |rng| rng.choice(candidates));
        let Some((id, group, node)) = chosen else { return };
        let edit = match what {
            Meddling::Cordon => node.map(Edit::Cordon),
            Meddling::KillInstance => {
                let end_was_lost = self.instances.get(&id).is_some_and(|found| found.end_was_lost);
                (!end_was_lost).then_some(Edit::KillInstance(id))
            }
            Meddling::RaiseDesired => self
                .groups
                .get(&group)
                .map(|found| Edit::SetDesired { desired: found.desired + 1, group: group.clone() }),
            Meddling::KillKubelet => node.map(Edit::KillKubelet),
            Meddling::ScaleDown => None,
        };
        if let Some(edit) = edit {
            // What was chosen a moment ago is there.
            let _done = self.edit(edit);
        }
    }

    fn pick_pool(&mut self) -> Option<PoolName> {
        let pools: BTreeSet<PoolName> =
            self.groups.values().filter_map(|group| group.pool.clone()).collect();
        self.dice.draw(Concern::Meddling, |rng| rng.choice(pools))
    }

    /// Nothing goes wrong any more: what was held back comes.
    pub(crate) fn stop_faults(&mut self) {
        self.faults = crate::faults::Faults::none();
        self.past.clear();
        let held: Vec<Event> = self
            .instances
            .values_mut()
            .flat_map(|instance| std::mem::take(&mut instance.held_back))
            .collect();
        for event in held {
            self.after(Concern::Boot, SOON, event);
        }
        let stuck: Vec<GroupName> = self
            .groups
            .iter_mut()
            .filter_map(|(name, group)| group.stuck_until.take().map(|_| name.clone()))
            .collect();
        for group in stuck {
            self.request_tick(&group, SOON);
        }
    }
}
