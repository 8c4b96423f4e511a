//! The world: clusters, time, and what the judge has found.

use std::collections::BTreeMap;

use refit_model::{
    Addon, AddonName, Cluster, ClusterName, ClusterState, Fleet, ImageId, ImagePattern,
    KubeVersion, Op, PoolName, Provider, Timestamp, Token, readable,
};
use refit_provider::{ErrorClass, Look, ProviderError};
use serde::{Deserialize, Serialize};

use crate::cluster::ClusterWorld;
use crate::edit::{Edit, NoSuchThing};
use crate::faults::Faults;
use crate::files::Unsaved;
use crate::judge::{Targets, Violation};

/// An in-memory fleet. The same start, seed and calls give the same bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct World {
    format_version: String,
    pub(crate) seed: u64,
    pub(crate) now: Timestamp,
    pub(crate) faults: Faults,
    pub(crate) clusters: BTreeMap<ClusterName, ClusterWorld>,
    pub(crate) violations: Vec<Violation>,
    /// What its files do not have yet.
    #[serde(skip)]
    pub(crate) unsaved: Unsaved,
}

/// Why a saved world is not one that can be used.
#[derive(Debug, thiserror::Error)]
pub enum WorldFileError {
    /// It is not JSON, or not a world.
    #[error("this is not a simulated world of refit")]
    NotAWorld(#[source] serde_json::Error),
    /// Another major version, or a newer minor one.
    #[error(
        "the world has format {found}; this refit reads format {} and older minors, and {}",
        World::FILES_FORMAT,
        World::FORMAT
    )]
    Format {
        /// The version in the file.
        found: String,
    },
}

impl World {
    /// The version of a whole world in one file. A reader takes the same major and no newer minor.
    pub const FORMAT: &str = "1.2";

    /// An empty world.
    pub fn new(start: Timestamp, seed: u64) -> Self {
        Self {
            format_version: Self::FORMAT.to_owned(),
            seed,
            now: start,
            faults: Faults::none(),
            clusters: BTreeMap::new(),
            violations: Vec::new(),
            unsaved: Unsaved::default(),
        }
    }

