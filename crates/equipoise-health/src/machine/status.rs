use std::fmt;

use equipoise_core::{Availability, EndpointId, Timestamp};

/// A source of information about an endpoint's health. The variants are in the order of priority: the first variant has
/// the highest priority.
///
/// Several sources can have a [`Condition`] against the same endpoint. An [`AvailabilityChange`] then names the source
/// with the highest priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Source {
    /// The operator: a person or a program that sets the [administrative state](super::AdminState) of the endpoint.
    Operator,
    /// An agent: a program on the endpoint that reports the state of the endpoint. The `AgentProbe` in the module
    /// [`probe`](crate::probe) asks the agent.
    Agent,
    /// Active checks: they probe the endpoint again and again, at the times that a [schedule](crate::Schedule) sets.
    Checks,
    /// Outlier detection, which uses the results of the endpoint's real requests.
    Requests,
}

impl Source {
    /// Returns the name of this source in lower case: `operator`, `agent`, `checks` or `requests`. The name never
    /// changes.
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
/// With the feature `serde`, a `HealthStatus` can be serialized. Ids and availabilities are serialized as text.
/// Timestamps are serialized as nanoseconds since the start of the clock of [`Health::now`](crate::Health::now).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HealthStatus {
    /// The id of the endpoint.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::display"))]
    pub id: EndpointId,
    /// The availability of the endpoint. It follows from all [`conditions`](Self::conditions): the strictest of their
    /// availabilities applies. Exception: an endpoint that is both draining and unhealthy is in maintenance. Without
    /// conditions, the endpoint is up. [`Machine`](super::Machine) gives the order.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::display"))]
    pub availability: Availability,
    /// The reasons why the endpoint is not up. Each [`Source`] has at most one condition. The order of the list is:
    /// operator, agent, checks, requests. Empty if the endpoint is up.
    pub conditions: Vec<Condition>,
    /// The state of each check of the endpoint, in the order of the checks in
    /// [`HealthPolicy::checks`](crate::HealthPolicy::checks).
    pub checks: Vec<CheckStatus>,
}

/// The state of one check of one endpoint.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CheckStatus {
    /// The [name](crate::CheckPolicy::name) of the check.
    pub name: String,
    /// Whether the endpoint is up according to this check. [`Schedule::rise`](crate::Schedule::rise) and
    /// [`Schedule::fall`](crate::Schedule::fall) set how many consecutive results change `up`.
    pub up: bool,
    /// The time when [`up`](Self::up) last changed. If `up` has not changed yet, this is the time when the endpoint
    /// joined. It is a time on the clock of [`Health::now`](crate::Health::now).
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::nanos"))]
    pub since: Timestamp,
    /// Why the last probe of this check failed or was inconclusive. Special cases:
    ///
    /// - If the check asks an agent and the agent's reply contains an error, this field is a summary of the reply.
    /// - If the endpoint's requests have reached a failure limit (see [`OnFailureLimit`](crate::OnFailureLimit)), this
    ///   field may be a text such as `5 failures in a row`.
    /// - `None` if the last probe passed or no probe has ended yet.
    pub last_error: Option<String>,
}

/// A reason why an endpoint is not up. It comes from one [`Source`]: an operator, an agent, the checks, or outlier
/// detection.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Condition {
    /// The source from which this condition comes: an operator, an agent, the checks, or outlier detection.
    pub source: Source,
    /// The availability that the endpoint would have if this condition were the only one.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::display"))]
    pub availability: Availability,
    /// The reason for the condition, as text for people. The wording may change between versions.
    pub reason: String,
    /// The time when the condition began. It is a time on the clock of [`Health::now`](crate::Health::now).
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::nanos"))]
    pub since: Timestamp,
}

/// A change of an endpoint's availability.
///
/// With the feature `serde`, an `AvailabilityChange` can be serialized. The id and the availabilities are serialized as
/// text. The timestamp is serialized as nanoseconds since the start of the clock of
/// [`Health::now`](crate::Health::now).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AvailabilityChange {
    /// The id of the endpoint that has the new availability.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::display"))]
    pub id: EndpointId,
    /// The endpoint's availability before the change.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::display"))]
    pub from: Availability,
    /// The endpoint's availability after the change.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::display"))]
    pub to: Availability,
    /// The source that caused the change: of all sources with a [`Condition`] against the endpoint after the change,
    /// the one that comes first in [`Source`]. If no source has a condition any more, this field is the source of the
    /// endpoint's previous change.
    pub source: Source,
    /// Why the endpoint's availability changed, as text for people. It is the reason of the [`Condition`] that comes
    /// from [`source`](Self::source). If no source has a condition against the endpoint any more, the text is
    /// `recovered`. The wording may change between versions.
    pub reason: String,
    /// The time of the change. It is a time on the clock of [`Health::now`](crate::Health::now).
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::nanos"))]
    pub at: Timestamp,
}

/// Writes the name of the source, as [`as_str`](Source::as_str) returns it.
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
