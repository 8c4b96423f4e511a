//! How long actions take: what earlier runs have measured, and ranges for what is planned.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Action, ActionId, ActionKind, Bounds, JournalRecord, Outcome, Period, Plan, Progress, Purpose,
    RecordKind, Timestamp,
};

/// A kind of work that always takes about as long.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Pointing groups at an image.
    PinGroups,
    /// Replacing one instance of a control plane.
    ControlPlaneInstance,
    /// Replacing one node of a pool, without the pause after it.
    Node,
    /// Applying an add-on.
    AddonApply,
    /// Taking an add-on over.
    AddonAdopt,
    /// Removing an add-on.
    AddonRemove,
    /// Writing the objects of an add-on's definitions back.
    StorageMigration,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PinGroups => "pinning of groups",
            Self::ControlPlaneInstance => "instance of a control plane",
            Self::Node => "node of a pool",
            Self::AddonApply => "apply of an add-on",
            Self::AddonAdopt => "adoption of an add-on",
            Self::AddonRemove => "removal of an add-on",
            Self::StorageMigration => "migration of stored objects",
        })
    }
}

impl Work {
    /// The work that an action consists of, and how often; none where that cannot be told before.
    pub fn of(kind: &ActionKind) -> Option<(Self, u32)> {
        match kind {
            ActionKind::PinGroups { .. } => Some((Self::PinGroups, 1)),
            ActionKind::ControlPlaneHop { instances, .. } => {
                Some((Self::ControlPlaneInstance, (*instances).max(1)))
            }
            ActionKind::NodePoolRoll { nodes, .. } => Some((Self::Node, (*nodes).max(1))),
            ActionKind::AddonApply { .. } => Some((Self::AddonApply, 1)),
            ActionKind::AddonAdopt { .. } => Some((Self::AddonAdopt, 1)),
            ActionKind::AddonRemove { .. } => Some((Self::AddonRemove, 1)),
            ActionKind::StorageMigration { .. } => Some((Self::StorageMigration, 1)),
            ActionKind::TidyUp { .. } | ActionKind::FinishWave { .. } => None,
        }
    }
}

/// What a kind of work took in earlier runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Measured {
    /// How many actions were measured.
    pub samples: u32,
    /// At least; of more than ten, one in ten took less.
    pub low: Period,
    /// Half of them took at most so long.
    pub middle: Period,
    /// At most; of more than ten, one in ten took more.
    pub high: Period,
}

/// What earlier runs took, by kind of work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Durations(BTreeMap<Work, Measured>);

impl Durations {
    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What that work took.
    pub fn get(&self, work: Work) -> Option<&Measured> {
        self.0.get(&work)
    }

    /// Only what these actions do.
    #[must_use]
    pub fn only<'k>(&self, kinds: impl IntoIterator<Item = &'k ActionKind>) -> Self {
        if self.is_empty() {
            return Self::default();
        }
        let works = kinds.into_iter().filter_map(Work::of).map(|(work, _)| work);
        let works: BTreeSet<Work> = works.collect();
        let kept = self.0.iter().filter(|(work, _)| works.contains(work));
        Self(kept.map(|(work, measured)| (*work, *measured)).collect())
    }

    /// How long an action may be expected to take, by what was measured; else as it says itself.
    pub fn estimate(&self, action: &Action) -> Period {
        match self.of(action) {
            Some((measured, times)) => measured.middle.plus(pause(action)).times(times),
            None => action.estimate,
        }
    }

    /// Between which times an action may be expected to end.
    ///
    /// Where nothing was measured, the lower end is half of what work of its kind usually takes,
    /// and the upper end is when it fails: what lies between is all that the files promise.
    pub fn span(&self, action: &Action) -> Span {
        if let Some((measured, times)) = self.of(action) {
            let of = |period: Period| period.plus(pause(action)).times(times);
            return Span {
                low: of(measured.low),
                middle: of(measured.middle),
                high: of(measured.high),
            };
        }
        if matches!(action.kind, ActionKind::FinishWave { .. }) {
            return Span::default();
        }
        let times = Work::of(&action.kind).map_or(1, |(_, times)| times);
        let pauses = pause(action).times(times).min(action.estimate);
        let work = action.estimate.as_secs() - pauses.as_secs();
        Span {
            low: pauses.plus(Period::seconds(work / 2)),
            middle: action.estimate,
            high: action.timeout.max(action.estimate),
        }
    }

    /// How many earlier actions the span of an action rests on; 0: on none, but on its bounds.
    pub fn samples(&self, action: &Action) -> u32 {
        self.of(action).map_or(0, |(measured, _)| measured.samples)
    }

    /// What was measured, by kind of work.
    pub fn iter(&self) -> impl Iterator<Item = (Work, &Measured)> {
        self.0.iter().map(|(work, measured)| (*work, measured))
    }

    fn of(&self, action: &Action) -> Option<(&Measured, u32)> {
        let (work, times) = Work::of(&action.kind)?;
        Some((self.get(work)?, times))
    }
}

