//! A cluster that is read and changed in two places: its Kubernetes API, and whoever runs its
//! machines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use refit_model::{
    Action, Addon, AddonName, Cluster, ClusterState, GroupName, GroupOp, GroupState, ImageState,
    InstanceId, Op, Token,
};

use crate::{Act, Answer, Look, Observe, Scope};

/// What a look at a cluster's machines shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machines {
    /// The account that they belong to.
    pub account: Option<String>,
    /// The region that they run in.
    pub region: Option<String>,
    /// The groups that the look's scope asks for.
    pub groups: BTreeMap<GroupName, GroupState>,
    /// The images that the cluster's patterns match.
    pub images: Vec<ImageState>,
    /// Of the instances that were asked after, those that have ended: a node whose machine is
    /// gone is none, even while its object lingers.
    pub ended: BTreeSet<InstanceId>,
}

/// Reads the machines of clusters.
pub trait ObserveMachines: Send + Sync {
    /// The machines, as far as the look's scope asks. `nodes` are the instances that the
    /// cluster's nodes say they run on.
    fn look<'a>(&'a self, look: Look<'a>, nodes: &'a BTreeSet<InstanceId>) -> Answer<'a, Machines>;
}

/// Changes the groups of a cluster's machines.
pub trait ActOnMachines: Send + Sync {
    /// Sends one operation; see [`Act::submit`].
    fn submit<'a>(
        &'a self,
        cluster: &'a Cluster,
        group: &'a GroupName,
        op: &'a GroupOp,
        token: &'a Token,
    ) -> Answer<'a, ()>;
}

/// Reads both places, and joins what they show.
///
/// The Kubernetes API is read first: a machine is there before its node is, so a node without a
/// machine in the later look is one whose machine has ended.
pub struct JoinedObserver<M> {
    kubernetes: Arc<dyn Observe>,
    machines: M,
}

impl<M> JoinedObserver<M> {
    /// Of what reads the Kubernetes API and names in [`refit_model::NodeState::instance`]
    /// whatever instance a node says it is, and of what reads the machines.
    pub fn new(kubernetes: Arc<dyn Observe>, machines: M) -> Self {
        Self { kubernetes, machines }
    }
}

impl<M: ObserveMachines> Observe for JoinedObserver<M> {
    fn look<'a>(&'a self, look: Look<'a>) -> Answer<'a, ClusterState> {
        Box::pin(async move {
            let state = self.kubernetes.look(look).await?;
            let nodes = state.nodes.values().filter_map(|node| node.instance.clone()).collect();
            let machines = self.machines.look(look, &nodes).await?;
            Ok(join(state, machines, look))
        })
    }
}

/// Sends each operation to the place that it is for.
pub struct JoinedActor<M> {
    kubernetes: Arc<dyn Act>,
    machines: M,
}

impl<M> JoinedActor<M> {
    /// Of what changes the Kubernetes API, and of what changes the machines.
    pub fn new(kubernetes: Arc<dyn Act>, machines: M) -> Self {
        Self { kubernetes, machines }
    }
}

impl<M: ActOnMachines> Act for JoinedActor<M> {
    fn submit<'a>(
        &'a self,
        cluster: &'a Cluster,
        addons: &'a BTreeMap<AddonName, Addon>,
        op: &'a Op,
        token: &'a Token,
    ) -> Answer<'a, ()> {
        match op {
            Op::Group { group, op } => self.machines.submit(cluster, group, op, token),
            Op::Node { .. } | Op::Addon { .. } | Op::HoldLease { .. } | Op::ReleaseLease { .. } => {
                self.kubernetes.submit(cluster, addons, op, token)
            }
        }
    }

    /// Machines are not asked: their API has no such question, and its errors name the action.
    fn missing<'a>(
        &'a self,
        addons: &'a BTreeMap<AddonName, Addon>,
        actions: &'a [&'a Action],
    ) -> Answer<'a, Vec<String>> {
        self.kubernetes.missing(addons, actions)
    }
}

