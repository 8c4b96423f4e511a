//! The way of a cluster: its large steps in order, and the moves of add-ons in the slots before,
//! between and after them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use refit_model::{
    Addon, AddonName, Because, Cluster, ClusterState, Code, Fleet, Milestone, Placement, PoolName,
    Severity,
};

use crate::checks::Blocker;
use crate::common::Common;
use crate::knowledge::{self, Lived};
use crate::layout::Layout;
use crate::no_way;
use crate::parts::{Kind, Parts, Route};
use crate::search::{Event, Known, What};
use crate::situation::{Seen, Situation};
use crate::storage::{self, Migrations};
use crate::support::{Version, Without};
use crate::timeline::Step;

/// A move of an add-on in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) slot: usize,
    pub(crate) from: Version,
    pub(crate) to: Version,
}

impl Move {
    /// Whether it leads to an older version.
    pub(crate) fn goes_back(&self) -> bool {
        self.from.as_ref().zip(self.to.as_ref()).is_some_and(|(from, to)| from > to)
    }
}

/// An order between two moves in one slot, each by add-on and which of its moves it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) first: (AddonName, usize),
    pub(crate) then: (AddonName, usize),
    pub(crate) because: Because,
}

/// The way of a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    /// The large steps, with a slot before each and one after the last.
    pub(crate) steps: Vec<Step>,
    /// By add-on, its moves in order.
    pub(crate) moves: BTreeMap<AddonName, Vec<Move>>,
    pub(crate) orders: Vec<Order>,
    /// What is to be told of the versions on the way.
    pub(crate) notes: Vec<Blocker>,
    /// What comes right before moves.
    pub(crate) migrations: Migrations,
    /// Why a move cannot be made after all.
    pub(crate) stuck: Vec<Blocker>,
    /// What is to be done, and in which order.
    pub(crate) layout: Layout,
}

impl Way {
    /// The moves in a slot, each with which of its add-on's moves it is.
    pub(crate) fn in_slot(&self, slot: usize) -> impl Iterator<Item = (&AddonName, usize, &Move)> {
        self.moves.iter().flat_map(move |(name, all)| {
            let here = all.iter().enumerate().filter(move |(_, moved)| moved.slot == slot);
            here.map(move |(nth, moved)| (name, nth, moved))
        })
    }
}

/// A situation of which the way is known.
type Trodden<'a> = (Situation<'a>, Rc<Way>);

/// The ways of a plan. Clusters in the same situation make the same way, which is worked out once.
#[derive(Debug, Default)]
pub(crate) struct Ways<'a> {
    known: Known,
    common: Common,
    /// By the number of the situation.
    found: RefCell<BTreeMap<u64, Vec<Trodden<'a>>>>,
    /// Where the add-ons of the last situation were, if it was known.
    room: RefCell<Vec<Seen<'a>>>,
}

impl<'a> Ways<'a> {
    /// Room for the add-ons of a situation.
    pub(crate) fn room(&self) -> Vec<Seen<'a>> {
        self.room.take()
    }

    /// The cheapest way of a cluster, or why there is none.
    pub(crate) fn cheapest(
        &self,
        fleet: &Fleet,
        cluster: &Cluster,
        situation: Situation<'a>,
    ) -> Result<Rc<Way>, Vec<Blocker>> {
        let number = situation.number();
        if let Some(alike) = self.found.borrow().get(&number)
            && let Some((_, way)) = alike.iter().find(|(known, _)| *known == situation)
        {
            self.room.replace(situation.addons);
            return Ok(Rc::clone(way));
        }
        let parts = Parts::of(fleet, cluster, &situation)?;
        let events = parts
            .problem(&Without::new())
            .solve(&self.known)
            .map_err(|failures| no_way::explain(fleet, cluster, &parts, &failures))?;
        let way = Rc::new(lay_out(fleet, &situation, &parts, events, &self.common));
        self.found.borrow_mut().entry(number).or_default().push((situation, Rc::clone(&way)));
        Ok(way)
    }
}

