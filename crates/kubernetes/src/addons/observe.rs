//! What of each add-on is in the cluster.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIGroup;
use refit_model::{
    Addon, AddonName, AddonState, ClusterState, CrdState, Detection, FieldDrift, ForeignCopy,
    Manifest, ManifestSet, ObjectRef, WorkloadRef, redact,
};
use refit_provider::{Look, ProviderError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ID, Identity, PARENT_PREFIX, PART_OF, Parent, by_identity, fields, id_of, identity,
    parent_name, ready, to_send,
};
use crate::pods::Meta;
use crate::{Kubernetes, NAMESPACE};

/// How many add-ons of one cluster are looked at together.
const TOGETHER: usize = 8;

/// Beginnings of the names of field managers that go on writing what they own.
const LIVE_MANAGERS: [&str; 6] =
    ["argocd", "flux", "helm", "kustomize-controller", "source-controller", "rancher"];
/// Labels and annotations by which such a manager marks what it keeps.
const LIVE_MARKS: [(&str, &str); 5] = [
    ("argocd.argoproj.io/tracking-id", "argocd"),
    ("argocd.argoproj.io/instance", "argocd"),
    ("meta.helm.sh/release-name", "helm"),
    ("helm.toolkit.fluxcd.io/name", "flux"),
    ("kustomize.toolkit.fluxcd.io/name", "flux"),
];

#[derive(Deserialize)]
struct RawParent {
    metadata: Meta,
}

/// The object, with the version and kind that a list leaves out.
fn complete(mut value: Value, api_version: &str, kind: &str) -> (ObjectRef, Value) {
    value["apiVersion"] = api_version.into();
    value["kind"] = kind.into();
    let meta = &value["metadata"];
    let object = ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: meta["namespace"].as_str().map(str::to_owned),
        name: meta["name"].as_str().unwrap_or_default().to_owned(),
    };
    (object, value)
}

/// The live objects that count for an add-on.
struct Live {
    members: BTreeMap<Identity, (ObjectRef, Value)>,
    others: BTreeMap<Identity, (ObjectRef, Value)>,
}

impl Live {
    fn find(&self, object: &ObjectRef) -> Option<&Value> {
        let key = identity(object);
        self.members.get(&key).or_else(|| self.others.get(&key)).map(|(_, value)| value)
    }

    fn crds(&self) -> BTreeMap<String, CrdState> {
        let all = self.members.values().chain(self.others.values());
        all.filter_map(|(object, value)| Some((object.name.clone(), CrdState::of(value)?)))
            .collect()
    }
}

impl Kubernetes {
    pub(crate) async fn look_at_addons(
        &self,
        look: Look<'_>,
        only: Option<&AddonName>,
        state: &mut ClusterState,
    ) -> Result<(), ProviderError> {
        let parents = match only {
            Some(name) => {
                let found = self.parent(name).await?;
                found.map(|parent| (name.clone(), parent)).into_iter().collect()
            }
            None => self.parents().await?,
        };
        let names: BTreeSet<&AddonName> = match only {
            Some(name) => [name].into(),
            None => look.addons.keys().chain(parents.keys()).collect(),
        };
        let mut looks = Vec::new();
        for name in names {
            looks.push(self.named_addon(look, name, parents.get(name), only.is_none()));
        }
        state.addons =
            futures::stream::iter(looks).buffer_unordered(TOGETHER).try_collect().await?;
        Ok(())
    }

    async fn parents(&self) -> Result<BTreeMap<AddonName, Parent>, ProviderError> {
        let mut parents = BTreeMap::new();
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
        let each = |raw: RawParent| {
            let name = raw.metadata.name.strip_prefix(PARENT_PREFIX);
            let parent = Parent::of(&raw.metadata);
            if let Some(name) = name.and_then(|name| name.parse().ok()).filter(|_| parent.is_ours())
            {
                parents.insert(name, parent);
            }
        };
        self.api.list("list the parents of ApplySets", &path, Some(ID), each).await?;
        Ok(parents)
    }

