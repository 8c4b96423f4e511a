//! Adopting, applying, pruning and removing an add-on.
//!
//! The parent is widened before the first object is applied and narrowed after the last one is
//! deleted, so that at any moment it names every kind that a member may be of.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use refit_model::{
    Addon, AddonName, AddonOp, AddonRelease, AddonVersion, ApplySetParent, Digest, Manifest,
    ObjectRef,
};
use refit_provider::{ErrorClass, ProviderError};
use serde_json::{Value, json};

use super::{
    PART_OF, Parent, TOOLING_REFIT, fields, group_kind, id_of, identity, parent_name, to_send,
};
use crate::api::Body;
use crate::{Kubernetes, MANAGER, NAMESPACE};

type Done = Result<(), ProviderError>;

fn permanent(text: String) -> ProviderError {
    ProviderError::new(ErrorClass::Permanent, text)
}

/// The manifests that are meant: those of the version, with the digest that the plan saw.
fn release<'a>(
    addons: &'a BTreeMap<AddonName, Addon>,
    name: &AddonName,
    version: &AddonVersion,
    digest: Option<&Digest>,
) -> Result<&'a AddonRelease, ProviderError> {
    let found = addons.get(name).and_then(|addon| addon.versions.get(version));
    let found = found
        .ok_or_else(|| permanent(format!("{name} {version}: there are no manifests of it")))?;
    let has = found.manifests.digest();
    match digest.filter(|digest| *digest != has) {
        None => Ok(found),
        Some(digest) => Err(permanent(format!(
            "{name} {version}: the manifests have digest {}, not {}",
            has.short(),
            digest.short()
        ))),
    }
}

/// When an object of this kind is applied: what others need comes first.
fn rank(kind: &str) -> u8 {
    match kind {
        "Namespace" => 0,
        "CustomResourceDefinition" => 1,
        "PriorityClass" | "StorageClass" | "ServiceAccount" | "Secret" | "ConfigMap" => 2,
        "ClusterRole" | "Role" | "ClusterRoleBinding" | "RoleBinding" => 3,
        "Service" | "PersistentVolumeClaim" | "PodDisruptionBudget" => 4,
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "CronJob" => 5,
        // These change what other calls are answered, so what serves them comes before.
        "APIService" | "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => 7,
        _ => 6,
    }
}

/// Whether pruning may delete the object: what takes more with it has to be named.
fn may_delete(addon: Option<&Addon>, object: &ObjectRef) -> bool {
    match object.kind.as_str() {
        kind @ ("CustomResourceDefinition" | "Namespace" | "PersistentVolumeClaim") => {
            addon.is_some_and(|addon| addon.prune.contains(kind))
        }
        _ => true,
    }
}

impl Kubernetes {
    pub(crate) async fn addon_op(
        &self,
        addons: &BTreeMap<AddonName, Addon>,
        name: &AddonName,
        op: &AddonOp,
    ) -> Done {
        match op {
            AddonOp::Adopt { version, managers } => {
                let found = release(addons, name, version, None)?;
                self.adopt(name, addons.get(name), found, managers).await
            }
            AddonOp::Apply { version, digest } => {
                self.apply(name, release(addons, name, version, Some(digest))?).await
            }
            AddonOp::Prune { version, digest, objects } => {
                let found = release(addons, name, version, Some(digest))?;
                self.delete_members(name, addons.get(name), objects).await?;
                self.seal(name, version, found).await
            }
            AddonOp::WriteBack { crd, objects } => self.write_back(crd, objects).await,
            AddonOp::SetStored { crd, version } => self.set_stored(crd, version).await,
            AddonOp::Remove { objects } => {
                let addon = addons.get(name);
                self.delete_members(name, addon, objects).await?;
                let Some(parent) = self.parent(name).await? else { return Ok(()) };
                let members = self.members(name, &parent).await?;
                if members.values().any(|(object, _)| may_delete(addon, object)) {
                    return Ok(());
                }
                let path = parent_path(name);
                let what = format!("delete the ApplySet parent of {name}");
                self.api.write(&what, Method::DELETE, &path, None).await?;
                Ok(())
            }
        }
    }

