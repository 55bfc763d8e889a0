//! Limits on connections.

use std::time::Duration;

use equipoise_core::SourcePrefix;
use equipoise_proxy::{listen::Established, tcp::TcpSettings};
use tokio::io::{AsyncReadExt, duplex};

use crate::rig::*;

#[tokio::test]
async fn connections_above_the_limit_wait() {
    let address = echoing().await;
    let mut rig = start(&[address], TcpSettings::new().max_connections(2)).await;
    let (mut one, mut two) = (rig.connect().await, rig.connect().await);
    exchange(&mut one, b"one").await;
    exchange(&mut two, b"two").await;
    let mut three = rig.connect().await;
    let waiting = tokio::spawn(async move { exchange(&mut three, b"three").await });
    exchange(&mut one, b"still").await;
    assert!(!waiting.is_finished());
    assert_eq!((rig.in_flight(), rig.proxy.stats().accepted), (2, 2));
    drop(two);
    waiting.await.expect("served");
    rig.ended().await;
}

#[tokio::test]
async fn a_source_has_at_most_its_connections() {
    let address = echoing().await;
    let mut rig = start(&[address], TcpSettings::new().max_connections_per_source(2)).await;
    let (mut one, mut two) = (rig.connect().await, rig.connect().await);
    exchange(&mut one, b"one").await;
    exchange(&mut two, b"two").await;
    assert_eq!(rest(&mut rig.connect().await).await, b"");
    assert_eq!(rig.ended().await.end, "source_limit");
    assert_eq!(rig.proxy.stats().source_limit, 1);
    drop(two);
    assert_eq!(rig.ended().await.end, "complete");
    exchange(&mut rig.connect().await, b"again").await;
    exchange(&mut one, b"still").await;
}

#[tokio::test]
async fn a_network_can_be_a_source() {
    let address = named(b'!').await;
    let settings =
        TcpSettings::new().max_connections_per_source(1).source_prefix(SourcePrefix::new(24, 48).expect("in range"));
    let rig = start(&[address], settings).await;
    let mut clients = Vec::new();
    for (peer, is_served) in
        [("192.0.2.1:1", true), ("192.0.2.9:2", false), ("192.0.3.1:3", true), ("[2001:db8::1]:4", true)]
    {
        let (mut client, stream) = duplex(64);
        let established = Established::new(stream).peer(peer.parse().expect("an address"));
        tokio::spawn(rig.proxy.serve_connection(established.into()));
        assert_eq!(client.read_u8().await.is_ok(), is_served, "{peer}");
        clients.push(client);
    }
}

#[tokio::test]
async fn a_pool_and_settings_can_be_replaced() {
    let (old, new) = (named(b'o').await, named(b'n').await);
    let mut rig = start(&[old], TcpSettings::new()).await;
    let mut first = rig.connect().await;
    assert_eq!(first.read_u8().await.expect("a name"), b'o');
    let other = pool(equipoise_core::RoundRobin::new(), &[new]);
    rig.proxy.replace(other.clone(), TcpSettings::new().idle_timeout(SHORT));
    let mut second = rig.connect().await;
    assert_eq!(second.read_u8().await.expect("a name"), b'n');
    assert_eq!(rest(&mut second).await, b"");
    exchange(&mut first, b"the old pool and the old timeout").await;
    drop(first);
    assert_eq!(rig.ended().await.end, "complete");
    let ended = std::pin::pin!(other.idle(new.to_string()));
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("its lease has ended");
}
