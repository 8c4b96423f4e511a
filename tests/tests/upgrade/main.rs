//! The binary against real servers: clusters on EC2 Auto Scaling go from minor to minor, and
//! through bad days.

mod access;
mod addons;
mod fleet;
mod judged;
mod killed;
mod permissions;
mod refused;
mod stopped;
mod stored;
mod tutorial;
mod watch;
mod way;
