//! The cache inside of a reverse proxy.

use std::sync::Arc;

use bytes::Bytes;
use equipoise_core::PickError;
use equipoise_gateway::cache::CacheLayer;
use equipoise_proxy::{RequestBody, ReverseProxy};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use parking_lot::Mutex;
use tower::{Layer, ServiceExt, service_fn};

type ProxyRequest = Request<RequestBody<Empty<Bytes>>>;

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).header("host", "example.com").body(Empty::new()).expect("a request")
}

#[tokio::test]
async fn clients_get_the_same_status_for_an_error_as_without_a_cache() {
    let causes: [(fn() -> PickError, u16); 2] = [(|| PickError::Saturated, 503), (|| PickError::Empty, 503)];
    for (cause, status) in causes {
        let failing = service_fn(move |_: ProxyRequest| async move {
            Err::<Response<Full<Bytes>>, _>(equipoise_tower::Error::from(cause()))
        });
        let layer = CacheLayer::new(1 << 20).expect("valid settings");
        let plain = ReverseProxy::new(failing).oneshot(get("/")).await.expect("a response");
        let cached = ReverseProxy::new(layer.layer(failing)).oneshot(get("/")).await.expect("a response");
        assert_eq!((plain.status().as_u16(), cached.status().as_u16()), (status, status));
    }
}

#[tokio::test]
async fn forged_fields_reach_neither_the_backend_nor_other_clients() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    // It reflects what is not part of the key, as a careless application does.
    let reflecting = service_fn(move |request: ProxyRequest| {
        let host =
            request.headers().get("x-forwarded-host").and_then(|host| host.to_str().ok()).unwrap_or("").to_owned();
        log.lock().push(host.clone());
        async move {
            let response = Response::builder().header("cache-control", "max-age=60");
            response.body(Full::new(Bytes::from(host)))
        }
    });
    let layer = CacheLayer::new(1 << 20).expect("valid settings");
    let proxy = ReverseProxy::new(layer.layer(reflecting));
    let mut forged = get("/");
    forged.headers_mut().insert("x-forwarded-host", "evil.example".parse().expect("a value"));
    for request in [forged, get("/")] {
        let response = proxy.clone().oneshot(request).await.expect("a response");
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(body, "example.com");
    }
    assert_eq!(*seen.lock(), ["example.com"]);
}
