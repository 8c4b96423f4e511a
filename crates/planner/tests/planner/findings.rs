//! Every finding is provoked by its case, and the healthy fleet has none.

use std::collections::BTreeSet;

use refit_model::{
    ActionKind, BudgetState, ClusterStatus, Code, DoNotEvict, Fleet, KubeProxy, Period, PodOwner,
    RecordedRelease, Release, RestartPolicy, RollTag, Severity, UnhealthyPodEvictionPolicy,
};
use refit_verifier::verify;

use crate::bench::{Bench, ant, codes, finding, fleet, has, knows, n, start, status, steps, wants};
use crate::cases::{NOTHING, cases, healthy, newer_image, stray, volume};

const DOCUMENTED: &str = include_str!("../../../../docs/reference/findings.md");

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
fn a_release_that_is_as_it_was_recorded_is_no_finding() {
    let mut bench = Bench::ant("1.30.5", "1.34.5");
    let release = bench.fleet.releases[&bench.fleet.channels[0].release].clone();
    let at = bench.snapshot.taken_at;
    let recorded = RecordedRelease { digest: release.content_digest(), at };
    bench.options.recorded_releases.insert(release.name.clone(), recorded);
    assert!(!codes(&bench.plan()).contains(&Code::RF058));
    // Its name and its place are not part of its contents.
    let moved = Release { name: n("other"), at: crate::bench::at("x.toml"), ..release.clone() };
    assert_eq!(moved.content_digest(), release.content_digest());
    let newer = Release { kubernetes: n("1.34.6"), ..release.clone() };
    assert_ne!(newer.content_digest(), release.content_digest());
}

#[test]
fn a_stray_node_that_fits_every_hop_is_left_alone() {
    let mut bench = healthy(NOTHING);
    stray(&mut bench, "1.30.2");
    assert!(bench.plan().findings.is_empty());
}

#[test]
fn undeclared_nodes_are_one_finding_with_the_minor_that_they_allow() {
    let mut bench = Bench::ant("1.30.5", "1.34.5");
    stray(&mut bench, "1.29.2");
    let plan = bench.plan();
    let found = finding(&plan, Code::RF004);
    assert_eq!(found.subject.part.as_deref(), Some("node stray"));
    assert!(found.hint.contains("`max-version = \"1.32\"` takes the control plane as far as it"));
    let node = bench.state().nodes[&n("stray")].clone();
    for number in 0..40 {
        bench.state().nodes.insert(n(&format!("stray-{number:02}")), node.clone());
    }
    let plan = bench.plan();
    let all: Vec<_> = plan.findings.iter().filter(|found| found.code == Code::RF004).collect();
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(all[0].subject.part.as_deref(), Some("nodes"));
    assert!(all[0].evidence.starts_with("41 nodes belong to no declared pool and run 1.29.2"));
    assert!(all[0].evidence.ends_with("stray, stray-00, stray-01 and 38 more"));
    // With that `max-version` they are in nobody's way.
    ant(&mut bench.fleet).kubernetes.value = n("1.32.5");
    assert!(!codes(&bench.plan()).contains(&Code::RF004));
    // No hop at all fits them.
    ant(&mut bench.fleet).kubernetes.value = n("1.34.5");
    bench.state().nodes.values_mut().filter(|node| node.instance.is_none()).for_each(|node| {
        node.kubelet = n("1.27.2");
    });
    assert_eq!(
        finding(&bench.plan(), Code::RF004).hint,
        "declare their pools, or replace the nodes"
    );
}

