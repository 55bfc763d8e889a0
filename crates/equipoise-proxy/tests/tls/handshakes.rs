//! Handshakes that are slow, broken or too many.

use std::{io::ErrorKind, pin::pin, time::Duration};

use equipoise_proxy::{
    listen::Listener,
    tls::{HandshakeError, HandshakeFailure, Tls, TlsAcceptor, TlsSettings, TlsStream},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream as ClientStream};

use crate::setup::{Authority, Client, start};

const LONG: Duration = Duration::from_secs(60);

/// Reads until the server closes the connection. Fails the test if it stays open.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset ends it too.
    let _ = timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("it is closed");
    bytes
}

#[tokio::test]
async fn bytes_that_are_no_tls_get_an_alert_and_are_counted() {
    let authority = Authority::new("ca");
    let server = start(TlsSettings::new(authority.certificate(&["app.test"]))).await;
    let head = [22, 3, 1];
    for bytes in [
        &b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n"[..],
        &[0; 100],
        // A record that is too long, and a message of the handshake that is no ClientHello.
        &[&head[..], &[255, 255]].concat(),
        &[&head[..], &[0, 4, 2, 0, 0, 0]].concat(),
        // A ClientHello that is cut off inside.
        &[&head[..], &[0, 8, 1, 0, 0, 4, 3, 3, 0, 0]].concat(),
    ] {
        let mut stream = TcpStream::connect(server.address).await.expect("it listens");
        stream.write_all(bytes).await.expect("open");
        let answer = closed(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with(&[21, 3]), "{bytes:?} {answer:?}");
    }
    let stats = server.acceptor.stats();
    assert_eq!(stats.failed(HandshakeFailure::Malformed), 5, "{stats:?}");

    let mut stream = TcpStream::connect(server.address).await.expect("it listens");
    stream.write_all(&head).await.expect("open");
    stream.shutdown().await.expect("open");
    assert!(closed(&mut stream).await.is_empty());
    let stats = server.acceptor.stats();
    assert_eq!((stats.failed(HandshakeFailure::Closed), stats.in_progress), (1, 0));
    assert!(authority.trusting().asked(server.address, "app.test").await.is_ok());
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate_is_counted() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let server = start(TlsSettings::new(authority.certificate(&["app.test"]))).await;
    other.trusting().connect(server.address, "app.test").await.expect_err("not trusted");
    // The failed handshake is counted before the next connection is served.
    authority.trusting().asked(server.address, "app.test").await.expect("a response");
    let stats = server.acceptor.stats();
    assert_eq!((stats.failed(HandshakeFailure::Alert), stats.tls13), (1, 1));
}

#[tokio::test]
async fn a_slow_handshake_ends_with_its_timeout() {
    let authority = Authority::new("ca");
    let settings = TlsSettings::new(authority.certificate(&["app.test"]));
    let server = start(settings.handshake_timeout(Duration::from_millis(50))).await;
    for begin in [&[][..], &[22], &[22, 3, 1, 1, 0, 1, 0]] {
        let mut stream = TcpStream::connect(server.address).await.expect("it listens");
        stream.write_all(begin).await.expect("open");
        assert!(closed(&mut stream).await.is_empty());
    }
    assert_eq!(server.acceptor.stats().failed(HandshakeFailure::Timeout), 3);
}

#[tokio::test]
async fn clients_that_send_nothing_do_not_keep_out_others() {
    let authority = Authority::new("ca");
    let settings = TlsSettings::new(authority.certificate(&["app.test"]));
    let server = start(settings.handshake_timeout(LONG).max_handshakes(10)).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(server.address).await.expect("it listens"));
    }
    let client = authority.trusting();
    let answer = timeout(LONG / 2, client.asked(server.address, "app.test")).await.expect("it does not wait");
    assert!(answer.is_ok());
    assert!(server.acceptor.stats().failed(HandshakeFailure::Displaced) > 80);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_cannot_begin_is_not_the_fault_of_its_client() {
    let authority = Authority::new("ca");
    let settings = TlsSettings::new(authority.certificate(&["app.test"])).max_handshakes(1);
    // Both end before one is given up for the other, which is after a second.
    let settings = settings.handshake_timeout(Duration::from_millis(900));
    let acceptor = TlsAcceptor::new(&settings).expect("valid settings");
    let [(_first, first), (_second, second)] = [(); 2].map(|()| tokio::io::duplex(64));
    let mut first = pin!(acceptor.accept(first));
    assert!(timeout(Duration::ZERO, first.as_mut()).await.is_err(), "it has begun");
    acceptor.replace(&settings.handshake_timeout(Duration::from_millis(300))).expect("valid settings");
    let waiting = acceptor.accept(second).await.expect_err("no room");
    assert_eq!(waiting.reason, HandshakeFailure::QueueTimeout);
    assert_eq!(first.await.expect_err("silent").reason, HandshakeFailure::Timeout);
    let stats = acceptor.stats();
    let failed = [HandshakeFailure::QueueTimeout, HandshakeFailure::Timeout].map(|reason| stats.failed(reason));
    assert_eq!((failed, stats.in_progress), ([1, 1], 0));
}

