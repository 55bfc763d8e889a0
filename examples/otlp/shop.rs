//! A shop: a client, a reverse proxy, and two backends of which one breaks each connection.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use equipoise::{
    Balance, EndpointSpec, HttpClient, Pool, RoundRobin, Upstream,
    monitor::trace::Trace,
    proxy::{ReverseProxy, server::Server},
};
use http::Request;
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

pub(crate) struct Shop {
    client: HttpClient,
    pub(crate) broken: Backend,
    pub(crate) working: Backend,
}

/// Starts the backends and the proxy.
pub(crate) async fn open() -> anyhow::Result<Shop> {
    let (broken, working) = (Backend::start(false).await?, Backend::start(true).await?);
    let backends = pool([broken.address, working.address])?;
    // Each request is explained; a busy proxy would explain one of a hundred.
    let trace = Trace::server("backends").scheme("http").explain(1.0);
    let proxy = ReverseProxy::new(HttpClient::with_balance(Balance::new(backends).observe(trace)));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let front = pool([listener.local_addr()?])?;
    tokio::spawn(Server::new(proxy).serve(listener));
    let client = HttpClient::with_balance(Balance::new(front).observe(Trace::client("proxy")));
    Ok(Shop { client, broken, working })
}

fn pool(addresses: impl IntoIterator<Item = SocketAddr>) -> anyhow::Result<Pool<Upstream>> {
    let pool = Pool::new(RoundRobin::new());
    let specs = addresses.into_iter().map(|address| EndpointSpec::new(address.to_string()));
    pool.try_update(specs, |spec| Upstream::new(spec.address()))?;
    Ok(pool)
}

impl Shop {
    /// Sends a request through the proxy. Returns the body of the response.
    pub(crate) async fn order(&self) -> anyhow::Result<String> {
        let request = Request::get("http://shop.example/orders/7?token=secret").body(Full::<Bytes>::default())?;
        let response = self.client.call(request).await?;
        Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().into())?)
    }
}

/// A server that keeps the header `traceparent` of each request.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    traceparents: Arc<Mutex<Vec<String>>>,
}

impl Backend {
    /// Starts a backend. If it is not `working`, it closes each connection after the head of a request.
    pub(crate) async fn start(working: bool) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let traceparents: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&traceparents);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let traceparent = traceparent(&mut stream).await?;
                    seen.lock().extend(traceparent);
                    if working {
                        let response = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\norder 7";
                        stream.write_all(response.as_bytes()).await?;
                    }
                    anyhow::Ok(())
                });
            }
        });
        Ok(Self { address, traceparents })
    }

    pub(crate) fn traceparents(&self) -> Vec<String> {
        self.traceparents.lock().clone()
    }
}

/// Reads the head of a request. Returns its header `traceparent`.
async fn traceparent(stream: &mut (impl AsyncBufReadExt + Unpin)) -> anyhow::Result<Option<String>> {
    let mut found = None;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(found);
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if name.eq_ignore_ascii_case("traceparent") {
            found = Some(value.trim().to_owned());
        }
    }
}
