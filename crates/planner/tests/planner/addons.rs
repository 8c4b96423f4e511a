//! Add-ons: when they move, over which versions, and what a move carries.

use std::collections::BTreeSet;

use refit_model::{
    ActionKind, AddonMark, ClusterStatus, Code, FieldDrift, Fleet, Milestone, Reversibility, Why,
};

use crate::bench::{
    Bench, action, ant, codes, edges, finding, fleet, has, knows, milestone, minor, n, object,
    of_addon, release, requires, start, status, steps, wants,
};

/// Somebody changed a field of the add-on.
pub(crate) fn drift(bench: &mut Bench, addon: &str, field: &str) {
    let addon = bench.state().addons.get_mut(&n(addon)).unwrap();
    let object = addon.members.iter().find(|object| object.kind == "Deployment").unwrap().clone();
    let manager = Some("kubectl-edit".to_owned());
    addon.drift.push(FieldDrift { object, field: field.to_owned(), manager });
}

/// Two minors to go, and an add-on with these versions.
fn two_minors(versions: &[(&str, &str)], from: &str, to: &str) -> Fleet {
    let mut fleet = fleet(&[("ant", "1.31.2", "1.33.5")]);
    ant(&mut fleet).pools.truncate(1);
    knows(&mut fleet, "dns", versions);
    if !from.is_empty() {
        has(&mut fleet, "dns", from);
    }
    wants(&mut fleet, "dns", to);
    fleet
}

const HOP: &str = "control-plane 1.31.2 -> 1.32.5";
const LAST_HOP: &str = "control-plane 1.32.5 -> 1.33.5";
const ROLL: &str = "general 1.31.2 -> 1.33.5";

#[test]
fn what_nothing_forces_moves_once_right_after_the_control_plane() {
    let fleet = two_minors(&[("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")], "1.0.0", "1.1.0");
    let plan = Bench::of(fleet).plan();
    assert_eq!(steps(&plan), [HOP, LAST_HOP, "dns 1.0.0 -> 1.1.0", ROLL]);
    assert!(matches!(action(&plan, of_addon("dns")).why, Why::Release { .. }));
}

#[test]
fn a_version_is_left_before_the_hop_that_it_does_not_support() {
    let fleet = two_minors(&[("1.0.0", "<=1.32"), ("1.1.0", ">=1.28")], "1.0.0", "1.1.0");
    // As late as it may be: between the hops.
    assert_eq!(Bench::of(fleet).steps(), [HOP, "dns 1.0.0 -> 1.1.0", LAST_HOP, ROLL]);
}

#[test]
fn a_bridge_is_taken_where_neither_end_supports_the_way() {
    let fleet = two_minors(
        &[("1.0.0", "<=1.31"), ("1.1.0", ">=1.30, <=1.33"), ("1.2.0", ">=1.33")],
        "1.0.0",
        "1.2.0",
    );
    let plan = Bench::of(fleet).plan();
    assert_eq!(steps(&plan), ["dns 1.0.0 -> 1.1.0", HOP, LAST_HOP, "dns 1.1.0 -> 1.2.0", ROLL],);
    let bridge = action(&plan, of_addon("dns"));
    assert_eq!(bridge.why, Why::AddonRange { minor: minor(32), supports: "<=1.31".into() });
    let ActionKind::AddonApply { deletes, .. } = &bridge.kind else { panic!("not an apply") };
    let old = object("v1", "ConfigMap", Some("kube-system"), "dns-1.0.0");
    assert_eq!(*deletes, BTreeSet::from([old]), "what the bridge does not have any more");
    let last =
        *crate::bench::ordered(&plan).iter().rfind(|action| action.kind.addon().is_some()).unwrap();
    let ActionKind::AddonApply { from, deletes, .. } = &last.kind else { panic!("not an apply") };
    assert!(matches!(from, AddonMark::At { version, .. } if *version == n("1.1.0")));
    let old = object("v1", "ConfigMap", Some("kube-system"), "dns-1.1.0");
    assert_eq!(*deletes, BTreeSet::from([old]));
    assert_eq!(last.reversible, Reversibility::Deletes { objects: 1 });
}

