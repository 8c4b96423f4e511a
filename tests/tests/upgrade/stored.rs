//! Objects of external-snapshotter that are stored in `v1beta1`, on the way to a version whose
//! definitions list `v1` alone.
//!
//! 4.0.0 stores them in `v1beta1`. 8.6.0 stores them in `v1` and still lists `v1beta1`. No release
//! drops it yet: the last version of the test is 8.6.0 without it. Another definition has an object
//! that cannot be written back.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use refit_tests::real::{Pool, RealCluster, Spec, eventually};
use serde_json::{Value, json};

use crate::fleet::{Fleet, built, versions};
use crate::watch::requests_of;

const GROUP: &str = "snapshot.storage.k8s.io";
const OLD: &str = "4.0.0";
const BOTH: &str = "8.6.0";
const NEW: &str = "9.0.0";
const WIDGETS: &str = "/apis/example.com/v1beta1/namespaces/default/widgets";
/// More than a run writes back before it looks again.
const SNAPSHOTS: usize = 900;

const TOML: &str = "\
[[versions]]
version = \"4.0.0\"
kubernetes = \">=1.30\"

[[versions]]
version = \"8.6.0\"
kubernetes = \">=1.30\"

[[versions]]
version = \"9.0.0\"
kubernetes = \">=1.30\"
";

fn carried(version: &str) -> String {
    let file = &built().snapshotter[version];
    std::fs::read_to_string(file).expect("the definitions were written with the servers")
}

/// 8.6.0 without the version that it does not serve any more.
fn without_the_old_version() -> String {
    let mut objects: Vec<Value> =
        serde_saphyr::from_multiple(&carried(BOTH)).expect("the definitions are YAML");
    for object in &mut objects {
        let versions = object["spec"]["versions"].as_array_mut().expect("it lists versions");
        versions.retain(|version| version["name"] != "v1beta1");
        assert_eq!(versions.len(), 1);
    }
    objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")
}

fn name(number: usize) -> String {
    format!("snapshot-{number:04}")
}

/// One request that has to go well.
fn kube(cluster: &RealCluster, method: &str, path: &str, body: Option<&Value>) -> Value {
    let answer = cluster.kube(method, path, body).expect("the apiserver answers");
    assert!(answer.status < 300, "{method} {path}: {answer:?}");
    answer.body
}

fn create_objects(cluster: &RealCluster) {
    let root = format!("/apis/{GROUP}/v1beta1");
    let class = json!({
        "apiVersion": format!("{GROUP}/v1beta1"), "kind": "VolumeSnapshotClass",
        "metadata": { "name": "fast" }, "driver": "csi.example", "deletionPolicy": "Retain",
    });
    kube(cluster, "POST", &format!("{root}/volumesnapshotclasses"), Some(&class));
    for number in 0..SNAPSHOTS {
        let snapshot = json!({
            "apiVersion": format!("{GROUP}/v1beta1"), "kind": "VolumeSnapshot",
            "metadata": { "name": name(number), "labels": { "number": number.to_string() } },
            "spec": {
                "volumeSnapshotClassName": "fast",
                "source": { "persistentVolumeClaimName": format!("data-{number}") },
            },
        });
        kube(
            cluster,
            "POST",
            &format!("{root}/namespaces/default/volumesnapshots"),
            Some(&snapshot),
        );
    }
}

/// All objects in `v1`, but for what every write changes.
fn objects(cluster: &RealCluster) -> Vec<Value> {
    let mut found = Vec::new();
    for plural in ["volumesnapshotclasses", "volumesnapshots"] {
        let path = format!("/apis/{GROUP}/v1/{plural}");
        // An apiserver that is first asked in another version says 429 until it has caught up.
        let listed =
            eventually("objects are listed", Duration::from_mins(1), || cluster.list(&path).ok());
        found.extend(listed);
    }
    for object in &mut found {
        object["metadata"]["resourceVersion"].take();
    }
    found
}

/// The version that etcd has a snapshot in.
fn version_in_etcd(cluster: &RealCluster, number: usize) -> String {
    let key = format!("/registry/{GROUP}/volumesnapshots/default/{}", name(number));
    let found = cluster.admin(json!({ "do": "stored", "key": key })).expect("etcd answers");
    let text = found.as_str().expect("the snapshot is there");
    let object: Value = serde_json::from_str(text).expect("custom objects are stored as JSON");
    object["apiVersion"].as_str().unwrap_or_default().trim_start_matches(GROUP).to_owned()
}

fn stored_versions(cluster: &RealCluster, plural: &str) -> BTreeSet<String> {
    let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{GROUP}");
    let crd = kube(cluster, "GET", &path, None);
    let stored = crd["status"]["storedVersions"].as_array().expect("something is stored");
    stored.iter().filter_map(|version| version.as_str().map(str::to_owned)).collect()
}

