use std::{
    error::Error as _,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use equipoise_core::{
    AnyStrategy, EndpointId, EndpointSpec, FirstFit, LeastConnections, LeastTime, LogEwma, Maglev, P2c, PeakEwma, Pool,
    Random, RoundRobin, Verdict,
};
use equipoise_tower::{
    Attempt, AttemptTimedOut, Balance, Error, FailureStage, HttpProtocol, NotSent, PlainProtocol, ServedBy,
};
use http::{Request, Response};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::yield_now,
    time::{Instant, advance, timeout},
};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use crate::common::{Fault, Frames, Mock, Once, answering, echo, failing, get, in_flight, pool, post};

const BOUND: Duration = Duration::from_millis(50);
const OVERLOADED: Verdict = Verdict::Overloaded { retry_after: None };

/// A service that is ready once `open` is true.
#[derive(Clone)]
struct Gate {
    open: watch::Receiver<bool>,
    waiting: Arc<Mutex<Vec<Waker>>>,
}

impl Gate {
    fn new() -> (Self, impl Fn()) {
        let (sender, open) = watch::channel(false);
        let waiting = Arc::<Mutex<Vec<Waker>>>::default();
        let gate = Self { open, waiting: Arc::clone(&waiting) };
        (gate, move || {
            sender.send_replace(true);
            waiting.lock().drain(..).for_each(Waker::wake);
        })
    }

    fn mock(&self) -> Mock {
        BoxCloneSyncService::new(self.clone())
    }
}

impl Service<Request<Once>> for Gate {
    type Response = Response<Frames>;
    type Error = Fault;
    type Future = std::future::Ready<Result<Response<Frames>, Fault>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.waiting.lock().push(cx.waker().clone());
        if *self.open.borrow() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, _: Request<Once>) -> Self::Future {
        assert!(*self.open.borrow(), "it is called before it was ready");
        std::future::ready(Ok(Response::new(Frames::default())))
    }
}

fn ok() -> Mock {
    answering(Response::new(Frames::default()))
}

fn served_by(response: &Response<impl Sized>) -> &str {
    let ServedBy(id) = response.extensions().get().unwrap();
    id.as_str()
}

#[tokio::test]
async fn a_service_that_is_not_ready_is_awaited_in_the_future_while_it_counts() {
    let (gate, open) = Gate::new();
    let (pool, _) = pool(&[("a", gate.mock())]);
    let mut balance = Balance::new(pool.clone());
    // The balancer itself is always ready.
    let waiting = tokio::spawn(balance.ready().await.unwrap().call(get()));
    assert_eq!(in_flight(&pool), [1]);
    yield_now().await;
    assert!(!waiting.is_finished());
    assert_eq!(in_flight(&pool), [1]);
    open();
    assert_eq!(waiting.await.unwrap().unwrap().extensions().get(), Some(&ServedBy("a".into())));
    assert_eq!(in_flight(&pool), [0]);
}