    /// The parent, which must be refit's or not be there.
    async fn own_parent(&self, name: &AddonName) -> Result<Parent, ProviderError> {
        match self.parent(name).await? {
            None => Ok(Parent::default()),
            Some(parent) if parent.is_ours() => Ok(parent),
            Some(parent) => Err(permanent(format!(
                "ConfigMap {NAMESPACE}/{} is not refit's: its tooling is `{}`, not `{TOOLING_REFIT}`",
                parent_name(name),
                parent.tooling
            ))),
        }
    }

    async fn write_parent(&self, name: &AddonName, parent: &Parent) -> Done {
        let path = format!("{}?fieldManager={MANAGER}&force=true", parent_path(name));
        let what = format!("write the ApplySet parent of {name}");
        let object = parent.object(name);
        let written =
            self.api.write(&what, Method::PATCH, &path, Some((Body::Apply, &object))).await?;
        written.map(|_| ()).ok_or_else(|| permanent(format!("{what}: there is no {NAMESPACE}")))
    }

    /// Applies every object, with force: what refit owns gets the manifest's value, what it owned
    /// and the manifest does not name vanishes, what others own stays.
    async fn apply(&self, name: &AddonName, release: &AddonRelease) -> Done {
        let manifests = release.manifests.objects();
        let mut parent = self.own_parent(name).await?;
        parent.group_kinds.extend(manifests.iter().map(|manifest| group_kind(&manifest.object)));
        let namespaces = manifests.iter().filter_map(|manifest| manifest.object.namespace.clone());
        parent.namespaces.extend(namespaces.filter(|namespace| namespace != NAMESPACE));
        parent.applying = Some(release.manifests.digest().to_string());
        self.write_parent(name, &parent).await?;
        let mut ordered: Vec<&Manifest> = manifests.iter().collect();
        ordered.sort_by_key(|manifest| rank(&manifest.object.kind));
        for manifest in ordered {
            self.apply_object(name, manifest).await?;
        }
        Ok(())
    }

    async fn apply_object(&self, name: &AddonName, manifest: &Manifest) -> Done {
        let object = &manifest.object;
        let what = format!("apply {object}");
        let Some(served) = self.api.served(&object.api_version, &object.kind).await? else {
            // Its definition may have been applied a moment ago.
            let text = format!("{what}: the cluster does not serve {} yet", object.api_version);
            return Err(ProviderError::new(ErrorClass::Transient, text));
        };
        let namespace = object.namespace.as_deref().unwrap_or("default");
        let path = served.object(Some(namespace), &object.name);
        let path = format!("{path}?fieldManager={MANAGER}&force=true&fieldValidation=Strict");
        let value = to_send(manifest, name);
        let sent = self.api.write(&what, Method::PATCH, &path, Some((Body::Apply, &value))).await;
        match sent {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(permanent(format!("{what}: there is no namespace {namespace}"))),
            Err(mut error) => {
                error.message = format!("{} ({})", error.message, manifest.file);
                Err(error)
            }
        }
    }

    /// Moves what these managers own in the manifests' objects to refit, as kubectl does when it
    /// migrates to server-side apply: fields that the manifest does not name vanish with the
    /// next apply.
    async fn adopt(
        &self,
        name: &AddonName,
        addon: Option<&Addon>,
        release: &AddonRelease,
        managers: &BTreeSet<String>,
    ) -> Done {
        let mut parent = self.own_parent(name).await?;
        if parent.adopting.is_none() {
            let detect = addon.and_then(|addon| addon.detect.as_ref());
            let found = self.foreign_version(detect).await?;
            parent.adopting = Some(found.unwrap_or_else(|| "unknown".to_owned()));
            self.write_parent(name, &parent).await?;
        }
        for manifest in release.manifests.objects() {
            let object = &manifest.object;
            let Some(live) = self.live(object).await? else { continue };
            let Some(taken) = fields::taken_over(&live, managers) else { continue };
            let patch = json!([
                { "op": "replace", "path": "/metadata/managedFields", "value": taken },
                {
                    "op": "replace",
                    "path": "/metadata/resourceVersion",
                    "value": live["metadata"]["resourceVersion"],
                },
            ]);
            let served = self.api.must_serve(&object.api_version, &object.kind).await?;
            let namespace = object.namespace.as_deref().unwrap_or("default");
            let path = served.object(Some(namespace), &object.name);
            let path = format!("{path}?fieldManager={MANAGER}");
            let what = format!("take over the fields of {object}");
            self.api.write(&what, Method::PATCH, &path, Some((Body::Json, &patch))).await?;
        }
        Ok(())
    }

