//! What is told of a session at its end.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use equipoise_core::{__private::guarded, EndpointId};

/// A session that has ended, for logs and metrics. See [`UdpSettings::on_end`](super::UdpSettings::on_end).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UdpSession {
    /// The address of the client: the source of its latest datagram.
    pub client: SocketAddr,
    /// The endpoint that was picked last. `None` if none was picked.
    pub endpoint: Option<EndpointId>,
    /// The number of datagrams that were sent to endpoints.
    pub sent: u64,
    /// The number of bytes in these datagrams, without headers of the PROXY protocol.
    pub sent_bytes: u64,
    /// The number of replies of endpoints.
    pub received: u64,
    /// The number of bytes in these replies.
    pub received_bytes: u64,
    /// The time from the first datagram to the end.
    pub duration: Duration,
    /// Why the session has ended.
    pub end: UdpEnd,
}

/// Why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UdpEnd {
    /// It had no datagram for the [idle timeout](super::UdpSettings::idle_timeout).
    Idle,
    /// Its endpoint has not replied in [time](super::UdpSettings::reply_timeout).
    Silent,
    /// All its datagrams have had their [replies](super::UdpSettings::max_replies).
    Answered,
    /// Its endpoint takes no more datagrams.
    EndpointClosing,
    /// Another session has taken its place, because there were [too many](super::UdpSettings::max_sessions).
    Displaced,
    /// No endpoint could be picked or reached, or no socket be opened.
    NoEndpoint,
    /// The listener is not served any longer.
    Aborted,
}

impl UdpEnd {
    /// Returns this reason as a stable label for metrics and logs: `idle`, `silent`, `answered`, `endpoint_closing`,
    /// `displaced`, `no_endpoint` or `aborted`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Silent => "silent",
            Self::Answered => "answered",
            Self::EndpointClosing => "endpoint_closing",
            Self::Displaced => "displaced",
            Self::NoEndpoint => "no_endpoint",
            Self::Aborted => "aborted",
        }
    }
}

/// A closure of the user that gets each session at its end.
#[derive(Clone)]
pub(super) struct EndHook(Arc<dyn Fn(&UdpSession) + Send + Sync>);

impl EndHook {
    pub(super) fn new(hook: impl Fn(&UdpSession) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(super) fn call(&self, session: &UdpSession) {
        let _ = guarded(|| (self.0)(session));
    }
}

impl fmt::Debug for EndHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndHook")
    }
}
