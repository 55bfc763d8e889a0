use std::convert::Infallible;

use bytes::Bytes;
use equipoise_affinity::source::{PeerAddr, TrustedProxies};
use equipoise_gateway::{
    ReplyBody,
    browser::{CorsLayer, CorsPolicy, CsrfLayer, InvalidCors, RequestId, RequestIdLayer},
};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use super::{Reply, reply, request, send};

fn with(mut request: Request<Full<Bytes>>, fields: &[(&'static str, &str)]) -> Request<Full<Bytes>> {
    for (name, value) in fields {
        request.headers_mut().append(*name, value.parse().expect("a value"));
    }
    request
}

fn cors() -> CorsLayer {
    CorsPolicy::origins(["https://app.test", "https://*.partner.test"])
        .methods([Method::GET, Method::PUT])
        .headers(["x-version"])
        .credentials(true)
        .max_age(std::time::Duration::from_secs(60))
        .build()
        .expect("a policy")
}

fn field<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    reply.headers.get(name).and_then(|value| value.to_str().ok())
}

#[tokio::test]
async fn a_preflight_is_answered_before_authentication() {
    let authentication = tower::layer::layer_fn(|_: super::Echo| {
        service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, Infallible>(Response::builder().status(401).body(Full::<Bytes>::default()).expect("a response"))
        })
    });
    let cors = cors();
    let layers = ServiceBuilder::new().layer(cors.clone()).layer(authentication).into_inner();
    let preflight = [("origin", "https://a.partner.test"), ("access-control-request-method", "PUT")];
    let answer = send(&layers, with(request("OPTIONS", "/x"), &preflight)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(field(&answer, "access-control-allow-origin"), Some("https://a.partner.test"));
    assert_eq!(field(&answer, "access-control-allow-methods"), Some("GET,PUT"));
    assert_eq!(field(&answer, "access-control-allow-headers"), Some("x-version"));
    assert_eq!(field(&answer, "access-control-allow-credentials"), Some("true"));
    assert_eq!(field(&answer, "access-control-max-age"), Some("60"));
    assert_eq!(field(&answer, "access-control-allow-private-network"), None);
    // What is no preflight is passed on.
    for fields in [&[][..], &[("origin", "https://app.test")], &[("access-control-request-method", "PUT")]] {
        let answer = send(&layers, with(request("OPTIONS", "/x"), fields)).await;
        assert_eq!((answer.status, field(&answer, "vary")), (401, Some("origin")), "{fields:?}");
    }
    assert_eq!(cors.stats().preflights, 1);
}

#[tokio::test]
async fn only_allowed_origins_may_read_responses() {
    for (origin, allowed) in [
        ("https://app.test", true),
        ("https://x.y.partner.test", true),
        ("https://partner.test", false),
        ("https://evilpartner.test", false),
        ("https://app.test.evil.test", false),
        ("http://app.test", false),
        ("null", false),
    ] {
        let answer = send(&cors(), with(request("GET", "/x"), &[("origin", origin)])).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "/x"), "{origin}");
        assert_eq!(field(&answer, "access-control-allow-origin"), allowed.then_some(origin), "{origin}");
        assert_eq!(field(&answer, "access-control-allow-credentials"), allowed.then_some("true"), "{origin}");
        assert_eq!(field(&answer, "vary"), Some("origin"));
        let preflight = [("origin", origin), ("access-control-request-method", "PUT")];
        let answer = send(&cors(), with(request("OPTIONS", "/x"), &preflight)).await;
        for name in ["origin", "credentials", "methods", "headers"] {
            let name = format!("access-control-allow-{name}");
            assert_eq!(field(&answer, &name).is_some(), allowed, "{origin} {name}");
        }
        assert_eq!(field(&answer, "access-control-max-age").is_some(), allowed);
    }
    let answer = send(&cors(), request("GET", "/x")).await;
    assert_eq!((field(&answer, "access-control-allow-origin"), field(&answer, "vary")), (None, Some("origin")));
}

#[tokio::test]
async fn the_policy_of_the_endpoint_does_not_count() {
    let endpoint = service_fn(|_: Request<Full<Bytes>>| async {
        let response = Response::builder()
            .header("access-control-allow-origin", "*")
            .header("access-control-allow-credentials", "true")
            .header("vary", "accept");
        Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).expect("a response"))
    });
    let request = with(request("GET", "/"), &[("origin", "https://evil.test")]);
    let answer = reply(cors().layer(endpoint).oneshot(request).await.expect("a response")).await;
    assert_eq!(field(&answer, "access-control-allow-origin"), None);
    let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["accept", "origin"]);
}

#[test]
fn policies_that_open_a_site_or_would_panic_are_refused() {
    let origin = || CorsPolicy::origins(["https://app.test"]).credentials(true);
    let none: [&str; 0] = [];
    for (policy, expected) in [
        (CorsPolicy::any_origin().credentials(true), "AnyOriginWithCredentials"),
        (origin().any_header(), "AnyHeaderWithCredentials"),
        (origin().expose_any(), "AnyHeaderWithCredentials"),
        (origin().headers(["a b"]), "Header"),
        (origin().headers(["*"]), "Header"),
        (origin().methods([Method::TRACE]), "Method"),
        (origin().methods([Method::OPTIONS]), "Method"),
        (origin().methods(["*".parse().expect("a token")]), "Method"),
        (CorsPolicy::origins(["*"]), "Origin"),
        (CorsPolicy::origins(["null"]), "Origin"),
        (CorsPolicy::origins(["https://app.test/"]), "Origin"),
        (CorsPolicy::origins(none), "NoOrigin"),
    ] {
        let error = policy.build().expect_err(expected);
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
    }
    let _: InvalidCors = CorsPolicy::any_origin().credentials(true).build().expect_err("refused");
    // tower-http panics for policies that it refuses when it wraps a service.
    let open = CorsPolicy::any_origin().any_header().expose_any().build().expect("a policy");
    let _ = open.layer(service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(ReplyBody::<Full<Bytes>>::own("")))
    }));
}

