//! The instances of a control plane: apiservers and members of etcd.
//!
//! A member of etcd lives on a volume in one zone. It is Ready again some time after the
//! replacement of its instance has booted in that zone, and not before the old instance has let
//! the volume go. Without a quorum, or without any apiserver, the cluster's API does not answer.

use std::collections::BTreeSet;

use refit_model::{InstanceId, Lifecycle, Minor};

use crate::cluster::{ClusterWorld, Instance};
use crate::dice::{Concern, Span};
use crate::queue::{Event, later};

/// How long after booting an apiserver takes to answer.
const API_STARTS: Span = (10, 30);
/// How long etcd takes to be Ready once its volume can be attached.
const ETCD_STARTS: Span = (5, 20);
/// How late it is when it is late.
const ETCD_LATE: Span = (300, 1200);

impl ClusterWorld {
    /// Whether an instance does all that one of the control plane does.
    pub(crate) fn does_its_work(&self, instance: &Instance) -> bool {
        instance.api_up && (self.etcd.is_empty() || instance.etcd_ready)
    }

    pub(crate) fn etcd_ready_count(&self) -> usize {
        self.instances.values().filter(|instance| instance.etcd_ready).count()
    }

    /// How many members of etcd must be Ready for it to answer.
    pub(crate) fn etcd_quorum(&self) -> usize {
        if self.etcd.is_empty() { 0 } else { self.etcd.len() / 2 + 1 }
    }

    /// Whether the cluster's API answers at all.
    pub(crate) fn api_answers(&self) -> bool {
        self.instances.values().any(|instance| instance.api_up)
            && self.etcd_ready_count() >= self.etcd_quorum()
    }

    /// The minors of the apiservers that answer.
    pub(crate) fn live_minors(&self) -> BTreeSet<Minor> {
        let live = self.instances.values().filter(|instance| instance.api_up);
        live.map(|instance| instance.version.minor()).collect()
    }

    pub(crate) fn control_plane_boots(&mut self, id: &InstanceId) {
        self.after(Concern::Boot, API_STARTS, Event::ApiUp(id.clone()));
        self.attach_etcd(id);
    }

    /// Attaches a volume of etcd that is free in the instance's zone, if there is one.
    fn attach_etcd(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get(id) else { return };
        if self.etcd.iter().any(|member| member.on.as_ref() == Some(id)) {
            return;
        }
        let zone = &instance.zone;
        let free = self.etcd.iter_mut().find(|member| member.on.is_none() && member.zone == *zone);
        let Some(member) = free else { return };
        member.on = Some(id.clone());
        let up = Event::EtcdUp(id.clone());
        let late = self.dice.chance(Concern::EtcdFault, self.faults.late_etcd);
        let lost = self.dice.chance(Concern::EtcdFault, self.faults.lost_etcd);
        if lost {
            if let Some(instance) = self.instances.get_mut(id) {
                instance.held_back.push(up);
            }
        } else {
            self.after(Concern::Etcd, if late { ETCD_LATE } else { ETCD_STARTS }, up);
        }
    }

    /// The instance is gone: its volume is free for a booted one that waits for it.
    pub(crate) fn detach_etcd(&mut self, id: &InstanceId) {
        let member = self.etcd.iter_mut().find(|member| member.on.as_ref() == Some(id));
        let Some(member) = member else { return };
        member.on = None;
        let waiting: Vec<InstanceId> = self
            .instances
            .iter()
            .filter(|(_, instance)| {
                instance.control_plane
                    && instance.booted
                    && !instance.dead
                    && instance.lifecycle != Lifecycle::Terminating
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in waiting {
            self.attach_etcd(&id);
        }
    }

    pub(crate) fn etcd_up(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.dead {
            return;
        }
        instance.etcd_ready = true;
        self.control_plane_changed(id);
    }

    pub(crate) fn api_up(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.dead {
            return;
        }
        instance.api_up = true;
        self.check_target_again(id);
        self.judge_api_server(id);
        self.control_plane_changed(id);
    }

    fn control_plane_changed(&mut self, id: &InstanceId) {
        let works = self.instances.get(id).is_some_and(|instance| self.does_its_work(instance));
        if let Some(instance) = self.instances.get_mut(id)
            && works
            && instance.lifecycle != Lifecycle::Terminating
        {
            instance.down_since = None;
        }
        if self.api_answers() {
            let waited = std::mem::take(&mut self.waiting_for_api);
            for event in waited {
                self.queue.push(later(self.now, 1), event);
            }
        }
    }
}
