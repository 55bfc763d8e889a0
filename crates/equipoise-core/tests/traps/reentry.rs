//! User code that runs inside a change or a pick may call the pool again.

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use equipoise_core::{
    Availability, BuildError, Endpoint, EndpointSpec, Needs, PickCx, PickError, PickRequest, Picker, Pool, RoundRobin,
    Slot, Strategy, Timestamp, View,
};
use futures::{FutureExt, executor::block_on};

/// A strategy that admits one lease per endpoint, and asks for new pickers at every pick.
struct OneAtATime;

struct InOrder(Vec<Slot>);

impl Strategy for OneAtATime {
    type State = AtomicBool;
    type Picker = InOrder;

    fn state(&self, _: &EndpointSpec) -> AtomicBool {
        AtomicBool::new(false)
    }

    fn build(&self, view: &View, _: Option<&InOrder>) -> Result<InOrder, BuildError> {
        Ok(InOrder(view.eligible().to_vec()))
    }

    fn needs(&self) -> Needs {
        Needs::new().leases().refresh(Duration::from_nanos(1))
    }

    fn admit(&self, taken: &AtomicBool, _: &Endpoint, _: &PickRequest<'_>) -> bool {
        !taken.swap(true, Ordering::SeqCst)
    }

    fn on_release(&self, taken: &AtomicBool, _: &Endpoint) {
        taken.store(false, Ordering::SeqCst);
    }

    fn on_refresh(&self, _: Timestamp) -> bool {
        true
    }
}

impl Picker for InOrder {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.0.iter().copied().find(|&slot| cx.usable(slot))
    }
}

#[test]
fn a_release_wakes_requests_that_the_strategy_refused() {
    let pool = Pool::new(OneAtATime);
    pool.add(EndpointSpec::new("a"), ()).unwrap();
    let lease = pool.pick(&PickRequest::new()).unwrap();
    let mut next = pool.acquire(&PickRequest::new());
    assert!((&mut next).now_or_never().is_none());
    let refused = pool.pick(&PickRequest::new()).unwrap_err();
    assert_eq!((refused.clone(), refused.is_temporary()), (PickError::Saturated, true));
    drop(lease);
    assert!(block_on(next).is_ok());
}

#[test]
fn a_pick_does_not_wait_for_an_update() {
    let pool: Pool<()> = Pool::new(OneAtATime);
    pool.add(EndpointSpec::new("a"), ()).unwrap();
    let inside = pool.clone();
    // The closure runs inside the update, and makes a pick.
    let make = |_: &EndpointSpec| drop(inside.pick(&PickRequest::new()).unwrap());
    pool.update(["a", "b"].map(EndpointSpec::new), make).unwrap();
}

/// A target that changes its pool when it is dropped.
struct Meddler(Pool<Meddler>);

impl Drop for Meddler {
    fn drop(&mut self) {
        let _ = self.0.set_availability("b", Availability::Maintenance);
    }
}

#[test]
fn the_target_of_a_removed_endpoint_may_change_the_pool_when_it_is_dropped() {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        let pool = Pool::new(RoundRobin::new());
        pool.update(["a", "b"].map(EndpointSpec::new), |_| Meddler(pool.clone())).unwrap();
        pool.remove("a").unwrap();
        done.send(pool.endpoints()[0].availability).unwrap();
        // Each target holds a clone of the pool that contains the target.
        std::mem::forget(pool);
    });
    assert_eq!(wait.recv_timeout(Duration::from_secs(10)), Ok(Availability::Maintenance));
}
