//! From what is written to what is meant: every reference looked up, every rule checked.
//!
//! Each step reports all that it finds and returns what it could make sense of, so that the
//! next steps can go on. Where a declaration was not understood wholly, what refers to it is
//! not judged.

mod addons;
mod catalogue;
mod channels;
mod clusters;
mod consistency;
mod limits;
mod provider;
mod releases;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use refit_model::{
    AddonName, AddonVersion, ChannelName, Cluster, ClusterName, Digest, Fleet, KubeVersion,
    Location, Release, ReleaseName,
};

use crate::diagnostic::{Diagnostic, Sources, known, quoted};
use crate::load::{Broken, Declared, FLEET_FILE, Kind};
use crate::raw::{STATE_PATH, SetTable};
use crate::text::{At, Format, Text};

pub(crate) use addons::KnownAddon;

/// Makes the fleet, and adds what is wrong to the diagnostics.
pub(crate) fn resolve(
    declared: &Declared,
    sources: &Sources,
    digest: Digest,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Fleet> {
    let mut resolver = Resolver {
        declared,
        sources,
        broken: &declared.broken,
        diagnostics,
        available: BTreeSet::new(),
        available_known: !declared.broken.available,
        addons: BTreeMap::new(),
        releases: BTreeMap::new(),
        disagreeing: BTreeSet::new(),
    };
    resolver.available();
    let state_path = resolver.state_path();
    resolver.addons();
    resolver.releases();
    let channels = resolver.channels();
    let clusters = resolver.clusters(&channels);
    resolver.waves(&channels, &clusters);
    resolver.consistency(&clusters);
    let head = declared.head.as_ref()?;
    let name = resolver.parse(FLEET_FILE, &head.fleet.name)?;
    let end_of_life = resolver.end_of_life();
    let Resolver { available, releases, addons, .. } = resolver;
    // In the order of the file, which is that of promotion.
    let mut by_name = channels;
    let channels = declared
        .channels
        .iter()
        .filter_map(|written| by_name.remove(&written.raw.name.text.parse().ok()?))
        .map(|known| known.channel)
        .collect();
    Some(Fleet {
        name,
        digest,
        state_path: state_path?,
        available: available.into_iter().collect(),
        channels,
        releases: releases.into_iter().map(|(name, known)| (name, known.release)).collect(),
        addons: addons.into_iter().map(|(name, known)| (name, known.addon)).collect(),
        end_of_life,
        clusters: clusters.into_iter().map(|(name, known)| (name, known.cluster)).collect(),
    })
}

/// A release, and where its parts stand.
pub(crate) struct KnownRelease {
    release: Release,
    file: String,
    name: Range<usize>,
    kubernetes: Range<usize>,
    /// By set and add-on: where the version stands.
    versions: BTreeMap<(String, AddonName), Range<usize>>,
    /// Whether part of its sets was not understood, and has been reported.
    doubtful: bool,
}

/// A cluster, and where its parts stand.
pub(crate) struct KnownCluster {
    cluster: Cluster,
    file: String,
    /// Where the list of its add-on sets stands, or its name.
    sets: Range<usize>,
    /// Whether a set of it was not understood, and has been reported.
    doubtful: bool,
    kubernetes_pin: Option<Range<usize>>,
    addon_pins: BTreeMap<AddonName, Range<usize>>,
}

/// A channel, its freeze, and where its waves stand.
pub(crate) struct KnownChannel {
    channel: refit_model::Channel,
    freeze: Option<refit_model::Written<refit_model::Freeze>>,
    named: Vec<(ClusterName, Range<usize>)>,
}

struct Resolver<'a> {
    declared: &'a Declared,
    sources: &'a Sources,
    broken: &'a Broken,
    diagnostics: &'a mut Vec<Diagnostic>,
    available: BTreeSet<KubeVersion>,
    /// Whether `available` is all that was meant.
    available_known: bool,
    addons: BTreeMap<AddonName, KnownAddon>,
    releases: BTreeMap<ReleaseName, KnownRelease>,
    /// Two sets of a release that disagree on an add-on, told once for all clusters.
    disagreeing: BTreeSet<(ReleaseName, AddonName, String, String)>,
}

