//! Random fleets under all that files and commands can hold them back with: pools that somebody
//! else replaces, freezes, waves by labels, several pools at once, a part of the clusters, a part
//! of what they are made of, clusters that may go back.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    ActionKind, Capped, Cluster, ClusterStatus, Code, Fleet, Freeze, Location, MaxVersion, Only,
    Plan, Schedule, Snapshot, UpdateStrategy, WaveSpec, Why, Written,
};
use refit_planner::{Options, plan};
use refit_verifier::{verify, verify_again};

use crate::bench::{n, ordered};
use crate::properties::{Numbers, begun, decorated, meddled};

const SEEDS: u64 = 400;

fn here() -> Location {
    Location { file: "clusters/x.toml".into(), line: 7 }
}

/// Holds a fleet back, and asks for a part of its plan.
fn restrain(numbers: &mut Numbers, fleet: &mut Fleet) -> Options {
    let available = fleet.available.clone();
    for cluster in fleet.clusters.values_mut() {
        for pool in &mut cluster.pools {
            if numbers.below(4) == 0 {
                pool.update = UpdateStrategy::OnDelete;
            }
        }
        if numbers.below(6) == 0 {
            let until = ["2026-01-04", "2027-01-04"][numbers.below(2)];
            let value = Freeze { until: Some(n(until)), reason: "peak season".to_owned() };
            cluster.freeze = Some(Written { value, at: here() });
        }
        if numbers.below(6) == 0 {
            cap(cluster, &available[numbers.below(available.len())].clone());
        }
        let ring = ["inner", "outer"][numbers.below(2)].to_owned();
        cluster.labels.insert("ring".to_owned(), ring);
        cluster.max_parallel_pools = 1 + u32::try_from(numbers.below(3)).unwrap();
    }
    for channel in &mut fleet.channels {
        if numbers.below(2) == 0 {
            let inner = BTreeMap::from([("ring".to_owned(), "inner".to_owned())]);
            channel.waves = vec![WaveSpec::Labels(inner), WaveSpec::Percent(100)];
        }
    }
    let mut options = Options::default();
    for (name, cluster) in &fleet.clusters {
        if numbers.below(5) == 0 {
            options.selection.exclude.insert(name.to_string());
        }
        if numbers.below(3) == 0 {
            options.downgrade.insert(name.clone());
        }
        for pool in cluster.pools.iter().filter(|pool| pool.update == UpdateStrategy::Roll) {
            if numbers.below(8) == 0 {
                options.replace.insert((name.clone(), pool.name.clone()));
            }
        }
    }
    options.selection.only =
        [None, None, None].into_iter().chain(Only::ALL.map(Some)).nth(numbers.below(6)).unwrap();
    options.refresh_images = numbers.below(4) == 0;
    options
}

/// Lets a cluster go no further than the minor of a version, as its `max-version`.
fn cap(cluster: &mut Cluster, at_most: &refit_model::KubeVersion) {
    if at_most.minor() >= cluster.kubernetes.value.minor() {
        return;
    }
    let max = Written { value: MaxVersion::Minor(at_most.minor()), at: here() };
    cluster.capped = Some(Capped { max, wanted: cluster.kubernetes.clone() });
    cluster.kubernetes.value = at_most.clone();
    cluster.kubernetes.pinned = true;
}

fn each(mut check: impl FnMut(&str, &Fleet, &Snapshot, &Options, &Plan)) {
    for seed in 0..SEEDS {
        let kinds =
            [("begun", begun(seed)), ("meddled", meddled(seed)), ("decorated", decorated(seed))];
        for (what, (mut fleet, snapshot)) in kinds {
            let mut numbers = Numbers::new(seed ^ 0x4e57);
            let options = restrain(&mut numbers, &mut fleet);
            let plan = plan(&fleet, &snapshot, &options);
            check(&format!("seed {seed}, {what}"), &fleet, &snapshot, &options, &plan);
        }
    }
}

/// Whether an action changes one of the parts that a plan is about. Groups may be pinned, and what
/// a run has left behind is given back, whatever it is about.
fn is_about(only: Only, kind: &ActionKind) -> bool {
    match kind {
        ActionKind::ControlPlaneHop { .. } => only == Only::ControlPlane,
        ActionKind::NodePoolRoll { .. } => only == Only::Nodes,
        ActionKind::FinishWave { .. }
        | ActionKind::PinGroups { .. }
        | ActionKind::TidyUp { .. } => true,
        _ => only == Only::AddOns,
    }
}

#[test]
fn what_holds_a_fleet_back_does() {
    each(|what, fleet, snapshot, options, plan| {
        let notes = verify(fleet, snapshot, plan);
        assert_eq!(notes, [], "{what} {options:?} {:#?}", plan.findings);
        assert_eq!(verify_again(fleet, snapshot, plan), [], "{what}");
        assert_eq!(ordered(plan).len(), plan.actions.len(), "{what}");
        assert_eq!(Schedule::of(plan).whole.middle, plan.critical_path, "{what}");
        for action in &plan.actions {
            let Some(cluster) = action.cluster.as_ref().map(|name| &fleet.clusters[name]) else {
                continue;
            };
            assert!(options.selection.takes(&cluster.name, &cluster.channel), "{what}");
            let tidies = matches!(action.kind, ActionKind::TidyUp { .. });
            let frozen = cluster.freeze.as_ref().is_some_and(|f| f.value.holds(snapshot.taken_at));
            assert!(tidies || !frozen, "{what}: {}", action.kind);
            let only = options.selection.only;
            let left = action.why == Why::LeftBehind;
            assert!(
                left || only.is_none_or(|only| is_about(only, &action.kind)),
                "{what}: {}",
                action.kind
            );
            if let ActionKind::NodePoolRoll { pool, .. } = &action.kind {
                let update = cluster.pool(pool).unwrap().update;
                assert_eq!(update, UpdateStrategy::Roll, "{what}: {}", action.kind);
            }
            if let ActionKind::ControlPlaneHop { from, to, .. } = &action.kind {
                let back = from.iter().any(|from| from.minor() > to.minor());
                assert!(!back || options.downgrade.contains(&cluster.name), "{what}");
                assert!(to.minor() <= cluster.kubernetes.value.minor(), "{what}");
            }
        }
    });
}

#[test]
fn all_that_can_hold_a_fleet_back_is_among_them() {
    let mut statuses: BTreeMap<String, usize> = BTreeMap::new();
    let mut codes: BTreeSet<Code> = BTreeSet::new();
    let mut left_out = 0;
    each(|_, _, _, _, plan| {
        for cluster in &plan.clusters {
            *statuses.entry(format!("{:?}", cluster.status)).or_default() += 1;
        }
        codes.extend(plan.findings.iter().map(|finding| finding.code));
        left_out += plan.left_out.len();
    });
    let many = [ClusterStatus::Planned, ClusterStatus::Blocked, ClusterStatus::Frozen];
    assert!(many.iter().all(|status| statuses[&format!("{status:?}")] > 50), "{statuses:?}");
    let told = [Code::RF041, Code::RF042, Code::RF043, Code::RF047];
    assert!(codes.is_superset(&BTreeSet::from(told)), "{codes:?}");
    assert!(left_out > 100, "{left_out}");
}
