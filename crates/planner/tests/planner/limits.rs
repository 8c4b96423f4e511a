//! What a cluster's own file keeps from it: freezes, its `max-version`; and how
//! many of its pools move at once.

use refit_model::{
    Capped, ClusterStatus, Code, Fleet, Location, ParallelPools, Plan, RollTag, Severity, Target,
    WaveSpec, Written,
};

use crate::bench::{Bench, edges, finding, fleet, knows, n, status, steps, wants};

fn at(line: u32) -> Location {
    Location { file: "clusters/ant.toml".into(), line }
}

fn freeze(fleet: &mut Fleet, name: &str, text: &str) {
    let freeze = Written { value: n(text), at: at(5) };
    fleet.clusters.get_mut(&n(name)).unwrap().freeze = Some(freeze);
}

/// Two clusters with a hop each; `ant` is frozen.
fn frozen(text: &str) -> Bench {
    let mut fleet = fleet(&[("ant", "1.32.2", "1.33.5"), ("bee", "1.32.2", "1.33.5")]);
    freeze(&mut fleet, "ant", text);
    Bench::of(fleet)
}

#[test]
fn nothing_is_planned_for_a_frozen_cluster_and_the_note_says_what_waits() {
    let plan = frozen("until 2027-01-04, peak season").plan();
    assert_eq!(status(&plan, "ant"), ClusterStatus::Frozen);
    assert_eq!(status(&plan, "bee"), ClusterStatus::Planned);
    assert!(plan.actions.iter().all(|action| action.cluster != Some(n("ant"))));
    assert!(!plan.is_blocked());
    let note = finding(&plan, Code::RF041);
    assert_eq!(note.severity, Severity::Note);
    assert_eq!(
        note.evidence,
        "is frozen until the end of 2027-01-04: peak season (clusters/ant.toml:5); 3 actions wait: \
         control-plane 1.32.2 -> 1.33.5, general 1.32.2 -> 1.33.5, batch 1.32.2 -> 1.33.5",
    );
}

#[test]
fn what_waits_is_named_as_it_would_be_done() {
    for start in ["1.29.2", "1.30.2", "1.31.5", "1.32.2"] {
        let mut fleet = fleet(&[("ant", start, "1.33.5")]);
        let steps = Bench::of(fleet.clone()).steps();
        freeze(&mut fleet, "ant", "peak season");
        let note = finding(&Bench::of(fleet).plan(), Code::RF041).evidence.clone();
        assert!(note.contains(&format!("wait: {}", steps[..3].join(", "))), "{note} {steps:?}");
    }
}

#[test]
fn after_its_last_day_a_freeze_is_over() {
    let mut bench = frozen("until 2027-01-04");
    for (now, wanted) in [
        ("2027-01-04T23:59:59Z", ClusterStatus::Frozen),
        ("2027-01-05T00:00:00Z", ClusterStatus::Planned),
    ] {
        bench.options.now = Some(n(now));
        let plan = bench.plan();
        assert_eq!(status(&plan, "ant"), wanted, "{now}");
        assert_eq!(plan.now, Some(n(now)));
    }
    bench.options.now = None;
    bench.snapshot.taken_at = n("2027-01-05T00:00:00Z");
    assert_eq!(status(&bench.plan(), "ant"), ClusterStatus::Planned);
    let endless = frozen("peak season");
    assert_eq!(status(&endless.plan(), "ant"), ClusterStatus::Frozen);
}

#[test]
fn a_frozen_cluster_that_is_done_is_up_to_date() {
    let mut fleet = fleet(&[("ant", "1.33.5", "1.33.5")]);
    freeze(&mut fleet, "ant", "peak season");
    let plan = Bench::of(fleet).plan();
    assert_eq!((status(&plan, "ant"), plan.findings), (ClusterStatus::UpToDate, vec![]));
}