fn set(versions: &[&str]) -> BTreeSet<String> {
    versions.iter().map(|version| (*version).to_owned()).collect()
}

fn ask(fleet: &Fleet, version: &str) {
    fleet.ask_for(&versions()[0], &[("snapshotter", version)]);
}

pub(crate) fn what_is_stored_in_an_old_version_is_migrated() {
    let spec = Spec::new("stored").pool(Pool::new("general").sizes(1, 2, 4));
    let cluster = RealCluster::start(&spec).expect("the cluster starts");
    let fleet = Fleet::new(&cluster, &["general"]);
    let new = without_the_old_version();
    let (old, both) = (carried(OLD), carried(BOTH));
    fleet.addon("snapshotter", TOML, &[(OLD, &old), (BOTH, &both), (NEW, &new)]);
    ask(&fleet, OLD);
    let granted = fleet.grant(&cluster);
    fleet.run(&["apply", "--auto-approve"]).exits(0);
    create_objects(&cluster);
    assert_eq!(version_in_etcd(&cluster, 0), "/v1beta1");
    assert_eq!(stored_versions(&cluster, "volumesnapshots"), set(&["v1beta1"]));
    let before = objects(&cluster);
    assert_eq!(before.len(), SNAPSHOTS + 1);

    the_server_refuses_to_drop_it(&cluster, &new);
    without_the_version_between_there_is_no_way(&fleet);
    ask(&fleet, NEW);
    fleet.run(&["plan"]).exits(0).says(&[
        "snapshotter",
        "4.0.0 -> 8.6.0 -> 9.0.0",
        "migrates 3 CRDs to v1 before 9.0.0",
    ]);
    one_permission_less_writes_nothing(&cluster, &fleet, &granted);
    killed_in_the_middle_it_goes_on(&cluster, &fleet);

    for plural in ["volumesnapshots", "volumesnapshotcontents", "volumesnapshotclasses"] {
        assert_eq!(stored_versions(&cluster, plural), set(&["v1"]), "{plural}");
    }
    for number in 0..SNAPSHOTS {
        assert_eq!(version_in_etcd(&cluster, number), "/v1", "{}", name(number));
    }
    assert_eq!(objects(&cluster), before, "objects are as they were");
    fleet.is_done();
    an_object_that_is_refused_is_named(&cluster, &fleet);
}

/// What the planner knows of apiservers, from one.
fn the_server_refuses_to_drop_it(cluster: &RealCluster, new: &str) {
    let objects: Vec<Value> = serde_saphyr::from_multiple(new).expect("it is YAML");
    let object = objects.iter().find(|object| object.is_object()).expect("there is one");
    let name = object["metadata"]["name"].as_str().expect("it has a name");
    let wish = json!({
        "do": "kube",
        "method": "PATCH",
        "path": format!(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?fieldManager=refit&force=true"
        ),
        "body": object,
        "content_type": "application/apply-patch+yaml",
    });
    let answer = cluster.admin(wish).expect("the apiserver answers");
    assert_eq!(answer["status"], 422, "{answer}");
    assert!(answer.to_string().contains("missing from spec.versions"), "{answer}");
}

fn without_the_version_between_there_is_no_way(fleet: &Fleet) {
    let between = "[[versions]]\nversion = \"8.6.0\"\nkubernetes = \">=1.30\"\n";
    fleet.edit("addons/snapshotter/addon.toml", between, "");
    ask(fleet, NEW);
    fleet.run(&["plan"]).exits(3).says(&["RF039", "stored in v1beta1", "9.0.0 does not list"]);
    fleet.write("addons/snapshotter/addon.toml", TOML);
}

/// Each right that only a migration takes, taken away.
fn one_permission_less_writes_nothing(cluster: &RealCluster, fleet: &Fleet, granted: &[Value]) {
    for (resource, verb, said) in [
        ("volumesnapshots", "update", "may not update volumesnapshots.snapshot.storage.k8s.io"),
        ("volumesnapshotclasses", "list", "may not list volumesnapshotclasses"),
        ("customresourcedefinitions/status", "patch", "may not patch customresourcedefinitions"),
    ] {
        let mut less = granted.to_vec();
        for rule in less[0]["rules"].as_array_mut().expect("a role has rules") {
            if rule["resources"][0] == resource {
                let verbs = rule["verbs"].as_array_mut().expect("a rule has verbs");
                verbs.retain(|found| found != verb);
                verbs.push(json!("deletecollection"));
            }
        }
        cluster.apply(&less).expect("roles can be applied");
        fleet.run(&["apply", "--auto-approve"]).exits(1).says(&[said]);
        assert_eq!(stored_versions(cluster, "volumesnapshots"), set(&["v1beta1"]));
    }
    cluster.apply(granted).expect("roles can be applied");
    let writes: Vec<_> =
        requests_of(cluster, "refit").into_iter().filter(|(verb, _)| verb == "update").collect();
    assert!(writes.iter().all(|(_, resource)| resource == "leases"), "{writes:?}");
}

