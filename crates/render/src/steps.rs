//! What a plan does to a cluster, a line per component: the chain of its versions and what is
//! to be said about it.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionKind, AddonMark, AddonName, AddonVersion, Because, Bounds, Location, Minor,
    PoolName, RollCause, Why,
};

use crate::paint::Paint;
use crate::spread::{Spread, joined};
use crate::way::Way;
use crate::words::{count, join};

/// What happens to a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Symbol {
    Change,
    Adopt,
    Install,
    Remove,
}

impl Symbol {
    pub(crate) const ALL: [Self; 4] = [Self::Change, Self::Install, Self::Remove, Self::Adopt];

    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Change => "~",
            Self::Adopt => "!",
            Self::Install => "+",
            Self::Remove => "-",
        }
    }

    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Adopt => "take over what somebody else installed",
            Self::Install => "install",
            Self::Remove => "remove",
        }
    }

    pub(crate) fn paint(self) -> Paint {
        match self {
            Self::Change => Paint::Change,
            Self::Adopt => Paint::Special,
            Self::Install => Paint::Good,
            Self::Remove => Paint::Bad,
        }
    }
}

/// What a line is about, in the order of the lines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Component {
    Pins,
    ControlPlane,
    Pool(PoolName),
    /// Pools of several clusters that have too many names to be told one by one.
    Pools,
    Addon(AddonName),
    Wave,
}

impl Component {
    fn kind(&self) -> ComponentKind {
        match self {
            Self::Pins => ComponentKind::Pins,
            Self::ControlPlane => ComponentKind::ControlPlane,
            Self::Pool(_) | Self::Pools => ComponentKind::Pool,
            Self::Addon(addon) => ComponentKind::Addon(addon.clone()),
            Self::Wave => ComponentKind::Wave,
        }
    }
}

/// A component without the name of its pool: clusters make the same transition whatever their pools
/// are called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ComponentKind {
    Pins,
    ControlPlane,
    Pool,
    Addon(AddonName),
    Wave,
}

/// By how many nodes a roll may exceed a pool's size, and fall short of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rolling {
    pub(crate) surge: Spread<u32>,
    pub(crate) unavailable: Spread<u32>,
}

/// How many objects of an add-on are deleted, and how many stay that no set names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Objects {
    pub(crate) deleted: Spread<u32>,
    pub(crate) kept: Spread<u32>,
}

/// One component of a cluster, or of several clusters that make the same transition.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) symbol: Symbol,
    pub(crate) component: Component,
    pub(crate) subject: String,
    /// How many nodes or groups a cluster has.
    pub(crate) count: Option<Spread<u32>>,
    /// The versions, the first is what is there.
    pub(crate) chain: Vec<String>,
    pub(crate) rolling: Option<Rolling>,
    pub(crate) objects: Option<Objects>,
    pub(crate) notes: Vec<String>,
    /// Where pins of the clusters stand: what makes no difference between clusters.
    pub(crate) pinned_at: Vec<Location>,
    /// How many clusters have it.
    pub(crate) clusters: usize,
}

/// What makes two lines the same for people who review clusters that make the same transition: all but
/// names of pools and numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LineKey {
    symbol: Symbol,
    component: ComponentKind,
    chain: Vec<String>,
    notes: Vec<String>,
    marks: BTreeSet<Mark>,
}

/// What a reviewer must see of a line, whatever the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Pinned,
    /// A pool may have fewer nodes than usual.
    MayLoseNodes,
    DeletesObjects,
    KeepsObjects,
}

impl Line {
    /// Whether a pool may have fewer nodes than usual while it is rolled.
    pub(crate) fn may_lose_nodes(&self) -> bool {
        self.rolling.is_some_and(|rolling| rolling.unavailable.most > 0)
    }

