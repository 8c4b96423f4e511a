//! What holds for every plan: of random fleets as they begin, and after somebody was there.
//!
//! The oracles try everything: every position of a roll, every version in every slot.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    ActionKind, Addon, AddonMark, AddonName, AddonRelease, AddonVersion, ApiUse, Cluster,
    ClusterName, ClusterState, ClusterStatus, Code, Finding, Fleet, KubeProxy, KubeVersion,
    Location, Milestone, Minor, NodeState, Observation, Plan, PoolName, RollCause, Served,
    Snapshot, Source, VersionRange, WorkloadBudget, skew,
};
use refit_planner::{Options, plan};
use refit_simulator::{Edit, World, random_fleet};
use refit_verifier::verify;

use crate::bench::{Bench, n, observe, ordered};

const SEEDS: u64 = 400;

/// A few numbers from a seed: the splitmix64 of every textbook.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Both ends included.
    pub(crate) fn between(&mut self, low: u16, high: u16) -> u16 {
        low + u16::try_from(self.below(usize::from(high - low) + 1)).unwrap()
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % (bound as u64)).unwrap()
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())].clone())
    }
}

/// A random fleet as it begins.
pub(crate) fn begun(seed: u64) -> (Fleet, Snapshot) {
    let (fleet, mut world) = random_fleet(seed);
    let snapshot = observe(&fleet, &mut world);
    (fleet, snapshot)
}

/// A random fleet after operators, other tools and runs that did not end were there.
pub(crate) fn meddled(seed: u64) -> (Fleet, Snapshot) {
    let (fleet, mut world) = random_fleet(seed);
    let mut numbers = Numbers(seed);
    let before = observe(&fleet, &mut world);
    for (name, cluster) in &fleet.clusters {
        let Some(Observation::Fresh(state)) = before.clusters.get(name) else { continue };
        for _ in 0..numbers.below(4) {
            if let Some(edit) = some_edit(&mut numbers, &fleet, cluster, state) {
                // An earlier edit may have taken away what this one is about.
                let _done = world.edit(name, edit);
            }
        }
        if numbers.below(4) == 0 {
            let pattern = &cluster.control_plane.image;
            world.publish_image(name, pattern, &cluster.kubernetes.value).unwrap();
        }
    }
    let later = world.now().as_second() + i64::try_from(numbers.below(900)).unwrap();
    world.advance_to(refit_model::Timestamp::from_second(later).unwrap());
    let mut snapshot = observe(&fleet, &mut world);
    for (name, seen) in &mut snapshot.clusters {
        let Observation::Fresh(state) = seen else { continue };
        if numbers.below(2) == 0 {
            half_done(&mut numbers, &fleet, &fleet.clusters[name], state);
        }
    }
    (fleet, snapshot)
}

/// A random fleet whose add-ons use APIs that come and go, and of which some may lag behind
/// during a hop, with ranges of a single minor.
pub(crate) fn decorated(seed: u64) -> (Fleet, Snapshot) {
    let (mut fleet, snapshot) = begun(seed);
    let mut numbers = Numbers(seed ^ 0xa9_15);
    let minors: Vec<Minor> = fleet.available.iter().map(KubeVersion::minor).collect();
    for addon in fleet.addons.values_mut() {
        addon.may_be_unsupported_during_hop = numbers.below(2) == 0;
        let single = addon.may_be_unsupported_during_hop && numbers.below(2) == 0;
        for (at, release) in addon.versions.values_mut().enumerate() {
            if let Some(minor) = minors.get(at).filter(|_| single) {
                release.kubernetes = VersionRange::between(*minor, *minor);
            }
            if numbers.below(3) > 0 {
                continue;
            }
            let bound = |numbers: &mut Numbers| {
                if numbers.below(2) == 0 { numbers.pick(&minors) } else { None }
            };
            let served = Served {
                introduced: bound(&mut numbers),
                deprecated: None,
                removed: bound(&mut numbers).map(Minor::next),
                planned: numbers.below(4) == 0,
                replacement: None,
                source: Source { from: "a test".to_owned(), read: "2026-11-02".to_owned() },
            };
            let object = release.manifests.objects()[0].object.clone();
            let at = Location { file: "x.yaml".into(), line: 1 };
            release.known.apis.push(ApiUse { object, at, served });
        }
    }
    (fleet, snapshot)
}

