//! What a story is about, and what people do in it.

use std::collections::BTreeSet;

use refit_model::{
    AddonVersion, ClusterName, ClusterStatus, Digest, ImageState, InstanceId, KubeVersion, Minor,
    NodePool, NodesByGroups, Observation, Plan, Snapshot, UpdateStrategy,
};
use refit_simulator::{Edit, Faults};

use super::{Bench, Trouble};

/// What a story is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tale {
    /// The fleet goes to what its files say.
    Up,
    /// The nodes of some pools are replaced by people.
    OnDelete,
    /// When it has arrived, clusters are named to go back by a minor.
    Back,
    /// People have brought nodes to what the files say before the control plane.
    Ahead,
    /// The cluster-autoscaler removes nodes that are empty, and nothing else goes wrong.
    Autoscaler,
    /// Kubelets die while their machines run, and nothing else goes wrong.
    DeadKubelets,
    /// The process is killed, and goes on from an old copy of its journal.
    OldJournal,
}

/// Calls of a thousand after which the autoscaler looks for an empty node.
const AUTOSCALER: u32 = 300;

/// Calls of a thousand after which a kubelet dies.
const DEAD_KUBELETS: u32 = 40;

impl Tale {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Up,
        Self::OnDelete,
        Self::Back,
        Self::Ahead,
        Self::Autoscaler,
        Self::DeadKubelets,
        Self::OldJournal,
    ];

    /// As it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::OnDelete => "on-delete",
            Self::Back => "back",
            Self::Ahead => "ahead",
            Self::Autoscaler => "autoscaler",
            Self::DeadKubelets => "dead-kubelets",
            Self::OldJournal => "old-journal",
        }
    }
}

/// So many records at most an old copy of a journal lacks.
const LOST_RECORDS_MAX: usize = 80;

/// More rounds of replacing nodes by hand than this do not converge any more.
const ROUNDS_MAX: u32 = 24;

impl Bench {
    pub(super) fn tell(&mut self, seed: u64, tale: Tale) -> Result<(), String> {
        match tale {
            Tale::Up => self.converge(Some(seed)).map(drop),
            Tale::OnDelete => {
                self.leave_pools_to_people();
                let mut rounds = 0;
                loop {
                    let trouble = (rounds < 2).then_some(seed);
                    let (snapshot, plan) = self.converge(trouble)?;
                    if !self.replace_by_hand(&snapshot) {
                        return self.all_replaced(&snapshot, &plan);
                    }
                    rounds += 1;
                    if rounds > ROUNDS_MAX {
                        return Err("nodes that people replace never come to an end".to_owned());
                    }
                    self.settle();
                }
            }
            Tale::Back => {
                let (_, plan) = self.converge(Some(seed))?;
                if self.turn_back(&plan) {
                    self.converge(Some(!seed))?;
                }
                Ok(())
            }
            Tale::Ahead => {
                self.upgrade_nodes_first();
                self.converge(Some(seed)).map(drop)
            }
            Tale::Autoscaler => {
                self.converge_with(&Faults { autoscaler: AUTOSCALER, ..Faults::none() })
            }
            Tale::DeadKubelets => {
                self.converge_with(&Faults { dead_kubelets: DEAD_KUBELETS, ..Faults::none() })
            }
            Tale::OldJournal => {
                self.meddled = false;
                self.trouble = Trouble { faults: false, crashes: true, ..self.trouble };
                self.lost_records_max = LOST_RECORDS_MAX;
                self.converge(Some(seed)).map(drop)
            }
        }
    }

    /// Brings the fleet to what its files say while only these faults happen.
    fn converge_with(&mut self, faults: &Faults) -> Result<(), String> {
        self.trouble = Trouble { faults: true, ..Trouble::NONE };
        self.meddled = true;
        self.world.set_faults(faults);
        self.converge(None).map(drop)
    }

    /// People point groups at the version that the files say, and replace the nodes of some.
    fn upgrade_nodes_first(&mut self) {
        for (name, observation) in self.snapshot().clusters {
            let Observation::Fresh(state) = observation else { continue };
            let cluster = &self.fleet.clusters[&name];
            for pool in &cluster.pools {
                let carries = |image: &&ImageState| {
                    pool.image.matches(&cluster.kubernetes.value, &image.name)
                        && image.architecture == pool.image.architecture
                };
                let Some(image) = state.images.iter().find(carries) else { continue };
                for group in &pool.groups {
                    if self.dice.u8(0..4) == 0 {
                        continue;
                    }
                    let mut edits =
                        vec![Edit::SetImage { group: group.clone(), image: image.id.clone() }];
                    for instance in state.groups.get(group).into_iter().flat_map(|g| &g.instances) {
                        if self.dice.u8(0..3) > 0 {
                            edits.push(Edit::KillInstance(instance.id.clone()));
                        }
                    }
                    for edit in edits {
                        // What it is about may be gone.
                        let _done = self.world.edit(&name, edit);
                    }
                }
            }
        }
        self.settle();
    }

