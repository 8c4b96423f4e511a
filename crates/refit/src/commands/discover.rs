//! `init --from-context`: writes down what runs already.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use refit_aws::{Aws, FoundGroup};
use refit_kubernetes::Kubeconfigs;
use refit_model::{
    AwsCluster, ClusterName, Fleet, FleetName, InstanceId, KubeVersion, NodeState, PoolName,
};
use serde_json::Value;

use crate::cli::Init;
use crate::commands::block_on;
use crate::exit::{Exit, Failure};
use crate::output::Printer;

/// Returns the files of a fleet that asks of a cluster what it is; in a fleet that is there, the
/// file of the cluster, in the first channel.
pub(super) fn files(
    context: &str,
    options: &Init,
    fleet: Option<&Fleet>,
    printer: &Printer,
) -> Result<Vec<(String, String)>, Failure> {
    let seen = block_on(look(context, options))??;
    written(context, &options.name, &seen, fleet, printer)
}

/// Returns the files that declare what was seen of a cluster.
fn written(
    context: &str,
    fleet_name: &FleetName,
    seen: &Seen,
    fleet: Option<&Fleet>,
    printer: &Printer,
) -> Result<Vec<(String, String)>, Failure> {
    let Seen { version, region, groups, nodes } = seen;
    let name = cluster_name(context);
    let channel = fleet.and_then(|fleet| fleet.channels.first());
    let channel = channel.map_or("dev", |channel| channel.name.as_str());
    let (mut control_plane, mut pools) = (Vec::new(), Vec::new());
    for group in groups {
        let of_group = |node: &&NodeState| {
            node.instance.as_ref().is_some_and(|id| group.instances.contains(id))
        };
        let its: Vec<&NodeState> = nodes.iter().filter(of_group).collect();
        if its.iter().any(|node| node.control_plane) {
            control_plane.push((group, its));
        } else {
            pools.push((group, its));
        }
    }
    if control_plane.is_empty() {
        let text =
            format!("no Auto Scaling group in {region} has a control-plane node of {context}");
        return Err(Failure::new(Exit::Failed, text)
            .hint("refit upgrades control planes that run on machines of Auto Scaling groups")
            .hint("name the region with `--from-aws REGION`, if it is another one"));
    }
    let mut text = format!(
        "#:schema https://raw.githubusercontent.com/refit-dev/refit/main/schemas/cluster.schema.json\n\
         # What ran when this was written. Rolls are one node at a time unless a pool says more.\n\n\
         [cluster]\nname = {}\nchannel = {}\ncontext = {}\n\n\
         [provider]\nkind = \"aws\"\nregion = {}\n\n[control-plane]\nauto-scaling-groups = [",
        quoted(name.as_str()),
        quoted(channel),
        quoted(context),
        quoted(region),
    );
    let names: Vec<String> =
        control_plane.iter().map(|(group, _)| quoted(group.name.as_str())).collect();
    text.push_str(&names.join(", "));
    text.push_str("]\n");
    text.push_str(&image(&control_plane[0], version, printer));
    text.push_str(
        "# How etcd's members live: `volumes` come back with their volume, as with kops.\n\
         etcd = \"volumes\"\n",
    );
    let mut taken = BTreeSet::new();
    for pool in &pools {
        let group = quoted(pool.0.name.as_str());
        let name = pool_name(pool.0.name.as_str(), &mut taken);
        let image = image(pool, version, printer);
        write!(
            text,
            "\n[[node-pools]]\nname = {}\nauto-scaling-groups = [{group}]\n{image}",
            quoted(name.as_str())
        )
        .expect("a string has room");
    }
    let file = (format!("clusters/{name}.toml"), text);
    if let Some(fleet) = fleet {
        join(fleet, seen, &name, channel, printer);
        return Ok(vec![file]);
    }
    Ok(vec![
        (
            "fleet.toml".to_owned(),
            format!(
                "#:schema https://raw.githubusercontent.com/refit-dev/refit/main/schemas/fleet.schema.json\n\n\
                 [fleet]\nname = {}\n\n[kubernetes]\n\
                 # A control plane goes through these, one minor after the other.\n\
                 available = [\"{version}\"]\n\n\
                 [[channels]]\nname = \"dev\"\nrelease = \"baseline\"\n",
                quoted(fleet_name.as_str())
            ),
        ),
        (
            "releases/baseline.toml".to_owned(),
            format!(
                "#:schema https://raw.githubusercontent.com/refit-dev/refit/main/schemas/release.schema.json\n\n\
                 [release]\nname = \"baseline\"\nkubernetes = \"{version}\"\n"
            ),
        ),
        file,
    ])
}

