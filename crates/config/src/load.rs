//! Reading all files of a fleet, and what they declare.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{Digest, Fleet, digest_of};
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use crate::diagnostic::{Diagnostic, Severity, Sources, quoted};
use crate::files::{
    Entry, EntryKind, FILES_MAX, FileError, Files, TOML_BYTES_MAX, TOTAL_BYTES_MAX,
};
use crate::manifests::Found;
use crate::raw::{
    AddonFile, AddonTable, ChannelTable, ClusterFile, ClusterTable, FleetFile, ReleaseFile,
    ReleaseTable,
};
use crate::resolve::resolve;
use crate::schema::FileKind;
use crate::shape::{Problem, Shapes, Step};
use crate::text::Text;

/// What [`load`] found.
#[derive(Clone, Debug)]
#[must_use = "the diagnostics say why there is no fleet"]
pub struct Loaded {
    /// The fleet; none as long as there is an error.
    pub fleet: Option<Fleet>,
    /// Every problem, by file and place.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that the diagnostics point into.
    pub sources: Sources,
}

/// Reads and checks all files of a fleet. Reports every problem of every file.
pub fn load(files: &dyn Files) -> Loaded {
    let mut reader = Reader {
        files,
        shapes: Shapes::new(),
        sources: Sources::default(),
        diagnostics: Vec::new(),
        read: Vec::new(),
        total: 0,
        unused: Vec::new(),
        full: false,
    };
    let declared = reader.declared();
    let Reader { sources, mut diagnostics, read, .. } = reader;
    let fleet = declared
        .and_then(|declared| resolve(&declared, &sources, digest_of(&read), &mut diagnostics));
    diagnostics.sort_by(|a, b| a.order().cmp(&b.order()));
    diagnostics.dedup();
    let failed = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    Loaded { fleet: fleet.filter(|_| !failed), diagnostics, sources }
}

/// Things that have a name in a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Channel,
    Release,
    Addon,
    Cluster,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Channel, Self::Release, Self::Addon, Self::Cluster];

    /// The key of its list in `fleet.toml`.
    const fn key(self) -> &'static str {
        match self {
            Self::Channel => "channels",
            Self::Release => "releases",
            Self::Addon => "addons",
            Self::Cluster => "clusters",
        }
    }
}

/// What could not be read wholly. A reference to such a thing is not an error of its own.
#[derive(Debug, Default)]
pub(crate) struct Broken {
    names: BTreeSet<(Kind, String)>,
    /// Kinds of which some are declared whose names are not known.
    open: BTreeSet<Kind>,
    /// Whether `kubernetes.available` is not known.
    pub(crate) available: bool,
}

impl Broken {
    /// Whether part of this thing was not understood.
    pub(crate) fn is(&self, kind: Kind, name: &str) -> bool {
        self.names.contains(&(kind, name.to_owned()))
    }

    /// Whether a thing of this name may be declared although it was not read.
    pub(crate) fn may_be(&self, kind: Kind, name: &str) -> bool {
        self.open.contains(&kind) || self.is(kind, name)
    }

    /// Whether anything of that kind was not read.
    pub(crate) fn some(&self, kind: Kind) -> bool {
        self.open.contains(&kind) || self.names.iter().any(|(other, _)| *other == kind)
    }

    fn note(&mut self, kind: Kind, name: Option<String>) {
        match name {
            Some(name) => {
                self.names.insert((kind, name));
            }
            None => {
                self.open.insert(kind);
            }
        }
    }
}

/// A declaration and the file that it stands in.
#[derive(Debug)]
pub(crate) struct Sited<T> {
    pub(crate) file: String,
    pub(crate) raw: T,
}

/// Everything that the files declare, as it is written.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    pub(crate) head: Option<FleetFile>,
    pub(crate) channels: Vec<Sited<ChannelTable>>,
    pub(crate) releases: Vec<Sited<ReleaseTable>>,
    pub(crate) addons: Vec<Sited<AddonTable>>,
    pub(crate) clusters: Vec<Sited<ClusterTable>>,
    /// By directory.
    pub(crate) manifests: BTreeMap<String, Found>,
    pub(crate) broken: Broken,
}

/// The file that makes a directory a fleet.
pub const FLEET_FILE: &str = "fleet.toml";

pub(crate) struct Reader<'a> {
    files: &'a dyn Files,
    shapes: Shapes,
    pub(crate) sources: Sources,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Each file that was read, and the digest of its bytes.
    read: Vec<(String, Digest)>,
    total: u64,
    /// Warnings of directories that nothing uses.
    pub(crate) unused: Vec<Diagnostic>,
    /// Whether a limit on all files together was reached; it is reported once.
    full: bool,
}

