//! hyper's server over hyper-util's client, on one thread.

use anyhow::Context;
use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

#[path = "arguments.rs"]
mod arguments;
#[path = "hyper_proxy.rs"]
mod hyper_proxy;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = arguments::Arguments::parse()?;
    let backend = arguments.backends.first().context("a backend")?;
    let proxy = service_fn(hyper_proxy::proxy(backend, arguments.to_http2)?);
    let listener = TcpListener::bind(&arguments.listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (io, proxy) = (TokioIo::new(stream), proxy.clone());
        if arguments.from_http2 {
            tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(io, proxy));
        } else {
            tokio::spawn(http1::Builder::new().serve_connection(io, proxy));
        }
    }
}
