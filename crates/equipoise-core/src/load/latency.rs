//! Histograms of latencies, as they are reported.

use std::{fmt, time::Duration};

use super::buckets::{Latencies, lower_bound, middle, upper_bound};
use crate::time::saturating_nanos;

/// A histogram of latencies. A pool keeps histograms only with
/// [`PoolBuilder::latency_histograms`](crate::PoolBuilder::latency_histograms). It then has two of them for each endpoint:
/// [`EndpointStatus::latency`](crate::EndpointStatus::latency), the times to the first byte of responses, and
/// [`EndpointStatus::duration`](crate::EndpointStatus::duration), the whole times of requests.
///
/// The buckets are log-linear: each power of two is split into 16 buckets of equal width. For latencies from 1 µs to
/// 69 s, a [quantile](Self::quantile) differs from the exact value by at most 3.2 %. One bucket contains all latencies
/// below 1 µs, and another bucket contains all latencies above 69 s.
///
/// A histogram is a reading at one moment: it does not change. The [count](Self::count), the [sum](Self::sum) and the
/// buckets of one reading belong together: some latencies have exactly these values. A latency that is recorded while
/// the histogram is read may be missing, or may be in the histogram with another value of the same bucket. Readings of
/// one endpoint never decrease, neither in a bucket nor in the count or the sum.
///
/// A reading takes 16 bytes for each bucket that is not empty. There are 418 buckets, and latencies that differ by at most
/// a factor of 100 are in at most 113 of them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LatencyHistogram {
    /// The buckets that are not empty, in ascending order, with their numbers of latencies.
    counts: Vec<(u16, u64)>,
    sum: Duration,
}