/// A TOML file, as far as it could be understood.
struct Parsed<T> {
    /// None when too little is left of it.
    content: Option<T>,
    /// Whether all of it was understood.
    whole: bool,
    /// The names in it that part of was not understood.
    broken: Vec<(Kind, Option<String>)>,
}

impl Reader<'_> {
    fn declared(&mut self) -> Option<Declared> {
        let mut declared = Declared::default();
        if self.files.read(FLEET_FILE, TOML_BYTES_MAX) == Err(FileError::Missing) {
            self.diagnostics.push(
                Diagnostic::error("there is no `fleet.toml` in this directory")
                    .hint("run `refit init` to write a small fleet")
                    .hint("or name the fleet's directory with `--chdir`"),
            );
            return None;
        }
        self.fleet_file(&mut declared);
        self.release_files(&mut declared);
        self.cluster_files(&mut declared);
        self.addon_files(&mut declared);
        for addon in &declared.addons {
            self.manifests_of(addon, &mut declared.manifests);
        }
        // While something is wrong with the add-ons, a directory may well be unused.
        if self.diagnostics.is_empty() {
            self.diagnostics.append(&mut self.unused);
        }
        Some(declared)
    }

    fn fleet_file(&mut self, declared: &mut Declared) {
        let parsed = self.toml::<FleetFile>(FileKind::Fleet, FLEET_FILE);
        for (kind, name) in parsed.broken {
            declared.broken.note(kind, name);
        }
        let Some(mut head) = parsed.content else {
            declared.broken.available = true;
            for kind in Kind::ALL {
                declared.broken.note(kind, None);
            }
            return;
        };
        // A list whose key was wrong as a whole is gone; `whole` alone does not say which.
        declared.broken.available = !parsed.whole && head.kubernetes.available.is_empty();
        for raw in std::mem::take(&mut head.channels) {
            declared.channels.push(Sited { file: FLEET_FILE.to_owned(), raw });
        }
        for raw in std::mem::take(&mut head.releases) {
            declared.releases.push(Sited { file: FLEET_FILE.to_owned(), raw });
        }
        for raw in std::mem::take(&mut head.addons) {
            declared.addons.push(Sited { file: FLEET_FILE.to_owned(), raw });
        }
        for raw in std::mem::take(&mut head.clusters) {
            declared.clusters.push(Sited { file: FLEET_FILE.to_owned(), raw });
        }
        declared.head = Some(head);
    }

    fn release_files(&mut self, declared: &mut Declared) {
        for path in self.toml_files("releases", Kind::Release, &mut declared.broken) {
            let parsed = self.toml::<ReleaseFile>(FileKind::Release, &path);
            for (kind, name) in parsed.broken {
                declared.broken.note(kind, name);
            }
            if let Some(raw) = parsed.content {
                declared.releases.push(Sited { file: path, raw: raw.into() });
            }
        }
    }

    fn cluster_files(&mut self, declared: &mut Declared) {
        for path in self.toml_files("clusters", Kind::Cluster, &mut declared.broken) {
            let parsed = self.toml::<ClusterFile>(FileKind::Cluster, &path);
            for (kind, name) in parsed.broken {
                declared.broken.note(kind, name);
            }
            if let Some(raw) = parsed.content {
                declared.clusters.push(Sited { file: path, raw: raw.into() });
            }
        }
    }

    fn addon_files(&mut self, declared: &mut Declared) {
        let inline: BTreeSet<String> =
            declared.addons.iter().map(|addon| addon.raw.name.text.clone()).collect();
        for entry in self.list("addons", Kind::Addon, &mut declared.broken) {
            if entry.kind != EntryKind::Directory {
                continue;
            }
            let directory = entry.name;
            let path = format!("addons/{directory}/addon.toml");
            let own = format!("addons/{directory}");
            let entries = match self.entries(&own) {
                Ok(entries) => entries,
                Err(error) => {
                    declared.broken.note(Kind::Addon, Some(directory));
                    self.diagnostics.push(unreadable(&own, &error));
                    continue;
                }
            };
            let exists = entries.iter().any(|entry| entry.name == "addon.toml");
            if !exists {
                // With its declaration in fleet.toml, an add-on needs no file of its own.
                if !inline.contains(&directory) && !declared.broken.may_be(Kind::Addon, &directory)
                {
                    self.diagnostics.push(
                        Diagnostic::error(format!("there is no `{path}`"))
                            .hint(format!("{} is taken for an add-on", quoted(&directory)))
                            .hint("declare its versions in that file, or remove the directory"),
                    );
                    declared.broken.note(Kind::Addon, Some(directory));
                }
                continue;
            }
            let parsed = self.toml::<AddonFile>(FileKind::Addon, &path);
            if !parsed.whole {
                declared.broken.note(Kind::Addon, Some(directory.clone()));
            }
            let Some(AddonFile { addon, detect, versions }) = parsed.content else { continue };
            if let Some(name) = addon.name.filter(|name| name.text != directory) {
                let message = format!(
                    "the add-on {} is in the directory {}",
                    quoted(&name.text),
                    quoted(&directory)
                );
                self.diagnostics.push(
                    Diagnostic::error(message)
                        .at(&path, &name.span, format!("should be {}", quoted(&directory)))
                        .hint("rename one of them, or leave `name` out"),
                );
            }
            let raw = AddonTable {
                name: Text::at(0..0, directory),
                before: addon.before,
                after: addon.after,
                prune: addon.prune,
                may_be_unsupported_during_hop: addon.may_be_unsupported_during_hop,
                one_minor_at_a_time: addon.one_minor_at_a_time,
                detect,
                versions,
            };
            declared.addons.push(Sited { file: path, raw });
        }
    }

    /// The TOML files of a directory, by name.
    fn toml_files(&mut self, directory: &str, kind: Kind, broken: &mut Broken) -> Vec<String> {
        self.list(directory, kind, broken)
            .into_iter()
            .filter(|entry| entry.kind == EntryKind::File && has_extension(&entry.name, &["toml"]))
            .map(|entry| format!("{directory}/{}", entry.name))
            .collect()
    }

    /// The entries of a directory that may be missing, by name, without hidden ones.
    fn list(&mut self, directory: &str, kind: Kind, broken: &mut Broken) -> Vec<Entry> {
        match self.entries(directory) {
            Ok(entries) => entries,
            Err(FileError::Missing) => Vec::new(),
            Err(error) => {
                broken.note(kind, None);
                self.diagnostics.push(unreadable(directory, &error));
                Vec::new()
            }
        }
    }

    /// The entries of a directory, by name, without hidden ones.
    pub(crate) fn entries(&self, directory: &str) -> Result<Vec<Entry>, FileError> {
        let mut entries = self.files.list(directory)?;
        entries.retain(|entry| !entry.name.starts_with('.'));
        entries.sort();
        Ok(entries)
    }

    /// The text of a file. What is wrong with it is reported.
    pub(crate) fn text(&mut self, path: &str, limit: u64) -> Option<String> {
        if self.read.len() >= FILES_MAX || self.total >= TOTAL_BYTES_MAX {
            if !self.full {
                self.full = true;
                self.diagnostics.push(Diagnostic::error(format!(
                    "the fleet has more than {FILES_MAX} files, or more than {} MiB in them",
                    TOTAL_BYTES_MAX >> 20
                )));
            }
            return None;
        }
        let bytes = match self.files.read(path, limit) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.diagnostics.push(unreadable(path, &error));
                return None;
            }
        };
        self.read.push((path.to_owned(), Digest::of_bytes(&bytes)));
        self.total += bytes.len() as u64;
        match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..at].split(|byte| *byte == b'\n').count();
                self.diagnostics.push(
                    Diagnostic::error(format!("`{path}` is not text in UTF-8: line {line}"))
                        .in_file(path)
                        .hint("save it as UTF-8"),
                );
                None
            }
        }
    }

    fn toml<T: DeserializeOwned>(&mut self, kind: FileKind, path: &str) -> Parsed<T> {
        let lost = |name: Option<String>| Parsed {
            content: None,
            whole: false,
            broken: own_kind(kind).map(|kind| (kind, name)).into_iter().collect(),
        };
        let Some(text) = self.text(path, TOML_BYTES_MAX) else { return lost(None) };
        self.sources.insert(path, text.clone(), true);
        // Some editors write a byte order mark; TOML allows it, its parser does not count it.
        let (mut root, errors) = DeTable::parse_recoverable(&text);
        if !errors.is_empty() {
            let name = own_name(kind, root.get_ref());
            self.syntax(path, &text, root.get_ref(), &errors);
            return lost(name);
        }
        let own = own_name(kind, root.get_ref());
        let listed = listed_names(root.get_ref());
        let (sound, problems) = self.shapes.check(kind, path, root.get_mut());
        let whole = problems.is_empty();
        let broken = match own_kind(kind) {
            None => broken_in_lists(&problems, &listed),
            Some(_) if whole => Vec::new(),
            Some(own_kind) => vec![(own_kind, own.clone())],
        };
        self.diagnostics.extend(problems.into_iter().map(|problem| problem.diagnostic));
        if !sound {
            return Parsed { content: None, ..lost(own) };
        }
        match T::deserialize(Deserializer::from(root)) {
            Ok(content) => Parsed { content: Some(content), whole, broken },
            Err(error) => {
                // The shape fits the schema, so this is not reached; if it is, it is still the
                // user who wants to know where.
                let span = error.span().unwrap_or(0..0);
                self.diagnostics.push(Diagnostic::error(format!("`{path}` cannot be read")).at(
                    path,
                    &span,
                    error.message(),
                ));
                lost(own)
            }
        }
    }

    /// Reports what the TOML parser says. Only the first error that is not about a duplicate
    /// key is real for sure; what follows may come from it.
    fn syntax(&mut self, path: &str, text: &str, root: &DeTable<'_>, errors: &[toml::de::Error]) {
        const DUPLICATE: &str = "duplicate key";
        let first = errors.iter().find(|error| !error.message().starts_with(DUPLICATE));
        if let Some(error) = first {
            let span = error.span().unwrap_or(0..0);
            let message = error.message().replace('\n', ", ");
            self.diagnostics
                .push(Diagnostic::error(format!("`{path}` is not TOML")).at(path, &span, message));
        }
        for error in errors.iter().filter(|error| error.message().starts_with(DUPLICATE)) {
            let span = error.span().unwrap_or(0..0);
            let key = text.get(span.clone()).unwrap_or_default();
            let mut diagnostic = Diagnostic::error(format!(
                "the key {} stands here twice",
                quoted(key)
            ))
            .at(path, &span, "again here");
            let mut places = Vec::new();
            key_places(root, key, &mut places);
            if let Some(first) = places
                .into_iter()
                .filter(|place| place.end <= span.start)
                .max_by_key(|place| place.start)
            {
                diagnostic = diagnostic.also(path, &first, "first here");
            }
            self.diagnostics.push(diagnostic.hint("remove one of them"));
        }
    }
}

