//! What provokes each finding in a healthy fleet.

use std::collections::BTreeSet;

use refit_model::{
    Acceptance, Capped, Code, EndOfLife, Fleet, IntOrPercent, KubeProxy, LifecycleHook, Milestone,
    Observation, Only, Period, PodOwner, RecordedRelease, Severity, Target, UpdateStrategy,
    WaveSpec, Written, ZonalVolume,
};

use crate::bench::{
    Bench, ant, fleet, has, knows, minor, n, pattern, release, requires, start, wants,
};
use crate::knowledge::{claim, said, source, uses};
use crate::storage::lists;

/// One way to provoke a finding in the healthy fleet: by its files, or by what is seen of it.
pub(crate) struct Case {
    pub(crate) code: Code,
    pub(crate) severity: Severity,
    /// Of the cluster `ant`; empty: the cluster as a whole.
    pub(crate) part: &'static str,
    pub(crate) declare: fn(&mut Fleet),
    pub(crate) change: fn(&mut Bench),
}

pub(crate) const NOTHING: fn(&mut Fleet) = |_| {};
pub(crate) const UNCHANGED: fn(&mut Bench) = |_| {};

pub(crate) const fn blocked(code: Code, part: &'static str) -> Case {
    Case { code, severity: Severity::Blocked, part, declare: NOTHING, change: UNCHANGED }
}

