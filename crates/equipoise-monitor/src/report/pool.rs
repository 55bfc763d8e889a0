use std::sync::Arc;

use equipoise_core::{LatencyHistogram, PoolStats};

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
    /// The sum of the latencies of the endpoints that have left and are not in `departed` any more: see
    /// [`PoolStatus::past_latency`](equipoise_core::PoolStatus::past_latency).
    pub past_latency: Option<LatencyHistogram>,
    /// The sum of the whole times of the endpoints that have left and are not in `departed` any more: see
    /// [`PoolStatus::past_duration`](equipoise_core::PoolStatus::past_duration).
    pub past_duration: Option<LatencyHistogram>,
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
    /// The number of ejections and pauses that were not carried out, because outlier detection kept out the maximum
    /// number of endpoints.
    pub prevented: u64,
    /// The number of pauses: endpoints that got no requests for a time, because they had sent `Retry-After`.
    pub pauses: u64,
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
    /// Numbers of requests by what became of their session. Each request counts in at most one of them:
    ///
    /// - `kept`: the endpoint of the session has answered.
    /// - `keyed`: the strategy has picked the endpoint by the session's key.
    /// - `new`: the session was bound to the endpoint that has answered.
    /// - `moved`: the session was bound to another endpoint, by the reasons in [`moved`](Self::moved).
    /// - `diverted`: another endpoint has answered once, by the reasons in [`diverted`](Self::diverted).
    /// - `refused`: the request was refused because its session was not bound to an endpoint.
    /// - `failed`: the request has ended in an error.
    ///
    /// Requests without a session, for which none was begun, are in none of them.
    pub outcomes: Vec<(&'static str, u64)>,
    /// The number of new sessions that were not stored because of the limit on the sessions of one source.
    pub limited: u64,
    /// Numbers of requests whose session was not bound to an endpoint when they arrived, by reason. Reasons that have not
    /// occurred are left out.
    pub unbound: Vec<(&'static str, u64)>,
    /// Numbers of requests whose session moved to another endpoint, by reason. Reasons that have not occurred are left
    /// out.
    pub moved: Vec<(&'static str, u64)>,
    /// Numbers of requests that another endpoint than that of their session has answered, by reason. Reasons that have
    /// not occurred are left out.
    pub diverted: Vec<(&'static str, u64)>,
    /// The session store: a table in memory, or Redis. `None` if the sessions are not kept in a store.
    pub store: Option<StoreReport>,
}

/// The size and the counters of a session store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StoreReport {
    /// The kind of the store: `table`, `redis`, or another word for a store of the application.
    pub kind: &'static str,
    /// The number of stored sessions. `None` if it is not known. Sessions that have ended may count until they are
    /// removed.
    pub sessions: Option<u64>,
    /// The maximum number of stored sessions. `None` if it is not known.
    pub capacity: Option<u64>,
    /// Whether the store is connected to its server. `None` if it has no server.
    pub connected: Option<bool>,
    /// Numbers of events so far, each with its name, such as `evictions` or `cache_hits`. The kind of the store decides
    /// which events there are, about a dozen at most.
    pub events: Vec<(&'static str, u64)>,
}

#[cfg(feature = "serde")]
fn text<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}
