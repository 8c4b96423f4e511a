//! The plan: the whole way from what runs to what should run, frozen for review.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Action, ActionId, ChannelName, ClusterIdentity, ClusterName, Digest, Durations, Edge, Finding,
    FleetName, KubeVersion, Minor, Period, PlanId, PoolName, ReleaseName, Selection, Timestamp,
    digest_of,
};

/// A plan. It is an approval envelope: applying it may do less and never more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Plan {
    /// The fleet.
    pub fleet: FleetName,
    /// The version of refit that made it.
    pub made_with: String,
    /// When the snapshot was taken that it was made from.
    pub taken_at: Timestamp,
    /// The time that freezes and ends of maintenance were held against, if not when the snapshot
    /// was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<Timestamp>,
    /// Of the files that it was made from.
    pub config_digest: Digest,
    /// Of the snapshot that it was made from.
    pub snapshot_digest: Digest,
    /// Which clusters it is about, if not the whole fleet.
    #[serde(default, skip_serializing_if = "Selection::is_everything")]
    pub selection: Selection,
    /// The clusters of the fleet that it is not about.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left_out: BTreeSet<ClusterName>,
    /// The clusters that may go back to older versions: those that were named for it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub downgrade: BTreeSet<ClusterName>,
    /// Every cluster that was planned, by name.
    pub clusters: Vec<ClusterPlan>,
    /// The waves that have something to do, per channel in order.
    pub waves: Vec<WavePlan>,
    /// By id.
    pub actions: Actions,
    /// By ends. None of them follows from the others.
    pub edges: Vec<Edge>,
    /// Orders that follow from the edges, kept for their reasons. By ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub implied: Vec<Edge>,
    /// The heaviest first.
    pub findings: Vec<Finding>,
    /// How long the plan may be expected to take, with as many clusters and pools at once as the files
    /// allow.
    pub critical_path: Period,
    /// What work of the plan's kinds took in earlier runs; since format 1.1.
    #[serde(default, skip_serializing_if = "Durations::is_empty")]
    pub measured: Durations,
}

/// Actions of a plan. They are large, and sorted by id: each stays where it was made, beside the others
/// of its cluster, and only its place is moved.
pub type Actions = Vec<Box<Action>>;

impl Plan {
    /// The digest of everything in the plan.
    pub fn digest(&self) -> Digest {
        digest_of(self)
    }

    /// The first 12 characters of the digest.
    pub fn id(&self) -> PlanId {
        PlanId::of(&self.digest())
    }

    /// The action of that id. Actions are ordered by id.
    pub fn action(&self, id: &ActionId) -> Option<&Action> {
        let index = self.actions.binary_search_by(|action| action.id.cmp(id)).ok()?;
        self.actions.get(index).map(Box::as_ref)
    }

    /// The plan for that cluster. Clusters are ordered by name.
    pub fn cluster(&self, name: &ClusterName) -> Option<&ClusterPlan> {
        let index = self.clusters.binary_search_by(|cluster| cluster.name.cmp(name)).ok()?;
        self.clusters.get(index)
    }

    /// The time that freezes are held against.
    pub fn held_against(&self) -> Timestamp {
        self.now.unwrap_or(self.taken_at)
    }

    /// Whether some cluster cannot be planned.
    pub fn is_blocked(&self) -> bool {
        self.clusters.iter().any(|cluster| cluster.status == ClusterStatus::Blocked)
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }
}

impl PlanId {
    /// The id of a plan of that digest.
    pub fn of(digest: &Digest) -> Self {
        digest.short().parse().expect("a digest is a valid id")
    }
}

/// Where a cluster stands in a plan.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterStatus {
    /// There is something to do.
    Planned,
    /// It is what the files say.
    UpToDate,
    /// Its file freezes it; nothing is planned for it, but to tidy up after a run that did not
    /// end.
    Frozen,
    /// A finding blocks it; nothing is planned for it, but to tidy up after a run that did not
    /// end.
    Blocked,
}

/// One cluster of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClusterPlan {
    /// Its name.
    pub name: ClusterName,
    /// Its channel.
    pub channel: ChannelName,
    /// The release that its channel carries.
    pub release: ReleaseName,
    /// Which cluster this really is; none when it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<ClusterIdentity>,
    /// Where it stands.
    pub status: ClusterStatus,
    /// What its apiservers run.
    pub from: BTreeSet<KubeVersion>,
    /// What it should run.
    pub to: KubeVersion,
    /// How its pools may be rolled at once, if they may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_pools: Option<ParallelPools>,
    /// What the kubelets of the nodes run that the plan leaves as they are: those of pools that it
    /// does not roll, and those of no pool. Empty where nothing is planned.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub kubelets_that_stay: BTreeSet<Minor>,
}

/// How a cluster's pools are rolled at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ParallelPools {
    /// So many at most, always more than one.
    pub at_once: u32,
    /// In this order they begin.
    pub order: Vec<PoolName>,
}

/// A wave of a channel, as far as its clusters have something to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WavePlan {
    /// The channel.
    pub channel: ChannelName,
    /// From 1.
    pub wave: u32,
    /// Its clusters that have something to do.
    pub clusters: BTreeSet<ClusterName>,
    /// How many of the channel's clusters may be worked on at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel_clusters: Option<u32>,
    /// After how many failed clusters no further cluster of the wave starts. Those that cannot be
    /// planned are counted already: it is what the channel allows without them.
    pub max_failed_clusters: u32,
}

