//! Free capacity goes to exactly one request: the first that can use it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use equipoise_core::{
    Availability, Binding, BoundedLoad, BuildError, EndpointSpec, MissReason, P2c, PickCx, PickError, Picker, Pool,
    Ring, RoundRobin, Slot, Strategy, View,
};

use crate::{
    Waiter, any,
    common::{at, id, in_flight, pick, pool_of, spec},
};

const SEED: u64 = 29;

fn full(n: usize) -> (Pool<()>, Vec<equipoise_core::Lease<()>>) {
    let pool = pool_of(RoundRobin::new(), &vec![1; n], SEED);
    pool.set_max_in_flight_all((0..n).map(|at| (id(at), Some(1)))).unwrap();
    let held = (0..n).map(|_| pick(&pool)).collect();
    (pool, held)
}

fn waiting<const N: usize>(pool: &Pool<()>) -> [Waiter; N] {
    std::array::from_fn(|_| {
        let mut waiter = Waiter::new(pool.acquire(&any()));
        assert!(waiter.poll().is_pending());
        waiter
    })
}

#[test]
fn places_go_to_requests_in_the_order_in_which_they_came_and_wake_no_other() {
    let (pool, mut held) = full(1);
    let mut waiters: [Waiter; 16] = waiting(&pool);
    for turn in 0..waiters.len() {
        drop(held.pop());
        let rung: Vec<u32> = waiters.iter().map(Waiter::rung).collect();
        assert_eq!(rung, (0..16).map(|at| u32::from(at <= turn)).collect::<Vec<_>>());
        held.push(waiters[turn].ready());
    }
}

#[test]
fn a_request_that_arrives_does_not_get_the_place_of_one_that_waits() {
    let (pool, held) = full(1);
    let [mut first] = waiting(&pool);
    drop(held);
    assert_eq!(pool.pick(&any()).unwrap_err(), PickError::Saturated);
    let mut second = Waiter::new(pool.acquire(&any()));
    assert!(second.poll().is_pending());
    drop(first.ready());
    drop(second.ready());
    drop(pick(&pool));
}

#[test]
fn a_place_passes_by_those_that_cannot_use_it() {
    let (pool, mut held) = full(2);
    let strict = Binding::to(id(1)).strict();
    let mut bound = Waiter::new(pool.acquire(&any().bound(&strict)));
    let excluded = [id(0)];
    let mut elsewhere = Waiter::new(pool.acquire(&any().exclude(&excluded)));
    assert!(bound.poll().is_pending() && elsewhere.poll().is_pending());
    let [mut free] = waiting(&pool);
    drop(held.remove(0));
    assert_eq!((bound.rung(), elsewhere.rung(), free.rung()), (0, 0, 1));
    assert_eq!(at(&free.ready()), 0);
    drop(held);
    assert_eq!(at(&bound.ready()), 1);
    assert_eq!(at(&elsewhere.ready()), 1);
}

#[test]
fn a_request_that_is_gone_gives_its_turn_on() {
    let (pool, held) = full(1);
    let [first, second, mut third] = waiting(&pool);
    drop(second);
    drop(held);
    assert_eq!((first.rung(), third.rung()), (1, 0));
    // The first request has got the capacity, but its future is never polled again.
    drop(first);
    assert_eq!(third.rung(), 1);
    drop(third.ready());
    assert_eq!(in_flight(&pool), [0]);
}

#[test]
fn a_draining_endpoint_hands_its_places_to_those_that_are_bound_to_it() {
    let (pool, mut held) = full(2);
    pool.drain("e0").unwrap();
    let [free] = waiting(&pool);
    let binding = Binding::to(id(0));
    let mut loose = Waiter::new(pool.acquire(&any().bound(&binding)));
    assert!(loose.poll().is_pending());
    drop(held.remove(0));
    assert_eq!((free.rung(), loose.rung()), (0, 1));
    assert_eq!(at(&loose.ready()), 0);
}

