//! An application's own client, balanced over several addresses. One address is dead, and no request fails.
//!
//! ```text
//! cargo run --example client
//! ```

use std::{collections::BTreeMap, convert::Infallible, io, net::SocketAddr};

use bytes::Bytes;
use equipoise::{
    EndpointSpec, PickRequest, Pool,
    tower::{BalanceLayer, ServedBy},
};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinSet,
};
use tower::Layer;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Bound but not listening, so connections are refused.
    let dead = TcpSocket::new_v4()?;
    dead.bind("127.0.0.1:0".parse()?)?;
    let addresses = [start_backend().await?, dead.local_addr()?, start_backend().await?];
    println!("alive: {} and {}; dead: {}", addresses[0], addresses[2], addresses[1]);

    // A pool of the addresses, with the default strategy (Log-EWMA).
    let pool = Pool::default();
    pool.update(addresses.map(|address| EndpointSpec::new(address.to_string())), |_| ())?;
    // Balances the application's client. The result is a tower service that is cheap to clone and shared by all tasks.
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let orders = BalanceLayer::new(pool.clone()).check_addresses()?.layer(client);

    let mut tasks = JoinSet::new();
    for n in 1..=30 {
        // The host is a logical name. The balancer chooses the address.
        let request = Request::get(format!("http://orders/{n}")).body(Full::default())?;
        let response = orders.clone().oneshot(request);
        tasks.spawn(async {
            let response = response.await?;
            let by = response.extensions().get().map(|ServedBy(endpoint)| endpoint.to_string()).unwrap_or_default();
            let status = response.status();
            // The request counts as in flight until its body has been read.
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::Ok((by, status, String::from_utf8_lossy(&body).into_owned()))
        });
    }
    let mut served = BTreeMap::new();
    while let Some(answer) = tasks.join_next().await {
        let (by, status, body) = answer??;
        println!("{by}  {status}  {body}");
        *served.entry(by).or_insert(0) += 1;
    }
    println!("served by: {served:?}");

    println!("\nExplanation of the next pick (the lowest score among those compared wins; failures raise it):");
    println!("{}", pool.explain(&PickRequest::new()));
    Ok(())
}

/// A server that responds with the path of the request.
async fn start_backend() -> io::Result<SocketAddr> {
    async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let host = request.headers().get("host").map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
        let body = format!("you asked for {} of {}", request.uri().path(), host.unwrap_or_default());
        Ok(Response::new(body.into()))
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    Ok(address)
}
