//! hint: the services of this balancer do not take requests of type
//! hint: `build_http::<equipoise::tower::Replayable<Incoming>>()`

use equipoise::{Pool, tower::BalanceLayer};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::Layer;

async fn forward(request: Request<Incoming>) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Incoming>();
    let _ = BalanceLayer::new(Pool::<()>::default()).incoming().layer(client).oneshot(request).await;
}

fn main() {
    let _ = forward;
}
