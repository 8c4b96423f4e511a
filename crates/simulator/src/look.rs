//! Looks: what a provider would have read, exactly as much as the scope asks for.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Addon, AddonName, AddonState, Cluster, ClusterIdentity, ClusterState, ControlPlaneMember,
    FieldDrift, GroupName, GroupState, ImagePattern, ImageState, InstanceId, InstanceState,
    KubeProxy, NodeName, NodeState, PodOwner, PodState, RestartPolicy, ServedVersion,
    WorkloadState, ZonalVolume, redact,
};
use refit_provider::{ErrorClass, Look, ProviderError, Scope};

use crate::cluster::{ClusterWorld, Group, Node, Volume, object_key};
use crate::dice::hash;
use crate::faults::Part;
use crate::pods::Pod;

/// What runs as static pods on every instance of a control plane.
const STATIC_PODS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// The groups that the cluster's file names.
fn declared(look: Look<'_>) -> BTreeSet<&GroupName> {
    let Cluster { control_plane, pools, .. } = look.cluster;
    control_plane.groups.iter().chain(pools.iter().flat_map(|pool| &pool.groups)).collect()
}

/// The groups that the look's scope asks for; none: it asks for no machines.
fn groups_of(look: Look<'_>) -> Option<BTreeSet<&GroupName>> {
    match look.scope {
        Scope::Identity | Scope::Addon(_) | Scope::Objects { .. } => None,
        Scope::Everything => Some(declared(look)),
        Scope::ControlPlane => Some(look.cluster.control_plane.groups.iter().collect()),
        Scope::Pool(pool) => {
            let pool = look.cluster.pool(pool);
            Some(pool.into_iter().flat_map(|pool| &pool.groups).collect())
        }
    }
}

impl ClusterWorld {
    pub(crate) fn look(&mut self, look: Look<'_>) -> Result<ClusterState, ProviderError> {
        if let Some(error) = self.look_fault() {
            return Err(error);
        }
        if !self.api_answers() {
            let text = format!("look: connection refused: no apiserver of {} answers", self.name);
            return Err(ProviderError::new(ErrorClass::Transient, text));
        }
        self.remember();
        let view = self.view();
        let broken = self.part_fault();
        // What one place has said is worth nothing without the other: a look is whole, or it is
        // an error.
        let fails = |part: Part| match &broken {
            Some((at, error)) if *at == part => Err(error.clone()),
            _ => Ok(()),
        };
        fails(Part::Cluster)?;
        let mut state = self.seen_in(view.cluster, |cluster| cluster.show_cluster(look));
        if let Some(groups) = groups_of(look) {
            fails(Part::Machines)?;
            state.groups = self.seen_in(view.machines, |cluster| cluster.show_groups(&groups));
        }
        if view.is_past() {
            self.join(look, &mut state);
        }
        Ok(state)
    }

    /// What the Kubernetes API shows, and what does not change.
    fn show_cluster(&self, look: Look<'_>) -> ClusterState {
        let mut state = ClusterState {
            identity: ClusterIdentity {
                uid: self.uid.clone(),
                account: Some("123456789012".to_owned()),
                region: Some(self.region()),
            },
            serves: None,
            control_plane: Vec::new(),
            groups: BTreeMap::new(),
            nodes: BTreeMap::new(),
            pods: Vec::new(),
            workloads: Vec::new(),
            budgets: Vec::new(),
            images: Vec::new(),
            addons: BTreeMap::new(),
            lease: self.lease.clone(),
        };
        match look.scope {
            Scope::Identity => {}
            Scope::Everything => {
                self.show_nodes(look, None, &mut state);
                self.show_control_plane(&mut state);
                let servers =
                    state.control_plane.iter().filter_map(|member| member.api_server.clone());
                state.serves = servers.min().map(ServedVersion::plain);
                self.show_images(look, &mut state);
                let known = look.addons.keys().chain(self.addons.keys());
                for name in known.collect::<BTreeSet<_>>() {
                    let shown = self.show_addon(look.addons.get(name), name);
                    state.addons.insert(name.clone(), shown);
                }
            }
            Scope::ControlPlane => {
                self.show_nodes(look, groups_of(look).as_ref(), &mut state);
                self.show_control_plane(&mut state);
            }
            Scope::Pool(_) => self.show_nodes(look, groups_of(look).as_ref(), &mut state),
            Scope::Addon(name) => {
                let shown = self.show_addon(look.addons.get(name), name);
                state.addons.insert(name.clone(), shown);
            }
            Scope::Objects { addon, crds } => {
                let mut shown = self.show_addon(look.addons.get(addon), addon);
                for (name, crd) in &mut shown.crds {
                    if let Some(seen) = self.show_crd(name, crds.contains(name)) {
                        *crd = seen;
                    }
                }
                state.addons.insert(addon.clone(), shown);
            }
        }
        state
    }