#[test]
fn an_addon_that_serves_one_minor_moves_with_every_hop() {
    // Each supports the next minor, too, so that both live during the hop.
    let fleet = two_minors(
        &[("1.31.0", ">=1.31, <=1.32"), ("1.32.0", ">=1.32, <=1.33"), ("1.33.0", ">=1.33, <=1.34")],
        "1.31.0",
        "1.33.0",
    );
    assert_eq!(
        Bench::of(fleet).steps(),
        [HOP, "dns 1.31.0 -> 1.32.0", LAST_HOP, "dns 1.32.0 -> 1.33.0", ROLL],
    );
}

#[test]
fn kubelets_are_a_range_of_their_own() {
    let mut fleet = two_minors(&[("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")], "1.0.0", "1.1.0");
    release(&mut fleet, "dns", "1.1.0").kubelets = Some(n(">=1.33"));
    assert_eq!(Bench::of(fleet.clone()).steps(), [HOP, LAST_HOP, ROLL, "dns 1.0.0 -> 1.1.0"]);
    release(&mut fleet, "dns", "1.0.0").kubelets = Some(n("<=1.32"));
    let plan = Bench::of(fleet).plan();
    let evidence = &finding(&plan, Code::RF018).evidence;
    assert!(evidence.contains("kubelets <=1.32"), "{evidence}");
}

#[test]
fn an_unknown_version_stays_for_no_hop() {
    let fleet = two_minors(&[("1.1.0", ">=1.28")], "", "1.1.0");
    let mut bench = Bench::of(fleet);
    install_unknown(&mut bench, "0.9.0");
    assert_eq!(bench.steps(), ["dns 0.9.0 -> 1.1.0", HOP, LAST_HOP, ROLL]);

    let mut bench = Bench::of(two_minors(&[("1.1.0", ">=1.32")], "", "1.1.0"));
    install_unknown(&mut bench, "0.9.0");
    assert_eq!(codes(&bench.plan()), BTreeSet::from([Code::RF018]));

    bench.fleet.addons.clear();
    ant(&mut bench.fleet).addons.clear();
    assert_eq!(bench.steps()[0], "dns remove 0.9.0");
}

#[test]
fn an_unknown_version_lives_through_a_new_patch() {
    let mut fleet = fleet(&[("ant", "1.33.2", "1.33.5")]);
    knows(&mut fleet, "dns", &[("1.1.0", ">=1.28")]);
    wants(&mut fleet, "dns", "1.1.0");
    let mut bench = Bench::of(fleet);
    install_unknown(&mut bench, "0.9.0");
    assert_eq!(bench.steps()[..2], ["control-plane 1.33.2 -> 1.33.5", "dns 0.9.0 -> 1.1.0"],);
}

fn install_unknown(bench: &mut Bench, version: &str) {
    let addon = bench.state().addons.entry(n("dns")).or_default();
    let digest = refit_model::Digest::of_bytes(b"unknown");
    addon.parent = Some(refit_model::ApplySetParent { digest, version: n(version) });
}

#[test]
fn an_addon_is_installed_where_the_hops_allow_it() {
    let fleet = two_minors(&[("1.0.0", ">=1.28")], "", "1.0.0");
    let plan = Bench::of(fleet).plan();
    assert_eq!(steps(&plan), [HOP, LAST_HOP, "dns install 1.0.0", ROLL]);
    assert_eq!(action(&plan, of_addon("dns")).reversible, Reversibility::Reversible);
}

#[test]
fn placement_moves_an_addon_before_or_after() {
    let place = |before: &[Milestone], after: &[Milestone]| {
        let mut fleet = two_minors(&[("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")], "1.0.0", "1.1.0");
        let placement = &mut fleet.addons.get_mut(&n("dns")).unwrap().placement;
        placement.before.extend(before.iter().cloned());
        placement.after.extend(after.iter().cloned());
        Bench::of(fleet).steps().iter().position(|step| step.starts_with("dns")).unwrap()
    };
    assert_eq!(place(&[], &[]), 2);
    assert_eq!(place(&[Milestone::ControlPlane], &[]), 0);
    assert_eq!(place(&[Milestone::Nodes], &[]), 2);
    assert_eq!(place(&[], &[Milestone::ControlPlane]), 2);
    assert_eq!(place(&[], &[Milestone::Nodes]), 3);
    assert_eq!(place(&[Milestone::Nodes], &[Milestone::ControlPlane]), 2);
}

