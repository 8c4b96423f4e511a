//! Why this version and not another, and why now and not at another time.

use std::collections::BTreeSet;

use refit_model::{
    Action, ActionKind, Addon, AddonChoice, AddonName, AddonRelease, AddonVersion, Choice,
    ClusterPlan, DeclaredVersion, Fleet, KubeVersion, Lives, Minor, OtherVersion, Support, Why,
    WhyNot, WhyNotEarlier, WhyNotLater, WhyPatch, skew,
};

use super::versions::{Stage, ends_of};
use super::{Explainer, named};
use crate::hops::is_newer;

/// A move of an add-on that is to be explained.
struct Moved<'a> {
    fleet: &'a Fleet,
    cluster: &'a ClusterPlan,
    addon: &'a Addon,
    from: Option<AddonVersion>,
    chosen: AddonVersion,
    /// What comes after the chosen version.
    next: Option<AddonVersion>,
    stage: Stage,
    lives: Lives,
    declared: Option<DeclaredVersion>,
}

impl Moved<'_> {
    fn goes_back(&self) -> bool {
        self.from.as_ref().is_some_and(|from| *from > self.chosen)
    }
}

impl<'a> Explainer<'a> {
    /// What there is to tell of an action beside its edges.
    pub(super) fn choice(&self, action: &Action) -> Option<Choice> {
        let cluster = self.plan.cluster(action.cluster.as_ref()?)?;
        match &action.kind {
            ActionKind::ControlPlaneHop { from, to, .. } => self.patch(cluster, action, from, to),
            ActionKind::NodePoolRoll { pool, from, to, .. } => Some(Choice::Moment {
                pool: pool.clone(),
                earlier: self.earlier(cluster, action, to),
                later: self.later(cluster, action, from),
            }),
            ActionKind::AddonApply { addon, .. } | ActionKind::AddonAdopt { addon, .. } => {
                let moved = self.moved(cluster, action, addon)?;
                Some(Choice::Addon(Box::new(self.addon(&moved))))
            }
            _ => None,
        }
    }

    fn patch(
        &self,
        cluster: &ClusterPlan,
        action: &Action,
        from: &BTreeSet<KubeVersion>,
        to: &KubeVersion,
    ) -> Option<Choice> {
        let why = match (&action.why, self.fleet) {
            (Why::Release { at, .. }, _) if *to == cluster.to => {
                WhyPatch::Declared { at: at.clone(), pinned: false }
            }
            (Why::Pin { at }, _) if *to == cluster.to => {
                WhyPatch::Declared { at: at.clone(), pinned: true }
            }
            (Why::Capped { at, .. }, _) if *to == cluster.to => WhyPatch::Capped { at: at.clone() },
            _ if from.contains(to) => WhyPatch::HalfDone,
            (_, Some(fleet)) if fleet.newest_patch(to.minor()) == Some(to) => WhyPatch::Newest,
            _ => return None,
        };
        let available = self.fleet.into_iter().flat_map(|fleet| &fleet.available);
        let others = available.filter(|other| other.minor() == to.minor() && *other != to);
        Some(Choice::Patch { why, others: others.cloned().collect() })
    }

    fn earlier(
        &self,
        cluster: &ClusterPlan,
        roll: &Action,
        to: &KubeVersion,
    ) -> Option<WhyNotEarlier> {
        let at = self.order.place(&roll.id)?;
        let hops = self.hops(cluster);
        let comes_before = |hop: &&&Action| {
            self.order.place(&hop.id).is_some_and(|hop| self.order.comes_before(hop, at))
        };
        if let Some(hop) = hops.iter().rev().find(comes_before)
            && let ActionKind::ControlPlaneHop { from, .. } = &hop.kind
            && let Some(oldest) = from.first()
            && !skew::kubelet_fits(to.minor(), oldest.minor())
        {
            return Some(WhyNotEarlier::TooNew { hop: named(hop), api_server: oldest.clone() });
        }
        let after = self.order.chain(at).first().map(|(before, _)| self.order.action(*before))?;
        Some(WhyNotEarlier::OneAtATime { after: named(after) })
    }

    fn later(
        &self,
        cluster: &ClusterPlan,
        roll: &Action,
        from: &BTreeSet<KubeVersion>,
    ) -> WhyNotLater {
        if let Why::AddonKubelets { addon, .. } | Why::AddonAfterNodes { addon } = &roll.why {
            return WhyNotLater::ForAddon { addon: addon.clone() };
        }
        let Some(at) = self.order.place(&roll.id) else { return WhyNotLater::Last };
        let hops = self.hops(cluster);
        let comes_after = |hop: &&&Action| {
            self.order.place(&hop.id).is_some_and(|hop| self.order.comes_before(at, hop))
        };
        let Some(hop) = hops.iter().find(comes_after) else { return WhyNotLater::Last };
        let ActionKind::ControlPlaneHop { to: reached, .. } = &hop.kind else {
            return WhyNotLater::Last;
        };
        if let Some(kubelet) = from.iter().find(|kubelet| is_newer(kubelet, reached)) {
            return WhyNotLater::GoesBack { hop: named(hop), kubelet: kubelet.clone() };
        }
        let reached = reached.minor();
        match from.iter().find(|kubelet| !skew::kubelet_fits(kubelet.minor(), reached)) {
            Some(kubelet) => WhyNotLater::TooOld {
                hop: named(hop),
                kubelet: kubelet.clone(),
                at_most: skew::node_lag_max(kubelet.minor()),
            },
            None => WhyNotLater::Free { hop: named(hop) },
        }
    }

