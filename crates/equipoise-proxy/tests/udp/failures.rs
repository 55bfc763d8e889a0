//! Endpoints that are unreachable or do not reply, and their verdicts.

use std::sync::Arc;

use equipoise_core::{Availability, EndpointId, FirstFit, RequestCounts};
use equipoise_http::{Resolve, ResolveFuture};
use tokio::sync::Notify;

use super::*;

/// Returns an address at which nothing listens.
async fn closed() -> String {
    address_of(&bound(at("127.0.0.1:0")).await).to_string()
}

fn counts(pool: &Pool<()>, id: &str) -> RequestCounts {
    pool.endpoints().into_iter().find(|endpoint| endpoint.id.as_str() == id).expect("it is in the pool").requests
}

/// An endpoint that replies when the test does.
struct Manual(UdpSocket);

impl Manual {
    async fn start() -> (Self, String) {
        let socket = bound(at("127.0.0.1:0")).await;
        let address = address_of(&socket).to_string();
        (Self(socket), address)
    }

    async fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 64];
        let (length, from) = soon(self.0.recv_from(&mut buffer)).await.expect("a datagram");
        (buffer[..length].to_vec(), from)
    }
}

#[tokio::test]
async fn a_datagram_for_an_unreachable_endpoint_goes_to_another_one() {
    let (dead, a) = (closed().await, Echo::start("a").await);
    let running = Running::start([&*dead, &*a.address], long());
    for number in 0..4 {
        let client = client().await;
        assert_eq!(client.ask(running.address, format!("{number}")).await, format!("a:{number}"));
    }
    let stats = running.until(|stats| stats.to_clients == 4).await;
    assert!(stats.failovers >= 1 && stats.failovers == stats.unreachable, "{stats:?}");
    assert_eq!(counts(&running.pool, &dead).failure_connect, stats.unreachable);
    let pool = running.pool.clone();
    running.end().await;
    assert_eq!(counts(&pool, &a.address).success, 4);
}

/// Returns the requests of the pool, their attempts, retries, failovers, and those without an attempt.
fn counted(pool: &Pool<()>) -> (u64, u64, u64, u64, u64) {
    let stats = pool.stats();
    let unserved = stats.unserved.iter().map(|(_, count)| count).sum();
    (stats.requests(), stats.attempts.total, stats.retries, stats.failovers, unserved)
}

#[tokio::test]
async fn the_pool_counts_a_session_once_whatever_its_attempts() {
    let (dead, a) = (closed().await, Echo::start("a").await);
    for (endpoints, counts) in
        [(vec![&*a.address], (1, 1, 0, 0, 0)), (vec![&*dead, &*a.address], (1, 2, 1, 1, 0)), (vec![], (1, 0, 0, 0, 1))]
    {
        let pool = Pool::new(FirstFit::new());
        pool.update(endpoints.iter().copied().map(EndpointSpec::new), |_| ()).expect("endpoints");
        let running = Running::over(pool, long(), listen("127.0.0.1:0"));
        let client = client().await;
        if endpoints.is_empty() {
            client.send(running.address, "x").await;
            running.until(|stats| stats.dropped.no_endpoint == 1).await;
        } else {
            assert_eq!(client.ask(running.address, "x").await, "a:x");
        }
        let pool = running.pool.clone();
        running.end().await;
        assert_eq!(counted(&pool), counts, "{endpoints:?}");
    }
}

#[tokio::test]
async fn a_session_that_goes_to_a_replaced_pool_is_a_request_of_it() {
    let (first, b) = (Echo::start("a").await, Echo::start("b").await);
    let running = Running::start([&*first.address], long());
    let client = client().await;
    assert_eq!(client.ask(running.address, "1").await, "a:1");
    let pool = Pool::default();
    pool.add(EndpointSpec::new(&*b.address), ()).expect("an endpoint");
    running.proxy.replace(pool.clone(), long());
    first.stop().await;
    // The first datagram that is refused may be lost.
    soon(async {
        while pool.stats().attempts.total == 0 {
            client.send(running.address, "2").await;
            tokio::task::yield_now().await;
        }
    })
    .await;
    running.until(|stats| stats.to_clients >= 2).await;
    let first = running.pool.clone();
    running.end().await;
    assert_eq!(counted(&pool), (1, 1, 0, 0, 0));
    assert_eq!(counted(&first).0, 1, "the failure is not another request of the first pool");
}

#[tokio::test]
async fn a_datagram_is_sent_to_a_limited_number_of_endpoints() {
    let dead = [closed().await, closed().await, closed().await];
    let running = Running::start(dead.iter().map(String::as_str), long().max_attempts(2));
    client().await.send(running.address, "x").await;
    let stats = running.until(|stats| stats.dropped.no_endpoint == 1).await;
    assert_eq!((stats.unreachable, stats.open), (2, 0));
    running.end().await;
}

