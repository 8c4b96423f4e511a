//! The tokio driver: engine effects to providers and store.
