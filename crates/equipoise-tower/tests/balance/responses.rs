//! Leases on response bodies, and verdicts.

use std::time::Duration;

use equipoise_core::{Failure, Verdict};
use equipoise_tower::{Balance, HttpProtocol, LeasedBody, ServedBy, TunnelLease, poll_checked, refuse_response};
use http::{HeaderName, Response};
use http_body::Body;
use http_body_util::BodyExt;

use crate::common::{Frames, Recorder, answering, get, in_flight, pool};

fn grpc(body: Frames) -> Response<Frames> {
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

async fn answer(
    answer: Response<Frames>,
) -> (Response<LeasedBody<Frames>>, equipoise_core::Pool<crate::common::Mock>, Recorder) {
    let (pool, recorder) = pool(&[("a", answering(answer))]);
    (Balance::new(pool.clone()).oneshot(get()).await.unwrap(), pool, recorder)
}

#[tokio::test]
async fn the_trailers_of_grpc_decide() {
    let message = || Frames::default().data("message");
    for (body, verdict) in [
        (message().trailer("grpc-status", "0"), Verdict::Success),
        (message().trailer("grpc-status", "13"), Verdict::Failure(Failure::Server)),
        (message().trailer("grpc-status", "14"), Verdict::Failure(Failure::Gateway)),
        (message().trailer("grpc-status", "4"), Verdict::Failure(Failure::Timeout)),
        (message().trailer("grpc-status", "8"), Verdict::Overloaded { retry_after: None }),
        (message().trailer("other", "0"), Verdict::Failure(Failure::Transport)),
        (message(), Verdict::Failure(Failure::Transport)),
        (message().error(), Verdict::Failure(Failure::Transport)),
        (Frames::default(), Verdict::Failure(Failure::Transport)),
    ] {
        let (response, pool, recorder) = answer(grpc(body)).await;
        let _ = response.collect().await;
        assert_eq!(recorder.verdicts(), [("a".into(), verdict)]);
        assert_eq!(in_flight(&pool), [0]);
    }
}

#[tokio::test]
async fn a_stream_of_grpc_dropped_before_its_trailers_says_nothing() {
    let (mut response, pool, recorder) =
        answer(grpc(Frames::default().data("1").data("2").trailer("grpc-status", "13"))).await;
    response.frame().await.unwrap().unwrap();
    assert_eq!(in_flight(&pool), [1]);
    drop(response);
    assert_eq!(in_flight(&pool), [0]);
    assert_eq!(recorder.verdicts(), []);
}

#[tokio::test]
async fn a_response_that_is_refused_is_a_failure() {
    let (response, pool, recorder) = answer(Response::new(Frames::default().data("1"))).await;
    refuse_response(response.map(BodyExt::boxed_unsync));
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Failure(Failure::Transport))]);
    assert_eq!(in_flight(&pool), [0]);
    // The refusal is over.
    let (response, _pool, recorder) = answer(Response::new(Frames::default().data("1"))).await;
    drop(response);
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Success)]);
}

/// Like [`answer`], for a caller that checks the response.
async fn checked(answer: Response<Frames>) -> (Response<LeasedBody<Frames>>, Recorder) {
    let (pool, recorder) = pool(&[("a", answering(answer))]);
    let mut future = std::pin::pin!(Balance::new(pool).oneshot(get()));
    (std::future::poll_fn(|cx| poll_checked(|| future.as_mut().poll(cx))).await.unwrap(), recorder)
}

#[tokio::test]
async fn an_empty_response_that_is_checked_can_be_refused() {
    let (response, recorder) = checked(Response::new(Frames::default())).await;
    assert_eq!(recorder.verdicts(), []);
    refuse_response(response);
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Failure(Failure::Transport))]);
    let (response, recorder) = checked(Response::new(Frames::default())).await;
    drop(response);
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Success)]);
    // A verdict of the head stays.
    let (response, recorder) = checked(Response::builder().status(500).body(Frames::default()).unwrap()).await;
    refuse_response(response);
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Failure(Failure::Server))]);
}

