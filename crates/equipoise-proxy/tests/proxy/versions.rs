//! HTTP/1.1 and HTTP/2 on both sides, with streamed bodies and trailers.

use std::convert::Infallible;

use bytes::Bytes;
use equipoise_proxy::{
    RequestBody, ReverseProxy,
    route::{Redirect, Route, RouteBody, Router, Routes},
};
use equipoise_tower::BoxError;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::{
    BodyExt, Empty,
    channel::{Channel, Sender},
};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{DuplexStream, duplex};
use tower::{Service, ServiceExt, service_fn};

/// Small, so that bodies are longer than what the connections buffer.
const BUFFER: usize = 256;

type Sent = Channel<Bytes, Infallible>;

fn grpc_status() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))])
}

/// Sends each frame back as it comes, and then trailers.
async fn echo(request: Request<Incoming>) -> Result<Response<Sent>, Infallible> {
    assert_eq!(request.headers()["te"], "trailers");
    assert!(!request.headers().contains_key("x-hop"));
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        let mut received = request.into_body();
        while let Some(Ok(frame)) = received.frame().await {
            if let Ok(data) = frame.into_data() {
                sender.send_data(data).await.expect("the proxy reads");
            }
        }
        sender.send_trailers(grpc_status()).await.expect("the proxy reads");
    });
    let response = Response::builder().header("content-type", "application/grpc").header("trailer", "grpc-status");
    Ok(response.body(body).expect("a response"))
}

fn serve<S, F>(http2: bool, io: DuplexStream, service: S)
where
    S: Fn(Request<Incoming>) -> F + Send + Sync + Clone + 'static,
    F: Future + Send + 'static,
    F::Output: Into<Served>,
{
    let service = hyper::service::service_fn(move |request| {
        let response = service(request);
        async move {
            let Served(response) = response.await.into();
            Ok::<_, Infallible>(response)
        }
    });
    if http2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(server.serve_connection(TokioIo::new(io), service));
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        tokio::spawn(server.serve_connection(TokioIo::new(io), service));
    }
}

struct Served(Response<http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>>);

impl<B> From<Result<Response<B>, Infallible>> for Served
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn from(response: Result<Response<B>, Infallible>) -> Self {
        let response = response.unwrap_or_else(|never| match never {});
        Self(response.map(|body| body.map_err(Into::into).boxed_unsync()))
    }
}

async fn send<B>(http2: bool, io: DuplexStream, request: Request<B>) -> Result<Response<Incoming>, BoxError>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    if http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await?;
        tokio::spawn(connection);
        let (mut head, body) = request.into_parts();
        // What a client for HTTP/2 does with a request that has only a path.
        head.uri = format!("http://app.test{}", head.uri.path()).parse()?;
        head.headers.remove("host");
        Ok(sender.send_request(Request::from_parts(head, body)).await?)
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
        tokio::spawn(connection);
        Ok(sender.send_request(request).await?)
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_proxy_answers_to_head_has_no_body_in_any_version() {
    let refused = service_fn(async |_: Request<RouteBody<RequestBody<Incoming>>>| Err::<Response<Sent>, _>("broken"));
    let routes = Routes::new([
        Route::to("broken", refused),
        Route::redirect("moved", Redirect::permanent().scheme("https")).path("/moved"),
    ]);
    let proxy = ReverseProxy::new(Router::new(routes.expect("valid routes")));
    for http2 in [false, true] {
        for (path, status) in [("/", 502), ("/a%2Fb", 400), ("/moved", 308)] {
            let head = async |method: Method| {
                let (near, far) = duplex(4096);
                let proxy = proxy.clone();
                serve(http2, far, move |request| proxy.clone().oneshot(request));
                let request = Request::builder().method(method).uri(path).header("host", "app.test");
                let request = request.body(Empty::<Bytes>::new()).expect("a request");
                let response = send(http2, near, request).await.expect("a response");
                assert_eq!(response.status(), status, "{path} {http2}");
                let length = response.headers().get("content-length").cloned();
                // Fails with a protocol error if there is a body.
                let body = response.into_body().collect().await.expect("a body").to_bytes();
                (length, body.len())
            };
            let (length, body) = head(Method::GET).await;
            assert!(length.as_ref().is_none_or(|length| *length == body.to_string()), "{path} {http2}");
            let (length_of_head, body_of_head) = head(Method::HEAD).await;
            assert_eq!(body_of_head, 0, "{path} {http2}");
            assert!(length_of_head.is_none() || length_of_head == length, "{path} {http2}");
        }
    }
}

