//! A small pool for tests: single decisions on states that are written down. What comes of whole
//! runs is tested by seeds, over the simulator, which this crate does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use refit_model::{
    Action, ActionKind, Bounds, CallError, ClusterIdentity, ClusterState, Digest, GroupName,
    GroupState, ImageId, ImagePin, InstanceId, InstanceState, JournalRecord, KubeProxy,
    KubeVersion, Lifecycle, NodeName, NodeState, Op, Period, Plan, RecordKind, Reversibility,
    RollCause, RunOutcome, StateGuard, Stop, Timestamp, Why,
};

use crate::{Effect, Engine, Event, Settings};

pub(crate) static OLD: KubeVersion = KubeVersion::new(1, 33, 4);
pub(crate) static NEW: KubeVersion = KubeVersion::new(1, 34, 2);

/// So many seconds into the test.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

pub(crate) fn group() -> GroupName {
    "general-0".parse().unwrap()
}

fn image(version: &KubeVersion) -> ImageId {
    format!("ami-{version}").parse().unwrap()
}

pub(crate) fn instance(number: u32) -> InstanceId {
    format!("i-{number:02}").parse().unwrap()
}

pub(crate) fn node(number: u32) -> NodeName {
    format!("ip-{number:02}").parse().unwrap()
}

/// A pool of one group: first so many old nodes, then so many new ones, all of them well.
pub(crate) fn pool(old: u32, new: u32) -> ClusterState {
    let mut state = ClusterState {
        identity: ClusterIdentity { uid: "u".to_owned(), account: None, region: None },
        serves: None,
        control_plane: Vec::new(),
        groups: BTreeMap::new(),
        nodes: BTreeMap::new(),
        pods: Vec::new(),
        workloads: Vec::new(),
        budgets: Vec::new(),
        images: Vec::new(),
        addons: BTreeMap::new(),
        lease: None,
    };
    let zone = || "eu-west-1a".parse().unwrap();
    let group_state = GroupState {
        min: 0,
        max: old + new + 4,
        desired: old + new,
        zones: BTreeSet::from([zone()]),
        template_version: 2,
        template_images: BTreeMap::from([(1, image(&OLD)), (2, image(&NEW))]),
        suspended: BTreeSet::new(),
        target_groups: BTreeSet::new(),
        instances: Vec::new(),
        tags: BTreeMap::new(),
        hooks: BTreeMap::new(),
        refused: BTreeSet::new(),
    };
    state.groups.insert(group(), group_state);
    for number in 1..=old + new {
        add_instance(&mut state, number, if number <= old { &OLD } else { &NEW });
        state.nodes.insert(
            node(number),
            NodeState {
                instance: Some(instance(number)),
                zone: Some(zone()),
                kubelet: if number <= old { OLD.clone() } else { NEW.clone() },
                kube_proxy: KubeProxy::None,
                ready: true,
                unreachable_since: None,
                unschedulable: false,
                control_plane: false,
                taints: BTreeSet::new(),
                runtime: None,
                detaching: BTreeSet::new(),
                annotations: BTreeMap::new(),
            },
        );
    }
    state
}

/// An instance that is no node yet.
pub(crate) fn add_instance(state: &mut ClusterState, number: u32, version: &KubeVersion) {
    state.groups.get_mut(&group()).unwrap().instances.push(InstanceState {
        id: instance(number),
        zone: "eu-west-1a".parse().unwrap(),
        lifecycle: Lifecycle::InService,
        template_version: 2,
        image: image(version),
        protected: *version == NEW,
        target_health: None,
    });
}

/// The roll of that pool.
pub(crate) fn roll(surge: u32, unavailable: u32) -> Action {
    let cluster = "ant".parse().unwrap();
    let kind = ActionKind::NodePoolRoll {
        pool: "general".parse().unwrap(),
        from: BTreeSet::from([OLD.clone()]).into(),
        to: NEW.clone(),
        images: BTreeMap::from([(
            group(),
            ImagePin { id: image(&NEW), name: "nodes-new".to_owned() }.into(),
        )]),
        nodes: 3,
        cause: RollCause::Version,
        replace: BTreeSet::new(),
    };
    let machines = |versions: &[&KubeVersion]| StateGuard::Machines {
        groups: BTreeSet::from([group()]).into(),
        versions: Arc::new(versions.iter().copied().cloned().collect()),
        images: BTreeMap::new(),
        replaced: BTreeSet::new(),
    };
    Action {
        id: Action::id_of(Some(&cluster), &kind),
        cluster: Some(cluster),
        kind,
        expect: machines(&[&OLD, &NEW]).into(),
        ensure: machines(&[&NEW]).into(),
        bounds: Bounds::Rolling {
            surge,
            unavailable,
            drain_timeout: Period::minutes(10),
            wait_complete: Period::ZERO,
            node_ready_timeout: Period::minutes(10),
            unreachable_timeout: Period::minutes(10),
            node_interval: Period::ZERO,
        },
        timeout: Period::minutes(600),
        estimate: Period::minutes(10),
        reversible: Reversibility::Reversible,
        why: Why::Asked,
    }
}