pub(crate) fn cases() -> Vec<Case> {
    use Severity::{Note, Unknown, Warning};
    vec![
        Case {
            severity: Unknown,
            change: |bench| {
                let reason = "connection refused".to_owned();
                bench.snapshot.clusters.insert(n("ant"), Observation::Unreachable { reason });
            },
            ..blocked(Code::RF001, "")
        },
        Case {
            severity: Unknown,
            change: |bench| {
                bench.snapshot.clusters.remove(&n("ant"));
            },
            ..blocked(Code::RF002, "")
        },
        Case {
            change: |bench| {
                let ant = bench.state().clone();
                bench.state_of("bee").identity = ant.identity;
            },
            ..blocked(Code::RF003, "")
        },
        Case { change: |bench| stray(bench, "1.29.2"), ..blocked(Code::RF004, "node stray") },
        Case {
            change: |bench| {
                bench.state().groups.remove(&n("ant-batch-0"));
            },
            ..blocked(Code::RF005, "ant-batch-0")
        },
        Case {
            change: |bench| {
                let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
                group.refused.insert("warm pool".to_owned());
            },
            ..blocked(Code::RF006, "ant-batch-0")
        },
        Case {
            change: |bench| without_image(bench, "1.32.5"),
            ..blocked(Code::RF007, "control-plane")
        },
        Case {
            severity: Note,
            declare: |fleet| start(fleet).kubernetes = n("1.33.5"),
            change: newer_image,
            ..blocked(Code::RF008, "batch")
        },
        Case {
            change: |bench| {
                launches(bench, "1.33.5");
                without_image(bench, "1.30.2");
            },
            ..blocked(Code::RF009, "ant-batch-0")
        },
        Case {
            change: |bench| {
                let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
                group.max = group.desired;
            },
            ..blocked(Code::RF010, "batch")
        },
        Case {
            change: |bench| bench.state().control_plane[1].api_server = None,
            ..blocked(Code::RF011, "control-plane")
        },
        Case {
            change: |bench| {
                let budget = &mut bench.state().budgets[0];
                budget.desired_healthy = budget.expected_pods;
            },
            ..blocked(Code::RF012, "apps/web")
        },
        Case {
            severity: Warning,
            change: |bench| {
                let budget = &mut bench.state().budgets[0];
                budget.current_healthy = budget.desired_healthy - 1;
                budget.disruptions_allowed = 0;
            },
            ..blocked(Code::RF050, "apps/web")
        },
        Case {
            change: |bench| {
                let name = web_pod(bench);
                let pods = &mut bench.state().pods;
                let pod = pods.iter_mut().find(|pod| pod.name == name).unwrap();
                pod.name = "web-1".into();
                pod.budgets.insert("another".to_owned());
            },
            ..blocked(Code::RF013, "apps/web-1")
        },
        Case {
            change: |bench| {
                let name = web_pod(bench);
                let pods = &mut bench.state().pods;
                let pod = pods.iter_mut().find(|pod| pod.name == name).unwrap();
                pod.name = "alone".into();
                pod.owner = PodOwner::Nobody;
            },
            ..blocked(Code::RF014, "apps/alone")
        },
        Case {
            severity: Warning,
            change: |bench| {
                let name = web_pod(bench);
                let pods = &mut bench.state().pods;
                let pod = pods.iter_mut().find(|pod| pod.name == name).unwrap();
                pod.owner = PodOwner::Workload("Job/apps/report".parse().unwrap());
                pod.budgets.clear();
            },
            ..blocked(Code::RF057, "Job/apps/report")
        },
        Case {
            declare: |fleet| ant(fleet).kubernetes.value = n("1.29.5"),
            ..blocked(Code::RF015, "control-plane")
        },
        Case {
            declare: |fleet| fleet.available.retain(|version| version.minor() != n("1.32")),
            ..blocked(Code::RF016, "control-plane")
        },
        Case {
            change: |bench| bench.control_plane_runs(&["1.30.2", "1.32.5", "1.30.2"]),
            ..blocked(Code::RF017, "control-plane")
        },
        Case {
            declare: |fleet| {
                knows(fleet, "dns", &[("1.0.0", "<=1.31"), ("1.1.0", ">=1.32")]);
                has(fleet, "dns", "1.0.0");
                wants(fleet, "dns", "1.1.0");
            },
            ..blocked(Code::RF018, "dns")
        },
        Case {
            declare: |fleet| {
                knows(fleet, "dns", &[("1.0.0", ">=1.28")]);
                knows(fleet, "proxy", &[("1.0.0", ">=1.28")]);
                requires(fleet, "proxy", "1.0.0", "dns", ">=1.1.0");
                wants(fleet, "dns", "1.0.0");
                wants(fleet, "proxy", "1.0.0");
            },
            ..blocked(Code::RF019, "proxy")
        },
        Case {
            declare: |fleet| {
                knows(fleet, "dns", &[("1.0.0", ">=1.28")]);
                wants(fleet, "dns", "1.0.0");
                start(fleet).foreign_addons.insert(n("dns"), n("1.0.0"));
            },
            change: |bench| {
                let dns = bench.state().addons.get_mut(&n("dns")).unwrap();
                let writes = "argocd-controller".to_owned();
                dns.foreign.as_mut().unwrap().live_managers.insert(writes);
            },
            ..blocked(Code::RF020, "dns")
        },
        Case {
            severity: Note,
            declare: |fleet| {
                knows(fleet, "dns", &[("1.0.0", ">=1.28")]);
                wants(fleet, "dns", "1.0.0");
                has(fleet, "dns", "1.0.0");
            },
            change: |bench| crate::addons::drift(bench, "dns", ".spec.replicas"),
            ..blocked(Code::RF021, "dns")
        },
        Case {
            severity: Warning,
            declare: |fleet| {
                start(fleet).group_sizes.insert(n("ant-control-plane"), 1);
            },
            ..blocked(Code::RF022, "control-plane")
        },
        Case {
            declare: |fleet| ant(fleet).control_plane.local_api = false,
            ..blocked(Code::RF023, "control-plane")
        },
        Case {
            change: |bench| bench.state().control_plane[2].etcd_ready = Some(false),
            ..blocked(Code::RF024, "control-plane")
        },
        Case {
            declare: |fleet| {
                start(fleet).group_sizes.insert(n("ant-control-plane"), 2);
            },
            ..blocked(Code::RF048, "control-plane")
        },
        Case {
            declare: |fleet| {
                let first = WaveSpec::Clusters(BTreeSet::from([n("bee")]));
                fleet.channels[0].waves = vec![first, WaveSpec::Percent(100)];
            },
            change: |bench| {
                bench.snapshot.clusters.remove(&n("bee"));
            },
            ..blocked(Code::RF025, "")
        },
        Case {
            severity: Warning,
            declare: |fleet| {
                let first = WaveSpec::Clusters(BTreeSet::from([n("bee")]));
                fleet.channels[0].waves = vec![first, WaveSpec::Percent(100)];
            },
            change: |bench| {
                bench.options.selection.exclude.insert("bee".to_owned());
            },
            ..blocked(Code::RF040, "")
        },
        Case {
            severity: Warning,
            declare: |fleet| {
                // A channel before the cluster's own, with a release of an older Kubernetes.
                let mut channel = fleet.channels[0].clone();
                let mut release = fleet.releases[&channel.release].clone();
                release.name = n("older");
                release.kubernetes = n("1.20.0");
                channel.name = n("earlier");
                channel.release = release.name.clone();
                fleet.releases.insert(release.name.clone(), release);
                fleet.channels.insert(0, channel);
            },
            ..blocked(Code::RF056, "")
        },
        Case {
            severity: Warning,
            change: |bench| {
                let release = &bench.fleet.channels[0].release;
                let mut before = bench.fleet.releases[release].clone();
                before.kubernetes = n("1.20.0");
                let at = bench.snapshot.taken_at;
                let recorded = RecordedRelease { digest: before.content_digest(), at };
                bench.options.recorded_releases.insert(release.clone(), recorded);
            },
            ..blocked(Code::RF058, "")
        },
        Case {
            severity: Warning,
            declare: |fleet| {
                let value = Acceptance {
                    finding: Code::RF012,
                    subject: "apps/gone".to_owned(),
                    until: n("2099-12-31"),
                    reason: String::new(),
                };
                let at = ant(fleet).at.clone();
                ant(fleet).accepts.push(Written { value, at });
            },
            ..blocked(Code::RF059, "")
        },
        Case {
            severity: Note,
            declare: |fleet| {
                let at = ant(fleet).at.clone();
                ant(fleet).freeze = Some(Written { value: n("until 2099-01-01"), at });
            },
            ..blocked(Code::RF041, "")
        },
        Case {
            severity: Note,
            change: |bench| bench.options.selection.only = Some(Only::ControlPlane),
            ..blocked(Code::RF047, "")
        },
        Case {
            severity: Note,
            declare: |fleet| {
                let ant = ant(fleet);
                let wanted = Target { value: n("1.35.2"), ..ant.kubernetes.clone() };
                let max = Written { value: n("1.33"), at: ant.at.clone() };
                ant.capped = Some(Capped { max, wanted });
            },
            ..blocked(Code::RF042, "control-plane")
        },
        Case {
            declare: |fleet| ant(fleet).pools[1].update = UpdateStrategy::OnDelete,
            change: |bench| bench.pool_runs("batch", &["1.29.2"]),
            ..blocked(Code::RF043, "batch")
        },
        Case {
            declare: |fleet| {
                let addon = knows(fleet, "dns", &[("1.0.0", ">=1.28")]);
                addon.placement.before.insert(Milestone::ControlPlane);
                addon.placement.after.insert(Milestone::Nodes);
                wants(fleet, "dns", "1.0.0");
            },
            ..blocked(Code::RF026, "dns")
        },
        Case {
            change: |bench| {
                let node = bench.nodes("batch")[0].clone();
                let node = bench.state().nodes.get_mut(&node).unwrap();
                node.kube_proxy = KubeProxy::DaemonSet(n("1.29.2"));
            },
            ..blocked(Code::RF028, "kube-proxy")
        },
        Case {
            change: |bench| volume(bench, "eu-west-1z"),
            ..blocked(Code::RF029, "apps/store-0")
        },
        Case {
            severity: Note,
            change: |bench| empty(bench, "batch"),
            ..blocked(Code::RF030, "batch")
        },
        Case {
            declare: |fleet| {
                dns(fleet, ">=1.28", ">=1.28");
                uses(fleet, "1.0.0", None, Some(33));
                uses(fleet, "1.1.0", None, Some(33));
            },
            ..blocked(Code::RF031, "dns")
        },
        Case {
            severity: Warning,
            declare: |fleet| {
                dns(fleet, ">=1.28", ">=1.28");
                uses(fleet, "1.1.0", None, Some(33));
                release(fleet, "dns", "1.1.0").known.apis[0].served.planned = true;
            },
            ..blocked(Code::RF031, "dns")
        },
        Case {
            severity: Warning,
            declare: |fleet| {
                let end = EndOfLife { on: n("2026-06-28"), source: source() };
                fleet.end_of_life.insert(minor(33), end);
            },
            ..blocked(Code::RF032, "control-plane")
        },
        Case {
            severity: Warning,
            declare: |fleet| {
                dns(fleet, ">=1.28", ">=1.28");
                said(fleet, "1.1.0", claim("any", &[30, 31, 32]), false);
            },
            ..blocked(Code::RF033, "dns")
        },
        Case {
            severity: Note,
            declare: |fleet| {
                dns(fleet, ">=1.28", ">=1.28");
                said(fleet, "1.1.0", claim(">=1.30", &[]), false);
            },
            ..blocked(Code::RF034, "dns")
        },
        Case {
            severity: Warning,
            declare: |fleet| {
                dns(fleet, ">=1.28", ">=1.28");
                crate::knowledge::crosses(fleet, "dns", "1.1.0");
            },
            ..blocked(Code::RF055, "dns")
        },
        Case {
            severity: Warning,
            declare: |fleet| {
                dns(fleet, "<=1.32", "=1.33");
                let addon = fleet.addons.get_mut(&n("dns")).unwrap();
                addon.may_be_unsupported_during_hop = true;
            },
            ..blocked(Code::RF035, "dns")
        },
        Case {
            severity: Warning,
            change: |bench| {
                let hook = LifecycleHook { launching: true, timeout: Period::seconds(86_400) };
                let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
                group.hooks.insert("join".to_owned(), hook);
            },
            ..blocked(Code::RF038, "ant-batch-0")
        },
        Case {
            change: |bench| {
                let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
                group.suspended.insert("Launch".to_owned());
            },
            ..blocked(Code::RF049, "ant-batch-0")
        },
        Case {
            severity: Note,
            declare: |fleet| ant(fleet).pools[1].max_surge = IntOrPercent::Int(2),
            change: |bench| {
                let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
                group.max = group.desired + 1;
            },
            ..blocked(Code::RF054, "batch")
        },
        Case {
            severity: Warning,
            change: |bench| {
                for node in bench.nodes("batch") {
                    bench.state().nodes.get_mut(&node).unwrap().unschedulable = true;
                }
            },
            ..blocked(Code::RF051, "nodes")
        },
        Case {
            severity: Warning,
            change: |bench| {
                let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
                let mut instance = group.instances[0].clone();
                instance.id = n("i-never");
                group.instances.push(instance);
            },
            ..blocked(Code::RF052, "ant-batch-0")
        },
        Case {
            severity: Warning,
            change: |bench| {
                let name = web_pod(bench);
                let pods = &mut bench.state().pods;
                pods.iter_mut().find(|pod| pod.name == name).unwrap().terminating = true;
            },
            ..blocked(Code::RF053, "pods")
        },
        Case {
            declare: |fleet| {
                knows(fleet, "csi", &[("1.0.0", ">=1.28"), ("2.0.0", ">=1.28")]);
                lists(fleet, "csi", "1.0.0", &["v1alpha1"]);
                lists(fleet, "csi", "2.0.0", &["v1"]);
                has(fleet, "csi", "1.0.0");
                wants(fleet, "csi", "2.0.0");
            },
            ..blocked(Code::RF039, "csi")
        },
        Case {
            declare: |fleet| {
                knows(fleet, "csi", &[("1.0.0", ">=1.28"), ("3.0.0", ">=1.28")]);
                fleet.addons.get_mut(&n("csi")).unwrap().one_minor_at_a_time = true;
                has(fleet, "csi", "1.0.0");
                wants(fleet, "csi", "3.0.0");
            },
            ..blocked(Code::RF044, "csi")
        },
        Case {
            declare: |fleet| {
                for (name, other) in [("csi", "dns"), ("dns", "csi")] {
                    knows(fleet, name, &[("1.0.0", ">=1.28"), ("2.0.0", ">=1.28")]);
                    release(fleet, name, "1.0.0").conflicts.insert(n(other), n("=2.0.0"));
                    has(fleet, name, "1.0.0");
                    wants(fleet, name, "2.0.0");
                }
            },
            ..blocked(Code::RF045, "csi")
        },
        Case { declare: crate::no_way::entangle, ..blocked(Code::RF046, "add-ons") },
        Case { change: |bench| emulate(bench), ..blocked(Code::RF036, "control-plane") },
        Case {
            severity: Unknown,
            declare: |fleet| {
                knows(fleet, "dns", &[("1.0.0", ">=1.28")]);
                wants(fleet, "dns", "1.0.0");
                has(fleet, "dns", "1.0.0");
            },
            change: |bench| {
                let dns = bench.state().addons.get_mut(&n("dns")).unwrap();
                dns.unreadable = Some("the server is currently unable to handle it".to_owned());
            },
            ..blocked(Code::RF037, "dns")
        },
    ]
}

