//! Waves: which clusters of a channel come first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use refit_model::{
    Action, ActionId, ActionKind, Actions, Because, Bounds, Channel, ClusterName, Code, Edge,
    Finding, Fleet, Period, Reversibility, Selection, Severity, StateGuard, Subject, WavePlan,
    WaveSpec, Why,
};

use crate::cluster::Planned;
use crate::few::few;

/// The clusters with their waves tied together.
pub(crate) struct Tied {
    /// The ends of waves.
    pub(crate) ends: Actions,
    pub(crate) waves: Vec<WavePlan>,
    pub(crate) clusters: BTreeMap<ClusterName, Planned>,
}

/// The clusters that a plan has to see: those that it is about, and those of the waves before
/// theirs, because it tells whether these are done.
pub fn needed(fleet: &Fleet, selection: &Selection) -> BTreeSet<ClusterName> {
    let mut needed = BTreeSet::new();
    for channel in &fleet.channels {
        let takes = |name: &&ClusterName| selection.takes(name, &channel.name);
        let waves = assign(fleet, channel);
        let last = waves.iter().rposition(|(_, names)| names.iter().any(|name| takes(&name)));
        for (at, (_, names)) in waves.iter().enumerate() {
            let comes_first = last.is_some_and(|last| at < last);
            needed.extend(names.iter().filter(|name| comes_first || takes(name)).cloned());
        }
    }
    needed
}

/// Adds the ends of waves, and what orders clusters by them. `undone` are clusters that the plan
/// is not about, and that are not what the files say.
pub(crate) fn tie(
    fleet: &Fleet,
    mut clusters: BTreeMap<ClusterName, Planned>,
    undone: &BTreeSet<ClusterName>,
) -> Tied {
    let mut tied = Tied { ends: Vec::new(), waves: Vec::new(), clusters: BTreeMap::new() };
    for channel in &fleet.channels {
        let waves = assign(fleet, channel);
        block_later(channel, &waves, &mut clusters);
        warn_of_skipped(channel, &waves, undone, &mut clusters);
        let mut last: Option<(u32, ActionId)> = None;
        let busy: Vec<(u32, BTreeSet<ClusterName>, u32)> = waves
            .into_iter()
            .map(|(wave, names)| {
                let may_fail = may_still_fail(channel, &names, &clusters);
                let busy = names.into_iter().filter(|name| is_busy(&clusters, name));
                (wave, busy.collect(), may_fail)
            })
            .filter(|(_, names, _): &(u32, BTreeSet<ClusterName>, u32)| !names.is_empty())
            .collect();
        for (position, (wave, names, may_fail)) in busy.iter().enumerate() {
            if let Some((before, finish)) = &last {
                for name in names {
                    let Some(planned) = clusters.get_mut(name) else { continue };
                    let because =
                        Arc::new(Because::Wave { channel: channel.name.clone(), wave: *before });
                    for source in planned.sources() {
                        planned.edges.push(Edge {
                            from: *finish,
                            to: source,
                            because: because.clone(),
                        });
                    }
                }
            }
            if position + 1 < busy.len() {
                let finish = finish_wave(channel, *wave, *may_fail);
                let because =
                    Arc::new(Because::Wave { channel: channel.name.clone(), wave: *wave });
                for name in names {
                    let Some(planned) = clusters.get_mut(name) else { continue };
                    for sink in planned.sinks() {
                        planned.edges.push(Edge {
                            from: sink,
                            to: finish.id,
                            because: because.clone(),
                        });
                    }
                }
                last = Some((*wave, finish.id));
                tied.ends.push(Box::new(finish));
            }
            tied.waves.push(WavePlan {
                channel: channel.name.clone(),
                wave: *wave,
                clusters: names.clone(),
                max_parallel_clusters: channel.max_parallel_clusters,
                max_failed_clusters: *may_fail,
            });
        }
    }
    tied.clusters = clusters;
    tied
}

/// How many clusters of a wave may fail when the plan runs: of those that the channel allows to
/// fail, each that cannot even be planned is one.
fn may_still_fail(
    channel: &Channel,
    names: &BTreeSet<ClusterName>,
    clusters: &BTreeMap<ClusterName, Planned>,
) -> u32 {
    let is_blocked = |name: &&ClusterName| clusters.get(*name).is_some_and(Planned::is_blocked);
    let blocked = u32::try_from(names.iter().filter(is_blocked).count()).unwrap_or(u32::MAX);
    channel.max_failed_clusters.saturating_sub(blocked)
}

fn is_busy(clusters: &BTreeMap<ClusterName, Planned>, name: &ClusterName) -> bool {
    clusters.get(name).is_some_and(Planned::is_busy)
}

