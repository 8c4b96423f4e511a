//! A cluster through its Kubernetes API: what runs there, and the single calls that cordon and
//! drain its nodes, apply its add-ons, and hold its Lease.
//!
//! Observing needs get, list and self-subject access reviews only. One [`Kubernetes`] serves one
//! cluster. It translates and sorts errors by code; what to do, and when again, is the engine's.

use std::collections::BTreeMap;

use refit_model::{Action, Addon, AddonName, Cluster, ClusterState, Op, Token};
use refit_provider::{Act, Answer, ErrorClass, Look, Observe, ProviderError};

mod access;
mod addons;
mod api;
mod error;
mod lease;
mod look;
mod nodes;
mod permissions;
mod pods;

pub use access::{AccessError, Kubeconfigs};
pub use permissions::{Permission, Subject, roles, to_apply, to_plan};

/// The field manager of everything that refit writes.
const MANAGER: &str = "refit";
/// The namespace of what refit keeps in a cluster: its Lease, and the parents of its ApplySets.
const NAMESPACE: &str = "kube-system";

/// One cluster's API.
#[derive(Clone)]
pub struct Kubernetes {
    api: api::Api,
}

impl Observe for Kubernetes {
    fn look<'a>(&'a self, look: Look<'a>) -> Answer<'a, ClusterState> {
        Box::pin(self.look_at(look))
    }
}

impl Act for Kubernetes {
    fn submit<'a>(
        &'a self,
        _cluster: &'a Cluster,
        addons: &'a BTreeMap<AddonName, Addon>,
        op: &'a Op,
        _token: &'a Token,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            match op {
                Op::Node { node, op } => self.node_op(node, op).await,
                Op::Addon { addon, op } => self.addon_op(addons, addon, op).await,
                Op::HoldLease { run, holder, ttl } => self.hold_lease(run, holder, *ttl).await,
                Op::ReleaseLease { run } => self.release_lease(run).await,
                Op::Group { .. } => {
                    let text = format!("{op}: the Kubernetes API has no Auto Scaling groups");
                    Err(ProviderError::new(ErrorClass::Permanent, text))
                }
            }
        })
    }

    fn missing<'a>(
        &'a self,
        addons: &'a BTreeMap<AddonName, Addon>,
        actions: &'a [&'a Action],
    ) -> Answer<'a, Vec<String>> {
        Box::pin(async move { Kubernetes::missing(self, addons, actions).await })
    }
}
