//! Every finding: what provokes it, and that the healthy fleet has none.

use std::collections::BTreeSet;

use refit_model::{
    BudgetState, Capped, ClusterStatus, Code, EndOfLife, Fleet, KubeProxy, LifecycleHook,
    Milestone, Observation, Period, PodOwner, RollTag, Severity, Target, UpdateStrategy, WaveSpec,
    Written, ZonalVolume,
};

use crate::bench::{
    Bench, ant, codes, finding, fleet, has, knows, minor, n, pattern, release, requires, start,
    status, steps, wants,
};
use crate::knowledge::{claim, said, source, uses};
use crate::storage::lists;

const DOCUMENTED: &str = include_str!("../../../../docs/reference/findings.md");

/// One way to provoke a finding in the healthy fleet: by its files, or by what is seen of it.
struct Case {
    code: Code,
    severity: Severity,
    /// Of the cluster `ant`; empty: the cluster as a whole.
    part: &'static str,
    declare: fn(&mut Fleet),
    change: fn(&mut Bench),
}

const NOTHING: fn(&mut Fleet) = |_| {};
const UNCHANGED: fn(&mut Bench) = |_| {};

const fn blocked(code: Code, part: &'static str) -> Case {
    Case { code, severity: Severity::Blocked, part, declare: NOTHING, change: UNCHANGED }
}

