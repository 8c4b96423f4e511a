//! The second opinion on a plan.
