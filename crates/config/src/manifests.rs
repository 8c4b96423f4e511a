//! The manifests of an add-on's version: YAML or JSON files to objects.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use refit_model::{Crd, Manifest, ObjectRef};
use serde_json::Value;

use crate::diagnostic::{Diagnostic, nearest, quoted};
use crate::files::{EntryKind, FileError, MANIFEST_BYTES_MAX};
use crate::load::{Reader, Sited, has_extension};
use crate::raw::AddonTable;

/// Deepest nesting of a manifest. A CRD with a whole pod template in it has about 40 levels.
/// Reading takes up to 18 KiB of stack per level in a debug build, and a thread may have 2 MiB.
const DEPTH_MAX: usize = 80;
/// Most documents of one file: more objects than any add-on has.
const DOCUMENTS_MAX: usize = 100_000;
/// Most nodes of one file after its aliases were put in: what makes a file of 200 bytes stand
/// for gigabytes is refused. A file of 16 MiB without aliases stays below.
const NODES_MAX: usize = 4_000_000;
/// Most events that aliases may add.
const ALIAS_EVENTS_MAX: usize = 100_000;

/// The objects of a directory.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Each with its place in its file.
    pub(crate) objects: Vec<(Manifest, Range<usize>)>,
    /// Whether all files could be read.
    pub(crate) whole: bool,
    /// Which object stands where in `objects`.
    places: BTreeMap<Identity, usize>,
}

/// Group, kind, namespace and name.
type Identity = (String, String, Option<String>, String);

/// The directory of a version, relative to the fleet's; none when it is not below the add-on's.
pub(crate) fn directory(addon: &str, below: &str) -> Option<String> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let inside = below.split('/').all(plain) && !below.contains(['\\', '\0', ':']);
    (inside && plain(addon) && !addon.contains(['/', '\\', '\0', ':']))
        .then(|| format!("addons/{addon}/{below}"))
}

