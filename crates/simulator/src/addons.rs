//! Add-ons: live objects, the ApplySet parent, and the workloads that objects become.
//!
//! An add-on is at a version only once [`AddonOp::Prune`] has sealed it: while a version is being
//! applied, the old parent stays, and the members are those of both.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Addon, AddonName, AddonOp, AddonRelease, AddonVersion, ApplySetParent, Digest, ForeignCopy,
    Manifest, ObjectRef, WorkloadRef,
};
use refit_provider::{ErrorClass, ProviderError};
use serde_json::{Value, json};

use crate::budgets::{Budget, Rule, unhealthy_of_spec};
use crate::cluster::{AddonWorld, ClusterWorld, LiveObject, Running, object_key};
use crate::dice::hash;

/// Kinds that are kept unless the add-on's `prune` names them.
const KEPT_KINDS: [&str; 3] = ["CustomResourceDefinition", "Namespace", "PersistentVolumeClaim"];

/// Whether an object may be deleted when the add-on does not need it any more.
pub(crate) fn may_delete(addon: Option<&Addon>, object: &ObjectRef) -> bool {
    !KEPT_KINDS.contains(&object.kind.as_str())
        || addon.is_some_and(|addon| addon.prune.contains(&object.kind))
}

/// The workload that an object is, if it is one.
pub(crate) fn workload_of(object: &ObjectRef) -> Option<WorkloadRef> {
    let is_workload = matches!(object.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet");
    is_workload.then(|| {
        let namespace = object.namespace.as_deref().unwrap_or("default");
        WorkloadRef::new(&object.kind, namespace, &object.name)
    })
}

fn release<'a>(
    addons: &'a BTreeMap<AddonName, Addon>,
    name: &AddonName,
    version: &AddonVersion,
    digest: &Digest,
) -> Result<&'a AddonRelease, ProviderError> {
    let refuse = |text: String| Err(ProviderError::new(ErrorClass::Permanent, text));
    let Some(release) = addons.get(name).and_then(|addon| addon.versions.get(version)) else {
        return refuse(format!("{name} {version}: there are no manifests of this version"));
    };
    if release.manifests.digest() != digest {
        return refuse(format!(
            "{name} {version}: the manifests have digest {}, not {}",
            release.manifests.digest().short(),
            digest.short()
        ));
    }
    Ok(release)
}

impl ClusterWorld {
    /// One call on an add-on; with `half`, the connection breaks in the middle of it.
    pub(crate) fn addon_op(
        &mut self,
        addons: &BTreeMap<AddonName, Addon>,
        name: &AddonName,
        op: &AddonOp,
        half: bool,
    ) -> Result<(), ProviderError> {
        match op {
            AddonOp::Adopt { version, managers } => {
                let found = addons.get(name).and_then(|addon| addon.versions.get(version));
                let Some(found) = found else {
                    let text = format!("{name} {version}: there are no manifests of this version");
                    return Err(ProviderError::new(ErrorClass::Permanent, text));
                };
                self.adopt(name, found, managers);
                Ok(())
            }
            AddonOp::Apply { version, digest } => {
                let found = release(addons, name, version, digest)?;
                self.apply(addons.get(name), name, version, found, half)
            }
            AddonOp::Prune { version, digest, objects } => {
                let found = release(addons, name, version, digest)?;
                self.judge_seal(name, version, found);
                self.judge_deletes(addons.get(name), name, objects);
                self.judge_prune(name, found, objects);
                self.delete_objects(name, objects, half)?;
                let addon = self.addons.entry(name.clone()).or_default();
                addon.members = manifest_refs(found.manifests.objects());
                addon.parent = Some(ApplySetParent { digest: *digest, version: version.clone() });
                addon.applying = None;
                addon.foreign = None;
                Ok(())
            }
            AddonOp::WriteBack { crd, objects } => self.write_back(crd, objects, half),
            AddonOp::SetStored { crd, version } => self.set_stored(crd, version),
            AddonOp::Remove { objects } => {
                self.judge_deletes(addons.get(name), name, objects);
                self.delete_objects(name, objects, half)?;
                let addon = self.addons.entry(name.clone()).or_default();
                addon.members.retain(|member| !objects.contains(member));
                let left = addon.members.iter().any(|object| may_delete(addons.get(name), object));
                if !left {
                    *addon = AddonWorld { foreign: addon.foreign.take(), ..AddonWorld::default() };
                }
                Ok(())
            }
        }
    }

    /// The manifests' fields become refit's, with the values that they have.
    fn adopt(&mut self, name: &AddonName, release: &AddonRelease, managers: &BTreeSet<String>) {
        let Some(foreign) = self.addons.get_mut(name).and_then(|addon| addon.foreign.as_mut())
        else {
            return;
        };
        // Who still writes takes its fields back at once.
        let live = foreign.live_managers.clone();
        foreign.managers.retain(|manager| live.contains(manager) || !managers.contains(manager));
        for manifest in release.manifests.objects() {
            if let Some(object) = self.objects.get_mut(&object_key(&manifest.object)) {
                object.applied = Some(object.value.clone());
            }
        }
    }

