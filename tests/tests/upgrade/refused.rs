//! Bad days that a plan sees: nothing is begun, and somebody is told what to do.

use std::fs;

use refit_tests::real::{Pool, RealCluster, Spec};
use serde_json::{Value, json};

use crate::access::every_way_in;
use crate::fleet::{Fleet, versions};
use crate::watch::requests_of;

fn file_of(cluster: &RealCluster) -> String {
    format!("clusters/{}.toml", cluster.name)
}

pub(crate) fn what_a_plan_foresees() {
    let spec = Spec::new("bad").pool(Pool::new("general").sizes(1, 2, 4)).fixture("deployments");
    let cluster = RealCluster::start(&spec).expect("the cluster starts");
    let fleet = Fleet::new(&cluster, &["general"]);
    fleet.ask_for(&versions()[1], &[]);
    fleet.grant(&cluster);
    fleet.run(&["plan"]).exits(0);

    every_way_in(&cluster, &fleet);
    nobody_answers(&cluster);
    another_cluster(&fleet);
    names_of_nothing(&cluster, &fleet);
    the_state_cannot_be_kept(&fleet);
    two_budgets_over_one_pod(&cluster, &fleet);
    a_budget_of_zero(&cluster, &fleet);
    a_hook_that_holds(&cluster, &fleet);
    no_template(&cluster, &fleet);

    let writes: Vec<_> = requests_of(&cluster, "refit")
        .into_iter()
        .filter(|(verb, resource)| {
            !["get", "list"].contains(&verb.as_str()) && resource != "selfsubjectaccessreviews"
        })
        .collect();
    assert!(writes.is_empty(), "{writes:?}");
}

/// A fleet of its own, whose kubeconfig something is wrong with.
fn nobody_answers(cluster: &RealCluster) {
    let text = fs::read_to_string(&cluster.kubeconfig_refit).expect("there is a kubeconfig");
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).expect("it is YAML");
    let server = kubeconfig["clusters"][0]["cluster"]["server"].clone();
    let fleet = Fleet::new(cluster, &["general"]);
    fleet.ask_for(&versions()[1], &[]);
    let plan = |kubeconfig: &Value| {
        fleet.write("kubeconfig", &kubeconfig.to_string());
        fleet.run(&["plan", "--kubeconfig", "kubeconfig"])
    };
    plan(&kubeconfig).exits(0);

    kubeconfig["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1".into();
    plan(&kubeconfig).exits(3).says(&["RF001", "bad: could not be read", "Connection refused"]);
    kubeconfig["clusters"][0]["cluster"]["server"] = server;

    kubeconfig["users"][0]["user"]["token"] = "made-up".into();
    plan(&kubeconfig).exits(3).says(&["RF001", "the kubeconfig's credentials are not accepted"]);

    let wish = json!({
        "do": "kubeconfig_by_certificate", "user": "refit", "groups": [], "days": -1,
    });
    let expired = cluster.admin(wish).expect("a certificate can be made");
    let expired = expired.as_str().expect("it is a path");
    fleet
        .run(&["plan", "--kubeconfig", expired])
        .exits(3)
        .says(&["RF001", "the kubeconfig's credentials are not accepted"]);

    kubeconfig["contexts"][0]["name"] = "elsewhere".into();
    plan(&kubeconfig).exits(3).says(&["RF001", "no context `bad`", "elsewhere"]);
    fleet.write("kubeconfig", "clusters: {");
    fleet.run(&["plan", "--kubeconfig", "kubeconfig"]).exits(1).says(&["kubeconfig"]);
    fleet.run(&["plan", "--kubeconfig", "nowhere"]).exits(1).says(&["nowhere"]);
}

/// The context leads to another cluster than the one that the plan was made for.
fn another_cluster(fleet: &Fleet) {
    fleet.run(&["observe", "-o", "seen.json"]).exits(0);
    let text = fs::read_to_string(fleet.path().join("seen.json")).expect("it was saved");
    let mut seen: Value = serde_json::from_str(&text).expect("it is JSON");
    let identity = &mut seen["clusters"]["bad"]["fresh"]["identity"];
    assert!(identity["uid"].is_string(), "{text:.300}");
    identity["uid"] = "somebody-else".into();
    fleet.write("other.json", &seen.to_string());
    fleet.run(&["plan", "--snapshot", "other.json", "-o", "other.plan"]).exits(0);
    fleet.run(&["apply", "other.plan"]).exits(5).says(&["bad", "nothing was done"]);
}

