use equipoise_gateway::filter::{
    FieldEdits, FieldsLayer, OriginalPath, PathAction, PathFault, RedirectLayer, RedirectRule, UriLayer, UriPolicy,
};
use http::Request;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use super::{request, send};

#[tokio::test]
async fn ambiguous_paths_are_refused_and_counted_by_reason() {
    let layer = UriLayer::default();
    for path in
        ["/admin%2f..", "/static/..%5cadmin", "/;/admin", "/a//b", "/a/../b", "/%2e%2e/b", "/a%0d%0ab", "/%c0%af"]
    {
        let denied = send(&layer, request("GET", path)).await;
        assert_eq!((denied.status, denied.code), (400, Some("ambiguous_path")), "{path}");
    }
    assert_eq!(send(&layer, request("GET", "/a?x=//../%2f;")).await.body, "/a?x=//../%2f;");
    assert_eq!(send(&layer, request("OPTIONS", "*")).await.status, 200);
    let refused = layer.stats().refused;
    assert_eq!(refused.iter().map(|(_, count)| count).sum::<u64>(), 8);
    assert!(refused.contains(&(PathFault::DotSegments, 2)));
}

#[tokio::test]
async fn all_layers_inside_see_the_normalized_path() {
    let policy = UriPolicy::normalizing().on(PathFault::EncodedSlash, PathAction::Normalize);
    let seen = service_fn(|request: Request<()>| async move {
        let OriginalPath(original) = request.extensions().get().cloned().expect("the original path");
        assert_eq!(original, "/a//b/%2e%2e/c%2Fd?x=%2f");
        Ok::<_, std::convert::Infallible>(http::Response::new(request.uri().to_string()))
    });
    let edits = FieldEdits::new().set("x-path", "{path}").expect("edits");
    let service =
        ServiceBuilder::new().layer(UriLayer::new(policy)).layer(FieldsLayer::new().response(edits)).service(seen);
    let request = Request::get("/a//b/%2e%2e/c%2Fd?x=%2f").body(()).expect("a request");
    let response = service.oneshot(request).await.expect("a response");
    assert_eq!(response.headers()["x-path"], "/a/c/d");
}

#[tokio::test]
async fn redirects_do_not_reach_the_endpoint() {
    let layer = RedirectLayer::new([RedirectRule::https().except("/.well-known/acme-challenge/**")]).expect("rules");
    let redirected = send(&layer, request("POST", "/a?b")).await;
    assert_eq!((redirected.status, redirected.body.as_str()), (308, ""));
    assert_eq!(redirected.headers["location"], "https://app.test/a?b");
    assert_eq!(send(&layer, request("GET", "/.well-known/acme-challenge/x")).await.status, 200);
    assert_eq!(layer.stats().redirected, 1);
}

#[tokio::test]
async fn a_redirect_cannot_be_split() {
    // The parser of requests refuses CR and LF, and encoded ones stay encoded.
    let layer = RedirectLayer::new([RedirectRule::prefix("/old", "/new")]).expect("rules");
    let redirected = send(&layer, request("GET", "/old/%0d%0aset-cookie:%20a=b")).await;
    assert_eq!(redirected.headers["location"], "/new/%0d%0aset-cookie:%20a=b");
    assert!(!redirected.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn layers_wait_for_the_inner_service() {
    // A service that is never ready gets no request.
    struct Busy;
    impl tower::Service<Request<()>> for Busy {
        type Response = http::Response<String>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
            std::task::Poll::Pending
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            panic!("called before it is ready")
        }
    }
    let mut service = UriLayer::default().layer(Busy);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(tower::Service::poll_ready(&mut service, &mut cx).is_pending());
}
