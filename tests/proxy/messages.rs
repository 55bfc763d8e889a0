use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};

use crate::setup::{Body, Proxy, VERSIONS, backend, data, frames, trailers};

/// Answers with the request: its line, its body, and the trailer `x-sum`.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    let response = Response::builder().header("trailer", "x-sum");
    let response = response.header("x-has-client", request.headers().contains_key("x-forwarded-for").to_string());
    if *request.method() == Method::HEAD {
        return response.body(frames([])).expect("a response");
    }
    let line = format!("{} {} ", request.method(), request.uri().path());
    let body = request.into_body().collect().await.expect("a body");
    let sum = body.trailers().and_then(|trailers| trailers.get("x-sum")).cloned();
    let text = [line.as_bytes(), &body.to_bytes()].concat();
    let trailers = sum.map(|sum| Ok(Frame::trailers(HeaderMap::from_iter([(HeaderName::from_static("x-sum"), sum)]))));
    let data = Ok(Frame::data(Bytes::from(text)));
    response.body(frames(std::iter::once(data).chain(trailers))).expect("a response")
}

#[tokio::test]
async fn requests_and_responses_pass_between_all_versions() {
    for (client, endpoint) in VERSIONS {
        let proxy = Proxy::start(backend(echo).await, endpoint).await;
        let response = proxy.send(client, Request::get("/a").body(frames([])).expect("a request")).await;
        assert_eq!(response.status(), 200, "{client:?} {endpoint:?}");
        assert_eq!(response.headers()["x-has-client"], "true");
        assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "GET /a ");

        let posted = Request::post("/b").body(frames([data("hello "), data("world")])).expect("a request");
        let response = proxy.send(client, posted).await;
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(body, "POST /b hello world", "{client:?} {endpoint:?}");

        let head = Request::head("/c").body(frames([])).expect("a request");
        let response = proxy.send(client, head).await;
        assert_eq!(response.status(), 200);
        assert!(response.into_body().collect().await.expect("no body").to_bytes().is_empty());
        assert_eq!(proxy.counts().await, (3, 0), "{client:?} {endpoint:?}");
    }
}

#[tokio::test]
async fn trailers_pass_in_both_directions_between_all_versions() {
    for (client, endpoint) in VERSIONS {
        let proxy = Proxy::start(backend(echo).await, endpoint).await;
        let request = Request::post("/").header("te", "trailers").header("trailer", "x-sum");
        let body = frames([data("hello"), trailers("x-sum", "5")]);
        let response = proxy.send(client, request.body(body).expect("a request")).await;
        let body = response.into_body().collect().await.expect("a body");
        let sum = body.trailers().and_then(|trailers| trailers.get("x-sum")).cloned();
        assert_eq!(sum.as_ref().map(HeaderValue::as_bytes), Some(&b"5"[..]), "{client:?} {endpoint:?}");
        assert_eq!(body.to_bytes(), "POST / hello");
    }
}
