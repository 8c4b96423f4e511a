//! Runs that go on from a journal, what is believed of looks, and how a run ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use refit_model::{
    Action, CallError, ClusterState, ControlPlaneMember, ErrorClass, GivingUp, GroupName, GroupOp,
    GroupState, KubeVersion, NodeOp, Op, OpId, PodOwner, PodState, Precheck, Progress, Purpose,
    RecordKind, RestartPolicy, RollTag, RunOutcome, StateGuard, Stop, Timestamp, Token,
};

use crate::bench::{
    NEW, OLD, World, add_instance, at, carry_out, carry_out_in, carry_out_until, group, instance,
    journal, node, plan, pool, roll, settings,
};
use crate::recent::LAG;
use crate::{Effect, Engine, Event};

/// Killed while it put back what was half done, because somebody had cancelled it: whoever runs
/// the same command again wants it to go on.
#[test]
fn a_cancelled_run_goes_on_when_it_is_resumed() {
    let action = roll(1, 0);
    let records = journal(vec![
        RecordKind::ActionStarted { action: action.id },
        RecordKind::Progress {
            action: action.id,
            progress: Progress::Healing { why: GivingUp::Cancelled },
        },
    ]);
    let mut engine = Engine::resume(plan(vec![action]), settings(), &records);
    let (journaled, _) = carry_out(&mut engine, &pool(3, 0));
    let tags = |record: &RecordKind| {
        matches!(record, RecordKind::Intent { call: Op::Group { op: GroupOp::Tag { .. }, .. }, .. })
    };
    assert!(journaled.iter().any(tags), "{journaled:#?}");
}

/// Killed on a Friday in the middle of a roll, with an instance half drained, and taken up on the
/// Monday: nobody was at it in between, so no deadline has passed.
#[test]
fn the_time_between_two_processes_counts_for_no_deadline() {
    let action = roll(1, 0);
    let victim = pool(3, 0).groups.values().next().unwrap().instances[0].clone();
    let progress = |progress| RecordKind::Progress { action: action.id, progress };
    let chosen = Progress::NodeChosen {
        instance: victim.id.clone(),
        node: None,
        purpose: Purpose::Replace,
        baseline: BTreeMap::new(),
    };
    let mut records = journal(vec![
        RecordKind::ActionStarted { action: action.id },
        progress(chosen),
        RecordKind::RunContinued { who: "somebody else".to_owned() },
    ]);
    let monday = at(3 * 24 * 3600);
    let last = records.last_mut().unwrap();
    last.at = monday;
    let mut engine = Engine::resume(plan(vec![action.clone()]), settings(), &records);
    let memory = &engine.memories[&action.id];
    let gone = monday.duration_since(memory.started_at.unwrap());
    assert!(gone.as_secs() < 60, "{gone}");
    assert!(memory.current.as_ref().unwrap().since >= memory.started_at.unwrap());
    let mut world = Lagging::new(pool(3, 0), 0);
    let (journaled, _) = carry_out_in(&mut engine, &mut world, monday);
    // In this world no new node comes, so it gives up in the end: after it has tried.
    let gives_up = |record: &RecordKind| {
        matches!(record, RecordKind::Progress { progress: Progress::Healing { .. }, .. })
    };
    let raises = |record: &RecordKind| {
        let raise = |op: &GroupOp| matches!(op, GroupOp::RaiseDesired { .. });
        matches!(record, RecordKind::Intent { call: Op::Group { op, .. }, .. } if raise(op))
    };
    let first = |which: &dyn Fn(&RecordKind) -> bool| journaled.iter().position(which).unwrap();
    assert!(first(&raises) < first(&gives_up), "{journaled:#?}");
}

/// Whatever an action waits for, a run of which nothing is under way ends, and says that it is
/// not done.
#[test]
fn a_run_that_nothing_is_left_of_ends() {
    let mut engine = Engine::new(plan(vec![roll(1, 0)]), settings());
    engine.schedule.begin(0);
    let effects = engine.step(at(0), Event::Tick);
    let ended = effects.iter().any(|e| matches!(e, Effect::Finish(RunOutcome::Interrupted)));
    assert!(ended, "{effects:#?}");
}

/// A group in which tags and raises take effect, and that looks show as it was so many seconds
/// before.
struct Lagging {
    lag: i64,
    /// Only every other look lags.
    now_and_then: bool,
    /// Whether the answer of the next raise is lost.
    loses_raise: bool,
    /// What the group was like from then on.
    history: BTreeMap<Timestamp, ClusterState>,
    looks: u32,
    sent: Vec<(Timestamp, Op)>,
}

