//! Replies come from the address that was asked.

use super::*;

async fn start(bind: &str) -> (Running, Echo) {
    let a = Echo::start("a").await;
    let pool = Pool::new(RoundRobin::new());
    pool.add(EndpointSpec::new(&*a.address), ()).expect("an address");
    let listener = listen(bind);
    (Running::over(pool, long(), listener), a)
}

#[tokio::test]
async fn replies_come_from_the_address_that_was_asked() {
    let (running, _a) = start("0.0.0.0:0").await;
    let client = Client(bound(at("0.0.0.0:0")).await);
    for host in [1, 2, 3] {
        let asked = SocketAddr::from(([127, 0, 0, host], running.address.port()));
        // `ask` checks where the reply comes from.
        assert_eq!(client.ask(asked, "x").await, "a:x");
    }
    // To the client, each address is another service.
    assert_eq!(running.stats().opened, 3);
    running.end().await;
}

#[tokio::test]
async fn a_listener_for_ipv6_serves_both_versions() {
    let (running, _a) = start("[::]:0").await;
    let port = running.address.port();
    let six = Client(bound(at("[::]:0")).await);
    assert_eq!(six.ask(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)), "x").await, "a:x");
    let four = Client(bound(at("127.0.0.1:0")).await);
    for host in [1, 2] {
        assert_eq!(four.ask(SocketAddr::from(([127, 0, 0, host], port)), "x").await, "a:x");
    }
    running.end().await;
}

#[tokio::test]
async fn an_endpoint_may_have_an_ipv6_address() {
    let six = Echo::at(at("[::1]:0"), "six").await;
    let running = Running::start([&*six.address], long());
    assert_eq!(client().await.ask(running.address, "x").await, "six:x");
    running.end().await;
}

#[cfg(unix)]
#[tokio::test]
async fn several_listeners_share_a_port() {
    let a = Echo::start("a").await;
    let pool = Pool::new(RoundRobin::new());
    pool.add(EndpointSpec::new(&*a.address), ()).unwrap();
    let mut listeners = UdpListener::bind_shared(at("127.0.0.1:0"), 2).unwrap();
    assert_eq!(listeners[0].local_addr(), listeners[1].local_addr());
    let other = listeners.remove(1);
    let running = Running::over(pool, long(), listeners.remove(0));
    let serving = tokio::spawn(running.proxy.serve(other));
    for number in 0..32 {
        let client = client().await;
        assert_eq!(client.ask(running.address, format!("{number}")).await, format!("a:{number}"));
    }
    running.until(|stats| stats.to_clients == 32).await;
    running.end().await;
    soon(serving).await.unwrap().unwrap();
}
