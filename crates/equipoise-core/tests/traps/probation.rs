//! Probation: the result of one request decides whether the endpoint is up again.

use std::sync::{
    Barrier,
    atomic::{AtomicU32, Ordering},
};
use std::time::Duration;

use equipoise_core::{
    AnyStrategy, Availability, CandidateResult, Edf, EndpointId, Failure, FirstFit, Lease, LeastConnections, LeastTime,
    Maglev, PeakEwma, PickError, PickRequest, Pool, Rendezvous, Ring, Spillover, Tier, Verdict,
};
use futures::FutureExt;

use crate::{
    common::{at, clocked, id, in_flight, pick, pool_of, spec},
    strategies,
};

const SEED: u64 = 11;

fn all_strategies() -> impl Iterator<Item = AnyStrategy> {
    let others = [
        AnyStrategy::new(LeastConnections::new()),
        AnyStrategy::new(LeastTime::new()),
        AnyStrategy::new(FirstFit::new()),
        AnyStrategy::new(Edf::new()),
        AnyStrategy::new(Maglev::new()),
        AnyStrategy::new(Ring::new()),
        AnyStrategy::new(Rendezvous::new()),
    ];
    strategies().into_iter().chain(others)
}

/// Creates a pool of `n` endpoints, the first of which is on probation.
fn on_probation(strategy: AnyStrategy, n: usize) -> Pool<()> {
    let pool = pool_of(strategy, &vec![1; n], SEED);
    assert!(pool.set_availability("e0", Availability::Probation).expect("known"));
    pool
}

fn try_it(pool: &Pool<()>) -> Option<Lease<()>> {
    let bound = id(0);
    pool.pick(&PickRequest::new().prefer(&bound)).ok().filter(|lease| at(lease) == 0)
}

#[test]
fn exactly_one_request_is_let_in_and_the_others_go_elsewhere() {
    for strategy in all_strategies() {
        // A pool of three, so that the tier does not panic.
        let pool = on_probation(strategy.clone(), 3);
        let leases: Vec<_> =
            (0..300u32).map(|n| pool.pick(&PickRequest::new().key(&n.to_le_bytes())).expect("two are up")).collect();
        let tried = leases.iter().filter(|lease| at(lease) == 0).count();
        assert_eq!(tried, 1, "{strategy:?}");
        drop(leases);
        assert_eq!(in_flight(&pool), [0, 0, 0]);
        assert!(try_it(&pool).is_some(), "{strategy:?}: all ended without a verdict");
    }
}

#[test]
fn a_conclusive_verdict_ends_the_probation_and_any_other_end_passes_it_on() {
    for strategy in strategies() {
        let pool = on_probation(strategy, 3);
        for verdict in [None, Some(Verdict::Neutral)] {
            let mut lease = try_it(&pool).expect("the probation is free");
            assert!(try_it(&pool).is_none());
            verdict.into_iter().for_each(|verdict| lease.record(verdict));
            assert!(try_it(&pool).is_none(), "until the lease has ended");
        }
        for verdict in [Verdict::Success, Verdict::Failure(Failure::Connect), Verdict::Overloaded { retry_after: None }]
        {
            try_it(&pool).expect("the probation is free").finish(verdict);
            assert!(try_it(&pool).is_none(), "{verdict:?}");
            assert!(!pool.set_availability("e0", Availability::Probation).expect("known"), "no change");
        }
        assert!(try_it(&pool).is_some(), "set anew");
    }
}

#[test]
fn a_lease_of_an_earlier_probation_frees_no_later_one() {
    let pool = on_probation(strategies()[0].clone(), 3);
    let first = try_it(&pool).expect("free");
    pool.set_availability("e0", Availability::Probation).expect("known");
    let second = try_it(&pool).expect("set anew");
    drop(first);
    assert!(try_it(&pool).is_none());
    drop(second);
    assert!(try_it(&pool).is_some());
}

#[test]
fn a_probation_survives_updates_and_changes_of_other_endpoints() {
    let pool = on_probation(strategies()[2].clone(), 3);
    let lease = try_it(&pool).expect("free");
    pool.set_weight("e0", 4).expect("known");
    pool.set_availability("e1", Availability::Draining).expect("known");
    assert!(try_it(&pool).is_none());
    drop(lease);
    assert!(try_it(&pool).is_some());
}

