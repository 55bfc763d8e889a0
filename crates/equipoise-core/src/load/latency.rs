//! A histogram of latencies in fixed memory.

use std::{
    fmt,
    // Not part of any model: nothing but reports depends on these counts.
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::time::saturating_nanos;

/// Every power of two is split into `2^SPLIT` buckets of equal width.
const SPLIT: u32 = 4;

/// Latencies below `2^FIRST` nanoseconds, about 1 µs, share one bucket.
const FIRST: u32 = 10;

/// Latencies from `2^LAST` nanoseconds on, about 69 s, share one bucket.
const LAST: u32 = 36;

const BUCKETS: usize = (((LAST - FIRST) << SPLIT) + 2) as usize;

/// The bucket of a latency.
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

/// The lowest latency that belongs to a bucket above this one, in nanoseconds.
fn upper_bound(bucket: usize) -> u64 {
    if bucket + 1 >= BUCKETS {
        return u64::MAX;
    }
    let (power, part) = (FIRST + (bucket as u32 >> SPLIT), bucket as u64 & ((1 << SPLIT) - 1));
    ((1 << SPLIT) + part) << (power - SPLIT)
}

/// Latencies as they are recorded.
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

/// How long an endpoint took to the first byte of its responses: see
/// [`PoolBuilder::latency_histograms`](crate::PoolBuilder::latency_histograms).
///
/// A latency is the time from the pick to [`Lease::first_byte`](crate::Lease::first_byte), or to a
/// [`Success`](crate::Verdict::Success) that is recorded without one. Failures are not in it.
///
/// The buckets are log-linear: 16 of equal width for each power of two. From 1 µs to 69 s, a
/// [quantile](Self::quantile) differs from the exact value by at most 3.2 %. Latencies below and above share one bucket
/// each.
#[derive(Clone, PartialEq, Eq)]
pub struct LatencyHistogram {
    counts: Box<[u64]>,
    sum: u64,
}

impl LatencyHistogram {
    /// Returns the number of latencies.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of all latencies. It is exact, unlike the buckets.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// Returns an upper bound of the fastest `part` of the latencies: 0.5 for the median, 0.99 for the 99th percentile.
    /// `part` is clamped to the range from 0 to 1. `None` if there is no latency yet. Latencies above 69 s count as 69 s.
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

    /// Returns the buckets that are not empty, in ascending order: the exclusive upper bound of their latencies, and how
    /// many there are. The last bucket's bound is [`Duration::MAX`].
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(bucket, &count)| match upper_bound(bucket) {
            u64::MAX => (Duration::MAX, count),
            bound => (Duration::from_nanos(bound), count),
        })
    }

    /// Adds the latencies of another stripe.
    pub(crate) fn add(&mut self, other: &Self) {
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

/// Seconds: `count`, `sum`, and `buckets` as pairs of an exclusive upper bound (`null` for the last) and a count.
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
