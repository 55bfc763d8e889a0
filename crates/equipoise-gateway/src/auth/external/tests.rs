use std::{future::pending, pin::Pin};

use equipoise_core::PickError;
use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use http_body_util::Empty;
use tower::service_fn;

use super::*;
use crate::auth::{AllOf, AnyOf};

/// The service responds with what `respond` makes of a request.
fn external(
    respond: impl Fn(Request<Full<Bytes>>) -> Option<Response<Empty<Bytes>>> + Send + Sync + 'static,
) -> External {
    let respond = Arc::new(respond);
    let service = service_fn(move |request| {
        let response = respond(request);
        async move { response.ok_or("away") }
    });
    External::new(service, "/auth").expect("a URI")
}

fn status(status: u16) -> Option<Response<Empty<Bytes>>> {
    Response::builder().status(status).body(Empty::new()).ok()
}

async fn decided(external: &External, uri: &str, fields: &[(HeaderName, &str)]) -> Result<Identity, String> {
    let request = fields.iter().fold(Request::get(uri), |request, (name, value)| request.header(name, *value));
    match external.authenticate(RequestHead::of(&request.body(()).expect("a request"))).await {
        Ok(authenticated) => Ok(authenticated.identity().clone()),
        Err(AuthFailure::Denied(denial)) => Err(denial.code().to_owned()),
        Err(AuthFailure::Unavailable { reason, .. }) => Err(reason.into_owned()),
        Err(failure) => Err(format!("{failure:?}")),
    }
}

