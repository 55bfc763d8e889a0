//! The buckets of exported histograms. Their bounds are powers of two in nanoseconds, which are bounds of the buckets of
//! [`LatencyHistogram`] too: the counts are exact.

use std::time::Duration;

use equipoise_core::LatencyHistogram;

/// The first bucket has the latencies below `2^FIRST` nanoseconds, about 131 µs. The bounds have the same digits in both
/// formats from here on: Go writes smaller numbers with an exponent.
const FIRST: u32 = 17;

/// The last bucket has the latencies of `2^LAST` nanoseconds or more, about 69 s.
const LAST: u32 = 36;

/// The number of buckets.
pub(super) const COUNT: usize = (LAST - FIRST) as usize + 2;

/// Returns the upper bound of each bucket in seconds, with the number of latencies of all histograms in the bucket.
pub(super) fn counts(histograms: &[&LatencyHistogram]) -> [(f64, u64); COUNT] {
    let mut counts = std::array::from_fn(|bucket| (upper_bound(bucket), 0));
    for (upper, count) in histograms.iter().flat_map(|histogram| histogram.buckets()) {
        let below = upper.saturating_sub(Duration::from_nanos(1));
        if let Some((_, sum)) = counts.get_mut(of(below)) {
            *sum += count;
        }
    }
    counts
}

/// Returns the bucket of a latency.
pub(super) fn of(latency: Duration) -> usize {
    let power = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).checked_ilog2().unwrap_or(0);
    ((power + 1).saturating_sub(FIRST) as usize).min(COUNT - 1)
}

fn upper_bound(bucket: usize) -> f64 {
    if bucket + 1 < COUNT { Duration::from_nanos(1 << (FIRST + bucket as u32)).as_secs_f64() } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_below_the_bound_of_its_bucket_and_not_below_the_one_before() {
        for nanos in (0..64).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]) {
            let (bucket, seconds) = (of(Duration::from_nanos(nanos)), Duration::from_nanos(nanos).as_secs_f64());
            assert!(seconds < upper_bound(bucket), "{nanos} ns in {bucket}");
            assert!(bucket == 0 || seconds >= upper_bound(bucket - 1), "{nanos} ns in {bucket}");
        }
        assert_eq!(of(Duration::MAX), COUNT - 1);
    }
}
