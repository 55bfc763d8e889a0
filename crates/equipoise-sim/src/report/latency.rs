use std::time::Duration;

use hdrhistogram::Histogram;

/// A distribution of latencies. Latencies that differ by less than about 0.1 % may be stored as one value. Percentiles
/// are therefore up to 0.1 % too large. The mean is exact.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "Recorded", into = "Recorded"))]
pub struct Latency {
    /// The latencies in nanoseconds.
    histogram: Histogram<u64>,
    /// Sum of all latencies in nanoseconds. It is exact; the sum over the histogram would not be.
    total: u128,
}

impl Latency {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, u64::MAX / 2, 3).expect("three digits of 63 bits");
        Self { histogram, total: 0 }
    }

    pub(crate) fn record(&mut self, nanos: u64) {
        self.histogram.saturating_record(nanos);
        self.total += u128::from(nanos);
    }

    /// Returns the number of requests whose latencies were recorded.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Returns the mean latency. Zero without requests.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.total / u128::from(self.count().max(1))).unwrap_or(u64::MAX))
    }

    /// Returns the latency that the share `part` of all latencies does not exceed: 0.5 gives the median, 0.99 the 99th
    /// percentile. Range of `part`: 0 to 1. The result is up to 0.1 % larger than the exact value. Zero without
    /// requests.
    pub fn quantile(&self, part: f64) -> Duration {
        Duration::from_nanos(self.histogram.value_at_quantile(part))
    }

    /// Returns the median latency. Zero without requests.
    pub fn p50(&self) -> Duration {
        self.quantile(0.5)
    }

    /// Returns the 90th percentile of the latency. Zero without requests.
    pub fn p90(&self) -> Duration {
        self.quantile(0.9)
    }

    /// Returns the 99th percentile of the latency. Zero without requests.
    pub fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    /// Returns the 99.9th percentile of the latency. Zero without requests.
    pub fn p999(&self) -> Duration {
        self.quantile(0.999)
    }

    /// Returns the largest latency, rounded up by at most 0.1 %. Zero without requests.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.histogram.max())
    }

    /// Returns the number of requests with a latency of at most `limit`. Latencies are stored with a relative error of
    /// up to 0.1 %. Requests that exceed `limit` by up to 0.1 % may therefore be counted too. 0 without requests.
    pub fn count_within(&self, limit: Duration) -> u64 {
        if self.count() == 0 {
            return 0;
        }
        self.histogram.count_between(0, u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Adds the latencies of `other`, for example of another run, to this distribution.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds, so this cannot fail.
        let _ = self.histogram.add(&other.histogram);
        self.total += other.total;
    }

    /// Returns pairs of a latency and the number of requests with this latency, in ascending order of latency.
    /// Latencies that differ by less than about 0.1 % may be combined into one pair. The latency of a pair is therefore
    /// up to 0.1 % too large.
    pub fn recorded(&self) -> impl Iterator<Item = (Duration, u64)> {
        let values = self.histogram.iter_recorded();
        values.map(|value| (Duration::from_nanos(value.value_iterated_to()), value.count_at_value()))
    }
}

/// The serialized form of a [`Latency`].
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
struct Recorded {
    total_nanos: u128,
    /// Pairs of a latency in nanoseconds and the number of requests that had it.
    counts: Vec<(u64, u64)>,
}

#[cfg(feature = "serde")]
impl From<Latency> for Recorded {
    fn from(latency: Latency) -> Self {
        let counts = latency.recorded().map(|(value, count)| (value.as_nanos() as u64, count)).collect();
        Self { total_nanos: latency.total, counts }
    }
}

#[cfg(feature = "serde")]
impl From<Recorded> for Latency {
    fn from(recorded: Recorded) -> Self {
        let mut latency = Self::new();
        for (nanos, count) in recorded.counts {
            latency.histogram.saturating_record_n(nanos, count);
        }
        latency.total = recorded.total_nanos;
        latency
    }
}
