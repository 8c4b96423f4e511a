//! `cargo bench -p refit-planner`: how long planning and verifying takes for large fleets, as a
//! table. A number of clusters and of situations can be given: `cargo bench -p refit-planner --
//! 10000 2000`.
//!
//! Each cluster has 3 instances of a control plane, 4 pools with 47 nodes and 12 add-ons, some of
//! which require each other, and has three minors to go. A *situation* is what a cluster begins
//! with: the versions of its add-ons, and how far its pools lag behind. Every cluster gets one of
//! the situations, by turns; a seed makes each of them. Reading a snapshot includes its digest,
//! which a plan carries.

#![expect(clippy::unwrap_used, reason = "a benchmark may fail by it")]
#![expect(clippy::disallowed_types, reason = "a benchmark measures time")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads its arguments and its memory")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use refit_model::{
    AddonState, AddonTarget, AddonVersion, ApplySetParent, ClusterName, ClusterState, Fleet,
    KubeProxy, KubeVersion, Observation, SavedPlan, Snapshot, Target, digest_of,
};
use refit_planner::{Options, plan};
use refit_verifier::verify_known;

#[path = "../tests/planner/bench.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod bench;

use bench::{Bench, ant, at, fleet, knows, n, release, requires};

const SIZES: [(usize, usize); 6] =
    [(100, 20), (1_000, 200), (3_000, 600), (10_000, 2_000), (2_000, 2_000), (10_000, 10_000)];
const ADDONS: [&str; 12] = [
    "aws-vpc-cni",
    "cert-manager",
    "cluster-autoscaler",
    "coredns",
    "ebs-csi",
    "external-dns",
    "gateway-api",
    "ingress",
    "kube-proxy",
    "metrics-server",
    "node-problem-detector",
    "prometheus",
];

fn main() {
    let given: Vec<usize> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    say(
        "| Clusters | Situations | Actions | Plan | Verify | Both | Read snapshot | Write plan | Memory |",
    );
    say("|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    if let [clusters, situations, ..] = given[..] {
        say(&measured(clusters, situations));
        return;
    }
    // Each in a process of its own, as commands are: none finds the memory that another has left.
    let own = std::env::current_exe().unwrap();
    for (clusters, situations) in SIZES {
        let sizes = [clusters, situations].map(|size| size.to_string());
        let output = Command::new(&own).args(sizes).output().unwrap();
        assert!(output.status.success(), "{clusters} {situations}");
        say(String::from_utf8(output.stdout).unwrap().lines().last().unwrap());
    }
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

fn measured(clusters: usize, situations: usize) -> String {
    let (fleet, seen) = generate(clusters, situations);
    let bytes = serde_json::to_vec(&seen).expect("a snapshot can be written");
    drop(seen);
    // Planned from what was read, as users do: no two clusters share the texts of their names.
    let (read, snapshot) =
        timed(|| serde_json::from_slice::<Snapshot>(&bytes).expect("it was written"));
    drop(bytes);
    let (digested, digest) = timed(|| digest_of(&snapshot));
    let options = Options { snapshot_digest: Some(digest), ..Options::default() };
    let (planned, made) = timed(|| plan(&fleet, &snapshot, &options));
    assert!(!made.is_blocked(), "{:#?}", made.findings.first());
    let (verified, notes) = timed(|| verify_known(&fleet, &snapshot, &digest, &made));
    assert!(notes.is_empty(), "{notes:?}");
    let actions = made.actions.len();
    let (written, _) = timed(|| SavedPlan::new(made).to_bytes());
    format!(
        "| {clusters} | {situations} | {actions} | {} | {} | {} | {} | {} | {} |",
        show(planned),
        show(verified),
        show(planned + verified),
        show(read + digested),
        show(written),
        memory(),
    )
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let result = work();
    (begun.elapsed(), result)
}

fn show(took: Duration) -> String {
    format!("{:.0} ms", took.as_secs_f64() * 1000.0)
}

/// The most memory that the process ever had.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.map_or_else(String::new, |kb| format!("{} MB", kb / 1000))
}

