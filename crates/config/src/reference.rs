//! The reference of all files and keys, made of the JSON Schemas.

use std::fmt::Write as _;

use serde_json::Value;

use crate::schema::{FileKind, allowed, follow};

const HEAD: &str = "\
<!-- Generated from the JSON Schemas by `cargo regenerate`. Do not edit. -->

# The files of a fleet

A fleet is a directory with `fleet.toml`. Releases, clusters and add-ons have files of their
own; a small fleet may keep them in `fleet.toml`. A key that is not listed here is an error, so
a key that is accepted is enforced.

Begin each file with the line that tells editors its schema, for example
`#:schema https://raw.githubusercontent.com/refit-dev/refit/main/schemas/cluster.schema.json`.
";

/// `docs/reference/files.md`: every file and key with its type, its default and its meaning.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for kind in FileKind::ALL {
        let root = kind.schema();
        let _ = write!(page, "\n## `{}`\n", kind.place());
        paragraph(&mut page, &strip_place(description(&root, &root)));
        tables(&mut page, &root, &root, &mut Vec::new(), false);
    }
    page
}

/// The first sentence begins with the place, which is the heading already.
fn strip_place(text: &str) -> String {
    let rest = text.strip_prefix('`').and_then(|text| text.split_once("`: ")).map(|(_, rest)| rest);
    let text = rest.unwrap_or(text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn paragraph(page: &mut String, text: &str) {
    if !text.is_empty() {
        let _ = write!(page, "\n{text}\n");
    }
}

fn description<'a>(root: &'a Value, schema: &'a Value) -> &'a str {
    let own = schema.get("description").and_then(Value::as_str);
    own.or_else(|| follow(root, schema).get("description").and_then(Value::as_str))
        .unwrap_or_default()
}

/// A table of keys, and after it those of the tables in it. Tables that inline lists of
/// `fleet.toml` share with files of their own are described there.
fn tables(page: &mut String, root: &Value, schema: &Value, path: &mut Vec<String>, list: bool) {
    let schema = follow(root, schema);
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    if !path.is_empty() {
        let name = path.join(".");
        let header = if list { format!("[[{name}]]") } else { format!("[{name}]") };
        let _ = write!(page, "\n### `{header}`\n");
        paragraph(page, description(root, schema));
    }
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|keys| keys.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    page.push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
    for (key, property) in properties {
        let default = match property.get("default") {
            _ if required.contains(&key.as_str()) => "required".to_owned(),
            Some(Value::String(text)) => format!("`\"{text}\"`"),
            Some(value) => format!("`{value}`"),
            None if follow(root, property).get("items").is_some() => "`[]`".to_owned(),
            None => "none".to_owned(),
        };
        let meaning = description(root, property).replace("\n\n", " ").replace('|', "\\|");
        let kind = kind_of(root, property).replace('|', "\\|");
        let _ = writeln!(page, "| `{key}` | {kind} | {default} | {meaning} |");
    }
    for (key, property) in properties {
        let schema = follow(root, property);
        path.push(key.clone());
        match schema.get("items").map(|items| follow(root, items)) {
            Some(items) if items.get("properties").is_some() => {
                tables(page, root, items, path, true);
            }
            _ => tables(page, root, schema, path, false),
        }
        path.pop();
    }
}

fn kind_of(root: &Value, schema: &Value) -> String {
    let schema = follow(root, schema);
    if let Some(values) = allowed(schema) {
        return values.iter().map(|v| format!("`\"{v}\"`")).collect::<Vec<_>>().join(" or ");
    }
    if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
        return options.iter().map(|o| kind_of(root, o)).collect::<Vec<_>>().join(" or ");
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => match schema.get("items").map(|items| follow(root, items)) {
            Some(items) if items.get("properties").is_some() => "list of tables".to_owned(),
            Some(items) => format!("list of {}", kind_of(root, items)),
            None => "list".to_owned(),
        },
        Some("integer") => {
            let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
            match (bound("minimum"), bound("maximum")) {
                (Some(least), Some(most)) if most < u64::from(u32::MAX) => {
                    format!("number, {least} to {most}")
                }
                (Some(least), _) if least > 0 => format!("number, at least {least}"),
                _ => "number".to_owned(),
            }
        }
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("object") => {
            let patterns = schema.get("patternProperties").and_then(Value::as_object);
            let other = patterns
                .and_then(|patterns| patterns.values().next())
                .or_else(|| schema.get("additionalProperties").filter(|o| o.is_object()));
            match other {
                Some(other) => format!("table of names and {}", kind_of(root, other)),
                None => "table".to_owned(),
            }
        }
        _ => "string".to_owned(),
    }
}
