use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use equipoise_affinity::source::PeerAddr;
use http::{HeaderName, HeaderValue, Method, Request, Response, request};
use http_body_util::{BodyExt, Full};
use tower::{ServiceExt, service_fn};

use crate::{
    DenialCode, Identity,
    auth::{ApiKey, ApiKeys, AuthLayer, External, GeneratedKey},
    browser::{CorsPolicy, CsrfLayer, RequestIdLayer},
    cache::{CacheLayer, KeyPolicy},
    compression::{CompressionLayer, DecompressionLayer},
    filter::{
        FieldEdits, FieldsLayer, FilterLayer, FilterRules, Maintenance, MaintenanceLayer, RedirectLayer, RedirectRule,
        ReplaceText, ResponseBodyFilterLayer, Rule, UriLayer,
    },
    limit::{InFlightLayer, Limit, LimitKey, Quota, RateLimitLayer},
    stack::{AnyBody, Functions, FunctionsService, InvalidFunctions},
};

struct Rig {
    service: FunctionsService<Full<Bytes>, Full<Bytes>>,
    calls: Arc<AtomicU32>,
    maintenance: Maintenance,
    ada: GeneratedKey,
    bob: GeneratedKey,
}

fn auth(keys: &[(&str, &GeneratedKey)]) -> AuthLayer {
    let lines: Vec<_> = keys.iter().map(|(name, key)| format!("{name}:{}", key.hash)).collect();
    AuthLayer::new(ApiKey::header(lines.join("\n").parse::<ApiKeys>().expect("valid")))
}

fn cache(key: KeyPolicy) -> CacheLayer {
    CacheLayer::builder(1 << 20).key(key).build().expect("valid")
}

/// All functions, set from the innermost to the outermost.
fn rig(by_address: u32) -> Rig {
    let (ada, bob) = (ApiKeys::generate(), ApiKeys::generate());
    let calls = Arc::new(AtomicU32::new(0));
    let maintenance = Maintenance::new();
    let counted = Arc::clone(&calls);
    let backend = service_fn(move |request: Request<AnyBody<Full<Bytes>>>| {
        counted.fetch_add(1, Relaxed);
        async move {
            let user = request.headers().get("x-auth-user").map(|user| user.to_str().expect("text").to_owned());
            let identity = request.extensions().get::<Identity>().map(|identity| identity.name().to_owned());
            assert_eq!(user, identity);
            assert_eq!(request.headers()["x-backend"], "yes");
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            let text = format!("secret of {} {}", user.unwrap_or_default(), "x".repeat(2000));
            let response = Response::builder().header("content-type", "text/plain").header("x-got", body.len());
            let response = response.header("cache-control", "max-age=60, public");
            Ok::<_, Infallible>(response.body(Full::<Bytes>::from(text)).expect("valid"))
        }
    });
    let user_limit = Limit::new("user", LimitKey::identity(), Quota::per_hour(3).burst(3));
    let rules = [Rule::deny("hidden").path("/hidden/**")];
    let redirect = RedirectRule::exact("/old", "/new");
    let functions = Functions::new()
        .filter_response_bodies(ResponseBodyFilterLayer::new(ReplaceText::new([("secret", "public")]).expect("valid")))
        .decompress(DecompressionLayer::new())
        .backend_fields(FieldsLayer::new().request(FieldEdits::new().set("x-backend", "yes").expect("valid")))
        .cache(cache(KeyPolicy::new().per_identity()))
        .compress(CompressionLayer::new())
        .csrf(CsrfLayer::new())
        .limit_identities_in_flight(InFlightLayer::builder(LimitKey::identity(), 10).build().expect("valid"))
        .rate_limit_identities(RateLimitLayer::builder().limit(user_limit).build().expect("valid"))
        .authenticate(auth(&[("ada", &ada), ("bob", &bob)]))
        .limit_in_flight(InFlightLayer::per_client(10).expect("valid"))
        .rate_limit(RateLimitLayer::per_client(Quota::per_hour(by_address).burst(by_address)).expect("valid"))
        .cors(CorsPolicy::origins(["https://app.test"]).methods([Method::PUT]).build().expect("valid"))
        .redirect(RedirectLayer::new([redirect]).expect("valid"))
        .maintenance(MaintenanceLayer::new(maintenance.clone()))
        .filter(FilterLayer::new(FilterRules::new(rules).expect("valid")))
        .uri(UriLayer::default())
        .client_fields(FieldsLayer::new().response(FieldEdits::new().set("x-edge", "yes").expect("valid")))
        .request_id(RequestIdLayer::new());
    Rig { service: functions.layer(backend).expect("valid"), calls, maintenance, ada, bob }
}

