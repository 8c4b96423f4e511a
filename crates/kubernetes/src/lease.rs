//! The Lease that a run holds while it writes to a cluster.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use refit_model::{LeaseState, Period, RunId, whole_seconds};
use refit_provider::{ErrorClass, ProviderError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Body;
use crate::{Kubernetes, NAMESPACE};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
/// The Lease's name.
pub(crate) const LEASE: &str = "refit";
/// Who started the run.
const HOLDER: &str = "refit.dev/holder";

#[derive(Clone, Debug, Deserialize)]
struct Lease {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    uid: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<u32>,
    renew_time: Option<Timestamp>,
    acquire_time: Option<Timestamp>,
}

impl Lease {
    /// Who holds it, as far as it says.
    fn state(&self) -> Option<LeaseState> {
        let run = self.spec.holder_identity.as_deref()?.parse().ok()?;
        let seconds = self.spec.lease_duration_seconds.unwrap_or_default();
        let until = self.spec.renew_time?.checked_add(Duration::from_secs(seconds.into()));
        Some(LeaseState {
            run,
            holder: self.metadata.annotations.get(HOLDER).cloned().unwrap_or_default(),
            until: until.unwrap_or(Timestamp::MAX),
        })
    }
}

impl Kubernetes {
    async fn lease(&self) -> Result<Option<Lease>, ProviderError> {
        self.api.find("get the Lease kube-system/refit", &format!("{LEASES}/{LEASE}")).await
    }

    pub(crate) async fn lease_state(&self) -> Result<Option<LeaseState>, ProviderError> {
        Ok(self.lease().await?.and_then(|lease| lease.state()))
    }

    /// Takes or renews it. Two runs that see it free write the same resource version, and one of
    /// them fails.
    pub(crate) async fn hold_lease(
        &self,
        run: &RunId,
        holder: &str,
        ttl: Period,
    ) -> Result<(), ProviderError> {
        let now = Timestamp::now();
        let found = self.lease().await?;
        let held = found.as_ref().and_then(Lease::state);
        if let Some(LeaseState { run: other, holder, until }) =
            held.as_ref().filter(|held| held.run != *run && held.until > now)
        {
            let text = format!(
                "run {other} of {holder} holds the Lease kube-system/refit until {}",
                whole_seconds(*until)
            );
            return Err(ProviderError::new(ErrorClass::Conflict, text));
        }
        let acquired = found
            .as_ref()
            .filter(|_| held.is_some_and(|held| held.run == *run))
            .and_then(|lease| lease.spec.acquire_time);
        let mut value = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": LEASE,
                "namespace": NAMESPACE,
                "annotations": { HOLDER: holder },
            },
            "spec": {
                "holderIdentity": run.as_str(),
                "leaseDurationSeconds": ttl.as_secs(),
                "acquireTime": micro(acquired.unwrap_or(now)),
                "renewTime": micro(now),
            },
        });
        let what = "hold the Lease kube-system/refit";
        let written = match &found {
            None => {
                self.api.write(what, Method::POST, LEASES, Some((Body::Object, &value))).await?
            }
            Some(lease) => {
                value["metadata"]["resourceVersion"] =
                    Value::String(lease.metadata.resource_version.clone());
                let path = format!("{LEASES}/{LEASE}");
                self.api.write(what, Method::PUT, &path, Some((Body::Object, &value))).await?
            }
        };
        match written {
            Some(_) => Ok(()),
            None => Err(ProviderError::new(ErrorClass::Conflict, format!("{what}: it vanished"))),
        }
    }

    pub(crate) async fn release_lease(&self, run: &RunId) -> Result<(), ProviderError> {
        let Some(lease) = self.lease().await? else { return Ok(()) };
        if lease.spec.holder_identity.as_deref() != Some(run.as_str()) {
            return Ok(());
        }
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {
                "uid": lease.metadata.uid,
                "resourceVersion": lease.metadata.resource_version,
            },
        });
        let what = "release the Lease kube-system/refit";
        let path = format!("{LEASES}/{LEASE}");
        self.api.write(what, Method::DELETE, &path, Some((Body::Object, &options))).await?;
        Ok(())
    }
}

/// A time as `MicroTime` has it: exactly six digits behind the point.
fn micro(at: Timestamp) -> String {
    format!("{at:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_says_who_holds_it_until_when() {
        let lease: Lease = serde_json::from_value(json!({
            "metadata": { "annotations": { "refit.dev/holder": "ann@ci" }, "uid": "u" },
            "spec": {
                "holderIdentity": "run-7",
                "leaseDurationSeconds": 60,
                "renewTime": "2026-11-02T09:00:00.000000Z",
            },
        }))
        .unwrap();
        let held = lease.state().unwrap();
        assert_eq!((held.run.as_str(), held.holder.as_str()), ("run-7", "ann@ci"));
        assert_eq!(held.until, "2026-11-02T09:01:00Z".parse().unwrap());
        let free: Lease = serde_json::from_value(json!({"metadata": {}, "spec": {}})).unwrap();
        assert_eq!(free.state(), None);
    }

    #[test]
    fn a_micro_time_has_six_digits() {
        let at: Timestamp = "2026-11-02T09:00:00.1Z".parse().unwrap();
        assert_eq!(micro(at), "2026-11-02T09:00:00.100000Z");
    }
}
