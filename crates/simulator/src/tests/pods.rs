use std::collections::BTreeSet;

use refit_model::{
    IntOrPercent, NodeOp, PodOwner, UnhealthyPodEvictionPolicy, WorkloadBudget, WorkloadRef,
};
use refit_provider::ErrorClass;

use super::bench::*;
use crate::{Edit, Faults};

fn store() -> WorkloadRef {
    WorkloadRef::new("StatefulSet", "apps", "store")
}

#[test]
fn pods_are_spread_and_daemons_are_everywhere() {
    let mut bench = Bench::new();
    let state = bench.look();
    let nodes: BTreeSet<_> = pods_of(&state, &web()).iter().map(|pod| pod.node.clone()).collect();
    assert_eq!(nodes.len(), 3);
    let agents = state.pods.iter().filter(|pod| matches!(pod.owner, PodOwner::DaemonSet(_)));
    assert_eq!(agents.count(), state.nodes.len());
    let mirrors = state.pods.iter().filter(|pod| pod.owner == PodOwner::Mirror).count();
    assert_eq!(mirrors, 3 * 4 + state.nodes.len(), "the control plane's, and kube-proxy");
    assert!(state.pods.iter().all(|pod| pod.ready));
    assert!(state.workloads.iter().all(|workload| workload.ready == workload.replicas));
}

#[test]
fn an_eviction_waits_for_its_budget_by_name() {
    let mut bench = Bench::new();
    let state = bench.look();
    let pods = pods_of(&state, &web());
    assert_eq!(state.budgets[0].disruptions_allowed, 1);
    bench.cordon(pods[0].node.as_ref().unwrap());
    bench.evict(&pods[0]).unwrap();
    let state = bench.look();
    assert_eq!(state.budgets[0].disruptions_allowed, 0, "counted at once");
    assert_eq!(state.budgets[0].current_healthy, 2);
    let refused = bench.evict(&pods[1]).unwrap_err();
    assert_eq!(refused.class, ErrorClass::Budget);
    assert!(refused.message.ends_with("disruption budget: apps/web"), "{refused}");
    bench.evict(&pods[0]).unwrap();
    let back = bench.until("back", |state| {
        pods_of(state, &web()).iter().filter(|pod| pod.ready && !pod.terminating).count() == 3
    });
    assert!(back >= 2, "a new pod takes its time");
    bench.evict(&pods[0]).unwrap();
    bench.evict(&pods[1]).unwrap();
    let another = pods_of(&bench.look(), &web());
    let on_cordoned = another.iter().any(|pod| pod.node == pods[0].node && !pod.terminating);
    assert!(!on_cordoned, "nothing new on a cordoned node");
    assert!(bench.world.violations().is_empty());
}

#[test]
fn another_pod_of_that_name_is_not_meant() {
    let mut bench = Bench::new();
    let mut pod = pods_of(&bench.look(), &web()).remove(0);
    pod.uid = "00000000-0000-4000-8000-000000000001".into();
    bench.evict(&pod).unwrap();
    assert!(bench.look().pods.iter().all(|pod| !pod.terminating));
}

#[test]
fn two_budgets_over_a_pod_are_an_error_for_ever() {
    let mut bench = Bench::new();
    let budget = WorkloadBudget::MaxUnavailable(IntOrPercent::Int(3));
    bench.edit(Edit::AddBudget { workload: web(), name: "web-too".into(), budget });
    let pod = pods_of(&bench.look(), &web()).remove(0);
    assert_eq!(pod.budgets.len(), 2);
    let refused = bench.evict(&pod).unwrap_err();
    assert_eq!(refused.class, ErrorClass::Permanent);
    assert!(refused.message.contains("more than one PodDisruptionBudget"), "{refused}");
}

