//! reqwest's client under the balancer.

use std::convert::Infallible;

use bytes::Bytes;
use equipoise::{
    Failure, Verdict,
    tower::{BalanceLayer, ReqwestService, ServedBy},
};
use equipoise_tests::{Backend, Reserved, soon};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Frame;
use reqwest::{Body, Client};
use tower::{Layer, ServiceExt};

use crate::setup::{closing_before_the_head, in_flight, pool};

fn client() -> ReqwestService {
    ReqwestService::new(Client::builder().no_proxy().build().unwrap())
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
