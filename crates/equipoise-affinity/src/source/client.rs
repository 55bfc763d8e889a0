use std::{fmt, net::IpAddr, sync::Arc};

use equipoise_tower::RequestHead;
use http::HeaderName;

use super::{
    address,
    header::{ForwardedHeader, forwarded_for},
    list::FromRight,
    peer::{PeerAddr, ProxiedAddr},
    trusted::TrustedProxies,
};
use crate::{guard::guarded, scan};

type PeerFn = dyn Fn(RequestHead<'_>) -> Option<IpAddr> + Send + Sync;

/// Tells the IP address of the client that a request came from.
///
/// It begins with the connection's address. As long as that is of a trusted proxy, the one that this proxy was called
/// from takes its place: first what it said in the PROXY protocol ([`ProxiedAddr`]), then from the right to the left what
/// the [header](Self::header) says, all lines of which are one list. The first address that is of no trusted proxy is the
/// client's, and nothing to the left of it is looked at: that is what the client itself wrote. If all are trusted, it is
/// the leftmost. Where the list says something that is no address (`unknown`, `_hidden`, garbage, over 512 bytes), it is
/// the last address before that.
///
/// IPv4 addresses in IPv6's clothes (`::ffff:192.0.2.7`) are IPv4 addresses; ports and zones (`fe80::1%eth0`) are
/// dropped. It allocates nothing but for quoted strings in `Forwarded`, and however long a list is, no more than
/// [`hops`](Self::hops) elements of it are read, each of at most 512 bytes.
///
/// nginx's `set_real_ip_from` with `real_ip_recursive on` does the same, and so do Envoy's `xff_trusted_cidrs`.
///
/// ```
/// use std::net::SocketAddr;
/// use equipoise_affinity::source::{ClientAddress, ForwardedHeader, PeerAddr, TrustedProxies};
/// use equipoise_tower::RequestHead;
///
/// let trusted: TrustedProxies = "10.0.0.0/8, loopback".parse()?;
/// let client = ClientAddress::behind(trusted).header(ForwardedHeader::XForwardedFor);
///
/// // 203.0.113.9 pretended to be 6.6.6.6. The first of our proxies wrote down who really called.
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
    /// The connection's address, whoever that is: for a balancer that clients connect to themselves.
    #[must_use]
    pub fn connection() -> Self {
        Self::behind(TrustedProxies::none())
    }

    /// What these proxies say: in the PROXY protocol, and in a header if one is [named](Self::header).
    #[must_use]
    pub fn behind(trusted: TrustedProxies) -> Self {
        Self { trusted, header: None, hops: 32, peer: None }
    }

    /// The header in which the proxies say it. Every trusted proxy must add to it or overwrite it; one that passes on what
    /// its client wrote lets that client be anybody. None by default.
    #[must_use]
    pub fn header(mut self, header: ForwardedHeader) -> Self {
        self.header = Some(header);
        self
    }

    /// How many elements of the header are looked at, from the right; 32 by default. With 0, none.
    #[must_use]
    pub fn hops(mut self, most: usize) -> Self {
        self.hops = most;
        self
    }

    /// Where a request's extensions have the connection's address, in place of [`PeerAddr`]. With axum's `ConnectInfo`:
    /// `|head| head.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip())`. For a Unix domain socket, whose
    /// peers have none, say which address they count as, such as `127.0.0.1`. If it panics, there is none.
    #[must_use]
    pub fn peer(mut self, peer: impl Fn(RequestHead<'_>) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.peer = Some(Arc::new(peer));
        self
    }

    /// The client's address, canonical. `None` if the connection's is not known: then there is nobody to believe.
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

    /// Who called the trusted proxy at `proxy`.
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

    /// From the right to the left, as long as it goes through trusted proxies. Empty elements mean nothing (RFC 9110,
    /// section 5.6.1), but count.
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
