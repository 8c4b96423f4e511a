//! What `refit init` writes: the files of `starter/` beside the sources of this crate, which
//! are a fleet themselves.

/// The fleet's name in the files, to be replaced.
const PLACEHOLDER: &str = "my-fleet";

const FILES: [(&str, &str); 6] = [
    ("fleet.toml", include_str!("../starter/fleet.toml")),
    ("releases/2026.11.0.toml", include_str!("../starter/releases/2026.11.0.toml")),
    ("clusters/dev-1.toml", include_str!("../starter/clusters/dev-1.toml")),
    (
        "addons/metrics-server/addon.toml",
        include_str!("../starter/addons/metrics-server/addon.toml"),
    ),
    (
        "addons/metrics-server/0.7.2/metrics-server.yaml",
        include_str!("../starter/addons/metrics-server/0.7.2/metrics-server.yaml"),
    ),
    (
        "addons/metrics-server/0.8.1/metrics-server.yaml",
        include_str!("../starter/addons/metrics-server/0.8.1/metrics-server.yaml"),
    ),
];

/// A small fleet with comments: one simulated cluster, one add-on, and something to plan. Paths
/// are relative to the fleet's directory.
pub fn starter(name: &refit_model::FleetName) -> Vec<(&'static str, String)> {
    let quoted = format!("\"{name}\"");
    let placeholder = format!("\"{PLACEHOLDER}\"");
    FILES.iter().map(|(path, content)| (*path, content.replace(&placeholder, &quoted))).collect()
}
