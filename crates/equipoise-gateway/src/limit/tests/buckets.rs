//! The buckets: exactness against a reference, several limits, and the bounded table.

use std::{collections::HashMap, time::Duration};

use governor::{nanos::Nanos, state::StateStore as _};
use proptest::prelude::*;

use super::super::{
    Limit, LimitKey, Quota,
    key::KeyId,
    local::{Demand, Demands, LocalLimits},
    table::{Table, Visit},
    verdict::{Action, LimitResult, Verdict},
};

fn limits(limits: &[Limit]) -> LocalLimits {
    LocalLimits::new(limits, |limit| limit.quota).expect("valid limits")
}

fn limit(name: &str, quota: Quota) -> Limit {
    Limit::new(name, LimitKey::identity(), quota)
}

fn ask<const N: usize>(limits: &LocalLimits, demands: [Option<(u64, u32)>; N], now: u64) -> Verdict {
    let mut all = Demands::default();
    for (demand, asked) in all.iter_mut().zip(demands) {
        *demand = asked.map(|(key, units)| Demand { key: id(key), units });
    }
    limits.decide(&all, now)
}

/// Spreads over the sets as a hash does.
fn id(key: u64) -> KeyId {
    KeyId([xxhash_rust::xxh3::xxh3_64(&key.to_le_bytes()), key])
}

fn passes(verdict: &Verdict) -> bool {
    matches!(verdict.action(|_| true), Action::Pass { .. })
}

/// A leaky bucket by the book: it has units, and more of them as time goes by. In nanoseconds times units per period,
/// so without rounding.
struct Reference {
    interval: u128,
    burst: u128,
    debts: HashMap<u64, (u128, u64)>,
}

impl Reference {
    fn new(quota: Quota) -> Self {
        Self { interval: quota.interval().as_nanos(), burst: quota.max_burst().into(), debts: HashMap::new() }
    }

    /// Returns whether the request passes, and how many whole units are left.
    fn ask(&mut self, key: u64, units: u32, now: u64) -> (bool, u128) {
        let (debt, since) = self.debts.get(&key).copied().unwrap_or((0, now));
        let debt = debt.saturating_sub(u128::from(now - since));
        let asked = debt + u128::from(units) * self.interval;
        let passes = asked <= self.burst * self.interval;
        let debt = if passes { asked } else { debt };
        self.debts.insert(key, (debt, now));
        (passes, (self.burst * self.interval - debt) / self.interval)
    }
}

proptest! {
    #[test]
    fn decisions_are_those_of_a_leaky_bucket(
        units in 1_u32..50, period in 1_u64..100_000, burst in 1_u32..40,
        requests in prop::collection::vec((0_u64..4, 1_u32..6, 0_u64..30_000), 1..200),
    ) {
        let quota = Quota::new(units, Duration::from_nanos(period)).burst(burst);
        let (limits, mut reference, mut now) = (limits(&[limit("x", quota)]), Reference::new(quota), 1);
        for (key, cost, pause) in requests {
            now += pause;
            let verdict = ask(&limits, [Some((key, cost))], now);
            let (passed, left) = reference.ask(key, cost, now);
            prop_assert_eq!(passes(&verdict), passed);
            let reading = verdict.readings[0].expect("a reading");
            prop_assert_eq!(u128::from(reading.remaining), left);
            // A denied request passes exactly when it is told to.
            if let LimitResult::Denied { retry_in } = reading.result {
                let early = ask(&limits, [Some((key, cost))], now + retry_in - 1);
                prop_assert!(!passes(&early));
                now += retry_in;
                prop_assert!(passes(&ask(&limits, [Some((key, cost))], now)));
                prop_assert!(reference.ask(key, cost, now).0);
            }
        }
    }

    #[test]
    fn no_window_admits_more_than_the_burst_and_the_rate(
        units in 1_u32..20, burst in 1_u32..20, keys in 1_u64..400,
        pauses in prop::collection::vec(0_u64..40_000_000, 50..400),
    ) {
        // A table for 8 keys, so that keys are evicted all the time.
        let quota = Quota::per_second(units).burst(burst);
        let limits = limits(&[limit("x", quota).max_keys(8)]);
        let (mut now, mut admitted) = (1_u64, Vec::new());
        for (at, pause) in pauses.into_iter().enumerate() {
            now += pause;
            let flood = 1 + at as u64 % keys;
            let _ = ask(&limits, [Some((flood, 1))], now);
            if passes(&ask(&limits, [Some((0, 1))], now)) {
                admitted.push(now);
            }
        }
        let interval = quota.interval().as_nanos();
        for (first, start) in admitted.iter().enumerate() {
            for (last, end) in admitted.iter().enumerate().skip(first) {
                let count = (last - first + 1) as u128;
                let most = u128::from(burst) + u128::from(end - start) / interval;
                prop_assert!(count <= most, "{count} in {} ns", end - start);
            }
        }
    }
}

