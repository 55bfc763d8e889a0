//! The samples of each second: rates and percentiles, computed from two readings of counters.

use std::time::Duration;

use equipoise_core::{LatencyHistogram, RequestCounts};

/// What happened in one second, at an endpoint or in a pool.
///
/// Rates are per second of the time that has really passed. If the task that takes samples was held up, one sample
/// covers more than a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Sample {
    /// The number of attempts that have ended, per second.
    pub rate: f32,
    /// The number of those attempts that have failed, per second: with any kind of failure, or because the endpoint was
    /// overloaded or unavailable.
    pub errors: f32,
    /// The number of requests in flight at the end of the second.
    pub in_flight: u32,
    /// The median of the times to the first byte, in milliseconds. `None` without requests or histograms.
    pub p50: Option<f32>,
    /// The 99th percentile of the times to the first byte, in milliseconds. `None` without requests or histograms.
    pub p99: Option<f32>,
}

impl Sample {
    /// Computes the sample between two readings. `latency` has the latencies that were added between them. A counter
    /// that has decreased counts as unchanged.
    pub(super) fn between(
        before: &RequestCounts,
        after: &RequestCounts,
        latency: Option<&LatencyHistogram>,
        elapsed: Duration,
    ) -> Self {
        let per_second = |before: u64, after: u64| match elapsed.as_secs_f64() {
            0.0 => 0.0,
            seconds => (after.saturating_sub(before) as f64 / seconds) as f32,
        };
        let millis = |part| latency.and_then(|it| it.quantile(part)).map(|it| (it.as_secs_f64() * 1e3) as f32);
        Self {
            rate: per_second(ended(before), ended(after)),
            errors: per_second(failed(before), failed(after)),
            in_flight: u32::try_from(after.in_flight).unwrap_or(u32::MAX),
            p50: millis(0.5),
            p99: millis(0.99),
        }
    }
}

/// Returns the number of attempts that have ended.
fn ended(counts: &RequestCounts) -> u64 {
    counts.total.saturating_sub(counts.in_flight)
}

/// Returns the number of attempts that have failed.
fn failed(counts: &RequestCounts) -> u64 {
    counts.failure_connect
        + counts.failure_transport
        + counts.failure_timeout
        + counts.failure_gateway
        + counts.failure_server
        + counts.overloaded
        + counts.unavailable
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use equipoise_core::{EndpointSpec, Failure, ManualClock, PickRequest, Pool, RoundRobin, Verdict};

    use super::*;

    #[test]
    fn rates_are_per_second_of_the_time_that_has_passed() {
        let pool: Pool<()> = Pool::default();
        pool.add(EndpointSpec::new("a:80"), ()).unwrap();
        let read = || pool.endpoints()[0].requests;
        let end = |verdict| pool.pick(&PickRequest::new()).unwrap().finish(verdict);
        end(Verdict::Failure(Failure::Server));
        let before = read();
        (0..6).for_each(|_| end(Verdict::Success));
        end(Verdict::Neutral);
        end(Verdict::Failure(Failure::Connect));
        end(Verdict::Overloaded { retry_after: None });
        drop(pool.pick(&PickRequest::new()).unwrap());
        let _open = pool.pick(&PickRequest::new()).unwrap();
        let sample = Sample::between(&before, &read(), None, Duration::from_millis(2_500));
        assert_eq!(sample, Sample { rate: 4.0, errors: 0.8, in_flight: 1, p50: None, p99: None });
        let sample = Sample::between(&before, &read(), None, Duration::ZERO);
        assert_eq!((sample.rate, sample.errors), (0.0, 0.0));
    }

    #[test]
    fn percentiles_are_those_of_the_latencies_between_the_readings() {
        let clock = Arc::new(ManualClock::new());
        let pool = Pool::<()>::builder(RoundRobin::new()).clock(clock.clone()).latency_histograms(true).build();
        pool.add(EndpointSpec::new("a:80"), ()).unwrap();
        let serve = |millis| {
            let lease = pool.pick(&PickRequest::new()).unwrap();
            clock.advance(Duration::from_millis(millis));
            lease.finish(Verdict::Success);
        };
        let read = || pool.endpoints().remove(0);
        (0..1_000).for_each(|_| serve(5));
        let before = read();
        (0..98).for_each(|_| serve(20));
        (0..2).for_each(|_| serve(900));
        let after = read();
        let latency = after.latency.as_ref().map(|it| it.since(before.latency.as_ref().unwrap()));
        let elapsed = Duration::from_secs(1);
        let sample = Sample::between(&before.requests, &after.requests, latency.as_ref(), elapsed);
        let near = |value: Option<f32>, exact: f32| (value.unwrap() / exact - 1.0).abs() < 0.05;
        assert!(near(sample.p50, 20.0) && near(sample.p99, 900.0), "{sample:?}");
    }

    #[test]
    fn a_counter_that_has_decreased_gives_no_rate() {
        let mut before = RequestCounts::default();
        before.total = 9;
        before.success = 9;
        let sample = Sample::between(&before, &RequestCounts::default(), None, Duration::from_secs(1));
        assert_eq!(sample, Sample::default());
    }
}
