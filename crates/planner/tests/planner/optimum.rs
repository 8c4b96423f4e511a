//! No way is cheaper than the planned one, and where none is planned there is none: shown
//! against a search that tries everything, on small clusters by the hundred thousand.
//!
//! The search knows nothing of phases that are laid out beforehand, of parts that have nothing
//! to do with each other, or of what a part would cost alone. It walks through all states of all
//! pools and all add-ons at once, lets any of them change in any moment, and holds each state
//! against the fleet's own words.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use refit_model::{
    ActionKind, AddonMark, AddonName, AddonRelease, AddonState, AddonVersion, ApplySetParent,
    ClusterStatus, Code, CrdState, FieldDrift, Fleet, ForeignCopy, KubeVersion, Milestone, Minor,
    ObjectRef, Plan, PoolName, UpdateStrategy, VersionRange, WorkloadRef, skew,
};
use refit_planner::plan;
use refit_verifier::verify;

use crate::bench::{Bench, ant, edges, fleet, has, knows, milestone, n, ordered, wants};
use crate::properties::Numbers;
use crate::storage::lists;

const INSTANCES: u64 = 100_000;
const ADDONS: [&str; 3] = ["cni", "dns", "proxy"];
const STORED: [&str; 3] = ["v1", "v1beta1", "v1beta2"];
const POOLS: [(&str, u64); 2] = [("general", 3), ("batch", 2)];

/// Nodes that are replaced, moves of add-ons, and how many of these wait for each other.
type Cost = (u64, u64, u64);

/// Whether a range holds a value, or one that was on the same side of it from the beginning and no nearer.
fn no_worse<T: Ord + Clone>(range: &VersionRange<T>, now: &T, at_first: &[T]) -> bool {
    let below = |value: &T| range.low().is_some_and(|low| value <= low) && !range.contains(value);
    range.contains(now)
        || at_first.iter().filter(|first| !range.contains(first)).any(|first| {
            if below(now) { below(first) && first <= now } else { !below(first) && first >= now }
        })
}

/// A cluster as it was found and shall be, in the few things that are searched.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) bench: Bench,
    /// What apiservers run, at the beginning and after each hop.
    servers: Vec<BTreeSet<Minor>>,
    /// What nodes are rolled to at each of these times.
    rolls_to: Vec<KubeVersion>,
    starts: BTreeMap<AddonName, Option<AddonVersion>>,
    /// The add-ons that something has to be done to even if their version is right: somebody
    /// changed them, or else installed them.
    touched: BTreeSet<AddonName>,
}

fn range(numbers: &mut Numbers, low: u16, high: u16) -> String {
    let (a, b) = (numbers.between(low, high), numbers.between(low, high));
    match numbers.below(4) {
        0 => format!(">=1.{}", a.min(b)),
        1 => format!("<=1.{}", a.max(b)),
        _ => format!(">=1.{}, <=1.{}", a.min(b), a.max(b)),
    }
}

fn version_range(numbers: &mut Numbers) -> String {
    let (a, b) = (numbers.between(1, 4), numbers.between(1, 4));
    match numbers.below(3) {
        0 => format!(">={}.0.0", a.min(b)),
        1 => format!("<={}.0.0", a.max(b)),
        _ => format!(">={}.0.0, <={}.0.0", a.min(b), a.max(b)),
    }
}

/// Fleets whose clusters begin at each of the minors; to take one is cheaper than to make one.
pub(crate) fn beginnings() -> Vec<Bench> {
    (30..=33)
        .map(|minor| {
            let mut fleet = fleet(&[("ant", &format!("1.{minor}.5"), &format!("1.{minor}.5"))]);
            fleet.available.retain(|version| version.minor() >= Minor::new(1, 26));
            Bench::of(fleet)
        })
        .collect()
}

