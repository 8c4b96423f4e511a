//! Snapshots, plans and worlds that somebody has edited or damaged: whoever reads them says where
//! they are wrong, and what can be read all the same makes nobody panic.
//!
//! The files of a fleet and journals have such tests beside their readers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use refit_model::{Fleet, Observation, PlanFileError, SavedPlan, Snapshot};
use refit_planner::{Options, plan};
use refit_provider::{Look, Scope};
use refit_render::{Style, plan_text};
use refit_simulator::{World, WorldFileError, random_fleet};
use refit_verifier::{verify, verify_again};
use serde::Serialize;
use serde_json::Value;

const FLEETS: u64 = 12;
const EDITS: u64 = 150;

fn snapshot(fleet: &Fleet, world: &mut World) -> Snapshot {
    let clusters = fleet
        .clusters
        .values()
        .map(|cluster| {
            let look = Look { cluster, addons: &fleet.addons, scope: &Scope::Everything };
            let seen = world.look(look).unwrap();
            (cluster.name.clone(), Observation::Fresh(Box::new(seen)))
        })
        .collect();
    let format_version = Snapshot::FORMAT.to_owned();
    Snapshot { format_version, fleet: fleet.name.clone(), taken_at: world.now(), clusters }
}

/// Everywhere in a document, by JSON pointer.
fn places(value: &Value) -> Vec<String> {
    fn walk(value: &Value, here: &str, found: &mut Vec<String>) {
        found.push(here.to_owned());
        match value {
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    walk(item, &format!("{here}/{at}"), found);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    walk(field, &format!("{here}/{name}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(value, "", &mut found);
    found
}

/// Changes one to three places: something else, something from elsewhere, or nothing at all.
fn edit(value: &mut Value, dice: &mut fastrand::Rng) {
    for _ in 0..dice.u32(1..=3) {
        let places = places(value);
        let from = value.pointer(&places[dice.usize(..places.len())]).unwrap().clone();
        let place = value.pointer_mut(&places[dice.usize(..places.len())]).unwrap();
        *place = match (dice.u32(..12), &mut *place) {
            (0, _) => Value::Null,
            (1, _) => Value::from(0),
            (2, _) => Value::from(u64::MAX),
            (3, _) => Value::from(-1),
            (4, _) => Value::from(""),
            (5, _) => Value::from("1.99.0"),
            (6, _) => Value::from("a/b\u{1b}[31m\n"),
            (7, Value::Array(items)) if !items.is_empty() => {
                items.remove(dice.usize(..items.len()));
                Value::Array(std::mem::take(items))
            }
            (7 | 8, Value::Object(fields)) if !fields.is_empty() => {
                let name = fields.keys().nth(dice.usize(..fields.len())).unwrap().clone();
                fields.remove(&name);
                Value::Object(std::mem::take(fields))
            }
            (9, _) => Value::Array(vec![from]),
            _ => from,
        };
    }
}

/// Bytes as a disk or an editor may leave them: cut off, or with others in them.
fn damage(bytes: &mut Vec<u8>, dice: &mut fastrand::Rng) {
    if dice.bool() {
        bytes.truncate(dice.usize(..bytes.len()));
        return;
    }
    for _ in 0..dice.u32(1..=4) {
        let at = dice.usize(..bytes.len());
        bytes[at] = dice.u8(..);
    }
}

/// Lets `read` see documents that are not quite what it reads. `Some` is an error as text.
fn changed(original: &impl Serialize, seed: u64, read: impl Fn(&[u8]) -> Option<String>) -> u64 {
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut readable = 0;
    for round in 0..EDITS {
        let mut value = serde_json::to_value(original).unwrap();
        edit(&mut value, &mut dice);
        let mut bytes = serde_json::to_vec_pretty(&value).unwrap();
        if round % 3 == 0 {
            damage(&mut bytes, &mut dice);
        }
        let result = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
        let Ok(error) = result else {
            panic!("seed {seed}, round {round}: a panic over\n{}", String::from_utf8_lossy(&bytes))
        };
        match error {
            None => readable += 1,
            Some(error) => assert!(
                error.contains(" line ") && error.contains(" column "),
                "seed {seed}, round {round}: no place in `{error}`"
            ),
        }
    }
    readable
}

#[test]
fn snapshots() {
    let mut readable = 0;
    for seed in 0..FLEETS {
        let (fleet, mut world) = random_fleet(seed);
        readable += changed(&snapshot(&fleet, &mut world), seed, |bytes| {
            match serde_json::from_slice::<Snapshot>(bytes) {
                Ok(seen) => {
                    let plan = plan(&fleet, &seen, &Options::default());
                    assert_eq!(verify(&fleet, &seen, &plan), [], "{:#?}", plan.findings);
                    let _ = plan_text(&plan, Some(&fleet), Style::default());
                    None
                }
                Err(error) => Some(error.to_string()),
            }
        });
    }
    assert!(readable > 30, "only {readable} could be read");
}

#[test]
fn plans() {
    let mut readable = 0;
    for seed in 0..FLEETS {
        let (fleet, mut world) = random_fleet(seed);
        let seen = snapshot(&fleet, &mut world);
        let original = SavedPlan::new(plan(&fleet, &seen, &Options::default()));
        // Edited, it is refused: with a place, or because it is not what was saved.
        changed(&original, seed, |bytes| match SavedPlan::from_bytes(bytes) {
            Ok(saved) => {
                assert_eq!(saved.plan, original.plan, "an edit went through");
                None
            }
            Err(PlanFileError::NotAPlan(error)) => Some(error.to_string()),
            Err(PlanFileError::Format { .. } | PlanFileError::Damaged { .. }) => None,
        });
        // Signed again by whoever edited it, it is shown, and held against the rules.
        readable += changed(&original.plan, seed, |bytes| {
            match serde_json::from_slice::<refit_model::Plan>(bytes) {
                Ok(edited) => {
                    let saved = SavedPlan::from_bytes(&SavedPlan::new(edited).to_bytes()).unwrap();
                    let _ = plan_text(&saved.plan, Some(&fleet), Style::default());
                    let _ = verify_again(&fleet, &seen, &saved.plan);
                    None
                }
                Err(error) => Some(error.to_string()),
            }
        });
    }
    assert!(readable > 30, "only {readable} could be read");
}

#[test]
fn worlds() {
    let mut readable = 0;
    for seed in 0..FLEETS {
        let (_, world) = random_fleet(seed);
        let original: Value = serde_json::from_slice(&world.to_bytes()).unwrap();
        readable += changed(&original, seed, |bytes| match World::from_bytes(bytes) {
            Ok(_) | Err(WorldFileError::Format { .. }) => None,
            Err(WorldFileError::NotAWorld(error)) => Some(error.to_string()),
        });
    }
    assert!(readable > 30, "only {readable} could be read");
}
