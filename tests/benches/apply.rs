//! `cargo bench -p refit-tests --bench apply`: how fast `refit apply` upgrades simulated clusters,
//! and how much it writes. Other sizes: `-- 1 10`.
//!
//! It needs `cargo build --release -p refit` before; another binary can be named in `REFIT_BINARY`.
//! Each cluster has eleven actions and some hundred calls. Simulated time passes at once, so what is
//! left is what the engine, its journal and the simulator take.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const SIZES: [usize; 5] = [1, 10, 30, 100, 1000];
const ACTIONS: usize = 11;

fn main() {
    let given: Vec<usize> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    let sizes = if given.is_empty() { SIZES.to_vec() } else { given };
    say("| Clusters | Actions | Time | Actions a second | Written |");
    say("|---:|---:|---:|---:|---:|");
    for clusters in sizes {
        say(&measured(clusters));
    }
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

fn measured(clusters: usize) -> String {
    let fleet = fleet(clusters);
    let mut command = Command::new(binary());
    command.args(["apply", "--auto-approve", "--simulation-speed", "100000", "--channel", "dev"]);
    command.args(["--parallelism", &clusters.clamp(10, 1000).to_string(), "--quiet"]);
    command.current_dir(fleet.path()).stdout(Stdio::null());
    let begun = Instant::now();
    let mut child = command.spawn().expect("refit starts");
    let written = written_until_it_ends(&mut child);
    let took = begun.elapsed().as_secs_f64();
    let status = child.wait().expect("it was started");
    assert!(status.success(), "refit apply: {status}");
    let actions = clusters * ACTIONS;
    let rate = f64::from(u32::try_from(actions).unwrap_or(u32::MAX)) / took;
    let megabytes = written / 1_000_000;
    format!("| {clusters} | {actions} | {took:.1} s | {rate:.1} | {megabytes} MB |")
}

/// Waits for the process, and returns how many bytes it has written. Linux tells while it lives.
fn written_until_it_ends(child: &mut Child) -> u64 {
    let file = format!("/proc/{}/io", child.id());
    let mut written = 0;
    while child.try_wait().expect("it was started").is_none() {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("wchar: "));
        written = line.and_then(|number| number.parse().ok()).unwrap_or(written);
        std::thread::sleep(Duration::from_millis(10));
    }
    written
}

fn binary() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/refit");
    std::env::var_os("REFIT_BINARY").map_or(built, PathBuf::from)
}

/// The quickstart's fleet, with so many clusters in its first channel and none in its second.
fn fleet(clusters: usize) -> TempDir {
    const COPIED: &str = "dev-eu-1";
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart");
    let directory = tempfile::tempdir().expect("there is room for a fleet");
    copy(&root, directory.path());
    let path = |name: &str| directory.path().join(format!("clusters/{name}.toml"));
    let declared = fs::read_to_string(path(COPIED)).expect("the quickstart can be read");
    let others = directory.path().join("clusters");
    fs::remove_dir_all(&others).and_then(|()| fs::create_dir(&others)).expect("it was made");
    // Its waves name clusters that are not there.
    let fleet = directory.path().join("fleet.toml");
    let text = fs::read_to_string(&fleet).expect("the quickstart can be read");
    let lines = text.lines().filter(|line| !line.starts_with("waves = "));
    let text = lines.collect::<Vec<&str>>().join("\n");
    fs::write(&fleet, text).expect("it was copied");
    for number in 0..clusters {
        let name = format!("dev-{number:04}");
        fs::write(path(&name), declared.replace(COPIED, &name)).expect("there is room for a fleet");
    }
    directory
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("there is room for a fleet");
    for entry in fs::read_dir(from).expect("the quickstart can be read") {
        let path = entry.expect("the quickstart can be read").path();
        let target = to.join(path.file_name().unwrap_or_default());
        let is_file = path.extension().is_some_and(|end| end == "toml" || end == "yaml");
        if path.is_dir() && !path.ends_with("state") {
            copy(&path, &target);
        } else if is_file {
            fs::copy(&path, &target).expect("there is room for a fleet");
        }
    }
}