impl Instance {
    pub(crate) fn new(beginnings: &[Bench], seed: u64) -> Self {
        let mut numbers = Numbers::new(seed);
        let from = numbers.between(30, 33);
        let hops = numbers.between(0, (36 - from).min(4));
        let mut bench = beginnings[usize::from(from - 30)].clone();
        let target = from + hops;
        ant(&mut bench.fleet).kubernetes.value = n(&format!("1.{target}.5"));
        let mut servers = vec![BTreeSet::from([Minor::new(1, from)])];
        let mut rolls_to: Vec<KubeVersion> = vec![KubeVersion::new(1, from, 5)];
        for minor in from + 1..=target {
            servers.push(BTreeSet::from([Minor::new(1, minor)]));
            rolls_to.push(KubeVersion::new(1, minor, 5));
        }
        if hops > 0 && numbers.below(6) == 0 {
            let next = from + 1;
            bench.control_plane_runs(&[&format!("1.{from}.5"), &format!("1.{next}.5")]);
            servers[0].insert(Minor::new(1, next));
        }
        for (pool, _) in POOLS {
            // Some are too old from the beginning, some newer than the control plane.
            let (oldest, newest) = match numbers.below(12) {
                0 => (from - 4, from),
                1 => (from, target),
                2 => (from - numbers.between(0, 3), target),
                _ => (from - numbers.between(0, 3), from),
            };
            let versions = [oldest, numbers.between(oldest, newest)].map(|m| format!("1.{m}.5"));
            if numbers.below(2) == 0 {
                bench.pool_runs(pool, &[&versions[0], &versions[1]]);
            } else {
                bench.pool_runs(pool, &[&versions[0]]);
            }
            if numbers.below(8) == 0 {
                let pools = &mut ant(&mut bench.fleet).pools;
                pools.iter_mut().find(|own| own.name == n(pool)).unwrap().update =
                    UpdateStrategy::OnDelete;
            }
        }
        let mut starts = BTreeMap::new();
        let count = numbers.below(ADDONS.len() + 1);
        for name in &ADDONS[..count] {
            let start = addon(&mut numbers, &mut bench, name, from, target);
            starts.insert(n(name), start);
        }
        let mut touched = BTreeSet::new();
        for (name, start) in &starts {
            let wanted = ant(&mut bench.fleet).addons.contains_key(name);
            if let Some(version) = start.as_ref().filter(|_| wanted)
                && touch(&mut numbers, bench.state().addons.get_mut(name).unwrap(), version)
            {
                touched.insert(name.clone());
            }
        }
        Self { bench, servers, rolls_to, starts, touched }
    }
}

/// Lets an add-on be changed by hand, or be installed by somebody else; most stay as they are.
fn touch(numbers: &mut Numbers, state: &mut AddonState, version: &AddonVersion) -> bool {
    match numbers.below(8) {
        0 => {
            let object = ObjectRef {
                api_version: "v1".to_owned(),
                kind: "ConfigMap".to_owned(),
                namespace: Some("default".to_owned()),
                name: "changed".to_owned(),
            };
            let field = ".data.key".to_owned();
            state.drift.push(FieldDrift { object, field, manager: None });
            true
        }
        1 => {
            let workload = WorkloadRef::new("Deployment", "default", "installed");
            let version = version.to_string();
            let (managers, live_managers) = (["helm".to_owned()].into(), BTreeSet::new());
            let copy = ForeignCopy { version, workload, managers, live_managers };
            let crds = std::mem::take(&mut state.crds);
            *state = AddonState { foreign: Some(copy), crds, ..AddonState::default() };
            true
        }
        _ => false,
    }
}

