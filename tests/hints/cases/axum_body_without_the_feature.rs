//! hint: the request body `Body` cannot be sent again to another endpoint
//! hint: for `axum::body::Body`, turn on the feature `axum` of `equipoise`
//! hint: `BalanceLayer::new(pool).incoming()` wraps request bodies of any type

use axum::{body::Body, error_handling::HandleError, http::Request, Router};
use equipoise::{Pool, tower::{BalanceLayer, Error}};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::Layer;

fn main() {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let balanced = BalanceLayer::new(Pool::<()>::default()).layer(client).serving::<Request<Body>>();
    let service = HandleError::new(balanced, async |error: Error| error.status());
    let _ = Router::<()>::new().fallback_service(service);
}