#[test]
fn placement_relative_to_another_addon_orders_their_moves() {
    let with = |before: &[(&str, &str)]| {
        let versions = [("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")];
        let mut fleet = two_minors(&versions, "1.0.0", "1.1.0");
        knows(&mut fleet, "proxy", &versions);
        has(&mut fleet, "proxy", "1.0.0");
        wants(&mut fleet, "proxy", "1.1.0");
        for (first, then) in before {
            let addon = fleet.addons.get_mut(&n(first)).unwrap();
            addon.placement.before.insert(milestone(then));
        }
        Bench::of(fleet)
    };
    let moves = |bench: &Bench| {
        bench.steps().into_iter().filter(|step| step.contains("1.1.0")).collect::<Vec<_>>()
    };
    assert_eq!(moves(&with(&[("proxy", "dns")])), ["proxy 1.0.0 -> 1.1.0", "dns 1.0.0 -> 1.1.0"]);
    assert_eq!(moves(&with(&[("dns", "proxy")])), ["dns 1.0.0 -> 1.1.0", "proxy 1.0.0 -> 1.1.0"]);
    let circle = with(&[("dns", "proxy"), ("proxy", "dns")]);
    assert_eq!(codes(&circle.plan()), BTreeSet::from([Code::RF026]));
}

#[test]
fn an_addon_that_comes_after_one_that_moves_late_moves_late_as_well() {
    let versions = [("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")];
    let mut fleet = two_minors(&versions, "1.0.0", "1.1.0");
    fleet.addons.get_mut(&n("dns")).unwrap().placement.after.insert(Milestone::Nodes);
    knows(&mut fleet, "proxy", &versions).placement.after.insert(milestone("dns"));
    has(&mut fleet, "proxy", "1.0.0");
    wants(&mut fleet, "proxy", "1.1.0");
    assert_eq!(
        Bench::of(fleet.clone()).steps(),
        [HOP, LAST_HOP, ROLL, "dns 1.0.0 -> 1.1.0", "proxy 1.0.0 -> 1.1.0"],
    );
    let proxy = fleet.addons.get_mut(&n("proxy")).unwrap();
    proxy.placement.before.insert(Milestone::ControlPlane);
    assert_eq!(codes(&Bench::of(fleet).plan()), BTreeSet::from([Code::RF026]));
}

/// `proxy` 1.1.0 requires a `dns` that is to be moved, too.
fn pair() -> Fleet {
    let versions = [("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")];
    let mut fleet = two_minors(&versions, "1.0.0", "1.1.0");
    knows(&mut fleet, "proxy", &versions);
    has(&mut fleet, "proxy", "1.0.0");
    wants(&mut fleet, "proxy", "1.1.0");
    requires(&mut fleet, "proxy", "1.1.0", "dns", ">=1.1.0");
    fleet
}

#[test]
fn what_is_required_moves_first_within_a_slot() {
    let bench = Bench::of(pair());
    assert_eq!(bench.steps(), [HOP, LAST_HOP, "dns 1.0.0 -> 1.1.0", "proxy 1.0.0 -> 1.1.0", ROLL],);
    let because = "dns 1.0.0 -> 1.1.0 => proxy 1.0.0 -> 1.1.0: proxy requires dns";
    assert!(edges(&bench.plan()).contains(&because.to_owned()));
}

#[test]
fn what_the_old_version_requires_moves_last_within_a_slot() {
    let mut fleet = pair();
    release(&mut fleet, "proxy", "1.1.0").requires.clear();
    requires(&mut fleet, "proxy", "1.0.0", "dns", "<=1.0.0");
    let bench = Bench::of(fleet);
    assert_eq!(bench.steps()[2..4], ["proxy 1.0.0 -> 1.1.0", "dns 1.0.0 -> 1.1.0"]);
}

#[test]
fn what_is_required_moves_in_an_earlier_slot_where_it_must() {
    let mut fleet = pair();
    release(&mut fleet, "proxy", "1.0.0").kubernetes = n("<=1.32");
    assert_eq!(
        Bench::of(fleet).steps(),
        [HOP, "dns 1.0.0 -> 1.1.0", "proxy 1.0.0 -> 1.1.0", LAST_HOP, ROLL],
    );
}

