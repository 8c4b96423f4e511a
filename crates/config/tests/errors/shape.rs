//! What a file looks like, and what belongs into which.

use insta::assert_snapshot;
use refit_config::{MemoryFiles, load};

use crate::{all, fleet, replace, told, with};

#[test]
fn the_base_is_sound() {
    assert_eq!(told(&fleet()), "");
}

#[test]
fn no_fleet_at_all() {
    assert_snapshot!(told(&MemoryFiles::new()), @r#"
    error: there is no `fleet.toml` in this directory
     |
     = help: run `refit init` to write a small fleet
     = help: or name the fleet's directory with `--chdir`
    "#);
}

#[test]
fn a_fleet_without_clusters_is_fine() {
    let mut files = MemoryFiles::new();
    files.insert("fleet.toml", "[fleet]\nname = \"acme\"\n[kubernetes]\navailable = []\n");
    assert_eq!(told(&files), "");
}

#[test]
fn not_toml() {
    assert_snapshot!(with("fleet.toml", r#"name = "acme""#, r#"name = acme""#), @r#"
    error: `fleet.toml` is not TOML
     --> fleet.toml:3:8
      |
    3 | name = acme"
      |        ^ missing opening quote, expected `"`
    "#);
}

#[test]
fn a_wrong_type() {
    assert_snapshot!(with("releases/r1.toml", r#"kubernetes = "1.35.1""#, "kubernetes = 1.35"), @r#"
    error: `kubernetes` should be a string, not a number
     --> releases/r1.toml:4:14
      |
    4 | kubernetes = 1.35
      |              ^^^^ expected a string, found a number
      |
      = help: write it in quotation marks
    "#);
}

#[test]
fn an_unknown_key() {
    assert_snapshot!(with("clusters/a.toml", "max-surge = 1", "max-sruge = 1"), @r#"
    error: unknown key `max-sruge` in `[[node-pools]]`
      --> clusters/a.toml:22:1
       |
    22 | max-sruge = 1
       | ^^^^^^^^^ not a key of refit
       |
       = help: did you mean `max-surge`?
    "#);
}

#[test]
fn a_key_of_another_table() {
    assert_snapshot!(with("clusters/a.toml", r#"name = "a""#, r#"name = "a"
max-surge = 1"#), @r#"
    error: unknown key `max-surge` in `[cluster]`
     --> clusters/a.toml:4:1
      |
    4 | max-surge = 1
      | ^^^^^^^^^ not a key of refit
      |
      = help: `max-surge` belongs to `[[node-pools]]`
    "#);
}

#[test]
fn a_key_of_another_file() {
    assert_snapshot!(with("clusters/a.toml", r#"name = "a""#, r#"name = "a"
available = ["1.34.3"]"#), @r#"
    error: unknown key `available` in `[cluster]`
     --> clusters/a.toml:4:1
      |
    4 | available = ["1.34.3"]
      | ^^^^^^^^^ not a key of refit
      |
      = help: `available` belongs to `[kubernetes]` in `fleet.toml`
    "#);
}

#[test]
fn a_key_that_is_not_supported_yet() {
    assert_snapshot!(with("fleet.toml", r#"release = "r1""#, r#"release = "r1"
soak = "18h""#), @r#"
    error: `soak` is not supported yet
      --> fleet.toml:11:1
       |
    11 | soak = "18h"
       | ^^^^ nothing would enforce this
       |
       = help: remove it
    "#);
}

#[test]
fn a_provider_that_does_not_exist() {
    assert_snapshot!(with("clusters/a.toml", r#""simulated""#, r#""azure""#), @r#"
    error: `kind` cannot be `azure`
     --> clusters/a.toml:8:8
      |
    8 | kind = "azure"
      |        ^^^^^^^ expected "aws" or "simulated"
    "#);
}

#[test]
fn keys_of_the_other_provider() {
    assert_snapshot!(with("clusters/a.toml", r#"kind = "simulated""#, r#"kind = "aws"
region = "eu-west-1"
external-id = "x"
role-arn = "refit""#), @r#"
    error: `refit` is not the ARN of a role
      --> clusters/a.toml:11:12
       |
    11 | role-arn = "refit"
       |            ^^^^^^^
       |
       = help: such as "arn:aws:iam::123456789012:role/refit"
    error: `zones` has no effect with `kind = "aws"`
      --> clusters/a.toml:12:9
       |
    12 | zones = ["zone-a"]
       |         ^^^^^^^^^^
       |
       = help: remove it
    error: `start` has no effect with `kind = "aws"`
      --> clusters/a.toml:14:1
       |
    14 | [provider.start]
       | ^^^^^^^^^^^^^^^^
       |
       = help: remove it
    error: the fleet has both simulated and real clusters
     --> clusters/b.toml:8:8
      |
    8 | kind = "simulated"
      |        ^^^^^^^^^^^ simulated
      |
     ::: clusters/a.toml:8:8
      |
    8 | kind = "aws"
      |        ----- real
      |
      = help: keep simulated clusters in a fleet of their own: their time is another one
    "#);
    assert_snapshot!(with("clusters/a.toml", r#"kind = "simulated""#, r#"kind = "simulated"
region = "eu-west-1""#), @r#"
    error: `region` has no effect with `kind = "simulated"`
     --> clusters/a.toml:9:10
      |
    9 | region = "eu-west-1"
      |          ^^^^^^^^^^^
      |
      = help: remove it
    "#);
}

#[test]
fn keys_that_the_provider_needs() {
    assert_snapshot!(with("clusters/a.toml", r#"kind = "simulated"
zones = ["zone-a"]

[provider.start]
kubernetes = "1.34.3""#, r#"kind = "aws"
external-id = "x"
profile = """#), @r#"
    error: `[provider]` has no `region`
     --> clusters/a.toml:8:8
      |
    8 | kind = "aws"
      |        ^^^^^ `aws` needs it
      |
      = help: such as `region = "eu-west-1"`
    error: `external-id` has no effect without `role-arn`
     --> clusters/a.toml:9:15
      |
    9 | external-id = "x"
      |               ^^^
      |
      = help: name the role that asks for it, or remove it
    error: `profile` is empty
      --> clusters/a.toml:10:11
       |
    10 | profile = ""
       |           ^^
       |
       = help: remove it, or name one
    error: the fleet has both simulated and real clusters
     --> clusters/b.toml:8:8
      |
    8 | kind = "simulated"
      |        ^^^^^^^^^^^ simulated
      |
     ::: clusters/a.toml:8:8
      |
    8 | kind = "aws"
      |        ----- real
      |
      = help: keep simulated clusters in a fleet of their own: their time is another one
    "#);
    assert_snapshot!(with("clusters/a.toml", r#"zones = ["zone-a"]

[provider.start]
kubernetes = "1.34.3""#, ""), @r#"
    error: `[provider]` has no `start`
     --> clusters/a.toml:8:8
      |
    8 | kind = "simulated"
      |        ^^^^^^^^^^^ `simulated` needs it
      |
      = help: such as `start = { kubernetes = "1.35.4" }`
    error: `[provider]` has no `zones`
     --> clusters/a.toml:8:8
      |
    8 | kind = "simulated"
      |        ^^^^^^^^^^^ `simulated` needs it
      |
      = help: such as `zones = ["a", "b"]`
    "#);
}

#[test]
fn a_fleet_is_simulated_or_real() {
    assert_snapshot!(with("clusters/a.toml", r#"kind = "simulated"
zones = ["zone-a"]

[provider.start]
kubernetes = "1.34.3""#, r#"kind = "aws"
region = "eu-west-1""#), @r#"
    error: the fleet has both simulated and real clusters
     --> clusters/b.toml:8:8
      |
    8 | kind = "simulated"
      |        ^^^^^^^^^^^ simulated
      |
     ::: clusters/a.toml:8:8
      |
    8 | kind = "aws"
      |        ----- real
      |
      = help: keep simulated clusters in a fleet of their own: their time is another one
    "#);
}

#[test]
fn an_etcd_that_is_not_supported_yet() {
    assert_snapshot!(with("clusters/a.toml", "[control-plane]", r#"[control-plane]
etcd = "stacked""#), @r#"
    error: `etcd = "stacked"` is not supported yet
      --> clusters/a.toml:15:8
       |
    15 | etcd = "stacked"
       |        ^^^^^^^^^ use "volumes" or "external"
    "#);
}

#[test]
fn a_store_that_is_not_supported_yet() {
    assert_snapshot!(with("fleet.toml", "[kubernetes]", r#"[state]
store = "s3"

[kubernetes]"#), @r#"
    error: `store = "s3"` is not supported yet
     --> fleet.toml:6:9
      |
    6 | store = "s3"
      |         ^^^^ use "sled"
    "#);
}

#[test]
fn a_missing_key() {
    assert_snapshot!(with("clusters/a.toml", r#"channel = "dev""#, ""), @r#"
    error: `[cluster]` has no `channel`
     --> clusters/a.toml:2:1
      |
    2 | [cluster]
      | ^^^^^^^^^ `channel` is missing here
      |
      = help: The channel that the cluster follows.
    "#);
}

#[test]
fn a_missing_table() {
    assert_snapshot!(with("clusters/a.toml", r#"[cluster]
name = "a"
channel = "dev"
addon-sets = ["base", "more"]"#, ""), @r#"
    error: `clusters/a.toml` has no `cluster`
    --> clusters/a.toml
     = help: begin it with the line `[cluster]`
    "#);
}

#[test]
fn a_toml_key_twice() {
    assert_snapshot!(with("clusters/a.toml", "max-surge = 1", "max-surge = 1\nmax-surge = 2"), @r#"
    error: the key `max-surge` stands here twice
      --> clusters/a.toml:23:1
       |
    22 | max-surge = 1
       | --------- first here
    23 | max-surge = 2
       | ^^^^^^^^^ again here
       |
       = help: remove one of them
    "#);
}

#[test]
fn a_wave_of_both() {
    assert_snapshot!(with("fleet.toml", r#"release = "r1""#, r#"release = "r1"
waves = [{ percent = 50, clusters = ["a"] }]"#), @r#"
    error: `[[channels.waves]]` needs exactly one of `clusters` and `labels` and `percent`
      --> fleet.toml:11:10
       |
    11 | waves = [{ percent = 50, clusters = ["a"] }]
       |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ has more than one
    "#);
}

#[test]
fn a_percentage_of_a_wave_out_of_bounds() {
    assert_snapshot!(with("fleet.toml", r#"release = "r1""#, r#"release = "r1"
waves = [{ percent = 120 }]"#), @r#"
    error: `percent` is out of bounds
      --> fleet.toml:11:22
       |
    11 | waves = [{ percent = 120 }]
       |                      ^^^ expected 1 to 100
    "#);
}

#[test]
fn a_bad_architecture() {
    assert_snapshot!(with("clusters/a.toml", r#"{ name = "k8s-{version}" }"#, r#"{ name = "k8s-{version}", architecture = "amd64" }"#), @r#"
    error: `architecture` cannot be `amd64`
      --> clusters/a.toml:16:50
       |
    16 | image = { name = "k8s-{version}", architecture = "amd64" }
       |                                                  ^^^^^^^ expected "x86_64" or "arm64"
    "#);
}

#[test]
fn every_problem_at_once_and_none_that_follows_from_another() {
    let mut files = fleet();
    replace(&mut files, "clusters/a.toml", "max-surge = 1", "max-sruge = 1\ndrain-timeout = 15");
    replace(&mut files, "clusters/a.toml", "\"dev\"", "\"dve\"");
    replace(&mut files, "addons/coredns/addon.toml", "version = \"1.2.0\"", "version = 1.2");
    replace(&mut files, "fleet.toml", "[[channels]]", "[[channels]]\nsoak = \"1h\"");
    let loaded = load(&files);
    let short: Vec<String> = loaded
        .diagnostics
        .iter()
        .map(|one| {
            let file = one.primary.as_ref().map_or("-", |mark| mark.file.as_str());
            let line = one.position(&loaded.sources).map_or(0, |(line, _)| line);
            format!("{file}:{line} {}", one.message)
        })
        .collect();
    assert_snapshot!(short.join("\n"), @r#"
    addons/coredns/addon.toml:7 `version` should be a string, not a number
    clusters/a.toml:4 there is no channel `dve`
    clusters/a.toml:22 unknown key `max-sruge` in `[[node-pools]]`
    clusters/a.toml:23 `drain-timeout` should be a string, not a number
    fleet.toml:9 `soak` is not supported yet
    "#);
}

#[test]
fn the_digest_covers_every_file() {
    let digest = |files: &MemoryFiles| load(files).fleet.unwrap().digest;
    let before = digest(&fleet());
    assert_eq!(before, digest(&fleet()));
    for path in ["fleet.toml", "clusters/b.toml", "addons/coredns/1.1.0/dns.yaml"] {
        let mut files = fleet();
        replace(&mut files, path, "\n", "\n# a comment\n");
        assert_ne!(digest(&files), before, "{path}");
    }
}

#[test]
fn one_file_is_a_fleet_too() {
    let mut files = MemoryFiles::new();
    files.insert(
        "fleet.toml",
        r#"
fleet = { name = "acme" }
kubernetes = { available = ["1.35.1"] }

[[channels]]
name = "dev"
release = "r1"
waves = [{ percent = 25 }]

[[releases]]
name = "r1"
kubernetes = "1.35.1"
addon-sets = { base = { coredns = "1.2.0" } }

[[addons]]
name = "coredns"
versions = [{ version = "1.2.0", kubernetes = ">=1.35" }]

[[clusters]]
name = "a"
channel = "dev"
addon-sets = ["base"]
provider = { kind = "simulated", zones = ["z"], start = { kubernetes = "1.35.1" } }
control-plane = { auto-scaling-groups = ["cp"], image = { name = "k8s-{version}" } }
node-pools = [{ name = "w", auto-scaling-groups = ["w"], image = { name = "k8s-{version}" } }]
"#,
    );
    files.insert(
        "addons/coredns/1.2.0/dns.json",
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}}"#,
    );
    let loaded = load(&files);
    assert_eq!(all(&loaded), "");
    let fleet = loaded.fleet.unwrap();
    assert_eq!(fleet.channels[0].waves.len(), 2, "the rest is the last wave");
    assert_eq!(fleet.clusters[&"a".parse().unwrap()].pools[0].max_surge.to_string(), "1");
}

#[test]
fn deep_nesting_is_refused() {
    for text in [
        format!("[{}a]\nx = 1\n", "a.".repeat(200_000)),
        format!("{}a = 1\n", "a.".repeat(200_000)),
        format!("x = {}1{}\n", "[".repeat(200_000), "]".repeat(200_000)),
        format!("x = {}1{}\n", "{a = ".repeat(200_000), "}".repeat(200_000)),
    ] {
        let mut files = fleet();
        files.insert("clusters/a.toml", text);
        assert!(load(&files).fleet.is_none());
    }
}

#[test]
fn a_byte_order_mark_moves_nothing() {
    let mut files = fleet();
    replace(&mut files, "releases/r1.toml", "\n[release]", "\u{feff}[release]");
    assert_eq!(told(&files), "");
    replace(&mut files, "releases/r1.toml", "kubernetes", "cubernetes");
    assert!(told(&files).contains("--> releases/r1.toml:3:1"), "{}", told(&files));
}
