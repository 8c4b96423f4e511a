//! Plans, diffs and runs as text and JSON.
