//! Guards: the state that an action expects, the state that it leaves, and the look that
//! tells them apart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AddonName, AddonState, AddonVersion, ApplySetParent, ClusterState, Digest, GroupName, ImageId,
    InstanceId, KubeVersion,
};

/// A condition on the live state of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StateGuard {
    /// Always holds: for actions on no cluster.
    Anything,
    /// Every instance of these groups runs one of these versions, and, where `images` names its
    /// group, that image.
    Machines {
        /// The groups.
        groups: Arc<BTreeSet<GroupName>>,
        /// What the kubelets, and the apiservers where there are some, may run.
        versions: Arc<BTreeSet<KubeVersion>>,
        /// The image that a group's instances must run; a group without any entry: whatever.
        images: BTreeMap<GroupName, ImageId>,
        /// Instances that must be gone.
        replaced: BTreeSet<InstanceId>,
    },
    /// These groups launch these images.
    Launches {
        /// The image by group.
        images: BTreeMap<GroupName, BTreeSet<ImageId>>,
    },
    /// The add-on is in one of these states.
    Addon {
        /// Which add-on.
        addon: AddonName,
        /// The states.
        any_of: Vec<AddonMark>,
    },
    /// Objects of these CustomResourceDefinitions are stored in no other versions than these.
    Stored {
        /// The add-on that they are of.
        addon: AddonName,
        /// The versions, by definition.
        crds: BTreeMap<String, BTreeSet<String>>,
    },
}

/// The state of an add-on, as far as a guard asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AddonMark {
    /// It is not there.
    Absent,
    /// These manifests were applied whole, and every field that refit set has its value.
    At {
        /// The version.
        version: AddonVersion,
        /// Of the manifests.
        digest: Digest,
    },
    /// These manifests were applied, and somebody changed a field since.
    Drifted {
        /// The version.
        version: AddonVersion,
        /// Of the manifests.
        digest: Digest,
    },
    /// Somebody else installed it.
    Foreign {
        /// By its image tag.
        version: String,
    },
}

impl fmt::Display for AddonMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::At { version, digest } => write!(f, "{version} ({digest:.12})"),
            Self::Drifted { version, digest } => {
                write!(f, "{version} ({digest:.12}), changed by hand")
            }
            Self::Foreign { version } => {
                write!(f, "a copy of {version} that refit did not install")
            }
        }
    }
}

/// What a look before an action says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precheck {
    /// The state is already what the action would leave.
    AlreadySatisfied,
    /// The state is what the action expects, or lies between that and what it would leave.
    Ready,
    /// The state is another one: the world moved since the plan was made.
    Conflict {
        /// What the action expects.
        expected: String,
        /// What is there.
        found: String,
    },
}

impl StateGuard {
    /// The guard for one add-on in one state.
    pub fn addon(addon: &AddonName, mark: AddonMark) -> Self {
        Self::Addon { addon: addon.clone(), any_of: vec![mark] }
    }

    /// Looks at the live state: is it as `expect` says, already as `ensure` says, on the way
    /// between them, or somewhere else?
    pub fn precheck(expect: &Self, ensure: &Self, live: &ClusterState) -> Precheck {
        let misfits = ensure.misfits(live);
        if misfits.is_empty() {
            return Precheck::AlreadySatisfied;
        }
        // Whatever does not yet fit the end must still fit the beginning: half done is fine.
        let foreign: Vec<&Misfit> =
            misfits.iter().filter(|misfit| !expect.admits(misfit)).collect();
        match foreign.first() {
            None => Precheck::Ready,
            Some(first) => Precheck::Conflict {
                expected: expect.to_string(),
                found: match foreign.len() {
                    1 => first.to_string(),
                    more => format!("{first} and {} more", more - 1),
                },
            },
        }
    }

    /// Whether the live state is what the guard says.
    pub fn holds(&self, live: &ClusterState) -> bool {
        self.misfits(live).is_empty()
    }

    fn misfits(&self, live: &ClusterState) -> Vec<Misfit> {
        match self {
            Self::Anything => Vec::new(),
            Self::Machines { groups, versions, images, replaced } => {
                machine_misfits(live, groups, versions, images, replaced)
            }
            Self::Launches { images } => launch_misfits(live, images),
            Self::Addon { addon, any_of } => {
                let mark = AddonMark::of(live, addon);
                if any_of.contains(&mark) { Vec::new() } else { vec![Misfit::Addon(mark)] }
            }
            Self::Stored { addon, crds } => stored_misfits(live, addon, crds),
        }
    }

    fn admits(&self, misfit: &Misfit) -> bool {
        match (self, misfit) {
            (Self::Anything, _) => true,
            (Self::Machines { versions, .. }, Misfit::Machine { strange, .. }) => {
                strange.iter().all(|found| versions.iter().any(|v| v.same_release(found)))
            }
            (Self::Launches { images }, Misfit::Launch { group, image }) => images
                .get(group)
                .zip(image.as_ref())
                .is_some_and(|(images, image)| images.contains(image)),
            (Self::Addon { any_of, .. }, Misfit::Addon(mark)) => any_of.contains(mark),
            (Self::Stored { crds, .. }, Misfit::Stored { crd, versions }) => {
                crds.get(crd).is_some_and(|expected| versions.is_subset(expected))
            }
            _ => false,
        }
    }
}

