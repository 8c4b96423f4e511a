//! Clusters: what they follow, what they are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;

use refit_model::{
    AddonName, AddonTarget, AddonVersion, ChannelName, Cluster, ClusterName, ControlPlane,
    EtcdLayout, GroupName, ImagePattern, ImagePolicy, IntOrPercent, NodePool, Period, Target,
    UpdateStrategy,
};

use super::{KnownChannel, KnownCluster, Resolver, limits};
use crate::diagnostic::{Diagnostic, known, quoted};
use crate::load::{Kind, Sited};
use crate::raw::{
    ClusterTable, Etcd, IMAGE_OWNER, ImageTable, Images, MAX_PARALLEL_POOLS, MAX_SURGE,
    MAX_UNAVAILABLE, NODE_INTERVAL, NODE_TIMEOUT, PoolTable, ProviderKind, UNREACHABLE_TIMEOUT,
    Update, WAIT_COMPLETE, WAIT_COMPLETE_MAX,
};
use crate::text::{At, Quantity, Text};

/// Where a name was seen first.
pub(super) type Seen = BTreeMap<String, (String, Range<usize>)>;
/// The Auto Scaling groups of all clusters: a group belongs to one pool of one cluster.
type Groups = BTreeMap<GroupName, (String, String, Range<usize>)>;