#[test]
fn changes_of_the_pool_hand_over_all_that_they_make_room_for() {
    type Change = &'static dyn Fn(&Pool<()>);
    let changes: [(Change, usize); 5] = [
        (&|pool| drop(pool.add(spec(1).max_in_flight(2), ()).unwrap()), 2),
        (&|pool| assert!(pool.set_max_in_flight("e0", Some(3)).unwrap()), 2),
        (&|pool| drop(pool.update([spec(0)], |_| ()).unwrap()), 4),
        (&|pool| drop(pool.update([spec(0).max_in_flight(1), spec(7)], |_| ()).unwrap()), 4),
        (
            &|pool| drop(pool.update([EndpointSpec::new("elsewhere").with_id("e0").max_in_flight(1)], |_| ()).unwrap()),
            1,
        ),
    ];
    for (number, (change, expected)) in changes.into_iter().enumerate() {
        let pool = pool_of(P2c::new(), &[1], SEED);
        pool.update([spec(0).max_in_flight(1)], |_| ()).unwrap();
        let _held = pick(&pool);
        let mut waiters: [Waiter; 4] = waiting(&pool);
        change(&pool);
        let served: Vec<u32> = waiters.iter().map(Waiter::rung).collect();
        assert_eq!(served, (0..4).map(|at| u32::from(at < expected)).collect::<Vec<_>>(), "{number}");
        waiters.iter_mut().take(expected).for_each(|waiter| drop(waiter.ready()));
    }
}

#[test]
fn requests_wait_for_endpoints_that_join_come_up_or_pass_probation() {
    let pool: Pool<()> = Pool::new(RoundRobin::new());
    let [mut first, mut second, third] = waiting(&pool);
    pool.add(spec(0).max_in_flight(1), ()).unwrap();
    assert_eq!((first.rung(), second.rung()), (1, 0));
    pool.set_availability("e0", Availability::Maintenance).unwrap();
    drop(first.ready());
    assert_eq!(second.rung(), 0);
    pool.set_availability("e0", Availability::Up).unwrap();
    drop(second.ready());
    assert_eq!(third.rung(), 1);
    let pool = pool_of(RoundRobin::new(), &[1; 3], SEED);
    pool.set_availability("e0", Availability::Probation).unwrap();
    let strict = Binding::to(id(0)).strict();
    let trial = pool.pick(&any().bound(&strict)).unwrap();
    let [mut next, mut last] = [(); 2].map(|()| Waiter::new(pool.acquire(&any().bound(&strict))));
    assert!(next.poll().is_pending() && last.poll().is_pending());
    assert_eq!(next.future.reason(), PickError::Bound { missed: MissReason::OnProbation });
    drop(trial);
    let trial = next.ready();
    trial.finish(equipoise_core::Verdict::Success);
    assert_eq!(last.rung(), 0, "the probation has been decided");
    pool.set_availability("e0", Availability::Probation).unwrap();
    drop(last.ready());
}

#[test]
fn room_that_a_pick_makes_elsewhere_is_handed_over() {
    // With a factor of 1, one of two endpoints may have a second request when the other one has one.
    let pool = Pool::new(BoundedLoad::new(RoundRobin::new()).factor(1.0).unwrap());
    pool.update([0, 1].map(spec), |_| ()).unwrap();
    let [binding, other] = [0, 1].map(|at| Binding::to(id(at)).strict());
    let _first = pool.pick(&any().bound(&binding)).unwrap();
    let mut second = Waiter::new(pool.acquire(&any().bound(&binding)));
    assert!(second.poll().is_pending());
    let _third = pool.pick(&any().bound(&other)).unwrap();
    let second = second.ready();
    assert_eq!((at(&second), in_flight(&pool)), (0, vec![2, 1]));
}

#[test]
fn an_error_for_which_waiting_is_in_vain_ends_a_wait() {
    let (pool, _held) = full(2);
    let excluded = [id(0)];
    let mut waiter = Waiter::new(pool.acquire(&any().exclude(&excluded)));
    assert!(waiter.poll().is_pending());
    pool.remove("e1").unwrap();
    assert_eq!(waiter.rung(), 1);
    assert!(matches!(waiter.poll(), std::task::Poll::Ready(Err(PickError::Excluded))));
}

