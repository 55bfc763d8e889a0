//! A reverse proxy: balances requests over the addresses of its arguments, until it gets Ctrl-C.
//!
//! ```sh
//! cargo run --example reverse_proxy -- 127.0.0.1:8080 127.0.0.1:8001 127.0.0.1:8002
//! curl http://127.0.0.1:8080/
//! ```

use std::time::Duration;

use anyhow::{Context, ensure};
use equipoise::{
    EndpointSpec, HttpClient, Pool, Upstream,
    proxy::{ReverseProxy, server::Server},
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().context("usage: reverse_proxy LISTEN BACKEND...")?;
    let backends: Vec<_> = arguments.map(EndpointSpec::new).collect();
    ensure!(!backends.is_empty(), "at least one backend is needed: reverse_proxy LISTEN BACKEND...");

    let pool = Pool::default();
    pool.try_update(backends, |spec| Upstream::new(spec.address()))?;
    let proxy = ReverseProxy::new(HttpClient::new(pool));
    let tunnels = proxy.tunnels().clone();

    let listener = TcpListener::bind(&listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    println!("listening on {listen}");
    let server = Server::new(proxy);
    tokio::spawn(server.clone().serve(listener));
    tokio::signal::ctrl_c().await?;

    println!("finishing the requests in flight");
    // WebSockets would stay open for as long as their clients want. They are closed at once, because the shutdown waits for
    // those over HTTP/2.
    let close_tunnels = async {
        tunnels.close();
        tunnels.closed().await;
    };
    let (aborted, ()) = tokio::join!(server.shutdown(Duration::from_secs(10)), close_tunnels);
    println!("{aborted} connections were aborted; {:?}", server.stats());
    Ok(())
}
