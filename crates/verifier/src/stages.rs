//! The states that each component of a cluster goes through, and which pairs of them may
//! live together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use refit_model::{
    Action, ActionId, ActionKind, Addon, AddonMark, AddonName, AddonVersion, Bounds, Cluster,
    ClusterState, Fleet, InstanceId, KubeProxy, KubeVersion, Milestone, Minor, Only, Placement,
    Plan, PoolName, ServedVersion, VersionRange, skew,
};

use crate::downgrade;
use crate::launches;
use crate::order::{self, Order};
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

/// Puts the actions on one component in order, and makes stages of them.
pub(crate) fn chain<T>(
    order: &Order<'_>,
    what: impl Display,
    initial: T,
    mut moves: Vec<(usize, T)>,
    notes: &mut Vec<String>,
) -> Vec<Stage<T>> {
    moves.sort_by(|(a, _), (b, _)| {
        if order.precedes(*a, *b) {
            std::cmp::Ordering::Less
        } else if order.precedes(*b, *a) {
            std::cmp::Ordering::Greater
        } else {
            a.cmp(b)
        }
    });
    if moves.windows(2).any(|pair| !order.precedes(pair[0].0, pair[1].0)) {
        notes.push(format!("two actions on {what} may run at once"));
    }
    let mut stages = vec![Stage { value: initial, begins: None, ends: None }];
    for (action, value) in moves {
        if let Some(last) = stages.last_mut() {
            last.ends = Some(action);
        }
        stages.push(Stage { value, begins: Some(action), ends: None });
    }
    stages
}

pub(crate) type Versions = BTreeSet<KubeVersion>;

fn minors(versions: &Versions) -> impl Iterator<Item = Minor> {
    versions.iter().map(KubeVersion::minor)
}

/// Everything that a cluster's components go through.
pub(crate) struct Stages<'a> {
    /// What apiservers run.
    pub(crate) api: Vec<Stage<Versions>>,
    /// What the kubelets and kube-proxies of each pool run.
    pub(crate) pools: BTreeMap<&'a PoolName, Vec<Stage<Versions>>>,
    /// What nodes of no pool run: nothing changes them.
    loose: Vec<Stage<Versions>>,
    /// What a DaemonSet of kube-proxy runs that is no add-on of the cluster: nothing changes it.
    proxies: Vec<Stage<Versions>>,
    pub(crate) addons: BTreeMap<&'a AddonName, Vec<Stage<Option<AddonVersion>>>>,
}

