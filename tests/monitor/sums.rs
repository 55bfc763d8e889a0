//! The counts of a pool are those of its callers and its services: over many requests with retries, waits, failures and
//! cancellations, while endpoints leave and return, and while a monitor reads.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    thread,
    time::Duration,
};

use bytes::Bytes;
use equipoise::{
    Availability, EndpointSpec, Entropy, LatencyHistogram, LogEwma, PickError, Pool, PoolStats, Revision,
    SeededEntropy,
    monitor::{Monitor, WatchedPool, report::PoolReport},
    tower::{Attempt, Balance, Error},
};
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::{task::JoinSet, task::yield_now};
use tower::Service;

const SEED: u64 = 0x5e9_5075;

/// The number of requests that are in flight or wait at the same time.
const CALLERS: u64 = 64;

/// Endpoints that are in the pool or outside of it. Together they admit fewer requests than there are callers.
const ENDPOINTS: u64 = 6;
const MAX_IN_FLIGHT: u32 = 8;

/// One change of the pool for so many requests.
const REQUESTS_PER_CHANGE: u64 = 400;

/// The number of requests: `EQUIPOISE_REQUESTS`, or a number that takes some seconds in the dev profile.
fn requests() -> u64 {
    std::env::var("EQUIPOISE_REQUESTS").ok().and_then(|number| number.parse().ok()).unwrap_or(100_000)
}

/// Returns a random number for this use, always the same one.
fn draw(of: [u64; 3]) -> u64 {
    let seed = of.into_iter().fold(SEED, |seed, number| SeededEntropy::new(seed ^ number).next_u64());
    SeededEntropy::new(seed).next_u64()
}

/// How an attempt ended, as its service has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Success,
    Refused,
    Reset,
    Broken,
    Error,
    Gateway,
    Overloaded,
    Unavailable,
    Cancelled,
}

impl End {
    const ALL: [Self; 9] = [
        Self::Success,
        Self::Refused,
        Self::Reset,
        Self::Broken,
        Self::Error,
        Self::Gateway,
        Self::Overloaded,
        Self::Unavailable,
        Self::Cancelled,
    ];
}

/// What services and callers have seen.
#[derive(Default)]
struct Tally {
    sent: AtomicU64,
    ends: [AtomicU64; End::ALL.len()],
    /// Attempts whose response has begun with success.
    answered: AtomicU64,
    /// Requests without an attempt, by the label of the error.
    errors: parking_lot::Mutex<HashMap<&'static str, u64>>,
}

impl Tally {
    fn count(&self, end: End) {
        self.ends[end as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, end: End) -> u64 {
        self.ends[end as usize].load(Ordering::Relaxed)
    }
}

/// Counts how an attempt has ended when it is dropped.
struct Ticket {
    tally: Arc<Tally>,
    end: End,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tally.count(self.end);
    }
}

/// The service of an endpoint.
#[derive(Clone)]
struct Server {
    tally: Arc<Tally>,
    /// Numbers the checks of readiness of all clones.
    checks: Arc<AtomicU64>,
}

