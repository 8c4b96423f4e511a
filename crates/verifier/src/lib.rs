//! The second opinion: is a plan one that never breaks a rule on its way?
//!
//! The verifier shares the vocabulary with the planner and nothing else. It does not replay
//! one order of the actions: an action has a before, a during, in which both versions live,
//! and an after, and every rule binds a pair of components of one cluster. Two states can
//! live together unless the action that ends the one comes before the action that begins the
//! other, so checking those pairs covers every interleaving that the plan allows, exactly.
//! What counts (parallelism, surge, budgets) is the engine's, and is checked there.

mod contents;
mod downgrade;
mod guards;
mod index;
mod launches;
mod limits;
mod nodes;
mod order;
mod pools;
mod stages;
mod storage;
mod tidying;
mod waves;

use std::collections::BTreeMap;
use std::fmt;

use refit_model::{
    ActionKind, AddonMark, Cluster, ClusterName, ClusterPlan, ClusterState, ClusterStatus, Digest,
    Fleet, Observation, Plan, Snapshot, digest_of,
};

use contents::Against;
use index::{Index, at};
use nodes::Nodes;
use order::Order;

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
    verify_known(fleet, snapshot, &digest_of(snapshot), plan)
}

/// The same for a snapshot whose digest is known: of a large fleet it takes longer to compute than
/// all else.
#[must_use = "an unread note is a plan that nobody checked"]
pub fn verify_known(fleet: &Fleet, snapshot: &Snapshot, digest: &Digest, plan: &Plan) -> Vec<Note> {
    let index = Index::of(plan);
    let mut notes = check(fleet, snapshot, plan, &index, Against::Own);
    notes.extend(idle(fleet, snapshot, plan, &index));
    if plan.snapshot_digest != *digest {
        notes.push(Note { cluster: None, text: "was made from another snapshot".into() });
    }
    notes
}

/// Checks a saved plan against a newer snapshot, right before it is applied. What was done since
/// must not make what is left break a rule, and what each action carries must be what the files and
/// the clusters say: the digest of a saved plan shows damage, but whoever edits a plan can compute
/// it again. Clusters that cannot be read are left to the look that each action begins with.
#[must_use = "an unread note is a plan that nobody checked"]
pub fn verify_again(fleet: &Fleet, snapshot: &Snapshot, plan: &Plan) -> Vec<Note> {
    let mut notes = check(fleet, snapshot, plan, &Index::of(plan), Against::Newer);
    notes.retain(|note| {
        note.cluster
            .as_ref()
            .is_none_or(|name| matches!(snapshot.clusters.get(name), Some(Observation::Fresh(_))))
    });
    notes
}

/// Clusters that nothing is planned for must be blocked, or be what the files say.
fn idle(fleet: &Fleet, snapshot: &Snapshot, plan: &Plan, index: &Index<'_>) -> Vec<Note> {
    let mut notes = Vec::new();
    let strangers = plan.left_out.iter().filter(|name| !fleet.clusters.contains_key(*name));
    notes.extend(strangers.map(|name| Note {
        cluster: Some(name.clone()),
        text: "is left out, and not declared".into(),
    }));
    let strangers = plan.downgrade.iter().filter(|name| !fleet.clusters.contains_key(*name));
    notes.extend(strangers.map(|name| Note {
        cluster: Some(name.clone()),
        text: "is named to go back, and not declared".into(),
    }));
    let takes = |name, channel| plan.selection.takes(name, channel);
    let listed: BTreeMap<&ClusterName, &ClusterPlan> =
        plan.clusters.iter().map(|listed| (&listed.name, listed)).collect();
    let mut nodes = Nodes::default();
    for (name, cluster) in &fleet.clusters {
        let mut say = |text: String| notes.push(Note { cluster: Some(name.clone()), text });
        let taken = takes(name, &cluster.channel);
        if plan.left_out.contains(name) == taken {
            say("is left out, and selected, or neither of both".into());
        }
        let listed = match (listed.get(name), taken) {
            (Some(listed), true) => listed,
            (Some(_), false) => {
                say("is listed, and not selected".into());
                continue;
            }
            (None, true) => {
                say("is declared and selected, and not listed".into());
                continue;
            }
            (None, false) => continue,
        };
        if listed.status == ClusterStatus::Frozen && !is_frozen(cluster, plan) {
            say("is listed as frozen, and is not".into());
        }
        if !index.of_cluster(name).is_empty() {
            continue;
        }
        let (state, none) = (snapshot.clusters.get(name), Order::new(plan, index, &[]));
        if let (Some(Observation::Fresh(state)), Some(none)) = (state, &none)
            && !stands_still(listed.status)
        {
            untouched(fleet, cluster, state, plan, none).into_iter().for_each(&mut say);
        }
        match (listed.status, state, none) {
            (ClusterStatus::Planned, _, _) => say("is listed as planned, and has no action".into()),
            (ClusterStatus::UpToDate, Some(Observation::Fresh(state)), Some(none)) => {
                nodes.look_at(cluster, state);
                let case = Case { fleet, cluster, state, listed, nodes: &nodes };
                stages::check(&case, plan, index, &none).into_iter().for_each(say);
            }
            (ClusterStatus::UpToDate, ..) => {
                say("is listed as up to date, and was not seen".into());
            }
            (ClusterStatus::Blocked | ClusterStatus::Frozen, ..) => {}
        }
    }
    notes
}