#[tokio::test]
async fn requests_from_other_sites_are_denied() {
    let layer = CsrfLayer::new()
        .trusted_origin("https://login.test")
        .expect("an origin")
        .exempt_path("/hooks/**")
        .expect("a pattern");
    for (method, path, fields, status) in [
        ("GET", "/", &[("sec-fetch-site", "cross-site")][..], 200),
        ("POST", "/", &[("sec-fetch-site", "cross-site")], 403),
        ("POST", "/", &[("sec-fetch-site", "same-site")], 403),
        ("TRACE", "/", &[("sec-fetch-site", "cross-site")], 403),
        ("POST", "/", &[("sec-fetch-site", "same-origin")], 200),
        ("POST", "/", &[("sec-fetch-site", "none")], 200),
        ("POST", "/", &[], 200),
        ("POST", "/", &[("origin", "http://app.test")], 200),
        ("POST", "/", &[("origin", "https://evil.test")], 403),
        ("POST", "/", &[("origin", "https://app.test.evil.test")], 403),
        ("POST", "/", &[("origin", "null")], 403),
        ("DELETE", "/", &[("origin", "https://login.test"), ("sec-fetch-site", "cross-site")], 200),
        ("POST", "/hooks/x", &[("origin", "https://evil.test")], 200),
        ("POST", "/hooks/..;/x", &[("origin", "https://evil.test")], 403),
        ("POST", "/hooks/..%2fx", &[("origin", "https://evil.test")], 403),
        ("POST", "/hooks/../x", &[("origin", "https://evil.test")], 403),
        ("POST", "/x/../hooks/y", &[("origin", "https://evil.test")], 403),
        ("POST", "//hooks/y", &[("origin", "https://evil.test")], 403),
        ("POST", "/hooks/%252e%252e/x", &[("origin", "https://evil.test")], 403),
        ("POST", "/hooks/%2561", &[("origin", "https://evil.test")], 403),
        ("POST", "/%68ooks/x", &[("origin", "https://evil.test")], 403),
        ("POST", "/hooks/x;y", &[("origin", "https://evil.test")], 403),
        ("POST", "/Hooks/x", &[("origin", "https://evil.test")], 403),
        ("GET", "/chat", &[("origin", "https://evil.test"), ("sec-websocket-key", "x")], 403),
        ("GET", "/chat", &[("origin", "https://app.test"), ("sec-websocket-key", "x")], 200),
    ] {
        let answer = send(&layer, with(request(method, path), fields)).await;
        assert_eq!(answer.status, status, "{method} {path} {fields:?}");
        assert_eq!(answer.code, (status == 403).then_some("cross_site_request"));
    }
    assert_eq!((layer.stats().allowed, layer.stats().denied), (8, 17));
    for origin in ["https://login.test/", "login.test", "https://*.login.test", "null", "https://login.test:443"] {
        assert!(CsrfLayer::new().trusted_origin(origin).is_err(), "{origin}");
    }
}

/// Returns the id that the endpoint gets, and the one that the client gets.
async fn id(layer: &RequestIdLayer, request: Request<Full<Bytes>>) -> (String, Option<HeaderValue>) {
    let endpoint = service_fn(|request: Request<Full<Bytes>>| async move {
        let id = request.extensions().get::<RequestId>().expect("an id").header_value().clone();
        assert_eq!(request.headers().get_all("x-request-id").iter().collect::<Vec<_>>(), [&id]);
        let response = Response::builder().header("x-request-id", "of the endpoint");
        Ok::<_, Infallible>(response.body(id.to_str().expect("ASCII").to_owned()).expect("a response"))
    });
    let response = layer.layer(endpoint).oneshot(request).await.expect("a response");
    assert_eq!(response.extensions().get::<RequestId>().expect("an id").header_value(), response.body().as_str());
    let field = response.headers().get("x-request-id").cloned();
    (response.into_body(), field)
}

#[tokio::test]
async fn each_request_has_an_id_that_clients_cannot_choose() {
    let layer = RequestIdLayer::new();
    let (first, field) = id(&layer, with(request("GET", "/"), &[("x-request-id", "chosen")])).await;
    let (second, _) = id(&layer, request("GET", "/")).await;
    assert_eq!(field.expect("a field"), first.as_str());
    assert!(first != second && first.len() == 32 && first.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
}

#[tokio::test]
async fn ids_of_trusted_proxies_are_kept_if_they_are_valid() {
    let layer =
        RequestIdLayer::new().accept_from("192.0.2.0/24".parse::<TrustedProxies>().expect("networks")).max_bytes(16);
    for (ids, kept) in [
        (&["a-b_c.1:2/3+=@"][..], true),
        (&["1234567890123456"], true),
        (&["12345678901234567"], false),
        (&["a b"], false),
        (&["a\tb"], false),
        (&["\"quoted\""], false),
        (&[""], false),
        (&["a", "b"], false),
    ] {
        let fields: Vec<_> = ids.iter().map(|id| ("x-request-id", *id)).collect();
        let (seen, _) = id(&layer, with(request("GET", "/"), &fields)).await;
        assert_eq!(seen == ids[0], kept, "{ids:?}");
    }
    let mut other = with(request("GET", "/"), &[("x-request-id", "a")]);
    other.extensions_mut().insert(PeerAddr("198.51.100.1:1".parse().expect("an address")));
    assert_ne!(id(&layer, other).await.0, "a");
    assert_eq!((layer.stats().kept, layer.stats().created), (2, 7));
}
