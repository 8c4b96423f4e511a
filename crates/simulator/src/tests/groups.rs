use std::collections::{BTreeMap, BTreeSet};

use refit_model::{GroupOp, Lifecycle, NodeOp, Zone};
use refit_provider::ErrorClass;

use super::bench::*;
use crate::{Edit, Faults};

fn zones(bench: &mut Bench) -> BTreeMap<Zone, usize> {
    let state = bench.look();
    let mut counts = BTreeMap::new();
    for instance in instances(&state, &pool_group()) {
        if instance.lifecycle != Lifecycle::Terminating {
            *counts.entry(instance.zone.clone()).or_default() += 1;
        }
    }
    counts
}

#[test]
fn a_group_launches_into_the_emptiest_zone_and_takes_its_time() {
    let mut bench = Bench::of(Spec { nodes: 4, ..Spec::default() });
    assert_eq!(zones(&mut bench).values().copied().collect::<Vec<_>>(), [2, 1, 1]);
    bench.group(GroupOp::RaiseDesired { from: 4, to: 6 }).unwrap();
    let launched = bench.until("launched", |state| instances(state, &pool_group()).count() == 6);
    assert!(launched >= 2, "Auto Scaling works in the background");
    assert_eq!(zones(&mut bench).values().copied().collect::<Vec<_>>(), [2, 2, 2]);
    let state = bench.look();
    assert_eq!(in_service(&state, &pool_group()), 4, "new ones are Pending first");
    assert_eq!(ready_workers(&state), 4);
    let service = bench.until("in service", |state| in_service(state, &pool_group()) == 6);
    let ready = bench.until("ready", |state| ready_workers(state) == 6);
    assert!(service >= 10 && ready >= 10, "{service} {ready}");
}

#[test]
fn desired_moves_within_bounds_and_only_from_where_it_is() {
    let mut bench = Bench::new();
    let conflict = bench.group(GroupOp::RaiseDesired { from: 2, to: 3 }).unwrap_err();
    assert_eq!(conflict.class, ErrorClass::Conflict);
    let max = bench.look().groups[&pool_group()].max;
    let beyond = bench.group(GroupOp::RaiseDesired { from: 3, to: max + 1 }).unwrap_err();
    assert_eq!(beyond.class, ErrorClass::Permanent);
    assert!(beyond.message.contains("above max value"), "{beyond}");
    bench.edit(Edit::SetBounds { group: pool_group(), min: 3, max: 9 });
    let instance = first_instance(&bench.look(), &pool_group());
    let below = bench.group(GroupOp::Terminate { instance, decrement: true }).unwrap_err();
    assert_eq!(below.class, ErrorClass::Permanent);
    assert!(below.message.contains("min size"), "{below}");
    assert_eq!(bench.look().groups[&pool_group()].desired, 3);
}

#[test]
fn a_group_chooses_its_own_victims_but_no_protected_ones() {
    let mut bench = Bench::of(Spec { nodes: 4, ..Spec::default() });
    let state = bench.look();
    let fullest: Vec<_> = instances(&state, &pool_group())
        .filter(|instance| instance.zone.as_str() == "eu-west-1a")
        .map(|instance| instance.id.clone())
        .collect();
    assert_eq!(fullest.len(), 2);
    bench.group(GroupOp::Protect { instance: fullest[0].clone() }).unwrap();
    bench.edit(Edit::SetDesired { group: pool_group(), desired: 3 });
    bench.pass(5);
    assert_eq!(in_service(&bench.look(), &pool_group()), 4, "not at once");
    bench.until("a victim", |state| in_service(state, &pool_group()) == 3);
    let state = bench.look();
    let victim = instances(&state, &pool_group())
        .find(|found| found.lifecycle == Lifecycle::Terminating)
        .unwrap();
    assert_eq!(victim.id, fullest[1], "the unprotected one of the fullest zone");
    bench.group(GroupOp::Unprotect { instance: fullest[0].clone() }).unwrap();
    assert!(bench.world.violations().is_empty());
}

#[test]
fn the_oldest_template_goes_first() {
    let mut bench = Bench::of(Spec { zones: 1, nodes: 2, ..Spec::default() });
    let old: BTreeSet<_> =
        instances(&bench.look(), &pool_group()).map(|found| found.id.clone()).collect();
    let image = bench.look().groups[&pool_group()].image().unwrap().clone();
    bench.edit(Edit::SetImage { group: pool_group(), image });
    bench.edit(Edit::SetDesired { group: pool_group(), desired: 3 });
    bench.until("three", |state| ready_workers(state) == 3);
    bench.edit(Edit::SetDesired { group: pool_group(), desired: 1 });
    bench.until("one", |state| instances(state, &pool_group()).count() == 1);
    let left = first_instance(&bench.look(), &pool_group());
    assert!(!old.contains(&left), "the newest template stays");
}

