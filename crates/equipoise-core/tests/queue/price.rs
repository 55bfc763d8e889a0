//! The cost of a release while many requests wait, as a number of attempts.

use std::sync::atomic::Ordering;

use equipoise_core::{Availability, Binding, BoundedLoad, Pool, Ring, RoundRobin};

use crate::{
    Waiter, any,
    common::{at, id, pick, spec},
    counted,
};

const WAITERS: usize = 5000;

#[test]
fn a_release_costs_one_attempt_however_many_wait() {
    let (strategy, picks) = counted(RoundRobin::new());
    let pool: Pool<()> = Pool::new(strategy);
    pool.update([0, 1].map(|at| spec(at).max_in_flight(1)), |_| ()).unwrap();
    let mut held = vec![pick(&pool), pick(&pool)];
    let strict = Binding::to(id(0)).strict();
    let mut bound: Vec<_> = (0..WAITERS).map(|_| Waiter::new(pool.acquire(&any().bound(&strict)))).collect();
    let mut free: Vec<_> = (0..WAITERS).map(|_| Waiter::new(pool.acquire(&any()))).collect();
    assert!(bound.iter_mut().chain(&mut free).all(|waiter| waiter.poll().is_pending()));
    let before = picks.load(Ordering::Relaxed);
    let ends = held.iter().position(|lease| lease.endpoint().slot().index() == 1).unwrap();
    drop(held.swap_remove(ends));
    for waiter in &mut free {
        drop(waiter.ready());
    }
    assert_eq!(picks.load(Ordering::Relaxed) - before, WAITERS);
    assert!(bound.iter().all(|waiter| waiter.rung() == 0));
}

#[test]
fn availability_changes_of_a_full_endpoint_cost_no_attempt() {
    let (strategy, picks) = counted(RoundRobin::new());
    let pool: Pool<()> = Pool::<()>::builder(strategy).panic_threshold(0.0).build();
    pool.update([spec(0).max_in_flight(1), spec(1).max_in_flight(1)], |_| ()).unwrap();
    let _held = [pick(&pool), pick(&pool)];
    let keys: Vec<String> = (0..WAITERS).map(|key| key.to_string()).collect();
    let mut free: Vec<_> = keys.iter().map(|key| Waiter::new(pool.acquire(&any().key(key.as_bytes())))).collect();
    assert!(free.iter_mut().all(|waiter| waiter.poll().is_pending()));
    let before = picks.load(Ordering::Relaxed);
    for _ in 0..100 {
        pool.set_availability("e1", Availability::Maintenance).unwrap();
        pool.set_availability("e1", Availability::Up).unwrap();
    }
    assert_eq!(picks.load(Ordering::Relaxed), before, "all are full");
    assert!(free.iter().all(|waiter| waiter.rung() == 0));
}

#[test]
fn a_release_under_a_bound_costs_few_attempts_however_many_keys_wait() {
    let keys: Vec<String> = (0..500).map(|key| key.to_string()).collect();
    let (strategy, picks) = counted(BoundedLoad::new(Ring::new()));
    let pool: Pool<()> = Pool::new(strategy);
    pool.update((0..4).map(|at| spec(at).max_in_flight(2)), |_| ()).unwrap();
    let mut held: Vec<_> = (0..8).map(|key: u8| pool.pick(&any().key(&[key])).unwrap()).collect();
    let mut waiters: Vec<_> = keys.iter().map(|key| Waiter::new(pool.acquire(&any().key(key.as_bytes())))).collect();
    assert!(waiters.iter_mut().all(|waiter| waiter.poll().is_pending()));
    for turn in 0..waiters.len() {
        let before = picks.load(Ordering::Relaxed);
        drop(held.remove(0));
        let made = picks.load(Ordering::Relaxed) - before;
        assert!(made <= 4, "{made} attempts");
        assert_eq!(waiters.iter().filter(|waiter| waiter.rung() > 0).count(), turn + 1, "one is served");
        held.push(waiters[turn].ready());
    }
}

#[test]
fn under_a_bound_room_goes_to_the_first_that_can_use_it() {
    let pool: Pool<()> = Pool::new(BoundedLoad::new(Ring::new()));
    pool.update((0..2).map(|at| spec(at).max_in_flight(1)), |_| ()).unwrap();
    let mut held: Vec<_> = (0..2).map(|key: u8| pool.pick(&any().key(&[key])).unwrap()).collect();
    held.sort_by_key(at);
    let strict = Binding::to(id(0)).strict();
    let excluded = [id(1)];
    let mut bound = Waiter::new(pool.acquire(&any().bound(&strict)));
    let mut elsewhere = Waiter::new(pool.acquire(&any().exclude(&excluded).key(b"a")));
    let mut keyed = Waiter::new(pool.acquire(&any().key(b"b")));
    assert!([&mut bound, &mut elsewhere, &mut keyed].into_iter().all(|waiter| waiter.poll().is_pending()));
    drop(held.pop());
    assert_eq!([bound.rung(), elsewhere.rung(), keyed.rung()], [0, 0, 1]);
    drop(held.pop());
    drop(bound.ready());
    assert_eq!(at(&elsewhere.ready()), 0);
}
