//! What a [`Monitor`](crate::Monitor) has read at one moment, as plain data: a [`Snapshot`]. Metrics, the status page and
//! its JSON are made from snapshots only.

mod endpoint;
mod function;
mod listener;
mod pool;
#[cfg(any(feature = "serde", feature = "prometheus", feature = "metrics"))]
pub(crate) mod time;

use std::time::{Duration, SystemTime};

pub use self::{
    endpoint::{CheckReport, ConditionReport, ConnectionsReport, EndpointReport, HealthReport},
    function::{FunctionReading, FunctionReport},
    listener::{CertificateReport, ListenerReport, Reading, ReadingKind},
    pool::{HealthTotals, PoolReport, SessionsReport, StoreReport},
};

/// All counters and states of a [`Monitor`](crate::Monitor) at one moment.
///
/// Each endpoint is read once, so that what is said of one endpoint belongs together: `requests.total` is the sum of its
/// outcomes and of its requests in flight. Different endpoints are read one after the other. The health and the connections
/// of all endpoints are read just after their counters. If the pool has changed in between, all are read again, up to three
/// times. Health that does not change the pool, and requests, may still show in one and not in the other.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// When the snapshot was taken. Serialized as seconds since 1970.
    #[cfg_attr(feature = "serde", serde(serialize_with = "time::serialize_time"))]
    pub at: SystemTime,
    /// The time since the monitor was created. Serialized as seconds.
    #[cfg_attr(feature = "serde", serde(serialize_with = "time::serialize_duration"))]
    pub uptime: Duration,
    /// The name and the version of the program, and the version of the library.
    pub build: BuildInfo,
    /// The pools, in the order in which they were added.
    pub pools: Vec<PoolReport>,
    /// The listeners, in the order in which they were added.
    pub listeners: Vec<ListenerReport>,
    /// The functions of a gateway, in the order in which they were added.
    pub functions: Vec<FunctionReport>,
}

/// Which program reports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BuildInfo {
    /// The name of the program, as [`Monitor::build_info`](crate::Monitor::build_info) has set it. Default: `equipoise`.
    pub program: String,
    /// The version of the program. Default: the version of this library.
    pub version: String,
    /// The version of this library.
    pub library: &'static str,
}

impl Default for BuildInfo {
    fn default() -> Self {
        let library = env!("CARGO_PKG_VERSION");
        Self { program: "equipoise".to_owned(), version: library.to_owned(), library }
    }
}