/// Starts a backend and a proxy in front of it.
fn start<S, F>(client_http2: bool, backend_http2: bool, backend: S) -> DuplexStream
where
    S: Fn(Request<Incoming>) -> F + Send + Sync + Clone + 'static,
    F: Future + Send + 'static,
    F::Output: Into<Served>,
{
    let client = service_fn(move |request: Request<RequestBody<Incoming>>| {
        let (near, far) = duplex(BUFFER);
        serve(backend_http2, far, backend.clone());
        send(backend_http2, near, request)
    });
    let proxy = ReverseProxy::new(client);
    let (near, far) = duplex(BUFFER);
    serve(client_http2, far, move |request| {
        let mut proxy = proxy.clone();
        async move { proxy.ready().await?.call(request).await }
    });
    near
}

async fn part(sender: &mut Sender<Bytes, Infallible>, body: &mut Incoming, text: &'static str) {
    sender.send(Frame::data(Bytes::from_static(text.as_bytes()))).await.expect("the proxy reads");
    let mut received = Vec::new();
    while received.len() < text.len() {
        let frame = body.frame().await.expect("a frame").expect("no error");
        received.extend_from_slice(frame.data_ref().expect("data"));
    }
    assert_eq!(received, text.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn bodies_are_streamed_in_both_directions_with_trailers_between_all_versions() {
    for (client_http2, backend_http2) in [(false, false), (false, true), (true, false), (true, true)] {
        let io = start(client_http2, backend_http2, echo);
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
        let mut request = Request::builder().method(Method::POST).uri("/call").header("te", "trailers");
        if !client_http2 {
            request = request.header("host", "app.test").header("connection", "te, x-hop").header("x-hop", "1");
        }
        let request = request.body(body).expect("a request");
        // The response begins before the request has ended.
        let response = send(client_http2, io, request).await.expect("a response");
        assert_eq!(response.status(), 200, "{client_http2} {backend_http2}");
        let mut body = response.into_body();
        for text in ["one", "two", include_str!("versions.rs")] {
            part(&mut sender, &mut body, text).await;
        }
        drop(sender);
        let end = body.frame().await.expect("a frame").expect("no error");
        assert_eq!(end.trailers_ref(), Some(&grpc_status()), "{client_http2} {backend_http2}");
    }
}

/// Answers with the trailers of the request in a field of the head, and with a trailer `x-end`.
async fn with_trailers(request: Request<Incoming>) -> Result<Response<Sent>, Infallible> {
    let announced = request.headers().get("x-announce").cloned();
    let received = request.into_body().collect().await.expect("a body");
    let names = received.trailers().into_iter().flat_map(HeaderMap::keys).map(HeaderName::as_str);
    let names = names.collect::<Vec<_>>().join(",");
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        let end = HeaderMap::from_iter([(HeaderName::from_static("x-end"), HeaderValue::from_static("1"))]);
        sender.send_trailers(end).await.expect("the proxy reads");
    });
    let mut response = Response::new(body);
    response.headers_mut().insert("x-received", names.parse().expect("a value"));
    if announced.is_some() {
        response.headers_mut().insert("trailer", HeaderValue::from_static("x-end"));
    }
    Ok(response)
}

#[tokio::test(start_paused = true)]
async fn trailers_over_http_1_pass_if_trailer_names_them_and_te_accepts_them() {
    for (client_http2, backend_http2) in [(false, false), (false, true), (true, false), (true, true)] {
        for (is_announced, is_accepted) in [(true, true), (true, false), (false, true)] {
            let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
            let mut request = Request::post("/").header("host", "app.test");
            if is_announced {
                request = request.header("trailer", "x-count").header("x-announce", "1");
            }
            if is_accepted {
                request = request.header("te", "trailers");
            }
            let request = request.body(body).expect("a request");
            let count = HeaderMap::from_iter([(HeaderName::from_static("x-count"), HeaderValue::from_static("1"))]);
            tokio::spawn(async move { sender.send_trailers(count).await });
            let io = start(client_http2, backend_http2, with_trailers);
            let response = send(client_http2, io, request).await.expect("a response");
            let is_received = response.headers()["x-received"] == "x-count";
            let trailers = response.into_body().collect().await.expect("a body").trailers().cloned();
            let case = format!("{client_http2} {backend_http2} {is_announced} {is_accepted}");
            // Servers send trailers over HTTP/1.1 only if the client accepts them.
            let only_http2 = client_http2 && backend_http2;
            assert_eq!(is_received, is_announced || only_http2, "{case}");
            assert_eq!(trailers.is_some(), is_announced && is_accepted || only_http2, "{case}");
        }
    }
}