    /// Deletes members of the add-on, and nothing else, whatever was asked for.
    async fn delete_members(
        &self,
        name: &AddonName,
        addon: Option<&Addon>,
        objects: &BTreeSet<ObjectRef>,
    ) -> Done {
        let mut ordered: Vec<&ObjectRef> = objects.iter().collect();
        ordered.sort_by_key(|object| std::cmp::Reverse(rank(&object.kind)));
        for object in ordered {
            let Some(live) = self.live(object).await? else { continue };
            let meta = &live["metadata"];
            if meta["labels"][PART_OF] != Value::String(id_of(name)) {
                continue;
            }
            if !may_delete(addon, object) {
                let text =
                    format!("{object} is kept: `prune` of {name} does not name {}", object.kind);
                return Err(permanent(text));
            }
            let served = self.api.must_serve(&object.api_version, &object.kind).await?;
            let namespace = object.namespace.as_deref().unwrap_or("default");
            let path = served.object(Some(namespace), &object.name);
            let options = json!({
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "propagationPolicy": "Background",
                "preconditions": { "uid": meta["uid"] },
            });
            let what = format!("delete {object}");
            self.api.write(&what, Method::DELETE, &path, Some((Body::Object, &options))).await?;
        }
        Ok(())
    }

    /// Narrows the parent to what the version has and writes its digest: from now on the add-on
    /// is at this version.
    async fn seal(&self, name: &AddonName, version: &AddonVersion, release: &AddonRelease) -> Done {
        let parent = self.own_parent(name).await?;
        let declared: BTreeMap<_, &Manifest> = release
            .manifests
            .objects()
            .iter()
            .map(|manifest| (identity(&manifest.object), manifest))
            .collect();
        // What is kept, such as a definition that no version names any more, is still a member.
        let members = self.members(name, &parent).await?;
        let kept = members.values().map(|(object, _)| object);
        let all = declared.values().map(|manifest| &manifest.object).chain(kept);
        let mut sealed = Parent {
            sealed: Some(ApplySetParent {
                digest: *release.manifests.digest(),
                version: version.clone(),
            }),
            ..Parent::default()
        };
        for object in all {
            sealed.group_kinds.insert(group_kind(object));
            sealed.namespaces.extend(object.namespace.clone().filter(|name| name != NAMESPACE));
        }
        self.write_parent(name, &sealed).await
    }
}

fn parent_path(name: &AddonName) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{}", parent_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_comes_first() {
        let mut kinds =
            ["APIService", "Deployment", "Issuer", "ServiceAccount", "CustomResourceDefinition"];
        kinds.sort_by_key(|kind| rank(kind));
        assert_eq!(
            kinds,
            ["CustomResourceDefinition", "ServiceAccount", "Deployment", "Issuer", "APIService"]
        );
    }

    #[test]
    fn a_definition_is_deleted_only_where_that_is_asked_for() {
        let object = ObjectRef {
            api_version: "apiextensions.k8s.io/v1".into(),
            kind: "CustomResourceDefinition".into(),
            namespace: None,
            name: "x".into(),
        };
        assert!(!may_delete(None, &object));
        let plain = ObjectRef { kind: "ConfigMap".into(), ..object };
        assert!(may_delete(None, &plain));
    }
}
