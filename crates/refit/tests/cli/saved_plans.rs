//! Saved plans that were edited, and those that were carried out already.

use refit_model::{ActionKind, Bounds, ObjectRef, Period, Plan, SavedPlan};

use crate::support::{Fleet, replaced};

/// Edits a saved plan as somebody would who computes its digest again.
fn forge(fleet: &Fleet, edit: impl FnOnce(&mut Plan)) {
    let saved = SavedPlan::from_bytes(fleet.read("next.plan").as_bytes()).unwrap();
    let mut plan = saved.plan;
    edit(&mut plan);
    let forged = SavedPlan::new(plan);
    assert_ne!(forged.id, saved.id);
    std::fs::write(fleet.file("forged.plan"), forged.to_bytes()).unwrap();
}

/// The forged plan is refused before anything acts.
#[track_caller]
fn is_refused(fleet: &Fleet, part: &str) {
    let before = fleet.observed();
    let runs = fleet.history().len();
    let ended = fleet.apply(&["forged.plan"]).exits(5);
    assert!(ended.stderr.contains("or somebody edited it; nothing was done"), "{}", ended.stderr);
    assert!(ended.stderr.contains(part), "no `{part}` in {}", ended.stderr);
    assert_eq!(fleet.observed(), before);
    assert_eq!(fleet.history().len(), runs, "no run was begun");
}

fn coredns() -> ObjectRef {
    ObjectRef {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: Some("kube-system".to_owned()),
        name: "coredns".to_owned(),
    }
}

#[test]
fn an_edited_plan_is_not_carried_out_though_its_digest_fits() {
    let fleet = Fleet::starter();
    fleet.run(&["plan", "-o", "next.plan"]).exits(0);
    forge(&fleet, |plan| {
        for action in &mut plan.actions {
            if let Bounds::Rolling { drain_timeout, .. } = &mut action.bounds {
                *drain_timeout = Period::seconds(1);
            }
        }
    });
    is_refused(&fleet, "its timeouts are not what the files say");
    forge(&fleet, |plan| {
        let mut pins: Vec<_> = plan
            .actions
            .iter_mut()
            .filter_map(|action| match &mut action.kind {
                ActionKind::ControlPlaneHop { images, .. }
                | ActionKind::NodePoolRoll { images, .. } => Some(images),
                _ => None,
            })
            .flat_map(|images| images.values_mut())
            .collect();
        for pin in &mut pins {
            let mut swapped = refit_model::ImagePin::clone(pin);
            swapped.id = "ami-of-somebody-else".parse().unwrap();
            **pin = swapped.into();
        }
        assert!(!pins.is_empty());
    });
    is_refused(&fleet, "no image of 1.36.4");
    // Without an edit it is carried out.
    fleet.apply(&["next.plan"]).exits(0);
}

