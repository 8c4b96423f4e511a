//! What is known beside the files: APIs that come and go, who decided a range, what ends.

use std::collections::BTreeSet;

use refit_model::{
    ApiUse, Claim, Code, EndOfLife, Finding, Fleet, Location, Origin, Policy, Served, Severity,
    Source, Suggestion, VersionRange, Why,
};
use refit_verifier::{verify, verify_again};

use crate::bench::{
    Bench, action, ant, codes, edges, finding, fleet, has, knows, minor, n, object, of_addon,
    release, status, steps, wants,
};

pub(crate) fn source() -> Source {
    Source { from: "a/b README.md @1234".to_owned(), read: "2026-08-22".to_owned() }
}

fn at(file: &str, line: u32) -> Location {
    Location { file: file.into(), line }
}

/// Two minors to go, and an add-on that goes from 1.0.0 to 1.1.0.
fn two_minors(versions: &[(&str, &str)]) -> Fleet {
    let mut fleet = fleet(&[("ant", "1.31.2", "1.33.5")]);
    ant(&mut fleet).pools.truncate(1);
    knows(&mut fleet, "dns", versions);
    has(&mut fleet, "dns", versions[0].0);
    wants(&mut fleet, "dns", versions[versions.len() - 1].0);
    fleet
}

const WIDE: [(&str, &str); 2] = [("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")];
const HOP: &str = "control-plane 1.31.2 -> 1.32.5";
const LAST_HOP: &str = "control-plane 1.32.5 -> 1.33.5";
const ROLL: &str = "general 1.31.2 -> 1.33.5";

/// Lets a version use an API that is served from a minor on and up to another.
pub(crate) fn uses(fleet: &mut Fleet, version: &str, from: Option<u16>, gone: Option<u16>) {
    let served = Served {
        introduced: from.map(minor),
        deprecated: None,
        removed: gone.map(minor),
        planned: false,
        replacement: gone.map(|_| "policy/v1".to_owned()),
        source: source(),
    };
    let api = if gone.is_some() { "policy/v1beta1" } else { "policy/v1" };
    let object = object(api, "PodDisruptionBudget", Some("kube-system"), "dns");
    let at = at(&format!("addons/dns/{version}/budget.yaml"), 7);
    release(fleet, "dns", version).known.apis.push(ApiUse { object, at, served });
}

#[test]
fn a_version_is_left_before_its_api_goes() {
    let mut fleet = two_minors(&WIDE);
    uses(&mut fleet, "1.0.0", None, Some(33));
    let plan = Bench::of(fleet).plan();
    assert_eq!(steps(&plan), [HOP, "dns 1.0.0 -> 1.1.0", LAST_HOP, ROLL]);
    let before = format!(
        "dns 1.0.0 -> 1.1.0 => {LAST_HOP}: dns 1.0.0 uses policy/v1beta1, which 1.33 does not serve"
    );
    assert!(edges(&plan).contains(&before), "{:#?}", edges(&plan));
}

#[test]
fn a_version_waits_for_the_minor_that_serves_its_api() {
    let mut fleet = two_minors(&WIDE);
    fleet.addons.get_mut(&n("dns")).unwrap().placement.before.insert(refit_model::Milestone::Nodes);
    uses(&mut fleet, "1.1.0", Some(33), None);
    assert_eq!(Bench::of(fleet.clone()).steps(), [HOP, LAST_HOP, "dns 1.0.0 -> 1.1.0", ROLL]);
    // Neither the old version after the hop, nor the new one before it.
    uses(&mut fleet, "1.0.0", None, Some(33));
    let plan = Bench::of(fleet).plan();
    let found = finding(&plan, Code::RF031);
    assert!(
        found.evidence.contains("uses policy/v1, which 1.31 does not serve (served from 1.33 on)"),
        "{found:?}"
    );
}

