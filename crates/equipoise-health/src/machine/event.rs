use std::{fmt, time::Duration};

use equipoise_core::EndpointId;

use crate::probe::{ProbeError, ProbeOutcome};

/// Identifies one probe of one [`Machine`](super::Machine). A late result is recognized by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProbeId {
    pub(super) record: u64,
    pub(super) check: usize,
    pub(super) number: u64,
}

impl ProbeId {
    /// The index of the probe's check in [`HealthPolicy::checks`](crate::HealthPolicy::checks).
    pub const fn check(self) -> usize {
        self.check
    }
}

/// An input of a [`Machine`](super::Machine), given to [`Machine::handle`](super::Machine::handle).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// An endpoint has joined the pool. If the id is already known, the endpoint was replaced, for instance because its
    /// address changed: its state starts anew, except for what an operator has set.
    Joined(EndpointId),
    /// An endpoint has left the pool. An unknown id is ignored.
    Left(EndpointId),
    /// A probe has ended. The result of a cancelled or unknown probe is ignored.
    Probed {
        /// The id from [`Action::Probe`](super::Action::Probe).
        probe: ProbeId,
        /// The result of the probe.
        result: Result<ProbeOutcome, ProbeError>,
    },
    /// The requests of an endpoint require an immediate decision. See [`Signals::take`](crate::Signals::take).
    Signalled {
        /// The endpoint. An unknown id is ignored.
        id: EndpointId,
        /// What the requests have shown.
        signal: Signal,
    },
    /// The answer to [`Action::CollectCounts`](super::Action::CollectCounts): the results of requests since the last one. See
    /// [`Signals::count`](crate::Signals::count).
    Counted(Vec<(EndpointId, RequestCounts)>),
    /// An operator has set the administrative state of an endpoint.
    AdminStateSet {
        /// The endpoint. For an endpoint that has not joined, the state is kept until it joins. The last 1 024 such states
        /// are kept.
        id: EndpointId,
        /// The new state.
        state: AdminState,
    },
}

/// A result of an endpoint's requests that requires an immediate decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// The endpoint has reached a failure limit.
    FailureLimitReached(FailureLimit),
    /// The request on probation succeeded.
    ProbationPassed,
    /// The request on probation failed.
    ProbationFailed,
    /// The endpoint asked for a pause of this length (`Retry-After`).
    RetryAfter(Duration),
}

/// A limit of failures that an endpoint has reached, with the number of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureLimit {
    /// This many consecutive failures of any kind: [`consecutive_failures`](crate::Outliers::consecutive_failures).
    Consecutive(u32),
    /// This many consecutive gateway failures:
    /// [`consecutive_gateway_failures`](crate::Outliers::consecutive_gateway_failures).
    ConsecutiveGateway(u32),
    /// This many consecutive connection failures:
    /// [`consecutive_connection_failures`](crate::Outliers::consecutive_connection_failures).
    ConsecutiveConnection(u32),
    /// This many failures within the configured time: [`failures_within`](crate::Outliers::failures_within).
    Within(u32),
}

/// The results of one endpoint's requests in one [interval](crate::Outliers::interval).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestCounts {
    /// The number of successful requests.
    pub successes: u64,
    /// The number of failed requests.
    pub failures: u64,
    /// The number of responses whose time to the first byte was measured.
    pub latency_samples: u64,
    /// The sum of the times to the first byte.
    pub latency_sum: Duration,
}

/// The administrative state of an endpoint, as set by an operator. It corresponds to HAProxy's `set server … state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminState {
    /// The operator has no objection. Ends a drain and maintenance; the other sources still count.
    Ready,
    /// The endpoint takes only requests that are bound to it.
    Drain {
        /// The time from now after which the endpoint takes no requests at all. `None` means no limit.
        deadline: Option<Duration>,
    },
    /// The endpoint takes no requests.
    Maintenance,
}

impl RequestCounts {
    /// Counts without latencies.
    #[must_use]
    pub const fn new(successes: u64, failures: u64) -> Self {
        Self { successes, failures, latency_samples: 0, latency_sum: Duration::ZERO }
    }

    /// Sets the number of measured times to the first byte and their sum.
    #[must_use]
    pub const fn with_latency(mut self, samples: u64, sum: Duration) -> Self {
        (self.latency_samples, self.latency_sum) = (samples, sum);
        self
    }
}

impl AdminState {
    /// A stable label in lower case: `ready`, `drain` or `maintenance`.
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
    /// A stable label: the name of the setting in [`Outliers`](crate::Outliers), such as `consecutive_failures`.
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

/// The reason for an ejection, such as `5 failures in a row`.
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
