//! Whether the versions that a release or a cluster brings together support each other.
//!
//! This looks at targets alone. Whether there is a way to them from what runs is for the
//! planner.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    AddonName, AddonRelease, AddonVersion, ApiUse, ClusterName, KubeVersion, Origin, ReleaseName,
    VersionRange,
};

use super::{KnownCluster, Resolver};
use crate::diagnostic::Diagnostic;
use crate::load::Kind;

impl Resolver<'_> {
    pub(super) fn consistency(&mut self, clusters: &BTreeMap<ClusterName, KnownCluster>) {
        let mut reports = Vec::new();
        let mut unmet: BTreeSet<(ReleaseName, AddonName, AddonName)> = BTreeSet::new();
        self.release_consistency(&mut reports, &mut unmet);
        for known in clusters.values() {
            self.cluster_consistency(known, &unmet, &mut reports);
        }
        self.diagnostics.extend(reports);
    }

    fn candidate(&self, addon: &AddonName, version: &AddonVersion) -> Option<&AddonRelease> {
        self.addons.get(addon)?.addon.versions.get(version)
    }

    /// Each release by itself: what holds in no cluster is wrong in the release.
    fn release_consistency(
        &self,
        reports: &mut Vec<Diagnostic>,
        unmet: &mut BTreeSet<(ReleaseName, AddonName, AddonName)>,
    ) {
        for (name, known) in &self.releases {
            let mut told: BTreeSet<(&AddonName, &AddonVersion)> = BTreeSet::new();
            for (set, versions) in &known.release.addon_sets {
                for (addon, version) in versions {
                    let Some(candidate) = self.candidate(addon, version) else { continue };
                    let place = known.versions.get(&(set.clone(), addon.clone()));
                    let Some(place) = place.filter(|_| told.insert((addon, version))) else {
                        continue;
                    };
                    let available = self.is_available(&known.release.kubernetes);
                    let refused = refusal(addon, version, candidate, &known.release.kubernetes);
                    if let Some(refusal) = refused.filter(|_| available) {
                        let label = format!("with Kubernetes {}", known.release.kubernetes);
                        reports.push(
                            Diagnostic::error(refusal)
                                .at(&known.file, place, label)
                                .hints(self.fitting(addon, candidate, &known.release.kubernetes)),
                        );
                    }
                    let label = format!("{addon} {version} with {}", known.release.kubernetes);
                    let unserved = self.unserved(candidate, &known.release.kubernetes);
                    let unserved = unserved.filter(|_| available);
                    reports.extend(unserved.map(|it| it.also(&known.file, place, label.clone())));
                    for (other, range) in &candidate.requires {
                        let versions: Vec<&AddonVersion> = known
                            .release
                            .addon_sets
                            .values()
                            .filter_map(|set| set.get(other))
                            .collect();
                        let met = versions.iter().any(|version| range.contains(version));
                        if met || self.unsure(name, other) || !self.can_be(other, range) {
                            continue;
                        }
                        unmet.insert((name.clone(), addon.clone(), other.clone()));
                        let label = match versions.first() {
                            Some(found) => format!("the release has {other} {found}"),
                            None => format!("the release has no {other}"),
                        };
                        let message = format!("{addon} {version} requires {other} {range}");
                        reports.push(
                            Diagnostic::error(message)
                                .at(&known.file, place, label)
                                .hint(format!("add a version of {other} that is {range} to a set")),
                        );
                    }
                }
            }
        }
    }

    /// A cluster's own mixture: the sets it has, and its pins.
    fn cluster_consistency(
        &self,
        known: &KnownCluster,
        unmet: &BTreeSet<(ReleaseName, AddonName, AddonName)>,
        reports: &mut Vec<Diagnostic>,
    ) {
        let KnownCluster { cluster, file, sets, kubernetes_pin, addon_pins, doubtful } = known;
        let available = self.is_available(&cluster.kubernetes.value);
        for (addon, target) in &cluster.addons {
            let version = &target.version.value;
            let Some(candidate) = self.candidate(addon, version) else { continue };
            let pin = addon_pins.get(addon).or(kubernetes_pin.as_ref());
            if let Some(pin) = pin.filter(|_| available)
                && let Some(refusal) = refusal(addon, version, candidate, &cluster.kubernetes.value)
            {
                reports.push(
                    Diagnostic::error(refusal)
                        .at(file, pin, format!("{} would run {addon} {version}", cluster.name))
                        .hints(self.fitting(addon, candidate, &cluster.kubernetes.value)),
                );
            }
            for (other, range) in &candidate.requires {
                let found = cluster.addons.get(other);
                let met = found.is_some_and(|found| range.contains(&found.version.value));
                let told = unmet.contains(&(cluster.release.clone(), addon.clone(), other.clone()));
                let pinned = addon_pins.get(addon).or_else(|| addon_pins.get(other));
                let unsure =
                    *doubtful || self.unsure(&cluster.release, other) || !self.can_be(other, range);
                if met || unsure || (told && pinned.is_none()) {
                    continue;
                }
                let message =
                    format!("{addon} {version} of {} requires {other} {range}", cluster.name);
                let label = match found {
                    Some(found) => format!("the cluster would run {other} {}", found.version.value),
                    None => format!("no add-on set of the cluster has {other}"),
                };
                let hint = match found {
                    Some(_) => format!("give {other} another version"),
                    None => format!("add the set that has {other}"),
                };
                let place = pinned.unwrap_or(sets);
                reports.push(Diagnostic::error(message).at(file, place, label).hint(hint));
            }
            let others = candidate.conflicts.iter().filter(|(other, _)| *other != addon);
            reports.extend(others.filter_map(|(other, range)| {
                let found = &cluster.addons.get(other)?.version.value;
                let pinned = addon_pins.get(addon).or_else(|| addon_pins.get(other));
                let message =
                    format!("{addon} {version} of {} conflicts with {other} {range}", cluster.name);
                let label = format!("the cluster would run {other} {found}");
                let conflict = Diagnostic::error(message).at(file, pinned.unwrap_or(sets), label);
                let hint = format!("give {addon} or {other} another version");
                range.contains(found).then(|| conflict.hint(hint))
            }));
        }
    }

    /// Whether something about this add-on in this release was not understood.
    fn unsure(&self, release: &ReleaseName, addon: &AddonName) -> bool {
        self.broken.is(Kind::Release, release.as_str())
            || self.broken.may_be(Kind::Addon, addon.as_str())
            || self.addons.get(addon).is_none_or(|known| known.doubtful)
            || self.releases.get(release).is_none_or(|known| known.doubtful)
    }

    /// Whether any version meets a requirement; if none does, the requirement was reported.
    fn can_be(&self, addon: &AddonName, range: &VersionRange<AddonVersion>) -> bool {
        let known = self.addons.get(addon);
        known.is_some_and(|known| known.addon.versions.keys().any(|v| range.contains(v)))
    }

    /// The objects whose API is not served where the version should run. That is for the plan to
    /// block; who looks at files alone is warned.
    fn unserved(
        &self,
        candidate: &AddonRelease,
        kubernetes: &KubeVersion,
    ) -> impl Iterator<Item = Diagnostic> {
        let minor = kubernetes.minor();
        candidate.unserved(minor).map(move |ApiUse { object, at, served }| {
            let api = &object.api_version;
            let span = self.sources.line_span(&at.file, u64::from(at.line));
            let warning =
                Diagnostic::warning(format!("{object} uses {api}, which {minor} does not serve"))
                    .at(&at.file, &span, "this object");
            match &served.replacement {
                Some(replacement) => warning.hint(format!("use {replacement}")),
                None => warning,
            }
        })
    }

    /// Which versions of an add-on would do, those that could be added included, and who
    /// refuses this one, if it is not its file.
    fn fitting(
        &self,
        addon: &AddonName,
        refused: &AddonRelease,
        kubernetes: &KubeVersion,
    ) -> Vec<String> {
        let Some(known) = self.addons.get(addon) else { return Vec::new() };
        let fitting: Vec<String> = known
            .addon
            .versions
            .iter()
            .filter(|(version, release)| refusal(addon, version, release, kubernetes).is_none())
            .map(|(version, _)| version.to_string())
            .collect();
        let mut hints = vec![if fitting.is_empty() {
            format!("no version of {addon} with manifests supports {}", kubernetes.minor())
        } else {
            format!("versions that support {}: {}", kubernetes.minor(), fitting.join(", "))
        }];
        let minor = kubernetes.minor();
        hints.extend(known.addon.could_add(|range| range.contains(&minor)));
        if let Some(origin @ Origin::Catalogue(_)) = &refused.known.decided_by {
            hints.push(format!(
                "{origin} says so; `kubernetes` of the version in `{}` overrides it",
                known.file
            ));
        }
        hints
    }
}

/// Why a version of an add-on cannot run there, once control plane and nodes have that version.
fn refusal(
    addon: &AddonName,
    version: &AddonVersion,
    candidate: &AddonRelease,
    kubernetes: &KubeVersion,
) -> Option<String> {
    let minor = kubernetes.minor();
    if !candidate.kubernetes.contains(&minor) {
        let range = &candidate.kubernetes;
        return Some(format!("{addon} {version} supports Kubernetes {range}, not {minor}"));
    }
    let kubelets = candidate.kubelets.as_ref().filter(|range| !range.contains(&minor))?;
    Some(format!("{addon} {version} supports kubelets {kubelets}, not {minor}"))
}
