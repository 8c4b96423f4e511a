use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use refit_model::{ClusterName, Fleet, GroupOp, LeaseState, Op, Period, Token};
use refit_provider::{Act, ErrorClass, Look, Observe, Scope};

use super::bench::*;
use crate::{Edit, Faults, Simulated, World, WorldFile, WorldFileError, random_fleet};

fn lease(run: &str) -> Op {
    let (run, holder) = (run.parse().unwrap(), format!("{run}@host"));
    Op::HoldLease { run, holder, ttl: Period::seconds(60) }
}

#[test]
fn one_run_holds_the_lease() {
    let mut bench = Bench::new();
    bench.send(&lease("one")).unwrap();
    let conflict = bench.send(&lease("two")).unwrap_err();
    assert_eq!(conflict.class, ErrorClass::Conflict);
    assert!(conflict.message.contains("one@host"), "{conflict}");
    assert!(conflict.message.contains("until 2026-11-02T09:01:00Z"), "{conflict}");
    bench.pass(30);
    bench.send(&lease("one")).unwrap();
    bench.pass(45);
    assert!(bench.send(&lease("two")).is_err(), "it was renewed");
    bench.pass(16);
    bench.send(&lease("two")).unwrap();
    bench.send(&Op::ReleaseLease { run: "one".parse().unwrap() }).unwrap();
    assert!(bench.look().lease.is_some(), "another run's Lease is not given back");
    bench.send(&Op::ReleaseLease { run: "two".parse().unwrap() }).unwrap();
    assert!(bench.look().lease.is_none());
    let until = bench.world.now();
    let other = LeaseState { run: "x".parse().unwrap(), holder: "x".into(), until };
    bench.edit(Edit::SetLease(Some(other)));
    bench.send(&lease("one")).unwrap();
}

/// Calls with some of everything, as bytes.
fn adventure(bench: &mut Bench, steps: std::ops::Range<u32>) -> Vec<u8> {
    for step in steps {
        let state = bench.look_at(&Scope::Everything);
        if let Ok(state) = state {
            let group = &state.groups[&pool_group()];
            let instance = group.instances[step as usize % group.instances.len()].id.clone();
            let op = match step % 5 {
                0 => GroupOp::RaiseDesired { from: group.desired, to: group.desired + 1 },
                1 => GroupOp::Terminate { instance, decrement: true },
                2 => GroupOp::Protect { instance },
                3 => GroupOp::Terminate { instance, decrement: false },
                _ => GroupOp::Unprotect { instance },
            };
            let _answer = bench.group(op);
            if let Some(pod) = pods_of(&state, &web()).iter().find(|pod| pod.node.is_some()) {
                let _answer = bench.evict(pod);
            }
        }
        bench.pass(17);
    }
    bench.world.to_bytes()
}

#[test]
fn the_same_calls_give_the_same_bytes_also_across_a_save() {
    let faults = Faults::from_seed(5);
    let run = |saved: bool| {
        let mut bench = Bench::of(Spec { seed: 9, ..Spec::default() });
        bench.world.set_faults(&faults);
        adventure(&mut bench, 0..30);
        if saved {
            bench.world = World::from_bytes(&bench.world.to_bytes()).unwrap();
        }
        adventure(&mut bench, 30..60)
    };
    let bytes = run(false);
    assert_eq!(bytes, run(false));
    assert_eq!(bytes, run(true));
    let mut other = Bench::of(Spec { seed: 10, ..Spec::default() });
    other.world.set_faults(&faults);
    assert_ne!(bytes, adventure(&mut other, 0..60));
}

#[test]
fn how_often_somebody_asks_the_time_does_not_matter() {
    let mut often = Bench::new();
    let mut once = Bench::new();
    for bench in [&mut often, &mut once] {
        bench.group(GroupOp::RaiseDesired { from: 3, to: 6 }).unwrap();
    }
    for _ in 0..300 {
        often.pass(1);
    }
    once.pass(300);
    assert_eq!(often.world.to_bytes(), once.world.to_bytes());
    assert_eq!(once.world.next_event_at(), None, "it comes to rest");
}

