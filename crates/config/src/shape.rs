//! Whether a TOML file has the shape that its JSON Schema says.
//!
//! Every deviation is reported with its place, in words. What deviates is cut off: an unknown
//! or wrong optional key alone, otherwise the smallest table around it that may be missing. The
//! rest is read as usual, so that one mistake does not hide the others. Formats of strings are
//! not looked at here; the types behind them are parsed later, and explain themselves better.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::diagnostic::{Diagnostic, nearest, quoted};
use crate::schema::{FileKind, allowed, follow};
use crate::text::Span;

/// Keys of the design that nothing enforces yet. They are refused by name, because silence
/// would be taken for consent.
const KEYS_NOT_YET: [&str; 12] = [
    "chart",
    "defaults",
    "gates",
    "health",
    "helm",
    "kustomization",
    "kustomize",
    "policies",
    "soak",
    "source",
    "waivers",
    "windows",
];

/// Values of the design that nothing implements yet, by key.
const VALUES_NOT_YET: [(&str, &str); 7] = [
    ("etcd", "stacked"),
    ("kind", "DaemonSet"),
    ("store", "file"),
    ("store", "git"),
    ("store", "s3"),
    ("store", "sqlite"),
    ("store", "postgres"),
];

/// A step from the top of a file to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// A deviation, and the way to the table or value it was found in.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) path: Vec<Step>,
    pub(crate) diagnostic: Diagnostic,
}

/// The schemas of all files, and which key belongs where.
pub(crate) struct Shapes {
    schemas: BTreeMap<FileKind, Value>,
    places: BTreeMap<String, Vec<(FileKind, String)>>,
}

impl Shapes {
    pub(crate) fn new() -> Self {
        let schemas: BTreeMap<FileKind, Value> =
            FileKind::ALL.iter().map(|kind| (*kind, kind.schema())).collect();
        let mut places = BTreeMap::new();
        for (kind, schema) in &schemas {
            index(*kind, schema, schema, &mut Vec::new(), false, &mut places);
        }
        Self { schemas, places }
    }

    /// Reports all deviations, cuts them off, and says whether what is left is sound.
    pub(crate) fn check(
        &self,
        kind: FileKind,
        file: &str,
        table: &mut DeTable<'_>,
    ) -> (bool, Vec<Problem>) {
        let root = &self.schemas[&kind];
        let mut check =
            Check { shapes: self, kind, file, root, path: Vec::new(), problems: Vec::new() };
        let sound = check.table(table, None, root);
        (sound, check.problems)
    }
}