#[tokio::test]
async fn a_session_moves_when_its_endpoint_has_died() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let running = Running::start([&*a.address, &*b.address], long());
    let client = client().await;
    let reply = client.ask(running.address, "1").await;
    let (dead, alive) = if reply.starts_with('a') { (a, b) } else { (b, a) };
    let id = dead.address.clone();
    dead.stop().await;
    let moved = client.ask(running.address, "2").await;
    assert!(moved.ends_with(":2") && moved[..1] != reply[..1], "{moved}");
    // The first lease has succeeded, so the failure counts as a second request.
    let counts = counts(&running.pool, &id);
    assert_eq!((counts.success, counts.failure_connect), (1, 1));
    drop(alive);
    running.end().await;
}

#[tokio::test]
async fn a_datagram_that_is_too_large_to_be_kept_is_not_sent_again() {
    let (dead, a) = (closed().await, Echo::start("a").await);
    let running = Running::start([&*dead, &*a.address], long());
    let mut answered = 0;
    for _ in 0..2 {
        let client = client().await;
        client.send(running.address, [b'x'; 3000]).await;
        let unreachable = running.until(|stats| stats.unreachable + stats.to_clients > answered).await;
        answered = unreachable.unreachable + unreachable.to_clients;
    }
    let stats = running.stats();
    assert_eq!((stats.unreachable, stats.failovers, stats.to_clients), (1, 0, 1));
    running.end().await;
}

#[tokio::test]
async fn an_endpoint_that_does_not_reply_to_a_new_session_has_timed_out() {
    let (silent, address) = Manual::start().await;
    let running = Running::start([&*address], long().reply_timeout(SHORT));
    client().await.send(running.address, "x").await;
    silent.receive().await;
    let stats = running.until(|stats| stats.reply_timeouts == 1).await;
    assert_eq!((stats.open, counts(&running.pool, &address).failure_timeout), (0, 1));
    running.end().await;
}

#[tokio::test]
async fn a_session_that_ends_idle_without_a_reply_has_timed_out() {
    let (silent, address) = Manual::start().await;
    let running = Running::start([&*address], long().idle_timeout(SHORT));
    client().await.send(running.address, "x").await;
    silent.receive().await;
    running.until(|stats| stats.idle_timeouts == 1).await;
    assert_eq!(counts(&running.pool, &address).failure_timeout, 1);
    running.end().await;
}

#[tokio::test]
async fn silence_says_nothing_of_an_endpoint_that_replies_to_others_meanwhile() {
    let (endpoint, address) = Manual::start().await;
    let running = Running::start([&*address], long().reply_timeout(Duration::from_millis(300)));
    let (ignored, answered) = (client().await, client().await);
    ignored.send(running.address, "junk").await;
    endpoint.receive().await;
    answered.send(running.address, "x").await;
    let (_, from) = endpoint.receive().await;
    endpoint.0.send_to(b"y", from).await.unwrap();
    assert_eq!(answered.receive().await.0, b"y");
    running.until(|stats| stats.reply_timeouts == 1).await;
    let counts = counts(&running.pool, &address);
    assert_eq!((counts.failure_timeout, counts.neutral), (0, 1));
    running.end().await;
}

#[tokio::test]
async fn silence_says_nothing_of_a_service_that_does_not_reply() {
    let (silent, address) = Manual::start().await;
    let settings = UdpSettings::new().idle_timeout(SHORT).reply_timeout(Duration::MAX);
    let running = Running::start([&*address], settings);
    client().await.send(running.address, "x").await;
    silent.receive().await;
    running.until(|stats| stats.idle_timeouts == 1).await;
    let counts = counts(&running.pool, &address);
    assert_eq!((counts.failure_timeout, counts.neutral), (0, 1));
    running.end().await;
}

#[tokio::test]
async fn a_session_stays_at_a_healthy_endpoint_that_is_silent_and_leaves_an_unhealthy_one() {
    let (endpoint, address) = Manual::start().await;
    let other = Echo::start("other").await;
    let running = Running::start([&*address], long().reply_timeout(SHORT));
    let client = client().await;
    client.send(running.address, "1").await;
    let (_, from) = endpoint.receive().await;
    endpoint.0.send_to(b"one", from).await.unwrap();
    client.receive().await;
    running.pool.add(EndpointSpec::new(&*other.address), ()).unwrap();
    for datagram in ["2", "3", "4"] {
        client.send(running.address, datagram).await;
        assert_eq!(endpoint.receive().await, (datagram.into(), from), "the same session");
        tokio::time::sleep(2 * SHORT).await;
    }
    running.pool.set_availability(&*address, Availability::Unhealthy).unwrap();
    assert_eq!(client.ask(running.address, "5").await, "other:5");
    assert_eq!(running.stats().reply_timeouts, 1);
    running.end().await;
}