impl Rig {
    async fn send(&self, request: request::Builder) -> Response<AnyBody<Full<Bytes>>> {
        self.send_body(request, Bytes::new()).await
    }

    async fn send_body(&self, request: request::Builder, body: impl Into<Bytes>) -> Response<AnyBody<Full<Bytes>>> {
        let mut request = request.header("host", "app.test").body(Full::new(body.into())).expect("a request");
        request.extensions_mut().insert(PeerAddr(([192, 0, 2, 1], 1).into()));
        self.service.clone().oneshot(request).await.expect("a response")
    }

    fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }
}

fn get(path: &str, key: Option<&GeneratedKey>) -> request::Builder {
    let request = Request::get(path);
    match key {
        Some(key) => request.header("x-api-key", &key.key),
        None => request,
    }
}

fn code<B>(response: &Response<B>) -> Option<&'static str> {
    response.extensions().get::<DenialCode>().map(|code| code.0)
}

async fn text(response: Response<AnyBody<Full<Bytes>>>) -> String {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[tokio::test]
async fn neither_the_cache_nor_the_backend_is_reached_without_authentication() {
    let rig = rig(100);
    let stored = rig.send(get("/", Some(&rig.ada))).await;
    assert!(text(stored).await.starts_with("public of ada"));
    for key in [None, Some(&ApiKeys::generate())] {
        let response = rig.send(get("/", key)).await;
        assert_eq!(response.status(), 401);
        assert!(!text(response).await.contains("ada"));
    }
    assert_eq!(rig.calls(), 1);
}

#[tokio::test]
async fn each_identity_has_its_own_stored_responses() {
    let rig = rig(100);
    for (key, name) in [(&rig.ada, "ada"), (&rig.bob, "bob"), (&rig.ada, "ada"), (&rig.bob, "bob")] {
        let response = rig.send(get("/", Some(key)).header("x-auth-user", "root")).await;
        assert!(text(response).await.starts_with(&format!("public of {name} ")));
    }
    assert_eq!(rig.calls(), 2);
}

#[tokio::test]
async fn what_the_backend_learns_of_an_identity_tells_stored_responses_apart() {
    // The service knows ann in two tenants.
    let service = service_fn(async |request: Request<Full<Bytes>>| {
        let response =
            Response::builder().header("x-auth-user", "ann").header("x-tenant", &request.headers()["cookie"]);
        Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).expect("valid"))
    });
    let external =
        External::new(service, "/auth").expect("a URI").forward_fields([HeaderName::from_static("x-tenant")]);
    let backend = service_fn(async |request: Request<AnyBody<Full<Bytes>>>| {
        let text = |name| request.headers().get(name).map_or("", |value: &HeaderValue| value.to_str().expect("text"));
        let body = format!("{} {}", text("x-tenant"), text("authorization"));
        let response = Response::builder().header("cache-control", "max-age=60");
        Ok::<_, Infallible>(response.body(Full::<Bytes>::from(body)).expect("valid"))
    });
    let functions = Functions::new().authenticate(AuthLayer::new(external.expect("fields")));
    let service = functions.cache(cache(KeyPolicy::new().per_identity())).layer(backend).expect("valid");
    for (tenant, token, is_hit) in
        [("a", "1", false), ("b", "1", false), ("a", "2", false), ("a", "1", true), ("b", "1", true)]
    {
        let request =
            Request::get("/").header("host", "app.test").header("cookie", tenant).header("authorization", token);
        let response = service.clone().oneshot(request.body(Full::<Bytes>::default()).expect("a request")).await;
        let response = response.expect("a response");
        let status = response.headers()["cache-status"].to_str().expect("text").to_owned();
        assert_eq!(status.contains("; hit"), is_hit, "{tenant} {token} {status}");
        assert_eq!(text(response).await, format!("{tenant} {token}"));
    }
}

#[tokio::test]
async fn a_preflight_is_answered_before_authentication() {
    let rig = rig(1);
    for _ in 0..3 {
        let request = Request::options("/").header("origin", "https://app.test");
        let response = rig.send(request.header("access-control-request-method", "PUT")).await;
        assert!(response.status().is_success());
        assert_eq!(response.headers()["access-control-allow-origin"], "https://app.test");
    }
    let denied = rig.send(get("/", None).header("origin", "https://app.test")).await;
    assert_eq!((denied.status().as_u16(), rig.calls()), (401, 0));
    // The page may read why.
    assert_eq!(denied.headers()["access-control-allow-origin"], "https://app.test");
}

