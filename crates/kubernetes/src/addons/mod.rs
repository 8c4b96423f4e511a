//! Add-ons as ApplySets
//! ([KEP-3659](https://github.com/kubernetes/enhancements/tree/master/keps/sig-cli/3659-kubectl-apply-prune)):
//! a parent, a ConfigMap in `kube-system`, says which kinds its members are of and which version
//! was applied whole; every member carries the parent's id as a label.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use refit_model::{AddonName, AddonVersion, ApplySetParent, Digest, Manifest, ObjectRef};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::NAMESPACE;
use crate::pods::Meta;

mod act;
mod fields;
mod observe;
mod ready;
mod storage;

/// Before the add-on's name in the name of its parent.
const PARENT_PREFIX: &str = "refit-addon-";
/// On a parent: its id.
const ID: &str = "applyset.kubernetes.io/id";
/// On a member: the id of its parent.
const PART_OF: &str = "applyset.kubernetes.io/part-of";
/// On a parent: who keeps it.
const TOOLING: &str = "applyset.kubernetes.io/tooling";
/// What stands there for refit, before the version of the format.
const TOOLING_REFIT: &str = "refit/";
/// On a parent: the kinds of its members.
const GROUP_KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
/// On a parent: the namespaces of its members beside its own.
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
/// On a parent: the version that was applied whole.
const VERSION: &str = "refit.dev/version";
/// On a parent: the digest of the manifests that were applied whole.
const DIGEST: &str = "refit.dev/digest";
/// On a parent: the digest of the manifests that are being applied; gone when they were, whole.
const APPLYING: &str = "refit.dev/applying";
/// On a parent: the version of the foreign copy that is being adopted.
const ADOPTING: &str = "refit.dev/adopting";

/// The parent's ConfigMap of an add-on.
fn parent_name(addon: &AddonName) -> String {
    format!("{PARENT_PREFIX}{addon}")
}

/// The id of an ApplySet, from the identity of its parent.
fn id_of(addon: &AddonName) -> String {
    let identity = format!("{}.{NAMESPACE}.ConfigMap.", parent_name(addon));
    format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(Sha256::digest(identity)))
}

/// A parent as it stands in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Parent {
    tooling: String,
    group_kinds: BTreeSet<String>,
    namespaces: BTreeSet<String>,
    sealed: Option<ApplySetParent>,
    applying: Option<String>,
    adopting: Option<String>,
}

impl Parent {
    fn of(meta: &Meta) -> Self {
        let text = |key: &str| meta.annotations.get(key).cloned();
        let list = |key: &str| -> BTreeSet<String> {
            let all = text(key).unwrap_or_default();
            all.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let digest: Option<Digest> = text(DIGEST).and_then(|text| text.parse().ok());
        let version: Option<AddonVersion> = text(VERSION).and_then(|text| text.parse().ok());
        Self {
            tooling: text(TOOLING).unwrap_or_default(),
            group_kinds: list(GROUP_KINDS),
            namespaces: list(NAMESPACES),
            sealed: digest.zip(version).map(|(digest, version)| ApplySetParent { digest, version }),
            applying: text(APPLYING),
            adopting: text(ADOPTING),
        }
    }

    fn is_ours(&self) -> bool {
        self.tooling.starts_with(TOOLING_REFIT)
    }

    /// The whole ConfigMap, to be applied.
    fn object(&self, addon: &AddonName) -> Value {
        let Self { tooling: _, group_kinds, namespaces, sealed, applying, adopting } = self;
        let joined = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(",");
        let mut annotations = Map::new();
        let mut note = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                annotations.insert(key.to_owned(), value.into());
            }
        };
        note(TOOLING, Some(format!("{TOOLING_REFIT}1")));
        note(GROUP_KINDS, Some(joined(group_kinds)));
        note(NAMESPACES, Some(joined(namespaces)));
        note(VERSION, sealed.as_ref().map(|sealed| sealed.version.to_string()));
        note(DIGEST, sealed.as_ref().map(|sealed| sealed.digest.to_string()));
        note(APPLYING, applying.clone());
        note(ADOPTING, adopting.clone());
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": parent_name(addon),
                "namespace": NAMESPACE,
                "labels": { ID: id_of(addon) },
                "annotations": annotations,
            },
        })
    }
}