/// Notes for each key in which tables it may stand.
fn index(
    kind: FileKind,
    root: &Value,
    schema: &Value,
    path: &mut Vec<String>,
    list: bool,
    places: &mut BTreeMap<String, Vec<(FileKind, String)>>,
) {
    // No table is nested deeper than this; the bound guards against a circle.
    if path.len() > 8 {
        return;
    }
    let schema = follow(root, schema);
    if let Some(items) = schema.get("items") {
        index(kind, root, items, path, true, places);
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let header = match (path.is_empty(), list) {
        (true, _) => "the top of the file".to_owned(),
        (false, true) => format!("`[[{}]]`", path.join(".")),
        (false, false) => format!("`[{}]`", path.join(".")),
    };
    for (key, property) in properties {
        places.entry(key.clone()).or_default().push((kind, header.clone()));
        path.push(key.clone());
        index(kind, root, property, path, false, places);
        path.pop();
    }
}

struct Check<'a> {
    shapes: &'a Shapes,
    kind: FileKind,
    file: &'a str,
    root: &'a Value,
    path: Vec<Step>,
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.problems.push(Problem { path: self.path.clone(), diagnostic });
    }

    /// The table in words, as its header reads.
    fn header(&self) -> String {
        let mut keys = Vec::new();
        let mut list = false;
        for step in &self.path {
            match step {
                Step::Key(key) => keys.push(key.as_str()),
                Step::Index(_) => {}
            }
            list = matches!(step, Step::Index(_));
        }
        match (keys.is_empty(), list) {
            (true, _) => format!("`{}`", self.file),
            (false, true) => format!("`[[{}]]`", keys.join(".")),
            (false, false) => format!("`[{}]`", keys.join(".")),
        }
    }

    fn table(&mut self, table: &mut DeTable<'_>, span: Option<&Span>, schema: &'a Value) -> bool {
        let properties = schema.get("properties").and_then(Value::as_object);
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|keys| keys.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let mut sound = true;
        let mut cut: Vec<String> = Vec::new();
        let mut unknown = 0;
        let mut failed_required = false;
        for (key, value) in table.iter_mut() {
            let name = key.get_ref().as_ref();
            let named = properties.and_then(|properties| properties.get(name));
            let Some(expected) = named.or_else(|| any_other(schema)) else {
                self.unknown(name, &key.span(), properties);
                unknown += 1;
                cut.push(name.to_owned());
                continue;
            };
            self.path.push(Step::Key(name.to_owned()));
            let fits = self.value(value, expected);
            self.path.pop();
            if !fits {
                failed_required |= required.contains(&name);
                cut.push(name.to_owned());
            }
        }
        sound &= !failed_required;
        for name in required {
            if table.contains_key(name) {
                continue;
            }
            let message = format!("{} has no `{name}`", self.header());
            let diagnostic = Diagnostic::error(message);
            let diagnostic = match span {
                Some(span) => diagnostic.at(self.file, span, format!("`{name}` is missing here")),
                None => diagnostic.in_file(self.file),
            };
            let property = properties.and_then(|properties| properties.get(name));
            let whole = property.map(|property| follow(self.root, property));
            let is_table = whole.is_some_and(|schema| schema.get("properties").is_some());
            self.report(if is_table && self.path.is_empty() {
                diagnostic.hint(format!("begin it with the line `[{name}]`"))
            } else {
                self.describe(diagnostic, property)
            });
            sound = false;
        }
        let named = table.len() - unknown;
        for name in cut {
            table.remove(name.as_str());
        }
        self.count(named, span, schema) && sound
    }

    /// Adds what the schema says about a key.
    fn describe(&self, diagnostic: Diagnostic, schema: Option<&'a Value>) -> Diagnostic {
        let description = schema.and_then(|schema| {
            let own = schema.get("description");
            own.or_else(|| follow(self.root, schema).get("description")).and_then(Value::as_str)
        });
        match description.and_then(|text| text.split("\n\n").next()) {
            Some(text) => diagnostic.hint(text),
            None => diagnostic,
        }
    }

    fn count(&mut self, named: usize, span: Option<&Span>, schema: &'a Value) -> bool {
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        let count = named as u64;
        let few = bound("minProperties").is_some_and(|least| count < least);
        let many = bound("maxProperties").is_some_and(|most| count > most);
        if !few && !many {
            return true;
        }
        let keys: Vec<String> = schema
            .get("properties")
            .and_then(Value::as_object)
            .map(|properties| properties.keys().map(|key| quoted(key)).collect())
            .unwrap_or_default();
        let whole = 0..0;
        let message = format!("{} needs exactly one of {}", self.header(), keys.join(" and "));
        let label = if few { "has none of them" } else { "has more than one" };
        self.report(Diagnostic::error(message).at(self.file, span.unwrap_or(&whole), label));
        false
    }

    fn unknown(&mut self, name: &str, span: &Span, properties: Option<&Map<String, Value>>) {
        let header = self.header();
        if KEYS_NOT_YET.contains(&name) {
            let diagnostic = Diagnostic::error(format!("{} is not supported yet", quoted(name)))
                .at(self.file, span, "nothing would enforce this")
                .hint("remove it");
            return self.report(diagnostic);
        }
        let mut diagnostic = Diagnostic::error(format!("unknown key {} in {header}", quoted(name)))
            .at(self.file, span, "not a key of refit");
        let keys = || properties.into_iter().flat_map(Map::keys);
        if let Some(near) = nearest(name, keys().map(String::as_str)) {
            diagnostic = diagnostic.hint(format!("did you mean `{near}`?"));
        } else if let Some(place) = self.elsewhere(name) {
            diagnostic = diagnostic.hint(format!("{} belongs to {place}", quoted(name)));
        } else if let Some((near, place)) = self.nearly_elsewhere(name) {
            diagnostic =
                diagnostic.hint(format!("did you mean `{near}`, which belongs to {place}?"));
        } else {
            let keys: Vec<String> = keys().map(|key| quoted(key)).collect();
            diagnostic = diagnostic.hint(format!("keys of {header}: {}", keys.join(", ")));
        }
        self.report(diagnostic);
    }

    /// A key of nearly that name that belongs to another table of this file, and to which.
    fn nearly_elsewhere(&self, name: &str) -> Option<(&'a str, String)> {
        let shapes: &'a Shapes = self.shapes;
        let of_file = shapes
            .places
            .iter()
            .filter(|(_, places)| places.iter().any(|(kind, _)| *kind == self.kind));
        let near = nearest(name, of_file.map(|(key, _)| key.as_str()))?;
        Some((near, self.elsewhere(near)?))
    }

    /// Where a key belongs that does not belong here: in this file, or in another.
    fn elsewhere(&self, name: &str) -> Option<String> {
        /// A key that stands in more tables than this is too common for advice.
        const PLACES_MAX: usize = 3;
        let all = self.shapes.places.get(name)?;
        let here: Vec<&str> = all
            .iter()
            .filter(|(kind, _)| *kind == self.kind)
            .map(|(_, header)| header.as_str())
            .collect();
        if !here.is_empty() {
            return (here.len() <= PLACES_MAX).then(|| here.join(" or "));
        }
        let there: Vec<String> = all
            .iter()
            .filter(|(kind, header)| *kind != FileKind::Fleet || !header.contains('.'))
            .map(|(kind, header)| format!("{header} in `{}`", kind.place()))
            .collect();
        (!there.is_empty() && there.len() <= PLACES_MAX).then(|| there.join(" or "))
    }

    fn value(&mut self, value: &mut Spanned<DeValue<'_>>, schema: &'a Value) -> bool {
        let schema = follow(self.root, schema);
        if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
            return self.any_of(value, options);
        }
        let span = value.span();
        let found = value.get_ref();
        let expected = schema
            .get("type")
            .and_then(Value::as_str)
            .or_else(|| allowed(schema).map(|_| "string"));
        if let Some(expected) = expected
            && !is(found, expected)
        {
            let message = format!(
                "{} should be {}, not {}",
                self.subject(),
                words(expected),
                found_words(found)
            );
            let label = format!("expected {}, found {}", words(expected), found_words(found));
            let mut diagnostic = Diagnostic::error(message).at(self.file, &span, label);
            match (expected, found) {
                ("string", DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)) => {
                    diagnostic = diagnostic.hint("write it in quotation marks");
                }
                ("array", DeValue::String(_)) => {
                    diagnostic = diagnostic.hint("write it in brackets: [\"...\"]");
                }
                _ => {}
            }
            self.report(diagnostic);
            return false;
        }
        if let (Some(values), DeValue::String(text)) = (allowed(schema), found) {
            return self.one_of(text, &span, &values);
        }
        match value.get_mut() {
            DeValue::Table(table) => self.table(table, Some(&span), schema),
            DeValue::Array(items) => self.list(items, &span, schema),
            DeValue::Integer(number) => {
                let number = i128::from_str_radix(number.as_str(), number.radix()).ok();
                self.number(number, &span, schema)
            }
            _ => true,
        }
    }

    /// What a value is called: by its key, or by the list that it is in.
    fn subject(&self) -> String {
        let key = self.path.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(quoted(key)),
            Step::Index(_) => None,
        });
        match (self.path.last(), key) {
            (Some(Step::Index(_)), Some(key)) => format!("an item of {key}"),
            (_, Some(key)) => key,
            (_, None) => "the file".to_owned(),
        }
    }

    fn any_of(&mut self, value: &mut Spanned<DeValue<'_>>, options: &'a [Value]) -> bool {
        let types: Vec<&str> = options
            .iter()
            .filter_map(|option| follow(self.root, option).get("type").and_then(Value::as_str))
            .collect();
        let fitting = options.iter().find(|option| {
            let expected = follow(self.root, option).get("type").and_then(Value::as_str);
            expected.is_none_or(|expected| is(value.get_ref(), expected))
        });
        if let Some(option) = fitting {
            return self.value(value, option);
        }
        let wanted = types.iter().map(|name| words(name)).collect::<Vec<_>>().join(" or ");
        let found = found_words(value.get_ref());
        let message = format!("{} should be {wanted}, not {found}", self.subject());
        let label = format!("expected {wanted}, found {found}");
        self.report(Diagnostic::error(message).at(self.file, &value.span(), label));
        false
    }

    fn one_of(&mut self, text: &str, span: &Span, values: &[&str]) -> bool {
        if values.contains(&text) {
            return true;
        }
        let key = self.path.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        });
        let list = values.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>();
        let list = list.join(" or ");
        let not_yet = key.is_some_and(|key| VALUES_NOT_YET.contains(&(key, text)));
        let diagnostic = if not_yet {
            let key = key.unwrap_or_default();
            Diagnostic::error(format!("`{key} = \"{text}\"` is not supported yet")).at(
                self.file,
                span,
                format!("use {list}"),
            )
        } else {
            let message = format!("{} cannot be {}", self.subject(), quoted(text));
            let diagnostic =
                Diagnostic::error(message).at(self.file, span, format!("expected {list}"));
            match nearest(text, values.iter().copied()) {
                Some(near) => diagnostic.hint(format!("did you mean \"{near}\"?")),
                None => diagnostic,
            }
        };
        self.report(diagnostic);
        false
    }

    fn list(&mut self, items: &mut DeArray<'_>, span: &Span, schema: &'a Value) -> bool {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        if (items.len() as u64) < least {
            let message = format!("{} is empty", self.subject());
            let label = format!("expected at least {least}");
            self.report(Diagnostic::error(message).at(self.file, span, label));
            return false;
        }
        let Some(expected) = schema.get("items") else { return true };
        let mut fits = Vec::new();
        for (at, item) in items.iter_mut().enumerate() {
            self.path.push(Step::Index(at));
            fits.push(self.value(item, expected));
            self.path.pop();
        }
        let cut = fits.contains(&false);
        if cut {
            let kept = items.clone().into_iter().zip(fits).filter(|(_, fits)| *fits);
            *items = kept.map(|(item, _)| item).collect();
        }
        // A list that must not be empty, and is now, is as wrong as its items were.
        !cut || items.len() as u64 >= least
    }

    fn number(&mut self, number: Option<i128>, span: &Span, schema: &'a Value) -> bool {
        let bound = |name: &str| schema.get(name).and_then(Value::as_i64).map(i128::from);
        let (least, most) = (bound("minimum"), bound("maximum"));
        let fits = number.is_some_and(|number| {
            least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most)
        });
        if !fits {
            let message = format!("{} is out of bounds", self.subject());
            let label = match (least, most) {
                (Some(least), Some(most)) => format!("expected {least} to {most}"),
                (Some(least), None) => format!("expected at least {least}"),
                (None, Some(most)) => format!("expected at most {most}"),
                (None, None) => "too large".to_owned(),
            };
            self.report(Diagnostic::error(message).at(self.file, span, label));
        }
        fits
    }
}

