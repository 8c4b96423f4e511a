//! An in-memory fleet behind the provider traits, with faults, and a judge.
