//! How long a plan takes: each cluster, each wave and all of it, as ranges.

use std::collections::BTreeMap;

use crate::{ActionId, ChannelName, ClusterName, Plan, Span, WavePlan};

/// How long the parts of a plan may be expected to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// The longest chain of each cluster's actions, once it has begun.
    pub clusters: BTreeMap<ClusterName, Span>,
    /// Each wave, as many of its clusters at once as its channel allows.
    pub waves: BTreeMap<(ChannelName, u32), Span>,
    /// The longest chain of all actions: the critical path. No limit of how much is done at once
    /// is part of it.
    pub whole: Span,
    /// The clusters that the critical path leads through, in order.
    pub along: Vec<ClusterName>,
}

impl Schedule {
    /// Works it out from the plan alone.
    pub fn of(plan: &Plan) -> Self {
        let chains = Chains::of(plan);
        let clusters = chains.clusters(plan);
        let waves = plan
            .waves
            .iter()
            .map(|wave| ((wave.channel.clone(), wave.wave), wave_span(wave, &clusters)))
            .collect();
        let (whole, along) = chains.longest(plan);
        Self { clusters, waves, whole, along }
    }
}

/// A wave's clusters by name, each as soon as one of those at work has ended.
fn wave_span(wave: &WavePlan, clusters: &BTreeMap<ClusterName, Span>) -> Span {
    let spans: Vec<Span> =
        wave.clusters.iter().filter_map(|name| clusters.get(name)).copied().collect();
    let most = wave
        .max_parallel_clusters
        .map_or(spans.len(), |most| usize::try_from(most).unwrap_or(usize::MAX).min(spans.len()));
    let mut lanes = vec![Span::default(); most.max(1)];
    for span in spans {
        let free = lanes.iter_mut().min_by_key(|lane| lane.middle);
        if let Some(lane) = free {
            *lane = lane.then(span);
        }
    }
    lanes.into_iter().fold(Span::default(), Span::beside)
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

    /// When each action ends, if only the edges that `counts` names are kept.
    fn ends(&self, counts: impl Fn(usize, usize) -> bool) -> Vec<Span> {
        let mut ends = vec![Span::default(); self.spans.len()];
        for at in &self.sequence {
            let before = self.before[*at].iter().filter(|from| counts(**from, *at));
            let begins = before.map(|from| ends[*from]).fold(Span::default(), Span::beside);
            ends[*at] = begins.then(self.spans[*at]);
        }
        ends
    }

    fn clusters(&self, plan: &Plan) -> BTreeMap<ClusterName, Span> {
        let cluster = |at: usize| plan.actions[at].cluster.as_ref();
        let ends = self.ends(|from, to| cluster(from) == cluster(to));
        let mut clusters: BTreeMap<ClusterName, Span> = BTreeMap::new();
        for (at, end) in ends.into_iter().enumerate() {
            if let Some(name) = cluster(at) {
                let longest = clusters.entry(name.clone()).or_default();
                *longest = longest.beside(end);
            }
        }
        clusters
    }

    fn longest(&self, plan: &Plan) -> (Span, Vec<ClusterName>) {
        let ends = self.ends(|_, _| true);
        let whole = ends.iter().copied().fold(Span::default(), Span::beside);
        let last = |places: &mut dyn Iterator<Item = usize>| {
            places.max_by_key(|at| (ends[*at].middle, std::cmp::Reverse(*at)))
        };
        let mut along: Vec<ClusterName> = Vec::new();
        let mut here = last(&mut self.sequence.iter().copied());
        while let Some(at) = here {
            if let Some(cluster) = &plan.actions[at].cluster
                && along.last() != Some(cluster)
            {
                along.push(cluster.clone());
            }
            here = last(&mut self.before[at].iter().copied());
        }
        along.reverse();
        (whole, along)
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
        assert_eq!(wave_span(&wave(None), &clusters), span(30));
        assert_eq!(wave_span(&wave(Some(9)), &clusters), span(30));
        // `c` goes where `a` has ended.
        assert_eq!(wave_span(&wave(Some(2)), &clusters), span(30));
        assert_eq!(wave_span(&wave(Some(1)), &clusters), span(60));
        assert_eq!(wave_span(&wave(Some(1)), &BTreeMap::new()), Span::default());
    }
}