    fn apply(
        &mut self,
        addon: Option<&Addon>,
        name: &AddonName,
        version: &AddonVersion,
        release: &AddonRelease,
        half: bool,
    ) -> Result<(), ProviderError> {
        let manifests = release.manifests.objects();
        let live = self.addons.entry(name.clone()).or_default();
        // Widened before the first object is written: whatever happens, nothing is forgotten.
        live.members.extend(manifest_refs(manifests));
        live.applying = Some((version.clone(), *release.manifests.digest()));
        live.applied_whole = !half;
        let count = if half { manifests.len() / 2 } else { manifests.len() };
        for manifest in manifests.iter().take(count) {
            self.define(manifest)?;
            self.apply_object(manifest);
        }
        if half {
            let text = format!(
                "apply {name} {version}: the connection broke after {count} of {} objects",
                manifests.len()
            );
            return Err(ProviderError::new(ErrorClass::Transient, text));
        }
        let may_be_late = addon.is_some_and(|addon| addon.may_be_unsupported_during_hop);
        self.runs(name, version, release, may_be_late);
        self.judge_addon(name);
        Ok(())
    }

    fn runs(
        &mut self,
        name: &AddonName,
        version: &AddonVersion,
        release: &AddonRelease,
        may_be_late: bool,
    ) {
        let running = Running {
            version: version.clone(),
            kubernetes: release.kubernetes.clone(),
            kubelets: release.kubelets.clone(),
            apis: release.known.apis.iter().map(|api| api.served.settled()).collect(),
            may_be_late,
            judged: true,
        };
        self.addons.entry(name.clone()).or_default().running = Some(running);
    }

    /// Server-side apply, forced: refit's fields get the manifest's values, those that it set
    /// before and does not name any more vanish, and those of others stay.
    fn apply_object(&mut self, manifest: &Manifest) {
        let key = object_key(&manifest.object);
        let live = self.objects.entry(key.clone()).or_insert_with(|| LiveObject {
            object: manifest.object.clone(),
            value: Value::Null,
            applied: None,
            drift: BTreeMap::new(),
        });
        if let Some(before) = &live.applied {
            drop_fields(&mut live.value, before, &manifest.value);
        }
        merge(&mut live.value, &manifest.value);
        live.object = manifest.object.clone();
        live.applied = Some(manifest.value.clone());
        live.drift.clear();
        self.sync_object(&key);
    }

    fn delete_objects(
        &mut self,
        name: &AddonName,
        objects: &BTreeSet<ObjectRef>,
        half: bool,
    ) -> Result<(), ProviderError> {
        let count = if half { objects.len() / 2 } else { objects.len() };
        for object in objects.iter().take(count) {
            self.remove_object(&object_key(object));
        }
        if half {
            let text = format!(
                "{name}: the connection broke after {count} of {} objects were deleted",
                objects.len()
            );
            return Err(ProviderError::new(ErrorClass::Transient, text));
        }
        Ok(())
    }

    pub(crate) fn remove_object(&mut self, key: &str) {
        let Some(gone) = self.objects.remove(key) else { return };
        if gone.object.kind == "CustomResourceDefinition" {
            self.crds.remove(&gone.object.name);
        }
        if let Some(of) = workload_of(&gone.object) {
            if let Some(workload) = self.workloads.get_mut(&of) {
                workload.deleted = true;
            }
            self.reconcile(&of);
        } else if gone.object.kind == "PodDisruptionBudget" {
            self.budgets.remove(&budget_key(&gone.object));
            self.match_budgets();
        }
    }

    /// Lets a live object have its effect: a workload has pods, a budget protects them.
    pub(crate) fn sync_object(&mut self, key: &str) {
        let Some(live) = self.objects.get(key) else { return };
        let spec = &live.value["spec"];
        if let Some(of) = workload_of(&live.object) {
            let template = &spec["template"];
            let priority = template["spec"]["priorityClassName"].as_str().unwrap_or_default();
            let workload = self.workloads.entry(of.clone()).or_default();
            workload.replicas = replicas(spec);
            workload.labels = labels(&template["metadata"]["labels"]);
            workload.critical = of.namespace == "kube-system" || priority.starts_with("system-");
            workload.zonal_volumes = of.kind == "StatefulSet"
                && spec["volumeClaimTemplates"].as_array().is_some_and(|all| !all.is_empty());
            image(template).clone_into(&mut workload.image);
            workload.revision = hash(template.to_string().as_bytes());
            workload.deleted = false;
            self.match_budgets();
            self.reconcile(&of);
        } else if live.object.kind == "PodDisruptionBudget" {
            let budget = Budget {
                namespace: live.object.namespace.clone().unwrap_or_default(),
                name: live.object.name.clone(),
                rule: Rule::of_spec(spec),
                unhealthy: unhealthy_of_spec(spec),
                selector: labels(&spec["selector"]["matchLabels"]),
                selects: Vec::new(),
            };
            self.budgets.insert(budget_key(&live.object), budget);
            self.match_budgets();
        }
    }

