//! How a cluster of the world begins, from what its file declares.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Addon, AddonName, Cluster, EtcdLayout, GroupName, ImageId, ImagePattern, KubeVersion,
    Lifecycle, PoolName, SimulatedStart, TargetHealth, Timestamp, UnhealthyPodEvictionPolicy,
    WorkloadRef, Zone,
};

use crate::budgets::Budget;
use crate::cluster::{ClusterWorld, EtcdMember, Group, Image, Tokens, Who};
use crate::dice::{Dice, hash};
use crate::faults::Faults;
use crate::groups::SOON;
use crate::judge::Judge;
use crate::pods::Workload;
use crate::queue::Queue;

/// How many instances a group of a pool has that the file does not give a size.
const POOL_SIZE: u32 = 3;
/// How many pods a node takes at least and at most, unless more have to find a place.
const PODS_PER_NODE: (u32, u32) = (8, 12);
/// How old the images are when the world begins, in seconds: a week.
const IMAGE_AGE: i64 = 7 * 24 * 3600;

impl ClusterWorld {
    /// The cluster as its file says that it begins.
    pub(crate) fn begin(
        (cluster, start): (&Cluster, &SimulatedStart),
        available: &[KubeVersion],
        addons: &BTreeMap<AddonName, Addon>,
        now: Timestamp,
        seed: u64,
        faults: Faults,
    ) -> Self {
        let salt = hash(cluster.name.as_str().as_bytes());
        let mut world = Self {
            name: cluster.name.clone(),
            uid: format!(
                "{:08x}-{:04x}-4000-8000-{:012x}",
                salt >> 32,
                salt & 0xffff,
                seed & 0xffff_ffff_ffff
            ),
            now,
            queue: Queue::default(),
            dice: Dice::new(seed ^ salt),
            faults,
            meddled: 0,
            zones: start.zones.clone(),
            local_api: cluster.control_plane.local_api,
            etcd: Vec::new(),
            groups: BTreeMap::new(),
            instances: BTreeMap::new(),
            instances_made: 0,
            nodes: BTreeMap::new(),
            pods_per_node: PODS_PER_NODE.0,
            pods: BTreeMap::new(),
            pods_made: 0,
            pending: BTreeSet::new(),
            schedule_at: None,
            workloads: BTreeMap::new(),
            volumes: BTreeMap::new(),
            budgets: BTreeMap::new(),
            objects: BTreeMap::new(),
            addons: BTreeMap::new(),
            crds: BTreeMap::new(),
            images: BTreeMap::new(),
            lease: None,
            tokens: Tokens::default(),
            waiting_for_api: Vec::new(),
            judge: Judge::new(start.kubernetes.minor()),
            past: Vec::new(),
        };
        world.add_images(cluster, start, available);
        world.add_groups(cluster, start, &start.kubernetes);
        world.start_machines();
        if cluster.control_plane.etcd == EtcdLayout::Volumes {
            world.start_etcd();
        }
        world.start_workloads(start, addons);
        world
    }

    /// Adds what the file has gained since: groups, which launch their first instances now, and
    /// images. Returns whether there was anything to add.
    pub(crate) fn extend(
        &mut self,
        cluster: &Cluster,
        start: &SimulatedStart,
        available: &[KubeVersion],
    ) -> bool {
        let images = self.images.len();
        self.add_images(cluster, start, available);
        let live = self.instances.values().filter(|instance| instance.control_plane);
        let oldest = live.map(|instance| instance.version.clone()).min();
        let version = oldest.unwrap_or_else(|| start.kubernetes.clone());
        let groups = self.add_groups(cluster, start, &version);
        for group in &groups {
            self.request_tick(group, SOON);
        }
        !groups.is_empty() || images != self.images.len()
    }

    fn add_images(&mut self, cluster: &Cluster, start: &SimulatedStart, available: &[KubeVersion]) {
        let patterns: BTreeSet<&ImagePattern> = std::iter::once(&cluster.control_plane.image)
            .chain(cluster.pools.iter().map(|pool| &pool.image))
            .collect();
        let versions: BTreeSet<&KubeVersion> =
            available.iter().chain(std::iter::once(&start.kubernetes)).collect();
        let created = Timestamp::from_second(self.now.as_second() - IMAGE_AGE).unwrap_or(self.now);
        for pattern in patterns {
            for version in &versions {
                if self.image_of(pattern, version).is_none() {
                    self.add_image(pattern, version, created);
                }
            }
        }
    }

