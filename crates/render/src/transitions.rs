//! The transitions of a plan: clusters that make the same steps are one group, however many nodes
//! they have and whatever their pools are called.
//!
//! This module decides what belongs together; how it is written is decided elsewhere. Two clusters are in
//! one group if their channel, their versions, the steps of their control plane, their pools and their
//! add-ons with the order of these, and the kinds of findings about them are the same. Numbers of nodes,
//! surges and durations are ranges. Notes do not set clusters apart: they ask for no decision.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionKind, ChannelName, ClusterName, ClusterStatus, Code, Period, Plan, Schedule,
    Severity, Span,
};

use crate::spread::Spread;
use crate::steps::{self, Component, Line, LineKey, Work};
use crate::way::{Way, from_text, ways};
use crate::words::{join, shorten, size};

/// Pools that not all clusters of a group have are told one by one while those that make the same steps
/// have at most so many names. Fleets that name their pools after the cluster have hundreds.
const POOL_NAMES_MAX: usize = 4;

/// A cluster with its lines.
type Member<'p> = (Way<'p>, Vec<Line>);

/// Kinds of findings that set clusters apart.
pub(crate) type Findings = BTreeSet<(Severity, Code)>;

/// The clusters that make the same transition.
pub(crate) struct Transition<'p> {
    /// By cluster; never empty.
    pub(crate) ways: Vec<Way<'p>>,
    /// What is done, a line for each component of the clusters.
    pub(crate) lines: Vec<Line>,
    /// How much is done in each cluster, in the order of `ways`.
    pub(crate) works: Vec<Work>,
    /// Of what kinds the findings about each of the clusters are, without notes.
    pub(crate) findings: Findings,
    /// How long each cluster takes, once it has begun.
    pub(crate) takes: Takes,
    /// The place of the first group that makes the same steps, if it is an earlier one: this group
    /// differs in its channel or in the findings about it only.
    pub(crate) same_steps_as: Option<usize>,
    /// Whether another group of its channel makes the same steps: only findings set the two apart.
    pub(crate) differs_in_findings: bool,
}

/// How long the clusters of a group take, once each has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Takes {
    /// What is expected.
    pub(crate) expected: Spread<Period>,
    /// The least of all lower ends.
    pub(crate) low: Period,
    /// The most of all upper ends.
    pub(crate) high: Period,
}

impl Takes {
    fn of(spans: impl IntoIterator<Item = Span>) -> Self {
        let takes = spans.into_iter().map(|Span { low, middle, high }| Self {
            expected: Spread::of(middle),
            low,
            high,
        });
        let longest = takes.reduce(|one, other| Self {
            expected: one.expected.with(other.expected),
            low: one.low.min(other.low),
            high: one.high.max(other.high),
        });
        longest.unwrap_or(Self {
            expected: Spread::of(Period::ZERO),
            low: Period::ZERO,
            high: Period::ZERO,
        })
    }
}

impl<'p> Transition<'p> {
    pub(crate) fn first(&self) -> &Way<'p> {
        self.ways.first().expect("a transition is made with its first cluster")
    }

    pub(crate) fn channel(&self) -> &'p ChannelName {
        &self.first().cluster.channel
    }

    pub(crate) fn names(&self) -> impl ExactSizeIterator<Item = &'p str> + '_ {
        self.ways.iter().map(|way| way.cluster.name.as_str())
    }

    /// Returns the name of the only cluster, or that of the first and how many more there are.
    pub(crate) fn label(&self) -> (&'p str, String) {
        let more = match self.ways.len() {
            0 | 1 => String::new(),
            n => format!("and {} more", n - 1),
        };
        (self.first().cluster.name.as_str(), more)
    }

    /// Returns the label as one text, in which the name has at most `most` columns.
    pub(crate) fn label_text(&self, most: usize) -> String {
        let (name, more) = self.label();
        format!("{} {more}", shorten(name, most)).trim_end().to_owned()
    }

    /// Returns the label for a list of several.
    pub(crate) fn listed_label(&self, most: usize) -> String {
        let (name, more) = self.label();
        let name = shorten(name, most);
        if more.is_empty() { name } else { format!("{name} ({more})") }
    }

    /// Returns how many nodes are replaced in a cluster.
    pub(crate) fn nodes(&self) -> Spread<u32> {
        let nodes = Spread::over(self.works.iter().map(|work| work.nodes));
        nodes.unwrap_or(Spread::of(0))
    }

    /// Returns how many nodes are replaced in all clusters.
    pub(crate) fn nodes_in_all(&self) -> usize {
        self.works.iter().map(|work| size(work.nodes)).sum()
    }

    /// Returns the pools of the clusters if all of them have the same, so that the order of one is that of
    /// all to the letter.
    pub(crate) fn pools(&self) -> Option<BTreeSet<&str>> {
        let mut of_each = self.ways.iter().map(pools);
        let first = of_each.next()?;
        of_each.all(|pools| pools == first).then_some(first)
    }
}

