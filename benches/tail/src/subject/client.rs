//! What subjects have in common: sending a request, and the HTTP client.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderName, Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Body;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// The header that tells the backend how long the request occupies a slot, in nanoseconds.
pub(crate) const SERVICE_TIME: HeaderName = HeaderName::from_static("x-service-time");

/// Sends requests to the backends in its own way.
pub(crate) trait Subject: Send + Sync {
    /// Sends a `GET /` that needs this service time, and reads the response to its end. Returns `false` if there was
    /// none, or its status was 500 or above.
    fn send(&self, service: Duration) -> BoxFuture<'static, bool>;
}

/// The client that all subjects use.
pub(super) type HttpClient = Client<HttpConnector, Empty<Bytes>>;

pub(super) fn http_client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// Reads the response to its end. Returns `false` if there is none, or its status is 500 or above.
pub(super) async fn succeeded<B: Body, E>(response: Result<Response<B>, E>) -> bool {
    match response {
        Ok(response) => !response.status().is_server_error() && response.into_body().collect().await.is_ok(),
        Err(_) => false,
    }
}

/// Returns a request for this URI that needs this service time.
pub(super) fn request(uri: Uri, service: Duration) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri;
    let nanoseconds = u64::try_from(service.as_nanos()).unwrap_or(u64::MAX);
    request.headers_mut().insert(SERVICE_TIME, nanoseconds.into());
    request
}
