//! Redirects: a request that was answered with a redirect is not sent to another endpoint.

use bytes::Bytes;
use equipoise::{
    Verdict,
    tower::{BalanceLayer, BoxError, ReqwestService},
};
use equipoise_tests::{Backend, Reserved, soon};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use reqwest::{Body, Client};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::follow_redirect::FollowRedirect;

use crate::setup::{client, pool};

/// A backend that redirects to `location` after each order.
fn redirecting(location: String) -> Backend {
    Backend::answering(move |seen| {
        let mut response = Response::new(Full::from("done").map_err(|error| match error {}).boxed());
        if seen.method == http::Method::POST {
            *response.status_mut() = StatusCode::SEE_OTHER;
            response.headers_mut().insert("location", location.parse().unwrap());
        }
        response
    })
    .unwrap()
}

fn order() -> Request<Body> {
    Request::post("http://orders/").body(Body::from("order")).unwrap()
}

#[tokio::test]
async fn reqwest_passes_a_redirect_on() {
    let [a, b] = [(); 2].map(|()| redirecting("http://orders.invalid/1".to_owned()));
    let (both, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
    // The same must hold with every setting of the builder.
    let builder = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::limited(10));
    let balanced = BalanceLayer::new(both).layer(ReqwestService::build(builder).unwrap());
    let response = soon(balanced.oneshot(order())).await.unwrap();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    drop(response);
    assert_eq!((a.served(), b.served()), (1, 0));
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Success)]);
}

#[tokio::test]
async fn a_client_that_follows_redirects_itself_places_one_order() {
    let reserved = Reserved::new().unwrap();
    let [a, b] = [(); 2].map(|()| redirecting(format!("http://{}/", reserved.address())));
    let (both, _) = pool(&[("a", a.address()), ("b", b.address())]);
    let client = Client::builder().no_proxy().build().unwrap();
    let following = service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move { Ok::<_, BoxError>(Response::from(client.execute(request.try_into()?).await?)) }
    });
    soon(BalanceLayer::new(both).layer(following).oneshot(order())).await.unwrap_err();
    assert_eq!((a.served(), b.served()), (1, 0));
}

#[tokio::test]
async fn redirects_that_are_followed_above_the_balancer_are_balanced() {
    let a = redirecting("http://orders/1".to_owned());
    let (one, _) = pool(&[("a", a.address())]);
    let following = FollowRedirect::new(BalanceLayer::new(one).layer(client()));
    let request = Request::post("http://orders/").body(Full::<Bytes>::from("order")).unwrap();
    let response = soon(following.oneshot(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let seen: Vec<_> = a.seen().iter().map(|seen| format!("{} {}", seen.method, seen.uri.path())).collect();
    assert_eq!(seen, ["POST /", "GET /1"]);
}
