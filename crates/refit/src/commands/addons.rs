//! `addons`: what the catalogue knows, and what the fleet makes of it.

use std::collections::BTreeSet;
use std::path::Path;

use refit_catalogue::Entry;
use refit_config::Loaded;
use refit_model::{
    Addon, AddonListing, AddonName, AddonRelease, AddonVersion, ApiUse, CatalogueVersions, Fleet,
    FleetVersion, ListedAddon, Origin, Policy, UsedApi,
};
use refit_render::{AddonLine, AddonPage, addon_text, addons_text};

use crate::cli::{Addons, Format};
use crate::disk::Disk;
use crate::exit::{Exit, Failure};
use crate::output::Printer;

/// `refit addons`
pub(crate) fn addons(
    directory: &Path,
    options: &Addons,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let fleet = fleet_of(directory, printer)?;
    let mut names: BTreeSet<&str> =
        refit_catalogue::addons().iter().map(|entry| entry.name.as_str()).collect();
    names.extend(fleet.iter().flat_map(|fleet| fleet.addons.keys()).map(AddonName::as_str));
    if let Some(name) = &options.name {
        if !names.contains(name.as_str()) {
            let text = format!("neither the catalogue nor the fleet knows `{name}`");
            return Err(Failure::new(Exit::Usage, text).hint("`refit addons` lists what they know"));
        }
        names.retain(|other| other == name);
    }
    let found: Vec<Found<'_>> = names.iter().map(|name| Found::of(name, fleet.as_ref())).collect();
    match (options.format.format, options.name.is_some()) {
        (Format::Json, _) => {
            let addons = found.iter().map(Found::listed).collect();
            printer.json(&AddonListing { date: refit_catalogue::date(), addons })?;
        }
        (Format::Text, true) => {
            let pages = found.iter().map(|found| addon_text(&found.page(), printer.style()));
            printer.data(&pages.collect::<String>())?;
        }
        (Format::Text, false) => {
            let lines: Vec<AddonLine> = found.iter().map(Found::line).collect();
            printer.data(&addons_text(&lines, printer.style()))?;
            printer.say(&format!(
                "\nThe catalogue is of {}. `refit addons NAME` shows one add-on.",
                refit_catalogue::date()
            ));
        }
    }
    Ok(Exit::Done)
}

/// The fleet of the directory, if there is one. One with problems is left out, because the
/// catalogue may be what is needed to solve them.
fn fleet_of(directory: &Path, printer: &Printer) -> Result<Option<Fleet>, Failure> {
    if !directory.join("fleet.toml").exists() {
        return Ok(None);
    }
    let Loaded { fleet, .. } = refit_config::load(&Disk::new(directory)?);
    if fleet.is_none() {
        let text = "the fleet's files have problems, so only the catalogue is shown";
        printer.warning(text, &["`refit validate` shows them".to_owned()]);
    }
    Ok(fleet)
}

/// An add-on, as the catalogue and as the fleet know it.
struct Found<'a> {
    name: &'a str,
    entry: Option<&'a Entry>,
    addon: Option<&'a Addon>,
}

impl<'a> Found<'a> {
    fn of(name: &'a str, fleet: Option<&'a Fleet>) -> Self {
        let addon = fleet.and_then(|fleet| fleet.addons.values().find(|a| a.name.as_str() == name));
        Self { name, entry: refit_catalogue::addon(name), addon }
    }

    fn versions(&self) -> impl Iterator<Item = (&'a AddonVersion, &'a AddonRelease)> {
        self.addon.into_iter().flat_map(|addon| &addon.versions)
    }

    fn line(&self) -> AddonLine {
        AddonLine {
            name: self.name.to_owned(),
            policy: self.entry.map(|entry| entry.policy.to_string()).unwrap_or_default(),
            known: self.entry.map(Entry::span).unwrap_or_default(),
            fleet: self.versions().map(|(version, _)| version.to_string()).collect(),
        }
    }

