//! Whether the objects of an add-on do what they are for.

use serde_json::Value;

/// What keeps an object from being ready; none: it is, or it has nothing to become.
pub(super) fn waits_for(object: &Value) -> Option<String> {
    let kind = object["kind"].as_str()?;
    let meta = &object["metadata"];
    let (namespace, name) =
        (meta["namespace"].as_str().unwrap_or_default(), meta["name"].as_str()?);
    let (spec, status) = (&object["spec"], &object["status"]);
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let seen = number(&status["observedGeneration"]) >= number(&meta["generation"]);
    let (wanted, updated, ready) = match kind {
        "Deployment" | "StatefulSet" => (
            spec["replicas"].as_u64().unwrap_or(1),
            number(&status["updatedReplicas"]),
            number(
                &status[if kind == "Deployment" { "availableReplicas" } else { "readyReplicas" }],
            ),
        ),
        "DaemonSet" => (
            number(&status["desiredNumberScheduled"]),
            number(&status["updatedNumberScheduled"]),
            number(&status["numberReady"]),
        ),
        "CustomResourceDefinition" => {
            let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
            let established =
                conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True");
            return (!established).then(|| format!("{kind} {name} to be established"));
        }
        _ => return None,
    };
    // Rolled on delete: the pods change with their nodes, or when somebody deletes them.
    let by_hand = spec["updateStrategy"]["type"] == "OnDelete";
    // Left-over pods of the former revision count as available until they have ended.
    let surplus = kind == "Deployment" && number(&status["replicas"]) > updated;
    if !seen {
        return Some(format!("{kind} {namespace}/{name} to be seen by its controller"));
    }
    let behind = !by_hand && (updated < wanted || surplus);
    (behind || ready < wanted).then(|| {
        let count = if by_hand { ready } else { updated.min(ready) };
        format!("{kind} {namespace}/{name}: {count} of {wanted} updated pods ready")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(status: &Value) -> Value {
        json!({
            "kind": "Deployment",
            "metadata": {"namespace": "a", "name": "d", "generation": 2},
            "spec": {"replicas": 2},
            "status": status,
        })
    }

    #[test]
    fn a_rollout_is_over_when_every_pod_is_new_and_ready() {
        let waits = |status: Value| waits_for(&deployment(&status));
        let counts = |generation: u64, replicas: u64, updated: u64, available: u64| {
            json!({
                "observedGeneration": generation, "replicas": replicas,
                "updatedReplicas": updated, "availableReplicas": available,
            })
        };
        assert_eq!(waits(counts(2, 2, 2, 2)), None);
        assert!(waits(counts(1, 2, 2, 2)).unwrap().contains("to be seen"));
        assert_eq!(waits(counts(2, 3, 1, 2)).unwrap(), "Deployment a/d: 1 of 2 updated pods ready");
        assert!(waits(counts(2, 3, 2, 3)).is_some(), "a former pod is still there");
        assert!(waits(counts(2, 2, 2, 1)).is_some());
    }

    #[test]
    fn a_daemon_set_rolled_by_hand_only_has_to_be_ready() {
        let daemons = json!({
            "kind": "DaemonSet", "metadata": {"namespace": "a", "name": "d", "generation": 1},
            "spec": {"updateStrategy": {"type": "OnDelete"}},
            "status": {"observedGeneration": 1, "desiredNumberScheduled": 3, "numberReady": 3},
        });
        assert_eq!(waits_for(&daemons), None);
    }

    #[test]
    fn a_definition_has_to_be_established() {
        let crd = |status: &str| {
            json!({
                "kind": "CustomResourceDefinition", "metadata": {"name": "x"},
                "status": {"conditions": [{"type": "Established", "status": status}]},
            })
        };
        assert_eq!(waits_for(&crd("True")), None);
        assert!(waits_for(&crd("False")).is_some());
        assert_eq!(waits_for(&json!({"kind": "ConfigMap", "metadata": {"name": "x"}})), None);
    }
}