#[test]
fn alone_it_is_saturated_and_a_waiting_request_is_woken() {
    for strategy in strategies() {
        let builder = Pool::<()>::builder(strategy).panic_threshold(0.0);
        let pool: Pool<()> = builder.build();
        pool.add(spec(0), ()).expect("valid");
        pool.set_availability("e0", Availability::Probation).expect("known");
        for again in [false, true] {
            let lease = pick(&pool);
            let mut next = pool.acquire(&PickRequest::new());
            assert!((&mut next).now_or_never().is_none());
            assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Saturated);
            if again {
                lease.finish(Verdict::Success);
                pool.set_availability("e0", Availability::Probation).expect("known");
            } else {
                drop(lease);
            }
            drop(futures::executor::block_on(next).expect("tried"));
        }
    }
}

#[test]
fn one_of_many_threads_gets_it() {
    for strategy in strategies() {
        let pool = on_probation(strategy, 3);
        for _ in 0..50 {
            pool.set_availability("e0", Availability::Probation).expect("known");
            let (start, tried) = (Barrier::new(4), AtomicU32::new(0));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        start.wait();
                        for _ in 0..50 {
                            let bound = id(0);
                            let lease = pool.pick(&PickRequest::new().prefer(&bound)).expect("two are up");
                            tried.fetch_add(u32::from(at(&lease) == 0), Ordering::Relaxed);
                            lease.finish(Verdict::Success);
                        }
                    });
                }
            });
            assert_eq!(tried.into_inner(), 1);
        }
    }
}

#[test]
fn threads_that_cancel_hand_it_on_and_never_hold_two() {
    let pool = on_probation(strategies()[0].clone(), 3);
    let (held, served) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    if let Some(lease) = try_it(&pool) {
                        assert_eq!(held.fetch_add(1, Ordering::SeqCst), 0);
                        served.fetch_add(1, Ordering::Relaxed);
                        std::thread::yield_now();
                        held.fetch_sub(1, Ordering::SeqCst);
                        drop(lease);
                    }
                }
            });
        }
    });
    assert!(served.into_inner() > 0);
    assert!(try_it(&pool).is_some());
}

#[test]
fn a_limit_and_a_probation_are_both_given_back() {
    let pool = on_probation(strategies()[0].clone(), 3);
    pool.update([spec(0).max_in_flight(1), spec(1), spec(2)], |_| ()).expect("valid");
    for _ in 0..3 {
        let lease = try_it(&pool).expect("free");
        assert!(try_it(&pool).is_none());
        drop(lease);
    }
    pool.set_availability("e0", Availability::Up).expect("known");
    assert!(try_it(&pool).is_some());
}

#[test]
fn in_a_panic_it_is_used_like_any_other() {
    for strategy in strategies() {
        let pool = on_probation(strategy, 3);
        pool.set_availabilities([1, 2].map(|at| (id(at), Availability::Unhealthy))).expect("valid");
        let leases: Vec<_> = (0..50).map(|_| try_it(&pool).expect("all are used")).collect();
        leases.into_iter().for_each(|lease| lease.finish(Verdict::Success));
        assert!(try_it(&pool).is_some());
    }
}

#[test]
fn without_weight_it_is_tried_by_its_own_clients_only() {
    let pool = on_probation(strategies()[0].clone(), 3);
    pool.set_weight("e0", 0).expect("known");
    assert!((0..20).all(|_| at(&pick(&pool)) != 0));
    let _lease = try_it(&pool).expect("free");
    assert!(try_it(&pool).is_none());
}

#[test]
fn an_explanation_names_it_and_leaves_the_probation_free() {
    for strategy in strategies() {
        let pool = on_probation(strategy, 3);
        let bound = id(0);
        let request = PickRequest::new().prefer(&bound);
        for _ in 0..2 {
            assert_eq!(pool.explain(&request).candidates[0].result, CandidateResult::Preferred);
        }
        let _lease = try_it(&pool).expect("free");
        let explanation = pool.explain(&request);
        assert_eq!(explanation.candidates[0].result, CandidateResult::OnProbation);
        assert_eq!(explanation.candidates[0].status.availability, Availability::Probation);
    }
}

