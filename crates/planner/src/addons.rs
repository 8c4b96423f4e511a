//! When add-ons move: as seldom as possible, and only where a range or an order asks for it.
//!
//! Per add-on, a small dynamic programme over the slots of the timeline finds the fewest
//! moves such that the version that is there supports everything that lives; bridge versions
//! come out of it by themselves. Requirements and orders between add-ons then narrow each
//! other's slots until all hold. Where they cannot, because what goes with the old version of
//! another add-on does not go with its new one, a version in between is tried as a bridge.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use refit_model::{
    Addon, AddonMark, AddonName, AddonVersion, Because, Cluster, ClusterState, Code, Fleet,
    Milestone, Minor, Severity,
};

use crate::checks::Blocker;
use crate::knowledge::{self, Lived};
use crate::storage::{self, Storage};
use crate::support::{Rules, Way, release, show_version};
use crate::timeline::{Moments, Step};

/// What is in the cluster at a time: a version, or nothing.
type Version = Option<AddonVersion>;

/// A move of an add-on, in a part of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    /// Counted in parts of slots, as all places in this module are.
    pub(crate) slot: usize,
    pub(crate) from: Version,
    pub(crate) to: Version,
}

/// An order between two moves in one slot, each by add-on and part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) first: (AddonName, usize),
    pub(crate) then: (AddonName, usize),
    pub(crate) because: Because,
}

/// All moves of a cluster's add-ons.
#[derive(Clone, Debug)]
pub(crate) struct Moves {
    /// How many parts each slot has.
    pub(crate) parts: usize,
    pub(crate) by_addon: BTreeMap<AddonName, Vec<Move>>,
    pub(crate) orders: Vec<Order>,
    /// What is to be told of the versions on the way.
    pub(crate) notes: Vec<Blocker>,
}

impl Moves {
    /// The moves in a slot, with whether each is its add-on's first one of all.
    pub(crate) fn in_slot(&self, slot: usize) -> impl Iterator<Item = (&AddonName, &Move, bool)> {
        self.by_addon.iter().flat_map(move |(name, all)| {
            let here = all.iter().enumerate().filter(move |(_, m)| m.slot / self.parts == slot);
            here.map(move |(position, moved)| (name, moved, position == 0))
        })
    }
}

/// Why there are no moves.
struct Failed {
    blockers: Vec<Blocker>,
    /// The add-on whose requirement is not met, and the one that it requires: with another
    /// version of one of them on the way, it may be.
    pair: Option<(AddonName, AddonName)>,
}

/// The slots in which an add-on may move.
#[derive(Clone, Copy, Debug)]
struct Window {
    first: usize,
    last: usize,
}

/// One add-on on its way.
#[derive(Clone)]
struct Route<'a> {
    addon: Option<&'a Addon>,
    /// What excludes a version.
    rules: Rules,
    /// What excludes a step; none: nothing does.
    storage: Option<Storage<'a>>,
    start: Version,
    goal: Version,
    /// A version that the add-on has to pass through.
    via: Option<AddonVersion>,
    /// Whether something has to be done although the version is right already.
    touch: bool,
    window: Window,
    /// Where moves that nothing forces go: right after the control plane.
    preferred: usize,
    moves: Vec<Move>,
}

/// In how many parts a slot is divided when add-ons have to move in turns: to a bridge, past it
/// by another add-on, and on from it.
const PARTS: usize = 3;

/// How many bridges are tried, for there are as many combinations as versions to the power of
/// add-ons. Two add-ons with thirty versions each are within it.
const BRIDGES_MAX: usize = 60;

/// Works out the moves of all add-ons of a cluster, or why there are none.
pub(crate) fn moves(
    fleet: &Fleet,
    cluster: &Cluster,
    state: &ClusterState,
    steps: &[Step],
    moments: &Moments,
) -> Result<Moves, Vec<Blocker>> {
    let search = Search { fleet, cluster, state, steps };
    let failed = match search.attempt(moments, 1, &BTreeMap::new()) {
        Ok(moves) => return Ok(moves),
        Err(failed) => failed,
    };
    // Two moves in one slot, where what is stored has to be migrated between them.
    let stored = failed.blockers.iter().any(|blocker| blocker.code == Code::RF039);
    if stored && let Ok(moves) = search.attempt(&moments.divided(PARTS), PARTS, &BTreeMap::new()) {
        return Ok(moves);
    }
    let bridged = failed.pair.as_ref().and_then(|_| search.bridged(&moments.divided(PARTS)));
    bridged.ok_or(failed.blockers)
}

