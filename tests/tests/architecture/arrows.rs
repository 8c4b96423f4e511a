//! Which crate may depend on which.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

use crate::{assert_none, root, text_of};

/// Every crate of the workspace, and the refit crates that it may depend on. A new arrow is a
/// decision: change `docs/design/architecture.md` with it.
const ARROWS: [(&str, &[&str]); 15] = [
    ("refit-model", &[]),
    ("refit-catalogue", &["refit-model"]),
    ("refit-config", &["refit-catalogue", "refit-model"]),
    ("refit-planner", &["refit-model"]),
    ("refit-verifier", &["refit-model"]),
    ("refit-engine", &["refit-model"]),
    ("refit-render", &["refit-model"]),
    ("refit-provider", &["refit-model"]),
    ("refit-aws", &["refit-model", "refit-provider"]),
    ("refit-kubernetes", &["refit-model", "refit-provider"]),
    ("refit-simulator", &["refit-model", "refit-provider"]),
    ("refit-store", &["refit-model"]),
    ("refit-runtime", &["refit-engine", "refit-model", "refit-provider", "refit-store"]),
    ("refit", EVERYTHING),
    ("refit-tests", EVERYTHING),
];

/// Everything but the binary: nothing depends on that.
const EVERYTHING: &[&str] = &[
    "refit-aws",
    "refit-catalogue",
    "refit-config",
    "refit-engine",
    "refit-kubernetes",
    "refit-model",
    "refit-planner",
    "refit-provider",
    "refit-render",
    "refit-runtime",
    "refit-simulator",
    "refit-store",
    "refit-verifier",
];

/// The same inputs give the same bytes: no clock, file, socket, environment, thread, chance.
pub(crate) const PURE: [&str; 8] =
    ["model", "catalogue", "config", "planner", "verifier", "engine", "render", "provider"];

/// What a pure crate does not reach, over however many crates: runtimes, and sources of chance.
/// `fastrand` is among them because only the simulator throws dice, from a seed.
const IMPURE: [&str; 12] = [
    "async-std",
    "fastrand",
    "getrandom",
    "mio",
    "oorandom",
    "rand",
    "rand_core",
    "refit-runtime",
    "refit-store",
    "smol",
    "tokio",
    "uuid",
];

/// Dependencies by package, of one kind or of all.
type Dependencies = BTreeMap<String, BTreeSet<String>>;

fn declared(kind: Option<DependencyKind>) -> Dependencies {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata answers");
    metadata
        .packages
        .iter()
        .map(|package| {
            let names = package
                .dependencies
                .iter()
                .filter(|dependency| kind.is_none_or(|kind| dependency.kind == kind))
                .map(|dependency| dependency.name.clone());
            (package.name.to_string(), names.collect())
        })
        .collect()
}

fn arrow_problems(found: &Dependencies) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let mut problems = Vec::new();
    for (name, dependencies) in found {
        let Some(allowed) = allowed.get(name.as_str()) else {
            problems.push(format!("{name} is in the workspace, and has no entry in ARROWS"));
            continue;
        };
        for dependency in dependencies.iter().filter(|name| found.contains_key(*name)) {
            if !allowed.contains(&dependency.as_str()) {
                problems.push(format!("{name} must not depend on {dependency}"));
            }
        }
    }
    for (name, _) in ARROWS.iter().filter(|(name, _)| !found.contains_key(*name)) {
        problems.push(format!("{name} has an entry in ARROWS, and is not in the workspace"));
    }
    problems
}

/// The planner and its second opinion share nothing, in tests neither.
fn acquaintances(found: &Dependencies) -> Vec<String> {
    let knows = |a: &str, b: &str| found.get(a).is_some_and(|names| names.contains(b));
    [("refit-planner", "refit-verifier"), ("refit-verifier", "refit-planner")]
        .into_iter()
        .filter(|(a, b)| knows(a, b))
        .map(|(a, b)| format!("{a} must know nothing of {b}, in tests neither"))
        .collect()
}

/// What a pure crate reaches and should not.
fn impurities(start: &str, normal: &Dependencies) -> Vec<String> {
    let mut came_by: BTreeMap<&str, &str> = BTreeMap::new();
    let mut open = vec![start];
    while let Some(name) = open.pop() {
        for next in normal.get(name).into_iter().flatten() {
            if next != start && !came_by.contains_key(next.as_str()) {
                came_by.insert(next, name);
                open.push(next);
            }
        }
    }
    let way = |name: &str| {
        let mut way = vec![name];
        while let Some(before) = came_by.get(way[way.len() - 1]) {
            way.push(before);
        }
        way.reverse();
        way.join(" -> ")
    };
    IMPURE
        .into_iter()
        .filter(|name| came_by.contains_key(name))
        .map(|name| format!("{start} is pure, and reaches {name}: {}", way(name)))
        .collect()
}

/// What is really compiled into each crate on this machine, by name.
fn resolved() -> Dependencies {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml"));
    command.other_options(["--filter-platform".to_owned(), host()]);
    let metadata: Metadata = command.exec().expect("cargo metadata answers");
    let names: BTreeMap<&PackageId, String> =
        metadata.packages.iter().map(|package| (&package.id, package.name.to_string())).collect();
    let mut found = Dependencies::new();
    for node in &metadata.resolve.as_ref().expect("a resolve was asked for").nodes {
        let normal = node
            .deps
            .iter()
            .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal))
            .map(|dep| names[&dep.pkg].clone());
        // Two versions of one crate are one name: what either reaches counts.
        found.entry(names[&node.id].clone()).or_default().extend(normal);
    }
    found
}

