use std::{cell::Cell, num::NonZeroU32};

use equipoise_core::__private::saturating_nanos;
use governor::{RateLimiter, clock, middleware::NoOpMiddleware, nanos::Nanos, state::StateStore};

use super::{
    InvalidRateLimit, Quota,
    key::KeyId,
    rule::{Limit, MAX_LIMITS},
    stats::TableCounters,
    table::{Table, Visit},
    verdict::{LimitResult, Reading, Verdict},
};

/// What a request asks of one limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    pub(super) key: KeyId,
    pub(super) units: u32,
}

/// By limit. `None` if the limit does not apply to the request.
pub(super) type Demands = [Option<Demand>; MAX_LIMITS];

/// The limits of a layer with the buckets of this process.
#[derive(Debug)]
pub(super) struct LocalLimits {
    limits: Box<[LocalLimit]>,
}

#[derive(Debug)]
struct LocalLimit {
    limiter: RateLimiter<Visit, Shared, GivenTime, NoOpMiddleware<Nanos>>,
    /// The table of `limiter`, which gives no access to it.
    table: Shared,
    shape: Shape,
    /// The burst of the whole quota, of which the quota in this process may be a part.
    whole_burst: u32,
    dry_run: bool,
}

/// The numbers of a quota, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    interval: u64,
    burst: u32,
    /// Units of a burst after which requests are delayed.
    delay_after: Option<u32>,
}

impl LocalLimits {
    /// Creates full buckets. `quota_of` returns the quota of a limit in this process.
    pub(super) fn new(limits: &[Limit], quota_of: impl Fn(&Limit) -> Quota) -> Result<Self, InvalidRateLimit> {
        let build = |limit: &Limit| {
            // A part of a quota has longer delays.
            let quota = limit.bounded(quota_of(limit));
            let governor_quota =
                quota.checked().map_err(|expected| InvalidRateLimit::quota(&limit.name, quota, expected))?;
            let keys = if limit.key.is_constant() { 1 } else { limit.max_keys };
            let table = Shared(std::sync::Arc::new(Table::new(keys)));
            // The limiter measures from the time at which it is created. So the times in the table are times of the clock.
            let limiter = GivenTime::at(0, || RateLimiter::new(governor_quota, table.clone(), GivenTime));
            let whole_burst = limit.bounded(limit.quota).max_burst();
            let shape = Shape::new(quota, limit.delay_after);
            Ok(LocalLimit { limiter, table, shape, whole_burst, dry_run: limit.dry_run })
        };
        Ok(Self { limits: limits.iter().map(build).collect::<Result<_, InvalidRateLimit>>()? })
    }

    /// Decides on a request at the time `now`, and takes its units from all limits if none of them denies it.
    ///
    /// If there are several limits, all of them are looked at first. Two requests at the same moment can both see the
    /// last unit. Then one of them is denied, and gives back what it has taken from other limits, except from buckets
    /// that a third request has used in between.
    pub(super) fn decide(&self, demands: &Demands, now: u64) -> Verdict {
        let mut verdict = Verdict::default();
        let asked = |dry_run: bool| {
            let limits = self.limits.iter().enumerate().zip(demands);
            limits.filter_map(move |((at, limit), demand)| {
                demand.filter(|_| limit.dry_run == dry_run).map(|demand| (at, limit, demand))
            })
        };
        // Limits in a dry run do not depend on the others, and the others not on them.
        for (at, limit, demand) in asked(true) {
            verdict.set(at, limit.visit(demand, now, false).0);
        }
        if asked(false).nth(1).is_some() {
            let mut denied = false;
            for (at, limit, demand) in asked(false) {
                let (reading, _) = limit.visit(demand, now, true);
                denied |= !reading.is_admitted();
                verdict.set(at, reading);
            }
            if denied {
                return verdict;
            }
        }
        let mut visits: [Option<Visit>; MAX_LIMITS] = Default::default();
        for ((at, limit, demand), place) in asked(false).zip(&mut visits) {
            let (reading, visit) = limit.visit(demand, now, false);
            verdict.set(at, reading);
            if !reading.is_admitted() {
                for ((at, limit, demand), visit) in asked(false).zip(visits.iter().flatten()) {
                    limit.table.0.give_back(visit);
                    // The fields of the response show what is left.
                    verdict.set(at, limit.visit(demand, now, true).0);
                }
                break;
            }
            *place = Some(visit);
        }
        verdict
    }

