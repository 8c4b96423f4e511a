//! A small fleet, what was seen of it, and short ways to change both.
//!
//! The state is a look at a simulated cluster, so that it is one that can exist; a test then
//! changes what it is about.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionId, ActionKind, Addon, AddonName, AddonRelease, AddonTarget, AddonVersion,
    Channel, Cluster, ClusterName, ClusterState, ClusterStatus, Code, ControlPlane, Detection,
    Digest, EtcdLayout, Finding, Fleet, ImageId, ImagePattern, ImagePolicy, IntOrPercent, Known,
    KubeProxy, KubeVersion, Location, Manifest, ManifestSet, Milestone, Minor, NodeName, NodePool,
    ObjectRef, Observation, Period, Placement, Plan, Provider, Release, SimulatedStart,
    SimulatedWorkload, Snapshot, Target, UpdateStrategy, VersionRange, WaveSpec, WorkloadBudget,
    WorkloadRef,
};
use refit_planner::{Options, plan};
use refit_provider::{Look, Scope};
use refit_simulator::World;
use refit_verifier::verify;
use serde_json::json;

/// Parses what a test wrote down.
pub(crate) fn n<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn minor(minor: u16) -> Minor {
    Minor::new(1, minor)
}

pub(crate) fn at(file: &str) -> Location {
    Location { file: file.into(), line: 3 }
}

/// A fleet of clusters, each `(name, what runs, what should run)`, in one channel and one wave.
/// Of every minor there are the patches 2 and 5.
pub(crate) fn fleet(clusters: &[(&str, &str, &str)]) -> Fleet {
    let channel = Channel {
        name: n("stable"),
        release: n("2026.11.0"),
        waves: vec![WaveSpec::Percent(100)],
        max_parallel_clusters: None,
        max_failed_clusters: 0,
    };
    let release = Release {
        name: n("2026.11.0"),
        kubernetes: n("1.33.5"),
        addon_sets: BTreeMap::new(),
        at: at("releases/2026.11.0.toml"),
    };
    Fleet {
        name: n("acme"),
        digest: Digest::of_bytes(b"files"),
        state_path: ".refit".to_owned(),
        available: (24..=36)
            .flat_map(|minor| [2, 5].map(|patch| KubeVersion::new(1, minor, patch)))
            .collect(),
        channels: vec![channel],
        releases: BTreeMap::from([(n("2026.11.0"), release)]),
        addons: BTreeMap::new(),
        end_of_life: BTreeMap::new(),
        clusters: clusters
            .iter()
            .map(|(name, start, goal)| (n(name), cluster(name, start, goal)))
            .collect(),
    }
}

fn cluster(name: &str, start: &str, goal: &str) -> Cluster {
    let sizes = [("control-plane", 3), ("general-0", 3), ("batch-0", 2)];
    let budget = Some(WorkloadBudget::MaxUnavailable(IntOrPercent::Int(1)));
    let web = SimulatedWorkload {
        workload: WorkloadRef::new("Deployment", "apps", "web"),
        replicas: 3,
        budget,
        zonal_volumes: false,
        completes_after: Period::ZERO,
    };
    Cluster {
        name: n(name),
        channel: n("stable"),
        release: n("2026.11.0"),
        kubernetes: Target { value: n(goal), pinned: false, at: at("releases/2026.11.0.toml") },
        labels: BTreeMap::new(),
        max_parallel_pools: 1,
        capped: None,
        freeze: None,
        accepts: Vec::new(),
        addons: BTreeMap::new(),
        provider: Provider::Simulated(SimulatedStart {
            zones: ["eu-west-1a", "eu-west-1b", "eu-west-1c"].map(n).to_vec(),
            kubernetes: n(start),
            addons: BTreeMap::new(),
            foreign_addons: BTreeMap::new(),
            group_sizes: sizes
                .iter()
                .map(|(group, size)| (n(&format!("{name}-{group}")), *size))
                .collect(),
            workloads: vec![web],
        }),
        control_plane: ControlPlane {
            groups: vec![n(&format!("{name}-control-plane"))],
            image: pattern(),
            etcd: EtcdLayout::Volumes,
            local_api: true,
            drain_timeout: Period::minutes(10),
            node_ready_timeout: Period::minutes(15),
            unreachable_timeout: Period::minutes(10),
            wait_complete: Period::ZERO,
        },
        pools: vec![pool(name, "general"), pool(name, "batch")],
        at: at(&format!("clusters/{name}.toml")),
    }
}

