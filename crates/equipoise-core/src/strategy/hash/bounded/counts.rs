//! Counts of the requests in flight for [`BoundedLoad`](super::BoundedLoad), at each endpoint and in its tier (priority
//! group).
//!
//! Each endpoint has one word. It contains the tier in which the endpoint is counted, or none, and the number of its
//! requests. Each tier has the total of its endpoints. A start increases the word first and then the total. An end
//! decreases the total first and then the word. At any moment, the total is therefore at most the sum of the words.
//!
//! The bound of each endpoint is computed from the total. While a request is counted in one place only, the total and
//! the bounds are too low, never too high.

use std::fmt;

use crate::{
    endpoint::Tier,
    sync::{AtomicU64, Ordering},
};

/// The state that [`BoundedLoad`](super::BoundedLoad) keeps about one endpoint: the number of requests in flight at the
/// endpoint, and the weight of the endpoint.
#[derive(Default)]
pub struct LoadCount {
    /// Upper half: the number of the tier in which the endpoint is counted, plus 1, or 0 for none. Lower half: the
    /// number of requests in flight.
    word: AtomicU64,
    weight: AtomicU64,
}

/// The number of tiers: all that a [`Tier`] can be. Models under loom have two, because they create all of them for
/// each schedule.
const TIERS: usize = if cfg!(loom) { 2 } else { 256 };

/// The fraction of a bound that is subtracted from the bound to compensate for rounding errors. It is more than four
/// roundings can add. It is so little that the sum of the bounds stays above the requests in flight.
const ROUNDING: f64 = 1e-12;

/// The first bit of the upper half of a word, which contains the tier.
const TIER_SHIFT: u32 = 32;

fn in_flight(word: u64) -> u64 {
    u64::from(word as u32)
}

impl LoadCount {
    /// Sets the endpoint's weight.
    pub(super) fn set_weight(&self, weight: u32) {
        self.weight.store(u64::from(weight), Ordering::Relaxed);
    }
}

impl fmt::Debug for LoadCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoadCount").field(&in_flight(self.word.load(Ordering::Relaxed))).finish()
    }
}

/// The factor, and for each tier the sums from which the bounds are computed.
pub(super) struct Bound {
    factor: f64,
    tiers: Box<[Sums]>,
}

/// The sums of one tier. Each has its own cache line, because all threads write the total.
#[derive(Default)]
#[repr(align(64))]
struct Sums {
    /// The number of requests in flight. It may be below zero for a moment if an endpoint changes its tier while a
    /// request starts.
    total: AtomicU64,
    /// The sum of the weights of the eligible endpoints.
    weight: AtomicU64,
    /// The number of pickers that were built for the tier.
    builds: AtomicU64,
}

/// The counts of all endpoints of a tier, read one after the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// The sum of the requests in flight at the endpoints.
    pub(super) sum: i64,
    /// The total of the tier before the endpoints were read. Below `sum` while a request is counted in its word but not
    /// in the total yet.
    pub(super) total: i64,
    /// Whether a usable endpoint is below its bound.
    pub(super) room: bool,
    /// Whether the total had not changed when all endpoints had been read.
    pub(super) is_stable: bool,
}

impl Sums {
    /// Reads the total. The read is ordered after earlier reads of the endpoint's word.
    #[inline]
    fn read(&self) -> i64 {
        self.total.load(Ordering::Acquire).cast_signed().max(0)
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bound").field(&self.factor).finish()
    }
}

impl Bound {
    pub(super) fn new(factor: f64) -> Self {
        Self { factor, tiers: (0..TIERS).map(|_| Sums::default()).collect() }
    }

    /// Sets the weight of the eligible endpoints of a tier, for which a picker is built. Returns the number of this
    /// build and of the previous one.
    pub(super) fn begin_build(&self, tier: Tier, weight: u64) -> (u64, u64) {
        let Some(sums) = self.tiers.get(usize::from(tier.get())) else { return (0, 0) };
        sums.weight.store(weight, Ordering::Relaxed);
        let previous = sums.builds.fetch_add(1, Ordering::Relaxed);
        (previous + 1, previous)
    }

    fn sums(&self, word: u64) -> Option<&Sums> {
        self.tiers.get(((word >> TIER_SHIFT) as usize).checked_sub(1)?)
    }

    /// Returns the maximum number of requests in flight at the endpoint if its tier has `total` and one more.
    #[inline]
    fn max_in_flight(&self, count: &LoadCount, sums: &Sums, total: i64) -> u64 {
        let (weight, all) = (count.weight.load(Ordering::Relaxed), sums.weight.load(Ordering::Relaxed));
        let most = self.factor * (total + 1) as f64 * weight as f64 / all.max(1) as f64;
        // 1.1 · 100 / 10 gives slightly more than 11. Rounding errors must not raise the bound to the next whole
        // number.
        (most - most * ROUNDING).ceil() as u64
    }

