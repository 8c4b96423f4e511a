//! A test of the tests: three bugs that an engine could have. The watchers that judge every other
//! test here see each of them, in runs that are as others but for the bug.

use std::cmp::Reverse;
use std::process::Stdio;
use std::time::{Duration, Instant};

use refit_tests::real::{Pool, RealCluster, Spec};
use serde_json::{Value, json};

use crate::buggy::{self, Bug, PLAN};
use crate::fleet::{Fleet, versions};
use crate::watch::Seen;

/// How long a bug may go unseen: a roll of three nodes takes less.
const SEEN_WITHIN: Duration = Duration::from_mins(4);

pub(crate) fn bugs_are_caught() {
    let spec = Spec::new("buggy").pool(Pool::new("general").sizes(1, 3, 6)).fixture("deployments");
    let cluster = RealCluster::start(&spec).expect("the cluster starts");
    let fleet = Fleet::new(&cluster, &["general"]);
    fleet.grant(&cluster);
    let roll = ["--replace", "buggy/general"];
    caught(&cluster, &fleet, Bug::DeletesPods, &roll, "budget");
    // What the run has left behind is given back, and what was wrong is over.
    fleet.run(&["apply", "--auto-approve"]).exits(0);
    // The group may happen to choose the very node that refit has drained, but not a protected one.
    protect_the_first(&cluster);
    caught(&cluster, &fleet, Bug::LowersByNumber, &roll, "budget");
    fleet.run(&["apply", "--auto-approve"]).exits(0);
    fleet.ask_for(&versions()[1], &[]);
    caught(&cluster, &fleet, Bug::SkipsTheGate, &["--only", "control-plane"], "target");
}

/// Protects the instance that refit replaces first from scale-in: of the fullest zone, the one with
/// the lowest id.
fn protect_the_first(cluster: &RealCluster) {
    let name = cluster.group_of("general");
    let group = cluster.group(&name).expect("the group is there");
    let instances = group["Instances"].as_array().expect("it has instances");
    let crowd = |zone: &Value| instances.iter().filter(|i| i["AvailabilityZone"] == *zone).count();
    let first = instances.iter().min_by_key(|instance| {
        let id = instance["InstanceId"].as_str().expect("an instance has an id");
        (Reverse(crowd(&instance["AvailabilityZone"])), id)
    });
    let wish = json!({
        "AutoScalingGroupName": name,
        "InstanceIds": [first.expect("there is one")["InstanceId"]],
        "ProtectedFromScaleIn": true,
    });
    cluster.aws("autoscaling", "SetInstanceProtection", &wish).expect("it can be protected");
}

/// Lets a bug loose until the watchers say what it did wrong.
fn caught(cluster: &RealCluster, fleet: &Fleet, bug: Bug, plan: &[&str], kind: &str) {
    fleet.run(&[&["plan", "-o", PLAN], plan].concat()).exits(0);
    let mut process = fleet.placed(buggy::command(bug, &cluster.door));
    process.stdin(Stdio::piped()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let mut process = process.spawn().expect("it starts");
    let begun = Instant::now();
    let mut seen = Seen::default();
    let is_seen = |seen: &Seen| seen.wrong.iter().any(|text| text.starts_with(kind));
    while !is_seen(&seen) && begun.elapsed() < SEEN_WITHIN {
        seen.look(cluster);
    }
    drop(process.stdin.take());
    let ended = process.wait().expect("it ends");
    assert!(ended.success(), "{bug:?}: {ended}");
    assert!(is_seen(&seen), "{bug:?} was not seen: {:#?}", seen.wrong);
}
