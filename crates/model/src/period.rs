//! Lengths of time as people write them: `90s`, `15m`, `1h30m`, `2d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;

use crate::text::as_text;

/// A text that is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a duration: write it as `90s`, `15m`, `1h30m` or `2d`", crate::text::quoted(.0))]
pub struct InvalidPeriod(String);

/// A length of time in whole seconds, at most [`Period::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, JsonSchema)]
#[schemars(with = "String")]
pub struct Period {
    seconds: u32,
}

impl Period {
    /// A year: whoever waits longer than that in a rollout has mistyped.
    pub const MAX: Self = Self::seconds(366 * 24 * 3600);
    /// No time at all.
    pub const ZERO: Self = Self::seconds(0);

    /// This many seconds.
    pub const fn seconds(seconds: u32) -> Self {
        Self { seconds }
    }

    /// This many minutes.
    pub const fn minutes(minutes: u32) -> Self {
        Self { seconds: minutes.saturating_mul(60) }
    }

    /// The number of seconds.
    pub const fn as_secs(self) -> u32 {
        self.seconds
    }

    /// Whether it is no time at all.
    pub fn is_zero(&self) -> bool {
        self.seconds == 0
    }

    /// The same length of time for use with clocks.
    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.seconds as u64)
    }

    /// `self` taken `times` times, at most [`Period::MAX`].
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { seconds: self.seconds.saturating_mul(times) }.min(Self::MAX)
    }

    /// `self` and `other` one after the other, at most [`Period::MAX`].
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { seconds: self.seconds.saturating_add(other.seconds) }.min(Self::MAX)
    }
}

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let invalid = || InvalidPeriod(text.chars().take(80).collect());
        let mut rest = text;
        let mut seconds: u32 = 0;
        let mut last_unit = u32::MAX;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
            let count: u32 = rest[..digits].parse().map_err(|_| invalid())?;
            let unit = match rest.as_bytes()[digits] {
                b's' => 1,
                b'm' => 60,
                b'h' => 3600,
                b'd' => 24 * 3600,
                _ => return Err(invalid()),
            };
            if unit >= last_unit {
                return Err(invalid());
            }
            last_unit = unit;
            let part = count.checked_mul(unit).ok_or_else(invalid)?;
            seconds = seconds.checked_add(part).ok_or_else(invalid)?;
            rest = &rest[digits + 1..];
        }
        let period = Self { seconds };
        if text.is_empty() || period > Self::MAX { Err(invalid()) } else { Ok(period) }
    }
}

as_text!(Period);

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seconds == 0 {
            return f.pad("0s");
        }
        let mut rest = self.seconds;
        let mut text = String::new();
        for (unit, sign) in [(24 * 3600, 'd'), (3600, 'h'), (60, 'm'), (1, 's')] {
            if rest >= unit {
                text.push_str(&format!("{}{sign}", rest / unit));
                rest %= unit;
            }
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns the time without the fraction of its second, for people to read.
pub fn whole_seconds(at: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in
            [("90s", 90), ("15m", 900), ("1h30m", 5400), ("2d", 172_800), ("0s", 0)]
        {
            assert_eq!(text.parse::<Period>().unwrap().as_secs(), seconds);
        }
        for text in
            ["", "15", "m", "1.5h", "-3s", "3 s", "1m1h", "1m1m", "99999d", "9999999999s", "5é"]
        {
            assert!(text.parse::<Period>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_empty_text_is_named_as_such() {
        let error = "".parse::<Period>().unwrap_err().to_string();
        assert!(error.starts_with("an empty text is not a duration"), "{error}");
        let error = "1.5h".parse::<Period>().unwrap_err().to_string();
        assert!(error.starts_with("`1.5h` is not a duration"), "{error}");
    }

    #[test]
    fn people_read_whole_seconds() {
        let at: jiff::Timestamp = "2026-11-02T09:00:00.000000123Z".parse().unwrap();
        assert_eq!(whole_seconds(at).to_string(), "2026-11-02T09:00:00Z");
    }

    proptest! {
        #[test]
        fn round_trips(seconds in 0..=Period::MAX.as_secs()) {
            let period = Period::seconds(seconds);
            prop_assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
        }

        #[test]
        fn never_panics(text in "\\PC{0,12}") {
            let _ = text.parse::<Period>();
        }
    }
}
