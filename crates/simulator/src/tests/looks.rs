//! Looks that lag behind, and looks of which a part fails.

use refit_model::{GroupOp, LeaseState, NodeOp, Op, Period};
use refit_provider::{ErrorClass, Scope};

use super::bench::*;
use crate::{Edit, Faults};

/// How old what is shown may be, in seconds.
const LAG_MAX: u64 = 8;

fn stale() -> Faults {
    Faults { stale_looks: 1000, ..Faults::none() }
}

#[test]
fn a_look_may_show_what_was_before_a_call_and_not_for_long() {
    let mut bench = Bench::new();
    bench.world.set_faults(&stale());
    let group = pool_group();
    let before = bench.look().groups[&group].desired;
    bench.pass(60);
    bench.group(GroupOp::RaiseDesired { from: before, to: before + 1 }).unwrap();
    let mut shown: Vec<u32> = Vec::new();
    for _ in 0..LAG_MAX {
        shown.push(bench.look().groups[&group].desired);
        bench.pass(1);
    }
    assert!(shown.contains(&before), "{shown:?}");
    assert!(shown.contains(&(before + 1)), "{shown:?}");
    assert!(!shown.is_sorted(), "it goes back in time: {shown:?}");
    bench.pass(1);
    for _ in 0..20 {
        assert_eq!(bench.look().groups[&group].desired, before + 1);
    }
}

#[test]
fn what_is_decided_on_an_old_look_is_refused() {
    let mut bench = Bench::new();
    bench.world.set_faults(&stale());
    let (group, state) = (pool_group(), bench.look());
    let from = state.groups[&group].desired;
    bench.group(GroupOp::RaiseDesired { from, to: from + 1 }).unwrap();
    let again = bench.group(GroupOp::RaiseDesired { from, to: from + 1 }).unwrap_err();
    assert_eq!(again.class, ErrorClass::Conflict);
    let instance = first_instance(&state, &group);
    let op = GroupOp::Terminate { instance, decrement: true };
    bench.world.stop_faults();
    bench.group(op.clone()).unwrap();
    assert_eq!(bench.group(op).unwrap_err().class, ErrorClass::Conflict);
    assert_eq!(bench.look().groups[&group].desired, from);
}

/// Cordons and pods are read from one API: a look never shows a node from after it was cordoned
/// with the pods from before.
#[test]
fn each_place_is_consistent_in_itself() {
    let mut bench = Bench::new();
    bench.world.set_faults(&stale());
    let (node, _) = workers(&bench.look())[0].clone();
    bench.pass(30);
    let run = "run".parse().unwrap();
    bench.node(&node, NodeOp::Cordon { run }).unwrap();
    bench.pass(2);
    let pod = pods_of(&bench.look(), &web()).into_iter().find(|p| p.node.as_ref() == Some(&node));
    let pod = pod.expect("a pod is on it");
    bench.evict(&pod).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let state = bench.look();
        let cordoned = state.nodes[&node].unschedulable;
        let leaving = state.pods.iter().all(|p| p.uid != pod.uid || p.terminating);
        assert!(cordoned || !leaving, "evicted and not cordoned");
        seen.insert((cordoned, leaving));
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn a_lease_is_never_an_old_one() {
    let mut bench = Bench::new();
    bench.world.set_faults(&stale());
    bench.look();
    let run: refit_model::RunId = "one".parse().unwrap();
    bench
        .send(&Op::HoldLease { run: run.clone(), holder: "a".into(), ttl: Period::seconds(60) })
        .unwrap();
    for _ in 0..20 {
        let lease: Option<LeaseState> = bench.look().lease;
        assert_eq!(lease.map(|lease| lease.run), Some(run.clone()));
    }
}

/// What one place has said is worth nothing without the other.
#[test]
fn a_look_of_which_a_part_fails_is_an_error() {
    let mut bench = Bench::new();
    bench.world.set_faults(&Faults { partial_looks: 1000, ..Faults::none() });
    let pool = bench.cluster.pools[0].name.clone();
    let mut classes = std::collections::BTreeSet::new();
    for scope in [Scope::Everything, Scope::ControlPlane, Scope::Pool(pool)] {
        for _ in 0..20 {
            let error = bench.look_at(&scope).expect_err("it is whole or an error");
            classes.insert(format!("{:?}", error.class));
        }
    }
    assert_eq!(classes.len(), 2, "both places fail: {classes:?}");
    // Where no machines are asked for only the cluster can fail.
    let ok = (0..20).filter(|_| bench.look_at(&Scope::Addon(dns())).is_ok()).count();
    assert!(ok > 0 && ok < 20, "{ok} of 20");
    bench.edit(Edit::SetLease(None));
}
