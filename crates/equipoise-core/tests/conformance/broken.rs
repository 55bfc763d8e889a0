//! Strategies with one fault each, and the check that must find it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use equipoise_core::{
    BuildError, Endpoint, EndpointSpec, Needs, PickCx, PickRequest, Picker, Slot, Strategy, Timestamp, Verdict, View,
    testing::{Check, Conformance, NonConforming},
};

/// A picker that holds the eligible endpoints and a count of its picks.
struct Known {
    slots: Vec<Slot>,
    picks: AtomicU64,
    pick: fn(&Known, &mut PickCx<'_>) -> Option<Slot>,
}

impl Picker for Known {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        (self.pick)(self, cx)
    }
}

impl Known {
    /// Returns a random usable endpoint.
    fn any(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.from(cx.random() as usize, cx)
    }

    /// Returns the first usable endpoint from position `at` on.
    fn from(&self, at: usize, cx: &mut PickCx<'_>) -> Option<Slot> {
        let n = self.slots.len().max(1);
        (0..n).filter_map(|step| self.slots.get((at % n + step) % n).copied()).find(|&slot| cx.usable(slot))
    }
}

/// A strategy that picks with the function `pick`. If `stale` is set, a new picker keeps the endpoints of the last one.
struct Faulty {
    pick: fn(&Known, &mut PickCx<'_>) -> Option<Slot>,
    stale: bool,
}

impl Strategy for Faulty {
    type State = ();
    type Picker = Known;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, view: &View, last: Option<&Known>) -> Result<Known, BuildError> {
        let slots = match last.filter(|_| self.stale) {
            Some(last) => last.slots.clone(),
            None => view.eligible().to_vec(),
        };
        Ok(Known { slots, picks: AtomicU64::new(0), pick: self.pick })
    }
}

fn of(pick: fn(&Known, &mut PickCx<'_>) -> Option<Slot>) -> Conformance<'static> {
    Conformance::new(move || Faulty { pick, stale: false })
}

pub(crate) fn faults(suite: &Conformance<'_>) -> NonConforming {
    let faults = suite.check().expect_err("the suite finds the fault");
    assert!(faults.findings.iter().all(|finding| !finding.evidence.is_empty()));
    faults
}

#[test]
fn a_sound_one_passes() {
    of(Known::any).allocations(|picks| allocation_counter::measure(picks).count_total).assert();
}

/// A strategy that sends half of the requests to the endpoint that failed last.
struct FondOfFailures(Arc<AtomicU64>);

impl Strategy for FondOfFailures {
    type State = u64;
    type Picker = Fond;

    fn state(&self, spec: &EndpointSpec) -> u64 {
        spec.id().as_str().trim_start_matches('e').parse().unwrap_or(0)
    }

    fn build(&self, view: &View, _: Option<&Fond>) -> Result<Fond, BuildError> {
        Ok(Fond { slots: view.eligible().to_vec(), last: Arc::clone(&self.0) })
    }

    fn needs(&self) -> Needs {
        Needs::new().outcomes()
    }

    fn on_outcome(&self, state: &u64, verdict: Verdict, _: Timestamp) {
        if verdict.is_failure() {
            self.0.store(*state, Ordering::Relaxed);
        }
    }
}

struct Fond {
    slots: Vec<Slot>,
    last: Arc<AtomicU64>,
}

impl Picker for Fond {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let last = self.last.load(Ordering::Relaxed) as usize;
        let bits = cx.random() as usize;
        let last = self.slots.iter().copied().find(|slot| slot.index() == last).filter(|_| bits & 1 == 0);
        match last.filter(|&slot| cx.usable(slot)) {
            Some(slot) => Some(slot),
            None => {
                let n = self.slots.len().max(1);
                (0..n).filter_map(|step| self.slots.get((bits / 2 + step) % n).copied()).find(|&slot| cx.usable(slot))
            }
        }
    }
}

#[test]
fn one_that_prefers_an_endpoint_that_fails() {
    let found = faults(&Conformance::new(|| FondOfFailures(Arc::new(AtomicU64::new(u64::MAX)))));
    assert!(found.fails(Check::Failing), "{found}");
    assert!(found.findings.iter().all(|finding| finding.check == Check::Failing), "{found}");
}

#[test]
fn one_that_ignores_exclusions() {
    let found = faults(&of(|known, cx| known.slots.get(cx.random() as usize % known.slots.len()).copied()));
    assert!(found.fails(Check::Usable), "{found}");
    assert!(found.fails(Check::Composes), "{found}");
}

#[test]
fn a_strategy_that_checks_only_retries() {
    let found = faults(&of(|known, cx| match cx.is_retry() {
        true => known.any(cx),
        false => known.slots.get(cx.random() as usize % known.slots.len()).copied(),
    }));
    assert!(found.fails(Check::Limits) || found.fails(Check::Composes), "{found}");
}

#[test]
fn one_that_gives_up_too_early() {
    let found = faults(&of(|known, cx| {
        let drawn = (0..3).filter_map(|_| known.slots.get(cx.random() as usize % known.slots.len()).copied());
        drawn.collect::<Vec<_>>().into_iter().find(|&slot| cx.usable(slot))
    }));
    assert!(found.fails(Check::Finds) && !found.fails(Check::Usable), "{found}");
}

#[test]
fn one_that_keeps_stale_slots() {
    let found = faults(&Conformance::new(|| Faulty { pick: Known::any, stale: true }));
    assert!(found.fails(Check::Usable) && found.fails(Check::Finds) && found.fails(Check::Threads), "{found}");
}

#[test]
fn one_that_panics() {
    let found = faults(&of(|known, cx| known.slots.get(cx.key()?[0] as usize).copied()));
    assert!(found.fails(Check::Finds), "{found}");
    let found = faults(&of(|known, cx| Some(known.slots[cx.key().map_or(0, |key| usize::from(key[0]))])));
    assert!(found.fails(Check::Usable), "{found}");
    assert!(found.to_string().contains("panicked"), "{found}");
}

#[test]
fn one_that_ignores_weights() {
    let found = faults(&of(Known::any).honours_weights());
    assert!(found.fails(Check::Weights), "{found}");
    assert!(!found.fails(Check::Usable) && !found.fails(Check::Explains), "{found}");
}

#[test]
fn one_that_begins_anew_after_each_change() {
    let found = faults(
        &of(|known, cx| {
            // The fault: the strategy advances its own counter, even in a pick for an explanation.
            let turn = known.picks.fetch_add(1, Ordering::Relaxed);
            known.from(turn as usize, cx)
        })
        .honours_weights(),
    );
    assert!(found.fails(Check::Updates), "{found}");
    assert!(found.fails(Check::Explains), "{found}");
}

#[test]
fn one_that_allocates() {
    let counted = |picks: &mut dyn FnMut()| allocation_counter::measure(picks).count_total;
    let found = faults(
        &of(|known, cx| {
            let usable: Vec<Slot> = known.slots.iter().copied().filter(|&slot| cx.usable(slot)).collect();
            usable.get(cx.random() as usize % usable.len().max(1)).copied()
        })
        .allocations(counted),
    );
    assert!(found.fails(Check::Allocations) && found.findings.len() <= 3, "{found}");
}

/// Picks by the key modulo the number of eligible endpoints. Nearly all keys move when this number changes.
fn modulo(known: &Known, cx: &mut PickCx<'_>) -> Option<Slot> {
    let key =
        cx.key().map_or(0, |key| key.iter().fold(0usize, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into())));
    known.from(key, cx)
}

