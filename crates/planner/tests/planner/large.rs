//! Clusters with many add-ons that are bound to each other, and with many kinds of pools: they are
//! planned in no time, in as few moves as there can be.

use refit_model::{ActionId, ActionKind, Fleet, KubeVersion, Plan};

use crate::bench::{Bench, ant, fleet, has, knows, milestone, n, release, requires, wants};

const ADDONS: usize = 29;

/// Add-ons of twenty versions each, from the first to the last of them.
fn many(fleet: &mut Fleet, kubernetes: impl Fn(usize) -> String) -> Vec<String> {
    let names: Vec<String> = (0..ADDONS).map(|at| format!("addon-{at:02}")).collect();
    for name in &names {
        let versions: Vec<(String, String)> =
            (1..=20).map(|major| (format!("{major}.0.0"), kubernetes(major))).collect();
        let versions: Vec<_> =
            versions.iter().map(|(v, range)| (v.as_str(), range.as_str())).collect();
        knows(fleet, name, &versions);
        has(fleet, name, "1.0.0");
        wants(fleet, name, "20.0.0");
    }
    names
}

fn any(_: usize) -> String {
    ">=1.28".to_owned()
}

fn hub(fleet: &mut Fleet, versions: &[(&str, &str)]) {
    knows(fleet, "cert", versions);
    has(fleet, "cert", versions[0].0);
    wants(fleet, "cert", versions[versions.len() - 1].0);
}

fn moves(plan: &Plan) -> usize {
    plan.actions.iter().filter(|action| action.kind.addon().is_some()).count()
}

fn planned(fleet: Fleet) -> Plan {
    let plan = Bench::of(fleet).plan();
    assert!(!plan.is_blocked(), "{:#?}", plan.findings);
    plan
}

/// How many moves follow each other at most.
fn rounds(plan: &Plan) -> usize {
    let mut depth = vec![0; plan.actions.len()];
    let at = |id: &ActionId| plan.actions.iter().position(|action| action.id == *id).unwrap();
    for _ in 0..plan.actions.len() {
        for edge in &plan.edges {
            let (from, to) = (at(&edge.from), at(&edge.to));
            depth[to] = depth[to].max(depth[from] + 1);
        }
    }
    depth.into_iter().max().unwrap_or(0) + 1
}

#[test]
fn all_wait_for_one() {
    let mut fleet = fleet(&[("ant", "1.33.5", "1.33.5")]);
    hub(&mut fleet, &[("1.0.0", ">=1.28"), ("2.0.0", ">=1.28")]);
    for name in many(&mut fleet, any) {
        requires(&mut fleet, &name, "20.0.0", "cert", ">=2.0.0");
    }
    let plan = planned(fleet);
    assert_eq!((moves(&plan), rounds(&plan)), (ADDONS + 1, 2));
}

#[test]
fn one_waits_for_all() {
    let mut fleet = fleet(&[("ant", "1.33.5", "1.33.5")]);
    hub(&mut fleet, &[("1.0.0", ">=1.28"), ("2.0.0", ">=1.28")]);
    for name in many(&mut fleet, any) {
        for major in 1..20 {
            let release = release(&mut fleet, &name, &format!("{major}.0.0"));
            release.conflicts.insert(n("cert"), n(">=2.0.0"));
        }
    }
    let plan = planned(fleet);
    assert_eq!((moves(&plan), rounds(&plan)), (ADDONS + 1, 2));
}

#[test]
fn one_stops_half_way_for_another() {
    let mut fleet = fleet(&[("ant", "1.33.5", "1.33.5")]);
    hub(&mut fleet, &[("1.0.0", ">=1.28"), ("2.0.0", ">=1.28"), ("3.0.0", ">=1.28")]);
    for name in many(&mut fleet, any) {
        release(&mut fleet, &name, "1.0.0").conflicts.insert(n("cert"), n(">=3.0.0"));
        requires(&mut fleet, &name, "20.0.0", "cert", ">=2.0.0");
    }
    let plan = planned(fleet);
    assert_eq!((moves(&plan), rounds(&plan)), (ADDONS + 2, 3));
}

