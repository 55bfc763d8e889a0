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

/// Determines the IP address of the client that sent a request.
///
/// It starts with the connection's address. While the current address belongs to a trusted proxy, the address that this
/// proxy reports takes its place. These are first the address in the PROXY protocol ([`ProxiedAddr`]), and then the
/// elements of the [header](Self::header) from right to left, all lines taken as one list. The first address that
/// belongs to no trusted proxy is the client's. Elements further left were written by the client, and are not read. If
/// all addresses are trusted, the leftmost is the client's. If an element is not an address (`unknown`, `_hidden`,
/// garbage, more than 512 bytes), the address before it is the client's.
///
/// IPv4-mapped IPv6 addresses (`::ffff:192.0.2.7`) count as IPv4 addresses. Ports and zones (`fe80::1%eth0`) are
/// dropped. At most [`max_hops`](Self::max_hops) elements are read, each of at most 512 bytes. It allocates only for
/// quoted strings in `Forwarded`.
///
/// nginx's `set_real_ip_from` with `real_ip_recursive on` and Envoy's `xff_trusted_cidrs` do the same.
///
/// ```
/// use std::net::SocketAddr;
/// use equipoise_affinity::source::{ClientAddress, ForwardedHeader, PeerAddr, TrustedProxies};
/// use equipoise_tower::RequestHead;
///
/// let trusted: TrustedProxies = "10.0.0.0/8, loopback".parse()?;
/// let client = ClientAddress::behind(trusted).header(ForwardedHeader::XForwardedFor);
///
/// // The client 203.0.113.9 sent a header with 6.6.6.6. Our first proxy appended the client's real address.
/// let mut request = http::Request::builder().header("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2").body(())?;
/// request.extensions_mut().insert(PeerAddr("10.0.0.1:40312".parse()?));
/// assert_eq!(client.of(RequestHead::of(&request)), Some("203.0.113.9".parse()?));
///
/// // Not through a proxy.
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
    /// The connection's address: for a balancer that clients connect to directly.
    #[must_use]
    pub fn connection() -> Self {
        Self::behind(TrustedProxies::none())
    }

    /// The address that `trusted` proxies report: in the PROXY protocol, and in a header if [one is set](Self::header).
    #[must_use]
    pub fn behind(trusted: TrustedProxies) -> Self {
        Self { trusted, header: None, hops: 32, peer: None }
    }

    /// Sets the header in which the proxies report addresses. Default: none. Every trusted proxy must append to it or
    /// overwrite it. If one passes on what its client wrote, that client can claim any address.
    #[must_use]
    pub fn header(mut self, header: ForwardedHeader) -> Self {
        self.header = Some(header);
        self
    }

    /// Sets how many elements of the header are read, from the right. Default: 32. With 0, the header is not read.
    #[must_use]
    pub fn max_hops(mut self, hops: usize) -> Self {
        self.hops = hops;
        self
    }

    /// Sets how the connection's address is read from a request. Default: the extension [`PeerAddr`]. With axum's
    /// `ConnectInfo`: `|head| head.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip())`. Peers of a
    /// Unix domain socket have no address; return the one they should count as, such as `127.0.0.1`. If `peer` panics,
    /// the address is not known.
    #[must_use]
    pub fn peer(mut self, peer: impl Fn(RequestHead<'_>) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.peer = Some(Arc::new(peer));
        self
    }

    /// Returns the client's address in canonical form, or `None` if the connection's address is not known.
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

    /// Returns the address of the client of the trusted proxy at `proxy`.
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

    /// Reads elements from right to left while the address before belongs to a trusted proxy. Empty elements are skipped
    /// (RFC 9110, section 5.6.1), but count as hops.
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
    /// The [`connection`](Self::connection)'s.
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

/// A request extension: the address of the peer of the request's connection, as the listener accepted it.
///
/// ```
/// use std::net::SocketAddr;
/// use equipoise_affinity::source::{ClientAddress, PeerAddr};
/// use equipoise_tower::RequestHead;
///
/// let accepted: SocketAddr = "192.0.2.7:40312".parse()?; // What `TcpListener::accept` says.
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(PeerAddr(accepted));
///
/// assert_eq!(ClientAddress::connection().of(RequestHead::of(&request)), Some(accepted.ip()));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub SocketAddr);

/// A request extension: the client's address that the peer reported in a PROXY protocol header at the start of the
/// connection.
///
/// It is added beside [`PeerAddr`], and is used only if that address belongs to a trusted proxy.
/// [`ProxyHeader`](super::ProxyHeader) has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProxiedAddr(pub SocketAddr);