/// The pause after each machine.
fn pause(action: &Action) -> Period {
    match &action.bounds {
        Bounds::Rolling { node_interval, .. } => *node_interval,
        Bounds::None => Period::ZERO,
    }
}

/// Between which times something may be expected to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Span {
    /// Not before.
    pub low: Period,
    /// About then.
    pub middle: Period,
    /// Not after.
    pub high: Period,
}

impl Span {
    /// One after the other.
    #[must_use]
    pub fn then(self, other: Self) -> Self {
        Self {
            low: self.low.plus(other.low),
            middle: self.middle.plus(other.middle),
            high: self.high.plus(other.high),
        }
    }

    /// Both at once: the later of both, at each end.
    #[must_use]
    pub fn beside(self, other: Self) -> Self {
        Self {
            low: self.low.max(other.low),
            middle: self.middle.max(other.middle),
            high: self.high.max(other.high),
        }
    }
}

/// So few actions say too little of a kind of work: bounds say more.
const SAMPLES_MIN: usize = 3;

/// What actions took, as journals tell it.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In seconds, for one machine where the work is on machines.
    took: BTreeMap<Work, Vec<u32>>,
}

impl History {
    /// Adds what a run has done. Actions that were interrupted, or did not succeed, or found their
    /// work done, say nothing of how long it takes.
    pub fn add(&mut self, plan: &Plan, records: &[JournalRecord]) {
        let mut begun: BTreeMap<&ActionId, (Timestamp, u32)> = BTreeMap::new();
        for record in records {
            match &record.kind {
                RecordKind::ActionStarted { action } => {
                    begun.insert(action, (record.at, 0));
                }
                RecordKind::Progress { action, progress } => match progress {
                    // One that is only one more than usual is drained, and not replaced.
                    Progress::NodeChosen { purpose: Purpose::Replace, .. } => {
                        if let Some((_, nodes)) = begun.get_mut(action) {
                            *nodes += 1;
                        }
                    }
                    Progress::Healing { .. } | Progress::JournalBehind { .. } => {
                        begun.remove(action);
                    }
                    Progress::NodeChosen { purpose: Purpose::Surplus | Purpose::Move, .. }
                    | Progress::EtcdBaseline { .. }
                    | Progress::Waiting { .. }
                    | Progress::NodeDone { .. } => {}
                },
                RecordKind::RunContinued { .. } | RecordKind::StopAsked { .. } => begun.clear(),
                RecordKind::ActionEnded { action, outcome } => {
                    if let (Some((at, nodes)), Outcome::Done) = (begun.remove(action), outcome) {
                        self.took(plan, action, at, record.at, nodes);
                    }
                }
                _ => {}
            }
        }
    }

    fn took(&mut self, plan: &Plan, id: &ActionId, begun: Timestamp, ended: Timestamp, nodes: u32) {
        let Some(action) = plan.action(id) else { return };
        let Some((work, _)) = Work::of(&action.kind) else { return };
        let seconds = ended.as_second().saturating_sub(begun.as_second());
        let Ok(seconds) = u32::try_from(seconds) else { return };
        let each = if action.kind.rolls() {
            let Some(each) = seconds.checked_div(nodes) else { return };
            each.saturating_sub(pause(action).as_secs())
        } else {
            seconds
        };
        self.took.entry(work).or_default().push(each);
    }

    /// The summary, of what was measured often enough.
    pub fn durations(&self) -> Durations {
        let enough = self.took.iter().filter(|(_, took)| took.len() >= SAMPLES_MIN);
        Durations(enough.map(|(work, took)| (*work, summary(took.clone()))).collect())
    }
}