#[test]
fn a_tier_on_probation_is_tried_while_other_tiers_share_the_traffic() {
    for strategy in strategies() {
        let pool: Pool<()> = Pool::<()>::builder(strategy).spillover(Spillover::ENVOY).build();
        let tier = |at: usize| Tier::new(u8::from(at > 0) + u8::from(at > 2));
        pool.update((0..5).map(|at| spec(at).tier(tier(at))), |_| ()).expect("valid");
        pool.set_availabilities([(id(0), Availability::Probation), (id(1), Availability::Unhealthy)]).expect("valid");
        let tried = (0..200).filter(|_| {
            let lease = pick(&pool);
            let tried = at(&lease) == 0;
            lease.finish(Verdict::Success);
            tried
        });
        assert_eq!(tried.count(), 1);
    }
}

#[test]
fn many_availabilities_change_at_once_and_unknown_ids_are_named() {
    let pool = pool_of(strategies()[0].clone(), &[1, 1, 1], SEED);
    let before = pool.revision().get();
    let wanted = [
        (id(2), Availability::Maintenance),
        (id(9), Availability::Maintenance),
        (id(0), Availability::Maintenance),
        (id(0), Availability::Unhealthy),
        (id(1), Availability::Up),
    ];
    let result = pool.set_availabilities(wanted.clone()).expect("valid");
    assert_eq!((result.changed, result.unknown), (vec![id(0), id(2)], vec![id(9)]));
    assert_eq!(pool.revision().get(), before + 1);
    let now: Vec<_> = pool.endpoints().iter().map(|endpoint| endpoint.availability).collect();
    assert_eq!(now, [Availability::Unhealthy, Availability::Up, Availability::Maintenance]);
    let again = pool.set_availabilities(wanted).expect("valid");
    assert_eq!((again.changed.len(), pool.revision().get()), (0, before + 1));
    let none = pool.set_availabilities(Vec::<(EndpointId, Availability)>::new()).expect("valid");
    assert!(none.changed.is_empty() && none.unknown.is_empty());
}

/// Returns a lease of a request that is bound to endpoint 0. It lasts until it is dropped.
fn long_stream(pool: &Pool<()>) -> Lease<()> {
    let bound = id(0);
    pool.pick(&PickRequest::new().prefer(&bound)).expect("up")
}

#[test]
fn the_next_request_is_offered_the_probation_although_a_stream_is_in_flight_there() {
    for strategy in all_strategies() {
        let pool = pool_of(strategy.clone(), &[1; 4], SEED);
        let _stream = long_stream(&pool);
        pool.set_availability("e0", Availability::Probation).expect("known");
        assert_eq!(pool.explain(&PickRequest::new().key(b"any")).picked, Ok(id(0)), "{strategy:?}");
        let lease = pool.pick(&PickRequest::new().key(b"any")).expect("it is offered");
        assert_eq!(at(&lease), 0, "{strategy:?}");
        lease.finish(Verdict::Success);
        assert!((0..50u32).all(|n| at(&pool.pick(&PickRequest::new().key(&n.to_le_bytes())).expect("up")) != 0));
    }
}

#[test]
fn an_endpoint_with_failures_in_its_state_is_offered_its_probation() {
    let (pool, clock) = clocked(PeakEwma::new(), &[1; 3], SEED);
    let bound = id(0);
    for _ in 0..20 {
        pool.pick(&PickRequest::new().prefer(&bound)).expect("up").finish(Verdict::Failure(Failure::Server));
    }
    for _ in 0..20 {
        let lease = pick(&pool);
        clock.advance(Duration::from_millis(10));
        lease.finish(Verdict::Success);
    }
    for available in [[Availability::Up, Availability::Probation], [Availability::Unhealthy, Availability::Probation]] {
        // First the other endpoints are up. Then they are unhealthy, and the tier panics.
        pool.set_availabilities([(id(1), available[0]), (id(2), available[0]), (id(0), available[1])]).expect("known");
        assert_eq!(at(&pick(&pool)), 0, "{available:?}");
    }
}

