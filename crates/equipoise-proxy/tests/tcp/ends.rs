//! How connections end: half-closed, reset, idle.

use std::{io::ErrorKind, time::Duration};

use equipoise_proxy::tcp::TcpSettings;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};

use crate::rig::*;

/// An endpoint whose connections the test holds.
async fn held() -> (std::net::SocketAddr, mpsc::UnboundedReceiver<TcpStream>) {
    let (sender, connections) = mpsc::unbounded_channel();
    let address = endpoint(move |stream| {
        let _ = sender.send(stream);
        async {}
    })
    .await;
    (address, connections)
}

#[tokio::test]
async fn each_direction_ends_by_itself() {
    let (address, mut connections) = held().await;
    let mut rig = start(&[address], TcpSettings::new()).await;
    for client_first in [true, false] {
        let client = rig.connect().await;
        let endpoint = connections.recv().await.expect("a connection");
        let (mut first, mut second) = if client_first { (client, endpoint) } else { (endpoint, client) };
        first.write_all(b"last words").await.expect("open");
        first.shutdown().await.expect("open");
        assert_eq!(rest(&mut second).await, b"last words");
        // The other direction goes on.
        for _ in 0..3 {
            second.write_all(b"answer").await.expect("open");
            let mut answer = [0; 6];
            first.read_exact(&mut answer).await.expect("open");
        }
        assert_eq!(rig.in_flight(), 1);
        second.shutdown().await.expect("open");
        assert_eq!(rest(&mut first).await, b"");
        assert_eq!(rig.ended().await.end, "complete");
        assert_eq!(rig.in_flight(), 0);
    }
}