/// Says what somebody has to decide when a cluster joins a fleet.
fn join(fleet: &Fleet, seen: &Seen, name: &ClusterName, channel: &str, printer: &Printer) {
    let version = &seen.version;
    printer.say(&format!("{name} is in the channel {channel}; edit its file if it is of another"));
    if !fleet.available.iter().any(|known| known.same_release(version)) {
        let text = format!("{name} runs {version}, which `available` in fleet.toml does not have");
        printer.warning(&text, &["add it, so that the way from there is known".to_owned()]);
    }
}

/// What runs.
struct Seen {
    version: KubeVersion,
    region: String,
    groups: Vec<FoundGroup>,
    nodes: Vec<NodeState>,
}

async fn look(context: &str, options: &Init) -> Result<Seen, Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::new(Exit::Failed, format!("cannot look at {context}; nothing was written"))
            .because(error)
    };
    let kubeconfigs = Kubeconfigs::read(options.reaching.kubeconfig.as_deref());
    let kubeconfigs = kubeconfigs.map_err(|error| failed(&error))?;
    let kubernetes = kubeconfigs.connect(context).await.map_err(|error| failed(&error))?;
    let (version, nodes) = kubernetes.survey().await.map_err(|error| failed(&error))?;
    let nodes: Vec<NodeState> = nodes.into_values().collect();
    let zone = || nodes.iter().find_map(|node| Some(node.zone.as_ref()?.to_string()));
    let region = options.from_aws.clone().or_else(|| {
        // A zone is its region and a letter.
        zone().map(|zone| zone.trim_end_matches(char::is_alphabetic).to_owned())
    });
    let Some(region) = region else {
        let text = format!("the nodes of {context} do not say in which region they are");
        return Err(Failure::new(Exit::Failed, text).hint("name it with `--from-aws REGION`"));
    };
    let account = AwsCluster {
        context: context.to_owned(),
        region: region.clone(),
        profile: None,
        role_arn: None,
        external_id: None,
    };
    let instances: BTreeSet<InstanceId> =
        nodes.iter().filter_map(|node| node.instance.clone()).collect();
    let aws = Aws::new(&account).await;
    let groups = aws.groups_of(&instances).await.map_err(|error| failed(&error))?;
    Ok(Seen { version, region, groups, nodes })
}

