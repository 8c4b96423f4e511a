//! Add-ons: versions, ranges, order, and whose object is whose.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use refit_model::{
    Addon, AddonName, AddonRelease, AddonVersion, Detection, Known, Manifest, ManifestSet,
    Milestone, Placement, VersionRange,
};

use super::Resolver;
use super::catalogue::{Limits, claim};
use crate::diagnostic::{Diagnostic, known, quoted};
use crate::load::{Kind, Sited};
use crate::manifests::directory;
use crate::raw::{AddonTable, VersionTable};
use crate::text::{At, Text};

/// An add-on, and where its parts stand.
pub(crate) struct KnownAddon {
    pub(super) addon: Addon,
    pub(super) file: String,
    /// Whether some of its versions were not understood, and have been reported.
    pub(super) doubtful: bool,
    /// By version and add-on: where the requirement stands.
    requirements: BTreeMap<(AddonVersion, AddonName), Range<usize>>,
    /// Where each milestone stands that it comes before or after.
    placed: Vec<(Milestone, bool, Range<usize>)>,
}

type Requirement<'a> = (&'a Text<AddonName>, &'a Text<VersionRange<AddonVersion>>);

impl Resolver<'_> {
    pub(super) fn addons(&mut self) {
        let mut seen = BTreeMap::new();
        let declared = self.declared;
        for Sited { file, raw } in &declared.addons {
            let span = &raw.name.span;
            let Some(name) = self.parse(file, &raw.name) else { continue };
            if self.is_new(&mut seen, "add-ons", name.as_str(), (file, span)) {
                let known = self.addon(file, name.clone(), raw);
                self.addons.insert(name, known);
            }
        }
        // Only now all add-ons are known that others may name.
        for Sited { file, raw } in &declared.addons {
            self.references(file, raw);
        }
        self.requirement_cycles();
        self.placement_cycles();
        self.owners();
    }

    fn addon(&mut self, file: &str, name: AddonName, raw: &AddonTable) -> KnownAddon {
        let mut versions = BTreeMap::new();
        let mut seen = BTreeMap::new();
        let mut requirements = BTreeMap::new();
        let mut doubtful = false;
        for written in &raw.versions {
            let parsed = self.parse(file, &written.version);
            let release = self.addon_release(file, &name, parsed.as_ref(), written);
            let (Some(version), Some(release)) = (parsed, release) else {
                doubtful = true;
                continue;
            };
            let place = (file, &written.version.span);
            let what = format!("versions of {name}");
            if self.is_new(&mut seen, &what, &version.to_string(), place) {
                for (other, range) in &written.requires {
                    if let Ok(other) = other.text.parse() {
                        requirements.insert((version.clone(), other), range.span.clone());
                    }
                }
                versions.insert(version, release);
            }
        }
        let detect = raw.detect.as_ref().and_then(|detect| match detect.workload.text.parse() {
            Ok(workload) => Some(Detection { workload, container: detect.container.clone() }),
            Err(message) => {
                let diagnostic = Diagnostic::error(message)
                    .at(file, &detect.workload.span, "")
                    .hint("for example \"Deployment/kube-system/coredns\"");
                self.report(diagnostic);
                None
            }
        });
        let mut placed = Vec::new();
        for (list, before) in [(&raw.before, true), (&raw.after, false)] {
            for At { span, value } in list {
                let milestone = match value.as_str() {
                    "control-plane" => Milestone::ControlPlane,
                    "nodes" => Milestone::Nodes,
                    other => {
                        let text: Text<AddonName> = Text::at(span.clone(), other.to_owned());
                        let Some(other) = self.parse(file, &text) else { continue };
                        Milestone::Addon(other)
                    }
                };
                placed.push((milestone, before, span.clone()));
            }
        }
        let side = |wanted: bool| -> BTreeSet<Milestone> {
            let matching = placed.iter().filter(|(_, before, _)| *before == wanted);
            matching.map(|(milestone, _, _)| milestone.clone()).collect()
        };
        let placement = Placement { before: side(true), after: side(false) };
        let prune = raw.prune.iter().map(|kind| kind.value.as_str().to_owned()).collect();
        let suggestions = self.suggestions(&name, &versions);
        let entry = refit_catalogue::addon(name.as_str());
        let facts = entry.map(|entry| entry.facts.clone()).unwrap_or_default();
        let may_be_unsupported_during_hop = raw.may_be_unsupported_during_hop;
        let addon = Addon {
            name,
            placement,
            detect,
            prune,
            may_be_unsupported_during_hop,
            one_minor_at_a_time: raw.one_minor_at_a_time,
            versions,
            suggestions,
            facts,
        };
        KnownAddon { addon, file: file.to_owned(), doubtful, requirements, placed }
    }

    fn addon_release(
        &mut self,
        file: &str,
        addon: &AddonName,
        version: Option<&AddonVersion>,
        written: &VersionTable,
    ) -> Option<AddonRelease> {
        let claim = version.and_then(|version| claim(addon, version));
        let limits = self.limits(file, addon, version, written, claim.as_ref());
        let requires = self.others(file, &written.requires);
        let conflicts = self.others(file, &written.conflicts);
        let upgrade_from = written.upgrade_from.as_ref().map(|range| self.parse(file, range));
        let sound = requires.len() == written.requires.len()
            && conflicts.len() == written.conflicts.len()
            && upgrade_from.as_ref().is_none_or(Option::is_some);
        let upgrade_from = upgrade_from.flatten();
        let below =
            written.manifests.as_ref().map_or(&written.version.text, |manifests| &manifests.value);
        let found = directory(addon.as_str(), below)
            .and_then(|directory| self.declared.manifests.get(&directory));
        let objects: Vec<Manifest> = found
            .map(|found| found.objects.iter().map(|(manifest, _)| manifest.clone()).collect())
            .unwrap_or_default();
        let apis = found.map(|found| self.apis(found)).unwrap_or_default();
        let manifests = ManifestSet::new(objects);
        let Limits { kubernetes, kubelets, decided_by } = limits?;
        let known = Known { decided_by: Some(decided_by), claim, apis };
        let release = AddonRelease {
            kubernetes,
            kubelets,
            requires,
            conflicts,
            upgrade_from,
            manifests,
            known,
        };
        sound.then_some(release)
    }

    /// Other add-ons with ranges of their versions; what is not one is reported and left out.
    fn others(
        &mut self,
        file: &str,
        written: &BTreeMap<Text<AddonName>, Text<VersionRange<AddonVersion>>>,
    ) -> BTreeMap<AddonName, VersionRange<AddonVersion>> {
        let mut others = BTreeMap::new();
        for (name, range) in written {
            if let (Some(name), Some(range)) = (self.parse(file, name), self.parse(file, range)) {
                others.insert(name, range);
            }
        }
        others
    }

    /// The add-ons that an add-on names.
    fn references(&mut self, file: &str, raw: &AddonTable) {
        let own = &raw.name.text;
        let requirements: Vec<Requirement<'_>> =
            raw.versions.iter().flat_map(|version| &version.requires).collect();
        for (other, range) in requirements {
            let Ok(name) = other.text.parse::<AddonName>() else { continue };
            if other.text == *own {
                let diagnostic = Diagnostic::error(format!("{own} requires itself"))
                    .at(file, &other.span, "")
                    .hint("remove the requirement");
                self.report(diagnostic);
                continue;
            }
            if self.addon_name(file, other).is_none() {
                continue;
            }
            let Ok(wanted) = range.text.parse::<VersionRange<AddonVersion>>() else { continue };
            let Some(known) = self.addons.get(&name) else { continue };
            let candidates = &known.addon.versions;
            let certain = !known.doubtful && !self.broken.is(Kind::Addon, name.as_str());
            if certain && !candidates.keys().any(|version| wanted.contains(version)) {
                let names: Vec<String> = candidates.keys().map(ToString::to_string).collect();
                let diagnostic = Diagnostic::error(format!("no version of {name} is {wanted}"))
                    .at(file, &range.span, "can never hold")
                    .hint(format!("versions with manifests: {}", names.join(", ")));
                self.report(diagnostic);
            }
        }
        for (other, _) in raw.versions.iter().flat_map(|version| &version.conflicts) {
            if other.text == *own {
                let diagnostic = Diagnostic::error(format!("{own} conflicts with itself"))
                    .at(file, &other.span, "")
                    .hint("remove the conflict; two versions of an add-on are never installed");
                self.report(diagnostic);
            } else if other.text.parse::<AddonName>().is_ok() {
                self.addon_name(file, other);
            }
        }
        for At { span, value } in raw.before.iter().chain(&raw.after) {
            if matches!(value.as_str(), "control-plane" | "nodes") {
                continue;
            }
            let Ok(name) = value.parse::<AddonName>() else { continue };
            if value == own {
                let diagnostic =
                    Diagnostic::error(format!("{own} cannot come before or after itself"))
                        .at(file, span, "")
                        .hint("remove it");
                self.report(diagnostic);
            } else if !self.addons.contains_key(&name)
                && !self.broken.may_be(Kind::Addon, name.as_str())
            {
                let names = ["control-plane", "nodes"].into_iter();
                let names = names.chain(self.addons.keys().map(AddonName::as_str));
                let message = format!("there is no add-on {}", quoted(value));
                let hints = known(value, "what may stand here", names);
                let diagnostic =
                    Diagnostic::error(message).at(file, span, "no such add-on").hints(hints);
                self.report(diagnostic);
            }
        }
    }

    /// Versions that need each other in a circle: none of them can be the first.
    fn requirement_cycles(&mut self) {
        let mut graph: Graph<(AddonName, AddonVersion)> = BTreeMap::new();
        for (name, known) in &self.addons {
            for (version, release) in &known.addon.versions {
                let edges = graph.entry((name.clone(), version.clone())).or_default();
                for (other, range) in &release.requires {
                    let Some(required) = self.addons.get(other) else { continue };
                    if other == name {
                        continue;
                    }
                    let matching = required.addon.versions.keys().filter(|v| range.contains(v));
                    edges.extend(matching.map(|version| (other.clone(), version.clone())));
                }
            }
        }
        let mut told: BTreeSet<BTreeSet<AddonName>> = BTreeSet::new();
        for cycle in cycles(&graph) {
            let members: BTreeSet<AddonName> = cycle.iter().map(|(name, _)| name.clone()).collect();
            if !told.insert(members) {
                continue;
            }
            let Some((name, version)) = cycle.first() else { continue };
            let Some((next, _)) = cycle.get(1).or(cycle.first()) else { continue };
            let mut way: Vec<String> =
                cycle.iter().map(|(name, version)| format!("{name} {version}")).collect();
            way.push(format!("{name} {version}"));
            let Some(known) = self.addons.get(name) else { continue };
            let span = known.requirements.get(&(version.clone(), next.clone()));
            let diagnostic = Diagnostic::error("add-ons require each other in a circle")
                .at(&known.file, span.unwrap_or(&(0..0)), "part of the circle")
                .hint(format!("the circle: {}", way.join(" -> ")))
                .hint("remove one of the requirements; none of them could be the first");
            self.report(diagnostic);
        }
    }

    /// Milestones that come before each other in a circle.
    fn placement_cycles(&mut self) {
        let mut graph: Graph<Milestone> = BTreeMap::new();
        // Nodes are never newer than their control plane, so they come after it.
        graph.entry(Milestone::ControlPlane).or_default().insert(Milestone::Nodes);
        for (name, known) in &self.addons {
            let own = Milestone::Addon(name.clone());
            for (milestone, before, _) in &known.placed {
                if *milestone == own {
                    continue;
                }
                let (first, then) = if *before { (&own, milestone) } else { (milestone, &own) };
                graph.entry(first.clone()).or_default().insert(then.clone());
            }
        }
        for mut cycle in cycles(&graph) {
            // Begin with an add-on, whose file can be shown.
            let first = cycle.iter().position(|step| matches!(step, Milestone::Addon(_)));
            cycle.rotate_left(first.unwrap_or(0));
            let Some(Milestone::Addon(name)) = cycle.first() else { continue };
            let Some(known) = self.addons.get(name) else { continue };
            let mut way: Vec<String> = cycle.iter().map(ToString::to_string).collect();
            way.push(name.to_string());
            let place = known.placed.iter().find(|(milestone, _, _)| cycle.contains(milestone));
            let span = place.map_or(0..0, |(_, _, span)| span.clone());
            let diagnostic = Diagnostic::error("the order of add-ons is a circle")
                .at(&known.file, &span, "part of the circle")
                .hint(format!("the circle, each before the next: {}", way.join(" -> ")))
                .hint("remove one of the `before` or `after`");
            self.report(diagnostic);
        }
    }

    /// Two add-ons that declare the same object: both would write it.
    fn owners(&mut self) {
        type Identity<'a> = (&'a str, &'a str, Option<&'a str>, &'a str);
        let mut owners: BTreeMap<Identity<'_>, (&AddonName, &Manifest)> = BTreeMap::new();
        let mut told = BTreeSet::new();
        let mut found = Vec::new();
        for (name, known) in &self.addons {
            for release in known.addon.versions.values() {
                for manifest in release.manifests.objects() {
                    let identity = manifest.object.identity();
                    let (owner, first) = *owners.entry(identity).or_insert((name, manifest));
                    if owner != name && told.insert((identity, name)) {
                        found.push((owner.clone(), first.clone(), name.clone(), manifest.clone()));
                    }
                }
            }
        }
        for (owner, first, name, manifest) in found {
            let diagnostic = Diagnostic::error(format!(
                "{} belongs to two add-ons, {owner} and {name}",
                manifest.object
            ))
            .at(&manifest.file, &self.place_of(&manifest), format!("declared by {name}"))
            .also(&first.file, &self.place_of(&first), format!("declared by {owner}"))
            .hint("remove it from one of them; each would undo what the other writes");
            self.report(diagnostic);
        }
    }

    fn place_of(&self, manifest: &Manifest) -> Range<usize> {
        self.declared
            .manifests
            .values()
            .flat_map(|found| &found.objects)
            .find(|(other, _)| other.file == manifest.file && other.object == manifest.object)
            .map_or(0..0, |(_, span)| span.clone())
    }
}

type Graph<T> = BTreeMap<T, BTreeSet<T>>;

/// One circle per group of nodes that reach each other, found in order.
fn cycles<T: Ord + Clone>(graph: &Graph<T>) -> Vec<Vec<T>> {
    let mut done: BTreeSet<&T> = BTreeSet::new();
    let mut found = Vec::new();
    for start in graph.keys() {
        if done.contains(start) {
            continue;
        }
        // Depth first, with the way kept on the side instead of on the call stack.
        let mut way: Vec<(&T, Vec<&T>)> = vec![(start, next_of(graph, start))];
        while let Some((node, rest)) = way.last_mut() {
            let node: &T = node;
            let Some(next) = rest.pop() else {
                done.insert(node);
                way.pop();
                continue;
            };
            if let Some(at) = way.iter().position(|(node, _)| *node == next) {
                found.push(way[at..].iter().map(|(node, _)| (*node).clone()).collect());
            } else if !done.contains(next) {
                way.push((next, next_of(graph, next)));
            }
        }
    }
    found
}

fn next_of<'a, T: Ord>(graph: &'a Graph<T>, node: &T) -> Vec<&'a T> {
    graph.get(node).map(|edges| edges.iter().rev().collect()).unwrap_or_default()
}
