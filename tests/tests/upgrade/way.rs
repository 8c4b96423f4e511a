//! From the oldest minor to the newest, with everything that runs on the cluster still running.

use std::collections::BTreeSet;
use std::fs;

use refit_tests::real::{Pool, RealCluster, Spec};
use serde_json::json;

use crate::fleet::{Fleet, built, versions};
use crate::permissions::all_was_used;
use crate::watch::{calls, minor, requests_of, settings, watched_on};

const POOLS: [&str; 2] = ["general", "stateful"];

/// Three instances of the control plane, eight nodes over two zones, and what runs on them.
fn cluster(name: &str) -> RealCluster {
    let spec = POOLS
        .iter()
        .fold(Spec::new(name), |spec, pool| {
            spec.pool(Pool::new(pool).zones(&["a", "b"]).sizes(1, 4, 8))
        })
        .fixture("deployments")
        .fixture("statefulset")
        .fixture("daemonset");
    RealCluster::start(&spec).expect("the cluster starts")
}

/// What Kubernetes itself carries of an add-on, for a minor, with the version of its image.
fn carried(addon: &str, version: &str) -> (String, String) {
    let file = built().addons[version].join(format!("{addon}.yaml"));
    let text = fs::read_to_string(file).expect("the manifests were written with the servers");
    let image = format!("/{addon}:v");
    let at = text.find(&image).expect("the workload has an image") + image.len();
    let found = text[at..].split_whitespace().next().expect("the image has a tag").to_owned();
    (found, text)
}