    fn moved(
        &self,
        cluster: &'a ClusterPlan,
        action: &Action,
        name: &AddonName,
    ) -> Option<Moved<'a>> {
        let fleet = self.fleet?;
        let (from, chosen) = ends_of(&action.kind);
        let moves = self.moves(cluster, name);
        let stage = self.stage_of(action, &moves);
        let after = moves.iter().skip_while(|other| other.id != action.id).nth(1);
        let target = fleet.clusters.get(&cluster.name)?.addons.get(name);
        let declared = target.map(|target| DeclaredVersion {
            version: target.version.value.clone(),
            at: target.version.at.clone(),
            pinned: target.version.pinned,
            set: target.set.clone(),
        });
        Some(Moved {
            fleet,
            cluster,
            addon: fleet.addons.get(name)?,
            from,
            chosen: chosen?,
            next: after.and_then(|next| ends_of(&next.kind).1),
            stage,
            lives: self.lives(cluster, stage),
            declared,
        })
    }

    fn addon(&self, moved: &Moved<'_>) -> AddonChoice {
        let others = moved
            .addon
            .versions
            .iter()
            .filter(|(version, _)| **version != moved.chosen)
            .map(|(version, release)| OtherVersion {
                version: version.clone(),
                support: support(release),
                why_not: self.why_not(moved, version, release),
            })
            .collect();
        AddonChoice {
            addon: moved.addon.name.clone(),
            chosen: moved.chosen.clone(),
            support: moved.addon.versions.get(&moved.chosen).map(support),
            declared: moved.declared.clone(),
            lives: moved.lives.clone(),
            others,
        }
    }

    fn why_not(
        &self,
        moved: &Moved<'_>,
        version: &AddonVersion,
        release: &AddonRelease,
    ) -> Vec<WhyNot> {
        let mut why = Vec::new();
        match &moved.from {
            Some(there) if version == there => why.push(WhyNot::IsThere),
            Some(there) if version < there && !moved.goes_back() => {
                why.push(WhyNot::Older { there: there.clone() });
            }
            _ => {}
        }
        let declared = moved.declared.as_ref().map(|declared| &declared.version);
        if declared.is_some_and(|declared| version > declared) {
            why.push(WhyNot::Newer);
        }
        why.extend(self.unsupported(moved, release));
        why.extend(self.unmet(moved, version, release));
        why.extend(self.conflicts(moved, version, release));
        why.extend(no_step(moved, version, release));
        let reason = match declared {
            // That it is there is no reason to leave it there.
            _ if !why.is_empty() && why != [WhyNot::IsThere] => return why,
            Some(declared) if *declared != moved.chosen && *version < moved.chosen => {
                WhyNot::OlderBridge
            }
            Some(declared) if *declared != moved.chosen => WhyNot::NoPlace,
            _ => WhyNot::NotDeclared,
        };
        why.push(reason);
        why
    }

    /// What lives while the chosen version is there, and this one does not support.
    fn unsupported(&self, moved: &Moved<'_>, release: &AddonRelease) -> Vec<WhyNot> {
        let mut why = Vec::new();
        let excused = self.excused(moved, release);
        let outside = |minor: &&Minor| !release.kubernetes.contains(minor);
        let minors: BTreeSet<Minor> = moved
            .lives
            .api_servers
            .iter()
            .filter(outside)
            .filter(|minor| excused != Some(**minor))
            .copied()
            .collect();
        if !minors.is_empty() {
            why.push(WhyNot::ApiServers { minors });
        }
        if let Some(range) = &release.kubelets {
            let outside = moved.lives.kubelets.iter().filter(|minor| !range.contains(minor));
            let minors: BTreeSet<Minor> = outside.copied().collect();
            if !minors.is_empty() {
                why.push(WhyNot::Kubelets { minors });
            }
        }
        let unserved = |minor: &Minor| Some((release.unserved(*minor).next()?, *minor));
        if let Some((used, minor)) = moved.lives.api_servers.iter().find_map(unserved) {
            why.push(WhyNot::NotServed {
                object: used.object.clone(),
                at: used.at.clone(),
                minor,
                served: used.served.clone(),
            });
        }
        why
    }

    /// The minor that a version may outlive a hop to, because the add-on's next move follows
    /// right after that hop.
    fn excused(&self, moved: &Moved<'_>, release: &AddonRelease) -> Option<Minor> {
        if !moved.addon.may_be_unsupported_during_hop {
            return None;
        }
        let next = moved.stage.ends?;
        let comes_before = |hop: &&&Action| {
            self.order.place(&hop.id).is_some_and(|hop| self.order.comes_before(hop, next))
        };
        let hops = self.hops(moved.cluster);
        let ActionKind::ControlPlaneHop { from, to, .. } =
            &hops.iter().rev().find(comes_before)?.kind
        else {
            return None;
        };
        from.first().filter(|left| release.kubernetes.contains(&left.minor())).map(|_| to.minor())
    }

    /// What a version requires and what is not there, and what is there and does not go with it.
    fn unmet(
        &self,
        moved: &Moved<'_>,
        version: &AddonVersion,
        release: &AddonRelease,
    ) -> Vec<WhyNot> {
        let mut why = Vec::new();
        for (addon, range) in &release.requires {
            let there: BTreeSet<AddonVersion> =
                self.there(moved.cluster, addon, moved.stage).into_iter().flatten().collect();
            if !there.iter().any(|there| range.contains(there)) {
                why.push(WhyNot::Requires { addon: addon.clone(), range: range.clone(), there });
            }
        }
        for (name, other) in &moved.fleet.addons {
            let requires =
                |release: &AddonRelease| release.requires.contains_key(&moved.addon.name);
            if !other.versions.values().any(requires) {
                continue;
            }
            let Some(there) = self.all_the_time(moved, name) else { continue };
            let range = other
                .versions
                .get(&there)
                .and_then(|release| release.requires.get(&moved.addon.name))
                .filter(|range| !range.contains(version));
            if let Some(range) = range {
                why.push(WhyNot::RequiredBy {
                    addon: name.clone(),
                    version: there,
                    range: range.clone(),
                });
            }
        }
        why
    }

    /// The version of another add-on that is there as long as the chosen one is: only that is
    /// certain to be in the way.
    fn all_the_time(&self, moved: &Moved<'_>, addon: &AddonName) -> Option<AddonVersion> {
        let mut there = self.there(moved.cluster, addon, moved.stage).into_iter();
        there.next().flatten().filter(|_| there.next().is_none())
    }

    /// What is there all the time that a version cannot live with.
    fn conflicts(
        &self,
        moved: &Moved<'_>,
        version: &AddonVersion,
        release: &AddonRelease,
    ) -> Vec<WhyNot> {
        let mut why = Vec::new();
        for (name, other) in
            moved.fleet.addons.iter().filter(|(name, _)| **name != moved.addon.name)
        {
            let Some(there) = self.all_the_time(moved, name) else { continue };
            let theirs = other.versions.get(&there).map(|release| &release.conflicts);
            let ours = release.conflicts.get(name).is_some_and(|range| range.contains(&there));
            let range = theirs.and_then(|conflicts| conflicts.get(&moved.addon.name));
            if ours || range.is_some_and(|range| range.contains(version)) {
                why.push(WhyNot::Conflicts { addon: name.clone(), version: there });
            }
        }
        why
    }
}

