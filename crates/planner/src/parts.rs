//! A cluster's node pools and add-ons as the parts of a search, and back.

use std::collections::BTreeSet;

use refit_model::{
    Addon, AddonMark, AddonName, AddonState, AddonVersion, Cluster, Code, Fleet, KubeVersion,
    Milestone, Minor, PoolName, skew,
};

use crate::checks::Blocker;
use crate::hops;
use crate::search::{Part, Problem, STATES_MAX, States, Weight, from_highest, only};
use crate::situation::{Seen, Situation};
use crate::support::{Held, Rule, Rules, Version, Without};
use crate::timeline::{Phase, PoolNow};

/// One add-on on its way.
#[derive(Clone, Debug)]
pub(crate) struct Route<'a> {
    pub(crate) name: AddonName,
    pub(crate) addon: Option<&'a Addon>,
    /// What was seen of it.
    pub(crate) live: Option<&'a AddonState>,
    /// What it may be on the way, ascending, or descending on the way back; what was found is the
    /// first.
    pub(crate) versions: Vec<Version>,
    /// What it shall be.
    pub(crate) goal: Version,
    /// Whether something has to be done although the version is right already.
    touch: bool,
    /// The add-ons that some version of it requires or conflicts with.
    names: BTreeSet<&'a AddonName>,
}

impl Route<'_> {
    pub(crate) fn start(&self) -> &Version {
        &self.versions[0]
    }

    /// Returns the version that was found; `None` if there was none, or if nobody knows which one.
    pub(crate) fn found(&self) -> Option<&AddonVersion> {
        let live = self.live.filter(|live| live.parent.is_none());
        let foreign = live.and_then(|live| live.foreign.as_ref());
        let is_known = foreign.is_none_or(|copy| copy.version.parse::<AddonVersion>().is_ok());
        self.start().as_ref().filter(|_| is_known)
    }

    /// Whether some version of one requires or conflicts with the other.
    pub(crate) fn is_bound_to(&self, other: &Route<'_>) -> bool {
        self.names.contains(&other.name) || other.names.contains(&self.name)
    }

    /// Whether it goes back to an older version.
    pub(crate) fn goes_back(&self) -> bool {
        self.start().as_ref().zip(self.goal.as_ref()).is_some_and(|(start, goal)| start > goal)
    }

    pub(crate) fn rules<'r>(&'r self, without: &'r Without) -> Rules<'r> {
        let (start, live) = (self.start().as_ref(), self.live);
        Rules { name: &self.name, addon: self.addon, start, live, without }
    }
}

/// Pools that run the same minors, and so can make the same way.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    pub(crate) names: BTreeSet<PoolName>,
    pub(crate) runs: BTreeSet<KubeVersion>,
    nodes: u32,
    forced: bool,
    stays: bool,
}

impl Pools {
    /// Whether no way changes them: somebody else replaces their nodes, or they have none.
    fn is_fixed(&self) -> bool {
        self.stays || (self.nodes == 0 && !self.forced)
    }

    /// Whether their nodes go back to an older version.
    fn go_back(&self, target: &KubeVersion) -> bool {
        self.runs.iter().any(|version| hops::is_newer(version, target))
    }
}

/// What a part stands for.
#[derive(Clone, Debug)]
pub(crate) enum Kind<'a> {
    Pools(Pools),
    Addon(Route<'a>),
}

/// The parts of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) phases: Vec<Phase>,
    pub(crate) kinds: Vec<Kind<'a>>,
    /// All add-ons of the cluster.
    names: BTreeSet<AddonName>,
    loose: BTreeSet<Minor>,
    target: KubeVersion,
}

impl<'a> Parts<'a> {
    /// The parts, or what about an add-on alone stands in the way.
    pub(crate) fn of(
        fleet: &'a Fleet,
        cluster: &Cluster,
        situation: &Situation<'a>,
    ) -> Result<Self, Vec<Blocker>> {
        let Situation { phases, pools, target, loose, addons, named, .. } = situation;
        let mut kinds: Vec<Kind<'a>> = alike(pools, target).into_iter().map(Kind::Pools).collect();
        let mut blockers = Vec::new();
        for seen in addons {
            match route(fleet, cluster, seen, *named) {
                Ok(route) => kinds.push(Kind::Addon(route)),
                Err(blocker) => blockers.push(blocker),
            }
        }
        if !blockers.is_empty() {
            return Err(blockers);
        }
        Ok(Self {
            phases: phases.clone(),
            kinds,
            names: addons.iter().map(|seen| seen.name.clone()).collect(),
            loose: loose.clone(),
            target: (*target).clone(),
        })
    }