/// Returns the pools of a cluster that something is done to.
fn pools<'p>(way: &Way<'p>) -> BTreeSet<&'p str> {
    let pools = way.actions.iter().filter_map(|action| match &action.kind {
        ActionKind::NodePoolRoll { pool, .. } | ActionKind::TidyUp { pool: Some(pool), .. } => {
            Some(pool.as_str())
        }
        ActionKind::TidyUp { pool: None, .. }
        | ActionKind::PinGroups { .. }
        | ActionKind::ControlPlaneHop { .. }
        | ActionKind::AddonApply { .. }
        | ActionKind::AddonAdopt { .. }
        | ActionKind::AddonRemove { .. }
        | ActionKind::StorageMigration { .. }
        | ActionKind::FinishWave { .. } => None,
    });
    pools.collect()
}

/// All that decides whether two clusters make the same steps.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Steps {
    status: ClusterStatus,
    from: String,
    to: String,
    lines: BTreeSet<LineKey>,
    /// Which kinds of actions come directly before which.
    order: BTreeSet<(String, String)>,
}

impl Steps {
    fn of(way: &Way<'_>, lines: &[Line]) -> Self {
        let kinds: Vec<String> = way.actions.iter().map(|action| kind(action)).collect();
        let order = way.edges.iter().filter_map(|(first, then, _)| {
            let (first, then) = (kinds.get(*first)?, kinds.get(*then)?);
            (first != then).then(|| (first.clone(), then.clone()))
        });
        Self {
            status: way.cluster.status,
            from: from_text(way.cluster),
            to: way.cluster.to.to_string(),
            lines: lines.iter().map(Line::key).collect(),
            order: order.collect(),
        }
    }
}

/// Returns what an action does, without the name of its pool and without numbers.
fn kind(action: &Action) -> String {
    match &action.kind {
        ActionKind::PinGroups { .. } => "pin".to_owned(),
        ActionKind::NodePoolRoll { from, to, .. } => format!("roll {} -> {to}", join(&**from, "/")),
        ActionKind::TidyUp { pool: Some(_), .. } => "tidy up a pool".to_owned(),
        ActionKind::TidyUp { pool: None, .. }
        | ActionKind::ControlPlaneHop { .. }
        | ActionKind::AddonApply { .. }
        | ActionKind::AddonAdopt { .. }
        | ActionKind::StorageMigration { .. }
        | ActionKind::AddonRemove { .. }
        | ActionKind::FinishWave { .. } => action.kind.to_string(),
    }
}