fn some_edit(
    numbers: &mut Numbers,
    fleet: &Fleet,
    cluster: &Cluster,
    state: &ClusterState,
) -> Option<Edit> {
    let nodes: Vec<_> = state.nodes.keys().cloned().collect();
    let groups: Vec<_> = cluster.pools.iter().flat_map(|pool| pool.groups.clone()).collect();
    let workloads: Vec<_> = state.workloads.iter().map(|seen| seen.workload.clone()).collect();
    let addons: Vec<_> = fleet.addons.keys().cloned().collect();
    Some(match numbers.below(12) {
        0 => Edit::Cordon(numbers.pick(&nodes)?),
        1 => Edit::DeleteNode(numbers.pick(&nodes)?),
        2 => Edit::AddNode { node: n("stray"), kubelet: numbers.pick(&fleet.available)? },
        3 => {
            let instances = state.groups.get(&numbers.pick(&groups)?)?.instances.clone();
            Edit::KillInstance(numbers.pick(&instances)?.id)
        }
        4 => Edit::SetDesired { group: numbers.pick(&groups)?, desired: 4 },
        5 => Edit::SetBounds { group: numbers.pick(&groups)?, min: 0, max: 3 },
        6 => {
            Edit::SetImage { group: numbers.pick(&groups)?, image: numbers.pick(&state.images)?.id }
        }
        7 => {
            let addon = state.addons.get(&numbers.pick(&addons)?)?;
            let members: Vec<_> = addon.members.iter().cloned().collect();
            Edit::DeleteObject(numbers.pick(&members)?)
        }
        8 => Edit::LiveManager {
            addon: numbers.pick(&addons)?,
            manager: "argocd-controller".to_owned(),
            writes: true,
        },
        9 => Edit::SetBudget {
            workload: numbers.pick(&workloads)?,
            budget: Some(WorkloadBudget::MaxUnavailable(n("1"))),
        },
        10 => Edit::AddPod {
            namespace: "apps".to_owned(),
            name: "alone".to_owned(),
            node: numbers.pick(&nodes)?,
        },
        _ => Edit::Scale { workload: numbers.pick(&workloads)?, replicas: 2 },
    })
}

/// What a run leaves that was killed: some instances of the next minor, or some nodes.
fn half_done(numbers: &mut Numbers, fleet: &Fleet, cluster: &Cluster, state: &mut ClusterState) {
    let Some(now) = state.control_plane.iter().filter_map(|m| m.api_server.clone()).min() else {
        return;
    };
    let next = if now.minor() < cluster.kubernetes.value.minor() {
        fleet.newest_patch(now.minor().next()).cloned()
    } else {
        None
    };
    let run = |node: &mut NodeState, version: &KubeVersion| {
        node.kubelet = version.clone();
        if let KubeProxy::StaticPod(proxy) = &mut node.kube_proxy {
            *proxy = version.clone();
        }
    };
    if let Some(next) = next.filter(|_| numbers.below(2) == 0) {
        for member in &mut state.control_plane {
            if numbers.below(2) == 0 {
                member.api_server = Some(next.clone());
                let nodes = state.nodes.values_mut();
                let own = nodes.filter(|node| node.instance.as_ref() == Some(&member.instance));
                own.for_each(|node| run(node, &next));
            }
        }
        return;
    }
    // Older kubelets, down to what the policy allows, so that rolls are forced.
    let lag = u16::try_from(numbers.below(4)).unwrap();
    let old = KubeVersion::new(1, now.minor().minor - lag, 1);
    for node in state.nodes.values_mut().filter(|node| !node.control_plane) {
        if numbers.below(3) > 0 && node.instance.is_some() {
            run(node, &old);
        }
    }
}

pub(crate) fn each(check: impl Fn(&str, &Fleet, &Snapshot, &Plan)) {
    for seed in 0..SEEDS {
        for (what, (fleet, snapshot)) in
            [("begun", begun(seed)), ("meddled", meddled(seed)), ("decorated", decorated(seed))]
        {
            let plan = plan(&fleet, &snapshot, &Options::default());
            check(&format!("seed {seed}, {what}"), &fleet, &snapshot, &plan);
        }
    }
}

fn state_of<'s>(snapshot: &'s Snapshot, name: &ClusterName) -> &'s ClusterState {
    match snapshot.clusters.get(name) {
        Some(Observation::Fresh(state)) => state,
        _ => panic!("{name} was not seen"),
    }
}

