//! Dead ends: what is told of them can be followed, and what would open a way opens one.

use std::collections::BTreeSet;

use refit_model::{AddonName, AddonVersion, ClusterStatus, Code, Finding, Fleet};
use refit_planner::plan;

use crate::bench::{Bench, ant, finding, fleet, has, knows, n, release, requires, status, wants};
use crate::optimum::{Instance, beginnings};

/// `cert` needs a bridge to 1.34 that requires a newer `gateway` than is declared.
fn bridge_that_requires() -> Fleet {
    let mut fleet = fleet(&[("ant", "1.31.5", "1.34.5")]);
    ant(&mut fleet).pools.truncate(1);
    let versions =
        [("1.17.4", ">=1.29, <=1.33"), ("1.19.1", ">=1.31, <=1.35"), ("1.20.0", ">=1.34")];
    knows(&mut fleet, "cert", &versions);
    knows(&mut fleet, "gateway", &[("1.1.0", ">=1.28"), ("1.2.0", ">=1.28")]);
    has(&mut fleet, "cert", "1.17.4");
    has(&mut fleet, "gateway", "1.1.0");
    wants(&mut fleet, "cert", "1.20.0");
    wants(&mut fleet, "gateway", "1.1.0");
    requires(&mut fleet, "cert", "1.19.1", "gateway", ">=1.2.0");
    fleet
}

/// Add-ons that can be many things on the way, of which the last ones do not go together.
pub(crate) fn entangle(fleet: &mut Fleet) {
    let names = ["a", "b", "c", "d", "e", "f"];
    let versions: Vec<String> = (1..=14).map(|major| format!("{major}.0.0")).collect();
    let ranges: Vec<(&str, &str)> = versions.iter().map(|v| (v.as_str(), ">=1.28")).collect();
    for (at, name) in names.iter().enumerate() {
        knows(fleet, name, &ranges);
        has(fleet, name, "1.0.0");
        wants(fleet, name, "14.0.0");
        let next = names[(at + 1) % names.len()];
        release(fleet, name, "14.0.0").requires.insert(n(next), n(">=13.0.0"));
    }
    release(fleet, "a", "14.0.0").conflicts.insert(n("b"), n(">=13.0.0"));
}

#[test]
fn a_dead_end_is_derived_and_its_fix_opens_it() {
    let mut fleet = bridge_that_requires();
    let plan = Bench::of(fleet.clone()).plan();
    let found = finding(&plan, Code::RF019);
    assert_eq!(
        found.evidence,
        "cannot reach 1.34.5: 1.33 -> 1.34 needs cert 1.19.1 (1.17.4 supports >=1.29, <=1.33); \
         cert 1.19.1 requires gateway >=1.2.0; set `base` holds gateway at 1.1.0 \
         (releases/2026.11.0.toml:3)"
    );
    assert_eq!(found.hint, "raise gateway to 1.2.0 (releases/2026.11.0.toml:3)");
    wants(&mut fleet, "gateway", "1.2.0");
    assert_eq!(status(&Bench::of(fleet).plan(), "ant"), ClusterStatus::Planned);
}

#[test]
fn steps_that_are_not_allowed_need_a_version_in_between() {
    let mut fleet = fleet(&[("ant", "1.33.5", "1.33.5")]);
    let versions = [("1.0.0", ">=1.28"), ("1.1.0", ">=1.28"), ("1.2.0", ">=1.28")];
    knows(&mut fleet, "dns", &versions);
    has(&mut fleet, "dns", "1.0.0");
    wants(&mut fleet, "dns", "1.2.0");
    release(&mut fleet, "dns", "1.2.0").upgrade_from = Some(n(">=1.1.0"));
    let steps = Bench::of(fleet.clone()).steps();
    assert_eq!(steps, ["dns 1.0.0 -> 1.1.0", "dns 1.1.0 -> 1.2.0"]);

    fleet.addons.get_mut(&n("dns")).unwrap().versions.remove(&n("1.1.0"));
    let plan = Bench::of(fleet.clone()).plan();
    assert_eq!(
        finding(&plan, Code::RF044).evidence,
        "cannot reach 1.33.5: dns 1.2.0 may only come from >=1.1.0"
    );
    release(&mut fleet, "dns", "1.2.0").upgrade_from = None;
    fleet.addons.get_mut(&n("dns")).unwrap().one_minor_at_a_time = true;
    let plan = Bench::of(fleet).plan();
    let evidence = &finding(&plan, Code::RF044).evidence;
    assert_eq!(evidence, "cannot reach 1.33.5: dns moves one minor at a time");
}

