//! The account behaves as AWS does where it matters, and goes wrong when it is told to.

use std::collections::BTreeSet;
use std::time::Duration;

use refit_tests::real::{AwsError, Pool, RealCluster, Spec, eventually, wanted};
use serde_json::{Value, json};

/// One call by the caller whom faults hit.
fn call(cluster: &RealCluster, action: &str, parameters: &Value) -> Result<Value, AwsError> {
    let service = if action.contains("Launch") { "ec2" } else { "autoscaling" };
    cluster.aws_as("refit", service, action, parameters)
}

fn group(cluster: &RealCluster) -> Value {
    cluster.group(&cluster.group_of("general")).unwrap()
}

fn set_desired(cluster: &RealCluster, to: u64) -> Result<Value, AwsError> {
    let name = cluster.group_of("general");
    let parameters = json!({ "AutoScalingGroupName": name, "DesiredCapacity": to });
    call(cluster, "SetDesiredCapacity", &parameters)
}

/// The instances that live, with their zones.
fn alive(cluster: &RealCluster) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let group = group(cluster);
    let instances = group["Instances"].as_array().unwrap().iter();
    instances
        .filter(|instance| instance["LifecycleState"] == "InService")
        .map(|instance| (text(&instance["InstanceId"]), text(&instance["AvailabilityZone"])))
        .collect()
}

fn settle(cluster: &RealCluster, size: usize) -> Vec<(String, String)> {
    eventually(&format!("{size} instances in service"), Duration::from_secs(30), || {
        let alive = alive(cluster);
        (alive.len() == size && group(cluster)["Instances"].as_array().unwrap().len() == size)
            .then_some(alive)
    })
}

#[test]
fn the_account_has_a_will_of_its_own() {
    if !wanted("the_account_has_a_will_of_its_own") {
        return;
    }
    let spec = Spec::new("will").without_control_plane();
    let cluster = RealCluster::start(&spec.pool(Pool::new("general").sizes(2, 2, 5))).unwrap();
    bounds_hold(&cluster);
    throttling_and_lost_answers(&cluster);
    tokens_are_idempotent(&cluster);
    permissions_by_action(&cluster);
    suspended_processes_and_capacity(&cluster);
    the_group_chooses_its_victims(&cluster);
    all_is_in_the_log(&cluster);
}

fn bounds_hold(cluster: &RealCluster) {
    let refused = |result: Result<Value, AwsError>, part: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.code, "ValidationError");
        assert!(error.message.contains(part), "{error:?}");
    };
    refused(set_desired(cluster, 6), "above max value 5");
    refused(set_desired(cluster, 1), "below min value 2");
    let (instance, _) = &alive(cluster)[0];
    let decrement = json!({ "InstanceId": instance, "ShouldDecrementDesiredCapacity": true });
    refused(
        call(cluster, "TerminateInstanceInAutoScalingGroup", &decrement),
        "desiredSize equals minSize",
    );
    let nobody = json!({ "AutoScalingGroupName": "nobody", "DesiredCapacity": 1 });
    refused(call(cluster, "SetDesiredCapacity", &nobody), "not found");
}

fn throttling_and_lost_answers(cluster: &RealCluster) {
    cluster.admin(json!({ "do": "throttle", "action": "SetDesiredCapacity", "times": 2 })).unwrap();
    for _ in 0..2 {
        assert_eq!(set_desired(cluster, 3).unwrap_err().code, "Throttling");
    }
    assert_eq!(group(cluster)["DesiredCapacity"], 2);
    cluster.admin(json!({ "do": "lose", "action": "SetDesiredCapacity", "times": 1 })).unwrap();
    let lost = set_desired(cluster, 3).unwrap_err();
    assert_eq!(lost.code, "ConnectionClosedError");
    assert_eq!(group(cluster)["DesiredCapacity"], 3, "its effect is there");
    set_desired(cluster, 3).unwrap();
}

