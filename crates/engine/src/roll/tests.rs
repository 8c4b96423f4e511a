//! Single decisions about a small pool.

use refit_model::{
    Bounds, ClusterState, GroupOp, InstanceId, NodeName, NodeOp, Op, OpId, Outcome, Period,
    PodOwner, PodState, Precheck, Progress, Purpose, RestartPolicy, RollTag, TargetHealth,
    ZonalVolume,
};

use super::decide;
use crate::bench::{at, group, instance, node, pool, roll, settings, tidy_up};
use crate::decision::{Decision, Mode, Next};
use crate::memory::Memory;

fn decided(state: &ClusterState, surge: u32, memory: &mut Memory, mode: Mode) -> Decision {
    decide(&roll(surge, 0), &settings().run, state, memory, mode, at(60))
}

fn ops(decision: &Decision) -> &[Op] {
    match &decision.next {
        Next::Do(ops) => ops,
        _ => &[],
    }
}

fn tag(state: &mut ClusterState, surge: u32) {
    let group = state.groups.get_mut(&group()).unwrap();
    let run = settings().run;
    let tag =
        RollTag { run, surge, desired: group.desired, suspended: [].into(), op: OpId::default() };
    group.tags.insert(RollTag::KEY.to_owned(), serde_json::to_string(&tag).unwrap());
}

fn tagged_surge(state: &ClusterState) -> u32 {
    super::tag_of(&state.groups[&group()]).unwrap().surge
}

fn cordon(state: &mut ClusterState, number: u32) {
    let node = state.nodes.get_mut(&node(number)).unwrap();
    node.unschedulable = true;
    node.annotations.insert(RollTag::CORDONED.to_owned(), "run-0".to_owned());
}

fn on_node(number: u32, op: NodeOp) -> Op {
    Op::Node { node: node(number), op }
}

fn terminate(number: u32, decrement: bool) -> Op {
    Op::Group { group: group(), op: GroupOp::Terminate { instance: instance(number), decrement } }
}

/// A memory in which an instance has been chosen.
fn chosen(number: u32) -> Memory {
    let (id, name): (InstanceId, NodeName) = (instance(number), node(number));
    let mut memory = Memory { started_at: Some(at(0)), ..Memory::default() };
    let note = Progress::NodeChosen {
        instance: id,
        node: Some(name),
        purpose: Purpose::Replace,
        baseline: [].into(),
    };
    memory.note(&note, at(0));
    memory
}

/// A run that goes on after a failure finds the surge of the attempt before on the tag, and
/// counts from there, whether its first call goes well or is refused.
#[test]
fn the_surge_of_an_attempt_before_is_not_forgotten() {
    let mut state = pool(3, 1);
    tag(&mut state, 2);
    let call = terminate(1, true);

    let mut memory = Memory::default();
    let _prechecked = decided(&state, 2, &mut memory, Mode::Go);
    memory.intend(&call);
    memory.refused(&call);
    let decision = decided(&state, 2, &mut memory, Mode::Go);
    assert!(matches!(ops(&decision), [] | [Op::Node { .. }]), "no tag: {decision:?}");

    let mut memory = Memory::default();
    let _prechecked = decided(&state, 2, &mut memory, Mode::Go);
    memory.intend(&call);
    memory.settle(&call);
    state.groups.get_mut(&group()).unwrap().desired -= 1;
    let decision = decided(&state, 2, &mut memory, Mode::Go);
    let [Op::Group { op: GroupOp::Tag { tag }, .. }] = ops(&decision) else {
        panic!("{decision:?}")
    };
    assert_eq!((tag.surge, tag.desired), (1, 3));
    assert_eq!(tagged_surge(&state), 2);
}

/// What was known of the surge is over when somebody else has been at the group since.
#[test]
fn the_surge_of_another_run_is_read_from_its_tag() {
    let mut state = pool(0, 4);
    tag(&mut state, 1);
    let text = state.groups.get_mut(&group()).unwrap().tags.get_mut(RollTag::KEY).unwrap();
    *text = text.replace("run-1", "run-7");
    let mut memory = Memory::default();
    memory.surge.insert(group(), 3);
    let decision = decided(&state, 1, &mut memory, Mode::Go);
    let [Op::Group { op: GroupOp::Tag { tag }, .. }] = ops(&decision) else {
        panic!("{decision:?}")
    };
    assert_eq!((tag.surge, tag.run.as_str()), (1, "run-1"));
}