    /// What keeps the add-on's workloads from being rolled out.
    pub(crate) fn not_ready(&self, addon: &AddonWorld) -> Option<String> {
        addon.members.iter().filter_map(workload_of).find_map(|of| {
            let workload = self.workloads.get(&of)?;
            let updated = workload
                .pods
                .iter()
                .filter_map(|id| self.pods.get(id))
                .filter(|pod| pod.is_healthy() && pod.revision == workload.revision)
                .count();
            let wanted = match of.kind.as_str() {
                "DaemonSet" => self.nodes.len(),
                _ => workload.replicas as usize,
            };
            (updated < wanted).then(|| {
                format!(
                    "{} {}/{}: {updated} of {wanted} updated pods ready",
                    of.kind, of.namespace, of.name
                )
            })
        })
    }

    /// Installs what refit had installed before the world began.
    pub(crate) fn install_at_start(&mut self, addon: &Addon, version: &AddonVersion) {
        let Some(release) = addon.versions.get(version) else { return };
        self.set_up(release.manifests.objects());
        self.runs(&addon.name, version, release, addon.may_be_unsupported_during_hop);
        let fits = self.addon_misfit(&addon.name).is_none();
        let installed = self.addons.entry(addon.name.clone()).or_default();
        installed.members = manifest_refs(release.manifests.objects());
        let digest = *release.manifests.digest();
        installed.parent = Some(ApplySetParent { digest, version: version.clone() });
        if let Some(running) = &mut installed.running {
            running.judged = fits;
        }
    }

    /// Objects that were there before the world began.
    fn set_up(&mut self, manifests: &[Manifest]) {
        for manifest in manifests {
            if self.define(manifest).is_ok() {
                self.apply_object(manifest);
                self.people(&manifest.object.name);
            }
        }
    }

    /// Installs what somebody else had installed before the world began.
    pub(crate) fn install_foreign(&mut self, addon: &Addon, version: &AddonVersion) {
        let manifests =
            addon.versions.get(version).map(|release| release.manifests.objects().to_vec());
        let manifests = manifests.unwrap_or_else(|| detected_only(addon, version));
        self.set_up(&manifests);
        for manifest in &manifests {
            if let Some(live) = self.objects.get_mut(&object_key(&manifest.object)) {
                live.applied = None;
            }
        }
        let Some(detect) = &addon.detect else { return };
        let found = manifests
            .iter()
            .find(|manifest| workload_of(&manifest.object).as_ref() == Some(&detect.workload));
        let tag = found.and_then(|manifest| tag_of(&manifest.value, &detect.container));
        self.addons.entry(addon.name.clone()).or_default().foreign = Some(ForeignCopy {
            version: tag.unwrap_or_else(|| version.to_string()),
            workload: detect.workload.clone(),
            managers: BTreeSet::from(["kubectl-client-side-apply".to_owned()]),
            live_managers: BTreeSet::new(),
        });
    }
}

fn manifest_refs(manifests: &[Manifest]) -> BTreeSet<ObjectRef> {
    manifests.iter().map(|manifest| manifest.object.clone()).collect()
}

/// A foreign copy of a version that the fleet has no manifests of: what detection looks for.
fn detected_only(addon: &Addon, version: &AddonVersion) -> Vec<Manifest> {
    let Some(detect) = &addon.detect else { return Vec::new() };
    let WorkloadRef { kind, namespace, name } = &detect.workload;
    let image = format!("registry.example/{}:v{version}", detect.container);
    let value = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": detect.container, "image": image }] },
            },
        },
    });
    let object = ObjectRef {
        api_version: "apps/v1".to_owned(),
        kind: kind.clone(),
        namespace: Some(namespace.clone()),
        name: name.clone(),
    };
    vec![Manifest { object, value, file: String::new() }]
}

fn budget_key(object: &ObjectRef) -> String {
    format!("{}/{}", object.namespace.as_deref().unwrap_or_default(), object.name)
}

fn replicas(spec: &Value) -> u32 {
    spec["replicas"].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(1)
}

fn labels(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn image(template: &Value) -> &str {
    template["spec"]["containers"][0]["image"].as_str().unwrap_or_default()
}

fn tag_of(workload: &Value, container: &str) -> Option<String> {
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array()?;
    let found = containers.iter().find(|found| found["name"] == container)?;
    Some(found["image"].as_str()?.rsplit_once(':')?.1.to_owned())
}

/// Writes every field of `from` into `into`; lists are replaced whole.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// Removes what `before` has and `next` has not.
fn drop_fields(live: &mut Value, before: &Value, next: &Value) {
    let (Some(live), Some(before)) = (live.as_object_mut(), before.as_object()) else { return };
    for (key, value) in before {
        match next.get(key) {
            None => {
                live.remove(key);
            }
            Some(next) => {
                if let Some(live) = live.get_mut(key) {
                    drop_fields(live, value, next);
                }
            }
        }
    }
}
