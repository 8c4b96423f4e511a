//! How the clusters of a fleet are reached: through the providers that their files name.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use refit_model::{Fleet, Provider, Timestamp};
use refit_runtime::{Actors, Clock, Observers, SimulatedClock, SystemClock};

use crate::exit::Failure;
use crate::world::{Keeper, SimulatedFleet};

/// What decides how clusters are reached, besides their files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means<'a> {
    /// Where the state lives.
    pub(crate) state: &'a Path,
    /// The kubeconfig, if one was named.
    pub(crate) kubeconfig: Option<&'a Path>,
    /// How many times faster than real time a simulated fleet lives.
    pub(crate) simulation_speed: u32,
}

/// For looking only; and what time it is where is looked.
pub(crate) async fn observers(
    fleet: &Fleet,
    means: Means<'_>,
) -> Result<(Observers, Timestamp), Failure> {
    if is_real(fleet) {
        return Ok((real::reach(fleet, means.kubeconfig).await?.0, SystemClock.now()));
    }
    let simulated = SimulatedFleet::open(fleet, means.state)?;
    let now = simulated.now();
    Ok((simulated.observers(fleet), now))
}

/// What time it is where the fleet's clusters are.
///
/// # Errors
/// When the world of a simulated fleet is damaged.
pub(crate) fn now(fleet: &Fleet, state: &Path) -> Result<Timestamp, Failure> {
    if is_real(fleet) {
        return Ok(SystemClock.now());
    }
    SimulatedFleet::time(state)
}

/// For a run.
pub(crate) struct Live {
    pub(crate) observers: Observers,
    pub(crate) actors: Actors,
    pub(crate) clock: Arc<dyn Clock>,
    simulated: Option<(Keeper, Arc<SimulatedClock>)>,
}

impl Live {
    /// # Errors
    /// When no cluster could be reached whatever its state: no kubeconfig, a damaged world.
    pub(crate) async fn open(fleet: &Fleet, means: Means<'_>) -> Result<Self, Failure> {
        if is_real(fleet) {
            let (observers, actors) = real::reach(fleet, means.kubeconfig).await?;
            return Ok(Self { observers, actors, clock: Arc::new(SystemClock), simulated: None });
        }
        let world = SimulatedFleet::open(fleet, means.state)?;
        let clock = Arc::new(SimulatedClock::new(world.now(), means.simulation_speed));
        let (observers, actors, keeper) =
            world.live(fleet, Arc::clone(&clock) as Arc<dyn Clock>)?;
        let shared = Arc::clone(&clock) as Arc<dyn Clock>;
        Ok(Self { observers, actors, clock: shared, simulated: Some((keeper, clock)) })
    }

    /// Ends: simulated time passes if nothing could be done, because what blocks may be over soon
    /// (an apiserver that comes back, a pod that starts); and the world is kept.
    pub(crate) fn close(self, blocked: bool) -> Result<(), Failure> {
        let Some((keeper, clock)) = self.simulated else { return Ok(()) };
        if blocked {
            clock.pass(Duration::from_mins(1));
        }
        keeper.keep()
    }
}

/// A fleet is simulated or real as a whole: one run has one clock.
fn is_real(fleet: &Fleet) -> bool {
    fleet.clusters.values().any(|cluster| matches!(cluster.provider, Provider::Aws(_)))
}

#[cfg(not(feature = "aws"))]
mod real {
    use std::path::Path;

    use refit_model::Fleet;
    use refit_runtime::{Actors, Observers};

    use crate::exit::{Exit, Failure};

    #[expect(clippy::unused_async, reason = "the same shape as with the feature")]
    pub(super) async fn reach(
        _fleet: &Fleet,
        _kubeconfig: Option<&Path>,
    ) -> Result<(Observers, Actors), Failure> {
        let text = "this refit was built without the feature `aws`, which real clusters need";
        Err(Failure::new(Exit::Failed, text)
            .hint("build it with its default features: `cargo install --path crates/refit`"))
    }
}

#[cfg(feature = "aws")]
mod real {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Arc;

    use refit_aws::Aws;
    use refit_kubernetes::{AccessError, Kubeconfigs};
    use refit_model::{
        Action, Addon, AddonName, AwsCluster, Cluster, ClusterState, Fleet, Op, Provider, Token,
    };
    use refit_provider::{
        Act, Answer, ErrorClass, JoinedActor, JoinedObserver, Look, Observe, ProviderError,
    };
    use refit_runtime::{Actors, Observers};

    use crate::exit::{Exit, Failure};

    /// Clients for every cluster. One whose context cannot be used is unreachable, by itself.
    pub(super) async fn reach(
        fleet: &Fleet,
        kubeconfig: Option<&Path>,
    ) -> Result<(Observers, Actors), Failure> {
        let kubeconfigs = Kubeconfigs::read(kubeconfig)
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let mut accounts: BTreeMap<Account, Aws> = BTreeMap::new();
        let (mut observers, mut actors) = (Observers::new(), Actors::new());
        for (name, cluster) in &fleet.clusters {
            let Provider::Aws(found) = &cluster.provider else { continue };
            let account = account(found);
            let aws = match accounts.get(&account) {
                Some(aws) => aws.clone(),
                None => Aws::new(found).await,
            };
            accounts.insert(account, aws.clone());
            match kubeconfigs.connect(&found.context).await {
                Ok(kubernetes) => {
                    let kubernetes = Arc::new(kubernetes);
                    let reads = Arc::clone(&kubernetes) as Arc<dyn Observe>;
                    let observer = JoinedObserver::new(reads, aws.clone());
                    observers.insert(name.clone(), Arc::new(observer));
                    actors.insert(name.clone(), Arc::new(JoinedActor::new(kubernetes, aws)));
                }
                Err(error) => {
                    let nobody = Arc::new(Nobody::from(&error));
                    observers.insert(name.clone(), Arc::clone(&nobody) as Arc<dyn Observe>);
                    actors.insert(name.clone(), nobody);
                }
            }
        }
        Ok((observers, actors))
    }

    type Account = (String, Option<String>, Option<String>, Option<String>);

    /// What clusters have in common that share clients.
    fn account(cluster: &AwsCluster) -> Account {
        let AwsCluster { context: _, region, profile, role_arn, external_id } = cluster.clone();
        (region, profile, role_arn, external_id)
    }

    /// A cluster that nobody can reach, and why.
    struct Nobody(ProviderError);

    impl From<&AccessError> for Nobody {
        fn from(error: &AccessError) -> Self {
            Self(ProviderError::new(ErrorClass::Permanent, error))
        }
    }

    impl Observe for Nobody {
        fn look<'a>(&'a self, _look: Look<'a>) -> Answer<'a, ClusterState> {
            Box::pin(async { Err(self.0.clone()) })
        }
    }

    impl Act for Nobody {
        fn submit<'a>(
            &'a self,
            _cluster: &'a Cluster,
            _addons: &'a BTreeMap<AddonName, Addon>,
            _op: &'a Op,
            _token: &'a Token,
        ) -> Answer<'a, ()> {
            Box::pin(async { Err(self.0.clone()) })
        }

        fn missing<'a>(
            &'a self,
            _addons: &'a BTreeMap<AddonName, Addon>,
            _actions: &'a [&'a Action],
        ) -> Answer<'a, Vec<String>> {
            Box::pin(async { Err(self.0.clone()) })
        }
    }
}