/// CoreDNS and metrics-server, in the versions of the oldest and of the newest minor.
pub(crate) fn addons(fleet: &Fleet) -> [Vec<(&'static str, String)>; 2] {
    let versions = versions();
    let (oldest, newest) = (&versions[0], &versions[versions.len() - 1]);
    let mut wanted = [Vec::new(), Vec::new()];
    for (addon, workload) in [
        ("coredns", "Deployment/kube-system/coredns"),
        ("metrics-server", "Deployment/kube-system/metrics-server-v0.8.0"),
    ] {
        let (first, first_text) = carried(addon, oldest);
        let (last, last_text) = carried(addon, newest);
        assert_ne!(first, last, "{addon} has to have something to do");
        fleet.addon(
            addon,
            &format!(
                "[detect]\nworkload = \"{workload}\"\ncontainer = \"{addon}\"\n\n\
                 [[versions]]\nversion = \"{first}\"\nkubernetes = \">=1.33, <=1.36\"\n\n\
                 [[versions]]\nversion = \"{last}\"\nkubernetes = \">=1.35, <=1.38\"\n"
            ),
            &[(&first, &first_text), (&last, &last_text)],
        );
        wanted[0].push((addon, first));
        wanted[1].push((addon, last));
    }
    wanted
}

/// An add-on whose first version does not go with the newest minor, and whose last one goes with no
/// other: on the way there is a version between them.
fn bridged(fleet: &Fleet, wanted: &mut [Vec<(&'static str, String)>; 2]) {
    let manifests = ["1.0.0", "1.1.0", "2.0.0"].map(|version| {
        let object = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: agent\n  namespace: kube-system\n\
             data:\n  version: \"{version}\"\n"
        );
        (version, object)
    });
    let manifests: Vec<(&str, &str)> =
        manifests.iter().map(|(version, object)| (*version, object.as_str())).collect();
    fleet.addon(
        "agent",
        "[[versions]]\nversion = \"1.0.0\"\nkubernetes = \">=1.33, <=1.36\"\n\n\
         [[versions]]\nversion = \"1.1.0\"\nkubernetes = \">=1.36, <=1.37\"\n\n\
         [[versions]]\nversion = \"2.0.0\"\nkubernetes = \">=1.37\"\n",
        &manifests,
    );
    wanted[0].push(("agent", "1.0.0".to_owned()));
    wanted[1].insert(0, ("agent", "2.0.0".to_owned()));
}

fn borrowed<'a>(addons: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    addons.iter().map(|(name, version)| (*name, version.as_str())).collect()
}

pub(crate) fn two_minors_up_and_the_second_plan_is_empty() {
    let cluster = cluster("up");
    let fleet = Fleet::new(&cluster, &POOLS);
    let versions = versions();
    let newest = versions.last().expect("there are versions");
    let mut asked = addons(&fleet);
    bridged(&fleet, &mut asked);
    let [first, last] = asked;
    fleet.ask_for(&versions[0], &borrowed(&first));
    fleet.run(&["validate"]).exits(0);
    let granted = fleet.grant(&cluster);
    fleet.run(&["plan"]).exits(0).says(&["coredns", "install", "metrics-server"]);
    fleet.run(&["apply", "--auto-approve"]).exits(0);
    fleet.is_done();

    fleet.ask_for(newest, &borrowed(&last));
    let groups: Vec<String> = POOLS
        .iter()
        .map(|pool| cluster.group_of(pool))
        .chain(cluster.control_plane_groups())
        .collect();
    let before = settings(&cluster, &groups);
    fleet.run(&["plan", "-o", "up.plan"]).exits(0).says(&[
        "1.35.4 -> 1.36.3 -> 1.37.0",
        "agent 1.0.0 -> 1.1.0 -> 2.0.0",
        "coredns 1.13.1 -> 1.14.6",
    ]);

    let (applied, seen) = watched_on(&cluster, || fleet.run(&["apply", "up.plan"]));
    let applied = applied.exits(0);
    assert!(seen.wrong.is_empty(), "{:#?}\n{}", seen.wrong, applied.text());
    let minors: Vec<u32> = versions.iter().map(|version| minor(version)).collect();
    let pairs: BTreeSet<BTreeSet<u32>> = minors
        .windows(2)
        .map(|pair| pair.iter().copied().collect())
        .chain(minors.iter().map(|minor| [*minor].into()))
        .collect();
    assert_eq!(seen.minors, pairs, "the minors that were live together");
    assert_eq!(settings(&cluster, &groups), before);
    let nodes = cluster.ready_nodes().expect("nodes are listed");
    assert_eq!(nodes.len(), 11);
    assert!(nodes.values().all(|version| *version == format!("v{newest}")), "{nodes:?}");
    // Its name carries its version: the old one was pruned.
    let path = "/apis/apps/v1/namespaces/kube-system/deployments";
    let deployments: Vec<String> = cluster
        .list(path)
        .expect("deployments are listed")
        .iter()
        .filter_map(|each| each["metadata"]["name"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(deployments, ["coredns", "metrics-server-v0.8.1"]);
    fleet.is_done();

    // No set names it any more.
    fleet.ask_for(newest, &borrowed(&last[..2]));
    fleet.run(&["apply", "--auto-approve"]).exits(0);
    fleet.is_done();
    all_was_used(&cluster, &fleet, &granted);
}

pub(crate) fn looking_only_reads() {
    let spec = Spec::new("look").pool(Pool::new("general")).fixture("deployments");
    let cluster = RealCluster::start(&spec).expect("the cluster starts");
    let fleet = Fleet::new(&cluster, &["general"]);
    let versions = versions();
    let [_, last] = addons(&fleet);
    fleet.ask_for(&versions[2], &borrowed(&last));
    fleet.grant(&cluster);
    fleet.run(&["observe", "-o", "seen.json"]).exits(0);
    let online = fleet.run(&["plan", "--diff"]).exits(0);
    let offline = fleet.run(&["plan", "--snapshot", "seen.json", "--format", "json"]).exits(0);
    let again = fleet.run(&["plan", "--snapshot", "seen.json", "--format", "json"]).exits(0);
    assert_eq!(offline.stdout, again.stdout, "the same snapshot, byte for byte");
    assert!(online.stdout.contains("1.35.4 -> 1.36.3 -> 1.37.0"), "{}", online.text());

    // What runs, written down, is a fleet with nothing to do.
    fleet.run(&["--chdir", "found", "init", "--from-context", "look"]).exits(0);
    fleet.run(&["--chdir", "found", "validate"]).exits(0);
    let nothing = fleet.run(&["--chdir", "found", "plan", "--detailed-exitcode"]);
    assert_eq!(nothing.code, Some(0), "{}", nothing.text());
    let again = fleet.run(&["--chdir", "found", "init", "--from-context", "look"]);
    again.exits(1).says(&["exists already"]);
    fleet
        .run(&["--chdir", "other", "init", "--from-context", "nobody"])
        .exits(1)
        .says(&["nothing was written", "no context `nobody`"]);

    let requests = requests_of(&cluster, "refit");
    assert!(requests.len() > 10, "{requests:?}");
    let writes: Vec<_> = requests
        .iter()
        .filter(|(verb, resource)| match verb.as_str() {
            "get" | "list" | "watch" => false,
            "create" => resource != "selfsubjectaccessreviews",
            _ => true,
        })
        .collect();
    assert!(writes.is_empty(), "{writes:?}");
    let calls = calls(&cluster);
    assert!(calls.len() > 4, "{calls:?}");
    for call in &calls {
        let action = call.split(':').nth(1).unwrap_or_default();
        assert!(action.starts_with("Describe") || action.starts_with("Get"), "{calls:?}");
    }
    by_a_profile(&cluster, &fleet);
    in_another_account(&cluster, &fleet);
}

/// A profile that is named counts, though the environment has keys.
fn by_a_profile(cluster: &RealCluster, fleet: &Fleet) {
    let named = "profile = \"reader\"\n";
    fleet.edit("clusters/look.toml", "[provider]\n", &format!("[provider]\n{named}"));
    fleet.run(&["plan"]).exits(3).says(&["RF001", "there is no profile `reader`"]);
    let keys = "aws_access_key_id = reader\naws_secret_access_key = secret\n";
    fleet.write(".aws/credentials", &format!("[reader]\n{keys}"));
    let before = cluster.requests().expect("the front keeps a log").len();
    fleet.run(&["plan"]).exits(0);
    let requests = cluster.requests().expect("the front keeps a log");
    let own = &requests[before..];
    assert!(own.len() > 4 && own.iter().all(|request| request["caller"] == "reader"), "{own:?}");
    fleet.edit("clusters/look.toml", named, "");
}

/// With a role of another account everything is asked for in its name: whoever runs refit may do
/// nothing but take the role.
fn in_another_account(cluster: &RealCluster, fleet: &Fleet) {
    let role = "arn:aws:iam::123456789012:role/refit";
    let named = format!("role-arn = \"{role}\"\nexternal-id = \"acme-42\"\n");
    fleet.edit("clusters/look.toml", "[provider]\n", &format!("[provider]\n{named}"));
    fleet.run(&["plan"]).exits(3).says(&["RF001", "sts:AssumeRole"]);
    let wish = json!({ "do": "allow", "key": "refit", "actions": ["sts:AssumeRole"] });
    cluster.admin(wish).expect("the account can be told");
    let before = cluster.requests().expect("the front keeps a log").len();
    fleet.run(&["plan"]).exits(0);
    let requests = cluster.requests().expect("the front keeps a log");
    let (first, rest) = requests[before..].split_first().expect("it asked for something");
    assert!(first["action"] == "AssumeRole" && first["caller"] == "refit", "{first}");
    assert_eq!(first["parameters"]["RoleArn"], role);
    assert_eq!(first["parameters"]["ExternalId"], "acme-42");
    assert!(rest.len() > 4 && rest.iter().all(|other| other["caller"] != "refit"), "{rest:?}");
}
