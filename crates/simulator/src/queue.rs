//! What will happen, in order of time and then of having been decided.

use std::collections::BTreeMap;
use std::time::Duration;

use refit_model::{InstanceId, NodeName, Timestamp};
use serde::{Deserialize, Serialize};

/// Something that happens in a cluster by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Event {
    /// A group compares what it has with what it wants.
    GroupTick(refit_model::GroupName),
    /// An instance is in service.
    InService(InstanceId),
    /// An instance has booted.
    Boots(InstanceId),
    /// A member of etcd is Ready on the instance.
    EtcdUp(InstanceId),
    /// The apiserver of the instance answers.
    ApiUp(InstanceId),
    /// The kubelet of the instance registers its node.
    Registers(InstanceId),
    /// A node becomes Ready.
    NodeReady(NodeName),
    /// The machine of an instance is shut down.
    Stops(InstanceId),
    /// The instance does not exist any more.
    Gone(InstanceId),
    /// The node object of a machine that is gone is removed.
    NodeGone(NodeName),
    /// A target passes its health checks, unless its registration changed since.
    TargetHealthy(InstanceId, u32),
    /// A target has no connections any more, unless its registration changed since.
    TargetDrained(InstanceId, u32),
    /// The scheduler looks at the pods that wait for a place.
    Schedule,
    /// A pod becomes Ready.
    PodReady(u64),
    /// A pod has run to completion, unless it is gone.
    PodCompletes(u64),
    /// A pod is gone.
    PodGone(u64),
    /// The pods of a node whose kubelet does not answer are deleted.
    TaintEviction(NodeName),
    /// The kubelet of a node answers again.
    KubeletBack(NodeName),
    /// Somebody, or something, gets in between.
    Meddle(Meddling),
}

impl Event {
    /// Whether this happens through the cluster's API, and has to wait for one that answers.
    pub(crate) fn needs_api(&self) -> bool {
        matches!(
            self,
            Self::Registers(_)
                | Self::NodeReady(_)
                | Self::NodeGone(_)
                | Self::Schedule
                | Self::PodReady(_)
                | Self::PodCompletes(_)
                | Self::PodGone(_)
                | Self::TaintEviction(_)
                | Self::KubeletBack(_)
        )
    }
}

/// What gets in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Meddling {
    /// An operator cordons a node.
    Cordon,
    /// An operator raises desired of a group.
    RaiseDesired,
    /// A machine fails, and its group replaces it.
    KillInstance,
    /// The cluster-autoscaler removes an empty node.
    ScaleDown,
    /// The kubelet of a node dies, and its machine goes on.
    KillKubelet,
}

/// Events by time. Those of the same time happen in the order in which they were decided.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Queue {
    seq: u64,
    #[serde(with = "pairs")]
    events: BTreeMap<(Timestamp, u64), Event>,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Timestamp, event: Event) {
        self.seq += 1;
        self.events.insert((at, self.seq), event);
    }

    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, Event)> {
        let first = self.events.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let ((at, _), event) = first.remove_entry();
        Some((at, event))
    }

    pub(crate) fn clear(&mut self) {
        self.events.clear();
    }
}

/// A time `seconds` after another.
pub(crate) fn later(at: Timestamp, seconds: u32) -> Timestamp {
    at.checked_add(Duration::from_secs(u64::from(seconds))).unwrap_or(Timestamp::MAX)
}

/// Whole seconds from one time to another; 0 when it lies before.
pub(crate) fn seconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second() - from.as_second()).unwrap_or(0)
}

/// JSON has string keys only; the queue is written as a list of pairs.
mod pairs {
    use std::collections::BTreeMap;

    use refit_model::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Event;

    type Events = BTreeMap<(Timestamp, u64), Event>;

    pub(super) fn serialize<S: Serializer>(events: &Events, to: S) -> Result<S::Ok, S::Error> {
        events.iter().collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Events, D::Error> {
        Ok(Vec::<((Timestamp, u64), Event)>::deserialize(from)?.into_iter().collect())
    }
}
