//! Cordoning a node, and evicting the pods on it.

use std::collections::BTreeMap;

use http::Method;
use refit_model::{NodeName, NodeOp, Op, PodKey, RollTag};
use refit_provider::{ErrorClass, ProviderError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Body;
use crate::pods::{Budget, RawBudget};
use crate::{Kubernetes, MANAGER};

/// How often a node is written whose object changes between reading and writing. Kubelets and
/// controllers write it every few seconds.
const WRITES_MAX: u32 = 5;

#[derive(Deserialize)]
struct Labelled {
    metadata: Labels,
}

#[derive(Deserialize)]
struct Listed<T> {
    items: Vec<T>,
}

/// A node with its taints, as they are written.
#[derive(Deserialize)]
struct Tainted {
    metadata: Version,
    #[serde(default)]
    spec: Taints,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "resourceVersion")]
    resource_version: String,
}

#[derive(Default, Deserialize)]
struct Taints {
    #[serde(default)]
    taints: Vec<Value>,
}

/// Whether a precondition failed because the object of that name has another UID.
fn is_of_another(error: &ProviderError) -> bool {
    error.message.contains("UID in precondition")
}

#[derive(Deserialize)]
struct Labels {
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl Kubernetes {
    pub(crate) async fn node_op(&self, node: &NodeName, op: &NodeOp) -> Result<(), ProviderError> {
        let what = Op::Node { node: node.clone(), op: op.clone() }.to_string();
        match op {
            NodeOp::Cordon { run } => {
                let patch = json!({
                    "metadata": { "annotations": { RollTag::CORDONED: run.as_str() } },
                    "spec": { "unschedulable": true },
                });
                if self.patch_node(&what, node, &patch).await?.is_none() {
                    let text = format!("cordon {node}: there is no such node any more");
                    return Err(ProviderError::new(ErrorClass::Conflict, text));
                }
                Ok(())
            }
            NodeOp::Uncordon => {
                let patch = json!({
                    "metadata": { "annotations": { RollTag::CORDONED: null } },
                    "spec": { "unschedulable": null },
                });
                self.patch_node(&what, node, &patch).await?;
                Ok(())
            }
            NodeOp::Evict { pod } => self.evict(pod).await,
            NodeOp::DisableScaleDown { run } => {
                let patch = json!({ "metadata": { "annotations": {
                    NodeOp::SCALE_DOWN_DISABLED: "true",
                    NodeOp::SCALE_DOWN_DISABLED_BY: run.as_str(),
                } } });
                self.patch_node(&what, node, &patch).await?;
                Ok(())
            }
            NodeOp::TaintOutOfService { run } => {
                self.write_taints(&what, node, Some(run.as_str())).await
            }
            NodeOp::RemoveOutOfService => self.write_taints(&what, node, None).await,
            NodeOp::EnableScaleDown => {
                let patch = json!({ "metadata": { "annotations": {
                    NodeOp::SCALE_DOWN_DISABLED: null,
                    NodeOp::SCALE_DOWN_DISABLED_BY: null,
                } } });
                self.patch_node(&what, node, &patch).await?;
                Ok(())
            }
        }
    }

    async fn patch_node(
        &self,
        what: &str,
        node: &NodeName,
        patch: &Value,
    ) -> Result<Option<Value>, ProviderError> {
        let path = format!("/api/v1/nodes/{node}?fieldManager={MANAGER}");
        self.api.write(what, Method::PATCH, &path, Some((Body::Merge, patch))).await
    }

    /// Taints a node as out of service for a run, or removes that taint. The list of taints is
    /// atomic, a patch replaces all of them
    /// ([NodeSpec](https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/node-v1/#NodeSpec)).
    /// So it is written as it was read, on the condition that nobody has written the node since.
    async fn write_taints(
        &self,
        what: &str,
        node: &NodeName,
        run: Option<&str>,
    ) -> Result<(), ProviderError> {
        let mut attempts = 1;
        loop {
            let Some(found) = self.tainted(node).await? else { return Ok(()) };
            let mut taints = found.spec.taints;
            taints.retain(|taint| taint["key"] != NodeOp::OUT_OF_SERVICE);
            if run.is_some() {
                taints.push(json!({
                    "key": NodeOp::OUT_OF_SERVICE,
                    "value": "nodeshutdown",
                    "effect": "NoExecute",
                }));
            }
            let patch = json!({
                "metadata": {
                    "resourceVersion": found.metadata.resource_version,
                    "annotations": { NodeOp::OUT_OF_SERVICE_BY: run },
                },
                "spec": { "taints": taints },
            });
            match self.patch_node(what, node, &patch).await {
                Ok(_) => return Ok(()),
                Err(error) if error.class == ErrorClass::Conflict && attempts < WRITES_MAX => {
                    attempts += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the taints of a node. `None` if there is no such node.
    async fn tainted(&self, node: &NodeName) -> Result<Option<Tainted>, ProviderError> {
        // A list of one: there is no other need to be allowed to get nodes.
        let path = format!("/api/v1/nodes?fieldSelector=metadata.name%3D{node}");
        let found: Listed<Tainted> = self.api.get(&format!("list node {node}"), &path).await?;
        Ok(found.items.into_iter().next())
    }

    /// Through the eviction API, of the pod with this UID only: another pod of that name is
    /// another pod, and this one is gone
    /// ([docs](https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/)).
    async fn evict(&self, pod: &PodKey) -> Result<(), ProviderError> {
        let PodKey { namespace, name, uid } = pod;
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": { "name": name, "namespace": namespace },
            "deleteOptions": { "preconditions": { "uid": uid } },
        });
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
        let what = format!("evict {pod}");
        let sent = self.api.write(&what, Method::POST, &path, Some((Body::Object, &eviction)));
        match sent.await {
            Ok(_) => Ok(()),
            // The UID is another pod's: the one that was meant is gone.
            Err(error) if error.class == ErrorClass::Conflict && is_of_another(&error) => Ok(()),
            // The eviction API does not serve pods that several budgets select, and says so with
            // an internal error like any other.
            Err(error) if error.class == ErrorClass::Unknown => {
                let budgets = self.budgets_over(pod).await?;
                if budgets.len() < 2 {
                    return Err(error);
                }
                let text = format!(
                    "{what}: the PodDisruptionBudgets {} all select it, which the eviction API does not support",
                    budgets.join(", ")
                );
                Err(ProviderError::new(ErrorClass::Permanent, text))
            }
            Err(error) => Err(error),
        }
    }

    async fn budgets_over(&self, pod: &PodKey) -> Result<Vec<String>, ProviderError> {
        let PodKey { namespace, name, .. } = pod;
        // A list of one: there is no other need to be allowed to get pods.
        let path =
            format!("/api/v1/namespaces/{namespace}/pods?fieldSelector=metadata.name%3D{name}");
        let found: Listed<Labelled> = self.api.get(&format!("list pod {pod}"), &path).await?;
        let Some(found) = found.items.into_iter().next() else { return Ok(Vec::new()) };
        let path = format!("/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets");
        let mut budgets = Vec::new();
        self.api
            .list("list PodDisruptionBudgets", &path, None, |raw: RawBudget| {
                let budget = Budget::from(raw);
                if budget.selects(namespace, &found.metadata.labels) {
                    budgets.push(budget.state.name);
                }
            })
            .await?;
        Ok(budgets)
    }
}
