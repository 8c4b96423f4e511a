//! What every finding's code stands for, and whose rule that is.

use crate::Code;
use crate::skew::SkewRule;

/// Whose rule something is: where it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleSource {
    /// Its name.
    pub name: &'static str,
    /// An address; within refit's documents a path from `docs/reference`.
    pub link: &'static str,
}

const fn source(name: &'static str, link: &'static str) -> RuleSource {
    RuleSource { name, link }
}

const SKEW: RuleSource =
    source("version skew policy", "https://kubernetes.io/releases/version-skew-policy/");
const DISRUPTIONS: RuleSource =
    source("disruptions", "https://kubernetes.io/docs/concepts/workloads/pods/disruptions/");
const EVICTION: RuleSource = source(
    "API-initiated eviction",
    "https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/",
);
const DRAIN: RuleSource = source(
    "draining a node",
    "https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/",
);
const ETCD: RuleSource = source(
    "operating etcd",
    "https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/",
);
const TOPOLOGY: RuleSource = source(
    "options for HA topology",
    "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/ha-topology/",
);
const DEPRECATION: RuleSource = source(
    "deprecated API migration guide",
    "https://kubernetes.io/docs/reference/using-api/deprecation-guide/",
);
const PATCHES: RuleSource =
    source("patch releases", "https://kubernetes.io/releases/patch-releases/");
const EMULATION: RuleSource = source(
    "KEP-4330",
    "https://github.com/kubernetes/enhancements/tree/master/keps/sig-architecture/4330-compatibility-versions",
);
const STORED: RuleSource = source(
    "versions in CustomResourceDefinitions",
    "https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/",
);
const ZONES: RuleSource = source(
    "storage classes: allowed topologies",
    "https://kubernetes.io/docs/concepts/storage/storage-classes/#allowed-topologies",
);
const APPLY: RuleSource = source(
    "server-side apply",
    "https://kubernetes.io/docs/reference/using-api/server-side-apply/",
);
const PROCESSES: RuleSource = source(
    "Auto Scaling: scaling processes",
    "https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html",
);
const HOOKS: RuleSource = source(
    "Auto Scaling: lifecycle hooks",
    "https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html",
);
const AGGREGATION: RuleSource = source(
    "API aggregation",
    "https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/",
);
const ADD_ON: RuleSource = source("the add-on: its file, or the catalogue", "catalogue.md");
const FILES: RuleSource = source("the files of the fleet", "files.md");
const PLANNING: RuleSource = source("how the planner thinks", "../concepts/planning.md");
const VERIFIER: RuleSource = source("the verifier", "../design/0004-verifier-by-pairs.md");

impl SkewRule {
    /// All rules of the policy that refit keeps.
    pub const ALL: [Self; 6] = [
        Self::ApiServers,
        Self::MinorByMinor,
        Self::Kubelet,
        Self::KubeProxy,
        Self::KubeProxyAndKubelet,
        Self::Controllers,
    ];

