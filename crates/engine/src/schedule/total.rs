//! The total duration that a plan shows is how long the engine's schedule takes, if every action takes what
//! was estimated.

use refit_model::{
    ActionKind, Because, Bounds, ChannelName, ClusterPlan, ClusterStatus, Edge, StateGuard,
    WavePlan, Why,
};

use super::*;
use crate::bench::{plan, roll};

/// Numbers from a seed.
struct Numbers(u64);

impl Numbers {
    fn between(&mut self, low: u32, high: u32) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = u32::try_from(self.0 >> 33).unwrap();
        low + number % (high - low + 1)
    }
}

fn rolls(cluster: &ClusterName, pool: &str, minutes: u32) -> Action {
    let mut action = roll(1, 0);
    if let ActionKind::NodePoolRoll { pool: rolled, .. } = &mut action.kind {
        *rolled = pool.parse().unwrap();
    }
    action.cluster = Some(cluster.clone());
    action.estimate = Period::minutes(minutes);
    action.id = Action::id_of(action.cluster.as_ref(), &action.kind);
    action
}

fn finishes(channel: &ChannelName, wave: u32) -> Action {
    let kind = ActionKind::FinishWave { channel: channel.clone(), wave, max_failed_clusters: 0 };
    let (expect, ensure) = (StateGuard::Anything.into(), StateGuard::Anything.into());
    let id = Action::id_of(None, &kind);
    let (estimate, bounds, why) = (Period::ZERO, Bounds::None, Why::Waves);
    Action { id, cluster: None, kind, expect, ensure, bounds, estimate, why, ..roll(1, 0) }
}

/// A plan of channels with waves of clusters, some with limits on clusters, the others with limits on pools.
fn random(seed: u64) -> Plan {
    let mut numbers = Numbers(seed);
    let (mut actions, mut edges, mut waves) = (Vec::new(), Vec::new(), Vec::new());
    let mut clusters = Vec::new();
    for channel in 0..numbers.between(1, 2) {
        let name: ChannelName = format!("channel-{channel}").parse().unwrap();
        let most = [None, Some(1), Some(2), Some(3)][numbers.between(0, 3) as usize];
        let mut finished = None;
        for wave in 1..=numbers.between(1, 3) {
            let finish = finishes(&name, wave);
            let mut own = BTreeSet::new();
            let because = std::sync::Arc::new(Because::Wave { channel: name.clone(), wave });
            let mut tie = |from, to| edges.push(Edge { from, to, because: because.clone() });
            for number in 0..numbers.between(1, 6) {
                let cluster: ClusterName = format!("c{channel}-{wave}-{number}").parse().unwrap();
                own.insert(cluster.clone());
                let limited = most.is_none() && numbers.between(0, 1) == 0;
                let pools: Vec<String> =
                    (0..numbers.between(1, 4)).map(|pool| format!("p{pool}")).collect();
                let mut last = finished;
                for pool in &pools {
                    let action = rolls(&cluster, pool, numbers.between(1, 60));
                    if let Some(before) = last {
                        tie(before, action.id);
                    }
                    if limited {
                        tie(action.id, finish.id);
                    } else {
                        last = Some(action.id);
                    }
                    actions.push(action);
                }
                if let Some(last) = last.filter(|_| !limited) {
                    tie(last, finish.id);
                }
                let order = pools.iter().map(|pool| pool.parse().unwrap()).collect();
                clusters.push(ClusterPlan {
                    name: cluster,
                    channel: name.clone(),
                    release: "1".parse().unwrap(),
                    identity: None,
                    status: ClusterStatus::Planned,
                    from: BTreeSet::new(),
                    to: "1.33.1".parse().unwrap(),
                    parallel_pools: limited.then_some(ParallelPools { at_once: 2, order }),
                    kubelets_that_stay: BTreeSet::new(),
                });
            }
            waves.push(WavePlan {
                channel: name.clone(),
                wave,
                clusters: own,
                max_parallel_clusters: most,
                max_failed_clusters: 0,
            });
            finished = Some(finish.id);
            actions.push(finish);
        }
    }
    actions.sort_by_key(|action| action.id);
    Plan { clusters, waves, edges, ..plan(actions) }
}

/// Returns how long a plan takes, in seconds, if every action begins as soon as the schedule lets it.
fn simulated(plan: &Plan) -> u32 {
    let mut schedule = Schedule::new(plan);
    let mut running: BTreeSet<(u32, usize)> = BTreeSet::new();
    let mut now = 0;
    loop {
        for at in schedule.look(plan).0 {
            schedule.begin(at);
            running.insert((now + plan.actions[at].estimate.as_secs(), at));
        }
        let Some((end, at)) = running.pop_first() else { break };
        now = end;
        schedule.end(plan, at, Outcome::Done);
        while let Some((end, at)) = running.pop_first() {
            if end > now {
                running.insert((end, at));
                break;
            }
            schedule.end(plan, at, Outcome::Done);
        }
    }
    assert!(schedule.standing.iter().all(|standing| matches!(standing, Standing::Ended(_))));
    now
}

#[test]
fn the_total_is_what_the_schedule_takes() {
    let mut limited = 0;
    for seed in 0..500 {
        let plan = random(seed);
        let total = refit_model::Schedule::of(&plan);
        assert_eq!(
            total.whole.middle.as_secs(),
            simulated(&plan),
            "seed {seed}: {:#?}",
            plan.waves
        );
        // What it takes without a limit.
        let mut free = plan.clone();
        free.waves.iter_mut().for_each(|wave| wave.max_parallel_clusters = None);
        free.clusters.iter_mut().for_each(|cluster| cluster.parallel_pools = None);
        limited += usize::from(refit_model::Schedule::of(&free).whole.middle < total.whole.middle);
    }
    assert!(limited > 200, "{limited}");
}
