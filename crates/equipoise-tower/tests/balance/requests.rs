//! The key by which a request is picked, and the changes that direct it to an endpoint.

use equipoise_core::{Endpoint, EndpointId, EndpointSpec, Pool};
use equipoise_tower::{
    Balance, BalanceLayer, Error, HttpProtocol, PlainProtocol, PointAt, PointError, ServedBy, UnsupportedRequest,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, service_fn};

use crate::common::{Frames, Mock, Once, echo, get, in_flight, mock, pool, post};

#[tokio::test]
async fn the_key_reaches_the_strategy() {
    let (pool, _) = pool(&[("a", echo()), ("b", echo()), ("c", echo())]);
    let http = HttpProtocol::new().key(|request| Some(request.headers.get("x-user")?.as_bytes().into()));
    let balance = Balance::with_protocol(pool, http);
    for (user, served_by) in [(Some("b"), "b"), (Some("c"), "c"), (Some("nobody"), "a"), (None, "a")] {
        let mut request = get();
        if let Some(user) = user {
            request.headers_mut().insert("x-user", user.parse().unwrap());
        }
        let response = balance.clone().oneshot(request).await.unwrap();
        assert_eq!(response.extensions().get(), Some(&ServedBy(served_by.into())), "{user:?}");
    }
}

#[tokio::test]
async fn the_key_is_taken_from_the_request_as_it_came_also_for_the_second_try() {
    let pool = pool(&[("127.0.0.1:1", ()), ("127.0.0.1:2", ()), ("127.0.0.1:3", ())]).0;
    // The key is the authority of the URI, which is replaced for each attempt. The first attempt goes to 3 and fails.
    // For the second attempt, the key must still be 3, and endpoint 1 is picked.
    let http = HttpProtocol::new().key(|request| Some(request.uri.authority()?.as_str().as_bytes().into()));
    let client = service_fn(|request: Request<Once>| async move {
        let at = request.uri().authority().unwrap().to_string();
        assert_eq!(request.headers()["host"], "127.0.0.1:3");
        if at == "127.0.0.1:3" { Err(crate::common::not_sent()) } else { Ok(Response::new(Frames::default())) }
    });
    let request = Request::get("http://127.0.0.1:3/").body(Full::default().boxed()).unwrap();
    let response = BalanceLayer::with_protocol(pool, http).layer(client).oneshot(request).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&ServedBy("127.0.0.1:1".into())));
}

/// A client that checks the path and returns the body.
fn client() -> Mock {
    mock(|request: Request<Once>| async {
        assert_eq!(request.uri().path(), "/today");
        let body = request.into_body().collect().await?.to_bytes();
        Ok(Response::new(Frames::default().data(if body == "order" { "order" } else { "?" })))
    })
}

#[tokio::test]
async fn addresses_that_are_none_are_passed_over_with_the_body_untouched() {
    let (pool, recorder) = pool(&[("no-such-thing", ()), ("10.0.0.1:80/path", ()), ("10.0.0.1:80", ())]);
    let response = BalanceLayer::new(pool.clone()).layer(client()).oneshot(post("order")).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&ServedBy("10.0.0.1:80".into())));
    assert_eq!(response.collect().await.unwrap().to_bytes(), "order");
    assert_eq!(recorder.admit(), ["no-such-thing", "10.0.0.1:80/path", "10.0.0.1:80"]);
    assert_eq!(in_flight(&pool), [0, 0, 0]);
}

#[tokio::test]
async fn an_address_that_is_none_is_a_typed_error_when_no_endpoint_is_left() {
    let alone = pool(&[("no-such-thing", ())]).0;
    let several = pool(&[("10.0.0.1:80/path", ()), ("no-such-thing", ())]).0;
    for pool in [alone, several] {
        let error = BalanceLayer::new(pool.clone()).layer(client()).oneshot(get()).await.unwrap_err();
        assert_eq!(error.endpoint().map(EndpointId::as_str), Some("no-such-thing"));
        assert!(matches!(error, Error::Address { source, .. } if source.address() == "no-such-thing"));
        assert!(in_flight(&pool).iter().all(|&count| count == 0));
    }
}