/// What speaks against the step to a version, or from it to what comes next.
fn no_step(moved: &Moved<'_>, version: &AddonVersion, release: &AddonRelease) -> Vec<WhyNot> {
    let mut why = Vec::new();
    let comes_after = |version: &AddonVersion, other: &AddonVersion| {
        if moved.goes_back() { version < other } else { version > other }
    };
    if let Some(there) = moved.from.as_ref().filter(|there| comes_after(version, there)) {
        if !moved.addon.may_step(there, version) {
            why.push(WhyNot::NoStep { from: there.clone() });
        }
        let before = moved.addon.versions.get(there);
        if let Some((crd, stored)) = before.and_then(|before| dropped(before, release)) {
            why.push(WhyNot::DropsStored { crd, stored });
        }
    }
    if let Some(next) = moved.next.as_ref().filter(|next| comes_after(next, version)) {
        let drops = |next: &AddonRelease| dropped(release, next).is_some();
        if !moved.addon.may_step(version, next) || moved.addon.versions.get(next).is_some_and(drops)
        {
            why.push(WhyNot::NoStepOn { to: next.clone() });
        }
    }
    why
}

/// The definition of which a version stores objects in a version that another one does not list.
fn dropped(from: &AddonRelease, to: &AddonRelease) -> Option<(String, String)> {
    from.crds().iter().find_map(|(name, crd)| {
        let dropped = to.crds().get(name).is_some_and(|to| !to.lists(&crd.storage));
        dropped.then(|| (name.clone(), crd.storage.clone()))
    })
}

/// What a version supports, and who says so.
fn support(release: &AddonRelease) -> Support {
    Support {
        kubernetes: release.kubernetes.clone(),
        kubelets: release.kubelets.clone(),
        said_by: release.known.decided_by.clone(),
        claim: release.known.claim.clone(),
    }
}
