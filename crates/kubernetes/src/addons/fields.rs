//! Who owns which field of an object: `managedFields` in the format `FieldsV1`
//! ([docs](https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management)).
//!
//! Whether a field still has the value that refit gave it is read from its ownership: whoever
//! changes it by anything but an apply takes it over. Values are not compared, because the
//! apiserver writes many of them in another way (`1000m` as `1`).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::MANAGER;

/// Fields of `metadata` that name the object or are the server's, and are owned by nobody.
const UNOWNED: [&str; 8] = [
    "creationTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// A field by the keys that lead to it, and as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    keys: Vec<String>,
    pub(crate) shown: String,
}

/// The entries of an object's `managedFields` that are about the object itself.
pub(crate) fn entries(object: &Value) -> impl Iterator<Item = &Value> {
    let all = object["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter(|entry| entry["subresource"].as_str().unwrap_or_default().is_empty())
}

fn manager(entry: &Value) -> &str {
    entry["manager"].as_str().unwrap_or_default()
}

fn is_ours(entry: &Value) -> bool {
    manager(entry) == MANAGER && entry["operation"] == "Apply"
}

/// Everybody but refit who owns a field of the object.
pub(crate) fn other_managers(object: &Value) -> BTreeSet<String> {
    let others = entries(object).filter(|entry| manager(entry) != MANAGER);
    others.map(|entry| manager(entry).to_owned()).collect()
}

/// The fields of the manifest that refit does not own in the live object, and who owns them.
pub(crate) fn lost(manifest: &Value, live: &Value) -> Vec<(Field, Option<String>)> {
    let none = Value::Object(Map::new());
    let ours = entries(live).find(|entry| is_ours(entry)).map_or(&none, |e| &e["fieldsV1"]);
    let mut fields = Vec::new();
    for (key, value) in manifest.as_object().into_iter().flatten() {
        match key.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => {
                let named: Map<String, Value> = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(key, _)| !UNOWNED.contains(&key.as_str()))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                if !named.is_empty() {
                    let at = Field { keys: Vec::new(), shown: String::new() };
                    step(&at, "metadata", &Value::Object(named), ours, &mut fields);
                }
            }
            _ => {
                let at = Field { keys: Vec::new(), shown: String::new() };
                step(&at, key, value, ours, &mut fields);
            }
        }
    }
    let owner = |field: &Field| {
        let mut others = entries(live).filter(|entry| !is_ours(entry));
        others.find(|entry| has(&entry["fieldsV1"], &field.keys)).map(|e| manager(e).to_owned())
    };
    fields.into_iter().map(|field| (field.clone(), owner(&field))).collect()
}

fn step(at: &Field, key: &str, value: &Value, owned: &Value, lost: &mut Vec<Field>) {
    let next = below(at, format!("f:{key}"), &format!(".{key}"));
    walk(&next, value, owned.get(format!("f:{key}")), lost);
}

fn below(at: &Field, key: String, shown: &str) -> Field {
    let mut keys = at.keys.clone();
    keys.push(key);
    Field { keys, shown: format!("{}{shown}", at.shown) }
}

fn walk(at: &Field, value: &Value, owned: Option<&Value>, lost: &mut Vec<Field>) {
    if value.is_null() {
        return;
    }
    let Some(owned) = owned else {
        lost.push(at.clone());
        return;
    };
    // What has no parts of its own is owned as a whole.
    let parts = owned.as_object().is_some_and(|parts| parts.keys().any(|key| key != "."));
    if !parts {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                step(at, key, value, owned, lost);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let shown = format!("[{index}]");
                match owned.as_object().into_iter().flatten().find(|(key, _)| is_of(key, item)) {
                    Some((key, parts)) => {
                        walk(&below(at, key.clone(), &shown), item, Some(parts), lost);
                    }
                    None => lost.push(below(at, "k:".to_owned(), &shown)),
                }
            }
        }
        _ => {}
    }
}

