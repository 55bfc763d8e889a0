use std::{io, sync::Arc};

use bytes::Bytes;
use equipoise::{
    Failure, Pool, Verdict,
    tower::{Balance, BalanceLayer, HttpProtocol, LeasedBody, ServedBy, SharedClient},
};
use equipoise_tests::{Backend, Peer, Recorder, Scripted, soon};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use tokio::sync::Notify;
use tower::Layer;

use crate::setup::{client, get, in_flight, pool};

const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";

/// A backend that sends half of its response and runs `then` on a signal.
fn halting<F>(then: impl Fn(Peer) -> F + Clone + Send + 'static) -> (Scripted, Arc<Notify>)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let go = Arc::new(Notify::new());
    let signal = Arc::clone(&go);
    let script = move |mut peer: Peer| {
        let (signal, then) = (Arc::clone(&signal), then.clone());
        async move {
            peer.head().await?;
            peer.send(HALF).await?;
            signal.notified().await;
            then(peer).await
        }
    };
    (Scripted::start(script).unwrap(), go)
}

type Balanced = Balance<(), SharedClient<Client<HttpConnector, Full<Bytes>>>>;

/// A balancer over `a`, the scripted backend, and `b`, which answers requests whose key is `b`.
fn beside_a_healthy_one(a: &Scripted, b: &Backend) -> (Balanced, Pool<()>, Recorder) {
    let (pool, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
    let http = HttpProtocol::new().key(|request| Some(request.headers.get("x-to")?.as_bytes().into()));
    (BalanceLayer::with_protocol(pool.clone(), http).layer(client()), pool, recorder)
}

async fn half(balanced: &Balanced) -> Response<LeasedBody<Incoming>> {
    let mut response = soon(balanced.clone().oneshot(get())).await.unwrap();
    let half = soon(response.frame()).await.unwrap().unwrap();
    assert_eq!(half.data_ref().unwrap(), "half");
    response
}

async fn answered_by_b(balanced: &Balanced) {
    let request = Request::get("/").header("x-to", "b").body(Full::default()).unwrap();
    let response = soon(balanced.clone().oneshot(request)).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&ServedBy("b".into())));
    assert_eq!(soon(response.collect()).await.unwrap().to_bytes(), "b");
}

#[tokio::test]
async fn a_reset_within_the_body_is_a_failure_of_that_endpoint_only() {
    let (a, go) = halting(|peer| async move { peer.reset() });
    let b = Backend::start("b").unwrap();
    let (balanced, pool, recorder) = beside_a_healthy_one(&a, &b);
    let mut response = half(&balanced).await;
    assert_eq!(in_flight(&pool), [1, 0]);
    assert_eq!(recorder.verdicts(), []);
    answered_by_b(&balanced).await;
    go.notify_one();
    soon(response.frame()).await.unwrap().unwrap_err();
    // The error ends the lease, although the response still exists.
    assert_eq!(in_flight(&pool), [0, 0]);
    let verdicts = [("b".into(), Verdict::Success), ("a".into(), Verdict::Failure(Failure::Transport))];
    assert_eq!(recorder.verdicts(), verdicts);
    drop(response);
    answered_by_b(&balanced).await;
    assert_eq!(recorder.verdicts().len(), 3);
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[tokio::test]
async fn a_body_cut_short_is_the_endpoints_failure() {
    let (a, go) = halting(|_| async { Ok(()) });
    let b = Backend::start("b").unwrap();
    let (balanced, pool, recorder) = beside_a_healthy_one(&a, &b);
    let mut response = half(&balanced).await;
    go.notify_one();
    soon(response.frame()).await.unwrap().unwrap_err();
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Failure(Failure::Transport))]);
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[tokio::test]
async fn a_lease_lasts_until_the_body_has_ended() {
    let (a, go) = halting(|mut peer| async move { peer.send("half").await });
    let b = Backend::start("b").unwrap();
    let (balanced, pool, recorder) = beside_a_healthy_one(&a, &b);
    let response = half(&balanced).await;
    assert_eq!(in_flight(&pool), [1, 0]);
    assert_eq!(recorder.log().released, [""; 0]);
    go.notify_one();
    assert_eq!(soon(response.collect()).await.unwrap().to_bytes(), "half");
    assert_eq!(in_flight(&pool), [0, 0]);
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Success)]);
}

#[tokio::test]
async fn a_body_dropped_half_way_releases_the_lease_without_a_verdict() {
    let (a, _go) = halting(|_| async { Ok(()) });
    let b = Backend::start("b").unwrap();
    let (balanced, pool, recorder) = beside_a_healthy_one(&a, &b);
    drop(half(&balanced).await);
    assert_eq!(in_flight(&pool), [0, 0]);
    assert_eq!(recorder.log().released, ["a"]);
    assert_eq!(recorder.verdicts(), []);
    answered_by_b(&balanced).await;
}

#[tokio::test]
async fn a_request_dropped_before_the_head_releases_the_lease_without_a_verdict() {
    let read = Arc::new(Notify::new());
    let signal = Arc::clone(&read);
    let a = Scripted::start(move |mut peer: Peer| {
        let signal = Arc::clone(&signal);
        async move {
            peer.head().await?;
            signal.notify_one();
            peer.closed().await;
            Ok(())
        }
    })
    .unwrap();
    let b = Backend::start("b").unwrap();
    let (balanced, pool, recorder) = beside_a_healthy_one(&a, &b);
    {
        let mut response = std::pin::pin!(balanced.clone().oneshot(get()));
        soon(async {
            tokio::select! {
                answer = &mut response => panic!("the server does not answer, and yet: {answer:?}"),
                () = read.notified() => {}
            }
        })
        .await;
        assert_eq!(in_flight(&pool), [1, 0]);
        answered_by_b(&balanced).await;
    }
    assert_eq!(in_flight(&pool), [0, 0]);
    assert_eq!(recorder.verdicts(), [("b".into(), Verdict::Success)]);
}
