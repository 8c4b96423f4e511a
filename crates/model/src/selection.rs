//! Which clusters of a fleet a plan is about, and which of their parts.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fleet::glob;
use crate::{ChannelName, ClusterName};

/// The only kind of parts that a plan changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Only {
    /// Control planes.
    ControlPlane,
    /// Nodes of pools.
    Nodes,
    /// Add-ons.
    AddOns,
}

impl Only {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::ControlPlane, Self::Nodes, Self::AddOns];
}

impl fmt::Display for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ControlPlane => "control-plane",
            Self::Nodes => "nodes",
            Self::AddOns => "add-ons",
        })
    }
}

impl FromStr for Only {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|only| only.to_string() == text);
        known.ok_or_else(|| "write `control-plane`, `nodes` or `add-ons`".to_owned())
    }
}

/// Which clusters of a fleet a plan is about, and which of their parts. Without anything in it: all.
///
/// A cluster is taken when a name fits it (or none is given), its channel is named (or none is),
/// and nothing excludes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Selection {
    /// Names of clusters, with `*` for anything.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub clusters: BTreeSet<String>,
    /// Channels.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub channels: BTreeSet<ChannelName>,
    /// Names of clusters that are not taken, with `*` for anything.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exclude: BTreeSet<String>,
    /// The only kind of parts that is changed; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
}

impl Selection {
    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        let Self { clusters, channels, exclude, only } = self;
        clusters.is_empty() && channels.is_empty() && exclude.is_empty() && only.is_none()
    }

    /// Whether a cluster of that name and channel is taken.
    pub fn takes(&self, name: &ClusterName, channel: &ChannelName) -> bool {
        let named = |patterns: &BTreeSet<String>| patterns.iter().any(|p| Self::fits(p, name));
        (self.clusters.is_empty() || named(&self.clusters))
            && (self.channels.is_empty() || self.channels.contains(channel))
            && !named(&self.exclude)
    }

    /// Whether a pattern, in which `*` stands for anything, fits a name.
    pub fn fits(pattern: &str, name: &ClusterName) -> bool {
        glob(pattern.as_bytes(), name.as_str().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_channels_and_exclusions_narrow_each_other() {
        let set = |patterns: &[&str]| patterns.iter().map(|text| (*text).to_owned()).collect();
        let takes = |selection: &Selection, name: &str, channel: &str| {
            selection.takes(&name.parse().unwrap(), &channel.parse().unwrap())
        };
        let all = Selection::default();
        assert!(all.is_everything() && takes(&all, "eu-1", "dev"));

        let some = Selection {
            clusters: set(&["eu-*", "us-1"]),
            channels: BTreeSet::from(["stable".parse().unwrap()]),
            exclude: set(&["*-9"]),
            only: None,
        };
        assert!(!some.is_everything());
        assert!(takes(&some, "eu-1", "stable") && takes(&some, "us-1", "stable"));
        assert!(!takes(&some, "us-10", "stable"), "a name fits as a whole");
        assert!(!takes(&some, "eu-1", "dev") && !takes(&some, "eu-9", "stable"));

        let others = Selection { exclude: set(&["eu-1"]), ..Selection::default() };
        assert!(takes(&others, "eu-2", "dev") && !takes(&others, "eu-1", "dev"));
    }
}