/// The schema of keys that are not named, when such are allowed.
fn any_other(schema: &Value) -> Option<&Value> {
    let by_pattern = schema
        .get("patternProperties")
        .and_then(Value::as_object)
        .and_then(|patterns| patterns.values().next());
    by_pattern.or_else(|| schema.get("additionalProperties").filter(|other| other.is_object()))
}

fn is(value: &DeValue<'_>, expected: &str) -> bool {
    matches!(
        (expected, value),
        ("string", DeValue::String(_))
            | ("integer", DeValue::Integer(_))
            | ("number", DeValue::Integer(_) | DeValue::Float(_))
            | ("boolean", DeValue::Boolean(_))
            | ("array", DeValue::Array(_))
            | ("object", DeValue::Table(_))
    )
}

fn words(expected: &str) -> &'static str {
    match expected {
        "string" => "a string",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        _ => "a table",
    }
}

fn found_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_supported_yet_is_in_no_schema() {
        let shapes = Shapes::new();
        for key in KEYS_NOT_YET {
            assert!(!shapes.places.contains_key(key), "{key} is accepted");
        }
        for kind in FileKind::ALL {
            let text = kind.schema().to_string();
            for (key, value) in VALUES_NOT_YET {
                assert!(!text.contains(&format!("\"{value}\"")), "{key} = {value} is accepted");
            }
        }
    }
}
