//! Whether the versions that a release or a cluster brings together support each other.
//!
//! This looks at targets alone. Whether there is a way to them from what runs is for the
//! planner.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{AddonName, AddonRelease, AddonVersion, ClusterName, KubeVersion, ReleaseName};

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
                    if let Some(refusal) =
                        refusal(addon, version, candidate, &known.release.kubernetes)
                    {
                        let label = format!("with Kubernetes {}", known.release.kubernetes);
                        reports.push(
                            Diagnostic::error(refusal)
                                .at(&known.file, place, label)
                                .hints(self.fitting(addon, &known.release.kubernetes)),
                        );
                    }
                    for (other, range) in &candidate.requires {
                        let versions: Vec<&AddonVersion> = known
                            .release
                            .addon_sets
                            .values()
                            .filter_map(|set| set.get(other))
                            .collect();
                        let met = versions.iter().any(|version| range.contains(version));
                        if met || self.unsure(name, other) {
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
        let KnownCluster { cluster, file, sets, kubernetes_pin, addon_pins } = known;
        for (addon, target) in &cluster.addons {
            let version = &target.version.value;
            let Some(candidate) = self.candidate(addon, version) else { continue };
            let pin = addon_pins.get(addon).or(kubernetes_pin.as_ref());
            if let Some(pin) = pin
                && let Some(refusal) = refusal(addon, version, candidate, &cluster.kubernetes.value)
            {
                reports.push(
                    Diagnostic::error(refusal)
                        .at(file, pin, format!("{} would run {addon} {version}", cluster.name))
                        .hints(self.fitting(addon, &cluster.kubernetes.value)),
                );
            }
            for (other, range) in &candidate.requires {
                let found = cluster.addons.get(other);
                let met = found.is_some_and(|found| range.contains(&found.version.value));
                let told = unmet.contains(&(cluster.release.clone(), addon.clone(), other.clone()));
                let pinned = addon_pins.get(addon).or_else(|| addon_pins.get(other));
                if met || self.unsure(&cluster.release, other) || (told && pinned.is_none()) {
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
        }
    }

    /// Whether something about this add-on in this release was not understood.
    fn unsure(&self, release: &ReleaseName, addon: &AddonName) -> bool {
        self.broken.is(Kind::Release, release.as_str())
            || self.broken.may_be(Kind::Addon, addon.as_str())
            || self.addons.get(addon).is_none_or(|known| known.doubtful)
            || self.diagnosed(release, addon)
    }

    /// Whether the release names the add-on with a version that was refused already.
    fn diagnosed(&self, release: &ReleaseName, addon: &AddonName) -> bool {
        let declared =
            self.declared.releases.iter().find(|known| known.raw.name.text == release.as_str());
        declared.is_some_and(|declared| {
            declared.raw.addon_sets.iter().any(|(set, table)| {
                let named = table.keys().any(|name| name.text == addon.as_str());
                let understood = self
                    .releases
                    .get(release)
                    .and_then(|known| known.release.addon_sets.get(&set.value))
                    .is_some_and(|set| set.contains_key(addon));
                named && !understood
            })
        })
    }

    /// Which versions of an add-on would do.
    fn fitting(&self, addon: &AddonName, kubernetes: &KubeVersion) -> Vec<String> {
        let Some(known) = self.addons.get(addon) else { return Vec::new() };
        let fitting: Vec<String> = known
            .addon
            .versions
            .iter()
            .filter(|(version, release)| refusal(addon, version, release, kubernetes).is_none())
            .map(|(version, _)| version.to_string())
            .collect();
        vec![if fitting.is_empty() {
            format!("no version of {addon} with manifests supports {}", kubernetes.minor())
        } else {
            format!("versions that support {}: {}", kubernetes.minor(), fitting.join(", "))
        }]
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
