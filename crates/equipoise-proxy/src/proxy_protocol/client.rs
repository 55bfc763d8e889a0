use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use equipoise_affinity::source::PeerAddr;
use equipoise_http::proxy_protocol::{ProxyHeader, Ssl, kind};
use http::Extensions;

use crate::headers::ConnectionInfo;
#[cfg(feature = "tls")]
use crate::tls::{ClientCertificate, TlsSession, TlsVersion};

/// The maximum size of a text about the TLS connection, in bytes. A client chooses the common name of its certificate, and
/// must not be able to fill the header. X.509 allows 64 characters, which are at most 256 bytes.
#[cfg(feature = "tls")]
const MAX_SSL_TEXT: usize = 256;

/// Makes the header that tells an endpoint about a client's connection: `peer` is the address of the client, and `info`
/// what else is known.
///
/// | field | content |
/// | --- | --- |
/// | source | the address of the client. If it is not known, as with Unix sockets, the header has no addresses |
/// | destination | the local address of the connection. If it is not known, the unspecified address |
/// | [`SSL`](kind::SSL) | that the client uses TLS, if this process has decrypted it. With [`tls`](crate::tls), also the version, the cipher (as IANA names it), and of a client with a certificate that it was verified, and its common name. A text of more than 256 bytes is left out |
/// | [`UNIQUE_ID`](kind::UNIQUE_ID) | [`ConnectionInfo::unique_id`] |
/// | [`AUTHORITY`](kind::AUTHORITY) | the name that the client has asked for, if this process has read it |
/// | [`ALPN`](kind::ALPN) | the protocol that this process has agreed on with the client, with [`tls`](crate::tls) |
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
        header = header.clone().ssl_tlv(&ssl(info)).unwrap_or(header);
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
    if let Some(name) = info.own_server_name() {
        own.push((kind::AUTHORITY, name.as_bytes().to_vec()));
    }
    #[cfg(feature = "tls")]
    if let Some(protocol) = info.tls_session().and_then(TlsSession::alpn) {
        own.push((kind::ALPN, protocol.to_vec()));
    }
    own
}

/// Returns what is known of the TLS connection that this process has decrypted.
#[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "nothing is known of it"))]
fn ssl(info: &ConnectionInfo) -> Ssl {
    let ssl = Ssl::new();
    #[cfg(feature = "tls")]
    let ssl = match info.tls_session() {
        Some(session) => described(ssl, session),
        None => ssl,
    };
    ssl
}

#[cfg(feature = "tls")]
fn described(mut ssl: Ssl, session: &TlsSession) -> Ssl {
    let client = session.client_certificate();
    if client.is_some() {
        ssl = if session.is_resumed() { ssl.session_certificate(true) } else { ssl.client_certificate(true) };
    }
    for (kind, value) in [
        (kind::SSL_VERSION, session.version().map(TlsVersion::as_str)),
        (kind::SSL_CIPHER, session.cipher_suite()),
        (kind::SSL_CN, client.and_then(ClientCertificate::common_name)),
    ] {
        if let Some(value) = value.filter(|value| value.len() <= MAX_SSL_TEXT) {
            ssl = ssl.clone().tlv(kind, value.as_bytes()).unwrap_or(ssl);
        }
    }
    ssl
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
    fn a_name_that_this_process_has_read_replaces_the_received_one() {
        let received = ProxyHeader::unknown().tlv(kind::AUTHORITY, b"received.test").expect("short");
        let info = ConnectionInfo::new().proxied(received, None);
        assert_eq!(client_header(None, &info).authority(), Some("received.test"));
        let sent = client_header(None, &info.sni("own.test"));
        let authorities: Vec<_> = sent.tlvs().map(|tlv| (tlv.kind, tlv.value)).collect();
        assert_eq!(authorities, [(kind::AUTHORITY, &b"own.test"[..])]);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn endpoints_learn_of_the_tls_connection() {
        let received = Ssl::new().tlv(kind::SSL_VERSION, b"TLSv1.0").expect("short");
        let received = ProxyHeader::unknown().ssl_tlv(&received).and_then(|header| header.tlv(kind::ALPN, b"smtp"));
        let received = received.and_then(|header| header.tlv(kind::AUTHORITY, b"received.test")).expect("short");
        let sent = |session: TlsSession| {
            let info = ConnectionInfo::new().proxied(received.clone(), None).session(session);
            client_header(None, &info)
        };
        let plain = TlsSession::new().with_version(TlsVersion::Tls13).with_cipher_suite("TLS_AES_128_GCM_SHA256");
        let plain = plain.with_alpn(b"h2").with_server_name("app.test");
        let header = sent(plain.clone());
        assert_eq!((header.authority(), header.alpn()), (Some("app.test"), Some(&b"h2"[..])));
        assert_eq!(header.tlvs().count(), 3, "what was received is of another connection: {header:?}");
        let ssl = header.ssl().expect("TLS");
        assert_eq!((ssl.version(), ssl.cipher()), (Some("TLSv1.3"), Some("TLS_AES_128_GCM_SHA256")));
        assert!(ssl.is_tls() && !ssl.has_client_certificate() && !ssl.is_verified() && ssl.common_name().is_none());

        let of_client = |name: &str| {
            let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            let key = rcgen::KeyPair::generate().expect("a key");
            let der = params.self_signed(&key).expect("a certificate").der().to_vec();
            plain.clone().with_client_certificate(ClientCertificate::new([der]).expect("a certificate"))
        };
        // The flags: TLS, a certificate on this connection (2) or in its session (4).
        for (session, flags) in [(of_client("é"), 7), (of_client("é").with_resumed(true), 5)] {
            let header = sent(session);
            assert_eq!(header.value(kind::SSL).and_then(|value| value.first()), Some(&flags));
            let ssl = header.ssl().expect("TLS");
            assert!(ssl.is_verified());
            assert_eq!(ssl.common_name(), Some("é"));
        }
        // A long name does not displace the rest.
        let header = sent(of_client(&"a".repeat(5000)));
        let ssl = header.ssl().expect("TLS");
        assert!(ssl.is_verified() && ssl.common_name().is_none() && ssl.version().is_some());
        assert_eq!((header.authority(), header.alpn()), (Some("app.test"), Some(&b"h2"[..])));
        assert_eq!(sent(TlsSession::new()).ssl().expect("TLS").version(), None);
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