#[test]
fn an_object_added_to_a_removal_list_is_not_deleted() {
    let fleet = Fleet::starter();
    fleet.apply(&["--auto-approve"]).exits(0);
    fleet.edit("clusters/dev-1.toml", r#"addon-sets = ["base"]"#, "addon-sets = []");
    fleet.run(&["plan", "-o", "next.plan"]).exits(0).shows(&["- metrics-server"]);
    forge(&fleet, |plan| {
        for action in &mut plan.actions {
            if let ActionKind::AddonRemove { objects, .. } = &mut action.kind {
                objects.insert(coredns());
            }
        }
    });
    is_refused(&fleet, "deletes Deployment kube-system/coredns, which it may not");
    fleet.apply(&["next.plan"]).exits(0);
}

#[test]
fn a_finished_plan_is_done() {
    let fleet = Fleet::starter();
    let before = fleet.shape();
    fleet.run(&["plan", "-o", "next.plan"]).exits(0);
    fleet.apply(&["next.plan"]).exits(0).shows(&["3 done"]);
    let world = fleet.observed();
    let done = format!("Run {} of this plan is done; nothing is left to do.", fleet.last_run());
    for _ in 0..2 {
        let ended = fleet.apply(&["next.plan"]).exits(0).says(&[&done]);
        assert!(!ended.stderr.contains("have changed"), "{}", ended.stderr);
    }
    assert_eq!(fleet.history().len(), 1);
    assert_eq!(fleet.observed()["clusters"], world["clusters"]);
    fleet.is_tidy(&before);
}

#[test]
fn what_a_person_did_after_a_finished_plan_is_told() {
    let fleet = Fleet::starter();
    fleet.run(&["plan", "-o", "next.plan"]).exits(0);
    fleet.apply(&["next.plan"]).exits(0);
    let done = format!("Run {} of this plan is done", fleet.last_run());
    // Somebody takes the add-on away by hand.
    let file = "state/world/dev-1.json";
    let mut world: serde_json::Value = serde_json::from_str(&fleet.read(file)).unwrap();
    let addons = world["cluster"]["addons"].as_object_mut().unwrap();
    assert!(addons.remove("metrics-server").is_some(), "{addons:?}");
    fleet.write(file, &world.to_string());
    fleet.apply(&["next.plan"]).exits(0).says(&[
        &done,
        "The clusters have changed since the run ended",
        "dev-1: metrics-server install",
        "hint: `refit plan` shows all of it",
    ]);
    assert_eq!(fleet.history().len(), 1, "nothing was done about it");
}

/// A runner of CI throws the state directory away.
#[test]
fn a_finished_plan_is_done_without_the_journal_of_its_run_too() {
    let fleet = Fleet::starter();
    fleet.run(&["plan", "-o", "next.plan"]).exits(0);
    fleet.apply(&["next.plan"]).exits(0);
    std::fs::remove_dir_all(fleet.file("state/runs")).unwrap();
    fleet.apply(&["next.plan"]).exits(0).says(&["This plan is done"]);
    assert_eq!(fleet.history().len(), 0);
}

#[test]
fn a_plan_is_written_over_plans_and_snapshots_only() {
    let fleet = Fleet::starter();
    let before = fleet.files();
    for command in ["plan", "observe"] {
        for file in ["fleet.toml", "addons/metrics-server/addon.toml"] {
            fleet.run(&[command, "-o", file]).exits(1).says(&[
                file,
                "exists and is neither a plan nor a snapshot of refit; it was not replaced",
                "hint: give another name",
            ]);
        }
    }
    fleet.run(&["plan", "-o", "clusters"]).exits(1).says(&["it is a directory"]);
    fleet
        .apply(&["--auto-approve", "--events", "fleet.toml"])
        .exits(1)
        .says(&["fleet.toml exists"]);
    assert_eq!(fleet.files(), before);
    // Empty ones, as `mktemp` makes them, and results of earlier commands.
    fleet.write("next.plan", "");
    for (command, file) in [
        ("plan", "next.plan"),
        ("plan", "next.plan"),
        ("observe", "next.plan"),
        ("plan", "next.plan"),
    ] {
        fleet.run(&[command, "-o", file]).exits(0);
    }
    let newer =
        replaced(&fleet.read("next.plan"), r#""format-version": "1."#, r#""format-version": "9."#);
    fleet.write("next.plan", &newer);
    fleet.run(&["plan", "-o", "next.plan"]).exits(0);
    fleet.run(&["show", "next.plan"]).exits(0);
    for _ in 0..2 {
        fleet.apply(&["--auto-approve", "--events", "events"]).exits(0);
    }
}

#[cfg(unix)]
#[test]
fn a_device_is_written_to_and_a_link_stays_one() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let fleet = Fleet::starter();
    fleet.run(&["plan", "-o", "/dev/null"]).exits(0);
    assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    fleet.run(&["plan", "-o", "next.plan"]).exits(0);
    symlink("next.plan", fleet.file("link.plan")).unwrap();
    fleet.run(&["plan", "-o", "link.plan"]).exits(0);
    assert!(std::fs::symlink_metadata(fleet.file("link.plan")).unwrap().is_symlink());
}
