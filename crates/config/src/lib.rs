//! TOML text to a validated fleet, diagnostics that point at the line, JSON Schemas.
//!
//! [`load`] asks a [`Files`] for a fleet's files, reports every problem in all of them as
//! [`Diagnostic`]s, and returns the fleet when there is no error. The crate opens no file
//! itself, and reads neither clock nor environment.

mod diagnostic;
mod files;
mod load;
mod manifests;
mod raw;
mod reference;
mod resolve;
mod rules;
mod schema;
mod shape;
mod starter;
mod text;

pub use diagnostic::{Diagnostic, Mark, Severity, Sources, known, nearest, render};
pub use files::{
    Entry, EntryKind, FILES_MAX, FileError, Files, MANIFEST_BYTES_MAX, MemoryFiles, TOML_BYTES_MAX,
    TOTAL_BYTES_MAX,
};
pub use load::{FLEET_FILE, Loaded, load};
pub use raw::STATE_PATH;
pub use reference::reference;
pub use rules::rules;
pub use schema::schemas;
pub use starter::{starter, starter_cluster};
