//! reqwest's client under the balancer.

use std::convert::Infallible;

use bytes::Bytes;
use equipoise::{
    Failure, InvalidSpec, UpdateError, Verdict,
    tower::{
        BalanceLayer, BalancedClient, BalancedClientError, Error, ReqwestError, ReqwestService, ServedBy,
        balanced_client,
    },
};
use equipoise_tests::{Backend, Reserved, soon};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Frame;
use reqwest::{Body, Client};
use tower::{Layer, ServiceExt};

use crate::setup::{closing_before_the_head, in_flight, pool};

fn client() -> ReqwestService {
    ReqwestService::build(Client::builder().no_proxy()).unwrap()
}

/// A body that can only be sent once.
fn once(text: &'static str) -> Body {
    struct Once(Option<Bytes>);
    impl http_body::Body for Once {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            std::task::Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
        }
    }
    Body::wrap(Once(Some(text.into())))
}

#[tokio::test]
async fn reqwests_client_is_balanced() {
    let (a, b) = (Backend::start("a").unwrap(), Reserved::new().unwrap());
    let (pool, recorder) = pool(&[("b", b.address()), ("a", a.address())]);
    let request = Request::post("http://orders/today?page=2").body(once("order")).unwrap();
    let response = soon(BalanceLayer::new(pool.clone()).layer(client()).oneshot(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.extensions().get(), Some(&ServedBy("a".into())));
    assert_eq!(soon(response.collect()).await.unwrap().to_bytes(), "a");
    let seen = a.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (&seen[0].body[..], seen[0].uri.path(), seen[0].header("host")),
        (&b"order"[..], "/today", Some("orders"))
    );
    let verdicts = [("b".into(), Verdict::Failure(Failure::Connect)), ("a".into(), Verdict::Success)];
    assert_eq!(recorder.verdicts(), verdicts);
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[tokio::test]
async fn credentials_in_the_uri_do_not_reach_the_backend_in_host() {
    let a = Backend::start("a").unwrap();
    let (pool, _) = pool(&[("a", a.address())]);
    let request = Request::get("http://user:secret@orders:8080/").body(Body::default()).unwrap();
    soon(BalanceLayer::new(pool).layer(client()).oneshot(request)).await.unwrap();
    let seen = a.seen();
    assert_eq!(seen[0].header("host"), Some("orders:8080"));
    assert!(!format!("{seen:?}").contains("secret"));
}

#[tokio::test]
async fn reqwests_errors_are_understood() {
    let (a, b) = (closing_before_the_head(0), Backend::start("b").unwrap());
    let (pool, _) = pool(&[("a", a.address()), ("b", b.address())]);
    let balanced = BalanceLayer::new(pool).layer(client());
    let get = Request::get("http://orders/").body(Body::default()).unwrap();
    let response = soon(balanced.clone().oneshot(get)).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&ServedBy("b".into())));
    let post = Request::post("http://orders/").body(Body::default()).unwrap();
    soon(balanced.oneshot(post)).await.unwrap_err();
    assert_eq!((a.requests(), b.served()), (2, 1));
}

#[tokio::test]
async fn a_response_keeps_the_url_of_the_endpoint() {
    let a = Backend::start("a").unwrap();
    let (pool, _) = pool(&[("a", a.address())]);
    let get = Request::get("http://orders/today?page=2").body(Body::default()).unwrap();
    let response = soon(BalanceLayer::new(pool).layer(client()).oneshot(get)).await.unwrap();
    let response = reqwest::Response::from(response.map(Body::wrap));
    assert_eq!(response.url().as_str(), format!("http://{}/today?page=2", a.address()));
}

#[tokio::test]
async fn reqwests_own_types_are_balanced() {
    let (a, b) = (Reserved::new().unwrap(), Backend::start("b").unwrap());
    let (pool, _) = pool(&[("a", a.address()), ("b", b.address())]);
    let client = BalancedClient::new(pool.clone(), Client::builder().no_proxy()).unwrap();
    let order = Client::new().post("http://orders/today").body("order").header("x-user", "7").build().unwrap();
    let response = soon(client.execute(order)).await.unwrap();
    assert_eq!(response.url().as_str(), "http://orders/today");
    assert_eq!(response.extensions().get(), Some(&ServedBy("b".into())));
    assert_eq!(in_flight(&pool), [0, 1], "the body has not been read");
    assert_eq!(soon(response.text()).await.unwrap(), "b");
    assert_eq!(in_flight(&pool), [0, 0]);
    let seen = &b.seen()[0];
    assert_eq!(
        (&seen.body[..], seen.header("host"), seen.header("x-user")),
        (&b"order"[..], Some("orders"), Some("7"))
    );
}

#[tokio::test]
async fn a_balanced_client_is_a_service_made_from_addresses() {
    fn shared<S: tower::Service<reqwest::Request, Response = reqwest::Response> + Clone + Send + Sync>(_: &S) {}
    let a = Backend::start("a").unwrap();
    let client = balanced_client([a.address()]).unwrap();
    shared(&client);
    let get = reqwest::Request::new(reqwest::Method::GET, "http://orders/".parse().unwrap());
    assert_eq!(soon(client.clone().oneshot(get)).await.unwrap().status(), 200);
    let nonsense = reqwest::Request::new(reqwest::Method::GET, "http://{{orders}}/".parse().unwrap());
    assert!(matches!(soon(client.execute(nonsense)).await.unwrap_err(), Error::Request { .. }));
    balanced_client(["a:1", "a:1"]).unwrap_err();
}

#[tokio::test]
async fn a_balanced_client_refuses_addresses_that_http_cannot_reach() {
    for address in ["a", "http://a:80/path", "http://me:secret@a:80", "ftp://a:80", "unix:///run/app.sock"] {
        for error in [
            balanced_client(["b:1", address]).expect_err(address),
            BalancedClient::new(pool(&[("a", address.to_owned())]).0, Client::builder()).expect_err(address),
        ] {
            let BalancedClientError::Endpoints(UpdateError::Invalid(InvalidSpec::Address { source, .. })) = error
            else {
                panic!("{address}: {error:?}")
            };
            assert_eq!(source.address(), address);
        }
    }
}

#[tokio::test]
async fn reqwests_own_error_is_the_source() {
    let a = Reserved::new().unwrap();
    let client = balanced_client([a.address()]).unwrap();
    let get = reqwest::Request::new(reqwest::Method::GET, "http://orders/".parse().unwrap());
    let error = soon(client.execute(get)).await.unwrap_err();
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<ReqwestError>());
    assert!(source.is_some_and(|error| error.get_ref().is_connect()), "{error:?}");
    assert_eq!(
        (error.status(), error.public_message()),
        (StatusCode::BAD_GATEWAY, "the backend could not be reached or failed")
    );
}