    /// Brings what two places have shown at two times together, as whoever reads real ones does:
    /// a node is of a group that shows its machine, or of nobody.
    fn join(&self, look: Look<'_>, state: &mut ClusterState) {
        let groups = state.groups.values();
        let launched: BTreeSet<InstanceId> =
            groups.flat_map(|group| &group.instances).map(|found| found.id.clone()).collect();
        let is_launched = |id: &InstanceId| launched.contains(id);
        match look.scope {
            Scope::Identity | Scope::Addon(_) | Scope::Objects { .. } => return,
            Scope::ControlPlane | Scope::Pool(_) => {
                state.nodes.retain(|_, node| {
                    node.instance.as_ref().is_some_and(is_launched)
                        || node.unreachable_since.is_some()
                });
                let nodes = &state.nodes;
                state.pods.retain(|pod| pod.node.as_ref().is_none_or(|n| nodes.contains_key(n)));
            }
            Scope::Everything => {
                let exists = |id: &InstanceId| is_launched(id) || self.instances.contains_key(id);
                state.nodes.retain(|_, node| node.instance.as_ref().is_none_or(exists));
                for node in state.nodes.values_mut() {
                    node.instance = node.instance.take().filter(is_launched);
                }
            }
        }
        state.control_plane.retain(|member| is_launched(&member.instance));
    }

    fn region(&self) -> String {
        let zone = self.zones.first().map(ToString::to_string).unwrap_or_default();
        zone.trim_end_matches(|c: char| c.is_ascii_lowercase()).to_owned()
    }

    fn show_groups(&self, shown: &BTreeSet<&GroupName>) -> BTreeMap<GroupName, GroupState> {
        let groups = self.groups.iter().filter(|(name, _)| shown.contains(name));
        groups.map(|(name, group)| (name.clone(), self.group_state(group))).collect()
    }

    /// Nodes and pods, of some groups or of all; all workloads and budgets.
    fn show_nodes(
        &self,
        look: Look<'_>,
        only: Option<&BTreeSet<&GroupName>>,
        state: &mut ClusterState,
    ) {
        let declared = declared(look);
        let shown = only.unwrap_or(&declared);
        for (name, node) in &self.nodes {
            let instance = node.instance.as_ref().and_then(|id| self.instances.get(id));
            let group = instance.map(|instance| &instance.group);
            // What cannot be ready elsewhere is shown as well: workloads count for the whole cluster.
            let silent = node.unreachable_since(self.now).is_some();
            if only.is_some() && !silent && !group.is_some_and(|group| shown.contains(group)) {
                continue;
            }
            let is_declared = group.is_some_and(|group| declared.contains(group));
            let state_of_node = self.node_state(name, node, is_declared);
            self.show_static_pods(name, node, &state_of_node.kube_proxy, &mut state.pods);
            state.nodes.insert(name.clone(), state_of_node);
        }
        self.show_pods(only.is_some(), state);
        state.workloads = self
            .workloads
            .iter()
            .filter(|(of, workload)| !workload.deleted && of.kind != "Job")
            .map(|(of, workload)| WorkloadState {
                workload: of.clone(),
                replicas: match of.kind.as_str() {
                    "DaemonSet" => u32::try_from(self.nodes.len()).unwrap_or(u32::MAX),
                    _ => workload.replicas,
                },
                ready: workload.ready,
                critical: workload.critical,
            })
            .collect();
        state.budgets = self.budgets.values().map(|budget| self.budget_status(budget)).collect();
    }

