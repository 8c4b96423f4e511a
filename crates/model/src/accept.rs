//! Findings that a cluster's file accepts for a time.

use std::fmt;
use std::str::FromStr;

use crate::{Code, Date, Severity, Timestamp};

/// A finding that somebody has looked at, and that is to stand in no plan's way for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The finding's code.
    pub finding: Code,
    /// The part of the cluster that it is about, as plans show it: `shop/cart`, `control-plane`.
    pub subject: String,
    /// The last day that it is accepted on, in UTC.
    pub until: Date,
    /// Why.
    pub reason: String,
}

impl Acceptance {
    /// Whether it is about such a finding.
    pub fn covers(&self, code: Code, part: Option<&str>) -> bool {
        self.finding == code && part == Some(self.subject.as_str())
    }

    /// Whether it counts at that time.
    pub fn holds(&self, now: Timestamp) -> bool {
        jiff::tz::Offset::UTC.to_datetime(now).date() <= self.until
    }
}

impl Code {
    /// The codes that can be accepted: warnings about one part of a cluster, and what blocks although a
    /// plan could be carried out in spite of it.
    pub const ACCEPTABLE: [Self; 17] = [
        Self::RF012,
        Self::RF014,
        Self::RF017,
        Self::RF022,
        Self::RF029,
        Self::RF031,
        Self::RF032,
        Self::RF033,
        Self::RF035,
        Self::RF038,
        Self::RF048,
        Self::RF050,
        Self::RF051,
        Self::RF052,
        Self::RF053,
        Self::RF055,
        Self::RF057,
    ];

    /// Whether a finding of this code and severity can be accepted. Of those that block these can:
    /// something else evicts the pods of a budget (RF012), a pod may be lost (RF014), the API may be
    /// down for some minutes (RF048).
    pub fn may_be_accepted(self, severity: Severity) -> bool {
        match severity {
            Severity::Blocked => matches!(self, Self::RF012 | Self::RF014 | Self::RF048),
            Severity::Warning => Self::ACCEPTABLE.contains(&self),
            Severity::Unknown | Severity::Note => false,
        }
    }
}

/// A text that is not the code of a finding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not the code of a finding", crate::text::quoted(.0))]
pub struct InvalidCode(String);

impl FromStr for Code {
    type Err = InvalidCode;
    fn from_str(text: &str) -> Result<Self, InvalidCode> {
        let found = Self::ALL.into_iter().find(|code| code.to_string() == text);
        found.ok_or_else(|| InvalidCode(text.to_owned()))
    }
}

/// A day of the calendar, as files write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(pub Date);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is not a day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a day such as `2027-01-04`", crate::text::quoted(.0))]
pub struct InvalidDay(String);

impl FromStr for Day {
    type Err = InvalidDay;
    fn from_str(text: &str) -> Result<Self, InvalidDay> {
        // A date alone: a time of the day would be ignored, and so would promise too much.
        let date = Some(text).filter(|text| text.len() == 10);
        let date = date.and_then(|text| text.parse().ok());
        date.map(Self).ok_or_else(|| InvalidDay(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acceptance_counts_up_to_and_with_its_last_day() {
        let acceptance = Acceptance {
            finding: Code::RF012,
            subject: "kafka/broker".to_owned(),
            until: "2026-11-02".parse().unwrap(),
            reason: String::new(),
        };
        let holds = |now: &str| acceptance.holds(now.parse().unwrap());
        assert!(holds("2026-11-02T23:59:59Z"));
        assert!(!holds("2026-11-03T00:00:00Z"));
        assert!(acceptance.covers(Code::RF012, Some("kafka/broker")));
        assert!(!acceptance.covers(Code::RF012, Some("kafka/other")));
        assert!(!acceptance.covers(Code::RF050, Some("kafka/broker")));
    }

    #[test]
    fn what_would_break_a_rule_is_not_accepted() {
        assert!(Code::RF012.may_be_accepted(Severity::Blocked));
        assert!(Code::RF017.may_be_accepted(Severity::Warning));
        assert!(!Code::RF017.may_be_accepted(Severity::Blocked));
        assert!(!Code::RF001.may_be_accepted(Severity::Unknown));
        for code in Code::ALL {
            let may =
                code.may_be_accepted(Severity::Blocked) || code.may_be_accepted(Severity::Warning);
            assert_eq!(may, Code::ACCEPTABLE.contains(&code), "{code}");
            assert_eq!(code.to_string().parse(), Ok(code));
        }
        assert!("RF999".parse::<Code>().is_err() && "rf012".parse::<Code>().is_err());
        assert!("2026-11-02T09:00".parse::<Day>().is_err());
    }
}