#[tokio::test]
async fn the_response_of_the_service_decides() {
    let external = external(|request| match request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes) {
        Some(b"good") => Response::builder().header("x-auth-user", "ann").body(Empty::new()).ok(),
        Some(b"away") => None,
        Some(b"broken") => status(500),
        Some(_) => status(403),
        None => status(401),
    });
    let ask = async |value: &str| decided(&external, "/", &[(AUTHORIZATION, value)]).await;
    assert_eq!(ask("good").await, Ok(Identity::new("ann", Mechanism::External)));
    assert_eq!(ask("bad").await, Err("forbidden".into()));
    assert_eq!(decided(&external, "/", &[]).await, Err("unauthorized".into()));
    assert_eq!(ask("away").await, Err("the external service has failed: away".into()));
    assert_eq!(ask("broken").await, Err("the external service has responded with 500 Internal Server Error".into()));
    let stats = external.stats();
    assert_eq!((stats.requests, stats.failures, stats.timeouts, stats.waiting), (5, 2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_respond_denies() {
    let service = service_fn(|_| pending::<Result<Response<Empty<Bytes>>, BoxError>>());
    let external = External::new(service, "/auth").expect("a URI").timeout(Duration::from_secs(2));
    let start = Instant::now();
    let denied = Err("the external service has not responded in time".to_owned());
    assert_eq!(decided(&external, "/", &[]).await, denied);
    assert_eq!((start.elapsed(), external.stats().timeouts), (Duration::from_secs(2), 1));

    let open = external.fail_open(true);
    let identity = decided(&open, "/", &[]).await.expect("allowed");
    assert_eq!((identity.name(), identity.get("fail_open"), open.stats().fail_open), ("", Some("true"), 1));
}

#[tokio::test(start_paused = true)]
async fn the_head_decides_if_the_body_has_no_end() {
    let (_sender, body) = http_body_util::channel::Channel::<Bytes>::new(1);
    let body = parking_lot::Mutex::new(Some(body));
    let body = Arc::new(body);
    let service = service_fn(move |_| {
        let body = body.lock().take();
        async move { Response::builder().status(403).body(body.ok_or("away")?).map_err(|_| "invalid") }
    });
    let external = External::new(service, "/auth").expect("a URI").timeout(Duration::from_millis(50)).fail_open(true);
    assert_eq!(decided(&external, "/", &[]).await, Err("forbidden".into()));
    assert_eq!(external.stats().fail_open, 0);
}

#[tokio::test]
async fn few_requests_wait_at_once() {
    let service = service_fn(|_| pending::<Result<Response<Empty<Bytes>>, BoxError>>());
    let external = External::new(service, "/auth").expect("a URI").max_requests(1).fail_open(true);
    let request = Request::new(());
    let mut first = external.authenticate(RequestHead::of(&request));
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(Pin::new(&mut first).poll(cx))).await.is_pending());
    assert_eq!(external.stats().waiting, 1);
    assert_eq!(decided(&external, "/", &[]).await, Err("too many requests wait for the external service".into()));
    drop(first);
    assert_eq!((external.stats().waiting, external.stats().rejected), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn decisions_are_used_again_for_a_time() {
    let external = external(|request| match request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes) {
        Some(b"good") => status(200),
        Some(b"cookie") => Response::builder().header(SET_COOKIE, "a=1").body(Empty::new()).ok(),
        Some(b"broken") => status(500),
        _ => status(403),
    });
    let cached = external.cache(DecisionCache::new(Duration::from_secs(10)));
    let requests = async |seconds: u64, uri: &str, value: &str| {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        let before = cached.stats().requests;
        let _ = decided(&cached, uri, &[(AUTHORIZATION, value)]).await;
        cached.stats().requests - before
    };
    for (seconds, uri, value, expected) in [
        (0, "/", "good", 1),
        (9, "/", "good", 0),
        (0, "/other", "good", 1),
        (1, "/", "good", 1),
        (0, "/", "bad", 1),
        (0, "/", "bad", 0),
        (0, "/", "broken", 1),
        (0, "/", "broken", 1),
        (0, "/", "cookie", 1),
        (0, "/", "cookie", 1),
    ] {
        assert_eq!(requests(seconds, uri, value).await, expected, "{seconds} {uri} {value}");
    }
    assert_eq!(cached.stats().cache_hits, 2);
}

#[tokio::test]
async fn decisions_by_fields_are_for_all_targets() {
    let cache = DecisionCache::new(Duration::from_secs(10)).by_fields([COOKIE]).expect("fields");
    let external = external(|_| status(200)).cache(cache);
    for uri in ["/a", "/b"] {
        assert!(decided(&external, uri, &[(COOKIE, "a=1")]).await.is_ok());
    }
    assert_eq!(external.stats().requests, 1);
}

#[test]
fn only_targets_of_http_are_accepted() {
    let refused = |uri: &str| {
        External::new(service_fn(async |_| Ok::<_, BoxError>(Response::new(Empty::<Bytes>::new()))), uri).err()
    };
    for uri in ["/", "/auth?x", "http://auth.test", "https://auth.test:8443/a"] {
        assert_eq!(refused(uri), None, "{uri}");
    }
    for uri in ["", "auth", "auth.test:80", "*", "ftp://auth.test/", "/a b", "http://"] {
        assert_eq!(refused(uri), Some(InvalidExternal::Uri { uri: uri.to_owned() }), "{uri}");
    }
}

#[tokio::test]
async fn an_ambiguous_path_does_not_reach_the_service() {
    let new = || external(|_| status(200));
    for external in [new(), new().with_path(), new().with_path().ambiguous_paths(true)] {
        for path in ["/../admin", "/a/%2e%2e/b", "/a%2Fb", "//a"] {
            assert_eq!(decided(&external, path, &[]).await, Err("ambiguous_path".into()), "{path}");
        }
        assert!(decided(&external, "/a/b?c=..", &[]).await.is_ok());
        assert!(decided(&external, "*", &[]).await.is_ok());
        assert_eq!(external.stats().requests, 2);
    }
    assert!(decided(&new().ambiguous_paths(true), "/a%2Fb", &[]).await.is_ok());
}

#[tokio::test]
async fn a_status_that_a_client_can_cause_opens_nothing() {
    let answer = |response: Response<Empty<Bytes>>| external(move |_| Some(response.clone())).fail_open(true);
    for status in [101, 204, 302, 304, 400, 404, 407, 413, 414, 429, 431] {
        // The field with the name is no text.
        let response = Response::builder().status(status).header("x-auth-user", &b"\xff"[..]);
        let external = answer(response.body(Empty::new()).expect("a response"));
        assert!(decided(&external, "/", &[]).await.is_err(), "{status}");
        assert_eq!((external.stats().failures, external.stats().fail_open), (1, 0), "{status}");
    }
    for status in [500, 502, 503, 504] {
        let external = answer(Response::builder().status(status).body(Empty::new()).expect("a response"));
        assert_eq!(decided(&external, "/", &[]).await.expect("allowed").get("fail_open"), Some("true"));
    }
    assert!(decided(&external(|_| None).fail_open(true), "/", &[]).await.is_ok());
}

#[tokio::test]
async fn a_pool_that_is_full_opens_nothing() {
    let failing = |error: PickError| {
        let service = service_fn(move |_| {
            let error = equipoise_tower::Error::Pick(error.clone());
            async { Err::<Response<Empty<Bytes>>, _>(error) }
        });
        External::new(service, "/auth").expect("a URI").fail_open(true)
    };
    assert!(decided(&failing(PickError::Saturated), "/", &[]).await.is_err());
    assert!(decided(&failing(PickError::Empty), "/", &[]).await.is_ok());
    assert!(decided(&failing(PickError::Unavailable { members: 1 }), "/", &[]).await.is_ok());
}

#[tokio::test]
async fn invalid_credentials_do_not_pass_while_the_service_is_away() {
    let invalid = |_: RequestHead<'_>| async { Err::<Identity, _>(AuthFailure::invalid("wrong_password")) };
    let missing = |_: RequestHead<'_>| async { Err::<Identity, _>(AuthFailure::Missing) };
    let known = |_: RequestHead<'_>| async { Ok(Identity::new("ann", Mechanism::Basic)) };
    let away = || external(|_| None).fail_open(true);
    let request = Request::new(());
    let name = async |scheme: AnyOf| {
        let decision = scheme.authenticate(RequestHead::of(&request)).await;
        decision.map(|accepted| accepted.identity().name().to_owned()).map_err(|failure| format!("{failure:?}"))
    };
    for scheme in [AnyOf::new(invalid).or(away()), AnyOf::new(away()).or(invalid)] {
        assert!(name(scheme).await.is_err_and(|failure| failure.contains("wrong_password")));
    }
    // Another failure does not hide that credentials are not valid.
    let unavailable = |_: RequestHead<'_>| async { Err::<Identity, _>(AuthFailure::unavailable("no keys")) };
    assert!(name(AnyOf::new(away()).or(unavailable).or(invalid)).await.is_err());
    assert_eq!(name(AnyOf::new(missing).or(away())).await, Ok(String::new()));
    // An identity is better than none.
    assert_eq!(name(AnyOf::new(away()).or(known)).await, Ok("ann".into()));
    // A part of a combination is no better than the service alone.
    let both = AllOf::new(known).and(away());
    assert!(name(AnyOf::new(both).or(invalid)).await.is_err());
}

#[tokio::test]
async fn fields_of_the_framing_are_refused_in_each_list() {
    type List = fn(External, [HeaderName; 2]) -> Result<External, InvalidExternal>;
    let lists: [List; 4] = [
        |external, fields| external.send_fields(fields),
        |external, fields| external.forward_fields(fields),
        |external, fields| external.denial_fields(fields),
        |external, fields| external.response_fields(fields),
    ];
    let token = HeaderName::from_static("x-token");
    for set in lists {
        for name in [
            "content-length",
            "content-encoding",
            "transfer-encoding",
            "connection",
            "host",
            "te",
            "trailer",
            "upgrade",
        ] {
            let field = HeaderName::from_static(name);
            let refused = set(external(|_| status(200)), [token.clone(), field.clone()]).map(drop);
            assert_eq!(refused, Err(InvalidExternal::Framing { field }));
        }
        assert!(set(external(|_| status(200)), [token.clone(), AUTHORIZATION]).is_ok());
    }
}

#[tokio::test]
async fn what_the_service_answers_sets_no_field_of_the_framing() {
    let external = external(|request| {
        assert!(!request.headers().contains_key("content-length"));
        Response::builder()
            .header("content-length", "5")
            .header("host", "other.test")
            .header("x-token", "t")
            .body(Empty::new())
            .ok()
    });
    let token = || [HeaderName::from_static("x-token")];
    let external = external.send_all_fields().forward_fields(token()).expect("fields");
    let external = external.response_fields(token()).expect("fields");
    assert_eq!(external.written_fields(), ["x-token"]);
    let request = Request::get("/").header("content-length", "5").body(()).expect("a request");
    let allowed = external.authenticate(RequestHead::of(&request)).await.expect("allowed");
    assert!(allowed.fields().chain(allowed.response_fields()).all(|(name, _)| name == "x-token"));
}

#[test]
fn a_service_sets_no_field_in_which_proxies_tell_about_clients() {
    for name in ["x-forwarded-for", "x-forwarded-proto", "forwarded", "via", "x-real-ip", "client-cert", "content-type"]
    {
        let field = HeaderName::from_static(name);
        let refused = external(|_| status(200)).forward_fields([AUTHORIZATION, field.clone()]).map(drop);
        assert_eq!(refused, Err(InvalidExternal::Reserved { field }));
    }
    assert!(external(|_| status(200)).forward_fields([AUTHORIZATION, COOKIE]).is_ok());
}
