//! Errors of connecting and of sending requests.

use std::{io, net::SocketAddr, time::Duration};

pub use equipoise_core::InvalidAddress;
use equipoise_tower::{BoxError, NotSent, UnsupportedRequest};
use tower::load_shed::error::Overloaded;

/// Why an [`Upstream`](crate::Upstream) returned no response.
///
/// The balancer of `equipoise-tower` derives from the error and its sources how far the request got
/// ([`FailureStage`](equipoise_tower::FailureStage)), and so whether the request may go to another endpoint:
///
/// | error | stage | retried |
/// | --- | --- | --- |
/// | [`Connect`](Self::Connect) | `NotSent` | always |
/// | [`Busy`](Self::Busy) | `Overloaded` | always |
/// | [`Exchange`](Self::Exchange), the connection broke before a response | `NoResponse` | if the request is idempotent |
/// | [`Exchange`](Self::Exchange), the response is malformed | `Other` | never |
/// | [`Exchange`](Self::Exchange), the request's body failed | `Caller` | never |
/// | [`Unsupported`](Self::Unsupported) | `Caller` | never |
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection could be opened, so the request was not sent. The source of the source is a [`ConnectError`]: see
    /// [`connect_error`](Self::connect_error).
    #[error("there is no connection to the endpoint")]
    Connect(#[source] NotSent),
    /// All connections of the endpoint are in use, and the request could not wait for one. It was not sent.
    #[error("all connections to the endpoint are in use: {0}")]
    Busy(Busy, #[source] Overloaded),
    /// The request was sent, at least in part, and there is no valid response: the connection broke, the response is
    /// malformed, or the request's body failed. The connection is closed.
    #[error("the request failed on its connection")]
    Exchange(#[source] BoxError),
    /// The body of the response ended with an error: the connection broke, or the body is malformed. The connection is
    /// closed.
    #[error("the body of the response failed")]
    Body(#[source] BoxError),
    /// The request is of a kind that cannot be sent. It was not sent, and no other endpoint could take it either.
    #[error("the request cannot be sent")]
    Unsupported(#[source] equipoise_tower::Error),
}

/// Why a request could not wait for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Busy {
    /// [`Settings::max_waiting`](crate::Settings::max_waiting) requests wait already.
    #[error("{max_waiting} requests wait already")]
    TooManyWaiting {
        /// The maximum number of requests that wait for a connection.
        max_waiting: usize,
    },
    /// The request has waited for [`Settings::wait_timeout`](crate::Settings::wait_timeout).
    #[error("no connection became free within {timeout:?}")]
    TimedOut {
        /// The timeout that has passed.
        timeout: Duration,
    },
}

impl Error {
    /// Returns why no connection could be opened. `None` if the request failed for another reason.
    pub fn connect_error(&self) -> Option<&ConnectError> {
        match self {
            Self::Connect(unsent) => match std::error::Error::source(unsent)?.downcast_ref()? {
                ConnectError::Shared(shared) => Some(shared),
                own => Some(own),
            },
            _ => None,
        }
    }

    /// Returns the kind of error as a stable label for metrics and logs: `connect`, `busy`, `exchange`,
    /// `body` or `unsupported`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Busy(..) => "busy",
            Self::Exchange(_) => "exchange",
            Self::Body(_) => "body",
            Self::Unsupported(_) => "unsupported",
        }
    }

    pub(crate) fn busy(busy: Busy) -> Self {
        Self::Busy(busy, Overloaded::new())
    }

    pub(crate) fn unsupported(reason: &'static str) -> Self {
        Self::Unsupported(equipoise_tower::Error::Unsupported(UnsupportedRequest::new(reason)))
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        let unsent = if error.is_unresolved() { NotSent::unresolved(error) } else { NotSent::new(error) };
        Self::Connect(unsent)
    }
}

/// Why a connection to an endpoint could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host name could not be resolved.
    #[error("the name {host} cannot be resolved")]
    Resolve {
        /// The host of the endpoint's address.
        host: String,
        /// The error of the [`Resolve`](crate::Resolve) implementation.
        source: BoxError,
    },
    /// The resolver knows the host name, but returned no IP address for it.
    #[error("the name {host} has no IP address")]
    NoAddress {
        /// The host of the endpoint's address.
        host: String,
    },
    /// No IP address of the host accepted a TCP connection.
    #[error("{address} does not accept a connection")]
    Tcp {
        /// The IP address that was tried last.
        address: SocketAddr,
        /// The error of the last attempt.
        source: io::Error,
    },
    /// The Unix socket did not accept a connection, or this platform has no Unix sockets.
    #[error("{path} does not accept a connection")]
    Unix {
        /// The path of the socket.
        path: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The header of the PROXY protocol could not be sent.
    #[cfg(feature = "proxy-protocol")]
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-protocol")))]
    #[error("the PROXY protocol header cannot be sent")]
    ProxyHeader {
        /// The error of the system.
        source: io::Error,
    },
    /// The TLS handshake failed, for example because the certificate is not valid for the server name.
    #[error("the TLS handshake with {name} failed")]
    Tls {
        /// The name for which the server's certificate had to be valid.
        name: String,
        /// The error of rustls, or an I/O error.
        source: io::Error,
    },
    /// The settings ask for HTTP/2 over TLS, and the server did not select it by ALPN.
    #[error("the server does not offer HTTP/2 by ALPN: use a server with HTTP/2, or Version::Auto")]
    NoHttp2,
    /// The HTTP handshake failed: the peer closed the connection, or does not speak HTTP/2.
    #[error("the HTTP handshake failed")]
    Handshake {
        /// The error of the HTTP implementation.
        source: BoxError,
    },
    /// The error of an attempt to open a connection, for which one or more requests waited. [`Error::connect_error`]
    /// returns the error inside.
    #[error(transparent)]
    Shared(std::sync::Arc<ConnectError>),
    /// The attempt was not finished: there is no tokio runtime, it has ended, or the [`Resolve`](crate::Resolve)
    /// implementation has panicked.
    #[error("the attempt was aborted: use an upstream in a tokio runtime that lives as long as its connections")]
    Aborted,
    /// The connection was not open within the connect timeout. The time includes the resolution of the name and the
    /// TLS handshake.
    #[error("no connection within the connect timeout of {timeout:?}")]
    TimedOut {
        /// The [connect timeout](crate::Settings::connect_timeout) that has passed.
        timeout: Duration,
    },
}

impl ConnectError {
    /// Returns whether there is no IP address for the host name.
    fn is_unresolved(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::NoAddress { .. } => true,
            Self::Shared(shared) => shared.is_unresolved(),
            _ => false,
        }
    }
}