    /// Where these rules are written down.
    pub const SOURCE: RuleSource = SKEW;
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 59] = [
        Self::RF001,
        Self::RF002,
        Self::RF003,
        Self::RF004,
        Self::RF005,
        Self::RF006,
        Self::RF007,
        Self::RF008,
        Self::RF009,
        Self::RF010,
        Self::RF011,
        Self::RF012,
        Self::RF013,
        Self::RF014,
        Self::RF015,
        Self::RF016,
        Self::RF017,
        Self::RF018,
        Self::RF019,
        Self::RF020,
        Self::RF021,
        Self::RF022,
        Self::RF023,
        Self::RF024,
        Self::RF025,
        Self::RF026,
        Self::RF027,
        Self::RF028,
        Self::RF029,
        Self::RF030,
        Self::RF031,
        Self::RF032,
        Self::RF033,
        Self::RF034,
        Self::RF035,
        Self::RF036,
        Self::RF037,
        Self::RF038,
        Self::RF039,
        Self::RF040,
        Self::RF041,
        Self::RF042,
        Self::RF043,
        Self::RF044,
        Self::RF045,
        Self::RF046,
        Self::RF047,
        Self::RF048,
        Self::RF049,
        Self::RF050,
        Self::RF051,
        Self::RF052,
        Self::RF053,
        Self::RF054,
        Self::RF055,
        Self::RF056,
        Self::RF057,
        Self::RF058,
        Self::RF059,
    ];

    /// What it stands for, as the documentation heads it.
    pub fn title(self) -> &'static str {
        match self {
            Self::RF001 => "A cluster could not be read",
            Self::RF002 => "The snapshot has no such cluster",
            Self::RF003 => "Two clusters of the files are the same cluster",
            Self::RF004 => "A node of no declared pool blocks a hop",
            Self::RF005 => "A declared Auto Scaling group does not exist",
            Self::RF006 => "A group uses a feature that refit does not roll",
            Self::RF007 => "No image for a version",
            Self::RF008 => "A newer image of the same version exists",
            Self::RF009 => "A group launches nodes that are newer than the control plane",
            Self::RF010 => "No room to surge and nothing may be unavailable",
            Self::RF011 => "The control plane is not in a state that an upgrade can start from",
            Self::RF012 => "A PodDisruptionBudget never allows an eviction",
            Self::RF013 => "A pod is selected by more than one PodDisruptionBudget",
            Self::RF014 => "A pod that nobody replaces would be lost",
            Self::RF015 => "A live version is newer than the declared one",
            Self::RF016 => "No version between two minors is available",
            Self::RF017 => "The skew policy is broken already",
            Self::RF018 => "No version of an add-on supports a hop",
            Self::RF019 => "An add-on's requirement is not met on the way",
            Self::RF020 => "A foreign copy of an add-on has a manager that still writes",
            Self::RF021 => "An add-on's fields were changed by hand",
            Self::RF022 => "The control plane has a single instance",
            Self::RF023 => "An HA roll by image is not possible",
            Self::RF024 => "An etcd member is not Ready",
            Self::RF025 => "A later wave waits for a blocked cluster",
            Self::RF026 => "Order constraints exclude each other",
            Self::RF027 => "The verifier refuses the plan",
            Self::RF028 => "kube-proxy runs as a DaemonSet that no add-on owns",
            Self::RF029 => "A pod's volume has nowhere to go",
            Self::RF030 => "A pool has no node",
            Self::RF031 => "An add-on uses an API that a minor does not serve",
            Self::RF032 => "The maintenance of a declared minor ends",
            Self::RF033 => "An add-on was not tested with a minor",
            Self::RF034 => "What decided which minors an add-on supports",
            Self::RF035 => "An add-on is not supported during a hop",
            Self::RF036 => "An apiserver emulates an older minor",
            Self::RF037 => "An add-on's objects could not be read",
            Self::RF038 => "A lifecycle hook may hold an instance longer than the roll waits",
            Self::RF039 => "A stored version would be dropped",
            Self::RF040 => "A wave that comes first is left out, and is not done",
            Self::RF041 => "A cluster is frozen",
            Self::RF042 => "A cluster does not go to its release's version",
            Self::RF043 => "Nodes that are replaced when somebody deletes them are old",
            Self::RF044 => "No step to a version is allowed",
            Self::RF045 => "Add-ons that cannot live together would meet on the way",
            Self::RF046 => "Add-ons are bound to each other in too many ways",
            Self::RF047 => "Parts that a plan is not about are left undone",
            Self::RF048 => "Replacing a control-plane instance would cost etcd its quorum",
            Self::RF049 => "A scaling process that a roll needs is suspended",
            Self::RF050 => "A PodDisruptionBudget allows no eviction until more pods are healthy",
            Self::RF051 => "Nodes are not Ready or cordoned before the start",
            Self::RF052 => "An instance in service is no node of the cluster",
            Self::RF053 => "Pods are terminating or volumes detaching before the start",
            Self::RF054 => "A roll surges less than its pool declares",
            Self::RF055 => "An add-on moves past a version that asks for work by hand",
            Self::RF056 => "A later channel gets a version before all earlier ones",
            Self::RF057 => "Pods that run to completion or ask not to be evicted are evicted",
            Self::RF058 => "A release has changed since it was first applied",
            Self::RF059 => "An acceptance matches no finding",
        }
    }

    /// Where the rule behind it is written down; none: something could not be read.
    pub fn source(self) -> Option<RuleSource> {
        Some(match self {
            Self::RF001 | Self::RF002 | Self::RF003 | Self::RF030 => return None,
            Self::RF004
            | Self::RF009
            | Self::RF011
            | Self::RF015
            | Self::RF016
            | Self::RF017
            | Self::RF023
            | Self::RF028 => SKEW,
            Self::RF005
            | Self::RF007
            | Self::RF008
            | Self::RF010
            | Self::RF025
            | Self::RF026
            | Self::RF040
            | Self::RF041
            | Self::RF042
            | Self::RF043
            | Self::RF047
            | Self::RF054
            | Self::RF056
            | Self::RF058
            | Self::RF059 => FILES,
            Self::RF006 | Self::RF049 | Self::RF052 => PROCESSES,
            Self::RF012 | Self::RF050 => DISRUPTIONS,
            Self::RF013 => EVICTION,
            Self::RF014 | Self::RF051 | Self::RF053 | Self::RF057 => DRAIN,
            Self::RF018
            | Self::RF019
            | Self::RF033
            | Self::RF034
            | Self::RF035
            | Self::RF044
            | Self::RF045
            | Self::RF055 => ADD_ON,
            Self::RF020 | Self::RF021 => APPLY,
            Self::RF022 => TOPOLOGY,
            Self::RF024 | Self::RF048 => ETCD,
            Self::RF027 => VERIFIER,
            Self::RF029 => ZONES,
            Self::RF031 => DEPRECATION,
            Self::RF032 => PATCHES,
            Self::RF036 => EMULATION,
            Self::RF037 => AGGREGATION,
            Self::RF038 => HOOKS,
            Self::RF039 => STORED,
            Self::RF046 => PLANNING,
        })
    }
}
