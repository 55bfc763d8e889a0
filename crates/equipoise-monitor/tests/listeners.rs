//! Readings of servers and proxies that have connections.
#![cfg(all(feature = "proxy-server", feature = "proxy-tcp", feature = "proxy-tls"))]

use std::{
    convert::Infallible,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use equipoise_core::{EndpointSpec, Pool};
use equipoise_monitor::{Monitor, WatchedListener, report::ListenerReport};
use equipoise_proxy::{
    server::Server,
    tcp::TcpProxy,
    tls::{Certificate, Tls, TlsSettings},
};
use http::{Request, Response};
use http_body_util::Empty;
use rcgen::{CertificateParams, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tower::service_fn;

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

fn report(monitor: &Monitor) -> ListenerReport {
    monitor.snapshot().listeners.remove(0)
}

/// Returns the number of a name and the value of its label.
fn value(report: &ListenerReport, name: &str, label: Option<&str>) -> u64 {
    let is_it = |reading: &&equipoise_monitor::report::Reading| {
        reading.name == name && reading.label.map(|(_, value)| value) == label
    };
    report.readings.iter().find(is_it).expect("it is read").value
}

/// Waits until a client reads the end of its connection.
async fn ended(client: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    let end = timeout(Duration::from_secs(30), client.read_to_end(&mut read)).await;
    assert!(end.expect("in time").is_ok());
    read
}

#[tokio::test]
async fn a_replaced_proxy_is_read_under_the_name_of_the_old_one() {
    let (endpoint, endpoint_address) = bind().await;
    let pool: Pool<()> = Pool::default();
    pool.add(EndpointSpec::new(endpoint_address.to_string()), ()).expect("valid");
    let proxy = TcpProxy::new(pool.clone());
    let (listener, address) = bind().await;
    tokio::spawn(proxy.serve(listener));
    let monitor = Monitor::new();
    let watched = |proxy: &TcpProxy| WatchedListener::new("front", "tcp").tcp(proxy);
    monitor.add_listener(watched(&proxy));

    let mut client = TcpStream::connect(address).await.expect("a connection");
    let mut server = endpoint.accept().await.expect("a connection").0;
    client.write_all(b"1").await.expect("open");
    assert_eq!(server.read_u8().await.expect("a byte"), b'1');
    let before = report(&monitor);
    assert_eq!((&*before.name, &*before.mode), ("front", "tcp"));
    assert_eq!(value(&before, "connections_open", None), 1);
    assert_eq!(value(&before, "connections_accepted", None), 1);

    proxy.shutdown(Duration::ZERO).await;
    assert_eq!(value(&report(&monitor), "connections_closed", Some("aborted")), 1);
    monitor.replace([], [watched(&TcpProxy::new(pool))]);
    assert_eq!(value(&report(&monitor), "connections_accepted", None), 0);
}

#[tokio::test]
async fn a_listener_with_tls_reports_its_handshakes_and_when_its_certificates_expire() {
    let settings = |name: &str, year| {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a valid name");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let chain = params.self_signed(&key).expect("a certificate").pem();
        TlsSettings::new(Certificate::from_pem(chain, key.serialize_pem()).expect("valid PEM"))
    };
    let (listener, address) = bind().await;
    let tls = Tls::with_settings(listener, &settings("old.example", 2130)).expect("valid");
    let acceptor = tls.acceptor().clone();
    let ok = service_fn(async |_: Request<_>| Ok::<_, Infallible>(Response::new(Empty::<&[u8]>::new())));
    let server = Server::new(ok);
    let monitor = Monitor::new();
    monitor.add_listener(WatchedListener::new("front", "http").server(&server).tls(&acceptor));
    tokio::spawn(server.serve(tls));

    let mut client = TcpStream::connect(address).await.expect("a connection");
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("open");
    let answer = ended(&mut client).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let before = report(&monitor);
    assert_eq!(value(&before, "tls_handshakes_failed", Some("malformed")), 1);
    assert_eq!(value(&before, "tls_handshakes", Some("1.3")), 0);
    assert_eq!(value(&before, "connections_accepted", None), 1);
    let [certificate] = &before.certificates[..] else { panic!("one certificate") };
    assert_eq!((&certificate.names[..], certificate.is_default), (&["old.example".to_owned()][..], true));
    // The first of January 2130.
    assert_eq!(certificate.not_after, SystemTime::UNIX_EPOCH + Duration::from_secs(5_049_129_600));

    acceptor.replace(&settings("new.example", 2131)).expect("valid");
    let after = report(&monitor);
    assert_eq!(after.certificates[0].names, ["new.example"]);
    assert!(after.certificates[0].not_after > certificate.not_after);
}
