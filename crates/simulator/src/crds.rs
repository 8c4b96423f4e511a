//! CustomResourceDefinitions: what versions they list, and in which one each object is stored.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{Crd, CrdState, Manifest, ObjectKey};
use refit_provider::{ErrorClass, ProviderError};
use serde::{Deserialize, Serialize};

use crate::cluster::ClusterWorld;
use crate::dice::hash;
use crate::judge::Rule;

/// How many objects a definition has at the start, at most.
const OBJECTS_MAX: u64 = 5;

/// A definition.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct CrdWorld {
    /// The versions that it lists.
    versions: BTreeSet<String>,
    storage: String,
    /// `status.storedVersions`.
    stored: BTreeSet<String>,
    /// The version that each object is really stored in, by `namespace/name`.
    objects: BTreeMap<String, String>,
}

impl CrdWorld {
    /// An object is created, and stored as objects are now.
    pub(crate) fn create(&mut self, name: &str) {
        self.objects.insert(name.to_owned(), self.storage.clone());
    }
}

/// The key of an object of the world by its name: all are in one namespace.
fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: Some("apps".to_owned()), name: name.to_owned() }
}

fn permanent(text: String) -> ProviderError {
    ProviderError::new(ErrorClass::Permanent, text)
}

impl ClusterWorld {
    /// A definition is applied: refused where it no longer lists what may be stored, as the real
    /// apiserver does.
    pub(crate) fn define(&mut self, manifest: &Manifest) -> Result<(), ProviderError> {
        let name = &manifest.object.name;
        let Ok(Some(Crd { versions, storage, .. })) = Crd::of(&manifest.value) else {
            return Ok(());
        };
        let versions: BTreeSet<String> = versions.into_keys().collect();
        let before = self.crds.remove(name);
        if let Some(before) = before {
            let dropped = before.stored.difference(&versions).next().cloned();
            let mut after = before;
            if let Some(version) = dropped {
                self.crds.insert(name.clone(), after);
                return Err(permanent(format!(
                    "apply CustomResourceDefinition {name}: status.storedVersions[0]: Invalid \
                     value: \"{version}\": must appear in spec.versions"
                )));
            }
            after.stored.insert(storage.clone());
            (after.versions, after.storage) = (versions, storage);
            self.crds.insert(name.clone(), after);
        } else {
            let stored = BTreeSet::from([storage.clone()]);
            let objects = BTreeMap::new();
            let made = CrdWorld { versions, storage, stored, objects };
            self.crds.insert(name.clone(), made);
        }
        self.judge_stored(name);
        Ok(())
    }

    /// Gives a definition that was there from the start its objects. In some worlds it was once
    /// another version that they were stored in, and nobody has migrated them.
    pub(crate) fn people(&mut self, name: &str) {
        let dice = hash(format!("{} {name}", self.uid).as_bytes());
        let Some(crd) = self.crds.get_mut(name) else { return };
        let older = crd.versions.iter().find(|version| **version != crd.storage).cloned();
        let older = older.filter(|_| dice.is_multiple_of(2));
        crd.stored.extend(older.clone());
        for number in 0..(dice >> 8) % OBJECTS_MAX {
            let stored = older.as_ref().filter(|_| number.is_multiple_of(2));
            let name = format!("object-{number}");
            crd.create(&name);
            crd.objects.extend(stored.map(|stored| (name, stored.clone())));
        }
    }

    /// What a look shows of a definition, with its objects if it was asked for them.
    pub(crate) fn show_crd(&self, name: &str, with_objects: bool) -> Option<CrdState> {
        let crd = self.crds.get(name)?;
        Some(CrdState {
            storage: crd.storage.clone(),
            stored: crd.stored.clone(),
            objects: with_objects.then(|| crd.objects.keys().map(|name| key(name)).collect()),
        })
    }

    /// Objects are written back; with `half`, the connection breaks in the middle of it.
    pub(crate) fn write_back(
        &mut self,
        name: &str,
        objects: &BTreeSet<ObjectKey>,
        half: bool,
    ) -> Result<(), ProviderError> {
        let Some(crd) = self.crds.get_mut(name) else { return Ok(()) };
        let count = if half { objects.len() / 2 } else { objects.len() };
        for object in objects.iter().take(count) {
            if let Some(stored) = crd.objects.get_mut(&object.name) {
                stored.clone_from(&crd.storage);
            }
        }
        if half {
            let text = format!("{name}: the connection broke after {count} objects");
            return Err(ProviderError::new(ErrorClass::Transient, text));
        }
        Ok(())
    }

    /// `status.storedVersions` is narrowed to the storage version.
    pub(crate) fn set_stored(&mut self, name: &str, version: &str) -> Result<(), ProviderError> {
        let Some(crd) = self.crds.get_mut(name) else { return Ok(()) };
        if crd.storage != version {
            return Err(permanent(format!("{name} stores objects in {}", crd.storage)));
        }
        crd.stored = BTreeSet::from([version.to_owned()]);
        self.judge_stored(name);
        Ok(())
    }

    /// Every object is stored in a version that the definition says may be stored, and that it
    /// lists.
    fn judge_stored(&mut self, name: &str) {
        let Some(crd) = self.crds.get(name) else { return };
        let lost = crd.objects.iter().find(|(_, stored)| !crd.stored.contains(*stored));
        let wrong = match (lost, crd.stored.difference(&crd.versions).next()) {
            (Some((object, stored)), _) => {
                format!("{object} of {name} is stored in {stored}, which nothing tells any more")
            }
            (None, Some(version)) => format!("{name} does not list {version}, which is stored"),
            (None, None) => return,
        };
        self.violate(Rule::StoredVersion, wrong);
    }
}
