//! DNS over UDP, balanced over two servers of which one dies. Everything runs in this process.
//!
//! ```sh
//! cargo run --example dns
//! ```
//!
//! With an address as its argument, such as `127.0.0.1:5300`, the proxy goes on until it gets Ctrl-C:
//!
//! ```sh
//! cargo run --example dns -- 127.0.0.1:5300
//! dig @127.0.0.1 -p 5300 www.example.org
//! ```

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use equipoise::{
    EndpointSpec, Pool, RoundRobin,
    proxy::udp::{UdpListener, UdpProxy, UdpSettings},
};
use tokio::{net::UdpSocket, task::JoinHandle, time::Instant, time::timeout};

/// What the client waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listen = std::env::args().nth(1);
    let (one, first) = serve(Ipv4Addr::new(192, 0, 2, 1)).await?;
    let (two, second) = serve(Ipv4Addr::new(192, 0, 2, 2)).await?;
    println!("server 1 at {one} answers 192.0.2.1, server 2 at {two} answers 192.0.2.2");

    let pool = Pool::new(RoundRobin::new());
    pool.update([one, two].map(|address| EndpointSpec::new(address.to_string())), |_| ())?;
    // A query has one answer. Then its session ends, and the next query goes to the next server.
    let settings = UdpSettings::new().max_replies(1).reply_timeout(TIMEOUT);
    let proxy = UdpProxy::with_settings(pool.clone(), settings).check_addresses()?;
    let listener = UdpListener::bind(listen.as_deref().unwrap_or("127.0.0.1:0").parse()?)?;
    let address = listener.local_addr();
    println!("the proxy listens at {address}\n");
    let serving = tokio::spawn(proxy.serve(listener));

    println!("both servers live:");
    ask(address, 4).await?;
    second.abort();
    ensure!(second.await.is_err_and(|error| error.is_cancelled()), "server 2 has ended by itself");
    println!("\nserver 2 has died. Queries that it does not get go to server 1:");
    ask(address, 4).await?;

    println!();
    for endpoint in pool.endpoints() {
        let requests = endpoint.requests;
        println!("{}: {} answered, {} unreachable", endpoint.id, requests.success, requests.failure_connect);
    }
    let stats = proxy.stats();
    println!("{} queries, {} answers, {} sent again", stats.opened, stats.to_clients, stats.failovers);

    if listen.is_some() {
        println!("\nthe proxy goes on until Ctrl-C: dig @{} -p {} www.example.org", address.ip(), address.port());
        tokio::signal::ctrl_c().await?;
    }
    let aborted = proxy.shutdown(TIMEOUT).await;
    serving.await??;
    first.abort();
    println!("shut down, {aborted} sessions aborted");
    Ok(())
}

/// Asks several times, each time from another port as a resolver does, and prints the answers.
async fn ask(proxy: SocketAddr, queries: u16) -> anyhow::Result<()> {
    for id in 1..=queries {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let began = Instant::now();
        socket.send_to(&query(id), proxy).await?;
        let mut buffer = [0; 512];
        let (length, _) = timeout(TIMEOUT, socket.recv_from(&mut buffer)).await.context("no answer in time")??;
        let [.., a, b, c, d] = buffer[..length] else { bail!("the answer is too short") };
        ensure!(buffer[..2] == id.to_be_bytes(), "the answer is to another query");
        println!("  www.example.org is {}  ({} µs)", Ipv4Addr::new(a, b, c, d), began.elapsed().as_micros());
    }
    Ok(())
}

/// Starts a server that gives all names the same address. Returns where it listens.
async fn serve(answer: Ipv4Addr) -> anyhow::Result<(SocketAddr, JoinHandle<()>)> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    let serving = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            // An error is that of an earlier answer, which its client did not wait for.
            let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
            if let Some(response) = respond(&buffer[..length], answer) {
                let _ = socket.send_to(&response, client).await;
            }
        }
    });
    Ok((address, serving))
}

/// Type A and class IN.
const ADDRESS: [u8; 4] = [0, 1, 0, 1];

/// Returns a query for the address of `www.example.org`.
fn query(id: u16) -> Vec<u8> {
    // The id; recursion is desired; one question.
    let mut query = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in ["www", "example", "org", ""] {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&ADDRESS);
    query
}

/// Returns the response to a query: its question, and for an address the answer. `None` if it is not a query.
fn respond(query: &[u8], answer: Ipv4Addr) -> Option<Vec<u8>> {
    let mut end = 12;
    while *query.get(end)? != 0 {
        end += 1 + usize::from(query[end]);
    }
    let question = query.get(12..end + 5)?;
    let is_address = question.ends_with(&ADDRESS);
    // A response, with recursion available; one question, and one answer or none.
    let head = [query[0], query[1], 0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0];
    let mut response = [&head, question].concat();
    if is_address {
        // The name at byte 12, for 60 seconds, with 4 bytes.
        response.extend_from_slice(&[&[0xc0, 12][..], &ADDRESS, &[0, 0, 0, 60, 0, 4], &answer.octets()].concat());
    }
    Some(response)
}