#[test]
fn every_plan_is_sorted_acyclic_and_passes_the_verifier() {
    each(|seed, fleet, snapshot, plan| {
        assert_eq!(verify(fleet, snapshot, plan), [], "{seed}");
        assert!(plan.actions.is_sorted_by(|a, b| a.id < b.id), "{seed}");
        assert!(
            plan.edges.is_sorted_by_key(|edge| (&edge.from, &edge.to, &edge.because)),
            "{seed}"
        );
        assert!(plan.findings.is_sorted() && plan.clusters.is_sorted_by_key(|c| &c.name), "{seed}");
        for edge in &plan.edges {
            assert!(plan.action(&edge.from).is_some() && plan.action(&edge.to).is_some(), "{seed}");
        }
        assert_eq!(ordered(plan).len(), plan.actions.len(), "{seed}");
        for cluster in &plan.clusters {
            let own = |a: &refit_model::Action| a.cluster.as_ref() == Some(&cluster.name);
            let has_actions = plan.actions.iter().any(|action| own(action));
            assert_eq!(has_actions, cluster.status == ClusterStatus::Planned, "{seed}");
            let blocks = plan
                .findings
                .iter()
                .any(|found| found.subject.cluster == cluster.name && found.severity.blocks());
            assert_eq!(blocks, cluster.status == ClusterStatus::Blocked, "{seed}");
        }
    });
}

#[test]
fn random_fleets_are_worth_the_while() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut kinds: BTreeSet<&str> = BTreeSet::new();
    let mut codes: BTreeSet<Code> = BTreeSet::new();
    for seed in 0..SEEDS {
        for (fleet, snapshot) in [begun(seed), meddled(seed), decorated(seed)] {
            let plan = plan(&fleet, &snapshot, &Options::default());
            for cluster in &plan.clusters {
                *seen.entry(format!("{:?}", cluster.status)).or_default() += 1;
            }
            codes.extend(plan.findings.iter().map(|finding| finding.code));
            kinds.extend(plan.actions.iter().map(|action| match &action.kind {
                ActionKind::PinGroups { .. } => "pin",
                ActionKind::ControlPlaneHop { .. } => "hop",
                ActionKind::NodePoolRoll { .. } => "roll",
                ActionKind::TidyUp { .. } => "tidy up",
                ActionKind::AddonApply { .. } => "apply",
                ActionKind::AddonAdopt { .. } => "adopt",
                ActionKind::StorageMigration { .. } => "migrate",
                ActionKind::AddonRemove { .. } => "remove",
                ActionKind::FinishWave { .. } => "wave",
            }));
        }
    }
    assert!(seen["Planned"] > 300 && seen["Blocked"] > 100, "{seen:?}");
    let common = ["pin", "hop", "roll", "apply", "adopt", "migrate", "wave"];
    assert!(kinds.is_superset(&BTreeSet::from(common)), "{kinds:?}");
    assert!(codes.len() >= 10, "{codes:?}");
    assert!(
        codes.is_superset(&BTreeSet::from([Code::RF031, Code::RF035, Code::RF039])),
        "{codes:?}"
    );
}

/// What runs in a pool.
fn runs(cluster: &Cluster, state: &ClusterState, pool: &PoolName) -> BTreeSet<KubeVersion> {
    let mut runs = BTreeSet::new();
    for group in &cluster.pool(pool).unwrap().groups {
        for instance in &state.groups[group].instances {
            for node in state.nodes.values().filter(|n| n.instance.as_ref() == Some(&instance.id)) {
                runs.insert(node.kubelet.clone());
                if let KubeProxy::StaticPod(version) = &node.kube_proxy {
                    runs.insert(version.clone());
                }
            }
        }
    }
    runs
}

fn api_servers(state: &ClusterState) -> BTreeSet<KubeVersion> {
    let mut live: BTreeSet<KubeVersion> =
        state.control_plane.iter().filter_map(|member| member.api_server.clone()).collect();
    live.extend(state.nodes.values().filter(|n| n.control_plane).map(|n| n.kubelet.clone()));
    live
}