    /// The newest image of a version.
    pub(crate) fn image_of(
        &self,
        pattern: &ImagePattern,
        version: &KubeVersion,
    ) -> Option<&ImageId> {
        let of = |image: &Image| {
            image.pattern == pattern.name
                && image.owner == pattern.owner
                && image.architecture == pattern.architecture
                && image.version.same_release(version)
        };
        let found = self.images.iter().filter(|(_, image)| of(image));
        found.max_by_key(|(id, image)| (image.created, *id)).map(|(id, _)| id)
    }

    /// Adds an image; its name is the pattern with the version and the day that it was made.
    pub(crate) fn add_image(
        &mut self,
        pattern: &ImagePattern,
        version: &KubeVersion,
        created: Timestamp,
    ) -> Option<ImageId> {
        let text = created.to_string();
        let day: String = text.chars().take(10).filter(char::is_ascii_digit).collect();
        let mut stamp = day.clone();
        let mut more = 1;
        let name =
            |stamp: &str| pattern.name.replace("{version}", &version.plain()).replace('*', stamp);
        while self
            .images
            .values()
            .any(|image| image.name == name(&stamp) && image.architecture == pattern.architecture)
            && pattern.name.contains('*')
        {
            more += 1;
            stamp = format!("{day}-{more}");
        }
        let identity = format!(
            "{}|{}|{}|{version}|{stamp}",
            pattern.name, pattern.owner, pattern.architecture
        );
        let id: ImageId = format!("ami-{:016x}", hash(identity.as_bytes())).parse().ok()?;
        let image = Image {
            name: name(&stamp),
            pattern: pattern.name.clone(),
            owner: pattern.owner.clone(),
            architecture: pattern.architecture.clone(),
            version: version.clone(),
            created,
        };
        self.images.insert(id.clone(), image);
        Some(id)
    }

    /// Adds the groups that are not there yet, without any instance.
    fn add_groups(
        &mut self,
        cluster: &Cluster,
        start: &SimulatedStart,
        version: &KubeVersion,
    ) -> Vec<GroupName> {
        let control_plane = &cluster.control_plane;
        let mut declared: Vec<(GroupName, Option<PoolName>, &ImagePattern, Vec<Zone>)> = Vec::new();
        // Several groups have a zone each, as kops has it; a single group spans them all.
        let zones = |index: usize, groups: &[GroupName]| {
            if groups.len() > 1 && !start.zones.is_empty() {
                vec![start.zones[index % start.zones.len()].clone()]
            } else {
                start.zones.clone()
            }
        };
        for (index, group) in control_plane.groups.iter().enumerate() {
            let zones = zones(index, &control_plane.groups);
            declared.push((group.clone(), None, &control_plane.image, zones));
        }
        for pool in &cluster.pools {
            for (index, group) in pool.groups.iter().enumerate() {
                let zones = zones(index, &pool.groups);
                declared.push((group.clone(), Some(pool.name.clone()), &pool.image, zones));
            }
        }
        let mut added = Vec::new();
        for (name, pool, pattern, zones) in declared {
            let Some(image) = self.image_of(pattern, version).cloned() else { continue };
            if self.groups.contains_key(&name) {
                continue;
            }
            let default = if pool.is_some() { POOL_SIZE } else { 1 };
            let size = start.group_sizes.get(&name).copied().unwrap_or(default);
            let (min, max) = match pool {
                // A control plane has a fixed number of instances.
                None => (size, size),
                Some(_) => (size.min(1), size + size.max(3)),
            };
            let target_groups =
                if pool.is_none() { vec![format!("api-{}", cluster.name)] } else { Vec::new() };
            let group = Group {
                pool,
                min,
                max,
                desired: size,
                usual: size,
                scaled_down: 0,
                zones,
                template: 1,
                template_by: Who::Start,
                templates: BTreeMap::from([(1, image)]),
                suspended: BTreeSet::new(),
                usual_suspended: BTreeSet::new(),
                target_groups: target_groups.into_iter().collect(),
                tags: BTreeMap::new(),
                instances: BTreeSet::new(),
                tick_at: None,
                unbalanced_since: None,
                rebalancing: false,
                stuck_until: None,
                touched: false,
            };
            self.groups.insert(name.clone(), group);
            added.push(name);
        }
        added
    }

