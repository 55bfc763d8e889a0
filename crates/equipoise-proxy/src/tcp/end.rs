use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use equipoise_core::{__private::guarded, EndpointId, InvalidAddress, PickError};
use equipoise_http::ConnectError;

use crate::headers::ConnectionInfo;

/// A connection that has ended, for logs and metrics. See [`TcpSettings::on_end`](super::TcpSettings::on_end).
#[derive(Debug)]
#[non_exhaustive]
pub struct TcpConnection {
    /// The address of the client. `None` if it is not known.
    pub client: Option<SocketAddr>,
    /// What else is known about the client's connection.
    pub info: ConnectionInfo,
    /// The endpoint that was tried last. `None` if none was picked.
    pub endpoint: Option<EndpointId>,
    /// The number of endpoints that were tried.
    pub attempts: usize,
    /// The number of bytes that were sent to the endpoint.
    pub sent: u64,
    /// The number of bytes that were received from the endpoint.
    pub received: u64,
    /// The time since the connection was established with the client.
    pub duration: Duration,
    /// Why the connection has ended.
    pub end: TcpEnd,
}

/// Why a TCP connection has ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TcpEnd {
    /// Both sides have ended their direction.
    #[error("both sides have ended the connection")]
    Complete,
    /// The client's connection broke, for example because the client has reset it, or the client has given up while it
    /// waited for an endpoint.
    #[error("the connection of the client broke")]
    Client(#[source] io::Error),
    /// The endpoint's connection broke, for example because the endpoint has reset it, or has ended TLS without
    /// close_notify.
    #[error("the connection of the endpoint broke")]
    Endpoint(#[source] io::Error),
    /// The endpoint has ended the connection at once, and there was no other endpoint to try.
    #[error("the endpoint has ended the connection before a byte has passed")]
    Unused,
    /// No byte has passed for the [idle timeout](super::TcpSettings::idle_timeout).
    #[error("no byte has passed in time")]
    Idle,
    /// The endpoint has sent no byte within the [answer timeout](super::TcpSettings::answer_timeout).
    #[error("the endpoint has not answered in time")]
    Unanswered,
    /// The endpoint accepts no requests any more.
    #[error("the endpoint accepts no requests any more")]
    EndpointClosing,
    /// The connection was open at the deadline of a shutdown, or its future was dropped.
    #[error("the proxy has aborted the connection")]
    Aborted,
    /// As many connections as [allowed](super::TcpSettings::max_connections_per_source) were open from the source.
    #[error("too many connections from this source")]
    SourceLimit,
    /// No endpoint could be picked.
    #[error("no endpoint could be picked")]
    Pick(#[source] PickError),
    /// No connection to an endpoint could be opened. This is the error of the last attempt.
    #[error("no connection to the endpoint could be opened")]
    Connect(#[source] ConnectError),
    /// The address of the endpoint is not valid.
    #[error("the address of the endpoint is not valid")]
    Address(#[source] InvalidAddress),
}

impl TcpEnd {
    /// Returns this reason as a stable label for metrics and logs: `complete`, `client`, `endpoint`, `unused`, `idle`,
    /// `unanswered`, `endpoint_closing`, `aborted`, `source_limit`, `pick`, `connect` or `address`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Client(_) => "client",
            Self::Endpoint(_) => "endpoint",
            Self::Unused => "unused",
            Self::Idle => "idle",
            Self::Unanswered => "unanswered",
            Self::EndpointClosing => "endpoint_closing",
            Self::Aborted => "aborted",
            Self::SourceLimit => "source_limit",
            Self::Pick(_) => "pick",
            Self::Connect(_) => "connect",
            Self::Address(_) => "address",
        }
    }
}

/// A closure of the user that gets each connection at its end.
#[derive(Clone)]
pub(super) struct EndHook(Arc<dyn Fn(&TcpConnection) + Send + Sync>);

impl EndHook {
    pub(super) fn new(hook: impl Fn(&TcpConnection) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(super) fn call(&self, connection: &TcpConnection) {
        let _ = guarded(|| (self.0)(connection));
    }
}

impl fmt::Debug for EndHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndHook")
    }
}
