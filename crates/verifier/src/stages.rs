//! The states that each component of a cluster goes through, and which pairs of them may
//! live together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::Range;

use refit_model::{
    Action, ActionKind, Addon, AddonMark, AddonName, AddonVersion, ApiUse, Bounds, Cluster,
    ClusterState, Fleet, KubeProxy, KubeVersion, Milestone, Minor, Only, Placement, Plan, PoolName,
    ServedVersion, VersionRange, skew,
};

use crate::Case;
use crate::downgrade;
use crate::index::{Index, at};
use crate::launches::{self, Images};
use crate::nodes::{Nodes, Versions, add};
use crate::order::Order;
use crate::pools;
use crate::storage;

/// A state that a component is in, from the beginning of one action to the end of another.
#[derive(Debug)]
pub(crate) struct Stage<T> {
    pub(crate) value: T,
    /// The action that brings it; none: it was there before.
    begins: Option<usize>,
    /// The action that ends it; none: it stays.
    ends: Option<usize>,
}

/// Whether two states live together in some interleaving.
pub(crate) fn meet<T, U>(order: &Order<'_>, a: &Stage<T>, b: &Stage<U>) -> bool {
    let over_before = |ends: Option<usize>, begins: Option<usize>| {
        ends.zip(begins).is_some_and(|(ends, begins)| order.precedes(ends, begins))
    };
    !over_before(a.ends, b.begins) && !over_before(b.ends, a.begins)
}

/// Whether both states were there before the plan: then it is not the plan's doing.
pub(crate) fn were_there<T, U>(a: &Stage<T>, b: &Stage<U>) -> bool {
    a.begins.is_none() && b.begins.is_none()
}

/// Puts the actions on one component in order, and adds the stages that they make.
pub(crate) fn chain<T>(
    stages: &mut Vec<Stage<T>>,
    order: &Order<'_>,
    what: impl Display,
    initial: T,
    moves: impl IntoIterator<Item = (usize, T)>,
    notes: &mut Vec<String>,
) {
    let first = stages.len();
    stages.push(Stage { value: initial, begins: None, ends: None });
    let moved = |(action, value)| Stage { value, begins: Some(action), ends: None };
    stages.extend(moves.into_iter().map(moved));
    let before =
        |a: Option<usize>, b: Option<usize>| a.zip(b).is_some_and(|(a, b)| order.precedes(a, b));
    let own = &mut stages[first..];
    if own.len() > 2 {
        // Of those in a row each has one more before it than the one before it.
        let all: Vec<Option<usize>> = own[1..].iter().map(|stage| stage.begins).collect();
        let earlier = |at: Option<usize>| all.iter().filter(|other| before(**other, at)).count();
        own[1..].sort_by_cached_key(|stage| (earlier(stage.begins), stage.begins));
    }
    if own[1..].windows(2).any(|pair| !before(pair[0].begins, pair[1].begins)) {
        notes.push(format!("two actions on {what} may run at once"));
    }
    for next in 1..own.len() {
        own[next - 1].ends = own[next].begins;
    }
}

fn minors(versions: &Versions<'_>) -> impl Iterator<Item = Minor> {
    versions.iter().map(|version| version.minor())
}

/// Everything that a cluster's components go through.
pub(crate) struct Stages<'a> {
    /// What apiservers run.
    pub(crate) api: Vec<Stage<Versions<'a>>>,
    /// What the kubelets and kube-proxies of each pool run.
    pub(crate) pools: Vec<(&'a PoolName, Vec<Stage<Versions<'a>>>)>,
    /// What nodes of no pool run: nothing changes them.
    pub(crate) loose: Vec<Stage<Versions<'a>>>,
    /// What a DaemonSet of kube-proxy runs that is no add-on of the cluster: nothing changes it.
    proxies: Vec<Stage<Versions<'a>>>,
    addons: Addons<'a>,
}

impl<'a> Stages<'a> {
    /// Each add-on by name, and what it goes through.
    pub(crate) fn addons(&self) -> impl Iterator<Item = (&'a AddonName, &[Stage<Installed>])> {
        self.addons.own.iter().map(|(name, own)| (*name, &self.addons.all[own.clone()]))
    }

