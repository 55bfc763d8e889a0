//! hint: the request body `tonic::body::Body` cannot be sent again to another endpoint
//! hint: for `tonic::body::Body`, turn on the feature `tonic` of `equipoise`

use equipoise::{Pool, tower::Balance};
use tonic::transport::Channel;

async fn ask(pool: Pool<Channel>) {
    let mut client = tonic_health::pb::health_client::HealthClient::new(Balance::new(pool));
    let _ = client.check(tonic_health::pb::HealthCheckRequest::default()).await;
}

fn main() {
    let _ = ask;
}