/// A part of the live state that is not what a guard says.
#[derive(Debug)]
enum Misfit {
    Missing {
        group: GroupName,
    },
    Machine {
        instance: InstanceId,
        versions: BTreeSet<KubeVersion>,
        /// Those of them that the guard does not say: none where a part is not up yet.
        strange: BTreeSet<KubeVersion>,
    },
    Launch {
        group: GroupName,
        image: Option<ImageId>,
    },
    Addon(AddonMark),
    Stored {
        crd: String,
        versions: BTreeSet<String>,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { group } => write!(f, "Auto Scaling group `{group}` does not exist"),
            Self::Machine { instance, versions, .. } => {
                write!(f, "instance {instance} runs {}", join(versions, "nothing yet"))
            }
            Self::Launch { group, image: Some(image) } => {
                write!(f, "Auto Scaling group `{group}` launches {image}")
            }
            Self::Launch { group, image: None } => {
                write!(f, "Auto Scaling group `{group}` launches an unknown image")
            }
            Self::Addon(mark) => mark.fmt(f),
            Self::Stored { crd, versions } => {
                write!(f, "objects of {crd} are stored in {}", join(versions, "no version"))
            }
        }
    }
}

/// A definition that is not there has nothing stored.
fn stored_misfits(
    live: &ClusterState,
    addon: &AddonName,
    crds: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<Misfit> {
    let seen = live.addons.get(addon).map(|addon| &addon.crds);
    let misfit = |(crd, wanted): (&String, &BTreeSet<String>)| {
        let stored = &seen?.get(crd)?.stored;
        let misfit = || Misfit::Stored { crd: crd.clone(), versions: stored.clone() };
        (!stored.is_subset(wanted)).then(misfit)
    };
    crds.iter().filter_map(misfit).collect()
}

fn machine_misfits(
    live: &ClusterState,
    groups: &BTreeSet<GroupName>,
    versions: &BTreeSet<KubeVersion>,
    images: &BTreeMap<GroupName, ImageId>,
    replaced: &BTreeSet<InstanceId>,
) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    for name in groups {
        let Some(group) = live.groups.get(name) else {
            misfits.push(Misfit::Missing { group: name.clone() });
            continue;
        };
        for instance in &group.instances {
            let node = live.node_of(&instance.id).map(|(_, node)| node);
            let member = live.control_plane.iter().find(|member| member.instance == instance.id);
            let mut found: BTreeSet<KubeVersion> = BTreeSet::new();
            found.extend(node.map(|node| node.kubelet.clone()));
            found.extend(member.and_then(|member| member.api_server.clone()));
            let is_strange = |found: &&KubeVersion| !versions.iter().any(|v| v.same_release(found));
            let strange: BTreeSet<KubeVersion> = found.iter().filter(is_strange).cloned().collect();
            let version_fits = node.is_some()
                && member.is_none_or(|member| member.api_server.is_some())
                && strange.is_empty();
            let image_fits = images.get(name).is_none_or(|image| *image == instance.image);
            if !version_fits || !image_fits || replaced.contains(&instance.id) {
                let instance = instance.id.clone();
                misfits.push(Misfit::Machine { instance, versions: found, strange });
            }
        }
    }
    misfits
}

fn launch_misfits(
    live: &ClusterState,
    images: &BTreeMap<GroupName, BTreeSet<ImageId>>,
) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    for (name, wanted) in images {
        match live.groups.get(name) {
            None => misfits.push(Misfit::Missing { group: name.clone() }),
            Some(group) => {
                let image = group.image();
                if !image.is_some_and(|image| wanted.contains(image)) {
                    misfits.push(Misfit::Launch { group: name.clone(), image: image.cloned() });
                }
            }
        }
    }
    misfits
}

impl AddonMark {
    /// The state of the add-on in the cluster.
    pub fn of(live: &ClusterState, addon: &AddonName) -> Self {
        live.addons.get(addon).map_or(Self::Absent, Self::of_state)
    }

    /// The state of an add-on that was seen.
    pub fn of_state(seen: &AddonState) -> Self {
        let AddonState { parent, foreign, drift, .. } = seen;
        match (parent.clone(), foreign) {
            (Some(ApplySetParent { version, digest }), _) if drift.is_empty() => {
                Self::At { version, digest }
            }
            (Some(ApplySetParent { version, digest }), _) => Self::Drifted { version, digest },
            (None, Some(copy)) => Self::Foreign { version: copy.version.clone() },
            (None, None) => Self::Absent,
        }
    }
}

fn join(items: impl IntoIterator<Item: fmt::Display>, none: &str) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { none.to_owned() } else { items.join(" or ") }
}

impl fmt::Display for StateGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anything => f.write_str("anything"),
            Self::Machines { versions, .. } => {
                write!(f, "instances that run {}", join(&**versions, "nothing"))
            }
            Self::Launches { images } => {
                let all: BTreeSet<&ImageId> = images.values().flatten().collect();
                write!(f, "Auto Scaling groups that launch {}", join(&all, "nothing"))
            }
            Self::Addon { any_of, .. } => f.write_str(&join(any_of, "nothing")),
            Self::Stored { crds, .. } => {
                let each = crds.iter().map(|(crd, versions)| {
                    format!("objects of {crd} stored in {}", join(versions, "no version"))
                });
                f.write_str(&each.collect::<Vec<_>>().join("; "))
            }
        }
    }
}