#[tokio::test]
async fn pages_may_read_errors_of_filters_and_maintenance() {
    let rig = rig(100);
    let origin = |request: request::Builder| request.header("origin", "https://app.test");
    let allowed = |response: &Response<_>| response.headers().get("access-control-allow-origin").cloned();
    let origin_of_page = Some(HeaderValue::from_static("https://app.test"));
    for path in ["/hidden/x", "/x/..%2fhidden/x", "/old"] {
        assert_eq!(allowed(&rig.send(origin(get(path, None))).await), origin_of_page, "{path}");
    }
    rig.maintenance.switch(true);
    let response = rig.send(origin(get("/", None))).await;
    assert_eq!((response.status().as_u16(), allowed(&response)), (503, origin_of_page.clone()));
    let preflight = origin(Request::options("/")).header("access-control-request-method", "PUT");
    let response = rig.send(preflight).await;
    assert_eq!((response.status().as_u16(), allowed(&response)), (200, origin_of_page));
}

#[tokio::test]
async fn filters_maintenance_and_redirects_come_before_authentication() {
    let rig = rig(100);
    assert_eq!(rig.send(get("/hidden/x", Some(&rig.ada))).await.status(), 403);
    assert_eq!(rig.send(get("/x/..%2fhidden/x", Some(&rig.ada))).await.status(), 400);
    assert_eq!(rig.send(get("/old", None)).await.headers()["location"], "/new");
    rig.maintenance.switch(true);
    assert_eq!(rig.send(get("/old", None)).await.status(), 503);
    assert_eq!(rig.send(get("/hidden/x", None)).await.status(), 403);
    assert_eq!(rig.calls(), 0);
}

#[tokio::test]
async fn guesses_of_credentials_are_limited_by_address() {
    let rig = rig(2);
    for status in [401, 401, 429, 429] {
        assert_eq!(rig.send(get("/", Some(&ApiKeys::generate()))).await.status(), status);
    }
    assert_eq!(rig.send(get("/", Some(&rig.ada))).await.status(), 429);
}

#[tokio::test]
async fn each_identity_has_its_own_limit() {
    let rig = rig(100);
    for status in [200, 200, 200, 429] {
        assert_eq!(rig.send(get("/", Some(&rig.ada))).await.status(), status);
    }
    assert_eq!(rig.send(get("/", Some(&rig.bob))).await.status(), 200);
}

#[tokio::test]
async fn one_stored_response_serves_clients_with_different_encodings() {
    let rig = rig(100);
    for (accepted, encoding) in [("gzip", Some("gzip")), ("br", Some("br")), ("", None)] {
        let response = rig.send(get("/", Some(&rig.ada)).header("accept-encoding", accepted)).await;
        let found = response.headers().get("content-encoding").map(|value| value.to_str().expect("text"));
        assert_eq!(found, encoding);
    }
    assert_eq!(rig.calls(), 1);
}

#[tokio::test]
async fn a_client_can_validate_a_compressed_response_of_the_cache() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let backend = service_fn(move |_: Request<AnyBody<Full<Bytes>>>| {
        counted.fetch_add(1, Relaxed);
        let response = Response::builder().header("content-type", "text/plain").header("cache-control", "max-age=60");
        let response = response.header("etag", "\"v1\"").body(Full::<Bytes>::from("x".repeat(2000))).expect("valid");
        async { Ok::<_, Infallible>(response) }
    });
    let functions = Functions::new().compress(CompressionLayer::new()).cache(cache(KeyPolicy::new()));
    let service = functions.layer(backend).expect("valid");
    let get = || Request::get("http://app.test/").header("accept-encoding", "gzip");
    let response = service.clone().oneshot(get().body(Full::default()).expect("valid")).await.expect("a response");
    assert_eq!(response.headers()["etag"], "W/\"v1\"");
    response.into_body().collect().await.expect("a body");
    let request = get().header("if-none-match", "W/\"v1\"").body(Full::default()).expect("valid");
    let response = service.oneshot(request).await.expect("a response");
    assert_eq!((response.status().as_u16(), &response.headers()["etag"]), (304, &"W/\"v1\"".parse().expect("a tag")));
    assert_eq!(calls.load(Relaxed), 1);
}

#[tokio::test]
async fn a_request_of_another_site_uses_up_no_limit_of_its_visitor() {
    let rig = rig(3);
    for key in [None, Some(&rig.ada), None, Some(&rig.ada), Some(&rig.ada), Some(&rig.ada)] {
        let request = Request::post("/").header("origin", "https://evil.test").header("sec-fetch-site", "cross-site");
        let request = key.into_iter().fold(request, |request, key| request.header("x-api-key", &key.key));
        let denied = rig.send(request).await;
        assert_eq!((denied.status().as_u16(), code(&denied)), (403, Some("cross_site_request")));
    }
    assert_eq!(rig.calls(), 0);
    for status in [200, 200, 200, 429] {
        assert_eq!(rig.send(get("/", Some(&rig.ada))).await.status(), status);
    }
}