fn killed_in_the_middle_it_goes_on(cluster: &RealCluster, fleet: &Fleet) {
    let mut command = fleet.command(&["apply", "--auto-approve"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("refit starts");
    eventually("the first object is written back", Duration::from_mins(3), || {
        (version_in_etcd(cluster, 0) == "/v1").then_some(())
    });
    child.kill().expect("a child can be killed");
    child.wait().expect("a child that was killed ends");
    assert_eq!(version_in_etcd(cluster, SNAPSHOTS - 1), "/v1beta1", "it was at work");
    assert_eq!(stored_versions(cluster, "volumesnapshots"), set(&["v1", "v1beta1"]));
    fleet.run(&["status"]).says(&["snapshotter migrate 3 CRDs to v1"]);
    fleet.run(&["apply", "--auto-approve", "--lock-timeout", "2m"]).exits(0);
}

/// A definition that lists these versions.
fn widgets(versions: &[&str], storage: &str) -> String {
    let version = |name: &&str| {
        let size = json!({ "size": { "type": "integer" } });
        let spec = json!({ "type": "object", "properties": size });
        let object = json!({ "type": "object", "properties": { "spec": spec } });
        json!({
            "name": name, "served": true, "storage": *name == storage,
            "schema": { "openAPIV3Schema": object },
        })
    };
    let names = json!({
        "plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList",
    });
    let versions: Vec<Value> = versions.iter().map(version).collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "widgets.example.com" },
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": names, "versions": versions,
        },
    })
    .to_string()
}

/// Every widget must have a size. An apiserver holds what a definition's own schema says only against
/// what a write changes, and a policy against every write.
fn widgets_have_a_size(cluster: &RealCluster, widget: &Value) {
    let root = "/apis/admissionregistration.k8s.io/v1";
    let rule = json!({
        "apiGroups": ["example.com"], "apiVersions": ["*"], "operations": ["UPDATE"],
        "resources": ["widgets"],
    });
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "sizes" },
        "spec": {
            "matchConstraints": { "resourceRules": [rule] },
            "validations": [{ "expression": "has(object.spec.size)", "message": "no size" }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "sizes" },
        "spec": { "policyName": "sizes", "validationActions": ["Deny"] },
    });
    kube(cluster, "POST", &format!("{root}/validatingadmissionpolicies"), Some(&policy));
    kube(cluster, "POST", &format!("{root}/validatingadmissionpolicybindings"), Some(&binding));
    let try_it = format!("{WIDGETS}/small?dryRun=All");
    let refused = || {
        let answer = cluster.kube("PUT", &try_it, Some(widget)).expect("the apiserver answers");
        answer.status == 422
    };
    // Each apiserver learns of it by itself.
    eventually("the policy holds", Duration::from_mins(1), || {
        (0..12).all(|_| refused()).then_some(())
    });
}

/// The migration stops at an object that the apiserver does not take back, says which, and goes on
/// once it was corrected.
fn an_object_that_is_refused_is_named(cluster: &RealCluster, fleet: &Fleet) {
    let carried = [
        ("4.0.0", widgets(&["v1beta1"], "v1beta1")),
        ("8.6.0", widgets(&["v1beta1", "v1"], "v1")),
        ("9.0.0", widgets(&["v1"], "v1")),
    ];
    let carried: Vec<_> = carried.iter().map(|(version, text)| (*version, text.as_str())).collect();
    fleet.addon("widgets", TOML, &carried);
    let ask = |version| {
        fleet.ask_for(&versions()[0], &[("snapshotter", NEW), ("widgets", version)]);
    };
    ask(OLD);
    fleet.grant(cluster);
    fleet.run(&["apply", "--auto-approve"]).exits(0);
    let widget = json!({
        "apiVersion": "example.com/v1beta1", "kind": "Widget",
        "metadata": { "name": "small" }, "spec": {},
    });
    let mut widget = kube(cluster, "POST", WIDGETS, Some(&widget));
    widgets_have_a_size(cluster, &widget);
    ask(NEW);
    fleet.run(&["apply", "--auto-approve"]).exits(6).says(&[
        "write default/small of widgets.example.com back",
        "no size",
        "correct the object or delete it, then go on",
    ]);
    widget["spec"]["size"] = json!(1);
    kube(cluster, "PUT", &format!("{WIDGETS}/small"), Some(&widget));
    fleet.run(&["apply", "--auto-approve"]).exits(0);
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
    let definition = kube(cluster, "GET", path, None);
    assert_eq!(definition["status"]["storedVersions"], json!(["v1"]));
    fleet.is_done();
}
