use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use equipoise_tower::RequestHead;
use http::HeaderName;

use super::{
    address,
    header::{ForwardedHeader, forwarded_for},
    list::FromRight,
    trusted::TrustedProxies,
};
use crate::{guard::guarded, scan};

type PeerFn = dyn Fn(RequestHead<'_>) -> Option<IpAddr> + Send + Sync;

/// Determines the IP address of the client that sent a request, also behind proxies.
///
/// 1. The address of the connection's peer is read first. If this address does not belong to a trusted proxy, it is the
///    client's address, and steps 2 and 3 are skipped.
/// 2. If the trusted proxy has reported an address with the PROXY protocol ([`ProxiedAddr`]), the reported address
///    replaces the peer's address.
/// 3. If the address from step 1 or 2 does not belong to a trusted proxy, it is the client's address. Otherwise, the
///    elements of the [header](Self::header) are read from right to left. The first address that does not belong to a
///    trusted proxy is the client's. Several lines of the header are one list.
///
/// Elements to the left of the client's address are not read, because the client wrote them. If all addresses belong to
/// trusted proxies, the leftmost address is the client's. Reading stops at an element that is not an address (such as
/// `unknown`) or has more than 512 bytes. Then the last address that was read is the client's. At most
/// [`max_hops`](Self::max_hops) elements are read.
///
/// IPv4-mapped IPv6 addresses (`::ffff:192.0.2.7`) are treated as IPv4 addresses. Ports and zones (`fe80::1%eth0`) are
/// removed. Memory is allocated only for quoted strings in `Forwarded`.
///
/// nginx does the same with `set_real_ip_from` and `real_ip_recursive on`, and Envoy with `xff_trusted_cidrs`.
///
/// ```
/// use std::net::SocketAddr;
/// use equipoise_affinity::source::{ClientAddress, ForwardedHeader, PeerAddr, TrustedProxies};
/// use equipoise_tower::RequestHead;
///
/// let trusted: TrustedProxies = "10.0.0.0/8, loopback".parse()?;
/// let client = ClientAddress::behind(trusted).header(ForwardedHeader::XForwardedFor);
///
/// // The client 203.0.113.9 sent a header with 6.6.6.6. The first trusted proxy appended the client's real address.
/// let mut request = http::Request::builder().header("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2").body(())?;
/// request.extensions_mut().insert(PeerAddr("10.0.0.1:40312".parse()?));
/// assert_eq!(client.of(RequestHead::of(&request)), Some("203.0.113.9".parse()?));
///
/// // A client that connects without a proxy cannot pretend to have another address.
/// request.extensions_mut().insert(PeerAddr("203.0.113.10:40312".parse()?));
/// assert_eq!(client.of(RequestHead::of(&request)), Some("203.0.113.10".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ClientAddress {
    trusted: TrustedProxies,
    header: Option<ForwardedHeader>,
    hops: usize,
    peer: Option<Arc<PeerFn>>,
}

impl ClientAddress {
    /// Creates a `ClientAddress` that uses the address of the connection's peer, and no address that proxies report.
    /// Use it for a balancer to which clients connect directly.
    #[must_use]
    pub fn connection() -> Self {
        Self::behind(TrustedProxies::none())
    }

    /// Creates a `ClientAddress` that uses the addresses that the proxies in `trusted` report: with the PROXY protocol,
    /// and in a header if [`header`](Self::header) is set. Use it for a balancer behind these proxies.
    #[must_use]
    pub fn behind(trusted: TrustedProxies) -> Self {
        Self { trusted, header: None, hops: 32, peer: None }
    }

    /// Sets the header in which the trusted proxies report the addresses of their clients. Default: no header is read.
    ///
    /// Each trusted proxy must append to this header or replace it. If a proxy passes the header on as the client wrote
    /// it, the client can pretend to have any address.
    #[must_use]
    pub fn header(mut self, header: ForwardedHeader) -> Self {
        self.header = Some(header);
        self
    }

    /// Sets how many elements of the forwarding [header](Self::header) are read at most, starting from the right. Empty
    /// elements count too. If there are more elements, the last address that was read is the client's. Default: 32.
    /// With 0, the header is not read.
    #[must_use]
    pub fn max_hops(mut self, hops: usize) -> Self {
        self.hops = hops;
        self
    }

