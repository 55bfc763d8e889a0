use std::{fmt, time::Duration};

use equipoise_core::{Availability, EndpointId, Timestamp};

use crate::probe::{Answer, ProbeError};

/// Names one probe. A machine gives each a number of its own, so an answer that comes too late is known for what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProbeId {
    pub(crate) record: u64,
    pub(crate) check: usize,
    pub(crate) number: u64,
}

impl ProbeId {
    /// Which of the policy's checks it is for.
    pub const fn check(self) -> usize {
        self.check
    }
}

/// What happens to a [`Machine`](crate::Machine).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// An endpoint has come, or has come anew under its old id (at another address).
    Joined(EndpointId),
    /// An endpoint has gone.
    Left(EndpointId),
    /// A probe has ended.
    Probed {
        /// Which.
        probe: ProbeId,
        /// How.
        result: Result<Answer, ProbeError>,
    },
    /// What requests have said about an endpoint.
    Signalled {
        /// Which.
        id: EndpointId,
        /// What.
        signal: Signal,
    },
    /// The answer to [`Action::Count`]: what requests came to since the last time.
    Counted(Vec<(EndpointId, Counts)>),
    /// What an operator wants.
    Ordered {
        /// The endpoint. If it has not joined yet, the order is remembered until it does: the last 1 024 such orders.
        id: EndpointId,
        /// What.
        order: Order,
    },
}

/// What requests have said about an endpoint, when it matters at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// More failed than its policy allows.
    Tripped(Trip),
    /// The request on trial went well.
    TrialPassed,
    /// The request on trial failed.
    TrialFailed,
    /// The endpoint asked to be left alone for so long.
    Pause(Duration),
}

/// Which rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Trip {
    /// So many failures in a row.
    Failures(u32),
    /// So many gateway failures in a row.
    Gateway(u32),
    /// So many connection failures in a row.
    Connection(u32),
    /// So many failures within the time set.
    Within(u32),
}

/// What the requests to one endpoint came to in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ended well.
    pub successes: u64,
    /// Failed.
    pub failures: u64,
    /// How many gave a time to the first byte.
    pub samples: u64,
    /// All these times together.
    pub latency: Duration,
}

/// What an operator wants of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// To serve, as far as others agree: takes back the other two.
    Ready,
    /// To take nothing new, and after the deadline, if there is one, nothing at all.
    Drain {
        /// From now.
        deadline: Option<Duration>,
    },
    /// To take nothing at all.
    Maintenance,
}

/// What a [`Machine`](crate::Machine) wants done.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Look at an endpoint, and report an [`Event::Probed`].
    Probe {
        /// The probe's name.
        probe: ProbeId,
        /// Whom to look at.
        id: EndpointId,
        /// The port to look at, if it is not the endpoint's own.
        port: Option<u16>,
    },
    /// The probe has taken too long; its answer does not count any more.
    Cancel(ProbeId),
    /// Say whom an endpoint takes.
    Set {
        /// Which endpoint.
        id: EndpointId,
        /// Whom it takes.
        availability: Availability,
    },
    /// Give an endpoint the weight that its agent wants.
    Weigh {
        /// Which endpoint.
        id: EndpointId,
        /// Of its own.
        percent: u32,
    },
    /// Let an endpoint have at most so many requests at a time.
    Limit {
        /// Which endpoint.
        id: EndpointId,
        /// `None`: any number.
        limit: Option<u32>,
    },
    /// Count what the requests came to, and report an [`Event::Counted`].
    Count,
    /// Tell whoever wants to know.
    Tell(Change),
}

/// That an endpoint is thought of otherwise than before.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Change {
    /// Who.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::text::display"))]
    pub id: EndpointId,
    /// Whom it took.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::text::display"))]
    pub from: Availability,
    /// Whom it takes.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::text::display"))]
    pub to: Availability,
    /// Whose opinion it is.
    pub source: Source,
    /// Why.
    pub reason: String,
    /// Since when.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::text::nanos"))]
    pub at: Timestamp,
}

/// Who has an opinion on an endpoint; the first that has a bad one is named as the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Source {
    /// Somebody in charge.
    Operator,
    /// A program on the endpoint.
    Agent,
    /// Probes.
    Checks,
    /// The requests themselves.
    Requests,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Operator => "operator",
            Self::Agent => "agent",
            Self::Checks => "checks",
            Self::Requests => "requests",
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} → {} ({}: {})", self.id, self.from, self.to, self.source, self.reason)
    }
}

impl fmt::Display for Trip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failures(count) => write!(f, "{count} failures in a row"),
            Self::Gateway(count) => write!(f, "{count} gateway failures in a row"),
            Self::Connection(count) => write!(f, "{count} connection failures in a row"),
            Self::Within(count) => write!(f, "{count} failures within the time set"),
        }
    }
}
