//! Why a plan is as it is: of a cluster, a part of one, or an action.
//!
//! Everything is worked out from the plan, and from the files that it was made from where they
//! are at hand: so a saved plan has the same explanation as one that was just made.

mod choice;
mod names;
mod order;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    About, Action, ActionExplanation, ActionId, ActionRef, AddonName, AddonRelease, AddonVersion,
    Because, ClusterExplanation, ClusterName, ClusterPlan, EarlierWave, Explanation, Finding,
    Fleet, Link, Origin, Plan, Reason, Schedule, Subject, Wait, WaveExplanation, WavePlan, WayStep,
};

pub use names::{UnknownName, WhyUnknown};

use names::Named;
use order::Order;

/// Explains what `name` names: an action by its id or the beginning of it, a cluster, or a part
/// of a cluster as `CLUSTER/POOL`, `CLUSTER/ADDON` or `CLUSTER/control-plane`.
///
/// `fleet` has to be the one that the plan was made from; without it, what was not chosen and who
/// says what is left out.
///
/// # Errors
/// When the name names nothing, or more than one action.
pub fn explain(plan: &Plan, fleet: Option<&Fleet>, name: &str) -> Result<Explanation, UnknownName> {
    let explainer = Explainer { plan, fleet, order: Order::of(plan) };
    let about = match names::find(plan, fleet, name)? {
        Named::Cluster(cluster) => About::Cluster(Box::new(explainer.cluster(cluster))),
        Named::Action(action) => About::Action(Box::new(explainer.action(action))),
        Named::Part { cluster, part, actions } => About::Part {
            cluster: cluster.name.clone(),
            part: part.to_owned(),
            findings: explainer
                .findings(|subject| {
                    subject.cluster == cluster.name && subject.part.as_deref() == Some(part)
                })
                .cloned()
                .collect(),
            actions: explainer
                .order
                .sorted(actions)
                .into_iter()
                .map(|action| explainer.action(action))
                .collect(),
        },
    };
    Ok(Explanation {
        format_version: Explanation::FORMAT.to_owned(),
        fleet: plan.fleet.clone(),
        plan: plan.id(),
        with_files: fleet.is_some(),
        about,
    })
}

/// An action, as others are told of it.
fn named(action: &Action) -> ActionRef {
    ActionRef { id: action.id, cluster: action.cluster.clone(), what: action.kind.to_string() }
}

/// Links are told by cluster and by what their actions do.
fn in_order(link: &Link) -> (Option<ClusterName>, String, ActionId) {
    let ActionRef { id, cluster, what } = link.action.clone();
    (cluster, what, id)
}

struct Explainer<'a> {
    plan: &'a Plan,
    fleet: Option<&'a Fleet>,
    order: Order<'a>,
}

