//! What is told of sessions, and what can be replaced while they are open.

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
    assert_eq!(session.endpoint.as_ref().map(|id| id.as_str()), Some(&*echo.address));
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
