//! What holds a cluster back: a freeze, and the highest version that it may run.

use std::fmt;
use std::str::FromStr;

use crate::{Date, InvalidVersion, KubeVersion, Location, Minor, Target, Timestamp};

/// A value, and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub at: Location,
}

/// A time in which nothing is planned for a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// The last day of it, in UTC; none: it has no end.
    pub until: Option<Date>,
    /// Why; may be empty when there is an end.
    pub reason: String,
}

impl Freeze {
    /// Whether the cluster is frozen at that time.
    pub fn holds(&self, now: Timestamp) -> bool {
        let today = jiff::tz::Offset::UTC.to_datetime(now).date();
        self.until.is_none_or(|until| today <= until)
    }
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.until, self.reason.as_str()) {
            (Some(until), "") => write!(f, "until the end of {until}"),
            (Some(until), reason) => write!(f, "until the end of {until}: {reason}"),
            (None, reason) => write!(f, "without an end: {reason}"),
        }
    }
}

/// A text that says neither until when nor why a cluster is frozen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFreeze {
    /// What follows `until` is no date.
    #[error("{} is not a day such as `2027-01-04`", crate::text::quoted(.0))]
    NoDay(String),
    /// There is nothing in it.
    #[error("a freeze says until when, or why")]
    Empty,
}

impl FromStr for Freeze {
    type Err = InvalidFreeze;
    fn from_str(text: &str) -> Result<Self, InvalidFreeze> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidFreeze::Empty);
        }
        let (word, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
        let rest = match word.eq_ignore_ascii_case("until").then_some(rest) {
            Some(rest) => rest.trim(),
            None => return Ok(Self { until: None, reason: text.to_owned() }),
        };
        let (day, reason) = rest.split_once(',').unwrap_or((rest, ""));
        let day = day.trim();
        // A date alone: a time of the day would be ignored, and so would promise too much.
        let until = Some(day)
            .filter(|day| day.len() == 10)
            .and_then(|day| day.parse::<Date>().ok())
            .ok_or_else(|| InvalidFreeze::NoDay(day.to_owned()))?;
        Ok(Self { until: Some(until), reason: reason.trim().to_owned() })
    }
}

/// The highest version that a cluster may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaxVersion {
    /// Any patch of this minor, and everything older.
    Minor(Minor),
    /// This version, and everything older.
    Version(KubeVersion),
}

impl MaxVersion {
    /// Whether a version is not above it.
    pub fn allows(&self, version: &KubeVersion) -> bool {
        match self {
            Self::Minor(minor) => version.minor() <= *minor,
            Self::Version(max) => version <= max || version.same_release(max),
        }
    }
}

impl fmt::Display for MaxVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minor(minor) => minor.fmt(f),
            Self::Version(version) => version.fmt(f),
        }
    }
}

impl FromStr for MaxVersion {
    type Err = InvalidVersion;
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        match text.parse() {
            Ok(minor) => Ok(Self::Minor(minor)),
            Err(_) => text.parse().map(Self::Version),
        }
    }
}

/// A release's version that a cluster does not go to, because of its `max-version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capped {
    /// What it may run at most.
    pub max: Written<MaxVersion>,
    /// What its release declares.
    pub wanted: Target<KubeVersion>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_has_an_end_or_a_reason() {
        let freeze = |text: &str| text.parse::<Freeze>();
        let both = freeze("until 2027-01-04, peak season").unwrap();
        assert_eq!(both.to_string(), "until the end of 2027-01-04: peak season");
        assert_eq!(freeze(" until  2027-01-04 ").unwrap().reason, "");
        assert_eq!(freeze("until 2027-01-04, a, b").unwrap().reason, "a, b");
        let open = freeze("peak season").unwrap();
        assert_eq!(open.to_string(), "without an end: peak season");
        assert_eq!(freeze("untilted").unwrap().until, None);
        assert_eq!(freeze("Until 2027-01-04, x"), freeze("until 2027-01-04, x"));
        for text in ["until", "Until tomorrow", "until 2027-02-30, x", "until 2027-01-04 peak"] {
            assert!(matches!(freeze(text), Err(InvalidFreeze::NoDay(_))), "{text}");
        }
        assert!(freeze("until 2027-01-04T09:00, x").is_err(), "a time would be ignored");
        assert_eq!(freeze(" "), Err(InvalidFreeze::Empty));
    }

    #[test]
    fn the_last_day_is_frozen_as_a_whole() {
        let freeze: Freeze = "until 2027-01-04".parse().unwrap();
        let holds = |now: &str| freeze.holds(now.parse().unwrap());
        assert!(holds("2026-11-02T09:00:00Z") && holds("2027-01-04T23:59:59Z"));
        assert!(!holds("2027-01-05T00:00:00Z"));
        let open: Freeze = "peak season".parse().unwrap();
        assert!(open.holds("2099-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn a_highest_version_is_a_minor_or_a_version() {
        let max = |text: &str| text.parse::<MaxVersion>();
        let allows =
            |text: &str, version: &str| max(text).unwrap().allows(&version.parse().unwrap());
        assert!(allows("1.34", "1.34.9") && allows("1.34", "1.33.0") && !allows("1.34", "1.35.0"));
        assert!(allows("1.34.3", "1.34.3-eks-1") && allows("1.34.3", "1.34.2"));
        assert!(!allows("1.34.3", "1.34.4"));
        assert!(max("34").is_err() && max("latest").is_err());
    }
}
