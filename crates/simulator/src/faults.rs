//! What goes wrong, and how often.
//!
//! Rates are per thousand: of calls, of looks, of launches, of pods. A seed turns each kind of
//! fault on or off before it draws a rate (swarm testing): a run with only one kind of fault
//! finds what a run with a little of everything hides.

use fastrand::Rng;
use refit_model::{Op, Period};
use refit_provider::{ErrorClass, ProviderError};
use serde::{Deserialize, Serialize};

use crate::cluster::ClusterWorld;
use crate::dice::{Concern, mix};
use crate::queue::{Event, Meddling, later};

/// How often things go wrong, each of a thousand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Faults {
    /// Calls that fail and may go well in a moment.
    pub transient: u32,
    /// Calls that are told to come back later.
    pub throttled: u32,
    /// Calls that were lost on the way: the caller cannot know.
    pub lost_calls: u32,
    /// Calls that took effect, but whose answer was lost: the caller cannot know.
    pub lost_answers: u32,
    /// Applies of add-ons that end after half of the objects.
    pub partial_applies: u32,
    /// Looks that fail.
    pub failed_looks: u32,
    /// Looks of which one of the places that are read fails, and the other answers.
    #[serde(default)]
    pub partial_looks: u32,
    /// Looks that show some of the world as it was some seconds ago.
    #[serde(default)]
    pub stale_looks: u32,
    /// New nodes that never become Ready.
    pub never_ready: u32,
    /// Launches for which there is no capacity for a time.
    pub stuck_launches: u32,
    /// Members of etcd that come back late.
    pub late_etcd: u32,
    /// Members of etcd that do not come back.
    pub lost_etcd: u32,
    /// Pods that take minutes to be Ready.
    pub slow_pods: u32,
    /// Calls after which a machine fails and its group replaces it.
    pub killed_instances: u32,
    /// Calls after which an operator cordons a node.
    pub operator_cordons: u32,
    /// Calls after which an operator raises desired of a group.
    pub operator_scales: u32,
    /// Calls after which the cluster-autoscaler looks for an empty node and removes it.
    #[serde(default)]
    pub autoscaler: u32,
    /// Calls after which the kubelet of a node dies, and its machine goes on.
    #[serde(default)]
    pub dead_kubelets: u32,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// Which kinds of faults there are, and how often, drawn from a seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::with_seed(mix(seed ^ 0x000f_a017));
        let mut rate = |max: u32| {
            let on = rng.bool();
            let rate = rng.u32(1..=max);
            if on { rate } else { 0 }
        };
        let mut faults = Self {
            transient: rate(100),
            throttled: rate(60),
            lost_calls: rate(40),
            lost_answers: rate(60),
            partial_applies: rate(150),
            failed_looks: rate(80),
            never_ready: rate(100),
            stuck_launches: rate(120),
            late_etcd: rate(200),
            lost_etcd: rate(60),
            slow_pods: rate(150),
            killed_instances: rate(15),
            operator_cordons: rate(15),
            operator_scales: rate(15),
            ..Self::none()
        };
        // Drawn last, and rarely: the seeds that came before these faults keep their stories.
        let mut seldom = |max: u32| if rng.u8(0..4) == 0 { rng.u32(1..=max) } else { 0 };
        faults.partial_looks = seldom(100);
        faults.stale_looks = seldom(300);
        faults.autoscaler = seldom(60);
        faults.dead_kubelets = seldom(15);
        faults
    }

    /// Whether nothing goes wrong.
    pub fn is_none(&self) -> bool {
        *self == Self::none()
    }
}

/// What happens to a call.
pub(crate) enum CallFault {
    /// It is answered as it should be.
    None,
    /// It is refused.
    Refused(ProviderError),
    /// It ends half-way.
    Partial,
    /// It never arrives.
    LostCall,
    /// It arrives, and the answer does not.
    LostAnswer,
}

/// The places that a look reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The Kubernetes API.
    Cluster,
    /// Whoever runs the machines.
    Machines,
}

/// How often somebody may get in between in one cluster: a run has to be able to end.
const MEDDLING_MAX: u32 = 4;

