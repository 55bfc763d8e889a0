//! Attempts at other endpoints.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use equipoise_core::{EndpointSpec, FirstFit, Maglev, PickRequest, Pool, RoundRobin};
use equipoise_http::{Resolve, ResolveFuture};
use equipoise_proxy::tcp::{FirstBytes, TcpKey, TcpSettings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use crate::rig::*;

#[tokio::test]
async fn a_refused_connection_goes_to_another_endpoint() {
    let (bad, good) = (refusing().await, echoing().await);
    let mut rig = start(&[bad, good], TcpSettings::new()).await;
    for _ in 0..4 {
        let mut client = rig.connect().await;
        exchange(&mut client, b"hello").await;
        drop(client);
        let ended = rig.ended().await;
        assert_eq!((ended.end, ended.endpoint), ("complete", Some(good.to_string())));
    }
    assert_eq!(rig.status(good).requests.success, 4);
    let (stats, failed) = (rig.proxy.stats(), rig.status(bad).requests);
    assert!(stats.failovers > 0);
    assert_eq!((stats.failovers, stats.connect_failures), (failed.failure_connect, failed.failure_connect));
    assert_eq!(rig.in_flight(), 0);
}

/// Returns the requests of the pool, their attempts, retries, failovers, and those without an attempt.
fn counted(pool: &Pool<()>) -> (u64, u64, u64, u64, u64) {
    let stats = pool.stats();
    let unserved = stats.unserved.iter().map(|(_, count)| count).sum();
    (stats.requests(), stats.attempts.total, stats.retries, stats.failovers, unserved)
}

#[tokio::test]
async fn the_pool_counts_a_connection_once_whatever_its_attempts() {
    let (bad, good) = (refusing().await, echoing().await);
    for (endpoints, counts) in [(&[good][..], (1, 1, 0, 0, 0)), (&[bad, good], (1, 2, 1, 1, 0)), (&[], (1, 0, 0, 0, 1))]
    {
        let pool = pool(FirstFit::new(), endpoints);
        let mut rig = over(pool, TcpSettings::new()).await;
        let mut client = rig.connect().await;
        if !endpoints.is_empty() {
            exchange(&mut client, b"hello").await;
        }
        drop(client);
        rig.ended().await;
        assert_eq!(counted(&rig.pool), counts, "{endpoints:?}");
    }
}

#[tokio::test]
async fn a_connection_that_leaves_for_the_queue_is_a_failover() {
    let bad = refusing().await;
    let good = echoing().await;
    let mut rig = start(&[bad, good], TcpSettings::new().queue_timeout(Duration::from_secs(60))).await;
    let limited = EndpointSpec::new(good.to_string()).max_in_flight(1);
    rig.pool.update([EndpointSpec::new(bad.to_string()), limited], |_| ()).expect("valid");
    let held = rig.pool.pick(&PickRequest::new().prefer(&good.to_string().into())).expect("it has room");
    let mut client = rig.connect().await;
    until(|| rig.pool.stats().waiting == 1).await;
    assert_eq!(counted(&rig.pool), (1, 2, 0, 1, 0));
    drop(held);
    exchange(&mut client, b"hello").await;
    drop(client);
    rig.ended().await;
    assert_eq!(counted(&rig.pool), (2, 3, 1, 1, 0));
}

#[tokio::test]
async fn a_client_without_an_endpoint_is_closed() {
    let bad = [refusing().await, refusing().await];
    let mut rig = start(&bad, TcpSettings::new()).await;
    let mut client = rig.connect().await;
    assert_eq!(rest(&mut client).await, b"");
    let ended = rig.ended().await;
    assert_eq!((ended.end, ended.attempts), ("connect", 2));
}

#[tokio::test]
async fn as_many_endpoints_are_tried_as_allowed() {
    let bad = [refusing().await, refusing().await, refusing().await];
    let mut rig = start(&bad, TcpSettings::new().max_attempts(2)).await;
    assert_eq!(rest(&mut rig.connect().await).await, b"");
    let ended = rig.ended().await;
    assert_eq!((ended.end, ended.attempts), ("connect", 2));
}

#[tokio::test]
async fn an_endpoint_that_ends_an_unused_connection_at_once_is_left() {
    let ends = endpoint(async |stream: TcpStream| drop(stream)).await;
    let resets = endpoint(async |stream: TcpStream| reset(stream)).await;
    let good = named(b'!').await;
    let mut rig = start(&[ends, resets, good], TcpSettings::new()).await;
    for _ in 0..6 {
        let mut client = rig.connect().await;
        assert_eq!(client.read_u8().await.expect("another endpoint"), b'!');
        exchange(&mut client, b"hello").await;
        drop(client);
        let ended = rig.ended().await;
        assert_eq!((ended.endpoint, ended.sent, ended.received), (Some(good.to_string()), 5, 6));
    }
    let failed = rig.status(ends).requests.failure_transport + rig.status(resets).requests.failure_transport;
    assert!(rig.proxy.stats().unused == failed && failed >= 6, "{:?}", rig.proxy.stats());
    assert_eq!((rig.status(good).requests.success, rig.in_flight()), (6, 0));
}

/// The bytes that were read from the client go to the endpoint that serves it.
#[tokio::test]
async fn bytes_that_were_not_sent_go_to_the_next_endpoint() {
    let (bad, good) = (refusing().await, echoing().await);
    let first = TcpKey::first_bytes(5, LONG, |bytes| match bytes.get(..5) {
        Some(key) => FirstBytes::Key(key.to_vec()),
        None => FirstBytes::Incomplete,
    });
    let pool = pool(Maglev::new(), &[bad, good]);
    let mut rig = over(pool, TcpSettings::new().key(first)).await;
    // Each key has its own first endpoint. Half of them have the bad one.
    for number in 0..20 {
        let mut client = rig.connect().await;
        exchange(&mut client, format!("{number:05}, world").as_bytes()).await;
        drop(client);
        assert_eq!(rig.ended().await.sent, 12);
    }
    assert!(rig.proxy.stats().failovers > 0);
}

#[tokio::test]
async fn the_last_endpoint_that_ends_at_once_ends_the_client() {
    let ends = endpoint(async |stream: TcpStream| drop(stream)).await;
    let mut rig = start(&[ends], TcpSettings::new()).await;
    assert_eq!(rest(&mut rig.connect().await).await, b"");
    let ended = rig.ended().await;
    assert_eq!((ended.end, ended.attempts), ("unused", 1));
    assert_eq!((rig.status(ends).requests.failure_transport, rig.proxy.stats().unused), (1, 1));
}

#[tokio::test]
async fn the_reset_of_the_last_endpoint_resets_the_client() {
    let resets = endpoint(async |stream: TcpStream| reset(stream)).await;
    let mut rig = start(&[resets], TcpSettings::new()).await;
    let mut client = rig.connect().await;
    assert_eq!(client.read(&mut [0; 8]).await.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    assert_eq!(rig.ended().await.end, "endpoint");
    assert_eq!(rig.status(resets).requests.failure_transport, 1);
}

/// Starts an endpoint that ends its own direction at once, and sends what it has received to the test.
async fn receiving() -> (SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (sender, received) = mpsc::unbounded_channel();
    let address = endpoint(move |mut stream: TcpStream| {
        let sender = sender.clone();
        async move {
            stream.shutdown().await.expect("open");
            let _ = sender.send(rest(&mut stream).await);
        }
    })
    .await;
    (address, received)
}

#[tokio::test]
async fn an_endpoint_that_only_receives_gets_all_bytes() {
    for (others, failover) in [(0, true), (1, true), (1, false)] {
        let ((first, mut received), (second, mut also_received)) = (receiving().await, receiving().await);
        let endpoints = [first, second];
        let settings = TcpSettings::new().failover_on_early_end(failover);
        let mut rig = start(&endpoints[..=others], settings).await;
        let mut client = rig.connect().await;
        // The end of the endpoint's direction.
        assert_eq!(rest(&mut client).await, b"");
        client.write_all(b"a line of a log").await.expect("open");
        client.shutdown().await.expect("open");
        let ended = rig.ended().await;
        assert_eq!((ended.end, ended.sent), ("complete", 15));
        assert_eq!(ended.attempts, if failover { 1 + others } else { 1 });
        assert_eq!(ended.endpoint, Some(endpoints[ended.attempts - 1].to_string()));
        let received = if ended.attempts == 1 { received.recv().await } else { also_received.recv().await };
        assert_eq!(received.as_deref(), Some(&b"a line of a log"[..]));
        let requests = rig.status(endpoints[ended.attempts - 1]).requests;
        assert_eq!((requests.neutral, requests.total, rig.in_flight()), (1, 1, 0));
    }
}

/// Has no file left for a question.
#[derive(Debug)]
struct Exhausted;

impl Resolve for Exhausted {
    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> ResolveFuture<'a> {
        // EMFILE on all Unix systems.
        Box::pin(async { Err(std::io::Error::from_raw_os_error(24).into()) })
    }
}

#[cfg(unix)]
#[tokio::test]
async fn endpoints_do_not_fail_when_the_resolver_has_no_files() {
    let pool = Pool::new(RoundRobin::new());
    pool.update(["one.test:80", "two.test:80"].map(EndpointSpec::new), |_| ()).expect("valid");
    let mut rig = over(pool, TcpSettings::new().resolver(Exhausted)).await;
    assert_eq!(rest(&mut rig.connect().await).await, b"");
    let ended = rig.ended().await;
    assert_eq!((ended.end, ended.attempts), ("connect", 1));
    let requests: Vec<_> = rig.pool.endpoints().into_iter().map(|status| status.requests).collect();
    assert_eq!(requests.iter().map(|requests| requests.neutral).sum::<u64>(), 1);
    assert_eq!(requests.iter().map(|requests| requests.total).sum::<u64>(), 1);
}

/// Servers close connections that are not used for a long time.
#[tokio::test]
async fn an_unused_connection_that_ends_later_is_no_failure() {
    let slow = endpoint(async |stream: TcpStream| {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        drop(stream);
    })
    .await;
    let other = echoing().await;
    let mut rig = start(&[slow, other], TcpSettings::new()).await;
    assert_eq!(rest(&mut rig.connect().await).await, b"");
    let ended = rig.ended().await;
    assert_eq!((ended.end, ended.endpoint), ("complete", Some(slow.to_string())));
    assert_eq!(rig.status(slow).requests.neutral, 1);
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_in_time_is_left() {
    let nowhere = full_backlog().await;
    let good = echoing().await;
    let mut rig = start(&[nowhere.address, good], TcpSettings::new().connect_timeout(SHORT)).await;
    for _ in 0..2 {
        let mut client = rig.connect().await;
        exchange(&mut client, b"hello").await;
        drop(client);
        assert_eq!(rig.ended().await.endpoint, Some(good.to_string()));
    }
    assert_eq!(rig.status(nowhere.address).requests.failure_connect, 1);
}

/// A listener that accepts nothing, whose backlog is full: it answers no further connection.
struct FullBacklog {
    address: SocketAddr,
    _listener: socket2::Socket,
    _waiting: Vec<TcpStream>,
}

async fn full_backlog() -> FullBacklog {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    listener.bind(&any.into()).expect("a free port");
    listener.listen(0).expect("bound");
    let address = listener.local_addr().ok().and_then(|address| address.as_socket()).expect("bound");
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::time::timeout(4 * SHORT, TcpStream::connect(address)).await {
        waiting.push(stream.expect("not refused"));
    }
    FullBacklog { address, _listener: listener, _waiting: waiting }
}

#[tokio::test]
async fn an_address_without_a_port_is_an_error_of_that_endpoint() {
    let good = echoing().await;
    let pool = pool(RoundRobin::new(), &[good]);
    pool.add(EndpointSpec::new("http://127.0.0.1:80"), ()).expect("valid for a pool");
    let mut rig = over(pool, TcpSettings::new()).await;
    for _ in 0..2 {
        let mut client = rig.connect().await;
        exchange(&mut client, b"hello").await;
        drop(client);
        assert_eq!(rig.ended().await.endpoint, Some(good.to_string()));
    }
    rig.pool.remove(good.to_string()).expect("it is there");
    assert_eq!(rest(&mut rig.connect().await).await, b"");
    assert_eq!(rig.ended().await.end, "address");
}

#[tokio::test]
async fn an_empty_pool_has_no_endpoint() {
    let mut rig = start(&[], TcpSettings::new()).await;
    assert_eq!(rest(&mut rig.connect().await).await, b"");
    let ended = rig.ended().await;
    assert_eq!((ended.end, ended.attempts, ended.endpoint), ("pick", 0, None));
    assert_eq!(rig.proxy.stats().without_endpoint, 1);
}
