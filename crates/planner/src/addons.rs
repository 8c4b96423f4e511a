//! When add-ons move: as seldom as possible, and only where a range or an order asks for it.
//!
//! Per add-on, a small dynamic programme over the slots of the timeline finds the fewest
//! moves such that the version that is there supports everything that lives; bridge versions
//! come out of it by themselves. Requirements and orders between add-ons then narrow each
//! other's slots until all hold, or until it is clear that they cannot.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Addon, AddonMark, AddonName, AddonRelease, AddonVersion, Because, Cluster, ClusterState, Code,
    Fleet, Milestone, Severity,
};

use crate::checks::Blocker;
use crate::timeline::{Live, Moments, Step};

/// What is in the cluster at a time: a version, or nothing.
type Version = Option<AddonVersion>;

/// A move of an add-on, in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) slot: usize,
    pub(crate) from: Version,
    pub(crate) to: Version,
}

/// An order between the moves that two add-ons make in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) slot: usize,
    pub(crate) first: AddonName,
    pub(crate) then: AddonName,
    pub(crate) because: Because,
}

/// All moves of a cluster's add-ons.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moves {
    pub(crate) by_addon: BTreeMap<AddonName, Vec<Move>>,
    pub(crate) orders: Vec<Order>,
    pub(crate) blockers: Vec<Blocker>,
}

/// The slots in which an add-on may move.
#[derive(Clone, Copy, Debug)]
struct Window {
    first: usize,
    last: usize,
}

/// One add-on on its way.
struct Route<'a> {
    addon: Option<&'a Addon>,
    start: Version,
    goal: Version,
    /// Whether something has to be done although the version is right already.
    touch: bool,
    window: Window,
    /// Where moves that nothing forces go: right after the control plane.
    preferred: usize,
    moves: Vec<Move>,
}

/// Works out the moves of all add-ons of a cluster.
pub(crate) fn moves(
    fleet: &Fleet,
    cluster: &Cluster,
    state: &ClusterState,
    steps: &[Step],
    moments: &Moments,
) -> Moves {
    let mut found = Moves::default();
    let mut routes: BTreeMap<AddonName, Route<'_>> = BTreeMap::new();
    let installed = state.addons.iter().filter(|(_, addon)| addon.parent.is_some());
    let names: BTreeSet<&AddonName> =
        cluster.addons.keys().chain(installed.map(|(name, _)| name)).collect();
    for name in names {
        match route(fleet, cluster, state, steps, name) {
            Err(blocker) => found.blockers.push(blocker),
            Ok(mut route) => match solve(&route, moments) {
                Some(moves) => {
                    route.moves = moves;
                    routes.insert(name.clone(), route);
                }
                None => found.blockers.push(no_way(name, &route, moments)),
            },
        }
    }
    if found.blockers.is_empty() {
        found.blockers = reconcile(&mut routes, moments);
    }
    if found.blockers.is_empty() {
        match orders(&routes) {
            Ok(orders) => found.orders = orders,
            Err(blocker) => found.blockers.push(blocker),
        }
    }
    found.by_addon = routes.into_iter().map(|(name, route)| (name, route.moves)).collect();
    found
}

