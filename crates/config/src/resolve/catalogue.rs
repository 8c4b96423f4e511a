//! What the catalogue adds to the files: limits that no file gives, what else it says of a
//! version, and which APIs the manifests use that come and go.
//!
//! A file always decides. The origin that each range keeps says who did.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    AddonName, AddonRelease, AddonVersion, ApiUse, Claim, EndOfLife, KubeVersion, Minor, Origin,
    Suggestion, VersionRange,
};

use super::Resolver;
use crate::diagnostic::Diagnostic;
use crate::manifests::Found;
use crate::raw::VersionTable;

/// What limits a version, and who says so.
pub(super) struct Limits {
    pub(super) kubernetes: VersionRange<Minor>,
    pub(super) kubelets: Option<VersionRange<Minor>>,
    pub(super) decided_by: Origin,
}

/// What the catalogue says of a version.
pub(super) fn claim(addon: &AddonName, version: &AddonVersion) -> Option<Claim> {
    refit_catalogue::addon(addon.as_str())?.claim(version)
}

impl Resolver<'_> {
    /// The limits of a version: those that are written, otherwise the catalogue's.
    pub(super) fn limits(
        &mut self,
        file: &str,
        addon: &AddonName,
        version: Option<&AddonVersion>,
        written: &VersionTable,
        claim: Option<&Claim>,
    ) -> Option<Limits> {
        let kubelets = match &written.kubelets {
            Some(text) => self.parse(file, text).map(Some),
            None => Some(None),
        };
        if let Some(text) = &written.kubernetes {
            let kubernetes = self.parse(file, text);
            let decided_by = Origin::File(self.location(file, &text.span));
            return Some(Limits { kubernetes: kubernetes?, kubelets: kubelets?, decided_by });
        }
        if let Some(claim) = claim {
            return Some(Limits {
                kubernetes: claim.kubernetes.clone(),
                kubelets: kubelets?.or_else(|| claim.kubelets.clone()),
                decided_by: Origin::Catalogue(claim.source.clone()),
            });
        }
        // A version that is none was reported.
        let version = version?;
        let known = match refit_catalogue::addon(addon.as_str()) {
            Some(entry) => {
                format!("the catalogue knows {addon} {}, not this version", entry.span())
            }
            None => format!("the catalogue does not know {addon}"),
        };
        let message = format!("nothing says which Kubernetes versions {addon} {version} supports");
        self.report(
            Diagnostic::error(message)
                .at(file, &written.version.span, "`kubernetes` is missing here")
                .hint(known)
                .hint("write for example `kubernetes = \">=1.31, <=1.35\"`, or \"any\""),
        );
        None
    }

    /// The objects whose API not every minor serves, in order.
    pub(super) fn apis(&self, found: &Found) -> Vec<ApiUse> {
        let mut apis: Vec<ApiUse> = found
            .objects
            .iter()
            .filter_map(|(manifest, span)| {
                let object = &manifest.object;
                let served = refit_catalogue::served(&object.api_version, &object.kind)?.clone();
                let at = self.location(&manifest.file, span);
                Some(ApiUse { object: object.clone(), at, served })
            })
            .collect();
        apis.sort_by(|a, b| a.object.cmp(&b.object));
        apis
    }

    /// Versions that the catalogue knows and that have no manifests here.
    pub(super) fn suggestions(
        &self,
        addon: &AddonName,
        versions: &BTreeMap<AddonVersion, AddonRelease>,
    ) -> Vec<Suggestion> {
        let minors: BTreeSet<Minor> = self.available.iter().map(KubeVersion::minor).collect();
        refit_catalogue::addon(addon.as_str())
            .map(|entry| entry.suggestions(&versions.keys().collect(), &minors))
            .unwrap_or_default()
    }

    /// When the minors end that this fleet may run.
    pub(super) fn end_of_life(&self) -> BTreeMap<Minor, EndOfLife> {
        let minors = self.available.iter().map(KubeVersion::minor);
        minors
            .filter_map(|minor| Some((minor, refit_catalogue::end_of_life(minor)?.clone())))
            .collect()
    }
}