impl Lagging {
    fn new(state: ClusterState, lag: i64) -> Self {
        let history = BTreeMap::from([(at(-3600), state)]);
        let (looks, sent) = (0, Vec::new());
        Self { lag, now_and_then: false, loses_raise: false, history, looks, sent }
    }

    fn raises(&self) -> usize {
        let is_raise = |op: &Op| matches!(op, Op::Group { op: GroupOp::RaiseDesired { .. }, .. });
        self.sent.iter().filter(|(_, op)| is_raise(op)).count()
    }

    fn state(&self, now: Timestamp) -> ClusterState {
        self.history.range(..=now).next_back().unwrap().1.clone()
    }
}

fn group_of(state: &mut ClusterState) -> &mut GroupState {
    state.groups.get_mut(&group()).unwrap()
}

impl World for Lagging {
    fn look(&mut self, now: Timestamp) -> Result<ClusterState, CallError> {
        self.looks += 1;
        let lag = if self.now_and_then && self.looks.is_multiple_of(2) { 0 } else { self.lag };
        Ok(self.state(at(now.as_second() - at(0).as_second() - lag)))
    }

    fn submit(&mut self, now: Timestamp, call: &Op) -> Result<(), CallError> {
        self.sent.push((now, call.clone()));
        let mut state = self.state(now);
        let result = match call {
            Op::Group { op: GroupOp::Tag { tag }, .. } => {
                let text = serde_json::to_string(tag).unwrap();
                group_of(&mut state).tags.insert(RollTag::KEY.to_owned(), text);
                Ok(())
            }
            Op::Group { op: GroupOp::RaiseDesired { from, to }, .. } => {
                if group_of(&mut state).desired == *from {
                    group_of(&mut state).desired = *to;
                    add_instance(&mut state, 10 + *to, &NEW);
                    if std::mem::take(&mut self.loses_raise) {
                        Err(CallError::new(ErrorClass::Unknown, "no answer"))
                    } else {
                        Ok(())
                    }
                } else {
                    Err(CallError::new(ErrorClass::Conflict, "desired is another"))
                }
            }
            _ => Ok(()),
        };
        self.history.insert(now, state);
        result
    }
}

/// The surge of every tag that was sent, one after the other.
fn tagged(world: &Lagging) -> Vec<u32> {
    let tags = world.sent.iter().filter_map(|(_, op)| match op {
        Op::Group { op: GroupOp::Tag { tag }, .. } => Some(tag.surge),
        _ => None,
    });
    tags.collect()
}

/// What an API that lags behind does not show yet is not done a second time, also when a later
/// look goes back behind an earlier one.
#[test]
fn what_does_not_show_yet_is_not_done_again() {
    for now_and_then in [false, true] {
        let mut world = Lagging { now_and_then, ..Lagging::new(pool(3, 0), 8) };
        let mut engine = Engine::new(plan(vec![roll(1, 0)]), settings());
        carry_out_in(&mut engine, &mut world, at(120));
        assert_eq!(world.raises(), 1, "{:#?}", world.sent);
        assert_eq!(tagged(&world), [0, 1], "{:#?}", world.sent);
    }
}

/// The raise took effect, its answer was lost, and the next looks show desired as it was before:
/// whoever believed them would forget the surge, and raise once more.
#[test]
fn after_a_lost_answer_no_look_is_believed_too_early() {
    let mut world = Lagging { loses_raise: true, ..Lagging::new(pool(3, 0), 8) };
    let mut engine = Engine::new(plan(vec![roll(1, 0)]), settings());
    carry_out_in(&mut engine, &mut world, at(120));
    assert_eq!(world.raises(), 1, "{:#?}", world.sent);
    assert_eq!(tagged(&world), [0, 1], "{:#?}", world.sent);
}

/// A change that somebody else undoes is not waited for any longer than an API may lag.
#[test]
fn what_somebody_undoes_is_seen_in_the_end() {
    let mut world = Lagging::new(pool(3, 0), 3600);
    let mut engine = Engine::new(plan(vec![roll(1, 0)]), settings());
    carry_out_in(&mut engine, &mut world, at(60));
    let tags: Vec<Timestamp> = world
        .sent
        .iter()
        .filter(|(_, op)| matches!(op, Op::Group { op: GroupOp::Tag { .. }, .. }))
        .map(|(at, _)| *at)
        .collect();
    assert!(tags.len() > 1, "{:#?}", world.sent);
    let apart = tags.windows(2).all(|pair| crate::decision::after(pair[0], LAG) <= pair[1]);
    assert!(apart, "{tags:?}");
}