impl<'a> Explainer<'a> {
    fn findings(&self, about: impl Fn(&Subject) -> bool) -> impl Iterator<Item = &'a Finding> {
        self.plan.findings.iter().filter(move |finding| about(&finding.subject))
    }

    fn cluster(&self, cluster: &ClusterPlan) -> ClusterExplanation {
        let declared = self.fleet.and_then(|fleet| fleet.clusters.get(&cluster.name));
        let is_here = |action: &&Action| action.cluster.as_ref() == Some(&cluster.name);
        let actions =
            self.order.sorted(self.plan.actions.iter().map(Box::as_ref).filter(is_here).collect());
        let depths = self.order.depths(&actions);
        let places: BTreeMap<usize, usize> = actions
            .iter()
            .enumerate()
            .filter_map(|(number, action)| Some((self.order.place(&action.id)?, number)))
            .collect();
        let way = actions
            .iter()
            .filter_map(|action| {
                let at = self.order.place(&action.id)?;
                let depth = depths.get(&at).copied().unwrap_or(0);
                let mut before: Vec<_> = self.order.before(at).collect();
                before.retain(|(from, _)| places.contains_key(from));
                before.sort_by_key(|(from, _)| places.get(from));
                Some(WayStep {
                    action: named(action),
                    depth: u32::try_from(depth).unwrap_or(u32::MAX),
                    waits_for: before.into_iter().map(|(at, why)| self.link(at, why)).collect(),
                })
            })
            .collect();
        ClusterExplanation {
            cluster: cluster.clone(),
            declared_at: declared.map(|declared| declared.kubernetes.at.clone()),
            findings: self.findings(|subject| subject.cluster == cluster.name).cloned().collect(),
            wave: self.wave(cluster),
            takes: Schedule::of(self.plan).clusters.remove(&cluster.name).unwrap_or_default(),
            way,
        }
    }

    fn wave(&self, cluster: &ClusterPlan) -> Option<WaveExplanation> {
        let of_channel = || self.plan.waves.iter().filter(|wave| wave.channel == cluster.channel);
        let wave = of_channel().find(|wave| wave.clusters.contains(&cluster.name))?;
        let after = of_channel()
            .filter(|earlier| earlier.wave < wave.wave)
            .filter_map(|earlier| {
                Some(EarlierWave {
                    wave: earlier.wave,
                    end: *self.order.end_of(earlier)?,
                    clusters: earlier.clusters.clone(),
                    max_failed_clusters: earlier.max_failed_clusters,
                })
            })
            .collect();
        let WavePlan { channel, wave, max_parallel_clusters, max_failed_clusters, clusters: _ } =
            wave.clone();
        Some(WaveExplanation { channel, wave, max_parallel_clusters, max_failed_clusters, after })
    }

    fn action(&self, action: &Action) -> ActionExplanation {
        let at = self.order.place(&action.id);
        let waits_for = at.map_or_else(Vec::new, |at| {
            let before = self.order.before(at);
            let wait = |(from, because): (usize, &BTreeSet<&Because>)| Wait {
                link: self.link(from, because),
                chain: self
                    .order
                    .chain(from)
                    .into_iter()
                    .map(|(from, because)| self.link(from, because))
                    .collect(),
            };
            let mut waits: Vec<Wait> = before.map(wait).collect();
            waits.sort_by_key(|wait| in_order(&wait.link));
            waits
        });
        let awaited_by = at.map_or_else(Vec::new, |at| {
            let after = self.order.after(at);
            let mut links: Vec<Link> = after.map(|(to, because)| self.link(to, because)).collect();
            links.sort_by_key(in_order);
            links
        });
        ActionExplanation {
            action: action.clone(),
            takes: self.plan.measured.span(action),
            measured: self.plan.measured.samples(action),
            waits_for,
            awaited_by,
            choice: self.choice(action),
        }
    }

    fn link(&self, at: usize, because: &BTreeSet<&Because>) -> Link {
        let reason = |because: &&Because| Reason {
            because: (*because).clone(),
            said_by: self.said_by(because),
        };
        Link { action: named(self.order.action(at)), because: because.iter().map(reason).collect() }
    }

    /// Who says what a reason rests on: the range of a version, or when an API is served.
    fn said_by(&self, because: &Because) -> Option<Origin> {
        match because {
            Because::AddonCompatibility { addon, version, .. }
            | Because::AddonKubelets { addon, version, .. } => {
                self.release(addon, version)?.known.decided_by.clone()
            }
            Because::AddonNeeded { addon, minor: _ } => {
                let needed = self.fleet?.addons.get(addon)?.facts.needed_from.as_ref()?;
                Some(Origin::Catalogue(needed.source.clone()))
            }
            Because::AddonApi { addon, version, api, minor } => self
                .release(addon, version)?
                .unserved(*minor)
                .find(|used| used.object.api_version == *api)
                .map(|used| Origin::Catalogue(used.served.source.clone())),
            _ => None,
        }
    }

    fn release(&self, addon: &AddonName, version: &AddonVersion) -> Option<&'a AddonRelease> {
        self.fleet?.addons.get(addon)?.versions.get(version)
    }
}
