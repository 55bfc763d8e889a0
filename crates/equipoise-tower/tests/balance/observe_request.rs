//! Observers of one request: what they are called with, and what they can change.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use equipoise_core::{Endpoint, EndpointSpec, P2c, Pool, Random, RoundRobin, SeededEntropy, Strategy};
use equipoise_tower::{
    Balance, BodyEnd, EventKind, Observe, ObserveRequest, PlainProtocol, RequestEvent, RequestOutcome, RequestStart,
    refuse_response,
};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tower::service_fn;

use crate::common::{Frames, Mock, answering, failing, get, mock, not_sent, pool};

/// Writes down what it is called with. Clones share the log.
#[derive(Clone, Default)]
struct Notes {
    log: Arc<Mutex<Vec<String>>>,
    name: &'static str,
    explains: bool,
}

impl Notes {
    fn named(name: &'static str, of: &Self) -> Self {
        Self { log: Arc::clone(&of.log), name, explains: false }
    }

    fn note(&self, text: impl AsRef<str>) {
        self.log.lock().push(format!("{}{}", self.name, text.as_ref()));
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock())
    }
}

impl Observe for Notes {
    fn observe_request(&self, start: &RequestStart<'_>) -> Option<Box<dyn ObserveRequest>> {
        let head = start.head.map_or("-".to_owned(), |head| format!("{} {}", head.method, head.uri));
        self.note(format!("start {head} {}", start.strategy));
        Some(Box::new(self.clone()))
    }
}

impl ObserveRequest for Notes {
    fn on_event(&mut self, kind: &EventKind<'_>) {
        match kind {
            EventKind::Picked { endpoint, explanation, .. } => match explanation {
                Some(explanation) => self.note(format!("picked {endpoint} of {}", explanation.candidates.len())),
                None => self.note(format!("picked {endpoint}")),
            },
            EventKind::Finished { outcome: RequestOutcome::Response { head: Some(head), .. }, .. } => {
                self.note(format!("finished {}", head.status));
            }
            kind => self.note(kind.as_str()),
        }
    }

    fn wants_explanation(&mut self) -> bool {
        self.explains
    }

    fn before_send(&mut self, endpoint: &Endpoint, headers: Option<&mut HeaderMap>) {
        self.note(format!("send to {}", endpoint.address()));
        if let Some(headers) = headers {
            headers.append("x-to", HeaderValue::from_str(endpoint.id().as_str()).unwrap());
        }
    }

    fn in_scope(&mut self, poll: &mut dyn FnMut()) {
        self.note("enter");
        poll();
        self.note("exit");
    }

    fn on_body_end(&mut self, end: BodyEnd<'_>) {
        match end {
            BodyEnd::Complete { trailers: Some(trailers), .. } => self.note(format!("body {}", trailers.len())),
            end => self.note(format!("body {}", end.as_str())),
        }
    }
}

/// Responds with the values of the header `x-to`.
fn headers_as_trailers(notes: &Notes) -> Mock {
    let notes = notes.clone();
    mock(move |request| {
        let all: Vec<_> = request.headers().get_all("x-to").iter().map(|value| value.to_str().unwrap()).collect();
        notes.note(format!("service got {all:?}"));
        async { Ok(Response::new(Frames::default().data("a").trailer("x", "y"))) }
    })
}

#[tokio::test]
async fn an_observer_follows_a_request_from_its_head_to_the_end_of_its_body() {
    let notes = Notes { explains: true, ..Notes::default() };
    let endpoints = [("a", failing(io::ErrorKind::ConnectionRefused)), ("b", headers_as_trailers(&notes))];
    let response = Balance::new(pool(&endpoints).0).observe(notes.clone()).oneshot(get()).await.unwrap();
    let expected = [
        "start GET http://orders/today Recorder",
        "started",
        "picked a of 2",
        "attempt_started",
        "send to a",
        "enter",
        "exit",
        "attempt_ended",
        "failover",
        "picked b of 2",
        "attempt_started",
        "send to b",
        "enter",
        // The header of the first attempt is not sent again.
        "service got [\"b\"]",
        "exit",
        "attempt_ended",
        "finished 200 OK",
    ];
    assert_eq!(notes.taken(), expected);
    response.collect().await.unwrap();
    assert_eq!(notes.taken(), ["body 1"]);
}

#[tokio::test]
async fn a_request_is_explained_only_if_its_observer_asks() {
    let notes = Notes::default();
    let (pool, _) = pool(&[("a", answering(Response::new(Frames::default())))]);
    drop(Balance::new(pool).observe(notes.clone()).oneshot(get()).await.unwrap());
    let log = notes.taken();
    assert!(log.contains(&"picked a".to_owned()), "{log:?}");
    // Without a body, the response ends at its head.
    assert_eq!(log.last().map(String::as_str), Some("body complete"));
}