    /// Some of the parts by themselves.
    pub(crate) fn only(&self, parts: &[usize]) -> Self {
        let kinds = parts.iter().map(|part| self.kinds[*part].clone()).collect();
        Self { kinds, ..self.clone() }
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = (usize, &Route<'a>)> {
        self.kinds.iter().enumerate().filter_map(|(at, kind)| match kind {
            Kind::Addon(route) => Some((at, route)),
            Kind::Pools(_) => None,
        })
    }

    pub(crate) fn pools(&self) -> impl Iterator<Item = (usize, &Pools)> {
        self.kinds.iter().enumerate().filter_map(|(at, kind)| match kind {
            Kind::Pools(pools) => Some((at, pools)),
            Kind::Addon(_) => None,
        })
    }

    /// The search for a way, without some of the rules.
    pub(crate) fn problem(&self, without: &Without) -> Problem {
        let mut problem = Problem { phases: self.phases.len(), ..Problem::default() };
        for kind in &self.kinds {
            problem.parts.push(match kind {
                Kind::Pools(pools) => self.pool_part(pools),
                Kind::Addon(route) => self.addon_part(route, without),
            });
        }
        for (at, route) in self.routes() {
            for (other, pools) in self.pools() {
                self.kubelets(&mut problem, (other, pools), (at, route), without);
            }
            let bound = self.routes().filter(|(o, there)| *o > at && route.is_bound_to(there));
            for (other, there) in bound {
                let (one, two) = (route.rules(without), there.rules(without));
                let found = [route.found(), there.found()];
                let (here, there) = (one.all(&route.versions), two.all(&there.versions));
                clashes(&mut problem, (at, &here), (other, &there), |a, b| {
                    one.goes_with(*a, two.name, b.version, found[1])
                        && two.goes_with(*b, one.name, a.version, found[0])
                });
            }
            self.orders(&mut problem, at, route, without);
            if route.goes_back() {
                let newer = self.pools().filter(|(_, pools)| pools.go_back(&self.target));
                problem.orders.extend(newer.map(|(other, _)| (other, at)));
            }
        }
        if self.phases.iter().any(Phase::is_back) {
            self.go_first(&mut problem);
        }
        problem
    }

    /// Has add-ons go back before the control plane, as far as what they go back to can be there then,
    /// by itself and with what others can be until then.
    fn go_first(&self, problem: &mut Problem) {
        let mut can: Vec<States> = problem.parts.iter().map(|part| part.lives[0]).collect();
        let ends = |can: &[States], at: usize| can[at] & problem.parts[at].done;
        let back = self.routes().filter(|(_, route)| route.goes_back()).map(|(at, _)| at);
        let mut first: Vec<usize> = back.filter(|at| ends(&can, *at) != 0).collect();
        let waits = |can: &[States], at: usize| {
            let goal = ends(can, at);
            self.routes().any(|(other, _)| {
                let foes = problem.foes(at, other);
                let all =
                    foes.map(|foes| from_highest(goal).all(|s| foes[s] & can[other] == can[other]));
                let comes_before = problem.orders.contains(&(other, at));
                all == Some(true) || (comes_before && ends(can, other) == 0)
            })
        };
        while let Some(place) = first.iter().position(|at| waits(&can, *at)) {
            let at = first.remove(place);
            can[at] &= !problem.parts[at].done;
        }
        for at in first {
            let part = &mut problem.parts[at];
            let phases = self.phases.iter().zip(&mut part.lives);
            phases.filter(|(phase, _)| phase.is_back()).for_each(|(_, lives)| *lives &= part.done);
        }
    }

    /// A pool's states are what was found, and then what it is after a roll in each phase.
    fn pool_part(&self, pools: &Pools) -> Part {
        let count = self.phases.len() + 1;
        if pools.is_fixed() {
            // Whether the skew policy lets them stay is for the checks to say.
            return Part {
                weight: Weight::Nodes(0),
                lives: vec![only(0); self.phases.len()],
                lags: vec![0; self.phases.len()],
                opens: vec![0; self.phases.len()],
                steps: vec![0],
                done: only(0),
            };
        }
        let all =
            |runs: &BTreeSet<KubeVersion>, phase: &Phase, fits: &dyn Fn(Minor, Minor) -> bool| {
                runs.iter().all(|v| phase.api_servers.iter().all(|server| fits(v.minor(), *server)))
            };
        let fits =
            |runs: &BTreeSet<KubeVersion>, phase: &Phase| all(runs, phase, &skew::kubelet_fits);
        let at_first = &self.phases[0].api_servers;
        let may_stay =
            |kubelet, server| skew::kubelet_may_stay(kubelet, server, at_first.iter().copied());
        let back = pools.go_back(&self.target);
        let mut lives = Vec::new();
        for (at, phase) in self.phases.iter().enumerate() {
            // What is wrong from the beginning is not the plan's doing, if it becomes no worse by it.
            let survives = all(&pools.runs, phase, &may_stay) && !(back && phase.is_back());
            let mut states = if at == 0 || survives { only(0) } else { 0 };
            for (rolled, earlier) in self.phases.iter().enumerate() {
                if fits(&BTreeSet::from([earlier.version.clone()]), phase) {
                    states |= only(rolled + 1);
                }
            }
            lives.push(states);
        }
        let reaches = |version: &KubeVersion| version.same_release(&self.target);
        let mut done: States = 0;
        if !pools.forced && pools.runs.iter().all(reaches) {
            done |= only(0);
        }
        let mut steps = vec![0; count];
        for (rolled, phase) in self.phases.iter().enumerate() {
            if reaches(&phase.version) {
                done |= only(rolled + 1);
            }
            if back || pools.runs.iter().all(|v| v.minor() <= phase.version.minor()) {
                steps[0] |= only(rolled + 1);
            }
            for earlier in &mut steps[1..=rolled] {
                *earlier |= only(rolled + 1);
            }
        }
        Part {
            weight: Weight::Nodes(pools.nodes),
            lives,
            lags: vec![0; self.phases.len()],
            opens: (0..self.phases.len()).map(|phase| only(phase + 1)).collect(),
            steps,
            done,
        }
    }

    fn addon_part(&self, route: &Route<'a>, without: &Without) -> Part {
        let rules = route.rules(without);
        let first = &self.phases[0];
        let all = rules.all(&route.versions);
        let (mut lives, mut lags, mut opens) = (Vec::new(), Vec::new(), Vec::new());
        for (at, phase) in self.phases.iter().enumerate() {
            let (mut live, mut lag): (States, States) = (0, 0);
            for (state, held) in all.iter().enumerate() {
                let found = state == 0;
                let loose = self.loose.iter().filter(|_| !found).copied();
                let beside = phase.beside.iter().copied().chain(loose);
                let takes = rules.is_served(*held, phase, first)
                    && rules.takes(*held, beside, &first.beside)
                    && (found || self.needs_nobody_else(route, *held, without));
                let supports = rules.supports(*held, phase, first)
                    && !self.is_missed(route, *held, phase, without);
                if (found && at == 0) || (takes && supports) {
                    live |= only(state);
                } else if at > 0 && takes && !supports && rules.may_lag(*held, &self.phases[at - 1])
                {
                    lag |= only(state);
                }
            }
            lives.push(live);
            lags.push(lag);
            opens.push(if self.may_move_in(route, at, without) { States::MAX } else { 0 });
        }
        let step = |from: usize| -> States {
            let later = all.iter().enumerate().skip(from + 1);
            later
                .filter(|(_, to)| rules.may_step(all[from].version, **to))
                .map(|(to, _)| only(to))
                .sum()
        };
        let steps = (0..all.len()).map(step).collect();
        let states = route.versions.iter().enumerate();
        let is_done = |(state, version): &(usize, &Version)| {
            *version == &route.goal && !(*state == 0 && route.touch)
        };
        let done = states.filter(is_done).map(|(state, _)| only(state)).sum();
        Part { weight: Weight::Move, lives, lags, opens, steps, done }
    }

    /// Whether the add-on is missing in a phase whose apiservers need it, although it is to be
    /// installed and could have been before.
    fn is_missed(
        &self,
        route: &Route<'a>,
        held: Held<'_>,
        phase: &Phase,
        without: &Without,
    ) -> bool {
        let installs = route.start().is_none() && route.goal.is_some();
        let needed = route.addon.and_then(|addon| addon.facts.needed_from.as_ref());
        let Some(needed) = needed.filter(|_| installs && held.version.is_none()) else {
            return false;
        };
        let comes_to = phase.api_servers.iter().any(|minor| *minor >= needed.minor)
            && self.phases[0].api_servers.iter().all(|minor| *minor < needed.minor);
        comes_to && !without.contains(&Rule::Kubernetes(route.name.clone()))
    }

    /// Whether what a version requires is in the cluster or comes to it.
    fn needs_nobody_else(&self, route: &Route<'a>, held: Held<'_>, without: &Without) -> bool {
        held.release.is_none_or(|release| {
            let mut missing = release.requires.keys().filter(|other| !self.names.contains(*other));
            missing.all(|other| route.rules(without).goes_with(held, other, None, None))
        })
    }

    /// Whether the add-on's file lets it move in a phase, as far as the control plane goes. What it
    /// says is about the way up.
    fn may_move_in(&self, route: &Route<'a>, phase: usize, without: &Without) -> bool {
        let Some(addon) = route.addon else { return true };
        let last = self.phases.len() - 1;
        let back = route.goes_back() && self.phases.iter().any(Phase::is_back);
        let hops = last > 0 && !back && !without.contains(&Rule::Placement(route.name.clone()));
        let placement = &addon.placement;
        let late = phase > 0 && placement.before.contains(&Milestone::ControlPlane);
        let early = phase < last && placement.after.contains(&Milestone::ControlPlane);
        !hops || !(late || early)
    }

    /// What binds an add-on to the kubelets of a pool.
    fn kubelets(
        &self,
        problem: &mut Problem,
        (at, pools): (usize, &Pools),
        (other, route): (usize, &Route<'a>),
        without: &Without,
    ) {
        let ranged = |addon: &Addon| addon.versions.values().any(|r| r.kubelets.is_some());
        if !route.addon.is_some_and(ranged) {
            return;
        }
        let rules = route.rules(without);
        let phases = self.phases.iter().filter(|_| !pools.is_fixed());
        let rolled = phases.map(|phase| BTreeSet::from([phase.version.clone()]));
        let runs: Vec<_> = std::iter::once(pools.runs.clone()).chain(rolled).collect();
        let at_first = pools.runs.iter().map(KubeVersion::minor).collect();
        clashes(problem, (at, &runs), (other, &rules.all(&route.versions)), |runs, held| {
            rules.takes(*held, runs.iter().map(KubeVersion::minor), &at_first)
        });
    }

    /// What the add-on's file orders it against. What it says is about the way up: on the way back
    /// nodes come first anyway, and of two add-ons the one that else comes last.
    fn orders(&self, problem: &mut Problem, at: usize, route: &Route<'a>, without: &Without) {
        let Some(addon) = route.addon else { return };
        let placement = &addon.placement;
        let sides = placement.before.iter().map(|m| (m, true));
        for (milestone, before) in sides.chain(placement.after.iter().map(|m| (m, false))) {
            let mut order = |other: usize, turned: bool| {
                problem.orders.insert(if before == turned { (other, at) } else { (at, other) });
            };
            match milestone {
                Milestone::ControlPlane => {}
                Milestone::Nodes => {
                    if !without.contains(&Rule::Placement(route.name.clone())) {
                        let back = |p: &Pools| route.goes_back() && p.go_back(&self.target);
                        let pools = self.pools().filter(|(_, pools)| !back(pools));
                        pools.for_each(|(other, _)| order(other, false));
                    }
                }
                Milestone::Addon(name) => {
                    let (first, then) =
                        if before { (&route.name, name) } else { (name, &route.name) };
                    let rule = Rule::Order(first.clone(), then.clone());
                    let others = self.routes().filter(|(_, other)| other.name == *name);
                    if !without.contains(&rule) {
                        let back = |there: &Route<'_>| route.goes_back() && there.goes_back();
                        others.for_each(|(other, there)| order(other, back(there)));
                    }
                }
            }
        }
    }
}

/// Notes for each state of one part with which states of another it cannot live. What is there
/// together from the beginning is not the plan's doing.
fn clashes<A, B>(
    problem: &mut Problem,
    (one, here): (usize, &[A]),
    (two, there): (usize, &[B]),
    go_together: impl Fn(&A, &B) -> bool,
) {
    let bad = |at: usize, a: &A| -> States {
        let others = there.iter().enumerate();
        others
            .filter(|(with, b)| (at, *with) != (0, 0) && !go_together(a, b))
            .map(|(with, _)| only(with))
            .sum()
    };
    let table: Vec<States> = here.iter().enumerate().map(|(at, a)| bad(at, a)).collect();
    if table.iter().any(|states| *states != 0) {
        problem.clashes.insert((one, two), table);
    }
}

/// Pools that run the same minors make the same way, so they are one part.
fn alike(pools: &[PoolNow], target: &KubeVersion) -> Vec<Pools> {
    // Rules speak of minors; beside them counts whether there is anything to do.
    let minors = |runs: &BTreeSet<KubeVersion>| -> BTreeSet<Minor> {
        runs.iter().map(KubeVersion::minor).collect()
    };
    let is_there = |runs: &BTreeSet<KubeVersion>| runs.iter().all(|v| v.same_release(target));
    let is_newer = |runs: &BTreeSet<KubeVersion>| runs.iter().any(|v| hops::is_newer(v, target));
    let mut found: Vec<Pools> = Vec::new();
    for pool in pools {
        let same = |p: &&mut Pools| {
            minors(&p.runs) == minors(&pool.runs)
                && is_there(&p.runs) == is_there(&pool.runs)
                && is_newer(&p.runs) == is_newer(&pool.runs)
                && (p.forced, p.stays) == (pool.forced, pool.stays)
        };
        if let Some(same) = found.iter_mut().find(same) {
            same.names.insert(pool.name.clone());
            same.nodes = same.nodes.saturating_add(pool.nodes);
            same.runs.extend(pool.runs.iter().cloned());
        } else {
            found.push(Pools {
                names: BTreeSet::from([pool.name.clone()]),
                runs: (*pool.runs).clone(),
                nodes: pool.nodes,
                forced: pool.forced,
                stays: pool.stays,
            });
        }
    }
    found
}

/// What is there. A foreign copy of which nobody knows the version counts as what is declared.
fn start(mark: &AddonMark, declared: Option<&AddonVersion>) -> Version {
    match mark {
        AddonMark::Absent => None,
        AddonMark::At { version, .. } | AddonMark::Drifted { version, .. } => Some(version.clone()),
        AddonMark::Foreign { version } => version.parse().ok().or_else(|| declared.cloned()),
    }
}

/// What an add-on may be on its way, or what about it alone stands in the way.
fn route<'a>(
    fleet: &'a Fleet,
    cluster: &Cluster,
    seen: &Seen<'a>,
    named: bool,
) -> Result<Route<'a>, Blocker> {
    let Seen { name, live, mark, goal, stays, .. } = seen;
    let (name, live) = ((*name).clone(), *live);
    let addon = fleet.addons.get(&name);
    let releases = addon.into_iter().flat_map(|addon| addon.versions.values());
    let names = releases.flat_map(|r| r.requires.keys().chain(r.conflicts.keys())).collect();
    let start = start(mark, *goal);
    if *stays {
        let (versions, goal) = (vec![start.clone()], start);
        return Ok(Route { name, addon, live, versions, goal, touch: false, names });
    }
    if let Some(manager) = seen.manager() {
        return Err(Blocker::new(
            Code::RF020,
            format!("is managed by {manager}, which still writes to it"),
            format!(
                "stop {manager} from managing it, or take the add-on out of the cluster's sets"
            ),
        )
        .of(name));
    }
    let goal: Version = goal.cloned();
    if let (Some(start), Some(goal)) = (&start, &goal)
        && start > goal
        && !named
    {
        let evidence = format!("runs {start}, newer than {goal}");
        return Err(hops::not_named(cluster, evidence).of(name));
    }
    let touch = match (mark, &goal) {
        (_, None) => false,
        (AddonMark::At { version, digest }, Some(goal)) => {
            version == goal
                && crate::support::release(addon, goal)
                    .is_some_and(|release| release.manifests.digest() != digest)
        }
        _ => start == goal,
    };
    let versions = on_the_way(addon, &start, &goal, touch);
    Ok(Route { name, addon, live, versions, goal, touch, names })
}

