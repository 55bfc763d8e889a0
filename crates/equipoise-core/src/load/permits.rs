use crate::sync::{AtomicU32, Ordering};

/// The exact count behind `max_in_flight`: one counter by compare-and-swap, taken only where a limit is set.
#[derive(Debug)]
pub(crate) struct Permits {
    used: AtomicU32,
    limit: AtomicU32,
}

/// Stands for "no limit".
const UNLIMITED: u32 = u32::MAX;

impl Permits {
    pub(crate) fn new(limit: Option<u32>) -> Self {
        Self { used: AtomicU32::new(0), limit: AtomicU32::new(limit.unwrap_or(UNLIMITED)) }
    }

    pub(crate) fn limit(&self) -> Option<u32> {
        match self.limit.load(Ordering::Relaxed) {
            UNLIMITED => None,
            limit => Some(limit),
        }
    }

    /// Takes effect for later acquisitions; permits already out stay out.
    pub(crate) fn set_limit(&self, limit: Option<u32>) {
        self.limit.store(limit.unwrap_or(UNLIMITED), Ordering::Relaxed);
    }

    /// Whether an acquisition would fail now.
    pub(crate) fn exhausted(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.limit.load(Ordering::Relaxed)
    }

    /// Takes one permit, or none: `used` never passes the limit.
    pub(crate) fn try_acquire(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used < limit).then_some(used + 1)).is_ok()
    }

    /// Gives back a permit taken by [`try_acquire`](Self::try_acquire).
    pub(crate) fn release(&self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_lowered_limit_waits_for_permits_that_are_out() {
        let permits = Permits::new(Some(2));
        assert!(permits.try_acquire() && permits.try_acquire() && !permits.try_acquire());
        permits.set_limit(Some(1));
        permits.release();
        assert!(permits.exhausted() && !permits.try_acquire());
        permits.release();
        assert!(permits.try_acquire());
    }
}