#[test]
fn nodes_that_break_the_skew_policy_alike_are_one_finding() {
    let mut bench = Bench::ant("1.30.5", "1.31.5");
    bench.pool_runs("batch", &["1.26.2"]);
    let plan = bench.plan();
    let found = finding(&plan, Code::RF017);
    assert_eq!(found.subject.part.as_deref(), Some("nodes"));
    assert!(found.evidence.starts_with(
        "for each of 2 nodes: its kubelet 1.26.2 does not fit the apiserver 1.30.5 ("
    ));
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
    // Nor is a kube-proxy that comes with the image.
    let state = bench.state().nodes.get_mut(&node).unwrap();
    state.kubelet = n("1.33.2");
    state.kube_proxy = KubeProxy::StaticPod(n("1.33.5"));
    let plan = bench.plan();
    let found = finding(&plan, Code::RF015);
    assert_eq!(found.subject.part, Some(format!("node {node}")));
    assert!(found.evidence.starts_with("its kube-proxy runs 1.33.5, newer than 1.33.2"));

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
fn a_kubelet_outside_of_the_skew_policy_is_mended() {
    let told = |bench: &mut Bench, kubelet: &str| {
        let node = bench.nodes("batch")[1].clone();
        bench.state().nodes.get_mut(&node).unwrap().kubelet = n(kubelet);
        let plan = bench.plan();
        assert_eq!(verify(&bench.fleet, &bench.snapshot, &plan), []);
        assert!(!plan.is_blocked(), "{:#?}", plan.findings);
        let found = finding(&plan, Code::RF017);
        assert_eq!(found.severity, Severity::Warning);
        assert_eq!(found.subject.part, Some(format!("node {node}")));
        (found.evidence.clone(), found.hint.clone())
    };
    // Older than any hop could take: replaced first, and again in the end.
    let mut bench = Bench::ant("1.30.5", "1.31.5");
    let (evidence, hint) = told(&mut bench, "1.26.2");
    assert_eq!(evidence, "its kubelet 1.26.2 does not fit the apiserver 1.30.5");
    assert_eq!(hint, "the plan replaces it");
    assert_eq!(
        bench.steps(),
        [
            "batch 1.26.2/1.30.5 -> 1.30.5",
            "control-plane 1.30.5 -> 1.31.5",
            "general 1.30.5 -> 1.31.5",
            "batch 1.30.5 -> 1.31.5"
        ]
    );
    // Newer than the control plane: its hops lead up to it.
    let mut bench = Bench::ant("1.30.5", "1.32.5");
    let (evidence, hint) = told(&mut bench, "1.32.2");
    assert_eq!(evidence, "its kubelet 1.32.2 does not fit the apiserver 1.30.5");
    assert_eq!(hint, "every hop brings the control plane nearer to it");
    assert_eq!(
        bench.steps(),
        [
            "control-plane 1.30.5 -> 1.31.5",
            "control-plane 1.31.5 -> 1.32.5",
            "general 1.30.5 -> 1.32.5",
            "batch 1.30.5/1.32.2 -> 1.32.5"
        ]
    );
    // One of no pool stays, and what is declared is done beside it; but no hop makes it worse.
    let mut bench = Bench::ant("1.30.5", "1.30.5");
    stray(&mut bench, "1.26.2");
    bench.pool_runs("general", &["1.29.5"]);
    let plan = bench.plan();
    assert_eq!(steps(&plan), ["general 1.29.5 -> 1.30.5"]);
    assert_eq!(finding(&plan, Code::RF017).hint, "replace the node");
    ant(&mut bench.fleet).kubernetes.value = n("1.31.5");
    let plan = bench.plan();
    assert!(plan.is_blocked() && plan.actions.is_empty());
    assert_eq!(finding(&plan, Code::RF004).subject.part.as_deref(), Some("node stray"));
}

#[test]
fn nodes_too_new_and_too_old_in_one_pool_have_no_way() {
    let mut bench = Bench::ant("1.33.5", "1.34.5");
    bench.pool_runs("batch", &["1.29.5", "1.34.5"]);
    let plan = bench.plan();
    assert!(plan.is_blocked() && plan.actions.is_empty());
    let blocks = plan.findings.iter().find(|found| found.severity == Severity::Blocked).unwrap();
    assert_eq!((blocks.code, blocks.subject.part.as_deref()), (Code::RF017, Some("batch")));
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
        unhealthy_pod_eviction_policy: UnhealthyPodEvictionPolicy::IfHealthyBudget,
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
fn a_budget_that_is_broken_before_the_start_is_told_with_its_pods() {
    use UnhealthyPodEvictionPolicy::{AlwaysAllow, IfHealthyBudget};

    let crash_looping = |count: usize, policy| {
        let mut bench = healthy(NOTHING);
        let state = bench.state();
        let web = state.pods.iter_mut().filter(|pod| pod.budgets.contains("web"));
        for pod in web.take(count) {
            pod.ready = false;
        }
        let budget = &mut state.budgets[0];
        budget.current_healthy -= u32::try_from(count).unwrap();
        budget.disruptions_allowed = budget.current_healthy.saturating_sub(budget.desired_healthy);
        budget.unhealthy_pod_eviction_policy = policy;
        bench
    };
    // Two of three must be healthy, and all are.
    assert!(crash_looping(0, IfHealthyBudget).plan().findings.is_empty());
    // Two are: the third may go, and neither of them may, whatever the policy is.
    for policy in [IfHealthyBudget, AlwaysAllow] {
        let plan = crash_looping(1, policy).plan();
        let found = finding(&plan, Code::RF050);
        let text = &found.evidence;
        assert!(
            text.starts_with("2 of 3 pods are healthy and 2 must be, so only pods that"),
            "{text}"
        );
        assert_eq!(found.hint, "repair these pods first");
    }
    let plan = crash_looping(2, IfHealthyBudget).plan();
    let found = finding(&plan, Code::RF050);
    assert_eq!(found.severity, Severity::Warning);
    let text = &found.evidence;
    assert!(text.starts_with("1 of 3 pods are healthy and 2 must be"), "{text}");
    assert!(text.contains("no pod of it can be evicted") && text.contains("not Ready: web-"));
    assert!(found.hint.contains("unhealthyPodEvictionPolicy: AlwaysAllow"));
    // With that policy the healthy pod alone cannot be evicted.
    let plan = crash_looping(2, AlwaysAllow).plan();
    let found = finding(&plan, Code::RF050);
    assert!(found.evidence.contains("only pods that are not Ready can be evicted"));
    assert!(!found.hint.contains("AlwaysAllow"));
    // And where none is healthy, all of them can.
    assert!(crash_looping(3, AlwaysAllow).plan().findings.is_empty());
    assert_eq!(codes(&crash_looping(3, IfHealthyBudget).plan()), [Code::RF050].into());
}

#[test]
fn nodes_that_are_not_ready_or_cordoned_are_told_before_the_start() {
    let told = |change: fn(&mut refit_model::NodeState)| -> Vec<(String, String)> {
        let mut bench = Bench::ant("1.32.2", "1.33.5");
        let node = bench.nodes("batch")[0].clone();
        change(bench.state().nodes.get_mut(&node).unwrap());
        let plan = bench.plan();
        let found = plan.findings.iter().filter(|found| found.code == Code::RF051);
        let found = found.map(|found| (found.subject.to_string(), found.evidence.clone()));
        let named = format!("ant node {node}");
        found.inspect(|(subject, _)| assert_eq!(*subject, named)).collect()
    };
    let found = told(|node| node.ready = false);
    assert!(found.len() == 1 && found[0].1.starts_with("is not Ready"), "{found:?}");
    let found = told(|node| {
        node.ready = false;
        node.unreachable_since = Some(refit_model::Timestamp::UNIX_EPOCH);
    });
    assert!(found.len() == 1 && found[0].1.starts_with("has not answered"), "{found:?}");
    let found = told(|node| node.unschedulable = true);
    assert!(found.len() == 1 && found[0].1.starts_with("is cordoned, and not by refit"));
    // Cordoned by a run that did not end.
    let found = told(|node| {
        node.unschedulable = true;
        node.annotations.insert(RollTag::CORDONED.to_owned(), "run".to_owned());
    });
    assert_eq!(found, []);
    // Many are one finding; those whose machines end do not count.
    let mut bench = Bench::ant("1.32.2", "1.33.5");
    for node in bench.state().nodes.values_mut() {
        node.ready = false;
    }
    let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
    for instance in &mut group.instances {
        instance.lifecycle = refit_model::Lifecycle::Terminating;
    }
    let plan = bench.plan();
    let found = finding(&plan, Code::RF051);
    assert_eq!(found.subject.part.as_deref(), Some("nodes"));
    assert!(found.evidence.starts_with("6 are not Ready"), "{}", found.evidence);
    assert!(found.evidence.ends_with("and 3 more"), "{}", found.evidence);
    // Nothing is replaced.
    let mut bench = Bench::ant("1.33.5", "1.33.5");
    bench.state().nodes.values_mut().for_each(|node| node.ready = false);
    assert!(bench.plan().findings.is_empty());
}

#[test]
fn an_instance_that_boots_is_not_missed() {
    let mut bench = healthy(NOTHING);
    let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
    let mut instance = group.instances[0].clone();
    instance.id = n("i-new");
    instance.lifecycle = refit_model::Lifecycle::Pending;
    group.instances.push(instance);
    assert!(bench.plan().findings.is_empty());
}

#[test]
fn what_leaves_a_node_that_stays_is_not_told() {
    let leaves = |goal: &str| {
        let mut bench = Bench::ant("1.33.5", goal);
        let node = bench.nodes("batch")[0].clone();
        let state = bench.state();
        state.nodes.get_mut(&node).unwrap().detaching.insert("pvc-1".to_owned());
        state.pods.iter_mut().for_each(|pod| pod.terminating = true);
        bench.plan()
    };
    let plan = leaves("1.34.5");
    let parts = plan.findings.iter().filter(|found| found.code == Code::RF053);
    let parts: Vec<&str> = parts.filter_map(|found| found.subject.part.as_deref()).collect();
    assert_eq!(parts, ["pods", "volumes"]);
    assert!(leaves("1.33.5").findings.is_empty());
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

/// The pods of the pool `batch`, which the first test below makes into those of a Job.
fn worker_pods(bench: &mut Bench) -> Vec<usize> {
    let nodes = bench.nodes("batch");
    let pods = bench.state().pods.iter().enumerate();
    pods.filter(|(_, pod)| {
        matches!(pod.owner, PodOwner::Workload(_))
            && pod.node.as_ref().is_some_and(|node| nodes.contains(node))
    })
    .map(|(at, _)| at)
    .collect()
}

/// Moves the three pods of `web` to the pool `batch`, so that each test knows where they are.
fn in_one_pool(bench: &mut Bench) {
    let nodes = bench.nodes("batch");
    for pod in &mut bench.state().pods {
        if matches!(pod.owner, PodOwner::Workload(_)) {
            pod.node = Some(nodes[0].clone());
            pod.budgets.clear();
        }
    }
}

#[test]
fn pods_that_run_to_completion_are_named_and_waited_for_as_declared() {
    let with = |declare: fn(&mut Fleet)| {
        let mut bench = healthy(declare);
        in_one_pool(&mut bench);
        for at in worker_pods(&mut bench) {
            let pod = &mut bench.state().pods[at];
            pod.owner = PodOwner::Workload("Job/apps/report".parse().unwrap());
            pod.restart_policy = RestartPolicy::Never;
        }
        let found = finding(&bench.plan(), Code::RF057).clone();
        (found.severity, found.evidence)
    };
    let at_once = "3 pods that would run to completion are evicted, and what they have done is lost unless it is saved";
    assert_eq!(with(NOTHING), (Severity::Warning, at_once.to_owned()));
    // What another pool declares says nothing of this one.
    let other = with(|fleet| ant(fleet).pools[0].wait_complete = Period::minutes(60));
    assert_eq!(other, (Severity::Warning, at_once.to_owned()));
    let own = with(|fleet| ant(fleet).pools[1].wait_complete = Period::minutes(60));
    let waits = "drains wait up to 1h for 3 pods to complete, and evict them then";
    assert_eq!(own, (Severity::Note, waits.to_owned()));
}

#[test]
fn pods_of_one_job_are_counted_by_what_happens_to_them() {
    let mut bench = healthy(|fleet| ant(fleet).pools[1].wait_complete = Period::minutes(60));
    in_one_pool(&mut bench);
    let other = bench.nodes("general")[0].clone();
    for (number, at) in worker_pods(&mut bench).into_iter().enumerate() {
        let pod = &mut bench.state().pods[at];
        pod.owner = PodOwner::Workload("Job/apps/report-29384756".parse().unwrap());
        pod.restart_policy = RestartPolicy::Never;
        if number == 0 {
            pod.node = Some(other.clone());
        }
    }
    let plan = bench.plan();
    let found = finding(&plan, Code::RF057);
    assert_eq!(found.severity, Severity::Warning);
    // Each Job of a CronJob has another name; one acceptance is for all of them.
    assert_eq!(found.subject.part.as_deref(), Some("Job/apps/report-*"));
    assert_eq!(
        found.evidence,
        "a pod that would run to completion is evicted, and what it has done is lost unless it is saved; drains wait up to 1h for 2 pods to complete, and evict them then"
    );
}

#[test]
fn pods_that_ask_not_to_be_evicted_are_named() {
    let mut bench = healthy(NOTHING);
    in_one_pool(&mut bench);
    let first = worker_pods(&mut bench)[0];
    bench.state().pods[first].do_not_evict = Some(DoNotEvict::ClusterAutoscaler);
    let plan = bench.plan();
    let found = finding(&plan, Code::RF057);
    assert_eq!(found.severity, Severity::Warning);
    assert_eq!(found.subject.part.as_deref(), Some("Deployment/apps/web"));
    assert_eq!(
        found.evidence,
        "a pod asks by `cluster-autoscaler.kubernetes.io/safe-to-evict` not to be evicted, and is evicted all the same"
    );
    // On its way out it is not evicted.
    bench.state().pods[first].terminating = true;
    assert_eq!(codes(&bench.plan()), [Code::RF053].into());
}

#[test]
fn a_roll_has_the_time_that_its_drains_wait_for_pods_to_complete() {
    let timeout = |declare: fn(&mut Fleet)| {
        let plan = healthy(declare).plan();
        let rolls = plan.actions.iter().filter(|action| action.kind.rolls());
        let nodes = plan.actions.iter().find(|action| match &action.kind {
            ActionKind::NodePoolRoll { pool, .. } => pool.as_str() == "batch",
            _ => false,
        });
        (rolls.count(), nodes.unwrap().timeout)
    };
    let (rolls, without) = timeout(NOTHING);
    let with = timeout(|fleet| ant(fleet).pools[1].wait_complete = Period::minutes(60));
    // Two nodes, an hour each.
    assert_eq!(with, (rolls, without.plus(Period::minutes(120))));
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
    assert_eq!(codes(&bench.plan()), [Code::RF051].into(), "only the cordon is told");
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
    assert_eq!(codes(&bench.plan()), [Code::RF054].into(), "it does not surge");

    let mut bench = healthy(NOTHING);
    full(&mut bench);
    let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
    group.tags.insert(refit_model::RollTag::KEY.to_owned(), "{}".to_owned());
    assert!(bench.plan().findings.is_empty());
}

#[test]
fn a_roll_surges_as_far_as_its_groups_let_it() {
    use refit_model::{ActionKind, Bounds, IntOrPercent};
    let rolls = |surge: u32, unavailable: u32, room: u32| {
        let mut bench = Bench::ant("1.32.2", "1.33.5");
        let batch = &mut ant(&mut bench.fleet).pools[1];
        batch.max_surge = IntOrPercent::Int(surge);
        batch.max_unavailable = IntOrPercent::Int(unavailable);
        let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
        group.max = group.desired + room;
        let plan = bench.plan();
        assert_eq!(verify(&bench.fleet, &bench.snapshot, &plan), []);
        let of_batch = |kind: &ActionKind| matches!(kind, ActionKind::NodePoolRoll { pool, .. } if *pool == n("batch"));
        let roll = crate::bench::action(&plan, of_batch);
        let Bounds::Rolling { surge, .. } = &roll.bounds else { panic!("a roll has bounds") };
        (*surge, plan.findings.iter().any(|found| found.code == Code::RF054))
    };
    assert_eq!(rolls(2, 0, 2), (2, false));
    assert_eq!(rolls(2, 0, 9), (2, false));
    assert_eq!(rolls(2, 0, 1), (1, true));
    assert_eq!(rolls(2, 1, 0), (0, true));
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
fn a_hop_needs_etcd_members_that_can_be_away() {
    let with = |size: u32| {
        let mut fleet = fleet(&[("ant", "1.32.2", "1.33.5")]);
        start(&mut fleet).group_sizes.insert(n("ant-control-plane"), size);
        Bench::of(fleet)
    };
    for (size, found) in [(2, true), (3, false), (4, false), (5, false)] {
        let mut bench = with(size);
        assert_eq!(codes(&bench.plan()).contains(&Code::RF048), found, "{size} members");
        // Where etcd is external, no instance has a member of it.
        ant(&mut bench.fleet).control_plane.etcd = refit_model::EtcdLayout::External;
        assert!(!codes(&bench.plan()).contains(&Code::RF048), "{size} instances, etcd external");
    }
    // One of three is missing; of five one may be, as two remain that may be away.
    for (size, found) in [(3, true), (5, false)] {
        let mut bench = with(size);
        bench.state().control_plane.pop();
        assert_eq!(codes(&bench.plan()).contains(&Code::RF048), found, "1 of {size} is missing");
    }
    // It is missing because a run is replacing it.
    let mut bench = with(3);
    bench.state().control_plane.pop();
    let group = bench.state().groups.get_mut(&n("ant-control-plane")).unwrap();
    group.tags.insert(RollTag::KEY.to_owned(), "{}".to_owned());
    assert!(!codes(&bench.plan()).contains(&Code::RF048));
    // Nothing of the control plane is replaced.
    let mut fleet = fleet(&[("ant", "1.33.5", "1.33.5")]);
    start(&mut fleet).group_sizes.insert(n("ant-control-plane"), 2);
    assert!(Bench::of(fleet).plan().findings.is_empty());
}

#[test]
fn a_suspended_process_blocks_where_the_roll_needs_it() {
    let found = |bench: &Bench| {
        let plan = bench.plan();
        plan.findings.iter().filter(|found| found.code == Code::RF049).count()
    };
    let suspend = |bench: &mut Bench, group: &str, process: &str| {
        let group = bench.state().groups.get_mut(&n(group)).unwrap();
        group.suspended.insert(process.to_owned());
    };
    for group in ["ant-batch-0", "ant-control-plane"] {
        for process in ["Launch", "Terminate"] {
            let mut bench = Bench::ant("1.32.2", "1.33.5");
            suspend(&mut bench, group, process);
            assert_eq!(found(&bench), 1, "{process} of {group}");
        }
    }
    // Instances are replaced without these. `AddToLoadBalancer` is needed where there is a target group.
    let mut bench = Bench::ant("1.32.2", "1.33.5");
    for process in ["AZRebalance", "HealthCheck", "ScheduledActions", "AddToLoadBalancer"] {
        suspend(&mut bench, "ant-batch-0", process);
    }
    assert!(bench.plan().findings.is_empty());
    let group = bench.state().groups.get_mut(&n("ant-batch-0")).unwrap();
    group.target_groups.insert("ingress".to_owned());
    assert_eq!(found(&bench), 1);
    // Nothing is replaced in the group.
    let mut bench = Bench::ant("1.33.5", "1.33.5");
    suspend(&mut bench, "ant-batch-0", "Launch");
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