    /// What an add-on goes through, as far as it is or comes.
    fn addon(&self, name: &AddonName) -> Option<&[Stage<Installed>]> {
        let Addons { own, all } = &self.addons;
        let found = own.binary_search_by_key(&name, |(name, _)| *name).ok()?;
        Some(&all[own[found].1.clone()])
    }
}

/// The version of an add-on; none: it is not there.
pub(crate) type Installed = Option<AddonVersion>;

/// What add-ons go through.
struct Addons<'a> {
    /// By name, which of the stages are its own.
    own: Vec<(&'a AddonName, Range<usize>)>,
    all: Vec<Stage<Installed>>,
}

/// What is wrong with one cluster's part of a plan.
pub(crate) fn check(
    case: &Case<'_>,
    plan: &Plan,
    index: &Index<'_>,
    order: &Order<'_>,
) -> Vec<String> {
    let Case { fleet, cluster, state, listed, nodes: nodes_now } = case;
    let mut notes = Vec::new();
    let now = running(cluster, nodes_now);
    let sizes: Vec<u32> = now.pools.iter().map(|(count, _)| *count).collect();
    let stages = stages(cluster, state, now, order, &mut notes);
    control_plane(cluster, state, order, &stages, &mut notes);
    emulation(state, &stages, &mut notes);
    nodes(order, &stages, &mut notes);
    let everything = plan.selection.only.is_none();
    let images = Images::of(fleet, cluster, state, nodes_now);
    launches::check(cluster, state, &images, order, &stages.api, everything, &mut notes);
    placements(fleet, order, &mut notes);
    one_thing_at_a_time(order, &mut notes);
    implied(plan, index, order, &mut notes);
    storage::check(fleet, state, order, &mut notes);
    let named = plan.downgrade.contains(&cluster.name);
    downgrade::check(fleet, cluster, state, order, &stages, named, &mut notes);
    for (name, own) in stages.addons() {
        addon(fleet, state, order, &stages, name, own, &mut notes);
    }
    for action in order.actions() {
        bounds(cluster, &sizes, action, &mut notes);
    }
    pools::check(cluster, listed, order, &mut notes);
    match plan.selection.only {
        None => reaches(cluster, state, &stages, &mut notes),
        Some(only) => changes_only(only, order, &mut notes),
    }
    notes
}

/// Whether nothing but one kind of parts is changed. Groups may be pinned for them.
fn changes_only(only: Only, order: &Order<'_>, notes: &mut Vec<String>) {
    for action in order.actions() {
        let kind = match &action.kind {
            ActionKind::ControlPlaneHop { .. } => Some(Only::ControlPlane),
            ActionKind::NodePoolRoll { .. } => Some(Only::Nodes),
            kind if kind.addon().is_some() => Some(Only::AddOns),
            _ => None,
        };
        if kind.is_some_and(|kind| kind != only) {
            notes.push(format!("{}: the plan is about {only} only", action.kind));
        }
    }
}