#[test]
fn one_that_moves_keys() {
    let suite = of(modulo).keeps_keys_on_availability_change().keeps_keys_on_removal(0.05);
    let found = faults(&suite);
    assert!(found.fails(Check::AvailabilityChanges) && found.fails(Check::Removals), "{found}");
}

#[test]
fn one_that_forgets_keys_or_heaps_them() {
    let found = faults(&of(Known::any).spreads_keys(0.1));
    assert!(found.fails(Check::KeepsKeys), "{found}");
    let found = faults(&of(|known, cx| known.from(0, cx)).spreads_keys(0.1));
    assert!(found.fails(Check::SpreadsKeys) && !found.fails(Check::KeepsKeys), "{found}");
}

/// Admits four leases per endpoint, and does not count the ends of leases.
struct Leaky;

impl Strategy for Leaky {
    type State = AtomicU32;
    type Picker = Places;

    fn state(&self, _: &EndpointSpec) -> AtomicU32 {
        AtomicU32::new(0)
    }

    fn needs(&self) -> Needs {
        Needs::new().leases()
    }

    fn build(&self, view: &View, _: Option<&Places>) -> Result<Places, BuildError> {
        let place = |&slot: &Slot| Some((slot, view.state::<AtomicU32>(slot)?));
        Ok(Places(view.eligible().iter().filter_map(place).collect()))
    }

    fn admit(&self, state: &AtomicU32, _: &Endpoint, _: &PickRequest<'_>) -> bool {
        state.fetch_add(1, Ordering::Relaxed) < 4
    }
}

struct Places(Vec<(Slot, Arc<AtomicU32>)>);

impl Picker for Places {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let roomy = self.0.iter().find(|(slot, taken)| taken.load(Ordering::Relaxed) < 4 && cx.usable(*slot));
        roomy.map(|&(slot, _)| slot)
    }
}

#[test]
fn one_that_loses_places() {
    let found = faults(&Conformance::new(|| Leaky));
    assert!(found.fails(Check::Limits) && found.fails(Check::Finds), "{found}");
}