#[test]
fn add_ons_that_conflict_go_around_each_other_or_not_at_all() {
    let mut fleet = fleet(&[("ant", "1.33.5", "1.33.5")]);
    for name in ["dns", "proxy"] {
        knows(&mut fleet, name, &[("1.0.0", ">=1.28"), ("2.0.0", ">=1.28")]);
        has(&mut fleet, name, "1.0.0");
        wants(&mut fleet, name, "2.0.0");
    }
    // The old one does not go with the new one, so it has to be gone first.
    release(&mut fleet, "dns", "1.0.0").conflicts.insert(n("proxy"), n(">=2.0.0"));
    let steps = Bench::of(fleet.clone()).steps();
    assert_eq!(steps, ["dns 1.0.0 -> 2.0.0", "proxy 1.0.0 -> 2.0.0"]);

    release(&mut fleet, "proxy", "1.0.0").conflicts.insert(n("dns"), n(">=2.0.0"));
    let plan = Bench::of(fleet).plan();
    assert_eq!(
        finding(&plan, Code::RF045).evidence,
        "cannot reach 1.33.5: dns 1.0.0 conflicts with proxy >=2.0.0; \
         proxy 1.0.0 conflicts with dns >=2.0.0"
    );
}

/// What a hint asks to raise: each of the add-ons is a way out by itself.
fn raised(found: &Finding) -> Vec<(AddonName, AddonVersion)> {
    let each = found.hint.split("; or ").filter_map(|hint| hint.strip_prefix("raise "));
    each.map(|hint| {
        let mut words = hint.split(' ');
        let (name, _, version) = (words.next().unwrap(), words.next(), words.next().unwrap());
        (n(name), n(version))
    })
    .collect()
}

#[test]
fn what_a_hint_asks_to_raise_opens_the_way() {
    let beginnings = beginnings();
    let (mut raised_ones, mut codes) = (0, BTreeSet::new());
    for seed in 0..6_000 {
        let instance = Instance::new(&beginnings, seed);
        let Bench { fleet, snapshot, options } = &instance.bench;
        let made = plan(fleet, snapshot, options);
        let blocks: Vec<&Finding> = made.findings.iter().filter(|f| f.severity.blocks()).collect();
        codes.extend(blocks.iter().map(|found| found.code));
        let [found] = blocks[..] else { continue };
        for (name, version) in raised(found) {
            let mut fleet = fleet.clone();
            let target = ant(&mut fleet).addons.get_mut(&name).unwrap();
            assert!(version > target.version.value, "seed {seed}: {found:?}");
            target.version.value = version;
            let plan = plan(&fleet, snapshot, options);
            assert!(!plan.is_blocked(), "seed {seed}: {found:?} {:?}", plan.findings);
            raised_ones += 1;
        }
    }
    assert!(raised_ones > 100, "{raised_ones}");
    let expected = [Code::RF018, Code::RF019, Code::RF026, Code::RF044, Code::RF045];
    assert!(codes.is_superset(&BTreeSet::from(expected)), "{codes:?}");
}

#[test]
fn the_way_without_a_bridge_is_told_with_its_ranges() {
    let mut fleet = fleet(&[("ant", "1.30.2", "1.33.5")]);
    knows(&mut fleet, "dns", &[("1.0.0", ">=1.28, <=1.31"), ("1.1.0", ">=1.32")]);
    release(&mut fleet, "dns", "1.1.0").kubelets = Some(n(">=1.30"));
    has(&mut fleet, "dns", "1.0.0");
    wants(&mut fleet, "dns", "1.1.0");
    assert_eq!(
        finding(&Bench::of(fleet).plan(), Code::RF018).evidence,
        "cannot reach 1.33.5: 1.31 -> 1.32 needs a version of dns that supports both, and none does: \
         dns 1.0.0 supports >=1.28, <=1.31, 1.1.0 supports >=1.32",
    );
}