/// Returns the clusters of each wave of a channel; waves count from 1.
pub fn assign(fleet: &Fleet, channel: &Channel) -> Vec<(u32, BTreeSet<ClusterName>)> {
    let mut rest: BTreeSet<ClusterName> = fleet
        .clusters
        .values()
        .filter(|cluster| cluster.channel == channel.name)
        .map(|cluster| cluster.name.clone())
        .collect();
    let total = rest.len();
    let mut taken = 0;
    let mut waves = Vec::new();
    for (wave, spec) in (1..).zip(&channel.waves) {
        let names: BTreeSet<ClusterName> = match spec {
            WaveSpec::Clusters(names) => names.intersection(&rest).cloned().collect(),
            WaveSpec::Labels(wanted) => {
                let fits = |name: &&ClusterName| {
                    fleet.clusters.get(*name).is_some_and(|cluster| cluster.has_labels(wanted))
                };
                rest.iter().filter(fits).cloned().collect()
            }
            WaveSpec::Percent(percent) => {
                let reach = (total * usize::from(*percent)).div_ceil(100);
                rest.iter().take(reach.saturating_sub(taken)).cloned().collect()
            }
        };
        taken += names.len();
        rest.retain(|name| !names.contains(name));
        waves.push((wave, names));
    }
    waves
}

/// Blocks clusters of the waves that come after one in which more clusters are blocked than may
/// fail. What may fail is counted per wave, as it is when the plan runs.
fn block_later(
    channel: &Channel,
    waves: &[(u32, BTreeSet<ClusterName>)],
    clusters: &mut BTreeMap<ClusterName, Planned>,
) {
    let mut stuck: Vec<ClusterName> = Vec::new();
    let allowed = usize::try_from(channel.max_failed_clusters).unwrap_or(usize::MAX);
    for (wave, names) in waves {
        if stuck.is_empty() {
            let blocked: Vec<ClusterName> = names
                .iter()
                .filter(|name| clusters.get(name).is_some_and(Planned::is_blocked))
                .cloned()
                .collect();
            if blocked.len() > allowed {
                stuck = blocked;
            }
            continue;
        }
        for name in names.iter().filter(|name| is_busy(clusters, name)).cloned().collect::<Vec<_>>()
        {
            let Some(planned) = clusters.get_mut(&name) else { continue };
            let shown: Vec<&str> = stuck.iter().take(3).map(ClusterName::as_str).collect();
            planned.block(Finding {
                severity: Severity::Blocked,
                code: Code::RF025,
                subject: Subject::cluster(&name),
                evidence: format!(
                    "wave {wave} of {} waits for {}, which cannot be planned",
                    channel.name,
                    shown.join(", ")
                ),
                hint: "unblock that cluster, or raise the channel's `max-failed-clusters`".into(),
            });
        }
    }
}

/// Tells clusters of later waves that a wave before theirs is left out, and not done.
fn warn_of_skipped(
    channel: &Channel,
    waves: &[(u32, BTreeSet<ClusterName>)],
    undone: &BTreeSet<ClusterName>,
    clusters: &mut BTreeMap<ClusterName, Planned>,
) {
    let mut skipped: Vec<(u32, String)> = Vec::new();
    for (wave, names) in waves {
        for name in names.iter().filter(|name| is_busy(clusters, name)).cloned().collect::<Vec<_>>()
        {
            let Some(planned) = clusters.get_mut(&name) else { continue };
            planned.findings.extend(skipped.iter().map(|(before, which)| Finding {
                severity: Severity::Warning,
                code: Code::RF040,
                subject: Subject::cluster(&name),
                evidence: format!(
                    "wave {before} of {} comes first, and is not done: {which} left out",
                    channel.name
                ),
                hint: format!("select wave {before} as well, or apply it before"),
            }));
        }
        let pending: Vec<&str> = names.intersection(undone).map(ClusterName::as_str).collect();
        if !pending.is_empty() {
            skipped.push((*wave, are_some(&pending)));
        }
    }
}

/// `a is`, `a, b, c and 4 more are`.
fn are_some(names: &[&str]) -> String {
    let are = if names.len() == 1 { "is" } else { "are" };
    format!("{} {are}", few(names))
}

fn finish_wave(channel: &Channel, wave: u32, max_failed_clusters: u32) -> Action {
    let kind = ActionKind::FinishWave { channel: channel.name.clone(), wave, max_failed_clusters };
    Action {
        id: Action::id_of(None, &kind),
        cluster: None,
        kind,
        expect: StateGuard::Anything.into(),
        ensure: StateGuard::Anything.into(),
        bounds: Bounds::None,
        timeout: Action::WAVE_TIMEOUT,
        estimate: Period::ZERO,
        reversible: Reversibility::Reversible,
        why: Why::Waves,
    }
}
