//! Versions that objects of CustomResourceDefinitions are stored in: migrations before moves, and
//! versions in between where there has to be one.

use std::collections::BTreeSet;

use refit_model::{
    ActionKind, ClusterStatus, Code, CrdState, Fleet, Manifest, ManifestSet, Reversibility,
    StateGuard, Why,
};
use serde_json::json;

use crate::bench::{
    Bench, action, ant, codes, edges, finding, fleet, has, knows, n, object, release, start,
    status, steps, wants,
};

pub(crate) const CRD: &str = "volumes.acme.example";

/// Lets a version's definition list these, the first of them as the storage version.
pub(crate) fn lists(fleet: &mut Fleet, addon: &str, version: &str, versions: &[&str]) {
    let listed: Vec<_> = versions
        .iter()
        .map(|name| json!({ "name": name, "served": true, "storage": name == &versions[0] }))
        .collect();
    let value = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": CRD },
        "spec": { "group": "acme.example", "names": { "plural": "volumes" }, "versions": listed },
    });
    let object = object("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, CRD);
    let release = release(fleet, addon, version);
    let mut objects = release.manifests.objects().to_vec();
    objects.push(Manifest { object, value, file: "crds.yaml".to_owned() });
    release.manifests = ManifestSet::new(objects);
}

/// An add-on from its first version to its last, and what each lists.
fn csi(versions: &[(&str, &str, &[&str])]) -> Fleet {
    let mut fleet = fleet(&[("ant", "1.32.2", "1.32.2")]);
    let all: Vec<(&str, &str)> = versions.iter().map(|(version, on, _)| (*version, *on)).collect();
    knows(&mut fleet, "csi", &all);
    for (version, _, listed) in versions {
        lists(&mut fleet, "csi", version, listed);
    }
    has(&mut fleet, "csi", versions[0].0);
    wants(&mut fleet, "csi", versions[versions.len() - 1].0);
    fleet
}

fn set(versions: &[&str]) -> BTreeSet<String> {
    versions.iter().map(|version| (*version).to_owned()).collect()
}

/// A cluster in which this is stored.
fn stored(fleet: Fleet, storage: &str, versions: &[&str]) -> Bench {
    let mut bench = Bench::of(fleet);
    let crd = CrdState { storage: storage.to_owned(), stored: set(versions), objects: None };
    let addon = bench.state().addons.get_mut(&n("csi")).unwrap();
    addon.crds.insert(CRD.to_owned(), crd);
    bench
}

const ANY: &str = ">=1.28";

#[test]
fn what_is_stored_in_an_older_version_is_migrated_before_that_is_dropped() {
    let fleet = csi(&[("1.0.0", ANY, &["v1", "v1beta1"]), ("2.0.0", ANY, &["v1"])]);
    let bench = stored(fleet.clone(), "v1", &["v1", "v1beta1"]);
    let plan = bench.plan();
    assert_eq!(
        edges(&plan),
        ["csi migrate 1 CRD to v1 => csi 1.0.0 -> 2.0.0: \
             csi 2.0.0 does not list v1beta1 of volumes.acme.example, which is stored"],
    );
    let migration = action(&plan, |kind| matches!(kind, ActionKind::StorageMigration { .. }));
    assert_eq!(migration.reversible, Reversibility::StoredVersions);
    let why = Why::StoredVersion {
        crd: CRD.to_owned(),
        stored: "v1beta1".to_owned(),
        dropped_by: n("2.0.0"),
    };
    assert_eq!(migration.why, why);
    let guard = |versions: &[&str]| StateGuard::Stored {
        addon: n("csi"),
        crds: [(CRD.to_owned(), set(versions))].into(),
    };
    assert_eq!(*migration.expect, guard(&["v1", "v1beta1"]));
    assert_eq!(*migration.ensure, guard(&["v1"]));
    // Nothing else is stored.
    assert_eq!(stored(fleet, "v1", &["v1"]).steps(), ["csi 1.0.0 -> 2.0.0"]);
}

#[test]
fn what_stays_listed_is_not_migrated() {
    let fleet = csi(&[("1.0.0", ANY, &["v1beta1"]), ("2.0.0", ANY, &["v1", "v1beta1"])]);
    assert_eq!(Bench::of(fleet).steps(), ["csi 1.0.0 -> 2.0.0"]);
}