fn stages<'a>(
    cluster: &'a Cluster,
    state: &'a ClusterState,
    now: Running<'a>,
    order: &Order<'a>,
    notes: &mut Vec<String>,
) -> Stages<'a> {
    let mut hops: Vec<(usize, Versions<'_>)> = Vec::new();
    let mut rolls: BTreeMap<&PoolName, Vec<(usize, Versions<'_>)>> = BTreeMap::new();
    for (at, action) in order.actions().iter().enumerate() {
        match &action.kind {
            ActionKind::ControlPlaneHop { to, .. } => hops.push((at, vec![to])),
            ActionKind::NodePoolRoll { pool, to, .. } => {
                rolls.entry(pool).or_default().push((at, vec![to]));
            }
            // Who tidies up leaves every version as it is, and does so where nothing else is done.
            ActionKind::TidyUp { pool: Some(pool), .. } if pools::is_on_delete(cluster, pool) => {}
            ActionKind::TidyUp { .. } => notes.push(format!("{}: it is not blocked", action.kind)),
            ActionKind::AddonApply { .. }
            | ActionKind::AddonAdopt { .. }
            | ActionKind::AddonRemove { .. }
            | ActionKind::StorageMigration { .. }
            | ActionKind::PinGroups { .. }
            | ActionKind::FinishWave { .. } => {}
        }
    }
    let mut api_now = Versions::new();
    let servers = state.control_plane.iter().filter_map(|member| member.api_server.as_ref());
    servers.for_each(|server| add(&mut api_now, server));
    let mut api = Vec::with_capacity(1 + hops.len());
    chain(&mut api, order, "the control plane", api_now, hops, notes);
    let mut pools = Vec::with_capacity(cluster.pools.len());
    for (pool, (_, versions)) in cluster.pools.iter().zip(now.pools) {
        let rolled = rolls.remove(&pool.name).unwrap_or_default();
        let mut own = Vec::with_capacity(1 + rolled.len());
        chain(&mut own, order, format_args!("pool {}", pool.name), versions, rolled, notes);
        pools.push((&pool.name, own));
    }
    for pool in rolls.keys() {
        notes.push(format!("pool {pool} is rolled, and is not declared"));
    }
    let names = addon_names(cluster, state, order);
    let mut all = Vec::with_capacity(names.len() + order.on_addons().len());
    let mut own = Vec::with_capacity(names.len());
    for name in names {
        let now = match AddonMark::of(state, name) {
            AddonMark::Absent => None,
            AddonMark::At { version, .. } | AddonMark::Drifted { version, .. } => Some(version),
            AddonMark::Foreign { version } => version.parse().ok(),
        };
        let moves = order.on(name).iter().filter_map(|(_, at)| match &order.actions()[*at].kind {
            ActionKind::AddonApply { to, .. } | ActionKind::AddonAdopt { to, .. } => {
                Some((*at, Some(to.clone())))
            }
            ActionKind::AddonRemove { .. } => Some((*at, None)),
            _ => None,
        });
        let first = all.len();
        chain(&mut all, order, format_args!("add-on {name}"), now, moves, notes);
        own.push((name, first..all.len()));
    }
    let addons = Addons { own, all };
    let is_addon = cluster.addons.keys().any(|addon| addon.as_str() == "kube-proxy");
    let mut proxies_now = Versions::new();
    for node in state.nodes.values().filter(|_| !is_addon) {
        if let KubeProxy::DaemonSet(version) = &node.kube_proxy {
            add(&mut proxies_now, version);
        }
    }
    let unchanged = |value| vec![Stage { value, begins: None, ends: None }];
    Stages { api, pools, loose: unchanged(now.loose), proxies: unchanged(proxies_now), addons }
}

/// The add-ons that are there, come, or are worked on, by name.
fn addon_names<'a>(
    cluster: &'a Cluster,
    state: &'a ClusterState,
    order: &Order<'a>,
) -> Vec<&'a AddonName> {
    let mut names: Vec<&AddonName> = cluster.addons.keys().collect();
    let there = state.addons.iter().filter(|(_, a)| a.parent.is_some() || a.foreign.is_some());
    let worked_on = order.on_addons().iter().map(|(name, _)| *name);
    let others = there.map(|(name, _)| name).chain(worked_on);
    names.extend(others.filter(|name| !cluster.addons.contains_key(*name)));
    names.sort_unstable();
    names.dedup();
    names
}

/// How many nodes of which versions there are.
struct Running<'a> {
    /// By place of a pool, how many nodes it has, and what their kubelets and kube-proxies run.
    pools: Vec<(u32, Versions<'a>)>,
    /// What nodes of no pool run.
    loose: Versions<'a>,
}

fn running<'a>(cluster: &Cluster, nodes: &Nodes<'a>) -> Running<'a> {
    let mut pools = vec![(0_u32, Versions::new()); cluster.pools.len()];
    let mut loose = Versions::new();
    for (node, own) in nodes.each() {
        let mut is_loose = !node.control_plane;
        for pool in own {
            is_loose = false;
            let (count, versions) = &mut pools[pool];
            *count = count.saturating_add(1);
            add(versions, &node.kubelet);
            if let KubeProxy::StaticPod(version) = &node.kube_proxy {
                add(versions, version);
            }
        }
        if is_loose {
            add(&mut loose, &node.kubelet);
        }
    }
    Running { pools, loose }
}