    /// Some pools are `update = "on-delete"`.
    fn leave_pools_to_people(&mut self) {
        let mut pools: Vec<&mut NodePool> =
            self.fleet.clusters.values_mut().flat_map(|cluster| &mut cluster.pools).collect();
        let sure = self.dice.usize(0..pools.len());
        for (at, pool) in pools.iter_mut().enumerate() {
            if at == sure || self.dice.bool() {
                pool.update = UpdateStrategy::OnDelete;
            }
        }
        self.world.add_fleet(&self.fleet);
    }

    /// People delete some of the nodes that are not what their group launches. Whether there are any.
    fn replace_by_hand(&mut self, snapshot: &Snapshot) -> bool {
        let old = self.replaceable(snapshot);
        let sure = self.dice.usize(0..old.len().max(1));
        for (at, (cluster, instance)) in old.iter().enumerate() {
            if at == sure || self.dice.bool() {
                self.say(&format!("{cluster}: {instance} is deleted by hand"));
                // It may have gone by itself meanwhile.
                let _gone = self.world.edit(cluster, Edit::KillInstance(instance.clone()));
            }
        }
        !old.is_empty()
    }

    /// The instances that people replace, and whose groups would launch something else.
    fn replaceable(&self, snapshot: &Snapshot) -> Vec<(ClusterName, InstanceId)> {
        let mut found = Vec::new();
        for (name, observation) in &snapshot.clusters {
            let Observation::Fresh(state) = observation else { continue };
            for pool in self.fleet.clusters[name].pools.iter().filter(|pool| by_hand(pool)) {
                for group in pool.groups.iter().filter_map(|group| state.groups.get(group)) {
                    let old = group.instances.iter().filter(|i| Some(&i.image) != group.image());
                    found.extend(old.map(|instance| (name.clone(), instance.id.clone())));
                }
            }
        }
        found
    }

    /// In clusters that nothing is to be done in, these pools have arrived too.
    fn all_replaced(&self, snapshot: &Snapshot, plan: &Plan) -> Result<(), String> {
        for listed in plan.clusters.iter().filter(|c| c.status == ClusterStatus::UpToDate) {
            let Some(Observation::Fresh(state)) = snapshot.clusters.get(&listed.name) else {
                continue;
            };
            let cluster = &self.fleet.clusters[&listed.name];
            let pools = cluster.pools.iter().filter(|pool| by_hand(pool));
            let groups: Vec<_> = pools.map(|pool| pool.groups.as_slice()).collect();
            let (nodes, _) = NodesByGroups::default().of(state, groups);
            for (name, node) in nodes.iter().flatten() {
                if !node.kubelet.same_release(&listed.to) {
                    let (to, is) = (&listed.to, &node.kubelet);
                    return Err(format!("{}: {name} runs {is}, not {to}", listed.name));
                }
            }
        }
        Ok(())
    }

    /// The clusters that have arrived are to go back by a minor, with add-ons that go there. Whether
    /// there are any.
    fn turn_back(&mut self, plan: &Plan) -> bool {
        let arrived = plan.clusters.iter().filter(|c| c.status == ClusterStatus::UpToDate);
        let named: BTreeSet<ClusterName> = arrived.map(|cluster| cluster.name.clone()).collect();
        for name in &named {
            let Some(cluster) = self.fleet.clusters.get_mut(name) else { continue };
            let back = cluster.kubernetes.value.minor().previous();
            let older = self.fleet.available.iter().filter(|version| version.minor() == back);
            let Some(to) = older.max() else { continue };
            cluster.kubernetes.value = KubeVersion::clone(to);
            for (addon, target) in &mut cluster.addons {
                let Some(known) = self.fleet.addons.get(addon) else { continue };
                let now = &target.version.value;
                let supports = |v: &&AddonVersion| supports(known, v, back) && *v <= now;
                let stays = supports(&now) && self.dice.bool();
                let fitting: Vec<&AddonVersion> = known.versions.keys().filter(supports).collect();
                if let Some(version) = self.dice.choice(fitting).filter(|_| !stays) {
                    target.version.value = version.clone();
                }
            }
        }
        self.fleet.digest = Digest::of_bytes(b"back");
        self.say(&format!("{named:?} are to go back"));
        self.options.downgrade = named;
        !self.options.downgrade.is_empty()
    }
}

fn by_hand(pool: &NodePool) -> bool {
    pool.update == UpdateStrategy::OnDelete
}

fn supports(addon: &refit_model::Addon, version: &AddonVersion, minor: Minor) -> bool {
    addon.versions.get(version).is_some_and(|release| release.kubernetes.contains(&minor))
}