#[tokio::test]
async fn replies_that_came_before_an_error_are_sent_to_the_client() {
    let (endpoint, address) = Manual::start().await;
    let running = Running::start([&*address], long());
    let client = client().await;
    client.send(running.address, "1").await;
    let (_, from) = endpoint.receive().await;
    // The proxy does not run until this test waits.
    for reply in ["one", "two"] {
        endpoint.0.try_send_to(reply.as_bytes(), from).unwrap();
    }
    drop(endpoint);
    client.0.try_send_to(b"2", running.address).unwrap();
    assert_eq!(client.receive().await.0, b"one");
    assert_eq!(client.receive().await.0, b"two");
    running.until(|stats| stats.unreachable == 1).await;
    running.end().await;
}

#[tokio::test]
async fn replies_that_came_before_an_error_are_sent_even_if_a_datagram_meets_the_error() {
    let (endpoint, address) = Manual::start().await;
    let running = Running::start([&*address], long());
    let client = client().await;
    client.send(running.address, "1").await;
    let (_, from) = endpoint.receive().await;
    // The proxy does not run until this test waits. It reads both datagrams of the client first: the port is closed for the
    // first one, so sending the second one fails.
    for reply in ["one", "two"] {
        endpoint.0.try_send_to(reply.as_bytes(), from).unwrap();
    }
    drop(endpoint);
    for datagram in ["2", "333"] {
        client.0.try_send_to(datagram.as_bytes(), running.address).unwrap();
    }
    assert_eq!(client.receive().await.0, b"one");
    assert_eq!(client.receive().await.0, b"two");
    running.until(|stats| stats.unreachable == 1).await;
    running.end().await;
}

/// An endpoint that has replied, and is then unreachable for a datagram that is not kept.
async fn unreachable_after_a_reply() -> (Running, Client, String, SocketAddr) {
    let (endpoint, address) = Manual::start().await;
    let running = Running::start([&*address], long());
    let client = client().await;
    client.send(running.address, "1").await;
    let (_, from) = endpoint.receive().await;
    endpoint.0.send_to(b"one", from).await.expect("it is sent");
    client.receive().await;
    drop(endpoint);
    client.send(running.address, [b'x'; 3000]).await;
    let stats = running.until(|stats| stats.unreachable == 1).await;
    assert_eq!((stats.open, counts(&running.pool, &address).failure_connect), (1, 1));
    (running, client, address, from)
}

#[tokio::test]
async fn a_session_stays_at_an_endpoint_that_replies_after_an_error() {
    let (running, client, address, from) = unreachable_after_a_reply().await;
    let endpoint = Manual(bound(at(&address)).await);
    endpoint.0.send_to(b"two", from).await.unwrap();
    assert_eq!(client.receive().await.0, b"two");
    running.pool.add(EndpointSpec::new(&*Echo::start("a").await.address), ()).unwrap();
    client.send(running.address, "2").await;
    assert_eq!(endpoint.receive().await, (b"2".to_vec(), from));
    running.end().await;
}

#[tokio::test]
async fn a_session_leaves_an_endpoint_that_does_not_reply_after_an_error() {
    let (running, client, address, _) = unreachable_after_a_reply().await;
    let a = Echo::start("a").await;
    running.pool.add(EndpointSpec::new(&*a.address), ()).unwrap();
    assert_eq!(client.ask(running.address, "2").await, "a:2");
    let stats = running.stats();
    assert_eq!((stats.unreachable, stats.opened, counts(&running.pool, &address).failure_connect), (1, 1, 1));
    running.end().await;
}

#[tokio::test]
async fn an_endpoint_may_have_an_ipv4_address_in_the_form_of_ipv6() {
    let mapped = |address: &str| format!("[::ffff:127.0.0.1]:{}", at(address).port());
    let (dead, a) = (mapped(&closed().await), Echo::start("a").await);
    let running = Running::start([&*dead, &*mapped(&a.address)], long());
    for number in 0..2 {
        assert_eq!(client().await.ask(running.address, format!("{number}")).await, format!("a:{number}"));
    }
    assert_eq!(counts(&running.pool, &dead).failure_connect, 1);
    running.end().await;
}

/// Resolves a name to one address, when it is told to.
#[derive(Clone, Debug)]
struct Later {
    address: SocketAddr,
    go: Arc<Notify>,
}

