//! The ring of tests that need real servers. They are built when they are first needed, which
//! takes minutes once; `REFIT_NO_REAL=1` leaves all of this out, and says so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod control_plane;
mod ends;
mod workers;
mod world;