impl Resolver<'_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn location(&self, file: &str, span: &Range<usize>) -> Location {
        self.sources.location(file, span)
    }

    /// What a text stands for. What is wrong with it is reported.
    fn parse<T>(&mut self, file: &str, text: &Text<T>) -> Option<T>
    where
        T: FromStr + Format,
        T::Err: Display,
    {
        match text.text.parse::<T>() {
            Ok(value) => Some(value),
            Err(error) => {
                let diagnostic = Diagnostic::error(error.to_string()).at(file, &text.span, "");
                self.report(if T::HINT.is_empty() { diagnostic } else { diagnostic.hint(T::HINT) });
                None
            }
        }
    }

    /// Reports a name that was declared before, and says whether it is new.
    fn is_new(
        &mut self,
        seen: &mut BTreeMap<String, (String, Range<usize>)>,
        what: &str,
        name: &str,
        (file, span): (&str, &Range<usize>),
    ) -> bool {
        if let Some((first_file, first)) = seen.get(name) {
            let diagnostic =
                Diagnostic::error(format!("there are two {what} called {}", quoted(name)))
                    .at(file, span, "again here")
                    .also(first_file, first, "first here")
                    .hint("rename one of them");
            self.report(diagnostic);
            return false;
        }
        seen.insert(name.to_owned(), (file.to_owned(), span.clone()));
        true
    }

    fn available(&mut self) {
        let Some(head) = self.declared.head.as_ref() else { return };
        let mut first: BTreeMap<KubeVersion, Range<usize>> = BTreeMap::new();
        for text in &head.kubernetes.available {
            let Some(version) = self.parse(FLEET_FILE, text) else {
                self.available_known = false;
                continue;
            };
            if let Some(before) = first.get(&version) {
                let diagnostic = Diagnostic::error(format!("{version} is available twice"))
                    .at(FLEET_FILE, &text.span, "again here")
                    .also(FLEET_FILE, before, "first here")
                    .hint("remove one of them");
                self.report(diagnostic);
                continue;
            }
            first.insert(version, text.span.clone());
        }
        self.available = first.into_keys().collect();
    }

    fn state_path(&mut self) -> Option<String> {
        let written =
            self.declared.head.as_ref()?.state.as_ref().and_then(|state| state.path.as_ref());
        let Some(At { span, value }) = written else { return Some(STATE_PATH.to_owned()) };
        let path = value.trim_end_matches('/');
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        let outside = !path.split('/').all(plain) || path.contains(['\\', '\0', ':']);
        let taken = ["releases", "clusters", "addons"]
            .into_iter()
            .find(|taken| path.split('/').next() == Some(taken));
        let (message, hint) = match (outside, taken) {
            (true, _) => (
                format!("the state's path {} is not below the fleet's directory", quoted(value)),
                "write a relative path such as \"state\"".to_owned(),
            ),
            (false, Some(taken)) => (
                format!("the state's path {} is among the fleet's files", quoted(value)),
                format!("`{taken}/` is for files that people write; choose another directory"),
            ),
            (false, None) => return Some(path.to_owned()),
        };
        self.report(Diagnostic::error(message).at(FLEET_FILE, span, "").hint(hint));
        None
    }

    /// Whether a control plane may run this version, as far as is known.
    fn is_available(&self, version: &KubeVersion) -> bool {
        !self.available_known || self.available.contains(version)
    }

    /// A version of Kubernetes that a control plane should run.
    fn target(&mut self, file: &str, text: &Text<KubeVersion>) -> Option<KubeVersion> {
        let version = self.parse(file, text)?;
        if !self.is_available(&version) {
            let names: Vec<String> = self.available.iter().map(ToString::to_string).collect();
            let diagnostic =
                Diagnostic::error(format!("Kubernetes {version} is not available to this fleet"))
                    .at(file, &text.span, "not in `kubernetes.available` of fleet.toml")
                    .hint(match names.as_slice() {
                        [] => "no version is available yet".to_owned(),
                        names => format!("available: {}", names.join(", ")),
                    })
                    .hint("or add it there");
            self.report(diagnostic);
        }
        Some(version)
    }

    /// A reference to an add-on.
    fn addon_name(&mut self, file: &str, text: &Text<AddonName>) -> Option<AddonName> {
        let name = self.parse(file, text)?;
        if self.addons.contains_key(&name) {
            return Some(name);
        }
        if !self.broken.may_be(Kind::Addon, name.as_str()) {
            let hints = known(name.as_str(), "add-ons", self.addons.keys().map(AddonName::as_str));
            let diagnostic =
                Diagnostic::error(format!("there is no add-on {}", quoted(name.as_str())))
                    .at(file, &text.span, "no such add-on")
                    .hints(hints)
                    .hint(format!("an add-on is declared in `addons/{name}/addon.toml`"));
            self.report(diagnostic);
        }
        None
    }

    /// A reference to a version of an add-on.
    fn addon_version(
        &mut self,
        file: &str,
        name: &AddonName,
        text: &Text<AddonVersion>,
    ) -> Option<AddonVersion> {
        let version = self.parse(file, text)?;
        let known = self.addons.get(name)?;
        if known.addon.versions.contains_key(&version)
            || self.broken.is(Kind::Addon, name.as_str())
            || known.doubtful
        {
            return Some(version);
        }
        let names: Vec<String> = known.addon.versions.keys().map(ToString::to_string).collect();
        let hints = crate::diagnostic::known_version(
            &version.to_string(),
            "versions with manifests",
            names.iter().map(String::as_str),
        );
        let diagnostic = Diagnostic::error(format!("{name} has no version {version}"))
            .at(file, &text.span, format!("not in `{}`", known.file))
            .hints(hints);
        self.report(diagnostic);
        None
    }

    /// Add-ons with their versions, and where each version stands.
    fn set(
        &mut self,
        file: &str,
        table: &SetTable,
    ) -> BTreeMap<AddonName, (AddonVersion, Range<usize>)> {
        let mut set = BTreeMap::new();
        for (name, version) in table {
            // The version is looked at even when there is no such add-on.
            let Some(name) = self.addon_name(file, name) else {
                self.parse(file, version);
                continue;
            };
            if let Some(found) = self.addon_version(file, &name, version) {
                set.insert(name, (found, version.span.clone()));
            }
        }
        set
    }

    fn release_of<'r>(
        &'r self,
        channels: &BTreeMap<ChannelName, KnownChannel>,
        channel: &ChannelName,
    ) -> Option<&'r KnownRelease> {
        self.releases.get(&channels.get(channel)?.channel.release)
    }
}