/// What gives that pool back what a run has changed on it.
pub(crate) fn tidy_up() -> Action {
    let pool = Some("general".parse().unwrap());
    let kind = ActionKind::TidyUp { pool, groups: BTreeSet::from([group()]) };
    let Action { cluster, bounds, .. } = roll(0, 0);
    let id = Action::id_of(cluster.as_ref(), &kind);
    let (expect, ensure) = (StateGuard::Anything.into(), StateGuard::Anything.into());
    Action { id, kind, expect, ensure, bounds, why: Why::LeftBehind, ..roll(0, 0) }
}

/// A plan of these actions.
pub(crate) fn plan(actions: Vec<Action>) -> Plan {
    Plan {
        fleet: "acme".parse().unwrap(),
        made_with: "0.1.0".to_owned(),
        taken_at: at(0),
        now: None,
        config_digest: Digest::of_bytes(b"a"),
        snapshot_digest: Digest::of_bytes(b"b"),
        selection: refit_model::Selection::default(),
        left_out: BTreeSet::new(),
        downgrade: BTreeSet::new(),
        clusters: Vec::new(),
        waves: Vec::new(),
        actions: actions.into_iter().map(Box::new).collect(),
        edges: Vec::new(),
        implied: Vec::new(),
        findings: Vec::new(),
        critical_path: Period::ZERO,
        measured: refit_model::Durations::default(),
    }
}

pub(crate) fn settings() -> Settings {
    Settings { run: "run-1".parse().unwrap(), who: "eve@host".to_owned(), parallelism: 4 }
}

/// A journal of these records.
pub(crate) fn journal(kinds: Vec<RecordKind>) -> Vec<JournalRecord> {
    let numbered = kinds.into_iter().zip(1..);
    numbered.map(|(kind, seq)| JournalRecord { seq, epoch: 1, at: at(0), kind }).collect()
}

/// Carries out what the engine wants of a world that stands still: whatever it looks at is
/// `state`, and every call goes well. Ends when the run does, or after an hour.
///
/// What was journaled on the way, and how the run ended.
pub(crate) fn carry_out(
    engine: &mut Engine,
    state: &ClusterState,
) -> (Vec<RecordKind>, Option<RunOutcome>) {
    let mut still = Still(state);
    carry_out_in(engine, &mut still, at(3600))
}

/// What the engine acts on.
pub(crate) trait World {
    /// What a look that is begun now shows.
    fn look(&mut self, now: Timestamp) -> Result<ClusterState, CallError>;
    /// What a call does.
    fn submit(&mut self, now: Timestamp, call: &Op) -> Result<(), CallError>;
}

struct Still<'a>(&'a ClusterState);

impl World for Still<'_> {
    fn look(&mut self, _now: Timestamp) -> Result<ClusterState, CallError> {
        Ok(self.0.clone())
    }

    fn submit(&mut self, _now: Timestamp, _call: &Op) -> Result<(), CallError> {
        Ok(())
    }
}

/// Carries out what the engine wants, in no time, until the run ends or it is so late.
pub(crate) fn carry_out_in(
    engine: &mut Engine,
    world: &mut impl World,
    until: Timestamp,
) -> (Vec<RecordKind>, Option<RunOutcome>) {
    carry_out_until(engine, world, until, None)
}

/// The same, and somebody stops it at a time.
pub(crate) fn carry_out_until(
    engine: &mut Engine,
    world: &mut impl World,
    until: Timestamp,
    mut stop: Option<(Timestamp, Stop)>,
) -> (Vec<RecordKind>, Option<RunOutcome>) {
    let mut journaled = Vec::new();
    let mut now = at(0);
    let mut events = vec![Event::Tick];
    while now < until {
        let mut wake = None;
        for event in std::mem::take(&mut events) {
            for effect in engine.step(now, event) {
                match effect {
                    Effect::Journal(records) => {
                        journaled.extend(records);
                        events.push(Event::Journaled);
                    }
                    Effect::Look { look, .. } => {
                        let result = world.look(now).map(Box::new);
                        events.push(Event::Looked { look, result });
                    }
                    Effect::Submit { op, call, .. } => {
                        let result = world.submit(now, &call);
                        events.push(Event::Settled { op, result });
                    }
                    Effect::Emit(_) => {}
                    Effect::WakeAt(at) => wake = Some(at),
                    Effect::Finish(outcome) => return (journaled, Some(outcome)),
                }
            }
        }
        if events.is_empty() {
            let stops_at = stop.map(|(at, _)| at.max(now));
            let Some(at) = wake.into_iter().chain(stops_at).min() else {
                return (journaled, None);
            };
            now = at;
            let stopped = stop.take_if(|(at, _)| *at <= now);
            events.push(stopped.map_or(Event::Tick, |(_, stop)| Event::Stop(stop)));
        }
    }
    (journaled, None)
}
