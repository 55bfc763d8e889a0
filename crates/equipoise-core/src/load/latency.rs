//! Histograms of latencies in a fixed amount of memory.

use std::{
    fmt,
    // Not part of any model: nothing but reports depends on these counts.
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::time::saturating_nanos;

/// Each power of two is split into `2^SPLIT` buckets of equal width.
const SPLIT: u32 = 4;

/// All latencies below `2^FIRST` nanoseconds, about 1 µs, are in the first bucket.
const FIRST: u32 = 10;

/// All latencies of `2^LAST` nanoseconds or more, about 69 s, are in the last bucket.
const LAST: u32 = 36;

const BUCKETS: usize = (((LAST - FIRST) << SPLIT) + 2) as usize;

/// Returns the bucket of a latency.
fn bucket(nanos: u64) -> usize {
    match nanos.checked_ilog2() {
        None | Some(..FIRST) => 0,
        Some(LAST..) => BUCKETS - 1,
        Some(power) => {
            let part = (nanos >> (power - SPLIT)) & ((1 << SPLIT) - 1);
            1 + (((power - FIRST) << SPLIT) as usize) + part as usize
        }
    }
}

/// Returns the lowest latency, in nanoseconds, that is above the bucket.
fn upper_bound(bucket: usize) -> u64 {
    if bucket + 1 >= BUCKETS {
        return u64::MAX;
    }
    let (power, part) = (FIRST + (bucket as u32 >> SPLIT), bucket as u64 & ((1 << SPLIT) - 1));
    ((1 << SPLIT) + part) << (power - SPLIT)
}

/// The buckets to which leases add their latencies.
pub(crate) struct Latencies {
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Latencies {
    pub(crate) fn record(&self, latency: Duration) {
        let nanos = saturating_nanos(latency);
        if let Some(count) = self.counts.get(bucket(nanos)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> LatencyHistogram {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        LatencyHistogram { counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

/// A histogram of an endpoint's latencies. A latency is the time from the pick to the first byte of the response. A
/// pool records latencies only with [`PoolBuilder::latency_histograms`](crate::PoolBuilder::latency_histograms).
///
/// The latency ends at the call of [`Lease::first_byte`](crate::Lease::first_byte). Without that call, it ends when
/// [`Success`](crate::Verdict::Success) is recorded. Requests that fail before the first byte are not in the histogram.
///
/// The buckets are log-linear: each power of two is split into 16 buckets of equal width. For latencies from 1 µs to
/// 69 s, a [quantile](Self::quantile) differs from the exact value by at most 3.2 %. One bucket contains all latencies
/// below 1 µs, and another bucket contains all latencies above 69 s.
#[derive(Clone, PartialEq, Eq)]
pub struct LatencyHistogram {
    counts: Box<[u64]>,
    sum: u64,
}

impl LatencyHistogram {
    /// Returns the number of latencies in the histogram.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of all latencies. The sum is exact, unlike the quantiles.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// Returns a quantile of the latencies. `part` is the fraction of latencies at or below the quantile: 0.5 for the
    /// median, and 0.99 for the 99th percentile. The result is the middle of the bucket that contains the exact
    /// quantile.
    ///
    /// Range of `part`: 0 to 1. Lower values count as 0, and higher values count as 1. Returns `None` if the histogram
    /// is empty. Latencies above 69 s count as 69 s.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use equipoise_core::{EndpointSpec, ManualClock, PickRequest, Pool, RoundRobin};
    ///
    /// let clock = Arc::new(ManualClock::new());
    /// let pool = Pool::<()>::builder(RoundRobin::new()).clock(clock.clone()).latency_histograms(true).build();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// for millis in [10, 10, 10, 500] {
    ///     let mut lease = pool.pick(&PickRequest::new())?;
    ///     clock.advance(Duration::from_millis(millis));
    ///     lease.first_byte();
    /// }
    /// let status = pool.endpoints().remove(0);
    /// let latency = status.latency.ok_or("no histogram")?;
    /// assert_eq!(latency.count(), 4);
    /// assert_eq!(latency.sum(), Duration::from_millis(530));
    /// let median = latency.quantile(0.5).ok_or("no latency")?;
    /// assert!((median.as_secs_f64() / 0.01 - 1.0).abs() < 0.05, "{median:?}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let count = self.count();
        let rank = ((count as f64 * part.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        let lower = bucket.checked_sub(1).map_or(0, upper_bound);
        let upper = upper_bound(bucket);
        let value = if upper == u64::MAX { lower } else { lower + (upper - lower) / 2 };
        Some(Duration::from_nanos(value))
    }

    /// Returns the buckets that are not empty, in ascending order. Each bucket is a pair of a duration and a number.
    /// The duration is the exclusive upper bound of the latencies in the bucket. For the last possible bucket, it is
    /// [`Duration::MAX`]. The number is the number of latencies in the bucket.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(bucket, &count)| match upper_bound(bucket) {
            u64::MAX => (Duration::MAX, count),
            bound => (Duration::from_nanos(bound), count),
        })
    }

    /// Returns the latencies that were added after `earlier` was read. `earlier` is an earlier reading of the same
    /// histogram. If it is of another histogram, a bucket with fewer latencies than in `earlier` is empty in the result.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = self.counts.iter().zip(&earlier.counts).map(|(now, then)| now.saturating_sub(*then)).collect();
        Self { counts, sum: self.sum.saturating_sub(earlier.sum) }
    }

    /// Adds the latencies of another histogram.
    pub fn add(&mut self, other: &Self) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, other)| *mine += other);
    }
}

impl fmt::Debug for LatencyHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatencyHistogram")
            .field("count", &self.count())
            .field("sum", &self.sum())
            .field("median", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .finish_non_exhaustive()
    }
}

