//! Plans made by hand, for tests.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionId, ActionKind, AddonMark, Because, Bounds, ClusterIdentity, ClusterPlan,
    ClusterStatus, Digest, Edge, Finding, KubeVersion, ObjectRef, Period, Plan, Reversibility,
    RollCause, Severity, StateGuard, Subject, WavePlan, Why,
};

use crate::Style;

pub(crate) const NARROW: Style = Style { color: false, width: 60, in_full: false };

pub(crate) fn kube(text: &str) -> KubeVersion {
    text.parse().unwrap()
}

pub(crate) fn kubes(text: &str) -> BTreeSet<KubeVersion> {
    text.split('/').map(kube).collect()
}

pub(crate) fn object(kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: "v1".into(),
        kind: kind.into(),
        namespace: Some("kube-system".into()),
        name: name.into(),
    }
}

fn objects(n: u32) -> BTreeSet<ObjectRef> {
    (0..n).map(|n| object("ConfigMap", &format!("object-{n}"))).collect()
}

pub(crate) fn at(version: &str) -> AddonMark {
    AddonMark::At {
        version: version.parse().unwrap(),
        digest: Digest::of_bytes(version.as_bytes()),
    }
}

pub(crate) fn hop(from: &str, to: &str) -> ActionKind {
    ActionKind::ControlPlaneHop {
        from: kubes(from).into(),
        to: kube(to),
        images: BTreeMap::new(),
        instances: 3,
    }
}

pub(crate) fn roll(pool: &str, nodes: u32, from: &str, to: &str) -> ActionKind {
    ActionKind::NodePoolRoll {
        pool: pool.parse().unwrap(),
        from: kubes(from).into(),
        to: kube(to),
        images: BTreeMap::new(),
        nodes,
        cause: RollCause::Version,
        replace: BTreeSet::new(),
    }
}

pub(crate) fn apply(addon: &str, from: AddonMark, to: &str) -> ActionKind {
    ActionKind::AddonApply {
        addon: addon.parse().unwrap(),
        from,
        to: to.parse().unwrap(),
        digest: Digest::of_bytes(to.as_bytes()),
        deletes: BTreeSet::new(),
    }
}

pub(crate) fn adopt(addon: &str, from: &str, to: &str) -> ActionKind {
    ActionKind::AddonAdopt {
        addon: addon.parse().unwrap(),
        from: from.into(),
        to: to.parse().unwrap(),
        digest: Digest::of_bytes(to.as_bytes()),
        managers: BTreeSet::from(["kubectl-client-side-apply".into()]),
    }
}

pub(crate) fn remove(addon: &str, from: &str, n: u32, kept: u32) -> ActionKind {
    ActionKind::AddonRemove {
        addon: addon.parse().unwrap(),
        from: from.parse().unwrap(),
        objects: objects(n),
        kept: objects(kept),
    }
}

/// An action as the planner makes it, as far as it is shown.
pub(crate) fn action(cluster: &str, kind: ActionKind) -> Action {
    let cluster = Some(cluster.parse().unwrap());
    let (bounds, estimate, reversible, why) = match &kind {
        ActionKind::ControlPlaneHop { .. } => {
            (Bounds::None, Period::minutes(24), Reversibility::ControlPlaneMinor, declared())
        }
        ActionKind::NodePoolRoll { nodes, .. } => (
            Bounds::Rolling {
                surge: 5,
                unavailable: 0,
                drain_timeout: Period::minutes(15),
                wait_complete: Period::ZERO,
                node_ready_timeout: Period::minutes(15),
                unreachable_timeout: Period::minutes(10),
                node_interval: Period::ZERO,
            },
            Period::minutes(*nodes),
            Reversibility::Reversible,
            declared(),
        ),
        ActionKind::AddonRemove { objects, .. } => (
            Bounds::None,
            Period::minutes(2),
            Reversibility::Deletes { objects: u32::try_from(objects.len()).unwrap() },
            Why::Unlisted,
        ),
        _ => (Bounds::None, Period::minutes(2), Reversibility::Reversible, declared()),
    };
    Action {
        id: Action::id_of(cluster.as_ref(), &kind),
        cluster,
        kind,
        expect: StateGuard::Anything.into(),
        ensure: StateGuard::Anything.into(),
        bounds,
        timeout: Period::minutes(30),
        estimate,
        reversible,
        why,
    }
}

fn declared() -> Why {
    Why::Release {
        release: "2026.11.0".parse().unwrap(),
        at: refit_model::Location { file: "releases/2026.11.0.toml".into(), line: 3 },
    }
}

/// A plan under construction.
pub(crate) struct Sample {
    pub(crate) plan: Plan,
}

impl Sample {
    pub(crate) fn new() -> Self {
        Self {
            plan: Plan {
                fleet: "acme".parse().unwrap(),
                made_with: "0.1.0".into(),
                taken_at: "2026-11-02T09:14:02Z".parse().unwrap(),
                now: None,
                config_digest: Digest::of_bytes(b"a"),
                snapshot_digest: Digest::of_bytes(b"b"),
                selection: refit_model::Selection::default(),
                left_out: std::collections::BTreeSet::new(),
                downgrade: std::collections::BTreeSet::new(),
                clusters: Vec::new(),
                waves: Vec::new(),
                actions: Vec::new(),
                edges: Vec::new(),
                implied: Vec::new(),
                findings: Vec::new(),
                critical_path: Period::minutes(230),
                measured: refit_model::Durations::default(),
            },
        }
    }