/// The fewest rolls that get a pool along, over all sets of moments between hops.
fn fewest_rolls(
    live: &BTreeSet<KubeVersion>,
    hops: &[KubeVersion],
    pool: &BTreeSet<KubeVersion>,
    target: &KubeVersion,
) -> Option<u32> {
    let fits = |kubelet: &KubeVersion, server: &KubeVersion| {
        skew::kubelet_fits(kubelet.minor(), server.minor())
    };
    // What was wrong from the beginning may be so with an apiserver that is no further away.
    let no_worse = |kubelet: &KubeVersion, server: &KubeVersion| {
        let (kubelet, server) = (kubelet.minor(), server.minor());
        let mut first = live.iter().map(KubeVersion::minor);
        first.any(|first| if kubelet > server { first <= server } else { server <= first })
    };
    let mut servers = vec![live.clone()];
    servers.extend(hops.iter().map(|hop| BTreeSet::from([hop.clone()])));
    let possible = |rolls: u32| -> bool {
        let (mut kubelets, mut as_found) = (pool.clone(), true);
        for slot in 0..servers.len() {
            if rolls & (1 << slot) != 0 {
                kubelets = BTreeSet::from([servers[slot].first().unwrap().clone()]);
                as_found = false;
            }
            let mut during = servers[slot].clone();
            during.extend(servers.get(slot + 1).into_iter().flatten().cloned());
            let mut pairs = kubelets.iter().flat_map(|k| during.iter().map(move |s| (k, s)));
            if !pairs.all(|(k, s)| fits(k, s) || (as_found && no_worse(k, s))) {
                return false;
            }
        }
        kubelets.iter().all(|version| version.same_release(target))
    };
    (0..1_u32 << servers.len()).filter(|rolls| possible(*rolls)).map(u32::count_ones).min()
}

fn check_rolls(what: &str, fleet: &Fleet, snapshot: &Snapshot, plan: &Plan) -> usize {
    let mut forced = 0;
    for listed in plan.clusters.iter().filter(|c| c.status == ClusterStatus::Planned) {
        let (cluster, state) = (&fleet.clusters[&listed.name], state_of(snapshot, &listed.name));
        let of_cluster: Vec<&ActionKind> = ordered(plan)
            .into_iter()
            .filter(|action| action.cluster.as_ref() == Some(&listed.name))
            .map(|action| &action.kind)
            .collect();
        let hops: Vec<KubeVersion> = of_cluster
            .iter()
            .filter_map(|kind| match kind {
                ActionKind::ControlPlaneHop { to, .. } => Some(to.clone()),
                _ => None,
            })
            .collect();
        for pool in &cluster.pools {
            let rolls = of_cluster.iter().filter(|kind| {
                matches!(kind, ActionKind::NodePoolRoll { pool: other, cause: RollCause::Version, .. }
                    if *other == pool.name)
            });
            let rolls = u32::try_from(rolls.count()).unwrap();
            let runs = runs(cluster, state, &pool.name);
            let target = &cluster.kubernetes.value;
            assert_eq!(
                Some(rolls),
                fewest_rolls(&api_servers(state), &hops, &runs, target),
                "{what}: {} {} {runs:?}",
                cluster.name,
                pool.name
            );
            forced += usize::from(rolls > 1);
        }
    }
    forced
}

#[test]
fn no_pool_is_rolled_more_often_than_it_must_be() {
    each(|seed, fleet, snapshot, plan| {
        check_rolls(seed, fleet, snapshot, plan);
    });
    let mut forced = 0;
    for from in 24..=33_u16 {
        for goal in from..=34 {
            for lag in 0..=3 {
                let mut bench = Bench::ant(&format!("1.{from}.2"), &format!("1.{goal}.5"));
                if from >= 24 + lag {
                    bench.pool_runs("batch", &[&format!("1.{}.2", from - lag)]);
                }
                let plan = plan(&bench.fleet, &bench.snapshot, &Options::default());
                let what = format!("from {from} to {goal}, {lag} behind");
                forced += check_rolls(&what, &bench.fleet, &bench.snapshot, &plan);
            }
        }
    }
    assert!(forced > 100, "{forced} pools were rolled more than once");
}

/// What lives in a slot: apiservers, and kubelets.
type Live = (BTreeSet<Minor>, BTreeSet<Minor>);

