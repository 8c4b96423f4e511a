//! Bad days in the middle of a run: it ends in time, says why, leaves the world no worse, and the
//! same command goes on when the day is better.

use std::time::Duration;

use refit_tests::real::{Pool, RealCluster, Spec, eventually};
use serde_json::{Value, json};

use crate::fleet::{Fleet, Ran, binary, versions};
use crate::watch::{settings, watched};

fn start(name: &str, fixture: &str) -> (RealCluster, Fleet) {
    let spec = Spec::new(name).pool(Pool::new("general").sizes(1, 3, 6)).fixture(fixture);
    let cluster = RealCluster::start(&spec).expect("the cluster starts");
    let fleet = Fleet::new(&cluster, &["general"]);
    let file = format!("clusters/{name}.toml");
    for _ in 0..2 {
        fleet.edit(&file, "node-ready-timeout = \"2m\"", "node-ready-timeout = \"40s\"");
    }
    fleet.grant(&cluster);
    (cluster, fleet)
}

fn tell(cluster: &RealCluster, wish: Value) {
    cluster.admin(wish).expect("the world can be told");
}

/// The workers and what they run.
fn workers(cluster: &RealCluster) -> Vec<(String, String, bool)> {
    let nodes = cluster.list("/api/v1/nodes").expect("nodes are listed");
    nodes
        .iter()
        .filter(|node| !node["metadata"]["labels"]["refit.test/pool"].is_null())
        .map(|node| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (
                text(&node["metadata"]["name"]),
                text(&node["status"]["nodeInfo"]["kubeletVersion"]),
                node["spec"]["unschedulable"] == true,
            )
        })
        .collect()
}

pub(crate) fn machines_that_do_not_come() {
    let (cluster, fleet) = start("come", "deployments");
    let [oldest, next, _] = &versions()[..] else { panic!("three versions") };
    fleet.ask_for(next, &[]);

    // A member of etcd that stays away: one instance of the control plane is changed, not two.
    tell(&cluster, json!({ "do": "etcd_stays_down", "down": true }));
    let (ran, seen) = watched(&cluster, || fleet.run(&["apply", "--auto-approve"]));
    assert!(matches!(ran.code, Some(1 | 6)), "{}", ran.text());
    let ran = ran.says(&["etcd"]);
    assert!(seen.wrong.is_empty(), "{:#?}\n{}", seen.wrong, ran.text());
    let versions = cluster.api_server_versions().expect("apiservers answer");
    let changed = versions.values().filter(|version| version.trim_start_matches('v') == next);
    assert_eq!((versions.len(), changed.count()), (3, 1), "{versions:?}");
    tell(&cluster, json!({ "do": "etcd_stays_down", "down": false }));
    heal_etcd(&cluster);

    // The zone has no capacity.
    let general = cluster.group_of("general");
    let before = settings(&cluster, std::slice::from_ref(&general));
    tell(&cluster, json!({ "do": "capacity", "allowed": 0, "group": general }));
    let (ran, seen) = watched(&cluster, || fleet.run(&["apply", "--auto-approve"]));
    assert_eq!(ran.code, Some(6), "{}", ran.text());
    let ran = ran.says(&[&general]);
    assert!(seen.wrong.is_empty(), "{:#?}\n{}", seen.wrong, ran.text());
    tell(&cluster, json!({ "do": "capacity", "allowed": null, "group": general }));
    let old = workers(&cluster);
    assert!(old.iter().all(|(_, kubelet, cordoned)| kubelet.ends_with(oldest) && !cordoned));

    // An instance that comes and never becomes a Ready node.
    tell(&cluster, json!({ "do": "nodes_never_ready", "pools": ["general"] }));
    let (ran, seen) = watched(&cluster, || fleet.run(&["apply", "--auto-approve"]));
    assert!(matches!(ran.code, Some(1 | 6)), "{}", ran.text());
    let ran = ran.says(&["Ready"]);
    assert!(seen.wrong.is_empty(), "{:#?}\n{}", seen.wrong, ran.text());
    tell(&cluster, json!({ "do": "nodes_never_ready", "pools": [] }));

    let (ran, seen) = watched(&cluster, || fleet.run(&["apply", "--auto-approve"]));
    let ran = ran.exits(0);
    assert!(seen.wrong.is_empty(), "{:#?}\n{}", seen.wrong, ran.text());
    assert_eq!(settings(&cluster, &[general]), before);
    fleet.is_done();
}