    pub(crate) fn key(&self) -> LineKey {
        let Self {
            symbol,
            component,
            subject: _,
            count: _,
            chain,
            rolling: _,
            objects,
            notes,
            pinned_at,
            clusters: _,
        } = self;
        let marks = [
            (Mark::Pinned, !pinned_at.is_empty()),
            (Mark::MayLoseNodes, self.may_lose_nodes()),
            (Mark::DeletesObjects, objects.is_some_and(|objects| objects.deleted.most > 0)),
            (Mark::KeepsObjects, objects.is_some_and(|objects| objects.kept.most > 0)),
        ];
        LineKey {
            symbol: *symbol,
            component: component.kind(),
            chain: chain.clone(),
            notes: notes.clone(),
            marks: marks.into_iter().filter_map(|(mark, has)| has.then_some(mark)).collect(),
        }
    }

    /// Adds a line of the same key: numbers become ranges.
    pub(crate) fn merge(&mut self, other: Self) {
        let Self {
            symbol: _,
            component: _,
            subject: _,
            count,
            chain: _,
            rolling,
            objects,
            notes: _,
            pinned_at,
            clusters,
        } = other;
        self.count = joined(self.count, count);
        if let Some(rolling) = rolling {
            self.rolls(rolling);
        }
        self.objects = match (self.objects, objects) {
            (Some(one), Some(other)) => Some(Objects {
                deleted: one.deleted.with(other.deleted),
                kept: one.kept.with(other.kept),
            }),
            (one, other) => one.or(other),
        };
        for at in pinned_at {
            if !self.pinned_at.contains(&at) {
                self.pinned_at.push(at);
            }
        }
        self.clusters += clusters;
    }

    fn rolls(&mut self, Rolling { surge, unavailable }: Rolling) {
        self.rolling = Some(match self.rolling {
            Some(before) => Rolling {
                surge: before.surge.with(surge),
                unavailable: before.unavailable.with(unavailable),
            },
            None => Rolling { surge, unavailable },
        });
    }

    /// Adds objects that one more action deletes and keeps.
    fn deletes(&mut self, deleted: usize, kept: usize) {
        let before = self.objects.map_or((0, 0), |before| (before.deleted.most, before.kept.most));
        self.objects = Some(Objects {
            deleted: Spread::of(number(deleted).saturating_add(before.0)),
            kept: Spread::of(number(kept).saturating_add(before.1)),
        });
    }

    /// Returns what is said behind the versions, in a group of so many clusters.
    pub(crate) fn remarks(&self, clusters: usize) -> String {
        let number = |n: u32| n.to_string();
        let mut remarks = Vec::new();
        if let Some(Rolling { surge, unavailable }) = self.rolling {
            remarks.push(format!(
                "surge {}, unavailable {}",
                surge.text(number),
                unavailable.text(number)
            ));
        }
        remarks.extend(self.notes.iter().cloned());
        if let Some(Objects { deleted, kept }) = self.objects {
            let unit = if deleted == Spread::of(1) { "object" } else { "objects" };
            let deleted = format!("{} {unit}", deleted.text(number));
            let kept = match kept.most {
                0 => String::new(),
                _ => format!(", {} kept", kept.text(number)),
            };
            match (self.symbol, remarks.last_mut()) {
                (Symbol::Remove, Some(why)) => why.push_str(&format!(", {deleted}{kept}")),
                (Symbol::Remove, None) => remarks.push(format!("{deleted}{kept}")),
                _ => remarks.push(format!("deletes {deleted}")),
            }
        }
        match self.pinned_at.as_slice() {
            [] => {}
            [at] if clusters == 1 => remarks.push(format!("pinned in {at}")),
            _ => remarks.push("pinned by the cluster".to_owned()),
        }
        if self.clusters < clusters {
            remarks.push(format!("in {} of the {clusters} clusters", self.clusters));
        }
        remarks.join("; ")
    }

    fn new(component: Component, subject: impl Into<String>) -> Self {
        Self {
            symbol: Symbol::Change,
            component,
            subject: subject.into(),
            count: None,
            chain: Vec::new(),
            rolling: None,
            objects: None,
            notes: Vec::new(),
            pinned_at: Vec::new(),
            clusters: 1,
        }
    }

