//! CustomResourceDefinitions: what the apiserver refuses, what is stored, and what the judge knows.

use std::collections::BTreeSet;

use refit_model::{AddonOp, CrdState, Manifest, ManifestSet, ObjectKey, ObjectRef};
use refit_provider::{ErrorClass, Scope};
use serde_json::json;

use super::bench::{Bench, addon_version, dns};
use crate::crds::CrdWorld;
use crate::{Faults, Rule};

const CRD: &str = "zones.acme.example";

/// A cluster with an add-on that is not there yet, whose versions list these, the first of them as
/// the storage version.
fn bench(versions: &[(&str, &[&str])]) -> Bench {
    let mut bench = Bench::of(super::bench::Spec { installed: false, ..Default::default() });
    for (version, listed) in versions {
        let addon = bench.addons.get_mut(&dns()).unwrap();
        let release = addon.versions.get_mut(&addon_version(version)).unwrap();
        let mut objects: Vec<Manifest> = release.manifests.objects().to_vec();
        objects.push(definition(listed));
        release.manifests = ManifestSet::new(objects);
    }
    bench
}

fn definition(listed: &[&str]) -> Manifest {
    let versions: Vec<_> = listed
        .iter()
        .map(|name| json!({ "name": name, "served": true, "storage": name == &listed[0] }))
        .collect();
    let value = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": CRD },
        "spec": { "group": "acme.example", "names": { "plural": "zones" }, "versions": versions },
    });
    let object = ObjectRef {
        api_version: "apiextensions.k8s.io/v1".into(),
        kind: "CustomResourceDefinition".into(),
        namespace: None,
        name: CRD.into(),
    };
    Manifest { object, value, file: "crds.yaml".into() }
}

fn set(versions: &[&str]) -> BTreeSet<String> {
    versions.iter().map(|version| (*version).to_owned()).collect()
}

fn seen(bench: &mut Bench) -> CrdState {
    let scope = Scope::Objects { addon: dns(), crds: set(&[CRD]) };
    bench.look_at(&scope).unwrap().addons[&dns()].crds[CRD].clone()
}

/// Two objects that were written when the first version was there.
fn with_objects(bench: &mut Bench) -> BTreeSet<ObjectKey> {
    let name = bench.cluster.name.clone();
    let crd: &mut CrdWorld = bench.world.cluster(&name).unwrap().crds.get_mut(CRD).unwrap();
    for object in ["a", "b"] {
        crd.create(object);
    }
    seen(bench).objects.unwrap()
}

#[test]
fn a_definition_that_drops_what_is_stored_is_refused() {
    let mut bench = bench(&[("1.0.0", &["v1beta1"]), ("1.1.0", &["v1"])]);
    bench.apply("1.0.0").unwrap();
    let refused = bench.apply("1.1.0").unwrap_err();
    assert_eq!(refused.class, ErrorClass::Permanent);
    assert!(refused.message.contains("must appear in spec.versions"), "{refused}");
    assert_eq!(seen(&mut bench).stored, set(&["v1beta1"]));
}

#[test]
fn objects_are_migrated_and_then_the_old_version_can_go() {
    let versions: [(&str, &[&str]); 3] =
        [("1.0.0", &["v1beta1"]), ("1.1.0", &["v1", "v1beta1"]), ("1.2.0", &["v1"])];
    let mut bench = bench(&versions);
    bench.apply("1.0.0").unwrap();
    let objects = with_objects(&mut bench);
    assert_eq!(objects.len(), 2);
    bench.apply("1.1.0").unwrap();
    assert_eq!(seen(&mut bench).stored, set(&["v1", "v1beta1"]));
    let write_back = || AddonOp::WriteBack { crd: CRD.to_owned(), objects: objects.clone() };
    bench.world.set_faults(&Faults { partial_applies: 1000, ..Faults::none() });
    assert_eq!(bench.addon(write_back()).unwrap_err().class, ErrorClass::Transient);
    bench.world.stop_faults();
    bench.addon(write_back()).unwrap();
    let set_stored =
        |version: &str| AddonOp::SetStored { crd: CRD.to_owned(), version: version.to_owned() };
    let other = bench.addon(set_stored("v1beta1")).unwrap_err();
    assert_eq!(other.class, ErrorClass::Permanent, "it stores objects in another one");
    bench.addon(set_stored("v1")).unwrap();
    assert_eq!(seen(&mut bench).stored, set(&["v1"]));
    assert!(!bench.rules().contains(&Rule::StoredVersion));
    let name = bench.cluster.name.clone();
    bench.world.cluster(&name).unwrap().define(&definition(&["v1"])).unwrap();
    assert!(!bench.rules().contains(&Rule::StoredVersion));
}

#[test]
fn who_sets_the_versions_too_early_is_caught() {
    let mut bench = bench(&[("1.0.0", &["v1beta1"]), ("1.1.0", &["v1", "v1beta1"])]);
    bench.apply("1.0.0").unwrap();
    let objects = with_objects(&mut bench);
    bench.apply("1.1.0").unwrap();
    let one = objects.into_iter().take(1).collect();
    bench.addon(AddonOp::WriteBack { crd: CRD.to_owned(), objects: one }).unwrap();
    bench.addon(AddonOp::SetStored { crd: CRD.to_owned(), version: "v1".to_owned() }).unwrap();
    assert!(bench.rules().contains(&Rule::StoredVersion));
    let found = bench.world.violations();
    let found = found.iter().find(|found| found.rule == Rule::StoredVersion).unwrap();
    assert_eq!(
        found.text,
        "b of zones.acme.example is stored in v1beta1, which nothing tells any more"
    );
}