/// Lets the fleet know an add-on, and the cluster have and want versions of it.
fn addon(
    numbers: &mut Numbers,
    bench: &mut Bench,
    name: &str,
    from: u16,
    target: u16,
) -> Option<AddonVersion> {
    let count = numbers.between(1, 4);
    let names: Vec<(String, String)> = (1..=count)
        .map(|major| {
            let (low, high) = (from - u16::from(major < 3), target + 1);
            (format!("{major}.0.0"), range(numbers, low, high))
        })
        .collect();
    let versions: Vec<(&str, &str)> = names.iter().map(|(v, r)| (v.as_str(), r.as_str())).collect();
    let addon = knows(&mut bench.fleet, name, &versions);
    addon.may_be_unsupported_during_hop = numbers.below(4) == 0;
    addon.one_minor_at_a_time = numbers.below(6) == 0;
    match numbers.below(12) {
        0 => drop(addon.placement.before.insert(Milestone::ControlPlane)),
        1 => drop(addon.placement.after.insert(Milestone::ControlPlane)),
        2 => drop(addon.placement.before.insert(Milestone::Nodes)),
        3 => drop(addon.placement.after.insert(Milestone::Nodes)),
        4 => drop(addon.placement.after.insert(milestone(ADDONS[0]))),
        _ => {}
    }
    addon.placement.after.remove(&milestone(name));
    for release in addon.versions.values_mut() {
        if numbers.below(6) == 0 {
            release.kubelets = Some(n(&range(numbers, from - 2, target + 1)));
        }
        if numbers.below(6) == 0 {
            release.upgrade_from = Some(n(&version_range(numbers)));
        }
        for other in ADDONS.iter().filter(|other| **other != name) {
            match numbers.below(8) {
                0 => drop(release.requires.insert(n(other), n(&version_range(numbers)))),
                1 => drop(release.conflicts.insert(n(other), n(&version_range(numbers)))),
                _ => {}
            }
        }
    }
    if name == ADDONS[0] && numbers.below(3) == 0 {
        for major in 1..=count {
            // The first that is listed is the storage version.
            let (first, other) = (numbers.below(3), numbers.below(3));
            let others = [STORED[other]].into_iter().filter(|_| other != first);
            let listed: Vec<&str> = std::iter::once(STORED[first]).chain(others).collect();
            lists(&mut bench.fleet, name, &format!("{major}.0.0"), &listed);
        }
    }
    let goal = numbers.between(1, count);
    let start = numbers.between(0, goal);
    if numbers.below(8) > 0 || start == 0 {
        wants(&mut bench.fleet, name, &format!("{goal}.0.0"));
    }
    let version: Option<AddonVersion> = (start > 0).then(|| n(&format!("{start}.0.0")));
    if let Some(version) = &version {
        has(&mut bench.fleet, name, &version.to_string());
        let release = &bench.fleet.addons[&n::<AddonName>(name)].versions[version];
        let digest = *release.manifests.digest();
        let crds = release.crds().iter().map(|(crd, listed)| {
            let storage = listed.storage.clone();
            // Whatever it lists may have been the storage version once.
            let stored = listed.versions.keys().cloned().collect();
            (crd.clone(), CrdState { storage, stored, objects: None })
        });
        let crds = crds.collect();
        let parent = ApplySetParent { digest, version: version.clone() };
        let state = AddonState { parent: Some(parent), crds, ..AddonState::default() };
        bench.state().addons.insert(n(name), state);
    }
    version
}

/// A state of everything at once. What has not changed yet is told apart from what was changed
/// to the same: only pairs that were there from the beginning may be wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    time: usize,
    pools: Vec<Option<usize>>,
    addons: Vec<Is>,
}

/// What an add-on is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Is {
    AsFound,
    Moved(Option<AddonVersion>),
}

/// A state, and the add-ons that lag behind in it.
type Place = (State, BTreeSet<usize>);

struct Search<'a> {
    instance: &'a Instance,
    fleet: &'a Fleet,
    names: Vec<AddonName>,
    runs: Vec<BTreeSet<Minor>>,
    current: Vec<bool>,
}

impl<'a> Search<'a> {
    fn new(instance: &'a Instance) -> Self {
        let cluster = &instance.bench.fleet.clusters[&n("ant")];
        let mut bench = instance.bench.clone();
        let mut runs = Vec::new();
        let mut current = Vec::new();
        for (pool, _) in POOLS {
            let nodes = bench.nodes(pool);
            let versions: BTreeSet<KubeVersion> =
                nodes.iter().map(|node| bench.state().nodes[node].kubelet.clone()).collect();
            current.push(versions.iter().all(|v| v.same_release(&cluster.kubernetes.value)));
            runs.push(versions.iter().map(KubeVersion::minor).collect());
        }
        let names = instance.starts.keys().cloned().collect();
        Self { instance, fleet: &instance.bench.fleet, names, runs, current }
    }