impl Service<Request<Full<Bytes>>> for Server {
    type Response = Response<Answer>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Response<Answer>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let check = self.checks.fetch_add(1, Ordering::Relaxed);
        if check.is_multiple_of(97) {
            self.tally.count(End::Refused);
            return Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let mut ticket = Ticket { tally: Arc::clone(&self.tally), end: End::Cancelled };
        let id: u64 = request.uri().path().trim_start_matches('/').parse().expect("the caller's number");
        let attempt = request.extensions().get::<Attempt>().map_or(1, |attempt| attempt.number as u64);
        let hangs = request.headers().contains_key("hangs");
        async move {
            let drawn = draw([1, id, attempt]);
            if hangs && drawn.is_multiple_of(2) {
                std::future::pending::<()>().await;
            }
            for _ in 0..drawn / 64 % 4 {
                yield_now().await;
            }
            let (end, status) = match drawn % 64 {
                0..4 => (End::Refused, Err(io::ErrorKind::ConnectionRefused)),
                4..6 => (End::Reset, Err(io::ErrorKind::ConnectionReset)),
                6..8 => (End::Error, Ok(StatusCode::INTERNAL_SERVER_ERROR)),
                8..10 => (End::Gateway, Ok(StatusCode::BAD_GATEWAY)),
                10..12 => (End::Overloaded, Ok(StatusCode::TOO_MANY_REQUESTS)),
                12..14 => (End::Unavailable, Ok(StatusCode::SERVICE_UNAVAILABLE)),
                // As long as the body was not read, the caller may want nothing of it.
                _ => (End::Success, Ok(StatusCode::OK)),
            };
            ticket.end = end;
            let status = status.map_err(io::Error::from)?;
            let ticket = (status == StatusCode::OK).then(|| {
                ticket.tally.answered.fetch_add(1, Ordering::Relaxed);
                ticket
            });
            let mut response = Response::new(Answer { ticket, frames: 2, breaks: drawn % 64 < 18 });
            *response.status_mut() = status;
            if status == StatusCode::SERVICE_UNAVAILABLE {
                response.headers_mut().insert(RETRY_AFTER, 1.into());
            }
            Ok(response)
        }
        .boxed()
    }
}

/// The body of a response.
struct Answer {
    ticket: Option<Ticket>,
    frames: usize,
    breaks: bool,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let (frames, breaks) = (self.frames, self.breaks);
        self.frames = frames.saturating_sub(1);
        let mut ends = |end| self.ticket.iter_mut().for_each(|ticket| ticket.end = end);
        Poll::Ready(match frames {
            0 if breaks => {
                ends(End::Broken);
                Some(Err(io::ErrorKind::ConnectionReset.into()))
            }
            0 => {
                ends(End::Success);
                None
            }
            _ => {
                ends(End::Cancelled);
                Some(Ok(Frame::data(Bytes::from_static(b"data"))))
            }
        })
    }
}

/// A caller: sends requests, gives up some of them, and changes the pool now and then.
async fn call(pool: Pool<Server>, balance: Balance<Server>, tally: Arc<Tally>, ids: impl Iterator<Item = u64>) {
    for id in ids {
        if id.is_multiple_of(REQUESTS_PER_CHANGE) {
            change(&pool, &tally, draw([2, id, 0]));
        }
        let drawn = draw([3, id, 0]);
        // How often a request is polled before it is given up.
        let patience = drawn.is_multiple_of(8).then_some(1 + drawn / 8 % 6);
        let mut request = Request::get(format!("/{id}")).body(Full::new(Bytes::new())).expect("a valid request");
        if patience.is_some() {
            request.headers_mut().insert("hangs", 1.into());
        }
        tally.sent.fetch_add(1, Ordering::SeqCst);
        let mut future = Box::pin(balance.clone().call(request));
        let result = match patience {
            None => Some(future.await),
            Some(polls) => {
                let mut result = None;
                for _ in 0..polls {
                    result = (&mut future).now_or_never();
                    if result.is_some() {
                        break;
                    }
                    yield_now().await;
                }
                result
            }
        };
        match result {
            // A body that is not read, one that is read in part, and one that is read to its end.
            Some(Ok(response)) => match drawn / 64 % 16 {
                0 => drop(response),
                1 => drop(response.into_body().frame().await),
                _ => drop(response.into_body().collect().await),
            },
            Some(Err(Error::Pick(error))) => *tally.errors.lock().entry(error.as_str()).or_default() += 1,
            Some(Err(_)) | None => {}
        }
    }
}

fn server(tally: &Arc<Tally>) -> Server {
    Server { tally: Arc::clone(tally), checks: Arc::default() }
}

