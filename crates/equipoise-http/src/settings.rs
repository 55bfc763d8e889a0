//! The settings of connections.

#[cfg(feature = "proxy-protocol")]
use std::fmt;
use std::{sync::Arc, time::Duration};

#[cfg(feature = "tls")]
use crate::connect::Tls;
use crate::connect::{Resolve, SystemResolver};
#[cfg(feature = "proxy-protocol")]
use crate::proxy_protocol::{self, ProxyHeader};

/// The HTTP version that connections use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Version {
    /// With `https`, HTTP/2 if the server selects it by ALPN and the feature `http2` is on, otherwise HTTP/1.1. Without
    /// TLS, HTTP/1.1. This is the default.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only. Without TLS, the connection begins with HTTP/2 at once ("prior knowledge", RFC 9113, section 3.3).
    /// With `https`, the server must select HTTP/2 by ALPN.
    #[cfg(feature = "http2")]
    #[cfg_attr(docsrs, doc(cfg(feature = "http2")))]
    Http2,
}

/// Settings of the connections to one endpoint. All limits count per endpoint (per [`Upstream`](crate::Upstream)), not
/// over all endpoints.
///
/// ```
/// use std::time::Duration;
///
/// use equipoise_http::{Settings, Upstream};
///
/// let settings = Settings::new().connect_timeout(Duration::from_secs(1)).max_connections(64).prewarm(4);
/// let upstream = Upstream::with_settings("10.0.0.1:8080", &settings)?;
/// # Ok::<(), equipoise_http::InvalidAddress>(())
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) version: Version,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_connections: usize,
    pub(crate) max_idle: usize,
    pub(crate) max_waiting: usize,
    pub(crate) wait_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) max_requests: Option<u64>,
    pub(crate) tcp_keep_alive: Option<Duration>,
    pub(crate) nodelay: bool,
    pub(crate) prewarm: usize,
    pub(crate) continue_timeout: Duration,
    pub(crate) max_response_head: u32,
    #[cfg(feature = "http2")]
    pub(crate) max_streams: usize,
    #[cfg(feature = "http2")]
    pub(crate) stream_window: u32,
    #[cfg(feature = "http2")]
    pub(crate) pings: Pings,
    #[cfg(feature = "tls")]
    pub(crate) tls: Tls,
    #[cfg(feature = "proxy-protocol")]
    pub(crate) proxy_protocol: Option<ClientHeaders>,
    pub(crate) resolver: Arc<dyn Resolve>,
}

/// How connections begin with a header of the PROXY protocol.
#[cfg(feature = "proxy-protocol")]
#[derive(Clone)]
pub(crate) struct ClientHeaders {
    version: proxy_protocol::Version,
    of: Arc<dyn Fn(&http::Extensions) -> ProxyHeader + Send + Sync>,
}

#[cfg(feature = "proxy-protocol")]
impl ClientHeaders {
    /// Returns the header for the client of a request.
    pub(crate) fn of(&self, extensions: &http::Extensions) -> bytes::Bytes {
        self.of.as_ref()(extensions).encode(self.version)
    }
}

#[cfg(feature = "proxy-protocol")]
impl fmt::Debug for ClientHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHeaders").field("version", &self.version).finish_non_exhaustive()
    }
}

/// The PINGs of HTTP/2 connections.
#[cfg(feature = "http2")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pings {
    pub(crate) interval: Option<Duration>,
    pub(crate) timeout: Duration,
    pub(crate) while_idle: bool,
}

/// The number of streams that a client can open on one connection: they have odd numbers below 2³¹.
#[cfg(feature = "http2")]
const MAX_STREAMS: usize = 1 << 30;

/// The largest flow-control window of HTTP/2 (RFC 9113, section 6.9.1).
#[cfg(feature = "http2")]
pub(crate) const MAX_WINDOW: u32 = (1 << 31) - 1;