/// What moves are searched for.
struct Search<'a> {
    fleet: &'a Fleet,
    cluster: &'a Cluster,
    state: &'a ClusterState,
    steps: &'a [Step],
}

impl<'a> Search<'a> {
    /// The moves when add-ons pass through these versions.
    fn attempt(
        &self,
        moments: &Moments,
        parts: usize,
        via: &BTreeMap<AddonName, AddonVersion>,
    ) -> Result<Moves, Failed> {
        let mut blockers = Vec::new();
        let mut routes: BTreeMap<AddonName, Route<'a>> = BTreeMap::new();
        let installed = self.state.addons.iter().filter(|(_, addon)| addon.parent.is_some());
        let names: BTreeSet<&AddonName> =
            self.cluster.addons.keys().chain(installed.map(|(name, _)| name)).collect();
        for name in names {
            match self.route(parts, name) {
                Err(blocker) => blockers.push(blocker),
                Ok(mut route) => {
                    route.via = via.get(name).cloned();
                    match solve(&route, moments) {
                        Some(moves) => {
                            route.moves = moves;
                            routes.insert(name.clone(), route);
                        }
                        None => blockers.push(route.no_way(name, moments)),
                    }
                }
            }
        }
        if !blockers.is_empty() {
            return Err(Failed { blockers, pair: None });
        }
        reconcile(&mut routes, moments)?;
        let orders = orders(&routes, parts)?;
        let notes = routes.iter().flat_map(|(name, route)| route.notes(name, moments)).collect();
        let by_addon = routes.into_iter().map(|(name, route)| (name, route.moves)).collect();
        Ok(Moves { parts, by_addon, orders, notes })
    }

    /// The moves over as few bridges as possible, one for each add-on at most.
    fn bridged(&self, moments: &Moments) -> Option<Moves> {
        let mut open = VecDeque::new();
        match self.attempt(moments, PARTS, &BTreeMap::new()) {
            Ok(moves) => return Some(moves),
            Err(Failed { pair, blockers: _ }) => open.push_back((BTreeMap::new(), pair?)),
        }
        let mut tried = 0;
        while let Some((via, (requiring, required))) = open.pop_front() {
            for name in [&required, &requiring].into_iter().filter(|name| !via.contains_key(*name))
            {
                for version in self.between(name) {
                    if tried == BRIDGES_MAX {
                        return None;
                    }
                    tried += 1;
                    let mut via = via.clone();
                    via.insert(name.clone(), version);
                    match self.attempt(moments, PARTS, &via) {
                        Ok(moves) => return Some(moves),
                        Err(Failed { pair: Some(pair), .. }) => open.push_back((via, pair)),
                        Err(_) => {}
                    }
                }
            }
        }
        None
    }

    /// The versions of an add-on between what is there and what is declared, the newest first:
    /// of two bridges the newer one is the better place to be.
    fn between(&self, name: &AddonName) -> Vec<AddonVersion> {
        let Ok(Route { addon: Some(addon), start, goal: Some(goal), .. }) = self.route(1, name)
        else {
            return Vec::new();
        };
        let inside = |version: &&AddonVersion| {
            **version < goal && start.as_ref().is_none_or(|start| *version > start)
        };
        addon.versions.keys().rev().filter(inside).cloned().collect()
    }

    fn route(&self, parts: usize, name: &AddonName) -> Result<Route<'a>, Blocker> {
        let Self { fleet, cluster, state, steps } = *self;
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
            AddonMark::At { version, .. } | AddonMark::Drifted { version, .. } => {
                Some(version.clone())
            }
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
                version == goal
                    && release(addon, goal).is_some_and(|r| r.manifests.digest() != digest)
            }
            _ => start == goal,
        };
        let (window, preferred) = window(name, addon, steps, parts)?;
        let rules = Rules::of(addon);
        let moves = Vec::new();
        let storage = Some(Storage { addon, live });
        Ok(Route { addon, rules, storage, start, goal, via: None, touch, window, preferred, moves })
    }
}