    /// Sets a closure that returns the IP address of the connection's peer for a request. Default: the extension
    /// [`PeerAddr`]. If the closure returns `None` or panics, the client's address is not known.
    ///
    /// With axum's `ConnectInfo`, use `|head| head.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer|
    /// peer.0.ip())`. Peers of a Unix domain socket have no IP address. The closure can return a fixed address for
    /// them, such as `127.0.0.1`.
    #[must_use]
    pub fn peer(mut self, peer: impl Fn(RequestHead<'_>) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.peer = Some(Arc::new(peer));
        self
    }

    /// Returns the address of the client that sent the request. `head` is the head of the request. IPv4-mapped IPv6
    /// addresses are returned as IPv4 addresses. Returns `None` if the address of the connection's peer is not known:
    /// the request has no [`PeerAddr`], or a closure was set with [`peer`](Self::peer) and has returned `None` or
    /// panicked.
    #[must_use]
    pub fn of(&self, head: RequestHead<'_>) -> Option<IpAddr> {
        let peer = match &self.peer {
            Some(peer) => guarded(|| peer(head)).flatten()?,
            None => head.extensions.get::<PeerAddr>()?.0.ip(),
        };
        let mut client = peer.to_canonical();
        if let Some(ProxiedAddr(source)) = head.extensions.get()
            && self.trusted.contains(client)
        {
            client = source.ip().to_canonical();
        }
        Some(match &self.header {
            Some(header) if self.trusted.contains(client) => self.said_by(client, head, header),
            _ => client,
        })
    }

    /// Returns the address of the client of the trusted proxy at `proxy`, as the header reports it.
    fn said_by(&self, proxy: IpAddr, head: RequestHead<'_>, header: &ForwardedHeader) -> IpAddr {
        match header {
            ForwardedHeader::XForwardedFor => {
                self.walk(proxy, head, &HeaderName::from_static("x-forwarded-for"), FromRight::plain, address::parse)
            }
            ForwardedHeader::Forwarded => {
                self.walk(proxy, head, &http::header::FORWARDED, FromRight::quoting, forwarded_for)
            }
            ForwardedHeader::Single(name) => {
                let mut lines = head.headers.get_all(name).iter();
                match (lines.next(), lines.next()) {
                    (Some(line), None) if self.hops > 0 => address::parse(scan::trim(line.as_bytes())).unwrap_or(proxy),
                    _ => proxy,
                }
            }
        }
    }

    /// Reads elements from right to left, until an address does not belong to a trusted proxy. Returns the last address
    /// that was read. Empty elements are skipped (RFC 9110, section 5.6.1), but count as hops.
    fn walk<'r>(
        &self,
        proxy: IpAddr,
        head: RequestHead<'r>,
        name: &HeaderName,
        list: impl Fn(&'r [u8]) -> FromRight<'r>,
        address: impl Fn(&[u8]) -> Option<IpAddr>,
    ) -> IpAddr {
        let mut client = proxy;
        let lines = head.headers.get_all(name).iter().rev();
        for element in lines.flat_map(|line| list(line.as_bytes())).take(self.hops) {
            match element {
                Some([]) => continue,
                Some(element) => match address(element) {
                    Some(address) => client = address,
                    None => break,
                },
                None => break,
            }
            if !self.trusted.contains(client) {
                break;
            }
        }
        client
    }
}

impl Default for ClientAddress {
    /// Creates a `ClientAddress` that uses the address of the connection's peer, like [`connection`](Self::connection).
    fn default() -> Self {
        Self::connection()
    }
}

impl fmt::Debug for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAddress")
            .field("trusted", &self.trusted)
            .field("header", &self.header)
            .field("hops", &self.hops)
            .finish_non_exhaustive()
    }
}

/// A request extension with the address of the peer of the connection: the client, or the nearest proxy. The server
/// that accepts the connection adds it to each request.
///
/// ```
/// use std::net::SocketAddr;
/// use equipoise_affinity::source::{ClientAddress, PeerAddr};
/// use equipoise_tower::RequestHead;
///
/// let accepted: SocketAddr = "192.0.2.7:40312".parse()?; // Returned by `TcpListener::accept`.
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(PeerAddr(accepted));
///
/// assert_eq!(ClientAddress::connection().of(RequestHead::of(&request)), Some(accepted.ip()));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub SocketAddr);

/// A request extension with the client's address that a proxy reported in a PROXY protocol header at the start of the
/// connection. The server that accepts the connection adds it to each request, together with [`PeerAddr`].
///
/// [`ClientAddress`] uses this extension only if the address of the connection's peer belongs to a trusted proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProxiedAddr(pub SocketAddr);
