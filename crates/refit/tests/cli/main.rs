//! The command line from outside: the binary, files, exit codes and what it prints.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod catalogue;
mod clusters;
mod crashes;
mod damage;
mod downgrade;
mod explain;
mod files;
mod first_steps;
mod formats;
mod guides;
mod help;
mod limits;
mod locks;
mod moved;
mod past;
mod programs;
mod prune;
mod quickstart;
mod readme;
mod refusals;
mod releases;
mod saved_plans;
mod selection;
mod signals;
mod simulated;
mod support;
#[cfg(unix)]
mod terminal;
mod varied;