fn control_plane(
    cluster: &Cluster,
    state: &ClusterState,
    order: &Order<'_>,
    stages: &Stages<'_>,
    notes: &mut Vec<String>,
) {
    for (position, a) in stages.api.iter().enumerate() {
        for b in &stages.api[position + 1..] {
            for (x, y) in a.value.iter().flat_map(|x| b.value.iter().map(move |y| (x, y))) {
                if meet(order, a, b) && !skew::api_servers_fit(x.minor(), y.minor()) {
                    notes.push(format!("apiservers of {x} and {y} may live together"));
                }
            }
        }
    }
    for pair in stages.api.windows(2) {
        let lowest = pair[0].value.first();
        for (from, to) in lowest.into_iter().flat_map(|a| pair[1].value.iter().map(move |b| (a, b)))
        {
            if from.minor().behind(to.minor()) > 1 {
                notes.push(format!("the control plane skips a minor from {from} to {to}"));
            }
        }
    }
    if stages.api.len() > 1 && state.control_plane.len() > 1 && !cluster.control_plane.local_api {
        notes.push("an HA control plane without local apiservers cannot be rolled by image".into());
    }
}

/// What an apiserver that emulates an older minor stands in the way of (KEP-4330): all but a way back
/// to that minor.
fn emulation(state: &ClusterState, stages: &Stages<'_>, notes: &mut Vec<String>) {
    let Some(emulated) = state.serves.as_ref().and_then(ServedVersion::emulates) else { return };
    let mut moved = stages.api.iter().skip(1).flat_map(|stage| minors(&stage.value));
    if moved.any(|minor| minor != emulated) {
        notes.push(format!("the control plane moves while it emulates {emulated}"));
    }
    for (name, own) in &stages.pools {
        let moved = own.iter().filter(|stage| stage.begins.is_some());
        for version in moved.flat_map(|stage| &stage.value).filter(|v| v.minor() > emulated) {
            notes.push(format!(
                "pool {name}: {version} may live with a control plane that emulates {emulated}"
            ));
        }
    }
}

fn nodes(order: &Order<'_>, stages: &Stages<'_>, notes: &mut Vec<String>) {
    // What was wrong from the beginning may stay so, if it becomes no worse.
    let at_first = || stages.api.iter().take(1).flat_map(|api| minors(&api.value));
    let fits = |node: &Stage<Versions<'_>>, kubelet: Minor, server: Minor| match node.begins {
        None => skew::kubelet_may_stay(kubelet, server, at_first()),
        Some(_) => skew::kubelet_fits(kubelet, server),
    };
    let pools = stages.pools.iter().map(|(name, own)| (Some(*name), "pool ", own));
    let others = [
        (None, "nodes of no pool", &stages.loose),
        (None, "kube-proxy of no add-on", &stages.proxies),
    ];
    for (pool, what, own) in pools.chain(others) {
        for node in own {
            for api in
                stages.api.iter().filter(|api| meet(order, node, api) && !were_there(node, api))
            {
                for (kubelet, server) in
                    node.value.iter().flat_map(|k| api.value.iter().map(move |s| (k, s)))
                {
                    if !fits(node, kubelet.minor(), server.minor()) {
                        let pool = pool.map_or("", PoolName::as_str);
                        notes.push(format!(
                            "{what}{pool}: {kubelet} may live with an apiserver of {server}"
                        ));
                    }
                }
            }
        }
    }
}

/// Whether a range of an add-on's version allows what something else is, in a stage of either. What was
/// outside of it from the beginning may stay so, if it becomes no worse.
fn allows<'v, T: Ord + Clone + 'v>(
    own: &Stage<Installed>,
    range: &VersionRange<T>,
    there: &T,
    at_first: impl IntoIterator<Item = &'v T>,
) -> bool {
    match own.begins {
        None => range.may_stay(there, at_first),
        Some(_) => range.contains(there),
    }
}

