//! Clients that attack with frames of HTTP/2.

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Attacked,
    frames::{CONTINUATION, END_HEADERS, END_STREAM, GET_ENDLESS, HEADERS, RST_STREAM, frame, preface, streams},
};
use crate::client::soon;

/// Sends bytes over connections, until the gateway closes each of them.
async fn flood(attacked: &Attacked, connections: usize, bytes: Vec<u8>) {
    let floods = (0..connections).map(|_| async {
        let (mut reader, mut writer) = attacked.connect().await.into_split();
        let sends = async {
            // The gateway stops to read at some time.
            let _ = writer.write_all(&bytes).await;
            writer
        };
        let reads = async {
            let mut received = Vec::new();
            // The connection is reset if the gateway has not read all.
            let _ = reader.read_to_end(&mut received).await;
        };
        soon(async { tokio::join!(sends, reads) }).await;
    });
    join_all(floods).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_close_the_connection() {
    let attacked = Attacked::start().await;
    let resets = streams(20_000).flat_map(|stream| {
        const CANCEL: u32 = 8;
        let head = frame(HEADERS, END_STREAM | END_HEADERS, stream, GET_ENDLESS);
        [head, frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
    });
    let bytes = preface(65_535).into_iter().chain(resets).collect();
    attacked.endures(16, flood(&attacked, 20, bytes)).await;
    // Some of the requests have reached the backend.
    attacked.backend.until(|counts| counts.begun == counts.closed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_of_endless_continuations_close_the_connection() {
    let attacked = Attacked::start().await;
    let mut bytes = preface(65_535);
    bytes.extend(frame(HEADERS, END_STREAM, 1, GET_ENDLESS));
    // Each is a field `x: y`.
    bytes.extend(frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y").repeat(200_000));
    attacked.endures(16, flood(&attacked, 20, bytes)).await;
    assert_eq!(attacked.backend.until(|_| true).await.begun, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_that_their_streams_do_not_take_are_not_stored() {
    let attacked = Attacked::start().await;
    const CONNECTIONS: usize = 5;
    const STREAMS: usize = 100;
    let heads = streams(100).flat_map(|stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, GET_ENDLESS));
    let bytes: Vec<u8> = preface(0).into_iter().chain(heads).collect();
    let clients = attacked
        .endures(60, async {
            let mut clients = Vec::new();
            for _ in 0..CONNECTIONS {
                let mut client = attacked.connect().await;
                client.write_all(&bytes).await.unwrap();
                clients.push(client);
            }
            attacked.backend.until(|counts| counts.begun == CONNECTIONS * STREAMS).await;
            clients
        })
        .await;
    drop(clients);
    attacked.backend.until(|counts| counts.closed == CONNECTIONS * STREAMS).await;
}
