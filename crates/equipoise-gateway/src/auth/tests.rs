use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use equipoise_tower::RequestHead;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use proptest::prelude::*;
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;

use super::*;
use crate::{Denial, DenialCode, Identity, Mechanism, ReplyBody};

/// A scheme that accepts `<name>=yes` in the field `name`, for all of its ways to answer.
#[derive(Clone)]
struct Test {
    name: &'static str,
    is_slow: bool,
    asked: Arc<AtomicU32>,
}

impl Test {
    fn new(name: &'static str) -> Self {
        Self { name, is_slow: false, asked: Arc::default() }
    }

    fn slow(name: &'static str) -> Self {
        Self { is_slow: true, ..Self::new(name) }
    }
}

impl Authenticate for Test {
    fn authenticate(&self, head: RequestHead<'_>) -> AuthFuture {
        let sent = head.headers.get(self.name).cloned();
        let (name, asked) = (self.name, self.asked.clone());
        let decide = move || {
            asked.fetch_add(1, Relaxed);
            match sent.as_ref().map(HeaderValue::as_bytes) {
                None => Err(AuthFailure::Missing),
                Some(b"yes") => Ok(Authenticated::new(Identity::new(name, Mechanism::Custom).attribute(name, "1"))
                    .field(HeaderName::from_static("x-written"), HeaderValue::from_static(name))
                    .field(HeaderName::from_static("x-unnamed"), HeaderValue::from_static(name))
                    .response_field(HeaderName::from_static("set-cookie"), HeaderValue::from_static(name))),
                Some(b"refused") => Err(AuthFailure::denied(Denial::new(StatusCode::UNAUTHORIZED, "refused", "no"))),
                Some(b"denied") => Err(AuthFailure::denied(Denial::new(StatusCode::IM_A_TEAPOT, "teapot", "no"))),
                Some(b"unavailable") => Err(AuthFailure::unavailable("a server is away")),
                Some(b"panic") => panic!("a bug"),
                Some(b"own") => Err(AuthFailure::invalid_with("no", HeaderValue::from_static("Own error"))),
                Some(_) => Err(AuthFailure::invalid("no")),
            }
        };
        if !self.is_slow {
            return AuthFuture::ready(decide());
        }
        AuthFuture::new(async move {
            tokio::task::yield_now().await;
            decide()
        })
    }

    fn challenge(&self, realm: &Realm) -> Option<HeaderValue> {
        (self.name != "silent").then(|| realm.challenge(self.name))
    }

    fn remove_credentials(&self, parts: &mut Parts) {
        parts.headers.remove(self.name);
        assert!(!parts.headers.contains_key("x-panic"), "a bug");
    }

    fn written_fields(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static("x-written")]
    }
}

/// What came of a request: the response, and what the inner service has seen of the request.
struct Outcome {
    response: Response<ReplyBody<()>>,
    seen: Option<Parts>,
}

impl Outcome {
    fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    fn code(&self) -> &'static str {
        self.response.extensions().get::<DenialCode>().map_or("", |code| code.0)
    }

    fn challenges(&self) -> Vec<&str> {
        let values = self.response.headers().get_all("www-authenticate").iter();
        values.map(|value| value.to_str().expect("ASCII")).collect()
    }

    fn seen(&self) -> &HeaderMap {
        &self.seen.as_ref().expect("the request was passed on").headers
    }

    fn identity(&self) -> Option<&str> {
        self.seen.as_ref().and_then(|parts| parts.extensions.get::<Identity>()).map(Identity::name)
    }
}

async fn sent(layer: &AuthLayer, fields: &[(&str, &str)]) -> Outcome {
    let mut request = Request::get("/");
    for (name, value) in fields {
        request = request.header(HeaderName::from_bytes(name.as_bytes()).expect("a name"), *value);
    }
    send(layer, request.body(()).expect("a request")).await
}

async fn send(layer: &AuthLayer, request: Request<()>) -> Outcome {
    let seen = Arc::new(parking_lot::Mutex::new(None));
    let inner = service_fn(|request: Request<()>| {
        *seen.lock() = Some(request.into_parts().0);
        async { Ok::<_, Infallible>(Response::new(())) }
    });
    let response = layer.layer(inner).oneshot(request).await.expect("no error");
    let seen = seen.lock().take();
    Outcome { response, seen }
}

