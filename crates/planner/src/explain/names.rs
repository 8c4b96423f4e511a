//! What a name on the command line names.

use std::collections::BTreeSet;
use std::fmt;

use refit_model::{Action, ActionId, ActionKind, ActionRef, ClusterPlan, Fleet, Plan};

use super::named;

/// What a name names.
pub(super) enum Named<'a> {
    Cluster(&'a ClusterPlan),
    Part { cluster: &'a ClusterPlan, part: &'a str, actions: Vec<&'a Action> },
    Action(&'a Action),
}

/// A name that names nothing, or too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// The name.
    pub name: String,
    /// Why it cannot be explained.
    pub why: WhyUnknown,
}

/// Why a name cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyUnknown {
    /// The plan has neither a cluster nor an action of that name.
    Nothing {
        /// Names that look like it.
        near: Vec<String>,
    },
    /// The cluster has no such part.
    NoPart {
        /// The cluster.
        cluster: String,
        /// Names that look like it.
        near: Vec<String>,
        /// The parts that it has.
        parts: Vec<String>,
    },
    /// The ids of several actions begin like that.
    Ambiguous {
        /// These.
        actions: Vec<ActionRef>,
    },
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.escape_debug();
        match &self.why {
            WhyUnknown::Nothing { .. } => {
                write!(f, "`{name}` is neither a cluster nor an action of the plan")
            }
            WhyUnknown::NoPart { cluster, .. } => {
                write!(f, "`{name}`: {cluster} has no such node pool or add-on")
            }
            WhyUnknown::Ambiguous { actions } => {
                write!(f, "`{name}` begins the ids of {} actions", actions.len())
            }
        }
    }
}

impl std::error::Error for UnknownName {}

/// What the control plane is called.
const CONTROL_PLANE: &str = "control-plane";

/// Finds what `name` names. A cluster comes before an action whose id begins like it.
pub(super) fn find<'a>(
    plan: &'a Plan,
    fleet: Option<&Fleet>,
    name: &'a str,
) -> Result<Named<'a>, UnknownName> {
    let unknown = |why: WhyUnknown| UnknownName { name: name.to_owned(), why };
    let cluster_of = |name: &str| plan.clusters.iter().find(|c| c.name.as_str() == name);
    if let Some(cluster) = cluster_of(name) {
        return Ok(Named::Cluster(cluster));
    }
    if let Some((cluster, part)) = name.split_once('/') {
        let Some(cluster) = cluster_of(cluster) else {
            let near = nearest(cluster, plan.clusters.iter().map(|c| c.name.as_str()));
            let near = near.into_iter().map(|cluster| format!("{cluster}/{part}")).collect();
            return Err(unknown(WhyUnknown::Nothing { near }));
        };
        return find_part(plan, fleet, cluster, part).map_err(unknown);
    }
    let begins = |action: &&Action| !name.is_empty() && action.id.as_str().starts_with(name);
    let exact = name.parse::<ActionId>().ok().and_then(|id| plan.action(&id));
    let found: Vec<&Action> = match exact {
        Some(action) => vec![action],
        None => plan.actions.iter().map(Box::as_ref).filter(begins).collect(),
    };
    match found.as_slice() {
        [action] => Ok(Named::Action(action)),
        [] => {
            let clusters = plan.clusters.iter().map(|cluster| cluster.name.as_str());
            let ids = plan.actions.iter().map(|action| action.id.as_str());
            let near = nearest(name, clusters.chain(ids));
            Err(unknown(WhyUnknown::Nothing { near }))
        }
        several => Err(unknown(WhyUnknown::Ambiguous {
            actions: several.iter().map(|action| named(action)).collect(),
        })),
    }
}

fn find_part<'a>(
    plan: &'a Plan,
    fleet: Option<&Fleet>,
    cluster: &'a ClusterPlan,
    part: &'a str,
) -> Result<Named<'a>, WhyUnknown> {
    let is_here = |action: &&Action| action.cluster.as_ref() == Some(&cluster.name);
    let here = || plan.actions.iter().map(Box::as_ref).filter(is_here);
    let actions: Vec<&Action> =
        here().filter(|action| part_of(&action.kind) == Some(part)).collect();
    let mut parts: BTreeSet<String> = BTreeSet::from([CONTROL_PLANE.to_owned()]);
    parts.extend(here().filter_map(|action| part_of(&action.kind)).map(str::to_owned));
    if let Some(declared) = fleet.and_then(|fleet| fleet.clusters.get(&cluster.name)) {
        parts.extend(declared.pools.iter().map(|pool| pool.name.to_string()));
        parts.extend(declared.addons.keys().map(ToString::to_string));
    }
    let about = plan.findings.iter().map(|finding| &finding.subject);
    let told = about.filter(|subject| subject.cluster == cluster.name);
    let is_told_of = told.filter_map(|subject| subject.part.as_deref()).any(|told| told == part);
    if actions.is_empty() && !parts.contains(part) && !is_told_of {
        let near = nearest(part, parts.iter().map(String::as_str));
        return Err(WhyUnknown::NoPart {
            cluster: cluster.name.to_string(),
            near: near.into_iter().map(|part| format!("{}/{part}", cluster.name)).collect(),
            parts: parts.into_iter().collect(),
        });
    }
    Ok(Named::Part { cluster, part, actions })
}

/// What an action works on, as people name it; none for what has no name of its own.
fn part_of(kind: &ActionKind) -> Option<&str> {
    match kind {
        ActionKind::ControlPlaneHop { .. } | ActionKind::TidyUp { pool: None, .. } => {
            Some(CONTROL_PLANE)
        }
        ActionKind::NodePoolRoll { pool, .. } | ActionKind::TidyUp { pool: Some(pool), .. } => {
            Some(pool.as_str())
        }
        ActionKind::AddonApply { addon, .. }
        | ActionKind::AddonAdopt { addon, .. }
        | ActionKind::AddonRemove { addon, .. }
        | ActionKind::StorageMigration { addon, .. } => Some(addon.as_str()),
        ActionKind::PinGroups { .. } | ActionKind::FinishWave { .. } => None,
    }
}

/// How many names are suggested.
const NEAR_MAX: usize = 3;

/// The candidates that are close to a name, the closest first.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<String> {
    // A third of the letters may differ, as for the names in files.
    let close = (name.chars().count() / 3).max(1);
    let mut near: Vec<(usize, &str)> = candidates
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            let similar = *distance <= close && *distance < candidate.len();
            similar || (!name.is_empty() && candidate.starts_with(name))
        })
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(NEAR_MAX).map(|(_, candidate)| candidate.to_owned()).collect()
}
