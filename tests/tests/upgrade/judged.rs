//! A test of the tests: three bugs that an engine could have, played by hand. The watchers that
//! judge every other test here see each of them.

use std::collections::BTreeSet;
use std::time::Duration;

use refit_tests::real::{Pool, RealCluster, Spec, eventually};
use serde_json::json;

use crate::watch::{minor, settings, watched};

pub(crate) fn the_watchers_see_what_is_wrong() {
    let spec = Spec::new("rude").pool(Pool::new("general").sizes(1, 3, 6)).fixture("deployments");
    let cluster = RealCluster::start(&spec).expect("the cluster starts");
    deleted_instead_of_evicted(&cluster);
    desired_restored_by_number(&cluster);
    the_target_group_is_forgotten(&cluster);
}

/// What was seen of one kind while something was done, and for so many seconds after it.
fn wrong(cluster: &RealCluster, kind: &str, seconds: u64, what: impl FnOnce()) -> BTreeSet<String> {
    let ((), seen) = watched(cluster, || {
        what();
        std::thread::sleep(Duration::from_secs(seconds));
    });
    assert!(seen.minors.iter().all(|live| live.iter().all(|live| *live >= minor("1.35.0"))));
    seen.wrong.into_iter().filter(|text| text.starts_with(kind)).collect()
}

fn is_calm(cluster: &RealCluster) {
    eventually("all budgets have what they want", Duration::from_mins(1), || {
        let budgets = cluster.list("/apis/policy/v1/poddisruptionbudgets").ok()?;
        let calm = |status: &serde_json::Value| {
            status["currentHealthy"].as_u64() == status["expectedPods"].as_u64()
        };
        budgets.iter().all(|budget| calm(&budget["status"])).then_some(())
    });
}

/// A deletion asks no budget.
fn deleted_instead_of_evicted(cluster: &RealCluster) {
    let pods = cluster.list("/api/v1/namespaces/shop/pods?labelSelector=app%3Dweb");
    let pods = pods.expect("pods are listed");
    let found = wrong(cluster, "budget", 20, || {
        for pod in pods.iter().take(3) {
            let name = pod["metadata"]["name"].as_str().expect("a pod has a name");
            let path = format!("/api/v1/namespaces/shop/pods/{name}");
            cluster.kube("DELETE", &path, None).expect("it can be deleted");
        }
    });
    assert!(!found.is_empty());
    is_calm(cluster);
}

/// The group chooses who has to go, and nobody drained it.
fn desired_restored_by_number(cluster: &RealCluster) {
    let general = cluster.group_of("general");
    let before = settings(cluster, std::slice::from_ref(&general));
    let desired = |count: u32| {
        let wish = json!({ "AutoScalingGroupName": general, "DesiredCapacity": count });
        cluster.aws("autoscaling", "SetDesiredCapacity", &wish).expect("it can be set");
    };
    // Pods of a node that is gone count until they are collected, which takes a minute.
    let found = wrong(cluster, "budget", 75, || desired(2));
    assert!(!found.is_empty());
    assert_ne!(settings(cluster, std::slice::from_ref(&general)), before);
    desired(3);
    eventually("three nodes again", Duration::from_mins(1), || {
        (cluster.ready_nodes().ok()?.len() == 6).then_some(())
    });
    is_calm(cluster);
}

/// It ends while it has connections.
fn the_target_group_is_forgotten(cluster: &RealCluster) {
    let [group, ..] = cluster.control_plane_groups();
    let instance =
        cluster.group(&group).expect("it is there")["Instances"][0]["InstanceId"].clone();
    let found = wrong(cluster, "target", 20, || {
        let wish = json!({ "InstanceId": instance, "ShouldDecrementDesiredCapacity": false });
        let done = cluster.aws("autoscaling", "TerminateInstanceInAutoScalingGroup", &wish);
        done.expect("it can be terminated");
    });
    assert!(!found.is_empty());
}
