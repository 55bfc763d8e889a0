use std::sync::Arc;

use equipoise_core::PoolStats;

use super::endpoint::EndpointReport;

/// What a [`Snapshot`](super::Snapshot) says of one pool.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolReport {
    /// The name of the pool, as it was given to [`WatchedPool::new`](crate::WatchedPool::new).
    #[cfg_attr(feature = "serde", serde(serialize_with = "text"))]
    pub name: Arc<str>,
    /// The strategy of the pool, for people.
    pub strategy: String,
    /// The number of changes of the pool so far.
    pub revision: u64,
    /// The totals of the pool, with those of endpoints that have left.
    pub stats: PoolStats,
    /// The endpoints of the pool, in the order of their slots.
    pub endpoints: Vec<EndpointReport>,
    /// The endpoints that have left the pool recently: see [`Pool::departed`](equipoise_core::Pool::departed).
    pub departed: Vec<EndpointReport>,
    /// The totals of the health of the pool. `None` if the monitor does not know its health.
    pub health: Option<HealthTotals>,
    /// The counters of the pool's sessions. `None` if the monitor does not know its affinity.
    pub sessions: Option<SessionsReport>,
}

/// What the health checks and outlier detection of a pool have counted since they were created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HealthTotals {
    /// Numbers of changes of availability, by the source of the change and the new availability.
    pub changes: Vec<(&'static str, &'static str, u64)>,
    /// The number of ejections by outlier detection.
    pub ejections: u64,
    /// Numbers of probes that have ended, by the name of the check and by the result: `passed`, `failed` or
    /// `inconclusive`.
    pub probes: Vec<(String, &'static str, u64)>,
}

/// The counters of the sessions of a pool: those of
/// [`AffinityStats`](https://docs.rs/equipoise-affinity/latest/equipoise_affinity/struct.AffinityStats.html).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SessionsReport {
    /// Numbers of requests by what became of their session, such as `kept` or `new`.
    pub outcomes: Vec<(&'static str, u64)>,
    /// Numbers of requests whose session was not bound to an endpoint, by reason.
    pub unbound: Vec<(&'static str, u64)>,
    /// Numbers of requests whose session moved to another endpoint, by reason.
    pub moved: Vec<(&'static str, u64)>,
    /// Numbers of requests that another endpoint than that of their session has answered, by reason.
    pub diverted: Vec<(&'static str, u64)>,
}

#[cfg(feature = "serde")]
fn text<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}