impl Settings {
    /// Creates settings with the default of each setting, which is stated at its method.
    #[must_use]
    pub fn new() -> Self {
        Self {
            version: Version::Auto,
            connect_timeout: Duration::from_secs(5),
            max_connections: 1024,
            max_idle: 256,
            max_waiting: 1024,
            wait_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            max_lifetime: Some(Duration::from_secs(60 * 60)),
            max_requests: None,
            tcp_keep_alive: Some(Duration::from_secs(60)),
            nodelay: true,
            prewarm: 0,
            continue_timeout: Duration::from_secs(1),
            max_response_head: 64 * 1024,
            #[cfg(feature = "http2")]
            max_streams: 100,
            #[cfg(feature = "http2")]
            stream_window: 256 * 1024,
            #[cfg(feature = "http2")]
            pings: Pings {
                interval: Some(Duration::from_secs(30)),
                timeout: Duration::from_secs(15),
                while_idle: false,
            },
            #[cfg(feature = "tls")]
            tls: Tls::new(),
            #[cfg(feature = "proxy-protocol")]
            proxy_protocol: None,
            resolver: Arc::new(SystemResolver),
        }
    }

    /// Sets the HTTP version. Default: [`Version::Auto`].
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Sets the maximum time to open a connection. It includes the resolution of the name, the TCP connection to any of
    /// the addresses, and the handshakes of TLS and HTTP. Default: 5 s, as in Envoy. With 0, connecting fails almost at
    /// once.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the maximum number of open connections to the endpoint: in use, idle, and being opened, of HTTP/1.1 and
    /// HTTP/2 together. Default: 1024, as in Envoy. 0 counts as 1. If all of them are in use, further requests
    /// [wait](Self::max_waiting). A connection that has become a tunnel (an upgrade or `CONNECT`) counts until it is
    /// closed. An attempt to open a connection counts until it ends, also if its request was given up. It makes progress
    /// only while the tokio runtime of its request runs. Idle connections of one runtime are closed if requests of another
    /// one need their places.
    #[must_use]
    pub fn max_connections(mut self, max: usize) -> Self {
        self.max_connections = max.max(1);
        self
    }

    /// Sets the maximum number of idle HTTP/1.1 connections. A connection that becomes idle beyond this number is
    /// closed. Default: 256. With 0, a connection is closed at the end of its request, unless another request waits for it.
    /// Idle connections of HTTP/2 do not count, because one connection carries many requests.
    #[must_use]
    pub fn max_idle(mut self, max: usize) -> Self {
        self.max_idle = max;
        self
    }

    /// Sets the maximum number of requests that wait for a connection while all connections are in use. Further
    /// requests fail at once with [`Error::Busy`](crate::Error::Busy), and a balancer sends them to another endpoint.
    /// Default: 1024, as in Envoy. Requests that wait are served in order. A request whose connection was closed, and
    /// which is therefore sent again, goes to the front.
    ///
    /// Requests for which a connection is being opened do not count. A new HTTP/2 connection is expected to have the
    /// stream limit of the previous one. The first is expected to have `max_streams`. With 0, a request is sent only if a
    /// connection is free or can be opened.
    #[must_use]
    pub fn max_waiting(mut self, max: usize) -> Self {
        self.max_waiting = max;
        self
    }