impl Resolver<'_> {
    pub(super) fn clusters(
        &mut self,
        channels: &BTreeMap<ChannelName, KnownChannel>,
    ) -> BTreeMap<ClusterName, KnownCluster> {
        let mut clusters = BTreeMap::new();
        let mut seen: Seen = BTreeMap::new();
        let mut groups: Groups = BTreeMap::new();
        let declared = self.declared;
        for Sited { file, raw } in &declared.clusters {
            let name = self.parse(file, &raw.name);
            let new = name.as_ref().is_some_and(|name| {
                self.is_new(&mut seen, "clusters", name.as_str(), (file, &raw.name.span))
            });
            // Of a cluster that is declared a second time, what follows from that is not told.
            let mut apart = Groups::new();
            let is_second = name.is_some() && !new;
            let groups = if is_second { &mut apart } else { &mut groups };
            let Some(known) = self.cluster(file, raw, channels, groups) else { continue };
            if new {
                clusters.insert(known.cluster.name.clone(), known);
            }
        }
        self.one_reality();
        clusters
    }

    /// Simulated time is not the time of real clusters: one run has one clock.
    fn one_reality(&mut self) {
        let declared = self.declared;
        let of = |wanted: ProviderKind| {
            let mut kinds =
                declared.clusters.iter().map(|sited| (&sited.file, &sited.raw.provider.kind));
            kinds.find(|(_, kind)| kind.value == wanted)
        };
        let (Some((file, simulated)), Some((other, real))) =
            (of(ProviderKind::Simulated), of(ProviderKind::Aws))
        else {
            return;
        };
        let diagnostic = Diagnostic::error("the fleet has both simulated and real clusters")
            .at(file, &simulated.span, "simulated")
            .also(other, &real.span, "real")
            .hint("keep simulated clusters in a fleet of their own: their time is another one");
        self.report(diagnostic);
    }

    fn cluster(
        &mut self,
        file: &str,
        raw: &ClusterTable,
        channels: &BTreeMap<ChannelName, KnownChannel>,
        groups: &mut Groups,
    ) -> Option<KnownCluster> {
        let name: Option<ClusterName> = raw.name.text.parse().ok();
        let owner = raw.name.text.clone();
        let channel = self.cluster_channel(file, raw, channels);
        let pinned = raw.pins.kubernetes.as_ref().map(|text| self.target(file, text));
        let limits = self.kept_back(file, raw);
        let accepts = self.accepted(file, raw);
        let addon_pins = self.set(file, &raw.pins.addons);
        let control_groups =
            self.groups(file, &raw.control_plane.auto_scaling_groups, &owner, groups);
        let control_plane = self.control_plane(file, raw, control_groups.clone());
        let mut pool_names: Seen = BTreeMap::new();
        let mut pools = Vec::new();
        let mut all_groups: BTreeSet<GroupName> = control_groups.iter().cloned().collect();
        for pool in &raw.node_pools {
            let place = (file, &pool.name.span);
            let what = format!("node pools of {owner}");
            let new = self.is_new(&mut pool_names, &what, &pool.name.text, place);
            let label = format!("{owner}/{}", pool.name.text);
            let names = self.groups(file, &pool.auto_scaling_groups, &label, groups);
            all_groups.extend(names.iter().cloned());
            if let Some(pool) = self.pool(file, raw, pool, names).filter(|_| new) {
                pools.push(pool);
            }
        }
        let provider = self.provider(file, raw, &control_groups, &all_groups);

        let known_release = self.release_of(channels, channel.as_ref()?);
        let (release, released) = {
            let known = known_release?;
            let at = self.location(&known.file, &known.kubernetes);
            let value = known.release.kubernetes.clone();
            (known.release.name.clone(), Target { value, pinned: false, at })
        };
        let sets_known = self.releases.get(&release).is_some_and(|known| {
            raw.addon_sets.iter().all(|set| known.release.addon_sets.contains_key(&set.value))
        });
        let addons = self.cluster_addons(file, raw, &release, &addon_pins);
        let (kubernetes, capped) = match (pinned, &raw.pins.kubernetes) {
            (Some(pinned), Some(text)) => {
                let value = self.pin_within(file, raw, pinned?, &text.span, &limits);
                (Target { value, pinned: true, at: self.location(file, &text.span) }, None)
            }
            _ => self.within(file, raw, released, &limits)?,
        };
        // Who lowers the version answers for the add-ons that do not support it.
        let decides = if capped.is_some() {
            raw.max_version.as_ref().map(|text| text.span.clone())
        } else {
            raw.pins.kubernetes.as_ref().map(|text| text.span.clone())
        };
        let of_channel = channels.get(channel.as_ref()?).and_then(|known| known.freeze.clone());
        let freeze = limits::later(limits.freeze, of_channel);
        let at = self.location(file, &raw.name.span);
        let sets = match (raw.addon_sets.first(), raw.addon_sets.last()) {
            (Some(first), Some(last)) => first.span.start..last.span.end,
            _ => raw.name.span.clone(),
        };
        Some(KnownCluster {
            cluster: Cluster {
                name: name?,
                channel: channel?,
                release,
                kubernetes,
                labels: raw.labels.clone(),
                capped,
                freeze,
                accepts,
                addons,
                provider: provider?,
                control_plane: control_plane?,
                pools,
                max_parallel_pools: raw.max_parallel_pools.unwrap_or(MAX_PARALLEL_POOLS),
                at,
            },
            file: file.to_owned(),
            sets,
            doubtful: !sets_known,
            kubernetes_pin: decides,
            addon_pins: addon_pins.into_iter().map(|(name, (_, span))| (name, span)).collect(),
        })
    }

    fn cluster_channel(
        &mut self,
        file: &str,
        raw: &ClusterTable,
        channels: &BTreeMap<ChannelName, KnownChannel>,
    ) -> Option<ChannelName> {
        let channel = self.parse(file, &raw.channel)?;
        let declared = self.declared.channels.iter().any(|c| c.raw.name.text == channel.as_str());
        if !declared && !self.broken.may_be(Kind::Channel, channel.as_str()) {
            let hints =
                known(channel.as_str(), "channels", channels.keys().map(ChannelName::as_str));
            let message = format!("there is no channel {}", quoted(channel.as_str()));
            let diagnostic = Diagnostic::error(message)
                .at(file, &raw.channel.span, "no such channel")
                .hints(hints);
            self.report(diagnostic);
        }
        Some(channel)
    }

    /// The add-ons of the cluster's sets, in the versions of its release or its pins.
    fn cluster_addons(
        &mut self,
        file: &str,
        raw: &ClusterTable,
        release: &refit_model::ReleaseName,
        pins: &BTreeMap<AddonName, (AddonVersion, Range<usize>)>,
    ) -> BTreeMap<AddonName, AddonTarget> {
        let mut targets: BTreeMap<AddonName, AddonTarget> = BTreeMap::new();
        let mut reports = Vec::new();
        let incomplete = self.broken.is(Kind::Release, release.as_str());
        let Some(known_release) = self.releases.get(release) else { return targets };
        let mut seen: BTreeMap<&str, &Range<usize>> = BTreeMap::new();
        for At { span, value: set } in &raw.addon_sets {
            if let Some(first) = seen.insert(set, span) {
                reports.push(
                    Diagnostic::error(format!("the add-on set {} stands here twice", quoted(set)))
                        .at(file, span, "again here")
                        .also(file, first, "first here")
                        .hint("remove one of them"),
                );
                continue;
            }
            let Some(versions) = known_release.release.addon_sets.get(set) else {
                if set.is_empty() {
                    reports.push(
                        Diagnostic::error("an entry of `addon-sets` is empty")
                            .at(file, span, "no name of a set")
                            .hint("remove it"),
                    );
                } else if !incomplete {
                    let names = known_release.release.addon_sets.keys().map(String::as_str);
                    let message =
                        format!("the release {release} has no add-on set {}", quoted(set));
                    reports.push(
                        Diagnostic::error(message)
                            .at(file, span, "no such set")
                            .also(&known_release.file, &known_release.name, "the release")
                            .hints(known(set, "its sets", names)),
                    );
                }
                continue;
            };
            for (addon, version) in versions {
                let place = known_release.versions.get(&(set.clone(), addon.clone()));
                let place = place.cloned().unwrap_or(0..0);
                if let Some(before) = targets.get(addon) {
                    let told = (release.clone(), addon.clone(), before.set.clone(), set.clone());
                    if before.version.value != *version && self.disagreeing.insert(told) {
                        let first = known_release
                            .versions
                            .get(&(before.set.clone(), addon.clone()))
                            .cloned()
                            .unwrap_or(0..0);
                        let message = format!(
                            "{} would run {addon} in two versions, {} and {version}",
                            raw.name.text, before.version.value
                        );
                        reports.push(
                            Diagnostic::error(message)
                                .at(file, span, format!("the set {set} brings {version}"))
                                .also(
                                    &known_release.file,
                                    &first,
                                    format!("in the set {}", before.set),
                                )
                                .also(&known_release.file, &place, format!("in the set {set}"))
                                .hint("use one of the sets, or give both the same version"),
                        );
                    }
                    continue;
                }
                let at = self.sources.location(&known_release.file, &place);
                let target = Target { value: version.clone(), pinned: false, at };
                targets.insert(addon.clone(), AddonTarget { version: target, set: set.clone() });
            }
        }
        for (addon, (version, span)) in pins {
            if let Some(target) = targets.get_mut(addon) {
                let at = self.sources.location(file, span);
                target.version = Target { value: version.clone(), pinned: true, at };
            } else if !incomplete {
                reports.push(
                    Diagnostic::error(format!("the pin of {addon} has no effect"))
                        .at(file, span, format!("no add-on set of the cluster names {addon}"))
                        .hint("remove the pin, or add the set that has it"),
                );
            }
        }
        self.diagnostics.extend(reports);
        targets
    }

    /// Names of Auto Scaling groups that nothing else has.
    fn groups(
        &mut self,
        file: &str,
        texts: &[Text<GroupName>],
        owner: &str,
        groups: &mut Groups,
    ) -> Vec<GroupName> {
        let mut names = Vec::new();
        for text in texts {
            let Some(name) = self.parse(file, text) else { continue };
            if let Some((other, other_file, first)) = groups.get(&name) {
                let message = format!("the group {} is used twice", quoted(name.as_str()));
                let diagnostic = Diagnostic::error(message)
                    .at(file, &text.span, format!("by {owner}"))
                    .also(other_file, first, format!("by {other}"))
                    .hint("a group belongs to one pool of one cluster");
                self.report(diagnostic);
                continue;
            }
            groups.insert(name.clone(), (owner.to_owned(), file.to_owned(), text.span.clone()));
            names.push(name);
        }
        names
    }

    fn control_plane(
        &mut self,
        file: &str,
        raw: &ClusterTable,
        groups: Vec<GroupName>,
    ) -> Option<ControlPlane> {
        let written = &raw.control_plane;
        let image = self.image(file, &written.image);
        let drain_timeout = self.period(file, written.drain_timeout.as_ref(), NODE_TIMEOUT);
        let ready = self.period(file, written.node_ready_timeout.as_ref(), NODE_TIMEOUT);
        let unreachable =
            self.period(file, written.unreachable_timeout.as_ref(), UNREACHABLE_TIMEOUT);
        let wait_complete = self.wait_complete(file, raw.drain.wait_complete.as_ref());
        Some(ControlPlane {
            groups,
            image: image?,
            etcd: match written.etcd {
                Etcd::Volumes => EtcdLayout::Volumes,
                Etcd::External => EtcdLayout::External,
            },
            local_api: written.local_api.unwrap_or(true),
            drain_timeout: drain_timeout?,
            node_ready_timeout: ready?,
            unreachable_timeout: unreachable?,
            wait_complete: wait_complete?,
        })
    }

    /// Returns how long a drain waits for pods that run to completion.
    fn wait_complete(&mut self, file: &str, written: Option<&Text<Period>>) -> Option<Period> {
        let period = self.period(file, written, WAIT_COMPLETE)?;
        let Some(text) = written.filter(|_| period > WAIT_COMPLETE_MAX) else {
            return Some(period);
        };
        let message = format!("{} is too long for `wait-complete`", quoted(&text.text));
        let diagnostic = Diagnostic::error(message)
            .at(file, &text.span, "at most a day (`24h`)")
            .hint("the node that waits is cordoned all that time; let longer Jobs save their progress, or apply when they are done");
        self.report(diagnostic);
        None
    }

    fn pool(
        &mut self,
        file: &str,
        cluster: &ClusterTable,
        raw: &PoolTable,
        groups: Vec<GroupName>,
    ) -> Option<NodePool> {
        let name = self.parse(file, &raw.name);
        let image = self.image(file, &raw.image);
        let surge = self.quantity(file, raw.max_surge.as_ref(), MAX_SURGE);
        let unavailable = self.quantity(file, raw.max_unavailable.as_ref(), MAX_UNAVAILABLE);
        let drain_timeout = self.period(file, raw.drain_timeout.as_ref(), NODE_TIMEOUT);
        let ready = self.period(file, raw.node_ready_timeout.as_ref(), NODE_TIMEOUT);
        let interval = self.period(file, raw.node_interval.as_ref(), NODE_INTERVAL);
        let unreachable = self.period(file, raw.unreachable_timeout.as_ref(), UNREACHABLE_TIMEOUT);
        let own = raw.drain.wait_complete.as_ref();
        let wait_complete = match own.or(cluster.drain.wait_complete.as_ref()) {
            // A mistake in the cluster's is told once, where the control plane is read.
            Some(text) if own.is_none() => text.text.parse().ok(),
            written => self.wait_complete(file, written),
        };
        if surge.is_some_and(IntOrPercent::is_zero)
            && unavailable.is_some_and(IntOrPercent::is_zero)
        {
            let place = raw.max_surge.as_ref().map_or(&raw.name.span, |surge| &surge.span);
            let message = format!("no node of {} could ever be replaced", quoted(&raw.name.text));
            let mut diagnostic = Diagnostic::error(message)
                .at(file, place, "no node more")
                .hint("make one of `max-surge` and `max-unavailable` at least 1");
            diagnostic = match &raw.max_unavailable {
                Some(unavailable) => diagnostic.also(file, &unavailable.span, "and no node fewer"),
                None => diagnostic.hint("`max-unavailable` is 0 when it is not given"),
            };
            self.report(diagnostic);
        }
        self.no_effect_on_delete(file, raw);
        Some(NodePool {
            name: name?,
            groups,
            image: image?,
            update: match raw.update_strategy {
                Update::Roll => UpdateStrategy::Roll,
                Update::OnDelete => UpdateStrategy::OnDelete,
            },
            images: match raw.images {
                Images::SameVersion => ImagePolicy::SameVersion,
                Images::Newest => ImagePolicy::Newest,
            },
            max_surge: surge?,
            max_unavailable: unavailable?,
            drain_timeout: drain_timeout?,
            node_ready_timeout: ready?,
            unreachable_timeout: unreachable?,
            wait_complete: wait_complete?,
            node_interval: interval?,
        })
    }

    /// Keys of a roll mean nothing where there is none.
    fn no_effect_on_delete(&mut self, file: &str, raw: &PoolTable) {
        if raw.update_strategy != Update::OnDelete {
            return;
        }
        let surge = raw.max_surge.as_ref().map(|at| ("max-surge", &at.span));
        let interval = raw.node_interval.as_ref().map(|text| ("node-interval", &text.span));
        let unreachable =
            raw.unreachable_timeout.as_ref().map(|text| ("unreachable-timeout", &text.span));
        for (key, span) in surge.into_iter().chain(interval).chain(unreachable) {
            let message = format!("`{key}` has no effect on {}", quoted(&raw.name.text));
            let diagnostic = Diagnostic::error(message)
                .at(file, span, "`update-strategy = \"on-delete\"` rolls nothing")
                .hint("remove it");
            self.report(diagnostic);
        }
    }

    fn image(&mut self, file: &str, raw: &ImageTable) -> Option<ImagePattern> {
        const VERSION: &str = "{version}";
        let At { span, value: name } = &raw.name;
        let rest = name.replace(VERSION, "");
        let problem = if rest.contains(['{', '}']) {
            let open = rest.find('{').unwrap_or(0);
            let unknown = rest.get(open..).unwrap_or_default();
            let end = unknown.find('}').map_or(unknown.len(), |end| end + 1);
            let unknown = unknown.get(..end).unwrap_or_default();
            Some((
                format!("the image's name has the unknown placeholder {}", quoted(unknown)),
                "unknown",
            ))
        } else if rest == *name {
            Some((
                "the image's name does not say where the version is".to_owned(),
                "no `{version}`",
            ))
        } else {
            None
        };
        if let Some((message, label)) = problem {
            let diagnostic = Diagnostic::error(message)
                .at(file, span, label)
                .hint("write `{version}` for the version, such as \"acme-k8s-{version}-*\"");
            self.report(diagnostic);
            return None;
        }
        Some(ImagePattern {
            name: name.clone(),
            owner: raw.owner.clone().unwrap_or_else(|| IMAGE_OWNER.to_owned()),
            architecture: raw.architecture.as_str().to_owned(),
        })
    }

    pub(super) fn period(
        &mut self,
        file: &str,
        text: Option<&Text<Period>>,
        default: &str,
    ) -> Option<Period> {
        match text {
            Some(text) => self.parse(file, text),
            None => default.parse().ok(),
        }
    }

    pub(super) fn quantity(
        &mut self,
        file: &str,
        written: Option<&At<Quantity>>,
        default: u32,
    ) -> Option<IntOrPercent> {
        let Some(At { span, value }) = written else { return Some(IntOrPercent::Int(default)) };
        let text = match value {
            Quantity::Int(count) => return Some(IntOrPercent::Int(*count)),
            Quantity::Text(text) => text,
        };
        match IntOrPercent::from_str(text) {
            Ok(quantity) => Some(quantity),
            Err(error) => {
                self.report(Diagnostic::error(error.to_string()).at(file, span, ""));
                None
            }
        }
    }
}