fn route<'a>(
    fleet: &'a Fleet,
    cluster: &Cluster,
    state: &ClusterState,
    steps: &[Step],
    name: &AddonName,
) -> Result<Route<'a>, Blocker> {
    let addon = fleet.addons.get(name);
    let goal: Version = cluster.addons.get(name).map(|target| target.version.value.clone());
    let live = state.addons.get(name);
    let mark = AddonMark::of(state, name);
    if let (AddonMark::Foreign { .. }, Some(copy)) =
        (&mark, live.and_then(|live| live.foreign.as_ref()))
        && let Some(manager) = copy.live_managers.first()
    {
        return Err(Blocker::new(
            Code::RF020,
            format!("is managed by {manager}, which still writes to it"),
            format!(
                "stop {manager} from managing it, or take the add-on out of the cluster's sets"
            ),
        )
        .of(name));
    }
    let start: Version = match &mark {
        AddonMark::Absent => None,
        AddonMark::At { version, .. } | AddonMark::Drifted { version, .. } => Some(version.clone()),
        AddonMark::Foreign { version } => version.parse().ok().or_else(|| goal.clone()),
    };
    if let (Some(start), Some(goal)) = (&start, &goal)
        && start > goal
    {
        return Err(Blocker::new(
            Code::RF015,
            format!("runs {start}, newer than {goal}; refit does not downgrade"),
            "declare a version that is not older than what runs",
        )
        .of(name));
    }
    let touch = match (&mark, &goal) {
        (_, None) => false,
        (AddonMark::At { version, digest }, Some(goal)) => {
            version == goal && release(addon, goal).is_some_and(|r| r.manifests.digest() != digest)
        }
        _ => start == goal,
    };
    let (window, preferred) = window(name, addon, steps)?;
    Ok(Route { addon, start, goal, touch, window, preferred, moves: Vec::new() })
}

fn release<'a>(addon: Option<&'a Addon>, version: &AddonVersion) -> Option<&'a AddonRelease> {
    addon.and_then(|addon| addon.versions.get(version))
}

/// Where the add-on's file lets it move, relative to control plane and nodes.
fn window(
    name: &AddonName,
    addon: Option<&Addon>,
    steps: &[Step],
) -> Result<(Window, usize), Blocker> {
    let is_hop = |step: &Step| matches!(step, Step::Hop(_));
    let is_roll = |step: &Step| matches!(step, Step::Roll { .. });
    let after_hops = steps.iter().rposition(is_hop).map_or(0, |last| last + 1);
    let mut window = Window { first: 0, last: steps.len() };
    let mut preferred = after_hops;
    if let Some(placement) = addon.map(|addon| &addon.placement) {
        for milestone in &placement.before {
            let first = match milestone {
                Milestone::ControlPlane => steps.iter().position(is_hop),
                Milestone::Nodes => steps.iter().position(is_roll),
                Milestone::Addon(_) => None,
            };
            window.last = window.last.min(first.unwrap_or(steps.len()));
        }
        for milestone in &placement.after {
            let last = match milestone {
                Milestone::ControlPlane => steps.iter().rposition(is_hop),
                Milestone::Nodes => steps.iter().rposition(is_roll),
                Milestone::Addon(_) => None,
            };
            window.first = window.first.max(last.map_or(0, |last| last + 1));
        }
    }
    if window.first > window.last {
        return Err(Blocker::new(
            Code::RF026,
            "its `before` and `after` exclude each other in this upgrade",
            "loosen one of them in its addon.toml",
        )
        .of(name));
    }
    preferred = preferred.clamp(window.first, window.last);
    Ok((window, preferred))
}

/// Whether a version supports what lives. Nothing supports everything; a version that the
/// fleet does not know supports only what it runs on already.
fn supports(route: &Route<'_>, version: &Version, live: &Live, moments: &Moments) -> bool {
    let Some(version) = version else { return true };
    match release(route.addon, version) {
        Some(release) => {
            live.api_servers.iter().all(|minor| release.kubernetes.contains(minor))
                && release
                    .kubelets
                    .as_ref()
                    .is_none_or(|range| live.kubelets.iter().all(|minor| range.contains(minor)))
        }
        None => {
            moments.slots.first().is_some_and(|now| live.api_servers.is_subset(&now.api_servers))
        }
    }
}

/// The fewest moves, each as late as it can be but not later than the preferred slot if that
/// is possible at all.
fn solve(route: &Route<'_>, moments: &Moments) -> Option<Vec<Move>> {
    let early = Window { first: route.window.first, last: route.preferred.min(route.window.last) };
    let mut moves = if early.first <= early.last { search(route, early, moments) } else { None };
    if moves.is_none() {
        moves = search(route, route.window, moments);
    }
    let mut moves = moves?;
    if moves.is_empty() && route.touch {
        let slot = route.preferred.clamp(route.window.first, route.window.last);
        moves.push(Move { slot, from: route.start.clone(), to: route.goal.clone() });
    }
    Some(moves)
}

