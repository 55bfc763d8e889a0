use equipoise_tests::{Peer, Scripted, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::setup::{Proxy, Version};

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: app.test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";

#[tokio::test]
async fn the_endpoint_decides_whether_the_client_sends_its_body() {
    let peer = Scripted::start(|mut peer: Peer| async move {
        let head = peer.head().await?;
        assert!(head.to_ascii_lowercase().contains("expect: 100-continue"), "{head}");
        peer.send("HTTP/1.1 100 Continue\r\n\r\n").await?;
        assert_eq!(peer.body(5).await?, b"hello");
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await
    })
    .expect("a port");
    let proxy = Proxy::start(peer.address(), Version::Http1).await;
    let mut client = proxy.connect().await;
    client.write_all(HEAD).await.expect("open");
    let mut interim = [0; 25];
    soon(client.read_exact(&mut interim)).await.expect("an interim response");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"hello").await.expect("open");
    let mut status = [0; 15];
    soon(client.read_exact(&mut status)).await.expect("a response");
    assert_eq!(&status, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_body_that_the_endpoint_does_not_want_is_not_asked_for() {
    let peer = Scripted::start(|mut peer: Peer| async move {
        peer.head().await?;
        peer.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await
    })
    .expect("a port");
    let proxy = Proxy::start(peer.address(), Version::Http1).await;
    let mut client = proxy.connect().await;
    client.write_all(HEAD).await.expect("open");
    let mut status = [0; 12];
    soon(client.read_exact(&mut status)).await.expect("a response");
    assert_eq!(&status, b"HTTP/1.1 403");
}