/// Whether a key of `FieldsV1` (`k:{"name":"x"}`, `v:"x"`) is that of the list's item. A key
/// field that the item leaves out has the server's default.
fn is_of(key: &str, item: &Value) -> bool {
    if let Some(text) = key.strip_prefix("v:") {
        return serde_json::from_str::<Value>(text).is_ok_and(|value| value == *item);
    }
    let Some(text) = key.strip_prefix("k:") else { return false };
    let Ok(Value::Object(key)) = serde_json::from_str::<Value>(text) else { return false };
    key.iter().all(|(field, value)| item.get(field).is_none_or(|found| found == value))
}

/// Of a live object, what its manifest names and what refit owns: what a plan changes. Nothing is
/// known of the ownership of a copy that refit did not apply; of its lists everything is shown.
pub(crate) fn concerned(live: &Value, manifest: Option<&Value>) -> Value {
    let owned = entries(live).find(|entry| is_ours(entry)).map(|entry| &entry["fieldsV1"]);
    reduce(live, manifest, owned)
}

fn reduce(live: &Value, manifest: Option<&Value>, owned: Option<&Value>) -> Value {
    let parts = owned.and_then(Value::as_object).filter(|all| all.keys().any(|key| key != "."));
    match live {
        Value::Object(fields) => {
            let named = manifest.and_then(Value::as_object);
            if named.is_none() && parts.is_none() {
                return live.clone();
            }
            let kept = fields.iter().filter_map(|(key, value)| {
                let named = named.and_then(|named| named.get(key));
                let owned = parts.and_then(|parts| parts.get(&format!("f:{key}")));
                let concerned = named.is_some() || owned.is_some();
                concerned.then(|| (key.clone(), reduce(value, named, owned)))
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => {
            let named = manifest.and_then(Value::as_array);
            let kept = items.iter().enumerate().filter_map(|(index, item)| {
                let owned = parts.and_then(|parts| {
                    parts.iter().find(|(key, _)| is_of(key, item)).map(|(_, owned)| owned)
                });
                let same =
                    |other: &&Value| item["name"].is_string() && other["name"] == item["name"];
                let named = named.and_then(|named| {
                    named.iter().find(same).or_else(|| named.get(index).filter(|_| parts.is_none()))
                });
                let concerned = named.is_some() || owned.is_some() || parts.is_none();
                concerned.then(|| reduce(item, named, owned))
            });
            Value::Array(kept.collect())
        }
        _ => live.clone(),
    }
}

fn has(fields: &Value, keys: &[String]) -> bool {
    keys.iter().try_fold(fields, |at, key| at.get(key)).is_some()
}

/// The object's `managedFields` when everything that these managers own is refit's, as if refit
/// had applied it; none: they own nothing.
pub(crate) fn taken_over(object: &Value, managers: &BTreeSet<String>) -> Option<Vec<Value>> {
    let all = object["metadata"]["managedFields"].as_array()?;
    let is_taken = |entry: &Value| {
        managers.contains(manager(entry))
            && entry["subresource"].as_str().unwrap_or_default().is_empty()
    };
    let first = all.iter().find(|entry| is_taken(entry))?;
    let mut fields = Value::Object(Map::new());
    for entry in all.iter().filter(|entry| is_taken(entry) || is_ours(entry)) {
        unite(&mut fields, &entry["fieldsV1"]);
    }
    let mut ours = first.clone();
    ours["manager"] = MANAGER.into();
    ours["operation"] = "Apply".into();
    ours["fieldsV1"] = fields;
    let others = all.iter().filter(|entry| !is_taken(entry) && !is_ours(entry)).cloned();
    Some(others.chain([ours]).collect())
}

fn unite(into: &mut Value, from: &Value) {
    let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) else { return };
    for (key, value) in from {
        unite(into.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())), value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A field that the next version drops is still refit's, and shown as what vanishes.
    #[test]
    fn what_refit_owns_is_shown_and_what_others_own_is_not() {
        let live = json!({
            "metadata": {
                "name": "x",
                "labels": {"a": "1", "theirs": "2"},
                "managedFields": [{
                    "manager": "refit", "operation": "Apply",
                    "fieldsV1": {
                        "f:metadata": {"f:labels": {"f:a": {}}},
                        "f:spec": {"f:replicas": {}, "f:containers": {
                            "k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:env": {
                                "k:{\"name\":\"MODE\"}": {".": {}, "f:name": {}, "f:value": {}},
                            }},
                        }},
                    },
                }],
            },
            "spec": {
                "replicas": 2, "paused": true,
                "containers": [
                    {"name": "injected", "image": "x"},
                    {"name": "c", "image": "i:1", "env": [{"name": "MODE", "value": "old"}]},
                ],
            },
        });
        let manifest = json!({"spec": {"containers": [{"name": "c", "image": "i:2"}]}});
        assert_eq!(
            concerned(&live, Some(&manifest)),
            json!({
                "metadata": {"labels": {"a": "1"}},
                "spec": {
                    "replicas": 2,
                    "containers": [
                        {"name": "c", "image": "i:1", "env": [{"name": "MODE", "value": "old"}]},
                    ],
                },
            })
        );
    }

    fn manifest() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "dns", "namespace": "kube-system", "labels": {"app": "dns"}},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "dns"}},
                "template": {"spec": {"containers": [{
                    "name": "dns", "image": "dns:v1", "args": ["-v"],
                    "ports": [{"containerPort": 53}],
                }], "volumes": []}},
            },
        })
    }

    fn live(fields: &Value, others: &Value) -> Value {
        let ours = json!({"manager": "refit", "operation": "Apply", "fieldsV1": fields});
        let mut entries = vec![ours];
        entries.extend(others.as_array().unwrap().iter().cloned());
        json!({"metadata": {"managedFields": entries}})
    }

    fn whole() -> Value {
        json!({
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {"f:spec": {
                    "f:containers": {"k:{\"name\":\"dns\"}": {
                        ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                        "f:ports": {"k:{\"containerPort\":53,\"protocol\":\"TCP\"}": {
                            ".": {}, "f:containerPort": {},
                        }},
                    }},
                    "f:volumes": {},
                }},
            },
        })
    }

    fn shown(live: &Value) -> Vec<(String, Option<String>)> {
        lost(&manifest(), live).into_iter().map(|(field, by)| (field.shown, by)).collect()
    }

    #[test]
    fn what_refit_still_owns_has_not_drifted() {
        assert_eq!(shown(&live(&whole(), &json!([]))), []);
    }

    #[test]
    fn a_field_that_somebody_took_has_drifted_and_says_who() {
        let mut fields = whole();
        fields["f:spec"].as_object_mut().unwrap().remove("f:replicas");
        let container = "k:{\"name\":\"dns\"}";
        let containers = &mut fields["f:spec"]["f:template"]["f:spec"]["f:containers"];
        containers[container].as_object_mut().unwrap().remove("f:image");
        let taken = json!([{
            "manager": "kubectl-edit", "operation": "Update",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }]);
        assert_eq!(
            shown(&live(&fields, &taken)),
            [
                (".spec.replicas".to_owned(), Some("kubectl-edit".to_owned())),
                (".spec.template.spec.containers[0].image".to_owned(), None),
            ]
        );
    }

    #[test]
    fn an_item_of_a_list_that_is_gone_has_drifted() {
        let mut fields = whole();
        fields["f:spec"]["f:template"]["f:spec"]["f:containers"] =
            json!({"k:{\"name\":\"other\"}": {".": {}}});
        assert_eq!(
            shown(&live(&fields, &json!([]))),
            [(".spec.template.spec.containers[0]".to_owned(), None)]
        );
    }

    #[test]
    fn taking_over_unites_fields_and_leaves_status_alone() {
        let object = json!({"metadata": {"managedFields": [
            {"manager": "kubectl", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
             "fieldsV1": {"f:data": {"f:a": {}}}},
            {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status",
             "fieldsV1": {"f:status": {}}},
            {"manager": "refit", "operation": "Apply", "fieldsV1": {"f:data": {"f:b": {}}}},
        ]}});
        let fields = taken_over(&object, &["kubectl".to_owned()].into()).unwrap();
        assert_eq!(fields.len(), 2);
        assert_eq!(fields[0]["manager"], "kube-controller-manager");
        assert_eq!(fields[1]["manager"], "refit");
        assert_eq!(fields[1]["operation"], "Apply");
        assert_eq!(fields[1]["fieldsV1"], json!({"f:data": {"f:a": {}, "f:b": {}}}));
        assert_eq!(taken_over(&object, &["helm".to_owned()].into()), None);
    }
}
