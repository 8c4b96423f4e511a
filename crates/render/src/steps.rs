//! What a plan does to a cluster, a line per component: the chain of its versions and what is
//! to be said about it.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionKind, AddonMark, AddonName, AddonVersion, Because, Bounds, Location, Minor,
    PoolName, RollCause, Why,
};

use crate::paint::Paint;
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
enum Component {
    Pins,
    ControlPlane,
    Pool(PoolName),
    Addon(AddonName),
    Wave,
}

/// One component of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) symbol: Symbol,
    pub(crate) subject: String,
    /// How many nodes or groups.
    pub(crate) count: Option<u32>,
    /// The versions, the first is what is there.
    pub(crate) chain: Vec<String>,
    pub(crate) notes: Vec<String>,
    /// Where pins of the cluster stand: what makes no difference between clusters.
    pub(crate) pinned_at: Vec<Location>,
}

/// What makes two lines the same for people who review clusters that make the same way.
pub(crate) type Key = (Symbol, String, Option<u32>, Vec<String>, Vec<String>, bool);

impl Line {
    pub(crate) fn key(&self) -> Key {
        let Self { symbol, subject, count, chain, notes, pinned_at } = self;
        let pinned = !pinned_at.is_empty();
        (*symbol, subject.clone(), *count, chain.clone(), notes.clone(), pinned)
    }

    fn new(subject: impl Into<String>) -> Self {
        Self {
            symbol: Symbol::Change,
            subject: subject.into(),
            count: None,
            chain: Vec::new(),
            notes: Vec::new(),
            pinned_at: Vec::new(),
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
                Component::Wave => return None,
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
    let mut line = Line::new("launch images");
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
            _ => "pinned: these groups would launch another version than their nodes run",
        });
    }
    line.count = u32::try_from(groups).ok();
    line
}

fn control_plane(actions: &[(usize, &Action)]) -> Line {
    let mut line = Line::new("control-plane");
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
    let mut line = Line::new(pool.as_str());
    for (_, action) in actions {
        let ActionKind::NodePoolRoll { pool: _, from, to, images: _, nodes, cause, replace } =
            &action.kind
        else {
            line.note(TIDY_UP);
            continue;
        };
        line.count = line.count.max(Some(*nodes));
        line.goes(join(&**from, "/"), to.to_string());
        if let Bounds::Rolling { surge, unavailable, .. } = &action.bounds {
            line.note(format!("surge {surge}, unavailable {unavailable}"));
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
    let mut line = Line::new(name.as_str());
    for (at, action) in actions {
        match &action.kind {
            ActionKind::AddonApply { addon: _, from, to, digest: _, deletes } => {
                apply(&mut line, from, to, action);
                compatibility(&mut line, name, *at, from, to, way);
                if !deletes.is_empty() {
                    line.note(format!("deletes {}", count(deletes.len(), "object")));
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
                let why = match action.why {
                    Why::Unlisted => "no longer in any add-on set, ",
                    _ => "",
                };
                let kept = match kept.len() {
                    0 => String::new(),
                    n => format!(", {n} kept"),
                };
                line.note(format!("{why}{}{kept}", count(objects.len(), "object")));
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

/// `3 control-plane hops`, `1 node roll`, `4 add-ons`; `hop` is what a hop is called.
pub(crate) fn summary(way: &Way<'_>, hop: &str) -> Vec<String> {
    let (mut hops, mut rolls, mut pinned, mut tidied) = (0, 0, 0, 0);
    let mut addons = BTreeSet::new();
    for action in &way.actions {
        match &action.kind {
            ActionKind::PinGroups { images } => pinned += images.len(),
            ActionKind::ControlPlaneHop { .. } => hops += 1,
            ActionKind::NodePoolRoll { .. } => rolls += 1,
            ActionKind::TidyUp { .. } => tidied += 1,
            ActionKind::AddonApply { addon, .. }
            | ActionKind::AddonAdopt { addon, .. }
            | ActionKind::StorageMigration { addon, .. }
            | ActionKind::AddonRemove { addon, .. } => {
                addons.insert(addon);
            }
            ActionKind::FinishWave { .. } => {}
        }
    }
    let mut pieces = Vec::new();
    for (n, what) in [
        (hops, hop),
        (rolls, "node roll"),
        (addons.len(), "add-on"),
        (pinned, "pinned group"),
        (tidied, "tidy-up"),
    ] {
        if n > 0 {
            pieces.push(count(n, what));
        }
    }
    pieces
}