fn search(route: &Route<'_>, window: Window, moments: &Moments) -> Option<Vec<Move>> {
    let mut versions: BTreeSet<Version> = BTreeSet::from([route.start.clone(), route.goal.clone()]);
    if let (Some(addon), Some(goal)) = (route.addon, &route.goal) {
        let between = addon.versions.keys().filter(|version| {
            *version <= goal && route.start.as_ref().is_none_or(|start| *version >= start)
        });
        versions.extend(between.cloned().map(Some));
    }
    let versions: Vec<Version> = versions.into_iter().collect();
    let goal = versions.iter().position(|version| *version == route.goal)?;
    let start = versions.iter().position(|version| *version == route.start)?;
    let steps = moments.steps.len();
    // cost[slot][version]: moves still needed from the beginning of the slot, and the choice.
    let mut cost: Vec<Vec<Option<(u32, usize)>>> = vec![vec![None; versions.len()]; steps + 2];
    cost[steps + 1][goal] = Some((0, goal));
    for slot in (0..=steps).rev() {
        let passes = |version: usize| {
            slot == steps || supports(route, &versions[version], &moments.steps[slot], moments)
        };
        for version in 0..versions.len() {
            let mut best: Option<(u32, usize)> = None;
            let mut consider = |extra: u32, choice: usize| {
                if !passes(choice) {
                    return;
                }
                if let Some((rest, _)) = cost[slot + 1][choice]
                    && best.is_none_or(|(least, _)| rest + extra < least)
                {
                    best = Some((rest + extra, choice));
                }
            };
            consider(0, version);
            if (window.first..=window.last).contains(&slot) {
                // The newest first: of two bridges the newer one is the better place to be.
                for choice in (0..versions.len()).rev() {
                    let upward = versions[choice].is_none() || versions[choice] > versions[version];
                    let here = supports(route, &versions[choice], &moments.slots[slot], moments);
                    if choice != version && upward && here {
                        consider(1, choice);
                    }
                }
            }
            cost[slot][version] = best;
        }
    }
    let mut at = start;
    let mut moves = Vec::new();
    for (slot, row) in cost.iter().enumerate().take(steps + 1) {
        let (_, choice) = row[at]?;
        if choice != at {
            moves.push(Move { slot, from: versions[at].clone(), to: versions[choice].clone() });
            at = choice;
        }
    }
    Some(moves)
}

/// Why there is no way for one add-on: the first moment that no version gets it past.
fn no_way(name: &AddonName, route: &Route<'_>, moments: &Moments) -> Blocker {
    let show = |live: &Live| {
        live.api_servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    };
    let known: Vec<(&AddonVersion, &AddonRelease)> =
        route.addon.map(|addon| addon.versions.iter().collect()).unwrap_or_default();
    let start = show_version(&route.start);
    let goal = show_version(&route.goal);
    let ranges = |versions: &mut dyn Iterator<Item = &(&AddonVersion, &AddonRelease)>| {
        versions
            .map(|(version, release)| match &release.kubelets {
                Some(kubelets) => {
                    format!("{version} supports {}, kubelets {kubelets}", release.kubernetes)
                }
                None => format!("{version} supports {}", release.kubernetes),
            })
            .collect::<Vec<_>>()
            .join("; ")
    };
    let stuck = moments.steps.iter().find(|live| {
        !known.iter().any(|(version, _)| supports(route, &Some((*version).clone()), live, moments))
    });
    let all = ranges(&mut known.iter());
    let evidence = match stuck {
        Some(live) if !known.is_empty() => {
            format!("no version of it supports {} at once: {all}", show(live))
        }
        _ if known.is_empty() => {
            format!("{start} is installed, and the fleet knows no version of it")
        }
        _ => format!("no order of moves leads from {start} to {goal}: {all}"),
    };
    Blocker::new(
        Code::RF018,
        evidence,
        format!("add a version that bridges the gap to addons/{name}"),
    )
    .of(name)
}