fn tokens_are_idempotent(cluster: &RealCluster) {
    let ask = |token: &str, kind: &str| {
        let parameters = json!({
            "LaunchTemplateName": cluster.group_of("general"),
            "SourceVersion": "1",
            "ClientToken": token,
            "LaunchTemplateData": { "InstanceType": kind },
        });
        call(cluster, "CreateLaunchTemplateVersion", &parameters)
            .map(|answer| answer["LaunchTemplateVersion"].clone())
    };
    let first = ask("one", "m7i.large").unwrap();
    assert_eq!(first["VersionNumber"], 2);
    assert!(first["LaunchTemplateData"]["ImageId"].is_string(), "the rest is of version 1");
    assert_eq!(ask("one", "m7i.large").unwrap()["VersionNumber"], 2);
    assert_eq!(ask("two", "m7i.large").unwrap()["VersionNumber"], 3);
    assert_eq!(ask("one", "m5.large").unwrap_err().code, "IdempotentParameterMismatch");
}

fn permissions_by_action(cluster: &RealCluster) {
    let allow = |actions: Value| {
        cluster.admin(json!({ "do": "allow", "key": "refit", "actions": actions })).unwrap();
    };
    allow(json!(["autoscaling:Describe*"]));
    call(cluster, "DescribeAutoScalingGroups", &json!({})).unwrap();
    let denied = set_desired(cluster, 3).unwrap_err();
    assert_eq!(denied.code, "AccessDenied");
    assert!(denied.message.contains("autoscaling:SetDesiredCapacity"));
    let denied = call(cluster, "DescribeLaunchTemplates", &json!({})).unwrap_err();
    assert_eq!(denied.code, "UnauthorizedOperation");
    allow(Value::Null);
}

fn suspended_processes_and_capacity(cluster: &RealCluster) {
    settle(cluster, 3);
    let name = cluster.group_of("general");
    let launch = json!({ "AutoScalingGroupName": name, "ScalingProcesses": ["Launch"] });
    call(cluster, "SuspendProcesses", &launch).unwrap();
    set_desired(cluster, 4).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(group(cluster)["Instances"].as_array().unwrap().len(), 3);

    cluster.admin(json!({ "do": "capacity", "allowed": 0, "group": name })).unwrap();
    call(cluster, "ResumeProcesses", &launch).unwrap();
    let activities = json!({ "AutoScalingGroupName": name });
    eventually("a launch that fails", Duration::from_secs(10), || {
        let found = call(cluster, "DescribeScalingActivities", &activities).unwrap();
        let newest = &found["Activities"][0];
        let message = newest["StatusMessage"].as_str().unwrap_or_default();
        (newest["StatusCode"] == "Failed" && message.contains("sufficient")).then_some(())
    });
    assert_eq!(group(cluster)["Instances"].as_array().unwrap().len(), 3);
    cluster.admin(json!({ "do": "capacity", "allowed": null, "group": name })).unwrap();
    let alive = settle(cluster, 4);
    let zones: Vec<&String> = alive.iter().map(|(_, zone)| zone).collect();
    let zone = zones.iter().filter(|zone| **zone == zones[0]).count();
    assert_eq!(zone, 2, "launches go into the emptiest zone: {zones:?}");
}

fn the_group_chooses_its_victims(cluster: &RealCluster) {
    let before: BTreeSet<_> = alive(cluster).into_iter().collect();
    // The oldest would go, were it not protected.
    let (oldest, _) = alive(cluster)[0].clone();
    let protect = json!({
        "AutoScalingGroupName": cluster.group_of("general"),
        "InstanceIds": [oldest],
        "ProtectedFromScaleIn": true,
    });
    call(cluster, "SetInstanceProtection", &protect).unwrap();
    set_desired(cluster, 2).unwrap();
    let after: BTreeSet<_> = settle(cluster, 2).into_iter().collect();
    assert!(after.is_subset(&before) && after.iter().any(|(id, _)| *id == oldest), "{after:?}");
    let zones: BTreeSet<&String> = after.iter().map(|(_, zone)| zone).collect();
    assert_eq!(zones.len(), 2, "one of each zone stays");
}

fn all_is_in_the_log(cluster: &RealCluster) {
    let requests = cluster.requests().unwrap();
    let by_refit: Vec<&Value> = requests.iter().filter(|each| each["caller"] == "refit").collect();
    let faults = |fault: &str| by_refit.iter().filter(|each| each["fault"] == fault).count();
    assert_eq!((faults("throttled"), faults("lost"), faults("repeated")), (2, 1, 1));
    assert!(by_refit.iter().any(|each| each["action"] == "SetInstanceProtection"
        && each["service"] == "autoscaling"
        && each["parameters"]["InstanceIds.member.1"].is_string()));
}
