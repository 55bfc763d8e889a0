use std::{fmt, time::Duration};

use equipoise_core::EndpointId;

use crate::probe::{ProbeError, ProbeOutcome};

/// The id of one probe that a [`Machine`](super::Machine) has started. Every probe has its own id. If a cancelled probe
/// returns a result late, the machine recognizes its id and ignores the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProbeId {
    pub(super) record: u64,
    pub(super) check: usize,
    pub(super) number: u64,
}

impl ProbeId {
    /// Returns which check the probe belongs to: the index of the check in
    /// [`HealthPolicy::checks`](crate::HealthPolicy::checks). The first check has the index 0.
    pub const fn check(self) -> usize {
        self.check
    }
}

/// An event for a [`Machine`](super::Machine). The driver (the code that runs the machine) reports it with
/// [`Machine::handle`](super::Machine::handle).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The endpoint with this id has joined the pool. If an endpoint with this id had joined already, the event means
    /// that the endpoint was replaced, for instance because its address changed. The new endpoint has the
    /// [administrative state](AdminState) of the old one. Everything else about the new endpoint starts anew.
    Joined(EndpointId),
    /// The endpoint with this id has left the pool. The event is ignored if no endpoint with this id has joined.
    Left(EndpointId),
    /// A probe has ended. The event is ignored if the probe was cancelled.
    Probed {
        /// The id of the ended probe, from [`Action::Probe`](super::Action::Probe).
        probe: ProbeId,
        /// `Ok` with the outcome of the probe, or `Err` with the reason why the probe failed.
        result: Result<ProbeOutcome, ProbeError>,
    },
    /// The results of an endpoint's requests require an immediate decision, for example because the endpoint has
    /// reached a failure limit. [`ResultCollector::take`](crate::ResultCollector::take) returns these events.
    Signalled {
        /// The id of the endpoint. The event is ignored if no endpoint with this id has joined.
        id: EndpointId,
        /// Why a decision is required, such as a reached failure limit.
        signal: Signal,
    },
    /// The results of each endpoint's requests since the last `Counted` event. The event is the answer to
    /// [`Action::CollectCounts`](super::Action::CollectCounts).
    /// [`ResultCollector::count`](crate::ResultCollector::count) returns this event.
    Counted(Vec<(EndpointId, IntervalCounts)>),
    /// An operator has set the administrative state of an endpoint: ready, drain or maintenance.
    AdminStateSet {
        /// The id of the endpoint. If no endpoint with this id has joined, the state is stored until such an endpoint
        /// joins. At most 1 024 such states are stored. If there are more, the oldest one is dropped.
        id: EndpointId,
        /// The new administrative state of the endpoint.
        state: AdminState,
    },
}

/// Why the results of an endpoint's requests require an immediate decision by the health state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// The endpoint has reached a failure limit: a configured number of consecutive failed requests, or a configured
    /// number of failed requests within a configured time.
    FailureLimitReached(FailureLimit),
    /// The endpoint is on probation after an ejection: it gets a single request, which decides whether the endpoint is
    /// up again. This request has succeeded.
    ProbationPassed,
    /// The endpoint is on probation after an ejection: it gets a single request, which decides whether the endpoint is
    /// up again. This request has failed.
    ProbationFailed,
    /// The endpoint answered 429 or 503 with a `Retry-After` header. The value is the time for which the endpoint asks
    /// to get no requests.
    RetryAfter(Duration),
}

/// The limit of failed requests that an endpoint has reached. The value in each variant is the limit: the configured
/// number of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureLimit {
    /// The endpoint has reached the limit of consecutive failed requests, with failures of any kind. The value is this
    /// limit. [`consecutive_failures`](crate::Outliers::consecutive_failures) sets it.
    Consecutive(u32),
    /// The endpoint has reached the limit of consecutive gateway failures, such as status 502, 503 or 504. The value is
    /// this limit. [`consecutive_gateway_failures`](crate::Outliers::consecutive_gateway_failures) sets it.
    ConsecutiveGateway(u32),
    /// The endpoint has reached the limit of consecutive connection failures: no connection, a broken connection, or a
    /// timeout. The value is this limit.
    /// [`consecutive_connection_failures`](crate::Outliers::consecutive_connection_failures) sets it.
    ConsecutiveConnection(u32),
    /// The endpoint has reached the limit of failed requests within a configured time. The value is this limit.
    /// [`failures_within`](crate::Outliers::failures_within) sets the limit and the time.
    Within(u32),
}