fn show_version(version: &Version) -> String {
    version.as_ref().map_or_else(|| "absent".to_owned(), ToString::to_string)
}

impl Route<'_> {
    /// What is there when a slot ends.
    fn after(&self, slot: usize) -> &Version {
        self.moves
            .iter()
            .rev()
            .find(|moved| moved.slot <= slot)
            .map_or(&self.start, |moved| &moved.to)
    }

    /// What is there when a slot begins.
    fn before(&self, slot: usize) -> &Version {
        self.moves.iter().rev().find(|moved| moved.slot < slot).map_or(&self.start, |m| &m.to)
    }

    fn moves_in(&self, slot: usize) -> bool {
        self.moves.iter().any(|moved| moved.slot == slot)
    }
}

/// Whether `version` of the add-on is content with what is there of `other`.
fn content(route: &Route<'_>, version: &Version, other: &AddonName, there: &Version) -> bool {
    let Some(version) = version else { return true };
    release(route.addon, version)
        .and_then(|release| release.requires.get(other))
        .is_none_or(|range| there.as_ref().is_some_and(|there| range.contains(there)))
}

/// Every add-on that some version of `route` requires.
fn required<'a>(route: &Route<'a>) -> BTreeSet<&'a AddonName> {
    route
        .addon
        .into_iter()
        .flat_map(|addon| addon.versions.values())
        .flat_map(|release| release.requires.keys())
        .collect()
}

/// A pair that does not go together in a slot, or that moves in the wrong order of slots.
struct Clash {
    slot: usize,
    /// Has to move no later than the slot ...
    sooner: AddonName,
    /// ... or this one later.
    later: AddonName,
    blocker: Blocker,
}

/// Narrows windows until requirements and orders between add-ons hold.
fn reconcile(routes: &mut BTreeMap<AddonName, Route<'_>>, moments: &Moments) -> Vec<Blocker> {
    // Each round narrows one window by at least one slot, so this many rounds are enough.
    let rounds_max = (routes.len() + 1) * (moments.slots.len() + 1) * 2;
    for _ in 0..rounds_max {
        let Some(clash) = clash(routes, moments) else { return Vec::new() };
        let sooner = narrowed(routes, &clash.sooner, moments, |window| {
            window.last = window.last.min(clash.slot);
        });
        let moved = sooner || {
            narrowed(routes, &clash.later, moments, |window| {
                window.first = window.first.max(clash.slot + 1);
            })
        };
        if !moved {
            return vec![clash.blocker];
        }
    }
    clash(routes, moments).map(|clash| clash.blocker).into_iter().collect()
}

/// Narrows one add-on's window; whether its moves changed and are still possible.
fn narrowed(
    routes: &mut BTreeMap<AddonName, Route<'_>>,
    name: &AddonName,
    moments: &Moments,
    narrow: impl Fn(&mut Window),
) -> bool {
    let Some(route) = routes.get_mut(name) else { return false };
    let was = route.window;
    narrow(&mut route.window);
    if route.window.first > route.window.last
        || (route.window.first == was.first && route.window.last == was.last)
    {
        route.window = was;
        return false;
    }
    match solve(route, moments) {
        Some(moves) if moves != route.moves => {
            route.moves = moves;
            true
        }
        _ => {
            route.window = was;
            false
        }
    }
}