fn names_of_nothing(cluster: &RealCluster, fleet: &Fleet) {
    let file = file_of(cluster);
    fleet.edit(&file, "general.bad", "nothing.bad");
    fleet.run(&["plan"]).exits(3).says(&["RF005", "nothing.bad", "does not exist"]);
    fleet.edit(&file, "nothing.bad", "general.bad");
    fleet.edit(&file, "k8s-{version}-x86_64-*", "mine-{version}-*");
    fleet.run(&["plan"]).exits(3).says(&["RF007", "mine-{version}-*", "1.36.3"]);
    fleet.edit(&file, "mine-{version}-*", "k8s-{version}-x86_64-*");
    fleet.run(&["plan"]).exits(0);
}

/// Where the state is to be kept is no directory, or nothing fits into it.
fn the_state_cannot_be_kept(fleet: &Fleet) {
    let state = fleet.path().join("state");
    if state.exists() {
        fs::remove_dir_all(&state).expect("it can be removed");
    }
    fleet.write("state", "a file");
    fleet.run(&["apply", "--auto-approve"]).exits(1).says(&["state"]);
    fs::remove_file(&state).expect("it can be removed");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/proc/self", &state).expect("a link can be made");
        fleet.run(&["apply", "--auto-approve"]).exits(1).says(&["state"]);
        fs::remove_file(&state).expect("it can be removed");
    }
}

fn budget(name: &str, app: &str, unavailable: u32) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": {
            "maxUnavailable": unavailable, "selector": { "matchLabels": { "app": app } },
        },
    })
}

fn two_budgets_over_one_pod(cluster: &RealCluster, fleet: &Fleet) {
    cluster.apply(&[budget("web-too", "web", 1)]).expect("it can be applied");
    fleet.run(&["plan"]).exits(3).says(&["shop/web", "web-too", "RF0"]);
    let path = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/web-too";
    cluster.kube("DELETE", path, None).expect("it can be deleted");
    fleet.run(&["plan"]).exits(0);
}

fn a_budget_of_zero(cluster: &RealCluster, fleet: &Fleet) {
    cluster.fixture("zero-budget").expect("it can be applied");
    refit_tests::real::eventually("pods", std::time::Duration::from_mins(1), || {
        let found = cluster.list("/api/v1/namespaces/shop/pods?labelSelector=app%3Dledger");
        found
            .ok()
            .filter(|pods| pods.iter().filter(|p| p["spec"]["nodeName"].is_string()).count() == 2)
    });
    fleet.run(&["plan"]).exits(3).says(&["shop/ledger", "RF0"]);
    fleet.run(&["apply", "--auto-approve"]).exits(3);
}

/// A lifecycle hook that nobody may complete for longer than the roll waits: a warning.
fn a_hook_that_holds(cluster: &RealCluster, fleet: &Fleet) {
    let hook = json!({ "AutoScalingGroupName": "general.bad", "LifecycleHookName": "join" });
    let path = "/apis/apps/v1/namespaces/shop/deployments/ledger";
    cluster.kube("DELETE", path, None).expect("it can be deleted");
    let path = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/ledger";
    cluster.kube("DELETE", path, None).expect("it can be deleted");
    let mut put = hook.clone();
    put["LifecycleTransition"] = json!("autoscaling:EC2_INSTANCE_LAUNCHING");
    put["HeartbeatTimeout"] = json!(7200);
    cluster.aws("autoscaling", "PutLifecycleHook", &put).expect("it can be put");
    let said = ["RF038", "general.bad", "`join`", "2h"];
    fleet.run(&["plan"]).exits(0).says(&said);
    cluster.aws("autoscaling", "DeleteLifecycleHook", &hook).expect("it can be deleted");
    assert!(!fleet.run(&["plan"]).exits(0).stdout.contains("RF038"));
}

/// Somebody has deleted the launch template of a group.
fn no_template(cluster: &RealCluster, fleet: &Fleet) {
    let group = cluster.group("general.bad").expect("there is the group");
    let template = &group["LaunchTemplate"]["LaunchTemplateId"];
    assert!(template.is_string(), "{group}");
    let asked = json!({ "LaunchTemplateId": template });
    cluster.aws("ec2", "DeleteLaunchTemplate", &asked).expect("it can be deleted");
    fleet.run(&["plan"]).exits(3).says(&[
        "RF006",
        "general.bad",
        "a launch template that does not exist",
    ]);
}