/// The group and kind of an object as a parent lists them: `Deployment.apps`, `ConfigMap`.
fn group_kind(object: &ObjectRef) -> String {
    match object.group() {
        "" => object.kind.clone(),
        group => format!("{}.{group}", object.kind),
    }
}

/// The manifest as it is sent: without what only a server writes, a Secret's text encoded as the
/// server stores it, and as a member of the add-on.
fn to_send(manifest: &Manifest, addon: &AddonName) -> Value {
    let mut value = manifest.value.clone();
    let Some(object) = value.as_object_mut() else { return value };
    object.remove("status");
    if let Some(Value::Object(texts)) = object.remove("stringData") {
        let data = object.entry("data").or_insert_with(|| json!({}));
        for (key, text) in texts {
            data[key] = STANDARD.encode(text.as_str().unwrap_or_default()).into();
        }
    }
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.remove("creationTimestamp");
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        if !labels.is_object() {
            *labels = json!({});
        }
        labels[PART_OF] = id_of(addon).into();
    }
    value
}

/// The objects of a list of manifests, each once whatever the version of its API.
fn by_identity<'a>(
    manifests: impl Iterator<Item = &'a Manifest>,
) -> BTreeMap<Identity, &'a Manifest> {
    manifests.map(|manifest| (identity(&manifest.object), manifest)).collect()
}

/// Group, kind, namespace, name.
type Identity = (String, String, Option<String>, String);

fn identity(object: &ObjectRef) -> Identity {
    let (group, kind, namespace, name) = object.identity();
    (group.to_owned(), kind.to_owned(), namespace.map(str::to_owned), name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(value: Value) -> Manifest {
        let object = ObjectRef {
            api_version: "v1".into(),
            kind: "Secret".into(),
            namespace: Some("a".into()),
            name: "s".into(),
        };
        Manifest { object, value, file: String::new() }
    }

    #[test]
    fn the_id_is_that_of_the_kep() {
        let addon = "coredns".parse().unwrap();
        let id = id_of(&addon);
        assert!(id.starts_with("applyset-") && id.ends_with("-v1") && id.len() == 9 + 43 + 3);
        assert_ne!(id, id_of(&"other".parse().unwrap()));
    }

    #[test]
    fn a_parent_is_read_as_it_was_written() {
        let parent = Parent {
            tooling: "refit/1".into(),
            group_kinds: ["ConfigMap".to_owned(), "Deployment.apps".to_owned()].into(),
            namespaces: ["dns".to_owned()].into(),
            sealed: Some(ApplySetParent {
                digest: refit_model::digest_of(&"x"),
                version: "1.2.3".parse().unwrap(),
            }),
            applying: Some("abc".into()),
            adopting: None,
        };
        let object = parent.object(&"coredns".parse().unwrap());
        let meta: Meta = serde_json::from_value(object["metadata"].clone()).unwrap();
        assert_eq!(Parent::of(&meta), parent);
        assert!(!Parent::of(&Meta::default()).is_ours());
    }

    #[test]
    fn a_secret_is_sent_as_it_is_stored() {
        let sent = to_send(
            &manifest(json!({
                "kind": "Secret", "status": {}, "metadata": {"name": "s", "creationTimestamp": null},
                "stringData": {"key": "hunter2"},
            })),
            &"x".parse().unwrap(),
        );
        assert_eq!(sent["data"]["key"], "aHVudGVyMg==");
        assert!(sent.get("stringData").is_none() && sent.get("status").is_none());
        assert_eq!(sent["metadata"]["labels"][PART_OF], id_of(&"x".parse().unwrap()));
    }
}