/// What somebody would do about a member that stays away.
fn heal_etcd(cluster: &RealCluster) {
    let nodes = cluster.list("/api/v1/namespaces/kube-system/pods").expect("pods are listed");
    for pod in nodes {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if name.starts_with("etcd-") && !is_ready(&pod) {
            let path = format!("/api/v1/namespaces/kube-system/pods/{name}");
            cluster.kube("DELETE", &path, None).expect("it can be deleted");
        }
    }
    eventually("three members of etcd", Duration::from_mins(1), || {
        let pods = cluster.list("/api/v1/namespaces/kube-system/pods").ok()?;
        let ready = pods.iter().filter(|pod| {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            name.starts_with("etcd-") && is_ready(pod)
        });
        (ready.count() == 3).then_some(())
    });
}

/// Two pods that no budget protects, and that run on the old nodes only: the first one that is
/// evicted does not come back, and the second is not touched.
pub(crate) fn a_workload_that_does_not_come_back_stops_the_roll() {
    let (cluster, fleet) = start("pair", "deployments");
    for (name, _, _) in workers(&cluster).into_iter().take(2) {
        tell(
            &cluster,
            json!({
                "do": "kube", "method": "PATCH", "path": format!("/api/v1/nodes/{name}"),
                "body": { "metadata": { "labels": { "old": "yes" } } },
                "content_type": "application/merge-patch+json",
            }),
        );
    }
    let labels = json!({ "app": "pair" });
    let pair = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "pair", "namespace": "shop" },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "nodeSelector": { "old": "yes" },
                    "affinity": { "podAntiAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [{
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": { "matchLabels": labels },
                        }],
                    } },
                    "containers": [{ "name": "pair", "image": "registry.example/pair:1.0" }],
                },
            },
        },
    });
    cluster.apply(&[pair]).expect("it can be applied");
    let ready = || {
        let path = "/apis/apps/v1/namespaces/shop/deployments/pair";
        let answer = cluster.kube("GET", path, None).expect("the apiserver answers");
        answer.body["status"]["readyReplicas"].as_u64().unwrap_or(0)
    };
    eventually("two pods on two nodes", Duration::from_mins(1), || (ready() == 2).then_some(()));
    let next = &versions()[1];
    fleet.ask_for(next, &[]);
    let (ran, seen) = watched(&cluster, || fleet.run(&["apply", "--auto-approve"]));
    assert!(matches!(ran.code, Some(1 | 6)), "{}", ran.text());
    let ran = ran.says(&["shop/pair"]);
    assert!(seen.wrong.is_empty(), "{:#?}", seen.wrong);
    assert_eq!(ready(), 1, "the second one still runs\n{}", ran.text());
    assert!(workers(&cluster).iter().any(|(_, kubelet, _)| !kubelet.ends_with(next.as_str())));
    assert_eq!(workers(&cluster).iter().filter(|(_, _, cordoned)| *cordoned).count(), 0);
}

