//! Small random fleets, from a seed.
//!
//! They are made to be awkward rather than usual: budgets that never allow an eviction, add-ons
//! that no version of supports the way, volumes that live in one zone, a control plane with a
//! single instance. A fleet that nothing can be planned for is a result too.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use refit_model::{
    Addon, AddonName, AddonRelease, AddonTarget, AddonVersion, Channel, ChannelName, Cluster,
    ClusterName, ControlPlane, Detection, Digest, EtcdLayout, Fleet, GroupName, ImagePattern,
    ImagePolicy, IntOrPercent, Known, KubeVersion, Location, Manifest, ManifestSet, Milestone,
    Minor, NodePool, ObjectRef, Period, Placement, Provider, Release, ReleaseName, SimulatedStart,
    SimulatedWorkload, Target, Timestamp, VersionRange, WaveSpec, WorkloadBudget, WorkloadRef,
    Zone,
};
use serde_json::{Value, json};

use crate::dice::mix;
use crate::world::World;

/// When generated worlds begin: a Monday morning.
const START_SECOND: i64 = 1_793_610_000;
/// The set that every generated cluster takes its add-ons from.
const SET: &str = "base";

/// A small random fleet, and the world that it begins with.
pub fn random_fleet(seed: u64) -> (Fleet, World) {
    let mut fleet = Generator::new(seed).fleet(seed);
    // Dice of their own: a seed keeps the fleet that it had before there were parallel pools.
    let mut dice = Rng::with_seed(mix(seed ^ 0x0070_0015));
    for cluster in fleet.clusters.values_mut() {
        cluster.max_parallel_pools = [1, 1, 2, 3][dice.usize(0..4)];
    }
    let start = Timestamp::from_second(START_SECOND).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut world = World::new(start, seed);
    world.add_fleet(&fleet);
    (fleet, world)
}

fn named<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("every name that is written in this file is valid")
}

struct Generator {
    rng: Rng,
    /// For the versions of CustomResourceDefinitions, so that the seeds that came before these
    /// keep their stories.
    versions: Rng,
    /// For Jobs and how long drains wait for them.
    jobs: Rng,
    /// The minor that the fleet is to run.
    goal: u16,
}