fn host() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = std::process::Command::new(rustc).arg("-vV").output().expect("rustc answers");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("rustc names its host")
        .to_owned()
}

#[test]
fn every_arrow_is_a_decision() {
    assert_none(&arrow_problems(&declared(Some(DependencyKind::Normal))));
    assert_none(&arrow_problems(&declared(Some(DependencyKind::Build))));
}

#[test]
fn planner_and_verifier_share_only_the_vocabulary() {
    // Their tests hold the one against the other; what ships does not.
    assert_none(&acquaintances(&declared(Some(DependencyKind::Normal))));
    assert_none(&acquaintances(&declared(Some(DependencyKind::Build))));
}

#[test]
fn pure_crates_reach_no_runtime_and_no_chance() {
    let resolved = resolved();
    let found: Vec<String> =
        PURE.iter().flat_map(|name| impurities(&format!("refit-{name}"), &resolved)).collect();
    assert_none(&found);
}

#[test]
fn pure_crates_share_one_list_of_bans() {
    let model = text_of("crates/model/clippy.toml");
    assert!(model.contains("disallowed-types") && model.contains("disallowed-methods"));
    for name in PURE {
        let path = format!("crates/{name}/clippy.toml");
        assert_eq!(text_of(&path), model, "{path} differs from that of crates/model");
    }
}

#[test]
fn every_crate_inherits_the_workspace_lints() {
    let problems: Vec<String> =
        manifests().into_iter().filter_map(|path| lint_problem(&path, &text_of(&path))).collect();
    assert_none(&problems);
}

#[test]
fn the_picture_names_every_room() {
    let picture = text_of("docs/design/architecture.md");
    let missing: Vec<String> = ARROWS
        .iter()
        .filter(|(name, _)| *name != "refit-tests")
        .map(|(name, _)| format!("`crates/{}`", name.trim_start_matches("refit-")))
        .filter(|room| !picture.contains(room))
        .map(|room| format!("docs/design/architecture.md does not name {room}"))
        .collect();
    assert_none(&missing);
}

fn manifests() -> Vec<String> {
    let manifests: Vec<String> = crate::tracked()
        .into_iter()
        .filter(|path| path.ends_with("/Cargo.toml") && !path.contains("/fixtures/"))
        .collect();
    assert!(manifests.len() >= ARROWS.len(), "{manifests:?}");
    manifests
}

fn lint_problem(path: &str, manifest: &str) -> Option<String> {
    let table: toml::Table = match manifest.parse() {
        Ok(table) => table,
        Err(error) => return Some(format!("{path}: {error}")),
    };
    let lints = table.get("lints").and_then(toml::Value::as_table);
    let inherits = lints.and_then(|lints| lints.get("workspace")) == Some(&true.into());
    (!inherits).then(|| format!("{path} does not inherit the lints of the workspace"))
}

#[cfg(test)]
mod failing {
    use super::*;

    fn dependencies(entries: &[(&str, &[&str])]) -> Dependencies {
        entries
            .iter()
            .map(|(name, names)| {
                ((*name).to_owned(), names.iter().map(|name| (*name).to_owned()).collect())
            })
            .collect()
    }

    #[test]
    fn an_arrow_that_nobody_decided_is_found() {
        let mut found = dependencies(&ARROWS);
        assert_none(&arrow_problems(&found));
        found.get_mut("refit-engine").unwrap().insert("refit-provider".to_owned());
        found.get_mut("refit-tests").unwrap().insert("refit".to_owned());
        found.get_mut("refit-model").unwrap().insert("serde".to_owned());
        assert_eq!(
            arrow_problems(&found),
            [
                "refit-engine must not depend on refit-provider",
                "refit-tests must not depend on refit"
            ]
        );
    }

    #[test]
    fn rooms_that_come_and_go_are_found() {
        let mut found = dependencies(&ARROWS);
        found.remove("refit-store");
        found.insert("refit-cloud".to_owned(), BTreeSet::new());
        let problems = arrow_problems(&found);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("refit-cloud") && problems[1].starts_with("refit-store"));
    }

    #[test]
    fn an_acquaintance_is_found() {
        let found = dependencies(&[("refit-verifier", &["refit-planner"])]);
        assert_eq!(acquaintances(&found).len(), 1);
    }

    #[test]
    fn an_impurity_is_found_behind_other_crates() {
        let found = dependencies(&[
            ("refit-model", &["good"]),
            ("good", &["better", "refit-model"]),
            ("better", &["getrandom", "good"]),
        ]);
        assert_eq!(
            impurities("refit-model", &found),
            [
                "refit-model is pure, and reaches getrandom: refit-model -> good -> better -> getrandom"
            ]
        );
    }

    #[test]
    fn a_manifest_without_lints_is_found() {
        assert!(lint_problem("x", "[package]\nname = 'x'").is_some());
        assert!(lint_problem("x", "[lints.rust]\nunsafe_code = 'forbid'").is_some());
        assert!(lint_problem("x", "[lints]\nworkspace = true").is_none());
    }
}