    fn group_state(&self, group: &Group) -> GroupState {
        let instances = group.instances.iter().filter_map(|id| {
            let instance = self.instances.get(id)?;
            Some(InstanceState {
                id: id.clone(),
                zone: instance.zone.clone(),
                lifecycle: instance.lifecycle,
                template_version: instance.template,
                image: instance.image.clone(),
                protected: instance.protected,
                target_health: instance.target,
            })
        });
        GroupState {
            min: group.min,
            max: group.max,
            desired: group.desired,
            zones: group.zones.iter().cloned().collect(),
            template_version: group.template,
            template_images: group.templates.clone(),
            suspended: group.suspended.clone(),
            target_groups: group.target_groups.clone(),
            instances: instances.collect(),
            tags: group.tags.clone(),
            hooks: BTreeMap::new(),
            refused: BTreeSet::new(),
        }
    }

    fn node_state(&self, name: &NodeName, node: &Node, is_declared: bool) -> NodeState {
        NodeState {
            instance: node.instance.clone().filter(|_| is_declared),
            zone: node.zone.clone(),
            kubelet: node.kubelet.clone(),
            kube_proxy: self.kube_proxy(node),
            ready: node.ready,
            unreachable_since: node.unreachable_since(self.now),
            unschedulable: node.unschedulable,
            control_plane: node.control_plane,
            taints: BTreeSet::new(),
            runtime: None,
            detaching: self.attached_to(name).cloned().collect(),
            annotations: node.annotations.clone(),
        }
    }

    /// Volumes that a node has not yet let go of, though no pod on it uses them.
    pub(crate) fn attached_to(&self, node: &NodeName) -> impl Iterator<Item = &String> {
        let left =
            move |volume: &Volume| volume.left.as_ref() == Some(node) && volume.free_at > self.now;
        self.volumes.iter().filter(move |(_, volume)| left(volume)).map(|(claim, _)| claim)
    }

    /// Pods on the nodes that are shown, and those that wait for a place.
    fn show_pods(&self, some_nodes_only: bool, state: &mut ClusterState) {
        state.pods.reserve(self.pods.len());
        let nodes = &state.nodes;
        let is_shown = |pod: &Pod| {
            !some_nodes_only || pod.node.as_ref().is_none_or(|node| nodes.contains_key(node))
        };
        for (of, workload) in &self.workloads {
            let owner = match of.kind.as_str() {
                "DaemonSet" => PodOwner::DaemonSet(of.clone()),
                _ => PodOwner::Workload(of.clone()),
            };
            let names = workload.budgets.iter().filter_map(|key| key.rsplit('/').next());
            let budgets: BTreeSet<String> = names.map(str::to_owned).collect();
            let pods = workload.pods.iter().filter_map(|id| self.pods.get(id));
            for pod in pods.filter(|pod| is_shown(pod)) {
                state.pods.push(self.pod_state(pod, &owner, &budgets));
            }
        }
        let nobodys = self.pods.values().filter(|pod| pod.owner.is_none() && is_shown(pod));
        for pod in nobodys {
            state.pods.push(self.pod_state(pod, &PodOwner::Nobody, &BTreeSet::new()));
        }
    }

    fn pod_state(&self, pod: &Pod, owner: &PodOwner, budgets: &BTreeSet<String>) -> PodState {
        let zone = |claim: &String| self.volumes.get(claim)?.zone.clone();
        PodState {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            node: pod.node.clone(),
            ready: pod.ready,
            terminating: pod.terminating,
            owner: owner.clone(),
            budgets: budgets.clone(),
            volume: pod.claim.as_ref().and_then(|claim| {
                let name = claim.rsplit_once('/').map_or(claim.as_str(), |(_, name)| name);
                Some(ZonalVolume { claim: name.to_owned(), zone: zone(claim)? })
            }),
            critical: pod.critical,
            restart_policy: match owner {
                PodOwner::Workload(owner) if owner.kind == "Job" => RestartPolicy::OnFailure,
                PodOwner::Workload(_)
                | PodOwner::DaemonSet(_)
                | PodOwner::Mirror
                | PodOwner::Nobody => RestartPolicy::Always,
            },
            do_not_evict: None,
        }
    }

