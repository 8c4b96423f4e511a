//! What a way asks to be done, and in which order: steps one after the other, add-ons in the slots
//! between them, and a reason for every order.
//!
//! Clusters that make the same way have the same layout. What is done has a place in it, and no
//! name or id of any cluster yet.

use std::collections::BTreeSet;
use std::sync::Arc;

use refit_model::skew::SkewRule;
use refit_model::{
    AddonMark, AddonName, AddonVersion, Because, Fleet, KubeVersion, Milestone, Minor, Placement,
    PoolName, StateGuard, VersionRange,
};

use crate::common::Common;
use crate::graph::{Tie, Ties};
use crate::hops::{Hop, is_newer};
use crate::situation::Situation;
use crate::storage;
use crate::support::Version;
use crate::timeline::{PoolNow, Step};
use crate::way::{Move, Way};

/// What becomes one action of each cluster.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// The hop of this step.
    Hop { step: usize, to: Arc<BTreeSet<KubeVersion>> },
    /// A pool's roll in this step, from what its nodes run then.
    Roll {
        step: usize,
        pool: PoolName,
        from: Arc<BTreeSet<KubeVersion>>,
        to: Arc<BTreeSet<KubeVersion>>,
    },
    /// The storage migration before one of an add-on's moves.
    Migration { addon: AddonName, nth: usize },
    /// One of an add-on's moves.
    Move { addon: AddonName, nth: usize, marks: Option<Marks> },
}

/// What an add-on is before a move, and the guards of its action.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    pub(crate) before: AddonMark,
    pub(crate) expect: Arc<StateGuard>,
    pub(crate) ensure: Arc<StateGuard>,
}

/// The tasks of a way and the orders between them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) tasks: Vec<Task>,
    /// Those that none of the others follows.
    pub(crate) last: Vec<usize>,
    /// By the places of tasks.
    pub(crate) ties: Ties,
    /// A task that waits for itself: then there are no ties.
    pub(crate) circle: Option<usize>,
}

impl Layout {
    /// The layout of a way from a situation.
    pub(crate) fn of(fleet: &Fleet, situation: &Situation<'_>, way: &Way, common: &Common) -> Self {
        let (tasks, ties) = (Vec::new(), Vec::new());
        let mut draft = Draft { fleet, situation, way, common, tasks, ties };
        let last = draft.draw();
        let (ties, circle) = match Ties::of(draft.tasks.len(), draft.ties) {
            Ok(ties) => (ties, None),
            Err(task) => (Ties::default(), Some(task)),
        };
        Self { tasks: draft.tasks, last, ties, circle }
    }
}

/// The tasks of a step that wait for none of its others, and those that none waits for.
struct Ends {
    first: Vec<usize>,
    last: Vec<usize>,
}

/// A task that moves an add-on in a slot, and which of the add-on's moves it is.
type InSlot<'w> = (usize, &'w AddonName, usize, &'w Move);

struct Draft<'w> {
    fleet: &'w Fleet,
    situation: &'w Situation<'w>,
    way: &'w Way,
    common: &'w Common,
    tasks: Vec<Task>,
    ties: Vec<Tie>,
}

impl<'w> Draft<'w> {
    /// Turns steps and moves into tasks, and ties each slot to the steps around it. Returns the tasks
    /// that nothing follows.
    fn draw(&mut self) -> Vec<usize> {
        let mut before: Vec<usize> = Vec::new();
        let mut before_step: Option<&Step> = None;
        let steps = &self.way.steps;
        for slot in 0..=steps.len() {
            let in_slot = self.slot(slot);
            for (place, name, _, moved) in first_of_each(&in_slot) {
                for earlier in &before {
                    let because = before_step
                        .map_or(Because::OneAtATime, |step| self.because_after(name, moved, step));
                    self.tie(*earlier, *place, because);
                }
            }
            self.order_within(&in_slot);
            let Some(step) = steps.get(slot) else {
                if !in_slot.is_empty() {
                    before = in_slot.into_iter().map(|(place, ..)| place).collect();
                }
                break;
            };
            let Some(Ends { first, last }) = self.step(slot, step) else { continue };
            for (place, name, _, moved) in last_of_each(&in_slot) {
                for begins in &first {
                    let because = self.because_before(name, moved, step);
                    self.tie(*place, *begins, because);
                }
            }
            if in_slot.is_empty() {
                for (earlier, begins) in
                    before.iter().flat_map(|e| first.iter().map(move |b| (e, b)))
                {
                    self.tie(*earlier, *begins, because_of_steps(before_step, step));
                }
            }
            before = last;
            before_step = Some(step);
        }
        before
    }