/// The kubelet of a node dies while its machine runs on, with a volume attached to it: kwok plays
/// it no more. The machine is terminated after its time, the taint that has its volume detached
/// leaves the taints of others alone, and the roll ends.
pub(crate) fn a_node_whose_kubelet_is_dead_is_replaced() {
    const SILENT: &str = r#"{ "metadata": { "labels": { "kwok.x-k8s.io/node": null } } }"#;
    let (cluster, fleet) = start("silent", "statefulset");
    let general = "name = \"general\"\n";
    let bound = format!("{general}unreachable-timeout = \"1m\"\n");
    fleet.edit("clusters/silent.toml", general, &bound);
    fleet.ask_for(&versions()[1], &[]);
    let path = "/api/v1/namespaces/data/pods/store-0";
    let pod = eventually("the pod of a volume", Duration::from_mins(2), || {
        let pod = cluster.kube("GET", path, None).ok()?.body;
        is_ready(&pod).then_some(pod)
    });
    let node = format!("/api/v1/nodes/{}", pod["spec"]["nodeName"].as_str().expect("it has one"));
    let patch = |body: Value| {
        tell(
            &cluster,
            json!({
                "do": "kube", "method": "PATCH", "path": node, "body": body,
                "content_type": "application/merge-patch+json",
            }),
        );
    };
    let foreign = json!({ "key": "example.org/team", "value": "a", "effect": "PreferNoSchedule" });
    patch(json!({ "spec": { "taints": [foreign] } }));
    patch(serde_json::from_str(SILENT).expect("it is JSON"));
    eventually("the node to be unreachable", Duration::from_mins(3), || {
        let found = cluster.kube("GET", &node, None).ok()?.body;
        (!is_ready(&found)).then_some(())
    });
    let plan = fleet.run(&["plan"]).exits(0);
    plan.says(&["RF051"]);

    let ((ran, taints), seen) = watched(&cluster, || {
        std::thread::scope(|scope| {
            let run = scope.spawn(|| fleet.run(&["apply", "--auto-approve"]));
            let taints = eventually("the taint", Duration::from_mins(10), || {
                let found = cluster.kube("GET", &node, None).ok()?.body;
                let taints = found["spec"]["taints"].as_array().cloned().unwrap_or_default();
                let out = "node.kubernetes.io/out-of-service";
                taints.iter().any(|taint| taint["key"] == out).then_some(taints)
            });
            (run.join().expect("it ends"), taints)
        })
    });
    let ran = ran.exits(0);
    assert!(taints.contains(&foreign), "{taints:#?}");
    assert!(seen.wrong.is_empty(), "{:#?}\n{}", seen.wrong, ran.text());
    assert!(is_ready(&cluster.kube("GET", path, None).expect("the apiserver answers").body));
    fleet.is_done();
}

fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|each| each["type"] == "Ready" && each["status"] == "True")
}

