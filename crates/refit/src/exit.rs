//! Exit codes, and the errors that lead to them. The codes are documented in
//! `docs/reference/exit-codes.md` and never change their meaning.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// How refit exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; for `plan`: with or without changes.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Changes are pending (only with `--detailed-exitcode`).
    Pending = 2,
    /// A finding blocks a cluster.
    Blocked = 3,
    /// The plan is stale: the world or the files moved.
    Stale = 5,
    /// Partly applied.
    Partly = 6,
    /// Another run holds the lock.
    Locked = 7,
    /// Wrong usage.
    Usage = 64,
    /// Interrupted; the same command continues.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error on its way to the user: what went wrong, why, and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hints: Vec<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), causes: Vec::new(), hints: Vec::new() }
    }

    /// With everything that the error says of its causes.
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        let mut cause = Some(error);
        while let Some(next) = cause {
            self.causes.push(next.to_string());
            cause = next.source();
        }
        self
    }

    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }
}
