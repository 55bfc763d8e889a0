//! Strategies of users that return invalid endpoints.

use std::sync::{Arc, OnceLock};

use equipoise_core::{Availability, BuildError, EndpointSpec, PickCx, PickError, PickRequest, Picker, Pool, Slot};
use equipoise_core::{Strategy, Tier, View};

use crate::common::{id, in_flight, pick, spec};

/// A strategy that always returns the same slot: the first member that it saw in any view.
#[derive(Clone, Default)]
struct Stubborn {
    first: Arc<OnceLock<Slot>>,
}

impl Strategy for Stubborn {
    type State = ();
    type Picker = Self;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, view: &View, _: Option<&Self>) -> Result<Self, BuildError> {
        if let Some(&slot) = view.members().first() {
            self.first.get_or_init(|| slot);
        }
        Ok(self.clone())
    }
}

impl Picker for Stubborn {
    fn pick(&self, _: &mut PickCx<'_>) -> Option<Slot> {
        self.first.get().copied()
    }
}

/// Creates a pool whose strategy always returns `e0`.
fn stubborn(specs: impl IntoIterator<Item = EndpointSpec>) -> Pool<()> {
    let pool = Pool::new(Stubborn::default());
    pool.add(spec(0), ()).expect("valid");
    pool.update(specs, |_| ()).expect("valid");
    pool
}

fn misbehaves(pool: &Pool<()>, request: &PickRequest<'_>) {
    assert!(matches!(pool.pick(request), Err(PickError::Misbehaved { .. })));
    assert!(matches!(pool.explain(request).picked, Err(PickError::Misbehaved { .. })));
    assert!(in_flight(pool).iter().all(|&n| n == 0));
}

#[test]
fn an_endpoint_in_maintenance_or_draining_is_refused() {
    let pool = stubborn([0, 1].map(spec));
    drop(pick(&pool));
    for availability in [Availability::Maintenance, Availability::Draining] {
        pool.set_availability("e0", availability).expect("valid");
        misbehaves(&pool, &PickRequest::new());
    }
}

#[test]
fn one_of_weight_zero_is_refused() {
    misbehaves(&stubborn([spec(0).weight(0), spec(1)]), &PickRequest::new());
    misbehaves(&stubborn([spec(0).weight(0), spec(1).max_in_flight(1)]), &PickRequest::new());
}

#[test]
fn one_of_another_tier_is_refused() {
    let pool = stubborn([spec(0).tier(Tier::BACKUP), spec(1)]);
    misbehaves(&pool, &PickRequest::new());
    let tried = [id(1)];
    misbehaves(&pool, &PickRequest::new().exclude(&tried));
}

#[test]
fn an_excluded_one_is_refused() {
    let tried = [id(0)];
    misbehaves(&stubborn([0, 1].map(spec)), &PickRequest::new().exclude(&tried));
}

#[test]
fn one_that_has_left_is_refused() {
    let pool = stubborn([0, 1].map(spec));
    pool.remove("e0").expect("valid");
    misbehaves(&pool, &PickRequest::new());
}

#[test]
fn a_full_one_ends_in_an_error_and_not_in_a_loop() {
    let pool = stubborn([spec(0).max_in_flight(1), spec(1)]);
    let full = pick(&pool);
    assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Declined);
    assert_eq!(pool.explain(&PickRequest::new()).picked, Err(PickError::Declined));
    drop(full);
    drop(pick(&pool));
}

/// A strategy that finds no endpoint.
struct Shy;

impl Strategy for Shy {
    type State = ();
    type Picker = Self;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, _: &View, _: Option<&Self>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

impl Picker for Shy {
    fn pick(&self, _: &mut PickCx<'_>) -> Option<Slot> {
        None
    }
}

#[test]
fn a_strategy_that_finds_no_endpoint_is_distinguished_from_an_empty_pool() {
    let pool: Pool<()> = Pool::new(Shy);
    assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Empty);
    pool.add(spec(0), ()).expect("valid");
    assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Declined);
}
