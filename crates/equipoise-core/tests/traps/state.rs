//! The state that a user's strategy keeps about an endpoint survives updates and counts every lease.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use equipoise_core::{
    Availability, BuildError, Endpoint, EndpointSpec, Needs, PickCx, PickRequest, Picker, Pool, Slot, Strategy, View,
};

use crate::common::{at, id, pick, spec, specs};

/// A strategy that picks the endpoint with the fewest leases so far.
struct Fairest;

#[derive(Default)]
struct Life {
    given: AtomicU32,
    ended: AtomicU32,
}

struct FairestPicker(Vec<(Slot, Arc<Life>)>);

impl Strategy for Fairest {
    type State = Life;
    type Picker = FairestPicker;

    fn state(&self, _: &EndpointSpec) -> Life {
        Life::default()
    }

    fn build(&self, view: &View, _: Option<&FairestPicker>) -> Result<FairestPicker, BuildError> {
        Ok(FairestPicker(view.eligible().iter().filter_map(|&slot| Some((slot, view.state(slot)?))).collect()))
    }

    fn needs(&self) -> Needs {
        Needs::new().leases()
    }

    fn admit(&self, life: &Life, _: &Endpoint, _: &PickRequest<'_>) -> bool {
        life.given.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn on_release(&self, life: &Life, _: &Endpoint) {
        life.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Picker for FairestPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let lives = self.0.iter().filter(|(slot, _)| cx.usable(*slot));
        lives.min_by_key(|(_, life)| life.given.load(Ordering::Relaxed)).map(|&(slot, _)| slot)
    }
}

#[test]
fn state_survives_updates_and_availability_changes_and_ends_with_the_endpoint() {
    let pool: Pool<()> = Pool::new(Fairest);
    pool.update(specs(&[1, 1, 1]), |_| ()).unwrap();
    let bound = id(0);
    for _ in 0..10 {
        drop(pool.pick(&PickRequest::new().prefer(&bound)).unwrap());
    }
    pool.add(spec(3), ()).unwrap();
    pool.set_weight("e0", 5).unwrap();
    pool.set_availability("e0", Availability::Maintenance).unwrap();
    pool.set_availability("e0", Availability::Up).unwrap();
    assert!((0..30).all(|_| at(&pick(&pool)) != 0), "the others catch up first");
    pool.remove("e0").unwrap();
    pool.add(spec(0), ()).unwrap();
    assert!((0..10).all(|_| at(&pick(&pool)) == 0), "an endpoint that comes back starts anew");
}

#[test]
fn an_availability_change_keeps_positions_in_the_turn() {
    let pool: Pool<()> = Pool::new(equipoise_core::RoundRobin::new());
    pool.update(specs(&[1, 1, 1, 1]), |_| ()).unwrap();
    let mut served = [0; 4];
    for turn in 0..400 {
        // If the availability of an endpoint changes often, the turns must not start again at the first endpoint each
        // time.
        let availability = if turn % 2 == 0 { Availability::Maintenance } else { Availability::Up };
        pool.set_availability("e3", availability).unwrap();
        served[at(&pick(&pool))] += 1;
    }
    assert!(served[..3].iter().all(|&n| n >= 85), "{served:?}");
}
