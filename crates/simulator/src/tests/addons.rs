use std::collections::BTreeSet;

use refit_model::{AddonMark, AddonOp, AddonState, Digest};
use refit_provider::ErrorClass;
use serde_json::json;

use super::bench::*;
use crate::{Edit, Faults, Rule};

fn state(bench: &mut Bench) -> AddonState {
    bench.look().addons[&dns()].clone()
}

fn mark(bench: &mut Bench) -> AddonMark {
    AddonMark::of(&bench.look(), &dns())
}

fn at(bench: &Bench, text: &str) -> AddonMark {
    let version = addon_version(text);
    let digest = *bench.addons[&dns()].versions[&version].manifests.digest();
    AddonMark::At { version, digest }
}

#[test]
fn an_add_on_is_at_a_version_once_it_is_sealed() {
    let mut bench = Bench::new();
    let old = at(&bench, "1.0.0");
    assert_eq!(mark(&mut bench), old);
    assert_eq!(state(&mut bench).not_ready, None);
    bench.apply("1.1.0").unwrap();
    assert_eq!(mark(&mut bench), old, "the old parent stays");
    let applied = state(&mut bench);
    assert!(applied.members.contains(&dns_config("1.0.0")), "members are those of both");
    assert!(applied.members.contains(&dns_config("1.1.0")));
    assert_eq!(
        applied.not_ready.as_deref(),
        Some("Deployment kube-system/dns: 0 of 2 updated pods ready")
    );
    let rolled = bench.until("rolled", |state| state.addons[&dns()].not_ready.is_none());
    assert!(rolled >= 3, "{rolled}");
    bench.prune("1.1.0", &[dns_config("1.0.0")]).unwrap();
    let new = at(&bench, "1.1.0");
    assert_eq!(mark(&mut bench), new);
    let sealed = state(&mut bench);
    assert!(sealed.live.iter().all(|(object, _)| *object != dns_config("1.0.0")));
    assert_eq!(sealed.members.len(), 3);
    assert!(bench.world.violations().is_empty(), "{:?}", bench.world.violations());
}

#[test]
fn the_rollout_keeps_its_pods() {
    let mut bench = Bench::new();
    bench.apply("1.1.0").unwrap();
    for _ in 0..120 {
        let state = bench.look();
        let ready =
            state.workloads.iter().find(|found| found.workload.name == "dns").unwrap().ready;
        assert!(ready >= 2, "one more, then one fewer");
        bench.pass(1);
    }
}

#[test]
fn secrets_are_shown_as_digests() {
    let mut bench = Bench::new();
    let shown = serde_json::to_string(&bench.look()).unwrap();
    assert!(!shown.contains("hunter2") && shown.contains("(sha256 "));
}

#[test]
fn other_manifests_under_that_version_are_refused() {
    let mut bench = Bench::new();
    let version = addon_version("1.1.0");
    let digest = Digest::of_bytes(b"other");
    let refused = bench.addon(AddonOp::Apply { version, digest }).unwrap_err();
    assert_eq!(refused.class, ErrorClass::Permanent);
}

#[test]
fn what_somebody_changes_drifts_and_is_repaired() {
    let mut bench = Bench::new();
    let set = |value| Edit::SetField {
        object: dns_deployment(),
        field: ".spec.replicas".into(),
        value,
        manager: "kubectl-edit".into(),
    };
    bench.edit(set(json!(1)));
    let drift = state(&mut bench).drift;
    assert_eq!(drift[0].field, ".spec.replicas");
    assert_eq!(drift[0].manager.as_deref(), Some("kubectl-edit"));
    assert!(matches!(mark(&mut bench), AddonMark::Drifted { .. }));
    bench.edit(set(json!(2)));
    assert!(state(&mut bench).drift.is_empty(), "the value is refit's again");
    bench.edit(set(json!(1)));
    bench.edit(Edit::SetField {
        object: dns_deployment(),
        field: ".metadata.note".into(),
        value: json!("mine"),
        manager: "kubectl-edit".into(),
    });
    bench.apply("1.0.0").unwrap();
    bench.prune("1.0.0", &[]).unwrap();
    let old = at(&bench, "1.0.0");
    assert_eq!(mark(&mut bench), old);
    let live = state(&mut bench).live;
    let (_, deployment) = live.iter().find(|(object, _)| *object == dns_deployment()).unwrap();
    assert_eq!(deployment["metadata"]["note"], "mine", "what refit does not set stays");
    bench.edit(Edit::DeleteObject(dns_config("1.0.0")));
    assert_eq!(state(&mut bench).drift[0].field, ".");
    bench.pass(60);
    assert!(bench.world.violations().is_empty());
}