impl Generator {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(mix(seed ^ 0x0f1e_e700));
        let goal = rng.u16(32..=36);
        let versions = Rng::with_seed(mix(seed ^ 0x0057_04ed));
        let jobs = Rng::with_seed(mix(seed ^ 0x0009_06b5));
        Self { rng, versions, jobs, goal }
    }

    fn one_in(&mut self, many: u32) -> bool {
        self.rng.u32(0..many) == 0
    }

    fn line(&mut self, file: &str) -> Location {
        Location { file: file.into(), line: self.rng.u32(1..60) }
    }

    fn fleet(mut self, seed: u64) -> Fleet {
        let available = self.available();
        let addons = self.addons();
        let release: ReleaseName = named("2026.11.0");
        let wanted = available
            .iter()
            .filter(|version| version.minor() == Minor::new(1, self.goal))
            .max()
            .cloned()
            .unwrap_or_else(|| KubeVersion::new(1, self.goal, 0));
        let set: BTreeMap<AddonName, AddonVersion> = addons
            .values()
            .filter_map(|addon| Some((addon.name.clone(), addon.versions.keys().last()?.clone())))
            .collect();
        let released = Release {
            name: release.clone(),
            kubernetes: wanted.clone(),
            addon_sets: BTreeMap::from([(SET.to_owned(), set.clone())]),
            at: self.line("releases/2026.11.0.toml"),
        };
        let channels = self.channels(&release);
        let count = self.rng.usize(1..=3);
        let clusters: Vec<Cluster> = (0..count)
            .map(|index| {
                let channel = channels[index % channels.len()].name.clone();
                self.cluster(index, channel, &released, &available, &addons)
            })
            .collect();
        Fleet {
            name: named("acme"),
            digest: Digest::of_bytes(&seed.to_le_bytes()),
            state_path: ".refit".to_owned(),
            available,
            channels,
            releases: BTreeMap::from([(release, released)]),
            addons,
            end_of_life: BTreeMap::new(),
            clusters: clusters.into_iter().map(|cluster| (cluster.name.clone(), cluster)).collect(),
        }
    }

    fn available(&mut self) -> Vec<KubeVersion> {
        let mut available = Vec::new();
        for minor in self.goal - 3..=self.goal {
            let patch = self.rng.u16(0..10);
            available.push(KubeVersion::new(1, minor, patch));
            if self.rng.bool() {
                available.push(KubeVersion::new(1, minor, patch + self.rng.u16(1..4)));
            }
        }
        available
    }

    fn channels(&mut self, release: &ReleaseName) -> Vec<Channel> {
        let names: &[&str] = if self.rng.bool() { &["stable"] } else { &["dev", "stable"] };
        let mut channels = Vec::new();
        for name in names {
            let waves = match self.rng.u8(0..3) {
                0 => vec![WaveSpec::Percent(100)],
                1 => vec![WaveSpec::Percent(self.rng.u8(1..=60)), WaveSpec::Percent(100)],
                _ => {
                    let first = BTreeSet::from([cluster_name(self.rng.usize(0..3))]);
                    vec![WaveSpec::Clusters(first), WaveSpec::Percent(100)]
                }
            };
            let name: ChannelName = named(name);
            channels.push(Channel {
                name,
                release: release.clone(),
                waves,
                max_parallel_clusters: self.rng.bool().then(|| self.rng.u32(1..=2)),
                max_failed_clusters: self.rng.u32(0..=1),
            });
        }
        channels
    }

    fn cluster(
        &mut self,
        index: usize,
        channel: ChannelName,
        release: &Release,
        available: &[KubeVersion],
        addons: &BTreeMap<AddonName, Addon>,
    ) -> Cluster {
        let name = cluster_name(index);
        let file = format!("clusters/{name}.toml");
        let behind = self.rng.u16(1..=3);
        let start_minor = Minor::new(1, self.goal - behind);
        let candidates: Vec<&KubeVersion> =
            available.iter().filter(|version| version.minor() == start_minor).collect();
        let start = self.rng.choice(candidates).cloned();
        let start = start.unwrap_or_else(|| KubeVersion::new(1, start_minor.minor, 0));
        let zones: Vec<Zone> = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
            .iter()
            .take(self.rng.usize(1..=3))
            .map(|zone| named(zone))
            .collect();
        let mut group_sizes: BTreeMap<GroupName, u32> = BTreeMap::new();
        let control_plane = self.control_plane(&name, &zones, &mut group_sizes);
        let pools: Vec<NodePool> = (0..self.rng.usize(1..=3))
            .map(|pool| self.pool(&name, pool, &mut group_sizes))
            .collect();
        let nodes: u32 = pools.iter().flat_map(|pool| &pool.groups).map(|g| group_sizes[g]).sum();
        let (installed, foreign) = self.installed(addons, start.minor());
        let workloads = self.workloads(nodes);
        let wanted = release.addon_sets.get(SET).into_iter().flatten();
        let targets = wanted
            .map(|(addon, version)| {
                let value = version.clone();
                let version = Target { value, pinned: false, at: release.at.clone() };
                (addon.clone(), AddonTarget { version, set: SET.to_owned() })
            })
            .collect();
        Cluster {
            name,
            channel,
            release: release.name.clone(),
            labels: BTreeMap::new(),
            max_parallel_pools: 1,
            capped: None,
            freeze: None,
            accepts: Vec::new(),
            kubernetes: Target {
                value: release.kubernetes.clone(),
                pinned: false,
                at: release.at.clone(),
            },
            addons: targets,
            provider: Provider::Simulated(SimulatedStart {
                zones,
                kubernetes: start,
                addons: installed,
                foreign_addons: foreign,
                group_sizes,
                workloads,
            }),
            control_plane,
            pools,
            at: self.line(&file),
        }
    }

    fn control_plane(
        &mut self,
        cluster: &ClusterName,
        zones: &[Zone],
        sizes: &mut BTreeMap<GroupName, u32>,
    ) -> ControlPlane {
        let three = self.rng.bool();
        // Three instances are a group per zone, as kops has it, or one group over all zones.
        let groups: Vec<GroupName> = if three && zones.len() == 3 && self.rng.bool() {
            zones.iter().map(|zone| named(&format!("{cluster}-control-plane-{zone}"))).collect()
        } else {
            let group: GroupName = named(&format!("{cluster}-control-plane"));
            sizes.insert(group.clone(), if three { 3 } else { 1 });
            vec![group]
        };
        ControlPlane {
            groups,
            image: image_pattern(),
            etcd: if self.one_in(4) { EtcdLayout::External } else { EtcdLayout::Volumes },
            local_api: !(self.one_in(12)),
            drain_timeout: Period::minutes(10),
            node_ready_timeout: Period::minutes(15),
            unreachable_timeout: Period::minutes(10),
            wait_complete: Period::ZERO,
        }
    }

    fn pool(
        &mut self,
        cluster: &ClusterName,
        index: usize,
        sizes: &mut BTreeMap<GroupName, u32>,
    ) -> NodePool {
        let name = ["general", "batch", "edge"][index % 3];
        let groups: Vec<GroupName> = (0..if self.one_in(4) { 2 } else { 1 })
            .map(|number| named(&format!("{cluster}-{name}-{number}")))
            .collect();
        for group in &groups {
            sizes.insert(group.clone(), self.rng.u32(1..=if groups.len() == 1 { 6 } else { 3 }));
        }
        let quantity = |rng: &mut Rng, most: u32| match rng.u8(0..3) {
            0 => IntOrPercent::Percent(rng.u8(1..=60)),
            _ => IntOrPercent::Int(rng.u32(0..=most)),
        };
        let mut max_surge = quantity(&mut self.rng, 2);
        let max_unavailable = quantity(&mut self.rng, 1);
        // Both zero is an error in the files, and so is a share that rounds to nothing.
        if max_surge.is_zero() {
            max_surge =
                IntOrPercent::Int(u32::from(!matches!(max_unavailable, IntOrPercent::Int(1..))));
        }
        NodePool {
            name: named(name),
            groups,
            image: image_pattern(),
            update: refit_model::UpdateStrategy::Roll,
            images: if self.one_in(5) { ImagePolicy::Newest } else { ImagePolicy::SameVersion },
            max_surge,
            max_unavailable,
            drain_timeout: Period::minutes(self.rng.u32(5..=15)),
            node_ready_timeout: Period::minutes(self.rng.u32(8..=15)),
            node_interval: Period::seconds(self.rng.u32(0..=60)),
            unreachable_timeout: Period::minutes(6),
            wait_complete: Period::minutes([0, 0, 5, 20][self.jobs.usize(0..4)]),
        }
    }

    fn workloads(&mut self, nodes: u32) -> Vec<SimulatedWorkload> {
        let names = ["web", "api", "queue", "store", "jobs"];
        let count = self.rng.usize(0..=names.len());
        let mut workloads = Vec::new();
        for name in names.iter().take(count) {
            let stateful = self.one_in(3);
            let kind = if stateful { "StatefulSet" } else { "Deployment" };
            let replicas = self.rng.u32(1..=5.min(nodes.max(1) * 3));
            let budget = match self.rng.u8(0..10) {
                0..=2 => None,
                3 | 4 => Some(WorkloadBudget::MaxUnavailable(IntOrPercent::Int(1))),
                5 => Some(WorkloadBudget::MaxUnavailable(IntOrPercent::Percent(
                    self.rng.u8(10..=50),
                ))),
                6 => {
                    Some(WorkloadBudget::MinAvailable(IntOrPercent::Percent(self.rng.u8(10..=80))))
                }
                7 | 8 => Some(WorkloadBudget::MinAvailable(IntOrPercent::Int(
                    replicas.saturating_sub(1),
                ))),
                // Never allows an eviction.
                _ if self.one_in(4) => {
                    Some(WorkloadBudget::MinAvailable(IntOrPercent::Int(replicas)))
                }
                _ => None,
            };
            workloads.push(SimulatedWorkload {
                workload: WorkloadRef::new(kind, "apps", name),
                replicas,
                budget,
                zonal_volumes: stateful && self.rng.bool(),
                completes_after: Period::ZERO,
            });
        }
        if self.jobs.u8(0..4) == 0 {
            workloads.push(SimulatedWorkload {
                workload: WorkloadRef::new("Job", "apps", "report"),
                replicas: self.jobs.u32(1..=3),
                budget: None,
                zonal_volumes: false,
                completes_after: Period::minutes(self.jobs.u32(1..=40)),
            });
        }
        workloads
    }

    /// What a cluster runs of the fleet's add-ons: the newest version that supports its minor,
    /// mostly.
    fn installed(
        &mut self,
        addons: &BTreeMap<AddonName, Addon>,
        minor: Minor,
    ) -> (BTreeMap<AddonName, AddonVersion>, BTreeMap<AddonName, AddonVersion>) {
        let (mut installed, mut foreign) = (BTreeMap::new(), BTreeMap::new());
        for addon in addons.values() {
            let fitting =
                addon.versions.iter().filter(|(_, release)| release.kubernetes.contains(&minor));
            let fitting: Vec<&AddonVersion> = fitting.map(|(version, _)| version).collect();
            match (self.rng.u8(0..10), self.rng.choice(fitting)) {
                (0..=6, Some(version)) => {
                    installed.insert(addon.name.clone(), version.clone());
                }
                (7, Some(version)) if addon.detect.is_some() => {
                    foreign.insert(addon.name.clone(), version.clone());
                }
                _ => {}
            }
        }
        (installed, foreign)
    }

    fn addons(&mut self) -> BTreeMap<AddonName, Addon> {
        let names = ["cert-issuer", "dns", "metrics", "proxy"];
        let count = self.rng.usize(0..=names.len());
        let mut addons: BTreeMap<AddonName, Addon> = BTreeMap::new();
        for name in names.iter().take(count) {
            let earlier: Vec<&Addon> = addons.values().collect();
            let addon = self.addon(name, &earlier);
            addons.insert(addon.name.clone(), addon);
        }
        addons
    }

    fn addon(&mut self, name: &str, earlier: &[&Addon]) -> Addon {
        let first = self.goal - 3;
        let kind = if self.one_in(4) { "DaemonSet" } else { "Deployment" };
        let replicas = self.rng.u32(1..=3);
        let with_budget = kind == "Deployment" && self.one_in(3);
        let with_secret = self.one_in(4);
        let with_crd = self.one_in(4);
        let count = self.rng.u16(1..=4);
        let storage = Storage::draw(&mut self.versions, count);
        let mut versions = BTreeMap::new();
        let mut low = first.saturating_sub(self.rng.u16(0..2));
        for step in 0..count {
            let version = AddonVersion::new(1, u64::from(step), u64::from(self.rng.u16(0..3)));
            // Mostly wide enough that the next version overlaps; sometimes a gap that no plan
            // can cross.
            let high = if step + 1 == count && !self.one_in(6) {
                self.goal + 1
            } else {
                low + self.rng.u16(1..=3)
            };
            let kubernetes = VersionRange::between(Minor::new(1, low), Minor::new(1, high));
            let kubelets = self.one_in(8).then(|| {
                VersionRange::between(Minor::new(1, low.saturating_sub(3)), Minor::new(1, high))
            });
            let requires = earlier
                .last()
                .filter(|_| self.rng.u8(0..4) == 0)
                .and_then(|needed| {
                    let lowest = needed.versions.keys().next()?.clone();
                    Some((needed.name.clone(), VersionRange::at_least(lowest)))
                })
                .into_iter()
                .collect();
            let shape = Shape {
                name,
                kind,
                replicas,
                with_budget,
                with_secret,
                crd: ((with_crd && step > 0) || storage.moves).then(|| storage.versions(step)),
                with_extra: self.rng.bool(),
            };
            let manifests = shape.manifests(&version);
            let known = Known::default();
            let release = AddonRelease {
                kubernetes,
                kubelets,
                requires,
                conflicts: BTreeMap::new(),
                upgrade_from: None,
                manifests,
                known,
            };
            versions.insert(version, release);
            low = high.saturating_sub(self.rng.u16(0..=1)).max(low);
            if self.one_in(8) {
                low += 1;
            }
        }
        let mut placement = Placement::default();
        match self.rng.u8(0..8) {
            0 => placement.before = BTreeSet::from([Milestone::ControlPlane]),
            1 => placement.after = BTreeSet::from([Milestone::ControlPlane]),
            2 => placement.after = BTreeSet::from([Milestone::Nodes]),
            _ => {}
        }
        let detect = self.rng.bool().then(|| Detection {
            workload: WorkloadRef::new(kind, "kube-system", name),
            container: name.to_owned(),
        });
        let prune = if self.rng.bool() {
            BTreeSet::from(["CustomResourceDefinition".to_owned()])
        } else {
            BTreeSet::new()
        };
        Addon {
            name: named(name),
            placement,
            detect,
            prune,
            may_be_unsupported_during_hop: false,
            one_minor_at_a_time: false,
            versions,
            suggestions: Vec::new(),
            facts: refit_model::AddonFacts::default(),
        }
    }
}

