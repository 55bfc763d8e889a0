//! Which datagrams belong to a session, where it is placed, and when it ends.

use equipoise_core::{Availability, Maglev, SourcePrefix};
use equipoise_proxy::udp::SessionKey;

use super::*;

#[tokio::test]
async fn the_datagrams_of_a_client_go_to_one_endpoint_and_replies_come_back() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let running = Running::start([&*a.address, &*b.address], long());
    let (one, two) = (client().await, client().await);
    let names = [one.ask(running.address, "1").await, two.ask(running.address, "2").await];
    let mut sorted = names.clone();
    sorted.sort();
    assert!(sorted[0].starts_with("a:") && sorted[1].starts_with("b:"), "{sorted:?}");
    for number in 0..3 {
        for (client, name) in [&one, &two].into_iter().zip(&names) {
            let reply = client.ask(running.address, format!("{number}")).await;
            assert_eq!(reply, format!("{}:{number}", &name[..1]));
        }
    }
    let stats = running.until(|stats| stats.to_clients == 8).await;
    assert_eq!((stats.open, stats.opened, stats.to_endpoints), (2, 2, 8));
    assert_eq!((stats.bytes_to_endpoints, stats.bytes_to_clients), (8, 24));
    assert_eq!((stats.dropped, running.in_flight()), (Default::default(), 2));
    running.end().await;
}

#[tokio::test]
async fn a_session_ends_with_its_last_reply() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let running = Running::start([&*a.address, &*b.address], long().max_replies(1));
    let client = client().await;
    let mut names = BTreeSet::new();
    for _ in 0..2 {
        names.insert(client.ask(running.address, "").await);
        running.until(|stats| stats.open == 0).await;
    }
    assert_eq!(names, BTreeSet::from(["a:".to_owned(), "b:".to_owned()]));
    running.end().await;
}

#[tokio::test]
async fn a_session_waits_for_the_replies_to_all_its_datagrams() {
    let endpoint = bound(at("127.0.0.1:0")).await;
    let address = address_of(&endpoint).to_string();
    let running = Running::start([&*address], long().max_replies(1));
    let client = client().await;
    let mut buffer = [0; 8];
    let mut froms = BTreeSet::new();
    for datagram in ["1", "2"] {
        client.send(running.address, datagram).await;
        let (length, from) = soon(endpoint.recv_from(&mut buffer)).await.unwrap();
        assert_eq!(&buffer[..length], datagram.as_bytes());
        froms.insert(from);
    }
    let from = froms.pop_first().unwrap();
    assert!(froms.is_empty(), "one session");
    for datagram in ["one", "two"] {
        endpoint.send_to(datagram.as_bytes(), from).await.unwrap();
        assert_eq!(client.receive().await.0, datagram.as_bytes());
    }
    running.until(|stats| stats.open == 0).await;
    running.end().await;
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle() {
    let a = Echo::start("a").await;
    let running = Running::start([&*a.address], long().idle_timeout(SHORT));
    let client = client().await;
    assert_eq!(client.ask(running.address, "x").await, "a:x");
    let stats = running.until(|stats| stats.open == 0).await;
    assert_eq!((stats.idle_timeouts, running.in_flight()), (1, 0));
    assert_eq!(client.ask(running.address, "y").await, "a:y");
    running.end().await;
}

#[tokio::test]
async fn sessions_of_one_source_are_placed_alike_by_two_balancers() {
    let mut endpoints = Vec::new();
    for name in ["a", "b", "c", "d"] {
        endpoints.push(Echo::start(name).await);
    }
    let start = |bind: &str, settings| {
        let pool = Pool::new(Maglev::new());
        pool.update(endpoints.iter().map(|endpoint| EndpointSpec::new(&*endpoint.address)), |_| ()).unwrap();
        Running::over(pool, settings, listen(bind))
    };
    let balancers = [start("127.0.0.1:0", long()), start("127.0.0.1:0", long())];
    let mut placed = BTreeSet::new();
    for host in 1..=12 {
        let mut names = BTreeSet::new();
        for balancer in &balancers {
            for _ in 0..2 {
                let client = Client(bound(SocketAddr::from(([127, 0, 1, host], 0))).await);
                names.insert(client.ask(balancer.address, "").await);
            }
        }
        assert_eq!(names.len(), 1, "{names:?}");
        placed.append(&mut names);
    }
    assert!(placed.len() > 1, "clients are distributed");
    for balancer in balancers {
        balancer.end().await;
    }
    let by_network = start("127.0.0.1:0", long().source_prefix(SourcePrefix::new(16, 64).unwrap()));
    let mut names = BTreeSet::new();
    for host in 1..=12 {
        let client = Client(bound(SocketAddr::from(([127, 0, 1, host], 0))).await);
        names.insert(client.ask(by_network.address, "").await);
    }
    assert_eq!(names.len(), 1);
    by_network.end().await;
}

fn first(datagram: &[u8]) -> Option<&[u8]> {
    datagram.get(..1)
}

#[tokio::test]
async fn a_client_may_have_a_session_for_each_key() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let running = Running::start([&*a.address, &*b.address], long().session_key(SessionKey::client_and(first)));
    let client = client().await;
    let one = client.ask(running.address, "1").await;
    let two = client.ask(running.address, "2").await;
    assert_ne!(one[..1], two[..1]);
    assert_eq!(client.ask(running.address, "1").await, one);
    assert_eq!(client.ask(running.address, "2").await, two);
    assert_eq!(running.stats().opened, 2);
    running.end().await;
}

