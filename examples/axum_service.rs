//! `Balance` inside an axum router: requests that the router has no route for go to a balanced backend.
//!
//! Starts two backends and the router, sends a few requests, prints the responses and ends.
//!
//! ```text
//! cargo run --example axum_service
//! ```

use std::{io, net::SocketAddr};

use axum::{
    Router,
    body::Body,
    error_handling::HandleError,
    http::{HeaderName, Request},
    routing::{any, get},
};
use equipoise::{
    EndpointSpec, Pool, RoundRobin,
    tower::{BalanceLayer, Error, HttpProtocol},
};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::net::TcpListener;
use tower::Layer;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let pool = Pool::new(RoundRobin::new());
    let backends = [backend("one").await?, backend("two").await?];
    pool.update(backends.map(|address| EndpointSpec::new(address.to_string())), |_| ())?;
    let front = serve(gateway(pool.clone())).await?;

    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let ask = async |method: &str, path: &str| {
        let request =
            Request::builder().method(method).uri(format!("http://{front}{path}")).body(Body::from("hello"))?;
        let response = client.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let answer = format!("{} {}", status.as_u16(), String::from_utf8_lossy(&body));
        println!("{method:4} {path:9}  {answer}");
        anyhow::Ok(answer)
    };
    let mut answers = vec![ask("GET", "/health").await?];
    for path in ["/orders/1", "/orders/2", "/orders/3"] {
        answers.push(ask("POST", path).await?);
    }
    println!("... and with no backend left:");
    pool.update([], |_| ())?;
    answers.push(ask("GET", "/orders/4").await?);

    let expected = [
        "200 the gateway is well",
        "200 one got 5 bytes at /orders/1",
        "200 two got 5 bytes at /orders/2",
        "200 one got 5 bytes at /orders/3",
        "503 no backend can take the request now",
    ];
    anyhow::ensure!(answers == expected, "expected {expected:#?}");
    Ok(())
}

/// The application: its own routes, and a balancer for the rest.
fn gateway(pool: Pool<()>) -> Router {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let layer = BalanceLayer::with_protocol(pool, HttpProtocol::new().header(HeaderName::from_static("x-served-by")));
    // axum requires infallible services. The response must not contain internal addresses; the log has the endpoint and
    // the cause.
    let balanced = HandleError::new(layer.layer(client), async |error: Error| {
        let answer = (error.status(), error.public_message());
        eprintln!("no response: {:#}", anyhow::Error::from(error));
        answer
    });
    Router::new().route("/health", get(async || "the gateway is well")).fallback_service(balanced)
}

async fn backend(name: &'static str) -> io::Result<SocketAddr> {
    let answer = async move |request: Request<Body>| {
        let path = request.uri().path().to_owned();
        let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
        format!("{name} got {length} bytes at {path}")
    };
    serve(Router::new().fallback(any(answer))).await
}

/// Serves on a free port of loopback for as long as the program runs.
async fn serve(router: Router) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async { axum::serve(listener, router).await });
    Ok(address)
}