/// The records of an action that was begun, with a call that nothing is known of.
fn begun(action: &Action, call: Op) -> Vec<RecordKind> {
    vec![
        RecordKind::ActionStarted { action: action.id },
        RecordKind::Intent {
            op: OpId(1),
            action: action.id,
            cluster: action.cluster.clone().unwrap(),
            token: Token("t".to_owned()),
            call,
        },
    ]
}

/// The process before was killed with a call on its way. What comes next waits until a look
/// surely shows whether it arrived.
#[test]
fn a_call_that_was_on_its_way_is_waited_for() {
    let action = roll(1, 0);
    let raise = Op::Group { group: group(), op: GroupOp::RaiseDesired { from: 3, to: 4 } };
    let records = |end: Option<RecordKind>| {
        let mut records = begun(&action, raise.clone());
        records.extend(end);
        journal(records)
    };
    let refused = refit_model::OpResult::Refused { reason: "no".to_owned() };
    let refused = RecordKind::Settled { op: OpId(1), result: refused };
    for (end, waits) in [(None, true), (Some(refused), false)] {
        let mut world = Lagging::new(pool(3, 0), 0);
        let mut engine = Engine::resume(plan(vec![action.clone()]), settings(), &records(end));
        carry_out_in(&mut engine, &mut world, at(60));
        let first = world.sent.iter().find(|(_, op)| matches!(op, Op::Group { .. }));
        let (sent_at, _) = first.expect("something is done");
        assert_eq!(*sent_at >= crate::decision::after(at(0), LAG), waits, "{sent_at}");
    }
}

/// The kubelet of a new instance of the control plane is up before its apiserver is: whoever looks
/// in between finds an action half done, and not a cluster that somebody else has moved.
#[test]
fn an_instance_that_is_half_up_is_on_its_way() {
    let mut action = roll(1, 0);
    if let StateGuard::Machines { versions, .. } = Arc::make_mut(&mut action.expect) {
        Arc::make_mut(versions).retain(|version| version != &NEW);
    }
    let precheck = |kubelet: &KubeVersion| {
        let mut state = pool(1, 1);
        state.nodes.get_mut(&node(1)).unwrap().kubelet = kubelet.clone();
        state.control_plane.push(ControlPlaneMember {
            instance: instance(1),
            api_server: None,
            controller_manager: None,
            scheduler: None,
            etcd_ready: None,
        });
        action.precheck(&state)
    };
    assert_eq!(precheck(&NEW), Precheck::Ready);
    assert_eq!(precheck(&OLD), Precheck::Ready);
    assert!(matches!(precheck(&KubeVersion::new(1, 35, 0)), Precheck::Conflict { .. }));
}

/// Killed again and again, each time before every API has had its time to tell: that time is
/// counted from the first time on, not from the last.
#[test]
fn what_a_killed_run_left_open_is_waited_for_once() {
    let action = roll(1, 0);
    let raise = Op::Group { group: group(), op: GroupOp::RaiseDesired { from: 3, to: 4 } };
    for (first, waits) in [(-10, true), (-60, false)] {
        let continued = || RecordKind::RunContinued { who: "somebody".to_owned() };
        let mut records = begun(&action, raise.clone());
        records.extend([continued(), continued()]);
        let mut records = journal(records);
        records[0].at = at(-100);
        records[1].at = at(-99);
        records[2].at = at(first);
        let mut world = Lagging::new(pool(3, 0), 0);
        let mut engine = Engine::resume(plan(vec![action.clone()]), settings(), &records);
        carry_out_in(&mut engine, &mut world, at(60));
        let sent = world.sent.iter().find(|(_, op)| matches!(op, Op::Group { .. }));
        let (sent_at, _) = sent.expect("something is done");
        assert_eq!(*sent_at > at(0), waits, "{sent_at}");
        assert!(*sent_at < crate::decision::after(at(0), LAG), "{sent_at}");
    }
}

