//! The limits on the number of sessions.

use equipoise_core::SourcePrefix;

use super::*;

#[tokio::test]
async fn a_new_session_takes_the_place_of_the_one_that_is_idle_for_longest() {
    let a = Echo::start("a").await;
    let running = Running::start([&*a.address], long().max_sessions(2).displace_timeout(Duration::ZERO));
    let (one, two, three) = (client().await, client().await, client().await);
    for client in [&one, &two, &one, &three] {
        client.ask(running.address, "x").await;
    }
    let stats = running.until(|stats| stats.to_clients == 4).await;
    assert_eq!((stats.displaced, stats.open, stats.opened), (1, 2, 3));
    // Its session is the same.
    one.ask(running.address, "x").await;
    assert_eq!(running.stats().opened, 3);
    running.end().await;
}

#[tokio::test]
async fn a_datagram_is_dropped_if_no_session_has_been_idle_for_long() {
    let a = Echo::start("a").await;
    let running = Running::start([&*a.address], long().max_sessions(1).displace_timeout(LONG));
    let one = client().await;
    one.ask(running.address, "x").await;
    client().await.send(running.address, "y").await;
    let stats = running.until(|stats| stats.dropped.full == 1).await;
    assert_eq!((stats.displaced, stats.open), (0, 1));
    assert_eq!(one.ask(running.address, "z").await, "a:z");
    running.end().await;
}

#[tokio::test]
async fn a_flood_does_not_displace_clients_that_get_their_replies() {
    let a = Echo::start("a").await;
    let running = Running::start([&*a.address], long().max_sessions(4).displace_timeout(Duration::ZERO));
    let used = client().await;
    for _ in 0..2 {
        used.ask(running.address, "x").await;
    }
    for _ in 0..20 {
        // As from made-up addresses: one datagram from each.
        client().await.ask(running.address, "junk").await;
    }
    let stats = running.until(|stats| stats.opened == 21).await;
    assert_eq!(stats.displaced, 17);
    used.ask(running.address, "x").await;
    assert_eq!(running.stats().opened, 21);
    running.end().await;
}

#[tokio::test]
async fn the_sessions_of_a_source_are_limited() {
    let a = Echo::start("a").await;
    let running = Running::start([&*a.address], long().max_sessions_per_source(2, SourcePrefix::default()));
    let clients = [client().await, client().await];
    for client in &clients {
        client.ask(running.address, "x").await;
    }
    client().await.send(running.address, "y").await;
    running.until(|stats| stats.dropped.source_full == 1).await;
    let other = Client(bound(at("127.0.0.2:0")).await);
    assert_eq!(other.ask(running.address, "z").await, "a:z");
    running.end().await;
}

#[tokio::test]
async fn all_listeners_share_the_limit() {
    let a = Echo::start("a").await;
    let running = Running::start([&*a.address], long().max_sessions(1).displace_timeout(LONG));
    let other = listen("127.0.0.1:0");
    let address = other.local_addr();
    let serving = tokio::spawn(running.proxy.serve(other));
    client().await.ask(running.address, "x").await;
    client().await.send(address, "y").await;
    running.until(|stats| stats.dropped.full == 1).await;
    running.end().await;
    soon(serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_limit_of_an_endpoint_counts_sessions() {
    let a = Echo::start("a").await;
    let pool = Pool::new(RoundRobin::new());
    pool.add(EndpointSpec::new(&*a.address).max_in_flight(1), ()).unwrap();
    let settings = long().max_replies(1);
    let running = Running::over(pool, settings, listen("127.0.0.1:0"));
    for _ in 0..3 {
        client().await.ask(running.address, "x").await;
        running.until(|stats| stats.open == 0).await;
    }
    running.proxy.set_settings(long());
    client().await.ask(running.address, "x").await;
    client().await.send(running.address, "y").await;
    running.until(|stats| stats.dropped.no_endpoint == 1).await;
    running.end().await;
}

#[tokio::test]
async fn clients_that_are_idle_for_long_give_their_places_to_several_new_ones() {
    let a = Echo::start("a").await;
    let running = Running::start([&*a.address], long().max_sessions(2));
    let used = [client().await, client().await];
    for client in used.iter().chain(&used) {
        client.ask(running.address, "x").await;
    }
    // A third of the idle timeout: that is not long.
    pass(LONG / 3).await;
    client().await.send(running.address, "y").await;
    running.until(|stats| stats.dropped.full == 1).await;
    pass(LONG / 4).await;
    let new = [client().await, client().await];
    for client in &new {
        assert_eq!(client.ask(running.address, "z").await, "a:z");
    }
    let stats = running.until(|stats| stats.to_clients == 6).await;
    assert_eq!((stats.displaced, stats.dropped.full, stats.idle_timeouts), (2, 1, 0));
    running.end().await;
}

#[tokio::test]
async fn a_session_that_is_displaced_soon_says_nothing_of_its_endpoint() {
    let endpoint = bound(at("127.0.0.1:0")).await;
    let address = address_of(&endpoint).to_string();
    let running = Running::start([&*address], long().max_sessions(1).displace_timeout(Duration::ZERO));
    for _ in 0..3 {
        client().await.send(running.address, "junk").await;
    }
    running.until(|stats| stats.displaced == 2).await;
    let counts = running.pool.endpoints().remove(0).requests;
    assert_eq!((counts.neutral, counts.failure_timeout), (2, 0));
    running.end().await;
}
