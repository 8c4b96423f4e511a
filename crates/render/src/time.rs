//! Lengths and points of time as people read them.

use refit_model::{Period, Timestamp};

/// A length of time in its two largest units: `1 h 35 min`, `2 d 3 h`, `45 s`. From ten minutes
/// on seconds do not count.
pub fn duration(period: Period) -> String {
    let seconds = period.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / (24 * 3600));
    let two = |large: u32, large_unit: &str, small: u32, small_unit: &str| {
        if small == 0 {
            format!("{large} {large_unit}")
        } else {
            format!("{large} {large_unit} {small} {small_unit}")
        }
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..600 => two(minutes, "min", seconds % 60, "s"),
        600..3600 => format!("{minutes} min"),
        3600..86_400 => two(hours, "h", minutes % 60, "min"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

/// As [`duration`], without the seconds of whole minutes: for what grows while one looks.
pub(crate) fn roughly(period: Period) -> String {
    let seconds = period.as_secs();
    duration(if seconds < 60 { period } else { Period::minutes(seconds / 60) })
}

/// The time from one point to a later one; none when it is not later, at most [`Period::MAX`].
pub fn between(from: Timestamp, to: Timestamp) -> Period {
    let seconds = to.as_second().saturating_sub(from.as_second()).max(0);
    Period::seconds(u32::try_from(seconds).unwrap_or(u32::MAX)).min(Period::MAX)
}

/// How long ago: `2 min ago`, `just now`.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    match between(then, now) {
        period if period.as_secs() < 5 => "just now".to_owned(),
        period => format!("{} ago", roughly(period)),
    }
}

/// A point in time with its date: `2026-11-02 09:14:02 UTC`.
pub fn timestamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The time of day, UTC: `09:14:02`.
pub fn clock_time(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// The time of day, with its date where it is on another day than `from`.
pub(crate) fn time_after(from: Timestamp, at: Timestamp) -> String {
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    if day(from) == day(at) { clock_time(at) } else { timestamp(at) }
}

/// Date and minute, for tables: `2026-11-02 09:14`.
pub(crate) fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (90, "1 min 30 s"),
            (120, "2 min"),
            (1234, "20 min"),
            (5700, "1 h 35 min"),
            (7200, "2 h"),
            (183_600, "2 d 3 h"),
        ] {
            assert_eq!(duration(Period::seconds(seconds)), text);
        }
    }

    #[test]
    fn time_never_runs_backwards() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (early, late) = (at("2026-11-02T09:14:02Z"), at("2026-11-02T09:16:32Z"));
        assert_eq!(ago(early, late), "2 min ago");
        assert_eq!(ago(late, early), "just now");
        assert_eq!(between(Timestamp::MIN, Timestamp::MAX), Period::MAX);
        assert_eq!(timestamp(early), "2026-11-02 09:14:02 UTC");
        assert_eq!(clock_time(early), "09:14:02");
        assert_eq!(time_after(early, early), "09:14:02");
        let tomorrow = early + jiff::SignedDuration::from_hours(24);
        assert_eq!(time_after(early, tomorrow), timestamp(tomorrow));
    }
}