/// A node that was chosen because it was of no use has come up before it was cordoned, and
/// another one is down: it is needed now.
#[test]
fn a_node_that_is_needed_meanwhile_is_not_cordoned() {
    let mut state = pool(3, 0);
    tag(&mut state, 0);
    let decision = decided(&state, 0, &mut chosen(1), Mode::Go);
    assert!(ops(&decision).is_empty(), "{decision:?}");

    // With one to spare it goes.
    state.groups.get_mut(&group()).unwrap().desired = 2;
    tag(&mut state, 0);
    let decision = decided(&state, 0, &mut chosen(1), Mode::Go);
    assert!(matches!(ops(&decision), [Op::Node { op: NodeOp::Cordon { .. }, .. }]), "{decision:?}");
}

/// A process was killed after it had cordoned a new node, to take it away as surplus.
#[test]
fn a_new_node_that_was_cordoned_is_given_back() {
    let mut state = pool(0, 3);
    cordon(&mut state, 3);
    let found = &mut state.groups.get_mut(&group()).unwrap().instances[2];
    found.target_health = Some(TargetHealth::Unused);
    for mode in [Mode::Go, Mode::Finish, Mode::Cancel] {
        let mut memory = Memory { started_at: Some(at(0)), ..Memory::default() };
        let mut decision = decided(&state, 1, &mut memory, mode);
        for note in std::mem::take(&mut decision.notes) {
            memory.note(&note, at(60));
            decision = decided(&state, 1, &mut memory, mode);
        }
        let register = GroupOp::Register { instance: instance(3) };
        let wanted = [Op::Group { group: group(), op: register }, on_node(3, NodeOp::Uncordon)];
        assert_eq!(ops(&decision), wanted, "{mode:?}");
    }
    let mut clean = pool(0, 3);
    clean.groups.get_mut(&group()).unwrap().instances.iter_mut().for_each(|i| i.protected = false);
    let decision = decided(&clean, 1, &mut Memory::default(), Mode::Go);
    assert_eq!(decision.next, Next::End(Outcome::Done));
}

/// Of a cluster that is blocked half way: cordons and settings are given back, what somebody else
/// protected stays so, and no old node is replaced.
#[test]
fn tidying_up_gives_back_and_replaces_nothing() {
    let decided = |state: &ClusterState, memory: &mut Memory| {
        decide(&tidy_up(), &settings().run, state, memory, Mode::Go, at(60))
    };
    let mut state = pool(2, 1);
    tag(&mut state, 0);
    cordon(&mut state, 1);
    state.groups.get_mut(&group()).unwrap().instances[1].protected = true;
    let mut memory = Memory::default();
    assert_eq!(ops(&decided(&state, &mut memory)), [on_node(1, NodeOp::Uncordon)]);

    let node = state.nodes.get_mut(&node(1)).unwrap();
    node.unschedulable = false;
    node.annotations.clear();
    let unprotect = GroupOp::Unprotect { instance: instance(3) };
    let wanted = [Op::Group { group: group(), op: unprotect }];
    assert_eq!(ops(&decided(&state, &mut memory)), wanted);

    state.groups.get_mut(&group()).unwrap().instances[2].protected = false;
    let wanted = [Op::Group { group: group(), op: GroupOp::Untag }];
    assert_eq!(ops(&decided(&state, &mut memory)), wanted);

    state.groups.get_mut(&group()).unwrap().tags.clear();
    assert_eq!(decided(&state, &mut memory).next, Next::End(Outcome::Done));
}

/// What a run has added goes, and that is a new node, as long as it can be missed.
#[test]
fn tidying_up_takes_the_surplus_away() {
    let decided = |state: &ClusterState, memory: &mut Memory| {
        decide(&tidy_up(), &settings().run, state, memory, Mode::Go, at(60))
    };
    let mut state = pool(2, 1);
    tag(&mut state, 1);
    let decision = decided(&state, &mut Memory::default());
    let [Progress::NodeChosen { instance: chosen, purpose, .. }] = &decision.notes[..] else {
        panic!("{decision:?}")
    };
    assert_eq!((chosen, *purpose), (&instance(3), Purpose::Surplus));

    state.pods.push(PodState {
        namespace: "apps".to_owned(),
        name: "alone".to_owned(),
        uid: "1".to_owned(),
        node: Some(node(3)),
        ready: true,
        terminating: false,
        owner: PodOwner::Nobody,
        budgets: [].into(),
        volume: None,
        critical: false,
        restart_policy: RestartPolicy::Always,
        do_not_evict: None,
    });
    state.groups.get_mut(&group()).unwrap().instances[2].protected = false;
    let decision = decided(&state, &mut Memory::default());
    assert!(matches!(&decision.notes[..], [Progress::Healing { .. }]), "{decision:?}");
    state.pods.clear();

    state.nodes.get_mut(&node(1)).unwrap().ready = false;
    let decision = decided(&state, &mut Memory::default());
    assert!(matches!(decision.next, Next::Wait(_)), "{decision:?}");
}

