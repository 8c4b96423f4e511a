//! A small cluster to try things on: three zones, one pool, one workload.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use refit_model::{
    Addon, AddonName, AddonOp, AddonRelease, AddonVersion, Cluster, ClusterState, ControlPlane,
    Detection, EtcdLayout, GroupName, GroupOp, ImagePattern, ImagePolicy, InstanceId,
    InstanceState, IntOrPercent, Known, KubeVersion, Lifecycle, Location, Manifest, ManifestSet,
    Minor, NodeName, NodeOp, NodePool, NodeState, ObjectRef, Op, Period, Placement, PodKey,
    PodOwner, PodState, Provider, SimulatedStart, SimulatedWorkload, Target, Token, VersionRange,
    WorkloadBudget, WorkloadRef,
};
use refit_provider::{Look, ProviderError, Scope};
use serde_json::json;

use crate::{Edit, World};

pub(super) const START: &str = "2026-11-02T09:00:00Z";

pub(super) fn version(minor: u16) -> KubeVersion {
    KubeVersion::new(1, minor, 2)
}

pub(super) fn web() -> WorkloadRef {
    WorkloadRef::new("Deployment", "apps", "web")
}

pub(super) fn pool_group() -> GroupName {
    "general".parse().unwrap()
}

pub(super) fn cp_group() -> GroupName {
    "control-plane".parse().unwrap()
}

pub(super) fn pattern() -> ImagePattern {
    ImagePattern {
        name: "acme-{version}-*".into(),
        owner: "self".into(),
        architecture: "x86_64".into(),
    }
}

pub(super) fn workload(
    of: WorkloadRef,
    replicas: u32,
    budget: Option<WorkloadBudget>,
) -> SimulatedWorkload {
    let zonal_volumes = of.kind == "StatefulSet";
    let completes_after = Period::minutes(if of.kind == "Job" { 20 } else { 0 });
    SimulatedWorkload { workload: of, replicas, budget, zonal_volumes, completes_after }
}

/// What a bench begins with.
pub(super) struct Spec {
    pub(super) zones: usize,
    pub(super) control_plane: u32,
    pub(super) nodes: u32,
    pub(super) etcd: EtcdLayout,
    pub(super) workloads: Vec<SimulatedWorkload>,
    pub(super) installed: bool,
    pub(super) foreign: bool,
    pub(super) seed: u64,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            zones: 3,
            control_plane: 3,
            nodes: 3,
            etcd: EtcdLayout::Volumes,
            workloads: vec![workload(
                web(),
                3,
                Some(WorkloadBudget::MaxUnavailable(IntOrPercent::Int(1))),
            )],
            installed: true,
            foreign: false,
            seed: 1,
        }
    }
}

pub(super) struct Bench {
    pub(super) world: World,
    pub(super) cluster: Cluster,
    pub(super) addons: BTreeMap<AddonName, Addon>,
    tokens: u32,
}

fn object(api_version: &str, kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: api_version.into(),
        kind: kind.into(),
        namespace: Some("kube-system".into()),
        name: name.into(),
    }
}

pub(super) fn dns_deployment() -> ObjectRef {
    object("apps/v1", "Deployment", "dns")
}

pub(super) fn dns_config(version: &str) -> ObjectRef {
    object("v1", "ConfigMap", &format!("dns-{version}"))
}

fn manifests(version: &str) -> ManifestSet {
    let labels = json!({ "app": "dns" });
    let container = json!({ "name": "dns", "image": format!("registry.example/dns:v{version}") });
    let template =
        json!({ "metadata": { "labels": labels }, "spec": { "containers": [container] } });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "dns", "namespace": "kube-system" },
        "spec": { "replicas": 2, "selector": { "matchLabels": labels }, "template": template },
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "dns", "namespace": "kube-system" },
        "stringData": { "key": "hunter2" },
    });
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": format!("dns-{version}"), "namespace": "kube-system" },
        "data": { "zone": "cluster.local" },
    });
    let manifest = |object: ObjectRef, value| Manifest { object, value, file: "dns.yaml".into() };
    ManifestSet::new(vec![
        manifest(dns_deployment(), deployment),
        manifest(object("v1", "Secret", "dns"), secret),
        manifest(dns_config(version), config),
    ])
}

pub(super) fn dns() -> AddonName {
    "dns".parse().unwrap()
}

pub(super) fn addon_version(text: &str) -> AddonVersion {
    text.parse().unwrap()
}

