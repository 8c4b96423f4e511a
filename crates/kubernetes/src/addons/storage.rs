//! Objects of CustomResourceDefinitions, written back so that they are stored in the storage
//! version, and `status.storedVersions` of the definition.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use http::Method;
use refit_model::{AddonName, ClusterState, Crd, ObjectKey};
use refit_provider::{ErrorClass, ProviderError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Body;
use crate::pods::Meta;
use crate::{Kubernetes, MANAGER};

/// How many objects are written back at once.
const TOGETHER: usize = 8;

#[derive(Deserialize)]
struct RawObject {
    metadata: Meta,
}

fn permanent(text: String) -> ProviderError {
    ProviderError::new(ErrorClass::Permanent, text)
}

fn path_of(name: &str) -> String {
    format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
}

/// The path of all objects of a definition, in a version that is served.
fn all_objects(name: &str, crd: &Crd) -> Result<String, ProviderError> {
    let version = crd.reachable().ok_or_else(|| permanent(format!("{name} serves no version")))?;
    Ok(format!("/apis/{}/{version}", crd.group))
}

fn object_path(root: &str, plural: &str, object: &ObjectKey) -> String {
    let ObjectKey { namespace, name } = object;
    match namespace {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}/{name}"),
        None => format!("{root}/{plural}/{name}"),
    }
}

impl Kubernetes {
    /// The definition as it is, and what of it counts; none: there is none.
    async fn definition(&self, name: &str) -> Result<Option<(Value, Crd)>, ProviderError> {
        let what = format!("get CustomResourceDefinition {name}");
        let Some(value) = self.api.find::<Value>(&what, &path_of(name)).await? else {
            return Ok(None);
        };
        let crd = Crd::of(&value).map_err(|error| permanent(format!("{name}: {error}")))?;
        Ok(crd.map(|crd| (value, crd)))
    }

    /// Adds what objects there are of these definitions to what was seen of the add-on.
    pub(crate) async fn look_at_objects(
        &self,
        addon: &AddonName,
        crds: &BTreeSet<String>,
        state: &mut ClusterState,
    ) -> Result<(), ProviderError> {
        let Some(seen) = state.addons.get_mut(addon) else { return Ok(()) };
        for (name, shown) in seen.crds.iter_mut().filter(|(name, _)| crds.contains(*name)) {
            let Some((_, crd)) = self.definition(name).await? else { continue };
            let path = format!("{}/{}", all_objects(name, &crd)?, crd.plural);
            let mut objects = BTreeSet::new();
            let each = |raw: RawObject| {
                let Meta { name, namespace, .. } = raw.metadata;
                let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
                objects.insert(ObjectKey { namespace, name });
            };
            self.api.list(&format!("list the objects of {name}"), &path, None, each).await?;
            shown.objects = Some(objects);
        }
        Ok(())
    }

    /// Writes each object back at its resource version. One that was written by somebody else
    /// since it was read, or is gone, is stored as it should be.
    pub(super) async fn write_back(
        &self,
        name: &str,
        objects: &BTreeSet<ObjectKey>,
    ) -> Result<(), ProviderError> {
        let Some((_, crd)) = self.definition(name).await? else { return Ok(()) };
        let root = all_objects(name, &crd)?;
        let mut writes = Vec::new();
        for object in objects {
            let path = object_path(&root, &crd.plural, object);
            writes.push(self.write_one_back(name, object, path));
        }
        futures::stream::iter(writes).buffer_unordered(TOGETHER).try_collect().await
    }

    async fn write_one_back(
        &self,
        crd: &str,
        object: &ObjectKey,
        path: String,
    ) -> Result<(), ProviderError> {
        let what = format!("get {object} of {crd}");
        let Some(value) = self.api.find_served(&what, &path).await? else { return Ok(()) };
        let what = format!("write {object} of {crd} back");
        self.api.put_back(&what, &format!("{path}?fieldManager={MANAGER}"), &value).await
    }

    /// Narrows `status.storedVersions` to the storage version, if the definition is still the one
    /// that was read.
    pub(super) async fn set_stored(&self, name: &str, version: &str) -> Result<(), ProviderError> {
        let Some((value, crd)) = self.definition(name).await? else { return Ok(()) };
        if crd.storage != version {
            let storage = &crd.storage;
            return Err(permanent(format!("{name} stores objects in {storage}, not in {version}")));
        }
        let wanted = json!([version]);
        if value["status"]["storedVersions"] == wanted {
            return Ok(());
        }
        let patch = json!({
            "metadata": { "resourceVersion": value["metadata"]["resourceVersion"] },
            "status": { "storedVersions": wanted },
        });
        let path = format!("{}/status?fieldManager={MANAGER}", path_of(name));
        let what = format!("set the stored versions of {name}");
        self.api.write(&what, Method::PATCH, &path, Some((Body::Merge, &patch))).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_in_a_version_that_is_served() {
        let crd = Crd {
            group: "acme.example".into(),
            plural: "volumes".into(),
            versions: [("v1".to_owned(), true), ("v1beta1".to_owned(), false)].into(),
            storage: "v1beta1".into(),
        };
        let root = all_objects("volumes.acme.example", &crd).unwrap();
        let mut key = ObjectKey { namespace: Some("shop".into()), name: "one".into() };
        let path = object_path(&root, &crd.plural, &key);
        assert_eq!(path, "/apis/acme.example/v1/namespaces/shop/volumes/one");
        key.namespace = None;
        assert_eq!(object_path(&root, &crd.plural, &key), "/apis/acme.example/v1/volumes/one");
        let crd = Crd { versions: [("v1".to_owned(), false)].into(), ..crd };
        let error = all_objects("volumes.acme.example", &crd).unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
    }
}
