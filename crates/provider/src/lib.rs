//! The traits through which refit sees and changes clusters.
//!
//! [`Observe`] only reads; [`Act`] writes. They are different types, so that code that plans
//! cannot hold anything that writes. A provider translates one look or one [`Op`] into API
//! calls and sorts errors by code. It never plans, sleeps, retries or logs a secret: that is
//! the engine's, so that simulation covers it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use refit_model::{Action, Addon, AddonName, Cluster, ClusterState, Op, Token};

mod joined;

pub use joined::{ActOnMachines, JoinedActor, JoinedObserver, Machines, ObserveMachines};
pub use refit_model::{CallError as ProviderError, ErrorClass, Scope};

/// What a provider's calls return.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ProviderError>> + Send + 'a>>;

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
    ///
    /// A look is whole, or it is an error. When a part of it cannot be read (a page of a list, one
    /// of the places that a cluster is read in), nothing of it is returned: what is missing from a
    /// state is taken for gone.
    ///
    /// What it shows may be some seconds old where the API is only eventually consistent, and may
    /// be older than what the look before showed. The engine does not believe a look that does not
    /// show the calls of a moment ago. Nothing may be returned that is kept from an earlier look.
    fn look<'a>(&'a self, look: Look<'a>) -> Answer<'a, ClusterState>;
}

/// Changes clusters.
pub trait Act: Send + Sync {
    /// Sends one operation. `Ok` means that it has taken effect, or already had.
    ///
    /// What it was decided on may be old. An operation that names what it found (the desired that
    /// is raised from, the instance that is terminated with decrement, the UID of the pod that is
    /// evicted) compares once more, and is [`ErrorClass::Conflict`] if that has changed.
    ///
    /// An eviction that a budget forbids is [`ProviderError`] of class [`ErrorClass::Budget`];
    /// an operation on something that is gone, where gone is what was wanted (evict, terminate,
    /// uncordon), is `Ok`. A termination with decrement is not: desired has not fallen, so it is
    /// [`ErrorClass::Conflict`].
    fn submit<'a>(
        &'a self,
        cluster: &'a Cluster,
        addons: &'a BTreeMap<AddonName, Addon>,
        op: &'a Op,
        token: &'a Token,
    ) -> Answer<'a, ()>;

    /// What these actions of a cluster's take and is not permitted, as far as the API tells
    /// without being written to; each one says what is missing in the API's own words.
    fn missing<'a>(
        &'a self,
        addons: &'a BTreeMap<AddonName, Addon>,
        actions: &'a [&'a Action],
    ) -> Answer<'a, Vec<String>>;
}
