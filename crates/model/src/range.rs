//! Ranges of versions, as add-ons declare them.

use std::fmt::{self, Display};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text;

/// A text that is not a range, or a range that nothing can satisfy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// There is no comparator at all.
    #[error("the range is empty")]
    Empty,
    /// One comparator cannot be read.
    #[error("cannot read `{0}`: write comparators such as `>=1.29, <=1.33`, or `any` by itself")]
    Comparator(String),
    /// Two comparators exclude each other.
    #[error("nothing is in `{0}`: its bounds contradict each other")]
    Contradictory(String),
}

/// A range of versions: the conjunction of comparators `>=`, `>`, `<=`, `<` and `=`, or `any`.
///
/// `VersionRange<Minor>` is what an add-on supports (`>=1.29, <=1.33`);
/// `VersionRange<AddonVersion>` is what one add-on requires of another (`>=1.2.0`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "String")]
pub struct VersionRange<T> {
    /// Lower bound, and whether it is part of the range.
    low: Option<(T, bool)>,
    /// Upper bound, and whether it is part of the range.
    high: Option<(T, bool)>,
}

/// How a range is written that holds everything.
const ANY: &str = "any";

impl<T: Ord + Clone> VersionRange<T> {
    /// Everything from `low` to `high`, both included.
    pub fn between(low: T, high: T) -> Self {
        Self { low: Some((low, true)), high: Some((high, true)) }
    }

    /// Everything from `low` on.
    pub fn at_least(low: T) -> Self {
        Self { low: Some((low, true)), high: None }
    }

    /// Everything from `low` on, and below `high`, as far as they are given.
    pub fn from_to(low: Option<T>, high: Option<T>) -> Self {
        Self { low: low.map(|low| (low, true)), high: high.map(|high| (high, false)) }
    }

    /// Everything. It is written as `any`.
    pub const fn any() -> Self {
        Self { low: None, high: None }
    }

    /// Whether `version` is in the range.
    pub fn contains(&self, version: &T) -> bool {
        self.meets_low(version) && self.meets_high(version)
    }

    /// Returns whether something that was outside of the range `at_first` may become `version`: it is in
    /// the range, or on the same side of it as before and no further away, so that nothing becomes worse.
    pub fn may_stay<'v>(&self, version: &T, at_first: impl IntoIterator<Item = &'v T>) -> bool
    where
        T: 'v,
    {
        match (self.meets_low(version), self.meets_high(version)) {
            (true, true) => true,
            (false, _) => at_first.into_iter().any(|first| first <= version),
            (true, false) => at_first.into_iter().any(|first| first >= version),
        }
    }

    fn meets_low(&self, version: &T) -> bool {
        self.low
            .as_ref()
            .is_none_or(|(low, inclusive)| if *inclusive { version >= low } else { version > low })
    }

    fn meets_high(&self, version: &T) -> bool {
        self.high.as_ref().is_none_or(
            |(high, inclusive)| {
                if *inclusive { version <= high } else { version < high }
            },
        )
    }

    /// The lowest version that is named, when there is a lower bound.
    pub fn low(&self) -> Option<&T> {
        self.low.as_ref().map(|(low, _)| low)
    }

    /// The highest version that is named, when there is an upper bound.
    pub fn high(&self) -> Option<&T> {
        self.high.as_ref().map(|(high, _)| high)
    }

    fn narrow_low(&mut self, bound: T, inclusive: bool) {
        let tighter = self.low.as_ref().is_none_or(|(low, was_inclusive)| {
            bound > *low || (bound == *low && *was_inclusive && !inclusive)
        });
        if tighter {
            self.low = Some((bound, inclusive));
        }
    }

    fn narrow_high(&mut self, bound: T, inclusive: bool) {
        let tighter = self.high.as_ref().is_none_or(|(high, was_inclusive)| {
            bound < *high || (bound == *high && *was_inclusive && !inclusive)
        });
        if tighter {
            self.high = Some((bound, inclusive));
        }
    }

    fn is_contradictory(&self) -> bool {
        match (&self.low, &self.high) {
            (Some((low, low_in)), Some((high, high_in))) => {
                low > high || (low == high && !(*low_in && *high_in))
            }
            _ => false,
        }
    }
}

