//! Worker nodes: what happens to instances is seen in Kubernetes, and disruption is refused there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use refit_tests::real::{Pool, RealCluster, Spec, eventually, wanted};
use serde_json::json;

fn start() -> RealCluster {
    let spec = Spec::new("workers").without_control_plane();
    let spec = spec.pool(Pool::new("general").sizes(2, 3, 5));
    RealCluster::start(&spec.fixture("zero-budget").fixture("statefulset")).unwrap()
}

#[test]
fn instances_come_and_go_and_nodes_with_them() {
    if !wanted("instances_come_and_go_and_nodes_with_them") {
        return;
    }
    let cluster = start();
    a_node_is_what_its_instance_is(&cluster);
    a_budget_of_zero_refuses(&cluster);
    volumes_are_attached(&cluster);
    terminating_with_decrement(&cluster);
    raising_desired(&cluster);
    a_node_that_never_becomes_ready(&cluster);
}

fn a_node_is_what_its_instance_is(cluster: &RealCluster) {
    let nodes = cluster.list("/api/v1/nodes").unwrap();
    let group = cluster.group(&cluster.group_of("general")).unwrap();
    let instances = group["Instances"].as_array().unwrap();
    assert_eq!((nodes.len(), instances.len()), (3, 3));
    let by_provider: BTreeMap<&str, _> =
        nodes.iter().map(|node| (node["spec"]["providerID"].as_str().unwrap(), node)).collect();
    for instance in instances {
        let (id, zone) = (&instance["InstanceId"], &instance["AvailabilityZone"]);
        let provider = format!("aws:///{}/{}", zone.as_str().unwrap(), id.as_str().unwrap());
        let node = by_provider[provider.as_str()];
        assert_eq!(&node["metadata"]["labels"]["topology.kubernetes.io/zone"], zone);
        let kubelet = node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap();
        assert!(kubelet.starts_with("v1.35."), "{kubelet}");
    }
}

fn a_budget_of_zero_refuses(cluster: &RealCluster) {
    let pods = cluster.list("/api/v1/namespaces/shop/pods?labelSelector=app%3Dledger").unwrap();
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": { "name": name, "namespace": "shop" },
    });
    let path = format!("/api/v1/namespaces/shop/pods/{name}/eviction");
    let answer = cluster.kube("POST", &path, Some(&eviction)).unwrap();
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.body["details"]["causes"][0]["reason"], "DisruptionBudget");
}

fn volumes_are_attached(cluster: &RealCluster) {
    eventually("two attachments", Duration::from_secs(20), || {
        let found = cluster.list("/apis/storage.k8s.io/v1/volumeattachments").unwrap();
        let attached = found.iter().filter(|each| each["status"]["attached"] == true).count();
        (attached == 2).then_some(())
    });
}

fn terminating_with_decrement(cluster: &RealCluster) {
    let name = cluster.group_of("general");
    let group = cluster.group(&name).unwrap();
    let victim = group["Instances"][1]["InstanceId"].as_str().unwrap();
    let terminate = json!({ "InstanceId": victim, "ShouldDecrementDesiredCapacity": true });
    let done = cluster.aws("autoscaling", "TerminateInstanceInAutoScalingGroup", &terminate);
    done.unwrap();
    assert_eq!(cluster.group(&name).unwrap()["DesiredCapacity"], 2);
    eventually("the node is gone", Duration::from_secs(20), || {
        let nodes = cluster.ready_nodes().unwrap();
        (nodes.len() == 2 && !nodes.contains_key(victim)).then_some(())
    });
    assert_eq!(cluster.group(&name).unwrap()["Instances"].as_array().unwrap().len(), 2);
}

fn raising_desired(cluster: &RealCluster) {
    let name = cluster.group_of("general");
    let begun = Instant::now();
    let raise = json!({ "AutoScalingGroupName": name, "DesiredCapacity": 3 });
    cluster.aws("autoscaling", "SetDesiredCapacity", &raise).unwrap();
    eventually("a third node is Ready", Duration::from_secs(30), || {
        (cluster.ready_nodes().unwrap().len() == 3).then_some(())
    });
    // Three seconds for the instance and three for the node.
    assert!(begun.elapsed() > Duration::from_secs(5), "{:?}", begun.elapsed());
}

fn a_node_that_never_becomes_ready(cluster: &RealCluster) {
    let name = cluster.group_of("general");
    cluster.admin(json!({ "do": "nodes_never_ready", "pools": ["general"] })).unwrap();
    let raise = json!({ "AutoScalingGroupName": name, "DesiredCapacity": 4 });
    cluster.aws("autoscaling", "SetDesiredCapacity", &raise).unwrap();
    eventually("a fourth node", Duration::from_secs(30), || {
        (cluster.list("/api/v1/nodes").unwrap().len() == 4).then_some(())
    });
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(cluster.ready_nodes().unwrap().len(), 3);
}
