//! An in-memory fleet behind the provider traits, with faults, and a judge.
//!
//! A [`World`] has clusters with Auto Scaling groups, control planes, nodes, pods, budgets and
//! add-ons, and it is as unkind as real ones: everything takes time, groups have their own will,
//! APIs refuse, and with [`Faults`] answers get lost and machines fail. It is the embedded default
//! of the quickstart and the bench that refit is tested on.
//!
//! Time and randomness are inputs: the same start, seed and calls give the same bytes, also when
//! the world was saved and loaded in between. [`World::violations`] tells what refit must never do
//! and did.

mod addons;
mod autoscaler;
mod budgets;
mod cluster;
mod control_plane;
mod crds;
mod dice;
mod edit;
mod faults;
mod files;
mod generate;
mod groups;
mod judge;
mod kubelets;
mod look;
mod nodes;
mod ops;
mod past;
mod pods;
mod provider;
mod queue;
mod start;
#[cfg(test)]
mod tests;
mod world;

pub use edit::{Edit, NoSuchThing};
pub use faults::Faults;
pub use files::WorldFile;
pub use generate::random_fleet;
pub use judge::{Rule, Targets, Violation};
pub use provider::Simulated;
pub use world::{World, WorldFileError};