    pub(super) fn counters(&self, at: usize) -> Option<&TableCounters> {
        self.limits.get(at).map(|limit| limit.table.0.counters())
    }
}

impl LocalLimit {
    fn visit(&self, demand: Demand, now: u64, look_only: bool) -> (Reading, Visit) {
        let visit = Visit::new(demand.key, now, look_only);
        // What the whole quota could admit takes at most the whole bucket here: it is not too costly. The limiter is not
        // asked for more, because it multiplies the units without a check for overflow.
        let is_too_costly = demand.units > self.whole_burst;
        let units = demand.units.min(self.shape.burst);
        let decided = NonZeroU32::new(units)
            .filter(|_| !is_too_costly)
            .map(|units| GivenTime::at(now, || self.limiter.check_key_n(&visit, units)));
        let result = match decided {
            Some(Ok(Ok(()))) => LimitResult::Admitted { delay: self.shape.delay(visit.before.get(), units, now) },
            Some(Ok(Err(_))) => LimitResult::Denied { retry_in: self.shape.retry_in(visit.before.get(), units, now) },
            None | Some(Err(_)) => {
                let _ = self.table.measure_and_replace(&visit, |_| Err::<((), Nanos), _>(()));
                if is_too_costly { LimitResult::TooCostly } else { LimitResult::Admitted { delay: 0 } }
            }
        };
        // A look takes nothing, so it shows what was there before.
        let full_at = if look_only { visit.before.get() } else { visit.after.get() };
        (self.shape.reading(result, full_at, now), visit)
    }
}

impl Shape {
    pub(super) fn new(quota: Quota, delay_after: Option<u32>) -> Self {
        Self { interval: saturating_nanos(quota.interval()).max(1), burst: quota.max_burst(), delay_after }
    }

    /// Returns the time in which so many units come back.
    pub(super) fn nanos(&self, units: u32) -> u64 {
        self.interval.saturating_mul(units.into())
    }

    /// Returns how long a request waits before it is passed on. `before` is the time at which the bucket was full
    /// before.
    pub(super) fn delay(&self, before: u64, units: u32, now: u64) -> u64 {
        let Some(free) = self.delay_after else { return 0 };
        // The debt including this request, but without its last unit: a request in an idle bucket does not wait.
        let debt = before.saturating_sub(now).saturating_add(self.nanos(units.saturating_sub(1)));
        debt.saturating_sub(self.nanos(free))
    }

    /// Returns after which time the bucket has so many units. `full_at` is the time at which it is full.
    pub(super) fn retry_in(&self, full_at: u64, units: u32, now: u64) -> u64 {
        let debt = full_at.saturating_sub(now).saturating_add(self.nanos(units));
        debt.saturating_sub(self.nanos(self.burst))
    }

    pub(super) fn reading(&self, result: LimitResult, full_at: u64, now: u64) -> Reading {
        let full_in = full_at.saturating_sub(now);
        let left = self.nanos(self.burst).saturating_sub(full_in) / self.interval;
        let remaining = u32::try_from(left).unwrap_or(u32::MAX).min(self.burst);
        Reading { result, remaining, full_in, unit_in: self.retry_in(full_at, 1, now) }
    }
}

impl Reading {
    fn is_admitted(&self) -> bool {
        matches!(self.result, LimitResult::Admitted { .. })
    }
}

impl Verdict {
    fn set(&mut self, at: usize, reading: Reading) {
        if let Some(place) = self.readings.get_mut(at) {
            *place = Some(reading);
        }
    }
}

/// A table that a limiter and a [`LocalLimit`] share.
#[derive(Clone, Debug)]
struct Shared(std::sync::Arc<Table>);

impl StateStore for Shared {
    type Key = Visit;

    fn measure_and_replace<T, F, E>(&self, visit: &Visit, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(visit, decide)
    }
}

/// The clock of the limiters: the time with which the current thread has called [`at`](Self::at). A limiter reads its
/// clock itself, but all limits should decide on a request at the same time.
#[derive(Clone, Copy, Debug)]
struct GivenTime;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
}

impl GivenTime {
    fn at<R>(now: u64, f: impl FnOnce() -> R) -> R {
        NOW.set(now);
        f()
    }
}

impl clock::Clock for GivenTime {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(NOW.get())
    }
}

/// Returns the time of a clock for limiters. They add times of up to 20 years to it, so it is at most 292 years.
pub(super) fn nanos_of(now: equipoise_core::Timestamp) -> u64 {
    now.as_nanos().min(u64::MAX / 2)
}
