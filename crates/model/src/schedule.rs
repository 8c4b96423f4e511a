//! How long a plan takes: each cluster, each wave and all of it, as ranges.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ActionId, ActionKind, ChannelName, ClusterName, ParallelPools, Period, Plan, Span, WavePlan,
};

/// How long the parts of a plan may be expected to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Each cluster once it has begun, with as many of its pools rolled at once as its file allows.
    pub clusters: BTreeMap<ClusterName, Span>,
    /// Each wave, with as many of its clusters at once as its channel allows.
    pub waves: BTreeMap<(ChannelName, u32), Span>,
    /// The whole plan: the waves of each channel one after the other, the channels side by side.
    pub whole: Span,
    /// The clusters that decide how long the whole takes, in order: each waits for the one before.
    pub along: Vec<ClusterName>,
}

impl Schedule {
    /// Works it out from the plan alone.
    pub fn of(plan: &Plan) -> Self {
        let clusters = Chains::of(plan).clusters(plan);
        let mut waves = BTreeMap::new();
        let mut channels: BTreeMap<&ChannelName, Lane<'_>> = BTreeMap::new();
        let mut placed: BTreeSet<&ClusterName> = BTreeSet::new();
        for wave in &plan.waves {
            placed.extend(&wave.clusters);
            let lanes = lanes(wave, &clusters);
            let span = lanes.iter().fold(Span::default(), |span, lane| span.beside(lane.span));
            waves.insert((wave.channel.clone(), wave.wave), span);
            let channel = channels.entry(&wave.channel).or_default();
            channel.span = channel.span.then(span);
            channel.clusters.extend(longest(lanes).clusters);
        }
        let others = clusters.iter().filter(|(name, _)| !placed.contains(name));
        let others = others.map(|(name, span)| Lane { span: *span, clusters: vec![name] });
        let all: Vec<Lane<'_>> = channels.into_values().chain(others).collect();
        let whole = all.iter().fold(Span::default(), |span, lane| span.beside(lane.span));
        let along = longest(all).clusters.into_iter().cloned().collect();
        Self { clusters, waves, whole, along }
    }
}

/// Clusters that are worked on one after the other.
#[derive(Clone, Debug, Default)]
struct Lane<'p> {
    span: Span,
    clusters: Vec<&'p ClusterName>,
}

/// Returns the lane that ends last; of several, the first one.
fn longest(lanes: Vec<Lane<'_>>) -> Lane<'_> {
    lanes
        .into_iter()
        .reduce(|longest, lane| if lane.span.middle > longest.span.middle { lane } else { longest })
        .unwrap_or_default()
}

/// Returns a wave's clusters in as many lanes as its channel allows. Those that take longest begin first,
/// each as soon as one of those at work has ended.
fn lanes<'p>(wave: &'p WavePlan, clusters: &BTreeMap<ClusterName, Span>) -> Vec<Lane<'p>> {
    let known = wave.clusters.iter().filter_map(|name| Some((name, *clusters.get(name)?)));
    let mut spans: Vec<(&ClusterName, Span)> = known.collect();
    spans.sort_by_key(|(_, span)| std::cmp::Reverse(span.middle));
    let most = wave
        .max_parallel_clusters
        .map_or(spans.len(), |most| usize::try_from(most).unwrap_or(usize::MAX).min(spans.len()));
    let mut lanes = vec![Lane::default(); most.max(1)];
    for (name, span) in spans {
        if let Some(lane) = lanes.iter_mut().min_by_key(|lane| lane.span.middle) {
            lane.span = lane.span.then(span);
            lane.clusters.push(name);
        }
    }
    lanes
}

/// The actions by position, in an order that the edges allow, and what each waits for.
struct Chains {
    spans: Vec<Span>,
    before: Vec<Vec<usize>>,
    sequence: Vec<usize>,
}

