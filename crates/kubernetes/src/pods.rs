//! Pods, who owns them, the budgets that select them and the volumes that tie them to a zone.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    BudgetState, DoNotEvict, PodOwner, PodState, RestartPolicy, Timestamp,
    UnhealthyPodEvictionPolicy, WorkloadRef, WorkloadState, ZonalVolume, Zone,
};
use serde::Deserialize;

/// The label that a Deployment puts on its ReplicaSets and their pods.
const TEMPLATE_HASH: &str = "pod-template-hash";
/// Topology keys whose value is a zone.
const ZONE_KEYS: [&str; 3] = [
    "topology.kubernetes.io/zone",
    "topology.ebs.csi.aws.com/zone",
    "failure-domain.beta.kubernetes.io/zone",
];

/// The metadata that refit reads of any object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) deletion_timestamp: Option<String>,
    pub(crate) owner_references: Vec<OwnerReference>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OwnerReference {
    kind: String,
    name: String,
    #[serde(default)]
    controller: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Condition {
    pub(crate) r#type: String,
    pub(crate) status: String,
    #[serde(default, rename = "lastTransitionTime")]
    pub(crate) since: Option<Timestamp>,
}

/// Whether the condition of that type is true.
pub(crate) fn is_true(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|condition| condition.r#type == kind && condition.status == "True")
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RawPod {
    pub(crate) metadata: Meta,
    #[serde(default)]
    pub(crate) spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    pub(crate) node_name: Option<String>,
    priority_class_name: String,
    restart_policy: Option<String>,
    pub(crate) containers: Vec<Container>,
    volumes: Vec<Volume>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Container {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) image: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    persistent_volume_claim: Option<ClaimSource>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClaimSource {
    claim_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: String,
    conditions: Vec<Condition>,
}

/// Whether a priority class is one of those that keep a cluster alive.
fn is_critical(priority_class: &str) -> bool {
    matches!(priority_class, "system-node-critical" | "system-cluster-critical")
}

impl RawPod {
    /// Whether it has run to its end: nothing waits for it, and a drain leaves it.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    pub(crate) fn is_ready(&self) -> bool {
        is_true(&self.status.conditions, "Ready")
    }

    pub(crate) fn owner(&self) -> PodOwner {
        let meta = &self.metadata;
        if meta.annotations.contains_key("kubernetes.io/config.mirror") {
            return PodOwner::Mirror;
        }
        let Some(owner) = meta.owner_references.iter().find(|owner| owner.controller) else {
            return PodOwner::Nobody;
        };
        let workload = |kind: &str, name: &str| WorkloadRef::new(kind, &meta.namespace, name);
        match owner.kind.as_str() {
            "Node" => PodOwner::Mirror,
            "DaemonSet" => PodOwner::DaemonSet(workload("DaemonSet", &owner.name)),
            "ReplicaSet" => {
                // A Deployment names its ReplicaSets after itself and the hash of their template.
                let hash = meta.labels.get(TEMPLATE_HASH);
                let deployment =
                    hash.and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-'));
                PodOwner::Workload(match deployment {
                    Some(name) => workload("Deployment", name),
                    None => workload("ReplicaSet", &owner.name),
                })
            }
            kind => PodOwner::Workload(workload(kind, &owner.name)),
        }
    }

    /// As the snapshot keeps it.
    pub(crate) fn state(&self, budgets: &[Budget], volumes: &Volumes) -> PodState {
        let Self { metadata: meta, spec, status: _ } = self;
        let selecting =
            budgets.iter().filter(|budget| budget.selects(&meta.namespace, &meta.labels));
        PodState {
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            node: spec.node_name.as_deref().and_then(|name| name.parse().ok()),
            ready: self.is_ready(),
            terminating: meta.deletion_timestamp.is_some(),
            owner: self.owner(),
            budgets: selecting.map(|budget| budget.state.name.clone()).collect(),
            volume: spec
                .volumes
                .iter()
                .filter_map(|volume| volume.persistent_volume_claim.as_ref())
                .find_map(|claim| volumes.zonal(&meta.namespace, &claim.claim_name)),
            critical: is_critical(&spec.priority_class_name),
            restart_policy: match spec.restart_policy.as_deref() {
                Some("OnFailure") => RestartPolicy::OnFailure,
                Some("Never") => RestartPolicy::Never,
                Some(_) | None => RestartPolicy::Always,
            },
            do_not_evict: DoNotEvict::ALL.into_iter().find(|asks| {
                meta.annotations.get(asks.annotation()).is_some_and(|value| asks.is_asked_by(value))
            }),
        }
    }
}

/// A label selector of `policy/v1`: an empty one selects everything, none selects nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Selector {
    match_labels: BTreeMap<String, String>,
    match_expressions: Vec<Requirement>,
}

#[derive(Clone, Debug, Deserialize)]
struct Requirement {
    key: String,
    operator: String,
    #[serde(default)]
    values: BTreeSet<String>,
}

impl Selector {
    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| {
                let found = labels.get(&requirement.key);
                match requirement.operator.as_str() {
                    "In" => found.is_some_and(|value| requirement.values.contains(value)),
                    "NotIn" => found.is_none_or(|value| !requirement.values.contains(value)),
                    "Exists" => found.is_some(),
                    "DoesNotExist" => found.is_none(),
                    // The API accepts no other.
                    _ => false,
                }
            })
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RawBudget {
    metadata: Meta,
    #[serde(default)]
    spec: BudgetSpec,
    #[serde(default)]
    status: BudgetStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BudgetSpec {
    selector: Option<Selector>,
    unhealthy_pod_eviction_policy: Option<String>,
}

impl BudgetSpec {
    /// Apiservers before 1.26 do not know the field. A value of a later version is taken for the
    /// default, which allows less.
    fn unhealthy_pod_eviction_policy(&self) -> UnhealthyPodEvictionPolicy {
        match self.unhealthy_pod_eviction_policy.as_deref() {
            Some("AlwaysAllow") => UnhealthyPodEvictionPolicy::AlwaysAllow,
            Some(_) | None => UnhealthyPodEvictionPolicy::IfHealthyBudget,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BudgetStatus {
    disruptions_allowed: u32,
    current_healthy: u32,
    desired_healthy: u32,
    expected_pods: u32,
}

/// A PodDisruptionBudget, and which pods it selects.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    pub(crate) state: BudgetState,
    selector: Option<Selector>,
}

impl Budget {
    pub(crate) fn selects(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.state.namespace == namespace
            && self.selector.as_ref().is_some_and(|selector| selector.selects(labels))
    }
}

impl From<RawBudget> for Budget {
    fn from(raw: RawBudget) -> Self {
        let RawBudget { metadata, spec, status } = raw;
        let BudgetStatus { disruptions_allowed, current_healthy, desired_healthy, expected_pods } =
            status;
        let state = BudgetState {
            namespace: metadata.namespace,
            name: metadata.name,
            disruptions_allowed,
            current_healthy,
            desired_healthy,
            expected_pods,
            unhealthy_pod_eviction_policy: spec.unhealthy_pod_eviction_policy(),
        };
        Self { state, selector: spec.selector }
    }
}

/// A Deployment, StatefulSet or DaemonSet.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RawWorkload {
    metadata: Meta,
    #[serde(default)]
    spec: WorkloadSpec,
    #[serde(default)]
    status: WorkloadStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WorkloadSpec {
    replicas: Option<u32>,
    template: Template,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    spec: TemplateSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TemplateSpec {
    priority_class_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WorkloadStatus {
    ready_replicas: u32,
    desired_number_scheduled: u32,
    number_ready: u32,
}

impl RawWorkload {
    pub(crate) fn state(&self, kind: &str) -> WorkloadState {
        let Self { metadata, spec, status } = self;
        let (replicas, ready) = match kind {
            "DaemonSet" => (status.desired_number_scheduled, status.number_ready),
            _ => (spec.replicas.unwrap_or(1), status.ready_replicas),
        };
        WorkloadState {
            workload: WorkloadRef::new(kind, &metadata.namespace, &metadata.name),
            replicas,
            ready,
            critical: is_critical(&spec.template.spec.priority_class_name),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RawClaim {
    metadata: Meta,
    #[serde(default)]
    spec: ClaimSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSpec {
    volume_name: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RawVolume {
    metadata: Meta,
    #[serde(default)]
    spec: VolumeSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VolumeSpec {
    node_affinity: VolumeAffinity,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct VolumeAffinity {
    required: Terms,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terms {
    node_selector_terms: Vec<Term>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term {
    match_expressions: Vec<Requirement>,
}

impl RawVolume {
    /// The one zone that it can be attached in; none: it is not tied to one.
    fn zone(&self) -> Option<Zone> {
        let expressions =
            self.spec.node_affinity.required.node_selector_terms.iter().flat_map(|term| {
                term.match_expressions
                    .iter()
                    .filter(|one| one.operator == "In" && ZONE_KEYS.contains(&one.key.as_str()))
            });
        let mut zones: BTreeSet<&String> = expressions.flat_map(|one| &one.values).collect();
        if zones.is_empty() {
            // Volumes of the former in-tree plugins say it by label.
            let labels = &self.metadata.labels;
            zones.extend(ZONE_KEYS.iter().filter_map(|key| labels.get(*key)));
        }
        match zones.len() {
            1 => zones.first()?.parse().ok(),
            _ => None,
        }
    }
}

/// A volume that is attached to a node, or on its way there or away.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RawAttachment {
    spec: AttachmentSpec,
    #[serde(default)]
    status: AttachmentStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AttachmentSpec {
    node_name: String,
    #[serde(default)]
    source: AttachmentSource,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AttachmentSource {
    persistent_volume_name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct AttachmentStatus {
    attached: bool,
}

impl RawAttachment {
    /// The node and the volume that is attached to it.
    pub(crate) fn attached(self) -> Option<(String, String)> {
        let volume = self.spec.source.persistent_volume_name.filter(|_| self.status.attached)?;
        Some((self.spec.node_name, volume))
    }
}

/// Where the volumes of claims live.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volumes {
    zones: BTreeMap<String, Zone>,
    claims: BTreeMap<(String, String), String>,
}

impl Volumes {
    pub(crate) fn add_volume(&mut self, volume: &RawVolume) {
        if let Some(zone) = volume.zone() {
            self.zones.insert(volume.metadata.name.clone(), zone);
        }
    }

    pub(crate) fn add_claim(&mut self, claim: RawClaim) {
        let Meta { namespace, name, .. } = claim.metadata;
        self.claims.insert((namespace, name), claim.spec.volume_name);
    }

    /// The volumes that a pod uses.
    pub(crate) fn of<'a>(&'a self, pod: &'a RawPod) -> impl Iterator<Item = &'a String> {
        let claims = pod.spec.volumes.iter().filter_map(|v| v.persistent_volume_claim.as_ref());
        let namespace = &pod.metadata.namespace;
        claims.filter_map(move |claim| {
            self.claims.get(&(namespace.clone(), claim.claim_name.clone()))
        })
    }

    fn zonal(&self, namespace: &str, claim: &str) -> Option<ZonalVolume> {
        let volume = self.claims.get(&(namespace.to_owned(), claim.to_owned()))?;
        let zone = self.zones.get(volume)?.clone();
        Some(ZonalVolume { claim: claim.to_owned(), zone })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(value: Value) -> RawPod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_pod_of_a_replica_set_is_the_deployments() {
        let owner = |kind: &str, name: &str, labels: Value| {
            pod(json!({"metadata": {
                "namespace": "shop", "name": "x", "labels": labels,
                "ownerReferences": [{"kind": kind, "name": name, "controller": true}],
            }}))
            .owner()
        };
        let workload = |text: &str| PodOwner::Workload(text.parse().unwrap());
        assert_eq!(
            owner("ReplicaSet", "cart-5d9", json!({"pod-template-hash": "5d9"})),
            workload("Deployment/shop/cart")
        );
        assert_eq!(owner("ReplicaSet", "cart", json!({})), workload("ReplicaSet/shop/cart"));
        assert_eq!(owner("Node", "ip-1", json!({})), PodOwner::Mirror);
        assert_eq!(pod(json!({"metadata": {"name": "x"}})).owner(), PodOwner::Nobody);
    }

    #[test]
    fn pods_that_complete_and_pods_that_ask_to_stay() {
        let state = |annotations: Value, spec: Value| {
            let pod =
                pod(json!({"metadata": {"name": "x", "annotations": annotations}, "spec": spec}));
            let state = pod.state(&[], &Volumes::default());
            (state.runs_to_completion(), state.do_not_evict)
        };
        let spec = |policy: &str| json!({"containers": [], "restartPolicy": policy});
        let asks = |key: &str, value: &str| state(json!({key: value}), spec("Always")).1;
        assert_eq!(state(json!({}), spec("Always")), (false, None));
        assert_eq!(state(json!({}), json!({"containers": []})), (false, None));
        assert_eq!(state(json!({}), spec("Never")), (true, None));
        assert_eq!(state(json!({}), spec("OnFailure")), (true, None));
        let safe = "cluster-autoscaler.kubernetes.io/safe-to-evict";
        assert_eq!(asks(safe, "false"), Some(DoNotEvict::ClusterAutoscaler));
        assert_eq!(asks(safe, "true"), None);
        assert_eq!(asks("karpenter.sh/do-not-disrupt", "true"), Some(DoNotEvict::Karpenter));
        assert_eq!(asks("karpenter.sh/do-not-disrupt", "2h"), Some(DoNotEvict::Karpenter));
        assert_eq!(asks("karpenter.sh/do-not-disrupt", "false"), None);
    }

    #[test]
    fn a_selector_selects_as_the_api_does() {
        let selects = |selector: Value, labels: Value| {
            let selector: Selector = serde_json::from_value(selector).unwrap();
            selector.selects(&serde_json::from_value(labels).unwrap())
        };
        assert!(selects(json!({}), json!({"app": "cart"})));
        assert!(!selects(json!({"matchLabels": {"app": "cart"}}), json!({})));
        let one = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "app", "operator": operator, "values": values}]});
        assert!(selects(one("In", json!(["cart"])), json!({"app": "cart"})));
        assert!(!selects(one("NotIn", json!(["cart"])), json!({"app": "cart"})));
        assert!(selects(one("NotIn", json!(["cart"])), json!({})));
        assert!(selects(one("Exists", json!([])), json!({"app": ""})));
        assert!(selects(one("DoesNotExist", json!([])), json!({})));
    }

    #[test]
    fn a_budget_without_a_selector_selects_nothing() {
        let budget = |spec: Value| -> Budget {
            let raw = json!({"metadata": {"namespace": "shop", "name": "b"}, "spec": spec});
            serde_json::from_value::<RawBudget>(raw).unwrap().into()
        };
        let labels = BTreeMap::new();
        assert!(!budget(json!({})).selects("shop", &labels));
        assert!(budget(json!({"selector": {}})).selects("shop", &labels));
        assert!(!budget(json!({"selector": {}})).selects("other", &labels));
    }

    #[test]
    fn a_budget_says_when_pods_that_are_not_ready_may_go() {
        let policy = |spec: Value| {
            let raw = json!({"metadata": {"namespace": "shop", "name": "b"}, "spec": spec});
            let budget: Budget = serde_json::from_value::<RawBudget>(raw).unwrap().into();
            budget.state.unhealthy_pod_eviction_policy
        };
        let field = |value: &str| json!({"unhealthyPodEvictionPolicy": value});
        assert_eq!(policy(json!({})), UnhealthyPodEvictionPolicy::IfHealthyBudget);
        assert_eq!(policy(field("IfHealthyBudget")), UnhealthyPodEvictionPolicy::IfHealthyBudget);
        assert_eq!(policy(field("AlwaysAllow")), UnhealthyPodEvictionPolicy::AlwaysAllow);
        assert_eq!(policy(field("Later")), UnhealthyPodEvictionPolicy::IfHealthyBudget);
    }

    #[test]
    fn a_volume_of_one_zone_ties_its_pod_to_it() {
        let mut volumes = Volumes::default();
        let affinity = |key: &str| {
            json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": key, "operator": "In", "values": ["eu-west-1a"]},
            ]}]}})
        };
        let volume = |name: &str, key: &str| -> RawVolume {
            let spec = json!({"nodeAffinity": affinity(key)});
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
        };
        volumes.add_volume(&volume("pv-1", "topology.ebs.csi.aws.com/zone"));
        volumes.add_volume(&volume("pv-2", "kubernetes.io/hostname"));
        for (claim, bound) in [("data-0", "pv-1"), ("data-1", "pv-2")] {
            let raw = json!({
                "metadata": {"namespace": "shop", "name": claim},
                "spec": {"volumeName": bound},
            });
            volumes.add_claim(serde_json::from_value(raw).unwrap());
        }
        let seen = pod(json!({
            "metadata": {"namespace": "shop", "name": "db-0"},
            "spec": {"volumes": [
                {"name": "tmp", "emptyDir": {}},
                {"name": "data", "persistentVolumeClaim": {"claimName": "data-0"}},
            ]},
        }))
        .state(&[], &volumes);
        let zone = seen.volume.map(|volume| (volume.claim, volume.zone.to_string()));
        assert_eq!(zone, Some(("data-0".to_owned(), "eu-west-1a".to_owned())));
        assert_eq!(volumes.zonal("shop", "data-1"), None);
    }
}
