//! What people read when something is wrong: one small snapshot per mistake.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod accept;
mod catalogue;
mod limits;
mod manifests;
mod names;
mod shape;
mod versions;

use refit_config::{Loaded, MemoryFiles, load, render};

/// A sound fleet, which each test damages.
pub(crate) fn fleet() -> MemoryFiles {
    let mut files = MemoryFiles::new();
    files.insert(
        "fleet.toml",
        r#"
[fleet]
name = "acme"

[kubernetes]
available = ["1.34.3", "1.35.1"]

[[channels]]
name = "dev"
release = "r1"

[[channels]]
name = "stable"
release = "r1"
"#,
    );
    files.insert(
        "releases/r1.toml",
        r#"
[release]
name = "r1"
kubernetes = "1.35.1"

[addon-sets.base]
coredns = "1.2.0"

[addon-sets.more]
ingress = "3.0.0"
"#,
    );
    files.insert("clusters/a.toml", cluster("a", "dev"));
    files.insert("clusters/b.toml", cluster("b", "stable"));
    files.insert(
        "addons/coredns/addon.toml",
        r#"
[[versions]]
version = "1.1.0"
kubernetes = ">=1.30, <=1.34"

[[versions]]
version = "1.2.0"
kubernetes = ">=1.34, <=1.35"
"#,
    );
    files.insert(
        "addons/ingress/addon.toml",
        r#"
[[versions]]
version = "3.0.0"
kubernetes = ">=1.34, <=1.35"
requires = { coredns = ">=1.2.0" }
"#,
    );
    files.insert("addons/coredns/1.1.0/dns.yaml", object("ConfigMap", "coredns"));
    files.insert("addons/coredns/1.2.0/dns.yaml", object("ConfigMap", "coredns"));
    files.insert("addons/ingress/3.0.0/ingress.yaml", object("ConfigMap", "ingress"));
    files
}

pub(crate) fn cluster(name: &str, channel: &str) -> String {
    format!(
        r#"
[cluster]
name = "{name}"
channel = "{channel}"
addon-sets = ["base", "more"]

[provider]
kind = "simulated"
zones = ["zone-a"]

[provider.start]
kubernetes = "1.34.3"

[control-plane]
auto-scaling-groups = ["{name}-control-plane"]
image = {{ name = "k8s-{{version}}" }}

[[node-pools]]
name = "workers"
auto-scaling-groups = ["{name}-workers"]
image = {{ name = "k8s-{{version}}" }}
max-surge = 1
"#
    )
}

pub(crate) fn object(kind: &str, name: &str) -> String {
    format!("apiVersion: v1\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: default\n")
}

pub(crate) fn all(loaded: &Loaded) -> String {
    let each = loaded.diagnostics.iter().map(|one| render(one, &loaded.sources, false));
    each.collect::<Vec<_>>().join("\n")
}

/// The fleet with one text of one file replaced; what is said about it.
pub(crate) fn with(path: &str, from: &str, to: &str) -> String {
    let mut files = fleet();
    replace(&mut files, path, from, to);
    told(&files)
}

pub(crate) fn replace(files: &mut MemoryFiles, path: &str, from: &str, to: &str) {
    use refit_config::Files as _;
    let text = String::from_utf8(files.read(path, u64::MAX).unwrap()).unwrap();
    assert!(text.contains(from), "{path} has no {from}");
    files.insert(path, text.replacen(from, to, 1));
}

/// The fleet with one more file; what is said about it.
pub(crate) fn plus(path: &str, content: &str) -> String {
    let mut files = fleet();
    files.insert(path, content);
    told(&files)
}

pub(crate) fn told(files: &MemoryFiles) -> String {
    let loaded = load(files);
    let text = all(&loaded);
    assert_eq!(loaded.fleet.is_none(), text.contains("error:"), "{text}");
    for word in ["u32", "Spanned", "BTreeMap", "Option", "struct ", "enum ", "Table"] {
        assert!(!text.contains(word), "{word:?} is no word of the user's: {text}");
    }
    text
}
