//! Drops one order after the other: which of them does a rule stand behind?

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{ActionId, Because, Plan};

use crate::bench::{Bench, plans};

fn kind(because: &Because) -> &'static str {
    match because {
        Because::Skew { .. } => "skew",
        Because::AddonCompatibility { .. } => "add-on compatibility",
        Because::AddonKubelets { .. } => "add-on kubelets",
        Because::AddonApi { .. } => "add-on API",
        Because::AddonDependency { .. } => "add-on dependency",
        Because::Placement { .. } => "placement",
        Because::StoredVersion { .. } => "stored version",
        Because::StepByStep => "step by step",
        Because::OneAtATime => "one at a time",
        Because::PinFirst => "pin first",
        Because::Wave { .. } => "wave",
    }
}

/// The pairs of actions that nothing but an edge between them orders.
fn reduction(plan: &Plan) -> BTreeSet<(ActionId, ActionId)> {
    let mut next: BTreeMap<&ActionId, BTreeSet<&ActionId>> = BTreeMap::new();
    for edge in &plan.edges {
        next.entry(&edge.from).or_default().insert(&edge.to);
    }
    let reaches = |from: &ActionId, to: &ActionId, but: (&ActionId, &ActionId)| {
        let mut open = vec![from];
        let mut seen: BTreeSet<&ActionId> = BTreeSet::new();
        while let Some(at) = open.pop() {
            for then in next.get(at).into_iter().flatten() {
                if (at, *then) != but && seen.insert(*then) {
                    if *then == to {
                        return true;
                    }
                    open.push(*then);
                }
            }
        }
        false
    };
    plan.edges
        .iter()
        .map(|edge| (&edge.from, &edge.to))
        .filter(|(from, to)| !reaches(from, to, (*from, *to)))
        .map(|(from, to)| (from.clone(), to.clone()))
        .collect()
}

/// Of each kind of reason, how many dropped orders were noted, and how many were not.
fn tally(benches: impl Iterator<Item = Bench>) -> BTreeMap<&'static str, (usize, usize)> {
    let mut tally: BTreeMap<&'static str, (usize, usize)> = BTreeMap::new();
    for bench in benches {
        for (from, to) in reduction(&bench.plan) {
            let is_it = |edge: &refit_model::Edge| edge.from == from && edge.to == to;
            let kinds: BTreeSet<&str> =
                bench.plan.edges.iter().filter(|e| is_it(e)).map(|e| kind(&e.because)).collect();
            let caught = !bench.notes(|plan| plan.edges.retain(|edge| !is_it(edge))).is_empty();
            for kind in kinds {
                let (yes, no) = tally.entry(kind).or_default();
                *(if caught { yes } else { no }) += 1;
            }
        }
    }
    tally
}

#[test]
fn orders_that_a_rule_stands_behind_cannot_be_dropped() {
    let tally = tally(plans(300));
    for (kind, (caught, missed)) in &tally {
        match *kind {
            // That is a cluster's habit, and no rule: often another rule holds it as well.
            "one at a time" | "pin first" => {}
            _ => assert_eq!(*missed, 0, "{kind}: {caught} were noted, in {tally:?}"),
        }
    }
    let seen: BTreeSet<&str> = tally.keys().copied().collect();
    let expected =
        ["skew", "add-on compatibility", "add-on dependency", "placement", "wave", "one at a time"];
    assert!(seen.is_superset(&BTreeSet::from(expected)), "{tally:?}");
    assert!(tally["skew"].0 > 100 && tally["wave"].0 > 20, "{tally:?}");
}
