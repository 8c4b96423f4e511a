//! Names and identifiers, one type each, so that a pool cannot be taken for a group.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;

use crate::text::as_text;

/// A name that is empty, too long, or has a character that does not belong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct InvalidName {
    problem: String,
}

/// The longest name that is accepted, in bytes: what a Kubernetes label value may have is
/// 63, an EC2 tag key 128, an Auto Scaling group name 255.
const NAME_LENGTH_MAX: usize = 255;

pub(crate) fn check(
    text: &str,
    what: &str,
    longest: usize,
    allowed: fn(char) -> bool,
) -> Result<(), InvalidName> {
    let problem = if text.is_empty() {
        format!("{what} is empty")
    } else if text.len() > longest {
        format!("{what} has {} bytes; at most {longest} are allowed", text.len())
    } else if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
        format!("{what} `{}` contains `{}`", text.escape_debug(), bad.escape_debug())
    } else {
        return Ok(());
    };
    Err(InvalidName { problem })
}

pub(crate) fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn printable(c: char) -> bool {
    !c.is_control()
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $allowed:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
        #[schemars(with = "String")]
        pub struct $name(smol_str::SmolStr);

        impl $name {
            /// The name as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The last eight characters as a number; 0 where there are fewer. Names mostly differ by
            /// them, and numbers are compared faster than texts.
            #[inline]
            pub fn tail(&self) -> u64 {
                self.0.as_bytes().last_chunk().map_or(0, |tail| u64::from_be_bytes(*tail))
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check(text, $what, NAME_LENGTH_MAX, $allowed)?;
                Ok(Self(text.into()))
            }
        }

        as_text!(str: $name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    )*};
}

names! {
    /// The name of a fleet: letters, digits, `-`, `_`, `.`.
    FleetName, "a fleet name", plain;
    /// The name of a cluster: letters, digits, `-`, `_`, `.`.
    ClusterName, "a cluster name", plain;
    /// The name of a channel, such as `dev` or `stable`.
    ChannelName, "a channel name", plain;
    /// The name of a release, such as `2026.11.0`.
    ReleaseName, "a release name", plain;
    /// The name of an add-on, which is also its directory's.
    AddonName, "an add-on name", plain;
    /// The name of a node pool, unique in its cluster.
    PoolName, "a node pool name", plain;
    /// The name of an Auto Scaling group.
    GroupName, "an Auto Scaling group name", printable;
    /// The name of a Kubernetes node.
    NodeName, "a node name", plain;
    /// The id of an instance, such as `i-0a1b2c3d`.
    InstanceId, "an instance id", plain;
    /// The id of a machine image, such as `ami-0a1b2c3d`.
    ImageId, "an image id", plain;
    /// An availability zone, such as `eu-west-1a`.
    Zone, "a zone", plain;
    /// The first 12 characters of a plan's digest.
    PlanId, "a plan id", plain;
    /// The id of a run.
    RunId, "a run id", plain;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_with_its_reason() {
        assert_eq!("".parse::<ClusterName>().unwrap_err().to_string(), "a cluster name is empty");
        assert_eq!(
            "a/b".parse::<ClusterName>().unwrap_err().to_string(),
            "a cluster name `a/b` contains `/`"
        );
        assert!("a b".parse::<GroupName>().is_ok());
        assert!("x".repeat(256).parse::<GroupName>().is_err());
    }
}