fn addon(
    fleet: &Fleet,
    state: &ClusterState,
    order: &Order<'_>,
    stages: &Stages<'_>,
    name: &AddonName,
    own: &[Stage<Installed>],
    notes: &mut Vec<String>,
) {
    let catalogue = fleet.addons.get(name);
    let nothing = [Stage { value: None, begins: None, ends: None }];
    let first_of = |own: &[Stage<Versions<'_>>]| -> Vec<Minor> {
        own.first().into_iter().flat_map(|stage| minors(&stage.value)).collect()
    };
    let servers_at_first = first_of(&stages.api);
    let mut beside_at_first = servers_at_first.clone();
    let instances = state.nodes.values().filter(|node| node.control_plane);
    beside_at_first.extend(instances.map(|node| node.kubelet.minor()));
    for stage in own {
        let Some(version) = &stage.value else { continue };
        let Some(release) = catalogue.and_then(|addon| addon.versions.get(version)) else {
            // Of an unknown version nothing is known but that it runs on the minors that were
            // there.
            let there: BTreeSet<Minor> =
                stages.api.first().into_iter().flat_map(|api| minors(&api.value)).collect();
            let is_new =
                |api: &Stage<Versions<'_>>| minors(&api.value).any(|m| !there.contains(&m));
            if stages.api.iter().any(|api| is_new(api) && meet(order, stage, api)) {
                notes.push(format!("{name} {version} is unknown, and lives through a hop"));
            }
            continue;
        };
        let may_be_late = catalogue.is_some_and(|addon| addon.may_be_unsupported_during_hop);
        for (at, api) in stages.api.iter().enumerate() {
            if !meet(order, stage, api) || were_there(stage, api) {
                continue;
            }
            for server in &api.value {
                let serves = |used: &ApiUse| {
                    allows(stage, &used.served.settled(), &server.minor(), &servers_at_first)
                };
                for used in release.known.apis.iter().filter(|used| !serves(used)) {
                    notes.push(format!(
                        "{name} {version}: {used}, and may live with an apiserver of {server}, which does not serve it"
                    ));
                }
            }
            let before = at.checked_sub(1).and_then(|before| stages.api.get(before));
            if may_be_late
                && before.is_some_and(|before| {
                    leaves_at_once(order, stage, before, api, &release.kubernetes)
                })
            {
                continue;
            }
            let supports = |server: &KubeVersion| {
                allows(stage, &release.kubernetes, &server.minor(), &servers_at_first)
            };
            for server in api.value.iter().filter(|server| !supports(server)) {
                notes.push(format!(
                    "{name} {version} supports {}, and may live with an apiserver of {server}",
                    release.kubernetes
                ));
            }
        }
        if let Some(range) = &release.kubelets {
            let workers = stages.pools.iter().map(|(_, own)| own).chain([&stages.loose]);
            let workers = workers.map(|own| (own, first_of(own)));
            for (node, at_first) in workers
                .chain([(&stages.api, beside_at_first.clone())])
                .flat_map(|(own, at_first)| own.iter().map(move |node| (node, at_first.clone())))
                .filter(|(node, _)| meet(order, stage, node) && !were_there(stage, node))
            {
                let takes =
                    |kubelet: &KubeVersion| allows(stage, range, &kubelet.minor(), &at_first);
                for kubelet in node.value.iter().filter(|kubelet| !takes(kubelet)) {
                    notes.push(format!(
                        "{name} {version} supports kubelets {range}, and may live with one of {kubelet}"
                    ));
                }
            }
        }
        for (other, range) in &release.requires {
            let theirs = stages.addon(other).unwrap_or(&nothing);
            let at_first = theirs.first().and_then(|there| there.value.as_ref());
            let was_missing = stage.begins.is_none() && at_first.is_none();
            for there in theirs.iter().filter(|t| meet(order, stage, t) && !were_there(stage, t)) {
                let allowed = |version| allows(stage, range, version, at_first);
                if !was_missing && !there.value.as_ref().is_some_and(allowed) {
                    let shown = there.value.as_ref().map_or("no".to_owned(), ToString::to_string);
                    notes.push(format!(
                        "{name} {version} requires {other} {range}, and may live with {shown} {other}"
                    ));
                }
            }
        }
        for (other, range) in &release.conflicts {
            let theirs = stages.addon(other).unwrap_or_default();
            let first = theirs.first().and_then(|there| there.value.as_ref());
            if stage.begins.is_none() && first.is_some_and(|first| range.contains(first)) {
                continue;
            }
            let theirs = theirs.iter();
            for there in theirs.filter(|t| meet(order, stage, t) && !were_there(stage, t)) {
                if let Some(met) = there.value.as_ref().filter(|version| range.contains(version)) {
                    notes.push(format!(
                        "{name} {version} conflicts with {other} {range}, and may live with {met}"
                    ));
                }
            }
        }
    }
    for pair in own.windows(2) {
        let (Some(before), Some(after)) = (&pair[0].value, &pair[1].value) else { continue };
        if after != before && catalogue.is_some_and(|addon| !steps(addon, before, after)) {
            notes.push(format!("{name} may not go from {before} to {after}, as its file says"));
        }
    }
}

