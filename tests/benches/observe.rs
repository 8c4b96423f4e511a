//! `cargo bench -p refit-tests --bench observe`: what looking at a large cluster costs, on a genuine
//! kube-apiserver with 5,000 nodes and 50,000 pods. Other sizes: `-- NODES PODS`.
//!
//! It needs `cargo build --release -p refit` before, and about ten minutes. In the same run it
//! measures a bare pass over the raw pods by pages, and `kubectl` if there is one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use refit_tests::real::{Pool, RealCluster, Spec};
use serde_json::json;
use tempfile::TempDir;

const NODES: u64 = 5_000;
const PODS: u64 = 50_000;

fn main() {
    let given: Vec<u64> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    let [nodes, pods] = given[..] else { return measure(NODES, PODS) };
    measure(nodes, pods);
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

fn measure(nodes: u64, pods: u64) {
    let refit = binary();
    let spec = Spec::new("crowd").without_control_plane().pool(Pool::new("general").sizes(1, 1, 2));
    let cluster = RealCluster::start(&spec).expect("the servers start");
    let seconds = cluster.crowd(nodes, pods).expect("the cluster can be filled");
    say(&format!("{nodes} nodes and {pods} pods were made in {seconds:.0} s.\n"));

    say("| What | Time | Memory |");
    say("|---|---:|---:|");
    // The first pass fills the apiserver's own caches.
    for round in ["first", "second"] {
        let pass = cluster.admin(json!({ "do": "pass_over", "path": "/api/v1/pods" }));
        let pass = pass.expect("the pods can be read");
        let (seconds, bytes) = (pass[0].as_f64(), pass[1].as_f64());
        let (seconds, megabytes) = (seconds.unwrap_or_default(), bytes.unwrap_or_default() / 1e6);
        say(&format!("| {round} bare pass over {megabytes:.0} MB of pods | {seconds:.1} s | |"));
    }
    let fleet = fleet(&cluster);
    for _ in 0..3 {
        let mut command = Command::new(&refit);
        command.args(["observe", "-o", "snapshot.json"]).current_dir(fleet.path());
        command.env("KUBECONFIG", &cluster.kubeconfig).envs(cluster.aws_environment());
        say(&format!("| `refit observe` | {} |", timed(&mut command)));
    }
    let snapshot = fs::metadata(fleet.path().join("snapshot.json")).expect("it was written");
    if Command::new("kubectl").arg("version").arg("--client").output().is_ok() {
        let mut command = Command::new("kubectl");
        command.args(["get", "nodes,pods,poddisruptionbudgets", "-A", "-o", "json"]);
        command.env("KUBECONFIG", &cluster.kubeconfig);
        say(&format!(
            "| `kubectl get nodes,pods,poddisruptionbudgets -A -o json` | {} |",
            timed(&mut command)
        ));
    }
    say(&format!("\nThe snapshot has {} MB.", snapshot.len() / 1_000_000));
}

/// The release binary, beside this one.
fn binary() -> PathBuf {
    let bench = std::env::current_exe().expect("a process has an executable");
    let binary =
        bench.ancestors().nth(2).expect("benches are in target/release/deps").join("refit");
    assert!(
        binary.exists(),
        "{} is missing: run `cargo build --release -p refit`",
        binary.display()
    );
    binary
}

/// How long it runs, and the most memory that it has at once, as cells of the table.
fn timed(command: &mut Command) -> String {
    let begun = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the command starts");
    let mut peak = 0;
    let status = loop {
        peak = peak.max(high_water(&child));
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert!(status.success(), "{command:?} ended with {status}");
    format!("{:.1} s | {} MB", begun.elapsed().as_secs_f64(), peak / 1000)
}

/// The most memory that the process has had at once so far, in kB; 0 where the system does not say.
fn high_water(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Files that declare the cluster.
fn fleet(cluster: &RealCluster) -> TempDir {
    let directory = TempDir::new().expect("there is room for a directory");
    let write = |file: &str, text: &str| {
        let path = directory.path().join(file);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    };
    write(
        "fleet.toml",
        "[fleet]\nname = \"real\"\n\n[kubernetes]\navailable = [\"1.35.4\"]\n\n\
         [[channels]]\nname = \"dev\"\nrelease = \"r1\"\n",
    );
    write("releases/r1.toml", "[release]\nname = \"r1\"\nkubernetes = \"1.35.4\"\n");
    let image = "image = { name = \"k8s-{version}-x86_64-*\" }\n";
    write(
        "clusters/crowd.toml",
        &format!(
            "[cluster]\nname = \"crowd\"\nchannel = \"dev\"\n\n\
             [provider]\nkind = \"aws\"\nregion = \"eu-central-1\"\n\n\
             [control-plane]\nauto-scaling-groups = [\"control-plane\"]\n{image}\n\
             [[node-pools]]\nname = \"general\"\nauto-scaling-groups = [\"{}\"]\n{image}",
            cluster.group_of("general")
        ),
    );
    directory
}
