//! Are the waves of a channel really one after the other?

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    ActionKind, Channel, ChannelName, ClusterName, ClusterStatus, Fleet, Plan, WavePlan, WaveSpec,
};

use crate::index::{Index, at};

/// What is wrong with the waves of a plan.
pub(crate) fn check(fleet: &Fleet, plan: &Plan, index: &Index<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let ends: BTreeMap<(&ChannelName, u32), u32> = plan
        .actions
        .iter()
        .zip(0..)
        .filter_map(|(action, place)| match &action.kind {
            ActionKind::FinishWave { channel, wave, .. } => Some(((channel, *wave), place)),
            _ => None,
        })
        .collect();
    let mut placed: BTreeMap<&ClusterName, (&ChannelName, u32)> = BTreeMap::new();
    for wave in &plan.waves {
        for cluster in &wave.clusters {
            placed.insert(cluster, (&wave.channel, wave.wave));
        }
    }
    // Edges to and from what belongs to no cluster; which actions wait for one of their own
    // cluster, and which are waited for by one.
    let mut outer: BTreeSet<(u32, u32)> = BTreeSet::new();
    let mut waits = vec![false; plan.actions.len()];
    let mut is_waited_for = waits.clone();
    for (from, to) in index.ends.iter().flatten() {
        match (index.cluster_of[at(*from)], index.cluster_of[at(*to)]) {
            (Some(one), Some(other)) if one == other => {
                is_waited_for[at(*from)] = true;
                waits[at(*to)] = true;
            }
            (Some(_), Some(_)) => {
                let [from, to] = [from, to].map(|place| &plan.actions[at(*place)].id);
                notes.push(format!("action {to} waits for another cluster's {from}"));
            }
            _ => drop(outer.insert((*from, *to))),
        }
    }
    for (name, actions) in &index.clusters {
        let blocked =
            |name| plan.cluster(name).is_some_and(|listed| crate::stands_still(listed.status));
        let Some((channel, wave)) = placed.get(name) else {
            // What tidies up is no part of a release, and waits for nobody.
            if blocked(name) {
                continue;
            }
            notes.push(format!("{name} has actions, and is in no wave"));
            continue;
        };
        if fleet.clusters.get(*name).is_some_and(|cluster| cluster.channel != **channel) {
            notes.push(format!("{name} is in a wave of {channel}, which is not its channel"));
        }
        let mut of_channel: Vec<u32> =
            plan.waves.iter().filter(|w| w.channel == **channel).map(|w| w.wave).collect();
        of_channel.sort_unstable();
        let earlier = of_channel.iter().rev().find(|other| *other < wave);
        let later = of_channel.iter().find(|other| *other > wave);
        if let Some(earlier) = earlier {
            let end = ends.get(&(*channel, *earlier));
            for action in actions.iter().filter(|action| !waits[at(**action)]) {
                if !end.is_some_and(|end| outer.contains(&(*end, *action))) {
                    notes.push(format!("{name} does not wait for wave {earlier} of {channel}"));
                }
            }
        }
        if later.is_some() {
            let end = ends.get(&(*channel, *wave));
            for action in actions.iter().filter(|action| !is_waited_for[at(**action)]) {
                if !end.is_some_and(|end| outer.contains(&(*action, *end))) {
                    notes.push(format!("wave {wave} of {channel} does not wait for {name}"));
                }
            }
        }
    }
    notes.extend(misplaced(fleet, &placed));
    notes.extend(limits(fleet, plan));
    notes
}

/// Waves carry the limits of their channel. Clusters that cannot be planned have failed already.
fn limits(fleet: &Fleet, plan: &Plan) -> Vec<String> {
    let ends = plan.actions.iter().filter_map(|action| match &action.kind {
        ActionKind::FinishWave { channel, wave, max_failed_clusters } => {
            Some((channel, *wave, *max_failed_clusters, None))
        }
        _ => None,
    });
    let parallel = |wave: &WavePlan| Some(wave.max_parallel_clusters);
    let waves = plan.waves.iter().map(|w| (&w.channel, w.wave, w.max_failed_clusters, parallel(w)));
    waves
        .chain(ends)
        .filter(|(channel, wave, failed, parallel)| {
            fleet.channel(channel).is_none_or(|channel| {
                let blocked = members(fleet, channel, *wave)
                    .into_iter()
                    .filter(|name| {
                        plan.cluster(name).is_some_and(|c| c.status == ClusterStatus::Blocked)
                    })
                    .count();
                let allowed = usize::try_from(channel.max_failed_clusters).unwrap_or(usize::MAX);
                usize::try_from(*failed).ok() != Some(allowed.saturating_sub(blocked))
                    || parallel.is_some_and(|parallel| channel.max_parallel_clusters != parallel)
            })
        })
        .map(|(channel, wave, ..)| format!("wave {wave} of {channel} has other limits"))
        .collect()
}

/// The clusters of a wave, by the channel's own words: those that it names, or as many as bring
/// all waves so far to its percentage, in the order of their names; each in its first wave.
fn members<'f>(fleet: &'f Fleet, channel: &'f Channel, wave: u32) -> Vec<&'f ClusterName> {
    let own: Vec<&ClusterName> =
        fleet.clusters.values().filter(|c| c.channel == channel.name).map(|c| &c.name).collect();
    let mut taken: BTreeSet<&ClusterName> = BTreeSet::new();
    let mut members = Vec::new();
    for spec in channel.waves.iter().take(usize::try_from(wave).unwrap_or(usize::MAX)) {
        let most = match spec {
            WaveSpec::Clusters(_) | WaveSpec::Labels(_) => own.len(),
            WaveSpec::Percent(percent) => {
                (own.len() * usize::from(*percent)).div_ceil(100).saturating_sub(taken.len())
            }
        };
        let named = |name: &&&ClusterName| match spec {
            WaveSpec::Clusters(names) => names.contains(**name),
            WaveSpec::Labels(wanted) => fleet.clusters.get(**name).is_some_and(|cluster| {
                wanted.iter().all(|(key, value)| cluster.labels.get(key) == Some(value))
            }),
            WaveSpec::Percent(_) => true,
        };
        let free = |name: &&&ClusterName| !taken.contains(**name);
        members = own.iter().filter(free).filter(named).take(most).copied().collect();
        taken.extend(&members);
    }
    members
}

/// Clusters are in the wave that the channel's own words put them in.
fn misplaced(fleet: &Fleet, placed: &BTreeMap<&ClusterName, (&ChannelName, u32)>) -> Vec<String> {
    let mut notes = Vec::new();
    for channel in &fleet.channels {
        for wave in (1..).take(channel.waves.len()) {
            for name in members(fleet, channel, wave) {
                if let Some((at_channel, at)) = placed.get(name)
                    && **at_channel == channel.name
                    && *at != wave
                {
                    notes.push(format!(
                        "{name} is in wave {at} of {}, not in wave {wave}",
                        channel.name
                    ));
                }
            }
        }
    }
    notes
}
