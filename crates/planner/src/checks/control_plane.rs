//! Checks of the control plane, before a hop replaces its instances one by one.

use refit_model::{Cluster, ClusterState, Code, EtcdLayout, RollTag, Severity};

use super::Blocker;
use crate::hops::Hop;

/// Whether the control plane can be worked on.
pub(crate) fn control_plane(
    cluster: &Cluster,
    state: &ClusterState,
    hops: &[Hop],
    instances: u32,
) -> Vec<Blocker> {
    if hops.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for member in &state.control_plane {
        if member.api_server.is_none() {
            found.push(
                Blocker::new(
                    Code::RF011,
                    format!("the apiserver of instance {} does not answer", member.instance),
                    "bring it back before the upgrade",
                )
                .of("control-plane"),
            );
        }
        if member.etcd_ready == Some(false) {
            found.push(
                Blocker::new(
                    Code::RF024,
                    format!("the etcd member of instance {} is not Ready", member.instance),
                    "bring it back before the upgrade",
                )
                .of("control-plane"),
            );
        }
    }
    found.extend(quorum(cluster, state));
    if instances == 1 {
        found.push(
            Blocker::new(
                Code::RF022,
                "has a single instance: the API is away while it is replaced",
                "",
            )
            .of("control-plane")
            .weighing(Severity::Warning),
        );
    } else if !cluster.control_plane.local_api {
        found.push(
            Blocker::new(
                Code::RF023,
                "with `local-api = false` a new instance's kubelet would reach older apiservers, and a kubelet is never newer than an apiserver",
                "only layouts with `local-api = true` can be rolled by image",
            )
            .of("control-plane"),
        );
    }
    found
}

/// Returns a finding if etcd has too few members for one of them to be away: a hop takes each member
/// away once, and without a quorum etcd serves neither reads nor writes, so that the API is down
/// ([failure tolerance](https://etcd.io/docs/v3.5/faq/#what-is-failure-tolerance)).
///
/// A control plane with a single instance is announced as such (RF022). A member that is missing
/// because a run of refit is replacing it at the moment is waited for by that run.
fn quorum(cluster: &Cluster, state: &ClusterState) -> Option<Blocker> {
    match cluster.control_plane.etcd {
        EtcdLayout::Volumes => {}
        EtcdLayout::External => return None,
    }
    let groups = || cluster.control_plane.groups.iter().filter_map(|name| state.groups.get(name));
    let desired: u32 = groups().map(|group| group.desired).sum();
    let seen = state.control_plane.len();
    let members = seen.max(usize::try_from(desired).unwrap_or(usize::MAX));
    let quorum = members / 2 + 1;
    let all_ready = state.control_plane.iter().all(|member| member.etcd_ready == Some(true));
    if members < 2 || !all_ready || seen > quorum {
        return None;
    }
    let blocker = if members == 2 {
        Blocker::new(
            Code::RF048,
            "has 2 etcd members, and the quorum needs both: the API would be down while either instance is replaced",
            "add a third control plane instance, wait until its etcd member is Ready, then plan again",
        )
    } else if groups().any(|group| group.tags.contains_key(RollTag::KEY)) {
        return None;
    } else {
        Blocker::new(
            Code::RF048,
            format!(
                "only {seen} of {members} etcd members are there, and the quorum is {quorum}: replacing one of them would cost it"
            ),
            "bring the missing instances back, wait until their etcd members are Ready, then plan again",
        )
    };
    Some(blocker.of("control-plane"))
}