/// The versions from what was found to what is declared. Of more than fit into a search those next
/// to what is declared are taken.
fn on_the_way(addon: Option<&Addon>, start: &Version, goal: &Version, touch: bool) -> Vec<Version> {
    let mut versions = vec![start.clone()];
    match goal {
        None if start.is_some() => versions.push(None),
        None => {}
        Some(goal) => {
            let known = addon.into_iter().flat_map(|addon| addon.versions.keys());
            let back = start.as_ref().is_some_and(|start| start > goal);
            let between = known.filter(|version| match start {
                Some(start) if back => goal < *version && *version < start,
                Some(start) => start < *version && *version < goal,
                None => *version < goal,
            });
            let mut between: Vec<Version> = between.cloned().map(Some).collect();
            if back {
                between.reverse();
            }
            let excess = between.len().saturating_sub(STATES_MAX - 2);
            versions.extend(between.drain(excess..));
            if touch || start.as_ref() != Some(goal) {
                versions.push(Some(goal.clone()));
            }
        }
    }
    versions
}

/// The versions beyond the declared one, as far as there is room for them in a search.
pub(crate) fn newer(route: &Route<'_>) -> Vec<AddonVersion> {
    let (Some(addon), Some(goal)) = (route.addon, &route.goal) else { return Vec::new() };
    let room = STATES_MAX - route.versions.len();
    addon.versions.keys().filter(|version| *version > goal).take(room).cloned().collect()
}