#[test]
fn pods_that_are_not_ready_go_as_the_budget_s_policy_says() {
    use UnhealthyPodEvictionPolicy::{AlwaysAllow, IfHealthyBudget};
    let mut bench = Bench::new();
    let budget = Some(WorkloadBudget::MinAvailable(IntOrPercent::Int(3)));
    bench.edit(Edit::SetBudget { workload: web(), budget });
    let policy = |bench: &mut Bench| bench.look().budgets[0].unhealthy_pod_eviction_policy;
    let set = |bench: &mut Bench, policy| {
        bench.edit(Edit::SetUnhealthyPodEvictionPolicy { workload: web(), policy });
    };
    set(&mut bench, AlwaysAllow);
    assert_eq!(policy(&mut bench), AlwaysAllow);
    let pod = pods_of(&bench.look(), &web()).remove(0);
    assert_eq!(bench.evict(&pod).unwrap_err().class, ErrorClass::Budget, "it is Ready");
    bench.edit(Edit::NeverReady { workload: web(), never: true });
    let pod = pods_of(&bench.look(), &web()).remove(0);
    assert!(!pod.ready);
    set(&mut bench, IfHealthyBudget);
    assert_eq!(policy(&mut bench), IfHealthyBudget);
    assert_eq!(bench.evict(&pod).unwrap_err().class, ErrorClass::Budget, "others are missing");
    set(&mut bench, AlwaysAllow);
    bench.evict(&pod).unwrap();
    assert!(bench.world.violations().is_empty());
}

#[test]
fn budgets_round_as_the_disruption_controller_does() {
    use WorkloadBudget::{MaxUnavailable, MinAvailable};
    for (budget, replicas, desired) in [
        (MinAvailable(IntOrPercent::Int(2)), 5, 2),
        (MinAvailable(IntOrPercent::Percent(50)), 5, 3),
        (MaxUnavailable(IntOrPercent::Int(2)), 5, 3),
        (MaxUnavailable(IntOrPercent::Percent(30)), 5, 3),
        (MaxUnavailable(IntOrPercent::Percent(100)), 5, 0),
        (MinAvailable(IntOrPercent::Percent(100)), 5, 5),
    ] {
        let workloads = vec![workload(web(), replicas, Some(budget))];
        let mut bench = Bench::of(Spec { workloads, ..Spec::default() });
        let status = bench.look().budgets.remove(0);
        assert_eq!(status.desired_healthy, desired, "{budget:?}");
        assert_eq!(status.disruptions_allowed, replicas - desired);
        assert_eq!(status.never_allows(), desired == replicas);
    }
}

#[test]
fn a_broken_pod_goes_when_the_others_are_enough() {
    let budget = WorkloadBudget::MinAvailable(IntOrPercent::Int(1));
    let workloads = vec![workload(web(), 3, Some(budget))];
    let mut bench = Bench::of(Spec { workloads, ..Spec::default() });
    bench.edit(Edit::NeverReady { workload: web(), never: true });
    let pod = pods_of(&bench.look(), &web()).remove(0);
    assert_eq!(bench.evict(&pod).unwrap_err().class, ErrorClass::Budget);
    bench.edit(Edit::NeverReady { workload: web(), never: false });
    bench.until("ready", |state| pods_of(state, &web()).iter().all(|pod| pod.ready));
    bench.evict(&pod).unwrap();
}

#[test]
fn a_zonal_volume_keeps_its_pod_in_its_zone() {
    let workloads = vec![workload(store(), 3, None)];
    let mut bench = Bench::of(Spec { workloads, ..Spec::default() });
    let state = bench.look();
    let pod = pods_of(&state, &store()).remove(0);
    let volume = pod.volume.clone().unwrap();
    let node = pod.node.clone().unwrap();
    assert_eq!(state.nodes[&node].zone.as_ref(), Some(&volume.zone));
    bench.cordon(&node);
    bench.evict(&pod).unwrap();
    bench.pass(300);
    let again = pods_of(&bench.look(), &store());
    let again = again.iter().find(|found| found.name == pod.name).unwrap();
    assert_eq!((&again.node, &again.volume), (&None, &Some(volume)), "nowhere else to go");
    assert_ne!(again.uid, pod.uid);
    bench.node(&node, NodeOp::Uncordon).unwrap();
    bench.until("back in its zone", |state| {
        pods_of(state, &store()).iter().all(|found| found.ready && !found.terminating)
    });
    let home = pods_of(&bench.look(), &store());
    assert_eq!(home.iter().find(|found| found.name == pod.name).unwrap().node, Some(node));
}