/// Puts the events of all components into one order: slot by slot the moves, then the rolls.
/// Pools that no add-on waits for are rolled together with the first of the phase that one does.
fn lay_out(
    fleet: &Fleet,
    situation: &Situation<'_>,
    parts: &Parts<'_>,
    components: Vec<Vec<Event>>,
    common: &Common,
) -> Way {
    let mut way = Way::default();
    let mut last: Vec<Version> = parts.kinds.iter().map(start).collect();
    let mut rolls: BTreeMap<(usize, usize), BTreeSet<usize>> = BTreeMap::new();
    let mut free: Vec<(usize, usize)> = Vec::new();
    let mut rounds: BTreeMap<(usize, usize), Vec<(usize, usize)>> = BTreeMap::new();
    for events in components {
        let alone = !events.iter().any(|event| matches!(event.what, What::Round(_)));
        for Event { phase, slot, what } in events {
            match what {
                What::Round(moved) => rounds.entry((phase, slot)).or_default().extend(moved),
                What::Roll(part) if alone => free.push((phase, part)),
                What::Roll(part) => drop(rolls.entry((phase, slot)).or_default().insert(part)),
            }
        }
    }
    for (phase, part) in free {
        let first = rolls.range((phase, 0)..(phase + 1, 0)).next().map(|(at, _)| *at);
        rolls.entry(first.unwrap_or((phase, 0))).or_default().insert(part);
    }
    for (at, phase) in parts.phases.iter().enumerate() {
        way.steps.extend(phase.hop.clone().map(Step::Hop));
        let next = parts.phases.get(at + 1).and_then(|next| next.hop.as_ref());
        let before = next.filter(|hop| !hop.goes_back()).map(|hop| hop.to.minor());
        let here = rounds.range((at, 0)..(at + 1, 0)).map(|(slot, _)| slot);
        let slots: BTreeSet<_> =
            here.chain(rolls.range((at, 0)..(at + 1, 0)).map(|(slot, _)| slot)).copied().collect();
        for key in slots {
            for (part, state) in rounds.remove(&key).unwrap_or_default() {
                let Kind::Addon(route) = &parts.kinds[part] else { continue };
                let to = route.versions[state].clone();
                let from = std::mem::replace(&mut last[part], to.clone());
                let moves = way.moves.entry(route.name.clone()).or_default();
                moves.push(Move { slot: way.steps.len(), from, to });
            }
            let rolled = rolls.remove(&key).unwrap_or_default();
            let pools: BTreeSet<PoolName> = rolled
                .iter()
                .filter_map(|part| match &parts.kinds[*part] {
                    Kind::Pools(alike) => Some(&alike.names),
                    Kind::Addon(_) => None,
                })
                .flatten()
                .cloned()
                .collect();
            if !pools.is_empty() {
                way.steps.push(Step::Roll { pools, to: phase.version.clone(), before });
            }
        }
    }
    way.orders = orders(parts, &way);
    way.notes = notes_on_the_way(parts, &way);
    way.notes.extend(still_unsupported(parts, &way));
    match storage::migrations(parts, &way.moves) {
        Ok(migrations) => way.migrations = migrations,
        Err(stuck) => way.stuck = stuck,
    }
    way.layout = Layout::of(fleet, situation, &way, common);
    way
}

fn start(kind: &Kind<'_>) -> Version {
    match kind {
        Kind::Addon(route) => route.start().clone(),
        Kind::Pools(_) => None,
    }
}