#[tokio::test]
async fn a_strategy_that_counts_leaves_a_service_that_is_not_ready_alone() {
    let (gate, _open) = Gate::new();
    let pool = Pool::new(P2c::new());
    pool.add(EndpointSpec::new("slow"), gate.mock()).unwrap();
    let mut balance = Balance::new(pool.clone());
    let stuck = balance.call(get());
    pool.add(EndpointSpec::new("fast"), answering(Response::new(Frames::default()))).unwrap();
    for _ in 0..20 {
        let response = balance.clone().oneshot(get()).await.unwrap();
        assert_eq!(response.extensions().get(), Some(&ServedBy("fast".into())));
    }
    assert_eq!(in_flight(&pool), [1, 0]);
    drop(stuck);
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_never_gets_ready_makes_no_caller_give_up_under_any_strategy() {
    let strategies = [
        ("first-fit", AnyStrategy::new(FirstFit::new())),
        ("least-connections", AnyStrategy::new(LeastConnections::new())),
        ("least-time", AnyStrategy::new(LeastTime::new())),
        ("log-ewma", AnyStrategy::new(LogEwma::new())),
        ("maglev", AnyStrategy::new(Maglev::new())),
        ("p2c", AnyStrategy::new(P2c::new())),
        ("peak-ewma", AnyStrategy::new(PeakEwma::new())),
        ("random", AnyStrategy::new(Random::new())),
        ("round-robin", AnyStrategy::new(RoundRobin::new())),
    ];
    for (name, strategy) in strategies {
        let (gate, _open) = Gate::new();
        let pool = Pool::new(strategy);
        pool.update(["a", "b", "c", "d"].map(EndpointSpec::new), |spec| {
            if spec.id().as_str() == "a" { gate.mock() } else { ok() }
        })
        .unwrap();
        let http = HttpProtocol::new().key(|request| Some(request.headers.get("x-user")?.as_bytes().into()));
        let balance = Balance::with_protocol(pool, http);
        let (mut hung, mut delayed) = (0, 0);
        for n in 0..100 {
            let mut request = get();
            request.headers_mut().insert("x-user", n.into());
            let started = Instant::now();
            match timeout(Duration::from_millis(100), balance.clone().oneshot(request)).await {
                Ok(response) => drop(response.unwrap()),
                Err(_) => hung += 1,
            }
            delayed += usize::from(started.elapsed() >= BOUND);
            advance(Duration::from_millis(20)).await;
        }
        assert_eq!(hung, 0, "{name}");
        // The 100 requests take two seconds, and in each second one request waits.
        assert!(delayed <= 3, "{name}: {delayed}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_waited_in_vain_is_held_against_the_endpoint_and_the_body_goes_elsewhere() {
    let (gate, _open) = Gate::new();
    let (pool, recorder) = pool(&[("a", gate.mock()), ("b", echo())]);
    let started = Instant::now();
    let response = Balance::new(pool.clone()).oneshot(post("order")).await.unwrap();
    assert_eq!(started.elapsed().as_millis(), 50);
    let Attempt { number, endpoint, .. } = response.extensions().get().unwrap();
    assert_eq!((*number, endpoint.as_str()), (2, "b"));
    assert_eq!(response.collect().await.unwrap().to_bytes(), "order");
    assert_eq!(recorder.verdicts(), [("a".into(), OVERLOADED), ("b".into(), Verdict::Success)]);
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn later_requests_go_elsewhere_at_once_and_one_a_second_waits_again() {
    let (gate, open) = Gate::new();
    let (pool, recorder) = pool(&[("a", gate.mock()), ("b", ok())]);
    let balance = Balance::new(pool).ready_timeout(Duration::from_millis(200));
    let ask = async || {
        let started = Instant::now();
        let response = balance.clone().oneshot(get()).await.unwrap();
        let number = response.extensions().get().map_or(1, |attempt: &Attempt| attempt.number);
        let ServedBy(endpoint) = response.extensions().get().unwrap();
        (endpoint.to_string(), number, started.elapsed().as_millis())
    };
    assert_eq!(ask().await, ("b".into(), 2, 200));
    for _ in 0..3 {
        // An endpoint that is skipped does not count as an attempt.
        assert_eq!(ask().await, ("b".into(), 1, 0));
    }
    let waits = recorder.verdicts().iter().filter(|(_, verdict)| *verdict == OVERLOADED).count();
    assert_eq!(waits, 1, "only what was waited counts");
    advance(Duration::from_secs(1)).await;
    let (one, other) = tokio::join!(ask(), ask());
    assert_eq!((one.2, other.2), (200, 0), "one of two waits");
    open();
    assert_eq!(ask().await, ("a".into(), 1, 0), "ready at once, it is used at once");
}

#[tokio::test(start_paused = true)]
async fn several_targets_that_are_not_ready_use_up_no_attempts() {
    let (gate, _open) = Gate::new();
    let ids = ["a", "b", "c", "d", "e", "f"];
    let targets = ids.map(|id| (id, if id == "f" { ok() } else { gate.mock() }));
    let balance = Balance::new(pool(&targets).0);
    // Each of these requests finds some more endpoints that are not ready.
    for _ in 0..2 {
        let _ = timeout(Duration::from_millis(300), balance.clone().oneshot(get())).await;
    }
    let started = Instant::now();
    let response = balance.oneshot(get()).await.unwrap();
    assert_eq!((served_by(&response), started.elapsed()), ("f", Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_never_gets_ready_makes_no_caller_give_up_without_retries() {
    let (gate, _open) = Gate::new();
    let pool = Pool::new(RoundRobin::new());
    pool.update(["a", "b", "c", "d"].map(EndpointSpec::new), |spec| {
        if spec.id().as_str() == "a" { gate.mock() } else { ok() }
    })
    .unwrap();
    let balance = Balance::new(pool.clone()).max_attempts(1);
    for _ in 0..100 {
        let response = timeout(Duration::from_millis(100), balance.clone().oneshot(post("order"))).await.unwrap();
        drop(response.unwrap());
        advance(Duration::from_millis(20)).await;
    }
    assert_eq!(in_flight(&pool), [0; 4]);
}

#[tokio::test(start_paused = true)]
async fn leaving_an_endpoint_that_is_not_ready_uses_up_no_retry() {
    let (gate, _open) = Gate::new();
    let refusing = || failing(std::io::ErrorKind::ConnectionRefused);
    for (max_attempts, served) in [(1, None), (2, Some((3, "c")))] {
        let (pool, _) = pool(&[("a", gate.mock()), ("b", refusing()), ("c", ok())]);
        let outcome = Balance::new(pool).max_attempts(max_attempts).oneshot(post("order")).await;
        let attempt = outcome.as_ref().ok().and_then(|response| response.extensions().get::<Attempt>());
        assert_eq!(attempt.map(|attempt| (attempt.number, attempt.endpoint.as_str())), served);
    }
}

#[tokio::test(start_paused = true)]
async fn a_nested_balancer_without_retries_left_leaves_an_endpoint_that_is_not_ready() {
    let (gate, _open) = Gate::new();
    let refusing = || failing(std::io::ErrorKind::ConnectionRefused);
    // `east` uses up the one retry that the inner balancers share.
    let east = Balance::new(pool(&[("e1", refusing()), ("e2", refusing())]).0).max_attempts(2);
    let west = Balance::new(pool(&[("w1", gate.mock()), ("w2", ok())]).0).max_attempts(2);
    let (regions, _) = pool(&[("east", east), ("west", west)]);
    let response = timeout(Duration::from_millis(100), Balance::new(regions).oneshot(post("order"))).await.unwrap();
    assert_eq!(served_by(&response.unwrap()), "west");
}

#[tokio::test(start_paused = true)]
async fn a_request_leaves_at_most_16_endpoints_that_are_not_ready_without_a_retry() {
    let (gate, _open) = Gate::new();
    for (not_ready, is_served) in [(16, true), (17, false)] {
        let pool = Pool::new(crate::common::Recorder::default());
        for n in 0..not_ready {
            pool.add(EndpointSpec::new(format!("gate-{n}")), gate.mock()).unwrap();
        }
        pool.add(EndpointSpec::new("ok"), ok()).unwrap();
        let request = Balance::new(pool).max_attempts(1).oneshot(get());
        assert_eq!(timeout(Duration::from_secs(60), request).await.is_ok(), is_served, "{not_ready}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_with_nowhere_else_to_go_waits_for_as_long_as_it_takes() {
    let (gate, open) = Gate::new();
    for others in [vec![], vec![("b", gate.mock())]] {
        let targets: Vec<_> = [("a", gate.mock())].into_iter().chain(others).collect();
        let (pool, _) = pool(&targets);
        let waiting = tokio::spawn(Balance::new(pool.clone()).oneshot(get()));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!waiting.is_finished());
        assert_eq!(in_flight(&pool).iter().sum::<u32>(), 1);
        waiting.abort();
    }
    let (pool, recorder) = pool(&[("a", gate.mock()), ("b", ok())]);
    let waiting = tokio::spawn(Balance::new(pool.clone()).oneshot(post("order")));
    yield_now().await;
    // There was another endpoint when the endpoint was picked.
    pool.remove("b").unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!waiting.is_finished());
    open();
    assert_eq!(served_by(&waiting.await.unwrap().unwrap()), "a");
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Success)]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_wait_for_room_leaves_for_the_first_other_endpoint_with_room() {
    let (gate, _open) = Gate::new();
    let (pool, recorder) = pool(&[("a", gate.mock()), ("b", ok())]);
    pool.set_max_in_flight_all([("b", Some(1))]).unwrap();
    let taken = pool.pick(&equipoise_core::PickRequest::new().exclude(&["a".into()])).unwrap();
    let balance = Balance::new(pool).queue_timeout(Duration::from_secs(60));
    let waiting = tokio::spawn(balance.clone().oneshot(get()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(taken);
    assert_eq!(served_by(&waiting.await.unwrap().unwrap()), "b");
    assert_eq!(recorder.verdicts()[0], ("a".into(), OVERLOADED));
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_room_in_vain_ends_with_the_endpoint_that_was_not_ready() {
    let (gate, _open) = Gate::new();
    let (pool, _) = pool(&[("a", gate.mock()), ("b", ok())]);
    pool.set_max_in_flight_all([("b", Some(1))]).unwrap();
    let _taken = pool.pick(&equipoise_core::PickRequest::new().exclude(&["a".into()])).unwrap();
    let error = Balance::new(pool).queue_timeout(Duration::from_secs(1)).oneshot(get()).await.unwrap_err();
    assert_eq!((error.endpoint().map(EndpointId::as_str), error.attempts()), (Some("a"), 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_copied_goes_elsewhere_if_it_was_not_sent() {
    struct Once(&'static str);
    #[derive(Clone)]
    struct Echo(bool);
    impl Service<Once> for Echo {
        type Response = &'static str;
        type Error = std::io::Error;
        type Future = std::future::Ready<Result<&'static str, std::io::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
            if self.0 { Poll::Ready(Ok(())) } else { Poll::Pending }
        }

        fn call(&mut self, Once(text): Once) -> Self::Future {
            std::future::ready(Ok(text))
        }
    }
    let (pool, _) = pool(&[("a", Echo(false)), ("b", Echo(true))]);
    assert_eq!(Balance::with_protocol(pool, PlainProtocol::new()).oneshot(Once("order")).await.unwrap(), "order");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_timeout_before_the_service_is_ready_counts_as_not_sent() {
    let (gate, _open) = Gate::new();
    let limit = Duration::from_millis(20);
    // The ready timeout has not passed yet: a request that is not idempotent goes to another endpoint.
    let (both, recorder) = pool(&[("a", gate.mock()), ("b", echo())]);
    let response = Balance::new(both).attempt_timeout(limit).oneshot(post("order")).await.unwrap();
    assert_eq!(served_by(&response), "b");
    assert_eq!(recorder.verdicts()[0], ("a".into(), OVERLOADED));
    // The only endpoint: the request waits without a limit until the attempt timeout.
    let (alone, recorder) = pool(&[("a", gate.mock())]);
    // A classifier of the protocol is not asked about this error.
    let http = HttpProtocol::new().classify_error(|error| panic!("{error}"));
    let balance = Balance::with_protocol(alone, http).attempt_timeout(limit);
    let started = Instant::now();
    let error = balance.oneshot(post("order")).await.unwrap_err();
    assert_eq!(started.elapsed(), limit);
    assert_eq!(recorder.verdicts(), [("a".into(), OVERLOADED)]);
    let Error::Endpoint { source, stage, maybe_processed, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*stage, *maybe_processed), (FailureStage::NotSent, false));
    let cause = source.downcast_ref::<NotSent>().and_then(NotSent::source).unwrap();
    assert!(cause.is::<AttemptTimedOut>(), "{cause:?}");
}

#[test]
fn without_tokio_there_is_no_bound_and_no_panic() {
    let (gate, open) = Gate::new();
    let (pool, _) = pool(&[("a", gate.mock()), ("b", ok())]);
    let mut future = pin!(Balance::new(pool).oneshot(get()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_pending());
    open();
    let Poll::Ready(response) = future.poll(&mut cx) else { panic!("it is ready") };
    assert_eq!(served_by(&response.unwrap()), "a");
}