#[test]
fn a_bridge_is_taken_for_an_api_as_well() {
    let mut fleet = two_minors(&[("1.0.0", ">=1.28"), ("1.1.0", ">=1.28"), ("1.2.0", ">=1.33")]);
    uses(&mut fleet, "1.0.0", None, Some(32));
    let plan = Bench::of(fleet).plan();
    assert_eq!(steps(&plan), ["dns 1.0.0 -> 1.1.0", HOP, LAST_HOP, "dns 1.1.0 -> 1.2.0", ROLL]);
    let why = Why::AddonApi { minor: minor(32), api: "policy/v1beta1".to_owned() };
    assert_eq!(action(&plan, of_addon("dns")).why, why);
}

#[test]
fn where_no_version_leads_around_an_api_the_object_is_named() {
    let mut fleet = two_minors(&WIDE);
    uses(&mut fleet, "1.0.0", None, Some(33));
    uses(&mut fleet, "1.1.0", None, Some(33));
    let plan = Bench::of(fleet).plan();
    let found = finding(&plan, Code::RF031);
    assert_eq!(found.severity, Severity::Blocked);
    assert_eq!(
        found.evidence,
        "cannot reach 1.33.5: PodDisruptionBudget kube-system/dns (addons/dns/1.0.0/budget.yaml:7) \
         uses policy/v1beta1, which 1.33 does not serve (gone from 1.33 on); PodDisruptionBudget kube-system/dns \
         (addons/dns/1.1.0/budget.yaml:7) uses policy/v1beta1, which 1.33 does not serve (gone \
         from 1.33 on)"
    );
    assert_eq!(found.hint, "add a version that uses policy/v1 to addons/dns");
    assert!(status(&plan, "ant") == refit_model::ClusterStatus::Blocked && plan.actions.is_empty());
}

#[test]
fn ranges_that_are_in_the_way_anyhow_are_told_as_ranges() {
    let mut fleet = two_minors(&[("1.0.0", "<=1.32"), ("1.1.0", ">=1.33")]);
    uses(&mut fleet, "1.0.0", None, Some(32));
    let addon = fleet.addons.get_mut(&n("dns")).unwrap();
    let suggestion = |versions: &str, range: &str| Suggestion {
        versions: versions.to_owned(),
        kubernetes: n(range),
    };
    addon.suggestions = vec![suggestion("1.3.0", ">=1.34"), suggestion("1.0.9", ">=1.30, <=1.33")];
    let plan = Bench::of(fleet).plan();
    assert_eq!(codes(&plan), BTreeSet::from([Code::RF018]));
    let hint = &finding(&plan, Code::RF018).hint;
    assert!(hint.contains("the catalogue knows 1.0.9 for >=1.30, <=1.33"), "{hint}");
    assert!(hint.contains("`addons/dns/1.0.9/`"), "{hint}");
}

#[test]
fn a_removal_that_is_only_planned_warns() {
    let mut fleet = two_minors(&WIDE);
    uses(&mut fleet, "1.1.0", None, Some(33));
    release(&mut fleet, "dns", "1.1.0").known.apis[0].served.planned = true;
    let bench = Bench::of(fleet);
    let plan = bench.plan();
    let found = finding(&plan, Code::RF031);
    assert_eq!(found.severity, Severity::Warning);
    assert!(found.evidence.contains("planned to be gone in 1.33"), "{found:?}");
    assert_eq!(bench.steps().len(), 4, "it excludes nothing");
}

#[test]
fn the_verifier_looks_at_apis_by_itself() {
    let bench = Bench::of(two_minors(&WIDE));
    let plan = bench.plan();
    let mut fleet = bench.fleet.clone();
    uses(&mut fleet, "1.0.0", None, Some(33));
    let notes = verify(&fleet, &bench.snapshot, &plan);
    assert!(
        notes.iter().any(|note| note.text.contains("addons/dns/1.0.0/budget.yaml:7")),
        "{notes:?}"
    );
    let mut fleet = bench.fleet.clone();
    uses(&mut fleet, "1.0.0", None, Some(34));
    uses(&mut fleet, "1.1.0", Some(33), None);
    assert_eq!(verify(&fleet, &bench.snapshot, &plan), []);
}

