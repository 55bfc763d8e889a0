//! Whatever head a server accepts, the proxy refuses it or forwards a request with one meaning.

#![no_main]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use arbitrary::Arbitrary;
use bytes::Bytes;
use equipoise_proxy::{
    Failed, RequestBody, ReverseProxyLayer,
    headers::{HostRule, Via},
};
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, Version, request::Parts};
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use tower_layer::Layer;
use tower_service::Service;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    method: &'a [u8],
    target: &'a [u8],
    is_http2: bool,
    fields: Vec<(Name<'a>, &'a [u8])>,
    body: &'a [u8],
    replaces_host: bool,
}

/// A field that the proxy looks at, or any other.
#[derive(Arbitrary, Debug)]
enum Name<'a> {
    Known(u8),
    Other(&'a [u8]),
}

const KNOWN: [&str; 21] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "cookie",
    "via",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x_forwarded_for",
    "x.forwarded.for",
    "max-forwards",
    "accept",
    "keep-alive",
    "proxy-connection",
    "http2-settings",
    "sec-websocket-key",
];

/// An endpoint that keeps the head of the request.
#[derive(Clone, Default)]
struct Endpoint(Arc<Mutex<Option<Parts>>>);

impl Service<Request<RequestBody<Full<Bytes>>>> for Endpoint {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody<Full<Bytes>>>) -> Self::Future {
        *self.0.lock().unwrap() = Some(request.into_parts().0);
        ready(Ok(Response::new(Full::default())))
    }
}

fn request(input: &Input<'_>) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::new(Full::from(input.body.to_vec()));
    *request.method_mut() = Method::from_bytes(input.method).ok()?;
    *request.uri_mut() = Uri::try_from(input.target).ok()?;
    *request.version_mut() = if input.is_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    for (name, value) in &input.fields {
        let name = match name {
            Name::Known(known) => HeaderName::from_static(KNOWN[usize::from(*known) % KNOWN.len()]),
            Name::Other(name) => HeaderName::from_bytes(name).ok()?,
        };
        request.headers_mut().try_append(name, HeaderValue::from_bytes(value).ok()?).ok()?;
    }
    Some(request)
}

fuzz_target!(|input: Input<'_>| {
    let Some(request) = request(&input) else { return };
    let endpoint = Endpoint::default();
    let mut layer = ReverseProxyLayer::new().via(Via::new("edge").unwrap());
    if input.replaces_host {
        layer = layer.host(HostRule::set("internal:8080").unwrap());
    }
    let mut future = pin!(layer.layer(endpoint.clone()).call(request));
    let mut cx = Context::from_waker(Waker::noop());
    // The second time, if the first frame of the body was waited for.
    let response = match future.as_mut().poll(&mut cx) {
        Poll::Ready(response) => Poll::Ready(response),
        Poll::Pending => future.as_mut().poll(&mut cx),
    };
    let Poll::Ready(Ok(response)) = response else { panic!("nothing is waited for") };
    let forwarded = endpoint.0.lock().unwrap().take();
    let Some(head) = forwarded else {
        let is_refused = response.extensions().get::<Failed>().is_some();
        assert!(is_refused || *input.method == *b"OPTIONS", "{response:?}");
        return;
    };
    let count = |name: &str| head.headers.get_all(name).iter().count();
    assert_eq!(head.version, Version::HTTP_11);
    assert!(head.uri.authority().is_none() && head.uri.path_and_query().is_some(), "{}", head.uri);
    assert_eq!(count("host"), 1, "{head:?}");
    assert!(count("content-length") + count("transfer-encoding") <= 1, "{head:?}");
    assert!(count("cookie") <= 1 || !input.is_http2, "{head:?}");
    assert_eq!(count("keep-alive") + count("proxy-connection") + count("http2-settings"), 0, "{head:?}");
    assert!(head.headers.keys().all(|name| !name.as_str().contains(['_', '.', '+'])), "{head:?}");
    if let Some(length) = head.headers.get("content-length") {
        assert_eq!(length.to_str().unwrap(), input.body.len().to_string());
    }
});
