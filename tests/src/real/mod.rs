//! Real clusters for tests: genuine Kubernetes servers and an account of EC2 Auto Scaling, on
//! loopback, for as long as a [`RealCluster`] lives.
//!
//! What is real: etcd, a kube-apiserver for each instance of the control plane (of the minor of
//! its image, all on one etcd), kube-controller-manager, kube-scheduler. What is played, by
//! `tests/servers/world`: kubelets (kwok), EC2, Auto Scaling, load balancing and STS (moto, with
//! models that take their time and have a will of their own), and what stands between an instance
//! and its Node.
//!
//! The servers are pinned in `tests/servers` and built when they are first needed, see [`servers`].

mod build;
mod cluster;

use std::io::Write;

pub use build::{Servers, cache, servers};
pub use cluster::{Admin, Answer, AwsError, CLUSTERS_MAX, Pool, RealCluster, Spec, eventually};

/// What can go wrong with the servers or on the way to them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tool that the servers are built with is not there, or too old.
    #[error("{tool} is missing ({reason}): {hint}, or set {NO_REAL}=1 to leave these tests out")]
    Missing {
        /// Its name.
        tool: &'static str,
        /// What happened when it was tried.
        reason: String,
        /// What to install.
        hint: &'static str,
    },
    /// A step of the build failed.
    #[error("{what} failed:\n{output}")]
    Build {
        /// The step.
        what: String,
        /// What it said at its end.
        output: String,
    },
    /// The world did not start, or has ended.
    #[error("the world: {0}")]
    World(String),
    /// An operation of the world was refused.
    #[error("{operation}: {reason}")]
    Refused {
        /// What was asked for.
        operation: String,
        /// Why not.
        reason: String,
    },
    /// A file.
    #[error("{what}")]
    File {
        /// Which, and what for.
        what: String,
        /// The reason.
        source: std::io::Error,
    },
}

impl Error {
    fn file(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::File { what, source }
    }
}

/// The variable that leaves out all tests that need the servers.
pub const NO_REAL: &str = "REFIT_NO_REAL";

/// Whether tests on real servers are wanted. If not, says so aloud.
pub fn wanted(test: &str) -> bool {
    let wanted = std::env::var_os(NO_REAL).is_none_or(|value| value.is_empty());
    if !wanted {
        say(&format!("{test} is LEFT OUT, because {NO_REAL} is set"));
    }
    wanted
}

/// Says something past the test runner, which keeps back what a test that passes prints.
pub fn say(text: &str) {
    // A closed standard error is no reason to fail.
    drop(writeln!(std::io::stderr(), "servers: {text}"));
}
