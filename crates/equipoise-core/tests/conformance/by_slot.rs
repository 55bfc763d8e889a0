//! A faulty strategy that confuses the endpoint in a slot with the endpoint that had the slot before.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use equipoise_core::{
    BuildError, EndpointSpec, Needs, PickCx, Picker, Slot, Strategy, Timestamp, Verdict, View,
    testing::{Check, Conformance},
};

use crate::broken::faults;

/// Picks at random or by key, in proportion to the weights, and skips endpoints that have failed three times. `weights`
/// and `failures` say which data it wrongly takes over from the endpoint that had the slot before.
#[derive(Clone, Copy, Default)]
struct BySlot {
    weights: bool,
    failures: bool,
}

struct Place {
    slot: Slot,
    weight: u32,
    failures: Arc<AtomicU32>,
}

struct Shares(Vec<Place>);

impl Strategy for BySlot {
    type State = AtomicU32;
    type Picker = Shares;

    fn state(&self, _: &EndpointSpec) -> AtomicU32 {
        AtomicU32::new(0)
    }

    fn needs(&self) -> Needs {
        Needs::new().outcomes().key()
    }

    fn build(&self, view: &View, last: Option<&Shares>) -> Result<Shares, BuildError> {
        let place = |&slot: &Slot| {
            let mut place = Place { slot, weight: view.weight(slot), failures: view.state(slot)? };
            if let Some(last) = last.and_then(|last| last.0.iter().find(|last| last.slot == slot)) {
                place.weight = if self.weights { last.weight } else { place.weight };
                place.failures = if self.failures { Arc::clone(&last.failures) } else { place.failures };
            }
            Some(place)
        };
        Ok(Shares(view.eligible().iter().filter_map(place).collect()))
    }

    fn on_outcome(&self, failures: &AtomicU32, verdict: Verdict, _: Timestamp) {
        failures.fetch_add(u32::from(verdict.is_failure()), Ordering::Relaxed);
    }
}

impl Shares {
    fn draw(&self, lot: u64, may: &mut dyn FnMut(&Place) -> bool) -> Option<Slot> {
        let mut weight = |place: &Place| if may(place) { u64::from(place.weight) } else { 0 };
        let total: u64 = self.0.iter().map(&mut weight).sum();
        let mut left = lot.checked_rem(total)?;
        let ends = |place: &&Place| {
            let weight = weight(place);
            let is_it = left < weight;
            left = left.saturating_sub(weight);
            is_it
        };
        self.0.iter().find(ends).map(|place| place.slot)
    }
}

impl Picker for Shares {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let lot = cx.random_by_key(true, 0);
        let sound = |place: &Place| place.failures.load(Ordering::Relaxed) < 3;
        let drawn = self.draw(lot, &mut |place| sound(place) && cx.usable(place.slot));
        drawn.or_else(|| self.draw(lot, &mut |place| cx.usable(place.slot)))
    }
}

/// Only an update that gives a slot to another endpoint shows this fault.
fn fails_strangers(strategy: BySlot, checks: &[Check]) {
    let found = faults(&Conformance::new(move || strategy).honours_weights().spreads_keys(0.0));
    for &check in checks {
        assert!(found.fails(check), "{check:?}: {found}");
    }
    assert!(found.findings.iter().all(|finding| checks.contains(&finding.check)), "{found}");
    let updates = found.findings.iter().filter(|finding| finding.check == Check::Updates);
    updates.for_each(|finding| assert!(finding.evidence.contains("e1's place"), "{finding}"));
}

#[test]
fn one_that_knows_endpoints_by_their_slots() {
    Conformance::new(BySlot::default).honours_weights().spreads_keys(0.0).assert();
    fails_strangers(BySlot { weights: true, failures: false }, &[Check::Updates, Check::SpreadsKeys]);
    fails_strangers(BySlot { weights: false, failures: true }, &[Check::Updates]);
}