/// A strategy that sets a limit on `e0` once, in the middle of a pick.
#[derive(Clone, Default)]
struct Meddler(Arc<AtomicBool>, Arc<std::sync::OnceLock<Pool<()>>>);

struct InOrder(Meddler, Vec<Slot>);

impl Strategy for Meddler {
    type State = ();
    type Picker = InOrder;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, view: &View, _: Option<&InOrder>) -> Result<InOrder, BuildError> {
        Ok(InOrder(self.clone(), view.eligible().to_vec()))
    }
}

impl Picker for InOrder {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        if self.0.0.swap(false, Ordering::SeqCst) {
            self.0.1.get()?.set_max_in_flight("e0", Some(1)).unwrap();
        }
        self.1.iter().copied().find(|&slot| cx.usable(slot))
    }
}

#[test]
fn a_limit_that_is_set_during_a_pick_makes_the_pool_full_and_not_a_strategy_that_declines() {
    let meddler = Meddler::default();
    let pool: Pool<()> = Pool::new(meddler.clone());
    pool.update([spec(0).max_in_flight(1), spec(1).max_in_flight(1)], |_| ()).unwrap();
    let _held = [pick(&pool), pick(&pool)];
    pool.set_max_in_flight("e0", None).unwrap();
    pool.update([spec(0), spec(1).max_in_flight(1)], |_| ()).unwrap();
    assert!(meddler.1.set(pool.clone()).is_ok());
    meddler.0.store(true, Ordering::SeqCst);
    assert_eq!(pool.pick(&any()).unwrap_err(), PickError::Saturated);
}

#[test]
fn a_strategy_may_decline_one_key_and_take_another() {
    /// A strategy that picks the endpoint that the key names. If there is none, it picks no endpoint.
    struct Named;
    struct Names(Vec<Slot>);
    impl Strategy for Named {
        type State = ();
        type Picker = Names;
        fn state(&self, _: &EndpointSpec) {}
        fn build(&self, view: &View, _: Option<&Names>) -> Result<Names, BuildError> {
            Ok(Names(view.eligible().to_vec()))
        }
        fn needs(&self) -> equipoise_core::Needs {
            equipoise_core::Needs::new().key()
        }
    }
    impl Picker for Names {
        fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
            let key = cx.key()?;
            let named = |slot: Slot| cx.view().endpoint(slot).is_some_and(|end| end.id().as_str().as_bytes() == key);
            let slot = self.0.iter().copied().find(|&slot| named(slot))?;
            cx.usable(slot).then_some(slot)
        }
    }
    let pool: Pool<()> = Pool::new(Named);
    pool.update([0, 1].map(|at| spec(at).max_in_flight(1)), |_| ()).unwrap();
    let held = [b"e0", b"e1"].map(|key| pool.pick(&any().key(key)).unwrap());
    let mut waiters = [b"e0", b"e1"].map(|key| Waiter::new(pool.acquire(&any().key(key))));
    assert!(waiters.iter_mut().all(|waiter| waiter.poll().is_pending()));
    let [_stays, ends] = held;
    drop(ends);
    assert_eq!(waiters.each_ref().map(Waiter::rung), [0, 1]);
    // The other waiting request cannot use the capacity of e1, so a new request may have it.
    drop(waiters[1].ready());
    drop(pool.pick(&any().key(b"e1")).unwrap());
}

#[test]
fn keys_do_not_hold_each_other_up() {
    let pool = pool_of(Ring::new(), &[1, 1], SEED);
    pool.set_max_in_flight_all([0, 1].map(|at| (id(at), Some(1)))).unwrap();
    let mut held = vec![pick(&pool), pick(&pool)];
    let keys: Vec<String> = (0..20).map(|key| key.to_string()).collect();
    let mut waiters: Vec<_> = keys.iter().map(|key| Waiter::new(pool.acquire(&any().key(key.as_bytes())))).collect();
    assert!(waiters.iter_mut().all(|waiter| waiter.poll().is_pending()));
    for turn in 0..waiters.len() {
        held.rotate_left(1);
        drop(held.pop());
        assert!(waiters.iter().enumerate().all(|(at, waiter)| waiter.rung() == u32::from(at <= turn)));
        held.push(waiters[turn].ready());
    }
}
