use crate::{counter::Counter, listen::Connections};

/// Counters of a [`TcpProxy`](super::TcpProxy), since it was created. The bytes are counted by endpoint:
/// [`EndpointStatus::bytes_sent`](equipoise_core::EndpointStatus::bytes_sent).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpStats {
    /// Number of open connections of clients. Includes accepted connections that wait for
    /// [`max_connections`](super::TcpSettings::max_connections).
    pub open: u64,
    /// Maximum number of open connections: [`max_connections`](super::TcpSettings::max_connections). At the maximum,
    /// further connections wait.
    pub max_open: u64,
    /// Number of connections that were accepted.
    pub accepted: u64,
    /// Number of errors while accepting connections, such as too many open files.
    pub accept_errors: u64,
    /// Number of connections closed because their [handshake](crate::listen::Accepted::later) failed.
    pub failed_handshakes: u64,
    /// Number of connections closed because of
    /// [`max_connections_per_source`](super::TcpSettings::max_connections_per_source).
    pub source_limit: u64,
    /// Number of connections closed because no endpoint could be picked.
    pub without_endpoint: u64,
    /// Number of attempts to connect to an endpoint that failed.
    pub connect_failures: u64,
    /// Number of connections to an endpoint which the endpoint has ended at once, before a byte has passed.
    pub unused: u64,
    /// Number of attempts at another endpoint, after one has failed.
    pub failovers: u64,
    /// Number of connections that the endpoint has broken.
    pub broken_by_endpoint: u64,
    /// Number of connections that the client has broken.
    pub broken_by_client: u64,
    /// Number of connections closed because no byte has passed in time.
    pub idle_timeouts: u64,
    /// Number of connections closed because the endpoint has sent no byte in time.
    pub answer_timeouts: u64,
    /// Number of connections closed because their endpoint accepts no requests any more.
    pub endpoint_closings: u64,
    /// Number of connections aborted at the deadline of a shutdown.
    pub aborted: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) source_limit: Counter,
    pub(super) without_endpoint: Counter,
    pub(super) connect_failures: Counter,
    pub(super) unused: Counter,
    pub(super) failovers: Counter,
    pub(super) broken_by_endpoint: Counter,
    pub(super) broken_by_client: Counter,
    pub(super) idle_timeouts: Counter,
    pub(super) answer_timeouts: Counter,
    pub(super) endpoint_closings: Counter,
}

impl Counters {
    pub(super) fn stats(&self, connections: &Connections) -> TcpStats {
        let common = connections.counters();
        TcpStats {
            open: connections.open().try_into().unwrap_or(u64::MAX),
            max_open: connections.max().try_into().unwrap_or(u64::MAX),
            accepted: common.accepted.get(),
            accept_errors: common.accept_errors.get(),
            failed_handshakes: common.failed_handshakes.get(),
            source_limit: self.source_limit.get(),
            without_endpoint: self.without_endpoint.get(),
            connect_failures: self.connect_failures.get(),
            unused: self.unused.get(),
            failovers: self.failovers.get(),
            broken_by_endpoint: self.broken_by_endpoint.get(),
            broken_by_client: self.broken_by_client.get(),
            idle_timeouts: self.idle_timeouts.get(),
            answer_timeouts: self.answer_timeouts.get(),
            endpoint_closings: self.endpoint_closings.get(),
            aborted: common.aborted.get(),
        }
    }
}
