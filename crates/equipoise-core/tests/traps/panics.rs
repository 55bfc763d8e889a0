//! Strategies of users that panic: picks return a typed error, counts stay correct, and the pool can still be used.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use equipoise_core::{
    BuildError, Endpoint, EndpointSpec, Needs, PickCx, PickError, PickRequest, Picker, Pool, Slot, Strategy, Timestamp,
    UpdateError, Verdict, View,
};

use crate::common::{at, id, in_flight, pick, spec};

/// Says which of the strategy's methods panic.
#[derive(Default)]
struct Fuses {
    state: AtomicBool,
    build: AtomicBool,
    pick: AtomicBool,
    hooks: AtomicBool,
}

fn blow(fuse: &AtomicBool) {
    if fuse.load(Ordering::SeqCst) {
        // Panics without printing a message.
        std::panic::resume_unwind(Box::new("a strategy gone wrong"));
    }
}

#[derive(Clone, Default)]
struct Fragile(Arc<Fuses>);

impl Strategy for Fragile {
    type State = ();
    type Picker = Self;

    fn state(&self, _: &EndpointSpec) {
        blow(&self.0.state);
    }

    fn build(&self, _: &View, _: Option<&Self>) -> Result<Self, BuildError> {
        blow(&self.0.build);
        Ok(self.clone())
    }

    fn needs(&self) -> Needs {
        Needs::new().latency().outcomes().leases().refresh(Duration::from_nanos(1))
    }

    fn admit(&self, (): &(), _: &Endpoint, _: &PickRequest<'_>) -> bool {
        blow(&self.0.hooks);
        true
    }

    fn on_release(&self, (): &(), _: &Endpoint) {
        blow(&self.0.hooks);
    }

    fn on_latency(&self, (): &(), _: Duration, _: Timestamp) {
        blow(&self.0.hooks);
    }

    fn on_outcome(&self, (): &(), _: Verdict, _: Timestamp) {
        blow(&self.0.hooks);
    }

    fn on_refresh(&self, _: Timestamp) -> bool {
        blow(&self.0.hooks);
        true
    }
}

impl Picker for Fragile {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        blow(&self.0.pick);
        cx.view().eligible().iter().copied().find(|&slot| cx.usable(slot))
    }
}

fn fragile() -> (Pool<()>, Arc<Fuses>) {
    let strategy = Fragile::default();
    let fuses = Arc::clone(&strategy.0);
    let pool = Pool::new(strategy);
    pool.update([0, 1].map(|at| spec(at).max_in_flight(2)), |_| ()).expect("valid");
    (pool, fuses)
}

#[test]
fn a_panic_in_pick_is_an_error_and_costs_no_permit() {
    let (pool, fuses) = fragile();
    fuses.pick.store(true, Ordering::SeqCst);
    for _ in 0..10 {
        assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Panicked);
        assert_eq!(pool.explain(&PickRequest::new()).picked, Err(PickError::Panicked));
    }
    assert_eq!(in_flight(&pool), [0, 0]);
    fuses.pick.store(false, Ordering::SeqCst);
    let leases: Vec<_> = (0..4).map(|_| pick(&pool)).collect();
    assert_eq!(in_flight(&pool), [2, 2]);
    drop(leases);
}

#[test]
fn a_panic_in_pick_leaves_the_preferred_one_alone() {
    let (pool, fuses) = fragile();
    fuses.pick.store(true, Ordering::SeqCst);
    let bound = id(1);
    assert_eq!(at(&pool.pick(&PickRequest::new().prefer(&bound)).expect("valid")), 1);
}

#[test]
fn a_panic_in_build_refuses_the_change_as_a_whole() {
    let (pool, fuses) = fragile();
    let before = (pool.revision(), pool.endpoints());
    fuses.build.store(true, Ordering::SeqCst);
    let panicked = UpdateError::Strategy(BuildError::Panicked);
    assert_eq!(pool.add(spec(2), ()), Err(panicked.clone()));
    assert_eq!(pool.update([spec(0)], |_| ()), Err(panicked.clone()));
    assert_eq!(pool.drain("e0"), Err(panicked));
    assert_eq!((pool.revision(), pool.endpoints()), before);
    drop(pick(&pool));
    fuses.build.store(false, Ordering::SeqCst);
    pool.add(spec(2), ()).expect("valid");
}

#[test]
fn a_refused_change_of_limits_leaves_the_old_limits() {
    let (pool, fuses) = fragile();
    fuses.build.store(true, Ordering::SeqCst);
    assert!(pool.update([0, 1].map(|at| spec(at).max_in_flight(1)), |_| ()).is_err());
    let leases: Vec<_> = (0..4).map(|_| pick(&pool)).collect();
    assert_eq!(in_flight(&pool), [2, 2]);
    drop(leases);
}

#[test]
fn a_panic_in_state_refuses_the_change_as_a_whole() {
    let (pool, fuses) = fragile();
    let before = (pool.revision(), pool.endpoints());
    fuses.state.store(true, Ordering::SeqCst);
    assert_eq!(pool.add(spec(2), ()), Err(UpdateError::Strategy(BuildError::Panicked)));
    assert_eq!((pool.revision(), pool.endpoints()), before);
    drop(pick(&pool));
}

#[test]
fn panics_in_hooks_reach_no_request() {
    let (pool, fuses) = fragile();
    fuses.hooks.store(true, Ordering::SeqCst);
    for _ in 0..10 {
        let mut lease = pick(&pool);
        lease.first_byte();
        lease.finish(Verdict::Success);
    }
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[test]
fn a_panic_in_the_factory_leaves_the_pool_as_it_was() {
    let (pool, _) = fragile();
    let before = (pool.revision(), pool.endpoints());
    let update = || pool.update([spec(2), spec(3)], |_| std::panic::resume_unwind(Box::new("no client today")));
    assert!(catch_unwind(AssertUnwindSafe(update)).is_err());
    assert_eq!((pool.revision(), pool.endpoints()), before);
    pool.add(spec(2), ()).expect("valid");
}
