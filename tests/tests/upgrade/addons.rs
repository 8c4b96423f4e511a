//! Add-ons: a copy that kubectl installed, fields and objects that a version drops, other hands.

use refit_tests::real::{Pool, RealCluster, Spec};
use serde_json::{Value, json};

use crate::fleet::{Fleet, versions};

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/tools/deployments/gadget";
const TOML: &str = "\
[detect]
workload = \"Deployment/tools/gadget\"
container = \"gadget\"

[[versions]]
version = \"1.0.0\"
kubernetes = \">=1.30\"

[[versions]]
version = \"2.0.0\"
kubernetes = \">=1.30\"
";

/// Version 2 has no environment and no ConfigMap any more.
fn manifests(version: &str) -> String {
    let two = version.starts_with('2');
    let env = if two { "" } else { "\n          env: [{name: MODE, value: old}]" };
    let config = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: gadget, namespace: tools}\n\
                  data: {mode: old}\n";
    format!(
        "\
apiVersion: v1
kind: Namespace
metadata: {{name: tools}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: gadget, namespace: tools}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: gadget}}}}
  template:
    metadata: {{labels: {{app: gadget}}}}
    spec:
      containers:
        - name: gadget
          image: registry.example/gadget:v{version}{env}
{}",
        if two { "" } else { config }
    )
}

fn objects(version: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&manifests(version)).expect("the manifests are YAML")
}

fn container(cluster: &RealCluster) -> Value {
    let answer = cluster.kube("GET", DEPLOYMENT, None).expect("the apiserver answers");
    answer.body["spec"]["template"]["spec"]["containers"][0].clone()
}

fn start(name: &str) -> (RealCluster, Fleet) {
    let spec = Spec::new(name).pool(Pool::new("general").sizes(1, 2, 4));
    let cluster = RealCluster::start(&spec).expect("the cluster starts");
    let fleet = Fleet::new(&cluster, &["general"]);
    let all: Vec<(&str, String)> = ["1.0.0", "2.0.0"].map(|v| (v, manifests(v))).to_vec();
    let all: Vec<(&str, &str)> =
        all.iter().map(|(version, text)| (*version, text.as_str())).collect();
    fleet.addon("gadget", TOML, &all);
    ask(&fleet, "1.0.0");
    fleet.grant(&cluster);
    (cluster, fleet)
}

fn ask(fleet: &Fleet, version: &str) {
    fleet.ask_for(&versions()[0], &[("gadget", version)]);
}

/// Somebody merges this into the Deployment, in the name of a manager.
fn merge(cluster: &RealCluster, manager: &str, patch: &Value) {
    let wish = json!({
        "do": "kube",
        "method": "PATCH",
        "path": format!("{DEPLOYMENT}?fieldManager={manager}"),
        "body": patch,
        "content_type": "application/merge-patch+json",
    });
    let answer = cluster.admin(wish).expect("the apiserver answers");
    assert_eq!(answer["status"], 200, "{answer}");
}

pub(crate) fn add_ons_of_other_hands() {
    let (cluster, fleet) = start("hands");
    a_copy_of_kubectl_is_adopted(&cluster, &fleet);
    a_version_drops_fields_and_objects(&cluster, &fleet);
    a_change_by_hand_is_drift(&cluster, &fleet);
    a_manager_at_work_blocks(&cluster, &fleet);
    a_broken_api_service_stops_nothing(&cluster, &fleet);
}

