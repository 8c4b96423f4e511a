//! Kubernetes objects as refit handles them: references, manifests, workloads.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::text::as_text;
use crate::{Crd, Digest, digest_of};

/// Which object: group and version, kind, namespace, name.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub struct ObjectRef {
    /// Such as `apps/v1` or `v1`.
    pub api_version: String,
    /// Such as `Deployment`.
    pub kind: String,
    /// None for objects of the cluster itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

impl ObjectRef {
    /// The API group, empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Whether both name the same object, in whatever version of its API.
    pub fn same_object(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }

    /// What makes it one object, whatever the version of its API that is used to reach it.
    pub fn identity(&self) -> (&str, &str, Option<&str>, &str) {
        (self.group(), &self.kind, self.namespace.as_deref(), &self.name)
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// One object of an add-on, as its file declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// Which object.
    pub object: ObjectRef,
    /// The whole object.
    pub value: Value,
    /// The file it was read from, relative to the fleet's directory.
    pub file: String,
}

/// The objects of one version of an add-on, ordered by object, with their digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestSet {
    digest: Digest,
    objects: Vec<Manifest>,
    crds: BTreeMap<String, Crd>,
}

impl ManifestSet {
    /// Orders the objects and computes their digest. Files and their order do not count.
    pub fn new(mut objects: Vec<Manifest>) -> Self {
        objects.sort_by(|a, b| a.object.cmp(&b.object));
        let values: Vec<(&ObjectRef, &Value)> =
            objects.iter().map(|manifest| (&manifest.object, &manifest.value)).collect();
        // One that cannot be read is an error of the files, which `config` reports.
        let crds = objects.iter().filter_map(|manifest| {
            Some((manifest.object.name.clone(), Crd::of(&manifest.value).ok()??))
        });
        Self { digest: digest_of(&values), crds: crds.collect(), objects }
    }

    /// What stands on the ApplySet parent once these objects are applied.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The CustomResourceDefinitions among them, by name.
    pub fn crds(&self) -> &BTreeMap<String, Crd> {
        &self.crds
    }

    /// The objects, in order.
    pub fn objects(&self) -> &[Manifest] {
        &self.objects
    }
}

/// The object as plans, snapshots and diffs may show it: of a Secret, digests instead of data.
#[must_use]
pub fn redact(value: &Value) -> Value {
    let mut shown = value.clone();
    if value.get("kind").and_then(Value::as_str) != Some("Secret") {
        return shown;
    }
    for field in ["data", "stringData"] {
        let Some(entries) = shown.get_mut(field).and_then(Value::as_object_mut) else {
            continue;
        };
        for secret in entries.values_mut() {
            let digest = digest_of(secret);
            *secret = Value::String(format!("(sha256 {digest:.12})"));
        }
    }
    shown
}

/// A workload that owns pods and replaces them: a Deployment, StatefulSet, DaemonSet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct WorkloadRef {
    /// Such as `Deployment`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl WorkloadRef {
    /// A workload by kind, namespace and name.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

impl FromStr for WorkloadRef {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            [kind, namespace, name] => Ok(Self::new(kind, namespace, name)),
            _ => Err(format!("`{text}` is not `Kind/namespace/name`")),
        }
    }
}

as_text!(WorkloadRef);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_shows_only_digests() {
        let secret =
            json!({"kind": "Secret", "data": {"key": "aHVudGVyMg=="}, "stringData": {"a": "b"}});
        let shown = redact(&secret).to_string();
        assert!(!shown.contains("aHVudGVyMg") && shown.contains("(sha256 "));
        let plain = json!({"kind": "ConfigMap", "data": {"key": "value"}});
        assert_eq!(redact(&plain), plain);
    }

    #[test]
    fn a_manifest_set_does_not_depend_on_files() {
        let manifest = |name: &str, file: &str| Manifest {
            object: ObjectRef {
                api_version: "v1".into(),
                kind: "ConfigMap".into(),
                namespace: None,
                name: name.into(),
            },
            value: json!({"name": name}),
            file: file.into(),
        };
        let one = ManifestSet::new(vec![manifest("a", "x.yaml"), manifest("b", "x.yaml")]);
        let two = ManifestSet::new(vec![manifest("b", "y.yaml"), manifest("a", "z.yaml")]);
        assert_eq!(one.digest(), two.digest());
    }
}
