//! Interim responses (1xx) and the cache.

use std::sync::Arc;

use equipoise::gateway::stack::Functions;
use equipoise_tests::{Peer, Scripted, soon};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

use crate::setup::{Gateway, cache};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload; as=style\r\nx-early: 1\r\n\r\n";

/// Reads a response whose body is "hello". Returns all of it.
async fn response(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\nhello") {
        bytes.push(soon(client.read_u8()).await.expect("a response"));
    }
    String::from_utf8(bytes).expect("text")
}

#[tokio::test]
async fn the_client_that_begins_a_fetch_gets_early_hints_and_the_cache_stores_none() {
    let seen = Arc::new(Notify::new());
    let waits = Arc::clone(&seen);
    let backend = Scripted::start(move |mut peer: Peer| {
        let waits = Arc::clone(&waits);
        async move {
            peer.head().await?;
            peer.send(HINTS).await?;
            waits.notified().await;
            peer.send("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 5\r\n\r\nhello").await?;
            peer.closed().await;
            Ok(())
        }
    })
    .expect("a free port");
    let functions = Functions::new().cache(cache(|cache| cache));
    let gateway = Gateway::start_interim(functions, backend.address()).await;
    let connect = async || {
        let mut client = TcpStream::connect(gateway.address).await.expect("it listens");
        client.write_all(b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").await.expect("open");
        client
    };
    let mut first = connect().await;
    let mut hints = vec![0; HINTS.len()];
    soon(first.read_exact(&mut hints)).await.expect("early hints");
    assert_eq!(String::from_utf8_lossy(&hints), HINTS);
    // It waits for the same fetch, or gets the stored response.
    let mut second = connect().await;
    seen.notify_one();
    for client in [&mut first, &mut second, &mut connect().await] {
        let response = response(client).await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(!response.contains("link") && !response.contains("x-early"), "{response}");
    }
    assert_eq!(backend.requests(), 1);
}
