//! What the user that refit is has to be allowed: the rules as RBAC has them, and the question
//! whether they hold, which the apiserver answers by self-subject access reviews
//! ([docs](https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access)).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::{StreamExt, TryStreamExt};
use http::Method;
use kube::core::{ApiResource, GroupVersionKind};
use refit_model::{Action, ActionKind, Addon, AddonName, Manifest, ObjectRef};
use refit_provider::{ErrorClass, ProviderError};
use serde_json::{Value, json};

use crate::api::Body;
use crate::lease::LEASE;
use crate::{Kubernetes, NAMESPACE};

/// How many reviews are asked for at once.
const TOGETHER: usize = 8;
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const CRDS: &str = "apiextensions.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

/// Verbs on a resource, as a rule of RBAC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// The API group; empty: the core group.
    pub group: String,
    /// The resource, in plural, with its subresource: `pods/eviction`.
    pub resource: String,
    /// Only these objects; empty: all.
    pub names: BTreeSet<String>,
    /// Only in this namespace; none: everywhere.
    pub namespace: Option<String>,
    /// What may be done.
    pub verbs: BTreeSet<&'static str>,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verbs: Vec<&str> = self.verbs.iter().copied().collect();
        write!(f, "{} {}", verbs.join(", "), self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.names.is_empty() {
            let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
            write!(f, " ({})", names.join(", "))?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, " in {namespace}")?;
        }
        Ok(())
    }
}

/// What is to be done, as far as permissions depend on it.
#[derive(Clone, Debug, Default)]
struct Needs<'a> {
    writes: bool,
    rolls: bool,
    manifests: Vec<&'a Manifest>,
    /// The CustomResourceDefinitions whose objects are written back.
    migrates: BTreeSet<&'a str>,
}

/// What observing and planning take, for a fleet with these add-ons.
pub fn to_plan(addons: &BTreeMap<AddonName, Addon>) -> Vec<Permission> {
    let manifests = every_manifest(addons);
    permissions(&Needs { writes: false, rolls: false, manifests, migrates: BTreeSet::new() })
}

/// What applying takes besides, for a fleet with these add-ons.
pub fn to_apply(addons: &BTreeMap<AddonName, Addon>) -> Vec<Permission> {
    let manifests = every_manifest(addons);
    let migrates = addons.values().flat_map(|addon| addon.migrates().into_keys()).collect();
    permissions(&Needs { writes: true, rolls: true, manifests, migrates })
}

fn every_manifest(addons: &BTreeMap<AddonName, Addon>) -> Vec<&Manifest> {
    let releases = addons.values().flat_map(|addon| addon.versions.values());
    releases.flat_map(|release| release.manifests.objects()).collect()
}

/// What these actions take, as writes.
fn of_actions<'a>(
    addons: &'a BTreeMap<AddonName, Addon>,
    actions: &[&'a Action],
) -> Vec<Permission> {
    let mut needs = Needs { writes: true, ..Needs::default() };
    for action in actions {
        needs.rolls |= action.kind.rolls();
        let (addon, to) = match &action.kind {
            ActionKind::AddonApply { addon, to, .. } | ActionKind::AddonAdopt { addon, to, .. } => {
                (addon, Some(to))
            }
            ActionKind::AddonRemove { addon, .. } => (addon, None),
            ActionKind::StorageMigration { crds, .. } => {
                needs.migrates.extend(crds.keys().map(String::as_str));
                continue;
            }
            _ => continue,
        };
        let Some(declared) = addons.get(addon) else { continue };
        // A removal deletes what any version may have brought.
        let releases = declared
            .versions
            .iter()
            .filter(|(version, _)| to.is_none_or(|to| to == *version))
            .map(|(_, release)| release);
        needs.manifests.extend(releases.flat_map(|release| release.manifests.objects()));
    }
    permissions(&needs)
}