/// Where the add-on's file lets it move, relative to control plane and nodes.
fn window(
    name: &AddonName,
    addon: Option<&Addon>,
    steps: &[Step],
    parts: usize,
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
    let last_part = |slot: usize| slot * parts + parts - 1;
    let window = Window { first: window.first * parts, last: last_part(window.last) };
    Ok((window, last_part(preferred)))
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
    // A place is a version, and whether the one that has to be passed through has been.
    let passed_by = |version: &Version| route.via.is_none() || *version == route.via;
    let mut places: Vec<(Version, bool)> = Vec::new();
    for version in versions {
        places.extend([(version.clone(), false), (version, true)]);
    }
    let place = |version: &Version, passed: bool| {
        places.iter().position(|(other, been)| other == version && *been == passed)
    };
    let goal = place(&route.goal, true)?;
    let start = place(&route.start, passed_by(&route.start))?;
    let steps = moments.steps.len();
    // cost[slot][place]: moves still needed from the beginning of the slot, and the choice.
    let mut cost: Vec<Vec<Option<(u32, usize)>>> = vec![vec![None; places.len()]; steps + 2];
    cost[steps + 1][goal] = Some((0, goal));
    for slot in (0..=steps).rev() {
        // What may lag behind during the last hop has to move after it. What was not supported
        // from the beginning, with nothing to be done, is not the plan's doing.
        let passes = |at: usize| {
            let version = &places[at].0;
            match slot {
                0 if steps == 0 => true,
                last if last == steps => route.supports(version, last, moments),
                step => route.survives(version, step, moments),
            }
        };
        for (at, (version, passed)) in places.iter().enumerate() {
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
            consider(0, at);
            if (window.first..=window.last).contains(&slot) {
                // The newest first: of two bridges the newer one is the better place to be.
                for (choice, (to, been)) in places.iter().enumerate().rev() {
                    let upward = to.is_none() || to > version;
                    let here = route.supports(to, slot, moments);
                    let leads_there = *been == (*passed || passed_by(to));
                    if to != version && upward && here && leads_there && route.can_step(version, to)
                    {
                        consider(1, choice);
                    }
                }
            }
            cost[slot][at] = best;
        }
    }
    let mut at = start;
    let mut moves = Vec::new();
    for (slot, row) in cost.iter().enumerate().take(steps + 1) {
        let (_, choice) = row[at]?;
        if choice != at {
            moves.push(Move { slot, from: places[at].0.clone(), to: places[choice].0.clone() });
            at = choice;
        }
    }
    Some(moves)
}

impl Route<'_> {
    /// Whether what is stored lets one version follow another.
    fn can_step(&self, from: &Version, to: &Version) -> bool {
        let (from, to, start) = (from.as_ref(), to.as_ref(), self.start.as_ref());
        self.storage.is_none_or(|storage| storage.step_allowed(from, to, start))
    }

    /// Whether a version supports what lives in a slot.
    fn supports(&self, version: &Version, slot: usize, moments: &Moments) -> bool {
        self.rules.supports(self.addon, version.as_ref(), &moments.slots[slot], moments)
    }

    /// Whether a version can be there while a step is under way.
    fn survives(&self, version: &Version, step: usize, moments: &Moments) -> bool {
        self.rules.survives(self.addon, version.as_ref(), step, moments)
    }

    /// Why there is no way.
    fn no_way(&self, name: &AddonName, moments: &Moments) -> Blocker {
        let with = |rules: Rules| solve(&Self { rules, ..self.clone() }, moments).is_some();
        let anyhow = Self { storage: None, ..self.clone() };
        let stored = self.storage.filter(|_| solve(&anyhow, moments).is_some());
        let (start, goal) = (self.start.as_ref(), self.goal.as_ref());
        if let Some(stored) = stored.and_then(|stored| storage::no_way(name, stored, start, goal)) {
            return stored;
        }
        let without_apis = Rules { apis: false, ..self.rules };
        let with_window = Rules { window: true, ..self.rules };
        let way = Way {
            addon: self.addon,
            rules: self.rules,
            from: self.start.as_ref(),
            to: self.goal.as_ref(),
        };
        if self.rules.apis && with(without_apis) {
            return way.unserved(name, moments);
        }
        way.unsupported(name, moments, !self.rules.window && with(with_window))
    }

    /// What is to be told of the versions on the way.
    fn notes(&self, name: &AddonName, moments: &Moments) -> Vec<Blocker> {
        let mut lived: Lived = BTreeMap::new();
        let mut late: Vec<(AddonVersion, Minor)> = Vec::new();
        for slot in 0..moments.slots.len() {
            let Some(version) = self.after(slot) else { continue };
            let minors = lived.entry(version.clone()).or_default();
            minors.extend(&moments.slots[slot].api_servers);
            let Some(step) = moments.steps.get(slot) else { continue };
            minors.extend(&step.api_servers);
            if !self.rules.supports(self.addon, Some(version), step, moments) {
                late.extend(step.api_servers.last().map(|minor| (version.clone(), *minor)));
            }
        }
        if moments.steps.is_empty() && self.moves.is_empty() {
            return Vec::new();
        }
        knowledge::of_addon(name, self.addon, &lived, &late)
    }

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
    /// As in [`Failed`].
    pair: Option<(AddonName, AddonName)>,
}

