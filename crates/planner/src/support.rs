//! Which version of an add-on goes with what lives, and why none does.

use refit_model::{
    Addon, AddonName, AddonRelease, AddonVersion, ApiUse, Code, Minor, VersionRange,
};

use crate::checks::Blocker;
use crate::timeline::{Live, Moments};

/// The version of an add-on that the fleet knows.
pub(crate) fn release<'a>(
    addon: Option<&'a Addon>,
    version: &AddonVersion,
) -> Option<&'a AddonRelease> {
    addon.and_then(|addon| addon.versions.get(version))
}

pub(crate) fn show_version(version: Option<&AddonVersion>) -> String {
    version.map_or_else(|| "absent".to_owned(), ToString::to_string)
}

/// What excludes a version beside its ranges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Whether the APIs that it uses do. Always, but for finding out what is in the way.
    pub(crate) apis: bool,
    /// Whether a version may stay through a hop to a minor that it does not support.
    pub(crate) window: bool,
}

impl Rules {
    pub(crate) fn of(addon: Option<&Addon>) -> Self {
        let window = addon.is_some_and(|addon| addon.may_be_unsupported_during_hop);
        Self { apis: true, window }
    }

    /// Whether a version supports what lives. Nothing supports everything; a version that the
    /// fleet does not know supports only what it runs on already.
    pub(crate) fn supports(
        self,
        addon: Option<&Addon>,
        version: Option<&AddonVersion>,
        live: &Live,
        moments: &Moments,
    ) -> bool {
        let Some(version) = version else { return true };
        match release(addon, version) {
            Some(release) => {
                live.api_servers.iter().all(|minor| release.kubernetes.contains(minor))
                    && self.takes_the_rest(release, live)
            }
            None => moments
                .slots
                .first()
                .is_some_and(|now| live.api_servers.is_subset(&now.api_servers)),
        }
    }

    /// Whether a version can be there while a step is under way. Where its file allows it, that
    /// may be a hop from a minor that it supports to one that it does not; no other step brings
    /// a minor. In the slot after it, nothing but another version supports what lives.
    pub(crate) fn survives(
        self,
        addon: Option<&Addon>,
        version: Option<&AddonVersion>,
        step: usize,
        moments: &Moments,
    ) -> bool {
        let live = &moments.steps[step];
        let late = || {
            let release = version.and_then(|version| release(addon, version))?;
            // More than one minor lives before a hop that is taken up again: it leaves the oldest.
            let left = moments.slots[step].api_servers.first()?;
            Some(release.kubernetes.contains(left) && self.takes_the_rest(release, live))
        };
        self.supports(addon, version, live, moments) || (self.window && late() == Some(true))
    }

    /// Kubelets and APIs.
    fn takes_the_rest(self, release: &AddonRelease, live: &Live) -> bool {
        let kubelets = release.kubelets.as_ref();
        kubelets.is_none_or(|range| live.kubelets.iter().all(|minor| range.contains(minor)))
            && (!self.apis
                || live.api_servers.iter().all(|minor| release.unserved(*minor).next().is_none()))
    }
}

/// A way that does not exist.
pub(crate) struct Way<'a> {
    pub(crate) addon: Option<&'a Addon>,
    pub(crate) rules: Rules,
    pub(crate) from: Option<&'a AddonVersion>,
    pub(crate) to: Option<&'a AddonVersion>,
}

/// How many objects a finding names: of more the first ones are enough to begin with.
const OBJECTS_SHOWN: usize = 3;

