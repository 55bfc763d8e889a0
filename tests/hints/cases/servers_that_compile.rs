//! compiles

use axum::{error_handling::HandleError, Router};
use equipoise::{Pool, tower::{BalanceLayer, Error, Replayable}};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor, service::TowerToHyperService};
use tower::{Layer, ServiceExt};

fn axum() -> Router {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let balanced = BalanceLayer::new(Pool::<()>::default()).incoming().layer(client);
    Router::new().fallback_service(HandleError::new(balanced, async |error: Error| error.status()))
}

async fn forward(request: Request<Incoming>) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut balanced = BalanceLayer::new(Pool::<()>::default()).incoming().layer(client);
    let _ = balanced.call(request).await;
}

async fn wrapped(request: Request<Incoming>) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Replayable<Incoming>>();
    let mut balanced = BalanceLayer::new(Pool::<()>::default()).layer(client);
    let _ = balanced.call(request.map(Replayable::new)).await;
}

async fn ready(request: Request<Incoming>) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut balanced = BalanceLayer::new(Pool::<()>::default()).incoming().layer(client);
    let _ = ServiceExt::<Request<Incoming>>::ready(&mut balanced).await.unwrap().call(request).await;
}

fn hyper_server<I>(connection: I)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let client = Client::builder(TokioExecutor::new()).build_http();
    let balanced = BalanceLayer::new(Pool::<()>::default()).incoming().layer(client);
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(connection, TowerToHyperService::new(balanced));
}

fn main() {
    let _ = (axum, forward, wrapped, ready, hyper_server::<hyper_util::rt::TokioIo<tokio::net::TcpStream>>);
}
