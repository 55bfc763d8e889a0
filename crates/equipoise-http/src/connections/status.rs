//! What is known about the connections to an endpoint: their numbers, and why they were closed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::bytes::{ByteCounts, ConnectionBytes, EndpointBytes};

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// It was idle for [`Settings::idle_timeout`](crate::Settings::idle_timeout).
    IdleTimeout,
    /// It was older than [`Settings::max_lifetime`](crate::Settings::max_lifetime).
    Lifetime,
    /// It has carried [`Settings::max_requests`](crate::Settings::max_requests).
    MaxRequests,
    /// It became idle while there were [`Settings::max_idle`](crate::Settings::max_idle) idle connections. Or it was
    /// idle while a request waited for a connection of the other HTTP version, and there were
    /// [`Settings::max_connections`](crate::Settings::max_connections).
    TooManyIdle,
    /// The endpoint has left its pool, or [`Upstream::close`](crate::Upstream::close) was called.
    Removed,
    /// The server closed it, or asked for it (`Connection: close`, GOAWAY), or an idle connection received data.
    Peer,
    /// A request on it failed: the connection broke, or the response was malformed.
    Failed,
    /// A request on it was given up: its future, or its response body, was dropped before the end. Also if a response
    /// that is no success (2xx) was complete before its request was.
    Abandoned,
    /// It had become a tunnel (an upgrade or `CONNECT`), and the tunnel has ended.
    Tunnel,
    /// The server has not answered an HTTP/2 PING within `Settings::ping_timeout`.
    PingTimeout,
}

impl CloseReason {
    /// All reasons.
    pub const ALL: [Self; 10] = [
        Self::IdleTimeout,
        Self::Lifetime,
        Self::MaxRequests,
        Self::TooManyIdle,
        Self::Removed,
        Self::Peer,
        Self::Failed,
        Self::Abandoned,
        Self::Tunnel,
        Self::PingTimeout,
    ];

    /// Returns the reason as a stable label for metrics and logs, such as `idle_timeout`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IdleTimeout => "idle_timeout",
            Self::Lifetime => "lifetime",
            Self::MaxRequests => "max_requests",
            Self::TooManyIdle => "too_many_idle",
            Self::Removed => "removed",
            Self::Peer => "peer",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
            Self::Tunnel => "tunnel",
            Self::PingTimeout => "ping_timeout",
        }
    }
}

/// The connections to an endpoint at one moment. [`Upstream::status`](crate::Upstream::status) returns it. The values
/// are read one after the other, so they may be of slightly different moments.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// The number of connections that are open or being opened: in use, idle, and tunnels.
    pub open: usize,
    /// The number of connections without a request, of HTTP/1.1 and HTTP/2.
    pub idle: usize,
    /// The number of requests that wait for a connection to become free or to be opened.
    pub waiting: usize,
    /// The number of connections that were opened since the upstream was created.
    pub opened: u64,
    /// The number of times that a connection could not be opened.
    pub failed: u64,
    /// The number of bytes that were sent on the connections, those that are closed included: requests with their heads,
    /// the frames of HTTP/2, and the bytes of tunnels. With TLS, the bytes before encryption. The header of the PROXY
    /// protocol is not counted. Never decreases.
    pub bytes_sent: u64,
    /// The number of bytes that were received on the connections, counted as [`bytes_sent`](Self::bytes_sent) is. Never
    /// decreases.
    pub bytes_received: u64,
    /// The number of requests that were sent on a connection. Divided by `opened`, it is the mean number of requests per
    /// connection.
    pub requests: u64,
    pub(crate) closed: [u64; CloseReason::ALL.len()],
}

impl ConnectionStatus {
    /// Returns the number of connections that were closed for `reason`.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }

    /// Returns the mean number of requests per connection that was opened. 0 if none was opened.
    pub fn requests_per_connection(&self) -> f64 {
        if self.opened == 0 { 0.0 } else { self.requests as f64 / self.opened as f64 }
    }
}

/// Counters of one endpoint. They change when a connection is opened or closed, not with each request. The bytes are
/// counted by each connection for itself.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    opened: AtomicU64,
    failed: AtomicU64,
    closed: [AtomicU64; CloseReason::ALL.len()],
    bytes: Arc<EndpointBytes>,
}

impl Counters {
    pub(crate) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, reason: CloseReason) {
        self.closed[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Begins to count the bytes of a connection.
    pub(super) fn connection_bytes(&self) -> ConnectionBytes {
        ConnectionBytes::new(Arc::clone(&self.bytes))
    }

    /// Returns the bytes of all connections.
    pub(super) fn bytes(&self) -> ByteCounts {
        self.bytes.read()
    }

    /// Returns the numbers of opened connections, of failures to open one, and of closed connections by reason.
    pub(crate) fn read(&self) -> (u64, u64, [u64; CloseReason::ALL.len()]) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.opened), read(&self.failed), std::array::from_fn(|reason| read(&self.closed[reason])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_counter() {
        for (index, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