/// The orders between moves in one slot: those without which two versions could live together
/// that do not go together, or that a file asks for.
fn orders(parts: &Parts<'_>, way: &Way) -> Vec<Order> {
    let mut orders = Vec::new();
    let moves_of = |route: &Route<'_>| way.moves.get(&route.name).map_or(&[][..], Vec::as_slice);
    let all: Vec<_> = parts.routes().map(|(_, route)| (route, moves_of(route))).collect();
    for (at, (route, moves)) in all.iter().enumerate() {
        for (nth, pair) in moves.windows(2).enumerate() {
            if pair[0].slot == pair[1].slot {
                orders.push(Order {
                    first: (route.name.clone(), nth),
                    then: (route.name.clone(), nth + 1),
                    because: Because::StepByStep,
                });
            }
        }
        let others = all.iter().enumerate().filter(|(other, _)| *other != at);
        for (other, theirs) in others.map(|(_, other)| other) {
            for (nth, leaves) in moves.iter().enumerate() {
                for (mth, comes) in theirs.iter().enumerate().filter(|(_, m)| m.slot == leaves.slot)
                {
                    let leaving = Leaving { version: &leaves.from, as_found: nth == 0 };
                    let because = placed(route, other)
                        .filter(|_| nth + 1 == moves.len() && mth == 0)
                        .or_else(|| apart(route, leaving, other, &comes.to));
                    if let Some(because) = because {
                        let first = (route.name.clone(), nth);
                        orders.push(Order { first, then: (other.name.clone(), mth), because });
                    }
                }
            }
        }
    }
    orders
}

/// Whether a file places all moves of `first` before those of `then`. Where both go back, what moves
/// first on the way up moves last.
fn placed(first: &Route<'_>, then: &Route<'_>) -> Option<Because> {
    let (first, then) =
        if first.goes_back() && then.goes_back() { (then, first) } else { (first, then) };
    let places = |route: &Route<'_>| {
        route.addon.is_some_and(|addon| addon.placement != Placement::default())
    };
    if !places(first) && !places(then) {
        return None;
    }
    let (early, late) = (Milestone::Addon(first.name.clone()), Milestone::Addon(then.name.clone()));
    if first.addon.is_some_and(|addon| addon.placement.before.contains(&late)) {
        return Some(Because::Placement { addon: first.name.clone(), milestone: late });
    }
    let names = then.addon.is_some_and(|addon| addon.placement.after.contains(&early));
    names.then(|| Because::Placement { addon: then.name.clone(), milestone: early })
}

/// The version that a move leaves.
#[derive(Clone, Copy)]
struct Leaving<'v> {
    version: &'v Version,
    /// Whether nothing has changed it before.
    as_found: bool,
}

/// Returns why a version has to be left before one of another add-on comes; `None` if they go together.
fn apart(
    first: &Route<'_>,
    leaves: Leaving<'_>,
    then: &Route<'_>,
    comes: &Version,
) -> Option<Because> {
    if !first.is_bound_to(then) {
        return None;
    }
    let without = Without::new();
    let Leaving { version: leaves, as_found } = leaves;
    let each = [(first, leaves, as_found, then, comes), (then, comes, false, first, leaves)];
    each.into_iter().find_map(|(own, version, as_found, other, there)| {
        let (version, there) = (version.as_ref(), there.as_ref());
        let rules = own.rules(&without);
        let held = rules.held(version, as_found);
        if rules.goes_with(held, &other.name, there, other.found()) {
            return None;
        }
        let release = crate::support::release(own.addon, version?)?;
        let (addon, named) = (own.name.clone(), other.name.clone());
        let range = release.conflicts.get(&other.name);
        Some(if range.zip(there).is_some_and(|(range, there)| range.contains(there)) {
            Because::AddonConflict { addon, conflicts: named }
        } else {
            Because::AddonDependency { addon, requires: named }
        })
    })
}

