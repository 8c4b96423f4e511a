//! The seed runner, whole runs of the engine on simulated fleets as fast as they go; and real
//! clusters, real servers that a test starts on loopback.

pub mod real;
pub mod seeds;