/// Whether a call that takes a node away with desired went well is read from the instance: somebody
/// has raised desired in the same moment.
#[test]
fn a_lost_end_is_known_by_its_instance() {
    for (arrived, surge) in [(true, 1), (false, 2)] {
        let mut state = pool(3, 1);
        tag(&mut state, 2);
        let mut memory = Memory::default();
        let _tag_is_seen = decided(&state, 2, &mut memory, Mode::Go);
        let call = terminate(1, true);
        memory.intend(&call);
        memory.lost(&call);
        let group_state = state.groups.get_mut(&group()).unwrap();
        if arrived {
            // It fell by one, and an operator raised it by one.
            group_state.instances.remove(0);
        }
        let _stock_is_taken = decided(&state, 2, &mut memory, Mode::Go);
        assert_eq!(memory.surge.get(&group()), Some(&surge), "{arrived}");
    }
}

/// The node that is drained does not show any more. If a look lags it comes back, with everything
/// on it; only when it stays away there is nothing to drain.
#[test]
fn a_node_that_vanishes_while_it_is_drained_gets_time_to_show_again() {
    let mut state = pool(3, 0);
    tag(&mut state, 0);
    state.nodes.remove(&node(1));
    let mut memory = chosen(1);
    let decide_at = |memory: &mut Memory, seconds| {
        decide(&roll(0, 1), &settings().run, &state, memory, Mode::Go, at(seconds))
    };
    assert!(matches!(decide_at(&mut memory, 60).next, Next::Wait(_)));
    assert!(matches!(decide_at(&mut memory, 74).next, Next::Wait(_)));
    assert_eq!(ops(&decide_at(&mut memory, 75)), [terminate(1, false)]);
}

/// The raise was to come after a tag whose answer was lost: it was not sent, and the surge is what
/// it was, whether the tag is there or not and whatever somebody else makes of desired.
#[test]
fn a_raise_that_was_not_sent_is_no_surge() {
    let mut state = pool(3, 0);
    tag(&mut state, 0);
    let mut memory = Memory::default();
    let desired = state.groups[&group()].desired;
    let raised = RollTag {
        run: "run-1".parse().unwrap(),
        surge: 1,
        desired: desired + 1,
        suspended: [].into(),
        op: OpId::default(),
    };
    let group_op = |op| Op::Group { group: group(), op };
    let tagging = group_op(GroupOp::Tag { tag: raised.clone() });
    let raise = group_op(GroupOp::RaiseDesired { from: desired, to: desired + 1 });
    memory.intend(&tagging);
    memory.intend(&raise);
    memory.lost(&tagging);
    memory.unsent(&raise, &tagging);
    assert_eq!(memory.surge.get(&group()), Some(&0));
    memory.see_tag(&group(), raised.surge);
    assert_eq!(memory.surge.get(&group()), Some(&0));
}

/// New nodes are kept from the cluster-autoscaler while the roll goes on, and given back at its
/// end. A node that somebody else keeps from it stays so.
#[test]
fn new_nodes_are_kept_from_the_autoscaler_until_the_end() {
    let mut state = pool(1, 2);
    tag(&mut state, 0);
    let by_hand = &mut state.nodes.get_mut(&node(2)).unwrap().annotations;
    by_hand.insert(NodeOp::SCALE_DOWN_DISABLED.to_owned(), "true".to_owned());
    let mut memory = Memory { started_at: Some(at(0)), ..Memory::default() };
    let disable = NodeOp::DisableScaleDown { run: settings().run };
    assert_eq!(ops(&decided(&state, 1, &mut memory, Mode::Go)), [on_node(3, disable)]);

    let mut state = pool(0, 2);
    tag(&mut state, 0);
    for (number, key) in [(1, NodeOp::SCALE_DOWN_DISABLED), (2, NodeOp::SCALE_DOWN_DISABLED_BY)] {
        let annotations = &mut state.nodes.get_mut(&node(number)).unwrap().annotations;
        annotations.insert(key.to_owned(), "true".to_owned());
    }
    let decision = decided(&state, 1, &mut Memory::default(), Mode::Go);
    let nodes: Vec<&Op> =
        ops(&decision).iter().filter(|op| matches!(op, Op::Node { .. })).collect();
    assert_eq!(nodes, [&on_node(2, NodeOp::EnableScaleDown)]);
}

