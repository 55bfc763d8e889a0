//! `changed` and `room` wake whoever waits, without a runtime.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use equipoise_core::{Availability, Binding, PickError, PickRequest, Pool, RoundRobin};

use crate::common::{id, pick, pool_of, spec};

const SEED: u64 = 7;

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    fn rung(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll<F: Future>(future: Pin<&mut F>, bell: &Arc<Bell>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(bell))))
}

fn limited() -> Pool<()> {
    let pool = pool_of(equipoise_core::P2c::new(), &[1], SEED);
    pool.update([spec(0).limit(1)], |_| ()).expect("valid");
    pool
}

#[test]
fn changed_wakes_for_membership_weight_and_availability() {
    let pool = pool_of(equipoise_core::P2c::new(), &[1, 1], SEED);
    let changes: [&dyn Fn(); 4] = [
        &|| drop(pool.add(spec(2), ()).expect("valid")),
        &|| drop(pool.set_weight("e0", 3).expect("valid")),
        &|| assert!(pool.set_availability("e0", Availability::Closed).expect("valid")),
        &|| drop(pool.remove("e1").expect("valid")),
    ];
    for change in changes {
        let bell = Arc::new(Bell::default());
        let since = pool.revision();
        let mut changed = pin!(pool.changed(since));
        assert!(poll(changed.as_mut(), &bell).is_pending());
        change();
        assert_eq!(bell.rung(), 1);
        assert_eq!(poll(changed.as_mut(), &bell), Poll::Ready(pool.revision()));
        assert!(pool.revision() > since);
    }
}

#[test]
fn changed_ends_at_once_for_a_change_of_the_past() {
    let pool: Pool<()> = Pool::default();
    let since = pool.revision();
    pool.add(spec(0), ()).expect("valid");
    assert_eq!(futures::executor::block_on(pool.changed(since)), pool.revision());
}

#[test]
fn changed_sleeps_through_what_changes_nothing() {
    let pool = pool_of(equipoise_core::P2c::new(), &[1], SEED);
    let bell = Arc::new(Bell::default());
    let mut changed = pin!(pool.changed(pool.revision()));
    assert!(poll(changed.as_mut(), &bell).is_pending());
    pool.set_weight("e0", 1).expect("valid");
    pool.set_availability("e0", Availability::Open).expect("valid");
    assert!(pool.remove("nobody").is_err());
    drop(pick(&pool));
    assert!(poll(changed.as_mut(), &bell).is_pending());
    assert_eq!(bell.rung(), 0);
}

#[test]
fn changed_wakes_a_thread_that_blocks() {
    let pool: Pool<()> = Pool::default();
    let since = pool.revision();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| futures::executor::block_on(pool.changed(since)));
        pool.add(spec(0), ()).expect("valid");
        assert_eq!(waiter.join().expect("valid"), pool.revision());
    });
}

#[test]
fn room_wakes_when_a_limited_lease_ends() {
    let pool = limited();
    let full = pick(&pool);
    let bell = Arc::new(Bell::default());
    let mut room = pin!(pool.room(pool.revision()));
    assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Saturated);
    assert!(poll(room.as_mut(), &bell).is_pending());
    drop(full);
    assert_eq!(bell.rung(), 1);
    assert!(poll(room.as_mut(), &bell).is_ready());
    assert!(pool.pick(&PickRequest::new()).is_ok());
}

#[test]
fn room_made_before_the_first_poll_is_not_missed() {
    let pool = limited();
    let full = pick(&pool);
    let mut room = pin!(pool.room(pool.revision()));
    drop(full);
    assert!(poll(room.as_mut(), &Arc::new(Bell::default())).is_ready());
}

#[test]
fn room_wakes_when_somebody_joins_or_opens() {
    let pool = pool_of(equipoise_core::P2c::new(), &[1], SEED);
    pool.set_availability("e0", Availability::Closed).expect("valid");
    for change in 0..2 {
        let bell = Arc::new(Bell::default());
        let mut room = pin!(pool.room(pool.revision()));
        assert!(poll(room.as_mut(), &bell).is_pending());
        match change {
            0 => drop(pool.set_availability("e0", Availability::Open)),
            _ => drop(pool.add(spec(1), ())),
        }
        assert_eq!(bell.rung(), 1);
        assert!(poll(room.as_mut(), &bell).is_ready());
    }
}

#[test]
fn each_place_that_frees_wakes_one_who_waits() {
    let pool = pool_of(equipoise_core::P2c::new(), &[1], SEED);
    pool.update([spec(0).limit(2)], |_| ()).expect("valid");
    let full = [pick(&pool), pick(&pool)];
    let bells: [Arc<Bell>; 3] = std::array::from_fn(|_| Arc::default());
    let mut rooms: Vec<_> = bells.iter().map(|_| Box::pin(pool.room(pool.revision()))).collect();
    for (room, bell) in rooms.iter_mut().zip(&bells) {
        assert!(poll(room.as_mut(), bell).is_pending());
    }
    let rung = || bells.iter().map(|bell| bell.rung()).sum::<u32>();
    for (so_far, lease) in full.into_iter().enumerate() {
        assert_eq!(rung(), so_far as u32);
        drop(lease);
    }
    assert_eq!(rung(), 2);
}

#[test]
fn a_waiter_that_gives_up_passes_its_wake_on() {
    let pool = limited();
    let full = pick(&pool);
    let [gives_up, stays]: [Arc<Bell>; 2] = std::array::from_fn(|_| Arc::default());
    let mut first = Box::pin(pool.room(pool.revision()));
    let mut second = Box::pin(pool.room(pool.revision()));
    assert!(poll(first.as_mut(), &gives_up).is_pending() && poll(second.as_mut(), &stays).is_pending());
    drop(full);
    assert_eq!((gives_up.rung(), stays.rung()), (1, 0));
    drop(first);
    assert_eq!(stays.rung(), 1);
}

#[test]
fn waiters_on_threads_all_get_their_turn() {
    let pool = limited();
    let serve = || {
        for _ in 0..200 {
            loop {
                let room = pool.room(pool.revision());
                match pool.pick(&PickRequest::new()) {
                    Ok(lease) => break drop(lease),
                    Err(error) => assert!(error.is_temporary(), "{error}"),
                }
                futures::executor::block_on(room);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(serve);
        }
    });
    let bound = id(0);
    assert!(pool.pick(&PickRequest::new().prefer(&bound)).is_ok());
}

#[test]
fn a_place_that_is_freed_wakes_those_who_are_bound_and_one_who_is_not() {
    let pool = pool_of(RoundRobin::new(), &[1, 1], SEED);
    pool.set_limits([(id(0), Some(1)), (id(1), Some(1))]).unwrap();
    let [first, second] = [pick(&pool), pick(&pool)];
    let elsewhere = Binding::to(second.endpoint().id().clone()).strict();
    let bound = PickRequest::new().bound(&elsewhere);
    let bells = [Arc::new(Bell::default()), Arc::new(Bell::default())];
    // The bound one first: it is who would be woken, and does not want what is freed.
    let mut rooms = [
        Box::pin(pool.room_for(&bound, pool.revision())),
        Box::pin(pool.room_for(&PickRequest::new(), pool.revision())),
    ];
    for (room, bell) in rooms.iter_mut().zip(&bells) {
        assert!(poll(room.as_mut(), bell).is_pending());
    }
    drop(first);
    assert_eq!(bells.map(|bell| bell.rung()), [1, 1]);
}
