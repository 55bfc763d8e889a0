//! hint: the request body `tonic::body::Body` cannot be sent again to another endpoint
//! hint: for `tonic::body::Body`, turn on the feature `tonic` of `equipoise`

use equipoise::{Pool, tower::Balance};
use tonic::transport::Channel;

fn main() {
    let pool: Pool<Channel> = Pool::default();
    let request = http::Request::new(tonic::body::Body::empty());
    let _ = Balance::new(pool).oneshot(request);
}
