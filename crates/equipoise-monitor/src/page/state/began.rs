use std::time::Duration;

use serde::{Serialize, ser::Serializer};

use crate::report::{CheckReport, ConditionReport, HealthReport};

/// When something began, in seconds since the start of the monitor.
///
/// Reports say how long ago that was. The same beginning therefore differs a little from report to report, and two
/// beginnings within half a second are equal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began(f64);

impl Began {
    pub(super) fn new(uptime: Duration, ago: Duration) -> Self {
        Self(uptime.as_secs_f64() - ago.as_secs_f64())
    }

    /// Returns the seconds since then, rounded to milliseconds.
    pub(super) fn ago(self, uptime: Duration) -> f64 {
        ((uptime.as_secs_f64() - self.0).max(0.0) * 1_000.0).round() / 1_000.0
    }
}

impl PartialEq for Began {
    fn eq(&self, other: &Self) -> bool {
        (self.0 - other.0).abs() < 0.5
    }
}

/// A value with the time since which it holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held<T> {
    value: T,
    began: Began,
}

/// The conditions of an endpoint.
pub(super) type Conditions = Vec<Held<Condition>>;

/// The checks of an endpoint.
pub(super) type Checks = Vec<Held<Check>>;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Condition {
    source: &'static str,
    availability: &'static str,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Check {
    name: String,
    up: bool,
    last_error: Option<String>,
}

pub(super) fn conditions(report: Option<&HealthReport>, uptime: Duration) -> Conditions {
    let condition = |report: &ConditionReport| Held {
        value: Condition { source: report.source, availability: report.availability, reason: report.reason.clone() },
        began: Began::new(uptime, report.since),
    };
    report.into_iter().flat_map(|report| &report.conditions).map(condition).collect()
}

pub(super) fn checks(report: Option<&HealthReport>, uptime: Duration) -> Checks {
    let check = |report: &CheckReport| Held {
        value: Check { name: report.name.clone(), up: report.up, last_error: report.last_error.clone() },
        began: Began::new(uptime, report.since),
    };
    report.into_iter().flat_map(|report| &report.checks).map(check).collect()
}

/// Values as they are sent: with the field `since`, the seconds since they began.
pub(super) struct At<'a, T> {
    pub(super) held: &'a [Held<T>],
    pub(super) uptime: Duration,
}

impl<T: Serialize> Serialize for At<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Sent<'a, T> {
            #[serde(flatten)]
            value: &'a T,
            since: f64,
        }
        let sent = |held: &'_ Held<T>| held.began.ago(self.uptime);
        serializer.collect_seq(self.held.iter().map(|held| Sent { value: &held.value, since: sent(held) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: f64) -> Duration {
        Duration::from_nanos((seconds * 1e9) as u64)
    }

    #[test]
    fn a_beginning_that_is_reported_a_little_differently_is_the_same() {
        let began = Began::new(seconds(10.0), seconds(4.0));
        assert_eq!(began, Began::new(seconds(11.003), seconds(5.0)));
        assert_ne!(began, Began::new(seconds(11.0), seconds(1.0)));
        assert_eq!(began.ago(seconds(12.5)), 6.5);
        // A clock that goes back.
        assert_eq!(began.ago(seconds(1.0)), 0.0);
    }
}
