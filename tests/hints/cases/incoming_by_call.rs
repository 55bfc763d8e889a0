//! hint: the request body `hyper::body::Incoming` cannot be sent again to another endpoint
//! hint: `BalanceLayer::new(pool).incoming()` wraps request bodies of any type
//! hint: `request.map(equipoise::tower::Replayable::new)`
//! hint: must then take `Replayable<hyper::body::Incoming>` too

use equipoise::{Pool, tower::BalanceLayer};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
#[allow(unused_imports)]
use tower::{Layer, Service};

async fn forward(request: Request<Incoming>) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Incoming>();
    let mut balanced = BalanceLayer::new(Pool::<()>::default()).layer(client);
    let _ = balanced.call(request).await;
}

fn main() {
    let _ = forward;
}
