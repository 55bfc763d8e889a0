use std::time::Duration;

use equipoise_core::EndpointStatus;

/// What a [`Snapshot`](super::Snapshot) says of one endpoint.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EndpointReport {
    /// The state and the counters of the endpoint in its pool.
    pub status: EndpointStatus,
    /// Why the endpoint has its availability. `None` if the monitor does not know the health of the pool, if health checks
    /// have not noticed the endpoint yet, or if it has left the pool.
    pub health: Option<HealthReport>,
    /// The connections to the endpoint. `None` if the pool's targets are not
    /// [`Upstream`](https://docs.rs/equipoise-http/latest/equipoise_http/struct.Upstream.html)s, unless
    /// `WatchedPool::connections` says how their connections are read. The numbers begin at 0 when the target of the
    /// endpoint is replaced. An endpoint that has left keeps them if its target is an `Upstream`.
    pub connections: Option<ConnectionsReport>,
    /// The time since the endpoint has left the pool. `None` if it is still there. Serialized as seconds.
    #[cfg_attr(feature = "serde", serde(serialize_with = "seconds"))]
    pub left_ago: Option<Duration>,
}

/// Why an endpoint has its availability.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HealthReport {
    /// The reasons why the endpoint is not up. Empty if it is up.
    pub conditions: Vec<ConditionReport>,
    /// The state of each check.
    pub checks: Vec<CheckReport>,
}

/// A reason why an endpoint is not up.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ConditionReport {
    /// Where the condition comes from: `operator`, `agent`, `checks` or `requests`.
    pub source: &'static str,
    /// The availability that the endpoint would have because of this condition alone.
    pub availability: &'static str,
    /// The reason, for people.
    pub reason: String,
    /// The time since the condition began. Serialized as seconds.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::time::serialize_duration"))]
    pub since: Duration,
}

/// The state of one check of an endpoint.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CheckReport {
    /// The name of the check.
    pub name: String,
    /// Whether the endpoint is up according to this check.
    pub up: bool,
    /// The time since `up` last changed. Serialized as seconds.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::time::serialize_duration"))]
    pub since: Duration,
    /// Why the last probe failed. `None` if it passed, or if no probe has ended yet.
    pub last_error: Option<String>,
}

/// The connections to an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ConnectionsReport {
    /// The number of open connections.
    pub open: u64,
    /// The number of open connections without a request.
    pub idle: u64,
    /// The number of requests that wait for a connection.
    pub waiting: u64,
    /// The number of connections that were opened so far.
    pub opened: u64,
    /// The number of connections that could not be opened.
    pub failed: u64,
    /// The number of requests that were sent over the connections.
    pub requests: u64,
    /// The number of bytes that were sent over the connections: heads and bodies of requests, before encryption.
    pub bytes_sent: u64,
    /// The number of bytes that were received over the connections: heads and bodies of responses, after decryption.
    pub bytes_received: u64,
    /// Numbers of closed connections, by reason. Reasons that have not occurred are left out.
    pub closed: Vec<(&'static str, u64)>,
}

#[cfg(feature = "serde")]
fn seconds<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&duration.map(|duration| duration.as_secs_f64()), serializer)
}
