use std::time::Duration;

/// The limits of a [`ForwardProxy`](super::ForwardProxy). Each method names its default.
///
/// Some limits are for each client: a user if there is [authentication](super::ForwardSettings::authentication), and
/// else the address from which the client connects. All IPv6 addresses with the same first 64 bits are one client.
///
/// Limits on time need a tokio runtime with its timer turned on. Without this timer, no time is limited.
///
/// ```
/// use std::time::Duration;
/// use equipoise_proxy::forward::ForwardLimits;
///
/// let limits = ForwardLimits::new()
///     .max_tunnels_per_client(16)
///     .max_tunnel_time(Duration::from_secs(3600))
///     .max_bytes_per_client(10_000_000_000, Duration::from_secs(24 * 3600));
/// # drop(limits);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardLimits {
    pub(super) max_tunnels: usize,
    pub(super) max_tunnels_per_client: usize,
    pub(super) max_requests_per_client: usize,
    pub(super) max_tunnel_bytes: u64,
    pub(super) max_tunnel_time: Option<Duration>,
    pub(super) quota: Option<Quota>,
    pub(super) max_clients: usize,
}

/// How many bytes a client may transfer in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    pub(super) bytes: u64,
    pub(super) period: Duration,
}

impl ForwardLimits {
    /// Creates the default limits.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            max_tunnels: 16_384,
            max_tunnels_per_client: 256,
            max_requests_per_client: usize::MAX,
            max_tunnel_bytes: u64::MAX,
            max_tunnel_time: None,
            quota: None,
            max_clients: 65_536,
        }
    }

    /// Sets the maximum number of open tunnels of all clients together. A further `CONNECT` gets status 503. A tunnel
    /// counts from its request to its end. Default: 16 384.
    #[must_use]
    pub const fn max_tunnels(mut self, max: usize) -> Self {
        self.max_tunnels = max;
        self
    }

    /// Sets the maximum number of open tunnels of each client. A further `CONNECT` gets status 429. Default: 256.
    #[must_use]
    pub const fn max_tunnels_per_client(mut self, max: usize) -> Self {
        self.max_tunnels_per_client = max;
        self
    }

    /// Sets the maximum number of requests of HTTP that each client may have in flight: until the body of the response has
    /// ended. A further request gets status 429. Default: `usize::MAX`, which is no limit.
    #[must_use]
    pub const fn max_requests_per_client(mut self, max: usize) -> Self {
        self.max_requests_per_client = max;
        self
    }

    /// Sets the maximum number of bytes that pass through a tunnel, in both directions together. So many pass, and
    /// the tunnel is closed when the next one would. Default: no limit.
    #[must_use]
    pub const fn max_tunnel_bytes(mut self, max: u64) -> Self {
        self.max_tunnel_bytes = max;
        self
    }

    /// Sets how long a tunnel may be open. Then it is closed. Default: no limit. [`Tunnels::idle_timeout`] limits how
    /// long no byte may pass.
    ///
    /// [`Tunnels::idle_timeout`]: crate::Tunnels::idle_timeout
    #[must_use]
    pub const fn max_tunnel_time(mut self, max: Duration) -> Self {
        self.max_tunnel_time = Some(max);
        self
    }

    /// Sets the maximum number of bytes that each client may transfer in `period`: through tunnels and in the bodies of
    /// requests and responses of HTTP, in both directions together. Default: no limit.
    ///
    /// A period begins with the first byte. When all bytes are used up, the client's tunnels are closed and its bodies
    /// are aborted when the next bytes would pass. Each other tunnel that passes bytes at this moment may pass up to 256
    /// KiB more. Until the end of the period, its requests get status 429 with `Retry-After`.
    #[must_use]
    pub const fn max_bytes_per_client(mut self, bytes: u64, period: Duration) -> Self {
        self.quota = Some(Quota { bytes, period });
        self
    }

    /// Sets the maximum number of clients that are counted at the same time: those with an open tunnel or a request that
    /// is limited, and those that have transferred bytes in their current period. A request of a further client gets status 503. Each client costs
    /// about 200 bytes of memory. Default: 65 536.
    #[must_use]
    pub const fn max_clients(mut self, max: usize) -> Self {
        self.max_clients = max;
        self
    }
}

impl Default for ForwardLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// Which limit of a [`ForwardProxy`](super::ForwardProxy) has been reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LimitReached {
    /// [`ForwardLimits::max_tunnels`]. Status 503.
    #[error("too many tunnels are open")]
    Tunnels,
    /// [`ForwardLimits::max_tunnels_per_client`]. Status 429.
    #[error("this client has too many open tunnels")]
    ClientTunnels,
    /// [`ForwardLimits::max_requests_per_client`]. Status 429.
    #[error("this client has too many requests in flight")]
    ClientRequests,
    /// [`ForwardLimits::max_bytes_per_client`]. Status 429, or the end of the tunnel or body.
    #[error("this client has transferred too many bytes")]
    ClientBytes {
        /// How long it takes until the client may transfer bytes again.
        retry_after: Duration,
    },
    /// [`ForwardLimits::max_clients`]. Status 503.
    #[error("too many clients use this proxy")]
    Clients,
    /// [`ForwardLimits::max_tunnel_bytes`]. The tunnel ends.
    #[error("too many bytes have passed through this tunnel")]
    TunnelBytes,
    /// [`ForwardLimits::max_tunnel_time`]. The tunnel ends.
    #[error("this tunnel has been open for too long")]
    TunnelTime,
}

impl LimitReached {
    /// Returns this limit as a stable label for metrics and logs, such as `client_tunnels`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tunnels => "tunnels",
            Self::ClientTunnels => "client_tunnels",
            Self::ClientRequests => "client_requests",
            Self::ClientBytes { .. } => "client_bytes",
            Self::Clients => "clients",
            Self::TunnelBytes => "tunnel_bytes",
            Self::TunnelTime => "tunnel_time",
        }
    }
}
