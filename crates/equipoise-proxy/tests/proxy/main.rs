//! The proxy as a service: errors, timeouts, bodies and tunnels.

mod failures;
mod forwarding;
mod hygiene;
mod routing;
mod sessions;
mod specificity;
mod stalled;
mod timeouts;
mod tunnels;
mod versions;

use std::{convert::Infallible, io};

use bytes::Bytes;
use equipoise_proxy::{Failed, ProxyBody, RequestBody, ReverseProxyLayer};
use equipoise_tower::BoxError;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tower::{Layer, ServiceExt, service_fn};

type Body = UnsyncBoxBody<Bytes, io::Error>;
type Forwarded = Request<RequestBody<Body>>;

fn full(text: &'static str) -> Body {
    Full::from(text).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A request with a host.
fn get(path: &str) -> http::request::Builder {
    Request::get(path).header("host", "app.test")
}

/// Sends a request through a proxy over the service.
async fn send<F>(
    proxy: &ReverseProxyLayer,
    request: Request<Body>,
    service: impl Fn(Forwarded) -> F,
) -> Response<ProxyBody<Body>>
where
    F: Future<Output = Result<Response<Body>, BoxError>>,
{
    let proxy = proxy.layer(service_fn(&service));
    proxy.oneshot(request).await.unwrap_or_else(|never| match never {})
}

/// The label of the error for which the proxy made this response.
fn failure<B>(response: &Response<B>) -> Option<&'static str> {
    response.extensions().get().map(|Failed(error)| error.as_str())
}

async fn text(response: Response<ProxyBody<Body>>) -> String {
    let bytes = response.into_body().collect().await.expect("a complete body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}
