//! The seed runner: whole runs of the engine on simulated fleets, as fast as they go.

pub mod seeds;