/// Whether the orders that are said to follow from the others do.
fn implied(plan: &Plan, index: &Index<'_>, order: &Order<'_>, notes: &mut Vec<String>) {
    let actions = order.actions();
    for (from, place) in order.places().iter().enumerate() {
        for (to, edge) in index.implied.get(at(*place)) {
            let to = order.own(*to).map(at);
            if let Some(to) = to.filter(|to| !order.precedes(from, *to)) {
                notes.push(format!(
                    "{} does not follow {}, as is said: {}",
                    actions[to].kind,
                    actions[from].kind,
                    plan.implied[at(*edge)].because
                ));
            }
        }
    }
}

/// Whether an add-on's file lets it go from one version to another. What a version may be upgraded
/// from is about the way up.
fn steps(addon: &Addon, before: &AddonVersion, after: &AddonVersion) -> bool {
    if after < before {
        return !addon.one_minor_at_a_time || before.is_next_minor_of(after);
    }
    let from = addon.versions.get(after).and_then(|release| release.upgrade_from.as_ref());
    from.is_none_or(|range| range.contains(before))
        && (!addon.one_minor_at_a_time || after.is_next_minor_of(before))
}

/// In a cluster one thing is worked on at a time, so that what breaks has one cause: while
/// machines are replaced, nothing else changes. Add-ons may move side by side.
fn one_thing_at_a_time(order: &Order<'_>, notes: &mut Vec<String>) {
    let actions = order.actions();
    let changes = |action: &Action| action.kind.rolls() || action.kind.addon().is_some();
    for (a, one) in actions.iter().enumerate().filter(|(_, action)| action.kind.rolls()) {
        for (b, two) in actions.iter().enumerate().filter(|(_, action)| changes(action)) {
            let twice = two.kind.rolls() && b <= a;
            // How many pools may be rolled at once is another rule.
            let pools =
                [one, two].iter().all(|it| matches!(it.kind, ActionKind::NodePoolRoll { .. }));
            if a != b && !twice && !pools && !order.precedes(a, b) && !order.precedes(b, a) {
                notes.push(format!("{} and {} may run at once", one.kind, two.kind));
            }
        }
    }
}

/// Whether a version that supports what the control plane leaves is replaced before anything but
/// add-ons follows the hop: then it may have stayed through it, if its file allows that.
pub(crate) fn leaves_at_once(
    order: &Order<'_>,
    stage: &Stage<Installed>,
    before: &Stage<Versions<'_>>,
    after: &Stage<Versions<'_>>,
    supports: &VersionRange<Minor>,
) -> bool {
    let (Some(hop), Some(leaves)) = (after.begins, stage.ends) else { return false };
    // Of a hop that was done since the plan was made, only its action knows where it began.
    let done = minors(&before.value).eq(minors(&after.value));
    let left = match &order.actions()[hop].kind {
        ActionKind::ControlPlaneHop { from, .. } if done => {
            from.iter().map(KubeVersion::minor).min()
        }
        _ => minors(&before.value).min(),
    };
    let large = |at: &usize| order.actions()[*at].kind.rolls() && *at != hop;
    left.is_some_and(|minor| supports.contains(&minor))
        && order.precedes(hop, leaves)
        && (0..order.actions().len())
            .filter(large)
            .all(|other| order.precedes(other, hop) || order.precedes(leaves, other))
}

