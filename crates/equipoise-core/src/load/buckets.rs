//! The buckets of latency histograms, and the counters to which leases add their latencies.
//!
//! The scale is log-linear, as that of HdrHistogram: each power of two nanoseconds is split into [`PARTS`] buckets of
//! equal width. The buckets of one power are a *group*. Most endpoints use few groups, so a reader reads only the groups
//! that contain a latency.

use std::{
    // Not part of any model: nothing but reports depends on these counts.
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use crate::time::saturating_nanos;

/// Each power of two is split into `2^SPLIT` buckets.
const SPLIT: u32 = 4;

/// The number of buckets of a group.
const PARTS: usize = 1 << SPLIT;

/// All latencies below `2^FIRST` nanoseconds, about 1 µs, are in the first bucket.
const FIRST: u32 = 10;

/// All latencies of `2^LAST` nanoseconds or more, about 69 s, are in the last bucket.
const LAST: u32 = 36;

/// The number of groups: one for each power of two, one for the first bucket and one for the last one.
const GROUPS: usize = (LAST - FIRST) as usize + 2;

/// Nanoseconds per microsecond.
const MICRO: u64 = 1_000;

/// The number of buckets.
pub(super) const BUCKETS: usize = (((LAST - FIRST) << SPLIT) + 2) as usize;

/// Returns the bucket of a latency.
fn bucket(nanos: u64) -> usize {
    match nanos.checked_ilog2() {
        None | Some(..FIRST) => 0,
        Some(LAST..) => BUCKETS - 1,
        Some(power) => {
            let part = (nanos >> (power - SPLIT)) & (PARTS as u64 - 1);
            1 + (((power - FIRST) << SPLIT) as usize) + part as usize
        }
    }
}

/// Returns the group of a bucket.
fn group(bucket: usize) -> usize {
    bucket.div_ceil(PARTS)
}

/// Returns the buckets of a group.
fn buckets_of(group: usize) -> std::ops::Range<usize> {
    let first = if group == 0 { 0 } else { (group - 1) * PARTS + 1 };
    first..(group * PARTS + 1).min(BUCKETS)
}

/// Returns the lowest latency of a bucket, in nanoseconds.
pub(super) fn lower_bound(bucket: usize) -> u64 {
    bucket.checked_sub(1).map_or(0, end_of)
}

/// Returns the lowest latency, in nanoseconds, that is above the bucket. `None` for the last bucket.
pub(super) fn upper_bound(bucket: usize) -> Option<u64> {
    (bucket + 1 < BUCKETS).then(|| end_of(bucket))
}

/// Returns the lowest latency, in nanoseconds, that is above the bucket, as if the scale went on after the last bucket.
fn end_of(bucket: usize) -> u64 {
    let (power, part) = (FIRST + (bucket as u32 >> SPLIT), bucket as u64 & (PARTS as u64 - 1));
    (PARTS as u64 + part) << (power - SPLIT)
}

/// Returns the middle of the bucket, in nanoseconds. `None` for the last bucket.
pub(super) fn middle(bucket: usize) -> Option<u64> {
    let lower = lower_bound(bucket);
    upper_bound(bucket).map(|upper| lower + (upper - lower) / 2)
}

/// The counters to which the leases of one stripe add their latencies. They take 3.4 KB.
///
/// A latency is recorded by two additions. A reader may see only one of them. The sum is therefore not one of the
/// counters: it is the sum of the lower bounds of the counted latencies, plus the counted distances to these bounds, as
/// far as such distances are possible. Every reading is so the exact reading of some latencies.
pub(crate) struct Latencies {
    counts: [AtomicU64; BUCKETS],
    /// The groups that contain a latency, one bit each.
    used: AtomicU32,
    /// The sum of the distances of latencies from the lower bounds of their buckets, without the last bucket. In
    /// nanoseconds.
    above: AtomicU64,
    /// The sum of the distances of latencies in the last bucket from its lower bound. In microseconds: in nanoseconds,
    /// the sum for 10 000 long connections would overflow within weeks.
    beyond: AtomicU64,
}

const _: () = assert!(GROUPS <= u32::BITS as usize, "`used` has a bit for each group");

/// What was read from the [`Latencies`] of all stripes of an endpoint.
pub(super) struct ReadLatencies {
    /// The buckets that are not empty, in ascending order, with their numbers of latencies.
    pub(super) counts: Vec<(u16, u64)>,
    pub(super) sum: Duration,
}

impl Latencies {
    pub(crate) fn record(&self, latency: Duration) {
        let nanos = saturating_nanos(latency);
        let bucket = bucket(nanos);
        let used = 1 << group(bucket);
        if self.used.load(Ordering::Relaxed) & used == 0 {
            self.used.fetch_or(used, Ordering::Relaxed);
        }
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let lower = lower_bound(bucket);
        match upper_bound(bucket) {
            Some(_) => self.above.fetch_add(nanos - lower, Ordering::Relaxed),
            None => self.beyond.fetch_add(nanos / MICRO - lower / MICRO, Ordering::Relaxed),
        };
    }

    /// Reads the latencies of all stripes of an endpoint. Reads only the groups that contain a latency.
    pub(super) fn read<'a>(stripes: impl Iterator<Item = &'a Self> + Clone) -> ReadLatencies {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut used = stripes.clone().fold(0, |used, stripe| used | stripe.used.load(Ordering::Relaxed));
        let mut counts = Vec::new();
        // The sum of all lower bounds, and the highest possible sum of distances from them.
        let (mut base, mut width) = (0, 0);
        while used != 0 {
            let group = used.trailing_zeros() as usize;
            used &= used - 1;
            for bucket in buckets_of(group) {
                let count: u64 = stripes.clone().filter_map(|stripe| stripe.counts.get(bucket)).map(load).sum();
                if count > 0 {
                    let lower = lower_bound(bucket);
                    let (least, range) = match upper_bound(bucket) {
                        Some(upper) => (lower, upper - lower - 1),
                        None => (lower / MICRO * MICRO, 0),
                    };
                    base += u128::from(count) * u128::from(least);
                    width += u128::from(count) * u128::from(range);
                    counts.push((bucket as u16, count));
                }
            }
        }
        let is_long = counts.last().is_some_and(|&(bucket, _)| usize::from(bucket) == BUCKETS - 1);
        let above: u128 = stripes.clone().map(|stripe| u128::from(load(&stripe.above))).sum();
        let beyond: u128 = stripes.map(|stripe| u128::from(load(&stripe.beyond))).sum();
        let sum = base + above.min(width) + if is_long { beyond * u128::from(MICRO) } else { 0 };
        ReadLatencies { counts, sum: from_nanos(sum) }
    }
}