#[test]
fn a_foreign_copy_is_adopted_in_steps() {
    let mut bench = Bench::of(Spec { foreign: true, ..Spec::default() });
    let foreign = state(&mut bench).foreign.unwrap();
    assert_eq!(foreign.version, "v1.0.0");
    assert_eq!(foreign.managers, BTreeSet::from(["kubectl-client-side-apply".to_owned()]));
    assert!(!state(&mut bench).live.is_empty());
    let version = addon_version("1.1.0");
    bench.addon(AddonOp::Adopt { version, managers: foreign.managers }).unwrap();
    let adopted = state(&mut bench);
    assert!(adopted.foreign.unwrap().managers.is_empty());
    assert!(adopted.parent.is_none());
    bench.apply("1.1.0").unwrap();
    assert!(matches!(mark(&mut bench), AddonMark::Foreign { .. }), "until it is sealed");
    bench.prune("1.1.0", &[]).unwrap();
    let new = at(&bench, "1.1.0");
    assert_eq!(mark(&mut bench), new);
    assert!(state(&mut bench).foreign.is_none());
}

#[test]
fn a_removed_add_on_is_gone_with_its_pods() {
    let mut bench = Bench::new();
    let members = state(&mut bench).members;
    let (some, rest) = (members.iter().take(1), members.iter().skip(1));
    bench.addon(AddonOp::Remove { objects: some.cloned().collect() }).unwrap();
    assert!(state(&mut bench).parent.is_some(), "something is left");
    bench.addon(AddonOp::Remove { objects: rest.cloned().collect() }).unwrap();
    assert_eq!(mark(&mut bench), AddonMark::Absent);
    bench.until("pods gone", |state| state.pods.iter().all(|pod| !pod.name.starts_with("dns")));
    assert!(bench.world.violations().is_empty());
}

#[test]
fn an_apply_can_break_in_the_middle() {
    let mut bench = Bench::of(Spec { installed: false, ..Spec::default() });
    bench.world.set_faults(&Faults { partial_applies: 1000, ..Faults::none() });
    assert_eq!(bench.apply("1.0.0").unwrap_err().class, ErrorClass::Transient);
    assert_eq!(state(&mut bench).live.len(), 1);
    assert_eq!(state(&mut bench).members.len(), 3, "widened before the first object");
    bench.world.stop_faults();
    bench.prune("1.0.0", &[]).unwrap();
    assert_eq!(bench.rules(), BTreeSet::from([Rule::Seal]));
}

#[test]
fn only_members_are_deleted() {
    let mut bench = Bench::new();
    bench.apply("1.1.0").unwrap();
    bench.prune("1.1.0", &[dns_config("1.1.0")]).unwrap();
    assert_eq!(bench.rules(), BTreeSet::from([Rule::Deletes]));
}

#[test]
fn ranges_bind_every_live_apiserver() {
    let mut bench = Bench::new();
    bench.apply("1.2.0").unwrap();
    assert_eq!(bench.rules(), BTreeSet::from([Rule::AddonRange]));
    assert!(bench.world.violations()[0].text.contains("an apiserver runs 1.31"));
}
