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

/// The file of one more simulated cluster for a fleet that is there: it runs this version of
/// Kubernetes and no add-ons.
pub fn starter_cluster(
    name: &refit_model::ClusterName,
    channel: &refit_model::ChannelName,
    kubernetes: &refit_model::KubeVersion,
) -> String {
    let content = include_str!("../starter/clusters/dev-1.toml");
    let lines = content.lines().filter(|line| !line.contains("addon"));
    let lines = lines.map(|line| match line.split_once(" = ") {
        Some(("channel", _)) => format!("channel = \"{channel}\""),
        Some(("kubernetes", _)) => format!("kubernetes = \"{kubernetes}\""),
        Some(_) | None => line.replace("dev-1", name.as_str()),
    });
    lines.map(|line| line + "\n").collect()
}