    /// Goes on with the chain, and begins it when it has not begun.
    fn goes(&mut self, from: String, to: String) {
        if self.chain.is_empty() {
            self.chain.push(from);
        }
        if self.chain.last() != Some(&to) {
            self.chain.push(to);
        }
    }

    fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

const TIDY_UP: &str = "tidy up after a run that did not end";

/// A line for each component that the way's actions work on.
pub(crate) fn lines(way: &Way<'_>) -> Vec<Line> {
    let mut by_component: BTreeMap<Component, Vec<(usize, &Action)>> = BTreeMap::new();
    for (at, action) in way.actions.iter().enumerate() {
        by_component.entry(component(&action.kind)).or_default().push((at, action));
    }
    let mut lines: Vec<Line> = by_component
        .into_iter()
        .filter_map(|(component, actions)| {
            let mut line = match component {
                Component::Pins => pins(&actions),
                Component::ControlPlane => control_plane(&actions),
                Component::Pool(pool) => node_pool(&pool, &actions),
                Component::Addon(addon) => add_on(&addon, &actions, way),
                Component::Pools | Component::Wave => return None,
            };
            for (_, action) in &actions {
                if let Why::Pin { at } = &action.why
                    && !line.pinned_at.contains(at)
                {
                    line.pinned_at.push(at.clone());
                }
            }
            Some(line)
        })
        .collect();
    // The order of the components stays within a symbol; removals come last.
    lines.sort_by_key(|line| line.symbol);
    lines
}

fn component(kind: &ActionKind) -> Component {
    match kind {
        ActionKind::PinGroups { .. } => Component::Pins,
        ActionKind::ControlPlaneHop { .. } | ActionKind::TidyUp { pool: None, .. } => {
            Component::ControlPlane
        }
        ActionKind::NodePoolRoll { pool, .. } | ActionKind::TidyUp { pool: Some(pool), .. } => {
            Component::Pool(pool.clone())
        }
        ActionKind::AddonApply { addon, .. }
        | ActionKind::AddonAdopt { addon, .. }
        | ActionKind::StorageMigration { addon, .. }
        | ActionKind::AddonRemove { addon, .. } => Component::Addon(addon.clone()),
        ActionKind::FinishWave { .. } => Component::Wave,
    }
}

fn pins(actions: &[(usize, &Action)]) -> Line {
    let mut line = Line::new(Component::Pins, "launch images");
    let mut groups = 0;
    for (_, action) in actions {
        let ActionKind::PinGroups { images } = &action.kind else { continue };
        groups += images.len();
        line.note(match action.why {
            Why::LaunchesTooNew => {
                "pinned first: these groups would launch nodes newer than the control plane"
            }
            Why::OnDelete => {
                "new nodes are of this version; those that are there stay until they are deleted"
            }
            _ => "pinned: these groups would otherwise launch nodes of another version",
        });
    }
    line.count = u32::try_from(groups).ok().map(Spread::of);
    line
}

fn control_plane(actions: &[(usize, &Action)]) -> Line {
    let mut line = Line::new(Component::ControlPlane, "control-plane");
    for (_, action) in actions {
        let ActionKind::ControlPlaneHop { from, to, images: _, instances: _ } = &action.kind else {
            line.note(TIDY_UP);
            continue;
        };
        line.goes(join(&**from, "/"), to.to_string());
        if from.iter().all(|from| from.same_release(to)) {
            // A hop that ends where it begins is only there to clear up; one that somebody else left half
            // done ends at the newer of its versions.
            line.note(TIDY_UP);
        }
        if from.iter().any(|from| from > to) {
            line.note("downgrade");
        }
    }
    line
}

fn node_pool(pool: &PoolName, actions: &[(usize, &Action)]) -> Line {
    let mut line = Line::new(Component::Pool(pool.clone()), pool.as_str());
    for (_, action) in actions {
        let ActionKind::NodePoolRoll { pool: _, from, to, images: _, nodes, cause, replace } =
            &action.kind
        else {
            line.note(TIDY_UP);
            continue;
        };
        let most = line.count.map_or(*nodes, |count| count.most.max(*nodes));
        line.count = Some(Spread::of(most));
        line.goes(join(&**from, "/"), to.to_string());
        if let Bounds::Rolling { surge, unavailable, .. } = &action.bounds {
            let (surge, unavailable) = (Spread::of(*surge), Spread::of(*unavailable));
            line.rolls(Rolling { surge, unavailable });
        }
        match cause {
            RollCause::Version => {}
            RollCause::NewerImage => line.note("newer image of the same version"),
            RollCause::Asked => {
                line.note(format!("asked for: replace {}", count(replace.len(), "instance")));
            }
            RollCause::LeftBehind => line.note(TIDY_UP),
        }
        match &action.why {
            Why::Skew { rule: _, before } => {
                line.note(format!("{to} before control plane {before} (skew policy)"));
            }
            Why::AddonKubelets { addon, version, .. } => {
                line.note(format!("{to} before {addon} {version}, which needs it"));
            }
            Why::AddonAfterNodes { addon } => line.note(format!("{to} before {addon}")),
            _ => {}
        }
        if from.iter().any(|from| from > to) {
            line.note("downgrade");
        }
    }
    line
}

fn add_on(name: &AddonName, actions: &[(usize, &Action)], way: &Way<'_>) -> Line {
    let mut line = Line::new(Component::Addon(name.clone()), name.as_str());
    for (at, action) in actions {
        match &action.kind {
            ActionKind::AddonApply { addon: _, from, to, digest: _, deletes } => {
                apply(&mut line, from, to, action);
                compatibility(&mut line, name, *at, from, to, way);
                if !deletes.is_empty() {
                    line.deletes(deletes.len(), 0);
                }
            }
            ActionKind::AddonAdopt { addon: _, from, to, digest: _, managers } => {
                line.symbol = Symbol::Adopt;
                line.chain.push(format!("adopt {from} as {to}"));
                if !managers.is_empty() {
                    line.note(format!("from {}", join(managers, ", ")));
                }
            }
            ActionKind::StorageMigration { addon: _, before, crds } => {
                let to: BTreeSet<&String> = crds.values().map(|crd| &crd.to).collect();
                let (crds, to) = (count(crds.len(), "CRD"), join(&to, ", "));
                line.note(format!("migrates {crds} to {to} before {before}"));
            }
            ActionKind::AddonRemove { addon: _, from: _, objects, kept } => {
                line.symbol = Symbol::Remove;
                if matches!(action.why, Why::Unlisted) {
                    line.note("no longer in any add-on set");
                }
                line.deletes(objects.len(), kept.len());
            }
            _ => {}
        }
    }
    line
}

fn apply(line: &mut Line, from: &AddonMark, to: &AddonVersion, action: &Action) {
    match from {
        AddonMark::Absent => {
            if line.chain.is_empty() {
                line.symbol = Symbol::Install;
            }
            line.goes(to.to_string(), to.to_string());
        }
        AddonMark::Foreign { version } => {
            line.symbol = Symbol::Adopt;
            line.goes(version.clone(), to.to_string());
        }
        AddonMark::At { version, digest: _ } => {
            line.goes(version.to_string(), to.to_string());
            match version.cmp(to) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => line.note("its manifests changed"),
                std::cmp::Ordering::Greater => line.note("downgrade"),
            }
        }
        AddonMark::Drifted { version, digest: _ } => {
            line.goes(version.to_string(), to.to_string());
            if let Why::Drift { fields } = &action.why {
                // The cluster changed, no file did: that is what this word is for.
                line.note(match fields.len() {
                    0 => "drift: changed by hand".to_owned(),
                    _ => format!("drift: {}", join(fields, ", ")),
                });
            } else {
                line.note("drift as well: fields were changed by hand");
            }
            if version > to {
                line.note("downgrade");
            }
        }
    }
}

