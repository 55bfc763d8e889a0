use std::{sync::Arc, time::Duration};

use equipoise_core::SourcePrefix;
#[cfg(feature = "tcp-tls")]
use equipoise_http::Tls;
#[cfg(feature = "proxy-protocol")]
use equipoise_http::proxy_protocol::Version;
use equipoise_http::{Resolve, SystemResolver};

use super::{
    end::{EndHook, TcpConnection},
    key::TcpKey,
};

/// Settings of a [`TcpProxy`](super::TcpProxy).
///
/// ```
/// use std::time::Duration;
/// use equipoise_core::SourcePrefix;
/// use equipoise_proxy::tcp::{TcpKey, TcpSettings};
///
/// let settings = TcpSettings::new()
///     .connect_timeout(Duration::from_secs(1))
///     .key(TcpKey::source(SourcePrefix::default()))
///     .max_connections_per_source(100)
///     .on_end(|connection| println!("{:?} {}", connection.client, connection.end));
/// # drop(settings);
/// ```
#[derive(Clone, Debug)]
pub struct TcpSettings {
    pub(super) connect_timeout: Duration,
    pub(super) max_attempts: usize,
    pub(super) queue_timeout: Option<Duration>,
    pub(super) idle_timeout: Duration,
    pub(super) answer_timeout: Option<Duration>,
    pub(super) failover_on_early_end: bool,
    pub(super) max_connections: usize,
    pub(super) max_per_source: Option<usize>,
    pub(super) source_prefix: SourcePrefix,
    pub(super) key: TcpKey,
    pub(super) keep_alive: Option<Duration>,
    pub(super) resolver: Arc<dyn Resolve>,
    #[cfg(feature = "proxy-protocol")]
    pub(super) proxy_protocol: Option<Version>,
    #[cfg(feature = "tcp-tls")]
    pub(super) tls: Option<Tls>,
    #[cfg(feature = "splice")]
    pub(super) splice: bool,
    pub(super) on_end: Option<EndHook>,
}