#[test]
fn a_flood_of_keys_resets_no_bucket() {
    let limits = limits(&[limit("x", Quota::per_hour(10)).max_keys(64)]);
    let victim = |now| passes(&ask(&limits, [Some((0, 1))], now));
    assert_eq!((0..20).filter(|_| victim(1)).count(), 10);
    for key in 1..100_000 {
        let _ = ask(&limits, [Some((key, 1))], 2);
    }
    assert!(!victim(3));
    // 6 minutes give one unit back.
    let interval = 6 * 60 * 1_000_000_000;
    assert!(!victim(interval));
}

#[test]
fn a_flood_of_keys_with_one_request_each_leaves_new_clients_most_of_their_quota() {
    let limits = limits(&[limit("x", Quota::per_hour(100)).max_keys(1_024)]);
    // Ten times as many keys as the table has places.
    for key in 0..20_480 {
        let _ = ask(&limits, [Some((key, 1))], 1);
    }
    let passed = (0..200).filter(|_| passes(&ask(&limits, [Some((1 << 40, 1))], 2))).count();
    // With one overflow bucket, or with a table that denies new keys, it would be 0.
    assert!((75..=100).contains(&passed), "{passed}");
}

#[test]
fn keys_whose_bucket_is_full_make_room_without_a_trace() {
    let limits = limits(&[limit("x", Quota::per_second(1)).max_keys(8)]);
    for key in 0..1_000_u64 {
        let verdict = ask(&limits, [Some((key, 1))], 1 + key * 1_000_000_000);
        assert!(passes(&verdict));
    }
    let counters = limits.counters(0).expect("a limit");
    assert_eq!((counters.keys.get(), counters.evicted.get(), counters.inherited.get()), (1, 0, 0));
}

#[test]
fn the_number_of_keys_is_bounded() {
    let limits = limits(&[limit("x", Quota::per_day(10)).max_keys(100)]);
    for key in 0..10_000 {
        let _ = ask(&limits, [Some((key, 1))], 1);
    }
    let counters = limits.counters(0).expect("a limit");
    // 13 sets of 16 places.
    assert_eq!(counters.keys.get(), 208);
    assert!(counters.evicted.get() > 1_000 && counters.inherited.get() > 1_000, "{counters:?}");
}

#[test]
fn a_request_that_one_limit_denies_counts_for_none() {
    let limits = limits(&[limit("wide", Quota::per_hour(5)), limit("narrow", Quota::per_hour(2))]);
    let both = |narrow: u64| ask(&limits, [Some((1, 1)), Some((narrow, 1))], 1);
    assert!(passes(&both(1)) && passes(&both(1)));
    for _ in 0..10 {
        let verdict = both(1);
        assert!(!passes(&verdict));
        assert_eq!(verdict.readings[0].map(|reading| reading.remaining), Some(3));
    }
    assert_eq!((0..10).filter(|key| passes(&both(100 + key))).count(), 3);
}