/// Says which minor an add-on's step must come before or after, from the orders of the plan.
fn compatibility(
    line: &mut Line,
    name: &AddonName,
    at: usize,
    from: &AddonMark,
    to: &AddonVersion,
    way: &Way<'_>,
) {
    let there = match from {
        AddonMark::At { version, .. } | AddonMark::Drifted { version, .. } => Some(version),
        AddonMark::Absent | AddonMark::Foreign { .. } => None,
    };
    for (first, then, because) in &way.edges {
        let (addon, version, minor, what) = match because {
            Because::AddonCompatibility { addon, version, supports, minor } => {
                (addon, version, minor, format!("supports {}", supported(supports, *minor)))
            }
            Because::AddonApi { addon, version, api, minor } => {
                (addon, version, minor, format!("uses {api}"))
            }
            Because::AddonNeeded { addon, minor } => {
                if addon == name && *first == at {
                    line.note(format!("before {minor} (needed from there on)"));
                }
                continue;
            }
            _ => continue,
        };
        if addon != name {
            continue;
        }
        if *first == at && Some(version) == there {
            line.note(format!("before {minor} ({version} {what})"));
        } else if *then == at && version == to {
            line.note(format!("after {minor} ({version} {what})"));
        }
    }
}

/// `up to 1.32` or `from 1.33`, whichever bound excludes the minor; the range when neither is
/// that plain.
fn supported(range: &str, minor: Minor) -> String {
    for part in range.split(", ") {
        let bound = |sign: &str| part.strip_prefix(sign)?.parse::<Minor>().ok();
        match (bound("<="), bound(">=")) {
            (Some(high), _) if minor > high => return format!("up to {high}"),
            (_, Some(low)) if minor < low => return format!("from {low}"),
            _ => {}
        }
    }
    range.to_owned()
}

