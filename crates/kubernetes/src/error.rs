//! What the answers of an apiserver mean, sorted by code and reason
//! ([API conventions](https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#response-status-kind)).

use kube::core::Status;
use refit_model::Period;
use refit_provider::{ErrorClass, ProviderError};

/// The error of a call; `what` names it in words.
pub(crate) fn sorted(what: &str, writes: bool, error: &kube::Error) -> ProviderError {
    let lost = if writes { ErrorClass::Unknown } else { ErrorClass::Transient };
    match error {
        kube::Error::Api(status) => answered(what, lost, status),
        // The request was never sent: credentials, TLS material, a request that is none.
        kube::Error::Auth(_)
        | kube::Error::InferConfig(_)
        | kube::Error::InferKubeconfig(_)
        | kube::Error::BuildRequest(_)
        | kube::Error::HttpError(_)
        | kube::Error::RustlsTls(_)
        | kube::Error::TlsRequired
        | kube::Error::ProxyProtocolUnsupported { .. }
        | kube::Error::ProxyProtocolDisabled { .. } => {
            ProviderError::new(ErrorClass::Permanent, format!("{what}: {}", chain(error)))
        }
        _ => ProviderError::new(lost, format!("{what}: {}", chain(error))),
    }
}

fn answered(what: &str, lost: ErrorClass, status: &Status) -> ProviderError {
    let details = status.details.as_ref();
    let budget = details.is_some_and(|details| {
        details.causes.iter().any(|cause| cause.reason == "DisruptionBudget")
    });
    let class = match status.code {
        429 if budget => ErrorClass::Budget,
        429 => ErrorClass::Throttled,
        409 => ErrorClass::Conflict,
        // A list whose pages have expired begins again.
        410 => ErrorClass::Transient,
        // A path that is not served: by this apiserver, or not yet.
        404 if !names_an_object(status) => ErrorClass::Transient,
        // Half of the work may be done.
        500 if status.reason == "InternalError" || status.reason.is_empty() => lost,
        408 | 502..=504 => lost,
        _ => ErrorClass::Permanent,
    };
    let hint = match status.code {
        401 => " (the kubeconfig's credentials are not accepted)",
        403 => " (`refit` lacks the permission)",
        _ => "",
    };
    let said = if status.message.is_empty() { &status.reason } else { &status.message };
    let causes: Vec<&str> = details
        .map(|details| details.causes.as_slice())
        .unwrap_or_default()
        .iter()
        .map(|cause| cause.message.as_str())
        .filter(|message| !message.is_empty() && !said.contains(message))
        .collect();
    let causes =
        if causes.is_empty() { String::new() } else { format!(" ({})", causes.join("; ")) };
    let mut sorted = ProviderError::new(class, format!("{what}: {said}{causes}{hint}"));
    let seconds = details.map_or(0, |details| details.retry_after_seconds);
    if seconds > 0 {
        sorted.retry_after = Some(Period::seconds(seconds));
    }
    sorted
}

/// Whether the apiserver said that there is no such thing.
pub(crate) fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether the apiserver said that there is no such object, of a kind that it serves. One that
/// does not serve the kind yet answers with the same code, and knows nothing of objects.
pub(crate) fn is_no_object(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 && names_an_object(status))
}

fn names_an_object(status: &Status) -> bool {
    status.details.as_ref().is_some_and(|details| !details.name.is_empty())
}

/// An error and its causes, in one line, none of them twice.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sort(status: serde_json::Value) -> ProviderError {
        let status: Status = serde_json::from_value(status).unwrap();
        answered("evict shop/cart-1", ErrorClass::Unknown, &status)
    }

    #[test]
    fn an_eviction_waits_for_a_budget_by_name_and_for_nothing_else_by_that() {
        let budget = sort(json!({
            "code": 429, "reason": "TooManyRequests",
            "message": "Cannot evict pod as it would violate the pod's disruption budget.",
            "details": {"causes": [{
                "reason": "DisruptionBudget",
                "message": "The disruption budget cart needs 2 healthy pods and has 2 currently",
            }]},
        }));
        assert_eq!(budget.class, ErrorClass::Budget);
        assert!(budget.message.contains("budget cart needs 2"), "{}", budget.message);
        let busy = sort(json!({
            "code": 429, "reason": "TooManyRequests", "message": "slow down",
            "details": {"retryAfterSeconds": 7},
        }));
        assert_eq!(busy.class, ErrorClass::Throttled);
        assert_eq!(busy.retry_after, Some(Period::seconds(7)));
    }

    #[test]
    fn codes_decide() {
        let class = |code: u16| sort(json!({"code": code, "message": "x"})).class;
        assert_eq!(class(409), ErrorClass::Conflict);
        assert_eq!(class(403), ErrorClass::Permanent);
        assert_eq!(class(504), ErrorClass::Unknown);
        assert_eq!(class(410), ErrorClass::Transient);
    }

    #[test]
    fn a_kind_that_is_not_served_is_no_object_that_is_gone() {
        let error = |status: serde_json::Value| {
            kube::Error::Api(Box::new(serde_json::from_value::<Status>(status).unwrap()))
        };
        let gone = error(json!({
            "code": 404, "reason": "NotFound", "message": "volumes.acme.example \"a\" not found",
            "details": {"name": "a", "group": "acme.example", "kind": "volumes"},
        }));
        assert!(is_gone(&gone) && is_no_object(&gone));
        let text = "the server could not find the requested resource";
        let unserved =
            error(json!({"code": 404, "reason": "NotFound", "message": text, "details": {}}));
        assert!(is_gone(&unserved) && !is_no_object(&unserved));
        assert_eq!(sorted("list them", false, &unserved).class, ErrorClass::Transient);
        assert_eq!(sorted("get one", false, &gone).class, ErrorClass::Permanent);
    }
}