impl From<Clash> for Failed {
    fn from(Clash { blocker, pair, .. }: Clash) -> Self {
        Self { blockers: vec![blocker], pair }
    }
}

/// Narrows windows until requirements and orders between add-ons hold.
fn reconcile(routes: &mut BTreeMap<AddonName, Route<'_>>, moments: &Moments) -> Result<(), Failed> {
    // Each round narrows one window by at least one slot, so this many rounds are enough.
    let rounds_max = (routes.len() + 1) * (moments.slots.len() + 1) * 2;
    for _ in 0..rounds_max {
        let Some(clash) = clash(routes, moments) else { return Ok(()) };
        let sooner = narrowed(routes, &clash.sooner, moments, |window| {
            window.last = window.last.min(clash.slot);
        });
        let moved = sooner || {
            narrowed(routes, &clash.later, moments, |window| {
                window.first = window.first.max(clash.slot + 1);
            })
        };
        if !moved {
            return Err(clash.into());
        }
    }
    clash(routes, moments).map_or(Ok(()), |clash| Err(clash.into()))
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
                        show_version(after.as_ref()),
                        show_version(other_after.as_ref())
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
                let pair = Some((name.clone(), other.clone()));
                return Some(Clash { slot, sooner, later, blocker, pair });
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
        pair: None,
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

/// The orders between moves in the same slot.
fn orders(routes: &BTreeMap<AddonName, Route<'_>>, parts: usize) -> Result<Vec<Order>, Failed> {
    let mut orders: Vec<Order> = Vec::new();
    for (name, route) in routes {
        for moved in &route.moves {
            let slot = moved.slot;
            for (other, there) in routes {
                if other == name || !there.moves_in(slot) {
                    continue;
                }
                let mut before = |first: &AddonName, then: &AddonName, because: Because| {
                    let (first, then) = ((first.clone(), slot), (then.clone(), slot));
                    orders.push(Order { first, then, because });
                };
                if comes_before(other, there, name, route) {
                    before(other, name, placed(name, other));
                }
                let because =
                    Because::AddonDependency { addon: name.clone(), requires: other.clone() };
                let new_needs_new = !content(route, &moved.to, other, there.before(slot));
                let old_needs_old = !content(route, &moved.from, other, there.after(slot))
                    && content(route, &moved.from, other, there.before(slot));
                if new_needs_new && old_needs_old {
                    let blocker = Blocker::new(
                        Code::RF019,
                        format!(
                            "{} goes only with the old {other}, and {} only with the new one",
                            show_version(moved.from.as_ref()),
                            show_version(moved.to.as_ref())
                        ),
                        format!("add a version of {name} or of {other} that goes with both"),
                    )
                    .of(name);
                    let pair = Some((name.clone(), other.clone()));
                    return Err(Failed { blockers: vec![blocker], pair });
                }
                if new_needs_new {
                    before(other, name, because);
                } else if old_needs_old {
                    before(name, other, because);
                }
            }
        }
    }
    orders.extend(orders_of_parts(routes, parts));
    Ok(orders)
}

fn placed(addon: &AddonName, other: &AddonName) -> Because {
    Because::Placement { addon: addon.clone(), milestone: Milestone::Addon(other.clone()) }
}

/// The orders between moves in different parts of one slot, where it matters that they are.
fn orders_of_parts(routes: &BTreeMap<AddonName, Route<'_>>, parts: usize) -> Vec<Order> {
    let mut orders = Vec::new();
    let moves = || {
        routes.iter().flat_map(|(name, route)| route.moves.iter().map(move |m| (name, route, m)))
    };
    for (first, first_route, sooner) in moves() {
        for (then, then_route, later) in moves() {
            if sooner.slot >= later.slot || sooner.slot / parts != later.slot / parts {
                continue;
            }
            let requires = |addon: &AddonName, required: &AddonName| Because::AddonDependency {
                addon: addon.clone(),
                requires: required.clone(),
            };
            let because = if first == then {
                Because::StepByStep
            } else if required(then_route).contains(first) {
                requires(then, first)
            } else if required(first_route).contains(then) {
                requires(first, then)
            } else if comes_before(first, first_route, then, then_route) {
                placed(then, first)
            } else {
                continue;
            };
            let (first, then) = ((first.clone(), sooner.slot), (then.clone(), later.slot));
            orders.push(Order { first, then, because });
        }
    }
    orders
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
