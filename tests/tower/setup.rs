//! Helpers of the tests.

use bytes::Bytes;
use equipoise::{EndpointSpec, Pool};
use equipoise_tests::{Peer, Recorder, Scripted};
use http::{Method, Request};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// A pool that tries its endpoints (names and addresses) in this order, and the recorder of its strategy.
pub(crate) fn pool(endpoints: &[(&str, String)]) -> (Pool<()>, Recorder) {
    let recorder = Recorder::new();
    let pool = Pool::new(recorder.clone());
    pool.update(endpoints.iter().map(|(name, address)| EndpointSpec::new(address).with_id(*name)), |_| ()).unwrap();
    (pool, recorder)
}

pub(crate) fn client<B>() -> Client<HttpConnector, B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new()).build_http()
}

pub(crate) fn request(method: Method, body: &'static str) -> Request<Full<Bytes>> {
    let length = body.len();
    let request = Request::builder().method(method).uri("http://orders/today").header("content-length", length);
    request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
}

pub(crate) fn get() -> Request<Full<Bytes>> {
    Request::get("http://orders/today").body(Full::default()).unwrap()
}

/// A server that reads each request with a body of this length and then closes the connection.
pub(crate) fn closing_before_the_head(body: usize) -> Scripted {
    Scripted::start(move |mut peer: Peer| async move {
        peer.head().await?;
        peer.body(body).await?;
        Ok(())
    })
    .unwrap()
}

/// Returns the requests in flight of each endpoint.
pub(crate) fn in_flight<T>(pool: &Pool<T>) -> Vec<u32> {
    pool.endpoints().iter().map(|endpoint| endpoint.in_flight).collect()
}