    pub(crate) fn stands(
        mut self,
        name: &str,
        status: ClusterStatus,
        from: &str,
        to: &str,
    ) -> Self {
        self.plan.clusters.push(ClusterPlan {
            name: name.parse().unwrap(),
            channel: "beta".parse().unwrap(),
            release: "2026.11.0".parse().unwrap(),
            identity: Some(ClusterIdentity { uid: name.into(), account: None, region: None }),
            status,
            from: kubes(from),
            to: kube(to),
            parallel_pools: None,
            kubelets_that_stay: BTreeSet::new(),
        });
        self
    }

    /// A cluster with these actions, one after the other.
    pub(crate) fn cluster(self, name: &str, from: &str, to: &str, actions: Vec<Action>) -> Self {
        let mut this = self.stands(name, ClusterStatus::Planned, from, to);
        for pair in actions.windows(2) {
            this.plan.edges.push(Edge {
                from: pair[0].id,
                to: pair[1].id,
                because: because(&pair[0].kind, &pair[1].kind).into(),
            });
        }
        this.plan.actions.extend(actions.into_iter().map(Box::new));
        this.plan.actions.sort_by_key(|a| a.id);
        this
    }

    /// A cluster that goes the way of the contract's example.
    pub(crate) fn example(self, name: &str) -> Self {
        let kinds = vec![
            hop("1.31.13", "1.32.9"),
            apply("coredns", at("1.11.1"), "1.12.4"),
            hop("1.32.9", "1.33.5"),
            hop("1.33.5", "1.34.3"),
            roll("workers", 42, "1.31.13", "1.34.3"),
            apply("gateway-api", AddonMark::Absent, "1.4.0"),
            adopt("metrics-server", "0.7.2", "0.8.1"),
            remove("kube-dns-legacy", "1.0.0", 6, 1),
        ];
        let actions = kinds.into_iter().map(|kind| action(name, kind)).collect();
        self.cluster(name, "1.31.13", "1.34.3", actions)
    }

    /// A cluster that rolls these pools after one hop, in a channel.
    pub(crate) fn upgrade(self, channel: &str, name: &str, pools: &[(&str, u32)]) -> Self {
        let rolls = pools.iter().map(|(pool, nodes)| roll(pool, *nodes, "1.33.5", "1.34.3"));
        let kinds = std::iter::once(hop("1.33.5", "1.34.3")).chain(rolls);
        let actions = kinds.map(|kind| action(name, kind)).collect();
        self.cluster(name, "1.33.5", "1.34.3", actions).in_channel(channel)
    }

    /// Moves the last cluster to a channel.
    pub(crate) fn in_channel(mut self, channel: &str) -> Self {
        if let Some(cluster) = self.plan.clusters.last_mut() {
            cluster.channel = channel.parse().unwrap();
        }
        self
    }

    pub(crate) fn wave(mut self, wave: u32, clusters: &[&str]) -> Self {
        self.plan.waves.push(WavePlan {
            channel: "beta".parse().unwrap(),
            wave,
            clusters: clusters.iter().map(|name| name.parse().unwrap()).collect(),
            max_parallel_clusters: Some(5),
            max_failed_clusters: 0,
        });
        self
    }

    pub(crate) fn finding(
        mut self,
        severity: Severity,
        cluster: &str,
        part: &str,
        evidence: &str,
        hint: &str,
    ) -> Self {
        self.plan.findings.push(Finding {
            severity,
            code: refit_model::Code::RF012,
            subject: Subject {
                cluster: cluster.parse().unwrap(),
                part: (!part.is_empty()).then(|| part.to_owned()),
            },
            evidence: evidence.into(),
            hint: hint.into(),
        });
        self
    }

    /// The id of the only action whose kind reads so.
    pub(crate) fn id(&self, cluster: &str, what: &str) -> ActionId {
        let found = self.plan.actions.iter().find(|action| {
            action.cluster.as_ref().is_some_and(|name| name.as_str() == cluster)
                && action.kind.to_string().contains(what)
        });
        found.unwrap().id
    }
}

fn because(first: &ActionKind, then: &ActionKind) -> Because {
    match (first, then) {
        (
            ActionKind::AddonApply { addon, from: AddonMark::At { version, .. }, .. },
            ActionKind::ControlPlaneHop { to, .. },
        ) => {
            let below = refit_model::Minor::new(1, to.minor().minor - 1);
            Because::AddonCompatibility {
                addon: addon.clone(),
                version: version.clone(),
                supports: format!(">=1.29, <={below}"),
                minor: to.minor(),
            }
        }
        (ActionKind::ControlPlaneHop { .. }, ActionKind::ControlPlaneHop { .. }) => {
            Because::Skew { rule: refit_model::skew::SkewRule::MinorByMinor }
        }
        _ => Because::OneAtATime,
    }
}
