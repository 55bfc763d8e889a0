//! Counters of what happens to requests beside their leases. Balancers count it, and only if it happens: a request that
//! is sent once counts nothing here.

use std::sync::atomic::{AtomicU64, Ordering}; // Not part of any model: nothing but reports depends on these counts.

use super::error::PickError;

/// The number of reasons why a request ends without an attempt.
const REASONS: usize = 10;

/// The reasons why a request ends without an attempt: the labels of [`PickError::as_str`], and `cancelled`.
const LABELS: [&str; REASONS] = [
    "empty",
    "unavailable",
    "saturated",
    "excluded",
    "bound",
    "unbound",
    "declined",
    "misbehaved",
    "panicked",
    "cancelled",
];

/// The place of `cancelled` in [`LABELS`].
const CANCELLED: usize = REASONS - 1;

/// Returns the place of the error in [`LABELS`].
const fn place_of(error: &PickError) -> usize {
    match error {
        PickError::Empty => 0,
        PickError::Unavailable { .. } => 1,
        PickError::Saturated => 2,
        PickError::Excluded => 3,
        PickError::Bound { .. } => 4,
        PickError::Unbound => 5,
        PickError::Declined => 6,
        PickError::Misbehaved { .. } => 7,
        PickError::Panicked => 8,
    }
}

/// The counters of a pool.
#[derive(Default)]
pub(super) struct Counters {
    retries: AtomicU64,
    failovers: AtomicU64,
    unserved: [AtomicU64; REASONS],
    /// The highest number of requests that was reported so far.
    reported: AtomicU64,
}

impl Counters {
    pub(super) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    pub(super) fn failovers(&self) -> u64 {
        self.failovers.load(Ordering::Relaxed)
    }

    pub(super) fn unserved(&self) -> Vec<(&'static str, u64)> {
        LABELS.into_iter().zip(&self.unserved).map(|(label, count)| (label, count.load(Ordering::Relaxed))).collect()
    }

    /// Returns the highest number of requests that was reported so far, `requests` included.
    pub(super) fn report_requests(&self, requests: u64) -> u64 {
        self.reported.fetch_max(requests, Ordering::Relaxed).max(requests)
    }

    pub(super) fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_failover(&self) {
        self.failovers.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that has ended without an attempt because of this error. `None`: it was given up.
    pub(super) fn count_unserved(&self, error: Option<&PickError>) {
        if let Some(count) = self.unserved.get(error.map_or(CANCELLED, place_of)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{binding::MissReason, ids::Slot};

    #[test]
    fn each_reason_has_a_place_with_its_label() {
        let errors = [
            PickError::Empty,
            PickError::Unavailable { members: 1 },
            PickError::Saturated,
            PickError::Excluded,
            PickError::Bound { missed: MissReason::Full },
            PickError::Unbound,
            PickError::Declined,
            PickError::Misbehaved { slot: Slot(0) },
            PickError::Panicked,
        ];
        assert_eq!(errors.len(), CANCELLED);
        let counters = Counters::default();
        for (place, error) in errors.iter().enumerate() {
            assert_eq!((place_of(error), LABELS.get(place)), (place, Some(&error.as_str())));
            (0..=place).for_each(|_| counters.count_unserved(Some(error)));
        }
        counters.count_unserved(None);
        let counts: Vec<u64> = counters.unserved().into_iter().map(|(_, count)| count).collect();
        assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8, 9, 1]);
    }
}
