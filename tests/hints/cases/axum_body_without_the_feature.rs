//! hint: the request body `Body` cannot be sent again to another endpoint
//! hint: for `axum::body::Body`, turn on the feature `axum` of `equipoise`
//! hint: `BalanceLayer::new(pool).incoming()` wraps request bodies of any type

use axum::{body::Body, error_handling::HandleError, http::Request, Router};
use equipoise::{Pool, tower::{BalanceLayer, Error}};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::Layer;

fn main() {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    // Without `serving`, the compiler says only that `HandleError<Balance<…>, …>` is not a service. That type is axum's
    // and has an impl for each number of extractors, so the compiler names none of their bounds, and no hint of this
    // crate can be part of the message.
    let balanced = BalanceLayer::new(Pool::<()>::default()).layer(client).serving::<Request<Body>>();
    let service = HandleError::new(balanced, async |error: Error| error.status());
    let _ = Router::<()>::new().fallback_service(service);
}
