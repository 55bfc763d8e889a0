//! Pools that a monitor reads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use equipoise_core::{EndpointSpec, ManualClock, PickRequest, Pool, Verdict};
use equipoise_monitor::{Monitor, WatchedPool};

use crate::{Kind, id};

/// Requests for each endpoint of [`recorded`] from each of two threads.
const REQUESTS: u64 = 40;

/// Creates a monitor that reads this pool.
pub fn monitor<T: Send + Sync + 'static>(pool: &Pool<T>) -> Monitor {
    let monitor = Monitor::new();
    monitor.add_pool(WatchedPool::new("bench", pool));
    monitor
}

/// Runs `f` while a thread takes a snapshot each 10 ms: 1 500 times as often as Prometheus does by default.
pub fn while_read<R>(monitor: &Monitor, f: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                drop(std::hint::black_box(monitor.snapshot()));
                thread::park_timeout(Duration::from_millis(10));
            }
        });
        let result = f();
        done.store(true, Ordering::Relaxed);
        reader.thread().unpark();
        result
    })
}

/// Creates a pool of `n` endpoints that have had requests from two threads, and so have counts in two stripes. Their
/// latencies are between 1 ms and 256 ms, as evenly as possible on a logarithmic scale.
///
/// # Panics
///
/// Never: the endpoints are valid.
pub fn recorded(n: usize, histograms: bool) -> Pool<()> {
    let clock = Arc::new(ManualClock::new());
    let builder = Pool::builder(Kind::RoundRobin.strategy()).clock(clock.clone()).latency_histograms(histograms);
    let pool = builder.build();
    pool.update((0..n).map(|at| EndpointSpec::new(id(at).as_str())), |_| ()).expect("valid endpoints");
    for _ in 0..2 {
        thread::scope(|scope| {
            scope.spawn(|| {
                for at in 0..n as u64 * REQUESTS {
                    let mut lease = pool.pick(&PickRequest::new()).expect("endpoints are up");
                    // An odd multiplier visits all parts of the range.
                    let part = (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24);
                    clock.advance(Duration::from_millis(1).mul_f64((part * 8.0).exp2()));
                    lease.first_byte();
                    lease.finish(Verdict::Success);
                }
            });
        });
    }
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_has_had_requests_of_many_latencies() {
        let pool = recorded(10, true);
        for endpoint in pool.endpoints() {
            let latency = endpoint.latency.expect("it has a histogram");
            assert_eq!((endpoint.requests.success, latency.count()), (2 * REQUESTS, 2 * REQUESTS));
            assert!(latency.buckets().count() > 20, "{latency:?}");
        }
    }

    #[test]
    fn a_pool_is_read_meanwhile() {
        let pool = recorded(1, false);
        let seen = while_read(&monitor(&pool), || pool.stats().attempts.success);
        assert_eq!(seen, 2 * REQUESTS);
    }
}