#[tokio::test]
async fn a_custom_request_type_is_pointed_by_its_own_implementation() {
    struct Query(String);
    impl PointAt for Query {
        fn point_at(&mut self, endpoint: &Endpoint) -> Result<(), PointError> {
            self.0 = format!("{} at {}", self.0, endpoint.address());
            Ok(())
        }
    }
    let pool: Pool<()> = Pool::default();
    pool.add(EndpointSpec::new("shard-7").with_id("seven"), ()).unwrap();
    let client = service_fn(|query: Query| async { Ok::<_, std::io::Error>(query.0) });
    let balanced = BalanceLayer::with_protocol(pool, PlainProtocol::new()).layer(client);
    assert_eq!(balanced.oneshot(Query("select".into())).await.unwrap(), "select at shard-7");
}

#[tokio::test]
async fn connect_is_refused_over_a_shared_client_and_no_endpoint_is_blamed() {
    let (pool, recorder) = pool(&[("10.0.0.1:80", ()), ("10.0.0.2:80", ())]);
    let client = mock(|_| async { panic!("it must not be sent") });
    let request = || Request::connect("shop.example:443").body(Full::default().boxed()).unwrap();
    let error = BalanceLayer::new(pool.clone()).layer(client).oneshot(request()).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported(_)), "{error:?}");
    assert_eq!(error.status(), StatusCode::NOT_IMPLEMENTED);
    assert!(error.to_string().contains("Balance::new"), "{error}");
    assert_eq!(recorder.admit(), ["10.0.0.1:80"], "no other endpoint is tried");
    assert_eq!(recorder.verdicts(), [("10.0.0.1:80".into(), equipoise_core::Verdict::Neutral)]);
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[tokio::test]
async fn connect_keeps_its_target_where_endpoints_are_services() {
    let proxy = mock(|request: Request<Once>| async move {
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::CONNECT, "shop.example:443"));
        assert!(request.headers().is_empty());
        Ok(Response::new(Frames::default()))
    });
    let request = Request::connect("shop.example:443").body(Full::default().boxed()).unwrap();
    Balance::new(pool(&[("a", proxy)]).0).oneshot(request).await.unwrap();
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn extended_connect_is_pointed_like_any_other_request() {
    let client = mock(|request: Request<Once>| async move {
        assert_eq!(request.uri(), "http://10.0.0.1:80/chat");
        Ok(Response::new(Frames::default()))
    });
    let mut request = Request::connect("http://shop.example/chat").body(Full::default().boxed()).unwrap();
    *request.version_mut() = http::Version::HTTP_2;
    request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
    BalanceLayer::new(pool(&[("10.0.0.1:80", ())]).0).layer(client).oneshot(request).await.unwrap();
}

#[tokio::test]
async fn a_balancer_that_refuses_a_request_is_not_blamed_by_the_one_above() {
    let refusing = || {
        let endpoints = pool(&[("10.0.0.1:80", ())]).0;
        BalanceLayer::new(endpoints).layer(mock(|_| async { panic!("it must not be sent") }))
    };
    let (zones, recorder) = pool(&[("one", refusing()), ("two", refusing())]);
    let request = Request::connect("shop.example:443").body(Full::default().boxed()).unwrap();
    Balance::new(zones).oneshot(request).await.unwrap_err();
    assert_eq!(recorder.verdicts(), [("one".into(), equipoise_core::Verdict::Neutral)]);
}

#[tokio::test]
async fn a_request_type_of_the_users_may_refuse_to_be_pointed() {
    struct Local;
    impl PointAt for Local {
        fn point_at(&mut self, _: &Endpoint) -> Result<(), PointError> {
            Err(UnsupportedRequest::new("it stays here").into())
        }
    }
    let client = service_fn(|_: Local| async { Ok::<_, std::io::Error>(()) });
    let balanced = BalanceLayer::with_protocol(pool(&[("a", ())]).0, PlainProtocol::new()).layer(client);
    assert_eq!(balanced.oneshot(Local).await.unwrap_err().to_string(), "it stays here");
}