    pub(super) async fn parent(&self, name: &AddonName) -> Result<Option<Parent>, ProviderError> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{}", parent_name(name));
        let what = format!("get the ApplySet parent of {name}");
        let found: Option<RawParent> = self.api.find(&what, &path).await?;
        Ok(found.map(|raw| Parent::of(&raw.metadata)))
    }

    /// Every object that carries the parent's id, of the kinds that the parent names.
    pub(super) async fn members(
        &self,
        name: &AddonName,
        parent: &Parent,
    ) -> Result<BTreeMap<Identity, (ObjectRef, Value)>, ProviderError> {
        let mut members = BTreeMap::new();
        let selector = format!("{PART_OF}={}", id_of(name));
        for group_kind in &parent.group_kinds {
            let (kind, group) = group_kind.split_once('.').unwrap_or((group_kind, ""));
            let Some(api_version) = self.preferred(group).await? else { continue };
            let Some(served) = self.api.served(&api_version, kind).await? else { continue };
            let what = format!("list the members of {name} that are {group_kind}");
            let each = |value: Value| {
                let (object, value) = complete(value, &api_version, kind);
                members.insert(identity(&object), (object, value));
            };
            self.api.list(&what, &served.list(None), Some(&selector), each).await?;
        }
        Ok(members)
    }

    /// The version in which a group is best asked; none: there is no such group any more.
    async fn preferred(&self, group: &str) -> Result<Option<String>, ProviderError> {
        if group.is_empty() {
            return Ok(Some("v1".to_owned()));
        }
        let what = format!("look which versions of {group} there are");
        let found: Option<APIGroup> = self.api.find(&what, &format!("/apis/{group}")).await?;
        Ok(found.and_then(|group| {
            let preferred = group.preferred_version.as_ref().or(group.versions.first())?;
            Some(preferred.group_version.clone())
        }))
    }

    /// One live object; none: there is none, or its kind is not served.
    pub(super) async fn live(&self, object: &ObjectRef) -> Result<Option<Value>, ProviderError> {
        let Some(served) = self.api.served(&object.api_version, &object.kind).await? else {
            return Ok(None);
        };
        let namespace = object.namespace.as_deref().unwrap_or("default");
        let path = served.object(Some(namespace), &object.name);
        self.api.find(&format!("get {object}"), &path).await
    }

    /// An add-on among all: what is broken of it alone keeps nobody from seeing the others.
    async fn named_addon(
        &self,
        look: Look<'_>,
        name: &AddonName,
        parent: Option<&Parent>,
        among_all: bool,
    ) -> Result<(AddonName, AddonState), ProviderError> {
        let state = match self.addon(look, name, parent).await {
            Ok(state) => state,
            Err(error) if among_all => {
                let declared = look.addons.get(name).into_iter();
                let objects = declared
                    .flat_map(|addon| addon.versions.values())
                    .flat_map(|release| release.manifests.objects());
                let named = objects.map(|manifest| manifest.object.group());
                let members = parent.into_iter().flat_map(|parent| &parent.group_kinds);
                let members = members.map(|kind| kind.split_once('.').map_or("", |(_, of)| of));
                if !self.api.any_broken(named.chain(members)).await {
                    return Err(error);
                }
                AddonState {
                    parent: parent.and_then(|parent| parent.sealed.clone()),
                    unreadable: Some(error.message),
                    ..AddonState::default()
                }
            }
            Err(error) => return Err(error),
        };
        Ok((name.clone(), state))
    }

    async fn addon(
        &self,
        look: Look<'_>,
        name: &AddonName,
        parent: Option<&Parent>,
    ) -> Result<AddonState, ProviderError> {
        let declared = look.addons.get(name);
        let members = match parent {
            Some(parent) => self.members(name, parent).await?,
            None => BTreeMap::new(),
        };
        let mut seen = Live { members, others: BTreeMap::new() };
        let manifests = || {
            let versions = declared.into_iter().flat_map(|addon| addon.versions.values());
            versions.flat_map(|release| release.manifests.objects())
        };
        for (key, manifest) in by_identity(manifests()) {
            if !seen.members.contains_key(&key)
                && let Some(value) = self.live(&manifest.object).await?
            {
                let ObjectRef { api_version, kind, .. } = &manifest.object;
                seen.others.insert(key, complete(value, api_version, kind));
            }
        }
        let sealed = parent.and_then(|parent| parent.sealed.clone());
        let foreign = if sealed.is_none() {
            self.foreign(declared.and_then(|addon| addon.detect.as_ref()), name, parent, &seen)
                .await?
        } else {
            None
        };
        let wanted = look.cluster.addons.get(name).and_then(|target| {
            declared?.versions.get(&target.version.value).map(|release| &release.manifests)
        });
        let shape =
            by_identity(manifests().chain(wanted.into_iter().flat_map(ManifestSet::objects)));
        let project = |(object, value): &(ObjectRef, Value)| {
            let shown = project(value, shape.get(&identity(object)).map(|found| &found.value));
            let object = match shape.get(&identity(object)) {
                Some(manifest) => manifest.object.clone(),
                None => object.clone(),
            };
            (object, redact(&shown))
        };
        Ok(AddonState {
            drift: parent
                .map(|parent| drift(look, name, declared, parent, &seen))
                .unwrap_or_default(),
            members: seen.members.values().map(project).map(|(object, _)| object).collect(),
            live: seen.members.values().chain(seen.others.values()).map(project).collect(),
            not_ready: seen.members.values().find_map(|(_, value)| ready::waits_for(value)),
            crds: seen.crds(),
            parent: sealed,
            foreign,
            unreadable: None,
        })
    }

    /// The version of the copy that detection finds.
    pub(super) async fn foreign_version(
        &self,
        detect: Option<&Detection>,
    ) -> Result<Option<String>, ProviderError> {
        let Some(detect) = detect else { return Ok(None) };
        let found = self.live(&detected(detect)).await?;
        Ok(found.and_then(|found| tag_of(&found, &detect.container)))
    }

    async fn foreign(
        &self,
        detect: Option<&Detection>,
        name: &AddonName,
        parent: Option<&Parent>,
        seen: &Live,
    ) -> Result<Option<ForeignCopy>, ProviderError> {
        let Some(detect) = detect else { return Ok(None) };
        let found = match seen.find(&detected(detect)) {
            Some(found) => Some(found.clone()),
            None => self.live(&detected(detect)).await?,
        };
        let Some(found) = found else { return Ok(None) };
        // An adoption that was begun and not ended is told as it was: the copy's own version is
        // overwritten by then.
        let adopting = parent.and_then(|parent| parent.adopting.clone());
        let is_ours = found["metadata"]["labels"][PART_OF] == Value::String(id_of(name));
        let version = match adopting {
            Some(version) => version,
            None if is_ours => return Ok(None),
            None => tag_of(&found, &detect.container).unwrap_or_else(|| "unknown".to_owned()),
        };
        let copies = seen.members.values().chain(seen.others.values()).map(|(_, value)| value);
        let mut managers = BTreeSet::new();
        let mut live_managers = BTreeSet::new();
        for object in copies.chain([&found]) {
            let found = fields::other_managers(object);
            let at_work =
                found.iter().filter(|name| LIVE_MANAGERS.iter().any(|live| name.starts_with(live)));
            live_managers.extend(at_work.cloned());
            live_managers.extend(marks(object).map(str::to_owned));
            managers.extend(found.into_iter().filter(|name| !is_cluster(name)));
        }
        Ok(Some(ForeignCopy {
            version,
            workload: detect.workload.clone(),
            managers,
            live_managers,
        }))
    }
}