pub(crate) fn claim(range: &str, tested: &[u16]) -> Claim {
    Claim {
        policy: if tested.is_empty() { Policy::Matrix } else { Policy::Tested },
        kubernetes: n(range),
        kubelets: None,
        tested: tested.iter().copied().map(minor).collect(),
        says: String::new(),
        source: source(),
    }
}

/// Lets the catalogue say this of a version, and decide, if the file does not.
pub(crate) fn said(fleet: &mut Fleet, version: &str, claim: Claim, by_file: bool) {
    let release = release(fleet, "dns", version);
    release.known.decided_by = Some(if by_file {
        Origin::File(at("addons/dns/addon.toml", 12))
    } else {
        release.kubernetes = claim.kubernetes.clone();
        Origin::Catalogue(claim.source.clone())
    });
    release.known.claim = Some(claim);
}

fn all(fleet: Fleet, code: Code) -> Vec<Finding> {
    let findings = Bench::of(fleet).plan().findings;
    findings.into_iter().filter(|finding| finding.code == code).collect()
}

#[test]
fn the_plan_says_when_the_catalogue_decided() {
    let mut fleet = two_minors(&WIDE);
    said(&mut fleet, "1.0.0", claim(">=1.28, <=1.32", &[]), false);
    let plan = Bench::of(fleet).plan();
    assert_eq!(steps(&plan), [HOP, "dns 1.0.0 -> 1.1.0", LAST_HOP, ROLL]);
    let found = finding(&plan, Code::RF034);
    assert_eq!(found.severity, Severity::Note);
    assert_eq!(
        found.evidence,
        "1.0.0 supports >=1.28, <=1.32, as the catalogue (a/b README.md @1234, 2026-08-22) says"
    );
}

#[test]
fn what_limits_nothing_is_a_note_and_not_unknown() {
    let mut fleet = two_minors(&WIDE);
    let words = Claim {
        policy: Policy::NonePublished,
        says: "no limits are published".to_owned(),
        ..claim("any", &[])
    };
    said(&mut fleet, "1.1.0", words, false);
    let plan = Bench::of(fleet).plan();
    assert_eq!(steps(&plan), [HOP, LAST_HOP, "dns 1.0.0 -> 1.1.0", ROLL]);
    let evidence = &finding(&plan, Code::RF034).evidence;
    assert!(evidence.starts_with("1.1.0 supports any, as the catalogue"), "{evidence}");
    assert!(evidence.ends_with("says: no limits are published"), "{evidence}");
}

#[test]
fn a_file_that_says_otherwise_is_told_where_it_matters() {
    let mut fleet = two_minors(&WIDE);
    said(&mut fleet, "1.0.0", claim(">=1.28, <=1.32", &[]), true);
    let found = all(fleet.clone(), Code::RF034);
    assert_eq!(
        found[0].evidence,
        "1.0.0 supports >=1.28, as addons/dns/addon.toml:12 says; the catalogue says >=1.28, \
         <=1.32 (a/b README.md @1234, 2026-08-22)"
    );
    // About the minors on the way, both say the same.
    said(&mut fleet, "1.0.0", claim(">=1.20, <=1.35", &[]), true);
    assert_eq!(all(fleet.clone(), Code::RF034), []);
    said(&mut fleet, "1.0.0", claim("any", &[31, 32]), true);
    assert_eq!(all(fleet, Code::RF034).len(), 1);
}

