//! The control plane of a real cluster: one kube-apiserver for each instance, of its minor.

use std::collections::BTreeMap;
use std::time::Duration;

use refit_tests::real::{RealCluster, Spec, eventually, wanted};
use serde_json::{Value, json};

fn minors(cluster: &RealCluster) -> Vec<String> {
    let versions: BTreeMap<String, String> = cluster.api_server_versions().unwrap();
    let mut minors: Vec<String> =
        versions.values().map(|version| version[1..5].to_owned()).collect();
    minors.sort();
    minors
}

/// The group's next instance is of that image.
fn aim_at(cluster: &RealCluster, group: &str, image: &str) {
    let filter = json!({
        "Owners": ["self"], "Filters": [{ "Name": "name", "Values": [image] }],
    });
    let images = cluster.aws("ec2", "DescribeImages", &filter).unwrap();
    let version = json!({
        "LaunchTemplateName": group,
        "SourceVersion": "1",
        "LaunchTemplateData": { "ImageId": images["Images"][0]["ImageId"] },
    });
    let created = cluster.aws("ec2", "CreateLaunchTemplateVersion", &version).unwrap();
    let number = created["LaunchTemplateVersion"]["VersionNumber"].to_string();
    let update = json!({
        "AutoScalingGroupName": group,
        "LaunchTemplate": { "LaunchTemplateName": group, "Version": number },
    });
    cluster.aws("autoscaling", "UpdateAutoScalingGroup", &update).unwrap();
}

/// How the API's target group sees its targets, and how many etcd members are Ready.
fn health(cluster: &RealCluster, group: &str) -> (Vec<Value>, usize) {
    let arn = &cluster.group(group).unwrap()["TargetGroupARNs"][0];
    let asked = json!({ "TargetGroupArn": arn });
    let mut answer = cluster.aws("elbv2", "DescribeTargetHealth", &asked).unwrap();
    let states = answer["TargetHealthDescriptions"].as_array_mut().unwrap();
    let states = states.iter_mut().map(|target| target["TargetHealth"]["State"].take()).collect();
    let path = "/api/v1/namespaces/kube-system/pods?labelSelector=component%3Detcd";
    let ready = |pod: &&Value| pod["status"]["containerStatuses"][0]["ready"] == true;
    (states, cluster.list(path).unwrap().iter().filter(ready).count())
}

#[test]
fn two_minors_serve_one_etcd() {
    if !wanted("two_minors_serve_one_etcd") {
        return;
    }
    let cluster = RealCluster::start(&Spec::new("roll").fixture("daemonset")).unwrap();
    assert_eq!(minors(&cluster), ["1.35"; 3]);
    let [group, ..] = cluster.control_plane_groups();
    assert_eq!(health(&cluster, &group), (vec![json!("healthy"); 3], 3));

    aim_at(&cluster, &group, "k8s-1.36.*");
    let before = cluster.group(&group).unwrap();
    let old = before["Instances"][0]["InstanceId"].as_str().unwrap().to_owned();
    let terminate = json!({ "InstanceId": old, "ShouldDecrementDesiredCapacity": false });
    let gone = cluster.aws("autoscaling", "TerminateInstanceInAutoScalingGroup", &terminate);
    gone.unwrap();
    let mut members_seen = Vec::new();
    eventually("an apiserver of 1.36 and two of 1.35", Duration::from_mins(1), || {
        members_seen.push(health(&cluster, &group).1);
        let nodes = cluster.ready_nodes().unwrap();
        let new = nodes.values().any(|version| version.starts_with("v1.36."));
        (new && !nodes.contains_key(&old) && minors(&cluster) == ["1.35", "1.35", "1.36"])
            .then_some(())
    });
    eventually("all healthy again, etcd's members too", Duration::from_secs(30), || {
        (health(&cluster, &group) == (vec![json!("healthy"); 3], 3)).then_some(())
    });
    // The gap was to be seen: a member of etcd was away.
    assert!(members_seen.contains(&2), "{members_seen:?}");
    assert_eq!(cluster.audit_logs().unwrap().len(), 4);
    // Through the balancer both minors answer, and what was there is there.
    for _ in 0..6 {
        let answer = cluster.kube("GET", "/apis/apps/v1/daemonsets", None).unwrap();
        assert_eq!(answer.body["items"][0]["metadata"]["name"], "log-agent");
    }
}