    fn put(&mut self, task: Task) -> usize {
        self.tasks.push(task);
        self.tasks.len() - 1
    }

    fn tie(&mut self, from: usize, to: usize, because: Because) {
        self.ties.push(Tie { from, to, because: self.common.reasons.of(because) });
    }

    fn slot(&mut self, slot: usize) -> Vec<InSlot<'w>> {
        let mut found = Vec::new();
        for (name, nth, moved) in self.way.in_slot(slot) {
            let addon = || name.clone();
            let migration = self
                .because_of_migration(name, nth, moved)
                .map(|because| (self.put(Task::Migration { addon: addon(), nth }), because));
            let marks = self.marks(name, nth, moved);
            let place = self.put(Task::Move { addon: addon(), nth, marks });
            if let Some((migration, because)) = migration {
                self.tie(migration, place, because);
                found.push((migration, name, nth, moved));
            }
            found.push((place, name, nth, moved));
        }
        found
    }

    /// What an add-on is before a move and after it; none where a version is not known.
    fn marks(&self, name: &AddonName, nth: usize, moved: &Move) -> Option<Marks> {
        let there = |version: &Version| match version {
            None => Some(AddonMark::Absent),
            Some(version) => {
                let release = self.fleet.addons.get(name)?.versions.get(version)?;
                let digest = *release.manifests.digest();
                Some(AddonMark::At { version: version.clone(), digest })
            }
        };
        let before = if nth == 0 {
            self.situation.addons.iter().find(|seen| seen.name == name)?.mark.clone()
        } else {
            there(&moved.from)?
        };
        let guard = |mark: AddonMark| self.common.guards.of(StateGuard::addon(name, mark));
        let (expect, ensure) = (guard(before.clone()), guard(there(&moved.to)?));
        Some(Marks { before, expect, ensure })
    }

    /// Why a move waits for a storage migration, if it does.
    fn because_of_migration(&self, name: &AddonName, nth: usize, moved: &Move) -> Option<Because> {
        let crds = self.way.migrations.get(&(name.clone(), nth))?;
        let version = moved.to.as_ref()?;
        let release = self.fleet.addons.get(name)?.versions.get(version)?;
        let (crd, stored) = storage::left_behind(release, crds)?;
        let (addon, version) = (name.clone(), version.clone());
        Some(Because::StoredVersion { addon, version, crd, stored })
    }

    fn order_within(&mut self, in_slot: &[InSlot<'_>]) {
        // A storage migration comes before its move, and what the move waits for before both.
        let all_of = |(name, nth): &(AddonName, usize)| {
            let is_it = |(_, other, which, _): &&InSlot<'_>| *other == name && which == nth;
            in_slot.iter().filter(is_it).map(|(place, ..)| *place).collect::<Vec<_>>()
        };
        for order in &self.way.orders {
            if let (Some(first), Some(then)) =
                (all_of(&order.first).last(), all_of(&order.then).first())
            {
                self.tie(*first, *then, order.because.clone());
            }
        }
    }

    /// The tasks of a step. Pools follow each other as they are declared, or, where several may be
    /// rolled at once, do not wait for each other: then whoever applies the plan counts them.
    fn step(&mut self, at: usize, step: &Step) -> Option<Ends> {
        match step {
            Step::Hop(hop) => {
                let to = BTreeSet::from([hop.to.clone()]).into();
                let place = self.put(Task::Hop { step: at, to });
                Some(Ends { first: vec![place], last: vec![place] })
            }
            Step::Roll { pools, to, .. } => {
                let after = Arc::new(BTreeSet::from([to.clone()]));
                let mut rolls: Vec<usize> = Vec::new();
                for PoolNow { name, kubelets, .. } in &*self.situation.pools {
                    if pools.contains(name) {
                        let from = self.runs_before(name, kubelets, &after);
                        let (pool, to) = (name.clone(), after.clone());
                        rolls.push(self.put(Task::Roll { step: at, pool, from, to }));
                    }
                }
                if self.situation.at_once {
                    return (!rolls.is_empty()).then(|| Ends { first: rolls.clone(), last: rolls });
                }
                for pair in rolls.windows(2) {
                    self.tie(pair[0], pair[1], Because::OneAtATime);
                }
                let (first, last) = (*rolls.first()?, *rolls.last()?);
                Some(Ends { first: vec![first], last: vec![last] })
            }
        }
    }

    /// What a pool's nodes run when a roll begins: what they run now, unless an earlier roll of the
    /// way has changed it.
    fn runs_before(
        &self,
        pool: &PoolName,
        now: &Arc<BTreeSet<KubeVersion>>,
        to: &Arc<BTreeSet<KubeVersion>>,
    ) -> Arc<BTreeSet<KubeVersion>> {
        let earlier = self.tasks.iter().rev().find_map(|task| match task {
            Task::Roll { pool: other, to, .. } if other == pool => Some(to.clone()),
            _ => None,
        });
        earlier.unwrap_or_else(|| if now.is_empty() { to.clone() } else { now.clone() })
    }

    fn rolled_to(&self, step: usize) -> Option<&'w KubeVersion> {
        match self.way.steps.get(step)? {
            Step::Roll { to, .. } => Some(to),
            Step::Hop(_) => None,
        }
    }

    /// Why an add-on's move comes before a step: what the step brings, or where its file places it.
    fn because_before(&self, name: &AddonName, moved: &Move, step: &Step) -> Because {
        if let (None, Step::Hop(hop)) = (&moved.from, step)
            && let Some(because) = self.needed_before(name, hop)
        {
            return because;
        }
        let (servers, kubelets) = match step {
            Step::Hop(hop) => (vec![hop.to.minor()], vec![hop.to.minor()]),
            Step::Roll { to, .. } => (Vec::new(), vec![to.minor()]),
        };
        self.range_excludes(name, moved.from.as_ref(), &servers, &kubelets).unwrap_or_else(|| {
            match step {
                Step::Hop(hop) if moved.goes_back() && hop.goes_back() => Because::Downgrade,
                _ => self.placed(name, step, |placement| &placement.before),
            }
        })
    }

    /// Returns why an add-on is installed before a hop if clusters need it from there on.
    fn needed_before(&self, name: &AddonName, hop: &Hop) -> Option<Because> {
        let needed = self.fleet.addons.get(name)?.facts.needed_from.as_ref()?;
        let comes_to = hop.to.minor() >= needed.minor
            && hop.from.iter().all(|version| version.minor() < needed.minor);
        comes_to.then(|| Because::AddonNeeded { addon: name.clone(), minor: needed.minor })
    }

    /// Why an add-on's move comes after a step: what the step takes away, or where its file places
    /// it.
    fn because_after(&self, name: &AddonName, moved: &Move, step: &Step) -> Because {
        let (servers, kubelets) = match step {
            Step::Hop(hop) => {
                let minors: Vec<Minor> = hop.from.iter().map(KubeVersion::minor).collect();
                (minors.clone(), minors)
            }
            Step::Roll { pools, to, .. } => {
                (Vec::new(), self.rolled_from(pools, to).map(KubeVersion::minor).collect())
            }
        };
        self.range_excludes(name, moved.to.as_ref(), &servers, &kubelets).unwrap_or_else(|| {
            match step {
                Step::Roll { pools, to, .. }
                    if moved.goes_back()
                        && self.rolled_from(pools, to).any(|from| is_newer(from, to)) =>
                {
                    Because::Downgrade
                }
                _ => self.placed(name, step, |placement| &placement.after),
            }
        })
    }

    /// What the nodes ran that a step of the way has rolled.
    fn rolled_from<'s>(
        &'s self,
        pools: &'s BTreeSet<PoolName>,
        to: &'s KubeVersion,
    ) -> impl Iterator<Item = &'s KubeVersion> {
        let rolls = self.tasks.iter().filter_map(move |task| match task {
            Task::Roll { step, pool, from, .. }
                if pools.contains(pool) && self.rolled_to(*step) == Some(to) =>
            {
                Some(&**from)
            }
            _ => None,
        });
        rolls.flatten()
    }

    /// The first of the minors that a version does not support, as an apiserver's or as a
    /// kubelet's.
    fn range_excludes(
        &self,
        name: &AddonName,
        version: Option<&AddonVersion>,
        servers: &[Minor],
        kubelets: &[Minor],
    ) -> Option<Because> {
        let version = version?;
        let release = self.fleet.addons.get(name)?.versions.get(version)?;
        let named = || (name.clone(), version.clone());
        let outside = |range: &VersionRange<Minor>, minors: &[Minor]| {
            minors.iter().find(|minor| !range.contains(minor)).copied()
        };
        if let Some(minor) = outside(&release.kubernetes, servers) {
            let (supports, (addon, version)) = (release.kubernetes.to_string(), named());
            return Some(Because::AddonCompatibility { addon, version, supports, minor });
        }
        let unserved = |minor: &Minor| Some((release.unserved(*minor).next()?, *minor));
        if let Some((used, minor)) = servers.iter().find_map(unserved) {
            let (api, (addon, version)) = (used.object.api_version.clone(), named());
            return Some(Because::AddonApi { addon, version, api, minor });
        }
        let range = release.kubelets.as_ref()?;
        let minor = outside(range, kubelets)?;
        let (supports, (addon, version)) = (range.to_string(), named());
        Some(Because::AddonKubelets { addon, version, supports, minor })
    }

    fn placed(
        &self,
        name: &AddonName,
        step: &Step,
        side: impl Fn(&Placement) -> &BTreeSet<Milestone>,
    ) -> Because {
        let milestone = match step {
            Step::Hop(_) => Milestone::ControlPlane,
            Step::Roll { .. } => Milestone::Nodes,
        };
        let addon = self.fleet.addons.get(name);
        if addon.is_some_and(|addon| side(&addon.placement).contains(&milestone)) {
            Because::Placement { addon: name.clone(), milestone }
        } else {
            Because::OneAtATime
        }
    }
}