/// Returns the clusters with something to do in groups: by channel in the order of their waves, the
/// largest group of a channel first, then by the name of its first cluster.
pub(crate) fn transitions<'p>(plan: &'p Plan, schedule: &Schedule) -> Vec<Transition<'p>> {
    let findings = findings(plan);
    let mut members: BTreeMap<(&ChannelName, Steps, Findings), Vec<Member<'_>>> = BTreeMap::new();
    for way in ways(plan) {
        let lines = steps::lines(&way);
        let steps = Steps::of(&way, &lines);
        let found = findings.get(&way.cluster.name).cloned().unwrap_or_default();
        members.entry((&way.cluster.channel, steps, found)).or_default().push((way, lines));
    }
    let mut groups: Vec<(Steps, Transition<'_>)> = members
        .into_iter()
        .map(|((_, steps, findings), members)| {
            let (ways, lines): (Vec<Way<'_>>, Vec<Vec<Line>>) = members.into_iter().unzip();
            let spans = ways.iter().filter_map(|way| schedule.clusters.get(&way.cluster.name));
            let takes = Takes::of(spans.copied());
            let works = ways.iter().map(Work::of).collect();
            let lines = merged(lines);
            let (same_steps_as, differs_in_findings) = (None, false);
            let group = Transition {
                ways,
                lines,
                works,
                findings,
                takes,
                same_steps_as,
                differs_in_findings,
            };
            (steps, group)
        })
        .collect();
    let rank = |channel: &ChannelName| plan.waves.iter().position(|wave| wave.channel == *channel);
    let ranks: BTreeMap<&ChannelName, usize> = plan
        .clusters
        .iter()
        .map(|cluster| (&cluster.channel, rank(&cluster.channel).unwrap_or(usize::MAX)))
        .collect();
    groups.sort_by_cached_key(|(_, group)| {
        let (channel, first) = (group.channel(), &group.first().cluster.name);
        let rank = ranks.get(channel).copied().unwrap_or(usize::MAX);
        (rank, channel.clone(), std::cmp::Reverse(group.ways.len()), first.clone())
    });
    let mut seen: BTreeMap<Steps, usize> = BTreeMap::new();
    let mut transitions: Vec<Transition<'_>> = Vec::with_capacity(groups.len());
    let mut in_channel: BTreeMap<(&ChannelName, usize), usize> = BTreeMap::new();
    for (at, (steps, mut group)) in groups.into_iter().enumerate() {
        group.same_steps_as = seen.get(&steps).copied();
        seen.entry(steps).or_insert(at);
        *in_channel.entry((group.channel(), group.same_steps_as.unwrap_or(at))).or_default() += 1;
        transitions.push(group);
    }
    for (at, group) in transitions.iter_mut().enumerate() {
        let of_steps = (group.channel(), group.same_steps_as.unwrap_or(at));
        group.differs_in_findings = in_channel.get(&of_steps).is_some_and(|groups| *groups > 1);
    }
    transitions
}

/// Returns the kinds of findings about each cluster that a reviewer has to decide about.
fn findings(plan: &Plan) -> BTreeMap<&ClusterName, Findings> {
    let mut findings: BTreeMap<&ClusterName, Findings> = BTreeMap::new();
    for finding in plan.findings.iter().filter(|finding| finding.severity != Severity::Note) {
        let of_cluster = findings.entry(&finding.subject.cluster).or_default();
        of_cluster.insert((finding.severity, finding.code));
    }
    findings
}

/// Returns the lines of several clusters as those of one. Pools that all clusters have stay apart.
fn merged(lines: Vec<Vec<Line>>) -> Vec<Line> {
    let clusters = lines.len();
    let mut merged: BTreeMap<(LineKey, Component), Line> = BTreeMap::new();
    for line in lines.into_iter().flatten() {
        match merged.entry((line.key(), line.component.clone())) {
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(line);
            }
            std::collections::btree_map::Entry::Occupied(taken) => taken.into_mut().merge(line),
        }
    }
    let mut names: BTreeMap<LineKey, usize> = BTreeMap::new();
    for ((key, component), line) in &merged {
        if matches!(component, Component::Pool(_)) && line.clusters < clusters {
            *names.entry(key.clone()).or_default() += 1;
        }
    }
    let mut all: Vec<Line> = Vec::new();
    let mut pools: BTreeMap<LineKey, Line> = BTreeMap::new();
    for ((key, _), mut line) in merged {
        if line.clusters == clusters || names.get(&key).copied().unwrap_or(0) <= POOL_NAMES_MAX {
            all.push(line);
            continue;
        }
        line.component = Component::Pools;
        match pools.entry(key) {
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(line);
            }
            std::collections::btree_map::Entry::Occupied(taken) => taken.into_mut().merge(line),
        }
    }
    all.extend(pools.into_values().map(|mut line| {
        line.subject = format!("{} node pools", line.clusters);
        line
    }));
    // Removals come last, as within a cluster.
    all.sort_by(|one, other| (one.symbol, &one.component).cmp(&(other.symbol, &other.component)));
    all
}