/// One state out of two.
fn join(mut state: ClusterState, machines: Machines, look: Look<'_>) -> ClusterState {
    let Machines { account, region, groups, images, ended } = machines;
    state.identity.account = account;
    state.identity.region = region;
    state.groups = groups;
    state.images = images;
    state.nodes.retain(|_, node| node.instance.as_ref().is_none_or(|id| !ended.contains(id)));
    let launched: BTreeSet<&InstanceId> =
        state.groups.values().flat_map(|group| &group.instances).map(|found| &found.id).collect();
    let partial = matches!(look.scope, Scope::ControlPlane | Scope::Pool(_));
    if partial {
        let shown = |id: &Option<InstanceId>| id.as_ref().is_some_and(|id| launched.contains(id));
        state.nodes.retain(|_, node| shown(&node.instance));
    } else {
        for node in state.nodes.values_mut() {
            node.instance = node.instance.take().filter(|id| launched.contains(id));
        }
    }
    state.control_plane.retain(|member| launched.contains(&member.instance));
    let nodes = &state.nodes;
    let is_shown = |node: &refit_model::NodeName| !partial || nodes.contains_key(node);
    state.pods.retain(|pod| pod.node.as_ref().is_none_or(is_shown));
    state
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use refit_model::{
        ClusterIdentity, ControlPlaneMember, InstanceState, KubeProxy, KubeVersion, Lifecycle,
        NodeState,
    };

    use super::*;
    use crate::{ErrorClass, ProviderError};

    fn n<T: std::str::FromStr>(text: &str) -> T
    where
        T::Err: std::fmt::Debug,
    {
        text.parse().unwrap()
    }

    fn node(instance: Option<&str>) -> NodeState {
        NodeState {
            instance: instance.map(n),
            zone: None,
            kubelet: KubeVersion::new(1, 35, 4),
            kube_proxy: KubeProxy::None,
            ready: true,
            unreachable_since: None,
            unschedulable: false,
            control_plane: false,
            taints: BTreeSet::new(),
            runtime: None,
            detaching: BTreeSet::new(),
            annotations: BTreeMap::new(),
        }
    }

    fn state() -> ClusterState {
        let member = |instance: &str| ControlPlaneMember {
            instance: n(instance),
            api_server: None,
            controller_manager: None,
            scheduler: None,
            etcd_ready: None,
        };
        ClusterState {
            identity: ClusterIdentity { uid: "u".into(), account: None, region: None },
            serves: None,
            control_plane: vec![member("i-1"), member("i-9")],
            groups: BTreeMap::new(),
            nodes: [
                (n("ours"), node(Some("i-1"))),
                (n("foreign"), node(Some("i-2"))),
                (n("ended"), node(Some("i-3"))),
                (n("metal"), node(None)),
            ]
            .into(),
            pods: Vec::new(),
            workloads: Vec::new(),
            budgets: Vec::new(),
            images: Vec::new(),
            addons: BTreeMap::new(),
            lease: None,
        }
    }

    fn machines() -> Machines {
        let instance = InstanceState {
            id: n("i-1"),
            zone: n("a"),
            lifecycle: Lifecycle::InService,
            template_version: 1,
            image: n("ami-1"),
            protected: false,
            target_health: None,
        };
        let group = GroupState {
            min: 0,
            max: 1,
            desired: 1,
            zones: BTreeSet::new(),
            template_version: 1,
            template_images: BTreeMap::new(),
            suspended: BTreeSet::new(),
            target_groups: BTreeSet::new(),
            instances: vec![instance],
            tags: BTreeMap::new(),
            hooks: BTreeMap::new(),
            refused: BTreeSet::new(),
        };
        Machines {
            groups: [(n("g"), group)].into(),
            ended: [n("i-3")].into(),
            ..Machines::default()
        }
    }

    fn joined(scope: &Scope) -> ClusterState {
        join(state(), machines(), Look { cluster: &cluster(), addons: &BTreeMap::new(), scope })
    }

    fn cluster() -> Cluster {
        let image = refit_model::ImagePattern {
            name: "{version}".into(),
            owner: "self".into(),
            architecture: "x86_64".into(),
        };
        Cluster {
            name: n("c"),
            channel: n("dev"),
            release: n("r"),
            labels: BTreeMap::new(),
            max_parallel_pools: 1,
            capped: None,
            freeze: None,
            accepts: Vec::new(),
            kubernetes: refit_model::Target {
                value: KubeVersion::new(1, 35, 4),
                pinned: false,
                at: refit_model::Location { file: "".into(), line: 1 },
            },
            addons: BTreeMap::new(),
            provider: refit_model::Provider::Aws(refit_model::AwsCluster {
                context: "c".into(),
                region: "eu-west-1".into(),
                profile: None,
                role_arn: None,
                external_id: None,
            }),
            control_plane: refit_model::ControlPlane {
                groups: Vec::new(),
                image,
                etcd: refit_model::EtcdLayout::Volumes,
                local_api: true,
                drain_timeout: n("1m"),
                node_ready_timeout: n("1m"),
                unreachable_timeout: n("1m"),
                wait_complete: n("0s"),
            },
            pools: Vec::new(),
            at: refit_model::Location { file: "".into(), line: 1 },
        }
    }

    /// Answers with this, or not at all.
    struct Place<T>(Option<T>);

    impl<T: Clone> Place<T> {
        fn answer(&self) -> Result<T, ProviderError> {
            let broken = || ProviderError::new(ErrorClass::Throttled, "rate exceeded");
            self.0.clone().ok_or_else(broken)
        }
    }

    impl Observe for Place<ClusterState> {
        fn look<'a>(&'a self, _look: Look<'a>) -> Answer<'a, ClusterState> {
            Box::pin(async move { self.answer() })
        }
    }

    impl ObserveMachines for Place<Machines> {
        fn look<'a>(
            &'a self,
            _look: Look<'a>,
            _nodes: &'a BTreeSet<InstanceId>,
        ) -> Answer<'a, Machines> {
            Box::pin(async move { self.answer() })
        }
    }

    /// Nothing here waits, so the first poll has the answer.
    fn answered<T>(mut answer: Answer<'_, T>) -> Result<T, ProviderError> {
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("a place does not answer"),
        }
    }

    #[test]
    fn a_look_of_which_a_part_fails_is_an_error() {
        for (cluster, machines_answer) in [(true, true), (true, false), (false, true)] {
            let kubernetes = Arc::new(Place(cluster.then(state)));
            let observer = JoinedObserver::new(kubernetes, Place(machines_answer.then(machines)));
            let look = Look {
                cluster: &self::cluster(),
                addons: &BTreeMap::new(),
                scope: &Scope::Everything,
            };
            let seen = answered(observer.look(look));
            assert_eq!(seen.is_ok(), cluster && machines_answer);
            let class = seen.err().map(|error| error.class);
            assert!(class.is_none_or(|class| class == ErrorClass::Throttled), "{class:?}");
        }
    }

    #[test]
    fn a_node_is_of_a_group_or_of_nobody_and_one_without_a_machine_is_none() {
        let seen = joined(&Scope::Everything);
        let instances: Vec<(String, bool)> = seen
            .nodes
            .iter()
            .map(|(name, node)| (name.to_string(), node.instance.is_some()))
            .collect();
        let expected = [("foreign", false), ("metal", false), ("ours", true)];
        assert_eq!(instances, expected.map(|(name, ours)| (name.to_owned(), ours)));
        assert_eq!(seen.control_plane.len(), 1, "the member of no group is not shown");
    }

    #[test]
    fn a_partial_look_shows_the_nodes_of_its_groups_only() {
        let seen = joined(&Scope::Pool(n("p")));
        assert_eq!(seen.nodes.keys().map(ToString::to_string).collect::<Vec<_>>(), ["ours"]);
    }
}
