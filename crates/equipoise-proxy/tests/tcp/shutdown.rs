//! The end of a proxy.

use std::time::Duration;

use equipoise_proxy::tcp::TcpSettings;
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::rig::*;

#[tokio::test]
async fn connections_go_on_until_they_end() {
    let address = echoing().await;
    let mut rig = start(&[address], TcpSettings::new()).await;
    let mut client = rig.connect().await;
    exchange(&mut client, b"before").await;
    let shutdown = tokio::spawn(rig.proxy.shutdown(LONG));
    (&mut rig.serving).await.expect("no panic");
    assert!(TcpStream::connect(rig.address).await.is_err());
    exchange(&mut client, b"after").await;
    drop(client);
    assert_eq!(shutdown.await.expect("no panic"), 0);
    assert_eq!(rig.ended().await.end, "complete");
}

#[tokio::test]
async fn connections_are_aborted_at_the_deadline() {
    let address = echoing().await;
    let mut rig = start(&[address], TcpSettings::new()).await;
    let mut used = rig.connect().await;
    exchange(&mut used, b"hello").await;
    let mut unused = rig.connect().await;
    until(|| rig.in_flight() == 2).await;
    assert_eq!(rig.proxy.shutdown(SHORT).await, 2);
    for client in [&mut used, &mut unused] {
        assert_eq!(client.read(&mut [0; 8]).await.expect("an orderly end"), 0);
    }
    for _ in 0..2 {
        assert_eq!(rig.ended().await.end, "aborted");
    }
    assert_eq!((rig.in_flight(), rig.proxy.stats().aborted, rig.proxy.stats().open), (0, 2, 0));
    let requests = rig.status(address).requests;
    assert_eq!((requests.success, requests.neutral), (1, 1));
}

#[tokio::test]
async fn a_connection_is_reported_if_its_future_is_dropped() {
    let address = named(b'!').await;
    let mut rig = start(&[address], TcpSettings::new()).await;
    let (mut client, stream) = tokio::io::duplex(64);
    let serving = tokio::spawn(rig.proxy.serve_connection(equipoise_proxy::listen::Established::new(stream).into()));
    client.read_u8().await.expect("a name");
    serving.abort();
    let ended = tokio::time::timeout(Duration::from_secs(60), rig.ended()).await.expect("reported");
    assert_eq!((ended.end, ended.received), ("aborted", 1));
    assert_eq!(rig.in_flight(), 0);
}