    /// Returns whether one more request could be counted now. Picks ask this. [`enters`](Self::enters) decides.
    #[inline]
    pub(super) fn admits(&self, count: &LoadCount) -> bool {
        let word = count.word.load(Ordering::Acquire);
        self.sums(word).is_none_or(|sums| in_flight(word) < self.max_in_flight(count, sums, sums.read()))
    }

    /// Returns the number of requests that are counted in the tier.
    pub(super) fn total(&self, tier: Tier) -> i64 {
        self.tiers.get(usize::from(tier.get())).map_or(0, Sums::read)
    }

    /// Reads the counts of these endpoints, each with whether it is usable apart from the bound. `total` is the total
    /// of the tier, read before.
    pub(super) fn read<'a>(
        &self,
        tier: Tier,
        total: i64,
        counts: impl Iterator<Item = (&'a LoadCount, bool)>,
    ) -> Reading {
        let tier_bits = u64::from(tier.get()) + 1;
        let (mut sum, mut room) = (0, false);
        for (count, usable) in counts {
            let word = count.word.load(Ordering::Acquire);
            if word >> TIER_SHIFT == tier_bits
                && let Some(sums) = self.sums(word)
            {
                sum += in_flight(word).cast_signed();
                room |= usable && in_flight(word) < self.max_in_flight(count, sums, total);
            }
        }
        Reading { sum, total, room, is_stable: self.total(tier) == total }
    }

    /// Counts a request that begins, if the bound allows it. An endpoint that counts in no tier has no bound.
    pub(super) fn try_enter(&self, count: &LoadCount) -> bool {
        let mut seen = count.word.load(Ordering::Acquire);
        loop {
            let sums = self.sums(seen);
            let total = sums.map_or(0, Sums::read);
            let allows = |sums: &Sums, total: i64| in_flight(seen) < self.max_in_flight(count, sums, total);
            if sums.is_some_and(|sums| !allows(sums, total)) {
                return false;
            }
            match count.word.compare_exchange_weak(seen, seen + 1, Ordering::AcqRel, Ordering::Acquire) {
                Err(now) => seen = now,
                Ok(_) => {
                    let Some(sums) = sums else { return true };
                    // Requests may have ended since the total was read. The bound is then lower.
                    let now = sums.read();
                    if now >= total || allows(sums, now) {
                        // For `SeqCst`, see `Needs::shared_capacity`.
                        sums.total.fetch_add(1, Ordering::SeqCst);
                        return true;
                    }
                    self.retract(count, seen >> TIER_SHIFT, sums);
                    return false;
                }
            }
        }
    }

    /// Subtracts a request that was counted at the endpoint but not yet in the total.
    #[cold]
    fn retract(&self, count: &LoadCount, tier_bits: u64, sums: &Sums) {
        let mut seen = count.word.load(Ordering::Acquire);
        while seen >> TIER_SHIFT == tier_bits {
            match count.word.compare_exchange_weak(seen, seen - 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
        // The endpoint has changed its tier. This also subtracted the request from the old total, in which it was not
        // counted.
        sums.total.fetch_add(1, Ordering::AcqRel);
        self.leave(count);
    }

    /// Counts a request that ends.
    pub(super) fn leave(&self, count: &LoadCount) {
        let mut seen = count.word.load(Ordering::Acquire);
        loop {
            let sums = self.sums(seen);
            if let Some(sums) = sums {
                sums.total.fetch_sub(1, Ordering::AcqRel);
            }
            let tier_bits = seen >> TIER_SHIFT;
            while seen >> TIER_SHIFT == tier_bits {
                match count.word.compare_exchange_weak(seen, seen - 1, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return,
                    Err(now) => seen = now,
                }
            }
            if let Some(sums) = sums {
                sums.total.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// Removes an endpoint from `tier`, of which it is no longer a member. Its requests in flight then count in no
    /// tier. Does nothing if the endpoint counts in another tier by now.
    pub(super) fn remove_from(&self, count: &LoadCount, tier: Tier) {
        if count.word.load(Ordering::Acquire) >> TIER_SHIFT == u64::from(tier.get()) + 1 {
            self.move_to(count, None);
        }
    }

    /// Moves an endpoint to `tier`, with its requests in flight. With `None`, it counts in no tier.
    pub(super) fn move_to(&self, count: &LoadCount, tier: Option<Tier>) {
        let tier_bits = tier.map_or(0, |tier| u64::from(tier.get()) + 1);
        let mut seen = count.word.load(Ordering::Acquire);
        while seen >> TIER_SHIFT != tier_bits {
            let (from, word) = (self.sums(seen), tier_bits << TIER_SHIFT | in_flight(seen));
            if let Some(from) = from {
                from.total.fetch_sub(in_flight(seen), Ordering::AcqRel);
            }
            match count.word.compare_exchange(seen, word, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    if let Some(to) = self.sums(word) {
                        to.total.fetch_add(in_flight(seen), Ordering::AcqRel);
                    }
                    return;
                }
                Err(now) => {
                    if let Some(from) = from {
                        from.total.fetch_add(in_flight(seen), Ordering::AcqRel);
                    }
                    seen = now;
                }
            }
        }
    }
}
