//! The refresh hook is called once per period, by the first pick after the end of the period.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use equipoise_core::{
    BuildError, EndpointSpec, ManualClock, Needs, PickCx, Picker, Pool, Slot, Strategy, Timestamp, View,
};

use crate::common::{pick, specs};

const PERIOD: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Counts {
    refreshed: AtomicU32,
    built: AtomicU32,
}

struct Periodic(Arc<Counts>);

struct First;

impl Strategy for Periodic {
    type State = ();
    type Picker = First;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, _: &View, _: Option<&First>) -> Result<First, BuildError> {
        self.0.built.fetch_add(1, Ordering::SeqCst);
        Ok(First)
    }

    fn needs(&self) -> Needs {
        Needs::new().refresh(PERIOD)
    }

    fn on_refresh(&self, _: Timestamp) -> bool {
        // Asks for new pickers at every second call.
        self.0.refreshed.fetch_add(1, Ordering::SeqCst) % 2 == 1
    }
}

impl Picker for First {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        cx.view().eligible().first().copied()
    }
}

fn periodic() -> (Pool<()>, Arc<ManualClock>, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let clock = Arc::new(ManualClock::new());
    let pool = Pool::<()>::builder(Periodic(Arc::clone(&counts))).clock(clock.clone()).build();
    pool.update(specs(&[1, 1]), |_| ()).expect("valid");
    (pool, clock, counts)
}

#[test]
fn the_hook_is_called_once_per_period() {
    let (pool, clock, counts) = periodic();
    drop(pick(&pool));
    for period in 0..10 {
        let before = counts.refreshed.load(Ordering::SeqCst);
        for _ in 0..100 {
            drop(pick(&pool));
        }
        assert_eq!(counts.refreshed.load(Ordering::SeqCst), before, "within period {period}");
        clock.advance(PERIOD);
        drop(pick(&pool));
        assert_eq!(counts.refreshed.load(Ordering::SeqCst), before + 1);
    }
}

#[test]
fn the_hook_is_called_once_though_threads_meet() {
    let (pool, clock, counts) = periodic();
    drop(pick(&pool));
    let before = counts.refreshed.load(Ordering::SeqCst);
    clock.advance(PERIOD);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..200).for_each(|_| drop(pick(&pool))));
        }
    });
    assert_eq!(counts.refreshed.load(Ordering::SeqCst), before + 1);
}

#[test]
fn new_pickers_are_made_when_the_hook_asks_for_them() {
    let (pool, clock, counts) = periodic();
    drop(pick(&pool));
    let (built, revision) = (counts.built.load(Ordering::SeqCst), pool.revision());
    clock.advance(PERIOD);
    drop(pick(&pool));
    assert_eq!(counts.built.load(Ordering::SeqCst), built + 1);
    assert!(pool.revision() > revision);
}

#[test]
fn the_hook_is_called_again_after_the_clock_has_jumped_back() {
    let (pool, clock, counts) = periodic();
    clock.advance(PERIOD * 3600);
    drop(pick(&pool));
    clock.set(Timestamp::ZERO);
    let before = counts.refreshed.load(Ordering::SeqCst);
    for _ in 0..5 {
        clock.advance(PERIOD);
        drop(pick(&pool));
    }
    assert!(counts.refreshed.load(Ordering::SeqCst) >= before + 4);
}