#[test]
fn a_newer_format_is_refused() {
    let world = World::new(START.parse().unwrap(), 1);
    let text = String::from_utf8(world.to_bytes()).unwrap();
    let newer = text.replace("\"format-version\":\"1.2\"", "\"format-version\":\"2.0\"");
    assert!(matches!(
        World::from_bytes(newer.as_bytes()),
        Err(WorldFileError::Format { found }) if found == "2.0"
    ));
    assert!(matches!(World::from_bytes(b"{"), Err(WorldFileError::NotAWorld(_))));
}

#[test]
fn an_answer_that_is_lost_may_have_taken_effect() {
    for (faults, desired) in [
        (Faults { lost_answers: 1000, ..Faults::none() }, 4),
        (Faults { lost_calls: 1000, ..Faults::none() }, 3),
    ] {
        let mut bench = Bench::new();
        bench.world.set_faults(&faults);
        let error = bench.group(GroupOp::RaiseDesired { from: 3, to: 4 }).unwrap_err();
        assert_eq!(error.class, ErrorClass::Unknown);
        assert_eq!(bench.look().groups[&pool_group()].desired, desired);
    }
}

#[test]
fn calls_and_looks_fail_in_their_classes() {
    let mut bench = Bench::new();
    bench.world.set_faults(&Faults { transient: 1000, failed_looks: 1000, ..Faults::none() });
    assert_eq!(bench.group(GroupOp::Untag).unwrap_err().class, ErrorClass::Transient);
    assert_eq!(bench.look_at(&Scope::Identity).unwrap_err().class, ErrorClass::Transient);
    bench.world.set_faults(&Faults { throttled: 1000, ..Faults::none() });
    let throttled = bench.group(GroupOp::Untag).unwrap_err();
    assert_eq!(throttled.class, ErrorClass::Throttled);
    assert!(throttled.retry_after.is_some());
    bench.world.stop_faults();
    bench.group(GroupOp::Untag).unwrap();
}

#[test]
fn operators_and_failing_machines_get_in_between() {
    let faults = |cordons, scales, kills| Faults {
        operator_cordons: cordons,
        operator_scales: scales,
        killed_instances: kills,
        ..Faults::none()
    };
    let after = |faults: &Faults| {
        let mut bench = Bench::new();
        bench.world.set_faults(faults);
        bench.group(GroupOp::Untag).unwrap();
        bench.pass(130);
        bench
    };
    let cordoned = after(&faults(1000, 0, 0)).look();
    assert_eq!(workers(&cordoned).iter().filter(|(_, node)| node.unschedulable).count(), 1);
    let mut scaled = after(&faults(0, 1000, 0));
    assert_eq!(scaled.look().groups[&pool_group()].desired, 4);
    assert!(scaled.world.settings_given_back().is_empty(), "that was not refit");
    let mut killed = after(&faults(0, 0, 1000));
    killed.world.stop_faults();
    killed.pass(600);
    let state = killed.look();
    assert_eq!(ready_workers(&state), 3);
    assert!(instances(&state, &pool_group()).any(|found| found.id.as_str().ends_with('7')));
}

#[test]
fn a_look_shows_as_much_as_it_is_asked_for() {
    let mut bench = Bench::new();
    let identity = bench.look_at(&Scope::Identity).unwrap();
    assert!(identity.nodes.is_empty() && identity.groups.is_empty());
    let control_plane = bench.look_at(&Scope::ControlPlane).unwrap();
    assert!(control_plane.nodes.values().all(|node| node.control_plane));
    assert_eq!(control_plane.control_plane.len(), 3);
    let pool = bench.look_at(&Scope::Pool("general".parse().unwrap())).unwrap();
    assert_eq!((pool.nodes.len(), pool.groups.len()), (3, 1));
    assert!(!pool.workloads.is_empty() && !pool.budgets.is_empty());
    let addon = bench.look_at(&Scope::Addon(dns())).unwrap();
    assert_eq!(addon.addons.len(), 1);
    let all = bench.look();
    assert_eq!(all.identity, identity.identity);
    assert_eq!(all.images.len(), 4);
    assert_eq!(all.identity.region.as_deref(), Some("eu-west-1"));
}