#[test]
fn a_version_that_stores_what_the_next_one_lists_is_gone_over() {
    let fleet = csi(&[
        ("1.0.0", ANY, &["v1beta1"]),
        ("2.0.0", ANY, &["v1", "v1beta1"]),
        ("3.0.0", ANY, &["v1"]),
    ]);
    let plan = Bench::of(fleet).plan();
    assert_eq!(
        steps(&plan),
        ["csi 1.0.0 -> 2.0.0", "csi migrate 1 CRD to v1", "csi 2.0.0 -> 3.0.0"],
    );
    let migration = action(&plan, |kind| matches!(kind, ActionKind::StorageMigration { .. }));
    let ActionKind::StorageMigration { crds, before, .. } = &migration.kind else { panic!() };
    assert_eq!((&crds[CRD].from, *before == n("3.0.0")), (&set(&["v1", "v1beta1"]), true));
}

#[test]
fn a_migration_stands_between_the_hop_before_and_the_move() {
    let mut fleet = csi(&[
        ("1.0.0", "<=1.33", &["v1beta1"]),
        ("2.0.0", "<=1.34", &["v1", "v1beta1"]),
        ("3.0.0", ">=1.33", &["v1"]),
    ]);
    ant(&mut fleet).kubernetes.value = n("1.34.5");
    ant(&mut fleet).pools.truncate(1);
    let mut bench = stored(fleet, "v1beta1", &["v1beta1"]);
    let steps = bench.steps();
    assert_eq!(
        steps,
        [
            "control-plane 1.32.2 -> 1.33.5",
            "csi 1.0.0 -> 2.0.0",
            "control-plane 1.33.5 -> 1.34.5",
            "csi migrate 1 CRD to v1",
            "csi 2.0.0 -> 3.0.0",
            "general 1.32.2 -> 1.34.5",
        ],
    );
    // Nothing but an edge keeps it behind the hop.
    let plan = bench.plan();
    let edges = edges(&plan);
    let hop = "control-plane 1.33.5 -> 1.34.5 => csi migrate 1 CRD to v1";
    assert!(edges.iter().any(|edge| edge.starts_with(hop)), "{edges:#?}");
    bench.state();
}

#[test]
fn without_such_a_version_the_finding_says_what_to_add() {
    let fleet = csi(&[
        ("1.0.0", ANY, &["v1alpha1"]),
        ("1.1.0", ANY, &["v1alpha1"]),
        ("2.0.0", ANY, &["v1beta1"]),
    ]);
    let plan = Bench::of(fleet.clone()).plan();
    assert_eq!(status(&plan, "ant"), ClusterStatus::Blocked);
    assert_eq!(codes(&plan), [Code::RF039].into());
    let found = finding(&plan, Code::RF039);
    assert_eq!(
        found.evidence,
        "objects of volumes.acme.example are stored in v1alpha1, which 2.0.0 does not list",
    );
    assert_eq!(
        found.hint,
        "add a version to addons/csi that lists v1alpha1 and stores objects in a version that \
         2.0.0 lists: objects are migrated to that one there",
    );
    // What is seen decides, not what the version's manifests say.
    let bench = stored(fleet, "v1beta1", &["v1alpha1", "v1beta1"]);
    assert_eq!(bench.steps()[0], "csi migrate 1 CRD to v1beta1");
}

#[test]
fn an_edited_version_that_drops_what_is_stored_is_no_repair() {
    let mut fleet = csi(&[("1.0.0", ANY, &["v1", "v1beta1"])]);
    let before = release(&mut fleet, "csi", "1.0.0").manifests.clone();
    let mut bench = stored(fleet, "v1", &["v1", "v1beta1"]);
    let release = release(&mut bench.fleet, "csi", "1.0.0");
    let mut objects: Vec<Manifest> = before.objects().to_vec();
    for manifest in objects.iter_mut().filter(|manifest| manifest.object.name == CRD) {
        manifest.value["spec"]["versions"].as_array_mut().unwrap().truncate(1);
    }
    release.manifests = ManifestSet::new(objects);
    assert_eq!(bench.steps(), ["csi migrate 1 CRD to v1", "csi 1.0.0 -> 1.0.0"]);
    let stored = bench.state().addons.get_mut(&n("csi")).unwrap().crds.get_mut(CRD).unwrap();
    stored.storage = "v1beta1".to_owned();
    let plan = bench.plan();
    assert_eq!(codes(&plan), [Code::RF039].into());
    let finding = &plan.findings[0];
    assert!(
        finding.evidence.ends_with("stored in v1beta1, which 1.0.0 does not list"),
        "{finding:?}"
    );
}

#[test]
fn a_definition_that_was_left_behind_counts() {
    let mut fleet = csi(&[("1.0.0", ANY, &["v1", "v1beta1"]), ("2.0.0", ANY, &["v1"])]);
    start(&mut fleet).addons.clear();
    let bench = stored(fleet, "v1", &["v1beta1", "v1"]);
    assert_eq!(bench.steps(), ["csi migrate 1 CRD to v1", "csi install 2.0.0"]);
}