#[tokio::test]
async fn a_request_without_credentials_does_not_reach_the_backend() {
    let layer = AuthLayer::new(Test::new("one")).or(Test::slow("two"));
    let outcome = sent(&layer, &[]).await;
    assert_eq!((outcome.status(), outcome.code(), outcome.seen.is_none()), (401, "missing_credentials", true));
    assert_eq!(outcome.challenges(), ["one realm=\"gateway\"", "two realm=\"gateway\""]);
    assert_eq!(outcome.response.headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn the_first_scheme_that_accepts_gives_the_identity() {
    for (one, two) in [
        (Test::new("one"), Test::new("two")),
        (Test::slow("one"), Test::new("two")),
        (Test::new("one"), Test::slow("two")),
        (Test::slow("one"), Test::slow("two")),
    ] {
        let layer = AuthLayer::new(one).or(two.clone());
        let outcome = sent(&layer, &[("one", "yes"), ("two", "yes")]).await;
        assert_eq!((outcome.status(), outcome.identity()), (200, Some("one")));
        assert_eq!(outcome.response.extensions().get::<Identity>().map(Identity::name), Some("one"));
        let asked = two.asked.swap(0, Relaxed);
        assert!(asked == 0 || !two.is_slow, "a slow scheme is not asked in vain");

        assert_eq!(sent(&layer, &[("one", "no"), ("two", "yes")]).await.identity(), Some("two"));
        assert_eq!(sent(&layer, &[("one", "unavailable"), ("two", "yes")]).await.identity(), Some("two"));
        assert_eq!(sent(&layer, &[("one", "panic"), ("two", "yes")]).await.identity(), Some("two"));
        assert_eq!(sent(&layer, &[("one", "denied"), ("two", "yes")]).await.identity(), Some("two"));
    }
}

#[tokio::test]
async fn the_client_gets_the_failure_of_the_highest_rank() {
    for (one, two) in [(Test::new("one"), Test::slow("two")), (Test::slow("one"), Test::new("two"))] {
        let layer = AuthLayer::new(one).or(two);
        for (fields, status, code) in [
            ([("one", "no"), ("x", "")], 401, "invalid_credentials"),
            ([("two", "no"), ("x", "")], 401, "invalid_credentials"),
            ([("one", "unavailable"), ("two", "no")], 503, "auth_unavailable"),
            ([("one", "no"), ("two", "panic")], 503, "auth_unavailable"),
            ([("one", "denied"), ("two", "unavailable")], 418, "teapot"),
        ] {
            let outcome = sent(&layer, &fields).await;
            assert_eq!((outcome.status(), outcome.code(), outcome.seen.is_none()), (status, code, true), "{fields:?}");
        }
    }
}

#[tokio::test]
async fn a_scheme_can_explain_why_credentials_are_not_valid() {
    let layer = AuthLayer::new(Test::new("one")).or(Test::new("two")).or(Test::new("silent"));
    let outcome = sent(&layer, &[("two", "own"), ("silent", "own")]).await;
    assert_eq!(outcome.challenges(), ["one realm=\"gateway\"", "Own error", "Own error"]);
}

#[tokio::test]
async fn a_response_of_a_scheme_with_status_401_has_a_challenge() {
    let layer = AuthLayer::new(Test::new("one")).or(Test::new("two"));
    let outcome = sent(&layer, &[("one", "refused")]).await;
    assert_eq!((outcome.status(), outcome.code()), (401, "refused"));
    assert_eq!(outcome.challenges(), ["one realm=\"gateway\"", "two realm=\"gateway\""]);
}

#[tokio::test]
async fn a_request_whose_credentials_cannot_be_removed_is_denied() {
    let layer = AuthLayer::new(Test::new("one")).optional();
    for fields in [[("one", "yes"), ("x-panic", "")], [("x-panic", ""), ("x", "")]] {
        let outcome = sent(&layer, &fields).await;
        assert_eq!((outcome.status(), outcome.code(), outcome.seen.is_none()), (503, "auth_unavailable", true));
    }
    assert_eq!((layer.stats().unavailable, layer.stats().allowed, layer.stats().anonymous), (2, 0, 0));
}

#[tokio::test]
async fn without_a_challenge_the_status_is_403() {
    let layer = AuthLayer::new(Test::new("silent"));
    let outcome = sent(&layer, &[]).await;
    assert_eq!((outcome.status(), outcome.code(), outcome.challenges().len()), (403, "missing_credentials", 0));
}

#[tokio::test]
async fn clients_cannot_claim_an_identity() {
    let claims = [
        ("x-auth-user", "eve"),
        ("x-auth-user", "eve"),
        ("X_Auth_User", "eve"),
        ("x-written", "eve"),
        ("x_written", "eve"),
        ("connection", "close, x-auth-user, x-written"),
    ];
    let layer = AuthLayer::new(Test::new("one")).optional();
    let anonymous = sent(&layer, &claims).await;
    assert_eq!((anonymous.identity(), anonymous.seen().keys_len()), (None, 1));
    assert_eq!(anonymous.seen()["connection"], "close");

    let known = sent(&layer, &[&claims[..], &[("one", "yes")]].concat()).await;
    let fields: Vec<_> =
        known.seen().iter().map(|(name, value)| (name.as_str(), value.to_str().expect("ASCII"))).collect();
    assert_eq!(known.seen().get("x-auth-user").expect("the identity"), "one");
    assert_eq!(fields.len(), 3, "{fields:?}");
    assert!(fields.contains(&("x-written", "one")) && !fields.iter().any(|field| field.0 == "x-unnamed"));
}

#[tokio::test]
async fn an_identity_of_an_outer_layer_does_not_last() {
    let mut request = Request::new(());
    request.extensions_mut().insert(Identity::new("outer", Mechanism::Custom));
    assert_eq!(send(&AuthLayer::new(Test::new("one")).optional(), request).await.identity(), None);
}

#[tokio::test]
async fn a_layer_without_schemes_removes_identity_fields() {
    let layer = AuthLayer::anonymous();
    let outcome = sent(&layer, &[("X_Auth_User", "eve"), ("authorization", "Bearer x")]).await;
    assert_eq!((outcome.status(), outcome.identity()), (200, None));
    assert_eq!(outcome.seen().keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["authorization"]);
    assert_eq!(layer.stats().anonymous, 1);
}

#[tokio::test]
async fn an_optional_layer_denies_invalid_credentials() {
    let layer = AuthLayer::new(Test::new("one")).or(Test::slow("two")).optional();
    assert_eq!(sent(&layer, &[]).await.status(), 200);
    assert_eq!(sent(&layer, &[("two", "no")]).await.status(), 401);
    assert_eq!(sent(&layer, &[("one", "panic")]).await.status(), 503);
}

#[tokio::test]
async fn requirements_are_checked_before_the_backend() {
    let layer = AuthLayer::new(Test::new("one")).or(Test::slow("two")).require(Requirements::new().names(["two"]));
    let outcome = sent(&layer, &[("one", "yes")]).await;
    assert_eq!((outcome.status(), outcome.code(), outcome.seen.is_none()), (403, "forbidden", true));
    assert_eq!(outcome.response.extensions().get::<Identity>().map(Identity::name), Some("one"));
    assert_eq!(sent(&layer, &[("two", "yes")]).await.status(), 200);
}

#[tokio::test]
async fn all_schemes_have_to_accept() {
    for (one, two) in [
        (Test::new("one"), Test::new("two")),
        (Test::slow("one"), Test::new("two")),
        (Test::new("one"), Test::slow("two")),
    ] {
        let layer = AuthLayer::new(AllOf::new(one).and(AnyOf::new(two).or(Test::new("three")))).optional();
        for (fields, status) in [
            ([("one", "yes"), ("two", "yes")], 200),
            ([("one", "yes"), ("three", "yes")], 200),
            ([("one", "yes"), ("two", "no")], 401),
            ([("one", "no"), ("two", "yes")], 401),
            ([("one", "yes"), ("two", "panic")], 503),
            ([("one", "denied"), ("two", "no")], 418),
        ] {
            assert_eq!(sent(&layer, &fields).await.status(), status, "{fields:?}");
        }
        // One part is missing: the request is anonymous, unless another part is not valid.
        assert_eq!(sent(&layer, &[("one", "yes")]).await.identity(), None);
        assert_eq!(sent(&layer, &[("two", "no")]).await.status(), 401);

        let both = sent(&layer, &[("one", "yes"), ("three", "yes")]).await;
        assert_eq!(both.identity(), Some("one"));
        let identity = both.response.extensions().get::<Identity>().expect("an identity");
        assert_eq!((identity.get("one"), identity.get("two"), identity.get("three")), (Some("1"), None, Some("1")));
        assert_eq!(both.seen().get_all("x-written").iter().collect::<Vec<_>>(), ["one", "three"]);
        assert_eq!(both.response.headers().get_all("set-cookie").iter().collect::<Vec<_>>(), ["one", "three"]);
        let challenges = r#"one realm="gateway", two realm="gateway", three realm="gateway""#;
        assert_eq!(sent(&layer, &[("two", "no")]).await.challenges(), [challenges]);
    }
}

#[tokio::test]
async fn closures_are_schemes() {
    let layer = AuthLayer::new(|head: RequestHead<'_>| {
        let is_get = head.method == Method::GET;
        async move { if is_get { Ok(Identity::new("reader", Mechanism::Custom)) } else { Err(AuthFailure::Missing) } }
    });
    assert_eq!(sent(&layer, &[]).await.identity(), Some("reader"));
    assert_eq!(send(&layer, Request::post("/").body(()).expect("a request")).await.status(), 403);
}

#[tokio::test]
async fn each_request_is_counted_once() {
    let layer = AuthLayer::new(Test::new("one")).or(Test::slow("two")).require(Requirements::new().names(["two"]));
    let copy = layer.clone();
    for fields in [
        [("one", "yes")],
        [("two", "yes")],
        [("two", "no")],
        [("two", "denied")],
        [("two", "unavailable")],
        [("x", "")],
    ] {
        sent(&copy, &fields).await;
    }
    let stats = layer.stats();
    assert_eq!((stats.allowed, stats.forbidden, stats.anonymous), (1, 1, 0));
    assert_eq!((stats.invalid, stats.denied, stats.unavailable, stats.missing), (1, 1, 1, 1));
    let [one, two] = &stats.schemes[..] else { panic!("two schemes") };
    assert_eq!((one.accepted, one.missing), (1, 5));
    assert_eq!((two.accepted, two.missing, two.invalid, two.denied, two.unavailable), (1, 1, 1, 1, 1));
    assert_eq!((&two.invalid_reasons[..], one.invalid_reasons.len()), (&[("no", 1)][..], 0));
}

#[tokio::test]
async fn responses_have_a_body_that_programs_can_read() {
    let layer = AuthLayer::new(Test::new("one"));
    let outcome = sent(&layer, &[("accept", "application/json")]).await;
    let body = outcome.response.into_body().into_own().expect("a body");
    let document: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((document["status"].as_u64(), document["code"].as_str()), (Some(401), Some("missing_credentials")));
}

#[tokio::test]
async fn credentials_are_not_shown_by_debug() {
    let layer = AuthLayer::new(|head: RequestHead<'_>| {
        assert!(!format!("{head:?}").contains("hunter2"), "{head:?}");
        async { Ok(Identity::new("a", Mechanism::Custom)) }
    });
    assert_eq!(sent(&layer, &[("authorization", "Bearer hunter2")]).await.status(), 200);
}