#[test]
fn a_frozen_canary_holds_nobody_up() {
    let mut fleet = fleet(&[("ant", "1.32.2", "1.33.5"), ("bee", "1.32.2", "1.33.5")]);
    let first = WaveSpec::Clusters([n("ant")].into());
    fleet.channels[0].waves = vec![first, WaveSpec::Percent(100)];
    freeze(&mut fleet, "ant", "until 2027-01-04");
    let mut bench = Bench::of(fleet);
    let plan = bench.plan();
    assert_eq!(status(&plan, "bee"), ClusterStatus::Planned);
    assert_eq!(plan.waves.len(), 1);
    // Nor is it a wave that was skipped.
    bench.options.selection.exclude.insert("ant".to_owned());
    assert_eq!(bench.plan().findings, []);
    // What would block it does not count as a failure of its wave.
    bench.options.selection.exclude.clear();
    bench.state().control_plane[2].etcd_ready = Some(false);
    let plan = bench.plan();
    assert_eq!(status(&plan, "ant"), ClusterStatus::Frozen);
    assert_eq!(finding(&plan, Code::RF024).severity, Severity::Warning);
    assert!(finding(&plan, Code::RF041).evidence.contains("cannot be planned"));
    assert_eq!(status(&plan, "bee"), ClusterStatus::Planned);
}

#[test]
fn a_frozen_cluster_is_tidied_up() {
    let mut bench = frozen("peak season");
    let group = bench.state().groups.get_mut(&n("ant-general-0")).unwrap();
    group.tags.insert(RollTag::KEY.to_owned(), "{}".to_owned());
    let mut plan = bench.plan();
    assert_eq!(status(&plan, "ant"), ClusterStatus::Frozen);
    plan.actions.retain(|action| action.cluster == Some(n("ant")));
    assert_eq!(steps(&plan), ["general, tidy up"]);
    assert!(plan.waves.iter().all(|wave| !wave.clusters.contains(&n("ant"))));
}

#[test]
fn a_capped_cluster_says_what_keeps_it_and_what_it_misses() {
    let mut fleet = fleet(&[("ant", "1.32.2", "1.33.5")]);
    let ant = fleet.clusters.get_mut(&n("ant")).unwrap();
    ant.kubernetes = Target { value: n("1.33.5"), pinned: true, at: at(6) };
    let wanted = Location { file: "releases/r.toml".into(), line: 4 };
    ant.capped = Some(Capped {
        max: Written { value: n("1.33"), at: at(6) },
        wanted: Target { value: n("1.35.2"), pinned: false, at: wanted },
    });
    let plan = Bench::of(fleet).plan();
    assert_eq!(
        finding(&plan, Code::RF042).evidence,
        "stays at 1.33.5: `max-version` is 1.33 (clusters/ant.toml:6), and the release declares \
         1.35.2 (releases/r.toml:4)",
    );
    assert_eq!(steps(&plan)[0], "control-plane 1.32.2 -> 1.33.5");
}

#[test]
fn pools_that_may_be_rolled_at_once_do_not_wait_for_each_other() {
    let bench = |at_once: u32| {
        let mut fleet = fleet(&[("ant", "1.32.2", "1.33.5")]);
        knows(&mut fleet, "dns", &[("1.0.0", ">=1.30")]);
        wants(&mut fleet, "dns", "1.0.0");
        fleet.clusters.get_mut(&n("ant")).unwrap().max_parallel_pools = at_once;
        Bench::of(fleet)
    };
    let (one, two) = (bench(1).plan(), bench(2).plan());
    assert_eq!(one.clusters[0].parallel_pools, None);
    let pools = ["general", "batch"].map(n).to_vec();
    assert_eq!(two.clusters[0].parallel_pools, Some(ParallelPools { at_once: 2, order: pools }),);
    let between = |plan: &Plan| {
        let both = |edge: &&String| {
            edge.matches("-> 1.33.5 => ").count() == 1
                && edge.starts_with("general")
                && edge.contains("batch")
        };
        edges(plan).iter().filter(both).count()
    };
    assert_eq!((between(&one), between(&two)), (1, 0));
    let ids = |plan: &Plan| plan.actions.iter().map(|action| action.id).collect::<Vec<_>>();
    assert_eq!(ids(&one), ids(&two), "the same is done");
    // Both wait for the same.
    let before = |pool: &str| -> Vec<String> {
        let end = format!(" => {pool} 1.32.2 -> 1.33.5");
        let edges = edges(&two).into_iter();
        edges.filter_map(|edge| Some(edge.split_once(&end)?.0.to_owned())).collect()
    };
    assert_eq!(before("general"), before("batch"));
    assert_eq!(before("batch").len(), 1);
    assert!(two.critical_path < one.critical_path);
}