#[test]
fn a_cluster_with_nothing_to_do_is_told_nothing() {
    let mut fleet = fleet(&[("ant", "1.33.5", "1.33.5")]);
    knows(&mut fleet, "dns", &WIDE);
    has(&mut fleet, "dns", "1.1.0");
    wants(&mut fleet, "dns", "1.1.0");
    said(&mut fleet, "1.1.0", claim("any", &[30]), false);
    let bench = Bench::of(fleet);
    assert_eq!(bench.plan().findings, []);
}

#[test]
fn a_minor_that_a_version_was_not_tested_with_warns() {
    let mut fleet = two_minors(&WIDE);
    said(&mut fleet, "1.0.0", claim("any", &[31, 32, 33]), false);
    said(&mut fleet, "1.1.0", claim("any", &[31, 32]), false);
    let found = all(fleet.clone(), Code::RF033);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].severity, Severity::Warning);
    assert_eq!(
        found[0].evidence,
        "1.1.0 was tested with 1.31, 1.32, not with 1.33, as the catalogue (a/b README.md @1234, \
         2026-08-22) says"
    );
    assert!(!Bench::of(fleet.clone()).plan().is_blocked());
    // Where the file decides, it has decided.
    said(&mut fleet, "1.1.0", claim("any", &[31, 32]), true);
    assert_eq!(all(fleet, Code::RF033), []);
}

#[test]
fn the_end_of_a_declared_minor_is_told_with_its_day() {
    let told = |day: &str, now: Option<&str>| {
        let mut bench = Bench::ant("1.32.2", "1.33.5");
        let end = EndOfLife { on: n(day), source: source() };
        bench.fleet.end_of_life.insert(minor(33), end.clone());
        bench.fleet.end_of_life.insert(minor(32), EndOfLife { on: n("2020-01-01"), ..end });
        bench.options.now = now.map(n);
        let findings = bench.plan().findings;
        findings.into_iter().find(|f| f.code == Code::RF032).map(|found| found.evidence)
    };
    // The snapshot is of 2026-11-02.
    let past = told("2026-11-01", None).unwrap();
    assert!(
        past.starts_with(
            "the maintenance of 1.33 ended on 2026-11-01; releases/2026.11.0.toml:3 declares 1.33.5"
        ),
        "{past}"
    );
    assert!(told("2026-11-02", None).unwrap().contains("ends on 2026-11-02"));
    assert!(told("2027-01-01", None).is_some(), "60 days");
    assert_eq!(told("2027-01-02", None), None);
    assert_eq!(told("2026-11-01", Some("2026-01-01T00:00:00Z")), None);
    assert!(told("2027-06-01", Some("2027-05-31T23:59:59Z")).is_some());
}

/// An add-on of which each version serves one minor.
fn matching(flag: bool) -> Fleet {
    let mut fleet = two_minors(&[("1.31.0", "=1.31"), ("1.32.0", "=1.32"), ("1.33.0", "=1.33")]);
    fleet.addons.get_mut(&n("dns")).unwrap().may_be_unsupported_during_hop = flag;
    fleet
}

#[test]
fn a_version_for_one_minor_moves_right_after_each_hop_where_that_is_allowed() {
    let plan = Bench::of(matching(true)).plan();
    assert_eq!(steps(&plan), [HOP, "dns 1.31.0 -> 1.32.0", LAST_HOP, "dns 1.32.0 -> 1.33.0", ROLL]);
    let late: Vec<&Finding> = plan.findings.iter().filter(|f| f.code == Code::RF035).collect();
    assert_eq!(late.len(), 2);
    assert!(late.iter().all(|finding| finding.severity == Severity::Warning));
    assert_eq!(
        late[0].evidence,
        "1.31.0 supports =1.31, and stays while the control plane goes to 1.32; it moves right \
         after that"
    );
}

