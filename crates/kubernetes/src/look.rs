//! Looking at a cluster: get and list only.

use std::collections::{BTreeMap, BTreeSet};

use futures::try_join;
use refit_model::{
    ClusterIdentity, ClusterState, ControlPlaneMember, EtcdLayout, InstanceId, KubeProxy,
    KubeVersion, Minor, NodeName, NodeOp, NodeState, ServedVersion, Timestamp, WorkloadState,
};
use refit_provider::{ErrorClass, Look, ProviderError, Scope};
use serde::Deserialize;

use crate::Kubernetes;
use crate::pods::{
    Budget, Condition, Meta, RawAttachment, RawBudget, RawClaim, RawPod, RawVolume, RawWorkload,
    Volumes, is_true,
};

/// Annotations of refit begin like this.
const PREFIX: &str = "refit.dev/";
/// Labels of the nodes of a control plane; the second is the former one.
const CONTROL_PLANE: [&str; 2] =
    ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];
const ZONE: &str = "topology.kubernetes.io/zone";

#[derive(Deserialize)]
struct RawNamespace {
    metadata: Meta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawVersion {
    git_version: String,
    #[serde(default)]
    emulation_major: String,
    #[serde(default)]
    emulation_minor: String,
    #[serde(default)]
    min_compatibility_major: String,
    #[serde(default)]
    min_compatibility_minor: String,
}

impl RawVersion {
    /// Servers before 1.33 say nothing of emulation; what they leave out is the default.
    fn served(&self) -> Result<ServedVersion, ProviderError> {
        let binary: KubeVersion = self.git_version.parse().map_err(|error| {
            let text = format!("the apiserver's version `{}`: {error}", self.git_version);
            ProviderError::new(ErrorClass::Permanent, text)
        })?;
        let minor = |major: &str, minor: &str| {
            Some(Minor::new(major.parse().ok()?, minor.trim_end_matches('+').parse().ok()?))
        };
        let emulated =
            minor(&self.emulation_major, &self.emulation_minor).unwrap_or(binary.minor());
        let min_compatible = minor(&self.min_compatibility_major, &self.min_compatibility_minor)
            .unwrap_or(emulated.previous());
        Ok(ServedVersion { binary, emulated, min_compatible })
    }
}

#[derive(Deserialize)]
struct RawNode {
    metadata: Meta,
    #[serde(default)]
    spec: NodeSpec,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeSpec {
    #[serde(rename = "providerID")]
    provider_id: String,
    unschedulable: bool,
    taints: Vec<Taint>,
}

#[derive(Deserialize)]
struct Taint {
    key: String,
    #[serde(default)]
    value: String,
    effect: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeStatus {
    conditions: Vec<Condition>,
    node_info: NodeInfo,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeInfo {
    kubelet_version: String,
    container_runtime_version: String,
}

impl RawNode {
    fn state(&self) -> Result<NodeState, ProviderError> {
        let Self { metadata, spec, status } = self;
        let kubelet = status.node_info.kubelet_version.parse().map_err(|error| {
            let text = format!("node {}: its kubelet's version: {error}", metadata.name);
            ProviderError::new(ErrorClass::Permanent, text)
        })?;
        let annotations = metadata.annotations.iter().filter(|(key, _)| {
            key.starts_with(PREFIX) || key.as_str() == NodeOp::SCALE_DOWN_DISABLED
        });
        Ok(NodeState {
            instance: instance(&spec.provider_id),
            zone: metadata.labels.get(ZONE).and_then(|zone| zone.parse().ok()),
            kubelet,
            kube_proxy: KubeProxy::None,
            ready: is_true(&status.conditions, "Ready"),
            unreachable_since: unreachable_since(&status.conditions),
            unschedulable: spec.unschedulable,
            control_plane: CONTROL_PLANE.iter().any(|label| metadata.labels.contains_key(*label)),
            taints: spec
                .taints
                .iter()
                .map(|taint| format!("{}={}:{}", taint.key, taint.value, taint.effect))
                .collect(),
            runtime: Some(status.node_info.container_runtime_version.clone())
                .filter(|runtime| !runtime.is_empty()),
            detaching: BTreeSet::new(),
            annotations: annotations.map(|(key, value)| (key.clone(), value.clone())).collect(),
        })
    }
}

/// Returns since when the kubelet has not answered. The node controller then sets the condition
/// Ready to Unknown
/// ([docs](https://kubernetes.io/docs/reference/node/node-status/#condition)).
fn unreachable_since(conditions: &[Condition]) -> Option<Timestamp> {
    let ready = conditions.iter().find(|condition| condition.r#type == "Ready")?;
    ready.since.filter(|_| ready.status == "Unknown")
}

/// The instance of a provider id such as `aws:///eu-west-1a/i-0123456789abcdef0`.
fn instance(provider_id: &str) -> Option<InstanceId> {
    let path = provider_id.strip_prefix("aws://")?;
    path.rsplit('/').next().filter(|id| id.starts_with("i-"))?.parse().ok()
}

/// The version in the tag of an image such as `registry.k8s.io/kube-proxy:v1.35.4@sha256:...`.
fn version_of(image: &str) -> Option<KubeVersion> {
    let named = image.split('@').next().unwrap_or(image);
    let (_, tag) = named.rsplit_once(':')?;
    // A registry's port is no tag. A tag writes `_` where a version has `+`.
    if tag.contains('/') { None } else { tag.replace('_', "+").parse().ok() }
}

/// What runs on a node besides its kubelet.
#[derive(Default)]
struct Components {
    api_server: Option<(KubeVersion, bool)>,
    controller_manager: Option<KubeVersion>,
    scheduler: Option<KubeVersion>,
    etcd_ready: Option<bool>,
    kube_proxy: Option<KubeProxy>,
}

impl Components {
    /// Notes what a pod is, by the name of its container: its own name and labels are whatever
    /// the installer chose.
    fn note(&mut self, pod: &RawPod, is_mirror: bool, is_daemon: bool) {
        for container in &pod.spec.containers {
            let version = || version_of(&container.image);
            match container.name.as_str() {
                "kube-proxy" if is_mirror => {
                    self.kube_proxy = version().map(KubeProxy::StaticPod);
                }
                "kube-proxy" if is_daemon => {
                    self.kube_proxy = version().map(KubeProxy::DaemonSet);
                }
                "kube-apiserver" if is_mirror => {
                    self.api_server = version().map(|version| (version, pod.is_ready()));
                }
                "kube-controller-manager" if is_mirror => self.controller_manager = version(),
                "kube-scheduler" if is_mirror => self.scheduler = version(),
                // kops runs one etcd-manager for the cluster's keys and one for its events.
                "etcd" | "etcd-manager" if is_mirror => {
                    let ready = self.etcd_ready.unwrap_or(true) && pod.is_ready();
                    self.etcd_ready = Some(ready);
                }
                _ => {}
            }
        }
    }
}

impl Kubernetes {
    pub(crate) async fn look_at(&self, look: Look<'_>) -> Result<ClusterState, ProviderError> {
        let (uid, lease) = try_join!(self.uid(), self.lease_state())?;
        let mut state = ClusterState {
            identity: ClusterIdentity { uid, account: None, region: None },
            serves: None,
            control_plane: Vec::new(),
            groups: BTreeMap::new(),
            nodes: BTreeMap::new(),
            pods: Vec::new(),
            workloads: Vec::new(),
            budgets: Vec::new(),
            images: Vec::new(),
            addons: BTreeMap::new(),
            lease,
        };
        match look.scope {
            Scope::Identity => {}
            Scope::ControlPlane | Scope::Pool(_) => self.look_at_nodes(look, &mut state).await?,
            Scope::Addon(name) => self.look_at_addons(look, Some(name), &mut state).await?,
            Scope::Objects { addon, crds } => {
                self.look_at_addons(look, Some(addon), &mut state).await?;
                self.look_at_objects(addon, crds, &mut state).await?;
            }
            Scope::Everything => {
                state.serves = Some(self.version().await?);
                self.look_at_nodes(look, &mut state).await?;
                self.look_at_addons(look, None, &mut state).await?;
            }
        }
        Ok(state)
    }

    /// What makes a cluster that cluster, whatever its context is called.
    async fn uid(&self) -> Result<String, ProviderError> {
        let what = "get the namespace kube-system";
        let found: RawNamespace = self.api.get(what, "/api/v1/namespaces/kube-system").await?;
        Ok(found.metadata.uid)
    }

    async fn look_at_nodes(
        &self,
        look: Look<'_>,
        state: &mut ClusterState,
    ) -> Result<(), ProviderError> {
        // What is attached is read before the pods: so a volume whose pod has just begun is in use.
        let (nodes, workloads, budgets, volumes, attached) = try_join!(
            self.nodes(),
            self.workloads(),
            self.budgets(),
            self.volumes(),
            self.attachments()
        )?;
        state.nodes = nodes;
        state.workloads = workloads;
        let mut components: BTreeMap<NodeName, Components> = BTreeMap::new();
        let mut in_use: BTreeSet<(String, String)> = BTreeSet::new();
        let pods = &mut state.pods;
        let each = |pod: RawPod| {
            if pod.is_over() {
                return;
            }
            let seen = pod.state(&budgets, &volumes);
            if let Some(node) = &pod.spec.node_name {
                in_use.extend(volumes.of(&pod).map(|volume| (node.clone(), volume.clone())));
            }
            if let Some(node) = seen.node.as_ref().filter(|_| seen.namespace == crate::NAMESPACE) {
                let is_mirror = seen.owner == refit_model::PodOwner::Mirror;
                let is_daemon = matches!(seen.owner, refit_model::PodOwner::DaemonSet(_));
                if is_mirror || is_daemon {
                    components.entry(node.clone()).or_default().note(&pod, is_mirror, is_daemon);
                }
            }
            pods.push(seen);
        };
        self.api.list("list pods", "/api/v1/pods", None, each).await?;
        state.budgets = budgets.into_iter().map(|budget| budget.state).collect();
        for (name, node) in &mut state.nodes {
            let on_it = components.remove(name).unwrap_or_default();
            if let (true, Some(instance)) = (node.control_plane, &node.instance) {
                state.control_plane.push(member(look, instance, &on_it));
            }
            node.kube_proxy = on_it.kube_proxy.unwrap_or(KubeProxy::None);
        }
        for (node, volume) in attached.difference(&in_use) {
            let name = node.parse::<NodeName>().ok();
            if let Some(node) = name.and_then(|name| state.nodes.get_mut(&name)) {
                node.detaching.insert(volume.clone());
            }
        }
        Ok(())
    }

    /// What the apiserver says that it is, and the nodes that there are: for whoever knows nothing
    /// of the cluster yet.
    ///
    /// # Errors
    /// When something cannot be read.
    pub async fn survey(
        &self,
    ) -> Result<(KubeVersion, BTreeMap<NodeName, NodeState>), ProviderError> {
        Ok((self.version().await?.binary, self.nodes().await?))
    }

    async fn version(&self) -> Result<ServedVersion, ProviderError> {
        let version: RawVersion = self.api.get("get /version", "/version").await?;
        version.served()
    }

    async fn nodes(&self) -> Result<BTreeMap<NodeName, NodeState>, ProviderError> {
        let mut raw: Vec<RawNode> = Vec::new();
        self.api.list("list nodes", "/api/v1/nodes", None, |node| raw.push(node)).await?;
        let mut nodes = BTreeMap::new();
        for node in raw {
            // A node that its kubelet has not spoken of yet is not there yet.
            if node.status.node_info.kubelet_version.is_empty() {
                continue;
            }
            let name = node.metadata.name.parse().map_err(|error| {
                ProviderError::new(ErrorClass::Permanent, format!("a node's name: {error}"))
            })?;
            nodes.insert(name, node.state()?);
        }
        Ok(nodes)
    }

    async fn workloads(&self) -> Result<Vec<WorkloadState>, ProviderError> {
        let mut workloads = Vec::new();
        for (kind, plural) in [
            ("DaemonSet", "daemonsets"),
            ("Deployment", "deployments"),
            ("StatefulSet", "statefulsets"),
        ] {
            let path = format!("/apis/apps/v1/{plural}");
            let each = |raw: RawWorkload| workloads.push(raw.state(kind));
            self.api.list(&format!("list {plural}"), &path, None, each).await?;
        }
        Ok(workloads)
    }

    async fn budgets(&self) -> Result<Vec<Budget>, ProviderError> {
        let mut budgets = Vec::new();
        let path = "/apis/policy/v1/poddisruptionbudgets";
        let each = |raw: RawBudget| budgets.push(Budget::from(raw));
        self.api.list("list PodDisruptionBudgets", path, None, each).await?;
        Ok(budgets)
    }

    /// Nodes, and the volumes that are attached to them.
    async fn attachments(&self) -> Result<BTreeSet<(String, String)>, ProviderError> {
        let mut attached = BTreeSet::new();
        let path = "/apis/storage.k8s.io/v1/volumeattachments";
        let each = |raw: RawAttachment| attached.extend(raw.attached());
        self.api.list("list VolumeAttachments", path, None, each).await?;
        Ok(attached)
    }

    async fn volumes(&self) -> Result<Volumes, ProviderError> {
        let mut volumes = Volumes::default();
        let path = "/api/v1/persistentvolumes";
        let each = |raw: RawVolume| volumes.add_volume(&raw);
        self.api.list("list PersistentVolumes", path, None, each).await?;
        let path = "/api/v1/persistentvolumeclaims";
        let each = |raw: RawClaim| volumes.add_claim(raw);
        self.api.list("list PersistentVolumeClaims", path, None, each).await?;
        Ok(volumes)
    }
}

fn member(look: Look<'_>, instance: &InstanceId, on_it: &Components) -> ControlPlaneMember {
    let api_server = on_it.api_server.as_ref();
    ControlPlaneMember {
        instance: instance.clone(),
        api_server: api_server.filter(|(_, ready)| *ready).map(|(version, _)| version.clone()),
        controller_manager: on_it.controller_manager.clone(),
        scheduler: on_it.scheduler.clone(),
        etcd_ready: match look.cluster.control_plane.etcd {
            EtcdLayout::Volumes => Some(on_it.etcd_ready.unwrap_or(false)),
            EtcdLayout::External => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_provider_id_names_an_instance() {
        let id = |text: &str| instance(text).map(|id| id.to_string());
        assert_eq!(id("aws:///eu-west-1a/i-0abc"), Some("i-0abc".to_owned()));
        assert_eq!(id("aws://123/eu-west-1a/i-0abc"), Some("i-0abc".to_owned()));
        assert_eq!(id("gce://project/zone/name"), None);
        assert_eq!(id("aws:///fargate/ip-10-0-0-1"), None);
        assert_eq!(id(""), None);
    }

    #[test]
    fn a_tag_is_a_version_and_a_port_is_none() {
        let version = |image: &str| version_of(image).map(|version| version.to_string());
        assert_eq!(version("registry.k8s.io/kube-proxy:v1.35.4"), Some("1.35.4".to_owned()));
        assert_eq!(version("r.example:5000/kube-proxy:v1.35.4@sha256:00"), Some("1.35.4".into()));
        assert_eq!(version("r.example:5000/kube-proxy"), None);
        assert_eq!(version("kube-proxy:latest"), None);
    }

    fn served(value: serde_json::Value) -> ServedVersion {
        serde_json::from_value::<RawVersion>(value).unwrap().served().unwrap()
    }

    #[test]
    fn a_version_is_a_triple_where_the_server_says_so() {
        let before = served(json!({"major": "1", "minor": "29+", "gitVersion": "v1.29.15-eks-1"}));
        assert_eq!(before, ServedVersion::plain("v1.29.15-eks-1".parse().unwrap()));
        assert_eq!(before.emulates(), None);
        let emulating = served(json!({
            "major": "1", "minor": "35", "gitVersion": "v1.35.4",
            "emulationMajor": "1", "emulationMinor": "34",
            "minCompatibilityMajor": "1", "minCompatibilityMinor": "33",
        }));
        assert_eq!(emulating.emulates(), Some(Minor::new(1, 34)));
        assert_eq!(emulating.min_compatible, Minor::new(1, 33));
    }
}