impl Way<'_> {
    /// It is ranges that are in the way: the first moment that no version gets the add-on past.
    pub(crate) fn unsupported(&self, name: &AddonName, moments: &Moments, window: bool) -> Blocker {
        let known: Vec<(&AddonVersion, &AddonRelease)> =
            self.addon.map(|addon| addon.versions.iter().collect()).unwrap_or_default();
        let (start, goal) = (show_version(self.from), show_version(self.to));
        let all: Vec<String> =
            known.iter().map(|(version, release)| ranges(version, release)).collect();
        let all = all.join("; ");
        let stuck = (0..moments.steps.len()).find(|step| {
            !known
                .iter()
                .any(|(version, _)| self.rules.survives(self.addon, Some(version), *step, moments))
        });
        let stuck = stuck.map(|step| &moments.steps[step]);
        let evidence = match stuck {
            Some(live) if !known.is_empty() => {
                format!("no version of it supports {} at once: {all}", servers(live))
            }
            _ if known.is_empty() => {
                format!("{start} is installed, and the fleet knows no version of it")
            }
            _ => format!("no order of moves leads from {start} to {goal}: {all}"),
        };
        let mut hint = format!("add a version that bridges the gap to addons/{name}");
        if let Some(more) = stuck.and_then(|live| self.could_add(live)) {
            hint = format!("{hint}; {more}");
        }
        if window {
            hint = format!(
                "{hint}; or let it move right after a hop, with `may-be-unsupported-during-hop = true` in its addon.toml"
            );
        }
        Blocker::new(Code::RF018, evidence, hint).of(name)
    }

    /// It is APIs that are in the way: the objects that use them.
    pub(crate) fn unserved(&self, name: &AddonName, moments: &Moments) -> Blocker {
        let on_the_way = |version: &AddonVersion| {
            self.from.is_none_or(|from| version >= from) && self.to.is_none_or(|to| version <= to)
        };
        let versions = self.addon.iter().flat_map(|addon| &addon.versions);
        let mut uses: Vec<(&ApiUse, Minor)> = Vec::new();
        for (_, release) in versions.filter(|(version, _)| on_the_way(version)) {
            for api in &release.known.apis {
                let minors = moments.slots.iter().flat_map(|live| &live.api_servers);
                let first = minors.copied().find(|minor| !api.served.is_in(*minor));
                uses.extend(first.map(|minor| (api, minor)));
            }
        }
        let shown: Vec<String> =
            uses.iter().take(OBJECTS_SHOWN).map(|(api, minor)| unserved(api, *minor)).collect();
        let more = match uses.len().saturating_sub(OBJECTS_SHOWN) {
            0 => String::new(),
            n => format!("; and {n} more objects"),
        };
        let hint = uses.iter().find_map(|(api, _)| api.served.replacement.as_ref()).map_or_else(
            || format!("add a version without these objects to addons/{name}"),
            |api| format!("add a version that uses {api} to addons/{name}"),
        );
        Blocker::new(Code::RF031, format!("{}{more}", shown.join("; ")), hint).of(name)
    }

    /// A version that the catalogue knows for all of what lives, or for the newest of it.
    fn could_add(&self, live: &Live) -> Option<String> {
        let addon = self.addon?;
        let all = |range: &VersionRange<Minor>| live.api_servers.iter().all(|m| range.contains(m));
        let newest = |range: &VersionRange<Minor>| {
            live.api_servers.last().is_some_and(|minor| range.contains(minor))
        };
        addon.could_add(all).or_else(|| addon.could_add(newest))
    }
}

/// An object whose API a minor does not serve, and from when to when it is served.
fn unserved(api: &ApiUse, minor: Minor) -> String {
    let ends = match (api.served.introduced, api.served.removed) {
        (Some(first), _) if minor < first => format!("served from {first} on"),
        (_, Some(gone)) => format!("gone from {gone} on"),
        _ => String::new(),
    };
    format!("{api}, which {minor} does not serve ({ends})")
}

fn servers(live: &Live) -> String {
    live.api_servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

fn ranges(version: &AddonVersion, release: &AddonRelease) -> String {
    match &release.kubelets {
        Some(kubelets) => {
            format!("{version} supports {}, kubelets {kubelets}", release.kubernetes)
        }
        None => format!("{version} supports {}", release.kubernetes),
    }
}
