//! A number of nodes, or a share of them: `3`, `"10%"`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;

use crate::text::as_text;

/// A text that is neither a number nor a percentage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is neither a number such as `3` nor a percentage such as `\"10%\"`", crate::text::quoted(.0))]
pub struct InvalidQuantity(String);

/// A number of nodes, or a percentage of them (0 to 100).
///
/// Surge rounds up and unavailable rounds down, as the
/// [Deployment API](https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#max-unavailable)
/// has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub enum IntOrPercent {
    /// So many nodes.
    Int(u32),
    /// So many of a hundred.
    Percent(u8),
}

impl IntOrPercent {
    /// The share of `total`, rounded up: for surge.
    pub fn of_rounded_up(self, total: u32) -> u32 {
        match self {
            Self::Int(count) => count,
            Self::Percent(percent) => {
                u32::try_from((u64::from(total) * u64::from(percent)).div_ceil(100))
                    .unwrap_or(u32::MAX)
            }
        }
    }

    /// The share of `total`, rounded down: for unavailable.
    pub fn of_rounded_down(self, total: u32) -> u32 {
        match self {
            Self::Int(count) => count,
            Self::Percent(percent) => {
                u32::try_from(u64::from(total) * u64::from(percent) / 100).unwrap_or(u32::MAX)
            }
        }
    }

    /// Whether this is no node at all.
    pub fn is_zero(self) -> bool {
        matches!(self, Self::Int(0) | Self::Percent(0))
    }
}

impl FromStr for IntOrPercent {
    type Err = InvalidQuantity;
    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let parsed = match text.strip_suffix('%') {
            Some(percent) => {
                percent.parse().ok().filter(|percent| *percent <= 100).map(Self::Percent)
            }
            None => text.parse().ok().map(Self::Int),
        };
        parsed
            .filter(|_| text.starts_with(|c: char| c.is_ascii_digit()))
            .ok_or_else(|| InvalidQuantity(text.chars().take(80).collect()))
    }
}

as_text!(IntOrPercent);

impl fmt::Display for IntOrPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(count) => f.pad(&count.to_string()),
            Self::Percent(percent) => f.pad(&format!("{percent}%")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surge_rounds_up_and_unavailable_down() {
        let tenth: IntOrPercent = "10%".parse().unwrap();
        assert_eq!((tenth.of_rounded_up(42), tenth.of_rounded_down(42)), (5, 4));
        assert_eq!((tenth.of_rounded_up(3), tenth.of_rounded_down(3)), (1, 0));
        assert_eq!("3".parse::<IntOrPercent>().unwrap().of_rounded_up(1), 3);
        assert_eq!(tenth.of_rounded_up(0), 0);
    }

    #[test]
    fn refuses_what_is_neither() {
        for text in ["", "%", "101%", "-1", "+3", "ten", "3.5", "10 %"] {
            assert!(text.parse::<IntOrPercent>().is_err(), "{text:?}");
        }
    }
}
