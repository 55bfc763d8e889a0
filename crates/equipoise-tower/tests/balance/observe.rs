//! The events that an observer gets. Each start event is followed by an end event.

use std::{io, pin::pin, sync::Arc, task::Poll, time::Duration};

use equipoise_core::{EndpointSpec, Pool, RoundRobin};
use equipoise_tower::{AttemptEnd, Balance, EventKind, Observe, QueueEnd, RequestEvent, RequestId, RequestOutcome};
use http::Response;
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::common::{Frames, Mock, answering, failing, get, in_flight, mock, pool};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(RequestId, String)>>>);

impl Log {
    fn events(&self) -> Vec<String> {
        self.0.lock().iter().map(|(_, event)| event.clone()).collect()
    }
}

impl Observe for Log {
    fn on_event(&self, event: &RequestEvent<'_>) {
        let text = match event.kind {
            EventKind::Picked { endpoint, binding_outcome, .. } => {
                format!("picked {endpoint} {}", binding_outcome.as_str())
            }
            EventKind::AttemptStarted { endpoint, attempt, .. } => format!("attempt {attempt} at {endpoint}"),
            EventKind::AttemptEnded { endpoint, attempt, end, elapsed, .. } => {
                let detail = match end {
                    AttemptEnd::Error { class, .. } => format!("error {}", class.stage.as_str()),
                    AttemptEnd::Response { verdict: Some(verdict), .. } => format!("response {verdict:?}"),
                    end => end.as_str().to_owned(),
                };
                format!("attempt {attempt} at {endpoint} ended: {detail} after {elapsed:?}")
            }
            EventKind::Failover { from, to, .. } => {
                format!("failover {from} to {}", to.map_or("queue", |to| to.as_str()))
            }
            EventKind::QueueLeft { end, waited, .. } => format!("queue_left {} after {waited:?}", end.as_str()),
            EventKind::Finished { outcome, attempts, elapsed, .. } => {
                format!("finished {} attempts={attempts} after {elapsed:?}", outcome.as_str())
            }
            kind => kind.as_str().to_owned(),
        };
        self.0.lock().push((event.request, text));
    }
}

fn slow(delay: Duration) -> Mock {
    mock(move |_| async move {
        sleep(delay).await;
        Ok(Response::new(Frames::default()))
    })
}

#[tokio::test(start_paused = true)]
async fn each_step_of_a_failover_is_reported() {
    let log = Log::default();
    let (pool, _) = pool(&[("a", failing(io::ErrorKind::ConnectionRefused)), ("b", slow(Duration::from_secs(2)))]);
    Balance::new(pool).observe(log.clone()).oneshot(get()).await.unwrap();
    let expected = [
        "started",
        "picked a unbound",
        "attempt 1 at a",
        "attempt 1 at a ended: error not_sent after 0ns",
        "failover a to b",
        "picked b unbound",
        "attempt 2 at b",
        "attempt 2 at b ended: response Success after 2s",
        "finished response attempts=2 after 2s",
    ];
    assert_eq!(log.events(), expected);
    assert!(log.0.lock().windows(2).all(|pair| pair[0].0 == pair[1].0), "one request");
}

#[tokio::test(start_paused = true)]
async fn the_beginning_and_end_of_a_wait_in_the_queue_are_reported() {
    let log = Log::default();
    let pool = Pool::new(RoundRobin::new());
    pool.add(EndpointSpec::new("a").max_in_flight(1), slow(Duration::from_secs(1))).unwrap();
    let balance = Balance::new(pool).queue_timeout(Duration::from_millis(1_500)).observe(log.clone());
    let first = tokio::spawn(balance.clone().oneshot(get()));
    tokio::task::yield_now().await;
    log.0.lock().clear();
    let second = tokio::spawn(balance.clone().oneshot(get()));
    tokio::task::yield_now().await;
    drop(first.await.unwrap().unwrap());
    second.await.unwrap().unwrap();
    let events = log.events();
    assert!(events.contains(&"queue_entered".into()), "{events:?}");
    assert!(events.contains(&"queue_left served after 1s".into()), "{events:?}");
    assert_eq!(events.last().map(String::as_str), Some("finished response attempts=1 after 2s"));
}

#[tokio::test(start_paused = true)]
async fn a_queue_timeout_ends_the_wait_and_the_request() {
    let log = Log::default();
    let balance = Balance::new(Pool::<Mock>::default()).queue_timeout(Duration::from_secs(3)).observe(log.clone());
    balance.oneshot(get()).await.unwrap_err();
    let expected = ["started", "queue_entered", "queue_left failed after 3s", "finished error attempts=0 after 3s"];
    assert_eq!(log.events(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_reports_the_end_of_all_that_it_began() {
    let (log, queued) = (Log::default(), Log::default());
    let (pool, _) = pool(&[("a", slow(Duration::from_secs(9)))]);
    {
        let mut response = pin!(Balance::new(pool.clone()).observe(log.clone()).oneshot(get()));
        assert!(futures_poll(response.as_mut()).await.is_pending());
        sleep(Duration::from_secs(1)).await;
    }
    let ends = ["attempt 1 at a ended: cancelled after 1s", "finished cancelled attempts=1 after 1s"];
    assert_eq!(log.events()[3..], ends);
    assert_eq!(in_flight(&pool), [0]);
    // A future that is dropped before its first poll has events too, because the attempt starts before that poll.
    drop(Balance::new(pool).observe(log.clone()).oneshot(get()));
    assert_eq!(
        log.events()[8..],
        ["attempt 1 at a ended: cancelled after 0ns", "finished cancelled attempts=1 after 0ns"]
    );
    let balance = Balance::new(Pool::<Mock>::default()).queue_timeout(Duration::from_secs(3)).observe(queued.clone());
    drop(balance.oneshot(get()));
    let ends = ["queue_left cancelled after 0ns", "finished cancelled attempts=0 after 0ns"];
    assert_eq!(queued.events()[2..], ends);
}

async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[tokio::test]
async fn an_observer_that_panics_harms_no_request() {
    let (pool, _) = pool(&[("a", answering(Response::new(Frames::default())))]);
    let balance = Balance::new(pool).observe(|_: &RequestEvent<'_>| panic!("a bug in the observer"));
    assert!(balance.oneshot(get()).await.is_ok());
}

#[test]
fn observers_are_objects() {
    struct Silent;
    impl Observe for Silent {}
    let observers: [Box<dyn Observe>; 2] = [Box::new(Silent), Box::new(|_: &RequestEvent<'_>| {})];
    drop(observers);
    let _: [fn(&QueueEnd<'static>) -> &'static str; 1] = [QueueEnd::as_str];
    let _: fn(&RequestOutcome<'static>) -> &'static str = RequestOutcome::as_str;
}