    /// Static pods are files on the machine; the API shows mirrors of them.
    fn show_static_pods(
        &self,
        name: &NodeName,
        node: &Node,
        proxy: &KubeProxy,
        pods: &mut Vec<PodState>,
    ) {
        let instance = node.instance.as_ref().and_then(|id| self.instances.get(id));
        let mut show = |component: &str, ready: bool| {
            let name_of_pod = format!("{component}-{name}");
            pods.push(PodState {
                namespace: "kube-system".to_owned(),
                uid: format!("{:016x}", hash(name_of_pod.as_bytes())),
                name: name_of_pod,
                node: Some(name.clone()),
                ready,
                terminating: false,
                owner: PodOwner::Mirror,
                budgets: BTreeSet::new(),
                volume: None,
                critical: true,
                restart_policy: RestartPolicy::Always,
                do_not_evict: None,
            });
        };
        if let Some(instance) = instance.filter(|instance| instance.control_plane) {
            for component in STATIC_PODS {
                show(component, instance.api_up);
            }
            if !self.etcd.is_empty() {
                show("etcd", instance.etcd_ready);
            }
        }
        if matches!(proxy, KubeProxy::StaticPod(_)) {
            show("kube-proxy", node.ready);
        }
    }

    fn show_control_plane(&self, state: &mut ClusterState) {
        let members = self.instances.iter().filter(|(_, instance)| instance.control_plane);
        for (id, instance) in members {
            let version = instance.api_up.then(|| instance.version.clone());
            state.control_plane.push(ControlPlaneMember {
                instance: id.clone(),
                api_server: version.clone(),
                controller_manager: version.clone(),
                scheduler: version,
                etcd_ready: (!self.etcd.is_empty()).then_some(instance.etcd_ready),
            });
        }
    }

    fn show_images(&self, look: Look<'_>, state: &mut ClusterState) {
        let cluster = look.cluster;
        let patterns: BTreeSet<&ImagePattern> = std::iter::once(&cluster.control_plane.image)
            .chain(cluster.pools.iter().map(|pool| &pool.image))
            .collect();
        let images = self.images.iter().filter(|(_, image)| {
            patterns.iter().any(|pattern| {
                pattern.name == image.pattern
                    && pattern.owner == image.owner
                    && pattern.architecture == image.architecture
            })
        });
        state.images = images
            .map(|(id, image)| ImageState {
                id: id.clone(),
                name: image.name.clone(),
                owner: image.owner.clone(),
                architecture: image.architecture.clone(),
                created: image.created,
            })
            .collect();
    }

    fn show_addon(&self, declared: Option<&Addon>, name: &AddonName) -> AddonState {
        let mut shown = AddonState::default();
        let installed = self.addons.get(name);
        if let Some(addon) = installed {
            shown.parent.clone_from(&addon.parent);
            shown.foreign.clone_from(&addon.foreign);
            shown.members.clone_from(&addon.members);
            shown.not_ready = self.not_ready(addon);
            for member in &addon.members {
                match self.objects.get(&object_key(member)) {
                    Some(live) => {
                        let fields = live.drift.iter();
                        shown.drift.extend(fields.map(|(field, manager)| FieldDrift {
                            object: member.clone(),
                            field: field.clone(),
                            manager: manager.clone(),
                        }));
                    }
                    // Only a sealed add-on has to have all of its members.
                    None if addon.parent.is_some() && addon.applying.is_none() => {
                        shown.drift.push(FieldDrift {
                            object: member.clone(),
                            field: ".".to_owned(),
                            manager: None,
                        });
                    }
                    None => {}
                }
            }
        }
        let named = declared
            .into_iter()
            .flat_map(|addon| addon.versions.values())
            .flat_map(|release| release.manifests.objects())
            .map(|manifest| &manifest.object);
        let members = installed.into_iter().flat_map(|addon| &addon.members);
        let keys: BTreeSet<String> = named.chain(members).map(object_key).collect();
        shown.live = keys
            .iter()
            .filter_map(|key| self.objects.get(key))
            .map(|live| (live.object.clone(), redact(&live.value)))
            .collect();
        let definitions = shown.live.iter().filter_map(|(object, _)| {
            Some((object.name.clone(), self.show_crd(&object.name, false)?))
        });
        shown.crds = definitions.collect();
        shown
    }
}
