//! Connections that have switched protocols (tunnels) stay at their server.

use std::io;

use equipoise::Availability;
use equipoise_tests::{Peer, Scripted, soon};
use futures::FutureExt;
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    clients::{get_with, head},
    proxy::Proxy,
    setup::{affinity, tokens},
};

/// A server that switches protocols on request, and answers every four bytes with its name and these bytes.
fn echo(name: &'static str) -> Scripted {
    Scripted::start(move |mut peer: Peer| async move {
        while !peer.head().await?.contains("upgrade: websocket") {
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        }
        let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        peer.send(switch).await?;
        loop {
            let said = String::from_utf8(peer.body(4).await?).map_err(io::Error::other)?;
            peer.send(&format!("{name}:{said}")).await?;
        }
    })
    .unwrap()
}

/// Sends four bytes and expects them back from that server.
async fn says(tunnel: &mut TcpStream, server: &str, what: &str) {
    tunnel.write_all(what.as_bytes()).await.unwrap();
    let mut heard = vec![0; server.len() + 1 + what.len()];
    soon(tunnel.read_exact(&mut heard)).await.unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), format!("{server}:{what}"));
}

#[tokio::test]
async fn a_tunnel_survives_draining_maintenance_and_removal_and_idle_waits_for_it() {
    let (a, b) = (echo("a"), echo("b"));
    let pool = equipoise::Pool::new(equipoise::RoundRobin::new());
    let spec = |name: &str, server: &Scripted| equipoise::EndpointSpec::new(server.address()).with_id(name);
    pool.update([spec("a", &a), spec("b", &b)], |_| ()).unwrap();
    let affinity = affinity(&pool, tokens());
    let proxy = Proxy::start(&pool, &affinity);

    let mut tunnel = TcpStream::connect(proxy.address()).await.unwrap();
    let request = "GET /chat HTTP/1.1\r\nhost: app.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    tunnel.write_all(request.as_bytes()).await.unwrap();
    let switched = soon(head(&mut tunnel)).await;
    assert_eq!((switched.status, switched.server()), (StatusCode::SWITCHING_PROTOCOLS, "a"));
    // The response of an upgrade sets a session cookie, as any other response.
    let session = switched.cookie().unwrap();
    says(&mut tunnel, "a", "one.").await;
    assert_eq!(pool.endpoints()[0].in_flight, 1);
    assert_eq!(soon(get_with(&proxy, &session)).await.server(), "a");

    pool.set_availability("a", Availability::Draining).unwrap();
    says(&mut tunnel, "a", "two.").await;
    pool.set_availability("a", Availability::Maintenance).unwrap();
    says(&mut tunnel, "a", "tri.").await;
    // New requests and the session go to another server; the tunnel stays.
    let moved = soon(get_with(&proxy, &session)).await;
    assert_eq!((moved.server(), moved.outcome()), ("b", "moved from a: in maintenance"));
    says(&mut tunnel, "a", "for.").await;

    let mut idle = pool.idle("a");
    pool.remove("a").unwrap();
    says(&mut tunnel, "a", "fiv.").await;
    assert!((&mut idle).now_or_never().is_none());
    drop(tunnel);
    soon(idle).await;
}

#[tokio::test]
async fn a_tunnel_of_a_bound_session_goes_to_the_server_of_the_session() {
    let (a, b) = (echo("a"), echo("b"));
    let pool = equipoise::Pool::new(equipoise::RoundRobin::new());
    let spec = |name: &str, server: &Scripted| equipoise::EndpointSpec::new(server.address()).with_id(name);
    pool.update([spec("a", &a), spec("b", &b)], |_| ()).unwrap();
    let proxy = Proxy::start(&pool, &affinity(&pool, tokens()));
    let session = soon(get_with(&proxy, "none=0")).await.cookie().unwrap();
    for _ in 0..3 {
        let mut tunnel = TcpStream::connect(proxy.address()).await.unwrap();
        let lines = format!("connection: upgrade\r\nupgrade: websocket\r\ncookie: {session}\r\n");
        let request = format!("GET /chat HTTP/1.1\r\nhost: app.test\r\n{lines}\r\n");
        tunnel.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(soon(head(&mut tunnel)).await.outcome(), "kept");
        says(&mut tunnel, "a", "one.").await;
    }
}