/// One cluster, as it is declared, seen and listed.
pub(crate) struct Case<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) cluster: &'a Cluster,
    pub(crate) state: &'a ClusterState,
    pub(crate) listed: &'a ClusterPlan,
    pub(crate) nodes: &'a Nodes<'a>,
}

/// Whether nothing may be done to a cluster at the time of the plan.
fn is_frozen(cluster: &Cluster, plan: &Plan) -> bool {
    cluster.freeze.as_ref().is_some_and(|freeze| freeze.value.holds(plan.held_against()))
}

/// Whether nothing but tidying up may be planned for a cluster of that status.
fn stands_still(status: ClusterStatus) -> bool {
    matches!(status, ClusterStatus::Blocked | ClusterStatus::Frozen)
}

/// Add-ons that nothing is planned for must be there whole, as refit would have applied them.
/// What was changed after planning is for the next plan, so this looks only at the plan's own
/// snapshot.
fn untouched(
    fleet: &Fleet,
    cluster: &Cluster,
    state: &ClusterState,
    plan: &Plan,
    order: &Order<'_>,
) -> Vec<String> {
    let mut notes = Vec::new();
    if plan.selection.only.is_some() {
        return notes;
    }
    for (name, target) in cluster.addons.iter().filter(|(name, _)| order.on(name).is_empty()) {
        let wanted = &target.version.value;
        let known = fleet.addons.get(name).and_then(|addon| addon.versions.get(wanted));
        let whole = |digest: &Digest| known.is_none_or(|r| r.manifests.digest() == digest);
        let mark = AddonMark::of(state, name);
        if !matches!(&mark, AddonMark::At { version, digest } if version == wanted && whole(digest))
        {
            notes.push(format!("{name} is {mark}, and nothing brings it to {wanted}"));
        }
    }
    notes
}

/// What is wrong with the actions that belong to no cluster: nothing but the ends of waves may, and
/// they change nothing.
fn of_no_cluster(plan: &Plan) -> Vec<String> {
    let mut notes = Vec::new();
    for action in plan.actions.iter().filter(|action| action.cluster.is_none()) {
        if matches!(action.kind, ActionKind::FinishWave { .. }) {
            notes.extend(guards::of_wave(action));
            notes.extend(limits::of_wave(action));
        } else {
            notes.push(format!("{}: it belongs to no cluster", action.kind));
        }
    }
    notes
}

/// What is wrong with a plan, for its own snapshot or a newer one.
fn check(
    fleet: &Fleet,
    snapshot: &Snapshot,
    plan: &Plan,
    index: &Index<'_>,
    against: Against,
) -> Vec<Note> {
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
    let waves = waves::check(fleet, plan, index);
    for text in order::check(plan, index).into_iter().chain(waves).chain(of_no_cluster(plan)) {
        say(None, text);
    }

    let listed_by_name: BTreeMap<&ClusterName, &ClusterPlan> =
        plan.clusters.iter().map(|listed| (&listed.name, listed)).collect();
    let mut nodes = Nodes::default();
    for (name, actions) in &index.clusters {
        let declared = fleet.clusters.get(name);
        let state = match snapshot.clusters.get(name) {
            Some(Observation::Fresh(state)) => Some(state),
            _ => None,
        };
        let listed = listed_by_name.get(name);
        let (Some(cluster), Some(state), Some(listed)) = (declared, state, listed) else {
            say(Some(name), "has actions, and is not declared, seen and listed".into());
            continue;
        };
        let mut kinds = actions.iter().map(|place| &plan.actions[at(*place)].kind);
        let tidies = kinds.all(|kind| matches!(kind, ActionKind::TidyUp { .. }));
        let blocked = stands_still(listed.status) && tidies;
        if listed.status != ClusterStatus::Planned && !blocked {
            say(Some(name), "has actions, and is not listed as planned".into());
        }
        if is_frozen(cluster, plan) && !tidies {
            say(Some(name), "is frozen, and is not left alone".into());
        }
        if listed.identity.as_ref() != Some(&state.identity) {
            say(Some(name), "is listed with another identity than was seen".into());
        }
        if actions.len() > CLUSTER_ACTIONS_MAX {
            say(Some(name), format!("has more than {CLUSTER_ACTIONS_MAX} actions"));
            continue;
        }
        let Some(order) = Order::new(plan, index, actions) else {
            say(Some(name), "its actions wait for each other in a circle".into());
            continue;
        };
        nodes.look_at(cluster, state);
        let case = Case { fleet, cluster, state, listed, nodes: &nodes };
        for text in contents::check(&case, order.actions(), against) {
            say(Some(name), text);
        }
        if against == Against::Own {
            let texts = (!stands_still(listed.status))
                .then(|| untouched(fleet, cluster, state, plan, &order));
            for text in texts.into_iter().flatten() {
                say(Some(name), text);
            }
        }
        if blocked {
            for text in tidying::check(name, cluster, state, snapshot, &order) {
                say(Some(name), text);
            }
            continue;
        }
        for text in stages::check(&case, plan, index, &order) {
            say(Some(name), text);
        }
    }
    notes.sort();
    notes.dedup();
    notes
}
