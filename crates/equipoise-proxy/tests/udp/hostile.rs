//! Datagrams that must not do harm.

use equipoise_proxy::udp::SessionKey;

use super::*;

#[tokio::test]
async fn a_proxy_that_is_its_own_endpoint_does_not_loop() {
    let listener = listen("127.0.0.1:0");
    let pool = Pool::new(RoundRobin::new());
    pool.add(EndpointSpec::new(listener.local_addr().to_string()), ()).unwrap();
    let running = Running::over(pool, long(), listener);
    client().await.send(running.address, "x").await;
    let stats = running.until(|stats| stats.dropped.no_endpoint == 1).await;
    assert_eq!((stats.to_endpoints, stats.open, stats.unreachable), (0, 0, 1));
    running.end().await;
}

#[tokio::test]
async fn two_listeners_of_one_proxy_do_not_loop() {
    let (one, two) = (listen("127.0.0.1:0"), listen("0.0.0.0:0"));
    let pool = Pool::new(RoundRobin::new());
    let port = two.local_addr().port();
    pool.add(EndpointSpec::new(format!("127.0.0.1:{port}")), ()).unwrap();
    let running = Running::over(pool, long(), one);
    let serving = tokio::spawn(running.proxy.serve(two));
    tokio::task::yield_now().await;
    client().await.send(running.address, "x").await;
    running.until(|stats| stats.dropped.no_endpoint == 1).await;
    running.end().await;
    soon(serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_datagram_from_an_endpoint_opens_no_session() {
    let endpoint = bound(at("127.0.0.1:0")).await;
    let address = address_of(&endpoint).to_string();
    let running = Running::start([&*address], long());
    client().await.send(running.address, "x").await;
    soon(endpoint.recv_from(&mut [0; 8])).await.unwrap();
    // As with the address of the endpoint as a made-up source: each reply would be a request.
    endpoint.send_to(b"y", running.address).await.unwrap();
    let stats = running.until(|stats| stats.dropped.own_address == 1).await;
    assert_eq!(stats.opened, 1);
    running.end().await;
}

#[tokio::test]
async fn a_function_that_panics_does_not_end_the_listener() {
    let a = Echo::start("a").await;
    let key = SessionKey::client_and(|datagram| Some(&datagram[..2]));
    let running = Running::start([&*a.address], long().session_key(key));
    let client = client().await;
    for datagram in ["", "x", "xyz"] {
        assert_eq!(client.ask(running.address, datagram).await, format!("a:{datagram}"));
    }
    assert_eq!(running.stats().opened, 2);
    running.end().await;
}

#[tokio::test]
async fn the_first_datagram_may_be_that_of_an_endpoint() {
    let endpoint = bound(at("127.0.0.1:0")).await;
    let address = address_of(&endpoint).to_string();
    let running = Running::start([&*address], long());
    endpoint.send_to(b"x", running.address).await.unwrap();
    let stats = running.until(|stats| stats.dropped.own_address == 1).await;
    assert_eq!((stats.to_endpoints, stats.open, stats.unreachable), (0, 0, 0));
    running.end().await;
}

#[tokio::test]
async fn the_session_of_an_endpoint_ends_when_it_gets_sessions() {
    let (endpoint, a) = (bound(at("127.0.0.1:0")).await, Echo::start("a").await);
    // It sees the addresses of IPv4 in their form for IPv6.
    let pool = Pool::new(RoundRobin::new());
    pool.update([EndpointSpec::new(&*a.address)], |_| ()).unwrap();
    let running = Running::over(pool, long(), listen("[::]:0"));
    let address = SocketAddr::from(([127, 0, 0, 1], running.address.port()));
    let endpoint = Client(endpoint);
    assert_eq!(endpoint.ask(address, "x").await, "a:x");
    running.pool.add(EndpointSpec::new(address_of(&endpoint.0).to_string()), ()).unwrap();
    let clients = [client().await, client().await];
    for client in &clients {
        client.send(address, "y").await;
    }
    running.until(|stats| stats.opened == 3).await;
    endpoint.send(address, "z").await;
    let stats = running.until(|stats| stats.dropped.own_address == 1).await;
    assert_eq!((stats.opened, stats.open), (3, 2));
    running.end().await;
}