fn clash(routes: &BTreeMap<AddonName, Route<'_>>, moments: &Moments) -> Option<Clash> {
    let nothing: Version = None;
    for slot in 0..moments.slots.len() {
        for (name, route) in routes {
            for other in required(route) {
                let there = routes.get(other);
                let (other_before, other_after) =
                    there.map_or((&nothing, &nothing), |r| (r.before(slot), r.after(slot)));
                let (before, after) = (route.before(slot), route.after(slot));
                // What is not content from the beginning is not the plan's doing.
                let moving = route.moves_in(slot) || there.is_some_and(|r| r.moves_in(slot));
                if !moving || content(route, after, other, other_after) {
                    continue;
                }
                let needs = release(route.addon, after.as_ref()?)
                    .and_then(|release| release.requires.get(other))
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let blocker = Blocker::new(
                    Code::RF019,
                    format!(
                        "{} requires {other} {needs}, and {} is there at that moment",
                        show_version(after),
                        show_version(other_after)
                    ),
                    format!("declare versions of {name} and {other} that go together on the way"),
                )
                .of(name);
                let (sooner, later) = if route.moves_in(slot) && before != after {
                    (other.clone(), name.clone())
                } else {
                    debug_assert!(other_before != other_after || route.moves_in(slot));
                    (name.clone(), other.clone())
                };
                return Some(Clash { slot, sooner, later, blocker });
            }
            if let Some(clash) = misplaced(routes, name, route, slot) {
                return Some(clash);
            }
        }
    }
    None
}

/// An add-on that moves in this slot, although it comes after one that moves in a later slot.
fn misplaced(
    routes: &BTreeMap<AddonName, Route<'_>>,
    name: &AddonName,
    route: &Route<'_>,
    slot: usize,
) -> Option<Clash> {
    if !route.moves_in(slot) {
        return None;
    }
    let moves_later = |route: &Route<'_>| route.moves.iter().any(|moved| moved.slot > slot);
    let first = routes.iter().find(|(other, other_route)| {
        *other != name && comes_before(other, other_route, name, route) && moves_later(other_route)
    })?;
    Some(Clash {
        slot,
        sooner: first.0.clone(),
        later: name.clone(),
        blocker: Blocker::new(
            Code::RF026,
            format!("comes after {}, which cannot move before it does", first.0),
            "loosen `before` or `after` in one of their addon.toml",
        )
        .of(name),
    })
}

/// Whether a file places `first` before `then`.
fn comes_before(
    first: &AddonName,
    first_route: &Route<'_>,
    then: &AddonName,
    then_route: &Route<'_>,
) -> bool {
    let names = |set: &BTreeSet<Milestone>, addon: &AddonName| {
        set.contains(&Milestone::Addon(addon.clone()))
    };
    first_route.addon.is_some_and(|addon| names(&addon.placement.before, then))
        || then_route.addon.is_some_and(|addon| names(&addon.placement.after, first))
}

/// The orders between add-ons that move in the same slot.
fn orders(routes: &BTreeMap<AddonName, Route<'_>>) -> Result<Vec<Order>, Blocker> {
    let mut orders: Vec<Order> = Vec::new();
    for (name, route) in routes {
        for moved in &route.moves {
            let slot = moved.slot;
            for (other, there) in routes {
                if other == name || !there.moves_in(slot) {
                    continue;
                }
                if comes_before(other, there, name, route) {
                    orders.push(Order {
                        slot,
                        first: other.clone(),
                        then: name.clone(),
                        because: Because::Placement {
                            addon: name.clone(),
                            milestone: Milestone::Addon(other.clone()),
                        },
                    });
                }
                let because =
                    Because::AddonDependency { addon: name.clone(), requires: other.clone() };
                let new_needs_new = !content(route, &moved.to, other, there.before(slot));
                let old_needs_old = !content(route, &moved.from, other, there.after(slot))
                    && content(route, &moved.from, other, there.before(slot));
                if new_needs_new && old_needs_old {
                    return Err(Blocker::new(
                        Code::RF019,
                        format!(
                            "{} goes only with the old {other}, and {} only with the new one",
                            show_version(&moved.from),
                            show_version(&moved.to)
                        ),
                        format!("add a version of {name} that goes with both"),
                    )
                    .of(name));
                }
                if new_needs_new {
                    orders.push(Order { slot, first: other.clone(), then: name.clone(), because });
                } else if old_needs_old {
                    orders.push(Order { slot, first: name.clone(), then: other.clone(), because });
                }
            }
        }
    }
    Ok(orders)
}

/// What an add-on's state alone has to tell.
pub(crate) fn notes(cluster: &Cluster, state: &ClusterState) -> Vec<Blocker> {
    let mut notes = Vec::new();
    for (name, addon) in &state.addons {
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
