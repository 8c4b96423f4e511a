//! A careful operator who replaces every machine by hand: the judge has nothing to say, also when
//! things go wrong, and in the end everything is given back.

use std::time::Duration;

use refit_model::{
    Cluster, ClusterState, Fleet, GroupName, GroupOp, InstanceId, Lifecycle, NodeName, NodeOp, Op,
    PodKey, PodOwner, RollTag, TargetHealth, Token,
};
use refit_provider::{Look, Scope};

use crate::{Faults, World, random_fleet};

struct Operator {
    world: World,
    fleet: Fleet,
    tokens: u64,
    replaced: u32,
}

impl Operator {
    fn pass(&mut self, seconds: u64) {
        let now = self.world.now().checked_add(Duration::from_secs(seconds)).unwrap();
        self.world.advance_to(now);
    }

    fn look(&mut self, cluster: &Cluster) -> ClusterState {
        loop {
            let look = Look { cluster, addons: &self.fleet.addons, scope: &Scope::Everything };
            if let Ok(state) = self.world.look(look) {
                return state;
            }
            self.pass(5);
        }
    }

    /// One try; the next round looks again.
    fn send(&mut self, cluster: &Cluster, op: &Op) -> bool {
        self.tokens += 1;
        let token = Token(format!("t{}", self.tokens));
        self.world.submit(cluster, &self.fleet.addons, op, &token).is_ok()
    }

    fn group(&mut self, cluster: &Cluster, group: &GroupName, op: GroupOp) -> bool {
        self.send(cluster, &Op::Group { group: group.clone(), op })
    }

    fn node(&mut self, cluster: &Cluster, node: &NodeName, op: NodeOp) -> bool {
        self.send(cluster, &Op::Node { node: node.clone(), op })
    }

    /// Cordons, takes out of the load balancer, evicts, ends. False: it cannot be done.
    fn replace(&mut self, cluster: &Cluster, group: &GroupName, id: &InstanceId) -> bool {
        for _ in 0..600 {
            self.pass(5);
            let state = self.look(cluster);
            let Some((_, instance)) = state.instance(id) else { return true };
            if instance.lifecycle == Lifecycle::Terminating {
                continue;
            }
            let Some((name, node)) = state.node_of(id) else { continue };
            if !node.annotations.contains_key(RollTag::CORDONED) {
                self.node(cluster, name, NodeOp::Cordon { run: "run".parse().unwrap() });
                continue;
            }
            if matches!(instance.target_health, Some(health) if health != TargetHealth::Unused) {
                if instance.target_health != Some(TargetHealth::Draining) {
                    self.group(cluster, group, GroupOp::Deregister { instance: id.clone() });
                }
                continue;
            }
            let evictable =
                |owner: &PodOwner| matches!(owner, PodOwner::Workload(_) | PodOwner::Nobody);
            let pods: Vec<_> = state.pods_on(name).filter(|pod| evictable(&pod.owner)).collect();
            if pods.is_empty() && node.detaching.is_empty() {
                let op = GroupOp::Terminate { instance: id.clone(), decrement: false };
                self.group(cluster, group, op);
            }
            for pod in pods.into_iter().filter(|pod| !pod.terminating) {
                let pod = PodKey {
                    namespace: pod.namespace.clone(),
                    name: pod.name.clone(),
                    uid: pod.uid.clone(),
                };
                self.node(cluster, name, NodeOp::Evict { pod });
            }
        }
        let state = self.look(cluster);
        if let Some((name, _)) = state.node_of(id) {
            let name = name.clone();
            while !self.node(cluster, &name, NodeOp::Uncordon) {
                self.pass(5);
            }
        }
        false
    }

    fn is_whole(cluster: &Cluster, state: &ClusterState) -> bool {
        let members = state.control_plane.iter();
        let serving = members
            .filter(|member| member.api_server.is_some() && member.etcd_ready != Some(false))
            .count();
        let wanted: u32 =
            cluster.control_plane.groups.iter().map(|group| state.groups[group].desired).sum();
        let machines = state.groups.values().all(|group| {
            group.instances.iter().all(|instance| {
                instance.lifecycle == Lifecycle::InService
                    && instance.target_health.is_none_or(|health| health == TargetHealth::Healthy)
                    && state.node_of(&instance.id).is_some_and(|(_, node)| node.ready)
            }) && group.instances.len() == group.desired as usize
        });
        serving == wanted as usize && machines
    }

    fn replace_everything(&mut self) {
        let clusters: Vec<Cluster> = self.fleet.clusters.values().cloned().collect();
        for cluster in &clusters {
            let state = self.look(cluster);
            let pools = cluster.pools.iter().flat_map(|pool| &pool.groups);
            for group in cluster.control_plane.groups.iter().chain(pools) {
                for instance in &state.groups[group].instances {
                    for _ in 0..720 {
                        let state = self.look(cluster);
                        if Self::is_whole(cluster, &state) {
                            break;
                        }
                        self.pass(10);
                    }
                    let state = self.look(cluster);
                    if Self::is_whole(cluster, &state) && self.replace(cluster, group, &instance.id)
                    {
                        self.replaced += 1;
                    }
                }
            }
        }
    }
}

fn drive(seed: u64, faults: &Faults) -> Operator {
    let (fleet, mut world) = random_fleet(seed);
    world.set_faults(faults);
    let mut operator = Operator { world, fleet, tokens: 0, replaced: 0 };
    operator.replace_everything();
    operator.world.stop_faults();
    operator.pass(3600);
    operator
}

#[test]
fn a_careful_operator_breaks_no_rule() {
    let mut replaced = 0;
    for seed in 0..12 {
        let operator = drive(seed, &Faults::none());
        replaced += operator.replaced;
        let world = &operator.world;
        assert!(world.violations().is_empty(), "seed {seed}: {:#?}", world.violations());
        assert!(world.settings_given_back().is_empty(), "{:?}", world.settings_given_back());
    }
    assert!(replaced > 100, "{replaced} machines were replaced");
}

#[test]
fn also_when_things_go_wrong() {
    for seed in 0..12 {
        let operator = drive(seed, &Faults::from_seed(seed));
        let world = &operator.world;
        assert!(world.violations().is_empty(), "seed {seed}: {:#?}", world.violations());
        assert_eq!(world.settings_given_back(), Vec::<String>::new(), "seed {seed}");
        assert_eq!(world.next_event_at(), None, "seed {seed}: it comes to rest");
    }
}