/// Whoever comes next knows nothing of what was done a moment ago, and looks that lag behind do not
/// show it: where something is left to do, the Lease outlasts them.
#[test]
fn a_lease_outlasts_what_looks_may_not_show_yet() {
    let mut world = Lagging::new(pool(3, 0), 0);
    let mut engine = Engine::new(plan(vec![roll(1, 0)]), settings());
    let stop = Some((at(5), Stop::Leave));
    let (_, outcome) = carry_out_until(&mut engine, &mut world, at(7200), stop);
    assert_eq!(outcome, Some(RunOutcome::Interrupted));
    let (left_at, last) = world.sent.pop().unwrap();
    let Op::HoldLease { ttl, .. } = last else { panic!("it lets go of it: {last}") };
    let calls = world.sent.iter().filter(|(_, op)| matches!(op, Op::Group { .. }));
    let changed_at = calls.map(|(when, _)| *when).max().unwrap();
    let lasts = left_at.duration_since(changed_at).as_secs() + i64::from(ttl.as_secs());
    let lag = i64::from(LAG.as_secs());
    assert!((lag..=lag + 1).contains(&lasts), "{lasts}");
}

/// Another run holds the Lease, and changes the group meanwhile.
struct Taken {
    state: ClusterState,
    until: Timestamp,
    looked_at: Timestamp,
    group_calls: Vec<(Timestamp, Op)>,
}

impl World for Taken {
    fn look(&mut self, now: Timestamp) -> Result<ClusterState, CallError> {
        self.looked_at = now;
        let mut state = self.state.clone();
        if now >= self.until {
            group_of(&mut state).desired = 7;
        }
        Ok(state)
    }