#[test]
fn a_cluster_grows_with_its_file() {
    let mut bench = Bench::new();
    let before = bench.world.to_bytes();
    let available: Vec<_> = (31..=34).map(version).collect();
    bench.world.add_cluster(&bench.cluster, &available, &bench.addons);
    assert_eq!(bench.world.to_bytes(), before, "nothing new");
    let mut pool = bench.cluster.pools[0].clone();
    pool.name = "edge".parse().unwrap();
    pool.groups = vec!["edge".parse().unwrap()];
    bench.cluster.pools.push(pool);
    let available: Vec<_> = (31..=35).map(version).collect();
    bench.world.add_cluster(&bench.cluster, &available, &bench.addons);
    assert_eq!(bench.look().images.len(), 5);
    bench.until("three more", |state| ready_workers(state) == 6);
}

#[test]
fn a_newer_image_of_the_same_version() {
    let mut bench = Bench::new();
    let name = bench.cluster.name.clone();
    let id = bench.world.publish_image(&name, &pattern(), &version(31)).unwrap();
    let again = bench.world.publish_image(&name, &pattern(), &version(31)).unwrap();
    assert_ne!(id, again);
    let state = bench.look();
    let names: Vec<&str> = state
        .images
        .iter()
        .filter(|image| pattern().matches(&version(31), &image.name))
        .map(|image| image.name.as_str())
        .collect();
    assert_eq!(names.len(), 3);
    assert!(names.contains(&"acme-1.31.2-20261102"), "{names:?}");
}

#[test]
fn strangers_are_seen() {
    let mut bench = Bench::new();
    let node: refit_model::NodeName = "stray".parse().unwrap();
    bench.edit(Edit::AddNode { node: node.clone(), kubelet: version(31) });
    let state = bench.look();
    assert_eq!(state.nodes[&node].instance, None);
    assert!(state.nodes[&node].ready);
    let pools = std::mem::take(&mut bench.cluster.pools);
    let state = bench.look();
    assert!(workers(&state).iter().all(|(_, node)| node.instance.is_none()));
    bench.cluster.pools = pools;
    let name = bench.cluster.name.clone();
    let nobody = Edit::Cordon("nobody".parse().unwrap());
    assert_eq!(bench.world.edit(&name, nobody).unwrap_err().to_string(), "ant has no node nobody");
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the world never waits"),
    }
}

#[test]
fn the_provider_keeps_the_world_after_every_call() {
    let bench = Bench::new();
    let start = bench.world.now();
    let saves = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&saves);
    let provider = Simulated::new(bench.world, move || start).saving(move |_| {
        if counter.fetch_add(1, Ordering::SeqCst) < 2 {
            Ok(())
        } else {
            Err(io::Error::other("the disk is full"))
        }
    });
    let (cluster, addons) = (&bench.cluster, &bench.addons);
    let look = Look { cluster, addons, scope: &Scope::Identity };
    now(provider.look(look)).unwrap();
    let op = Op::Group { group: pool_group(), op: GroupOp::Untag };
    now(provider.submit(cluster, addons, &op, &Token("a".into()))).unwrap();
    now(provider.look(look)).unwrap();
    assert_eq!(saves.load(Ordering::SeqCst), 2, "no time has passed since");
    let error = now(provider.submit(cluster, addons, &op, &Token("b".into()))).unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(error.message.contains("the disk is full"), "{error}");
    assert_eq!(provider.with_world(|world| world.now()), start);
}

/// The files of a world as they are on a disk.
#[derive(Clone, Default)]
struct Disk {
    head: Option<Vec<u8>>,
    clusters: BTreeMap<ClusterName, Vec<u8>>,
}

impl Disk {
    fn write(&mut self, file: &WorldFile) {
        match file {
            WorldFile::Cluster(name, bytes) => {
                self.clusters.insert(name.clone(), bytes.clone());
            }
            WorldFile::Head(bytes) => self.head = Some(bytes.clone()),
        }
    }

    fn read(&self) -> Option<World> {
        let mut world = World::from_head(self.head.as_ref()?).unwrap();
        for bytes in self.clusters.values() {
            world.read_cluster(bytes).unwrap();
        }
        world.advance_to(world.now());
        Some(world)
    }
}

/// A fleet of several generated clusters, and its world.
fn several_clusters() -> (Fleet, World) {
    (0..1000).map(random_fleet).find(|(fleet, _)| fleet.clusters.len() > 2).unwrap()
}