fn dns_addon() -> Addon {
    let release = |text: &str, low: u16, high: u16| {
        let release = AddonRelease {
            kubernetes: VersionRange::between(Minor::new(1, low), Minor::new(1, high)),
            kubelets: None,
            requires: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            upgrade_from: None,
            manifests: manifests(text),
            known: Known::default(),
        };
        (addon_version(text), release)
    };
    Addon {
        name: dns(),
        placement: Placement::default(),
        detect: Some(Detection {
            workload: WorkloadRef::new("Deployment", "kube-system", "dns"),
            container: "dns".into(),
        }),
        prune: BTreeSet::new(),
        may_be_unsupported_during_hop: false,
        one_minor_at_a_time: false,
        suggestions: Vec::new(),
        facts: refit_model::AddonFacts::default(),
        versions: BTreeMap::from([
            release("1.0.0", 30, 32),
            release("1.1.0", 31, 34),
            release("1.2.0", 33, 34),
        ]),
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::of(Spec::default())
    }

    pub(super) fn of(spec: Spec) -> Self {
        let at = Location { file: "clusters/ant.toml".into(), line: 1 };
        let zones = ["eu-west-1a", "eu-west-1b", "eu-west-1c"];
        let dns_start = BTreeMap::from([(dns(), addon_version("1.0.0"))]);
        let none = BTreeMap::new();
        let start = SimulatedStart {
            zones: zones.iter().take(spec.zones).map(|zone| zone.parse().unwrap()).collect(),
            kubernetes: version(31),
            addons: if spec.installed && !spec.foreign { dns_start.clone() } else { none.clone() },
            foreign_addons: if spec.foreign { dns_start } else { none },
            group_sizes: BTreeMap::from([
                (cp_group(), spec.control_plane),
                (pool_group(), spec.nodes),
            ]),
            workloads: spec.workloads,
        };
        let cluster = Cluster {
            name: "ant".parse().unwrap(),
            channel: "dev".parse().unwrap(),
            release: "1".parse().unwrap(),
            labels: BTreeMap::new(),
            max_parallel_pools: 1,
            capped: None,
            freeze: None,
            accepts: Vec::new(),
            kubernetes: Target { value: version(33), pinned: false, at: at.clone() },
            addons: BTreeMap::new(),
            provider: Provider::Simulated(start),
            control_plane: ControlPlane {
                groups: vec![cp_group()],
                image: pattern(),
                etcd: spec.etcd,
                local_api: true,
                drain_timeout: Period::minutes(10),
                node_ready_timeout: Period::minutes(10),
                unreachable_timeout: Period::minutes(10),
                wait_complete: Period::ZERO,
            },
            pools: vec![NodePool {
                name: "general".parse().unwrap(),
                groups: vec![pool_group()],
                image: pattern(),
                update: refit_model::UpdateStrategy::Roll,
                images: ImagePolicy::SameVersion,
                max_surge: IntOrPercent::Int(1),
                max_unavailable: IntOrPercent::Int(0),
                drain_timeout: Period::minutes(10),
                node_ready_timeout: Period::minutes(10),
                unreachable_timeout: Period::minutes(10),
                wait_complete: Period::ZERO,
                node_interval: Period::ZERO,
            }],
            at,
        };
        let addons = BTreeMap::from([(dns(), dns_addon())]);
        let mut world = World::new(START.parse().unwrap(), spec.seed);
        world.add_cluster(&cluster, &(31..=34).map(version).collect::<Vec<_>>(), &addons);
        Self { world, cluster, addons, tokens: 0 }
    }

    /// The world takes in what the cluster's file says now.
    pub(super) fn declare(&mut self) {
        let available: Vec<_> = (31..=34).map(version).collect();
        self.world.add_cluster(&self.cluster, &available, &self.addons);
    }

    pub(super) fn look_at(&mut self, scope: &Scope) -> Result<ClusterState, ProviderError> {
        self.world.look(Look { cluster: &self.cluster, addons: &self.addons, scope })
    }

    pub(super) fn look(&mut self) -> ClusterState {
        self.look_at(&Scope::Everything).unwrap()
    }

    pub(super) fn send(&mut self, op: &Op) -> Result<(), ProviderError> {
        self.tokens += 1;
        self.send_as(op, &format!("token-{}", self.tokens))
    }

    pub(super) fn send_as(&mut self, op: &Op, token: &str) -> Result<(), ProviderError> {
        self.world.submit(&self.cluster, &self.addons, op, &Token(token.into()))
    }

    pub(super) fn group(&mut self, op: GroupOp) -> Result<(), ProviderError> {
        self.send(&Op::Group { group: pool_group(), op })
    }

    pub(super) fn cp(&mut self, op: GroupOp) -> Result<(), ProviderError> {
        self.send(&Op::Group { group: cp_group(), op })
    }

    pub(super) fn node(&mut self, node: &NodeName, op: NodeOp) -> Result<(), ProviderError> {
        self.send(&Op::Node { node: node.clone(), op })
    }

    pub(super) fn cordon(&mut self, node: &NodeName) {
        self.node(node, NodeOp::Cordon { run: "run-1".parse().unwrap() }).unwrap();
    }

    pub(super) fn evict(&mut self, pod: &PodState) -> Result<(), ProviderError> {
        let node = pod.node.clone().unwrap();
        self.node(&node, NodeOp::Evict { pod: key(pod) })
    }

    pub(super) fn addon(&mut self, op: AddonOp) -> Result<(), ProviderError> {
        self.send(&Op::Addon { addon: dns(), op })
    }

    pub(super) fn apply(&mut self, text: &str) -> Result<(), ProviderError> {
        let version = addon_version(text);
        let digest = *self.addons[&dns()].versions[&version].manifests.digest();
        self.addon(AddonOp::Apply { version, digest })
    }

    pub(super) fn prune(&mut self, text: &str, objects: &[ObjectRef]) -> Result<(), ProviderError> {
        let version = addon_version(text);
        let digest = *self.addons[&dns()].versions[&version].manifests.digest();
        let objects = objects.iter().cloned().collect();
        self.addon(AddonOp::Prune { version, digest, objects })
    }

    pub(super) fn edit(&mut self, edit: Edit) {
        let name = self.cluster.name.clone();
        self.world.edit(&name, edit).unwrap();
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        let now = self.world.now().checked_add(Duration::from_secs(seconds)).unwrap();
        self.world.advance_to(now);
    }

    /// Lets time pass until something holds, ten minutes at most.
    pub(super) fn until(&mut self, what: &str, holds: impl Fn(&ClusterState) -> bool) -> u64 {
        for waited in 0..600 {
            if self.look_at(&Scope::Everything).is_ok_and(|state| holds(&state)) {
                return waited;
            }
            self.pass(1);
        }
        panic!("{what}: not within ten minutes: {:#?}", self.look_at(&Scope::Everything));
    }

    /// Lets a group launch this minor.
    pub(super) fn launch_minor(&mut self, group: &GroupName, minor: u16) {
        let state = self.look();
        let image = state
            .images
            .iter()
            .find(|image| pattern().matches(&version(minor), &image.name))
            .unwrap()
            .id
            .clone();
        let group = group.clone();
        let op = GroupOp::CreateTemplateVersion { image };
        self.send(&Op::Group { group: group.clone(), op }).unwrap();
        let state = self.look();
        let version = *state.groups[&group].template_images.keys().last().unwrap();
        self.send(&Op::Group { group, op: GroupOp::SetTemplateVersion { version } }).unwrap();
    }

    pub(super) fn rules(&self) -> BTreeSet<crate::Rule> {
        self.world.violations().iter().map(|violation| violation.rule).collect()
    }
}