/// The large steps of a cluster's plan, and what lives before, between and after them.
fn slots<'p>(
    cluster: &Cluster,
    state: &ClusterState,
    plan: &'p Plan,
) -> (Vec<&'p ActionKind>, Vec<Live>) {
    let minors = |versions: &BTreeSet<KubeVersion>| -> BTreeSet<Minor> {
        versions.iter().map(KubeVersion::minor).collect()
    };
    let steps: Vec<&ActionKind> = ordered(plan)
        .into_iter()
        .filter(|action| action.cluster.as_ref() == Some(&cluster.name))
        .map(|action| &action.kind)
        .filter(|kind| {
            matches!(kind, ActionKind::ControlPlaneHop { .. } | ActionKind::NodePoolRoll { .. })
        })
        .collect();
    let mut servers: BTreeSet<Minor> = state
        .control_plane
        .iter()
        .filter_map(|m| m.api_server.as_ref())
        .map(KubeVersion::minor)
        .collect();
    let of_nodes = |which: &dyn Fn(&NodeState) -> bool| -> BTreeSet<Minor> {
        state.nodes.values().filter(|node| which(node)).map(|node| node.kubelet.minor()).collect()
    };
    let mut beside = of_nodes(&|node| node.control_plane);
    let loose = of_nodes(&|node| !node.control_plane && node.instance.is_none());
    let mut pools: BTreeMap<PoolName, BTreeSet<Minor>> = cluster
        .pools
        .iter()
        .map(|pool| (pool.name.clone(), minors(&runs(cluster, state, &pool.name))))
        .collect();
    let mut slots = Vec::new();
    for at in 0..=steps.len() {
        let kubelets = pools.values().chain([&beside, &loose]).flatten().copied().collect();
        slots.push((servers.clone(), kubelets));
        match steps.get(at) {
            Some(ActionKind::ControlPlaneHop { to, .. }) => {
                servers = BTreeSet::from([to.minor()]);
                beside.clone_from(&servers);
            }
            Some(ActionKind::NodePoolRoll { pool, to, .. }) => {
                pools.insert(pool.clone(), BTreeSet::from([to.minor()]));
            }
            _ => {}
        }
    }
    (steps, slots)
}

fn supports(addon: &Addon, version: Option<&AddonVersion>, live: &Live, now: &Live) -> bool {
    let Some(version) = version else { return true };
    let Some(release) = addon.versions.get(version) else { return live.0.is_subset(&now.0) };
    live.0.iter().all(|minor| release.kubernetes.contains(minor)) && takes_the_rest(release, live)
}

/// Kubelets and APIs.
fn takes_the_rest(release: &AddonRelease, live: &Live) -> bool {
    let kubelets = release.kubelets.as_ref();
    let served = |minor: &Minor| {
        release.known.apis.iter().all(|ApiUse { served, .. }| {
            let gone = !served.planned && served.removed.is_some_and(|gone| gone <= *minor);
            served.introduced.is_none_or(|first| first <= *minor) && !gone
        })
    };
    kubelets.is_none_or(|range| live.1.iter().all(|minor| range.contains(minor)))
        && live.0.iter().all(served)
}

/// By definition: the version that objects are stored in.
type Storage = BTreeMap<String, String>;

/// What objects are stored in once a version was applied; none: it does not list what they are
/// stored in, and no migration helps.
fn stores(addon: &Addon, version: Option<&AddonVersion>, before: &Storage) -> Option<Storage> {
    let release = version.and_then(|version| addon.versions.get(version));
    let crds = release.map(|release| release.crds().clone()).unwrap_or_default();
    let mut after = before.clone();
    if addon.prune.contains("CustomResourceDefinition") {
        after.retain(|name, _| crds.contains_key(name));
    }
    for (name, crd) in crds {
        if before.get(&name).is_some_and(|stored| !crd.lists(stored)) {
            return None;
        }
        after.insert(name, crd.storage);
    }
    Some(after)
}

/// What a search for moves is told.
struct Oracle<'v> {
    addon: &'v Addon,
    goal: Option<&'v AddonVersion>,
    count: usize,
    choices: &'v [Option<&'v AddonVersion>],
    may_take: &'v dyn Fn(usize, Option<&AddonVersion>) -> bool,
    survives: &'v dyn Fn(usize, Option<&AddonVersion>) -> bool,
    /// Whether it may move more than once in a slot.
    often: bool,
}