impl Reader<'_> {
    /// Reads the manifests of all versions of an add-on.
    pub(crate) fn manifests_of(
        &mut self,
        addon: &Sited<AddonTable>,
        found: &mut BTreeMap<String, Found>,
    ) {
        let name = &addon.raw.name.text;
        let mut used: Vec<String> = Vec::new();
        for version in &addon.raw.versions {
            let (below, span) = match &version.manifests {
                Some(written) => (written.value.as_str(), &written.span),
                None => (version.version.text.as_str(), &version.version.span),
            };
            let Some(directory) = directory(name, below) else {
                let message =
                    format!("the manifests' directory {} leaves the add-on's", quoted(below));
                self.diagnostics.push(
                    Diagnostic::error(message)
                        .at(&addon.file, span, "not below the add-on's directory")
                        .hint(format!("write the name of a directory below `addons/{name}/`")),
                );
                continue;
            };
            used.extend(below.split('/').next().map(str::to_owned));
            // Two versions may share their manifests.
            if let Entry::Vacant(slot) = found.entry(directory.clone()) {
                slot.insert(self.directory(&addon.file, span, &directory));
            }
        }
        let unused = self.unused(&addon.file, name, &used);
        self.unused.extend(unused);
    }

    /// Warns of directories that no version names: their manifests are never applied.
    fn unused(&self, file: &str, addon: &str, used: &[String]) -> Vec<Diagnostic> {
        let base = format!("addons/{addon}");
        let mut warnings = Vec::new();
        for entry in self.entries(&base).unwrap_or_default() {
            if entry.kind == EntryKind::Directory && !used.contains(&entry.name) {
                warnings.push(
                    Diagnostic::warning(format!(
                        "no version of {} uses the directory `{base}/{}`",
                        quoted(addon),
                        entry.name
                    ))
                    .in_file(file)
                    .hint("declare the version in `versions`, or remove the directory"),
                );
            }
        }
        warnings
    }

    fn directory(&mut self, declared_in: &str, span: &Range<usize>, directory: &str) -> Found {
        let mut found = Found { whole: true, ..Found::default() };
        let entries = match self.entries(directory) {
            Ok(entries) => entries,
            Err(error) => {
                let message = match error {
                    FileError::Missing => format!("there is no directory `{directory}`"),
                    error => format!("`{directory}` cannot be read: {error}"),
                };
                let mut diagnostic = Diagnostic::error(message).at(
                    declared_in,
                    span,
                    "its manifests should be there",
                );
                if let Some(near) = self.near(directory) {
                    diagnostic = diagnostic.hint(format!("did you mean `{near}`?"));
                }
                self.diagnostics
                    .push(diagnostic.hint(format!("put the manifests into `{directory}/`")));
                return Found { whole: false, ..found };
            }
        };
        for entry in entries {
            let path = format!("{directory}/{}", entry.name);
            if entry.kind == EntryKind::Directory {
                found.whole = false;
                self.diagnostics.push(
                    Diagnostic::error(format!("`{path}` is a directory"))
                        .at(declared_in, span, format!("reads the files of `{directory}` alone"))
                        .hint("move its manifests up, or remove it"),
                );
            } else if let Some(what) = renderer_of(&entry.name) {
                found.whole = false;
                self.diagnostics.push(
                    Diagnostic::error(format!("`{path}` is {what}, which is not supported yet"))
                        .in_file(&path)
                        .hint("render it, and put the plain manifests here"),
                );
            } else if has_extension(&entry.name, &["yaml", "yml", "json"]) {
                self.manifest_file(&path, &mut found);
            }
        }
        if found.whole && found.objects.is_empty() {
            found.whole = false;
            self.diagnostics.push(
                Diagnostic::error(format!("there is no object in `{directory}`"))
                    .at(declared_in, span, "has no manifests")
                    .hint("put manifests there that end in .yaml, .yml or .json"),
            );
        }
        found
    }

    /// A directory beside the one that is missing, of nearly that name.
    fn near(&self, directory: &str) -> Option<String> {
        let (base, name) = directory.rsplit_once('/')?;
        let entries = self.entries(base).ok()?;
        let directories = entries.iter().filter(|entry| entry.kind == EntryKind::Directory);
        let near = nearest(name, directories.map(|entry| entry.name.as_str()))?;
        Some(format!("{base}/{near}"))
    }

    fn manifest_file(&mut self, path: &str, found: &mut Found) {
        let Some(text) = self.text(path, MANIFEST_BYTES_MAX) else {
            found.whole = false;
            return;
        };
        // A line of a Secret is never shown, also when it is the one that cannot be read.
        let open = !text.contains("Secret");
        self.sources.insert(path, text.clone(), open);
        let documents = if has_extension(path, &["json"]) {
            json_documents(&text)
        } else {
            yaml_documents(&text)
        };
        let documents = match documents {
            Ok(documents) => documents,
            Err(Unreadable { line, reason }) => {
                found.whole = false;
                let template = is_template(&text);
                let what = if has_extension(path, &["json"]) { "JSON" } else { "YAML" };
                let span = self.sources.line_span(path, line);
                let message = if template {
                    format!("`{path}` is a template, such as a Helm chart has, and not a manifest")
                } else {
                    format!("`{path}` is not {what} that refit reads")
                };
                let diagnostic = Diagnostic::error(message);
                let mut diagnostic = match reason {
                    Reason::Own(text) | Reason::OfParser(text) if open => {
                        diagnostic.at(path, &span, text)
                    }
                    // Without the line there is no label to put it into.
                    Reason::Own(text) => diagnostic.at(path, &span, "").hint(text),
                    // It may name what stands in the text.
                    Reason::OfParser(_) => diagnostic.at(path, &span, ""),
                };
                if template {
                    diagnostic = diagnostic.hint(
                        "render it, as with `helm template`, and put the plain manifests here",
                    );
                }
                if !open {
                    diagnostic =
                        diagnostic.hint("nothing of it is shown, because there is a Secret in it");
                }
                self.diagnostics.push(diagnostic);
                return;
            }
        };
        for (line, value) in documents {
            let span = self.sources.line_span(path, line);
            let mut objects = Vec::new();
            if let Err(problem) = flatten(value, &mut objects) {
                found.whole = false;
                let Flaw { message, hint } = problem;
                let mut diagnostic = Diagnostic::error(message).at(path, &span, "this object");
                if let Some(hint) = hint {
                    diagnostic = diagnostic.hint(hint);
                }
                self.diagnostics.push(diagnostic);
            }
            for (object, value) in objects {
                let (group, kind, namespace, name) = object.identity();
                let namespace = namespace.map(str::to_owned);
                let identity = (group.to_owned(), kind.to_owned(), namespace, name.to_owned());
                let before = found.places.get(&identity).and_then(|at| found.objects.get(*at));
                if let Some((before, place)) = before {
                    self.diagnostics.push(
                        Diagnostic::error(format!("{object} is declared twice"))
                            .at(path, &span, "again here")
                            .also(&before.file, place, "first here")
                            .hint("remove one of them"),
                    );
                    continue;
                }
                if let Err(error) = Crd::of(&value) {
                    self.diagnostics.push(
                        Diagnostic::error(error.to_string())
                            .at(path, &span, format!("{object}, which no apiserver takes"))
                            .hint("exactly one version is the storage version"),
                    );
                    found.whole = false;
                }
                let manifest = Manifest { object, value, file: path.to_owned() };
                found.places.insert(identity, found.objects.len());
                found.objects.push((manifest, span.clone()));
            }
        }
    }
}

/// What a file is for that has to be rendered before it is a manifest.
fn renderer_of(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "kustomization.yaml" | "kustomization.yml" => Some("a kustomization"),
        "chart.yaml" | "values.yaml" => Some("part of a Helm chart"),
        _ => None,
    }
}

/// Whether a text has what templates are filled in at. In a manifest it is rare, and quoted.
fn is_template(text: &str) -> bool {
    text.contains("{{") && text.contains("}}")
}

struct Unreadable {
    line: u64,
    reason: Reason,
}

