//! Where runs, plans and leases are kept.