    /// Whether a hop is half done, and what was found does not go with where it leads.
    fn finishes_beside_misfits(&self) -> bool {
        let [oldest, newest] = &self.instance.servers[0].iter().collect::<Vec<_>>()[..] else {
            return false;
        };
        let addons = self.instance.starts.iter().any(|(name, start)| {
            let release = start.as_ref().map(|start| &self.fleet.addons[name].versions[start]);
            release.is_some_and(|release| {
                let excludes =
                    |range: &VersionRange<Minor>| range.contains(oldest) && !range.contains(newest);
                excludes(&release.kubernetes) || release.kubelets.as_ref().is_some_and(excludes)
            })
        });
        let nodes = self.runs.iter().enumerate().any(|(pool, runs)| {
            self.is_on_delete(pool)
                && runs.iter().any(|minor| !skew::kubelet_fits(*minor, **newest))
        });
        addons || nodes
    }

    fn version(&self, state: &State, at: usize) -> Option<AddonVersion> {
        match &state.addons[at] {
            Is::AsFound => self.instance.starts[&self.names[at]].clone(),
            Is::Moved(version) => version.clone(),
        }
    }

    fn goal(&self, at: usize) -> Option<AddonVersion> {
        let target = self.fleet.clusters[&n("ant")].addons.get(&self.names[at]);
        target.map(|target| target.version.value.clone())
    }

    fn kubelets(&self, state: &State, pool: usize) -> BTreeSet<Minor> {
        match state.pools[pool] {
            None => self.runs[pool].clone(),
            Some(time) => BTreeSet::from([self.instance.rolls_to[time].minor()]),
        }
    }

    /// Whether everything goes together, but for add-ons that may lag behind since the hop.
    fn holds(&self, state: &State, lag: &BTreeSet<usize>) -> bool {
        let servers = &self.instance.servers[state.time];
        for (pool, rolled) in state.pools.iter().enumerate() {
            let old = rolled.is_none() && state.time == 0;
            let kubelets = self.kubelets(state, pool);
            // What was wrong from the beginning may be so with an apiserver that is no further away.
            let no_worse = |k: &Minor, s: &Minor| {
                let mut first = self.instance.servers[0].iter();
                rolled.is_none() && first.any(|f| (k > s && f <= s) || (k <= s && s <= f))
            };
            let fits =
                |k: &Minor| servers.iter().all(|s| skew::kubelet_fits(*k, *s) || no_worse(k, s));
            if !old && !kubelets.iter().all(fits) {
                return false;
            }
        }
        (0..self.names.len()).all(|at| self.addon_holds(state, at, servers, lag.contains(&at)))
    }

    fn addon_holds(&self, state: &State, at: usize, servers: &BTreeSet<Minor>, lags: bool) -> bool {
        let Some(version) = self.version(state, at) else { return true };
        let release = &self.fleet.addons[&self.names[at]].versions[&version];
        let old = state.addons[at] == Is::AsFound;
        let first: Vec<Minor> = self.instance.servers[0].iter().copied().collect();
        let allows = |range: &VersionRange<Minor>, minor: &Minor, first: &[Minor]| {
            if old { no_worse(range, minor, first) } else { range.contains(minor) }
        };
        let supported = servers.iter().all(|minor| allows(&release.kubernetes, minor, &first));
        if !(supported || lags) {
            return false;
        }
        if let Some(range) = &release.kubelets {
            if !servers.iter().all(|minor| allows(range, minor, &first)) {
                return false;
            }
            for pool in 0..state.pools.len() {
                let first: Vec<Minor> = self.runs[pool].iter().copied().collect();
                if !self.kubelets(state, pool).iter().all(|minor| allows(range, minor, &first)) {
                    return false;
                }
            }
        }
        // What is there of another one, and what was there of it at first.
        let there = |other: &AddonName| -> (Option<AddonVersion>, Option<AddonVersion>) {
            match self.names.iter().position(|name| name == other) {
                Some(at) => (self.version(state, at), self.instance.starts[other].clone()),
                None => (None, None),
            }
        };
        release.requires.iter().all(|(other, range)| match there(other) {
            (_, None) if old => true,
            (None, _) => false,
            (Some(version), Some(first)) if old => no_worse(range, &version, &[first]),
            (Some(version), _) => range.contains(&version),
        }) && release.conflicts.iter().all(|(other, range)| {
            let (version, first) = there(other);
            let clashes =
                |version: Option<AddonVersion>| version.is_some_and(|v| range.contains(&v));
            !clashes(version) || (old && clashes(first))
        })
    }

    fn is_done(&self, state: &State, at: usize) -> bool {
        self.version(state, at) == self.goal(at) && !self.is_touched(state, at)
    }