impl LatencyHistogram {
    /// Reads the latencies of all stripes of an endpoint.
    pub(super) fn read<'a>(stripes: impl Iterator<Item = &'a Latencies> + Clone) -> Self {
        let read = Latencies::read(stripes);
        Self { counts: read.counts, sum: read.sum }
    }

    /// Returns the number of latencies in the histogram.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    /// Returns the sum of all latencies. The sum is exact, unlike the quantiles. Of each latency above 69 s, it has the
    /// whole microseconds.
    pub const fn sum(&self) -> Duration {
        self.sum
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
        let (bucket, _) = self.counts.iter().find(|(_, count)| {
            seen += count;
            seen >= rank
        })?;
        let bucket = usize::from(*bucket);
        Some(Duration::from_nanos(middle(bucket).unwrap_or_else(|| lower_bound(bucket))))
    }

    /// Returns the buckets that are not empty, in ascending order. Each bucket is a pair of a duration and a number.
    /// The duration is the exclusive upper bound of the latencies in the bucket. For the last possible bucket, it is
    /// [`Duration::MAX`]. The number is the number of latencies in the bucket.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.counts.iter().map(|&(bucket, count)| {
            (upper_bound(usize::from(bucket)).map_or(Duration::MAX, Duration::from_nanos), count)
        })
    }

    /// Returns for each bound how many latencies are at or below it, as the cumulative buckets of Prometheus count them.
    /// `bounds` may be in any order. Takes O(n) time for n bounds and the buckets of the histogram.
    ///
    /// As for a [quantile](Self::quantile), each latency counts as the middle of its bucket. A latency that differs from
    /// a bound by less than 3.2 % of the bound may therefore be counted on the wrong side of this bound. For a bound
    /// between two buckets, the number is exact, except that a latency equal to the bound does not count. A bound of
    /// [`Duration::MAX`] counts all latencies.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use equipoise_core::{EndpointSpec, ManualClock, PickRequest, Pool, RoundRobin};
    ///
    /// let clock = Arc::new(ManualClock::new());
    /// let pool = Pool::<()>::builder(RoundRobin::new()).clock(clock.clone()).latency_histograms(true).build();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// for millis in [3, 30, 40, 400] {
    ///     let mut lease = pool.pick(&PickRequest::new())?;
    ///     clock.advance(Duration::from_millis(millis));
    ///     lease.first_byte();
    /// }
    /// let latency = pool.endpoints().remove(0).latency.ok_or("no histogram")?;
    /// assert_eq!(latency.cumulative(&[5, 50, 500].map(Duration::from_millis)), [1, 3, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cumulative(&self, bounds: &[Duration]) -> Vec<u64> {
        let mut order: Vec<usize> = (0..bounds.len()).collect();
        order.sort_by_key(|&at| bounds.get(at));
        let mut all = vec![0; bounds.len()];
        let mut counts = self.counts.iter().peekable();
        let mut seen = 0;
        for at in order {
            let (Some(bound), Some(total)) = (bounds.get(at), all.get_mut(at)) else { continue };
            let bound = saturating_nanos(*bound);
            let is_within = |bucket: u16| middle(usize::from(bucket)).unwrap_or(u64::MAX) <= bound;
            while let Some((_, count)) = counts.next_if(|(bucket, _)| is_within(*bucket)) {
                seen += count;
            }
            *total = seen;
        }
        all
    }

    /// Adds the latencies of another histogram, for example those of another endpoint. The result is that of one
    /// histogram which has recorded the latencies of both.
    pub fn add(&mut self, other: &Self) {
        self.sum = self.sum.saturating_add(other.sum);
        let mine = std::mem::take(&mut self.counts);
        self.counts = joined(&mine, &other.counts, u64::saturating_add).collect();
    }

    /// Returns the latencies that were recorded after `earlier`, an earlier reading of the same endpoint. If `earlier` is
    /// of another endpoint, for example because the endpoint was removed and added again, the result is meaningless,
    /// but no bucket is below 0.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use equipoise_core::{EndpointSpec, ManualClock, PickRequest, Pool, RoundRobin};
    ///
    /// let clock = Arc::new(ManualClock::new());
    /// let pool = Pool::<()>::builder(RoundRobin::new()).clock(clock.clone()).latency_histograms(true).build();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// let request = |millis| {
    ///     let mut lease = pool.pick(&PickRequest::new())?;
    ///     clock.advance(Duration::from_millis(millis));
    ///     lease.first_byte();
    ///     Ok::<_, equipoise_core::PickError>(pool.endpoints().remove(0).latency.unwrap_or_default())
    /// };
    /// let earlier = request(500)?;
    /// let since = request(10)?.since(&earlier);
    /// assert_eq!((since.count(), since.sum()), (1, Duration::from_millis(10)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts =
            joined(&self.counts, &earlier.counts, u64::saturating_sub).filter(|(_, count)| *count > 0).collect();
        Self { counts, sum: self.sum.saturating_sub(earlier.sum) }
    }
}

