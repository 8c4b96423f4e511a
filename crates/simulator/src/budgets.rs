//! PodDisruptionBudgets, as the disruption controller computes them.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    BudgetState, IntOrPercent, UnhealthyPodEvictionPolicy, WorkloadBudget, WorkloadRef,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cluster::ClusterWorld;

/// A PodDisruptionBudget.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Budget {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) rule: Rule,
    /// When pods that are not Ready may be evicted.
    #[serde(default)]
    pub(crate) unhealthy: UnhealthyPodEvictionPolicy,
    /// `spec.selector.matchLabels`.
    pub(crate) selector: BTreeMap<String, String>,
    /// The workloads whose pods it selects.
    pub(crate) selects: Vec<WorkloadRef>,
}

/// What a budget allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rule {
    MinAvailable(IntOrPercent),
    MaxUnavailable(IntOrPercent),
}

impl From<WorkloadBudget> for Rule {
    fn from(budget: WorkloadBudget) -> Self {
        match budget {
            WorkloadBudget::MinAvailable(quantity) => Self::MinAvailable(quantity),
            WorkloadBudget::MaxUnavailable(quantity) => Self::MaxUnavailable(quantity),
        }
    }
}

impl Rule {
    /// What a manifest's `spec` says; the API's default is none of both, which allows nothing
    /// to be disrupted only when pods are missing anyway: `minAvailable: 1`.
    pub(crate) fn of_spec(spec: &Value) -> Self {
        let quantity = |field: &str| -> Option<IntOrPercent> {
            match spec.get(field)? {
                Value::Number(number) => number.as_u64()?.try_into().ok().map(IntOrPercent::Int),
                Value::String(text) => text.parse().ok(),
                _ => None,
            }
        };
        if let Some(quantity) = quantity("maxUnavailable") {
            Self::MaxUnavailable(quantity)
        } else {
            Self::MinAvailable(quantity("minAvailable").unwrap_or(IntOrPercent::Int(1)))
        }
    }
}

/// Returns what a manifest's `spec` says of pods that are not Ready.
pub(crate) fn unhealthy_of_spec(spec: &Value) -> UnhealthyPodEvictionPolicy {
    match spec.get("unhealthyPodEvictionPolicy").and_then(Value::as_str) {
        Some("AlwaysAllow") => UnhealthyPodEvictionPolicy::AlwaysAllow,
        Some(_) | None => UnhealthyPodEvictionPolicy::IfHealthyBudget,
    }
}

impl ClusterWorld {
    /// Finds out anew which budgets select which workloads' pods.
    pub(crate) fn match_budgets(&mut self) {
        for workload in self.workloads.values_mut() {
            workload.budgets = BTreeSet::new();
        }
        for (key, budget) in &mut self.budgets {
            budget.selects.clear();
            for (of, workload) in &mut self.workloads {
                let selects = budget.namespace == of.namespace
                    && budget.selector.iter().all(|(label, value)| {
                        workload.labels.get(label).is_some_and(|found| found == value)
                    });
                if selects {
                    budget.selects.push(of.clone());
                    workload.budgets.insert(key.clone());
                }
            }
        }
    }

    /// A budget's status. Percentages round up
    /// ([docs](https://kubernetes.io/docs/tasks/run-application/configure-pdb/)).
    pub(crate) fn budget_status(&self, budget: &Budget) -> BudgetState {
        let (mut pods, mut replicas, mut healthy) = (0, 0, 0);
        for of in &budget.selects {
            let Some(workload) = self.workloads.get(of) else { continue };
            let count = u32::try_from(workload.pods.len()).unwrap_or(u32::MAX);
            pods += count;
            // A DaemonSet's scale is the number of pods that it has.
            replicas += if of.kind == "DaemonSet" { count } else { workload.replicas };
            healthy += workload.ready;
        }
        let (expected, desired) = match budget.rule {
            Rule::MinAvailable(IntOrPercent::Int(count)) => (pods, count),
            Rule::MinAvailable(share) => (replicas, share.of_rounded_up(replicas)),
            Rule::MaxUnavailable(share) => {
                (replicas, replicas.saturating_sub(share.of_rounded_up(replicas)))
            }
        };
        BudgetState {
            namespace: budget.namespace.clone(),
            name: budget.name.clone(),
            disruptions_allowed: if expected == 0 { 0 } else { healthy.saturating_sub(desired) },
            current_healthy: healthy,
            desired_healthy: desired,
            expected_pods: expected,
            unhealthy_pod_eviction_policy: budget.unhealthy,
        }
    }

    /// The status of every budget over a pod.
    pub(crate) fn budgets_over(&self, pod: u64) -> Vec<BudgetState> {
        let owner = self.pods.get(&pod).and_then(|pod| pod.owner.as_ref());
        let workload = owner.and_then(|owner| self.workloads.get(owner));
        workload
            .into_iter()
            .flat_map(|workload| &workload.budgets)
            .filter_map(|key| Some(self.budget_status(self.budgets.get(key)?)))
            .collect()
    }
}
