//! Drops one order after the other: which of them does a rule stand behind?

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{Because, Plan};

use crate::bench::{Bench, plans};

fn kind(because: &Because) -> &'static str {
    match because {
        Because::Skew { .. } => "skew",
        Because::AddonCompatibility { .. } => "add-on compatibility",
        Because::AddonKubelets { .. } => "add-on kubelets",
        Because::AddonApi { .. } => "add-on API",
        Because::AddonNeeded { .. } => "add-on needed",
        Because::AddonDependency { .. } => "add-on dependency",
        Because::AddonConflict { .. } => "add-on conflict",
        Because::Placement { .. } => "placement",
        Because::StoredVersion { .. } => "stored version",
        Because::StepByStep => "step by step",
        Because::OneAtATime => "one at a time",
        Because::PinFirst => "pin first",
        Because::Downgrade => "downgrade",
        Because::Wave { .. } => "wave",
    }
}

/// Of each kind of reason, how many dropped orders were noted, and how many were not.
fn tally(benches: impl Iterator<Item = Bench>) -> BTreeMap<&'static str, (usize, usize)> {
    let mut tally: BTreeMap<&'static str, (usize, usize)> = BTreeMap::new();
    for bench in benches {
        for edge in &bench.plan.edges {
            let drop = |plan: &mut Plan| {
                plan.edges.retain(|other| other != edge);
                // Nor does it stay as a reason, which would be noticed by itself.
                plan.implied.clear();
            };
            let caught = !bench.notes(drop).is_empty();
            let (yes, no) = tally.entry(kind(&edge.because)).or_default();
            *(if caught { yes } else { no }) += 1;
        }
    }
    tally
}

#[test]
fn orders_that_a_rule_stands_behind_cannot_be_dropped() {
    let tally = tally(plans(300));
    for (kind, (caught, missed)) in &tally {
        assert_eq!(*missed, 0, "{kind}: {caught} were noted, in {tally:?}");
    }
    let seen: BTreeSet<&str> = tally.keys().copied().collect();
    let expected =
        ["skew", "add-on compatibility", "add-on dependency", "placement", "wave", "one at a time"];
    assert!(seen.is_superset(&BTreeSet::from(expected)), "{tally:?}");
    assert!(tally["skew"].0 > 100 && tally["wave"].0 > 20, "{tally:?}");
}
