//! TLS of clients in front of a TCP proxy.

use std::net::SocketAddr;

use equipoise_core::{EndpointSpec, Pool, RoundRobin};
use equipoise_proxy::{
    tcp::{TcpProxy, TcpSettings},
    tls::{HandshakeFailure, Tls, TlsAcceptor, TlsSettings},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::setup::{Authority, Client};

struct Proxied {
    address: SocketAddr,
    acceptor: TlsAcceptor,
    /// The label of the end of each connection.
    ends: mpsc::UnboundedReceiver<&'static str>,
    /// The connections to the endpoint.
    endpoint: TcpListener,
}

/// Starts a proxy with one endpoint.
async fn start(tls: &TlsSettings, settings: TcpSettings) -> Proxied {
    let endpoint = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let pool = Pool::new(RoundRobin::new());
    let id = endpoint.local_addr().expect("bound").to_string();
    pool.update([EndpointSpec::new(id)], |_| ()).expect("valid");
    let (sender, ends) = mpsc::unbounded_channel();
    let settings = settings.on_end(move |connection| {
        let _ = sender.send(connection.end.as_str());
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let listener = Tls::with_settings(listener, tls).expect("valid settings");
    let acceptor = listener.acceptor().clone();
    tokio::spawn(TcpProxy::with_settings(pool, settings).serve(listener));
    Proxied { address, acceptor, ends, endpoint }
}

impl Proxied {
    async fn accept(&self) -> TcpStream {
        self.endpoint.accept().await.expect("a connection").0
    }
}

#[tokio::test]
async fn bytes_pass_decrypted_and_both_directions_end_by_themselves() {
    // More than all buffers on the way.
    const SIZE: usize = 4 << 20;
    let authority = Authority::new("ca");
    let tls = TlsSettings::new(authority.certificate(&["app.test"])).alpn([b"postgresql"]);
    let mut proxy = start(&tls, TcpSettings::new()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Client::new(&authority, None, &[version]);
        let mut client = client.connect(proxy.address, "app.test").await.expect("a handshake");
        let mut endpoint = proxy.accept().await;
        let bytes: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
        let (mut received, mut reader) = (Vec::new(), async || {
            let mut received = Vec::new();
            endpoint.read_to_end(&mut received).await.expect("the end of the client");
            endpoint.write_all(&received).await.expect("open");
            endpoint.shutdown().await.expect("open");
            received
        });
        let sent = async {
            client.write_all(&bytes).await.expect("open");
            client.shutdown().await.expect("open");
            // Ends with close_notify, otherwise with an error.
            client.read_to_end(&mut received).await.expect("all bytes");
        };
        let (at_endpoint, ()) = tokio::join!(reader(), sent);
        assert!(at_endpoint == bytes && received == bytes);
        drop(client);
        assert_eq!(proxy.ends.recv().await, Some("complete"));
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_off_is_reset_at_the_endpoint() {
    let authority = Authority::new("ca");
    let mut proxy = start(&TlsSettings::new(authority.certificate(&["app.test"])), TcpSettings::new()).await;
    let mut client = authority.trusting().connect(proxy.address, "app.test").await.expect("a handshake");
    let mut endpoint = proxy.accept().await;
    client.write_all(b"begin").await.expect("open");
    client.flush().await.expect("open");
    let mut begin = [0; 5];
    endpoint.read_exact(&mut begin).await.expect("open");
    // Without close_notify.
    drop(client.into_inner());
    let error = endpoint.read(&mut begin).await.expect_err("not an orderly end");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(proxy.ends.recv().await, Some("client"));
}

#[tokio::test]
async fn clients_that_fail_the_handshake_reach_no_endpoint() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let tls = TlsSettings::new(authority.certificate(&["app.test"])).client_auth(clients.client_auth());
    let proxy = start(&tls, TcpSettings::new()).await;
    let mut refused = authority.trusting().connect(proxy.address, "app.test").await.expect("TLS 1.3 tells later");
    refused.read_to_end(&mut Vec::new()).await.expect_err("an alert");
    assert_eq!(proxy.acceptor.stats().failed(HandshakeFailure::ClientCertificate), 1);
    let own = clients.client("orders");
    let mut known = Client::new(&authority, Some(&own), rustls::ALL_VERSIONS).connect(proxy.address, "app.test").await;
    known.as_mut().expect("a handshake").write_all(b"!").await.expect("open");
    // The first connection is that of the second client.
    assert_eq!(proxy.accept().await.read_u8().await.expect("open"), b'!');
}

#[cfg(feature = "proxy-protocol")]
#[tokio::test]
async fn an_endpoint_learns_of_the_tls_connection_in_the_header() {
    use equipoise_proxy::proxy_protocol::{ProxyHeader, Version};

    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let tls = TlsSettings::new(authority.certificate(&["app.test"])).client_auth(clients.client_auth().optional());
    let tls = tls.alpn([b"postgresql"]);
    let proxy = start(&tls, TcpSettings::new().proxy_protocol(Version::V2)).await;
    let own = clients.client("orders");
    for (version, shown) in [(&rustls::version::TLS12, "TLSv1.2"), (&rustls::version::TLS13, "TLSv1.3")] {
        for own in [None, Some(&own)] {
            let client = Client::new(&authority, own, &[version]);
            let client = client.change(|config| config.alpn_protocols = vec![b"postgresql".to_vec()]);
            let mut client = client.connect(proxy.address, "app.test").await.expect("a handshake");
            let mut endpoint = proxy.accept().await;
            let mut bytes = vec![0; 16];
            endpoint.read_exact(&mut bytes).await.expect("open");
            let rest = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
            bytes.resize(16 + rest, 0);
            endpoint.read_exact(&mut bytes[16..]).await.expect("open");
            let (header, size) = ProxyHeader::decode(&bytes).expect("valid").expect("complete");
            assert_eq!(size, bytes.len());
            let local = client.get_ref().0.local_addr().expect("connected");
            assert_eq!((header.source(), header.destination()), (Some(local), Some(proxy.address)));
            assert_eq!((header.authority(), header.alpn()), (Some("app.test"), Some(&b"postgresql"[..])));
            let ssl = header.ssl().expect("TLS");
            let suite = client.get_ref().1.negotiated_cipher_suite().expect("agreed on").suite();
            assert!(suite.as_str().expect("known").ends_with("AES_128_GCM_SHA256"));
            assert_eq!(ssl.version(), Some(shown));
            assert!(ssl.cipher().expect("told").ends_with("AES_128_GCM_SHA256"), "{ssl:?}");
            assert_eq!((ssl.is_verified(), ssl.common_name()), (own.is_some(), own.map(|_| "orders")));
            // The client's bytes follow.
            client.write_all(b"!").await.expect("open");
            client.flush().await.expect("open");
            assert_eq!(endpoint.read_u8().await.expect("open"), b'!');
        }
    }
}