/// An add-on that goes from 1.0.0 to 1.1.0.
pub(crate) fn dns(fleet: &mut Fleet, old: &str, new: &str) {
    knows(fleet, "dns", &[("1.0.0", old), ("1.1.0", new)]);
    has(fleet, "dns", "1.0.0");
    wants(fleet, "dns", "1.1.0");
}

/// The apiserver behaves as the minor before its own, which is that of its nodes.
pub(crate) fn emulate(bench: &mut Bench) {
    let emulated = bench.state().control_plane[0].api_server.as_ref().unwrap().minor();
    let binary = n("1.31.0");
    let min_compatible = emulated.previous();
    bench.state().serves = Some(refit_model::ServedVersion { binary, emulated, min_compatible });
}

pub(crate) fn without_image(bench: &mut Bench, version: &str) {
    let version = n(version);
    bench.state().images.retain(|image| !pattern().matches(&version, &image.name));
}

pub(crate) fn launches(bench: &mut Bench, version: &str) {
    let image = bench.image(version);
    let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
    group.template_images.insert(2, image);
    group.template_version = 2;
}

/// A newer image, which the pool `general` runs already.
pub(crate) fn newer_image(bench: &mut Bench) {
    let old = bench.image("1.33.5");
    let state = bench.state();
    let mut image = state.images.iter().find(|image| image.id == old).unwrap().clone();
    image.id = n("ami-newer");
    image.created = n("2026-11-01T00:00:00Z");
    state.images.push(image);
    for instance in &mut state.groups.get_mut(&n("ant-general-0")).unwrap().instances {
        instance.image = n("ami-newer");
    }
}

