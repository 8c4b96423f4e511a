//! The commands that only look: none of them writes to a cluster.

mod addons;
mod clusters;
#[cfg(feature = "aws")]
mod discover;
mod explain;
mod inspect;
#[cfg(feature = "aws")]
mod permissions;
mod plan;
mod setup;

pub(crate) use addons::addons;
pub(crate) use clusters::clusters;
pub(crate) use explain::{explain, graph};
pub(crate) use inspect::{
    history, plan_failure, probe, probe_index, pruned_text, recovery_warnings, show, state, status,
    store_failure, unreadable_failure,
};
#[cfg(feature = "aws")]
pub(crate) use permissions::permissions;
pub(crate) use plan::{
    FromState, Made, block_on, check_named, check_open_files, exit_of, from_state, make, measured,
    observe, plan, take,
};
pub(crate) use setup::{completions, init, man, validate};