proptest! {
    #[test]
    fn no_request_reaches_the_backend_with_an_identity_that_was_not_verified(
        fields in proptest::collection::vec(
            (
                "([xX][-_.~][aA]uth[-_.!][uU]ser|[xX][-_][wW]ritten|authorization|connection|trailer|x-api-key|[a-z]{1,3})",
                "([ -~]{0,20}|(basic|bearer) [A-Za-z0-9+/=:]{0,20}|[xX][-_]auth[-_]user)",
            ),
            0..8,
        ),
        query in "[a-z&=%_]{0,12}",
        is_optional: bool,
    ) {
        let mut layer = AuthLayer::new(ApiKey::header(ApiKeys::default()))
            .or(ApiKey::bearer(ApiKeys::default()))
            .or(ApiKey::query("key", ApiKeys::default()))
            .or(Test::new("nothing"));
        if is_optional {
            layer = layer.optional();
        }
        let request = fields.iter().fold(Request::get(format!("/?{query}")), |request, (name, value)| {
            request.header(name, value)
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let outcome = runtime.block_on(send(&layer, request.body(()).expect("a request")));
        prop_assert_eq!(outcome.identity(), None);
        prop_assert!(is_optional || outcome.seen.is_none());
        if let Some(seen) = &outcome.seen {
            let plain = |name: &str| name.replace(|char: char| !char.is_ascii_alphanumeric(), "-");
            for name in seen.headers.keys() {
                prop_assert!(!["x-auth-user", "x-written", "x-api-key"].contains(&plain(name.as_str()).as_str()), "{name}");
            }
            for announced in seen.headers.get_all("trailer") {
                prop_assert!(!plain(announced.to_str().expect("ASCII")).to_lowercase().contains("x-auth-user"));
            }
        }
    }
}

#[test]
fn a_layer_is_anonymous_if_it_has_no_scheme() {
    assert!(AuthLayer::anonymous().is_anonymous());
    assert!(!AuthLayer::new(Test::new("x-a")).optional().is_anonymous());
    assert!(!AuthLayer::anonymous().or(Test::new("x-a")).is_anonymous());
}

#[test]
fn the_identity_of_all_schemes_tells_the_users_of_each_apart() {
    let with = |name: &str| Authenticated::new(Identity::new(name, Mechanism::Basic));
    let partner = || Authenticated::new(Identity::new("partner", Mechanism::ApiKey));
    let merged = |name: &str| partner().merge(&with(name));
    assert_eq!(merged("ann").identity().other_schemes(), "basic:ann");
    assert_ne!(merged("ann"), merged("bob"));
    let three = |one: &str, two: &str| partner().merge(&with(one)).merge(&with(two));
    assert_ne!(three("ann", "bob"), merged("ann,basic:bob"));
    assert_eq!(three("ann", "bob"), partner().merge(&with("ann").merge(&with("bob"))));
}