/// The object that detection looks for.
fn detected(detect: &Detection) -> ObjectRef {
    let WorkloadRef { kind, namespace, name } = &detect.workload;
    ObjectRef {
        api_version: "apps/v1".to_owned(),
        kind: kind.clone(),
        namespace: Some(namespace.clone()),
        name: name.clone(),
    }
}

/// Managers that are the cluster itself: what they own is theirs.
fn is_cluster(manager: &str) -> bool {
    matches!(manager, "kube-controller-manager" | "kube-apiserver" | "kube-scheduler" | "kubelet")
}

/// Who marks the object as its own.
fn marks(object: &Value) -> impl Iterator<Item = &'static str> {
    let meta = &object["metadata"];
    let marked =
        |key: &str| [&meta["annotations"], &meta["labels"]].iter().any(|m| m[key].is_string());
    LIVE_MARKS.into_iter().filter(move |(key, _)| marked(key)).map(|(_, who)| who)
}

fn tag_of(workload: &Value, container: &str) -> Option<String> {
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array()?;
    let found = containers.iter().find(|found| found["name"] == container)?;
    let image = found["image"].as_str()?.split('@').next()?;
    let (_, tag) = image.rsplit_once(':')?;
    (!tag.contains('/')).then(|| tag.trim_start_matches('v').to_owned())
}

