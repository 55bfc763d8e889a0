//! Clients of HTTP/1.1 that are slow, idle, greedy, or that vanish.

use std::fs;

use futures::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Attacked, serves};
use crate::client::soon;

/// Opens connections, a few at a time, and sends the same bytes over each.
async fn open(attacked: &Attacked, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let opening = stream::iter(0..count).map(|_| async {
        let mut client = attacked.connect().await;
        client.write_all(bytes).await.unwrap();
        client
    });
    opening.buffer_unordered(64).collect().await
}

/// Returns how many files a process may have open, as `ulimit -n` does.
fn max_files() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_with_half_a_head_hold_nothing_up() {
    let attacked = Attacked::start().await;
    let count = max_files().min(4000) / 4;
    let clients = attacked.endures(80, open(&attacked, count, b"GET / HTTP/1.1\r\nhost: app.test\r\nx-slow: ")).await;
    // Each sends another byte, and is still waited for.
    attacked
        .endures(64, async {
            for mut client in clients {
                client.write_all(b".").await.unwrap();
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_cost_little_memory() {
    let attacked = Attacked::start().await;
    // As many as the limit of open files allows, beside the other tests.
    let count = (max_files() / 5 * 2).min(10_000);
    if count < 10_000 {
        eprintln!("only {count} connections, because this process may open only {} files", max_files());
    }
    let clients = attacked
        .endures(600, async {
            let mut used = open(&attacked, count / 2, b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").await;
            for client in &mut used {
                let mut answer = [0; 12];
                soon(client.read_exact(&mut answer)).await.unwrap();
                assert_eq!(&answer, b"HTTP/1.1 200");
            }
            used.extend(open(&attacked, count - used.len(), b"").await);
            used
        })
        .await;
    assert_eq!(clients.len(), count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_do_not_keep_out_other_clients_with_the_default_limits() {
    let attacked = Attacked::with_limits("").await;
    // More than the gateway accepts by default, if the limit of open files allows it beside the other tests.
    let count = (max_files() / 8).min(2_000);
    if count <= 1024 {
        eprintln!("only {count} connections, because this process may open only {} files", max_files());
    }
    let clients = attacked.endures(100, open(&attacked, count, b"")).await;
    assert_eq!(clients.len(), count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_without_an_end_are_refused() {
    let attacked = Attacked::start().await;
    let flood = b"x-flood: ................................................\r\n".repeat(64 * 1024);
    let floods = stream::iter(0..100).map(|_| async {
        let (mut reader, mut writer) = attacked.connect().await.into_split();
        let sends = async {
            writer.write_all(b"GET / HTTP/1.1\r\nhost: app.test\r\n").await.unwrap();
            // The gateway stops to read at some time.
            let _ = writer.write_all(&flood).await;
            writer
        };
        let reads = async {
            let mut answer = [0; 12];
            reader.read_exact(&mut answer).await.map(|_| answer)
        };
        let (_writer, answer) = soon(async { tokio::join!(sends, reads) }).await;
        assert_eq!(&answer.unwrap(), b"HTTP/1.1 431");
    });
    attacked.endures(16, floods.buffer_unordered(50).for_each(|()| async {})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backend_is_freed_of_clients_that_vanish_in_the_middle_of_a_body() {
    let attacked = Attacked::start().await;
    let begin =
        [&b"POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 1000000\r\n\r\n"[..], &[b'.'; 20_000]].concat();
    const COUNT: usize = 500;
    attacked
        .endures(32, async {
            for round in 1..=5 {
                let clients = open(&attacked, COUNT / 5, &begin).await;
                attacked.backend.until(|counts| counts.begun == round * COUNT / 5).await;
                for (number, client) in clients.into_iter().enumerate() {
                    if number % 2 == 0 {
                        client.set_zero_linger().unwrap();
                    }
                }
                attacked.backend.until(|counts| counts.closed == round * COUNT / 5).await;
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_without_an_end_are_not_stored_and_end_with_their_clients() {
    let attacked = Attacked::start().await;
    const COUNT: usize = 100;
    let clients = attacked
        .endures(200, async {
            let mut clients = open(&attacked, COUNT, b"GET /endless HTTP/1.1\r\nhost: app.test\r\n\r\n").await;
            let mut part = vec![0; 256 * 1024];
            for client in &mut clients {
                soon(client.read_exact(&mut part)).await.unwrap();
            }
            clients
        })
        .await;
    // Nothing reads them now.
    attacked.endures(200, async {}).await;
    drop(clients);
    attacked.backend.until(|counts| counts.begun == COUNT && counts.closed == COUNT).await;
    serves(&attacked.address).await;
}