#[test]
fn without_the_key_it_is_blocked_and_the_hint_names_the_key() {
    let plan = Bench::of(matching(false)).plan();
    let found = finding(&plan, Code::RF018);
    assert!(found.hint.contains("`may-be-unsupported-during-hop = true`"), "{found:?}");
    // Where the key would not help, it is not named.
    let mut fleet = matching(false);
    fleet.addons.get_mut(&n("dns")).unwrap().versions.remove(&n("1.32.0"));
    let plan = Bench::of(fleet).plan();
    assert!(!finding(&plan, Code::RF018).hint.contains("may-be"), "{plan:?}");
}

#[test]
fn a_hop_that_was_left_half_done_has_its_window_too() {
    let mut bench = Bench::of(matching(true));
    bench.control_plane_runs(&["1.31.2", "1.32.5", "1.32.5"]);
    assert_eq!(
        bench.steps(),
        [
            "control-plane 1.31.2/1.32.5 -> 1.32.5",
            "dns 1.31.0 -> 1.32.0",
            LAST_HOP,
            "dns 1.32.0 -> 1.33.0",
            ROLL
        ]
    );
    // The hop was done, and then nothing more.
    bench.control_plane_runs(&["1.32.5"]);
    assert_eq!(bench.steps()[..2], ["dns 1.31.0 -> 1.32.0", LAST_HOP]);
}

#[test]
fn a_plan_that_stopped_within_a_window_still_holds() {
    let mut bench = Bench::of(matching(true));
    let plan = bench.plan();
    for running in [&["1.31.2", "1.32.5", "1.32.5"][..], &["1.32.5"]] {
        bench.control_plane_runs(running);
        assert_eq!(verify_again(&bench.fleet, &bench.snapshot, &plan), [], "{running:?}");
    }
    // Two hops on, nobody may have stayed behind.
    bench.control_plane_runs(&["1.33.5"]);
    assert_ne!(verify_again(&bench.fleet, &bench.snapshot, &plan), []);
}

#[test]
fn the_window_is_about_apiservers_alone() {
    let mut fleet = matching(true);
    release(&mut fleet, "dns", "1.31.0").kubelets = Some(n("=1.31"));
    assert!(codes(&Bench::of(fleet).plan()).contains(&Code::RF018));
    let mut fleet = matching(true);
    uses(&mut fleet, "1.31.0", None, Some(32));
    assert!(codes(&Bench::of(fleet).plan()).contains(&Code::RF031));
}

#[test]
fn the_verifier_knows_the_window_and_its_end() {
    let bench = Bench::of(matching(true));
    let plan = bench.plan();
    let mut strict = bench.fleet.clone();
    strict.addons.get_mut(&n("dns")).unwrap().may_be_unsupported_during_hop = false;
    let notes = verify(&strict, &bench.snapshot, &plan);
    assert!(notes.iter().any(|note| note.text.contains("dns 1.31.0 supports =1.31")), "{notes:?}");
    // Not even what the hop leaves is supported.
    let mut older = bench.fleet.clone();
    release(&mut older, "dns", "1.31.0").kubernetes = n("=1.30");
    let notes = verify(&older, &bench.snapshot, &plan);
    assert!(notes.iter().any(|note| note.text.contains("dns 1.31.0 supports =1.30")), "{notes:?}");
    // A plan for wide ranges moves the add-on once, after both hops: too late for narrow ones.
    let mut wide = bench.fleet.clone();
    for version in ["1.31.0", "1.32.0", "1.33.0"] {
        release(&mut wide, "dns", version).kubernetes = VersionRange::any();
    }
    let late = Bench { fleet: wide, ..bench.clone() }.plan();
    assert!(!verify(&bench.fleet, &bench.snapshot, &late).is_empty());
    // And one that moves it only when the nodes are rolled is late by a roll.
    let mut slow = bench.fleet.clone();
    slow.clusters.get_mut(&n("ant")).unwrap().kubernetes.value = n("1.32.5");
    wants(&mut slow, "dns", "1.32.0");
    let mut after_nodes = slow.clone();
    let addon = after_nodes.addons.get_mut(&n("dns")).unwrap();
    addon.placement.after.insert(refit_model::Milestone::Nodes);
    for version in ["1.31.0", "1.32.0"] {
        release(&mut after_nodes, "dns", version).kubernetes = VersionRange::any();
    }
    let late = Bench { fleet: after_nodes, ..bench.clone() }.plan();
    let notes = verify(&slow, &bench.snapshot, &late);
    assert!(notes.iter().any(|note| note.text.contains("dns 1.31.0 supports =1.31")), "{notes:?}");
    let prompt = Bench { fleet: slow, ..bench }.plan();
    assert!(!prompt.is_blocked());
}