fn permissions(needs: &Needs<'_>) -> Vec<Permission> {
    let mut all = Vec::new();
    let mut may = |group: &str, resource: &str, verbs: &[&'static str]| {
        all.push(Permission {
            group: group.to_owned(),
            resource: resource.to_owned(),
            names: BTreeSet::new(),
            namespace: None,
            verbs: verbs.iter().copied().collect(),
        });
        all.len() - 1
    };
    let mut own = Vec::new();
    if needs.writes {
        if needs.rolls {
            may("", "nodes", &["patch"]);
            may("", "pods/eviction", &["create"]);
        }
        // A creation has no name that a rule could be bound to.
        own.push((may("coordination.k8s.io", "leases", &["create"]), None));
        own.push((may("coordination.k8s.io", "leases", &["update", "delete"]), Some(LEASE)));
        if !needs.manifests.is_empty() {
            own.push((may("", "configmaps", &["create", "get", "patch", "delete"]), None));
        }
        for crd in &needs.migrates {
            let (plural, group) = crd.split_once('.').unwrap_or((crd, ""));
            may(group, plural, &["get", "list", "update"]);
        }
        if !needs.migrates.is_empty() {
            may(CRDS, "customresourcedefinitions", &["get"]);
            let status = may(CRDS, "customresourcedefinitions/status", &["patch"]);
            all[status].names.extend(needs.migrates.iter().map(|crd| (*crd).to_owned()));
        }
    } else {
        let cluster = may("", "namespaces", &["get"]);
        for resource in ["nodes", "persistentvolumeclaims", "persistentvolumes", "pods"] {
            may("", resource, &["list"]);
        }
        for resource in ["daemonsets", "deployments", "statefulsets"] {
            may("apps", resource, &["list"]);
        }
        may("policy", "poddisruptionbudgets", &["list"]);
        may("storage.k8s.io", "volumeattachments", &["list"]);
        own.push((may("coordination.k8s.io", "leases", &["get"]), Some(LEASE)));
        own.push((may("", "configmaps", &["list"]), None));
        all[cluster].names.insert(NAMESPACE.to_owned());
    }
    for (at, name) in own {
        all[at].namespace = Some(NAMESPACE.to_owned());
        all[at].names.extend(name.map(str::to_owned));
    }
    all.extend(of_objects(needs));
    all.sort();
    all
}

/// The kinds of the add-ons' objects; and what it takes to grant what their roles grant.
fn of_objects(needs: &Needs<'_>) -> BTreeSet<Permission> {
    let plurals = plurals(&needs.manifests);
    let plural = |object: &ObjectRef| {
        let (group, kind) = (object.group(), object.kind.as_str());
        plurals.get(&(group.to_owned(), kind.to_owned())).cloned().unwrap_or_else(|| {
            ApiResource::from_gvk(&GroupVersionKind::gvk(group, "", kind)).plural
        })
    };
    let mut all = BTreeSet::new();
    let mut granting: BTreeMap<(&str, &'static str), BTreeSet<String>> = BTreeMap::new();
    for manifest in &needs.manifests {
        let object = &manifest.object;
        let verbs: &[&'static str] =
            if needs.writes { &["create", "patch", "delete"] } else { &["get", "list"] };
        all.insert(Permission {
            group: object.group().to_owned(),
            resource: plural(object),
            names: BTreeSet::new(),
            namespace: None,
            verbs: verbs.iter().copied().collect(),
        });
        if !needs.writes || object.group() != RBAC {
            continue;
        }
        match object.kind.as_str() {
            "ClusterRole" => {
                granting
                    .entry(("clusterroles", "escalate"))
                    .or_default()
                    .insert(object.name.clone());
            }
            "Role" => {
                granting.entry(("roles", "escalate")).or_default().insert(object.name.clone());
            }
            "ClusterRoleBinding" | "RoleBinding" => {
                let role = &manifest.value["roleRef"];
                let resource = if role["kind"] == "Role" { "roles" } else { "clusterroles" };
                let names = granting.entry((resource, "bind")).or_default();
                names.extend(role["name"].as_str().map(str::to_owned));
            }
            _ => {}
        }
    }
    all.extend(granting.into_iter().map(|((resource, verb), names)| Permission {
        group: RBAC.to_owned(),
        resource: resource.to_owned(),
        names,
        namespace: None,
        verbs: [verb].into(),
    }));
    all
}

/// What the add-ons' own definitions call their kinds.
fn plurals(manifests: &[&Manifest]) -> BTreeMap<(String, String), String> {
    let definitions =
        manifests.iter().filter(|manifest| manifest.object.kind == "CustomResourceDefinition");
    definitions
        .filter_map(|manifest| {
            let spec = &manifest.value["spec"];
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let kind = (text(&spec["group"])?, text(&spec["names"]["kind"])?);
            Some((kind, text(&spec["names"]["plural"])?))
        })
        .collect()
}

/// Whom the permissions are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A user, by the name that authentication gives.
    User(String),
    /// A group of users.
    Group(String),
    /// A service account.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Subject {
    fn value(&self) -> Value {
        match self {
            Self::User(name) => json!({ "kind": "User", "apiGroup": RBAC, "name": name }),
            Self::Group(name) => json!({ "kind": "Group", "apiGroup": RBAC, "name": name }),
            Self::ServiceAccount { namespace, name } => {
                json!({ "kind": "ServiceAccount", "namespace": namespace, "name": name })
            }
        }
    }
}

/// A ClusterRole and a Role of this name that allow it, with their bindings.
pub fn roles(name: &str, permissions: &[Permission], subject: &Subject) -> Vec<Value> {
    // One rule for each resource, whatever its verbs are for.
    let mut merged: BTreeMap<_, BTreeSet<&'static str>> = BTreeMap::new();
    for Permission { group, resource, names, namespace, verbs } in permissions {
        merged.entry((namespace.as_deref(), group, resource, names)).or_default().extend(verbs);
    }
    let rules = |namespace: Option<&str>| -> Vec<Value> {
        let of = merged.iter().filter(|((found, ..), _)| *found == namespace);
        of.map(|((_, group, resource, names), verbs)| rule(group, resource, names, verbs)).collect()
    };
    let mut objects = Vec::new();
    let mut grant = |role: &str, namespace: Option<&str>| {
        let rules = rules(namespace);
        if rules.is_empty() {
            return;
        }
        let mut metadata = json!({ "name": name });
        if let Some(namespace) = namespace {
            metadata["namespace"] = namespace.into();
        }
        objects.push(json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": role, "metadata": metadata, "rules": rules,
        }));
        objects.push(json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": format!("{role}Binding"),
            "metadata": metadata,
            "roleRef": { "apiGroup": RBAC, "kind": role, "name": name },
            "subjects": [subject.value()],
        }));
    };
    grant("ClusterRole", None);
    grant("Role", Some(NAMESPACE));
    objects
}

