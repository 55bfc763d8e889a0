//! Requests that can use different endpoints do not wait for each other.

use std::task::Poll;

use equipoise_core::{
    Availability, Binding, BindingOutcome, MissReason, PickError, PickRequest, Pool, RoundRobin, Verdict,
};

use crate::{
    Waiter, any,
    common::{at, id, spec},
};

/// Creates a pool of two endpoints with this limit each. The first endpoint is in maintenance.
fn in_maintenance(limit: Option<u32>) -> Pool<()> {
    let pool: Pool<()> = Pool::new(RoundRobin::new());
    let specs = [0, 1].map(spec).map(|spec| match limit {
        Some(limit) => spec.max_in_flight(limit),
        None => spec,
    });
    pool.update(specs, |_| ()).unwrap();
    pool.set_availability("e0", Availability::Maintenance).unwrap();
    pool
}

fn pending(pool: &Pool<()>, request: &PickRequest<'_>) -> Waiter {
    let mut waiter = Waiter::new(pool.acquire(request));
    assert!(waiter.poll().is_pending());
    waiter
}

#[test]
fn a_forced_request_behind_a_strict_one_gets_an_endpoint_in_maintenance() {
    let (strict, forced) = (Binding::to(id(0)).strict(), Binding::to(id(0)).strict().forced());
    for limit in [None, Some(1)] {
        let pool = in_maintenance(limit);
        let first = pending(&pool, &any().bound(&strict));
        let lease = Waiter::new(pool.acquire(&any().bound(&forced))).ready();
        assert_eq!((at(&lease), first.rung()), (0, 0), "limit {limit:?}");
    }
}

#[test]
fn capacity_that_is_freed_in_maintenance_goes_to_forced_requests() {
    let pool = in_maintenance(Some(1));
    let (strict, forced) = (Binding::to(id(0)).strict(), Binding::to(id(0)).strict().forced());
    let held = pool.pick(&any().bound(&forced)).unwrap();
    let first = pending(&pool, &any().bound(&strict));
    let mut second = pending(&pool, &any().bound(&forced));
    drop(held);
    assert_eq!((at(&second.ready()), first.rung()), (0, 0));
}

#[test]
fn a_loose_request_that_is_forced_does_not_wait_behind_one_that_is_not() {
    let (loose, forced) = (Binding::to(id(0)), Binding::to(id(0)).forced());
    let pool = in_maintenance(Some(1));
    let _other = pool.pick(&any()).unwrap();
    let first = pending(&pool, &any().bound(&loose));
    let lease = Waiter::new(pool.acquire(&any().bound(&forced))).ready();
    assert_eq!((at(&lease), lease.binding_outcome(), first.rung()), (0, BindingOutcome::Kept, 0));
    let mut second = pending(&pool, &any().bound(&forced));
    drop(lease);
    assert_eq!((at(&second.ready()), first.rung()), (0, 0));
}

#[test]
fn a_strict_request_that_excludes_its_endpoint_fails_behind_others() {
    let (strict, excluded) = (Binding::to(id(0)).strict(), [id(0)]);
    let pool: Pool<()> = Pool::new(RoundRobin::new());
    pool.add(spec(0).max_in_flight(1), ()).unwrap();
    let _held = pool.pick(&any()).unwrap();
    let _first = pending(&pool, &any().bound(&strict));
    let mut fails = Waiter::new(pool.acquire(&any().bound(&strict).exclude(&excluded)));
    let error = PickError::Bound { missed: MissReason::Excluded };
    assert!(matches!(fails.poll(), Poll::Ready(Err(found)) if found == error));
}

#[test]
fn a_strict_request_that_excludes_its_endpoint_fails_when_that_joins() {
    let pool: Pool<()> = Pool::new(RoundRobin::new());
    pool.add(spec(1), ()).unwrap();
    let (strict, excluded) = (Binding::to(id(0)).strict(), [id(0)]);
    let mut fails = pending(&pool, &any().bound(&strict).exclude(&excluded));
    pool.add(spec(0), ()).unwrap();
    assert_eq!(fails.rung(), 1);
    assert!(matches!(fails.poll(), Poll::Ready(Err(PickError::Bound { missed: MissReason::Excluded }))));
}

#[test]
fn capacity_on_probation_whose_pass_is_used_up_goes_to_forced_requests() {
    let pool: Pool<()> = Pool::new(RoundRobin::new());
    pool.update([spec(0).max_in_flight(1), spec(1), spec(2)], |_| ()).unwrap();
    pool.set_availability("e0", Availability::Probation).unwrap();
    let (strict, forced) = (Binding::to(id(0)).strict(), Binding::to(id(0)).strict().forced());
    let decides = pool.pick(&any().bound(&forced)).unwrap();
    let first = pending(&pool, &any().bound(&strict));
    let mut second = pending(&pool, &any().bound(&forced));
    decides.finish(Verdict::Success);
    assert_eq!((at(&second.ready()), first.rung()), (0, 0));
    assert_eq!(first.future.reason(), PickError::Bound { missed: MissReason::OnProbation });
}
