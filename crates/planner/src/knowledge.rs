//! What is told of versions beside what is planned: who decided, what nobody tested, what ends.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Addon, AddonName, AddonRelease, AddonVersion, Claim, Cluster, Code, Fleet, Minor, Origin,
    Severity, Timestamp,
};

use crate::checks::Blocker;

/// The minors of the apiservers that each version of an add-on lives with.
pub(crate) type Lived = BTreeMap<AddonVersion, BTreeSet<Minor>>;

/// So many days before a minor ends, the warnings begin: two months are little for a release to
/// go through the channels of a fleet.
const END_OF_LIFE_DAYS: i64 = 60;

/// A warning when the maintenance of the declared minor has ended, or is about to.
pub(crate) fn end_of_life(fleet: &Fleet, cluster: &Cluster, now: Timestamp) -> Option<Blocker> {
    let target = &cluster.kubernetes;
    let minor = target.value.minor();
    let end = fleet.end_of_life.get(&minor)?;
    let left = end.days_left(now);
    if left > END_OF_LIFE_DAYS {
        return None;
    }
    let verb = if left < 0 { "ended" } else { "ends" };
    let evidence = format!(
        "the maintenance of {minor} {verb} on {}; {} declares {} (catalogue: {})",
        end.on, target.at, target.value, end.source
    );
    let blocker = Blocker::new(Code::RF032, evidence, "declare a newer minor");
    Some(blocker.of("control-plane").weighing(Severity::Warning))
}

/// What is to be told of an add-on's versions, and of those that stay through a hop to a minor
/// that they do not support.
pub(crate) fn of_addon(
    name: &AddonName,
    addon: Option<&Addon>,
    lived: &Lived,
    late: &[(AddonVersion, Minor)],
) -> Vec<Blocker> {
    let Some(addon) = addon else { return Vec::new() };
    let mut told = Vec::new();
    for (version, minors) in lived {
        let Some(release) = addon.versions.get(version) else { continue };
        told.extend(
            untested(version, release, minors).or_else(|| decided(version, release, minors)),
        );
        told.extend(planned(version, release, minors));
    }
    for (version, minor) in late {
        let Some(release) = addon.versions.get(version) else { continue };
        let evidence = format!(
            "{version} supports {}, and stays while the control plane goes to {minor}; it moves right after that",
            release.kubernetes
        );
        let hint = "its addon.toml allows it with `may-be-unsupported-during-hop`";
        told.push(Blocker::new(Code::RF035, evidence, hint).weighing(Severity::Warning));
    }
    told.into_iter().map(|blocker| blocker.of(name)).collect()
}

/// Returns a warning if an add-on moves to or past versions that ask for work by hand.
pub(crate) fn crossings(addon: &Addon, from: &AddonVersion, to: &AddonVersion) -> Option<Blocker> {
    let (older, newer) = if from < to { (from, to) } else { (to, from) };
    let crossed = addon.facts.crossings.iter();
    let crossed =
        crossed.filter(|crossing| older < &crossing.version && crossing.version <= *newer);
    let asked: Vec<String> = crossed
        .clone()
        .map(|crossing| format!("{}: {}", crossing.version, crossing.asks))
        .collect();
    let sources: BTreeSet<String> = crossed.map(|crossing| crossing.source.to_string()).collect();
    let source = sources.into_iter().collect::<Vec<_>>().join("; ");
    if asked.is_empty() {
        return None;
    }
    let evidence = format!(
        "{from} -> {to} asks for work by hand, as the catalogue ({source}) says: {}",
        asked.join("; ")
    );
    let hint = format!("see that the manifests of {to} contain it, or do it before the move");
    let told = Blocker::new(Code::RF055, evidence, hint);
    Some(told.of(&addon.name).weighing(Severity::Warning))
}

/// Who decided what a version supports, when it is the catalogue, or when the catalogue would
/// have decided otherwise.
fn decided(
    version: &AddonVersion,
    release: &AddonRelease,
    minors: &BTreeSet<Minor>,
) -> Option<Blocker> {
    let claim = release.known.claim.as_ref()?;
    let range = &release.kubernetes;
    let (evidence, hint) = match release.known.decided_by.as_ref()? {
        origin @ Origin::Catalogue(_) => {
            let words =
                if claim.says.is_empty() { String::new() } else { format!(": {}", claim.says) };
            (format!("{version} supports {range}, as {origin} says{words}"), "")
        }
        Origin::File(at) => {
            let differ = |minor: &&Minor| range.contains(minor) != says_yes(claim, **minor);
            minors.iter().find(differ)?;
            let evidence = format!(
                "{version} supports {range}, as {at} says; the catalogue says {} ({})",
                said(claim),
                claim.source
            );
            (evidence, "check which of the two is right")
        }
    };
    Some(Blocker::new(Code::RF034, evidence, hint).weighing(Severity::Note))
}

/// Whether the catalogue names a minor for a version; where it names none, it names all.
fn says_yes(claim: &Claim, minor: Minor) -> bool {
    claim.kubernetes.contains(&minor) && (claim.tested.is_empty() || claim.tested.contains(&minor))
}

fn said(claim: &Claim) -> String {
    let Claim { kubernetes, tested, .. } = claim;
    if tested.is_empty() { kubernetes.to_string() } else { format!("tested with {}", join(tested)) }
}

/// Minors that the project did not test a version with, where no file of the fleet decides.
fn untested(
    version: &AddonVersion,
    release: &AddonRelease,
    minors: &BTreeSet<Minor>,
) -> Option<Blocker> {
    let claim = release.known.claim.as_ref().filter(|claim| !claim.tested.is_empty())?;
    let origin @ Origin::Catalogue(_) = release.known.decided_by.as_ref()? else { return None };
    let beyond: BTreeSet<Minor> = minors.difference(&claim.tested).copied().collect();
    if beyond.is_empty() {
        return None;
    }
    let evidence = format!(
        "{version} was tested with {}, not with {}, as {origin} says",
        join(&claim.tested),
        join(&beyond)
    );
    let hint = "where you have tested it, write `kubernetes` in its addon.toml";
    Some(Blocker::new(Code::RF033, evidence, hint).weighing(Severity::Warning))
}

/// Objects whose API may be gone, by a plan that can still change.
fn planned(
    version: &AddonVersion,
    release: &AddonRelease,
    minors: &BTreeSet<Minor>,
) -> Option<Blocker> {
    let apis = release.known.apis.iter();
    let mut gone = apis.filter_map(|api| {
        let minor = minors.iter().find(|minor| api.served.may_be_gone_in(**minor))?;
        Some((api, minor))
    });
    let (api, minor) = gone.next()?;
    let more = match gone.count() {
        0 => String::new(),
        n => format!(", and so are {n} more objects"),
    };
    let evidence = format!(
        "in {version}, {api}, which is planned to be gone in {minor}{more} ({})",
        api.served.source
    );
    let hint = api.served.replacement.as_ref().map_or_else(String::new, |api| format!("use {api}"));
    Some(Blocker::new(Code::RF031, evidence, hint).weighing(Severity::Warning))
}

fn join(minors: &BTreeSet<Minor>) -> String {
    minors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
