//! What refit knows of the world without being told: which minors of Kubernetes an add-on's
//! project names, which minors serve an API, and when the maintenance of a minor ends.
//!
//! Each fact carries where it was read, and when. The data is in `data/`, is part of the binary,
//! and is parsed when it is first asked for. A fleet's `addon.toml` overrides what it says of an
//! add-on; this crate knows no fleet.

mod addons;
mod apis;
mod minors;
mod page;
mod versions;

pub use addons::{Entry, Row, addon, addons, date};
pub use apis::served;
pub use minors::end_of_life;
pub use page::page;

use refit_model::Source;

/// The source that a fact names by its position.
fn source(sources: &[Source], at: usize) -> &Source {
    sources.get(at).expect("a test looks at every fact of the data")
}