impl<'v> Oracle<'v> {
    /// The fewest moves from here on, by trying every version in every slot.
    fn search(
        &self,
        slot: usize,
        version: Option<&'v AddonVersion>,
        storage: &Storage,
        may_move: bool,
    ) -> Option<u32> {
        let Self { addon, goal, choices, .. } = *self;
        if slot == self.count {
            return (version == goal).then_some(0);
        }
        let stays = (self.survives)(slot, version)
            .then(|| self.search(slot + 1, version, storage, true))
            .flatten();
        let moved = choices
            .iter()
            .filter(|_| may_move)
            .filter(|choice| choice.is_none() || **choice > version)
            .filter(|choice| **choice != version && (choice.is_some() || goal.is_none()))
            .filter(|choice| choice.is_none_or(|c| goal.is_none_or(|goal| c <= goal)))
            .filter(|choice| (self.may_take)(slot, **choice))
            .filter_map(|choice| {
                let storage = stores(addon, *choice, storage)?;
                Some(self.search(slot, *choice, &storage, self.often)? + 1)
            });
        moved.chain(stays).min()
    }
}

/// The fewest moves of one add-on, over all sequences of versions.
fn fewest_moves(
    addon: &Addon,
    start: Option<&AddonVersion>,
    goal: Option<&AddonVersion>,
    storage: &Storage,
    steps: &[&ActionKind],
    slots: &[Live],
) -> Option<u32> {
    let position = |milestone: &Milestone, last: bool| {
        let fits = |kind: &&ActionKind| match milestone {
            Milestone::ControlPlane => matches!(kind, ActionKind::ControlPlaneHop { .. }),
            Milestone::Nodes => matches!(kind, ActionKind::NodePoolRoll { .. }),
            Milestone::Addon(_) => false,
        };
        if last { steps.iter().rposition(fits) } else { steps.iter().position(fits) }
    };
    let allowed = |slot: usize| {
        addon.placement.before.iter().all(|m| position(m, false).is_none_or(|step| slot <= step))
            && addon
                .placement
                .after
                .iter()
                .all(|m| position(m, true).is_none_or(|step| slot > step))
    };
    let mut choices: Vec<Option<&AddonVersion>> = addon.versions.keys().map(Some).collect();
    choices.push(None);
    let may_take = |slot: usize, version: Option<&AddonVersion>| {
        allowed(slot) && supports(addon, version, &slots[slot], &slots[0])
    };
    let survives = |slot: usize, version: Option<&AddonVersion>| {
        let Some(after) = slots.get(slot + 1) else {
            return slot == 0 || supports(addon, version, &slots[slot], &slots[0]);
        };
        let during = (&slots[slot].0 | &after.0, &slots[slot].1 | &after.1);
        let late = || {
            let hop = matches!(steps[slot], ActionKind::ControlPlaneHop { .. });
            let release = addon.versions.get(version?)?;
            let left = slots[slot].0.first()?;
            Some(hop && release.kubernetes.contains(left) && takes_the_rest(release, &during))
        };
        supports(addon, version, &during, &slots[0])
            || (addon.may_be_unsupported_during_hop && late() == Some(true))
    };
    let oracle = |often: bool| Oracle {
        addon,
        goal,
        count: slots.len(),
        choices: &choices,
        may_take: &may_take,
        survives: &survives,
        often,
    };
    // More than once in a slot only where there is no other way.
    let found = |often| oracle(often).search(0, start, storage, true);
    found(false).or_else(|| found(true))
}

/// What was seen of an add-on's definitions.
fn storage_of(state: &ClusterState, name: &AddonName) -> Storage {
    let crds = state.addons.get(name).into_iter().flat_map(|addon| &addon.crds);
    crds.map(|(name, crd)| (name.clone(), crd.storage.clone())).collect()
}

/// Whether an add-on has nothing to do with any other.
fn is_single(fleet: &Fleet, name: &AddonName) -> bool {
    let alone = |addon: &Addon| addon.versions.values().all(|release| release.requires.is_empty());
    let named = |addon: &Addon| addon.versions.values().any(|r| r.requires.contains_key(name));
    alone(&fleet.addons[name]) && !fleet.addons.values().any(named)
}

