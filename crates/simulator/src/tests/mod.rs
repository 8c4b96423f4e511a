//! What the world does, seen through its own front door.

mod addons;
mod bench;
mod control_plane;
mod crds;
mod drive;
mod groups;
mod judge;
mod looks;
mod pods;
mod world;