impl TcpSettings {
    /// Creates settings with the default of each setting, which is stated at its method.
    #[must_use]
    pub fn new() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            // HAProxy's default: three retries.
            max_attempts: 4,
            queue_timeout: None,
            idle_timeout: Duration::from_secs(600),
            answer_timeout: None,
            failover_on_early_end: true,
            max_connections: 16_384,
            max_per_source: None,
            source_prefix: SourcePrefix::default(),
            key: TcpKey::none(),
            keep_alive: None,
            resolver: Arc::new(SystemResolver),
            #[cfg(feature = "proxy-protocol")]
            proxy_protocol: None,
            #[cfg(feature = "tcp-tls")]
            tls: None,
            #[cfg(feature = "splice")]
            splice: true,
            on_end: None,
        }
    }

    /// Sets the maximum time to open a connection to an endpoint. It includes the resolution of the name, the TCP
    /// connection to any of its addresses, and the TLS handshake. Default: 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how many endpoints are tried for a connection, at least 1. Default: 4.
    #[must_use]
    pub fn max_attempts(mut self, max: usize) -> Self {
        self.max_attempts = max.max(1);
        self
    }

    /// Sets how long a connection waits for an endpoint if it can have none now, for example because all are at their
    /// [limit](equipoise_core::EndpointSpec::max_in_flight). Connections wait in the order in which they came. The time
    /// is that of all attempts together. Default: they do not wait, and are closed.
    ///
    /// On Linux, a client that ends its direction while it waits has given up, and is closed: TCP does not tell whether
    /// it still reads. This holds for clients on TCP sockets. Clients over TLS wait until the timeout.
    #[must_use]
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.queue_timeout = Some(timeout);
        self
    }

    /// Sets how long a connection may be open without a byte in either direction. `Duration::MAX`: without a limit.
    /// Default: 10 minutes, as in nginx.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets the maximum time from the first byte that is sent to the endpoint to the first byte of the endpoint. Then the
    /// connection is closed, and the endpoint has failed. An endpoint that ends a connection in an orderly way without a
    /// byte, before the client ends it, has failed too. Use it only for protocols in which each connection gets an
    /// answer, and for clients that can be trusted to send valid requests. Default: only the
    /// [idle timeout](Self::idle_timeout) limits this time, and neither end is a failure of the endpoint.
    #[must_use]
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = Some(timeout);
        self
    }

    /// Sets whether an endpoint has refused a connection that it ends in an orderly way within a second, before a byte has
    /// passed. Then another endpoint is tried. Proxies whose own endpoints are down refuse connections so. If there is no
    /// other endpoint, the client is told of the end, and may still send. Turn it off for endpoints that only receive,
    /// and end their own direction at once. Default: true.
    #[must_use]
    pub fn failover_on_early_end(mut self, failover: bool) -> Self {
        self.failover_on_early_end = failover;
        self
    }

    /// Sets the maximum number of open connections of clients, over all listeners of the proxy. Others wait in the
    /// backlog of their listener. Default: 16 384.
    #[must_use]
    pub fn max_connections(mut self, max: usize) -> Self {
        self.max_connections = max;
        self
    }

    /// Sets the maximum number of open connections from one source: an address, or all addresses with the same
    /// [prefix](Self::source_prefix). Further ones are closed. Clients without an IP address are not limited. Default: no
    /// limit.
    #[must_use]
    pub fn max_connections_per_source(mut self, max: usize) -> Self {
        self.max_per_source = Some(max);
        self
    }

    /// Sets how many bits of a client's address make its source for
    /// [`max_connections_per_source`](Self::max_connections_per_source). Default: 32 for IPv4 and 64 for IPv6.
    #[must_use]
    pub fn source_prefix(mut self, prefix: SourcePrefix) -> Self {
        self.source_prefix = prefix;
        self
    }

    /// Sets where the key of a connection comes from, for strategies that place by key. Default: no key.
    #[must_use]
    pub fn key(mut self, key: TcpKey) -> Self {
        self.key = key;
        self
    }

    /// Sets after which time without traffic TCP asks whether the endpoint is still there, and the interval of these
    /// probes. `None`: no probes. Range: 1 s to 32 767 s; other times count as the nearest of these. Default: no probes,
    /// as in nginx and HAProxy, because the [idle timeout](Self::idle_timeout) ends connections to endpoints that have
    /// vanished. The listener has the setting for clients: [`Tcp::keep_alive`](crate::listen::Tcp::keep_alive).
    #[must_use]
    pub fn keep_alive(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.keep_alive = time.into();
        self
    }

    /// Sets the version of the header of the PROXY protocol that endpoints get at the start of each connection, before TLS.
    /// It tells the address of the client, and what else is known of the connection
    /// ([`client_header`](crate::proxy_protocol::client_header)). Default: no header.
    #[cfg(feature = "proxy-protocol")]
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-protocol")))]
    #[must_use]
    pub fn proxy_protocol(mut self, version: Version) -> Self {
        self.proxy_protocol = Some(version);
        self
    }

    /// Sets what resolves the host names of endpoints. Default: [`SystemResolver`].
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Sets that connections to endpoints use TLS. The certificate must be valid for the host of the endpoint's address,
    /// or for [`Tls::server_name`]. Default: no TLS; what clients send is passed on as it is. Unix sockets use no TLS.
    #[cfg(feature = "tcp-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tcp-tls")))]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets whether large flows between two TCP sockets may pass inside the kernel (`splice`), which costs less CPU time
    /// than copying them. Has an effect on Linux only. Default: true.
    #[cfg(feature = "splice")]
    #[cfg_attr(docsrs, doc(cfg(feature = "splice")))]
    #[must_use]
    pub fn splice(mut self, allow: bool) -> Self {
        self.splice = allow;
        self
    }

    /// Sets a closure that is called once for each connection that was served, at its end: for an access log or metrics. It must not
    /// block. Default: none.
    #[must_use]
    pub fn on_end(mut self, hook: impl Fn(&TcpConnection) + Send + Sync + 'static) -> Self {
        self.on_end = Some(EndHook::new(hook));
        self
    }
}

impl TcpSettings {
    /// Returns whether connections to endpoints use TLS.
    pub(super) fn has_tls(&self) -> bool {
        #[cfg(feature = "tcp-tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tcp-tls"))]
        false
    }
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self::new()
    }
}
