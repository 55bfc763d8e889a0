//! hint: the client below must then take `Replayable<hyper::body::Incoming>` too, such as `build_http::<Replayable<_>>()`

use equipoise::{Pool, tower::{BalanceLayer, Replayable}};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::Layer;

async fn forward(request: Request<Incoming>) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Incoming>();
    let _ = BalanceLayer::new(Pool::<()>::default()).layer(client).oneshot(request.map(Replayable::new)).await;
}

fn main() {
    let _ = forward;
}