#[test]
fn an_ended_instance_fades_away_and_is_replaced_or_not() {
    for (decrement, after) in [(false, 3), (true, 2)] {
        let mut bench = Bench::new();
        let (node, state) = workers(&bench.look()).remove(0);
        let instance = state.instance.unwrap();
        let op = GroupOp::Terminate { instance: instance.clone(), decrement };
        bench.group(op.clone()).unwrap();
        assert_eq!(bench.group(op.clone()).is_err(), decrement, "desired falls with it only once");
        let state = bench.look();
        assert_eq!(state.groups[&pool_group()].desired, after);
        assert_eq!(state.instance(&instance).unwrap().1.lifecycle, Lifecycle::Terminating);
        assert!(state.nodes[&node].ready, "the machine shuts down a little later");
        bench.until("not ready", |state| !state.nodes[&node].ready);
        let gone = bench.until("gone", |state| state.instance(&instance).is_none());
        assert!(gone >= 10, "{gone}");
        assert!(bench.look().nodes.contains_key(&node), "the node object outlives it");
        bench.until("node gone", |state| !state.nodes.contains_key(&node));
        assert_eq!(bench.group(op).is_err(), decrement, "gone, desired cannot fall with it");
        bench.pass(300);
        assert_eq!(ready_workers(&bench.look()), after as usize);
    }
}

#[test]
fn a_failed_machine_is_replaced() {
    let mut bench = Bench::new();
    let instance = first_instance(&bench.look(), &pool_group());
    bench.edit(Edit::KillInstance(instance.clone()));
    assert_eq!(ready_workers(&bench.look()), 2);
    assert_eq!(in_service(&bench.look(), &pool_group()), 3, "nobody has noticed yet");
    bench.until("replaced", |state| {
        state.instance(&instance).is_none() && ready_workers(state) == 3
    });
    assert!(bench.world.violations().is_empty());
}

#[test]
fn zones_are_balanced_unless_that_is_suspended() {
    for suspended in [true, false] {
        let mut bench = Bench::of(Spec { nodes: 4, ..Spec::default() });
        bench.group(GroupOp::Suspend { process: "AZRebalance".into() }).unwrap();
        // Two instances in one zone are left, and none in the others.
        let state = bench.look();
        let elsewhere: Vec<_> = instances(&state, &pool_group())
            .filter(|found| found.zone.as_str() != "eu-west-1a")
            .map(|found| found.id.clone())
            .collect();
        for instance in elsewhere {
            bench.group(GroupOp::Terminate { instance, decrement: true }).unwrap();
        }
        bench.pass(200);
        assert_eq!(zones(&mut bench).len(), 1);
        if !suspended {
            bench.group(GroupOp::Resume { process: "AZRebalance".into() }).unwrap();
        }
        bench.pass(900);
        assert_eq!(zones(&mut bench).len(), if suspended { 1 } else { 2 });
        assert_eq!(ready_workers(&bench.look()), 2);
    }
}

#[test]
fn the_same_token_does_nothing_again() {
    let mut bench = Bench::new();
    let image = bench.look().groups[&pool_group()].image().unwrap().clone();
    let create = refit_model::Op::Group {
        group: pool_group(),
        op: GroupOp::CreateTemplateVersion { image },
    };
    bench.send_as(&create, "a").unwrap();
    bench.send_as(&create, "a").unwrap();
    assert_eq!(bench.look().groups[&pool_group()].template_images.len(), 2);
    let raise = refit_model::Op::Group {
        group: pool_group(),
        op: GroupOp::RaiseDesired { from: 3, to: 4 },
    };
    bench.send_as(&raise, "b").unwrap();
    bench.send_as(&raise, "b").unwrap();
    assert_eq!(bench.look().groups[&pool_group()].desired, 4);
    let reused = bench.send_as(&raise, "a").unwrap_err();
    assert_eq!(reused.class, ErrorClass::Permanent);
}

#[test]
fn a_node_that_never_becomes_ready_and_capacity_that_does_not_come() {
    let mut bench = Bench::new();
    bench.world.set_faults(&Faults { never_ready: 1000, ..Faults::none() });
    bench.group(GroupOp::RaiseDesired { from: 3, to: 4 }).unwrap();
    bench.until("registered", |state| workers(state).len() == 4);
    bench.pass(3600);
    assert_eq!(ready_workers(&bench.look()), 3);
    bench.world.stop_faults();
    bench.until("ready after all", |state| ready_workers(state) == 4);

    bench.world.set_faults(&Faults { stuck_launches: 1000, ..Faults::none() });
    bench.group(GroupOp::RaiseDesired { from: 4, to: 5 }).unwrap();
    bench.pass(240);
    assert_eq!(instances(&bench.look(), &pool_group()).count(), 4);
    bench.pass(3600);
    assert_eq!(ready_workers(&bench.look()), 5, "capacity comes at last");
}

#[test]
fn protection_needs_an_instance_in_service() {
    let mut bench = Bench::new();
    bench.group(GroupOp::RaiseDesired { from: 3, to: 4 }).unwrap();
    bench.until("pending", |state| instances(state, &pool_group()).count() == 4);
    let state = bench.look();
    let pending = instances(&state, &pool_group())
        .find(|found| found.lifecycle == Lifecycle::Pending)
        .unwrap();
    let op = GroupOp::Protect { instance: pending.id.clone() };
    assert_eq!(bench.group(op).unwrap_err().class, ErrorClass::Conflict);
    let gone = "i-gone".parse().unwrap();
    bench.group(GroupOp::Unprotect { instance: gone }).unwrap();
}

#[test]
fn a_deleted_node_leaves_its_machine() {
    let mut bench = Bench::new();
    let (node, _) = workers(&bench.look()).remove(0);
    bench.edit(Edit::DeleteNode(node.clone()));
    let state = bench.look();
    assert!(!state.nodes.contains_key(&node));
    assert_eq!(in_service(&state, &pool_group()), 3);
    bench.node(&node, NodeOp::Uncordon).unwrap();
}