fn unreadable(path: &str, error: &FileError) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("`{path}` cannot be read: {error}")).in_file(path);
    match error {
        FileError::LeavesRepository => {
            diagnostic.hint("put a copy into the repository; refit reads nothing outside of it")
        }
        FileError::TooLarge { .. } => diagnostic.hint("split it, or remove it"),
        FileError::Missing | FileError::NotAFile | FileError::Io(_) => diagnostic,
    }
}

/// Whether the name ends in one of these, in any case.
pub(crate) fn has_extension(name: &str, extensions: &[&str]) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty() && extensions.iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}

/// What a file declares as a whole.
const fn own_kind(kind: FileKind) -> Option<Kind> {
    match kind {
        FileKind::Fleet => None,
        FileKind::Release => Some(Kind::Release),
        FileKind::Cluster => Some(Kind::Cluster),
        FileKind::Addon => Some(Kind::Addon),
    }
}

/// The name of what a file declares as a whole.
fn own_name(kind: FileKind, root: &DeTable<'_>) -> Option<String> {
    let head = match kind {
        FileKind::Fleet => return None,
        FileKind::Release => "release",
        FileKind::Cluster => "cluster",
        FileKind::Addon => "addon",
    };
    name_in(root.get(head)?.get_ref().as_table()?)
}

