//! What a balancer could reach that knows every queue, computed without sockets.

use std::time::Duration;

use crate::{
    backend::{queues, share_of_the_first},
    load::{Arrival, Outcome, arrivals, histogram, record},
    oddity::Oddity,
};

/// Computes the latencies of the requests of a run if each is sent to the backend where a request of mean length would
/// end first. This balancer knows when each slot of each backend is free, and when stalls begin and end. Its requests
/// take no time on their way. It does not know the service time of a request before the request is sent.
///
/// Returns the results, and the share of the requests that the odd backend got.
pub(crate) fn run(oddity: Oddity, rate: f64, length: Duration, seed: u64) -> (Outcome, f64) {
    let mut backends = queues(oddity);
    let mut latency = histogram();
    for Arrival { at, service } in arrivals(rate, length, seed) {
        let backends = backends.iter_mut().filter_map(|backend| Some((backend.expected_end(at)?, backend)));
        let (_, best) = backends.min_by_key(|&(end, _)| end).expect("only the first backend fails");
        if let Some(end) = best.admit(at, service) {
            record(&mut latency, end - at);
        }
    }
    let served: Vec<u64> = backends.iter().map(|backend| backend.served()).collect();
    let outcome = Outcome { requests: latency.len(), errors: 0, latency, lateness: histogram() };
    (outcome, share_of_the_first(&served))
}
