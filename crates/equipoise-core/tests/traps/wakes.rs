//! `Pool::changed` wakes the tasks that wait for it, without a runtime. (The tests of `acquire` are in `queue/`.)

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use equipoise_core::{Availability, Pool};

use crate::common::{pick, pool_of, spec};

const SEED: u64 = 7;

/// A waker that counts how often it is woken.
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

#[test]
fn changed_wakes_for_membership_weight_and_availability() {
    let pool = pool_of(equipoise_core::P2c::new(), &[1, 1], SEED);
    let changes: [&dyn Fn(); 4] = [
        &|| drop(pool.add(spec(2), ()).expect("valid")),
        &|| drop(pool.set_weight("e0", 3).expect("valid")),
        &|| assert!(pool.set_availability("e0", Availability::Maintenance).expect("valid")),
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
    pool.set_availability("e0", Availability::Up).expect("valid");
    assert!(pool.remove("unknown").is_err());
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
