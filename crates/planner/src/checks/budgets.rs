//! Checks of PodDisruptionBudgets whose pods a plan evicts.

use refit_model::{
    BudgetState, ClusterState, Code, PodState, Severity, UnhealthyPodEvictionPolicy,
};

use super::Blocker;
use crate::few::few;

/// Returns a finding for each budget that forbids evictions which the plan needs.
pub(super) fn forbidding(state: &ClusterState, leaving: &[&PodState]) -> Vec<Blocker> {
    let mut found = Vec::new();
    for budget in &state.budgets {
        let mut evicted = leaving.iter().filter(|pod| is_selected(pod, budget)).peekable();
        if evicted.peek().is_none() {
            continue;
        }
        let blocker = if budget.never_allows() {
            Blocker::new(
                Code::RF012,
                format!(
                    "PodDisruptionBudget never allows an eviction ({} of {} pods must stay healthy)",
                    budget.desired_healthy, budget.expected_pods
                ),
                format!(
                    "raise the replicas, or loosen the budget; or accept it for a time if something else moves the pods{}",
                    super::meanwhile(
                        state,
                        leaving.iter().copied().filter(|pod| is_selected(pod, budget))
                    )
                ),
            )
        } else if budget.current_healthy <= budget.desired_healthy
            && !evicted.all(|pod| may_go_unhealthy(pod, budget))
        {
            unhealthy(state, budget)
        } else {
            continue;
        };
        found.push(blocker.of(format!("{}/{}", budget.namespace, budget.name)));
    }
    found
}

/// Whether the budget selects the pod.
fn is_selected(pod: &PodState, budget: &BudgetState) -> bool {
    pod.namespace == budget.namespace && pod.budgets.contains(&budget.name)
}

/// Whether the pod can be evicted although no more pods of its budget are healthy than must be: one that
/// is not Ready can, as far as `unhealthyPodEvictionPolicy` lets it.
fn may_go_unhealthy(pod: &PodState, budget: &BudgetState) -> bool {
    match budget.unhealthy_pod_eviction_policy {
        UnhealthyPodEvictionPolicy::AlwaysAllow => !pod.ready,
        UnhealthyPodEvictionPolicy::IfHealthyBudget => {
            !pod.ready && budget.current_healthy >= budget.desired_healthy
        }
    }
}

/// A budget of which at most as many pods are healthy as must be. Waiting does not help where the others
/// are not about to become Ready.
fn unhealthy(state: &ClusterState, budget: &BudgetState) -> Blocker {
    let BudgetState { current_healthy, desired_healthy, expected_pods, .. } = budget;
    let not_ready = state.pods.iter().filter(|pod| is_selected(pod, budget) && !pod.ready);
    let names: Vec<&str> = not_ready.map(|pod| pod.name.as_str()).collect();
    let too_few = current_healthy < desired_healthy;
    let refused = match budget.unhealthy_pod_eviction_policy {
        UnhealthyPodEvictionPolicy::IfHealthyBudget if too_few => "no pod of it can be evicted",
        UnhealthyPodEvictionPolicy::IfHealthyBudget | UnhealthyPodEvictionPolicy::AlwaysAllow => {
            "only pods that are not Ready can be evicted"
        }
    };
    let named =
        if names.is_empty() { String::new() } else { format!("; not Ready: {}", few(&names)) };
    let hint = match budget.unhealthy_pod_eviction_policy {
        UnhealthyPodEvictionPolicy::IfHealthyBudget if too_few => {
            "repair these pods first; or set `unhealthyPodEvictionPolicy: AlwaysAllow`, so that at least pods that are not Ready can be evicted"
        }
        UnhealthyPodEvictionPolicy::IfHealthyBudget | UnhealthyPodEvictionPolicy::AlwaysAllow => {
            "repair these pods first"
        }
    };
    Blocker::new(
        Code::RF050,
        format!(
            "{current_healthy} of {expected_pods} pods are healthy and {desired_healthy} must be, so {refused} until more are Ready, and a drain waits up to `drain-timeout`{named}"
        ),
        hint,
    )
    .weighing(Severity::Warning)
}
