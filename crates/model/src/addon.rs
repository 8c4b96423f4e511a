//! Add-ons: what a fleet knows of each, and of each of its versions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AddonFacts, AddonName, AddonVersion, ApiUse, Crd, Known, ManifestSet, Minor, Suggestion,
    VersionRange, WorkloadRef,
};

/// A part of a cluster's upgrade that an add-on can be ordered against.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Milestone {
    /// All hops of the control plane.
    ControlPlane,
    /// All rolls of node pools.
    Nodes,
    /// Every action on this add-on.
    Addon(AddonName),
}

impl fmt::Display for Milestone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ControlPlane => f.write_str("control-plane"),
            Self::Nodes => f.write_str("nodes"),
            Self::Addon(addon) => addon.fmt(f),
        }
    }
}

/// What an add-on's actions come before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Its actions end before these begin.
    pub before: BTreeSet<Milestone>,
    /// Its actions begin after these have ended.
    pub after: BTreeSet<Milestone>,
}

/// How a copy of an add-on that refit did not install is recognised: a workload, and the
/// container whose image tag is the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detection {
    /// The workload to look for.
    pub workload: WorkloadRef,
    /// The container whose image tag is the version.
    pub container: String,
}

/// An add-on with all the versions that the fleet has manifests for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addon {
    /// Its name.
    pub name: AddonName,
    /// When its actions run, relative to others.
    pub placement: Placement,
    /// How a foreign copy is recognised; none: never.
    pub detect: Option<Detection>,
    /// The kinds beside the ordinary ones that may be pruned: `CustomResourceDefinition`,
    /// `Namespace`, `PersistentVolumeClaim` are kept unless they are named here.
    pub prune: BTreeSet<String>,
    /// Whether a version may live through a hop to a minor that it does not support, if the
    /// next one takes its place right after that hop.
    pub may_be_unsupported_during_hop: bool,
    /// Whether no version may be skipped that is of a minor in between.
    pub one_minor_at_a_time: bool,
    /// The versions.
    pub versions: BTreeMap<AddonVersion, AddonRelease>,
    /// Versions that could be added, the newest first.
    pub suggestions: Vec<Suggestion>,
    /// What the catalogue knows of it as a whole.
    pub facts: AddonFacts,
}

impl Addon {
    /// Whether the add-on may move from one version to another. What its versions may be upgraded
    /// from says nothing of the way back; that it goes minor by minor holds for both.
    pub fn may_step(&self, from: &AddonVersion, to: &AddonVersion) -> bool {
        if to < from {
            return !self.one_minor_at_a_time || from.is_next_minor_of(to);
        }
        let named = self.versions.get(to).and_then(|release| release.upgrade_from.as_ref());
        named.is_none_or(|range| range.contains(from))
            && (!self.one_minor_at_a_time || to.is_next_minor_of(from))
    }

    /// The CustomResourceDefinitions whose objects refit may have to write back, by name: of those
    /// that list every version in every version of the add-on it never has to, unless a copy that
    /// somebody else installed stores them in an older one.
    pub fn migrates(&self) -> BTreeMap<&str, &Crd> {
        let mut listed: BTreeMap<&str, Vec<&Crd>> = BTreeMap::new();
        for (name, crd) in self.versions.values().flat_map(AddonRelease::crds) {
            listed.entry(name).or_default().push(crd);
        }
        let differ = |all: &[&Crd]| {
            all.windows(2).any(|pair| !pair[0].versions.keys().eq(pair[1].versions.keys()))
        };
        let may = |(_, all): &(&str, Vec<&Crd>)| self.detect.is_some() || differ(all);
        listed.into_iter().filter(may).map(|(name, all)| (name, all[0])).collect()
    }

    /// The newest version that the catalogue knows, whose range fits, and that the fleet has no
    /// manifests of: what to add, in words.
    pub fn could_add(&self, fits: impl Fn(&VersionRange<Minor>) -> bool) -> Option<String> {
        let found = self.suggestions.iter().find(|suggestion| fits(&suggestion.kubernetes))?;
        let Suggestion { versions, kubernetes } = found;
        let directory = if versions.starts_with(|c: char| c.is_ascii_digit()) {
            format!("addons/{}/{versions}/", self.name)
        } else {
            format!("addons/{}/<version>/", self.name)
        };
        Some(format!(
            "the catalogue knows {versions} for {kubernetes}: put its manifests into `{directory}`"
        ))
    }
}

/// One version of an add-on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddonRelease {
    /// The minors of the apiserver that it supports.
    pub kubernetes: VersionRange<Minor>,
    /// The minors of the kubelets that it supports; none: any.
    pub kubelets: Option<VersionRange<Minor>>,
    /// The add-ons that it needs, and in which versions.
    pub requires: BTreeMap<AddonName, VersionRange<AddonVersion>>,
    /// The add-ons that it cannot live with, and in which versions.
    pub conflicts: BTreeMap<AddonName, VersionRange<AddonVersion>>,
    /// The versions that the add-on may come from when it moves to this one; none: any.
    pub upgrade_from: Option<VersionRange<AddonVersion>>,
    /// Its objects.
    pub manifests: ManifestSet,
    /// What else is known of it.
    pub known: Known,
}

impl AddonRelease {
    /// The CustomResourceDefinitions of its manifests, by name.
    pub fn crds(&self) -> &BTreeMap<String, Crd> {
        self.manifests.crds()
    }

    /// The objects whose API is not served by apiservers of this minor.
    pub fn unserved(&self, minor: Minor) -> impl Iterator<Item = &ApiUse> {
        self.known.apis.iter().filter(move |api| !api.served.is_in(minor))
    }
}