#[test]
fn each_waits_for_the_next() {
    let mut fleet = fleet(&[("ant", "1.33.5", "1.33.5")]);
    let names = many(&mut fleet, any);
    for pair in names.windows(2) {
        requires(&mut fleet, &pair[0], "20.0.0", &pair[1], ">=20.0.0");
    }
    let plan = planned(fleet);
    assert_eq!((moves(&plan), rounds(&plan)), (ADDONS, ADDONS));
}

/// Two minors, each version supports three of them: every add-on has one bridge on the way, and
/// all are bound to one.
#[test]
fn all_cross_bridges() {
    let mut fleet = fleet(&[("ant", "1.29.5", "1.33.5")]);
    hub(&mut fleet, &[("1.0.0", ">=1.28"), ("2.0.0", ">=1.28"), ("3.0.0", ">=1.28")]);
    let range = |major: usize| {
        let low = 28 + major / 5;
        format!(">=1.{low}, <=1.{}", low + 2)
    };
    for name in many(&mut fleet, range) {
        requires(&mut fleet, &name, "12.0.0", "cert", ">=2.0.0");
        requires(&mut fleet, &name, "20.0.0", "cert", ">=3.0.0");
        release(&mut fleet, &name, "1.0.0").conflicts.insert(n("cert"), n(">=2.0.0"));
    }
    let plan = planned(fleet);
    assert!(moves(&plan) > 2 * ADDONS, "{}", moves(&plan));
}

/// Every pool runs another patch, and add-ons wait for all nodes.
#[test]
fn every_pool_runs_another_patch() {
    let mut fleet = fleet(&[("ant", "1.31.5", "1.33.5")]);
    let template = ant(&mut fleet).pools[0].clone();
    ant(&mut fleet).pools.clear();
    crate::bench::start(&mut fleet).workloads.clear();
    for at in 0..12 {
        let mut pool = template.clone();
        pool.name = n(&format!("pool-{at:02}"));
        pool.groups = vec![n(&format!("ant-pool-{at:02}-0"))];
        ant(&mut fleet).pools.push(pool);
        crate::bench::start(&mut fleet).group_sizes.insert(n(&format!("ant-pool-{at:02}-0")), 1);
    }
    fleet.available.extend((10..22).map(|patch| KubeVersion::new(1, 31, patch)));
    for name in ["agent", "proxy", "dns"] {
        knows(&mut fleet, name, &[("1.0.0", ">=1.28"), ("2.0.0", ">=1.28")]);
        has(&mut fleet, name, "1.0.0");
        wants(&mut fleet, name, "2.0.0");
    }
    fleet
        .addons
        .get_mut(&n("agent"))
        .unwrap()
        .placement
        .after
        .insert(refit_model::Milestone::Nodes);
    fleet.addons.get_mut(&n("dns")).unwrap().placement.after.insert(milestone("agent"));
    release(&mut fleet, "proxy", "2.0.0").kubelets = Some(n(">=1.33"));
    let mut bench = Bench::of(fleet);
    for at in 0..12 {
        let version = format!("1.31.{}", 10 + at);
        bench.pool_runs(&format!("pool-{at:02}"), &[&version]);
    }
    let plan = bench.plan();
    assert!(!plan.is_blocked(), "{:#?}", plan.findings);
    let rolls = plan.actions.iter().filter(|a| matches!(a.kind, ActionKind::NodePoolRoll { .. }));
    assert_eq!((rolls.count(), moves(&plan)), (12, 3));
}

/// One add-on in the middle of many has no way: that is what is told, soon.
#[test]
fn a_dead_end_among_many() {
    let mut fleet = fleet(&[("ant", "1.31.5", "1.33.5")]);
    hub(&mut fleet, &[("1.0.0", ">=1.28"), ("2.0.0", ">=1.28")]);
    for name in many(&mut fleet, any) {
        requires(&mut fleet, &name, "20.0.0", "cert", ">=2.0.0");
    }
    requires(&mut fleet, "cert", "2.0.0", "addon-07", ">=20.0.0");
    let plan = Bench::of(fleet).plan();
    let found = crate::bench::finding(&plan, refit_model::Code::RF019);
    assert_eq!(
        found.evidence,
        "cannot reach 1.33.5: addon-07 20.0.0 requires cert >=2.0.0; cert 2.0.0 requires addon-07 \
         >=20.0.0"
    );
}