fn pool(cluster: &str, name: &str) -> NodePool {
    NodePool {
        name: n(name),
        groups: vec![n(&format!("{cluster}-{name}-0"))],
        image: pattern(),
        update: UpdateStrategy::Roll,
        images: ImagePolicy::SameVersion,
        max_surge: IntOrPercent::Int(1),
        max_unavailable: IntOrPercent::Int(0),
        drain_timeout: Period::minutes(10),
        node_ready_timeout: Period::minutes(10),
        unreachable_timeout: Period::minutes(10),
        wait_complete: Period::ZERO,
        node_interval: Period::seconds(30),
    }
}

pub(crate) fn pattern() -> ImagePattern {
    ImagePattern {
        name: "acme-k8s-{version}-*".to_owned(),
        owner: "self".to_owned(),
        architecture: "x86_64".to_owned(),
    }
}

/// Adds an add-on to the fleet: `(version, range of apiservers)`, such as `>=1.29, <=1.31`.
pub(crate) fn knows<'f>(
    fleet: &'f mut Fleet,
    name: &str,
    versions: &[(&str, &str)],
) -> &'f mut Addon {
    let versions = versions
        .iter()
        .map(|(version, kubernetes)| {
            let release = AddonRelease {
                kubernetes: n(kubernetes),
                kubelets: None,
                requires: BTreeMap::new(),
                conflicts: BTreeMap::new(),
                upgrade_from: None,
                manifests: manifests(name, version),
                known: Known::default(),
            };
            (n(version), release)
        })
        .collect();
    let addon = Addon {
        name: n(name),
        placement: Placement::default(),
        detect: Some(Detection {
            workload: WorkloadRef::new("Deployment", "kube-system", name),
            container: name.to_owned(),
        }),
        prune: BTreeSet::new(),
        may_be_unsupported_during_hop: false,
        one_minor_at_a_time: false,
        versions,
        suggestions: Vec::new(),
        facts: refit_model::AddonFacts::default(),
    };
    fleet.addons.insert(n(name), addon);
    fleet.addons.get_mut(&n(name)).unwrap()
}

/// The version of an add-on, to change what it says.
pub(crate) fn release<'f>(fleet: &'f mut Fleet, name: &str, version: &str) -> &'f mut AddonRelease {
    fleet.addons.get_mut(&n(name)).unwrap().versions.get_mut(&n(version)).unwrap()
}

pub(crate) fn requires(fleet: &mut Fleet, name: &str, version: &str, other: &str, range: &str) {
    let range: VersionRange<AddonVersion> = n(range);
    release(fleet, name, version).requires.insert(n(other), range);
}

fn manifests(name: &str, version: &str) -> ManifestSet {
    let labels = json!({ "app": name });
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "namespace": "kube-system" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [
                    { "name": name, "image": format!("registry.example/{name}:v{version}") },
                ] },
            },
        },
    });
    let config = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": format!("{name}-{version}"), "namespace": "kube-system" },
    });
    ManifestSet::new(
        [deployment, config]
            .into_iter()
            .map(|value| Manifest {
                object: object(
                    value["apiVersion"].as_str().unwrap(),
                    value["kind"].as_str().unwrap(),
                    Some("kube-system"),
                    value["metadata"]["name"].as_str().unwrap(),
                ),
                value,
                file: format!("{name}.yaml"),
            })
            .collect(),
    )
}

pub(crate) fn object(
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> ObjectRef {
    ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    }
}

/// What the cluster `ant` begins with.
pub(crate) fn start(fleet: &mut Fleet) -> &mut SimulatedStart {
    let Provider::Simulated(start) = &mut ant(fleet).provider else { panic!("it is simulated") };
    start
}

pub(crate) fn ant(fleet: &mut Fleet) -> &mut Cluster {
    fleet.clusters.get_mut(&n("ant")).unwrap()
}

