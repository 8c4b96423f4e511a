//! Plans, diffs and runs as text for people.
//!
//! Pure: data and a [`Style`] in, a `String` out. Colour is a help and never the only
//! carrier of a meaning. No line is wider than [`Style::width`] but those of diffs, which
//! are shown as they are. Whatever comes from outside, such as an API's message, loses its
//! control characters, so that nobody can write escape sequences into somebody's terminal.

mod addons;
mod clusters;
mod diff;
mod explain;
mod findings;
mod graph;
mod history;
mod message;
mod order;
mod page;
mod paint;
mod plan;
mod progress;
#[cfg(test)]
mod properties;
mod recap;
#[cfg(test)]
mod sample;
mod span;
mod spread;
mod status;
mod steps;
mod time;
mod transitions;
mod unlike;
mod way;
mod words;

pub use addons::{AddonLine, AddonPage, addon_text, addons_text};
pub use clusters::{clusters_of, clusters_text};
pub use diff::{diff_text, yaml};
pub use explain::explanation_text;
pub use findings::findings_text;
pub use graph::{graph_dot, graph_mermaid};
pub use history::{RunLine, history_text};
pub use message::{Message, message_text};
pub use paint::Style;
pub use plan::plan_text;
pub use progress::{BarText, Detail, ProgressLines};
pub use recap::recap_text;
pub use status::{StatusInput, WorkedOn, run_text, status_of, status_text};
pub use time::{ago, between, clock_time, duration, timestamp};
pub use words::{clean, count, shorten, width};