#[tokio::test]
async fn each_end_of_a_body_is_reported_once() {
    let of = |body: Frames| {
        let notes = Notes::default();
        let (pool, _) = pool(&[("a", answering(Response::new(body)))]);
        (Balance::new(pool).observe(notes.clone()), notes)
    };
    let ends = |notes: &Notes| notes.taken().into_iter().filter(|note| note.starts_with("body")).collect::<Vec<_>>();
    let (balance, notes) = of(Frames::default().data("a"));
    let mut response = balance.clone().oneshot(get()).await.unwrap();
    while response.frame().await.is_some() {}
    drop(response);
    assert_eq!(ends(&notes), ["body complete"]);
    drop(balance.clone().oneshot(get()).await.unwrap());
    assert_eq!(ends(&notes), ["body complete"], "of a body that was not wanted");
    refuse_response(balance.oneshot(get()).await.unwrap());
    assert_eq!(ends(&notes), ["body failed"]);
    let (balance, notes) = of(Frames::default().data("a").data("b").error());
    let mut response = balance.clone().oneshot(get()).await.unwrap();
    response.frame().await.unwrap().unwrap();
    drop(response);
    assert_eq!(ends(&notes), ["body cancelled"]);
    balance.oneshot(get()).await.unwrap().collect().await.unwrap_err();
    assert_eq!(ends(&notes), ["body failed"]);
}

#[tokio::test]
async fn a_wait_in_the_queue_is_observed_and_its_pick_is_not_explained() {
    let notes = Notes { explains: true, ..Notes::default() };
    let pool = Pool::new(RoundRobin::new());
    let balance = Balance::new(pool.clone()).queue_timeout(Duration::from_secs(1)).observe(notes.clone());
    let waiting = tokio::spawn(balance.oneshot(get()));
    tokio::task::yield_now().await;
    assert_eq!(notes.taken()[1..], ["started", "queue_entered"]);
    pool.add(EndpointSpec::new("a"), answering(Response::new(Frames::default()))).unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(notes.taken()[..3], ["queue_left", "picked a", "attempt_started"]);
}

#[tokio::test]
async fn requests_without_a_head_are_observed_too() {
    let notes = Notes::default();
    let pool = Pool::default();
    pool.add(EndpointSpec::new("a"), service_fn(|n: u32| std::future::ready(Ok::<_, io::Error>(n + 1)))).unwrap();
    let balance = Balance::with_protocol(pool, PlainProtocol::new()).observe(notes.clone());
    assert_eq!(balance.oneshot(1).await.unwrap(), 2);
    let expected = [
        "start - LogEwma",
        "started",
        "picked a",
        "attempt_started",
        "send to a",
        "enter",
        "exit",
        "attempt_ended",
        "finished",
        "body complete",
    ];
    assert_eq!(notes.taken(), expected);
}

