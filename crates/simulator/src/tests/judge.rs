use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    ApiUse, GroupOp, Location, Minor, NodeOp, Op, OpId, Period, RollTag, Served, Source,
    UpdateStrategy,
};

use super::bench::*;
use crate::{Edit, Rule, Targets};

/// Everything that has to be done before an instance of the control plane may end.
fn prepare_member(bench: &mut Bench, index: usize) -> GroupOp {
    let state = bench.look();
    let instance = state.control_plane[index].instance.clone();
    let (node, _) = state.node_of(&instance).unwrap();
    bench.cordon(&node.clone());
    bench.cp(GroupOp::Deregister { instance: instance.clone() }).unwrap();
    bench.pass(60);
    GroupOp::Terminate { instance, decrement: false }
}

fn end_member(bench: &mut Bench, index: usize) {
    let end = prepare_member(bench, index);
    bench.cp(end).unwrap();
}

#[test]
fn ending_an_undrained_node() {
    let mut bench = Bench::new();
    let (node, found) = workers(&bench.look()).remove(0);
    bench.cordon(&node);
    let instance = found.instance.unwrap();
    bench.group(GroupOp::Terminate { instance, decrement: false }).unwrap();
    assert_eq!(bench.rules(), BTreeSet::from([Rule::Undrained]));
    assert!(bench.world.violations()[0].to_string().contains("on it"));
}

#[test]
fn ending_a_node_that_takes_new_pods() {
    let mut bench = Bench::of(Spec { workloads: Vec::new(), installed: false, ..Spec::default() });
    let (_, found) = workers(&bench.look()).remove(0);
    let instance = found.instance.unwrap();
    bench.group(GroupOp::Terminate { instance, decrement: false }).unwrap();
    assert!(bench.world.violations()[0].text.contains("was not cordoned"));
}

#[test]
fn lowering_desired_by_a_number() {
    let mut bench = Bench::new();
    bench.group(GroupOp::RaiseDesired { from: 3, to: 2 }).unwrap();
    assert_eq!(bench.rules(), BTreeSet::from([Rule::DesiredLowered]));
    bench.until("the group chose", |state| instances(state, &pool_group()).count() == 2);
}

#[test]
fn two_members_of_a_control_plane_at_once() {
    let mut bench = Bench::new();
    let (first, second) = (prepare_member(&mut bench, 0), prepare_member(&mut bench, 1));
    bench.cp(first).unwrap();
    assert!(bench.world.violations().is_empty(), "{:?}", bench.world.violations());
    bench.cp(second).unwrap();
    assert_eq!(bench.rules(), BTreeSet::from([Rule::ControlPlaneMissing, Rule::EtcdQuorum]));
}

#[test]
fn an_instance_that_still_takes_requests() {
    let mut bench = Bench::new();
    let state = bench.look();
    let instance = state.control_plane[0].instance.clone();
    let (node, _) = state.node_of(&instance).unwrap();
    bench.cordon(&node.clone());
    bench.cp(GroupOp::Terminate { instance, decrement: false }).unwrap();
    assert_eq!(bench.rules(), BTreeSet::from([Rule::Undrained]));
}

#[test]
fn hopping_two_minors() {
    let mut bench = Bench::of(Spec { installed: false, ..Spec::default() });
    bench.launch_minor(&cp_group(), 33);
    end_member(&mut bench, 0);
    bench.pass(300);
    assert_eq!(bench.rules(), BTreeSet::from([Rule::Skew]));
    let text: Vec<&str> = bench.world.violations().iter().map(|v| v.text.as_str()).collect();
    assert!(text.iter().any(|text| text.contains("from 1.31 to 1.33")), "{text:?}");
    assert!(text.iter().any(|text| text.contains("1.31 and 1.33 serve at once")), "{text:?}");
}

#[test]
fn leaving_an_add_on_behind() {
    let mut bench = Bench::new();
    hop(&mut bench, 32);
    hop(&mut bench, 33);
    // dns 1.0.0 supports 1.30 to 1.32, and kubelets of 1.31 may stay.
    assert_eq!(bench.rules(), BTreeSet::from([Rule::AddonRange]));
}

/// Brings the control plane to a minor.
fn hop(bench: &mut Bench, minor: u16) {
    bench.launch_minor(&cp_group(), minor);
    for _ in 0..3 {
        let state = bench.look();
        let old = state
            .control_plane
            .iter()
            .position(|member| member.api_server != Some(version(minor)))
            .unwrap();
        end_member(bench, old);
        bench.pass(300);
    }
}

