//! Watchers that know nothing of refit: they look at the cluster again and again while something
//! is done to it, and judge what they see.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use refit_tests::real::RealCluster;
use serde_json::Value;

const PACE: Duration = Duration::from_millis(300);
/// How long the cluster is watched after the end: what a group does when its settings are given
/// back, such as evening its zones, begins seconds later.
const AFTERWARDS: Duration = Duration::from_mins(1);

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The sets of minors that apiservers served at a time.
    pub(crate) minors: BTreeSet<BTreeSet<u32>>,
    /// What should not have been.
    pub(crate) wrong: BTreeSet<String>,
    looks: u32,
}

/// Does something while the cluster is watched, and watches on for a minute afterwards.
pub(crate) fn watched_on<T>(cluster: &RealCluster, what: impl FnOnce() -> T) -> (T, Seen) {
    watched(cluster, || {
        let result = what();
        std::thread::sleep(AFTERWARDS);
        result
    })
}

/// Does something while the cluster is watched.
pub(crate) fn watched<T>(cluster: &RealCluster, what: impl FnOnce() -> T) -> (T, Seen) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = Seen::default();
            while !over.load(Ordering::Relaxed) {
                seen.look(cluster);
            }
            seen
        });
        let ends = Ends(&over);
        let result = what();
        drop(ends);
        let seen = watch.join().expect("the watcher watches");
        assert!(seen.looks > 10, "nobody watched");
        (result, seen)
    })
}

/// Ends the watch, also when what is watched panics: the scope waits for the watcher.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// `1.36.3` and `v1.36.3` to 36.
pub(crate) fn minor(version: &str) -> u32 {
    let minor = version.trim_start_matches('v').split('.').nth(1);
    minor.and_then(|minor| minor.parse().ok()).expect("a version has a minor")
}

impl Seen {
    /// One look, and the time until the next.
    pub(crate) fn look(&mut self, cluster: &RealCluster) {
        // An apiserver may stop in the middle of a look, which then counts for nothing.
        let _ = budgets(cluster, self);
        let _ = skew(cluster, self);
        let _ = gates(cluster, self);
        std::thread::sleep(PACE);
    }
}

/// An instance of the control plane leaves its target groups before it ends: what is `healthy` or
/// `draining` still gets connections.
fn gates(cluster: &RealCluster, seen: &mut Seen) -> Option<()> {
    for group in cluster.groups(&cluster.control_plane_groups()).ok()? {
        let ending: BTreeSet<&str> = group["Instances"]
            .as_array()?
            .iter()
            .filter(|each| {
                each["LifecycleState"].as_str().is_some_and(|s| s.starts_with("Terminating"))
            })
            .filter_map(|each| each["InstanceId"].as_str())
            .collect();
        for arn in group["TargetGroupARNs"].as_array()?.iter().filter(|_| !ending.is_empty()) {
            let asked = serde_json::json!({ "TargetGroupArn": arn });
            let answer = cluster.aws("elbv2", "DescribeTargetHealth", &asked).ok()?;
            for target in answer["TargetHealthDescriptions"].as_array()? {
                let id = target["Target"]["Id"].as_str()?;
                if ending.contains(id) {
                    let state = &target["TargetHealth"]["State"];
                    seen.wrong.insert(format!("target {id} ends while it is {state}"));
                }
            }
        }
    }
    Some(())
}

/// What the disruption controller itself counts.
fn budgets(cluster: &RealCluster, seen: &mut Seen) -> Option<()> {
    let budgets = cluster.list("/apis/policy/v1/poddisruptionbudgets").ok()?;
    for budget in budgets {
        let count = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
        let (healthy, desired) = (count("currentHealthy"), count("desiredHealthy"));
        if count("expectedPods") > 0 && healthy < desired {
            let what = format!("budget {}: ", budget["metadata"]["name"]);
            if !seen.wrong.iter().any(|text| text.starts_with(&what)) {
                let why = unready(cluster).unwrap_or_default();
                seen.wrong.insert(format!("{what}{healthy} of {desired} healthy; {why}"));
            }
        }
    }
    seen.looks += 1;
    Some(())
}