#[test]
fn two_that_only_go_together_in_the_same_versions_have_no_way() {
    let mut fleet = pair();
    requires(&mut fleet, "proxy", "1.0.0", "dns", "<=1.0.0");
    let plan = Bench::of(fleet).plan();
    assert_eq!(status(&plan, "ant"), ClusterStatus::Blocked);
    let found = finding(&plan, Code::RF019);
    assert_eq!(
        found.evidence,
        "cannot reach 1.33.5: proxy 1.0.0 requires dns <=1.0.0, 1.1.0 requires dns >=1.1.0"
    );
}

#[test]
fn what_is_not_content_from_the_beginning_and_does_not_move_is_left() {
    let versions = [("1.0.0", ">=1.28")];
    let mut fleet = two_minors(&versions, "1.0.0", "1.0.0");
    requires(&mut fleet, "dns", "1.0.0", "proxy", ">=1.0.0");
    assert_eq!(Bench::of(fleet).steps(), [HOP, LAST_HOP, ROLL]);
}

#[test]
fn what_no_set_names_is_removed_and_counted() {
    let mut fleet = two_minors(&[("1.0.0", ">=1.28")], "1.0.0", "1.0.0");
    ant(&mut fleet).addons.clear();
    let mut bench = Bench::of(fleet);
    let crd = object("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, "zones.dns");
    bench.state().addons.get_mut(&n("dns")).unwrap().members.insert(crd.clone());
    let plan = bench.plan();
    assert_eq!(steps(&plan), [HOP, LAST_HOP, "dns remove 1.0.0", ROLL]);
    let remove = action(&plan, of_addon("dns"));
    assert_eq!(
        (&remove.why, &remove.reversible),
        (&Why::Unlisted, &Reversibility::Deletes { objects: 2 })
    );
    let ActionKind::AddonRemove { objects, kept, .. } = &remove.kind else { panic!("no removal") };
    assert_eq!((objects.len(), kept), (2, &BTreeSet::from([crd.clone()])));

    let prune = &mut bench.fleet.addons.get_mut(&n("dns")).unwrap().prune;
    prune.insert("CustomResourceDefinition".to_owned());
    let plan = bench.plan();
    let remove = action(&plan, of_addon("dns"));
    let ActionKind::AddonRemove { objects, kept, .. } = &remove.kind else { panic!("no removal") };
    assert!(objects.contains(&crd) && kept.is_empty());
    assert_eq!(remove.reversible, Reversibility::Deletes { objects: 3 });
}

#[test]
fn what_does_not_support_the_way_is_removed_before_it() {
    let mut fleet = two_minors(&[("1.0.0", "<=1.32")], "1.0.0", "1.0.0");
    ant(&mut fleet).addons.clear();
    assert_eq!(Bench::of(fleet).steps(), [HOP, "dns remove 1.0.0", LAST_HOP, ROLL]);
}

#[test]
fn kinds_that_take_more_with_them_are_not_deleted_by_a_move() {
    let mut bench =
        Bench::of(two_minors(&[("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")], "1.0.0", "1.1.0"));
    let kept = [
        object("v1", "Namespace", None, "dns"),
        object("v1", "PersistentVolumeClaim", Some("kube-system"), "dns"),
        object("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, "zones.dns"),
    ];
    bench.state().addons.get_mut(&n("dns")).unwrap().members.extend(kept);
    let plan = bench.plan();
    let ActionKind::AddonApply { deletes, .. } = &action(&plan, of_addon("dns")).kind else {
        panic!("not an apply")
    };
    let names: Vec<&str> = deletes.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(names, ["dns-1.0.0"]);
}

#[test]
fn an_object_in_another_version_of_its_api_is_the_same_object() {
    let mut bench =
        Bench::of(two_minors(&[("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")], "1.0.0", "1.1.0"));
    let old = object("apps/v1beta1", "Deployment", Some("kube-system"), "dns");
    bench.state().addons.get_mut(&n("dns")).unwrap().members.insert(old.clone());
    let plan = bench.plan();
    let ActionKind::AddonApply { deletes, .. } = &action(&plan, of_addon("dns")).kind else {
        panic!("not an apply")
    };
    assert!(!deletes.contains(&old));
}

#[test]
fn a_foreign_copy_is_adopted_with_its_managers() {
    let mut fleet = two_minors(&[("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")], "", "1.1.0");
    start(&mut fleet).foreign_addons.insert(n("dns"), n("1.0.0"));
    let mut bench = Bench::of(fleet);
    let foreign = bench.state().addons.get_mut(&n("dns")).unwrap().foreign.as_mut().unwrap();
    foreign.managers = BTreeSet::from(["kubectl-client-side-apply".to_owned()]);
    foreign.live_managers.clear();
    let plan = bench.plan();
    assert_eq!(steps(&plan), [HOP, LAST_HOP, "dns adopt v1.0.0 as 1.1.0", ROLL]);
    let ActionKind::AddonAdopt { managers, .. } = &action(&plan, of_addon("dns")).kind else {
        panic!("not an adoption")
    };
    assert_eq!(managers.len(), 1);

    // Of the same version, and of one that cannot be read: adopted as well.
    for version in ["1.1.0", "latest"] {
        let dns = bench.state().addons.get_mut(&n("dns")).unwrap();
        dns.foreign.as_mut().unwrap().version = version.to_owned();
        assert!(bench.steps().contains(&format!("dns adopt {version} as 1.1.0")));
    }
    // Nobody asked for it.
    ant(&mut bench.fleet).addons.clear();
    assert_eq!(bench.steps(), [HOP, LAST_HOP, ROLL]);
}

#[test]
fn drift_is_repaired_and_told() {
    let mut fleet = fleet(&[("ant", "1.33.5", "1.33.5")]);
    knows(&mut fleet, "dns", &[("1.0.0", ">=1.28")]);
    has(&mut fleet, "dns", "1.0.0");
    wants(&mut fleet, "dns", "1.0.0");
    let mut bench = Bench::of(fleet);
    assert!(bench.steps().is_empty());
    drift(&mut bench, "dns", ".spec.replicas");
    drift(&mut bench, "dns", ".spec.paused");
    let plan = bench.plan();
    assert_eq!(steps(&plan), ["dns 1.0.0 repair"]);
    let fields = [".spec.replicas", ".spec.paused"]
        .map(|field| format!("Deployment kube-system/dns {field}"))
        .to_vec();
    assert_eq!(plan.actions[0].why, Why::Drift { fields });
    assert_eq!(
        finding(&plan, Code::RF021).evidence,
        "Deployment kube-system/dns .spec.replicas was changed by kubectl-edit and 1 more \
         fields; the plan sets it back",
    );
}

#[test]
fn changed_manifests_of_the_same_version_are_applied() {
    let mut files = fleet(&[("ant", "1.33.5", "1.33.5")]);
    knows(&mut files, "dns", &[("1.0.0", ">=1.28")]);
    has(&mut files, "dns", "1.0.0");
    wants(&mut files, "dns", "1.0.0");
    let mut bench = Bench::of(files);
    let mut objects = release(&mut bench.fleet, "dns", "1.0.0").manifests.objects().to_vec();
    objects.retain(|manifest| manifest.object.kind == "Deployment");
    release(&mut bench.fleet, "dns", "1.0.0").manifests = refit_model::ManifestSet::new(objects);
    let plan = bench.plan();
    assert_eq!(steps(&plan), ["dns 1.0.0 -> 1.0.0"]);
    let ActionKind::AddonApply { from, to, digest, deletes, .. } = &plan.actions[0].kind else {
        panic!("not an apply")
    };
    assert!(matches!(from, AddonMark::At { digest: before, .. } if before != digest));
    assert_eq!((to.to_string().as_str(), deletes.len()), ("1.0.0", 1));
}

#[test]
fn a_pinned_addon_says_so() {
    let mut fleet = two_minors(&[("1.0.0", ">=1.28")], "", "1.0.0");
    ant(&mut fleet).addons.get_mut(&n("dns")).unwrap().version.pinned = true;
    let plan = Bench::of(fleet).plan();
    assert!(matches!(action(&plan, of_addon("dns")).why, Why::Pin { .. }));
}
