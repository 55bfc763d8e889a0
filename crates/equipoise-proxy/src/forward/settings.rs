use std::{net::SocketAddr, sync::Arc, time::Duration};

use equipoise_http::{Resolve, SystemResolver};

use super::{
    authentication::BasicAuth,
    end::{EndHook, ForwardTunnel},
    limits::ForwardLimits,
    upstream::Upstreams,
};
use crate::{
    body::Timeouts,
    check::RequestChecks,
    error::ErrorResponses,
    headers::{ForwardingFields, Via},
    tunnel::Tunnels,
};

/// The settings of a [`ForwardProxy`](super::ForwardProxy). Each method names its default.
///
/// ```
/// use std::time::Duration;
/// use equipoise_proxy::{
///     Tunnels,
///     forward::{BasicAuth, ForwardLimits, ForwardProxy, ForwardSettings, Passwords, Rule},
/// };
///
/// let settings = ForwardSettings::new()
///     .authentication(BasicAuth::new("proxy", Passwords::new().user("ann", "correct horse"))?)
///     .limits(ForwardLimits::new().max_tunnels_per_client(32))
///     .tunnels(Tunnels::new().idle_timeout(Duration::from_secs(300)));
/// let proxy = ForwardProxy::with_settings([Rule::allow()], settings);
/// # drop(proxy);
/// # Ok::<(), equipoise_proxy::forward::InvalidRealm>(())
/// ```
#[derive(Clone, Debug)]
pub struct ForwardSettings {
    pub(super) authentication: Option<BasicAuth>,
    pub(super) limits: ForwardLimits,
    pub(super) connect_timeout: Duration,
    pub(super) timeouts: Timeouts,
    pub(super) tunnels: Tunnels,
    pub(super) checks: RequestChecks,
    pub(super) max_body_bytes: Option<u64>,
    pub(super) forwarding: ForwardingFields,
    pub(super) via: Option<Via>,
    pub(super) errors: ErrorResponses,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) upstreams: Option<Upstreams>,
    pub(super) own_addresses: Vec<SocketAddr>,
    pub(super) max_idle_connections: usize,
    pub(super) idle_connection_timeout: Duration,
    pub(super) on_end: Option<EndHook>,
}

impl ForwardSettings {
    /// Creates the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self {
            authentication: None,
            limits: ForwardLimits::new(),
            connect_timeout: Duration::from_secs(10),
            timeouts: Timeouts::new(),
            tunnels: Tunnels::new(),
            checks: RequestChecks::new(),
            max_body_bytes: None,
            forwarding: ForwardingFields::untouched(),
            via: None,
            errors: ErrorResponses::new(),
            resolver: Arc::new(SystemResolver),
            upstreams: None,
            own_addresses: Vec::new(),
            max_idle_connections: 256,
            idle_connection_timeout: Duration::from_secs(30),
            on_end: None,
        }
    }

    /// Sets that clients must send valid credentials. The verifier has as much time as the
    /// [connect timeout](Self::connect_timeout). Default: no authentication.
    #[must_use]
    pub fn authentication(mut self, authentication: BasicAuth) -> Self {
        self.authentication = Some(authentication);
        self
    }

    /// Sets the limits on tunnels, bytes and time. Default: [`ForwardLimits::new`].
    #[must_use]
    pub fn limits(mut self, limits: ForwardLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how long it may take to connect to a destination: to resolve its name, to connect to one of its addresses,
    /// and, with [`upstreams`](Self::upstreams), to open the tunnel. The client gets status 504 when the time has passed.
    /// Default: 10 s.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long requests of HTTP wait for their response. Default: [`Timeouts::new`]. The time for the head of the
    /// response includes that for the connection.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets how tunnels end when they are idle, and how they are closed at a shutdown. Default: [`Tunnels::new`].
    #[must_use]
    pub fn tunnels(mut self, tunnels: Tunnels) -> Self {
        self.tunnels = tunnels;
        self
    }

    /// Sets which requests are refused because parsers read them differently. Default: [`RequestChecks::new`].
    #[must_use]
    pub fn checks(mut self, checks: RequestChecks) -> Self {
        self.checks = checks;
        self
    }

    /// Sets the maximum length of a request's body. A longer one gets status 413. Default: no limit.
    #[must_use]
    pub const fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.max_body_bytes = Some(bytes);
        self
    }

    /// Sets which fields tell destinations about the client. Default: [`ForwardingFields::untouched`], so this proxy adds
    /// none, and those that a client sends stay.
    #[must_use]
    pub fn forwarding(mut self, fields: ForwardingFields) -> Self {
        self.forwarding = fields;
        self
    }

    /// Sets the name of this proxy in `Via`, by which it recognizes requests that have come back to it. Default:
    /// `equipoise-` and 8 random digits, so that two proxies do not take each other's requests for their own.
    #[must_use]
    pub fn via(mut self, via: Via) -> Self {
        self.via = Some(via);
        self
    }

    /// Sets the responses for errors. Default: [`ErrorResponses::new`].
    #[must_use]
    pub fn errors(mut self, errors: ErrorResponses) -> Self {
        self.errors = errors;
        self
    }

    /// Sets how names are resolved: those of destinations, and those of upstream proxies. Default: [`SystemResolver`]. A
    /// name is resolved for each tunnel, and for each request for which no connection is kept. A resolver that queries a
    /// server should cache.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Sets the proxies through which everything is sent. Default: none, so this proxy connects to destinations itself.
    #[must_use]
    pub fn upstreams(mut self, upstreams: Upstreams) -> Self {
        self.upstreams = Some(upstreams);
        self
    }

    /// Adds an address at which this proxy listens, so that no connection is made to it. Known anyway are the address at
    /// which the client's connection was [accepted](crate::headers::ConnectionInfo::accepted_addr), and with the PROXY
    /// protocol, the address to which the client has connected. An address such as `0.0.0.0:3128` means this port at the
    /// loopback addresses and at the address at which the client's connection was accepted. If the machine has others, add each. Default: no others.
    #[must_use]
    pub fn own_address(mut self, address: SocketAddr) -> Self {
        self.own_addresses.push(address);
        self
    }

    /// Sets the maximum number of connections that are kept without a request. At more, the one that has waited longest
    /// is closed. 0 keeps none. Default: 256.
    #[must_use]
    pub const fn max_idle_connections(mut self, max: usize) -> Self {
        self.max_idle_connections = max;
        self
    }

    /// Sets how long a connection is kept without a request. Default: 30 s.
    #[must_use]
    pub const fn idle_connection_timeout(mut self, timeout: Duration) -> Self {
        self.idle_connection_timeout = timeout;
        self
    }

    /// Sets a closure that gets each tunnel at its end. It must not block. A panic in it is ignored. A `CONNECT` that was
    /// not successful is no tunnel, nor is one whose client left before it got the response. Default: none.
    #[must_use]
    pub fn on_end(mut self, hook: impl Fn(&ForwardTunnel) + Send + Sync + 'static) -> Self {
        self.on_end = Some(EndHook::new(hook));
        self
    }
}

impl Default for ForwardSettings {
    fn default() -> Self {
        Self::new()
    }
}
