//! Applying a plan, as a state machine without I/O.
