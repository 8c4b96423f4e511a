//! The vocabulary of refit.
//!
//! Every other crate speaks in these types: what users declare ([`Fleet`]), what
//! was seen ([`Snapshot`]), what is to be done ([`Plan`], [`Action`]), what an
//! action is made of ([`Op`]), what was written down while doing it
//! ([`JournalRecord`]) and what people are told ([`Finding`], [`RunEvent`]).
//!
//! The crate is pure. Nothing here reads a clock, a file or the environment, and
//! everything that is shown or written is ordered, so that the same inputs give
//! the same bytes.

mod accept;
mod action;
mod action_id;
mod addon;
mod call;
mod crd;
mod digest;
mod distinct;
mod durations;
mod event;
mod explanation;
mod finding;
mod fleet;
mod guard;
mod id;
mod journal;
mod limits;
mod listing;
mod nodes;
mod object;
mod op;
mod period;
mod plan;
mod quantity;
mod range;
mod report;
mod rules;
mod schedule;
mod selection;
pub mod skew;
mod snapshot;
mod support;
mod text;
mod version;

pub use accept::{Acceptance, Day, InvalidCode, InvalidDay};
pub use action::{
    Action, ActionKind, Because, Bounds, Edge, ImagePin, ImagePins, Reversibility, RollCause, Why,
};
pub use action_id::ActionId;
pub use addon::{Addon, AddonRelease, Detection, Milestone, Placement};
pub use call::{CallError, ErrorClass, Scope};
pub use crd::{Crd, CrdMigration, CrdState, InvalidCrd, ObjectKey};
pub use digest::{Digest, digest_of};
pub use durations::{Durations, History, Measured, Span, Work};
pub use event::{Recap, RunEvent, RunEventKind, WaitingOn};
pub use explanation::{
    About, ActionExplanation, ActionRef, AddonChoice, Choice, ClusterExplanation, DeclaredVersion,
    EarlierWave, Explanation, Link, Lives, OtherVersion, Reason, Support, Wait, WaveExplanation,
    WayStep, WhyNot, WhyNotEarlier, WhyNotLater, WhyPatch,
};
pub use finding::{Code, Finding, Severity, Subject};
pub use fleet::{
    AddonTarget, AwsCluster, Channel, Cluster, ControlPlane, EndOfLife, EtcdLayout, Fleet,
    ImagePattern, ImagePolicy, Location, NodePool, Provider, RecordedRelease, Release,
    SimulatedStart, SimulatedWorkload, Target, UpdateStrategy, WaveSpec, WorkloadBudget,
};
pub use guard::{AddonMark, Precheck, StateGuard};
pub use id::{
    AddonName, ChannelName, ClusterName, FleetName, GroupName, ImageId, InstanceId, InvalidName,
    NodeName, PlanId, PoolName, ReleaseName, RunId, Zone,
};
pub use journal::{
    GivingUp, JournalRecord, OpResult, Outcome, Progress, Purpose, RecordKind, RunOutcome, Stop,
};
pub use limits::{Capped, Freeze, InvalidFreeze, MaxVersion, Written};
pub use listing::{
    ActiveFreeze, AddonListing, CatalogueVersions, ClusterList, ClusterSummary, FileProblem,
    FleetVersion, KubeletVersions, ListedAddon, PastRun, RunRecords, StateContents, StoredBlob,
    StoredRun, UsedApi,
};
pub use nodes::{NamedNodes, NodesByGroups};
pub use object::{Manifest, ManifestSet, ObjectRef, WorkloadRef, redact};
pub use op::{AddonOp, GroupOp, NodeOp, Op, OpId, PodKey, RollTag, Token};
pub use period::{InvalidPeriod, Period, whole_seconds};
pub use plan::{
    Actions, ClusterPlan, ClusterStatus, ParallelPools, Plan, PlanFileError, SavedPlan, WavePlan,
    readable,
};
pub use quantity::{IntOrPercent, InvalidQuantity};
pub use range::{InvalidRange, VersionRange};
pub use report::{
    ActionStanding, ActionState, ClusterStanding, LogLevel, LogLine, LogMessage, RunStatus,
};
pub use rules::RuleSource;
pub use schedule::Schedule;
pub use selection::{Only, Selection};
pub use snapshot::{
    AddonState, ApplySetParent, BudgetState, ClusterIdentity, ClusterState, ControlPlaneMember,
    DoNotEvict, FieldDrift, ForeignCopy, GroupState, ImageState, InstanceState, KubeProxy,
    LeaseState, Lifecycle, LifecycleHook, NodeState, Observation, PodOwner, PodState,
    RestartPolicy, ServedVersion, Snapshot, TargetHealth, UnhealthyPodEvictionPolicy,
    WorkloadState, ZonalVolume,
};
pub use support::{
    AddonFacts, ApiUse, Claim, Crossing, Known, NeededFrom, Origin, Policy, Served, Source,
    Suggestion,
};
pub use version::{AddonVersion, InvalidVersion, KubeVersion, Minor};

/// A point in time, UTC, as all of refit's files write it (RFC 3339).
pub use jiff::Timestamp;

/// A day of the calendar, as `2026-11-21`.
pub use jiff::civil::Date;
