//! Plans that are right pass, and every way to break one is noted.

#![expect(clippy::unwrap_used, reason = "a test may fail by it")]

mod bench;
mod contents;
mod downgrade;
mod edges;
mod edited;
mod mutations;
mod storage;
mod tidying;