/// Whether every add-on moves where its file places it. That is about the way up: on the way back the
/// control plane and nodes have their places, and two add-ons move the other way round.
fn placements(fleet: &Fleet, order: &Order<'_>, notes: &mut Vec<String>) {
    let actions = order.actions();
    for own in order.on_addons().chunk_by(|(one, _), (other, _)| one == other) {
        let [(name, _), ..] = *own else { continue };
        let Some(Placement { before, after }) = fleet.addons.get(name).map(|a| &a.placement) else {
            continue;
        };
        if before.is_empty() && after.is_empty() {
            continue;
        }
        let back = downgrade::addon_goes_back(order, name);
        let before = before.iter().map(|milestone| (milestone, true));
        let each = before.chain(after.iter().map(|milestone| (milestone, false)));
        for ((milestone, comes_first), at) in
            each.flat_map(|each| own.iter().map(move |(_, at)| (each, *at)))
        {
            let belongs = |other: &Action| match milestone {
                Milestone::ControlPlane => matches!(other.kind, ActionKind::ControlPlaneHop { .. }),
                Milestone::Nodes => matches!(other.kind, ActionKind::NodePoolRoll { .. }),
                Milestone::Addon(wanted) => wanted != name && other.kind.addon() == Some(wanted),
            };
            let holds = |other: usize| {
                let turned = back
                    && match actions[other].kind.addon() {
                        Some(other) => downgrade::addon_goes_back(order, other),
                        None if downgrade::goes_back(&actions[other].kind) => return true,
                        None => false,
                    };
                if comes_first == turned {
                    order.precedes(other, at)
                } else {
                    order.precedes(at, other)
                }
            };
            if (0..actions.len()).any(|other| belongs(actions[other]) && !holds(other)) {
                let relation = if comes_first { "before" } else { "after" };
                notes.push(format!("{name} may not move {relation} {milestone}, as its file says"));
            }
        }
    }
}

fn bounds(cluster: &Cluster, sizes: &[u32], action: &Action, notes: &mut Vec<String>) {
    match (&action.kind, &action.bounds) {
        (ActionKind::NodePoolRoll { pool, .. }, Bounds::Rolling { surge, unavailable, .. }) => {
            let declared =
                cluster.pools.iter().zip(sizes).find(|(declared, _)| declared.name == *pool);
            let Some((pool, nodes)) = declared.map(|(pool, size)| (pool, *size)) else { return };
            let may_surge = pool.max_surge.of_rounded_up(nodes);
            let may_miss = pool.max_unavailable.of_rounded_down(nodes);
            // A percentage that rounds down to none means one, if there is no surge either.
            let may_miss = if may_surge == 0 { may_miss.max(1) } else { may_miss };
            if *surge > may_surge || *unavailable > may_miss {
                notes.push(format!("the roll of pool {} exceeds its bounds", pool.name));
            }
            if *surge == 0 && *unavailable == 0 {
                notes.push(format!("the roll of pool {} can replace nothing", pool.name));
            }
        }
        (ActionKind::ControlPlaneHop { .. }, Bounds::Rolling { surge: 0, unavailable: 1, .. }) => {}
        (ActionKind::NodePoolRoll { .. } | ActionKind::ControlPlaneHop { .. }, _) => {
            notes.push(format!("{} has no bounds that fit it", action.kind));
        }
        _ => {}
    }
}

/// Whether the plan ends where the files say.
fn reaches(cluster: &Cluster, state: &ClusterState, stages: &Stages<'_>, notes: &mut Vec<String>) {
    let target = &cluster.kubernetes.value;
    let mut last = |what: &dyn Display, stages: &[Stage<Versions<'_>>]| {
        let at_target =
            |stage: &Stage<Versions<'_>>| stage.value.iter().all(|v| v.same_release(target));
        if !stages.last().is_some_and(at_target) {
            notes.push(format!("{what} does not reach {target}"));
        }
    };
    last(&"the control plane", &stages.api);
    for (name, own) in &stages.pools {
        if !pools::is_on_delete(cluster, name) {
            last(&format_args!("pool {name}"), own);
        }
    }
    for (name, own) in stages.addons() {
        let wanted = cluster.addons.get(name).map(|target| &target.version.value);
        let reached = own.last().and_then(|stage| stage.value.as_ref());
        // What somebody else installed and no set names is none of the plan's business.
        let ours = state.addons.get(name).is_none_or(|addon| addon.parent.is_some());
        if reached != wanted && (wanted.is_some() || ours) {
            notes.push(format!("{name} does not reach what the files say"));
        }
    }
}