/// Lets the cluster `ant` want an add-on.
pub(crate) fn wants(fleet: &mut Fleet, name: &str, version: &str) {
    let version = Target { value: n(version), pinned: false, at: at("releases/2026.11.0.toml") };
    ant(fleet).addons.insert(n(name), AddonTarget { version, set: "base".to_owned() });
}

/// Lets the cluster `ant` begin with an add-on that refit has installed.
pub(crate) fn has(fleet: &mut Fleet, name: &str, version: &str) {
    start(fleet).addons.insert(n(name), n(version));
}

/// What a provider would have seen.
pub(crate) fn observe(fleet: &Fleet, world: &mut World) -> Snapshot {
    let clusters = fleet
        .clusters
        .values()
        .map(|cluster| {
            let look = Look { cluster, addons: &fleet.addons, scope: &Scope::Everything };
            let seen = match world.look(look) {
                Ok(state) => Observation::Fresh(Box::new(state)),
                Err(error) => Observation::Unreachable { reason: error.to_string() },
            };
            (cluster.name.clone(), seen)
        })
        .collect();
    Snapshot {
        format_version: Snapshot::FORMAT.to_owned(),
        fleet: fleet.name.clone(),
        taken_at: world.now(),
        clusters,
    }
}

/// A fleet, and what was seen of it.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) fleet: Fleet,
    pub(crate) snapshot: Snapshot,
    pub(crate) options: Options,
}

impl Bench {
    /// Looks at a fleet that begins as its files say.
    pub(crate) fn of(fleet: Fleet) -> Self {
        let mut world = World::new(n("2026-11-02T09:00:00Z"), 1);
        world.add_fleet(&fleet);
        let snapshot = observe(&fleet, &mut world);
        Self { fleet, snapshot, options: Options::default() }
    }

    /// One cluster, `ant`.
    pub(crate) fn ant(start: &str, goal: &str) -> Self {
        Self::of(fleet(&[("ant", start, goal)]))
    }

    /// What was seen of `ant`.
    pub(crate) fn state(&mut self) -> &mut ClusterState {
        self.state_of("ant")
    }

    pub(crate) fn state_of(&mut self, cluster: &str) -> &mut ClusterState {
        match self.snapshot.clusters.get_mut(&n::<ClusterName>(cluster)) {
            Some(Observation::Fresh(state)) => state,
            _ => panic!("{cluster} was not seen"),
        }
    }

    /// The newest image of a version.
    pub(crate) fn image(&mut self, version: &str) -> ImageId {
        let version: KubeVersion = n(version);
        let images = &self.state().images;
        let found = images.iter().find(|image| pattern().matches(&version, &image.name));
        found.unwrap_or_else(|| panic!("no image of {version}")).id.clone()
    }

    /// The nodes of a pool of `ant`.
    pub(crate) fn nodes(&mut self, pool: &str) -> Vec<NodeName> {
        let group = n(&format!("ant-{pool}-0"));
        let state = self.state();
        let instances = state.groups[&group].instances.iter();
        instances.map(|instance| state.node_of(&instance.id).unwrap().0.clone()).collect()
    }

    /// Lets the nodes of a pool run these versions, in turn; its group launches the last one.
    pub(crate) fn pool_runs(&mut self, pool: &str, versions: &[&str]) {
        let images: Vec<ImageId> = versions.iter().map(|version| self.image(version)).collect();
        let nodes = self.nodes(pool);
        let state = self.state();
        let group = state.groups.get_mut(&n(&format!("ant-{pool}-0"))).unwrap();
        group.template_version += 1;
        group.template_images.insert(group.template_version, images.last().unwrap().clone());
        for (at, name) in nodes.iter().enumerate() {
            let version: KubeVersion = n(versions[at % versions.len()]);
            group.instances[at].image = images[at % images.len()].clone();
            let node = state.nodes.get_mut(name).unwrap();
            node.kubelet = version.clone();
            node.kube_proxy = KubeProxy::StaticPod(version);
        }
    }

