//! The control plane's hops: minor by minor, the newest available patch in between.

use std::collections::BTreeSet;

use refit_model::{Cluster, Code, Fleet, KubeVersion, Severity, skew};

use crate::checks::Blocker;

/// One hop of a control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    /// What runs before: more than one version when an earlier hop was left half done.
    pub(crate) from: BTreeSet<KubeVersion>,
    /// What runs after.
    pub(crate) to: KubeVersion,
}

/// The hops from `live` to the cluster's version.
pub(crate) fn find(
    fleet: &Fleet,
    cluster: &Cluster,
    live: &BTreeSet<KubeVersion>,
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
    if newest > target && !newest.same_release(target) {
        return Err(Blocker::new(
            Code::RF015,
            format!(
                "the control plane runs {newest}, newer than {target} ({}); refit does not downgrade",
                cluster.kubernetes.at
            ),
            "declare a version that is not older than what runs",
        ));
    }
    if live.iter().all(|version| version.same_release(target)) {
        return Ok(Vec::new());
    }

    let mut hops = Vec::new();
    let mut from = live.clone();
    let mut reached = oldest.minor();
    // A hop that was left half done is finished first: its newer half says where it went.
    if newest.minor() > oldest.minor() && newest.minor() < target.minor() {
        hops.push(Hop { from, to: newest.clone() });
        from = BTreeSet::from([newest.clone()]);
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
        from = BTreeSet::from([to]);
    }
    if hops.is_empty() {
        hops.push(Hop { from, to: target.clone() });
    }
    Ok(hops)
}
