//! Plans of small fleets, by hand and by the hundred.

#![expect(clippy::unwrap_used, reason = "a test may fail by it")]

mod addons;
mod bench;
mod bridges;
mod broken_before;
mod cases;
mod determinism;
mod downgrades;
mod edges;
mod edited;
mod empty_pools;
mod explain;
mod findings;
mod hops;
mod knowledge;
mod large;
mod launches;
mod limits;
mod no_way;
mod on_delete;
mod only;
mod optimum;
mod properties;
mod restrained;
mod storage;
mod waves;