pub(crate) fn stray(bench: &mut Bench, kubelet: &str) {
    let node = bench.nodes("batch")[0].clone();
    let mut node = bench.state().nodes[&node].clone();
    node.instance = None;
    node.kubelet = n(kubelet);
    node.kube_proxy = KubeProxy::None;
    bench.state().nodes.insert(n("stray"), node);
}

pub(crate) fn empty(bench: &mut Bench, pool: &str) {
    for node in bench.nodes(pool) {
        bench.state().nodes.remove(&node);
        bench.state().pods.retain(|pod| pod.node.as_ref() != Some(&node));
    }
    bench.state().groups.get_mut(&n(&format!("ant-{pool}-0"))).unwrap().instances.clear();
}

/// The name of a pod that a roll evicts.
pub(crate) fn web_pod(bench: &mut Bench) -> String {
    let pods = &bench.state().pods;
    let web = |owner: &PodOwner| matches!(owner, PodOwner::Workload(of) if of.name == "web");
    pods.iter().find(|pod| web(&pod.owner)).unwrap().name.clone()
}

/// A pod of the pool `batch` with a volume in a zone.
pub(crate) fn volume(bench: &mut Bench, zone: &str) {
    let node = bench.nodes("batch")[0].clone();
    let name = web_pod(bench);
    let pods = &mut bench.state().pods;
    let mut pod = pods.iter().find(|pod| pod.name == name).unwrap().clone();
    pod.name = "store-0".into();
    pod.node = Some(node);
    pod.budgets.clear();
    pod.volume = Some(ZonalVolume { claim: "data-store-0".to_owned(), zone: n(zone) });
    pods.push(pod);
}

/// The healthy fleet: three minors to go, and a second cluster.
pub(crate) fn healthy(declare: fn(&mut Fleet)) -> Bench {
    let mut fleet = fleet(&[("ant", "1.30.2", "1.33.5"), ("bee", "1.30.2", "1.33.5")]);
    declare(&mut fleet);
    Bench::of(fleet)
}