/// A fleet and what was seen of it.
fn generate(clusters: usize, situations: usize) -> (Fleet, Snapshot) {
    let mut fleet = fleet(&[("ant", "1.31.5", "1.34.5")]);
    fleet.available.retain(|version| version.minor().minor >= 28);
    more_pools(&mut fleet);
    for (at, name) in ADDONS.iter().enumerate() {
        let low = 29 + at % 2;
        let versions: Vec<(String, String)> = (0..6)
            .map(|minor| (format!("1.{minor}.0"), format!(">=1.{low}, <=1.{}", 32 + minor)))
            .collect();
        let versions: Vec<_> = versions.iter().map(|(v, r)| (v.as_str(), r.as_str())).collect();
        knows(&mut fleet, name, &versions);
    }
    for minor in 3..6 {
        let version = format!("1.{minor}.0");
        requires(&mut fleet, "ingress", &version, "gateway-api", ">=1.3.0");
        requires(&mut fleet, "prometheus", &version, "cert-manager", ">=1.2.0");
        requires(&mut fleet, "ingress", &version, "cert-manager", ">=1.2.0");
    }
    for version in ["1.0.0", "1.1.0"] {
        release(&mut fleet, "kube-proxy", version).kubelets = Some(n("<=1.33"));
    }
    let beginning = Bench::of(fleet);
    let mut fleet = beginning.fleet.clone();
    let template = ant(&mut fleet).clone();
    let digests: BTreeMap<(usize, AddonVersion), _> = ADDONS
        .iter()
        .enumerate()
        .flat_map(|(at, name)| {
            let known = fleet.addons[&n(name)].versions.iter();
            known.map(move |(version, r)| ((at, version.clone()), *r.manifests.digest()))
        })
        .collect();
    let mut beginning = beginning;
    let seen: Vec<ClusterState> =
        (0..situations).map(|seed| situation(beginning.state().clone(), seed, &digests)).collect();
    fleet.clusters.clear();
    let mut snapshot = beginning.snapshot.clone();
    snapshot.clusters.clear();
    for number in 0..clusters {
        let name: ClusterName = n(&format!("cluster-{number:05}"));
        let mut cluster = template.clone();
        cluster.name = name.clone();
        for addon in ADDONS {
            let at = at("releases/2026.11.0.toml");
            let version = Target { value: n("1.4.0"), pinned: false, at };
            let target = AddonTarget { version, set: "base".to_owned() };
            cluster.addons.insert(n(addon), target);
        }
        let mut state = seen[number % situations].clone();
        state.identity.uid = format!("uid-{number}");
        snapshot.clusters.insert(name.clone(), Observation::Fresh(Box::new(state)));
        fleet.clusters.insert(name, cluster);
    }
    (fleet, snapshot)
}

/// Two pools more, and as many nodes in each as large clusters have.
fn more_pools(fleet: &mut Fleet) {
    let cluster = ant(fleet);
    for (from, name) in [(0, "memory"), (1, "spot")] {
        let mut pool = cluster.pools[from].clone();
        pool.name = n(name);
        pool.groups = vec![n(&format!("ant-{name}-0"))];
        cluster.pools.push(pool);
    }
    let sizes = [("general", 20), ("batch", 12), ("memory", 9), ("spot", 6)];
    let start = bench::start(fleet);
    start.workloads.clear();
    for (pool, size) in sizes {
        start.group_sizes.insert(n(&format!("ant-{pool}-0")), size);
    }
}

/// What a cluster begins with, by the splitmix64 of every textbook.
fn situation(
    mut state: ClusterState,
    seed: usize,
    digests: &BTreeMap<(usize, AddonVersion), refit_model::Digest>,
) -> ClusterState {
    let mut number = seed as u64;
    let mut below = |bound: u64| {
        number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = number;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    };
    for (at, name) in ADDONS.iter().enumerate() {
        let version = AddonVersion::new(1, below(3), 0);
        let digest = digests[&(at, version.clone())];
        let parent = Some(ApplySetParent { digest, version });
        state.addons.insert(n(name), AddonState { parent, ..AddonState::default() });
    }
    // The situation's number is in its oldest kubelet's patch: no two are the same.
    let lag = u16::try_from(below(3)).expect("it is below three");
    let patch = u16::try_from(seed % 60_000).expect("it is below 60,000");
    let old = KubeVersion::new(1, 31 - lag, patch);
    let pool: Vec<_> =
        state.groups[&n("ant-spot-0")].instances.iter().map(|i| i.id.clone()).collect();
    for node in state.nodes.values_mut() {
        if node.instance.as_ref().is_some_and(|id| pool.contains(id)) {
            node.kubelet = old.clone();
            node.kube_proxy = KubeProxy::StaticPod(old.clone());
        }
    }
    state
}
