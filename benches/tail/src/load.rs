//! Open-loop load: requests are sent at times that do not depend on the responses, and their latency is measured from
//! the time at which they should have been sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Exp1};
use tokio::runtime::Handle;

use crate::{oddity::MEAN_SERVICE, subject::Subject};

/// The results of one subject under one oddity.
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    /// Requests without a response, and responses with a status of 500 or above.
    pub(crate) errors: u64,
    /// Latency of all requests, in microseconds from the intended time of sending.
    pub(crate) latency: Histogram<u64>,
    /// How late requests were sent, in microseconds.
    pub(crate) lateness: Histogram<u64>,
}

/// A request that is to be sent.
pub(crate) struct Arrival {
    /// When it is to be sent, from the start of the run.
    pub(crate) at: Duration,
    /// For how long it occupies a slot of a backend without an oddity.
    pub(crate) service: Duration,
}

/// Returns the requests of a run: a Poisson process with `rate` requests per second that lasts for `length`, with
/// exponentially distributed service times.
pub(crate) fn arrivals(rate: f64, length: Duration, seed: u64) -> impl Iterator<Item = Arrival> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut at = Duration::ZERO;
    std::iter::from_fn(move || {
        let (gap, service): (f64, f64) = (Exp1.sample(&mut random), Exp1.sample(&mut random));
        at += Duration::from_secs_f64(gap / rate);
        (at < length).then_some(Arrival { at, service: MEAN_SERVICE.mul_f64(service) })
    })
}

/// Sends requests at the times that [`arrivals`] returns, counted from `epoch`, and waits for all responses. Blocks the
/// thread.
pub(crate) fn run(
    subject: &Arc<dyn Subject>,
    client: &Handle,
    rate: f64,
    length: Duration,
    seed: u64,
    epoch: Instant,
) -> Outcome {
    let recorded = Arc::new(Recorded { latency: Mutex::new(histogram()), errors: AtomicU64::new(0) });
    let mut lateness = histogram();
    let mut pending = Vec::new();
    for Arrival { at, service } in arrivals(rate, length, seed) {
        let at = epoch + at;
        let wait = at.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        record(&mut lateness, at.elapsed());
        let (subject, recorded) = (Arc::clone(subject), Arc::clone(&recorded));
        pending.push(client.spawn(async move {
            let succeeded = subject.send(service).await;
            record(&mut recorded.latency.lock(), at.elapsed());
            if !succeeded {
                recorded.errors.fetch_add(1, Relaxed);
            }
        }));
    }
    let requests = pending.len() as u64;
    client.block_on(async {
        for request in pending {
            // A task that panicked recorded nothing: it is missing from the requests that are counted below.
            let _ = request.await;
        }
    });
    let latency = recorded.latency.lock().clone();
    let lost = requests - latency.len();
    Outcome { requests, errors: recorded.errors.load(Relaxed) + lost, latency, lateness }
}

struct Recorded {
    latency: Mutex<Histogram<u64>>,
    errors: AtomicU64,
}

/// From a microsecond to ten minutes, with three significant digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are valid")
}

pub(crate) fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(time.as_micros() as u64);
}
