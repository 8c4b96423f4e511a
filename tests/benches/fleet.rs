//! `cargo bench -p refit-tests`: how long refit's own work takes for fleets of several sizes, as a
//! table. A size can be given: `cargo bench -p refit-tests -- 50`.
//!
//! The fleet is the quickstart's, with one of its clusters as often as it has to be there. Each
//! number is the least of several rounds: what else the machine does only adds to it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use refit_config::{MemoryFiles, load};
use refit_model::{Fleet, Observation, Plan, SavedPlan, Snapshot};
use refit_planner::{Options, plan};
use refit_provider::{Look, Scope};
use refit_render::{Style, plan_text};
use refit_simulator::World;
use refit_verifier::verify;

const SIZES: [usize; 3] = [10, 100, 1000];

/// A round of a small fleet takes no time, and so costs nothing to repeat.
fn rounds(clusters: usize) -> usize {
    (1000 / clusters).clamp(3, 30)
}

fn main() {
    let given: Vec<usize> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    let sizes = if given.is_empty() { SIZES.to_vec() } else { given };
    say("| Clusters | Nodes | Actions | Read files | Plan | Verify | Show | Saved plan |");
    say("|---:|---:|---:|---:|---:|---:|---:|---:|");
    for clusters in sizes {
        say(&measured(clusters));
    }
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

fn measured(clusters: usize) -> String {
    let rounds = rounds(clusters);
    let files = files(clusters);
    let (read, fleet) =
        least(rounds, || load(&files).fleet.expect("the quickstart's files are those of a fleet"));
    let snapshot = snapshot(&fleet);
    let (planned, made): (Duration, Plan) =
        least(rounds, || plan(&fleet, &snapshot, &Options::default()));
    let (verified, notes) = least(rounds, || verify(&fleet, &snapshot, &made));
    assert!(notes.is_empty() && !made.is_blocked(), "{notes:?} {:?}", made.findings);
    let (shown, _) = least(rounds, || plan_text(&made, Some(&fleet), Style::default()));
    let bytes = SavedPlan::new(made.clone()).to_bytes().len();
    let nodes: usize = snapshot
        .clusters
        .values()
        .map(|seen| match seen {
            Observation::Fresh(state) => state.nodes.len(),
            Observation::Unreachable { .. } => 0,
        })
        .sum();
    format!(
        "| {clusters} | {nodes} | {} | {} | {} | {} | {} | {}.{} MB |",
        made.actions.len(),
        show(read),
        show(planned),
        show(verified),
        show(shown),
        bytes / 1_000_000,
        bytes / 100_000 % 10
    )
}

/// The shortest of several rounds, and what came of the last.
fn least<T>(rounds: usize, work: impl Fn() -> T) -> (Duration, T) {
    let round = || {
        let begun = Instant::now();
        let result = work();
        (begun.elapsed(), result)
    };
    let (mut shortest, mut result) = round();
    for _ in 1..rounds {
        let (took, next) = round();
        shortest = shortest.min(took);
        result = next;
    }
    (shortest, result)
}

fn show(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1000.0;
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// What a provider would have seen.
fn snapshot(fleet: &Fleet) -> Snapshot {
    let beginning = "2026-11-02T09:00:00Z".parse().expect("the constant is a timestamp");
    let mut world = World::new(beginning, 1);
    world.add_fleet(fleet);
    let clusters = fleet
        .clusters
        .values()
        .map(|cluster| {
            let look = Look { cluster, addons: &fleet.addons, scope: &Scope::Everything };
            let seen = world.look(look).expect("nothing is wrong with this world");
            (cluster.name.clone(), Observation::Fresh(Box::new(seen)))
        })
        .collect();
    let format_version = Snapshot::FORMAT.to_owned();
    Snapshot { format_version, fleet: fleet.name.clone(), taken_at: world.now(), clusters }
}

/// The quickstart's files, with so many clusters in its first channel and one in its second.
fn files(clusters: usize) -> MemoryFiles {
    const COPIED: &str = "dev-eu-1";
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart");
    let mut files = MemoryFiles::new();
    for path in below(&root) {
        let name = path.strip_prefix(&root).expect("it is below").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("the quickstart can be read");
        if name == format!("clusters/{COPIED}.toml") {
            for number in 1..clusters {
                let copy = format!("dev-{number:04}");
                files.insert(format!("clusters/{copy}.toml"), text.replace(COPIED, &copy));
            }
        } else if !name.starts_with("clusters/") || name == "clusters/prod-eu-1.toml" {
            files.insert(name, text);
        }
    }
    files
}

/// The files that a fleet consists of.
fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the quickstart can be read") {
        let path = entry.expect("the quickstart can be read").path();
        let is_one = path.extension().is_some_and(|end| end == "toml" || end == "yaml");
        if path.is_dir() && !path.ends_with("state") {
            found.extend(below(&path));
        } else if is_one {
            found.push(path);
        }
    }
    found
}
