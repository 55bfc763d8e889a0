//! What was never sent goes elsewhere whatever the method, and what the client itself refuses is nobody's fault.

use equipoise::{
    Failure, Verdict,
    tower::{BalanceLayer, Http, ReqwestService},
};
use equipoise_tests::{Backend, Peer, Scripted, soon};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt};

use crate::setup::{client, closing_before_the_head, get, pool, request};

#[tokio::test]
async fn a_post_that_found_its_connection_closed_goes_elsewhere() {
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
    // Not all: where the head went out before the close was noticed, the endpoint may have acted on it.
    assert!(answered > 0);
}

#[tokio::test]
async fn a_version_that_the_client_does_not_speak_is_not_the_endpoints_fault() {
    let (a, b) = (Backend::start("a").unwrap(), Backend::start("b").unwrap());
    let (pool, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
    let mut request = get();
    *request.version_mut() = Version::HTTP_2;
    assert!(soon(BalanceLayer::new(pool).layer(client()).oneshot(request)).await.is_err());
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Neutral)]);
}

#[tokio::test]
async fn reqwest_repeats_bytes_as_it_does_alone() {
    let reqwest = || ReqwestService::new(reqwest::Client::builder().no_proxy().build().unwrap());
    let redirecting = || {
        Backend::answering(|seen| {
            let mut response = Response::new(Full::from("done").map_err(|error| match error {}).boxed());
            if seen.uri.path() == "/old" {
                *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
                response.headers_mut().insert("location", "/new".parse().unwrap());
            }
            response
        })
        .unwrap()
    };
    let (a, b) = (redirecting(), redirecting());
    let (both, _) = pool(&[("a", a.address()), ("b", b.address())]);
    let order = || reqwest::Body::from("order");
    let redirected = Request::post("http://orders/old").body(order()).unwrap();
    let response = soon(BalanceLayer::new(both).layer(reqwest()).oneshot(redirected)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);

    let (dying, b) = (closing_before_the_head(5), Backend::start("b").unwrap());
    let (both, recorder) = pool(&[("a", dying.address()), ("b", b.address())]);
    let balance = BalanceLayer::with_protocol(both, Http::new().idempotent(|_| true)).layer(reqwest());
    let response = soon(balance.oneshot(Request::put("http://orders/").body(order()).unwrap())).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(recorder.verdicts()[0], ("a".into(), Verdict::Failure(Failure::Transport)));
}
