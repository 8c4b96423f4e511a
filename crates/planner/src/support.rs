//! Which version of an add-on goes with what lives, and with which other add-ons.

use std::collections::BTreeSet;

use refit_model::{
    Addon, AddonName, AddonRelease, AddonState, AddonVersion, ApiUse, Minor, VersionRange,
};

use crate::storage::Storage;
use crate::timeline::Phase;

/// What is in the cluster at a time: a version, or nothing.
pub(crate) type Version = Option<AddonVersion>;

/// The version of an add-on that the fleet knows.
pub(crate) fn release<'a>(
    addon: Option<&'a Addon>,
    version: &AddonVersion,
) -> Option<&'a AddonRelease> {
    addon.and_then(|addon| addon.versions.get(version))
}

pub(crate) fn show_version(version: Option<&AddonVersion>) -> String {
    version.map_or_else(|| "absent".to_owned(), ToString::to_string)
}

/// A rule that binds an add-on. Why there is no way is found out by leaving rules out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// Its versions' `kubernetes`.
    Kubernetes(AddonName),
    /// Its versions' `kubelets`.
    Kubelets(AddonName),
    /// The APIs that its versions use have to be served.
    Apis(AddonName),
    /// It moves right after a hop at the latest where its file allows it, and else before it.
    InTime(AddonName),
    /// Its `before` and `after` of control plane and nodes.
    Placement(AddonName),
    /// The first one's file, or the second one's, has the first one move before it.
    Order(AddonName, AddonName),
    /// What the first one's versions require of the second one.
    Requires(AddonName, AddonName),
    /// What the first one's versions do not live with of the second one.
    Conflicts(AddonName, AddonName),
    /// From which versions it may move to which.
    Steps(AddonName),
    /// What its objects are stored in has to stay listed.
    Stored(AddonName),
}

/// The rules that are left out.
pub(crate) type Without = BTreeSet<Rule>;

/// What is there of an add-on, if anything, and what the fleet knows of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held<'a> {
    pub(crate) version: Option<&'a AddonVersion>,
    pub(crate) release: Option<&'a AddonRelease>,
    /// Whether nothing has changed it yet. A rule that it breaks from the beginning may stay broken,
    /// if it becomes no worse.
    pub(crate) as_found: bool,
}

impl Held<'_> {
    /// Whether a range of the version allows something that was one of these `at_first`.
    fn allows<'v, T: Ord + Clone + 'v>(
        &self,
        range: &VersionRange<T>,
        there: &T,
        at_first: impl IntoIterator<Item = &'v T>,
    ) -> bool {
        if self.as_found { range.may_stay(there, at_first) } else { range.contains(there) }
    }
}

/// One add-on and the rules that it is held to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) name: &'a AddonName,
    pub(crate) addon: Option<&'a Addon>,
    /// What was found.
    pub(crate) start: Option<&'a AddonVersion>,
    pub(crate) live: Option<&'a AddonState>,
    pub(crate) without: &'a Without,
}

impl Rules<'_> {
    fn holds(&self, rule: impl FnOnce() -> Rule) -> bool {
        self.without.is_empty() || !self.without.contains(&rule())
    }

    /// Returns a version, or nothing, with what the fleet knows of it.
    pub(crate) fn held<'v>(
        &'v self,
        version: Option<&'v AddonVersion>,
        as_found: bool,
    ) -> Held<'v> {
        let release = version.and_then(|version| release(self.addon, version));
        Held { version, release, as_found }
    }

    /// Returns the same of the versions of a route, of which the first one was found.
    pub(crate) fn all<'v>(&'v self, versions: &'v [Version]) -> Vec<Held<'v>> {
        let each = versions.iter().enumerate();
        each.map(|(at, version)| self.held(version.as_ref(), at == 0)).collect()
    }

    /// Whether a version supports the apiservers of a phase. Nothing supports everything; a
    /// version that the fleet does not know supports only what it runs on already.
    pub(crate) fn supports(&self, held: Held<'_>, phase: &Phase, first: &Phase) -> bool {
        let fits = match held.release {
            Some(release) => phase
                .api_servers
                .iter()
                .all(|minor| held.allows(&release.kubernetes, minor, &first.api_servers)),
            None => held.version.is_none() || phase.api_servers.is_subset(&first.api_servers),
        };
        fits || !self.holds(|| Rule::Kubernetes(self.name.clone()))
    }

    /// Whether a phase serves the APIs that a version uses.
    pub(crate) fn is_served(&self, held: Held<'_>, phase: &Phase, first: &Phase) -> bool {
        let served = |api: &ApiUse| {
            let settled = api.served.settled();
            phase.api_servers.iter().all(|minor| held.allows(&settled, minor, &first.api_servers))
        };
        held.release.is_none_or(|release| {
            release.known.apis.is_empty()
                || !self.holds(|| Rule::Apis(self.name.clone()))
                || release.known.apis.iter().all(served)
        })
    }

    /// Whether a version goes with kubelets, where there were others `at_first`.
    pub(crate) fn takes(
        &self,
        held: Held<'_>,
        kubelets: impl IntoIterator<Item = Minor>,
        at_first: &BTreeSet<Minor>,
    ) -> bool {
        let range = held.release.and_then(|release| release.kubelets.as_ref());
        range.is_none_or(|range| {
            !self.holds(|| Rule::Kubelets(self.name.clone()))
                || kubelets.into_iter().all(|minor| held.allows(range, &minor, at_first))
        })
    }

    /// Whether a version may stay through a hop to a phase that it does not support: where the
    /// add-on's file allows it, from a minor that it supports.
    pub(crate) fn may_lag(&self, held: Held<'_>, before: &Phase) -> bool {
        let allowed = self.addon.is_some_and(|addon| addon.may_be_unsupported_during_hop)
            || !self.holds(|| Rule::InTime(self.name.clone()));
        let left = before.api_servers.first();
        // More than one minor lives before a hop that is taken up again: it leaves the oldest.
        allowed
            && held.release.zip(left).is_some_and(|(known, left)| known.kubernetes.contains(left))
    }

    /// Whether a version goes with what is there of another add-on, of which another version was there
    /// `at_first`.
    pub(crate) fn goes_with(
        &self,
        held: Held<'_>,
        other: &AddonName,
        there: Option<&AddonVersion>,
        at_first: Option<&AddonVersion>,
    ) -> bool {
        let Some(release) = held.release else { return true };
        let required = release.requires.get(other).is_none_or(|range| {
            let was_missing = held.as_found && at_first.is_none();
            was_missing
                || there.is_some_and(|there| held.allows(range, there, at_first))
                || !self.holds(|| Rule::Requires(self.name.clone(), other.clone()))
        });
        let clashes = release.conflicts.get(other).is_some_and(|range| {
            let clashed = held.as_found && at_first.is_some_and(|first| range.contains(first));
            !clashed
                && there.is_some_and(|there| range.contains(there))
                && self.holds(|| Rule::Conflicts(self.name.clone(), other.clone()))
        });
        required && !clashes
    }

    /// Whether the add-on may move from one version to another.
    pub(crate) fn may_step(&self, from: Option<&AddonVersion>, to: Held<'_>) -> bool {
        let storage = Storage { addon: self.addon, live: self.live };
        if !to.release.is_none_or(|release| storage.step_allowed(from, release, self.start))
            && self.holds(|| Rule::Stored(self.name.clone()))
        {
            return false;
        }
        let (Some(from), Some(to)) = (from, to.version) else { return true };
        from == to
            || !self.holds(|| Rule::Steps(self.name.clone()))
            || self.addon.is_none_or(|addon| addon.may_step(from, to))
    }
}
