//! Which action may start: what it waits for, what has failed, how much may run at once.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{ActionId, ActionKind, ClusterName, Outcome, Period, Plan};

/// Where an action stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Standing {
    Waiting,
    Running,
    Ended(Outcome),
}

/// The actions of a plan, and where they stand.
pub(crate) struct Schedule {
    pub(crate) standing: Vec<Standing>,
    before: Vec<Vec<usize>>,
    /// The longest chain that begins with an action: those with the longest go first.
    weight: Vec<Period>,
    /// The failed clusters, with the action that failed.
    failed: BTreeMap<ClusterName, ActionId>,
    wave_of: BTreeMap<ClusterName, usize>,
}

impl Schedule {
    pub(crate) fn new(plan: &Plan) -> Self {
        let position: BTreeMap<&ActionId, usize> =
            plan.actions.iter().enumerate().map(|(at, action)| (&action.id, at)).collect();
        let mut before = vec![Vec::new(); plan.actions.len()];
        let mut next = vec![Vec::new(); plan.actions.len()];
        for edge in &plan.edges {
            if let (Some(from), Some(to)) = (position.get(&edge.from), position.get(&edge.to)) {
                before[*to].push(*from);
                next[*from].push(*to);
            }
        }
        let weight = weights(plan, &before, &next);
        let wave_of = plan
            .waves
            .iter()
            .enumerate()
            .flat_map(|(at, wave)| wave.clusters.iter().map(move |name| (name.clone(), at)))
            .collect();
        Self {
            standing: vec![Standing::Waiting; plan.actions.len()],
            before,
            weight,
            failed: BTreeMap::new(),
            wave_of,
        }
    }

    /// Takes in how an action ended.
    pub(crate) fn end(&mut self, plan: &Plan, at: usize, outcome: Outcome) {
        let action = &plan.actions[at];
        let failed = matches!(outcome, Outcome::Failed { .. } | Outcome::Conflict { .. });
        if let (true, Some(cluster)) = (failed, &action.cluster) {
            self.failed.entry(cluster.clone()).or_insert_with(|| action.id.clone());
        }
        self.standing[at] = Standing::Ended(outcome);
    }

    fn succeeded(&self, at: usize) -> bool {
        matches!(&self.standing[at], Standing::Ended(outcome) if outcome.is_success())
    }

    /// The actions that can be begun now, the most urgent first, and those that cannot be begun
    /// any more, with the action that is the reason.
    pub(crate) fn look(&self, plan: &Plan) -> (Vec<usize>, Vec<(usize, ActionId)>) {
        let open = self.open_clusters(plan);
        let mut opened: BTreeMap<usize, usize> = BTreeMap::new();
        for cluster in &open {
            if let Some(wave) = self.wave_of.get(*cluster) {
                *opened.entry(*wave).or_default() += 1;
            }
        }
        let mut ready = Vec::new();
        let mut hopeless = Vec::new();
        for (at, action) in plan.actions.iter().enumerate() {
            if self.standing[at] != Standing::Waiting {
                continue;
            }
            if let ActionKind::FinishWave { max_failed_clusters, .. } = &action.kind {
                match self.finish_wave(plan, at, *max_failed_clusters) {
                    Some(Ok(())) => ready.push(at),
                    Some(Err(reason)) => hopeless.push((at, reason)),
                    None => {}
                }
                continue;
            }
            if let Some(reason) = self.reason_not_to(plan, at) {
                hopeless.push((at, reason));
            } else if self.before[at].iter().all(|before| self.succeeded(*before)) {
                ready.push(at);
            }
        }
        ready.sort_by(|a, b| {
            self.weight[*b]
                .cmp(&self.weight[*a])
                .then_with(|| plan.actions[*a].id.cmp(&plan.actions[*b].id))
        });
        // A cluster that nothing of runs yet is opened only as far as its channel allows.
        let mut newly: BTreeSet<&ClusterName> = BTreeSet::new();
        ready.retain(|at| {
            let Some(cluster) = &plan.actions[*at].cluster else { return true };
            if open.contains(cluster) || newly.contains(cluster) {
                return true;
            }
            let Some(wave) = self.wave_of.get(cluster) else { return true };
            let channel = &plan.waves[*wave].channel;
            let at_once: usize = opened
                .iter()
                .filter(|(other, _)| plan.waves[**other].channel == *channel)
                .map(|(_, count)| count)
                .sum();
            let most =
                plan.waves[*wave].max_parallel_clusters.map_or(usize::MAX, |max| max as usize);
            if at_once >= most {
                return false;
            }
            newly.insert(cluster);
            *opened.entry(*wave).or_default() += 1;
            true
        });
        (ready, hopeless)
    }