#[tokio::test]
async fn a_tunnel_that_is_checked_is_refused_or_accepted() {
    let switched = || Response::builder().status(101).body(Frames::default()).unwrap();
    let (response, recorder) = checked(switched()).await;
    refuse_response(response);
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Failure(Failure::Transport))]);
    let (mut response, recorder) = checked(switched()).await;
    let mut lease: TunnelLease = response.extensions_mut().remove().unwrap();
    assert_eq!(recorder.verdicts(), []);
    lease.accept();
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Success)]);
}

#[tokio::test]
async fn a_bad_status_is_a_verdict_at_the_head_and_the_lease_goes_on() {
    let failed = Response::builder().status(500).body(Frames::default().data("sorry")).unwrap();
    let (response, pool, recorder) = answer(failed).await;
    let verdicts = [("a".into(), Verdict::Failure(Failure::Server))];
    assert_eq!(recorder.verdicts(), verdicts);
    assert_eq!(in_flight(&pool), [1]);
    response.collect().await.unwrap();
    assert_eq!(recorder.verdicts(), verdicts);
    assert_eq!(in_flight(&pool), [0]);
}

#[tokio::test]
async fn retry_after_says_how_long_an_endpoint_wants_fewer_requests() {
    let busy = Response::builder().status(429).header("retry-after", "7").body(Frames::default()).unwrap();
    let (_, _, recorder) = answer(busy).await;
    let retry_after = Some(Duration::from_secs(7));
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Overloaded { retry_after })]);
}

#[tokio::test]
async fn a_503_with_retry_after_is_a_verdict_of_its_own() {
    let down = Response::builder().status(503).header("retry-after", "7").body(Frames::default()).unwrap();
    let (_, _, recorder) = answer(down).await;
    let retry_after = Some(Duration::from_secs(7));
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Unavailable { retry_after })]);
}

#[tokio::test]
async fn an_empty_body_ends_the_lease_at_the_head() {
    let (response, pool, recorder) = answer(Response::new(Frames::default())).await;
    assert_eq!(in_flight(&pool), [0]);
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Success)]);
    drop(response);
    assert_eq!(recorder.verdicts().len(), 1);
}

#[tokio::test]
async fn the_last_frame_ends_the_lease_where_it_is_known_to_be_the_last() {
    let (mut response, pool, recorder) = answer(Response::new(Frames::default().data("1").data("2"))).await;
    assert!(!response.body().is_end_stream());
    response.frame().await.unwrap().unwrap();
    assert_eq!(in_flight(&pool), [1]);
    response.frame().await.unwrap().unwrap();
    assert_eq!(in_flight(&pool), [0]);
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Success)]);
}

#[tokio::test]
async fn a_body_that_is_dropped_unread_is_a_success() {
    let (response, pool, recorder) = answer(Response::new(Frames::default().data("1"))).await;
    assert_eq!(in_flight(&pool), [1]);
    drop(response);
    assert_eq!(in_flight(&pool), [0]);
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Success)]);
}

#[tokio::test]
async fn an_endpoint_that_was_removed_is_held_until_its_body_has_ended() {
    let (response, pool, recorder) = answer(Response::new(Frames::default().data("1"))).await;
    pool.remove("a").unwrap();
    assert!(pool.endpoints().is_empty());
    assert_eq!(response.collect().await.unwrap().to_bytes(), "1");
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Success)]);
}

#[tokio::test]
async fn the_header_names_the_endpoint_also_when_its_name_is_not_ascii() {
    let (pool, _) = pool(&[("zürich-1", answering(Response::new(Frames::default())))]);
    let http = HttpProtocol::new().header(HeaderName::from_static("x-served-by"));
    let response = Balance::with_protocol(pool, http).oneshot(get()).await.unwrap();
    assert_eq!(response.headers()["x-served-by"].as_bytes(), "zürich-1".as_bytes());
    assert_eq!(response.extensions().get(), Some(&ServedBy("zürich-1".into())));
}
