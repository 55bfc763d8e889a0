//! Servers that behave as the test says.

use std::{net::SocketAddr, time::Duration};

use equipoise_health::probe::{Probe, ProbeError, ProbeOutcome, Target};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
    time::timeout,
};

pub(crate) fn target(address: impl ToString) -> Target {
    Target::new("a", address.to_string())
}

/// Accepts on loopback for as long as the test runs.
pub(crate) async fn serve<F, Fut>(with: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(with(stream));
        }
    });
    address
}

/// A server that sends these bytes at once and closes the connection orderly.
pub(crate) async fn saying(bytes: impl Into<Vec<u8>>) -> SocketAddr {
    let bytes = bytes.into();
    serve(move |mut stream| {
        let bytes = bytes.clone();
        async move {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            until_closed(stream).await;
        }
    })
    .await
}

/// A server that repeats the same bytes endlessly.
pub(crate) async fn droning(first: &'static [u8], then: &'static [u8]) -> SocketAddr {
    serve(move |mut stream| async move {
        let mut sent = stream.write_all(first).await;
        while sent.is_ok() {
            sent = stream.write_all(then).await;
        }
    })
    .await
}

/// An address that refuses connections. It is bound, so that no other test gets it.
pub(crate) fn refusing_address() -> SocketAddr {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback");
    let address = socket.local_addr().expect("bound");
    std::mem::forget(socket);
    address
}

/// Reads until the peer has closed, because closing with unread data resets the connection.
pub(crate) async fn until_closed(mut stream: TcpStream) {
    let mut sink = [0; 1024];
    while matches!(stream.read(&mut sink).await, Ok(1..)) {}
}

pub(crate) async fn probe_once(probe: &impl Probe, address: impl ToString) -> Result<ProbeOutcome, ProbeError> {
    let target = target(address);
    timeout(Duration::from_secs(10), probe.probe(&target)).await.expect("a probe on loopback ends")
}

/// The result of a probe whose connection is reset.
pub(crate) async fn reset(probe: &impl Probe) -> Result<ProbeOutcome, ProbeError> {
    let address = serve(|stream| async move { stream.set_zero_linger().expect("a TCP socket") }).await;
    probe_once(probe, address).await
}

/// Against a server that accepts and never answers, the probe waits until it is dropped, and then closes its connection.
pub(crate) async fn waits_until_dropped(probe: &impl Probe) {
    let (events, mut happened) = mpsc::unbounded_channel();
    let address = serve(move |stream| {
        let events = events.clone();
        async move {
            let _ = events.send("accepted");
            until_closed(stream).await;
            let _ = events.send("closed");
        }
    })
    .await;
    let target = target(address);
    let mut probing = probe.probe(&target);
    tokio::select! {
        answer = &mut probing => panic!("the server does not answer, and yet {answer:?}"),
        event = happened.recv() => assert_eq!(event, Some("accepted")),
    }
    assert!(timeout(Duration::from_millis(30), &mut probing).await.is_err());
    drop(probing);
    assert_eq!(happened.recv().await, Some("closed"));
}

/// A listener whose backlog is full, so that connection attempts get no answer.
pub(crate) async fn silent(address: SocketAddr) -> std::io::Result<(TcpListener, Vec<TcpStream>)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(address)?;
    let listener = socket.listen(1)?;
    let address = listener.local_addr()?;
    let mut waiting = Vec::new();
    while let Ok(connected) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        waiting.push(connected?);
    }
    Ok((listener, waiting))
}