/// Combines the counts of two histograms, bucket by bucket. A bucket that one of them does not have is empty.
fn joined<'a>(
    left: &'a [(u16, u64)],
    right: &'a [(u16, u64)],
    combine: impl Fn(u64, u64) -> u64 + 'a,
) -> impl Iterator<Item = (u16, u64)> + 'a {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    std::iter::from_fn(move || {
        let bucket = match (left.peek(), right.peek()) {
            (Some((left, _)), Some((right, _))) => *left.min(right),
            (Some((bucket, _)), None) | (None, Some((bucket, _))) => *bucket,
            (None, None) => return None,
        };
        let left = left.next_if(|(at, _)| *at == bucket).map_or(0, |(_, count)| *count);
        let right = right.next_if(|(at, _)| *at == bucket).map_or(0, |(_, count)| *count);
        Some((bucket, combine(left, right)))
    })
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
    use std::iter;

    use proptest::prelude::*;

    use super::*;

    fn of(nanos: &[u64]) -> LatencyHistogram {
        let latencies = Latencies::default();
        nanos.iter().for_each(|nanos| latencies.record(Duration::from_nanos(*nanos)));
        LatencyHistogram::read(iter::once(&latencies))
    }

    #[test]
    fn a_quantile_is_wrong_by_at_most_five_percent() {
        let mut nanos = 1_100;
        while nanos < 68_000_000_000 {
            let median = of(&[nanos]).quantile(0.5).map(|median| median.as_nanos() as f64);
            let error = median.map(|median| (median / nanos as f64 - 1.0).abs());
            assert!(error < Some(0.032), "{nanos} ns: {error:?}");
            nanos += nanos / 97 + 1;
        }
    }

    #[test]
    fn the_ends_of_the_scale_are_buckets_of_their_own() {
        let long = of(&[0, 1_000, 1 << 36, 1 << 40]);
        assert_eq!(long.buckets().collect::<Vec<_>>(), [(Duration::from_nanos(1 << 10), 2), (Duration::MAX, 2)]);
        assert_eq!(long.quantile(1.0), Some(Duration::from_nanos(1 << 36)));
        assert_eq!(long.cumulative(&[Duration::MAX, Duration::from_secs(3_600), Duration::ZERO]), [4, 2, 0]);
        assert_eq!(of(&[]), LatencyHistogram::default());
        assert_eq!(of(&[]).quantile(0.5), None);
    }

    /// Latencies of all sizes.
    fn latencies() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec((0u32..46, any::<u64>()).prop_map(|(bits, random)| random >> (63 - bits)), 0..60)
    }

    proptest! {
        #[test]
        fn stripes_and_added_histograms_are_as_one(first in latencies(), second in latencies()) {
            let stripes = [&first, &second].map(|nanos| {
                let latencies = Latencies::default();
                nanos.iter().for_each(|nanos| latencies.record(Duration::from_nanos(*nanos)));
                latencies
            });
            let all = of(&[first.clone(), second.clone()].concat());
            prop_assert_eq!(&LatencyHistogram::read(stripes.iter()), &all);
            let mut sum = of(&first);
            sum.add(&of(&second));
            prop_assert_eq!(&sum, &all);
            prop_assert_eq!(all.since(&of(&first)), of(&second));
            prop_assert_eq!(of(&first).since(&all), LatencyHistogram::default());
        }

        #[test]
        fn count_and_sum_are_exact(nanos in latencies()) {
            let histogram = of(&nanos);
            prop_assert_eq!(histogram.count(), nanos.len() as u64);
            prop_assert_eq!(histogram.buckets().map(|(_, count)| count).sum::<u64>(), nanos.len() as u64);
            let exact = |nanos: &u64| if *nanos < 1 << 36 { *nanos } else { nanos / 1_000 * 1_000 };
            prop_assert_eq!(histogram.sum(), Duration::from_nanos(nanos.iter().map(exact).sum()));
        }

        #[test]
        fn bounds_are_met_within_the_width_of_a_bucket(nanos in latencies(), bounds in latencies()) {
            let histogram = of(&nanos);
            let counts = histogram.cumulative(&bounds.iter().copied().map(Duration::from_nanos).collect::<Vec<_>>());
            for (&bound, count) in bounds.iter().zip(counts) {
                let below = |bound: f64| nanos.iter().filter(|&&nanos| (nanos as f64) <= bound).count() as u64;
                if (2_000..(1 << 36)).contains(&bound) {
                    let (least, most) = (below(bound as f64 / 1.033), below(bound as f64 * 1.033));
                    prop_assert!((least..=most).contains(&count), "{}: {} of {}..={}", bound, count, least, most);
                }
            }
            let borders: Vec<Duration> = histogram.buckets().map(|(bound, _)| bound).collect();
            for (border, count) in borders.iter().zip(histogram.cumulative(&borders)) {
                let exact = nanos.iter().filter(|&&nanos| Duration::from_nanos(nanos) < *border).count();
                prop_assert_eq!(count, exact as u64);
            }
        }
    }
}
