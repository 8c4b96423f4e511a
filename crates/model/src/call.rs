//! How a call to a cluster is asked for and how it can fail, in words that both the engine and
//! the providers use.

use std::collections::BTreeSet;
use std::fmt;

use crate::{AddonName, Period, PoolName};

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
    /// One add-on, and all objects of these CustomResourceDefinitions of it.
    Objects {
        /// The add-on.
        addon: AddonName,
        /// The definitions, by name.
        crds: BTreeSet<String>,
    },
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
pub struct CallError {
    /// What it means.
    pub class: ErrorClass,
    /// What the API said, and which call it was, in words.
    pub message: String,
    /// How long the API asks to wait.
    pub retry_after: Option<Period>,
}

impl CallError {
    /// An error of this class.
    pub fn new(class: ErrorClass, message: impl fmt::Display) -> Self {
        Self { class, message: message.to_string(), retry_after: None }
    }
}