/// What is not as refit left it.
fn drift(
    look: Look<'_>,
    name: &AddonName,
    declared: Option<&Addon>,
    parent: &Parent,
    seen: &Live,
) -> Vec<FieldDrift> {
    let Some(sealed) = &parent.sealed else { return Vec::new() };
    let versions = || declared.into_iter().flat_map(|addon| addon.versions.iter());
    let sealed_digest = sealed.digest.to_string();
    if parent.applying.as_ref().is_some_and(|applying| *applying != sealed_digest) {
        // Half of another version may be there. On the way to that one nothing has drifted; but
        // if this one is wanted again, it has to be applied again.
        let target = look.cluster.addons.get(name).map(|target| &target.version.value);
        let wanted = versions().find(|(version, _)| Some(*version) == target);
        let again = wanted.is_some_and(|(_, release)| *release.manifests.digest() == sealed.digest);
        let object = ObjectRef {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespace: Some(NAMESPACE.to_owned()),
            name: parent_name(name),
        };
        let field = ".metadata.annotations.refit.dev/applying".to_owned();
        return again.then_some(FieldDrift { object, field, manager: None }).into_iter().collect();
    }
    let applied = versions().find(|(_, release)| *release.manifests.digest() == sealed.digest);
    let manifests = applied.map_or(&[][..], |(_, release)| release.manifests.objects());
    manifests.iter().flat_map(|manifest| drift_of(manifest, name, seen)).collect()
}

fn drift_of(manifest: &Manifest, name: &AddonName, seen: &Live) -> Vec<FieldDrift> {
    let object = &manifest.object;
    let drift = |field: String, manager: Option<String>| FieldDrift {
        object: object.clone(),
        field,
        manager,
    };
    let Some(live) = seen.find(object) else { return vec![drift(".".to_owned(), None)] };
    let lost = fields::lost(&to_send(manifest, name), live);
    lost.into_iter().map(|(field, manager)| drift(field.shown, manager)).collect()
}

/// The live object reduced to the fields of the manifest; to its identity without one.
fn project(live: &Value, manifest: Option<&Value>) -> Value {
    let meta = &live["metadata"];
    let mut shown = fields::concerned(live, Some(manifest.unwrap_or(&json!({}))));
    // What makes it a member is in no manifest.
    if let Some(meta) = shown.get_mut("metadata").and_then(Value::as_object_mut)
        && let Some(labels) = meta.get_mut("labels").and_then(Value::as_object_mut)
    {
        labels.remove(PART_OF);
        if labels.is_empty() {
            meta.remove("labels");
        }
    }
    shown["apiVersion"] = live["apiVersion"].clone();
    shown["kind"] = live["kind"].clone();
    shown["metadata"]["name"] = meta["name"].clone();
    if meta["namespace"].is_string() {
        shown["metadata"]["namespace"] = meta["namespace"].clone();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_object_is_reduced_to_the_fields_of_its_manifest() {
        let live = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "s", "namespace": "n", "uid": "u", "labels": {"a": "1", "b": "2"}},
            "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 53, "nodePort": 30000}]},
        });
        let manifest = json!({
            "metadata": {"name": "s", "labels": {"a": "0"}},
            "spec": {"ports": [{"port": 54}]},
        });
        assert_eq!(
            project(&live, Some(&manifest)),
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "s", "namespace": "n", "labels": {"a": "1"}},
                "spec": {"ports": [{"port": 53}]},
            })
        );
        assert_eq!(project(&live, None)["metadata"], json!({"name": "s", "namespace": "n"}));
    }

    #[test]
    fn who_keeps_an_object_is_read_from_its_marks() {
        let object = json!({"metadata": {
            "annotations": {"meta.helm.sh/release-name": "dns"},
            "labels": {"kustomize.toolkit.fluxcd.io/name": "infra"},
        }});
        assert_eq!(marks(&object).collect::<Vec<_>>(), ["helm", "flux"]);
    }

    #[test]
    fn the_tag_of_the_detected_container_is_the_version() {
        let workload = |image: &str| {
            json!({"spec": {"template": {"spec": {"containers": [
                {"name": "sidecar", "image": "x:9"}, {"name": "dns", "image": image},
            ]}}}})
        };
        assert_eq!(tag_of(&workload("r.io:5000/dns:v1.2.3@sha256:0"), "dns").unwrap(), "1.2.3");
        assert_eq!(tag_of(&workload("r.io:5000/dns"), "dns"), None);
        assert_eq!(tag_of(&workload("dns:1"), "other"), None);
    }
}
