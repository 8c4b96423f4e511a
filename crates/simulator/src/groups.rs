//! Auto Scaling groups, and their own will.
//!
//! A group launches what is missing into the emptiest of its zones, chooses its own victims when
//! desired falls, replaces machines that failed, and moves instances between zones to keep them
//! in balance unless `AZRebalance` is suspended. None of that asks Kubernetes.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use refit_model::{GroupName, InstanceId, Lifecycle, TargetHealth, Timestamp, Zone};

use crate::cluster::{ClusterWorld, Group, Instance, Who};
use crate::dice::{Concern, Span};
use crate::queue::{Event, later, seconds_between};

/// How soon a group acts on a call: Auto Scaling works in the background.
pub(crate) const SOON: Span = (2, 8);
/// How long until a group chooses victims after desired was lowered by hand.
pub(crate) const SCALE_IN: Span = (10, 30);
/// How long until a health check has noticed a failed machine.
pub(crate) const HEALTH_CHECK: Span = (30, 90);
/// How long an instance is Pending.
const PENDING: Span = (15, 45);
/// How long the machine takes to shut down once its end has begun.
const SHUT_DOWN: Span = (3, 8);
/// How long after that the instance is still listed.
const LISTED: Span = (30, 60);
/// How long there is no capacity when there is none: minutes, sometimes half an hour.
const NO_CAPACITY: Span = (300, 1800);
/// How long a group watches zones out of balance before it acts.
const BALANCE: Span = (5, 60);
/// How long a target takes to pass its health checks.
const HEALTHY: Span = (10, 20);
/// How long the connections of a target take to drain.
const DRAINED: Span = (10, 40);

impl Group {
    pub(crate) fn is_suspended(&self, process: &str) -> bool {
        self.suspended.contains(process)
    }
}

impl Instance {
    /// Whether it counts for desired.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Pending | Lifecycle::InService)
    }
}

impl ClusterWorld {
    /// Lets the group look at itself soon, unless it does so earlier anyway.
    pub(crate) fn request_tick(&mut self, group: &GroupName, span: Span) {
        let at = later(self.now, self.dice.seconds(Concern::Groups, span));
        self.tick_at(group, at);
    }

    fn tick_at(&mut self, name: &GroupName, at: Timestamp) {
        let Some(group) = self.groups.get_mut(name) else { return };
        if group.tick_at.is_none_or(|planned| at < planned) {
            group.tick_at = Some(at);
            self.queue.push(at, Event::GroupTick(name.clone()));
        }
    }

    pub(crate) fn group_tick(&mut self, name: &GroupName) {
        let Some(group) = self.groups.get_mut(name) else { return };
        if group.tick_at != Some(self.now) {
            return; // An earlier look took this one's place.
        }
        group.tick_at = None;
        self.replace_unhealthy(name);
        let Some(group) = self.groups.get(name) else { return };
        let active = self.active(group);
        let desired = group.desired;
        match active.cmp(&desired) {
            Ordering::Less => self.launch_missing(name, desired - active),
            Ordering::Greater => self.scale_in(name, active - desired),
            Ordering::Equal => self.balance(name),
        }
    }

