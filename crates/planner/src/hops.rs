//! The control plane's hops: minor by minor, the newest available patch in between; or a single one
//! back, where that was asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use refit_model::{Cluster, ClusterState, Code, Fleet, KubeVersion, Severity, skew};

use crate::checks::Blocker;

/// One hop of a control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    /// What runs before: more than one version when an earlier hop was left half done.
    pub(crate) from: Arc<BTreeSet<KubeVersion>>,
    /// What runs after.
    pub(crate) to: KubeVersion,
}

impl Hop {
    /// Whether it leads to an older version than some instance runs.
    pub(crate) fn goes_back(&self) -> bool {
        self.from.last().is_some_and(|newest| is_newer(newest, &self.to))
    }
}

/// Whether a version is of a newer release than another one.
pub(crate) fn is_newer(version: &KubeVersion, than: &KubeVersion) -> bool {
    version > than && !version.same_release(than)
}

/// Something is newer than declared, and its cluster was not named to go back.
pub(crate) fn not_named(cluster: &Cluster, evidence: String) -> Blocker {
    Blocker::new(
        Code::RF015,
        evidence + "; refit downgrades only what is named",
        format!(
            "declare a version that is not older than what runs, or name the cluster: `--downgrade {}`",
            cluster.name
        ),
    )
}

/// Whether the control plane can go back to the cluster's version, and whether it may (`named`).
///
/// One minor at most: the storage version of an API does not change before a release knows both the
/// old one and the new one, so the minor before reads what is stored, and none before that is sure
/// to ([deprecation policy, rule 4b](https://kubernetes.io/docs/reference/using-api/deprecation-policy/)).
/// What an apiserver says itself of the oldest minor that it goes with comes first
/// ([KEP-4330](https://github.com/kubernetes/enhancements/tree/master/keps/sig-architecture/4330-compatibility-versions)).
pub(crate) fn check_back(
    cluster: &Cluster,
    state: &ClusterState,
    live: &BTreeSet<KubeVersion>,
    named: bool,
) -> Result<(), Blocker> {
    let target = &cluster.kubernetes.value;
    let Some(newest) = live.last().filter(|newest| is_newer(newest, target)) else {
        return Ok(());
    };
    let at = &cluster.kubernetes.at;
    let previous = newest.minor().previous();
    if !named {
        let evidence = format!("the control plane runs {newest}, newer than {target} ({at})");
        return Err(not_named(cluster, evidence));
    }
    if target.minor() < previous {
        return Err(Blocker::new(
            Code::RF015,
            format!(
                "the control plane runs {newest}, and {target} ({at}) is more than one minor older: only {previous} is sure to read what {} has stored",
                newest.minor()
            ),
            format!("declare a version of {previous} and go back to it first"),
        ));
    }
    match &state.serves {
        Some(serves) if target.minor() < serves.min_compatible => Err(Blocker::new(
            Code::RF015,
            format!(
                "the apiserver {} says that what it stores goes with {} and newer, not with {target} ({at})",
                serves.binary, serves.min_compatible
            ),
            "take `--min-compatibility-version` out of the apiserver's flags first",
        )),
        _ => Ok(()),
    }
}

/// The hops from `live` to the cluster's version; back only where that was asked for (`named`).
pub(crate) fn find(
    fleet: &Fleet,
    cluster: &Cluster,
    state: &ClusterState,
    live: &BTreeSet<KubeVersion>,
    named: bool,
) -> Result<Vec<Hop>, Blocker> {
    let target = &cluster.kubernetes.value;
    let (Some(oldest), Some(newest)) = (live.first(), live.last()) else {
        return Err(Blocker::new(
            Code::RF011,
            "no instance of the control plane was seen",
            "check `auto-scaling-groups` of the control plane",
        ));
    };
    if !skew::api_servers_fit(oldest.minor(), newest.minor()) {
        return Err(Blocker::new(
            Code::RF017,
            format!("apiservers run {oldest} and {newest}: they are more than one minor apart"),
            "bring them within one minor of each other by hand",
        ));
    }
    if is_newer(newest, target) {
        check_back(cluster, state, live, named)?;
        return Ok(vec![Hop { from: live.clone().into(), to: target.clone() }]);
    }
    if live.iter().all(|version| version.same_release(target)) {
        return Ok(Vec::new());
    }

    let mut hops = Vec::new();
    let mut from = Arc::new(live.clone());
    let mut reached = oldest.minor();
    // A hop that was left half done is finished first: its newer half says where it went.
    if newest.minor() > oldest.minor() && newest.minor() < target.minor() {
        hops.push(Hop { from, to: newest.clone() });
        from = BTreeSet::from([newest.clone()]).into();
        reached = newest.minor();
    } else if newest.minor() == target.minor() {
        reached = target.minor();
    }
    while reached < target.minor() {
        reached = reached.next();
        let to = if reached == target.minor() {
            target.clone()
        } else {
            fleet.newest_patch(reached).cloned().ok_or_else(|| Blocker {
                severity: Severity::Blocked,
                code: Code::RF016,
                part: None,
                evidence: format!("no version of {reached} is available on the way to {target}"),
                hint: format!("add a {reached} version to `available` of `[kubernetes]`"),
            })?
        };
        hops.push(Hop { from, to: to.clone() });
        from = BTreeSet::from([to]).into();
    }
    if hops.is_empty() {
        hops.push(Hop { from, to: target.clone() });
    }
    Ok(hops)
}