fn rule(
    group: &str,
    resource: &str,
    names: &BTreeSet<String>,
    verbs: &BTreeSet<&'static str>,
) -> Value {
    let mut rule = json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
    if !names.is_empty() {
        rule["resourceNames"] = json!(names);
    }
    rule
}

impl Kubernetes {
    /// What these actions take and the user is not allowed.
    pub(crate) async fn missing(
        &self,
        addons: &BTreeMap<AddonName, Addon>,
        actions: &[&Action],
    ) -> Result<Vec<String>, ProviderError> {
        let permissions = of_actions(addons, actions);
        let mut asked = Vec::new();
        for permission in &permissions {
            for verb in &permission.verbs {
                let names: Vec<Option<&str>> = if permission.names.is_empty() {
                    vec![None]
                } else {
                    permission.names.iter().map(|name| Some(name.as_str())).collect()
                };
                for name in names {
                    asked.push(self.may(permission, verb, name));
                }
            }
        }
        let answers: Vec<Option<String>> =
            futures::stream::iter(asked).buffered(TOGETHER).try_collect().await?;
        Ok(answers.into_iter().flatten().collect())
    }

    /// What is missing if one verb is not allowed.
    async fn may(
        &self,
        permission: &Permission,
        verb: &'static str,
        name: Option<&str>,
    ) -> Result<Option<String>, ProviderError> {
        let Permission { group, resource, namespace, .. } = permission;
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "group": group,
                "resource": resource,
                "subresource": subresource,
                "verb": verb,
                "name": name.unwrap_or_default(),
                "namespace": namespace.as_deref().unwrap_or_default(),
            }},
        });
        let what = "ask what refit may do";
        let answer =
            self.api.write(what, Method::POST, REVIEWS, Some((Body::Object, &review))).await;
        // Asking changes nothing: an answer that was lost is asked for again.
        let answer = answer.map_err(|mut error| {
            if error.class == ErrorClass::Unknown {
                error.class = ErrorClass::Transient;
            }
            error
        })?;
        let allowed = answer.is_some_and(|answer| answer["status"]["allowed"] == true);
        let one = Permission {
            verbs: [verb].into(),
            names: name.map(str::to_owned).into_iter().collect(),
            ..permission.clone()
        };
        Ok((!allowed).then(|| one.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(permissions: &[Permission]) -> Vec<String> {
        permissions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_fleet_without_add_ons_takes_little() {
        let none = BTreeMap::new();
        let plan = to_plan(&none);
        assert!(
            plan.iter().all(|each| each.verbs.iter().all(|verb| ["get", "list"].contains(verb)))
        );
        assert_eq!(
            said(&to_apply(&none)),
            [
                "patch nodes",
                "create pods/eviction",
                "create leases.coordination.k8s.io in kube-system",
                "delete, update leases.coordination.k8s.io (refit) in kube-system",
            ]
        );
    }

    #[test]
    fn a_storage_migration_takes_its_objects_and_its_definitions() {
        let crd = "volumes.acme.example";
        let needs = Needs { writes: true, migrates: [crd].into(), ..Needs::default() };
        assert_eq!(
            said(&permissions(&needs)),
            [
                "get, list, update volumes.acme.example",
                "get customresourcedefinitions.apiextensions.k8s.io",
                "patch customresourcedefinitions/status.apiextensions.k8s.io (volumes.acme.example)",
                "create leases.coordination.k8s.io in kube-system",
                "delete, update leases.coordination.k8s.io (refit) in kube-system",
            ]
        );
    }

    #[test]
    fn what_is_bound_to_a_namespace_is_a_role() {
        let subject = Subject::Group("platform".into());
        let objects = roles("refit", &to_apply(&BTreeMap::new()), &subject);
        let kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]);
        assert_eq!(objects[1]["subjects"][0]["name"], "platform");
        assert_eq!(objects[2]["metadata"]["namespace"], "kube-system");
        assert_eq!(objects[2]["rules"][1]["resourceNames"], json!(["refit"]));
    }
}