    /// Whether something has to be done to it whatever its version is.
    fn is_touched(&self, state: &State, at: usize) -> bool {
        state.addons[at] == Is::AsFound && self.instance.touched.contains(&self.names[at])
    }

    fn pools_are_done(&self, state: &State) -> bool {
        let last = self.instance.servers.len() - 1;
        let pools = state.pools.iter().zip(&self.current).enumerate();
        pools
            .filter(|(pool, _)| !self.is_on_delete(*pool))
            .all(|(_, (rolled, current))| rolled.map_or(*current, |time| time == last))
    }

    /// Whether the nodes of a pool are replaced by somebody else.
    fn is_on_delete(&self, pool: usize) -> bool {
        let cluster = &self.fleet.clusters[&n("ant")];
        cluster.pools[pool].update == UpdateStrategy::OnDelete
    }

    fn may_move(&self, state: &State, at: usize) -> bool {
        let last = self.instance.servers.len() - 1;
        let addon = &self.fleet.addons[&self.names[at]];
        let done = |other: &AddonName| {
            let other = self.names.iter().position(|name| name == other);
            other.is_none_or(|other| self.is_done(state, other))
        };
        addon.placement.before.iter().all(|milestone| match milestone {
            Milestone::ControlPlane => state.time == 0 || last == 0,
            Milestone::Nodes => state.pools.iter().all(Option::is_none),
            Milestone::Addon(_) => unreachable!("no instance has it"),
        }) && addon.placement.after.iter().all(|milestone| match milestone {
            Milestone::ControlPlane => state.time == last,
            Milestone::Nodes => self.pools_are_done(state),
            Milestone::Addon(other) => done(other),
        })
    }

    /// Whether what has to come before a roll of nodes has come.
    fn may_roll(&self, state: &State) -> bool {
        (0..self.names.len()).all(|at| {
            let addon = &self.fleet.addons[&self.names[at]];
            !addon.placement.before.contains(&Milestone::Nodes) || self.is_done(state, at)
        })
    }

    /// Where an add-on may go from here.
    fn moves(&self, state: &State, at: usize) -> Vec<Option<AddonVersion>> {
        let goal = self.goal(at);
        let now = self.version(state, at);
        if self.is_done(state, at) || !self.may_move(state, at) {
            return Vec::new();
        }
        if now == goal {
            return vec![goal];
        }
        let Some(goal) = goal else { return vec![None] };
        let addon = &self.fleet.addons[&self.names[at]];
        let versions = addon.versions.iter().filter(|(version, _)| **version <= goal);
        let upward = versions.filter(|(version, release)| {
            now.as_ref().is_none_or(|now| {
                now < *version
                    && release.upgrade_from.as_ref().is_none_or(|range| range.contains(now))
                    && (!addon.one_minor_at_a_time || version.is_next_minor_of(now))
                    && lists_what_is_stored(release, &addon.versions[now])
            })
        });
        upward.map(|(version, _)| Some(version.clone())).collect()
    }

    /// The add-ons that lag behind after a hop; none where something cannot.
    fn lagging(&self, state: &State, next: &State) -> Option<BTreeSet<usize>> {
        let servers = &self.instance.servers[next.time];
        let mut lag = BTreeSet::new();
        for at in 0..self.names.len() {
            let Some(version) = self.version(state, at) else { continue };
            let addon = &self.fleet.addons[&self.names[at]];
            let range = &addon.versions[&version].kubernetes;
            let first: Vec<Minor> = self.instance.servers[0].iter().copied().collect();
            let old = state.addons[at] == Is::AsFound;
            let fits =
                |minor: &Minor| range.contains(minor) || old && no_worse(range, minor, &first);
            if !servers.iter().all(fits) {
                let left = self.instance.servers[state.time].first().unwrap();
                if !addon.may_be_unsupported_during_hop || !range.contains(left) {
                    return None;
                }
                lag.insert(at);
            }
        }
        Some(lag)
    }