#[tokio::test]
async fn errors_name_the_client() {
    let authority = Authority::new("ca");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let mut listener = Tls::new(listener, authority.certificate(&["app.test"])).expect("valid settings");
    let mut client = TcpStream::connect(address).await.expect("it listens");
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("open");
    let error = listener.accept().await.expect("connected").established().await.expect_err("no TLS");
    let error = error.downcast::<HandshakeError>().expect("of the handshake");
    let peer = client.local_addr().expect("connected");
    assert_eq!((error.reason, error.peer), (HandshakeFailure::Malformed, Some(peer)));
    assert_eq!(error.to_string(), format!("the TLS handshake with {peer} has failed: malformed"));
}

#[tokio::test(start_paused = true)]
async fn many_handshakes_at_once_are_made_in_turn() {
    const CLIENTS: usize = 1000;
    let authority = Authority::new("ca");
    let settings = TlsSettings::new(authority.certificate(&["app.test"])).max_handshakes(16);
    let acceptor = TlsAcceptor::new(&settings).expect("valid settings");
    let mut tasks = JoinSet::new();
    for _ in 0..CLIENTS {
        let (acceptor, client) = (acceptor.clone(), authority.trusting());
        tasks.spawn(async move { handshake(&acceptor, client).await });
    }
    while let Some(both) = tasks.join_next().await {
        both.expect("no panic");
    }
    let stats = acceptor.stats();
    assert_eq!((stats.tls13, stats.in_progress), (CLIENTS as u64, 0), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_silent_clients_do_not_keep_out_others() {
    const CLIENTS: u64 = 10_000;
    let authority = Authority::new("ca");
    let acceptor = TlsAcceptor::new(&TlsSettings::new(authority.certificate(&["app.test"]))).expect("valid settings");
    let (mut clients, mut tasks) = (Vec::new(), JoinSet::new());
    for _ in 0..CLIENTS {
        let (client, server) = tokio::io::duplex(64);
        clients.push(client);
        tasks.spawn(acceptor.accept(server));
    }
    let began = Instant::now();
    let last = (acceptor.clone(), authority.trusting());
    // Behind the others.
    let last = tokio::spawn(async move { handshake(&last.0, last.1).await });
    last.await.expect("no panic");
    // The default timeout of a handshake is 10 s.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(acceptor.stats().in_progress > 1000);
    tasks.join_all().await;
    let stats = acceptor.stats();
    let failed = [HandshakeFailure::Displaced, HandshakeFailure::Timeout].map(|reason| stats.failed(reason));
    assert_eq!((failed[0] + failed[1], stats.in_progress, stats.tls13), (CLIENTS, 0, 1), "{stats:?}");
    assert!(failed.iter().all(|count| *count > 1000), "{stats:?}");
}

/// Makes a handshake. Returns both ends.
async fn handshake(acceptor: &TlsAcceptor, client: Client) -> (TlsStream<DuplexStream>, ClientStream<DuplexStream>) {
    let (near, far) = tokio::io::duplex(4096);
    let name = "app.test".try_into().expect("a name");
    let connector = TlsConnector::from(client.0);
    let (server, client) = tokio::join!(acceptor.accept(far), connector.connect(name, near));
    (server.expect("a handshake"), client.expect("a handshake"))
}

#[tokio::test]
async fn the_end_of_a_connection_is_told_and_truncation_is_seen() {
    let authority = Authority::new("ca");
    let acceptor = TlsAcceptor::new(&TlsSettings::new(authority.certificate(&["app.test"]))).expect("valid settings");
    for closes in [true, false] {
        let (mut server, mut client) = handshake(&acceptor, authority.trusting()).await;
        client.write_all(b"hello").await.expect("open");
        client.flush().await.expect("open");
        if closes {
            client.shutdown().await.expect("open");
        } else {
            drop(client.into_inner());
        }
        let mut text = Vec::new();
        let read = server.read_to_end(&mut text).await;
        assert_eq!(text, b"hello");
        match read {
            Ok(_) => assert!(closes),
            Err(error) => assert!(!closes && error.kind() == ErrorKind::UnexpectedEof, "{error}"),
        }
    }
    let (mut server, mut client) = handshake(&acceptor, authority.trusting()).await;
    server.shutdown().await.expect("open");
    assert_eq!(client.read(&mut [0; 1]).await.expect("closed, not cut off"), 0);
    // The other direction stays open.
    client.write_all(b"hello").await.expect("open");
    client.flush().await.expect("open");
    let mut text = [0; 5];
    server.read_exact(&mut text).await.expect("open");
    assert_eq!(&text, b"hello");
}
