//! Filters and functions for browsers, around services that stand for endpoints.

mod bodies;
#[cfg(feature = "browser")]
mod browser;
mod maintenance;
mod paths;
mod rules;
mod sockets;
mod stack;

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_affinity::source::PeerAddr;
use equipoise_gateway::DenialCode;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn};

/// A request from the client 192.0.2.7.
fn request(method: &str, target: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "app.test")
        .body(Full::default())
        .expect("a request");
    request.extensions_mut().insert(PeerAddr("192.0.2.7:4711".parse().expect("an address")));
    request
}

/// What a client gets.
#[derive(Debug)]
struct Reply {
    status: u16,
    code: Option<&'static str>,
    headers: HeaderMap,
    body: String,
}

/// Sends a request through a layer to an endpoint that answers with the target of the request.
async fn send<L, B, R>(layer: &L, request: Request<B>) -> Reply
where
    L: Layer<Echo>,
    L::Service: Service<Request<B>, Response = Response<R>, Error = Infallible>,
    R: Body<Data = Bytes>,
    R::Error: std::fmt::Debug,
{
    let response = layer.layer(Echo).oneshot(request).await.expect("no error");
    reply(response).await
}

async fn reply<R>(response: Response<R>) -> Reply
where
    R: Body<Data = Bytes>,
    R::Error: std::fmt::Debug,
{
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Reply {
        status: parts.status.as_u16(),
        code: parts.extensions.get().map(|DenialCode(code)| *code),
        headers: parts.headers,
        body: String::from_utf8(body.into()).expect("UTF-8"),
    }
}

/// An endpoint that reads the body, and answers with the target of the request.
#[derive(Clone, Copy, Debug)]
struct Echo;

impl<B> Service<Request<B>> for Echo {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        std::future::ready(Ok(Response::new(Full::from(request.uri().to_string()))))
    }
}

/// An endpoint that answers with the body of the request, and fails if the body fails.
fn mirror<B>() -> impl Service<Request<B>, Response = Response<Full<Bytes>>, Error = B::Error, Future: Future> + Clone
where
    B: Body<Data = Bytes>,
{
    service_fn(|request: Request<B>| async move {
        let body = request.into_body().collect().await?.to_bytes();
        Ok(Response::new(Full::new(body)))
    })
}

/// A body of some chunks, with or without trailers, whose length is not known.
#[derive(Debug)]
struct Chunks(VecDeque<Frame<Bytes>>);

impl Chunks {
    fn new<C: AsRef<[u8]>>(chunks: impl IntoIterator<Item = C>) -> Self {
        Self(chunks.into_iter().map(|chunk| Frame::data(Bytes::copy_from_slice(chunk.as_ref()))).collect())
    }

    fn trailers(mut self, trailers: HeaderMap) -> Self {
        self.0.push_back(Frame::trailers(trailers));
        self
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}