#[test]
fn a_pod_of_a_job_completes_and_one_that_is_evicted_starts_again() {
    let report = WorkloadRef::new("Job", "apps", "report");
    let workloads = vec![workload(report.clone(), 2, None)];
    let mut bench = Bench::of(Spec { workloads, ..Spec::default() });
    let pods = pods_of(&bench.look(), &report);
    assert_eq!(pods.iter().filter(|pod| pod.runs_to_completion()).count(), 2);
    bench.pass(10 * 60);
    bench.evict(&pods[0]).unwrap();
    bench.pass(11 * 60);
    let left = pods_of(&bench.look(), &report);
    let [again] = &left[..] else { panic!("the other one has completed: {left:?}") };
    assert_ne!(again.uid, pods[0].uid);
    assert!(again.ready);
    bench.pass(10 * 60);
    assert!(pods_of(&bench.look(), &report).is_empty());
    // It is no workload that has to be ready again.
    assert!(bench.look().workloads.iter().all(|found| found.workload != report));
}

#[test]
fn a_pod_that_nobody_replaces_is_lost() {
    let mut bench = Bench::new();
    let (node, _) = workers(&bench.look()).remove(0);
    let (namespace, name) = ("apps".to_owned(), "debug".to_owned());
    bench.edit(Edit::AddPod { namespace, name, node });
    let alone = |state: &refit_model::ClusterState| {
        state.pods.iter().find(|pod| pod.owner == PodOwner::Nobody).cloned()
    };
    let pod = alone(&bench.look()).unwrap();
    bench.evict(&pod).unwrap();
    bench.until("gone", |state| alone(state).is_none());
}

#[test]
fn pods_of_a_lost_machine_come_back_elsewhere() {
    let mut bench = Bench::of(Spec {
        workloads: vec![workload(web(), 3, None), workload(store(), 1, None)],
        ..Spec::default()
    });
    let state = bench.look();
    let home = pods_of(&state, &store()).remove(0).node.unwrap();
    bench.edit(Edit::KillInstance(state.nodes[&home].instance.clone().unwrap()));
    assert_eq!(pods_of(&bench.look(), &store()).iter().filter(|pod| pod.ready).count(), 0);
    bench.until("back", |state| {
        !state.nodes.contains_key(&home)
            && state.workloads.iter().all(|workload| workload.ready >= workload.replicas)
    });
}

#[test]
fn slow_pods_and_pods_that_are_never_ready() {
    let mut bench = Bench::new();
    bench.world.set_faults(&Faults { slow_pods: 1000, ..Faults::none() });
    let pod = pods_of(&bench.look(), &web()).remove(0);
    bench.evict(&pod).unwrap();
    bench.pass(45);
    assert_eq!(bench.look().budgets[0].current_healthy, 2);
    bench.until("slow", |state| state.budgets[0].current_healthy == 3);
    bench.edit(Edit::NeverReady { workload: web(), never: true });
    bench.pass(600);
    assert_eq!(bench.look().budgets[0].current_healthy, 0);
}

#[test]
fn a_full_cluster_lets_pods_wait() {
    let mut bench = Bench::new();
    bench.edit(Edit::Scale { workload: web(), replicas: 60 });
    bench.pass(60);
    let waiting = pods_of(&bench.look(), &web()).iter().filter(|pod| pod.node.is_none()).count();
    assert!(waiting > 0);
    bench.edit(Edit::Scale { workload: web(), replicas: 2 });
    bench.pass(60);
    assert_eq!(pods_of(&bench.look(), &web()).len(), 2);
}
