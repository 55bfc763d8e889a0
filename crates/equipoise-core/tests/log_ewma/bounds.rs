//! Whatever happens to endpoints and clocks, scores stay finite and picks succeed.

use std::time::Duration;

use equipoise_core::{Failure, LogEwma, PickRequest, Timestamp, Verdict};
use proptest::prelude::*;

use crate::{
    SEED,
    common::{clocked, pick},
    lease_on,
};

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(usize),
    FirstByte(usize),
    Finish(usize, Verdict),
    Drop(usize),
    Advance(u64),
    Set(u64),
    Pick,
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let pause = prop_oneof![Just(None), any::<u64>().prop_map(|nanos| Some(Duration::from_nanos(nanos)))];
    prop_oneof![
        4 => Just(Verdict::Success),
        2 => Just(Verdict::Failure(Failure::Timeout)),
        1 => Just(Verdict::Neutral),
        1 => pause.clone().prop_map(|retry_after| Verdict::Overloaded { retry_after }),
        1 => pause.prop_map(|retry_after| Verdict::Unavailable { retry_after }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4usize).prop_map(Step::Take),
        2 => any::<usize>().prop_map(Step::FirstByte),
        3 => (any::<usize>(), verdict()).prop_map(|(at, verdict)| Step::Finish(at, verdict)),
        1 => any::<usize>().prop_map(Step::Drop),
        4 => prop_oneof![0..10_000u64, 0..10_000_000_000u64, any::<u64>()].prop_map(Step::Advance),
        1 => any::<u64>().prop_map(Step::Set),
        3 => Just(Step::Pick),
    ]
}

proptest! {
    #[test]
    fn scores_are_finite_and_picks_succeed(
        steps in prop::collection::vec(step(), 1..120),
        weights in prop_oneof![Just(vec![1; 4]), Just(vec![1, 2, 3, 4])],
        decay in prop_oneof![Just(Duration::from_micros(1)), Just(Duration::from_secs(10)), Just(Duration::MAX)],
        fade in prop_oneof![Just(Duration::from_micros(1)), Just(Duration::from_millis(2_500)), Just(Duration::MAX)],
        penalty in prop_oneof![Just(Duration::ZERO), Just(Duration::from_millis(500)), Just(Duration::MAX)],
    ) {
        let strategy = LogEwma::new().decay(decay).expect("1 µs").fade(fade).expect("1 µs").penalty(penalty);
        let (pool, clock) = clocked(strategy, &weights, SEED);
        let mut leases = Vec::new();
        for step in steps {
            match step {
                Step::Take(at) => leases.push(lease_on(&pool, at)),
                Step::Pick => leases.push(pick(&pool)),
                Step::Advance(by) => clock.advance(Duration::from_nanos(by)),
                Step::Set(to) => clock.set(Timestamp::from_nanos(to)),
                Step::FirstByte(at) | Step::Finish(at, _) | Step::Drop(at) if leases.is_empty() => _ = at,
                Step::FirstByte(at) => {
                    let len = leases.len();
                    leases[at % len].first_byte();
                }
                Step::Finish(at, verdict) => leases.swap_remove(at % leases.len()).finish(verdict),
                Step::Drop(at) => drop(leases.swap_remove(at % leases.len())),
            }
            for candidate in pool.explain(&PickRequest::new()).candidates {
                let score = candidate.score.expect("it was compared");
                prop_assert!(score.is_finite() && score >= 0.0, "{score}");
            }
        }
    }
}
