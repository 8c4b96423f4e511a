//! TOML text to a validated fleet, diagnostics that point at the line, JSON Schemas.
