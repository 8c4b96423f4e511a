//! Plans of random fleets, and what a mutation of them makes the verifier say.

use std::collections::BTreeSet;

use refit_model::{
    Action, ActionId, ActionKind, ClusterName, Edge, Fleet, Observation, Plan, Snapshot,
};
use refit_planner::{Options, plan};
use refit_provider::{Look, Scope};
use refit_simulator::random_fleet;
use refit_verifier::verify;

/// A fleet, what was seen of it, and its plan, which holds.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) seed: u64,
    pub(crate) fleet: Fleet,
    pub(crate) snapshot: Snapshot,
    pub(crate) plan: Plan,
}

impl Bench {
    pub(crate) fn of(seed: u64) -> Self {
        let (fleet, mut world) = random_fleet(seed);
        let clusters = fleet
            .clusters
            .values()
            .map(|cluster| {
                let look = Look { cluster, addons: &fleet.addons, scope: &Scope::Everything };
                let state = world.look(look).unwrap();
                (cluster.name.clone(), Observation::Fresh(Box::new(state)))
            })
            .collect();
        let snapshot = Snapshot {
            format_version: Snapshot::FORMAT.to_owned(),
            fleet: fleet.name.clone(),
            taken_at: world.now(),
            clusters,
        };
        Self::planned(seed, fleet, snapshot)
    }

    /// With the plan for what is given.
    pub(crate) fn planned(seed: u64, fleet: Fleet, snapshot: Snapshot) -> Self {
        let plan = plan(&fleet, &snapshot, &Options::default());
        assert_eq!(verify(&fleet, &snapshot, &plan), [], "seed {seed}");
        Self { seed, fleet, snapshot, plan }
    }

    /// What the verifier says about a plan that is not quite this one.
    pub(crate) fn notes(&self, change: impl FnOnce(&mut Plan)) -> Vec<String> {
        let mut plan = self.plan.clone();
        change(&mut plan);
        verify(&self.fleet, &self.snapshot, &plan).iter().map(ToString::to_string).collect()
    }

    /// Whether one of the notes has this text.
    #[track_caller]
    pub(crate) fn notes_that(&self, text: &str, change: impl FnOnce(&mut Plan)) {
        let notes = self.notes(change);
        assert!(
            notes.iter().any(|note| note.contains(text)),
            "seed {}: no `{text}` in {notes:#?}",
            self.seed
        );
    }

    /// The actions that fit, with their places.
    pub(crate) fn actions(&self, fits: impl Fn(&Action) -> bool) -> Vec<usize> {
        (0..self.plan.actions.len()).filter(|at| fits(&self.plan.actions[*at])).collect()
    }

    pub(crate) fn clusters(&self) -> BTreeSet<ClusterName> {
        self.plan.actions.iter().filter_map(|action| action.cluster.clone()).collect()
    }
}

/// Plans that do something.
pub(crate) fn plans(seeds: u64) -> impl Iterator<Item = Bench> {
    (0..seeds).map(Bench::of).filter(|bench| !bench.plan.is_empty())
}

/// Takes an action out; what came before it now comes before what came after it.
pub(crate) fn without(plan: &mut Plan, id: &ActionId) {
    let before: Vec<Edge> = plan.edges.iter().filter(|edge| edge.to == *id).cloned().collect();
    let after: Vec<Edge> = plan.edges.iter().filter(|edge| edge.from == *id).cloned().collect();
    plan.edges.retain(|edge| edge.from != *id && edge.to != *id);
    for first in &before {
        for then in &after {
            plan.edges.push(Edge { to: then.to, ..first.clone() });
        }
    }
    sort(plan);
    plan.actions.retain(|action| action.id != *id);
}

pub(crate) fn sort(plan: &mut Plan) {
    plan.edges.sort_by(|a, b| (&a.from, &a.to, &a.because).cmp(&(&b.from, &b.to, &b.because)));
    plan.edges.dedup();
}

pub(crate) fn is_hop(action: &Action) -> bool {
    matches!(action.kind, ActionKind::ControlPlaneHop { .. })
}

pub(crate) fn is_roll(action: &Action) -> bool {
    matches!(action.kind, ActionKind::NodePoolRoll { .. })
}