fn spec(number: u64) -> EndpointSpec {
    EndpointSpec::new(format!("e{number}:80")).max_in_flight(MAX_IN_FLIGHT)
}

/// Changes the pool. Errors say that the endpoint is there already, or not there.
fn change(pool: &Pool<Server>, tally: &Arc<Tally>, drawn: u64) {
    let spec = spec(drawn % ENDPOINTS);
    let id = spec.id().clone();
    match drawn / ENDPOINTS % 10 {
        0..3 => drop(pool.remove(id)),
        3..7 => drop(pool.add(spec, server(tally))),
        7 => drop(pool.replace(spec, server(tally))),
        8 => drop(pool.set_availability(id, Availability::Unhealthy)),
        _ => drop(pool.set_availability(id, Availability::Up)),
    }
}

fn ended(stats: &PoolStats) -> impl Iterator<Item = (&'static str, u64)> {
    let beside = [
        ("requests", stats.requests()),
        ("queued", stats.queued),
        ("retries", stats.retries),
        ("failovers", stats.failovers),
    ];
    stats.attempts.by_outcome().into_iter().chain(beside).chain(stats.unserved.clone())
}

/// What a reader has seen of the pool before.
#[derive(Default)]
struct Seen {
    stats: PoolStats,
    /// The number and the sum of the latencies of each endpoint.
    times: HashMap<(String, Revision), (u64, Duration)>,
}

impl Seen {
    /// Checks that no counter has gone back, and that the parts of the report agree.
    fn check(&mut self, report: PoolReport) {
        for ((label, before), (_, now)) in ended(&self.stats).zip(ended(&report.stats)) {
            assert!(before <= now, "{label} went back from {before} to {now}");
        }
        let attempts = report.stats.attempts;
        let mut sums = [0; 10];
        for status in report.endpoints.iter().chain(&report.departed).map(|endpoint| &endpoint.status) {
            let requests = status.requests;
            let outcomes = requests.by_outcome().map(|(_, count)| count);
            assert_eq!(requests.total, outcomes.iter().sum::<u64>() + requests.in_flight);
            sums.iter_mut().zip(outcomes).for_each(|(sum, count)| *sum += count);
            let times = status.latency.as_ref().expect("the pool keeps histograms");
            assert_eq!(times.count(), times.buckets().map(|(_, count)| count).sum::<u64>());
            let now = (times.count(), times.sum());
            let before = self.times.insert((status.id.to_string(), status.joined), now).unwrap_or_default();
            assert!(before.0 <= now.0 && before.1 <= now.1, "{before:?}, {now:?}");
        }
        let outcomes = attempts.by_outcome().map(|(_, count)| count);
        assert_eq!(attempts.total, outcomes.iter().sum::<u64>() + attempts.in_flight);
        assert!(sums.iter().zip(outcomes).all(|(sum, all)| *sum <= all), "{sums:?}, {outcomes:?}");
        self.stats = report.stats;
    }
}

fn only(monitor: &Monitor) -> PoolReport {
    monitor.snapshot().pools.pop().expect("the pool is watched")
}