/// A plan as a file: with its format, its id and the digest that shows damage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SavedPlan {
    /// The version of this file format.
    pub format_version: String,
    /// The first 12 characters of the digest.
    pub id: PlanId,
    /// Of the plan.
    pub digest: Digest,
    /// The plan.
    pub plan: Plan,
}

/// Why a saved plan is not one that can be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// It is not JSON, or not a plan.
    #[error("this is not a plan of refit")]
    NotAPlan(#[source] serde_json::Error),
    /// Another major version, or a newer minor one.
    #[error(
        "the plan has format {found}; this refit reads format {} and older minors",
        SavedPlan::FORMAT
    )]
    Format {
        /// The version in the file.
        found: String,
    },
    /// The digest does not fit.
    #[error("the plan is damaged or was edited: its digest should be {expected}, and is {found}")]
    Damaged {
        /// What the file says.
        expected: PlanId,
        /// What its content has.
        found: PlanId,
    },
}

impl SavedPlan {
    /// The version that this code writes. A reader takes the same major and no newer minor.
    pub const FORMAT: &str = "1.4";

    /// Wraps a plan.
    pub fn new(plan: Plan) -> Self {
        let digest = plan.digest();
        Self { format_version: Self::FORMAT.to_owned(), id: PlanId::of(&digest), digest, plan }
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a plan has only string keys");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a file: refuses what is no plan, what a newer refit wrote, and what is damaged.
    ///
    /// # Errors
    /// See [`PlanFileError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PlanFileError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Head {
            format_version: String,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(PlanFileError::NotAPlan)?;
        if !readable(&head.format_version, Self::FORMAT) {
            return Err(PlanFileError::Format { found: head.format_version });
        }
        let saved: Self = serde_json::from_slice(bytes).map_err(PlanFileError::NotAPlan)?;
        let digest = saved.plan.digest();
        let found = PlanId::of(&digest);
        if digest != saved.digest || saved.id != found {
            return Err(PlanFileError::Damaged { expected: saved.id, found });
        }
        Ok(saved)
    }
}

/// Whether a reader of format `ours` can read `found`: the same major, no newer minor.
pub fn readable(found: &str, ours: &str) -> bool {
    let parse = |text: &str| {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    match (parse(found), parse(ours)) {
        (Some(found), Some(ours)) => found.0 == ours.0 && found.1 <= ours.1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Plan {
        Plan {
            fleet: "acme".parse().unwrap(),
            made_with: "0.1.0".into(),
            taken_at: "2026-11-02T09:00:00Z".parse().unwrap(),
            now: None,
            config_digest: Digest::of_bytes(b"a"),
            snapshot_digest: Digest::of_bytes(b"b"),
            selection: Selection::default(),
            left_out: BTreeSet::new(),
            downgrade: BTreeSet::new(),
            clusters: Vec::new(),
            waves: Vec::new(),
            actions: Vec::new(),
            edges: Vec::new(),
            implied: Vec::new(),
            findings: Vec::new(),
            critical_path: Period::ZERO,
            measured: Durations::default(),
        }
    }

    #[test]
    fn a_saved_plan_comes_back() {
        let saved = SavedPlan::new(empty());
        assert_eq!(SavedPlan::from_bytes(&saved.to_bytes()).unwrap(), saved);
    }

    #[test]
    fn damage_and_newer_formats_are_refused() {
        let text = String::from_utf8(SavedPlan::new(empty()).to_bytes()).unwrap();
        let edited = text.replace("acme", "acne");
        assert!(matches!(
            SavedPlan::from_bytes(edited.as_bytes()),
            Err(PlanFileError::Damaged { .. })
        ));
        let newer = text.replace("\"format-version\": \"1.4\"", "\"format-version\": \"1.5\"");
        assert!(matches!(
            SavedPlan::from_bytes(newer.as_bytes()),
            Err(PlanFileError::Format { found }) if found == "1.5"
        ));
        let cut = &text.as_bytes()[..text.len() / 2];
        assert!(matches!(SavedPlan::from_bytes(cut), Err(PlanFileError::NotAPlan(_))));
    }

    #[test]
    fn plans_of_earlier_formats_are_read() {
        // They have no `measured` and no `kubelets-that-stay`, and a plan without them has the digest
        // that it had then.
        let text = String::from_utf8(SavedPlan::new(empty()).to_bytes()).unwrap();
        assert!(!text.contains("measured") && !text.contains("kubelets-that-stay"));
        for format in ["1.0", "1.1", "1.2", "1.3"] {
            let now = "\"format-version\": \"1.4\"";
            let older = text.replace(now, &format!("\"format-version\": \"{format}\""));
            assert_ne!(older, text);
            assert_eq!(SavedPlan::from_bytes(older.as_bytes()).unwrap().plan, empty());
        }
    }

    #[test]
    fn readers_take_older_minors_only() {
        assert!(readable("1.0", "1.2") && readable("1.2", "1.2"));
        assert!(!readable("1.3", "1.2") && !readable("2.0", "1.2") && !readable("x", "1.2"));
    }
}