    /// Lets the instances of the control plane run these versions, in turn.
    pub(crate) fn control_plane_runs(&mut self, versions: &[&str]) {
        let images: Vec<ImageId> = versions.iter().map(|version| self.image(version)).collect();
        let state = self.state();
        for (at, member) in state.control_plane.iter_mut().enumerate() {
            let version: KubeVersion = n(versions[at % versions.len()]);
            member.api_server = Some(version.clone());
            member.controller_manager = Some(version.clone());
            member.scheduler = Some(version.clone());
            for instance in state.groups.values_mut().flat_map(|group| &mut group.instances) {
                if instance.id == member.instance {
                    instance.image = images[at % images.len()].clone();
                }
            }
            let nodes = state.nodes.values_mut();
            for node in nodes.filter(|node| node.instance.as_ref() == Some(&member.instance)) {
                node.kubelet = version.clone();
                node.kube_proxy = KubeProxy::StaticPod(version.clone());
            }
        }
    }

    /// The plan, which the verifier has nothing to say about.
    pub(crate) fn plan(&self) -> Plan {
        let plan = plan(&self.fleet, &self.snapshot, &self.options);
        assert_eq!(verify(&self.fleet, &self.snapshot, &plan), [], "{:#?}", steps(&plan));
        plan
    }

    /// What the plan does, in order; it must not be blocked.
    pub(crate) fn steps(&self) -> Vec<String> {
        let plan = self.plan();
        assert!(!plan.is_blocked(), "{:#?}", plan.findings);
        steps(&plan)
    }
}

/// The plan's actions in an order that its edges allow: of those that may begin, the first by
/// its text.
pub(crate) fn ordered(plan: &Plan) -> Vec<&Action> {
    let mut done: BTreeSet<&ActionId> = BTreeSet::new();
    let mut rest: Vec<&Action> = plan.actions.iter().map(Box::as_ref).collect();
    let text = |action: &Action| (action.cluster.clone(), action.kind.to_string());
    rest.sort_by_key(|action| text(action));
    let mut found = Vec::new();
    while !rest.is_empty() {
        let may_begin = |action: &&Action| {
            let mut before = plan.edges.iter().filter(|edge| edge.to == action.id);
            before.all(|edge| done.contains(&edge.from))
        };
        let next = rest.iter().position(may_begin).expect("a plan has no circle");
        let action = rest.remove(next);
        done.insert(&action.id);
        found.push(action);
    }
    found
}

pub(crate) fn steps(plan: &Plan) -> Vec<String> {
    ordered(plan).iter().map(|action| action.kind.to_string()).collect()
}

/// The edges of a plan as text: from, to and why, in order.
pub(crate) fn edges(plan: &Plan) -> Vec<String> {
    let order = ordered(plan);
    let at = |id: &ActionId| order.iter().position(|action| action.id == *id).unwrap();
    let mut edges: Vec<(usize, usize, String)> = plan
        .edges
        .iter()
        .map(|edge| (at(&edge.from), at(&edge.to), edge.because.to_string()))
        .collect();
    edges.sort();
    edges
        .into_iter()
        .map(|(from, to, why)| format!("{} => {}: {why}", order[from].kind, order[to].kind))
        .collect()
}

/// The only finding with this code.
pub(crate) fn finding(plan: &Plan, code: Code) -> &Finding {
    let found: Vec<&Finding> = plan.findings.iter().filter(|f| f.code == code).collect();
    assert_eq!(found.len(), 1, "{code} in {:#?}", plan.findings);
    found[0]
}

pub(crate) fn codes(plan: &Plan) -> BTreeSet<Code> {
    plan.findings.iter().map(|finding| finding.code).collect()
}

pub(crate) fn status(plan: &Plan, cluster: &str) -> ClusterStatus {
    plan.cluster(&n(cluster)).unwrap().status
}

/// The first action that `what` fits.
pub(crate) fn action(plan: &Plan, what: impl Fn(&ActionKind) -> bool) -> &Action {
    ordered(plan).into_iter().find(|action| what(&action.kind)).expect("there is such an action")
}

pub(crate) fn of_addon(name: &str) -> impl Fn(&ActionKind) -> bool {
    let name: AddonName = n(name);
    move |kind| kind.addon() == Some(&name)
}

pub(crate) fn milestone(addon: &str) -> Milestone {
    Milestone::Addon(n(addon))
}
