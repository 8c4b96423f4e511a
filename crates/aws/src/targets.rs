//! Where the instances of a group stand in the target groups that the group is attached to.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::types::{
    TargetHealthDescription, TargetHealthReasonEnum as Reason, TargetHealthStateEnum as State,
};
use refit_model::TargetHealth;
use refit_provider::ProviderError;

use crate::Clients;
use crate::error::{Effect, sorted};

/// Per target group and instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets(BTreeMap<String, BTreeMap<String, TargetHealth>>);

impl Targets {
    /// Where an instance stands in all of a group's target groups; none: the group has none.
    pub(crate) fn of(&self, groups: &BTreeSet<String>, instance: &str) -> Option<TargetHealth> {
        let found: Vec<Option<TargetHealth>> = groups
            .iter()
            .map(|group| self.0.get(group).and_then(|targets| targets.get(instance)).copied())
            .collect();
        together(&found)
    }
}

/// Draining from one is draining; healthy is healthy in all; registered in none is unused.
fn together(found: &[Option<TargetHealth>]) -> Option<TargetHealth> {
    if found.is_empty() {
        None
    } else if found.contains(&Some(TargetHealth::Draining)) {
        Some(TargetHealth::Draining)
    } else if found.iter().all(Option::is_none) {
        Some(TargetHealth::Unused)
    } else if found.iter().all(|health| *health == Some(TargetHealth::Healthy)) {
        Some(TargetHealth::Healthy)
    } else {
        Some(TargetHealth::Initial)
    }
}

/// What one target group says of one instance; none: it is not registered there.
fn health(described: &TargetHealthDescription) -> Option<TargetHealth> {
    let health = described.target_health()?;
    match (health.state()?, health.reason()) {
        (State::Draining | State::UnhealthyDraining, _) => Some(TargetHealth::Draining),
        // A target group that no load balancer uses sends no traffic and checks nothing.
        (State::Healthy | State::Unavailable, _) | (State::Unused, Some(Reason::NotInUse)) => {
            Some(TargetHealth::Healthy)
        }
        (State::Unused, Some(Reason::NotRegistered)) => None,
        _ => Some(TargetHealth::Initial),
    }
}

impl Clients {
    /// Everything that is registered in these target groups.
    pub(crate) async fn targets(
        &self,
        groups: &BTreeSet<String>,
    ) -> Result<Targets, ProviderError> {
        const ACTION: &str = "elasticloadbalancing:DescribeTargetHealth";
        let mut targets = Targets::default();
        for group in groups {
            let answer = self
                .load_balancers
                .describe_target_health()
                .target_group_arn(group)
                .send()
                .await
                .map_err(|error| sorted(ACTION, Effect::Reads, &error))?;
            let known = targets.0.entry(group.clone()).or_default();
            for described in answer.target_health_descriptions() {
                let id = described.target().and_then(|target| target.id());
                if let (Some(id), Some(health)) = (id, health(described)) {
                    known.insert(id.to_owned(), health);
                }
            }
        }
        Ok(targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn healthy_is_healthy_everywhere() {
        use TargetHealth::{Draining, Healthy, Initial, Unused};
        assert_eq!(together(&[]), None);
        assert_eq!(together(&[None, None]), Some(Unused));
        assert_eq!(together(&[Some(Healthy), Some(Healthy)]), Some(Healthy));
        assert_eq!(together(&[Some(Healthy), None]), Some(Initial));
        assert_eq!(together(&[Some(Healthy), Some(Initial)]), Some(Initial));
        assert_eq!(together(&[Some(Healthy), Some(Draining)]), Some(Draining));
    }
}