#[test]
fn an_add_on_is_one_hop_late_where_its_file_allows_it() {
    let mut bench = Bench::new();
    bench.addons.get_mut(&dns()).unwrap().may_be_unsupported_during_hop = true;
    bench.apply("1.0.0").unwrap();
    hop(&mut bench, 32);
    hop(&mut bench, 33);
    assert_eq!(bench.rules(), BTreeSet::new());
    hop(&mut bench, 34);
    assert!(bench.rules().contains(&Rule::AddonRange));
}

#[test]
fn keeping_an_api_that_goes() {
    let mut bench = Bench::new();
    let versions = &mut bench.addons.get_mut(&dns()).unwrap().versions;
    let release = versions.get_mut(&addon_version("1.1.0")).unwrap();
    let served = Served {
        introduced: None,
        deprecated: None,
        removed: Some(Minor::new(1, 33)),
        planned: false,
        replacement: None,
        source: Source { from: String::new(), read: String::new() },
    };
    let at = Location { file: "dns.yaml".into(), line: 1 };
    let object = release.manifests.objects()[0].object.clone();
    release.known.apis.push(ApiUse { object, at, served });
    bench.apply("1.1.0").unwrap();
    hop(&mut bench, 32);
    assert_eq!(bench.rules(), BTreeSet::new());
    hop(&mut bench, 33);
    assert_eq!(bench.rules(), BTreeSet::from([Rule::AddonRange]));
    assert!(bench.world.violations()[0].text.contains("uses an API that 1.33 does not serve"));
}

#[test]
fn launching_kubelets_newer_than_the_apiserver() {
    let mut bench = Bench::new();
    bench.launch_minor(&pool_group(), 32);
    bench.group(GroupOp::RaiseDesired { from: 3, to: 4 }).unwrap();
    bench.pass(300);
    assert_eq!(bench.rules(), BTreeSet::from([Rule::Skew]));
}

#[test]
fn what_operators_launch_is_not_refits_fault() {
    let mut bench = Bench::new();
    let state = bench.look();
    let image = state
        .images
        .iter()
        .find(|image| pattern().matches(&version(32), &image.name))
        .unwrap()
        .id
        .clone();
    bench.edit(Edit::SetImage { group: pool_group(), image });
    bench.edit(Edit::SetDesired { group: pool_group(), desired: 4 });
    bench.pass(300);
    assert_eq!(ready_workers(&bench.look()), 4);
    assert!(bench.world.violations().is_empty());
    assert!(bench.world.settings_given_back().is_empty());
}

#[test]
fn hops_up_to_nodes_that_operators_have_launched() {
    let mut bench = Bench::new();
    let image = |bench: &mut Bench, minor: u16| {
        let images = bench.look().images;
        let carries = |name: &str| pattern().matches(&version(minor), name);
        images.into_iter().find(|image| carries(&image.name)).unwrap().id
    };
    let newest = image(&mut bench, 33);
    bench.edit(Edit::SetImage { group: pool_group(), image: newest });
    bench.edit(Edit::SetDesired { group: pool_group(), desired: 4 });
    bench.pass(300);
    hop(&mut bench, 32);
    assert_eq!(bench.rules(), BTreeSet::new());
    // One that refit launches is another thing.
    bench.launch_minor(&pool_group(), 33);
    bench.group(GroupOp::RaiseDesired { from: 4, to: 5 }).unwrap();
    bench.pass(300);
    assert_eq!(bench.rules(), BTreeSet::from([Rule::Skew]));
}

#[test]
fn fewer_nodes_than_allowed_and_more_than_allowed() {
    let mut bench = Bench::new();
    let (cluster, pool) = (bench.cluster.name.clone(), "general".parse().unwrap());
    bench.world.allow(&cluster, &pool, 1, 1);
    let nodes = workers(&bench.look());
    bench.cordon(&nodes[0].0);
    assert!(bench.world.violations().is_empty());
    bench.cordon(&nodes[1].0);
    assert_eq!(bench.rules(), BTreeSet::from([Rule::Unavailable]));
    bench.group(GroupOp::RaiseDesired { from: 3, to: 4 }).unwrap();
    assert_eq!(bench.rules(), BTreeSet::from([Rule::Unavailable]));
    bench.group(GroupOp::RaiseDesired { from: 4, to: 5 }).unwrap();
    assert_eq!(bench.rules(), BTreeSet::from([Rule::Unavailable, Rule::Surge]));
}

