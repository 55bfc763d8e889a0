//! What is told of sessions, and what can be replaced while they are open.

use equipoise_core::EndpointId;
use equipoise_proxy::udp::{UdpEnd, UdpSession};
use tokio::sync::mpsc;

use super::*;

#[tokio::test]
async fn each_session_is_told_at_its_end() {
    let (sender, mut ends) = mpsc::unbounded_channel();
    let settings = long().max_replies(1).on_end(move |session: &UdpSession| drop(sender.send(session.clone())));
    let echo = Echo::start("a").await;
    let running = Running::start([&*echo.address], settings.clone());
    let client = client().await;
    assert_eq!(client.ask(running.address, "12").await, "a:12");
    let session = soon(ends.recv()).await.expect("the proxy lives");
    assert_eq!(session.endpoint.as_ref().map(EndpointId::as_str), Some(&*echo.address));
    assert_eq!((session.client, session.end), (client.0.local_addr().unwrap(), UdpEnd::Answered));
    assert_eq!((session.sent, session.sent_bytes, session.received, session.received_bytes), (1, 2, 1, 4));

    running.proxy.set_settings(settings.max_replies(u64::MAX));
    assert_eq!(client.ask(running.address, "").await, "a:");
    running.proxy.shutdown(Duration::ZERO).await;
    let session = soon(ends.recv()).await.expect("the proxy lives");
    assert_eq!((session.end.as_str(), session.sent, session.sent_bytes), ("aborted", 1, 0));
}

#[tokio::test]
async fn another_pool_is_for_later_sessions() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let running = Running::start([&*a.address], long());
    let first = client().await;
    assert_eq!(first.ask(running.address, "1").await, "a:1");
    let pool = Pool::default();
    pool.update([EndpointSpec::new(&*b.address)], |_| ()).expect("endpoints");
    running.proxy.replace(pool, long());
    assert_eq!(first.ask(running.address, "2").await, "a:2");
    assert_eq!(client().await.ask(running.address, "3").await, "b:3");
    // The old pool still ends its sessions, and they belong to the shutdown.
    assert_eq!(running.stats().open, 2);
    let other = client().await;
    running.pool.remove(&*a.address).expect("it is in the pool");
    running.until(|stats| stats.closed == 1).await;
    assert_eq!(other.ask(running.address, "4").await, "b:4");
    assert_eq!(running.proxy.shutdown(Duration::ZERO).await, 2);
    running.end().await;
}

#[tokio::test]
async fn sessions_outlive_the_handles_of_their_pool() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let Running { proxy, pool, address, serving } = Running::start([&*a.address], long());
    let first = client().await;
    assert_eq!(first.ask(address, "1").await, "a:1");
    drop(pool);
    let pool = Pool::default();
    pool.add(EndpointSpec::new(&*b.address), ()).expect("an endpoint");
    proxy.replace(pool, long());
    assert_eq!(client().await.ask(address, "2").await, "b:2");
    assert_eq!(first.ask(address, "3").await, "a:3");
    assert_eq!(proxy.shutdown(Duration::ZERO).await, 2);
    soon(serving).await.expect("no panic").expect("no error");
}

#[tokio::test]
async fn the_bytes_of_datagrams_are_counted_for_their_endpoint() {
    let a = Echo::start("a").await;
    let running = Running::start([&*a.address], long());
    let client = client().await;
    client.ask(running.address, "123").await;
    client.ask(running.address, "").await;
    running.until(|stats| stats.to_clients == 2).await;
    let endpoint = running.pool.endpoints().remove(0);
    assert_eq!((endpoint.bytes_sent, endpoint.bytes_received), (3, 7));
    running.end().await;
}

#[cfg(feature = "proxy-protocol")]
#[tokio::test]
async fn the_header_names_the_client_of_the_latest_datagram() {
    use equipoise_proxy::{proxy_protocol::ProxyHeader, udp::SessionKey};

    let endpoint = bound(at("127.0.0.1:0")).await;
    let address = address_of(&endpoint).to_string();
    let settings = long().proxy_protocol(true).session_key(SessionKey::datagram(|datagram| datagram.get(..1)));
    let running = Running::start([&*address], settings);
    let mut froms = BTreeSet::new();
    for client in [client().await, client().await] {
        client.send(running.address, "key").await;
        let mut buffer = [0; 128];
        let (length, from) = soon(endpoint.recv_from(&mut buffer)).await.expect("a datagram");
        let (header, _) = ProxyHeader::decode(&buffer[..length]).expect("valid").expect("complete");
        assert_eq!(header.source(), Some(address_of(&client.0)));
        froms.insert(from);
    }
    assert_eq!(froms.len(), 1, "one session");
    let stats = running.until(|stats| stats.to_endpoints == 2).await;
    assert_eq!(stats.bytes_to_endpoints, 6, "the headers are not counted");
    running.end().await;
}

#[cfg(feature = "proxy-protocol")]
#[tokio::test]
async fn each_datagram_can_begin_with_the_address_of_the_client() {
    use equipoise_proxy::proxy_protocol::ProxyHeader;

    let endpoint = bound("127.0.0.1:0".parse().unwrap()).await;
    let address = endpoint.local_addr().unwrap().to_string();
    let running = Running::start([&*address], long().proxy_protocol(true));
    let client = client().await;
    for text in ["1", "22"] {
        client.send(running.address, text).await;
        let mut buffer = [0; 128];
        let (length, from) = soon(endpoint.recv_from(&mut buffer)).await.expect("a datagram");
        let (header, size) = ProxyHeader::decode(&buffer[..length]).expect("valid").expect("complete");
        assert_eq!((header.source(), header.destination()), (client.0.local_addr().ok(), Some(running.address)));
        assert_eq!(&buffer[size..length], text.as_bytes());
        endpoint.send_to(b"reply", from).await.expect("it is sent");
        assert_eq!(client.receive().await.0, b"reply");
    }
    running.end().await;
}