fn summary(mut took: Vec<u32>) -> Measured {
    took.sort_unstable();
    let last = took.len().saturating_sub(1);
    // Of more than ten, the fastest and the slowest tenth are left out.
    let aside = last / 10;
    let at = |place: usize| Period::seconds(took.get(place).copied().unwrap_or(0)).min(Period::MAX);
    Measured {
        samples: u32::try_from(took.len()).unwrap_or(u32::MAX),
        low: at(aside),
        middle: at(last / 2),
        high: at(last - aside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ActionKind, Digest, GivingUp, ImageId, InstanceId, PoolName, Reversibility, RollCause,
        StateGuard, Stop, Why,
    };

    const PAUSE: Period = Period::seconds(30);

    fn action(kind: ActionKind, timeout: Period, estimate: Period) -> Action {
        let bounds = Bounds::Rolling {
            surge: 1,
            unavailable: 0,
            drain_timeout: Period::minutes(10),
            wait_complete: Period::ZERO,
            node_ready_timeout: Period::minutes(10),
            unreachable_timeout: Period::minutes(10),
            node_interval: if kind.rolls() { PAUSE } else { Period::ZERO },
        };
        Action {
            id: Action::id_of(None, &kind),
            cluster: None,
            kind,
            expect: StateGuard::Anything.into(),
            ensure: StateGuard::Anything.into(),
            bounds,
            timeout,
            estimate,
            reversible: Reversibility::Reversible,
            why: Why::Asked,
        }
    }

    fn roll(pool: &str, nodes: u32) -> Action {
        let pool: PoolName = pool.parse().unwrap();
        let (to, cause) = (crate::KubeVersion::new(1, 34, 3), RollCause::Asked);
        let (from, images) = (BTreeSet::from([to.clone()]).into(), BTreeMap::new());
        let replace = BTreeSet::new();
        let kind = ActionKind::NodePoolRoll { pool, from, to, images, nodes, cause, replace };
        action(kind, Period::minutes(100), Period::minutes(20))
    }

    fn pins(image: &str) -> Action {
        let image: ImageId = image.parse().unwrap();
        let kind = ActionKind::PinGroups { images: [("g".parse().unwrap(), image)].into() };
        action(kind, Period::minutes(10), Period::seconds(10))
    }

    fn plan(actions: Vec<Action>) -> Plan {
        let mut plan = Plan {
            fleet: "acme".parse().unwrap(),
            made_with: String::new(),
            taken_at: Timestamp::UNIX_EPOCH,
            config_digest: Digest::of_bytes(b""),
            snapshot_digest: Digest::of_bytes(b""),
            clusters: Vec::new(),
            waves: Vec::new(),
            actions: actions.into_iter().map(Box::new).collect(),
            edges: Vec::new(),
            implied: Vec::new(),
            findings: Vec::new(),
            critical_path: Period::ZERO,
            measured: Durations::default(),
            selection: crate::Selection::default(),
            left_out: std::collections::BTreeSet::new(),
            downgrade: std::collections::BTreeSet::new(),
            now: None,
        };
        plan.actions.sort_by_key(|a| a.id);
        plan
    }

    /// Records at these seconds.
    fn records(kinds: Vec<(i64, RecordKind)>) -> Vec<JournalRecord> {
        let record = |(second, kind)| JournalRecord {
            seq: 1,
            epoch: 1,
            at: Timestamp::from_second(second).unwrap(),
            kind,
        };
        kinds.into_iter().map(record).collect()
    }

    fn began(action: &Action) -> RecordKind {
        RecordKind::ActionStarted { action: action.id }
    }

    fn ended(action: &Action, outcome: Outcome) -> RecordKind {
        RecordKind::ActionEnded { action: action.id, outcome }
    }

    fn chosen(action: &Action, instance: &str, purpose: Purpose) -> RecordKind {
        let instance: InstanceId = instance.parse().unwrap();
        let (node, baseline) = (None, BTreeMap::new());
        let progress = Progress::NodeChosen { instance, node, purpose, baseline };
        RecordKind::Progress { action: action.id, progress }
    }

    /// A roll of two nodes, whose nodes took so many seconds each, the pause not counted.
    fn rolled(action: &Action, each: i64) -> Vec<(i64, RecordKind)> {
        let end = 2 * (each + 30);
        vec![
            (0, began(action)),
            (0, chosen(action, "i-1", Purpose::Replace)),
            (each, chosen(action, "i-2", Purpose::Replace)),
            (end, chosen(action, "i-3", Purpose::Surplus)),
            (end, ended(action, Outcome::Done)),
        ]
    }

    fn node(history: &History) -> Option<Measured> {
        history.durations().get(Work::Node).copied()
    }

    #[test]
    fn a_roll_is_measured_by_the_node_without_its_pauses() {
        let roll = roll("workers", 2);
        let plan = plan(vec![roll.clone()]);
        let mut history = History::default();
        for each in [200, 100] {
            history.add(&plan, &records(rolled(&roll, each)));
        }
        assert_eq!(node(&history), None, "two say too little");
        history.add(&plan, &records(rolled(&roll, 400)));
        let [low, middle, high] = [100, 200, 400].map(Period::seconds);
        assert_eq!(node(&history), Some(Measured { samples: 3, low, middle, high }));
        // Another pool, of ten nodes: each takes that, and the pause.
        let other = super::tests::roll("other", 10);
        let durations = history.durations();
        assert_eq!(durations.estimate(&other), Period::seconds(10 * 230));
        let [low, middle, high] = [130, 230, 430].map(|each| Period::seconds(10 * each));
        assert_eq!(durations.span(&other), Span { low, middle, high });
        assert_eq!(durations.samples(&other), 3);
        assert_eq!(durations.samples(&pins("ami-1")), 0);
        assert!(durations.only([&pins("ami-1").kind]).is_empty());
        assert_eq!(durations.only([&other.kind]), durations);
    }

    #[test]
    fn what_was_interrupted_or_failed_says_nothing() {
        let roll = roll("workers", 2);
        let plan = plan(vec![roll.clone()]);
        let who = || "eve@host".to_owned();
        let healing = Progress::Healing { why: GivingUp::Cancelled };
        let disturbances = [
            RecordKind::RunContinued { who: who() },
            RecordKind::StopAsked { stop: Stop::Finish },
            RecordKind::Progress { action: roll.id, progress: healing },
        ];
        let mut history = History::default();
        for disturbance in disturbances {
            let mut kinds = rolled(&roll, 100);
            kinds.insert(1, (50, disturbance));
            history.add(&plan, &records(kinds));
        }
        for outcome in [Outcome::AlreadySatisfied, Outcome::Stopped] {
            history.add(&plan, &records(vec![(0, began(&roll)), (9, ended(&roll, outcome))]));
        }
        // Nothing was replaced, or it is not in the plan, or the clock ran backwards.
        let nothing = vec![(0, began(&roll)), (9, ended(&roll, Outcome::Done))];
        history.add(&plan, &records(nothing));
        let stranger = super::tests::roll("stranger", 2);
        history.add(&plan, &records(rolled(&stranger, 100)));
        let mut backwards = rolled(&roll, 100);
        backwards[0].0 = 1_000_000;
        history.add(&plan, &records(backwards));
        assert!(history.took.is_empty(), "{history:?}");
    }

    #[test]
    fn of_many_the_fastest_and_the_slowest_tenth_are_left_out() {
        let took: Vec<u32> = (1..=21).rev().collect();
        let [low, middle, high] = [3, 11, 19].map(Period::seconds);
        assert_eq!(summary(took), Measured { samples: 21, low, middle, high });
    }

    #[test]
    fn without_measurements_bounds_decide() {
        let roll = roll("workers", 4);
        let span = Durations::default().span(&roll);
        // Two minutes of pauses, and half of the eighteen that are work.
        let [low, middle, high] = [11, 20, 100].map(Period::minutes);
        assert_eq!(span, Span { low, middle, high });
        assert_eq!(Durations::default().estimate(&roll), roll.estimate);
        let kind = ActionKind::FinishWave {
            channel: "stable".parse().unwrap(),
            wave: 1,
            max_failed_clusters: 0,
        };
        let end = action(kind, Period::MAX, Period::ZERO);
        assert_eq!(Durations::default().span(&end), Span::default());
    }
}