/// The only instance of a group has failed, so that no node runs another version. The group would
/// launch the old one again: that is work, and the group is pointed at the new image.
#[test]
fn a_group_without_instances_is_pointed_at_the_new_image() {
    let mut state = pool(0, 0);
    let action = roll(1, 0);
    assert_eq!(crate::worker::precheck(&action, &state), Precheck::AlreadySatisfied);
    let launches = state.groups.get_mut(&group()).unwrap();
    launches.template_images.insert(99, "ami-other".parse().unwrap());
    launches.template_version = 99;
    assert_eq!(crate::worker::precheck(&action, &state), Precheck::Ready);
    let mut memory = Memory { started_at: Some(at(0)), ..Memory::default() };
    let decision = decided(&state, 1, &mut memory, Mode::Go);
    let points = |op: &Op| matches!(op, Op::Group { op: GroupOp::SetTemplateVersion { .. }, .. });
    assert!(ops(&decision).iter().any(points), "{decision:?}");
}

/// A pod on the first node that runs to completion.
fn job() -> PodState {
    PodState {
        namespace: "batch".to_owned(),
        name: "report-x2k".to_owned(),
        uid: "1".to_owned(),
        node: Some(node(1)),
        ready: true,
        terminating: false,
        owner: PodOwner::Workload("Job/batch/report".parse().unwrap()),
        budgets: [].into(),
        volume: None,
        critical: false,
        restart_policy: RestartPolicy::Never,
        do_not_evict: None,
    }
}

fn evicted(decision: &Decision) -> Vec<&str> {
    let evicts = ops(decision).iter().filter_map(|op| match op {
        Op::Node { op: NodeOp::Evict { pod }, .. } => Some(pod.name.as_str()),
        _ => None,
    });
    evicts.collect()
}

/// The drain evicts everything else, waits for the pod, and evicts it when the time is over.
#[test]
fn a_drain_waits_for_pods_that_run_to_completion() {
    let mut state = pool(3, 0);
    tag(&mut state, 0);
    cordon(&mut state, 1);
    state.pods = vec![
        job(),
        PodState {
            name: "web-1".to_owned(),
            uid: "2".to_owned(),
            owner: PodOwner::Workload("Deployment/shop/web".parse().unwrap()),
            restart_policy: RestartPolicy::Always,
            ..job()
        },
    ];
    let decided_at = |state: &ClusterState, wait: u32, minute: i64| {
        let mut action = roll(0, 1);
        if let Bounds::Rolling { wait_complete, .. } = &mut action.bounds {
            *wait_complete = Period::minutes(wait);
        }
        let run = &settings().run;
        decide(&action, run, state, &mut chosen(1), Mode::Go, at(60 * minute))
    };
    assert_eq!(evicted(&decided_at(&state, 0, 1)), ["report-x2k", "web-1"]);
    assert_eq!(evicted(&decided_at(&state, 30, 1)), ["web-1"]);
    // The time of the drain is not prolonged for what it does not wait for.
    let late = decided_at(&state, 30, 10);
    assert!(matches!(late.notes[..], [Progress::Healing { .. }]), "{late:?}");
}