/// Throttled, answers lost after the effect, an instance that the group replaces, an operator who
/// cordons a node and raises desired: it ends all the same, and what others did stays.
pub(crate) fn a_rough_road_ends() {
    let (cluster, fleet) = start("rough", "deployments");
    let next = &versions()[1];
    fleet.ask_for(next, &[]);
    tell(&cluster, json!({ "do": "throttle", "action": "DescribeAutoScalingGroups", "times": 2 }));
    fleet.run(&["plan"]).exits(0);
    for action in [
        "CreateLaunchTemplateVersion",
        "UpdateAutoScalingGroup",
        "SetDesiredCapacity",
        "TerminateInstanceInAutoScalingGroup",
        "DeregisterTargets",
    ] {
        tell(&cluster, json!({ "do": "lose", "action": action, "times": 1 }));
    }
    tell(&cluster, json!({ "do": "throttle", "action": "*", "times": 3 }));
    tell(&cluster, json!({ "do": "stale", "action": "DescribeAutoScalingGroups", "times": 3 }));
    let general = cluster.group_of("general");
    let old: Vec<String> = workers(&cluster).into_iter().map(|(name, _, _)| name).collect();
    let ((ran, cordoned), seen) = watched(&cluster, || {
        std::thread::scope(|scope| {
            let run = scope.spawn(|| fleet.run(&["apply", "--auto-approve"]));
            // When the nodes are being rolled, the others come.
            eventually("the first new node", Duration::from_mins(6), || {
                let workers = workers(&cluster);
                workers.iter().any(|(_, kubelet, _)| kubelet.ends_with(next.as_str())).then_some(())
            });
            let victim = &old[old.len() - 1];
            let _ = cluster.aws(
                "autoscaling",
                "TerminateInstanceInAutoScalingGroup",
                &json!({ "InstanceId": victim, "ShouldDecrementDesiredCapacity": false }),
            );
            let cordoned = workers(&cluster)
                .into_iter()
                .find(|(_, kubelet, cordoned)| kubelet.ends_with(next.as_str()) && !cordoned)
                .map(|(name, _, _)| name)
                .expect("there is a new node");
            tell(
                &cluster,
                json!({
                    "do": "kube", "method": "PATCH", "path": format!("/api/v1/nodes/{cordoned}"),
                    "body": { "spec": { "unschedulable": true } },
                    "content_type": "application/merge-patch+json",
                }),
            );
            (run.join().expect("refit ends"), cordoned)
        })
    });
    // Whether an instance ends in the middle of a drain is chance: then it says so, and goes on.
    let ran =
        if ran.code == Some(0) { ran } else { fleet.run(&["apply", "--auto-approve"]).exits(0) };
    // The instance that somebody ended took its pods with it, budget or not.
    let wrong: Vec<&String> =
        seen.wrong.iter().filter(|text| !text.starts_with("budget")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", ran.text());
    let after = workers(&cluster);
    assert!(after.iter().all(|(_, kubelet, _)| kubelet.ends_with(next.as_str())), "{after:?}");
    for (name, _, is_cordoned) in &after {
        assert_eq!(*is_cordoned, *name == cordoned, "{after:?}, {cordoned} by hand");
    }
    let settings = settings(&cluster, &[general]);
    assert_eq!(settings[0]["sizes"], json!([1, 3, 6]));
    assert_eq!(settings[0]["protected"], 0);
    fleet.is_done();
}

/// A disk that is full when the run has to keep what it is about to do; a role that loses the right
/// to evict in the middle of a roll. Both times it ends and says so, nodes take pods again, and the
/// same command goes on.
pub(crate) fn a_full_disk_and_a_right_that_is_taken_away() {
    let (cluster, fleet) = start("taken", "deployments");
    let next = &versions()[1];
    fleet.ask_for(next, &[]);
    let groups = [cluster.group_of("general")];
    let before = settings(&cluster, &groups);

    let ran = on_a_full_disk(&fleet);
    assert!(matches!(ran.code, Some(1 | 6)), "{}", ran.text());
    let ran = ran.says(&["the journal could not be written", "File too large"]);
    assert!(workers(&cluster).iter().all(|(_, _, cordoned)| !cordoned), "{}", ran.text());

    let (ran, seen) = watched(&cluster, || {
        std::thread::scope(|scope| {
            let run = scope.spawn(|| fleet.run(&["apply", "--auto-approve"]));
            eventually("the first new node", Duration::from_mins(6), || {
                let workers = workers(&cluster);
                workers.iter().any(|(_, kubelet, _)| kubelet.ends_with(next.as_str())).then_some(())
            });
            no_evictions(&cluster);
            run.join().expect("refit ends")
        })
    });
    assert!(matches!(ran.code, Some(1 | 6)), "{}", ran.text());
    let ran = ran.says(&["evict", "cannot create resource \"pods/eviction\""]);
    assert!(seen.wrong.is_empty(), "{:#?}\n{}", seen.wrong, ran.text());
    let left = workers(&cluster);
    assert!(left.iter().all(|(_, _, cordoned)| !cordoned), "{left:?}\n{}", ran.text());
    assert!(left.iter().any(|(_, kubelet, _)| !kubelet.ends_with(next.as_str())), "{left:?}");

    fleet.grant(&cluster);
    let (ran, seen) = watched(&cluster, || fleet.run(&["apply", "--auto-approve"]));
    let ran = ran.exits(0);
    assert!(seen.wrong.is_empty(), "{:#?}\n{}", seen.wrong, ran.text());
    assert_eq!(settings(&cluster, &groups), before);
    fleet.is_done();
}

/// An apply whose files may not grow past so much that it begins, and cannot end.
fn on_a_full_disk(fleet: &Fleet) -> Ran {
    for blocks in (24..80).step_by(8) {
        let mut full = std::process::Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" apply --auto-approve");
        full.args(["-c", &script]).arg(binary());
        let ran = fleet.in_its_place(full);
        if ran.stderr.contains("starts") {
            return ran;
        }
        // Not even the plan fitted.
        assert!(ran.code == Some(1) && ran.stderr.contains("File too large"), "{}", ran.text());
    }
    panic!("it never began");
}

/// Takes the right to evict out of every role that refit has.
fn no_evictions(cluster: &RealCluster) {
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let roles = cluster.list(path).expect("roles are listed");
    let mut taken = 0;
    for role in roles {
        let name = role["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let rules = role["rules"].as_array().cloned().unwrap_or_default();
        let evicts = |rule: &Value| {
            let resources = rule["resources"].as_array().cloned().unwrap_or_default();
            resources.iter().any(|resource| resource == "pods/eviction")
        };
        if !name.starts_with("refit") || !rules.iter().any(evicts) {
            continue;
        }
        let kept: Vec<&Value> = rules.iter().filter(|rule| !evicts(rule)).collect();
        tell(
            cluster,
            json!({
                "do": "kube", "method": "PATCH", "path": format!("{path}/{name}"),
                "body": { "rules": kept }, "content_type": "application/merge-patch+json",
            }),
        );
        taken += 1;
    }
    assert!(taken > 0, "no role of refit's may evict");
}