pub(super) fn key(pod: &PodState) -> PodKey {
    PodKey { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() }
}

pub(super) fn instances<'a>(
    state: &'a ClusterState,
    group: &GroupName,
) -> impl Iterator<Item = &'a InstanceState> + use<'a> {
    state.groups[group].instances.iter()
}

pub(super) fn in_service(state: &ClusterState, group: &GroupName) -> usize {
    instances(state, group).filter(|found| found.lifecycle == Lifecycle::InService).count()
}

pub(super) fn workers(state: &ClusterState) -> Vec<(NodeName, NodeState)> {
    let workers = state.nodes.iter().filter(|(_, node)| !node.control_plane);
    workers.map(|(name, node)| (name.clone(), node.clone())).collect()
}

pub(super) fn ready_workers(state: &ClusterState) -> usize {
    workers(state).iter().filter(|(_, node)| node.ready).count()
}

pub(super) fn pods_of(state: &ClusterState, of: &WorkloadRef) -> Vec<PodState> {
    let owned = state.pods.iter().filter(|pod| pod.owner == PodOwner::Workload(of.clone()));
    owned.cloned().collect()
}

pub(super) fn first_instance(state: &ClusterState, group: &GroupName) -> InstanceId {
    state.groups[group].instances[0].id.clone()
}
