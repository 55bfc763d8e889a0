use std::fmt;

use equipoise_core::{Availability, EndpointId, Timestamp};

/// A source of information about an endpoint's health, in the order of priority.
///
/// If several sources have a condition against an endpoint, the first one is named as the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Source {
    /// An operator: [`AdminState`](super::AdminState).
    Operator,
    /// An agent on the endpoint: [`AgentProbe`](crate::probe).
    Agent,
    /// Active checks.
    Checks,
    /// Outlier detection, which uses the results of real requests.
    Requests,
}

impl Source {
    /// A stable label in lower case: `operator`, `agent`, `checks` or `requests`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Agent => "agent",
            Self::Checks => "checks",
            Self::Requests => "requests",
        }
    }
}

/// The health of one endpoint: its availability and the reasons for it.
///
/// With the feature `serde` it can be serialized. Ids and availabilities are written as they are displayed, and timestamps as
/// nanoseconds on the machine's clock.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HealthStatus {
    /// The id of the endpoint.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::display"))]
    pub id: EndpointId,
    /// The availability that follows from all conditions.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::display"))]
    pub availability: Availability,
    /// The conditions against the endpoint, in the order of [`Source`]: at most one for each source. Empty if the endpoint
    /// is up.
    pub conditions: Vec<Condition>,
    /// The state of each check, in the order of [`HealthPolicy::checks`](crate::HealthPolicy::checks).
    pub checks: Vec<CheckStatus>,
}

/// The state of one check of one endpoint.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CheckStatus {
    /// The [name](crate::CheckPolicy::name) of the check.
    pub name: String,
    /// Whether the check considers the endpoint up.
    pub up: bool,
    /// The time of the last change of `up`, or the time at which the endpoint joined.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::nanos"))]
    pub since: Timestamp,
    /// Why the last probe failed or was inconclusive, or what was wrong with an agent's line. `None` if no probe has ended
    /// or the last one passed.
    pub last_error: Option<String>,
}

/// What one source holds against an endpoint.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Condition {
    /// The source of the condition.
    pub source: Source,
    /// The availability that this condition alone would cause.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::display"))]
    pub availability: Availability,
    /// The reason, for people. Its wording is not stable.
    pub reason: String,
    /// The time at which the condition began.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::nanos"))]
    pub since: Timestamp,
}

/// A change of an endpoint's availability.
///
/// With the feature `serde` it can be serialized, in the format of [`HealthStatus`].
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AvailabilityChange {
    /// The id of the endpoint.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::display"))]
    pub id: EndpointId,
    /// The availability before the change.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::display"))]
    pub from: Availability,
    /// The availability after the change.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::display"))]
    pub to: Availability,
    /// The first source that has a condition against the endpoint. If there is none any more, the source of the last one.
    pub source: Source,
    /// The reason of that source, for people. Its wording is not stable.
    pub reason: String,
    /// The time of the change.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::nanos"))]
    pub at: Timestamp,
}

/// The [label](Source::as_str).
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for AvailabilityChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} → {} ({}: {})", self.id, self.from, self.to, self.source, self.reason)
    }
}
