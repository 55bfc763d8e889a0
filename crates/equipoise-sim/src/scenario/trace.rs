use std::{sync::Arc, time::Duration};

use super::error::InvalidScenario;

/// A list of requests, each with its arrival time and its work. It replaces the random arrivals and the random work of
/// a scenario ([`Scenario::trace`](crate::Scenario::trace)).
///
/// Send the same list to real servers to compare the simulation with a real run. A [`Report`](crate::Report) has the
/// distribution of all latencies, not the latency of each request.
///
/// ```
/// use std::time::Duration;
/// use equipoise_core::StrategySpec;
/// use equipoise_sim::{Scenario, Server, Trace};
///
/// let ms = Duration::from_millis;
/// let trace = Trace::new([(ms(0), ms(10)), (ms(5), ms(10)), (ms(30), ms(20))]);
/// let report = Scenario::of(1, Server::fifo(1)).trace(trace).run(&"p2c".parse::<StrategySpec>()?)?;
/// assert_eq!(report.ends.answered, 3);
/// assert!(report.latency.max().abs_diff(ms(20)) < ms(1), "the third; the second waits for the first: 15 ms");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The arrival time in nanoseconds from the start of the run and the work in core-seconds of each request, in the
    /// given order.
    pub(crate) requests: Arc<[(u64, f64)]>,
    in_order: bool,
}

impl Trace {
    /// Creates a trace. `requests` has a pair for each request, in the order of the arrival times. The first value is
    /// the arrival time, from the start of the run. The second value is the work: the time that one core of speed 1.0
    /// needs for the request. There must be at least one request.
    pub fn new(requests: impl IntoIterator<Item = (Duration, Duration)>) -> Self {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let requests: Arc<[(u64, f64)]> =
            requests.into_iter().map(|(at, work)| (nanos(at), work.as_secs_f64())).collect();
        let in_order = requests.is_sorted_by_key(|(at, _)| *at);
        Self { requests, in_order }
    }

    /// Returns the length of the shortest run in which all requests arrive.
    pub(super) fn lasting(&self) -> Duration {
        Duration::from_nanos(self.requests.last().map_or(1, |(at, _)| at.saturating_add(1)))
    }

    pub(super) fn check(&self) -> Result<(), InvalidScenario> {
        match self.in_order {
            _ if self.requests.is_empty() => Err(InvalidScenario::Trace { what: "it has no requests: use at least 1" }),
            false => Err(InvalidScenario::Trace {
                what: "its requests are not in the order of their arrival times: sort them",
            }),
            true => Ok(()),
        }
    }
}