fn start_and_goal(
    cluster: &Cluster,
    state: &ClusterState,
    name: &AddonName,
) -> (Option<AddonVersion>, Option<AddonVersion>, AddonMark) {
    let goal = cluster.addons.get(name).map(|target| target.version.value.clone());
    let mark = AddonMark::of(state, name);
    let start = match &mark {
        AddonMark::Absent => None,
        AddonMark::At { version, .. } | AddonMark::Drifted { version, .. } => Some(version.clone()),
        AddonMark::Foreign { version } => version.parse().ok().or_else(|| goal.clone()),
    };
    (start, goal, mark)
}

#[test]
fn no_addon_moves_more_often_than_it_must() {
    let checked = std::cell::Cell::new(0);
    each(|seed, fleet, snapshot, plan| {
        for listed in plan.clusters.iter().filter(|c| c.status == ClusterStatus::Planned) {
            let (cluster, state) =
                (&fleet.clusters[&listed.name], state_of(snapshot, &listed.name));
            let (steps, slots) = slots(cluster, state, plan);
            for (name, addon) in fleet.addons.iter().filter(|(name, _)| is_single(fleet, name)) {
                let (start, goal, mark) = start_and_goal(cluster, state, name);
                let moves = plan.actions.iter().filter(|action| {
                    action.cluster.as_ref() == Some(&listed.name)
                        && action.kind.addon() == Some(name)
                        && !matches!(action.kind, ActionKind::StorageMigration { .. })
                });
                let moves = u32::try_from(moves.count()).unwrap();
                let (start_at, goal_at) = (start.as_ref(), goal.as_ref());
                let storage = storage_of(state, name);
                let least = fewest_moves(addon, start_at, goal_at, &storage, &steps, &slots);
                // What is right already may still have to be repaired or adopted.
                let repaired = least == Some(0) && moves == 1 && start == goal;
                let touched = repaired && !matches!(mark, AddonMark::At { .. } | AddonMark::Absent);
                // What is wrong from the beginning may be left for as long as it lasts.
                let stays = !supports(addon, start.as_ref(), &slots[0], &slots[0]);
                let fewer = stays && least.is_none_or(|least| moves <= least);
                assert!(
                    Some(moves) == least || touched || fewer,
                    "{seed}: {name} {moves} {least:?}"
                );
                checked.set(checked.get() + usize::from(moves > 1));
            }
        }
    });
    assert!(checked.get() > 10, "{} add-ons had to move more than once", checked.get());
}

#[test]
fn what_has_no_way_really_has_none() {
    let checked = std::cell::Cell::new(0);
    each(|seed, fleet, snapshot, whole| {
        let no_way = |found: &&Finding| {
            let codes = [Code::RF018, Code::RF031, Code::RF039];
            found.severity.blocks() && codes.contains(&found.code)
        };
        for found in whole.findings.iter().filter(no_way) {
            let name: AddonName = n(found.subject.part.as_ref().unwrap());
            if !is_single(fleet, &name) {
                continue;
            }
            // The same fleet without its add-ons: what are the steps that it could not take?
            let (mut bare, mut seen) = (fleet.clone(), snapshot.clone());
            let cluster = bare.clusters.get_mut(&found.subject.cluster).unwrap();
            cluster.addons.clear();
            match seen.clusters.get_mut(&found.subject.cluster) {
                Some(Observation::Fresh(state)) => state.addons.clear(),
                _ => panic!("a finding about an add-on of a cluster that was not seen"),
            }
            let plan = plan(&bare, &seen, &Options::default());
            if plan.cluster(&found.subject.cluster).unwrap().status != ClusterStatus::Planned {
                continue;
            }
            let cluster = &fleet.clusters[&found.subject.cluster];
            let state = state_of(snapshot, &cluster.name);
            let (steps, slots) = slots(cluster, state, &plan);
            let (start, goal, _) = start_and_goal(cluster, state, &name);
            let addon = &fleet.addons[&name];
            let (start, goal, storage) = (start.as_ref(), goal.as_ref(), storage_of(state, &name));
            let least = fewest_moves(addon, start, goal, &storage, &steps, &slots);
            assert_eq!(least, None, "{seed}: {name} has a way");
            checked.set(checked.get() + 1);
        }
    });
    assert!(checked.get() > 50, "{} add-ons had no way", checked.get());
}

#[test]
fn a_world_that_nobody_touched_is_the_same_for_two_looks() {
    let (fleet, mut world): (Fleet, World) = random_fleet(7);
    assert_eq!(observe(&fleet, &mut world), observe(&fleet, &mut world));
}
