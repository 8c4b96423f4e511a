//! Which action may start: what it waits for, what has failed, how much may run at once.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionId, ActionKind, ClusterName, Outcome, ParallelPools, Period, Plan, PoolName,
};

/// Where an action stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Standing {
    Waiting,
    Running,
    Ended(Outcome),
}

/// The actions of a plan, and where they stand.
pub(crate) struct Schedule {
    standing: Vec<Standing>,
    /// How often an action has changed where it stands.
    version: u64,
    before: Vec<Vec<usize>>,
    /// The longest chain that begins with an action: those with the longest go first.
    weight: Vec<Period>,
    /// The failed clusters, with the action that failed.
    failed: BTreeMap<ClusterName, ActionId>,
    wave_of: BTreeMap<ClusterName, usize>,
    /// Clusters whose pools do not wait for each other.
    parallel_pools: BTreeMap<ClusterName, ParallelPools>,
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
            version: 0,
            before,
            weight,
            failed: BTreeMap::new(),
            wave_of,
            parallel_pools: plan
                .clusters
                .iter()
                .filter_map(|listed| Some((listed.name.clone(), listed.parallel_pools.clone()?)))
                .collect(),
        }
    }

    /// Returns where each action stands, in the order of the plan.
    pub(crate) fn standing(&self) -> &[Standing] {
        &self.standing
    }

    /// Returns a number that changes with each change of where an action stands: until then, `look` gives
    /// the same answer.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Takes in that an action was begun.
    pub(crate) fn begin(&mut self, at: usize) {
        self.set(at, Standing::Running);
    }

    /// Takes in that an action that was begun waits to be begun once more.
    pub(crate) fn wait_again(&mut self, at: usize) {
        self.set(at, Standing::Waiting);
    }

    fn set(&mut self, at: usize, standing: Standing) {
        self.standing[at] = standing;
        self.version += 1;
    }

    /// Takes in how an action ended.
    pub(crate) fn end(&mut self, plan: &Plan, at: usize, outcome: Outcome) {
        let action = &plan.actions[at];
        let failed = matches!(outcome, Outcome::Failed { .. } | Outcome::Conflict { .. });
        if let (true, Some(cluster)) = (failed, &action.cluster) {
            self.failed.entry(cluster.clone()).or_insert_with(|| action.id);
        }
        self.set(at, Standing::Ended(outcome));
    }

    fn succeeded(&self, at: usize) -> bool {
        matches!(&self.standing[at], Standing::Ended(outcome) if outcome.is_success())
    }

    /// The actions that can be begun now, the most urgent first, and those that cannot be begun
    /// any more, with the action that is the reason.
    pub(crate) fn look(&self, plan: &Plan) -> (Vec<usize>, Vec<(usize, ActionId)>) {
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
        for (cluster, pools) in &self.parallel_pools {
            self.pools_in_turn(plan, cluster, pools, &mut ready);
        }
        // A run that is taken up again may have been farther: a cluster of which nothing runs or
        // can run waits for an earlier wave again, and is none that is worked on.
        let mut open = self.open_clusters(plan);
        open.retain(|cluster| {
            let can_run = |at: &usize| plan.actions[*at].cluster.as_ref() == Some(*cluster);
            ready.iter().any(can_run) || self.runs(plan, cluster)
        });
        let mut opened: BTreeMap<usize, usize> = BTreeMap::new();
        for wave in open.iter().filter_map(|cluster| self.wave_of.get(*cluster)) {
            *opened.entry(*wave).or_default() += 1;
        }
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

    /// Whether something of a cluster runs.
    fn runs(&self, plan: &Plan, cluster: &ClusterName) -> bool {
        let mut standing = plan.actions.iter().zip(&self.standing);
        standing.any(|(action, standing)| {
            *standing == Standing::Running && action.cluster.as_ref() == Some(cluster)
        })
    }

    /// Leaves as many rolls of a cluster's pools as may run at once, the first declared ones.
    fn pools_in_turn(
        &self,
        plan: &Plan,
        cluster: &ClusterName,
        pools: &ParallelPools,
        ready: &mut Vec<usize>,
    ) {
        let rolls = |at: usize| rolled(&plan.actions[at], cluster);
        let running = (0..self.standing.len())
            .filter(|at| self.standing[*at] == Standing::Running && rolls(*at).is_some())
            .count();
        let rank = |at: &usize| {
            pools.order.iter().position(|pool| Some(pool) == rolls(*at)).unwrap_or(usize::MAX)
        };
        let mut in_turn: Vec<usize> =
            ready.iter().copied().filter(|at| rolls(*at).is_some()).collect();
        in_turn.sort_by_key(rank);
        in_turn.truncate((pools.at_once as usize).saturating_sub(running));
        let mut next = in_turn.into_iter();
        *ready = ready
            .iter()
            .filter_map(|at| if rolls(*at).is_some() { next.next() } else { Some(*at) })
            .collect();
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
        let mut stopped = false;
        for before in &self.before[at] {
            let Standing::Ended(outcome) = &self.standing[*before] else { return None };
            if outcome.is_stopped() {
                // It goes on later, and the wave with it.
                stopped = true;
            } else if !outcome.is_success() {
                let action = &plan.actions[*before];
                if let Outcome::Skipped { because_of } = outcome
                    && plan.action(because_of).is_some_and(|found| found.cluster != action.cluster)
                {
                    // The wave has not begun, because an earlier one failed.
                    return Some(Err(*because_of));
                }
                let Some(cluster) = &action.cluster else { return Some(Err(action.id)) };
                failed.insert(cluster, self.failed.get(cluster).unwrap_or(&action.id));
            }
        }
        let too_many = failed.len() > max_failed as usize;
        if stopped && !too_many {
            return None;
        }
        Some(match failed.into_values().next() {
            Some(first) if too_many => Err(*first),
            _ => Ok(()),
        })
    }

    /// Why an action cannot be begun any more.
    fn reason_not_to(&self, plan: &Plan, at: usize) -> Option<ActionId> {
        let cluster = plan.actions[at].cluster.as_ref()?;
        if let Some(failed) = self.failed.get(cluster) {
            return Some(*failed);
        }
        for before in &self.before[at] {
            match &self.standing[*before] {
                Standing::Ended(Outcome::Skipped { because_of }) => {
                    return Some(*because_of);
                }
                // What was stopped goes on later, and so does what waits for it.
                Standing::Ended(outcome) if !outcome.is_success() && !outcome.is_stopped() => {
                    return Some(plan.actions[*before].id);
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
        if !begun && over { failed.first().map(|id| **id) } else { None }
    }
}

/// The pool of a cluster that the action rolls.
fn rolled<'p>(action: &'p Action, cluster: &ClusterName) -> Option<&'p PoolName> {
    match &action.kind {
        ActionKind::NodePoolRoll { pool, .. } if action.cluster.as_ref() == Some(cluster) => {
            Some(pool)
        }
        _ => None,
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

#[cfg(test)]
mod total;

#[cfg(test)]
mod tests {
    use refit_model::{Because, ChannelName, ClusterPlan, ClusterStatus, Edge};

    use super::*;
    use crate::bench::{plan, roll};

    /// Four rolls of one cluster, of which two may run at once. By id they have another order.
    fn four() -> (Plan, Vec<PoolName>) {
        let order: Vec<PoolName> = ["d", "b", "c", "a"].map(|name| name.parse().unwrap()).to_vec();
        let mut actions: Vec<Action> = Vec::new();
        for name in &order {
            let mut action = roll(1, 0);
            if let ActionKind::NodePoolRoll { pool, .. } = &mut action.kind {
                pool.clone_from(name);
            }
            action.id = Action::id_of(action.cluster.as_ref(), &action.kind);
            // The later a pool is declared, the longer it takes.
            action.estimate = Period::minutes(5 + u32::try_from(actions.len()).unwrap());
            actions.push(action);
        }
        actions.sort_by_key(|a| a.id);
        let cluster = actions[0].cluster.clone().unwrap();
        let mut plan = plan(actions);
        plan.clusters.push(ClusterPlan {
            name: cluster,
            channel: "dev".parse().unwrap(),
            release: "1".parse().unwrap(),
            identity: None,
            status: ClusterStatus::Planned,
            from: BTreeSet::new(),
            to: "1.33.1".parse().unwrap(),
            parallel_pools: Some(ParallelPools { at_once: 2, order: order.clone() }),
            kubelets_that_stay: BTreeSet::new(),
        });
        (plan, order)
    }

    #[test]
    fn as_many_pools_as_may_are_rolled_at_once_in_their_declared_order() {
        let (plan, order) = four();
        let mut schedule = Schedule::new(&plan);
        let pool = |at: &usize| match &plan.actions[*at].kind {
            ActionKind::NodePoolRoll { pool, .. } => pool.clone(),
            other => panic!("{other}"),
        };
        let mut begun: Vec<PoolName> = Vec::new();
        let mut running: Vec<usize> = Vec::new();
        while begun.len() < order.len() {
            let (ready, hopeless) = schedule.look(&plan);
            assert!(hopeless.is_empty());
            for at in ready {
                begun.push(pool(&at));
                schedule.begin(at);
                running.push(at);
            }
            assert_eq!(running.len(), 2, "two at once, {begun:?}");
            assert!(schedule.look(&plan).0.is_empty(), "and never a third");
            // The one that began last ends first.
            let ended = running.pop().unwrap();
            schedule.end(&plan, ended, Outcome::Done);
        }
        assert_eq!(begun, order);
    }

    /// Returns the end of a wave that waits for an action, and what makes it wait.
    fn end_of_wave(action: &Action, max_failed_clusters: u32) -> (Action, Edge) {
        let (channel, wave) = ("dev".parse::<ChannelName>().unwrap(), 1);
        let kind = ActionKind::FinishWave { channel: channel.clone(), wave, max_failed_clusters };
        let mut end = action.clone();
        end.cluster = None;
        end.id = Action::id_of(None, &kind);
        end.kind = kind;
        let because = Because::Wave { channel, wave }.into();
        let edge = Edge { from: action.id, to: end.id, because };
        (end, edge)
    }

    /// A wave of which a cluster was stopped is not over, and has not failed: what comes after it is
    /// not skipped because of that cluster.
    #[test]
    fn a_wave_of_a_stopped_cluster_is_still_to_come() {
        let action = roll(1, 0);
        let (wave, edge) = end_of_wave(&action, 0);
        let mut plan = plan(vec![action, wave]);
        plan.edges.push(edge);
        let failed = Outcome::Failed { reason: "no".to_owned(), left: Vec::new() };
        for (outcome, skipped) in [(Outcome::Stopped, 0), (failed, 1)] {
            let mut schedule = Schedule::new(&plan);
            schedule.end(&plan, 0, outcome);
            let (ready, hopeless) = schedule.look(&plan);
            assert_eq!((ready.len(), hopeless.len()), (0, skipped));
        }
    }

    /// The second wave was skipped because the first one failed. However many of its clusters may
    /// fail, it is not over: the third one does not begin.
    #[test]
    fn a_wave_that_was_skipped_is_not_over() {
        let first = roll(1, 0);
        let mut second = first.clone();
        second.cluster = Some("other".parse().unwrap());
        second.id = Action::id_of(second.cluster.as_ref(), &second.kind);
        let (wave, edge) = end_of_wave(&second, 1);
        let mut actions = vec![first.clone(), second.clone(), wave.clone()];
        actions.sort_by_key(|action| action.id);
        let mut plan = plan(actions);
        plan.edges.push(edge);
        let place = |id| plan.actions.iter().position(|action| action.id == id).unwrap();
        let mut schedule = Schedule::new(&plan);
        let failed = Outcome::Failed { reason: "no".to_owned(), left: Vec::new() };
        schedule.end(&plan, place(first.id), failed);
        schedule.end(&plan, place(second.id), Outcome::Skipped { because_of: first.id });
        assert_eq!(schedule.look(&plan), (vec![], vec![(place(wave.id), first.id)]));
    }
}