fn cluster_name(index: usize) -> ClusterName {
    named(["ant", "bee", "cat"][index % 3])
}

fn image_pattern() -> ImagePattern {
    ImagePattern {
        name: "acme-k8s-{version}-*".to_owned(),
        owner: "self".to_owned(),
        architecture: "x86_64".to_owned(),
    }
}

/// What the objects of an add-on look like.
struct Shape<'a> {
    name: &'a str,
    kind: &'a str,
    replicas: u32,
    with_budget: bool,
    with_secret: bool,
    /// The versions of its CustomResourceDefinition; none: it has none.
    crd: Option<Value>,
    with_extra: bool,
}

/// When an add-on's definition goes from one version to the next: the step from which the new one
/// is listed, is stored, and is the only one.
struct Storage {
    /// Whether it does.
    moves: bool,
    listed: u16,
    stored: u16,
    alone: u16,
}

impl Storage {
    fn draw(rng: &mut Rng, count: u16) -> Self {
        let moves = rng.u8(0..3) == 0;
        if !moves {
            return Self { moves, listed: 0, stored: 0, alone: 0 };
        }
        // Now and then there is no way.
        if rng.u8(0..8) == 0 {
            let stored = rng.u16(0..=count);
            return Self { moves, listed: stored, stored, alone: stored };
        }
        let stored = rng.u16(0..count);
        let alone = rng.u16(stored + 1..=count);
        Self { moves, listed: rng.u16(0..=stored), stored, alone }
    }

