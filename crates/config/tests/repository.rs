//! What this repository ships is current and sound: schemas, reference, starter, example.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use refit_config::{Entry, EntryKind, FileError, Files, Loaded, MemoryFiles, load, render};
use refit_model::Provider;
use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[expect(clippy::disallowed_methods, reason = "tests compare with files of the repository")]
fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A directory, the simplest way.
struct Disk(PathBuf);

impl Files for Disk {
    fn list(&self, directory: &str) -> Result<Vec<Entry>, FileError> {
        let entries = fs::read_dir(self.0.join(directory)).map_err(|_| FileError::Missing)?;
        let entry = |entry: fs::DirEntry| Entry {
            name: entry.file_name().into_string().unwrap(),
            kind: if entry.path().is_dir() { EntryKind::Directory } else { EntryKind::File },
        };
        Ok(entries.map(|found| entry(found.unwrap())).collect())
    }

    #[expect(clippy::disallowed_methods, reason = "tests read files of the repository")]
    fn read(&self, path: &str, _: u64) -> Result<Vec<u8>, FileError> {
        fs::read(self.0.join(path)).map_err(|_| FileError::Missing)
    }
}

fn report(loaded: &Loaded) -> String {
    loaded.diagnostics.iter().map(|d| render(d, &loaded.sources, false) + "\n").collect()
}

#[test]
fn schemas_and_reference_are_current() {
    for (file, schema) in refit_config::schemas() {
        let expected = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let path = repository().join("schemas").join(file);
        assert!(
            text_of(&path) == expected,
            "schemas/{file} is not current: run `cargo regenerate`"
        );
    }
    let path = repository().join("docs/reference/files.md");
    assert!(
        text_of(&path) == refit_config::reference(),
        "docs/reference/files.md is not current: run `cargo regenerate`"
    );
    let path = repository().join("docs/reference/rules.md");
    assert!(
        text_of(&path) == refit_config::rules(),
        "docs/reference/rules.md is not current: run `cargo regenerate`"
    );
    let path = repository().join("docs/reference/catalogue.md");
    assert!(
        text_of(&path) == refit_catalogue::page(),
        "docs/reference/catalogue.md is not current: run `cargo regenerate`"
    );
}

#[test]
fn schemas_are_schemas_and_describe_every_key() {
    for (file, schema) in refit_config::schemas() {
        jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(schema["title"].is_string() && schema["description"].is_string(), "{file}");
        let mut bare = Vec::new();
        undescribed(&schema, "", &mut bare);
        assert!(bare.is_empty(), "{file} has keys without a description: {bare:?}");
    }
}

/// Properties that neither describe themselves nor refer to what does.
fn undescribed(schema: &Value, path: &str, bare: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                // A variant of a choice describes itself, not the one key that names it.
                if key == "properties"
                    && !(map.contains_key("description") && path.ends_with("oneOf"))
                {
                    for (name, property) in value.as_object().unwrap() {
                        let said = property.get("description").or(property.get("$ref"));
                        if said.is_none() {
                            bare.push(format!("{path}/{name}"));
                        }
                    }
                }
                undescribed(value, &format!("{path}/{key}"), bare);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| undescribed(item, path, bare)),
        _ => {}
    }
}

fn is_toml(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "toml")
}

#[test]
fn the_starter_is_a_fleet() {
    let name = "acme".parse().unwrap();
    let files = refit_config::starter(&name);
    for (path, text) in &files {
        assert!(!is_toml(path) || text.starts_with("#:schema "), "{path}");
        if is_toml(path) {
            validate(path, text);
        }
    }
    let loaded = load(&files.into_iter().collect::<MemoryFiles>());
    assert_eq!(report(&loaded), "");
    assert_eq!(loaded.fleet.unwrap().name, name);
}

#[test]
fn lines_may_end_as_on_windows() {
    let files = refit_config::starter(&"acme".parse().unwrap());
    let files = files.into_iter().map(|(path, text)| (path, text.replace('\n', "\r\n")));
    let loaded = load(&files.collect::<MemoryFiles>());
    assert_eq!(report(&loaded), "");
    let cluster = &loaded.fleet.unwrap().clusters[&"dev-1".parse().unwrap()];
    assert_eq!(cluster.at.to_string(), "clusters/dev-1.toml:4");
}

#[test]
fn the_quickstart_is_a_fleet() {
    let loaded = load(&Disk(repository().join("examples/quickstart")));
    assert_eq!(report(&loaded), "");
    let fleet = loaded.fleet.unwrap();
    assert_eq!(fleet.clusters.len(), 3);
    let channels: Vec<&str> = fleet.channels.iter().map(|channel| channel.name.as_str()).collect();
    assert_eq!(channels, ["dev", "stable"], "in the order of the file");
    assert_eq!(fleet.channels[1].waves.len(), 2);
    let dev = &fleet.clusters[&"dev-eu-1".parse().unwrap()];
    assert_eq!(dev.kubernetes.value.to_string(), "1.37.2");
    assert_eq!(dev.kubernetes.at.to_string(), "releases/2026.11.0.toml:5");
    let us = &fleet.clusters[&"prod-us-1".parse().unwrap()];
    let Provider::Simulated(start) = &us.provider else { panic!("it is simulated") };
    assert_eq!(start.foreign_addons.len(), 1);
    assert!(start.addons.keys().any(|addon| !us.addons.contains_key(addon)), "one to remove");
    assert!(us.addons.keys().any(|addon| addon.as_str() == "gateway-api"), "one to install");
}

#[test]
fn the_quickstart_fits_its_schemas() {
    let root = repository().join("examples/quickstart");
    let mut checked = 0;
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                let text = text_of(&path);
                let named = text.lines().next().unwrap().strip_prefix("#:schema ").unwrap();
                let schema = path.parent().unwrap().join(named);
                assert!(schema.is_file(), "{} names {named}", path.display());
                validate(&path.strip_prefix(&root).unwrap().display().to_string(), &text);
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 12);
}

/// Checks a TOML file against the JSON Schema of its kind, as an editor does.
fn validate(path: &str, text: &str) {
    let file = match path.split('/').next().unwrap() {
        "fleet.toml" => "fleet.schema.json",
        "releases" => "release.schema.json",
        "clusters" => "cluster.schema.json",
        _ => "addon.schema.json",
    };
    let schemas = refit_config::schemas();
    let (_, schema) = schemas.iter().find(|(name, _)| *name == file).unwrap();
    let value: Value = toml::from_str(text).unwrap();
    let validator = jsonschema::draft202012::new(schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{path}: {errors:?}");
}
