use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use equipoise_core::{__private::guarded, EndpointId};

use super::{authentication::AuthenticatedUser, destination::Destination, limits::LimitReached};
use crate::{headers::ConnectionInfo, tunnel::TunnelEnd};

/// A tunnel that has ended, for logs and metrics. See [`ForwardSettings::on_end`](super::ForwardSettings::on_end).
#[derive(Debug)]
#[non_exhaustive]
pub struct ForwardTunnel {
    /// The address of the client. `None` if it is not known.
    pub client: Option<SocketAddr>,
    /// What else is known about the client's connection.
    pub info: ConnectionInfo,
    /// The user that the client has authenticated itself as. `None` without authentication.
    pub user: Option<AuthenticatedUser>,
    /// The host and port that the client has asked for.
    pub destination: Destination,
    /// The address of the destination. `None` if an upstream proxy has resolved its name.
    pub address: Option<SocketAddr>,
    /// The upstream proxy through which the tunnel went. `None` without [upstreams](super::ForwardSettings::upstreams).
    pub upstream: Option<EndpointId>,
    /// The number of bytes that were sent to the destination.
    pub sent: u64,
    /// The number of bytes that were received from the destination.
    pub received: u64,
    /// The time since the destination was connected.
    pub duration: Duration,
    /// Why the tunnel has ended.
    pub end: ForwardEnd,
}

/// Why a tunnel of a [`ForwardProxy`](super::ForwardProxy) has ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardEnd {
    /// Both sides have ended their direction.
    #[error("both sides have ended the tunnel")]
    Complete,
    /// A limit on its bytes, its time or the bytes of its client.
    #[error(transparent)]
    Limit(LimitReached),
    /// Another reason before both sides have ended their direction.
    #[error(transparent)]
    Early(TunnelEnd),
}

impl ForwardEnd {
    /// Returns this reason as a stable label for metrics and logs: `complete`, one of [`LimitReached::as_str`], or one of
    /// [`TunnelEnd::as_str`].
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Limit(limit) => limit.as_str(),
            Self::Early(end) => end.as_str(),
        }
    }
}

/// A closure of the user that gets each tunnel at its end.
#[derive(Clone)]
pub(super) struct EndHook(Arc<dyn Fn(&ForwardTunnel) + Send + Sync>);

impl EndHook {
    pub(super) fn new(hook: impl Fn(&ForwardTunnel) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(super) fn call(&self, tunnel: &ForwardTunnel) {
        let _ = guarded(|| (self.0)(tunnel));
    }
}

impl fmt::Debug for EndHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndHook")
    }
}
