//! What groups would launch while the control plane moves.
//!
//! A pool without nodes is not rolled, and one whose nodes are newer than its groups' launch
//! templates is rolled late. A group of either may still launch a node at any moment, for a
//! scale-up or in place of a node that was lost, and that node's kubelet is bound by the skew
//! policy like all others.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    ActionKind, Code, GroupName, ImageId, KubeVersion, Minor, NodePool, PoolName, skew,
};

use super::ClusterPlanner;
use crate::checks::Blocker;
use crate::timeline::Step;

/// Groups that have to be pointed at another image before a hop.
pub(super) struct LatePins {
    /// What they are to launch.
    pub(super) wanted: BTreeMap<GroupName, ImageId>,
    /// What they launch until then.
    pub(super) launched: BTreeMap<GroupName, BTreeSet<ImageId>>,
    /// The minor that what they launch could not live with.
    pub(super) before: Minor,
}

/// What a group launches.
#[derive(Clone)]
struct Launch {
    image: ImageId,
    version: KubeVersion,
}

impl<'a> ClusterPlanner<'a> {
    /// By step, the groups that have to be pointed at another image before it: those whose nodes
    /// would be too old for the control plane that it brings, or too new where it goes back. Like a
    /// roll that skew forces, a pin takes a group as far as the control plane then is, so there are
    /// as few as possible.
    pub(super) fn launches_misfits(
        &mut self,
        live: &BTreeSet<KubeVersion>,
        steps: &[Step],
    ) -> BTreeMap<usize, LatePins> {
        let mut pins = BTreeMap::new();
        let Some(mut now) = live.first().cloned() else { return pins };
        if self.launches_fit(steps) {
            return pins;
        }
        let first = self.launches().map(|(name, launch)| (name.clone(), launch));
        let mut launches: BTreeMap<GroupName, Launch> = first.collect();
        for (at, step) in steps.iter().enumerate() {
            match step {
                Step::Roll { pools, to, .. } => self.rolled(&mut launches, pools, to),
                Step::Hop(hop) => {
                    let late = self.late_for(&mut launches, &now, &hop.to);
                    if !late.wanted.is_empty() {
                        pins.insert(at, late);
                    }
                    now = hop.to.clone();
                }
            }
        }
        pins
    }

    /// Whether what groups launch, now and after a roll, fits what every later hop brings: then
    /// nothing has to be pinned, as in nearly all clusters.
    fn launches_fit(&self, steps: &[Step]) -> bool {
        let fits = |version: &KubeVersion, steps: &[Step]| {
            steps.iter().all(|step| match step {
                Step::Hop(hop) => skew::kubelet_fits(version.minor(), hop.to.minor()),
                Step::Roll { .. } => true,
            })
        };
        let rolled = steps.iter().zip(1..).all(|(step, next)| match step {
            Step::Roll { to, .. } => fits(to, &steps[next..]),
            Step::Hop(_) => true,
        });
        rolled && self.launches().all(|(_, Launch { version, .. })| fits(&version, steps))
    }

    /// What each group launches now, or after it was pinned first. What nobody can tell the
    /// version of is left out: an image that is not there any more cannot be launched either.
    fn launches(&self) -> impl Iterator<Item = (&'a GroupName, Launch)> {
        let pinned: BTreeMap<&GroupName, &ImageId> = self
            .actions
            .iter()
            .filter_map(|action| match &action.kind {
                ActionKind::PinGroups { images } => Some(images),
                _ => None,
            })
            .flatten()
            .collect();
        let groups =
            self.cluster.pools.iter().flat_map(|pool| pool.groups.iter().map(move |g| (pool, g)));
        groups.filter_map(move |(pool, name)| {
            let now = self.state.groups.get(name).and_then(|group| group.image());
            let image = pinned.get(name).copied().or(now)?;
            let version = self.images.carried(&pool.image, image)?;
            Some((name, Launch { image: image.clone(), version }))
        })
    }

    /// After a roll a group launches what its nodes then are.
    fn rolled(
        &self,
        launches: &mut BTreeMap<GroupName, Launch>,
        pools: &BTreeSet<PoolName>,
        to: &KubeVersion,
    ) {
        for pool in self.cluster.pools.iter().filter(|pool| pools.contains(&pool.name)) {
            let Some(image) = self.images.newest(&pool.image, to) else { continue };
            for name in &pool.groups {
                let launch = Launch { image: image.id.clone(), version: to.clone() };
                launches.insert(name.clone(), launch);
            }
        }
    }

    fn late_for(
        &mut self,
        launches: &mut BTreeMap<GroupName, Launch>,
        now: &KubeVersion,
        to: &KubeVersion,
    ) -> LatePins {
        let minor = to.minor();
        let mut late =
            LatePins { wanted: BTreeMap::new(), launched: BTreeMap::new(), before: minor };
        for pool in &self.cluster.pools {
            for name in &pool.groups {
                let Some(launch) = launches.get(name) else { continue };
                let version = launch.version.minor();
                if version > now.minor() || skew::kubelet_fits(version, minor) {
                    continue;
                }
                let reach = now.min(to);
                let Some(next) = self.fitting(pool, reach, minor) else {
                    let misfit = if version > minor { "new" } else { "old" };
                    self.blockers.push(
                        Blocker::new(
                            Code::RF007,
                            format!(
                                "launches nodes of {}, too {misfit} for {minor}, and no image matches `{}` for {reach} to point it at (owner {}, {})",
                                launch.version, pool.image.name, pool.image.owner, pool.image.architecture
                            ),
                            "build the image, or correct the pattern",
                        )
                        .of(name),
                    );
                    launches.remove(name);
                    continue;
                };
                late.launched.insert(name.clone(), BTreeSet::from([launch.image.clone()]));
                late.wanted.insert(name.clone(), next.image.clone());
                launches.insert(name.clone(), next);
            }
        }
        late
    }

    /// The newest image that nodes can be launched from both before and after a hop to `minor`:
    /// of the older of the control plane's versions, or else of an older one that is available.
    fn fitting(&self, pool: &'a NodePool, reach: &KubeVersion, minor: Minor) -> Option<Launch> {
        let older = self.fleet.available.iter().rev().filter(|version| *version < reach);
        std::iter::once(reach)
            .chain(older)
            .filter(|version| skew::kubelet_fits(version.minor(), minor))
            .find_map(|version| {
                let image = self.images.newest(&pool.image, version)?;
                Some(Launch { image: image.id.clone(), version: version.clone() })
            })
    }
}