/// How long after a call somebody gets in between, in seconds.
const MEDDLING_AFTER: (u32, u32) = (1, 120);

impl ClusterWorld {
    pub(crate) fn call_fault(&mut self, op: &Op) -> CallFault {
        let Faults { transient, throttled, lost_calls, lost_answers, partial_applies, .. } =
            self.faults;
        let (roll, wait) =
            self.dice.draw(Concern::Calls, |rng| (rng.u32(0..1000), rng.u32(1..=20)));
        let mut below = 0;
        let mut hit = |rate: u32| {
            below += rate;
            roll < below
        };
        if hit(transient) {
            let message = format!("{op}: 503 Service Unavailable");
            CallFault::Refused(ProviderError::new(ErrorClass::Transient, message))
        } else if hit(throttled) {
            let mut error =
                ProviderError::new(ErrorClass::Throttled, format!("{op}: too many requests"));
            error.retry_after = Some(Period::seconds(wait));
            CallFault::Refused(error)
        } else if hit(lost_calls) {
            CallFault::LostCall
        } else if hit(lost_answers) {
            CallFault::LostAnswer
        } else if hit(partial_applies) {
            CallFault::Partial
        } else {
            CallFault::None
        }
    }

    pub(crate) fn look_fault(&mut self) -> Option<ProviderError> {
        self.dice
            .chance(Concern::Looks, self.faults.failed_looks)
            .then(|| ProviderError::new(ErrorClass::Transient, "look: the connection timed out"))
    }

    /// Which of the places that a look reads does not answer.
    pub(crate) fn part_fault(&mut self) -> Option<(Part, ProviderError)> {
        if self.faults.partial_looks == 0
            || !self.dice.chance(Concern::Parts, self.faults.partial_looks)
        {
            return None;
        }
        let (machines, wait) = self.dice.draw(Concern::Parts, |rng| (rng.bool(), rng.u32(1..=10)));
        Some(if machines {
            let text = "autoscaling:DescribeAutoScalingGroups: Throttling: Rate exceeded";
            let mut error = ProviderError::new(ErrorClass::Throttled, text);
            error.retry_after = Some(Period::seconds(wait));
            (Part::Machines, error)
        } else {
            let text = "list pods: status 504: the second page did not come in time";
            (Part::Cluster, ProviderError::new(ErrorClass::Transient, text))
        })
    }

    /// After a call, now and then, somebody else does something too.
    pub(crate) fn meddle_after_call(&mut self) {
        let Faults {
            killed_instances,
            operator_cordons,
            operator_scales,
            autoscaler,
            dead_kubelets,
            ..
        } = self.faults;
        let operators = killed_instances + operator_cordons + operator_scales;
        let (roll, after) = self.dice.draw(Concern::Meddling, |rng| {
            (rng.u32(0..1000), rng.u32(MEDDLING_AFTER.0..=MEDDLING_AFTER.1))
        });
        let what = if roll < killed_instances {
            Meddling::KillInstance
        } else if roll < killed_instances + operator_cordons {
            Meddling::Cordon
        } else if roll < operators {
            Meddling::RaiseDesired
        } else if roll < operators + autoscaler {
            Meddling::ScaleDown
        } else if roll < operators + autoscaler + dead_kubelets {
            Meddling::KillKubelet
        } else {
            return;
        };
        if self.meddled < MEDDLING_MAX {
            self.meddled += 1;
            let at = later(self.now, after);
            self.queue.push(at, Event::Meddle(what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_a_mixture() {
        assert!(Faults::none().is_none());
        assert_eq!(Faults::from_seed(3), Faults::from_seed(3));
        let drawn: Vec<Faults> = (0..64).map(Faults::from_seed).collect();
        assert!(drawn.iter().any(|faults| faults.transient == 0));
        assert!(drawn.iter().any(|faults| faults.transient > 0));
        assert!(drawn.iter().all(|faults| {
            let Faults { transient, throttled, lost_calls, lost_answers, partial_applies, .. } =
                faults;
            transient + throttled + lost_calls + lost_answers + partial_applies < 1000
        }));
    }
}
