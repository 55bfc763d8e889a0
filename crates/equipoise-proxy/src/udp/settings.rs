use std::{sync::Arc, time::Duration};

use equipoise_core::SourcePrefix;
use equipoise_http::{Resolve, SystemResolver};

use super::{
    end::{EndHook, UdpSession},
    key::SessionKey,
};

/// The settings of a [`UdpProxy`](super::UdpProxy). Each method names its default.
///
/// ```
/// use std::time::Duration;
/// use equipoise_proxy::udp::UdpSettings;
///
/// let dns = UdpSettings::new().max_replies(1).reply_timeout(Duration::from_secs(5));
/// # drop(dns);
/// ```
#[derive(Clone, Debug)]
pub struct UdpSettings {
    pub(super) idle_timeout: Duration,
    pub(super) reply_timeout: Duration,
    pub(super) max_replies: u64,
    pub(super) max_sessions: usize,
    pub(super) displace_timeout: Duration,
    pub(super) max_sessions_per_source: Option<(usize, SourcePrefix)>,
    pub(super) max_attempts: usize,
    pub(super) session_key: SessionKey,
    pub(super) source_prefix: SourcePrefix,
    pub(super) leave_draining: bool,
    pub(super) resolver: Arc<dyn Resolve>,
    #[cfg(feature = "proxy-protocol")]
    pub(super) proxy_protocol: bool,
    pub(super) on_end: Option<EndHook>,
}