#[test]
fn two_limits_that_are_asked_by_several_threads_admit_exactly_the_smaller_quota() {
    let limits = limits(&[limit("wide", Quota::per_day(3_000)), limit("narrow", Quota::per_day(1_000))]);
    let admitted = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let ask = || passes(&ask(&limits, [Some((1, 1)), Some((1, 1))], 1));
                let count = (0..2_000).filter(|_| ask()).count();
                admitted.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
            });
        }
    });
    assert_eq!(admitted.into_inner(), 1_000);
    let left = ask(&limits, [Some((1, 1)), None], 1).readings[0].map(|reading| reading.remaining);
    // Each thread can lose the race for the last unit once.
    assert!(left.is_some_and(|left| (1_995..2_000).contains(&left)), "{left:?}");
}

#[test]
fn a_visit_gives_back_only_what_no_other_visit_has_changed() {
    let table = Table::new(1);
    let take = |now| {
        let visit = Visit::new(id(1), now, false);
        let taken = table.measure_and_replace(&visit, |tat| {
            Ok::<_, ()>(((), Nanos::new(tat.map_or(now, Nanos::as_u64).max(now) + 10)))
        });
        assert_eq!(taken, Ok(()));
        visit
    };
    let (first, second) = (take(100), take(105));
    assert_eq!((second.before.get(), second.after.get()), (110, 120));
    table.give_back(&first);
    table.give_back(&second);
    // What the second has taken is back. What the first has taken stays until the bucket has become full.
    assert_eq!(take(106).before.get(), 110);
}

#[test]
fn a_request_of_no_units_always_passes_and_one_above_the_burst_never() {
    let limits = limits(&[limit("x", Quota::per_hour(3))]);
    assert_eq!(ask(&limits, [Some((1, 4))], 1).action(|_| true), Action::DenyCost);
    assert!(passes(&ask(&limits, [Some((1, 3))], 1)));
    let free = ask(&limits, [Some((1, 0))], 1);
    assert!(passes(&free));
    assert_eq!(free.readings[0].map(|reading| reading.remaining), Some(0));
    assert!(!passes(&ask(&limits, [Some((1, 1))], 1)));
}

#[test]
fn requests_of_a_burst_are_delayed_to_the_rate_after_the_free_ones() {
    let limits = limits(&[limit("x", Quota::per_second(10).burst(6)).delay_after(2)]);
    let delays: Vec<_> = (0..7).map(|_| ask(&limits, [Some((1, 1))], 1).action(|_| true)).collect();
    let pass = |millis| Action::Pass { delay: Duration::from_millis(millis) };
    let denied = Action::Deny { retry_in: Duration::from_millis(100) };
    assert_eq!(delays, [pass(0), pass(0), pass(0), pass(100), pass(200), pass(300), denied]);
}

#[test]
fn requests_that_would_wait_for_too_long_are_denied_at_once() {
    let pass = |secs| Action::Pass { delay: Duration::from_secs(secs) };
    let denied = Action::Deny { retry_in: Duration::from_secs(60) };
    let limit = || limit("x", Quota::per_minute(1).burst(1000)).delay_after(1);
    let outcomes = |limits: LocalLimits| [(); 5].map(|()| ask(&limits, [Some((1, 1))], 1).action(|_| true));
    assert_eq!(outcomes(limits(&[limit()])), [pass(0), pass(0), denied, denied, denied]);
    let patient = limit().max_delay(Duration::from_secs(120));
    assert_eq!(outcomes(limits(&[patient])), [pass(0), pass(0), pass(60), pass(120), denied]);
    let endless = limit().max_delay(Duration::MAX);
    assert_eq!(outcomes(limits(&[endless])), [pass(0), pass(0), pass(60), pass(120), pass(180)]);
}

#[test]
fn extreme_times_and_quotas_do_not_overflow() {
    let limits = limits(&[limit("x", Quota::per_day(1).burst(3650)), limit("y", Quota::per_second(u32::MAX))]);
    for now in [0, 1, u64::MAX / 4, super::super::local::nanos_of(equipoise_core::Timestamp::from_nanos(u64::MAX))] {
        for units in [0, 1, 3650, u32::MAX] {
            let _ = ask(&limits, [Some((1, units)), Some((1, units))], now);
        }
    }
    // A clock that goes back.
    let _ = ask(&limits, [Some((1, 1)), Some((1, 1))], 0);
}