    fn submit(&mut self, now: Timestamp, call: &Op) -> Result<(), CallError> {
        match call {
            Op::HoldLease { .. } if now < self.until => {
                Err(CallError::new(ErrorClass::Conflict, "run-0 holds it"))
            }
            Op::Group { .. } => {
                assert!(self.looked_at >= self.until, "decided before the Lease was held");
                self.group_calls.push((now, call.clone()));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[test]
fn nothing_is_decided_while_another_run_holds_the_lease() {
    let until = at(47);
    let group_calls = Vec::new();
    let mut world = Taken { state: pool(3, 0), until, looked_at: at(0), group_calls };
    let mut engine = Engine::new(plan(vec![roll(1, 0)]), settings());
    let (journaled, _) = carry_out_in(&mut engine, &mut world, at(70));
    let Some((_, Op::Group { op: GroupOp::Tag { tag }, .. })) = world.group_calls.first() else {
        panic!("{:#?}", world.group_calls)
    };
    assert_eq!(tag.desired, 7, "as it was when the Lease was taken");
    let intents = journaled.iter().filter(|kind| matches!(kind, RecordKind::Intent { .. }));
    assert_eq!(intents.count(), world.group_calls.len(), "what is journaled is sent");
}

/// Looks that fail, as a whole or in one of their parts, are errors: nothing is known, so nothing
/// is done, and nothing is taken for gone.
struct Blind {
    from: Timestamp,
    until: Timestamp,
    class: ErrorClass,
    inner: Lagging,
}

impl World for Blind {
    fn look(&mut self, now: Timestamp) -> Result<ClusterState, CallError> {
        if now >= self.from && now < self.until {
            return Err(CallError::new(self.class, "the second page did not come"));
        }
        self.inner.look(now)
    }

    fn submit(&mut self, now: Timestamp, call: &Op) -> Result<(), CallError> {
        self.inner.submit(now, call)
    }
}

#[test]
fn while_looks_fail_nothing_is_done() {
    let touched = |world: &Blind, name: &GroupName| -> Vec<Timestamp> {
        let calls = world.inner.sent.iter();
        calls
            .filter(|(_, op)| matches!(op, Op::Group { group, .. } if group == name))
            .map(|(at, _)| *at)
            .collect()
    };
    for class in [ErrorClass::Transient, ErrorClass::Throttled, ErrorClass::Unknown] {
        let inner = Lagging::new(pool(3, 0), 0);
        let mut world = Blind { from: at(1), until: at(200), class, inner };
        let mut engine = Engine::new(plan(vec![roll(1, 0)]), settings());
        let (_, outcome) = carry_out_in(&mut engine, &mut world, at(300));
        assert_eq!(outcome, None, "{class:?}: it waits");
        let touched = touched(&world, &group());
        assert!(touched.iter().all(|when| *when < at(1) || *when >= at(200)), "{touched:?}");
        assert!(touched.iter().any(|when| *when >= at(200)), "{class:?}: it goes on");
    }
    let inner = Lagging::new(pool(3, 0), 0);
    let class = ErrorClass::Permanent;
    let mut world = Blind { from: at(1), until: at(3600), class, inner };
    let mut engine = Engine::new(plan(vec![roll(1, 0)]), settings());
    let (_, outcome) = carry_out_in(&mut engine, &mut world, at(3600));
    assert!(matches!(outcome, Some(RunOutcome::Failed | RunOutcome::Partly)), "{outcome:?}");
    assert!(touched(&world, &group()).iter().all(|when| *when < at(1)));
}

/// A pool with pods whose evictions nobody may make.
struct Forbidding(ClusterState);

impl World for Forbidding {
    fn look(&mut self, _: Timestamp) -> Result<ClusterState, CallError> {
        Ok(self.0.clone())
    }

    fn submit(&mut self, _: Timestamp, call: &Op) -> Result<(), CallError> {
        match call {
            Op::Group { op: GroupOp::Tag { tag }, .. } => {
                let text = serde_json::to_string(tag).unwrap();
                group_of(&mut self.0).tags.insert(RollTag::KEY.to_owned(), text);
            }
            Op::Group { op: GroupOp::Untag, .. } => {
                group_of(&mut self.0).tags.clear();
            }
            Op::Node { node, op } => {
                let node = self.0.nodes.get_mut(node).unwrap();
                match op {
                    NodeOp::Cordon { run } => {
                        node.unschedulable = true;
                        node.annotations.insert(RollTag::CORDONED.to_owned(), run.to_string());
                    }
                    NodeOp::Uncordon => {
                        node.unschedulable = false;
                        node.annotations.remove(RollTag::CORDONED);
                    }
                    NodeOp::DisableScaleDown { run } => {
                        node.annotations
                            .insert(NodeOp::SCALE_DOWN_DISABLED_BY.to_owned(), run.to_string());
                        node.annotations
                            .insert(NodeOp::SCALE_DOWN_DISABLED.to_owned(), "true".to_owned());
                    }
                    NodeOp::TaintOutOfService { run } => {
                        node.annotations
                            .insert(NodeOp::OUT_OF_SERVICE_BY.to_owned(), run.to_string());
                    }
                    NodeOp::RemoveOutOfService => {
                        node.annotations.remove(NodeOp::OUT_OF_SERVICE_BY);
                    }
                    NodeOp::EnableScaleDown => {
                        node.annotations.remove(NodeOp::SCALE_DOWN_DISABLED_BY);
                        node.annotations.remove(NodeOp::SCALE_DOWN_DISABLED);
                    }
                    NodeOp::Evict { .. } => {
                        return Err(CallError::new(ErrorClass::Permanent, "forbidden"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// All evictions of a node are sent at once, and all are refused: the first refusal begins the
/// healing, and the others do not end it before the node takes pods again.
#[test]
fn evictions_that_are_refused_together_leave_no_node_cordoned() {
    let mut state = pool(3, 0);
    for number in 1..=3 {
        for pod in 0..3 {
            state.pods.push(PodState {
                namespace: "apps".to_owned(),
                name: format!("web-{number}-{pod}"),
                uid: format!("{number}-{pod}"),
                node: Some(node(number)),
                ready: true,
                terminating: false,
                owner: PodOwner::Workload("Deployment/apps/web".parse().unwrap()),
                budgets: [].into(),
                volume: None,
                critical: false,
                restart_policy: RestartPolicy::Always,
                do_not_evict: None,
            });
        }
    }
    let mut world = Forbidding(state);
    let mut engine = Engine::new(plan(vec![roll(0, 1)]), settings());
    let (journaled, outcome) = carry_out_in(&mut engine, &mut world, at(7200));
    assert_eq!(outcome, Some(RunOutcome::Partly), "{journaled:#?}");
    let evictions = journaled.iter().filter(|record| {
        matches!(record, RecordKind::Intent { call: Op::Node { op: NodeOp::Evict { .. }, .. }, .. })
    });
    assert_eq!(evictions.count(), 3, "{journaled:#?}");
    assert!(world.0.nodes.values().all(|node| !node.unschedulable), "{journaled:#?}");
    assert!(world.0.groups[&group()].tags.is_empty(), "{journaled:#?}");
}