#[test]
fn between_any_two_writes_the_files_are_a_whole_world() {
    let (fleet, mut world) = several_clusters();
    let mut disk = Disk::default();
    let mut killed = 0;
    for (step, cluster) in (0_u64..60).zip(fleet.clusters.values().cycle()) {
        let look = Look { cluster, addons: &fleet.addons, scope: &Scope::Everything };
        if let Ok(state) = world.look(look)
            && let Some((name, group)) = state.groups.iter().next()
        {
            let op = match step % 3 {
                0 => GroupOp::RaiseDesired { from: group.desired, to: group.desired + 1 },
                1 => GroupOp::Protect { instance: group.instances[0].id.clone() },
                _ => GroupOp::Unprotect { instance: group.instances[0].id.clone() },
            };
            let token = Token(format!("t{step}"));
            let op = Op::Group { group: name.clone(), op };
            let _answer = world.submit(cluster, &fleet.addons, &op, &token);
        }
        let files = world.unsaved();
        let is_first = disk.head.is_none();
        for file in &files {
            disk.write(file);
            match disk.read() {
                // The call was made and is there, whichever files are not written yet.
                Some(read) => assert!(read.to_bytes() == world.to_bytes(), "step {step}"),
                None => assert!(is_first, "step {step}"),
            }
            killed += 1;
        }
        world.saved(files);
        assert!(world.unsaved().is_empty());
        world.advance_to(world.now().checked_add(Duration::from_secs(7 + step)).unwrap());
    }
    assert!(killed > 100, "{killed} writes");
}

#[test]
fn a_call_writes_its_cluster_and_time_writes_none() {
    let (fleet, mut world) = several_clusters();
    let first = world.unsaved();
    assert_eq!(first.len(), fleet.clusters.len() + 1);
    assert!(matches!(first.last(), Some(WorldFile::Head(_))), "it makes the others count");
    world.saved(first);
    world.advance_to(world.now().checked_add(Duration::from_mins(10)).unwrap());
    let files = world.unsaved();
    assert!(matches!(files[..], [WorldFile::Head(_)]), "{} files", files.len());
    world.saved(files);
    let cluster = fleet.clusters.values().nth(1).unwrap();
    let run: refit_model::RunId = "one".parse().unwrap();
    let op = Op::ReleaseLease { run };
    world.submit(cluster, &fleet.addons, &op, &Token("t".into())).unwrap();
    let files = world.unsaved();
    assert!(
        matches!(&files[..], [WorldFile::Cluster(name, _)] if *name == cluster.name),
        "{} files",
        files.len()
    );
    // What could not be written is written the next time.
    assert_eq!(world.unsaved(), files);
}

#[test]
fn files_of_a_newer_format_are_refused() {
    let (_, mut world) = several_clusters();
    for file in world.unsaved() {
        let (WorldFile::Cluster(_, bytes) | WorldFile::Head(bytes)) = &file;
        let text = String::from_utf8(bytes.clone()).unwrap();
        let newer = text.replace("\"format-version\":\"2.0\"", "\"format-version\":\"2.1\"");
        let read = match file {
            WorldFile::Cluster(..) => world.read_cluster(newer.as_bytes()).map(|_| ()),
            WorldFile::Head(_) => World::from_head(newer.as_bytes()).map(|_| ()),
        };
        assert!(matches!(read, Err(WorldFileError::Format { found }) if found == "2.1"));
    }
    // The one file that a world was before.
    let whole = world.to_bytes();
    assert!(World::is_whole(&whole).unwrap());
    assert_eq!(World::time_of(&whole).unwrap(), world.now());
    let read = World::from_bytes(&whole).unwrap();
    assert_eq!(read.unsaved(), world.unsaved(), "all of it is to be written");
}

#[test]
fn generated_worlds_start_healthy() {
    for seed in 0..100 {
        let (fleet, mut world) = random_fleet(seed);
        for cluster in fleet.clusters.values() {
            let look = Look { cluster, addons: &fleet.addons, scope: &Scope::Everything };
            let state = world.look(look).unwrap();
            assert!(state.pods.iter().all(|pod| pod.ready), "seed {seed}: {state:#?}");
            assert!(state.addons.values().all(|addon| addon.not_ready.is_none()), "seed {seed}");
        }
        assert!(world.violations().is_empty() && world.settings_given_back().is_empty());
    }
}