#[test]
fn a_drain_evicts_pods_that_have_not_completed_in_time() {
    let mut state = pool(3, 0);
    tag(&mut state, 0);
    cordon(&mut state, 1);
    state.pods = vec![job()];
    let decided_at = |minute: i64, mode: Mode| {
        let mut action = roll(0, 1);
        if let Bounds::Rolling { wait_complete, .. } = &mut action.bounds {
            *wait_complete = Period::minutes(30);
        }
        decide(&action, &settings().run, &state, &mut chosen(1), mode, at(60 * minute))
    };
    let waiting = decided_at(29, Mode::Go);
    let Next::Wait(wait) = &waiting.next else { panic!("{waiting:?}") };
    assert_eq!(wait.what, "pod batch/report-x2k to complete");
    assert_eq!((wait.since, wait.until), (at(0), at(30 * 60)));
    assert_eq!(evicted(&decided_at(30, Mode::Go)), ["report-x2k"]);
    // The ten minutes of the drain begin then.
    assert_eq!(evicted(&decided_at(39, Mode::Go)), ["report-x2k"]);
    let late = decided_at(40, Mode::Go);
    let [Progress::Healing { why }] = &late.notes[..] else { panic!("{late:?}") };
    let said = format!("{why:?}");
    assert!(said.contains("30m (`wait-complete`) and 10m (`drain-timeout`)"), "{said}");
}

/// The time for pods to complete prolongs no drain without such a pod, and is over with the last one.
#[test]
fn other_waits_of_a_drain_have_the_time_of_the_drain_only() {
    let mut state = pool(3, 0);
    tag(&mut state, 0);
    cordon(&mut state, 1);
    let mut ending = job();
    ending.restart_policy = RestartPolicy::Always;
    ending.owner = PodOwner::Workload("Deployment/shop/web".parse().unwrap());
    ending.terminating = true;
    state.pods = vec![ending];
    let mut action = roll(0, 1);
    if let Bounds::Rolling { wait_complete, .. } = &mut action.bounds {
        *wait_complete = Period::minutes(30);
    }
    let run = settings().run;
    let decided_at = |state: &ClusterState, memory: &mut Memory, minute: i64| {
        decide(&action, &run, state, memory, Mode::Go, at(60 * minute))
    };
    let fails = |decision: &Decision| matches!(decision.notes[..], [Progress::Healing { .. }]);
    let mut memory = chosen(1);
    assert!(!fails(&decided_at(&state, &mut memory, 9)));
    let late = decided_at(&state, &mut memory, 10);
    assert!(fails(&late));
    // The failure names no time that this drain did not have.
    let said = format!("{late:?}");
    assert!(said.contains("took longer than 10m:") && !said.contains("wait-complete"), "{said}");

    // A pod was waited for until the twentieth minute.
    let mut with_job = state.clone();
    with_job.pods.push(job());
    let mut memory = chosen(1);
    assert!(!fails(&decided_at(&with_job, &mut memory, 20)));
    assert!(!fails(&decided_at(&state, &mut memory, 29)));
    assert!(fails(&decided_at(&state, &mut memory, 30)));

    // Another process does not know of that.
    let mut memory = chosen(1);
    memory.paused(std::time::Duration::ZERO);
    assert!(!fails(&decided_at(&state, &mut memory, 39)));
    assert!(fails(&decided_at(&state, &mut memory, 40)));
}

/// Nobody can tell a group where to launch: the failure says what to change.
#[test]
fn a_volume_that_no_new_node_can_take_is_told_with_its_cure() {
    let zone = |name: &str| name.parse::<refit_model::Zone>().unwrap();
    let mut state = pool(1, 1);
    tag(&mut state, 1);
    state.nodes.get_mut(&node(2)).unwrap().zone = Some(zone("eu-west-1b"));
    for node in state.nodes.values_mut() {
        node.annotations.insert(NodeOp::SCALE_DOWN_DISABLED.to_owned(), "true".to_owned());
    }
    let group = state.groups.get_mut(&group()).unwrap();
    group.zones.insert(zone("eu-west-1b"));
    group.instances[1].zone = zone("eu-west-1b");
    let volume = ZonalVolume { claim: "data-0".to_owned(), zone: zone("eu-west-1a") };
    state.pods =
        vec![PodState { volume: Some(volume), restart_policy: RestartPolicy::Always, ..job() }];
    let mut memory = Memory { started_at: Some(at(0)), ..Memory::default() };
    let decision = decided(&state, 1, &mut memory, Mode::Go);
    let [Progress::Healing { why }] = &decision.notes[..] else { panic!("{decision:?}") };
    let said = format!("{why:?}");
    assert!(said.contains("a node in eu-west-1a for volume data-0 of ip-01"), "{said}");
    assert!(said.contains("Raise `max-surge` of the pool"), "{said}");
    assert!(said.contains("one Auto Scaling group for each zone"), "{said}");
}
