//! What a CI runner does to a run: it kills it, and throws its checkout away.

use std::fs::OpenOptions;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use refit_tests::real::{Pool, RealCluster, Spec};

use crate::fleet::{Fleet, versions};
use crate::watch::{settings, watched_on};

/// What killed runs said.
const SAID: &str = "said.txt";

/// As long as a run may take, killed or not.
const TIMEOUT: Duration = Duration::from_mins(12);

fn cluster(name: &str) -> RealCluster {
    let spec = Spec::new(name).pool(Pool::new("general")).fixture("deployments");
    RealCluster::start(&spec).expect("the cluster starts")
}

fn groups(cluster: &RealCluster) -> Vec<String> {
    let mut groups = vec![cluster.group_of("general")];
    groups.extend(cluster.control_plane_groups());
    groups
}

/// Waits for its end for so long; kills it then.
fn killed_after(mut child: Child, time: Duration) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status.code();
        }
        if begun.elapsed() > time {
            child.kill().expect("a child can be killed");
            child.wait().expect("a child that was killed ends");
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn start(fleet: &Fleet) -> Child {
    let mut command = fleet.command(&["apply", "--auto-approve", "--lock-timeout", "2m"]);
    // A full pipe that nobody reads would stop it.
    let said = OpenOptions::new().create(true).append(true).open(fleet.path().join(SAID));
    command.stdout(Stdio::null()).stderr(said.expect("the file can be written"));
    command.spawn().expect("refit starts")
}

/// Again and again at random moments, and the same command each time.
pub(crate) fn killed_at_random_it_goes_on_and_ends() {
    let cluster = cluster("killed");
    let fleet = Fleet::new(&cluster, &["general"]);
    fleet.ask_for(&versions()[1], &[]);
    fleet.grant(&cluster);
    let before = settings(&cluster, &groups(&cluster));
    // What a failure names can be played again.
    let given = std::env::var("REFIT_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| fastrand::u64(..));
    let mut dice = fastrand::Rng::with_seed(seed);
    let begun = Instant::now();
    let ((code, kills), seen) = watched_on(&cluster, || {
        let mut kills = 0;
        loop {
            if begun.elapsed() > TIMEOUT {
                let said = std::fs::read_to_string(fleet.path().join(SAID)).unwrap_or_default();
                panic!("seed {seed}: it does not end, killed {kills} times\n{said}");
            }
            // A busy machine needs more time for what has to be waited for without a break.
            let busy = begun.elapsed() / 20;
            let time = Duration::from_millis(dice.u64(2_000..20_000)) + busy.mul_f64(dice.f64());
            match killed_after(start(&fleet), time) {
                None => kills += 1,
                code => return (code, kills),
            }
        }
    });
    assert_eq!(code, Some(0), "seed {seed}: {}", fleet.run(&["status"]).text());
    assert!(kills > 2, "seed {seed}: it was killed {kills} times only");
    assert!(seen.wrong.is_empty(), "seed {seed}: {:#?}", seen.wrong);
    assert_eq!(settings(&cluster, &groups(&cluster)), before, "seed {seed}");
    fleet.is_done();
}

/// The state directory goes with the checkout; another one, on another machine as it were, takes
/// over once the Lease has run out.
pub(crate) fn another_checkout_without_the_state_takes_over() {
    let cluster = cluster("lost");
    let target = versions()[1].clone();
    let before = settings(&cluster, &groups(&cluster));
    let ask = || {
        let fleet = Fleet::new(&cluster, &["general"]);
        fleet.ask_for(&target, &[]);
        fleet.grant(&cluster);
        fleet
    };
    let first = ask();
    // Into the roll of the nodes, where there is most to put in order.
    let ((), seen) = watched_on(&cluster, || {
        let mut child = start(&first);
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < TIMEOUT, "no node was cordoned");
            let nodes = cluster.list("/api/v1/nodes").unwrap_or_default();
            let cordoned = nodes.iter().any(|node| {
                let worker = !node["metadata"]["labels"]["refit.test/pool"].is_null();
                worker && node["spec"]["unschedulable"] == true
            });
            if cordoned {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        child.kill().expect("a child can be killed");
        child.wait().expect("a child that was killed ends");
    });
    assert!(seen.wrong.is_empty(), "{:#?}", seen.wrong);
    drop(first);
    assert_ne!(settings(&cluster, &groups(&cluster)), before, "nothing was left behind");

    let second = ask();
    let (ended, seen) =
        watched_on(&cluster, || second.run(&["apply", "--auto-approve", "--lock-timeout", "3m"]));
    let ended = ended.exits(0);
    assert!(seen.wrong.is_empty(), "{:#?}\n{}", seen.wrong, ended.text());
    assert_eq!(settings(&cluster, &groups(&cluster)), before);
    second.is_done();
}
