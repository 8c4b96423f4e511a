//! Waves: who comes first, and what ends a wave.

use std::collections::BTreeSet;

use refit_model::{
    ActionKind, Because, ClusterName, ClusterStatus, Code, Fleet, Plan, Selection, WavePlan,
    WaveSpec,
};

use crate::bench::{Bench, fleet, n, status};

/// Ten clusters, `c0` to `c9`, one hop each.
fn ten(waves: Vec<WaveSpec>) -> Fleet {
    let names: Vec<String> = (0..10).map(|index| format!("c{index}")).collect();
    let clusters: Vec<(&str, &str, &str)> =
        names.iter().map(|name| (name.as_str(), "1.32.2", "1.33.5")).collect();
    let mut fleet = fleet(&clusters);
    fleet.channels[0].waves = waves;
    fleet
}

fn named(names: &[&str]) -> WaveSpec {
    WaveSpec::Clusters(set(names))
}

fn set(names: &[&str]) -> BTreeSet<ClusterName> {
    names.iter().map(|name| n(name)).collect()
}

fn waves(plan: &Plan) -> Vec<(u32, String)> {
    let text = |wave: &WavePlan| {
        wave.clusters.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    plan.waves.iter().map(|wave| (wave.wave, text(wave))).collect()
}

fn ends(plan: &Plan) -> Vec<u32> {
    let mut ends: Vec<u32> = plan
        .actions
        .iter()
        .filter_map(|action| match action.kind {
            ActionKind::FinishWave { wave, .. } => Some(wave),
            _ => None,
        })
        .collect();
    ends.sort_unstable();
    ends
}

#[test]
fn named_canaries_come_first_and_shares_are_reached() {
    let bench = Bench::of(ten(vec![named(&["c7"]), WaveSpec::Percent(25), WaveSpec::Percent(100)]));
    assert_eq!(
        waves(&bench.plan()),
        [
            (1, "c7".to_owned()),
            // A quarter of ten is three, and one of them was named.
            (2, "c0 c1".to_owned()),
            (3, "c2 c3 c4 c5 c6 c8 c9".to_owned()),
        ],
    );
    assert_eq!(ends(&bench.plan()), [1, 2], "nothing waits for the end of the last wave");
}

#[test]
fn a_cluster_is_in_the_first_wave_that_takes_it() {
    let waves_of = |specs| waves(&Bench::of(ten(specs)).plan());
    assert_eq!(
        waves_of(vec![named(&["c1", "c2"]), named(&["c2", "c3"]), WaveSpec::Percent(100)])[..2],
        [(1, "c1 c2".to_owned()), (2, "c3".to_owned())],
    );
    // The share is reached already.
    assert_eq!(
        waves_of(vec![named(&["c1", "c2"]), WaveSpec::Percent(20), WaveSpec::Percent(100)])[1].0,
        3,
    );
}

#[test]
fn the_end_of_a_wave_ties_its_sinks_to_the_next_one_s_sources() {
    let bench = Bench::of(ten(vec![named(&["c1"]), WaveSpec::Percent(100)]));
    let plan = bench.plan();
    let end = plan.actions.iter().find(|action| action.cluster.is_none()).unwrap();
    let wave = Because::Wave { channel: n("stable"), wave: 1 };
    let tied: Vec<_> =
        plan.edges.iter().filter(|edge| edge.from == end.id || edge.to == end.id).collect();
    assert!(tied.iter().all(|edge| *edge.because == wave));
    let incoming: Vec<_> = tied.iter().filter(|edge| edge.to == end.id).collect();
    assert_eq!(incoming.len(), 1);
    let last = plan.action(&incoming[0].from).unwrap();
    assert_eq!(
        (last.cluster.clone(), last.kind.to_string()),
        (Some(n("c1")), "batch 1.32.2 -> 1.33.5".into())
    );
    let outgoing: Vec<_> = tied.iter().filter(|edge| edge.from == end.id).collect();
    assert_eq!(outgoing.len(), 9);
    for edge in outgoing {
        assert!(matches!(plan.action(&edge.to).unwrap().kind, ActionKind::ControlPlaneHop { .. }));
    }
}

#[test]
fn waves_with_nothing_to_do_are_skipped() {
    let mut bench = Bench::of(ten(vec![
        named(&["c1"]),
        named(&["c2"]),
        named(&["c3"]),
        WaveSpec::Percent(100),
    ]));
    bench.fleet.clusters.get_mut(&n("c2")).unwrap().kubernetes.value = n("1.33.2");
    bench.fleet.clusters.get_mut(&n("c2")).unwrap().provider = {
        let mut done = fleet(&[("c2", "1.33.2", "1.33.2")]);
        done.clusters.remove(&n("c2")).unwrap().provider
    };
    let bench = Bench::of(bench.fleet);
    let plan = bench.plan();
    assert_eq!(status(&plan, "c2"), ClusterStatus::UpToDate);
    assert_eq!(waves(&plan).iter().map(|(wave, _)| *wave).collect::<Vec<_>>(), [1, 3, 4]);
    assert_eq!(ends(&plan), [1, 3]);
    let because = |wave| Because::Wave { channel: n("stable"), wave };
    let third = plan.edges.iter().find(|edge| {
        plan.action(&edge.to).unwrap().cluster == Some(n("c3")) && *edge.because == because(1)
    });
    assert!(third.is_some(), "wave 3 waits for wave 1");
}

#[test]
fn channels_do_not_wait_for_each_other() {
    let mut fleet = ten(vec![named(&["c1"]), WaveSpec::Percent(100)]);
    let mut dev = fleet.channels[0].clone();
    dev.name = n("dev");
    dev.waves = vec![WaveSpec::Percent(100)];
    fleet.channels.insert(0, dev);
    for name in ["c8", "c9"] {
        fleet.clusters.get_mut(&n(name)).unwrap().channel = n("dev");
    }
    let plan = Bench::of(fleet).plan();
    assert_eq!(waves(&plan)[0], (1, "c8 c9".to_owned()));
    assert_eq!(waves(&plan)[1], (1, "c1".to_owned()));
    for edge in &plan.edges {
        let cluster = |id| plan.action(id).unwrap().cluster.clone();
        let dev =
            |cluster: Option<ClusterName>| cluster.is_some_and(|c| set(&["c8", "c9"]).contains(&c));
        assert_eq!(dev(cluster(&edge.from)), dev(cluster(&edge.to)));
    }
}

#[test]
fn later_waves_wait_for_blocked_clusters_unless_they_may_fail() {
    let specs = || vec![named(&["c1", "c2"]), named(&["c3"]), WaveSpec::Percent(100)];
    let blocked = |allowed: u32, lost: &[&str]| {
        let mut fleet = ten(specs());
        fleet.channels[0].max_failed_clusters = allowed;
        let mut bench = Bench::of(fleet);
        for name in lost {
            bench.snapshot.clusters.remove(&n(name));
        }
        let plan = bench.plan();
        let waiting: BTreeSet<ClusterName> = plan
            .findings
            .iter()
            .filter(|finding| finding.code == Code::RF025)
            .map(|finding| finding.subject.cluster.clone())
            .collect();
        let idle: BTreeSet<ClusterName> = plan
            .clusters
            .iter()
            .filter(|cluster| cluster.status == ClusterStatus::Blocked)
            .map(|cluster| cluster.name.clone())
            .collect();
        assert_eq!(&waiting | &set(lost), idle);
        waiting.len()
    };
    assert_eq!(blocked(0, &[]), 0);
    assert_eq!(blocked(0, &["c1"]), 8, "everything after it");
    assert_eq!(blocked(0, &["c3"]), 7, "not those of earlier waves");
    assert_eq!(blocked(0, &["c9"]), 0, "not those of its own wave");
    assert_eq!(blocked(1, &["c1"]), 0);
    assert_eq!(blocked(1, &["c1", "c2"]), 8);
    assert_eq!(blocked(2, &["c1", "c2"]), 0);
    assert_eq!(blocked(1, &["c1", "c3"]), 0, "each wave is counted for itself");
    assert_eq!(blocked(1, &["c1", "c2", "c4"]), 7, "and once stuck it stays so");
}

#[test]
fn the_end_of_a_wave_carries_how_many_may_fail() {
    let mut fleet = ten(vec![named(&["c1"]), WaveSpec::Percent(100)]);
    fleet.channels[0].max_failed_clusters = 3;
    fleet.channels[0].max_parallel_clusters = Some(2);
    let plan = Bench::of(fleet).plan();
    assert!(plan.waves.iter().all(|wave| wave.max_parallel_clusters == Some(2)));
    assert!(plan.waves.iter().all(|wave| wave.max_failed_clusters == 3));
    let end = plan.actions.iter().find(|action| action.cluster.is_none()).unwrap();
    assert!(matches!(end.kind, ActionKind::FinishWave { max_failed_clusters: 3, .. }));
}

#[test]
fn a_cluster_that_cannot_be_planned_is_one_of_those_that_may_fail() {
    let may_fail = |allowed: u32, lost: &[&str]| -> Vec<u32> {
        let mut fleet = ten(vec![named(&["c1", "c2"]), WaveSpec::Percent(100)]);
        fleet.channels[0].max_failed_clusters = allowed;
        let mut bench = Bench::of(fleet);
        for name in lost {
            bench.snapshot.clusters.remove(&n(name));
        }
        let plan = bench.plan();
        let ends = plan.actions.iter().filter_map(|action| match action.kind {
            ActionKind::FinishWave { max_failed_clusters, .. } => Some(max_failed_clusters),
            _ => None,
        });
        let of_waves: Vec<u32> = plan.waves.iter().map(|wave| wave.max_failed_clusters).collect();
        assert_eq!(ends.collect::<Vec<_>>(), of_waves[..of_waves.len() - 1]);
        of_waves
    };
    assert_eq!(may_fail(2, &[]), [2, 2]);
    assert_eq!(may_fail(2, &["c1"]), [1, 2], "each wave is counted for itself");
    assert_eq!(may_fail(2, &["c4", "c5"]), [2, 0]);
    assert_eq!(may_fail(1, &["c4", "c5"]), [1, 0], "never less than none");
    assert_eq!(may_fail(0, &["c4"]), [0, 0]);
}

/// Without the clusters of these names.
fn without(names: &[&str]) -> Selection {
    let exclude = names.iter().map(|name| (*name).to_owned()).collect();
    Selection { exclude, ..Selection::default() }
}

#[test]
fn a_selection_keeps_the_order_of_waves_and_warns_of_those_it_skips() {
    let specs = vec![named(&["c1"]), named(&["c2"]), named(&["c3"]), WaveSpec::Percent(100)];
    let mut bench = Bench::of(ten(specs));
    bench.options.selection = without(&["c2", "c9"]);
    let plan = bench.plan();
    assert_eq!(
        waves(&plan),
        [(1, "c1".to_owned()), (3, "c3".to_owned()), (4, "c0 c4 c5 c6 c7 c8".to_owned())],
    );
    assert_eq!(ends(&plan), [1, 3]);
    assert_eq!(plan.left_out, set(&["c2", "c9"]));
    let warned: Vec<&str> = plan
        .findings
        .iter()
        .filter(|found| found.code == Code::RF040)
        .map(|found| found.subject.cluster.as_str())
        .collect();
    assert_eq!(warned, ["c0", "c3", "c4", "c5", "c6", "c7", "c8"], "c1 is earlier");
    let text = &plan.findings[0].evidence;
    assert_eq!(text, "wave 2 of stable comes first, and is not done: c2 is left out");

    // What was not seen may be undone.
    bench.snapshot.clusters.remove(&n("c2"));
    bench.snapshot.clusters.remove(&n("c9"));
    assert_eq!(bench.plan().findings.len(), 7, "of c9 nobody needs to know");
}

#[test]
fn a_skipped_wave_that_is_done_is_none() {
    let mut bench = Bench::of({
        let mut fleet = ten(vec![named(&["c1"]), WaveSpec::Percent(100)]);
        fleet.clusters.get_mut(&n("c1")).unwrap().kubernetes.value = n("1.32.2");
        fleet
    });
    bench.options.selection = without(&["c1"]);
    assert_eq!(bench.plan().findings, []);
}

#[test]
fn a_plan_needs_to_see_its_clusters_and_the_waves_before_theirs() {
    let fleet = ten(vec![named(&["c1"]), named(&["c2"]), WaveSpec::Percent(100)]);
    let needs = |selection| refit_planner::needed(&fleet, &selection);
    let only = |name: &str| Selection {
        clusters: BTreeSet::from([name.to_owned()]),
        ..Selection::default()
    };
    assert_eq!(needs(only("c1")), set(&["c1"]));
    assert_eq!(needs(only("c2")), set(&["c1", "c2"]));
    assert_eq!(needs(only("c7")), set(&["c1", "c2", "c7"]));
    assert_eq!(needs(Selection::default()).len(), 10);
}

#[test]
fn a_wave_of_labels_takes_the_clusters_that_have_them_all() {
    let labels = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let canary = WaveSpec::Labels(labels(&[("tier", "canary"), ("region", "eu")]));
    let mut fleet = ten(vec![named(&["c3"]), canary, WaveSpec::Percent(100)]);
    for (name, region) in [("c2", "eu"), ("c3", "eu"), ("c5", "us"), ("c8", "eu")] {
        let labels = labels(&[("tier", "canary"), ("region", region), ("other", "yes")]);
        fleet.clusters.get_mut(&n(name)).unwrap().labels = labels;
    }
    let waves = waves(&Bench::of(fleet).plan());
    let wanted = [(1, "c3".to_owned()), (2, "c2 c8".to_owned())];
    assert_eq!(waves[..2], wanted, "c3 is in the first wave that takes it");
    assert_eq!(waves[2], (3, "c0 c1 c4 c5 c6 c7 c9".to_owned()));
}