/// How much a cluster's way has of each kind of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    hops: usize,
    rolls: usize,
    addons: usize,
    pinned: usize,
    tidied: usize,
    /// How many nodes are replaced.
    pub(crate) nodes: u32,
}

impl Work {
    pub(crate) fn of(way: &Way<'_>) -> Self {
        let mut work = Self::default();
        let mut addons = BTreeSet::new();
        for action in &way.actions {
            match &action.kind {
                ActionKind::PinGroups { images } => work.pinned += images.len(),
                ActionKind::ControlPlaneHop { .. } => work.hops += 1,
                ActionKind::NodePoolRoll { nodes, .. } => {
                    work.rolls += 1;
                    work.nodes = work.nodes.saturating_add(*nodes);
                }
                ActionKind::TidyUp { .. } => work.tidied += 1,
                ActionKind::AddonApply { addon, .. }
                | ActionKind::AddonAdopt { addon, .. }
                | ActionKind::StorageMigration { addon, .. }
                | ActionKind::AddonRemove { addon, .. } => {
                    addons.insert(addon);
                }
                ActionKind::FinishWave { .. } => {}
            }
        }
        work.addons = addons.len();
        work
    }
}

/// `3 hops`, `1 to 2 node rolls`, `4 add-ons`.
pub(crate) fn summary(works: &[Work]) -> Vec<String> {
    let over = |of: fn(&Work) -> usize| Spread::over(works.iter().map(of));
    let mut pieces = Vec::new();
    for (spread, what) in [
        (over(|work| work.hops), "hop"),
        (over(|work| work.rolls), "node roll"),
        (over(|work| work.addons), "add-on"),
        (over(|work| work.pinned), "pinned group"),
        (over(|work| work.tidied), "tidy-up"),
    ] {
        let Some(Spread { least, most }) = spread.filter(|spread| spread.most > 0) else {
            continue;
        };
        let most_text = count(most, what);
        let text = if least == most { most_text } else { format!("{least} to {most_text}") };
        pieces.push(text);
    }
    pieces
}

fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
