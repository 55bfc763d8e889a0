//! hyper-util's client as a proxy: what a proxy without any task of its own costs. It sends all requests to one backend,
//! and changes nothing in them but the target.

use http::{
    Request, Uri, Version,
    uri::{Authority, Scheme},
};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, ResponseFuture, connect::HttpConnector},
    rt::TokioExecutor,
};

/// Returns a function that sends a request to the backend.
pub(crate) fn proxy(
    backend: &str,
    to_http2: bool,
) -> anyhow::Result<impl Fn(Request<Incoming>) -> ResponseFuture + Clone + use<>> {
    let backend: Authority = backend.parse()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).http2_only(to_http2).build(connector);
    let version = if to_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    Ok(move |mut request: Request<Incoming>| {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(backend.clone());
        // A request has a path, so the parts are a URI.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        *request.version_mut() = version;
        client.request(request)
    })
}
