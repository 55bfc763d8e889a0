//! The number of endpoints that a pick tries before it finds a usable one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use equipoise_core::{BuildError, EndpointSpec, PickCx, Picker, Slot, Strategy, View};

use crate::{
    common::pool_of,
    keys::{SEED, keys, owner, placements},
};

/// A combinator that lets the wrapped strategy pick only one endpoint in `every`, and counts how many endpoints it
/// tries.
struct Asked<S> {
    inner: S,
    every: usize,
    times: Arc<AtomicU64>,
}

struct AskedPicker<P> {
    inner: P,
    every: usize,
    times: Arc<AtomicU64>,
}

impl<S: Strategy> Strategy for Asked<S> {
    type State = S::State;
    type Picker = AskedPicker<S::Picker>;

    fn state(&self, spec: &EndpointSpec) -> S::State {
        self.inner.state(spec)
    }

    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        let inner = self.inner.build(view, last.map(|last| &last.inner))?;
        Ok(AskedPicker { inner, every: self.every, times: Arc::clone(&self.times) })
    }
}

impl<P: Picker> Picker for AskedPicker<P> {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let allows = |slot: Slot| {
            self.times.fetch_add(1, Ordering::Relaxed);
            slot.index().is_multiple_of(self.every)
        };
        cx.filtered(&allows, |cx| self.inner.pick(cx))
    }
}

/// Returns the mean number of endpoints that a pick tries if one in `every` can be picked.
fn asked(strategy: impl Strategy, weights: &[u32], every: usize) -> f64 {
    let times = Arc::new(AtomicU64::new(0));
    let pool = pool_of(Asked { inner: strategy, every, times: Arc::clone(&times) }, weights, SEED);
    let keys = keys(10_000, 30);
    for key in &keys {
        assert_eq!(owner(&pool, key) % every, 0);
    }
    times.load(Ordering::Relaxed) as f64 / keys.len() as f64
}

#[test]
fn with_nine_of_ten_down_no_more_are_asked_than_members_over_eligible() {
    // Without rendezvous, which always looks at all endpoints.
    for (name, strategy) in placements().into_iter().filter(|(name, _)| *name != "rendezvous") {
        for n in [10, 100, 1_000] {
            let asked = asked(strategy.clone(), &vec![1; n], 10);
            // The expected number is 10. Its standard deviation is 9.5 for one pick and 0.1 for the mean. With a ring,
            // the order of the points adds some variation.
            assert!(asked < 10.3, "{name} over {n}: {asked}");
        }
    }
}

#[test]
fn the_first_is_asked_and_no_other_while_all_are_up() {
    for (name, strategy) in placements().into_iter().filter(|(name, _)| *name != "rendezvous") {
        assert_eq!(asked(strategy, &[1; 50], 1), 1.0, "{name}");
    }
}

#[test]
fn the_last_one_left_is_found_within_a_few_rounds() {
    for (name, strategy) in placements() {
        let asked = asked(strategy, &[1; 100], 100);
        assert!(asked < 110.0, "{name}: {asked}");
    }
}