    fn page(&self) -> AddonPage {
        let policy = match self.entry {
            None => "the catalogue does not know it".to_owned(),
            Some(Entry { policy, says, .. }) => {
                let says = if says.is_empty() { meaning(*policy) } else { says };
                format!("{policy}: {says}")
            }
        };
        let rows = self.entry.into_iter().flat_map(|entry| &entry.rows);
        AddonPage {
            name: self.name.to_owned(),
            policy,
            fleet: self.versions().map(|(version, r)| (version.to_string(), said(r))).collect(),
            hints: self.addon.and_then(|addon| addon.could_add(|_| true)).into_iter().collect(),
            known: rows
                .map(|row| (row.versions.clone(), row.said()))
                .filter(|(_, said)| !said.is_empty())
                .collect(),
            notes: self.entry.map(|entry| entry.notes.clone()).unwrap_or_default(),
            sources: self
                .entry
                .into_iter()
                .flat_map(|entry| entry.sources.iter().map(ToString::to_string))
                .collect(),
        }
    }

    fn listed(&self) -> ListedAddon<'a> {
        ListedAddon {
            name: self.name,
            policy: self.entry.map(|entry| entry.policy),
            says: self.entry.map(|entry| entry.says.as_str()).filter(|says| !says.is_empty()),
            notes: self.entry.map(|entry| entry.notes.as_slice()).unwrap_or_default(),
            sources: self.entry.map(|entry| entry.sources.as_slice()).unwrap_or_default(),
            catalogue: self
                .entry
                .into_iter()
                .flat_map(|entry| &entry.rows)
                .map(|row| CatalogueVersions {
                    versions: &row.versions,
                    kubernetes: row.kubernetes.as_ref().map(ToString::to_string),
                    tested: &row.tested,
                    bundled_with: &row.bundled_with,
                    latest: row.latest.as_ref(),
                    source: &row.source,
                })
                .collect(),
            fleet: self
                .versions()
                .map(|(version, release)| version_line(version, release))
                .collect(),
        }
    }
}

/// What a fleet's version supports, who decided, and what the catalogue would say.
fn said(release: &AddonRelease) -> String {
    let AddonRelease { kubernetes, kubelets, known, .. } = release;
    let mut said = kubernetes.to_string();
    if let Some(kubelets) = kubelets {
        said.push_str(&format!(", kubelets {kubelets}"));
    }
    if let Some(origin) = &known.decided_by {
        said.push_str(&format!(", as {origin} says"));
    }
    if let (Some(Origin::File(_)), Some(claim)) = (&known.decided_by, &known.claim) {
        let tested: Vec<String> = claim.tested.iter().map(ToString::to_string).collect();
        let differs = claim.kubernetes != *kubernetes;
        match tested.as_slice() {
            [] if differs => said.push_str(&format!("; the catalogue says {}", claim.kubernetes)),
            [] => {}
            _ => said.push_str(&format!("; it was tested with {}", tested.join(", "))),
        }
    }
    for api in &known.apis {
        let ApiUse { served, .. } = api;
        if let Some(gone) = served.removed {
            let planned = if served.planned { " (planned)" } else { "" };
            said.push_str(&format!("; {api}, gone from {gone} on{planned}"));
        }
    }
    said
}

/// What a kind of statement means, where its project says no more.
const fn meaning(policy: Policy) -> &'static str {
    match policy {
        Policy::MatchMinor => "each version serves the minor that it is numbered after",
        Policy::Skew => "Kubernetes' own version skew policy",
        Policy::Minimum => "a lowest minor for each version",
        Policy::Matrix => "a lowest and a highest minor for each version",
        Policy::Tested => "what versions were tested with; beyond that a plan warns",
        Policy::Recommendation => "what is installed with each minor; no limit",
        Policy::PublishedByApi => "an API of the cloud answers for each account",
        Policy::AnySupported => "every minor that is supported itself",
        Policy::NonePublished => "nothing is published",
    }
}

fn version_line<'a>(version: &'a AddonVersion, release: &'a AddonRelease) -> FleetVersion<'a> {
    let (decided_by, at, source) = match &release.known.decided_by {
        Some(Origin::Catalogue(source)) => ("catalogue", None, Some(source)),
        Some(Origin::File(at)) => ("file", Some(at.to_string()), None),
        None => ("file", None, None),
    };
    let api = |used: &'a ApiUse| UsedApi {
        api: &used.object.api_version,
        object: used.object.to_string(),
        at: used.at.to_string(),
        introduced: used.served.introduced,
        removed: used.served.removed,
        planned: used.served.planned,
        replacement: used.served.replacement.as_deref(),
        source: &used.served.source,
    };
    FleetVersion {
        version,
        kubernetes: release.kubernetes.to_string(),
        kubelets: release.kubelets.as_ref().map(ToString::to_string),
        decided_by,
        at,
        source,
        apis: release.known.apis.iter().map(api).collect(),
    }
}