#[tokio::test]
async fn the_backend_gets_decompressed_requests() {
    let rig = rig(100);
    // An empty text of gzip.
    let compressed = [31, 139, 8, 0, 0, 0, 0, 0, 0, 255, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let request = Request::post("/").header("x-api-key", &rig.ada.key).header("content-encoding", "gzip");
    let response = rig.send_body(request, compressed.to_vec()).await;
    assert_eq!((response.status().as_u16(), &response.headers()["x-got"]), (200, &"0".parse().expect("0")));
    let request = Request::post("/").header("x-api-key", &rig.ada.key).header("content-encoding", "compress");
    assert_eq!(code(&rig.send_body(request, "x").await), Some("unsupported_content_encoding"));
}

#[tokio::test]
async fn all_responses_have_the_fields_for_clients_and_the_id() {
    let rig = rig(100);
    let id = HeaderName::from_static("x-request-id");
    for request in [get("/", Some(&rig.ada)), get("/", None), get("/hidden/x", None), get("/%2e%2e/", None)] {
        let response = rig.send(request).await;
        assert_eq!(response.headers()["x-edge"], "yes", "{}", response.status());
        assert!(response.headers().contains_key(&id), "{}", response.status());
    }
}

#[tokio::test]
async fn a_cache_behind_authentication_needs_a_decision() {
    let key = ApiKeys::generate();
    let functions = || Functions::new().authenticate(auth(&[("ada", &key)]));
    let shared = functions().cache(cache(KeyPolicy::new()));
    assert_eq!(shared.check(), Err(InvalidFunctions::SharedCache));
    assert_eq!(shared.share_cache_between_identities().check(), Ok(()));
    assert_eq!(functions().cache(cache(KeyPolicy::new().per_identity())).check(), Ok(()));
    assert_eq!(Functions::new().cache(cache(KeyPolicy::new())).check(), Ok(()));
    let per_identity = |functions: Functions| functions.cache(cache(KeyPolicy::new().per_identity())).check();
    assert_eq!(per_identity(Functions::new()), Err(InvalidFunctions::IdentityCacheWithoutAuthentication));
    assert_eq!(per_identity(Functions::new().authenticate(AuthLayer::anonymous())), Ok(()));
}

#[test]
fn a_limit_by_identity_before_the_authentication_is_refused() {
    let key = ApiKeys::generate();
    let functions = || Functions::new().authenticate(auth(&[("ada", &key)]));
    let limit = || RateLimitLayer::builder().limit(Limit::new("user", LimitKey::identity(), Quota::per_hour(3)));
    let limited = functions().rate_limit(limit().build().expect("valid"));
    assert_eq!(limited.check(), Err(InvalidFunctions::IdentityLimitBeforeAuthentication));
    let in_flight = InFlightLayer::builder(LimitKey::identity(), 10).build().expect("valid");
    let limited = functions().limit_in_flight(in_flight);
    assert_eq!(limited.check(), Err(InvalidFunctions::IdentityLimitBeforeAuthentication));
    assert_eq!(functions().rate_limit_identities(limit().build().expect("valid")).check(), Ok(()));
}

#[test]
fn anonymous_requests_have_no_identity() {
    let limit = RateLimitLayer::builder().limit(Limit::new("user", LimitKey::identity(), Quota::per_hour(3)));
    let anonymous = || Functions::new().authenticate(AuthLayer::anonymous());
    let functions = anonymous().rate_limit_identities(limit.build().expect("valid"));
    assert_eq!(functions.check(), Err(InvalidFunctions::IdentityLimitWithoutAuthentication));
    assert_eq!(anonymous().cache(cache(KeyPolicy::new())).check(), Ok(()));
}

#[test]
fn a_limit_of_identities_needs_authentication() {
    let limit = RateLimitLayer::builder().limit(Limit::new("user", LimitKey::identity(), Quota::per_hour(3)));
    let functions = Functions::new().rate_limit_identities(limit.build().expect("valid"));
    assert_eq!(functions.check(), Err(InvalidFunctions::IdentityLimitWithoutAuthentication));
    let in_flight = InFlightLayer::builder(LimitKey::identity(), 10).build().expect("valid");
    let functions = Functions::new().limit_identities_in_flight(in_flight);
    assert_eq!(functions.check(), Err(InvalidFunctions::IdentityLimitWithoutAuthentication));
}