#[test]
fn a_probation_is_offered_only_to_requests_that_may_go_there() {
    for strategy in all_strategies() {
        let pool: Pool<()> = Pool::<()>::builder(strategy.clone()).build();
        pool.update([spec(0), spec(1), spec(2), spec(3).tier(Tier::BACKUP), spec(4).tier(Tier::BACKUP)], |_| ())
            .expect("valid");
        pool.set_availabilities([0, 3].map(|at| (id(at), Availability::Probation))).expect("known");
        // The probation is not offered to requests that exclude the endpoint or are bound to another one, nor in a tier
        // that gets no requests.
        let excluded = [id(0)];
        assert_ne!(at(&pool.pick(&PickRequest::new().exclude(&excluded)).expect("up")), 0);
        let other = id(1);
        assert_eq!(at(&pool.pick(&PickRequest::new().prefer(&other)).expect("up")), 1);
        assert_eq!(at(&pick(&pool)), 0, "{strategy:?}");
        assert!((0..50).all(|_| at(&pick(&pool)) < 3), "{strategy:?}");
        let primary = [0, 1, 2].map(id);
        assert_eq!(at(&pool.pick(&PickRequest::new().exclude(&primary)).expect("up")), 3, "{strategy:?}");
    }
}

/// Creates a pool with an endpoint on probation that the strategy never picks, because a stream is in flight there.
fn shunned() -> (Pool<()>, Lease<()>) {
    let pool = pool_of(LeastConnections::new(), &[1; 4], SEED);
    let stream = long_stream(&pool);
    pool.set_availability("e0", Availability::Probation).expect("known");
    (pool, stream)
}

/// Returns the number of picks of other endpoints before the endpoint on probation is picked, and the lease of that
/// pick.
fn picks_before_the_next_offer(pool: &Pool<()>) -> (usize, Lease<()>) {
    for passed in 0..5000 {
        let lease = pick(pool);
        if at(&lease) == 0 {
            return (passed, lease);
        }
        lease.finish(Verdict::Success);
    }
    panic!("it is forgotten");
}

#[test]
fn a_probation_that_ends_without_a_verdict_is_offered_again_after_ever_more_picks() {
    let (pool, _stream) = shunned();
    for passes in [0, 8, 16, 32, 64, 128, 256, 512, 1024, 1024] {
        let (passed, hangs) = picks_before_the_next_offer(&pool);
        assert_eq!(passed, passes, "a request that is given up decides nothing");
        drop(hangs);
    }
    assert!(try_it(&pool).is_some(), "the strategy and bound requests have the pass meanwhile");
    pool.set_availability("e0", Availability::Probation).expect("known");
    assert_eq!(picks_before_the_next_offer(&pool).0, 0, "set anew");
}

#[test]
fn a_probation_that_was_decided_is_not_offered_again() {
    let (pool, _stream) = shunned();
    let (_, first) = picks_before_the_next_offer(&pool);
    drop(first);
    let (_, second) = picks_before_the_next_offer(&pool);
    second.finish(Verdict::Success);
    assert!((0..3000).all(|_| at(&pick(&pool)) != 0));
}

#[test]
fn a_request_that_waits_and_leaves_before_it_gets_its_lease_is_no_offer() {
    let pool: Pool<()> = Pool::<()>::builder(LeastConnections::new()).panic_threshold(0.0).build();
    pool.update([spec(0), spec(1)], |_| ()).expect("valid");
    let _stream = long_stream(&pool);
    pool.set_availabilities([(id(0), Availability::Unhealthy), (id(1), Availability::Maintenance)]).expect("known");
    let mut waits = Box::pin(pool.acquire(&PickRequest::new()));
    assert!((&mut waits).now_or_never().is_none());
    pool.set_availability("e0", Availability::Probation).expect("known");
    assert_eq!(in_flight(&pool)[0], 2, "it has been served, and does not ask for its lease");
    drop(waits);
    pool.set_availability("e1", Availability::Up).expect("known");
    assert_eq!(at(&pick(&pool)), 0);
}

#[test]
fn of_many_probations_each_is_offered() {
    // Fewer than half of the endpoints are on probation, so that the tier does not panic.
    let pool = pool_of(LeastConnections::new(), &[1; 200], SEED);
    let streams: Vec<_> = (0..60)
        .map(|at| {
            let bound = id(at);
            pool.pick(&PickRequest::new().prefer(&bound)).expect("up")
        })
        .collect();
    pool.set_availabilities((0..60).map(|at| (id(at), Availability::Probation))).expect("known");
    let leases: Vec<_> = (0..300).map(|_| pick(&pool)).collect();
    let mut tried: Vec<_> = leases.iter().map(at).filter(|&at| at < 60).collect();
    tried.sort_unstable();
    assert_eq!(tried, (0..60).collect::<Vec<_>>());
    drop(streams);
}
