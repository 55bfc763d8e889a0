use std::convert::Infallible;

use bytes::Bytes;
use equipoise_proxy::{
    Failed, ProxyError, ReverseProxy,
    error::{ErrorResponses, ProxyStatus},
    route::{Route, Router, Routes},
};
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use tower::{ServiceExt, service_fn};

use crate::{
    cache::CacheLayer,
    compression::CompressionLayer,
    limit::{Quota, RateLimitLayer},
    stack::{AnyBody, Functions},
};

fn functions() -> Functions {
    super::functions()
        .rate_limit(RateLimitLayer::per_client(Quota::per_hour(9).burst(9)).expect("valid"))
        .compress(CompressionLayer::new())
        .cache(CacheLayer::new(1 << 20).expect("valid"))
}

async fn dead(_: Request<AnyBody<Full<Bytes>>>) -> Result<Response<Full<Bytes>>, std::io::Error> {
    Err(std::io::ErrorKind::ConnectionRefused.into())
}

fn get(path: &str) -> Request<Full<Bytes>> {
    let request = Request::get(path).header("host", "app.test").header("origin", "https://app.test");
    request.body(Full::default()).expect("a request")
}

#[tokio::test]
async fn failures_of_the_backend_have_the_fields_of_all_functions() {
    let errors = ErrorResponses::new().proxy_status(ProxyStatus::new("edge").expect("a name"));
    let service = functions().errors(errors).layer(service_fn(dead)).expect("valid");
    let response = service.oneshot(get("/")).await.expect("a response");
    assert_eq!(response.status(), 502);
    let headers = response.headers();
    assert!(headers.contains_key("x-request-id") && headers.contains_key("ratelimit"), "{headers:?}");
    assert_eq!(headers["x-edge"], "yes");
    assert_eq!(headers["access-control-allow-origin"], "https://app.test");
    assert_eq!(headers["proxy-status"], "edge; error=connection_refused");
    assert!(response.extensions().get::<Failed>().is_some());
}

#[tokio::test]
async fn the_response_to_head_has_no_body() {
    let service = functions().layer(service_fn(dead)).expect("valid");
    let request = Request::head("/").header("host", "app.test").body(Full::default()).expect("a request");
    let response = service.oneshot(request).await.expect("a response");
    assert_eq!(response.status(), 502);
    assert!(response.into_body().collect().await.expect("a body").to_bytes().is_empty());
}

#[tokio::test]
async fn a_request_without_a_route_gets_404_with_a_cache() {
    let found = service_fn(async |_: Request<_>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("found"))));
    let routes = Routes::new([Route::to("found", found).path("/found")]).expect("valid");
    let service = functions().layer(Router::new(routes)).expect("valid");
    let response = service.clone().oneshot(get("/missing")).await.expect("a response");
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let Failed(error) = response.extensions().get().expect("the error");
    assert!(matches!(**error, ProxyError::NoRoute));
    assert_eq!(response.headers()["x-edge"], "yes");
    assert_eq!(service.oneshot(get("/found")).await.expect("a response").status(), 200);
}

#[tokio::test]
async fn grpc_calls_get_a_grpc_status_inside_of_a_proxy() {
    let proxy = ReverseProxy::new(
        functions()
            .layer(service_fn(|_: Request<AnyBody<_>>| async {
                Err::<Response<Full<Bytes>>, _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))
            }))
            .expect("valid"),
    );
    let request = Request::post("http://app.test/service/Call").version(Version::HTTP_2);
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let response = proxy.oneshot(request.body(Full::<Bytes>::from("x")).expect("a request")).await.expect("a response");
    assert_eq!((response.status(), &response.headers()["grpc-status"]), (StatusCode::OK, &"14".parse().expect("14")));
    assert_eq!(response.headers()["x-edge"], "yes");
}