fn name_in(table: &DeTable<'_>) -> Option<String> {
    Some(table.get("name")?.get_ref().as_str()?.to_owned())
}

/// The names in each list of `fleet.toml`, in order.
fn listed_names(root: &DeTable<'_>) -> BTreeMap<Kind, Vec<Option<String>>> {
    let mut all = BTreeMap::new();
    for kind in Kind::ALL {
        let Some(items) = root.get(kind.key()).and_then(|value| value.get_ref().as_array()) else {
            continue;
        };
        let name = |item: &Spanned<DeValue<'_>>| name_in(item.get_ref().as_table()?);
        all.insert(kind, items.iter().map(name).collect());
    }
    all
}

fn broken_in_lists(
    problems: &[Problem],
    listed: &BTreeMap<Kind, Vec<Option<String>>>,
) -> Vec<(Kind, Option<String>)> {
    let mut broken = Vec::new();
    for problem in problems {
        let Some(Step::Key(key)) = problem.path.first() else { continue };
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.key() == key) else { continue };
        let name = match problem.path.get(1) {
            Some(Step::Index(at)) => {
                listed.get(&kind).and_then(|names| names.get(*at)).cloned().flatten()
            }
            _ => None,
        };
        broken.push((kind, name));
    }
    broken
}

fn key_places(table: &DeTable<'_>, key: &str, places: &mut Vec<std::ops::Range<usize>>) {
    for (name, value) in table {
        if name.get_ref() == key.trim_matches(['"', '\'']) {
            places.push(name.span());
        }
        match value.get_ref() {
            DeValue::Table(inner) => key_places(inner, key, places),
            DeValue::Array(items) => {
                for item in items {
                    if let DeValue::Table(inner) = item.get_ref() {
                        key_places(inner, key, places);
                    }
                }
            }
            _ => {}
        }
    }
}