fn a_copy_of_kubectl_is_adopted(cluster: &RealCluster, fleet: &Fleet) {
    cluster.apply(&objects("1.0.0")).expect("kubectl applies");
    fleet.run(&["plan"]).exits(0).says(&["gadget", "adopt", "kubectl"]);
    let before = container(cluster);
    fleet.run(&["apply", "--auto-approve"]).exits(0);
    assert_eq!(container(cluster), before, "adopting changes nothing that runs");
    let answer = cluster.kube("GET", DEPLOYMENT, None).expect("the apiserver answers");
    let managers: Vec<&str> = answer.body["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|entry| entry["subresource"].is_null())
        .filter_map(|entry| entry["manager"].as_str())
        .collect();
    assert!(managers.contains(&"refit") && !managers.contains(&"kubectl"), "{managers:?}");
    fleet.is_done();
}

fn a_version_drops_fields_and_objects(cluster: &RealCluster, fleet: &Fleet) {
    assert!(!container(cluster)["env"].is_null());
    ask(fleet, "2.0.0");
    let plan = fleet.run(&["plan", "--diff"]).exits(0);
    plan.says(&["gadget", "1.0.0 -> 2.0.0", "deletes 1 object", "-data:", "MODE"]);
    fleet.run(&["apply", "--auto-approve"]).exits(0);
    let container = container(cluster);
    assert_eq!(container["image"], "registry.example/gadget:v2.0.0");
    assert!(container["env"].is_null(), "kubectl's field is refit's now, and goes: {container}");
    let path = "/api/v1/namespaces/tools/configmaps/gadget";
    assert_eq!(cluster.kube("GET", path, None).expect("the apiserver answers").status, 404);
    fleet.is_done();
}

fn a_change_by_hand_is_drift(cluster: &RealCluster, fleet: &Fleet) {
    let image = |image: &str| {
        json!({ "spec": { "template": { "spec": { "containers": [
            { "name": "gadget", "image": image },
        ] } } } })
    };
    merge(cluster, "kubectl-edit", &image("registry.example/gadget:hotfix"));
    fleet.run(&["plan", "--diff"]).exits(0).says(&[
        "gadget",
        "kubectl-edit",
        "-",
        "registry.example/gadget:hotfix",
    ]);
    fleet.run(&["apply", "--auto-approve"]).exits(0);
    assert_eq!(container(cluster)["image"], "registry.example/gadget:v2.0.0");
    // What nobody declares is nobody's drift.
    merge(cluster, "hpa", &json!({ "metadata": { "annotations": { "note": "mine" } } }));
    fleet.is_done();
}

/// A copy that Argo CD keeps is not taken over.
fn a_manager_at_work_blocks(cluster: &RealCluster, fleet: &Fleet) {
    fleet.ask_for(&versions()[0], &[]);
    fleet.edit(
        "addons/gadget/addon.toml",
        "[detect]",
        "[addon]\nprune = [\"Namespace\"]\n\n[detect]",
    );
    fleet.run(&["apply", "--auto-approve"]).exits(0);
    let gone = || cluster.kube("GET", "/api/v1/namespaces/tools", None).map(|answer| answer.status);
    refit_tests::real::eventually(
        "the namespace is gone",
        std::time::Duration::from_mins(1),
        || gone().ok().filter(|status| *status == 404),
    );
    let wish =
        json!({ "do": "apply", "objects": objects("1.0.0"), "manager": "argocd-controller" });
    cluster.admin(wish).expect("Argo CD applies");
    ask(fleet, "2.0.0");
    fleet.run(&["plan"]).exits(3).says(&["RF020", "gadget", "argocd"]);
    fleet.run(&["apply", "--auto-approve"]).exits(3);
    assert_eq!(container(cluster)["image"], "registry.example/gadget:v1.0.0");
}

/// Nothing serves it, and nothing asks for it.
fn a_broken_api_service_stops_nothing(cluster: &RealCluster, fleet: &Fleet) {
    let broken = json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": { "name": "v1beta1.metrics.k8s.io" },
        "spec": {
            "group": "metrics.k8s.io", "version": "v1beta1", "insecureSkipTLSVerify": true,
            "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": { "name": "nobody", "namespace": "kube-system" },
        },
    });
    cluster.apply(&[broken]).expect("it can be registered");
    fleet.ask_for(&versions()[0], &[]);
    fleet.is_done();
}