/// Returns a duration of so many nanoseconds.
fn from_nanos(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    let seconds = u64::try_from(nanos / SECOND).unwrap_or(u64::MAX);
    Duration::new(seconds, (nanos % SECOND) as u32)
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            used: AtomicU32::new(0),
            above: AtomicU64::new(0),
            beyond: AtomicU64::new(0),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::iter;

    use super::*;

    #[test]
    fn a_bucket_begins_where_the_one_before_ends() {
        for at in 0..BUCKETS - 1 {
            let end = upper_bound(at).expect("it is not the last bucket");
            assert_eq!((bucket(end - 1), bucket(end), lower_bound(at + 1)), (at, at + 1, end));
        }
        assert_eq!((bucket(0), bucket(u64::MAX), upper_bound(BUCKETS - 1)), (0, BUCKETS - 1, None));
    }

    #[test]
    fn each_bucket_is_in_one_group() {
        let all: Vec<usize> = (0..GROUPS).flat_map(buckets_of).collect();
        assert!(all.into_iter().eq(0..BUCKETS));
        for at in 0..BUCKETS {
            assert!(buckets_of(group(at)).contains(&at), "{at}");
        }
    }

    #[test]
    fn a_reading_between_the_two_additions_of_a_latency_is_one_of_some_latencies() {
        let latencies = Latencies::default();
        let nanos = 5_000_000;
        latencies.counts[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
        latencies.used.fetch_or(1 << group(bucket(nanos)), Ordering::Relaxed);
        let only_counted = Latencies::read(iter::once(&latencies));
        assert_eq!(only_counted.sum, Duration::from_nanos(lower_bound(bucket(nanos))));

        let latencies = Latencies::default();
        latencies.record(Duration::from_nanos(nanos));
        latencies.above.fetch_add(300_000_000, Ordering::Relaxed);
        let only_added = Latencies::read(iter::once(&latencies));
        assert_eq!(only_added.counts, [(bucket(nanos) as u16, 1)]);
        assert_eq!(only_added.sum, Duration::from_nanos(upper_bound(bucket(nanos)).unwrap() - 1));
    }

    #[test]
    fn the_sum_of_very_long_latencies_does_not_overflow() {
        let latencies = Latencies::default();
        let year = Duration::from_secs(365 * 24 * 3_600);
        for _ in 0..1_000 {
            latencies.record(year);
        }
        let sum = Latencies::read(iter::once(&latencies)).sum;
        assert!(sum > year * 999 && sum <= year * 1_000, "{sum:?}");
    }
}
