//! reqwest's client, balanced over three servers. One of them dies, and no request fails.
//!
//! ```text
//! cargo run --example reqwest_client
//! ```

use std::{collections::BTreeMap, convert::Infallible, io, net::SocketAddr};

use bytes::Bytes;
use equipoise::tower::{BalancedClient, ServedBy, balanced_client};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use reqwest::{Method, Request, StatusCode};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let [one, two, three] = [backend().await?, backend().await?, backend().await?];
    let dying = two.address.to_string();

    let orders = balanced_client([&one, &two, &three].map(|backend| backend.address.to_string()))?;

    println!("three servers:  {:?}", requests(&orders, 30).await?);
    two.kill().await;
    println!("{dying} dies.");
    let served = requests(&orders, 30).await?;
    println!("two servers:    {served:?}");
    anyhow::ensure!(!served.contains_key(&dying), "a dead server has answered");

    one.kill().await;
    three.kill().await;
    println!("All die.");
    let error = orders.execute(order(0)?).await.expect_err("there is no server");
    println!("public message:          {} {}", error.status(), error.public_message());
    println!("message for the log:     {:#}", anyhow::Error::from(error));
    Ok(())
}

/// The host is a logical name. The balancer chooses the address.
fn order(n: usize) -> anyhow::Result<Request> {
    Ok(Request::new(Method::GET, format!("http://orders/{n}").parse()?))
}

/// Sends requests and returns how many of them each server has answered.
async fn requests(orders: &BalancedClient, requests: usize) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut served = BTreeMap::new();
    for n in 0..requests {
        let response = orders.execute(order(n)?).await?;
        anyhow::ensure!(response.status() == StatusCode::OK && response.url().path() == format!("/{n}"));
        let by = response.extensions().get().map(|ServedBy(endpoint)| endpoint.to_string()).unwrap_or_default();
        // The request counts as in flight until its body has been read.
        anyhow::ensure!(response.text().await? == "an order");
        *served.entry(by).or_insert(0) += 1;
    }
    Ok(served)
}

struct Backend {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Backend {
    /// Closes the port and all connections at once.
    async fn kill(self) {
        self.task.abort();
        // The result is the error "aborted".
        let _ = self.task.await;
    }
}

/// A server of the service "orders".
async fn backend() -> io::Result<Backend> {
    let answer =
        async |_: http::Request<Incoming>| Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::from("an order")));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    Ok(Backend { address, task })
}
