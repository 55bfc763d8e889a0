use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use equipoise::{
    Failure, Verdict,
    tower::{BalanceLayer, Error, HttpProtocol, Replayable, ServedBy},
};
use equipoise_tests::{Backend, Peer, Reserved, Scripted, soon};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, channel::Channel};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::Layer;

use crate::setup::{client, closing_before_the_head, get, in_flight, pool, request};

type Streaming = Replayable<Channel<Bytes, io::Error>>;

/// A request with a streaming body, and the sender of its chunks.
fn streaming(method: Method) -> (http_body_util::channel::Sender<Bytes, io::Error>, Request<Streaming>) {
    let (pieces, body) = Channel::new(1);
    let request = Request::builder().method(method).uri("http://orders/today");
    (pieces, request.body(Replayable::new(body)).unwrap())
}

#[tokio::test]
async fn a_refused_post_goes_to_another_endpoint_with_its_complete_streaming_body() {
    let (a, b) = (Reserved::new().unwrap(), Backend::start("b").unwrap());
    let (pool, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
    let (mut pieces, request) = streaming(Method::POST);
    let sender = tokio::spawn(async move {
        for piece in ["one ", "two ", "three"] {
            pieces.send_data(piece.into()).await.unwrap();
        }
    });
    let response = soon(BalanceLayer::new(pool.clone()).layer(client()).oneshot(request)).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&ServedBy("b".into())));
    assert_eq!(soon(response.collect()).await.unwrap().to_bytes(), "b");
    soon(sender).await.unwrap();
    let seen = b.seen();
    assert_eq!(
        seen.iter().map(|seen| (&seen.method, &seen.body[..])).collect::<Vec<_>>(),
        [(&Method::POST, &b"one two three"[..])]
    );
    let verdicts = [("a".into(), Verdict::Failure(Failure::Connect)), ("b".into(), Verdict::Success)];
    assert_eq!(recorder.verdicts(), verdicts);
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[tokio::test]
async fn a_get_whose_connection_died_before_the_head_goes_to_another_endpoint() {
    let reset = |mut peer: Peer| async move {
        peer.head().await?;
        peer.reset()
    };
    for a in [closing_before_the_head(0), Scripted::start(reset).unwrap()] {
        let b = Backend::start("b").unwrap();
        let (pool, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
        let response = soon(BalanceLayer::new(pool).layer(client()).oneshot(get())).await.unwrap();
        assert_eq!(soon(response.collect()).await.unwrap().to_bytes(), "b");
        assert_eq!((a.requests(), b.served()), (1, 1));
        let verdicts = [("a".into(), Verdict::Failure(Failure::Transport)), ("b".into(), Verdict::Success)];
        assert_eq!(recorder.verdicts(), verdicts);
    }
}

#[tokio::test]
async fn a_get_whose_http2_connection_died_before_the_head_goes_to_another_endpoint() {
    let a = Scripted::start(|mut peer: Peer| async move {
        // HTTP/2's connection preface ends like the head of a request. After it, reads frames until the one that opens
        // the stream.
        peer.head().await?;
        peer.body(b"SM\r\n\r\n".len()).await?;
        loop {
            let frame = peer.body(9).await?;
            peer.body(usize::from(frame[1]) << 8 | usize::from(frame[2])).await?;
            if frame[3] == 1 {
                return Ok(());
            }
        }
    })
    .unwrap();
    let b = Backend::start("b").unwrap();
    let (pool, _) = pool(&[("a", a.address()), ("b", b.address())]);
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let response = soon(BalanceLayer::new(pool).layer(client).oneshot(get())).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&ServedBy("b".into())));
    assert_eq!((a.requests(), b.served()), (1, 1));
}

#[tokio::test]
async fn a_post_whose_connection_died_before_the_head_is_an_error_and_not_sent_twice() {
    let (a, b) = (closing_before_the_head(5), Backend::start("b").unwrap());
    let (pool, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
    let balanced = BalanceLayer::new(pool.clone()).layer(client());
    let error = soon(balanced.oneshot(request(Method::POST, "order"))).await.unwrap_err();
    assert!(matches!(&error, Error::Endpoint { endpoint, .. } if endpoint.as_str() == "a"), "{error:?}");
    assert_eq!((a.requests(), b.served()), (1, 0));
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Failure(Failure::Transport))]);
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[tokio::test]
async fn a_put_is_repeated_only_if_the_user_calls_it_idempotent() {
    let called =
        HttpProtocol::new().idempotent(|request| *request.method == Method::PUT && request.uri.path() == "/today");
    for (http, repeated) in [(HttpProtocol::new(), false), (called, true)] {
        let (a, b) = (closing_before_the_head(5), Backend::start("b").unwrap());
        let (pool, _) = pool(&[("a", a.address()), ("b", b.address())]);
        let balanced = BalanceLayer::with_protocol(pool, http).layer(client());
        let result = soon(balanced.oneshot(request(Method::PUT, "order"))).await;
        assert_eq!(result.is_ok(), repeated);
        assert_eq!((a.requests(), b.served()), (1, usize::from(repeated)));
        assert!(b.seen().iter().all(|seen| seen.body == "order"));
    }
}

