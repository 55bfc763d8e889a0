//! The proxy inside an axum application, for the requests that the application has no route for.

use axum::{Router, routing::get};
use equipoise::{EndpointSpec, HttpClient, Pool, Upstream, proxy::ReverseProxy};
use equipoise_tests::soon;
use http::Request;
use http_body_util::BodyExt;

use crate::{
    app,
    setup::{Proxy, VERSIONS, Version, data, frames},
};

#[tokio::test]
async fn requests_without_a_route_go_through_the_proxy() {
    let pool = Pool::default();
    pool.try_update([EndpointSpec::new(app::start().await)], |spec| Upstream::new(spec.address())).expect("an address");
    let proxy = ReverseProxy::new(HttpClient::new(pool));
    let front = Router::new().route("/own", get(async || "own")).fallback_service(proxy);
    // Another proxy sends the requests, because it has clients of both versions.
    let front = app::serve(front).await;
    for (client, endpoint) in VERSIONS {
        let proxy = Proxy::start(front.clone(), endpoint).await;
        for (request, expected) in [
            (Request::get("/own").body(frames([])), "own"),
            (Request::get("/hello").body(frames([])), "hello"),
            (Request::post("/echo").body(frames([data("a"), data("b")])), "ab"),
        ] {
            let response = proxy.send(client, request.expect("a request")).await;
            assert_eq!(response.status(), 200, "{expected} {client:?} {endpoint:?}");
            let body = soon(response.into_body().collect()).await.expect("a body").to_bytes();
            assert_eq!(body, expected, "{client:?} {endpoint:?}");
        }
        assert_eq!(proxy.counts().await, (3, 0));
    }
    let trailers = Request::get("/trailers").header("te", "trailers").body(frames([])).expect("a request");
    let response = Proxy::start(front, Version::Http2).await.send(Version::Http2, trailers).await;
    let body = soon(response.into_body().collect()).await.expect("a body");
    assert_eq!(body.trailers().expect("trailers")["x-sum"], "5");
}