/// Serializes three fields: `count`, `sum` in seconds, and `buckets`. A bucket is a pair of its exclusive upper bound
/// in seconds (`null` for the last possible bucket) and its number of latencies.
#[cfg(feature = "serde")]
impl serde::Serialize for LatencyHistogram {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let seconds = |bound: Duration| (bound < Duration::MAX).then_some(bound.as_secs_f64());
        let buckets: Vec<_> = self.buckets().map(|(bound, count)| (seconds(bound), count)).collect();
        let mut histogram = serializer.serialize_struct("LatencyHistogram", 3)?;
        histogram.serialize_field("count", &self.count())?;
        histogram.serialize_field("sum", &self.sum().as_secs_f64())?;
        histogram.serialize_field("buckets", &buckets)?;
        histogram.end()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_begins_where_the_one_before_ends() {
        for at in 0..BUCKETS - 1 {
            assert_eq!((bucket(upper_bound(at) - 1), bucket(upper_bound(at))), (at, at + 1));
        }
        assert_eq!((bucket(0), bucket(u64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn a_difference_has_what_was_added_between_two_readings() {
        let latencies = Latencies::default();
        latencies.record(Duration::from_millis(1));
        let earlier = latencies.read();
        latencies.record(Duration::from_millis(1));
        latencies.record(Duration::from_millis(9));
        let mut sum = latencies.read().since(&earlier);
        assert_eq!((sum.count(), sum.sum()), (2, Duration::from_millis(10)));
        sum.add(&earlier);
        assert_eq!(sum, latencies.read());
        assert_eq!(earlier.since(&sum).count(), 0);
    }

    #[test]
    fn a_quantile_is_wrong_by_at_most_five_percent() {
        let mut nanos = 1_100;
        while nanos < 68_000_000_000 {
            let latencies = Latencies::default();
            latencies.record(Duration::from_nanos(nanos));
            let median = latencies.read().quantile(0.5).map(|median| median.as_nanos() as f64);
            let error = median.map(|median| (median / nanos as f64 - 1.0).abs());
            assert!(error < Some(0.05), "{nanos} ns: {error:?}");
            nanos += nanos / 97 + 1;
        }
    }
}
