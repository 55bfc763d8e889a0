//! Leases last as long as connections.

use equipoise_core::{Availability, EndpointSpec, LeastConnections, Pool};
use equipoise_proxy::tcp::TcpSettings;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::rig::*;

#[tokio::test]
async fn connections_go_to_the_endpoint_with_the_fewest() {
    let endpoints = [named(b'a').await, named(b'b').await];
    let mut rig = over(pool(LeastConnections::new(), &endpoints), TcpSettings::new()).await;
    let (mut clients, mut counts) = (Vec::new(), [0, 0]);
    for _ in 0..10 {
        let mut client = rig.connect().await;
        let name = client.read_u8().await.expect("a name");
        counts[usize::from(name - b'a')] += 1;
        clients.push((name, client));
    }
    assert_eq!(counts, [5, 5]);
    // All of one endpoint end, so the next ones go there.
    clients.retain(|(name, _)| *name == b'b');
    for _ in 0..5 {
        assert_eq!(rig.ended().await.endpoint, Some(endpoints[0].to_string()));
    }
    for _ in 0..5 {
        let mut client = rig.connect().await;
        assert_eq!(client.read_u8().await.expect("a name"), b'a');
        clients.push((b'a', client));
    }
    assert_eq!(rig.in_flight(), 10);
}

#[tokio::test]
async fn a_drained_endpoint_keeps_its_connections_until_the_deadline() {
    let endpoints = [named(b'a').await, named(b'b').await];
    let mut rig = start(&endpoints, TcpSettings::new()).await;
    let mut clients = [rig.connect().await, rig.connect().await];
    for client in &mut clients {
        client.read_u8().await.expect("a name");
    }
    let id = endpoints[0].to_string();
    rig.pool.drain(id.as_str()).expect("it is there");
    for client in &mut clients {
        exchange(client, b"hello").await;
    }
    for _ in 0..4 {
        assert_eq!(rig.connect().await.read_u8().await.expect("a name"), b'b');
        assert_eq!(rig.ended().await.endpoint, Some(endpoints[1].to_string()));
    }
    // The deadline.
    rig.pool.set_availability(id.as_str(), Availability::Maintenance).expect("it is there");
    let ended = rig.ended().await;
    assert_eq!((ended.end, ended.endpoint.as_deref()), ("endpoint_closing", Some(id.as_str())));
    assert_eq!((rig.status(endpoints[0]).in_flight, rig.proxy.stats().endpoint_closings), (0, 1));
    // One client has lost its connection in an orderly way, and the other one has not.
    let mut open = 0;
    for mut client in clients {
        let mut byte = [0];
        match tokio::time::timeout(SHORT, client.read(&mut byte)).await {
            Ok(read) => assert_eq!(read.expect("an orderly end"), 0),
            Err(_) => open += 1,
        }
    }
    assert_eq!(open, 1);
}

#[tokio::test]
async fn a_removed_endpoint_ends_its_connections() {
    let endpoints = [named(b'a').await];
    let mut rig = start(&endpoints, TcpSettings::new()).await;
    let mut client = rig.connect().await;
    client.read_u8().await.expect("a name");
    rig.pool.remove(endpoints[0].to_string()).expect("it is there");
    assert_eq!(rest(&mut client).await, b"");
    assert_eq!(rig.ended().await.end, "endpoint_closing");
}

async fn limited(settings: TcpSettings) -> Rig {
    let address = echoing().await;
    let pool = Pool::new(LeastConnections::new());
    pool.add(EndpointSpec::new(address.to_string()).max_in_flight(1), ()).expect("valid");
    over(pool, settings).await
}

#[tokio::test]
async fn a_connection_waits_for_an_endpoint_at_its_limit() {
    let mut rig = limited(TcpSettings::new().queue_timeout(LONG)).await;
    let mut first = rig.connect().await;
    exchange(&mut first, b"one").await;
    let mut second: TcpStream = rig.connect().await;
    let waiting = tokio::spawn(async move {
        exchange(&mut second, b"two").await;
        second
    });
    exchange(&mut first, b"still").await;
    assert!(!waiting.is_finished());
    drop(first);
    assert_eq!(rig.ended().await.sent, 8);
    drop(waiting.await.expect("served"));
    assert_eq!(rig.ended().await.sent, 3);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_gives_up_leaves_the_queue() {
    let mut rig = limited(TcpSettings::new().queue_timeout(LONG)).await;
    let mut first = rig.connect().await;
    exchange(&mut first, b"one").await;
    for resets in [false, true] {
        let mut second = rig.connect().await;
        second.write_all(b"two").await.expect("open");
        until(|| rig.proxy.stats().open == 2).await;
        if resets {
            reset(second);
        } else {
            drop(second);
        }
        let ended = tokio::time::timeout(LONG / 2, rig.ended()).await.expect("before the queue timeout");
        assert_eq!((ended.end, ended.attempts, ended.endpoint), ("client", 0, None));
    }
    exchange(&mut first, b"still").await;
}

#[tokio::test]
async fn a_connection_without_bytes_ends_the_probation_of_its_endpoint() {
    let address = echoing().await;
    let mut rig = start(&[address], TcpSettings::new()).await;
    rig.pool.set_availability(address.to_string(), Availability::Probation).expect("it is there");
    let client = rig.connect().await;
    until(|| rig.in_flight() == 1).await;
    // Until the endpoint has had the time to refuse the connection.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    drop(client);
    assert_eq!(rig.ended().await.end, "complete");
    assert_eq!(rig.status(address).requests.success, 1);
}

#[tokio::test]
async fn an_endpoint_that_ends_an_unused_connection_has_not_passed_its_probation() {
    let address = endpoint(async |mut stream| {
        stream.shutdown().await.expect("open");
        rest(&mut stream).await;
    })
    .await;
    let mut rig = start(&[address], TcpSettings::new()).await;
    rig.pool.set_availability(address.to_string(), Availability::Probation).expect("it is there");
    let mut client = rig.connect().await;
    // No other endpoint can be picked, so the client is told.
    assert_eq!(rest(&mut client).await, b"");
    // Until the endpoint would have passed it without a byte.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    drop(client);
    rig.ended().await;
    let requests = rig.status(address).requests;
    assert_eq!((requests.success, requests.failure_transport), (0, 1));
}

#[tokio::test]
async fn a_connection_that_has_waited_too_long_is_closed() {
    for timeout in [None, Some(SHORT)] {
        let settings = TcpSettings::new();
        let mut rig = limited(timeout.into_iter().fold(settings, TcpSettings::queue_timeout)).await;
        let mut first = rig.connect().await;
        exchange(&mut first, b"one").await;
        assert_eq!(rest(&mut rig.connect().await).await, b"");
        assert_eq!(rig.ended().await.end, "pick");
        exchange(&mut first, b"still").await;
    }
}