impl Resolve for Later {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> ResolveFuture<'a> {
        Box::pin(async move {
            assert_eq!((host, port), ("dns.test", 53));
            self.go.notified().await;
            Ok(vec![self.address])
        })
    }
}

impl Later {
    async fn start() -> (Self, Echo) {
        let a = Echo::start("a").await;
        (Self { address: at(&a.address), go: Arc::default() }, a)
    }
}

#[tokio::test]
async fn the_first_datagram_waits_for_the_name_of_its_endpoint() {
    let (later, _a) = Later::start().await;
    let running = Running::start(["dns.test:53"], long().max_replies(1).resolver(later.clone()));
    let client = client().await;
    client.send(running.address, "1").await;
    client.send(running.address, "2").await;
    running.until(|stats| stats.dropped.resolving == 1).await;
    later.go.notify_one();
    assert_eq!(client.receive().await.0, b"a:1");
    running.until(|stats| stats.open == 0).await;
    // The address is known now.
    assert_eq!(client.ask(running.address, "3").await, "a:3");
    running.end().await;
}

#[tokio::test]
async fn a_session_whose_datagram_did_not_wait_for_the_name_hides_no_silence_of_others() {
    let (silent, address) = Manual::start().await;
    let later = Later { address: at(&address), go: Arc::default() };
    let running = Running::start(["dns.test:53"], long().resolver(later.clone()));
    let (first, second) = (client().await, client().await);
    first.send(running.address, [b'x'; 3000]).await;
    running.until(|stats| stats.dropped.resolving == 1).await;
    later.go.notify_one();
    second.send(running.address, "y").await;
    assert_eq!(silent.receive().await.0, b"y");
    running.proxy.set_settings(long().reply_timeout(SHORT).resolver(later));
    running.until(|stats| stats.reply_timeouts == 1).await;
    assert_eq!(running.stats().open, 1, "the endpoint got nothing of the other one");
    assert_eq!(counts(&running.pool, "dns.test:53").failure_timeout, 1);
    running.end().await;
}

#[tokio::test]
async fn many_sessions_wait_for_the_same_name() {
    let (later, _a) = Later::start().await;
    let running = Running::start(["dns.test:53"], long().resolver(later.clone()));
    let mut clients = Vec::new();
    for number in 0..600 {
        let client = client().await;
        client.send(running.address, format!("{number}")).await;
        clients.push(client);
        if number % 50 == 49 {
            running.until(|stats| stats.opened == number + 1).await;
        }
    }
    later.go.notify_one();
    // The endpoint may not be able to receive so many at once.
    let stats = running.until(|stats| stats.to_endpoints == 600).await;
    assert_eq!((stats.open, stats.dropped), (600, Default::default()));
    running.end().await;
}

#[tokio::test]
async fn an_endpoint_that_is_removed_while_its_name_is_resolved_gets_nothing() {
    let (later, _a) = Later::start().await;
    let other = Echo::start("other").await;
    let running = Running::start(["dns.test:53"], long().resolver(later.clone()));
    let client = client().await;
    client.send(running.address, "1").await;
    running.until(|stats| stats.open == 1).await;
    running.pool.update([EndpointSpec::new(&*other.address)], |_| ()).unwrap();
    later.go.notify_one();
    assert_eq!(client.receive().await.0, b"other:1");
    running.end().await;
}

#[tokio::test]
async fn a_name_without_an_address_is_a_failure() {
    #[derive(Debug)]
    struct Unknown;

    impl Resolve for Unknown {
        fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> ResolveFuture<'a> {
            Box::pin(async { Err("no such name".into()) })
        }
    }

    let a = Echo::start("a").await;
    let running = Running::start(["dns.test:53", &*a.address], long().resolver(Unknown));
    for _ in 0..2 {
        assert_eq!(client().await.ask(running.address, "x").await, "a:x");
    }
    assert_eq!(counts(&running.pool, "dns.test:53").failure_connect, 1);
    running.end().await;
}

#[tokio::test]
async fn addresses_without_a_port_are_refused() {
    let pool: Pool<()> = Pool::default();
    let _without_check = UdpProxy::new(pool.clone());
    pool.add(EndpointSpec::new("dns.test"), ()).unwrap();
    let error = UdpProxy::new(pool.clone()).check_addresses().unwrap_err();
    let source = std::error::Error::source(&error).expect("the reason").to_string();
    assert!(source.contains("needs a port, as in"), "{source}");
    assert!(pool.add(EndpointSpec::new("http://dns.test:53"), ()).is_err());
    let id = EndpointId::from("dns.test:53");
    pool.update([EndpointSpec::new(id.as_str())], |_| ()).unwrap();
    assert!(UdpProxy::new(pool).check_addresses().is_ok());
}
