use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use equipoise_affinity::source::PeerAddr;
use equipoise_http::proxy_protocol::{ProxyHeader, Ssl, kind};
use http::Extensions;

use crate::headers::ConnectionInfo;

/// Makes the header that tells an endpoint about a client's connection: `peer` is the address of the client, and `info`
/// what else is known.
///
/// | field | content |
/// | --- | --- |
/// | source | the address of the client. If it is not known, as with Unix sockets, the header has no addresses |
/// | destination | the local address of the connection. If it is not known, the unspecified address |
/// | [`AUTHORITY`](kind::AUTHORITY) | the name that the client has asked for, if this process has read it |
/// | [`UNIQUE_ID`](kind::UNIQUE_ID) | [`ConnectionInfo::unique_id`] |
/// | [`SSL`](kind::SSL) | that the client uses TLS, if this process has decrypted it |
/// | others | those of the header that was received ([`ConnectionInfo::proxy_header`]), except for its checksum, padding and network namespace, and for those about TLS if this process has decrypted the connection |
///
/// Extensions that do not fit into a header are left out. Only [version 2](super::Version::V2) has extensions.
///
/// ```
/// use equipoise_proxy::{headers::ConnectionInfo, proxy_protocol::{Version, client_header}};
///
/// let info = ConnectionInfo::new().local("192.0.2.1:443".parse()?);
/// let header = client_header(Some("203.0.113.9:40312".parse()?), &info);
/// assert_eq!(header.encode(Version::V1), "PROXY TCP4 203.0.113.9 192.0.2.1 40312 443\r\n");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[must_use]
pub fn client_header(peer: Option<SocketAddr>, info: &ConnectionInfo) -> ProxyHeader {
    let mut header = match peer.filter(|_| !info.hides_client()) {
        Some(source) => ProxyHeader::proxied(source, info.local_addr().unwrap_or_else(|| unspecified(source))),
        None => ProxyHeader::unknown(),
    };
    if info.is_tls() {
        // It fits, because there is nothing else yet.
        header = header.clone().ssl_tlv(&Ssl::new()).unwrap_or(header);
    }
    // What does not fit is left out.
    let mut add = |kind, value: &[u8]| {
        let _ = header.append(kind, value);
    };
    let own = own_tlvs(info);
    for (kind, value) in &own {
        add(*kind, value);
    }
    for tlv in info.proxy_header().into_iter().flat_map(ProxyHeader::tlvs) {
        let is_replaced = match tlv.kind {
            kind::CRC32C | kind::NOOP | kind::NETNS => true,
            kind::ALPN | kind::AUTHORITY | kind::SSL => info.is_tls(),
            _ => false,
        };
        if !is_replaced && !own.iter().any(|(kind, _)| *kind == tlv.kind) {
            add(tlv.kind, tlv.value);
        }
    }
    header
}

/// Makes the header that tells an endpoint about the client of a request, as [`client_header`] does. It reads the
/// extensions [`PeerAddr`] and [`ConnectionInfo`] of the request. A request without both is one of this process itself, for
/// example a health check: it gets the header for [`local`](ProxyHeader::local) connections.
///
/// ```
/// use equipoise_http::Settings;
/// use equipoise_proxy::proxy_protocol::{Version, request_header};
///
/// let settings = Settings::new().proxy_protocol(Version::V2, request_header);
/// # drop(settings);
/// ```
#[must_use]
pub fn request_header(extensions: &Extensions) -> ProxyHeader {
    let peer = extensions.get::<PeerAddr>().map(|peer| peer.0);
    match (peer, extensions.get()) {
        (peer, Some(info)) => client_header(peer, info),
        (Some(_), None) => client_header(peer, &ConnectionInfo::new()),
        (None, None) => ProxyHeader::local(),
    }
}

/// Returns the extensions that this process knows itself.
fn own_tlvs(info: &ConnectionInfo) -> Vec<(u8, Vec<u8>)> {
    let mut own = Vec::new();
    if let Some(id) = info.unique_id() {
        own.push((kind::UNIQUE_ID, id.to_vec()));
    }
    #[cfg(feature = "sni")]
    if let Some(name) = info.client_hello().and_then(crate::sni::ClientHello::server_name) {
        own.push((kind::AUTHORITY, name.as_bytes().to_vec()));
    }
    own
}

fn unspecified(like: SocketAddr) -> SocketAddr {
    let ip = match like.ip().to_canonical() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn extensions_of_the_received_header_are_passed_on() {
        let received = ProxyHeader::proxied(address("203.0.113.9:1"), address("192.0.2.1:443"));
        let received = received.checksum().and_then(|header| header.tlv(kind::UNIQUE_ID, b"id-1")).expect("short");
        let received = received.tlv(0xEA, b"own").and_then(|header| header.ssl_tlv(&Ssl::new())).expect("short");
        let info = ConnectionInfo::new().local(address("192.0.2.1:443")).proxied(received, Some(address("10.0.0.1:7")));
        let sent = client_header(Some(address("203.0.113.9:1")), &info);
        let kinds: Vec<_> = sent.tlvs().map(|tlv| tlv.kind).collect();
        assert_eq!(kinds, [kind::UNIQUE_ID, 0xEA, kind::SSL]);
        assert_eq!((sent.source(), sent.unique_id()), (Some(address("203.0.113.9:1")), Some(&b"id-1"[..])));
        // This process knows nothing of the TLS connection that it has decrypted, but that it is another one.
        let decrypted = client_header(Some(address("203.0.113.9:1")), &info.clone().tls(true));
        assert!(decrypted.ssl().is_some_and(|ssl| ssl.is_tls() && ssl.version().is_none()), "{decrypted:?}");
        // An identifier of this process replaces the received one.
        let sent = client_header(Some(address("203.0.113.9:1")), &info.with_unique_id(b"id-2"));
        assert_eq!(sent.unique_id(), Some(&b"id-2"[..]));
        assert_eq!(sent.tlvs().filter(|tlv| tlv.kind == kind::UNIQUE_ID).count(), 1);
    }

    #[test]
    fn the_header_says_what_is_known_of_the_addresses() {
        let (v4, v6) = (address("203.0.113.9:1"), address("[2001:db8::9]:1"));
        assert_eq!(client_header(None, &ConnectionInfo::new()), ProxyHeader::unknown());
        assert_eq!(client_header(Some(v4), &ConnectionInfo::new()).destination(), Some(address("0.0.0.0:0")));
        assert_eq!(client_header(Some(v6), &ConnectionInfo::new()).destination(), Some(address("[::]:0")));
        let mut extensions = Extensions::new();
        assert_eq!(request_header(&extensions), ProxyHeader::local());
        extensions.insert(ConnectionInfo::new());
        assert_eq!(request_header(&extensions), ProxyHeader::unknown());
        extensions.insert(PeerAddr(v4));
        extensions.insert(ConnectionInfo::new().local(address("192.0.2.1:80")));
        assert_eq!(request_header(&extensions), ProxyHeader::proxied(v4, address("192.0.2.1:80")));
    }
}
