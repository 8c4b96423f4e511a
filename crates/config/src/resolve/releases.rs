//! Releases: their versions exist, and support each other.

use std::collections::BTreeMap;

use refit_model::Release;

use super::{KnownRelease, Resolver};
use crate::load::Sited;

impl Resolver<'_> {
    pub(super) fn releases(&mut self) {
        let mut seen = BTreeMap::new();
        let declared = self.declared;
        for Sited { file, raw } in &declared.releases {
            let kubernetes = self.target(file, &raw.kubernetes);
            let mut addon_sets = BTreeMap::new();
            let mut versions = BTreeMap::new();
            let mut doubtful = false;
            for (set, table) in &raw.addon_sets {
                let mut found = BTreeMap::new();
                for (addon, (version, span)) in self.set(file, table) {
                    versions.insert((set.value.clone(), addon.clone()), span);
                    found.insert(addon, version);
                }
                doubtful |= found.len() < table.len();
                addon_sets.insert(set.value.clone(), found);
            }
            let Some(name) = self.parse(file, &raw.name) else { continue };
            let place = (file.as_str(), &raw.name.span);
            let new = self.is_new(&mut seen, "releases", name.as_str(), place);
            let Some(kubernetes) = kubernetes.filter(|_| new) else { continue };
            let at = self.location(file, &raw.name.span);
            let release = Release { name: name.clone(), kubernetes, addon_sets, at };
            let known = KnownRelease {
                release,
                file: file.clone(),
                name: raw.name.span.clone(),
                kubernetes: raw.kubernetes.span.clone(),
                versions,
                doubtful,
            };
            self.releases.insert(name, known);
        }
    }
}