impl Chains {
    fn of(plan: &Plan) -> Self {
        let places: BTreeMap<&ActionId, usize> =
            plan.actions.iter().enumerate().map(|(at, action)| (&action.id, at)).collect();
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); plan.actions.len()];
        let mut after = before.clone();
        let mut waits = vec![0_usize; plan.actions.len()];
        for edge in &plan.edges {
            if let (Some(from), Some(to)) = (places.get(&edge.from), places.get(&edge.to)) {
                before[*to].push(*from);
                after[*from].push(*to);
                waits[*to] += 1;
            }
        }
        // What is on a circle is never reached: a plan has none, and a page must not depend on it.
        let mut sequence: Vec<usize> = (0..waits.len()).filter(|at| waits[*at] == 0).collect();
        let mut next = 0;
        while let Some(at) = sequence.get(next).copied() {
            next += 1;
            for to in &after[at] {
                waits[*to] -= 1;
                if waits[*to] == 0 {
                    sequence.push(*to);
                }
            }
        }
        let spans = plan.actions.iter().map(|action| plan.measured.span(action)).collect();
        Self { spans, before, sequence }
    }

    /// Returns when each cluster ends, once it has begun.
    fn clusters(&self, plan: &Plan) -> BTreeMap<ClusterName, Span> {
        let cluster = |at: usize| plan.actions[at].cluster.as_ref();
        let listed = plan.clusters.iter();
        let limits: BTreeMap<&ClusterName, &ParallelPools> = listed
            .filter_map(|listed| Some((&listed.name, listed.parallel_pools.as_ref()?)))
            .collect();
        let mut running: BTreeMap<&ClusterName, Rolls> = BTreeMap::new();
        let mut waits: Vec<usize> = vec![0; self.spans.len()];
        let mut after: Vec<Vec<usize>> = vec![Vec::new(); self.spans.len()];
        let mut begins = vec![Span::default(); self.spans.len()];
        for at in &self.sequence {
            for from in self.before[*at].iter().filter(|from| cluster(**from) == cluster(*at)) {
                waits[*at] += 1;
                after[*from].push(*at);
            }
        }
        // By when they can begin; of rolls that can begin at once, those of the first declared pools.
        let rank = |at: usize| match (&plan.actions[at].kind, cluster(at)) {
            (ActionKind::NodePoolRoll { pool, .. }, Some(name)) => {
                limits.get(name)?.order.iter().position(|other| other == pool)
            }
            _ => None,
        };
        let mut ready: BTreeSet<(Period, Option<usize>, usize)> =
            (self.sequence.iter().filter(|at| waits[**at] == 0))
                .map(|at| (Period::ZERO, rank(*at), *at))
                .collect();
        let mut clusters: BTreeMap<ClusterName, Span> = BTreeMap::new();
        while let Some((_, place, at)) = ready.pop_first() {
            let Some(name) = cluster(at) else { continue };
            let end = match limits.get(name).filter(|_| place.is_some()) {
                Some(limit) => {
                    let rolls = running.entry(name).or_default();
                    rolls.run(limit.at_once, begins[at], self.spans[at])
                }
                None => begins[at].then(self.spans[at]),
            };
            let longest = clusters.entry(name.clone()).or_default();
            *longest = longest.beside(end);
            for next in &after[at] {
                begins[*next] = begins[*next].beside(end);
                waits[*next] -= 1;
                if waits[*next] == 0 {
                    ready.insert((begins[*next].middle, rank(*next), *next));
                }
            }
        }
        clusters
    }
}

/// The rolls of a cluster's pools, as many at once as its file allows.
#[derive(Debug, Default)]
struct Rolls {
    /// When those end that were begun last.
    running: Vec<Span>,
}

impl Rolls {
    /// Returns when a roll ends that can begin at a time: it waits until fewer are running than may.
    fn run(&mut self, at_once: u32, begins: Span, takes: Span) -> Span {
        let most = usize::try_from(at_once).unwrap_or(usize::MAX).max(1);
        let mut begins = begins;
        if self.running.len() >= most
            && let Some(first) = (0..self.running.len()).min_by_key(|at| self.running[*at].middle)
        {
            begins = begins.beside(self.running.swap_remove(first));
        }
        let end = begins.then(takes);
        self.running.push(end);
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Period;

    fn span(minutes: u32) -> Span {
        let [low, middle, high] = [1, 2, 4].map(|times| Period::minutes(minutes).times(times));
        Span { low, middle, high }
    }

    #[test]
    fn a_wave_takes_as_long_as_its_limit_lets_it() {
        let names = ["a", "b", "c"].map(|name| name.parse::<ClusterName>().unwrap());
        let clusters: BTreeMap<ClusterName, Span> =
            names.iter().cloned().zip([span(10), span(30), span(20)]).collect();
        let wave = |most: Option<u32>| WavePlan {
            channel: "stable".parse().unwrap(),
            wave: 1,
            clusters: names.iter().cloned().collect(),
            max_parallel_clusters: most,
            max_failed_clusters: 0,
        };
        let takes = |most: Option<u32>, clusters: &BTreeMap<ClusterName, Span>| {
            longest(lanes(&wave(most), clusters)).span
        };
        assert_eq!(takes(None, &clusters), span(30));
        assert_eq!(takes(Some(9), &clusters), span(30));
        // The longest one begins first, `a` follows `c`.
        assert_eq!(takes(Some(2), &clusters), span(30));
        assert_eq!(takes(Some(1), &clusters), span(60));
        assert_eq!(takes(Some(1), &BTreeMap::new()), Span::default());
    }
}
