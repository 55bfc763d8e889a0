//! Clocks that jump.

use std::time::Duration;

use equipoise_core::{Clock, Failure, LeastTime, PeakEwma, PickRequest, Timestamp, Verdict};

use crate::common::{at, clocked, id, in_flight, pick};

const SEED: u64 = 5;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_jump_back_during_a_request_is_no_time_at_all() {
    let (pool, clock) = clocked(PeakEwma::new(), &[1, 1], SEED);
    clock.advance(HOUR);
    let mut leases: Vec<_> = (0..10).map(|_| pick(&pool)).collect();
    clock.set(Timestamp::ZERO);
    for lease in &mut leases {
        lease.first_byte();
        lease.record(Verdict::Success);
    }
    drop(leases);
    assert_eq!(in_flight(&pool), [0, 0]);
    drop(pick(&pool));
}

#[test]
fn no_endpoint_is_lost_when_the_clock_jumps_back() {
    for verdict in [Verdict::Success, Verdict::Failure(Failure::Gateway)] {
        for weights in [[1, 1], [2, 1]] {
            let (pool, clock) = clocked(PeakEwma::new(), &weights, SEED);
            clock.advance(HOUR);
            let bound = id(0);
            for _ in 0..10 {
                let lease = pool.pick(&PickRequest::new().prefer(&bound)).unwrap();
                clock.advance(Duration::from_secs(3));
                lease.finish(verdict);
            }
            clock.set(Timestamp::from_nanos(1));
            let serve = || {
                let lease = pick(&pool);
                let index = at(&lease);
                clock.advance(Duration::from_millis(10));
                lease.finish(Verdict::Success);
                index
            };
            let tried = (0..12_000).any(|_| serve() == 0);
            assert!(tried, "not tried within two minutes after {verdict:?}, weights {weights:?}");
        }
    }
}

#[test]
fn a_jump_to_the_end_of_time_overflows_nothing() {
    let (pool, clock) = clocked(PeakEwma::new(), &[1, 2, 1], SEED);
    let before = pick(&pool);
    clock.set(Timestamp::from_nanos(u64::MAX));
    before.finish(Verdict::Success);
    for _ in 0..50 {
        pick(&pool).finish(Verdict::Overloaded { retry_after: Some(Duration::MAX) });
        pick(&pool).finish(Verdict::Success);
    }
    clock.set(Timestamp::ZERO);
    for _ in 0..50 {
        pick(&pool).finish(Verdict::Success);
    }
    assert_eq!(in_flight(&pool), [0, 0, 0]);
}

#[test]
fn the_shortest_settings_and_those_of_forever_are_usable() {
    for (span, penalty) in [(Duration::from_micros(1), Duration::ZERO), (Duration::MAX, Duration::MAX)] {
        let strategy = PeakEwma::new().decay(span).and_then(|strategy| strategy.fade(span));
        let strategy = strategy.expect("not too short").penalty(penalty);
        let (pool, clock) = clocked(strategy, &[1, 2, 1], SEED);
        for turn in 0..200 {
            let lease = pick(&pool);
            clock.advance(Duration::from_millis(turn));
            let fails = at(&lease) == 0;
            lease.finish(if fails { Verdict::Failure(Failure::Timeout) } else { Verdict::Success });
        }
        assert_eq!(in_flight(&pool), [0, 0, 0]);
    }
}

#[test]
fn a_time_over_which_nothing_can_be_remembered_is_refused() {
    for span in [Duration::ZERO, Duration::from_nanos(1), Duration::from_nanos(999)] {
        let refused = [PeakEwma::new().decay(span).err(), PeakEwma::new().fade(span).err()];
        let refused = refused.into_iter().chain([LeastTime::new().period(span).err()]);
        let settings: Vec<_> = refused.map(|error| error.map(|error| (error.setting, error.value))).collect();
        assert_eq!(settings, ["decay", "fade", "period"].map(|setting| Some((setting, span))));
    }
}

#[test]
fn time_saturates() {
    let end = Timestamp::from_nanos(u64::MAX);
    assert_eq!(end + Duration::MAX, end);
    assert_eq!(Timestamp::ZERO.since(end), Duration::ZERO);
    let clock = equipoise_core::SystemClock::new();
    assert!(clock.now() > Timestamp::ZERO);
}