/// What is to be told of the versions on the way.
fn notes_on_the_way(parts: &Parts<'_>, way: &Way) -> Vec<Blocker> {
    let without = Without::new();
    let first = &parts.phases[0];
    let mut notes = Vec::new();
    for (_, route) in parts.routes() {
        let moves = way.moves.get(&route.name).map(Vec::as_slice).unwrap_or_default();
        if (way.steps.is_empty() && moves.is_empty()) || !route.addon.is_some_and(tells) {
            continue;
        }
        let mut lived: Lived = BTreeMap::new();
        let mut late = Vec::new();
        let mut phase = 0;
        for slot in 0..=way.steps.len() {
            let latest = moves.iter().rfind(|moved| moved.slot <= slot);
            let there = latest.map_or(route.start(), |moved| &moved.to).as_ref();
            let mut minors = parts.phases[phase].api_servers.clone();
            if let Some(Step::Hop(_)) = way.steps.get(slot) {
                phase += 1;
                let next = &parts.phases[phase];
                minors.extend(&next.api_servers);
                let rules = route.rules(&without);
                if !rules.supports(rules.held(there, latest.is_none()), next, first) {
                    late.extend(there.cloned().zip(next.api_servers.last().copied()));
                }
            }
            if let Some(version) = there {
                lived.entry(version.clone()).or_default().extend(minors);
            }
        }
        notes.extend(knowledge::of_addon(&route.name, route.addon, &lived, &late));
        let to = moves.last().and_then(|moved| moved.to.as_ref());
        if let (Some(addon), Some(from), Some(to)) = (route.addon, route.start(), to) {
            notes.extend(knowledge::crossings(addon, from, to));
        }
    }
    notes
}

/// Returns a warning for each add-on whose version stays and does not support what runs in the end. It did
/// not in the beginning either, and becomes no worse; else there would be no way.
fn still_unsupported(parts: &Parts<'_>, way: &Way) -> Vec<Blocker> {
    let [first, .., last] = &parts.phases[..] else { return Vec::new() };
    let without = Without::new();
    let stay = parts.routes().filter(|(_, route)| !way.moves.contains_key(&route.name));
    let broken = stay.filter_map(|(_, route)| {
        let version = route.start().as_ref()?;
        let release = crate::support::release(route.addon, version)?;
        let rules = route.rules(&without);
        let held = rules.held(Some(version), false);
        let [minor, kubelet] =
            [&last.api_servers, &last.beside].map(|minors| minors.first().copied());
        let evidence = if !rules.supports(held, last, first) {
            format!("{version} supports {}, and not {}", release.kubernetes, minor?)
        } else if !rules.takes(held, last.beside.iter().copied(), &first.beside) {
            let range = release.kubelets.as_ref()?;
            format!("{version} supports kubelets {range}, and not {}", kubelet?)
        } else {
            return None;
        };
        let evidence = format!("{evidence}, which ran before the plan already");
        let hint = format!("declare a version of {} that supports it", route.name);
        let told = Blocker::new(Code::RF018, evidence, hint).of(&route.name);
        Some(told.weighing(Severity::Warning))
    });
    broken.collect()
}

/// Whether there is anything to tell of an add-on's versions.
fn tells(addon: &Addon) -> bool {
    let known =
        addon.versions.values().any(|release| release.known != refit_model::Known::default());
    known || addon.may_be_unsupported_during_hop || !addon.facts.crossings.is_empty()
}

/// What an add-on's state alone has to tell.
pub(crate) fn notes(cluster: &Cluster, state: &ClusterState) -> Vec<Blocker> {
    let mut notes = Vec::new();
    for (name, addon) in &state.addons {
        if let Some(why) = &addon.unreadable {
            notes.push(
                Blocker::new(Code::RF037, why, "mend what serves these kinds, then plan again")
                    .of(name)
                    .weighing(Severity::Unknown),
            );
        }
        if addon.parent.is_none() || !cluster.addons.contains_key(name) {
            continue;
        }
        if let Some(first) = addon.drift.first() {
            let by = first.manager.as_ref().map_or_else(String::new, |m| format!(" by {m}"));
            let more = match addon.drift.len() {
                1 => String::new(),
                n => format!(" and {} more fields", n - 1),
            };
            notes.push(
                Blocker::new(
                    Code::RF021,
                    format!(
                        "{} {} was changed{by}{more}; the plan sets it back",
                        first.object, first.field
                    ),
                    "",
                )
                .of(name)
                .weighing(Severity::Note),
            );
        }
    }
    notes
}
