//! CustomResourceDefinitions: in which versions their objects are served and stored.
//!
//! `status.storedVersions` of a definition names every version that an object of it may be stored
//! in. An apiserver refuses an update of the definition that no longer lists one of them
//! ([docs](https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#upgrade-existing-objects-to-a-new-stored-version)).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The kind of a definition.
const KIND: &str = "CustomResourceDefinition";
/// The version of its API; apiservers have not served an older one since 1.22.
const API: &str = "apiextensions.k8s.io/v1";

/// A definition, as far as versions go. Its name is `<plural>.<group>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crd {
    /// The API group of its objects.
    pub group: String,
    /// What its objects are called in paths.
    pub plural: String,
    /// The versions that it lists; whether each is served.
    pub versions: BTreeMap<String, bool>,
    /// The version that its objects are stored in when they are written.
    pub storage: String,
}

/// Why a definition is none that an apiserver takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCrd {
    /// A field is missing.
    #[error("the CustomResourceDefinition has no `{0}`")]
    Incomplete(&'static str),
    /// Its name is not made of what it defines.
    #[error("the CustomResourceDefinition has to be called `{0}`")]
    Misnamed(String),
    /// No version is the storage version.
    #[error("no version of the CustomResourceDefinition has `storage: true`")]
    NoStorage,
    /// More than one is.
    #[error("{} versions of the CustomResourceDefinition have `storage: true`: {}", .0.len(), .0.join(", "))]
    SeveralStorages(Vec<String>),
}

impl Crd {
    /// Reads an object; none: it is no definition.
    ///
    /// # Errors
    /// See [`InvalidCrd`].
    pub fn of(value: &Value) -> Result<Option<Self>, InvalidCrd> {
        if value["kind"] != KIND || value["apiVersion"] != API {
            return Ok(None);
        }
        let spec = &value["spec"];
        let text = |value: &Value, field| {
            let text = value.as_str().filter(|text| !text.is_empty());
            text.map(str::to_owned).ok_or(InvalidCrd::Incomplete(field))
        };
        let group = text(&spec["group"], "spec.group")?;
        let plural = text(&spec["names"]["plural"], "spec.names.plural")?;
        let name = format!("{plural}.{group}");
        if value["metadata"]["name"] != *name {
            return Err(InvalidCrd::Misnamed(name));
        }
        let listed = spec["versions"].as_array().filter(|all| !all.is_empty());
        let listed = listed.ok_or(InvalidCrd::Incomplete("spec.versions"))?;
        let mut versions = BTreeMap::new();
        let mut storages = Vec::new();
        for version in listed {
            let name = text(&version["name"], "spec.versions[].name")?;
            if version["storage"] == true {
                storages.push(name.clone());
            }
            versions.insert(name, version["served"] == true);
        }
        match &storages[..] {
            [] => Err(InvalidCrd::NoStorage),
            [storage] => Ok(Some(Self { group, plural, versions, storage: storage.clone() })),
            _ => Err(InvalidCrd::SeveralStorages(storages)),
        }
    }

    /// Whether it lists the version, served or not.
    pub fn lists(&self, version: &str) -> bool {
        self.versions.contains_key(version)
    }

    /// A version that its objects can be read and written in; none: nobody reaches them.
    pub fn reachable(&self) -> Option<&str> {
        let served = |version: &&String| self.versions.get(*version) == Some(&true);
        let others = self.versions.keys();
        std::iter::once(&self.storage).chain(others).find(served).map(String::as_str)
    }
}

/// A definition in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CrdState {
    /// The version that its objects are stored in when they are written.
    pub storage: String,
    /// The versions that some may be stored in: `status.storedVersions`.
    pub stored: BTreeSet<String>,
    /// Its objects, where a look was asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<BTreeSet<ObjectKey>>,
}

impl CrdState {
    /// Reads a live definition; none: it is none, or not one that is served.
    pub fn of(value: &Value) -> Option<Self> {
        let crd = Crd::of(value).ok()??;
        let stored = value["status"]["storedVersions"].as_array().into_iter().flatten();
        let stored = stored.filter_map(Value::as_str).map(str::to_owned).collect();
        Some(Self { storage: crd.storage, stored, objects: None })
    }
}

/// An object of a definition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ObjectKey {
    /// None for objects of the cluster itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What a storage migration does to one definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CrdMigration {
    /// What its objects may be stored in before.
    pub from: BTreeSet<String>,
    /// The only version that they are stored in after: its storage version.
    pub to: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn crd(versions: &Value) -> Value {
        json!({
            "kind": KIND, "apiVersion": API,
            "metadata": { "name": "volumes.acme.example" },
            "spec": { "group": "acme.example", "names": { "plural": "volumes" }, "versions": versions },
            "status": { "storedVersions": ["v1beta1", "v1"] },
        })
    }

    #[test]
    fn a_definition_is_read_with_its_storage_version() {
        let value = crd(&json!([
            { "name": "v1", "served": true, "storage": true },
            { "name": "v1beta1", "served": false, "storage": false },
        ]));
        let read = Crd::of(&value).unwrap().unwrap();
        assert_eq!((read.storage.as_str(), read.lists("v1beta1")), ("v1", true));
        assert!(!read.lists("v2"));
        assert_eq!(read.reachable(), Some("v1"));
        let state = CrdState::of(&value).unwrap();
        assert_eq!(state.stored, ["v1", "v1beta1"].map(str::to_owned).into());
    }

    #[test]
    fn objects_are_reached_in_whatever_version_is_served() {
        let value = crd(&json!([
            { "name": "v1", "served": false, "storage": true },
            { "name": "v1beta1", "served": true, "storage": false },
        ]));
        assert_eq!(Crd::of(&value).unwrap().unwrap().reachable(), Some("v1beta1"));
    }

    #[test]
    fn one_version_is_the_storage_version() {
        let none = crd(&json!([{ "name": "v1", "served": true, "storage": false }]));
        assert_eq!(Crd::of(&none), Err(InvalidCrd::NoStorage));
        let two =
            crd(&json!([{ "name": "v1", "storage": true }, { "name": "v2", "storage": true }]));
        let two = Crd::of(&two).unwrap_err();
        assert!(two.to_string().contains("2 versions") && two.to_string().contains("v1, v2"));
        assert_eq!(Crd::of(&crd(&json!([]))), Err(InvalidCrd::Incomplete("spec.versions")));
        assert_eq!(Crd::of(&json!({ "kind": "ConfigMap" })), Ok(None));
        let mut other = crd(&json!([]));
        other["metadata"]["name"] = "volumes".into();
        let name = "volumes.acme.example".to_owned();
        assert_eq!(Crd::of(&other), Err(InvalidCrd::Misnamed(name)));
    }
}