    /// Clusters that something has been done to, and that are not through.
    fn open_clusters<'p>(&self, plan: &'p Plan) -> BTreeSet<&'p ClusterName> {
        let mut begun: BTreeSet<&ClusterName> = BTreeSet::new();
        let mut unfinished: BTreeSet<&ClusterName> = BTreeSet::new();
        for (at, action) in plan.actions.iter().enumerate() {
            let Some(cluster) = &action.cluster else { continue };
            match &self.standing[at] {
                Standing::Waiting => {
                    unfinished.insert(cluster);
                }
                Standing::Running => {
                    begun.insert(cluster);
                    unfinished.insert(cluster);
                }
                Standing::Ended(_) => {
                    begun.insert(cluster);
                }
            }
        }
        begun.intersection(&unfinished).copied().collect()
    }

    /// Whether a wave is over: all that it waits for has ended, and no more clusters failed than
    /// may. `None` while something is still to come.
    fn finish_wave(&self, plan: &Plan, at: usize, max_failed: u32) -> Option<Result<(), ActionId>> {
        let mut failed: BTreeMap<&ClusterName, &ActionId> = BTreeMap::new();
        for before in &self.before[at] {
            let Standing::Ended(outcome) = &self.standing[*before] else { return None };
            if !outcome.is_success() {
                let action = &plan.actions[*before];
                let Some(cluster) = &action.cluster else { return Some(Err(action.id.clone())) };
                failed.insert(cluster, self.failed.get(cluster).unwrap_or(&action.id));
            }
        }
        let too_many = failed.len() > max_failed as usize;
        Some(match failed.into_values().next() {
            Some(first) if too_many => Err(first.clone()),
            _ => Ok(()),
        })
    }

    /// Why an action cannot be begun any more.
    fn reason_not_to(&self, plan: &Plan, at: usize) -> Option<ActionId> {
        let cluster = plan.actions[at].cluster.as_ref()?;
        if let Some(failed) = self.failed.get(cluster) {
            return Some(failed.clone());
        }
        for before in &self.before[at] {
            match &self.standing[*before] {
                Standing::Ended(Outcome::Skipped { because_of }) => {
                    return Some(because_of.clone());
                }
                // What was stopped goes on later, and so does what waits for it.
                Standing::Ended(outcome)
                    if !outcome.is_success() && *outcome != Outcome::Stopped =>
                {
                    return Some(plan.actions[*before].id.clone());
                }
                _ => {}
            }
        }
        // Past the wave's budget no further cluster of it is begun.
        let wave = *self.wave_of.get(cluster)?;
        let begun = plan.actions.iter().zip(&self.standing).any(|(action, standing)| {
            action.cluster.as_ref() == Some(cluster) && *standing != Standing::Waiting
        });
        let failed: Vec<&ActionId> = self
            .failed
            .iter()
            .filter(|(name, _)| self.wave_of.get(*name) == Some(&wave))
            .map(|(_, action)| action)
            .collect();
        let over = failed.len() > plan.waves[wave].max_failed_clusters as usize;
        if !begun && over { failed.first().map(|id| (*id).clone()) } else { None }
    }
}

/// Per action, how long the longest chain is that begins with it.
fn weights(plan: &Plan, before: &[Vec<usize>], next: &[Vec<usize>]) -> Vec<Period> {
    let mut open: Vec<usize> = next.iter().map(Vec::len).collect();
    let mut weight: Vec<Period> = plan.actions.iter().map(|action| action.estimate).collect();
    let mut sinks: Vec<usize> = (0..plan.actions.len()).filter(|at| open[*at] == 0).collect();
    while let Some(at) = sinks.pop() {
        let rest = next[at].iter().map(|to| weight[*to]).max().unwrap_or_default();
        weight[at] = plan.actions[at].estimate.plus(rest);
        for earlier in &before[at] {
            open[*earlier] -= 1;
            if open[*earlier] == 0 {
                sinks.push(*earlier);
            }
        }
    }
    weight
}
