//! What is known of an add-on's version beside its files: who said which minors it supports,
//! what its project publishes, and which of the APIs that it uses come and go.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AddonVersion, Location, Minor, ObjectRef, VersionRange};

/// Who says something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A file of the fleet.
    File(Location),
    /// refit's own catalogue.
    Catalogue(Source),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(at) => at.fmt(f),
            Self::Catalogue(source) => write!(f, "the catalogue ({source})"),
        }
    }
}

/// Where a fact of the catalogue was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Source {
    /// The repository, file and revision.
    pub from: String,
    /// When, as `2026-11-21`.
    pub read: String,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.from, self.read)
    }
}

/// What kind of statement a project makes about the minors that an add-on runs on.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// A version serves the minor that it is numbered after.
    MatchMinor,
    /// Kubernetes' own version skew policy.
    Skew,
    /// A lowest minor, and no highest.
    Minimum,
    /// A lowest and a highest minor for each version.
    Matrix,
    /// The minors that a version was tested with; beyond them nothing is promised, and nothing
    /// is excluded.
    Tested,
    /// A version that is installed with each minor; no limit.
    Recommendation,
    /// An API of the cloud answers, for the account that asks.
    PublishedByApi,
    /// Every minor that is supported itself.
    AnySupported,
    /// Nothing is published.
    NonePublished,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::MatchMinor => "match-minor",
            Self::Skew => "skew",
            Self::Minimum => "minimum",
            Self::Matrix => "matrix",
            Self::Tested => "tested",
            Self::Recommendation => "recommendation",
            Self::PublishedByApi => "published-by-api",
            Self::AnySupported => "any-supported",
            Self::NonePublished => "none-published",
        })
    }
}

/// What the catalogue says of one version of an add-on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Claim {
    /// The kind of statement.
    pub policy: Policy,
    /// The apiservers that it runs on; any, where nothing limits it.
    pub kubernetes: VersionRange<Minor>,
    /// The kubelets that it runs beside; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubelets: Option<VersionRange<Minor>>,
    /// The minors that it was tested with; empty: nobody says.
    pub tested: BTreeSet<Minor>,
    /// The statement in words, where there is no limit to show; may be empty.
    pub says: String,
    /// Where it was read.
    pub source: Source,
}

/// A version of an add-on that the catalogue knows and the fleet has no manifests of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// A version, or the versions that it stands for.
    pub versions: String,
    /// The apiservers that it runs on.
    pub kubernetes: VersionRange<Minor>,
}

/// What is known of a version of an add-on beside its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Who decided which minors it supports; none: the fleet was not read from files.
    pub decided_by: Option<Origin>,
    /// What the catalogue says of it; none: it does not know the version.
    pub claim: Option<Claim>,
    /// The objects of its manifests whose API not every minor serves, in order.
    pub apis: Vec<ApiUse>,
}

/// What is known of an add-on as a whole, and not of one of its versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddonFacts {
    /// From which minor on clusters need it; `None` if there is no such minor.
    pub needed_from: Option<NeededFrom>,
    /// Versions that cannot be reached by applying manifests alone, ascending.
    pub crossings: Vec<Crossing>,
}

/// A minor that an add-on has to be installed before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededFrom {
    /// The first minor whose clusters need it.
    pub minor: Minor,
    /// Why, in words.
    pub why: String,
    /// Where it was read.
    pub source: Source,
}

/// A version of an add-on that asks for work by hand when the add-on moves to it, or past it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// The first version that asks for it.
    pub version: AddonVersion,
    /// What has to be done, in words.
    pub asks: String,
    /// Where it was read.
    pub source: Source,
}

/// An object, and when its API is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiUse {
    /// The object.
    pub object: ObjectRef,
    /// Where it was written.
    pub at: Location,
    /// When its API is served.
    pub served: Served,
}

impl fmt::Display for ApiUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, at, served: _ } = self;
        write!(f, "{object} ({at}) uses {}", object.api_version)
    }
}

/// From when to when apiservers serve an API
/// ([deprecation policy](https://kubernetes.io/docs/reference/using-api/deprecation-policy/)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Served {
    /// The first minor that serves it; none: older than every minor that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introduced: Option<Minor>,
    /// The minor that it is deprecated in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<Minor>,
    /// The first minor that does not serve it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Minor>,
    /// Whether that minor was not yet released when the source was read: such plans change, so
    /// they exclude nothing.
    pub planned: bool,
    /// The API to use instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// Where it was read.
    pub source: Source,
}

impl Served {
    /// The minors that serve it, as far as is settled.
    pub fn settled(&self) -> VersionRange<Minor> {
        VersionRange::from_to(self.introduced, self.removed.filter(|_| !self.planned))
    }

    /// Whether apiservers of this minor serve it, as far as is settled.
    pub fn is_in(&self, minor: Minor) -> bool {
        self.settled().contains(&minor)
    }

    /// Whether it is planned that apiservers of this minor do not serve it any more.
    pub fn may_be_gone_in(&self, minor: Minor) -> bool {
        self.planned && self.removed.is_some_and(|gone| gone <= minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_is_served_from_its_first_minor_to_the_one_before_its_removal() {
        let served = |planned| Served {
            introduced: Some(Minor::new(1, 21)),
            deprecated: None,
            removed: Some(Minor::new(1, 25)),
            planned,
            replacement: None,
            source: Source { from: String::new(), read: String::new() },
        };
        let minors = |is: &dyn Fn(Minor) -> bool| -> Vec<u16> {
            (18..28).filter(|minor| is(Minor::new(1, *minor))).collect()
        };
        assert_eq!(minors(&|minor| served(false).is_in(minor)), [21, 22, 23, 24]);
        assert_eq!(minors(&|minor| served(true).is_in(minor)), [21, 22, 23, 24, 25, 26, 27]);
        assert_eq!(minors(&|minor| served(true).may_be_gone_in(minor)), [25, 26, 27]);
        assert_eq!(minors(&|minor| served(false).may_be_gone_in(minor)), [] as [u16; 0]);
    }
}