#[tokio::test]
async fn a_session_of_a_key_follows_its_client() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let running = Running::start([&*a.address, &*b.address], long().session_key(SessionKey::datagram(first)));
    let (before, after) = (client().await, client().await);
    let reply = before.ask(running.address, "k1").await;
    assert_eq!(after.ask(running.address, "k1").await, reply);
    assert!(before.has_none());
    assert_eq!(running.until(|stats| stats.to_clients == 2).await.opened, 1);
    running.end().await;
}

#[tokio::test]
async fn a_session_stays_at_a_draining_endpoint_until_its_maintenance() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let running = Running::start([&*a.address, &*b.address], long());
    let client = client().await;
    let reply = client.ask(running.address, "x").await;
    let id = if reply.starts_with('a') { &*a.address } else { &*b.address };
    running.pool.drain(id).unwrap();
    assert_eq!(client.ask(running.address, "x").await, reply);
    running.pool.set_availability(id, Availability::Maintenance).unwrap();
    let stats = running.until(|stats| stats.open == 0).await;
    assert_eq!((stats.closed, running.in_flight()), (1, 0));
    assert_ne!(client.ask(running.address, "x").await, reply);
    running.end().await;
}

#[tokio::test]
async fn a_session_leaves_a_draining_endpoint_if_it_is_set_so() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let running = Running::start([&*a.address, &*b.address], long().leave_draining(true));
    let client = client().await;
    let reply = client.ask(running.address, "x").await;
    running.pool.drain(if reply.starts_with('a') { &*a.address } else { &*b.address }).unwrap();
    running.until(|stats| stats.closed == 1).await;
    assert_ne!(client.ask(running.address, "x").await, reply);
    running.end().await;
}

/// A session at an endpoint that replies when the test does.
struct Draining {
    running: Running,
    endpoint: UdpSocket,
    id: String,
    client: Client,
    /// The address of the session.
    from: SocketAddr,
}

impl Draining {
    /// Sends `sent` datagrams, and then the endpoint drains.
    async fn start(settings: UdpSettings, sent: usize) -> Self {
        let endpoint = bound(at("127.0.0.1:0")).await;
        let id = address_of(&endpoint).to_string();
        let running = Running::start([&*id], settings.leave_draining(true));
        let (client, mut from) = (client().await, None);
        for number in 0..sent {
            client.send(running.address, number.to_string()).await;
            from = Some(soon(endpoint.recv_from(&mut [0; 8])).await.expect("a datagram").1);
        }
        running.pool.drain(&*id).expect("it is in the pool");
        let from = from.expect("a datagram");
        Self { running, endpoint, id, client, from }
    }

    async fn reply(&self, replies: usize) {
        for number in 0..replies {
            self.endpoint.try_send_to(number.to_string().as_bytes(), self.from).expect("it is sent");
        }
        for number in 0..replies {
            assert_eq!(self.client.receive().await.0, number.to_string().as_bytes());
        }
    }
}

#[tokio::test]
async fn a_session_leaves_a_draining_endpoint_after_all_its_replies() {
    // More than one batch, of a number that is not known.
    let draining = Draining::start(long(), 1).await;
    draining.reply(8).await;
    draining.running.until(|stats| stats.closed == 1).await;
    draining.running.end().await;
    // One for each datagram.
    let draining = Draining::start(long().max_replies(1), 3).await;
    for replies in [1, 1, 0] {
        draining.reply(replies).await;
        assert_eq!(draining.running.stats().open, 1);
    }
    draining.reply(1).await;
    draining.running.until(|stats| stats.open == 0).await;
    draining.running.end().await;
}

#[tokio::test]
async fn a_session_waits_at_a_draining_endpoint_for_the_reply_timeout() {
    let draining = Draining::start(long().max_replies(2).reply_timeout(Duration::from_secs(5)), 1).await;
    draining.reply(1).await;
    assert_eq!(draining.running.stats().open, 1);
    pass(Duration::from_secs(6)).await;
    draining.running.until(|stats| stats.closed == 1).await;
    draining.running.end().await;
}

#[tokio::test]
async fn a_session_without_replies_leaves_a_draining_endpoint_at_once() {
    let draining = Draining::start(long().reply_timeout(Duration::MAX), 1).await;
    draining.running.until(|stats| stats.closed == 1).await;
    draining.running.end().await;
}

#[tokio::test]
async fn a_session_that_waits_at_a_draining_endpoint_ends_when_it_is_removed() {
    let draining = Draining::start(long(), 1).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(draining.running.stats().open, 1);
    draining.running.pool.remove(&*draining.id).expect("it is in the pool");
    draining.running.until(|stats| stats.closed == 1).await;
    draining.running.end().await;
}

#[tokio::test]
async fn new_settings_hold_for_open_sessions() {
    let a = Echo::start("a").await;
    let running = Running::start([&*a.address], long());
    let client = client().await;
    client.ask(running.address, "x").await;
    running.proxy.set_settings(long().idle_timeout(SHORT));
    running.until(|stats| stats.idle_timeouts == 1).await;
    running.end().await;
}
