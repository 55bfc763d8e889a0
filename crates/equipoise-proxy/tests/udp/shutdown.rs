//! How a proxy ends.

use std::{future::poll_fn, pin::pin, task::Poll};

use super::*;

#[tokio::test]
async fn a_shutdown_waits_for_open_sessions_and_opens_none() {
    let endpoint = bound(at("127.0.0.1:0")).await;
    let address = address_of(&endpoint).to_string();
    let running = Running::start([&*address], long().max_replies(1));
    let (open, new) = (client().await, client().await);
    open.send(running.address, "1").await;
    let (_, from) = soon(endpoint.recv_from(&mut [0; 8])).await.unwrap();
    let mut shutdown = pin!(running.proxy.shutdown(LONG));
    assert!(poll_fn(|cx| Poll::Ready(shutdown.as_mut().poll(cx).is_pending())).await);
    new.send(running.address, "2").await;
    let stats = running.until(|stats| stats.dropped.shutting_down == 1).await;
    assert!(stats.open == 1 && !running.serving.is_finished());
    endpoint.send_to(b"one", from).await.unwrap();
    assert_eq!(open.receive().await.0, b"one");
    assert_eq!(soon(shutdown).await, 0);
    running.end().await;
}

#[tokio::test]
async fn a_shutdown_aborts_sessions_after_its_grace() {
    let a = Echo::start("a").await;
    let running = Running::start([&*a.address], long());
    let clients = [client().await, client().await];
    for client in &clients {
        client.ask(running.address, "x").await;
    }
    assert_eq!(soon(running.proxy.shutdown(SHORT)).await, 2);
    soon(running.serving).await.unwrap().unwrap();
    assert_eq!((running.proxy.stats().open, running.proxy.stats().aborted), (0, 2));
    // The socket is closed.
    assert_eq!(address_of(&bound(running.address).await), running.address);
}

#[tokio::test]
async fn a_shutdown_of_an_idle_proxy_ends_at_once_and_stays() {
    let a = Echo::start("a").await;
    let running = Running::start([&*a.address], long());
    assert_eq!(soon(running.proxy.shutdown(LONG)).await, 0);
    soon(running.serving).await.unwrap().unwrap();
    let late = listen("127.0.0.1:0");
    soon(running.proxy.serve(late)).await.unwrap();
}

#[tokio::test]
async fn sessions_end_with_the_future_that_serves_them() {
    let a = Echo::start("a").await;
    let running = Running::start([&*a.address], long());
    client().await.ask(running.address, "x").await;
    running.serving.abort();
    assert!(running.serving.await.unwrap_err().is_cancelled());
    let in_flight: u32 = running.pool.endpoints().iter().map(|endpoint| endpoint.in_flight).sum();
    assert_eq!((running.proxy.stats().open, in_flight), (0, 0));
}
