//! How many requests are in flight, at each endpoint and in its tier, so that no thread ever sees too much room.
//!
//! One word for each endpoint says where it counts (nowhere, or in a tier) and how much; each tier has the total of its
//! endpoints. A total is never above the sum of what it is the total of, but for requests that end at this very moment:
//! it goes up after the word and comes down before it. So whoever reads it sees no more room than there is.

use std::fmt;

use crate::{
    endpoint::Tier,
    sync::{AtomicU64, Ordering},
};

/// What [`BoundedLoad`](super::BoundedLoad) counts for one endpoint.
#[derive(Default)]
pub struct LoadCount {
    /// Above, one more than the number of the tier it counts in, or 0; below, the requests in flight.
    word: AtomicU64,
    weight: AtomicU64,
}

/// As many as there can be; a model makes all of them anew for each of its schedules, and has two.
const TIERS: usize = if cfg!(loom) { 2 } else { 256 };

/// More than what four roundings add, and too little to matter: the bounds still add up to more than what is in flight.
const ROUNDING: f64 = 1e-12;

/// Where the half begins that says where it counts.
const HOME: u32 = 32;

fn in_flight(word: u64) -> u64 {
    u64::from(word as u32)
}

impl LoadCount {
    /// Sets the endpoint's weight.
    pub(super) fn weigh(&self, weight: u32) {
        self.weight.store(u64::from(weight), Ordering::Relaxed);
    }
}

impl fmt::Debug for LoadCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoadCount").field(&in_flight(self.word.load(Ordering::Relaxed))).finish()
    }
}

/// The bound, and the sums of each tier that it is taken of.
pub(super) struct Bound {
    factor: f64,
    tiers: Box<[Sums]>,
}

/// A cache line each: the first is written by all threads.
#[derive(Default)]
#[repr(align(64))]
struct Sums {
    /// Wraps below zero for a moment when an endpoint goes elsewhere while a request enters.
    total: AtomicU64,
    /// Of the eligible.
    weight: AtomicU64,
    builds: AtomicU64,
}

/// What a look at all endpoints of a tier has shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// What the endpoints count.
    pub(super) sum: i64,
    /// Their total as of before. Less than the sum while a request is between its two counts.
    pub(super) total: i64,
    /// Whether the bound lets a usable one have more.
    pub(super) room: bool,
    /// Whether the total was the same after.
    pub(super) is_stable: bool,
}

impl Sums {
    /// Ordered after what the reader has seen of an endpoint before.
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

    /// A picker is being built over eligible endpoints of this `weight`. Answers the number of the build and of the one
    /// before.
    pub(super) fn opens(&self, tier: Tier, weight: u64) -> (u64, u64) {
        let Some(sums) = self.tiers.get(usize::from(tier.get())) else { return (0, 0) };
        sums.weight.store(weight, Ordering::Relaxed);
        let previous = sums.builds.fetch_add(1, Ordering::Relaxed);
        (previous + 1, previous)
    }

    fn sums(&self, word: u64) -> Option<&Sums> {
        self.tiers.get(((word >> HOME) as usize).checked_sub(1)?)
    }

    /// The most that may be in flight at the endpoint when there is one more than `total` in its tier.
    #[inline]
    fn most(&self, count: &LoadCount, sums: &Sums, total: i64) -> u64 {
        let (weight, all) = (count.weight.load(Ordering::Relaxed), sums.weight.load(Ordering::Relaxed));
        let most = self.factor * (total + 1) as f64 * weight as f64 / all.max(1) as f64;
        // 1.1 · 100 / 10 is 11 and a little: what rounding adds to a whole number makes no room for one more.
        (most - most * ROUNDING).ceil() as u64
    }

    /// Whether one more may enter now. A pick asks this; it is [`enters`](Self::enters) that decides.
    #[inline]
    pub(super) fn admits(&self, count: &LoadCount) -> bool {
        let word = count.word.load(Ordering::Acquire);
        self.sums(word).is_none_or(|sums| in_flight(word) < self.most(count, sums, sums.read()))
    }

    /// What is counted in the tier.
    pub(super) fn total(&self, tier: Tier) -> i64 {
        self.tiers.get(usize::from(tier.get())).map_or(0, Sums::read)
    }

    /// Looks at these endpoints, which may be usable but for the bound, while the tier's total is `total`.
    pub(super) fn look<'a>(&self, tier: Tier, total: i64, counts: impl Iterator<Item = (&'a LoadCount, bool)>) -> Look {
        let home = u64::from(tier.get()) + 1;
        let (mut sum, mut room) = (0, false);
        for (count, usable) in counts {
            let word = count.word.load(Ordering::Acquire);
            if word >> HOME == home
                && let Some(sums) = self.sums(word)
            {
                sum += in_flight(word).cast_signed();
                room |= usable && in_flight(word) < self.most(count, sums, total);
            }
        }
        Look { sum, total, room, is_stable: self.total(tier) == total }
    }

    /// Counts one more, if the bound allows it. Where the endpoint is not eligible there is none.
    pub(super) fn enters(&self, count: &LoadCount) -> bool {
        let mut seen = count.word.load(Ordering::Acquire);
        loop {
            let sums = self.sums(seen);
            let total = sums.map_or(0, Sums::read);
            let allows = |sums: &Sums, total: i64| in_flight(seen) < self.most(count, sums, total);
            if sums.is_some_and(|sums| !allows(sums, total)) {
                return false;
            }
            match count.word.compare_exchange_weak(seen, seen + 1, Ordering::AcqRel, Ordering::Acquire) {
                Err(now) => seen = now,
                Ok(_) => {
                    let Some(sums) = sums else { return true };
                    // Requests may have ended since the total was read; with them goes the room that they made.
                    let now = sums.read();
                    if now >= total || allows(sums, now) {
                        // `SeqCst`: see `Needs::shared_room`.
                        sums.total.fetch_add(1, Ordering::SeqCst);
                        return true;
                    }
                    self.retracts(count, seen >> HOME, sums);
                    return false;
                }
            }
        }
    }

    /// Takes back what has entered at the endpoint but is not in the total yet.
    #[cold]
    fn retracts(&self, count: &LoadCount, home: u64, sums: &Sums) {
        let mut seen = count.word.load(Ordering::Acquire);
        while seen >> HOME == home {
            match count.word.compare_exchange_weak(seen, seen - 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
        // It has moved, and has taken from the old total also what was not in it.
        sums.total.fetch_add(1, Ordering::AcqRel);
        self.leaves(count);
    }

    /// One less.
    pub(super) fn leaves(&self, count: &LoadCount) {
        let mut seen = count.word.load(Ordering::Acquire);
        loop {
            let sums = self.sums(seen);
            if let Some(sums) = sums {
                sums.total.fetch_sub(1, Ordering::AcqRel);
            }
            let home = seen >> HOME;
            while seen >> HOME == home {
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

    /// The endpoint is no member of `tier` any more: what is still in flight there counts nowhere, unless another tier
    /// has it now.
    pub(super) fn drops(&self, count: &LoadCount, tier: Tier) {
        if count.word.load(Ordering::Acquire) >> HOME == u64::from(tier.get()) + 1 {
            self.moves(count, None);
        }
    }

    /// The endpoint counts in `tier` from now on, with all that is in flight there; or nowhere.
    pub(super) fn moves(&self, count: &LoadCount, tier: Option<Tier>) {
        let home = tier.map_or(0, |tier| u64::from(tier.get()) + 1);
        let mut seen = count.word.load(Ordering::Acquire);
        while seen >> HOME != home {
            let (from, word) = (self.sums(seen), home << HOME | in_flight(seen));
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