/// Has a version of an add-on ask for work by hand.
pub(crate) fn crosses(fleet: &mut Fleet, addon: &str, version: &str) {
    let asks = "migrate its configuration".to_owned();
    let crossing = refit_model::Crossing { version: n(version), asks, source: source() };
    fleet.addons.get_mut(&n(addon)).unwrap().facts.crossings.push(crossing);
}

#[test]
fn a_version_that_asks_for_work_by_hand_is_told_where_a_move_passes_it() {
    let told = |version: &str| {
        let mut fleet = fleet(&[("ant", "1.30.2", "1.31.5")]);
        crate::cases::dns(&mut fleet, ">=1.28", ">=1.28");
        crosses(&mut fleet, "dns", version);
        let plan = Bench::of(fleet).plan();
        plan.findings.iter().any(|found| found.code == Code::RF055)
    };
    // It moves from 1.0.0 to 1.1.0.
    assert_eq!(["0.9.0", "1.0.0"].map(told), [false, false]);
    assert_eq!(["1.0.5", "1.1.0"].map(told), [true, true]);
    assert!(!told("1.2.0"));
}

#[test]
fn an_add_on_that_a_minor_needs_is_installed_before_it() {
    let planned = |start: &str, needed: Option<u16>| {
        let mut fleet = fleet(&[("ant", start, "1.33.5")]);
        let csi = knows(&mut fleet, "csi", &[("1.0.0", ">=1.28")]);
        csi.facts.needed_from = needed.map(|at| refit_model::NeededFrom {
            minor: minor(at),
            why: "migration is on".to_owned(),
            source: source(),
        });
        wants(&mut fleet, "csi", "1.0.0");
        let bench = Bench::of(fleet);
        let plan = bench.plan();
        assert_eq!(refit_verifier::verify(&bench.fleet, &bench.snapshot, &plan), []);
        assert!(!plan.is_blocked(), "{:#?}", plan.findings);
        let all = crate::bench::steps(&plan);
        let at = all.iter().position(|step| step.starts_with("csi")).unwrap();
        let before = all[..at].iter().filter(|step| step.starts_with("control-plane")).count();
        let because = refit_model::Because::AddonNeeded { addon: n("csi"), minor: minor(32) };
        (before, plan.edges.iter().any(|edge| *edge.because == because))
    };
    // Else it comes after all three hops; with the need, after the one to 1.31.
    assert_eq!(planned("1.30.2", None), (3, false));
    assert_eq!(planned("1.30.2", Some(32)), (1, true));
    // A cluster that is past it already has missed it.
    assert_eq!(planned("1.32.2", Some(32)), (1, false));
}

#[test]
fn an_add_on_that_is_needed_and_fits_only_later_blocks() {
    let mut fleet = fleet(&[("ant", "1.30.2", "1.33.5")]);
    let csi = knows(&mut fleet, "csi", &[("1.0.0", ">=1.32")]);
    let why = "migration is on".to_owned();
    let needed = refit_model::NeededFrom { minor: minor(32), why, source: source() };
    csi.facts.needed_from = Some(needed);
    wants(&mut fleet, "csi", "1.0.0");
    let plan = Bench::of(fleet).plan();
    assert!(plan.is_blocked());
    assert_eq!(finding(&plan, Code::RF018).subject.part.as_deref(), Some("csi"));
}
