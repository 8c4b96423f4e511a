//! Channels and their waves.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use refit_model::{Channel, ChannelName, ClusterName, ReleaseName, WaveSpec};

use super::{KnownChannel, KnownCluster, Resolver};
use crate::diagnostic::{Diagnostic, known, quoted};
use crate::load::{FLEET_FILE, Kind, Sited};
use crate::raw::{ChannelTable, ClusterTable, MAX_FAILED_CLUSTERS};
use crate::text::At;

impl Resolver<'_> {
    pub(super) fn channels(&mut self) -> BTreeMap<ChannelName, KnownChannel> {
        let mut channels = BTreeMap::new();
        let mut seen = BTreeMap::new();
        let declared = self.declared;
        for Sited { file, raw } in &declared.channels {
            let release = self.parse(file, &raw.release);
            if let Some(release) = &release {
                self.release_exists(file, release, &raw.release.span);
            }
            let freeze = self.freeze(file, raw.freeze.as_ref());
            let (waves, named) = self.wave_specs(file, raw);
            let Some(name) = self.parse(file, &raw.name) else { continue };
            let place = (file.as_str(), &raw.name.span);
            let new = self.is_new(&mut seen, "channels", name.as_str(), place);
            let Some(release) = release.filter(|_| new) else { continue };
            let channel = Channel {
                name: name.clone(),
                release,
                waves,
                max_parallel_clusters: raw.max_parallel_clusters,
                max_failed_clusters: raw.max_failed_clusters.unwrap_or(MAX_FAILED_CLUSTERS),
            };
            channels.insert(name, KnownChannel { channel, freeze, named });
        }
        channels
    }

    fn release_exists(&mut self, file: &str, release: &ReleaseName, span: &Range<usize>) {
        if self.releases.contains_key(release)
            || self.broken.may_be(Kind::Release, release.as_str())
            || self.declared.releases.iter().any(|known| known.raw.name.text == release.as_str())
        {
            return;
        }
        let hints =
            known(release.as_str(), "releases", self.releases.keys().map(ReleaseName::as_str));
        let diagnostic =
            Diagnostic::error(format!("there is no release {}", quoted(release.as_str())))
                .at(file, span, "no such release")
                .hints(hints);
        self.report(diagnostic);
    }

    /// The waves as they are written; each takes something that none before it took.
    fn wave_specs(
        &mut self,
        file: &str,
        raw: &ChannelTable,
    ) -> (Vec<WaveSpec>, Vec<(ClusterName, Range<usize>)>) {
        let mut waves = Vec::new();
        let mut named: Vec<(ClusterName, Range<usize>)> = Vec::new();
        let mut share: Option<(u8, Range<usize>)> = None;
        for wave in &raw.waves {
            if let Some((100, all)) = &share {
                let diagnostic = Diagnostic::error("no cluster is left for this wave")
                    .at(file, &wave.span, "takes nothing")
                    .also(file, all, "takes all that are left")
                    .hint("remove it, or put it before the wave of 100 %");
                self.report(diagnostic);
                break;
            }
            if let Some(percent) = &wave.value.percent {
                if let Some((before, place)) =
                    share.as_ref().filter(|(before, _)| *before >= percent.value)
                {
                    let message = format!("a wave of {} % takes nothing", percent.value);
                    let diagnostic = Diagnostic::error(message)
                        .at(file, &percent.span, "counted from the whole channel")
                        .also(file, place, format!("{before} % are reached here"))
                        .hint("percentages of later waves are larger: 25, 50, 100");
                    self.report(diagnostic);
                }
                share = Some((percent.value, percent.span.clone()));
                waves.push(WaveSpec::Percent(percent.value));
            }
            if let Some(At { span, value: wanted }) = &wave.value.labels {
                self.labels_fit(file, raw, wanted, span);
                waves.push(WaveSpec::Labels(wanted.clone()));
            }
            let Some(texts) = &wave.value.clusters else { continue };
            let mut clusters = BTreeSet::new();
            for text in texts {
                let Some(name) = self.parse(file, text) else { continue };
                if let Some((_, first)) = named.iter().find(|(other, _)| *other == name) {
                    let diagnostic =
                        Diagnostic::error(format!("{} is in a wave twice", quoted(name.as_str())))
                            .at(file, &text.span, "again here")
                            .also(file, first, "first here")
                            .hint("remove one of them");
                    self.report(diagnostic);
                    continue;
                }
                named.push((name.clone(), text.span.clone()));
                clusters.insert(name);
            }
            waves.push(WaveSpec::Clusters(clusters));
        }
        // What no wave takes forms the last one.
        let mut own = self.declared.clusters.iter().filter(|c| c.raw.channel.text == raw.name.text);
        let chosen = |cluster: &ClusterTable| {
            named.iter().any(|(name, _)| name.as_str() == cluster.name.text)
                || waves.iter().any(
                    |wave| matches!(wave, WaveSpec::Labels(wanted) if has_labels(cluster, wanted)),
                )
        };
        let all_chosen = !waves.is_empty() && own.all(|c| chosen(&c.raw));
        if !all_chosen && !matches!(waves.last(), Some(WaveSpec::Percent(100))) {
            waves.push(WaveSpec::Percent(100));
        }
        (waves, named)
    }

    /// A wave that no cluster has the labels of is a mistake: the canary would be skipped.
    fn labels_fit(
        &mut self,
        file: &str,
        raw: &ChannelTable,
        wanted: &BTreeMap<String, String>,
        span: &Range<usize>,
    ) {
        if wanted.is_empty() {
            let diagnostic = Diagnostic::error("the wave names no label")
                .at(file, span, "would be every cluster")
                .hint("write `{ labels = { tier = \"canary\" } }`, or `{ percent = 100 }`");
            return self.report(diagnostic);
        }
        let of_channel = |cluster: &&Sited<ClusterTable>| cluster.raw.channel.text == raw.name.text;
        let own = || self.declared.clusters.iter().filter(of_channel);
        let fits = own().any(|cluster| has_labels(&cluster.raw, wanted));
        if fits || self.broken.some(Kind::Cluster) {
            return;
        }
        let there: BTreeSet<String> = own()
            .flat_map(|cluster| &cluster.raw.labels)
            .map(|(key, value)| format!("{key} = \"{value}\""))
            .collect();
        let wanted: Vec<String> =
            wanted.iter().map(|(key, value)| format!("{key} = \"{value}\"")).collect();
        let channel = &raw.name.text;
        let message = format!("no cluster of {channel} has the labels {}", wanted.join(", "));
        let diagnostic = Diagnostic::error(message).at(file, span, "takes nothing").hints(known(
            &wanted.join(", "),
            "labels on its clusters",
            there.iter().map(String::as_str),
        ));
        self.report(diagnostic);
    }

    /// Waves name clusters of their own channel.
    pub(super) fn waves(
        &mut self,
        channels: &BTreeMap<ChannelName, KnownChannel>,
        clusters: &BTreeMap<ClusterName, KnownCluster>,
    ) {
        let declared = self.declared;
        for known_channel in channels.values() {
            let channel = &known_channel.channel.name;
            for (name, span) in &known_channel.named {
                let written =
                    declared.clusters.iter().find(|cluster| cluster.raw.name.text == name.as_str());
                let Some(written) = written else {
                    if !self.broken.may_be(Kind::Cluster, name.as_str()) {
                        let names = clusters.keys().map(ClusterName::as_str);
                        let hints = known(name.as_str(), "clusters", names);
                        let message = format!("there is no cluster {}", quoted(name.as_str()));
                        let diagnostic = Diagnostic::error(message)
                            .at(FLEET_FILE, span, "no such cluster")
                            .hints(hints);
                        self.report(diagnostic);
                    }
                    continue;
                };
                if written.raw.channel.text != channel.as_str() {
                    let other = &written.raw.channel;
                    let message = format!("{name} does not follow the channel {channel}");
                    let diagnostic = Diagnostic::error(message)
                        .at(FLEET_FILE, span, format!("in a wave of {channel}"))
                        .also(&written.file, &other.span, "follows this channel")
                        .hint(format!("remove it from the waves of {channel}"));
                    self.report(diagnostic);
                }
            }
        }
    }
}

/// Whether a cluster's file gives it all of these labels.
fn has_labels(cluster: &ClusterTable, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| cluster.labels.get(key) == Some(value))
}