#[tokio::test]
async fn several_observers_see_the_same_request_and_nest_their_scopes() {
    let first = Notes { name: "1 ", ..Notes::default() };
    let second = Notes { explains: true, ..Notes::named("2 ", &first) };
    let events = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&events);
    let count = move |_: &RequestEvent<'_>| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    let (pool, _) = pool(&[("a", answering(Response::new(Frames::default())))]);
    let observer = ((vec![first.clone(), second.clone()], count), Some(Arc::new(None::<Notes>)));
    Balance::new(pool).observe(observer).oneshot(get()).await.unwrap();
    let log = first.taken();
    let scopes: Vec<_> = log.iter().filter(|note| note.contains("enter") || note.contains("exit")).collect();
    assert_eq!(scopes, ["1 enter", "2 enter", "2 exit", "1 exit"]);
    let picked: Vec<_> = log.iter().filter(|note| note.contains("picked")).collect();
    assert_eq!(picked, ["1 picked a of 1", "2 picked a of 1"], "the explanation that one has asked for is for all");
    assert_eq!(log.iter().filter(|note| note.contains("body")).count(), 2);
    // started, picked, attempt_started, attempt_ended, finished
    assert_eq!(events.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn a_disabled_observer_learns_nothing_and_keeps_no_other_observer_from_it() {
    struct Switch(Arc<AtomicBool>, Notes);
    impl Observe for Switch {
        fn is_enabled(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }

        fn observe_request(&self, start: &RequestStart<'_>) -> Option<Box<dyn ObserveRequest>> {
            self.1.observe_request(start)
        }
    }
    let (enabled, notes) = (Arc::new(AtomicBool::new(false)), Notes::default());
    let switch = || Switch(Arc::clone(&enabled), notes.clone());
    let (pool, _) = pool(&[("a", answering(Response::new(Frames::default())))]);
    let balance = Balance::new(pool.clone()).observe(switch());
    balance.clone().oneshot(get()).await.unwrap();
    assert_eq!(notes.taken(), [""; 0]);
    enabled.store(true, Ordering::Relaxed);
    balance.oneshot(get()).await.unwrap();
    assert!(!notes.taken().is_empty());
    let other = Notes::default();
    Balance::new(pool).observe((switch(), other.clone())).oneshot(get()).await.unwrap();
    assert!(!other.taken().is_empty());
}

#[tokio::test]
async fn panics_of_an_observer_are_ignored_and_those_of_a_service_are_not() {
    struct Panics;
    impl Observe for Panics {
        fn observe_request(&self, _: &RequestStart<'_>) -> Option<Box<dyn ObserveRequest>> {
            Some(Box::new(Self))
        }
    }
    impl ObserveRequest for Panics {
        fn on_event(&mut self, _: &EventKind<'_>) {
            panic!("a bug in the observer")
        }

        fn wants_explanation(&mut self) -> bool {
            panic!("a bug in the observer")
        }

        fn before_send(&mut self, _: &Endpoint, _: Option<&mut HeaderMap>) {
            panic!("a bug in the observer")
        }

        fn in_scope(&mut self, _: &mut dyn FnMut()) {
            panic!("a bug in the observer")
        }

        fn on_body_end(&mut self, _: BodyEnd<'_>) {
            panic!("a bug in the observer")
        }
    }
    let notes = Notes::default();
    let (good, _) = pool(&[("a", answering(Response::new(Frames::default())))]);
    assert!(Balance::new(good.clone()).observe(Panics).oneshot(get()).await.is_ok());
    assert!(Balance::new(good).observe((Panics, notes.clone())).oneshot(get()).await.is_ok());
    let log = notes.taken();
    assert_eq!(log.iter().filter(|note| ["enter", "exit", "finished 200 OK"].contains(&note.as_str())).count(), 3);
    let (bad, _) = pool(&[("a", mock(|_| async { panic!("a bug in the service") }))]);
    let lost = tokio::spawn(Balance::new(bad).observe((Panics, notes.clone())).oneshot(get())).await;
    assert!(lost.unwrap_err().is_panic());
    assert_eq!(notes.taken().last().map(String::as_str), Some("finished"), "of the cancelled request");
}

#[tokio::test]
async fn a_request_without_a_response_has_no_end_of_a_body() {
    let notes = Notes::default();
    let (pool, _) = pool(&[("a", mock(|_| async { Err(not_sent().into()) }))]);
    Balance::new(pool.clone()).observe(notes.clone()).oneshot(get()).await.unwrap_err();
    assert_eq!(notes.taken().last().map(String::as_str), Some("finished"));
    drop(Balance::new(pool).observe(notes.clone()).oneshot(get()));
    assert_eq!(notes.taken().last().map(String::as_str), Some("finished"));
}

/// Asks for the explanation of each pick. Counts the picks without an explanation, those with an explanation of the picked
/// endpoint, and those with an explanation of another one.
#[derive(Clone, Default)]
struct Explained(Arc<[AtomicUsize; 3]>);

impl Observe for Explained {
    fn observe_request(&self, _: &RequestStart<'_>) -> Option<Box<dyn ObserveRequest>> {
        Some(Box::new(self.clone()))
    }
}

impl ObserveRequest for Explained {
    fn on_event(&mut self, kind: &EventKind<'_>) {
        if let EventKind::Picked { endpoint, explanation, .. } = kind {
            let kind = explanation.map(|explanation| explanation.picked.as_ref() == Ok(endpoint));
            let [none, own, other] = &*self.0;
            let count = match kind {
                None => none,
                Some(true) => own,
                Some(false) => other,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wants_explanation(&mut self) -> bool {
        true
    }
}

/// Sends 200 requests to 20 endpoints. Returns the counts of [`Explained`].
async fn explained_picks(strategy: impl Strategy, entropy: Option<SeededEntropy>) -> [usize; 3] {
    let builder = Pool::builder(strategy);
    let pool = match entropy {
        Some(entropy) => builder.entropy(Arc::new(entropy)).build(),
        None => builder.build(),
    };
    pool.update((0..20).map(|n| EndpointSpec::new(format!("e{n}"))), |_| {
        service_fn(|n: u32| std::future::ready(Ok::<_, io::Error>(n)))
    })
    .unwrap();
    let explained = Explained::default();
    let balance = Balance::with_protocol(pool, PlainProtocol::new()).observe(explained.clone());
    for n in 0..200 {
        balance.clone().oneshot(n).await.unwrap();
    }
    [0, 1, 2].map(|kind| explained.0[kind].load(Ordering::Relaxed))
}

#[tokio::test]
async fn the_explanation_of_a_random_pick_is_the_one_of_the_picked_endpoint() {
    assert_eq!(explained_picks(Random::new(), None).await, [0, 200, 0]);
    assert_eq!(explained_picks(P2c::new(), None).await, [0, 200, 0]);
}

#[tokio::test]
async fn a_pick_that_its_explanation_has_not_foreseen_has_no_explanation() {
    // The pick draws other numbers of this sequence than its explanation.
    let [none, own, other] = explained_picks(Random::new(), Some(SeededEntropy::new(7))).await;
    assert!(none > 100 && own > 0 && other == 0, "{none} {own} {other}");
}