#[tokio::test]
async fn a_reset_is_passed_on() {
    let (address, mut connections) = held().await;
    let mut rig = start(&[address], TcpSettings::new()).await;
    for client_first in [true, false] {
        let mut client = rig.connect().await;
        let mut endpoint = connections.recv().await.expect("a connection");
        client.write_all(b"question").await.expect("open");
        endpoint.read_exact(&mut [0; 8]).await.expect("open");
        let (first, mut second) = if client_first { (client, endpoint) } else { (endpoint, client) };
        reset(first);
        assert_eq!(second.read(&mut [0; 8]).await.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
        assert_eq!(rig.ended().await.end, if client_first { "client" } else { "endpoint" });
    }
    let stats = rig.proxy.stats();
    assert_eq!((stats.broken_by_client, stats.broken_by_endpoint), (1, 1));
    let requests = rig.status(address).requests;
    // The client has given up, which says nothing for round robin, and the endpoint has failed.
    assert_eq!((requests.cancelled, requests.failure_transport, requests.in_flight), (1, 1, 0));
}

/// The endpoint answers before it has read everything, and closes: its system sends a reset behind the answer.
#[tokio::test]
async fn an_answer_before_a_reset_reaches_the_client() {
    let (address, mut connections) = held().await;
    let mut rig = start(&[address], TcpSettings::new()).await;
    let mut client = rig.connect().await;
    client.write_all(b"a question that is not read").await.expect("open");
    let mut endpoint = connections.recv().await.expect("a connection");
    endpoint.readable().await.expect("open");
    endpoint.write_all(b"too long").await.expect("open");
    drop(endpoint);
    let mut answer = [0; 8];
    client.read_exact(&mut answer).await.expect("the answer");
    assert_eq!(&answer, b"too long");
    assert_eq!(rest(&mut client).await, b"");
    drop(client);
    assert_eq!(rig.ended().await.received, 8);
    assert_eq!(rig.status(address).requests.success, 1);
}

#[tokio::test]
async fn a_connection_without_bytes_ends_after_the_idle_timeout() {
    let address = echoing().await;
    let mut rig = start(&[address], TcpSettings::new().idle_timeout(SHORT)).await;
    let mut client = rig.connect().await;
    exchange(&mut client, b"hello").await;
    assert_eq!(rest(&mut client).await, b"");
    assert_eq!(rig.ended().await.end, "idle");
    assert_eq!((rig.proxy.stats().idle_timeouts, rig.in_flight()), (1, 0));
    // One that was only opened.
    let mut client = rig.connect().await;
    assert_eq!(rest(&mut client).await, b"");
    assert_eq!(rig.ended().await.end, "idle");
    assert_eq!(rig.status(address).requests.neutral, 1);
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_has_failed() {
    let (address, mut connections) = held().await;
    let settings = TcpSettings::new().answer_timeout(SHORT);
    let mut rig = start(&[address], settings).await;
    let mut client = rig.connect().await;
    let _endpoint = connections.recv().await.expect("a connection");
    client.write_all(b"question").await.expect("open");
    assert_eq!(rest(&mut client).await, b"");
    assert_eq!(rig.ended().await.end, "unanswered");
    assert_eq!((rig.status(address).requests.failure_timeout, rig.proxy.stats().answer_timeouts), (1, 1));
}

/// A client that sends nonsense must not be able to make endpoints fail.
#[tokio::test]
async fn an_end_without_an_answer_is_a_failure_only_if_answers_are_expected() {
    for expected in [false, true] {
        let (address, mut connections) = held().await;
        let settings = TcpSettings::new();
        let mut rig = start(&[address], if expected { settings.answer_timeout(LONG) } else { settings }).await;
        let mut client = rig.connect().await;
        client.write_all(b"nonsense").await.expect("open");
        let mut endpoint = connections.recv().await.expect("a connection");
        endpoint.read_exact(&mut [0; 8]).await.expect("open");
        drop(endpoint);
        assert_eq!(rest(&mut client).await, b"");
        drop(client);
        assert_eq!(rig.ended().await.end, "complete");
        let requests = rig.status(address).requests;
        assert_eq!((requests.failure_transport, requests.neutral), if expected { (1, 0) } else { (0, 1) });
    }
}

/// The client's system has not taken the whole answer when the endpoint resets the connection.
#[tokio::test]
async fn a_client_that_reads_slowly_gets_the_answer_before_a_reset() {
    const LENGTH: usize = 1 << 20;
    let (address, mut connections) = held().await;
    let mut rig = start(&[address], TcpSettings::new()).await;
    let mut client = rig.connect().await;
    client.write_all(b"question").await.expect("open");
    let mut endpoint = connections.recv().await.expect("a connection");
    endpoint.write_all(&vec![7; LENGTH]).await.expect("open");
    until(|| rig.status(address).bytes_received == LENGTH as u64).await;
    reset(endpoint);
    until(|| rig.in_flight() == 0).await;
    // It goes on to send, which must not turn the end into a reset.
    client.write_all(&[1; 1000]).await.expect("open");
    assert_eq!(rest(&mut client).await.len(), LENGTH);
    drop(client);
    assert_eq!(rig.ended().await.end, "endpoint");
}

/// The endpoint does not read, so that the proxy does not read from the client either.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_reset_of_a_client_that_is_not_read_is_noticed() {
    for splice in [true, false] {
        let (address, mut connections) = held().await;
        let settings = TcpSettings::new().idle_timeout(Duration::MAX);
        #[cfg(feature = "splice")]
        let settings = settings.splice(splice);
        let mut rig = start(&[address], settings).await;
        let mut client = rig.connect().await;
        let _endpoint = connections.recv().await.expect("a connection");
        while timeout(SHORT, client.write_all(&[7; 64 * 1024])).await.is_ok() {}
        reset(client);
        let ended = timeout(LONG, rig.ended()).await.expect("noticed");
        assert_eq!((ended.end, rig.in_flight()), ("client", 0), "splice: {splice}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_reset_of_a_client_after_its_end_is_noticed() {
    let (address, mut connections) = held().await;
    let mut rig = start(&[address], TcpSettings::new().idle_timeout(Duration::MAX)).await;
    let mut client = rig.connect().await;
    let mut endpoint = connections.recv().await.expect("a connection");
    client.shutdown().await.expect("open");
    assert_eq!(rest(&mut endpoint).await, b"");
    reset(client);
    let ended = timeout(LONG, rig.ended()).await.expect("noticed");
    assert_eq!((ended.end, rig.in_flight()), ("client", 0));
}

#[tokio::test]
async fn a_client_that_ends_first_says_nothing_about_the_endpoint() {
    let (address, mut connections) = held().await;
    let mut rig = start(&[address], TcpSettings::new()).await;
    for bytes in [&b""[..], b"one way"] {
        let mut client = rig.connect().await;
        client.write_all(bytes).await.expect("open");
        client.shutdown().await.expect("open");
        let mut endpoint = connections.recv().await.expect("a connection");
        assert_eq!(rest(&mut endpoint).await, bytes);
        drop(endpoint);
        assert_eq!(rig.ended().await.end, "complete");
    }
    assert_eq!(rig.status(address).requests.neutral, 2);
}