impl UdpSettings {
    /// Creates the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self {
            idle_timeout: Duration::from_secs(60),
            reply_timeout: Duration::from_secs(15),
            max_replies: u64::MAX,
            max_sessions: 16_384,
            displace_timeout: Duration::from_secs(1),
            max_sessions_per_source: None,
            max_attempts: 4,
            session_key: SessionKey::client(),
            source_prefix: SourcePrefix::default(),
            leave_draining: false,
            resolver: Arc::new(SystemResolver),
            #[cfg(feature = "proxy-protocol")]
            proxy_protocol: false,
            on_end: None,
        }
    }

    /// Sets how long a session may have no datagram in either direction. Then it ends. Default: 60 s, as in Envoy.
    ///
    /// A client that sends later gets a new session, which the strategy may place on another endpoint. Choose a time that
    /// is longer than the pauses of the protocol, if an endpoint keeps state of its clients.
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets how long an endpoint may not reply. Default: 15 s.
    ///
    /// - If an endpoint has not replied to a new session within this time, the session ends. The verdict is
    ///   [`Timeout`](equipoise_core::Failure::Timeout) if the endpoint has not replied to any other session of the proxy in
    ///   this time either, and [`Neutral`](equipoise_core::Verdict::Neutral) otherwise. Anyone can send datagrams that no
    ///   endpoint replies to. They make an endpoint look dead only if no client gets a reply from it for this time.
    /// - A session whose endpoint has replied before stays, because many protocols have datagrams without a reply. When its
    ///   client sends a datagram after this time, and health checks have found the endpoint unhealthy meanwhile, the
    ///   datagram is placed anew.
    ///
    /// A session without a reply may end earlier, because it is [idle](Self::idle_timeout) or at the
    /// [limit](Self::max_sessions). The verdict is `Timeout`, too, if the endpoint has had sessions, and has replied to none
    /// of them, for this time or, if that is shorter, the idle timeout. For services that do not reply, such as syslog, set `Duration::MAX`: silence then says
    /// nothing about an endpoint. For services that reply at once, such as DNS, set the timeout of their clients.
    #[must_use]
    pub const fn reply_timeout(mut self, timeout: Duration) -> Self {
        self.reply_timeout = timeout;
        self
    }

    /// Sets how many replies each datagram of a client gets at most, at least 1. When all datagrams of a session have
    /// had as many, the session ends, so the next datagram is placed anew. Default: no limit. For DNS, set 1.
    ///
    /// (`proxy_responses` in nginx.)
    #[must_use]
    pub const fn max_replies(mut self, max: u64) -> Self {
        self.max_replies = if max == 0 { 1 } else { max };
        self
    }

    /// Sets the maximum number of open sessions of all listeners together, at least 1. Each session has a socket, so the
    /// limit of open files must be higher. Default: 16 384.
    ///
    /// At the limit, and also when no more files can be opened, a new session takes the place of another one of its
    /// listener. This is the first of:
    ///
    /// 1. the session that has been idle for longest among those whose client has not sent a datagram after a reply, if it
    ///    has been idle for at least the [`displace_timeout`](Self::displace_timeout);
    /// 2. the session that has been idle for longest among all others, if it has been idle for at least that time and half of
    ///    the [`idle_timeout`](Self::idle_timeout).
    ///
    /// If there is neither, the datagram is dropped. So a flood with one datagram from each made-up address displaces its
    /// own sessions first. This is no protection against a sender that sends two datagrams from each address, if the
    /// endpoints reply to them: then clients lose their places when they have been idle for half of the idle timeout.
    ///
    /// Each session also has a port of this machine, from the range of the system (28 232 on Linux by default, for all
    /// programs), and up to as much memory as the system gives to the receive buffer of a socket.
    #[must_use]
    pub const fn max_sessions(mut self, max: usize) -> Self {
        self.max_sessions = if max == 0 { 1 } else { max };
        self
    }

    /// Sets how long a session must have been idle at least before another one may take its place at
    /// [`max_sessions`](Self::max_sessions), which says when more is needed. Default: 1 s.
    #[must_use]
    pub const fn displace_timeout(mut self, timeout: Duration) -> Self {
        self.displace_timeout = timeout;
        self
    }

    /// Sets the maximum number of open sessions of one source, at least 1. A source is a network of clients: all addresses
    /// with the same prefix. A datagram that would need another session is dropped. Default: no limit. A limit costs a lock
    /// for each new session.
    #[must_use]
    pub const fn max_sessions_per_source(mut self, max: usize, prefix: SourcePrefix) -> Self {
        self.max_sessions_per_source = Some((if max == 0 { 1 } else { max }, prefix));
        self
    }

    /// Sets to how many endpoints a datagram is sent at most, at least 1. Default: 4.
    ///
    /// A datagram is sent to another endpoint if there is no route for its endpoint, or if an ICMP message says that a
    /// datagram did not reach it. If the session has had replies, and the message does not say that the port is closed, the
    /// session moves with the next datagram, and only if there was no further reply: the cause may have passed. The message may come later than further datagrams. So the first datagram of a
    /// session that has had no reply is kept until then, if it has at most 2048 bytes. It may have reached its endpoint
    /// nevertheless: for services that must not get a datagram twice, set 1.
    #[must_use]
    pub const fn max_attempts(mut self, max: usize) -> Self {
        self.max_attempts = if max == 0 { 1 } else { max };
        self
    }

    /// Sets what identifies the session of a datagram. Default: [`SessionKey::client`].
    #[must_use]
    pub fn session_key(mut self, key: SessionKey) -> Self {
        self.session_key = key;
        self
    }

    /// Sets which part of the client's address is the key for a hashing strategy. Default: [`SourcePrefix::default`].
    ///
    /// The port is not a part of the key. So all sessions of a client go to the same endpoint, also after they have
    /// ended, and several balancers with the same endpoints and the same strategy place a client on the same one.
    #[must_use]
    pub const fn source_prefix(mut self, prefix: SourcePrefix) -> Self {
        self.source_prefix = prefix;
        self
    }

    /// Sets whether sessions leave an endpoint as soon as it is [draining](equipoise_core::Availability::Draining).
    /// Default: false, so that sessions stay until they are idle, or until the endpoint is in maintenance or removed.
    ///
    /// Turn it on if each datagram can be served by any endpoint, as in DNS: a client that always uses the same port would
    /// otherwise hold up the drain. A session that waits for a reply when the drain begins leaves after its reply (with
    /// [`max_replies`](Self::max_replies): after all its replies), and if there is none, after the
    /// [`reply_timeout`](Self::reply_timeout). A session whose last datagram has waited for longer leaves at once. So do all
    /// sessions if the timeout is `Duration::MAX`, and those of an endpoint in maintenance or removed.
    #[must_use]
    pub const fn leave_draining(mut self, leave: bool) -> Self {
        self.leave_draining = leave;
        self
    }

    /// Sets how host names in the addresses of endpoints are resolved. Default: [`SystemResolver`].
    ///
    /// Names are resolved when the first session needs them, for at most 10 s. Meanwhile, one datagram of each session waits,
    /// and further ones are dropped. While a name is used, each listener resolves it again every 30 s. The first address that
    /// the system has a route for is used.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Sets whether each datagram for an endpoint begins with a header of the PROXY protocol, version 2, which tells the
    /// address of the client ([`ProxyHeader::datagram`](crate::proxy_protocol::ProxyHeader::datagram)). The destination in
    /// it is the address that the client has sent to, or, if the system does not tell it, the one that the listener is bound
    /// to. Replies have no header. It applies to later sessions. Default: false.
    ///
    /// The specification does not say which datagrams have a header. dnsdist, PowerDNS, BIND and Unbound expect it in each
    /// one, as it is sent here. Receivers that expect it once, before the first datagram of a client (as Cloudflare Spectrum
    /// sends it), take the other headers for data. nginx and Envoy do not read headers from datagrams. Endpoints that do
    /// not expect a header at all take it for data, too.
    ///
    /// A header has 28 bytes for IPv4 and 52 for IPv6. A datagram that becomes too large with it is dropped, and counted as
    /// [`to_endpoint`](super::UdpDropped::to_endpoint). Each datagram is sent with a system call of its own. All counts of
    /// bytes are without headers.
    #[cfg(feature = "proxy-protocol")]
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-protocol")))]
    #[must_use]
    pub const fn proxy_protocol(mut self, send: bool) -> Self {
        self.proxy_protocol = send;
        self
    }

    /// Sets a closure that is called once for each session, at its end: for an access log or metrics. Also for sessions that
    /// got no endpoint, but not for datagrams that open no session, for example at a limit. It runs in the task of the
    /// listener, so it must not block. A panic in it is ignored. Default: none.
    #[must_use]
    pub fn on_end(mut self, hook: impl Fn(&UdpSession) + Send + Sync + 'static) -> Self {
        self.on_end = Some(EndHook::new(hook));
        self
    }
}

impl Default for UdpSettings {
    fn default() -> Self {
        Self::new()
    }
}
