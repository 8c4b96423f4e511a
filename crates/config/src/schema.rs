//! JSON Schemas: of the files that users write, and of the files that refit writes.
//!
//! They are generated from the types that read and write those files, and the check of a
//! file's shape walks the same schema, so the three cannot drift apart.

use refit_model::{
    AddonListing, ClusterList, Explanation, FileProblem, LogLine, PastRun, RunEvent, RunRecords,
    RunStatus, SavedPlan, Snapshot, StateContents,
};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::raw::{AddonFile, ClusterFile, FleetFile, ReleaseFile};

/// Which of a fleet's TOML files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileKind {
    Fleet,
    Release,
    Cluster,
    Addon,
}

impl FileKind {
    pub(crate) const ALL: [Self; 4] = [Self::Fleet, Self::Release, Self::Cluster, Self::Addon];

    /// Where such files are.
    pub(crate) const fn place(self) -> &'static str {
        match self {
            Self::Fleet => "fleet.toml",
            Self::Release => "releases/<name>.toml",
            Self::Cluster => "clusters/<name>.toml",
            Self::Addon => "addons/<name>/addon.toml",
        }
    }

    /// The name of the schema's file.
    pub(crate) const fn schema_file(self) -> &'static str {
        match self {
            Self::Fleet => "fleet.schema.json",
            Self::Release => "release.schema.json",
            Self::Cluster => "cluster.schema.json",
            Self::Addon => "addon.schema.json",
        }
    }

    /// The schema.
    pub(crate) fn schema(self) -> Value {
        match self {
            Self::Fleet => schema_of::<FleetFile>(self.place()),
            Self::Release => schema_of::<ReleaseFile>(self.place()),
            Self::Cluster => schema_of::<ClusterFile>(self.place()),
            Self::Addon => schema_of::<AddonFile>(self.place()),
        }
    }
}

/// Every schema, by the name of its file in `schemas/`.
pub fn schemas() -> Vec<(&'static str, Value)> {
    let mut all: Vec<(&'static str, Value)> =
        FileKind::ALL.iter().map(|kind| (kind.schema_file(), kind.schema())).collect();
    all.push(("snapshot.schema.json", schema_of::<Snapshot>("A snapshot of a fleet")));
    all.push(("plan.schema.json", schema_of::<SavedPlan>("A saved plan")));
    all.push(("explanation.schema.json", schema_of::<Explanation>("What `refit explain` tells")));
    all.push(("event.schema.json", schema_of::<RunEvent>("An event of a run, one JSON per line")));
    all.push(("log.schema.json", schema_of::<LogLine>("A line of `--log-format json`")));
    all.push(("clusters.schema.json", schema_of::<ClusterList>("What `refit clusters` lists")));
    all.push((
        "problems.schema.json",
        schema_of::<Vec<FileProblem<'_>>>("What `refit validate` lists"),
    ));
    all.push(("run.schema.json", schema_of::<RunRecords<'_>>("What `refit show RUN` prints")));
    all.push(("history.schema.json", schema_of::<Vec<PastRun>>("What `refit history` lists")));
    all.push(("state.schema.json", schema_of::<StateContents>("What `refit state list` lists")));
    all.push(("addons.schema.json", schema_of::<AddonListing<'_>>("What `refit addons` tells")));
    all.push(("status.schema.json", schema_of::<RunStatus>("What `refit status` tells")));
    all
}

fn schema_of<T: JsonSchema>(title: &str) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    if let Value::Object(root) = &mut schema {
        root.insert("title".to_owned(), json!(title));
        // A list has no type of its own that would describe it.
        root.entry("description").or_insert_with(|| json!(title));
    }
    schema
}

/// Removes what the generator adds for Rust's sake: `null` for optional keys, which neither
/// TOML nor refit's JSON has, and names of number formats, which become bounds.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(map) => {
            for (key, value) in &mut *map {
                // A property may be called like a keyword; then its value is a schema too.
                if !matches!(key.as_str(), "enum" | "const" | "default" | "examples") {
                    tidy(value);
                }
            }
            tidy_object(map);
        }
        _ => {}
    }
}

fn tidy_object(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(options)) = map.get_mut("anyOf") {
        options.retain(|option| *option != json!({ "type": "null" }));
        if let [Value::Object(only)] = options.as_slice() {
            let only = only.clone();
            map.remove("anyOf");
            for (key, value) in only {
                map.entry(key).or_insert(value);
            }
        }
    }
    if map.get("default") == Some(&Value::Null) {
        map.remove("default");
    }
    let largest = match map.get("format").and_then(Value::as_str) {
        Some("uint8") => Some(u64::from(u8::MAX)),
        Some("uint16") => Some(u64::from(u16::MAX)),
        Some("uint32") => Some(u64::from(u32::MAX)),
        _ => None,
    };
    if let Some(largest) = largest {
        map.remove("format");
        map.entry("maximum").or_insert_with(|| json!(largest));
    }
    if let Some(Value::String(description)) = map.get_mut("description") {
        *description = reflow(description);
    }
}

/// One line per paragraph: where the source's lines end says nothing.
fn reflow(text: &str) -> String {
    let paragraphs = text
        .split("\n\n")
        .map(|paragraph| paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// The schema that `schema` refers to, or itself.
pub(crate) fn follow<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    // References are not nested deeper than types; the bound guards against a circle.
    let mut current = schema;
    for _ in 0..8 {
        let Some(reference) = current.get("$ref").and_then(Value::as_str) else { break };
        let Some(next) = reference.strip_prefix('#').and_then(|path| root.pointer(path)) else {
            break;
        };
        current = next;
    }
    current
}

/// The values that are allowed, when the schema lists them.
pub(crate) fn allowed(schema: &Value) -> Option<Vec<&str>> {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(Value::as_str).collect();
    }
    if let Some(value) = schema.get("const") {
        return value.as_str().map(|only| vec![only]);
    }
    let options = schema.get("oneOf").and_then(Value::as_array)?;
    let lists: Option<Vec<Vec<&str>>> = options.iter().map(allowed).collect();
    Some(lists?.concat())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The keys of saved plans and of journals that are spelled with `_`. Plans and journals that exist
    /// have digests and checksums over them.
    const UNDERSCORED: [&str; 8] = [
        "any_of",
        "because_of",
        "drain_timeout",
        "dropped_by",
        "max_failed_clusters",
        "node_interval",
        "node_ready_timeout",
        "unreachable_timeout",
    ];

    /// Adds the names of all properties of a schema that are not in kebab-case.
    fn underscored(schema: &Value, found: &mut BTreeSet<String>) {
        match schema {
            Value::Object(map) => {
                if let Some(Value::Object(properties)) = map.get("properties") {
                    found.extend(properties.keys().filter(|key| key.contains('_')).cloned());
                }
                map.values().for_each(|value| underscored(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| underscored(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn keys_are_in_kebab_case() {
        for (file, schema) in schemas() {
            let mut found = BTreeSet::new();
            underscored(&schema, &mut found);
            // The records of a run are those of its journal.
            if file == "run.schema.json" {
                continue;
            }
            let unknown: Vec<&String> =
                found.iter().filter(|key| !UNDERSCORED.contains(&key.as_str())).collect();
            assert!(unknown.is_empty(), "{file}: {unknown:?}");
        }
    }
}