/// Has `ant` accept a finding up to and with 2026-12-31.
fn accepts(fleet: &mut Fleet, finding: Code, subject: &str) {
    let value = refit_model::Acceptance {
        finding,
        subject: subject.to_owned(),
        until: n("2026-12-31"),
        reason: "the operator moves its pods".to_owned(),
    };
    fleet.clusters.get_mut(&n("ant")).unwrap().accepts.push(Written { value, at: at(9) });
}

#[test]
fn what_is_accepted_is_a_note_until_its_day_is_over() {
    let planned = |subject: &str, now: Option<&str>| {
        let mut bench = Bench::ant("1.32.2", "1.33.5");
        accepts(&mut bench.fleet, Code::RF012, subject);
        let budget = &mut bench.state().budgets[0];
        budget.desired_healthy = budget.expected_pods;
        bench.options.now = now.map(n);
        bench.plan()
    };
    let plan = planned("apps/web", None);
    assert!(!plan.is_blocked() && !plan.actions.is_empty());
    let found = finding(&plan, Code::RF012);
    assert_eq!((found.severity, found.hint.as_str()), (Severity::Note, ""));
    assert!(found.evidence.contains("accepted until the end of 2026-12-31: the operator moves"));
    // Of another budget, or when its last day is over.
    let plan = planned("apps/other", None);
    assert!(plan.is_blocked());
    assert!(finding(&plan, Code::RF012).hint.contains("`--only control-plane`"));
    let plan = planned("apps/web", Some("2027-01-01T00:00:00Z"));
    assert!(plan.is_blocked() && plan.actions.is_empty());
    let found = finding(&plan, Code::RF012);
    assert_eq!(found.severity, Severity::Blocked);
    assert!(found.hint.contains("it was accepted until the end of 2026-12-31"), "{}", found.hint);
}

#[test]
fn a_warning_is_accepted_and_what_would_break_a_rule_is_not() {
    let mut bench = Bench::ant("1.32.2", "1.33.5");
    accepts(&mut bench.fleet, Code::RF050, "apps/web");
    accepts(&mut bench.fleet, Code::RF017, "control-plane");
    let budget = &mut bench.state().budgets[0];
    (budget.current_healthy, budget.disruptions_allowed) = (budget.desired_healthy - 1, 0);
    let plan = bench.plan();
    assert_eq!(finding(&plan, Code::RF050).severity, Severity::Note);
    bench.control_plane_runs(&["1.30.2", "1.32.2", "1.30.2"]);
    let plan = bench.plan();
    assert_eq!(finding(&plan, Code::RF017).severity, Severity::Blocked);
    assert!(plan.is_blocked());
}

#[test]
fn an_acceptance_that_matches_nothing_is_told_where_that_is_certain() {
    let told = |goal: &str, only: Option<refit_model::Only>, now: &str| {
        let mut bench = Bench::ant("1.32.2", goal);
        accepts(&mut bench.fleet, Code::RF012, "apps/gone");
        bench.options.selection.only = only;
        bench.options.now = Some(n(now));
        let plan = bench.plan();
        plan.findings.iter().filter(|found| found.code == Code::RF059).count()
    };
    let (before, after) = ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_eq!(told("1.33.5", None, before), 1);
    // Nothing is evicted by these plans: what a whole one finds is not known.
    assert_eq!(told("1.32.2", None, before), 0);
    assert_eq!(told("1.33.5", Some(refit_model::Only::ControlPlane), before), 0);
    // An ended one is of no use to any plan.
    assert_eq!(told("1.32.2", None, after), 1);
    // One that matches is needed.
    let mut bench = Bench::ant("1.32.2", "1.33.5");
    accepts(&mut bench.fleet, Code::RF012, "apps/web");
    let budget = &mut bench.state().budgets[0];
    budget.desired_healthy = budget.expected_pods;
    assert!(!crate::bench::codes(&bench.plan()).contains(&Code::RF059));
}
