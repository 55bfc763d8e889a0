//! The bytes that pass: none is lost, and all are counted.

use equipoise_proxy::tcp::TcpSettings;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::rig::*;

/// Bytes that differ at each place.
fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(31) >> 3) as u8 ^ (at as u8) ^ seed as u8).collect()
}

/// Sends and receives at the same time, and expects the same bytes back. A slow client reads in small steps.
async fn round(client: TcpStream, bytes: Vec<u8>, slow: bool) {
    let (mut reader, mut writer) = client.into_split();
    let sent = bytes.clone();
    let sending = tokio::spawn(async move {
        writer.write_all(&sent).await.expect("open");
        writer.shutdown().await.expect("open");
        writer
    });
    let mut received = Vec::new();
    let mut step = vec![0; if slow { 1500 } else { 1 << 20 }];
    loop {
        match reader.read(&mut step).await.expect("open") {
            0 => break,
            read => received.extend_from_slice(&step[..read]),
        }
        if slow {
            tokio::task::yield_now().await;
        }
    }
    drop(sending.await.expect("no panic"));
    assert!(received == bytes, "{} bytes of {}, or others", received.len(), bytes.len());
}

async fn passes_in_both_directions(settings: TcpSettings) {
    let address = echoing().await;
    let mut rig = start(&[address], settings).await;
    let mut clients = JoinSet::new();
    let lengths = [1, 1000, 16 * 1024, 16 * 1024 + 1, 1 << 20, 5_000_003, 20_000_000];
    for (seed, length) in lengths.into_iter().enumerate() {
        for slow in [false, true] {
            clients.spawn(round(rig.connect().await, pattern(length, seed), slow));
        }
    }
    clients.join_all().await;
    let total = 2 * lengths.iter().sum::<usize>() as u64;
    let mut reported = (0, 0);
    for _ in 0..2 * lengths.len() {
        let ended = rig.ended().await;
        assert_eq!(ended.end, "complete");
        reported = (reported.0 + ended.sent, reported.1 + ended.received);
    }
    assert_eq!(reported, (total, total));
    let status = rig.status(address);
    assert_eq!((status.bytes_sent, status.bytes_received), (total, total));
    assert_eq!((status.in_flight, status.requests.success), (0, 2 * lengths.len() as u64));
}

#[cfg(feature = "splice")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_byte_is_lost_or_changed_with_splice() {
    passes_in_both_directions(TcpSettings::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_byte_is_lost_or_changed() {
    let settings = TcpSettings::new();
    #[cfg(feature = "splice")]
    let settings = settings.splice(false);
    passes_in_both_directions(settings).await;
}

#[tokio::test]
async fn bytes_are_counted_while_a_connection_is_open() {
    let address = named(b'!').await;
    let rig = start(&[address], TcpSettings::new()).await;
    let mut client = rig.connect().await;
    client.read_u8().await.expect("the name");
    for round in 1..4 {
        exchange(&mut client, b"hello").await;
        let status = rig.status(address);
        assert_eq!((status.bytes_sent, status.bytes_received, status.in_flight), (5 * round, 5 * round + 1, 1));
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_its_endpoint_only() {
    let (sender, mut stalled) = tokio::sync::mpsc::unbounded_channel();
    let endless = endpoint(move |mut stream: TcpStream| {
        let sender = sender.clone();
        async move {
            while tokio::time::timeout(SHORT, stream.write_all(&[7; 64 * 1024])).await.is_ok() {}
            let _ = sender.send(());
            let _ = stream.write_all(&[7; 1 << 20]).await;
        }
    })
    .await;
    let other = echoing().await;
    let rig = start(&[endless, other], TcpSettings::new()).await;
    let stuck = rig.connect().await;
    stalled.recv().await.expect("all buffers are full at some time");
    assert!(rig.status(endless).bytes_received > 0);
    let mut client = rig.connect().await;
    exchange(&mut client, b"hello").await;
    drop(stuck);
}
