//! The second opinion: is a plan one that never breaks a rule on its way?
//!
//! The verifier shares the vocabulary with the planner and nothing else. It does not replay
//! one order of the actions: an action has a before, a during, in which both versions live,
//! and an after, and every rule binds a pair of components of one cluster. Two states can
//! live together unless the action that ends the one comes before the action that begins the
//! other, so checking those pairs covers every interleaving that the plan allows, exactly.
//! What counts (parallelism, surge, budgets) is the engine's, and is checked there.

mod contents;
mod launches;
mod order;
mod stages;
mod storage;
mod tidying;
mod waves;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use refit_model::{
    ActionKind, AddonMark, AddonName, ClusterName, ClusterStatus, Digest, Fleet, Observation, Plan,
    Snapshot, digest_of,
};

/// Something that is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// The cluster, unless the plan as a whole is meant.
    pub cluster: Option<ClusterName>,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cluster {
            Some(cluster) => write!(f, "{cluster}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// More actions than this in one cluster are no upgrade any more; it bounds the memory that
/// the orders within a cluster take (a bit per pair).
const CLUSTER_ACTIONS_MAX: usize = 5_000;

/// Checks a plan against the fleet and the snapshot that it was made from. No note: it holds.
#[must_use = "an unread note is a plan that nobody checked"]
pub fn verify(fleet: &Fleet, snapshot: &Snapshot, plan: &Plan) -> Vec<Note> {
    let mut notes = check(fleet, snapshot, plan);
    notes.extend(idle(fleet, snapshot, plan));
    notes.extend(untouched(fleet, snapshot, plan));
    notes.extend(contents::check(fleet, snapshot, plan));
    if plan.snapshot_digest != digest_of(snapshot) {
        notes.push(Note { cluster: None, text: "was made from another snapshot".into() });
    }
    notes
}

/// Checks a saved plan against a newer snapshot, right before it is applied: what was done
/// since must not make what is left break a rule. Clusters that cannot be read are left to the
/// look that each action begins with.
#[must_use = "an unread note is a plan that nobody checked"]
pub fn verify_again(fleet: &Fleet, snapshot: &Snapshot, plan: &Plan) -> Vec<Note> {
    let mut notes = check(fleet, snapshot, plan);
    notes.retain(|note| {
        note.cluster
            .as_ref()
            .is_none_or(|name| matches!(snapshot.clusters.get(name), Some(Observation::Fresh(_))))
    });
    notes
}

/// Clusters that nothing is planned for must be blocked, or be what the files say.
fn idle(fleet: &Fleet, snapshot: &Snapshot, plan: &Plan) -> Vec<Note> {
    let mut notes = Vec::new();
    for (name, cluster) in &fleet.clusters {
        let mut say = |text: String| notes.push(Note { cluster: Some(name.clone()), text });
        let Some(listed) = plan.cluster(name) else {
            say("is declared, and not listed".into());
            continue;
        };
        if plan.actions.iter().any(|action| action.cluster.as_ref() == Some(name)) {
            continue;
        }
        match (listed.status, snapshot.clusters.get(name), order::Order::new(plan, &[])) {
            (ClusterStatus::Planned, _, _) => say("is listed as planned, and has no action".into()),
            (ClusterStatus::UpToDate, Some(Observation::Fresh(state)), Some(none)) => {
                stages::check(fleet, cluster, state, plan, &none).into_iter().for_each(say);
            }
            (ClusterStatus::UpToDate, ..) => {
                say("is listed as up to date, and was not seen".into());
            }
            (ClusterStatus::Blocked, ..) => {}
        }
    }
    notes
}

/// Add-ons that nothing is planned for must be there whole, as refit would have applied them.
/// What was changed after planning is for the next plan, so this looks only at the plan's own
/// snapshot.
fn untouched(fleet: &Fleet, snapshot: &Snapshot, plan: &Plan) -> Vec<Note> {
    let mut notes = Vec::new();
    let open = plan.clusters.iter().filter(|listed| listed.status != ClusterStatus::Blocked);
    for cluster in open.filter_map(|listed| fleet.clusters.get(&listed.name)) {
        let Some(Observation::Fresh(state)) = snapshot.clusters.get(&cluster.name) else {
            continue;
        };
        let moved: BTreeSet<&AddonName> = plan
            .actions
            .iter()
            .filter(|action| action.cluster.as_ref() == Some(&cluster.name))
            .filter_map(|action| action.kind.addon())
            .collect();
        for (name, target) in cluster.addons.iter().filter(|(name, _)| !moved.contains(name)) {
            let wanted = &target.version.value;
            let known = fleet.addons.get(name).and_then(|addon| addon.versions.get(wanted));
            let whole = |digest: &Digest| known.is_none_or(|r| r.manifests.digest() == digest);
            let mark = AddonMark::of(state, name);
            if !matches!(&mark, AddonMark::At { version, digest } if version == wanted && whole(digest))
            {
                let text = format!("{name} is {mark}, and nothing brings it to {wanted}");
                notes.push(Note { cluster: Some(cluster.name.clone()), text });
            }
        }
    }
    notes
}

fn check(fleet: &Fleet, snapshot: &Snapshot, plan: &Plan) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut say = |cluster: Option<&ClusterName>, text: String| {
        notes.push(Note { cluster: cluster.cloned(), text });
    };
    if plan.config_digest != fleet.digest {
        say(None, "was made from other files".into());
    }
    if !plan.actions.is_sorted_by(|a, b| a.id < b.id) {
        say(None, "its actions are not ordered by id, or not unique".into());
        return notes;
    }
    for text in order::check(plan).into_iter().chain(waves::check(fleet, plan)) {
        say(None, text);
    }

    let mut by_cluster: BTreeMap<&ClusterName, Vec<usize>> = BTreeMap::new();
    for (index, action) in plan.actions.iter().enumerate() {
        if let Some(cluster) = &action.cluster {
            by_cluster.entry(cluster).or_default().push(index);
        }
    }
    for (name, actions) in by_cluster {
        let declared = fleet.clusters.get(name);
        let state = match snapshot.clusters.get(name) {
            Some(Observation::Fresh(state)) => Some(state),
            _ => None,
        };
        let listed = plan.cluster(name);
        let (Some(cluster), Some(state), Some(listed)) = (declared, state, listed) else {
            say(Some(name), "has actions, and is not declared, seen and listed".into());
            continue;
        };
        let tidies =
            actions.iter().all(|at| matches!(plan.actions[*at].kind, ActionKind::TidyUp { .. }));
        let blocked = listed.status == ClusterStatus::Blocked && tidies;
        if listed.status != ClusterStatus::Planned && !blocked {
            say(Some(name), "has actions, and is not listed as planned".into());
        }
        if listed.identity.as_ref() != Some(&state.identity) {
            say(Some(name), "is listed with another identity than was seen".into());
        }
        if actions.len() > CLUSTER_ACTIONS_MAX {
            say(Some(name), format!("has more than {CLUSTER_ACTIONS_MAX} actions"));
            continue;
        }
        let Some(order) = order::Order::new(plan, &actions) else {
            say(Some(name), "its actions wait for each other in a circle".into());
            continue;
        };
        if blocked {
            for text in tidying::check(name, cluster, state, snapshot, &order) {
                say(Some(name), text);
            }
            continue;
        }
        for text in stages::check(fleet, cluster, state, plan, &order) {
            say(Some(name), text);
        }
    }
    notes.sort();
    notes.dedup();
    notes
}