fn cases() -> Vec<Case> {
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
            severity: Note,
            declare: |fleet| {
                let at = ant(fleet).at.clone();
                ant(fleet).freeze = Some(Written { value: n("until 2099-01-01"), at });
            },
            ..blocked(Code::RF041, "")
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
            declare: |fleet| {
                knows(fleet, "csi", &[("1.0.0", ">=1.28"), ("2.0.0", ">=1.28")]);
                lists(fleet, "1.0.0", &["v1alpha1"]);
                lists(fleet, "2.0.0", &["v1"]);
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
fn dns(fleet: &mut Fleet, old: &str, new: &str) {
    knows(fleet, "dns", &[("1.0.0", old), ("1.1.0", new)]);
    has(fleet, "dns", "1.0.0");
    wants(fleet, "dns", "1.1.0");
}

/// The apiserver behaves as the minor before its own, which is that of its nodes.
fn emulate(bench: &mut Bench) {
    let emulated = bench.state().control_plane[0].api_server.as_ref().unwrap().minor();
    let binary = n("1.31.0");
    let min_compatible = emulated.previous();
    bench.state().serves = Some(refit_model::ServedVersion { binary, emulated, min_compatible });
}

fn without_image(bench: &mut Bench, version: &str) {
    let version = n(version);
    bench.state().images.retain(|image| !pattern().matches(&version, &image.name));
}

fn launches(bench: &mut Bench, version: &str) {
    let image = bench.image(version);
    let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
    group.template_images.insert(2, image);
    group.template_version = 2;
}

/// A newer image, which the pool `general` runs already.
fn newer_image(bench: &mut Bench) {
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

fn stray(bench: &mut Bench, kubelet: &str) {
    let node = bench.nodes("batch")[0].clone();
    let mut node = bench.state().nodes[&node].clone();
    node.instance = None;
    node.kubelet = n(kubelet);
    node.kube_proxy = KubeProxy::None;
    bench.state().nodes.insert(n("stray"), node);
}

fn empty(bench: &mut Bench, pool: &str) {
    for node in bench.nodes(pool) {
        bench.state().nodes.remove(&node);
        bench.state().pods.retain(|pod| pod.node.as_ref() != Some(&node));
    }
    bench.state().groups.get_mut(&n(&format!("ant-{pool}-0"))).unwrap().instances.clear();
}

/// The name of a pod that a roll evicts.
fn web_pod(bench: &mut Bench) -> String {
    let pods = &bench.state().pods;
    let web = |owner: &PodOwner| matches!(owner, PodOwner::Workload(of) if of.name == "web");
    pods.iter().find(|pod| web(&pod.owner)).unwrap().name.clone()
}

/// A pod of the pool `batch` with a volume in a zone.
fn volume(bench: &mut Bench, zone: &str) {
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
fn healthy(declare: fn(&mut Fleet)) -> Bench {
    let mut fleet = fleet(&[("ant", "1.30.2", "1.33.5"), ("bee", "1.30.2", "1.33.5")]);
    declare(&mut fleet);
    Bench::of(fleet)
}

#[test]
fn a_healthy_fleet_has_no_finding() {
    let plan = healthy(NOTHING).plan();
    assert_eq!(plan.findings, []);
    assert!(plan.clusters.iter().all(|cluster| cluster.status == ClusterStatus::Planned));
}

/// What a run that did not end has left behind.
fn left_behind(bench: &mut Bench) {
    let state = bench.state();
    if let Some(group) = state.groups.get_mut(&n("ant-general-0")) {
        group.tags.insert(RollTag::KEY.to_owned(), "{}".to_owned());
    }
    let node = state.nodes.values_mut().find(|node| node.control_plane).unwrap();
    node.annotations.insert(RollTag::CORDONED.to_owned(), "run".to_owned());
}

#[test]
fn what_is_blocked_is_tidied_up_where_it_is_surely_ours() {
    for case in cases().into_iter().filter(|case| case.severity.blocks()) {
        let code = case.code;
        let mut bench = healthy(case.declare);
        left_behind(&mut bench);
        (case.change)(&mut bench);
        let mut plan = bench.plan();
        assert_eq!(status(&plan, "ant"), ClusterStatus::Blocked, "{code}");
        plan.actions.retain(|action| action.cluster == Some(n("ant")));
        let unsure =
            [Code::RF001, Code::RF002, Code::RF003, Code::RF005, Code::RF006].contains(&code);
        let wanted: &[&str] =
            if unsure { &[] } else { &["control-plane, tidy up", "general, tidy up"] };
        assert_eq!(steps(&plan), wanted, "{code}");
    }
}

#[test]
fn every_finding_is_found_and_blocks_its_own_cluster_only() {
    for case in cases() {
        let code = case.code;
        let mut bench = healthy(case.declare);
        (case.change)(&mut bench);
        let plan = bench.plan();
        let own: Vec<_> = plan
            .findings
            .iter()
            .filter(|found| found.subject.cluster == n("ant") && found.code == code)
            .collect();
        assert_eq!(own.len(), 1, "{code}: {:#?}", plan.findings);
        assert_eq!(own[0].severity, case.severity, "{code}");
        assert_eq!(own[0].subject.part.as_deref().unwrap_or_default(), case.part, "{code}");
        assert!(!own[0].evidence.is_empty());
        let others: Vec<_> = plan
            .findings
            .iter()
            .filter(|found| found.subject.cluster == n("ant") && found.code != code)
            .collect();
        assert!(others.is_empty(), "{code} comes with {others:#?}");

        let expected =
            if case.severity.blocks() { ClusterStatus::Blocked } else { ClusterStatus::Planned };
        let actions = plan.actions.iter().filter(|action| action.cluster == Some(n("ant"))).count();
        if code == Code::RF008 {
            assert_eq!(status(&plan, "ant"), ClusterStatus::UpToDate);
        } else if code == Code::RF041 {
            assert_eq!((status(&plan, "ant"), actions), (ClusterStatus::Frozen, 0));
        } else {
            assert_eq!(status(&plan, "ant"), expected, "{code}");
            assert_eq!(actions == 0, case.severity.blocks(), "{code}");
        }
        // The twin and the canary are what the other cluster's trouble is about.
        if !matches!(code, Code::RF003 | Code::RF016 | Code::RF025 | Code::RF040) {
            assert_eq!(status(&plan, "bee"), ClusterStatus::Planned, "{code}");
        }
    }
}

#[test]
fn every_documented_finding_has_a_case_with_its_severity() {
    let mut covered: BTreeSet<String> = BTreeSet::new();
    for case in cases() {
        let heading = format!("### {}: ", case.code);
        let (_, text) = DOCUMENTED.split_once(&heading).expect("every code is documented");
        let text = text.split("\n### ").next().unwrap();
        let severity = case.severity.to_string();
        let severity = format!("*{}{}", severity[..1].to_uppercase(), &severity[1..]);
        assert!(text.contains(&severity), "{} is documented as {severity}*", case.code);
        covered.insert(case.code.to_string());
    }
    // That one is of the command, when the verifier refuses what was planned.
    covered.insert("RF027".to_owned());
    let documented: BTreeSet<String> = DOCUMENTED
        .lines()
        .filter_map(|line| Some(line.strip_prefix("### ")?.split(':').next()?.to_owned()))
        .collect();
    assert_eq!(covered, documented);
}

#[test]
fn a_stray_node_that_fits_every_hop_is_left_alone() {
    let mut bench = healthy(NOTHING);
    stray(&mut bench, "1.30.2");
    assert!(bench.plan().findings.is_empty());
}

#[test]
fn a_control_plane_of_other_instances_may_be_another_cluster() {
    let mut bench = healthy(NOTHING);
    bench.state().groups.get_mut(&n("ant-control-plane")).unwrap().instances.clear();
    let plan = bench.plan();
    assert!(finding(&plan, Code::RF011).evidence.contains("another cluster"));

    let mut bench = healthy(NOTHING);
    bench.state().control_plane.clear();
    assert_eq!(finding(&bench.plan(), Code::RF011).severity, Severity::Blocked);
}

#[test]
fn machines_are_not_downgraded_nor_are_addons() {
    let mut bench = healthy(NOTHING);
    // A node that is newer than what is declared, although its apiserver could take it.
    bench.control_plane_runs(&["1.33.5"]);
    ant(&mut bench.fleet).kubernetes.value = n("1.33.2");
    let node = bench.nodes("batch")[0].clone();
    bench.control_plane_runs(&["1.33.2"]);
    bench.state().nodes.get_mut(&node).unwrap().kubelet = n("1.33.5");
    let plan = bench.plan();
    assert_eq!(finding(&plan, Code::RF015).subject.part, Some(format!("node {node}")));

    let mut bench = healthy(|fleet| {
        knows(fleet, "dns", &[("1.0.0", ">=1.28"), ("1.1.0", ">=1.28")]);
        has(fleet, "dns", "1.1.0");
        wants(fleet, "dns", "1.0.0");
    });
    assert_eq!(finding(&bench.plan(), Code::RF015).subject.part.as_deref(), Some("dns"));
    ant(&mut bench.fleet).addons.get_mut(&n("dns")).unwrap().version.value = n("1.1.0");
    assert!(bench.plan().findings.is_empty());
}

#[test]
fn another_vendor_s_suffix_is_no_other_version() {
    let mut bench = Bench::ant("1.33.5", "1.33.5");
    bench.pool_runs("batch", &["1.33.5"]);
    for node in bench.nodes("batch") {
        let node = bench.state().nodes.get_mut(&node).unwrap();
        node.kubelet = n("v1.33.5-eks-abc123");
        node.kube_proxy = KubeProxy::None;
    }
    assert!(bench.plan().is_empty() && bench.plan().findings.is_empty());
}

#[test]
fn a_kubelet_outside_of_the_skew_policy_is_mended_by_hand() {
    for kubelet in ["1.26.2", "1.31.2"] {
        let mut bench = healthy(NOTHING);
        let node = bench.nodes("batch")[1].clone();
        bench.state().nodes.get_mut(&node).unwrap().kubelet = n(kubelet);
        assert_eq!(finding(&bench.plan(), Code::RF017).subject.part, Some(format!("node {node}")));
    }
}

#[test]
fn budgets_count_only_where_pods_have_to_leave() {
    // None allowed at the moment is not never.
    let mut bench = healthy(NOTHING);
    bench.state().budgets[0].disruptions_allowed = 0;
    assert!(bench.plan().findings.is_empty());
    // No pod of it leaves a node.
    let mut bench = healthy(NOTHING);
    bench.state().budgets.push(BudgetState {
        namespace: "apps".into(),
        name: "other".into(),
        disruptions_allowed: 0,
        current_healthy: 1,
        desired_healthy: 1,
        expected_pods: 1,
    });
    assert!(bench.plan().findings.is_empty());
    // One of the same name in another namespace is another one.
    bench.state().budgets[1].name = "web".into();
    bench.state().budgets[1].namespace = "elsewhere".into();
    assert!(bench.plan().findings.is_empty());
    // Nothing is drained in a cluster that is as declared.
    let mut bench = Bench::ant("1.33.5", "1.33.5");
    bench.state().budgets[0].desired_healthy = 3;
    assert!(bench.plan().findings.is_empty());
}

#[test]
fn pods_that_belong_to_their_node_do_not_keep_it() {
    let mut bench = healthy(NOTHING);
    for pod in &mut bench.state().pods {
        if let PodOwner::DaemonSet(_) | PodOwner::Mirror = pod.owner {
            pod.budgets = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        }
    }
    assert!(bench.plan().findings.is_empty());
}

#[test]
fn a_pod_that_nobody_replaces_on_a_stray_node_stays() {
    let mut bench = healthy(NOTHING);
    stray(&mut bench, "1.30.2");
    let mut pod = bench.state().pods[0].clone();
    pod.owner = PodOwner::Nobody;
    pod.node = Some(n("stray"));
    bench.state().pods.push(pod);
    assert!(bench.plan().findings.is_empty());
}

#[test]
fn a_volume_needs_another_node_in_its_zone_or_a_group_that_launches_there_only() {
    let zone_of = |bench: &mut Bench, at: usize| {
        let node = bench.nodes("batch")[at].clone();
        bench.state().nodes[&node].zone.clone().unwrap()
    };
    let mut bench = healthy(NOTHING);
    let zone = zone_of(&mut bench, 0);
    volume(&mut bench, zone.as_str());
    let plan = bench.plan();
    assert_eq!(finding(&plan, Code::RF029).severity, Severity::Warning);
    assert_eq!(status(&plan, "ant"), ClusterStatus::Planned);
    // Another node of the pool is there.
    let other = bench.nodes("batch")[1].clone();
    bench.state().nodes.get_mut(&other).unwrap().zone = Some(zone.clone());
    assert!(bench.plan().findings.is_empty());
    // It is there, and cordoned.
    bench.state().nodes.get_mut(&other).unwrap().unschedulable = true;
    assert_eq!(finding(&bench.plan(), Code::RF029).severity, Severity::Warning);
    // The group cannot launch elsewhere.
    let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
    group.zones.retain(|other| *other == zone);
    assert!(bench.plan().findings.is_empty());
}

#[test]
fn a_full_group_may_roll_when_nodes_may_be_unavailable_or_the_surge_is_from_a_run() {
    let full = |bench: &mut Bench| {
        let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
        group.max = group.desired;
    };
    let mut bench = healthy(|fleet| {
        ant(fleet).pools[1].max_unavailable = refit_model::IntOrPercent::Int(1);
    });
    full(&mut bench);
    assert!(bench.plan().findings.is_empty());

    let mut bench = healthy(NOTHING);
    full(&mut bench);
    let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
    group.tags.insert(refit_model::RollTag::KEY.to_owned(), "{}".to_owned());
    assert!(bench.plan().findings.is_empty());
}

#[test]
fn the_only_node_needs_room_to_surge() {
    let mut bench = healthy(|fleet| {
        ant(fleet).pools.truncate(1);
        ant(fleet).pools[0].max_surge = refit_model::IntOrPercent::Int(0);
        ant(fleet).pools[0].max_unavailable = refit_model::IntOrPercent::Int(1);
        start(fleet).group_sizes.insert(n("ant-general-0"), 1);
    });
    assert!(finding(&bench.plan(), Code::RF010).evidence.contains("apps/web-"));
    for pod in &mut bench.state().pods {
        pod.budgets.clear();
    }
    assert!(bench.plan().findings.is_empty());
}

#[test]
fn the_control_plane_is_looked_at_only_when_it_is_worked_on() {
    let mut bench = healthy(|fleet| {
        start(fleet).kubernetes = n("1.33.5");
        ant(fleet).control_plane.local_api = false;
    });
    bench.state().control_plane[0].etcd_ready = Some(false);
    let plan = bench.plan();
    assert!(codes(&plan).is_empty());
    // Where etcd is external, nothing is known of its members.
    let mut bench = healthy(NOTHING);
    for member in &mut bench.state().control_plane {
        member.etcd_ready = None;
    }
    assert!(bench.plan().findings.is_empty());
}

#[test]
fn a_daemon_set_of_kube_proxy_may_be_an_addon_or_fit_by_itself() {
    let daemon = |bench: &mut Bench, version: &str| {
        for node in bench.nodes("batch") {
            let node = bench.state().nodes.get_mut(&node).unwrap();
            node.kube_proxy = KubeProxy::DaemonSet(n(version));
        }
    };
    let mut bench = healthy(NOTHING);
    daemon(&mut bench, "1.30.2");
    assert!(bench.plan().findings.is_empty());
    let mut bench = healthy(|fleet| {
        knows(fleet, "kube-proxy", &[("1.29.0", "<=1.31"), ("1.33.0", ">=1.30")]);
        has(fleet, "kube-proxy", "1.29.0");
        wants(fleet, "kube-proxy", "1.33.0");
    });
    daemon(&mut bench, "1.29.2");
    let plan = bench.plan();
    assert!(plan.findings.is_empty());
    assert!(steps(&plan).contains(&"kube-proxy 1.29.0 -> 1.33.0".to_owned()));
}

#[test]
fn an_image_of_another_owner_or_architecture_is_none() {
    let mut bench = healthy(|fleet| ant(fleet).control_plane.image.architecture = "arm64".into());
    let plan = bench.plan();
    assert!(plan.findings.is_empty(), "the simulator has images for every pattern");
    bench.state().images.retain(|image| image.architecture == "x86_64");
    assert!(codes(&bench.plan()).contains(&Code::RF007));

    let mut bench = healthy(|fleet| ant(fleet).pools[1].image.owner = "099720109477".into());
    for image in &mut bench.state().images {
        image.owner = "self".into();
    }
    assert_eq!(finding(&bench.plan(), Code::RF007).subject.part.as_deref(), Some("batch"));
}

#[test]
fn the_newest_image_of_a_version_is_pinned() {
    let mut bench = healthy(NOTHING);
    newer_image(&mut bench);
    let plan = bench.plan();
    let pins: BTreeSet<_> = plan
        .actions
        .iter()
        .filter(|action| action.cluster == Some(n("ant")))
        .filter_map(|action| match &action.kind {
            refit_model::ActionKind::NodePoolRoll { images, .. } => Some(images),
            _ => None,
        })
        .flat_map(|images| images.values().map(|pin| pin.id.clone()))
        .collect();
    assert_eq!(pins, BTreeSet::from([n("ami-newer")]));
}