    /// Every group has its instances, and they have been up for long.
    fn start_machines(&mut self) {
        let sizes: Vec<(GroupName, u32, Vec<Zone>)> = self
            .groups
            .iter()
            .map(|(name, group)| (name.clone(), group.desired, group.zones.clone()))
            .collect();
        for (name, size, zones) in sizes {
            for zone in zones.iter().cycle().take(size as usize) {
                let Some(id) = self.add_instance(&name, zone.clone()) else { continue };
                let attached =
                    self.groups.get(&name).is_some_and(|group| !group.target_groups.is_empty());
                if let Some(instance) = self.instances.get_mut(&id) {
                    instance.lifecycle = Lifecycle::InService;
                    instance.booted = true;
                    instance.api_up = instance.control_plane;
                    instance.target = attached.then_some(TargetHealth::Healthy);
                    instance.down_since = None;
                    instance.judged = false;
                    self.judge.control_plane_size += usize::from(instance.control_plane);
                }
                if let Some(node) = self.add_node(&id).and_then(|node| self.nodes.get_mut(&node)) {
                    node.registered_at = None;
                    node.ready = true;
                    node.unready_since = None;
                }
            }
        }
    }

    fn start_etcd(&mut self) {
        for (id, instance) in &mut self.instances {
            if instance.control_plane {
                instance.etcd_ready = true;
                let zone = instance.zone.clone();
                self.etcd.push(EtcdMember { zone, on: Some(id.clone()) });
            }
        }
    }

    fn start_workloads(&mut self, start: &SimulatedStart, addons: &BTreeMap<AddonName, Addon>) {
        let agent = WorkloadRef::new("DaemonSet", "kube-system", "node-agent");
        let plain = |of: &WorkloadRef, replicas: u32| Workload {
            replicas,
            labels: BTreeMap::from([("app".to_owned(), of.name.clone())]),
            critical: of.namespace == "kube-system",
            revision: hash(of.to_string().as_bytes()),
            image: format!("registry.example/{}:v1.0.0", of.name),
            ..Workload::default()
        };
        self.workloads.insert(agent.clone(), plain(&agent, 0));
        for declared in &start.workloads {
            let of = &declared.workload;
            let workload = Workload {
                zonal_volumes: declared.zonal_volumes && of.kind == "StatefulSet",
                completes_after: declared.completes_after,
                ..plain(of, declared.replicas)
            };
            if let Some(budget) = declared.budget {
                let budget = Budget {
                    namespace: of.namespace.clone(),
                    name: of.name.clone(),
                    rule: budget.into(),
                    unhealthy: UnhealthyPodEvictionPolicy::default(),
                    selector: workload.labels.clone(),
                    selects: Vec::new(),
                };
                self.budgets.insert(format!("{}/{}", of.namespace, of.name), budget);
            }
            self.workloads.insert(of.clone(), workload);
        }
        self.match_budgets();
        for (name, version) in &start.addons {
            if let Some(addon) = addons.get(name) {
                self.install_at_start(addon, version);
            }
        }
        for (name, version) in &start.foreign_addons {
            if let Some(addon) = addons.get(name) {
                self.install_foreign(addon, version);
            }
        }
        self.size_nodes();
        let all: Vec<WorkloadRef> = self.workloads.keys().cloned().collect();
        for of in all {
            self.reconcile(&of);
        }
        self.settle();
    }

    /// Nodes take so many pods that what is there at the beginning finds a place, and a little.
    fn size_nodes(&mut self) {
        let pods: u32 = self
            .workloads
            .iter()
            .filter(|(of, _)| of.kind != "DaemonSet")
            .map(|(_, workload)| workload.replicas)
            .sum();
        let workers = self.nodes.values().filter(|node| !node.control_plane).count();
        let workers = u32::try_from(workers).unwrap_or(u32::MAX).max(1);
        let drawn = self.dice.seconds(crate::dice::Concern::Boot, PODS_PER_NODE);
        self.pods_per_node = drawn.max(pods.div_ceil(workers) + 2);
        for node in self.nodes.values_mut() {
            node.capacity = self.pods_per_node;
        }
    }
}