#[test]
fn what_no_plan_names() {
    let mut bench = Bench::new();
    let groups = BTreeMap::from([(bench.cluster.name.clone(), BTreeSet::from([cp_group()]))]);
    bench.world.plan_targets(&Targets { groups, addons: BTreeMap::new() });
    bench.cp(GroupOp::Suspend { process: "AZRebalance".into() }).unwrap();
    assert!(bench.world.violations().is_empty());
    let (node, _) = workers(&bench.look()).remove(0);
    bench.cordon(&node);
    bench.apply("1.1.0").unwrap();
    assert_eq!(bench.world.violations().len(), 2);
    assert_eq!(bench.rules(), BTreeSet::from([Rule::Target]));
}

#[test]
fn what_others_cordoned() {
    let mut bench = Bench::new();
    let (node, _) = workers(&bench.look()).remove(0);
    bench.edit(Edit::Cordon(node.clone()));
    bench.cordon(&node);
    bench.node(&node, NodeOp::Uncordon).unwrap();
    assert_eq!(bench.rules(), BTreeSet::from([Rule::ForeignCordon]));
}

#[test]
fn evicting_what_belongs_to_its_node() {
    let mut bench = Bench::new();
    let state = bench.look();
    let daemon =
        state.pods.iter().find(|pod| matches!(pod.owner, refit_model::PodOwner::DaemonSet(_)));
    bench.evict(daemon.unwrap()).unwrap();
    assert_eq!(bench.rules(), BTreeSet::from([Rule::NotEvictable]));
}

#[test]
fn writing_without_the_lease() {
    let mut bench = Bench::new();
    bench.world.require_lease();
    let lease = |run: &str| Op::HoldLease {
        run: run.parse().unwrap(),
        holder: "me@here".into(),
        ttl: Period::seconds(60),
    };
    bench.send(&lease("run-1")).unwrap();
    let (node, _) = workers(&bench.look()).remove(0);
    bench.cordon(&node);
    assert!(bench.world.violations().is_empty());
    bench.pass(61);
    bench.node(&node, NodeOp::Uncordon).unwrap();
    assert_eq!(bench.rules(), BTreeSet::from([Rule::Lease]));
}

#[test]
fn what_is_not_given_back_is_listed() {
    let mut bench = Bench::new();
    assert!(bench.world.settings_given_back().is_empty());
    let state = bench.look();
    let (node, found) = workers(&state).remove(0);
    let instance = found.instance.unwrap();
    bench.cordon(&node);
    bench.group(GroupOp::Protect { instance: instance.clone() }).unwrap();
    bench.group(GroupOp::Suspend { process: "AZRebalance".into() }).unwrap();
    bench.group(GroupOp::RaiseDesired { from: 3, to: 4 }).unwrap();
    let tag = refit_model::RollTag {
        run: "run-1".parse().unwrap(),
        surge: 1,
        desired: 4,
        suspended: BTreeSet::new(),
        op: OpId::default(),
    };
    bench.group(GroupOp::Tag { tag }).unwrap();
    let member = first_instance(&state, &cp_group());
    bench.cp(GroupOp::Deregister { instance: member.clone() }).unwrap();
    bench.edit(Edit::Suspend {
        group: pool_group(),
        process: "AlarmNotification".into(),
        suspended: true,
    });
    assert_eq!(bench.world.settings_given_back().len(), 6);
    bench.node(&node, NodeOp::Uncordon).unwrap();
    bench.group(GroupOp::Unprotect { instance }).unwrap();
    bench.group(GroupOp::Resume { process: "AZRebalance".into() }).unwrap();
    bench.group(GroupOp::Untag).unwrap();
    bench.cp(GroupOp::Register { instance: member }).unwrap();
    assert_eq!(bench.world.settings_given_back(), ["ant: desired of general is 4, was 3"]);
}

#[test]
fn more_pools_at_once_than_the_file_allows() {
    let mut bench = Bench::new();
    let tag = || RollTag {
        run: "run-1".parse().unwrap(),
        surge: 0,
        desired: 3,
        suspended: BTreeSet::new(),
        op: OpId::default(),
    };
    bench.group(GroupOp::Tag { tag: tag() }).unwrap();
    assert_eq!(bench.rules(), BTreeSet::new(), "one is allowed");
    // There is one pool, so one is too many only where none may be rolled.
    bench.cluster.max_parallel_pools = 0;
    bench.declare();
    bench.group(GroupOp::Tag { tag: tag() }).unwrap();
    assert_eq!(bench.rules(), BTreeSet::from([Rule::ParallelPools]));
}

#[test]
fn cordoning_a_node_that_somebody_else_replaces() {
    let mut bench = Bench::new();
    bench.cluster.pools[0].update = UpdateStrategy::OnDelete;
    bench.declare();
    let (node, _) = workers(&bench.look()).remove(0);
    bench.cordon(&node);
    assert_eq!(bench.rules(), BTreeSet::from([Rule::OnDelete]));
}
