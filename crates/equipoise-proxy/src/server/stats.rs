use crate::{counter::Counter, listen::Connections};

/// Counters of a [`Server`](super::Server), since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Number of open connections. Includes accepted connections that wait for
    /// [`max_connections`](super::ServerLimits::max_connections). Excludes HTTP/1.1 connections that have switched
    /// protocols.
    pub open: u64,
    /// Maximum number of open connections: [`max_connections`](super::ServerLimits::max_connections). At the maximum,
    /// further connections wait.
    pub max_open: u64,
    /// Number of connections that were accepted and served.
    pub accepted: u64,
    /// Number of errors while accepting connections, such as too many open files.
    pub accept_errors: u64,
    /// Number of connections closed because their [handshake](crate::listen::Accepted::later) failed, or had not ended
    /// when another one needed room at [`max_connections`](super::ServerLimits::max_connections).
    pub failed_handshakes: u64,
    /// Number of connections closed because the head of a request was not complete in time.
    pub head_timeouts: u64,
    /// Number of connections closed because the body of a request did not go on in time.
    pub body_timeouts: u64,
    /// Number of connections closed because no request came in time.
    pub idle_timeouts: u64,
    /// Number of connections without a request that were closed to make room for another one at
    /// [`max_connections`](super::ServerLimits::max_connections).
    pub displaced: u64,
    /// Number of connections and HTTP/2 streams closed because the client took no bytes in time.
    pub write_timeouts: u64,
    /// Number of connections closed because of bytes that are not valid HTTP, or of an HTTP/1.1 head that is too large.
    pub malformed: u64,
    /// Number of HTTP/2 connections closed because the client sent too much of something that is cheap for it:
    /// cancelled requests, malformed frames, or `CONTINUATION` frames.
    pub floods: u64,
    /// Number of requests that got status 503 because of [`max_in_flight`](super::ServerLimits::max_in_flight).
    pub overloaded: u64,
    /// Number of requests that got status 421 because their host has another certificate than the connection.
    pub misdirected: u64,
    /// Number of connections aborted at the deadline of a shutdown.
    pub aborted: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) head_timeouts: Counter,
    pub(super) body_timeouts: Counter,
    pub(super) idle_timeouts: Counter,
    pub(super) displaced: Counter,
    pub(super) write_timeouts: Counter,
    pub(super) malformed: Counter,
    pub(super) floods: Counter,
    pub(super) overloaded: Counter,
    pub(super) misdirected: Counter,
}

impl Counters {
    pub(super) fn stats(&self, connections: &Connections) -> ServerStats {
        let common = connections.counters();
        ServerStats {
            open: connections.open().try_into().unwrap_or(u64::MAX),
            max_open: connections.max().try_into().unwrap_or(u64::MAX),
            accepted: common.accepted.get(),
            accept_errors: common.accept_errors.get(),
            failed_handshakes: common.failed_handshakes.get(),
            head_timeouts: self.head_timeouts.get(),
            body_timeouts: self.body_timeouts.get(),
            idle_timeouts: self.idle_timeouts.get(),
            displaced: self.displaced.get(),
            write_timeouts: self.write_timeouts.get(),
            malformed: self.malformed.get(),
            floods: self.floods.get(),
            overloaded: self.overloaded.get(),
            misdirected: self.misdirected.get(),
            aborted: common.aborted.get(),
        }
    }
}
