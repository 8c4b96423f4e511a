//! Snapshots with impossible values, through the reader: what can be read at all is planned, or is
//! a finding, and no plan of it breaks a rule.

use refit_model::{ClusterStatus, Snapshot};
use refit_planner::{Options, plan};
use refit_verifier::verify;
use serde_json::Value;

use crate::properties::{Numbers, begun, meddled};

const FLEETS: u64 = 60;
const EDITS: usize = 40;

/// What stands in no place of a sound snapshot, or in another one.
const ODD: [&str; 14] = [
    "1.33.0-beta.1+abc",
    "v1.30.2+k3s1",
    "v1.29.3-gke.1200",
    "v1.33.4-eks-abc123",
    "1.99.0",
    "1.0.0",
    "2.0.0",
    "0.0.0",
    "1.33.65535",
    "",
    "*",
    "ant",
    "terminating",
    "sha256:0000000000000000000000000000000000000000000000000000000000000000",
];

/// Everywhere in a document, by JSON pointer.
fn places(value: &Value, here: String, found: &mut Vec<String>) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                places(item, format!("{here}/{at}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                places(field, format!("{here}/{}", escaped(name)), found);
            }
        }
        _ => {}
    }
    found.push(here);
}

/// Puts something odd into one to three places, or something from elsewhere, or takes something
/// away, or writes it twice.
fn edit(document: &mut Value, numbers: &mut Numbers) {
    for _ in 0..=numbers.below(3) {
        let mut found = Vec::new();
        places(document, String::new(), &mut found);
        let from = document.pointer(&found[numbers.below(found.len())]).cloned().unwrap();
        let place = document.pointer_mut(&found[numbers.below(found.len())]).unwrap();
        let odd = numbers.below(ODD.len());
        match (numbers.below(8), place) {
            (0, place) => *place = Value::Null,
            (1, place) => *place = [0, 1, -1, i64::from(u32::MAX)][odd % 4].into(),
            (2..=4, Value::String(text)) => ODD[odd].clone_into(text),
            (5, Value::Array(items)) if !items.is_empty() => {
                let twin = items[odd % items.len()].clone();
                items.push(twin);
            }
            (5 | 6, Value::Object(fields)) if !fields.is_empty() => {
                let name = fields.keys().nth(odd % fields.len()).cloned().unwrap();
                fields.remove(&name);
            }
            (5 | 6, Value::Array(items)) if !items.is_empty() => {
                items.remove(odd % items.len());
            }
            (_, place) => {
                if std::mem::discriminant(place) == std::mem::discriminant(&from) {
                    *place = from;
                }
            }
        }
    }
}

#[test]
fn impossible_snapshots_are_refused_or_planned_by_the_rules() {
    let (mut read, mut blocked) = (0, 0);
    for seed in 0..FLEETS {
        let mut numbers = Numbers::new(seed ^ 0xed17);
        let (fleet, snapshot) = if seed % 2 == 0 { begun(seed) } else { meddled(seed) };
        let original = serde_json::to_value(&snapshot).unwrap();
        for round in 0..EDITS {
            let mut edited = original.clone();
            edit(&mut edited, &mut numbers);
            let text = edited.to_string();
            let Ok(seen) = serde_json::from_str::<Snapshot>(&text) else { continue };
            read += 1;
            let plan = plan(&fleet, &seen, &Options::default());
            let notes = verify(&fleet, &seen, &plan);
            assert_eq!(notes, [], "seed {seed}, round {round}: {:#?}", plan.findings);
            let is_blocked = |status| status == ClusterStatus::Blocked;
            blocked += plan.clusters.iter().filter(|listed| is_blocked(listed.status)).count();
        }
    }
    assert!(read > 500 && blocked > 100, "{read} were read, {blocked} clusters blocked");
}
