//! The traits through which refit sees and changes clusters.
//!
//! [`Observe`] only reads; [`Act`] writes. They are different types, so that code that plans
//! cannot hold anything that writes. A provider translates one look or one [`Op`] into API
//! calls and sorts errors by code. It never plans, sleeps, retries or logs a secret: that is
//! the engine's, so that simulation covers it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use refit_model::{Addon, AddonName, Cluster, ClusterState, Op, Period, PoolName, Token};

/// What a provider's calls return.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ProviderError>> + Send + 'a>>;

/// How much of a cluster a look must show. More is allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everything: what a plan is made from.
    Everything,
    /// Identity and Lease only.
    Identity,
    /// The control plane's members, groups, nodes and pods; all workloads and budgets.
    ControlPlane,
    /// A pool's groups, nodes and pods; all workloads and budgets.
    Pool(PoolName),
    /// One add-on.
    Addon(AddonName),
}

/// A look at a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The cluster, as declared.
    pub cluster: &'a Cluster,
    /// The add-ons that the fleet knows.
    pub addons: &'a BTreeMap<AddonName, Addon>,
    /// How much of it.
    pub scope: &'a Scope,
}

/// Reads clusters. Every call is get, list or describe.
pub trait Observe: Send + Sync {
    /// The state of a cluster, as far as the look's scope asks. Identity and Lease are always in
    /// it.
    fn look<'a>(&'a self, look: Look<'a>) -> Answer<'a, ClusterState>;
}

/// Changes clusters.
pub trait Act: Send + Sync {
    /// Sends one operation. `Ok` means that it has taken effect, or already had.
    ///
    /// An eviction that a budget forbids is [`ProviderError`] of class [`ErrorClass::Budget`];
    /// an operation on something that is gone, where gone is what was wanted (evict, terminate,
    /// uncordon), is `Ok`.
    fn submit<'a>(
        &'a self,
        cluster: &'a Cluster,
        addons: &'a BTreeMap<AddonName, Addon>,
        op: &'a Op,
        token: &'a Token,
    ) -> Answer<'a, ()>;
}

/// What an error means for what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// It may go well in a moment.
    Transient,
    /// Too many calls; again, later.
    Throttled,
    /// A PodDisruptionBudget forbids it now.
    Budget,
    /// The state is not the one that the call was made for: look again.
    Conflict,
    /// It will never go well like this.
    Permanent,
    /// Nobody knows whether it took effect: look again before anything else.
    Unknown,
}

/// A call that did not go well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// What it means.
    pub class: ErrorClass,
    /// What the API said, and which call it was, in words.
    pub message: String,
    /// How long the API asks to wait.
    pub retry_after: Option<Period>,
}

impl ProviderError {
    /// An error of this class.
    pub fn new(class: ErrorClass, message: impl fmt::Display) -> Self {
        Self { class, message: message.to_string(), retry_after: None }
    }
}
