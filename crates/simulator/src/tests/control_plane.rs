use refit_model::{EtcdLayout, GroupOp, Op, TargetHealth};
use refit_provider::{ErrorClass, Scope};

use super::bench::*;
use crate::Faults;

fn etcd_ready(state: &refit_model::ClusterState) -> usize {
    state.control_plane.iter().filter(|member| member.etcd_ready == Some(true)).count()
}

fn replace_one(bench: &mut Bench) -> refit_model::InstanceId {
    let state = bench.look();
    let member = state.control_plane[0].instance.clone();
    let (node, _) = state.node_of(&member).unwrap();
    bench.cordon(&node.clone());
    bench.cp(GroupOp::Deregister { instance: member.clone() }).unwrap();
    bench.until("drained", |state| {
        state.instance(&member).unwrap().1.target_health == Some(TargetHealth::Unused)
    });
    bench.cp(GroupOp::Terminate { instance: member.clone(), decrement: false }).unwrap();
    member
}

#[test]
fn a_single_instance_leaves_a_gap() {
    let mut bench = Bench::of(Spec { control_plane: 1, ..Spec::default() });
    let old = replace_one(&mut bench);
    assert!(bench.look_at(&Scope::Identity).is_ok(), "it still shuts down");
    bench.pass(20);
    let refused = bench.look_at(&Scope::Identity).unwrap_err();
    assert_eq!(refused.class, ErrorClass::Transient);
    assert!(refused.message.contains("connection refused"));
    let (run, holder) = ("run-1".parse().unwrap(), "me".to_owned());
    let lease = Op::HoldLease { run, holder, ttl: refit_model::Period::seconds(60) };
    assert_eq!(bench.send(&lease).unwrap_err().class, ErrorClass::Transient);
    bench.group(GroupOp::Suspend { process: "AZRebalance".into() }).unwrap();
    let back = bench.until("back", |state| {
        etcd_ready(state) == 1
            && state.instance(&old).is_none()
            && state.nodes.values().all(|node| node.ready)
    });
    assert!(back > 30, "{back}");
    assert!(bench.world.violations().is_empty(), "{:?}", bench.world.violations());
}

#[test]
fn three_instances_answer_all_the_time() {
    let mut bench = Bench::new();
    bench.launch_minor(&cp_group(), 32);
    let old = replace_one(&mut bench);
    for _ in 0..400 {
        bench.pass(1);
        let state = bench.look();
        assert!(etcd_ready(&state) >= 2);
    }
    let state = bench.look();
    assert!(state.instance(&old).is_none());
    assert_eq!(etcd_ready(&state), 3);
    let new = state.control_plane.iter().filter(|member| member.api_server == Some(version(32)));
    assert_eq!(new.count(), 1);
    let healthy = instances(&state, &cp_group())
        .filter(|found| found.target_health == Some(TargetHealth::Healthy));
    assert_eq!(healthy.count(), 3);
    assert!(bench.world.violations().is_empty(), "{:?}", bench.world.violations());
}

#[test]
fn a_member_of_etcd_waits_for_its_volume() {
    let mut bench = Bench::of(Spec { control_plane: 1, ..Spec::default() });
    replace_one(&mut bench);
    bench.world.set_faults(&Faults { lost_etcd: 1000, ..Faults::none() });
    bench.pass(3600);
    assert!(bench.look_at(&Scope::Everything).is_err(), "etcd does not come back");
    bench.world.stop_faults();
    bench.until("back", |state| etcd_ready(state) == 1);
}

#[test]
fn external_etcd_has_no_members() {
    let spec = Spec { etcd: EtcdLayout::External, ..Spec::default() };
    let mut bench = Bench::of(spec);
    assert!(bench.look().control_plane.iter().all(|member| member.etcd_ready.is_none()));
    let old = replace_one(&mut bench);
    bench.until("replaced", |state| {
        state.instance(&old).is_none()
            && state.control_plane.iter().filter(|member| member.api_server.is_some()).count() == 3
    });
    assert!(bench.world.violations().is_empty());
}

#[test]
fn a_deregistered_target_can_come_back() {
    let mut bench = Bench::new();
    let instance = first_instance(&bench.look(), &cp_group());
    bench.cp(GroupOp::Deregister { instance: instance.clone() }).unwrap();
    let health = |state: &refit_model::ClusterState| {
        state.instance(&instance).and_then(|(_, found)| found.target_health)
    };
    assert_eq!(health(&bench.look()), Some(TargetHealth::Draining));
    bench.cp(GroupOp::Register { instance: instance.clone() }).unwrap();
    assert_eq!(health(&bench.look()), Some(TargetHealth::Initial));
    bench.until("healthy", |state| health(state) == Some(TargetHealth::Healthy));
    bench.pass(120);
    assert_eq!(health(&bench.look()), Some(TargetHealth::Healthy), "the old draining is void");
}