/// When it was, which pods and nodes are not ready then, and what was last said of nodes and of pods
/// that went.
fn unready(cluster: &RealCluster) -> Option<String> {
    let mut text = format!("{:?} not ready:", std::time::SystemTime::now());
    for event in cluster.list("/api/v1/events").unwrap_or_default() {
        let reason = event["reason"].as_str().unwrap_or_default();
        if ["NotReady", "Evict", "Kill", "Delete", "Unhealthy"].iter().any(|r| reason.contains(r)) {
            let (what, when) = (&event["involvedObject"]["name"], &event["lastTimestamp"]);
            text += &format!("\n{when} {reason} {what}: {}", event["message"]);
        }
    }
    for kind in ["nodes", "pods"] {
        for object in cluster.list(&format!("/api/v1/{kind}")).ok()? {
            let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice);
            let mut ready = conditions.unwrap_or_default().iter().filter(|c| c["type"] == "Ready");
            if !ready.any(|condition| condition["status"] == "True") {
                let (meta, status) = (&object["metadata"], &object["status"]);
                let (name, going) = (&meta["name"], &meta["deletionTimestamp"]);
                let on = &object["spec"]["nodeName"];
                text += &format!("\n{kind} {name} on {on}, deleted {going}: {status}");
            }
        }
    }
    Some(text)
}

fn skew(cluster: &RealCluster, seen: &mut Seen) -> Option<()> {
    let before = served(cluster)?;
    let nodes = cluster.list("/api/v1/nodes").ok()?;
    let after = served(cluster)?;
    seen.minors.insert(before.clone());
    // Only what held before and after was so while the nodes were listed.
    let live: BTreeSet<u32> = before.intersection(&after).copied().collect();
    let (oldest, newest) = (*live.first()?, *live.last()?);
    for node in nodes.iter().filter(|node| !is_control_plane(node)) {
        let kubelet = minor(node["status"]["nodeInfo"]["kubeletVersion"].as_str()?);
        if kubelet > oldest || kubelet + 3 < newest {
            let name = &node["metadata"]["name"];
            seen.wrong.insert(format!("{name}: kubelet 1.{kubelet}, apiservers {live:?}"));
        }
    }
    Some(())
}

fn served(cluster: &RealCluster) -> Option<BTreeSet<u32>> {
    let versions = cluster.api_server_versions().ok()?;
    Some(versions.values().map(|version| minor(version)).collect())
}

fn is_control_plane(node: &Value) -> bool {
    !node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"].is_null()
}

/// What a group's operator set, and a roll has to give back.
pub(crate) fn settings(cluster: &RealCluster, groups: &[String]) -> Vec<Value> {
    groups
        .iter()
        .map(|name| {
            let group = cluster.group(name).expect("the group is there");
            let instances = group["Instances"].as_array().cloned().unwrap_or_default();
            let protected =
                instances.iter().filter(|each| each["ProtectedFromScaleIn"] == true).count();
            serde_json::json!({
                "group": name,
                "sizes": [group["MinSize"], group["DesiredCapacity"], group["MaxSize"]],
                "instances": instances.len(),
                "suspended": group["SuspendedProcesses"],
                "tags": group["Tags"],
                "protected": protected,
            })
        })
        .collect()
}

/// The requests of a user to all apiservers that ever were: verb and resource.
pub(crate) fn requests_of(cluster: &RealCluster, user: &str) -> Vec<(String, String)> {
    let logs = cluster.audit_logs().expect("there are audit logs");
    let mut requests = Vec::new();
    for log in logs {
        let text = std::fs::read_to_string(&log).expect("an audit log can be read");
        // The last line may just be written.
        for event in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if event["user"]["username"] != user {
                continue;
            }
            let part = |field: &str| event["objectRef"][field].as_str().unwrap_or_default();
            let resource = match part("subresource") {
                "" => part("resource").to_owned(),
                subresource => format!("{}/{subresource}", part("resource")),
            };
            requests.push((event["verb"].as_str().unwrap_or_default().to_owned(), resource));
        }
    }
    requests
}

/// The calls of refit to AWS, as `service:Action`.
pub(crate) fn calls(cluster: &RealCluster) -> BTreeSet<String> {
    let requests = cluster.requests().expect("there is a log of requests");
    requests
        .iter()
        .filter(|request| request["caller"] == "refit")
        .map(|request| {
            let part = |field: &str| request[field].as_str().unwrap_or_default();
            format!("{}:{}", part("service"), part("action"))
        })
        .collect()
}