/// What is wrong with one cluster's part of a plan.
pub(crate) fn check(
    fleet: &Fleet,
    cluster: &Cluster,
    state: &ClusterState,
    plan: &Plan,
    order: &Order<'_>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let now = running(cluster, state);
    let sizes = now.pools.iter().map(|(pool, (count, _))| (*pool, *count)).collect();
    let stages = stages(cluster, state, now, order, &mut notes);
    control_plane(cluster, state, order, &stages, &mut notes);
    emulation(state, &stages, &mut notes);
    nodes(order, &stages, &mut notes);
    let everything = plan.selection.only.is_none();
    launches::check(fleet, cluster, state, order, &stages.api, everything, &mut notes);
    placements(fleet, order, &mut notes);
    one_thing_at_a_time(order, &mut notes);
    implied(plan, order, &mut notes);
    storage::check(fleet, state, order, &mut notes);
    let named = plan.downgrade.contains(&cluster.name);
    downgrade::check(fleet, cluster, state, order, &stages, named, &mut notes);
    for (name, own) in &stages.addons {
        addon(fleet, order, &stages, name, own, &mut notes);
    }
    for action in order.actions() {
        bounds(cluster, &sizes, action, &mut notes);
    }
    pools::check(cluster, plan, order, &mut notes);
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
    mut now: Running<'_>,
    order: &Order<'a>,
    notes: &mut Vec<String>,
) -> Stages<'a> {
    let mut hops: Vec<(usize, Versions)> = Vec::new();
    let mut rolls: BTreeMap<&PoolName, Vec<(usize, Versions)>> = BTreeMap::new();
    let mut moves: BTreeMap<&AddonName, Vec<(usize, Option<AddonVersion>)>> = BTreeMap::new();
    for (at, action) in order.actions().iter().enumerate() {
        match &action.kind {
            ActionKind::ControlPlaneHop { to, .. } => hops.push((at, BTreeSet::from([to.clone()]))),
            ActionKind::NodePoolRoll { pool, to, .. } => {
                rolls.entry(pool).or_default().push((at, BTreeSet::from([to.clone()])));
            }
            ActionKind::AddonApply { addon, to, .. } | ActionKind::AddonAdopt { addon, to, .. } => {
                moves.entry(addon).or_default().push((at, Some(to.clone())));
            }
            ActionKind::AddonRemove { addon, .. } => {
                moves.entry(addon).or_default().push((at, None));
            }
            // Who tidies up leaves every version as it is, and does so where nothing else is done.
            ActionKind::TidyUp { pool: Some(pool), .. } if pools::is_on_delete(cluster, pool) => {}
            ActionKind::TidyUp { .. } => notes.push(format!("{}: it is not blocked", action.kind)),
            ActionKind::StorageMigration { .. }
            | ActionKind::PinGroups { .. }
            | ActionKind::FinishWave { .. } => {}
        }
    }
    let api_now: Versions =
        state.control_plane.iter().filter_map(|m| m.api_server.clone()).collect();
    let api = chain(order, "the control plane", api_now, hops, notes);
    let mut pools = BTreeMap::new();
    for pool in &cluster.pools {
        let (_, versions) = now.pools.remove(&pool.name).unwrap_or_default();
        let own = rolls.remove(&pool.name).unwrap_or_default();
        pools.insert(
            &pool.name,
            chain(order, format_args!("pool {}", pool.name), versions, own, notes),
        );
    }
    for pool in rolls.keys() {
        notes.push(format!("pool {pool} is rolled, and is not declared"));
    }
    let names: BTreeSet<&AddonName> = state
        .addons
        .iter()
        .filter(|(_, addon)| addon.parent.is_some() || addon.foreign.is_some())
        .map(|(name, _)| name)
        .chain(moves.keys().copied())
        .chain(cluster.addons.keys())
        .collect();
    let addons = names
        .into_iter()
        .map(|name| {
            let now = match AddonMark::of(state, name) {
                AddonMark::Absent => None,
                AddonMark::At { version, .. } | AddonMark::Drifted { version, .. } => Some(version),
                AddonMark::Foreign { version } => version.parse().ok(),
            };
            let own = moves.remove(name).unwrap_or_default();
            let chained = chain(order, format_args!("add-on {name}"), now, own, notes);
            (name, chained)
        })
        .collect();
    let is_addon = cluster.addons.keys().any(|addon| addon.as_str() == "kube-proxy");
    let proxies_now: Versions = state
        .nodes
        .values()
        .filter_map(|node| match &node.kube_proxy {
            KubeProxy::DaemonSet(version) if !is_addon => Some(version.clone()),
            _ => None,
        })
        .collect();
    let unchanged = |value| vec![Stage { value, begins: None, ends: None }];
    Stages { api, pools, loose: unchanged(now.loose), proxies: unchanged(proxies_now), addons }
}

/// How many nodes of which versions there are.
#[derive(Default)]
struct Running<'a> {
    /// By pool, how many nodes it has, and what their kubelets and kube-proxies run.
    pools: BTreeMap<&'a PoolName, (u32, Versions)>,
    /// What nodes of no pool run.
    loose: Versions,
}

fn running<'a>(cluster: &'a Cluster, state: &'a ClusterState) -> Running<'a> {
    let mut found = Running::default();
    let mut pools_of: Vec<(&InstanceId, &PoolName)> = Vec::new();
    for pool in &cluster.pools {
        found.pools.entry(&pool.name).or_default();
        let groups = pool.groups.iter().filter_map(|name| state.groups.get(name));
        let instances = groups.flat_map(|group| &group.instances);
        pools_of.extend(instances.map(|instance| (&instance.id, &pool.name)));
    }
    pools_of.sort_unstable();
    pools_of.dedup();
    for node in state.nodes.values() {
        let first = node.instance.as_ref().map(|id| pools_of.partition_point(|(i, _)| *i < id));
        let rest = first.map(|first| &pools_of[first..]).unwrap_or_default();
        let own = rest.iter().take_while(|(id, _)| node.instance.as_ref() == Some(*id));
        let mut loose = !node.control_plane;
        for (_, pool) in own {
            loose = false;
            let (count, versions) = found.pools.entry(pool).or_default();
            *count = count.saturating_add(1);
            add(versions, &node.kubelet);
            if let KubeProxy::StaticPod(version) = &node.kube_proxy {
                add(versions, version);
            }
        }
        if loose {
            add(&mut found.loose, &node.kubelet);
        }
    }
    found
}