    fn versions(&self, step: u16) -> Value {
        let (new, old) = (step >= self.listed, step < self.alone);
        let is_new = step >= self.stored;
        let listed = [("v1", new, is_new), ("v1beta1", old, !is_new)];
        let listed = listed.into_iter().filter(|(_, listed, _)| *listed);
        listed
            .map(|(name, _, storage)| json!({ "name": name, "served": true, "storage": storage }))
            .collect()
    }
}

impl Shape<'_> {
    fn manifests(&self, version: &AddonVersion) -> ManifestSet {
        let name = self.name;
        let labels = json!({ "app": name });
        let mut spec = json!({
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "containers": [{
                        "name": name,
                        "image": format!("registry.example/{name}:v{version}"),
                    }],
                },
            },
        });
        if self.kind == "Deployment" {
            spec["replicas"] = json!(self.replicas);
        }
        let config = json!({ "data": { "version": version.to_string() } });
        let mut objects = vec![
            manifest("apps/v1", self.kind, Some("kube-system"), name, &json!({ "spec": spec })),
            manifest("v1", "ConfigMap", Some("kube-system"), name, &config),
            manifest("v1", "ServiceAccount", Some("kube-system"), name, &json!({})),
        ];
        if self.with_extra {
            let extra = format!("{name}-extra");
            objects.push(manifest("v1", "ConfigMap", Some("kube-system"), &extra, &config));
        }
        if self.with_secret {
            let secret = json!({ "stringData": { "token": "not a secret" } });
            objects.push(manifest("v1", "Secret", Some("kube-system"), name, &secret));
        }
        if self.with_budget {
            let spec = json!({ "maxUnavailable": 1, "selector": { "matchLabels": labels } });
            let spec = json!({ "spec": spec });
            let namespace = Some("kube-system");
            objects.push(manifest("policy/v1", "PodDisruptionBudget", namespace, name, &spec));
        }
        if let Some(versions) = &self.crd {
            let crd = format!("{name}s.acme.example");
            let spec = json!({ "spec": {
                "group": "acme.example",
                "scope": "Namespaced",
                "names": { "plural": format!("{name}s") },
                "versions": versions,
            } });
            let api = "apiextensions.k8s.io/v1";
            objects.push(manifest(api, "CustomResourceDefinition", None, &crd, &spec));
        }
        ManifestSet::new(objects)
    }
}

