//! hyper's server over hyper-util's client, on one thread: what a proxy without any task of its own costs. It sends all
//! requests to the first backend, and changes nothing in them but the target.

use anyhow::Context;
use http::{
    Request, Uri, Version,
    uri::{Authority, Scheme},
};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpListener;

#[path = "arguments.rs"]
mod arguments;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = arguments::Arguments::parse()?;
    let backend: Authority = arguments.backends.first().context("a backend")?.parse()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> =
        Client::builder(TokioExecutor::new()).http2_only(arguments.to_http2).build(connector);
    let version = if arguments.to_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    let service = service_fn(move |mut request: Request<Incoming>| {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(backend.clone());
        // A request has a path, so the parts are a URI.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        *request.version_mut() = version;
        client.request(request)
    });
    let listener = TcpListener::bind(&arguments.listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (io, service) = (TokioIo::new(stream), service.clone());
        if arguments.from_http2 {
            tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service));
        } else {
            tokio::spawn(http1::Builder::new().serve_connection(io, service));
        }
    }
}
