//! Requests that were never sent go to another endpoint, for every method. Requests that the client itself refuses do
//! not count against an endpoint.

use equipoise::{
    Failure, Verdict,
    tower::{BalanceLayer, HttpProtocol, ReqwestService},
};
use equipoise_tests::{Backend, Peer, Scripted, soon};
use http::{Method, Request, StatusCode, Version};
use tower::Layer;

use crate::setup::{client, closing_before_the_head, get, pool, request};

#[tokio::test]
async fn a_post_on_a_closed_connection_goes_to_another_endpoint() {
    let mut answered = 0;
    for _ in 0..20 {
        let closing = Scripted::start(|peer: Peer| async move {
            drop(peer);
            Ok(())
        })
        .unwrap();
        let b = Backend::start("b").unwrap();
        let (pool, _) = pool(&[("a", closing.address()), ("b", b.address())]);
        let outcome = soon(BalanceLayer::new(pool).layer(client()).oneshot(request(Method::POST, "order"))).await;
        answered += usize::from(outcome.is_ok());
        assert_eq!(b.seen().len(), usize::from(outcome.is_ok()));
    }
    // Not all requests go elsewhere: if the head was sent before the close was noticed, the endpoint may have processed
    // it.
    assert!(answered > 0);
}

#[tokio::test]
async fn an_http2_request_is_forwarded_over_http1() {
    let a = Backend::start("a").unwrap();
    let (pool, recorder) = pool(&[("a", a.address())]);
    let mut request = get();
    *request.version_mut() = Version::HTTP_2;
    let response = soon(BalanceLayer::new(pool).layer(client()).oneshot(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    drop(response);
    assert_eq!(a.seen()[0].header("host"), Some("orders"));
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Success)]);
}

#[tokio::test]
async fn an_unsupported_version_does_not_count_against_the_endpoint() {
    let (a, b) = (Backend::start("a").unwrap(), Backend::start("b").unwrap());
    let (pool, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
    let mut request = get();
    *request.version_mut() = Version::HTTP_3;
    assert!(soon(BalanceLayer::new(pool).layer(client()).oneshot(request)).await.is_err());
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Neutral)]);
}

#[tokio::test]
async fn a_reqwest_body_of_bytes_can_be_sent_again() {
    let order = || reqwest::Body::from("order");
    let (dying, b) = (closing_before_the_head(5), Backend::start("b").unwrap());
    let (both, recorder) = pool(&[("a", dying.address()), ("b", b.address())]);
    let reqwest = ReqwestService::build(reqwest::Client::builder().no_proxy()).unwrap();
    let balance = BalanceLayer::with_protocol(both, HttpProtocol::new().idempotent(|_| true)).layer(reqwest);
    let response = soon(balance.oneshot(Request::put("http://orders/").body(order()).unwrap())).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(recorder.verdicts()[0], ("a".into(), Verdict::Failure(Failure::Transport)));
}
