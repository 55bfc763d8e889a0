use bytes::Bytes;
use equipoise::{
    EndpointId,
    tower::{BalanceLayer, Error, HttpProtocol, ServedBy},
};
use equipoise_tests::{Backend, soon};
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::Layer;

use crate::setup::{client, get, in_flight, pool};

#[tokio::test]
async fn the_backend_sees_the_requested_path_and_host() {
    let a = Backend::start("a").unwrap();
    let (pool, _) = pool(&[("a", a.address())]);
    let balanced = BalanceLayer::new(pool).layer(client());
    let asked = Request::get("http://orders:8080/today?page=2").body(Full::<Bytes>::default()).unwrap();
    let proxied = Request::get("/today?page=2").header("host", "shop.example").body(Full::default()).unwrap();
    for request in [asked, proxied] {
        soon(balanced.clone().oneshot(request)).await.unwrap();
    }
    let seen: Vec<_> = a.seen();
    assert!(seen.iter().all(|seen| seen.uri == "/today?page=2"), "{seen:?}");
    assert_eq!(
        seen.iter().map(|seen| seen.header("host")).collect::<Vec<_>>(),
        [Some("orders:8080"), Some("shop.example")]
    );
}

#[tokio::test]
async fn credentials_in_the_uri_do_not_reach_the_backend_in_host() {
    let a = Backend::start("a").unwrap();
    let (pool, _) = pool(&[("a", a.address())]);
    let request = Request::get("http://user:secret@orders:8080/today").body(Full::<Bytes>::default()).unwrap();
    soon(BalanceLayer::new(pool).layer(client()).oneshot(request)).await.unwrap();
    let seen = a.seen();
    assert_eq!(seen[0].header("host"), Some("orders:8080"));
    assert!(!format!("{seen:?}").contains("secret"));
}

#[tokio::test]
async fn a_scheme_in_the_address_is_part_of_the_address() {
    let a = Backend::start("a").unwrap();
    let (pool, _) = pool(&[("a", format!("http://{}", a.address()))]);
    let request = Request::get("https://orders/").body(Full::<Bytes>::default()).unwrap();
    let response = soon(BalanceLayer::new(pool).layer(client()).oneshot(request)).await.unwrap();
    assert_eq!(soon(response.collect()).await.unwrap().to_bytes(), "a");
}

#[tokio::test]
async fn responses_name_their_endpoint_and_on_request_in_a_header() {
    let header = HeaderName::from_static("x-served-by");
    let claims = |_: &equipoise_tests::Seen| {
        let body = Full::default().map_err(|never| match never {}).boxed();
        Response::builder().header("x-served-by", "somebody else").body(body).unwrap()
    };
    let a = Backend::answering(claims).unwrap();
    for (http, named) in [(HttpProtocol::new(), "somebody else"), (HttpProtocol::new().header(header.clone()), "a")] {
        let (pool, _) = pool(&[("a", a.address())]);
        let response = soon(BalanceLayer::with_protocol(pool, http).layer(client()).oneshot(get())).await.unwrap();
        assert_eq!(response.extensions().get(), Some(&ServedBy("a".into())));
        assert_eq!(response.headers().get_all(&header).iter().collect::<Vec<_>>(), [named]);
    }
}

#[tokio::test]
async fn an_invalid_address_is_skipped_and_named_if_no_endpoint_is_left() {
    let b = Backend::start("b").unwrap();
    let none = ("a", "10.0.0.1:80/path".to_owned());
    let (some, _) = pool(&[none.clone(), ("b", b.address())]);
    let response = soon(BalanceLayer::new(some.clone()).layer(client()).oneshot(get())).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&ServedBy("b".into())));
    drop(response);
    assert_eq!(in_flight(&some), [0, 0]);

    let (unusable, _) = pool(&[none, ("c", "no-such-thing".to_owned())]);
    let error = soon(BalanceLayer::new(unusable.clone()).layer(client()).oneshot(get())).await.unwrap_err();
    assert!(matches!(error, Error::Address { .. }), "{error:?}");
    assert_eq!(error.endpoint().map(EndpointId::as_str), Some("c"));
    assert_eq!(in_flight(&unusable), [0, 0]);
}