    fn cheapest(&self) -> Option<Cost> {
        let last = self.instance.servers.len() - 1;
        let start = State {
            time: 0,
            pools: vec![None; POOLS.len()],
            addons: vec![Is::AsFound; self.names.len()],
        };
        let mut best: BTreeMap<Place, Cost> = BTreeMap::new();
        let mut open = BinaryHeap::from([Reverse(((0, 0, 0), start, BTreeSet::new()))]);
        while let Some(Reverse((cost, state, lag))) = open.pop() {
            let place = (state.clone(), lag.clone());
            if best.get(&place).is_some_and(|known| *known <= cost) {
                continue;
            }
            best.insert(place, cost);
            let done = (0..self.names.len()).all(|at| self.is_done(&state, at));
            if state.time == last && lag.is_empty() && done && self.pools_are_done(&state) {
                return Some(cost);
            }
            if lag.is_empty() && state.time < last {
                let next = State { time: state.time + 1, ..state.clone() };
                if let Some(lag) = self.lagging(&state, &next).filter(|lag| self.holds(&next, lag))
                {
                    open.push(Reverse((cost, next, lag)));
                }
            }
            if lag.is_empty() && self.may_roll(&state) {
                for (pool, (_, nodes)) in POOLS.iter().enumerate() {
                    let to = self.instance.rolls_to[state.time].minor();
                    let again = state.pools[pool] == Some(state.time) || self.is_on_delete(pool);
                    if again || self.kubelets(&state, pool).iter().any(|minor| *minor > to) {
                        continue;
                    }
                    let mut next = state.clone();
                    next.pools[pool] = Some(state.time);
                    if self.holds(&next, &lag) {
                        open.push(Reverse(((cost.0 + nodes, cost.1, cost.2), next, lag.clone())));
                    }
                }
            }
            for next in self.rounds(&state, &lag) {
                let moved = state.addons.iter().zip(&next.addons).filter(|(a, b)| a != b).count();
                let still = |at: &&usize| state.addons[**at] == next.addons[**at];
                let lag: BTreeSet<usize> = lag.iter().filter(still).copied().collect();
                let cost = (cost.0, cost.1 + moved as u64, cost.2 + 1);
                open.push(Reverse((cost, next, lag)));
            }
        }
        None
    }

    /// Everything that may move at once from here: each mixture of before and after holds.
    fn rounds(&self, state: &State, lag: &BTreeSet<usize>) -> Vec<State> {
        let mut found = vec![state.clone()];
        for at in 0..self.names.len() {
            let moves = self.moves(state, at);
            let more: Vec<State> = found
                .iter()
                .flat_map(|so_far| moves.iter().map(move |to| (so_far, to)))
                .map(|(so_far, to)| {
                    let mut next = so_far.clone();
                    next.addons[at] = Is::Moved(to.clone());
                    next
                })
                .collect();
            found.extend(more);
        }
        found.retain(|next| {
            let moved: Vec<usize> =
                (0..self.names.len()).filter(|at| state.addons[*at] != next.addons[*at]).collect();
            !moved.is_empty()
                && (0..1_u32 << moved.len()).all(|some| {
                    let mut mixed = state.clone();
                    let mut lag = lag.clone();
                    let taken = moved.iter().enumerate().filter(|(bit, _)| some & (1 << bit) != 0);
                    for (_, at) in taken {
                        mixed.addons[*at].clone_from(&next.addons[*at]);
                        lag.remove(at);
                    }
                    self.holds(&mixed, &lag)
                })
        });
        found
    }
}

/// Whether a version can follow another one, as far as their definitions go: it lists what the other
/// stores. What is stored in an older version yet can be migrated.
fn lists_what_is_stored(next: &AddonRelease, now: &AddonRelease) -> bool {
    let mut stored = now.crds().iter().map(|(crd, listed)| (next.crds().get(crd), &listed.storage));
    stored.all(|(next, storage)| next.is_none_or(|next| next.lists(storage)))
}

/// What a plan costs.
fn cost_of(plan: &Plan) -> Cost {
    let (mut nodes, mut moves) = (0, 0);
    let mut waits: BTreeMap<&str, u64> = BTreeMap::new();
    let mut longest = 0;
    for action in ordered(plan) {
        let before = plan.edges.iter().filter(|edge| edge.to == action.id);
        let earlier = before.map(|edge| waits[edge.from.as_str()]).max().unwrap_or_default();
        let mut own = earlier;
        match &action.kind {
            ActionKind::NodePoolRoll { pool, .. } => {
                let known = POOLS.iter().find(|(name, _)| n::<PoolName>(name) == *pool);
                nodes += known.unwrap().1;
            }
            ActionKind::StorageMigration { .. } => {}
            kind if kind.addon().is_some() => {
                moves += 1;
                own += 1;
            }
            _ => {}
        }
        longest = longest.max(own);
        waits.insert(action.id.as_str(), own);
    }
    (nodes, moves, longest)
}