#[tokio::test]
async fn a_streaming_body_of_which_more_was_taken_than_is_kept_is_not_repeated() {
    // The first chunk of "order", in HTTP/1's chunked coding.
    let (a, b) = (closing_before_the_head("5\r\norder\r\n".len()), Backend::start("b").unwrap());
    let (pool, _) = pool(&[("a", a.address()), ("b", b.address())]);
    let (mut pieces, request) = streaming(Method::PUT);
    let http = HttpProtocol::new().idempotent(|_| true).max_replay_bytes(4);
    let balanced = BalanceLayer::with_protocol(pool, http).layer(client());
    let response = tokio::spawn(balanced.oneshot(request));
    soon(pieces.send_data("order".into())).await.unwrap();
    let error = soon(response).await.unwrap().unwrap_err();
    assert_eq!(error.endpoint().map(equipoise::EndpointId::as_str), Some("a"));
    assert_eq!((a.requests(), b.served()), (1, 0));
}

#[tokio::test]
async fn a_streaming_body_that_has_begun_goes_to_another_endpoint_from_its_start() {
    let (a, b) = (closing_before_the_head("4\r\none \r\n".len()), Backend::start("b").unwrap());
    let (pool, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
    let (mut pieces, request) = streaming(Method::PUT);
    let balanced = BalanceLayer::with_protocol(pool, HttpProtocol::new().idempotent(|_| true)).layer(client());
    let response = tokio::spawn(balanced.oneshot(request));
    soon(pieces.send_data("one ".into())).await.unwrap();
    soon(recorder.until(|log| log.acquired.len() == 2)).await;
    soon(pieces.send_data("two".into())).await.unwrap();
    drop(pieces);
    let response = soon(response).await.unwrap().unwrap();
    assert_eq!(response.extensions().get(), Some(&ServedBy("b".into())));
    assert_eq!(b.seen()[0].body, "one two");
}

#[tokio::test]
async fn an_endpoint_that_failed_a_request_is_not_tried_again_for_it() {
    let dying = [closing_before_the_head(0), closing_before_the_head(0), closing_before_the_head(0)];
    let (pool, recorder) = pool(&[("a", dying[0].address()), ("b", dying[1].address()), ("c", dying[2].address())]);
    let error = soon(BalanceLayer::new(pool).max_attempts(10).layer(client()).oneshot(get())).await.unwrap_err();
    assert!(matches!(&error, Error::Endpoint { endpoint, .. } if endpoint.as_str() == "c"), "{error:?}");
    assert_eq!(dying.each_ref().map(Scripted::requests), [1, 1, 1]);
    assert_eq!(recorder.log().acquired, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_request_makes_no_more_attempts_than_allowed() {
    for (tries, reached) in [(0, [1, 0, 0]), (1, [1, 0, 0]), (2, [1, 1, 0])] {
        let dying = [closing_before_the_head(0), closing_before_the_head(0), closing_before_the_head(0)];
        let (pool, _) = pool(&[("a", dying[0].address()), ("b", dying[1].address()), ("c", dying[2].address())]);
        soon(BalanceLayer::new(pool).max_attempts(tries).layer(client()).oneshot(get())).await.unwrap_err();
        assert_eq!(dying.each_ref().map(Scripted::requests), reached, "{tries} attempts");
    }
}

#[tokio::test]
async fn with_one_attempt_a_refused_connection_is_an_error() {
    let (a, b) = (Reserved::new().unwrap(), Backend::start("b").unwrap());
    let (pool, _) = pool(&[("a", a.address()), ("b", b.address())]);
    let error = soon(BalanceLayer::new(pool).max_attempts(1).layer(client()).oneshot(get())).await.unwrap_err();
    assert_eq!(error.endpoint().map(equipoise::EndpointId::as_str), Some("a"));
    assert_eq!(b.served(), 0);
}

#[tokio::test]
async fn a_response_of_any_status_is_not_retried() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let a = Scripted::start(move |mut peer: Peer| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            peer.head().await?;
            peer.send("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await
        }
    })
    .unwrap();
    let b = Backend::start("b").unwrap();
    let (pool, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
    let response = soon(BalanceLayer::new(pool).layer(client()).oneshot(get())).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((calls.load(Ordering::SeqCst), b.served()), (1, 0));
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Failure(Failure::Gateway))]);
}

#[tokio::test]
async fn a_failing_request_body_does_not_count_against_the_endpoint() {
    for http2 in [false, true] {
        failing_body(http2).await;
    }
}

async fn failing_body(http2: bool) {
    let (a, b) = (Backend::start("a").unwrap(), Backend::start("b").unwrap());
    let (pool, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
    let (mut pieces, request) = streaming(Method::PUT);
    let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
    let balanced = BalanceLayer::with_protocol(pool.clone(), HttpProtocol::new().idempotent(|_| true)).layer(client);
    let response = tokio::spawn(balanced.oneshot(request));
    soon(pieces.send_data("half of it".into())).await.unwrap();
    // As in a proxy whose incoming connection dies while it streams the body.
    pieces.abort(io::ErrorKind::ConnectionReset.into());
    soon(response).await.unwrap().unwrap_err();
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Neutral)]);
    assert_eq!((a.served(), b.served()), (0, 0));
    assert_eq!(in_flight(&pool), [0, 0]);
}
