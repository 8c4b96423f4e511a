//! `refit permissions` prints what suffices, and nothing that is not used: all tests of the binary
//! run with it, and these look closer.

use std::collections::BTreeSet;

use refit_tests::real::{Pool, RealCluster, Spec};
use serde_json::{Value, json};

use crate::fleet::{Fleet, versions};
use crate::watch::{calls, requests_of};
use crate::way::addons;

fn cluster(name: &str) -> RealCluster {
    let spec = Spec::new(name).pool(Pool::new("general").sizes(1, 2, 4)).fixture("deployments");
    RealCluster::start(&spec).expect("the cluster starts")
}

/// The objects without one verb of one rule, what that was, and back again.
fn one_less(objects: &[Value]) -> Vec<(String, String, Vec<Value>)> {
    let mut all = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        let rules = object["rules"].as_array().cloned().unwrap_or_default();
        for (place, rule) in rules.iter().enumerate() {
            let verbs = rule["verbs"].as_array().expect("a rule has verbs");
            for (number, verb) in verbs.iter().enumerate() {
                let mut less = objects.to_vec();
                // A rule has to have a verb. This one nobody needs.
                less[at]["rules"][place]["verbs"][number] = json!("deletecollection");
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                all.push((text(verb), text(&rule["resources"][0]), less));
            }
        }
    }
    all
}

/// Every verb on every resource, taken away one after the other: refit says which it is before it
/// has written anything.
pub(crate) fn one_permission_less_fails_before_the_first_write() {
    let cluster = cluster("less");
    let fleet = Fleet::new(&cluster, &["general"]);
    fleet.ask_for(&versions()[1], &[]);
    let objects = fleet.grant(&cluster);
    let cases = one_less(&objects);
    assert!(cases.len() > 15, "{cases:?}");
    for (verb, resource, less) in cases {
        cluster.apply(&less).expect("roles can be applied");
        let what = format!("{verb} {resource}");
        let ran = fleet.run(&["apply", "--auto-approve"]);
        assert_ne!(ran.code, Some(0), "{what}: {}", ran.text());
        let said = ran.text();
        let (resource, _) = resource.split_once('/').unwrap_or((&resource, ""));
        assert!(said.contains(resource) && said.contains(&verb), "{what}:\n{said}");
    }
    let writes: Vec<_> = requests_of(&cluster, "refit")
        .into_iter()
        .filter(|(verb, resource)| {
            !["get", "list"].contains(&verb.as_str()) && resource != "selfsubjectaccessreviews"
        })
        .collect();
    assert!(writes.is_empty(), "{writes:?}");
    assert!(fleet.run(&["history"]).exits(0).stdout.lines().count() <= 1);
}

/// Each action that writes to the account, refused in turn: the error names it, what was done is
/// kept, and the same command goes on when it is allowed.
pub(crate) fn a_refused_action_is_named_and_the_run_goes_on_later() {
    let cluster = cluster("iam");
    let fleet = Fleet::new(&cluster, &["general"]);
    fleet.ask_for(&versions()[1], &[]);
    fleet.grant(&cluster);
    let allowed = fleet.actions();
    for refused in [
        "ec2:CreateLaunchTemplateVersion",
        "autoscaling:UpdateAutoScalingGroup",
        "autoscaling:CreateOrUpdateTags",
        "autoscaling:TerminateInstanceInAutoScalingGroup",
    ] {
        let less: Vec<&String> = allowed.iter().filter(|action| *action != refused).collect();
        allow(&cluster, &json!(less));
        let ran = fleet.run(&["apply", "--auto-approve"]);
        // Whether anything could be done before.
        assert!(matches!(ran.code, Some(1 | 6)), "{}", ran.text());
        ran.says(&[refused, "is not authorized"]);
    }
    for refused in ["autoscaling:DescribeAutoScalingGroups", "ec2:DescribeImages"] {
        let less: Vec<&String> = allowed.iter().filter(|action| *action != refused).collect();
        allow(&cluster, &json!(less));
        fleet.run(&["plan"]).exits(3).says(&[refused, "is not authorized"]);
    }
    allow(&cluster, &json!(allowed));
    fleet.run(&["apply", "--auto-approve"]).exits(0);
    fleet.is_done();
}

fn allow(cluster: &RealCluster, actions: &Value) {
    let wish = json!({ "do": "allow", "key": "refit", "actions": actions });
    cluster.admin(wish).expect("the account can be told");
}

/// What was granted was used, when add-ons were installed, moved and removed, and machines rolled.
pub(crate) fn all_was_used(cluster: &RealCluster, fleet: &Fleet, objects: &[Value]) {
    let used: BTreeSet<(String, String)> = requests_of(cluster, "refit").into_iter().collect();
    let rules = objects.iter().flat_map(|object| object["rules"].as_array().into_iter().flatten());
    let mut unused = Vec::new();
    for rule in rules {
        let resource = rule["resources"][0].as_str().unwrap_or_default();
        for verb in rule["verbs"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            // Asked for in the name of another request: what a patch creates, and what a role
            // or a binding grants.
            let implied = ["create", "escalate", "bind"].contains(&verb);
            let found = used.contains(&(verb.to_owned(), resource.to_owned()));
            let patched = implied && used.iter().any(|(used, _)| used == "patch");
            if !found && !patched {
                unused.push(format!("{verb} {resource}"));
            }
        }
    }
    assert!(unused.is_empty(), "granted, and not used: {unused:?}");
    let calls = calls(cluster);
    let unused: Vec<String> = fleet
        .actions()
        .into_iter()
        // Gives back what a run has taken out that was stopped right after.
        .filter(|action| action != "elasticloadbalancing:RegisterTargets")
        // Of what a template describes, and checked by Auto Scaling itself.
        .filter(|action| {
            !["ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"].contains(&action.as_str())
        })
        .filter(|action| !calls.contains(action))
        .collect();
    assert!(unused.is_empty(), "allowed, and not called: {unused:?}; called: {calls:?}");
}

/// The add-ons' kinds are in it too.
pub(crate) fn the_kinds_of_add_ons_are_granted() {
    let cluster = cluster("kinds");
    let fleet = Fleet::new(&cluster, &["general"]);
    let [first, _] = addons(&fleet);
    let first: Vec<(&str, &str)> = first.iter().map(|(name, v)| (*name, v.as_str())).collect();
    fleet.ask_for(&versions()[0], &first);
    let granted = fleet.grant(&cluster);
    fleet.run(&["apply", "--auto-approve"]).exits(0);
    let mut less = granted.clone();
    let rules = less[0]["rules"].as_array_mut().expect("a role has rules");
    for rule in rules.iter_mut().filter(|rule| rule["resources"][0] == "deployments") {
        rule["verbs"] = json!(["get", "list"]);
    }
    cluster.apply(&less).expect("roles can be applied");
    fleet.ask_for(&versions()[0], &[]);
    fleet
        .run(&["apply", "--auto-approve"])
        .exits(1)
        .says(&["may not delete deployments.apps", "refit permissions kubernetes"]);
    cluster.apply(&granted).expect("roles can be applied");
    fleet.run(&["apply", "--auto-approve"]).exits(0);
    fleet.is_done();
}