/// The results of one endpoint's requests in one [interval](crate::Outliers::interval) of outlier detection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IntervalCounts {
    /// The number of the endpoint's requests that succeeded in the [interval](crate::Outliers::interval) of outlier
    /// detection.
    pub successes: u64,
    /// The number of the endpoint's requests that failed in the [interval](crate::Outliers::interval) of outlier
    /// detection.
    pub failures: u64,
    /// The number of the endpoint's responses with a measured time to the first byte, in one
    /// [interval](crate::Outliers::interval) of outlier detection.
    pub latency_samples: u64,
    /// The sum of the measured times to the first byte of the endpoint's responses, in one
    /// [interval](crate::Outliers::interval) of outlier detection. Divided by `latency_samples`, it gives the mean.
    pub latency_sum: Duration,
}

/// The administrative state of an endpoint, which an operator sets. It corresponds to HAProxy's command `set server …
/// state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminState {
    /// The operator permits all requests to the endpoint. This ends a drain or a maintenance that an operator has set.
    /// Checks, agents and outlier detection can still keep requests from the endpoint.
    Ready,
    /// The operator is draining the endpoint. The endpoint gets only requests that are bound to it, such as those of
    /// its existing sessions.
    Drain {
        /// How long the endpoint still gets requests that are bound to it. The time starts when the state `Drain` is
        /// set. When the time is over, the endpoint gets no requests. `None` means that the time has no limit.
        deadline: Option<Duration>,
    },
    /// The operator has set the endpoint to maintenance. The endpoint gets no requests.
    Maintenance,
}

impl Event {
    /// Returns the name of this kind of event in snake case, such as `admin_state_set`. The name never changes.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Joined(_) => "joined",
            Self::Left(_) => "left",
            Self::Probed { .. } => "probed",
            Self::Signalled { .. } => "signalled",
            Self::Counted(_) => "counted",
            Self::AdminStateSet { .. } => "admin_state_set",
        }
    }
}

impl Signal {
    /// Returns the name of this value in snake case, such as `probation_passed`. The name never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailureLimitReached(_) => "failure_limit_reached",
            Self::ProbationPassed => "probation_passed",
            Self::ProbationFailed => "probation_failed",
            Self::RetryAfter(_) => "retry_after",
        }
    }
}

impl IntervalCounts {
    /// Creates counts of successful and failed requests, without latencies.
    #[must_use]
    pub const fn new(successes: u64, failures: u64) -> Self {
        Self { successes, failures, latency_samples: 0, latency_sum: Duration::ZERO }
    }

    /// Sets the number of measured latencies (`samples`) and their sum (`sum`). A latency is the time from the
    /// start of a request to the first byte of its response. Default: 0 for both.
    #[must_use]
    pub const fn with_latency(mut self, samples: u64, sum: Duration) -> Self {
        (self.latency_samples, self.latency_sum) = (samples, sum);
        self
    }
}

impl AdminState {
    /// Returns the name of this value in lower case: `ready`, `drain` or `maintenance`. The name never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain { .. } => "drain",
            Self::Maintenance => "maintenance",
        }
    }
}

impl FailureLimit {
    /// Returns the name of this kind of limit: `consecutive_failures`, `consecutive_gateway_failures`,
    /// `consecutive_connection_failures` or `failures_within`. The method of [`Outliers`](crate::Outliers) that sets
    /// the limit has the same name. The name never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive(_) => "consecutive_failures",
            Self::ConsecutiveGateway(_) => "consecutive_gateway_failures",
            Self::ConsecutiveConnection(_) => "consecutive_connection_failures",
            Self::Within(_) => "failures_within",
        }
    }
}

/// Writes the limit as the reason for an ejection, such as `5 failures in a row`.
impl fmt::Display for FailureLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consecutive(count) => write!(f, "{count} failures in a row"),
            Self::ConsecutiveGateway(count) => write!(f, "{count} gateway failures in a row"),
            Self::ConsecutiveConnection(count) => write!(f, "{count} connection failures in a row"),
            Self::Within(count) => write!(f, "{count} failures within the configured time"),
        }
    }
}