/// Each add-on's first task of a slot: the others wait for it.
fn first_of_each<'s, 'w>(in_slot: &'s [InSlot<'w>]) -> Vec<&'s InSlot<'w>> {
    let is_first = |at: &usize| in_slot[..*at].iter().all(|(_, name, ..)| *name != in_slot[*at].1);
    (0..in_slot.len()).filter(is_first).map(|at| &in_slot[at]).collect()
}

/// Each add-on's last task of a slot: it waits for the others.
fn last_of_each<'s, 'w>(in_slot: &'s [InSlot<'w>]) -> Vec<&'s InSlot<'w>> {
    let is_last =
        |at: &usize| in_slot[*at + 1..].iter().all(|(_, name, ..)| *name != in_slot[*at].1);
    (0..in_slot.len()).filter(is_last).map(|at| &in_slot[at]).collect()
}

fn because_of_steps(before: Option<&Step>, step: &Step) -> Because {
    match (before, step) {
        (Some(Step::Roll { .. }), Step::Hop(hop)) if hop.goes_back() => Because::Downgrade,
        (Some(Step::Hop(_)), Step::Hop(_)) => Because::Skew { rule: SkewRule::MinorByMinor },
        (Some(Step::Hop(_)), Step::Roll { .. }) | (Some(Step::Roll { .. }), Step::Hop(_)) => {
            Because::Skew { rule: SkewRule::Kubelet }
        }
        _ => Because::OneAtATime,
    }
}