    /// The world as one file.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a world has only string keys")
    }

    /// Reads what [`World::to_bytes`] wrote.
    ///
    /// # Errors
    /// See [`WorldFileError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WorldFileError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Head {
            format_version: String,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(WorldFileError::NotAWorld)?;
        if !readable(&head.format_version, Self::FORMAT) {
            return Err(WorldFileError::Format { found: head.format_version });
        }
        let mut world: Self = serde_json::from_slice(bytes).map_err(WorldFileError::NotAWorld)?;
        world.all_changed();
        Ok(world)
    }

    /// Adds every cluster of a fleet that is not there yet, see [`World::add_cluster`].
    pub fn add_fleet(&mut self, fleet: &Fleet) {
        for cluster in fleet.clusters.values() {
            self.add_cluster(cluster, &fleet.available, &fleet.addons);
        }
    }

    /// Adds a simulated cluster as its file says that it begins. Of one that is there already,
    /// only new groups and new images appear.
    pub fn add_cluster(
        &mut self,
        cluster: &Cluster,
        available: &[KubeVersion],
        addons: &BTreeMap<AddonName, Addon>,
    ) {
        let Provider::Simulated(start) = &cluster.provider else { return };
        if let Some(world) = self.clusters.get_mut(&cluster.name) {
            world.advance_to(self.now);
            if world.extend(cluster, start, available) {
                self.unsaved.clusters.insert(cluster.name.clone());
            }
            world.judge.declare(cluster);
            return;
        }
        let (now, seed, faults) = (self.now, self.seed, self.faults.clone());
        let declared = (cluster, start);
        let mut world = ClusterWorld::begin(declared, available, addons, now, seed, faults);
        world.judge.declare(cluster);
        self.clusters.insert(cluster.name.clone(), world);
        self.unsaved.clusters.insert(cluster.name.clone());
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Lets time pass. An earlier time than now is ignored.
    pub fn advance_to(&mut self, now: Timestamp) {
        if now < self.now {
            return;
        }
        self.now = now;
        for cluster in self.clusters.values_mut() {
            cluster.advance_to(now);
        }
        self.collect();
    }

    /// Lets time pass for one cluster. The others are brought to the present when they are asked.
    pub(crate) fn advance_one_to(&mut self, cluster: &ClusterName, now: Timestamp) {
        self.now = self.now.max(now);
        if let Some(cluster) = self.clusters.get_mut(cluster) {
            cluster.advance_to(self.now);
        }
        self.collect_from(cluster);
    }

    /// When something happens next by itself.
    pub fn next_event_at(&self) -> Option<Timestamp> {
        self.clusters.values().filter_map(|cluster| cluster.queue.next_at()).min()
    }

    /// Looks at a cluster.
    ///
    /// # Errors
    /// When no apiserver answers, when a fault says so, and for a cluster that is not there.
    pub fn look(&mut self, look: Look<'_>) -> Result<ClusterState, ProviderError> {
        let name = &look.cluster.name;
        let seen = self.cluster(name)?.look(look);
        // Whether a look goes wrong is drawn, and the next one goes on from there.
        if self.faults != Faults::none() {
            self.unsaved.clusters.insert(name.clone());
        }
        seen
    }

    /// Sends one operation.
    ///
    /// # Errors
    /// As the real APIs answer, and when a fault says so.
    pub fn submit(
        &mut self,
        cluster: &Cluster,
        addons: &BTreeMap<AddonName, Addon>,
        op: &Op,
        token: &Token,
    ) -> Result<(), ProviderError> {
        let answer = self.cluster(&cluster.name)?.submit(addons, op, token);
        self.unsaved.clusters.insert(cluster.name.clone());
        self.collect_from(&cluster.name);
        answer
    }

    pub(crate) fn cluster(
        &mut self,
        name: &ClusterName,
    ) -> Result<&mut ClusterWorld, ProviderError> {
        self.clusters.get_mut(name).ok_or_else(|| {
            let text = format!("the simulated world has no cluster {name}");
            ProviderError::new(ErrorClass::Permanent, text)
        })
    }

    /// Does something by hand.
    ///
    /// # Errors
    /// When what it names is not there.
    pub fn edit(&mut self, cluster: &ClusterName, edit: Edit) -> Result<(), NoSuchThing> {
        self.named(cluster)?.edit(edit)?;
        self.unsaved.clusters.insert(cluster.clone());
        self.collect();
        Ok(())
    }

    /// Publishes a newer image of a version; the name carries the day.
    ///
    /// # Errors
    /// When there is no such cluster.
    pub fn publish_image(
        &mut self,
        cluster: &ClusterName,
        pattern: &ImagePattern,
        version: &KubeVersion,
    ) -> Result<ImageId, NoSuchThing> {
        let now = self.now;
        let image = self.named(cluster)?.add_image(pattern, version, now);
        self.unsaved.clusters.insert(cluster.clone());
        let what = "image of such a name".to_owned();
        image.ok_or_else(|| NoSuchThing { cluster: cluster.to_string(), what })
    }

    fn named(&mut self, name: &ClusterName) -> Result<&mut ClusterWorld, NoSuchThing> {
        self.clusters.get_mut(name).ok_or_else(|| NoSuchThing {
            cluster: "the simulated world".to_owned(),
            what: format!("cluster {name}"),
        })
    }

    /// How often things go wrong.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// From now on things go wrong so often.
    pub fn set_faults(&mut self, faults: &Faults) {
        self.faults = faults.clone();
        self.all_changed();
        for cluster in self.clusters.values_mut() {
            cluster.faults = faults.clone();
        }
    }

    /// From now on nothing goes wrong, and what a fault held back comes.
    pub fn stop_faults(&mut self) {
        self.faults = Faults::none();
        self.all_changed();
        for cluster in self.clusters.values_mut() {
            cluster.stop_faults();
        }
    }

    /// What must never happen and did, in order.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// From now on only this may be touched; everything else is a violation.
    pub fn plan_targets(&mut self, targets: &Targets) {
        self.all_changed();
        for (name, cluster) in &mut self.clusters {
            let groups = targets.groups.get(name).cloned().unwrap_or_default();
            let addons = targets.addons.get(name).cloned().unwrap_or_default();
            cluster.judge.set_targets(groups, addons);
        }
    }

    /// From now on a write without the cluster's Lease is a violation.
    pub fn require_lease(&mut self) {
        self.all_changed();
        for cluster in self.clusters.values_mut() {
            cluster.judge.needs_lease = true;
        }
    }

    /// From now on a pool that is farther from what it has now is a violation.
    pub fn allow(&mut self, cluster: &ClusterName, pool: &PoolName, surge: u32, unavailable: u32) {
        self.unsaved.clusters.insert(cluster.clone());
        if let Some(cluster) = self.clusters.get_mut(cluster) {
            cluster.allow(pool, surge, unavailable);
        }
    }

    /// What still differs from the beginning, apart from what operators did: empty after a run
    /// that has given everything back.
    pub fn settings_given_back(&self) -> Vec<String> {
        let mut differs = Vec::new();
        for cluster in self.clusters.values() {
            cluster.settings_given_back(&mut differs);
        }
        differs
    }

    fn all_changed(&mut self) {
        self.unsaved.clusters.extend(self.clusters.keys().cloned());
    }

    /// Takes what one cluster's judge has found since.
    fn collect_from(&mut self, cluster: &ClusterName) {
        if let Some(cluster) = self.clusters.get_mut(cluster) {
            self.violations.append(&mut cluster.judge.found);
        }
    }

    /// Takes what the clusters' judges have found since, in order of time.
    fn collect(&mut self) {
        let mut found: Vec<Violation> = Vec::new();
        for cluster in self.clusters.values_mut() {
            found.append(&mut cluster.judge.found);
        }
        found.sort_by_key(|violation| violation.at);
        self.violations.append(&mut found);
    }
}