impl<T: Ord + Clone + FromStr> FromStr for VersionRange<T> {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        if text.trim().is_empty() {
            return Err(InvalidRange::Empty);
        }
        let mut range = Self::any();
        if text.trim() == ANY {
            return Ok(range);
        }
        for part in text.split(',') {
            let part = part.trim();
            let unreadable = || InvalidRange::Comparator(part.chars().take(80).collect());
            let digits =
                part.find(|c: char| c.is_ascii_digit() || c == 'v').ok_or_else(unreadable)?;
            let (comparator, version) = part.split_at(digits);
            let version: T = version.trim().parse().map_err(|_| unreadable())?;
            match comparator.trim() {
                ">=" => range.narrow_low(version, true),
                ">" => range.narrow_low(version, false),
                "<=" => range.narrow_high(version, true),
                "<" => range.narrow_high(version, false),
                "=" => {
                    range.narrow_low(version.clone(), true);
                    range.narrow_high(version, true);
                }
                _ => return Err(unreadable()),
            }
        }
        if range.is_contradictory() {
            return Err(InvalidRange::Contradictory(text.trim().to_owned()));
        }
        Ok(range)
    }
}

impl<T: Display + PartialEq> Display for VersionRange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = |strict: &str, inclusive: bool| {
            if inclusive { format!("{strict}=") } else { strict.to_owned() }
        };
        let low =
            self.low.as_ref().map(|(low, inclusive)| format!("{}{low}", sign(">", *inclusive)));
        let high =
            self.high.as_ref().map(|(high, inclusive)| format!("{}{high}", sign("<", *inclusive)));
        match (&self.low, &self.high) {
            (None, None) => f.pad(ANY),
            (Some((low, true)), Some((high, true))) if low == high => f.pad(&format!("={low}")),
            _ => f.pad(&[low, high].into_iter().flatten().collect::<Vec<_>>().join(", ")),
        }
    }
}

impl<T: Display + PartialEq> fmt::Debug for VersionRange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl<T: Display + PartialEq> Serialize for VersionRange<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: Ord + Clone + FromStr> Deserialize<'de> for VersionRange<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::read(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AddonVersion, Minor};

    fn minors(text: &str) -> Result<VersionRange<Minor>, InvalidRange> {
        text.parse()
    }

    #[test]
    fn holds_exactly_what_it_says() {
        let range = minors(">=1.29, <1.33").unwrap();
        let inside: Vec<u16> = (27..36).filter(|n| range.contains(&Minor::new(1, *n))).collect();
        assert_eq!(inside, [29, 30, 31, 32]);
        assert_eq!(range.to_string(), ">=1.29, <1.33");
        assert_eq!(minors("=1.34").unwrap().to_string(), "=1.34");
        assert_eq!(minors(">=1.29, >=1.31").unwrap().to_string(), ">=1.31");
    }

    #[test]
    fn what_is_outside_may_only_come_nearer() {
        let range = minors(">=1.29, <=1.31").unwrap();
        let minors_that_may_stay = |first: u16| -> Vec<u16> {
            let first = Minor::new(1, first);
            (26..36).filter(|n| range.may_stay(&Minor::new(1, *n), [&first])).collect()
        };
        assert_eq!(minors_that_may_stay(27), [27, 28, 29, 30, 31]);
        assert_eq!(minors_that_may_stay(33), [29, 30, 31, 32, 33]);
        assert_eq!(minors_that_may_stay(30), [29, 30, 31]);
    }

    #[test]
    fn refuses_what_nothing_can_satisfy() {
        assert_eq!(minors(" "), Err(InvalidRange::Empty));
        assert!(matches!(minors(">=1.34, <1.34"), Err(InvalidRange::Contradictory(_))));
        assert!(matches!(minors(">=1.35, <=1.34"), Err(InvalidRange::Contradictory(_))));
        assert!(matches!(minors("=1.35, =1.34"), Err(InvalidRange::Contradictory(_))));
        assert!(matches!(minors("~1.34"), Err(InvalidRange::Comparator(_))));
        assert!(matches!(minors("1.34"), Err(InvalidRange::Comparator(_))));
        assert!(matches!(minors(">=1.34.2"), Err(InvalidRange::Comparator(_))));
    }

    #[test]
    fn any_is_everything() {
        let any = minors(" any ").unwrap();
        assert_eq!(any, VersionRange::any());
        assert_eq!(any.to_string(), "any");
        assert!((0..99).all(|minor| any.contains(&Minor::new(1, minor))));
        assert!(matches!(minors("any, >=1.29"), Err(InvalidRange::Comparator(_))));
    }

    #[test]
    fn works_over_addon_versions() {
        let range: VersionRange<AddonVersion> = ">=1.2.0, <2.0.0".parse().unwrap();
        assert!(range.contains(&AddonVersion::new(1, 9, 9)));
        assert!(!range.contains(&AddonVersion::new(2, 0, 0)));
    }
}
