//! Which span is the current one.

use std::{future::poll_fn, sync::Arc, task::Poll};

use equipoise_core::{EndpointSpec, Pool};
use equipoise_monitor::trace::Trace;
use equipoise_tower::Balance;
use http::Response;
use parking_lot::Mutex;
use tracing::{Span, level_filters::LevelFilter, subscriber::set_default};
use tracing_subscriber::{Layer, layer::SubscriberExt, registry};

use crate::common::{Frames, Recorder, get, mock, ok, pool};

fn name_of_current() -> Option<&'static str> {
    Span::current().metadata().map(tracing::Metadata::name)
}

#[tokio::test]
async fn the_span_of_an_attempt_is_current_only_while_its_service_is_polled() {
    let recorder = Recorder::default();
    let _guard = set_default(registry().with(recorder.clone().with_filter(LevelFilter::DEBUG)));
    let inside: Arc<Mutex<Vec<_>>> = Arc::default();
    let log = Arc::clone(&inside);
    let service = mock(move |_| {
        log.lock().push(name_of_current());
        let (log, mut polls) = (Arc::clone(&log), 0);
        poll_fn(move |cx| {
            log.lock().push(name_of_current());
            polls += 1;
            if polls < 3 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Ok(Response::new(Frames::default())))
        })
    });
    let balance = Balance::new(pool([("a:80", service)])).observe(Trace::client("web"));
    // Two requests and another task take turns on one thread.
    let task = |balance: Balance<_>| async move {
        let mut response = std::pin::pin!(balance.oneshot(get()));
        poll_fn(|cx| {
            let polled = response.as_mut().poll(cx);
            assert_eq!(name_of_current(), None);
            polled
        })
        .await
        .unwrap();
    };
    let other = async {
        for _ in 0..10 {
            assert_eq!(name_of_current(), None);
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(task(balance.clone()), task(balance), other);
    let inside = inside.lock().clone();
    assert_eq!(inside, [Some("attempt"); 8]);
    assert_eq!(recorder.attempts().len(), 2);
}

#[tokio::test]
async fn the_request_of_a_nested_balancer_is_a_child_of_the_attempt_above() {
    let recorder = Recorder::default();
    let _guard = set_default(registry().with(recorder.clone().with_filter(LevelFilter::DEBUG)));
    let inner = Balance::new(pool([("b:80", ok())])).observe(Trace::client("inner"));
    let outer = Pool::default();
    outer.add(EndpointSpec::new("a:80"), inner).unwrap();
    drop(Balance::new(outer).observe(Trace::server("outer")).oneshot(get()).await.unwrap());
    let spans = recorder.spans();
    let tree: Vec<_> = spans.iter().map(|span| (span.name, span.field("equipoise.pool"), span.parent)).collect();
    assert_eq!(
        tree,
        [
            ("request", Some("outer"), None),
            ("attempt", Some("outer"), Some(0)),
            ("request", Some("inner"), Some(1)),
            ("attempt", Some("inner"), Some(2)),
        ]
    );
    assert!(spans.iter().all(|span| span.closed));
}

#[tokio::test]
async fn a_panic_of_a_service_leaves_no_span_behind() {
    let recorder = Recorder::default();
    let _guard = set_default(registry().with(recorder.clone().with_filter(LevelFilter::DEBUG)));
    let balance = Balance::new(pool([("a:80", mock(|_| async { panic!("a bug in the service") }))]));
    let lost = tokio::spawn(balance.observe(Trace::client("web")).oneshot(get())).await;
    assert!(lost.unwrap_err().is_panic());
    assert_eq!(name_of_current(), None);
    assert!(recorder.spans().iter().all(|span| span.closed));
    assert_eq!(recorder.span("attempt").field("equipoise.outcome"), Some("cancelled"));
}
