use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use equipoise_affinity::source::TrustedProxies;
use equipoise_http::proxy_protocol::{InvalidProxyHeader, ProxyHeader, Transport};
use tokio::io::AsyncRead;

use crate::{
    counter::Counter,
    listen::{Established, Prefixed, read_more},
    timing::within,
};

/// The default time for a header. The specification recommends at least 3 s, so that a lost segment is sent again.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads the headers of connections. Clones share the counters, so several listeners can have one acceptor.
///
/// ```
/// use std::time::Duration;
/// use equipoise_affinity::source::TrustedProxies;
/// use equipoise_proxy::proxy_protocol::{ProxyAcceptor, ProxyProtocol};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let acceptor = ProxyAcceptor::new(TrustedProxies::private()).header_timeout(Duration::from_secs(3));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let listener = ProxyProtocol::with_acceptor(listener, acceptor.clone());
/// assert_eq!(acceptor.stats().accepted, 0);
/// # drop(listener);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ProxyAcceptor {
    trusted: Arc<ArcSwap<TrustedProxies>>,
    header_timeout: Duration,
    serves_untrusted: bool,
    trusts_unknown: bool,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    accepted: Counter,
    malformed: Counter,
    timeouts: Counter,
    untrusted: Counter,
    closed: Counter,
}

/// Counters of a [`ProxyAcceptor`], since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyProtocolStats {
    /// Number of connections whose header was read.
    pub accepted: u64,
    /// Number of connections closed because they did not begin with a valid header.
    pub malformed: u64,
    /// Number of connections closed because the header was not complete in time.
    pub timeouts: u64,
    /// Number of connections of peers that are not trusted. They were closed, unless
    /// [`serve_untrusted`](ProxyAcceptor::serve_untrusted) is set.
    pub untrusted: u64,
    /// Number of connections that the peer closed or reset before the header was complete, for example because it only checked
    /// whether the port is open.
    pub closed: u64,
}

/// Why a connection was closed before it was served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The peer is not trusted to send headers of the PROXY protocol.
    #[error(
        "the peer ({}) is not one of the trusted proxies, whose connections begin with a PROXY protocol header",
        .peer.map_or_else(|| "no IP address".to_owned(), |peer| peer.to_string())
    )]
    Untrusted {
        /// The address of the peer, if it has one.
        peer: Option<SocketAddr>,
    },
    /// The connection does not begin with a valid header.
    #[error("the connection does not begin with a valid PROXY protocol header")]
    Malformed(#[source] InvalidProxyHeader),
    /// The header was not complete within the [`header_timeout`](ProxyAcceptor::header_timeout).
    #[error("no complete PROXY protocol header within {timeout:?}")]
    TimedOut {
        /// The timeout that has passed.
        timeout: Duration,
    },
    /// The peer closed the connection before the header was complete.
    #[error("the connection was closed before its PROXY protocol header was complete")]
    Closed,
    /// The connection failed.
    #[error("the connection failed before its PROXY protocol header was complete")]
    Io(#[source] io::Error),
}

impl ProxyAcceptor {
    /// Creates an acceptor that expects a header from the peers in `trusted`.
    #[must_use]
    pub fn new(trusted: TrustedProxies) -> Self {
        Self {
            trusted: Arc::new(ArcSwap::from_pointee(trusted)),
            header_timeout: HEADER_TIMEOUT,
            serves_untrusted: false,
            trusts_unknown: false,
            counters: Arc::default(),
        }
    }

    /// Sets the maximum time from the begin of a connection until its header is complete. Default: 5 s. In a runtime
    /// without a timer, it never ends.
    #[must_use]
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.header_timeout = timeout;
        self
    }

    /// Sets what happens with the connections of peers that are not trusted. If true, they are served with the address of
    /// the peer, and their first bytes are not read as a header, as with `set_real_ip_from` of nginx. If false, they are
    /// closed. Default: false.
    #[must_use]
    pub fn serve_untrusted(mut self, serve: bool) -> Self {
        self.serves_untrusted = serve;
        self
    }

    /// Sets whether peers are trusted whose address is not known. Set it for a listener of a Unix socket: the permissions
    /// of the socket's file decide which processes can connect. Default: false.
    #[must_use]
    pub fn trust_unknown(mut self, trust: bool) -> Self {
        self.trusts_unknown = trust;
        self
    }

    /// Replaces the trusted proxies, for all later connections of the listeners that share this acceptor.
    pub fn set_trusted(&self, trusted: TrustedProxies) {
        self.trusted.store(Arc::new(trusted));
    }

    /// Returns the counters.
    pub fn stats(&self) -> ProxyProtocolStats {
        let Counters { accepted, malformed, timeouts, untrusted, closed } = &*self.counters;
        ProxyProtocolStats {
            accepted: accepted.get(),
            malformed: malformed.get(),
            timeouts: timeouts.get(),
            untrusted: untrusted.get(),
            closed: closed.get(),
        }
    }

    /// Reads the header of a connection that was accepted elsewhere. Returns the connection with the addresses of the
    /// header. What was read after it is read again from the returned stream.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] tells why the connection cannot be served. It is closed.
    pub async fn accept<Io>(&self, connection: Established<Io>) -> Result<Established<Prefixed<Io>>, HeaderError>
    where
        Io: AsyncRead + Unpin,
    {
        let counters = &*self.counters;
        let peer = connection.peer;
        if !peer.map_or(self.trusts_unknown, |peer| self.trusted.load().contains(peer.ip())) {
            counters.untrusted.add(1);
            if self.serves_untrusted {
                return Ok(connection.map(|io| Prefixed::new(Bytes::new(), io)));
            }
            return Err(HeaderError::Untrusted { peer });
        }
        let timeout = self.header_timeout;
        let read = within(timeout, read(connection)).await.unwrap_or(Err(HeaderError::TimedOut { timeout }));
        let counter = match &read {
            Ok(_) => &counters.accepted,
            Err(HeaderError::Malformed(_)) => &counters.malformed,
            Err(HeaderError::TimedOut { .. }) => &counters.timeouts,
            Err(_) => &counters.closed,
        };
        counter.add(1);
        read
    }
}

async fn read<Io: AsyncRead + Unpin>(
    mut connection: Established<Io>,
) -> Result<Established<Prefixed<Io>>, HeaderError> {
    let mut bytes = BytesMut::new();
    let (header, length) = loop {
        if read_more(&mut connection.io, &mut bytes).await.map_err(HeaderError::Io)? == 0 {
            return Err(HeaderError::Closed);
        }
        if let Some(decoded) = ProxyHeader::decode(&bytes).map_err(HeaderError::Malformed)? {
            break decoded;
        }
    };
    // This is a stream, so the header of a datagram says nothing of it.
    if header.transport() == Some(Transport::Datagram) {
        return Err(HeaderError::Malformed(InvalidProxyHeader::Protocol));
    }
    let Established { io, peer, info } = connection;
    // An empty slice would keep the whole buffer.
    let rest = if bytes.len() > length { bytes.split_off(length).freeze() } else { Bytes::new() };
    let mut read = Established::new(Prefixed::new(rest, io));
    read.peer = header.source().map(canonical).or(peer);
    read.info = match info.accepted_addr() {
        Some(accepted) => info.accepted_at(accepted),
        None => info,
    };
    if let Some(destination) = header.destination() {
        read.info = read.info.local(canonical(destination));
    }
    read.info = read.info.proxied(header, peer);
    Ok(read)
}

/// Converts an IPv4-mapped IPv6 address to an IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
