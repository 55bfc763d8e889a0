//! A bound for all subjects: a balancer that knows everything, computed without sockets.

use std::time::Duration;

use crate::{
    backend::{queues, share_of_the_first},
    load::{Outcome, arrivals, histogram, record},
    oddity::Oddity,
};

/// Computes the latencies of the requests of a run if each is sent to the backend where a request of mean length would
/// end first. This balancer knows the queue of each backend and when stalls begin and end; its requests take no time on
/// their way. It does not know the service times in advance.
///
/// Returns the results, and the share of the requests that the odd backend got.
pub(crate) fn run(oddity: Oddity, rate: f64, length: Duration, seed: u64) -> (Outcome, f64) {
    let mut backends = queues(oddity, seed);
    let mut latency = histogram();
    for now in arrivals(rate, length, seed) {
        let best = backends.iter_mut().filter_map(|backend| Some((backend.expected_end(now)?, backend)));
        let (_, best) = best.min_by_key(|&(end, _)| end).expect("only the first backend fails");
        if let Some(end) = best.admit(now) {
            record(&mut latency, end - now);
        }
    }
    let served: Vec<u64> = backends.iter().map(|backend| backend.served()).collect();
    let outcome = Outcome { requests: latency.len(), errors: 0, latency, lateness: histogram() };
    (outcome, share_of_the_first(&served))
}
