//! The keys of connections.

use std::collections::HashMap;

use equipoise_core::{Maglev, SourcePrefix};
use equipoise_proxy::{
    headers::ConnectionInfo,
    listen::Established,
    tcp::{FirstBytes, TcpKey, TcpSettings},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::rig::*;

async fn rig(key: TcpKey) -> Rig {
    let endpoints = [named(b'0').await, named(b'1').await, named(b'2').await, named(b'3').await];
    over(pool(Maglev::new(), &endpoints), TcpSettings::new().key(key)).await
}

/// Returns the name of the endpoint that serves a connection.
async fn serving(
    rig: &Rig,
    established: Established<tokio::io::DuplexStream>,
    mut client: tokio::io::DuplexStream,
) -> u8 {
    tokio::spawn(rig.proxy.serve_connection(established.into()));
    client.read_u8().await.expect("the name of the endpoint")
}

#[tokio::test]
async fn connections_of_a_network_go_to_one_endpoint() {
    let rig = rig(TcpKey::source(SourcePrefix::new(24, 64).expect("in range"))).await;
    let mut found: HashMap<u8, u8> = HashMap::new();
    for (network, host) in (0..24).flat_map(|network| [(network, 1), (network, 200)]) {
        let (client, stream) = duplex(64);
        let peer = ([192, 0, network, host], 4711).into();
        let name = serving(&rig, Established::new(stream).peer(peer), client).await;
        assert_eq!(*found.entry(network).or_insert(name), name);
    }
    let endpoints: std::collections::HashSet<_> = found.values().collect();
    assert_eq!(endpoints.len(), 4, "24 networks use all endpoints");
}

#[tokio::test]
async fn connections_to_a_server_name_go_to_one_endpoint() {
    let rig = rig(TcpKey::server_name()).await;
    let mut found: HashMap<String, u8> = HashMap::new();
    for name in (0..24).flat_map(|number| [number, number]).map(|number| format!("host{number}.example")) {
        let (client, stream) = duplex(64);
        let info = ConnectionInfo::new().sni(name.as_str());
        assert_eq!(info.server_name(), Some(name.as_str()));
        let endpoint = serving(&rig, Established::new(stream).info(info), client).await;
        assert_eq!(*found.entry(name).or_insert(endpoint), endpoint);
    }
    let endpoints: std::collections::HashSet<_> = found.values().collect();
    assert_eq!(endpoints.len(), 4, "24 names use all endpoints");
}

fn line(bytes: &[u8]) -> FirstBytes {
    match bytes.iter().position(|byte| *byte == b'\n') {
        _ if bytes.first() == Some(&b'!') => FirstBytes::NoKey,
        _ if bytes.first() == Some(&b'?') => panic!("an error in the closure of a user"),
        Some(end) => FirstBytes::Key(bytes[..end].to_vec()),
        None => FirstBytes::Incomplete,
    }
}

#[tokio::test]
async fn connections_with_the_same_first_bytes_go_to_one_endpoint() {
    let rig = rig(TcpKey::first_bytes(32, LONG, line)).await;
    let mut found: HashMap<usize, u8> = HashMap::new();
    for room in (0..24).flat_map(|room| [room, room]) {
        let mut client = rig.connect().await;
        // In two parts, of which the first has no key yet.
        client.write_all(b"room ").await.expect("open");
        client.write_all(format!("{room}\nmore").as_bytes()).await.expect("open");
        let name = client.read_u8().await.expect("the name of the endpoint");
        assert_eq!(*found.entry(room).or_insert(name), name);
        let expected = format!("room {room}\nmore");
        let mut echoed = vec![0; expected.len()];
        client.read_exact(&mut echoed).await.expect("all bytes");
        assert_eq!(echoed, expected.as_bytes());
    }
    let endpoints: std::collections::HashSet<_> = found.values().collect();
    assert_eq!(endpoints.len(), 4, "24 rooms use all endpoints");
}

#[tokio::test]
async fn without_a_key_the_connection_goes_on_and_loses_no_byte() {
    let rig = rig(TcpKey::first_bytes(8, SHORT, line)).await;
    // Too long, none, a panic, too late, and nothing at all.
    for sent in ["12345678901234567890", "! none", "? panic", "late", ""] {
        let mut client = rig.connect().await;
        client.write_all(sent.as_bytes()).await.expect("open");
        client.read_u8().await.expect("the name of the endpoint");
        exchange(&mut client, b"").await;
        let mut echoed = vec![0; sent.len()];
        client.read_exact(&mut echoed).await.expect("all bytes");
        assert_eq!(echoed, sent.as_bytes());
        exchange(&mut client, b"more").await;
    }
    // One that ends early.
    let mut client = rig.connect().await;
    client.write_all(b"end").await.expect("open");
    client.shutdown().await.expect("open");
    assert_eq!(&rest(&mut client).await[1..], b"end");
}