fn add(versions: &mut Versions, version: &KubeVersion) {
    if !versions.contains(version) {
        versions.insert(version.clone());
    }
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
                    if !skew::kubelet_fits(kubelet.minor(), server.minor()) {
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

fn addon(
    fleet: &Fleet,
    order: &Order<'_>,
    stages: &Stages<'_>,
    name: &AddonName,
    own: &[Stage<Option<AddonVersion>>],
    notes: &mut Vec<String>,
) {
    let catalogue = fleet.addons.get(name);
    for stage in own {
        let Some(version) = &stage.value else { continue };
        let Some(release) = catalogue.and_then(|addon| addon.versions.get(version)) else {
            // Of an unknown version nothing is known but that it runs on the minors that were
            // there.
            let there: BTreeSet<Minor> =
                stages.api.first().into_iter().flat_map(|api| minors(&api.value)).collect();
            let is_new = |api: &Stage<Versions>| minors(&api.value).any(|m| !there.contains(&m));
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
                for used in release.known.apis.iter().filter(|a| !a.served.is_in(server.minor())) {
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
            for server in api.value.iter().filter(|s| !release.kubernetes.contains(&s.minor())) {
                notes.push(format!(
                    "{name} {version} supports {}, and may live with an apiserver of {server}",
                    release.kubernetes
                ));
            }
        }
        if let Some(range) = &release.kubelets {
            for node in stages
                .pools
                .values()
                .flatten()
                .chain(&stages.loose)
                .chain(&stages.api)
                .filter(|node| meet(order, stage, node) && !were_there(stage, node))
            {
                for kubelet in node.value.iter().filter(|k| !range.contains(&k.minor())) {
                    notes.push(format!(
                        "{name} {version} supports kubelets {range}, and may live with one of {kubelet}"
                    ));
                }
            }
        }
        let nothing = vec![Stage { value: None, begins: None, ends: None }];
        for (other, range) in &release.requires {
            let theirs = stages.addons.get(other).unwrap_or(&nothing);
            for there in theirs.iter().filter(|t| meet(order, stage, t) && !were_there(stage, t)) {
                if !there.value.as_ref().is_some_and(|version| range.contains(version)) {
                    let shown = there.value.as_ref().map_or("no".to_owned(), ToString::to_string);
                    notes.push(format!(
                        "{name} {version} requires {other} {range}, and may live with {shown} {other}"
                    ));
                }
            }
        }
        for (other, range) in &release.conflicts {
            let theirs = stages.addons.get(other).into_iter().flatten();
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
fn implied(plan: &Plan, order: &Order<'_>, notes: &mut Vec<String>) {
    let actions = order.actions();
    let place = |id: &ActionId| actions.binary_search_by(|action| action.id.cmp(id)).ok();
    for (from, action) in actions.iter().enumerate() {
        for edge in order::edges_from(&plan.implied, &action.id) {
            if let Some(to) = place(&edge.to).filter(|to| !order.precedes(from, *to)) {
                notes.push(format!(
                    "{} does not follow {}, as is said: {}",
                    actions[to].kind, action.kind, edge.because
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
    stage: &Stage<Option<AddonVersion>>,
    before: &Stage<Versions>,
    after: &Stage<Versions>,
    supports: &VersionRange<Minor>,
) -> bool {
    let (Some(hop), Some(leaves)) = (after.begins, stage.ends) else { return false };
    // Of a hop that was done since the plan was made, only its action knows where it began.
    let done = minors(&before.value).eq(minors(&after.value));
    let left = match &order.actions()[hop].kind {
        ActionKind::ControlPlaneHop { from, .. } if done => minors(from).min(),
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
    for (at, action) in actions.iter().enumerate() {
        let Some(name) = action.kind.addon() else { continue };
        let Some(addon) = fleet.addons.get(name) else { continue };
        if addon.placement == Placement::default() {
            continue;
        }
        let back = downgrade::addon_goes_back(order, name);
        for (milestone, comes_first) in (addon.placement.before.iter().map(|m| (m, true)))
            .chain(addon.placement.after.iter().map(|m| (m, false)))
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

fn bounds(
    cluster: &Cluster,
    sizes: &BTreeMap<&PoolName, u32>,
    action: &Action,
    notes: &mut Vec<String>,
) {
    match (&action.kind, &action.bounds) {
        (ActionKind::NodePoolRoll { pool, .. }, Bounds::Rolling { surge, unavailable, .. }) => {
            let Some(pool) = cluster.pool(pool) else { return };
            let nodes = sizes.get(&pool.name).copied().unwrap_or(0);
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
    let mut last = |what: String, stages: &[Stage<Versions>]| {
        let at_target =
            |stage: &Stage<Versions>| stage.value.iter().all(|v| v.same_release(target));
        if !stages.last().is_some_and(at_target) {
            notes.push(format!("{what} does not reach {target}"));
        }
    };
    last("the control plane".to_owned(), &stages.api);
    for (name, own) in &stages.pools {
        if !pools::is_on_delete(cluster, name) {
            last(format!("pool {name}"), own);
        }
    }
    for (name, own) in &stages.addons {
        let wanted = cluster.addons.get(name).map(|target| &target.version.value);
        let reached = own.last().and_then(|stage| stage.value.as_ref());
        // What somebody else installed and no set names is none of the plan's business.
        let ours = state.addons.get(name).is_none_or(|addon| addon.parent.is_some());
        if reached != wanted && (wanted.is_some() || ours) {
            notes.push(format!("{name} does not reach what the files say"));
        }
    }
}