#[cfg(test)]
mod tests {
    use refit_model::{AddonMark, Bounds, Plan};

    use super::*;
    use crate::sample::{Sample, action, apply, at, hop, remove, roll};

    /// The names of the clusters of each group.
    fn grouped(plan: &Plan) -> Vec<Vec<String>> {
        let groups = transitions(plan, &Schedule::of(plan));
        groups.iter().map(|group| group.names().map(str::to_owned).collect()).collect()
    }

    const MANY: [(&str, u32); 6] =
        [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5), ("workers", 6)];

    #[test]
    fn pools_that_every_cluster_has_are_told_by_name() {
        for clusters in [1, 4] {
            let mut sample = Sample::new();
            for number in 0..clusters {
                sample = sample.upgrade("beta", &format!("eu-{number}"), &MANY);
            }
            let groups = transitions(&sample.plan, &Schedule::of(&sample.plan));
            let [group] = groups.as_slice() else { panic!("{} groups", groups.len()) };
            let told =
                group.lines.iter().filter(|line| matches!(line.component, Component::Pool(_)));
            assert_eq!(told.count(), MANY.len());
            assert_eq!(group.pools().map(|pools| pools.len()), Some(MANY.len()));
        }
    }

    #[test]
    fn a_pool_that_may_lose_nodes_is_not_hidden_among_others() {
        let names: Vec<String> = (0..6).map(|number| format!("pool-{number}")).collect();
        let mut sample = Sample::new();
        for (number, name) in names.iter().enumerate() {
            let pools = [(name.as_str(), 3)];
            sample = sample.upgrade("beta", &format!("eu-{number}"), &pools);
        }
        let pools = |plan: &Plan| -> Vec<String> {
            let groups = transitions(plan, &Schedule::of(plan));
            let lines = groups.iter().flat_map(|group| &group.lines);
            let told = lines
                .filter(|line| matches!(line.component, Component::Pool(_) | Component::Pools));
            told.map(|line| line.subject.clone()).collect()
        };
        assert_eq!(pools(&sample.plan), ["6 node pools"]);
        for action in &mut sample.plan.actions {
            if let ActionKind::NodePoolRoll { pool, .. } = &action.kind
                && pool.as_str() == "pool-3"
                && let Bounds::Rolling { unavailable, .. } = &mut action.bounds
            {
                *unavailable = 3;
            }
        }
        assert_eq!(pools(&sample.plan), ["5 node pools", "pool-3"]);
    }

    #[test]
    fn a_group_says_that_its_pool_may_lose_nodes() {
        let mut sample = Sample::new()
            .upgrade("beta", "eu-1", &[("workers", 3)])
            .upgrade("beta", "eu-2", &[("workers", 3)])
            .upgrade("beta", "eu-3", &[("workers", 3)]);
        let own: refit_model::ClusterName = "eu-3".parse().unwrap();
        for action in &mut sample.plan.actions {
            if action.cluster.as_ref() == Some(&own)
                && let Bounds::Rolling { unavailable, .. } = &mut action.bounds
                && matches!(action.kind, ActionKind::NodePoolRoll { .. })
            {
                *unavailable = 2;
            }
        }
        let text = crate::plan_text(&sample.plan, None, crate::Style::default());
        assert!(text.contains("workers may have fewer nodes than usual"), "{text}");
    }

    #[test]
    fn sizes_and_names_of_pools_do_not_set_clusters_apart() {
        let sample = Sample::new()
            .upgrade("beta", "eu-1", &[("workers", 3)])
            .upgrade("beta", "eu-2", &[("workers", 40), ("gpu", 2)])
            .upgrade("beta", "eu-3", &[("eu-3-workers", 7)]);
        let schedule = Schedule::of(&sample.plan);
        let groups = transitions(&sample.plan, &schedule);
        let [group] = groups.as_slice() else { panic!("{} groups", groups.len()) };
        assert_eq!((group.nodes(), group.nodes_in_all()), (Spread { least: 3, most: 42 }, 52));
        let minutes = |n| Period::minutes(n);
        assert_eq!(group.takes.expected, Spread { least: minutes(27), most: minutes(66) });
        let pools: Vec<(String, Spread<u32>, usize)> = group
            .lines
            .iter()
            .filter_map(|line| Some((line.subject.clone(), line.count?, line.clusters)))
            .collect();
        let expected = [
            ("eu-3-workers".to_owned(), Spread::of(7), 1),
            ("gpu".to_owned(), Spread::of(2), 1),
            ("workers".to_owned(), Spread { least: 3, most: 40 }, 2),
        ];
        assert_eq!(pools, expected);
        assert_eq!(group.pools(), None, "not all have the same");
    }

    #[test]
    fn pools_of_many_names_are_one_line() {
        let names: Vec<String> = (1..=30).map(|n| format!("eu-{n:02}")).collect();
        let sample = names.iter().zip(1..).fold(Sample::new(), |sample, (name, nodes)| {
            sample.upgrade("beta", name, &[(&format!("{name}-workers"), nodes)])
        });
        let groups = transitions(&sample.plan, &Schedule::of(&sample.plan));
        assert_eq!(groups.len(), 1);
        let pools = groups[0].lines.iter().find(|line| line.component == Component::Pools).unwrap();
        assert_eq!(pools.subject, "30 node pools");
        assert_eq!(pools.count, Some(Spread { least: 1, most: 30 }));
    }

    #[test]
    fn what_a_reviewer_must_see_sets_clusters_apart() {
        let hop_only = |name: &str| vec![action(name, hop("1.33.5", "1.34.3"))];
        let with = |name: &str, kind| [hop_only(name), vec![action(name, kind)]].concat();
        let cluster =
            |sample: Sample, name: &str, actions| sample.cluster(name, "1.33.5", "1.34.3", actions);
        let mut sample = cluster(Sample::new(), "a-1", hop_only("a-1"));
        sample = cluster(sample, "a-2", hop_only("a-2"));
        // Other add-ons, other versions of one, objects deleted or none.
        sample = cluster(sample, "b", with("b", apply("dns", AddonMark::Absent, "1.4.0")));
        sample = cluster(sample, "c", with("c", apply("dns", at("1.3.0"), "1.4.0")));
        sample = cluster(sample, "d", with("d", apply("dns", at("1.2.0"), "1.4.0")));
        sample = cluster(sample, "e", with("e", remove("dns", "1.2.0", 0, 0)));
        sample = cluster(sample, "f-1", with("f-1", remove("dns", "1.2.0", 3, 0)));
        sample = cluster(sample, "f-2", with("f-2", remove("dns", "1.2.0", 5, 0)));
        // Pools that go another way.
        sample = cluster(sample, "g", with("g", roll("workers", 3, "1.33.5", "1.34.3")));
        sample = cluster(sample, "h", with("h", roll("workers", 3, "1.32.9", "1.34.3")));
        // The same in another order.
        let mut reversed = with("i", roll("workers", 3, "1.33.5", "1.34.3"));
        reversed.reverse();
        sample = cluster(sample, "i", reversed);
        // Another channel, and findings.
        sample = cluster(sample, "j", hop_only("j")).in_channel("stable");
        sample = cluster(sample, "k", hop_only("k"));
        sample = cluster(sample, "l", hop_only("l"));
        let sample = sample
            .finding(Severity::Warning, "k", "shop/cart", "one pod is not healthy", "")
            .finding(Severity::Note, "l", "workers", "a newer image exists", "");
        let groups = grouped(&sample.plan);
        let expected: [&[&str]; 11] = [
            &["a-1", "a-2", "l"],
            &["f-1", "f-2"],
            &["b"],
            &["c"],
            &["d"],
            &["e"],
            &["g"],
            &["h"],
            &["i"],
            &["k"],
            &["j"],
        ];
        assert_eq!(groups, expected);
        let groups = transitions(&sample.plan, &Schedule::of(&sample.plan));
        let same: Vec<Option<usize>> = groups.iter().map(|group| group.same_steps_as).collect();
        assert_eq!(same[9..], [Some(0), Some(0)], "the findings of k and the channel of j");
        assert!(same[..9].iter().all(Option::is_none), "{same:?}");
        let differ: Vec<bool> = groups.iter().map(|group| group.differs_in_findings).collect();
        assert_eq!([differ[0], differ[9], differ[10]], [true, true, false]);
    }
}