    /// Sets the maximum time that a request waits for a connection while all connections are in use. If one of them is
    /// closed, the time to open another one in its place is included. After the timeout, the request fails with
    /// [`Error::Busy`](crate::Error::Busy). Default: 5 s. If a connection can be opened at once, the request may wait
    /// for the [`connect_timeout`](Self::connect_timeout) in addition, so that it fails with the error of connecting. If a
    /// request is sent again, because the connection that it had was closed, the times that it waits are added up.
    #[must_use]
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.wait_timeout = timeout;
        self
    }

    /// Sets how long a connection may be idle before it is closed. Choose a time below the server's own keep-alive
    /// timeout. Default: 60 s. Idle connections are checked periodically, so one may stay for up to an eighth of the
    /// time, and at most one second, longer.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets how long a connection is used after it was opened. `None`: without a limit. Default: one hour, as in nginx.
    /// The time of each connection is shorter by up to 10 %, at random, so that connections which were opened together
    /// are not closed together. A request that is on the connection when its time is over is finished first. However short
    /// the time is, a connection that is opened for a request carries this request. New connections see changes of DNS.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.max_lifetime = lifetime.into();
        self
    }

    /// Sets how many requests a connection carries before it is closed. `None`: without a limit. Default: `None`. 0
    /// counts as 1.
    #[must_use]
    pub fn max_requests(mut self, max: impl Into<Option<u64>>) -> Self {
        self.max_requests = max.into().map(|max| max.max(1));
        self
    }

    /// Sets after which time without traffic TCP sends keep-alive probes, and the interval of the probes. `None`: no
    /// probes. Default: 60 s. Range: 1 s to 32 767 s; other times count as the nearest of these. The system rounds the
    /// time to whole seconds. Unix sockets have no probes.
    #[must_use]
    pub fn tcp_keep_alive(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.tcp_keep_alive = time.into();
        self
    }

    /// Sets `TCP_NODELAY`: if true, TCP sends small segments at once. If false, it waits for the acknowledgement of
    /// earlier data (Nagle's algorithm). Default: true.
    #[must_use]
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Sets how many connections are opened before requests need them, at most
    /// [`max_connections`](Self::max_connections) and [`max_idle`](Self::max_idle). With HTTP/2, one connection is
    /// opened, because others follow before it is full. Default: 0.
    ///
    /// They are opened once: when the [`Upstream`](crate::Upstream) is created inside a tokio runtime, otherwise with
    /// its first request. A connection that cannot be opened, or that is closed later, is not replaced until a request
    /// needs it.
    #[must_use]
    pub fn prewarm(mut self, connections: usize) -> Self {
        self.prewarm = connections;
        self
    }

    /// Sets how long the body of a request with `Expect: 100-continue` is held back while neither `100 Continue` nor a
    /// response arrives. After it, the body is sent, because some servers do not know the expectation (RFC 9110,
    /// section 10.1.1). Default: 1 s, as in curl. If the final response arrives first and is not a success (2xx), the
    /// body is not sent, and the connection is closed after the response. Applies to HTTP/1.1. Over HTTP/2, the body is
    /// sent at once.
    #[must_use]
    pub fn continue_timeout(mut self, timeout: Duration) -> Self {
        self.continue_timeout = timeout;
        self
    }

    /// Sets the maximum size of the head of a response, in bytes. A response with a larger head fails with
    /// [`Error::Exchange`](crate::Error::Exchange). Default: 64 KiB. Range: 8 KiB to 16 MiB; other values count as the
    /// nearest of these.
    ///
    /// With HTTP/1.1, it is the size of the buffer for reading: a connection holds at most so many bytes of a response that
    /// its receiver does not read. A response has at most 100 header fields. With HTTP/2, each field counts with its length
    /// before compression and 32 bytes more (RFC 9113, section 6.5.2).
    #[must_use]
    pub fn max_response_head(mut self, bytes: usize) -> Self {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.max_response_head = bytes.clamp(8 * 1024, 16 * 1024 * 1024);
        self
    }

    /// Sets how many bytes of each response an HTTP/2 server may send before they are read. All streams of a connection
    /// together may use [`max_streams`](Self::max_streams) times as much, but at most 2 GiB. Default: 256 KiB: with a round
    /// trip of 1 ms, a response gets at most 256 MB/s. Range: 65 535, which HTTP/2 has by default, to 2³¹ − 1; other values
    /// count as the nearest of these.
    #[cfg(feature = "http2")]
    #[cfg_attr(docsrs, doc(cfg(feature = "http2")))]
    #[must_use]
    pub fn stream_window(mut self, bytes: u32) -> Self {
        self.stream_window = bytes.clamp(65_535, MAX_WINDOW);
        self
    }

    /// Sets the maximum number of concurrent requests on one HTTP/2 connection. If the server announces less, its limit
    /// applies. Default: 100, the smallest limit that RFC 9113 recommends to servers. Range: 1 to 2³⁰, which is how
    /// many streams a connection can have in all; other values count as the nearest of these.
    ///
    /// A request goes to the connection with the fewest streams, among up to 16 connections that are compared. Another
    /// connection is opened before these are full. So the cost of the choice does not grow with the number of connections,
    /// except while most of them are full: then it is linear.
    #[cfg(feature = "http2")]
    #[cfg_attr(docsrs, doc(cfg(feature = "http2")))]
    #[must_use]
    pub fn max_streams(mut self, max: usize) -> Self {
        self.max_streams = max.clamp(1, MAX_STREAMS);
        self
    }

    /// Sets after which time without any frame from the server an HTTP/2 connection sends a PING. `None`: no PINGs.
    /// Default: 30 s, as in the client of Kubernetes. Durations below 1 ms count as 1 ms.
    ///
    /// PINGs find connections over which nothing arrives any more, for example because a firewall has forgotten them.
    /// Without PINGs, such a connection would get new requests as long as TCP repeats its segments, often 15 minutes.
    /// PINGs are sent only while a request is on the connection, see [`ping_while_idle`](Self::ping_while_idle). gRPC
    /// servers may close a connection (GOAWAY with `too_many_pings`) that sends more than two PINGs within 5 minutes
    /// while all its streams are silent. For long silent streams to such servers, set 5 minutes or more.
    #[cfg(feature = "http2")]
    #[cfg_attr(docsrs, doc(cfg(feature = "http2")))]
    #[must_use]
    pub fn ping_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.pings.interval = interval.into().map(|interval| interval.max(Duration::from_millis(1)));
        self
    }

    /// Sets how long an HTTP/2 connection waits for the answer to a PING. After it, the connection is closed with
    /// [`CloseReason::PingTimeout`](crate::CloseReason::PingTimeout), and its requests fail. Default: 15 s. Durations
    /// below 1 ms count as 1 ms. It has no effect without a [`ping_interval`](Self::ping_interval).
    #[cfg(feature = "http2")]
    #[cfg_attr(docsrs, doc(cfg(feature = "http2")))]
    #[must_use]
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.pings.timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// Sets whether PINGs are also sent on HTTP/2 connections without a request. Default: false. With true, the first
    /// request after an idle time does not find a connection that no longer works, but some servers close connections
    /// that send PINGs without requests.
    #[cfg(feature = "http2")]
    #[cfg_attr(docsrs, doc(cfg(feature = "http2")))]
    #[must_use]
    pub fn ping_while_idle(mut self, while_idle: bool) -> Self {
        self.pings.while_idle = while_idle;
        self
    }

    /// Sets the TLS settings for addresses with `https`: root certificates, client certificate, server name. Default:
    /// [`Tls::new`].
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Sets that each connection begins with a header of the PROXY protocol, before TLS. `header` makes the header of what
    /// is known of a request's client. Default: no header.
    ///
    /// A connection belongs to the client of its header: it is used only for requests whose header is the same, byte for
    /// byte. So connections are reused only by requests of the same client's connection, and each of these needs at least
    /// one. All limits count the connections of all clients together. If there are [`max_idle`](Self::max_idle) idle
    /// connections, an old one is closed for another one, because its client may be gone. No
    /// connections are opened [ahead](Self::prewarm).
    ///
    /// For the server of `equipoise-proxy`, `header` is its function `proxy_protocol::request_header`. With another server,
    /// it reads what that server adds to requests:
    ///
    /// ```
    /// use std::net::SocketAddr;
    ///
    /// use equipoise_http::{Settings, proxy_protocol::{ProxyHeader, Version}};
    ///
    /// #[derive(Clone)]
    /// struct Connection {
    ///     client: SocketAddr,
    ///     local: SocketAddr,
    /// }
    ///
    /// let settings = Settings::new().proxy_protocol(Version::V2, |extensions| match extensions.get::<Connection>() {
    ///     Some(connection) => ProxyHeader::proxied(connection.client, connection.local),
    ///     // A request of this process itself, for example a health check.
    ///     None => ProxyHeader::local(),
    /// });
    /// # drop(settings);
    /// ```
    #[cfg(feature = "proxy-protocol")]
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-protocol")))]
    #[must_use]
    pub fn proxy_protocol(
        mut self,
        version: proxy_protocol::Version,
        header: impl Fn(&http::Extensions) -> ProxyHeader + Send + Sync + 'static,
    ) -> Self {
        self.proxy_protocol = Some(ClientHeaders { version, of: Arc::new(header) });
        self
    }

    /// Sets the resolver of host names. Default: [`SystemResolver`].
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}