    fn instances_of<'a>(
        &'a self,
        group: &'a Group,
    ) -> impl Iterator<Item = (&'a InstanceId, &'a Instance)> {
        group.instances.iter().filter_map(|id| self.instances.get(id).map(|found| (id, found)))
    }

    /// How many instances count for desired.
    pub(crate) fn active(&self, group: &Group) -> u32 {
        let count = self.instances_of(group).filter(|(_, instance)| instance.is_active()).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn by_zone<'a>(&'a self, group: &'a Group) -> BTreeMap<&'a Zone, u32> {
        let mut counts: BTreeMap<&Zone, u32> = group.zones.iter().map(|zone| (zone, 0)).collect();
        for (_, instance) in self.instances_of(group).filter(|(_, found)| found.is_active()) {
            *counts.entry(&instance.zone).or_default() += 1;
        }
        counts
    }

    fn replace_unhealthy(&mut self, name: &GroupName) {
        let Some(group) = self.groups.get(name) else { return };
        if group.is_suspended("ReplaceUnhealthy") || group.is_suspended("HealthCheck") {
            return;
        }
        let dead: Vec<InstanceId> = self
            .instances_of(group)
            .filter(|(_, instance)| instance.dead && instance.is_active())
            .map(|(id, _)| id.clone())
            .collect();
        for id in dead {
            self.end_instance(&id, Who::Group);
        }
    }

    fn launch_missing(&mut self, name: &GroupName, missing: u32) {
        for _ in 0..missing {
            let Some(group) = self.groups.get_mut(name) else { return };
            if group.is_suspended("Launch") {
                return;
            }
            if let Some(until) = group.stuck_until.filter(|until| *until > self.now) {
                self.tick_at(name, until);
                return;
            }
            let had_to_wait = group.stuck_until.take().is_some();
            let stuck = self.dice.chance(Concern::Stuck, self.faults.stuck_launches);
            if stuck && !had_to_wait {
                let until = later(self.now, self.dice.seconds(Concern::Stuck, NO_CAPACITY));
                if let Some(group) = self.groups.get_mut(name) {
                    group.stuck_until = Some(until);
                }
                self.tick_at(name, until);
                return;
            }
            self.launch(name);
        }
    }

    fn launch(&mut self, name: &GroupName) {
        let Some(group) = self.groups.get(name) else { return };
        let counts = self.by_zone(group);
        // Ties go to the zone that the group names first.
        let emptiest = group.zones.iter().min_by_key(|zone| counts.get(zone).copied());
        let Some(zone) = emptiest.cloned() else { return };
        if let Some(id) = self.add_instance(name, zone) {
            self.after(Concern::Groups, PENDING, Event::InService(id));
        }
    }

    /// Adds a Pending instance of what the group launches.
    pub(crate) fn add_instance(&mut self, name: &GroupName, zone: Zone) -> Option<InstanceId> {
        let group = self.groups.get_mut(name)?;
        let image_id = group.templates.get(&group.template)?.clone();
        let image = self.images.get(&image_id)?;
        self.instances_made += 1;
        let salt = crate::dice::hash(self.uid.as_bytes()) & 0xffff_ffff;
        let id: InstanceId = format!("i-{salt:08x}{:09x}", self.instances_made).parse().ok()?;
        let instance = Instance {
            group: name.clone(),
            zone,
            lifecycle: Lifecycle::Pending,
            template: group.template,
            version: image.version.clone(),
            image: image_id,
            control_plane: group.pool.is_none(),
            protected: false,
            target: None,
            target_epoch: 0,
            booted: false,
            dead: false,
            node: None,
            api_up: false,
            etcd_ready: false,
            held_back: Vec::new(),
            down_since: Some(self.now),
            ended_by: None,
            end_was_lost: false,
            judged: match group.template_by {
                Who::Refit => true,
                Who::Operator => false,
                // What was there from the start is refit's doing only where refit makes the
                // group launch it.
                Who::Start | Who::Group => group.touched,
            },
        };
        group.instances.insert(id.clone());
        self.instances.insert(id.clone(), instance);
        Some(id)
    }

    pub(crate) fn in_service(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.lifecycle != Lifecycle::Pending {
            return;
        }
        instance.lifecycle = Lifecycle::InService;
        let group = instance.group.clone();
        self.boot_begins(id);
        let attached = self.groups.get(&group).is_some_and(|group| !group.target_groups.is_empty());
        if attached {
            self.register_target(id);
        }
        self.request_tick(&group, SOON);
    }

    /// The group has more than it wants, and chooses: in the fullest zone, of the oldest template
    /// version, the oldest instance; protected ones never.
    fn scale_in(&mut self, name: &GroupName, surplus: u32) {
        for _ in 0..surplus {
            let Some(group) = self.groups.get(name) else { return };
            if group.is_suspended("Terminate") {
                return;
            }
            let all_in_service = self
                .instances_of(group)
                .filter(|(_, instance)| instance.is_active())
                .all(|(_, instance)| instance.lifecycle == Lifecycle::InService);
            if group.rebalancing && !all_in_service {
                return; // The new one first.
            }
            let counts = self.by_zone(group);
            let victim = self
                .instances_of(group)
                .filter(|(_, instance)| instance.is_active() && !instance.protected)
                .min_by_key(|(id, instance)| {
                    let fullest = u32::MAX - counts.get(&instance.zone).copied().unwrap_or(0);
                    (fullest, instance.template, *id)
                })
                .map(|(id, _)| id.clone());
            let Some(victim) = victim else { return };
            self.end_instance(&victim, Who::Group);
        }
        if let Some(group) = self.groups.get_mut(name) {
            group.rebalancing = false;
        }
    }

    /// `AZRebalance`: one more in the emptiest zone, then one fewer in the fullest.
    fn balance(&mut self, name: &GroupName) {
        let Some(group) = self.groups.get(name) else { return };
        let counts = self.by_zone(group);
        let fullest = counts.iter().max_by_key(|(_, count)| **count);
        let emptiest = counts.values().min().copied().unwrap_or(0);
        let lopsided = fullest.is_some_and(|(zone, count)| {
            *count > emptiest + 1
                && self.instances_of(group).any(|(_, instance)| {
                    instance.is_active() && !instance.protected && instance.zone == **zone
                })
        });
        let since = group.unbalanced_since;
        let acts = lopsided && !group.is_suspended("AZRebalance");
        let Some(group) = self.groups.get_mut(name) else { return };
        if !acts {
            group.unbalanced_since = None;
            return;
        }
        match since {
            None => {
                group.unbalanced_since = Some(self.now);
                self.request_tick(name, BALANCE);
            }
            Some(since) if seconds_between(since, self.now) < u64::from(BALANCE.0) => {
                self.request_tick(name, BALANCE);
            }
            Some(_) => {
                group.unbalanced_since = None;
                group.rebalancing = true;
                self.launch(name);
            }
        }
    }

    /// The end of an instance begins. What runs on it is not asked.
    pub(crate) fn end_instance(&mut self, id: &InstanceId, by: Who) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.lifecycle == Lifecycle::Terminating {
            return;
        }
        instance.lifecycle = Lifecycle::Terminating;
        instance.ended_by = Some(by);
        instance.down_since.get_or_insert(self.now);
        let group = instance.group.clone();
        self.deregister_target(id);
        let stops = self.dice.seconds(Concern::Groups, SHUT_DOWN);
        let gone = stops + self.dice.seconds(Concern::Groups, LISTED);
        self.queue.push(later(self.now, stops), Event::Stops(id.clone()));
        self.queue.push(later(self.now, gone), Event::Gone(id.clone()));
        self.request_tick(&group, SOON);
    }

    pub(crate) fn gone(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.remove(id) else { return };
        if let Some(group) = self.groups.get_mut(&instance.group) {
            group.instances.remove(id);
        }
        self.node_of_ended(&instance);
        self.detach_etcd(id);
        self.request_tick(&instance.group, SOON);
    }

    pub(crate) fn register_target(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if matches!(instance.target, Some(TargetHealth::Initial | TargetHealth::Healthy)) {
            return;
        }
        instance.target = Some(TargetHealth::Initial);
        instance.target_epoch += 1;
        let event = Event::TargetHealthy(id.clone(), instance.target_epoch);
        self.after(Concern::Targets, HEALTHY, event);
    }

    pub(crate) fn deregister_target(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if !matches!(instance.target, Some(TargetHealth::Initial | TargetHealth::Healthy)) {
            return;
        }
        instance.target = Some(TargetHealth::Draining);
        instance.target_epoch += 1;
        let event = Event::TargetDrained(id.clone(), instance.target_epoch);
        self.after(Concern::Targets, DRAINED, event);
    }

    /// The health check of a control plane's target group asks the apiserver.
    pub(crate) fn target_healthy(&mut self, id: &InstanceId, epoch: u32) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        let answers = !instance.control_plane || instance.api_up;
        if instance.target_epoch == epoch
            && instance.target == Some(TargetHealth::Initial)
            && answers
            && !instance.dead
        {
            instance.target = Some(TargetHealth::Healthy);
        }
    }

    pub(crate) fn target_drained(&mut self, id: &InstanceId, epoch: u32) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.target_epoch == epoch && instance.target == Some(TargetHealth::Draining) {
            instance.target = Some(TargetHealth::Unused);
        }
    }

    /// The health checks begin anew once the apiserver of the instance answers.
    pub(crate) fn check_target_again(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get(id) else { return };
        if instance.target == Some(TargetHealth::Initial) {
            let event = Event::TargetHealthy(id.clone(), instance.target_epoch);
            self.after(Concern::Targets, HEALTHY, event);
        }
    }
}