/// Sends requests while a thread reads. Returns the last report and what services and callers have seen.
async fn run(keep_departed: Duration) -> (PoolReport, Arc<Tally>) {
    let pool = Pool::builder(LogEwma::new()).latency_histograms(true).keep_departed(keep_departed).stripes(2).build();
    let tally = Arc::new(Tally::default());
    pool.update((0..ENDPOINTS).map(spec), |_| server(&tally)).expect("valid endpoints");
    let monitor = Monitor::new();
    monitor.add_pool(WatchedPool::new("sums", &pool));

    let done = Arc::new(AtomicBool::new(false));
    let reader = thread::spawn({
        let (monitor, tally, done) = (monitor.clone(), Arc::clone(&tally), Arc::clone(&done));
        move || {
            let mut seen = Seen::default();
            let mut readings = 0u64;
            while !done.load(Ordering::Acquire) {
                let report = only(&monitor);
                let requests = report.stats.requests();
                let sent = tally.sent.load(Ordering::SeqCst);
                assert!(requests <= sent, "{requests} of {sent}");
                seen.check(report);
                readings += 1;
            }
            readings
        }
    });
    let balance = Balance::new(pool.clone()).queue_timeout(Duration::from_millis(5));
    let mut callers = JoinSet::new();
    let all = requests() / 2;
    for first in 0..CALLERS {
        let ids = (first..all).step_by(CALLERS as usize);
        callers.spawn(call(pool.clone(), balance.clone(), Arc::clone(&tally), ids));
    }
    callers.join_all().await;
    done.store(true, Ordering::Release);
    assert!(reader.join().expect("no reading is wrong") > 0);
    assert_eq!(tally.sent.load(Ordering::SeqCst), all);
    (only(&monitor), tally)
}

/// Compares the totals of the pool with what services and callers have seen.
fn compare(stats: &PoolStats, tally: &Tally) {
    let attempts = stats.attempts;
    assert_eq!((stats.requests(), stats.waiting), (tally.sent.load(Ordering::SeqCst), 0));
    assert_eq!(attempts.in_flight, 0);
    assert_eq!(attempts.total, End::ALL.into_iter().map(|end| tally.of(end)).sum::<u64>());
    let counted = [
        attempts.success,
        attempts.failure_connect,
        attempts.failure_transport,
        attempts.failure_server,
        attempts.failure_gateway,
        attempts.overloaded,
        attempts.unavailable,
        attempts.cancelled,
    ];
    let seen = [
        tally.of(End::Success),
        tally.of(End::Refused),
        tally.of(End::Reset) + tally.of(End::Broken),
        tally.of(End::Error),
        tally.of(End::Gateway),
        tally.of(End::Overloaded),
        tally.of(End::Unavailable),
        tally.of(End::Cancelled),
    ];
    assert_eq!(counted, seen);
    assert_eq!((attempts.neutral, attempts.failure_timeout), (0, 0));
    for (reason, count) in stats.unserved.iter().filter(|(reason, _)| *reason != "cancelled") {
        assert_eq!(tally.errors.lock().get(reason).copied().unwrap_or_default(), *count, "{reason}");
    }
    // The test has made what it is about.
    let cancelled = stats.unserved.iter().find(|(reason, _)| *reason == "cancelled").map_or(0, |(_, count)| *count);
    let saturated = PickError::Saturated.as_str();
    assert!(tally.errors.lock().contains_key(saturated) && cancelled > 0, "{stats:?}");
    assert!(stats.queued > 0 && stats.retries > 0 && stats.failovers >= stats.retries, "{stats:?}");
    assert!(counted.iter().all(|count| *count > 0), "{counted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_that_were_counted_are_those_that_were_sent_if_no_departed_endpoint_is_listed() {
    let (report, tally) = run(Duration::ZERO).await;
    compare(&report.stats, &tally);
    assert!(report.departed.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_and_times_of_all_endpoints_are_those_of_their_services() {
    let (report, tally) = run(Duration::from_secs(3_600)).await;
    compare(&report.stats, &tally);
    assert!(!report.departed.is_empty());
    let all = report.endpoints.iter().chain(&report.departed).map(|endpoint| &endpoint.status);
    let (mut requests, mut times) = (0, [0, 0]);
    for status in all {
        requests += status.requests.total;
        let counts = [&status.latency, &status.duration].map(|times| times.as_ref().map_or(0, LatencyHistogram::count));
        times = [times[0] + counts[0], times[1] + counts[1]];
    }
    // At most 1 000 departed endpoints are listed. The totals have the others.
    if report.departed.len() < 1_000 {
        let answered = tally.answered.load(Ordering::Relaxed);
        assert_eq!((requests, times), (report.stats.attempts.total, [answered, answered]));
    }
}