/// A string of JSON is one of TOML.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// What a name may be made of, in place of what it may not.
fn tame(text: &str) -> String {
    let lower = text.to_lowercase();
    let kept: String =
        lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let parts: Vec<&str> = kept.split('-').filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

fn cluster_name(context: &str) -> ClusterName {
    let last = context.rsplit('/').next().unwrap_or(context);
    let tamed = tame(last);
    last.parse()
        .or_else(|_| tamed.parse())
        .unwrap_or_else(|_| "cluster".parse().expect("a word is a name"))
}

/// The group's name up to its first dot, as kops names groups; whole, if that is taken.
fn pool_name(group: &str, taken: &mut BTreeSet<String>) -> PoolName {
    let short = tame(group.split('.').next().unwrap_or(group));
    let mut all = [short, tame(group)].into_iter().chain((2..).map(|n| format!("pool-{n}")));
    let free = all.find(|name| name.parse::<PoolName>().is_ok() && taken.insert(name.clone()));
    free.and_then(|name| name.parse().ok()).expect("numbers do not end")
}

/// The pattern by which images like the group's are found, as a line of its table.
fn image(
    (group, nodes): &(&FoundGroup, Vec<&NodeState>),
    version: &KubeVersion,
    printer: &Printer,
) -> String {
    let Some(image) = &group.image else {
        let text = format!("the image of {} is not there any more; name its pattern", group.name);
        printer.warning(&text, &[]);
        return "image = { name = \"k8s-{version}-*\" }\n".to_owned();
    };
    let runs = nodes.first().map_or(version, |node| &node.kubelet).to_string();
    let Some(pattern) = pattern(&image.name, &runs) else {
        let text = format!(
            "the image {} of {} does not have {runs} in its name; refit finds images by that",
            image.name, group.name
        );
        printer.warning(&text, &[]);
        return format!(
            "image = {{ name = {} }}\n",
            quoted(&format!("{{version}}-{}", image.name))
        );
    };
    let mut fields = BTreeMap::from([("name", pattern)]);
    if image.owner != "self" {
        fields.insert("owner", image.owner.clone());
    }
    if image.architecture != "x86_64" {
        fields.insert("architecture", image.architecture.clone());
    }
    let fields: Vec<String> =
        fields.iter().map(|(key, value)| format!("{key} = {}", quoted(value))).collect();
    format!("image = {{ {} }}\n", fields.join(", "))
}

/// The image's name with the version open, and with whatever is a date or the number of a build.
fn pattern(name: &str, version: &str) -> Option<String> {
    let at = name.find(version)?;
    let (before, after) = (&name[..at], &name[at + version.len()..]);
    // A longer number is another version.
    if after.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Some(format!("{}{{version}}{}", open(before), open(after)))
}

/// Runs of six digits and more, with what joins them, as one star.
fn open(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for c in text.chars().map(Some).chain([None]) {
        match c {
            Some(c) if c.is_ascii_digit() => digits.push(c),
            other => {
                out.push_str(if digits.len() < 6 { &digits } else { "*" });
                digits.clear();
                out.extend(other);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use refit_aws::FoundImage;
    use refit_model::KubeProxy;

    use super::*;
    use crate::cli::LogFormat;
    use crate::disk::Disk;

    /// A cluster with a control plane and one pool, each of one instance; its groups are named after it.
    fn seen(cluster: &str) -> Seen {
        let node = |instance: &str, control_plane: bool| NodeState {
            instance: Some(instance.parse().unwrap()),
            zone: None,
            kubelet: "1.35.4".parse().unwrap(),
            kube_proxy: KubeProxy::None,
            ready: true,
            unreachable_since: None,
            unschedulable: false,
            control_plane,
            taints: BTreeSet::new(),
            runtime: None,
            detaching: BTreeSet::new(),
            annotations: BTreeMap::new(),
        };
        let group = |name: &str, instance: &str| FoundGroup {
            name: name.parse().unwrap(),
            instances: [instance.parse().unwrap()].into(),
            image: Some(FoundImage {
                name: "k8s-1.35.4-x86_64-20261001".to_owned(),
                owner: "self".to_owned(),
                architecture: "x86_64".to_owned(),
            }),
        };
        Seen {
            version: "1.35.4".parse().unwrap(),
            region: "eu-west-1".to_owned(),
            groups: vec![
                group(&format!("{cluster}-masters"), "i-01"),
                group(&format!("{cluster}-nodes"), "i-02"),
            ],
            nodes: vec![node("i-01", true), node("i-02", false)],
        }
    }

    fn save(directory: &std::path::Path, files: &[(String, String)]) {
        for (path, text) in files {
            let path = directory.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    fn load(directory: &std::path::Path) -> Fleet {
        let loaded = refit_config::load(&Disk::new(directory).unwrap());
        loaded.fleet.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
    }

    #[test]
    fn a_cluster_that_runs_becomes_a_fleet_or_joins_one() {
        let printer = Printer::before_options(LogFormat::Text);
        let directory = tempfile::tempdir().unwrap();
        let name: FleetName = "acme".parse().unwrap();
        let first = written("prod-1", &name, &seen("prod-1"), None, &printer).unwrap();
        let paths: Vec<&str> = first.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["fleet.toml", "releases/baseline.toml", "clusters/prod-1.toml"]);
        save(directory.path(), &first);
        let fleet = load(directory.path());
        assert_eq!(fleet.clusters.len(), 1);

        // The second one is in the first channel of the fleet, and its file is the only new one.
        let second = written("prod-2", &name, &seen("prod-2"), Some(&fleet), &printer).unwrap();
        let paths: Vec<&str> = second.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["clusters/prod-2.toml"]);
        save(directory.path(), &second);
        let fleet = load(directory.path());
        let cluster = &fleet.clusters[&"prod-2".parse::<ClusterName>().unwrap()];
        assert_eq!(cluster.channel.as_str(), "dev");
        assert_eq!(cluster.pools.len(), 1);
    }

    #[test]
    fn an_images_name_becomes_a_pattern() {
        let of = |name| pattern(name, "1.35.4");
        assert_eq!(of("k8s-1.35.4-x86_64-20261001").as_deref(), Some("k8s-{version}-x86_64-*"));
        assert_eq!(of("v1.35.4").as_deref(), Some("v{version}"));
        assert_eq!(of("k8s-1.35.41"), None);
        assert_eq!(of("ubuntu-24.04"), None);
    }

    #[test]
    fn names_are_tamed() {
        assert_eq!(cluster_name("arn:aws:eks:x/Prod EU!").as_str(), "prod-eu");
        let mut taken = BTreeSet::new();
        assert_eq!(pool_name("nodes-a.prod.example.com", &mut taken).as_str(), "nodes-a");
        assert_eq!(
            pool_name("nodes-a.dev.example.com", &mut taken).as_str(),
            "nodes-a-dev-example-com"
        );
    }
}
