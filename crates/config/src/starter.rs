//! What `refit init` writes.

/// The files of a small fleet, with their paths.
pub fn starter(name: &str) -> Vec<(&'static str, String)> {
    let _ = name;
    Vec::new()
}
