//! hint: the request body `hyper::body::Incoming` cannot be sent again to another endpoint
//! hint: `BalanceLayer::new(pool).incoming()` wraps request bodies of any type

use equipoise::{Pool, tower::BalanceLayer};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
#[allow(unused_imports)]
use tower::{Layer, ServiceExt};

async fn forward(request: Request<Incoming>) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Incoming>();
    let _ = BalanceLayer::new(Pool::<()>::default()).layer(client).oneshot(request).await;
}

fn main() {
    let _ = forward;
}
