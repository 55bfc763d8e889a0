use std::{io, net::SocketAddr, time::Duration};

use equipoise_core::PickError;
use equipoise_tower::BoxError;
use http::StatusCode;

use super::{destination::Destination, limits::LimitReached, rules::DeniedBy};

/// Why a [`ForwardProxy`](super::ForwardProxy) did not send a request on, or open a tunnel.
///
/// The message (`Display`) is for logs. Clients get the
/// [public message](crate::error::ProxyError::public_message), which contains no address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The request target is a path, as in requests to the server of a website. Status 400.
    #[error("the request target is not a full URL")]
    NotAbsolute,
    /// The request is one of HTTP, and its URL begins with `https://`. The client must open a tunnel with `CONNECT`, so
    /// that it can see the certificate of the server. Status 400.
    #[error("the scheme of the URL is https")]
    Https,
    /// The client has sent no valid credentials. Status 407.
    #[error("the client has sent no valid credentials")]
    Unauthenticated,
    /// The verifier of credentials has failed. Status 503.
    #[error("the credentials could not be verified")]
    Unverified(#[source] BoxError),
    /// The rules do not allow the destination, or none of its addresses. Status 403.
    #[error("{destination} is denied: {by}")]
    Denied {
        /// Where the client wanted to connect to.
        destination: Destination,
        /// The rule that has decided. If addresses are denied by different rules, the rule about the first address.
        by: DeniedBy,
    },
    /// A limit has been reached. Status 429 if it is a limit of this client, or 503.
    #[error("a limit has been reached: {0}")]
    Limit(LimitReached),
    /// The name could not be resolved, or has no address. Status 502.
    #[error("the name of {destination} cannot be resolved")]
    Resolve {
        /// Where the client wanted to connect to.
        destination: Destination,
        /// The error of the resolver. `None` if it has returned no address.
        source: Option<BoxError>,
    },
    /// No address of the destination has accepted a connection. Status 502, or 504 if the system has waited too long.
    #[error("{address} does not accept a connection")]
    Connect {
        /// The address that was tried last.
        address: SocketAddr,
        /// The error of the last attempt.
        source: io::Error,
    },
    /// There was no connection in time: see [`connect_timeout`](super::ForwardSettings::connect_timeout). Status 504.
    #[error("no connection within the connect timeout of {timeout:?}")]
    ConnectTimeout {
        /// The timeout that has passed.
        timeout: Duration,
    },
    /// No upstream proxy could be picked. Status 503.
    #[error("no upstream proxy can be used")]
    NoUpstream(#[source] PickError),
    /// The last upstream proxy that was tried could not be reached, or broke the connection. Status 502.
    #[error("the upstream proxy {address} cannot be used")]
    Upstream {
        /// The address of the endpoint.
        address: String,
        /// The error of the last attempt.
        source: BoxError,
    },
    /// The upstream proxy has not opened a tunnel, or has asked for other credentials. Status 502, or that of the
    /// upstream proxy if it is 502 to 504.
    #[error("the upstream proxy {address} has answered with status {status}")]
    UpstreamRefused {
        /// The address of the endpoint.
        address: String,
        /// The status of its response.
        status: StatusCode,
    },
}

impl ForwardError {
    /// Returns the status that the client should get.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotAbsolute | Self::Https => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            Self::Denied { .. } => StatusCode::FORBIDDEN,
            Self::Limit(
                LimitReached::ClientTunnels | LimitReached::ClientRequests | LimitReached::ClientBytes { .. },
            ) => StatusCode::TOO_MANY_REQUESTS,
            Self::Limit(_) | Self::Unverified(_) | Self::NoUpstream(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::UpstreamRefused { status, .. } if matches!(status.as_u16(), 502..=504) => *status,
            Self::Resolve { .. } | Self::Connect { .. } | Self::Upstream { .. } | Self::UpstreamRefused { .. } => {
                StatusCode::BAD_GATEWAY
            }
        }
    }

    /// Returns a short text for clients. It contains no address and nothing of the request.
    pub(crate) fn public_message(&self) -> String {
        match self {
            Self::NotAbsolute => "this is a forward proxy: the request target must be a full URL, such as \
                                  http://app.test/, or the host and port of CONNECT"
                .to_owned(),
            Self::Https => "this proxy sends requests for https only through tunnels: use CONNECT".to_owned(),
            Self::Unauthenticated => "this proxy needs a user and a password".to_owned(),
            Self::Unverified(_) => "the credentials cannot be verified now".to_owned(),
            Self::Denied { by, .. } => by.to_string(),
            Self::Limit(limit) => limit.to_string(),
            Self::Resolve { .. } => "the host cannot be resolved".to_owned(),
            Self::Connect { .. } => "the host does not accept a connection".to_owned(),
            Self::ConnectTimeout { .. } => "the host did not accept a connection in time".to_owned(),
            Self::NoUpstream(_) | Self::Upstream { .. } => "no upstream proxy can be used now".to_owned(),
            Self::UpstreamRefused { .. } => "the upstream proxy has refused to connect to the host".to_owned(),
        }
    }

    /// Returns the kind of this error as a stable label for metrics and logs, such as `denied`. The label of a limit is
    /// that of [`LimitReached`].
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NotAbsolute => "not_absolute",
            Self::Https => "https",
            Self::Unauthenticated => "unauthenticated",
            Self::Unverified(_) => "unverified",
            Self::Denied { .. } => "denied",
            Self::Limit(limit) => limit.as_str(),
            Self::Resolve { .. } => "unresolved",
            Self::Connect { .. } => "unreachable",
            Self::ConnectTimeout { .. } => "connect_timeout",
            Self::NoUpstream(_) => "no_upstream",
            Self::Upstream { .. } => "upstream",
            Self::UpstreamRefused { .. } => "upstream_refused",
        }
    }

    /// Returns the error type of RFC 9209, section 2.3. It does not tell an address that is denied from a name that is.
    pub(crate) fn proxy_status(&self) -> &'static str {
        match self {
            Self::NotAbsolute | Self::Https => "http_request_error",
            Self::Unauthenticated | Self::Denied { .. } => "http_request_denied",
            Self::Unverified(_) => "proxy_internal_error",
            Self::Limit(_) => "connection_limit_reached",
            Self::Resolve { .. } => "dns_error",
            Self::ConnectTimeout { .. } => "connection_timeout",
            Self::Connect { source, .. } => match source.kind() {
                io::ErrorKind::ConnectionRefused => "connection_refused",
                io::ErrorKind::TimedOut => "connection_timeout",
                _ => "destination_unavailable",
            },
            Self::NoUpstream(_) | Self::Upstream { .. } | Self::UpstreamRefused { .. } => "destination_unavailable",
        }
    }

    /// Returns whether a later attempt may succeed.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::NoUpstream(error) => error.is_temporary(),
            _ => self.status() == StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<LimitReached> for ForwardError {
    fn from(limit: LimitReached) -> Self {
        Self::Limit(limit)
    }
}