/// Of the instances every fourth, so that all processors have something to do.
fn no_way_is_cheaper_and_none_is_missed(first: u64) {
    let beginnings = beginnings();
    let (mut ways, mut dead_ends, mut bridged) = (0, 0, 0);
    let (mut rolled_twice, mut touched, mut migrated, mut mended) = (0, 0, 0, 0);
    let (mut on_delete, mut finished) = (0, 0);
    for seed in (first..INSTANCES).step_by(4) {
        let instance = Instance::new(&beginnings, seed);
        let Bench { fleet, snapshot, options } = &instance.bench;
        let plan = plan(fleet, snapshot, options);
        assert_eq!(verify(fleet, snapshot, &plan), [], "seed {seed}");
        let search = Search::new(&instance);
        let least = search.cheapest();
        let blocks: Vec<_> = plan.findings.iter().filter(|f| f.severity.blocks()).collect();
        let blocked = plan.clusters[0].status == ClusterStatus::Blocked;
        assert_eq!(blocked, least.is_none(), "seed {seed}: {least:?} {blocks:#?}");
        let Some(least) = least else {
            dead_ends += 1;
            continue;
        };
        let cost = cost_of(&plan);
        assert_eq!(cost, least, "seed {seed}: {:#?} {:#?}", edges(&plan), fleet.addons);
        ways += 1;
        bridged += usize::from(least.1 > instance.starts.len() as u64);
        rolled_twice += usize::from(least.0 > 5);
        touched += instance.touched.len();
        on_delete += usize::from((0..POOLS.len()).any(|pool| search.is_on_delete(pool)));
        finished += usize::from(search.finishes_beside_misfits());
        mended += usize::from(plan.findings.iter().any(|found| found.code == Code::RF017));
        let migrates = |kind: &ActionKind| matches!(kind, ActionKind::StorageMigration { .. });
        migrated += plan.actions.iter().filter(|action| migrates(&action.kind)).count();
    }
    let counts = (ways, dead_ends, bridged, rolled_twice, touched, migrated, mended);
    assert!(on_delete > 500 && finished > 20, "{on_delete} {finished}");
    assert!(ways > 10_000 && dead_ends > 5_000, "{counts:?}");
    assert!(bridged > 20 && rolled_twice > 2_500, "{counts:?}");
    assert!(touched > 700 && migrated > 40 && mended > 1_000, "{counts:?}");
}

#[test]
fn the_first_quarter_has_no_cheaper_way() {
    no_way_is_cheaper_and_none_is_missed(0);
}

#[test]
fn the_second_quarter_has_no_cheaper_way() {
    no_way_is_cheaper_and_none_is_missed(1);
}

#[test]
fn the_third_quarter_has_no_cheaper_way() {
    no_way_is_cheaper_and_none_is_missed(2);
}

#[test]
fn the_last_quarter_has_no_cheaper_way() {
    no_way_is_cheaper_and_none_is_missed(3);
}

#[test]
fn what_is_there_is_what_the_mark_says() {
    let beginnings = beginnings();
    for instance in (0..200).map(|seed| Instance::new(&beginnings, seed)) {
        says_what_is_there(&instance);
    }
}

fn says_what_is_there(instance: &Instance) {
    let mut bench = instance.bench.clone();
    for (name, start) in &instance.starts {
        let touched = instance.touched.contains(name);
        match (AddonMark::of(bench.state(), name), start) {
            (AddonMark::At { version, .. }, Some(start)) => assert!(version == *start && !touched),
            (AddonMark::Drifted { version, .. }, Some(start)) => {
                assert!(version == *start && touched);
            }
            (AddonMark::Foreign { version }, Some(start)) => {
                assert!(version == start.to_string() && touched);
            }
            (mark, start) => assert!(mark == AddonMark::Absent && start.is_none()),
        }
    }
}