fn manifest(
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
    rest: &Value,
) -> Manifest {
    let mut value = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": { "name": name },
    });
    if let Some(namespace) = namespace {
        value["metadata"]["namespace"] = json!(namespace);
    }
    for (key, field) in rest.as_object().into_iter().flatten() {
        value[key] = field.clone();
    }
    let object = ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    };
    Manifest { object, value, file: format!("{name}.yaml") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_makes_the_same_fleet() {
        for seed in 0..20 {
            let (fleet, world) = random_fleet(seed);
            let (again, same) = random_fleet(seed);
            assert_eq!(format!("{fleet:?}"), format!("{again:?}"));
            assert_eq!(world.to_bytes(), same.to_bytes());
        }
    }

    #[test]
    fn fleets_differ_and_are_small() {
        let fleets: Vec<Fleet> = (0..60).map(|seed| random_fleet(seed).0).collect();
        assert!(fleets.iter().any(|fleet| fleet.clusters.len() == 3));
        assert!(fleets.iter().any(|fleet| fleet.addons.len() == 4));
        assert!(fleets.iter().any(|fleet| fleet.addons.is_empty()));
        for fleet in &fleets {
            assert!((1..=3).contains(&fleet.clusters.len()));
            for cluster in fleet.clusters.values() {
                assert!((1..=3).contains(&cluster.pools.len()));
                for pool in &cluster.pools {
                    assert!(!(pool.max_surge.is_zero() && pool.max_unavailable.is_zero()));
                }
            }
        }
    }
}