/// Why a manifest cannot be read.
enum Reason {
    /// In words of refit's, with nothing of the text.
    Own(String),
    /// In the parser's words.
    OfParser(String),
}

/// The documents of a YAML file with the lines that they begin at.
fn yaml_documents(text: &str) -> Result<Vec<(u64, Value)>, Unreadable> {
    // As kubectl reads manifests: `yes` is true, and `0644` is octal.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: NODES_MAX,
            max_documents: DOCUMENTS_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: ALIAS_EVENTS_MAX,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options::<serde_saphyr::Spanned<Value>>(text, options)
        .map(|documents| {
            documents
                .into_iter()
                .map(|document| (document.referenced.line(), document.value))
                .collect()
        })
        .map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            if is_too_much(&error) {
                let reason =
                    "nested too deep, too many objects, or made too large by aliases".to_owned();
                return Unreadable { line, reason: Reason::Own(reason) };
            }
            if is_duplicate(&error) {
                let reason = "this key stands here twice".to_owned();
                return Unreadable { line, reason: Reason::Own(reason) };
            }
            let text = error.without_snippet().to_string();
            // The place is shown by the excerpt.
            let reason = text.split(" at line ").next().unwrap_or(&text);
            let reason = reason.lines().next().unwrap_or(reason);
            Unreadable { line, reason: Reason::OfParser(reason.to_owned()) }
        })
}

/// Whether a limit was reached, as opposed to a mistake in the text.
fn is_too_much(error: &serde_saphyr::Error) -> bool {
    use serde_saphyr::Error;
    match error {
        Error::AliasError { error, .. } | Error::WithSnippet { error, .. } => is_too_much(error),
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => true,
        _ => false,
    }
}

/// Whether a key stands in a mapping twice.
fn is_duplicate(error: &serde_saphyr::Error) -> bool {
    use serde_saphyr::Error;
    match error {
        Error::AliasError { error, .. } | Error::WithSnippet { error, .. } => is_duplicate(error),
        Error::DuplicateMappingKey { .. } => true,
        _ => false,
    }
}

fn json_documents(text: &str) -> Result<Vec<(u64, Value)>, Unreadable> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(text).map(|value| vec![(1, value)]).map_err(|error| {
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or(&text).to_owned();
        Unreadable { line: error.line() as u64, reason: Reason::OfParser(reason) }
    })
}

struct Flaw {
    message: String,
    hint: Option<&'static str>,
}

/// The objects of a document: itself, or the items of a list.
fn flatten(value: Value, objects: &mut Vec<(ObjectRef, Value)>) -> Result<(), Flaw> {
    if value.is_null() {
        return Ok(());
    }
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|k| k.ends_with("List"));
    if is_list && value.get("items").is_some_and(Value::is_array) {
        let items = match value {
            Value::Object(mut list) => list.remove("items"),
            _ => None,
        };
        let Some(Value::Array(items)) = items else { return Ok(()) };
        for item in items {
            // A list in a list is none of Kubernetes' and would be without bound.
            if item.get("items").is_some_and(Value::is_array) && item.get("metadata").is_none() {
                return Err(Flaw { message: "a list holds another list".into(), hint: None });
            }
            objects.push(identify(item)?);
        }
        return Ok(());
    }
    objects.push(identify(value)?);
    Ok(())
}

fn identify(value: Value) -> Result<(ObjectRef, Value), Flaw> {
    let flaw = |message: &str| Flaw { message: message.to_owned(), hint: None };
    if !value.is_object() {
        return Err(flaw("this is not a Kubernetes object"));
    }
    let text = |pointer: &str| {
        value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
    };
    let Some(api_version) = text("/apiVersion") else {
        return Err(flaw("the object has no `apiVersion`"));
    };
    let Some(kind) = text("/kind") else { return Err(flaw("the object has no `kind`")) };
    let Some(name) = text("/metadata/name") else {
        let hint = value
            .pointer("/metadata/generateName")
            .map(|_| "`generateName` makes another object with every apply; give it a name");
        return Err(Flaw { message: format!("the {kind} has no `metadata.name`"), hint });
    };
    let namespace = match value.pointer("/metadata/namespace") {
        None | Some(Value::Null) => None,
        Some(Value::String(namespace)) if !namespace.is_empty() => Some(namespace.clone()),
        Some(_) => {
            return Err(Flaw {
                message: format!("the `metadata.namespace` of {kind} {} is no name", quoted(name)),
                hint: None,
            });
        }
    };
    let written = [
        ("apiVersion", Some(api_version)),
        ("kind", Some(kind)),
        ("metadata.name", Some(name)),
        ("metadata.namespace", namespace.as_deref()),
    ];
    for (key, text) in written {
        if text.is_some_and(|text| text.chars().any(char::is_control)) {
            let text = quoted(text.unwrap_or_default());
            let message = format!("the `{key}` {text} has a control character in it");
            return Err(Flaw { message, hint: Some("no name of Kubernetes has one; remove it") });
        }
    }
    let object = ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace,
        name: name.to_owned(),
    };
    Ok((object, value))
}
